#include <stdio.h>

#include "base/id.h"
#include "base/mem.h"
#include "build/internal.h"
#include "parameters/parameters.h"

/* In `env` or after it: a later one of the same name replaces. */
static void set(struct strv *env, const char *name, const char *value)
{
    size_t len = strlen(name);
    char *text = mem_printf("%s=%s", name, value);
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=') {
            mem_wipe(env->items[i], strlen(env->items[i])); /* perhaps a secret */
            free(env->items[i]);
            env->items[i] = text;
            return;
        }
    }
    strv_add(env, text);
    mem_wipe(text, strlen(text));
    free(text);
}

static void set_number(struct strv *env, const char *name, uint64_t value)
{
    char text[21];
    set(env, name, id_num(text, value));
}

static void set_all(struct strv *env, Gantry__V1__KeyValue *const *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* Those of earlier actions (actions.<action>.<NAME>) are for templates. */
        if (buildspec_is_variable(pairs[i]->key))
            set(env, pairs[i]->key, pairs[i]->value);
    }
}

/* What a forge calls the event that a ref's new head is, and what CodeBuild calls the ref. */
static void set_webhook(const char *ref, struct strv *env)
{
    static const struct {
        const char *refs, *kind, *event;
    } kinds[] = {{"refs/heads/", "branch", "PUSH"},
                 {"refs/tags/", "tag", "PUSH"},
                 {"refs/pull/", "pr", "PULL_REQUEST_UPDATED"},
                 {"refs/merge-requests/", "pr", "PULL_REQUEST_UPDATED"}};
    set(env, "CODEBUILD_WEBHOOK_HEAD_REF", ref);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (!str_starts(ref, kinds[i].refs))
            continue;
        const char *name = ref + strlen(kinds[i].refs);
        const bool request = str_eq(kinds[i].kind, "pr"); /* its ref is <number>/head */
        const size_t len = request ? strcspn(name, "/") : strlen(name);
        char *trigger = mem_printf("%s/%.*s", kinds[i].kind, (int)len, name);
        set(env, "CODEBUILD_WEBHOOK_TRIGGER", trigger);
        set(env, "CODEBUILD_WEBHOOK_EVENT", kinds[i].event);
        if (request)
            set(env, "CODEBUILD_SOURCE_VERSION", trigger);
        free(trigger);
    }
}

static void set_source(const struct build *build, struct strv *env)
{
    const Gantry__V1__Revision *revision = build->revision;
    const char *src = build->place->paths.src;
    char name[128];
    snprintf(name, sizeof(name), "CODEBUILD_SRC_DIR_%.80s", revision->source);
    for (char *p = name; *p; p++) {
        if (*p == '-')
            *p = '_';
    }
    set(env, name, src);
    set(env, "CODEBUILD_SRC_DIR", src);
    set(env, "CODEBUILD_RESOLVED_SOURCE_VERSION", revision->commit);
    set(env, "CODEBUILD_SOURCE_VERSION", revision->commit);
    set(env, "CODEBUILD_SOURCE_REPO_URL", revision->git);
    if (!str_empty(revision->ref))
        set_webhook(revision->ref, env);
    set(env, "GANTRY_REVISION", revision->commit);
}

static void set_codebuild(const struct build *build, struct strv *env)
{
    const Gantry__V1__ActionRequest *req = build->request;
    const char *run_id = build->host.run_id;
    char *id = mem_printf("%s:%s", req->pipeline, run_id);
    char *arn = mem_printf("arn:gantry:codebuild:::build/%s", id);
    char *initiator = mem_printf("gantry/%s", req->pipeline);
    set(env, "CODEBUILD_BUILD_ID", id);
    set(env, "CODEBUILD_BUILD_ARN", arn);
    set_number(env, "CODEBUILD_BUILD_NUMBER", req->release);
    set(env, "CODEBUILD_BUILD_IMAGE", build->place->image);
    set(env, "CODEBUILD_BUILD_SUCCEEDING", "1");
    set(env, "CODEBUILD_INITIATOR", initiator);
    set(env, "CODEBUILD_LOG_PATH", run_id);
    if (batch_identifier(build))
        set(env, "CODEBUILD_BATCH_BUILD_IDENTIFIER", batch_identifier(build));
    set_number(env, "CODEBUILD_START_TIME", (uint64_t)build->host.started_ms);
    free(id);
    free(arn);
    free(initiator);
}

static void set_gantry(const struct build *build, struct strv *env)
{
    const Gantry__V1__ActionRequest *req = build->request;
    set(env, "GANTRY_PIPELINE", req->pipeline);
    set_number(env, "GANTRY_RELEASE", req->release);
    set(env, "GANTRY_STAGE", req->stage);
    set(env, "GANTRY_ACTION", req->action);
    set(env, "GANTRY_RUN_ID", build->host.run_id);
    if (build->image_uri)
        set(env, "GANTRY_IMAGE", build->image_uri);
}

void variables_add(const struct build *build, struct strv *env)
{
    const Gantry__V1__ActionRequest *req = build->request;
    if (build->env->aws_region) {
        set(env, "AWS_REGION", build->env->aws_region);
        set(env, "AWS_DEFAULT_REGION", build->env->aws_region);
    }
    login_variables(build, env);
    if (layers_are_kept(build))
        set(env, "BUILDAH_LAYERS", "true");
    for (size_t i = 0; i < build->spec->variable_count; i++)
        set(env, build->spec->variables[i].key, build->spec->variables[i].value);
    const struct parameter_values *secrets = build_secrets_values(build);
    for (size_t i = 0; secrets && i < secrets->count; i++)
        set(env, secrets->items[i].variable, secrets->items[i].value);
    set_all(env, req->build->env, req->build->n_env);
    set_all(env, req->variables, req->n_variables);
    set_codebuild(build, env);
    set_source(build, env);
    set_gantry(build, env);
}
