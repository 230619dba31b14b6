/* From the topics to a state that may step: checkpoint and snapshots, then the ledger from there to
 * an end asked for at the beginning, then the inputs' positions (docs/ledger.md, "Starting, and
 * snapshots" and "Genesis and epochs"). Every refusal says why; partition_refuse() has it tried
 * again. */
#include "services/promoter/restore.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum restore_stage {
    RESTORE_ASKING,
    RESTORE_STATE,   /* reads promoter.state */
    RESTORE_HEAD,    /* looks for the checkpoint's head in the ledger */
    RESTORE_FOLDING, /* reads the ledger to `ledger_end` */
    RESTORE_GENESIS  /* has appended one and waits for any to count */
};

/* A Decision that counted and may have something to publish. */
struct unpublished {
    Gantry__V1__Decision *decision;
    int64_t offset;
    char traceparent[EVENT_TRACEPARENT_SIZE];
    struct unpublished *next;
};

struct restore {
    enum restore_stage stage;
    int64_t started_mono_ms;
    int64_t ledger_begin, ledger_end;
    int64_t state_begin, state_end;
    int64_t input_begin[TOPIC_COUNT], input_end[TOPIC_COUNT];

    struct map *records; /* key -> struct buf *, the newest of promoter.state */
    bool any_checkpoint; /* a record with a checkpoint's key, readable or not */
    Gantry__V1__PromoterState *candidates[2]; /* newest first */
    int slots[2];
    size_t candidate, candidate_count;

    struct unpublished *unpublished, *unpublished_last;
    uint64_t folded;
};

struct question {
    struct partition *p;
    uint64_t generation;
};

static void unpublished_pop(struct restore *r)
{
    struct unpublished *first = r->unpublished;

    r->unpublished = first->next;
    if (!r->unpublished)
        r->unpublished_last = NULL;
    event_free(first->decision);
    free(first);
}

static void record_free(void *arg)
{
    struct buf *record = arg;

    if (record)
        buf_release(record);
    free(record);
}

static void forget_records(struct restore *r)
{
    map_free(r->records);
    r->records = NULL;
    for (size_t i = 0; i < r->candidate_count; i++)
        if (r->candidates[i])
            event_free(r->candidates[i]);
    r->candidate_count = 0;
}

void restore_free(struct partition *p)
{
    struct restore *r = p->restore;

    if (!r)
        return;
    forget_records(r);
    while (r->unpublished)
        unpublished_pop(r);
    free(r);
    p->restore = NULL;
}

bool restore_folds(const struct partition *p)
{
    return p->restore->stage == RESTORE_FOLDING || p->restore->stage == RESTORE_GENESIS;
}

static void refuse(struct partition *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void refuse(struct partition *p, const char *fmt, ...)
{
    char text[512];
    struct err err;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err_set(&err, ERR_FATAL, "%s", text);
    partition_refuse(p, &err);
}

/* ---- the ledger ---- */

static void follow_ledger(struct partition *p, int64_t offset, enum restore_stage stage)
{
    struct err err;

    p->restore->stage = stage;
    p->ledger_next = offset;
    if (p->io->follow(TOPIC_LEDGER, p->number, offset, p->io->arg, &err) < 0) {
        err_wrap(&err, "the ledger cannot be read");
        partition_refuse(p, &err);
    }
}

void restore_unpublished(struct partition *p, Gantry__V1__Decision *decision, int64_t offset,
                         const char *traceparent)
{
    struct restore *r = p->restore;
    struct unpublished *item = mem_alloc(sizeof(*item));

    r->folded++;
    item->decision = decision;
    item->offset = offset;
    snprintf(item->traceparent, sizeof(item->traceparent), "%s", traceparent);
    if (r->unpublished_last)
        r->unpublished_last->next = item;
    else
        r->unpublished = item;
    r->unpublished_last = item;
    while (r->unpublished && r->unpublished->offset < p->chain.published_below)
        unpublished_pop(r);
}

static int publish_rest(struct partition *p, struct err *err)
{
    struct restore *r = p->restore;

    p->published_below = p->chain.published_below;
    for (const struct unpublished *item = r->unpublished; item; item = item->next)
        if (publish_add(p, item->decision, item->offset, item->traceparent, err) < 0)
            return err_wrap(err, "ledger offset %lld", (long long)item->offset);
    return 0;
}

static bool genesis_fits(struct partition *p)
{
    const struct restore *r = p->restore;

    if (!p->chain.begun) {
        refuse(p,
               "the ledger has records but no genesis that counts; is it Gantry's, and is its "
               "beginning (offset %lld) there? Only an operator can begin a new epoch",
               (long long)r->ledger_begin);
        return false;
    }
    if (p->chain.partition != p->number || p->chain.partition_count != p->count) {
        refuse(p,
               "the ledger was begun as partition %" PRId32 " of %" PRId32 " and is now %" PRId32
               " of %" PRId32 ": put the partition count right, or begin a new ledger under "
               "another topic-prefix",
               p->chain.partition, p->chain.partition_count, p->number, p->count);
        return false;
    }
    if (r->ledger_begin > 0 && (!p->genesis || !*p->genesis->operator_ ||
                                p->genesis->supersedes_offset < r->ledger_begin)) {
        refuse(p,
               "the ledger's beginning is missing: its first record is at offset %lld. Set its "
               "retention to be unlimited; only an operator can begin a new epoch",
               (long long)r->ledger_begin);
        return false;
    }
    return true;
}

/* An end below the position: that topic was made again, and is read from its beginning. */
static void note_remade(struct partition *p)
{
    for (size_t i = 0; i < PARTITION_INPUTS; i++) {
        enum topic topic = partition_inputs[i];
        const struct chain_position *position = &p->chain.positions[topic];

        if (position->known && p->restore->input_end[topic] < position->next_offset)
            input_remade(p, topic);
    }
}

static void finish(struct partition *p)
{
    struct restore *r = p->restore;
    int64_t took_ms = partition_mono(p) - r->started_mono_ms;
    struct err err;

    if (!genesis_fits(p))
        return;
    flight_forget(p);
    p->generation++;
    if (publish_rest(p, &err) < 0) {
        partition_refuse(p, &err);
        return;
    }
    note_remade(p);
    metric_observe(p->metrics->restore_seconds, (double)took_ms / 1000);
    log_info("partition restored", LOG_I("partition", p->number),
             LOG_I("pipelines", map_count(p->pipelines.by_name)), LOG_I("folded", r->folded),
             LOG_I("head", p->chain.head_offset), LOG_I("unpublished", p->unpublished),
             LOG_I("ms", took_ms));
    restore_free(p);
    publish_settle(p);
    publish_pump(p);
    if (p->io->environments_known(p->io->arg))
        partition_run(p);
    else
        partition_set_phase(p, PARTITION_WAITING);
}

void restore_advance(struct partition *p)
{
    const struct restore *r = p->restore;

    if (r->stage == RESTORE_FOLDING ? p->ledger_next >= r->ledger_end
                                    : r->stage == RESTORE_GENESIS && p->chain.begun)
        finish(p);
}

void restore_dropped(struct partition *p)
{
    p->restore->stage = RESTORE_ASKING;
    p->retry_mono_ms = partition_mono(p) + PARTITION_RETRY_MS;
    partition_rewake(p);
}

static void write_genesis(struct partition *p)
{
    struct err err;

    follow_ledger(p, 0, RESTORE_GENESIS);
    if (p->phase != PARTITION_RESTORING)
        return;
    log_info("beginning a ledger partition", LOG_I("partition", p->number),
             LOG_I("partitions", p->count));
    if (decide_genesis(p, &err) < 0)
        log_warn("the genesis could not be appended", LOG_I("partition", p->number), LOG_E(&err));
}

/* ---- checkpoints and snapshots ---- */

static Gantry__V1__PromoterState *state_record(struct restore *r, const char *key)
{
    const struct buf *record = map_get(r->records, key);
    void *message;

    if (!record ||
        event_unpack(&message, TOPIC_PROMOTER_STATE, record->data, record->len, NULL) < 0)
        return NULL;
    return message;
}

static void read_candidates(struct restore *r)
{
    for (int slot = 0; slot < 2; slot++) {
        char key[32];
        Gantry__V1__PromoterState *state;

        snprintf(key, sizeof(key), "@checkpoint/%d", slot);
        r->any_checkpoint = r->any_checkpoint || map_get(r->records, key);
        state = state_record(r, key);
        if (state &&
            (state->what_case != GANTRY__V1__PROMOTER_STATE__WHAT_CHECKPOINT ||
             !state->checkpoint->genesis || state->checkpoint->head_hash.len != SHA256_SIZE)) {
            event_free(state);
            state = NULL;
        }
        if (!state)
            continue;
        r->candidates[r->candidate_count] = state;
        r->slots[r->candidate_count++] = slot;
    }
    if (r->candidate_count == 2 &&
        r->candidates[0]->checkpoint->head_offset < r->candidates[1]->checkpoint->head_offset) {
        Gantry__V1__PromoterState *state = r->candidates[0];
        int slot = r->slots[0];

        r->candidates[0] = r->candidates[1];
        r->slots[0] = r->slots[1];
        r->candidates[1] = state;
        r->slots[1] = slot;
    }
}

static bool is_as_named(const Gantry__V1__Snapshot *snapshot, const Gantry__V1__SnapshotName *name)
{
    return str_eq(snapshot->pipeline, name->pipeline) && snapshot->sequence == name->sequence &&
           name->decision_hash.len == SHA256_SIZE && snapshot->decision_hash.len == SHA256_SIZE &&
           memcmp(snapshot->decision_hash.data, name->decision_hash.data, SHA256_SIZE) == 0;
}

static int load_snapshot(struct partition *p, const Gantry__V1__SnapshotName *name, struct err *err)
{
    Gantry__V1__PromoterState *state = state_record(p->restore, name->key);
    const Gantry__V1__Snapshot *snapshot;
    struct pipeline *pipeline;
    size_t key_len = strlen(name->key);
    int rc = -1;

    if (!state || state->what_case != GANTRY__V1__PROMOTER_STATE__WHAT_SNAPSHOT || key_len < 2) {
        err_set(err, ERR_NOT_FOUND, "snapshot %s is not there", name->key);
        goto out;
    }
    snapshot = state->snapshot;
    if (!is_as_named(snapshot, name) || pipelines_find(&p->pipelines, name->pipeline)) {
        err_set(err, ERR_CONFLICT, "snapshot %s is of another Decision", name->key);
        goto out;
    }
    pipeline = pipelines_add_encoded(&p->pipelines, name->pipeline, snapshot->state.data,
                                     snapshot->state.len, snapshot->deadline_ms);
    pipeline->snapshot_slot = name->key[key_len - 1] == '1';
    pipeline->snapshot_sequence = name->sequence;
    memcpy(pipeline->snapshot_hash, name->decision_hash.data, SHA256_SIZE);
    rc = snapshot->deadline_ms == 0 ? pipeline_open(&p->pipelines, pipeline, err) : 0;
out:
    event_free(state);
    return rc;
}

static int load_snapshots(struct partition *p, const Gantry__V1__Checkpoint *checkpoint,
                          struct err *err)
{
    for (size_t i = 0; i < checkpoint->n_snapshots; i++)
        if (load_snapshot(p, checkpoint->snapshots[i], err) < 0)
            return -1;
    return 0;
}

static void forget_pipelines(struct partition *p)
{
    pipelines_release(&p->pipelines);
    pipelines_init(&p->pipelines);
}

static void fold_from_beginning(struct partition *p)
{
    struct restore *r = p->restore;

    if (r->ledger_begin == 0 && r->ledger_end == 0 && !r->any_checkpoint) {
        write_genesis(p);
    } else if (r->ledger_begin == r->ledger_end) {
        refuse(p,
               "the ledger is empty (it ends at offset %lld) but was not before: its records were "
               "deleted; only an operator can begin a new epoch",
               (long long)r->ledger_end);
    } else {
        forget_records(r);
        follow_ledger(p, r->ledger_begin, RESTORE_FOLDING);
    }
}

/* Takes the next checkpoint whose snapshots are all as named; the ledger tells then whether its
 * head is there. */
static void next_candidate(struct partition *p)
{
    struct restore *r = p->restore;
    struct err err;

    for (; r->candidate < r->candidate_count; r->candidate++) {
        const Gantry__V1__Checkpoint *checkpoint = r->candidates[r->candidate]->checkpoint;

        if (load_snapshots(p, checkpoint, &err) == 0) {
            follow_ledger(p, checkpoint->head_offset, RESTORE_HEAD);
            return;
        }
        log_warn("checkpoint not used", LOG_I("partition", p->number),
                 LOG_I("head", checkpoint->head_offset), LOG_E(&err));
        forget_pipelines(p);
    }
    fold_from_beginning(p);
}

static void chain_from(struct chain *chain, const Gantry__V1__Checkpoint *checkpoint)
{
    const Gantry__V1__Genesis *genesis = checkpoint->genesis;

    chain->begun = true;
    chain->epoch = genesis->epoch;
    snprintf(chain->chain_id, sizeof(chain->chain_id), "%s", genesis->chain_id);
    chain->partition = genesis->partition;
    chain->partition_count = genesis->partition_count;
    memcpy(chain->head, checkpoint->head_hash.data, SHA256_SIZE);
    chain->head_offset = checkpoint->head_offset;
    chain->time_ms = checkpoint->time_ms;
    chain->published_below = checkpoint->published_below;
    if (chain->published_below <= checkpoint->head_offset)
        chain->published_below = checkpoint->head_offset + 1;
    for (size_t i = 0; i < checkpoint->n_positions; i++) {
        const Gantry__V1__Position *from = checkpoint->positions[i];
        const struct topic_info *info = topic_find(from->topic);
        struct chain_position *to;

        if (!info)
            continue;
        to = &chain->positions[info->topic];
        to->known = true;
        to->next_offset = from->next_offset;
        to->settled_offset = from->settled_offset;
        snprintf(to->settled_ce_id, sizeof(to->settled_ce_id), "%s", from->settled_ce_id);
    }
}

static void head_found(struct partition *p, const Gantry__V1__Checkpoint *checkpoint)
{
    struct restore *r = p->restore;

    chain_from(&p->chain, checkpoint);
    p->genesis = event_clone(checkpoint->genesis);
    p->checkpoint_slot = r->slots[r->candidate];
    p->ledger_next = checkpoint->head_offset + 1;
    forget_records(r);
    r->stage = RESTORE_FOLDING;
    restore_advance(p);
}

static void head_missing(struct partition *p)
{
    struct restore *r = p->restore;

    log_warn("checkpoint not used: its head is not in the ledger", LOG_I("partition", p->number),
             LOG_I("head", r->candidates[r->candidate]->checkpoint->head_offset));
    forget_pipelines(p);
    r->candidate++;
    next_candidate(p);
}

void restore_on_head(struct partition *p, const struct bus_record *record)
{
    struct restore *r = p->restore;
    const Gantry__V1__Checkpoint *checkpoint;
    uint8_t hash[SHA256_SIZE];

    if (r->stage != RESTORE_HEAD)
        return;
    checkpoint = r->candidates[r->candidate]->checkpoint;
    sha256(record->value, record->value_len, hash);
    if (record->offset == checkpoint->head_offset &&
        memcmp(hash, checkpoint->head_hash.data, SHA256_SIZE) == 0)
        head_found(p, checkpoint);
    else
        head_missing(p);
}

void restore_on_head_end(struct partition *p, int64_t end)
{
    if (p->restore->stage == RESTORE_HEAD && end > p->ledger_next)
        head_missing(p);
}

/* ---- promoter.state ---- */

static void choose(struct partition *p)
{
    struct restore *r = p->restore;

    p->io->unfollow(TOPIC_PROMOTER_STATE, p->number, p->io->arg);
    read_candidates(r);
    if (p->distrust) {
        log_warn("snapshots are not used", LOG_I("partition", p->number));
        r->candidate = r->candidate_count;
    }
    if (r->candidate_count > 0 && r->candidates[0]->checkpoint->head_offset >= r->ledger_end) {
        refuse(p,
               "the ledger ends at offset %lld, but offset %lld was confirmed: records were lost; "
               "only an operator can begin a new epoch",
               (long long)r->ledger_end, (long long)r->candidates[0]->checkpoint->head_offset);
        return;
    }
    next_candidate(p);
}

void partition_on_state(struct partition *p, const struct bus_record *record)
{
    struct restore *r = p->restore;
    char key[128];

    if (!r || r->stage != RESTORE_STATE)
        return;
    if (record->key_len < sizeof(key)) {
        memcpy(key, record->key, record->key_len);
        key[record->key_len] = '\0';
        if (!record->value) {
            map_del(r->records, key);
        } else {
            struct buf *copy = mem_alloc(sizeof(*copy));

            buf_init(copy, EVENT_VALUE_MAX);
            buf_add(copy, record->value, record->value_len);
            map_set(r->records, key, copy);
        }
    }
    if (record->offset + 1 >= r->state_end)
        choose(p);
}

void partition_on_state_end(struct partition *p, int64_t end)
{
    if (p->restore && p->restore->stage == RESTORE_STATE && end >= p->restore->state_end)
        choose(p);
}

/* ---- the beginning ---- */

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct question *question = arg;
    struct partition *p = question->p;
    struct restore *r = p->restore;
    struct err why;

    if (p->closed || question->generation != p->generation || !r)
        goto out;
    if (err) {
        log_warn("partition cannot be restored yet", LOG_I("partition", p->number), LOG_E(err));
        p->retry_mono_ms = partition_mono(p) + PARTITION_RETRY_MS;
        partition_rewake(p);
        goto out;
    }
    r->ledger_begin = ends[0].begin;
    r->ledger_end = ends[0].end;
    r->state_begin = ends[1].begin;
    r->state_end = ends[1].end;
    for (size_t i = 2; i < count; i++) {
        r->input_begin[ends[i].topic] = ends[i].begin;
        r->input_end[ends[i].topic] = ends[i].end;
    }
    r->stage = RESTORE_STATE;
    if (r->state_begin >= r->state_end) {
        choose(p);
    } else if (p->io->follow(TOPIC_PROMOTER_STATE, p->number, r->state_begin, p->io->arg, &why) <
               0) {
        err_wrap(&why, "promoter.state cannot be read");
        partition_refuse(p, &why);
    }
out:
    free(question);
    partition_unref(p);
}

void restore_begin(struct partition *p)
{
    struct bus_end ask[2 + PARTITION_INPUTS] = {
        {.topic = TOPIC_LEDGER, .partition = p->number},
        {.topic = TOPIC_PROMOTER_STATE, .partition = p->number},
    };
    struct question *question = mem_alloc(sizeof(*question));

    for (size_t i = 0; i < PARTITION_INPUTS; i++)
        ask[2 + i] = (struct bus_end){.topic = partition_inputs[i], .partition = p->number};
    p->restore = mem_alloc(sizeof(*p->restore));
    p->restore->started_mono_ms = partition_mono(p);
    p->restore->records = map_new(record_free);
    question->p = p;
    question->generation = p->generation;
    partition_ref(p);
    p->io->ask_ends(ask, 2 + PARTITION_INPUTS, on_ends, question, p->io->arg);
}

void restore_tick(struct partition *p)
{
    if (p->phase == PARTITION_RESTORING) {
        partition_reset(p);
        restore_begin(p);
    }
}
