#include "tests/component/console/story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "gantry/v1/access.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/log.pb-c.h"

#define TIMEOUT_MS 30000

static void must(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "story: %s\n", err->msg);
    abort();
}

void story_begin(struct story *story, struct loop *loop, struct bus_producer *producer)
{
    memset(story, 0, sizeof(*story));
    story->loop = loop;
    story->producer = producer;
    story->sequences = map_new(free);
    story->now_ms = clock_now_ms();
}

static void on_flushed(bool all, void *arg)
{
    bool *done = arg;

    if (!all)
        abort();
    *done = true;
}

void story_flush(struct story *story)
{
    bool done = false;

    bus_producer_flush(story->producer, TIMEOUT_MS, on_flushed, &done);
    loop_run_for(story->loop, TIMEOUT_MS, &done);
    if (!done)
        abort();
}

void story_end(struct story *story)
{
    map_free(story->sequences);
}

static void on_ack(const struct bus_ack *ack, void *arg)
{
    (void)arg;
    must(ack->ok ? 0 : -1, &ack->err);
}

static void produce(struct story *story, enum topic topic, const char *id, const void *message)
{
    struct event_meta meta = {0};
    struct err err = {.code = ERR_NONE};
    int rc;

    snprintf(meta.id, sizeof(meta.id), "%s", id);
    while ((rc = bus_produce(story->producer, topic, &meta, message, on_ack, NULL, &err)) != 0 &&
           err.code == ERR_LIMIT)
        story_flush(story);
    must(rc, &err);
}

/* ---- events ---- */

void story_event_at(struct story *story, const char *pipeline, uint64_t sequence,
                    Gantry__V1__ReleaseEvent *event)
{
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;

    order.epoch = STORY_EPOCH;
    order.sequence = sequence;
    event->order = &order;
    event->pipeline = (char *)pipeline;
    event->time_ms = story->now_ms;
    if (story->cause)
        event->cause_id = (char *)story->cause;
    event_id_pub(story->last_id, STORY_EPOCH, pipeline, sequence, 0);
    produce(story, TOPIC_EVENT, story->last_id, event);
}

void story_event(struct story *story, const char *pipeline, Gantry__V1__ReleaseEvent *event)
{
    uint64_t *sequence = map_get(story->sequences, pipeline);

    if (!sequence) {
        sequence = mem_alloc(sizeof(*sequence));
        map_set(story->sequences, pipeline, sequence);
    }
    story_event_at(story, pipeline, ++*sequence, event);
}

#define EVENT(fact, member, value)                                                                 \
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;                              \
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_##fact;                                      \
    event.member = (value)

/* ---- definitions and tokens ---- */

void story_definition(struct story *story, const char *kind, const char *name, const char *yaml,
                      bool taken)
{
    Gantry__V1__Definition definition = GANTRY__V1__DEFINITION__INIT;
    Gantry__V1__DefinitionTaken fact = GANTRY__V1__DEFINITION_TAKEN__INIT;
    uint8_t hash[SHA256_SIZE];
    char id[ID_SIZE];

    id_random(id);
    sha256(yaml, strlen(yaml), hash);
    definition.kind = (char *)kind;
    definition.name = (char *)name;
    definition.yaml = (ProtobufCBinaryData){strlen(yaml), (uint8_t *)yaml};
    definition.sha256 = (ProtobufCBinaryData){SHA256_SIZE, hash};
    definition.author = "token:ada";
    produce(story, TOPIC_DEFINITION, id, &definition);
    if (!taken)
        return;
    EVENT(DEFINITION_TAKEN, definition_taken, &fact);
    fact.number = 1;
    fact.sha256 = definition.sha256;
    fact.author = definition.author;
    story_event(story, name, &event);
}

void story_token(struct story *story, const char *name, const char *token, const char *role)
{
    Gantry__V1__Access access = GANTRY__V1__ACCESS__INIT;
    Gantry__V1__LocalToken local = GANTRY__V1__LOCAL_TOKEN__INIT;
    char *roles[] = {(char *)role}, *groups[] = {"qa"}, email[96];
    uint8_t hash[SHA256_SIZE];
    char id[ID_SIZE];

    id_random(id);
    sha256(token, strlen(token), hash);
    snprintf(email, sizeof(email), "%s@example.test", name);
    access.kind = "Token";
    access.name = (char *)name;
    access.author = "token:bootstrap";
    access.local_case = GANTRY__V1__ACCESS__LOCAL_TOKEN;
    access.token = &local;
    local.sha256 = (ProtobufCBinaryData){SHA256_SIZE, hash};
    local.person = (char *)name;
    local.email = email;
    local.groups = groups;
    local.n_groups = 1;
    local.roles = roles;
    local.n_roles = 1;
    local.created_ms = story->now_ms;
    produce(story, TOPIC_ACCESS, id, &access);
}

/* ---- releases ---- */

static void fill(struct story_release *release, char commit[41])
{
    char key[128], hex[SHA256_HEX_SIZE];

    snprintf(key, sizeof(key), "%s %llu", release->pipeline, (unsigned long long)release->number);
    sha256_hex(key, strlen(key), hex);
    if (!*release->digest)
        snprintf(release->digest, sizeof(release->digest), "sha256:%s", hex);
    snprintf(key, sizeof(key), "%s commit", hex);
    sha256_hex(key, strlen(key), hex);
    snprintf(commit, 41, "%.40s", release->commit ? release->commit : hex);
}

static void email_of(const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s@example.test", name);
    for (char *c = out; *c; c++)
        *c = *c == ' ' ? '.' : *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
}

static void tell_start(struct story *story, struct story_release *release,
                       Gantry__V1__ReleaseStarted *fact)
{
    Gantry__V1__Revision revision = GANTRY__V1__REVISION__INIT, *revisions[] = {&revision};
    Gantry__V1__Actor starter = GANTRY__V1__ACTOR__INIT;
    char commit[41], email[96], *people[] = {email};
    EVENT(RELEASE_STARTED, release_started, fact);

    fill(release, commit);
    email_of(release->author, email, sizeof(email));
    revision.source = "app";
    revision.git = "https://git.example/acme/app.git";
    revision.ref = "refs/heads/main";
    revision.commit = commit;
    revision.message = (char *)release->message;
    starter.subject = "";
    starter.name = (char *)release->author;
    fact->release = release->number;
    if (!fact->type)
        fact->type = GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_NORMAL;
    fact->definition_number = 1;
    fact->revisions = revisions;
    fact->n_revisions = 1;
    fact->starter = &starter;
    fact->people = people;
    fact->n_people = 1;
    fact->people_complete = true;
    story_event(story, release->pipeline, &event);
}

static void tell_revision(struct story *story, struct story_release *release)
{
    Gantry__V1__RevisionSeen seen = GANTRY__V1__REVISION_SEEN__INIT;
    Gantry__V1__SourceChanged change = GANTRY__V1__SOURCE_CHANGED__INIT;
    char commit[41], id[ID_SIZE];
    EVENT(REVISION_SEEN, revision_seen, &seen);

    id_random(id);
    fill(release, commit);
    change.pipeline = (char *)release->pipeline;
    change.source = "app";
    change.ref = "refs/heads/main";
    change.after = commit;
    change.message = (char *)release->message;
    change.pusher = (char *)release->author;
    change.people_complete = true;
    seen.change = &change;
    seen.ce_id = id;
    seen.starts_release = true;
    story_event(story, release->pipeline, &event);
}

void story_release_started(struct story *story, struct story_release *release)
{
    Gantry__V1__ReleaseStarted fact = GANTRY__V1__RELEASE_STARTED__INIT;

    tell_revision(story, release);
    tell_start(story, release, &fact);
}

static void fill_artifact(Gantry__V1__Artifact *artifact, const char *digest)
{
    gantry__v1__artifact__init(artifact);
    artifact->name = "image";
    artifact->repository = "registry.example/acme/app";
    artifact->digest = (char *)digest;
    artifact->media_type = "application/vnd.oci.image.manifest.v1+json";
    artifact->size_bytes = 18 * 1024 * 1024;
}

void story_rollback_started(struct story *story, struct story_release *release, uint64_t to,
                            const char *stage, const char *reason, uint64_t failed)
{
    Gantry__V1__ReleaseStarted fact = GANTRY__V1__RELEASE_STARTED__INIT;
    struct story_release target = {.pipeline = release->pipeline, .number = to};
    Gantry__V1__Artifact artifact, *artifacts[] = {&artifact};
    char commit[41];

    fill(&target, commit);
    snprintf(release->digest, sizeof(release->digest), "%s", target.digest);
    release->commit = commit;
    fill_artifact(&artifact, release->digest);
    fact.type = GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;
    fact.rollback_to = to;
    fact.rollback_stage = (char *)stage;
    fact.reason = (char *)reason;
    fact.failed_release = failed;
    fact.artifacts = artifacts;
    fact.n_artifacts = 1;
    tell_start(story, release, &fact);
    release->commit = NULL;
}

void story_release_ended(struct story *story, const struct story_release *release,
                         Gantry__V1__Status status, const char *reason, uint64_t superseded_by)
{
    Gantry__V1__ReleaseEnded fact = GANTRY__V1__RELEASE_ENDED__INIT;
    EVENT(RELEASE_ENDED, release_ended, &fact);

    fact.release = release->number;
    fact.status = status;
    fact.reason = (char *)(reason ? reason : "");
    fact.superseded_by = superseded_by;
    story_event(story, release->pipeline, &event);
}

void story_stage_waiting(struct story *story, const struct story_release *release,
                         const char *stage, const char *held_by)
{
    Gantry__V1__StageWaiting fact = GANTRY__V1__STAGE_WAITING__INIT;
    char *held[] = {(char *)held_by};
    EVENT(STAGE_WAITING, stage_waiting, &fact);

    fact.release = release->number;
    fact.stage = (char *)stage;
    fact.held_by = held;
    fact.n_held_by = 1;
    story_event(story, release->pipeline, &event);
}

void story_stage_entered(struct story *story, const struct story_release *release,
                         const char *stage, uint32_t number)
{
    Gantry__V1__StageEntered fact = GANTRY__V1__STAGE_ENTERED__INIT;
    EVENT(STAGE_ENTERED, stage_entered, &fact);

    fact.release = release->number;
    fact.stage = (char *)stage;
    fact.number = number;
    story_event(story, release->pipeline, &event);
}

void story_stage_ended(struct story *story, const struct story_release *release, const char *stage,
                       Gantry__V1__Status status, const char *reason)
{
    Gantry__V1__StageEnded fact = GANTRY__V1__STAGE_ENDED__INIT;
    EVENT(STAGE_ENDED, stage_ended, &fact);

    fact.release = release->number;
    fact.stage = (char *)stage;
    fact.status = status;
    fact.reason = (char *)(reason ? reason : "");
    fact.skipped = &story->skipped;
    fact.n_skipped = story->skipped != NULL;
    story_event(story, release->pipeline, &event);
}

void story_artifact(struct story *story, const struct story_release *release)
{
    Gantry__V1__ArtifactSet fact = GANTRY__V1__ARTIFACT_SET__INIT;
    Gantry__V1__Artifact artifact;
    EVENT(ARTIFACT_SET, artifact_set, &fact);

    fill_artifact(&artifact, release->digest);
    fact.release = release->number;
    fact.artifact = &artifact;
    story_event(story, release->pipeline, &event);
}

/* ---- action runs ---- */

void story_requested(struct story *story, struct story_run *run)
{
    Gantry__V1__ActionRequested fact = GANTRY__V1__ACTION_REQUESTED__INIT;
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    Gantry__V1__BuildSpec build = GANTRY__V1__BUILD_SPEC__INIT;
    Gantry__V1__DeploySpec deploy = GANTRY__V1__DEPLOY_SPEC__INIT;
    Gantry__V1__Artifact artifact;
    EVENT(ACTION_REQUESTED, action_requested, &fact);

    if (run->number == 0)
        run->number = 1;
    event_id_run(run->id, STORY_EPOCH, run->release->pipeline, run->release->number, run->stage,
                 run->action, run->number);
    request.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    request.run_id = run->id;
    request.pipeline = (char *)run->release->pipeline;
    request.release = run->release->number;
    request.stage = (char *)run->stage;
    request.action = (char *)run->action;
    request.number = run->number;
    request.timeout_ms = 900000;
    request.deadline_ms = story->now_ms + request.timeout_ms;
    if (run->environment) {
        request.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY;
        request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY;
        request.deploy = &deploy;
        fill_artifact(&artifact, run->release->digest);
        deploy.environment = (char *)run->environment;
        deploy.deployer = "default";
        deploy.driver = "command";
        deploy.artifact = &artifact;
    } else {
        request.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
        request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
        request.build = &build;
        build.source = "app";
        build.buildspec = "buildspec.yml";
        build.image = "registry.example/acme/app";
    }
    fact.request = &request;
    fact.step = run->step;
    story_event(story, run->release->pipeline, &event);
}

void story_started(struct story *story, const struct story_run *run)
{
    Gantry__V1__ActionStarted fact = GANTRY__V1__ACTION_STARTED__INIT;
    EVENT(ACTION_STARTED, action_started, &fact);

    fact.release = run->release->number;
    fact.stage = (char *)run->stage;
    fact.action = (char *)run->action;
    fact.run_id = (char *)run->id;
    fact.attempt = 1;
    fact.executor = run->environment ? "deployer-1" : "builder-2";
    story_event(story, run->release->pipeline, &event);
}

void story_finished(struct story *story, const struct story_run *run, const char *reason)
{
    Gantry__V1__ActionEnded fact = GANTRY__V1__ACTION_ENDED__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    char *tail[] = {"test_cart.c:88: assertion failed: total == 4200", "1 of 212 tests failed"};
    Gantry__V1__StoredFile kept[2] = {GANTRY__V1__STORED_FILE__INIT, GANTRY__V1__STORED_FILE__INIT},
                           *files[2] = {&kept[0], &kept[1]};
    uint8_t hash[SHA256_SIZE];
    EVENT(ACTION_ENDED, action_ended, &fact);

    if (run->files) {
        sha256(STORY_BYTES, strlen(STORY_BYTES), hash);
        for (size_t i = 0; i < 2; i++) {
            kept[i].name = i ? "log" : STORY_FILE;
            kept[i].key = i ? "logs/none" : STORY_KEY;
            kept[i].kind = i ? GANTRY__V1__STORED_FILE_KIND__STORED_FILE_KIND_LOG
                             : GANTRY__V1__STORED_FILE_KIND__STORED_FILE_KIND_ARTIFACT;
            kept[i].size_bytes = strlen(STORY_BYTES);
            kept[i].sha256 = (ProtobufCBinaryData){.data = hash, .len = sizeof(hash)};
        }
        kept[0].entries = 12;
        finished.files = files;
        finished.n_files = 2;
    }
    fact.release = run->release->number;
    fact.stage = (char *)run->stage;
    fact.action = (char *)run->action;
    fact.run_id = (char *)run->id;
    fact.kind = run->environment ? GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY
                                 : GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
    fact.status = reason ? GANTRY__V1__STATUS__STATUS_FAILED : GANTRY__V1__STATUS__STATUS_SUCCEEDED;
    fact.reason = (char *)(reason ? reason : "");
    fact.finished = &finished;
    finished.outcome =
        reason ? GANTRY__V1__OUTCOME__OUTCOME_FAILED : GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    finished.reason = fact.reason;
    finished.ended_ms = story->now_ms;
    if (reason) {
        finished.phase = run->environment ? "" : "BUILD";
        finished.command = run->environment ? "deploy-edge" : "make check";
        finished.exit_code = 2;
        finished.log_tail = tail;
        finished.n_log_tail = run->environment ? 0 : 2;
    }
    if (run->reports)
        story_reports_put(&finished, run->release->number, reason != NULL);
    story_event(story, run->release->pipeline, &event);
    story_reports_drop(&finished);
}

void story_log(struct story *story, const struct story_run *run, uint64_t offset, const char *text,
               bool last)
{
    Gantry__V1__LogChunk chunk = GANTRY__V1__LOG_CHUNK__INIT;
    char id[ID_SIZE];

    id_random(id);
    chunk.run_id = (char *)run->id;
    chunk.pipeline = (char *)run->release->pipeline;
    chunk.release = run->release->number;
    chunk.stage = (char *)run->stage;
    chunk.action = (char *)run->action;
    chunk.attempt = 1;
    chunk.offset_bytes = offset;
    chunk.time_ms = story->now_ms;
    chunk.stream = str_starts(text, "== ") ? GANTRY__V1__LOG_STREAM__LOG_STREAM_MARK
                                           : GANTRY__V1__LOG_STREAM__LOG_STREAM_OUTPUT;
    chunk.data = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    chunk.last = last;
    produce(story, TOPIC_LOG, id, &chunk);
}

/* ---- approvals ---- */

static void fill_vote(const struct story_approval *approval, size_t i, Gantry__V1__Vote *vote,
                      Gantry__V1__Actor *voter, char email[96])
{
    gantry__v1__vote__init(vote);
    gantry__v1__actor__init(voter);
    email_of(approval->voters[i], email, 96);
    voter->subject = email;
    voter->name = (char *)approval->voters[i];
    voter->email = email;
    vote->approval_id = (char *)approval->id;
    vote->verdict = GANTRY__V1__VERDICT__VERDICT_APPROVE;
    vote->digest = (char *)approval->release->digest;
    vote->comment = (char *)approval->comments[i];
    vote->voter = voter;
    vote->cast_ms = approval->opened_ms + 60000;
}

/* Fills the message and tells it through `tell`. */
static void with_approval(struct story *story, const struct story_approval *approval,
                          Gantry__V1__ApprovalVerb verb, Gantry__V1__ApprovalOutcome outcome,
                          const char *reason,
                          void (*tell)(struct story *story, Gantry__V1__ApprovalRequest *request))
{
    Gantry__V1__ApprovalRequest request = GANTRY__V1__APPROVAL_REQUEST__INIT;
    Gantry__V1__Revision revision = GANTRY__V1__REVISION__INIT, *revisions[] = {&revision};
    Gantry__V1__Vote votes[4], *pointers[4];
    Gantry__V1__Actor voters[4];
    char emails[4][96], author[96], commit[41],
        *authors[] = {author}, *by[] = {(char *)approval->by}, *not_[] = {"author"};
    struct story_release release = *approval->release;

    fill(&release, commit);
    email_of(release.author, author, sizeof(author));
    for (size_t i = 0; i < approval->votes; i++) {
        fill_vote(approval, i, &votes[i], &voters[i], emails[i]);
        pointers[i] = &votes[i];
    }
    revision.source = "app";
    revision.git = "https://git.example/acme/app.git";
    revision.commit = commit;
    revision.message = (char *)release.message;
    request.verb = verb;
    request.approval_id = (char *)approval->id;
    request.pipeline = (char *)release.pipeline;
    request.release = release.number;
    request.stage = (char *)approval->stage;
    request.gate = (char *)approval->gate;
    request.number = 1;
    request.digest = release.digest;
    request.by = by;
    request.n_by = approval->by ? 1 : 0;
    request.count = approval->count;
    request.not_ = not_;
    request.n_not_ = 1;
    request.message = (char *)(approval->message ? approval->message : "");
    request.opened_ms = approval->opened_ms;
    request.expires_ms = approval->expires_ms;
    request.votes = pointers;
    request.n_votes = approval->votes;
    request.outcome = outcome;
    request.reason = (char *)(reason ? reason : "");
    request.authors = authors;
    request.n_authors = 1;
    request.authors_complete = true;
    request.revisions = revisions;
    request.n_revisions = 1;
    request.previous_digest = (char *)(approval->previous_digest ? approval->previous_digest : "");
    tell(story, &request);
}

static void tell_opened(struct story *story, Gantry__V1__ApprovalRequest *request)
{
    Gantry__V1__ApprovalOpened fact = GANTRY__V1__APPROVAL_OPENED__INIT;
    EVENT(APPROVAL_OPENED, approval_opened, &fact);

    fact.approval = request;
    story_event(story, request->pipeline, &event);
}

static void tell_vote(struct story *story, Gantry__V1__ApprovalRequest *request)
{
    Gantry__V1__VoteCounted fact = GANTRY__V1__VOTE_COUNTED__INIT;
    EVENT(VOTE_COUNTED, vote_counted, &fact);

    fact.vote = request->votes[request->n_votes - 1];
    fact.ce_id = "vote";
    fact.approval = request;
    story_event(story, request->pipeline, &event);
}

static void tell_closed(struct story *story, Gantry__V1__ApprovalRequest *request)
{
    Gantry__V1__ApprovalClosed fact = GANTRY__V1__APPROVAL_CLOSED__INIT;
    EVENT(APPROVAL_CLOSED, approval_closed, &fact);

    fact.approval = request;
    story_event(story, request->pipeline, &event);
}

void story_approval_opened(struct story *story, struct story_approval *approval)
{
    approval->opened_ms = story->now_ms;
    if (approval->expires_ms == 0)
        approval->expires_ms = story->now_ms + INT64_C(3) * 24 * 3600 * 1000;
    event_id_approval(approval->id, STORY_EPOCH, approval->release->pipeline,
                      approval->release->number, approval->stage, approval->gate, 1);
    with_approval(story, approval, GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN, 0, NULL,
                  tell_opened);
}

void story_vote(struct story *story, struct story_approval *approval, const char *voter,
                const char *comment)
{
    approval->voters[approval->votes] = voter;
    approval->comments[approval->votes++] = comment;
    with_approval(story, approval, GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CHANGED, 0, NULL,
                  tell_vote);
}

void story_approval_closed(struct story *story, struct story_approval *approval,
                           Gantry__V1__ApprovalOutcome outcome, const char *reason)
{
    with_approval(story, approval, GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED, outcome, reason,
                  tell_closed);
}
