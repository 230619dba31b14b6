/* bench_relay: what a plain relay gets through. Reads a topic of records that are there already and
 * produces each to another, idempotent and acknowledged by all, with librdkafka's own settings for
 * throughput; nothing in between. The ceiling that the promoter's Decisions a second are held
 * against.
 *
 *   bench_relay --kafka HOST:PORT [--records 300000] [--size 800] [--partitions 12]
 *
 * The topics are made for the run and deleted after it. Prints one JSON object. */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/kafka.h"

#define TIMEOUT_MS 60000
#define BATCH      1000

struct relay {
    const char *kafka;
    long records, partitions;
    size_t size_bytes;
    char from[64], to[64];
    long acked, failed;
};

static void on_ack(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct relay *relay = opaque;

    (void)rk;
    relay->acked++;
    relay->failed += message->err != 0;
}

/* ---- records ---- */

static void produce(struct relay *relay, rd_kafka_t *rk, const char *topic, int32_t partition,
                    const void *value, size_t len)
{
    rd_kafka_resp_err_t code;

    while ((code = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                                     RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                     RD_KAFKA_V_VALUE((void *)value, len), RD_KAFKA_V_END)) ==
           RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(rk, 10);
    if (code)
        die("cannot produce", rd_kafka_err2str(code));
    rd_kafka_poll(rk, 0);
    if (relay->failed)
        die("cannot produce", "a record failed");
}

static void fill(struct relay *relay, rd_kafka_t *rk)
{
    char *value = malloc(relay->size_bytes);

    if (!value)
        die("records", "out of memory");
    for (size_t i = 0; i < relay->size_bytes; i++) /* compresses as little as hashes and ids do */
        value[i] = (char)rand();
    for (long i = 0; i < relay->records; i++)
        produce(relay, rk, relay->from, (int32_t)(i % relay->partitions), value, relay->size_bytes);
    rd_kafka_flush(rk, TIMEOUT_MS);
    free(value);
}

static double pass(struct relay *relay, rd_kafka_t *producer)
{
    rd_kafka_t *rk = consumer_new(relay->kafka, relay->from, (int)relay->partitions);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t *batch[BATCH];
    int64_t began = 0;
    double took_s;
    long read = 0;

    relay->acked = 0;
    while (read < relay->records) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, batch, BATCH);

        began = began == 0 && count > 0 ? now_us() : began;
        for (ssize_t i = 0; i < count; i++) {
            if (!batch[i]->err) {
                produce(relay, producer, relay->to, batch[i]->partition, batch[i]->payload,
                        batch[i]->len);
                read++;
            }
            rd_kafka_message_destroy(batch[i]);
        }
    }
    while (relay->acked < relay->records)
        rd_kafka_poll(producer, 100);
    took_s = (double)(now_us() - began) / 1e6;
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return took_s;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"kafka", 1, 0, 'k'},
                                            {"records", 1, 0, 'n'},
                                            {"size", 1, 0, 's'},
                                            {"partitions", 1, 0, 'p'},
                                            {0}};
    static const char *const settings[] = {"queue.buffering.max.messages", "1000000", NULL};
    struct relay relay = {.records = 300000, .partitions = 12, .size_bytes = 800};
    rd_kafka_t *producer;
    double took;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'k')
            relay.kafka = optarg;
        else if (option == 'n')
            relay.records = atol(optarg);
        else if (option == 's')
            relay.size_bytes = (size_t)atol(optarg);
        else if (option == 'p')
            relay.partitions = atol(optarg);
        else
            return 2;
    }
    if (!relay.kafka || relay.records < 1 || relay.partitions < 1 || relay.size_bytes < 1) {
        fprintf(
            stderr,
            "usage: bench_relay --kafka HOST:PORT [--records N] [--size BYTES] [--partitions P]\n");
        return 2;
    }
    snprintf(relay.from, sizeof relay.from, "bench-relay-%d-from", (int)getpid());
    snprintf(relay.to, sizeof relay.to, "bench-relay-%d-to", (int)getpid());
    producer = producer_new(relay.kafka, settings, on_ack, &relay);
    topic_make(producer, relay.from, (int)relay.partitions);
    topic_make(producer, relay.to, (int)relay.partitions);
    fill(&relay, producer);
    took = pass(&relay, producer);
    topic_delete(producer, relay.from);
    topic_delete(producer, relay.to);
    rd_kafka_destroy(producer);
    printf("{\"records\": %ld, \"size\": %zu, \"seconds\": %.3f, \"per_second\": %.0f}\n",
           relay.records, relay.size_bytes, took, (double)relay.records / took);
    return 0;
}
