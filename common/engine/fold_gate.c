/* Folds of transitions: their gates, and what people say about them. */
#include <string.h>

#include "engine/fold.h"

/* The release that waits on the transition into a stage; NULL and *err. */
static struct release *own_waiting(struct engine_state *state, uint64_t number, const char *stage,
                                   struct err *err)
{
    struct release *release = state_release_own(state, number);
    if (release && release->phase == RELEASE_WAITING &&
        strcmp(release_stage(release)->name, stage) == 0)
        return release;
    err_set(err, ERR_INVALID, "release %llu does not wait for stage '%.64s'",
            (unsigned long long)number, stage);
    return NULL;
}

static struct gate *gate_of(struct release *release, const char *name, struct err *err)
{
    const struct def_stage *stage = release_stage(release);
    for (size_t i = 0; i < release->gate_count; i++) {
        if (strcmp(stage->gates[i].name, name) == 0)
            return &release->gates[i];
    }
    err_set(err, ERR_INVALID, "stage '%s' has no gate '%.64s'", stage->name, name);
    return NULL;
}

int fold_transition_set(struct engine_state *state, const Gantry__V1__TransitionSet *m,
                        struct err *err)
{
    if (!state->current || !def_pipeline_stage(state_definition(state), m->stage, NULL))
        return err_set(err, ERR_INVALID, "there is no stage '%.64s'", m->stage);
    struct stage *stage = state_stage_own(state, m->stage);
    shared_unref(stage->disabled);
    stage->disabled = m->enabled ? NULL : fixed_new(m);
    return 0;
}

int fold_release_promoted(struct engine_state *state, const Gantry__V1__ReleasePromoted *m,
                          struct err *err)
{
    struct release *release = own_waiting(state, m->release, m->stage, err);
    if (!release)
        return -1;
    for (size_t i = 0; i < m->n_gates; i++) {
        struct gate *gate = gate_of(release, m->gates[i], err);
        if (!gate)
            return -1;
        gate->promoted = true;
    }
    return 0;
}

int fold_gate_overridden(struct engine_state *state, const Gantry__V1__GateOverridden *m,
                         struct err *err)
{
    struct release *release = own_waiting(state, m->release, m->stage, err);
    if (!release)
        return -1;
    if (strcmp(m->gate, "disabled") == 0) {
        release->overrides |= OVERRIDES_DISABLED;
        return 0;
    }
    if (strcmp(m->gate, "freeze") == 0) {
        release->overrides |= OVERRIDES_FREEZE;
        return 0;
    }
    struct gate *gate = gate_of(release, m->gate, err);
    if (!gate)
        return -1;
    gate->overridden = true;
    release_set_deadline(release);
    return 0;
}

int fold_check_asked(struct engine_state *state, const Gantry__V1__CheckAsked *m, struct err *err)
{
    const Gantry__V1__ActionRequest *request = m->request;
    struct release *release =
        request ? own_waiting(state, request->release, request->stage, err) : NULL;
    struct gate *gate = release ? gate_of(release, request->action, err) : NULL;
    if (!gate)
        return -1;
    if (gate->check.state == CHECK_ASKED || request->number != gate->check.number + 1 ||
        strlen(request->run_id) != ID_SIZE - 1)
        return err_set(err, ERR_INVALID, "check '%.64s' of release %llu does not fit its state",
                       request->action, (unsigned long long)request->release);
    gate->check.state = CHECK_ASKED;
    gate->check.number = request->number;
    memcpy(gate->check.id, request->run_id, ID_SIZE);
    gate->check.at_ms = request->deadline_ms;
    release_set_deadline(release);
    return 0;
}

int fold_check_answered(struct engine_state *state, const Gantry__V1__CheckAnswered *m,
                        int64_t now_ms, struct err *err)
{
    struct release *release = own_waiting(state, m->release, m->stage, err);
    struct gate *gate = release ? gate_of(release, m->gate, err) : NULL;
    if (!gate)
        return -1;
    struct check *check = &gate->check;
    bool asked = check->state == CHECK_ASKED;
    if (strlen(m->run_id) != ID_SIZE - 1 || (asked && strcmp(check->id, m->run_id) != 0))
        return err_set(err, ERR_INVALID,
                       "the answer to check '%.64s' of release %llu is of "
                       "another question",
                       m->gate, (unsigned long long)m->release);
    if (!asked) { /* it could not even be asked */
        check->number++;
        memcpy(check->id, m->run_id, ID_SIZE);
    }
    check->state = m->withdrawn ? CHECK_NONE : m->yes ? CHECK_YES : CHECK_NO;
    check->at_ms = m->ask_again_ms ? m->ask_again_ms : now_ms;
    release_set_deadline(release);
    return 0;
}

int fold_environment_pinned(struct engine_state *state, const Gantry__V1__EnvironmentPinned *m,
                            struct err *err)
{
    size_t at;
    bool there = state_find_pin(state, m->environment, &at);
    if (!m->pinned && !there)
        return err_set(err, ERR_INVALID, "environment '%.64s' is not pinned", m->environment);
    if (there)
        parts_remove(&state->pins, at);
    if (m->pinned)
        parts_insert(&state->pins, at, fixed_new(m));
    return 0;
}

/* ---- who approved, for `not: approver-of:<stage>` ---- */

static bool names_approvers(const struct def_approval *rules, const char *stage)
{
    for (size_t i = 0; i < rules->not_.count; i++) {
        const char *not_ = rules->not_.items[i];
        if (str_starts(not_, "approver-of:") && strcmp(not_ + strlen("approver-of:"), stage) == 0)
            return true;
    }
    return false;
}

static bool is_asked_about(const struct def_pipeline *pipeline, const char *name)
{
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        const struct def_stage *stage = &pipeline->stages[i];
        for (size_t j = 0; j < stage->gate_count; j++) {
            if (names_approvers(&stage->gates[j].approval, name))
                return true;
        }
        for (size_t j = 0; j < stage_action_count(stage); j++) {
            if (names_approvers(&stage_action_at(stage, j, NULL)->approval, name))
                return true;
        }
    }
    return false;
}

static void keep_voters(struct release *release, const struct approval *approval)
{
    const char *stage = release_stage(release)->name;
    for (size_t i = 0; approval && i < approval->votes.count; i++) {
        const struct fixed *fixed = approval->votes.items[i];
        const Gantry__V1__Vote *vote = (const Gantry__V1__Vote *)fixed->message;
        if (vote->verdict == GANTRY__V1__VERDICT__VERDICT_APPROVE)
            parts_add(&release->approvers,
                      approver_new(stage, vote->voter->subject, vote->voter->email));
    }
}

void keep_approvers(struct release *release)
{
    if (!is_asked_about(release->definition->parsed->pipeline, release_stage(release)->name))
        return;
    for (size_t i = 0; i < release->gate_count; i++)
        keep_voters(release, release->gates[i].approval);
    for (size_t i = 0; i < release->run_count; i++)
        keep_voters(release, release->runs[i].approval);
}
