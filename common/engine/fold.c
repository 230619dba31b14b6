/* Decision -> state. */
#include "engine/fold.h"

#include <string.h>

int fold_change(struct engine_state *state, const Gantry__V1__Change *change, int64_t now_ms,
                struct err *err)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN:
        return fold_definition_taken(state, change->definition_taken, now_ms, err);
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_DELETED:
        return fold_definition_deleted(state, err);
    case GANTRY__V1__CHANGE__WHAT_REVISION_SEEN:
        return fold_revision_seen(state, change->revision_seen, err);
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        return fold_release_started(state, change->release_started, now_ms, err);
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STOPPING:
        return fold_release_stopping(state, change->release_stopping, err);
    case GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED:
        return fold_release_ended(state, change->release_ended, err);
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING:
        return fold_stage_waiting(state, change->stage_waiting, err);
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED:
        return fold_stage_entered(state, change->stage_entered, err);
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENDED:
        return fold_stage_ended(state, change->stage_ended, now_ms, err);
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
        return fold_action_requested(state, change->action_requested, err);
    case GANTRY__V1__CHANGE__WHAT_ACTION_STARTED:
        return fold_action_started(state, change->action_started, err);
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED:
        return fold_action_ended(state, change->action_ended, err);
    case GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED:
        return fold_batch_planned(state, change->batch_planned, err);
    case GANTRY__V1__CHANGE__WHAT_ARTIFACT_SET:
        return fold_artifact_set(state, change->artifact_set, err);
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
        return fold_approval_opened(state, change->approval_opened->approval, err);
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        return fold_vote_counted(state, change->vote_counted, err);
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED:
        return fold_approval_closed(state, change->approval_closed->approval, err);
    case GANTRY__V1__CHANGE__WHAT_TRANSITION_SET:
        return fold_transition_set(state, change->transition_set, err);
    case GANTRY__V1__CHANGE__WHAT_RELEASE_PROMOTED:
        return fold_release_promoted(state, change->release_promoted, err);
    case GANTRY__V1__CHANGE__WHAT_GATE_OVERRIDDEN:
        return fold_gate_overridden(state, change->gate_overridden, err);
    case GANTRY__V1__CHANGE__WHAT_CHECK_ASKED:
        return fold_check_asked(state, change->check_asked, err);
    case GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED:
        return fold_check_answered(state, change->check_answered, now_ms, err);
    case GANTRY__V1__CHANGE__WHAT_ENVIRONMENT_PINNED:
        return fold_environment_pinned(state, change->environment_pinned, err);
    case GANTRY__V1__CHANGE__WHAT_ACTION_SILENT: /* for people: it goes on */
    case GANTRY__V1__CHANGE__WHAT_COMMAND_TAKEN:
    case GANTRY__V1__CHANGE__WHAT_COMMAND_REFUSED:
    case GANTRY__V1__CHANGE__WHAT_VOTE_REFUSED:
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_REFUSED:
        return 0; /* what they leave behind is the input's id */
    case GANTRY__V1__CHANGE__WHAT_GENESIS:
        return err_set(err, ERR_INVALID, "a genesis cannot be of a pipeline");
    default:
        return err_set(
            err, ERR_FATAL,
            "change %d is of a kind that this version does not know; install a newer one",
            (int)change->what_case);
    }
}

static int check_place(const struct engine_state *state, const Gantry__V1__Decision *decision,
                       struct err *err)
{
    const char *pipeline = state->pipeline->text;
    if (strcmp(decision->pipeline, pipeline) != 0)
        return err_set(err, ERR_INTERNAL, "a Decision of pipeline '%.64s' was given to '%s'",
                       decision->pipeline, pipeline);
    if (decision->sequence != state->sequence + 1)
        return err_set(
            err, ERR_INVALID, "pipeline '%s' is at sequence %llu, and its next Decision has %llu",
            pipeline, (unsigned long long)state->sequence, (unsigned long long)decision->sequence);
    size_t want = state->hashed ? SHA256_SIZE : 0;
    if (decision->pipeline_previous.len != want ||
        (want && memcmp(decision->pipeline_previous.data, state->hash, want) != 0))
        return err_set(err, ERR_INVALID,
                       "pipeline '%s': Decision %llu does not name the hash of the one before",
                       pipeline, (unsigned long long)decision->sequence);
    if (decision->time_ms < state->time_ms)
        return err_set(err, ERR_INVALID, "pipeline '%s': Decision %llu goes back in time", pipeline,
                       (unsigned long long)decision->sequence);
    return 0;
}

/* Copies of results of runs need no id: a run ends once, and is forgotten with its release. */
static bool keeps_id(const char *topic)
{
    return strcmp(topic, topic_info(TOPIC_SOURCE)->name) == 0 ||
           strcmp(topic, topic_info(TOPIC_COMMAND)->name) == 0 ||
           strcmp(topic, topic_info(TOPIC_DEFINITION)->name) == 0 ||
           strcmp(topic, topic_info(TOPIC_RESULT_APPROVAL)->name) == 0;
}

/* What is left once the changes are folded. */
static void settle(struct engine_state *state, const Gantry__V1__Decision *decision,
                   const uint8_t hash[SHA256_SIZE])
{
    const Gantry__V1__Cause *cause = decision->cause;
    if (cause && cause->kind == GANTRY__V1__CAUSE_KIND__CAUSE_KIND_INPUT && keeps_id(cause->topic))
        ids_add(&state->ids, ids_hash(cause->topic, cause->ce_id), decision->time_ms / 1000);
    fold_tidy(state);
    state->sequence = decision->sequence;
    state->time_ms = decision->time_ms;
    memcpy(state->hash, hash, SHA256_SIZE);
    state->hashed = true;
    state_set_deadline(state);
}

int engine_fold(struct engine_state *state, const Gantry__V1__Decision *decision,
                const uint8_t hash[SHA256_SIZE], struct err *err)
{
    if (check_place(state, decision, err) != 0)
        return -1;
    for (size_t i = 0; i < decision->n_changes; i++) {
        if (fold_change(state, decision->changes[i], decision->time_ms, err) != 0)
            return err_wrap(err, "pipeline '%s', Decision %llu, change %zu", state->pipeline->text,
                            (unsigned long long)decision->sequence, i);
    }
    settle(state, decision, hash);
    return 0;
}

int engine_settle(struct engine_state *after, const Gantry__V1__Decision *decision,
                  const uint8_t hash[SHA256_SIZE], struct err *err)
{
    if (check_place(after, decision, err) != 0)
        return -1;
    settle(after, decision, hash);
    return 0;
}
