/* A batch: the builds of a plan (gantry/v1/result.proto), which is next, what a failure leads to,
 * which image they make. The engine has one in each action that asks for a batch; whoever runs the
 * builds of a buildspec without an engine (`gantry build --local`) asks the same. Pure; any one
 * thread. */
#ifndef GANTRY_ENGINE_BATCH_H
#define GANTRY_ENGINE_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "gantry/v1/result.pb-c.h"

struct batch;

/* Why a plan cannot be one: what follows is a clause; NULL: it can. */
const char *batch_wrong(const Gantry__V1__BatchPlan *plan);
struct batch *batch_new(const Gantry__V1__BatchPlan *plan); /* one that can be; it is copied */
void batch_free(struct batch *batch);                       /* NULL is accepted */

/* The next build to be asked for, from 1; 0: none at this moment, with none under way none any
 * more. */
size_t batch_next(const struct batch *batch);
/* It has ended, with what it reports (NULL: nothing), and why. */
void batch_end_build(struct batch *batch, size_t build, bool succeeded,
                     const Gantry__V1__Finished *finished, const char *reason);
/* The first build that failed, and is not ignored, from 1; 0: none. */
size_t batch_failed(const struct batch *batch);

/* The image that one of them made, and which (from 1; may be NULL); NULL: none did so far. */
const Gantry__V1__Artifact *batch_image(const struct batch *batch, size_t *build);

#endif
