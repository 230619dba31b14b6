/* Records of the topics -> rows of the read model. All functions write into the open transaction of
 * `db` on the worker's thread, fail only as sqlite_db does (the error sticks), and leave the same
 * when a record comes twice. */
#ifndef GANTRY_CONSOLE_FOLD_H
#define GANTRY_CONSOLE_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "store/sqlite_db.h"

typedef struct Gantry__V1__Definition Gantry__V1__Definition;
typedef struct Gantry__V1__LogChunk Gantry__V1__LogChunk;
typedef struct Gantry__V1__ReleaseEvent Gantry__V1__ReleaseEvent;

/* Where a record stands. */
struct fold_place {
    int32_t partition;
    int64_t offset;
    const char *ce_id;
    const void *value; /* as it was stored */
    size_t value_len;
    int64_t time_ms;
};

struct fold_limits {
    uint64_t log_attempt_bytes; /* kept of one attempt's log: its beginning and its end */
    uint64_t log_total_bytes;
    int64_t log_ms;     /* how long a log is kept */
    int64_t events_max; /* kept for streams that go on */
    int64_t release_ms; /* how long an ended release is kept: as long as its events are */
};

/* False: dropped, since it is not beyond the last of its pipeline. */
bool fold_event(struct sqlite_db *db, const Gantry__V1__ReleaseEvent *event,
                const struct fold_place *place);
void fold_definition(struct sqlite_db *db, const Gantry__V1__Definition *definition,
                     const struct fold_place *place);
void fold_log(struct sqlite_db *db, const Gantry__V1__LogChunk *chunk,
              const struct fold_limits *limits);
/* Deletes a bounded part of what is too old or too much. True: there is more. */
bool fold_prune(struct sqlite_db *db, const struct fold_limits *limits, int64_t now_ms);

/* ---- parts of fold_event() ---- */

void fold_release_fact(struct sqlite_db *db, const Gantry__V1__ReleaseEvent *event);
void fold_action_fact(struct sqlite_db *db, const Gantry__V1__ReleaseEvent *event);
/* Of an action that ended. */
void fold_reports(struct sqlite_db *db, const Gantry__V1__ReleaseEvent *event);
void fold_gate_fact(struct sqlite_db *db, const Gantry__V1__ReleaseEvent *event);
/* A release passed a gate: that holds it no more. What does is said again only where it waits on,
 * and after that; whoever asked to pass it is answered before. */
void fold_passed(struct sqlite_db *db, const char *pipeline, uint64_t release, const char *stage,
                 const char *gate);
/* The row of a pipeline is there after. */
void fold_pipeline_row(struct sqlite_db *db, const char *pipeline);
/* Makes `stages` show the definition that the promoter follows, as far as its bytes are known. */
void fold_shape(struct sqlite_db *db, const char *pipeline);

#endif
