#include "parameters/vault.h"

#include <jansson.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"
#include "secret/secret.h"
#include "tests/unit/aws/fake.h"

static struct vault *vault;
static char value[64]; /* that was got */
static int dropped;

static int open_vault(struct fake *fake, const char *master, const char *old)
{
    char *dir = mem_printf("%s/state/secrets", fake->dir);
    const struct vault_conf conf = {.loop = fake->loop,
                                    .dir = dir,
                                    .master = master,
                                    .old_master = old,
                                    .secrets_dir = fake->dir,
                                    .aws = fake_aws(fake)};
    int rc;

    vault_free(vault);
    vault = NULL;
    rc = vault_new(&vault, &conf, &fake->err);
    free(dir);
    return rc;
}

static void make_key(struct fake *fake, const char *name, char fill)
{
    char *path = mem_printf("%s/%s", fake->dir, name), key[32];

    memset(key, fill, sizeof(key));
    assert_int_equal(file_write(path, key, sizeof(key), 0600, &fake->err), 0);
    free(path);
}

static void on_done(const struct err *err, void *arg)
{
    struct fake *fake = arg;

    fake->err = *err;
    fake->done = true;
}

static void on_drop(void *arg)
{
    (void)arg;
    dropped++;
}

static int put_work(const struct secret_store *store, void *arg, struct err *err)
{
    struct secret_version version;

    (void)arg;
    if (secret_store_grant(store, "shop", "**", "kim", 0, err) < 0)
        return -1;
    return secret_store_put(store, "db", "hunter2", 7, "kim", 0, &version, err);
}

static int get_work(const struct secret_store *store, void *arg, struct err *err)
{
    struct secret_ref ref;
    struct buf out;
    int rc;

    (void)arg;
    if (secret_ref_secret(&ref, "db", err) < 0)
        return -1;
    rc = secret_store_get(store, &ref, "shop", NULL, &out, err);
    snprintf(value, sizeof(value), "%s", buf_cstr(&out));
    secret_release(&out);
    secret_ref_release(&ref);
    return rc;
}

static void run(struct fake *fake, vault_work_fn *work)
{
    vault_run(vault, work, on_done, on_drop, fake);
    fake_wait(fake);
}

static void assert_good(const struct fake *fake)
{
    if (fake->err.code)
        fail_msg("%s", fake->err.msg);
}

static void assert_got(struct fake *fake)
{
    *value = '\0';
    run(fake, get_work);
    assert_good(fake);
    assert_string_equal(value, "hunter2");
}

static int teardown(void **state)
{
    vault_free(vault);
    vault = NULL;
    return fake_teardown(state);
}

/* ---- a file ---- */

static void a_store_is_made_at_its_first_use_and_opened_by_the_next_vault(void **state)
{
    struct fake *fake = *state;

    make_key(fake, "master", 'm');
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    run(fake, put_work);
    assert_good(fake);
    assert_got(fake);
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    assert_got(fake);
}

static void without_the_master_key_it_says_how_to_make_one(void **state)
{
    struct fake *fake = *state;

    assert_int_equal(open_vault(fake, "master", NULL), 0);
    run(fake, put_work);
    assert_int_equal(fake->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(fake->err.msg, "head -c 32 /dev/urandom"));
    /* It is there now, with no new start. */
    make_key(fake, "master", 'm');
    run(fake, put_work);
    assert_good(fake);
}

static void a_wrong_master_key_opens_nothing(void **state)
{
    struct fake *fake = *state;

    make_key(fake, "master", 'm');
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    run(fake, put_work);
    make_key(fake, "master", 'x');
    assert_got(fake); /* the store's key is in memory */
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    run(fake, get_work);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_non_null(strstr(fake->err.msg, "was sealed under the master key file:"));
}

static void a_new_master_key_takes_over_by_rotation(void **state)
{
    struct fake *fake = *state;

    make_key(fake, "old", 'o');
    make_key(fake, "new", 'n');
    assert_int_equal(open_vault(fake, "old", NULL), 0);
    run(fake, put_work);
    assert_int_equal(open_vault(fake, "new", NULL), 0);
    run(fake, get_work);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_int_equal(open_vault(fake, "new", "old"), 0);
    assert_got(fake);
    vault_rotate(vault, on_done, on_drop, fake);
    fake_wait(fake);
    assert_good(fake);
    assert_got(fake);
    assert_int_equal(open_vault(fake, "new", NULL), 0);
    assert_got(fake);
}

static void a_rotation_by_another_builder_is_followed(void **state)
{
    struct fake *fake = *state;
    struct vault *other;

    make_key(fake, "master", 'm');
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    run(fake, put_work);
    other = vault;
    vault = NULL;
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    vault_rotate(vault, on_done, on_drop, fake);
    fake_wait(fake);
    assert_good(fake);
    vault_free(vault);
    vault = other;
    assert_got(fake);
    vault_rotate(vault, on_done, on_drop, fake);
    fake_wait(fake);
    assert_good(fake);
    assert_got(fake);
}

/* ---- KMS ---- */

#define KEY "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define MADE                                                                                       \
    "{\"Plaintext\":\"" KEY "\",\"CiphertextBlob\":\"c2VhbGVk\",\"KeyId\":\"arn:aws:kms:k\"}"

static json_t *body(const struct fake *fake, size_t i)
{
    json_t *json = json_loads(fake->bodies.items[i], 0, NULL);

    assert_non_null(json);
    return json;
}

static const char *context(const json_t *json)
{
    return json_string_value(
        json_object_get(json_object_get(json, "EncryptionContext"), "gantry-secret-store"));
}

static void kms_makes_the_key_of_a_store_and_opens_it_once_a_start(void **state)
{
    struct fake *fake = *state;
    json_t *made, *opened;

    fake_answer(fake, 200, MADE);
    assert_int_equal(open_vault(fake, "kms:alias/gantry", NULL), 0);
    run(fake, put_work);
    assert_good(fake);
    assert_got(fake);
    assert_int_equal(fake->asked.count, 1);
    assert_int_equal(open_vault(fake, "kms:alias/gantry", NULL), 0);
    fake_answer(fake, 200, "{\"Plaintext\":\"" KEY "\"}");
    assert_got(fake);
    assert_got(fake);
    assert_int_equal(fake->asked.count, 2);
    made = body(fake, 0);
    opened = body(fake, 1);
    assert_string_equal(json_string_value(json_object_get(opened, "CiphertextBlob")), "c2VhbGVk");
    assert_string_equal(json_string_value(json_object_get(opened, "KeyId")), "alias/gantry");
    assert_string_equal(context(made), context(opened));
    json_decref(made);
    json_decref(opened);
}

static void a_store_moves_from_a_file_to_kms_and_back_by_rotation(void **state)
{
    struct fake *fake = *state;

    make_key(fake, "master", 'm');
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    run(fake, put_work);
    fake_answer(fake, 200, MADE);
    assert_int_equal(open_vault(fake, "kms:k", "master"), 0);
    vault_rotate(vault, on_done, on_drop, fake);
    fake_wait(fake);
    assert_good(fake);
    assert_got(fake);
    fake_answer(fake, 200, "{\"Plaintext\":\"" KEY "\"}");
    assert_int_equal(open_vault(fake, "master", "kms:k"), 0);
    vault_rotate(vault, on_done, on_drop, fake);
    fake_wait(fake);
    assert_good(fake);
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    assert_got(fake);
    assert_int_equal(fake->asked.count, 2);
}

static void what_kms_refuses_is_told_and_asked_again_later(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 400, "{\"__type\":\"AccessDeniedException\",\"message\":\"not you\"}");
    assert_int_equal(open_vault(fake, "kms:k", NULL), 0);
    run(fake, put_work);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_non_null(strstr(fake->err.msg, "AccessDeniedException: not you"));
    fake_answer(fake, 200, MADE);
    run(fake, put_work);
    assert_good(fake);
    /* Opening: another key's plain text is no key of this store. */
    assert_int_equal(open_vault(fake, "kms:k", NULL), 0);
    fake_answer(fake, 200, "{\"Plaintext\":\"AAAA\"}");
    run(fake, get_work);
    assert_int_equal(fake->err.code, ERR_INVALID);
    fake_answer(fake, 200, "{\"Plaintext\":\"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\"}");
    run(fake, get_work);
    assert_int_equal(fake->err.code, ERR_INVALID);
}

static void a_store_of_kms_is_not_opened_by_a_vault_without_that_key(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, MADE);
    assert_int_equal(open_vault(fake, "kms:k", NULL), 0);
    run(fake, put_work);
    make_key(fake, "master", 'm');
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    run(fake, get_work);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_non_null(strstr(fake->err.msg, "was sealed under kms:arn:aws:kms:k"));
    assert_int_equal(fake->asked.count, 1);
}

/* ---- ends ---- */

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

static void a_vault_that_is_freed_drops_what_waits_and_what_runs(void **state)
{
    struct fake *fake = *state;

    make_key(fake, "master", 'm');
    assert_int_equal(open_vault(fake, "master", NULL), 0);
    dropped = 0;
    begun = let_go = false;
    vault_run(vault, slow_work, on_done, on_drop, fake);
    vault_run(vault, get_work, on_done, on_drop, fake);
    while (!begun)
        loop_run_for(fake->loop, 1, NULL);
    vault_free(vault);
    vault = NULL;
    assert_int_equal(dropped, 1);
    let_go = true;
    loop_drain(fake->loop);
    assert_int_equal(dropped, 2);
    assert_false(fake->done);
}

static void a_master_that_cannot_be_is_refused(void **state)
{
    struct fake *fake = *state;
    const struct vault_conf no_aws = {.loop = fake->loop, .dir = "/x", .master = "kms:k"};

    assert_int_equal(open_vault(fake, "", NULL), -1);
    assert_int_equal(open_vault(fake, "kms:", NULL), -1);
    assert_int_equal(vault_new(&vault, &no_aws, &fake->err), -1);
    vault = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_store_is_made_at_its_first_use_and_opened_by_the_next_vault),
        TEST(without_the_master_key_it_says_how_to_make_one),
        TEST(a_wrong_master_key_opens_nothing),
        TEST(a_new_master_key_takes_over_by_rotation),
        TEST(a_rotation_by_another_builder_is_followed),
        TEST(kms_makes_the_key_of_a_store_and_opens_it_once_a_start),
        TEST(a_store_moves_from_a_file_to_kms_and_back_by_rotation),
        TEST(what_kms_refuses_is_told_and_asked_again_later),
        TEST(a_store_of_kms_is_not_opened_by_a_vault_without_that_key),
        TEST(a_vault_that_is_freed_drops_what_waits_and_what_runs),
        TEST(a_master_that_cannot_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
