#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gantry/v1/result.pb-c.h"
#include "services/cli/build.h"

#define ATTEMPT     3                  /* the last: what this machine can't run is told at once */
#define PENDING_MAX (64 * 1024 * 1024) /* of output that nobody took yet */
#define PAUSE_BYTES (256 * 1024)
#define WRITE_BYTES PIPE_BUF /* a pipe that poll() says is writable takes as much */

struct host {
    struct build_machine *machine;
    struct build *build;
    const struct build_folder *copied;
    const char *about;
    /* standard output */
    struct buf pending;
    struct loop_fd *watch; /* while it takes nothing */
    bool mid_line;
    bool paused;
    /* signals */
    struct loop_signal *signals[3];
    int signo;
    /* moving the source */
    char *into;
    int move_errno;
    void (*moved)(const struct err *err, void *arg);
    void *moved_arg;

    int64_t began_ms;
    enum build_end end;
    bool ended;
};

/* ---- standard output: written as it takes it, so that a slow reader never holds up a signal ----
 */

static void on_deaf(void *arg)
{
    struct host *host = arg;
    if (!host->ended)
        build_stop(host->build, BUILD_CANCEL, "Nobody reads its output any more");
}

/* False: it takes no more now. */
static bool write_some(struct host *host)
{
    struct buf *pending = &host->pending;
    size_t at = 0;
    bool open = true;
    while (at < pending->len) {
        struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
        size_t left = pending->len - at;
        if (poll(&fd, 1, 0) != 1) {
            open = false;
            break;
        }
        ssize_t n =
            write(STDOUT_FILENO, pending->data + at, left < WRITE_BYTES ? left : WRITE_BYTES);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0) { /* nobody reads any more */
            at = pending->len;
            if (!host->signo && !host->ended)
                loop_post(host->machine->loop, on_deaf, host); /* not from inside the build */
            host->signo = SIGPIPE;
            break;
        }
        at += (size_t)n;
    }
    buf_consume(pending, at);
    return open;
}

static void on_writable(int what, void *arg)
{
    struct host *host = arg;
    (void)what;
    if (write_some(host)) {
        loop_fd_free(host->watch);
        host->watch = NULL;
    }
    if (host->paused && host->pending.len < PAUSE_BYTES / 2) {
        host->paused = false;
        if (!host->ended)
            build_resume(host->build);
    }
}

static void put(struct host *host, const char *data, size_t len)
{
    if (len == 0)
        return;
    (void)buf_add(&host->pending, data, len);
    host->mid_line = data[len - 1] != '\n';
    if (!host->watch && !write_some(host))
        host->watch =
            loop_fd_new(host->machine->loop, STDOUT_FILENO, LOOP_WRITE, on_writable, host);
}

static void put_line(struct host *host, const char *line)
{
    if (host->mid_line)
        put(host, "\n", 1);
    put(host, line, strlen(line));
    put(host, "\n", 1);
}

static void put_rest(struct host *host)
{
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
    loop_fd_free(host->watch);
    host->watch = NULL;
    while (host->pending.len && (poll(&fd, 1, -1) == 1 || errno == EINTR))
        (void)write_some(host);
    buf_release(&host->pending);
}

/* ---- the host of the build ---- */

static bool on_log(void *arg, const char *data, size_t len)
{
    struct host *host = arg;
    put(host, data, len);
    host->paused = host->watch && host->pending.len > PAUSE_BYTES;
    return !host->paused;
}

static void on_mark(void *arg, const char *line)
{
    put_line(arg, line);
}

static void on_progress(void *arg, const char *phase)
{
    (void)arg;
    (void)phase;
}

static void move_work(void *arg)
{
    struct host *host = arg;
    host->move_errno = rename(host->machine->source, host->into) == 0 ? 0 : errno;
}

static void move_done(void *arg)
{
    struct host *host = arg;
    struct err err = {0};
    if (host->move_errno)
        err_errno(&err, host->move_errno, "cannot move the source to '%s'", host->into);
    free(host->into);
    host->moved(&err, host->moved_arg);
}

static int on_source(void *arg, const char *dir, void (*done)(const struct err *err, void *arg),
                     void *done_arg, struct err *err)
{
    struct host *host = arg;
    (void)err;
    char *line = mem_printf("Source %s", host->about);
    put_line(host, line);
    free(line);
    for (size_t i = 0; i < host->copied->left_out.count; i++) {
        line = mem_printf("Left out '%s': neither file, folder nor link",
                          host->copied->left_out.items[i]);
        put_line(host, line);
        free(line);
    }
    host->into = mem_strdup(dir);
    host->moved = done;
    host->moved_arg = done_arg;
    loop_work(host->machine->loop, move_work, move_done, host);
    return 0;
}

static void say_end(struct host *host, const Gantry__V1__Finished *finished)
{
    char took[32];
    char *line;
    if (finished->n_exported)
        put_line(host, "Exported variables");
    for (size_t i = 0; i < finished->n_exported; i++) {
        line = mem_printf("  %s=%s", finished->exported[i]->key, finished->exported[i]->value);
        put_line(host, line);
        free(line);
    }
    clock_human(clock_now_ms() - host->began_ms, took);
    if (host->end == BUILD_SUCCEEDED)
        line = mem_printf("Build SUCCEEDED in %s", took);
    else
        line = mem_printf("Build %s in phase %s after %s: %s",
                          host->end == BUILD_FAILED ? "FAILED" : "STOPPED", finished->phase, took,
                          finished->reason);
    put_line(host, line);
    free(line);
}

static void on_finished(void *arg, const Gantry__V1__Finished *finished)
{
    struct host *host = arg;
    host->end = finished->outcome == GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED ? BUILD_SUCCEEDED
                : finished->outcome == GANTRY__V1__OUTCOME__OUTCOME_STOPPED ? BUILD_INTERRUPTED
                                                                            : BUILD_FAILED;
    host->ended = true;
    say_end(host, finished);
}

/* Never: it is the last attempt, and nobody hands it back. */
static void on_dropped(void *arg, const struct err *why)
{
    struct host *host = arg;
    host->end = BUILD_FAILED;
    host->ended = true;
    put_line(host, why ? why->msg : "The build was given back");
}

static const struct build_host_ops ops = {.source = on_source,
                                          .log = on_log,
                                          .mark = on_mark,
                                          .progress = on_progress,
                                          .finished = on_finished,
                                          .dropped = on_dropped};

/* ---- signals ---- */

static void on_signal(int signo, void *arg)
{
    struct host *host = arg;
    if (host->signo) { /* a second one: at once; all of the sandbox dies with this process */
        signal(signo, SIG_DFL);
        raise(signo);
    }
    host->signo = signo;
    if (!host->ended)
        build_stop(host->build, BUILD_CANCEL,
                   signo == SIGINT ? "Ctrl-C (again: at once)" : "This program was told to end");
}

enum build_end build_run(struct build_machine *m, Gantry__V1__ActionRequest *request,
                         const struct build_folder *copied, const char *about, int *signo)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct host host = {.machine = m, .copied = copied, .about = about, .began_ms = clock_now_ms()};
    const struct build_host as_host = {.ops = &ops,
                                       .data = &host,
                                       .request = request,
                                       .run_id = request->run_id,
                                       .attempt = ATTEMPT,
                                       .started_ms = host.began_ms};
    buf_init(&host.pending, PENDING_MAX);
    for (size_t i = 0; i < 3; i++)
        host.signals[i] = loop_signal_new(m->loop, signals[i], on_signal, &host);
    host.build = build_new(&m->env, &as_host);
    build_begin(host.build);
    while (!host.ended)
        loop_run_for(m->loop, 60000, &host.ended);
    /* A move under way answers to a host that is still there. */
    loop_drain(m->loop);
    build_machine_close(m);
    for (size_t i = 0; i < 3; i++)
        loop_signal_free(host.signals[i]);
    put_rest(&host);
    *signo = host.signo;
    return host.end;
}
