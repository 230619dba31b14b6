/* What a build does with env.parameter-store and env.secrets-manager: its commands have the values,
 * nothing that is told has. A store that is real; a driver and a host that are made up. */
#include "tests/unit/build/made_up.h"

#include "parameters/parameters.h"

#define PEM "-----BEGIN\nabcdefgh\r\n{\n-----END\n"

#define ENV                                                                                        \
    "env:\n"                                                                                       \
    "  variables: {TOKEN: plain, PLAIN: plain}\n"                                                  \
    "  parameter-store: {TOKEN: /shop/token, PEM: /shop/pem}\n"                                    \
    "  secrets-manager: {PASSWORD: 'shop/db:password'}\n"                                          \
    "  exported-variables: [PASSWORD, V]\n"

static struct {
    char dir[64];
    struct vault *vault;
    struct parameters *parameters;
    bool filled;
    struct buf said;
    Gantry__V1__KeyValue variable;
    Gantry__V1__KeyValue *variables[1];
    uint32_t attempt;
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
        .loop = mu.loop, .dir = dir, .master = "master", .secrets_dir = fx.dir};
    assert_int_equal(file_mkdirs(dir, 0700, &err), 0);
    assert_int_equal(file_write(key, "0123456789abcdef0123456789abcdef", 32, 0600, &err), 0);
    assert_int_equal(vault_new(&fx.vault, &conf, &err), 0);
    vault_run(fx.vault, fill, on_filled, on_drop, NULL);
    loop_run_for(mu.loop, 60000, &fx.filled);
    assert_true(fx.filled);
    fx.parameters = parameters_new(&(struct parameters_conf){.loop = mu.loop, .vault = fx.vault});
    free(dir);
    free(key);
}

/* ---- commands are "how NAME", and NAME is looked up as a shell would ---- */

static const char *value_of(const char *name)
{
    for (size_t i = 0; i < mu.env.count; i++) {
        if (str_starts(mu.env.items[i], name) && mu.env.items[i][strlen(name)] == '=')
            return mu.env.items[i] + strlen(name) + 1;
    }
    return "";
}

static bool command(const char *text, size_t index)
{
    const char *value = strchr(text, ' ') ? value_of(strchr(text, ' ') + 1) : "";
    const size_t len = strlen(value);
    (void)index;
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
        mu.next.code = 3;
    if (str_starts(text, "lose"))
        err_set(&mu.next.err, ERR_UNAVAILABLE, "it said hunter2");
    return !str_starts(text, "begin");
}

/* What the processes wrote while they were ended. */
static void drain(struct build_place *place)
{
    made_drain(place);
    put("hunt", 4);
}

static void on_finished(void *host, const Gantry__V1__Finished *f)
{
    made_finished(host, f);
    buf_addf(&fx.said, "%s|%s", f->reason, f->command);
    for (size_t i = 0; i < f->n_phases; i++)
        buf_addf(&fx.said, "|%s", f->phases[i]->context);
}

static void on_dropped(void *host, const struct err *why)
{
    made_dropped(host, why);
    buf_adds(&fx.said, why ? why->msg : "handed back");
}

/* ---- the tests ---- */

static int setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    made_up_init(command);
    mu.ops.drain = drain;
    mu.mark_open = "[";
    mu.mark_close = "]";
    made_host.finished = on_finished;
    made_host.dropped = on_dropped;
    buf_init(&fx.said, 64 * 1024);
    fx.attempt = 1;
    gantry__v1__key_value__init(&fx.variable);
    fx.variables[0] = &fx.variable;
    mu.request.variables = fx.variables;
    open_store();
    mu.build_env.parameters = fx.parameters;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    parameters_free(fx.parameters);
    vault_free(fx.vault);
    buf_release(&fx.said);
    made_up_release();
    return file_remove_tree(fx.dir, NULL);
}

static void give(const char *name, const char *value)
{
    fx.variable.key = (char *)name;
    fx.variable.value = (char *)value;
    mu.request.n_variables = 1;
}

static void begin_with(const char *spec_text)
{
    mu.text = spec_text;
    begin(fx.attempt);
}

static void finish_with(const char *spec_text)
{
    begin_with(spec_text);
    finish();
}

static void until_log(const char *text)
{
    for (int i = 0; i < 60000 && !strstr(buf_cstr(&mu.log), text); i++)
        loop_run_for(mu.loop, 1, NULL);
    assert_non_null(strstr(buf_cstr(&mu.log), text));
}

static void assert_told(const struct buf *told, const char *text)
{
    if (!strstr(buf_cstr(told), text))
        fail_msg("no '%s' in: %s", text, buf_cstr(told));
}

static void assert_not_told(const char *secret)
{
    if (strstr(buf_cstr(&mu.log), secret) || strstr(buf_cstr(&fx.said), secret))
        fail_msg("'%s' is in: %s %s", secret, buf_cstr(&mu.log), buf_cstr(&fx.said));
}

static void commands_have_the_values_and_the_log_has_not(void **state)
{
    (void)state;
    finish_with("version: 0.2\n" ENV
                "phases: {build: {commands: [echo TOKEN, bytes PASSWORD, halves PEM, "
                "bytes PEM, halves PASSWORD, echo PLAIN]}}\n");
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_string_equal(value_of("TOKEN"), "t0ken");
    assert_string_equal(value_of("PASSWORD"), "hunter2");
    assert_string_equal(value_of("PEM"), PEM);
    assert_not_told("t0ken");
    assert_not_told("hunter2");
    assert_not_told("BEGIN");
    assert_not_told("abcdefgh");
    assert_told(&mu.log, "[Running command echo TOKEN]***[Running command bytes PASSWORD]***[");
    assert_told(&mu.log, "[Running command echo PLAIN]plain[");
}

static void what_comes_from_a_store_is_not_exported(void **state)
{
    (void)state;
    finish_with("version: 0.2\n" ENV "phases: {build: {commands: [true]}}\n");
    assert_int_equal(mu.export.count, 1);
    assert_string_equal(mu.export.items[0], "V");
}

/* A value that is written into the buildspec, or that a machine's message quotes. */
static void marks_reasons_and_the_failed_command_are_masked(void **state)
{
    (void)state;
    finish_with("version: 0.2\n" ENV "phases: {build: {commands: [fail with hunter2]}}\n");
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_not_told("hunter2");
    assert_told(&mu.log, "[Running command fail with ***]");
    assert_told(&mu.log, "successfully: fail with *** exit status 3]");
    assert_told(&fx.said, "exit status 3|fail with ***|");
    assert_told(&fx.said, "Error while executing command: fail with ***");
    teardown(state);
    setup(state);
    finish_with("version: 0.2\n" ENV "phases: {build: {commands: [lose]}}\n");
    assert_string_equal(buf_cstr(&fx.said), "it said ***");
    assert_told(&mu.log, "it said ***]");
    assert_not_told("hunter2");
    teardown(state);
    setup(state);
    fx.attempt = 3;
    finish_with("version: 0.2\n" ENV "phases: {build: {commands: [lose]}}\n");
    assert_told(&fx.said, "The builder could not run it: it said ***|");
}

static void a_secret_where_a_mark_is_cut_does_not_show_in_part(void **state)
{
    char *text = mem_printf(
        "version: 0.2\n" ENV "phases: {build: {commands: ['%0*d hunter2 x']}}\n", 1000, 0);
    (void)state;
    finish_with(text);
    assert_not_told(" h");
    free(text);
    teardown(state);
    setup(state);
    text = mem_printf("version: 0.2\n" ENV "phases: {build: {commands: ['fail %0*d hunter2']}}\n",
                      190, 0);
    finish_with(text);
    assert_not_told(" h");
    free(text);
}

static void a_beginning_is_shown_after_a_while_and_its_rest_is_hidden(void **state)
{
    (void)state;
    begin_with("version: 0.2\n" ENV "phases: {build: {commands: [begin PASSWORD]}}\n");
    until_log("command begin PASSWORD]hu");
    put("nter2 and more", 14);
    assert_told(&mu.log, "]hu*** and more");
    build_stop(mu.build, BUILD_CANCEL, "hunter2 is wrong");
    finish();
    assert_told(&mu.log, " and more[Stopped: *** is wrong]hunt");
    assert_not_told("hunter2");
}

static void a_start_variable_wins_and_is_masked_too(void **state)
{
    (void)state;
    give("PASSWORD", "from the start");
    finish_with(
        "version: 0.2\n"
        "env: {secrets-manager: {PASSWORD: other/token}}\n" /* not granted, and not asked for */
        "phases: {build: {commands: [bytes PASSWORD]}}\n");
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
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
        finish_with(text);
        free(text);
        assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
        assert_string_equal(mu.finished->phase, "DOWNLOAD_SOURCE");
        assert_told(&fx.said, cases[i].says);
        assert_told(&mu.log, cases[i].says);
        assert_null(strstr(buf_cstr(&mu.seen), "open"));
    }
    assert_not_told("not yours");
}

static void without_a_store_a_value_must_be_given(void **state)
{
    (void)state;
    mu.build_env.parameters = NULL;
    finish_with("version: 0.2\nenv:\n  secrets-manager: {A: 'a:b'}\n"
                "phases: {build: {commands: [true]}}\n");
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_told(&fx.said, "buildspec.yml:3: env.secrets-manager.A: there is no store of parameters "
                          "and secrets here; give the value with --env A ");
    teardown(state);
    setup(state);
    mu.build_env.parameters = NULL;
    give("A", "given");
    finish_with("version: 0.2\nenv:\n  parameter-store: {A: /a/b}\n"
                "phases: {build: {commands: [echo A]}}\n");
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_told(&mu.log, "echo A]***[");
}

static void a_stop_while_values_are_asked_for_ends_at_once(void **state)
{
    (void)state;
    begin_with("version: 0.2\n" ENV "phases: {build: {commands: [true]}}\n");
    loop_timer_cancel(mu.source);
    give_source(NULL);
    build_stop(mu.build, BUILD_CANCEL, "enough");
    assert_true(mu.ended);
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_string_equal(mu.finished->phase, "DOWNLOAD_SOURCE");
    assert_null(strstr(buf_cstr(&mu.seen), "open"));
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
