/* The builds that a buildspec's `batch` makes ("Batch build buildspec reference" of CodeBuild).
 * Pure, and the same input gives the same builds in the same order with the same identifiers, so
 * that a batch asked for again is the same batch. Any thread.
 *
 *   - build-list, build-graph: the builds as they are written, in that order. One of a list without
 *     identifier is called build_<its place, from 1>.
 *   - build-matrix: each combination of the dynamic values: buildspec, image, compute-type, then
 *     variables in the file's order; the last one varies fastest. An identifier is made of what
 *     differs: NODE_18, app_yml_NODE_20.
 *   - build-fanout: parallelism builds fanout_0, fanout_1 ..., which find their place and the
 * number of all in GANTRY_FANOUT_INDEX (from 0) and GANTRY_FANOUT_TOTAL.
 *
 * What a build does not say is as without a batch: this buildspec, the action's image. Its
 * variables win over those of the buildspec and of the action, not over those of who started the
 * release. */
#ifndef GANTRY_BUILDSPEC_BATCH_H
#define GANTRY_BUILDSPEC_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "buildspec/buildspec.h"

#define BATCH_FANOUT_INDEX "GANTRY_FANOUT_INDEX"
#define BATCH_FANOUT_TOTAL "GANTRY_FANOUT_TOTAL"

struct batch_build {
    char *identifier; /* unique in the batch: [A-Za-z0-9_-]{1,127} */
    char *buildspec;  /* a path in the source; NULL: the one with the batch in it */
    struct buildspec_pair *env;
    size_t env_count;
    char *image, *compute_type, *type, *fleet; /* NULL: as without a batch */
    enum buildspec_choice privileged;
    bool ignore_failure; /* its failure does not fail the batch */
    size_t *depend_on;   /* in the batch's builds; those end before it begins */
    size_t depend_count;
};

struct batch {
    bool fast_fail; /* the first failure that is not ignored stops all others */
    struct batch_build *builds;
    size_t count; /* 0: the buildspec has no batch; at most BUILDSPEC_BATCH_MAX */
};

/* *out is initialised here; batch_release() it. It does not refer to `spec`. */
void batch_expand(const struct buildspec *spec, struct batch *out);
void batch_release(struct batch *batch);

/* One of those that CodeBuild has by itself (aws/codebuild/standard:7.0): no registry has it. */
bool batch_image_is_curated(const char *image);

#endif
