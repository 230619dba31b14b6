/* bench_hop: the floor under every other figure. A plain librdkafka relay on a real broker measures
 * one hop: a record produced, acknowledged by all replicas, and consumed; then the next is
 * produced. Best-case settings: one partition, no batching delay, nothing in between.
 *
 *   bench_hop --kafka HOST:PORT [--seconds 10] [--rate RECORDS_A_SECOND] [--size 256]
 *
 * With --rate, that many records a second pass through another topic of 12 partitions at the same
 * time, produced and consumed. The topics are made for the run and deleted after it. Prints one
 * JSON object; times are in milliseconds. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/kafka.h"

#define WARM_UP               300 /* hops that do not count */
#define BACKGROUND_PARTITIONS 12
#define HOPS_MAX              4000000

struct options {
    const char *kafka;
    double seconds;
    long rate;
    size_t size_bytes;
};

struct relay {
    const struct options *options;
    char hop_topic[64], background_topic[80];
    rd_kafka_t *producer;
    pthread_mutex_t lock;
    pthread_cond_t acked;
    int64_t acked_offset; /* of the last record acknowledged */
    int64_t acked_us;
    uint32_t *hops_us, *consumed_us;
    size_t count;
    atomic_bool stop, failed;
    atomic_long background_produced, background_consumed;
};

static atomic_bool interrupted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = true;
}

/* ---- the relay ---- */

static const char *const at_once[] = {"linger.ms", "0", NULL};

static void on_hop_ack(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct relay *relay = opaque;
    (void)rk;
    if (message->err) {
        fprintf(stderr, "bench_hop: %s\n", rd_kafka_err2str(message->err));
        relay->failed = true;
    }
    pthread_mutex_lock(&relay->lock);
    relay->acked_offset = message->offset;
    relay->acked_us = now_us();
    pthread_cond_signal(&relay->acked);
    pthread_mutex_unlock(&relay->lock);
}

static void *poll_producer(void *arg)
{
    struct relay *relay = arg;
    while (!relay->stop)
        rd_kafka_poll(relay->producer, 100);
    return NULL;
}

static void produce(struct relay *relay, rd_kafka_t *rk, const char *topic, int32_t partition,
                    const char *value)
{
    rd_kafka_resp_err_t code = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_VALUE((void *)value, relay->options->size_bytes), RD_KAFKA_V_END);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return; /* the background is as fast as it can be */
    if (code)
        die("cannot produce", rd_kafka_err2str(code));
}

/* Waits until the record at `offset` is acknowledged; the time at which it was. */
static int64_t wait_for_ack(struct relay *relay, int64_t offset)
{
    pthread_mutex_lock(&relay->lock);
    while (relay->acked_offset < offset && !relay->failed)
        pthread_cond_wait(&relay->acked, &relay->lock);
    int64_t at_us = relay->acked_us;
    pthread_mutex_unlock(&relay->lock);
    return at_us;
}

static void run_relay(struct relay *relay)
{
    rd_kafka_t *consumer = consumer_new(relay->options->kafka, relay->hop_topic, 1);
    char *value = calloc(1, relay->options->size_bytes + 1);
    int64_t end_us = 0, start_us = now_us();
    size_t hops = 0;
    produce(relay, relay->producer, relay->hop_topic, 0, value);
    while (!interrupted && !relay->failed && relay->count < HOPS_MAX) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 1000);
        if (!message)
            continue;
        int64_t consumed_us = now_us();
        bool record = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        int64_t offset = message->offset;
        if (!record)
            fprintf(stderr, "bench_hop: %s\n", rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
        if (!record)
            continue;
        int64_t acked_us = wait_for_ack(relay, offset);
        if (++hops == WARM_UP)
            end_us = now_us() + (int64_t)(relay->options->seconds * 1e6);
        if (hops > WARM_UP) {
            int64_t both_us = acked_us > consumed_us ? acked_us : consumed_us;
            relay->hops_us[relay->count] = (uint32_t)(both_us - start_us);
            relay->consumed_us[relay->count++] = (uint32_t)(consumed_us - start_us);
            if (now_us() > end_us)
                break;
        }
        start_us = now_us();
        produce(relay, relay->producer, relay->hop_topic, 0, value);
    }
    free(value);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}

/* ---- the background ---- */

static void on_background_ack(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct relay *relay = opaque;
    (void)rk;
    if (!message->err)
        relay->background_produced++;
}

static void sleep_until(int64_t at_us)
{
    const struct timespec at = {.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        continue;
}

/* Evenly, one after the other and over all partitions, as the records of many pipelines come. A
 * client left to itself sends what comes within 10 ms to one partition, in one request. */
static void *run_background_producer(void *arg)
{
    struct relay *relay = arg;
    rd_kafka_t *rk = producer_new(relay->options->kafka, at_once, on_background_ack, relay);
    char *value = calloc(1, relay->options->size_bytes + 1);
    int64_t start_us = now_us();
    for (int64_t sent = 0; !relay->stop; sent++) {
        sleep_until(start_us + sent * 1000000 / relay->options->rate);
        produce(relay, rk, relay->background_topic, (int32_t)(sent % BACKGROUND_PARTITIONS), value);
        rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 5000);
    rd_kafka_destroy(rk);
    free(value);
    return NULL;
}

static void *run_background_consumer(void *arg)
{
    struct relay *relay = arg;
    rd_kafka_t *rk =
        consumer_new(relay->options->kafka, relay->background_topic, BACKGROUND_PARTITIONS);
    while (!relay->stop) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 100);
        if (!message)
            continue;
        relay->background_consumed += message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return NULL;
}

/* ---- the result ---- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_ms(const uint32_t *sorted, size_t count, double p)
{
    size_t i = (size_t)(p / 100 * (double)(count - 1) + 0.5);
    return sorted[i] / 1000.0;
}

static void print_result(struct relay *relay, double took_s)
{
    qsort(relay->hops_us, relay->count, sizeof(*relay->hops_us), by_value);
    qsort(relay->consumed_us, relay->count, sizeof(*relay->consumed_us), by_value);
    printf("{\"hops\": %zu, \"p50\": %.3f, \"p95\": %.3f, \"p99\": %.3f, \"max\": %.3f, "
           "\"consumed_p50\": %.3f, \"rate\": %ld, \"background_produced_per_second\": %.0f, "
           "\"background_consumed_per_second\": %.0f}\n",
           relay->count, percentile_ms(relay->hops_us, relay->count, 50),
           percentile_ms(relay->hops_us, relay->count, 95),
           percentile_ms(relay->hops_us, relay->count, 99),
           percentile_ms(relay->hops_us, relay->count, 100),
           percentile_ms(relay->consumed_us, relay->count, 50), relay->options->rate,
           (double)relay->background_produced / took_s,
           (double)relay->background_consumed / took_s);
}

static void usage(void)
{
    fprintf(stderr, "usage: bench_hop --kafka HOST:PORT [--seconds S] [--rate RECORDS_A_SECOND] "
                    "[--size BYTES]\n");
    exit(2);
}

static void parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"kafka", required_argument, NULL, 'k'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"size", required_argument, NULL, 'z'},
                                          {NULL, 0, NULL, 0}};
    int c;
    *options = (struct options){
        .kafka = getenv("GANTRY_KAFKA"), .seconds = 10, .rate = 0, .size_bytes = 256};
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'k')
            options->kafka = optarg;
        else if (c == 's')
            options->seconds = strtod(optarg, NULL);
        else if (c == 'r')
            options->rate = strtol(optarg, NULL, 10);
        else if (c == 'z')
            options->size_bytes = strtoul(optarg, NULL, 10);
        else
            usage();
    }
    if (!options->kafka || options->seconds <= 0 || options->rate < 0 ||
        options->size_bytes > 900000)
        usage();
}

int main(int argc, char **argv)
{
    struct options options;
    struct relay relay = {.options = &options, .acked_offset = -1};
    pthread_t poller, background[2];
    parse(&options, argc, argv);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    pthread_mutex_init(&relay.lock, NULL);
    pthread_cond_init(&relay.acked, NULL);
    relay.hops_us = calloc(HOPS_MAX, sizeof(*relay.hops_us));
    relay.consumed_us = calloc(HOPS_MAX, sizeof(*relay.consumed_us));
    snprintf(relay.hop_topic, sizeof(relay.hop_topic), "gantry-bench-hop-%d-%lld", (int)getpid(),
             (long long)now_us());
    snprintf(relay.background_topic, sizeof(relay.background_topic), "%s-b", relay.hop_topic);

    relay.producer = producer_new(options.kafka, at_once, on_hop_ack, &relay);
    topic_make(relay.producer, relay.hop_topic, 1);
    if (options.rate) {
        topic_make(relay.producer, relay.background_topic, BACKGROUND_PARTITIONS);
        pthread_create(&background[0], NULL, run_background_producer, &relay);
        pthread_create(&background[1], NULL, run_background_consumer, &relay);
    }
    pthread_create(&poller, NULL, poll_producer, &relay);
    int64_t start_us = now_us();
    run_relay(&relay);
    double took_s = (double)(now_us() - start_us) / 1e6;
    relay.stop = true;
    pthread_join(poller, NULL);
    if (options.rate) {
        pthread_join(background[0], NULL);
        pthread_join(background[1], NULL);
        topic_delete(relay.producer, relay.background_topic);
    }
    topic_delete(relay.producer, relay.hop_topic);
    rd_kafka_destroy(relay.producer);
    if (relay.count == 0 || relay.failed)
        die("no hop was measured", relay.failed ? "producing failed" : "stopped too early");
    print_result(&relay, took_s);
    free(relay.hops_us);
    free(relay.consumed_us);
    return 0;
}
