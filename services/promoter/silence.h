/* Which runs' executors were heard of, and when. Nothing of it is in the ledger: heartbeats make no
 * Decision, and a promoter that takes a partition over counts anew, so that a lost run is found
 * late, never early. Pure; the loop's thread. */
#ifndef GANTRY_PROMOTER_SILENCE_H
#define GANTRY_PROMOTER_SILENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/map.h"
#include "services/promoter/heap.h"

/* A run that an executor has started. */
struct heard {
    struct heap_item due; /* first, so that a heap item is its run; monotonic ms */
    char run_id[ID_SIZE];
    char *pipeline;
    int64_t heard_mono_ms;
    int64_t lost_after_ms;
    bool told; /* it was said that it fell silent */
};

struct silence {
    struct map *runs; /* run id -> struct heard */
    struct heap due;
};

void silence_init(struct silence *silence);
void silence_release(struct silence *silence);

/* Somebody has started the run now; one that is known stays as it is. */
void silence_started(struct silence *silence, const char *pipeline, const char *run_id,
                     int64_t lost_after_ms, int64_t mono_ms);
void silence_heard(struct silence *silence, const char *run_id, int64_t mono_ms);
void silence_ended(struct silence *silence, const char *run_id);
/* It was said that a run fell silent: it is lost no sooner than half a minute later. */
void silence_told(struct silence *silence, struct heard *heard, int64_t mono_ms);
/* Kafka could not be asked: nobody was heard of, and that is nobody's silence. */
void silence_excuse(struct silence *silence, int64_t mono_ms);

/* The one to be looked at first; NULL: nothing runs. */
struct heard *silence_first(const struct silence *silence);

#endif
