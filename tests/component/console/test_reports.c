/* What builds say of tests and coverage: with the release, and over the pipeline's releases. */
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

/* Its build ran `runs` times; the last ended well unless `failed`. */
static void tell_build(const char *pipeline, uint64_t number, uint32_t runs, bool failed)
{
    struct story_release release = {
        .pipeline = pipeline, .number = number, .message = "Fix it", .author = "Ada King"};
    struct story *story = &scene.story;

    story_release_started(story, &release);
    for (uint32_t run = 1; run <= runs; run++) {
        bool good = run == runs && !failed;
        struct story_run build = {.release = &release,
                                  .stage = "build",
                                  .action = "image",
                                  .number = run,
                                  .reports = true};

        story_stage_entered(story, &release, "build", run);
        story_requested(story, &build);
        story_started(story, &build);
        story->now_ms += 1000;
        story_finished(story, &build, good ? NULL : "2 tests failed");
        story_stage_ended(
            story, &release, "build",
            good ? GANTRY__V1__STATUS__STATUS_SUCCEEDED : GANTRY__V1__STATUS__STATUS_FAILED, NULL);
    }
    story_release_ended(
        story, &release,
        failed ? GANTRY__V1__STATUS__STATUS_FAILED : GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL, 0);
}

#define RUN "stages.0.actions.0.runs.0."

static void a_release_shows_what_its_build_said(void **state)
{
    const char *path = "/api/v1/pipelines/tested/releases/3";
    (void)state;

    scene_pipeline(&scene, "tested");
    tell_build("tested", 3, 1, true);
    rest_until(&scene.rest, path, "status", "failed");
    struct reply *r = rest_get(&scene.rest, path);
    assert_int_equal(json_array_size(json_at(r->json, RUN "reports")), 3);
    assert_null(json_at(r->json, RUN "finished.reports"));
    assert_string_equal(reply_text(r, RUN "finished.phase"), "BUILD");

    assert_string_equal(reply_text(r, RUN "reports.0.group"), "unit");
    assert_string_equal(reply_text(r, RUN "reports.0.kind"), "test");
    assert_string_equal(reply_text(r, RUN "reports.0.format"), "JUNITXML");
    assert_int_equal(reply_num(r, RUN "reports.0.files"), 1);
    assert_int_equal(reply_num(r, RUN "reports.0.counts.total"), 212);
    assert_int_equal(reply_num(r, RUN "reports.0.counts.passed"), 205);
    assert_int_equal(reply_num(r, RUN "reports.0.counts.failed"), 1);
    assert_int_equal(reply_num(r, RUN "reports.0.counts.errored"), 1);
    assert_int_equal(reply_num(r, RUN "reports.0.counts.skipped"), 5);
    assert_true(json_real_value(json_at(r->json, RUN "reports.0.counts.passRate")) > 0.99);
    assert_true(reply_num(r, RUN "reports.0.durationMs") > 0);
    assert_string_equal(reply_text(r, RUN "reports.0.failures.0.name"), "case_87");
    assert_string_equal(reply_text(r, RUN "reports.0.failures.0.file"), "test_cart.c:97");
    assert_non_null(strstr(reply_text(r, RUN "reports.0.failures.0.message"), "total is 4199"));
    assert_true(json_is_true(json_at(r->json, RUN "reports.0.failures.1.errored")));
    assert_int_equal(json_array_size(json_at(r->json, RUN "reports.0.slowest")), 10);

    assert_string_equal(reply_text(r, RUN "reports.1.kind"), "coverage");
    assert_int_equal(reply_num(r, RUN "reports.1.coverage.linesMissed"), 108);
    assert_int_equal(reply_num(r, RUN "reports.1.coverage.branchesCovered"), 60);
    assert_true(json_real_value(json_at(r->json, RUN "reports.1.coverage.branchRate")) == 0.5);
    assert_string_equal(reply_text(r, RUN "reports.1.worst.0.path"), "src/module_0.c");
    assert_int_equal(reply_num(r, RUN "reports.1.worst.0.linesMissed"), 10);

    assert_int_equal(reply_num(r, RUN "reports.2.problems"), 1);
    assert_non_null(strstr(reply_text(r, RUN "reports.2.problem"), "not written to its end"));
    assert_null(json_at(r->json, RUN "reports.2.counts.passRate"));
    rest_release(r);

    /* The pipeline's own view has the figures alone. */
    r = rest_get(&scene.rest, "/api/v1/pipelines/tested");
    assert_int_equal(reply_num(r, "stages.0.current.actions.0.runs.0.reports.0.counts.failed"), 1);
    assert_null(json_at(r->json, "stages.0.current.actions.0.runs.0.reports.0.failures"));
    rest_release(r);
}

static void the_trend_has_a_point_for_each_release(void **state)
{
    const char *path = "/api/v1/pipelines/trending/reports";
    (void)state;

    scene_pipeline(&scene, "trending");
    tell_build("trending", 1, 1, false);
    tell_build("trending", 2, 1, true);
    tell_build("trending", 3, 2, false); /* failed first, then repeated */
    rest_until(&scene.rest, "/api/v1/pipelines/trending/releases/3", "status", "succeeded");
    struct reply *r = rest_get(&scene.rest, path);
    assert_int_equal(r->status, 200);
    assert_int_equal(json_array_size(json_at(r->json, "groups")), 3);
    assert_string_equal(reply_text(r, "groups.0.group"), "coverage");
    assert_string_equal(reply_text(r, "groups.0.stage"), "build");
    assert_string_equal(reply_text(r, "groups.0.action"), "image");
    assert_int_equal(json_array_size(json_at(r->json, "groups.0.releases")), 3);
    assert_int_equal(reply_num(r, "groups.0.releases.0.coverage.linesMissed"), 132);
    assert_int_equal(reply_num(r, "groups.0.releases.2.coverage.linesMissed"), 108);
    assert_string_equal(reply_text(r, "groups.1.group"), "lint");
    assert_string_equal(reply_text(r, "groups.2.group"), "unit");
    assert_string_equal(reply_text(r, "groups.2.kind"), "test");
    assert_int_equal(json_array_size(json_at(r->json, "groups.2.releases")), 3);
    assert_int_equal(reply_num(r, "groups.2.releases.0.release"), 1);
    assert_int_equal(reply_num(r, "groups.2.releases.0.counts.failed"), 0);
    assert_true(json_real_value(json_at(r->json, "groups.2.releases.0.counts.passRate")) == 1);
    assert_int_equal(reply_num(r, "groups.2.releases.1.counts.failed"), 1);
    assert_int_equal(reply_num(r, "groups.2.releases.2.counts.failed"), 0); /* of its last run */
    rest_release(r);

    r = rest_get(&scene.rest, "/api/v1/pipelines/trending/reports?limit=1");
    assert_int_equal(json_array_size(json_at(r->json, "groups.0.releases")), 1);
    assert_int_equal(reply_num(r, "groups.0.releases.0.release"), 3);
    rest_release(r);
}

static void a_trend_is_asked_of_a_pipeline_that_is_known(void **state)
{
    (void)state;
    scene_pipeline(&scene, "untested");
    struct reply *r = rest_get(&scene.rest, "/api/v1/pipelines/untested/reports");
    assert_int_equal(r->status, 200);
    assert_int_equal(json_array_size(json_at(r->json, "groups")), 0);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/pipelines/nowhere/reports");
    assert_int_equal(r->status, 404);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/pipelines/untested/reports?limit=101");
    assert_int_equal(r->status, 400);
    rest_release(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_shows_what_its_build_said),
        cmocka_unit_test(the_trend_has_a_point_for_each_release),
        cmocka_unit_test(a_trend_is_asked_of_a_pipeline_that_is_known),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
