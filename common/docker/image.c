#include <jansson.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "docker/internal.h"

#define PULL_SILENT_MS (5 * 60 * 1000)

char *docker_image_path(const char *image, const char *rest)
{
    struct buf out;
    buf_init(&out, 4096);
    buf_adds(&out, "/images/");
    for (const char *p = image; *p;) {
        char *part = mem_strndup(p, strcspn(p, "/"));
        char *escaped = docker_escape(part);
        buf_addf(&out, "%s%s", p == image ? "" : "/", escaped);
        p += strlen(part);
        p += *p == '/';
        free(part);
        free(escaped);
    }
    buf_adds(&out, rest);
    return buf_detach(&out);
}

static int read_image(struct docker_call *call, const struct http_response *response,
                      struct docker_answer *answer, struct err *err)
{
    (void)call;
    return docker_read_image(response->body, response->len, answer, err);
}

struct docker_call *docker_image(struct docker *docker, const char *image, docker_done_fn *done,
                                 void *arg)
{
    char *what = mem_printf("find the image %s", image);
    struct docker_call *call = docker_call_new(docker, what, read_image, done, arg);
    struct http_call_opts opts = {0};
    docker_call_begin(call, docker_image_path(image, "/json"), &opts);
    free(what);
    return call;
}

struct docker_call *docker_image_remove(struct docker *docker, const char *image,
                                        docker_done_fn *done, void *arg)
{
    char *what = mem_printf("remove the image %s", image);
    struct docker_call *call = docker_call_new(docker, what, NULL, done, arg);
    struct http_call_opts opts = {.method = "DELETE"};
    docker_call_begin(call, docker_image_path(image, ""), &opts);
    free(what);
    return call;
}

/* ---- pull ---- */

static int on_progress(const char *data, size_t len, void *arg)
{
    struct docker_call *call = arg;
    return docker_progress_add(&call->progress, data, len, &call->err);
}

/* A refusal has no lines, but a message; both come here. */
static int read_pull(struct docker_call *call, const struct http_response *response,
                     struct docker_answer *answer, struct err *err)
{
    const char *said = call->progress.error;
    (void)response;
    (void)answer;
    if (!*said)
        return 0;
    /* The engine tells it in words alone (distribution's error codes). */
    bool denied = strstr(said, "denied") || strstr(said, "unauthorized") ||
                  strstr(said, "authentication required");
    bool missing = strstr(said, "not found") || strstr(said, "manifest unknown");
    return err_set(err,
                   denied    ? ERR_DENIED
                   : missing ? ERR_NOT_FOUND
                             : ERR_UNAVAILABLE,
                   "%s", said);
}

/* The tag apart, since a name without one would mean all of them. */
static char *pull_path(const char *image)
{
    const char *last = strrchr(image, '/');
    const char *colon = strchr(last ? last : image, ':');
    bool digest = strchr(image, '@') != NULL;
    char *name = digest || !colon ? mem_strdup(image) : mem_strndup(image, (size_t)(colon - image));
    char *from = docker_escape(name);
    char *tag = docker_escape(digest ? "" : colon ? colon + 1 : "latest");
    char *path = mem_printf("/images/create?fromImage=%s%s%s", from, *tag ? "&tag=" : "", tag);
    free(name);
    free(from);
    free(tag);
    return path;
}

json_t *docker_login_json(const struct docker_login *login)
{
    return json_pack("{s:s, s:s, s:s}", "username", login->user, "password", login->password,
                     "serveraddress", login->registry);
}

char *docker_login_header(const char *name, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    /* The engine wants its padding. */
    char *plain = base64_encode(text, strlen(text));
    char *header = mem_printf("%s: %s", name, plain);
    for (char *p = header + strlen(name) + 2; *p; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
    mem_wipe(text, strlen(text));
    mem_wipe(plain, strlen(plain));
    json_decref(json);
    free(text);
    free(plain);
    return header;
}

struct docker_call *docker_pull(struct docker *docker, const char *image,
                                const struct docker_login *login, docker_done_fn *done, void *arg)
{
    char *what = mem_printf("pull the image %s", image);
    char *header = login ? docker_login_header(DOCKER_LOGIN, docker_login_json(login)) : NULL;
    const char *headers[] = {header, NULL};
    struct docker_call *call = docker_call_new(docker, what, read_pull, done, arg);
    struct http_call_opts opts = {.method = "POST",
                                  .headers = headers,
                                  .on_data = on_progress,
                                  .timeout_ms = -1,
                                  .stall_ms = PULL_SILENT_MS};
    docker_call_begin(call, pull_path(image), &opts);
    if (header)
        mem_wipe(header, strlen(header));
    free(header);
    free(what);
    return call;
}
