/* Lines of JSON as the engine tells of a pull, a build and a push ("JSONMessage" of the Engine
 * API). */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "docker/internal.h"

#define LINE_MAX_BYTES (256 * 1024)
#define ALL_MAX_BYTES  (4ull * 1024 * 1024 * 1024)
#define DIGEST_PREFIX  "sha256:"

static bool is_digest(const char *text)
{
    size_t prefix = strlen(DIGEST_PREFIX);
    return text && str_starts(text, DIGEST_PREFIX) && strlen(text) == DOCKER_DIGEST_SIZE - 1 &&
           strspn(text + prefix, "0123456789abcdef") == strlen(text) - prefix;
}

static void take_error(struct docker_progress *progress, const json_t *json)
{
    const json_t *detail = json_object_get(json, "errorDetail");
    const char *error = json_string_value(json_object_get(json, "error"));
    if (!error)
        error = json_string_value(json_object_get(detail, "message"));
    if (!error)
        error = json_string_value(json_object_get(json, "message")); /* the whole is refused */
    if (!error && !detail)
        return;
    docker_set_text(progress->error, error);
    if (!*progress->error)
        snprintf(progress->error, sizeof(progress->error), "it failed");
    progress->code = json_integer_value(json_object_get(detail, "code"));
}

/* How far it has come is told many times a second: a bar on a terminal, and no line of a log. */
static void tell_status(const struct docker_progress *progress, const json_t *json)
{
    const char *status = json_string_value(json_object_get(json, "status"));
    const char *id = json_string_value(json_object_get(json, "id"));
    char line[2 * DOCKER_MESSAGE_MAX + 4], what[DOCKER_MESSAGE_MAX], of[DOCKER_MESSAGE_MAX];
    if (!status || json_object_size(json_object_get(json, "progressDetail")))
        return;
    docker_set_text(what, status);
    docker_set_text(of, id);
    int len = snprintf(line, sizeof(line), "%s%s%s\n", of, *of ? ": " : "", what);
    progress->output(line, (size_t)len, progress->arg);
}

static int take_line(struct docker_progress *progress, struct err *err)
{
    struct buf *line = &progress->line;
    json_error_t error;
    if (line->len == 0 || (line->len == 1 && *line->data == '\r'))
        return 0;
    /* What a command writes may have a NUL in it. */
    json_t *json =
        json_loadb(line->data, line->len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    buf_reset(line);
    if (!json)
        return err_set(err, ERR_INVALID, "a line of the engine's is no JSON: %s", error.text);
    const json_t *stream = json_object_get(json, "stream");
    const char *digest = json_string_value(json_object_get(json_object_get(json, "aux"), "Digest"));
    take_error(progress, json);
    if (is_digest(digest))
        snprintf(progress->digest, sizeof(progress->digest), "%s", digest);
    if (progress->output && json_string_length(stream))
        progress->output(json_string_value(stream), json_string_length(stream), progress->arg);
    else if (progress->output)
        tell_status(progress, json);
    json_decref(json);
    return 0;
}

int docker_progress_add(struct docker_progress *progress, const char *data, size_t len,
                        struct err *err)
{
    if (!progress->begun)
        buf_init(&progress->line, LINE_MAX_BYTES);
    progress->begun = true;
    progress->bytes += len;
    if (progress->bytes > ALL_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "the engine tells more than %llu MiB of it",
                       ALL_MAX_BYTES >> 20);
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t n = end ? (size_t)(end - data) : len;
        if (buf_add(&progress->line, data, n) < 0)
            return err_set(err, ERR_INVALID,
                           "the engine tells of it in a line of more than %d "
                           "bytes",
                           LINE_MAX_BYTES);
        if (end && take_line(progress, err) < 0)
            return -1;
        n += end ? 1 : 0;
        data += n;
        len -= n;
    }
    return 0;
}

void docker_progress_release(struct docker_progress *progress)
{
    if (progress->begun)
        buf_release(&progress->line);
    progress->begun = false;
}
