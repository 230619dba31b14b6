/* No clock is lost or begun anew: whatever happens to the promoters half-way through a time-out, an
 * expiry, a soak, a window or a check's pause, what is due comes at the instant that the
 * first of them decided. One row a clock, each played through every fate of a partition. On a
 * simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "definition/definition.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "log/log.h"
#include "scene.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
/* Of simulated time: a round of questions, and what is left to read. */
#define LATE_MS (5 * SECOND_MS)

#define PIPELINE(stages)                                                                           \
    "apiVersion: gantry/v1\n"                                                                      \
    "kind: Pipeline\n"                                                                             \
    "metadata: {name: NAME}\n"                                                                     \
    "spec:\n"                                                                                      \
    "  sources:\n"                                                                                 \
    "    - {name: app, git: https://git.example/app.git, branches: [main]}\n"                      \
    "  stages:\n" stages
#define GATED(gate)                                                                                \
    PIPELINE("    - {name: one, gates: [" gate "], steps: [custom/slow: {name: a}]}\n")

static struct sim sim;
static struct scene scene;

/* ---- what executors say ---- */

/* Of the newest run asked of them. */
static void say(enum topic requests, enum topic results, Gantry__V1__ActionResult *result)
{
    static uint32_t number;
    const struct sim_log *log = &sim.logs[requests][0];
    Gantry__V1__ActionRequest *request;
    struct err err;
    char id[64];

    for (int i = 1; log->count == 0 && i < SIM_PARTITIONS; i++)
        log = &sim.logs[requests][i];
    assert_true(log->count > 0);
    assert_int_equal(event_unpack((void **)&request, requests, log->items[log->count - 1]->value,
                                  log->items[log->count - 1]->value_len, &err),
                     0);
    result->pipeline = request->pipeline;
    result->run_id = request->run_id;
    result->attempt = 1;
    result->number = ++number;
    result->executor = "test";
    snprintf(id, sizeof(id), "said-%u", number);
    sim_put(&sim, results, -1, request->pipeline, id, result);
    event_free(request);
    sim_settle(&sim, SECOND_MS);
}

static void say_started(void)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Started started = GANTRY__V1__STARTED__INIT;

    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_STARTED;
    result.started = &started;
    say(TOPIC_REQUEST_CUSTOM, TOPIC_RESULT_CUSTOM, &result);
}

static void say_ended(int outcome)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;

    finished.outcome = (Gantry__V1__Outcome)outcome;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    result.finished = &finished;
    say(TOPIC_REQUEST_CUSTOM, TOPIC_RESULT_CUSTOM, &result);
}

static void say_succeeded(void)
{
    say_ended(GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
}

static void say_failed(void)
{
    say_ended(GANTRY__V1__OUTCOME__OUTCOME_FAILED);
}

/* ---- clocks ---- */

/* A clock begins with the last change of a kind and, `after_ms` later, causes the next change of
 * another. */
struct clock {
    const char *name, *yaml;
    void (*prepare)(void); /* NULL: a revision is enough */
    int begins;            /* what_case; 0: it is on the calendar, at `after_ms` */
    int causes;
    int64_t after_ms;
};

static const struct clock clocks[] = {
    {"an action's time-out",
     PIPELINE("    - {name: one, steps: [custom/slow: {name: a, timeout: 2h, lost-after: 7d}]}\n"),
     say_started, GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED, GANTRY__V1__CHANGE__WHAT_ACTION_ENDED,
     2 * HOUR_MS},
    {"the time-out of an action that nobody began",
     PIPELINE("    - {name: one, steps: [custom/slow: {name: a, timeout: 90m}]}\n"), NULL,
     GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED, GANTRY__V1__CHANGE__WHAT_ACTION_ENDED,
     90 * MINUTE_MS},
    {"an approval's expiry", GATED("approval: {expires: 3h}"), NULL,
     GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED, GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED,
     3 * HOUR_MS},
    {"the expiry of an approval inside a stage",
     PIPELINE("    - {name: one, steps: [approval: {name: look, expires: 3h}]}\n"), NULL,
     GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED, GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED,
     3 * HOUR_MS},
    {"a soak",
     PIPELINE("    - {name: one, steps: [custom/slow: {name: a}]}\n"
              "    - {name: two, gates: [soak: 2h], steps: [custom/slow: {name: b}]}\n"),
     say_succeeded, GANTRY__V1__CHANGE__WHAT_STAGE_ENDED, GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED,
     2 * HOUR_MS},
    /* The simulation begins on 14 November 2023 at 22:13:20 UTC. */
    {"a window", GATED("window: 'daily 01:00-02:00 UTC'"), NULL, 0,
     GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED, INT64_C(1700010000000)},
    {"a check's pause after a no", GATED("check: {custom: budget, every: 30m}"), say_failed,
     GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED, GANTRY__V1__CHANGE__WHAT_CHECK_ASKED, 30 * MINUTE_MS},
    {"a check's time for an answer", GATED("check: {custom: budget, timeout: 40m}"), NULL,
     GANTRY__V1__CHANGE__WHAT_CHECK_ASKED, GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED, 40 * MINUTE_MS},
};

/* When the change that comes next may be, at the earliest. */
static int64_t instant(const struct clock *clock)
{
    int64_t began_ms = clock->begins ? scene_change_ms(&scene, 0, clock->begins) : 0;

    assert_true(began_ms >= 0);
    return began_ms + clock->after_ms;
}

static size_t caused(const struct clock *clock)
{
    return scene_changes(&scene, 0, clock->causes);
}

static void begin(const struct clock *clock)
{
    sim_init(&sim, 1);
    scene_init(&scene, &sim);
    scene.mute = true;
    sim_start(&sim, 0);
    scene_define(&scene, scene_pipeline(0), clock->yaml);
    sim_settle(&sim, SECOND_MS);
    scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, SECOND_MS);
    if (clock->prepare)
        clock->prepare();
}

/* After each clock, and once more after a test that failed. */
static int end(void **state)
{
    (void)state;
    scene_release(&scene);
    sim_release(&sim);
    scene = (struct scene){0};
    sim = (struct sim){0};
    return 0;
}

/* ---- what happens to the partition ---- */

/* Starts one that restores by what is there, or, without it, by the ledger alone. */
static void take_over(int promoter, bool from_genesis)
{
    const struct partition *p;

    if (from_genesis)
        sim_remake(&sim, TOPIC_PROMOTER_STATE, 0);
    sim_start(&sim, promoter);
    sim_settle(&sim, SECOND_MS);
    p = sim_partition(&sim, promoter, 0);
    assert_int_equal(p->phase, PARTITION_RUNNING);
    assert_true(p->chain.counted == sim.logs[TOPIC_LEDGER][0].count || !from_genesis);
    assert_true(p->chain.counted < sim.logs[TOPIC_LEDGER][0].count || from_genesis);
}

static void is_killed(void)
{
    sim_kill(&sim, 0);
    take_over(0, false);
}

static void is_killed_and_folded_from_its_genesis(void)
{
    sim_kill(&sim, 0);
    take_over(0, true);
}

static void moves_to_another_promoter(void)
{
    take_over(1, false);
    sim_kill(&sim, 0);
}

static void moves_and_is_folded_from_its_genesis(void)
{
    sim_kill(&sim, 0);
    take_over(1, true);
}

/* As one that the group has given up and that does not know it yet. */
static void moves_while_the_first_one_sleeps_and_wakes(void)
{
    sim_sleep(&sim, 0, true);
    take_over(1, false);
    sim_settle(&sim, 2 * MINUTE_MS);
    sim_sleep(&sim, 0, false);
}

static void is_killed_again_and_again(void)
{
    for (int i = 0; i < 5; i++) {
        is_killed();
        sim_settle(&sim, 2 * MINUTE_MS);
    }
}

/* ---- the rule ---- */

/* Half of the time before `fate`, the rest after it. */
static void check_one(const struct clock *clock, void (*fate)(void))
{
    int64_t due_ms, at_ms;
    size_t before;

    begin(clock);
    due_ms = instant(clock);
    before = caused(clock);
    sim_settle(&sim, (due_ms - sim.now_ms) / 2);
    fate();
    sim_settle(&sim, due_ms - sim.now_ms - 1);
    if (caused(clock) != before)
        fail_msg("%s comes too early", clock->name);
    sim_settle(&sim, due_ms + LATE_MS - sim.now_ms);
    if (caused(clock) != before + 1)
        fail_msg("%s is lost, or begins anew", clock->name);
    at_ms = scene_change_ms(&scene, 0, clock->causes);
    if (at_ms < due_ms || at_ms > due_ms + LATE_MS)
        fail_msg("%s comes %lld ms after its instant", clock->name, (long long)(at_ms - due_ms));
    scene_check_states(&scene);
    end(NULL);
}

/* It comes when somebody is there again, not a whole period later. */
static void check_missed(const struct clock *clock, bool from_genesis)
{
    int64_t due_ms, back_ms, at_ms;
    size_t before;

    begin(clock);
    due_ms = instant(clock);
    before = caused(clock);
    sim_kill(&sim, 0);
    sim.now_ms = back_ms = due_ms + 10 * MINUTE_MS;
    take_over(0, from_genesis);
    sim_settle(&sim, LATE_MS);
    if (caused(clock) != before + 1)
        fail_msg("%s passed while nobody ran, and is lost", clock->name);
    at_ms = scene_change_ms(&scene, 0, clock->causes);
    if (at_ms < back_ms || at_ms > back_ms + LATE_MS)
        fail_msg("%s comes %lld ms after somebody ran", clock->name, (long long)(at_ms - back_ms));
    scene_check_states(&scene);
    end(NULL);
}

#define HOLDS_WHEN_A_PARTITION(fate)                                                               \
    static void every_clock_holds_when_a_partition_##fate(void **state)                            \
    {                                                                                              \
        (void)state;                                                                               \
        for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++)                              \
            check_one(&clocks[i], fate);                                                           \
    }
HOLDS_WHEN_A_PARTITION(is_killed)
HOLDS_WHEN_A_PARTITION(is_killed_and_folded_from_its_genesis)
HOLDS_WHEN_A_PARTITION(moves_to_another_promoter)
HOLDS_WHEN_A_PARTITION(moves_and_is_folded_from_its_genesis)
HOLDS_WHEN_A_PARTITION(moves_while_the_first_one_sleeps_and_wakes)
HOLDS_WHEN_A_PARTITION(is_killed_again_and_again)

static void what_fell_due_while_no_promoter_ran_comes_with_the_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
        check_missed(&clocks[i], false);
        check_missed(&clocks[i], true);
    }
}

#define TORN_DOWN(test) cmocka_unit_test_teardown(test, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TORN_DOWN(every_clock_holds_when_a_partition_is_killed),
        TORN_DOWN(every_clock_holds_when_a_partition_is_killed_and_folded_from_its_genesis),
        TORN_DOWN(every_clock_holds_when_a_partition_moves_to_another_promoter),
        TORN_DOWN(every_clock_holds_when_a_partition_moves_and_is_folded_from_its_genesis),
        TORN_DOWN(every_clock_holds_when_a_partition_moves_while_the_first_one_sleeps_and_wakes),
        TORN_DOWN(every_clock_holds_when_a_partition_is_killed_again_and_again),
        TORN_DOWN(what_fell_due_while_no_promoter_ran_comes_with_the_next),
    };

    log_init("test", getenv("GANTRY_LOG") ? LOG_DEBUG : LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
