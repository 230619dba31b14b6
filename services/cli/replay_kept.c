/* The promoter keeps its states in promoter.state and goes on from them without looking back, so
 * that is what runs: if the ledger does not give the same bytes, one of the two is wrong. A state
 * is compared at the very Decision that its snapshot names. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "engine/saved.h"
#include "events/event.h"
#include "gantry/v1/state.pb-c.h"
#include "services/cli/replay.h"

/* One pipeline of the checkpoint. */
struct named {
    const Gantry__V1__SnapshotName *name;
    bool compared;
    char *difference; /* NULL: none */
};

struct kept {
    struct saved *saved;
    const Gantry__V1__Checkpoint *checkpoint; /* the newest; NULL: none */
    struct map *pipelines;                    /* name -> struct named */
    bool head_seen;                           /* the checkpoint's head counts in the ledger */
};

static void named_free(void *value)
{
    struct named *named = value;

    if (named)
        free(named->difference);
    free(named);
}

struct kept *kept_new(struct saved *saved)
{
    struct kept *kept = mem_alloc(sizeof *kept);

    kept->saved = saved;
    kept->pipelines = map_new(named_free);
    if (saved_count(saved))
        kept->checkpoint = saved_checkpoint(saved, 0);
    for (size_t i = 0; kept->checkpoint && i < kept->checkpoint->n_snapshots; i++) {
        struct named *named = mem_alloc(sizeof *named);

        named->name = kept->checkpoint->snapshots[i];
        map_set(kept->pipelines, named->name->pipeline, named);
    }
    return kept;
}

void kept_free(struct kept *kept)
{
    if (!kept)
        return;
    map_free(kept->pipelines);
    saved_free(kept->saved);
    free(kept);
}

int64_t kept_head(const struct kept *kept)
{
    return kept->checkpoint ? kept->checkpoint->head_offset : -1;
}

static char *compare_bytes(const struct engine_state *state, const Gantry__V1__Snapshot *snapshot)
{
    struct buf bytes;
    struct err err;
    char *difference = NULL;
    size_t at = 0;

    buf_init(&bytes, EVENT_VALUE_MAX);
    if (engine_encode(state, &bytes, &err) < 0) {
        difference = mem_printf("its state cannot be encoded: %s", err.msg);
    } else if (bytes.len != snapshot->state.len ||
               memcmp(bytes.data, snapshot->state.data, bytes.len) != 0) {
        while (at < bytes.len && at < snapshot->state.len &&
               (uint8_t)bytes.data[at] == snapshot->state.data[at])
            at++;
        difference = mem_printf("its state takes %zu bytes by the ledger, and the promoter keeps "
                                "%zu; they differ from byte %zu on%s",
                                bytes.len, snapshot->state.len, at,
                                at < 2 ? " (another version wrote it)" : "");
    }
    buf_release(&bytes);
    return difference;
}

static char *compare(const struct kept *kept, const struct named *named,
                     const struct engine_state *state)
{
    Gantry__V1__PromoterState *record;
    char ours[SHA256_HEX_SIZE], theirs[SHA256_HEX_SIZE], *difference;
    struct err err;

    if (named->name->sequence &&
        memcmp(engine_state_hash(state), named->name->decision_hash.data, SHA256_SIZE) != 0) {
        hex_encode(engine_state_hash(state), SHA256_SIZE, ours);
        hex_encode(named->name->decision_hash.data, SHA256_SIZE, theirs);
        return mem_printf("its Decision is %.12s in the ledger, and the promoter's was %.12s", ours,
                          theirs);
    }
    if (saved_snapshot(kept->saved, named->name, &record, &err) < 0)
        return mem_strdup(err.msg);
    difference = compare_bytes(state, record->snapshot);
    event_free(record);
    return difference;
}

static void look_at(struct kept *kept, const struct replay_pipeline *pipeline)
{
    struct named *named = map_get(kept->pipelines, pipeline->name);

    if (!named || named->compared ||
        engine_state_sequence(pipeline->state) != named->name->sequence)
        return;
    named->compared = true;
    named->difference = compare(kept, named, pipeline->state);
}

void kept_look(struct kept *kept, const struct replay *replay)
{
    if (!kept->checkpoint || replay->chain.head_offset != kept->checkpoint->head_offset ||
        kept->head_seen)
        return;
    kept->head_seen =
        memcmp(replay->chain.head, kept->checkpoint->head_hash.data, SHA256_SIZE) == 0;
    for (struct map_iter it = {0}; map_next(replay->pipelines, &it);)
        look_at(kept, it.value);
}

static void add(json_t *differences, const struct replay *replay, const char *pipeline,
                uint64_t sequence, const char *what)
{
    json_array_append_new(differences,
                          json_pack("{s:i, s:s, s:I, s:s}", "partition",
                                    (int)replay->chain.partition, "pipeline", pipeline, "sequence",
                                    (json_int_t)sequence, "difference", what));
}

static void finish_named(const struct kept *kept, const struct replay *replay, const char *name,
                         const struct named *named, json_t *differences)
{
    if (replay->only && strcmp(replay->only, name) != 0)
        return;
    if (named->difference)
        add(differences, replay, name, named->name->sequence, named->difference);
    else if (!named->compared && kept->head_seen)
        add(differences, replay, name, named->name->sequence,
            "the promoter keeps a state of it that the ledger does not have there");
}

void kept_finish(struct kept *kept, const struct replay *replay, json_t *differences)
{
    if (!kept->checkpoint)
        return;
    if (!kept->head_seen)
        add(differences, replay, "", 0,
            "the record that the promoter's newest checkpoint ends with does not count in the "
            "ledger");
    for (struct map_iter it = {0}; map_next(kept->pipelines, &it);)
        finish_named(kept, replay, it.key, it.value, differences);
    for (struct map_iter it = {0}; map_next(replay->pipelines, &it);) {
        const struct replay_pipeline *pipeline = it.value;

        if (pipeline->first_offset >= 0 && pipeline->first_offset <= kept_head(kept) &&
            !map_get(kept->pipelines, pipeline->name))
            add(differences, replay, pipeline->name, 1, "the promoter keeps no state of it");
    }
}

uint64_t kept_compared(const struct kept *kept, const char *pipeline)
{
    const struct named *named = kept ? map_get(kept->pipelines, pipeline) : NULL;

    return named && named->compared ? named->name->sequence : 0;
}
