/* {{names}} in what a definition gives to actions and people (docs/reference/pipeline.md). */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/plan.h"

#define VAR_TEXT_MAX (64 * 1024)
#define VAR_NAME_MAX 200

static const char *of_variables(const struct release *release, const char *name)
{
    const Gantry__V1__ReleaseStarted *started = release->facts->started;
    for (size_t i = 0; i < started->n_variables; i++) {
        if (strcmp(started->variables[i]->key, name) == 0)
            return started->variables[i]->value;
    }
    return NULL;
}

static const char *of_actions(const struct release *release, const char *name)
{
    const char *dot = strchr(name, '.');
    for (size_t i = 0; dot && i < release->exports.count; i++) {
        const struct exports *exports = release->exports.items[i];
        if (strlen(exports->action) != (size_t)(dot - name) ||
            strncmp(exports->action, name, (size_t)(dot - name)) != 0)
            continue;
        for (size_t j = 0; j < exports->count; j++) {
            if (strcmp(exports->items[j]->key, dot + 1) == 0)
                return exports->items[j]->value;
        }
    }
    return NULL;
}

static const char *of_artifacts(struct plan *plan, const struct release *release, const char *name)
{
    char build[VAR_NAME_MAX];
    const char *dot = strrchr(name, '.');
    if (!dot)
        return NULL;
    snprintf(build, sizeof(build), "%.*s", (int)(dot - name), name);
    const Gantry__V1__Artifact *artifact = release_artifact(release, build);
    if (!artifact)
        return NULL;
    if (strcmp(dot, ".digest") == 0)
        return artifact->digest;
    if (strcmp(dot, ".image") == 0)
        return plan_text(plan, "%s@%s", artifact->repository, artifact->digest);
    return NULL;
}

static const char *of_revisions(const struct release *release, const char *source)
{
    const Gantry__V1__ReleaseStarted *started = release->facts->started;
    for (size_t i = 0; i < started->n_revisions; i++) {
        if (!source || strcmp(started->revisions[i]->source, source) == 0)
            return started->revisions[i]->commit;
    }
    return NULL;
}

static const char *value_of(struct plan *plan, const struct release *release, const char *name)
{
    if (strcmp(name, "release.number") == 0)
        return plan_text(plan, "%llu", (unsigned long long)release->number);
    if (strcmp(name, "pipeline") == 0 || strcmp(name, "pipeline.name") == 0)
        return plan->state->pipeline->text;
    if (strcmp(name, "revision") == 0)
        return of_revisions(release, NULL);
    if (str_starts(name, "revisions."))
        return of_revisions(release, name + strlen("revisions."));
    if (str_starts(name, "variables."))
        return of_variables(release, name + strlen("variables."));
    if (str_starts(name, "actions."))
        return of_actions(release, name + strlen("actions."));
    if (str_starts(name, "artifacts."))
        return of_artifacts(plan, release, name + strlen("artifacts."));
    return NULL;
}

/* The name between the braces, without blanks around it; false: too long to be one. */
static bool read_name(const char *from, const char *to, char name[VAR_NAME_MAX])
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    int n = snprintf(name, VAR_NAME_MAX, "%.*s", (int)(to - from), from);
    return n >= 0 && n < VAR_NAME_MAX;
}

bool plan_expand(struct plan *plan, const struct release *release, const char *text, char **out,
                 const char **unknown)
{
    struct buf result;
    bool known = true;
    const char *open;
    if (!text || !strstr(text, "{{")) {
        *out = plan_string(plan, text);
        return true;
    }
    buf_init(&result, VAR_TEXT_MAX);
    while ((open = strstr(text, "{{"))) {
        char name[VAR_NAME_MAX];
        const char *close = strstr(open, "}}");
        if (!close)
            break;
        const char *value = read_name(open + 2, close, name) ? value_of(plan, release, name) : NULL;
        buf_add(&result, text, (size_t)(open - text));
        if (value) {
            buf_adds(&result, value);
        } else {
            if (known && unknown)
                *unknown = plan_string(plan, name);
            known = false;
            buf_add(&result, open, (size_t)(close + 2 - open));
        }
        text = close + 2;
    }
    buf_adds(&result, text);
    *out = plan_string(plan, buf_cstr(&result));
    if (result.overflow && unknown)
        *unknown = "more than 64 KiB of text";
    known = known && !result.overflow;
    buf_release(&result);
    return known;
}

void plan_variables(struct plan *plan, const struct release *release,
                    Gantry__V1__KeyValue ***variables, size_t *count)
{
    const Gantry__V1__ReleaseStarted *started = release->facts->started;
    size_t n = started->n_variables, at = 0;
    for (size_t i = 0; i < release->exports.count; i++)
        n += ((struct exports *)release->exports.items[i])->count;
    *count = n;
    *variables = n ? arena_alloc(plan->arena, n * sizeof(**variables)) : NULL;
    arena_hold(plan->arena, release->facts);
    for (size_t i = 0; i < started->n_variables; i++)
        (*variables)[at++] = started->variables[i];
    for (size_t i = 0; i < release->exports.count; i++) {
        const struct exports *exports = arena_hold(plan->arena, release->exports.items[i]);
        for (size_t j = 0; j < exports->count; j++) {
            Gantry__V1__KeyValue *m =
                PLAN_MESSAGE(plan, Gantry__V1__KeyValue, gantry__v1__key_value__init);
            m->key =
                arena_printf(plan->arena, "actions.%s.%s", exports->action, exports->items[j]->key);
            m->value = exports->items[j]->value;
            (*variables)[at++] = m;
        }
    }
}
