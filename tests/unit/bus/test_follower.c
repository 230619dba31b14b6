#include "../unit.h"

#include "base/mem.h"
#include "bus/bus.h"
#include "cluster.h"

/* Numbers its records, in each partition from 0, and checks that they come so. */
struct reader {
    int64_t next[2];  /* the offset expected; -1: any */
    int64_t first[2]; /* of the first record since `first` was set to -1 */
    size_t count;     /* records */
    size_t want;
    size_t ends;
    int64_t end[2];
    bool done, caught_up;
    char key[64], value[64], header[64];
    int64_t timestamp_ms;
    size_t value_len;
    bool tombstone;
};

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct reader *r = arg;
    (void)follower;
    int32_t p = record->partition;
    if (r->next[p] >= 0)
        assert_int_equal(record->offset, r->next[p]);
    r->next[p] = record->offset + 1;
    if (r->first[p] < 0)
        r->first[p] = record->offset;
    snprintf(r->key, sizeof(r->key), "%.*s", (int)record->key_len, (const char *)record->key);
    snprintf(r->value, sizeof(r->value), "%.*s", (int)record->value_len,
             record->value ? (const char *)record->value : "");
    r->tombstone = record->value == NULL;
    for (size_t i = 0; i < record->header_count; i++)
        snprintf(r->header, sizeof(r->header), "%s=%.*s", record->headers[i].name,
                 (int)record->headers[i].len, (const char *)record->headers[i].value);
    r->count++;
    r->done = r->count >= r->want;
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg)
{
    struct reader *r = arg;
    if (topic != TOPIC_SOURCE)
        return;
    r->ends++;
    r->end[partition] = end_offset;
    r->caught_up = bus_follower_caught_up(follower);
}

static void reader_init(struct reader *r, size_t want)
{
    *r = (struct reader){.next = {0, 0}, .first = {-1, -1}, .end = {-1, -1}, .want = want};
}

static struct bus_follower *new_follower(struct bus *bus, struct reader *reader)
{
    struct bus_follower *follower;
    struct err err = {0};
    struct bus_follower_handler handler = {.on_record = on_record, .on_end = on_end, .arg = reader};
    if (bus_follower_new(&follower, bus, &handler, &err) != 0)
        fail_msg("%s", err.msg);
    return follower;
}

static void add(struct bus_follower *follower, int32_t partition, int64_t offset)
{
    struct err err = {0};
    if (bus_follower_add(follower, TOPIC_SOURCE, partition, offset, &err) != 0)
        fail_msg("%s", err.msg);
}

static void on_ack(const struct bus_ack *ack, void *arg)
{
    assert_true(ack->ok);
    countdown_one(arg);
}

static void fill(struct side *side, struct bus_producer *producer, int32_t partition, size_t count)
{
    struct countdown left = {.left = count};
    for (size_t i = 0; i < count; i++) {
        struct event_header header = {.name = "h", .value = "v", .len = 1};
        assert_int_equal(bus_produce_raw(producer, TOPIC_SOURCE, partition, "k", 1, "value", 5,
                                         &header, 1, on_ack, &left, NULL),
                         0);
    }
    wait_until(side->loop, &left.done, "acknowledgements");
}

struct fixture {
    struct side side;
    struct bus_producer *producer;
    struct reader reader;
    struct bus_follower *follower;
};

static void fixture_up(struct fixture *f, struct cluster *cluster, int32_t partitions)
{
    cluster_topic(cluster, TOPIC_SOURCE, partitions);
    side_up(&f->side, cluster, "test", "1");
    assert_int_equal(bus_producer_new(&f->producer, f->side.bus, NULL, NULL), 0);
    reader_init(&f->reader, 0);
    f->follower = new_follower(f->side.bus, &f->reader);
}

static void fixture_down(struct fixture *f)
{
    bus_follower_free(f->follower);
    bus_producer_free(f->producer);
    side_down(&f->side);
}

static void a_record_comes_as_it_was_produced(void **state)
{
    struct fixture f;
    fixture_up(&f, *state, 1);
    reader_init(&f.reader, 1);
    fill(&f.side, f.producer, 0, 1);
    add(f.follower, 0, BUS_BEGINNING);
    wait_until(f.side.loop, &f.reader.done, "record");
    assert_string_equal(f.reader.key, "k");
    assert_string_equal(f.reader.value, "value");
    assert_string_equal(f.reader.header, "h=v");
    assert_false(f.reader.tombstone);
    f.reader.want = 2;
    f.reader.done = false;
    bus_produce_raw(f.producer, TOPIC_SOURCE, 0, "k2", 2, NULL, 0, NULL, 0, NULL, NULL, NULL);
    wait_until(f.side.loop, &f.reader.done, "tombstone");
    assert_true(f.reader.tombstone);
    assert_string_equal(f.reader.key, "k2");
    fixture_down(&f);
}

static void the_end_is_told_each_time_it_is_reached(void **state)
{
    struct fixture f;
    fixture_up(&f, *state, 2);
    fill(&f.side, f.producer, 0, 100);
    assert_true(bus_follower_caught_up(f.follower)); /* of nothing */
    assert_int_equal(bus_follower_add_all(f.follower, TOPIC_SOURCE, 2, NULL, NULL, NULL), 0);
    assert_false(bus_follower_caught_up(f.follower));
    wait_until(f.side.loop, &f.reader.caught_up, "both ends");
    assert_int_equal(f.reader.end[0], 100);
    assert_int_equal(f.reader.end[1], 0);
    assert_int_equal(f.reader.count, 100);
    for (int round = 1; round <= 3; round++) {
        size_t before = f.reader.ends;
        fill(&f.side, f.producer, 1, 5); /* an end may be told among them, too */
        for (int i = 0; i < 200 && f.reader.end[1] < 5 * round; i++)
            loop_run_for(f.side.loop, 50, NULL);
        assert_int_equal(f.reader.end[1], 5 * round);
        assert_true(f.reader.ends > before);
        assert_true(bus_follower_caught_up(f.follower));
    }
    fixture_down(&f);
}

static void a_follower_may_go_while_its_ends_are_asked_for(void **state)
{
    for (int turns = 0; turns < 4; turns++) {
        struct fixture f;
        fixture_up(&f, *state, 2);
        assert_int_equal(bus_follower_add_all(f.follower, TOPIC_SOURCE, 2, NULL, NULL, NULL), 0);
        loop_run_for(f.side.loop, turns * 30, NULL);
        fixture_down(&f);
    }
}

static void only_what_comes_is_read_from_the_end(void **state)
{
    struct fixture f;
    fixture_up(&f, *state, 1);
    f.reader.next[0] = 10;
    fill(&f.side, f.producer, 0, 10);
    add(f.follower, 0, BUS_END);
    wait_until(f.side.loop, &f.reader.caught_up, "end");
    f.reader.want = 10;
    fill(&f.side, f.producer, 0, 10);
    wait_until(f.side.loop, &f.reader.done, "records");
    assert_int_equal(f.reader.first[0], 10);
    fixture_down(&f);
}

static void adding_a_partition_again_goes_on_elsewhere(void **state)
{
    struct fixture f;
    fixture_up(&f, *state, 2);
    fill(&f.side, f.producer, 0, 500);
    fill(&f.side, f.producer, 1, 500);
    add(f.follower, 0, BUS_BEGINNING);
    add(f.follower, 1, BUS_BEGINNING);
    static const int64_t offsets[] = {400, 3, 499, 0, 250, 500};
    for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
        reader_init(&f.reader, 0);
        f.reader.next[0] = offsets[i];
        f.reader.next[1] = -1;
        add(f.follower, 0, offsets[i]);
        assert_false(bus_follower_caught_up(f.follower));
        wait_until(f.side.loop, &f.reader.caught_up, "end");
        assert_int_equal(f.reader.end[0], 500);
        assert_int_equal(f.reader.next[0], 500);
    }
    fixture_down(&f);
}

static void others_go_on_when_partitions_are_added_and_removed(void **state)
{
    struct fixture f;
    fixture_up(&f, *state, 2);
    add(f.follower, 0, BUS_BEGINNING);
    for (int round = 0; round < 10; round++) {
        f.reader.next[1] = 0;
        add(f.follower, 1, 0);
        fill(&f.side, f.producer, 0, 200);
        fill(&f.side, f.producer, 1, 20);
        bus_follower_remove(f.follower, TOPIC_SOURCE, 1);
        bus_follower_remove(f.follower, TOPIC_SOURCE, 1); /* not there: nothing */
        size_t count = f.reader.count;
        int64_t next = f.reader.next[1];
        loop_run_for(f.side.loop, 30, NULL);
        assert_int_equal(f.reader.next[1], next);
        assert_true(f.reader.count >= count);
    }
    f.reader.done = false;
    for (int i = 0; i < 200 && f.reader.next[0] < 2000; i++)
        loop_run_for(f.side.loop, 50, NULL);
    assert_int_equal(f.reader.next[0], 2000); /* each in order, none twice: on_record checks */
    fixture_down(&f);
}

static void a_paused_follower_gets_nothing_and_loses_nothing(void **state)
{
    struct fixture f;
    fixture_up(&f, *state, 2);
    add(f.follower, 0, BUS_BEGINNING);
    fill(&f.side, f.producer, 0, 5000);
    for (int round = 0; round < 20; round++) {
        bus_follower_pause(f.follower, true);
        size_t count = f.reader.count;
        if (round == 5) { /* what is added while paused is paused, too */
            add(f.follower, 1, BUS_BEGINNING);
            fill(&f.side, f.producer, 1, 10);
        }
        loop_run_for(f.side.loop, 20, NULL);
        assert_int_equal(f.reader.count, count);
        bus_follower_pause(f.follower, false);
        loop_run_for(f.side.loop, 3, NULL);
    }
    for (int i = 0; i < 200 && f.reader.count < 5010; i++)
        loop_run_for(f.side.loop, 50, NULL);
    assert_int_equal(f.reader.count, 5010);
    fixture_down(&f);
}

static void one_partition_is_paused_and_the_other_goes_on(void **state)
{
    struct fixture f;
    fixture_up(&f, *state, 2);
    add(f.follower, 0, BUS_BEGINNING);
    add(f.follower, 1, BUS_BEGINNING);
    bus_follower_pause_partition(f.follower, TOPIC_SOURCE, 1, true);
    bus_follower_pause(f.follower, true); /* and back: the one stays paused */
    bus_follower_pause(f.follower, false);
    fill(&f.side, f.producer, 0, 50);
    fill(&f.side, f.producer, 1, 50);
    for (int i = 0; i < 200 && f.reader.next[0] < 50; i++)
        loop_run_for(f.side.loop, 20, NULL);
    loop_run_for(f.side.loop, 100, NULL);
    assert_int_equal(f.reader.next[0], 50);
    assert_int_equal(f.reader.next[1], 0);
    bus_follower_pause_partition(f.follower, TOPIC_SOURCE, 1, false);
    for (int i = 0; i < 200 && f.reader.next[1] < 50; i++)
        loop_run_for(f.side.loop, 20, NULL);
    assert_int_equal(f.reader.next[1], 50);
    fixture_down(&f);
}

/* Seeks to and fro while records arrive all the time; after each seek the next record delivered is
 * the one at the offset asked for, and then they come one by one. */
static void after_a_seek_nothing_of_before_is_delivered(void **state)
{
    struct fixture f;
    unsigned seed = 42;
    size_t in_all = 0;
    fixture_up(&f, *state, 2);
    fill(&f.side, f.producer, 0, 20000);
    add(f.follower, 0, BUS_BEGINNING);
    add(f.follower, 1, BUS_BEGINNING);
    for (int round = 0; round < 300; round++) {
        struct countdown sent = {.left = 10};
        int64_t target = rand_r(&seed) % 20000;
        for (int i = 0; i < 10; i++)
            bus_produce_raw(f.producer, TOPIC_SOURCE, 1, "k", 1, "v", 1, NULL, 0, on_ack, &sent,
                            NULL);
        f.reader.next[0] = target;
        f.reader.first[0] = -1;
        add(f.follower, 0, target);
        if (round % 7 == 0) { /* twice: the second counts */
            loop_run_for(f.side.loop, rand_r(&seed) % 2, NULL);
            f.reader.next[0] = target / 2;
            f.reader.first[0] = -1;
            add(f.follower, 0, target / 2);
            target /= 2;
        }
        for (int i = 0; i < 1000 && f.reader.first[0] < 0; i++)
            loop_run_for(f.side.loop, 5, NULL);
        assert_int_equal(f.reader.first[0], target);
        loop_run_for(f.side.loop, rand_r(&seed) % 4, NULL);
        wait_until(f.side.loop, &sent.done, "acknowledgements");
        in_all += 10;
    }
    for (int i = 0; i < 500 && f.reader.next[1] < (int64_t)in_all; i++)
        loop_run_for(f.side.loop, 20, NULL);
    assert_int_equal(f.reader.next[1], in_all); /* the other partition lost nothing */
    fixture_down(&f);
}

static void a_seek_asked_for_while_another_is_under_way_is_done_too(void **state)
{
    struct fixture f;
    fixture_up(&f, *state, 2);
    fill(&f.side, f.producer, 0, 500);
    fill(&f.side, f.producer, 1, 500);
    add(f.follower, 0, BUS_BEGINNING);
    add(f.follower, 1, BUS_BEGINNING);
    wait_until(f.side.loop, &f.reader.caught_up, "both ends");
    for (int round = 0; round < 50; round++) {
        for (int32_t p = 0; p < 2; p++) {
            f.reader.next[p] = 100 + round;
            f.reader.first[p] = -1;
            add(f.follower, p, 100 + round);
            for (int spin = 0; p == 0 && spin < round % 5; spin++)
                loop_run_for(f.side.loop, 0, NULL);
        }
        for (int i = 0; i < 1000 && (f.reader.first[0] < 0 || f.reader.first[1] < 0); i++)
            loop_run_for(f.side.loop, 5, NULL);
        assert_int_equal(f.reader.first[0], 100 + round);
        assert_int_equal(f.reader.first[1], 100 + round);
    }
    fixture_down(&f);
}

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct bus_end *out = arg;
    if (err)
        fail_msg("%s", err->msg);
    assert_int_equal(count, 2);
    out[0] = ends[0];
    out[1] = ends[1];
}

static void beginnings_and_ends_are_told(void **state)
{
    struct cluster *cluster = *state;
    struct fixture f;
    struct bus_end ask[2] = {{.topic = TOPIC_SOURCE, .partition = 1},
                             {.topic = TOPIC_SOURCE, .partition = 0}};
    struct bus_end out[2] = {{.end = -7}, {.end = -7}};
    fixture_up(&f, cluster, 2);
    fill(&f.side, f.producer, 1, 42);
    bus_ends(f.side.bus, ask, 2, 10000, on_ends, out);
    for (int i = 0; i < 1000 && out[0].end == -7; i++)
        loop_run_for(f.side.loop, 10, NULL);
    assert_int_equal(out[0].partition, 1);
    assert_int_equal(out[0].begin, 0);
    assert_int_equal(out[0].end, 42);
    assert_int_equal(out[1].end, 0);
    if (!cluster->mock) { /* it knows no times */
        ask[0].end = 1000;
        ask[1].end = 1000;
        out[0].end = -7;
        bus_offsets_at(f.side.bus, ask, 2, 10000, on_ends, out);
        for (int i = 0; i < 1000 && out[0].end == -7; i++)
            loop_run_for(f.side.loop, 10, NULL);
        assert_int_equal(out[0].end, 0);
        ask[0].end = 99999999999999;
        out[0].end = -7;
        bus_offsets_at(f.side.bus, ask, 2, 10000, on_ends, out);
        for (int i = 0; i < 1000 && out[0].end == -7; i++)
            loop_run_for(f.side.loop, 10, NULL);
        assert_int_equal(out[0].end, 42);
        assert_int_equal(out[1].end, 0);
    }
    fixture_down(&f);
}

static void a_dead_letter_is_the_record_and_why(void **state)
{
    struct cluster *cluster = *state;
    struct fixture f;
    struct event_header header = {.name = "x", .value = "y", .len = 1};
    struct bus_record record = {.topic = TOPIC_EVENT,
                                .partition = 3,
                                .offset = 77,
                                .key = "shop",
                                .key_len = 4,
                                .value = "junk",
                                .value_len = 4,
                                .headers = &header,
                                .header_count = 1};
    struct countdown left = {.left = 1};
    fixture_up(&f, cluster, 1);
    cluster_topic(cluster, TOPIC_DEADLETTER, 1);
    reader_init(&f.reader, 1);
    assert_int_equal(bus_deadletter(f.producer, &record, "not a message", on_ack, &left, NULL), 0);
    wait_until(f.side.loop, &left.done, "acknowledgement");
    assert_int_equal(bus_follower_add(f.follower, TOPIC_DEADLETTER, 0, 0, NULL), 0);
    f.reader.next[0] = -1;
    wait_until(f.side.loop, &f.reader.done, "dead letter");
    assert_string_equal(f.reader.key, "shop");
    assert_string_equal(f.reader.value, "junk");
    assert_string_equal(f.reader.header, "gantry_offset=77");
    bus_follower_remove(f.follower, TOPIC_DEADLETTER, 0);
    fixture_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_as_it_was_produced),
        cmocka_unit_test(the_end_is_told_each_time_it_is_reached),
        cmocka_unit_test(a_follower_may_go_while_its_ends_are_asked_for),
        cmocka_unit_test(only_what_comes_is_read_from_the_end),
        cmocka_unit_test(adding_a_partition_again_goes_on_elsewhere),
        cmocka_unit_test(others_go_on_when_partitions_are_added_and_removed),
        cmocka_unit_test(a_paused_follower_gets_nothing_and_loses_nothing),
        cmocka_unit_test(one_partition_is_paused_and_the_other_goes_on),
        cmocka_unit_test(after_a_seek_nothing_of_before_is_delivered),
        cmocka_unit_test(a_seek_asked_for_while_another_is_under_way_is_done_too),
        cmocka_unit_test(beginnings_and_ends_are_told),
        cmocka_unit_test(a_dead_letter_is_the_record_and_why),
    };
    return cluster_run("follower", tests, sizeof(tests) / sizeof(*tests));
}
