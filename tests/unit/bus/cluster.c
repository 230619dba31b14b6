#include "cluster.h"

#include <unistd.h>

#include "../unit.h"
#include "base/id.h"
#include "base/mem.h"

#define WAIT_MS 60000

static void admin_wait(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
}

void cluster_up(struct cluster *cluster, const char *bootstrap)
{
    char text[256], id[ID_SIZE];
    *cluster = (struct cluster){.real = bootstrap != NULL};
    id_random(id);
    snprintf(cluster->prefix, sizeof(cluster->prefix), "gantry-test-bus-%.8s", id);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "client.id", "test", text, sizeof(text));
    if (bootstrap)
        rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, text, sizeof(text));
    cluster->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(cluster->rk);
    if (!bootstrap) {
        cluster->mock = rd_kafka_mock_cluster_new(cluster->rk, 1);
        bootstrap = rd_kafka_mock_cluster_bootstraps(cluster->mock);
    }
    cluster->kafka = (struct conf_map){.pairs = cluster->pairs, .count = 1};
    cluster->pairs[0].key = mem_strdup("bootstrap.servers");
    strv_add(&cluster->pairs[0].values, bootstrap);
    /* A mock cluster has no long poll: it answers when this has passed. On a real one a partition
     * that seeks or is added waits for the answer to the fetch that is under way. */
    cluster->pairs[1].key = mem_strdup("fetch.wait.max.ms");
    strv_add(&cluster->pairs[1].values, "10");
    cluster->kafka.count = 2;
    if (cluster->mock) { /* it knows no static members: one that went is waited for */
        cluster->pairs[2].key = mem_strdup("session.timeout.ms");
        strv_add(&cluster->pairs[2].values, "6000");
        cluster->pairs[3].key = mem_strdup("heartbeat.interval.ms");
        strv_add(&cluster->pairs[3].values, "200");
        cluster->kafka.count = 4;
    }
}

static void delete_topics(struct cluster *cluster)
{
    rd_kafka_DeleteTopic_t *topics[64];
    size_t n = 0;
    for (; n < cluster->topics.count && n < 64; n++)
        topics[n] = rd_kafka_DeleteTopic_new(cluster->topics.items[n]);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(cluster->rk);
    rd_kafka_DeleteTopics(cluster->rk, topics, n, NULL, queue);
    admin_wait(queue);
    rd_kafka_DeleteTopic_destroy_array(topics, n);
}

void cluster_down(struct cluster *cluster)
{
    if (cluster->real && cluster->topics.count > 0)
        delete_topics(cluster);
    if (cluster->mock)
        rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->rk);
    for (size_t i = 0; i < cluster->kafka.count; i++) {
        free(cluster->pairs[i].key);
        strv_release(&cluster->pairs[i].values);
    }
    strv_release(&cluster->topics);
}

void cluster_will_delete(struct cluster *cluster, enum topic topic)
{
    char name[TOPIC_FULL_NAME_MAX];
    assert_int_equal(topic_full_name(topic, cluster->prefix, name, sizeof(name)), 0);
    if (!strv_has(&cluster->topics, name))
        strv_add(&cluster->topics, name);
}

/* A broker knows a new topic before it leads its partitions. What is produced between is refused,
 * tried again, and may then be called a copy: bus_ack is `unknown` for it, as it should be. */
static void wait_for_leader(struct cluster *cluster, const char *name, int32_t partition)
{
    const struct rd_kafka_metadata *metadata;
    int64_t low, high;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(cluster->rk, name, NULL);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (int i = 0; i < WAIT_MS / 50 && code; i++) {
        /* An answer that lacks the partition is kept for minutes by the client: ask anew. */
        if (!rd_kafka_metadata(cluster->rk, 0, topic, &metadata, WAIT_MS))
            rd_kafka_metadata_destroy(metadata);
        code = rd_kafka_query_watermark_offsets(cluster->rk, name, partition, &low, &high, WAIT_MS);
        if (code)
            usleep(50000);
    }
    rd_kafka_topic_destroy(topic);
    assert_int_equal(code, 0);
}

void cluster_topic(struct cluster *cluster, enum topic topic, int32_t partitions)
{
    cluster_will_delete(cluster, topic);
    const char *name = cluster->topics.items[cluster->topics.count - 1];
    if (cluster->mock) {
        rd_kafka_resp_err_t code = rd_kafka_mock_topic_create(cluster->mock, name, partitions, 1);
        assert_true(!code || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS); /* it makes its own */
        return;
    }
    rd_kafka_NewTopic_t *made = rd_kafka_NewTopic_new(name, partitions, 1, NULL, 0);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(cluster->rk);
    rd_kafka_CreateTopics(cluster->rk, &made, 1, NULL, queue);
    admin_wait(queue);
    rd_kafka_NewTopic_destroy(made);
    for (int32_t p = 0; p < partitions; p++)
        wait_for_leader(cluster, name, p);
}

void cluster_stores(struct cluster *cluster, bool stores)
{
    if (!cluster->mock)
        return;
    if (stores)
        rd_kafka_mock_broker_set_up(cluster->mock, 1);
    else
        rd_kafka_mock_broker_set_down(cluster->mock, 1);
}

void side_up_on(struct side *side, struct loop *loop, struct cluster *cluster, const char *service,
                const char *instance)
{
    struct err err = {0};
    struct bus_conf conf = {.kafka = &cluster->kafka,
                            .prefix = cluster->prefix,
                            .service = service,
                            .instance = instance};
    side->loop = loop;
    if (bus_new(&side->bus, loop, &conf, &err) != 0)
        fail_msg("%s", err.msg);
}

void side_up(struct side *side, struct cluster *cluster, const char *service, const char *instance)
{
    side_up_on(side, loop_new(4), cluster, service, instance);
}

void side_down(struct side *side)
{
    bus_free(side->bus);
    loop_free(side->loop);
}

void wait_until(struct loop *loop, const bool *flag, const char *what)
{
    if (!*flag)
        loop_run_for(loop, WAIT_MS, flag);
    if (!*flag)
        fail_msg("waited %d s in vain: %s", WAIT_MS / 1000, what);
}

void countdown_one(struct countdown *c)
{
    if (c->left > 0)
        c->left--;
    c->done = c->left == 0;
}

/* ---- the same tests on both ---- */

static const char *bootstrap_now;

static int test_setup(void **state)
{
    struct cluster *cluster = mem_alloc(sizeof(*cluster));
    cluster_up(cluster, bootstrap_now);
    *state = cluster;
    return 0;
}

static int test_teardown(void **state)
{
    cluster_down(*state);
    free(*state);
    return 0;
}

int cluster_run(const char *name, const struct CMUnitTest *tests, size_t count)
{
    struct CMUnitTest copies[64];
    char group[128];
    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++) {
        copies[i] = tests[i];
        copies[i].setup_func = test_setup;
        copies[i].teardown_func = test_teardown;
    }
    bootstrap_now = NULL;
    snprintf(group, sizeof(group), "%s, mock cluster", name);
    int failures = _cmocka_run_group_tests(group, copies, count, NULL, NULL);
    bootstrap_now = getenv("GANTRY_KAFKA");
    if (!bootstrap_now || !*bootstrap_now) {
        printf("LEFT OUT: %s on a real broker: GANTRY_KAFKA is not set\n", name);
        return failures;
    }
    snprintf(group, sizeof(group), "%s, real broker", name);
    return failures + _cmocka_run_group_tests(group, copies, count, NULL, NULL);
}
