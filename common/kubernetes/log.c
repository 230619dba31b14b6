/* DESIGN: the log is asked for with times, so that each line begins with one; that, and how many
 * lines of the same time came before, is where a reader is. When a connection ends, the next one
 * asks from the second of that time on, and what was given already is skipped, to the byte. The
 * same serves a reader who wants no more for now: the connection ends, another one comes later. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kubernetes/internal.h"

#define PAUSE_MAX_MS 5000
#define KEPT_MAX     (1024 * 1024) /* bytes that wait for the reader; more ends the connection */
#define STALL_MS     (5 * 60 * 1000)
#define TRIES_MAX    10   /* to read what is left of a container that ended */
#define FINISH_MS    5000 /* for a follower to see that its container has ended */

struct kubernetes_log {
    struct kubernetes *kubernetes;
    char *pod, *container;
    const struct kubernetes_log_ops *ops;
    void *arg;
    struct log_lines lines;
    struct buf kept;
    bool paused;
    bool finishing; /* the container has ended */
    bool last;      /* this stream began after that: it has all */
    struct http_call *stream;
    struct loop_timer *pause;
    bool progress; /* the stream gave something new */
    unsigned failures;
};

static void begin(void *arg);

static void later(struct kubernetes_log *log)
{
    loop_timer_arm(log->pause, kubernetes_pause_ms(++log->failures, PAUSE_MAX_MS));
}

static void give_kept(struct kubernetes_log *log)
{
    if (log->kept.len == 0)
        return;
    struct buf kept = log->kept;
    buf_init(&log->kept, KEPT_MAX);
    log->paused = !log->ops->output(buf_cstr(&kept), kept.len, log->arg);
    buf_release(&kept);
}

static bool on_text(const char *data, size_t len, void *arg)
{
    struct kubernetes_log *log = arg;

    log->progress = true;
    if (log->paused)
        return buf_add(&log->kept, data, len) == 0;
    log->paused = !log->ops->output(data, len, log->arg);
    return true;
}

static bool is_full(const struct kubernetes_log *log)
{
    return log->kept.len > KEPT_MAX / 2;
}

/* Bounded: what one piece of curl's brings is added at most beyond half. */
static int on_data(const char *data, size_t len, void *arg)
{
    struct kubernetes_log *log = arg;

    log_lines_add(&log->lines, data, len, on_text, log);
    return is_full(log) ? 1 : 0;
}

static void on_end(const struct http_response *response, void *arg)
{
    struct kubernetes_log *log = arg;
    const bool good = response->status == 200;
    struct err err = response->err;

    log->stream = NULL;
    if (log->progress)
        log->failures = 0;
    if (is_full(log) || (log->last && good && log->paused))
        return; /* until kubernetes_log_resume() */
    if (log->last && good) {
        log->ops->ended(NULL, log->arg);
    } else if (log->last && (response->status == 404 || log->failures + 1 >= TRIES_MAX)) {
        if (response->status)
            kubernetes_refused(&err, response->status, "", 0);
        err_wrap(&err, "the rest of the log cannot be read");
        log->ops->ended(&err, log->arg);
    } else if (good && log->progress) {
        loop_timer_arm(log->pause, 0);
    } else {
        later(log);
    }
}

static void begin(void *arg)
{
    struct kubernetes_log *log = arg;
    struct kubernetes *k = log->kubernetes;
    struct strv headers = {0};
    struct err err = {0};
    char since[64] = "", time[CLOCK_RFC3339_SIZE];

    if (log->lines.given.at_s) {
        clock_rfc3339(log->lines.given.at_s * 1000, time);
        snprintf(since, sizeof(since), "&sinceTime=%.19sZ", time);
    }
    if (is_full(log))
        return;
    if (log->stream)
        http_call_cancel(log->stream);
    log->stream = NULL;
    log->last = log->finishing;
    log->progress = false;
    log_lines_begin(&log->lines);
    char *url = mem_printf("%s/api/v1/namespaces/%s/pods/%s/log?container=%s&timestamps=true%s%s",
                           k->server, k->namespace, log->pod, log->container,
                           log->last ? "" : "&follow=true", since);
    if (kubernetes_headers(k, &headers, &err) == 0) {
        const struct http_call_opts opts = {.url = url,
                                            .headers = (const char *const *)headers.items,
                                            .timeout_ms = -1,
                                            .stall_ms = STALL_MS,
                                            .ca_file = k->ca_file,
                                            .on_data = on_data};
        log->stream = http_call(k->http, &opts, on_end, log, &err);
    }
    kubernetes_headers_release(&headers);
    free(url);
    if (!log->stream)
        later(log);
}

struct kubernetes_log *kubernetes_log_follow(struct kubernetes *k, const char *pod,
                                             const char *container,
                                             const struct kubernetes_log_ops *ops, void *arg)
{
    struct kubernetes_log *log = mem_alloc(sizeof(*log));

    log->kubernetes = k;
    log->pod = mem_strdup(pod);
    log->container = mem_strdup(container);
    log->ops = ops;
    log->arg = arg;
    buf_init(&log->kept, KEPT_MAX);
    log->pause = loop_timer_new(k->loop, begin, log);
    loop_timer_arm(log->pause, 0);
    return log;
}

void kubernetes_log_resume(struct kubernetes_log *log)
{
    if (!log->paused)
        return;
    log->paused = false;
    give_kept(log);
    if (!log->paused && !log->stream && !loop_timer_armed(log->pause))
        loop_timer_arm(log->pause, 0); /* from where it was ended */
}

void kubernetes_log_finish(struct kubernetes_log *log)
{
    if (log->finishing)
        return;
    log->finishing = true;
    /* A follower sees the end of its container by itself, unless its connection is dead. */
    if (log->stream)
        loop_timer_arm(log->pause, FINISH_MS);
    else if (!log->paused)
        loop_timer_arm(log->pause, 0);
}

void kubernetes_log_free(struct kubernetes_log *log)
{
    if (!log)
        return;
    if (log->stream)
        http_call_cancel(log->stream);
    loop_timer_free(log->pause);
    buf_release(&log->kept);
    free(log->pod);
    free(log->container);
    free(log);
}
