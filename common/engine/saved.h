/* What `promoter.state` holds of a ledger partition: checkpoints, and the snapshots that they name
 * (docs/ledger.md, "Starting, and snapshots"). The promoter restores by it, and by it the
 * operator's command judges what is left. Pure. */
#ifndef GANTRY_ENGINE_SAVED_H
#define GANTRY_ENGINE_SAVED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct Gantry__V1__Checkpoint Gantry__V1__Checkpoint;
typedef struct Gantry__V1__PromoterState Gantry__V1__PromoterState;
typedef struct Gantry__V1__SnapshotName Gantry__V1__SnapshotName;

struct engine_state;
struct saved;

struct saved *saved_new(void);
void saved_free(struct saved *saved); /* NULL is accepted */
/* A record, in the log's order; `value` NULL: a tombstone. */
void saved_put(struct saved *saved, const void *key, size_t key_len, const void *value,
               size_t value_len);
/* All of it was put: finds the checkpoints. */
void saved_read(struct saved *saved);

/* There is a record with a checkpoint's key, readable or not. */
bool saved_any(const struct saved *saved);
/* The checkpoints that can be read (two at most), the newest first: by epoch, then by head. */
size_t saved_count(const struct saved *saved);
const Gantry__V1__Checkpoint *saved_checkpoint(const struct saved *saved, size_t i);
int saved_slot(const struct saved *saved, size_t i); /* 0 or 1 */

/* The snapshot that a checkpoint names, freed with event_free(). -1: it is not there, or is of
 * another Decision. */
int saved_snapshot(const struct saved *saved, const Gantry__V1__SnapshotName *name,
                   Gantry__V1__PromoterState **out, struct err *err);
/* The same decoded and compared with its name. */
int saved_state(const struct saved *saved, const Gantry__V1__SnapshotName *name,
                struct engine_state **out, struct err *err);

#endif
