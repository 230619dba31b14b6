#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "docker/internal.h"

#define STOP_MORE_MS    30000 /* that a stop may take beyond its grace */
#define FILES_SILENT_MS (5 * 60 * 1000)
#define SIZE_MS         (10 * 60 * 1000)
#define NANO            1e9

/* POST, DELETE or GET of /containers/<id>/<rest>, without a body. */
static struct docker_call *ask(struct docker *docker, const char *method, const char *what,
                               char *path, int64_t timeout_ms, docker_read_fn *read,
                               docker_done_fn *done, void *arg)
{
    struct docker_call *call = docker_call_new(docker, what, read, done, arg);
    struct http_call_opts opts = {.method = method, .timeout_ms = timeout_ms};
    docker_call_begin(call, path, &opts);
    return call;
}

/* ---- create ---- */

static json_t *strings(const char *const *items)
{
    json_t *out = json_array();
    for (; items && *items; items++)
        json_array_append_new(out, json_string(*items));
    return out;
}

static json_t *labels_of(const char *const *labels)
{
    json_t *out = json_object();
    for (; labels && *labels; labels++) {
        const char *value = strchr(*labels, '=');
        json_object_setn_new(out, *labels, (size_t)(value - *labels), json_string(value + 1));
    }
    return out;
}

static json_t *host_of(const struct docker_container *c)
{
    json_t *host =
        json_pack("{s:{s:s}, s:s, s:i, s:[s]}", "LogConfig", "Type", "none", "NetworkMode",
                  c->network, "OomScoreAdj", 1000, "SecurityOpt", "no-new-privileges");
    if (c->memory_bytes) {
        json_object_set_new(host, "Memory", json_integer((json_int_t)c->memory_bytes));
        json_object_set_new(host, "MemorySwap", json_integer((json_int_t)c->memory_bytes));
    }
    if (c->cpu > 0)
        json_object_set_new(host, "NanoCpus", json_integer((json_int_t)(c->cpu * NANO)));
    if (c->processes)
        json_object_set_new(host, "PidsLimit", json_integer(c->processes));
    if (c->bind)
        json_object_set_new(host, "Binds", json_pack("[s]", c->bind));
    return host;
}

static char *body_of(const struct docker_container *c)
{
    json_t *json =
        json_pack("{s:s, s:[], s:o, s:o, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:{s:[s]}, s:o}",
                  "Image", c->image, "Entrypoint", "Cmd", strings(c->command), "Labels",
                  labels_of(c->labels), "User", "0:0", "WorkingDir", "/", "OpenStdin", true,
                  "StdinOnce", true, "AttachStdin", true, "AttachStdout", true, "AttachStderr",
                  true, "Healthcheck", "Test", "NONE", "HostConfig", host_of(c));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

static int read_create(struct docker_call *call, const struct http_response *response,
                       struct docker_answer *answer, struct err *err)
{
    call->id = docker_read_id(response->body, response->len, err);
    answer->id = call->id;
    return call->id ? 0 : -1;
}

struct docker_call *docker_create(struct docker *docker, const struct docker_container *container,
                                  docker_done_fn *done, void *arg)
{
    char *what = mem_printf("make a container of the image %s", container->image);
    char *body = body_of(container);
    char *name = docker_escape(container->name);
    const char *const headers[] = {"Content-Type: application/json", NULL};
    struct docker_call *call = docker_call_new(docker, what, read_create, done, arg);
    struct http_call_opts opts = {
        .method = "POST", .headers = headers, .body = body, .body_len = strlen(body)};
    docker_call_begin(call, mem_printf("/containers/create?name=%s", name), &opts);
    free(body);
    free(name);
    free(what);
    return call;
}

/* ---- its life ---- */

struct docker_call *docker_start(struct docker *docker, const char *id, docker_done_fn *done,
                                 void *arg)
{
    return ask(docker, "POST", "start a container", mem_printf("/containers/%s/start", id), 0, NULL,
               done, arg);
}

static int read_wait(struct docker_call *call, const struct http_response *response,
                     struct docker_answer *answer, struct err *err)
{
    (void)call;
    return docker_read_wait(response->body, response->len, &answer->code, err);
}

struct docker_call *docker_wait(struct docker *docker, const char *id, docker_done_fn *done,
                                void *arg)
{
    return ask(docker, "POST", "wait for a container", mem_printf("/containers/%s/wait", id), -1,
               read_wait, done, arg);
}

struct docker_call *docker_stop(struct docker *docker, const char *id, unsigned grace_s,
                                docker_done_fn *done, void *arg)
{
    return ask(docker, "POST", "stop a container",
               mem_printf("/containers/%s/stop?t=%u", id, grace_s),
               (int64_t)grace_s * 1000 + STOP_MORE_MS, NULL, done, arg);
}

struct docker_call *docker_remove(struct docker *docker, const char *id, docker_done_fn *done,
                                  void *arg)
{
    return ask(docker, "DELETE", "remove a container", mem_printf("/containers/%s?force=1&v=1", id),
               0, NULL, done, arg);
}

static int read_list(struct docker_call *call, const struct http_response *response,
                     struct docker_answer *answer, struct err *err)
{
    answer->ids = &call->ids;
    return docker_read_ids(response->body, response->len, &call->ids, err);
}

struct docker_call *docker_list(struct docker *docker, const char *label, docker_done_fn *done,
                                void *arg)
{
    json_t *json = json_pack("{s:[s]}", "label", label);
    char *filters = json_dumps(json, JSON_COMPACT);
    char *escaped = docker_escape(filters);
    char *path = mem_printf("/containers/json?all=1&filters=%s", escaped);
    json_decref(json);
    free(filters);
    free(escaped);
    return ask(docker, "GET", "list containers", path, 0, read_list, done, arg);
}

static int read_stats(struct docker_call *call, const struct http_response *response,
                      struct docker_answer *answer, struct err *err)
{
    (void)call;
    return docker_read_stats(response->body, response->len, answer, err);
}

struct docker_call *docker_stats(struct docker *docker, const char *id, docker_done_fn *done,
                                 void *arg)
{
    return ask(docker, "GET", "tell what a container takes",
               mem_printf("/containers/%s/stats?stream=0&one-shot=1", id), 5000, read_stats, done,
               arg);
}

static int read_size(struct docker_call *call, const struct http_response *response,
                     struct docker_answer *answer, struct err *err)
{
    (void)call;
    return docker_read_size(response->body, response->len, &answer->bytes, err);
}

struct docker_call *docker_size(struct docker *docker, const char *id, docker_done_fn *done,
                                void *arg)
{
    return ask(docker, "GET", "tell what a container wrote",
               mem_printf("/containers/%s/json?size=true", id), SIZE_MS, read_size, done, arg);
}

/* ---- files ---- */

static char *archive_path(const char *id, const char *path)
{
    char *escaped = docker_escape(path);
    char *out = mem_printf("/containers/%s/archive?path=%s", id, escaped);
    free(escaped);
    return out;
}

struct docker_call *docker_put(struct docker *docker, const char *id, const char *path, int fd,
                               uint64_t size, docker_done_fn *done, void *arg)
{
    const struct http_file file = {.fd = fd, .size = size};
    const char *const headers[] = {"Content-Type: application/x-tar", NULL};
    struct docker_call *call =
        docker_call_new(docker, "put files into a container", NULL, done, arg);
    struct http_call_opts opts = {.method = "PUT",
                                  .headers = headers,
                                  .upload = &file,
                                  .timeout_ms = -1,
                                  .stall_ms = FILES_SILENT_MS};
    docker_call_begin(call, archive_path(id, path), &opts);
    return call;
}

struct docker_call *docker_get(struct docker *docker, const char *id, const char *path, int fd,
                               uint64_t limit, docker_done_fn *done, void *arg)
{
    const struct http_file file = {.fd = fd, .size = limit};
    char *what = mem_printf("get '%.200s' from a container", path);
    struct docker_call *call = docker_call_new(docker, what, NULL, done, arg);
    struct http_call_opts opts = {.download = &file, .timeout_ms = -1, .stall_ms = FILES_SILENT_MS};
    docker_call_begin(call, archive_path(id, path), &opts);
    free(what);
    return call;
}
