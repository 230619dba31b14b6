#include "tests/unit/buildspec/check.h"

static void phases_have_commands_and_finally(void **state)
{
    struct buildspec *spec = parse(HEAD "phases:\n"
                                        "  install:\n"
                                        "    commands:\n"
                                        "      - echo install\n"
                                        "  build:\n"
                                        "    on-failure: ABORT\n"
                                        "    commands:\n"
                                        "      - echo build\n"
                                        "      - |\n"
                                        "        if true; then\n"
                                        "          make\n"
                                        "        fi\n"
                                        "    finally: echo done\n");

    (void)state;
    assert_true(spec->phases[BUILDSPEC_INSTALL].present);
    assert_false(spec->phases[BUILDSPEC_PRE_BUILD].present);
    assert_int_equal(spec->phases[BUILDSPEC_BUILD].line, 6);
    assert_int_equal(spec->phases[BUILDSPEC_BUILD].on_failure, BUILDSPEC_ABORT);
    assert_texts(&spec->phases[BUILDSPEC_BUILD].commands, "echo build|if true; then\n  make\nfi\n");
    assert_texts(&spec->phases[BUILDSPEC_BUILD].finally, "echo done");
    buildspec_free(spec);
}

static void the_ways_to_retry_are_read(void **state)
{
    static const struct {
        const char *text;
        unsigned retries;
        const char *regex;
    } rows[] = {{"RETRY", 3, NULL},
                {"retry", 3, NULL},
                {"RETRY-0", 0, NULL},
                {"RETRY-100", 100, NULL},
                {"RETRY-exit status [12]", 3, "exit status [12]"},
                {"RETRY-7-time.*out", 7, "time.*out"},
                {"Retry-3-.*connection timed out.*", 3, ".*connection timed out.*"},
                {"RETRY-5x", 3, "5x"}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char yaml[256];
        const struct buildspec_phase *phase;
        struct buildspec *spec;

        snprintf(yaml, sizeof(yaml), HEAD "phases: {build: {on-failure: '%s', commands: x}}\n",
                 rows[i].text);
        spec = parse(yaml);
        phase = &spec->phases[BUILDSPEC_BUILD];
        assert_int_equal(phase->on_failure, BUILDSPEC_RETRY);
        assert_int_equal(phase->retries, rows[i].retries);
        assert_true(str_eq(phase->retry_regex, rows[i].regex));
        buildspec_free(spec);
    }
}

#define NO_REGEX                                                                                   \
    "is no regular expression that is taken here (POSIX extended, at most 200 characters, no "     \
    "{n,m}, no back-references)"

static void what_is_wrong_in_a_phase_is_told(void **state)
{
    static const struct row rows[] = {
        {HEAD "phases:\n  build:\n    commands:\n      - a\n      - echo b: c\n",
         "6:9: error: phases.build.commands[1]: must be text, not a mapping (text with ': ' in it "
         "must be in quotes)"},
        {HEAD "phases: {build: {commands: {a: b}}}\n",
         "2:28: error: phases.build.commands: must be a list, not a mapping"},
        {HEAD "phases: {build: {commands: x, finally: [[a]]}}\n",
         "2:41: error: phases.build.finally[0]: must be text, not a list"},
        {HEAD "phases: {build: make}\n", "2:17: error: phases.build: must be a mapping, not text"},
        {HEAD "phases: {build: }\n", "2:10: warning: phases.build: has no commands"},
        {HEAD "phases: {build: {on-failure: ABORT}}\n",
         "2:10: warning: phases.build: has no commands"},
        {HEAD "phases: {build: {finally: x}}\n", ""},
        {HEAD "phases: {build: {on-failure: STOP, commands: x}}\n",
         "2:30: error: phases.build.on-failure: must be ABORT, CONTINUE, RETRY, RETRY-<count>, "
         "RETRY-<regex> or RETRY-<count>-<regex>"},
        {HEAD "phases: {build: {on-failure: RETRYING, commands: x}}\n",
         "2:30: error: phases.build.on-failure: must be ABORT, CONTINUE, RETRY, RETRY-<count>, "
         "RETRY-<regex> or RETRY-<count>-<regex>"},
        {HEAD "phases: {build: {on-failure: RETRY-101, commands: x}}\n",
         "2:30: error: phases.build.on-failure: retries at most 100 times"},
        {HEAD "phases: {build: {on-failure: 'RETRY-a{1,255}', commands: x}}\n",
         "2:30: error: phases.build.on-failure: 'a{1,255}' " NO_REGEX},
        {HEAD "phases: {build: {on-failure: 'RETRY-(a)\\1', commands: x}}\n",
         "2:30: error: phases.build.on-failure: '(a)\\1' " NO_REGEX},
        {HEAD "phases: {build: {on-failure: 'RETRY-3-(', commands: x}}\n",
         "2:30: error: phases.build.on-failure: '(' " NO_REGEX},
        {HEAD "phases: {build: {run-as: 'a;b', commands: x}}\n",
         "2:26: error: phases.build.run-as: 'a;b' is no name of a Linux user"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void runtimes_belong_to_install(void **state)
{
    static const struct row rows[] = {
        {HEAD "phases: {install: {runtime-versions: {nodejs: 20}}}\n", ""},
        {HEAD "phases: {install: {runtime-versions: }}\n",
         "2:10: warning: phases.install: has no commands\n"
         "2:38: warning: phases.install.runtime-versions: names no runtime"},
        {HEAD "phases: {install: {runtime-versions: {node: 20}, commands: x}}\n",
         "2:39: warning: phases.install.runtime-versions.node: is no runtime that is known here; "
         "did you mean 'nodejs'?"},
        {HEAD "phases: {install: {runtime-versions: {java: }, commands: x}}\n",
         "2:45: error: phases.install.runtime-versions.java: needs a value"},
        {HEAD "phases: {install: {runtime-versions: [java], commands: x}}\n",
         "2:38: error: phases.install.runtime-versions: must be a mapping, not a list"},
        {HEAD "phases: {build: {runtime-versions: {java: 17}, commands: x}}\n",
         "2:18: warning: phases.build.runtime-versions: left out: runtime-versions belongs to "
         "install"},
    };
    struct buildspec *spec =
        parse(HEAD "phases: {install: {runtime-versions: {python: 3.10, ruby: \"$R\"}}}\n");

    (void)state;
    check_rows(rows, COUNT(rows));
    assert_int_equal(spec->runtime_count, 2);
    assert_string_equal(spec->runtimes[0].key, "python");
    assert_string_equal(spec->runtimes[0].value, "3.10");
    assert_string_equal(spec->runtimes[1].value, "$R");
    buildspec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_have_commands_and_finally),
        cmocka_unit_test(the_ways_to_retry_are_read),
        cmocka_unit_test(what_is_wrong_in_a_phase_is_told),
        cmocka_unit_test(runtimes_belong_to_install),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
