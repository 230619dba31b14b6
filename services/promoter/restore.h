/* Restoring a partition, as the reading of the ledger sees it. */
#ifndef GANTRY_PROMOTER_RESTORE_H
#define GANTRY_PROMOTER_RESTORE_H

#include "services/promoter/partition.h"

/* True while records of the ledger are to be folded; false: a checkpoint's head is looked for, or
 * the ledger is not read yet. */
bool restore_folds(const struct partition *p);
/* True while the ledger is folded from its first record, and not from a checkpoint on. */
bool restore_is_whole(const struct partition *p);
/* The first record at a checkpoint's head, or the end that was met instead. */
void restore_on_head(struct partition *p, const struct bus_record *record);
void restore_on_head_end(struct partition *p, int64_t end);
/* Keeps what a counted Decision may still have to publish; takes `decision` over. */
void restore_unpublished(struct partition *p, Gantry__V1__Decision *decision, int64_t offset,
                         const char *traceparent);
/* The genesis that was appended is void or of unknown fate. */
void restore_dropped(struct partition *p);

#endif
