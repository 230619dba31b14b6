#include "services/promoter/pipelines.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "events/event.h"

/* A clone costs as much as many folds: it is kept this long for one, and given up with nothing in
 * flight. */
#define TAIL_SWAP 16
/* With something always in flight the tail is folded at this length. */
#define TAIL_MAX 64

static void tail_clear(struct pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->tail_count; i++)
        event_free(pipeline->tail[i].decision);
    free(pipeline->tail);
    pipeline->tail = NULL;
    pipeline->tail_count = pipeline->tail_cap = 0;
}

static void pipeline_free(void *arg)
{
    struct pipeline *pipeline = arg;

    if (!pipeline)
        return;
    tail_clear(pipeline);
    engine_state_free(pipeline->spec);
    engine_state_free(pipeline->base);
    free(pipeline->name);
    free(pipeline);
}

void pipelines_init(struct pipelines *pipelines)
{
    *pipelines = (struct pipelines){.by_name = map_new(pipeline_free)};
}

void pipelines_release(struct pipelines *pipelines)
{
    map_free(pipelines->by_name);
    heap_release(&pipelines->deadlines);
    *pipelines = (struct pipelines){0};
}

struct pipeline *pipelines_find(const struct pipelines *pipelines, const char *name)
{
    return map_get(pipelines->by_name, name);
}

static void deadline_update(struct pipelines *pipelines, struct pipeline *pipeline)
{
    heap_put(&pipelines->deadlines, &pipeline->deadline,
             engine_state_deadline(pipeline_state(pipeline)));
}

struct pipeline *pipelines_add(struct pipelines *pipelines, struct engine_state *base)
{
    struct pipeline *pipeline = mem_alloc(sizeof(*pipeline));

    pipeline->name = mem_strdup(engine_state_pipeline(base));
    pipeline->base = base;
    pipeline->deadline.index = HEAP_OUT;
    pipeline->snapshot_slot = -1;
    map_set(pipelines->by_name, pipeline->name, pipeline);
    deadline_update(pipelines, pipeline);
    return pipeline;
}

const struct engine_state *pipeline_state(const struct pipeline *pipeline)
{
    return pipeline->spec ? pipeline->spec : pipeline->base;
}

static void warm_add(struct pipelines *pipelines, struct pipeline *pipeline)
{
    pipeline->warm_previous = NULL;
    pipeline->warm_next = pipelines->warm;
    if (pipelines->warm)
        pipelines->warm->warm_previous = pipeline;
    pipelines->warm = pipeline;
}

static void warm_remove(struct pipelines *pipelines, struct pipeline *pipeline)
{
    if (pipeline->warm_previous)
        pipeline->warm_previous->warm_next = pipeline->warm_next;
    else
        pipelines->warm = pipeline->warm_next;
    if (pipeline->warm_next)
        pipeline->warm_next->warm_previous = pipeline->warm_previous;
    pipeline->warm_next = pipeline->warm_previous = NULL;
}

static int fold_tail(struct pipeline *pipeline, struct err *err)
{
    for (size_t i = 0; i < pipeline->tail_count; i++) {
        const struct pipeline_counted *counted = &pipeline->tail[i];

        if (engine_fold(pipeline->base, counted->decision, counted->hash, err) < 0)
            return err_wrap(err, "pipeline \"%s\"", pipeline->name);
    }
    tail_clear(pipeline);
    return 0;
}

/* Nothing is in flight, so what was speculated is what counted. */
static void spec_becomes_base(struct pipelines *pipelines, struct pipeline *pipeline)
{
    engine_state_free(pipeline->base);
    pipeline->base = pipeline->spec;
    pipeline->spec = NULL;
    tail_clear(pipeline);
    warm_remove(pipelines, pipeline);
}

const struct engine_state *pipeline_confirmed(struct pipelines *pipelines,
                                              struct pipeline *pipeline, struct err *err)
{
    if (pipeline->spec && pipeline->in_flight == 0)
        spec_becomes_base(pipelines, pipeline);
    else if (fold_tail(pipeline, err) < 0)
        return NULL;
    return pipeline->base;
}

int pipeline_speculate(struct pipelines *pipelines, struct pipeline *pipeline,
                       const Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                       struct err *err)
{
    if (!pipeline->spec) {
        pipeline->spec = engine_state_clone(pipeline->base);
        warm_add(pipelines, pipeline);
    }
    pipeline->in_flight++;
    if (engine_fold(pipeline->spec, decision, hash, err) < 0)
        return err_wrap(err, "pipeline \"%s\"", pipeline->name);
    deadline_update(pipelines, pipeline);
    return 0;
}

static void tail_add(struct pipeline *pipeline, Gantry__V1__Decision *decision,
                     const uint8_t hash[SHA256_SIZE])
{
    if (pipeline->tail_count == pipeline->tail_cap) {
        pipeline->tail_cap = pipeline->tail_cap ? pipeline->tail_cap * 2 : 4;
        pipeline->tail = mem_realloc(pipeline->tail, pipeline->tail_cap, sizeof(*pipeline->tail));
    }
    pipeline->tail[pipeline->tail_count].decision = decision;
    memcpy(pipeline->tail[pipeline->tail_count].hash, hash, SHA256_SIZE);
    pipeline->tail_count++;
}

int pipeline_confirm(struct pipelines *pipelines, struct pipeline *pipeline,
                     Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                     struct err *err)
{
    pipeline->in_flight--;
    tail_add(pipeline, decision, hash);
    if (pipeline->in_flight == 0 && pipeline->tail_count >= TAIL_SWAP)
        spec_becomes_base(pipelines, pipeline);
    else if (pipeline->tail_count >= TAIL_MAX)
        return fold_tail(pipeline, err);
    return 0;
}

int pipeline_fold(struct pipelines *pipelines, struct pipeline *pipeline,
                  const Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                  struct err *err)
{
    if (pipeline->spec && pipeline->in_flight > 0)
        return err_set(err, ERR_INTERNAL, "pipeline \"%s\" is folded under a speculation",
                       pipeline->name);
    if (pipeline->spec)
        spec_becomes_base(pipelines, pipeline);
    if (engine_fold(pipeline->base, decision, hash, err) < 0)
        return err_wrap(err, "pipeline \"%s\"", pipeline->name);
    deadline_update(pipelines, pipeline);
    return 0;
}

static int drop(struct pipelines *pipelines, struct pipeline *pipeline, struct err *err)
{
    int rc = 0;

    if (pipeline->in_flight == 0) {
        spec_becomes_base(pipelines, pipeline);
        return 0;
    }
    pipeline->in_flight = 0;
    warm_remove(pipelines, pipeline);
    engine_state_free(pipeline->spec);
    pipeline->spec = NULL;
    rc = fold_tail(pipeline, err);
    deadline_update(pipelines, pipeline);
    return rc;
}

int pipelines_drop(struct pipelines *pipelines, struct err *err)
{
    int rc = 0;

    while (pipelines->warm)
        if (drop(pipelines, pipelines->warm, rc < 0 ? NULL : err) < 0)
            rc = -1;
    return rc;
}

void pipelines_cool(struct pipelines *pipelines)
{
    struct pipeline *next;

    for (struct pipeline *pipeline = pipelines->warm; pipeline; pipeline = next) {
        next = pipeline->warm_next;
        if (pipeline->in_flight == 0)
            spec_becomes_base(pipelines, pipeline);
    }
}

struct pipeline *pipelines_first_due(const struct pipelines *pipelines)
{
    return (struct pipeline *)heap_first(&pipelines->deadlines);
}

void pipelines_postpone(struct pipelines *pipelines, struct pipeline *pipeline, int64_t at_ms)
{
    heap_put(&pipelines->deadlines, &pipeline->deadline, at_ms);
}
