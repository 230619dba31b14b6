#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

static void read_mode(struct reader *r, struct def_pipeline *pipeline, const struct yaml_node *node)
{
    static const enum def_mode modes[] = {DEF_SUPERSEDED, DEF_QUEUED, DEF_PARALLEL};

    pipeline->mode = DEF_SUPERSEDED;
    if (!node)
        return;
    for (size_t i = 0; mode_words[i] && node->type == YAML_TEXT; i++)
        if (str_eq(node->text, mode_words[i])) {
            pipeline->mode = modes[i];
            return;
        }
    problem_word(r, node, "a mode", mode_words);
}

static void read_on_failure(struct pipeline_reader *pr, struct def_stage *stage,
                            const struct yaml_node *node)
{
    static const char *const choices[] = {"fail", "retry N", "rollback", NULL};
    const char *text = node && node->type == YAML_TEXT ? node->text : "";
    uint64_t retries;

    stage->on_failure = DEF_FAIL;
    if (!node || str_eq(text, "fail"))
        return;
    if (str_eq(text, "rollback")) {
        stage->on_failure = DEF_ROLLBACK;
        if (pr->pipeline->mode == DEF_PARALLEL)
            problem(pr->r, node, "a pipeline of mode 'parallel' has no rollback");
    } else if (str_eq(text, "retry") || str_starts(text, "retry ")) {
        stage->on_failure = DEF_RETRY;
        if (!text[5] || str_to_u64(text + 6, &retries) < 0 || retries < 1 ||
            retries > DEF_RETRIES_MAX)
            problem(pr->r, node, "expected how often too, from 1 to %d, such as 'retry 2'",
                    DEF_RETRIES_MAX);
        else
            stage->retries = (uint32_t)retries;
    } else {
        problem_word(pr->r, node, "what can be done on failure", choices);
    }
}

static void read_steps(struct pipeline_reader *pr, struct def_stage *stage,
                       const struct yaml_node *node)
{
    const struct yaml_node *list = read_list(pr->r, node, DEFINITION_STAGE_ACTIONS_MAX, "steps");
    size_t before = pr->action_count;
    size_t mark;

    if (!list)
        return;
    stage->steps = mem_alloc(list->count * sizeof(*stage->steps));
    mark = reader_enter_key(pr->r, list->key->text);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        size_t item = reader_enter_index(pr->r, stage->step_count);

        step_read(pr, stage, &stage->steps[stage->step_count++], n);
        reader_leave(pr->r, item);
    }
    reader_leave(pr->r, mark);
    if (pr->action_count - before > DEFINITION_STAGE_ACTIONS_MAX)
        problem(pr->r, list, "%zu actions, of which a stage may have %d", pr->action_count - before,
                DEFINITION_STAGE_ACTIONS_MAX);
}

static void read_stage(struct pipeline_reader *pr, struct def_stage *stage,
                       const struct yaml_node *map)
{
    const struct yaml_node *values[STAGE_KEYS];
    char *name;

    stage->line = map->line;
    if (read_fields(pr->r, map, &stage_keys, values) < 0)
        return;
    name = read_checked(pr->r, values[STAGE_NAME], syntax_name);
    if (name && def_pipeline_stage(pr->pipeline, name, NULL))
        problem(pr->r, values[STAGE_NAME], "another stage has the name '%s'", name);
    stage->name = name;
    gates_read(pr, stage, values[STAGE_GATES]);
    read_steps(pr, stage, values[STAGE_STEPS]);
    read_on_failure(pr, stage, values[STAGE_ON_FAILURE]);
    stage->rollback_approval = read_bool(pr->r, values[STAGE_ROLLBACK_APPROVAL], false);
}

static void read_stages(struct pipeline_reader *pr, const struct yaml_node *node)
{
    struct def_pipeline *pipeline = pr->pipeline;
    const struct yaml_node *list = read_list(pr->r, node, DEFINITION_STAGES_MAX, "stages");
    size_t mark;

    if (!list)
        return;
    pipeline->stages = mem_alloc(list->count * sizeof(*pipeline->stages));
    mark = reader_enter_key(pr->r, list->key->text);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        size_t item = reader_enter_index(pr->r, pipeline->stage_count);

        read_stage(pr, &pipeline->stages[pipeline->stage_count], n);
        pipeline->stage_count++;
        reader_leave(pr->r, item);
    }
    reader_leave(pr->r, mark);
    if (pr->action_count > DEFINITION_ACTIONS_MAX)
        problem(pr->r, list, "%zu actions, of which a pipeline may have %d", pr->action_count,
                DEFINITION_ACTIONS_MAX);
}

/* Each release carries them. */
static void check_variables(struct reader *r, const struct def_pipeline *pipeline,
                            const struct yaml_node *node)
{
    size_t bytes = 0;

    for (size_t i = 0; i < pipeline->variable_count; i++)
        bytes += strlen(pipeline->variables[i].key) + strlen(pipeline->variables[i].value);
    if (bytes > DEFINITION_VARIABLES_MAX)
        problem(r, node, "they take %zu bytes, of which a release may carry %d", bytes,
                DEFINITION_VARIABLES_MAX);
}

struct def_pipeline *pipeline_read(struct reader *r, const struct yaml_node *spec)
{
    const struct yaml_node *values[PIPELINE_KEYS];
    struct def_pipeline *pipeline = mem_alloc(sizeof(*pipeline));
    struct pipeline_reader pr = {.r = r, .pipeline = pipeline};

    if (read_fields(r, spec, &pipeline_keys, values) < 0)
        return pipeline;
    read_mode(r, pipeline, values[PIPELINE_MODE]);
    pipeline->variables = read_pairs(r, values[PIPELINE_VARIABLES], DEF_NAMES_MAX, syntax_variable,
                                     &pipeline->variable_count);
    check_variables(r, pipeline, values[PIPELINE_VARIABLES]);
    pr.variables_unsure =
        values[PIPELINE_VARIABLES] && values[PIPELINE_VARIABLES]->count != pipeline->variable_count;
    sources_read(r, pipeline, values[PIPELINE_SOURCES]);
    pr.sources_unsure = pipeline->source_count == 0;
    for (size_t i = 0; i < pipeline->source_count; i++)
        pr.sources_unsure |= !pipeline->sources[i].name;
    pr.image_builds = image_builds_count(values[PIPELINE_STAGES]);
    read_stages(&pr, values[PIPELINE_STAGES]);
    strv_release(&pr.images);
    strv_release(&pr.actions);
    return pipeline;
}

static void stage_release(struct def_stage *stage)
{
    free(stage->name);
    for (size_t i = 0; i < stage->gate_count; i++)
        gate_release(&stage->gates[i]);
    free(stage->gates);
    for (size_t i = 0; i < stage->step_count; i++)
        step_release(&stage->steps[i]);
    free(stage->steps);
}

void pipeline_free(struct def_pipeline *pipeline)
{
    if (!pipeline)
        return;
    free(pipeline->name);
    def_pairs_free(pipeline->labels, pipeline->label_count);
    def_pairs_free(pipeline->variables, pipeline->variable_count);
    for (size_t i = 0; i < pipeline->source_count; i++)
        source_release(&pipeline->sources[i]);
    free(pipeline->sources);
    for (size_t i = 0; i < pipeline->stage_count; i++)
        stage_release(&pipeline->stages[i]);
    free(pipeline->stages);
    free(pipeline);
}
