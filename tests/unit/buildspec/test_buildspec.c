/* The file as a whole. */
#include "tests/unit/buildspec/check.h"

static void every_key_of_the_reference_is_read_without_a_word(void **state)
{
    static const struct row row = {
        "version: 0.2\n"
        "run-as: ann\n"
        "env:\n"
        "  shell: bash\n"
        "  variables: {A: x}\n"
        "  parameter-store: {B: /shop/b}\n"
        "  secrets-manager: {C: 'shop:key:AWSCURRENT'}\n"
        "  exported-variables: [A]\n"
        "  git-credential-helper: yes\n"
        "proxy: {upload-artifacts: no, logs: yes}\n"
        "batch:\n"
        "  fast-fail: true\n"
        "  build-graph:\n"
        "    - {identifier: a, debug-session: true, buildspec: a.yml}\n"
        "    - identifier: b\n"
        "      env: {variables: {V: x}, compute-type: SMALL, image: i, type: t, privileged-mode: "
        "true}\n"
        "      ignore-failure: true\n"
        "      depend-on: [a]\n"
        "phases:\n"
        "  install:\n"
        "    run-as: root\n"
        "    on-failure: ABORT\n"
        "    runtime-versions: {java: corretto17, python: 3.x}\n"
        "    commands: [a]\n"
        "    finally: [b]\n"
        "  pre_build: {run-as: root, on-failure: CONTINUE, commands: [a], finally: [b]}\n"
        "  build: {run-as: root, on-failure: RETRY-2, commands: [a], finally: [b]}\n"
        "  post_build: {run-as: root, on-failure: RETRY, commands: [a], finally: [b]}\n"
        "reports:\n"
        "  unit: {files: [x], file-format: NUnitXml, base-directory: b, discard-paths: yes}\n"
        "artifacts:\n"
        "  files: [x]\n"
        "  name: n\n"
        "  discard-paths: no\n"
        "  base-directory: b\n"
        "  exclude-paths: [y]\n"
        "  enable-symlinks: yes\n"
        "  s3-prefix: p\n"
        "  secondary-artifacts:\n"
        "    one: {files: [x], name: n, discard-paths: no, base-directory: b, exclude-paths: y}\n"
        "cache: {key: k, fallback-keys: [f], action: save, paths: [p]}\n",
        ""};

    (void)state;
    check_row(&row);
}

static void defaults_are_those_of_the_reference(void **state)
{
    struct buildspec *spec = parse(HEAD BUILD);

    (void)state;
    assert_false(spec->separate_shells);
    assert_string_equal(spec->shell, "sh");
    assert_string_equal(buildspec_run_as(spec, BUILDSPEC_BUILD), "root");
    assert_false(spec->git_credentials);
    assert_false(spec->proxy_logs);
    assert_false(spec->proxy_upload_artifacts);
    assert_int_equal(spec->phases[BUILDSPEC_BUILD].on_failure, BUILDSPEC_DEFAULT);
    assert_int_equal(spec->report_count, 0);
    assert_int_equal(spec->artifacts.files.count, 0);
    assert_int_equal(spec->cache.paths.count, 0);
    assert_int_equal(spec->batch.kind, BUILDSPEC_NO_BATCH);
    buildspec_free(spec);
    buildspec_free(NULL);
}

static void version_0_1_has_a_shell_a_command_and_older_names(void **state)
{
    struct buildspec *spec = parse("environment_variables:\n"
                                   "  plaintext: {A: x}\n"
                                   "phases: {build: {commands: [a, b]}}\n"
                                   "artifacts: {type: zip, files: x}\n"
                                   "version: 0.1\n");

    (void)state;
    assert_true(spec->separate_shells);
    assert_int_equal(spec->variable_count, 1);
    assert_string_equal(spec->variables[0].key, "A");
    assert_string_equal(spec->variables[0].value, "x");
    buildspec_free(spec);
}

static void what_is_no_buildspec_is_told(void **state)
{
    static const struct row rows[] = {
        {"", " error: a buildspec is a mapping with version and phases"},
        {"- a\n", "1:1: error: a buildspec is a mapping with version and phases"},
        {"a: [\n", "2:1: error: not YAML: did not find expected node content while parsing a flow "
                   "node"},
        {"\tversion: 0.2\n", "1:1: error: not YAML: found character that cannot start any token "
                             "while scanning for the next token"},
        {BUILD, "1:1: error: version is missing; it is 0.2"},
        {"version: 0.3\n" BUILD, "1:10: error: version: must be 0.2 or 0.1, not '0.3'"},
        {"version: [0.2]\n" BUILD, "1:10: error: version: must be text, not a list"},
        {HEAD, "1:1: error: phases is missing"},
        {HEAD "phases:\n", "1:1: error: phases is missing"},
        {HEAD "phases: {}\n",
         "2:9: error: phases: names none of install, pre_build, build, post_build"},
        {HEAD "phases: [build]\n", "2:9: error: phases: must be a mapping, not a list"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void an_unknown_key_is_a_warning_that_names_the_nearest(void **state)
{
    static const struct row rows[] = {
        {HEAD BUILD "artefacts: {files: x}\n",
         "3:1: warning: artefacts: unknown key, left out; did you mean 'artifacts'?"},
        {HEAD BUILD "x-own: {}\n", "3:1: warning: x-own: unknown key, left out"},
        {HEAD "env: {variable: {A: x}}\n" BUILD,
         "2:7: warning: env.variable: unknown key, left out; did you mean 'variables'?"},
        {HEAD "phases: {build: {command: y, commands: x}}\n",
         "2:18: warning: phases.build.command: unknown key, left out; did you mean 'commands'?"},
        {HEAD "phases: {prebuild: {commands: x}, build: {commands: x}}\n",
         "2:10: warning: phases.prebuild: unknown key, left out; did you mean 'pre_build'?"},
        {HEAD BUILD "cache: {path: x, paths: y}\n",
         "3:9: warning: cache.path: unknown key, left out; did you mean 'paths'?"},
        {HEAD BUILD "environment_variables: {plaintext: {A: x}}\n",
         "3:1: warning: environment_variables: left out: version 0.2 calls it env, and its "
         "plaintext variables"},
        {HEAD BUILD "artifacts: {type: zip, files: x}\n",
         "3:13: warning: artifacts.type: left out: version 0.2 has no type of artifacts"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void a_key_that_is_there_twice_is_an_error(void **state)
{
    static const struct row rows[] = {
        {HEAD "phases: {build: {commands: x}, build: {commands: y}}\n",
         "2:32: error: phases.build: is there twice"},
        {HEAD BUILD "env: {variables: {A: x, A: y}}\n",
         "3:25: error: env.variables.A: is there twice"},
        {HEAD BUILD "reports: {a: {files: x}, a: {files: y}}\n",
         "3:26: error: reports.a: is there twice"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void yes_and_no_are_the_words_of_yaml_quoted_or_not(void **state)
{
    static const struct row rows[] = {
        {HEAD "proxy: {logs: yes, upload-artifacts: 'No'}\n" BUILD, ""},
        {HEAD "proxy: {logs: TRUE, upload-artifacts: off}\n" BUILD, ""},
        {HEAD "proxy: {logs: }\n" BUILD, ""},
        {HEAD "proxy: {logs: 1}\n" BUILD, "2:15: error: proxy.logs: must be yes or no, not '1'"},
        {HEAD "proxy: {logs: [yes]}\n" BUILD,
         "2:15: error: proxy.logs: must be yes or no, not a list"},
    };
    struct buildspec *spec;

    (void)state;
    check_rows(rows, COUNT(rows));
    spec = parse(HEAD "proxy: {logs: \"On\"}\nenv: {git-credential-helper: yes}\n" BUILD);
    assert_true(spec->proxy_logs);
    assert_false(spec->proxy_upload_artifacts);
    assert_true(spec->git_credentials);
    buildspec_free(spec);
}

static void problems_come_by_line_and_the_first_error_is_the_verdict(void **state)
{
    static const struct row row = {"artifacts: {}\n"
                                   "cash: {}\n"
                                   "env: {shell: zsh}\n"
                                   "phases: {build: {commands: {a: b}}}\n",
                                   "1:1: error: version is missing; it is 0.2\n"
                                   "1:1: error: artifacts: files is missing: which files the "
                                   "artifacts are\n"
                                   "2:1: warning: cash: unknown key, left out; did you mean "
                                   "'cache'?\n"
                                   "3:14: error: env.shell: must be bash or /bin/sh, not 'zsh'\n"
                                   "4:28: error: phases.build.commands: must be a list, not a "
                                   "mapping"};
    struct buildspec *spec = NULL;
    struct err err = {0};

    (void)state;
    check_row(&row);
    assert_int_equal(buildspec_parse(&spec, row.yaml, strlen(row.yaml), NULL, &err), -1);
    assert_string_equal(err.msg, "line 1: version is missing; it is 0.2");
}

static void an_error_is_not_lost_behind_a_hundred_warnings(void **state)
{
    struct buildspec_problems problems = {0};
    struct buildspec *spec = NULL;
    struct buf yaml;

    (void)state;
    buf_init(&yaml, 64 * 1024);
    buf_adds(&yaml, HEAD BUILD);
    for (int i = 0; i < 150; i++)
        buf_addf(&yaml, "unknown-%d: x\n", i);
    buf_adds(&yaml, "proxy: {logs: maybe}\n");
    assert_int_equal(buildspec_parse(&spec, yaml.data, yaml.len, &problems, NULL), -1);
    assert_int_equal(problems.count, 100);
    assert_true(problems.items[99].error);
    assert_string_equal(problems.items[99].reason, "must be yes or no, not 'maybe'");
    buildspec_problems_release(&problems);
    buf_release(&yaml);
}

static void what_people_wrote_cannot_break_a_message(void **state)
{
    static const struct row rows[] = {
        {HEAD "env: {shell: \"z\\u001b[31m\\nsh\\u0085\"}\n" BUILD,
         "2:14: error: env.shell: must be bash or /bin/sh, not 'z [31m sh '"},
        /* Cut after 60 bytes, in the middle of a character. */
        {HEAD "env: {shell: 'aäääääääääääääääääääääääääääääääää'}\n" BUILD,
         "2:14: error: env.shell: must be bash or /bin/sh, not 'aäääääääääääääääääääääääääääää'"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void too_much_is_refused(void **state)
{
    struct buf yaml;
    struct buildspec *spec = NULL;
    struct err err = {0};

    (void)state;
    buf_init(&yaml, 4 * 1024 * 1024);
    buf_adds(&yaml, "version: 0.2\nphases:\n  build:\n    commands:\n");
    for (int i = 0; i < 2001; i++)
        buf_adds(&yaml, "      - x\n");
    assert_int_equal(buildspec_parse(&spec, yaml.data, yaml.len, NULL, &err), -1);
    assert_string_equal(err.msg,
                        "line 5: phases.build.commands: there are more than 2000 commands");
    for (int i = 0; i < 30000; i++)
        buf_adds(&yaml, "      - x\n");
    assert_int_equal(buildspec_parse(&spec, yaml.data, yaml.len, NULL, &err), -1);
    assert_string_equal(err.msg, "line 0: is larger than 256 KiB");
    buf_reset(&yaml);
    buf_adds(&yaml, HEAD BUILD "env: {variables: {");
    for (int i = 0; i < 1001; i++)
        buf_addf(&yaml, "A%d: x,", i);
    buf_adds(&yaml, "}}\n");
    assert_int_equal(buildspec_parse(&spec, yaml.data, yaml.len, NULL, &err), -1);
    assert_string_equal(err.msg, "line 3: env.variables: has more than 1000 entries");
    buf_reset(&yaml);
    buf_adds(&yaml, HEAD "phases: {build: {commands: '");
    for (int i = 0; i < 65537; i++)
        buf_addc(&yaml, 'x');
    buf_adds(&yaml, "'}}\n");
    assert_int_equal(buildspec_parse(&spec, yaml.data, yaml.len, NULL, &err), -1);
    assert_string_equal(err.msg, "line 2: phases.build.commands: is longer than 64 KiB");
    buf_release(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_of_the_reference_is_read_without_a_word),
        cmocka_unit_test(defaults_are_those_of_the_reference),
        cmocka_unit_test(version_0_1_has_a_shell_a_command_and_older_names),
        cmocka_unit_test(what_is_no_buildspec_is_told),
        cmocka_unit_test(an_unknown_key_is_a_warning_that_names_the_nearest),
        cmocka_unit_test(a_key_that_is_there_twice_is_an_error),
        cmocka_unit_test(yes_and_no_are_the_words_of_yaml_quoted_or_not),
        cmocka_unit_test(problems_come_by_line_and_the_first_error_is_the_verdict),
        cmocka_unit_test(an_error_is_not_lost_behind_a_hundred_warnings),
        cmocka_unit_test(what_people_wrote_cannot_break_a_message),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
