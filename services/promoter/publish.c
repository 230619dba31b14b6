/* Publishing: what counted is mapped to events and requests and sent, in the ledger's order. The
 * watermark follows the acknowledgements: below it every Decision that counted is published. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/decision.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/promoter/partition.h"

#define FULL_MS     100          /* the producer's queue is full: until it is tried again */
#define LARGE_BYTES (512 * 1024) /* ERR_LIMIT of one beyond this is not about the queue */

struct publication {
    struct partition *p;
    int64_t offset; /* the Decision's */
    int64_t time_ms;
    char traceparent[EVENT_TRACEPARENT_SIZE]; /* the Decision's */
    struct engine_records records;
    size_t sent, acked, open; /* records; open: not acknowledged yet */
    bool growing;             /* its events are still to be added */
    bool orphan;              /* the partition has forgotten it */
    struct publication *next;
};

static void publication_free(struct publication *pub)
{
    engine_records_free(&pub->records);
    free(pub);
}

static bool complete(const struct publication *pub)
{
    return !pub->growing && pub->acked == pub->records.count;
}

static void enqueue(struct partition *p, struct publication *pub)
{
    if (p->publications_last)
        p->publications_last->next = pub;
    else
        p->publications = pub;
    p->publications_last = pub;
    p->unpublished++;
    metric_add(p->metrics->unpublished, 1);
}

static void send_new(struct partition *p, struct publication *pub)
{
    if (!p->unsent)
        p->unsent = pub;
    if (!p->restore)
        publish_pump(p);
}

static struct publication *publication_new(struct partition *p, int64_t offset, int64_t time_ms,
                                           const char *traceparent)
{
    struct publication *pub = mem_alloc(sizeof(*pub));

    pub->p = p;
    pub->offset = offset;
    pub->time_ms = time_ms;
    str_copy(pub->traceparent, sizeof(pub->traceparent), traceparent);
    return pub;
}

/* Requests are on their way before the events are made: a release waits for them. */
int publish_add(struct partition *p, const Gantry__V1__Decision *decision, int64_t offset,
                const char *traceparent, struct err *err)
{
    struct publication *pub = publication_new(p, offset, decision->time_ms, traceparent);
    size_t requests;

    pub->growing = true;
    if (engine_publish_requests(decision, &pub->records, err) < 0) {
        publication_free(pub);
        return err_wrap(err, "cannot be published");
    }
    requests = pub->records.count;
    if (requests > 0) {
        enqueue(p, pub);
        send_new(p, pub);
    }
    if (engine_publish_events(decision, &pub->records, err) < 0) {
        if (requests == 0)
            publication_free(pub);
        return err_wrap(err, "cannot be published"); /* the partition is refused and forgets it */
    }
    pub->growing = false;
    if (pub->records.count == 0) {
        publication_free(pub);
        return 0;
    }
    if (requests == 0)
        enqueue(p, pub);
    send_new(p, pub);
    return 0;
}

void publish_add_records(struct partition *p, struct engine_records *records, int64_t offset,
                         int64_t time_ms, const char *traceparent)
{
    struct publication *pub;

    if (records->count == 0)
        return;
    pub = publication_new(p, offset, time_ms, traceparent);
    pub->records = *records;
    *records = (struct engine_records){0};
    enqueue(p, pub);
    send_new(p, pub);
}

/* ---- the watermark ---- */

static void pop(struct partition *p)
{
    struct publication *pub = p->publications;

    p->publications = pub->next;
    if (!p->publications)
        p->publications_last = NULL;
    if (p->unsent == pub)
        p->unsent = pub->next;
    p->unpublished--;
    metric_add(p->metrics->unpublished, -1);
    if (pub->open > 0)
        pub->orphan = true;
    else
        publication_free(pub);
}

void publish_settle(struct partition *p)
{
    int64_t below;

    while (p->publications && complete(p->publications)) {
        p->published_matter = p->publications->offset + 1;
        pop(p);
    }
    below = p->publications ? p->publications->offset : p->ledger_next;
    if (below > p->published_below)
        p->published_below = below;
}

void publish_forget(struct partition *p, int64_t below)
{
    while (p->publications && p->publications->offset < below && p->publications->sent == 0)
        pop(p);
}

void publish_clear(struct partition *p)
{
    while (p->publications)
        pop(p);
    p->unsent = NULL;
    p->publish_retry_mono_ms = INT64_MAX;
    p->publish_error[0] = '\0';
}

/* ---- sending ---- */

static void stop_publishing(struct partition *p, const struct err *why)
{
    if (!str_eq(p->publish_error, why->msg))
        log_error("publishing stopped: it is tried again every 30 s", LOG_I("partition", p->number),
                  LOG_E(why));
    snprintf(p->publish_error, sizeof(p->publish_error), "%s", why->msg);
    p->publish_retry_mono_ms = partition_mono(p) + PARTITION_REFUSED_MS;
    p->io->changed(p, p->io->arg);
    partition_rewake(p);
}

static void acknowledged(struct partition *p, struct publication *pub)
{
    pub->acked++;
    metric_add(p->metrics->published, 1);
    if (!complete(pub))
        return;
    metric_observe(p->metrics->publish_seconds, (double)(partition_now(p) - pub->time_ms) / 1000);
    if (pub != p->publications)
        return;
    publish_settle(p);
    checkpoint_advance(p);
    partition_throttle(p);
    partition_rewake(p);
}

static void on_record_ack(const struct bus_ack *ack, void *arg)
{
    struct publication *pub = arg;
    struct partition *p = pub->p;
    struct err err = ack->err;

    pub->open--;
    if (pub->orphan) {
        if (pub->open == 0)
            publication_free(pub);
    } else if (ack->ok) {
        acknowledged(p, pub);
        if (p->unsent)
            publish_pump(p);
    } else if (!ack->unknown) {
        err_wrap(&err, "a record of topic %s is refused", topic_info(ack->topic)->name);
        stop_publishing(p, &err);
    }
    partition_unref(p);
}

static int send_record(struct partition *p, struct publication *pub, struct err *err)
{
    const struct engine_record *record = &pub->records.items[pub->sent];
    struct event_meta meta = record->meta;
    char time_text[CLOCK_RFC3339_SIZE];
    struct event_header headers[EVENT_HEADERS_MAX];
    size_t count;

    event_trace_of(meta.traceparent, pub->traceparent, meta.id);
    count = event_headers(&meta, time_text, headers);
    if (p->io->produce(record->topic, -1, record->key, strlen(record->key), record->value.data,
                       record->value.len, headers, count, on_record_ack, pub, p->io->arg, err) < 0)
        return err_wrap(err, "a record of topic %s", topic_info(record->topic)->name);
    pub->sent++;
    pub->open++;
    partition_ref(p);
    return 0;
}

static bool fails_for_good(const struct publication *pub, const struct err *err)
{
    if (err->code == ERR_LIMIT)
        return pub->records.items[pub->sent].value.len > LARGE_BYTES;
    return err->code != ERR_FATAL;
}

void publish_pump(struct partition *p)
{
    struct err err;

    if (p->publish_error[0])
        return;
    for (; p->unsent; p->unsent = p->unsent->next) {
        struct publication *pub = p->unsent;

        while (!complete(pub) && pub->sent < pub->records.count) {
            if (send_record(p, pub, &err) == 0)
                continue;
            if (fails_for_good(pub, &err)) {
                stop_publishing(p, &err);
            } else {
                p->publish_retry_mono_ms = partition_mono(p) + FULL_MS;
                partition_rewake(p);
            }
            return;
        }
    }
}

/* Sends again whatever is not acknowledged, in order. */
void publish_restart(struct partition *p)
{
    p->unsent = NULL;
    for (struct publication *pub = p->publications; pub; pub = pub->next) {
        if (complete(pub))
            continue;
        if (!p->unsent)
            p->unsent = pub;
        pub->sent = pub->acked = 0;
    }
    publish_pump(p);
}

void partition_on_publishers_lost(struct partition *p)
{
    if (!p->restore && !p->closed)
        publish_restart(p);
}

void publish_tick(struct partition *p)
{
    p->publish_retry_mono_ms = INT64_MAX;
    if (!p->publish_error[0]) {
        publish_pump(p);
        return;
    }
    for (const struct publication *pub = p->publications; pub; pub = pub->next) {
        if (!complete(pub) && pub->open > 0) {
            p->publish_retry_mono_ms = partition_mono(p) + PARTITION_RETRY_MS;
            return;
        }
    }
    p->publish_error[0] = '\0';
    p->io->changed(p, p->io->arg);
    publish_restart(p);
}
