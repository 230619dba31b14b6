/* GET /api/v1/events: what happens, as server-sent events (WHATWG HTML, 9.2).
 *
 * The id of an event is the next offset of every partition of `event`, "12.0.7": any console goes
 * on from there. A stream that comes back is first given what it missed out of the read model, some
 * at a time, and is live from the moment at which nothing is missing. A stream that asks for more
 * than is kept, or brings an id that is none, gets `event: reset`: what it knows must be asked for
 * anew. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/console/console.h"

#define HEARTBEAT_MS      15000
#define MISSED_AT_ONCE    200  /* events in one turn of the loop */
#define PARTITIONS_MAX    1000 /* of an id */
#define FRAME_MAX         (4 * 1024 * 1024)
#define AUTHORIZATION_MAX 512

struct event_stream {
    LIST_ENTRY(event_stream) link;
    struct event_streams *streams;
    struct http_request *req;
    char pipeline[64];                     /* "": all */
    char authorization[AUTHORIZATION_MAX]; /* checked again at each heartbeat */
    bool anonymous;
    bool live;
    bool posted;    /* a turn of catching up is on its way */
    bool dropped;   /* by the server; on_close follows */
    bool gone;      /* freed when the posted turn comes */
    bool moved;     /* the offsets changed since the last id was sent */
    int64_t next[]; /* offsets, [partitions] */
};

struct event_streams {
    struct console *console;
    LIST_HEAD(, event_stream) list;
    int32_t partitions;
    size_t count;
    struct loop_timer *heartbeat;
    struct metric *gauge;
};

static void on_heartbeat(void *arg);

struct event_streams *event_streams_new(struct console *console)
{
    struct event_streams *streams = mem_alloc(sizeof(*streams));

    streams->console = console;
    streams->partitions = (int32_t)console->svc->conf.partitions;
    LIST_INIT(&streams->list);
    streams->heartbeat = loop_timer_new(console->svc->loop, on_heartbeat, streams);
    streams->gauge = metrics_gauge(console->svc->metrics, "gantry_console_event_streams", NULL,
                                   "Clients that follow events now.");
    return streams;
}

static void stream_free(struct event_stream *stream)
{
    mem_wipe(stream->authorization, sizeof(stream->authorization));
    free(stream);
}

/* The request is the caller's to end, or ended. */
static void forget(struct event_stream *stream)
{
    struct event_streams *streams = stream->streams;

    LIST_REMOVE(stream, link);
    streams->count--;
    metric_set(streams->gauge, (double)streams->count);
    stream->gone = true;
    if (!stream->posted)
        stream_free(stream);
}

void event_streams_free(struct event_streams *streams)
{
    if (!streams)
        return;
    while (!LIST_EMPTY(&streams->list)) {
        struct event_stream *stream = LIST_FIRST(&streams->list);
        LIST_REMOVE(stream, link);
        stream_free(stream);
    }
    loop_timer_free(streams->heartbeat);
    free(streams);
}

/* ---- ids ---- */

static void add_id(struct buf *out, const struct event_stream *stream)
{
    buf_adds(out, "id: ");
    for (int32_t i = 0; i < stream->streams->partitions; i++)
        buf_addf(out, "%s%lld", i ? "." : "", (long long)stream->next[i]);
    buf_addc(out, '\n');
}

/* 0, or -1: it is none of this ledger's. */
static int parse_id(const char *text, int32_t partitions, int64_t *next)
{
    struct strv parts = {0};
    int rc = -1;

    if (strlen(text) > (size_t)partitions * 20)
        return -1;
    strv_split(&parts, text, '.');
    if (parts.count != (size_t)partitions)
        goto out;
    for (size_t i = 0; i < parts.count; i++) {
        if (str_to_i64(parts.items[i], &next[i]) != 0 || next[i] < 0)
            goto out;
    }
    rc = 0;
out:
    strv_release(&parts);
    return rc;
}

/* ---- sending ---- */

static void send_buf(struct event_stream *stream, const struct buf *frame)
{
    if (!stream->dropped && http_stream_send(stream->req, frame->data, frame->len) != 0)
        stream->dropped = true;
}

/* An event without content: hello or reset. */
static void send_mark(struct event_stream *stream, const char *name)
{
    struct buf frame;

    buf_init(&frame, FRAME_MAX);
    buf_addf(&frame, "event: %s\n", name);
    add_id(&frame, stream);
    buf_adds(&frame, "data: {}\n\n");
    send_buf(stream, &frame);
    buf_release(&frame);
}

/* The event's JSON in one line; NULL: it cannot be written. */
static char *event_text(const Gantry__V1__ReleaseEvent *event, const char *ce_id)
{
    json_t *json = event_to_json(event);

    json_object_set_new(json, "id", json_string(ce_id));
    json_object_set_new(json, "type", json_string(event_type_of(TOPIC_EVENT, event)));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

static void send_event(struct event_stream *stream, const Gantry__V1__ReleaseEvent *event,
                       const char *text)
{
    struct buf frame;

    buf_init(&frame, FRAME_MAX);
    buf_addf(&frame, "event: %s\n", event_type_of(TOPIC_EVENT, event));
    add_id(&frame, stream);
    buf_adds(&frame, "data: ");
    buf_adds(&frame, text);
    buf_adds(&frame, "\n\n");
    if (!frame.overflow)
        send_buf(stream, &frame);
    stream->moved = false;
    buf_release(&frame);
}

void event_streams_applied(struct event_streams *streams, const struct ingest_record *record)
{
    const Gantry__V1__ReleaseEvent *event = record->message;
    struct event_stream *stream, *next;
    char *text = NULL;

    for (stream = LIST_FIRST(&streams->list); stream; stream = next) {
        next = LIST_NEXT(stream, link);
        if (!stream->live || record->offset < stream->next[record->partition])
            continue;
        stream->next[record->partition] = record->offset + 1;
        stream->moved = true;
        if (!event || (*stream->pipeline && !str_eq(stream->pipeline, event->pipeline)))
            continue;
        if (!text)
            text = event_text(event, record->ce_id);
        if (text)
            send_event(stream, event, text);
    }
    free(text);
}

/* ---- catching up ---- */

static int64_t send_missed(struct event_stream *stream, struct sqlite_db *db, int32_t partition,
                           int64_t limit)
{
    int64_t count = 0;
    size_t len;

    struct sqlite_rows *rows = sqlite_select(
        db,
        "SELECT event_offset, ce_id, value FROM events WHERE partition = ?1 AND event_offset >= ?2"
        " AND (?3 = '' OR pipeline = ?3) ORDER BY event_offset LIMIT ?4",
        SQL_INT(partition), SQL_INT(stream->next[partition]), SQL_TEXT(stream->pipeline),
        SQL_INT(limit));
    while (!stream->dropped && sqlite_next(rows)) {
        void *message = NULL;
        const void *value = sqlite_blob(rows, 2, &len);
        stream->next[partition] = sqlite_int(rows, 0) + 1;
        count++;
        if (event_unpack(&message, TOPIC_EVENT, value, len, NULL) != 0)
            continue;
        char *text = event_text(message, sqlite_text(rows, 1));
        if (text)
            send_event(stream, message, text);
        free(text);
        event_free(message);
    }
    sqlite_rows_end(rows);
    return count;
}

/* True once nothing is missing. */
static bool catch_up(struct event_stream *stream, struct sqlite_db *db)
{
    struct event_streams *streams = stream->streams;
    int64_t left = MISSED_AT_ONCE;

    for (int32_t i = 0; i < streams->partitions; i++) {
        int64_t end = ingest_event_offset(streams->console->ingest, i);
        if (stream->next[i] >= end)
            continue;
        left -= send_missed(stream, db, i, left);
        if (left <= 0 || stream->dropped)
            return false;
        if (stream->next[i] < end)
            stream->next[i] = end; /* what stood between was another pipeline's */
        stream->moved = true;
    }
    return true;
}

static void on_turn(void *arg)
{
    struct event_stream *stream = arg;
    struct event_streams *streams = stream->streams;
    struct sqlite_db *db;
    struct err err;

    stream->posted = false;
    if (stream->gone) {
        stream_free(stream);
        return;
    }
    db = ingest_reader(streams->console->ingest);
    if (!db || stream->dropped)
        return;
    sqlite_db_begin(db);
    stream->live = catch_up(stream, db);
    if (sqlite_db_error(db, &err) != 0)
        log_error("missed events not read", LOG_E(&err));
    sqlite_db_rollback(db);
    if (stream->live || stream->dropped)
        return;
    stream->posted = true;
    loop_post(streams->console->svc->loop, on_turn, stream);
}

/* ---- beginning and ending ---- */

static void on_heartbeat(void *arg)
{
    struct event_streams *streams = arg;
    struct event_stream *stream, *next;
    struct auth_person person;
    struct buf frame;
    struct err err;

    for (stream = LIST_FIRST(&streams->list); stream; stream = next) {
        next = LIST_NEXT(stream, link);
        if (gate_check(streams->console, stream->anonymous ? NULL : stream->authorization,
                       AUTH_VIEWER, true, &person, &err) != 0) {
            struct http_request *req = stream->req;
            forget(stream);
            http_stream_end(req);
            continue;
        }
        auth_person_release(&person);
        buf_init(&frame, FRAME_MAX);
        buf_adds(&frame, ":\n");
        if (stream->moved) /* an id without data: kept by the client, shown to nobody */
            add_id(&frame, stream);
        buf_adds(&frame, "\n");
        stream->moved = false;
        send_buf(stream, &frame);
        buf_release(&frame);
    }
    if (streams->count > 0)
        loop_timer_arm(streams->heartbeat, HEARTBEAT_MS);
}

static void on_client_gone(void *arg)
{
    forget(arg);
}

void event_streams_reset(struct event_streams *streams)
{
    while (!LIST_EMPTY(&streams->list)) {
        struct event_stream *stream = LIST_FIRST(&streams->list);
        struct http_request *req = stream->req;
        for (int32_t i = 0; i < streams->partitions; i++)
            stream->next[i] = 0;
        send_mark(stream, "reset");
        forget(stream);
        http_stream_end(req);
    }
}

/* Whether all from these offsets on is still there. */
static bool is_kept(struct sqlite_db *db, const struct event_stream *stream)
{
    bool kept = true;

    struct sqlite_rows *rows =
        sqlite_select(db, "SELECT partition, first_offset FROM event_floors");
    while (sqlite_next(rows)) {
        int64_t partition = sqlite_int(rows, 0);
        if (partition >= 0 && partition < stream->streams->partitions)
            kept = kept && stream->next[partition] >= sqlite_int(rows, 1);
    }
    sqlite_rows_end(rows);
    return kept;
}

static void begin(struct event_stream *stream, struct sqlite_db *db, const char *last_id)
{
    struct event_streams *streams = stream->streams;
    bool goes_on =
        last_id && parse_id(last_id, streams->partitions, stream->next) == 0 && is_kept(db, stream);

    if (!goes_on) {
        for (int32_t i = 0; i < streams->partitions; i++)
            stream->next[i] = ingest_event_offset(streams->console->ingest, i);
    }
    send_mark(stream, last_id && !goes_on ? "reset" : "hello");
    stream->live = !goes_on;
    if (goes_on) {
        stream->posted = true;
        loop_post(streams->console->svc->loop, on_turn, stream);
    }
}

void rest_events(struct call *call)
{
    struct event_streams *streams = call->console->event_streams;
    const char *pipeline = http_req_query(call->req, "pipeline"),
               *last_id = http_req_header(call->req, "Last-Event-ID"),
               *authorization = http_req_header(call->req, "Authorization");
    struct event_stream *stream;
    struct sqlite_db *db;

    if (pipeline && !str_is_name(pipeline)) {
        http_reply_problem(call->req, 400, NULL, "pipeline must be a pipeline's name");
        return;
    }
    if (streams->count >= (size_t)call->console->conf.streams_max) {
        http_reply_header(call->req, "Retry-After", "10");
        http_reply_problem(call->req, 503, NULL, "too many clients follow events");
        return;
    }
    if (!(db = reader_begin(call)))
        return;
    stream = mem_alloc(sizeof(*stream) + sizeof(int64_t) * (size_t)streams->partitions);
    stream->streams = streams;
    stream->req = call->req;
    snprintf(stream->pipeline, sizeof(stream->pipeline), "%s", pipeline ? pipeline : "");
    snprintf(stream->authorization, sizeof(stream->authorization), "%s",
             authorization ? authorization : "");
    stream->anonymous = !authorization;
    LIST_INSERT_HEAD(&streams->list, stream, link);
    metric_set(streams->gauge, (double)++streams->count);
    http_req_on_close(call->req, on_client_gone, stream);
    http_stream_begin(call->req, 200, "text/event-stream");
    begin(stream, db, last_id ? last_id : http_req_query(call->req, "lastEventId"));
    sqlite_db_rollback(db);
    if (!loop_timer_armed(streams->heartbeat))
        loop_timer_arm(streams->heartbeat, HEARTBEAT_MS);
}
