/* Requests in: the wiring of a group consumer to the table of runs. */
#include "executor/executor.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "executor/internal.h"
#include "log/log.h"

#include <stdio.h>

#define FLUSH_MS 5000

static void check_full(struct executor *ex)
{
    bool full = ex->group && bus_group_any_paused_full(ex->group);
    if (full == ex->full)
        return;
    ex->full = full;
    char reason[128];
    snprintf(reason, sizeof(reason), "%zu runs wait for %u slots: no more requests are read",
             ex->parked + ex->checking, ex->conf.slots);
    if (full)
        log_warn("too many runs wait", LOG_I("parked", ex->parked), LOG_I("slots", ex->conf.slots));
    if (ex->handler.full)
        ex->handler.full(full, full ? reason : NULL, ex->handler.arg);
}

static void on_tick(void *arg)
{
    struct executor *ex = arg;
    int64_t now = clock_mono_ms();
    for (struct map_iter it = {0}; map_next(ex->runs, &it);) {
        struct executor_run *run = it.value;
        run_resend(run);
        run_heartbeat(run, now);
        if (!run->owned && run->state == RUN_RUNNING &&
            now - run->revoked_ms >= ex->conf.revoked_keep_ms)
            run_tell(run, EXECUTOR_REVOKED, "Its partition went to another executor");
    }
    executor_pump(ex);
    check_full(ex);
    if (map_count(ex->runs))
        loop_timer_arm(ex->tick, TICK_MS);
}

void executor_wake(struct executor *ex)
{
    if (!loop_timer_armed(ex->tick))
        loop_timer_arm(ex->tick, TICK_MS);
}

/* ---- requests ---- */

static void settle_record(struct executor *ex, const struct bus_record *record)
{
    bus_group_done(ex->group, record->topic, record->partition, record->offset);
}

static void on_cancel(struct executor *ex, Gantry__V1__ActionRequest *request,
                      const struct bus_record *record)
{
    struct executor_run *run = map_get(ex->runs, request->run_id);
    if (run) {
        run_cancel(run, request->cancel_reason, record->offset);
        return;
    }
    if (!memory_get(&ex->memory, request->run_id))
        memory_add(&ex->memory, request->run_id,
                   str_empty(request->cancel_reason) ? "It was cancelled" : request->cancel_reason);
    settle_record(ex, record);
}

/* A request of a run that is in the table: the record it came by, again, or a repetition. */
static void on_repeated(struct executor *ex, struct executor_run *run,
                        const struct bus_record *record)
{
    if (run->offset == record->offset && run->partition == record->partition)
        run->owned = true;
    else
        settle_record(ex, record);
}

static void place(struct executor *ex, struct executor_run *run)
{
    if (lookup_is_needed(ex, run)) {
        run->state = RUN_CHECKING;
        ex->checking++;
        lookup_want(ex, run);
    } else {
        run_park(run);
        executor_pump(ex);
    }
}

/* True when the run was taken into the table, and `request` with it. */
static bool on_run(struct executor *ex, Gantry__V1__ActionRequest *request,
                   const struct event_meta *meta, const struct bus_record *record)
{
    struct executor_run *run = map_get(ex->runs, request->run_id);
    if (run) {
        on_repeated(ex, run, record);
        return false;
    }
    const char *cancelled = memory_get(&ex->memory, request->run_id);
    if (cancelled && !*cancelled) {
        settle_record(ex, record);
        return false;
    }
    run = run_new(ex, request, meta->traceparent, record);
    run->asked_ms = meta->time_ms && meta->time_ms < record->timestamp_ms ? meta->time_ms
                                                                          : record->timestamp_ms;
    if (cancelled) {
        run->cancelled = true;
        run->cancel_reason = mem_strdup(cancelled);
        run_end_unstarted(run, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, run->cancel_reason);
        return true;
    }
    place(ex, run);
    return true;
}

/* Once the record is in `deadletter`, this one is settled; until then it comes again. */
struct misfit {
    struct executor *executor;
    enum topic topic;
    int32_t partition;
    int64_t offset;
};

static void on_misfit_ack(const struct bus_ack *ack, void *arg)
{
    struct misfit *misfit = arg;
    if (ack->ok && misfit->executor->group &&
        bus_group_owns(misfit->executor->group, misfit->partition))
        bus_group_done(misfit->executor->group, misfit->topic, misfit->partition, misfit->offset);
    free(misfit);
}

static void deadletter(struct executor *ex, const struct bus_record *record, const char *reason)
{
    struct misfit *misfit = mem_alloc(sizeof(*misfit));
    *misfit = (struct misfit){.executor = ex,
                              .topic = record->topic,
                              .partition = record->partition,
                              .offset = record->offset};
    struct err err = {0};
    if (bus_deadletter(ex->producer, record, reason, on_misfit_ack, misfit, &err) < 0) {
        log_error("cannot put a record aside", LOG_I("offset", record->offset), LOG_E(&err));
        free(misfit);
    }
}

static void on_request(struct bus_group *group, const struct bus_record *record, void *arg)
{
    struct executor *ex = arg;
    struct event_meta meta = {0};
    struct err err = {0};
    void *message = NULL;
    (void)group;
    if (ex->stopping)
        return;
    if (event_read_headers(&meta, record->headers, record->header_count, &err) < 0 ||
        event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0) {
        deadletter(ex, record, err.msg);
        return;
    }
    Gantry__V1__ActionRequest *request = message;
    bool taken = false;
    if (ex->handler.mine && !ex->handler.mine(request, ex->handler.arg))
        settle_record(ex, record);
    else if (request->verb == GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL)
        on_cancel(ex, request, record);
    else
        taken = on_run(ex, request, &meta, record);
    if (!taken)
        event_free(request);
}

static void on_assign(struct bus_group *group, int32_t partition, void *arg)
{
    struct executor *ex = arg;
    (void)group;
    if (partition < 0 || partition >= ex->conf.partitions) {
        log_error("the request topic has more partitions than common.partitions says",
                  LOG_I("partition", partition), LOG_I("partitions", ex->conf.partitions));
        return;
    }
    lookup_assigned(ex, partition);
}

static void on_revoke(struct bus_group *group, int32_t partition, bool lost, void *arg)
{
    struct executor *ex = arg;
    (void)group;
    (void)lost;
    if (partition < 0 || partition >= ex->conf.partitions)
        return;
    ex->partitions[partition] = (struct partition){0};
    for (struct map_iter it = {0}; map_next(ex->runs, &it);) {
        struct executor_run *run = it.value;
        if (run->partition != partition)
            continue;
        run->owned = false;
        run->cancel_offset = -1;
        run->revoked_ms = clock_mono_ms();
        /* What was not started comes again with the partition, wherever that is. */
        if (run->state == RUN_PARKED || run->state == RUN_CHECKING)
            run_free(run);
    }
}

/* ---- life ---- */

static void add_metrics(struct executor *ex, const struct executor_conf *conf)
{
    static const char *const outcome[] = {NULL, "succeeded", "failed", "stopped", "lost"};
    struct metrics *m = conf->metrics;
    ex->m_running = metrics_gauge(m, "gantry_executor_running", NULL, "Runs under way");
    ex->m_parked = metrics_gauge(m, "gantry_executor_parked", NULL, "Runs waiting for a slot");
    ex->m_started = metrics_counter(m, "gantry_executor_started_total", NULL, "Runs started");
    for (size_t i = 1; i < sizeof(outcome) / sizeof(*outcome); i++) {
        char label[64];
        snprintf(label, sizeof(label), "outcome=\"%s\"", outcome[i]);
        ex->m_ended[i] =
            metrics_counter(m, "gantry_executor_ended_total", label, "Runs ended, by outcome");
    }
}

int executor_new(struct executor **out, struct loop *loop, struct bus *bus,
                 const struct executor_conf *conf, const struct executor_handler *handler,
                 struct err *err)
{
    if (conf->slots < 1 || conf->partitions < 1)
        return err_set(err, ERR_INVALID, "an executor needs at least one slot and one partition");
    struct executor *ex = mem_alloc(sizeof(*ex));
    ex->loop = loop;
    ex->bus = bus;
    ex->conf = *conf;
    ex->conf.group = NULL;
    ex->conf.instance = NULL;
    if (!ex->conf.revoked_keep_ms)
        ex->conf.revoked_keep_ms = REVOKED_KEEP_MS;
    ex->instance = mem_strdup(conf->instance ? conf->instance : "");
    ex->handler = *handler;
    ex->partitions = mem_alloc((size_t)conf->partitions * sizeof(*ex->partitions));
    ex->runs = map_new(NULL);
    memory_init(&ex->memory);
    lookup_init(ex);
    ex->lookup_timer = loop_timer_new(loop, lookup_begin, ex);
    ex->ends_timer = loop_timer_new(loop, lookup_ask_ends, ex);
    ex->tick = loop_timer_new(loop, on_tick, ex);
    add_metrics(ex, conf);

    const struct bus_producer_conf producer = {0};
    const enum topic topics[] = {conf->requests};
    const struct bus_group_conf group = {
        .topics = topics, .topic_count = 1, .group = conf->group, .commit_ranges = true};
    const struct bus_group_handler gh = {
        .on_record = on_request, .on_assign = on_assign, .on_revoke = on_revoke, .arg = ex};
    if (bus_producer_new(&ex->producer, bus, &producer, err) < 0 ||
        bus_group_new(&ex->group, bus, &group, &gh, err) < 0) {
        executor_free(ex);
        return -1;
    }
    *out = ex;
    return 0;
}

static void on_group_closed(void *arg)
{
    struct executor *ex = arg;
    ex->group = NULL;
    void (*stopped)(void *) = ex->stopped;
    ex->stopped = NULL;
    if (stopped)
        stopped(ex->stopped_arg);
}

static void on_flushed(bool all, void *arg)
{
    struct executor *ex = arg;
    if (!all)
        log_warn("results wait that Kafka did not take in time; those runs are done again",
                 LOG_I("waiting", bus_producer_waiting(ex->producer)));
    bus_group_close(ex->group, on_group_closed, ex);
}

/* Stopping: once nothing runs and no result waits for its ack, the rest of the way out. */
void executor_check_stopped(struct executor *ex)
{
    if (!ex->stopping || ex->running || ex->closing)
        return;
    ex->closing = true;
    bus_producer_flush(ex->producer, FLUSH_MS, on_flushed, ex);
}

void executor_stop(struct executor *ex, void (*done)(void *arg), void *arg)
{
    ex->stopping = true;
    ex->stopped = done;
    ex->stopped_arg = arg;
    loop_timer_cancel(ex->lookup_timer);
    loop_timer_cancel(ex->ends_timer);
    for (struct map_iter it = {0}; map_next(ex->runs, &it);) {
        struct executor_run *run = it.value;
        if (run->state == RUN_PARKED || run->state == RUN_CHECKING)
            run_free(run);
        else
            run_tell(run, EXECUTOR_HANDBACK, "The service stops; the run is handed back");
    }
    executor_check_stopped(ex);
}

void executor_free(struct executor *ex)
{
    if (!ex)
        return;
    ex->stopping = ex->closing = true;
    lookup_free(ex);
    if (ex->producer)
        bus_producer_free(ex->producer);
    if (ex->runs) {
        for (struct map_iter it = {0}; map_next(ex->runs, &it);)
            run_free(it.value);
        map_free(ex->runs);
    }
    loop_timer_free(ex->lookup_timer);
    loop_timer_free(ex->ends_timer);
    loop_timer_free(ex->tick);
    memory_release(&ex->memory);
    free(ex->partitions);
    free(ex->instance);
    free(ex);
}

void executor_hold(struct executor *ex, bool hold)
{
    ex->held = hold;
    executor_pump(ex);
}

void executor_counts(const struct executor *ex, struct executor_counts *out)
{
    *out = (struct executor_counts){
        .running = ex->running, .parked = ex->parked, .checking = ex->checking, .full = ex->full};
}
