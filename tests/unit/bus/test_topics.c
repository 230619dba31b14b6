#include "../unit.h"

#include "base/mem.h"
#include "bus/bus.h"
#include "cluster.h"

struct report {
    size_t created, existed, failed;
};

static void on_topic(enum topic topic, const char *name, bool created, const struct err *err,
                     void *arg)
{
    struct report *report = arg;
    assert_true(topic < TOPIC_COUNT);
    assert_non_null(strstr(name, topic_info(topic)->name));
    report->created += created;
    report->existed += !created && !err;
    report->failed += err != NULL;
}

struct answer {
    struct bus_topic_state states[TOPIC_COUNT];
    size_t count;
    struct err err;
    bool done;
};

static void on_states(const struct bus_topic_state *states, size_t count, const struct err *err,
                      void *arg)
{
    struct answer *answer = arg;
    if (err)
        answer->err = *err;
    for (size_t i = 0; i < count; i++)
        answer->states[i] = states[i];
    answer->count = count;
    answer->done = true;
}

static void describe(struct side *side, struct answer *answer)
{
    *answer = (struct answer){0};
    bus_topics_describe(side->bus, 10000, on_states, answer);
    wait_until(side->loop, &answer->done, "the topics' description");
    assert_string_equal(answer->err.msg, "");
    assert_int_equal(answer->count, TOPIC_COUNT);
}

static size_t problems_of(const struct answer *answer, const char *durability)
{
    struct strv problems = {0};
    bus_topics_check(answer->states, answer->count, durability, &problems);
    size_t count = problems.count;
    strv_release(&problems);
    return count;
}

static void topics_are_made_once_and_are_as_they_must_be(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct report report = {0};
    struct answer answer;
    struct err err = {0};
    if (cluster->mock) {
        print_message("LEFT OUT on a mock cluster: it makes no topics on request\n");
        skip();
    }
    side_up(&side, cluster, "test", "1");
    describe(&side, &answer);
    assert_int_equal(problems_of(&answer, "single"), TOPIC_COUNT); /* all missing */
    for (int i = 0; i < TOPIC_COUNT; i++)
        cluster_will_delete(cluster, (enum topic)i);
    if (bus_topics_create(side.bus, 2, 1, 30000, on_topic, &report, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(report.created, TOPIC_COUNT);
    report = (struct report){0};
    assert_int_equal(bus_topics_create(side.bus, 2, 1, 30000, on_topic, &report, &err), 0);
    assert_int_equal(report.existed, TOPIC_COUNT);
    describe(&side, &answer);
    for (size_t i = 0; i < TOPIC_COUNT; i++) {
        const struct bus_topic_state *s = &answer.states[i];
        const struct topic_info *info = topic_info(s->topic);
        assert_true(s->exists);
        assert_int_equal(s->partitions, 2);
        assert_int_equal(s->replicas, 1);
        assert_int_equal(s->min_isr, 1);
        assert_int_equal(s->compacted, info->compacted);
        assert_int_equal(s->append_time, info->append_time);
        assert_int_equal(s->retention_ms, info->retention_ms);
    }
    assert_int_equal(problems_of(&answer, "single"), 0);
    assert_int_equal(problems_of(&answer, "replicated"), 2 * TOPIC_COUNT);
    side_down(&side);
}

static void a_mock_clusters_topics_are_described_without_settings(void **state)
{
    struct cluster *cluster = *state;
    struct side side;
    struct answer answer;
    if (!cluster->mock)
        skip();
    cluster_topic(cluster, TOPIC_SOURCE, 3);
    side_up(&side, cluster, "test", "1");
    describe(&side, &answer);
    assert_true(answer.states[TOPIC_SOURCE].exists);
    assert_int_equal(answer.states[TOPIC_SOURCE].partitions, 3);
    assert_int_equal(answer.states[TOPIC_SOURCE].min_isr, -1);
    assert_false(answer.states[TOPIC_EVENT].exists);
    side_down(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_are_made_once_and_are_as_they_must_be),
        cmocka_unit_test(a_mock_clusters_topics_are_described_without_settings),
    };
    return cluster_run("topics", tests, sizeof(tests) / sizeof(*tests));
}
