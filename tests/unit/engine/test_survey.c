/* What is left of a ledger, and the genesis that an operator writes for it (docs/ledger.md,
 * "Genesis and epochs"). What a promoter makes of that: tests/component/promoter/test_epoch.c. */
#include "../unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/links.h"
#include "engine/saved.h"
#include "engine/survey.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"

#define EPOCH  1700000000000ULL
#define COUNT  4
#define NUMBER 1 /* of `cart` and `pay` among four */
#define CHAIN  "0123456789abcdef0123456789abcdef"

struct fixture {
    struct survey survey;
    struct buf values[16];
    int64_t next;
    uint8_t head[SHA256_SIZE];
    int64_t time_ms;
    struct survey_order order;
    struct buf genesis;
    struct event_meta meta;
    struct err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->order = (struct survey_order){
        .by = "ann", .reason = "a test", .now_ms = (int64_t)EPOCH + 1000, .chain_id = CHAIN};
    f->time_ms = (int64_t)EPOCH;
    buf_init(&f->genesis, EVENT_VALUE_MAX);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 16; i++)
        buf_release(&f->values[i]);
    buf_release(&f->genesis);
    survey_release(&f->survey);
    free(f);
    return 0;
}

static void append(struct fixture *f, const Gantry__V1__Decision *decision)
{
    struct buf *value = &f->values[f->next++];
    buf_init(value, EVENT_VALUE_MAX);
    assert_int_equal(event_pack(value, decision, &f->err), 0);
    sha256(value->data, value->len, f->head);
}

static void init(struct fixture *f, Gantry__V1__Decision *decision, Gantry__V1__Cause *cause)
{
    gantry__v1__decision__init(decision);
    gantry__v1__cause__init(cause);
    cause->kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_CLOCK;
    decision->cause = cause;
    decision->epoch = EPOCH;
    decision->time_ms = f->time_ms;
    if (f->next) {
        decision->previous.data = f->head;
        decision->previous.len = SHA256_SIZE;
    }
}

static void genesis(struct fixture *f)
{
    Gantry__V1__Decision decision;
    Gantry__V1__Cause cause;
    Gantry__V1__Genesis message = GANTRY__V1__GENESIS__INIT;
    Gantry__V1__Change change = GANTRY__V1__CHANGE__INIT, *changes[] = {&change};
    init(f, &decision, &cause);
    message.epoch = EPOCH;
    message.chain_id = CHAIN;
    message.partition = NUMBER;
    message.partition_count = COUNT;
    change.what_case = GANTRY__V1__CHANGE__WHAT_GENESIS;
    change.genesis = &message;
    decision.changes = changes;
    decision.n_changes = 1;
    append(f, &decision);
}

/* A Decision of a pipeline; release 0: none began. */
static void decision(struct fixture *f, const char *pipeline, uint64_t sequence, uint64_t release)
{
    Gantry__V1__Decision message;
    Gantry__V1__Cause cause;
    Gantry__V1__ReleaseStarted started = GANTRY__V1__RELEASE_STARTED__INIT;
    Gantry__V1__Change change = GANTRY__V1__CHANGE__INIT, *changes[] = {&change};
    Gantry__V1__Position position = GANTRY__V1__POSITION__INIT, *positions[] = {&position};
    init(f, &message, &cause);
    message.pipeline = (char *)pipeline;
    message.sequence = sequence;
    position.topic = "source";
    position.next_offset = (int64_t)sequence;
    position.settled_offset = (int64_t)sequence - 1;
    position.settled_ce_id = "abc";
    message.positions = positions;
    message.n_positions = 1;
    started.release = release;
    change.what_case = GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED;
    change.release_started = &started;
    message.changes = changes;
    message.n_changes = release ? 1 : 0;
    append(f, &message);
}

/* What is left from offset `begin` on. */
static int look(struct fixture *f, int64_t begin, int32_t count)
{
    survey_release(&f->survey);
    survey_init(&f->survey, NUMBER, count, begin, f->next);
    for (int64_t i = begin; i < f->next; i++)
        survey_record(&f->survey, i, f->values[i].data, f->values[i].len);
    return survey_judge(&f->survey, &f->err);
}

static Gantry__V1__Decision *ordered(struct fixture *f)
{
    void *message;
    buf_reset(&f->genesis);
    if (survey_genesis(&f->survey, &f->order, &f->genesis, &f->meta, &f->err) < 0)
        fail_msg("%s", f->err.msg);
    assert_int_equal(event_unpack(&message, TOPIC_LEDGER, f->genesis.data, f->genesis.len, &f->err),
                     0);
    return message;
}

static int refused(struct fixture *f)
{
    f->err = (struct err){0};
    assert_int_equal(survey_genesis(&f->survey, &f->order, &f->genesis, &f->meta, &f->err), -1);
    return (int)f->err.code;
}

static void
of_records_with_the_same_previous_the_first_counts_and_with_it_what_extends_it(void **state)
{
    const uint8_t lost[SHA256_SIZE] = {9}, a[SHA256_SIZE] = {1}, b[SHA256_SIZE] = {2},
                  c[SHA256_SIZE] = {3}, d[SHA256_SIZE] = {4};
    struct links *links = links_new();
    uint8_t previous[SHA256_SIZE];
    (void)state;
    assert_int_equal(links_first(links, a, previous), -1);
    assert_int_equal(links_add(links, 10, a, lost), 1);
    assert_int_equal(links_add(links, 11, b, a), 2);
    assert_int_equal(links_add(links, 12, c, a), 0); /* late */
    assert_int_equal(links_add(links, 13, d, c), 0);
    assert_int_equal(links_add(links, 14, b, a), 0); /* the same bytes again */
    assert_int_equal(links_first(links, b, previous), 10);
    assert_memory_equal(previous, lost, SHA256_SIZE);
    for (int i = 0; i < 5000; i++) { /* more than it has room for at first */
        uint8_t hash[SHA256_SIZE] = {5, (uint8_t)i, (uint8_t)(i >> 8)};
        uint8_t before[SHA256_SIZE] = {5, (uint8_t)(i - 1), (uint8_t)((i - 1) >> 8)};
        assert_int_equal(links_add(links, 20 + i, hash, i ? before : b), i + 3);
        assert_int_equal(links_first(links, hash, previous), 10);
    }
    links_free(links);
}

static void a_whole_ledger_needs_nothing(void **state)
{
    struct fixture *f = *state;
    genesis(f);
    decision(f, "cart", 1, 1);
    assert_int_equal(look(f, 0, COUNT), 0);
    assert_int_equal(f->survey.faults, 0);
    assert_int_equal(refused(f), ERR_CONFLICT);
}

static void
the_genesis_extends_the_last_that_counted_and_is_beyond_it_in_epoch_and_time(void **state)
{
    struct fixture *f = *state;
    genesis(f);
    f->time_ms += 5000; /* Kafka's clock was ahead */
    decision(f, "cart", 1, 1);
    assert_int_equal(look(f, 0, COUNT), 0);
    f->order.force = true;
    f->order.now_ms = (int64_t)EPOCH - 60000; /* ours is behind */
    Gantry__V1__Decision *made = ordered(f);
    assert_int_equal(made->epoch, EPOCH + 1);
    assert_int_equal(made->time_ms, f->time_ms);
    assert_int_equal(made->previous.len, SHA256_SIZE);
    assert_memory_equal(made->previous.data, f->head, SHA256_SIZE);
    assert_int_equal(made->cause->kind, GANTRY__V1__CAUSE_KIND__CAUSE_KIND_OPERATOR);
    assert_string_equal(made->cause->actor->subject, "operator:ann");
    const Gantry__V1__Genesis *said = made->changes[0]->genesis;
    assert_string_equal(said->operator_, "ann");
    assert_string_equal(said->reason, "a test");
    assert_int_equal(said->supersedes_offset, 1);
    assert_int_equal(said->n_numbers, 0);
    event_free(made);
}

static void
where_no_genesis_is_left_numbers_and_positions_go_on_from_what_the_records_say(void **state)
{
    struct fixture *f = *state;
    struct map *given = map_new(NULL);
    struct survey_numbers cart = {8, 42};
    genesis(f);
    decision(f, "cart", 40, 7);
    decision(f, "pay", 3, 0);
    decision(f, "cart", 41, 0);
    assert_int_equal(look(f, 1, COUNT), 0);
    assert_int_equal(f->survey.faults, SURVEY_BEGINNING | SURVEY_NO_GENESIS);
    assert_int_equal(refused(f), ERR_NOT_FOUND); /* there may have been others */
    f->order.numbers = given;
    map_set(given, "cart", &cart);
    cart.sequence = 41;
    assert_int_equal(refused(f), ERR_INVALID);
    cart.sequence = 42;
    cart.release = 7;
    assert_int_equal(refused(f), ERR_INVALID);
    cart.release = 10;
    cart.sequence = 0; /* any */
    Gantry__V1__Decision *made = ordered(f);
    const Gantry__V1__Genesis *said = made->changes[0]->genesis;
    assert_int_equal(made->previous.len, 0);
    assert_int_equal(said->begins_at, 4);
    assert_int_equal(said->supersedes_offset, 3);
    assert_int_equal(said->n_numbers, 2);
    assert_string_equal(said->numbers[0]->pipeline, "cart");
    assert_int_equal(said->numbers[0]->next_release, 10);
    assert_int_equal(said->numbers[0]->next_sequence, 42);
    assert_string_equal(said->numbers[1]->pipeline, "pay");
    assert_int_equal(said->numbers[1]->next_sequence, 4);
    assert_int_equal(made->n_positions, 1);
    assert_string_equal(made->positions[0]->topic, "source");
    assert_int_equal(made->positions[0]->next_offset, 41);
    event_free(made);
    map_free(given);
}

static void
what_nothing_tells_goes_on_at_the_inputs_ends_but_definitions_are_read_again(void **state)
{
    struct fixture *f = *state;
    int64_t ends[TOPIC_COUNT];
    struct map *none = map_new(NULL);
    genesis(f);
    f->next = 1;
    assert_int_equal(look(f, 1, COUNT), 0);
    assert_int_equal(f->survey.faults, SURVEY_EMPTIED);
    for (int i = 0; i < TOPIC_COUNT; i++)
        ends[i] = -1;
    ends[TOPIC_COMMAND] = 9;
    ends[TOPIC_DEFINITION] = 5;
    f->order.input_ends = ends;
    f->order.numbers = none;
    Gantry__V1__Decision *made = ordered(f);
    assert_int_equal(made->n_positions, 1);
    assert_string_equal(made->positions[0]->topic, "command");
    assert_int_equal(made->positions[0]->next_offset, 9);
    assert_int_equal(made->positions[0]->settled_offset, -1);
    event_free(made);
    map_free(none);
}

static void put_checkpoint(struct fixture *f, const char *key, uint64_t epoch, int64_t head,
                           int64_t source)
{
    Gantry__V1__PromoterState state = GANTRY__V1__PROMOTER_STATE__INIT;
    Gantry__V1__Checkpoint checkpoint = GANTRY__V1__CHECKPOINT__INIT;
    Gantry__V1__Genesis message = GANTRY__V1__GENESIS__INIT;
    Gantry__V1__Position position = GANTRY__V1__POSITION__INIT, *positions[] = {&position};
    struct buf value;
    message.epoch = epoch;
    message.chain_id = CHAIN;
    message.partition = NUMBER;
    message.partition_count = COUNT;
    position.topic = "source";
    position.next_offset = source;
    position.settled_offset = source - 1;
    position.settled_ce_id = "abc";
    checkpoint.genesis = &message;
    checkpoint.head_offset = head;
    checkpoint.head_hash.data = f->head;
    checkpoint.head_hash.len = SHA256_SIZE;
    checkpoint.time_ms = f->time_ms;
    checkpoint.positions = positions;
    checkpoint.n_positions = 1;
    state.what_case = GANTRY__V1__PROMOTER_STATE__WHAT_CHECKPOINT;
    state.checkpoint = &checkpoint;
    buf_init(&value, EVENT_VALUE_MAX);
    assert_int_equal(event_pack(&value, &state, &f->err), 0);
    survey_state(&f->survey, key, strlen(key), value.data, value.len);
    buf_release(&value);
}

static void of_two_checkpoints_that_of_the_later_epoch_is_the_newer(void **state)
{
    struct fixture *f = *state;
    survey_init(&f->survey, NUMBER, COUNT, 0, 0);
    put_checkpoint(f, "@checkpoint/0", EPOCH + 5, 20, 7); /* after an early end */
    put_checkpoint(f, "@checkpoint/1", EPOCH, 80, 9);
    assert_int_equal(survey_judge(&f->survey, &f->err), 0);
    assert_int_equal(f->survey.faults, SURVEY_EMPTIED | SURVEY_END);
    assert_int_equal(saved_slot(f->survey.saved, 0), 0);
    assert_int_equal(f->survey.lost_head, 80);
    assert_int_equal(f->survey.epoch_max, EPOCH + 5);
    Gantry__V1__Decision *made = ordered(f);
    assert_int_equal(made->positions[0]->next_offset, 7);
    assert_int_equal(made->changes[0]->genesis->supersedes_offset, 80);
    event_free(made);
}

static void a_pipeline_of_another_partition_is_not_given_numbers(void **state)
{
    struct fixture *f = *state;
    struct map *given = map_new(NULL);
    struct survey_numbers numbers = {2, 2};
    char name[16];
    int32_t i = 0;
    do
        snprintf(name, sizeof(name), "p%d", i++);
    while (topic_partition(name, strlen(name), COUNT) == NUMBER);
    genesis(f);
    assert_int_equal(look(f, 1, COUNT), 0);
    map_set(given, name, &numbers);
    f->order.numbers = given;
    assert_int_equal(refused(f), ERR_INVALID);
    map_free(given);
}

static void another_partition_count_and_a_broken_chain_are_no_losses(void **state)
{
    struct fixture *f = *state;
    genesis(f);
    assert_int_equal(look(f, 0, COUNT * 2), 0);
    f->order.force = true;
    assert_int_equal(f->survey.faults, SURVEY_COUNT);
    assert_int_equal(refused(f), ERR_CONFLICT);
    f->time_ms--;
    decision(f, "cart", 1, 1);
    assert_int_equal(look(f, 0, COUNT), -1);
    assert_non_null(strstr(f->err.msg, "goes back in time"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_records_with_the_same_previous_the_first_counts_and_with_it_what_extends_it),
        TEST(a_whole_ledger_needs_nothing),
        TEST(the_genesis_extends_the_last_that_counted_and_is_beyond_it_in_epoch_and_time),
        TEST(where_no_genesis_is_left_numbers_and_positions_go_on_from_what_the_records_say),
        TEST(what_nothing_tells_goes_on_at_the_inputs_ends_but_definitions_are_read_again),
        TEST(of_two_checkpoints_that_of_the_later_epoch_is_the_newer),
        TEST(a_pipeline_of_another_partition_is_not_given_numbers),
        TEST(another_partition_count_and_a_broken_chain_are_no_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
