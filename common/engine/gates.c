/* What holds a release on a transition (docs/reference/pipeline.md, "Gates"). */
#include <string.h>

#include "engine/message.h"
#include "engine/plan.h"

#define LOOK_AT_FREEZE_MS (24 * 3600 * INT64_C(1000))

static bool gates_apply(const struct release *release)
{
    return !release_is_rollback(release) || release_stage(release)->rollback_approval;
}

/* A rollback is asked about by people at most: it is there for emergencies. */
static bool gate_applies(const struct release *release, size_t place)
{
    const struct def_gate *gate = &release_stage(release)->gates[place];
    return gates_apply(release) &&
           (gate->kind == DEF_GATE_APPROVAL || !release_is_rollback(release));
}

static void hold(struct plan *plan, struct holds *holds, const char *text)
{
    if (holds->count == holds->room) {
        size_t room = holds->room ? holds->room * 2 : 8;
        char **more = arena_alloc(plan->arena, room * sizeof(*more));
        if (holds->count)
            memcpy(more, holds->items, holds->count * sizeof(*more));
        holds->items = more;
        holds->room = room;
    }
    holds->items[holds->count++] = plan_string(plan, text);
}

static void look_again(struct holds *holds, int64_t at_ms)
{
    if (at_ms != INT64_MAX && (!holds->look_again_ms || at_ms < holds->look_again_ms))
        holds->look_again_ms = at_ms;
}

static const struct engine_environment *environment_of(const struct plan *plan, const char *name)
{
    const struct engine_input *input = plan->input;
    return input->environment ? input->environment(name, input->environment_arg) : NULL;
}

/* The digest that an action would deploy; "": none. */
static const char *digest_for(const struct release *release, const struct def_action *action)
{
    const Gantry__V1__Artifact *image = release_image(release, action);
    return image ? image->digest : "";
}

static bool frozen(struct plan *plan, const char *name, struct holds *holds)
{
    const struct engine_environment *environment = environment_of(plan, name);
    bool is = false;
    for (size_t i = 0; environment && i < environment->freeze_count; i++) {
        const struct window *window = environment->freezes[i].window;
        is = is || window_is_open(window, plan->now_ms);
        look_again(holds, window_next_change(window, plan->now_ms));
    }
    /* It may be lifted while nobody looks: what it holds never waits without a deadline. */
    if (is)
        look_again(holds, plan->now_ms + LOOK_AT_FREEZE_MS);
    return is;
}

/* Where the stage deploys to: each environment once. */
static void survey_environments(struct plan *plan, const struct release *release,
                                struct holds *holds)
{
    const struct def_stage *stage = release_stage(release);
    bool freezes = !release_is_rollback(release) && !(release->overrides & OVERRIDES_FREEZE);
    for (size_t i = 0; i < stage_action_count(stage); i++) {
        const struct def_action *action = stage_action_at(stage, i, NULL);
        bool again = action->kind != DEF_DEPLOY;
        for (size_t j = 0; !again && j < i; j++) {
            const struct def_action *other = stage_action_at(stage, j, NULL);
            again = other->kind == DEF_DEPLOY &&
                    strcmp(other->deploy.environment, action->deploy.environment) == 0;
        }
        if (again)
            continue;
        const char *name = action->deploy.environment;
        const Gantry__V1__EnvironmentPinned *pin = state_pin(plan->state, name);
        if (pin && strcmp(pin->digest, digest_for(release, action)) != 0)
            hold(plan, holds, arena_printf(plan->arena, "pinned:%s", name));
        if (freezes && frozen(plan, name, holds))
            hold(plan, holds, arena_printf(plan->arena, "freeze:%s", name));
    }
}

/* The stage before was rolled back since: its digest is no longer what runs there. */
static bool soak_ended(const struct plan *plan, const struct release *release)
{
    const struct def_pipeline *pipeline = release->definition->parsed->pipeline;
    const struct stage *before =
        release->stage ? state_stage(plan->state, pipeline->stages[release->stage - 1].name) : NULL;
    return before && before->entered_last > release->number &&
           before->entered_last != before->entered_max;
}

static bool soaked(struct plan *plan, const struct release *release, const struct def_gate *rules,
                   struct holds *holds)
{
    int64_t over_ms = release->arrived_ms + rules->soak_ms;
    if (soak_ended(plan, release))
        return false;
    if (plan->now_ms >= over_ms)
        return true;
    look_again(holds, over_ms);
    return false;
}

static bool in_window(struct plan *plan, const struct def_gate *rules, struct holds *holds)
{
    look_again(holds, window_next_change(rules->window, plan->now_ms));
    return window_is_open(rules->window, plan->now_ms);
}

static bool gate_passed(struct plan *plan, const struct release *release, size_t place,
                        struct holds *holds)
{
    const struct def_gate *rules = &release_stage(release)->gates[place];
    const struct gate *gate = &release->gates[place];
    switch (rules->kind) {
    case DEF_GATE_APPROVAL:
        return gate->approval && gate->approval->state == APPROVAL_GIVEN;
    case DEF_GATE_SOAK:
        return soaked(plan, release, rules, holds);
    case DEF_GATE_WINDOW:
        return in_window(plan, rules, holds);
    case DEF_GATE_MANUAL:
        return gate->promoted;
    case DEF_GATE_CHECK:
        return gate->check.state == CHECK_YES;
    }
    return false;
}

void plan_survey(struct plan *plan, const struct release *release, struct holds *holds)
{
    const struct def_stage *stage = release_stage(release);
    const struct stage *there = state_stage(plan->state, stage->name);
    *holds = (struct holds){0};
    if (there && there->disabled && !release_is_rollback(release) &&
        !(release->overrides & OVERRIDES_DISABLED))
        hold(plan, holds, "disabled");
    survey_environments(plan, release, holds);
    for (size_t i = 0; i < release->gate_count; i++) {
        if (gate_applies(release, i) && !release->gates[i].overridden &&
            !gate_passed(plan, release, i, holds))
            hold(plan, holds, stage->gates[i].name);
    }
}

void plan_hold(struct plan *plan, struct holds *holds, const char *text)
{
    hold(plan, holds, text);
}

void plan_hold_gates(struct plan *plan, const struct release *release, struct holds *holds)
{
    for (size_t i = 0; i < release->gate_count; i++) {
        if (gate_applies(release, i))
            hold(plan, holds, release_stage(release)->gates[i].name);
    }
}

/* ---- checks ---- */

static void ask(struct plan *plan, uint64_t number, size_t place)
{
    const struct release *release = state_release(plan->state, number);
    const struct def_gate *rules = &release_stage(release)->gates[place];
    const char *refusal = NULL;
    Gantry__V1__ActionRequest *request = plan_check_request(plan, release, place, &refusal);
    if (refusal) {
        plan_check_answered(plan, release, place, false, refusal, false);
        return;
    }
    request->timeout_ms = rules->check.timeout_ms;
    request->deadline_ms = plan->now_ms + rules->check.timeout_ms;
    Gantry__V1__CheckAsked *m =
        PLAN_MESSAGE(plan, Gantry__V1__CheckAsked, gantry__v1__check_asked__init);
    m->request = request;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_CHECK_ASKED, m);
}

/* A yes that has grown old is no answer where everything else would let the release go. */
static bool stale(const struct plan *plan, const struct gate *gate, const struct holds *holds)
{
    return gate->check.state == CHECK_YES && holds->count == 0 && gate->check.at_ms <= plan->now_ms;
}

/* `first`: nobody goes before; what was asked already is asked again in any case. */
bool plan_ask_checks(struct plan *plan, uint64_t number, bool first, const struct holds *holds)
{
    bool asked = false;
    for (size_t i = 0; !plan->failed; i++) {
        const struct release *release = state_release(plan->state, number);
        if (i >= release->gate_count)
            break;
        const struct gate *gate = &release->gates[i];
        bool due = (gate->check.state == CHECK_NONE && first) || stale(plan, gate, holds) ||
                   (gate->check.state == CHECK_NO && gate->check.at_ms <= plan->now_ms);
        if (release_stage(release)->gates[i].kind != DEF_GATE_CHECK || !gate_applies(release, i) ||
            gate->overridden || !due)
            continue;
        ask(plan, number, i);
        asked = true;
    }
    return asked;
}

/* An answer to a question that was asked, or, of a question that could not be, a no. */
void plan_check_answered(struct plan *plan, const struct release *release, size_t place, bool yes,
                         const char *reason, bool cancel)
{
    const struct def_gate *rules = &release_stage(release)->gates[place];
    const struct check *check = &release->gates[place].check;
    Gantry__V1__CheckAnswered *m =
        PLAN_MESSAGE(plan, Gantry__V1__CheckAnswered, gantry__v1__check_answered__init);
    m->release = release->number;
    m->stage = plan_string(plan, release_stage(release)->name);
    m->gate = plan_string(plan, rules->name);
    m->yes = yes;
    m->reason = plan_string(plan, reason);
    m->ask_again_ms = plan->now_ms + rules->check.every_ms;
    if (check->state == CHECK_ASKED) {
        m->run_id = plan_string(plan, check->id);
    } else {
        char id[ID_SIZE];
        event_id_run(id, plan->epoch, plan->state->pipeline->text, release->number, m->stage,
                     rules->name, check->number + 1);
        m->run_id = plan_string(plan, id);
    }
    if (cancel) {
        m->cancel_case = GANTRY__V1__CHECK_ANSWERED__CANCEL_REQUEST;
        m->request = plan_check_cancel(plan, release, place, reason);
    }
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED, m);
}

static void withdraw(struct plan *plan, uint64_t number, size_t place, const char *reason)
{
    const struct release *release = state_release(plan->state, number);
    if (release->gates[place].check.state != CHECK_ASKED)
        return;
    Gantry__V1__CheckAnswered *m =
        PLAN_MESSAGE(plan, Gantry__V1__CheckAnswered, gantry__v1__check_answered__init);
    m->release = number;
    m->stage = plan_string(plan, release_stage(release)->name);
    m->gate = plan_string(plan, release_stage(release)->gates[place].name);
    m->run_id = plan_string(plan, release->gates[place].check.id);
    m->reason = plan_string(plan, reason);
    m->withdrawn = true;
    m->cancel_case = GANTRY__V1__CHECK_ANSWERED__CANCEL_REQUEST;
    m->request = plan_check_cancel(plan, release, place, reason);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED, m);
}

/* ---- all of a transition's ---- */

bool plan_open_gates(struct plan *plan, uint64_t number)
{
    bool opened = false;
    for (size_t i = 0; !plan->failed; i++) {
        const struct release *release = state_release(plan->state, number);
        if (i >= release->gate_count)
            break;
        const struct def_gate *rules = &release_stage(release)->gates[i];
        const struct gate *gate = &release->gates[i];
        if (rules->kind != DEF_GATE_APPROVAL || !gate_applies(release, i) || gate->overridden ||
            (gate->approval && gate->approval->state != APPROVAL_NONE))
            continue;
        plan_approval_open(plan, number, rules->name, &rules->approval);
        opened = true;
    }
    return opened;
}

void plan_close_gate(struct plan *plan, uint64_t number, size_t place, int outcome,
                     const char *reason)
{
    const struct release *release = state_release(plan->state, number);
    const struct def_gate *rules = &release_stage(release)->gates[place];
    const struct gate *gate = &release->gates[place];
    if (gate->approval && gate->approval->state == APPROVAL_OPEN)
        plan_approval_close(plan, number, rules->name, &rules->approval, outcome, reason);
    else
        withdraw(plan, number, place, reason);
}

void plan_close_gates(struct plan *plan, uint64_t number, int outcome, const char *reason)
{
    for (size_t i = 0; !plan->failed && i < state_release(plan->state, number)->gate_count; i++)
        plan_close_gate(plan, number, i, outcome, reason);
}
