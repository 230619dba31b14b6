/* What a real broker cannot be made to do on demand: a mock cluster. */
#include "../unit.h"

#include "base/mem.h"
#include "bus/bus.h"
#include "bus/internal.h"
#include "cluster.h"

struct acks {
    size_t ok, failed, want;
    bool done;
};

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct acks *acks = arg;
    acks->ok += ack->ok;
    acks->failed += !ack->ok;
    acks->done = acks->ok + acks->failed >= acks->want;
}

static int put(struct bus_producer *producer, struct acks *acks, struct err *err)
{
    return bus_produce_raw(producer, TOPIC_SOURCE, 0, "k", 1, "v", 1, NULL, 0, on_ack, acks, err);
}

static void run_while(struct loop *loop, bool (*cond)(struct bus *bus), struct bus *bus)
{
    for (int i = 0; i < 300 && cond(bus); i++)
        loop_run_for(loop, 50, NULL);
    assert_false(cond(bus));
}

static bool is_up(struct bus *bus)
{
    return bus_connected(bus, NULL);
}

static bool is_down(struct bus *bus)
{
    return !bus_connected(bus, NULL);
}

static int setup(void **state)
{
    struct cluster *cluster = mem_alloc(sizeof(*cluster));
    cluster_up(cluster, NULL);
    *state = cluster;
    return 0;
}

static int teardown(void **state)
{
    cluster_down(*state);
    free(*state);
    return 0;
}

static void records_wait_while_the_broker_is_away_and_are_stored_when_it_is_back(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct bus_producer *producer;
    struct acks acks = {.want = 1};
    char reason[256];
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    assert_int_equal(bus_producer_new(&producer, side.bus, NULL, NULL), 0);
    put(producer, &acks, NULL);
    wait_until(side.loop, &acks.done, "acknowledgement");
    run_while(side.loop, is_down, side.bus);
    assert_true(bus_connected_since_ms(side.bus) > 0);

    rd_kafka_mock_broker_set_down(cluster->mock, 1);
    run_while(side.loop, is_up, side.bus);
    assert_int_equal(bus_connected_since_ms(side.bus), 0);
    bus_connected(side.bus, reason);
    assert_true(strlen(reason) > 0);
    acks = (struct acks){.want = 100};
    for (int i = 0; i < 100; i++)
        assert_int_equal(put(producer, &acks, NULL), 0);
    loop_run_for(side.loop, 2000, NULL);
    assert_int_equal(acks.ok + acks.failed, 0);

    rd_kafka_mock_broker_set_up(cluster->mock, 1);
    wait_until(side.loop, &acks.done, "acknowledgements");
    assert_int_equal(acks.ok, 100);
    run_while(side.loop, is_down, side.bus);
    bus_connected(side.bus, reason);
    assert_string_equal(reason, "");
    bus_producer_free(producer);
    side_down(&side);
}

static void a_full_queue_refuses_and_says_so(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct bus_producer *producer;
    struct bus_producer_conf conf = {.queue_max = 10};
    struct acks acks = {.want = 10};
    struct err err = {0};
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    rd_kafka_mock_broker_set_down(cluster->mock, 1);
    side_up(&side, cluster, "test", "1");
    assert_int_equal(bus_producer_new(&producer, side.bus, &conf, NULL), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(put(producer, &acks, &err), 0);
    assert_int_equal(put(producer, &acks, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    rd_kafka_mock_broker_set_up(cluster->mock, 1);
    wait_until(side.loop, &acks.done, "acknowledgements");
    assert_int_equal(put(producer, &acks, &err), 0);
    bus_producer_free(producer);
    side_down(&side);
}

static void a_timeout_of_its_own_fails_a_record(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct bus_producer *producer;
    struct bus_producer_conf conf = {.message_timeout_ms = 1000};
    struct acks acks = {.want = 1};
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    rd_kafka_mock_broker_set_down(cluster->mock, 1);
    side_up(&side, cluster, "test", "1");
    assert_int_equal(bus_producer_new(&producer, side.bus, &conf, NULL), 0);
    put(producer, &acks, NULL);
    wait_until(side.loop, &acks.done, "the record's end");
    assert_int_equal(acks.failed, 1);
    bus_producer_free(producer);
    side_down(&side);
}

struct member {
    size_t count, lost, revoked, assigned;
    bool closed;
};

static void on_record(struct bus_group *group, const struct bus_record *record, void *arg)
{
    struct member *m = arg;
    m->count++;
    bus_group_done(group, record->topic, record->partition, record->offset);
}

static void on_assign(struct bus_group *group, int32_t partition, void *arg)
{
    struct member *m = arg;
    (void)group;
    (void)partition;
    m->assigned++;
}

static void on_revoke(struct bus_group *group, int32_t partition, bool lost, void *arg)
{
    struct member *m = arg;
    (void)group;
    (void)partition;
    m->revoked++;
    m->lost += lost;
}

static void on_closed(void *arg)
{
    bool *closed = arg;
    *closed = true;
}

static void run_until(struct loop *loop, const size_t *count, size_t want)
{
    for (int i = 0; i < 1200 && *count < want; i++)
        loop_run_for(loop, 50, NULL);
    assert_true(*count >= want);
}

static void lose_by(struct cluster *cluster, rd_kafka_resp_err_t code)
{
    static const enum topic topics[] = {TOPIC_SOURCE};
    struct side side;
    struct bus_producer *producer;
    struct bus_group *group;
    struct member m = {0};
    struct acks acks = {.want = 10};
    struct bus_group_conf conf = {.topics = topics, .topic_count = 1, .commit_every_ms = 50};
    struct bus_group_handler handler = {
        .on_record = on_record, .on_assign = on_assign, .on_revoke = on_revoke, .arg = &m};
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    side_up(&side, cluster, "test", "1");
    assert_int_equal(bus_producer_new(&producer, side.bus, NULL, NULL), 0);
    assert_int_equal(bus_group_new(&group, side.bus, &conf, &handler, NULL), 0);
    for (int i = 0; i < 10; i++)
        put(producer, &acks, NULL);
    run_until(side.loop, &m.count, 10);
    loop_run_for(side.loop, 300, NULL);
    rd_kafka_mock_push_request_errors(cluster->mock, 12 /* Heartbeat */, 1, code);
    run_until(side.loop, &m.revoked, 1);
    assert_int_equal(m.lost, 1);
    assert_false(bus_group_owns(group, 0));
    run_until(side.loop, &m.assigned, 2);
    put(producer, &acks, NULL);
    run_until(side.loop, &m.count, 11);
    loop_run_for(side.loop, 200, NULL);
    assert_int_equal(m.count, 11); /* what was committed did not come again */
    bus_group_close(group, on_closed, &m.closed);
    wait_until(side.loop, &m.closed, "closing");
    bus_producer_free(producer);
    side_down(&side);
}

static void a_member_that_the_group_forgot_loses_its_partitions_and_joins_again(void **state)
{
    lose_by(*state, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
}

static void a_member_whose_instance_was_taken_is_made_anew(void **state)
{
    lose_by(*state, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
}

static void a_bad_setting_is_refused_by_its_name(void **state)
{
    struct cluster *cluster = *state;
    struct conf_pair pair = {.key = (char *)"no.such.thing"};
    struct conf_map map = {.pairs = &pair, .count = 1};
    struct bus_conf conf = {
        .kafka = &map, .prefix = cluster->prefix, .service = "test", .instance = "1"};
    struct loop *loop = loop_new(1);
    struct bus *bus;
    struct err err = {0};
    strv_add(&pair.values, "1");
    assert_int_equal(bus_new(&bus, loop, &conf, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.msg, "no.such.thing"));
    strv_release(&pair.values);
    loop_free(loop);
}

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    (void)ends;
    (void)count;
    struct err *out = arg;
    if (err)
        *out = *err;
}

static void a_question_while_kafka_is_away_is_a_retriable_error_in_time(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct err err = {0};
    struct bus_end ask = {.topic = TOPIC_SOURCE};
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    rd_kafka_mock_broker_set_down(cluster->mock, 1);
    side_up(&side, cluster, "test", "1");
    bus_ends(side.bus, &ask, 1, 500, on_ends, &err);
    for (int i = 0; i < 100 && err.code == ERR_NONE; i++)
        loop_run_for(side.loop, 50, NULL);
    assert_true(err_is_retriable(&err));
    bus_ends(side.bus, &ask, 1, 500, on_ends, &err); /* answered to nobody: the bus is freed */
    err = (struct err){0};
    side_down(&side);
    assert_int_equal(err.code, ERR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            records_wait_while_the_broker_is_away_and_are_stored_when_it_is_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses_and_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timeout_of_its_own_fails_a_record, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_member_that_the_group_forgot_loses_its_partitions_and_joins_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_member_whose_instance_was_taken_is_made_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bad_setting_is_refused_by_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_question_while_kafka_is_away_is_a_retriable_error_in_time,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
