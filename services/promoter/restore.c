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
#include "engine/saved.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define ONLY_AN_OPERATOR                                                                           \
    "only an operator can begin a new epoch (gantry topics new-epoch %" PRId32 " --help)"

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

    struct saved *saved;
    size_t candidate; /* among the checkpoints, the newest first */
    bool whole;       /* the ledger is folded from its first record */
    /* Checkpoints of what the ledger has no more: the highest head (-1: none) and epoch. */
    int64_t lost_head;
    uint64_t lost_epoch;

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

void restore_free(struct partition *p)
{
    struct restore *r = p->restore;

    if (!r)
        return;
    saved_free(r->saved);
    while (r->unpublished)
        unpublished_pop(r);
    free(r);
    p->restore = NULL;
}

bool restore_folds(const struct partition *p)
{
    return p->restore->stage == RESTORE_FOLDING || p->restore->stage == RESTORE_GENESIS;
}

bool restore_is_whole(const struct partition *p)
{
    return p->restore->whole;
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

static void refuse_early_end(struct partition *p)
{
    refuse(p,
           "the ledger ends at offset %lld, but offset %lld was confirmed: records were "
           "lost; " ONLY_AN_OPERATOR,
           (long long)p->restore->ledger_end, (long long)p->restore->lost_head, p->number);
}

static bool genesis_fits(struct partition *p)
{
    const struct restore *r = p->restore;

    if (!p->chain.begun) {
        refuse(p,
               "the ledger has records but no genesis that counts; is it Gantry's, and is its "
               "beginning (offset %lld) there? If not, " ONLY_AN_OPERATOR,
               (long long)r->ledger_begin, p->number);
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
    if (r->ledger_begin > 0 &&
        !(p->genesis && chain_knows_beginning(p->genesis, r->ledger_begin))) {
        refuse(p,
               "the ledger's beginning is missing: its first record is at offset %lld. Set its "
               "retention to be unlimited; " ONLY_AN_OPERATOR,
               (long long)r->ledger_begin, p->number);
        return false;
    }
    if (r->lost_head >= 0 &&
        !(p->genesis && chain_supersedes(p->genesis, r->lost_epoch, r->lost_head))) {
        refuse_early_end(p);
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

static int load_snapshot(struct partition *p, const Gantry__V1__SnapshotName *name, struct err *err)
{
    Gantry__V1__PromoterState *state;
    const Gantry__V1__Snapshot *snapshot;
    struct pipeline *pipeline;
    int rc;

    if (saved_snapshot(p->restore->saved, name, &state, err) < 0)
        return -1;
    snapshot = state->snapshot;
    if (pipelines_find(&p->pipelines, name->pipeline)) {
        rc = err_set(err, ERR_CONFLICT, "pipeline \"%s\" is named twice", name->pipeline);
        goto out;
    }
    pipeline = pipelines_add_encoded(&p->pipelines, name->pipeline, snapshot->state.data,
                                     snapshot->state.len, snapshot->deadline_ms);
    pipeline->snapshot_slot = name->key[strlen(name->key) - 1] == '1';
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

static void forget_saved(struct restore *r)
{
    saved_free(r->saved);
    r->saved = NULL;
}

static void forget_pipelines(struct partition *p)
{
    pipelines_release(&p->pipelines);
    pipelines_init(&p->pipelines);
}

static void fold_from_beginning(struct partition *p)
{
    struct restore *r = p->restore;

    if (r->ledger_begin == 0 && r->ledger_end == 0 && !saved_any(r->saved)) {
        write_genesis(p);
    } else if (r->ledger_begin == r->ledger_end && r->lost_head >= 0) {
        refuse_early_end(p);
    } else if (r->ledger_begin == r->ledger_end) {
        refuse(p,
               "the ledger is empty (it ends at offset %lld) but was not before: its records were "
               "deleted; " ONLY_AN_OPERATOR,
               (long long)r->ledger_end, p->number);
    } else {
        r->whole = true;
        forget_saved(r);
        follow_ledger(p, r->ledger_begin, RESTORE_FOLDING);
    }
}

/* The ledger ends before its head. It was confirmed, so a promoter goes on only where an operator's
 * genesis says that it may be lost, which the fold tells. */
static bool is_lost(struct restore *r, const Gantry__V1__Checkpoint *checkpoint)
{
    if (checkpoint->head_offset < r->ledger_end)
        return false;
    if (checkpoint->head_offset > r->lost_head)
        r->lost_head = checkpoint->head_offset;
    if (checkpoint->genesis->epoch > r->lost_epoch)
        r->lost_epoch = checkpoint->genesis->epoch;
    return true;
}

/* Takes the next checkpoint whose snapshots are all as named; the ledger tells then whether its
 * head is there. */
static void next_candidate(struct partition *p)
{
    struct restore *r = p->restore;
    struct err err;

    for (; r->candidate < saved_count(r->saved); r->candidate++) {
        const Gantry__V1__Checkpoint *checkpoint = saved_checkpoint(r->saved, r->candidate);

        if (is_lost(r, checkpoint) || p->distrust)
            continue;
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

static void head_found(struct partition *p, const Gantry__V1__Checkpoint *checkpoint)
{
    struct restore *r = p->restore;

    for (size_t i = r->candidate; i < saved_count(r->saved); i++)
        (void)is_lost(r, saved_checkpoint(r->saved, i));
    chain_resume(&p->chain, checkpoint);
    p->genesis = event_clone(checkpoint->genesis);
    p->checkpoint_slot = saved_slot(r->saved, r->candidate);
    p->ledger_next = checkpoint->head_offset + 1;
    forget_saved(r);
    r->stage = RESTORE_FOLDING;
    restore_advance(p);
}

static void head_missing(struct partition *p)
{
    struct restore *r = p->restore;

    log_warn("checkpoint not used: its head is not in the ledger", LOG_I("partition", p->number),
             LOG_I("head", saved_checkpoint(r->saved, r->candidate)->head_offset));
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
    checkpoint = saved_checkpoint(r->saved, r->candidate);
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
    saved_read(r->saved);
    if (p->distrust)
        log_warn("snapshots are not used", LOG_I("partition", p->number));
    next_candidate(p);
}

void partition_on_state(struct partition *p, const struct bus_record *record)
{
    struct restore *r = p->restore;

    if (!r || r->stage != RESTORE_STATE)
        return;
    saved_put(r->saved, record->key, record->key_len, record->value, record->value_len);
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
    p->restore->saved = saved_new();
    p->restore->lost_head = -1;
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
