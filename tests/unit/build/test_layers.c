/* Layers of images from one build of a pipeline to the next, in real sandboxes. */
#include <dirent.h>

#include "build/internal.h"
#include "tests/unit/sandbox/fixture.h"

#define KIB 1024ULL

static struct {
    struct build_layers *layers;
    struct build_driver_ops ops;
    struct build_env env;
    char dir[128];
    unsigned marks;
} lx;

/* A build whose commands are what the test does in its sandbox. */
struct trial {
    struct build build;
    struct build_place place;
    Gantry__V1__ActionRequest request;
    struct sandbox *box;
    bool ended;
    int code;
};

static void on_mark(void *host, const char *line)
{
    (void)host;
    (void)line;
    lx.marks++;
}

static const struct build_host_ops host_ops = {.mark = on_mark};

static void open_layers(uint64_t bytes_max, int64_t keep_ms)
{
    struct err err = {0};
    need_pool();
    snprintf(lx.dir, sizeof(lx.dir), "%s/layers", fx.dir);
    const struct build_layers_conf conf = {
        .dir = lx.dir, .pool = fx.pool, .bytes_max = bytes_max, .keep_ms = keep_ms};
    assert_int_equal(build_layers_new(&lx.layers, fx.loop, &conf, &err), 0);
    lx.env.layers = lx.layers;
}

/* What is asked of the pool goes with it. */
static void close_layers(void)
{
    sandbox_pool_free(fx.pool);
    fx.pool = NULL;
    fx.told = false;
    build_layers_free(lx.layers);
    lx.layers = NULL;
}

static void until_kept(const char *names);

static int teardown(void **state)
{
    (void)state;
    if (lx.layers) {
        build_layers_clear(lx.layers);
        until_kept("");
        close_layers();
    }
    return 0;
}

/* It has the layers that are there for it. */
static void begin(struct trial *t, char *pipeline)
{
    const struct sandbox_limits limits = {0};
    struct err err = {0};
    *t = (struct trial){.request = GANTRY__V1__ACTION_REQUEST__INIT};
    t->request.pipeline = pipeline;
    t->box = sandbox_take(fx.pool, &limits, &err);
    assert_non_null(t->box);
    lx.ops.layers = "build/.containers";
    t->place = (struct build_place){.ops = &lx.ops, .dir = sandbox_dir(t->box)};
    t->build = (struct build){
        .env = &lx.env, .host = {.ops = &host_ops}, .request = &t->request, .place = &t->place};
    layers_take(&t->build);
}

static void on_exit_of(struct sandbox *box, const struct sandbox_exit *result, void *arg)
{
    struct trial *t = arg;
    (void)box;
    t->code = result->code;
    t->ended = true;
}

static int sh(struct trial *t, const char *script)
{
    const char *const argv[] = {"/bin/sh", "-ec", script, NULL};
    const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    const struct sandbox_exec exec = {.argv = argv,
                                      .env = env,
                                      .cwd = SANDBOX_BUILD,
                                      .output = 2,
                                      .control = -1,
                                      .status = -1,
                                      .on_exit = on_exit_of,
                                      .arg = t};
    struct err err = {0};
    t->ended = false;
    assert_int_equal(sandbox_run(t->box, &exec, &err), 0);
    loop_run_for(fx.loop, WAIT_MS, &t->ended);
    assert_true(t->ended);
    return t->code;
}

/* As the sandbox driver does it; no step follows. */
static void stop(struct build_place *place, int64_t grace_ms, void (*gone)(void *arg), void *arg)
{
    bool over = false;
    struct trial *t = (struct trial *)((char *)place - offsetof(struct trial, place));
    sandbox_stop(t->box, grace_ms, set_true, &over);
    loop_run_for(fx.loop, WAIT_MS, &over);
    assert_true(over);
    gone(arg);
}

static void on_given(struct build *build)
{
    (void)build;
}

static void end(struct trial *t, bool gives)
{
    lx.ops.stop = stop;
    if (gives)
        layers_give(&t->build, on_given);
    free_sandbox(t->box);
}

/* What is kept of pipelines, sorted; "*" for what is being removed. */
static const char *kept(void)
{
    static char text[256];
    struct strv names = {0};
    DIR *dir = opendir(lx.dir);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            strv_add(&names, e->d_name[0] == '.' ? "*" : e->d_name);
    }
    closedir(dir);
    strv_sort(&names);
    text[0] = '\0';
    for (size_t i = 0; i < names.count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 names.items[i]);
    strv_release(&names);
    return text;
}

static void until_kept(const char *names)
{
    for (int i = 0; i < WAIT_MS / 20 && !str_eq(kept(), names); i++)
        loop_run_for(fx.loop, 20, NULL);
    assert_string_equal(kept(), names);
}

#define LEAVE(kib)                                                                                 \
    "mkdir -p .containers/in && head -c $((1024 * " #kib ")) /dev/zero >.containers/in/file && "   \
    "chown -R 9:9 .containers/in && chmod 0700 .containers/in"

static char shop[] = "shop", web[] = "web", lib[] = "lib";

static void what_a_build_left_is_its_pipelines_next_ones_and_nobody_elses(void **state)
{
    struct trial t;
    (void)state;
    open_layers(UINT64_MAX, 0);
    begin(&t, shop);
    assert_int_equal(sh(&t, "test ! -e .containers; " LEAVE(4)), 0);
    end(&t, true);
    assert_string_equal(kept(), "shop");
    begin(&t, web);
    assert_int_equal(sh(&t, "test ! -e .containers"), 0);
    end(&t, true);
    begin(&t, shop);
    assert_string_equal(kept(), "");
    assert_int_equal(sh(&t, "test $(stat -c %u:%s .containers/in/file) = 9:4096"), 0);
    end(&t, true);
    assert_string_equal(kept(), "shop");
}

static void two_builds_at_once_never_have_the_same_layers(void **state)
{
    struct trial first, second;
    (void)state;
    open_layers(UINT64_MAX, 0);
    begin(&first, shop);
    assert_int_equal(sh(&first, LEAVE(4)), 0);
    end(&first, true);
    begin(&first, shop);
    begin(&second, shop);
    assert_int_equal(sh(&first, "test -d .containers; touch .containers/first"), 0);
    assert_int_equal(sh(&second, "test ! -e .containers; mkdir .containers"), 0);
    end(&first, true);
    end(&second, true);
    until_kept("shop");
    begin(&first, shop);
    assert_int_equal(sh(&first, "test ! -e .containers/first"), 0);
    end(&first, true);
}

static void a_process_that_was_left_has_ended_before_the_next_build_has_them(void **state)
{
    struct trial first, second;
    (void)state;
    open_layers(UINT64_MAX, 0);
    begin(&first, shop);
    assert_int_equal(sh(&first, "mkdir .containers; cd .containers; trap '' TERM\n"
                                "(while :; do touch it; done) & until test -e it; do :; done"),
                     0);
    lx.ops.stop = stop;
    layers_give(&first.build, on_given);
    begin(&second, shop);
    assert_int_equal(sh(&second,
                        "rm .containers/it; for i in $(seq 50); do ls /usr >/dev/null; done\n"
                        "test ! -e .containers/it"),
                     0);
    free_sandbox(first.box);
    end(&second, true);
}

static void what_is_no_folder_is_not_kept_nor_what_a_stopped_build_had(void **state)
{
    struct trial t;
    (void)state;
    open_layers(UINT64_MAX, 0);
    begin(&t, shop);
    assert_int_equal(sh(&t, "ln -s /etc .containers"), 0);
    end(&t, true);
    assert_string_equal(kept(), "");
    begin(&t, shop);
    assert_int_equal(sh(&t, LEAVE(4)), 0);
    end(&t, false);
    assert_string_equal(kept(), "");
}

static void leave(char *pipeline, const char *script)
{
    struct trial t;
    begin(&t, pipeline);
    assert_int_equal(sh(&t, script), 0);
    end(&t, true);
}

static void those_not_used_for_longest_go_for_want_of_room(void **state)
{
    struct trial t;
    (void)state;
    open_layers(1000 * KIB, 0);
    leave(shop, LEAVE(400));
    leave(web, LEAVE(400));
    begin(&t, shop);
    end(&t, true);
    leave(lib, LEAVE(400));
    until_kept("lib shop");
    leave(web, LEAVE(2000)); /* too much by itself: only that goes */
    until_kept("lib shop");
    build_layers_clear(lx.layers);
    until_kept("");
}

static void a_builder_that_starts_goes_on_with_what_is_there(void **state)
{
    struct trial t;
    (void)state;
    open_layers(UINT64_MAX, 0);
    leave(shop, LEAVE(4));
    leave(web, LEAVE(4));
    close_layers();
    char *old = mem_printf("%s/web", lx.dir);
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, old, times, 0), 0);
    free(old);
    open_layers(UINT64_MAX, 1000LL * 3600);
    until_kept("shop");
    begin(&t, shop);
    assert_int_equal(sh(&t, "test -f .containers/in/file"), 0);
    end(&t, true);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_build_left_is_its_pipelines_next_ones_and_nobody_elses),
        TEST(two_builds_at_once_never_have_the_same_layers),
        TEST(a_process_that_was_left_has_ended_before_the_next_build_has_them),
        TEST(what_is_no_folder_is_not_kept_nor_what_a_stopped_build_had),
        TEST(those_not_used_for_longest_go_for_want_of_room),
        TEST(a_builder_that_starts_goes_on_with_what_is_there),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
