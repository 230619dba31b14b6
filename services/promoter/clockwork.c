/* What the clock causes: time-outs and expiries (docs/ledger.md, "The loop", 6).
 *
 * A round: some pipeline's deadline is past -> the own clock was compared with Kafka's lately, or
 * an empty Decision is appended to do so -> the ends of all inputs are asked for -> once every
 * input was stepped to them, all pipelines whose deadline was past when the ends were asked for are
 * stepped by the clock. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/promoter/partition.h"

#define SKEW_MAX_MS     30000
#define COMPARED_FOR_MS 60000
#define AGAIN_MS        60000 /* a deadline that changed nothing, or a clock that is off */
#define WAKE_MAX_MS     60000 /* the wall clock may be set */
#define SET_MS          1000  /* it was, if it moved by more than this beside the monotonic one */

struct question {
    struct partition *p;
    uint64_t generation;
};

void clockwork_begin(struct partition *p)
{
    p->clock.stage = CLOCK_IDLE;
    p->clock.not_before_mono_ms = INT64_MIN;
    lookout_begin(p);
}

void clockwork_compare(struct partition *p, int64_t before_ms, int64_t after_ms, int64_t append_ms)
{
    struct clockwork *clock = &p->clock;
    bool was_ok = clock->clock_ok;

    clock->compared_mono_ms = partition_mono(p);
    clock->compared_at_ms = partition_now(p);
    clock->off_ms = append_ms < before_ms  ? append_ms - before_ms
                    : append_ms > after_ms ? append_ms - after_ms
                                           : 0;
    clock->clock_ok = clock->off_ms >= -SKEW_MAX_MS && clock->off_ms <= SKEW_MAX_MS;
    if (!clock->clock_ok)
        log_warn("the own clock differs from Kafka's: nothing is decided by the clock",
                 LOG_I("partition", p->number), LOG_I("ms", clock->off_ms));
    if (was_ok != clock->clock_ok)
        p->io->changed(p, p->io->arg);
    if (clock->stage == CLOCK_COMPARING) {
        clock->stage = CLOCK_IDLE;
        clockwork_advance(p);
    }
}

static void later(struct partition *p, int64_t delay_ms)
{
    p->clock.stage = CLOCK_IDLE;
    p->clock.not_before_mono_ms = partition_mono(p) + delay_ms;
    partition_rewake(p);
}

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct question *question = arg;
    struct partition *p = question->p;

    if (p->closed || question->generation != p->generation || p->phase != PARTITION_RUNNING ||
        p->clock.stage != CLOCK_ASKING)
        goto out;
    if (err) {
        silence_excuse(&p->silence, partition_mono(p));
        later(p, PARTITION_RETRY_MS);
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        p->clock.ends[ends[i].topic] = ends[i].end;
    p->clock.stage = CLOCK_READING;
    clockwork_advance(p);
out:
    free(question);
    partition_unref(p);
}

static void ask(struct partition *p)
{
    struct question *question = mem_alloc(sizeof(*question));
    struct bus_end ends[PARTITION_INPUTS];

    for (size_t i = 0; i < PARTITION_INPUTS; i++)
        ends[i] = (struct bus_end){.topic = partition_inputs[i], .partition = p->number};
    question->p = p;
    question->generation = p->generation;
    p->clock.stage = CLOCK_ASKING;
    p->clock.asked_at_ms = partition_now(p);
    p->clock.asked_at_mono_ms = partition_mono(p);
    partition_ref(p);
    p->io->ask_ends(ends, PARTITION_INPUTS, on_ends, question, p->io->arg);
}

static bool due(const struct partition *p)
{
    const struct pipeline *first = pipelines_first_due(&p->pipelines);

    return lookout_due(p) || (first && first->deadline.key <= partition_now(p));
}

/* The last comparison says nothing of the clock as it is now. */
static bool stale(const struct partition *p, int64_t mono)
{
    const struct clockwork *clock = &p->clock;
    int64_t moved;

    if (clock->compared_mono_ms == INT64_MIN || mono - clock->compared_mono_ms > COMPARED_FOR_MS)
        return true;
    moved = partition_now(p) - clock->compared_at_ms - (mono - clock->compared_mono_ms);
    return moved > SET_MS || moved < -SET_MS;
}

static void start_round(struct partition *p)
{
    struct clockwork *clock = &p->clock;
    int64_t mono = partition_mono(p);
    struct err err;

    lookout_scan(p);
    if (p->phase != PARTITION_RUNNING || !due(p) || mono < clock->not_before_mono_ms)
        return;
    if (stale(p, mono)) {
        clock->stage = CLOCK_COMPARING;
        if (decide_empty(p, &err) < 0 && p->phase == PARTITION_RUNNING)
            later(p, PARTITION_RETRY_MS);
        return;
    }
    if (!clock->clock_ok) {
        later(p, AGAIN_MS);
        return;
    }
    ask(p);
}

static bool inputs_read(const struct partition *p)
{
    for (size_t i = 0; i < PARTITION_INPUTS; i++)
        if (!input_stepped_to(p, partition_inputs[i], p->clock.ends[partition_inputs[i]]))
            return false;
    return true;
}

/* A Decision's time is never below that of the one before, which may be later than the asking. What
 * falls due between the two was not asked for. */
static bool nothing_between(struct partition *p, struct pipeline *pipeline)
{
    return p->time_ms <= p->clock.asked_at_ms ||
           decide_clock_next(p, pipeline, p->clock.asked_at_ms) > p->time_ms;
}

static void step_due(struct partition *p)
{
    struct pipeline *pipeline;
    struct err err;

    while (p->phase == PARTITION_RUNNING && p->in_flight < PARTITION_IN_FLIGHT_MAX &&
           (pipeline = pipelines_first_due(&p->pipelines)) &&
           pipeline->deadline.key <= p->clock.asked_at_ms) {
        int64_t deadline = pipeline->deadline.key;
        int rc;

        if (pipeline_open(&p->pipelines, pipeline, &err) < 0) {
            partition_distrust(p, &err);
            return;
        }
        if (!nothing_between(p, pipeline))
            break;
        rc = decide_clock(p, pipeline, p->clock.asked_at_ms, &err);
        if (rc < 0 && p->phase != PARTITION_RUNNING)
            return;
        if (rc <= 0) {
            log_error("a deadline that changes nothing: it is looked at again in a minute",
                      LOG_S("pipeline", pipeline->name), LOG_I("deadline_ms", deadline),
                      LOG_S("error", rc < 0 ? err.msg : ""));
            pipelines_postpone(&p->pipelines, pipeline, partition_now(p) + AGAIN_MS);
        }
    }
    lookout_step(p);
    if (p->phase == PARTITION_RUNNING)
        later(p, 0);
}

void clockwork_advance(struct partition *p)
{
    if (p->phase != PARTITION_RUNNING || p->stopping)
        return;
    if (p->clock.stage == CLOCK_IDLE)
        start_round(p);
    else if (p->clock.stage == CLOCK_READING && inputs_read(p))
        step_due(p);
}

int64_t clockwork_due_mono(const struct partition *p)
{
    const struct pipeline *first = pipelines_first_due(&p->pipelines);
    int64_t mono, due_mono;

    if (p->clock.stage != CLOCK_IDLE)
        return INT64_MAX;
    mono = partition_mono(p);
    due_mono = first ? first->deadline.key - partition_now(p) : INT64_MAX;
    if (first && due_mono > WAKE_MAX_MS)
        due_mono = WAKE_MAX_MS;
    if (first)
        due_mono = mono + (due_mono > 0 ? due_mono : 0);
    if (lookout_due_mono(p) < due_mono)
        due_mono = lookout_due_mono(p);
    if (due_mono == INT64_MAX)
        return due_mono;
    return due_mono > p->clock.not_before_mono_ms ? due_mono : p->clock.not_before_mono_ms;
}
