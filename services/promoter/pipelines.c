#include "services/promoter/pipelines.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static void pipeline_free(void *arg)
{
    struct pipeline *pipeline = arg;

    if (!pipeline)
        return;
    engine_state_free(pipeline->base);
    free(pipeline->encoded);
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

static void update_deadline(struct pipelines *pipelines, struct pipeline *pipeline)
{
    heap_put(&pipelines->deadlines, &pipeline->deadline, engine_state_deadline(pipeline->latest));
}

static struct pipeline *add(struct pipelines *pipelines, const char *name)
{
    struct pipeline *pipeline = mem_alloc(sizeof(*pipeline));

    pipeline->name = mem_strdup(name);
    pipeline->deadline.index = HEAP_OUT;
    pipeline->snapshot_slot = -1;
    map_set(pipelines->by_name, name, pipeline);
    return pipeline;
}

struct pipeline *pipelines_add(struct pipelines *pipelines, struct engine_state *base)
{
    struct pipeline *pipeline = add(pipelines, engine_state_pipeline(base));

    pipeline->base = base;
    pipeline->latest = base;
    update_deadline(pipelines, pipeline);
    return pipeline;
}

struct pipeline *pipelines_add_encoded(struct pipelines *pipelines, const char *name,
                                       const void *data, size_t len, int64_t deadline_ms)
{
    struct pipeline *pipeline = add(pipelines, name);

    pipeline->encoded = mem_dup(data, len);
    pipeline->encoded_len = len;
    heap_put(&pipelines->deadlines, &pipeline->deadline, deadline_ms);
    return pipeline;
}

int pipeline_open(struct pipelines *pipelines, struct pipeline *pipeline, struct err *err)
{
    struct engine_state *state;

    if (!pipeline->encoded)
        return 0;
    if (engine_decode(&state, pipeline->encoded, pipeline->encoded_len, err) < 0)
        return err_wrap(err, "the snapshot of pipeline \"%s\"", pipeline->name);
    if (!str_eq(engine_state_pipeline(state), pipeline->name) ||
        engine_state_sequence(state) != pipeline->snapshot_sequence ||
        memcmp(engine_state_hash(state), pipeline->snapshot_hash, SHA256_SIZE) != 0) {
        engine_state_free(state);
        return err_set(err, ERR_INVALID, "the snapshot of pipeline \"%s\" holds another state",
                       pipeline->name);
    }
    pipeline->base = state;
    pipeline->latest = state;
    free(pipeline->encoded);
    pipeline->encoded = NULL;
    update_deadline(pipelines, pipeline);
    return 0;
}

int pipeline_speculate(struct pipelines *pipelines, struct pipeline *pipeline,
                       struct engine_state *after, const Gantry__V1__Decision *decision,
                       const uint8_t hash[SHA256_SIZE], struct err *err)
{
    if (engine_settle(after, decision, hash, err) < 0)
        return err_wrap(err, "pipeline \"%s\"", pipeline->name);
    pipeline->latest = after;
    pipeline->in_flight++;
    update_deadline(pipelines, pipeline);
    return 0;
}

void pipeline_confirm(struct pipeline *pipeline, struct engine_state *state)
{
    engine_state_free(pipeline->base);
    pipeline->base = state;
    pipeline->in_flight--;
}

void pipeline_forget(struct pipelines *pipelines, struct pipeline *pipeline,
                     struct engine_state *state)
{
    pipeline->latest = pipeline->base;
    pipeline->in_flight--;
    engine_state_free(state);
    update_deadline(pipelines, pipeline);
}

int pipeline_fold(struct pipelines *pipelines, struct pipeline *pipeline,
                  const Gantry__V1__Decision *decision, const uint8_t hash[SHA256_SIZE],
                  struct err *err)
{
    if (pipeline->in_flight > 0)
        return err_set(err, ERR_INTERNAL, "pipeline \"%s\" is folded under a speculation",
                       pipeline->name);
    if (pipeline_open(pipelines, pipeline, err) < 0)
        return -1;
    if (engine_fold(pipeline->base, decision, hash, err) < 0)
        return err_wrap(err, "pipeline \"%s\"", pipeline->name);
    update_deadline(pipelines, pipeline);
    return 0;
}

int pipeline_set_numbers(struct pipelines *pipelines, struct pipeline *pipeline,
                         uint64_t next_release, uint64_t next_sequence, struct err *err)
{
    if (pipeline->in_flight > 0)
        return err_set(err, ERR_INTERNAL, "pipeline \"%s\" gets numbers under a speculation",
                       pipeline->name);
    if (pipeline_open(pipelines, pipeline, err) < 0)
        return -1;
    engine_state_set_numbers(pipeline->base, next_release, next_sequence);
    pipeline->numbered++;
    return 0;
}

struct pipeline *pipelines_first_due(const struct pipelines *pipelines)
{
    return (struct pipeline *)heap_first(&pipelines->deadlines);
}

void pipelines_postpone(struct pipelines *pipelines, struct pipeline *pipeline, int64_t at_ms)
{
    heap_put(&pipelines->deadlines, &pipeline->deadline, at_ms);
}
