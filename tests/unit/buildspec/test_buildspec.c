#include "buildspec/buildspec.h"

#include "tests/unit/unit.h"

static struct buildspec *parse_with(const char *yaml, struct buildspec_problems *problems)
{
    struct buildspec *spec = NULL;
    struct err err = {0};
    if (buildspec_parse(&spec, yaml, strlen(yaml), problems, &err) < 0)
        fail_msg("%s", err.msg);
    return spec;
}

static struct buildspec *parse(const char *yaml)
{
    return parse_with(yaml, NULL);
}

/* The first problem as text is exactly this. */
static void refuses(const char *yaml, const char *expected)
{
    struct buildspec *spec = NULL;
    struct buildspec_problems problems = {0};
    struct err err = {0};
    struct buf text;
    buf_init(&text, 4096);
    assert_int_equal(buildspec_parse(&spec, yaml, strlen(yaml), &problems, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    buildspec_problem_text(&problems.items[0], "buildspec.yml", &text);
    if (!strstr(buf_cstr(&text), expected))
        fail_msg("'%s' is not in '%s'", expected, buf_cstr(&text));
    buf_release(&text);
    buildspec_problems_release(&problems);
}

static void warns(const char *yaml, const char *expected)
{
    struct buildspec_problems problems = {0};
    struct buf text;
    buf_init(&text, 4096);
    struct buildspec *spec = parse_with(yaml, &problems);
    assert_int_equal(problems.count, 1);
    buildspec_problem_text(&problems.items[0], "buildspec.yml", &text);
    if (!strstr(buf_cstr(&text), expected))
        fail_msg("'%s' is not in '%s'", expected, buf_cstr(&text));
    buf_release(&text);
    buildspec_problems_release(&problems);
    buildspec_free(spec);
}

static void a_codebuild_example_is_read_whole(void **state)
{
    (void)state;
    struct buildspec *spec = parse("version: 0.2\n"
                                   "env:\n"
                                   "  shell: bash\n"
                                   "  variables:\n"
                                   "    JAVA_HOME: \"/usr/lib/jvm/java-8-openjdk-amd64\"\n"
                                   "    COUNT: 3\n"
                                   "    EMPTY:\n"
                                   "    PATH: $PATH:/x\n"
                                   "  exported-variables: [VERSION, COUNT]\n"
                                   "phases:\n"
                                   "  install:\n"
                                   "    run-as: root\n"
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
                                   "    finally:\n"
                                   "      - echo done\n"
                                   "artifacts:\n"
                                   "  files: imageDetail.json\n"
                                   "  base-directory: out\n"
                                   "  discard-paths: no\n");
    assert_string_equal(spec->shell, "bash");
    assert_int_equal(spec->variable_count, 4);
    assert_string_equal(spec->variables[1].value, "3");
    assert_string_equal(spec->variables[2].value, "");
    assert_string_equal(spec->variables[3].value, "$PATH:/x");
    assert_int_equal(spec->exported.count, 2);
    assert_true(spec->phases[BUILDSPEC_INSTALL].present);
    assert_false(spec->phases[BUILDSPEC_PRE_BUILD].present);
    assert_int_equal(spec->phases[BUILDSPEC_BUILD].on_failure, BUILDSPEC_ABORT);
    assert_int_equal(spec->phases[BUILDSPEC_BUILD].commands.count, 2);
    assert_string_equal(spec->phases[BUILDSPEC_BUILD].commands.items[1],
                        "if true; then\n  make\nfi\n");
    assert_string_equal(spec->phases[BUILDSPEC_BUILD].finally.items[0], "echo done");
    assert_string_equal(spec->artifact_files.items[0], "imageDetail.json");
    assert_string_equal(spec->artifact_base, "out");
    buildspec_free(spec);
}

static void a_string_counts_as_a_list_of_one(void **state)
{
    (void)state;
    struct buildspec *spec = parse("version: 0.2\nphases: {build: {commands: make}}\n");
    assert_int_equal(spec->phases[BUILDSPEC_BUILD].commands.count, 1);
    buildspec_free(spec);
}

static void the_ways_to_retry_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned retries;
        const char *regex;
    } cases[] = {{"RETRY", 3, NULL},
                 {"RETRY-0", 0, NULL},
                 {"RETRY-100", 100, NULL},
                 {"RETRY-exit status [12]", 3, "exit status [12]"},
                 {"RETRY-7-time.*out", 7, "time.*out"},
                 {"RETRY-5x", 3, "5x"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char yaml[256];
        snprintf(yaml, sizeof(yaml),
                 "version: 0.2\nphases: {build: {on-failure: '%s', commands: x}}\n", cases[i].text);
        struct buildspec *spec = parse(yaml);
        const struct buildspec_phase *phase = &spec->phases[BUILDSPEC_BUILD];
        assert_int_equal(phase->on_failure, BUILDSPEC_RETRY);
        assert_int_equal(phase->retries, cases[i].retries);
        assert_true(str_eq(phase->retry_regex, cases[i].regex));
        buildspec_free(spec);
    }
}

#define BUILD "phases: {build: {commands: x}}\n"

static void a_wrong_type_is_an_error_with_line_and_path(void **state)
{
    (void)state;
    refuses("version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b\n",
            "buildspec.yml:5:9: error: phases.build.commands[0]: must be text, not a mapping (text "
            "with ': ' in it must be in quotes)");
    refuses("version: 0.2\nphases: [build]\n",
            "buildspec.yml:2:9: error: phases: must be a mapping, not a list");
    refuses("version: 0.2\nenv: {variables: {1A: x}}\n" BUILD,
            ":2:19: error: env.variables.1A: is no name of a variable");
    refuses("version: 0.2\nenv: {exported-variables: 'a b'}\n" BUILD,
            "error: env.exported-variables: 'a b' is no name of a variable");
    refuses("version: 0.2\nenv: {shell: powershell}\n" BUILD, "error: env.shell: must be sh or");
    refuses("version: 0.2\nphases: {build: {on-failure: STOP, commands: x}}\n",
            "error: phases.build.on-failure: must be ABORT");
    refuses("version: 0.2\nphases: {build: {on-failure: RETRY-101, commands: x}}\n",
            "retries at most 100 times");
    refuses("version: 0.2\nphases: {build: {on-failure: 'RETRY-a{1,255}', commands: x}}\n",
            "is no regular expression");
    refuses("version: 0.2\nphases: {build: {on-failure: 'RETRY-(a)\\1', commands: x}}\n",
            "is no regular expression");
    refuses("version: 0.2\nphases: {build: {commands: x}, build: {commands: y}}\n",
            "phases.build: is there twice");
    refuses("version: 0.2\n  bad: [", "buildspec.yml:2:");
    refuses("", "a buildspec is a mapping");
    refuses("phases: {}\n", "version is missing");
    refuses("version: 0.2\n", "phases is missing");
    refuses("version: 0.3\n" BUILD, "version: must be 0.2");
}

static void what_would_change_the_result_is_refused_until_it_is_supported(void **state)
{
    (void)state;
    refuses("version: 0.1\n" BUILD, "version: 0.1 is not supported yet");
    refuses("version: 0.2\nenv: {parameter-store: {A: /b}}\n" BUILD,
            ":2:7: error: env.parameter-store: is not supported yet");
    refuses("version: 0.2\nenv: {secrets-manager: {A: b}}\n" BUILD,
            "env.secrets-manager: is not supported yet");
    refuses("version: 0.2\nbatch: {}\n" BUILD, "batch: is not supported yet");
    refuses("version: 0.2\nrun-as: ann\n" BUILD, "run-as: 'ann' is not supported yet");
    refuses("version: 0.2\nenv: {git-credential-helper: yes}\n" BUILD, "is not supported yet");
}

static void what_is_harmless_to_leave_out_is_a_warning(void **state)
{
    (void)state;
    warns("version: 0.2\ncache: {paths: [a]}\n" BUILD,
          "buildspec.yml:2:1: warning: cache: is not supported yet");
    warns("version: 0.2\nreports: {a: {files: [x]}}\n" BUILD, "warning: reports: is not");
    warns("version: 0.2\nproxy: {logs: yes}\n" BUILD, "warning: proxy: is not supported yet");
    warns("version: 0.2\nartifacts: {files: x, name: y}\n" BUILD, "artifacts.name: is not");
    warns("version: 0.2\nphases: {install: {runtime-versions: {java: 17}, commands: x}}\n",
          "phases.install.runtime-versions: is not supported yet");
    warns("version: 0.2\nphases: {build: {command: y, commands: x}}\n",
          ":2:18: warning: phases.build.command: unknown key, left out");
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct buf yaml;
    struct buildspec *spec = NULL;
    buf_init(&yaml, 4 * 1024 * 1024);
    buf_adds(&yaml, "version: 0.2\nphases:\n  build:\n    commands:\n");
    for (int i = 0; i < 2001; i++)
        buf_adds(&yaml, "      - x\n");
    refuses(yaml.data, "more than 2000 commands");
    for (int i = 0; i < 30000; i++)
        buf_adds(&yaml, "      - x\n");
    assert_int_equal(buildspec_parse(&spec, yaml.data, yaml.len, NULL, NULL), -1);
    buf_release(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_codebuild_example_is_read_whole),
        cmocka_unit_test(a_string_counts_as_a_list_of_one),
        cmocka_unit_test(the_ways_to_retry_are_read),
        cmocka_unit_test(a_wrong_type_is_an_error_with_line_and_path),
        cmocka_unit_test(what_would_change_the_result_is_refused_until_it_is_supported),
        cmocka_unit_test(what_is_harmless_to_leave_out_is_a_warning),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
