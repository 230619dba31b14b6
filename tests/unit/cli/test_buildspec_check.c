/* `gantry buildspec check` as people and programs meet it: the program itself, with its exit code,
 * its two outputs and its JSON. */
#include <jansson.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "tests/unit/unit.h"

#define OUTPUT_MAX (1 << 20)

struct answer {
    int code;
    struct buf out, errors;
};

static char folder[] = "/tmp/gantry-test-XXXXXX";

static char *put(const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", folder, name);

    assert_int_equal(file_write(path, text, strlen(text), 0644, NULL), 0);
    return path;
}

/* Words are file names and options; `input` (NULL: none) is its standard input. */
static struct answer check(const char *words, const char *input)
{
    struct answer answer;
    char *in = put("input", input ? input : "");
    char *command =
        mem_printf("cd %s && " GANTRY " buildspec check %s <%s >out 2>errors", folder, words, in);
    char *out = mem_printf("%s/out", folder), *errors = mem_printf("%s/errors", folder);
    int status = system(command);

    assert_true(WIFEXITED(status));
    answer.code = WEXITSTATUS(status);
    assert_int_equal(file_read(&answer.out, out, OUTPUT_MAX, NULL), 0);
    assert_int_equal(file_read(&answer.errors, errors, OUTPUT_MAX, NULL), 0);
    free(in);
    free(command);
    free(out);
    free(errors);
    return answer;
}

static void check_says(const char *words, const char *input, int code, const char *out,
                       const char *errors)
{
    struct answer answer = check(words, input);

    assert_string_equal(buf_cstr(&answer.errors), errors);
    assert_string_equal(buf_cstr(&answer.out), out);
    assert_int_equal(answer.code, code);
    buf_release(&answer.out);
    buf_release(&answer.errors);
}

#define GOOD "version: 0.2\nphases: {build: {commands: [make, make test]}}\n"

static void a_good_buildspec_is_summed_up_and_ends_with_0(void **state)
{
    (void)state;
    free(put("good.yml", GOOD));
    check_says("good.yml", NULL, 0, "good.yml: version 0.2, 1 phase, 2 commands: no errors\n", "");
    check_says("-", GOOD "batch: {build-fanout: {parallelism: 3}}\n", 0,
               "(standard input): version 0.2, 1 phase, 2 commands, a batch of 3 builds: no "
               "errors\n",
               "");
}

static void a_warning_is_told_and_still_ends_with_0(void **state)
{
    (void)state;
    free(put("warned.yml", GOOD "cach: {}\n"));
    check_says("warned.yml", NULL, 0,
               "warned.yml: version 0.2, 1 phase, 2 commands: no errors, 1 warning\n",
               "warned.yml:3:1: warning: cach: unknown key, left out; did you mean 'cache'?\n");
}

static void an_error_in_any_file_ends_with_2_and_the_others_are_checked_too(void **state)
{
    (void)state;
    free(put("good.yml", GOOD));
    free(put("bad.yml", "version: 0.2\nphases: {build: {on-failure: STOP, commands: {a: b}}}\n"));
    check_says("bad.yml good.yml", NULL, 2,
               "good.yml: version 0.2, 1 phase, 2 commands: no errors\n",
               "bad.yml:2:30: error: phases.build.on-failure: must be ABORT, CONTINUE, RETRY, "
               "RETRY-<count>, RETRY-<regex> or RETRY-<count>-<regex>\n"
               "bad.yml:2:46: error: phases.build.commands: must be a list, not a mapping\n"
               "gantry: bad.yml: 2 errors; it would not run\n");
}

static void a_file_that_cannot_be_read_ends_with_2(void **state)
{
    struct answer answer;

    (void)state;
    check_says("none.yml", NULL, 2, "",
               "gantry: cannot read 'none.yml': No such file or directory\n");
    check_says(".", NULL, 2, "", "gantry: cannot read '.': not a regular file\n");
    answer = check("", NULL);
    assert_int_equal(answer.code, 2);
    assert_non_null(strstr(buf_cstr(&answer.errors), "usage: gantry buildspec check FILE..."));
    buf_release(&answer.out);
    buf_release(&answer.errors);
}

static void json_has_the_problems_and_the_builds_of_a_batch(void **state)
{
    struct answer answer;
    json_t *json, *build;
    const char *severity, *path, *reason, *identifier, *on, *value;
    int line, column, valid, ignore;

    (void)state;
    free(put("bad.yml", "version: 0.2\n"));
    free(put("batch.yml", GOOD "batch:\n"
                               "  build-graph:\n"
                               "    - {identifier: a}\n"
                               "    - identifier: b\n"
                               "      buildspec: b.yml\n"
                               "      ignore-failure: yes\n"
                               "      env: {variables: {V: x}}\n"
                               "      depend-on: a\n"));
    answer = check("bad.yml batch.yml -o json", NULL);
    assert_int_equal(answer.code, 2);
    assert_string_equal(buf_cstr(&answer.errors), "");
    json = json_loads(buf_cstr(&answer.out), 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_unpack(json, "[{s:b, s:[{s:s, s:i, s:i, s:s, s:s}!]}]", "valid", &valid,
                                 "problems", "severity", &severity, "line", &line, "column",
                                 &column, "path", &path, "reason", &reason),
                     0);
    assert_false(valid);
    assert_string_equal(severity, "error");
    assert_int_equal(line, 1);
    assert_int_equal(column, 1);
    assert_string_equal(path, "");
    assert_string_equal(reason, "phases is missing");
    assert_string_equal(json_string_value(json_object_get(json_array_get(json, 1), "file")),
                        "batch.yml");
    build = json_array_get(json_object_get(json_array_get(json, 1), "batch"), 1);
    assert_int_equal(json_unpack(build, "{s:s, s:b, s:{s:s}, s:[s!]}", "identifier", &identifier,
                                 "ignoreFailure", &ignore, "env", "V", &value, "dependOn", &on),
                     0);
    assert_string_equal(identifier, "b");
    assert_true(ignore);
    assert_string_equal(value, "x");
    assert_string_equal(on, "a");
    json_decref(json);
    buf_release(&answer.out);
    buf_release(&answer.errors);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return file_remove_tree(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_buildspec_is_summed_up_and_ends_with_0),
        cmocka_unit_test(a_warning_is_told_and_still_ends_with_0),
        cmocka_unit_test(an_error_in_any_file_ends_with_2_and_the_others_are_checked_too),
        cmocka_unit_test(a_file_that_cannot_be_read_ends_with_2),
        cmocka_unit_test(json_has_the_problems_and_the_builds_of_a_batch),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
