/* What people ask for. Each yields a Decision, a refusal too. */
#include <string.h>

#include "engine/message.h"
#include "engine/plan.h"
#include "gantry/v1/command.pb-c.h"

#define COMMIT_SHORTEST 7 /* digits of a commit that may stand for all of it */
#define COMMIT_FULL     40

struct commanding {
    struct plan *plan;
    const Gantry__V1__Command *command;
    const char *what;
    const char *refusal; /* the first reason found */
};

static void refuse(struct commanding *c, const char *reason)
{
    if (!c->refusal)
        c->refusal = reason;
}

/* ---- start ---- */

/* A commit whose first digits these are, among those known of the source; NULL: none, or several.
 */
static const Gantry__V1__Revision *find_commit(const struct engine_state *state, const char *source,
                                               const char *digits)
{
    const Gantry__V1__Revision *found = NULL;
    size_t heads = state->heads.count, releases = state->releases.count;
    for (size_t i = 0; i < heads + releases + state->pasts.count; i++) {
        const struct facts *facts = NULL;
        if (i >= heads)
            facts = i < heads + releases
                        ? state_release_at(state, i - heads)->facts
                        : ((struct past *)state->pasts.items[i - heads - releases])->facts;
        size_t count = facts ? facts->started->n_revisions : 1;
        for (size_t j = 0; j < count; j++) {
            const Gantry__V1__Revision *r = facts
                                                ? facts->started->revisions[j]
                                                : ((struct head *)state->heads.items[i])->revision;
            if (strcmp(r->source, source) != 0 || !str_starts(r->commit, digits))
                continue;
            if (found && strcmp(found->commit, r->commit) != 0)
                return NULL;
            found = found ? found : r;
        }
    }
    return found;
}

static bool is_full_commit(const char *commit)
{
    size_t len = strlen(commit);
    return (len == COMMIT_FULL || len == 64) && strspn(commit, "0123456789abcdef") == len;
}

/* The revision that the caller wants of a source. */
static Gantry__V1__Revision *wanted(struct commanding *c, const struct def_source *source,
                                    const Gantry__V1__Revision *want)
{
    struct plan *plan = c->plan;
    const struct engine_state *state = plan->state;
    const struct head *head = want && *want->ref ? state_head(state, source->name, want->ref)
                                                 : state_newest_head(state, source);
    if (!want || !*want->commit) {
        if (head)
            return plan_head_revision(plan, source, head);
        refuse(c, want && *want->ref
                      ? plan_text(plan, "no commit of %s of source '%s' is known yet", want->ref,
                                  source->name)
                      : plan_text(plan, "no revision of source '%s' is known yet: name one",
                                  source->name));
        return NULL;
    }
    const Gantry__V1__Revision *known = strlen(want->commit) >= COMMIT_SHORTEST
                                            ? find_commit(state, source->name, want->commit)
                                            : NULL;
    if (known && (!*want->ref || strcmp(want->ref, known->ref) == 0))
        return plan_revision(plan, source, known->ref, known->commit, known->message,
                             known->pusher);
    if (known)
        return plan_revision(plan, source, want->ref, known->commit, known->message, "");
    if (!is_full_commit(want->commit)) {
        refuse(c, plan_text(plan,
                            "'%.64s' is not the beginning of one commit known of source '%s': "
                            "give it in full",
                            want->commit, source->name));
        return NULL;
    }
    return plan_revision(plan, source,
                         *want->ref ? want->ref
                         : head     ? head->revision->ref
                                    : "",
                         want->commit, want->message, "");
}

static const Gantry__V1__Revision *asked_of(const Gantry__V1__StartRelease *start,
                                            const char *source)
{
    for (size_t i = 0; i < start->n_revisions; i++) {
        if (strcmp(start->revisions[i]->source, source) == 0)
            return start->revisions[i];
    }
    return NULL;
}

static void start_revisions(struct commanding *c, const struct def_pipeline *pipeline,
                            Gantry__V1__ReleaseStarted *m)
{
    const Gantry__V1__StartRelease *start = c->command->start;
    for (size_t i = 0; i < start->n_revisions; i++) {
        const Gantry__V1__Revision *r = start->revisions[i];
        if (!def_pipeline_source(pipeline, r->source))
            refuse(c, plan_text(c->plan, "pipeline '%s' has no source '%.64s'", pipeline->name,
                                r->source));
        else if (asked_of(start, r->source) != r)
            refuse(c, plan_text(c->plan, "source '%.64s' is named twice", r->source));
    }
    m->revisions = arena_alloc(c->plan->arena, pipeline->source_count * sizeof(*m->revisions));
    m->n_revisions = pipeline->source_count;
    for (size_t i = 0; i < pipeline->source_count; i++) {
        const struct def_source *source = &pipeline->sources[i];
        m->revisions[i] = wanted(c, source, asked_of(start, source->name));
    }
}

static bool has_variable(const struct def_pipeline *pipeline, const char *key)
{
    for (size_t i = 0; i < pipeline->variable_count; i++) {
        if (strcmp(pipeline->variables[i].key, key) == 0)
            return true;
    }
    return false;
}

static void start_variables(struct commanding *c, const struct def_pipeline *pipeline,
                            Gantry__V1__ReleaseStarted *m)
{
    const Gantry__V1__StartRelease *start = c->command->start;
    struct plan *plan = c->plan;
    size_t count = pipeline->variable_count;
    for (size_t i = 0; i < start->n_variables; i++) {
        if (!has_variable(pipeline, start->variables[i]->key))
            refuse(c, plan_text(plan, "pipeline '%s' has no variable '%.64s'", pipeline->name,
                                start->variables[i]->key));
    }
    m->variables = count ? arena_alloc(plan->arena, count * sizeof(*m->variables)) : NULL;
    m->n_variables = count;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const char *value = pipeline->variables[i].value;
        for (size_t j = 0; j < start->n_variables; j++) {
            if (strcmp(start->variables[j]->key, pipeline->variables[i].key) == 0)
                value = start->variables[j]->value;
        }
        m->variables[i] = plan_key_value(plan, pipeline->variables[i].key, value);
        bytes += strlen(pipeline->variables[i].key) + strlen(value);
    }
    if (bytes > DEFINITION_VARIABLES_MAX)
        refuse(c, plan_text(plan, "the variables take %zu bytes, more than %d", bytes,
                            DEFINITION_VARIABLES_MAX));
}

static void step_start(struct commanding *c)
{
    struct plan *plan = c->plan;
    const struct def_pipeline *pipeline = state_definition(plan->state);
    Gantry__V1__ReleaseStarted *m =
        PLAN_MESSAGE(plan, Gantry__V1__ReleaseStarted, gantry__v1__release_started__init);
    m->type = GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_NORMAL;
    m->starter = message_copy(plan->arena, c->command->caller);
    m->reason = plan_string(plan, "started by hand");
    start_revisions(c, pipeline, m);
    start_variables(c, pipeline, m);
    if (c->refusal)
        return;
    uint64_t number = plan->state->next_release;
    plan_command_taken(plan, c->what);
    plan_start(plan, m);
    plan_advance(plan, number);
}

/* ---- stop ---- */

static const struct release *release_to_stop(struct commanding *c,
                                             const Gantry__V1__StopRelease *stop)
{
    struct plan *plan = c->plan;
    const struct release *release = state_release(plan->state, stop->release);
    unsigned long long number = stop->release;
    bool abandon = stop->mode == GANTRY__V1__STOP_MODE__STOP_MODE_ABANDON;
    if (stop->release >= plan->state->next_release)
        refuse(c, plan_text(plan, "there is no release %llu", number));
    else if (!release || !release_is_active(release))
        refuse(c, plan_text(plan, "release %llu has ended", number));
    else if (!abandon && stop->mode != GANTRY__V1__STOP_MODE__STOP_MODE_WAIT)
        refuse(c, "the way to stop is not known");
    else if (release->stopping &&
             !(abandon && release->stopping == GANTRY__V1__STOP_MODE_TAKEN__STOP_MODE_TAKEN_WAIT))
        refuse(c, plan_text(plan, "release %llu is being stopped already", number));
    return c->refusal ? NULL : release;
}

static void step_stop(struct commanding *c)
{
    struct plan *plan = c->plan;
    const Gantry__V1__StopRelease *stop = c->command->stop;
    const struct release *release = release_to_stop(c, stop);
    if (!release)
        return;
    bool abandon = stop->mode == GANTRY__V1__STOP_MODE__STOP_MODE_ABANDON;
    bool inside = release->phase == RELEASE_INSIDE;
    uint64_t number = release->number;
    plan_command_taken(plan, c->what);
    Gantry__V1__ReleaseStopping *m =
        PLAN_MESSAGE(plan, Gantry__V1__ReleaseStopping, gantry__v1__release_stopping__init);
    m->release = number;
    m->mode = abandon ? GANTRY__V1__STOP_MODE_TAKEN__STOP_MODE_TAKEN_ABANDON
                      : GANTRY__V1__STOP_MODE_TAKEN__STOP_MODE_TAKEN_WAIT;
    m->reason = plan_string(plan, stop->reason);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_RELEASE_STOPPING, m);
    const char *reason =
        plan_text(plan, "it was stopped%s%.500s", *stop->reason ? ": " : "", stop->reason);
    if (!inside)
        plan_end_waiting(plan, number, GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_STOPPED,
                         GANTRY__V1__STATUS__STATUS_STOPPED, reason, 0);
    else if (abandon)
        plan_abandon(plan, number, reason);
    plan_advance(plan, number);
}

/* ---- retry ---- */

static void refuse_retry(struct commanding *c, const Gantry__V1__RetryStage *retry)
{
    struct plan *plan = c->plan;
    const struct engine_state *state = plan->state;
    const struct release *release = state_release(state, retry->release);
    const struct stage *stage = state_stage(state, retry->stage);
    unsigned long long number = retry->release;
    if (retry->release >= state->next_release)
        refuse(c, plan_text(plan, "there is no release %llu", number));
    else if (release && release_is_active(release))
        refuse(c, plan_text(plan, "release %llu is under way", number));
    else if (!state_is_parallel(state) && stage && stage->entered_last > retry->release)
        refuse(c, plan_text(plan, "release %llu entered stage '%.64s' since",
                            (unsigned long long)stage->entered_last, retry->stage));
    else if (!release)
        refuse(c, plan_text(plan, "release %llu has not failed, or a later one took its place",
                            number));
    else if (strcmp(release_stage(release)->name, retry->stage) != 0)
        refuse(c, plan_text(plan, "release %llu failed at stage '%s', not at '%.64s'", number,
                            release_stage(release)->name, retry->stage));
    else if (state_occupant(state, retry->stage))
        refuse(c, plan_text(plan, "another release is in stage '%.64s'", retry->stage));
}

/* In a superseded pipeline the one that waits there now would take its place at once. */
static void refuse_overtaken(struct commanding *c, const struct release *release)
{
    const struct engine_state *state = c->plan->state;
    const char *stage = release_stage(release)->name;
    if (release->phase != RELEASE_REFUSED || state_definition(state)->mode != DEF_SUPERSEDED)
        return;
    for (size_t i = 0; i < state->releases.count; i++) {
        const struct release *other = state_release_at(state, i);
        if (other->phase == RELEASE_WAITING && other->number > release->number &&
            release_is_rollback(other) == release_is_rollback(release) &&
            strcmp(release_stage(other)->name, stage) == 0)
            refuse(c, plan_text(c->plan, "release %llu, a newer one, waits there now",
                                (unsigned long long)other->number));
    }
}

static void step_retry(struct commanding *c)
{
    struct plan *plan = c->plan;
    const Gantry__V1__RetryStage *retry = c->command->retry;
    const struct release *release = state_release(plan->state, retry->release);
    refuse_retry(c, retry);
    if (!c->refusal)
        refuse_overtaken(c, release);
    if (c->refusal)
        return;
    plan_command_taken(plan, c->what);
    if (release->phase == RELEASE_REFUSED) {
        plan_waiting(plan, release);
    } else {
        Gantry__V1__StageEntered *m =
            PLAN_MESSAGE(plan, Gantry__V1__StageEntered, gantry__v1__stage_entered__init);
        m->release = retry->release;
        m->stage = plan_string(plan, retry->stage);
        m->number = release->entered + 1;
        m->all_actions = retry->all_actions;
        plan_change(plan, GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED, m);
    }
    plan_advance(plan, retry->release);
}

/* ---- rollback ---- */

static bool succeeded_in(const struct stage *stage, uint64_t number)
{
    for (size_t i = 0; stage && i < stage->history_count; i++) {
        if (stage->history[i] == number)
            return true;
    }
    return false;
}

static const char *why_no_target(struct commanding *c, const struct stage *stage, uint64_t target)
{
    struct buf list;
    buf_init(&list, 400);
    for (size_t i = 0; stage && i < stage->history_count; i++)
        buf_addf(&list, "%s%llu", i ? ", " : "", (unsigned long long)stage->history[i]);
    const char *reason =
        list.len ? plan_text(c->plan,
                             "release %llu is not among the last %d that succeeded there "
                             "(%s)",
                             (unsigned long long)target, STATE_HISTORY, buf_cstr(&list))
                 : "no release has succeeded there yet";
    buf_release(&list);
    return reason;
}

static void step_rollback(struct commanding *c)
{
    struct plan *plan = c->plan;
    const Gantry__V1__RollbackStage *rollback = c->command->rollback;
    const struct def_pipeline *pipeline = state_definition(plan->state);
    const struct def_stage *stage = def_pipeline_stage(pipeline, rollback->stage, NULL);
    const struct stage *there = state_stage(plan->state, rollback->stage);
    if (!stage)
        refuse(c, plan_text(plan, "pipeline '%s' has no stage '%.64s'", pipeline->name,
                            rollback->stage));
    else if (state_is_parallel(plan->state))
        refuse(c, "in a parallel pipeline releases are independent: start one with the revision "
                  "that you want");
    else if (!succeeded_in(there, rollback->to_release))
        refuse(c, why_no_target(c, there, rollback->to_release));
    if (c->refusal)
        return;
    const struct past *past = state_past(plan->state, rollback->to_release);
    const char *refusal = plan_rollback_refusal(plan, stage, past);
    if (refusal) {
        refuse(c, refusal);
        return;
    }
    uint64_t number = plan->state->next_release;
    plan_command_taken(plan, c->what);
    plan_rollback(plan, rollback->stage, past, c->command->caller, rollback->reason, 0);
    plan_advance(plan, number);
}

static const char *name_of(const Gantry__V1__Command *command)
{
    switch ((int)command->what_case) {
    case GANTRY__V1__COMMAND__WHAT_START:
        return "start";
    case GANTRY__V1__COMMAND__WHAT_STOP:
        return "stop";
    case GANTRY__V1__COMMAND__WHAT_RETRY:
        return "retry";
    case GANTRY__V1__COMMAND__WHAT_ROLLBACK:
        return "rollback";
    case GANTRY__V1__COMMAND__WHAT_TRANSITION:
        return command->transition->enabled ? "transition enable" : "transition disable";
    case GANTRY__V1__COMMAND__WHAT_PROMOTE:
        return "promote";
    case GANTRY__V1__COMMAND__WHAT_OVERRIDE_GATE:
        return "gate override";
    case GANTRY__V1__COMMAND__WHAT_PIN:
        return command->pin->pinned ? "pin" : "unpin";
    default:
        return NULL;
    }
}

static void step_one(struct commanding *c)
{
    switch ((int)c->command->what_case) {
    case GANTRY__V1__COMMAND__WHAT_START:
        step_start(c);
        return;
    case GANTRY__V1__COMMAND__WHAT_STOP:
        step_stop(c);
        return;
    case GANTRY__V1__COMMAND__WHAT_RETRY:
        step_retry(c);
        return;
    case GANTRY__V1__COMMAND__WHAT_ROLLBACK:
        step_rollback(c);
        return;
    default:
        c->refusal = step_steer(c->plan, c->command, c->what);
    }
}

static void dispatch(struct commanding *c)
{
    const struct engine_state *state = c->plan->state;
    bool stop = c->command->what_case == GANTRY__V1__COMMAND__WHAT_STOP;
    if (c->plan->input->command_refusal) {
        refuse(c, c->plan->input->command_refusal);
    } else if (!state->current) {
        refuse(c, plan_text(c->plan, "there is no pipeline '%s'", state->pipeline->text));
    } else if (state->deleted && !stop) {
        refuse(c, plan_text(c->plan,
                            "pipeline '%s' was deleted: its releases finish, and no other "
                            "begins",
                            state->pipeline->text));
    } else {
        step_one(c);
    }
}

void step_command(struct plan *plan)
{
    const Gantry__V1__Command *command = plan->input->message;
    struct commanding c = {.plan = plan, .command = command, .what = name_of(command)};
    if (!c.what || !command->caller) {
        err_set(plan->err, ERR_INVALID, "a Command of nobody, or of a kind that is not known");
        plan->failed = true;
        return;
    }
    plan->actor = command->caller;
    dispatch(&c);
    if (c.refusal && !plan->failed)
        plan_command_refused(plan, c.what, c.refusal);
}
