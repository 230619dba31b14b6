#include "parameters/parameters.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/unit/aws/fake.h"

static struct vault *vault;
static struct parameters *parameters;
static struct parameter_values *values;
static int told;

static void on_values(struct parameter_values *got, const struct err *err, void *arg)
{
    struct fake *fake = arg;

    values = got;
    fake->err = *err;
    fake->done = true;
    told++;
}

static void on_done(const struct err *err, void *arg)
{
    struct fake *fake = arg;

    if (err->code)
        fail_msg("%s", err->msg);
    fake->done = true;
}

static void on_drop(void *arg)
{
    (void)arg;
}

static int fill(const struct secret_store *store, void *arg, struct err *err)
{
    static const char *const rows[][2] = {
        {"shop/token", "t0ken"},
        {"shop/db", "{\"user\":\"kim\",\"password\":\"hunter2\"}"},
        {"shop/pem", "-----BEGIN\nabcdefgh\r\n{\n-----END\n"},
        {"other/token", "not yours"}};
    struct secret_version version;

    (void)arg;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (secret_store_put(store, rows[i][0], rows[i][1], strlen(rows[i][1]), "kim", 0, &version,
                             err) < 0)
            return -1;
    }
    if (secret_store_put(store, "shop/binary", "a\0b", 3, "kim", 0, &version, err) < 0)
        return -1;
    return secret_store_grant(store, "shop", "shop/*", "kim", 0, err);
}

static void open_store(struct fake *fake)
{
    char *dir = mem_printf("%s/secrets", fake->dir), *key = mem_printf("%s/master", fake->dir);
    const struct vault_conf conf = {
        .loop = fake->loop, .dir = dir, .master = "master", .secrets_dir = fake->dir};

    assert_int_equal(file_write(key, "0123456789abcdef0123456789abcdef", 32, 0600, &fake->err), 0);
    assert_int_equal(vault_new(&vault, &conf, &fake->err), 0);
    free(dir);
    free(key);
}

static void from_store(struct fake *fake)
{
    open_store(fake);
    vault_run(vault, fill, on_done, on_drop, fake);
    fake_wait(fake);
    parameters = parameters_new(&(struct parameters_conf){.loop = fake->loop, .vault = vault});
}

static const struct secret_grant all_of_shop = {"shop", "shop/**"};
static const struct secret_grants settings = {&all_of_shop, 1};

static void from_aws(struct fake *fake)
{
    parameters = parameters_new(&(struct parameters_conf){.loop = fake->loop,
                                                          .from_aws = true,
                                                          .vault = vault,
                                                          .aws = fake_aws(fake),
                                                          .grants = &settings});
}

static int teardown(void **state)
{
    parameter_values_release(values);
    values = NULL;
    parameters_free(parameters);
    parameters = NULL;
    vault_free(vault);
    vault = NULL;
    return fake_teardown(state);
}

static void resolve(struct fake *fake, const struct parameter_want *wants, size_t count)
{
    parameter_values_release(values);
    values = NULL;
    parameters_resolve(parameters, "shop", wants, count, on_values, fake);
    fake_wait(fake);
    assert_true((values == NULL) == (fake->err.code != ERR_NONE));
}

static void assert_values(const struct fake *fake, const char *const *texts, size_t count)
{
    if (fake->err.code)
        fail_msg("%s", fake->err.msg);
    assert_int_equal(values->count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(values->items[i].value, texts[i]);
}

#define WANT(variable, reference, secret)                                                          \
    {                                                                                              \
        variable, reference, secret                                                                \
    }

/* ---- the store ---- */

static void values_come_from_the_store_in_the_order_wanted(void **state)
{
    static const struct parameter_want wants[] = {WANT("TOKEN", "/shop/token", false),
                                                  WANT("PASSWORD", "shop/db:password", true),
                                                  WANT("FIRST", "shop/token:1", false)};
    struct fake *fake = *state;

    from_store(fake);
    resolve(fake, wants, 3);
    assert_values(fake, (const char *const[]){"t0ken", "hunter2", "t0ken"}, 3);
    assert_string_equal(values->items[1].variable, "PASSWORD");
    resolve(fake, NULL, 0);
    assert_int_equal(values->count, 0);
}

static void what_is_missing_or_not_granted_names_variable_and_way_out(void **state)
{
    static const struct {
        struct parameter_want want;
        enum err_code code;
        const char *part;
    } rows[] = {
        {WANT("A", "/shop/none", false), ERR_NOT_FOUND,
         "env.parameter-store.A: the secret store has"},
        {WANT("A", "other/token", true), ERR_DENIED,
         "env.secrets-manager.A: the pipeline 'shop' may not read 'other/token'; an operator can "
         "allow it: gantry secret grant shop 'other/token'"},
        {WANT("A", "shop/db:port", true), ERR_NOT_FOUND, "has no key 'port'"},
        {WANT("A", "shop/token::AWSPREVIOUS", true), ERR_NOT_FOUND, "AWSPREVIOUS"},
        {WANT("A", "a b", true), ERR_INVALID, "env.secrets-manager.A: 'a b' is no name"},
        {WANT("A", "shop/binary", true), ERR_INVALID, "zero byte"},
    };
    struct fake *fake = *state;

    from_store(fake);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct parameter_want wants[] = {WANT("FIRST", "shop/token", false), rows[i].want};
        resolve(fake, wants, 2);
        assert_int_equal(fake->err.code, rows[i].code);
        if (!strstr(fake->err.msg, rows[i].part))
            fail_msg("'%s' is not in: %s", rows[i].part, fake->err.msg);
    }
}

static void without_a_store_the_reason_is_told(void **state)
{
    static const struct parameter_want want = WANT("A", "shop/token", true);
    struct fake *fake = *state;

    parameters = parameters_new(&(struct parameters_conf){
        .loop = fake->loop, .why_no_vault = "builder.master-key is empty"});
    resolve(fake, &want, 1);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_non_null(strstr(fake->err.msg, "builder.master-key is empty"));
}

/* ---- AWS ---- */

static void parameters_are_asked_of_aws_by_tens_and_secrets_once_each(void **state)
{
    struct parameter_want wants[15];
    char *names[11], *answers[11];
    struct fake *fake = *state;

    from_aws(fake);
    for (size_t i = 0; i < 11; i++) {
        names[i] = mem_printf("/shop/p%zu", i);
        answers[i] = mem_printf("{\"Name\":\"%s\",\"Value\":\"v%zu\"}", names[i], i);
        wants[i] = (struct parameter_want){"P", names[i], false};
    }
    wants[11] = (struct parameter_want){"AGAIN", names[3], false};
    wants[12] = (struct parameter_want){"USER", "shop/db:user", true};
    wants[13] = (struct parameter_want){"PASSWORD", "shop/db:password", true};
    wants[14] = (struct parameter_want){"OLD", "/shop/p1:1", false};
    char *ten = mem_printf("{\"Parameters\":[%s,%s,%s,%s,%s,%s,%s,%s,%s,%s]}", answers[0],
                           answers[1], answers[2], answers[3], answers[4], answers[5], answers[6],
                           answers[7], answers[8], answers[9]);
    char *one = mem_printf("{\"Parameters\":[%s]}", answers[10]);
    fake_answer_to(fake, "\"/shop/p0\"", ten);
    fake_answer_to(fake, "\"/shop/p10\"", one);
    fake_answer_to(fake, "\"shop/db\"",
                   "{\"SecretString\":\"{\\\"user\\\":\\\"kim\\\",\\\"password\\\":\\\"x\\\"}\"}");
    fake_answer_to(fake, "\"/shop/p1:1\"",
                   "{\"Parameters\":[{\"Name\":\"/shop/p1\",\"Value\":\"old\"}]}");
    resolve(fake, wants, 15);
    assert_values(fake,
                  (const char *const[]){"v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9",
                                        "v10", "v3", "kim", "x", "old"},
                  15);
    assert_int_equal(fake->asked.count, 4);
    for (size_t i = 0; i < 11; i++) {
        free(names[i]);
        free(answers[i]);
    }
    free(ten);
    free(one);
}

static void what_aws_has_not_or_refuses_names_the_variable(void **state)
{
    static const struct parameter_want parameter = WANT("A", "/shop/none", false),
                                       secret = WANT("B", "shop/none", true);
    struct fake *fake = *state;

    from_aws(fake);
    fake_answer(fake, 200, "{\"Parameters\":[],\"InvalidParameters\":[\"/shop/none\"]}");
    fake_answer(fake, 400, "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"no\"}");
    resolve(fake, &parameter, 1);
    assert_int_equal(fake->err.code, ERR_NOT_FOUND);
    assert_string_equal(fake->err.msg,
                        "env.parameter-store.A: SSM has no parameter '/shop/none' in "
                        "this region");
    resolve(fake, &secret, 1);
    assert_int_equal(fake->err.code, ERR_NOT_FOUND);
    assert_true(str_starts(fake->err.msg,
                           "env.secrets-manager.B: Secrets Manager GetSecretValue shop/none: "));
}

static void aws_is_not_asked_for_what_is_not_granted(void **state)
{
    static const struct parameter_want want = WANT("A", "other/token", true);
    struct fake *fake = *state;

    from_aws(fake);
    resolve(fake, &want, 1);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_int_equal(fake->asked.count, 0);
}

static int grant_other(const struct secret_store *store, void *arg, struct err *err)
{
    (void)arg;
    return secret_store_grant(store, "shop", "other/*", "kim", 0, err);
}

static void grants_of_the_store_count_for_aws_too(void **state)
{
    static const struct parameter_want want = WANT("A", "other/token", true);
    struct fake *fake = *state;

    open_store(fake);
    from_aws(fake);
    fake_answer(fake, 200, "{\"SecretString\":\"x\"}");
    resolve(fake, &want, 1);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_non_null(strstr(fake->err.msg, "gantry secret grant"));
    vault_run(vault, grant_other, on_done, on_drop, fake);
    fake_wait(fake);
    resolve(fake, &want, 1);
    assert_values(fake, (const char *const[]){"x"}, 1);
}

/* Begins, and goes on when it is let. */
static atomic_bool begun, let_go;

static int slow_work(const struct secret_store *store, void *arg, struct err *err)
{
    (void)store;
    (void)arg;
    (void)err;
    begun = true;
    while (!let_go)
        usleep(1000);
    return 0;
}

static void a_cancelled_call_calls_nobody_back(void **state)
{
    static const struct parameter_want wants[] = {WANT("A", "shop/token", true),
                                                  WANT("B", "shop/token", false)};
    struct fake *fake = *state;

    from_store(fake);
    told = 0;
    parameters_cancel(parameters_resolve(parameters, "shop", wants, 2, on_values, fake));
    /* One that waits for the vault. */
    begun = let_go = false;
    struct parameters_call *call =
        parameters_resolve(parameters, "shop", wants, 2, on_values, fake);
    vault_run(vault, slow_work, on_done, on_drop, fake);
    while (!begun)
        loop_run_for(fake->loop, 1, NULL);
    parameters_cancel(call);
    let_go = true;
    fake_wait(fake);
    parameters_resolve(parameters, "shop", wants, 1, on_values, fake);
    fake_wait(fake);
    assert_int_equal(told, 1);
}

/* ---- masks ---- */

static void add_mask(const char *text, size_t len, void *arg)
{
    buf_addf(arg, "[%.*s]", (int)len, text);
}

static void masks_are_values_and_their_longer_lines(void **state)
{
    static const struct parameter_want wants[] = {WANT("A", "shop/token", true),
                                                  WANT("B", "shop/pem", true)};
    struct fake *fake = *state;
    struct buf masks;

    from_store(fake);
    resolve(fake, wants, 2);
    buf_init(&masks, 4096);
    parameter_values_masks(values, add_mask, &masks);
    assert_string_equal(
        buf_cstr(&masks),
        "[t0ken][-----BEGIN\nabcdefgh\r\n{\n-----END\n][-----BEGIN][abcdefgh][-----END]");
    buf_release(&masks);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(values_come_from_the_store_in_the_order_wanted),
        TEST(what_is_missing_or_not_granted_names_variable_and_way_out),
        TEST(without_a_store_the_reason_is_told),
        TEST(parameters_are_asked_of_aws_by_tens_and_secrets_once_each),
        TEST(what_aws_has_not_or_refuses_names_the_variable),
        TEST(aws_is_not_asked_for_what_is_not_granted),
        TEST(grants_of_the_store_count_for_aws_too),
        TEST(a_cancelled_call_calls_nobody_back),
        TEST(masks_are_values_and_their_longer_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
