/* DESIGN. Pausing and seeking in librdkafka 2.0.2 raise the partition's version in the thread that
 * calls; what was fetched under an older one is thrown away when it is taken from the queue, so
 * after rd_kafka_pause_partitions() returned nothing of before is delivered. But a seek is refused
 * where the partition's fetcher has not begun, and only the blocking form tells. So a seek is:
 * pause on the loop, seek on a worker, try again where refused, resume on the loop. The partition
 * delivers nothing in between, and nothing of before after. */
#include "bus/consumer.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"

#define SEEK_TIMEOUT_MS 5000
#define SEEK_AGAIN_MS   50
#define SERVE_MAX_US    10000 /* a turn ends after this, too */
#define HEADERS_MAX     64

static bool serve(void *arg);
static void seek_start(void *arg);

void consumer_init(struct consumer *consumer, struct bus *bus, const struct consumer_owner *owner)
{
    *consumer = (struct consumer){.bus = bus, .owner = *owner};
    consumer->seek_timer = loop_timer_new(bus->loop, seek_start, consumer);
}

static void on_fatal(void *arg, const struct err *err)
{
    struct consumer *consumer = arg;
    consumer->owner.on_fatal(consumer->owner.arg, err);
}

int consumer_start(struct consumer *consumer, rd_kafka_conf_t *conf, struct err *err)
{
    struct client_owner owner = {.serve = serve, .on_fatal = on_fatal, .arg = consumer};
    return client_new(&consumer->client, consumer->bus, CLIENT_CONSUMER, conf, &owner, err);
}

void consumer_stop(struct consumer *consumer)
{
    struct toppar *tp;
    while ((tp = consumer_next(consumer, NULL)))
        consumer_forget(consumer, tp);
    loop_timer_cancel(consumer->seek_timer);
    consumer->seek_job = false;
    consumer->deaf = false;
    if (consumer->closing)
        rd_kafka_queue_destroy(consumer->closing);
    consumer->closing = NULL;
    client_retire(consumer->client);
    consumer->client = NULL;
}

void consumer_release(struct consumer *consumer)
{
    consumer_stop(consumer);
    for (int i = 0; i < TOPIC_COUNT; i++) {
        free(consumer->toppars[i]);
        consumer->toppars[i] = NULL;
        consumer->toppar_counts[i] = 0;
    }
    loop_timer_free(consumer->seek_timer);
    consumer->seek_timer = NULL;
}

/* ---- partitions ---- */

struct toppar *consumer_find(const struct consumer *consumer, enum topic topic, int32_t partition)
{
    if (partition < 0 || partition >= consumer->toppar_counts[topic])
        return NULL;
    return consumer->toppars[topic][partition];
}

struct toppar *consumer_add(struct consumer *consumer, enum topic topic, int32_t partition,
                            int64_t next)
{
    struct toppar *tp = consumer_find(consumer, topic, partition);
    if (tp) {
        tp->next = next;
        return tp;
    }
    int32_t count = consumer->toppar_counts[topic];
    if (partition >= count) {
        consumer->toppars[topic] = mem_realloc(consumer->toppars[topic], (size_t)partition + 1,
                                               sizeof(*consumer->toppars[topic]));
        for (; count <= partition; count++)
            consumer->toppars[topic][count] = NULL;
        consumer->toppar_counts[topic] = count;
    }
    tp = mem_alloc(sizeof(*tp));
    *tp = (struct toppar){
        .topic = topic, .partition = partition, .next = next, .committed = -1, .commit_at = -1};
    consumer->toppars[topic][partition] = tp;
    return tp;
}

void consumer_forget(struct consumer *consumer, struct toppar *tp)
{
    consumer->toppars[tp->topic][tp->partition] = NULL;
    watermark_release(&tp->wm);
    free(tp);
}

struct toppar *consumer_next(const struct consumer *consumer, const struct toppar *tp)
{
    int topic = tp ? (int)tp->topic : 0;
    int32_t partition = tp ? tp->partition + 1 : 0;
    for (; topic < TOPIC_COUNT; topic++, partition = 0) {
        for (; partition < consumer->toppar_counts[topic]; partition++) {
            if (consumer->toppars[topic][partition])
                return consumer->toppars[topic][partition];
        }
    }
    return NULL;
}

/* ---- pausing ---- */

static void tell_pause(struct consumer *consumer, struct toppar *tp)
{
    bool hold = tp->paused != 0;
    if (hold == tp->held || !consumer->client)
        return;
    tp->held = hold;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, consumer->bus->names[tp->topic], tp->partition);
    list->elems[0].offset = tp->next;
    if (hold) {
        rd_kafka_pause_partitions(consumer->client->rk, list);
    } else {
        rd_kafka_resume_partitions(consumer->client->rk, list);
        rd_kafka_seek_partitions(consumer->client->rk, list, 0);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void consumer_pause(struct consumer *consumer, struct toppar *tp, unsigned why)
{
    tp->paused |= why;
    tell_pause(consumer, tp);
}

void consumer_resume(struct consumer *consumer, struct toppar *tp, unsigned why)
{
    tp->paused &= ~why;
    tell_pause(consumer, tp);
}

/* ---- seeking ---- */

struct seek {
    struct consumer *consumer;
    struct client *client;
    rd_kafka_topic_partition_list_t *list;
    unsigned *numbers; /* seek_no of each at the start, in the list's order */
    enum topic *topics;
    rd_kafka_error_t *error;
};

static void seek_work(void *arg)
{
    struct seek *seek = arg;
    seek->error = rd_kafka_seek_partitions(seek->client->rk, seek->list, SEEK_TIMEOUT_MS);
}

static void seek_free(struct seek *seek)
{
    if (seek->error)
        rd_kafka_error_destroy(seek->error);
    rd_kafka_topic_partition_list_destroy(seek->list);
    free(seek->numbers);
    free(seek->topics);
    free(seek);
}

static void seek_done(void *arg)
{
    struct seek *seek = arg;
    struct consumer *consumer = seek->consumer;
    bool again = false;
    if (seek->client->retired) { /* and the consumer with it, perhaps */
        seek_free(seek);
        return;
    }
    consumer->seek_job = false;
    for (int i = 0; i < seek->list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &seek->list->elems[i];
        struct toppar *tp = consumer_find(consumer, seek->topics[i], p->partition);
        if (!tp || !(tp->paused & PAUSED_SEEKING))
            continue;
        if (tp->seek_no == seek->numbers[i] && p->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            consumer_resume(consumer, tp, PAUSED_SEEKING);
        else
            again = true;
    }
    /* Those asked for meanwhile start now; there may be none. */
    loop_timer_arm(consumer->seek_timer, again ? SEEK_AGAIN_MS : 0);
    seek_free(seek);
}

/* All partitions that wait for a seek, in one job. */
static void seek_start(void *arg)
{
    struct consumer *consumer = arg;
    size_t count = 0;
    if (consumer->seek_job || !consumer->client)
        return;
    for (struct toppar *tp = NULL; (tp = consumer_next(consumer, tp));)
        count += (tp->paused & PAUSED_SEEKING) != 0;
    if (count == 0)
        return;
    struct seek *seek = mem_alloc(sizeof(*seek));
    seek->consumer = consumer;
    seek->client = consumer->client;
    seek->list = rd_kafka_topic_partition_list_new((int)count);
    seek->numbers = mem_alloc(count * sizeof(*seek->numbers));
    seek->topics = mem_alloc(count * sizeof(*seek->topics));
    for (struct toppar *tp = NULL; (tp = consumer_next(consumer, tp));) {
        if (!(tp->paused & PAUSED_SEEKING))
            continue;
        seek->numbers[seek->list->cnt] = tp->seek_no;
        seek->topics[seek->list->cnt] = tp->topic;
        rd_kafka_topic_partition_list_add(seek->list, consumer->bus->names[tp->topic],
                                          tp->partition)
            ->offset = tp->next;
    }
    consumer->seek_job = true;
    client_job(consumer->client, seek_work, seek_done, seek);
}

void consumer_seek(struct consumer *consumer, struct toppar *tp, int64_t offset)
{
    tp->next = offset;
    tp->seek_no++;
    tp->ended = false;
    consumer_pause(consumer, tp, PAUSED_SEEKING);
    if (!loop_timer_armed(consumer->seek_timer))
        loop_timer_arm(consumer->seek_timer, 0);
}

/* ---- serving ---- */

static size_t read_headers(const rd_kafka_message_t *message,
                           struct event_header headers[HEADERS_MAX])
{
    rd_kafka_headers_t *all;
    size_t n = 0;
    if (rd_kafka_message_headers(message, &all) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    while (n < HEADERS_MAX && rd_kafka_header_get_all(all, n, &headers[n].name, &headers[n].value,
                                                      &headers[n].len) == 0)
        n++;
    return n;
}

static void deliver(struct consumer *consumer, struct toppar *tp, const rd_kafka_message_t *message)
{
    struct event_header headers[HEADERS_MAX];
    rd_kafka_timestamp_type_t type;
    struct bus_record record = {
        .topic = tp->topic,
        .partition = tp->partition,
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = message->key,
        .key_len = message->key_len,
        .value = message->payload,
        .value_len = message->len,
        .headers = headers,
        .header_count = read_headers(message, headers),
    };
    if (consumer->bus->metrics)
        metric_add(consumer->bus->consumed[tp->topic], 1);
    consumer->owner.on_record(consumer->owner.arg, tp, &record);
}

/* A record or an end of a partition that is not to deliver now: librdkafka lost the pause to an act
 * of its own at the same moment. It is read again later. */
static void put_back(struct consumer *consumer, struct toppar *tp, int64_t offset)
{
    if (tp->paused & PAUSED_SEEKING)
        return;
    tp->held = false;
    consumer_seek(consumer, tp, offset);
}

static void take(struct consumer *consumer, const rd_kafka_message_t *message)
{
    struct client *client = consumer->client;
    bool end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    const char *text = message->err ? rd_kafka_message_errstr(message) : "";
    if (message->err == RD_KAFKA_RESP_ERR__FATAL) {
        struct err err = {0};
        err_set(&err, ERR_FATAL, "%s", text);
        consumer->owner.on_fatal(consumer->owner.arg, &err);
        return;
    }
    if (message->err && !end) {
        client_trouble(client, message->err, "cannot read from Kafka; trying again", text);
        return;
    }
    client_well(client);
    enum topic topic = bus_topic_by_full_name(consumer->bus, rd_kafka_topic_name(message->rkt));
    struct toppar *tp =
        topic < TOPIC_COUNT ? consumer_find(consumer, topic, message->partition) : NULL;
    if (!tp || consumer->deaf)
        return;
    if (tp->paused) {
        put_back(consumer, tp, message->offset);
        return;
    }
    tp->next = end ? message->offset : message->offset + 1;
    if (end)
        consumer->owner.on_end(consumer->owner.arg, tp, message->offset);
    else
        deliver(consumer, tp, message);
}

static bool serve(void *arg)
{
    struct consumer *consumer = arg;
    struct client *client = consumer->client;
    int64_t until_us = clock_mono_us() + SERVE_MAX_US;
    bool more = false;
    for (int i = 0; i < SERVE_MAX && !client->retired; i++) {
        rd_kafka_message_t *message = consumer->closing
                                          ? rd_kafka_consume_queue(consumer->closing, 0)
                                          : rd_kafka_consumer_poll(client->rk, 0);
        if (!message) {
            more = false;
            break;
        }
        more = true;
        if (!client->retired)
            take(consumer, message);
        rd_kafka_message_destroy(message);
        if (clock_mono_us() > until_us)
            break;
    }
    if (client->retired)
        return false;
    if (consumer->owner.on_served)
        consumer->owner.on_served(consumer->owner.arg);
    return more && !client->retired;
}
