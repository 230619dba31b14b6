#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "services/cli/topics.h"

#define TURN_MS 1000

/* ---- ends ---- */

struct asked {
    struct bus_end *ends;
    struct err err;
    bool done;
};

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct asked *asked = arg;

    if (err)
        asked->err = *err;
    else
        memcpy(asked->ends, ends, count * sizeof(*ends));
    asked->done = true;
}

int topics_ends(struct topics *topics, struct bus_end *ends, size_t count, struct err *err)
{
    struct asked asked = {.ends = ends};

    bus_ends(topics->bus, ends, count, TOPICS_TIMEOUT_MS, on_ends, &asked);
    while (!asked.done)
        loop_run_for(topics->loop, TURN_MS, &asked.done);
    if (asked.err.code)
        *err = asked.err;
    return asked.err.code ? -1 : 0;
}

/* ---- reading ---- */

struct reading {
    int64_t end;
    void (*record)(const struct bus_record *record, void *arg);
    void *arg;
    int64_t heard_mono_ms;
    int64_t next; /* read below this offset */
    bool done;
};

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct reading *reading = arg;

    (void)follower;
    reading->heard_mono_ms = clock_mono_ms();
    if (reading->done)
        return;
    if (record->offset < reading->end)
        reading->record(record, reading->arg);
    reading->next = record->offset + 1;
    reading->done = reading->next >= reading->end;
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg)
{
    struct reading *reading = arg;

    (void)follower;
    (void)topic;
    (void)partition;
    reading->heard_mono_ms = clock_mono_ms();
    reading->done = reading->done || end_offset >= reading->end;
}

int topics_read(struct topics *topics, enum topic topic, int32_t partition, int64_t begin,
                int64_t end, void (*record)(const struct bus_record *record, void *arg), void *arg,
                struct err *err)
{
    struct reading reading = {.end = end,
                              .record = record,
                              .arg = arg,
                              .heard_mono_ms = clock_mono_ms(),
                              .next = begin,
                              .done = begin >= end};
    const struct bus_follower_handler handler = {
        .on_record = on_record, .on_end = on_end, .arg = &reading};
    struct bus_follower *follower = NULL;
    int rc = 0;

    if (reading.done)
        return 0;
    rc = bus_follower_new(&follower, topics->bus, &handler, err);
    if (rc == 0)
        rc = bus_follower_add(follower, topic, partition, begin, err);
    while (rc == 0 && !reading.done) {
        loop_run_for(topics->loop, TURN_MS, &reading.done);
        if (!reading.done && clock_mono_ms() - reading.heard_mono_ms > TOPICS_TIMEOUT_MS)
            rc = err_set(err, ERR_TIMEOUT,
                         "Kafka gave no more of partition %d of %s than offset %lld of %lld",
                         (int)partition, topic_info(topic)->name, (long long)reading.next,
                         (long long)end);
    }
    bus_follower_free(follower);
    return rc;
}

/* ---- appending ---- */

struct appended {
    struct bus_ack ack;
    bool done;
};

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct appended *appended = arg;

    appended->ack = *ack;
    appended->done = true;
}

int topics_append(struct topics *topics, int32_t partition, const char *key,
                  const struct buf *value, const struct event_meta *meta, struct err *err)
{
    const struct bus_producer_conf conf = {.message_timeout_ms = TOPICS_TIMEOUT_MS};
    struct event_header headers[EVENT_HEADERS_MAX];
    char time_text[CLOCK_RFC3339_SIZE];
    struct appended appended = {0};
    struct bus_producer *producer;
    size_t count = event_headers(meta, time_text, headers);
    int rc;

    if (bus_producer_new(&producer, topics->bus, &conf, err) < 0)
        return -1;
    rc = bus_produce_raw(producer, TOPIC_LEDGER, partition, key, strlen(key), value->data,
                         value->len, headers, count, on_ack, &appended, err);
    while (rc == 0 && !appended.done)
        loop_run_for(topics->loop, TURN_MS, &appended.done);
    if (rc == 0 && !appended.ack.ok) {
        *err = appended.ack.err;
        rc = -1;
    }
    bus_producer_free(producer);
    return rc;
}
