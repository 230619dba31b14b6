/* The states of a partition's pipelines: what counted (`base`), and what is speculated to count on
 * top of it. States share what they have in common, so each Decision in flight simply carries the
 * state after it: counting makes that the base, a drop forgets it, and nothing is folded twice. A
 * state that comes from a snapshot stays encoded until something happens to its pipeline.
 * Pure; the loop's thread. */
#ifndef GANTRY_PROMOTER_PIPELINES_H
#define GANTRY_PROMOTER_PIPELINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "base/sha256.h"
#include "engine/engine.h"
#include "services/promoter/heap.h"

struct pipeline {
    struct heap_item deadline; /* first, so that a heap item is its pipeline */
    char *name;
    struct engine_state *base;         /* of what counted; NULL: encoded */
    const struct engine_state *latest; /* the newest in flight's, or base */
    void *encoded;                     /* NULL: opened */
    size_t encoded_len;
    size_t in_flight;

    /* As the newest checkpoint names it; slot -1: not named. */
    int snapshot_slot;
    uint64_t snapshot_sequence;
    uint8_t snapshot_hash[SHA256_SIZE];
    uint64_t numbered, snapshot_numbered; /* times that a genesis gave it numbers */
};

struct pipelines {
    struct map *by_name;
    struct heap deadlines;
};

void pipelines_init(struct pipelines *pipelines);
void pipelines_release(struct pipelines *pipelines);

/* NULL: not there. */
struct pipeline *pipelines_find(const struct pipelines *pipelines, const char *name);
/* Adds one that is not there; takes `base` over. */
struct pipeline *pipelines_add(struct pipelines *pipelines, struct engine_state *base);

/* Adds one whose state is given as a snapshot has it; copies `data`. */
struct pipeline *pipelines_add_encoded(struct pipelines *pipelines, const char *name,
                                       const void *data, size_t len, int64_t deadline_ms);
/* Before anything else is done with a pipeline. -1: its snapshot is not what it was named for. */
int pipeline_open(struct pipelines *pipelines, struct pipeline *pipeline, struct err *err);

/* Makes `after`, which engine_step() gave with the decision that is about to be appended, the
 * latest state. It stays the caller's until it hands it to pipeline_confirm() or pipeline_forget().
 * -1: nothing changed. */
int pipeline_speculate(struct pipelines *pipelines, struct pipeline *pipeline,
                       struct engine_state *after, const Gantry__V1__Decision *decision,
                       const uint8_t hash[SHA256_SIZE], struct err *err);
/* The oldest in flight counted; `state` is the one after it. */
void pipeline_confirm(struct pipeline *pipeline, struct engine_state *state);
/* One in flight is given up, and with it all of the pipeline's. */
void pipeline_forget(struct pipelines *pipelines, struct pipeline *pipeline,
                     struct engine_state *state);
/* A decision that counted and was not in flight here: nothing of the pipeline may be now. After -1
 * the state is of no use. */
int pipeline_fold(struct pipelines *pipelines, struct pipeline *pipeline,
                  const Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                  struct err *err);

/* What a genesis gives (engine_state_set_numbers()); nothing of the pipeline may be in flight. */
int pipeline_set_numbers(struct pipelines *pipelines, struct pipeline *pipeline,
                         uint64_t next_release, uint64_t next_sequence, struct err *err);

/* The pipeline with the earliest deadline; NULL: none waits for the clock. */
struct pipeline *pipelines_first_due(const struct pipelines *pipelines);
/* Looks at a deadline that changed nothing again at `at_ms` (Unix ms). */
void pipelines_postpone(struct pipelines *pipelines, struct pipeline *pipeline, int64_t at_ms);

#endif
