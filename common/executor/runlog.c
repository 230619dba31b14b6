/* The log of a run: LogChunks of one stream each, cut at line ends where lines are short enough.
 *
 * DESIGN: a request costs Kafka and librdkafka more than its bytes do. So chunks go in bursts, and
 * the next burst goes when the last is acknowledged: the slower Kafka is, the larger they are. What
 * waits meanwhile is here, bounded for each run, not in the producer that results go through. */
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

void runlog_init(struct executor_run *run)
{
    buf_init(&run->log.pending, 2 * LOG_KEEP_MAX); /* with what was sent before it */
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

static size_t waiting(const struct run_log *log)
{
    return log->pending.len - log->at;
}

/* The next `len` bytes that wait were sent. */
static void forget(struct run_log *log, size_t len)
{
    log->at += len;
    log->sent_bytes += len;
    if (waiting(log) == 0 && log->pending.cap > 2 * LOG_BURST_MAX)
        buf_release(&log->pending);
    else if (log->at > log->pending.len / 2)
        buf_consume(&log->pending, log->at);
    else
        return;
    log->at = 0;
}

/* ---- bursts ---- */

/* The run may be gone when its burst is acknowledged. */
struct burst {
    struct executor *executor;
    char run_id[RUN_ID_MAX];
    uint32_t attempt;
};

static void on_burst(const struct bus_ack *ack, void *arg);

static void *burst_new(const struct executor_run *run)
{
    struct burst *burst = mem_alloc(sizeof(*burst));
    burst->executor = run->executor;
    burst->attempt = run->attempt;
    snprintf(burst->run_id, sizeof(burst->run_id), "%s", run->id);
    return burst;
}

static int produce(struct executor_run *run, size_t len, bool last, bool ends_burst,
                   struct err *err)
{
    struct executor *ex = run->executor;
    struct run_log *log = &run->log;
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
    chunk.data.data = (uint8_t *)(len ? log->pending.data + log->at : NULL);
    chunk.data.len = len;
    chunk.last = last;

    struct event_meta meta = {0};
    char attempt[21], offset[21];
    id_make(meta.id, "log", run->id, id_num(attempt, run->attempt), id_num(offset, log->sent_bytes),
            last ? "last" : "", NULL);
    snprintf(meta.subject, sizeof(meta.subject), "%s/%llu", run->request->pipeline,
             (unsigned long long)run->request->release);
    event_trace_of(meta.traceparent, run->traceparent, meta.id);
    struct burst *burst = ends_burst ? burst_new(run) : NULL;
    int rc =
        bus_produce(ex->producer, TOPIC_LOG, &meta, &chunk, burst ? on_burst : NULL, burst, err);
    if (rc == 0)
        log->bursts += ends_burst;
    else
        free(burst);
    return rc;
}

/* 0, or -1 when the producer does not take it now; `force`: it is sent or given up. */
static int send_chunk(struct executor_run *run, size_t len, bool ends_burst, bool force)
{
    struct run_log *log = &run->log;
    const bool last = force && len == waiting(log);
    struct err err = {0};
    if (!force && bus_producer_waiting(run->executor->producer) > LOG_QUEUE_MAX)
        return -1;
    if (produce(run, len, last, ends_burst, &err) < 0) {
        if (err.code == ERR_LIMIT && !force)
            return -1;
        log_warn("log lines are lost", LOG_S("run", run->id), LOG_I("bytes", len), LOG_E(&err));
    }
    log->sent_ms = clock_mono_ms();
    forget(log, len);
    return 0;
}

/* How much of what waits makes a chunk: whole lines, unless there is no line end in it. */
static size_t chunk_len(const struct run_log *log)
{
    size_t len = waiting(log) < LOG_CHUNK_MAX ? waiting(log) : LOG_CHUNK_MAX;
    const char *data = log->pending.data + log->at;
    const char *end = len ? memrchr(data, '\n', len) : NULL;
    return end ? (size_t)(end - data) + 1 : len;
}

/* `most` bytes of what waits; -1: not all of them now. */
static int send_burst(struct executor_run *run, size_t most)
{
    struct run_log *log = &run->log;
    for (size_t sent = 0, len; waiting(log) && sent < most; sent += len) {
        len = chunk_len(log);
        if (send_chunk(run, len, len == waiting(log) || sent + len >= most, false) < 0)
            return -1;
    }
    return 0;
}

static void flush_due(void *arg);

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

/* It is time for what waits. */
static void go_on(struct executor_run *run)
{
    struct run_log *log = &run->log;
    const struct executor_handler *handler = &run->executor->handler;
    (void)send_burst(run, LOG_BURST_MAX);
    if (waiting(log))
        arm(run);
    if (!log->blocked || waiting(log) > LOG_BLOCK_BYTES / 2)
        return;
    log->blocked = false;
    if (handler->log_ready && run->state == RUN_RUNNING)
        handler->log_ready(run, handler->arg);
}

static void flush_due(void *arg)
{
    struct executor_run *run = arg;
    if (!run->log.bursts) /* else once they are acknowledged */
        go_on(run);
}

static void on_burst(const struct bus_ack *ack, void *arg)
{
    struct burst *burst = arg;
    struct executor_run *run = map_get(burst->executor->runs, burst->run_id);
    if (!ack->ok)
        log_warn("log lines are lost", LOG_S("run", burst->run_id), LOG_E(&ack->err));
    if (run && run->attempt == burst->attempt && run->log.bursts) {
        run->log.bursts--;
        if (ack->ok && !run->log.bursts && waiting(&run->log) >= LOG_BURST)
            go_on(run);
        else if (waiting(&run->log))
            arm(run);
    }
    free(burst);
}

void runlog_end(struct executor_run *run)
{
    struct run_log *log = &run->log;
    do {
        const size_t len = waiting(log) > LOG_CHUNK_MAX ? chunk_len(log) : waiting(log);
        (void)send_chunk(run, len, false, true);
    } while (waiting(log));
    if (log->timer)
        loop_timer_cancel(log->timer);
}

/* ---- what comes ---- */

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
    if (waiting(log) && log->pending_mark != mark && send_burst(run, LOG_KEEP_MAX) < 0) {
        /* A chunk has one stream: while nothing goes out, marks are told as output. */
        mark = log->pending_mark;
    }
    log->pending_mark = mark;
    log->taken_bytes += len;
    if (len > LOG_KEEP_MAX - waiting(log)) {
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
    take(run, data, len, false);
    log->mid_line = ((const char *)data)[len - 1] != '\n';
    if (waiting(log) >= LOG_BURST && !log->bursts)
        (void)send_burst(run, LOG_BURST_MAX);
    log->blocked = log->blocked || waiting(log) > LOG_BLOCK_BYTES;
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
