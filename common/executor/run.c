/* One run: from parked to acknowledged. */
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "executor/internal.h"
#include "log/log.h"

#include <stdio.h>

struct executor_run *run_new(struct executor *ex, Gantry__V1__ActionRequest *request,
                             const char *traceparent, const struct bus_record *record)
{
    struct executor_run *run = mem_alloc(sizeof(*run));
    run->executor = ex;
    snprintf(run->id, sizeof(run->id), "%s", request->run_id);
    run->request = request;
    snprintf(run->traceparent, sizeof(run->traceparent), "%s", traceparent);
    run->partition = record->partition;
    run->offset = record->offset;
    run->cancel_offset = -1;
    run->owned = true;
    run->attempt = 1;
    run->last_result_ms = clock_mono_ms();
    runlog_init(run);
    map_set(ex->runs, run->id, run);
    executor_wake(ex);
    return run;
}

void run_free(struct executor_run *run)
{
    struct executor *ex = run->executor;
    if (run->state == RUN_PARKED)
        run_unpark(run);
    if (run->state == RUN_CHECKING)
        ex->checking--;
    map_take(ex->runs, run->id);
    runlog_release(run);
    event_free(run->request);
    event_free(run->finished);
    free(run->cancel_reason);
    free(run->phase);
    free(run->text);
    free(run);
}

void run_park(struct executor_run *run)
{
    struct executor *ex = run->executor;
    run->state = RUN_PARKED;
    run->prev = ex->parked_last;
    run->next = NULL;
    if (ex->parked_last)
        ex->parked_last->next = run;
    else
        ex->parked_first = run;
    ex->parked_last = run;
    metric_set(ex->m_parked, (double)++ex->parked);
}

void run_unpark(struct executor_run *run)
{
    struct executor *ex = run->executor;
    if (run->prev)
        run->prev->next = run->next;
    else
        ex->parked_first = run->next;
    if (run->next)
        run->next->prev = run->prev;
    else
        ex->parked_last = run->prev;
    run->prev = run->next = NULL;
    run->state = 0;
    metric_set(ex->m_parked, (double)--ex->parked);
}

/* ---- results ---- */

static int send_result(struct executor_run *run, Gantry__V1__ActionResult *result, bus_ack_fn *ack,
                       void *arg, struct err *err)
{
    struct event_meta meta = {0};
    result->pipeline = run->request->pipeline;
    result->run_id = run->id;
    result->attempt = run->attempt;
    if (!result->number)
        result->number = ++run->number;
    result->executor = run->executor->instance;
    event_id_result(meta.id, run->id, run->attempt, result->number);
    snprintf(meta.subject, sizeof(meta.subject), "%s/%llu", run->request->pipeline,
             (unsigned long long)run->request->release);
    event_trace_of(meta.traceparent, run->traceparent, meta.id);
    run->last_result_ms = clock_mono_ms();
    return bus_produce(run->executor->producer, run->executor->conf.results, &meta, result, ack,
                       arg, err);
}

/* What an ack of Started or Finished must find again: the run may be gone by then. */
struct waiting_ack {
    struct executor *executor;
    char id[RUN_ID_MAX];
    uint32_t attempt;
};

static struct waiting_ack *waiting_ack_new(struct executor_run *run)
{
    struct waiting_ack *wait = mem_alloc(sizeof(*wait));
    wait->executor = run->executor;
    snprintf(wait->id, sizeof(wait->id), "%s", run->id);
    wait->attempt = run->attempt;
    run->executor->undelivered++;
    return wait;
}

/* The run that waits for this ack in this state, or NULL. Frees the memory of it. */
static struct executor_run *waiting_ack_take(struct waiting_ack *wait, enum run_state state)
{
    struct executor_run *run = map_get(wait->executor->runs, wait->id);
    if (run && (run->attempt != wait->attempt || run->state != state))
        run = NULL;
    wait->executor->undelivered--;
    free(wait);
    return run;
}

static void begin(struct executor_run *run)
{
    run->state = RUN_RUNNING;
    run->executor->handler.start(run, run->executor->handler.arg);
}

static void on_started_ack(const struct bus_ack *ack, void *arg)
{
    struct waiting_ack *wait = arg;
    struct executor *ex = wait->executor;
    struct executor_run *run = waiting_ack_take(wait, RUN_ANNOUNCED);
    if (!run)
        return;
    if (!ack->ok) {
        run->unsent = true;
        executor_wake(ex);
    } else if (run->cancelled || ex->stopping || !run->owned) {
        ex->running--;
        if (run->cancelled)
            run_end_unstarted(run, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, run->cancel_reason);
        else
            run_free(run);
        executor_check_stopped(ex);
    } else {
        begin(run);
    }
}

static void send_started(struct executor_run *run, bool wait_for_ack)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Started started = GANTRY__V1__STARTED__INIT;
    struct err err = {0};
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_STARTED;
    result.started = &started;
    struct waiting_ack *wait = wait_for_ack ? waiting_ack_new(run) : NULL;
    if (send_result(run, &result, wait ? on_started_ack : NULL, wait, &err) < 0) {
        log_warn("cannot tell that a run started", LOG_S("run", run->id), LOG_E(&err));
        if (wait)
            waiting_ack_take(wait, 0);
        run->unsent = wait_for_ack;
        executor_wake(run->executor);
    }
}

static bool may_restart(const struct executor_run *run)
{
    const struct executor_handler *h = &run->executor->handler;
    return h->may_restart ? h->may_restart(run->request, h->arg) : run->request->retry_lost;
}

static void start(struct executor_run *run)
{
    struct executor *ex = run->executor;
    run_unpark(run);
    if (run->seen_started && !may_restart(run)) {
        run_end_unstarted(run, GANTRY__V1__OUTCOME__OUTCOME_LOST,
                          "Whoever ran it went away in the middle, and it may not be started again "
                          "(retry-lost is not set)");
        return;
    }
    metric_set(ex->m_running, (double)++ex->running);
    metric_add(ex->m_started, 1);
    run->started_ms = clock_now_ms();
    run->told = 0;
    bool at_once = may_restart(run);
    run->state = at_once ? RUN_RUNNING : RUN_ANNOUNCED;
    send_started(run, !at_once);
    if (at_once)
        begin(run);
}

void executor_pump(struct executor *ex)
{
    if (ex->pumping)
        return;
    ex->pumping = true;
    int64_t now = clock_mono_ms();
    struct executor_run *run = ex->parked_first;
    while (run && ex->running < ex->conf.slots && !ex->held && !ex->stopping) {
        struct executor_run *next = run->next;
        if (run->not_before_ms <= now) {
            start(run);
            next = ex->parked_first;
        }
        run = next;
    }
    ex->pumping = false;
}

/* ---- the end ---- */

static void settle(struct executor_run *run)
{
    struct executor *ex = run->executor;
    memory_add(&ex->memory, run->id, "");
    if (run->owned && ex->group) {
        bus_group_done(ex->group, ex->conf.requests, run->partition, run->offset);
        if (run->cancel_offset >= 0)
            bus_group_done(ex->group, ex->conf.requests, run->partition, run->cancel_offset);
    }
    run_free(run);
    executor_check_stopped(ex);
}

static void on_finished_ack(const struct bus_ack *ack, void *arg)
{
    struct executor_run *run = waiting_ack_take(arg, RUN_ENDED);
    if (!run)
        return;
    if (ack->ok) {
        settle(run);
        return;
    }
    log_warn("a result was not taken, it is sent again", LOG_S("run", run->id), LOG_E(&ack->err));
    run->unsent = true;
    executor_wake(run->executor);
}

static void send_finished(struct executor_run *run)
{
    struct err err = {0};
    Gantry__V1__ActionResult result = *run->finished;
    struct waiting_ack *wait = waiting_ack_new(run);
    run->unsent = false;
    if (send_result(run, &result, on_finished_ack, wait, &err) == 0)
        return;
    waiting_ack_take(wait, 0);
    log_debug("a result waits", LOG_S("run", run->id), LOG_E(&err));
    run->unsent = true;
    executor_wake(run->executor);
}

static void count_end(struct executor *ex, unsigned outcome)
{
    if (outcome < sizeof(ex->m_ended) / sizeof(*ex->m_ended) && ex->m_ended[outcome])
        metric_add(ex->m_ended[outcome], 1);
}

/* A copy that every reader accepts: what they would refuse must still end, with less in it. */
static Gantry__V1__ActionResult *sendable(struct executor_run *run,
                                          const Gantry__V1__ActionResult *result)
{
    struct buf packed;
    struct err err = {0};
    void *copy = NULL;
    buf_init(&packed, EVENT_VALUE_MAX);
    bool ok = event_pack(&packed, result, &err) == 0 &&
              event_unpack(&copy, run->executor->conf.results, packed.data, packed.len, &err) == 0;
    buf_release(&packed);
    if (ok)
        return copy;
    log_error("a result can't be told as it is", LOG_S("run", run->id), LOG_E(&err));
    Gantry__V1__ActionResult least = *result;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_FAILED;
    finished.reason = "Its result could not be told: see the executor's log";
    finished.started_ms = result->finished->started_ms;
    finished.ended_ms = result->finished->ended_ms;
    least.finished = &finished;
    return event_clone(&least);
}

/* Makes the result from *finished and sends it until it is acknowledged. */
static void end(struct executor_run *run, const Gantry__V1__Finished *finished)
{
    Gantry__V1__Finished full = *finished;
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    char **tail = NULL;
    size_t tail_count = 0;
    if (!full.started_ms)
        full.started_ms = run->started_ms;
    if (!full.ended_ms)
        full.ended_ms = clock_now_ms();
    if (!full.n_log_tail && full.outcome == GANTRY__V1__OUTCOME__OUTCOME_FAILED) {
        tail = runlog_tail(run, &tail_count);
        full.log_tail = tail;
        full.n_log_tail = tail_count;
    }
    result.pipeline = run->request->pipeline;
    result.run_id = run->id;
    result.attempt = run->attempt;
    result.number = ++run->number;
    result.executor = run->executor->instance;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    result.finished = &full;
    run->finished = sendable(run, &result);
    run->state = RUN_ENDED;
    count_end(run->executor, (unsigned)full.outcome);
    for (size_t i = 0; i < tail_count; i++)
        free(tail[i]);
    free(tail);
    send_finished(run);
}

void run_end_unstarted(struct executor_run *run, int outcome, const char *reason)
{
    if (run->state == RUN_PARKED)
        run_unpark(run);
    if (run->state == RUN_CHECKING)
        run->executor->checking--;
    run->state = 0;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    finished.outcome = (Gantry__V1__Outcome)outcome;
    finished.reason = (char *)(str_empty(reason) ? "It was cancelled" : reason);
    end(run, &finished);
}

static void leave_slot(struct executor *ex)
{
    metric_set(ex->m_running, (double)--ex->running);
}

void executor_finished(struct executor_run *run, const Gantry__V1__Finished *finished)
{
    struct executor *ex = run->executor;
    runlog_end(run);
    leave_slot(ex);
    end(run, finished);
    executor_pump(ex);
}

void executor_failed(struct executor_run *run, const char *phase, const char *reason)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_FAILED;
    finished.phase = (char *)(phase ? phase : "");
    finished.reason = (char *)reason;
    executor_finished(run, &finished);
}

void executor_dropped(struct executor_run *run)
{
    struct executor *ex = run->executor;
    runlog_end(run);
    leave_slot(ex);
    if (run->cancelled && !ex->stopping) {
        run_end_unstarted(run, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, run->cancel_reason);
    } else if (run->owned && !ex->stopping) {
        run->attempt++;
        run->number = 0;
        run->seen_started = true;
        run->not_before_ms = clock_mono_ms() + RESTART_PAUSE_MS;
        run->data = NULL;
        runlog_restart(run);
        run_park(run);
    } else {
        run_free(run);
    }
    executor_pump(ex);
    executor_check_stopped(ex);
}

void run_tell(struct executor_run *run, enum executor_stop why, const char *reason)
{
    struct executor *ex = run->executor;
    if (run->state != RUN_RUNNING || (run->told & (1u << why)))
        return;
    run->told |= 1u << why;
    ex->handler.stop(run, why, reason, ex->handler.arg);
}

void run_cancel(struct executor_run *run, const char *reason, int64_t offset)
{
    run->cancel_offset = offset;
    if (!run->cancelled) {
        run->cancelled = true;
        run->cancel_reason = mem_strdup(str_empty(reason) ? "It was cancelled" : reason);
    }
    if (run->state == RUN_PARKED)
        run_end_unstarted(run, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, run->cancel_reason);
    else
        run_tell(run, EXECUTOR_CANCEL, run->cancel_reason);
}

void run_resend(struct executor_run *run)
{
    if (!run->unsent)
        return;
    run->unsent = false;
    if (run->state == RUN_ENDED)
        send_finished(run);
    else if (run->state == RUN_ANNOUNCED)
        send_started(run, true);
}

/* ---- progress ---- */

static void send_progress(struct executor_run *run)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Progress progress = GANTRY__V1__PROGRESS__INIT;
    struct err err = {0};
    bool parked = run->state == RUN_PARKED;
    run->news = false;
    progress.phase = parked ? "QUEUED" : run->phase ? run->phase : "";
    progress.text = parked ? "Waiting for a free slot" : run->text ? run->text : "";
    progress.percent = run->percent;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_PROGRESS;
    result.progress = &progress;
    if (send_result(run, &result, NULL, NULL, &err) < 0)
        log_debug("progress not sent", LOG_S("run", run->id), LOG_E(&err));
}

static void replace(char **where, const char *text)
{
    if (!text || str_eq(*where, text))
        return;
    free(*where);
    *where = mem_strdup(text);
}

void executor_progress(struct executor_run *run, const char *phase, const char *text,
                       uint32_t percent)
{
    if ((phase && !str_eq(phase, run->phase)) || (text && !str_eq(text, run->text)) ||
        percent != run->percent)
        run->news = true;
    replace(&run->phase, phase);
    replace(&run->text, text);
    run->percent = percent;
    if (run->news && clock_mono_ms() - run->last_result_ms >= TICK_MS)
        send_progress(run);
}

void run_heartbeat(struct executor_run *run, int64_t now_mono_ms)
{
    int64_t every = run->state == RUN_RUNNING  ? HEARTBEAT_MS
                    : run->state == RUN_PARKED ? PARKED_HEARTBEAT_MS
                                               : 0;
    if (run->state == RUN_RUNNING && run->news && now_mono_ms - run->last_result_ms >= TICK_MS) {
        send_progress(run);
        return;
    }
    /* The tick comes once a second: half of one early keeps the average. */
    if (every && now_mono_ms - run->last_result_ms >= every - TICK_MS / 2)
        send_progress(run);
}

/* ---- what the owner sees ---- */

const Gantry__V1__ActionRequest *executor_run_request(const struct executor_run *run)
{
    return run->request;
}

const char *executor_run_id(const struct executor_run *run)
{
    return run->id;
}

uint32_t executor_run_attempt(const struct executor_run *run)
{
    return run->attempt;
}

int64_t executor_run_asked_ms(const struct executor_run *run)
{
    return run->asked_ms;
}

int64_t executor_run_started_ms(const struct executor_run *run)
{
    return run->started_ms;
}

const char *executor_run_traceparent(const struct executor_run *run)
{
    return run->traceparent;
}

void executor_run_set_data(struct executor_run *run, void *data)
{
    run->data = data;
}

void *executor_run_data(const struct executor_run *run)
{
    return run->data;
}
