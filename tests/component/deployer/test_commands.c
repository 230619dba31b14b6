#include "services/deployer/deployer.h"
#include "tests/unit/unit.h"

static void a_command_has_its_argv_environment_and_timeout(void **state)
{
    struct commands *commands;
    struct err err;

    (void)state;
    if (commands_parse(&commands,
                       "edge: {argv: [/bin/echo, a b, '3'], env: {TARGET: /srv}, timeout: 90s}\n"
                       "none: {argv: ['true']}\n",
                       &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(commands_count(commands), 2);
    const struct command *command = commands_get(commands, "edge");
    assert_int_equal(command->argv.count, 3);
    assert_string_equal(command->argv.items[1], "a b");
    assert_null(command->argv.items[3]);
    assert_string_equal(command->env.items[0], "TARGET=/srv");
    assert_int_equal(command->timeout_ms, 90000);
    assert_int_equal(commands_get(commands, "none")->timeout_ms, 0);
    assert_null(commands_get(commands, "other"));
    commands_free(commands);
}

static void none_is_no_mistake(void **state)
{
    struct commands *commands;
    struct err err;

    (void)state;
    assert_int_equal(commands_parse(&commands, NULL, &err), 0);
    assert_int_equal(commands_count(commands), 0);
    commands_free(commands);
}

static void a_mistake_is_told_with_the_command_it_is_in(void **state)
{
    static const char *const bad[][2] = {
        {"[]", "mapping"},
        {"edge: {}", "argv is missing"},
        {"edge: {argv: true}", "list"},
        {"edge: {argv: []}", "list"},
        {"edge: {argv: [[a]]}", "texts"},
        {"edge: {argv: [a], env: [b]}", "mapping"},
        {"edge: {argv: [a], env: {GANTRY_DIGEST: x}}", "GANTRY_DIGEST"},
        {"edge: {argv: [a], timeout: 5}", "duration"},
        {"edge: {argv: [a], timeout: 0}", "duration"},
        {"edge: {argv: [a], shell: true}", "shell"},
        {"edge: {argv: [a], argv: [b]}", "twice"},
        {"Edge: {argv: [a]}", "Edge"},
    };
    struct commands *commands;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(commands_parse(&commands, bad[i][0], &err), -1);
        if (!strstr(err.msg, bad[i][1]) || !strstr(err.msg, "commands"))
            fail_msg("%s: %s", bad[i][0], err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_has_its_argv_environment_and_timeout),
        cmocka_unit_test(none_is_no_mistake),
        cmocka_unit_test(a_mistake_is_told_with_the_command_it_is_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
