/* What is left of a ledger partition, and the genesis by which an operator begins a new epoch on it
 * (docs/ledger.md, "Genesis and epochs"). It finds what the promoter would find: give it all of the
 * partition's promoter.state, then its ledger, each in order, then survey_judge(). Pure.
 *
 * Where the beginning is missing, the promoter can only go on from a checkpoint whose head is still
 * in the ledger: the records before that head are linked by their hashes, but what they changed was
 * changed in a state that nobody has. So with such a checkpoint the new genesis extends the chain
 * that goes on from it; without one, no genesis is left and the state begins empty. */
#ifndef GANTRY_ENGINE_SURVEY_H
#define GANTRY_ENGINE_SURVEY_H

#include "base/buf.h"
#include "base/map.h"
#include "engine/chain.h"
#include "events/event.h"

struct links;
struct saved;

enum survey_fault {
    SURVEY_BEGINNING = 1,  /* records from offset 0 on are missing, and no operator knew */
    SURVEY_END = 2,        /* it ends before what a checkpoint had confirmed */
    SURVEY_EMPTIED = 4,    /* nothing is left, and it was not always so */
    SURVEY_NO_GENESIS = 8, /* records, of which none is known to count */
    SURVEY_COUNT = 16 /* it is of another partition or partition count: no new epoch cures it */
};

/* The numbers after the highest that are known to have been given. */
struct survey_numbers {
    uint64_t release, sequence;
};

/* One way to walk the ledger: from its first record, or from a checkpoint's head. */
struct survey_line {
    struct chain chain;
    Gantry__V1__Genesis *genesis; /* the newest that counted; NULL: none */
    bool tried;  /* a checkpoint's head was found, or it is the line of the ledger */
    bool anew;   /* an operator's genesis is void to it that counts to others */
    bool broken; /* `why`, at offset `broken_at` */
    int64_t broken_at;
    struct err why;
};

struct survey {
    int32_t partition, partition_count;
    int64_t begin, end;
    struct saved *saved;

    /* As judged. */
    unsigned faults;                /* of enum survey_fault */
    const struct survey_line *line; /* the promoter's; NULL: no genesis is left */
    int checkpoint;                 /* that it goes on from; -1: from its genesis */
    int64_t lost_head;              /* offset that a checkpoint had confirmed; -1: none is lost */
    uint64_t lost_epoch;            /* the highest of such a checkpoint */
    struct map *numbers;            /* pipeline -> struct survey_numbers: what the new genesis has
                                       to give at least */
    bool numbers_complete;          /* no other pipeline can be missing */
    bool positions_known;
    struct chain_position positions[TOPIC_COUNT]; /* where the inputs go on if nothing is left */

    /* As read. */
    bool saved_read;
    uint64_t records;
    int64_t first, last; /* offsets of records; -1: none */
    uint64_t epoch_max;
    struct survey_line whole, resumed[2];
    struct links *links;
    size_t links_depth;
    struct map *given; /* pipeline -> struct survey_numbers, of all records */
};

void survey_init(struct survey *survey, int32_t partition, int32_t partition_count, int64_t begin,
                 int64_t end);
void survey_release(struct survey *survey);

void survey_state(struct survey *survey, const void *key, size_t key_len, const void *value,
                  size_t value_len);
/* A record of the ledger, after all of promoter.state. */
void survey_record(struct survey *survey, int64_t offset, const void *value, size_t len);
/* -1: the chain breaks at a record that is there; that is no loss, and no new epoch cures it. */
int survey_judge(struct survey *survey, struct err *err);

/* What the operator says. */
struct survey_order {
    const char *by, *reason;
    int64_t now_ms;
    const char *chain_id; /* 32 hex digits, random */
    bool force;           /* although nothing is wrong */
    /* pipeline -> struct survey_numbers, a sequence of 0 being any; NULL: not given */
    const struct map *numbers;
    const int64_t *input_ends; /* by topic: where inputs go on if nothing else tells; -1: from their
                                  beginning; NULL: all from their beginning */
};
/* The genesis that begins the new epoch: a record's value, and its attributes. ERR_CONFLICT:
 * nothing is wrong. ERR_NOT_FOUND: numbers are needed. ERR_INVALID: numbers that were given before,
 * or another mistake. */
int survey_genesis(const struct survey *survey, const struct survey_order *order, struct buf *value,
                   struct event_meta *meta, struct err *err);

#endif
