#include "services/promoter/silence.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define SILENT_MS 60000 /* of three heartbeats nothing came */
#define TOLD_MS   30000

static void heard_free(void *arg)
{
    struct heard *heard = arg;

    if (!heard)
        return;
    free(heard->pipeline);
    free(heard);
}

void silence_init(struct silence *silence)
{
    *silence = (struct silence){.runs = map_new(heard_free)};
}

void silence_release(struct silence *silence)
{
    if (silence->runs)
        map_free(silence->runs);
    heap_release(&silence->due);
    *silence = (struct silence){0};
}

static void put(struct silence *silence, struct heard *heard, int64_t mono_ms)
{
    int64_t after_ms = heard->lost_after_ms;

    heard->heard_mono_ms = mono_ms;
    heard->told = false;
    if (after_ms > SILENT_MS || after_ms <= 0)
        after_ms = SILENT_MS;
    heap_put(&silence->due, &heard->due, mono_ms + after_ms);
}

void silence_started(struct silence *silence, const char *pipeline, const char *run_id,
                     int64_t lost_after_ms, int64_t mono_ms)
{
    struct heard *heard = map_get(silence->runs, run_id);

    if (heard)
        return;
    heard = mem_alloc(sizeof(*heard));
    heard->due.index = HEAP_OUT;
    snprintf(heard->run_id, sizeof(heard->run_id), "%s", run_id);
    heard->pipeline = mem_strdup(pipeline);
    heard->lost_after_ms = lost_after_ms;
    map_set(silence->runs, run_id, heard);
    put(silence, heard, mono_ms);
}

void silence_heard(struct silence *silence, const char *run_id, int64_t mono_ms)
{
    struct heard *heard = map_get(silence->runs, run_id);

    if (heard)
        put(silence, heard, mono_ms);
}

void silence_ended(struct silence *silence, const char *run_id)
{
    struct heard *heard = map_get(silence->runs, run_id);

    if (!heard)
        return;
    heap_put(&silence->due, &heard->due, INT64_MAX);
    map_del(silence->runs, run_id);
}

void silence_told(struct silence *silence, struct heard *heard, int64_t mono_ms)
{
    int64_t lost = heard->heard_mono_ms + heard->lost_after_ms, soonest = mono_ms + TOLD_MS;

    heard->told = true;
    heap_put(&silence->due, &heard->due, lost > soonest ? lost : soonest);
}

void silence_excuse(struct silence *silence, int64_t mono_ms)
{
    for (struct map_iter it = {0}; map_next(silence->runs, &it);)
        put(silence, it.value, mono_ms);
}

struct heard *silence_first(const struct silence *silence)
{
    return (struct heard *)heap_first(&silence->due);
}
