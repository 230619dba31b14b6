/* What executors report, and what the clock ends for them. */
#include <string.h>

#include "base/clock.h"
#include "engine/message.h"
#include "engine/plan.h"

/* Somebody's answer to it is waited for; of an action whose builds are under way it was given. */
static bool is_asked(const struct run *run)
{
    return run->state == RUN_REQUESTED || run->state == RUN_STARTED;
}

static bool is_run(const struct run *run, const char *run_id)
{
    return is_asked(run) && strcmp(run->id, run_id) == 0;
}

/* The release and slot of a run under way; NULL: it has ended, or is of another pipeline. */
static const struct release *find_run(const struct engine_state *state, const char *run_id,
                                      struct slot *slot)
{
    for (size_t i = 0; i < state->releases.count; i++) {
        const struct release *release = state_release_at(state, i);
        for (size_t j = 0; release->phase == RELEASE_INSIDE && j < release->run_count; j++) {
            const struct run *run = &release->runs[j];
            *slot = (struct slot){j, 0};
            if (is_run(run, run_id))
                return release;
            for (size_t k = 0; run->state == RUN_BUILDING && k < run->batch->count; k++) {
                slot->build = k + 1;
                if (is_run(&run->batch->builds[k].run, run_id))
                    return release;
            }
        }
    }
    return NULL;
}

static enum topic topic_of(const struct def_action *action)
{
    static const enum topic topics[] = {
        [DEF_BUILD] = TOPIC_RESULT_BUILD,
        [DEF_DEPLOY] = TOPIC_RESULT_DEPLOY,
        [DEF_APPROVAL] = TOPIC_RESULT_APPROVAL,
        [DEF_CUSTOM] = TOPIC_RESULT_CUSTOM,
    };
    return topics[action->kind];
}

static void started(struct plan *plan, const struct release *release, struct slot slot,
                    const Gantry__V1__ActionResult *result)
{
    const struct run *run = release_run(release, slot);
    if (run->state == RUN_STARTED && result->attempt <= run->attempt)
        return;
    Gantry__V1__ActionStarted *m =
        PLAN_MESSAGE(plan, Gantry__V1__ActionStarted, gantry__v1__action_started__init);
    m->release = release->number;
    m->stage = plan_string(plan, release_stage(release)->name);
    m->action = plan_slot_name(plan, release, slot);
    m->run_id = plan_string(plan, run->id);
    m->attempt = result->attempt;
    m->executor = plan_string(plan, result->executor);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_ACTION_STARTED, m);
}

static size_t exported_bytes(const struct release *release, const char *but)
{
    size_t bytes = 0;
    for (size_t i = 0; i < release->exports.count; i++) {
        const struct exports *exports = release->exports.items[i];
        if (strcmp(exports->action, but) != 0)
            bytes += exports->bytes;
    }
    return bytes;
}

/* The image of a build that declares one, as the release will carry it; NULL and *refusal: what was
 * reported cannot be it. */
static Gantry__V1__Artifact *image_of(struct plan *plan, const struct def_action *action,
                                      const Gantry__V1__Finished *finished, const char **refusal)
{
    if (finished->image_case != GANTRY__V1__FINISHED__IMAGE_ARTIFACT || !finished->artifact) {
        *refusal =
            plan_text(plan, "it succeeded without an image, and '%s' is to make one", action->name);
        return NULL;
    }
    const Gantry__V1__Artifact *reported = finished->artifact;
    if (strcmp(reported->repository, action->build.image) != 0) {
        *refusal = plan_text(plan, "it reported an image of %s, not of %s", reported->repository,
                             action->build.image);
        return NULL;
    }
    Gantry__V1__Artifact *artifact = message_copy(plan->arena, reported);
    artifact->name = plan_string(plan, action->name);
    return artifact;
}

const char *plan_check_exports(struct plan *plan, const struct release *release, const char *but,
                               size_t more, const Gantry__V1__Finished *finished)
{
    size_t bytes = exported_bytes(release, but) + more;
    for (size_t i = 0; i < finished->n_exported; i++)
        bytes += strlen(finished->exported[i]->key) + strlen(finished->exported[i]->value);
    if (bytes <= STATE_EXPORT_MAX)
        return NULL;
    return plan_text(plan,
                     "the variables that the release's actions export take %zu bytes, "
                     "more than %d",
                     bytes, STATE_EXPORT_MAX);
}

/* Why a success cannot be taken as one; NULL: it can. */
static const char *check_success(struct plan *plan, const struct release *release,
                                 const struct def_action *action,
                                 const Gantry__V1__Finished *finished,
                                 Gantry__V1__Artifact **artifact)
{
    const char *refusal = plan_check_exports(plan, release, action->name, 0, finished);
    if (refusal)
        return refusal;
    if (action->kind == DEF_BUILD && !str_empty(action->build.image) &&
        !release_artifact(release, action->name))
        *artifact = image_of(plan, action, finished, &refusal);
    return refusal;
}

void plan_action_succeeded(struct plan *plan, const struct release *release, size_t place,
                           Gantry__V1__Finished *finished)
{
    const struct def_action *action = stage_action_at(release_stage(release), place, NULL);
    Gantry__V1__Artifact *artifact = NULL;
    uint64_t number = release->number;
    const char *refusal = check_success(plan, release, action, finished, &artifact);
    if (refusal)
        finished->n_exported = 0;
    plan_action_ended(plan, release, (struct slot){place, 0},
                      refusal ? GANTRY__V1__STATUS__STATUS_FAILED
                              : GANTRY__V1__STATUS__STATUS_SUCCEEDED,
                      refusal ? refusal : finished->reason, finished, false);
    if (refusal || !artifact)
        return;
    Gantry__V1__ArtifactSet *m =
        PLAN_MESSAGE(plan, Gantry__V1__ArtifactSet, gantry__v1__artifact_set__init);
    m->release = number;
    m->artifact = artifact;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_ARTIFACT_SET, m);
}

/* Asked once more, as a new run, if that can do no harm. `cancel` tells who might still run it. */
static void lost(struct plan *plan, const struct release *release, struct slot slot,
                 Gantry__V1__Finished *finished, bool cancel)
{
    const struct run *run = release_run(release, slot);
    const char *why = str_empty(finished->reason) ? "its executor went away" : finished->reason;
    if (run->retry_lost && !run->was_lost && !release->stopping)
        plan_action_ended(plan, release, slot, GANTRY__V1__STATUS__STATUS_ABANDONED,
                          plan_text(plan, "lost: %s; it is requested again", why), finished,
                          cancel);
    else
        plan_action_ended(plan, release, slot, GANTRY__V1__STATUS__STATUS_FAILED,
                          plan_text(plan, "lost: %s", why), finished, cancel);
}

static void succeeded(struct plan *plan, const struct release *release, struct slot slot,
                      Gantry__V1__Finished *finished)
{
    const struct def_action *action = stage_action_at(release_stage(release), slot.place, NULL);
    bool plans = action->kind == DEF_BUILD && action->build.batch && !slot.build;
    if (plans) {
        plan_batch_begin(plan, release, slot.place, finished);
        return;
    }
    finished->batch = NULL;
    if (slot.build)
        plan_build_succeeded(plan, release, slot, finished);
    else
        plan_action_succeeded(plan, release, slot.place, finished);
}

static void finished(struct plan *plan, const struct release *release, struct slot slot,
                     const Gantry__V1__Finished *reported)
{
    uint64_t number = release->number;
    Gantry__V1__Finished *copy = plan_bound_finished(plan, reported);
    if (copy->outcome == GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED) {
        succeeded(plan, release, slot, copy);
        plan_advance(plan, number);
        return;
    }
    copy->batch = NULL;
    if (copy->outcome == GANTRY__V1__OUTCOME__OUTCOME_LOST)
        lost(plan, release, slot, copy, false);
    else
        plan_action_ended(plan, release, slot,
                          copy->outcome == GANTRY__V1__OUTCOME__OUTCOME_STOPPED
                              ? GANTRY__V1__STATUS__STATUS_STOPPED
                              : GANTRY__V1__STATUS__STATUS_FAILED,
                          copy->reason, copy, false);
    plan_advance(plan, number);
}

/* What a gate asked; of a run that has ended nothing is left to do, for its first end counts. */
static void step_answer(struct plan *plan, const Gantry__V1__ActionResult *result)
{
    const Gantry__V1__Finished *finished = result->finished;
    if (result->body_case != GANTRY__V1__ACTION_RESULT__BODY_FINISHED || !finished ||
        plan->input->topic != TOPIC_RESULT_CUSTOM)
        return;
    for (size_t i = 0; i < plan->state->releases.count; i++) {
        const struct release *release = state_release_at(plan->state, i);
        uint64_t number = release->number;
        for (size_t j = 0; release->phase == RELEASE_WAITING && j < release->gate_count; j++) {
            const struct check *check = &release->gates[j].check;
            if (check->state != CHECK_ASKED || strcmp(check->id, result->run_id) != 0)
                continue;
            plan_check_answered(plan, release, j,
                                finished->outcome == GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED,
                                plan_text(plan, "%.900s", finished->reason), false);
            plan_advance(plan, number);
            return;
        }
    }
}

void step_result(struct plan *plan)
{
    const Gantry__V1__ActionResult *result = plan->input->message;
    struct slot slot;
    const struct release *release = find_run(plan->state, result->run_id, &slot);
    if (!release) {
        step_answer(plan, result);
        return;
    }
    const struct def_action *action = stage_action_at(release_stage(release), slot.place, NULL);
    if (topic_of(action) != plan->input->topic) {
        err_set(plan->err, ERR_INVALID, "%s answers run %s, which is of another kind of action",
                topic_info(plan->input->topic)->name, result->run_id);
        plan->failed = true;
        return;
    }
    if (result->body_case == GANTRY__V1__ACTION_RESULT__BODY_STARTED)
        started(plan, release, slot, result);
    else if (result->body_case == GANTRY__V1__ACTION_RESULT__BODY_FINISHED && result->finished)
        finished(plan, release, slot, result->finished);
}

static void expire(struct plan *plan, uint64_t number, const char *gate,
                   const struct def_approval *rules)
{
    char after[32];
    clock_human(rules->expires_ms, after);
    const char *reason = plan_text(plan, "approval '%s' expired after %s", gate, after);
    plan_approval_close(plan, number, gate, rules,
                        GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_EXPIRED, reason);
    plan_approval_ended(plan, number, gate, false, reason);
}

static void time_out(struct plan *plan, const struct release *release, struct slot slot,
                     const struct def_action *action)
{
    char after[32];
    clock_human(action->timeout_ms, after);
    plan_action_ended(plan, release, slot, GANTRY__V1__STATUS__STATUS_FAILED,
                      plan_text(plan, "timed out after %s", after), NULL, true);
}

/* A run of the action at that place whose time is up; true: it was ended. */
static bool due_at(struct plan *plan, const struct release *release, size_t place)
{
    const struct def_action *action = stage_action_at(release_stage(release), place, NULL);
    const struct run *run = &release->runs[place];
    size_t builds = run->state == RUN_BUILDING ? run->batch->count : 0;
    for (struct slot slot = {place, 0}; slot.build <= builds; slot.build++) {
        const struct run *at = release_run(release, slot);
        if (!is_asked(at) || at->deadline_ms > plan->now_ms)
            continue;
        if (action->kind == DEF_APPROVAL)
            expire(plan, release->number, action->name, &action->approval);
        else
            time_out(plan, release, slot, action);
        return true;
    }
    return false;
}

static void no_answer(struct plan *plan, const struct release *release, size_t place,
                      const struct def_gate *gate)
{
    char after[32];
    clock_human(gate->check.timeout_ms, after);
    plan_check_answered(plan, release, place, false, plan_text(plan, "no answer after %s", after),
                        true);
}

void step_due(struct plan *plan, const struct release *release)
{
    const struct def_stage *stage = release_stage(release);
    uint64_t number = release->number;
    for (size_t i = 0; release->phase == RELEASE_INSIDE && i < release->run_count; i++) {
        if (due_at(plan, release, i))
            return;
    }
    for (size_t i = 0; release->phase == RELEASE_WAITING && i < release->gate_count; i++) {
        const struct approval *approval = release->gates[i].approval;
        const struct check *check = &release->gates[i].check;
        if (approval && approval->state == APPROVAL_OPEN && approval->expires_ms <= plan->now_ms) {
            expire(plan, number, stage->gates[i].name, &stage->gates[i].approval);
            return;
        }
        if (check->state == CHECK_ASKED && check->at_ms <= plan->now_ms) {
            no_answer(plan, release, i, &stage->gates[i]);
            return;
        }
    }
}

void step_silence(struct plan *plan)
{
    const struct engine_input *input = plan->input;
    struct slot slot;
    const struct release *release = find_run(plan->state, input->run_id, &slot);
    if (!release)
        return;
    const struct def_action *action = stage_action_at(release_stage(release), slot.place, NULL);
    uint64_t number = release->number;
    char silent[32];
    clock_human(input->silent_ms, silent);
    if (input->silent_ms < action->lost_after_ms) {
        Gantry__V1__ActionSilent *m =
            PLAN_MESSAGE(plan, Gantry__V1__ActionSilent, gantry__v1__action_silent__init);
        m->release = number;
        m->stage = plan_string(plan, release_stage(release)->name);
        m->action = plan_slot_name(plan, release, slot);
        m->run_id = plan_string(plan, input->run_id);
        m->silent_ms = input->silent_ms;
        plan_change(plan, GANTRY__V1__CHANGE__WHAT_ACTION_SILENT, m);
        return;
    }
    Gantry__V1__Finished *finished =
        PLAN_MESSAGE(plan, Gantry__V1__Finished, gantry__v1__finished__init);
    finished->outcome = GANTRY__V1__OUTCOME__OUTCOME_LOST;
    finished->reason = (char *)plan_text(plan, "nothing was heard of its executor for %s", silent);
    lost(plan, release, slot, finished, true);
    plan_advance(plan, number);
}
