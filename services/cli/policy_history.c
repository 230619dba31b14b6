/* A Decision holds the facts that its input caused, not the input. What is needed of that is put
 * together again from them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "events/event.h"
#include "gantry/v1/source.pb-c.h"
#include "services/cli/policy.h"

char *policy_place(uint64_t release, const char *stage, const char *action, uint32_t number)
{
    return mem_printf("%llu %s/%s %u", (unsigned long long)release, stage, action, number);
}

void policy_history_init(struct policy_history *history, const char *pipeline, int64_t since_ms)
{
    *history = (struct policy_history){.pipeline = mem_strdup(pipeline),
                                       .since_ms = since_ms,
                                       .run_by_id = map_new(NULL),
                                       .run_by_place = map_new(NULL),
                                       .approval_by_id = map_new(NULL),
                                       .starts = map_new(NULL)};
}

static void run_free(struct policy_run *run)
{
    free(run->stage);
    free(run->action);
    event_free(run->finished);
    free(run);
}

static void approval_free(struct policy_approval *approval)
{
    for (size_t i = 0; i < approval->count; i++)
        event_free(approval->votes[i].vote);
    free(approval->votes);
    free(approval->stage);
    free(approval->gate);
    free(approval->digest);
    free(approval);
}

static void environment_free(struct policy_environment *environment)
{
    free((char *)environment->env.name);
    free((char *)environment->env.deployer);
    free((char *)environment->env.driver);
    free((char *)environment->env.command);
    free((void *)environment->env.yaml);
    definition_free(environment->parsed);
    free(environment);
}

void policy_history_release(struct policy_history *history)
{
    for (size_t i = 0; i < history->inputs.count; i++) {
        event_free(((struct policy_input *)history->inputs.items[i])->message);
        free(history->inputs.items[i]);
    }
    for (size_t i = 0; i < history->runs.count; i++)
        run_free(history->runs.items[i]);
    for (size_t i = 0; i < history->approvals.count; i++)
        approval_free(history->approvals.items[i]);
    for (size_t i = 0; i < history->environments.count; i++)
        environment_free(history->environments.items[i]);
    free(history->inputs.items);
    free(history->runs.items);
    free(history->approvals.items);
    free(history->environments.items);
    map_free(history->run_by_id);
    map_free(history->run_by_place);
    map_free(history->approval_by_id);
    map_free(history->starts);
    engine_state_free(history->before);
    free(history->pipeline);
}

/* ---- commands ---- */

static const Gantry__V1__Change *find(const Gantry__V1__Decision *decision, int what)
{
    for (size_t i = 0; i < decision->n_changes; i++)
        if ((int)decision->changes[i]->what_case == what)
            return decision->changes[i];
    return NULL;
}

#define FIND(decision, what) find(decision, GANTRY__V1__CHANGE__WHAT_##what)

static bool is_command(const char *what, const char *want)
{
    return strncmp(what, want, strlen(want)) == 0;
}

/* What each of these asked for, borrowed from the Decision's facts. */
struct asked {
    Gantry__V1__Command command;
    Gantry__V1__StartRelease start;
    Gantry__V1__StopRelease stop;
    Gantry__V1__RetryStage retry;
    Gantry__V1__RollbackStage rollback;
    Gantry__V1__SetTransition transition;
    Gantry__V1__PromoteRelease promote;
    Gantry__V1__OverrideGate override;
    Gantry__V1__PinEnvironment pin;
};

static bool is_start(struct asked *a, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Change *change = FIND(decision, RELEASE_STARTED);
    const Gantry__V1__ReleaseStarted *started = change ? change->release_started : NULL;

    if (!started)
        return false;
    if (started->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK) {
        gantry__v1__rollback_stage__init(&a->rollback);
        a->rollback.stage = started->rollback_stage;
        a->rollback.to_release = started->rollback_to;
        a->rollback.reason = started->reason;
        a->command.what_case = GANTRY__V1__COMMAND__WHAT_ROLLBACK;
        a->command.rollback = &a->rollback;
        return true;
    }
    gantry__v1__start_release__init(&a->start);
    a->start.revisions = started->revisions;
    a->start.n_revisions = started->n_revisions;
    a->start.variables = started->variables;
    a->start.n_variables = started->n_variables;
    a->command.what_case = GANTRY__V1__COMMAND__WHAT_START;
    a->command.start = &a->start;
    return true;
}

static bool is_stop(struct asked *a, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Change *change = FIND(decision, RELEASE_STOPPING);

    if (!change)
        return false;
    gantry__v1__stop_release__init(&a->stop);
    a->stop.release = change->release_stopping->release;
    a->stop.mode = (Gantry__V1__StopMode)change->release_stopping->mode;
    a->stop.reason = change->release_stopping->reason;
    a->command.what_case = GANTRY__V1__COMMAND__WHAT_STOP;
    a->command.stop = &a->stop;
    return true;
}

static bool is_retry(struct asked *a, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Change *entered = FIND(decision, STAGE_ENTERED);
    const Gantry__V1__Change *waiting = FIND(decision, STAGE_WAITING);

    gantry__v1__retry_stage__init(&a->retry);
    a->command.what_case = GANTRY__V1__COMMAND__WHAT_RETRY;
    a->command.retry = &a->retry;
    if (entered) {
        a->retry.release = entered->stage_entered->release;
        a->retry.stage = entered->stage_entered->stage;
        a->retry.all_actions = entered->stage_entered->all_actions;
    } else if (waiting) {
        a->retry.release = waiting->stage_waiting->release;
        a->retry.stage = waiting->stage_waiting->stage;
    }
    return entered || waiting;
}

static bool is_transition(struct asked *a, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Change *change = FIND(decision, TRANSITION_SET);

    if (!change)
        return false;
    gantry__v1__set_transition__init(&a->transition);
    a->transition.stage = change->transition_set->stage;
    a->transition.enabled = change->transition_set->enabled;
    a->transition.reason = change->transition_set->reason;
    a->command.what_case = GANTRY__V1__COMMAND__WHAT_TRANSITION;
    a->command.transition = &a->transition;
    return true;
}

static bool is_gate(struct asked *a, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Change *promoted = FIND(decision, RELEASE_PROMOTED);
    const Gantry__V1__Change *overridden = FIND(decision, GATE_OVERRIDDEN);

    if (promoted) {
        gantry__v1__promote_release__init(&a->promote);
        a->promote.release = promoted->release_promoted->release;
        a->promote.stage = promoted->release_promoted->stage;
        a->command.what_case = GANTRY__V1__COMMAND__WHAT_PROMOTE;
        a->command.promote = &a->promote;
    } else if (overridden) {
        gantry__v1__override_gate__init(&a->override);
        a->override.release = overridden->gate_overridden->release;
        a->override.stage = overridden->gate_overridden->stage;
        a->override.gate = overridden->gate_overridden->gate;
        a->override.reason = overridden->gate_overridden->reason;
        a->command.what_case = GANTRY__V1__COMMAND__WHAT_OVERRIDE_GATE;
        a->command.override_gate = &a->override;
    }
    return promoted || overridden;
}

static bool is_pin(struct asked *a, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Change *change = FIND(decision, ENVIRONMENT_PINNED);

    if (!change)
        return false;
    gantry__v1__pin_environment__init(&a->pin);
    a->pin.environment = change->environment_pinned->environment;
    a->pin.pinned = change->environment_pinned->pinned;
    a->pin.digest = change->environment_pinned->digest;
    a->pin.reason = change->environment_pinned->reason;
    a->command.what_case = GANTRY__V1__COMMAND__WHAT_PIN;
    a->command.pin = &a->pin;
    return true;
}

/* A Command that would have caused these facts; false: none can be told. */
static bool command_of(struct asked *a, const Gantry__V1__Decision *decision,
                       const Gantry__V1__CommandTaken *taken)
{
    bool known;

    gantry__v1__command__init(&a->command);
    a->command.pipeline = decision->pipeline;
    a->command.caller = taken->caller ? taken->caller : decision->cause->actor;
    known = is_command(taken->what, "retry")
                ? is_retry(a, decision)
                : is_transition(a, decision) || is_pin(a, decision) || is_gate(a, decision) ||
                      is_stop(a, decision) || is_start(a, decision);
    return known && a->command.caller;
}

/* ---- inputs ---- */

static void add_input(struct policy_history *history, const Gantry__V1__Decision *decision,
                      enum topic topic, const void *message)
{
    struct policy_input *input = mem_alloc(sizeof *input);

    input->index = history->decisions;
    input->time_ms = decision->time_ms;
    input->topic = topic;
    input->message = event_clone(message);
    snprintf(input->ce_id, sizeof input->ce_id, "%s", decision->cause->ce_id);
    policy_list_add(&history->inputs, input);
}

static void take_input(struct policy_history *history, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Change *seen = FIND(decision, REVISION_SEEN);
    const Gantry__V1__Change *taken = FIND(decision, COMMAND_TAKEN);
    struct asked asked;

    if (seen)
        add_input(history, decision, TOPIC_SOURCE, seen->revision_seen->change);
    if (taken && command_of(&asked, decision, taken->command_taken))
        add_input(history, decision, TOPIC_COMMAND, &asked.command);
    history->refused += FIND(decision, COMMAND_REFUSED) != NULL;
    history->defined += FIND(decision, DEFINITION_TAKEN) != NULL;
}

/* ---- runs, votes, environments ---- */

static void add_run(struct policy_history *history, const Gantry__V1__ActionRequest *request,
                    int64_t time_ms)
{
    static const enum topic topics[] = {TOPIC_COUNT, TOPIC_RESULT_BUILD, TOPIC_RESULT_DEPLOY,
                                        TOPIC_COUNT, TOPIC_RESULT_CUSTOM};
    struct policy_run *run;
    char *place;

    if ((size_t)request->kind >= sizeof topics / sizeof topics[0] ||
        topics[request->kind] == TOPIC_COUNT)
        return;
    run = mem_alloc(sizeof *run);
    run->release = request->release;
    run->stage = mem_strdup(request->stage);
    run->action = mem_strdup(request->action);
    run->number = request->number;
    snprintf(run->id, sizeof run->id, "%s", request->run_id);
    run->topic = topics[request->kind];
    run->asked_index = history->decisions;
    run->asked_ms = time_ms;
    policy_list_add(&history->runs, run);
    map_set(history->run_by_id, run->id, run);
    place = policy_place(run->release, run->stage, run->action, run->number);
    map_set(history->run_by_place, place, run);
    free(place);
}

static void end_run(struct policy_history *history, const char *run_id,
                    const Gantry__V1__Finished *finished, int64_t time_ms)
{
    struct policy_run *run = map_get(history->run_by_id, run_id);

    if (!run || run->ended_ms)
        return;
    run->ended_ms = time_ms;
    run->ended_index = history->decisions;
    run->finished = finished ? event_clone(finished) : NULL;
}

/* The executor's words are not kept, only what they came to. */
static void answer_check(struct policy_history *history, const Gantry__V1__CheckAnswered *answered,
                         int64_t time_ms)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;

    finished.outcome = answered->yes ? GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED
                                     : GANTRY__V1__OUTCOME__OUTCOME_FAILED;
    finished.reason = answered->reason;
    end_run(history, answered->run_id, answered->withdrawn ? NULL : &finished, time_ms);
}

static void add_approval(struct policy_history *history, const Gantry__V1__ApprovalRequest *request,
                         int64_t time_ms)
{
    struct policy_approval *approval = mem_alloc(sizeof *approval);

    approval->release = request->release;
    approval->stage = mem_strdup(request->stage);
    approval->gate = mem_strdup(request->gate);
    approval->digest = mem_strdup(request->digest);
    approval->number = request->number;
    snprintf(approval->id, sizeof approval->id, "%s", request->approval_id);
    approval->opened_ms = time_ms;
    policy_list_add(&history->approvals, approval);
    map_set(history->approval_by_id, approval->id, approval);
}

static void add_vote(struct policy_history *history, const Gantry__V1__Vote *vote,
                     const char *ce_id, int64_t time_ms)
{
    struct policy_approval *approval =
        vote ? map_get(history->approval_by_id, vote->approval_id) : NULL;
    struct policy_vote *item;

    if (!approval)
        return;
    approval->votes = mem_realloc(approval->votes, approval->count + 1, sizeof *approval->votes);
    item = &approval->votes[approval->count++];
    *item = (struct policy_vote){
        .vote = event_clone(vote), .index = history->decisions, .time_ms = time_ms};
    snprintf(item->ce_id, sizeof item->ce_id, "%s", ce_id);
}

static void add_environment(struct policy_history *history, const Gantry__V1__DeploySpec *deploy,
                            int64_t time_ms)
{
    struct policy_environment *environment;

    for (size_t i = history->environments.count; i-- > 0;) {
        environment = history->environments.items[i];
        if (!str_eq(environment->env.name, deploy->environment))
            continue;
        if (environment->env.yaml_len == deploy->environment_yaml.len &&
            memcmp(environment->env.yaml, deploy->environment_yaml.data,
                   deploy->environment_yaml.len) == 0)
            return;
        break;
    }
    environment = mem_alloc(sizeof *environment);
    environment->env = (struct engine_environment){
        .name = mem_strdup(deploy->environment),
        .deployer = mem_strdup(deploy->deployer),
        .driver = mem_strdup(deploy->driver),
        .command = mem_strdup(deploy->command),
        .yaml =
            mem_strndup((const char *)deploy->environment_yaml.data, deploy->environment_yaml.len),
        .yaml_len = deploy->environment_yaml.len,
        .sha256 = environment->sha256,
    };
    sha256(environment->env.yaml, environment->env.yaml_len, environment->sha256);
    if (definition_parse(&environment->parsed, environment->env.yaml, environment->env.yaml_len,
                         NULL, NULL) < 0)
        environment->parsed = NULL;
    if (environment->parsed && environment->parsed->kind == DEF_ENVIRONMENT) {
        environment->env.freezes = environment->parsed->environment->freezes;
        environment->env.freeze_count = environment->parsed->environment->freeze_count;
    }
    environment->from_ms = time_ms;
    policy_list_add(&history->environments, environment);
}

/* ---- starts ---- */

/* Which release of then one of the new run is: both were started by the same input. */
static void add_start(struct policy_history *history, const Gantry__V1__ReleaseStarted *started,
                      size_t nth)
{
    char *key = started->failed_release
                    ? mem_printf("rollback/%llu", (unsigned long long)started->failed_release)
                    : mem_printf("%zu/%zu", history->decisions, nth);

    map_set(history->starts, key, (void *)(uintptr_t)started->release);
    free(key);
}

static void take_change(struct policy_history *history, const Gantry__V1__Change *change,
                        int64_t time_ms)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
        add_run(history, change->action_requested->request, time_ms);
        if (change->action_requested->request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY)
            add_environment(history, change->action_requested->request->deploy, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED: /* the action's run has answered */
        end_run(history, change->batch_planned->run_id, change->batch_planned->finished, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED:
        end_run(history, change->action_ended->run_id, change->action_ended->finished, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_CHECK_ASKED:
        add_run(history, change->check_asked->request, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED:
        answer_check(history, change->check_answered, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
        add_approval(history, change->approval_opened->approval, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        add_vote(history, change->vote_counted->vote, change->vote_counted->ce_id, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_VOTE_REFUSED:
        add_vote(history, change->vote_refused->vote, change->vote_refused->ce_id, time_ms);
        break;
    default: /* follows from the others */
        break;
    }
}

static void begin(struct policy_history *history, const struct engine_state *state,
                  const Gantry__V1__Decision *decision)
{
    history->before = engine_state_clone(state);
    history->first = history->decisions;
    history->begin_ms = decision->time_ms;
}

void policy_history_add(struct policy_history *history, const struct engine_state *state,
                        const Gantry__V1__Decision *decision)
{
    size_t starts = 0;

    if (!history->before && decision->time_ms > history->since_ms)
        begin(history, state, decision);
    if (history->before)
        take_input(history, decision);
    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];

        if (change->what_case == GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED)
            add_start(history, change->release_started, starts++);
        take_change(history, change, decision->time_ms);
    }
    history->end_ms = decision->time_ms;
    history->epoch = decision->epoch;
    history->decisions++;
}
