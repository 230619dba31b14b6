/* What is kept, and for how long: the folds on a file of their own, without Kafka. */
#include "base/file.h"
#include "base/mem.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/log.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "services/console/fold.h"
#include "services/console/read.h"
#include "services/console/schema.h"
#include "tests/unit/unit.h"

#define DAY_MS INT64_C(86400000)
#define NOW_MS INT64_C(1790000000000)

struct fixture {
    char folder[64];
    struct sqlite_db *db;
    struct fold_limits limits;
};

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/gantry-fold-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    char *path = mem_printf("%s/model.db", f->folder);
    const struct sqlite_db_conf conf = {
        .path = path, .schema = schema_sql, .version = SCHEMA_VERSION};
    assert_int_equal(sqlite_db_open(&f->db, &conf, NULL, NULL), 0);
    free(path);
    f->limits = (struct fold_limits){.log_attempt_bytes = 8000,
                                     .log_total_bytes = 1000000,
                                     .log_ms = 7 * DAY_MS,
                                     .events_max = 100,
                                     .release_ms = 365 * DAY_MS};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sqlite_db_close(f->db);
    file_remove_tree(f->folder, NULL);
    free(f);
    return 0;
}

static void put_chunk(struct fixture *f, const char *run_id, uint64_t offset, size_t len,
                      int64_t time_ms)
{
    Gantry__V1__LogChunk chunk = GANTRY__V1__LOG_CHUNK__INIT;
    char data[1000];

    memset(data, 'x', sizeof(data));
    chunk.run_id = (char *)run_id;
    chunk.pipeline = "shop";
    chunk.release = 1;
    chunk.attempt = 1;
    chunk.offset_bytes = offset;
    chunk.time_ms = time_ms;
    chunk.stream = GANTRY__V1__LOG_STREAM__LOG_STREAM_OUTPUT;
    chunk.data = (ProtobufCBinaryData){len, (uint8_t *)data};
    sqlite_db_begin(f->db);
    fold_log(f->db, &chunk, &f->limits);
    assert_int_equal(sqlite_db_commit(f->db, NULL), 0);
}

static bool prune(struct fixture *f, int64_t now_ms)
{
    sqlite_db_begin(f->db);
    bool more = fold_prune(f->db, &f->limits, now_ms);
    assert_int_equal(sqlite_db_commit(f->db, NULL), 0);
    return more;
}

static int64_t number(struct fixture *f, const char *sql)
{
    return sqlite_select_int(f->db, -1, sql);
}

static void of_a_long_log_the_beginning_and_the_end_stay(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 100; i++) {
        put_chunk(f, "run", i * 500, 500, NOW_MS);
        assert_true(number(f, "SELECT SUM(LENGTH(data)) FROM log_chunks") <= 8000);
    }
    assert_int_equal(number(f, "SELECT kept_bytes = (SELECT SUM(LENGTH(data)) FROM log_chunks)"
                               " FROM log_attempts"),
                     1);
    assert_int_equal(number(f, "SELECT MIN(offset_bytes) FROM log_chunks"), 0);
    assert_int_equal(number(f, "SELECT MAX(offset_bytes) FROM log_chunks"), 49500);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM log_chunks WHERE offset_bytes < 1000"), 2);
    assert_true(number(f, "SELECT COUNT(*) FROM log_chunks WHERE offset_bytes >= 46000") == 8);
}

static void a_repeated_chunk_is_kept_once(void **state)
{
    struct fixture *f = *state;
    put_chunk(f, "run", 0, 500, NOW_MS);
    put_chunk(f, "run", 0, 500, NOW_MS);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM log_chunks"), 1);
    assert_int_equal(number(f, "SELECT kept_bytes FROM log_attempts"), 500);
}

static void a_log_goes_after_its_time(void **state)
{
    struct fixture *f = *state;
    put_chunk(f, "old", 0, 500, NOW_MS - 8 * DAY_MS);
    put_chunk(f, "new", 0, 500, NOW_MS - 6 * DAY_MS);
    assert_false(prune(f, NOW_MS));
    assert_int_equal(number(f, "SELECT COUNT(*) FROM log_chunks"), 1);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM log_attempts WHERE run_id = 'new'"), 1);
}

static void beyond_the_total_the_oldest_logs_go(void **state)
{
    struct fixture *f = *state;
    char run[16];
    f->limits.log_total_bytes = 2500;
    for (int i = 0; i < 10; i++) {
        snprintf(run, sizeof(run), "run-%d", i);
        put_chunk(f, run, 0, 500, NOW_MS + i);
    }
    prune(f, NOW_MS);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM log_attempts"), 5);
    assert_int_equal(number(f, "SELECT MIN(last_ms) FROM log_attempts"), NOW_MS + 5);
}

static void put_event(struct fixture *f, Gantry__V1__ReleaseEvent *event, int64_t offset,
                      int64_t time_ms)
{
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    const struct fold_place place = {
        .partition = 3, .offset = offset, .ce_id = "id", .value = "v", .value_len = 1};

    order.epoch = 1;
    order.sequence = (uint64_t)offset + 1;
    event->order = &order;
    event->pipeline = "shop";
    event->time_ms = time_ms;
    sqlite_db_begin(f->db);
    assert_true(fold_event(f->db, event, &place));
    assert_int_equal(sqlite_db_commit(f->db, NULL), 0);
}

static void put_release(struct fixture *f, uint64_t number_, int64_t offset, int64_t time_ms)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ReleaseStarted started = GANTRY__V1__RELEASE_STARTED__INIT;
    Gantry__V1__ReleaseEnded ended = GANTRY__V1__RELEASE_ENDED__INIT;
    Gantry__V1__Revision app = GANTRY__V1__REVISION__INIT, conf = GANTRY__V1__REVISION__INIT;
    Gantry__V1__Revision *revisions[] = {&app, &conf};

    app.source = "app";
    conf.source = "conf";
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STARTED;
    event.release_started = &started;
    started.revisions = revisions;
    started.n_revisions = 2;
    started.release = number_;
    started.type = GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_NORMAL;
    put_event(f, &event, offset, time_ms);
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED;
    event.release_ended = &ended;
    ended.release = number_;
    ended.status = GANTRY__V1__STATUS__STATUS_SUCCEEDED;
    put_event(f, &event, offset + 1, time_ms + 1000);
}

static void the_newest_events_stay_and_the_floor_says_from_where(void **state)
{
    struct fixture *f = *state;
    for (int64_t i = 0; i < 150; i++)
        put_release(f, (uint64_t)i + 1, i * 2, NOW_MS);
    prune(f, NOW_MS);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM events"), 100);
    assert_int_equal(number(f, "SELECT MIN(event_offset) FROM events"), 200);
    assert_int_equal(number(f, "SELECT first_offset FROM event_floors WHERE partition = 3"), 200);
}

static void put_reports(struct fixture *f, uint64_t release, const char *run_id, int64_t offset)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ActionEnded ended = GANTRY__V1__ACTION_ENDED__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__TestReport report = GANTRY__V1__TEST_REPORT__INIT, *reports[] = {&report, &report};

    report.group = "unit";
    report.format = "JUNITXML";
    finished.reports = reports;
    finished.n_reports = 2;
    ended.release = release;
    ended.run_id = (char *)run_id;
    ended.finished = &finished;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_ACTION_ENDED;
    event.action_ended = &ended;
    put_event(f, &event, offset, NOW_MS);
}

static void a_release_goes_when_its_events_have_gone(void **state)
{
    struct fixture *f = *state;
    put_release(f, 1, 0, NOW_MS - 366 * DAY_MS);
    put_release(f, 2, 2, NOW_MS - 364 * DAY_MS);
    put_reports(f, 1, "run-1", 4);
    put_reports(f, 2, "run-2", 5);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM reports"), 4);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM revisions"), 4);
    prune(f, NOW_MS);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM releases"), 1);
    assert_int_equal(number(f, "SELECT number FROM releases"), 2);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM reports WHERE release = 2"), 2);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM reports"), 2);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM revisions WHERE release = 2"), 2);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM revisions"), 2);
}

static void a_prune_is_bounded_and_says_that_there_is_more(void **state)
{
    struct fixture *f = *state;
    char run[16];
    for (int i = 0; i < 700; i++) {
        snprintf(run, sizeof(run), "run-%d", i);
        put_chunk(f, run, 0, 10, NOW_MS - 8 * DAY_MS);
    }
    assert_true(prune(f, NOW_MS));
    assert_int_equal(number(f, "SELECT COUNT(*) FROM log_attempts"), 200);
    assert_false(prune(f, NOW_MS));
    assert_int_equal(number(f, "SELECT COUNT(*) FROM log_attempts"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void put_fact(struct fixture *f, Gantry__V1__ReleaseEvent *event)
{
    event->pipeline = "shop";
    event->time_ms = NOW_MS;
    sqlite_db_begin(f->db);
    fold_action_fact(f->db, event);
    assert_int_equal(sqlite_db_commit(f->db, NULL), 0);
}

static void put_requested(struct fixture *f, const char *action)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ActionRequested requested = GANTRY__V1__ACTION_REQUESTED__INIT;
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;

    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_ACTION_REQUESTED;
    event.action_requested = &requested;
    requested.request = &request;
    request.run_id = request.action = (char *)action;
    request.pipeline = "shop";
    request.release = 1;
    request.stage = "build";
    request.number = 1;
    request.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
    put_fact(f, &event);
}

static void put_planned(struct fixture *f)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__BatchPlanned planned = GANTRY__V1__BATCH_PLANNED__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__BatchPlan plan = GANTRY__V1__BATCH_PLAN__INIT;
    Gantry__V1__BatchBuild unit = GANTRY__V1__BATCH_BUILD__INIT, load = unit;
    Gantry__V1__BatchBuild *builds[] = {&unit, &load};
    Gantry__V1__StoredFile log = GANTRY__V1__STORED_FILE__INIT, *files[] = {&log};
    char *waits_for[] = {"unit"};

    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_BATCH_PLANNED;
    event.batch_planned = &planned;
    planned.run_id = "image";
    planned.finished = &finished;
    finished.batch = &plan;
    finished.files = files;
    finished.n_files = 1;
    log.name = "log";
    plan.builds = builds;
    plan.n_builds = 2;
    unit.identifier = "unit";
    load.identifier = "load";
    load.ignore_failure = true;
    load.depend_on = waits_for;
    load.n_depend_on = 1;
    put_fact(f, &event);
}

static void put_failed(struct fixture *f, const char *run_id, const char *reason)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ActionEnded ended = GANTRY__V1__ACTION_ENDED__INIT;

    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_ACTION_ENDED;
    event.action_ended = &ended;
    ended.run_id = (char *)run_id;
    ended.status = GANTRY__V1__STATUS__STATUS_FAILED;
    ended.reason = (char *)reason;
    put_fact(f, &event);
}

/* "NAME STATUS, ..." of the stage's actions. */
static char *actions_text(const json_t *actions)
{
    struct buf text;
    json_t *action;
    size_t i;

    buf_init(&text, 1000);
    json_array_foreach(actions, i, action)
    {
        const json_t *run = json_array_get(json_object_get(action, "runs"), 0);
        buf_addf(&text, "%s%s %s", i ? ", " : "",
                 json_string_value(json_object_get(action, "name")),
                 json_string_value(json_object_get(run, "status")));
    }
    return buf_detach(&text);
}

static void builds_of_a_batch_stand_after_their_action_which_keeps_plan_and_log(void **state)
{
    struct fixture *f = *state;
    put_requested(f, "image");
    put_requested(f, "image-2");
    put_planned(f);
    put_requested(f, "image/unit");
    json_t *read = read_actions(f->db, "shop", 1, true);
    char *text = actions_text(json_object_get(read, "build"));
    assert_string_equal(text, "image in-progress, image/unit waiting, image-2 waiting");
    free(text);
    json_decref(read);

    put_failed(f, "image/unit", "exit 1");
    put_failed(f, "image", "build 'unit' failed: exit 1");
    read = read_actions(f->db, "shop", 1, true);
    text = actions_text(json_object_get(read, "build"));
    assert_string_equal(text, "image failed, image/unit failed, image-2 waiting");
    free(text);
    json_t *action = json_array_get(json_object_get(read, "build"), 0);
    json_t *run = json_array_get(json_object_get(action, "runs"), 0);
    text = json_dumps(json_object_get(run, "batch"), JSON_COMPACT);
    assert_string_equal(
        text, "{\"fastFail\":false,\"builds\":[{\"identifier\":\"unit\",\"ignoreFailure\":false,"
              "\"dependOn\":[]},{\"identifier\":\"load\",\"ignoreFailure\":true,\"dependOn\":["
              "\"unit\"]}]}");
    free(text);
    json_t *finished = json_object_get(run, "finished");
    assert_null(json_object_get(finished, "batch"));
    assert_int_equal(json_array_size(json_object_get(finished, "files")), 1);
    assert_string_equal(json_string_value(json_object_get(finished, "reason")),
                        "build 'unit' failed: exit 1");
    json_decref(read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_a_long_log_the_beginning_and_the_end_stay),
        TEST(a_repeated_chunk_is_kept_once),
        TEST(a_log_goes_after_its_time),
        TEST(beyond_the_total_the_oldest_logs_go),
        TEST(the_newest_events_stay_and_the_floor_says_from_where),
        TEST(a_release_goes_when_its_events_have_gone),
        TEST(builds_of_a_batch_stand_after_their_action_which_keeps_plan_and_log),
        TEST(a_prune_is_bounded_and_says_that_there_is_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
