#include "base/err.h"

#include <errno.h>

#include "base/str.h"
#include "tests/unit/unit.h"

static void setting_an_error_returns_minus_one_and_keeps_code_and_message(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(err_set(&err, ERR_LIMIT, "too many %s: %d", "things", 7), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.msg, "too many things: 7");
    assert_int_equal(err_set(NULL, ERR_LIMIT, "nobody asks"), -1);
}

static void context_goes_before_the_message_and_the_code_stays(void **state)
{
    struct err err = {0};

    (void)state;
    err_set(&err, ERR_TIMEOUT, "no answer in 5 s");
    assert_int_equal(err_wrap(&err, "cannot fetch '%s'", "app"), -1);
    assert_string_equal(err.msg, "cannot fetch 'app': no answer in 5 s");
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_int_equal(err_wrap(NULL, "x"), -1);
}

static void an_error_may_be_built_from_its_own_message(void **state)
{
    struct err err = {0};

    (void)state;
    err_set(&err, ERR_IO, "inner");
    err_set(&err, ERR_INVALID, "outer (%s)", err.msg);
    assert_string_equal(err.msg, "outer (inner)");
}

static void the_operating_systems_reason_is_told(void **state)
{
    struct err err = {0};

    (void)state;
    err_errno(&err, ENOENT, "cannot open '%s'", "f");
    assert_string_equal(err.msg, "cannot open 'f': No such file or directory");
    assert_int_equal(err.code, ERR_NOT_FOUND);
    err_errno(&err, EACCES, "x");
    assert_int_equal(err.code, ERR_DENIED);
    err_errno(&err, ENOSPC, "x");
    assert_int_equal(err.code, ERR_IO);
}

static void a_long_message_is_cut_between_characters(void **state)
{
    struct err err = {0};
    char text[2000] = "";

    (void)state;
    for (size_t i = 0; i + 3 < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    err_set(&err, ERR_INVALID, "%s", text);
    assert_int_equal(strlen(err.msg), ERR_MSG_MAX - 1);
    assert_true(str_is_utf8(err.msg, strlen(err.msg)));
    err_wrap(&err, "c");
    assert_true(strlen(err.msg) < ERR_MSG_MAX);
    assert_true(str_is_utf8(err.msg, strlen(err.msg)));
    assert_memory_equal(err.msg, "c: \xe2", 4);
    err_set(&err, ERR_INVALID, "x%s", text);
    assert_int_equal(strlen(err.msg), ERR_MSG_MAX - 3);
    assert_true(str_is_utf8(err.msg, strlen(err.msg)));
}

static void only_absence_and_delay_are_worth_trying_again(void **state)
{
    (void)state;
    for (int code = ERR_NONE; code <= ERR_FATAL; code++) {
        struct err err = {.code = (enum err_code)code};

        assert_int_equal(err_is_retriable(&err), code == ERR_UNAVAILABLE || code == ERR_TIMEOUT);
        assert_string_not_equal(err_code_name(err.code), "unknown");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting_an_error_returns_minus_one_and_keeps_code_and_message),
        cmocka_unit_test(context_goes_before_the_message_and_the_code_stays),
        cmocka_unit_test(an_error_may_be_built_from_its_own_message),
        cmocka_unit_test(the_operating_systems_reason_is_told),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(only_absence_and_delay_are_worth_trying_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
