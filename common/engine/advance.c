/* What follows by itself: stages that end, transitions that are passed, actions that are due.
 *
 * Every rule looks at the state as the changes so far have left it and makes at most a few changes;
 * the rules are applied until none applies any more. Older releases come first, since they are
 * further ahead and make room for those behind them. */
#include <stdlib.h>
#include <string.h>

#include "engine/plan.h"

static const struct def_stage *stage_at(const struct release *release)
{
    return release_stage(release);
}

static bool waits_at(const struct release *release, const char *stage)
{
    return release->phase == RELEASE_WAITING && strcmp(stage_at(release)->name, stage) == 0;
}

/* ---- inside a stage ---- */

/* What keeps a stage from succeeding, for people. */
static const char *why_not(struct plan *plan, const struct release *release)
{
    const struct def_stage *stage = stage_at(release);
    for (size_t i = 0; i < release->run_count; i++) {
        if (release->runs[i].state > RUN_SUCCEEDED)
            return plan_text(plan, "action '%s' %s", stage_action_at(stage, i, NULL)->name,
                             release->runs[i].state == RUN_FAILED      ? "failed"
                             : release->runs[i].state == RUN_ABANDONED ? "was abandoned"
                                                                       : "was stopped");
    }
    return "";
}

/* A stage that can't succeed waits for nobody's approval. */
static void close_approvals_inside(struct plan *plan, uint64_t number, const char *reason)
{
    const struct release *release = state_release(plan->state, number);
    for (size_t i = 0; !plan->failed && i < release->run_count; i++) {
        const struct run *run = &release->runs[i];
        const struct def_action *action = stage_action_at(stage_at(release), i, NULL);
        if (action->kind != DEF_APPROVAL || !run_is_under_way(run))
            continue;
        plan_approval_close(plan, number, action->name, &action->approval,
                            GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_STOPPED, reason);
        release = state_release(plan->state, number);
        plan_action_ended(plan, release, (struct slot){i, 0}, GANTRY__V1__STATUS__STATUS_STOPPED,
                          reason, NULL, false);
        release = state_release(plan->state, number);
    }
}

void plan_abandon(struct plan *plan, uint64_t number, const char *reason)
{
    close_approvals_inside(plan, number, reason);
    for (size_t i = 0; !plan->failed; i++) {
        const struct release *release = state_release(plan->state, number);
        if (i >= release->run_count)
            break;
        if (!run_is_under_way(&release->runs[i]))
            continue;
        if (release->runs[i].state == RUN_BUILDING)
            plan_batch_stop(plan, number, i, GANTRY__V1__STATUS__STATUS_ABANDONED, reason);
        if (plan->failed)
            break;
        plan_action_ended(plan, state_release(plan->state, number), (struct slot){i, 0},
                          GANTRY__V1__STATUS__STATUS_ABANDONED, reason, NULL, true);
    }
}

/* How a stage ends that did not succeed: stopped counts only if nothing failed by itself. */
static int status_of(const struct release *release)
{
    for (size_t i = 0; i < release->run_count; i++) {
        if (release->runs[i].state == RUN_FAILED ||
            (release->runs[i].state == RUN_STOPPED && !release->stopping))
            return GANTRY__V1__STATUS__STATUS_FAILED;
    }
    return release->stopping == GANTRY__V1__STOP_MODE_TAKEN__STOP_MODE_TAKEN_ABANDON
               ? GANTRY__V1__STATUS__STATUS_ABANDONED
               : GANTRY__V1__STATUS__STATUS_STOPPED;
}

static void retry_by_itself(struct plan *plan, const struct release *release, const char *why)
{
    const struct def_stage *stage = stage_at(release);
    Gantry__V1__StageEntered *m =
        PLAN_MESSAGE(plan, Gantry__V1__StageEntered, gantry__v1__stage_entered__init);
    m->release = release->number;
    m->stage = plan_string(plan, stage->name);
    m->number = release->entered + 1;
    m->automatic = true;
    m->reason =
        (char *)plan_text(plan, "retry %u of %u: %s", release->retries + 1, stage->retries, why);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED, m);
}

static void end_badly(struct plan *plan, uint64_t number)
{
    const struct release *release = state_release(plan->state, number);
    const struct def_stage *stage = stage_at(release);
    bool stopping = release->stopping != 0;
    const char *why = why_not(plan, release);
    const char *name = plan_string(plan, stage->name);
    bool failed = status_of(release) == GANTRY__V1__STATUS__STATUS_FAILED && !stopping;
    if (failed && stage->on_failure == DEF_RETRY && release->retries < stage->retries) {
        retry_by_itself(plan, release, why);
        return;
    }
    bool go_back = failed && stage->on_failure == DEF_ROLLBACK && !release_is_rollback(release);
    plan_stage_ended(plan, number, status_of(release), *why ? why : "the release was stopped");
    plan_release_ended(
        plan, number,
        stopping ? GANTRY__V1__STATUS__STATUS_STOPPED : GANTRY__V1__STATUS__STATUS_FAILED,
        stopping ? "it was stopped" : plan_text(plan, "stage '%s' failed: %s", name, why), 0);
    if (go_back && !plan->failed)
        plan_rollback_by_itself(plan, name, number);
}

/* The digest that a stage runs went back, so what people said about going on from there no longer
 * holds: the revisions between are others now. */
static void ask_again(struct plan *plan, const char *stage, uint64_t rollback)
{
    const char *reason = plan_text(plan, "stage '%s' was rolled back by release %llu", stage,
                                   (unsigned long long)rollback);
    for (size_t i = 0; !plan->failed && i < plan->state->releases.count; i++) {
        uint64_t number = state_release_at(plan->state, i)->number;
        const struct release *release = state_release(plan->state, number);
        for (size_t j = 0; waits_at(release, stage) && j < release->gate_count; j++) {
            const struct def_gate *gate = &stage_at(release)->gates[j];
            const struct approval *approval = release->gates[j].approval;
            if (!approval || approval->state == APPROVAL_NONE || release->gates[j].overridden)
                continue;
            if (approval->state == APPROVAL_OPEN)
                plan_approval_close(plan, number, gate->name, &gate->approval,
                                    GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_SUPERSEDED,
                                    reason);
            plan_approval_open(plan, number, gate->name, &gate->approval);
            if (plan->failed)
                return;
            release = state_release(plan->state, number);
        }
    }
}

static void end_well(struct plan *plan, uint64_t number)
{
    const struct release *release = state_release(plan->state, number);
    const char *stage = plan_string(plan, stage_at(release)->name);
    bool rollback = release_is_rollback(release), stopping = release->stopping != 0;
    plan_stage_ended(plan, number, GANTRY__V1__STATUS__STATUS_SUCCEEDED, "");
    if (plan->failed)
        return;
    if (state_release(plan->state, number)->phase == RELEASE_OUT)
        plan_release_ended(plan, number, GANTRY__V1__STATUS__STATUS_SUCCEEDED, "", 0);
    else if (stopping)
        plan_release_ended(plan, number, GANTRY__V1__STATUS__STATUS_STOPPED, "it was stopped", 0);
    if (rollback)
        ask_again(plan, stage, number);
}

/* Requests the actions of the first step that is not done. True: something changed. */
static bool request_step(struct plan *plan, uint64_t number)
{
    const struct release *release = state_release(plan->state, number);
    size_t first = SIZE_MAX, count = release->run_count;
    bool changed = false;
    for (size_t i = 0; i < count; i++) {
        size_t step = 0;
        release = state_release(plan->state, number);
        const struct run *run = &release->runs[i];
        if (run->state == RUN_SUCCEEDED)
            continue;
        stage_action_at(stage_at(release), i, &step);
        if (first == SIZE_MAX)
            first = step;
        if (step != first || plan_is_full(plan) || plan->failed)
            break;
        if (run->state == RUN_NONE) {
            plan_request(plan, number, (struct slot){i, 0});
            changed = true;
        }
    }
    return changed;
}

static bool advance_inside(struct plan *plan, uint64_t number)
{
    const struct release *release = state_release(plan->state, number);
    size_t succeeded = 0, failed = 0, running = 0, asked = 0;
    for (size_t i = 0; i < release->run_count; i++) {
        if (release->runs[i].state == RUN_BUILDING && plan_batch_advance(plan, number, i))
            return true;
        release = state_release(plan->state, number);
    }
    for (size_t i = 0; i < release->run_count; i++) {
        const struct run *run = &release->runs[i];
        succeeded += run->state == RUN_SUCCEEDED;
        failed += run->state > RUN_SUCCEEDED;
        running += run_is_under_way(run);
        asked += run_is_under_way(run) && run->approval && run->approval->state == APPROVAL_OPEN;
    }
    if (succeeded == release->run_count) {
        end_well(plan, number);
        return true;
    }
    if (!failed && !release->stopping)
        return request_step(plan, number);
    if (asked) {
        close_approvals_inside(plan, number,
                               failed ? "another action failed" : "the release was stopped");
        return true;
    }
    if (running)
        return false; /* the others of its step finish what they began */
    end_badly(plan, number);
    return true;
}

/* ---- on a transition ---- */

void plan_end_waiting(struct plan *plan, uint64_t number, int outcome, int status,
                      const char *reason, uint64_t superseded_by)
{
    plan_close_gates(plan, number, outcome, reason);
    plan_release_ended(plan, number, status, reason, superseded_by);
}

/* A rollback is a person's order: pushes do not supersede it, and it supersedes no push. */
static uint64_t superseded_by(const struct engine_state *state, const struct release *release)
{
    const char *name = stage_at(release)->name;
    const struct stage *stage = state_stage(state, name);
    bool rollback = release_is_rollback(release);
    if (!rollback && stage && stage->entered_max > release->number)
        return stage->entered_max;
    for (size_t i = state->releases.count; i-- > 0;) {
        const struct release *other = state_release_at(state, i);
        if (other->number <= release->number)
            break;
        if (waits_at(other, name) && release_is_rollback(other) == rollback)
            return other->number;
    }
    return 0;
}

/* Ends one release whose place this one takes, or this one, if its own place is taken. Those go
 * before it is said that this one waits. */
static bool take_place(struct plan *plan, uint64_t number)
{
    for (size_t i = 0; !plan->failed && i < plan->state->releases.count; i++) {
        const struct release *other = state_release_at(plan->state, i);
        if (other->number > number || other->phase != RELEASE_WAITING)
            continue;
        uint64_t newer = superseded_by(plan->state, other);
        if (!newer || (newer != number && other->number != number))
            continue;
        plan_end_waiting(
            plan, other->number, GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_SUPERSEDED,
            GANTRY__V1__STATUS__STATUS_SUPERSEDED,
            plan_text(plan, "release %llu took its place", (unsigned long long)newer), newer);
        return true;
    }
    return false;
}

static bool is_free(struct plan *plan, const struct release *release)
{
    struct holds holds;
    plan_survey(plan, release, &holds);
    return holds.count == 0;
}

/* Who goes into the stage before this release; NULL: nobody. Queued: who came before. Superseded: a
 * rollback that may go. */
static const struct release *ahead_of(struct plan *plan, const struct release *release)
{
    const struct engine_state *state = plan->state;
    const char *name = stage_at(release)->name;
    bool queued = state_definition(state)->mode == DEF_QUEUED;
    const struct release *ahead = NULL;
    bool waiting = release->phase == RELEASE_WAITING; /* else it comes again, behind all */
    for (size_t i = 0; !state_is_parallel(state) && i < state->releases.count; i++) {
        const struct release *other = state_release_at(state, i);
        if (other == release || !waits_at(other, name))
            continue;
        if (queued ? !waiting || other->arrived < release->arrived
                   : release_is_rollback(other) && !release_is_rollback(release) &&
                         is_free(plan, other)) {
            if (!ahead || other->arrived > ahead->arrived)
                ahead = other; /* of several, the one right before */
        }
    }
    return ahead;
}

/* A release in a queue has one before it, and is asked about when it is the first. */
static void survey(struct plan *plan, const struct release *release, const struct release *ahead,
                   struct holds *holds)
{
    const struct release *occupant = state_occupant(plan->state, stage_at(release)->name);
    struct holds own;
    *holds = (struct holds){0};
    if (ahead && state_definition(plan->state)->mode == DEF_QUEUED) {
        plan_hold(plan, holds,
                  arena_printf(plan->arena, "behind:%llu", (unsigned long long)ahead->number));
        plan_hold_gates(plan, release, holds);
        return;
    }
    if (occupant)
        plan_hold(plan, holds,
                  arena_printf(plan->arena, "occupied:%llu", (unsigned long long)occupant->number));
    if (ahead)
        plan_hold(plan, holds,
                  arena_printf(plan->arena, "behind:%llu", (unsigned long long)ahead->number));
    plan_survey(plan, release, &own);
    for (size_t i = 0; i < own.count; i++)
        plan_hold(plan, holds, own.items[i]);
    holds->look_again_ms = own.look_again_ms;
}

static bool was_said(const struct release *release, const struct holds *holds)
{
    char *text = release_held_text(release, holds->items, holds->count);
    bool same = release->told && str_eq(text ? text : "", release->held ? release->held : "") &&
                release->look_again_ms == holds->look_again_ms;
    free(text);
    return same;
}

static void say(struct plan *plan, const struct release *release, const struct holds *holds)
{
    Gantry__V1__StageWaiting *m =
        PLAN_MESSAGE(plan, Gantry__V1__StageWaiting, gantry__v1__stage_waiting__init);
    m->release = release->number;
    m->stage = plan_string(plan, stage_at(release)->name);
    m->held_by = holds->items;
    m->n_held_by = holds->count;
    m->look_again_ms = holds->look_again_ms;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_STAGE_WAITING, m);
}

bool plan_waiting(struct plan *plan, const struct release *release)
{
    struct holds holds;
    const struct release *ahead = ahead_of(plan, release);
    if (release->phase == RELEASE_REFUSED) { /* all is asked anew */
        holds = (struct holds){0};
        if (ahead)
            plan_hold(plan, &holds,
                      arena_printf(plan->arena, "behind:%llu", (unsigned long long)ahead->number));
        plan_hold_gates(plan, release, &holds);
    } else {
        survey(plan, release, ahead, &holds);
        if (was_said(release, &holds))
            return false;
    }
    say(plan, release, &holds);
    return true;
}

static void enter(struct plan *plan, const struct release *release)
{
    Gantry__V1__StageEntered *m =
        PLAN_MESSAGE(plan, Gantry__V1__StageEntered, gantry__v1__stage_entered__init);
    m->release = release->number;
    m->stage = plan_string(plan, stage_at(release)->name);
    m->number = release->entered + 1;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED, m);
}

static bool advance_waiting(struct plan *plan, uint64_t number)
{
    struct engine_state *state = plan->state;
    const struct release *release = state_release(state, number);
    bool queued = state_definition(state)->mode == DEF_QUEUED;
    if (state_definition(state)->mode == DEF_SUPERSEDED && take_place(plan, number))
        return true;
    const struct release *ahead = ahead_of(plan, release);
    bool first = !queued || !ahead; /* what one behind brings depends on who goes before */
    struct holds holds;
    survey(plan, release, ahead, &holds);
    if (release->told && plan_ask_checks(plan, number, first, &holds))
        return true;
    if (holds.count == 0) {
        enter(plan, release);
        return true;
    }
    bool changed = !release->told && plan_waiting(plan, release);
    if (first)
        changed = plan_open_gates(plan, number) || changed;
    return changed;
}

static bool advance_one(struct plan *plan, uint64_t number)
{
    const struct release *release = state_release(plan->state, number);
    if (!release || plan->failed)
        return false;
    if (release->phase == RELEASE_INSIDE)
        return advance_inside(plan, number);
    if (release->phase == RELEASE_WAITING)
        return advance_waiting(plan, number);
    return false;
}

/* What holds those that wait, where it is no longer what was said; when nothing moves any more. */
static void say_again(struct plan *plan)
{
    for (size_t i = 0; !plan->failed && i < plan->state->releases.count; i++) {
        const struct release *release = state_release_at(plan->state, i);
        if (release->phase == RELEASE_WAITING && release->told)
            plan_waiting(plan, release);
    }
}

void plan_advance(struct plan *plan, uint64_t first)
{
    bool moved;
    while (advance_one(plan, first))
        ;
    do {
        moved = false;
        /* By number, since releases come and go meanwhile. */
        for (uint64_t after = 0; !plan->failed;) {
            size_t at;
            state_find_release(plan->state, after + 1, &at);
            if (at >= plan->state->releases.count)
                break;
            after = state_release_at(plan->state, at)->number;
            while (advance_one(plan, after))
                moved = true;
        }
    } while (moved && !plan->failed);
    say_again(plan);
}
