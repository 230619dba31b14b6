#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "docker/internal.h"

#define TIMEOUT_MS    60000
#define ANSWER_MAX    (16 * 1024 * 1024)
#define URL_MAX       8192
#define MINOR_ASSUMED 41
#define VERSION_PATH  "/version"

struct docker *docker_new(struct loop *loop, const char *socket)
{
    struct docker *docker = mem_alloc(sizeof(*docker));
    docker->loop = loop;
    docker->http = http_client_new(loop);
    /* Each container that runs takes two: its streams, and the wait for its end. */
    http_client_connections(docker->http, 0);
    docker->socket = mem_strdup(socket);
    docker->minor = MINOR_ASSUMED;
    LIST_INIT(&docker->calls);
    return docker;
}

const char *docker_socket(const struct docker *docker)
{
    return docker->socket;
}

char *docker_escape(const char *s)
{
    struct buf out;
    buf_init(&out, URL_MAX);
    for (; *s; s++) {
        if (isalnum((unsigned char)*s) || strchr("-._~", *s))
            buf_addc(&out, *s);
        else
            buf_addf(&out, "%%%02X", (unsigned char)*s);
    }
    return buf_detach(&out);
}

/* ---- calls ---- */

struct docker_call *docker_call_new(struct docker *docker, const char *what, docker_read_fn *read,
                                    docker_done_fn *done, void *arg)
{
    struct docker_call *call = mem_alloc(sizeof(*call));
    *call = (struct docker_call){
        .docker = docker, .what = mem_strdup(what), .read = read, .done = done, .arg = arg};
    LIST_INSERT_HEAD(&docker->calls, call, link);
    return call;
}

static void call_free(struct docker_call *call)
{
    LIST_REMOVE(call, link);
    loop_timer_free(call->failing);
    strv_release(&call->ids);
    docker_progress_release(&call->progress);
    free(call->id);
    free(call->what);
    free(call);
}

static void tell(struct docker_call *call, const struct docker_answer *answer,
                 const struct err *err)
{
    if (call->ops)
        call->ops->ended(err, call->arg);
    else
        call->done(answer, err, call->arg);
    call_free(call);
}

static enum err_code code_of(int status)
{
    switch (status) {
    case 401:
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    default:
        return status >= 400 && status < 500 ? ERR_INVALID : ERR_UNAVAILABLE;
    }
}

static void refused(const struct docker_call *call, const struct http_response *response,
                    struct err *err)
{
    char said[DOCKER_MESSAGE_MAX];
    const struct buf *line = &call->progress.line;
    docker_read_message(response->body, response->len, said);
    if (!*said && call->progress.begun)
        docker_read_message(buf_cstr(line), line->len, said);
    if (!*said)
        snprintf(said, sizeof(said), "%s", call->progress.error);
    if (*said)
        err_set(err, code_of(response->status), "the Docker engine cannot %s: %s", call->what,
                said);
    else
        err_set(err, code_of(response->status), "the Docker engine cannot %s: status %d",
                call->what, response->status);
}

static void on_done(const struct http_response *response, void *arg)
{
    struct docker_call *call = arg;
    struct docker_answer answer = {.bytes = response->saved};
    struct err err = call->err;
    call->http = NULL;
    if (err.code != ERR_NONE) {
        err_wrap(&err, "cannot %s", call->what);
    } else if (response->status == 0) {
        err_set(&err, response->err.code, "the Docker engine at '%s' cannot %s: %s",
                call->docker->socket, call->what, response->err.msg);
    } else if (response->status >= 300 && response->status != 304) {
        refused(call, response, &err);
    } else if (call->read && call->read(call, response, &answer, &err) < 0) {
        err_wrap(&err, "cannot %s", call->what);
    }
    tell(call, &answer, &err);
}

static void on_failing(void *arg)
{
    struct docker_call *call = arg;
    const struct docker_answer answer = {0};
    const struct err err = call->err;
    tell(call, &answer, &err);
}

void docker_call_begin(struct docker_call *call, char *path, struct http_call_opts *opts)
{
    struct docker *docker = call->docker;
    bool plain = str_eq(path, VERSION_PATH);
    char *url = plain ? mem_printf("http://engine%s", path)
                      : mem_printf("http://engine/v1.%u%s", docker->minor, path);
    opts->url = url;
    opts->unix_socket = docker->socket;
    if (!opts->limit)
        opts->limit = ANSWER_MAX;
    if (!opts->timeout_ms)
        opts->timeout_ms = TIMEOUT_MS;
    call->http = http_call(docker->http, opts, on_done, call, &call->err);
    if (!call->http) {
        call->failing = loop_timer_new(docker->loop, on_failing, call);
        loop_timer_arm(call->failing, 0);
    }
    free(path);
    free(url);
}

void docker_call_cancel(struct docker_call *call)
{
    if (!call)
        return;
    if (call->http)
        http_call_cancel(call->http);
    call->http = NULL;
    if (call->inside)
        call->cancelled = true; /* who called back is on the stack, and frees it */
    else
        call_free(call);
}

int docker_call_leave(struct docker_call *call, int rc)
{
    call->inside = false;
    if (call->cancelled) {
        docker_call_cancel(call);
        return -1;
    }
    if (rc == 0 && call->paused)
        http_call_pause(call->http, true);
    return rc;
}

void docker_free(struct docker *docker)
{
    if (!docker)
        return;
    while (!LIST_EMPTY(&docker->calls))
        docker_call_cancel(LIST_FIRST(&docker->calls));
    http_client_free(docker->http);
    free(docker->socket);
    free(docker);
}

/* ---- version ---- */

static int read_version(struct docker_call *call, const struct http_response *response,
                        struct docker_answer *answer, struct err *err)
{
    (void)answer;
    return docker_read_version(response->body, response->len, &call->docker->minor, err);
}

struct docker_call *docker_version(struct docker *docker, docker_done_fn *done, void *arg)
{
    struct docker_call *call = docker_call_new(docker, "say its version", read_version, done, arg);
    struct http_call_opts opts = {.timeout_ms = 10000};
    docker_call_begin(call, mem_strdup(VERSION_PATH), &opts);
    return call;
}
