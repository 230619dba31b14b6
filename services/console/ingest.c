#include "services/console/ingest.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/console/schema.h"
#include "store/store_batch.h"
#include "svc/svc.h"

#define PAUSE_BYTES                                                                                \
    (4 * 1024 * 1024) /* read ahead of the writer; a pause throws away what was fetched */
#define RESUME_BYTES   (512 * 1024)
#define SETTLE_MS      5000
#define SPACING_MS     25 /* of transactions: nobody sees it, and a busy pipeline costs a third */
#define PRUNE_MORE_MS  500
#define PRUNE_EVERY_MS (10 * 60 * 1000)

enum { PLACE_EVENT, PLACE_DEFINITION, PLACE_LOG, PLACE_ACCESS, PLACE_COUNT };
static const enum topic followed[PLACE_COUNT] = {TOPIC_EVENT, TOPIC_DEFINITION, TOPIC_LOG,
                                                 TOPIC_ACCESS};

enum item_kind { ITEM_RECORD, ITEM_COMPLETE, ITEM_PRUNE };

/* What goes through the writer. */
struct item {
    enum item_kind kind;
    struct ingest *ingest;
    struct ingest_record record;
    int64_t timestamp_ms;
    bool more; /* of a prune: soon again */
    void *message;
    size_t value_len;
    uint8_t value[];
};

/* How far a partition was read. */
struct place {
    int64_t next_offset; /* committed; 0: nothing yet, and always so of `access` */
    char last_id[64];    /* ce_id of the record before it */
    bool checked;        /* that record, or a later one, was seen since the start */
};

struct ingest {
    struct ingest_conf conf;
    struct ingest_handler handler;
    struct sqlite_db *writer, *reader;
    struct store_batch *batch;
    struct bus_follower *follower;
    struct loop_timer *prune;
    struct place *places[PLACE_COUNT]; /* [partitions] each */
    struct metric *records, *undecodable;
    bool paused;
    bool complete; /* the file once held all there was */
    bool completing;
    bool access_known;
    bool rebuilding;
    bool failing; /* a transaction failed and is tried again */
    bool stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

static int place_index(enum topic topic)
{
    for (int i = 0; i < PLACE_COUNT; i++) {
        if (followed[i] == topic)
            return i;
    }
    return -1;
}

static struct place *place_of(struct ingest *ingest, enum topic topic, int32_t partition)
{
    return &ingest->places[place_index(topic)][partition];
}

static void rebuild(struct ingest *ingest, const char *why);

/* ---- worker ---- */

static void store_position(struct sqlite_db *db, const struct ingest_record *record)
{
    sqlite_exec(db, "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?)",
                SQL_TEXT(topic_info(record->topic)->name), SQL_INT(record->partition),
                SQL_INT(record->offset + 1), SQL_TEXT(record->ce_id));
}

static void unpack(struct item *item)
{
    struct err err = {.code = ERR_NONE};

    if (item->message || item->value_len == 0)
        return;
    if (event_unpack(&item->message, item->record.topic, item->value, item->value_len, &err) == 0)
        return;
    /* Not copied to deadletter: the record stays where it is, and each rebuild of each console
     * would add another copy. */
    item->message = NULL;
    metric_add(item->ingest->undecodable, 1);
    log_warn("record skipped", LOG_S("topic", topic_info(item->record.topic)->name),
             LOG_I("partition", item->record.partition), LOG_I("offset", item->record.offset),
             LOG_E(&err));
}

static void apply_record(struct sqlite_db *db, struct item *item)
{
    struct ingest_record *record = &item->record;
    const struct fold_place place = {.partition = record->partition,
                                     .offset = record->offset,
                                     .ce_id = record->ce_id,
                                     .value = item->value,
                                     .value_len = item->value_len,
                                     .time_ms = item->timestamp_ms};

    unpack(item);
    record->message = item->message;
    if (item->message && record->topic == TOPIC_EVENT) {
        if (!fold_event(db, item->message, &place))
            record->message = NULL;
    } else if (item->message && record->topic == TOPIC_DEFINITION) {
        fold_definition(db, item->message, &place);
    } else if (item->message && record->topic == TOPIC_LOG) {
        fold_log(db, item->message, &item->ingest->conf.limits);
    }
    store_position(db, record);
}

static void apply_item(struct sqlite_db *db, void *arg, void *unused)
{
    struct item *item = arg;

    (void)unused;
    if (item->kind == ITEM_RECORD)
        apply_record(db, item);
    else if (item->kind == ITEM_COMPLETE)
        sqlite_exec(db, "INSERT OR REPLACE INTO meta VALUES ('complete', 1)");
    else
        item->more = fold_prune(db, &item->ingest->conf.limits, clock_now_ms());
}

/* ---- loop ---- */

static void item_free(void *arg, void *unused)
{
    struct item *item = arg;

    (void)unused;
    event_free(item->message);
    free(item);
}

static void add_mark(struct ingest *ingest, enum item_kind kind)
{
    struct item *item = mem_alloc(sizeof(*item));

    item->kind = kind;
    item->ingest = ingest;
    store_batch_add(ingest->batch, item, sizeof(*item));
}

static void note_complete(struct ingest *ingest)
{
    ingest->complete = true;
    svc_ready(ingest->conf.svc, "read-model", true, "");
    if (ingest->prune)
        loop_timer_arm(ingest->prune, SETTLE_MS);
}

static void item_committed(struct ingest *ingest, struct item *item)
{
    struct ingest_record *record = &item->record;

    if (item->kind == ITEM_COMPLETE) {
        note_complete(ingest);
    } else if (item->kind == ITEM_PRUNE) {
        if (item->more && ingest->prune)
            loop_timer_arm(ingest->prune, PRUNE_MORE_MS);
    } else if (item->kind == ITEM_RECORD) {
        place_of(ingest, record->topic, record->partition)->next_offset = record->offset + 1;
        metric_add(ingest->records, 1);
        if (!ingest->rebuilding)
            ingest->handler.applied(record, ingest->handler.arg);
    }
}

static void complete_if_caught_up(struct ingest *ingest)
{
    if (ingest->completing || ingest->rebuilding || !bus_follower_caught_up(ingest->follower))
        return;
    ingest->access_known = true;
    ingest->completing = true;
    add_mark(ingest, ITEM_COMPLETE);
}

static void on_committed(void *const *items, size_t count, void *arg)
{
    struct ingest *ingest = arg;

    for (size_t i = 0; i < count; i++) {
        item_committed(ingest, items[i]);
        item_free(items[i], NULL);
    }
    if (ingest->failing) {
        ingest->failing = false;
        svc_note(ingest->conf.svc, "read-model", NULL);
    }
    if (ingest->paused && store_batch_waiting_bytes(ingest->batch) < RESUME_BYTES &&
        ingest->follower) {
        ingest->paused = false;
        bus_follower_pause(ingest->follower, false);
    }
}

static void on_failed(const struct err *err, void *arg)
{
    struct ingest *ingest = arg;

    if (err->code == ERR_INVALID) {
        rebuild(ingest, err->msg);
        return;
    }
    log_error("read model not written, trying on", LOG_E(err));
    ingest->failing = true;
    svc_note(ingest->conf.svc, "read-model", err->msg);
}

/* Whether the record may be folded; false also where it is the known one before it. */
static bool check_place(struct ingest *ingest, const struct bus_record *record,
                        const struct event_meta *meta)
{
    struct place *place = place_of(ingest, record->topic, record->partition);
    bool first = !place->checked;

    place->checked = true;
    if (!first || place->next_offset == 0)
        return true;
    if (record->offset >= place->next_offset)
        return true; /* what stood before it is gone by retention or compaction */
    if (record->offset == place->next_offset - 1 && str_eq(meta->id, place->last_id))
        return false;
    rebuild(ingest, "a topic is not the one that was read before");
    return false;
}

static void add_record(struct ingest *ingest, const struct bus_record *record,
                       const struct event_meta *meta)
{
    struct item *item = mem_alloc(sizeof(*item) + record->value_len);

    item->kind = ITEM_RECORD;
    item->ingest = ingest;
    item->record.topic = record->topic;
    item->record.partition = record->partition;
    item->record.offset = record->offset;
    snprintf(item->record.ce_id, sizeof(item->record.ce_id), "%s", meta->id);
    item->timestamp_ms = record->timestamp_ms;
    item->value_len = record->value_len;
    if (record->value_len)
        memcpy(item->value, record->value, record->value_len);
    store_batch_add(ingest->batch, item, sizeof(*item) + record->value_len);
    if (!ingest->paused && store_batch_waiting_bytes(ingest->batch) > PAUSE_BYTES) {
        ingest->paused = true;
        bus_follower_pause(ingest->follower, true);
    }
}

static void apply_access(struct ingest *ingest, const struct bus_record *record)
{
    struct err err;
    void *message;

    if (event_unpack(&message, record->topic, record->value, record->value_len, &err) != 0) {
        log_warn("access record skipped", LOG_I("partition", record->partition),
                 LOG_I("offset", record->offset), LOG_E(&err));
        return;
    }
    ingest->handler.access(message, ingest->handler.arg);
    event_free(message);
}

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct ingest *ingest = arg;
    struct event_meta meta = {0};

    if (follower != ingest->follower || ingest->rebuilding)
        return;
    if (record->topic == TOPIC_ACCESS) {
        if (record->value)
            apply_access(ingest, record);
    } else {
        /* Headers that do not fit leave the id empty; the value decides. */
        if (event_read_headers(&meta, record->headers, record->header_count, NULL) != 0)
            meta.id[0] = '\0';
        if (check_place(ingest, record, &meta))
            add_record(ingest, record, &meta);
    }
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg)
{
    struct ingest *ingest = arg;
    struct place *place = place_of(ingest, topic, partition);

    if (follower != ingest->follower || ingest->rebuilding)
        return;
    if (!place->checked && end_offset < place->next_offset)
        rebuild(ingest, "a topic ends before what was read of it");
    else
        complete_if_caught_up(ingest);
}

/* From the last record that was stored, to see whether it is still there. */
static int64_t start_offset(enum topic topic, int32_t partition, void *arg)
{
    int64_t next = place_of(arg, topic, partition)->next_offset;

    return next == 0 ? BUS_BEGINNING : next - 1;
}

/* ---- opening and rebuilding ---- */

static void read_places(struct ingest *ingest)
{
    for (int i = 0; i < PLACE_COUNT; i++) {
        for (int32_t p = 0; p < ingest->conf.partitions; p++)
            ingest->places[i][p] = (struct place){0};
    }
    struct sqlite_rows *rows = sqlite_select(
        ingest->writer, "SELECT topic, partition, next_offset, last_id FROM positions");
    while (sqlite_next(rows)) {
        const struct topic_info *info = topic_find(sqlite_text(rows, 0));
        int index = info ? place_index(info->topic) : -1;
        int64_t partition = sqlite_int(rows, 1);
        if (index < 0 || partition < 0 || partition >= ingest->conf.partitions)
            continue;
        struct place *place = &ingest->places[index][partition];
        place->next_offset = sqlite_int(rows, 2);
        snprintf(place->last_id, sizeof(place->last_id), "%s", sqlite_text(rows, 3));
    }
    sqlite_rows_end(rows);
    ingest->complete =
        sqlite_select_int(ingest->writer, 0, "SELECT value FROM meta WHERE key = 'complete'") == 1;
}

static int open_files(struct ingest *ingest, struct err *err)
{
    char *identity =
        mem_printf("%s/%d", ingest->conf.svc->conf.topic_prefix, ingest->conf.partitions);
    struct sqlite_db_conf conf = {.path = ingest->conf.path,
                                  .schema = schema_sql,
                                  .version = SCHEMA_VERSION,
                                  .identity = identity};
    bool fresh = false;
    int rc = sqlite_db_open(&ingest->writer, &conf, &fresh, err);

    if (rc == 0) {
        conf.read_only = true;
        rc = sqlite_db_open(&ingest->reader, &conf, NULL, err);
    }
    free(identity);
    if (rc != 0)
        return -1;
    if (fresh)
        log_info("read model is made anew out of the topics", LOG_S("path", ingest->conf.path));
    read_places(ingest);
    return sqlite_db_error(ingest->writer, err);
}

static void close_files(struct ingest *ingest)
{
    sqlite_db_close(ingest->reader);
    sqlite_db_close(ingest->writer);
    ingest->reader = ingest->writer = NULL;
}

/* A file that turns out to be damaged as soon as it is read is thrown away at once. */
static int open_or_remake(struct ingest *ingest, struct err *err)
{
    struct err why = {.code = ERR_NONE};

    if (open_files(ingest, &why) == 0)
        return 0;
    close_files(ingest);
    if (why.code != ERR_INVALID)
        return err_set(err, why.code, "%s", why.msg);
    log_warn("read model is damaged", LOG_E(&why));
    if (sqlite_db_remove(ingest->conf.path, err) != 0)
        return -1;
    return open_files(ingest, err);
}

static int begin(struct ingest *ingest, struct err *err)
{
    const struct bus_follower_handler handler = {
        .on_record = on_record, .on_end = on_end, .arg = ingest};

    if (open_or_remake(ingest, err) != 0)
        return -1;
    ingest->batch = store_batch_new(&(struct store_batch_conf){.loop = ingest->conf.svc->loop,
                                                               .db = ingest->writer,
                                                               .spacing_ms = SPACING_MS,
                                                               .apply = apply_item,
                                                               .committed = on_committed,
                                                               .failed = on_failed,
                                                               .drop = item_free,
                                                               .arg = ingest});
    if (bus_follower_new(&ingest->follower, ingest->conf.svc->bus, &handler, err) != 0)
        return -1;
    for (int i = 0; i < PLACE_COUNT; i++) {
        if (bus_follower_add_all(ingest->follower, followed[i], ingest->conf.partitions,
                                 start_offset, ingest, err) != 0)
            return -1;
    }
    return 0;
}

static void on_closed_for_rebuild(void *arg)
{
    struct ingest *ingest = arg;
    struct err err = {.code = ERR_NONE};

    ingest->batch = NULL;
    bus_follower_free(ingest->follower);
    ingest->follower = NULL;
    close_files(ingest);
    if (ingest->stopping) {
        ingest->stopped(ingest->stopped_arg);
        return;
    }
    ingest->rebuilding = ingest->paused = ingest->completing = false;
    if (sqlite_db_remove(ingest->conf.path, &err) != 0 || begin(ingest, &err) != 0)
        svc_fail(ingest->conf.svc, &err);
}

/* Safe from inside the follower's callbacks: it is freed later. */
static void rebuild(struct ingest *ingest, const char *why)
{
    if (ingest->rebuilding || ingest->stopping)
        return;
    log_warn("read model is thrown away and made anew", LOG_S("reason", why));
    ingest->rebuilding = true;
    ingest->complete = false;
    svc_ready(ingest->conf.svc, "read-model", false, "reading the topics");
    ingest->handler.rebuilding(ingest->handler.arg);
    store_batch_close(ingest->batch, on_closed_for_rebuild, ingest);
}

static void on_prune(void *arg)
{
    struct ingest *ingest = arg;

    if (!ingest->rebuilding)
        add_mark(ingest, ITEM_PRUNE);
    malloc_trim(0); /* what catching up took is not needed again */
    loop_timer_arm(ingest->prune, PRUNE_EVERY_MS);
}

int ingest_new(struct ingest **out, const struct ingest_conf *conf,
               const struct ingest_handler *handler, struct err *err)
{
    struct ingest *ingest = mem_alloc(sizeof(*ingest));

    *out = ingest;
    ingest->conf = *conf;
    ingest->conf.path = mem_strdup(conf->path);
    ingest->handler = *handler;
    for (int i = 0; i < PLACE_COUNT; i++)
        ingest->places[i] = mem_alloc(sizeof(struct place) * (size_t)conf->partitions);
    ingest->records = metrics_counter(conf->svc->metrics, "gantry_console_records_total", NULL,
                                      "Records that went into the read model.");
    ingest->undecodable =
        metrics_counter(conf->svc->metrics, "gantry_console_undecodable_total", NULL,
                        "Records that could not be decoded and are not in the read model.");
    svc_ready(conf->svc, "read-model", false, "reading the topics");
    if (begin(ingest, err) != 0)
        return -1;
    ingest->prune = loop_timer_new(conf->svc->loop, on_prune, ingest);
    loop_timer_arm(ingest->prune, PRUNE_EVERY_MS);
    return 0;
}

static void on_closed_for_stop(void *arg)
{
    struct ingest *ingest = arg;

    ingest->batch = NULL;
    ingest->stopped(ingest->stopped_arg);
}

void ingest_stop(struct ingest *ingest, void (*done)(void *arg), void *arg)
{
    bool closing = ingest->rebuilding;

    ingest->stopping = true;
    ingest->stopped = done;
    ingest->stopped_arg = arg;
    if (!closing)
        store_batch_close(ingest->batch, on_closed_for_stop, ingest);
    ingest->rebuilding = true; /* nothing more is taken in */
}

void ingest_free(struct ingest *ingest)
{
    if (!ingest)
        return;
    loop_timer_free(ingest->prune);
    bus_follower_free(ingest->follower);
    close_files(ingest);
    for (int i = 0; i < PLACE_COUNT; i++)
        free(ingest->places[i]);
    free((char *)ingest->conf.path);
    free(ingest);
}

struct sqlite_db *ingest_reader(struct ingest *ingest)
{
    return ingest->complete ? ingest->reader : NULL;
}

void ingest_damaged(struct ingest *ingest)
{
    rebuild(ingest, "the file is damaged");
}

bool ingest_access_known(const struct ingest *ingest)
{
    return ingest->access_known;
}

int64_t ingest_event_offset(const struct ingest *ingest, int32_t partition)
{
    return ingest->places[PLACE_EVENT][partition].next_offset;
}
