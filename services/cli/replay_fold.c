/* Which records count is the chain's to say, what a pipeline's state is the engine's. What
 * environments run is not in that state (it is what executors did): it is followed beside, by the
 * facts that every reader of events sees. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "events/event.h"
#include "services/cli/replay.h"

/* ---- memory ---- */

static void running_free(void *value)
{
    struct replay_running *running = value;

    if (!running)
        return;
    free(running->environment);
    free(running->action);
    free(running->stage);
    free(running->digest);
    free(running->commit);
    free(running);
}

static void release_free(void *value)
{
    struct replay_release *release = value;

    if (!release)
        return;
    free(release->stage);
    free(release->commit);
    strv_release(&release->held_by);
    free(release);
}

static void approval_free(void *value)
{
    struct replay_approval *approval = value;

    if (!approval)
        return;
    free(approval->id);
    free(approval->stage);
    free(approval->gate);
    free(approval->digest);
    free(approval);
}

struct replay_pipeline *replay_pipeline_new(const char *name)
{
    struct replay_pipeline *pipeline = mem_alloc(sizeof *pipeline);

    pipeline->name = mem_strdup(name);
    pipeline->first_offset = -1;
    pipeline->state = engine_state_new(name);
    pipeline->running = map_new(running_free);
    pipeline->deploys = map_new(running_free);
    pipeline->releases = map_new(release_free);
    pipeline->approvals = map_new(approval_free);
    return pipeline;
}

void replay_pipeline_free(void *value)
{
    struct replay_pipeline *pipeline = value;

    if (!pipeline)
        return;
    free(pipeline->name);
    engine_state_free(pipeline->state);
    map_free(pipeline->running);
    map_free(pipeline->deploys);
    map_free(pipeline->releases);
    map_free(pipeline->approvals);
    free(pipeline);
}

void replay_init(struct replay *replay)
{
    *replay = (struct replay){
        .pipelines = map_new(replay_pipeline_free), .until_ms = INT64_MAX, .at = -1};
    chain_init(&replay->chain);
}

void replay_release(struct replay *replay)
{
    map_free(replay->pipelines);
    replay->pipelines = NULL;
}

/* ---- what people see ---- */

static void set(char **at, const char *value)
{
    free(*at);
    *at = mem_strdup(value);
}

static void on_requested(struct replay_pipeline *pipeline, const Gantry__V1__ActionRequest *request)
{
    const Gantry__V1__DeploySpec *deploy;
    struct replay_running *asked;

    if (request->spec_case != GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY)
        return;
    deploy = request->deploy;
    asked = mem_alloc(sizeof *asked);
    asked->environment = mem_strdup(deploy->environment);
    asked->action = mem_strdup(request->action);
    asked->stage = mem_strdup(request->stage);
    asked->digest = mem_strdup(deploy->artifact ? deploy->artifact->digest : "");
    asked->commit = mem_strdup(request->n_revisions ? request->revisions[0]->commit : "");
    asked->release = request->release;
    map_set(pipeline->deploys, request->run_id, asked);
}

static void on_action_ended(struct replay_pipeline *pipeline, const Gantry__V1__ActionEnded *ended,
                            int64_t time_ms)
{
    struct replay_running *asked = map_take(pipeline->deploys, ended->run_id);
    char *key;

    if (!asked || ended->status != GANTRY__V1__STATUS__STATUS_SUCCEEDED) {
        running_free(asked);
        return;
    }
    asked->since_ms = time_ms;
    key = mem_printf("%s/%s", asked->environment, asked->action);
    map_set(pipeline->running, key, asked);
    free(key);
}

static struct replay_release *release_of(struct replay_pipeline *pipeline, uint64_t number)
{
    char key[21];

    return map_get(pipeline->releases, id_num(key, number));
}

static void on_release_started(struct replay_pipeline *pipeline,
                               const Gantry__V1__ReleaseStarted *started, int64_t time_ms)
{
    struct replay_release *release = mem_alloc(sizeof *release);
    char key[21];

    release->number = started->release;
    release->rollback = started->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;
    release->started_ms = release->since_ms = time_ms;
    release->commit = mem_strdup(started->n_revisions ? started->revisions[0]->commit : "");
    map_set(pipeline->releases, id_num(key, started->release), release);
}

/* On the transition into the stage, or in it. A retry brings back one that had failed. */
static void place(struct replay_pipeline *pipeline, uint64_t number, const char *stage, bool inside,
                  int64_t time_ms)
{
    struct replay_release *release = release_of(pipeline, number);

    if (!release)
        return;
    if (release->ended || release->inside != inside || !str_eq(release->stage, stage))
        release->since_ms = time_ms;
    release->ended = false;
    release->inside = inside;
    set(&release->stage, stage);
    strv_release(&release->held_by);
}

static void on_waiting(struct replay_pipeline *pipeline, const Gantry__V1__StageWaiting *waiting,
                       int64_t time_ms)
{
    struct replay_release *release = release_of(pipeline, waiting->release);

    place(pipeline, waiting->release, waiting->stage, false, time_ms);
    for (size_t i = 0; release && i < waiting->n_held_by; i++)
        strv_add(&release->held_by, waiting->held_by[i]);
}

static void on_release_ended(struct replay_pipeline *pipeline,
                             const Gantry__V1__ReleaseEnded *ended)
{
    struct replay_release *release = release_of(pipeline, ended->release);
    char key[21];

    if (release && ended->status == GANTRY__V1__STATUS__STATUS_FAILED) {
        release->ended = true;
        release->stopping = false;
    } else {
        map_del(pipeline->releases, id_num(key, ended->release));
    }
}

static void on_approval_opened(struct replay_pipeline *pipeline,
                               const Gantry__V1__ApprovalRequest *request)
{
    struct replay_approval *approval = mem_alloc(sizeof *approval);

    approval->id = mem_strdup(request->approval_id);
    approval->stage = mem_strdup(request->stage);
    approval->gate = mem_strdup(request->gate);
    approval->digest = mem_strdup(request->digest);
    approval->release = request->release;
    approval->count = request->count;
    approval->opened_ms = request->opened_ms;
    approval->expires_ms = request->expires_ms;
    map_set(pipeline->approvals, approval->id, approval);
}

static void on_change(struct replay_pipeline *pipeline, const Gantry__V1__Change *change,
                      int64_t time_ms)
{
    struct replay_approval *approval;
    struct replay_release *release;

    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        on_release_started(pipeline, change->release_started, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED:
        on_release_ended(pipeline, change->release_ended);
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STOPPING:
        release = release_of(pipeline, change->release_stopping->release);
        if (release)
            release->stopping = true;
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING:
        on_waiting(pipeline, change->stage_waiting, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED:
        place(pipeline, change->stage_entered->release, change->stage_entered->stage, true,
              time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
        on_requested(pipeline, change->action_requested->request);
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED:
        on_action_ended(pipeline, change->action_ended, time_ms);
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
        on_approval_opened(pipeline, change->approval_opened->approval);
        break;
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        approval = map_get(pipeline->approvals, change->vote_counted->approval->approval_id);
        if (approval)
            approval->votes = (uint32_t)change->vote_counted->approval->n_votes;
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED:
        map_del(pipeline->approvals, change->approval_closed->approval->approval_id);
        break;
    default: /* places nothing anywhere */
        break;
    }
}

void replay_follow(struct replay_pipeline *pipeline, const Gantry__V1__Decision *decision)
{
    for (size_t i = 0; i < decision->n_changes; i++)
        on_change(pipeline, decision->changes[i], decision->time_ms);
}

/* ---- folding ---- */

static struct replay_pipeline *pipeline_of(struct replay *replay, const char *name)
{
    struct replay_pipeline *pipeline = map_get(replay->pipelines, name);

    if (!pipeline) {
        pipeline = replay_pipeline_new(name);
        map_set(replay->pipelines, name, pipeline);
    }
    return pipeline;
}

static bool wanted(const struct replay *replay, const char *name)
{
    return !str_empty(name) && (!replay->only || strcmp(replay->only, name) == 0);
}

static int take_genesis(struct replay *replay, const Gantry__V1__Genesis *genesis)
{
    for (size_t i = 0; i < genesis->n_numbers; i++) {
        const Gantry__V1__PipelineNumbers *numbers = genesis->numbers[i];

        if (!wanted(replay, numbers->pipeline))
            continue;
        engine_state_set_numbers(pipeline_of(replay, numbers->pipeline)->state,
                                 numbers->next_release, numbers->next_sequence);
    }
    return 0;
}

static int take_decision(struct replay *replay, const Gantry__V1__Decision *decision)
{
    struct replay_pipeline *pipeline = pipeline_of(replay, decision->pipeline);

    if (pipeline->first_offset < 0)
        pipeline->first_offset = replay->at;
    if (replay->before)
        replay->before(replay, pipeline, decision, replay->arg);
    /* The chain's head is the hash of the record that it took last. */
    if (engine_fold(pipeline->state, decision, replay->chain.head, &replay->err) < 0)
        return -1;
    replay_follow(pipeline, decision);
    replay->reached = replay->until_sequence && decision->sequence >= replay->until_sequence;
    return replay->reached;
}

static int fold_decision(struct replay *replay, const Gantry__V1__Decision *decision,
                         const void *value, size_t len)
{
    struct chain before = replay->chain;
    enum chain_verdict verdict;

    if (chain_fold(&replay->chain, value, len, decision, replay->at, &verdict, &replay->err) < 0)
        return -1;
    if (verdict == CHAIN_VOID)
        return 0;
    if (decision->time_ms > replay->until_ms) {
        replay->chain = before;
        replay->reached = true;
        return 1;
    }
    if (event_check(TOPIC_LEDGER, decision, &replay->err) < 0)
        return err_wrap(&replay->err, "ledger offset %lld", (long long)replay->at);
    if (chain_genesis_of(decision))
        return take_genesis(replay, chain_genesis_of(decision));
    return wanted(replay, decision->pipeline) ? take_decision(replay, decision) : 0;
}

int replay_fold(int64_t offset, const void *value, size_t len, void *arg)
{
    struct replay *replay = arg;
    void *decision;
    int rc;

    if (replay->reached)
        return 1;
    replay->at = offset;
    if (!value || event_parse(&decision, TOPIC_LEDGER, value, len, NULL) < 0) {
        replay->chain.voided++; /* what is no Decision at all extends nothing */
        return 0;
    }
    rc = fold_decision(replay, decision, value, len);
    event_free(decision);
    return rc;
}
