/* Writes to a sqlite_db on a worker thread, many items a transaction: what comes while one
 * transaction runs, or since less than `spacing_ms`, makes up the next. So an idle writer takes an
 * item at once, a busy one pays one commit for thousands, and the loop never waits for a disk.
 * Items are written in the order in which they were added. All functions: loop thread. */
#ifndef GANTRY_STORE_STORE_BATCH_H
#define GANTRY_STORE_STORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "loop/loop.h"
#include "store/sqlite_db.h"

struct store_batch;

struct store_batch_conf {
    struct loop *loop;
    struct sqlite_db *db; /* the writer; belongs to the worker while a batch runs */
    size_t items_max;     /* in one transaction; 0: 1,000 */
    int64_t spacing_ms;   /* at the least from one transaction's begin to the next one's; 0: none */
    /* Writes one item (worker thread). Statements' errors stick and are found at the commit; an
     * item may be written again after a rollback, and then must leave the same. */
    void (*apply)(struct sqlite_db *db, void *item, void *arg);
    /* All of a committed transaction, in order (loop thread). Frees the items. */
    void (*committed)(void *const *items, size_t count, void *arg);
    /* A transaction failed (loop thread): it is tried again after a second, or after
     * store_batch_close() never. Told once until one succeeds. */
    void (*failed)(const struct err *err, void *arg);
    void (*drop)(void *item, void *arg); /* frees an item that will not be written (loop thread) */
    void *arg;
};

struct store_batch *store_batch_new(const struct store_batch_conf *conf);
void store_batch_add(struct store_batch *batch, void *item, size_t size_bytes);
/* What was added and is not yet committed. */
size_t store_batch_waiting(const struct store_batch *batch);
size_t store_batch_waiting_bytes(const struct store_batch *batch);
/* Drops what waits, lets a running transaction end, frees the batch and calls `done` (may be NULL;
 * later, never from inside). The database stays open. */
void store_batch_close(struct store_batch *batch, void (*done)(void *arg), void *arg);

#endif
