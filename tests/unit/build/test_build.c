/* The life of a build between a host and a driver that are both made up: what is told, in which
 * order, and what is left when it is stopped or its place fails. */
#include "tests/unit/unit.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "build/build.h"
#include "buildspec/buildspec.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"

static const char spec_text[] = "version: 0.2\n"
                                "env: {variables: {A: spec}, exported-variables: [V]}\n"
                                "phases:\n"
                                "  install: {commands: [one, two]}\n"
                                "  build: {commands: [three]}\n"
                                "  post_build: {commands: [four], finally: [five]}\n";

/* What the driver and the host saw, a word each: "take source open run:one ...". */
static struct {
    struct loop *loop;
    char dir[64];
    struct buf seen;
    struct buf log;
    /* the driver */
    struct build_driver driver;
    struct build_place place;
    struct build_script script;
    struct strv texts, users, env;
    struct loop_timer *answer;
    struct build_exit next;
    const char *failing; /* the command that ends with 3 */
    const char *limited; /* the command that a limit ends */
    const char *lost;    /* the command at which the place fails */
    const char *hangs;   /* the command that does not end */
    const char *unknown; /* the user that is not there; NULL: the driver knows root alone */
    const char *text;    /* of the buildspec */
    struct err take_err;
    void (*gone)(void *arg);
    void *gone_arg;
    struct loop_timer *going;
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
    const char *source_error;
    bool source_hangs;
    bool ended, dropped;
    Gantry__V1__Outcome outcome;
    char reason[256], phase[32], command[64], exported[64], phases[512];
    int exit_code;
} fx;

static void see(const char *word)
{
    buf_addf(&fx.seen, "%s%s", fx.seen.len ? " " : "", word);
}

/* ---- the driver ---- */

static struct build_driver_ops driver_ops;

static int take(struct build_driver *driver, const struct build_wish *wish,
                struct build_place **out, struct err *err)
{
    assert_ptr_equal(driver, &fx.driver);
    assert_int_equal(wish->limits.memory_bytes, 5 << 20);
    see("take");
    if (fx.take_err.code != ERR_NONE) {
        *err = fx.take_err;
        return -1;
    }
    driver_ops.users = fx.unknown != NULL;
    fx.place = (struct build_place){.ops = &driver_ops,
                                    .dir = fx.dir,
                                    .paths = {.build = "/b", .src = "/b/src", .home = "/h"},
                                    .image = "made/up"};
    *out = &fx.place;
    return 0;
}

static void base_env(const struct build_place *place, struct strv *env)
{
    (void)place;
    strv_add(env, "PATH=/bin");
    strv_add(env, "A=base");
}

static int open_place(struct build_place *place, const struct build_script *script, struct err *err)
{
    (void)place;
    (void)err;
    see("open");
    fx.script = *script;
    for (size_t i = 0; i < script->texts->count; i++)
        strv_add(&fx.texts, script->texts->items[i]);
    for (size_t i = 0; i < script->users->count; i++)
        strv_add(&fx.users, script->users->items[i]);
    for (size_t i = 0; i < script->env->count; i++)
        strv_add(&fx.env, script->env->items[i]);
    return 0;
}

static void give_answer(void *arg)
{
    (void)arg;
    fx.script.done(&fx.next, fx.script.arg);
}

static void run(struct build_place *place, size_t index, bool succeeding)
{
    char word[64];
    const char *text = fx.texts.items[index];
    (void)place;
    snprintf(word, sizeof(word), "%s%s", text, succeeding ? "" : "(0)");
    see(word);
    fx.next = (struct build_exit){0};
    if (str_eq(text, fx.failing))
        fx.next.code = 3;
    if (str_eq(text, fx.limited)) {
        fx.next.code = 137;
        fx.next.limit = "It used too much";
    }
    if (str_eq(fx.users.items[index], fx.unknown))
        fx.next.refused = "nobody is called that";
    if (str_eq(text, fx.lost))
        err_set(&fx.next.err, ERR_UNAVAILABLE, "the place burnt down");
    fx.script.output(text, strlen(text), fx.script.arg);
    if (!str_eq(text, fx.hangs))
        loop_timer_arm(fx.answer, 0);
}

static void export_variables(struct build_place *place)
{
    (void)place;
    see("export");
    fx.next = (struct build_exit){0};
    loop_timer_arm(fx.answer, 0);
}

static int exported(struct build_place *place, struct strv *out, struct err *err)
{
    (void)place;
    (void)err;
    strv_add(out, "V=a=b");
    return 0;
}

static int read_file(const struct build_place *place, const char *path, size_t limit,
                     struct buf *out, struct err *err)
{
    (void)place;
    if (!str_eq(path, "build/src/buildspec.yml")) {
        buf_init(out, 1);
        return err_set(err, ERR_NOT_FOUND, "there is no %s", path);
    }
    buf_init(out, limit);
    return buf_adds(out, fx.text);
}

static void tell_gone(void *arg)
{
    (void)arg;
    fx.gone(fx.gone_arg);
}

static void stop(struct build_place *place, int64_t grace_ms, void (*gone)(void *arg), void *arg)
{
    (void)place;
    assert_int_equal(grace_ms, 10000);
    see("stop");
    fx.gone = gone;
    fx.gone_arg = arg;
    loop_timer_arm(fx.going, 0);
}

static void resume(struct build_place *place)
{
    (void)place;
    see("resume");
}

static void drain(struct build_place *place)
{
    (void)place;
    see("drain");
}

static void free_place(struct build_place *place)
{
    (void)place;
    loop_timer_cancel(fx.answer);
    see("free");
}

static void free_driver(struct build_driver *driver)
{
    (void)driver;
}

static struct build_driver_ops driver_ops = {.name = "made up",
                                             .take = take,
                                             .base_env = base_env,
                                             .open = open_place,
                                             .run = run,
                                             .export_variables = export_variables,
                                             .exported = exported,
                                             .read_file = read_file,
                                             .stop = stop,
                                             .resume = resume,
                                             .drain = drain,
                                             .free = free_place,
                                             .free_driver = free_driver};

/* ---- the host ---- */

static void give_source(void *arg)
{
    struct err err = {0};
    (void)arg;
    if (fx.source_error)
        err_set(&err, ERR_UNAVAILABLE, "%s", fx.source_error);
    fx.sourced(&err, fx.sourced_arg);
}

static int source(void *host, const char *dir, void (*done)(const struct err *err, void *arg),
                  void *arg, struct err *err)
{
    char wanted[80];
    (void)host;
    (void)err;
    snprintf(wanted, sizeof(wanted), "%s/build/src", fx.dir);
    assert_string_equal(dir, wanted);
    see("source");
    fx.sourced = done;
    fx.sourced_arg = arg;
    if (!fx.source_hangs)
        loop_timer_arm(fx.source, 0);
    return 0;
}

static bool on_log(void *host, const char *data, size_t len)
{
    (void)host;
    buf_add(&fx.log, data, len);
    buf_addc(&fx.log, '\n');
    return true;
}

static void on_mark(void *host, const char *line)
{
    (void)host;
    buf_addf(&fx.log, "%s\n", line);
}

static void on_progress(void *host, const char *phase)
{
    (void)host;
    (void)phase;
}

static void on_finished(void *host, const Gantry__V1__Finished *f)
{
    (void)host;
    assert_false(fx.ended);
    fx.ended = true;
    fx.outcome = f->outcome;
    snprintf(fx.reason, sizeof(fx.reason), "%s", f->reason);
    snprintf(fx.phase, sizeof(fx.phase), "%s", f->phase);
    snprintf(fx.command, sizeof(fx.command), "%s", f->command);
    fx.exit_code = f->exit_code;
    if (f->n_exported)
        snprintf(fx.exported, sizeof(fx.exported), "%s:%s", f->exported[0]->key,
                 f->exported[0]->value);
    for (size_t i = 0; i < f->n_phases; i++) {
        size_t len = strlen(fx.phases);
        assert_true(f->phases[i]->end_ms >= f->phases[i]->start_ms);
        snprintf(fx.phases + len, sizeof(fx.phases) - len, "%s%s:%s", len ? " " : "",
                 f->phases[i]->name, f->phases[i]->status);
    }
}

static void on_dropped(void *host, const struct err *why)
{
    (void)host;
    assert_false(fx.ended);
    fx.ended = fx.dropped = true;
    snprintf(fx.reason, sizeof(fx.reason), "%.255s", why ? why->msg : "");
}

static const struct build_host_ops host_ops = {.source = source,
                                               .log = on_log,
                                               .mark = on_mark,
                                               .progress = on_progress,
                                               .finished = on_finished,
                                               .dropped = on_dropped};

/* ---- the tests ---- */

static int setup(void **state)
{
    static char src[] = "src", shop[] = "shop", name[] = "buildspec.yml", commit[] = "c0ffee";
    (void)state;
    memset(&fx, 0, sizeof(fx));
    snprintf(fx.dir, sizeof(fx.dir), "/nowhere");
    fx.loop = loop_new(1);
    buf_init(&fx.seen, 64 * 1024);
    buf_init(&fx.log, 64 * 1024);
    fx.answer = loop_timer_new(fx.loop, give_answer, NULL);
    fx.going = loop_timer_new(fx.loop, tell_gone, NULL);
    fx.source = loop_timer_new(fx.loop, give_source, NULL);
    fx.driver.ops = &driver_ops;
    fx.text = spec_text;
    gantry__v1__action_request__init(&fx.request);
    gantry__v1__build_spec__init(&fx.spec);
    gantry__v1__revision__init(&fx.revision);
    fx.revision.source = src;
    fx.revision.commit = commit;
    fx.revisions[0] = &fx.revision;
    fx.spec.source = src;
    fx.spec.buildspec = name;
    fx.request.pipeline = shop;
    fx.request.revisions = fx.revisions;
    fx.request.n_revisions = 1;
    fx.request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
    fx.request.build = &fx.spec;
    fx.build_env = (struct build_env){.loop = fx.loop, .driver = &fx.driver};
    fx.build_env.limits.memory_bytes = 5 << 20;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_release(&fx.seen);
    buf_release(&fx.log);
    strv_release(&fx.texts);
    strv_release(&fx.users);
    strv_release(&fx.env);
    loop_timer_free(fx.answer);
    loop_timer_free(fx.going);
    loop_timer_free(fx.source);
    loop_free(fx.loop);
    return 0;
}

static void begin(uint32_t attempt)
{
    const struct build_host host = {.ops = &host_ops,
                                    .request = &fx.request,
                                    .run_id = "run",
                                    .attempt = attempt,
                                    .started_ms = 1};
    fx.build = build_new(&fx.build_env, &host);
    build_begin(fx.build);
}

static void finish(void)
{
    loop_run_for(fx.loop, 60000, &fx.ended);
    assert_true(fx.ended);
}

/* Until the driver or the host saw the word. */
static void until(const char *word)
{
    for (int i = 0; i < 60000 && !strstr(buf_cstr(&fx.seen), word); i++)
        loop_run_for(fx.loop, 1, NULL);
    assert_non_null(strstr(buf_cstr(&fx.seen), word));
}

static void a_build_goes_through_its_phases_and_exports(void **state)
{
    (void)state;
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&fx.seen), "take source open one two three four five export free");
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_string_equal(fx.exported, "V:a=b");
    assert_string_equal(fx.phases, "PROVISIONING:SUCCEEDED DOWNLOAD_SOURCE:SUCCEEDED "
                                   "INSTALL:SUCCEEDED BUILD:SUCCEEDED POST_BUILD:SUCCEEDED");
    assert_true(strv_has(&fx.env, "A=spec"));
    assert_false(strv_has(&fx.env, "A=base"));
    assert_true(strv_has(&fx.env, "CODEBUILD_SRC_DIR=/b/src"));
    assert_true(strv_has(&fx.env, "CODEBUILD_BUILD_IMAGE=made/up"));
    assert_non_null(strstr(buf_cstr(&fx.log), "Entering phase INSTALL\nRunning command one\none\n"
                                              "Running command two\ntwo\nPhase complete: INSTALL "
                                              "SUCCEEDED\nEntering phase BUILD\n"));
}

static void a_failing_command_leads_where_the_plan_says_and_is_told(void **state)
{
    (void)state;
    fx.failing = "three";
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&fx.seen), "take source open one two three four(0) five(0) free");
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(fx.reason, "A command of BUILD ended with exit status 3");
    assert_string_equal(fx.phase, "BUILD");
    assert_string_equal(fx.command, "three");
    assert_int_equal(fx.exit_code, 3);
}

static void a_limit_ends_the_build_at_once_with_its_reason(void **state)
{
    (void)state;
    fx.limited = "two";
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&fx.seen), "take source open one two free");
    assert_string_equal(fx.reason, "It used too much");
    assert_string_equal(fx.phase, "INSTALL");
}

static void a_place_that_fails_gives_the_build_back_twice_and_then_fails_it(void **state)
{
    (void)state;
    fx.lost = "one";
    begin(2);
    finish();
    assert_true(fx.dropped);
    assert_string_equal(fx.reason, "the place burnt down");
    fx.ended = fx.dropped = false;
    strv_release(&fx.texts);
    strv_release(&fx.users);
    begin(3);
    finish();
    assert_false(fx.dropped);
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(fx.reason, "The builder could not run it: the place burnt down");
}

static void what_a_driver_never_gives_fails_and_what_it_has_not_now_is_tried_again(void **state)
{
    (void)state;
    err_set(&fx.take_err, ERR_INVALID, "there is no such thing");
    begin(1);
    assert_true(fx.ended && !fx.dropped);
    assert_string_equal(fx.phase, "PROVISIONING");
    assert_string_equal(fx.reason, "there is no such thing");
    fx.ended = false;
    err_set(&fx.take_err, ERR_LIMIT, "none is free");
    begin(1);
    assert_true(fx.ended && fx.dropped);
}

static void a_source_that_cannot_be_had_fails_the_build(void **state)
{
    (void)state;
    fx.source_error = "the remote is away";
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&fx.seen), "take source free");
    assert_string_equal(fx.phase, "DOWNLOAD_SOURCE");
    assert_string_equal(fx.reason, "the remote is away");
}

static void a_stop_while_the_source_comes_ends_at_once_and_frees_when_it_came(void **state)
{
    (void)state;
    fx.source_hangs = true;
    begin(1);
    build_stop(fx.build, BUILD_CANCEL, "Ann stopped it");
    assert_true(fx.ended);
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_string_equal(fx.phase, "DOWNLOAD_SOURCE");
    assert_string_equal(buf_cstr(&fx.seen), "take source");
    give_source(NULL);
    assert_string_equal(buf_cstr(&fx.seen), "take source free");
}

static void a_stop_in_any_phase_waits_for_the_processes_and_tells_the_phase(void **state)
{
    static const struct {
        const char *command, *phase;
    } at[] = {
        {"one", "INSTALL"}, {"three", "BUILD"}, {"four", "POST_BUILD"}, {"five", "POST_BUILD"}};
    for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
        teardown(state);
        setup(state);
        fx.hangs = at[i].command;
        begin(1);
        until(at[i].command);
        build_stop(fx.build, BUILD_CANCEL, NULL);
        build_stop(fx.build, BUILD_CANCEL, "a second time");
        assert_false(fx.ended);
        finish();
        assert_non_null(strstr(buf_cstr(&fx.seen), "stop drain free"));
        assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
        assert_string_equal(fx.phase, at[i].phase);
        assert_string_equal(fx.reason, "It was stopped");
    }
}

static void a_build_that_is_handed_back_has_no_result(void **state)
{
    (void)state;
    fx.hangs = "three";
    begin(1);
    until("three");
    build_stop(fx.build, BUILD_HANDBACK, "this builder stops");
    finish();
    assert_true(fx.dropped);
    assert_string_equal(fx.reason, "");
}

static void what_no_build_can_have_fails_it_with_file_and_line(void **state)
{
#define BUILD_TRUE "phases: {build: {commands: [one]}}\n"
    static const struct {
        const char *text, *says;
    } asked[] = {
        {"version: 0.2\nrun-as: ann\n" BUILD_TRUE,
         "buildspec.yml:2: run-as: the commands can't run as 'ann'"},
        {"version: 0.2\nrun-as: root\nphases:\n  build:\n    run-as: bob\n    commands: one\n",
         "buildspec.yml:5: run-as: the commands can't run as 'bob'"},
        {"version: 0.2\nbatch: {build-list: [{identifier: a}]}\n" BUILD_TRUE,
         "buildspec.yml:2: batch: "},
    };
    for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
        teardown(state);
        setup(state);
        fx.text = asked[i].text;
        begin(1);
        finish();
        assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
        assert_string_equal(fx.phase, "DOWNLOAD_SOURCE");
        assert_int_equal(strncmp(fx.reason, asked[i].says, strlen(asked[i].says)), 0);
        assert_string_equal(buf_cstr(&fx.seen), "take source free");
    }
}

static void a_user_that_nobody_becomes_and_what_is_switched_off_change_nothing(void **state)
{
    static char action[] = "app/a";
    (void)state;
    fx.request.action = action; /* one build of a batch */
    fx.text = "version: 0.2\nrun-as: ann\nenv: {git-credential-helper: no}\n"
              "batch: {build-list: [{identifier: a}]}\n"
              "phases: {build: {run-as: root, commands: [one]}}\n";
    begin(1);
    finish();
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_false(fx.script.separate);
}

static void version_0_1_asks_for_a_shell_of_its_own_for_each_command(void **state)
{
    (void)state;
    fx.text = "version: 0.1\n" BUILD_TRUE;
    begin(1);
    finish();
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_true(fx.script.separate);
}

static void a_phases_user_runs_its_commands_and_one_that_is_not_there_fails_it(void **state)
{
    (void)state;
    fx.unknown = "bob";
    fx.text = "version: 0.2\n"
              "run-as: ann\n"
              "phases:\n"
              "  install: {commands: [one]}\n"
              "  pre_build: {run-as: root, commands: [two]}\n"
              "  build:\n"
              "    on-failure: CONTINUE\n"
              "    run-as: bob\n"
              "    commands: [three]\n"
              "  post_build: {commands: [four]}\n";
    begin(1);
    finish();
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(fx.users.items[0], "ann");
    assert_string_equal(fx.users.items[1], "root");
    assert_string_equal(fx.users.items[3], "ann");
    assert_string_equal(fx.phase, "BUILD");
    assert_string_equal(fx.reason, "buildspec.yml:8: run-as: the commands of BUILD can't run as "
                                   "'bob': nobody is called that");
    assert_string_equal(buf_cstr(&fx.seen), "take source open one two three free");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_build_goes_through_its_phases_and_exports),
        TEST(a_failing_command_leads_where_the_plan_says_and_is_told),
        TEST(a_limit_ends_the_build_at_once_with_its_reason),
        TEST(a_place_that_fails_gives_the_build_back_twice_and_then_fails_it),
        TEST(what_a_driver_never_gives_fails_and_what_it_has_not_now_is_tried_again),
        TEST(a_source_that_cannot_be_had_fails_the_build),
        TEST(a_stop_while_the_source_comes_ends_at_once_and_frees_when_it_came),
        TEST(a_stop_in_any_phase_waits_for_the_processes_and_tells_the_phase),
        TEST(a_build_that_is_handed_back_has_no_result),
        TEST(what_no_build_can_have_fails_it_with_file_and_line),
        TEST(a_user_that_nobody_becomes_and_what_is_switched_off_change_nothing),
        TEST(a_phases_user_runs_its_commands_and_one_that_is_not_there_fails_it),
        TEST(version_0_1_asks_for_a_shell_of_its_own_for_each_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
