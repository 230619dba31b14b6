/* A ledger that lost records, and the operator's act that begins a new epoch on it (docs/ledger.md,
 * "Genesis and epochs"), on a simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/survey.h"
#include "gantry/v1/decision.pb-c.h"
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

static struct sim_log *ledger(void)
{
    return &sim.logs[TOPIC_LEDGER][0];
}

/* Two releases have gone through, a checkpoint is written, and nothing runs. */
static void history(void)
{
    sim_start(&sim, 0);
    scene_define(&scene, scene_pipeline(0), scene_yaml);
    scene_settle(&scene);
    for (int i = 0; i < 2; i++) {
        scene_push(&scene, scene_pipeline(0));
        scene_settle(&scene);
    }
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED), 2);
    sim_kill(&sim, 0);
}

/* As retention or DeleteRecords takes them. */
static void lose_below(int64_t offset)
{
    for (int64_t i = 0; i < offset; i++)
        ledger()->items[i]->gone = true;
    ledger()->begin = offset;
}

static void lose_last(int records)
{
    for (int i = 0; i < records; i++)
        sim_drop_last(&sim, TOPIC_LEDGER, 0);
}

static void lose_snapshots(void)
{
    sim_remake(&sim, TOPIC_PROMOTER_STATE, 0);
}

static const struct partition *start(void)
{
    sim_start(&sim, 0);
    sim_settle(&sim, 5000);
    return sim_partition(&sim, 0, 0);
}

static void assert_refused(const char *text)
{
    const struct partition *p = sim_partition(&sim, 0, 0);

    assert_int_equal(p->phase, PARTITION_REFUSED);
    if (!strstr(p->reason, text) || !strstr(p->reason, "gantry topics new-epoch 0"))
        fail_msg("\"%s\" does not say \"%s\" and the command", p->reason, text);
}

/* ---- the operator ---- */

static void look(struct survey *survey)
{
    const struct sim_log *state = &sim.logs[TOPIC_PROMOTER_STATE][0];
    struct err err;

    survey_init(survey, 0, SIM_PARTITIONS, ledger()->begin, (int64_t)ledger()->count);
    for (size_t i = 0; i < state->count; i++)
        if (!state->items[i]->gone)
            survey_state(survey, state->items[i]->key, strlen(state->items[i]->key),
                         state->items[i]->value, state->items[i]->value_len);
    for (size_t i = (size_t)ledger()->begin; i < ledger()->count; i++)
        if (!ledger()->items[i]->gone)
            survey_record(survey, (int64_t)i, ledger()->items[i]->value,
                          ledger()->items[i]->value_len);
    if (survey_judge(survey, &err) < 0)
        fail_msg("%s", err.msg);
}

/* What the operator's command does; returns an enum err_code, ERR_NONE: appended. */
static int act(unsigned faults, const struct survey_numbers *numbers, bool force)
{
    struct survey survey;
    struct survey_order order = {.by = "ann",
                                 .reason = "retention was on",
                                 .now_ms = sim.now_ms,
                                 .chain_id = "0123456789abcdef0123456789abcdef",
                                 .force = force};
    struct map *given = map_new(NULL);
    int64_t ends[TOPIC_COUNT];
    struct event_meta meta;
    struct buf value;
    struct err err = {0};

    look(&survey);
    assert_int_equal(survey.faults, faults);
    if (numbers) {
        map_set(given, scene_pipeline(0), (void *)numbers);
        order.numbers = given;
    }
    for (int t = 0; t < TOPIC_COUNT; t++)
        ends[t] = (int64_t)sim.logs[t][0].count;
    order.input_ends = ends;
    buf_init(&value, EVENT_VALUE_MAX);
    if (survey_genesis(&survey, &order, &value, &meta, &err) == 0)
        sim_put_raw(&sim, TOPIC_LEDGER, 0, PARTITION_KEY, meta.id, value.data, value.len);
    buf_release(&value);
    map_free(given);
    survey_release(&survey);
    return (int)err.code;
}

/* ---- what it leads to ---- */

static Gantry__V1__Decision *decision_at(size_t offset)
{
    void *decision;

    if (ledger()->items[offset]->gone ||
        event_parse(&decision, TOPIC_LEDGER, ledger()->items[offset]->value,
                    ledger()->items[offset]->value_len, NULL) < 0)
        return NULL;
    return decision;
}

/* Releases that began in the promoter's epoch, by void records too (another promoter's of the same
 * one); *number gets the last one's. */
static size_t started(uint64_t *number)
{
    uint64_t epoch = sim_partition(&sim, 0, 0)->chain.epoch;
    uint64_t last = 0;
    size_t count = 0;

    for (size_t i = 0; i < ledger()->count; i++) {
        Gantry__V1__Decision *decision = decision_at(i);

        for (size_t k = 0; decision && decision->epoch == epoch && k < decision->n_changes; k++) {
            if (decision->changes[k]->what_case != GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED ||
                decision->changes[k]->release_started->release <= last)
                continue;
            *number = last = decision->changes[k]->release_started->release;
            count++;
        }
        event_free(decision);
    }
    return count;
}

static void restart(void)
{
    sim_kill(&sim, 0);
    start();
    scene_settle(&scene);
}

/* The promoter goes on by itself, the next push is release `number`, and so it stays after a
 * restart, and for another promoter. */
static void goes_on(uint64_t old_epoch, uint64_t next)
{
    struct partition *p = sim_partition(&sim, 0, 0);
    uint64_t number = 0, epoch;
    size_t before;

    sim_settle(&sim, 60000);
    if (p->phase != PARTITION_RUNNING)
        fail_msg("it is %s: %s", partition_phase_name(p->phase), p->reason);
    scene_settle(&scene);
    before = started(&number);
    epoch = p->chain.epoch;
    assert_true(epoch > old_epoch);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(started(&number), before + 1);
    assert_int_equal(number, next);
    restart();
    p = sim_partition(&sim, 0, 0);
    assert_int_equal(p->phase, PARTITION_RUNNING);
    assert_int_equal(p->chain.epoch, epoch);
    sim_start(&sim, 1);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_int_equal(started(&number), before + 2);
    assert_int_equal(number, next + 1);
    assert_memory_equal(sim_partition(&sim, 1, 0)->chain.head, p->chain.head, SHA256_SIZE);
    assert_int_equal(sim_partition(&sim, 1, 0)->phase, PARTITION_RUNNING);
}

static uint64_t epoch_of(size_t offset)
{
    Gantry__V1__Decision *decision = decision_at(offset);
    uint64_t epoch = decision->epoch;

    event_free(decision);
    return epoch;
}

/* ---- the beginning is missing ---- */

static void
without_its_beginning_the_ledger_goes_on_from_a_checkpoint_whose_head_is_there(void **state)
{
    uint64_t epoch;

    (void)state;
    history();
    epoch = epoch_of(0);
    lose_below(3);
    start();
    assert_refused("beginning is missing");
    assert_int_equal(act(SURVEY_BEGINNING, NULL, false), ERR_NONE);
    goes_on(epoch, 3);
    /* What is lost after the act is not what the operator knew. */
    lose_below(5);
    restart();
    assert_refused("beginning is missing");
}

static void
without_beginning_and_checkpoint_the_operator_gives_the_numbers_and_no_input_comes_twice(
    void **state)
{
    const struct survey_numbers low = {2, 9000}, right = {7, 9000};
    uint64_t epoch, number;

    (void)state;
    history();
    epoch = epoch_of(0);
    lose_below(3);
    lose_snapshots();
    start();
    assert_refused("no genesis");
    assert_int_equal(act(SURVEY_BEGINNING | SURVEY_NO_GENESIS, NULL, false), ERR_NOT_FOUND);
    assert_int_equal(act(SURVEY_BEGINNING | SURVEY_NO_GENESIS, &low, false), ERR_INVALID);
    assert_int_equal(act(SURVEY_BEGINNING | SURVEY_NO_GENESIS, &right, false), ERR_NONE);
    sim_settle(&sim, 60000);
    assert_int_equal(started(&number), 0); /* the two pushes of before stay settled */
    goes_on(epoch, 7);
    scene_check_states(&scene);
    lose_snapshots(); /* the ledger alone tells it all again */
    sim_kill(&sim, 1);
    restart();
    scene_check_states(&scene);
}

static void numbers_that_a_genesis_gave_are_in_the_snapshots_too(void **state)
{
    const struct survey_numbers numbers = {7, 1};
    uint64_t epoch;

    (void)state;
    history();
    epoch = epoch_of(0);
    lose_below((int64_t)ledger()->count);
    lose_snapshots();
    sim_remake(&sim, TOPIC_DEFINITION, 0);
    start();
    assert_refused("is empty");
    assert_int_equal(act(SURVEY_EMPTIED, &numbers, false), ERR_NONE);
    sim_settle(&sim, 120000);
    restart();
    assert_true(sim_partition(&sim, 0, 0)->checkpoint_slot >= 0);
    assert_true(sim_partition(&sim, 0, 0)->counted < 2);
    scene_define(&scene, scene_pipeline(0), scene_yaml);
    goes_on(epoch, 7);
}

/* ---- it ends early ---- */

static void after_an_early_end_the_ledger_goes_on_from_what_is_left(void **state)
{
    uint64_t epoch;

    (void)state;
    history();
    epoch = epoch_of(0);
    lose_last(3);
    start();
    assert_refused("was confirmed");
    assert_int_equal(act(SURVEY_END, NULL, false), ERR_NONE);
    goes_on(epoch, 3);
    scene_check_states(&scene);
    lose_snapshots();
    sim_kill(&sim, 1);
    restart();
    scene_check_states(&scene);
}

static void numbers_of_releases_that_were_lost_are_not_given_again(void **state)
{
    uint64_t epoch;

    (void)state;
    history();
    epoch = epoch_of(0);
    lose_last((int)ledger()->count - 2);
    sim_remake(&sim, TOPIC_SOURCE, 0); /* or the two pushes would be decided again */
    start();
    assert_refused("was confirmed");
    assert_int_equal(act(SURVEY_END, NULL, false), ERR_NONE);
    goes_on(epoch, 3);
    scene_check_states(&scene);
}

static void what_is_lost_of_the_new_epoch_is_refused_as_before(void **state)
{
    uint64_t epoch, number;

    (void)state;
    history();
    lose_last(6);
    start();
    assert_refused("was confirmed");
    assert_int_equal(act(SURVEY_END, NULL, false), ERR_NONE);
    sim_settle(&sim, 60000);
    epoch = sim_partition(&sim, 0, 0)->chain.epoch;
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    sim_kill(&sim, 0);
    lose_last(2);
    start();
    assert_refused("was confirmed");
    assert_int_equal(act(SURVEY_END, NULL, false), ERR_NONE);
    sim_settle(&sim, 60000);
    scene_settle(&scene);
    assert_int_equal(sim_partition(&sim, 0, 0)->phase, PARTITION_RUNNING);
    assert_true(sim_partition(&sim, 0, 0)->chain.epoch > epoch);
    (void)started(&number);
    scene_check_states(&scene);
}

/* ---- it was emptied ---- */

static void an_emptied_partition_begins_anew_with_the_numbers_of_its_checkpoint(void **state)
{
    uint64_t epoch, number;

    (void)state;
    history();
    epoch = epoch_of(0);
    lose_below((int64_t)ledger()->count);
    start();
    assert_refused("is empty");
    assert_int_equal(act(SURVEY_EMPTIED, NULL, false), ERR_NONE);
    sim_settle(&sim, 60000);
    assert_int_equal(started(&number), 0);
    goes_on(epoch, 3);
    scene_check_states(&scene);
}

static void a_partition_made_again_begins_anew_beyond_its_checkpoint(void **state)
{
    uint64_t epoch, number;

    (void)state;
    history();
    epoch = epoch_of(0);
    sim_remake(&sim, TOPIC_LEDGER, 0);
    start();
    assert_refused("was confirmed");
    assert_int_equal(act(SURVEY_EMPTIED | SURVEY_END, NULL, false), ERR_NONE);
    sim_settle(&sim, 60000);
    assert_int_equal(started(&number), 0);
    goes_on(epoch, 3);
    scene_check_states(&scene);
}

/* ---- promoters that run meanwhile ---- */

static void where_nothing_is_missing_nothing_is_begun(void **state)
{
    size_t records;

    (void)state;
    assert_int_equal(act(0, NULL, true), ERR_CONFLICT); /* new: the promoter's own affair */
    history();
    records = ledger()->count;
    assert_int_equal(act(0, NULL, false), ERR_CONFLICT);
    assert_int_equal(ledger()->count, records);
}

static void promoters_that_run_go_on_in_the_new_epoch(void **state)
{
    uint64_t epoch;

    (void)state;
    history();
    start();
    sim_start(&sim, 1);
    scene_settle(&scene);
    epoch = sim_partition(&sim, 0, 0)->chain.epoch;
    scene.mute = true; /* the release has to live through it */
    scene_push(&scene, scene_pipeline(0));
    sim_settle(&sim, 100);
    assert_int_equal(act(0, NULL, true), ERR_NONE);
    scene.mute = false;
    scene_settle(&scene);
    for (int i = 0; i < SIM_PROMOTERS; i++)
        assert_true(sim_partition(&sim, i, 0)->chain.epoch > epoch);
    assert_int_equal(scene_changes(&scene, 0, GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED), 3);
    scene_check(&scene);
}

static void a_promoter_that_did_not_see_the_ledger_emptied_goes_on_as_all_others(void **state)
{
    uint64_t epoch;

    (void)state;
    history();
    start();
    scene_settle(&scene);
    epoch = sim_partition(&sim, 0, 0)->chain.epoch;
    lose_below((int64_t)ledger()->count);
    assert_int_equal(act(SURVEY_EMPTIED, NULL, false), ERR_NONE);
    scene_settle(&scene);
    assert_true(sim_partition(&sim, 0, 0)->chain.epoch > epoch);
    goes_on(epoch, 3);
    scene_check_states(&scene);
}

/* A record that was on its way. */
static void land(struct sim_record *record)
{
    ledger()->items = mem_realloc(ledger()->items, ledger()->count + 1, sizeof(record));
    ledger()->items[ledger()->count++] = record;
}

/* It had not noticed, and went on and wrote a checkpoint after the operator had looked. */
static void a_promoter_that_overtook_the_operator_follows_what_the_ledger_says(void **state)
{
    struct sim_record *genesis;
    uint64_t epoch;

    (void)state;
    history();
    start();
    scene_settle(&scene);
    epoch = sim_partition(&sim, 0, 0)->chain.epoch;
    lose_below((int64_t)ledger()->count);
    assert_int_equal(act(SURVEY_EMPTIED, NULL, false), ERR_NONE);
    genesis = ledger()->items[--ledger()->count];
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    assert_true(sim_partition(&sim, 0, 0)->checkpoint_slot >= 0);
    assert_int_equal(sim_partition(&sim, 0, 0)->chain.epoch, epoch);
    land(genesis);
    scene_settle(&scene);
    assert_true(sim_partition(&sim, 0, 0)->chain.epoch > epoch);
    goes_on(epoch, 4); /* the push of before is decided again, as the third */
    scene_check_states(&scene);
}

static void of_two_operators_who_begin_anew_the_first_counts(void **state)
{
    const struct survey_numbers numbers = {9, 9000};
    struct sim_record *second;

    (void)state;
    history();
    lose_below((int64_t)ledger()->count);
    lose_snapshots();
    start();
    sim.now_ms += 5;
    assert_int_equal(act(SURVEY_EMPTIED, &numbers, false), ERR_NONE);
    /* Who looked before that was written. */
    second = ledger()->items[--ledger()->count];
    sim.now_ms -= 5;
    assert_int_equal(act(SURVEY_EMPTIED, &numbers, false), ERR_NONE);
    land(second);
    sim_settle(&sim, 60000);
    assert_int_equal(sim_partition(&sim, 0, 0)->phase, PARTITION_RUNNING);
    assert_int_equal(sim_partition(&sim, 0, 0)->chain.voided, 1);
    scene_push(&scene, scene_pipeline(0));
    scene_settle(&scene);
    restart();
    assert_int_equal(sim_partition(&sim, 0, 0)->phase, PARTITION_RUNNING);
    scene_check_states(&scene);
}

/* Operators who begin epochs for no reason, while promoters die, sleep and lose their producers. */
static void whenever_an_epoch_begins_nothing_is_skipped_or_decided_twice(void **state)
{
    uint64_t epochs = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        sim_init(&sim, seed);
        scene_init(&scene, &sim);
        sim_start(&sim, 0);
        sim_start(&sim, 1);
        scene_define(&scene, scene_pipeline(0), scene_yaml);
        sim_settle(&sim, 1000);
        for (int i = 0; i < 1500; i++) {
            uint64_t dice = sim_random(&sim, 1000);
            int who = (int)sim_random(&sim, 2);

            if (dice < 8 && scene.sources < 15)
                scene_push(&scene, scene_pipeline(0));
            else if (dice < 12)
                epochs += act(0, NULL, true) == ERR_NONE;
            else if (dice < 15)
                sim_fatal(&sim, who, true);
            else if (dice < 20)
                sim_cut(&sim, who, sim_random(&sim, 2) == 0, sim_random(&sim, 2) == 0);
            else if (dice < 24)
                sim_sleep(&sim, who, sim_random(&sim, 2) == 0);
            else if (dice < 27) {
                sim_kill(&sim, who);
                sim_start(&sim, who);
            } else if (dice < 100)
                scene_execute(&scene);
            else if (dice < 110)
                sim.now_ms += (int64_t)sim_random(&sim, 2000);
            sim_step(&sim);
        }
        for (int i = 0; i < SIM_PROMOTERS; i++) {
            sim_sleep(&sim, i, false);
            sim_cut(&sim, i, false, false);
        }
        scene_settle(&scene);
        scene_check(&scene);
        scene_release(&scene);
        sim_release(&sim);
    }
    assert_true(epochs > 25);
}

#define ON_SIM(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SIM(without_its_beginning_the_ledger_goes_on_from_a_checkpoint_whose_head_is_there),
        ON_SIM(
            without_beginning_and_checkpoint_the_operator_gives_the_numbers_and_no_input_comes_twice),
        ON_SIM(numbers_that_a_genesis_gave_are_in_the_snapshots_too),
        ON_SIM(after_an_early_end_the_ledger_goes_on_from_what_is_left),
        ON_SIM(numbers_of_releases_that_were_lost_are_not_given_again),
        ON_SIM(what_is_lost_of_the_new_epoch_is_refused_as_before),
        ON_SIM(an_emptied_partition_begins_anew_with_the_numbers_of_its_checkpoint),
        ON_SIM(a_partition_made_again_begins_anew_beyond_its_checkpoint),
        ON_SIM(where_nothing_is_missing_nothing_is_begun),
        ON_SIM(promoters_that_run_go_on_in_the_new_epoch),
        ON_SIM(a_promoter_that_did_not_see_the_ledger_emptied_goes_on_as_all_others),
        ON_SIM(a_promoter_that_overtook_the_operator_follows_what_the_ledger_says),
        ON_SIM(of_two_operators_who_begin_anew_the_first_counts),
        cmocka_unit_test(whenever_an_epoch_begins_nothing_is_skipped_or_decided_twice),
    };

    log_init("test", getenv("GANTRY_LOG") ? LOG_DEBUG : LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
