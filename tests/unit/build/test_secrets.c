/* What a build does with env.parameter-store and env.secrets-manager: its commands have the values,
 * nothing that is told has. A store that is real; a driver and a host that are made up. */
#include "tests/unit/unit.h"

#include "base/file.h"
#include "base/mem.h"
#include "build/build.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "parameters/parameters.h"

#define PEM "-----BEGIN\nabcdefgh\r\n{\n-----END\n"

#define ENV                                                                                        \
    "env:\n"                                                                                       \
    "  variables: {TOKEN: plain, PLAIN: plain}\n"                                                  \
    "  parameter-store: {TOKEN: /shop/token, PEM: /shop/pem}\n"                                    \
    "  secrets-manager: {PASSWORD: 'shop/db:password'}\n"                                          \
    "  exported-variables: [PASSWORD, V]\n"

static struct {
    struct loop *loop;
    char dir[64];
    struct vault *vault;
    struct parameters *parameters;
    bool filled;
    struct buf log, said;
    /* the driver */
    struct build_driver driver;
    struct build_place place;
    struct build_script script;
    struct strv texts, env, export;
    struct loop_timer *answer;
    struct build_exit next;
    const char *spec_text;
    void (*gone)(void *arg);
    void *gone_arg;
    /* the host */
    Gantry__V1__ActionRequest request;
    Gantry__V1__BuildSpec spec;
    Gantry__V1__Revision revision;
    Gantry__V1__Revision *revisions[1];
    Gantry__V1__KeyValue variable;
    Gantry__V1__KeyValue *variables[1];
    struct build_env build_env;
    struct build *build;
    void (*sourced)(const struct err *err, void *arg);
    void *sourced_arg;
    struct loop_timer *source;
    uint32_t attempt;
    bool ended, opened;
    Gantry__V1__Outcome outcome;
    char phase[32];
} fx;

/* ---- the store ---- */

static int fill(const struct secret_store *store, void *arg, struct err *err)
{
    static const char *const rows[][2] = {{"shop/token", "t0ken"},
                                          {"shop/db", "{\"password\":\"hunter2\"}"},
                                          {"shop/pem", PEM},
                                          {"other/token", "not yours"}};
    struct secret_version version;
    (void)arg;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (secret_store_put(store, rows[i][0], rows[i][1], strlen(rows[i][1]), "kim", 0, &version,
                             err) < 0)
            return -1;
    }
    return secret_store_grant(store, "shop", "shop/*", "kim", 0, err);
}

static void on_filled(const struct err *err, void *arg)
{
    (void)arg;
    if (err->code)
        fail_msg("%s", err->msg);
    fx.filled = true;
}

static void on_drop(void *arg)
{
    (void)arg;
}

static void open_store(void)
{
    struct err err = {0};
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/gantry-test-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    char *dir = mem_printf("%s/secrets", fx.dir), *key = mem_printf("%s/master", fx.dir);
    const struct vault_conf conf = {
        .loop = fx.loop, .dir = dir, .master = "master", .secrets_dir = fx.dir};
    assert_int_equal(file_mkdirs(dir, 0700, &err), 0);
    assert_int_equal(file_write(key, "0123456789abcdef0123456789abcdef", 32, 0600, &err), 0);
    assert_int_equal(vault_new(&fx.vault, &conf, &err), 0);
    vault_run(fx.vault, fill, on_filled, on_drop, NULL);
    loop_run_for(fx.loop, 60000, &fx.filled);
    assert_true(fx.filled);
    fx.parameters = parameters_new(&(struct parameters_conf){.loop = fx.loop, .vault = fx.vault});
    free(dir);
    free(key);
}

/* ---- the driver: commands are "how NAME", and NAME is looked up as a shell would ---- */

static const struct build_driver_ops driver_ops;

static int take(struct build_driver *driver, const struct build_wish *wish,
                struct build_place **out, struct err *err)
{
    (void)driver;
    (void)wish;
    (void)err;
    fx.place = (struct build_place){.ops = &driver_ops,
                                    .dir = "/nowhere",
                                    .paths = {.build = "/b", .src = "/b/src", .home = "/h"},
                                    .image = "made/up"};
    *out = &fx.place;
    return 0;
}

static void base_env(const struct build_place *place, struct strv *env)
{
    (void)place;
    strv_add(env, "PATH=/bin");
}

static void copy(struct strv *to, const struct strv *from)
{
    for (size_t i = 0; i < from->count; i++)
        strv_add(to, from->items[i]);
}

static int open_place(struct build_place *place, const struct build_script *script, struct err *err)
{
    (void)place;
    (void)err;
    fx.opened = true;
    fx.script = *script;
    copy(&fx.texts, script->texts);
    copy(&fx.env, script->env);
    copy(&fx.export, script->export);
    return 0;
}

static const char *value_of(const char *name)
{
    for (size_t i = 0; i < fx.env.count; i++) {
        if (str_starts(fx.env.items[i], name) && fx.env.items[i][strlen(name)] == '=')
            return fx.env.items[i] + strlen(name) + 1;
    }
    return "";
}

static void put(const char *text, size_t len)
{
    fx.script.output(text, len, fx.script.arg);
}

static void give_answer(void *arg)
{
    (void)arg;
    fx.script.done(&fx.next, fx.script.arg);
}

static void run(struct build_place *place, size_t index, bool succeeding)
{
    const char *text = fx.texts.items[index];
    const char *value = strchr(text, ' ') ? value_of(strchr(text, ' ') + 1) : "";
    const size_t len = strlen(value);
    (void)place;
    (void)succeeding;
    fx.next = (struct build_exit){0};
    if (str_starts(text, "echo"))
        put(value, len);
    for (size_t i = 0; str_starts(text, "bytes") && i < len; i++)
        put(value + i, 1);
    for (size_t i = 0; str_starts(text, "halves") && i <= len; i++) {
        put(value, i);
        put(value + i, len - i);
        put("\n", 1);
    }
    if (str_starts(text, "begin"))
        put(value, 2);
    if (str_starts(text, "fail"))
        fx.next.code = 3;
    if (str_starts(text, "lose"))
        err_set(&fx.next.err, ERR_UNAVAILABLE, "it said hunter2");
    if (!str_starts(text, "begin"))
        loop_timer_arm(fx.answer, 0);
}

static void export_variables(struct build_place *place)
{
    (void)place;
    fx.next = (struct build_exit){0};
    loop_timer_arm(fx.answer, 0);
}

static int exported(struct build_place *place, struct strv *out, struct err *err)
{
    (void)place;
    (void)out;
    (void)err;
    return 0;
}

static int read_file(const struct build_place *place, const char *path, size_t limit,
                     struct buf *out, struct err *err)
{
    (void)place;
    (void)path;
    (void)err;
    buf_init(out, limit);
    return buf_adds(out, fx.spec_text);
}

static void stop(struct build_place *place, int64_t grace_ms, void (*gone)(void *arg), void *arg)
{
    (void)place;
    (void)grace_ms;
    gone(arg);
}

static void nothing(struct build_place *place)
{
    (void)place;
}

/* What the processes wrote while they were ended. */
static void drain(struct build_place *place)
{
    (void)place;
    put("hunt", 4);
}

static void free_place(struct build_place *place)
{
    (void)place;
    loop_timer_cancel(fx.answer);
}

static void free_driver(struct build_driver *driver)
{
    (void)driver;
}

static const struct build_driver_ops driver_ops = {.name = "made up",
                                                   .take = take,
                                                   .base_env = base_env,
                                                   .open = open_place,
                                                   .run = run,
                                                   .export_variables = export_variables,
                                                   .exported = exported,
                                                   .read_file = read_file,
                                                   .stop = stop,
                                                   .resume = nothing,
                                                   .drain = drain,
                                                   .free = free_place,
                                                   .free_driver = free_driver};

/* ---- the host ---- */

static void give_source(void *arg)
{
    (void)arg;
    fx.sourced(NULL, fx.sourced_arg);
}

static int source(void *host, const char *dir, void (*done)(const struct err *err, void *arg),
                  void *arg, struct err *err)
{
    (void)host;
    (void)dir;
    (void)err;
    fx.sourced = done;
    fx.sourced_arg = arg;
    loop_timer_arm(fx.source, 0);
    return 0;
}

static bool on_log(void *host, const char *data, size_t len)
{
    (void)host;
    buf_add(&fx.log, data, len);
    return true;
}

static void on_mark(void *host, const char *line)
{
    (void)host;
    buf_addf(&fx.log, "[%s]", line);
}

static void on_progress(void *host, const char *phase)
{
    (void)host;
    (void)phase;
}

static void on_finished(void *host, const Gantry__V1__Finished *f)
{
    (void)host;
    fx.ended = true;
    fx.outcome = f->outcome;
    snprintf(fx.phase, sizeof(fx.phase), "%s", f->phase);
    buf_addf(&fx.said, "%s|%s", f->reason, f->command);
    for (size_t i = 0; i < f->n_phases; i++)
        buf_addf(&fx.said, "|%s", f->phases[i]->context);
}

static void on_dropped(void *host, const struct err *why)
{
    (void)host;
    fx.ended = true;
    buf_adds(&fx.said, why ? why->msg : "handed back");
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
    fx.loop = loop_new(1);
    buf_init(&fx.log, 1024 * 1024);
    buf_init(&fx.said, 64 * 1024);
    fx.answer = loop_timer_new(fx.loop, give_answer, NULL);
    fx.source = loop_timer_new(fx.loop, give_source, NULL);
    fx.driver.ops = &driver_ops;
    fx.attempt = 1;
    gantry__v1__action_request__init(&fx.request);
    gantry__v1__build_spec__init(&fx.spec);
    gantry__v1__revision__init(&fx.revision);
    gantry__v1__key_value__init(&fx.variable);
    fx.revision.source = src;
    fx.revision.commit = commit;
    fx.revisions[0] = &fx.revision;
    fx.spec.source = src;
    fx.spec.buildspec = name;
    fx.request.pipeline = shop;
    fx.request.revisions = fx.revisions;
    fx.request.n_revisions = 1;
    fx.variables[0] = &fx.variable;
    fx.request.variables = fx.variables;
    fx.request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
    fx.request.build = &fx.spec;
    open_store();
    fx.build_env =
        (struct build_env){.loop = fx.loop, .driver = &fx.driver, .parameters = fx.parameters};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    parameters_free(fx.parameters);
    vault_free(fx.vault);
    buf_release(&fx.log);
    buf_release(&fx.said);
    strv_release(&fx.texts);
    strv_release(&fx.env);
    strv_release(&fx.export);
    loop_timer_free(fx.answer);
    loop_timer_free(fx.source);
    loop_free(fx.loop);
    return file_remove_tree(fx.dir, NULL);
}

static void give(const char *name, const char *value)
{
    fx.variable.key = (char *)name;
    fx.variable.value = (char *)value;
    fx.request.n_variables = 1;
}

static void begin(const char *spec_text)
{
    const struct build_host host = {.ops = &host_ops,
                                    .request = &fx.request,
                                    .run_id = "run",
                                    .attempt = fx.attempt,
                                    .started_ms = 1};
    fx.spec_text = spec_text;
    fx.build = build_new(&fx.build_env, &host);
    build_begin(fx.build);
}

static void finish(const char *spec_text)
{
    begin(spec_text);
    loop_run_for(fx.loop, 60000, &fx.ended);
    assert_true(fx.ended);
}

static void until_log(const char *text)
{
    for (int i = 0; i < 60000 && !strstr(buf_cstr(&fx.log), text); i++)
        loop_run_for(fx.loop, 1, NULL);
    assert_non_null(strstr(buf_cstr(&fx.log), text));
}

static void assert_told(const struct buf *told, const char *text)
{
    if (!strstr(buf_cstr(told), text))
        fail_msg("no '%s' in: %s", text, buf_cstr(told));
}

static void assert_not_told(const char *secret)
{
    if (strstr(buf_cstr(&fx.log), secret) || strstr(buf_cstr(&fx.said), secret))
        fail_msg("'%s' is in: %s %s", secret, buf_cstr(&fx.log), buf_cstr(&fx.said));
}

static void commands_have_the_values_and_the_log_has_not(void **state)
{
    (void)state;
    finish("version: 0.2\n" ENV
           "phases: {build: {commands: [echo TOKEN, bytes PASSWORD, halves PEM, "
           "bytes PEM, halves PASSWORD, echo PLAIN]}}\n");
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_string_equal(value_of("TOKEN"), "t0ken");
    assert_string_equal(value_of("PASSWORD"), "hunter2");
    assert_string_equal(value_of("PEM"), PEM);
    assert_not_told("t0ken");
    assert_not_told("hunter2");
    assert_not_told("BEGIN");
    assert_not_told("abcdefgh");
    assert_told(&fx.log, "[Running command echo TOKEN]***[Running command bytes PASSWORD]***[");
    assert_told(&fx.log, "[Running command echo PLAIN]plain[");
}

static void what_comes_from_a_store_is_not_exported(void **state)
{
    (void)state;
    finish("version: 0.2\n" ENV "phases: {build: {commands: [true]}}\n");
    assert_int_equal(fx.export.count, 1);
    assert_string_equal(fx.export.items[0], "V");
}

/* A value that is written into the buildspec, or that a machine's message quotes. */
static void marks_reasons_and_the_failed_command_are_masked(void **state)
{
    (void)state;
    finish("version: 0.2\n" ENV "phases: {build: {commands: [fail with hunter2]}}\n");
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_not_told("hunter2");
    assert_told(&fx.log, "[Running command fail with ***]");
    assert_told(&fx.log, "successfully: fail with *** exit status 3]");
    assert_told(&fx.said, "exit status 3|fail with ***|");
    assert_told(&fx.said, "Error while executing command: fail with ***");
    teardown(state);
    setup(state);
    finish("version: 0.2\n" ENV "phases: {build: {commands: [lose]}}\n");
    assert_string_equal(buf_cstr(&fx.said), "it said ***");
    assert_told(&fx.log, "it said ***]");
    assert_not_told("hunter2");
    teardown(state);
    setup(state);
    fx.attempt = 3;
    finish("version: 0.2\n" ENV "phases: {build: {commands: [lose]}}\n");
    assert_told(&fx.said, "The builder could not run it: it said ***|");
}

static void a_secret_where_a_mark_is_cut_does_not_show_in_part(void **state)
{
    char *text = mem_printf(
        "version: 0.2\n" ENV "phases: {build: {commands: ['%0*d hunter2 x']}}\n", 1000, 0);
    (void)state;
    finish(text);
    assert_not_told(" h");
    free(text);
    teardown(state);
    setup(state);
    text = mem_printf("version: 0.2\n" ENV "phases: {build: {commands: ['fail %0*d hunter2']}}\n",
                      190, 0);
    finish(text);
    assert_not_told(" h");
    free(text);
}

static void a_beginning_is_shown_after_a_while_and_its_rest_is_hidden(void **state)
{
    (void)state;
    begin("version: 0.2\n" ENV "phases: {build: {commands: [begin PASSWORD]}}\n");
    until_log("command begin PASSWORD]hu");
    put("nter2 and more", 14);
    assert_told(&fx.log, "]hu*** and more");
    build_stop(fx.build, BUILD_CANCEL, "hunter2 is wrong");
    assert_true(fx.ended);
    assert_told(&fx.log, " and more[Stopped: *** is wrong]hunt");
    assert_not_told("hunter2");
}

static void a_start_variable_wins_and_is_masked_too(void **state)
{
    (void)state;
    give("PASSWORD", "from the start");
    finish("version: 0.2\n"
           "env: {secrets-manager: {PASSWORD: other/token}}\n" /* not granted, and not asked for */
           "phases: {build: {commands: [bytes PASSWORD]}}\n");
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_string_equal(value_of("PASSWORD"), "from the start");
    assert_not_told("from the start");
}

static void a_value_that_cannot_be_had_fails_the_build_before_its_commands(void **state)
{
    static const struct {
        const char *env, *says;
    } cases[] = {
        {"secrets-manager: {A: 'other/token'}", "env.secrets-manager.A: the pipeline 'shop'"},
        {"parameter-store: {A: /shop/none}", "env.parameter-store.A: "},
        {"secrets-manager: {A: 'shop/db:user'}", "env.secrets-manager.A: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        teardown(state);
        setup(state);
        char *text = mem_printf("version: 0.2\nenv: {%s}\nphases: {build: {commands: [true]}}\n",
                                cases[i].env);
        finish(text);
        free(text);
        assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
        assert_string_equal(fx.phase, "DOWNLOAD_SOURCE");
        assert_told(&fx.said, cases[i].says);
        assert_told(&fx.log, cases[i].says);
        assert_false(fx.opened);
    }
    assert_not_told("not yours");
}

static void without_a_store_a_value_must_be_given(void **state)
{
    (void)state;
    fx.build_env.parameters = NULL;
    finish("version: 0.2\nenv:\n  secrets-manager: {A: 'a:b'}\n"
           "phases: {build: {commands: [true]}}\n");
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_told(&fx.said, "buildspec.yml:3: env.secrets-manager.A: there is no store of parameters "
                          "and secrets here; give the value with --env A ");
    teardown(state);
    setup(state);
    fx.build_env.parameters = NULL;
    give("A", "given");
    finish("version: 0.2\nenv:\n  parameter-store: {A: /a/b}\n"
           "phases: {build: {commands: [echo A]}}\n");
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_told(&fx.log, "echo A]***[");
}

static void a_stop_while_values_are_asked_for_ends_at_once(void **state)
{
    (void)state;
    begin("version: 0.2\n" ENV "phases: {build: {commands: [true]}}\n");
    loop_timer_cancel(fx.source);
    give_source(NULL);
    build_stop(fx.build, BUILD_CANCEL, "enough");
    assert_true(fx.ended);
    assert_int_equal(fx.outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_string_equal(fx.phase, "DOWNLOAD_SOURCE");
    assert_false(fx.opened);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_have_the_values_and_the_log_has_not),
        TEST(what_comes_from_a_store_is_not_exported),
        TEST(marks_reasons_and_the_failed_command_are_masked),
        TEST(a_secret_where_a_mark_is_cut_does_not_show_in_part),
        TEST(a_beginning_is_shown_after_a_while_and_its_rest_is_hidden),
        TEST(a_start_variable_wins_and_is_masked_too),
        TEST(a_value_that_cannot_be_had_fails_the_build_before_its_commands),
        TEST(without_a_store_a_value_must_be_given),
        TEST(a_stop_while_values_are_asked_for_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
