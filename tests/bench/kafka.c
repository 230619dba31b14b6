#include "tests/bench/kafka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ADMIN_TIMEOUT_MS 60000

void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- clients ---- */

static void set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    char text[256];
    if (rd_kafka_conf_set(conf, key, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        die(key, text);
}

static rd_kafka_conf_t *conf_of(const char *kafka)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", kafka);
    set(conf, "socket.nagle.disable", "true");
    return conf;
}

static rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char text[256];
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));
    if (!rk)
        die("cannot make a client", text);
    return rk;
}

rd_kafka_t *producer_new(const char *kafka, const char *const *settings, ack_fn *on_ack,
                         void *opaque)
{
    rd_kafka_conf_t *conf = conf_of(kafka);
    set(conf, "enable.idempotence", "true");
    set(conf, "acks", "all");
    for (; *settings; settings += 2)
        set(conf, settings[0], settings[1]);
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_conf_set_dr_msg_cb(conf, on_ack);
    return client_new(RD_KAFKA_PRODUCER, conf);
}

rd_kafka_t *consumer_new(const char *kafka, const char *topic, int partitions)
{
    rd_kafka_conf_t *conf = conf_of(kafka);
    set(conf, "group.id", topic); /* never joined; assigning by hand wants one */
    set(conf, "enable.auto.commit", "false");
    rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int p = 0; p < partitions; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = 0;
    if (rd_kafka_assign(rk, list))
        die("cannot assign", topic);
    rd_kafka_topic_partition_list_destroy(list);
    return rk;
}

/* ---- topics ---- */

static void wait_for(rd_kafka_queue_t *queue, const char *what)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_TIMEOUT_MS);
    if (!event || rd_kafka_event_error(event))
        die(what, event ? rd_kafka_event_error_string(event) : "no answer");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
}

void topic_make(rd_kafka_t *rk, const char *name, int partitions)
{
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, -1, NULL, 0);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_ANY);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    char text[256];
    rd_kafka_AdminOptions_set_operation_timeout(options, ADMIN_TIMEOUT_MS, text, sizeof(text));
    rd_kafka_CreateTopics(rk, &topic, 1, options, queue);
    wait_for(queue, "cannot make a topic");
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(topic);
}

void topic_delete(rd_kafka_t *rk, const char *name)
{
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
    wait_for(queue, "cannot delete a topic");
    rd_kafka_DeleteTopic_destroy(topic);
}
