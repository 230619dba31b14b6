/* The ledger read back: which records counted, whose they were, and what that means for the
 * speculation (docs/ledger.md, "The loop", 2 to 4).
 *
 * After a drop nothing is stepped until every dropped record's fate is known and the ledger was
 * read beyond it: what is stepped sooner would only extend a head that may still move. A dropped
 * record that lands later all the same counts or is void like anybody's; void, it changes nothing
 * that the speculation stands on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/promoter/partition.h"
#include "services/promoter/restore.h"

#define DROPPED_MS 100

/* ---- dropping and reading again ---- */

struct question {
    struct partition *p;
    uint64_t generation;
};

static void on_ledger_end_asked(const struct bus_end *ends, size_t count, const struct err *err,
                                void *arg)
{
    struct question *question = arg;
    struct partition *p = question->p;
    struct err why;

    (void)count;
    if (p->closed || question->generation != p->generation || p->phase != PARTITION_REREADING) {
        goto out;
    }
    if (err) {
        p->reread_asked = false; /* until then nobody else asks: nothing is open */
        p->retry_mono_ms = partition_mono(p) + PARTITION_RETRY_MS;
        partition_rewake(p);
        goto out;
    }
    if (ends[0].end <= p->chain.head_offset) {
        err_set(&why, ERR_FATAL,
                "the ledger ends at offset %lld, but offset %lld was confirmed: records were lost; "
                "an operator has to begin a new epoch (gantry topics new-epoch %d --help)",
                (long long)ends[0].end, (long long)p->chain.head_offset, (int)p->number);
        partition_refuse(p, &why);
        goto out;
    }
    if (ends[0].end > p->reread_below)
        p->reread_below = ends[0].end;
    p->reread_ask = p->reread_asked = false;
    confirm_reread_check(p);
out:
    free(question);
    partition_unref(p);
}

static void ask_ledger_end(struct partition *p)
{
    const struct bus_end ask = {.topic = TOPIC_LEDGER, .partition = p->number};
    struct question *question = mem_alloc(sizeof(*question));

    question->p = p;
    question->generation = p->generation;
    p->reread_asked = true;
    partition_ref(p);
    p->io->ask_ends(&ask, 1, on_ledger_end_asked, question, p->io->arg);
}

void confirm_reread_check(struct partition *p)
{
    if (p->phase != PARTITION_REREADING || p->appends_open > 0)
        return;
    if (p->reread_ask) {
        if (!p->reread_asked)
            ask_ledger_end(p);
        return;
    }
    if (p->ledger_next >= p->reread_below)
        partition_run(p);
}

void confirm_tick(struct partition *p)
{
    confirm_reread_check(p);
}

void confirm_drop(struct partition *p, bool ask)
{
    if (p->phase == PARTITION_REFUSED || p->closed)
        return;
    if (p->in_flight > 0)
        metric_add(p->metrics->drops, 1);
    p->generation++;
    flight_forget(p);
    if (p->phase == PARTITION_RESTORING) {
        if (p->restore)
            restore_dropped(p);
        return;
    }
    if (p->phase != PARTITION_RUNNING && p->phase != PARTITION_REREADING)
        return;
    partition_pause_all(p);
    p->clock.stage = CLOCK_IDLE;
    p->reread_ask = p->reread_ask || ask;
    p->reread_asked = false;
    partition_set_phase(p, PARTITION_REREADING);
    /* Where no acknowledgement and no record of the ledger is to come, the time goes on with it:
     * not from here, since the caller may be in the middle of a step. */
    p->retry_mono_ms = partition_mono(p) + DROPPED_MS;
    partition_rewake(p);
}

void partition_on_ledger_producer_lost(struct partition *p)
{
    if (p->phase == PARTITION_RUNNING || p->phase == PARTITION_REREADING)
        confirm_drop(p, true);
}

/* ---- what counted ---- */

static void remember_genesis(struct partition *p, const Gantry__V1__Genesis *genesis)
{
    if (*genesis->operator_)
        log_info("an operator began this epoch", LOG_I("partition", p->number),
                 LOG_I("epoch", genesis->epoch), LOG_S("operator", genesis->operator_),
                 LOG_S("reason", genesis->reason));
    if (p->genesis)
        event_free(p->genesis);
    p->genesis = event_clone(genesis);
}

static void traceparent_of(const struct bus_record *record, char out[EVENT_TRACEPARENT_SIZE])
{
    struct event_meta meta;

    out[0] = '\0';
    if (event_read_headers(&meta, record->headers, record->header_count, NULL) == 0)
        snprintf(out, EVENT_TRACEPARENT_SIZE, "%s", meta.traceparent);
}

/* Opened; NULL: its snapshot is not what it was named for. */
static struct pipeline *pipeline_of(struct partition *p, const char *name, struct err *err)
{
    struct pipeline *pipeline = pipelines_find(&p->pipelines, name);

    if (!pipeline)
        pipeline = pipelines_add(&p->pipelines, engine_state_new(name));
    if (pipeline_open(&p->pipelines, pipeline, err) == 0)
        return pipeline;
    p->distrust = true;
    return NULL;
}

static int fold_genesis(struct partition *p, const Gantry__V1__Genesis *genesis, struct err *err)
{
    for (size_t i = 0; i < genesis->n_numbers; i++) {
        const Gantry__V1__PipelineNumbers *numbers = genesis->numbers[i];
        struct pipeline *pipeline = pipeline_of(p, numbers->pipeline, err);

        if (!pipeline || pipeline_set_numbers(&p->pipelines, pipeline, numbers->next_release,
                                              numbers->next_sequence, err) < 0)
            return -1;
    }
    return 0;
}

/* Into the states. */
static int fold_decision(struct partition *p, const Gantry__V1__Decision *decision,
                         const uint8_t hash[SHA256_SIZE], struct err *err)
{
    const Gantry__V1__Genesis *genesis = chain_genesis_of(decision);
    struct pipeline *pipeline;

    if (genesis)
        return fold_genesis(p, genesis, err);
    if (!*decision->pipeline)
        return 0;
    pipeline = pipeline_of(p, decision->pipeline, err);
    return pipeline ? pipeline_fold(&p->pipelines, pipeline, decision, hash, err) : -1;
}

/* `kept`: it is the flight's own, which ends with it. */
static int counted(struct partition *p, const struct bus_record *record,
                   const Gantry__V1__Decision *decision, bool kept, const uint8_t hash[SHA256_SIZE],
                   struct err *err)
{
    char traceparent[EVENT_TRACEPARENT_SIZE];

    publish_forget(p, p->chain.published_below);
    if (kept) {
        flight_publish(p, record->offset);
        flight_confirm(p);
        return 0;
    }
    traceparent_of(record, traceparent);
    if (publish_add(p, decision, record->offset, traceparent, err) < 0)
        return -1;
    if (flight_first_is(p, hash)) {
        flight_confirm(p);
        return 0;
    }
    /* Somebody else's, or one from before a drop. */
    metric_add(p->metrics->decisions_foreign, 1);
    confirm_drop(p, false);
    return p->phase == PARTITION_REFUSED ? 0 : fold_decision(p, decision, hash, err);
}

/* Takes `decision` over. */
static int counted_in_restore(struct partition *p, const struct bus_record *record,
                              Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                              struct err *err)
{
    char traceparent[EVENT_TRACEPARENT_SIZE];

    traceparent_of(record, traceparent);
    if (flight_first_is(p, hash))
        flight_confirm(p);
    else if (fold_decision(p, decision, hash, err) < 0) {
        event_free(decision);
        return -1;
    }
    restore_unpublished(p, decision, record->offset, traceparent);
    return 0;
}

/* An operator found no genesis in the ledger and wrote one. Here it is void, but to those who read
 * the ledger alone it may count: so this one reads the ledger alone, too. */
static bool begun_anew(struct partition *p, const struct bus_record *record,
                       const Gantry__V1__Decision *decision)
{
    struct err err;

    if (!decision || !chain_begins_anew(&p->chain, decision) || (p->restore && restore_is_whole(p)))
        return false;
    err_set(&err, ERR_CONFLICT,
            "an operator began a new epoch at ledger offset %lld, having found nothing to go on "
            "from: the ledger is read from its beginning",
            (long long)record->offset);
    partition_distrust(p, &err);
    return true;
}

static void voided(struct partition *p, const struct bus_record *record,
                   const Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE])
{
    if (begun_anew(p, record, decision) || p->restore)
        return;
    metric_add(p->metrics->voids, 1);
    log_info("void record in the ledger", LOG_I("partition", p->number),
             LOG_I("offset", record->offset), LOG_B("own", flight_has(p, hash)));
    if (flight_has(p, hash))
        confirm_drop(p, false);
}

/* What this promoter has just appended is not read from its bytes: it is there. */
static int fold(struct partition *p, const struct bus_record *record, struct err *err)
{
    uint8_t hash[SHA256_SIZE];
    const Gantry__V1__Decision *decision;
    Gantry__V1__Decision *parsed = NULL;
    enum chain_verdict verdict = CHAIN_VOID;
    bool kept;
    int rc = 0;

    sha256(record->value, record->value_len, hash);
    decision = p->restore ? NULL : flight_first(p, hash);
    kept = decision != NULL;
    /* What is no Decision at all extends nothing. */
    if (!kept && record->value &&
        event_parse((void **)&parsed, TOPIC_LEDGER, record->value, record->value_len, NULL) == 0)
        decision = parsed;
    if (decision &&
        chain_fold_hashed(&p->chain, hash, decision, record->offset, &verdict, err) < 0) {
        event_free(parsed);
        return -1;
    }
    p->ledger_next = record->offset + 1;
    if (verdict == CHAIN_VOID) {
        voided(p, record, decision, hash);
    } else {
        const Gantry__V1__Genesis *genesis = chain_genesis_of(decision);

        p->counted++;
        if (genesis)
            remember_genesis(p, genesis);
        if (*decision->pipeline || (genesis && *genesis->operator_))
            checkpoint_changed(p);
        if (p->restore)
            return counted_in_restore(p, record, parsed, hash, err);
        rc = counted(p, record, decision, kept, hash, err);
    }
    event_free(parsed);
    return rc;
}

static void after_reading(struct partition *p)
{
    if (p->phase == PARTITION_REFUSED)
        return;
    if (p->restore) {
        restore_advance(p);
        return;
    }
    publish_settle(p);
    if (p->phase == PARTITION_REREADING)
        confirm_reread_check(p);
    if (p->stopping)
        checkpoint_advance(p);
    partition_throttle(p);
    partition_rewake(p);
}

void partition_on_ledger(struct partition *p, const struct bus_record *record)
{
    struct err err;

    if (p->phase == PARTITION_REFUSED || p->closed)
        return;
    if (p->restore && !restore_folds(p)) {
        restore_on_head(p, record);
        return;
    }
    if (record->offset < p->ledger_next) {
        err_set(&err, ERR_FATAL,
                "the ledger went back to offset %lld after offset %lld had been read: records were "
                "lost; an operator has to begin a new epoch (gantry topics new-epoch %d --help)",
                (long long)record->offset, (long long)p->ledger_next - 1, (int)p->number);
        partition_refuse(p, &err);
        return;
    }
    if (fold(p, record, &err) < 0) {
        err_wrap(&err, "ledger offset %lld", (long long)record->offset);
        partition_refuse(p, &err);
        return;
    }
    after_reading(p);
}

void partition_on_ledger_end(struct partition *p, int64_t end)
{
    if (p->phase == PARTITION_REFUSED || p->closed)
        return;
    if (p->restore && !restore_folds(p)) {
        restore_on_head_end(p, end);
        return;
    }
    if (end > p->ledger_next)
        p->ledger_next = end;
    after_reading(p);
}
