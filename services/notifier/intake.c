/* DESIGN. An event is settled in any order, and what was told of one that comes again is known from
 * `notification`: so the group's commits need no ranges. When a partition comes, its events wait
 * until `notification` was read up to the ends that it had then. When it goes, all that waits of it
 * is dropped, and nothing of it is settled here. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gantry/v1/event.pb-c.h"
#include "log/log.h"
#include "services/notifier/notifier.h"

#define ENDS_MS           10000
#define AGAIN_MS          1000
#define PENDING_BYTES_MAX (8 * 1024 * 1024)

/* An event whose rules are being told. */
struct pending {
    LIST_ENTRY(pending) link;
    struct intake *intake;
    struct bus_record record; /* key, value and headers are there once something is to be told */
    size_t left;              /* deliveries, and one for the event itself while it is looked at */
};

struct intake {
    struct notifier *app;
    LIST_HEAD(, pending) pendings;
    size_t partitions;
    bool *held;      /* partitions of `event` that wait */
    int64_t *read;   /* `notification`: read up to here */
    int64_t *target; /* and to be read up to here before the held go on */
    bool asking, ask_again, asked;
    struct loop_timer *retry_timer;
};

/* ---- a record that outlives its callback ---- */

static void record_keep(struct bus_record *out, const struct bus_record *record)
{
    struct event_header *headers =
        mem_alloc(sizeof *headers * (record->header_count ? record->header_count : 1));

    out->key = record->key ? mem_dup(record->key, record->key_len) : NULL;
    out->key_len = record->key_len;
    out->value = record->value ? mem_dup(record->value, record->value_len) : NULL;
    out->value_len = record->value_len;
    for (size_t i = 0; i < record->header_count; i++) {
        const struct event_header *from = &record->headers[i];

        headers[i] = (struct event_header){mem_strdup(from->name), NULL, from->len};
        if (from->value)
            headers[i].value = mem_dup(from->value, from->len);
    }
    out->headers = headers;
    out->header_count = record->header_count;
}

static void record_release(struct bus_record *record)
{
    for (size_t i = 0; i < record->header_count; i++) {
        free((void *)record->headers[i].name);
        free((void *)record->headers[i].value);
    }
    free((void *)record->headers);
    free((void *)record->key);
    free((void *)record->value);
}

/* ---- pending ---- */

static struct pending *pending_new(struct intake *intake, const struct bus_record *record)
{
    struct pending *pending = mem_alloc(sizeof *pending);

    pending->intake = intake;
    pending->record.topic = record->topic;
    pending->record.partition = record->partition;
    pending->record.offset = record->offset;
    pending->record.timestamp_ms = record->timestamp_ms;
    pending->left = 1;
    LIST_INSERT_HEAD(&intake->pendings, pending, link);
    return pending;
}

static void pending_free(struct pending *pending)
{
    LIST_REMOVE(pending, link);
    record_release(&pending->record);
    free(pending);
}

int32_t pending_partition(const struct pending *pending)
{
    return pending->record.partition;
}

void pending_done(struct pending *pending)
{
    struct bus_group *group = pending->intake->app->group;

    if (--pending->left)
        return;
    if (group)
        bus_group_done(group, TOPIC_EVENT, pending->record.partition, pending->record.offset);
    pending_free(pending);
}

int pending_deadletter(const struct pending *pending, const char *reason, bus_ack_fn *ack,
                       void *arg, struct err *err)
{
    return bus_deadletter(pending->intake->app->producer, &pending->record, reason, ack, arg, err);
}

/* ---- events ---- */

struct match_arg {
    struct pending *pending;
    const struct bus_record *record;
    const char *event_id;
    const Gantry__V1__ReleaseEvent *event;
};

static void on_match(const struct def_notification *rule, void *arg)
{
    struct match_arg *match = arg;
    struct notifier *app = match->pending->intake->app;
    char id[ID_SIZE];
    uint32_t attempts;
    int64_t next_ms;

    event_id_notification(id, rule->name, match->event_id);
    if (told_done(app->told, id, &attempts, &next_ms))
        return;
    if (!match->pending->record.headers)
        record_keep(&match->pending->record, match->record);
    if (deliveries_add(app->deliveries, rule, id, match->event_id, match->event, match->pending))
        match->pending->left++;
}

/* A record whose place in `deadletter` is not certain stays unsettled: it comes again after the
 * next start. The partition may be another's by now, so the place stands for the pending. */
struct malformed {
    struct notifier *app;
    int32_t partition;
    int64_t offset;
};

static void on_deadletter(const struct bus_ack *ack, void *arg)
{
    struct malformed *malformed = arg;

    if (!ack->ok)
        log_error("record could not be put into deadletter", LOG_E(&ack->err));
    else if (malformed->app->group)
        bus_group_done(malformed->app->group, TOPIC_EVENT, malformed->partition, malformed->offset);
    free(malformed);
}

static void put_aside(struct notifier *app, const struct bus_record *record, const char *reason)
{
    struct malformed *malformed = mem_alloc(sizeof *malformed);
    struct err err;

    *malformed = (struct malformed){app, record->partition, record->offset};
    metric_add(app->malformed, 1);
    if (bus_deadletter(app->producer, record, reason, on_deadletter, malformed, &err) == 0)
        return;
    log_error("record could not be put into deadletter", LOG_E(&err));
    free(malformed);
}

static void on_event(struct bus_group *group, const struct bus_record *record, void *arg)
{
    struct intake *intake = arg;
    struct notifier *app = intake->app;
    struct event_meta meta;
    struct err err;
    void *message = NULL;

    if (event_read_headers(&meta, record->headers, record->header_count, &err) < 0 ||
        event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0) {
        put_aside(app, record, err.msg);
        return;
    }
    if (clock_now_ms() - ((Gantry__V1__ReleaseEvent *)message)->time_ms < NOTIFIER_TRY_MS) {
        struct pending *pending = pending_new(intake, record);
        struct match_arg match = {pending, record, meta.id, message};

        rules_match(app->rules, message, on_match, &match);
        pending_done(pending);
    } else {
        bus_group_done(group, TOPIC_EVENT, record->partition, record->offset);
    }
    event_free(message);
}

/* ---- partitions come and go ---- */

static void ask_ends(void *arg);

static void let_go(struct intake *intake)
{
    struct notifier *app = intake->app;

    if (!app->ready || !app->group || !intake->asked || intake->asking || intake->ask_again)
        return;
    for (size_t i = 0; i < intake->partitions; i++)
        if (intake->read[i] < intake->target[i])
            return;
    for (size_t i = 0; i < intake->partitions; i++) {
        if (intake->held[i])
            bus_group_pause(app->group, TOPIC_EVENT, (int32_t)i, false);
        intake->held[i] = false;
    }
}

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct intake *intake = arg;

    intake->asking = false;
    if (err && err->code) {
        intake->ask_again = true; /* Kafka is away, and readiness says so */
        loop_timer_arm(intake->retry_timer, AGAIN_MS);
        return;
    }
    for (size_t i = 0; i < count; i++)
        intake->target[ends[i].partition] = ends[i].end;
    intake->asked = true;
    if (intake->ask_again)
        ask_ends(intake);
    else
        let_go(intake);
}

static void ask_ends(void *arg)
{
    struct intake *intake = arg;
    struct bus_end *ask;

    intake->ask_again = true;
    if (intake->asking || !intake->app->followed)
        return;
    intake->asking = true;
    intake->ask_again = false;
    ask = mem_alloc(sizeof *ask * intake->partitions);
    for (size_t i = 0; i < intake->partitions; i++)
        ask[i] = (struct bus_end){.topic = TOPIC_NOTIFICATION, .partition = (int32_t)i};
    bus_ends(intake->app->svc->bus, ask, intake->partitions, ENDS_MS, on_ends, intake);
    free(ask);
}

static void on_assign(struct bus_group *group, int32_t partition, void *arg)
{
    struct intake *intake = arg;

    if (partition < 0 || (size_t)partition >= intake->partitions)
        return;
    bus_group_pause(group, TOPIC_EVENT, partition, true);
    intake->held[partition] = true;
    intake->ask_again = true;
    if (!loop_timer_armed(intake->retry_timer))
        loop_timer_arm(intake->retry_timer, 0); /* once for all that come now */
}

static void on_revoke(struct bus_group *group, int32_t partition, bool lost, void *arg)
{
    struct intake *intake = arg;
    struct pending *pending, *next;

    (void)group;
    (void)lost;
    if (partition < 0 || (size_t)partition >= intake->partitions)
        return;
    intake->held[partition] = false;
    deliveries_revoke(intake->app->deliveries, partition);
    for (pending = LIST_FIRST(&intake->pendings); pending; pending = next) {
        next = LIST_NEXT(pending, link);
        if (pending->record.partition == partition)
            pending_free(pending);
    }
}

void intake_read(struct intake *intake, int32_t partition, int64_t next)
{
    if (partition < 0 || (size_t)partition >= intake->partitions || next <= intake->read[partition])
        return;
    intake->read[partition] = next;
    let_go(intake);
}

void intake_go_on(struct intake *intake)
{
    if (intake->ask_again)
        ask_ends(intake);
    let_go(intake);
}

/* ---- life ---- */

struct intake *intake_new(struct notifier *app)
{
    struct intake *intake = mem_alloc(sizeof *intake);

    intake->app = app;
    LIST_INIT(&intake->pendings);
    intake->partitions = (size_t)app->svc->conf.partitions;
    intake->held = mem_alloc(sizeof *intake->held * intake->partitions);
    intake->read = mem_alloc(sizeof *intake->read * intake->partitions);
    intake->target = mem_alloc(sizeof *intake->target * intake->partitions);
    intake->retry_timer = loop_timer_new(app->svc->loop, ask_ends, intake);
    return intake;
}

int intake_start(struct intake *intake, struct err *err)
{
    static const enum topic topics[] = {TOPIC_EVENT};
    const struct bus_group_handler handler = {
        .on_record = on_event, .on_assign = on_assign, .on_revoke = on_revoke, .arg = intake};
    const struct bus_group_conf conf = {
        .topics = topics, .topic_count = 1, .pending_bytes_max = PENDING_BYTES_MAX};

    return bus_group_new(&intake->app->group, intake->app->svc->bus, &conf, &handler, err);
}

void intake_free(struct intake *intake)
{
    if (!intake)
        return;
    while (!LIST_EMPTY(&intake->pendings))
        pending_free(LIST_FIRST(&intake->pendings));
    loop_timer_free(intake->retry_timer);
    free(intake->held);
    free(intake->read);
    free(intake->target);
    free(intake);
}
