#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "attest/attest.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"

static void put(json_t *to, const char *key, const char *value)
{
    if (!str_empty(value))
        json_object_set_new(to, key, json_string(value));
}

static void put_time(json_t *to, const char *key, int64_t ms)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_rfc3339(ms, text);
    put(to, key, text);
}

static char *statement(const char *name, const char *digest, const char *type, json_t *predicate)
{
    const char *colon = strchr(digest, ':');
    json_t *subject = json_pack("{s:{s:s}}", "digest", "sha256", colon ? colon + 1 : digest);
    put(subject, "name", name);
    json_t *all = json_pack("{s:s, s:[o], s:s, s:o}", "_type", STATEMENT_TYPE, "subject", subject,
                            "predicateType", type, "predicate", predicate);
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}

char *attest_signature(const char *digest)
{
    return statement(NULL, digest, ATTEST_SIGNATURE_TYPE, json_object());
}

/* git+https://host/path@refs/heads/main, as SLSA's own build types write it; the caller frees. */
static char *source_uri(const struct attest_build *b)
{
    const char *scheme = strstr(b->git, "://");
    const char *rest = scheme ? scheme + strlen("://") : b->git;
    const char *at = strchr(rest, '@');
    if (scheme && at && at < rest + strcspn(rest, "/"))
        rest = at + 1;
    return mem_printf("%s%.*s%s%s%s", scheme ? "git+" : "",
                      scheme ? (int)(scheme - b->git) + (int)strlen("://") : 0, b->git, rest,
                      str_empty(b->ref) ? "" : "@", b->ref ? b->ref : "");
}

static json_t *external(const struct attest_build *b, const char *source)
{
    json_t *out = json_object();
    put(out, "pipeline", b->pipeline);
    put(out, "stage", b->stage);
    put(out, "action", b->action);
    put(out, "source", source);
    put(out, "buildspec", b->buildspec);
    if (str_empty(b->buildspec))
        put(out, "dockerfile", str_empty(b->dockerfile) ? "Dockerfile" : b->dockerfile);
    put(out, "image", b->image);
    json_t *variables = json_object();
    for (size_t i = 0; i < b->variable_count; i++)
        put(variables, b->variables[i].name, b->variables[i].value);
    json_object_set_new(out, "variables", variables);
    return out;
}

static json_t *internal(const struct attest_build *b)
{
    json_t *out = json_object();
    json_object_set_new(out, "release", json_integer((json_int_t)b->release));
    json_object_set_new(out, "definitionNumber", json_integer((json_int_t)b->definition_number));
    json_object_set_new(out, "attempt", json_integer(b->attempt));
    put(out, "driver", b->driver);
    return out;
}

static json_t *run_details(const struct attest_build *b)
{
    json_t *metadata = json_object();
    put(metadata, "invocationId", b->run_id);
    put_time(metadata, "startedOn", b->started_ms);
    put_time(metadata, "finishedOn", b->ended_ms);
    return json_pack("{s:{s:s, s:{s:s}}, s:o}", "builder", "id", b->builder_id, "version", "gantry",
                     GANTRY_VERSION, "metadata", metadata);
}

char *attest_provenance(const struct attest_build *b)
{
    char *source = source_uri(b);
    json_t *dependency = json_pack("{s:s}", "uri", source);
    if (!str_empty(b->commit))
        json_object_set_new(dependency, "digest", json_pack("{s:s}", "gitCommit", b->commit));
    json_t *predicate = json_pack("{s:{s:s, s:o, s:o, s:[o]}, s:o}", "buildDefinition", "buildType",
                                  ATTEST_BUILD_TYPE, "externalParameters", external(b, source),
                                  "internalParameters", internal(b), "resolvedDependencies",
                                  dependency, "runDetails", run_details(b));
    free(source);
    return statement(b->image, b->digest, ATTEST_PROVENANCE_TYPE, predicate);
}
