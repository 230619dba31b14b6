/* A build between a host and a driver that are both made up: what they saw, and the result. A test
 * says what its commands do, and changes of what else there is what it needs before it begins. */
#ifndef GANTRY_TESTS_BUILD_MADE_UP_H
#define GANTRY_TESTS_BUILD_MADE_UP_H

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "build/build.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "tests/unit/unit.h"

static struct {
    struct loop *loop;
    struct buf seen; /* by driver and host, a word each: "take source open one ..." */
    struct buf log;  /* what the host was given, with its marks between these two */
    const char *mark_open, *mark_close;
    /* the driver */
    struct build_driver_ops ops;
    struct build_driver driver;
    struct build_place place;
    struct build_script script;
    struct strv texts, users, env, export;
    const char *text; /* of the buildspec */
    /* What a command does: fills mu.next; false: it does not end. */
    bool (*command)(const char *text, size_t index);
    struct build_exit next;
    struct err take_err;
    char image[100]; /* of the wish */
    bool privileged;
    struct loop_timer *answer, *going;
    void (*gone)(void *arg);
    void *gone_arg;
    /* the host */
    Gantry__V1__ActionRequest request;
    Gantry__V1__BuildSpec spec;
    Gantry__V1__Revision revision;
    Gantry__V1__Revision *revisions[1];
    struct build_env build_env;
    struct build *build;
    void (*sourced)(const struct err *err, void *arg);
    void *sourced_arg;
    struct loop_timer *source;
    const char *source_error; /* NULL: it comes */
    bool source_hangs;
    bool ended, dropped;
    char reason[ERR_MSG_MAX];       /* of the result, or why it was dropped */
    Gantry__V1__Finished *finished; /* a copy */
} mu;

static void see(const char *word)
{
    buf_addf(&mu.seen, "%s%s", mu.seen.len ? " " : "", word);
}

/* ---- the driver ---- */

static int made_take(struct build_driver *driver, const struct build_wish *wish,
                     struct build_place **out, struct err *err)
{
    assert_ptr_equal(driver, &mu.driver);
    assert_int_equal(wish->limits.memory_bytes, mu.build_env.limits.memory_bytes);
    see("take");
    snprintf(mu.image, sizeof(mu.image), "%s", wish->image);
    mu.privileged = wish->privileged;
    if (mu.take_err.code != ERR_NONE) {
        *err = mu.take_err;
        return -1;
    }
    *out = &mu.place;
    return 0;
}

static void made_base_env(const struct build_place *place, struct strv *env)
{
    (void)place;
    strv_add(env, "PATH=/usr/bin:/bin");
    strv_add(env, "A=base");
}

static void copy_texts(struct strv *to, const struct strv *from)
{
    strv_release(to);
    for (size_t i = 0; i < from->count; i++)
        strv_add(to, from->items[i]);
}

static int made_open(struct build_place *place, const struct build_script *script, struct err *err)
{
    (void)place;
    (void)err;
    see("open");
    mu.script = *script;
    copy_texts(&mu.texts, script->texts);
    copy_texts(&mu.users, script->users);
    copy_texts(&mu.env, script->env);
    copy_texts(&mu.export, script->export);
    return 0;
}

static void give_answer(void *arg)
{
    (void)arg;
    mu.script.done(&mu.next, mu.script.arg);
}

static void put(const char *text, size_t len)
{
    mu.script.output(text, len, mu.script.arg);
}

static void made_run(struct build_place *place, size_t index, bool succeeding)
{
    const char *text = mu.texts.items[index];
    char *word = mem_printf("%s%s", text, succeeding ? "" : "(0)");
    (void)place;
    see(word);
    free(word);
    mu.next = (struct build_exit){0};
    if (mu.command(text, index))
        loop_timer_arm(mu.answer, 0);
}

static void made_export(struct build_place *place)
{
    (void)place;
    see("export");
    mu.next = (struct build_exit){0};
    loop_timer_arm(mu.answer, 0);
}

static int made_exported(struct build_place *place, struct strv *out, struct err *err)
{
    (void)place;
    (void)err;
    strv_add(out, "V=a=b");
    return 0;
}

static int made_read_file(const struct build_place *place, const char *path, size_t limit,
                          struct buf *out, struct err *err)
{
    if (str_eq(path, "build/src/buildspec.yml")) {
        buf_init(out, limit);
        return buf_adds(out, mu.text);
    }
    char *whole = mem_printf("%s/%s", place->dir, path);
    int rc = file_read(out, whole, limit, err);
    free(whole);
    return rc;
}

static void tell_gone(void *arg)
{
    (void)arg;
    mu.gone(mu.gone_arg);
}

static void made_stop(struct build_place *place, int64_t grace_ms, void (*gone)(void *arg),
                      void *arg)
{
    (void)place;
    assert_int_equal(grace_ms, 10000);
    see("stop");
    mu.gone = gone;
    mu.gone_arg = arg;
    loop_timer_arm(mu.going, 0);
}

static void made_resume(struct build_place *place)
{
    (void)place;
    see("resume");
}

static void made_drain(struct build_place *place)
{
    (void)place;
    see("drain");
}

static void made_free(struct build_place *place)
{
    (void)place;
    loop_timer_cancel(mu.answer);
    see("free");
}

static void made_free_driver(struct build_driver *driver)
{
    (void)driver;
}

/* ---- the host ---- */

static void give_source(void *arg)
{
    struct err err = {0};
    (void)arg;
    if (mu.source_error)
        err_set(&err, ERR_UNAVAILABLE, "%s", mu.source_error);
    mu.sourced(&err, mu.sourced_arg);
}

static int made_source(void *host, const char *dir, void (*done)(const struct err *err, void *arg),
                       void *arg, struct err *err)
{
    char *wanted = mem_printf("%s/build/src", mu.place.dir);
    (void)host;
    (void)err;
    assert_string_equal(dir, wanted);
    free(wanted);
    see("source");
    mu.sourced = done;
    mu.sourced_arg = arg;
    if (!mu.source_hangs)
        loop_timer_arm(mu.source, 0);
    return 0;
}

static bool made_log(void *host, const char *data, size_t len)
{
    (void)host;
    buf_add(&mu.log, data, len);
    return true;
}

static void made_mark(void *host, const char *line)
{
    (void)host;
    buf_addf(&mu.log, "%s%s%s", mu.mark_open, line, mu.mark_close);
}

static void made_progress(void *host, const char *phase)
{
    (void)host;
    (void)phase;
}

static void made_finished(void *host, const Gantry__V1__Finished *finished)
{
    size_t len = gantry__v1__finished__get_packed_size(finished);
    uint8_t *bytes = mem_alloc(len + 1);
    (void)host;
    assert_false(mu.ended);
    gantry__v1__finished__pack(finished, bytes);
    mu.finished = gantry__v1__finished__unpack(NULL, len, bytes);
    free(bytes);
    snprintf(mu.reason, sizeof(mu.reason), "%s", finished->reason);
    mu.ended = true;
}

static void made_dropped(void *host, const struct err *why)
{
    (void)host;
    assert_false(mu.ended);
    mu.ended = mu.dropped = true;
    snprintf(mu.reason, sizeof(mu.reason), "%s", why ? why->msg : "");
}

static struct build_host_ops made_host = {.source = made_source,
                                          .log = made_log,
                                          .mark = made_mark,
                                          .progress = made_progress,
                                          .finished = made_finished,
                                          .dropped = made_dropped};

/* ---- life ---- */

static void made_up_init(bool (*command)(const char *text, size_t index))
{
    static char src[] = "src", shop[] = "shop", app[] = "app", name[] = "buildspec.yml",
                commit[] = "c0ffee";
    memset(&mu, 0, sizeof(mu));
    mu.loop = loop_new(2);
    mu.command = command;
    mu.mark_open = "";
    mu.mark_close = "\n";
    buf_init(&mu.seen, 1024 * 1024);
    buf_init(&mu.log, 1024 * 1024);
    mu.answer = loop_timer_new(mu.loop, give_answer, NULL);
    mu.going = loop_timer_new(mu.loop, tell_gone, NULL);
    mu.source = loop_timer_new(mu.loop, give_source, NULL);
    mu.ops = (struct build_driver_ops){.name = "made up",
                                       .take = made_take,
                                       .base_env = made_base_env,
                                       .open = made_open,
                                       .run = made_run,
                                       .export_variables = made_export,
                                       .exported = made_exported,
                                       .read_file = made_read_file,
                                       .stop = made_stop,
                                       .resume = made_resume,
                                       .drain = made_drain,
                                       .free = made_free,
                                       .free_driver = made_free_driver};
    mu.driver.ops = &mu.ops;
    mu.place = (struct build_place){.ops = &mu.ops,
                                    .dir = "/nowhere",
                                    .paths = {.build = "/b", .src = "/b/src", .home = "/h"},
                                    .image = "made/up"};
    gantry__v1__action_request__init(&mu.request);
    gantry__v1__build_spec__init(&mu.spec);
    gantry__v1__revision__init(&mu.revision);
    mu.revision.source = src;
    mu.revision.commit = commit;
    mu.revisions[0] = &mu.revision;
    mu.spec.source = src;
    mu.spec.buildspec = name;
    mu.request.pipeline = shop;
    mu.request.action = app;
    mu.request.release = 7;
    mu.request.revisions = mu.revisions;
    mu.request.n_revisions = 1;
    mu.request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
    mu.request.build = &mu.spec;
    mu.build_env = (struct build_env){.loop = mu.loop, .driver = &mu.driver};
    mu.build_env.limits.memory_bytes = 5 << 20;
}

static void made_up_release(void)
{
    if (mu.finished)
        gantry__v1__finished__free_unpacked(mu.finished, NULL);
    buf_release(&mu.seen);
    buf_release(&mu.log);
    strv_release(&mu.texts);
    strv_release(&mu.users);
    strv_release(&mu.env);
    strv_release(&mu.export);
    loop_timer_free(mu.answer);
    loop_timer_free(mu.going);
    loop_timer_free(mu.source);
    loop_free(mu.loop);
}

/* Again, too: what an earlier one ended with is forgotten. */
static void begin(uint32_t attempt)
{
    const struct build_host host = {.ops = &made_host,
                                    .request = &mu.request,
                                    .run_id = "run",
                                    .attempt = attempt,
                                    .asked_ms = 100,
                                    .started_ms = 250};
    if (mu.finished)
        gantry__v1__finished__free_unpacked(mu.finished, NULL);
    mu.finished = NULL;
    mu.ended = mu.dropped = false;
    mu.build = build_new(&mu.build_env, &host);
    build_begin(mu.build);
}

static void finish(void)
{
    loop_run_for(mu.loop, 60000, &mu.ended);
    assert_true(mu.ended);
}

#endif
