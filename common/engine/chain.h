/* The chain of one ledger partition: which records count (docs/ledger.md). Pure; the promoter,
 * `gantry audit verify` and `replay` walk with it. */
#ifndef GANTRY_ENGINE_CHAIN_H
#define GANTRY_ENGINE_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sha256.h"
#include "events/topic.h"

typedef struct Gantry__V1__Decision Gantry__V1__Decision;

struct chain_position {
    int64_t next_offset;
    int64_t settled_offset; /* -1: none yet */
    char settled_ce_id[64];
    bool known; /* false: the chain says nothing of this topic */
};

struct chain {
    bool begun; /* a genesis counted */
    uint64_t epoch;
    char chain_id[33];
    int32_t partition;
    int32_t partition_count;
    uint8_t head[SHA256_SIZE]; /* hash of the last record that counted */
    int64_t head_offset;       /* -1: none */
    int64_t time_ms;           /* that Decision's */
    int64_t published_below;
    struct chain_position positions[TOPIC_COUNT];
    uint64_t counted, voided; /* records folded since this struct was made */
};

void chain_init(struct chain *chain);

enum chain_verdict { CHAIN_COUNTS, CHAIN_VOID };

/* Judges the record at `offset` and, if it counts, moves the head, positions, time and watermark.
 * `decision` is `value` unpacked. -1: it extends the head but cannot be folded (unknown change,
 * time going back, positions going back, a genesis that does not fit): the reader stops and says
 * so. */
int chain_fold(struct chain *chain, const void *value, size_t len,
               const Gantry__V1__Decision *decision, int64_t offset, enum chain_verdict *verdict,
               struct err *err);

#endif
