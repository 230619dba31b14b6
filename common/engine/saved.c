#include "engine/saved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/engine.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"

#define KEY_MAX 128

struct saved {
    struct map *records; /* key -> struct buf *, the newest of each */
    bool any;
    struct {
        Gantry__V1__PromoterState *state;
        int slot;
    } checkpoints[2];
    size_t count;
};

static void record_free(void *arg)
{
    struct buf *record = arg;

    if (record)
        buf_release(record);
    free(record);
}

struct saved *saved_new(void)
{
    struct saved *saved = mem_alloc(sizeof(*saved));

    saved->records = map_new(record_free);
    return saved;
}

void saved_free(struct saved *saved)
{
    if (!saved)
        return;
    map_free(saved->records);
    for (size_t i = 0; i < saved->count; i++)
        event_free(saved->checkpoints[i].state);
    free(saved);
}

void saved_put(struct saved *saved, const void *key, size_t key_len, const void *value,
               size_t value_len)
{
    char name[KEY_MAX];
    struct buf *copy;

    if (key_len >= sizeof(name))
        return;
    if (key_len)
        memcpy(name, key, key_len);
    name[key_len] = '\0';
    if (!value) {
        map_del(saved->records, name);
        return;
    }
    copy = mem_alloc(sizeof(*copy));
    buf_init(copy, EVENT_VALUE_MAX);
    buf_add(copy, value, value_len);
    map_set(saved->records, name, copy);
}

static Gantry__V1__PromoterState *unpack(const struct saved *saved, const char *key)
{
    const struct buf *record = map_get(saved->records, key);
    void *message;

    if (!record ||
        event_unpack(&message, TOPIC_PROMOTER_STATE, record->data, record->len, NULL) < 0)
        return NULL;
    return message;
}

static bool is_newer(const Gantry__V1__Checkpoint *a, const Gantry__V1__Checkpoint *b)
{
    if (a->genesis->epoch != b->genesis->epoch)
        return a->genesis->epoch > b->genesis->epoch;
    return a->head_offset > b->head_offset;
}

void saved_read(struct saved *saved)
{
    for (int slot = 0; slot < 2; slot++) {
        char key[32];
        Gantry__V1__PromoterState *state;
        size_t at = saved->count;

        snprintf(key, sizeof(key), "@checkpoint/%d", slot);
        saved->any = saved->any || map_get(saved->records, key);
        state = unpack(saved, key);
        if (!state)
            continue;
        if (state->what_case != GANTRY__V1__PROMOTER_STATE__WHAT_CHECKPOINT ||
            !state->checkpoint->genesis || state->checkpoint->head_hash.len != SHA256_SIZE) {
            event_free(state);
            continue;
        }
        if (at == 1 && is_newer(state->checkpoint, saved->checkpoints[0].state->checkpoint)) {
            saved->checkpoints[1] = saved->checkpoints[0];
            at = 0;
        }
        saved->checkpoints[at].state = state;
        saved->checkpoints[at].slot = slot;
        saved->count++;
    }
}

bool saved_any(const struct saved *saved)
{
    return saved->any;
}

size_t saved_count(const struct saved *saved)
{
    return saved->count;
}

const Gantry__V1__Checkpoint *saved_checkpoint(const struct saved *saved, size_t i)
{
    return saved->checkpoints[i].state->checkpoint;
}

int saved_slot(const struct saved *saved, size_t i)
{
    return saved->checkpoints[i].slot;
}

static bool is_as_named(const Gantry__V1__Snapshot *snapshot, const Gantry__V1__SnapshotName *name)
{
    return str_eq(snapshot->pipeline, name->pipeline) && snapshot->sequence == name->sequence &&
           name->decision_hash.len == SHA256_SIZE && snapshot->decision_hash.len == SHA256_SIZE &&
           memcmp(snapshot->decision_hash.data, name->decision_hash.data, SHA256_SIZE) == 0;
}

int saved_snapshot(const struct saved *saved, const Gantry__V1__SnapshotName *name,
                   Gantry__V1__PromoterState **out, struct err *err)
{
    Gantry__V1__PromoterState *state = unpack(saved, name->key);

    if (!state || state->what_case != GANTRY__V1__PROMOTER_STATE__WHAT_SNAPSHOT ||
        strlen(name->key) < 2) {
        event_free(state);
        return err_set(err, ERR_NOT_FOUND, "snapshot %s is not there", name->key);
    }
    if (!is_as_named(state->snapshot, name)) {
        event_free(state);
        return err_set(err, ERR_CONFLICT, "snapshot %s is of another Decision", name->key);
    }
    *out = state;
    return 0;
}

int saved_state(const struct saved *saved, const Gantry__V1__SnapshotName *name,
                struct engine_state **out, struct err *err)
{
    Gantry__V1__PromoterState *record;
    struct engine_state *state;
    int rc;

    if (saved_snapshot(saved, name, &record, err) < 0)
        return -1;
    rc = engine_decode(&state, record->snapshot->state.data, record->snapshot->state.len, err);
    event_free(record);
    if (rc < 0)
        return err_wrap(err, "snapshot %s", name->key);
    if (!str_eq(engine_state_pipeline(state), name->pipeline) ||
        engine_state_sequence(state) != name->sequence ||
        memcmp(engine_state_hash(state), name->decision_hash.data, SHA256_SIZE) != 0) {
        engine_state_free(state);
        return err_set(err, ERR_INVALID, "snapshot %s holds another state", name->key);
    }
    *out = state;
    return 0;
}
