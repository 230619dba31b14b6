/* Commands about the ways between stages: transitions, gates and pinned environments. */
#include <string.h>

#include "engine/plan.h"

#define REASON_MAX 2000 /* bytes */

/* Why a person's reason cannot be taken; NULL: it can. */
static const char *check_reason(struct plan *plan, const char *reason, bool required,
                                const char *what)
{
    if (required && str_empty(reason))
        return plan_text(plan, "%s needs a reason: it is kept and shown", what);
    if (strlen(reason) > REASON_MAX)
        return plan_text(plan, "the reason has more than %d bytes", REASON_MAX);
    return NULL;
}

static const char *no_stage(struct plan *plan, const char *stage)
{
    return plan_text(plan, "pipeline '%s' has no stage '%.64s'", plan->state->pipeline->text,
                     stage);
}

/* The release that waits on the transition into a stage; an empty one means where it stands. NULL
 * and *refusal. */
static const struct release *waiting(struct plan *plan, uint64_t number, const char *stage,
                                     const char **refusal)
{
    const struct release *release = state_release(plan->state, number);
    unsigned long long n = number;
    *refusal = NULL;
    if (number == 0 || number >= plan->state->next_release)
        *refusal = plan_text(plan, "there is no release %llu", n);
    else if (!release || !release_is_active(release))
        *refusal = plan_text(plan, "release %llu has ended", n);
    else if (release->phase != RELEASE_WAITING)
        *refusal = plan_text(plan, "release %llu is inside stage '%s': nothing holds it", n,
                             release_stage(release)->name);
    else if (*stage && strcmp(release_stage(release)->name, stage) != 0)
        *refusal = plan_text(plan, "release %llu waits for stage '%s', not for '%.64s'", n,
                             release_stage(release)->name, stage);
    return *refusal ? NULL : release;
}

static size_t disabled_count(const struct engine_state *state)
{
    size_t count = 0;
    for (size_t i = 0; i < state->stages.count; i++)
        count += ((struct stage *)state->stages.items[i])->disabled != NULL;
    return count;
}

static const char *set_transition(struct plan *plan, const Gantry__V1__Command *command,
                                  const char *what)
{
    const Gantry__V1__SetTransition *want = command->transition;
    const struct stage *stage = state_stage(plan->state, want->stage);
    bool disabled = stage && stage->disabled;
    const char *refusal =
        check_reason(plan, want->reason, !want->enabled, "disabling a transition");
    if (!def_pipeline_stage(state_definition(plan->state), want->stage, NULL))
        return no_stage(plan, want->stage);
    if (refusal)
        return refusal;
    if (disabled == !want->enabled)
        return plan_text(plan, "the transition into stage '%s' is %s already", want->stage,
                         disabled ? "disabled" : "enabled");
    if (!want->enabled && disabled_count(plan->state) >= STATE_DISABLED_MAX)
        return plan_text(plan, "%d transitions are disabled, more than can be kept",
                         STATE_DISABLED_MAX);
    plan_command_taken(plan, what);
    Gantry__V1__TransitionSet *m =
        PLAN_MESSAGE(plan, Gantry__V1__TransitionSet, gantry__v1__transition_set__init);
    m->stage = plan_string(plan, want->stage);
    m->enabled = want->enabled;
    m->reason = plan_string(plan, want->reason);
    m->by = (Gantry__V1__Actor *)plan->actor;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_TRANSITION_SET, m);
    plan_advance(plan, 0);
    return NULL;
}

static const char *promote(struct plan *plan, const Gantry__V1__Command *command, const char *what)
{
    const char *refusal;
    const struct release *release =
        waiting(plan, command->promote->release, command->promote->stage, &refusal);
    if (!release)
        return refusal;
    const struct def_stage *stage = release_stage(release);
    Gantry__V1__ReleasePromoted *m =
        PLAN_MESSAGE(plan, Gantry__V1__ReleasePromoted, gantry__v1__release_promoted__init);
    m->gates = arena_alloc(plan->arena, (release->gate_count + 1) * sizeof(*m->gates));
    for (size_t i = 0; i < release->gate_count; i++) {
        if (stage->gates[i].kind == DEF_GATE_MANUAL && !release->gates[i].promoted)
            m->gates[m->n_gates++] = plan_string(plan, stage->gates[i].name);
    }
    if (!m->n_gates || release_is_rollback(release))
        return plan_text(plan,
                         "release %llu is not held by a manual gate of stage '%s': see what holds "
                         "it, and who may decide there",
                         (unsigned long long)release->number, stage->name);
    uint64_t number = release->number;
    plan_command_taken(plan, what);
    m->release = number;
    m->stage = plan_string(plan, stage->name);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_RELEASE_PROMOTED, m);
    plan_advance(plan, number);
    return NULL;
}

/* Whether a gate, `disabled` or `freeze` is among what holds a release. */
static bool is_held(const struct holds *holds, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < holds->count; i++) {
        if (strncmp(holds->items[i], name, len) == 0 &&
            (!holds->items[i][len] || (holds->items[i][len] == ':' && strcmp(name, "freeze") == 0)))
            return true;
    }
    return false;
}

/* Why a gate of the transition cannot be overridden; NULL: it can. One that holds nothing has
 * nothing to be overridden: it would be told, and kept for ever, that somebody broke a rule which
 * did not stand in the way, and the release would pass one that comes later. */
static const char *check_gate(struct plan *plan, const struct release *release, const char *name,
                              long *place)
{
    const struct def_stage *stage = release_stage(release);
    unsigned long long number = release->number;
    struct holds holds;
    bool disabled = strcmp(name, "disabled") == 0, freeze = strcmp(name, "freeze") == 0;
    *place = -1;
    for (size_t i = 0; !disabled && !freeze && i < release->gate_count; i++) {
        if (strcmp(stage->gates[i].name, name) == 0)
            *place = (long)i;
    }
    if (*place < 0 && !disabled && !freeze)
        return plan_text(plan, "stage '%s' has no gate '%.64s'", stage->name, name);
    if (*place >= 0 && release->gates[*place].overridden)
        return plan_text(plan, "gate '%s' was overridden already", name);
    plan_survey(plan, release, &holds);
    if (is_held(&holds, name))
        return NULL;
    return release_is_rollback(release)
               ? plan_text(plan, "'%s' does not hold release %llu, which is a rollback", name,
                           number)
               : plan_text(plan, "'%s' does not hold release %llu now", name, number);
}

static const char * override(struct plan *plan, const Gantry__V1__Command *command,
                             const char *what)
{
    const Gantry__V1__OverrideGate *want = command->override_gate;
    const char *refusal;
    long place;
    const struct release *release = waiting(plan, want->release, want->stage, &refusal);
    if (!release || (refusal = check_reason(plan, want->reason, true, "overriding a gate")) ||
        (refusal = check_gate(plan, release, want->gate, &place)))
        return refusal;
    uint64_t number = release->number;
    const struct def_stage *stage = release_stage(release);
    plan_command_taken(plan, what);
    Gantry__V1__GateOverridden *m =
        PLAN_MESSAGE(plan, Gantry__V1__GateOverridden, gantry__v1__gate_overridden__init);
    m->release = number;
    m->stage = plan_string(plan, stage->name);
    m->gate = plan_string(plan, want->gate);
    m->reason = plan_string(plan, want->reason);
    m->by = (Gantry__V1__Actor *)plan->actor;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_GATE_OVERRIDDEN, m);
    if (place >= 0)
        plan_close_gate(plan, number, (size_t)place,
                        GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_OVERRIDDEN,
                        plan_text(plan, "overridden: %.500s", want->reason));
    plan_advance(plan, number);
    return NULL;
}

/* In parallel mode several may be on their way to one environment. */
static bool is_being_deployed(const struct engine_state *state, const char *environment)
{
    for (size_t i = 0; i < state->releases.count; i++) {
        const struct release *release = state_release_at(state, i);
        for (size_t j = 0; release->phase == RELEASE_INSIDE && j < release->run_count; j++) {
            const struct def_action *action = stage_action_at(release_stage(release), j, NULL);
            bool runs =
                release->runs[j].state == RUN_REQUESTED || release->runs[j].state == RUN_STARTED;
            if (runs && action->kind == DEF_DEPLOY &&
                strcmp(action->deploy.environment, environment) == 0)
                return true;
        }
    }
    return false;
}

/* What runs in the environment. NULL and *refusal: nobody can say. */
static const char *running_digest(struct plan *plan, const char *environment, const char **refusal)
{
    const struct deployed *deployed = state_deployed(plan->state, environment);
    if (deployed && deployed->sure && !is_being_deployed(plan->state, environment))
        return deployed->digest;
    if (!deployed)
        *refusal = plan_text(plan,
                             "nothing was deployed to environment '%.64s' yet: name the digest "
                             "that may",
                             environment);
    else
        *refusal = plan_text(plan,
                             "the last deploy to environment '%.64s' has not succeeded, so what "
                             "runs there is not known: name the digest%s%s",
                             environment, *deployed->digest ? "; the last that did was " : "",
                             deployed->digest);
    return NULL;
}

static bool is_digest(const char *text)
{
    return str_starts(text, "sha256:") && strlen(text) == strlen("sha256:") + 64 &&
           strspn(text + strlen("sha256:"), "0123456789abcdef") == 64;
}

static const char *pin(struct plan *plan, const Gantry__V1__Command *command, const char *what)
{
    const Gantry__V1__PinEnvironment *want = command->pin;
    const struct engine_state *state = plan->state;
    const Gantry__V1__EnvironmentPinned *there = state_pin(state, want->environment);
    const char *digest = want->digest;
    const char *refusal = check_reason(plan, want->reason, want->pinned, "pinning an environment");
    if (refusal)
        return refusal;
    if (!want->pinned && !there)
        return plan_text(plan, "environment '%.64s' is not pinned", want->environment);
    if (want->pinned && !pipeline_deploys_to(state_definition(state), want->environment))
        return plan_text(plan, "pipeline '%s' deploys nothing to environment '%.64s'",
                         state->pipeline->text, want->environment);
    if (want->pinned && !*digest && !(digest = running_digest(plan, want->environment, &refusal)))
        return refusal;
    if (want->pinned && !is_digest(digest))
        return plan_text(plan, "'%.80s' is no digest: sha256: and 64 hex digits", digest);
    if (want->pinned && there && strcmp(there->digest, digest) == 0)
        return plan_text(plan, "environment '%.64s' is pinned to that digest already",
                         want->environment);
    if (want->pinned && !there && state->pins.count >= STATE_PINS_MAX)
        return plan_text(plan, "%d environments are pinned, more than can be kept", STATE_PINS_MAX);
    Gantry__V1__EnvironmentPinned *m =
        PLAN_MESSAGE(plan, Gantry__V1__EnvironmentPinned, gantry__v1__environment_pinned__init);
    m->environment = plan_string(plan, want->environment);
    m->pinned = want->pinned;
    m->digest = plan_string(plan, want->pinned ? digest : there->digest);
    m->reason = plan_string(plan, want->reason);
    m->by = (Gantry__V1__Actor *)plan->actor;
    plan_command_taken(plan, what);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_ENVIRONMENT_PINNED, m);
    plan_advance(plan, 0);
    return NULL;
}

const char *step_steer(struct plan *plan, const Gantry__V1__Command *command, const char *what)
{
    switch ((int)command->what_case) {
    case GANTRY__V1__COMMAND__WHAT_TRANSITION:
        return set_transition(plan, command, what);
    case GANTRY__V1__COMMAND__WHAT_PROMOTE:
        return promote(plan, command, what);
    case GANTRY__V1__COMMAND__WHAT_OVERRIDE_GATE:
        return override(plan, command, what);
    default:
        return pin(plan, command, what);
    }
}
