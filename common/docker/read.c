#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "docker/internal.h"

#define ID_MAX      128
#define MINOR_MINE  41 /* what this speaks where the engine does */
#define MINOR_LEAST 25
#define MINOR_MOST  999

static json_t *parse(const char *body, size_t len, struct err *err)
{
    json_error_t error;
    json_t *json = json_loadb(body, len, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        err_set(err, ERR_INVALID, "the engine's answer is no JSON: %s", error.text);
    return json;
}

void docker_set_text(char out[DOCKER_MESSAGE_MAX], const char *text)
{
    size_t n = 0;
    for (; text && *text && n < DOCKER_MESSAGE_MAX - 1; text++)
        out[n++] = (unsigned char)*text < 0x20 || *text == 0x7F ? ' ' : *text;
    while (n && (out[n - 1] == ' ' || (unsigned char)out[n - 1] >= 0xC0))
        n--;
    out[n] = '\0';
}

void docker_read_message(const char *body, size_t len, char out[DOCKER_MESSAGE_MAX])
{
    json_t *json = json_loadb(body, len, 0, NULL);
    docker_set_text(out, json_string_value(json_object_get(json, "message")));
    json_decref(json);
}

static bool is_id(const char *id)
{
    size_t len = id ? strlen(id) : 0;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)id[i]))
            return false;
    }
    return len > 0 && len <= ID_MAX;
}

char *docker_read_id(const char *body, size_t len, struct err *err)
{
    json_t *json = parse(body, len, err);
    const char *id = json_string_value(json_object_get(json, "Id"));
    char *out = is_id(id) ? mem_strdup(id) : NULL;
    if (json && !out)
        err_set(err, ERR_INVALID, "the engine's answer has no Id");
    json_decref(json);
    return out;
}

int docker_read_ids(const char *body, size_t len, struct strv *out, struct err *err)
{
    json_t *json = parse(body, len, err);
    int rc = json ? 0 : -1;
    if (json && (!json_is_array(json) || json_array_size(json) > DOCKER_LISTED_MAX))
        rc = err_set(err, ERR_INVALID, "the engine's answer is no list of containers");
    for (size_t i = 0; rc == 0 && i < json_array_size(json); i++) {
        const char *id = json_string_value(json_object_get(json_array_get(json, i), "Id"));
        if (is_id(id))
            strv_add(out, id);
        else
            rc = err_set(err, ERR_INVALID, "the engine lists a container without an Id");
    }
    json_decref(json);
    return rc;
}

int docker_read_wait(const char *body, size_t len, int64_t *code, struct err *err)
{
    char text[DOCKER_MESSAGE_MAX];
    json_t *json = parse(body, len, err);
    const json_t *status = json_object_get(json, "StatusCode");
    const char *error =
        json_string_value(json_object_get(json_object_get(json, "Error"), "Message"));
    int rc = json ? 0 : -1;
    docker_set_text(text, error);
    if (json && error && *error)
        rc = err_set(err, ERR_UNAVAILABLE, "%s", text);
    else if (json && !json_is_integer(status))
        rc = err_set(err, ERR_INVALID, "the engine's answer has no StatusCode");
    *code = json_integer_value(status);
    json_decref(json);
    return rc;
}

int docker_read_stats(const char *body, size_t len, struct docker_answer *out, struct err *err)
{
    json_t *json = parse(body, len, err);
    const json_t *cpu = json_object_get(json_object_get(json, "cpu_stats"), "cpu_usage");
    const json_t *memory = json_object_get(json, "memory_stats");
    json_int_t ns = json_integer_value(json_object_get(cpu, "total_usage"));
    json_int_t most = json_integer_value(json_object_get(memory, "max_usage"));
    int rc = json ? 0 : -1;
    if (json && !json_is_object(json))
        rc = err_set(err, ERR_INVALID, "the engine's answer is no object");
    out->cpu_ms = ns > 0 ? ns / 1000000 : 0;
    out->memory_max_bytes = most > 0 ? (uint64_t)most : 0;
    json_decref(json);
    return rc;
}

int docker_read_size(const char *body, size_t len, uint64_t *bytes, struct err *err)
{
    json_t *json = parse(body, len, err);
    const json_t *size = json_object_get(json, "SizeRw");
    json_int_t value = json_integer_value(size);
    int rc = json ? 0 : -1;
    if (json && (!json_is_integer(size) || value < 0))
        rc = err_set(err, ERR_INVALID, "the engine's answer has no SizeRw");
    *bytes = rc == 0 ? (uint64_t)value : 0;
    json_decref(json);
    return rc;
}

int docker_read_image(const char *body, size_t len, struct docker_answer *out, struct err *err)
{
    json_t *json = parse(body, len, err);
    const char *made = json_string_value(json_object_get(json, "Created"));
    int rc = json ? 0 : -1;
    out->named = json_array_size(json_object_get(json, "RepoTags")) ||
                 json_array_size(json_object_get(json, "RepoDigests"));
    out->made_ms = 0;
    if (json && !json_is_object(json))
        rc = err_set(err, ERR_INVALID, "the engine's answer is no object");
    else if (made && clock_parse_rfc3339(made, &out->made_ms) < 0)
        rc = err_set(err, ERR_INVALID, "the engine's answer has no time: '%.40s'", made);
    json_decref(json);
    return rc;
}

/* 1.NN */
static int minor_of(const char *text, unsigned *out)
{
    uint64_t minor = 0;
    if (!text || !str_starts(text, "1.") || str_to_u64(text + 2, &minor) < 0 || minor > MINOR_MOST)
        return -1;
    *out = (unsigned)minor;
    return 0;
}

int docker_read_version(const char *body, size_t len, unsigned *minor, struct err *err)
{
    json_t *json = parse(body, len, err);
    const char *most = json_string_value(json_object_get(json, "ApiVersion"));
    const char *least = json_string_value(json_object_get(json, "MinAPIVersion"));
    unsigned max = 0, min = 0;
    int rc = json ? 0 : -1;
    if (json && minor_of(most, &max) < 0)
        rc = err_set(err, ERR_INVALID, "the answer has no version of the Docker Engine API");
    else if (json && max < MINOR_LEAST)
        rc = err_set(err, ERR_INVALID, "the engine speaks version 1.%u of its API; 1.%d is needed",
                     max, MINOR_LEAST);
    if (rc == 0) {
        (void)minor_of(least, &min);
        *minor = max < MINOR_MINE ? max : min > MINOR_MINE ? min : MINOR_MINE;
    }
    json_decref(json);
    return rc;
}
