/* The log of a run: LogChunks of one stream each, cut at line ends where lines are short enough. */
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "executor/internal.h"
#include "gantry/v1/log.pb-c.h"
#include "log/log.h"

#include <stdarg.h>
#include <stdio.h>

static void flush_due(void *arg)
{
    runlog_retry(arg);
}

void runlog_init(struct executor_run *run)
{
    buf_init(&run->log.pending, LOG_KEEP_MAX);
    buf_init(&run->log.tail, 4 * TAIL_BYTES);
}

void runlog_release(struct executor_run *run)
{
    buf_release(&run->log.pending);
    buf_release(&run->log.tail);
    loop_timer_free(run->log.timer);
    run->log.timer = NULL;
}

void runlog_restart(struct executor_run *run)
{
    runlog_release(run);
    run->log = (struct run_log){0};
    runlog_init(run);
}

/* 0, or -1 when the producer does not take it now; `force`: it is sent or given up. */
static int send_chunk(struct executor_run *run, size_t len, bool last, bool force)
{
    struct executor *ex = run->executor;
    struct run_log *log = &run->log;
    if (!force && bus_producer_waiting(ex->producer) > LOG_QUEUE_MAX)
        return -1;
    Gantry__V1__LogChunk chunk = GANTRY__V1__LOG_CHUNK__INIT;
    chunk.run_id = run->id;
    chunk.pipeline = run->request->pipeline;
    chunk.release = run->request->release;
    chunk.stage = run->request->stage;
    chunk.action = run->request->action;
    chunk.attempt = run->attempt;
    chunk.offset_bytes = log->sent_bytes;
    chunk.time_ms = clock_now_ms();
    chunk.stream = log->pending_mark ? GANTRY__V1__LOG_STREAM__LOG_STREAM_MARK
                                     : GANTRY__V1__LOG_STREAM__LOG_STREAM_OUTPUT;
    chunk.data.data = (uint8_t *)(len ? log->pending.data : NULL);
    chunk.data.len = len;
    chunk.last = last;

    struct event_meta meta = {0};
    char attempt[21], offset[21];
    id_make(meta.id, "log", run->id, id_num(attempt, run->attempt), id_num(offset, log->sent_bytes),
            last ? "last" : "", NULL);
    snprintf(meta.subject, sizeof(meta.subject), "%s/%llu", run->request->pipeline,
             (unsigned long long)run->request->release);
    event_trace_of(meta.traceparent, run->traceparent, meta.id);
    struct err err = {0};
    if (bus_produce(ex->producer, TOPIC_LOG, &meta, &chunk, NULL, NULL, &err) < 0) {
        if (err.code == ERR_LIMIT && !force)
            return -1;
        log_warn("log lines are lost", LOG_S("run", run->id), LOG_I("bytes", len), LOG_E(&err));
    }
    buf_consume(&log->pending, len);
    log->sent_bytes += len;
    log->sent_ms = clock_mono_ms();
    return 0;
}

/* How much of what waits makes a chunk: whole lines, unless there is no line end in it. */
static size_t chunk_len(const struct run_log *log)
{
    size_t len = log->pending.len < LOG_CHUNK_MAX ? log->pending.len : LOG_CHUNK_MAX;
    const char *end = len ? memrchr(log->pending.data, '\n', len) : NULL;
    return end ? (size_t)(end - log->pending.data) + 1 : len;
}

/* Sends what makes full chunks, or everything. */
static int drain(struct executor_run *run, bool all)
{
    struct run_log *log = &run->log;
    while (log->pending.len >= LOG_CHUNK_MAX || (all && log->pending.len)) {
        size_t len = chunk_len(log);
        if (send_chunk(run, len, false, false) < 0)
            return -1;
    }
    return 0;
}

static void arm(struct executor_run *run)
{
    struct run_log *log = &run->log;
    if (!log->timer)
        log->timer = loop_timer_new(run->executor->loop, flush_due, run);
    if (loop_timer_armed(log->timer))
        return;
    /* The first line at once, as far as others do not follow it; then not too many chunks. */
    int64_t left = log->sent_ms + LOG_FLUSH_MS - clock_mono_ms();
    loop_timer_arm(log->timer, left > LOG_SOON_MS ? left : LOG_SOON_MS);
}

void runlog_retry(struct executor_run *run)
{
    struct run_log *log = &run->log;
    if (drain(run, true) < 0) {
        arm(run);
        return;
    }
    if (log->blocked) {
        log->blocked = false;
        if (run->executor->handler.log_ready && run->state == RUN_RUNNING)
            run->executor->handler.log_ready(run, run->executor->handler.arg);
    }
}

void runlog_flush(struct executor_run *run, bool last)
{
    struct run_log *log = &run->log;
    if (!last) {
        (void)drain(run, true);
        return;
    }
    while (log->pending.len > LOG_CHUNK_MAX)
        (void)send_chunk(run, chunk_len(log), false, true);
    (void)send_chunk(run, log->pending.len, true, true);
    if (log->timer)
        loop_timer_cancel(log->timer);
}

static void keep_tail(struct run_log *log, const char *data, size_t len)
{
    if (len > TAIL_BYTES) {
        data += len - TAIL_BYTES;
        len = TAIL_BYTES;
    }
    if (log->tail.len + len > log->tail.limit)
        buf_consume(&log->tail, log->tail.len > TAIL_BYTES ? log->tail.len - TAIL_BYTES : 0);
    buf_add(&log->tail, data, len);
}

/* Adds to what waits, of one stream; the other stream's goes out first. */
static void take(struct executor_run *run, const char *data, size_t len, bool mark)
{
    struct run_log *log = &run->log;
    if (log->pending.len && log->pending_mark != mark && drain(run, true) < 0) {
        /* A chunk has one stream: while nothing goes out, marks are told as output. */
        mark = log->pending_mark;
    }
    log->pending_mark = mark;
    log->taken_bytes += len;
    if (len > log->pending.limit - log->pending.len) {
        log_warn("log lines are lost", LOG_S("run", run->id), LOG_I("bytes", len),
                 LOG_S("error", "Kafka does not take them and too many wait"));
        return;
    }
    buf_add(&log->pending, data, len);
    arm(run);
}

bool executor_log(struct executor_run *run, const void *data, size_t len)
{
    struct run_log *log = &run->log;
    if (len == 0)
        return !log->blocked;
    keep_tail(log, data, len);
    if (log->truncated)
        return true;
    if (log->taken_bytes + len > LOG_TOTAL_MAX) {
        take(run, data, (size_t)(LOG_TOTAL_MAX - log->taken_bytes), false);
        log->truncated = true;
        executor_mark(run, "The log was cut here: it is longer than 64 MiB");
        return true;
    }
    const char *p = data;
    for (size_t left = len; left;) {
        size_t n = left < LOG_CHUNK_MAX ? left : LOG_CHUNK_MAX;
        take(run, p, n, false);
        log->mid_line = p[n - 1] != '\n';
        p += n;
        left -= n;
        if (drain(run, false) < 0)
            log->blocked = log->pending.len > LOG_BLOCK_BYTES;
    }
    return !log->blocked;
}

void executor_mark(struct executor_run *run, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(line) - 1 ? (size_t)n : sizeof(line) - 2;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    }
    line[len++] = '\n';
    if (run->log.mid_line) {
        take(run, "\n", 1, false);
        run->log.mid_line = false;
    }
    take(run, line, len, true);
}

/* Copies a line as valid UTF-8 without control characters but tab; what is not becomes '?'. */
static char *clean_line(const char *s, size_t len)
{
    char *out = mem_alloc(len + 1);
    for (size_t k = 0; k < len; k++)
        out[k] = s[k] ? s[k] : '?';
    size_t i = 0;
    while (out[i]) {
        unsigned char c = (unsigned char)out[i];
        size_t n = c < 0x80 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 0;
        if (n == 1) {
            if ((c < 0x20 && c != '\t') || c == 0x7F)
                out[i] = '?';
            i++;
        } else if (n && strnlen(out + i, n) == n && str_is_utf8(out + i, n)) {
            i += n;
        } else {
            out[i++] = '?';
        }
    }
    return out;
}

char **runlog_tail(const struct executor_run *run, size_t *count)
{
    const struct buf *tail = &run->log.tail;
    *count = 0;
    if (!tail->len)
        return NULL;
    size_t end = tail->len;
    size_t floor = end > TAIL_BYTES ? end - TAIL_BYTES : 0;
    if (tail->data[end - 1] == '\n')
        end--;
    size_t begins[TAIL_LINES], ends[TAIL_LINES], n = 0;
    for (size_t stop = end; n < TAIL_LINES;) {
        size_t from = stop;
        while (from > floor && tail->data[from - 1] != '\n')
            from--;
        begins[n] = from;
        ends[n++] = stop;
        if (from <= floor)
            break;
        stop = from - 1;
    }
    char **lines = mem_alloc(n * sizeof(*lines));
    for (size_t i = 0; i < n; i++)
        lines[i] = clean_line(tail->data + begins[n - 1 - i], ends[n - 1 - i] - begins[n - 1 - i]);
    *count = n;
    return lines;
}
