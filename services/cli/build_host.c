#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "events/event.h"
#include "services/cli/build.h"
#include "services/cli/cli.h"

#define ATTEMPT     3                  /* the last: what this machine can't run is told at once */
#define PENDING_MAX (64 * 1024 * 1024) /* of output that nobody took yet */
#define PAUSE_BYTES (256 * 1024)
#define WRITE_BYTES PIPE_BUF /* a pipe that poll() says is writable takes as much */

struct build_session {
    struct build_machine *machine;
    struct build *build;
    const struct build_folder *copied;
    const char *about;
    bool told; /* what the source is */
    /* standard output */
    struct buf pending;
    struct loop_fd *watch; /* while it takes nothing */
    bool mid_line;
    bool paused;
    /* signals */
    struct loop_signal *signals[3];
    int signo;
    /* moving the source, or a copy of it */
    bool keep;
    char *into;
    struct err move_err;
    void (*moved)(const struct err *err, void *arg);
    void *moved_arg;

    int64_t began_ms;
    enum build_end end;
    Gantry__V1__Finished *finished;
    bool ended; /* no build is under way */
};

/* ---- standard output: written as it takes it, so that a slow reader never holds up a signal ----
 */

static void on_deaf(void *arg)
{
    struct build_session *session = arg;
    if (!session->ended)
        build_stop(session->build, BUILD_CANCEL, "Nobody reads its output any more");
}

/* False: it takes no more now. */
static bool write_some(struct build_session *session)
{
    struct buf *pending = &session->pending;
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
            if (!session->signo && !session->ended)
                loop_post(session->machine->loop, on_deaf, session); /* not from inside the build */
            session->signo = SIGPIPE;
            break;
        }
        at += (size_t)n;
    }
    buf_consume(pending, at);
    return open;
}

static void on_writable(int what, void *arg)
{
    struct build_session *session = arg;
    (void)what;
    if (write_some(session)) {
        loop_fd_free(session->watch);
        session->watch = NULL;
    }
    if (session->paused && session->pending.len < PAUSE_BYTES / 2) {
        session->paused = false;
        if (!session->ended)
            build_resume(session->build);
    }
}

static void put(struct build_session *session, const char *data, size_t len)
{
    if (len == 0)
        return;
    (void)buf_add(&session->pending, data, len);
    session->mid_line = data[len - 1] != '\n';
    if (!session->watch && !write_some(session))
        session->watch =
            loop_fd_new(session->machine->loop, STDOUT_FILENO, LOOP_WRITE, on_writable, session);
}

static void put_line(struct build_session *session, const char *line)
{
    if (session->mid_line)
        put(session, "\n", 1);
    put(session, line, strlen(line));
    put(session, "\n", 1);
}

void build_session_say(struct build_session *session, const char *fmt, ...)
{
    char *line = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&line, fmt, ap);
    va_end(ap);
    put_line(session, n < 0 ? fmt : line);
    free(line);
}

static void put_rest(struct build_session *session)
{
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
    loop_fd_free(session->watch);
    session->watch = NULL;
    while (session->pending.len && (poll(&fd, 1, -1) == 1 || errno == EINTR))
        (void)write_some(session);
    buf_release(&session->pending);
}

/* ---- the host of the build ---- */

static bool on_log(void *arg, const char *data, size_t len)
{
    struct build_session *session = arg;
    put(session, data, len);
    session->paused = session->watch && session->pending.len > PAUSE_BYTES;
    return !session->paused;
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

/* Each build of a batch gets a copy, which is made beside the source and then moved, too. */
static void move_work(void *arg)
{
    struct build_session *session = arg;
    const char *source = session->machine->source;
    char *copy = session->keep ? mem_printf("%s-of-build", source) : NULL;
    struct build_folder copied = {0};
    session->move_err = (struct err){0};
    if ((!copy || build_folder_copy(source, copy, NULL, (uid_t)-1, (gid_t)-1, &copied,
                                    &session->move_err) == 0) &&
        rename(copy ? copy : source, session->into) != 0)
        err_errno(&session->move_err, errno, "cannot move the source to '%s'", session->into);
    build_folder_release(&copied);
    free(copy);
}

static void move_done(void *arg)
{
    struct build_session *session = arg;
    free(session->into);
    session->moved(&session->move_err, session->moved_arg);
}

static void tell_source(struct build_session *session)
{
    const struct strv *left_out = &session->copied->left_out;
    if (!session->told)
        build_session_say(session, "Source %s", session->about);
    for (size_t i = 0; !session->told && i < left_out->count; i++)
        build_session_say(session, "Left out '%s': neither file, folder nor link",
                          left_out->items[i]);
    session->told = true;
}

static int on_source(void *arg, const char *dir, void (*done)(const struct err *err, void *arg),
                     void *done_arg, struct err *err)
{
    struct build_session *session = arg;
    (void)err;
    tell_source(session);
    session->into = mem_strdup(dir);
    session->moved = done;
    session->moved_arg = done_arg;
    loop_work(session->machine->loop, move_work, move_done, session);
    return 0;
}

static void say_reports(struct build_session *session)
{
    json_t *finished = event_to_json(session->finished);
    const json_t *report;
    size_t i;
    if (session->finished->n_reports)
        build_session_say(session, "Reports");
    json_array_foreach(jget(finished, "reports"), i, report)
    {
        struct buf words;
        buf_init(&words, 8192);
        report_words(report, &words);
        build_session_say(session, "  %s", buf_cstr(&words));
        buf_release(&words);
    }
    json_decref(finished);
}

static void say_end(struct build_session *session)
{
    const Gantry__V1__Finished *finished = session->finished;
    char took[32];
    say_reports(session);
    if (finished->n_exported)
        build_session_say(session, "Exported variables");
    for (size_t i = 0; i < finished->n_exported; i++)
        build_session_say(session, "  %s=%s", finished->exported[i]->key,
                          finished->exported[i]->value);
    clock_human(finished->ended_ms - finished->started_ms, took);
    if (session->end == BUILD_SUCCEEDED)
        build_session_say(session, "Build SUCCEEDED in %s", took);
    else
        build_session_say(session, "Build %s in phase %s after %s: %s",
                          session->end == BUILD_FAILED ? "FAILED" : "STOPPED", finished->phase,
                          took, finished->reason);
}

static void on_finished(void *arg, const Gantry__V1__Finished *finished)
{
    struct build_session *session = arg;
    session->end = finished->outcome == GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED ? BUILD_SUCCEEDED
                   : finished->outcome == GANTRY__V1__OUTCOME__OUTCOME_STOPPED ? BUILD_INTERRUPTED
                                                                               : BUILD_FAILED;
    session->ended = true;
    session->finished = event_clone(finished);
    session->finished->started_ms = session->began_ms;
    session->finished->ended_ms = clock_now_ms();
    say_end(session);
}

/* Never: it is the last attempt, and nobody hands it back. */
static void on_dropped(void *arg, const struct err *why)
{
    struct build_session *session = arg;
    session->end = BUILD_FAILED;
    session->ended = true;
    put_line(session, why ? why->msg : "The build was given back");
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
    struct build_session *session = arg;
    if (session->signo) { /* a second one: at once; all of the sandbox dies with this process */
        signal(signo, SIG_DFL);
        raise(signo);
    }
    session->signo = signo;
    if (!session->ended)
        build_stop(session->build, BUILD_CANCEL,
                   signo == SIGINT ? "Ctrl-C (again: at once)" : "This program was told to end");
}

/* ---- the session ---- */

struct build_session *build_session_open(struct build_machine *m, const struct build_folder *copied,
                                         const char *about)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct build_session *session = mem_alloc(sizeof(*session));
    session->machine = m;
    session->copied = copied;
    session->about = about;
    session->ended = true;
    buf_init(&session->pending, PENDING_MAX);
    for (size_t i = 0; i < 3; i++)
        session->signals[i] = loop_signal_new(m->loop, signals[i], on_signal, session);
    return session;
}

enum build_end build_session_run(struct build_session *session, Gantry__V1__ActionRequest *request,
                                 bool keep)
{
    const struct build_host as_host = {.ops = &ops,
                                       .data = session,
                                       .request = request,
                                       .run_id = request->run_id,
                                       .attempt = ATTEMPT,
                                       .started_ms = clock_now_ms()};
    event_free(session->finished);
    session->finished = NULL;
    session->began_ms = as_host.started_ms;
    session->keep = keep;
    session->ended = session->paused = false;
    session->build = build_new(&session->machine->env, &as_host);
    build_begin(session->build);
    while (!session->ended)
        loop_run_for(session->machine->loop, 60000, &session->ended);
    /* A move under way answers to a session that is still there. */
    loop_drain(session->machine->loop);
    return session->end;
}

const Gantry__V1__Finished *build_session_finished(const struct build_session *session)
{
    return session->finished;
}

bool build_session_interrupted(const struct build_session *session)
{
    return session->signo != 0;
}

int build_session_close(struct build_session *session)
{
    build_machine_close(session->machine);
    for (size_t i = 0; i < 3; i++)
        loop_signal_free(session->signals[i]);
    put_rest(session);
    int signo = session->signo;
    event_free(session->finished);
    free(session);
    return signo;
}
