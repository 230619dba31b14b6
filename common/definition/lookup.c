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

bool def_source_matches(const struct def_source *s, const char *full_ref)
{
    static const char heads[] = "refs/heads/";

    if (!str_starts(full_ref, heads))
        return false;
    for (size_t i = 0; i < s->branches.count; i++)
        if (str_glob(s->branches.items[i], full_ref + sizeof(heads) - 1))
            return true;
    return false;
}

char *definition_key(enum def_kind kind, const char *name)
{
    return kind == DEF_PIPELINE ? mem_strdup(name) : mem_printf("%s/%s", def_kind_name(kind), name);
}
