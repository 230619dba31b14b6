/* What builds left in the artifact store, by REST and by `gantry artifacts`. */
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/component/console/scene.h"

static struct scene scene;
static char store[64];

static int begin(void **state)
{
    *state = &scene;
    snprintf(store, sizeof(store), "/tmp/gantry-files-XXXXXX");
    assert_non_null(mkdtemp(store));
    char *config = mem_printf("  artifacts: %s\n", store);
    int rc = scene_begin(&scene, config);
    free(config);
    return rc;
}

static int end(void **state)
{
    (void)state;
    scene_end(&scene);
    return file_remove_tree(store, NULL);
}

static void put(const char *bytes)
{
    char *path = mem_printf("%s/" STORY_KEY, store);
    *strrchr(path, '/') = '\0';
    assert_int_equal(file_mkdirs(path, 0700, NULL), 0);
    path[strlen(path)] = '/';
    assert_int_equal(file_write(path, bytes, strlen(bytes), 0600, NULL), 0);
    free(path);
}

/* A build that kept something, and its run's id. */
static const char *tell_build(const char *pipeline)
{
    static char run_id[ID_SIZE];
    struct story_release release = {
        .pipeline = pipeline, .number = 1, .message = "Fix it", .author = "Ada King"};
    struct story_run build = {
        .release = &release, .stage = "build", .action = "image", .number = 1, .files = true};
    char path[128];

    scene_pipeline(&scene, pipeline);
    story_release_started(&scene.story, &release);
    story_stage_entered(&scene.story, &release, "build", 1);
    story_requested(&scene.story, &build);
    story_started(&scene.story, &build);
    story_finished(&scene.story, &build, NULL);
    story_stage_ended(&scene.story, &release, "build", GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL);
    story_release_ended(&scene.story, &release, GANTRY__V1__STATUS__STATUS_SUCCEEDED, NULL, 0);
    snprintf(path, sizeof(path), "/api/v1/pipelines/%s/releases/1", pipeline);
    rest_until(&scene.rest, path, "status", "succeeded");
    snprintf(run_id, sizeof(run_id), "%s", build.id);
    return run_id;
}

static void a_file_of_a_run_is_downloaded_by_its_name(void **state)
{
    char path[200];
    (void)state;
    put(STORY_BYTES);
    const char *run_id = tell_build("kept");
    snprintf(path, sizeof(path), "/api/v1/runs/%s/files/" STORY_FILE, run_id);
    struct reply *r = rest_get(&scene.rest, path);
    assert_int_equal(r->status, 200);
    assert_string_equal(r->body, STORY_BYTES);
    assert_string_equal(r->type, "application/zip");
    rest_release(r);
    snprintf(path, sizeof(path), "/api/v1/runs/%s/files/log", run_id);
    r = rest_get(&scene.rest, path); /* it is told, but gone from the store */
    assert_int_equal(r->status, 404);
    rest_release(r);
    static const char *const none[] = {"other", "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
                                       "artifacts%2fshop%2fweb%201.zip"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "/api/v1/runs/%s/files/%s", run_id, none[i]);
        r = rest_get(&scene.rest, path);
        assert_int_equal(r->status, 404);
        rest_release(r);
    }
    r = rest_get(&scene.rest, "/api/v1/runs/0123456789abcdef0123456789abcdef/files/log");
    assert_int_equal(r->status, 404);
    rest_release(r);
}

static void nobody_downloads_without_a_token(void **state)
{
    char path[200];
    (void)state;
    put(STORY_BYTES);
    snprintf(path, sizeof(path), "/api/v1/runs/%s/files/" STORY_FILE, tell_build("closed"));
    scene.rest.token = NULL;
    struct reply *r = rest_get(&scene.rest, path);
    scene.rest.token = REST_ADMIN;
    assert_int_equal(r->status, 401);
    rest_release(r);
}

/* Runs it in the store's folder; what it prints, and its exit status after it. */
static const char *gantry(const char *words)
{
    static char out[4096];
    char *line = mem_printf("cd %s && GANTRY_TOKEN=%s GANTRY_URL=http://127.0.0.1:%d " GANTRY_CLI
                            " %s 2>&1; echo \"=$?\"",
                            store, REST_ADMIN, scene.service.port, words);
    FILE *pipe = popen(line, "r");
    size_t n = fread(out, 1, sizeof(out) - 1, pipe);
    out[n] = '\0';
    pclose(pipe);
    free(line);
    return out;
}

static void gantry_artifacts_lists_and_downloads_what_is_kept(void **state)
{
    struct buf text;
    (void)state;
    put(STORY_BYTES);
    tell_build("listed");
    const char *said = gantry("artifacts listed/1");
    if (!strstr(said, "web.zip"))
        fail_msg("%s", said);
    assert_non_null(strstr(said, "12 files, 23 bytes"));
    assert_non_null(strstr(said, STORY_KEY));
    assert_string_equal(gantry("artifacts listed/1 web.zip --to got.zip"), "got.zip\n=0\n");
    char *path = mem_printf("%s/got.zip", store);
    assert_int_equal(file_read(&text, path, 4096, NULL), 0);
    assert_string_equal(buf_cstr(&text), STORY_BYTES);
    buf_release(&text);
    free(path);
    assert_non_null(strstr(gantry("artifacts listed/1 none"), "=3\n"));
}

static void what_is_not_what_was_kept_is_not_left_behind(void **state)
{
    (void)state;
    put("the bytes of Mallory...");
    tell_build("changed");
    assert_non_null(strstr(gantry("artifacts changed/1 web.zip --to bad.zip"), "=1\n"));
    char *path = mem_printf("%s/bad.zip", store), *part = mem_printf("%s/bad.zip.part", store);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(part, F_OK), 0);
    free(path);
    free(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_a_run_is_downloaded_by_its_name),
        cmocka_unit_test(nobody_downloads_without_a_token),
        cmocka_unit_test(gantry_artifacts_lists_and_downloads_what_is_kept),
        cmocka_unit_test(what_is_not_what_was_kept_is_not_left_behind),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
