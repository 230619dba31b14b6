/* First looks. What tags and pull requests are there when a source is first looked at starts
 * nothing: the watcher notes their commits on `source`, in records that are no revisions, so that
 * whoever follows the source later, too, tells what is new or moved from what was there. */
#ifndef GANTRY_SOURCE_WATCHER_LOOKS_H
#define GANTRY_SOURCE_WATCHER_LOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "definition/definition.h"
#include "gantry/v1/source.pb-c.h"

/* What is looked at at once: the tags of one glob, or pull requests. */
struct look_at {
    const char *refs; /* refs/tags/<any> or refs/pull/<any>, with a `*` */
    const char *glob; /* over the tag's name; "": none */
};
/* The i-th of a source; false: it has no more. */
bool look_at(const struct def_source *source, size_t i, struct look_at *out);
/* `ref` is one that the source follows. */
bool look_matches(const struct look_at *at, const char *ref);

struct looks;
struct looks *looks_new(void);
void looks_free(struct looks *looks);
/* A record with `look` > 0. */
void looks_take(struct looks *looks, const Gantry__V1__SourceChanged *record, const char *id,
                int64_t timestamp_ms);
/* True when all records of that look are there. */
bool looks_done(const struct looks *looks, const char *pipeline, const char *source,
                const struct look_at *at);
/* When its last record was written (Unix ms, as the broker has it); 0: it is not done. */
int64_t looks_noted_ms(const struct looks *looks, const char *pipeline, const char *source,
                       const struct look_at *at);
/* ce_id of its latest record, whole or not; "": none. */
const char *looks_id(const struct looks *looks, const char *pipeline, const char *source,
                     const struct look_at *at);
/* The commit that a ref had at a first look; NULL: it was not there. */
const char *looks_commit(const struct looks *looks, const char *pipeline, const char *source,
                         const char *ref);
/* Adds "<commit> <ref>" for all that was there. */
void looks_list(const struct looks *looks, const char *pipeline, const char *source,
                const struct look_at *at, struct strv *out);

#endif
