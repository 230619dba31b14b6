#include "services/promoter/partition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"

const enum topic partition_inputs[PARTITION_INPUTS] = {
    TOPIC_DEFINITION,    TOPIC_SOURCE,          TOPIC_COMMAND,       TOPIC_RESULT_BUILD,
    TOPIC_RESULT_DEPLOY, TOPIC_RESULT_APPROVAL, TOPIC_RESULT_CUSTOM,
};

int64_t partition_now(const struct partition *p)
{
    return p->io->now_ms(p->io->arg);
}

int64_t partition_mono(const struct partition *p)
{
    return p->io->mono_ms(p->io->arg);
}

const char *partition_phase_name(enum partition_phase phase)
{
    static const char *const names[] = {"restoring", "waiting", "running",
                                        "rereading", "refused", "closed"};

    return names[phase];
}

void partition_ref(struct partition *p)
{
    p->refs++;
}

void partition_unref(struct partition *p)
{
    if (--p->refs > 0)
        return;
    pipelines_release(&p->pipelines);
    free(p);
}

void partition_set_phase(struct partition *p, enum partition_phase phase)
{
    if (p->phase == phase)
        return;
    log_debug("partition's phase", LOG_I("partition", p->number),
              LOG_S("from", partition_phase_name(p->phase)),
              LOG_S("to", partition_phase_name(phase)));
    p->phase = phase;
    if (!p->closed)
        p->io->changed(p, p->io->arg);
}

bool partition_restored(const struct partition *p)
{
    return p->phase == PARTITION_RUNNING || p->phase == PARTITION_REREADING;
}

void partition_reset(struct partition *p)
{
    p->generation++;
    flight_forget(p);
    restore_free(p);
    checkpoint_free(p);
    publish_clear(p);
    pipelines_release(&p->pipelines);
    pipelines_init(&p->pipelines);
    if (p->genesis)
        event_free(p->genesis);
    p->genesis = NULL;
    chain_init(&p->chain);
    for (int t = 0; t < TOPIC_COUNT; t++)
        p->inputs[t] = (struct input){0};
    p->command = (struct command_wait){.retry_mono_ms = INT64_MAX};
    p->clock = (struct clockwork){.compared_mono_ms = INT64_MIN};
    silence_release(&p->silence);
    strv_release(&p->looking);
    p->scan_mono_ms = p->look_mono_ms = INT64_MAX;
    p->ledger_next = 0;
    p->head_any = false;
    p->reread_below = 0;
    p->reread_ask = p->reread_asked = false;
    p->published_below = p->published_matter = 0;
    p->checkpoint_slot = -1;
    p->unsaved = false;
}

struct partition *partition_new(const struct partition_conf *conf)
{
    struct partition *p = mem_alloc(sizeof(*p));

    p->number = conf->number;
    p->count = conf->count;
    p->checkpoint_every_ms = conf->checkpoint_every_ms;
    p->io = conf->io;
    p->metrics = conf->metrics;
    p->phase = PARTITION_RESTORING;
    p->refs = 1;
    p->woken_mono_ms = INT64_MAX;
    p->retry_mono_ms = INT64_MAX;
    pipelines_init(&p->pipelines);
    partition_reset(p);
    restore_begin(p);
    return p;
}

static void unfollow(struct partition *p)
{
    for (size_t i = 0; i < PARTITION_INPUTS; i++)
        p->io->unfollow(partition_inputs[i], p->number, p->io->arg);
    p->io->unfollow(TOPIC_LEDGER, p->number, p->io->arg);
    p->io->unfollow(TOPIC_PROMOTER_STATE, p->number, p->io->arg);
}

void partition_close(struct partition *p)
{
    if (!p)
        return;
    p->closed = true;
    p->io->wake(p, INT64_MAX, p->io->arg);
    unfollow(p);
    partition_reset(p);
    partition_set_phase(p, PARTITION_CLOSED);
    partition_unref(p);
}

void partition_refuse(struct partition *p, const struct err *why)
{
    if (p->closed)
        return;
    if (!str_eq(p->reason, why->msg))
        log_error("partition refused: it is tried again every 30 s", LOG_I("partition", p->number),
                  LOG_E(why));
    snprintf(p->reason, sizeof(p->reason), "%s", why->msg);
    unfollow(p);
    partition_reset(p);
    p->retry_mono_ms = partition_mono(p) + PARTITION_REFUSED_MS;
    p->phase = PARTITION_REFUSED;
    p->io->changed(p, p->io->arg);
    partition_rewake(p);
}

void partition_distrust(struct partition *p, const struct err *why)
{
    p->distrust = true;
    partition_refuse(p, why);
    if (!p->closed)
        p->retry_mono_ms = partition_mono(p);
    partition_rewake(p);
}

void partition_stop(struct partition *p)
{
    if (!p->stopping)
        partition_pause_all(p);
    p->stopping = true;
    if (p->phase == PARTITION_RUNNING)
        checkpoint_advance(p);
}

bool partition_at_rest(const struct partition *p)
{
    if (p->phase != PARTITION_RUNNING)
        return p->appends_open == 0;
    return p->in_flight == 0 && p->appends_open == 0 && !p->publications && !p->cut && !p->unsaved;
}

void partition_poke(struct partition *p)
{
    if (p->phase == PARTITION_WAITING && p->chain.begun && p->io->environments_known(p->io->arg))
        partition_run(p);
}

/* ---- inputs: paused, resumed, read anew ---- */

void partition_pause(struct partition *p, enum topic topic, bool paused)
{
    if (p->inputs[topic].paused == paused)
        return;
    p->inputs[topic].paused = paused;
    p->io->pause(topic, p->number, paused, p->io->arg);
}

void partition_pause_all(struct partition *p)
{
    for (size_t i = 0; i < PARTITION_INPUTS; i++)
        partition_pause(p, partition_inputs[i], true);
    p->throttled = true;
}

static bool is_full(const struct partition *p, size_t divisor)
{
    return p->in_flight >= PARTITION_IN_FLIGHT_MAX / divisor ||
           p->unpublished >= PARTITION_UNPUBLISHED_MAX / divisor;
}

void partition_throttle(struct partition *p)
{
    if (p->phase != PARTITION_RUNNING || p->stopping)
        return;
    if (!p->throttled && is_full(p, 1)) {
        partition_pause_all(p);
    } else if (p->throttled && !is_full(p, 2)) {
        p->throttled = false;
        for (size_t i = 0; i < PARTITION_INPUTS; i++)
            if (!p->inputs[partition_inputs[i]].held)
                partition_pause(p, partition_inputs[i], false);
    }
}

void partition_run(struct partition *p)
{
    struct err err;

    memcpy(p->head, p->chain.head, sizeof(p->head));
    p->head_any = p->chain.begun;
    p->time_ms = p->chain.time_ms;
    p->recorded_published = p->chain.published_below;
    p->caused_mono_ms = partition_mono(p);
    clockwork_begin(p);
    input_begin(p);
    for (size_t i = 0; i < PARTITION_INPUTS; i++) {
        enum topic topic = partition_inputs[i];

        p->recorded_next[topic] =
            p->chain.positions[topic].known ? p->chain.positions[topic].next_offset : -1;
        if (p->io->follow(topic, p->number, p->inputs[topic].next, p->io->arg, &err) < 0) {
            err_wrap(&err, "cannot go to offset %lld of %s", (long long)p->inputs[topic].next,
                     topic_info(topic)->name);
            partition_refuse(p, &err);
            return;
        }
    }
    p->reason[0] = '\0';
    partition_set_phase(p, PARTITION_RUNNING);
    if (is_full(p, 2))
        partition_pause_all(p);
    else
        p->throttled = true; /* to resume what a drop has paused */
    partition_throttle(p);
    publish_pump(p);
    partition_rewake(p);
}

/* ---- what is due when ---- */

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t due_running(const struct partition *p)
{
    int64_t due = min64(clockwork_due_mono(p), checkpoint_due_mono(p));

    due = min64(due, p->command.retry_mono_ms);
    if (decide_empty_due(p))
        due = min64(due, p->caused_mono_ms + PARTITION_QUIET_MS);
    return due;
}

void partition_rewake(struct partition *p)
{
    int64_t due = p->retry_mono_ms;

    if (p->closed)
        return;
    due = min64(due, p->publish_retry_mono_ms);
    if (p->phase == PARTITION_RUNNING && !p->stopping)
        due = min64(due, due_running(p));
    if (due >= p->woken_mono_ms)
        return;
    p->woken_mono_ms = due;
    p->io->wake(p, due, p->io->arg);
}

static void tick_running(struct partition *p, int64_t mono)
{
    struct err err;

    input_tick(p);
    clockwork_advance(p);
    if (p->phase == PARTITION_RUNNING)
        checkpoint_advance(p);
    if (p->phase == PARTITION_RUNNING && decide_empty_due(p) &&
        mono >= p->caused_mono_ms + PARTITION_QUIET_MS && decide_empty(p, &err) < 0)
        log_warn("quiet Decision could not be appended", LOG_I("partition", p->number),
                 LOG_E(&err));
}

void partition_tick(struct partition *p)
{
    int64_t mono = partition_mono(p);

    if (p->closed)
        return;
    p->woken_mono_ms = INT64_MAX;
    partition_ref(p);
    if (mono >= p->retry_mono_ms) {
        p->retry_mono_ms = INT64_MAX;
        if (p->phase == PARTITION_REFUSED) {
            partition_set_phase(p, PARTITION_RESTORING);
            restore_begin(p);
        } else if (p->phase == PARTITION_RESTORING || p->phase == PARTITION_WAITING) {
            restore_tick(p);
        } else if (p->phase == PARTITION_REREADING) {
            confirm_tick(p);
        }
    }
    if (mono >= p->publish_retry_mono_ms)
        publish_tick(p);
    if (p->phase == PARTITION_RUNNING && !p->stopping)
        tick_running(p, mono);
    partition_rewake(p);
    partition_unref(p);
}
