/* What every executor of action runs does (builder, deployer; docs/ledger.md, "Those who read"):
 * requests come in on one request topic, results and log go out, idempotent by run id. Loop thread
 * only.
 *
 *   - Requests are read on and parked while all slots are taken, so that a cancel is seen; a
 *     partition that has too many unsettled pauses (bus_group_conf).
 *   - A run is known by its id: a repeated request starts nothing, a cancel is final and
 * remembered.
 *   - A request that may be older than this member's ownership of its partition is looked up in the
 *     result topic first: a finished run is skipped, a started one is started again as the next
 *     attempt where that is allowed, else it ends as lost.
 *   - A request is settled once its Finished is acknowledged. Whatever dies before that is
 *     redelivered.
 *   - Runs of a partition that was revoked go on for 30 s in case it comes back, then are stopped.
 *   - Started, a heartbeat (Progress) every 20 s and Finished carry deterministic ids.
 *   - Log data becomes LogChunks of at most 32 KiB or 100 ms, the first of a burst at once; the
 * last lines go into Finished.log_tail; beyond 64 MiB an attempt's log is cut with a note. */
#ifndef GANTRY_EXECUTOR_EXECUTOR_H
#define GANTRY_EXECUTOR_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bus/bus.h"
#include "events/topic.h"
#include "loop/loop.h"

struct Gantry__V1__ActionRequest; /* gantry/v1/request.pb-c.h */
struct Gantry__V1__Finished;      /* gantry/v1/result.pb-c.h */
struct metrics;

struct executor;
struct executor_run;

enum executor_stop {
    EXECUTOR_CANCEL = 1, /* cancelled by the promoter: end it, then executor_finished(STOPPED) */
    EXECUTOR_REVOKED,    /* somebody else has it now: end it, then executor_dropped() */
    EXECUTOR_HANDBACK /* this service stops: end it and executor_dropped(), or let it finish within
                         the grace and executor_finished() */
};

struct executor_handler {
    /* False: not for this executor (another deployer's environment): settled without a word. NULL:
     * all are. */
    bool (*mine)(const struct Gantry__V1__ActionRequest *request, void *arg);
    /* A started run of which nobody knows how far it came may be started again. NULL: what the
     * request says (retry_lost). Where the answer is no, `start` is called only after Started is
     * acknowledged in the result topic; where it is yes, at once. */
    bool (*may_restart)(const struct Gantry__V1__ActionRequest *request, void *arg);
    /* Do it. Ends with executor_finished() or executor_dropped(), from inside this call or later.
     */
    void (*start)(struct executor_run *run, void *arg);
    /* End it soon; told once for each reason, for runs that start() was called for. */
    void (*stop)(struct executor_run *run, enum executor_stop why, const char *reason, void *arg);
    /* After executor_log() answered false: go on. May be NULL. */
    void (*log_ready)(struct executor_run *run, void *arg);
    /* Runs wait because a partition has too many unsettled requests, or no longer do. May be NULL.
     */
    void (*full)(bool full, const char *reason, void *arg);
    void *arg;
};

struct executor_conf {
    enum topic requests; /* TOPIC_REQUEST_BUILD ... */
    enum topic results;  /* TOPIC_RESULT_BUILD ... */
    const char *group;   /* NULL: <prefix>.<service> */
    const char *instance;
    int32_t partitions;      /* of the per-pipeline topics (common.partitions) */
    unsigned slots;          /* runs at once; at least 1 */
    struct metrics *metrics; /* required */
    int64_t revoked_keep_ms; /* 0: 30,000 */
};

int executor_new(struct executor **out, struct loop *loop, struct bus *bus,
                 const struct executor_conf *conf, const struct executor_handler *handler,
                 struct err *err);

/* Takes no more work; every run under way gets stop(EXECUTOR_HANDBACK); once all ended, what was
 * produced is acknowledged (or 5 s passed) and the group is left, calls done. */
void executor_stop(struct executor *executor, void (*done)(void *arg), void *arg);
void executor_free(struct executor *executor); /* after executor_stop()'s done */

/* While true nothing is started (the reason is the owner's to show); what comes in is parked. */
void executor_hold(struct executor *executor, bool hold);

struct executor_counts {
    size_t running;
    size_t parked;
    size_t checking; /* waiting for the look-up in the result topic */
    bool full;
};
void executor_counts(const struct executor *executor, struct executor_counts *out);

/* ---- one run: valid from start() to executor_finished() or executor_dropped() ---- */

const struct Gantry__V1__ActionRequest *executor_run_request(const struct executor_run *run);
const char *executor_run_id(const struct executor_run *run);
uint32_t executor_run_attempt(const struct executor_run *run);
int64_t executor_run_asked_ms(const struct executor_run *run);        /* Unix ms */
int64_t executor_run_started_ms(const struct executor_run *run);      /* Unix ms */
const char *executor_run_traceparent(const struct executor_run *run); /* of the request */
void executor_run_set_data(struct executor_run *run, void *data);
void *executor_run_data(const struct executor_run *run);

/* What the run is at, for people: told within a second when it changed, at most once a second, and
 * with each heartbeat. Strings are copied, NULL: as before. */
void executor_progress(struct executor_run *run, const char *phase, const char *text,
                       uint32_t percent);

/* Output of the run, as it came. Bytes are kept as they are. False: Kafka does not take it as fast
 * as it comes; stop reading the run's output until log_ready() is called (what is given meanwhile
 * is kept). */
bool executor_log(struct executor_run *run, const void *data, size_t len);
/* One line of the executor's own (a phase mark, a note); a newline is added. Ends a partial line of
 * output first. Marks that follow each other share a chunk, a line each. */
void executor_mark(struct executor_run *run, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The run's end. The message is copied; outcome and reason must be set; started_ms, ended_ms and
 * log_tail are filled in where empty. Flushes the log. `run` is gone after. */
void executor_finished(struct executor_run *run, const struct Gantry__V1__Finished *finished);
/* Short form: without more than these. `reason` is one sentence. */
void executor_failed(struct executor_run *run, const char *phase, const char *reason);

/* Ended without a result: the request is not settled, so it comes again, here (as the next attempt,
 * 5 s later) or elsewhere. */
void executor_dropped(struct executor_run *run);

#endif
