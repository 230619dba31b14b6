#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/auth.h"
#include "gantry/v1/access.pb-c.h"

struct person_row {
    const char *name;
    const char *roles[2];
    size_t role_count;
    int64_t expires_ms;
};

static void put_token(struct auth *auth, const struct person_row *row, char token[AUTH_TOKEN_SIZE])
{
    Gantry__V1__LocalToken local = GANTRY__V1__LOCAL_TOKEN__INIT;
    Gantry__V1__Access access = GANTRY__V1__ACCESS__INIT;
    uint8_t hash[32];
    char *groups[] = {"qa"};

    auth_token_make(token, hash);
    local.sha256.data = hash;
    local.sha256.len = sizeof hash;
    local.email = "kim@example.test";
    local.roles = (char **)row->roles;
    local.n_roles = row->role_count;
    local.groups = groups;
    local.n_groups = 1;
    local.expires_ms = row->expires_ms;
    access.kind = "Token";
    access.name = (char *)row->name;
    access.local_case = GANTRY__V1__ACCESS__LOCAL_TOKEN;
    access.token = &local;
    auth_apply(auth, &access);
}

static int check(struct auth *auth, const char *token, struct auth_person *out, struct err *err)
{
    char header[128];

    snprintf(header, sizeof header, "Bearer %s", token);
    return auth_check(auth, header, 1000, out, err);
}

static void a_token_tells_who_asks_and_in_which_groups(void **state)
{
    struct person_row row = {"kim", {"approver"}, 1, 0};
    struct auth *auth = auth_new();
    struct auth_person person;
    char token[AUTH_TOKEN_SIZE];
    struct err err;

    (void)state;
    put_token(auth, &row, token);
    assert_int_equal(check(auth, token, &person, &err), 0);
    assert_string_equal(person.subject, "token:kim");
    assert_string_equal(person.email, "kim@example.test");
    assert_true(strv_has(&person.groups, "qa"));
    assert_true(auth_may(&person, AUTH_APPROVER));
    assert_true(auth_may(&person, AUTH_VIEWER));
    assert_false(auth_may(&person, AUTH_DEVELOPER));
    auth_person_release(&person);
    auth_free(auth);
}

static void an_unknown_missing_or_malformed_token_is_denied(void **state)
{
    static const char *const headers[] = {
        NULL, "", "Bearer ", "Bearer gty_x", "Basic a2ltOmtpbQ==", "gty_x"};
    struct auth *auth = auth_new();
    struct auth_person person;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        assert_int_equal(auth_check(auth, headers[i], 1000, &person, &err), -1);
        assert_int_equal(err.code, ERR_DENIED);
    }
    auth_free(auth);
}

static void a_token_ends_when_it_expires_is_replaced_or_deleted(void **state)
{
    struct person_row row = {"kim", {"viewer"}, 1, 1000};
    Gantry__V1__Access gone = GANTRY__V1__ACCESS__INIT;
    struct auth *auth = auth_new();
    struct auth_person person;
    char first[AUTH_TOKEN_SIZE], second[AUTH_TOKEN_SIZE];
    struct err err;

    (void)state;
    put_token(auth, &row, first);
    assert_int_equal(check(auth, first, &person, &err), -1);
    row.expires_ms = 1001;
    put_token(auth, &row, second);
    assert_int_equal(check(auth, first, &person, &err), -1);
    assert_int_equal(check(auth, second, &person, &err), 0);
    auth_person_release(&person);
    gone.kind = "Token";
    gone.name = "kim";
    gone.deleted = 1;
    auth_apply(auth, &gone);
    assert_int_equal(check(auth, second, &person, &err), -1);
    auth_free(auth);
}

static void admin_does_not_imply_approver_but_all_else(void **state)
{
    struct auth_person person = {.roles = AUTH_ADMIN};

    (void)state;
    assert_true(auth_may(&person, AUTH_VIEWER));
    assert_true(auth_may(&person, AUTH_DEVELOPER));
    assert_true(auth_may(&person, AUTH_OPERATOR));
    assert_false(auth_may(&person, AUTH_APPROVER));
}

static void a_bootstrap_token_has_every_role(void **state)
{
    struct auth *auth = auth_new();
    struct auth_person person;
    struct err err;

    (void)state;
    auth_add_bootstrap(auth, "first-secret", "root");
    assert_int_equal(check(auth, "first-secret", &person, &err), 0);
    assert_true(auth_may(&person, AUTH_APPROVER) && auth_may(&person, AUTH_ADMIN));
    auth_person_release(&person);
    auth_free(auth);
}

static void role_names_are_checked(void **state)
{
    char *good[] = {"viewer", "operator"}, *bad[] = {"viewer", "king"};
    struct err err;

    (void)state;
    assert_int_equal(auth_roles_parse(good, 2, &err), AUTH_VIEWER | AUTH_OPERATOR);
    assert_int_equal(auth_roles_parse(bad, 2, &err), 0);
    assert_non_null(strstr(err.msg, "king"));
    assert_int_equal(auth_roles_parse(NULL, 0, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_tells_who_asks_and_in_which_groups),
        cmocka_unit_test(an_unknown_missing_or_malformed_token_is_denied),
        cmocka_unit_test(a_token_ends_when_it_expires_is_replaced_or_deleted),
        cmocka_unit_test(admin_does_not_imply_approver_but_all_else),
        cmocka_unit_test(a_bootstrap_token_has_every_role),
        cmocka_unit_test(role_names_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
