/* Folds of a release's way through its stages. */
#include <string.h>

#include "base/mem.h"
#include "engine/fold.h"

static struct release *own(struct engine_state *state, uint64_t number, struct err *err)
{
    struct release *release = state_release_own(state, number);
    if (!release)
        err_set(err, ERR_INVALID, "release %llu is not under way", (unsigned long long)number);
    return release;
}

/* The release, if it stands where the change says. */
static struct release *own_at(struct engine_state *state, uint64_t number, const char *stage,
                              struct err *err)
{
    struct release *release = own(state, number, err);
    if (!release)
        return NULL;
    const struct def_stage *at = release_stage(release);
    if (!at || strcmp(at->name, stage) != 0) {
        err_set(err, ERR_INVALID, "release %llu is not at stage '%.64s'",
                (unsigned long long)number, stage);
        return NULL;
    }
    return release;
}

/* Steps onto the transition into a stage; 0 is the first. */
static void arrive(struct engine_state *state, struct release *release, uint32_t place,
                   int64_t now_ms)
{
    release->phase = RELEASE_WAITING;
    release->stage = place;
    release->entered = 0;
    release->told = false;
    release->arrived = state->next_arrival++;
    release->arrived_ms = now_ms;
    release->overrides = 0;
    release->retries = 0;
    release_set_held(release, NULL, 0, 0);
    release_set_runs(release, 0);
    release_set_gates(release, release_stage(release)->gate_count);
    release_set_deadline(release);
}

/* Number of the revision seen that a release's revision is; 0: it was never reported. */
static uint64_t seen_of(const struct engine_state *state, const Gantry__V1__Revision *revision)
{
    const struct head *head = state_head(state, revision->source, revision->ref);
    if (head && strcmp(head->revision->commit, revision->commit) == 0)
        return head->seen;
    uint64_t seen = 0;
    for (size_t i = 0; !seen && i < state->releases.count + state->pasts.count; i++) {
        const struct facts *facts =
            i < state->releases.count
                ? state_release_at(state, i)->facts
                : ((struct past *)state->pasts.items[i - state->releases.count])->facts;
        for (size_t j = 0; j < facts->started->n_revisions; j++) {
            const Gantry__V1__Revision *other = facts->started->revisions[j];
            if (strcmp(other->source, revision->source) == 0 &&
                strcmp(other->ref, revision->ref) == 0 &&
                strcmp(other->commit, revision->commit) == 0)
                seen = facts->seen[j];
        }
    }
    return seen;
}

/* The heads that a release begins with are no longer to be started. */
static void clear_unstarted(struct engine_state *state, const Gantry__V1__Revision *revision)
{
    size_t at;
    if (!state_find_head(state, revision->source, revision->ref, &at))
        return;
    struct head *head = state->heads.items[at];
    if (!head->unstarted || strcmp(head->revision->commit, revision->commit) != 0)
        return;
    state->heads.items[at] = head_new(head->revision, head->seen, false);
    shared_unref(head);
}

/* A rollback carries what its target has left, and stands at once where it is to go. */
static int begin_rollback(struct engine_state *state, struct release *release,
                          const Gantry__V1__ReleaseStarted *m, int64_t now_ms, struct err *err)
{
    const struct past *past = state_past(state, m->rollback_to);
    size_t place = 0;
    if (!past || past->facts->started->n_revisions != m->n_revisions ||
        !def_pipeline_stage(release->definition->parsed->pipeline, m->rollback_stage, &place))
        return err_set(err, ERR_INVALID, "release %llu cannot go back to %llu",
                       (unsigned long long)m->release, (unsigned long long)m->rollback_to);
    for (size_t i = 0; i < m->n_revisions; i++)
        release->facts->seen[i] = past->facts->seen[i];
    for (size_t i = 0; i < m->n_artifacts; i++)
        parts_add(&release->artifacts, fixed_new(m->artifacts[i]));
    parts_copy(&release->exports, &past->exports);
    arrive(state, release, (uint32_t)place, now_ms);
    return 0;
}

int fold_release_started(struct engine_state *state, const Gantry__V1__ReleaseStarted *m,
                         int64_t now_ms, struct err *err)
{
    if (!state->current || m->definition_number != state->current->number)
        return err_set(err, ERR_INVALID,
                       "release %llu begins with definition %llu, not the current",
                       (unsigned long long)m->release, (unsigned long long)m->definition_number);
    if (m->release != state->next_release)
        return err_set(err, ERR_INVALID, "release %llu begins where %llu is next",
                       (unsigned long long)m->release, (unsigned long long)state->next_release);
    struct release *release = release_new(m->release, facts_new(m), state->current);
    if (m->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK) {
        if (begin_rollback(state, release, m, now_ms, err) != 0) {
            shared_unref(release);
            return -1;
        }
    } else {
        for (size_t i = 0; i < m->n_revisions; i++) {
            release->facts->seen[i] = seen_of(state, m->revisions[i]);
            clear_unstarted(state, m->revisions[i]);
        }
        arrive(state, release, 0, now_ms);
    }
    state->next_release++;
    state_release_add(state, release);
    return 0;
}

int fold_release_stopping(struct engine_state *state, const Gantry__V1__ReleaseStopping *m,
                          struct err *err)
{
    struct release *release = own(state, m->release, err);
    if (!release)
        return -1;
    release->stopping = (int)m->mode;
    release_set_deadline(release);
    return 0;
}

/* Of those that failed at a stage, the last one can be retried, or the last few where releases are
 * independent: the others make room. */
static void drop_failed_at(struct engine_state *state, const char *stage, uint64_t but)
{
    size_t keep = state_is_parallel(state) ? STATE_FAILED_MAX : 0;
    for (size_t i = state->releases.count; i-- > 0;) {
        const struct release *other = state_release_at(state, i);
        if (other->number != but && !release_is_active(other) &&
            strcmp(release_stage(other)->name, stage) == 0) {
            if (keep > 0) {
                keep--;
                continue;
            }
            parts_remove(&state->releases, i);
            state->untidy = true;
        }
    }
}

int fold_release_ended(struct engine_state *state, const Gantry__V1__ReleaseEnded *m,
                       struct err *err)
{
    struct release *release = own(state, m->release, err);
    if (!release)
        return -1;
    bool waiting = release->phase == RELEASE_WAITING;
    if (!waiting && release->phase != RELEASE_OUT)
        return err_set(err, ERR_INVALID, "release %llu ends inside a stage",
                       (unsigned long long)m->release);
    state->untidy = true;
    if (m->status != GANTRY__V1__STATUS__STATUS_FAILED || !release_stage(release)) {
        state_release_remove(state, m->release);
        return 0;
    }
    release->phase = waiting ? RELEASE_REFUSED : RELEASE_FAILED;
    release->stopping = 0;
    release_set_deadline(release);
    drop_failed_at(state, release_stage(release)->name, m->release);
    return 0;
}

int fold_stage_waiting(struct engine_state *state, const Gantry__V1__StageWaiting *m,
                       struct err *err)
{
    struct release *release = own_at(state, m->release, m->stage, err);
    if (!release)
        return -1;
    if (release->phase == RELEASE_REFUSED) {
        for (size_t i = 0; i < release->gate_count; i++) {
            struct gate *gate = &release->gates[i];
            if (gate->approval)
                approval_own(&gate->approval)->state = APPROVAL_NONE;
            gate->check.state = CHECK_NONE;
            gate->overridden = gate->promoted = false;
        }
        release->overrides = 0;
        release->phase = RELEASE_WAITING;
        release->arrived = state->next_arrival++;
    }
    if (release->phase != RELEASE_WAITING)
        return err_set(err, ERR_INVALID, "release %llu does not wait",
                       (unsigned long long)m->release);
    release->told = true;
    release_set_held(release, m->held_by, m->n_held_by, m->look_again_ms);
    release_set_deadline(release);
    return 0;
}

/* A retry: what failed is to be requested again, or all of it. An image that was built stays: a
 * release's digest is set once. */
static void reset_runs(struct release *release, bool all)
{
    const struct def_stage *stage = release_stage(release);
    for (size_t i = 0; i < release->run_count; i++) {
        struct run *run = &release->runs[i];
        const struct def_action *action = stage_action_at(stage, i, NULL);
        run->was_lost = false;
        if (run->state == RUN_SUCCEEDED &&
            (!all || (action->kind == DEF_BUILD && !str_empty(action->build.image) &&
                      release_artifact(release, action->name))))
            continue;
        if (all) {
            shared_unref(run->batch);
            run->batch = NULL;
        }
        run->state = RUN_NONE;
        run->attempt = 0;
        run->deadline_ms = 0;
    }
}

/* Inside its stage, with nothing under way and something that did not succeed. */
static bool may_retry(const struct release *release)
{
    bool failed = false;
    if (release->phase != RELEASE_INSIDE)
        return false;
    for (size_t i = 0; i < release->run_count; i++) {
        const struct run *run = &release->runs[i];
        if (run_is_under_way(run))
            return false;
        failed = failed || run->state > RUN_SUCCEEDED;
    }
    return failed;
}

int fold_stage_entered(struct engine_state *state, const Gantry__V1__StageEntered *m,
                       struct err *err)
{
    struct release *release = own_at(state, m->release, m->stage, err);
    if (!release)
        return -1;
    bool retry = release->phase == RELEASE_FAILED || (m->automatic && may_retry(release));
    const struct release *occupant = state_occupant(state, m->stage);
    if ((!retry && release->phase != RELEASE_WAITING) || m->number != release->entered + 1 ||
        (occupant && occupant != release))
        return err_set(err, ERR_INVALID, "release %llu cannot enter stage '%.64s'",
                       (unsigned long long)m->release, m->stage);
    release->retries = m->automatic ? release->retries + 1 : 0;
    if (retry) {
        reset_runs(release, m->all_actions);
    } else {
        keep_approvers(release);
        release_set_held(release, NULL, 0, 0);
        release_set_runs(release, stage_action_count(release_stage(release)));
        release_set_gates(release, 0);
    }
    release->phase = RELEASE_INSIDE;
    release->entered = m->number;
    release_set_deadline(release);
    struct stage *stage = state_stage_own(state, m->stage);
    stage->entered_last = m->release;
    if (!release_is_rollback(release) && m->release > stage->entered_max)
        stage->entered_max = m->release;
    drop_failed_at(state, m->stage, m->release);
    return 0;
}

static void remember_success(struct engine_state *state, const struct release *release,
                             const char *name)
{
    struct stage *stage = state_stage_own(state, name);
    size_t keep = stage->history_count < STATE_HISTORY ? stage->history_count : STATE_HISTORY - 1;
    memmove(stage->history + 1, stage->history, keep * sizeof(*stage->history));
    stage->history[0] = release->number;
    stage->history_count = keep + 1;
    size_t at;
    if (state_find_past(state, release->number, &at))
        parts_remove(&state->pasts, at);
    parts_insert(&state->pasts, at,
                 past_new(release->number, release->facts, &release->artifacts, &release->exports));
}

int fold_stage_ended(struct engine_state *state, const Gantry__V1__StageEnded *m, int64_t now_ms,
                     struct err *err)
{
    struct release *release = own_at(state, m->release, m->stage, err);
    if (!release)
        return -1;
    if (release->phase != RELEASE_INSIDE)
        return err_set(err, ERR_INVALID, "release %llu is not inside stage '%.64s'",
                       (unsigned long long)m->release, m->stage);
    if (m->status != GANTRY__V1__STATUS__STATUS_SUCCEEDED) {
        release->phase = RELEASE_OUT;
        release->ended = STAGE_NOT_SUCCEEDED;
        release_set_deadline(release);
        return 0;
    }
    state->untidy = true;
    remember_success(state, release, m->stage);
    keep_approvers(release);
    const struct def_pipeline *pipeline = release->definition->parsed->pipeline;
    if (release_is_rollback(release) || release->stage + 1 >= pipeline->stage_count) {
        release->phase = RELEASE_OUT;
        release->ended = STAGE_SUCCEEDED;
        release_set_deadline(release);
    } else {
        arrive(state, release, release->stage + 1, now_ms);
    }
    return 0;
}

static bool stage_is_used(const struct engine_state *state, const char *name)
{
    if (state->current && def_pipeline_stage(state->current->parsed->pipeline, name, NULL))
        return true;
    for (size_t i = 0; i < state->releases.count; i++) {
        const struct taken *taken = state_release_at(state, i)->definition;
        if (taken != state->current && def_pipeline_stage(taken->parsed->pipeline, name, NULL))
            return true;
    }
    return false;
}

static bool environment_is_used(const struct engine_state *state, const char *name)
{
    if (state->current && pipeline_deploys_to(state->current->parsed->pipeline, name))
        return true;
    for (size_t i = 0; i < state->releases.count; i++) {
        const struct taken *taken = state_release_at(state, i)->definition;
        if (taken != state->current && pipeline_deploys_to(taken->parsed->pipeline, name))
            return true;
    }
    return false;
}

static bool past_is_used(const struct engine_state *state, uint64_t number)
{
    for (size_t i = 0; i < state->stages.count; i++) {
        const struct stage *stage = state->stages.items[i];
        for (size_t j = 0; j < stage->history_count; j++) {
            if (stage->history[j] == number)
                return true;
        }
    }
    return false;
}

static bool facts_stand_at(const struct facts *facts, uint64_t seen)
{
    for (size_t i = 0; i < facts->started->n_revisions; i++) {
        if (facts->seen[i] == seen)
            return true;
    }
    return false;
}

static bool somebody_stands_at(uint64_t seen, void *arg)
{
    const struct engine_state *state = arg;
    for (size_t i = 0; i < state->releases.count; i++) {
        if (facts_stand_at(state_release_at(state, i)->facts, seen))
            return true;
    }
    for (size_t i = 0; i < state->pasts.count; i++) {
        if (facts_stand_at(((struct past *)state->pasts.items[i])->facts, seen))
            return true;
    }
    return false;
}

void fold_tidy(struct engine_state *state)
{
    if (!state->untidy)
        return;
    state->untidy = false;
    for (size_t i = state->stages.count; i-- > 0;) {
        const struct stage *stage = state->stages.items[i];
        /* One that is disabled stays so if a definition leaves it out for a while. */
        if (!stage->disabled && !stage_is_used(state, stage->name))
            parts_remove(&state->stages, i);
    }
    for (size_t i = state->pasts.count; i-- > 0;) {
        if (!past_is_used(state, ((struct past *)state->pasts.items[i])->number))
            parts_remove(&state->pasts, i);
    }
    for (size_t i = state->deployed.count; i-- > 0;) {
        const struct deployed *deployed = state->deployed.items[i];
        if (!environment_is_used(state, deployed->environment))
            parts_remove(&state->deployed, i);
    }
    people_join(&state->people, somebody_stands_at, state);
}
