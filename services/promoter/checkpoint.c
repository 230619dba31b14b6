/* Snapshots and checkpoints: a cut through what counted is encoded at once, written when all of it
 * is published, and named by a checkpoint when all of it is acknowledged (docs/ledger.md,
 * "Starting, and snapshots"). A changed pipeline goes to the key that the newest checkpoint does
 * not name, so that one stays whole whatever happens in between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/promoter/partition.h"

struct cut_item {
    struct pipeline *pipeline;
    int slot;
    uint64_t sequence;
    uint8_t hash[SHA256_SIZE];
    uint64_t numbered;
    struct buf value; /* a PromoterState; empty: unchanged */
};

struct cut {
    struct partition *p;
    int64_t head_offset;
    uint8_t head_hash[SHA256_SIZE];
    int64_t time_ms;
    struct chain_position positions[TOPIC_COUNT];
    Gantry__V1__Genesis *genesis;
    struct cut_item *items;
    size_t count, changed;
    bool sent;   /* the snapshots were produced */
    bool naming; /* the checkpoint was produced */
    bool failed;
    bool orphan; /* the partition has forgotten it */
    size_t open; /* records not acknowledged yet */
};

static void cut_free(struct cut *cut)
{
    for (size_t i = 0; i < cut->count; i++)
        buf_release(&cut->items[i].value);
    free(cut->items);
    event_free(cut->genesis);
    free(cut);
}

void checkpoint_free(struct partition *p)
{
    struct cut *cut = p->cut;

    if (!cut)
        return;
    p->cut = NULL;
    cut->orphan = true;
    if (cut->open == 0)
        cut_free(cut);
}

/* ---- writing ---- */

static void on_ack(const struct bus_ack *ack, void *arg);

static void slot_key(const char *name, int slot, char out[96])
{
    snprintf(out, 96, "%s/%d", name, slot);
}

static int write_record(struct cut *cut, const char *key, const char *type, const struct buf *value,
                        struct err *err)
{
    struct partition *p = cut->p;
    struct event_meta meta = {.time_ms = partition_now(p)};
    char time_text[CLOCK_RFC3339_SIZE], hex[SHA256_HEX_SIZE];
    struct event_header headers[EVENT_HEADERS_MAX];
    size_t count;

    sha256_hex(value->data, value->len, hex);
    snprintf(meta.id, sizeof(meta.id), "%.32s", hex);
    snprintf(meta.source, sizeof(meta.source), "/gantry/promoter");
    snprintf(meta.type, sizeof(meta.type), "%s", type);
    event_trace_of(meta.traceparent, "", meta.id);
    count = event_headers(&meta, time_text, headers);
    if (p->io->produce(TOPIC_PROMOTER_STATE, p->number, key, strlen(key), value->data, value->len,
                       headers, count, on_ack, cut, p->io->arg, err) < 0)
        return -1;
    cut->open++;
    partition_ref(p);
    return 0;
}

static int pack_state(const Gantry__V1__PromoterState *state, char type[EVENT_TYPE_MAX],
                      struct buf *out, struct err *err)
{
    buf_init(out, EVENT_VALUE_MAX);
    snprintf(type, EVENT_TYPE_MAX, "%s", event_type_of(TOPIC_PROMOTER_STATE, state));
    return event_pack(out, state, err);
}

static void give_up(struct partition *p, const struct err *err)
{
    if (err)
        log_warn("no checkpoint could be written; the ledger has all of it",
                 LOG_I("partition", p->number), LOG_E(err));
    checkpoint_free(p);
    if (!p->stopping)
        checkpoint_changed(p);
}

static size_t fill_positions(const struct cut *cut, Gantry__V1__Position *positions,
                             Gantry__V1__Position **ptrs)
{
    size_t n = 0;

    for (size_t i = 0; i < PARTITION_INPUTS; i++) {
        const struct chain_position *from = &cut->positions[partition_inputs[i]];

        if (!from->known)
            continue;
        gantry__v1__position__init(&positions[n]);
        positions[n].topic = (char *)topic_info(partition_inputs[i])->name;
        positions[n].next_offset = from->next_offset;
        positions[n].settled_offset = from->settled_offset;
        positions[n].settled_ce_id = (char *)from->settled_ce_id;
        ptrs[n] = &positions[n];
        n++;
    }
    return n;
}

static void fill_names(const struct cut *cut, Gantry__V1__SnapshotName *names,
                       Gantry__V1__SnapshotName **ptrs, char (*keys)[96])
{
    for (size_t i = 0; i < cut->count; i++) {
        struct cut_item *item = &cut->items[i];

        slot_key(item->pipeline->name, item->slot, keys[i]);
        gantry__v1__snapshot_name__init(&names[i]);
        names[i].key = keys[i];
        names[i].pipeline = item->pipeline->name;
        names[i].sequence = item->sequence;
        names[i].decision_hash.data = item->hash;
        names[i].decision_hash.len = SHA256_SIZE;
        ptrs[i] = &names[i];
    }
}

static int write_checkpoint(struct cut *cut, struct err *err)
{
    struct partition *p = cut->p;
    Gantry__V1__Checkpoint checkpoint = GANTRY__V1__CHECKPOINT__INIT;
    Gantry__V1__PromoterState state = GANTRY__V1__PROMOTER_STATE__INIT;
    Gantry__V1__Position positions[PARTITION_INPUTS], *position_ptrs[PARTITION_INPUTS];
    Gantry__V1__SnapshotName *names = mem_alloc((cut->count + 1) * sizeof(*names));
    Gantry__V1__SnapshotName **name_ptrs = mem_alloc((cut->count + 1) * sizeof(*name_ptrs));
    char(*keys)[96] = mem_alloc((cut->count + 1) * sizeof(*keys));
    char key[96], type[EVENT_TYPE_MAX];
    struct buf value;
    int rc;

    fill_names(cut, names, name_ptrs, keys);
    checkpoint.genesis = cut->genesis;
    checkpoint.head_offset = cut->head_offset;
    checkpoint.head_hash.data = cut->head_hash;
    checkpoint.head_hash.len = SHA256_SIZE;
    checkpoint.time_ms = cut->time_ms;
    checkpoint.n_positions = fill_positions(cut, positions, position_ptrs);
    checkpoint.positions = position_ptrs;
    checkpoint.published_below = cut->head_offset + 1;
    checkpoint.n_snapshots = cut->count;
    checkpoint.snapshots = name_ptrs;
    checkpoint.made_ms = partition_now(p);
    state.what_case = GANTRY__V1__PROMOTER_STATE__WHAT_CHECKPOINT;
    state.checkpoint = &checkpoint;
    rc = pack_state(&state, type, &value, err);
    slot_key("@checkpoint", p->checkpoint_slot == 0, key);
    if (rc == 0)
        rc = write_record(cut, key, type, &value, err);
    cut->naming = rc == 0;
    buf_release(&value);
    free(keys);
    free(name_ptrs);
    free(names);
    return rc;
}

static void done(struct partition *p)
{
    struct cut *cut = p->cut;

    for (size_t i = 0; i < cut->count; i++) {
        struct cut_item *item = &cut->items[i];

        item->pipeline->snapshot_slot = item->slot;
        item->pipeline->snapshot_sequence = item->sequence;
        memcpy(item->pipeline->snapshot_hash, item->hash, SHA256_SIZE);
        item->pipeline->snapshot_numbered = item->numbered;
    }
    p->checkpoint_slot = p->checkpoint_slot == 0;
    p->distrust = false;
    metric_add(p->metrics->checkpoints, 1);
    metric_add(p->metrics->snapshots, (double)cut->changed);
    log_debug("checkpoint written", LOG_I("partition", p->number), LOG_I("head", cut->head_offset),
              LOG_I("snapshots", cut->changed));
    checkpoint_free(p);
}

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct cut *cut = arg;
    struct partition *p = cut->p;
    struct err err;

    cut->open--;
    if (cut->orphan) {
        if (cut->open == 0)
            cut_free(cut);
        goto out;
    }
    if (!ack->ok && !cut->failed) {
        cut->failed = true;
        log_warn("a snapshot could not be written", LOG_I("partition", p->number),
                 LOG_E(&ack->err));
    }
    if (cut->open > 0 || !cut->sent)
        goto out;
    if (cut->failed)
        give_up(p, NULL);
    else if (cut->naming)
        done(p);
    else if (write_checkpoint(cut, &err) < 0)
        give_up(p, &err);
out:
    partition_unref(p);
}

static void write_snapshots(struct partition *p)
{
    struct cut *cut = p->cut;
    char key[96];
    struct err err;

    for (size_t i = 0; i < cut->count; i++) {
        struct cut_item *item = &cut->items[i];

        if (item->value.len == 0)
            continue;
        slot_key(item->pipeline->name, item->slot, key);
        if (write_record(cut, key, "gantry.snapshot.made.v1", &item->value, &err) < 0) {
            give_up(p, &err);
            return;
        }
        buf_release(&item->value);
    }
    cut->sent = true;
    if (cut->open == 0 && write_checkpoint(cut, &err) < 0)
        give_up(p, &err);
}

/* ---- cutting ---- */

static int encode(const struct cut_item *item, const struct engine_state *state, struct buf *out,
                  struct err *err)
{
    Gantry__V1__PromoterState message = GANTRY__V1__PROMOTER_STATE__INIT;
    Gantry__V1__Snapshot snapshot = GANTRY__V1__SNAPSHOT__INIT;
    struct buf encoded;
    int rc;

    buf_init(out, EVENT_VALUE_MAX);
    buf_init(&encoded, EVENT_VALUE_MAX);
    rc = engine_encode(state, &encoded, err);
    if (rc == 0) {
        snapshot.pipeline = item->pipeline->name;
        snapshot.sequence = item->sequence;
        snapshot.decision_hash.data = (uint8_t *)item->hash;
        snapshot.decision_hash.len = SHA256_SIZE;
        snapshot.state.data = (uint8_t *)encoded.data;
        snapshot.state.len = encoded.len;
        snapshot.deadline_ms = engine_state_deadline(state);
        message.what_case = GANTRY__V1__PROMOTER_STATE__WHAT_SNAPSHOT;
        message.snapshot = &snapshot;
        rc = event_pack(out, &message, err);
    }
    buf_release(&encoded);
    return rc < 0 ? err_wrap(err, "snapshot of pipeline \"%s\"", item->pipeline->name) : 0;
}

static int cut_pipeline(struct cut *cut, struct pipeline *pipeline, struct err *err)
{
    const struct engine_state *state = pipeline->base;
    struct cut_item *item = &cut->items[cut->count];

    if (state && engine_state_sequence(state) == 0 && engine_state_next_release(state) == 1)
        return 0;
    item->pipeline = pipeline;
    item->slot = pipeline->snapshot_slot;
    item->sequence = state ? engine_state_sequence(state) : pipeline->snapshot_sequence;
    memcpy(item->hash, state ? engine_state_hash(state) : pipeline->snapshot_hash, SHA256_SIZE);
    item->numbered = pipeline->numbered;
    buf_init(&item->value, EVENT_VALUE_MAX);
    cut->count++;
    if (item->slot >= 0 && item->sequence == pipeline->snapshot_sequence &&
        item->numbered == pipeline->snapshot_numbered &&
        memcmp(item->hash, pipeline->snapshot_hash, SHA256_SIZE) == 0)
        return 0;
    item->slot = item->slot == 0;
    cut->changed++;
    return encode(item, state, &item->value, err);
}

static void make_cut(struct partition *p)
{
    struct cut *cut = mem_alloc(sizeof(*cut));
    struct err err;

    cut->p = p;
    cut->head_offset = p->chain.head_offset;
    memcpy(cut->head_hash, p->chain.head, SHA256_SIZE);
    cut->time_ms = p->chain.time_ms;
    memcpy(cut->positions, p->chain.positions, sizeof(cut->positions));
    cut->genesis = event_clone(p->genesis);
    cut->items = mem_alloc((map_count(p->pipelines.by_name) + 1) * sizeof(*cut->items));
    p->cut = cut;
    p->unsaved = false;
    for (struct map_iter it = {0}; map_next(p->pipelines.by_name, &it);) {
        if (cut_pipeline(cut, it.value, &err) < 0) {
            give_up(p, &err);
            return;
        }
    }
}

void checkpoint_changed(struct partition *p)
{
    if (p->unsaved)
        return;
    p->unsaved = true;
    p->checkpoint_due_mono_ms = partition_mono(p) + p->checkpoint_every_ms;
}

static bool cut_due(const struct partition *p)
{
    if (!p->unsaved || p->phase != PARTITION_RUNNING || !p->genesis)
        return false;
    if (p->stopping)
        return p->in_flight == 0 && !p->publications;
    return partition_mono(p) >= p->checkpoint_due_mono_ms;
}

void checkpoint_advance(struct partition *p)
{
    if (!p->cut && cut_due(p))
        make_cut(p);
    if (p->cut && !p->cut->sent && p->published_below > p->cut->head_offset)
        write_snapshots(p);
}

int64_t checkpoint_due_mono(const struct partition *p)
{
    return p->unsaved && !p->cut ? p->checkpoint_due_mono_ms : INT64_MAX;
}
