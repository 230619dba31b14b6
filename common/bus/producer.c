#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/internal.h"
#include "bus/lanes.h"
#include "log/log.h"

#define QUEUE_MAX       100000
#define KEY_MAX         512
#define REMAKE_AFTER_MS 1000
#define QUIET_MS        10 /* acknowledgements of a quiet producer are looked for */
#define QUIET_MAX_MS    160
#define HELD_LOOK_MS    1                   /* the same while records are held behind them */
#define HELD_MAX_BYTES  ((size_t)128 << 20) /* as librdkafka's own queue */

/* A record on its way. */
struct waiting {
    LIST_ENTRY(waiting) link;
    struct bus_producer *producer;
    enum topic topic;
    size_t lane;
    struct held *held; /* NULL: handed to librdkafka */
    bus_ack_fn *ack;
    void *arg;
    int64_t since_us;
};
LIST_HEAD(waitings, waiting);

struct flush {
    STAILQ_ENTRY(flush) link;
    struct bus_producer *producer;
    struct loop_timer *timer;
    void (*done)(bool all, void *arg);
    void *arg;
};
STAILQ_HEAD(flushes, flush);

struct bus_producer {
    struct bus *bus;
    struct bus_producer_conf conf;
    struct client *client; /* NULL: dead, or about to be made anew */
    bool introduced[TOPIC_COUNT];
    struct waitings waitings;
    size_t count;
    struct lanes lanes[TOPIC_COUNT];
    size_t held_bytes;
    bool stuck; /* records are held in lanes that no acknowledgement is to come for */
    struct flushes flushes;
    struct loop_timer *remake;
    struct loop_timer *look; /* quiet: for acknowledgements; NULL: not quiet */
    int64_t look_after_ms;   /* 0: not armed */
    unsigned served;         /* in this turn */
    unsigned refs;           /* the owner's, and calls on the stack that may end with a free */
    bool freed;
};

static void unref(struct bus_producer *producer)
{
    if (--producer->refs > 0)
        return;
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        lanes_release(&producer->lanes[i]);
    free(producer);
}

/* ---- flushing ---- */

static void flush_end(struct flush *flush, bool all)
{
    STAILQ_REMOVE(&flush->producer->flushes, flush, flush, link);
    loop_timer_free(flush->timer);
    flush->done(all, flush->arg);
    free(flush);
}

static void flush_all(struct bus_producer *producer)
{
    while (producer->count == 0 && !STAILQ_EMPTY(&producer->flushes))
        flush_end(STAILQ_FIRST(&producer->flushes), true);
}

static void on_flush_timer(void *arg)
{
    struct flush *flush = arg;
    flush_end(flush, flush->producer->count == 0);
}

void bus_producer_flush(struct bus_producer *producer, int64_t timeout_ms,
                        void (*done)(bool all, void *arg), void *arg)
{
    struct flush *flush = mem_alloc(sizeof(*flush));
    *flush = (struct flush){.producer = producer, .done = done, .arg = arg};
    flush->timer = loop_timer_new(producer->bus->loop, on_flush_timer, flush);
    loop_timer_arm(flush->timer, producer->count ? timeout_ms : 0);
    STAILQ_INSERT_TAIL(&producer->flushes, flush, link);
}

/* ---- to librdkafka, at once or later (lanes.h) ---- */

/* Places a key as Java does; tells how many partitions there are. Any thread: by when
 * librdkafka calls, the producer may be gone, but not its client. */
static int32_t place(const rd_kafka_topic_t *topic, const void *key, size_t key_len, int32_t count,
                     void *partitions, void *opaque)
{
    atomic_store_explicit((_Atomic int32_t *)partitions, count, memory_order_relaxed);
    return rd_kafka_msg_partitioner_murmur2_random(topic, key, key_len, count, partitions, opaque);
}

static size_t held_size(const struct held *held)
{
    return held->key_len + held->value_len;
}

/* The topic's handle when it is used first, else NULL: making one asks for the topic's leaders at
 * once; a record alone waits for that until a timer of a second has run out. */
static rd_kafka_topic_t *introduce(struct bus_producer *producer, enum topic topic)
{
    if (producer->introduced[topic])
        return NULL;
    producer->introduced[topic] = true;
    rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(producer->client->rk);
    rd_kafka_topic_conf_set_partitioner_cb(conf, place);
    rd_kafka_topic_conf_set_opaque(conf, &producer->client->partitions[topic]);
    return rd_kafka_topic_new(producer->client->rk, producer->bus->names[topic], conf);
}

/* To librdkafka. What `record` has stays the caller's where it fails, and with MSG_F_COPY its key
 * and value anyway. */
static rd_kafka_resp_err_t hand(struct waiting *w, const struct held *record, int flags)
{
    struct bus_producer *producer = w->producer;
    rd_kafka_vu_t vus[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = producer->bus->names[w->topic]},
        {.vtype = RD_KAFKA_VTYPE_PARTITION,
         .u.i32 = record->partition < 0 ? RD_KAFKA_PARTITION_UA : record->partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = flags},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {.ptr = record->key, .size = record->key_len}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = record->value, .size = record->value_len}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = w},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = record->headers},
    };
    size_t count = sizeof(vus) / sizeof(*vus) - (record->headers ? 0 : 1);
    rd_kafka_topic_t *handle = introduce(producer, w->topic);
    rd_kafka_error_t *error = rd_kafka_produceva(producer->client->rk, vus, count);
    rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (handle)
        rd_kafka_topic_destroy(handle);
    if (error)
        rd_kafka_error_destroy(error);
    else
        lanes_hand(&producer->lanes[w->topic], w->lane);
    return code;
}

static void look_later(struct bus_producer *producer, int64_t after_ms)
{
    if (!producer->look || (producer->look_after_ms && producer->look_after_ms <= after_ms))
        return;
    producer->look_after_ms = after_ms;
    loop_timer_arm(producer->look, after_ms);
}

static void let_go(struct waiting *w)
{
    w->producer->held_bytes -= held_size(w->held);
    lanes_drop(&w->producer->lanes[w->topic], w->held);
    w->held = NULL;
}

/* ---- acknowledgements ---- */

static void settle(struct waiting *w, struct bus_ack *ack)
{
    struct bus_producer *producer = w->producer;
    struct bus *bus = producer->bus;
    LIST_REMOVE(w, link);
    producer->count--;
    if (w->held)
        let_go(w);
    else
        lanes_acknowledged(&producer->lanes[w->topic], w->lane);
    ack->topic = w->topic;
    if (ack->ok && bus->metrics) {
        metric_add(bus->produced[w->topic], 1);
        metric_observe(bus->ack_seconds, (double)(clock_mono_us() - w->since_us) / 1e6);
    }
    if (w->ack)
        w->ack(ack, w->arg);
    else if (!ack->ok)
        log_error("a record was not stored", LOG_S("topic", topic_info(w->topic)->name),
                  LOG_E(&ack->err));
    free(w);
}

/* Hands held records of a lane over that is clear. */
static void go_on(struct bus_producer *producer, enum topic topic, size_t lane)
{
    struct lanes *lanes = &producer->lanes[topic];
    const struct client *client = producer->client;
    int64_t oldest_us = clock_mono_us() - producer->conf.message_timeout_ms * 1000;
    struct held *held;
    if (lanes->items[lane].handed > 0)
        return;
    for (int i = 0; i < LANE_BUNCH && (held = lanes_first(lanes, lane));) {
        struct waiting *w = held->owner;
        w->lane = lane;
        struct bus_ack ack = {.partition = -1, .offset = -1};
        rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
        if (producer->conf.message_timeout_ms == 0 || w->since_us > oldest_us)
            code = hand(w, held, RD_KAFKA_MSG_F_FREE);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            held->value = held->headers = NULL; /* librdkafka's now */
            let_go(w);
            look_later(producer, HELD_LOOK_MS);
            i++;
            continue;
        }
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            producer->stuck = true;
            return;
        }
        bus_err(&ack.err, code, "cannot store the record");
        settle(w, &ack);
        if (producer->client != client)
            return;
    }
}

/* As the topic's partitions are known. */
static void grow(struct bus_producer *producer, enum topic topic)
{
    int32_t partitions =
        atomic_load_explicit(&producer->client->partitions[topic], memory_order_relaxed);
    if (lanes_grow(&producer->lanes[topic], partitions))
        producer->stuck = true;
}

static void unstick(struct bus_producer *producer)
{
    const struct client *client = producer->client;
    for (enum topic topic = 0; topic < TOPIC_COUNT; topic++)
        if (producer->lanes[topic].held > 0)
            grow(producer, topic);
    if (!producer->stuck)
        return;
    producer->stuck = false;
    for (enum topic topic = 0; topic < TOPIC_COUNT; topic++)
        for (size_t i = 0; i < producer->lanes[topic].count && producer->client == client; i++)
            go_on(producer, topic, i);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct client *client = opaque;
    struct waiting *w = message->_private;
    if (client->retired)
        return;
    struct bus_producer *producer = w->producer;
    struct bus_ack ack = {.partition = message->partition, .offset = message->offset};
    ack.ok = message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->offset >= 0;
    if (!ack.ok && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        /* Told so of a retry that the broker calls a copy (DUPLICATE_SEQUENCE_NUMBER). On topics
         * that were just made some such records were in no log. */
        ack.unknown = true;
        err_set(&ack.err, ERR_UNAVAILABLE, "the record is called stored, and at no offset");
    } else if (ack.ok) {
        rd_kafka_timestamp_type_t type;
        ack.timestamp_ms = rd_kafka_message_timestamp(message, &type);
        client_well(client);
    } else {
        ack.unknown = rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
        bus_err(&ack.err, message->err, "cannot store the record");
    }
    enum topic topic = w->topic;
    size_t lane = w->lane;
    settle(w, &ack);
    if (producer->client == client)
        go_on(producer, topic, lane);
    if (++producer->served >= SERVE_MAX)
        rd_kafka_yield(rk);
}

static void fail_all(struct bus_producer *producer, const struct err *why)
{
    while (!LIST_EMPTY(&producer->waitings)) {
        struct bus_ack ack = {.unknown = true, .partition = -1, .offset = -1, .err = *why};
        settle(LIST_FIRST(&producer->waitings), &ack);
    }
}

static bool serve(void *arg)
{
    struct bus_producer *producer = arg;
    if (!producer->client)
        return false;
    producer->refs++;
    producer->served = 0;
    rd_kafka_poll(producer->client->rk, 0);
    if (producer->client)
        unstick(producer);
    bool more = producer->served >= SERVE_MAX && producer->client;
    if (!producer->freed)
        flush_all(producer);
    unref(producer);
    return more;
}

/* ---- life ---- */

static void on_fatal(void *arg, const struct err *err);

static int make_client(struct bus_producer *producer, struct err *err)
{
    char timeout[24], queue[24];
    snprintf(timeout, sizeof(timeout), "%lld", (long long)producer->conf.message_timeout_ms);
    snprintf(queue, sizeof(queue), "%zu", producer->conf.queue_max);
    const struct setting fixed[] = {
        {"message.timeout.ms", timeout}, {"queue.buffering.max.messages", queue}, {NULL, NULL}};
    rd_kafka_conf_t *conf;
    if (bus_settings(producer->bus, CLIENT_PRODUCER, fixed, &conf, err) != 0)
        return -1;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    memset(producer->introduced, 0, sizeof(producer->introduced));
    struct client_owner owner = {
        .serve = serve, .on_fatal = on_fatal, .arg = producer, .quiet = producer->conf.quiet};
    return client_new(&producer->client, producer->bus, CLIENT_PRODUCER, conf, &owner, err);
}

/* Less and less often while a broker is away. */
static void on_look(void *arg)
{
    struct bus_producer *producer = arg;

    if (producer->client)
        client_kick(producer->client);
    producer->look_after_ms = producer->count == 0 ? 0 : producer->look_after_ms * 2;
    if (producer->look_after_ms > QUIET_MAX_MS)
        producer->look_after_ms = QUIET_MAX_MS;
    if (producer->look_after_ms)
        loop_timer_arm(producer->look, producer->look_after_ms);
}

static void on_remake(void *arg)
{
    struct bus_producer *producer = arg;
    struct err err = {0};
    if (make_client(producer, &err) == 0)
        return;
    log_error("cannot make a producer; trying again", LOG_E(&err));
    loop_timer_arm(producer->remake, REMAKE_AFTER_MS);
}

static void on_fatal(void *arg, const struct err *err)
{
    struct bus_producer *producer = arg;
    if (!producer->client)
        return;
    log_error("the producer is lost; what waits may or may not be stored", LOG_E(err),
              LOG_I("waiting", producer->count));
    client_retire(producer->client);
    producer->client = NULL;
    producer->refs++;
    fail_all(producer, err);
    if (!producer->freed) {
        if (producer->conf.on_fatal)
            producer->conf.on_fatal(producer, err, producer->conf.arg);
        else
            on_remake(producer);
    }
    unref(producer);
}

int bus_producer_new(struct bus_producer **out, struct bus *bus,
                     const struct bus_producer_conf *conf, struct err *err)
{
    struct bus_producer *producer = mem_alloc(sizeof(*producer));
    *out = NULL;
    producer->bus = bus;
    producer->refs = 1;
    producer->conf = conf ? *conf : (struct bus_producer_conf){0};
    if (producer->conf.queue_max == 0)
        producer->conf.queue_max = QUEUE_MAX;
    LIST_INIT(&producer->waitings);
    STAILQ_INIT(&producer->flushes);
    if (make_client(producer, err) != 0) {
        free(producer);
        return -1;
    }
    producer->remake = loop_timer_new(bus->loop, on_remake, producer);
    if (producer->conf.quiet)
        producer->look = loop_timer_new(bus->loop, on_look, producer);
    *out = producer;
    return 0;
}

void bus_producer_free(struct bus_producer *producer)
{
    struct err why = {0};
    if (!producer || producer->freed)
        return;
    producer->freed = true;
    client_retire(producer->client);
    producer->client = NULL;
    loop_timer_free(producer->remake);
    loop_timer_free(producer->look);
    producer->look = NULL;
    err_set(&why, ERR_UNAVAILABLE, "the producer was closed before the record was acknowledged");
    fail_all(producer, &why);
    while (!STAILQ_EMPTY(&producer->flushes))
        flush_end(STAILQ_FIRST(&producer->flushes), false);
    unref(producer);
}

size_t bus_producer_waiting(const struct bus_producer *producer)
{
    return producer->count;
}

void bus_producer_test_fatal(struct bus_producer *producer)
{
    rd_kafka_test_fatal_error(producer->client->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                              "asked for by a test");
}

/* ---- producing ---- */

static rd_kafka_headers_t *copy_headers(const struct event_header *headers, size_t count)
{
    if (count == 0)
        return NULL;
    rd_kafka_headers_t *copy = rd_kafka_headers_new(count);
    for (size_t i = 0; i < count; i++)
        rd_kafka_header_add(copy, headers[i].name, -1, headers[i].value, (ssize_t)headers[i].len);
    return copy;
}

static int check_room(const struct bus_producer *producer, struct err *err)
{
    if (!producer->client && producer->conf.on_fatal)
        return err_set(err, ERR_FATAL, "the producer is lost");
    if (!producer->client)
        return err_set(err, ERR_UNAVAILABLE, "the producer is being made anew");
    if (producer->count >= producer->conf.queue_max)
        return err_set(err, ERR_LIMIT, "%zu records wait to be stored already", producer->count);
    if (producer->held_bytes >= HELD_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "%zu MiB wait to be stored already",
                       producer->held_bytes >> 20);
    return 0;
}

int bus_produce_raw(struct bus_producer *producer, enum topic topic, int32_t partition,
                    const void *key, size_t key_len, const void *value, size_t value_len,
                    const struct event_header *headers, size_t header_count, bus_ack_fn *ack,
                    void *arg, struct err *err)
{
    if (check_room(producer, err) != 0)
        return -1;
    struct lanes *lanes = &producer->lanes[topic];
    struct waiting *w = mem_alloc(sizeof(*w));
    *w = (struct waiting){.producer = producer, .topic = topic, .ack = ack, .arg = arg};
    w->since_us = clock_mono_us();
    grow(producer, topic);
    if (partition >= 0 && lanes_grow(lanes, partition + 1)) /* no partitioner is asked */
        producer->stuck = true;
    w->lane = lanes_find(lanes, partition, key, key_len);
    struct held record = {.lane = w->lane,
                          .partition = partition,
                          .key = (void *)key,
                          .key_len = key_len,
                          .value = (void *)value,
                          .value_len = value_len,
                          .headers = copy_headers(headers, header_count),
                          .owner = w};
    if (lanes_open(lanes, w->lane)) {
        rd_kafka_resp_err_t code = hand(w, &record, RD_KAFKA_MSG_F_COPY);
        if (code) {
            bus_err(err, code, "cannot produce");
            if (record.headers)
                rd_kafka_headers_destroy(record.headers);
            free(w);
            return -1;
        }
    } else {
        w->held = lanes_hold(lanes, &record);
        producer->held_bytes += held_size(w->held);
    }
    LIST_INSERT_HEAD(&producer->waitings, w, link);
    producer->count++;
    look_later(producer, w->held ? HELD_LOOK_MS : QUIET_MS);
    return 0;
}

static int fill_meta(const struct bus_producer *producer, enum topic topic,
                     const struct event_meta *meta, const void *message, struct event_meta *out,
                     struct err *err)
{
    *out = *meta;
    if (!*out->id)
        return err_set(err, ERR_INTERNAL, "an event for topic '%s' has no id",
                       topic_info(topic)->name);
    if (!*out->source)
        snprintf(out->source, sizeof(out->source), "/gantry/%s", producer->bus->service);
    if (!*out->type)
        snprintf(out->type, sizeof(out->type), "%s", event_type_of(topic, message));
    if (out->time_ms == 0)
        out->time_ms = clock_now_ms();
    if (!*out->traceparent)
        event_trace_of(out->traceparent, "", out->id);
    return 0;
}

int bus_produce(struct bus_producer *producer, enum topic topic, const struct event_meta *meta,
                const void *message, bus_ack_fn *ack, void *arg, struct err *err)
{
    char key[KEY_MAX], time_text[CLOCK_RFC3339_SIZE];
    struct event_header headers[EVENT_HEADERS_MAX];
    struct event_meta full;
    struct buf value;
    int rc = -1;
    buf_init(&value, EVENT_VALUE_MAX);
    if (fill_meta(producer, topic, meta, message, &full, err) != 0)
        goto out;
    if (event_key_of(topic, message, key, sizeof(key)) != 0) {
        err_set(err, ERR_INTERNAL, "a record of topic '%s' has no key", topic_info(topic)->name);
        goto out;
    }
    if (event_check(topic, message, err) != 0 || event_pack(&value, message, err) != 0)
        goto out;
    size_t count = event_headers(&full, time_text, headers);
    rc = bus_produce_raw(producer, topic, -1, key, strlen(key), value.data, value.len, headers,
                         count, ack, arg, err);
out:
    buf_release(&value);
    return rc == 0 ? 0 : err_wrap(err, "topic '%s'", topic_info(topic)->name);
}

/* ---- dead letters ---- */

#define DEADLETTER_HEADERS_MAX 64
#define REASON_MAX             1000

static void add_text(struct event_header *headers, size_t *n, const char *name, const char *text)
{
    headers[(*n)++] = (struct event_header){.name = name, .value = text, .len = strlen(text)};
}

int bus_deadletter(struct bus_producer *producer, const struct bus_record *record,
                   const char *reason, bus_ack_fn *ack, void *arg, struct err *err)
{
    struct event_header headers[DEADLETTER_HEADERS_MAX];
    char partition[24], offset[24], size[24];
    char *why = mem_strndup(reason, REASON_MAX);
    const char *topic = topic_info(record->topic)->name;
    size_t n = 0;
    for (size_t i = 0; i < record->header_count && n < DEADLETTER_HEADERS_MAX - 5; i++)
        headers[n++] = record->headers[i];
    snprintf(partition, sizeof(partition), "%d", (int)record->partition);
    snprintf(offset, sizeof(offset), "%lld", (long long)record->offset);
    add_text(headers, &n, "gantry_reason", why);
    add_text(headers, &n, "gantry_topic", topic);
    add_text(headers, &n, "gantry_partition", partition);
    add_text(headers, &n, "gantry_offset", offset);
    log_error("a record was put aside as a dead letter", LOG_S("topic", topic),
              LOG_I("partition", record->partition), LOG_I("offset", record->offset),
              LOG_S("reason", reason));
    if (producer->bus->metrics)
        metric_add(producer->bus->deadletters, 1);
    size_t len = record->value_len;
    if (len > EVENT_VALUE_MAX) { /* with its new headers it might not fit into a record again */
        snprintf(size, sizeof(size), "%zu", len);
        add_text(headers, &n, "gantry_cut_from", size);
        len = EVENT_VALUE_MAX;
    }
    int rc = bus_produce_raw(producer, TOPIC_DEADLETTER, -1, record->key, record->key_len,
                             record->value, len, headers, n, ack, arg, err);
    free(why);
    return rc;
}
