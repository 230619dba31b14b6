#include "../unit.h"

#include "base/mem.h"
#include "bus/bus.h"
#include "cluster.h"

#define COUNT_MAX 20000

/* A member of a group that settles as its test wants. */
struct member {
    struct side side;
    struct bus_group *group;
    unsigned char seen[2][COUNT_MAX]; /* how often each was delivered */
    int64_t last[2];
    int64_t expect_from[2]; /* after a seek: the next record's offset; -1: none asked */
    size_t count, want;
    bool done;                      /* want reached */
    bool hold;                      /* settle nothing */
    bool (*settle)(int64_t offset); /* NULL: all */
    size_t assigned, revoked, lost;
    bool has_assigned, has_revoked, closed, has_ended;
    int64_t end[2];
};

static void on_record(struct bus_group *group, const struct bus_record *record, void *arg)
{
    struct member *m = arg;
    int32_t p = record->partition;
    assert_true(record->offset < COUNT_MAX);
    assert_true(bus_group_owns(group, p));
    if (m->expect_from[p] >= 0)
        assert_int_equal(record->offset, m->expect_from[p]);
    m->expect_from[p] = -1;
    m->seen[p][record->offset]++;
    m->last[p] = record->offset;
    m->count++;
    m->done = m->count >= m->want;
    if (!m->hold && (!m->settle || m->settle(record->offset)))
        bus_group_done(group, record->topic, p, record->offset);
}

static void on_assign(struct bus_group *group, int32_t partition, void *arg)
{
    struct member *m = arg;
    assert_true(bus_group_owns(group, partition));
    m->assigned++;
    m->has_assigned = true;
}

static void on_revoke(struct bus_group *group, int32_t partition, bool lost, void *arg)
{
    struct member *m = arg;
    assert_true(bus_group_owns(group, partition));
    m->revoked++;
    m->lost += lost;
    m->has_revoked = true;
}

static void on_end(struct bus_group *group, enum topic topic, int32_t partition, int64_t end_offset,
                   void *arg)
{
    struct member *m = arg;
    (void)group;
    (void)topic;
    m->end[partition] = end_offset;
    m->has_ended = true;
}

static const enum topic source_only[] = {TOPIC_SOURCE};

static void member_up(struct member *m, struct cluster *cluster, struct loop *loop,
                      const char *instance, const struct bus_group_conf *extra)
{
    struct err err = {0};
    struct bus_group_conf conf = extra ? *extra : (struct bus_group_conf){0};
    struct bus_group_handler handler = {.on_record = on_record,
                                        .on_assign = on_assign,
                                        .on_revoke = on_revoke,
                                        .on_end = on_end,
                                        .arg = m};
    memset(m, 0, sizeof(*m));
    m->last[0] = m->last[1] = m->expect_from[0] = m->expect_from[1] = -1;
    side_up_on(&m->side, loop, cluster, "test", instance);
    conf.commit_every_ms = 100;
    if (!conf.topics) {
        conf.topics = source_only;
        conf.topic_count = 1;
    }
    if (bus_group_new(&m->group, m->side.bus, &conf, &handler, &err) != 0)
        fail_msg("%s", err.msg);
}

static void on_closed(void *arg)
{
    bool *closed = arg;
    *closed = true;
}

static void member_down(struct member *m)
{
    bus_group_close(m->group, on_closed, &m->closed);
    wait_until(m->side.loop, &m->closed, "leaving the group");
    bus_free(m->side.bus);
}

static void on_ack(const struct bus_ack *ack, void *arg)
{
    assert_true(ack->ok);
    countdown_one(arg);
}

static void fill(struct cluster *cluster, enum topic topic, int32_t partition, size_t count)
{
    struct side side;
    struct bus_producer *producer;
    struct countdown left = {.left = count};
    side_up(&side, cluster, "fill", "1");
    assert_int_equal(bus_producer_new(&producer, side.bus, NULL, NULL), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(bus_produce_raw(producer, topic, partition, "k", 1, "v", 1, NULL, 0,
                                         on_ack, &left, NULL),
                         0);
    wait_until(side.loop, &left.done, "acknowledgements");
    bus_producer_free(producer);
    side_down(&side);
}

static size_t times(const struct member *m, int32_t partition, int64_t from, int64_t to)
{
    size_t n = 0;
    for (int64_t o = from; o < to; o++)
        n += m->seen[partition][o];
    return n;
}

static bool not_each_tenth(int64_t offset)
{
    return offset % 10 != 3;
}

static void what_was_settled_is_not_delivered_again_and_the_rest_is(void **state)
{
    struct cluster *cluster = *state;
    struct member m;
    struct loop *loop = loop_new(4);
    struct bus_group_conf conf = {.commit_ranges = true};
    cluster_topic(cluster, TOPIC_SOURCE, 2);
    fill(cluster, TOPIC_SOURCE, 0, 100);
    fill(cluster, TOPIC_SOURCE, 1, 50);
    member_up(&m, cluster, loop, "1", &conf);
    m.want = 150;
    m.settle = not_each_tenth;
    wait_until(loop, &m.done, "150 records");
    assert_int_equal(m.assigned, 2);
    member_down(&m);
    assert_int_equal(m.revoked, 0); /* its owner closed it */
    fill(cluster, TOPIC_SOURCE, 0, 10);
    member_up(&m, cluster, loop, "1", &conf);
    m.want = 25;
    wait_until(loop, &m.done, "25 records");
    loop_run_for(loop, 300, NULL);
    assert_int_equal(m.count, 25);
    for (int64_t o = 0; o < 100; o++)
        assert_int_equal(m.seen[0][o], o % 10 == 3);
    assert_int_equal(times(&m, 0, 100, 110), 10);
    assert_int_equal(times(&m, 1, 0, 50), 5);
    member_down(&m);
    member_up(&m, cluster, loop, "1", &conf);
    wait_until(loop, &m.has_ended, "end");
    loop_run_for(loop, 300, NULL);
    assert_int_equal(m.count, 0);
    assert_int_equal(m.end[0], 110);
    member_down(&m);
    loop_free(loop);
}

static void without_ranges_all_from_the_first_unsettled_comes_again(void **state)
{
    struct cluster *cluster = *state;
    struct member m;
    struct loop *loop = loop_new(4);
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    fill(cluster, TOPIC_SOURCE, 0, 100);
    member_up(&m, cluster, loop, "1", NULL);
    m.want = 100;
    m.settle = not_each_tenth;
    wait_until(loop, &m.done, "100 records");
    member_down(&m);
    member_up(&m, cluster, loop, "1", NULL);
    m.want = 97;
    wait_until(loop, &m.done, "97 records");
    loop_run_for(loop, 200, NULL);
    assert_int_equal(m.count, 97);
    assert_int_equal(m.seen[0][3], 1);
    member_down(&m);
    loop_free(loop);
}

static void a_crash_repeats_at_most_what_was_not_committed(void **state)
{
    struct cluster *cluster = *state;
    struct member m;
    struct loop *loop = loop_new(4);
    struct bus_group_conf conf = {.commit_ranges = true};
    if (cluster->mock) {
        print_message("LEFT OUT on a mock cluster: it knows no static members\n");
        loop_free(loop);
        skip();
    }
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    fill(cluster, TOPIC_SOURCE, 0, 1000);
    member_up(&m, cluster, loop, "1", &conf);
    m.want = 1000;
    m.settle = not_each_tenth;
    wait_until(loop, &m.done, "1000 records");
    loop_run_for(loop, 1000, NULL); /* more than commit_every_ms */
    struct member next; /* as the same instance, while the first is still there: it is fenced */
    m.hold = true;
    member_up(&next, cluster, loop, "1", &conf);
    next.want = 100;
    wait_until(loop, &next.done, "100 records");
    loop_run_for(loop, 300, NULL);
    assert_int_equal(next.count, 100);
    member_down(&m);
    member_down(&next);
    loop_free(loop);
}

static void a_partition_waits_when_too_much_is_unsettled_and_goes_on(void **state)
{
    struct cluster *cluster = *state;
    struct member m;
    struct loop *loop = loop_new(4);
    struct bus_group_conf conf = {.pending_max = 20};
    cluster_topic(cluster, TOPIC_SOURCE, 2);
    fill(cluster, TOPIC_SOURCE, 0, 1000);
    member_up(&m, cluster, loop, "1", &conf);
    m.hold = true;
    m.want = 20;
    wait_until(loop, &m.done, "20 records");
    loop_run_for(loop, 500, NULL);
    assert_int_equal(m.count, 20);
    assert_true(bus_group_any_paused_full(m.group));
    fill(cluster, TOPIC_SOURCE, 1, 5); /* the other partition goes on */
    m.done = false;
    m.want = 25;
    wait_until(loop, &m.done, "the other partition");
    for (int64_t o = 0; o < 20; o++)
        bus_group_done(m.group, TOPIC_SOURCE, 0, o);
    assert_false(bus_group_any_paused_full(m.group));
    m.hold = false;
    m.done = false;
    m.want = 1005;
    wait_until(loop, &m.done, "all records");
    loop_run_for(loop, 100, NULL);
    assert_int_equal(m.count, 1005);
    assert_int_equal(times(&m, 0, 0, 1000), 1000);
    member_down(&m);
    loop_free(loop);
}

static bool odd(int64_t offset)
{
    return offset % 2 == 1;
}

static void a_partition_waits_when_its_ranges_do_not_fit_a_commit(void **state)
{
    struct cluster *cluster = *state;
    struct member m;
    struct loop *loop = loop_new(4);
    struct bus_group_conf conf = {.commit_ranges = true};
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    fill(cluster, TOPIC_SOURCE, 0, 10000);
    member_up(&m, cluster, loop, "1", &conf);
    m.settle = odd;
    for (int i = 0; i < 300 && !bus_group_any_paused_full(m.group); i++)
        loop_run_for(loop, 100, NULL);
    assert_true(bus_group_any_paused_full(m.group));
    loop_run_for(loop, 500, NULL);
    size_t count = m.count;
    assert_true(count > 2000 && count < 10000);
    member_down(&m);
    member_up(&m, cluster, loop, "1", &conf); /* the ranges fitted: every second comes again */
    m.want = count / 2;
    m.hold = true;
    wait_until(loop, &m.done, "the unsettled ones");
    for (int64_t o = 0; o < (int64_t)count - 2; o++)
        assert_int_equal(m.seen[0][o], o % 2 == 0);
    member_down(&m);
    loop_free(loop);
}

static void partitions_move_to_a_member_that_joins_and_back(void **state)
{
    struct cluster *cluster = *state;
    struct member a, b;
    struct loop *loop = loop_new(8);
    static const enum topic topics[] = {TOPIC_SOURCE, TOPIC_COMMAND};
    struct bus_group_conf conf = {.topics = topics, .topic_count = 2};
    cluster_topic(cluster, TOPIC_SOURCE, 2);
    cluster_topic(cluster, TOPIC_COMMAND, 2);
    fill(cluster, TOPIC_SOURCE, 0, 100);
    fill(cluster, TOPIC_COMMAND, 1, 100);
    member_up(&a, cluster, loop, "a", &conf);
    a.want = 200;
    wait_until(loop, &a.done, "200 records");
    assert_int_equal(a.assigned, 2); /* once a partition, not once a topic */
    int32_t own[4];
    assert_int_equal(bus_group_partitions(a.group, own, 4), 2);
    loop_run_for(loop, 400, NULL);
    member_up(&b, cluster, loop, "b", &conf);
    wait_until(loop, &b.has_assigned, "assignment of the second");
    for (int i = 0; i < 1200 && (bus_group_partitions(a.group, own, 4) != 1 ||
                                 bus_group_partitions(b.group, own, 4) != 1);
         i++)
        loop_run_for(loop, 50, NULL);
    assert_int_equal(bus_group_partitions(a.group, own, 4), 1);
    bool first = bus_group_owns(a.group, 0); /* by ids that the group's coordinator draws */
    assert_true(bus_group_owns(a.group, first ? 0 : 1)); /* the same of both topics */
    assert_int_equal(bus_group_partitions(b.group, own, 4), 1);
    assert_true(bus_group_owns(b.group, first ? 1 : 0));
    /* A group on a slow machine may share out more than once; each time both are told. */
    assert_true(a.revoked >= 2);
    assert_int_equal(a.assigned - a.revoked, 1);
    assert_int_equal(a.lost, 0);
    loop_run_for(loop, 300, NULL);
    assert_int_equal(a.count + b.count, 200); /* nothing settled came again */
    member_down(&b);
    member_down(&a);
    loop_free(loop);
}

static void a_manual_group_begins_paused_and_reads_where_its_owner_says(void **state)
{
    struct cluster *cluster = *state;
    struct member m;
    unsigned seed = 1;
    struct loop *loop = loop_new(4);
    struct bus_group_conf conf = {.manual_start = true};
    struct err err = {0};
    cluster_topic(cluster, TOPIC_SOURCE, 2);
    fill(cluster, TOPIC_SOURCE, 0, 10000);
    fill(cluster, TOPIC_SOURCE, 1, 1000);
    member_up(&m, cluster, loop, "1", &conf);
    wait_until(loop, &m.has_assigned, "assignment");
    loop_run_for(loop, 500, NULL);
    assert_int_equal(m.count, 0);
    assert_int_equal(bus_group_seek(m.group, TOPIC_SOURCE, 7, 0, &err), -1);
    for (int round = 0; round < 100; round++) {
        int64_t target = rand_r(&seed) % 10000;
        int64_t before = m.last[1];
        if (round % 3 == 0)
            bus_group_pause(m.group, TOPIC_SOURCE, 0, true);
        assert_int_equal(bus_group_seek(m.group, TOPIC_SOURCE, 0, target, &err), 0);
        m.expect_from[0] = target;
        loop_run_for(loop, rand_r(&seed) % 5, NULL);
        bus_group_pause(m.group, TOPIC_SOURCE, 0, false);
        for (int i = 0; i < 1000 && m.expect_from[0] >= 0; i++)
            loop_run_for(loop, 5, NULL);
        assert_int_equal(m.expect_from[0], -1);
        assert_int_equal(m.last[1], before); /* nobody resumed it */
    }
    bus_group_commit_at(m.group, TOPIC_SOURCE, 0, 4321);
    loop_run_for(loop, 300, NULL);
    member_down(&m);
    conf.manual_start = false; /* who reads the commits begins there */
    member_up(&m, cluster, loop, "1", &conf);
    m.expect_from[0] = 4321;
    m.want = 10000 - 4321 + 1000;
    wait_until(loop, &m.done, "the rest");
    member_down(&m);
    loop_free(loop);
}

static void on_record_close(struct bus_group *group, const struct bus_record *record, void *arg)
{
    struct member *m = arg;
    (void)record;
    m->count++;
    bus_group_close(group, on_closed, &m->closed);
}

static void a_group_may_be_closed_inside_its_callback_and_before_it_has_anything(void **state)
{
    struct cluster *cluster = *state;
    struct member m;
    struct loop *loop = loop_new(4);
    struct bus_group_conf conf = {.topics = source_only, .topic_count = 1};
    struct bus_group_handler handler = {.on_record = on_record_close, .arg = &m};
    cluster_topic(cluster, TOPIC_SOURCE, 1);
    fill(cluster, TOPIC_SOURCE, 0, 100);
    memset(&m, 0, sizeof(m));
    side_up_on(&m.side, loop, cluster, "test", "1");
    assert_int_equal(bus_group_new(&m.group, m.side.bus, &conf, &handler, NULL), 0);
    wait_until(loop, &m.closed, "closing");
    assert_int_equal(m.count, 1);
    m.closed = false;
    assert_int_equal(bus_group_new(&m.group, m.side.bus, &conf, &handler, NULL), 0);
    bus_group_close(m.group, on_closed, &m.closed);
    wait_until(loop, &m.closed, "closing");
    assert_int_equal(m.count, 1);
    bus_free(m.side.bus);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_settled_is_not_delivered_again_and_the_rest_is),
        cmocka_unit_test(without_ranges_all_from_the_first_unsettled_comes_again),
        cmocka_unit_test(a_crash_repeats_at_most_what_was_not_committed),
        cmocka_unit_test(a_partition_waits_when_too_much_is_unsettled_and_goes_on),
        cmocka_unit_test(a_partition_waits_when_its_ranges_do_not_fit_a_commit),
        cmocka_unit_test(partitions_move_to_a_member_that_joins_and_back),
        cmocka_unit_test(a_manual_group_begins_paused_and_reads_where_its_owner_says),
        cmocka_unit_test(a_group_may_be_closed_inside_its_callback_and_before_it_has_anything),
    };
    return cluster_run("group", tests, sizeof(tests) / sizeof(*tests));
}
