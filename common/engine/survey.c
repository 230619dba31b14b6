#include "engine/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/engine.h"
#include "engine/links.h"
#include "engine/saved.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"

void survey_init(struct survey *survey, int32_t partition, int32_t partition_count, int64_t begin,
                 int64_t end)
{
    *survey = (struct survey){
        .partition = partition,
        .partition_count = partition_count,
        .begin = begin,
        .end = end,
        .saved = saved_new(),
        .checkpoint = -1,
        .lost_head = -1,
        .numbers = map_new(free),
        .first = -1,
        .last = -1,
        .links = links_new(),
        .given = map_new(free),
    };
    chain_init(&survey->whole.chain);
    survey->whole.tried = true;
}

static void line_release(struct survey_line *line)
{
    event_free(line->genesis);
}

void survey_release(struct survey *survey)
{
    saved_free(survey->saved);
    map_free(survey->numbers);
    map_free(survey->given);
    links_free(survey->links);
    line_release(&survey->whole);
    line_release(&survey->resumed[0]);
    line_release(&survey->resumed[1]);
}

void survey_state(struct survey *survey, const void *key, size_t key_len, const void *value,
                  size_t value_len)
{
    saved_put(survey->saved, key, key_len, value, value_len);
}

/* ---- records ---- */

static void raise_numbers(struct map *numbers, const char *pipeline, uint64_t release,
                          uint64_t sequence)
{
    struct survey_numbers *now = map_get(numbers, pipeline);

    if (!now) {
        now = mem_alloc(sizeof(*now));
        *now = (struct survey_numbers){1, 1};
        map_set(numbers, pipeline, now);
    }
    if (release > now->release)
        now->release = release;
    if (sequence > now->sequence)
        now->sequence = sequence;
}

static void raise_all(struct map *to, const struct map *from)
{
    for (struct map_iter it = {0}; map_next(from, &it);) {
        const struct survey_numbers *numbers = it.value;

        raise_numbers(to, it.key, numbers->release, numbers->sequence);
    }
}

/* Whether it counts or not: nothing that was written down is given twice. */
static void note_given(struct survey *survey, const Gantry__V1__Decision *decision)
{
    const Gantry__V1__Genesis *genesis = chain_genesis_of(decision);
    uint64_t release = 1;

    if (decision->epoch > survey->epoch_max)
        survey->epoch_max = decision->epoch;
    for (size_t i = 0; genesis && i < genesis->n_numbers; i++)
        raise_numbers(survey->given, genesis->numbers[i]->pipeline,
                      genesis->numbers[i]->next_release, genesis->numbers[i]->next_sequence);
    if (str_empty(decision->pipeline))
        return;
    for (size_t i = 0; i < decision->n_changes; i++)
        if (decision->changes[i]->what_case == GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED)
            release = decision->changes[i]->release_started->release + 1;
    raise_numbers(survey->given, decision->pipeline, release, decision->sequence + 1);
}

static void line_fold(struct survey_line *line, const Gantry__V1__Decision *decision,
                      int64_t offset, const void *value, size_t len)
{
    enum chain_verdict verdict;

    if (!line->tried || line->broken)
        return;
    if (chain_fold(&line->chain, value, len, decision, offset, &verdict, &line->why) < 0) {
        line->broken = true;
        line->broken_at = offset;
    } else if (verdict == CHAIN_VOID) {
        line->anew = line->anew || chain_begins_anew(&line->chain, decision);
    } else if (chain_genesis_of(decision)) {
        event_free(line->genesis);
        line->genesis = event_clone(chain_genesis_of(decision));
    }
}

static void look_for_heads(struct survey *survey, int64_t offset, const uint8_t hash[SHA256_SIZE])
{
    for (size_t i = 0; i < saved_count(survey->saved); i++) {
        const Gantry__V1__Checkpoint *checkpoint = saved_checkpoint(survey->saved, i);
        struct survey_line *line = &survey->resumed[i];

        if (checkpoint->head_offset != offset ||
            memcmp(checkpoint->head_hash.data, hash, SHA256_SIZE) != 0)
            continue;
        line->tried = true;
        chain_resume(&line->chain, checkpoint);
        line->genesis = event_clone(checkpoint->genesis);
    }
}

/* Where nothing tells which records counted: what the longest chain among them says. */
static void follow_links(struct survey *survey, const Gantry__V1__Decision *decision,
                         int64_t offset, const uint8_t hash[SHA256_SIZE])
{
    bool extends = decision->previous.len == SHA256_SIZE;
    size_t depth = links_add(survey->links, offset, hash, extends ? decision->previous.data : NULL);

    if (depth <= survey->links_depth)
        return;
    survey->links_depth = depth;
    if (decision->n_positions == 0)
        return;
    survey->positions_known = true;
    chain_take_positions(survey->positions, decision->positions, decision->n_positions);
}

/* All of promoter.state was given once there is something else to do. */
static void read_saved(struct survey *survey)
{
    if (!survey->saved_read)
        saved_read(survey->saved);
    survey->saved_read = true;
}

void survey_record(struct survey *survey, int64_t offset, const void *value, size_t len)
{
    uint8_t hash[SHA256_SIZE];
    void *message;

    read_saved(survey);
    survey->records++;
    survey->first = survey->first < 0 ? offset : survey->first;
    survey->last = offset;
    sha256(value, len, hash);
    /* What is no Decision at all extends nothing. */
    if (!value || event_parse(&message, TOPIC_LEDGER, value, len, NULL) < 0)
        return;
    note_given(survey, message);
    line_fold(&survey->whole, message, offset, value, len);
    for (size_t i = 0; i < 2; i++)
        line_fold(&survey->resumed[i], message, offset, value, len);
    look_for_heads(survey, offset, hash);
    if (!survey->whole.chain.begun)
        follow_links(survey, message, offset, hash);
    event_free(message);
}

/* ---- judging ---- */

/* -1: a snapshot that it names cannot be used. */
static int add_snapshots(const struct survey *survey, const Gantry__V1__Checkpoint *checkpoint,
                         struct map *numbers)
{
    for (size_t i = 0; i < checkpoint->n_snapshots; i++) {
        struct engine_state *state;

        if (saved_state(survey->saved, checkpoint->snapshots[i], &state, NULL) < 0)
            return -1;
        if (numbers)
            raise_numbers(numbers, engine_state_pipeline(state), engine_state_next_release(state),
                          engine_state_sequence(state) + 1);
        engine_state_free(state);
    }
    return 0;
}

static void choose_line(struct survey *survey)
{
    for (size_t i = 0; i < saved_count(survey->saved); i++) {
        const struct survey_line *line = &survey->resumed[i];

        if (!line->tried || line->anew ||
            add_snapshots(survey, saved_checkpoint(survey->saved, i), NULL) < 0)
            continue;
        survey->line = line;
        survey->checkpoint = (int)i;
        return;
    }
    if (survey->whole.chain.begun || survey->whole.broken)
        survey->line = &survey->whole;
}

/* Checkpoints of what the ledger has no more, and no operator knew. */
static void find_lost(struct survey *survey)
{
    for (size_t i = 0; i < saved_count(survey->saved); i++) {
        const Gantry__V1__Checkpoint *checkpoint = saved_checkpoint(survey->saved, i);
        uint64_t epoch = checkpoint->genesis->epoch;

        if (epoch > survey->epoch_max)
            survey->epoch_max = epoch;
        if (checkpoint->head_offset < survey->end ||
            (survey->line && survey->line->genesis &&
             chain_supersedes(survey->line->genesis, epoch, checkpoint->head_offset)))
            continue;
        if (checkpoint->head_offset > survey->lost_head)
            survey->lost_head = checkpoint->head_offset;
        if (epoch > survey->lost_epoch)
            survey->lost_epoch = epoch;
        /* Numbers beyond those of the chain that is left were given all the same. */
        (void)add_snapshots(survey, checkpoint, survey->numbers);
    }
}

static void judge_nothing(struct survey *survey)
{
    raise_all(survey->numbers, survey->given);
    for (size_t i = 0; i < saved_count(survey->saved); i++) {
        const Gantry__V1__Checkpoint *checkpoint = saved_checkpoint(survey->saved, i);
        bool readable = add_snapshots(survey, checkpoint, survey->numbers) == 0;

        survey->numbers_complete = survey->numbers_complete || readable;
        if (survey->positions_known)
            continue;
        survey->positions_known = true;
        chain_take_positions(survey->positions, checkpoint->positions, checkpoint->n_positions);
    }
    if (survey->records > 0)
        survey->faults |= SURVEY_NO_GENESIS;
    else if (survey->end > 0 || saved_any(survey->saved))
        survey->faults |= SURVEY_EMPTIED;
}

int survey_judge(struct survey *survey, struct err *err)
{
    const struct survey_line *line;

    read_saved(survey);
    choose_line(survey);
    line = survey->line;
    if (line && line->broken) {
        *err = line->why;
        return -1;
    }
    find_lost(survey);
    if (survey->lost_head >= 0)
        survey->faults |= SURVEY_END;
    if (!line) {
        judge_nothing(survey);
    } else {
        survey->numbers_complete = true;
        if (line->chain.partition != survey->partition ||
            line->chain.partition_count != survey->partition_count)
            survey->faults |= SURVEY_COUNT;
    }
    if (survey->begin > 0 && survey->records > 0 &&
        !(line && line->genesis && chain_knows_beginning(line->genesis, survey->begin)))
        survey->faults |= SURVEY_BEGINNING;
    return 0;
}

/* ---- the genesis ---- */

struct making {
    Gantry__V1__Decision decision;
    Gantry__V1__Cause cause;
    Gantry__V1__Actor actor;
    char subject[128];
    Gantry__V1__Change change, *changes[1];
    Gantry__V1__Genesis genesis;
    Gantry__V1__Position positions[TOPIC_COUNT], *position_ptrs[TOPIC_COUNT];
    Gantry__V1__PipelineNumbers *numbers, **number_ptrs;
};

static int check_order(const struct survey *survey, const struct survey_order *order,
                       struct err *err)
{
    if (survey->faults & SURVEY_COUNT)
        return err_set(err, ERR_CONFLICT,
                       "the ledger was begun as partition %d of %d and is now %d of %d: put the "
                       "partition count right, or begin a new ledger under another topic-prefix",
                       survey->line->chain.partition, survey->line->chain.partition_count,
                       survey->partition, survey->partition_count);
    if (!survey->faults && survey->end == 0)
        return err_set(err, ERR_CONFLICT,
                       "the ledger's partition %d is new: the promoter begins it by itself",
                       survey->partition);
    if (!survey->faults && !order->force)
        return err_set(err, ERR_CONFLICT,
                       "nothing is missing in the ledger's partition %d: the promoter can go on "
                       "from it as it is",
                       survey->partition);
    if (str_empty(order->by) || str_empty(order->reason))
        return err_set(err, ERR_INVALID, "a new epoch needs the operator's name and a reason");
    if (!survey->numbers_complete && !order->numbers)
        return err_set(err, ERR_NOT_FOUND,
                       "no genesis and no checkpoint is left, so nothing tells all pipelines of "
                       "this partition and the releases they had");
    return 0;
}

/* What the operator gave may only be beyond what is known. */
static int merge_numbers(const struct survey *survey, const struct survey_order *order,
                         struct map *out, struct err *err)
{
    raise_all(out, survey->numbers);
    if (!order->numbers)
        return 0;
    for (struct map_iter it = {0}; map_next(order->numbers, &it);) {
        const struct survey_numbers *given = it.value, *known = map_get(survey->numbers, it.key);
        const struct survey_numbers *used = map_get(survey->given, it.key);

        if (topic_partition(it.key, strlen(it.key), survey->partition_count) != survey->partition)
            return err_set(err, ERR_INVALID,
                           "pipeline %s is not of partition %d but of %d: give its numbers there",
                           it.key, survey->partition,
                           topic_partition(it.key, strlen(it.key), survey->partition_count));
        if (!known || (used && used->release > known->release))
            known = used ? used : known;
        if (known && (given->release < known->release ||
                      (given->sequence && given->sequence < known->sequence)))
            return err_set(err, ERR_INVALID,
                           "pipeline %s: its next release is at least %llu and its next sequence "
                           "at least %llu, and not %llu and %llu: a number is given once",
                           it.key, (unsigned long long)known->release,
                           (unsigned long long)known->sequence, (unsigned long long)given->release,
                           (unsigned long long)given->sequence);
        raise_numbers(out, it.key, given->release, given->sequence);
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(Gantry__V1__PipelineNumbers *const *)a)->pipeline,
                  (*(Gantry__V1__PipelineNumbers *const *)b)->pipeline);
}

static void set_numbers(struct making *m, const struct map *numbers)
{
    size_t n = 0;

    m->numbers = mem_alloc((map_count(numbers) + 1) * sizeof(*m->numbers));
    m->number_ptrs = mem_alloc((map_count(numbers) + 1) * sizeof(*m->number_ptrs));
    for (struct map_iter it = {0}; map_next(numbers, &it); n++) {
        const struct survey_numbers *from = it.value;

        gantry__v1__pipeline_numbers__init(&m->numbers[n]);
        m->numbers[n].pipeline = (char *)it.key;
        m->numbers[n].next_release = from->release;
        m->numbers[n].next_sequence = from->sequence;
        m->number_ptrs[n] = &m->numbers[n];
    }
    qsort(m->number_ptrs, n, sizeof(*m->number_ptrs), by_name);
    m->genesis.numbers = m->number_ptrs;
    m->genesis.n_numbers = n;
}

/* Where a state begins empty, definitions are read from their beginning: it has none. */
static void set_positions(struct making *m, const struct survey *survey,
                          const struct survey_order *order)
{
    size_t n = 0;

    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        const struct chain_position *known = &survey->positions[topic];
        Gantry__V1__Position *to = &m->positions[n];
        bool by_end =
            !survey->positions_known && order->input_ends && order->input_ends[topic] >= 0;

        if (topic == TOPIC_DEFINITION || (!known->known && !by_end))
            continue;
        gantry__v1__position__init(to);
        to->topic = (char *)topic_info((enum topic)topic)->name;
        to->next_offset = by_end ? order->input_ends[topic] : known->next_offset;
        to->settled_offset = by_end ? -1 : known->settled_offset;
        if (!by_end)
            to->settled_ce_id = (char *)known->settled_ce_id;
        m->position_ptrs[n++] = to;
    }
    m->decision.positions = m->position_ptrs;
    m->decision.n_positions = n;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void set_genesis(struct making *m, const struct survey *survey,
                        const struct survey_order *order)
{
    Gantry__V1__Genesis *genesis = &m->genesis;

    genesis->epoch = (uint64_t)max64(order->now_ms, 1);
    if (genesis->epoch <= survey->epoch_max)
        genesis->epoch = survey->epoch_max + 1;
    genesis->chain_id = (char *)order->chain_id;
    genesis->partition = survey->partition;
    genesis->partition_count = survey->partition_count;
    genesis->operator_ = (char *)order->by;
    genesis->reason = (char *)order->reason;
    genesis->supersedes_offset = max64(survey->end - 1, survey->lost_head);
    genesis->begins_at = survey->line ? survey->begin : survey->end;
}

static void make(struct making *m, const struct survey *survey, const struct survey_order *order,
                 const struct map *numbers)
{
    const struct chain *chain = survey->line ? &survey->line->chain : NULL;
    Gantry__V1__Decision *decision = &m->decision;

    memset(m, 0, sizeof(*m));
    gantry__v1__decision__init(decision);
    gantry__v1__cause__init(&m->cause);
    gantry__v1__actor__init(&m->actor);
    gantry__v1__change__init(&m->change);
    gantry__v1__genesis__init(&m->genesis);
    set_genesis(m, survey, order);
    set_numbers(m, numbers);
    snprintf(m->subject, sizeof(m->subject), "operator:%s", order->by);
    m->actor.subject = m->subject;
    m->actor.name = (char *)order->by;
    m->cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_OPERATOR;
    m->cause.actor = &m->actor;
    m->change.what_case = GANTRY__V1__CHANGE__WHAT_GENESIS;
    m->change.genesis = &m->genesis;
    m->changes[0] = &m->change;
    decision->cause = &m->cause;
    decision->changes = m->changes;
    decision->n_changes = 1;
    decision->epoch = m->genesis.epoch;
    decision->time_ms = max64(max64(order->now_ms, 1), chain ? chain->time_ms : 0);
    if (!chain) {
        set_positions(m, survey, order);
        return;
    }
    decision->published_below = chain->published_below;
    decision->previous.data = (uint8_t *)chain->head;
    decision->previous.len = SHA256_SIZE;
}

static void set_meta(const struct making *m, const struct buf *value, struct event_meta *meta)
{
    char hex[SHA256_HEX_SIZE];

    memset(meta, 0, sizeof(*meta));
    sha256_hex(value->data, value->len, hex);
    snprintf(meta->id, sizeof(meta->id), "%.32s", hex);
    snprintf(meta->source, sizeof(meta->source), "/gantry/cli");
    snprintf(meta->type, sizeof(meta->type), "%s", event_type_of(TOPIC_LEDGER, &m->decision));
    event_trace_of(meta->traceparent, "", meta->id);
    meta->time_ms = m->decision.time_ms;
}

int survey_genesis(const struct survey *survey, const struct survey_order *order, struct buf *value,
                   struct event_meta *meta, struct err *err)
{
    struct map *numbers = map_new(free);
    struct making m;
    int rc = -1;

    if (check_order(survey, order, err) < 0 || merge_numbers(survey, order, numbers, err) < 0)
        goto out;
    make(&m, survey, order, numbers);
    rc = event_check(TOPIC_LEDGER, &m.decision, err);
    if (rc == 0)
        rc = event_pack(value, &m.decision, err);
    if (rc == 0)
        set_meta(&m, value, meta);
    else
        err_wrap(err, "the new genesis");
    free(m.numbers);
    free(m.number_ptrs);
out:
    map_free(numbers);
    return rc;
}
