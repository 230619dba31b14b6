/* `env freeze` changes a list in a text that somebody wrote, and nothing else of it. */
#include "services/cli/freeze.h"

#include "definition/definition.h"
#include "tests/unit/unit.h"

#define HEAD "apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: prod}\n"

static const struct freeze two[] = {
    {"Sat,Sun 00:00-23:59 UTC", "weekends"},
    {"2026-12-23 - 2027-01-02 Europe/Berlin", "the \"quiet\" days"}};
#define FIRST "{window: \"Sat,Sun 00:00-23:59 UTC\", reason: \"weekends\"}"
#define SECOND                                                                                     \
    "{window: \"2026-12-23 - 2027-01-02 Europe/Berlin\", reason: \"the \\\"quiet\\\" days\"}"

static void expect(const char *before, size_t count, const char *after)
{
    struct buf out;
    struct err err = {.code = ERR_NONE};

    buf_init(&out, DEFINITION_SIZE_MAX);
    if (freeze_write(&out, before, strlen(before), two, count, &err) != 0)
        fail_msg("%s\n%s", err.msg, buf_cstr(&out));
    assert_string_equal(buf_cstr(&out), after);
    buf_release(&out);
}

static void a_first_freeze_comes_before_the_first_key(void **state)
{
    (void)state;
    expect(HEAD "spec:\n  # ours\n  driver: command # a program\n  command: {run: deploy}\n", 1,
           HEAD "spec:\n  # ours\n  freeze:\n    - " FIRST
                "\n  driver: command # a program\n  command: {run: deploy}\n");
    expect(HEAD "spec: {driver: command, command: {run: deploy}}\n", 2,
           HEAD "spec: {freeze: [" FIRST ", " SECOND
                "], driver: command, command: {run: deploy}}\n");
}

static void a_list_in_one_line_is_replaced_where_it_stands(void **state)
{
    (void)state;
    expect(HEAD "spec: {freeze: [], driver: command, command: {run: deploy}}\n", 1,
           HEAD "spec: {freeze: [" FIRST "], driver: command, command: {run: deploy}}\n");
    expect(HEAD
           "spec:\n  freeze: [{window: \"Sun 00:00-12:00 UTC\", reason: \"a ] in it\"}] # why\n"
           "  driver: command\n  command: {run: deploy}\n",
           0, HEAD "spec:\n  freeze: [] # why\n  driver: command\n  command: {run: deploy}\n");
}

static void a_list_in_lines_ends_before_what_follows(void **state)
{
    (void)state;
    expect(HEAD
           "spec:\n  driver: command\n  freeze:\n    # old\n    - window: Sun 00:00-12:00 UTC\n"
           "      reason: old\n\n    - {window: Mon 00:00-12:00 UTC, reason: older}\n\n"
           "  # the program\n  command: {run: deploy}\n",
           1,
           HEAD "spec:\n  driver: command\n  freeze:\n    - " FIRST
                "\n\n  # the program\n  command: {run: deploy}\n");
    expect(HEAD "spec:\n  driver: command\n  command: {run: deploy}\n  freeze:\n"
                "  - {window: Sun 00:00-12:00 UTC, reason: old}\n",
           0, HEAD "spec:\n  driver: command\n  command: {run: deploy}\n  freeze: []\n");
}

static void a_key_without_a_value_gets_one(void **state)
{
    (void)state;
    expect(HEAD "spec:\n  freeze:\n  driver: command\n  command: {run: deploy}", 1,
           HEAD "spec:\n  freeze:\n    - " FIRST "\n  driver: command\n  command: {run: deploy}");
}

static void characters_of_several_bytes_move_nothing(void **state)
{
    (void)state;
    expect(HEAD "spec: {command: {run: deploy}, freeze: [{window: Sun 00:00-12:00 UTC, reason: "
                "\"Größe 🚀\"}], driver: command}\n",
           1, HEAD "spec: {command: {run: deploy}, freeze: [" FIRST "], driver: command}\n");
}

static void what_is_no_window_is_refused(void **state)
{
    static const struct freeze wrong = {"sometimes", "why"};
    const char *before = HEAD "spec: {driver: command, command: {run: deploy}}\n";
    struct buf out;
    struct err err = {.code = ERR_NONE};
    (void)state;

    buf_init(&out, DEFINITION_SIZE_MAX);
    assert_int_equal(freeze_write(&out, before, strlen(before), &wrong, 1, &err), -1);
    assert_int_not_equal(err.code, ERR_NONE);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_freeze_comes_before_the_first_key),
        cmocka_unit_test(a_list_in_one_line_is_replaced_where_it_stands),
        cmocka_unit_test(a_list_in_lines_ends_before_what_follows),
        cmocka_unit_test(a_key_without_a_value_gets_one),
        cmocka_unit_test(characters_of_several_bytes_move_nothing),
        cmocka_unit_test(what_is_no_window_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
