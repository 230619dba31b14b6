#include "services/cli/policy_sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "events/event.h"
#include "gantry/v1/definition.pb-c.h"

/* ---- deciding ---- */

/* 1: a Decision; 0: none; -1. */
static int decide(struct sim *sim, struct engine_input *input)
{
    Gantry__V1__Decision decision = GANTRY__V1__DECISION__INIT;
    Gantry__V1__Cause cause = GANTRY__V1__CAUSE__INIT;
    bool is_record = input->kind == ENGINE_RECORD;
    uint8_t hash[SHA256_SIZE];
    int rc;

    input->environment = sim_environment;
    input->environment_arg = sim;
    cause.kind = is_record ? GANTRY__V1__CAUSE_KIND__CAUSE_KIND_INPUT
                           : GANTRY__V1__CAUSE_KIND__CAUSE_KIND_CLOCK;
    cause.topic = is_record ? (char *)topic_info(input->topic)->name : (char *)"";
    cause.ce_id = (char *)(input->ce_id ? input->ce_id : "");
    decision.cause = &cause;
    rc =
        engine_step(sim->state, input, sim->history->epoch, sim->now_ms, &decision, NULL, sim->err);
    if (rc <= 0)
        return rc;
    decision.pipeline = sim->history->pipeline;
    decision.sequence = engine_state_sequence(sim->state) + 1;
    if (engine_state_hashed(sim->state))
        decision.pipeline_previous =
            (ProtobufCBinaryData){SHA256_SIZE, (uint8_t *)engine_state_hash(sim->state)};
    decision.time_ms = sim->now_ms;
    decision.epoch = sim->history->epoch;
    sha256(&decision.sequence, sizeof decision.sequence, hash);
    rc = engine_fold(sim->state, &decision, hash, sim->err) < 0 ? -1 : 1;
    if (rc == 1) {
        outcomes_add(&sim->result->would, &decision, (size_t)sim->decisions++);
        sim_follow(sim, &decision);
    }
    engine_changes_free(&decision);
    return rc;
}

static int give_definition(struct sim *sim)
{
    Gantry__V1__Definition message = GANTRY__V1__DEFINITION__INIT;
    struct engine_input input = {.kind = ENGINE_RECORD,
                                 .topic = TOPIC_DEFINITION,
                                 .message = &message,
                                 .ce_id = "policy-test"};

    message.kind = (char *)def_kind_name(DEF_PIPELINE);
    message.name = sim->history->pipeline;
    message.yaml = (ProtobufCBinaryData){sim->yaml_len, (uint8_t *)sim->yaml};
    message.sha256 = (ProtobufCBinaryData){SHA256_SIZE, sim->def->sha256};
    message.author = "policy test";
    return decide(sim, &input);
}

/* Takes out what the new definition does not know, and says so. */
static void fit_start(struct sim *sim, Gantry__V1__StartRelease *start)
{
    const struct def_pipeline *pipeline = sim->def->pipeline;
    size_t kept = 0;

    for (size_t i = 0; i < start->n_revisions; i++) {
        if (def_pipeline_source(pipeline, start->revisions[i]->source))
            start->revisions[kept++] = start->revisions[i];
        else
            event_free(start->revisions[i]);
    }
    start->n_revisions = kept;
    kept = 0;
    for (size_t i = 0; i < start->n_variables; i++) {
        bool known = false;

        for (size_t j = 0; j < pipeline->variable_count; j++)
            known = known || str_eq(pipeline->variables[j].key, start->variables[i]->key);
        if (known)
            start->variables[kept++] = start->variables[i];
        else
            event_free(start->variables[i]);
    }
    start->n_variables = kept;
}

/* The release that a command is about, as it is numbered in the new run. False: there is none. */
static bool fit_command(struct sim *sim, Gantry__V1__Command *command)
{
    uint64_t *release = NULL;

    switch ((int)command->what_case) {
    case GANTRY__V1__COMMAND__WHAT_START:
        fit_start(sim, command->start);
        return true;
    case GANTRY__V1__COMMAND__WHAT_STOP:
        release = &command->stop->release;
        break;
    case GANTRY__V1__COMMAND__WHAT_RETRY:
        release = &command->retry->release;
        break;
    case GANTRY__V1__COMMAND__WHAT_ROLLBACK:
        release = &command->rollback->to_release;
        break;
    case GANTRY__V1__COMMAND__WHAT_PROMOTE:
        release = &command->promote->release;
        break;
    case GANTRY__V1__COMMAND__WHAT_OVERRIDE_GATE:
        release = &command->override_gate->release;
        break;
    default: /* of no release */
        return true;
    }
    *release = policy_number(sim->result->new_of, *release);
    return *release != 0;
}

static int give_input(struct sim *sim, const struct policy_input *from)
{
    struct engine_input input = {.kind = ENGINE_RECORD, .topic = from->topic, .ce_id = from->ce_id};
    void *message = event_clone(from->message);
    int rc = 0;

    input.message = message;
    if (from->topic != TOPIC_COMMAND || fit_command(sim, message))
        rc = decide(sim, &input);
    event_free(message);
    return rc;
}

static int give_finished(struct sim *sim, const struct sim_event *event)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    struct engine_input input = {.kind = ENGINE_RECORD, .topic = event->topic, .message = &result};
    char id[ID_SIZE];

    event_id_result(id, event->id, 1, 1);
    input.ce_id = id;
    result.pipeline = sim->history->pipeline;
    result.run_id = (char *)event->id;
    result.attempt = 1;
    result.number = 1;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    result.finished = event->finished;
    return decide(sim, &input);
}

static int give_vote(struct sim *sim, const struct sim_event *event)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Vote cast = *event->vote->vote;
    struct engine_input input = {.kind = ENGINE_RECORD,
                                 .topic = TOPIC_RESULT_APPROVAL,
                                 .message = &result,
                                 .ce_id = event->vote->ce_id};

    cast.approval_id = (char *)event->id;
    if (*event->digest)
        cast.digest = (char *)event->digest;
    result.pipeline = sim->history->pipeline;
    result.number = 1;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_VOTE;
    result.vote = &cast;
    return decide(sim, &input);
}

static int give(struct sim *sim, const struct sim_event *event)
{
    switch (event->kind) {
    case EVENT_DEFINITION:
        return give_definition(sim);
    case EVENT_INPUT:
        return give_input(sim, event->input);
    case EVENT_FINISHED:
        return give_finished(sim, event);
    default:
        return give_vote(sim, event);
    }
}

/* ---- the run ---- */

/* What was under way before the new definition came is answered as it was. */
static void push_open(struct sim *sim)
{
    const struct policy_history *history = sim->history;

    for (size_t i = 0; i < history->runs.count; i++) {
        const struct policy_run *run = history->runs.items[i];
        struct sim_event *event;

        if (run->asked_index >= history->first || !run->finished ||
            run->ended_index < history->first)
            continue;
        event = sim_push(sim, EVENT_FINISHED, run->ended_ms, run->ended_index);
        snprintf(event->id, sizeof event->id, "%s", run->id);
        event->topic = run->topic;
        event->finished = event_clone(run->finished);
    }
    for (size_t i = 0; i < history->approvals.count; i++) {
        const struct policy_approval *approval = history->approvals.items[i];

        for (size_t j = 0; j < approval->count && approval->opened_ms < history->begin_ms; j++) {
            struct sim_event *event;

            if (approval->votes[j].index < history->first)
                continue;
            event = sim_push(sim, EVENT_VOTE, approval->votes[j].time_ms, approval->votes[j].index);
            event->vote = &approval->votes[j];
            snprintf(event->id, sizeof event->id, "%s", approval->id);
        }
    }
}

static void fill(struct sim *sim)
{
    const struct policy_history *history = sim->history;

    for (uint64_t i = 1; i < engine_state_next_release(history->before); i++) {
        sim_set_number(sim->result->then_of, i, i);
        sim_set_number(sim->result->new_of, i, i);
    }
    sim_push(sim, EVENT_DEFINITION, history->begin_ms, history->first);
    for (size_t i = 0; i < history->inputs.count; i++) {
        const struct policy_input *input = history->inputs.items[i];

        sim_push(sim, EVENT_INPUT, input->time_ms, input->index)->input = input;
    }
    push_open(sim);
}

/* The clock settles one thing at a time. An input that came at the very time comes first. */
static int run_clock(struct sim *sim, int64_t until_ms)
{
    struct engine_input input = {.kind = ENGINE_CLOCK, .ce_id = ""};
    int rc = 1;

    while (rc > 0 && engine_state_deadline(sim->state) < until_ms) {
        int64_t due_ms = engine_state_deadline(sim->state);

        sim->now_ms = due_ms > sim->now_ms ? due_ms : sim->now_ms;
        sim->at = NULL;
        rc = decide(sim, &input);
    }
    return rc < 0 ? -1 : 0;
}

static int run(struct sim *sim)
{
    int64_t end_ms = sim->history->end_ms;
    int rc = 0;

    while (rc == 0 && sim->queue.count) {
        struct sim_event *event = sim_pop(sim);

        if (event->time_ms > end_ms) {
            sim_event_free(event);
            break;
        }
        rc = run_clock(sim, event->time_ms);
        if (rc == 0) {
            sim->now_ms = event->time_ms > sim->now_ms ? event->time_ms : sim->now_ms;
            sim->at = event;
            rc = give(sim, event) < 0 ? -1 : 0;
        }
        sim_event_free(event);
    }
    return rc == 0 ? run_clock(sim, end_ms) : rc;
}

int policy_run(struct policy_result *out, const struct policy_history *history, const char *yaml,
               size_t yaml_len, struct definition *const *environments, size_t environment_count,
               struct err *err)
{
    struct sim sim = {.history = history,
                      .result = out,
                      .yaml = yaml,
                      .yaml_len = yaml_len,
                      .environments = environments,
                      .environment_count = environment_count,
                      .guessed = map_new(sim_environment_free),
                      .now_ms = history->begin_ms,
                      .err = err};
    int rc;

    *out = (struct policy_result){.then_of = map_new(NULL), .new_of = map_new(NULL)};
    outcomes_init(&out->would);
    rc = definition_parse(&sim.def, yaml, yaml_len, NULL, err);
    if (rc == 0 && history->before) {
        sim.state = engine_state_clone(history->before);
        fill(&sim);
        rc = run(&sim);
    }
    while (sim.queue.count)
        sim_event_free(sim_pop(&sim));
    free(sim.queue.items);
    engine_state_free(sim.state);
    definition_free(sim.def);
    map_free(sim.guessed);
    return rc;
}

void policy_result_release(struct policy_result *result)
{
    outcomes_release(&result->would);
    map_free(result->then_of);
    map_free(result->new_of);
    strv_release(&result->assumed);
}
