#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/mem.h"
#include "events/event.h"
#include "services/cli/replay.h"

static json_t *array_of(json_t *out, const char *key)
{
    return json_object_get(out, key);
}

static json_t *text(const char *value)
{
    return json_string(value ? value : "");
}

/* ---- one pipeline ---- */

static int add_state(const struct replay_pipeline *pipeline, const struct kept *kept, json_t *out,
                     struct err *err)
{
    char hash[SHA256_HEX_SIZE], digest[SHA256_HEX_SIZE];
    struct buf bytes;
    int rc;

    buf_init(&bytes, EVENT_VALUE_MAX);
    rc = engine_encode(pipeline->state, &bytes, err);
    if (rc == 0) {
        hex_encode(engine_state_hash(pipeline->state), SHA256_SIZE, hash);
        sha256_hex(bytes.data, bytes.len, digest);
        json_array_append_new(
            array_of(out, "pipelines"),
            json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I}", "pipeline", pipeline->name, "sequence",
                      (json_int_t)engine_state_sequence(pipeline->state), "hash", hash,
                      "stateSha256", digest, "stateBytes", (json_int_t)bytes.len, "nextRelease",
                      (json_int_t)engine_state_next_release(pipeline->state), "comparedAt",
                      (json_int_t)kept_compared(kept, pipeline->name)));
    }
    buf_release(&bytes);
    return rc;
}

static void add_running(const struct replay_pipeline *pipeline, json_t *list)
{
    for (struct map_iter it = {0}; map_next(pipeline->running, &it);) {
        const struct replay_running *running = it.value;

        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:I}", "environment",
                            running->environment, "pipeline", pipeline->name, "action",
                            running->action, "stage", running->stage, "release",
                            (json_int_t)running->release, "digest", running->digest, "commit",
                            running->commit, "sinceMs", (json_int_t)running->since_ms));
    }
}

static void add_releases(const struct replay_pipeline *pipeline, json_t *list)
{
    for (struct map_iter it = {0}; map_next(pipeline->releases, &it);) {
        const struct replay_release *release = it.value;
        json_t *held_by;

        if (release->ended)
            continue;
        held_by = json_array();
        for (size_t i = 0; i < release->held_by.count; i++)
            json_array_append_new(held_by, json_string(release->held_by.items[i]));
        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:s, s:s, s:o, s:b, s:b, s:s, s:o, s:I, s:I}", "pipeline",
                      pipeline->name, "release", (json_int_t)release->number, "type",
                      release->rollback ? "rollback" : "normal", "status",
                      release->inside ? "in-progress" : "waiting", "stage", text(release->stage),
                      "inside", release->inside, "stopping", release->stopping, "commit",
                      release->commit, "heldBy", held_by, "startedMs",
                      (json_int_t)release->started_ms, "sinceMs", (json_int_t)release->since_ms));
    }
}

static void add_approvals(const struct replay_pipeline *pipeline, json_t *list)
{
    for (struct map_iter it = {0}; map_next(pipeline->approvals, &it);) {
        const struct replay_approval *approval = it.value;

        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "pipeline",
                      pipeline->name, "release", (json_int_t)approval->release, "stage",
                      approval->stage, "gate", approval->gate, "id", approval->id, "digest",
                      approval->digest, "votes", (json_int_t)approval->votes, "count",
                      (json_int_t)approval->count, "openedMs", (json_int_t)approval->opened_ms,
                      "expiresMs", (json_int_t)approval->expires_ms));
    }
}

int replay_to_json(const struct replay *replay, const struct kept *kept, json_t *out,
                   struct err *err)
{
    for (struct map_iter it = {0}; map_next(replay->pipelines, &it);) {
        const struct replay_pipeline *pipeline = it.value;

        if (engine_state_sequence(pipeline->state) == 0 && pipeline->first_offset < 0)
            continue;
        if (add_state(pipeline, kept, out, err) < 0)
            return -1;
        add_running(pipeline, array_of(out, "environments"));
        add_releases(pipeline, array_of(out, "releases"));
        add_approvals(pipeline, array_of(out, "approvals"));
    }
    return 0;
}

/* ---- order ---- */

static int compare_text(const json_t *a, const json_t *b, const char *key)
{
    const char *x = json_string_value(json_object_get(a, key));
    const char *y = json_string_value(json_object_get(b, key));

    return strcmp(x ? x : "", y ? y : "");
}

static int by_name(const void *a, const void *b)
{
    static const char *const keys[] = {"environment", "pipeline", "action"};
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    json_int_t m = json_integer_value(json_object_get(x, "release"));
    json_int_t n = json_integer_value(json_object_get(y, "release"));
    int order = 0;

    for (size_t i = 0; order == 0 && i < sizeof keys / sizeof keys[0]; i++)
        order = compare_text(x, y, keys[i]);
    return order ? order : (m > n) - (m < n);
}

static void sort(json_t *list)
{
    size_t count = json_array_size(list);
    json_t **items = mem_alloc((count + 1) * sizeof(json_t *));

    for (size_t i = 0; i < count; i++)
        items[i] = json_incref(json_array_get(list, i));
    qsort(items, count, sizeof(json_t *), by_name);
    json_array_clear(list);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, items[i]);
    free(items);
}

void replay_sort(json_t *out)
{
    static const char *const lists[] = {"pipelines", "environments", "releases", "approvals"};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        sort(array_of(out, lists[i]));
}
