/* An executor on a cluster: what it starts, and what it says. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "executor/executor.h"
#include "executor/internal.h"
#include "gantry/v1/log.pb-c.h"
#include "tests/unit/bus/cluster.h"

#define PARTITIONS 2
#define RUNS_MAX   50
#define WAIT_MS    30000

struct seen {
    enum topic topic;
    struct event_meta meta;
    void *message;
};

struct scene {
    struct cluster *cluster;
    struct side side; /* the test's own */
    struct bus_producer *producer;
    struct bus_follower *follower;
    struct seen *seen;
    size_t count;

    struct metrics *metrics;
    struct bus *bus; /* the executor's */
    struct executor *executor;
    struct executor_run *started[RUNS_MAX];
    char started_id[RUNS_MAX][ID_SIZE];
    size_t starts, stops;
    bool log_ready;
    enum executor_stop last_stop;
    char stop_reason[256];
    bool drop_on_stop;
    const char *not_mine; /* pipeline */
    bool closed;
};

/* ---- the test's side ---- */

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct scene *s = arg;
    struct seen seen = {.topic = record->topic};
    (void)follower;
    if (record->topic != TOPIC_DEADLETTER) {
        assert_int_equal(
            event_read_headers(&seen.meta, record->headers, record->header_count, NULL), 0);
        assert_int_equal(
            event_unpack(&seen.message, record->topic, record->value, record->value_len, NULL), 0);
    }
    s->seen = mem_realloc(s->seen, s->count + 1, sizeof(*s->seen));
    s->seen[s->count++] = seen;
}

static void scene_up(struct scene *s, void **state)
{
    static const enum topic topics[] = {TOPIC_REQUEST_BUILD, TOPIC_RESULT_BUILD, TOPIC_LOG,
                                        TOPIC_DEADLETTER};
    const struct bus_producer_conf producing = {0};
    const struct bus_follower_handler following = {.on_record = on_record, .arg = s};
    *s = (struct scene){.cluster = *state, .metrics = metrics_new()};
    for (size_t i = 0; i < 4; i++)
        cluster_topic(s->cluster, topics[i], PARTITIONS);
    side_up(&s->side, s->cluster, "test", "test");
    assert_int_equal(bus_producer_new(&s->producer, s->side.bus, &producing, NULL), 0);
    assert_int_equal(bus_follower_new(&s->follower, s->side.bus, &following, NULL), 0);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(bus_follower_add_all(s->follower, topics[i], PARTITIONS, NULL, NULL, NULL),
                         0);
}

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

static void executor_down(struct scene *s)
{
    if (!s->executor)
        return;
    bool done = false;
    s->drop_on_stop = true;
    executor_stop(s->executor, set_true, &done);
    loop_run_for(s->side.loop, WAIT_MS, &done);
    assert_true(done);
    executor_free(s->executor);
    s->executor = NULL;
    bus_free(s->bus);
}

/* As kill -9 leaves it: nothing is finished, told or settled. */
static void executor_kill(struct scene *s)
{
    bool done = false;
    s->executor->stopping = s->executor->closing = true;
    bus_group_close(s->executor->group, set_true, &done);
    loop_run_for(s->side.loop, WAIT_MS, &done);
    executor_free(s->executor);
    s->executor = NULL;
    bus_free(s->bus);
}

static void scene_down(struct scene *s)
{
    executor_down(s);
    bus_follower_free(s->follower);
    bus_producer_free(s->producer);
    side_down(&s->side);
    for (size_t i = 0; i < s->count; i++)
        event_free(s->seen[i].message);
    free(s->seen);
    metrics_free(s->metrics);
}

/* ---- the executor's owner ---- */

static bool mine(const Gantry__V1__ActionRequest *request, void *arg)
{
    struct scene *s = arg;
    return !s->not_mine || !str_eq(request->pipeline, s->not_mine);
}

static void start(struct executor_run *run, void *arg)
{
    struct scene *s = arg;
    assert_true(s->starts < RUNS_MAX);
    snprintf(s->started_id[s->starts], ID_SIZE, "%s", executor_run_id(run));
    s->started[s->starts++] = run;
}

static void stop(struct executor_run *run, enum executor_stop why, const char *reason, void *arg)
{
    struct scene *s = arg;
    s->stops++;
    s->last_stop = why;
    snprintf(s->stop_reason, sizeof(s->stop_reason), "%s", reason);
    if (s->drop_on_stop)
        executor_dropped(run);
}

static void log_ready(struct executor_run *run, void *arg)
{
    struct scene *s = arg;
    assert_ptr_equal(run, s->started[0]);
    s->log_ready = true;
}

/* A request from before the assignment is looked up, for which the mock cluster knows too little.
 */
static void wait_assigned(struct scene *s)
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        size_t known = 0;
        for (int p = 0; p < PARTITIONS; p++)
            known += s->executor->partitions[p].end_known;
        if (known == PARTITIONS)
            return;
        loop_run_for(s->side.loop, 10, NULL);
    }
    fail_msg("no partitions were assigned");
}

static void executor_up_as(struct scene *s, const char *instance, unsigned slots, const char *group)
{
    struct err err = {0};
    const struct bus_conf bus = {.kafka = &s->cluster->kafka,
                                 .prefix = s->cluster->prefix,
                                 .service = "builder",
                                 .instance = instance};
    const struct executor_conf conf = {.requests = TOPIC_REQUEST_BUILD,
                                       .results = TOPIC_RESULT_BUILD,
                                       .group = group,
                                       .instance = instance,
                                       .revoked_keep_ms = 2000,
                                       .partitions = PARTITIONS,
                                       .slots = slots,
                                       .metrics = s->metrics};
    const struct executor_handler handler = {
        .mine = mine, .start = start, .stop = stop, .log_ready = log_ready, .arg = s};
    s->starts = s->stops = 0;
    s->drop_on_stop = false;
    if (bus_new(&s->bus, s->side.loop, &bus, &err) < 0 ||
        executor_new(&s->executor, s->side.loop, s->bus, &conf, &handler, &err) < 0)
        fail_msg("%s", err.msg);
}

static void executor_up(struct scene *s, unsigned slots, const char *group)
{
    executor_up_as(s, "one", slots, group);
    wait_assigned(s);
}

/* ---- requests ---- */

static void ask(struct scene *s, const char *id, const char *pipeline, bool retry_lost, bool cancel)
{
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    Gantry__V1__BuildSpec build = GANTRY__V1__BUILD_SPEC__INIT;
    struct event_meta meta = {0};
    struct err err = {0};
    order.epoch = order.sequence = 1;
    build.source = "app";
    request.order = &order;
    request.verb = cancel ? GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL
                          : GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    request.run_id = (char *)id;
    request.pipeline = (char *)pipeline;
    request.release = 1;
    request.stage = "build";
    request.action = "app";
    request.number = 1;
    request.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
    request.retry_lost = retry_lost;
    request.cancel_reason = cancel ? "Ann said so" : "";
    if (!cancel) {
        request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
        request.build = &build;
    }
    id_random(meta.id);
    snprintf(meta.subject, sizeof(meta.subject), "%s/1", pipeline);
    if (bus_produce(s->producer, TOPIC_REQUEST_BUILD, &meta, &request, NULL, NULL, &err) < 0)
        fail_msg("%s", err.msg);
}

static void run_of(struct scene *s, char id[ID_SIZE], bool retry_lost)
{
    id_random(id);
    ask(s, id, "shop", retry_lost, false);
}

static size_t results(const struct scene *s, const char *id,
                      Gantry__V1__ActionResult__BodyCase body_case)
{
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        const Gantry__V1__ActionResult *r = s->seen[i].message;
        n += s->seen[i].topic == TOPIC_RESULT_BUILD && str_eq(r->run_id, id) &&
             r->body_case == body_case;
    }
    return n;
}

static const struct seen *finished_of(const struct scene *s, const char *id)
{
    for (size_t i = 0; i < s->count; i++) {
        const Gantry__V1__ActionResult *r = s->seen[i].message;
        if (s->seen[i].topic == TOPIC_RESULT_BUILD && str_eq(r->run_id, id) &&
            r->body_case == GANTRY__V1__ACTION_RESULT__BODY_FINISHED)
            return &s->seen[i];
    }
    return NULL;
}

static const Gantry__V1__ActionResult *wait_finished(struct scene *s, const char *id)
{
    const struct seen *seen = NULL;
    for (int i = 0; i < WAIT_MS / 10 && !(seen = finished_of(s, id)); i++)
        loop_run_for(s->side.loop, 10, NULL);
    assert_non_null(seen);
    return seen->message;
}

static void wait_starts(struct scene *s, size_t starts)
{
    for (int i = 0; i < WAIT_MS / 10 && s->starts < starts; i++)
        loop_run_for(s->side.loop, 10, NULL);
    assert_int_equal(s->starts, starts);
}

static void finish(struct executor_run *run)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    finished.reason = "done";
    executor_finished(run, &finished);
}

/* ---- tests ---- */

static void a_run_is_started_and_its_results_have_ids_of_their_own_making(void **state)
{
    struct scene s;
    char id[ID_SIZE], expected[ID_SIZE];
    scene_up(&s, state);
    executor_up(&s, 2, NULL);
    run_of(&s, id, true);
    wait_starts(&s, 1);
    assert_string_equal(executor_run_request(s.started[0])->action, "app");
    assert_int_equal(executor_run_attempt(s.started[0]), 1);
    finish(s.started[0]);
    const Gantry__V1__ActionResult *result = wait_finished(&s, id);
    assert_int_equal(result->attempt, 1);
    assert_int_equal(result->number, 2);
    assert_string_equal(result->executor, "one");
    assert_true(result->finished->ended_ms >= result->finished->started_ms);
    event_id_result(expected, id, 1, 2);
    assert_string_equal(finished_of(&s, id)->meta.id, expected);
    assert_string_equal(finished_of(&s, id)->meta.subject, "shop/1");
    scene_down(&s);
}

static void as_many_run_as_there_are_slots_and_a_parked_one_is_cancelled_unstarted(void **state)
{
    struct scene s;
    char ids[3][ID_SIZE];
    struct executor_counts counts;
    scene_up(&s, state);
    executor_up(&s, 1, NULL);
    for (int i = 0; i < 3; i++) {
        run_of(&s, ids[i], true);
        wait_starts(&s, 1);
        for (int n = 0; n < 1000; n++) {
            executor_counts(s.executor, &counts);
            if (counts.parked == (size_t)i)
                break;
            loop_run_for(s.side.loop, 10, NULL);
        }
        assert_int_equal(counts.parked, i);
    }
    ask(&s, ids[1], "shop", true, true);
    const Gantry__V1__ActionResult *result = wait_finished(&s, ids[1]);
    assert_int_equal(result->finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_string_equal(result->finished->reason, "Ann said so");
    assert_int_equal(results(&s, ids[1], GANTRY__V1__ACTION_RESULT__BODY_STARTED), 0);
    finish(s.started[0]);
    wait_starts(&s, 2);
    assert_string_equal(s.started_id[1], ids[2]);
    finish(s.started[1]);
    wait_finished(&s, ids[2]);
    scene_down(&s);
}

static void a_cancel_is_told_once_and_one_that_comes_first_is_remembered(void **state)
{
    struct scene s;
    char id[ID_SIZE], later[ID_SIZE];
    scene_up(&s, state);
    executor_up(&s, 2, NULL);
    run_of(&s, id, true);
    wait_starts(&s, 1);
    ask(&s, id, "shop", true, true);
    ask(&s, id, "shop", true, true);
    id_random(later);
    ask(&s, later, "shop", true, true);
    ask(&s, later, "shop", true, false);
    const Gantry__V1__ActionResult *result = wait_finished(&s, later);
    assert_int_equal(result->finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    loop_run_for(s.side.loop, 500, NULL);
    assert_int_equal(s.starts, 1);
    assert_int_equal(s.stops, 1);
    assert_int_equal(s.last_stop, EXECUTOR_CANCEL);
    assert_string_equal(s.stop_reason, "Ann said so");
    finish(s.started[0]);
    wait_finished(&s, id);
    scene_down(&s);
}

static void a_repeated_request_starts_nothing(void **state)
{
    struct scene s;
    char id[ID_SIZE], other[ID_SIZE];
    scene_up(&s, state);
    executor_up(&s, 5, NULL);
    run_of(&s, id, true);
    ask(&s, id, "shop", true, false);
    wait_starts(&s, 1);
    finish(s.started[0]);
    wait_finished(&s, id);
    ask(&s, id, "shop", true, false);
    run_of(&s, other, true);
    wait_starts(&s, 2);
    loop_run_for(s.side.loop, 500, NULL);
    assert_int_equal(s.starts, 2);
    assert_string_equal(s.started_id[1], other);
    finish(s.started[1]);
    wait_finished(&s, other);
    scene_down(&s);
}

static void what_is_not_its_own_is_left_alone(void **state)
{
    struct scene s;
    char id[ID_SIZE], other[ID_SIZE];
    scene_up(&s, state);
    s.not_mine = "shop";
    executor_up(&s, 2, NULL);
    run_of(&s, id, true);
    id_random(other);
    ask(&s, other, "bakery", true, false);
    wait_starts(&s, 1);
    loop_run_for(s.side.loop, 300, NULL);
    assert_int_equal(s.starts, 1);
    assert_string_equal(s.started_id[0], other);
    finish(s.started[0]);
    wait_finished(&s, other);
    scene_down(&s);
}

static void after_a_kill_a_started_run_is_the_next_attempt_or_lost(void **state)
{
    struct scene s;
    char again[ID_SIZE], lost[ID_SIZE];
    scene_up(&s, state);
    if (!s.cluster->real) {
        scene_down(&s);
        skip(); /* the mock cluster knows no offsets by time */
    }
    executor_up(&s, 2, NULL);
    run_of(&s, again, true);
    run_of(&s, lost, false);
    wait_starts(&s, 2);
    for (int i = 0; i < 500 && !results(&s, again, GANTRY__V1__ACTION_RESULT__BODY_STARTED); i++)
        loop_run_for(s.side.loop, 10, NULL);
    executor_kill(&s);
    executor_up(&s, 2, NULL);
    wait_starts(&s, 1);
    const Gantry__V1__ActionResult *result = wait_finished(&s, lost);
    assert_int_equal(result->finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_LOST);
    assert_int_equal(result->attempt, 2);
    assert_string_equal(s.started_id[0], again);
    assert_int_equal(executor_run_attempt(s.started[0]), 2);
    finish(s.started[0]);
    assert_int_equal(wait_finished(&s, again)->attempt, 2);
    assert_int_equal(s.starts, 1);
    scene_down(&s);
}

static void what_may_not_start_twice_waits_until_its_start_is_acknowledged(void **state)
{
    struct scene s;
    char id[ID_SIZE];
    scene_up(&s, state);
    executor_up(&s, 2, NULL);
    run_of(&s, id, false);
    wait_starts(&s, 1);
    assert_int_equal(bus_producer_waiting(s.executor->producer), 0);
    finish(s.started[0]);
    wait_finished(&s, id);
    scene_down(&s);
}

static void a_finished_run_is_skipped_though_no_offset_is_left(void **state)
{
    struct scene s;
    char done[5][ID_SIZE], open[ID_SIZE];
    scene_up(&s, state);
    if (!s.cluster->real) {
        scene_down(&s);
        skip();
    }
    executor_up(&s, 5, NULL);
    for (int i = 0; i < 5; i++)
        run_of(&s, done[i], true);
    wait_starts(&s, 5);
    for (int i = 0; i < 5; i++)
        finish(s.started[i]);
    for (int i = 0; i < 5; i++)
        wait_finished(&s, done[i]);
    executor_kill(&s);
    run_of(&s, open, true);
    char *group = mem_printf("%s.other", s.cluster->prefix);
    executor_up(&s, 5, group);
    wait_starts(&s, 1);
    loop_run_for(s.side.loop, 500, NULL);
    assert_int_equal(s.starts, 1);
    assert_string_equal(s.started_id[0], open);
    assert_int_equal(executor_run_attempt(s.started[0]), 1);
    finish(s.started[0]);
    wait_finished(&s, open);
    free(group);
    scene_down(&s);
}

static void a_run_that_was_handed_back_comes_again(void **state)
{
    struct scene s;
    char id[ID_SIZE];
    scene_up(&s, state);
    if (!s.cluster->real) {
        scene_down(&s);
        skip();
    }
    executor_up(&s, 2, NULL);
    run_of(&s, id, true);
    wait_starts(&s, 1);
    executor_down(&s);
    assert_int_equal(s.last_stop, EXECUTOR_HANDBACK);
    assert_int_equal(results(&s, id, GANTRY__V1__ACTION_RESULT__BODY_FINISHED), 0);
    executor_up(&s, 2, NULL);
    wait_starts(&s, 1);
    finish(s.started[0]);
    wait_finished(&s, id);
    scene_down(&s);
}

static void a_dropped_run_is_tried_again_as_the_next_attempt(void **state)
{
    struct scene s;
    char id[ID_SIZE];
    scene_up(&s, state);
    executor_up(&s, 2, NULL);
    run_of(&s, id, true);
    wait_starts(&s, 1);
    executor_dropped(s.started[0]);
    wait_starts(&s, 2);
    assert_int_equal(executor_run_attempt(s.started[1]), 2);
    finish(s.started[1]);
    assert_int_equal(wait_finished(&s, id)->attempt, 2);
    scene_down(&s);
}

/* An id whose key lies in the partition. */
static void id_in(char id[ID_SIZE], int32_t partition)
{
    do
        id_random(id);
    while (topic_partition(id, strlen(id), PARTITIONS) != partition);
}

static void runs_of_a_revoked_partition_are_kept_a_while_in_case_it_comes_back(void **state)
{
    struct scene s, other;
    char ids[2][ID_SIZE];
    scene_up(&s, state);
    if (!s.cluster->real) {
        scene_down(&s);
        skip();
    }
    executor_up(&s, 2, NULL);
    for (int32_t p = 0; p < 2; p++) {
        id_in(ids[p], p);
        ask(&s, ids[p], "shop", true, false);
    }
    wait_starts(&s, 2);
    /* A second member: both partitions are revoked, one comes back. */
    other = s;
    executor_up_as(&other, "two", 2, NULL);
    wait_starts(&other, 1);
    assert_int_equal(executor_run_attempt(other.started[0]), 2);
    size_t kept = str_eq(other.started_id[0], s.started_id[0]) ? 1 : 0;
    assert_int_equal(s.stops, 0);
    for (int i = 0; i < 500 && s.stops == 0; i++)
        loop_run_for(s.side.loop, 10, NULL);
    assert_int_equal(s.stops, 1);
    assert_int_equal(s.last_stop, EXECUTOR_REVOKED);
    executor_dropped(s.started[1 - kept]);
    finish(s.started[kept]);
    finish(other.started[0]);
    assert_int_equal(wait_finished(&s, s.started_id[kept])->attempt, 1);
    assert_int_equal(wait_finished(&s, other.started_id[0])->attempt, 2);
    loop_run_for(s.side.loop, 1500, NULL);
    assert_int_equal(s.starts, 2);
    assert_int_equal(other.starts, 1);
    executor_down(&other);
    scene_down(&s);
}

static void a_record_that_cannot_be_read_is_put_aside_and_the_partition_goes_on(void **state)
{
    struct scene s;
    char id[ID_SIZE];
    scene_up(&s, state);
    executor_up(&s, 2, NULL);
    for (int i = 0; i < 4; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(bus_produce_raw(s.producer, TOPIC_REQUEST_BUILD, -1, key, 2, "junk", 4,
                                         NULL, 0, NULL, NULL, NULL),
                         0);
    }
    run_of(&s, id, true);
    wait_starts(&s, 1);
    finish(s.started[0]);
    wait_finished(&s, id);
    size_t aside = 0;
    for (int i = 0; i < 500 && aside < 4; i++) {
        aside = 0;
        for (size_t k = 0; k < s.count; k++)
            aside += s.seen[k].topic == TOPIC_DEADLETTER;
        loop_run_for(s.side.loop, 10, NULL);
    }
    assert_int_equal(aside, 4);
    scene_down(&s);
}

/* ---- log ---- */

/* What came of it: whole chunks in order. True: to its end. */
static bool log_of(const struct scene *s, struct buf *got)
{
    bool last = false;
    uint64_t offset = 0;
    buf_reset(got);
    for (size_t i = 0; i < s->count; i++) {
        const Gantry__V1__LogChunk *c = s->seen[i].message;
        if (s->seen[i].topic != TOPIC_LOG)
            continue;
        assert_false(last);
        assert_int_equal(c->offset_bytes, offset);
        assert_true(c->data.len <= 32 * 1024);
        offset += c->data.len;
        buf_add(got, c->data.data, c->data.len);
        last = c->last;
    }
    return last;
}

static void wait_log(struct scene *s, struct buf *got)
{
    bool whole = false;
    for (int i = 0; i < WAIT_MS / 10 && !whole; i++) {
        loop_run_for(s->side.loop, 10, NULL);
        whole = log_of(s, got);
    }
    assert_true(whole);
}

static void the_log_comes_in_order_in_whole_lines_and_says_when_it_ends(void **state)
{
    struct scene s;
    char id[ID_SIZE];
    struct buf all, got;
    scene_up(&s, state);
    executor_up(&s, 2, NULL);
    run_of(&s, id, true);
    wait_starts(&s, 1);
    buf_init(&all, 1024 * 1024);
    buf_init(&got, 1024 * 1024);
    executor_mark(s.started[0], "Entering phase %s", "BUILD");
    buf_adds(&all, "Entering phase BUILD\n");
    for (int i = 0; i < 9000; i++) {
        char line[32];
        snprintf(line, sizeof(line), "line %d\n", i);
        buf_adds(&all, line);
        assert_true(executor_log(s.started[0], line, strlen(line)));
    }
    executor_log(s.started[0], "no newline \xff", 12);
    executor_mark(s.started[0], "over");
    buf_adds(&all, "no newline \xff\nover\n");
    executor_failed(s.started[0], "BUILD", "it failed");
    const Gantry__V1__Finished *f = wait_finished(&s, id)->finished;
    assert_string_equal(f->phase, "BUILD");
    assert_int_equal(f->n_log_tail, 20);
    assert_string_equal(f->log_tail[19], "no newline ?");
    assert_string_equal(f->log_tail[18], "line 8999");
    wait_log(&s, &got);
    for (size_t i = 0; i < s.count; i++) {
        const Gantry__V1__LogChunk *c = s.seen[i].message;
        if (s.seen[i].topic == TOPIC_LOG && !c->last)
            assert_true(c->data.data[c->data.len - 1] == '\n' ||
                        memcmp(c->data.data + c->data.len - 12, "no newline \xff", 12) == 0);
    }
    assert_int_equal(got.len, all.len);
    assert_memory_equal(got.data, all.data, all.len);
    buf_release(&all);
    buf_release(&got);
    scene_down(&s);
}

/* Nothing is acknowledged while the loop does not run. */
static void output_that_comes_faster_than_kafka_takes_it_waits_and_none_is_lost(void **state)
{
    struct scene s;
    char id[ID_SIZE], line[1025];
    struct buf all, got;
    size_t waits = 0;
    scene_up(&s, state);
    executor_up(&s, 2, NULL);
    run_of(&s, id, true);
    wait_starts(&s, 1);
    buf_init(&all, 16 * 1024 * 1024);
    buf_init(&got, 16 * 1024 * 1024);
    for (int i = 0; i < 12000; i++) {
        snprintf(line, sizeof(line), "%01023d\n", i);
        buf_adds(&all, line);
        s.log_ready = false;
        if (executor_log(s.started[0], line, strlen(line)))
            continue;
        waits++;
        assert_true(all.len > 1024 * 1024); /* a burst does not wait */
        loop_run_for(s.side.loop, WAIT_MS, &s.log_ready);
        assert_true(s.log_ready);
    }
    assert_true(waits > 1);
    finish(s.started[0]);
    wait_finished(&s, id);
    wait_log(&s, &got);
    assert_int_equal(got.len, all.len);
    assert_memory_equal(got.data, all.data, all.len);
    buf_release(&all);
    buf_release(&got);
    scene_down(&s);
}

static void output_is_on_its_way_within_a_moment(void **state)
{
    struct scene s;
    char id[ID_SIZE];
    bool came = false;
    scene_up(&s, state);
    executor_up(&s, 2, NULL);
    run_of(&s, id, true);
    wait_starts(&s, 1);
    executor_log(s.started[0], "up\n", 3);
    for (int i = 0; i < 200 && !came; i++) {
        loop_run_for(s.side.loop, 10, NULL);
        for (size_t k = 0; k < s.count; k++)
            came = came || s.seen[k].topic == TOPIC_LOG;
    }
    assert_true(came);
    finish(s.started[0]);
    wait_finished(&s, id);
    scene_down(&s);
}

/* On the real broker where there is one: in the mock cluster every group takes three seconds to
 * begin. */
static int set_up(void **state)
{
    const char *bootstrap = getenv("GANTRY_KAFKA");
    struct cluster *cluster = mem_alloc(sizeof(*cluster));
    cluster_up(cluster, bootstrap && *bootstrap ? bootstrap : NULL);
    *state = cluster;
    return 0;
}

static int tear_down(void **state)
{
    cluster_down(*state);
    free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_is_started_and_its_results_have_ids_of_their_own_making),
        TEST(as_many_run_as_there_are_slots_and_a_parked_one_is_cancelled_unstarted),
        TEST(a_cancel_is_told_once_and_one_that_comes_first_is_remembered),
        TEST(a_repeated_request_starts_nothing),
        TEST(what_is_not_its_own_is_left_alone),
        TEST(after_a_kill_a_started_run_is_the_next_attempt_or_lost),
        TEST(what_may_not_start_twice_waits_until_its_start_is_acknowledged),
        TEST(a_finished_run_is_skipped_though_no_offset_is_left),
        TEST(a_run_that_was_handed_back_comes_again),
        TEST(a_dropped_run_is_tried_again_as_the_next_attempt),
        TEST(runs_of_a_revoked_partition_are_kept_a_while_in_case_it_comes_back),
        TEST(a_record_that_cannot_be_read_is_put_aside_and_the_partition_goes_on),
        TEST(the_log_comes_in_order_in_whole_lines_and_says_when_it_ends),
        TEST(output_that_comes_faster_than_kafka_takes_it_waits_and_none_is_lost),
        TEST(output_is_on_its_way_within_a_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
