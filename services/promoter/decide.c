/* A step's changes become a Decision that extends the speculated head, is folded into the
 * speculation and appended. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/decision.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/promoter/partition.h"

/* A Decision that the broker or the producer calls too large is certainly not smaller. */
#define LARGE_BYTES (256 * 1024)

/* Where the input stands that caused a Decision. */
struct input_at {
    bool any;
    enum topic topic;
    int64_t offset;
};

/* What a Decision is made from. Once it is appended it is kept until it is read back, without its
 * changes but with the records that they cause: those are made while Kafka stores it, and nothing
 * is unpacked again. */
struct making {
    Gantry__V1__Decision decision;
    Gantry__V1__Cause cause;
    Gantry__V1__Position positions[PARTITION_INPUTS];
    Gantry__V1__Position *position_ptrs[PARTITION_INPUTS];
    char settled_ids[PARTITION_INPUTS][sizeof(((struct chain_position *)0)->settled_ce_id)];
    uint8_t previous[SHA256_SIZE], pipeline_previous[SHA256_SIZE];
    struct pipeline *pipeline;  /* NULL: none */
    struct engine_state *after; /* the pipeline's, with this Decision; NULL: none yet */
    const char *parent;         /* the input's traceparent; while it is being made */
    char traceparent[EVENT_TRACEPARENT_SIZE];
    struct input_at input;
    struct engine_records records;
    bool kept; /* the records are there */
};

/* One Decision in flight. */
struct append {
    struct partition *p;
    uint64_t generation;
    uint8_t hash[SHA256_SIZE];
    struct making *made; /* NULL: no longer in the partition's list */
    struct input_at input;
    size_t size_bytes;
    int64_t produced_ms;
    bool acked;
    struct append *next;
};

static void making_free(struct making *m)
{
    engine_state_free(m->after);
    engine_changes_free(&m->decision);
    engine_records_free(&m->records);
    free(m);
}

/* ---- what is in flight ---- */

static void append_free_if_done(struct append *append)
{
    if (!append->made && append->acked)
        free(append);
}

/* Takes the oldest out; what it holds is dealt with. */
static void flight_pop(struct partition *p)
{
    struct append *append = p->flight_first;

    p->flight_first = append->next;
    if (!p->flight_first)
        p->flight_last = NULL;
    p->in_flight--;
    metric_add(p->metrics->in_flight, -1);
    append->next = NULL;
    making_free(append->made);
    append->made = NULL;
    append_free_if_done(append);
}

void flight_forget(struct partition *p)
{
    while (p->flight_first) {
        struct making *made = p->flight_first->made;

        if (made->pipeline)
            pipeline_forget(&p->pipelines, made->pipeline, made->after);
        made->after = NULL;
        flight_pop(p);
    }
}

void flight_confirm(struct partition *p)
{
    struct making *made = p->flight_first->made;

    if (made->input.any)
        p->io->commit(made->input.topic, p->number, made->input.offset + 1, p->io->arg);
    if (made->pipeline)
        pipeline_confirm(made->pipeline, made->after);
    made->after = NULL;
    flight_pop(p);
}

bool flight_has(const struct partition *p, const uint8_t hash[SHA256_SIZE])
{
    const struct append *append = p->flight_first;

    while (append && memcmp(append->hash, hash, SHA256_SIZE) != 0)
        append = append->next;
    return append != NULL;
}

bool flight_first_is(const struct partition *p, const uint8_t hash[SHA256_SIZE])
{
    return p->flight_first && memcmp(p->flight_first->hash, hash, SHA256_SIZE) == 0;
}

const Gantry__V1__Decision *flight_first(const struct partition *p, const uint8_t hash[SHA256_SIZE])
{
    return flight_first_is(p, hash) && p->flight_first->made->kept
               ? &p->flight_first->made->decision
               : NULL;
}

void flight_publish(struct partition *p, int64_t offset)
{
    struct making *made = p->flight_first->made;

    publish_add_records(p, &made->records, offset, made->decision.time_ms, made->traceparent);
}

static void flight_push(struct partition *p, struct append *append)
{
    if (p->flight_last)
        p->flight_last->next = append;
    else
        p->flight_first = append;
    p->flight_last = append;
    p->in_flight++;
    metric_add(p->metrics->in_flight, 1);
}

/* ---- an append's fate ---- */

static void poison(struct partition *p, const struct input_at *input, const char *reason)
{
    if (!input->any)
        return;
    p->poison.on = true;
    p->poison.topic = input->topic;
    p->poison.offset = input->offset;
    snprintf(p->poison.reason, sizeof(p->poison.reason), "%s", reason);
}

static void append_failed(struct partition *p, const struct append *append,
                          const struct bus_ack *ack)
{
    struct err err = ack->err;

    if (ack->unknown) {
        if (append->generation == p->generation)
            log_warn("a Decision's fate is unknown", LOG_I("partition", p->number),
                     LOG_E(&ack->err));
        confirm_drop(p, true);
    } else if (append->size_bytes > LARGE_BYTES) {
        poison(p, &append->input, "the Decision that it causes is too large for Kafka");
        confirm_drop(p, false);
    } else {
        err_wrap(&err, "a Decision cannot be appended to the ledger");
        partition_refuse(p, &err);
    }
}

static void on_append_ack(const struct bus_ack *ack, void *arg)
{
    struct append *append = arg;
    struct partition *p = append->p;

    p->appends_open--;
    if (!p->closed) {
        if (ack->ok) {
            clockwork_compare(p, append->produced_ms, partition_now(p), ack->timestamp_ms);
            if (append->generation != p->generation && ack->offset >= p->reread_below)
                p->reread_below = ack->offset + 1;
        } else {
            append_failed(p, append, ack);
        }
        if (p->phase == PARTITION_REREADING)
            confirm_reread_check(p);
    }
    append->acked = true; /* not before: what follows may take it out of the list */
    append_free_if_done(append);
    partition_unref(p);
}

/* ---- making one ---- */

static void fill_positions(struct partition *p, struct making *m)
{
    size_t n = 0;

    for (size_t i = 0; i < PARTITION_INPUTS; i++) {
        struct input *input = &p->inputs[partition_inputs[i]];
        struct chain_position *settled = &input->settled;
        Gantry__V1__Position *position = &m->positions[n];

        if (!settled->known)
            continue;
        gantry__v1__position__init(position);
        position->topic = (char *)topic_info(partition_inputs[i])->name;
        position->next_offset = settled->next_offset;
        position->settled_offset = settled->settled_offset;
        position->settled_ce_id =
            memcpy(m->settled_ids[n], settled->settled_ce_id, sizeof(m->settled_ids[n]));
        position->remade = input->remade && !input->remade_said;
        m->position_ptrs[n++] = position;
    }
    m->decision.positions = m->position_ptrs;
    m->decision.n_positions = n;
}

static struct making *making_new(struct partition *p, Gantry__V1__CauseKind kind, int64_t time_ms)
{
    struct making *m = mem_alloc(sizeof(*m));

    gantry__v1__decision__init(&m->decision);
    gantry__v1__cause__init(&m->cause);
    m->cause.kind = kind;
    m->decision.cause = &m->cause;
    m->decision.time_ms = time_ms > p->time_ms ? time_ms : p->time_ms;
    m->decision.epoch = p->chain.epoch;
    m->decision.published_below = p->published_below;
    if (p->head_any) {
        m->decision.previous.data = memcpy(m->previous, p->head, SHA256_SIZE);
        m->decision.previous.len = SHA256_SIZE;
    }
    fill_positions(p, m);
    m->parent = "";
    return m;
}

static void set_pipeline(struct making *m, const struct engine_state *state)
{
    m->decision.pipeline = (char *)engine_state_pipeline(state);
    m->decision.sequence = engine_state_sequence(state) + 1;
    if (!engine_state_hashed(state))
        return;
    memcpy(m->pipeline_previous, engine_state_hash(state), SHA256_SIZE);
    m->decision.pipeline_previous.data = m->pipeline_previous;
    m->decision.pipeline_previous.len = SHA256_SIZE;
}

/* The record's attributes; its id is the Decision's hash, so that it is the same wherever it is
 * made. */
static void meta_of(struct making *m, const uint8_t hash[SHA256_SIZE], struct event_meta *meta)
{
    memset(meta, 0, sizeof(*meta));
    hex_encode(hash, (ID_SIZE - 1) / 2, meta->id);
    str_copy(meta->source, sizeof(meta->source), "/gantry/promoter");
    str_copy(meta->type, sizeof(meta->type), event_type_of(TOPIC_LEDGER, &m->decision));
    str_copy(meta->subject, sizeof(meta->subject), m->decision.pipeline);
    event_trace_of(meta->traceparent, m->parent, meta->id);
    memcpy(m->traceparent, meta->traceparent, sizeof(m->traceparent));
    meta->time_ms = m->decision.time_ms;
}

static int produce(struct partition *p, struct making *m, const struct buf *value,
                   struct append *append, struct err *err)
{
    struct event_meta meta;
    char time_text[CLOCK_RFC3339_SIZE];
    struct event_header headers[EVENT_HEADERS_MAX];
    const char *key = *m->decision.pipeline ? m->decision.pipeline : PARTITION_KEY;
    size_t count;

    meta_of(m, append->hash, &meta);
    count = event_headers(&meta, time_text, headers);
    append->produced_ms = partition_now(p);
    return p->io->produce(TOPIC_LEDGER, p->number, key, strlen(key), value->data, value->len,
                          headers, count, on_append_ack, append, p->io->arg, err);
}

static void speculated(struct partition *p, const struct making *m, const uint8_t *hash)
{
    memcpy(p->head, hash, SHA256_SIZE);
    p->head_any = true;
    p->time_ms = m->decision.time_ms;
    p->recorded_published = m->decision.published_below;
    for (size_t i = 0; i < PARTITION_INPUTS; i++) {
        enum topic topic = partition_inputs[i];

        if (!p->inputs[topic].settled.known)
            continue;
        p->recorded_next[topic] = p->inputs[topic].settled.next_offset;
        p->inputs[topic].remade_said = p->inputs[topic].remade;
    }
    p->caused_mono_ms = partition_mono(p);
}

static struct append *append_new(struct partition *p, const struct making *m,
                                 const struct buf *value)
{
    struct append *append = mem_alloc(sizeof(*append));

    append->p = p;
    append->generation = p->generation;
    append->input = m->input;
    append->size_bytes = value->len;
    sha256(value->data, value->len, append->hash);
    return append;
}

/* The changes are not needed again. What cannot be published is found out once it counts. */
static void keep(struct making *m)
{
    m->kept = engine_publish_requests(&m->decision, &m->records, NULL) == 0 &&
              engine_publish_events(&m->decision, &m->records, NULL) == 0;
    engine_changes_free(&m->decision);
    m->decision.cause = NULL;
    if (m->after)
        m->decision.pipeline = (char *)engine_state_pipeline(m->after);
}

/* Speculates and produces. -1 with *dropped: the speculation was given up. */
static int send(struct partition *p, struct making *m, const struct buf *value, bool *dropped,
                struct err *err)
{
    struct append *append = append_new(p, m, value);

    if (m->pipeline && pipeline_speculate(&p->pipelines, m->pipeline, m->after, &m->decision,
                                          append->hash, err) < 0) {
        free(append);
        return -1;
    }
    if (produce(p, m, value, append, err) < 0) {
        *dropped = true;
        if (err->code == ERR_LIMIT && value->len > LARGE_BYTES)
            poison(p, &append->input, "the Decision that it causes is too large for Kafka");
        if (m->pipeline)
            pipeline_forget(&p->pipelines, m->pipeline, m->after);
        m->after = NULL;
        free(append);
        confirm_drop(p, false);
        return -1;
    }
    speculated(p, m, append->hash);
    append->made = m;
    p->appends_open++;
    partition_ref(p);
    flight_push(p, append);
    return 0;
}

/* Takes `m` over where it returns 0. -1 with *dropped: the speculation was given up. */
static int append_decision(struct partition *p, struct making *m, bool *dropped, struct err *err)
{
    struct buf value;
    int rc;

    *dropped = false;
    buf_init(&value, EVENT_VALUE_MAX);
    rc = event_pack(&value, &m->decision, err);
    if (rc < 0) {
        err_wrap(err, "the Decision that it causes cannot be stored");
    } else {
        rc = send(p, m, &value, dropped, err);
    }
    buf_release(&value);
    if (rc == 0)
        partition_throttle(p);
    return rc;
}

/* ---- by cause ---- */

static void count_refusals(struct partition *p, const Gantry__V1__Decision *decision)
{
    for (size_t i = 0; i < decision->n_changes; i++)
        if (decision->changes[i]->what_case == GANTRY__V1__CHANGE__WHAT_COMMAND_REFUSED)
            metric_add(p->metrics->commands_refused, 1);
}

/* Steps and appends; 1, 0 or -1 as decide_input(). Takes `m` over. */
static int step(struct partition *p, struct making *m, const struct engine_state *state,
                const struct engine_input *input, bool *dropped, struct err *err)
{
    int rc;

    *dropped = false;
    set_pipeline(m, state);
    rc = engine_step(state, input, p->chain.epoch, m->decision.time_ms, &m->decision, &m->after,
                     err);
    if (rc > 0) {
        if (!m->pipeline)
            m->pipeline = pipelines_add(&p->pipelines, (struct engine_state *)state);
        rc = append_decision(p, m, dropped, err) < 0 ? -1 : 1;
    }
    if (rc <= 0) {
        making_free(m);
        return rc;
    }
    count_refusals(p, &m->decision);
    lookout_decided(p, m->decision.pipeline, &m->decision);
    keep(m);
    return 1;
}

int decide_input(struct partition *p, const struct bus_record *record,
                 const struct event_meta *meta, const char *pipeline, const void *message,
                 const char *command_refusal, bool *dropped, struct err *err)
{
    const struct engine_input input = {
        .kind = ENGINE_RECORD,
        .topic = record->topic,
        .message = message,
        .ce_id = meta->id,
        .command_refusal = command_refusal,
        .environment = p->io->environment,
        .environment_arg = p->io->arg,
    };
    struct making *m =
        making_new(p, GANTRY__V1__CAUSE_KIND__CAUSE_KIND_INPUT, record->timestamp_ms);
    struct pipeline *known = pipelines_find(&p->pipelines, pipeline);
    struct engine_state *fresh = known ? NULL : engine_state_new(pipeline);
    int rc;

    m->cause.topic = (char *)topic_info(record->topic)->name;
    m->cause.partition = record->partition;
    m->cause.offset = record->offset;
    m->cause.ce_id = (char *)meta->id;
    m->parent = meta->traceparent;
    m->input = (struct input_at){true, record->topic, record->offset};
    m->pipeline = known;
    rc = step(p, m, known ? known->latest : fresh, &input, dropped, err);
    if (fresh && !pipelines_find(&p->pipelines, pipeline))
        engine_state_free(fresh);
    if (rc == 1)
        metric_add(p->metrics->decisions_input, 1);
    return rc;
}

/* By nothing that stands in a topic. */
static int decide_own(struct partition *p, struct pipeline *pipeline,
                      const struct engine_input *input, int64_t now_ms, struct err *err)
{
    struct making *m = making_new(p, GANTRY__V1__CAUSE_KIND__CAUSE_KIND_CLOCK, now_ms);
    bool dropped;
    int rc;

    m->pipeline = pipeline;
    rc = step(p, m, pipeline->latest, input, &dropped, err);
    if (rc == 1)
        metric_add(p->metrics->decisions_clock, 1);
    return rc;
}

int decide_clock(struct partition *p, struct pipeline *pipeline, int64_t now_ms, struct err *err)
{
    const struct engine_input input = {
        .kind = ENGINE_CLOCK,
        .ce_id = "",
        .environment = p->io->environment,
        .environment_arg = p->io->arg,
    };

    return decide_own(p, pipeline, &input, now_ms, err);
}

int decide_seen(struct partition *p, struct pipeline *pipeline, const char *run_id,
                int64_t silent_ms, int64_t now_ms, struct err *err)
{
    const struct engine_input input = {
        .kind = run_id ? ENGINE_SILENCE : ENGINE_LOOK,
        .ce_id = "",
        .run_id = run_id,
        .silent_ms = silent_ms,
        .environment = p->io->environment,
        .environment_arg = p->io->arg,
    };

    return decide_own(p, pipeline, &input, now_ms, err);
}

int64_t decide_clock_next(struct partition *p, const struct pipeline *pipeline, int64_t now_ms)
{
    const struct engine_input input = {
        .kind = ENGINE_CLOCK,
        .ce_id = "",
        .environment = p->io->environment,
        .environment_arg = p->io->arg,
    };
    const uint8_t hash[SHA256_SIZE] = {0};
    struct engine_state *state = engine_state_clone(pipeline->latest);
    int64_t next = engine_state_deadline(state);

    while (next <= now_ms) {
        struct making *m = making_new(p, GANTRY__V1__CAUSE_KIND__CAUSE_KIND_CLOCK, now_ms);
        int rc;

        m->decision.time_ms = now_ms;
        set_pipeline(m, state);
        rc = engine_step(state, &input, p->chain.epoch, now_ms, &m->decision, NULL, NULL);
        if (rc > 0)
            rc = engine_fold(state, &m->decision, hash, NULL) == 0 ? 1 : -1;
        making_free(m);
        if (rc <= 0)
            break;
        next = engine_state_deadline(state);
    }
    engine_state_free(state);
    return next;
}

bool decide_empty_due(const struct partition *p)
{
    if (p->in_flight > 0 || !p->head_any)
        return false;
    if (p->published_matter > p->recorded_published)
        return true;
    for (size_t i = 0; i < PARTITION_INPUTS; i++) {
        enum topic topic = partition_inputs[i];

        if (p->inputs[topic].settled.known &&
            p->inputs[topic].settled.next_offset != p->recorded_next[topic])
            return true;
    }
    return false;
}

int decide_empty(struct partition *p, struct err *err)
{
    struct making *m = making_new(p, GANTRY__V1__CAUSE_KIND__CAUSE_KIND_CLOCK, partition_now(p));
    bool dropped;

    m->decision.pipeline = (char *)"";
    p->caused_mono_ms = partition_mono(p);
    if (append_decision(p, m, &dropped, err) < 0) {
        making_free(m);
        return -1;
    }
    keep(m);
    metric_add(p->metrics->decisions_empty, 1);
    return 0;
}

int decide_genesis(struct partition *p, struct err *err)
{
    Gantry__V1__Genesis genesis = GANTRY__V1__GENESIS__INIT;
    Gantry__V1__Change change = GANTRY__V1__CHANGE__INIT;
    Gantry__V1__Change *changes[] = {&change};
    char chain_id[ID_SIZE];
    struct making *m = making_new(p, GANTRY__V1__CAUSE_KIND__CAUSE_KIND_START, partition_now(p));
    bool dropped;
    int rc;

    id_random(chain_id);
    genesis.epoch = (uint64_t)m->decision.time_ms;
    genesis.chain_id = chain_id;
    genesis.partition = p->number;
    genesis.partition_count = p->count;
    change.what_case = GANTRY__V1__CHANGE__WHAT_GENESIS;
    change.genesis = &genesis;
    m->decision.pipeline = (char *)"";
    m->decision.epoch = genesis.epoch;
    m->decision.changes = changes;
    m->decision.n_changes = 1;
    rc = append_decision(p, m, &dropped, err);
    m->decision.changes = NULL; /* not the engine's */
    m->decision.n_changes = 0;
    if (rc < 0)
        making_free(m);
    return rc;
}
