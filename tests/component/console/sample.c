/* Fills topics with two dozen pipelines in every state, to look at the page with:
 *     console_sample KAFKA PREFIX [PIPELINES]
 *     gantry-console --set common.topic-prefix=PREFIX --set common.partitions=4 ... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "base/str.h"
#include "tests/component/console/story.h"

#define PARTITIONS 4
#define TIMEOUT_MS 30000

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

enum scene {
    ALL_GOOD,
    BUILDING,
    BUILD_FAILED,
    DEPLOYING_DEV,
    DEV_FAILED,
    WAITS_STAGING,
    WAITS_PROD,
    WAITS_PROD_STACKED,
    DEPLOYING_PROD,
    PROD_FAILED,
    ROLLED_BACK,
    STOPPED,
    NEVER_RAN,
    PENDING,
    HELD_BY_GATES,
    SHUT,
    PINNED,
    ROLLED_BACK_ITSELF,
    SCENE_COUNT
};

struct sample {
    const char *name, *team;
    enum scene scene;
    int64_t since_ms; /* ago */
};

static const struct sample samples[] = {
    {"shop", "web", WAITS_PROD_STACKED, 40 * MINUTE},
    {"checkout", "web", PROD_FAILED, 12 * MINUTE},
    {"search", "web", BUILDING, 2 * MINUTE},
    {"catalog", "web", ALL_GOOD, 3 * HOUR},
    {"payments", "payments", WAITS_PROD, 5 * HOUR},
    {"ledger-export", "payments", BUILD_FAILED, 26 * MINUTE},
    {"fraud-scoring", "payments", DEPLOYING_DEV, MINUTE},
    {"invoices", "payments", ROLLED_BACK, 50 * MINUTE},
    {"mailer", "platform", ALL_GOOD, 2 * DAY},
    {"identity", "platform", WAITS_STAGING, 20 * MINUTE},
    {"gateway", "platform", DEPLOYING_PROD, 3 * MINUTE},
    {"image-resizer", "media", DEV_FAILED, 6 * HOUR},
    {"transcoder", "media", STOPPED, 4 * HOUR},
    {"thumbnails", "media", ALL_GOOD, 9 * DAY},
    {"recommendations", "data", WAITS_PROD_STACKED, 2 * HOUR},
    {"feature-store", "data", ALL_GOOD, 30 * DAY},
    {"reports", "data", BUILDING, 5 * MINUTE},
    {"support-desk", "tools", NEVER_RAN, 0},
    {"status-page", "tools", PENDING, 0},
    {"docs", "tools", ALL_GOOD, HOUR},
    {"warehouse", "logistics", HELD_BY_GATES, 50 * MINUTE},
    {"shipping", "logistics", SHUT, 70 * MINUTE},
    {"tracking", "logistics", PINNED, 30 * MINUTE},
    {"returns", "logistics", ROLLED_BACK_ITSELF, 45 * MINUTE},
};
#define SAMPLE_COUNT (sizeof(samples) / sizeof(*samples))

static const char *const messages[] = {
    "Fix rounding of the cart's total",
    "Cache product pages for anonymous visitors",
    "Retry the payment provider on 429",
    "Bump libpng to 1.6.44",
    "Show delivery dates in the visitor's zone",
    "Remove the old newsletter form",
    "Time out slow upstreams after 2 s",
    "Add a health check for the replica",
    "Let support see refunds",
    "Rework logging: one line a request",
};
static const char *const authors[] = {"Ada King", "Grace Hopper", "Barbara Liskov",
                                      "Edsger Dijkstra", "Margaret Hamilton"};

static void put_yaml(struct buf *out, const struct sample *sample)
{
    buf_addf(out,
             "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: %s, labels: {team: %s}}\n"
             "spec:\n  sources:\n    - {name: app, git: \"https://git.example/acme/%s.git\","
             " branches: [main]}\n  stages:\n    - name: build\n      steps:\n"
             "        - build: {name: image, source: app, buildspec: buildspec.yml,"
             " image: registry.example/acme/%s}\n",
             sample->name, sample->team, sample->name, sample->name);
    bool gated = sample->scene >= HELD_BY_GATES;
    buf_adds(out, "    - name: dev\n      steps:\n        - deploy: {name: app, environment: dev}\n"
                  "        - parallel:\n"
                  "            - build: {name: smoke, source: app, buildspec: test/smoke.yml}\n"
                  "            - custom/load-test: {name: load, input: {rate: \"50\"}}\n"
                  "    - name: staging\n      gates:\n"
                  "        - approval: {by: [group:qa], count: 1, expires: 3d}\n      steps:\n"
                  "        - deploy: {name: app, environment: staging}\n"
                  "    - name: prod\n");
    if (gated)
        buf_adds(out, "      on-failure: rollback\n");
    buf_adds(out, "      gates:\n");
    if (gated)
        buf_adds(out, "        - soak: 2h\n        - window: Mon-Fri 09:00-09:01 Europe/Berlin\n"
                      "        - check: {custom: error-rate, every: 5m}\n"
                      "        - manual: true\n");
    buf_adds(out, "        - approval: {by: [group:release-managers], count: 2, not: [author],"
                  " expires: 7d, message: \"Watch the error rate for ten minutes\"}\n"
                  "      steps:\n        - deploy: {name: app, environment: prod}\n");
}

/* ---- one release's way ---- */

struct way {
    struct story *story;
    struct story_release release;
};

static void later(struct way *way, int64_t ms)
{
    way->story->now_ms += ms;
}

static void begin_release(struct way *way, struct story *story, const char *pipeline,
                          uint64_t number)
{
    size_t pick = (size_t)number * 7 + strlen(pipeline);

    *way = (struct way){.story = story,
                        .release = {.pipeline = pipeline,
                                    .number = number,
                                    .message = messages[pick % 10],
                                    .author = authors[(pick / 3) % 5]}};
    story_release_started(story, &way->release);
}

static void put_log(struct way *way, const struct story_run *run, bool failed, bool whole)
{
    static const char *const lines[] = {
        "== INSTALL\n",
        "$ apt-get install -y libpng-dev\n\x1b[32mdone\x1b[0m in 4.1 s\n",
        "== PRE_BUILD\n",
        "$ ./configure --quiet\n",
        "== BUILD\n",
        "$ make -j4\n  CC  src/main.o\n  CC  src/cart.o\n  CC  src/http.o\n"
        "\x1b[33msrc/http.c:214: warning: unused variable 'rc'\x1b[0m\n  LD  server\n",
        "$ make check\n",
    };
    uint64_t offset = 0;

    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        story_log(way->story, run, offset, lines[i], false);
        offset += strlen(lines[i]);
    }
    const char *end = failed
                          ? "\x1b[31mFAIL\x1b[0m test_cart.c:88: assertion failed: total == 4200\n"
                            "1 of 212 tests failed\n"
                          : "212 tests passed\n";
    if (whole || failed)
        story_log(way->story, run, offset, end, true);
}

static void build(struct way *way, bool ends, const char *reason)
{
    struct story_run run = {
        .release = &way->release, .stage = "build", .action = "image", .reports = true};

    story_stage_entered(way->story, &way->release, "build", 1);
    story_requested(way->story, &run);
    later(way, 1500);
    story_started(way->story, &run);
    put_log(way, &run, reason != NULL, ends);
    if (!ends)
        return;
    later(way, 94 * 1000);
    story_finished(way->story, &run, reason);
    if (!reason)
        story_artifact(way->story, &way->release);
    story_stage_ended(
        way->story, &way->release, "build",
        reason ? GANTRY__V1__STATUS__STATUS_FAILED : GANTRY__V1__STATUS__STATUS_SUCCEEDED, reason);
}

static void deploy(struct way *way, const char *stage, bool ends, const char *reason)
{
    struct story_run run = {
        .release = &way->release, .stage = stage, .action = "app", .environment = stage};
    struct story_run smoke = {
        .release = &way->release, .stage = stage, .action = "smoke", .step = 1};
    bool is_dev = str_eq(stage, "dev");

    story_stage_entered(way->story, &way->release, stage, 1);
    story_requested(way->story, &run);
    later(way, 700);
    story_started(way->story, &run);
    story_log(way->story, &run, 0, "pulling the image\nstarting\nwaiting until it is healthy\n",
              ends);
    if (!ends)
        return;
    later(way, 21 * 1000);
    story_finished(way->story, &run, reason);
    if (is_dev && !reason) {
        story_requested(way->story, &smoke);
        later(way, 900);
        story_started(way->story, &smoke);
        later(way, 32 * 1000);
        story_finished(way->story, &smoke, NULL);
    }
    story_stage_ended(
        way->story, &way->release, stage,
        reason ? GANTRY__V1__STATUS__STATUS_FAILED : GANTRY__V1__STATUS__STATUS_SUCCEEDED, reason);
}

static struct story_approval open_gate(struct way *way, const char *stage)
{
    bool is_prod = str_eq(stage, "prod");
    struct story_approval approval = {
        .release = &way->release,
        .stage = stage,
        .gate = "approval",
        .by = is_prod ? "group:release-managers" : "group:qa",
        .count = is_prod ? 2 : 1,
        .message = is_prod ? "Watch the error rate for ten minutes" : NULL,
        .previous_digest =
            "sha256:4b1d0e2f3c4a5b6978877665544332211000ffeeddccbbaa9988776655443322",
    };

    story_stage_waiting(way->story, &way->release, stage, "approval");
    story_approval_opened(way->story, &approval);
    return approval;
}

static void pass_gate(struct way *way, const char *stage)
{
    struct story_approval approval = open_gate(way, stage);

    later(way, 6 * MINUTE);
    story_vote(way->story, &approval, "Katherine Johnson", "Tried the cart, works");
    if (approval.count == 2) {
        later(way, 4 * MINUTE);
        story_vote(way->story, &approval, "Dorothy Vaughan", "");
    }
    story_approval_closed(way->story, &approval,
                          GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_APPROVED, NULL);
}

static void to_staging(struct way *way)
{
    build(way, true, NULL);
    deploy(way, "dev", true, NULL);
    pass_gate(way, "staging");
    deploy(way, "staging", true, NULL);
}

static void whole_way(struct way *way)
{
    to_staging(way);
    pass_gate(way, "prod");
    deploy(way, "prod", true, NULL);
    story_release_ended(way->story, &way->release, GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL, 0);
}

static void end_failed(struct way *way, const char *reason)
{
    story_release_ended(way->story, &way->release, GANTRY__V1__STATUS__STATUS_FAILED, reason, 0);
}

/* ---- scenes ---- */

static void play_gates(struct way *way, const struct sample *sample, uint64_t number)
{
    struct story *story = way->story;
    struct story_approval approval;
    struct way newer;

    build(way, true, NULL);
    deploy(way, "dev", true, NULL);
    if (sample->scene == WAITS_STAGING) {
        open_gate(way, "staging");
        return;
    }
    pass_gate(way, "staging");
    deploy(way, "staging", true, NULL);
    approval = open_gate(way, "prod");
    later(way, 3 * MINUTE);
    story_vote(story, &approval, "Dorothy Vaughan", "Error rate is flat in staging");
    if (sample->scene != WAITS_PROD_STACKED)
        return;
    begin_release(&newer, story, sample->name, number + 1);
    build(&newer, true, NULL);
    deploy(&newer, "dev", true, NULL);
    open_gate(&newer, "staging");
    begin_release(&newer, story, sample->name, number + 2);
    build(&newer, false, NULL);
}

static void play_rollback(struct way *way, const struct sample *sample, uint64_t number)
{
    struct way back = {.story = way->story,
                       .release = {.pipeline = sample->name,
                                   .number = number + 1,
                                   .message = "",
                                   .author = "Margaret Hamilton"}};

    whole_way(way);
    later(way, 10 * MINUTE);
    story_rollback_started(way->story, &back.release, number - 1, "prod",
                           "Invoices without an address since this release", 0);
    deploy(&back, "prod", true, NULL);
    story_release_ended(way->story, &back.release, GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL, 0);
}

static void play_stopped(struct way *way)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ReleaseStopping stopping = GANTRY__V1__RELEASE_STOPPING__INIT;
    Gantry__V1__Actor actor = GANTRY__V1__ACTOR__INIT;
    struct story_approval approval;

    build(way, true, NULL);
    deploy(way, "dev", true, NULL);
    approval = open_gate(way, "staging");
    actor.subject = "token:grace";
    actor.name = "Grace Hopper";
    stopping.release = way->release.number;
    stopping.mode = GANTRY__V1__STOP_MODE_TAKEN__STOP_MODE_TAKEN_WAIT;
    stopping.reason = "Superseded by a hotfix";
    event.actor = &actor;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STOPPING;
    event.release_stopping = &stopping;
    story_event(way->story, way->release.pipeline, &event);
    story_approval_closed(way->story, &approval,
                          GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_STOPPED, NULL);
    story_release_ended(way->story, &way->release, GANTRY__V1__STATUS__STATUS_STOPPED,
                        "Superseded by a hotfix", 0);
}

/* Every kind of gate holds it at once. */
static void play_held(struct way *way)
{
    static const char *const held[] = {"soak",     "window",      "check", "manual",
                                       "approval", "freeze:prod", NULL};
    int64_t begun_ms;

    to_staging(way);
    begun_ms = way->story->now_ms;
    open_gate(way, "prod");
    story_held(way->story, &way->release, "prod", held, begun_ms + 2 * HOUR);
    later(way, 5 * MINUTE);
    story_check(way->story, &way->release, "prod", false, "2.1 % of requests fail, 1 % may",
                clock_now_ms() + 4 * MINUTE);
    story_overridden(way->story, &way->release, "prod", "disabled", "Grace Hopper",
                     "Checked with the fair's team");
}

static void play_shut(struct way *way, const struct sample *sample)
{
    static const char *const held[] = {"disabled", "approval", NULL};

    story_transition(way->story, sample->name, "prod", false, "Kim", "the fair, until Monday");
    to_staging(way);
    open_gate(way, "prod");
    story_held(way->story, &way->release, "prod", held, 0);
}

static void play_pinned(struct way *way, const struct sample *sample)
{
    static const char *const held[] = {"pinned:prod", NULL};
    struct story_release before = {.pipeline = sample->name, .number = way->release.number - 1};
    struct story_run run = {.release = &way->release, .stage = "dev", .action = "app"};
    char key[300], hex[SHA256_HEX_SIZE];

    snprintf(key, sizeof(key), "%s %llu", before.pipeline, (unsigned long long)before.number);
    sha256_hex(key, strlen(key), hex);
    snprintf(before.digest, sizeof(before.digest), "sha256:%s", hex);
    story_pinned(way->story, sample->name, "prod", before.digest, "Ada King",
                 "measuring the new index until Friday");
    to_staging(way);
    story_held(way->story, &way->release, "prod", held, 0);
    begin_release(way, way->story, sample->name, way->release.number + 1);
    build(way, true, NULL);
    story_stage_entered(way->story, &way->release, "dev", 1);
    run.release = &way->release;
    run.environment = "dev";
    story_requested(way->story, &run);
    story_started(way->story, &run);
    story_silent(way->story, &run, 65000);
}

static void play_own_rollback(struct way *way, const struct sample *sample, uint64_t number)
{
    struct way back = {
        .story = way->story,
        .release = {.pipeline = sample->name, .number = number + 1, .message = "", .author = ""}};

    to_staging(way);
    pass_gate(way, "prod");
    deploy(way, "prod", true, "the image was not healthy within 60 s: GET /health answered 500");
    end_failed(way, "action app failed in stage prod");
    story_rollback_started(way->story, &back.release, number - 1, "prod", "", number);
    deploy(&back, "prod", true, NULL);
    story_release_ended(way->story, &back.release, GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL, 0);
}

static void play(struct story *story, const struct sample *sample, uint64_t number)
{
    struct way way;

    begin_release(&way, story, sample->name, number);
    switch (sample->scene) {
    case ALL_GOOD:
        whole_way(&way);
        break;
    case BUILDING:
        build(&way, false, NULL);
        break;
    case BUILD_FAILED:
        build(&way, true, "phase BUILD: `make check` ended with exit code 2");
        end_failed(&way, "action image failed in stage build");
        break;
    case DEPLOYING_DEV:
        build(&way, true, NULL);
        deploy(&way, "dev", false, NULL);
        break;
    case DEV_FAILED:
        build(&way, true, NULL);
        deploy(&way, "dev", true,
               "the image was not healthy within 60 s: GET /health answered 500");
        end_failed(&way, "action app failed in stage dev");
        break;
    case DEPLOYING_PROD:
        to_staging(&way);
        pass_gate(&way, "prod");
        deploy(&way, "prod", false, NULL);
        break;
    case PROD_FAILED:
        to_staging(&way);
        pass_gate(&way, "prod");
        deploy(&way, "prod", true, "`deploy-edge` ended with exit code 2: connection refused");
        end_failed(&way, "action app failed in stage prod");
        break;
    case ROLLED_BACK:
        play_rollback(&way, sample, number);
        break;
    case STOPPED:
        play_stopped(&way);
        break;
    case HELD_BY_GATES:
        play_held(&way);
        break;
    case SHUT:
        play_shut(&way, sample);
        break;
    case PINNED:
        play_pinned(&way, sample);
        break;
    case ROLLED_BACK_ITSELF:
        play_own_rollback(&way, sample, number);
        break;
    default:
        play_gates(&way, sample, number);
        break;
    }
}

static void tell(struct story *story, const struct sample *sample, int64_t now_ms, size_t turn)
{
    uint64_t newest = 4 + (turn * 13) % 90;
    struct buf yaml;
    struct way way;

    buf_init(&yaml, 8192);
    put_yaml(&yaml, sample);
    story->now_ms = now_ms - 40 * DAY;
    story_definition(story, "Pipeline", sample->name, buf_cstr(&yaml), sample->scene != PENDING);
    buf_release(&yaml);
    if (sample->scene == NEVER_RAN || sample->scene == PENDING)
        return;
    for (uint64_t number = newest - 3; number < newest; number++) {
        story->now_ms = now_ms - sample->since_ms - (int64_t)(newest - number) * 26 * HOUR;
        begin_release(&way, story, sample->name, number);
        whole_way(&way);
    }
    story->now_ms = now_ms - sample->since_ms - (sample->since_ms > HOUR ? 25 * MINUTE : 0);
    play(story, sample, newest);
}

static void must(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "console_sample: %s\n", err->msg);
    exit(1);
}

static void on_topic(enum topic topic, const char *name, bool created, const struct err *err,
                     void *arg)
{
    (void)topic;
    (void)created;
    (void)arg;
    if (err)
        fprintf(stderr, "console_sample: %s: %s\n", name, err->msg);
}

static void tell_all(struct story *story, size_t count)
{
    static const char *const environments[] = {"dev", "staging", "prod"};
    int64_t now_ms = clock_now_ms();
    char text[256];

    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof(text),
                 "apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: %s}\n"
                 "spec: {driver: command, command: {run: deploy-edge}%s}\n",
                 environments[i],
                 i == 2 ? ", freeze: [{window: \"2020-01-01 - 2060-12-31 UTC\", reason: audit}]"
                        : "");
        story_definition(story, "Environment", environments[i], text, false);
    }
    for (size_t i = 0; i < count; i++) {
        struct sample sample = samples[i % SAMPLE_COUNT];
        snprintf(text, sizeof(text), "%s-%zu", sample.name, i / SAMPLE_COUNT + 1);
        if (i >= SAMPLE_COUNT)
            sample.name = text;
        tell(story, &sample, now_ms, i);
    }
    story_flush(story);
}

int main(int argc, char **argv)
{
    const struct bus_producer_conf producing = {0};
    struct err err = {.code = ERR_NONE};
    struct bus_producer *producer;
    struct story story;
    struct bus *bus;

    if (argc < 3) {
        fprintf(stderr, "usage: %s KAFKA PREFIX [PIPELINES]\n", argv[0]);
        return 2;
    }
    char *servers[] = {argv[1], NULL};
    struct conf_pair pair = {"bootstrap.servers", {servers, 1}};
    const struct conf_map kafka = {&pair, 1};
    const struct bus_conf conf = {
        .kafka = &kafka, .prefix = argv[2], .service = "sample", .instance = "sample"};
    struct loop *loop = loop_new(2);
    must(bus_new(&bus, loop, &conf, &err), &err);
    must(bus_topics_create(bus, PARTITIONS, 1, TIMEOUT_MS, on_topic, NULL, &err), &err);
    must(bus_producer_new(&producer, bus, &producing, &err), &err);
    story_begin(&story, loop, producer);
    tell_all(&story, argc > 3 ? strtoul(argv[3], NULL, 10) : SAMPLE_COUNT);
    story_end(&story);
    bus_producer_free(producer);
    bus_free(bus);
    loop_free(loop);
    return 0;
}
