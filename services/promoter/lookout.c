/* What nobody writes down and the promoter sees by itself: environments that changed under releases
 * that wait, and executors that fell silent. Both are decided in the clock's rounds (clockwork.c),
 * so that an answer that is in Kafka already comes first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "log/log.h"
#include "services/promoter/partition.h"

#define BEGIN_MS 1000  /* after a partition was taken over: what is waited for comes first */
#define SCAN_MS  60000 /* no run is silent before */

void lookout_begin(struct partition *p)
{
    silence_release(&p->silence);
    silence_init(&p->silence);
    strv_release(&p->looking);
    p->scan_mono_ms = partition_mono(p) + SCAN_MS;
    p->look_mono_ms = partition_mono(p) + BEGIN_MS;
}

void partition_look(struct partition *p)
{
    if (p->closed || p->phase != PARTITION_RUNNING)
        return; /* it looks when it begins to run */
    p->look_mono_ms = partition_mono(p);
    partition_rewake(p);
}

/* ---- runs ---- */

struct running {
    struct partition *p;
    const char *pipeline;
};

static void on_running(const char *run_id, int64_t lost_after_ms, void *arg)
{
    const struct running *running = arg;

    silence_started(&running->p->silence, running->pipeline, run_id, lost_after_ms,
                    partition_mono(running->p));
}

void lookout_decided(struct partition *p, const char *pipeline,
                     const Gantry__V1__Decision *decision)
{
    bool started = false;

    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];

        if (change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_ENDED)
            silence_ended(&p->silence, change->action_ended->run_id);
        started = started || change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_STARTED;
    }
    if (started) {
        const struct pipeline *found = pipelines_find(&p->pipelines, pipeline);
        struct running running = {p, pipeline};

        engine_state_running(found->latest, on_running, &running);
    }
}

void lookout_heard(struct partition *p, enum topic topic, const void *message)
{
    if (topic == TOPIC_RESULT_BUILD || topic == TOPIC_RESULT_DEPLOY || topic == TOPIC_RESULT_CUSTOM)
        silence_heard(&p->silence, ((const Gantry__V1__ActionResult *)message)->run_id,
                      partition_mono(p));
}

/* ---- finding ---- */

/* A pipeline with a run, or that a freeze holds, waits for the clock: others need not be opened. */
static bool is_quiet(const struct pipeline *pipeline)
{
    return pipeline->deadline.index == HEAP_OUT;
}

static bool open_all(struct partition *p)
{
    struct err err;

    for (struct map_iter it = {0}; map_next(p->pipelines.by_name, &it);) {
        struct pipeline *pipeline = it.value;

        if (is_quiet(pipeline) || pipeline_open(&p->pipelines, pipeline, &err) == 0)
            continue;
        partition_distrust(p, &err);
        return false;
    }
    return true;
}

static void find_runs(struct partition *p)
{
    p->scan_mono_ms = INT64_MAX;
    if (!open_all(p))
        return;
    for (struct map_iter it = {0}; map_next(p->pipelines.by_name, &it);) {
        const struct pipeline *pipeline = it.value;
        struct running running = {p, it.key};

        if (pipeline->latest)
            engine_state_running(pipeline->latest, on_running, &running);
    }
}

static void find_waiting(struct partition *p)
{
    p->look_mono_ms = INT64_MAX;
    strv_release(&p->looking);
    if (!open_all(p))
        return;
    for (struct map_iter it = {0}; map_next(p->pipelines.by_name, &it);) {
        const struct pipeline *pipeline = it.value;

        if (pipeline->latest && engine_state_waits(pipeline->latest))
            strv_add(&p->looking, it.key);
    }
}

void lookout_scan(struct partition *p)
{
    int64_t mono = partition_mono(p);

    if (mono >= p->scan_mono_ms)
        find_runs(p);
    if (p->phase == PARTITION_RUNNING && mono >= p->look_mono_ms)
        find_waiting(p);
}

bool lookout_due(const struct partition *p)
{
    const struct heard *first = silence_first(&p->silence);

    return p->looking.count > 0 || (first && first->due.key <= partition_mono(p));
}

int64_t lookout_due_mono(const struct partition *p)
{
    const struct heard *first = silence_first(&p->silence);
    int64_t due = p->scan_mono_ms < p->look_mono_ms ? p->scan_mono_ms : p->look_mono_ms;

    if (first && first->due.key < due)
        due = first->due.key;
    return p->looking.count > 0 ? partition_mono(p) : due;
}

/* ---- deciding ---- */

/* False: no more for now. */
static bool decide_one(struct partition *p, const char *name, const char *run_id, int64_t silent_ms)
{
    struct pipeline *pipeline = pipelines_find(&p->pipelines, name);
    struct err err;

    if (!pipeline || !pipeline->latest)
        return true;
    if (decide_seen(p, pipeline, run_id, silent_ms, p->clock.asked_at_ms, &err) < 0) {
        if (p->phase == PARTITION_RUNNING)
            log_error("what was seen could not be decided", LOG_S("pipeline", name), LOG_E(&err));
        return p->phase == PARTITION_RUNNING;
    }
    return true;
}

static bool has_room(const struct partition *p)
{
    return p->phase == PARTITION_RUNNING && p->in_flight < PARTITION_IN_FLIGHT_MAX;
}

static void step_silence(struct partition *p)
{
    struct heard *heard;

    while (has_room(p) && (heard = silence_first(&p->silence)) &&
           heard->due.key <= p->clock.asked_at_mono_ms) {
        int64_t silent_ms = p->clock.asked_at_mono_ms - heard->heard_mono_ms;
        bool lost = heard->told && silent_ms >= heard->lost_after_ms;
        char run_id[ID_SIZE], name[128];

        memcpy(run_id, heard->run_id, sizeof(run_id));
        snprintf(name, sizeof(name), "%s", heard->pipeline);
        if (!lost && silent_ms >= heard->lost_after_ms)
            silent_ms = heard->lost_after_ms - 1; /* it is said before it is lost */
        if (lost)
            silence_ended(&p->silence, run_id);
        else
            silence_told(&p->silence, heard, partition_mono(p));
        if (!decide_one(p, name, run_id, silent_ms))
            return;
    }
}

void lookout_step(struct partition *p)
{
    while (has_room(p) && p->looking.count > 0) {
        char name[128];

        snprintf(name, sizeof(name), "%s", p->looking.items[p->looking.count - 1]);
        free(p->looking.items[--p->looking.count]);
        if (!decide_one(p, name, NULL, 0))
            return;
    }
    step_silence(p);
}
