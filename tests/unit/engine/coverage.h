/* What a run of random histories has reached: what was decided, without names and numbers, and by
 * subject the kinds of inputs, modes, gates and refs. */
#ifndef TESTS_ENGINE_COVERAGE_H
#define TESTS_ENGINE_COVERAGE_H

#include "base/map.h"
#include "script.h"

struct coverage {
    struct map *counts; /* "SUBJECT KIND" or "- what was decided" -> how often */
    /* Of the history under way. */
    const char *mode;
    struct map *held; /* "N STAGE" -> what was last said to hold it there, a kind a word */
};

void coverage_begin(struct coverage *coverage); /* once */
void coverage_end(struct coverage *coverage);
void coverage_history(struct coverage *coverage); /* another one begins */

void coverage_input(struct coverage *coverage, const char *line);
void coverage_decision(struct coverage *coverage, const Gantry__V1__Decision *decision);

/* All of it, a line each; then a line a subject, beginning with "coverage:". */
void coverage_print(const struct coverage *coverage);
/* The first thing that was to be reached and was not; NULL: none. */
const char *coverage_missing(const struct coverage *coverage);

#endif
