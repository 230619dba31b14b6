#include "../unit.h"

#include "base/mem.h"
#include "bus/internal.h"
#include "cluster.h"
#include "gantry/v1/source.pb-c.h"

struct acks {
    size_t want, ok, failed, unknown;
    int64_t last_offset;
    bool done;
    struct bus_ack last;
};

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct acks *acks = arg;
    acks->ok += ack->ok;
    acks->failed += !ack->ok;
    acks->unknown += !ack->ok && ack->unknown;
    acks->last = *ack;
    acks->done = acks->ok + acks->failed >= acks->want;
}

static struct bus_producer *new_producer(struct bus *bus, const struct bus_producer_conf *conf)
{
    struct bus_producer *producer;
    struct err err = {0};
    if (bus_producer_new(&producer, bus, conf, &err) != 0)
        fail_msg("%s", err.msg);
    return producer;
}

static int put(struct bus_producer *producer, const char *key, const char *value, struct acks *acks,
               struct err *err)
{
    return bus_produce_raw(producer, TOPIC_SOURCE, -1, key, strlen(key), value, strlen(value), NULL,
                           0, on_ack, acks, err);
}

static void keys_are_placed_as_topic_partition_says(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    cluster_topic(cluster, TOPIC_SOURCE, 3);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, NULL);
    for (int i = 0; i < 50; i++) {
        char key[32];
        struct acks acks = {.want = 1};
        snprintf(key, sizeof(key), "pipeline-%d", i * 7919);
        assert_int_equal(put(producer, key, "x", &acks, NULL), 0);
        wait_until(side.loop, &acks.done, "acknowledgement");
        assert_int_equal(acks.ok, 1);
        assert_int_equal(acks.last.partition, topic_partition(key, strlen(key), 3));
        assert_int_equal(acks.last.topic, TOPIC_SOURCE);
    }
    bus_producer_free(producer);
    side_down(&side);
}

static void acknowledgements_come_in_order_with_offsets_and_times(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct acks acks = {.want = 1000};
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, NULL);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(put(producer, "a", "x", &acks, NULL), 0);
    assert_int_equal(bus_producer_waiting(producer), 1000);
    wait_until(side.loop, &acks.done, "acknowledgements");
    assert_int_equal(acks.ok, 1000);
    if (cluster
            ->real) { /* a mock cluster answers time 0, and under load not the records' offsets */
        assert_int_equal(acks.last.offset, 999);
        assert_true(acks.last.timestamp_ms > 1600000000000);
    }
    assert_int_equal(bus_producer_waiting(producer), 0);
    bus_producer_free(producer);
    side_down(&side);
}

static void a_quiet_producers_acknowledgements_come_though_nothing_wakes_the_loop(void **state)
{
    const struct bus_producer_conf conf = {.quiet = true};
    struct cluster *cluster = *state;
    struct side side;
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, &conf);
    for (int i = 0; i < 3; i++) {
        struct acks acks = {.want = 100};
        for (int k = 0; k < 100; k++)
            assert_int_equal(put(producer, "a", "x", &acks, NULL), 0);
        wait_until(side.loop, &acks.done, "acknowledgements");
        assert_int_equal(acks.ok, 100);
    }
    bus_producer_free(producer);
    side_down(&side);
}

static void what_readers_would_refuse_is_not_produced(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct err err = {0};
    struct event_meta meta = {.id = "0123"};
    Gantry__V1__SourceChanged m = GANTRY__V1__SOURCE_CHANGED__INIT;
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, NULL);
    m.pipeline = (char *)"shop";
    m.source = (char *)"main";
    m.after = (char *)"--bad";
    assert_int_equal(bus_produce(producer, TOPIC_SOURCE, &meta, &m, NULL, NULL, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    m.after = (char *)"0123456789abcdef";
    meta.id[0] = '\0';
    assert_int_equal(bus_produce(producer, TOPIC_SOURCE, &meta, &m, NULL, NULL, &err), -1);
    assert_int_equal(bus_producer_waiting(producer), 0);
    bus_producer_free(producer);
    side_down(&side);
}

static void too_large_a_record_is_refused_at_once(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct err err = {0};
    struct acks acks = {.want = 1};
    size_t len = 1100 * 1000;
    char *value = mem_alloc(len + 1);
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, NULL);
    memset(value, 'x', len);
    assert_int_equal(put(producer, "a", value, &acks, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    value[EVENT_VALUE_MAX] = '\0'; /* the most that an event has */
    assert_int_equal(put(producer, "a", value, &acks, &err), 0);
    wait_until(side.loop, &acks.done, "acknowledgement");
    assert_int_equal(acks.ok, 1);
    free(value);
    bus_producer_free(producer);
    side_down(&side);
}

#define KEYS 7

struct order {
    struct acks all;
    int64_t last[KEYS];
    bool broken;
};

struct in_order {
    struct order *order;
    int key;
};

static void on_ordered(const struct bus_ack *ack, void *arg)
{
    struct in_order *record = arg;
    struct order *order = record->order;
    order->broken |= ack->ok && ack->offset <= order->last[record->key];
    order->last[record->key] = ack->offset;
    on_ack(ack, &order->all);
}

/* More than may be on their way at once, from before the producer knows the topic's partitions. */
static void many_at_once_are_stored_in_the_order_of_their_keys(void **state)
{
    struct cluster *cluster = *state;
    const struct bus_producer_conf kinds[] = {{.quiet = false}, {.quiet = true}};
    cluster_topic(cluster, TOPIC_SOURCE, 3);
    for (size_t k = 0; k < 2; k++) {
        struct side side;
        struct order order = {.all = {.want = 1000}};
        struct in_order records[1000];
        memset(order.last, -1, sizeof(order.last));
        side_up(&side, cluster, "test", "1");
        struct bus_producer *producer = new_producer(side.bus, &kinds[k]);
        for (int i = 0; i < 1000; i++) {
            char key[16];
            records[i] = (struct in_order){&order, i % KEYS};
            snprintf(key, sizeof(key), "shop-%d", i % KEYS);
            assert_int_equal(bus_produce_raw(producer, TOPIC_SOURCE, -1, key, strlen(key), "x", 1,
                                             NULL, 0, on_ordered, &records[i], NULL),
                             0);
        }
        wait_until(side.loop, &order.all.done, "acknowledgements");
        assert_int_equal(order.all.ok, 1000);
        if (cluster->real) /* a mock cluster's offsets are not always the records' */
            assert_false(order.broken);
        bus_producer_free(producer);
        side_down(&side);
    }
}

static void held_records_time_out_like_those_on_their_way(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct acks acks = {.want = 50};
    struct bus_producer_conf conf = {.message_timeout_ms = 1500};
    cluster_stores(cluster, false);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, &conf);
    for (int i = 0; i < 50; i++)
        assert_int_equal(put(producer, "a", "x", &acks, NULL), 0);
    wait_until(side.loop, &acks.done, "failures");
    assert_int_equal(acks.failed, 50);
    assert_int_equal(bus_producer_waiting(producer), 0);
    bus_producer_free(producer);
    cluster_stores(cluster, true);
    side_down(&side);
}

static void on_flushed(bool all, void *arg)
{
    int *result = arg;
    *result = all ? 1 : -1;
}

static void a_flush_ends_when_all_is_settled(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct acks acks = {.want = 10};
    int flushed = 0;
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, NULL);
    for (int i = 0; i < 10; i++)
        put(producer, "a", "x", &acks, NULL);
    bus_producer_flush(producer, 30000, on_flushed, &flushed);
    assert_int_equal(flushed, 0);
    for (int i = 0; i < 300 && !flushed; i++)
        loop_run_for(side.loop, 100, NULL);
    assert_int_equal(flushed, 1);
    assert_int_equal(acks.ok, 10);
    flushed = 0;
    bus_producer_flush(producer, 30000, on_flushed, &flushed); /* nothing waits */
    loop_run_for(side.loop, 50, NULL);
    assert_int_equal(flushed, 1);
    bus_producer_free(producer);
    side_down(&side);
}

struct fatal {
    struct acks *acks;
    size_t settled_before;
    bool done;
};

static void on_fatal(struct bus_producer *producer, const struct err *err, void *arg)
{
    struct fatal *fatal = arg;
    (void)producer;
    assert_int_equal(err->code, ERR_FATAL);
    fatal->settled_before = fatal->acks->failed;
    fatal->done = true;
}

static void after_a_fatal_error_what_waits_is_unknown_and_the_owner_is_told_after(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct acks acks = {.want = 50};
    struct fatal fatal = {.acks = &acks};
    struct bus_producer_conf conf = {.on_fatal = on_fatal, .arg = &fatal};
    struct err err = {0};
    cluster_stores(cluster, false);
    side_up(&side, cluster, "test", "1"); /* no topic yet, so all of it waits */
    struct bus_producer *producer = new_producer(side.bus, &conf);
    for (int i = 0; i < 50; i++)
        assert_int_equal(put(producer, "a", "x", &acks, &err), 0);
    bus_producer_test_fatal(producer);
    wait_until(side.loop, &fatal.done, "fatal error");
    assert_int_equal(fatal.settled_before, 50);
    assert_int_equal(acks.unknown, 50);
    assert_int_equal(put(producer, "a", "x", &acks, &err), -1);
    assert_int_equal(err.code, ERR_FATAL);
    bus_producer_free(producer);
    cluster_stores(cluster, true);
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    producer = new_producer(side.bus, &conf);
    acks = (struct acks){.want = 1};
    assert_int_equal(put(producer, "a", "x", &acks, &err), 0);
    wait_until(side.loop, &acks.done, "acknowledgement");
    assert_int_equal(acks.ok, 1);
    bus_producer_free(producer);
    side_down(&side);
}

static void without_an_owner_for_it_a_new_producer_takes_over(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct acks acks = {.want = 1};
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, NULL);
    put(producer, "a", "x", &acks, NULL);
    wait_until(side.loop, &acks.done, "acknowledgement");
    bus_producer_test_fatal(producer);
    loop_run_for(side.loop, 300, NULL);
    acks = (struct acks){.want = 1};
    assert_int_equal(put(producer, "a", "y", &acks, NULL), 0);
    wait_until(side.loop, &acks.done, "acknowledgement");
    assert_int_equal(acks.ok, 1);
    bus_producer_free(producer);
    side_down(&side);
}

static void freeing_a_producer_settles_what_waits_as_unknown(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct acks acks = {.want = 5};
    cluster_stores(cluster, false);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, NULL);
    for (int i = 0; i < 5; i++)
        put(producer, "a", "x", &acks, NULL);
    bus_producer_free(producer);
    assert_int_equal(acks.unknown, 5);
    side_down(&side);
}

static void on_ack_free(const struct bus_ack *ack, void *arg)
{
    struct bus_producer **producer = arg;
    assert_true(ack->ok || ack->unknown);
    bus_producer_free(*producer);
    *producer = NULL;
}

static void a_producer_may_be_freed_inside_an_acknowledgement(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    struct bus_producer *producer = new_producer(side.bus, NULL);
    for (int i = 0; i < 20; i++)
        bus_produce_raw(producer, TOPIC_SOURCE, 0, "a", 1, "x", 1, NULL, 0,
                        i == 0 ? on_ack_free : NULL, &producer, NULL);
    for (int i = 0; i < 300 && producer; i++)
        loop_run_for(side.loop, 100, NULL);
    assert_null(producer);
    side_down(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_placed_as_topic_partition_says),
        cmocka_unit_test(acknowledgements_come_in_order_with_offsets_and_times),
        cmocka_unit_test(a_quiet_producers_acknowledgements_come_though_nothing_wakes_the_loop),
        cmocka_unit_test(what_readers_would_refuse_is_not_produced),
        cmocka_unit_test(too_large_a_record_is_refused_at_once),
        cmocka_unit_test(many_at_once_are_stored_in_the_order_of_their_keys),
        cmocka_unit_test(held_records_time_out_like_those_on_their_way),
        cmocka_unit_test(a_flush_ends_when_all_is_settled),
        cmocka_unit_test(after_a_fatal_error_what_waits_is_unknown_and_the_owner_is_told_after),
        cmocka_unit_test(without_an_owner_for_it_a_new_producer_takes_over),
        cmocka_unit_test(freeing_a_producer_settles_what_waits_as_unknown),
        cmocka_unit_test(a_producer_may_be_freed_inside_an_acknowledgement),
    };
    return cluster_run("producer", tests, sizeof(tests) / sizeof(*tests));
}
