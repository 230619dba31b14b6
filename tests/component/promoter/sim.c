#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "metrics/metrics.h"

enum sim_producer { SIM_LEDGER, SIM_PUBLISHER, SIM_PRODUCERS };

struct send {
    enum topic topic;
    int32_t partition;
    struct sim_record *record;
    bus_ack_fn *ack;
    void *ack_arg;
    bool landed;
    struct bus_ack told;
    struct send *next;
};

struct question {
    struct bus_end *ends;
    size_t count;
    partition_ends_fn *done;
    void *arg;
    struct question *next;
};

struct reader {
    int64_t position; /* -1: does not read */
    int64_t end_told; /* the position where the end was told; -1: not yet */
    bool paused;
};

struct sim_promoter {
    struct sim *sim;
    struct partition_io io;
    struct partition_metrics metrics;
    struct metrics *registry;
    struct partition *partitions[SIM_PARTITIONS];
    struct reader readers[TOPIC_COUNT][SIM_PARTITIONS];
    int64_t wake_ms[SIM_PARTITIONS];
    struct send *sends[SIM_PRODUCERS]; /* oldest first */
    struct question *questions;
    bool asleep, cut_appends, cut_acks;
};

/* What a dead producer left on its way. */
struct zombie {
    struct send *sends;
    struct zombie *next;
};
static struct zombie *zombies; /* of the one simulation that runs */

/* ---- records and logs ---- */

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    uint64_t x = sim->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    sim->random = x;
    return (x * UINT64_C(0x2545F4914F6CDD1D) >> 20) % below;
}

static void record_free(struct sim_record *record)
{
    if (!record)
        return;
    for (size_t i = 0; i < record->header_count; i++) {
        free((void *)record->headers[i].name);
        free((void *)record->headers[i].value);
    }
    free(record->key);
    free(record->value);
    free(record);
}

static struct sim_record *record_new(const void *key, size_t key_len, const void *value, size_t len,
                                     const struct event_header *headers, size_t header_count)
{
    struct sim_record *record = mem_alloc(sizeof(*record));

    record->key = mem_strndup(key, key_len);
    record->value = value ? mem_dup(value, len ? len : 1) : NULL;
    record->value_len = len;
    record->header_count = header_count < EVENT_HEADERS_MAX ? header_count : EVENT_HEADERS_MAX;
    for (size_t i = 0; i < record->header_count; i++) {
        record->headers[i].name = mem_strdup(headers[i].name);
        record->headers[i].value = mem_dup(headers[i].value, headers[i].len ? headers[i].len : 1);
        record->headers[i].len = headers[i].len;
    }
    return record;
}

static int64_t log_append(struct sim *sim, enum topic topic, int32_t partition,
                          struct sim_record *record)
{
    struct sim_log *log = &sim->logs[topic][partition];

    record->timestamp_ms = sim->now_ms;
    log->items = mem_realloc(log->items, log->count + 1, sizeof(*log->items));
    log->items[log->count] = record;
    return (int64_t)log->count++;
}

int64_t sim_put_raw(struct sim *sim, enum topic topic, int32_t partition, const char *key,
                    const char *ce_id, const void *value, size_t len)
{
    struct event_meta meta = {.time_ms = sim->now_ms};
    char time_text[CLOCK_RFC3339_SIZE];
    struct event_header headers[EVENT_HEADERS_MAX];
    size_t count = 0;

    if (ce_id) {
        snprintf(meta.id, sizeof(meta.id), "%s", ce_id);
        snprintf(meta.source, sizeof(meta.source), "/test");
        snprintf(meta.type, sizeof(meta.type), "gantry.test.made.v1");
        event_trace_of(meta.traceparent, "", ce_id);
        count = event_headers(&meta, time_text, headers);
    }
    if (partition < 0)
        partition = topic_partition(key, strlen(key), SIM_PARTITIONS);
    return log_append(sim, topic, partition,
                      record_new(key, strlen(key), value, len, headers, count));
}

void sim_copy(struct sim *sim, const struct bus_record *record)
{
    log_append(sim, record->topic, record->partition,
               record_new(record->key, record->key_len, record->value, record->value_len,
                          record->headers, record->header_count));
}

int64_t sim_put(struct sim *sim, enum topic topic, int32_t partition, const char *key,
                const char *ce_id, const void *message)
{
    struct buf value;
    struct err err;
    int64_t offset;

    buf_init(&value, EVENT_VALUE_MAX);
    if (event_pack(&value, message, &err) < 0) {
        fprintf(stderr, "sim: %s\n", err.msg);
        abort();
    }
    offset = sim_put_raw(sim, topic, partition, key, ce_id, value.data, value.len);
    buf_release(&value);
    return offset;
}

static void log_clear(struct sim_log *log)
{
    for (size_t i = 0; i < log->count; i++)
        record_free(log->items[i]);
    free(log->items);
    *log = (struct sim_log){0};
}

void sim_drop_last(struct sim *sim, enum topic topic, int32_t partition)
{
    struct sim_log *log = &sim->logs[topic][partition];

    record_free(log->items[--log->count]);
}

void sim_remake(struct sim *sim, enum topic topic, int32_t partition)
{
    log_clear(&sim->logs[topic][partition]);
}

/* ---- what a partition asks ---- */

static int64_t io_now(void *arg)
{
    const struct sim_promoter *pr = arg;

    return pr->sim->now_ms + pr->sim->skew_ms;
}

static int64_t io_mono(void *arg)
{
    const struct sim_promoter *pr = arg;

    return pr->sim->now_ms;
}

static int io_produce(enum topic topic, int32_t partition, const void *key, size_t key_len,
                      const void *value, size_t value_len, const struct event_header *headers,
                      size_t header_count, bus_ack_fn *ack, void *ack_arg, void *arg,
                      struct err *err)
{
    struct sim_promoter *pr = arg;
    struct send *send = mem_alloc(sizeof(*send));
    struct send **last = &pr->sends[topic == TOPIC_LEDGER ? SIM_LEDGER : SIM_PUBLISHER];

    (void)err;
    send->topic = topic;
    send->partition = partition >= 0 ? partition : topic_partition(key, key_len, SIM_PARTITIONS);
    send->record = record_new(key, key_len, value, value_len, headers, header_count);
    send->ack = ack;
    send->ack_arg = ack_arg;
    while (*last)
        last = &(*last)->next;
    *last = send;
    return 0;
}

static int io_deadletter(const struct bus_record *record, const char *reason, bus_ack_fn *ack,
                         void *ack_arg, void *arg, struct err *err)
{
    const struct event_header header = {"gantry_reason", reason, strlen(reason)};

    return io_produce(TOPIC_DEADLETTER, 0, record->key, record->key_len, record->value,
                      record->value_len, &header, 1, ack, ack_arg, arg, err);
}

static int io_follow(enum topic topic, int32_t partition, int64_t offset, void *arg,
                     struct err *err)
{
    struct sim_promoter *pr = arg;
    struct reader *reader = &pr->readers[topic][partition];

    (void)err;
    reader->position = offset;
    reader->end_told = -1;
    return 0;
}

static void io_unfollow(enum topic topic, int32_t partition, void *arg)
{
    struct sim_promoter *pr = arg;

    pr->readers[topic][partition] = (struct reader){.position = -1, .end_told = -1};
}

static void io_pause(enum topic topic, int32_t partition, bool paused, void *arg)
{
    struct sim_promoter *pr = arg;

    if (pr->readers[topic][partition].position >= 0)
        pr->readers[topic][partition].paused = paused;
}

static void io_commit(enum topic topic, int32_t partition, int64_t next_offset, void *arg)
{
    (void)topic;
    (void)partition;
    (void)next_offset;
    (void)arg;
}

static void io_ask_ends(const struct bus_end *ask, size_t count, partition_ends_fn *done,
                        void *done_arg, void *arg)
{
    struct sim_promoter *pr = arg;
    struct question *question = mem_alloc(sizeof(*question));
    struct question **last = &pr->questions;

    question->ends = mem_dup(ask, count * sizeof(*ask));
    question->count = count;
    question->done = done;
    question->arg = done_arg;
    while (*last)
        last = &(*last)->next;
    *last = question;
}

static void io_wake(struct partition *partition, int64_t mono_ms, void *arg)
{
    struct sim_promoter *pr = arg;

    pr->wake_ms[partition->number] = mono_ms;
}

static const struct engine_environment *io_environment(const char *name, void *arg)
{
    const struct engine_environment *environment = ((struct sim_promoter *)arg)->sim->environment;

    return environment && strcmp(environment->name, name) == 0 ? environment : NULL;
}

static bool io_environments_known(void *arg)
{
    (void)arg;
    return true;
}

static void io_changed(struct partition *partition, void *arg)
{
    (void)partition;
    (void)arg;
}

/* ---- promoters ---- */

static void make_metrics(struct sim_promoter *pr)
{
    struct metric **all = (struct metric **)&pr->metrics;

    pr->registry = metrics_new();
    for (size_t i = 0; i < sizeof(pr->metrics) / sizeof(*all); i++) {
        char name[32];

        snprintf(name, sizeof(name), "m%zu", i);
        all[i] = metrics_gauge(pr->registry, name, NULL, "");
    }
    pr->metrics.publish_seconds = metrics_histogram(pr->registry, "publish", NULL, "");
    pr->metrics.restore_seconds = metrics_histogram(pr->registry, "restore", NULL, "");
}

void sim_start(struct sim *sim, int promoter)
{
    struct sim_promoter *pr = mem_alloc(sizeof(*pr));

    pr->sim = sim;
    make_metrics(pr);
    pr->io = (struct partition_io){
        .now_ms = io_now,
        .mono_ms = io_mono,
        .produce = io_produce,
        .deadletter = io_deadletter,
        .follow = io_follow,
        .unfollow = io_unfollow,
        .pause = io_pause,
        .commit = io_commit,
        .ask_ends = io_ask_ends,
        .wake = io_wake,
        .environment = io_environment,
        .environments_known = io_environments_known,
        .changed = io_changed,
        .arg = pr,
    };
    for (int t = 0; t < TOPIC_COUNT; t++)
        for (int i = 0; i < SIM_PARTITIONS; i++)
            pr->readers[t][i] = (struct reader){.position = -1, .end_told = -1};
    sim->promoters[promoter] = pr;
    for (int i = 0; i < SIM_PARTITIONS; i++) {
        const struct partition_conf conf = {.number = i,
                                            .count = SIM_PARTITIONS,
                                            .checkpoint_every_ms = 500,
                                            .io = &pr->io,
                                            .metrics = &pr->metrics};

        pr->wake_ms[i] = INT64_MAX;
        pr->partitions[i] = partition_new(&conf);
    }
}

static void tell_unknown(struct send *sends)
{
    for (struct send *send = sends; send; send = send->next) {
        struct bus_ack ack = {.unknown = true, .topic = send->topic, .partition = send->partition};

        err_set(&ack.err, ERR_FATAL, "the producer died");
        if (send->ack)
            send->ack(&ack, send->ack_arg);
    }
}

/* What had not landed may still do so, in its order, or never. */
static void leave_behind(struct sim *sim, struct send *sends)
{
    struct zombie *zombie = mem_alloc(sizeof(*zombie));
    struct send **at = &zombie->sends;

    (void)sim;
    while (sends) {
        struct send *send = sends;

        sends = send->next;
        send->next = NULL;
        if (send->landed) {
            free(send);
            continue;
        }
        *at = send;
        at = &send->next;
    }
    zombie->next = zombies;
    zombies = zombie;
}

void sim_fatal(struct sim *sim, int promoter, bool ledger)
{
    struct sim_promoter *pr = sim->promoters[promoter];
    enum sim_producer which = ledger ? SIM_LEDGER : SIM_PUBLISHER;
    struct send *sends = pr->sends[which];

    sim->fatals++;
    pr->sends[which] = NULL;
    tell_unknown(sends);
    leave_behind(sim, sends);
    for (int i = 0; i < SIM_PARTITIONS; i++) {
        if (ledger)
            partition_on_ledger_producer_lost(pr->partitions[i]);
        else
            partition_on_publishers_lost(pr->partitions[i]);
    }
}

static void promoter_free(struct sim *sim, struct sim_promoter *pr)
{
    struct send *left[SIM_PRODUCERS];

    for (int i = 0; i < SIM_PARTITIONS; i++)
        partition_close(pr->partitions[i]);
    for (int i = 0; i < SIM_PRODUCERS; i++) {
        left[i] = pr->sends[i];
        pr->sends[i] = NULL;
        tell_unknown(left[i]);
        leave_behind(sim, left[i]);
    }
    while (pr->questions) {
        struct question *question = pr->questions;
        struct err err;

        pr->questions = question->next;
        err_set(&err, ERR_UNAVAILABLE, "gone");
        question->done(question->ends, question->count, &err, question->arg);
        free(question->ends);
        free(question);
    }
    metrics_free(pr->registry);
    free(pr);
}

void sim_kill(struct sim *sim, int promoter)
{
    struct sim_promoter *pr = sim->promoters[promoter];

    if (!pr)
        return;
    sim->crashes++;
    sim->promoters[promoter] = NULL;
    promoter_free(sim, pr);
}

bool sim_running(const struct sim *sim, int promoter)
{
    return sim->promoters[promoter] != NULL;
}

void sim_sleep(struct sim *sim, int promoter, bool asleep)
{
    sim->promoters[promoter]->asleep = asleep;
}

void sim_cut(struct sim *sim, int promoter, bool appends, bool acks)
{
    sim->promoters[promoter]->cut_appends = appends;
    sim->promoters[promoter]->cut_acks = acks;
}

struct partition *sim_partition(struct sim *sim, int promoter, int32_t partition)
{
    return sim->promoters[promoter]->partitions[partition];
}

/* ---- what may happen ---- */

static void fill_record(const struct sim_record *from, enum topic topic, int32_t partition,
                        int64_t offset, struct bus_record *out)
{
    *out = (struct bus_record){
        .topic = topic,
        .partition = partition,
        .offset = offset,
        .timestamp_ms = from->timestamp_ms,
        .key = from->key,
        .key_len = strlen(from->key),
        .value = from->value,
        .value_len = from->value_len,
        .headers = from->headers,
        .header_count = from->header_count,
    };
}

static void deliver_record(struct sim_promoter *pr, enum topic topic, int32_t number,
                           const struct bus_record *record)
{
    struct partition *p = pr->partitions[number];

    if (topic == TOPIC_LEDGER)
        partition_on_ledger(p, record);
    else if (topic == TOPIC_PROMOTER_STATE)
        partition_on_state(p, record);
    else
        partition_on_input(p, record);
}

static void deliver_end(struct sim_promoter *pr, enum topic topic, int32_t number, int64_t end)
{
    struct partition *p = pr->partitions[number];

    if (topic == TOPIC_LEDGER)
        partition_on_ledger_end(p, end);
    else if (topic == TOPIC_PROMOTER_STATE)
        partition_on_state_end(p, end);
    else
        partition_on_input_end(p, topic, end);
}

static bool read_one(struct sim_promoter *pr, enum topic topic, int32_t number)
{
    struct reader *reader = &pr->readers[topic][number];
    const struct sim_log *log = &pr->sim->logs[topic][number];
    struct bus_record record;

    if (reader->position < 0 || reader->paused || topic == pr->sim->withheld)
        return false;
    /* Out of range goes on at the earliest, as auto.offset.reset says. */
    if (reader->position < log->begin || reader->position > (int64_t)log->count)
        reader->position = log->begin;
    while (reader->position < (int64_t)log->count && log->items[reader->position]->gone)
        reader->position++;
    if (reader->position < (int64_t)log->count) {
        int64_t offset = reader->position++;

        fill_record(log->items[offset], topic, number, offset, &record);
        deliver_record(pr, topic, number, &record);
        return true;
    }
    if (reader->end_told == reader->position)
        return false;
    reader->end_told = reader->position;
    deliver_end(pr, topic, number, reader->position);
    return true;
}

static bool land(struct sim *sim, struct send *send, bool *refused)
{
    *refused = send->topic == sim->refuses || (sim->value_max && send->topic == TOPIC_LEDGER &&
                                               send->record->value_len > sim->value_max);
    if (*refused) {
        send->told = (struct bus_ack){.topic = send->topic, .partition = send->partition};
        err_set(&send->told.err, ERR_LIMIT, "refused by the test");
        record_free(send->record);
        send->record = NULL;
        return true;
    }
    send->told = (struct bus_ack){.ok = true,
                                  .topic = send->topic,
                                  .partition = send->partition,
                                  .timestamp_ms = sim->now_ms};
    send->told.offset = log_append(sim, send->topic, send->partition, send->record);
    send->record = NULL;
    return true;
}

/* The first of its topic and partition that is not `landed`. */
static bool is_next(const struct send *sends, const struct send *send)
{
    for (; sends != send; sends = sends->next)
        if (!sends->landed && sends->topic == send->topic && sends->partition == send->partition)
            return false;
    return true;
}

/* Order is kept within a partition of a topic only. */
static bool land_one(struct sim_promoter *pr, enum sim_producer which)
{
    struct send *chosen = NULL;
    uint64_t seen = 0;
    bool refused;

    if (pr->cut_appends)
        return false;
    for (struct send *send = pr->sends[which]; send; send = send->next)
        if (!send->landed && is_next(pr->sends[which], send) && sim_random(pr->sim, ++seen) == 0)
            chosen = send;
    if (!chosen)
        return false;
    chosen->landed = true;
    return land(pr->sim, chosen, &refused);
}

static bool ack_one(struct sim_promoter *pr, enum sim_producer which)
{
    struct send **at = &pr->sends[which];
    struct send *send;

    while (*at && !(*at)->landed)
        at = &(*at)->next;
    send = *at;
    if (!send || pr->cut_acks)
        return false;
    *at = send->next;
    if (send->ack)
        send->ack(&send->told, send->ack_arg);
    free(send);
    return true;
}

static bool answer_one(struct sim_promoter *pr)
{
    struct question *question = pr->questions;
    struct err err;

    if (!question)
        return false;
    pr->questions = question->next;
    for (size_t i = 0; i < question->count; i++) {
        const struct sim_log *log =
            &pr->sim->logs[question->ends[i].topic][question->ends[i].partition];

        question->ends[i].begin = log->begin;
        question->ends[i].end = (int64_t)log->count;
    }
    err_set(&err, ERR_TIMEOUT, "Kafka did not answer");
    question->done(question->ends, question->count, pr->sim->ends_fail ? &err : NULL,
                   question->arg);
    free(question->ends);
    free(question);
    return true;
}

static bool tick_one(struct sim_promoter *pr, int32_t number)
{
    if (pr->wake_ms[number] > pr->sim->now_ms)
        return false;
    pr->wake_ms[number] = INT64_MAX;
    partition_tick(pr->partitions[number]);
    return true;
}

static bool zombie_one(struct sim *sim)
{
    struct zombie *zombie = zombies;
    struct send *send;
    bool refused;

    if (!zombie)
        return false;
    send = zombie->sends;
    if (!send) {
        zombies = zombie->next;
        free(zombie);
        return true;
    }
    if (sim_random(sim, 3) == 0) { /* the rest of it is lost */
        while (zombie->sends) {
            send = zombie->sends;
            zombie->sends = send->next;
            record_free(send->record);
            free(send);
            sim->lost++;
        }
        return true;
    }
    zombie->sends = send->next;
    land(sim, send, &refused);
    sim->late_landed++;
    free(send);
    return true;
}

static bool promoter_step(struct sim_promoter *pr, uint64_t what)
{
    int32_t number = (int32_t)(what % SIM_PARTITIONS);

    what /= SIM_PARTITIONS;
    switch (what % 16) {
    case 0:
    case 1:
        return land_one(pr, SIM_LEDGER);
    case 2:
        return land_one(pr, SIM_PUBLISHER);
    case 3:
        return ack_one(pr, SIM_LEDGER);
    case 4:
        return ack_one(pr, SIM_PUBLISHER);
    case 5:
        return answer_one(pr);
    case 6:
        return tick_one(pr, number);
    case 7:
    case 8:
        return read_one(pr, TOPIC_LEDGER, number);
    case 9:
        return read_one(pr, TOPIC_PROMOTER_STATE, number);
    default:
        return read_one(pr, partition_inputs[what / 16 % PARTITION_INPUTS], number);
    }
}

bool sim_step(struct sim *sim)
{
    const uint64_t kinds = 16 * SIM_PARTITIONS * PARTITION_INPUTS;
    uint64_t first = sim_random(sim, kinds), who = sim_random(sim, SIM_PROMOTERS);

    if (sim_random(sim, 40) == 0 && zombie_one(sim))
        return true;
    for (uint64_t i = 0; i < kinds; i++) {
        for (uint64_t j = 0; j < SIM_PROMOTERS; j++) {
            struct sim_promoter *pr = sim->promoters[(who + j) % SIM_PROMOTERS];

            if (pr && !pr->asleep && promoter_step(pr, (first + i) % kinds))
                return true;
        }
    }
    return zombie_one(sim);
}

static int64_t next_wake(const struct sim *sim)
{
    int64_t next = INT64_MAX;

    for (int i = 0; i < SIM_PROMOTERS; i++)
        for (int j = 0; sim->promoters[i] && !sim->promoters[i]->asleep && j < SIM_PARTITIONS; j++)
            if (sim->promoters[i]->wake_ms[j] < next)
                next = sim->promoters[i]->wake_ms[j];
    return next;
}

void sim_settle(struct sim *sim, int64_t horizon_ms)
{
    int64_t until = sim->now_ms + horizon_ms;

    for (size_t i = 0; i < 2000000; i++) {
        int64_t next;

        if (sim_step(sim))
            continue;
        next = next_wake(sim);
        if (next > until)
            return;
        if (next > sim->now_ms)
            sim->now_ms = next;
    }
    fprintf(stderr, "sim: it never comes to rest\n");
    abort();
}

/* ---- life ---- */

void sim_init(struct sim *sim, uint64_t seed)
{
    *sim = (struct sim){.now_ms = INT64_C(1700000000000),
                        .random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1,
                        .withheld = TOPIC_COUNT,
                        .refuses = TOPIC_COUNT};
}

void sim_release(struct sim *sim)
{
    for (int i = 0; i < SIM_PROMOTERS; i++) {
        if (sim->promoters[i])
            promoter_free(sim, sim->promoters[i]);
        sim->promoters[i] = NULL;
    }
    while (zombies)
        zombie_one(sim);
    for (int t = 0; t < TOPIC_COUNT; t++)
        for (int i = 0; i < SIM_PARTITIONS; i++)
            log_clear(&sim->logs[t][i]);
}
