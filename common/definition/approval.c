#include <stdio.h>
#include <stdlib.h>

#include "definition/kinds.h"
#include "definition/syntax.h"

#define DAY_MS (24 * 3600 * (int64_t)1000)

/* Votes of which there cannot be enough would hold the release until it expires. */
static void check_enough(struct reader *r, const struct def_approval *approval, uint32_t votes,
                         const struct yaml_node *node)
{
    for (size_t i = 0; i < approval->by.count; i++)
        if (!str_starts(approval->by.items[i], "user:"))
            return;
    if (node && approval->by.count > 0 && votes > approval->by.count)
        problem(r, node, "%u votes are asked of %zu people", votes, approval->by.count);
}

static bool has_approval(const struct def_stage *stage)
{
    for (size_t i = 0; i < stage->gate_count; i++)
        if (stage->gates[i].kind == DEF_GATE_APPROVAL)
            return true;
    for (size_t i = 0; i < stage->step_count; i++)
        for (size_t j = 0; j < stage->steps[i].action_count; j++)
            if (stage->steps[i].actions[j].kind == DEF_APPROVAL)
                return true;
    return false;
}

/* `approver-of:` a stage that asks nobody, or asks later, would exclude nobody. */
static void check_approver_of(const struct pipeline_reader *pr, const char *stage,
                              const struct yaml_node *node)
{
    const struct def_pipeline *p = pr->pipeline;
    const char *stages[DEFINITION_STAGES_MAX + 1] = {NULL};
    const char *nearest;
    char meant[128];
    size_t count = 0;

    for (size_t i = 0; i < p->stage_count; i++) {
        if (!p->stages[i].name)
            return;
        if (!has_approval(&p->stages[i]))
            continue;
        if (str_eq(p->stages[i].name, stage))
            return;
        stages[count++] = p->stages[i].name;
    }
    nearest = str_nearest(stage, stages);
    snprintf(meant, sizeof(meant), "approver-of:%s", nearest ? nearest : "");
    if (count == 0)
        problem(pr->r, node, "no stage before this one has an approval");
    else if (nearest)
        problem_near(pr->r, node, meant,
                     "no stage '%s' with an approval is before this one; did you mean '%s'?", stage,
                     meant);
    else
        problem(pr->r, node, "no stage '%s' with an approval is before this one", stage);
}

static void check_one_excluded(const struct pipeline_reader *pr, const struct yaml_node *node)
{
    static const char before[] = "approver-of:";

    if (node->type == YAML_TEXT && str_starts(node->text, before) && !syntax_excluded(node->text))
        check_approver_of(pr, node->text + sizeof(before) - 1, node);
}

static void check_excluded(const struct pipeline_reader *pr, const struct yaml_node *node)
{
    size_t mark, i = 0;

    if (!node)
        return;
    if (node->type == YAML_TEXT) {
        check_one_excluded(pr, node);
        return;
    }
    mark = reader_enter_key(pr->r, node->key->text);
    for (const struct yaml_node *n = node->type == YAML_LIST ? node->first : NULL; n; n = n->next) {
        size_t item = reader_enter_index(pr->r, i++);

        check_one_excluded(pr, n);
        reader_leave(pr->r, item);
    }
    reader_leave(pr->r, mark);
}

static void read_excluded(const struct pipeline_reader *pr, struct def_approval *approval,
                          const struct yaml_node *node)
{
    struct strv words = {0};

    strv_add(&words, "author");
    strv_add(&words, "starter");
    for (size_t i = 0; i < pr->pipeline->stage_count; i++)
        if (pr->pipeline->stages[i].name)
            strv_addf(&words, "approver-of:%s", pr->pipeline->stages[i].name);
    read_words(pr->r, node, DEF_NAMES_MAX, syntax_excluded, (const char *const *)words.items,
               &approval->not_);
    strv_release(&words);
}

static void fill(struct pipeline_reader *pr, struct def_approval *approval,
                 const struct yaml_node *const *values)
{
    /* The page's five minutes are advice: an expiry that is shorter serves trials. */
    static const struct span span = {1000, 60 * DAY_MS, "1s to 60d"};
    struct reader *r = pr->r;

    read_texts(r, values[APPROVAL_BY], DEF_NAMES_MAX, syntax_voter, &approval->by);
    approval->count = read_count(r, values[APPROVAL_COUNT], DEF_NAMES_MAX, 1);
    approval->rejects = read_count(r, values[APPROVAL_REJECTS], DEF_NAMES_MAX, 1);
    read_excluded(pr, approval, values[APPROVAL_NOT]);
    check_excluded(pr, values[APPROVAL_NOT]);
    approval->expires_ms = read_duration(r, values[APPROVAL_EXPIRES], &span, 7 * DAY_MS);
    approval->message =
        read_text(r, values[APPROVAL_MESSAGE], DEF_MESSAGE_MAX, TEXT_LINES | TEXT_EMPTY);
    if (approval->message)
        templates_check(pr, values[APPROVAL_MESSAGE]);
    check_enough(r, approval, approval->count, values[APPROVAL_COUNT]);
    check_enough(r, approval, approval->rejects, values[APPROVAL_REJECTS]);
}

void approval_read(struct pipeline_reader *pr, struct def_approval *approval,
                   const struct yaml_node *map)
{
    const struct yaml_node *values[APPROVAL_KEYS];

    if (read_fields(pr->r, map, &approval_gate_keys, values) == 0)
        fill(pr, approval, values);
}

char *approval_action_read(struct pipeline_reader *pr, struct def_approval *approval,
                           const struct yaml_node *map)
{
    const struct yaml_node *values[APPROVAL_KEYS];

    if (read_fields(pr->r, map, &approval_action_keys, values) < 0)
        return NULL;
    fill(pr, approval, values);
    return read_checked(pr->r, values[APPROVAL_NAME], syntax_name);
}

void approval_release(struct def_approval *approval)
{
    strv_release(&approval->by);
    strv_release(&approval->not_);
    free(approval->message);
}
