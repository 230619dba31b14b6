/* From the topics into the read model, and on to whoever waits or watches.
 *
 *   follower --records--> batch --worker: fold, positions, COMMIT--> loop: handler->applied()
 *
 * Positions are stored in the transaction of the data, so kill -9 at any time leaves both or
 * neither. At the start each partition is read from its last stored record again: another ce_id
 * there, or an end below it, means that the topic was made anew, and the file is rebuilt. Loop
 * thread. */
#ifndef GANTRY_CONSOLE_INGEST_H
#define GANTRY_CONSOLE_INGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/bus.h"
#include "events/event.h"
#include "services/console/fold.h"
#include "store/sqlite_db.h"

struct svc;
struct ingest;

/* One record of `event`, `definition` or `log` that is committed to the read model. */
struct ingest_record {
    enum topic topic;
    int32_t partition;
    int64_t offset;
    char ce_id[64];
    const void *message; /* unpacked; NULL: it could not be decoded, or did not count */
};

struct ingest_handler {
    void (*applied)(const struct ingest_record *record, void *arg);
    /* A record of `access` as it comes: it is not in the file. */
    void (*access)(const void *message, void *arg);
    /* The file is made anew from here on: what was told before is void, and there is no reader
     * until it has caught up. */
    void (*rebuilding)(void *arg);
    void *arg;
};

struct ingest_conf {
    struct svc *svc;
    const char *path;
    int32_t partitions;
    struct fold_limits limits;
};

int ingest_new(struct ingest **out, const struct ingest_conf *conf,
               const struct ingest_handler *handler, struct err *err);
/* Lets a transaction that runs end; what waits will be read again. */
void ingest_stop(struct ingest *ingest, void (*done)(void *arg), void *arg);
void ingest_free(struct ingest *ingest);

/* For answers, while they are made; NULL while the file is being made for the first time or anew.
 */
struct sqlite_db *ingest_reader(struct ingest *ingest);
/* Tells that the file turned out to be damaged. */
void ingest_damaged(struct ingest *ingest);
/* `access` was read to its end once. */
bool ingest_access_known(const struct ingest *ingest);
/* Next offset of `event` to come, what is committed. */
int64_t ingest_event_offset(const struct ingest *ingest, int32_t partition);

#endif
