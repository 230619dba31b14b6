/* docs/ledger.md: which records of a ledger partition count. */
#include "../unit.h"

#include "engine/chain.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"

#define EPOCH 1700000000000ULL

/* A ledger in memory: records are appended whether they count or not. */
struct ledger {
    struct chain chain;
    int64_t end;
    struct err err;
};

struct record {
    Gantry__V1__Decision decision;
    Gantry__V1__Cause cause;
    Gantry__V1__Change change, *changes[1];
    Gantry__V1__Genesis genesis;
    Gantry__V1__Position position, *positions[1];
    Gantry__V1__CommandTaken taken;
};

static struct record *record(struct record *r, const struct chain *chain)
{
    memset(r, 0, sizeof(*r));
    gantry__v1__decision__init(&r->decision);
    gantry__v1__cause__init(&r->cause);
    gantry__v1__change__init(&r->change);
    gantry__v1__genesis__init(&r->genesis);
    gantry__v1__position__init(&r->position);
    gantry__v1__command_taken__init(&r->taken);
    r->cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_INPUT;
    r->changes[0] = &r->change;
    r->positions[0] = &r->position;
    r->decision.cause = &r->cause;
    r->decision.epoch = chain->begun ? chain->epoch : EPOCH;
    r->decision.time_ms = chain->time_ms ? chain->time_ms : (int64_t)EPOCH;
    r->decision.changes = r->changes;
    r->decision.positions = r->positions;
    if (chain->begun) {
        r->decision.previous.data = (uint8_t *)chain->head;
        r->decision.previous.len = SHA256_SIZE;
    }
    return r;
}

static struct record *genesis(struct record *r, const struct chain *chain, uint64_t epoch)
{
    record(r, chain);
    r->decision.n_changes = 1;
    r->decision.epoch = r->genesis.epoch = epoch;
    r->genesis.chain_id = "0123456789abcdef0123456789abcdef";
    r->genesis.partition = 3;
    r->genesis.partition_count = 12;
    r->change.what_case = GANTRY__V1__CHANGE__WHAT_GENESIS;
    r->change.genesis = &r->genesis;
    return r;
}

static struct record *position(struct record *r, const struct chain *chain, int64_t next_offset)
{
    record(r, chain);
    r->decision.n_positions = 1;
    r->position.topic = "source";
    r->position.next_offset = next_offset;
    r->position.settled_offset = next_offset - 1;
    r->position.settled_ce_id = "abc";
    return r;
}

/* -1: the reader stops; else the verdict. */
static int append(struct ledger *l, const struct record *r)
{
    struct buf value;
    enum chain_verdict verdict;
    buf_init(&value, EVENT_VALUE_MAX);
    assert_int_equal(event_pack(&value, &r->decision, &l->err), 0);
    int result =
        chain_fold(&l->chain, value.data, value.len, &r->decision, l->end++, &verdict, &l->err);
    buf_release(&value);
    return result < 0 ? -1 : (int)verdict;
}

static void begin(struct ledger *l)
{
    struct record r;
    memset(l, 0, sizeof(*l));
    chain_init(&l->chain);
    assert_int_equal(append(l, genesis(&r, &l->chain, EPOCH)), CHAIN_COUNTS);
}

static void a_record_counts_if_it_extends_the_last_that_counted(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    assert_int_equal(l.chain.epoch, EPOCH);
    assert_int_equal(l.chain.partition, 3);
    assert_int_equal(append(&l, position(&r, &l.chain, 5)), CHAIN_COUNTS);
    assert_int_equal(l.chain.head_offset, 1);
    assert_int_equal(l.chain.positions[TOPIC_SOURCE].next_offset, 5);
    assert_string_equal(l.chain.positions[TOPIC_SOURCE].settled_ce_id, "abc");
    assert_false(l.chain.positions[TOPIC_COMMAND].known);
}

static void a_record_that_extends_anything_else_is_void_and_changes_nothing(void **unused)
{
    struct ledger l;
    struct record late, r;
    struct chain before;
    (void)unused;
    begin(&l);
    uint8_t old[SHA256_SIZE];
    memcpy(old, l.chain.head, sizeof(old));
    assert_int_equal(append(&l, position(&r, &l.chain, 5)), CHAIN_COUNTS);
    before = l.chain;
    position(&late, &l.chain, 9);
    late.decision.previous.data = old;
    assert_int_equal(append(&l, &late), CHAIN_VOID);
    late.decision.previous.len = 0;
    assert_int_equal(append(&l, &late), CHAIN_VOID);
    before.voided = 2;
    assert_memory_equal(&before, &l.chain, sizeof(before));
}

static void before_a_genesis_nothing_counts(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    memset(&l, 0, sizeof(l));
    chain_init(&l.chain);
    assert_int_equal(append(&l, position(&r, &l.chain, 5)), CHAIN_VOID);
    assert_int_equal(append(&l, genesis(&r, &l.chain, EPOCH)), CHAIN_COUNTS);
    assert_int_equal(append(&l, genesis(&r, &(struct chain){0}, EPOCH + 1)), CHAIN_VOID);
}

static void an_operators_genesis_begins_an_epoch_and_keeps_positions(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    assert_int_equal(append(&l, position(&r, &l.chain, 5)), CHAIN_COUNTS);
    genesis(&r, &l.chain, EPOCH + 7);
    r.genesis.operator_ = "ann";
    assert_int_equal(append(&l, &r), CHAIN_COUNTS);
    assert_int_equal(l.chain.epoch, EPOCH + 7);
    assert_int_equal(l.chain.positions[TOPIC_SOURCE].next_offset, 5);
}

static void a_genesis_that_does_not_fit_stops_the_reader(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    assert_int_equal(append(&l, genesis(&r, &l.chain, EPOCH + 1)), -1); /* names no operator */
    genesis(&r, &l.chain, EPOCH);
    r.genesis.operator_ = "ann";
    assert_int_equal(append(&l, &r), -1);
    genesis(&r, &l.chain, EPOCH + 1);
    r.genesis.operator_ = "ann";
    r.genesis.partition_count = 24;
    assert_int_equal(append(&l, &r), -1);
    genesis(&r, &l.chain, EPOCH + 1);
    r.genesis.operator_ = "ann";
    r.genesis.partition = 4;
    assert_int_equal(append(&l, &r), -1);
}

static void positions_and_time_never_go_back(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    assert_int_equal(append(&l, position(&r, &l.chain, 5)), CHAIN_COUNTS);
    assert_int_equal(append(&l, position(&r, &l.chain, 5)), CHAIN_COUNTS);
    assert_int_equal(append(&l, position(&r, &l.chain, 4)), -1);
    position(&r, &l.chain, 6);
    r.decision.time_ms--;
    assert_int_equal(append(&l, &r), -1);
}

static void positions_of_a_topic_made_again_begin_anew(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    assert_int_equal(append(&l, position(&r, &l.chain, 5)), CHAIN_COUNTS);
    position(&r, &l.chain, 1);
    r.position.remade = true;
    assert_int_equal(append(&l, &r), CHAIN_COUNTS);
    assert_int_equal(l.chain.positions[TOPIC_SOURCE].next_offset, 1);
}

static void the_watermark_is_the_highest_of_all(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    record(&r, &l.chain)->decision.published_below = 9;
    assert_int_equal(append(&l, &r), CHAIN_COUNTS);
    record(&r, &l.chain)->decision.published_below = 4;
    assert_int_equal(append(&l, &r), CHAIN_COUNTS);
    assert_int_equal(l.chain.published_below, 9);
}

static void what_this_version_does_not_know_stops_the_reader_and_is_never_void(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    record(&r, &l.chain);
    r.decision.pipeline = "shop";
    r.decision.sequence = 1;
    r.decision.n_changes = 1; /* a change of no kind known */
    assert_int_equal(append(&l, &r), -1);
    assert_int_equal(l.err.code, ERR_FATAL);
    position(&r, &l.chain, 5);
    r.position.topic = "tomorrow";
    assert_int_equal(append(&l, &r), -1);
    /* Where it extends nothing, it need not be understood. */
    r.decision.previous.len = 0;
    assert_int_equal(append(&l, &r), CHAIN_VOID);
}

static void a_decision_of_another_epoch_or_without_a_pipeline_stops_the_reader(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    record(&r, &l.chain)->decision.epoch++;
    assert_int_equal(append(&l, &r), -1);
    record(&r, &l.chain);
    r.decision.n_changes = 1;
    r.change.what_case = GANTRY__V1__CHANGE__WHAT_COMMAND_TAKEN;
    r.change.command_taken = &r.taken;
    assert_int_equal(append(&l, &r), -1);
}

static void
an_operators_genesis_from_nothing_is_void_where_there_is_a_chain_and_is_noticed(void **unused)
{
    struct ledger l;
    struct record r;
    (void)unused;
    begin(&l);
    genesis(&r, &(struct chain){0}, EPOCH + 7);
    assert_false(chain_begins_anew(&l.chain, &r.decision)); /* names no operator */
    r.genesis.operator_ = "ann";
    assert_int_equal(append(&l, &r), CHAIN_VOID);
    assert_true(chain_begins_anew(&l.chain, &r.decision));
    r.genesis.epoch = EPOCH; /* one that this chain has left behind */
    assert_false(chain_begins_anew(&l.chain, &r.decision));
    r.genesis.epoch = EPOCH + 7;
    r.decision.previous.data = l.chain.head;
    r.decision.previous.len = SHA256_SIZE;
    assert_false(chain_begins_anew(&l.chain, &r.decision));
    r.genesis.begins_at = 5;
    chain_init(&l.chain);
    r.decision.previous.len = 0;
    assert_int_equal(append(&l, &r), CHAIN_COUNTS);
}

static void what_an_operator_did_not_know_of_is_not_excused(void **unused)
{
    struct record r;
    (void)unused;
    genesis(&r, &(struct chain){0}, EPOCH + 7);
    r.genesis.begins_at = 5;
    r.genesis.supersedes_offset = 80;
    assert_true(chain_knows_beginning(&r.genesis, 0));
    assert_false(chain_knows_beginning(&r.genesis, 5)); /* nobody ordered it */
    assert_false(chain_supersedes(&r.genesis, EPOCH, 80));
    r.genesis.operator_ = "ann";
    assert_true(chain_knows_beginning(&r.genesis, 5));
    assert_false(chain_knows_beginning(&r.genesis, 6));
    assert_true(chain_supersedes(&r.genesis, EPOCH, 80));
    assert_false(chain_supersedes(&r.genesis, EPOCH, 81));
    assert_false(chain_supersedes(&r.genesis, EPOCH + 7, 60)); /* lost of the new epoch itself */
}

static void numbers_that_cannot_be_stop_the_reader(void **unused)
{
    struct ledger l;
    struct record r;
    Gantry__V1__PipelineNumbers numbers = GANTRY__V1__PIPELINE_NUMBERS__INIT, *list[] = {&numbers};
    (void)unused;
    begin(&l);
    genesis(&r, &l.chain, EPOCH + 1);
    r.genesis.operator_ = "ann";
    r.genesis.n_numbers = 1;
    r.genesis.numbers = list;
    numbers.pipeline = "No Name";
    assert_int_equal(append(&l, &r), -1);
    numbers.pipeline = "shop";
    numbers.next_sequence = CHAIN_NUMBER_MAX + 1;
    assert_int_equal(append(&l, &r), -1);
    numbers.next_sequence = CHAIN_NUMBER_MAX;
    assert_int_equal(append(&l, &r), CHAIN_COUNTS);
}

static void a_chain_goes_on_from_a_checkpoint_as_from_its_genesis(void **unused)
{
    struct ledger l;
    struct record r;
    struct chain resumed;
    Gantry__V1__Checkpoint checkpoint = GANTRY__V1__CHECKPOINT__INIT;
    Gantry__V1__Position *positions[] = {&r.position};
    (void)unused;
    begin(&l);
    assert_int_equal(append(&l, position(&r, &l.chain, 5)), CHAIN_COUNTS);
    genesis(&r, &(struct chain){0}, EPOCH);
    r.position.topic = "source";
    r.position.next_offset = 5;
    r.position.settled_offset = 4;
    r.position.settled_ce_id = "abc";
    checkpoint.genesis = &r.genesis;
    checkpoint.head_offset = 1;
    checkpoint.head_hash.data = l.chain.head;
    checkpoint.head_hash.len = SHA256_SIZE;
    checkpoint.time_ms = l.chain.time_ms;
    checkpoint.positions = positions;
    checkpoint.n_positions = 1;
    chain_resume(&resumed, &checkpoint);
    resumed.counted = l.chain.counted;
    l.chain.published_below = 2; /* only what is published is in a checkpoint */
    assert_memory_equal(&resumed, &l.chain, sizeof(resumed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_counts_if_it_extends_the_last_that_counted),
        cmocka_unit_test(a_record_that_extends_anything_else_is_void_and_changes_nothing),
        cmocka_unit_test(before_a_genesis_nothing_counts),
        cmocka_unit_test(an_operators_genesis_begins_an_epoch_and_keeps_positions),
        cmocka_unit_test(a_genesis_that_does_not_fit_stops_the_reader),
        cmocka_unit_test(positions_and_time_never_go_back),
        cmocka_unit_test(positions_of_a_topic_made_again_begin_anew),
        cmocka_unit_test(the_watermark_is_the_highest_of_all),
        cmocka_unit_test(what_this_version_does_not_know_stops_the_reader_and_is_never_void),
        cmocka_unit_test(a_decision_of_another_epoch_or_without_a_pipeline_stops_the_reader),
        cmocka_unit_test(
            an_operators_genesis_from_nothing_is_void_where_there_is_a_chain_and_is_noticed),
        cmocka_unit_test(what_an_operator_did_not_know_of_is_not_excused),
        cmocka_unit_test(numbers_that_cannot_be_stop_the_reader),
        cmocka_unit_test(a_chain_goes_on_from_a_checkpoint_as_from_its_genesis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
