/* What the promoter sees by itself (lookout.c): executors that fall silent, environments that
 * change. On a simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "definition/definition.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "log/log.h"
#include "scene.h"

#define MINUTE_MS     60000
#define CHANGES(what) scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_##what)

static struct sim sim;
static struct scene scene;
static struct def_freeze frozen = {.window_text = "x", .reason = "x"};
static struct engine_environment edge = {
    .name = "edge", .deployer = "default", .driver = "command", .command = "deploy"};

static const char slow[] = "apiVersion: gantry/v1\n"
                           "kind: Pipeline\n"
                           "metadata: {name: NAME}\n"
                           "spec:\n"
                           "  sources:\n"
                           "    - {name: app, git: https://git.example/app.git, branches: [main]}\n"
                           "  stages:\n"
                           "    - name: one\n"
                           "      steps:\n"
                           "        - custom/slow: {name: a, timeout: 2h, lost-after: 10m}\n";

static const char deploys[] =
    "apiVersion: gantry/v1\n"
    "kind: Pipeline\n"
    "metadata: {name: NAME}\n"
    "spec:\n"
    "  sources:\n"
    "    - {name: app, git: https://git.example/app.git, branches: [main]}\n"
    "  stages:\n"
    "    - name: build\n"
    "      steps:\n"
    "        - build: {name: image, image: registry.example/app}\n"
    "    - name: edge\n"
    "      steps:\n"
    "        - deploy: {name: app, environment: edge}\n";

static int set_up(void **state)
{
    (void)state;
    sim_init(&sim, 1);
    scene_init(&scene, &sim);
    scene.mute = true;
    sim.environment = &edge;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_release(&scene);
    sim_release(&sim);
    window_free(frozen.window);
    frozen.window = NULL;
    edge.freezes = NULL;
    edge.freeze_count = 0;
    return 0;
}

static void begin(const char *yaml)
{
    sim_start(&sim, 0);
    scene_define(&scene, scene_pipeline(0), yaml);
    sim_settle(&sim, 1000);
    scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, 1000);
}

/* What the executor of the newest run says. */
static void say(enum topic requests, enum topic results, Gantry__V1__ActionResult *result)
{
    static uint32_t number;
    const struct sim_log *log = &sim.logs[requests][0];
    char id[64];

    for (int i = 1; log->count == 0 && i < SIM_PARTITIONS; i++)
        log = &sim.logs[requests][i];
    assert_true(log->count > 0);
    const struct sim_record *record = log->items[log->count - 1];
    Gantry__V1__ActionRequest *request;
    struct err err;
    assert_int_equal(
        event_unpack((void **)&request, requests, record->value, record->value_len, &err), 0);
    result->pipeline = request->pipeline;
    result->run_id = request->run_id;
    result->attempt = 1;
    result->number = ++number;
    result->executor = "test";
    snprintf(id, sizeof(id), "said-%u", number);
    sim_put(&sim, results, -1, request->pipeline, id, result);
    event_free(request);
    sim_settle(&sim, 1000);
}

static void say_started(void)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Started started = GANTRY__V1__STARTED__INIT;

    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_STARTED;
    result.started = &started;
    say(TOPIC_REQUEST_CUSTOM, TOPIC_RESULT_CUSTOM, &result);
}

static void say_alive(void)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Progress progress = GANTRY__V1__PROGRESS__INIT;

    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_PROGRESS;
    result.progress = &progress;
    say(TOPIC_REQUEST_CUSTOM, TOPIC_RESULT_CUSTOM, &result);
}

static void say_built(void)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__Artifact artifact = GANTRY__V1__ARTIFACT__INIT;

    artifact.name = "image";
    artifact.repository = "registry.example/app";
    artifact.digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    finished.image_case = GANTRY__V1__FINISHED__IMAGE_ARTIFACT;
    finished.artifact = &artifact;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    result.finished = &finished;
    say(TOPIC_REQUEST_BUILD, TOPIC_RESULT_BUILD, &result);
}

static void pass(int64_t ms)
{
    sim_settle(&sim, ms);
}

/* ---- silence ---- */

static void a_run_whose_executor_falls_silent_is_reported_once_and_lost_in_the_end(void **state)
{
    (void)state;
    begin(slow);
    say_started();
    pass(2 * MINUTE_MS);
    assert_int_equal(CHANGES(ACTION_SILENT), 1);
    pass(6 * MINUTE_MS);
    assert_int_equal(CHANGES(ACTION_SILENT), 1);
    assert_int_equal(CHANGES(ACTION_ENDED), 0);
    pass(4 * MINUTE_MS);
    assert_int_equal(CHANGES(ACTION_ENDED), 1);
    assert_int_equal(CHANGES(RELEASE_ENDED), 1);
}

static void a_run_that_is_heard_of_goes_on(void **state)
{
    (void)state;
    begin(slow);
    say_started();
    for (int i = 0; i < 60; i++) {
        pass(50000);
        say_alive();
    }
    assert_int_equal(CHANGES(ACTION_SILENT), 0);
    assert_int_equal(CHANGES(ACTION_ENDED), 0);
}

static void a_run_that_nobody_started_waits_and_is_not_lost(void **state)
{
    (void)state;
    begin(slow);
    pass(60 * MINUTE_MS);
    assert_int_equal(CHANGES(ACTION_SILENT), 0);
    assert_int_equal(CHANGES(ACTION_ENDED), 0);
}

static void who_takes_over_counts_silence_anew(void **state)
{
    (void)state;
    begin(slow);
    say_started();
    pass(9 * MINUTE_MS);
    sim_kill(&sim, 0);
    sim_start(&sim, 0);
    pass(9 * MINUTE_MS);
    assert_int_equal(CHANGES(ACTION_ENDED), 0);
    pass(5 * MINUTE_MS);
    assert_int_equal(CHANGES(ACTION_ENDED), 1);
}

static void silence_while_kafka_was_away_is_nobodys(void **state)
{
    (void)state;
    begin(slow);
    say_started();
    sim.ends_fail = true;
    pass(30 * MINUTE_MS);
    sim.ends_fail = false;
    pass(8 * MINUTE_MS); /* it is counted from when Kafka was there again */
    assert_int_equal(CHANGES(ACTION_ENDED), 0);
    pass(4 * MINUTE_MS);
    assert_int_equal(CHANGES(ACTION_ENDED), 1);
}

static void a_heartbeat_that_waits_in_kafka_counts_however_late_it_is_read(void **state)
{
    (void)state;
    begin(slow);
    say_started();
    pass(2 * MINUTE_MS);
    sim.withheld = TOPIC_RESULT_CUSTOM;
    pass(7 * MINUTE_MS);
    say_alive();
    pass(20 * MINUTE_MS);
    assert_int_equal(CHANGES(ACTION_ENDED), 0);
    sim.withheld = TOPIC_COUNT;
    pass(1000);
    assert_int_equal(CHANGES(ACTION_ENDED), 0);
}

/* ---- environments ---- */

static void freeze(const char *window)
{
    struct err err;

    assert_int_equal(window_parse(&frozen.window, window, &err), 0);
    edge.freezes = &frozen;
    edge.freeze_count = 1;
}

static void thaw(void)
{
    edge.freeze_count = 0;
    for (int i = 0; i < SIM_PARTITIONS; i++)
        partition_look(sim_partition(&sim, 0, i));
}

static void a_release_that_a_freeze_holds_goes_on_when_it_is_lifted(void **state)
{
    (void)state;
    freeze("daily 00:00-24:00 UTC");
    begin(deploys);
    say_built();
    pass(5 * MINUTE_MS);
    assert_int_equal(CHANGES(STAGE_ENTERED), 1);
    thaw();
    pass(1000);
    assert_int_equal(CHANGES(STAGE_ENTERED), 2);
}

static void a_freeze_that_was_lifted_while_no_promoter_ran_is_seen_by_the_next(void **state)
{
    (void)state;
    freeze("daily 00:00-24:00 UTC");
    begin(deploys);
    say_built();
    pass(5 * MINUTE_MS);
    sim_kill(&sim, 0);
    edge.freeze_count = 0;
    sim_start(&sim, 0);
    pass(5000);
    assert_int_equal(CHANGES(STAGE_ENTERED), 2);
}

#define ON_SIM(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SIM(a_run_whose_executor_falls_silent_is_reported_once_and_lost_in_the_end),
        ON_SIM(a_run_that_is_heard_of_goes_on),
        ON_SIM(a_run_that_nobody_started_waits_and_is_not_lost),
        ON_SIM(who_takes_over_counts_silence_anew),
        ON_SIM(silence_while_kafka_was_away_is_nobodys),
        ON_SIM(a_heartbeat_that_waits_in_kafka_counts_however_late_it_is_read),
        ON_SIM(a_release_that_a_freeze_holds_goes_on_when_it_is_lifted),
        ON_SIM(a_freeze_that_was_lifted_while_no_promoter_ran_is_seen_by_the_next),
    };

    log_init("test", getenv("GANTRY_LOG") ? LOG_DEBUG : LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
