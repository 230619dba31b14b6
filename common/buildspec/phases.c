#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "buildspec/read.h"

#define RETRY         "RETRY"
#define RETRY_DEFAULT 3
#define REGEX_MAX     200
#define RUNTIMES_MAX  50
#define PHASE(field)  offsetof(struct buildspec_phase, field)

const char *buildspec_phase_key(enum buildspec_phase_name phase)
{
    static const char *const keys[] = {"install", "pre_build", "build", "post_build"};
    return phase < BUILDSPEC_PHASES ? keys[phase] : "";
}

/* ---- on-failure ---- */

/* Repetition counts and back-references can make a short expression take for ever. */
static bool is_regex(const char *text)
{
    regex_t regex;
    if (!*text || strlen(text) > REGEX_MAX || strchr(text, '{'))
        return false;
    for (const char *p = text; (p = strchr(p, '\\')) && p[1]; p += 2) {
        if (p[1] >= '1' && p[1] <= '9')
            return false;
    }
    if (regcomp(&regex, text, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    regfree(&regex);
    return true;
}

/* RETRY, RETRY-3, RETRY-regex, RETRY-3-regex. */
static void read_retry(struct reader *r, const struct yaml_node *node, const char *path,
                       const char *rest, struct buildspec_phase *phase)
{
    phase->on_failure = BUILDSPEC_RETRY;
    phase->retries = RETRY_DEFAULT;
    if (!*rest)
        return;
    rest++;
    size_t digits = strspn(rest, "0123456789");
    if (digits && (rest[digits] == '\0' || rest[digits] == '-')) {
        unsigned long n = digits > 4 ? BUILDSPEC_RETRIES_MAX + 1 : strtoul(rest, NULL, 10);
        if (n > BUILDSPEC_RETRIES_MAX) {
            ERROR("retries at most %d times", BUILDSPEC_RETRIES_MAX);
            return;
        }
        phase->retries = (unsigned)n;
        if (!rest[digits])
            return;
        rest += digits + 1;
    }
    if (!is_regex(rest)) {
        ERROR("'%.60s' is no regular expression that is taken here (POSIX extended, at most %d "
              "characters, no {n,m}, no back-references)",
              rest, REGEX_MAX);
        return;
    }
    phase->retry_regex = mem_strdup(rest);
}

static void read_on_failure(struct reader *r, const struct yaml_node *node, const char *path,
                            void *target)
{
    struct buildspec_phase *phase = target;
    const char *text = spec_text_of(r, node, path);
    if (!text || !*text)
        return;
    if (strcasecmp(text, "ABORT") == 0)
        phase->on_failure = BUILDSPEC_ABORT;
    else if (strcasecmp(text, "CONTINUE") == 0)
        phase->on_failure = BUILDSPEC_CONTINUE;
    else if (strncasecmp(text, RETRY, strlen(RETRY)) == 0 &&
             (!text[strlen(RETRY)] || text[strlen(RETRY)] == '-'))
        read_retry(r, node, path, text + strlen(RETRY), phase);
    else
        ERROR("must be ABORT, CONTINUE, RETRY, RETRY-<count>, RETRY-<regex> or "
              "RETRY-<count>-<regex>");
}

/* ---- commands ---- */

static void read_commands(struct reader *r, const struct yaml_node *node, const char *path,
                          void *target)
{
    struct strv *list = target;
    bool already = r->commands > BUILDSPEC_COMMANDS_MAX;
    spec_read_texts(r, node, path, list);
    r->commands += list->count;
    if (r->commands > BUILDSPEC_COMMANDS_MAX && !already)
        ERROR("there are more than %d commands", BUILDSPEC_COMMANDS_MAX);
}

/* ---- runtime-versions ---- */

static void read_runtime(struct reader *r, const struct yaml_node *node, const char *path,
                         void *target)
{
    static const char *const known[] = {"android", "docker", "dotnet", "golang", "java",
                                        "nodejs",  "php",    "python", "ruby",   NULL};
    struct buildspec *spec = r->spec;
    const char *version = spec_some_text_of(r, node, path);
    char hint[128];
    bool found = false;
    (void)target;
    for (size_t i = 0; known[i]; i++)
        found = found || str_eq(known[i], node->key->text);
    if (!found)
        spec_problem(r, false, node->key, path, "is no runtime that is known here%s",
                     spec_did_you_mean(hint, node->key->text, known));
    else if (version)
        spec_pair_add(&spec->runtimes, &spec->runtime_count, node->key->text, version);
}

static void read_runtimes(struct reader *r, const struct yaml_node *node, const char *path,
                          void *target)
{
    const struct buildspec_phase *phase = target;
    if (phase != &r->spec->phases[BUILDSPEC_INSTALL]) {
        spec_problem(r, false, node->key, path, "left out: runtime-versions belongs to install");
        return;
    }
    if (yaml_is_null(node) || (node->type == YAML_MAP && node->count == 0))
        WARNING("names no runtime");
    r->spec->runtimes_line = node->key->line;
    spec_read_entries(r, node, path, RUNTIMES_MAX, read_runtime, NULL);
}

/* ---- phases ---- */

static void read_phase(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    static const struct key keys[] = {
        {"run-as", spec_read_run_as, PHASE(run_as)}, {"on-failure", read_on_failure, 0},
        {"runtime-versions", read_runtimes, 0},      {"commands", read_commands, PHASE(commands)},
        {"finally", read_commands, PHASE(finally)},  {0}};
    struct buildspec_phase *phase = NULL;
    (void)target;
    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        if (str_eq(node->key->text, buildspec_phase_key((enum buildspec_phase_name)p)))
            phase = &r->spec->phases[p];
    }
    if (!phase)
        return;
    phase->present = spec_read_map(r, node, path, keys, phase);
    phase->line = node->key->line;
    bool sets_up = phase == &r->spec->phases[BUILDSPEC_INSTALL] && r->spec->runtime_count;
    bool empty = yaml_is_null(node) || (phase->present && !yaml_get(node, "commands"));
    if (empty && !phase->finally.count && !sets_up)
        spec_problem(r, false, node->key, path, "has no commands");
}

void spec_read_phases(struct reader *r, const struct yaml_node *node, const char *path,
                      void *target)
{
    static const struct key keys[] = {{"install", read_phase, 0},
                                      {"pre_build", read_phase, 0},
                                      {"build", read_phase, 0},
                                      {"post_build", read_phase, 0},
                                      {0}};
    if (!spec_read_map(r, node, path, keys, target))
        return;
    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        if (yaml_get(node, buildspec_phase_key((enum buildspec_phase_name)p)))
            return;
    }
    ERROR("names none of install, pre_build, build, post_build");
}

void spec_phases_release(struct buildspec *spec)
{
    spec_pairs_free(spec->runtimes, spec->runtime_count);
    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        free(spec->phases[p].retry_regex);
        free(spec->phases[p].run_as);
        strv_release(&spec->phases[p].commands);
        strv_release(&spec->phases[p].finally);
    }
}
