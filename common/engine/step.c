/* state, input, now -> the changes of a Decision. */
#include <stdlib.h>
#include <string.h>

#include "engine/message.h"
#include "engine/plan.h"

/* In front of the array of changes, so that engine_changes_free() finds what it frees. */
struct changes {
    struct arena *arena;
    Gantry__V1__Change *items[];
};

static void dispatch(struct plan *plan)
{
    if (plan->input->kind == ENGINE_CLOCK) {
        step_clock(plan);
        return;
    }
    if (plan->input->kind != ENGINE_RECORD) {
        (plan->input->kind == ENGINE_LOOK ? step_look : step_silence)(plan);
        return;
    }
    switch (plan->input->topic) {
    case TOPIC_DEFINITION:
        step_definition(plan);
        return;
    case TOPIC_SOURCE:
        step_source(plan);
        return;
    case TOPIC_COMMAND:
        step_command(plan);
        return;
    case TOPIC_RESULT_APPROVAL:
        step_vote(plan);
        return;
    case TOPIC_RESULT_BUILD:
    case TOPIC_RESULT_DEPLOY:
    case TOPIC_RESULT_CUSTOM:
        step_result(plan);
        return;
    default:
        err_set(plan->err, ERR_INTERNAL, "topic %s causes no Decision",
                topic_info(plan->input->topic)->name);
        plan->failed = true;
    }
}

static bool is_copy(const struct engine_state *state, const struct engine_input *input)
{
    return input->kind == ENGINE_RECORD && input->ce_id &&
           ids_has(state->ids, ids_hash(topic_info(input->topic)->name, input->ce_id));
}

/* The input's time stands still below the state's: what was decided is never undone by a clock. */
static int64_t never_back(const struct engine_state *state, int64_t now_ms)
{
    return now_ms > state->time_ms ? now_ms : state->time_ms;
}

int engine_step(const struct engine_state *state, const struct engine_input *input, uint64_t epoch,
                int64_t now_ms, Gantry__V1__Decision *decision, struct engine_state **after,
                struct err *err)
{
    struct err unused = {0};
    decision->n_changes = 0;
    decision->changes = NULL;
    if (input->kind == ENGINE_CLOCK && state->deadline_ms > now_ms)
        return 0;
    if (is_copy(state, input))
        return 0;
    struct plan plan = {.state = engine_state_clone(state),
                        .arena = arena_new(),
                        .input = input,
                        .epoch = epoch,
                        .now_ms = never_back(state, now_ms),
                        .err = err ? err : &unused};
    dispatch(&plan);
    bool made = !plan.failed && plan.count > 0;
    if (made && after)
        *after = plan.state;
    else
        engine_state_free(plan.state);
    if (!made) {
        arena_free(plan.arena);
        return plan.failed ? -1 : 0;
    }
    struct changes *changes =
        arena_alloc(plan.arena, sizeof(*changes) + plan.count * sizeof(*changes->items));
    changes->arena = plan.arena;
    memcpy(changes->items, plan.changes, plan.count * sizeof(*changes->items));
    decision->changes = changes->items;
    decision->n_changes = plan.count;
    if (decision->cause)
        decision->cause->actor = message_copy(plan.arena, plan.actor);
    return 1;
}

void engine_changes_free(Gantry__V1__Decision *decision)
{
    if (!decision || !decision->changes)
        return;
    struct changes *changes =
        (struct changes *)((char *)decision->changes - offsetof(struct changes, items));
    decision->changes = NULL;
    decision->n_changes = 0;
    if (decision->cause)
        decision->cause->actor = NULL;
    arena_free(changes->arena);
}

void step_look(struct plan *plan)
{
    plan_advance(plan, 0);
}

/* One that is due a time: each has a Decision of its own. */
void step_clock(struct plan *plan)
{
    for (size_t i = 0; i < plan->state->releases.count; i++) {
        const struct release *release = state_release_at(plan->state, i);
        if (release->deadline_ms > plan->now_ms)
            continue;
        uint64_t number = release->number;
        step_due(plan, release);
        plan_advance(plan, number);
        return;
    }
}
