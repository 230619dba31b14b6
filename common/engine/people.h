/* Who brought which revisions: for approvals with `not: author`. One entry a revision seen; entries
 * between which no release stands any more are joined, so that the list stays as short as the list
 * of releases that can still be compared. */
#ifndef GANTRY_ENGINE_PEOPLE_H
#define GANTRY_ENGINE_PEOPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "engine/shared.h"

#define PEOPLE_MAX         1000 /* addresses of an entry: more, and it is incomplete */
#define PEOPLE_ENTRY_BYTES (32 * 1024)
#define PEOPLE_BYTES       (200 * 1024) /* of all: beyond, the oldest become incomplete */

struct people_entry {
    struct shared shared;
    char *source, *ref;
    uint64_t seen; /* number of the (last) revision seen that it is of */
    bool complete;
    struct strv emails; /* lower case, sorted, each once */
};

struct people {
    struct shared shared;
    struct people_entry **items; /* by source, ref, seen */
    size_t count;
};

struct people *people_new(void);
/* These copy *people first if somebody else holds it. */
void people_add(struct people **people, const char *source, const char *ref, uint64_t seen,
                char *const *emails, size_t count, bool complete);
/* Joins each entry with the one after of its (source, ref), unless keep(seen) says that a release
 * stands at it. */
void people_join(struct people **people, bool (*keep)(uint64_t seen, void *arg), void *arg);
/* Adds to *out everybody of the revisions of (source, ref) after `from` up to `to` (numbers of
 * revisions seen; 0: before all). False: not everybody is known. */
bool people_between(const struct people *people, const char *source, const char *ref, uint64_t from,
                    uint64_t to, struct strv *out);
/* The entry of one revision seen; NULL: it was joined with a later one. */
const struct people_entry *people_at(const struct people *people, uint64_t seen);
/* Sorted, each once. */
void people_unique(struct strv *emails);

#endif
