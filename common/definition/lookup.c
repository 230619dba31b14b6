#include <string.h>

#include "base/mem.h"
#include "definition/definition.h"

const struct def_stage *def_pipeline_stage(const struct def_pipeline *p, const char *name,
                                           size_t *index)
{
    for (size_t i = 0; i < p->stage_count; i++)
        if (str_eq(p->stages[i].name, name)) {
            if (index)
                *index = i;
            return &p->stages[i];
        }
    return NULL;
}

const struct def_action *def_stage_action(const struct def_stage *s, const char *name, size_t *step)
{
    for (size_t i = 0; i < s->step_count; i++)
        for (size_t j = 0; j < s->steps[i].action_count; j++)
            if (str_eq(s->steps[i].actions[j].name, name)) {
                if (step)
                    *step = i;
                return &s->steps[i].actions[j];
            }
    return NULL;
}

const struct def_source *def_pipeline_source(const struct def_pipeline *p, const char *name)
{
    for (size_t i = 0; i < p->source_count; i++)
        if (str_eq(p->sources[i].name, name))
            return &p->sources[i];
    return NULL;
}

static bool any_glob(const struct strv *globs, const char *text)
{
    for (size_t i = 0; i < globs->count; i++)
        if (str_glob(globs->items[i], text))
            return true;
    return false;
}

/* refs/pull/17/head and refs/merge-requests/17/head, as the forges show them. */
static bool is_pull_request(const char *full_ref)
{
    static const char *const roots[] = {"refs/pull/", "refs/merge-requests/"};

    for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
        const char *number = full_ref + strlen(roots[i]);

        if (str_starts(full_ref, roots[i]) && *number >= '1' && *number <= '9')
            return str_eq(number + strspn(number, "0123456789"), "/head");
    }
    return false;
}

bool def_source_matches(const struct def_source *s, const char *full_ref)
{
    static const char heads[] = "refs/heads/", tags[] = "refs/tags/";

    if (str_starts(full_ref, heads))
        return any_glob(&s->branches, full_ref + sizeof(heads) - 1);
    if (str_starts(full_ref, tags))
        return any_glob(&s->tags, full_ref + sizeof(tags) - 1);
    return s->pull_requests && is_pull_request(full_ref);
}

bool def_source_wants(const struct def_source *s, char *const *paths, size_t count, bool complete)
{
    if (!complete || (!s->paths_include.count && !s->paths_exclude.count))
        return true;
    /* A commit that changes nothing is made to start something. */
    if (count == 0)
        return !s->paths_include.count;
    for (size_t i = 0; i < count; i++)
        if ((!s->paths_include.count || any_glob(&s->paths_include, paths[i])) &&
            !any_glob(&s->paths_exclude, paths[i]))
            return true;
    return false;
}

char *definition_key(enum def_kind kind, const char *name)
{
    return kind == DEF_PIPELINE ? mem_strdup(name) : mem_printf("%s/%s", def_kind_name(kind), name);
}
