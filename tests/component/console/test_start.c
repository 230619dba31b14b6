/* What a release that is started by hand begins with, where the pipeline has several sources. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gantry/v1/command.pb-c.h"
#include "tests/component/console/scene.h"

#define RELEASES "/api/v1/pipelines/pair/releases"
#define KNOWN    "88aa0123456789abcdef0123456789abcdef0123"

static struct scene scene;

/* A pipeline of two sources; a release of it had KNOWN of the first. */
static void tell_pair(void)
{
    static const char yaml[] =
        "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: pair}\nspec:\n  sources:\n"
        "    - {name: app, git: \"https://git.example/app.git\", branches: [main]}\n"
        "    - {name: conf, git: \"https://git.example/conf.git\", branches: [main]}\n"
        "  stages:\n    - name: build\n      steps:\n"
        "        - build: {name: image, source: app, buildspec: buildspec.yml}\n";
    struct story_release release = {.pipeline = "pair",
                                    .number = 1,
                                    .commit = KNOWN,
                                    .message = "Fix it",
                                    .author = "Ada King"};

    story_definition(&scene.story, "Pipeline", "pair", yaml, true);
    story_release_started(&scene.story, &release);
    rest_until(&scene.rest, "/api/v1/pipelines/pair", "sources.1.name", "conf");
    rest_until(&scene.rest, "/api/v1/pipelines/pair", "latestRelease", "1");
}

static int begin(void **state)
{
    *state = &scene;
    if (scene_begin(&scene, NULL) != 0)
        return -1;
    tell_pair();
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

static void a_start_names_a_revision_of_each_source(void **state)
{
    (void)state;

    size_t n = scene_count(&scene, TOPIC_COMMAND, "pair");
    struct reply *r = rest_send(
        &scene.rest, RELEASES,
        &(struct ask){
            .method = "POST",
            .body =
                "{\"revisions\": [{\"source\": \"conf\","
                " \"revision\": \"ABCDEF0123456789ABCDEF0123456789ABCDEF01\", \"ref\": \"next\"},"
                " {\"source\": \"app\", \"revision\": \"88aa0123\"}]}"});
    const struct got *got = scene_sent(&scene, TOPIC_COMMAND, "pair", n, r);
    const Gantry__V1__StartRelease *start = ((const Gantry__V1__Command *)got->message)->start;
    assert_int_equal(start->n_revisions, 2);
    assert_string_equal(start->revisions[0]->source, "conf");
    assert_string_equal(start->revisions[0]->commit, "abcdef0123456789abcdef0123456789abcdef01");
    assert_string_equal(start->revisions[0]->ref, "refs/heads/next");
    assert_string_equal(start->revisions[1]->source, "app");
    assert_string_equal(start->revisions[1]->commit, KNOWN);
    assert_string_equal(start->revisions[1]->ref, "");
    scene.story.cause = got->meta.id;
    story_release_started(
        &scene.story, &(struct story_release){
                          .pipeline = "pair", .number = 2, .message = "", .author = "Ada King"});
    scene.story.cause = NULL;
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 201);
    assert_int_equal(reply_num(r, "number"), 2);
    rest_release(r);
}

static void revisions_that_make_no_sense_are_refused_by_their_place(void **state)
{
    static const struct {
        const char *body, *where, *reason;
    } cases[] = {
        {"{\"revisions\": {}}", "revisions", "list of at most 10"},
        {"{\"revisions\": [1,2,3,4,5,6,7,8,9,10,11]}", "revisions", "list of at most 10"},
        {"{\"revisions\": [7]}", "revisions[0]", "must be an object"},
        {"{\"revisions\": [], \"revision\": \"88aa0123\"}", "revisions", "excludes revision"},
        {"{\"revisions\": [], \"ref\": \"main\"}", "revisions", "excludes revision"},
        {"{\"revisions\": [], \"source\": \"app\"}", "revisions", "excludes revision"},
        {"{\"revisions\": [{\"commit\": \"88aa0123\"}]}", "revisions[0].commit",
         "there are source,revision,ref"},
        {"{\"revisions\": [{\"revision\": \"88aa0123\"}]}", "revisions[0].source", "has several"},
        {"{\"revisions\": [{\"source\": \"app\"}, {\"source\": \"other\"}]}", "revisions[1].source",
         "no such source"},
        {"{\"revisions\": [{\"source\": \"conf\"}, {\"source\": \"app\"}, {\"source\": \"conf\"}]}",
         "revisions[2].source", "revisions[0] is of 'conf' already"},
        {"{\"revisions\": [{\"source\": 7}]}", "revisions[0].source", "must be a string"},
        {"{\"revisions\": [{\"source\": \"app\", \"ref\": \"a b\"}]}", "revisions[0].ref",
         "without blanks"},
        {"{\"revisions\": [{\"source\": \"app\", \"revision\": \"main\"}]}",
         "revisions[0].revision", "must be a commit"},
        /* It is known of the other source. */
        {"{\"revisions\": [{\"source\": \"conf\", \"revision\": \"88aa0123\"}]}",
         "revisions[0].revision", "no known commit of the source"},
        {"{\"source\": \"conf\", \"revision\": \"88aa0123\"}", "revision",
         "no known commit of the source"},
    };
    size_t n = scene_count(&scene, TOPIC_COMMAND, "pair");
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct reply *r = rest_post(&scene.rest, RELEASES, cases[i].body);
        if (r->status != 422 || !strstr(reply_text(r, "errors.0.reason"), cases[i].reason))
            fail_msg("%s: %d %s", cases[i].body, r->status, r->body);
        assert_string_equal(reply_text(r, "errors.0.path"), cases[i].where);
        rest_release(r);
    }
    service_run_for(&scene.service, 200);
    assert_int_equal(scene_count(&scene, TOPIC_COMMAND, "pair"), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_names_a_revision_of_each_source),
        cmocka_unit_test(revisions_that_make_no_sense_are_refused_by_their_place),
    };

    if (!getenv("GANTRY_KAFKA")) {
        printf("LEFT OUT: GANTRY_KAFKA is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
