/* GET /api/v1/runs/{run}/log: an attempt's log as text, or followed as server-sent events. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/log.pb-c.h"
#include "services/console/console.h"

#define HEARTBEAT_MS 15000
#define SETTLED_MS   30000 /* after which a run that ended writes nothing more */
#define TEXT_MAX     (64 * 1024 * 1024)
#define FRAME_MAX    (1024 * 1024)
#define PAGE_CHUNKS  32 /* in one turn of the loop */
#define NOTE_MAX     96
#define REPLACEMENT  "\xef\xbf\xbd" /* U+FFFD */

struct log_stream {
    LIST_ENTRY(log_stream) link;
    struct log_streams *streams;
    struct http_request *req;
    char run_id[ID_SIZE];
    int64_t attempt;
    int64_t next; /* the offset that comes next */
    bool live, posted, dropped, gone;
    bool run_ended; /* its last chunk may be missing: the heartbeat ends the stream */
};

struct log_streams {
    struct console *console;
    LIST_HEAD(, log_stream) list;
    size_t count;
    struct loop_timer *heartbeat;
};

static void on_heartbeat(void *arg);

struct log_streams *log_streams_new(struct console *console)
{
    struct log_streams *streams = mem_alloc(sizeof(*streams));

    streams->console = console;
    LIST_INIT(&streams->list);
    streams->heartbeat = loop_timer_new(console->svc->loop, on_heartbeat, streams);
    return streams;
}

static void forget(struct log_stream *stream)
{
    LIST_REMOVE(stream, link);
    stream->streams->count--;
    stream->gone = true;
    if (!stream->posted)
        free(stream);
}

void log_streams_free(struct log_streams *streams)
{
    if (!streams)
        return;
    while (!LIST_EMPTY(&streams->list)) {
        struct log_stream *stream = LIST_FIRST(&streams->list);
        LIST_REMOVE(stream, link);
        free(stream);
    }
    loop_timer_free(streams->heartbeat);
    free(streams);
}

/* ---- one chunk as an event ---- */

/* The bytes as UTF-8: what is none becomes U+FFFD, as JSON can say nothing else. */
static void add_utf8(struct buf *out, const uint8_t *data, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        uint8_t c = data[i];
        n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (i + n <= len && c != 0 && str_is_utf8((const char *)data + i, n)) {
            buf_add(out, data + i, n);
        } else {
            buf_adds(out, REPLACEMENT);
            n = 1;
        }
    }
}

static void send_chunk(struct log_stream *stream, int64_t offset, int64_t time_ms, int64_t kind,
                       const uint8_t *data, size_t len)
{
    struct buf text, frame;

    if (stream->dropped || offset < stream->next)
        return;
    buf_init(&text, FRAME_MAX);
    buf_init(&frame, FRAME_MAX);
    add_utf8(&text, data, len);
    json_t *json = json_pack("{s:I, s:I, s:s, s:o}", "offset", (json_int_t)offset, "timeMs",
                             (json_int_t)time_ms, "stream",
                             kind == GANTRY__V1__LOG_STREAM__LOG_STREAM_MARK ? "mark" : "output",
                             "text", json_stringn(buf_cstr(&text), text.len));
    if (offset > stream->next)
        json_object_set_new(json, "leftOut", json_integer(offset - stream->next));
    stream->next = offset + (int64_t)len;
    char *dump = json_dumps(json, JSON_COMPACT);
    buf_addf(&frame, "event: log\nid: %lld\ndata: ", (long long)stream->next);
    buf_adds(&frame, dump);
    buf_adds(&frame, "\n\n");
    if (!frame.overflow && http_stream_send(stream->req, frame.data, frame.len) != 0)
        stream->dropped = true;
    free(dump);
    json_decref(json);
    buf_release(&text);
    buf_release(&frame);
}

static void end_stream(struct log_stream *stream)
{
    static const char frame[] = "event: end\ndata: {}\n\n";
    struct http_request *req = stream->req;

    if (stream->dropped)
        return; /* on_close follows */
    if (http_stream_send(req, frame, sizeof(frame) - 1) != 0) {
        stream->dropped = true;
        return;
    }
    forget(stream);
    http_stream_end(req);
}

void log_streams_applied(struct log_streams *streams, const struct ingest_record *record)
{
    const Gantry__V1__LogChunk *chunk = record->message;
    struct log_stream *stream, *next;

    for (stream = LIST_FIRST(&streams->list); chunk && stream; stream = next) {
        next = LIST_NEXT(stream, link);
        if (!stream->live || stream->attempt != chunk->attempt ||
            !str_eq(stream->run_id, chunk->run_id))
            continue;
        if (chunk->data.len > 0)
            send_chunk(stream, (int64_t)chunk->offset_bytes, chunk->time_ms, chunk->stream,
                       chunk->data.data, chunk->data.len);
        if (chunk->last)
            end_stream(stream);
    }
}

void log_streams_run_ended(struct log_streams *streams, const char *run_id)
{
    struct log_stream *stream;

    LIST_FOREACH(stream, &streams->list, link)
    {
        if (str_eq(stream->run_id, run_id))
            stream->run_ended = true;
    }
}

/* ---- what is stored ---- */

/* Sends some; true: that was all there is. */
static bool send_stored(struct log_stream *stream, struct sqlite_db *db)
{
    int64_t count = 0;
    size_t len;

    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT offset_bytes, time_ms, stream, data FROM log_chunks WHERE run_id = ?"
                      " AND attempt = ? AND offset_bytes >= ? ORDER BY offset_bytes LIMIT ?",
                      SQL_TEXT(stream->run_id), SQL_INT(stream->attempt), SQL_INT(stream->next),
                      SQL_INT(PAGE_CHUNKS));
    while (!stream->dropped && sqlite_next(rows)) {
        const uint8_t *data = sqlite_blob(rows, 3, &len);
        send_chunk(stream, sqlite_int(rows, 0), sqlite_int(rows, 1), sqlite_int(rows, 2), data,
                   len);
        count++;
    }
    sqlite_rows_end(rows);
    return count < PAGE_CHUNKS;
}

/* Its last chunk came, or the run ended so long ago that nothing more will. */
static bool has_ended(struct sqlite_db *db, struct log_stream *stream)
{
    int64_t ended_ms = sqlite_select_int(db, 0, "SELECT ended_ms FROM runs WHERE run_id = ?",
                                         SQL_TEXT(stream->run_id));

    stream->run_ended = stream->run_ended || ended_ms > 0;
    if (ended_ms > 0 && clock_now_ms() - ended_ms > SETTLED_MS)
        return true;
    return sqlite_select_int(db, 0,
                             "SELECT ended FROM log_attempts WHERE run_id = ? AND attempt = ?",
                             SQL_TEXT(stream->run_id), SQL_INT(stream->attempt)) != 0;
}

static void on_turn(void *arg)
{
    struct log_stream *stream = arg;
    struct sqlite_db *db;
    bool ended = false;

    stream->posted = false;
    if (stream->gone) {
        free(stream);
        return;
    }
    db = ingest_reader(stream->streams->console->ingest);
    if (!db || stream->dropped)
        return;
    sqlite_db_begin(db);
    stream->live = send_stored(stream, db);
    if (stream->live)
        ended = has_ended(db, stream);
    sqlite_db_rollback(db);
    if (ended) {
        end_stream(stream);
    } else if (!stream->live && !stream->dropped) {
        stream->posted = true;
        loop_post(stream->streams->console->svc->loop, on_turn, stream);
    }
}

static void on_heartbeat(void *arg)
{
    struct log_streams *streams = arg;
    struct log_stream *stream, *next;

    for (stream = LIST_FIRST(&streams->list); stream; stream = next) {
        next = LIST_NEXT(stream, link);
        if (stream->run_ended && stream->live)
            end_stream(stream);
        else if (!stream->dropped && http_stream_send(stream->req, ":\n\n", 3) != 0)
            stream->dropped = true;
    }
    if (streams->count > 0)
        loop_timer_arm(streams->heartbeat, HEARTBEAT_MS);
}

static void on_client_gone(void *arg)
{
    forget(arg);
}

static void follow(struct call *call, const char *run_id, int64_t attempt)
{
    struct log_streams *streams = call->console->log_streams;
    const char *last_id = http_req_header(call->req, "Last-Event-ID");
    struct log_stream *stream;

    if (streams->count >= (size_t)call->console->conf.streams_max) {
        http_reply_header(call->req, "Retry-After", "10");
        http_reply_problem(call->req, 503, NULL, "too many clients follow logs");
        return;
    }
    stream = mem_alloc(sizeof(*stream));
    stream->streams = streams;
    stream->req = call->req;
    stream->attempt = attempt;
    snprintf(stream->run_id, sizeof(stream->run_id), "%s", run_id);
    if (last_id && (str_to_i64(last_id, &stream->next) != 0 || stream->next < 0))
        stream->next = 0;
    LIST_INSERT_HEAD(&streams->list, stream, link);
    streams->count++;
    http_req_on_close(call->req, on_client_gone, stream);
    http_stream_begin(call->req, 200, "text/event-stream");
    stream->posted = true;
    loop_post(call->console->svc->loop, on_turn, stream);
    if (!loop_timer_armed(streams->heartbeat))
        loop_timer_arm(streams->heartbeat, HEARTBEAT_MS);
}

/* The whole log as it was written; where its middle is left out, a line says so. */
static void reply_text(struct call *call, const char *run_id, int64_t attempt)
{
    struct sqlite_db *db = reader_begin(call);
    int64_t expected = 0;
    struct buf text;
    size_t len;

    if (!db)
        return;
    buf_init(&text, TEXT_MAX);
    struct sqlite_rows *rows =
        sqlite_select(db,
                      "SELECT offset_bytes, data FROM log_chunks WHERE run_id = ? AND attempt = ?"
                      " ORDER BY offset_bytes",
                      SQL_TEXT(run_id), SQL_INT(attempt));
    while (sqlite_next(rows)) {
        int64_t offset = sqlite_int(rows, 0);
        const void *data = sqlite_blob(rows, 1, &len);
        if (offset > expected)
            buf_addf(&text, "\n[... %lld bytes are left out ...]\n",
                     (long long)(offset - expected));
        buf_add(&text, data, len);
        expected = offset + (int64_t)len;
    }
    sqlite_rows_end(rows);
    if (reader_end(call, db) == 0)
        http_reply(call->req, 200, "text/plain; charset=utf-8", buf_cstr(&text), text.len);
    buf_release(&text);
}

void rest_log(struct call *call)
{
    const char *run_id = http_req_param(call->req, "run"),
               *wanted = http_req_query(call->req, "attempt");
    bool follows = str_eq(http_req_query(call->req, "follow"), "true");
    int64_t attempt = 0;
    struct sqlite_db *db;

    if (strlen(run_id) != ID_SIZE - 1 || (wanted && str_to_i64(wanted, &attempt) != 0)) {
        http_reply_problem(call->req, 404, NULL, "a run's id has 32 hex digits, attempts count");
        return;
    }
    if (!(db = reader_begin(call)))
        return;
    int64_t run_attempt =
        sqlite_select_int(db, -1, "SELECT attempt FROM runs WHERE run_id = ?", SQL_TEXT(run_id));
    int64_t log_attempt = sqlite_select_int(
        db, -1, "SELECT MAX(attempt) FROM log_attempts WHERE run_id = ?", SQL_TEXT(run_id));
    if (reader_end(call, db) != 0)
        return;
    if (!wanted)
        attempt = log_attempt > run_attempt ? log_attempt : run_attempt;
    if (run_attempt < 0 && log_attempt < 0)
        http_reply_problem(call->req, 404, NULL,
                           "no such run, or its log is older than logs are kept");
    else if (follows)
        follow(call, run_id, attempt > 0 ? attempt : 1);
    else
        reply_text(call, run_id, attempt);
}
