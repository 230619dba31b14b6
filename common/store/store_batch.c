#include "store/store_batch.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define ITEMS_MAX_DEFAULT 1000
#define RETRY_MS          1000

struct entry {
    void *item;
    size_t size_bytes;
};

struct store_batch {
    struct store_batch_conf conf;
    struct entry *queue; /* a ring is not needed: the front goes away in whole batches */
    size_t count, cap;
    size_t running; /* of the front, with the worker */
    size_t waiting_bytes;
    void **items;             /* the running ones, for the callbacks */
    struct loop_timer *again; /* after a failure, or for the spacing */
    int64_t next_mono_ms;     /* no transaction begins before, unless it would be a full one */
    bool posted;
    bool failing;
    bool closing;
    struct err error; /* of the transaction that just ran */
    void (*closed)(void *arg);
    void *closed_arg;
};

static void start(struct store_batch *batch);

static void on_again(void *arg)
{
    start(arg);
}

struct store_batch *store_batch_new(const struct store_batch_conf *conf)
{
    struct store_batch *batch = mem_alloc(sizeof(*batch));
    batch->conf = *conf;
    if (batch->conf.items_max == 0)
        batch->conf.items_max = ITEMS_MAX_DEFAULT;
    batch->items = mem_realloc(NULL, batch->conf.items_max, sizeof(*batch->items));
    batch->again = loop_timer_new(conf->loop, on_again, batch);
    return batch;
}

static void drop_front(struct store_batch *batch, size_t count)
{
    for (size_t i = 0; i < count; i++)
        batch->waiting_bytes -= batch->queue[i].size_bytes;
    batch->count -= count;
    memmove(batch->queue, batch->queue + count, batch->count * sizeof(*batch->queue));
    if (batch->count == 0 && batch->cap > batch->conf.items_max) {
        free(batch->queue);
        batch->queue = NULL;
        batch->cap = 0;
    }
}

static void finish_close(void *arg)
{
    struct store_batch *batch = arg;
    void (*closed)(void *) = batch->closed;
    void *closed_arg = batch->closed_arg;
    for (size_t i = 0; i < batch->count; i++)
        batch->conf.drop(batch->queue[i].item, batch->conf.arg);
    loop_timer_free(batch->again);
    free(batch->queue);
    free(batch->items);
    free(batch);
    if (closed)
        closed(closed_arg);
}

/* Worker thread. */
static void write_items(void *arg)
{
    struct store_batch *batch = arg;
    batch->error = (struct err){.code = ERR_NONE};
    sqlite_db_begin(batch->conf.db);
    for (size_t i = 0; i < batch->running; i++)
        batch->conf.apply(batch->conf.db, batch->items[i], batch->conf.arg);
    sqlite_db_commit(batch->conf.db, &batch->error);
}

static void on_written(void *arg)
{
    struct store_batch *batch = arg;
    size_t count = batch->running;
    batch->running = 0;
    if (batch->error.code == ERR_NONE) {
        batch->failing = false;
        drop_front(batch, count);
        batch->conf.committed(batch->items, count, batch->conf.arg);
    } else if (!batch->failing && !batch->closing) {
        batch->failing = true;
        batch->conf.failed(&batch->error, batch->conf.arg);
    }
    if (batch->closing) {
        if (!batch->posted) /* else on_posted() finishes */
            finish_close(batch);
    } else if (batch->failing) {
        loop_timer_arm(batch->again, RETRY_MS);
    } else {
        start(batch);
    }
}

static void start(struct store_batch *batch)
{
    if (batch->running > 0 || batch->count == 0 || batch->closing)
        return;
    int64_t now_ms = clock_mono_ms();
    if (now_ms < batch->next_mono_ms && batch->count < batch->conf.items_max) {
        loop_timer_arm(batch->again, batch->next_mono_ms - now_ms);
        return;
    }
    batch->next_mono_ms = now_ms + batch->conf.spacing_ms;
    size_t count = batch->count < batch->conf.items_max ? batch->count : batch->conf.items_max;
    for (size_t i = 0; i < count; i++)
        batch->items[i] = batch->queue[i].item;
    batch->running = count;
    loop_work(batch->conf.loop, write_items, on_written, batch);
}

static void on_posted(void *arg)
{
    struct store_batch *batch = arg;
    batch->posted = false;
    if (batch->closing) {
        if (batch->running == 0)
            finish_close(batch);
    } else if (!batch->failing) {
        start(batch);
    }
}

void store_batch_add(struct store_batch *batch, void *item, size_t size_bytes)
{
    if (batch->count == batch->cap) {
        batch->cap = batch->cap ? batch->cap * 2 : 64;
        batch->queue = mem_realloc(batch->queue, batch->cap, sizeof(*batch->queue));
    }
    batch->queue[batch->count++] = (struct entry){.item = item, .size_bytes = size_bytes};
    batch->waiting_bytes += size_bytes;
    /* Posted, not started: the rest of what one poll of Kafka brings joins the same transaction. */
    if (!batch->posted && batch->running == 0) {
        batch->posted = true;
        loop_post(batch->conf.loop, on_posted, batch);
    }
}

size_t store_batch_waiting(const struct store_batch *batch)
{
    return batch->count;
}

size_t store_batch_waiting_bytes(const struct store_batch *batch)
{
    return batch->waiting_bytes;
}

void store_batch_close(struct store_batch *batch, void (*done)(void *arg), void *arg)
{
    if (!batch) {
        if (done)
            done(arg);
        return;
    }
    batch->closing = true;
    batch->closed = done;
    batch->closed_arg = arg;
    loop_timer_cancel(batch->again);
    if (batch->running == 0 && !batch->posted) {
        batch->posted = true;
        loop_post(batch->conf.loop, on_posted, batch);
    }
}
