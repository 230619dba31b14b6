#include <stdlib.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

#define BRANCHES_MAX  50
#define VARIABLES_MAX 100
#define GATES_MAX     20

static void read_mode(struct reader *r, struct def_pipeline *pipeline, const struct yaml_node *node)
{
    static const char *const modes[] = {"superseded", "queued", NULL};

    pipeline->mode = DEF_SUPERSEDED;
    if (!node || (node->type == YAML_TEXT && str_eq(node->text, modes[0])))
        return;
    if (node->type == YAML_TEXT && str_eq(node->text, modes[1]))
        pipeline->mode = DEF_QUEUED;
    else if (node->type == YAML_TEXT && str_eq(node->text, "parallel"))
        problem(r, node, "the mode 'parallel' is not supported yet");
    else
        problem_word(r, node, "a mode", modes);
}

static int64_t read_poll(struct reader *r, const struct yaml_node *node)
{
    static const struct span span = {1000, 24 * 3600 * 1000, "1s to 1d, or 0 for webhooks only"};

    if (node && node->type == YAML_TEXT && str_eq(node->text, "0"))
        return 0;
    return read_duration(r, node, &span, 60 * 1000);
}

static void read_source(struct reader *r, struct def_pipeline *pipeline, struct def_source *source,
                        const struct yaml_node *map)
{
    static const struct field fields[] = {{"name", FIELD_REQUIRED},
                                          {"git", FIELD_REQUIRED},
                                          {"branches", FIELD_REQUIRED},
                                          {"credentials", 0},
                                          {"poll", 0},
                                          {"tags", FIELD_LATER},
                                          {"pull-requests", FIELD_LATER},
                                          {"paths", FIELD_LATER},
                                          {NULL, 0}};
    enum { NAME, GIT, BRANCHES, CREDENTIALS, POLL };
    const struct yaml_node *VALUES_OF(fields);
    char *name;

    source->line = map->line;
    if (read_fields(r, map, "a source", fields, values) < 0)
        return;
    name = read_checked(r, values[NAME], syntax_name);
    if (name && def_pipeline_source(pipeline, name))
        problem(r, values[NAME], "another source has the name '%s'", name);
    source->name = name;
    source->git = read_checked(r, values[GIT], syntax_git);
    if (values[BRANCHES] && values[BRANCHES]->type == YAML_LIST)
        read_list(r, values[BRANCHES], BRANCHES_MAX, "branches");
    read_texts(r, values[BRANCHES], BRANCHES_MAX, syntax_branch, &source->branches);
    source->credentials = read_checked(r, values[CREDENTIALS], syntax_secret);
    source->poll_ms = read_poll(r, values[POLL]);
}

static void read_sources(struct reader *r, struct def_pipeline *pipeline,
                         const struct yaml_node *node)
{
    const struct yaml_node *list = read_list(r, node, DEFINITION_SOURCES_MAX, "sources");
    size_t mark;

    if (!list)
        return;
    pipeline->sources = mem_alloc(list->count * sizeof(*pipeline->sources));
    mark = reader_enter_key(r, list->key->text);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        size_t item = reader_enter_index(r, pipeline->source_count);

        read_source(r, pipeline, &pipeline->sources[pipeline->source_count], n);
        pipeline->source_count++;
        reader_leave(r, item);
    }
    reader_leave(r, mark);
}

/* `approval`, then `approval-2` and so on: what ids and votes know the gate by. */
static char *gate_name(const struct def_stage *stage)
{
    return stage->gate_count ? mem_printf("approval-%zu", stage->gate_count + 1)
                             : mem_strdup("approval");
}

static void read_gate(struct reader *r, struct def_stage *stage, const struct yaml_node *entry)
{
    static const char *const kinds[] = {"approval", NULL};
    static const char *const later[] = {"soak", "window", "manual", "check"};
    const struct yaml_node *value = entry->first;
    struct def_gate *gate = &stage->gates[stage->gate_count];
    size_t mark;

    if (entry->type != YAML_MAP || entry->count != 1) {
        problem_at(r->problems, entry->line, entry->column, r->path,
                   "expected one gate, such as 'approval: {by: [group:qa]}'");
        return;
    }
    mark = reader_enter_key(r, value->key->text);
    if (str_eq(value->key->text, "approval")) {
        gate->kind = DEF_GATE_APPROVAL;
        gate->line = entry->line;
        gate->name = gate_name(stage);
        stage->gate_count++;
        approval_read(r, &gate->approval, value);
        reader_leave(r, mark);
        return;
    }
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
        if (str_eq(value->key->text, later[i])) {
            problem(r, value->key, "the gate '%s' is not supported yet", later[i]);
            reader_leave(r, mark);
            return;
        }
    problem_word(r, value->key, "a gate", kinds);
    reader_leave(r, mark);
}

static void read_gates(struct reader *r, struct def_stage *stage, const struct yaml_node *node)
{
    const struct yaml_node *list =
        node && asks_nothing(node) ? NULL : read_list(r, node, GATES_MAX, "gates");
    size_t mark;
    size_t i = 0;

    if (!list)
        return;
    stage->gates = mem_alloc(list->count * sizeof(*stage->gates));
    mark = reader_enter_key(r, list->key->text);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        size_t item = reader_enter_index(r, i++);

        read_gate(r, stage, n);
        reader_leave(r, item);
    }
    reader_leave(r, mark);
}

static void read_on_failure(struct reader *r, struct def_stage *stage, const struct yaml_node *node)
{
    static const char *const choices[] = {"fail", NULL};

    stage->on_failure = DEF_FAIL;
    if (!node || (node->type == YAML_TEXT && str_eq(node->text, "fail")))
        return;
    if (node->type == YAML_TEXT && (str_eq(node->text, "rollback") || str_eq(node->text, "retry") ||
                                    str_starts(node->text, "retry ")))
        problem(r, node, "'%.20s' is not supported yet", node->text);
    else
        problem_word(r, node, "what can be done on failure", choices);
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
    static const struct field fields[] = {{"name", FIELD_REQUIRED},  {"gates", 0},
                                          {"steps", FIELD_REQUIRED}, {"on-failure", 0},
                                          {"rollback-approval", 0},  {NULL, 0}};
    enum { NAME, GATES, STEPS, ON_FAILURE, ROLLBACK_APPROVAL };
    const struct yaml_node *VALUES_OF(fields);
    char *name;

    stage->line = map->line;
    if (read_fields(pr->r, map, "a stage", fields, values) < 0)
        return;
    name = read_checked(pr->r, values[NAME], syntax_name);
    if (name && def_pipeline_stage(pr->pipeline, name, NULL))
        problem(pr->r, values[NAME], "another stage has the name '%s'", name);
    stage->name = name;
    read_gates(pr->r, stage, values[GATES]);
    read_steps(pr, stage, values[STEPS]);
    read_on_failure(pr->r, stage, values[ON_FAILURE]);
    stage->rollback_approval = read_bool(pr->r, values[ROLLBACK_APPROVAL], false);
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

struct def_pipeline *pipeline_read(struct reader *r, const struct yaml_node *spec)
{
    static const struct field fields[] = {{"mode", 0},
                                          {"variables", 0},
                                          {"sources", FIELD_REQUIRED},
                                          {"stages", FIELD_REQUIRED},
                                          {NULL, 0}};
    enum { MODE, VARIABLES, SOURCES, STAGES };
    const struct yaml_node *VALUES_OF(fields);
    struct def_pipeline *pipeline = mem_alloc(sizeof(*pipeline));
    struct pipeline_reader pr = {.r = r, .pipeline = pipeline};

    if (read_fields(r, spec, "a pipeline", fields, values) < 0)
        return pipeline;
    read_mode(r, pipeline, values[MODE]);
    pipeline->variables =
        read_pairs(r, values[VARIABLES], VARIABLES_MAX, syntax_variable, &pipeline->variable_count);
    read_sources(r, pipeline, values[SOURCES]);
    read_stages(&pr, values[STAGES]);
    strv_release(&pr.images);
    strv_release(&pr.step_images);
    return pipeline;
}

static void stage_release(struct def_stage *stage)
{
    free(stage->name);
    for (size_t i = 0; i < stage->gate_count; i++) {
        free(stage->gates[i].name);
        approval_release(&stage->gates[i].approval);
    }
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
    for (size_t i = 0; i < pipeline->source_count; i++) {
        free(pipeline->sources[i].name);
        free(pipeline->sources[i].git);
        strv_release(&pipeline->sources[i].branches);
        free(pipeline->sources[i].credentials);
    }
    free(pipeline->sources);
    for (size_t i = 0; i < pipeline->stage_count; i++)
        stage_release(&pipeline->stages[i]);
    free(pipeline->stages);
    free(pipeline);
}
