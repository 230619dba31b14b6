/* The chain of one ledger partition: which records count (docs/ledger.md). Pure; the promoter,
 * `gantry audit verify` and `replay` walk with it. */
#ifndef GANTRY_ENGINE_CHAIN_H
#define GANTRY_ENGINE_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sha256.h"
#include "events/topic.h"

typedef struct Gantry__V1__Checkpoint Gantry__V1__Checkpoint;
typedef struct Gantry__V1__Decision Gantry__V1__Decision;
typedef struct Gantry__V1__Genesis Gantry__V1__Genesis;
typedef struct Gantry__V1__Position Gantry__V1__Position;

#define CHAIN_NUMBER_MAX (UINT64_C(1) << 53) /* of a release or a sequence that a genesis gives */

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
/* The chain as it was at a checkpoint's head, which the caller found in the ledger. */
void chain_resume(struct chain *chain, const Gantry__V1__Checkpoint *checkpoint);

enum chain_verdict { CHAIN_COUNTS, CHAIN_VOID };

/* Judges the record at `offset` and, if it counts, moves the head, positions, time and watermark.
 * `decision` is `value` unpacked. -1: it extends the head but cannot be folded (unknown change,
 * time going back, positions going back, a genesis that does not fit): the reader stops and says
 * so. */
int chain_fold(struct chain *chain, const void *value, size_t len,
               const Gantry__V1__Decision *decision, int64_t offset, enum chain_verdict *verdict,
               struct err *err);
/* The same where `hash`, of the stored bytes, is known. A Decision that was made here may come
 * without its changes. */
int chain_fold_hashed(struct chain *chain, const uint8_t hash[SHA256_SIZE],
                      const Gantry__V1__Decision *decision, int64_t offset,
                      enum chain_verdict *verdict, struct err *err);

/* NULL: it is none. */
const Gantry__V1__Genesis *chain_genesis_of(const Gantry__V1__Decision *decision);
/* Writes the positions of topics that this version knows over those that are there. */
void chain_take_positions(struct chain_position to[TOPIC_COUNT],
                          Gantry__V1__Position *const *positions, size_t count);

/* What an operator's genesis, the newest that counted, says of what is not there. */

/* The ledger may begin at `begin`: it always did, or the operator knew. */
bool chain_knows_beginning(const Gantry__V1__Genesis *genesis, int64_t begin);
/* A record at `offset`, confirmed in `epoch`, may be lost: the operator knew. */
bool chain_supersedes(const Gantry__V1__Genesis *genesis, uint64_t epoch, int64_t offset);
/* This void record is an operator's genesis for a ledger in which no genesis is left. A reader
 * whose chain does not come from the ledger itself (from a checkpoint, or from records that were
 * deleted since) may be the only one to whom it is void: it has to fold the ledger from its
 * beginning. */
bool chain_begins_anew(const struct chain *chain, const Gantry__V1__Decision *decision);

#endif
