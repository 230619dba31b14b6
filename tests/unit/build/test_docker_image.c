/* The driver docker's places for a Dockerfile, with an engine that is made up: what it is asked,
 * what becomes of what it says, and what is removed from it. */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "build/driver.h"
#include "gantry/v1/request.pb-c.h"
#include "tests/unit/docker/engine.h"

#define WAIT_MS 20000
#define IMAGE   "h:5000/shop:shop-7"
#define DIGEST  "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OK      "HTTP/1.1 200 OK\r\n\r\n"
#define VERSION                                                                                    \
    {                                                                                              \
        "GET /version", OK "{\"ApiVersion\":\"1.41\"}"                                             \
    }
#define LIST                                                                                       \
    {                                                                                              \
        "GET /v1.41/containers/json", OK "[]"                                                      \
    }
#define FROM "{\"stream\":\" ---> aaaaaaaaaaaa\\n\"}\n"
#define STEP "{\"stream\":\" ---> bbbbbbbbbbbb\\n\"}\n"

static struct {
    char dir[64];
    struct loop *loop;
    struct engine engine;
    struct build_driver *driver;
    struct build_place *place;
    struct buf output;
    bool works, done, gone;
    struct build_exit result;
    char failed[ERR_MSG_MAX];
} fx;

static void on_state(bool works, const char *reason, void *arg)
{
    (void)reason;
    (void)arg;
    fx.works = works;
}

static int setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/gantry-test-image-%d", (int)getpid());
    assert_int_equal(file_remove_tree(fx.dir, NULL), 0);
    fx.loop = loop_new(1);
    engine_start(&fx.engine, fx.loop);
    buf_init(&fx.output, 1024 * 1024);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    build_driver_free(fx.driver);
    engine_stop(&fx.engine);
    loop_drain(fx.loop);
    loop_free(fx.loop);
    buf_release(&fx.output);
    (void)file_remove_tree(fx.dir, NULL);
    return 0;
}

static void until(const bool *what)
{
    loop_run_for(fx.loop, WAIT_MS, what);
    assert_true(*what);
}

static bool asked(const char *text)
{
    return strstr(buf_cstr(&fx.engine.heads), text) != NULL;
}

static void until_asked(const char *text)
{
    for (int i = 0; i < WAIT_MS / 10 && !asked(text); i++)
        loop_run_for(fx.loop, 10, NULL);
    if (!asked(text))
        fail_msg("'%s' was not asked: %s", text, buf_cstr(&fx.engine.heads));
}

/* A driver whose engine has answered. */
static void start(const struct engine_answer *answers)
{
    const struct build_docker conf = {
        .dir = fx.dir, .socket = fx.engine.path, .network = "bridge", .on_state = on_state};
    struct err err = {0};
    fx.engine.answers = answers;
    fx.engine.reply = OK "[]";
    fx.engine.reply_len = strlen(fx.engine.reply);
    fx.works = false;
    assert_int_equal(build_driver_docker(&fx.driver, fx.loop, &conf, &err), 0);
    until(&fx.works);
}

static int take(Gantry__V1__BuildSpec *spec, struct err *err)
{
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    const struct build_wish wish = {.image = spec->build_image,
                                    .privileged = spec->privileged,
                                    .request = &request,
                                    .run_id = "r",
                                    .attempt = 1,
                                    .limits.memory_bytes = 1 << 20};
    request.build = spec;
    request.pipeline = "shop";
    return fx.driver->ops->take(fx.driver, &wish, &fx.place, err);
}

static bool on_output(const char *data, size_t len, void *arg)
{
    (void)arg;
    buf_add(&fx.output, data, len);
    return true;
}

static void on_done(const struct build_exit *result, void *arg)
{
    (void)arg;
    fx.done = true;
    fx.result = *result;
    snprintf(fx.failed, sizeof(fx.failed), "%s", result->failed ? result->failed : "");
}

static void put(const char *name, const char *text)
{
    char *path = mem_printf("%s/build/src/%s", fx.place->dir, name);
    assert_int_equal(file_create(path, text, strlen(text), 0644, NULL), 0);
    free(path);
}

static void open_place(void)
{
    static const struct build_image image = {
        .dockerfile = "./deploy/Dockerfile", .name = IMAGE, .digest_file = "build/.digest"};
    const struct build_script script = {.image = &image, .output = on_output, .done = on_done};
    Gantry__V1__BuildSpec spec = GANTRY__V1__BUILD_SPEC__INIT;
    struct err err = {0};
    assert_int_equal(take(&spec, &err), 0);
    assert_true(fx.place->ops->images);
    char *folder = mem_printf("%s/build/src/deploy", fx.place->dir);
    assert_int_equal(mkdir(folder, 0755), 0);
    free(folder);
    put("deploy/Dockerfile", "FROM scratch\n");
    put("deploy/left", "left out");
    put("kept", "kept text");
    put(".dockerignore", "deploy\n");
    assert_int_equal(fx.place->ops->open(fx.place, &script, &err), 0);
}

static void run(size_t index)
{
    fx.done = false;
    fx.place->ops->run(fx.place, index, true);
}

static void release(void)
{
    fx.place->ops->free(fx.place);
    fx.place = NULL;
}

static size_t notes(void)
{
    char *words = mem_printf("test -z \"$(ls -A %s/images)\"", fx.dir);
    int rc = system(words);
    free(words);
    return rc == 0 ? 0 : 1;
}

static void an_image_is_made_of_the_source_and_pushed_and_both_are_removed(void **state)
{
    static const struct engine_answer answers[] = {
        VERSION,
        LIST,
        {"POST /v1.41/build",
         OK FROM STEP "{\"stream\":\"made\\n\"}\n{\"aux\":{\"ID\":\"sha256:00\"}}\n"},
        {"POST /v1.41/images/",
         OK "{\"status\":\"Pushed\"}\n{\"aux\":{\"Digest\":\"" DIGEST "\"}}\n"},
        {"GET /v1.41/images/aaaaaaaaaaaa/json",
         OK "{\"RepoTags\":[\"base:1\"],\"Created\":\"2999-01-01T00:00:00Z\"}"},
        {"GET /v1.41/images/bbbbbbbbbbbb/json",
         OK "{\"RepoTags\":[],\"Created\":\"2999-01-01T00:00:00Z\"}"},
        {0}};
    struct buf digest;
    (void)state;
    start(answers);
    open_place();
    run(0);
    until(&fx.done);
    assert_int_equal(fx.result.err.code, ERR_NONE);
    assert_string_equal(fx.failed, "");
    assert_non_null(strstr(buf_cstr(&fx.output), "made\n"));
    assert_true(
        asked("POST /v1.41/build?dockerfile=deploy%2FDockerfile&t=h%3A5000%2Fshop%3Ashop-7&"));
    assert_int_equal(notes(), 1);
    run(1);
    until(&fx.done);
    assert_string_equal(fx.failed, "");
    assert_int_equal(fx.place->ops->read_file(fx.place, "build/.digest", 100, &digest, NULL), 0);
    assert_string_equal(buf_cstr(&digest), DIGEST);
    buf_release(&digest);
    release();
    until_asked("DELETE /v1.41/images/h%3A5000/shop%3Ashop-7 ");
    until_asked("GET /v1.41/images/aaaaaaaaaaaa/json");
    assert_false(asked("DELETE /v1.41/images/aaaaaaaaaaaa"));
    assert_int_equal(notes(), 0);
}

static void the_context_is_the_source_without_what_is_ignored(void **state)
{
    static const struct engine_answer answers[] = {
        VERSION, LIST, {"POST /v1.41/build", OK "{}\n"}, {0}};
    (void)state;
    start(answers);
    open_place();
    run(0);
    until(&fx.done);
    const struct buf *tar = &fx.engine.asked;
    assert_non_null(memmem(tar->data, tar->len, "kept text", 9));
    assert_non_null(memmem(tar->data, tar->len, "./deploy/Dockerfile", 19));
    assert_null(memmem(tar->data, tar->len, "left out", 8));
    release();
    until_asked("DELETE /v1.41/images/");
}

static void what_the_engine_fails_with_is_the_reason_and_its_absence_is_none(void **state)
{
    static const struct engine_answer fails[] = {
        VERSION,
        LIST,
        {"POST /v1.41/build",
         OK "{\"errorDetail\":{\"code\":7,\"message\":\"a step ended with 7\"}}\n"},
        {"POST /v1.41/images/",
         OK "{\"errorDetail\":{\"message\":\"denied\"},\"error\":\"denied\"}\n"},
        {0}};
    (void)state;
    start(fails);
    open_place();
    run(0);
    until(&fx.done);
    assert_string_equal(fx.failed, "cannot build the image " IMAGE ": a step ended with 7");
    assert_int_equal(fx.result.code, 7);
    run(1);
    until(&fx.done);
    assert_string_equal(fx.failed, "cannot push the image " IMAGE ": denied");
    assert_int_equal(fx.result.code, 1);
    release();
    until_asked("DELETE /v1.41/images/");
    static const struct engine_answer away[] = {
        VERSION, LIST, {"POST /v1.41/build", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"}, {0}};
    fx.engine.answers = away;
    open_place();
    run(0);
    until(&fx.done);
    assert_string_equal(fx.failed, "");
    assert_int_equal(fx.result.err.code, ERR_UNAVAILABLE);
    release();
}

static void a_dockerignore_that_is_none_fails_the_build(void **state)
{
    static const struct engine_answer answers[] = {VERSION, LIST, {0}};
    (void)state;
    start(answers);
    open_place();
    put(".containerignore", "fine\n[z\n");
    run(0);
    until(&fx.done);
    assert_string_equal(fx.failed, "'.containerignore': line 2: '[z' is no pattern");
    release();
    assert_false(asked("POST") || asked("DELETE"));
}

static void on_gone(void *arg)
{
    (void)arg;
    fx.gone = true;
}

static void a_build_that_is_stopped_closes_its_connection_and_calls_back_no_more(void **state)
{
    static const struct engine_answer answers[] = {
        VERSION,
        LIST,
        {"POST /v1.41/build", OK FROM},
        {"GET /v1.41/images/", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"},
        {0}};
    (void)state;
    start(answers);
    fx.engine.stays = true;
    open_place();
    run(0);
    until_asked("POST /v1.41/build");
    fx.engine.gone = false;
    fx.place->ops->stop(fx.place, 10000, on_gone, NULL);
    assert_true(fx.gone);
    until(&fx.engine.gone);
    fx.engine.stays = false;
    release();
    until_asked("DELETE /v1.41/images/h%3A5000/shop%3Ashop-7 ");
    assert_false(fx.done);
}

static void what_a_killed_builder_left_is_removed_at_the_next_start(void **state)
{
    static const struct engine_answer answers[] = {VERSION, LIST, {0}};
    (void)state;
    char *folder = mem_printf("%s/images", fx.dir), *note = mem_printf("%s/x", folder);
    assert_int_equal(file_mkdirs(folder, 0700, NULL), 0);
    assert_int_equal(file_create(note, "h/left:1", 8, 0600, NULL), 0);
    start(answers);
    until_asked("DELETE /v1.41/images/h/left%3A1 ");
    for (int i = 0; i < 100 && access(note, F_OK) == 0; i++)
        loop_run_for(fx.loop, 10, NULL);
    assert_int_not_equal(access(note, F_OK), 0);
    free(folder);
    free(note);
}

static void what_a_dockerfile_has_no_use_for_is_refused(void **state)
{
    static const struct engine_answer answers[] = {VERSION, LIST, {0}};
    Gantry__V1__BuildSpec spec = GANTRY__V1__BUILD_SPEC__INIT;
    struct err err = {0};
    (void)state;
    start(answers);
    spec.build_image = "debian";
    assert_int_equal(take(&spec, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.msg, "'build-image:' is for the commands of a buildspec"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_image_is_made_of_the_source_and_pushed_and_both_are_removed),
        TEST(the_context_is_the_source_without_what_is_ignored),
        TEST(what_the_engine_fails_with_is_the_reason_and_its_absence_is_none),
        TEST(a_dockerignore_that_is_none_fails_the_build),
        TEST(a_build_that_is_stopped_closes_its_connection_and_calls_back_no_more),
        TEST(what_a_killed_builder_left_is_removed_at_the_next_start),
        TEST(what_a_dockerfile_has_no_use_for_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
