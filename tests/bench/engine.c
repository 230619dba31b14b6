/* bench_engine: the engine alone, on one core. Whole releases of a pipeline of five stages go
 * through engine_step() and engine_settle(), as the promoter takes them: each input is planned, its
 * Decision packed and hashed for the ledger, and folded.
 *
 *   bench_engine [--seconds S] [--releases N]
 *
 * Prints one JSON object: steps a second (inputs that were decided), and the bytes of encoded state
 * of an idle and of an active pipeline, its definition apart. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/engine.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"

#define PIPELINE "shop"
#define EPOCH    UINT64_C(1700000000000)
#define ASKED    64 /* runs and approvals that one Decision asks for */

static const char definition[] =
    "apiVersion: gantry/v1\n"
    "kind: Pipeline\n"
    "metadata: {name: shop}\n"
    "spec:\n"
    "  sources: [{name: app, git: 'https://git.example/acme/shop.git', branches: [main]}]\n"
    "  stages:\n"
    "    - name: build\n"
    "      steps: [{build: {name: image, source: app, buildspec: buildspec.yml, image: "
    "registry.example/acme/shop}}]\n"
    "    - name: dev\n"
    "      steps:\n"
    "        - deploy: {name: app, environment: dev}\n"
    "        - custom/smoke: {name: smoke}\n"
    "    - name: staging\n"
    "      steps: [{deploy: {name: app, environment: staging}}]\n"
    "    - name: canary\n"
    "      gates: [{approval: {by: ['group:qa'], expires: 3d}}]\n"
    "      steps: [{deploy: {name: app, environment: canary}}]\n"
    "    - name: prod\n"
    "      gates: [{approval: {by: ['group:release-managers'], count: 2, not: [author], expires: "
    "7d}}]\n"
    "      steps: [{deploy: {name: app, environment: prod}}]\n";

struct asked {
    char id[ID_SIZE];
    enum topic topic; /* of the answer */
    char digest[80];
    bool makes_image;
    uint32_t votes;
};

struct bench {
    struct engine_state *state;
    int64_t now_ms;
    uint64_t inputs, steps, decisions, bytes;
    struct asked asked[ASKED];
    size_t asked_count;
    bool pack; /* as the promoter does; false: the engine alone */
    struct buf value;
};

static void fail(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_engine: %s: %s\n", what, err->msg);
    exit(1);
}

static const struct engine_environment *environment(const char *name, void *arg)
{
    static const uint8_t hash[SHA256_SIZE] = {1};
    static const char yaml[] =
        "apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: e}\n"
        "spec: {deployer: default, driver: command, command: {run: deploy}}\n";
    static _Thread_local struct engine_environment env;

    (void)arg;
    env = (struct engine_environment){.name = name,
                                      .deployer = "default",
                                      .driver = "command",
                                      .command = "deploy",
                                      .yaml = yaml,
                                      .yaml_len = sizeof yaml - 1,
                                      .sha256 = hash};
    return &env;
}

/* ---- what a Decision asks ---- */

static void ask(struct bench *bench, const char *id, enum topic topic, const char *digest,
                bool makes_image, uint32_t votes)
{
    struct asked *asked = &bench->asked[bench->asked_count++];

    if (bench->asked_count > ASKED)
        abort();
    *asked = (struct asked){.topic = topic, .makes_image = makes_image, .votes = votes};
    snprintf(asked->id, sizeof asked->id, "%s", id);
    snprintf(asked->digest, sizeof asked->digest, "%s", digest);
}

static void take_asked(struct bench *bench, const Gantry__V1__Decision *decision)
{
    static const enum topic topics[] = {TOPIC_COUNT, TOPIC_RESULT_BUILD, TOPIC_RESULT_DEPLOY,
                                        TOPIC_RESULT_APPROVAL, TOPIC_RESULT_CUSTOM};

    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];

        if (change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED) {
            const Gantry__V1__ActionRequest *request = change->action_requested->request;

            ask(bench, request->run_id, topics[request->kind], "",
                request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_BUILD, 0);
        } else if (change->what_case == GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED) {
            const Gantry__V1__ApprovalRequest *approval = change->approval_opened->approval;

            ask(bench, approval->approval_id, TOPIC_RESULT_APPROVAL, approval->digest, false,
                approval->count);
        }
    }
}

/* ---- one input ---- */

static void step(struct bench *bench, enum topic topic, const void *message)
{
    Gantry__V1__Decision decision = GANTRY__V1__DECISION__INIT;
    Gantry__V1__Cause cause = GANTRY__V1__CAUSE__INIT;
    struct engine_input input = {
        .kind = ENGINE_RECORD, .topic = topic, .message = message, .environment = environment};
    struct engine_state *after;
    uint8_t hash[SHA256_SIZE];
    char id[ID_SIZE];
    struct err err;
    int rc;

    snprintf(id, sizeof id, "%032llx", (unsigned long long)++bench->inputs);
    input.ce_id = id;
    cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_INPUT;
    cause.topic = (char *)topic_info(topic)->name;
    cause.ce_id = id;
    decision.cause = &cause;
    bench->now_ms += 1000;
    bench->steps++;
    rc = engine_step(bench->state, &input, EPOCH, bench->now_ms, &decision, &after, &err);
    if (rc < 0)
        fail("step", &err);
    if (rc == 0)
        return;
    decision.pipeline = PIPELINE;
    decision.sequence = engine_state_sequence(bench->state) + 1;
    if (engine_state_hashed(bench->state))
        decision.pipeline_previous =
            (ProtobufCBinaryData){SHA256_SIZE, (uint8_t *)engine_state_hash(bench->state)};
    decision.time_ms = bench->now_ms;
    decision.epoch = EPOCH;
    buf_reset(&bench->value);
    if (bench->pack && event_pack(&bench->value, &decision, &err) < 0)
        fail("pack", &err);
    if (bench->pack)
        sha256(bench->value.data, bench->value.len, hash);
    else
        memset(hash, (int)(decision.sequence & 0xff), sizeof hash);
    bench->decisions++;
    bench->bytes += bench->value.len;
    take_asked(bench, &decision);
    if (engine_settle(after, &decision, hash, &err) < 0)
        fail("settle", &err);
    engine_state_free(bench->state);
    bench->state = after;
    engine_changes_free(&decision);
}

static void define(struct bench *bench)
{
    Gantry__V1__Definition message = GANTRY__V1__DEFINITION__INIT;
    uint8_t hash[SHA256_SIZE];

    sha256(definition, sizeof definition - 1, hash);
    message.kind = "Pipeline";
    message.name = PIPELINE;
    message.yaml = (ProtobufCBinaryData){sizeof definition - 1, (uint8_t *)definition};
    message.sha256 = (ProtobufCBinaryData){sizeof hash, hash};
    message.author = "token:ann";
    step(bench, TOPIC_DEFINITION, &message);
}

static void push(struct bench *bench, uint64_t number)
{
    Gantry__V1__SourceChanged message = GANTRY__V1__SOURCE_CHANGED__INIT;
    char commit[41], before[41], person[32], *people[] = {"kim@example.test", person};

    snprintf(commit, sizeof commit, "%040llx",
             (unsigned long long)(number * UINT64_C(0x9e3779b97f4a7c15)));
    snprintf(before, sizeof before, "%040llx",
             (unsigned long long)((number - 1) * UINT64_C(0x9e3779b97f4a7c15)));
    snprintf(person, sizeof person, "dev-%llu@example.test", (unsigned long long)(number % 10));
    message.pipeline = PIPELINE;
    message.source = "app";
    message.git = "https://git.example/acme/shop.git";
    message.ref = "refs/heads/main";
    message.before = before;
    message.after = commit;
    message.message = "Let the basket keep its order when a price changes";
    message.pusher = "kim";
    message.people = people;
    message.n_people = 2;
    message.people_complete = true;
    message.reported_by = "webhook";
    step(bench, TOPIC_SOURCE, &message);
}

static void start(struct bench *bench, const struct asked *asked)
{
    Gantry__V1__ActionResult message = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Started started = GANTRY__V1__STARTED__INIT;

    message.pipeline = PIPELINE;
    message.run_id = (char *)asked->id;
    message.attempt = message.number = 1;
    message.executor = "builder-1";
    message.body_case = GANTRY__V1__ACTION_RESULT__BODY_STARTED;
    message.started = &started;
    step(bench, asked->topic, &message);
}

static void finish(struct bench *bench, const struct asked *asked)
{
    Gantry__V1__ActionResult message = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__Artifact artifact = GANTRY__V1__ARTIFACT__INIT;
    char hex[SHA256_HEX_SIZE], digest[80];

    message.pipeline = PIPELINE;
    message.run_id = (char *)asked->id;
    message.attempt = 1;
    message.number = 2;
    message.executor = "builder-1";
    message.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    message.finished = &finished;
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    if (asked->makes_image) {
        sha256_hex(asked->id, strlen(asked->id), hex);
        snprintf(digest, sizeof digest, "sha256:%s", hex);
        artifact.name = "image";
        artifact.repository = "registry.example/acme/shop";
        artifact.digest = digest;
        artifact.media_type = "application/vnd.oci.image.manifest.v1+json";
        artifact.tag = "release";
        finished.image_case = GANTRY__V1__FINISHED__IMAGE_ARTIFACT;
        finished.artifact = &artifact;
    }
    step(bench, asked->topic, &message);
}

static void vote(struct bench *bench, const struct asked *asked, uint32_t who)
{
    Gantry__V1__ActionResult message = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Vote cast = GANTRY__V1__VOTE__INIT;
    Gantry__V1__Actor voter = GANTRY__V1__ACTOR__INIT;
    char subject[32], email[48], *groups[] = {"qa", "release-managers"};

    snprintf(subject, sizeof subject, "token:manager-%u", who);
    snprintf(email, sizeof email, "manager-%u@example.test", who);
    voter.subject = subject;
    voter.name = subject + strlen("token:");
    voter.email = email;
    voter.groups = groups;
    voter.n_groups = 2;
    cast.approval_id = (char *)asked->id;
    cast.verdict = GANTRY__V1__VERDICT__VERDICT_APPROVE;
    cast.digest = (char *)asked->digest;
    cast.voter = &voter;
    cast.cast_ms = bench->now_ms;
    message.pipeline = PIPELINE;
    message.number = 1;
    message.body_case = GANTRY__V1__ACTION_RESULT__BODY_VOTE;
    message.vote = &cast;
    step(bench, TOPIC_RESULT_APPROVAL, &message);
}

static void answer(struct bench *bench, const struct asked *asked)
{
    if (asked->topic != TOPIC_RESULT_APPROVAL) {
        start(bench, asked);
        finish(bench, asked);
        return;
    }
    for (uint32_t i = 0; i < asked->votes; i++)
        vote(bench, asked, i);
}

/* One whole release: 16 inputs. Stops before `stop_at` questions were answered, where it is not 0.
 */
static void release(struct bench *bench, uint64_t number, size_t stop_at)
{
    push(bench, number);
    for (size_t answered = 0; bench->asked_count && (!stop_at || answered < stop_at); answered++) {
        struct asked asked = bench->asked[0];

        memmove(bench->asked, bench->asked + 1, --bench->asked_count * sizeof *bench->asked);
        answer(bench, &asked);
    }
}

/* ---- the figures ---- */

static void begin(struct bench *bench, bool pack)
{
    memset(bench, 0, sizeof *bench);
    bench->state = engine_state_new(PIPELINE);
    bench->now_ms = (int64_t)EPOCH;
    bench->pack = pack;
    buf_init(&bench->value, EVENT_VALUE_MAX);
    define(bench);
}

static void end(struct bench *bench)
{
    engine_state_free(bench->state);
    buf_release(&bench->value);
}

static size_t encoded(const struct bench *bench)
{
    struct buf out;
    struct err err;
    size_t len;

    buf_init(&out, EVENT_VALUE_MAX);
    if (engine_encode(bench->state, &out, &err) < 0)
        fail("encode", &err);
    len = out.len;
    buf_release(&out);
    return len - (sizeof definition - 1); /* which stands in it as it was given */
}

static size_t bytes_after(uint64_t releases, size_t stop_at)
{
    struct bench bench;
    size_t bytes;

    begin(&bench, false);
    for (uint64_t i = 1; i <= releases; i++)
        release(&bench, i, i == releases ? stop_at : 0);
    bytes = encoded(&bench);
    end(&bench);
    return bytes;
}

/* Of this process: what others do on the machine does not count. */
static int64_t cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static double steps_per_second(int64_t ms, bool pack, struct bench *bench)
{
    int64_t began_us, now_us;
    uint64_t number = 1, steps;

    begin(bench, pack);
    while (number <= 100) /* as a pipeline that is in use for a while */
        release(bench, number++, 0);
    steps = bench->steps;
    began_us = now_us = cpu_us();
    while (now_us - began_us < ms * 1000) {
        for (int i = 0; i < 20; i++)
            release(bench, number++, 0);
        now_us = cpu_us();
    }
    steps = bench->steps - steps;
    end(bench);
    return (double)steps / ((double)(now_us - began_us) / 1e6);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", 1, 0, 's'}, {0}};
    int64_t seconds = 5;
    struct bench bench;
    double engine, whole;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 's' || str_to_i64(optarg, &seconds) < 0) {
            fprintf(stderr, "usage: bench_engine [--seconds S]\n");
            return 2;
        }
    }
    engine = steps_per_second(seconds * 1000, false, &bench);
    whole = steps_per_second(seconds * 1000, true, &bench);
    printf("{\"steps_per_second\": %.0f, \"with_pack_and_hash_per_second\": %.0f, "
           "\"decision_bytes\": %.0f, "
           "\"idle_after_1_bytes\": %zu, \"idle_after_20_bytes\": %zu, \"active_bytes\": %zu, "
           "\"definition_bytes\": %zu}\n",
           engine, whole, (double)bench.bytes / (double)bench.decisions, bytes_after(1, 0),
           bytes_after(20, 0), bytes_after(21, 7), sizeof definition - 1);
    return 0;
}
