#include "secret/ref.h"

#include "base/mem.h"
#include "base/str.h"
#include "secret/grant.h"
#include "secret/secret.h"
#include "tests/unit/unit.h"

struct row {
    const char *text;
    struct secret_ref ref; /* id NULL: refused */
};

static void check(const struct row *rows, size_t count,
                  int (*parse)(struct secret_ref *, const char *, struct err *))
{
    for (size_t i = 0; i < count; i++) {
        const struct secret_ref *want = &rows[i].ref;
        struct secret_ref got;
        struct err err;
        const int rc = parse(&got, rows[i].text, &err);
        if (rc != (want->id ? 0 : -1) || (!want->id && err.code != ERR_INVALID))
            fail_msg("'%s' is %d", rows[i].text, rc);
        if (want->id && (!str_eq(got.id, want->id) || !str_eq(got.name, want->name) ||
                         !str_eq(got.other, want->other) || !str_eq(got.json_key, want->json_key) ||
                         !str_eq(got.stage, want->stage) || !str_eq(got.version, want->version)))
            fail_msg("'%s' is id=%s name=%s other=%s key=%s stage=%s version=%s", rows[i].text,
                     got.id, got.name, got.other, got.json_key, got.stage, got.version);
        if (rc == 0)
            secret_ref_release(&got);
    }
}

#define ARN "arn:aws:secretsmanager:eu-central-1:1234:secret:"

static void a_secret_has_an_id_a_json_key_a_stage_and_a_version(void **state)
{
    static const struct row rows[] = {
        {"shop/db", {.id = "shop/db", .name = "shop/db"}},
        {"db:password", {.id = "db", .name = "db", .json_key = "password"}},
        {"db:password:AWSPREVIOUS",
         {.id = "db", .name = "db", .json_key = "password", .stage = "AWSPREVIOUS"}},
        {"db:password:AWSCURRENT:v1",
         {.id = "db",
          .name = "db",
          .json_key = "password",
          .stage = "AWSCURRENT",
          .version = "v1"}},
        {"db:::v1", {.id = "db", .name = "db", .version = "v1"}},
        {"db::AWSPREVIOUS:", {.id = "db", .name = "db", .stage = "AWSPREVIOUS"}},
        {"/db", {.id = "/db", .name = "db"}},
        {ARN "shop/db-AbC123:user",
         {.id = ARN "shop/db-AbC123",
          .name = "shop/db-AbC123",
          .other = "shop/db",
          .json_key = "user"}},
        {ARN "db", {.id = ARN "db", .name = "db"}},
        {ARN "db-short::AWSPREVIOUS",
         {.id = ARN "db-short", .name = "db-short", .stage = "AWSPREVIOUS"}},
        {ARN "my-db_abc1", {.id = ARN "my-db_abc1", .name = "my-db_abc1"}},
        {"", {0}},
        {":key", {0}},
        {"a b", {0}},
        {"a/../b", {0}},
        {"a//b", {0}},
        {"a/", {0}},
        {"db:k:s:v:more", {0}},
        {"arn:aws:ssm:r:1:parameter/x", {0}},
        {ARN, {0}},
    };

    (void)state;
    check(rows, sizeof(rows) / sizeof(rows[0]), secret_ref_secret);
}

static void a_parameter_has_a_name_and_a_version_or_a_label(void **state)
{
    static const struct row rows[] = {
        {"/CodeBuild/password", {.id = "/CodeBuild/password", .name = "CodeBuild/password"}},
        {"plain", {.id = "plain", .name = "plain"}},
        {"plain:3", {.id = "plain:3", .name = "plain", .version = "3"}},
        {"plain:old", {.id = "plain:old", .name = "plain", .stage = "old"}},
        {"arn:aws:ssm:r:1:parameter/shop/db:2",
         {.id = "arn:aws:ssm:r:1:parameter/shop/db:2", .name = "shop/db", .version = "2"}},
        {"arn:aws:ssm:r:1:parameter/x", {.id = "arn:aws:ssm:r:1:parameter/x", .name = "x"}},
        {"", {0}},
        {"/", {0}},
        {"../x", {0}},
        {"./x", {0}},
        {"a\nb", {0}},
        {"arn:aws:s3:::bucket", {0}},
    };

    (void)state;
    check(rows, sizeof(rows) / sizeof(rows[0]), secret_ref_parameter);
}

static void names_are_bounded(void **state)
{
    char *name = mem_alloc(514);

    (void)state;
    memset(name, 'n', 513);
    assert_false(secret_is_name(name));
    name[512] = '\0';
    assert_true(secret_is_name(name));
    assert_true(secret_is_name("a.b/...x/..y"));
    free(name);
}

static void a_member_of_a_json_value_is_its_text(void **state)
{
    static const char value[] = "{\"user\":\"kim\",\"port\":5432,\"tls\":true,\"more\":{\"a\":[1]},"
                                "\"empty\":\"\",\"none\":null}";
    static const char *const rows[][2] = {{"user", "kim"}, {"port", "5432"},
                                          {"tls", "true"}, {"more", "{\"a\":[1]}"},
                                          {"empty", ""},   {"none", "null"}};
    struct buf out;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(secret_json_member(&out, value, strlen(value), rows[i][0], "db", &err), 0);
        assert_string_equal(buf_cstr(&out), rows[i][1]);
        secret_release(&out);
    }
    assert_int_equal(secret_json_member(&out, value, strlen(value), "other", "db", &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    secret_release(&out);
    assert_int_equal(secret_json_member(&out, "hunter2", 7, "user", "db", &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(strstr(err.msg, "hunter2"));
    secret_release(&out);
    assert_int_equal(secret_json_member(&out, "[1]", 3, "user", "db", &err), -1);
    secret_release(&out);
}

static void a_grant_is_a_glob_of_pipelines_and_one_of_paths(void **state)
{
    static const struct secret_grant items[] = {{"shop", "shop/**"}, {"web-*", "/shared/*"}};
    const struct secret_grants grants = {items, 2}, none = {NULL, 0};
    struct err err;

    (void)state;
    assert_true(secret_granted(&grants, "shop", "shop/db"));
    assert_true(secret_granted(&grants, "shop", "shop/a/b"));
    assert_true(secret_granted(&grants, "web-1", "shared/token"));
    assert_false(secret_granted(&grants, "web-1", "shared/a/b"));
    assert_false(secret_granted(&grants, "shop", "shared/token"));
    assert_false(secret_granted(&grants, "shop2", "shop/db"));
    assert_false(secret_granted(&none, "shop", "shop/db"));
    assert_false(secret_granted(NULL, "shop", "shop/db"));
    assert_int_equal(secret_grant_refuse("shop", "db", &err), -1);
    assert_int_equal(err.code, ERR_DENIED);
    assert_non_null(strstr(err.msg, "gantry secret grant shop 'db'"));
    assert_int_equal(secret_grant_check("*", "**", &err), 0);
    assert_int_equal(secret_grant_check("", "**", &err), -1);
    assert_int_equal(secret_grant_check("a", "", &err), -1);
    assert_int_equal(secret_grant_check("a b", "c", &err), -1);
    assert_int_equal(secret_grant_check("a", "/", &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_has_an_id_a_json_key_a_stage_and_a_version),
        cmocka_unit_test(a_parameter_has_a_name_and_a_version_or_a_label),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(a_member_of_a_json_value_is_its_text),
        cmocka_unit_test(a_grant_is_a_glob_of_pipelines_and_one_of_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
