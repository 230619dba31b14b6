/* The commit last reported for each (pipeline, source, ref), as `source` has it, with what was
 * produced here and is not read back yet; and what was there at first looks. */
#ifndef GANTRY_SOURCE_WATCHER_HEADS_H
#define GANTRY_SOURCE_WATCHER_HEADS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "bus/bus.h"
#include "looks.h"

struct head_report {
    char commit[65]; /* "": nothing was reported yet, nor was it there at a first look */
    char id[64];     /* ce_id of that report; "": the commit is that of a first look */
};

struct head {
    struct head_report tip;  /* records in flight included: what the next report follows */
    struct head_report last; /* in the log */
    int64_t offset;          /* of `last` */
    int64_t reported_ms;     /* Unix ms, as the broker has it */
    int64_t changed_ms;      /* monotonic: when `tip` last changed */
    unsigned in_flight;
    char unusable[65]; /* what a tag names, if that is no commit */
};

struct heads;
struct heads *heads_new(void);
void heads_free(struct heads *heads);
/* A record of `source`. -1: it cannot be decoded. */
int heads_take(struct heads *heads, const struct bus_record *record, struct err *err);
/* Lives as long as `heads`; with an empty commit when nothing is known. */
struct head *heads_get(struct heads *heads, const char *pipeline, const char *source,
                       const char *ref);
/* NULL: it was not asked for by heads_get() and nothing was reported. */
const struct head *heads_find(const struct heads *heads, const char *pipeline, const char *source,
                              const char *ref);
struct looks *heads_looks(struct heads *heads);
/* Pipeline, source and ref of a key met by heads_next(); valid until it is called again. */
struct head_name {
    char pipeline[64], source[64], ref[1024];
};
struct head *heads_next(struct heads *heads, struct map_iter *it, struct head_name *name);

/* The life of a report made here. */
void head_sent(struct head *head, const char *commit, const char *id);
void head_acked(struct head *head, const struct bus_ack *ack, const char *commit, const char *id);

#endif
