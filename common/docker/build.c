/* Images that the engine makes ("ImageBuild" of the Engine API, by its own builder rather than
 * BuildKit, which wants a session) and pushes ("ImagePush"). */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "docker/internal.h"

#define PUSH_SILENT_MS (5 * 60 * 1000)
#define CPU_PERIOD_US  100000

/* ---- what it tells ---- */

static void on_text(const char *data, size_t len, void *arg)
{
    struct docker_call *call = arg;
    if (!call->cancelled && !call->output(data, len, call->arg))
        call->paused = true;
}

static int on_data(const char *data, size_t len, void *arg)
{
    struct docker_call *call = arg;
    call->inside = true;
    int rc = docker_progress_add(&call->progress, data, len, &call->err);
    return docker_call_leave(call, rc);
}

/* An image that cannot be made or is not taken: a line says so, at the end of a good answer. */
static int read_end(struct docker_call *call, const struct http_response *response,
                    struct docker_answer *answer, struct err *err)
{
    struct docker_progress *progress = &call->progress;
    (void)response;
    progress->output = NULL;
    if (docker_progress_add(progress, "\n", 1, err) < 0)
        return -1;
    answer->code = progress->code;
    answer->digest = *progress->digest ? progress->digest : NULL;
    return *progress->error ? err_set(err, ERR_INVALID, "%s", progress->error) : 0;
}

static struct docker_call *begin(struct docker *docker, char *what, docker_output_fn *output,
                                 docker_done_fn *done, void *arg)
{
    struct docker_call *call = docker_call_new(docker, what, read_end, done, arg);
    call->output = output;
    call->progress.output = on_text;
    call->progress.arg = call;
    free(what);
    return call;
}

static void wipe(char *header)
{
    if (header)
        mem_wipe(header, strlen(header));
    free(header);
}

/* ---- build ---- */

static char *logins_header(const struct docker_build *build)
{
    json_t *all = json_object();
    for (size_t i = 0; i < build->login_count; i++)
        json_object_set_new(all, build->logins[i].registry, docker_login_json(&build->logins[i]));
    return docker_login_header(DOCKER_LOGINS, all);
}

static char *build_path(const struct docker_build *build)
{
    char *dockerfile = docker_escape(build->dockerfile);
    char *tag = docker_escape(build->tag);
    char *network = docker_escape(build->network);
    struct buf out;
    buf_init(&out, 8192);
    buf_addf(&out, "/build?dockerfile=%s&t=%s&networkmode=%s", dockerfile, tag, network);
    buf_adds(&out, "&pull=1&nocache=1&rm=1&forcerm=1");
    if (build->memory_bytes)
        buf_addf(&out, "&memory=%llu&memswap=%llu", (unsigned long long)build->memory_bytes,
                 (unsigned long long)build->memory_bytes);
    if (build->cpu > 0)
        buf_addf(&out, "&cpuperiod=%d&cpuquota=%lld", CPU_PERIOD_US,
                 (long long)(build->cpu * CPU_PERIOD_US));
    free(dockerfile);
    free(tag);
    free(network);
    return buf_detach(&out);
}

struct docker_call *docker_build(struct docker *docker, const struct docker_build *build,
                                 docker_done_fn *done, void *arg)
{
    const struct http_file context = {.fd = build->fd, .size = build->size};
    char *logins = build->login_count ? logins_header(build) : NULL;
    const char *const headers[] = {"Content-Type: application/x-tar", logins, NULL};
    struct docker_call *call =
        begin(docker, mem_printf("build the image %s", build->tag), build->output, done, arg);
    struct http_call_opts opts = {.method = "POST",
                                  .headers = headers,
                                  .upload = &context,
                                  .on_data = on_data,
                                  .timeout_ms = -1};
    docker_call_begin(call, build_path(build), &opts);
    wipe(logins);
    return call;
}

/* ---- push ---- */

/* The tag apart: a name without one would mean all of them. */
static char *push_path(const char *image)
{
    const char *last = strrchr(image, '/');
    const char *colon = strchr(last ? last : image, ':');
    char *name = colon ? mem_strndup(image, (size_t)(colon - image)) : mem_strdup(image);
    char *tag = docker_escape(colon ? colon + 1 : "latest");
    char *rest = mem_printf("/push?tag=%s", tag);
    char *path = docker_image_path(name, rest);
    free(name);
    free(tag);
    free(rest);
    return path;
}

struct docker_call *docker_push(struct docker *docker, const char *image,
                                const struct docker_login *login, docker_output_fn *output,
                                docker_done_fn *done, void *arg)
{
    /* The engine wants one, even of nobody. */
    char *header =
        docker_login_header(DOCKER_LOGIN, login ? docker_login_json(login) : json_object());
    const char *const headers[] = {header, NULL};
    struct docker_call *call =
        begin(docker, mem_printf("push the image %s", image), output, done, arg);
    struct http_call_opts opts = {.method = "POST",
                                  .headers = headers,
                                  .on_data = on_data,
                                  .timeout_ms = -1,
                                  .stall_ms = PUSH_SILENT_MS};
    docker_call_begin(call, push_path(image), &opts);
    wipe(header);
    return call;
}
