#include <signal.h>

#include "base/file.h"
#include "base/mem.h"
#include "services/console/schema.h"
#include "store/sqlite_db.h"
#include "tests/component/console/scene.h"

static struct scene scene;

static int begin(void **state)
{
    *state = &scene;
    return scene_begin(&scene, NULL);
}

static int end(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

/* A story of one release, and that the console knows all of it. */
static void tell(struct story_release *release, struct story_approval *approval)
{
    char path[128];

    scene_pipeline(&scene, release->pipeline);
    scene_release(&scene, release, approval);
    snprintf(path, sizeof(path), "/api/v1/pipelines/%s/releases/%llu", release->pipeline,
             (unsigned long long)release->number);
    rest_until(&scene.rest, path, "approvals.0.approvalId", approval->id);
}

static void what_was_told_is_answered(void **state)
{
    struct story_release release = {
        .pipeline = "told", .number = 7, .message = "Fix it", .author = "Ada King"};
    struct story_approval approval;
    (void)state;

    tell(&release, &approval);
    struct reply *r = rest_get(&scene.rest, "/api/v1/pipelines/told");
    assert_int_equal(r->status, 200);
    assert_string_equal(reply_text(r, "labels.team"), "web");
    assert_string_equal(reply_text(r, "definition.status"), "taken");
    assert_int_equal(json_array_size(json_at(r->json, "stages")), 3);
    assert_string_equal(reply_text(r, "stages.0.current.status"), "succeeded");
    assert_string_equal(reply_text(r, "stages.1.current.actions.0.runs.0.environment"), "dev");
    assert_int_equal(reply_num(r, "stages.1.good.release"), 7);
    assert_null(json_at(r->json, "stages.2.current"));
    assert_int_equal(reply_num(r, "stages.2.gates.0.count"), 2);
    assert_int_equal(reply_num(r, "stages.2.waiting.0.release"), 7);
    assert_string_equal(reply_text(r, "stages.2.waiting.0.heldBy.0"), "approval");
    assert_string_equal(reply_text(r, "stages.2.waiting.0.approvals.0.approvalId"), approval.id);
    rest_release(r);

    r = rest_get(&scene.rest, "/api/v1/pipelines/told/releases/7");
    assert_string_equal(reply_text(r, "status"), "waiting");
    assert_string_equal(reply_text(r, "message"), "Fix it");
    assert_string_equal(reply_text(r, "starter.name"), "Ada King");
    assert_string_equal(reply_text(r, "people.0"), "ada.king@example.test");
    assert_string_equal(reply_text(r, "artifacts.0.digest"), release.digest);
    assert_string_equal(reply_text(r, "stages.0.actions.0.kind"), "build");
    assert_string_equal(reply_text(r, "stages.0.actions.0.runs.0.executor"), "builder-2");
    assert_string_equal(reply_text(r, "stages.2.status"), "waiting");
    assert_int_equal(reply_num(r, "stages.2.number"), 0);
    rest_release(r);

    r = rest_get(&scene.rest, "/api/v1/environments");
    assert_string_equal(reply_text(r, "running.0.environment"), "dev");
    assert_string_equal(reply_text(r, "running.0.digest"), release.digest);
    assert_int_equal(reply_num(r, "running.0.builtBy"), 7);
    rest_release(r);
}

static void votes_and_the_end_of_a_release_are_seen(void **state)
{
    struct story_release release = {
        .pipeline = "voted", .number = 1, .message = "Fix it", .author = "Ada King"};
    struct story_approval approval;
    const char *path = "/api/v1/pipelines/voted/releases/1";
    (void)state;

    tell(&release, &approval);
    story_vote(&scene.story, &approval, "Grace Hopper", "Fine");
    rest_until(&scene.rest, path, "approvals.0.votes.0.voter.name", "Grace Hopper");
    rest_until(&scene.rest, "/api/v1/pipelines/voted", "stages.2.waiting.0.approvals.0.approved",
               "1");
    struct reply *r = rest_get(&scene.rest, "/api/v1/approvals?pipeline=voted");
    assert_string_equal(reply_text(r, "approvals.0.digest"), release.digest);
    rest_release(r);
    story_approval_closed(&scene.story, &approval,
                          GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_REJECTED, "No");
    story_release_ended(&scene.story, &release, GANTRY__V1__STATUS__STATUS_FAILED,
                        "rejected by Grace Hopper", 0);
    rest_until(&scene.rest, path, "status", "failed");
    r = rest_get(&scene.rest, path);
    assert_string_equal(reply_text(r, "reason"), "rejected by Grace Hopper");
    assert_string_equal(reply_text(r, "approvals.0.outcome"), "rejected");
    assert_string_equal(reply_text(r, "stages.2.status"), "failed");
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/approvals?pipeline=voted");
    assert_int_equal(json_array_size(json_at(r->json, "approvals")), 0);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/pipelines/voted");
    assert_int_equal(json_array_size(json_at(r->json, "stages.2.waiting")), 0);
    rest_release(r);
}

static void a_retry_enters_the_stage_again_and_a_failure_is_explained(void **state)
{
    struct story_release release = {
        .pipeline = "retried", .number = 1, .message = "Fix it", .author = "Ada King"};
    struct story_run run = {.release = &release, .stage = "build", .action = "image"};
    const char *path = "/api/v1/pipelines/retried/releases/1";
    (void)state;

    scene_pipeline(&scene, "retried");
    story_release_started(&scene.story, &release);
    story_stage_entered(&scene.story, &release, "build", 1);
    story_requested(&scene.story, &run);
    story_started(&scene.story, &run);
    story_finished(&scene.story, &run, "`make check` ended with exit code 2");
    scene.story.skipped = "lint";
    story_stage_ended(&scene.story, &release, "build", GANTRY__V1__STATUS__STATUS_FAILED, "failed");
    scene.story.skipped = NULL;
    story_release_ended(&scene.story, &release, GANTRY__V1__STATUS__STATUS_FAILED, "failed", 0);
    rest_until(&scene.rest, path, "status", "failed");
    struct reply *r = rest_get(&scene.rest, path);
    assert_string_equal(reply_text(r, "stages.0.actions.0.runs.0.reason"),
                        "`make check` ended with exit code 2");
    assert_int_equal(reply_num(r, "stages.0.actions.0.runs.0.finished.exitCode"), 2);
    assert_int_equal(
        json_array_size(json_at(r->json, "stages.0.actions.0.runs.0.finished.logTail")), 2);
    assert_string_equal(reply_text(r, "stages.0.skipped.0"), "lint");
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/pipelines/retried");
    assert_string_equal(reply_text(r, "stages.0.current.skipped.0"), "lint");
    rest_release(r);
    story_stage_entered(&scene.story, &release, "build", 2);
    run.number = 2;
    story_requested(&scene.story, &run);
    rest_until(&scene.rest, path, "status", "in-progress");
    rest_until(&scene.rest, path, "stages.1.actions.0.runs.1.status", "waiting");
    r = rest_get(&scene.rest, path);
    assert_int_equal(reply_num(r, "stages.1.number"), 2);
    assert_null(json_at(r->json, "stages.1.skipped"));
    assert_null(json_at(r->json, "endedMs"));
    rest_release(r);
}

static void an_event_that_is_not_beyond_the_last_changes_nothing(void **state)
{
    struct story_release release = {
        .pipeline = "repeated", .number = 1, .message = "Fix it", .author = "Ada King"};
    struct story_approval approval;
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ReleaseEnded ended = GANTRY__V1__RELEASE_ENDED__INIT;
    (void)state;

    tell(&release, &approval);
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED;
    event.release_ended = &ended;
    ended.release = 1;
    ended.status = GANTRY__V1__STATUS__STATUS_STOPPED;
    story_event_at(&scene.story, "repeated", 3, &event);
    story_vote(&scene.story, &approval, "Grace Hopper", "");
    rest_until(&scene.rest, "/api/v1/pipelines/repeated/releases/1",
               "approvals.0.votes.0.voter.name", "Grace Hopper");
    struct reply *r = rest_get(&scene.rest, "/api/v1/pipelines/repeated/releases/1");
    assert_string_equal(reply_text(r, "status"), "waiting");
    rest_release(r);
}

static void what_cannot_be_decoded_is_left_out_and_the_partition_goes_on(void **state)
{
    struct story_release release = {
        .pipeline = "after-junk", .number = 1, .message = "Fix it", .author = "Ada King"};
    struct story_approval approval;
    struct err err;
    (void)state;

    for (int32_t p = 0; p < SERVICE_PARTITIONS; p++) {
        assert_int_equal(bus_produce_raw(scene.service.producer, TOPIC_EVENT, p, "x", 1, "junk", 4,
                                         NULL, 0, NULL, NULL, &err),
                         0);
        assert_int_equal(bus_produce_raw(scene.service.producer, TOPIC_LOG, p, "x", 1, NULL, 0,
                                         NULL, 0, NULL, NULL, &err),
                         0);
        assert_int_equal(bus_produce_raw(scene.service.producer, TOPIC_ACCESS, p, "x", 1, "junk", 4,
                                         NULL, 0, NULL, NULL, &err),
                         0);
    }
    tell(&release, &approval);
    assert_true(service_says(&scene.service, "/metrics", "gantry_console_undecodable_total 2"));
}

static void a_rollback_brings_an_earlier_image_back(void **state)
{
    struct story_release first = {
        .pipeline = "rolled", .number = 1, .message = "Fix it", .author = "Ada King"};
    struct story_release second = {
        .pipeline = "rolled", .number = 2, .message = "Break it", .author = "Ada King"};
    struct story_release back = {
        .pipeline = "rolled", .number = 3, .message = "", .author = "Grace Hopper"};
    struct story_run run = {
        .release = &back, .stage = "dev", .action = "app", .environment = "dev"};
    struct story_approval approval;
    (void)state;

    tell(&first, &approval);
    scene_release(&scene, &second, &approval);
    story_rollback_started(&scene.story, &back, 1, "dev", "It broke", 0);
    story_stage_entered(&scene.story, &back, "dev", 1);
    story_requested(&scene.story, &run);
    story_finished(&scene.story, &run, NULL);
    story_release_ended(&scene.story, &back, GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL, 0);
    rest_until(&scene.rest, "/api/v1/pipelines/rolled/releases/3", "status", "succeeded");
    struct reply *r = rest_get(&scene.rest, "/api/v1/pipelines/rolled/releases/3");
    assert_string_equal(reply_text(r, "type"), "rollback");
    assert_int_equal(reply_num(r, "rollbackTo"), 1);
    assert_string_equal(reply_text(r, "artifacts.0.digest"), first.digest);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/environments");
    const json_t *entry;
    size_t i, found = 0;
    json_array_foreach(json_at(r->json, "running"), i, entry)
    {
        if (strcmp(json_string_value(json_at(entry, "pipeline")), "rolled") != 0)
            continue;
        assert_int_equal(json_integer_value(json_at(entry, "builtBy")), 1);
        assert_int_equal(json_integer_value(json_at(entry, "behind")), 1);
        found++;
    }
    assert_int_equal(found, 1);
    rest_release(r);
}

static void a_log_is_whole_as_text_and_live_when_followed(void **state)
{
    struct story_release release = {
        .pipeline = "logged", .number = 1, .message = "Fix it", .author = "Ada King"};
    struct story_run run = {.release = &release, .stage = "build", .action = "image"};
    char path[128];
    struct feed feed;
    (void)state;

    scene_pipeline(&scene, "logged");
    story_release_started(&scene.story, &release);
    story_stage_entered(&scene.story, &release, "build", 1);
    story_requested(&scene.story, &run);
    story_started(&scene.story, &run);
    rest_until(&scene.rest, "/api/v1/pipelines/logged/releases/1",
               "stages.0.actions.0.runs.0.attempt", "1");
    snprintf(path, sizeof(path), "/api/v1/runs/%s/log?follow=true", run.id);
    feed_open(&feed, &scene.rest, path, NULL);
    story_log(&scene.story, &run, 0, "== BUILD\n", false);
    story_log(&scene.story, &run, 9, "make\n", false);
    feed_wait(&feed, 2);
    assert_string_equal(json_string_value(json_at(feed.frames[0].data, "stream")), "mark");
    assert_string_equal(json_string_value(json_at(feed.frames[1].data, "text")), "make\n");
    assert_string_equal(feed.frames[1].id, "14");
    story_log(&scene.story, &run, 14, "bad \xff byte\n", true);
    feed_wait(&feed, 4);
    assert_string_equal(json_string_value(json_at(feed.frames[2].data, "text")),
                        "bad \xef\xbf\xbd byte\n");
    assert_string_equal(feed.frames[3].name, "end");
    feed_wait_end(&feed);
    feed_close(&feed);

    feed_open(&feed, &scene.rest, path, "14");
    feed_wait_end(&feed);
    assert_int_equal(feed.count, 2);
    feed_close(&feed);

    snprintf(path, sizeof(path), "/api/v1/runs/%s/log", run.id);
    struct reply *r = rest_get(&scene.rest, path);
    assert_string_equal(r->type, "text/plain; charset=utf-8");
    assert_int_equal(r->len, 14 + 11);
    assert_memory_equal(r->body, "== BUILD\nmake\nbad \xff", 19);
    rest_release(r);
}

static void pages_go_on_where_the_one_before_ended(void **state)
{
    struct story_release release = {.pipeline = "paged", .message = "Fix it", .author = "Ada King"};
    int64_t expected = 5;
    char path[256] = "/api/v1/pipelines/paged/releases?limit=2";
    (void)state;

    scene_pipeline(&scene, "paged");
    for (release.number = 1; release.number <= 5; release.number++) {
        release.digest[0] = '\0';
        scene.story.now_ms += release.number > 2;
        story_release_started(&scene.story, &release);
    }
    rest_until(&scene.rest, "/api/v1/pipelines/paged", "latestRelease", "5");
    while (expected > 0) {
        struct reply *r = rest_get(&scene.rest, path);
        const json_t *entry;
        size_t i;
        json_array_foreach(json_at(r->json, "releases"), i, entry)
            assert_int_equal(json_integer_value(json_at(entry, "number")), expected--);
        const char *next = reply_text(r, "next");
        assert_int_equal(*next != '\0', expected > 0);
        snprintf(path, sizeof(path), "/api/v1/pipelines/paged/releases?limit=2&cursor=%s", next);
        rest_release(r);
    }
    /* Of all pipelines, where several started in the same millisecond. */
    struct reply *all = rest_get(&scene.rest, "/api/v1/releases?limit=200");
    size_t whole = json_array_size(json_at(all->json, "releases")), seen = 0;
    snprintf(path, sizeof(path), "/api/v1/releases?limit=1");
    for (const char *next = "x"; *next; seen++) {
        char at[32];
        struct reply *r = rest_get(&scene.rest, path);
        snprintf(at, sizeof(at), "releases.%zu", seen);
        assert_true(json_equal(json_at(r->json, "releases.0"), json_at(all->json, at)));
        next = reply_text(r, "next");
        snprintf(path, sizeof(path), "/api/v1/releases?limit=1&cursor=%s", next);
        next = *next ? "x" : "";
        rest_release(r);
    }
    assert_int_equal(seen, whole);
    rest_release(all);
    struct reply *r = rest_get(&scene.rest, "/api/v1/pipelines/paged/releases?status=failed");
    assert_int_equal(json_array_size(json_at(r->json, "releases")), 0);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/pipelines?limit=1");
    assert_int_equal(json_array_size(json_at(r->json, "pipelines")), 1);
    assert_string_equal(reply_text(r, "next"), reply_text(r, "pipelines.0.name"));
    rest_release(r);
}

static void search_finds_by_name_commit_and_digest(void **state)
{
    struct story_release release = {.pipeline = "needle",
                                    .number = 3,
                                    .commit = "abcdef0123456789abcdef0123456789abcdef01",
                                    .message = "Fix it",
                                    .author = "Ada King"};
    struct story_approval approval;
    char path[128];
    (void)state;

    tell(&release, &approval);
    struct reply *r = rest_get(&scene.rest, "/api/v1/search?q=needl");
    assert_string_equal(reply_text(r, "found.0.what"), "pipeline");
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/search?q=abcdef01");
    assert_string_equal(reply_text(r, "found.0.what"), "commit");
    assert_int_equal(reply_num(r, "found.0.release"), 3);
    rest_release(r);
    snprintf(path, sizeof(path), "/api/v1/search?q=%.20s", release.digest);
    r = rest_get(&scene.rest, path);
    assert_string_equal(reply_text(r, "found.0.what"), "digest");
    rest_release(r);
}

/* ---- the file ---- */

static char *everything(void)
{
    static const char *const paths[] = {"/api/v1/pipelines?limit=500",
                                        "/api/v1/releases?limit=200",
                                        "/api/v1/environments",
                                        "/api/v1/approvals",
                                        "/api/v1/definitions",
                                        "/api/v1/pipelines/told",
                                        "/api/v1/pipelines/told/releases/7",
                                        "/api/v1/pipelines/rolled/releases/3",
                                        "/api/v1/pipelines/voted/releases/1",
                                        "/api/v1/pipelines/retried/releases/1"};
    struct buf all;

    buf_init(&all, 16 * 1024 * 1024);
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        struct reply *r = rest_get(&scene.rest, paths[i]);
        assert_int_equal(r->status, 200);
        buf_addf(&all, "%s\n%s\n", paths[i], r->body);
        rest_release(r);
    }
    return buf_detach(&all);
}

/* Like assert_string_equal(), but names the place: the texts are long. */
static void expect_same(const char *after, const char *before)
{
    size_t at = 0;

    while (after[at] && after[at] == before[at])
        at++;
    if (after[at] != before[at])
        fail_msg("'%.160s' where there was '%.160s'", after + (at > 80 ? at - 80 : 0),
                 before + (at > 80 ? at - 80 : 0));
}

static char *file_path(void)
{
    return mem_printf("%s/state/console/read-model.db", scene.service.dir);
}

static void restart(void)
{
    service_start(&scene.service, true);
}

static void kill_9_and_the_loss_of_the_file_change_no_answer(void **state)
{
    char *before = everything(), *path = file_path();
    (void)state;

    assert_int_equal(service_end(&scene.service, SIGKILL), -SIGKILL);
    restart();
    char *after = everything();
    expect_same(after, before);
    free(after);
    assert_int_equal(service_end(&scene.service, SIGTERM), 0);
    assert_int_equal(sqlite_db_remove(path, NULL), 0);
    restart();
    after = everything();
    expect_same(after, before);
    free(after);
    free(before);
    free(path);
}

static void change_file(const char *sql)
{
    char *path = file_path(),
         *identity = mem_printf("%s/%d", scene.service.prefix, SERVICE_PARTITIONS);
    const struct sqlite_db_conf conf = {
        .path = path, .schema = "", .version = SCHEMA_VERSION, .identity = identity};
    struct sqlite_db *db;
    bool fresh;

    assert_int_equal(sqlite_db_open(&db, &conf, &fresh, NULL), 0);
    assert_false(fresh);
    sqlite_exec(db, sql);
    assert_int_equal(sqlite_db_error(db, NULL), 0);
    sqlite_db_close(db);
    free(path);
    free(identity);
}

static void a_topic_that_is_not_the_one_read_before_makes_the_file_anew(void **state)
{
    static const char *const signs[] = {
        "UPDATE positions SET last_id = 'another' WHERE topic = 'event'",
        "UPDATE positions SET next_offset = next_offset + 100000 WHERE topic = 'event'",
        "UPDATE positions SET next_offset = 900000, last_id = 'x' WHERE topic = 'definition'"};
    char *before = everything();
    (void)state;

    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
        service_end(&scene.service, SIGTERM);
        change_file(signs[i]);
        change_file("DELETE FROM releases");
        restart();
        rest_until(&scene.rest, "/api/v1/pipelines/told/releases/7", "number", "7");
        char *after = everything();
        expect_same(after, before);
        free(after);
    }
    free(before);
}

static void a_damaged_file_is_made_anew(void **state)
{
    char *before = everything(), *path = file_path();
    (void)state;

    service_end(&scene.service, SIGTERM);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 8192, SEEK_SET), 0);
    for (int i = 0; i < 20 * 4096; i++)
        fputc('x', file);
    fclose(file);
    service_start(&scene.service, false);
    for (int i = 0; i < 3; i++) /* whoever reads the damage first finds it */
        rest_release(rest_get(&scene.rest, "/api/v1/pipelines?limit=500"));
    rest_until(&scene.rest, "/api/v1/pipelines/told/releases/7", "number", "7");
    char *after = everything();
    expect_same(after, before);
    free(after);
    free(before);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_told_is_answered),
        cmocka_unit_test(votes_and_the_end_of_a_release_are_seen),
        cmocka_unit_test(a_retry_enters_the_stage_again_and_a_failure_is_explained),
        cmocka_unit_test(an_event_that_is_not_beyond_the_last_changes_nothing),
        cmocka_unit_test(what_cannot_be_decoded_is_left_out_and_the_partition_goes_on),
        cmocka_unit_test(a_rollback_brings_an_earlier_image_back),
        cmocka_unit_test(a_log_is_whole_as_text_and_live_when_followed),
        cmocka_unit_test(pages_go_on_where_the_one_before_ended),
        cmocka_unit_test(search_finds_by_name_commit_and_digest),
        cmocka_unit_test(kill_9_and_the_loss_of_the_file_change_no_answer),
        cmocka_unit_test(a_topic_that_is_not_the_one_read_before_makes_the_file_anew),
        cmocka_unit_test(a_damaged_file_is_made_anew),
    };

    if (!getenv("GANTRY_KAFKA")) {
        printf("LEFT OUT: GANTRY_KAFKA is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
