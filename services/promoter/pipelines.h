/* The states of a partition's pipelines: what counted, and over it what is speculated to count.
 *
 * A pipeline at rest has one state, `base`. Its first decision in flight clones it; from then on
 * every decision is folded once, into `spec`, and what counted meanwhile is only kept in `tail`, so
 * that a drop can still fold it into `base`. When nothing is in flight any more, `spec` simply
 * becomes `base`. Pure; the loop's thread. */
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

struct pipeline_counted {
    Gantry__V1__Decision *decision;
    uint8_t hash[SHA256_SIZE];
};

struct pipeline {
    struct heap_item deadline; /* first, so that a heap item is its pipeline */
    char *name;
    struct engine_state *base; /* what counted, but for `tail` */
    struct engine_state *spec; /* base, tail and what is in flight; NULL: there is nothing more */
    struct pipeline_counted *tail;
    size_t tail_count, tail_cap;
    size_t in_flight;

    /* As the newest checkpoint names it; slot -1: not named. */
    int snapshot_slot;
    uint64_t snapshot_sequence;
    uint8_t snapshot_hash[SHA256_SIZE];

    struct pipeline *warm_next, *warm_previous; /* those with `spec` */
};

struct pipelines {
    struct map *by_name;
    struct heap deadlines;
    struct pipeline *warm;
};

void pipelines_init(struct pipelines *pipelines);
void pipelines_release(struct pipelines *pipelines);

/* NULL: not there. */
struct pipeline *pipelines_find(const struct pipelines *pipelines, const char *name);
/* Adds one that is not there; takes `base` over. */
struct pipeline *pipelines_add(struct pipelines *pipelines, struct engine_state *base);

/* The state that the next step reads. */
const struct engine_state *pipeline_state(const struct pipeline *pipeline);
/* The state of what counted alone. Folds what is due; NULL and err where that fails. */
const struct engine_state *pipeline_confirmed(struct pipelines *pipelines,
                                              struct pipeline *pipeline, struct err *err);

/* Folds a decision that is about to be appended. After -1 the whole speculation is to be dropped.
 */
int pipeline_speculate(struct pipelines *pipelines, struct pipeline *pipeline,
                       const Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                       struct err *err);
/* The oldest one in flight counted. Takes `decision` over. */
int pipeline_confirm(struct pipelines *pipelines, struct pipeline *pipeline,
                     Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                     struct err *err);
/* A decision that counted and was not in flight here: nothing may be speculated now. */
int pipeline_fold(struct pipelines *pipelines, struct pipeline *pipeline,
                  const Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                  struct err *err);
/* Forgets everything in flight. */
int pipelines_drop(struct pipelines *pipelines, struct err *err);
/* Frees what pipelines without anything in flight keep for their next decision. */
void pipelines_cool(struct pipelines *pipelines);

/* The pipeline with the earliest deadline; NULL: none waits for the clock. */
struct pipeline *pipelines_first_due(const struct pipelines *pipelines);
/* Looks at a deadline that changed nothing again at `at_ms` (Unix ms). */
void pipelines_postpone(struct pipelines *pipelines, struct pipeline *pipeline, int64_t at_ms);

#endif
