/* Runs that may be older than this member: what the result topic says of them. One look-up at a
 * time, of all runs that need it then: from a minute before the oldest of them was asked for to an
 * end asked for after they were read. */
#include "base/clock.h"
#include "base/mem.h"
#include "events/event.h"
#include "executor/internal.h"
#include "log/log.h"

#define LOOKUP_WAIT_MS     20 /* more may come with it */
#define LOOKUP_WAIT_MAX_MS 200
#define LOOKUP_RETRY_MS    1000
#define LOOKUP_BEFORE_MS   60000
#define ASK_TIMEOUT_MS     10000

struct lookup {
    struct executor *executor;
    size_t count;
    struct bus_end *range; /* of the result topic's partitions: begin and end to read */
    bool *complete;
    int64_t oldest_ms;
    struct bus_follower *follower;
    bool concluding;
};

bool lookup_is_needed(const struct executor *ex, const struct executor_run *run)
{
    const struct partition *part = &ex->partitions[run->partition];
    /* A record above that end can still be a late repeat of one that is old. */
    return !part->end_known || run->offset < part->end || run->asked_ms < part->assigned_ms;
}

/* ---- questions may outlive the executor ---- */

static struct asked *asked_hold(struct executor *ex)
{
    ex->asked->references++;
    return ex->asked;
}

static void asked_release(struct asked *asked)
{
    if (--asked->references == 0)
        free(asked);
}

/* The executor that asked, or NULL when it is gone or stops. */
static struct executor *asked_take(void *arg)
{
    struct asked *asked = arg;
    struct executor *ex = asked->executor;
    asked_release(asked);
    return ex && !ex->stopping ? ex : NULL;
}

void lookup_init(struct executor *ex)
{
    ex->asked = mem_alloc(sizeof(*ex->asked));
    *ex->asked = (struct asked){.executor = ex, .references = 1};
}

/* ---- the ends of the request topic, once for each assignment ---- */

static void on_request_ends(const struct bus_end *ends, size_t count, const struct err *err,
                            void *arg)
{
    struct executor *ex = asked_take(arg);
    if (!ex)
        return;
    bool missing = err && err->code != ERR_NONE;
    if (missing)
        log_warn("cannot ask where the request topic ends", LOG_E(err));
    for (size_t i = 0; i < count; i++) {
        struct partition *part = &ex->partitions[ends[i].partition];
        part->end_asked = false;
        if (!missing && part->assigned) {
            part->end_known = true;
            part->end = ends[i].end;
        }
    }
    if (missing) {
        loop_timer_arm(ex->ends_timer, LOOKUP_RETRY_MS);
        return;
    }
    bool parked = false;
    for (struct map_iter it = {0}; map_next(ex->runs, &it);) {
        struct executor_run *run = it.value;
        if (run->state != RUN_CHECKING || run->in_lookup ||
            !ex->partitions[run->partition].end_known)
            continue;
        if (lookup_is_needed(ex, run)) {
            lookup_want(ex, run);
        } else {
            ex->checking--;
            run_park(run);
            parked = true;
        }
    }
    if (parked)
        executor_pump(ex);
}

void lookup_ask_ends(void *arg)
{
    struct executor *ex = arg;
    struct bus_end *ask = mem_alloc((size_t)ex->conf.partitions * sizeof(*ask));
    size_t count = 0;
    for (int32_t p = 0; p < ex->conf.partitions; p++) {
        struct partition *part = &ex->partitions[p];
        if (!part->assigned || part->end_known || part->end_asked)
            continue;
        part->end_asked = true;
        ask[count++] = (struct bus_end){.topic = ex->conf.requests, .partition = p};
    }
    if (count)
        bus_ends(ex->bus, ask, count, ASK_TIMEOUT_MS, on_request_ends, asked_hold(ex));
    free(ask);
}

void lookup_assigned(struct executor *ex, int32_t partition)
{
    ex->partitions[partition] = (struct partition){.assigned = true, .assigned_ms = clock_now_ms()};
    loop_timer_arm(ex->ends_timer, 0);
}

/* ---- the result topic ---- */

void lookup_want(struct executor *ex, struct executor_run *run)
{
    int64_t now = clock_mono_ms();
    run->lookup_needed = true;
    if (ex->lookup || !ex->partitions[run->partition].end_known)
        return;
    if (!ex->lookup_since_ms)
        ex->lookup_since_ms = now;
    if (!loop_timer_armed(ex->lookup_timer) || now - ex->lookup_since_ms < LOOKUP_WAIT_MAX_MS)
        loop_timer_arm(ex->lookup_timer, LOOKUP_WAIT_MS);
}

static void lookup_drop(struct executor *ex)
{
    struct lookup *lookup = ex->lookup;
    if (!lookup)
        return;
    if (lookup->follower)
        bus_follower_free(lookup->follower);
    free(lookup->range);
    free(lookup->complete);
    free(lookup);
    ex->lookup = NULL;
}

/* All its runs are known now: each goes its way. */
static void conclude(void *arg)
{
    struct executor *ex = asked_take(arg);
    if (!ex || !ex->lookup)
        return;
    lookup_drop(ex);
    bool more = false;
    for (struct map_iter it = {0}; map_next(ex->runs, &it);) {
        struct executor_run *run = it.value;
        if (run->state != RUN_CHECKING)
            continue;
        if (!run->in_lookup) {
            more = more || run->lookup_needed;
            continue;
        }
        run->in_lookup = run->lookup_needed = false;
        if (run->seen_finished) {
            memory_add(&ex->memory, run->id, "");
            bus_group_done(ex->group, ex->conf.requests, run->partition, run->offset);
            if (run->cancel_offset >= 0)
                bus_group_done(ex->group, ex->conf.requests, run->partition, run->cancel_offset);
            run_free(run);
        } else if (run->cancelled) {
            run_end_unstarted(run, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, run->cancel_reason);
        } else {
            ex->checking--;
            run_park(run);
        }
    }
    if (more)
        loop_timer_arm(ex->lookup_timer, LOOKUP_WAIT_MS);
    executor_pump(ex);
}

/* The follower can't be freed from inside its own callback. */
static void conclude_soon(struct lookup *lookup)
{
    if (lookup->concluding)
        return;
    for (size_t i = 0; i < lookup->count; i++) {
        if (!lookup->complete[i])
            return;
    }
    lookup->concluding = true;
    loop_post(lookup->executor->loop, conclude, asked_hold(lookup->executor));
}

static struct bus_end *range_of(struct lookup *lookup, int32_t partition, size_t *index)
{
    for (size_t i = 0; i < lookup->count; i++) {
        if (lookup->range[i].partition == partition) {
            *index = i;
            return &lookup->range[i];
        }
    }
    return NULL;
}

static void note_result(struct executor *ex, const struct bus_record *record)
{
    void *message = NULL;
    if (event_unpack(&message, record->topic, record->value, record->value_len, NULL) < 0)
        return;
    const Gantry__V1__ActionResult *result = message;
    struct executor_run *run = map_get(ex->runs, result->run_id);
    if (run && run->state == RUN_CHECKING && run->in_lookup) {
        if (result->attempt >= run->attempt)
            run->attempt = result->attempt + 1;
        if (result->body_case == GANTRY__V1__ACTION_RESULT__BODY_STARTED)
            run->seen_started = true;
        if (result->body_case == GANTRY__V1__ACTION_RESULT__BODY_FINISHED)
            run->seen_finished = true;
    }
    event_free(message);
}

static void on_result(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct lookup *lookup = arg;
    size_t i;
    struct bus_end *range = range_of(lookup, record->partition, &i);
    (void)follower;
    if (!range || lookup->complete[i])
        return;
    if (record->offset < range->end)
        note_result(lookup->executor, record);
    if (record->offset + 1 >= range->end) {
        lookup->complete[i] = true;
        conclude_soon(lookup);
    }
}

static void on_result_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                          int64_t end_offset, void *arg)
{
    struct lookup *lookup = arg;
    size_t i;
    struct bus_end *range = range_of(lookup, partition, &i);
    (void)follower;
    (void)topic;
    if (range && end_offset >= range->end) {
        lookup->complete[i] = true;
        conclude_soon(lookup);
    }
}

static void again(struct executor *ex, const struct err *err)
{
    log_warn("cannot look up runs in the result topic, trying again", LOG_E(err));
    lookup_drop(ex);
    for (struct map_iter it = {0}; map_next(ex->runs, &it);)
        ((struct executor_run *)it.value)->in_lookup = false;
    loop_timer_arm(ex->lookup_timer, LOOKUP_RETRY_MS);
}

static void read_ranges(struct lookup *lookup)
{
    struct executor *ex = lookup->executor;
    struct err err = {0};
    const struct bus_follower_handler handler = {
        .on_record = on_result, .on_end = on_result_end, .arg = lookup};
    bool any = false;
    for (size_t i = 0; i < lookup->count; i++) {
        struct bus_end *range = &lookup->range[i];
        if (range->begin >= range->end) {
            lookup->complete[i] = true;
            continue;
        }
        if ((!lookup->follower &&
             bus_follower_new(&lookup->follower, ex->bus, &handler, &err) < 0) ||
            bus_follower_add(lookup->follower, ex->conf.results, range->partition, range->begin,
                             &err) < 0) {
            again(ex, &err);
            return;
        }
        any = true;
    }
    if (!any)
        conclude_soon(lookup);
}

static void on_starts(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct executor *ex = asked_take(arg);
    struct lookup *lookup = ex ? ex->lookup : NULL;
    size_t index;
    if (!lookup)
        return;
    if (err && err->code != ERR_NONE) {
        again(ex, err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct bus_end *range = range_of(lookup, ends[i].partition, &index);
        if (range)
            range->begin = ends[i].end;
    }
    read_ranges(lookup);
}

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct executor *ex = asked_take(arg);
    struct lookup *lookup = ex ? ex->lookup : NULL;
    if (!lookup)
        return;
    if (err && err->code != ERR_NONE) {
        again(ex, err);
        return;
    }
    struct bus_end *ask = mem_alloc(count * sizeof(*ask));
    for (size_t i = 0; i < count; i++) {
        lookup->range[i].end = ends[i].end;
        ask[i] = (struct bus_end){.topic = ends[i].topic,
                                  .partition = ends[i].partition,
                                  .end = lookup->oldest_ms - LOOKUP_BEFORE_MS};
    }
    bus_offsets_at(ex->bus, ask, count, ASK_TIMEOUT_MS, on_starts, asked_hold(ex));
    free(ask);
}

static void add_partition(struct lookup *lookup, const struct executor_run *run)
{
    size_t index;
    const char *pipeline = run->request->pipeline;
    int32_t partition =
        topic_partition(pipeline, strlen(pipeline), lookup->executor->conf.partitions);
    if (!range_of(lookup, partition, &index))
        lookup->range[lookup->count++] =
            (struct bus_end){.topic = lookup->executor->conf.results, .partition = partition};
    if (!lookup->oldest_ms || run->asked_ms < lookup->oldest_ms)
        lookup->oldest_ms = run->asked_ms;
}

void lookup_begin(void *arg)
{
    struct executor *ex = arg;
    ex->lookup_since_ms = 0;
    if (ex->lookup || ex->stopping)
        return;
    struct lookup *lookup = mem_alloc(sizeof(*lookup));
    lookup->executor = ex;
    lookup->range = mem_alloc((size_t)ex->conf.partitions * sizeof(*lookup->range));
    lookup->complete = mem_alloc((size_t)ex->conf.partitions * sizeof(*lookup->complete));
    for (struct map_iter it = {0}; map_next(ex->runs, &it);) {
        struct executor_run *run = it.value;
        if (run->state != RUN_CHECKING || !run->lookup_needed)
            continue;
        run->in_lookup = true;
        add_partition(lookup, run);
    }
    ex->lookup = lookup;
    if (lookup->count)
        bus_ends(ex->bus, lookup->range, lookup->count, ASK_TIMEOUT_MS, on_ends, asked_hold(ex));
    else
        lookup_drop(ex);
}

void lookup_free(struct executor *ex)
{
    lookup_drop(ex);
    if (!ex->asked)
        return;
    ex->asked->executor = NULL;
    asked_release(ex->asked);
    ex->asked = NULL;
}
