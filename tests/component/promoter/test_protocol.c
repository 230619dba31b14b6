/* The ledger's protocol (docs/ledger.md) on a simulated Kafka: what happens next is decided by a
 * seed, faults included. GANTRY_SEEDS sets how many are tried, GANTRY_SEED the first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"
#include "gantry/v1/state.pb-c.h"
#include "log/log.h"
#include "scene.h"

static struct sim sim;
static struct scene scene;

static int set_up(void **state)
{
    (void)state;
    sim_init(&sim, 1);
    scene_init(&scene, &sim);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scene_release(&scene);
    sim_release(&sim);
    return 0;
}

static void begin(void)
{
    sim_start(&sim, 0);
    scene_define(&scene, scene_pipeline(0), scene_yaml);
    scene_settle(&scene);
}

static size_t count(enum topic topic)
{
    size_t n = 0;

    for (int i = 0; i < SIM_PARTITIONS; i++)
        n += sim.logs[topic][i].count;
    return n;
}

static size_t ended(int32_t partition)
{
    return scene_changes(&scene, partition, GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED);
}

/* ---- the ordinary ---- */

static void an_empty_ledger_gets_one_genesis_a_partition(void **state)
{
    (void)state;
    sim_start(&sim, 0);
    sim_settle(&sim, 1000);
    for (int i = 0; i < SIM_PARTITIONS; i++) {
        assert_int_equal(sim.logs[TOPIC_LEDGER][i].count, 1);
        assert_true(sim_partition(&sim, 0, i)->chain.begun);
    }
}

static void a_commit_goes_through_both_stages(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(ended(0), 1);
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_ACTION_ENDED), 4);
    scene_check(&scene);
}

static void idle_leaves_one_empty_decision_and_then_nothing(void **state)
{
    size_t records;

    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    records = count(TOPIC_LEDGER);
    sim_settle(&sim, 3600000);
    assert_int_equal(count(TOPIC_LEDGER), records);
    assert_true(sim_partition(&sim, 0, 0)->chain.published_below >= (int64_t)records - 3);
}

static void a_heartbeat_makes_no_decision_but_its_position_is_recorded_when_quiet(void **state)
{
    Gantry__V1__ActionResult beat = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Progress progress = GANTRY__V1__PROGRESS__INIT;
    size_t records;

    (void)state;
    begin();
    records = sim.logs[TOPIC_LEDGER][0].count;
    beat.pipeline = (char *)scene_pipeline(0);
    beat.run_id = "00000000000000000000000000000001";
    beat.attempt = beat.number = 1;
    beat.executor = "test";
    beat.body_case = GANTRY__V1__ACTION_RESULT__BODY_PROGRESS;
    beat.progress = &progress;
    sim_put(&sim, TOPIC_RESULT_CUSTOM, -1, scene_pipeline(0), "beat", &beat);
    sim_settle(&sim, 30000);
    assert_int_equal(sim.logs[TOPIC_LEDGER][0].count, records);
    sim_settle(&sim, 60000);
    assert_int_equal(sim.logs[TOPIC_LEDGER][0].count, records + 1);
    assert_int_equal(sim_partition(&sim, 0, 0)->chain.positions[TOPIC_RESULT_CUSTOM].next_offset,
                     1);
}

/* ---- bad input ---- */

static void what_cannot_be_decoded_goes_to_deadletter_and_the_partition_goes_on(void **state)
{
    (void)state;
    begin();
    sim_put_raw(&sim, TOPIC_SOURCE, 0, scene_pipeline(0), "garbage", "\xff\xff\xff", 3);
    sim_put_raw(&sim, TOPIC_SOURCE, 0, scene_pipeline(0), NULL, "x", 1);
    sim_put_raw(&sim, TOPIC_SOURCE, 0, "", "empty", "", 0);
    const char *id = scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(count(TOPIC_DEADLETTER), 3);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
    assert_int_equal(ended(0), 1);
    assert_int_equal(sim_partition(&sim, 0, 0)->chain.positions[TOPIC_SOURCE].next_offset, 4);
}

static void a_misplaced_source_is_produced_again_to_its_partition_with_its_id(void **state)
{
    Gantry__V1__SourceChanged message = GANTRY__V1__SOURCE_CHANGED__INIT;

    (void)state;
    begin();
    message.pipeline = (char *)scene_pipeline(0);
    message.source = "app";
    message.git = "https://git.example/app.git";
    message.ref = "refs/heads/main";
    message.after = "0123456789012345678901234567890123456789";
    message.reported_by = "poll";
    sim_put(&sim, TOPIC_SOURCE, 1, scene_pipeline(0), "misplaced", &message);
    scene_settle(&scene);
    assert_int_equal(sim.logs[TOPIC_SOURCE][0].count, 1);
    assert_int_equal(scene_caused(&scene, 0, "misplaced"), 1);
    assert_int_equal(scene_caused(&scene, 1, "misplaced"), 0);
    assert_int_equal(count(TOPIC_DEADLETTER), 0);
}

static void a_misplaced_command_goes_to_deadletter(void **state)
{
    (void)state;
    begin();
    scene_start_release(&scene, scene_pipeline(0), scene_yaml);
    /* the same bytes in the other partition */
    struct sim_record *record = sim.logs[TOPIC_COMMAND][0].items[0];
    sim_put_raw(&sim, TOPIC_COMMAND, 1, record->key, "other", record->value, record->value_len);
    scene_settle(&scene);
    assert_int_equal(count(TOPIC_DEADLETTER), 1);
    assert_int_equal(scene_caused(&scene, 1, "other"), 0);
}

static void a_definition_that_does_not_parse_is_ignored_and_the_old_one_stays(void **state)
{
    (void)state;
    begin();
    scene_define(&scene, scene_pipeline(0), "kind: Pipeline\nmetadata: {name: NAME}\nspec: {}\n");
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN), 1);
    assert_int_equal(ended(0), 1);
    assert_int_equal(count(TOPIC_DEADLETTER), 0);
}

static void a_copy_of_a_command_changes_nothing(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    const char *id = scene_start_release(&scene, scene_pipeline(0), scene_yaml);
    struct sim_record *record = sim.logs[TOPIC_COMMAND][0].items[0];
    sim_put_raw(&sim, TOPIC_COMMAND, 0, record->key, id, record->value, record->value_len);
    scene_settle(&scene);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
    assert_int_equal(ended(0), 2);
}

static void a_command_waits_for_the_definition_that_it_names(void **state)
{
    static const char newer[] =
        "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: NAME}\nspec:\n"
        "  sources: [{name: app, git: https://git.example/app.git, branches: [main]}]\n"
        "  stages: [{name: only, steps: [{custom/noop: {name: a}}]}]\n";

    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    /* The command is read first; its definition comes while the end is being asked for. */
    const char *id = scene_start_release(&scene, scene_pipeline(0), newer);
    for (int i = 0; i < 200 && !sim_partition(&sim, 0, 0)->command.on; i++)
        sim_step(&sim);
    assert_true(sim_partition(&sim, 0, 0)->command.on);
    scene_define(&scene, scene_pipeline(0), newer);
    scene_settle(&scene);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_COMMAND_REFUSED), 0);
    assert_int_equal(ended(0), 2);
}

static void a_command_for_a_definition_never_taken_is_refused(void **state)
{
    (void)state;
    begin();
    const char *id =
        scene_start_release(&scene, scene_pipeline(0), "kind: Pipeline # NAME, never applied");
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_COMMAND_REFUSED), 1);
    assert_int_equal(ended(0), 1);
}

/* ---- the clock ---- */

static void a_result_that_waits_in_kafka_counts_however_late_the_timeout_is_noticed(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, 1000);
    assert_true(scene_execute(&scene)); /* the result waits in Kafka ... */
    sim_kill(&sim, 0);
    sim.now_ms += 3600000; /* ... for an hour: its time-out was two minutes */
    sim.withheld = TOPIC_RESULT_CUSTOM;
    sim_start(&sim, 0);
    sim_settle(&sim, 60000);
    assert_int_equal(ended(0), 0);
    sim.withheld = TOPIC_COUNT;
    scene_settle(&scene);
    assert_int_equal(ended(0), 1);
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_ACTION_ENDED), 4);
    scene_check(&scene);
}

static void an_action_without_a_result_times_out(void **state)
{
    (void)state;
    begin();
    scene.mute = true;
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_settle(&sim, 300000);
    assert_int_equal(ended(0), 1);
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_ACTION_ENDED), 1);
    scene.mute = false;
    scene_settle(&scene);
    scene_check(&scene);
}

static void with_a_clock_that_is_off_nothing_is_decided_by_it(void **state)
{
    (void)state;
    begin();
    scene.mute = true;
    scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, 1000);
    sim.skew_ms = 3600000;
    sim_settle(&sim, 300000);
    assert_int_equal(ended(0), 0);
    assert_false(sim_partition(&sim, 0, 0)->clock.clock_ok);
    sim.skew_ms = 0;
    sim_settle(&sim, 600000);
    assert_int_equal(ended(0), 1);
}

/* ---- restoring ---- */

static void a_restart_uses_the_checkpoint_and_publishes_nothing_twice(void **state)
{
    size_t events;

    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    events = count(TOPIC_EVENT);
    sim_kill(&sim, 0);
    sim_start(&sim, 0);
    scene_settle(&scene);
    assert_int_equal(count(TOPIC_EVENT), events);
    assert_true(sim_partition(&sim, 0, 0)->checkpoint_slot >= 0);
    assert_true(sim_partition(&sim, 0, 0)->counted <= 1);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(ended(0), 2);
    scene_check(&scene);
}

static void without_snapshots_the_ledger_alone_restores_everything(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_kill(&sim, 0);
    for (int i = 0; i < SIM_PARTITIONS; i++)
        sim_remake(&sim, TOPIC_PROMOTER_STATE, i);
    sim_start(&sim, 0);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(ended(0), 2);
    scene_check(&scene);
}

/* Hides every record of promoter.state that `which` chooses. */
static void hide_state(bool (*which)(const struct sim_record *record, size_t offset))
{
    for (int i = 0; i < SIM_PARTITIONS; i++) {
        struct sim_log *log = &sim.logs[TOPIC_PROMOTER_STATE][i];

        for (size_t k = 0; k < log->count; k++)
            if (which(log->items[k], k))
                log->items[k]->gone = true;
    }
}

static bool newest_checkpoints(const struct sim_record *record, size_t offset)
{
    return offset > 2 && str_starts(record->key, "@checkpoint/");
}

static void a_checkpoint_older_than_its_snapshots_is_not_used(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 4; i++) {
        scene_push(&scene, scene_pipeline(0));
        scene_settle(&scene);
    }
    sim_kill(&sim, 0);
    hide_state(newest_checkpoints);
    sim_start(&sim, 0);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(ended(0), 5);
    scene_check(&scene);
}

static void without_its_newest_checkpoint_the_one_before_is_used(void **state)
{
    struct sim_log *log = &sim.logs[TOPIC_PROMOTER_STATE][0];
    size_t newest = 0;

    (void)state;
    begin();
    for (int i = 0; i < 4; i++) {
        scene_push(&scene, scene_pipeline(0));
        scene_settle(&scene);
    }
    sim_kill(&sim, 0);
    for (size_t i = 0; i < log->count; i++)
        if (str_starts(log->items[i]->key, "@checkpoint/"))
            newest = i;
    log->items[newest]->gone = true;
    sim_start(&sim, 0);
    sim_settle(&sim, 100);
    assert_true(sim_partition(&sim, 0, 0)->checkpoint_slot >= 0);
    assert_true(sim_partition(&sim, 0, 0)->counted < sim.logs[TOPIC_LEDGER][0].count / 2);
    scene_settle(&scene);
    scene_check(&scene);
}

static void a_snapshot_that_holds_something_else_is_not_used(void **state)
{
    struct sim_log *log = &sim.logs[TOPIC_PROMOTER_STATE][0];

    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_kill(&sim, 0);
    for (size_t i = 0, last = log->count; i < last; i++) {
        struct sim_record *record = log->items[i];
        Gantry__V1__PromoterState *message;

        if (event_unpack((void **)&message, TOPIC_PROMOTER_STATE, record->value, record->value_len,
                         NULL) < 0)
            fail();
        if (message->what_case == GANTRY__V1__PROMOTER_STATE__WHAT_SNAPSHOT) {
            message->snapshot->state.len /= 2;
            sim_put(&sim, TOPIC_PROMOTER_STATE, 0, record->key, "x", message);
            record->gone = true;
            message->snapshot->state.len *= 2;
        }
        event_free(message);
    }
    sim_start(&sim, 0);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(ended(0), 2);
    scene_check(&scene);
}

static void a_checkpoint_whose_head_the_ledger_no_longer_has_is_not_used(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_kill(&sim, 0);
    /* An unclean election: the tail is gone, and others have written since. */
    for (int i = 0; i < 5; i++)
        sim_drop_last(&sim, TOPIC_LEDGER, 0);
    for (int i = 0; i < 8; i++)
        sim_put_raw(&sim, TOPIC_LEDGER, 0, "x", "x", "junk", 4);
    sim_start(&sim, 0);
    scene_settle(&scene);
    const char *id = scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(scene_check_chain(&scene, 0), 8);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
}

static void a_topic_made_again_is_read_from_its_beginning(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++)
        scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_kill(&sim, 0);
    sim_remake(&sim, TOPIC_SOURCE, 0);
    const char *id = scene_push(&scene, scene_pipeline(0));
    sim_start(&sim, 0);
    scene_settle(&scene);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
    assert_int_equal(sim_partition(&sim, 0, 0)->chain.positions[TOPIC_SOURCE].next_offset, 1);

    /* As long as before, so that only its last settled record tells. */
    sim_kill(&sim, 0);
    sim_remake(&sim, TOPIC_SOURCE, 0);
    for (int i = 0; i < 3; i++)
        id = scene_push(&scene, scene_pipeline(0));
    sim_start(&sim, 0);
    scene_settle(&scene);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
    assert_int_equal(sim_partition(&sim, 0, 0)->chain.positions[TOPIC_SOURCE].next_offset, 3);
    scene_check_chain(&scene, 0);
}

static void what_retention_took_leaves_the_position_where_it_is(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_kill(&sim, 0);
    sim.logs[TOPIC_SOURCE][0].items[0]->gone = true;
    sim.logs[TOPIC_SOURCE][0].begin = 1;
    sim_start(&sim, 0);
    scene_settle(&scene);
    const char *id = scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
    assert_int_equal(ended(0), 2);
    assert_int_equal(sim_partition(&sim, 0, 0)->chain.positions[TOPIC_SOURCE].next_offset, 2);
}

/* ---- refusals ---- */

static void assert_refused(const char *text)
{
    const struct partition *p = sim_partition(&sim, 0, 0);

    assert_int_equal(p->phase, PARTITION_REFUSED);
    if (!strstr(p->reason, text))
        fail_msg("\"%s\" does not say \"%s\"", p->reason, text);
}

static void restart(void)
{
    sim_kill(&sim, 0);
    sim_start(&sim, 0);
    sim_settle(&sim, 5000);
}

static void a_missing_beginning_is_refused(void **state)
{
    (void)state;
    begin();
    sim.logs[TOPIC_LEDGER][0].begin = 1;
    sim.logs[TOPIC_LEDGER][0].items[0]->gone = true;
    restart();
    assert_refused("beginning is missing");
    assert_int_equal(sim_partition(&sim, 0, 1)->phase, PARTITION_RUNNING);
}

static void a_ledger_that_ends_before_what_was_confirmed_is_refused(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_kill(&sim, 0);
    struct sim_log *ledger = &sim.logs[TOPIC_LEDGER][0];
    ledger->count -= 3;
    sim_start(&sim, 0);
    sim_settle(&sim, 5000);
    assert_refused("was confirmed");
    ledger->count += 3;
    sim_settle(&sim, 60000); /* put right again, it goes on by itself */
    assert_int_equal(sim_partition(&sim, 0, 0)->phase, PARTITION_RUNNING);
}

static void an_emptied_ledger_is_refused(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_kill(&sim, 0);
    sim_remake(&sim, TOPIC_LEDGER, 0);
    sim_start(&sim, 0);
    sim_settle(&sim, 5000);
    assert_refused("was confirmed");
    assert_int_equal(sim.logs[TOPIC_LEDGER][0].count, 0);
}

static void records_without_a_genesis_are_refused(void **state)
{
    (void)state;
    sim_put_raw(&sim, TOPIC_LEDGER, 0, "x", "x", "junk", 4);
    sim_start(&sim, 0);
    sim_settle(&sim, 5000);
    assert_refused("no genesis");
    assert_int_equal(sim.logs[TOPIC_LEDGER][0].count, 1);
}

static void junk_in_the_ledger_is_void(void **state)
{
    (void)state;
    begin();
    sim_put_raw(&sim, TOPIC_LEDGER, 0, "x", "x", "junk", 4);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(ended(0), 1);
    assert_int_equal(scene_check_chain(&scene, 0), 1);
}

static void an_append_that_is_refused_stops_the_partition_until_it_may(void **state)
{
    (void)state;
    begin();
    sim.refuses = TOPIC_LEDGER;
    const char *id = scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, 1000);
    assert_refused("cannot be appended");
    sim.refuses = TOPIC_COUNT;
    scene_settle(&scene);
    assert_int_equal(scene_caused(&scene, 0, id), 1);
    scene_check(&scene);
}

static void
an_input_whose_decision_is_too_large_goes_to_deadletter_and_the_rest_goes_on(void **state)
{
    size_t len = strlen(scene_yaml), size = 256 * 1024 - 8;
    char *large = mem_alloc(size + 1);

    (void)state;
    begin();
    memcpy(large, scene_yaml, len);
    memset(large + len, '#', size - len);
    sim.value_max = 256 * 1024;
    scene_define(&scene, scene_pipeline(0), large);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(count(TOPIC_DEADLETTER), 1);
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN), 1);
    assert_int_equal(ended(0), 1);
    free(large);
}

/* ---- publishing ---- */

static void publishing_that_is_refused_stops_says_so_and_goes_on_when_it_may(void **state)
{
    (void)state;
    begin();
    sim.refuses = TOPIC_EVENT;
    scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, 1000);
    assert_true(sim_partition(&sim, 0, 0)->publish_error[0]);
    int64_t below = sim_partition(&sim, 0, 0)->published_below;
    sim_settle(&sim, 10000);
    assert_int_equal(sim_partition(&sim, 0, 0)->published_below, below);
    sim.refuses = TOPIC_COUNT;
    scene_settle(&scene);
    assert_false(sim_partition(&sim, 0, 0)->publish_error[0]);
    assert_int_equal(ended(0), 1);
    scene_check(&scene);
}

static bool has_trace_of(const struct sim_record *record, const char *trace)
{
    for (size_t i = 0; i < record->header_count; i++)
        if (str_eq(record->headers[i].name, "traceparent") && record->headers[i].len > 35)
            return memcmp(record->headers[i].value, trace, 35) == 0;
    return false;
}

static void all_that_a_record_causes_has_its_trace(void **state)
{
    char trace[EVENT_TRACEPARENT_SIZE];
    size_t events, requests;

    (void)state;
    begin();
    events = sim.logs[TOPIC_EVENT][0].count;
    scene.mute = true;
    event_trace_of(trace, "", scene_push(&scene, scene_pipeline(0)));
    sim_settle(&sim, 1000);
    assert_true(sim.logs[TOPIC_EVENT][0].count > events);
    for (; events < sim.logs[TOPIC_EVENT][0].count; events++)
        assert_true(has_trace_of(sim.logs[TOPIC_EVENT][0].items[events], trace));
    requests = 0;
    for (int p = 0; p < SIM_PARTITIONS; p++)
        for (size_t i = 0; i < sim.logs[TOPIC_REQUEST_CUSTOM][p].count; i++)
            requests += has_trace_of(sim.logs[TOPIC_REQUEST_CUSTOM][p].items[i], trace);
    assert_int_equal(requests, 1);
}

/* ---- the speculation ---- */

static void after_an_unknown_outcome_nothing_is_stepped_until_the_ledgers_end_is_known(void **state)
{
    size_t records;

    (void)state;
    begin();
    sim_cut(&sim, 0, true, true);
    scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, 50);
    assert_true(sim_partition(&sim, 0, 0)->in_flight > 0);
    sim.ends_fail = true;
    sim_fatal(&sim, 0, true);
    sim_cut(&sim, 0, false, false);
    sim_settle(&sim, 5000);
    records = sim.logs[TOPIC_LEDGER][0].count;
    sim_settle(&sim, 5000);
    assert_int_equal(sim_partition(&sim, 0, 0)->phase, PARTITION_REREADING);
    assert_int_equal(sim.logs[TOPIC_LEDGER][0].count, records);
    sim.ends_fail = false;
    scene_settle(&scene);
    assert_int_equal(ended(0), 1);
    scene_check(&scene);
}

static void after_a_drop_nothing_is_stepped_until_each_appends_fate_is_known(void **state)
{
    (void)state;
    begin();
    sim_cut(&sim, 0, true, true);
    scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, 50);
    assert_true(sim_partition(&sim, 0, 0)->in_flight > 0);
    sim_start(&sim, 1); /* decides the same, and then more */
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(ended(0), 2);
    assert_int_equal(sim_partition(&sim, 0, 0)->phase, PARTITION_REREADING);
    assert_int_equal(sim_partition(&sim, 0, 0)->in_flight, 0);
    sim_cut(&sim, 0, false, true); /* what was on its way lands: void */
    sim_settle(&sim, 1000);
    assert_int_equal(sim_partition(&sim, 0, 0)->phase, PARTITION_REREADING);
    sim_cut(&sim, 0, false, false);
    scene_settle(&scene);
    assert_int_equal(sim_partition(&sim, 0, 0)->phase, PARTITION_RUNNING);
    assert_true(scene_check_chain(&scene, 0) > 0);
    scene_check(&scene);
}

/* ---- two that own a partition, and all kinds of death ---- */

static void one_that_slept_makes_no_second_history(void **state)
{
    (void)state;
    begin();
    scene_push(&scene, scene_pipeline(0));
    for (int i = 0; i < 40; i++)
        sim_step(&sim);
    sim_cut(&sim, 0, true, true); /* appended, but on its way */
    scene_push(&scene, scene_pipeline(0));
    for (int i = 0; i < 40; i++)
        sim_step(&sim);
    sim_sleep(&sim, 0, true);
    sim_start(&sim, 1);
    scene_settle(&scene);
    assert_int_equal(ended(0), 2);
    sim_sleep(&sim, 0, false);
    sim_cut(&sim, 0, false, false);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_true(scene_check_chain(&scene, 0) > 0);
    assert_int_equal(ended(0), 3);
    scene_check(&scene);
}

static void happen(struct scene *s, bool two)
{
    uint64_t dice = sim_random(s->sim, 1000);
    int who = (int)sim_random(s->sim, two ? 2 : 1);
    const char *pipeline = scene_pipeline((int32_t)sim_random(s->sim, SIM_PARTITIONS));

    if (!sim_running(s->sim, who)) {
        if (dice < 100)
            sim_start(s->sim, who);
    } else if (dice < 4) {
        sim_fatal(s->sim, who, true);
    } else if (dice < 7) {
        sim_fatal(s->sim, who, false);
    } else if (dice < 9) {
        sim_kill(s->sim, who);
    } else if (dice < 15) {
        sim_sleep(s->sim, who, sim_random(s->sim, 2) == 0);
    } else if (dice < 20) {
        sim_cut(s->sim, who, sim_random(s->sim, 2) == 0, sim_random(s->sim, 2) == 0);
    } else if (dice < 24) {
        s->sim->ends_fail = sim_random(s->sim, 2) == 0;
    }
    if (dice >= 25 && dice < 30 && s->bad < 6)
        scene_push_garbage(s, pipeline);
    else if (dice >= 30 && dice < 50 && s->sources < 25)
        scene_push(s, pipeline);
    else if (dice >= 50 && dice < 60 && s->commands < 8)
        scene_start_release(s, pipeline, scene_yaml);
    else if (dice >= 60 && dice < 160)
        scene_execute(s);
    else if (dice >= 160 && dice < 200)
        s->sim->now_ms += (int64_t)sim_random(s->sim, 2000);
}

static void calm(struct scene *s)
{
    s->sim->ends_fail = false;
    for (int i = 0; i < SIM_PROMOTERS; i++) {
        if (!sim_running(s->sim, i))
            continue;
        sim_sleep(s->sim, i, false);
        sim_cut(s->sim, i, false, false);
    }
    if (!sim_running(s->sim, 0))
        sim_start(s->sim, 0);
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value;

    return text && str_to_u64(text, &value) == 0 ? value : otherwise;
}

static void try_seed(uint64_t seed, bool two, uint64_t *voids)
{
    sim_init(&sim, seed);
    scene_init(&scene, &sim);
    sim_start(&sim, 0);
    if (two)
        sim_start(&sim, 1);
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        scene_define(&scene, scene_pipeline(i), scene_yaml);
    for (int i = 0; i < 2500; i++) {
        happen(&scene, two);
        sim_step(&sim);
    }
    calm(&scene);
    scene_settle(&scene);
    scene_check(&scene);
    for (int32_t i = 0; i < SIM_PARTITIONS; i++)
        *voids += scene_check_chain(&scene, i);
    scene_release(&scene);
    sim_release(&sim);
}

static uint64_t seed_now; /* for the debugger and the report of a failure */

static void tell_seed(void)
{
    if (seed_now)
        fprintf(stderr, "GANTRY_SEED=%llu fails\n", (unsigned long long)seed_now);
}

static void try_seeds(bool two)
{
    uint64_t first = env_number("GANTRY_SEED", 1), seeds = env_number("GANTRY_SEEDS", 40);
    uint64_t voids = 0;

    for (uint64_t seed = first; seed < first + seeds; seed++) {
        seed_now = seed;
        try_seed(seed, two, &voids);
    }
    seed_now = 0;
    printf("%llu void records in %llu runs\n", (unsigned long long)voids,
           (unsigned long long)seeds);
}

static void whatever_dies_or_is_lost_nothing_is_skipped_or_decided_twice(void **state)
{
    (void)state;
    try_seeds(false);
}

static void two_that_both_own_every_partition_make_one_history(void **state)
{
    (void)state;
    try_seeds(true);
}

#define ON_SIM(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SIM(an_empty_ledger_gets_one_genesis_a_partition),
        ON_SIM(a_commit_goes_through_both_stages),
        ON_SIM(idle_leaves_one_empty_decision_and_then_nothing),
        ON_SIM(a_heartbeat_makes_no_decision_but_its_position_is_recorded_when_quiet),
        ON_SIM(what_cannot_be_decoded_goes_to_deadletter_and_the_partition_goes_on),
        ON_SIM(a_misplaced_source_is_produced_again_to_its_partition_with_its_id),
        ON_SIM(a_misplaced_command_goes_to_deadletter),
        ON_SIM(a_definition_that_does_not_parse_is_ignored_and_the_old_one_stays),
        ON_SIM(a_copy_of_a_command_changes_nothing),
        ON_SIM(a_command_waits_for_the_definition_that_it_names),
        ON_SIM(a_command_for_a_definition_never_taken_is_refused),
        ON_SIM(a_result_that_waits_in_kafka_counts_however_late_the_timeout_is_noticed),
        ON_SIM(an_action_without_a_result_times_out),
        ON_SIM(with_a_clock_that_is_off_nothing_is_decided_by_it),
        ON_SIM(a_restart_uses_the_checkpoint_and_publishes_nothing_twice),
        ON_SIM(without_snapshots_the_ledger_alone_restores_everything),
        ON_SIM(a_checkpoint_older_than_its_snapshots_is_not_used),
        ON_SIM(without_its_newest_checkpoint_the_one_before_is_used),
        ON_SIM(a_snapshot_that_holds_something_else_is_not_used),
        ON_SIM(a_checkpoint_whose_head_the_ledger_no_longer_has_is_not_used),
        ON_SIM(a_topic_made_again_is_read_from_its_beginning),
        ON_SIM(what_retention_took_leaves_the_position_where_it_is),
        ON_SIM(a_missing_beginning_is_refused),
        ON_SIM(a_ledger_that_ends_before_what_was_confirmed_is_refused),
        ON_SIM(an_emptied_ledger_is_refused),
        ON_SIM(records_without_a_genesis_are_refused),
        ON_SIM(junk_in_the_ledger_is_void),
        ON_SIM(an_append_that_is_refused_stops_the_partition_until_it_may),
        ON_SIM(an_input_whose_decision_is_too_large_goes_to_deadletter_and_the_rest_goes_on),
        ON_SIM(publishing_that_is_refused_stops_says_so_and_goes_on_when_it_may),
        ON_SIM(all_that_a_record_causes_has_its_trace),
        ON_SIM(after_an_unknown_outcome_nothing_is_stepped_until_the_ledgers_end_is_known),
        ON_SIM(after_a_drop_nothing_is_stepped_until_each_appends_fate_is_known),
        ON_SIM(one_that_slept_makes_no_second_history),
        cmocka_unit_test(whatever_dies_or_is_lost_nothing_is_skipped_or_decided_twice),
        cmocka_unit_test(two_that_both_own_every_partition_make_one_history),
    };

    atexit(tell_seed);
    log_init("test", getenv("GANTRY_LOG") ? LOG_DEBUG : LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
