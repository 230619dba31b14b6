/* Random histories of one pipeline, as the lines of script.h: what comes next depends on a seed and
 * on what was decided so far. */
#ifndef TESTS_ENGINE_RANDOM_H
#define TESTS_ENGINE_RANDOM_H

#include "base/str.h"
#include "coverage.h"
#include "script.h"

struct random {
    uint64_t x;
};

/* What there is to answer and to ask for, by what was decided so far. */
struct random_known {
    struct strv runs, plans, approvals; /* open ones, "N STAGE/NAME" */
    struct strv closed;                 /* runs that ended: late answers and copies */
    struct strv failed;                 /* "N STAGE" */
    struct strv succeeded;              /* "STAGE N" */
    struct strv waiting; /* "N STAGE" of those that were said to wait, the last ones last */
    struct strv held;    /* "N STAGE GATE" likewise */
    uint64_t newest;
};

struct random_history {
    struct random random;
    struct random_known known;
    struct coverage *coverage;
    bool begun;
};

void random_begin(struct random_history *history, uint64_t seed, struct coverage *coverage);
void random_end(struct random_history *history);
/* scenario's `decided`, with the history as its argument. */
void random_note(const Gantry__V1__Decision *decision, void *history);
/* The next input. Caller frees. */
char *random_line(struct random_history *history);

#endif
