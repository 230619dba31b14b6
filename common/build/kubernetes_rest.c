/* What the runner in a pod asks, below /api/v1/builds/{job}, each with the job's own token:
 *
 *   GET  start           the place's folder as a tar archive
 *   GET  env             the commands' environment, to be sourced
 *   GET  next?after=N    what comes after task N, as soon as it is known; "wait": ask again
 *                          run <number> <command> <0 or 1>
 *                          bring <number>, then a path a line, below the folder
 *                          take <number>
 *   GET  files/{n}       of the task `take`: a tar archive
 *   PUT  files/{n}?part=K   of the task `bring`: a piece of a tar archive, all of 8 MiB but the
 * last POST files/{n}?parts=K  these were all
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "build/kubernetes.h"
#include "http/server.h"

#define WAIT_MS   25000
#define PARTS_MAX 8192 /* 64 GiB */

/* NULL: answered. */
static struct kubernetes_place *place_of(struct kubernetes_driver *driver, struct http_request *req)
{
    static const char bearer[] = "Bearer ";
    const char *given = http_req_header(req, "Authorization");
    struct kubernetes_place *place = kubernetes_place_find(driver, http_req_param(req, "job"));
    if (place && given && str_starts(given, bearer)) {
        given += sizeof(bearer) - 1;
        if (ct_equal(given, strlen(given), place->token, strlen(place->token)))
            return place;
    }
    http_reply_header(req, "WWW-Authenticate", "Bearer");
    http_reply_problem(req, 401, NULL, "a build's own pod asks here, with its own token");
    return NULL;
}

/* ---- what there is to do ---- */

static void answer_asking(struct kubernetes_place *place, const char *text)
{
    struct http_request *req = place->asking;
    place->asking = NULL;
    loop_timer_cancel(place->asking_timer);
    http_req_on_close(req, NULL, NULL);
    http_reply(req, 200, "text/plain", text, strlen(text));
}

void kubernetes_rest_tell(struct kubernetes_place *place)
{
    if (place->asking && place->text)
        answer_asking(place, place->text);
}

static void on_waited(void *arg)
{
    struct kubernetes_place *place = arg;
    if (place->asking)
        answer_asking(place, "wait\n");
}

static void on_close(void *arg)
{
    struct kubernetes_place *place = arg;
    place->asking = NULL;
    loop_timer_cancel(place->asking_timer);
}

void kubernetes_rest_close(struct kubernetes_place *place)
{
    if (place->asking)
        answer_asking(place, "end\n");
    loop_timer_free(place->asking_timer);
}

static void on_next(struct http_request *req, void *arg)
{
    struct kubernetes_place *place = place_of(arg, req);
    const char *text = http_req_query(req, "after");
    uint64_t after;
    if (!place)
        return;
    if (!text || str_to_u64(text, &after) < 0 || after > place->number) {
        http_reply_problem(req, 400, NULL, "after=N is the number of the last task");
        return;
    }
    if (place->asking)
        answer_asking(place, "wait\n"); /* its connection is dead, for it asks again */
    place->asking = req;
    http_req_on_close(req, on_close, place);
    if (!place->asking_timer)
        place->asking_timer = loop_timer_new(place->driver->conf.loop, on_waited, place);
    loop_timer_arm(place->asking_timer, WAIT_MS);
    if (after < place->number)
        kubernetes_rest_tell(place);
    else if (place->task == TASK_SEND)
        kubernetes_place_sent(place); /* the place can be gone */
}

/* ---- files ---- */

static void reply_packed(struct kubernetes_place *place, struct http_request *req)
{
    uint64_t size;
    struct err err = {0};
    int fd = kubernetes_folder_packed(place->folder, &size, &err);
    if (fd < 0)
        http_reply_err(req, &err);
    else
        http_reply_file(req, 200, "application/x-tar", fd, size);
}

static void on_start(struct http_request *req, void *arg)
{
    struct kubernetes_place *place = place_of(arg, req);
    if (place)
        reply_packed(place, req);
}

static void on_env(struct http_request *req, void *arg)
{
    struct kubernetes_place *place = place_of(arg, req);
    if (place)
        http_reply(req, 200, "text/plain", place->env, strlen(place->env));
}

/* The place, if its task is this one; else NULL, and answered. */
static struct kubernetes_place *place_of_file(struct kubernetes_driver *driver,
                                              struct http_request *req, enum kubernetes_task task)
{
    struct kubernetes_place *place = place_of(driver, req);
    uint64_t number;
    if (!place)
        return NULL;
    if (place->task == task && str_to_u64(http_req_param(req, "n"), &number) == 0 &&
        number == place->number)
        return place;
    http_reply_problem(req, 409, NULL, "this is not what the build waits for");
    return NULL;
}

static void on_get_file(struct http_request *req, void *arg)
{
    struct kubernetes_place *place = place_of_file(arg, req, TASK_SEND);
    if (place)
        reply_packed(place, req);
}

static int spool(struct kubernetes_place *place, uint64_t part, const char *data, size_t len,
                 struct err *err)
{
    const uint64_t most = place->limit_bytes + place->limit_bytes / 8 + 64 * 1024 * 1024;
    if (part * PART_SIZE + len > most)
        return err_set(err, ERR_LIMIT, "the build left more than %llu MiB",
                       (unsigned long long)(place->limit_bytes >> 20));
    for (size_t at = 0; at < len;) {
        const ssize_t n = pwrite(place->spool, data + at, len - at, (off_t)(part * PART_SIZE + at));
        if (n < 0 && errno != EINTR)
            return err_errno(err, errno, "cannot keep what the build left");
        at += n > 0 ? (size_t)n : 0;
    }
    if (part == place->parts)
        place->parts++;
    place->spooled = part * PART_SIZE + len;
    return 0;
}

static void on_put_file(struct http_request *req, void *arg)
{
    struct kubernetes_place *place = place_of_file(arg, req, TASK_BRING);
    const char *text = http_req_query(req, "part");
    struct err err = {0};
    size_t len;
    uint64_t part;
    if (!place)
        return;
    const char *data = http_req_body(req, &len);
    /* A piece can come again when its answer was lost, the last one only. */
    if (!text || str_to_u64(text, &part) < 0 || part >= PARTS_MAX || part > place->parts ||
        part + 1 < place->parts || place->spool < 0 ||
        (part > 0 && part == place->parts && place->spooled != part * PART_SIZE)) {
        http_reply_problem(req, 400, NULL, "part=K is the number of the next piece, from 0 on");
        return;
    }
    if (spool(place, part, data, len, &err) == 0) {
        http_reply(req, 204, NULL, NULL, 0);
        return;
    }
    http_reply_err(req, &err);
    kubernetes_place_brought(place, &err);
}

static void on_post_file(struct http_request *req, void *arg)
{
    struct kubernetes_place *place = place_of(arg, req);
    const char *text = http_req_query(req, "parts");
    struct err err = {0};
    uint64_t number, parts;
    if (!place)
        return;
    http_reply(req, 204, NULL, NULL, 0);
    /* Of what failed before, or comes again, nothing more is to be known. */
    if (place->task != TASK_BRING || str_to_u64(http_req_param(req, "n"), &number) < 0 ||
        number != place->number || place->spool < 0)
        return;
    if (!text || str_to_u64(text, &parts) < 0 || parts != place->parts)
        err_set(&err, ERR_UNAVAILABLE, "what the build left did not come whole");
    kubernetes_place_brought(place, err.code ? &err : NULL);
}

void kubernetes_rest_serve(struct kubernetes_driver *driver)
{
    static const struct {
        const char *method, *pattern;
        size_t limit;
        http_handler_fn *fn;
    } routes[] = {
        {"GET", "/api/v1/builds/{job}/start", 0, on_start},
        {"GET", "/api/v1/builds/{job}/env", 0, on_env},
        {"GET", "/api/v1/builds/{job}/next", 0, on_next},
        {"GET", "/api/v1/builds/{job}/files/{n}", 0, on_get_file},
        {"PUT", "/api/v1/builds/{job}/files/{n}", PART_SIZE, on_put_file},
        {"POST", "/api/v1/builds/{job}/files/{n}", 1024, on_post_file},
    };
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++)
        http_route(driver->conf.server, routes[i].method, routes[i].pattern, routes[i].limit,
                   routes[i].fn, driver);
}
