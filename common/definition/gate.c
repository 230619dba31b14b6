#include <stdlib.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define DAY_MS    (24 * 60 * MINUTE_MS)

static const enum def_gate_kind gate_kinds[] = {
    [GATE_APPROVAL] = DEF_GATE_APPROVAL, [GATE_SOAK] = DEF_GATE_SOAK,
    [GATE_WINDOW] = DEF_GATE_WINDOW,     [GATE_MANUAL] = DEF_GATE_MANUAL,
    [GATE_CHECK] = DEF_GATE_CHECK,
};

/* `approval`, then `approval-2` and so on: what ids and votes know the gate by. */
static char *gate_name(const struct def_stage *stage, size_t which)
{
    const char *kind = gate_keys.fields[which].key;
    size_t number = 1;

    for (size_t i = 0; i < stage->gate_count; i++)
        number += stage->gates[i].kind == gate_kinds[which];
    return number > 1 ? mem_printf("%s-%zu", kind, number) : mem_strdup(kind);
}

char *window_text_read(struct reader *r, struct window **window, const struct yaml_node *node)
{
    struct err err = {0};
    char *text = read_text(r, node, DEF_REASON_MAX, 0);

    if (!text)
        return NULL;
    if (window_parse(window, text, &err) < 0)
        problem(r, node, "%s", err.msg);
    return text;
}

static void read_soak(struct pipeline_reader *pr, struct def_gate *gate,
                      const struct yaml_node *node)
{
    static const struct span span = {SECOND_MS, 60 * DAY_MS, "1s to 60d"};

    gate->soak_ms = read_duration(pr->r, node, &span, DAY_MS);
    if (pr->pipeline->stage_count == 0)
        problem(pr->r, node, "there is no stage before the first in which it could soak");
}

static void read_check(struct pipeline_reader *pr, struct def_gate *gate,
                       const struct yaml_node *map)
{
    static const struct span span = {SECOND_MS, DAY_MS, "1s to 1d"};
    const struct yaml_node *values[CHECK_KEYS];
    struct reader *r = pr->r;
    size_t mark = reader_enter_key(r, map->key->text);

    if (read_fields(r, map, &check_keys, values) == 0) {
        gate->check.type = read_checked(r, values[CHECK_CUSTOM], syntax_name);
        gate->check.input = read_pairs(r, values[CHECK_INPUT], DEF_NAMES_MAX, syntax_input,
                                       &gate->check.input_count);
        templates_check(pr, values[CHECK_INPUT]);
        gate->check.every_ms = read_duration(r, values[CHECK_EVERY], &span, 5 * MINUTE_MS);
        gate->check.timeout_ms =
            read_duration(r, values[CHECK_TIMEOUT], &span,
                          gate->check.every_ms > MINUTE_MS ? gate->check.every_ms : MINUTE_MS);
    }
    reader_leave(r, mark);
}

/* Two of these say no more than one. */
static void check_alone(struct reader *r, const struct def_stage *stage,
                        const struct def_gate *gate, const struct yaml_node *value)
{
    for (const struct def_gate *g = stage->gates; g < gate; g++)
        if (g->kind == gate->kind)
            problem(r, value, "another gate of this stage is '%s'", g->name);
}

static void read_value(struct pipeline_reader *pr, struct def_stage *stage, struct def_gate *gate,
                       const struct yaml_node *value)
{
    struct reader *r = pr->r;
    size_t mark;

    if (yaml_is_null(value)) {
        problem(r, value, "needs a value");
        return;
    }
    switch (gate->kind) {
    case DEF_GATE_APPROVAL:
        mark = reader_enter_key(r, value->key->text);
        approval_read(pr, &gate->approval, value);
        reader_leave(r, mark);
        break;
    case DEF_GATE_SOAK:
        read_soak(pr, gate, value);
        check_alone(r, stage, gate, value);
        break;
    case DEF_GATE_WINDOW:
        gate->window_text = window_text_read(r, &gate->window, value);
        break;
    case DEF_GATE_MANUAL:
        if (!read_bool(r, value, true))
            problem(r, value, "expected true: without this entry the stage is not held");
        check_alone(r, stage, gate, value);
        break;
    case DEF_GATE_CHECK:
        read_check(pr, gate, value);
        break;
    }
}

static void read_gate(struct pipeline_reader *pr, struct def_stage *stage,
                      const struct yaml_node *entry)
{
    const struct yaml_node *value = entry->first;
    struct def_gate *gate = &stage->gates[stage->gate_count];
    size_t which = 0, mark;

    if (entry->type != YAML_MAP || entry->count != 1) {
        problem_at(pr->r->problems, entry->line, entry->column, pr->r->path,
                   "expected one gate, such as 'approval: {by: [group:qa]}' or 'soak: 2h'");
        return;
    }
    while (which < GATE_KEYS && !str_eq(gate_keys.fields[which].key, value->key->text))
        which++;
    if (which == GATE_KEYS) {
        const char *kinds[GATE_KEYS + 1] = {NULL};

        for (size_t i = 0; i < GATE_KEYS; i++)
            kinds[i] = gate_keys.fields[i].key;
        mark = reader_enter_key(pr->r, value->key->text);
        problem_word(pr->r, value->key, "a gate", kinds);
        reader_leave(pr->r, mark);
        return;
    }
    gate->kind = gate_kinds[which];
    gate->line = entry->line;
    gate->name = gate_name(stage, which);
    read_value(pr, stage, gate, value);
    stage->gate_count++;
}

void gates_read(struct pipeline_reader *pr, struct def_stage *stage, const struct yaml_node *node)
{
    struct reader *r = pr->r;
    const struct yaml_node *list =
        node && asks_nothing(node) ? NULL : read_list(r, node, DEF_GATES_MAX, "gates");
    size_t mark;
    size_t i = 0;

    if (!list)
        return;
    stage->gates = mem_alloc(list->count * sizeof(*stage->gates));
    mark = reader_enter_key(r, list->key->text);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        size_t item = reader_enter_index(r, i++);

        read_gate(pr, stage, n);
        reader_leave(r, item);
    }
    reader_leave(r, mark);
}

void gate_release(struct def_gate *gate)
{
    free(gate->name);
    approval_release(&gate->approval);
    window_free(gate->window);
    free(gate->window_text);
    free(gate->check.type);
    def_pairs_free(gate->check.input, gate->check.input_count);
}
