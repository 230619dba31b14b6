/* env and run-as. */
#include "tests/unit/buildspec/check.h"

static void variables_are_text_as_it_stands(void **state)
{
    struct buildspec *spec = parse(HEAD "env:\n"
                                        "  variables:\n"
                                        "    JAVA_HOME: \"/usr/lib/jvm/java-17\"\n"
                                        "    COUNT: 3\n"
                                        "    EMPTY:\n"
                                        "    PATH: $PATH:/x\n" BUILD);

    (void)state;
    assert_int_equal(spec->variable_count, 4);
    assert_string_equal(spec->variables[0].value, "/usr/lib/jvm/java-17");
    assert_string_equal(spec->variables[1].value, "3");
    assert_string_equal(spec->variables[2].value, "");
    assert_string_equal(spec->variables[3].value, "$PATH:/x");
    buildspec_free(spec);
}

static void the_shell_is_sh_or_bash(void **state)
{
    static const struct {
        const char *given, *shell;
    } rows[] = {{"sh", "sh"}, {"/bin/sh", "sh"}, {"bash", "bash"}, {"/bin/bash", "bash"}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char yaml[128];
        struct buildspec *spec;

        snprintf(yaml, sizeof(yaml), HEAD "env: {shell: %s}\n" BUILD, rows[i].given);
        spec = parse(yaml);
        assert_string_equal(spec->shell, rows[i].shell);
        buildspec_free(spec);
    }
}

static void what_is_wrong_in_env_is_told(void **state)
{
    static const struct row rows[] = {
        {HEAD "env:\n" BUILD, ""},
        {HEAD "env: [a]\n" BUILD, "2:6: error: env: must be a mapping, not a list"},
        {HEAD "env: {shell: powershell.exe}\n" BUILD,
         "2:14: error: env.shell: must be bash or /bin/sh: builds run on Linux"},
        {HEAD "env: {shell: cmd.exe}\n" BUILD,
         "2:14: error: env.shell: must be bash or /bin/sh: builds run on Linux"},
        {HEAD "env: {variables: [A]}\n" BUILD,
         "2:18: error: env.variables: must be a mapping, not a list"},
        {HEAD "env: {variables: {1A: x}}\n" BUILD,
         "2:19: error: env.variables.1A: is no name of a variable (letters, digits and _, no digit "
         "first)"},
        {HEAD "env: {variables: {A: {b: c}}}\n" BUILD,
         "2:22: error: env.variables.A: must be text, not a mapping (text with ': ' in it must be "
         "in quotes)"},
        {HEAD "env: {variables: {CODEBUILD_X: y}}\n" BUILD,
         "2:19: warning: env.variables.CODEBUILD_X: names that begin with CODEBUILD_ are reserved: "
         "the builder's own value wins"},
        {HEAD "env: {git-credential-helper: maybe}\n" BUILD,
         "2:30: error: env.git-credential-helper: must be yes or no, not 'maybe'"},
        {HEAD "env: {parameter-store: {A: }}\n" BUILD,
         "2:28: error: env.parameter-store.A: needs a value"},
        {HEAD "env: {parameter-store: {a-b: x}}\n" BUILD,
         "2:25: error: env.parameter-store.a-b: is no name of a variable (letters, digits and _, "
         "no digit first)"},
        {HEAD "env: {secrets-manager: {A: [x]}}\n" BUILD,
         "2:28: error: env.secrets-manager.A: must be text, not a list"},
        {HEAD "env: {variables: {A: x}, parameter-store: {A: /a}}\n" BUILD,
         "2:19: warning: env.variables.A: is in env.parameter-store, too, and that counts"},
        {HEAD "env: {variables: {A: x}, parameter-store: {A: /a}, secrets-manager: {A: a}}\n" BUILD,
         "2:19: warning: env.variables.A: is in env.secrets-manager, too, and that counts\n"
         "2:44: warning: env.parameter-store.A: is in env.secrets-manager, too, and that counts"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void parameters_are_names_paths_and_arns(void **state)
{
    struct buildspec *spec = parse(HEAD "env:\n"
                                        "  parameter-store:\n"
                                        "    A: name\n"
                                        "    B: /shop/db/password:3\n"
                                        "    C: arn:aws:ssm:eu-central-1:1:parameter/x\n" BUILD);

    (void)state;
    assert_int_equal(spec->parameter_count, 3);
    assert_string_equal(spec->parameters[1].key, "B");
    assert_string_equal(spec->parameters[1].value, "/shop/db/password:3");
    assert_string_equal(spec->parameters[2].value, "arn:aws:ssm:eu-central-1:1:parameter/x");
    buildspec_free(spec);
}

#define ARN "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:shop/db-a1B2c3"

static void a_secret_is_an_id_and_perhaps_a_key_a_stage_and_a_version(void **state)
{
    static const struct {
        const char *text, *id, *key, *stage, *version;
    } rows[] = {
        {"shop", "shop", NULL, NULL, NULL},
        {"shop/db:password", "shop/db", "password", NULL, NULL},
        {"shop:password:AWSPREVIOUS", "shop", "password", "AWSPREVIOUS", NULL},
        {"shop:password::v1", "shop", "password", NULL, "v1"},
        {"shop::AWSPREVIOUS", "shop", NULL, "AWSPREVIOUS", NULL},
        {"shop:::v1", "shop", NULL, NULL, "v1"},
        {"shop:::", "shop", NULL, NULL, NULL},
        {ARN, ARN, NULL, NULL, NULL},
        {ARN ":password", ARN, "password", NULL, NULL},
        {ARN ":password:AWSCURRENT:", ARN, "password", "AWSCURRENT", NULL},
        {ARN ":::v1", ARN, NULL, NULL, "v1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char yaml[256];
        struct buildspec *spec;

        snprintf(yaml, sizeof(yaml), HEAD "env: {secrets-manager: {A: '%s'}}\n" BUILD,
                 rows[i].text);
        spec = parse(yaml);
        assert_int_equal(spec->secret_count, 1);
        assert_string_equal(spec->secrets[0].name, "A");
        assert_string_equal(spec->secrets[0].id, rows[i].id);
        assert_true(str_eq(spec->secrets[0].json_key, rows[i].key));
        assert_true(str_eq(spec->secrets[0].version_stage, rows[i].stage));
        assert_true(str_eq(spec->secrets[0].version_id, rows[i].version));
        buildspec_free(spec);
    }
}

#define FORM                                                                                       \
    "must be secret-id:json-key:version-stage:version-id, where the last three can be left out "   \
    "and secret-id is a name or arn:aws:secretsmanager:region:account:secret:name"

static void what_names_no_secret_is_told(void **state)
{
    static const struct row rows[] = {
        {HEAD "env: {secrets-manager: {A: ':key'}}\n" BUILD,
         "2:28: error: env.secrets-manager.A: " FORM},
        {HEAD "env: {secrets-manager: {A: 'arn:aws:ssm:x:1:secret:y'}}\n" BUILD,
         "2:28: error: env.secrets-manager.A: " FORM},
        {HEAD "env: {secrets-manager: {A: 'arn:aws:secretsmanager:x:1:secret'}}\n" BUILD,
         "2:28: error: env.secrets-manager.A: " FORM},
        {HEAD "env: {secrets-manager: {A: 'arn:aws:secretsmanager:x:1:secret:'}}\n" BUILD,
         "2:28: error: env.secrets-manager.A: " FORM},
        {HEAD "env: {secrets-manager: {A: 'arn:::'}}\n" BUILD,
         "2:28: error: env.secrets-manager.A: " FORM},
        {HEAD "env: {secrets-manager: {A: 'a:b:c::e'}}\n" BUILD,
         "2:28: error: env.secrets-manager.A: has more parts than "
         "secret-id:json-key:version-stage:version-id"},
        {HEAD "env: {secrets-manager: {A: 'a:b:c:d'}}\n" BUILD,
         "2:28: warning: env.secrets-manager.A: has a version-stage and a version-id: the "
         "version-id counts"},
    };
    struct buildspec *spec = parse(HEAD "env: {secrets-manager: {A: 'a:b:c:d'}}\n" BUILD);

    (void)state;
    check_rows(rows, COUNT(rows));
    assert_null(spec->secrets[0].version_stage);
    assert_string_equal(spec->secrets[0].version_id, "d");
    buildspec_free(spec);
}

static void parameters_secrets_and_aws_names_are_not_exported(void **state)
{
    static const struct row rows[] = {
        {HEAD "env: {exported-variables: V}\n" BUILD, ""},
        {HEAD "env:\n"
              "  exported-variables:\n"
              "    - V\n"
              "    - AWS_REGION\n"
              "    - P\n"
              "    - S\n"
              "  parameter-store: {P: p}\n"
              "  secrets-manager: {S: s}\n" BUILD,
         "5:7: warning: env.exported-variables: 'AWS_REGION' is not exported: names that begin "
         "with AWS_ are never exported\n"
         "6:7: warning: env.exported-variables: 'P' is not exported: it is from the parameter "
         "store\n"
         "7:7: warning: env.exported-variables: 'S' is not exported: it is a secret"},
        {HEAD "env: {exported-variables: 'a b'}\n" BUILD,
         "2:27: error: env.exported-variables: 'a b' is no name of a variable (letters, digits and "
         "_, no digit first)"},
    };
    struct buildspec *spec;

    (void)state;
    check_rows(rows, COUNT(rows));
    spec = parse(rows[1].yaml);
    assert_texts(&spec->exported, "V");
    buildspec_free(spec);
    spec = parse(HEAD "env: {exported-variables: [B, A, B]}\n" BUILD);
    assert_texts(&spec->exported, "B|A");
    buildspec_free(spec);
}

static void a_phases_user_wins_over_the_files(void **state)
{
    static const struct row rows[] = {
        {HEAD "run-as: a b\n" BUILD, "2:9: error: run-as: 'a b' is no name of a Linux user"},
        {HEAD "run-as: -x\n" BUILD, "2:9: error: run-as: '-x' is no name of a Linux user"},
        {HEAD "run-as: a12345678901234567890123456789012\n" BUILD,
         "2:9: error: run-as: 'a12345678901234567890123456789012' is no name of a Linux user"},
    };
    struct buildspec *spec = parse(HEAD "run-as: ann\n"
                                        "phases:\n"
                                        "  install: {run-as: root, commands: a}\n"
                                        "  build: {commands: b}\n");

    (void)state;
    check_rows(rows, COUNT(rows));
    assert_string_equal(buildspec_run_as(spec, BUILDSPEC_INSTALL), "root");
    assert_string_equal(buildspec_run_as(spec, BUILDSPEC_BUILD), "ann");
    buildspec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_text_as_it_stands),
        cmocka_unit_test(the_shell_is_sh_or_bash),
        cmocka_unit_test(what_is_wrong_in_env_is_told),
        cmocka_unit_test(parameters_are_names_paths_and_arns),
        cmocka_unit_test(a_secret_is_an_id_and_perhaps_a_key_a_stage_and_a_version),
        cmocka_unit_test(what_names_no_secret_is_told),
        cmocka_unit_test(parameters_secrets_and_aws_names_are_not_exported),
        cmocka_unit_test(a_phases_user_wins_over_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
