/* What the log says of install.runtime-versions: the shell looks for programs that are made up. */
#include "tests/unit/build/made_up.h"

#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

/* Only the text that looks for runtimes is more than a word: a shell runs it. */
static bool command(const char *text, size_t index)
{
    char line[200], out[4096];
    (void)index;
    if (!strchr(text, '\n'))
        return true;
    char *path = mem_printf("%s/text", dir);
    struct err err;
    assert_int_equal(file_write(path, text, strlen(text), 0600, &err), 0);
    free(path);
    snprintf(line, sizeof(line), "R=3.3; PATH=%s/bin:/usr/bin:/bin; export PATH; . %s/text", dir,
             dir);
    FILE *pipe = popen(line, "r");
    put(out, fread(out, 1, sizeof(out), pipe));
    mu.next.code = pclose(pipe) == 0 ? 0 : 1;
    return true;
}

static void program(const char *name, const char *text)
{
    struct err err;
    char *path = mem_printf("%s/bin/%s", dir, name);
    char *script = mem_printf("#!/bin/sh\n%s\n", text);
    assert_int_equal(file_write(path, script, strlen(script), 0700, &err), 0);
    free(path);
    free(script);
}

static int setup(void **state)
{
    char bin[80];
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/gantry-runtimes-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(bin, sizeof(bin), "%s/bin", dir);
    assert_int_equal(mkdir(bin, 0700), 0);
    made_up_init(command);
    program("node", "echo v20.11.1");
    program("java", "echo 'Picked up JAVA_TOOL_OPTIONS: -Xmx1g' >&2\n"
                    "echo 'openjdk version \"1.8.0_392\"' >&2; echo 'OpenJDK Runtime' >&2");
    program("go", "test \"$GOTOOLCHAIN\" = local && echo go version go1.22.1 linux/amd64");
    program("python3", "echo Python 3.12.4");
    program("dotnet", "echo '6.0.428 [/usr/share/dotnet/sdk]'; echo '8.0.404 [/usr/share/sdk]'");
    program("ruby", "echo 'ruby 3.3.4p94 (2024-07-09) [x86_64-linux]'");
    program("php", "echo 'PHP 8.2.20 (cli) (built: Jun 17)'; echo Copyright; exit 1");
    program("docker", "echo Docker version 20.10.24, build gantry");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    made_up_release();
    return file_remove_tree(dir, NULL);
}

/* What the log has of an install of these runtimes, up to the first command. */
static const char *told(const char *runtimes)
{
    char *text = mem_printf("version: 0.2\nphases:\n  install:\n    runtime-versions: {%s}\n"
                            "  build: {commands: [one]}\n",
                            runtimes);
    const char *from = "Entering phase INSTALL\n", *to = "Phase complete: INSTALL SUCCEEDED\n";
    mu.text = text;
    buf_reset(&mu.log);
    begin(1);
    finish();
    free(text);
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    char *at = strstr(buf_cstr(&mu.log), from), *end = strstr(buf_cstr(&mu.log), to);
    assert_true(at && end);
    *end = '\0';
    return at + strlen(from);
}

#define WHERE "buildspec.yml:4: warning: phases.install.runtime-versions."

static void a_version_that_is_here_is_told(void **state)
{
    (void)state;
    assert_string_equal(told("nodejs: 20, python: 3.x, golang: 1.22, php: latest, docker: 20"),
                        "Runtime nodejs 20: 20.11.1\nRuntime python 3.x: 3.12.4\n"
                        "Runtime golang 1.22: 1.22.1\nRuntime php latest: 8.2.20\n"
                        "Runtime docker 20: 20.10.24\n");
    assert_string_equal(told("java: corretto8"), "Runtime java corretto8: 8.0_392\n");
    assert_string_equal(told("dotnet: 6.0, ruby: \"${R}\", python: $R"),
                        "Runtime dotnet 6.0: 6.0.428\nRuntime ruby 3.3: 3.3.4p94\n" WHERE
                        "python: 3.3 is asked for, and the build uses what is here: 3.12.4\n");
}

static void another_version_and_none_are_warnings(void **state)
{
    (void)state;
    assert_string_equal(told("nodejs: 2, java: openjdk11, dotnet: 9.0"), WHERE
                        "nodejs: 2 is asked for, and the build uses what is here: 20.11.1\n" WHERE
                        "java: openjdk11 is asked for, and the build uses what is here: "
                        "8.0_392\n" WHERE
                        "dotnet: 9.0 is asked for, and the build uses what is here: 6.0.428 "
                        "8.0.404\n");
    assert_string_equal(told("android: 29"),
                        WHERE "android: 29 is asked for, and there is none here: Gantry installs "
                              "no runtimes\n");
}

static void what_is_odd_is_text(void **state)
{
    (void)state;
    assert_string_equal(told("nodejs: \"'20' `\\\"*\\\\\", ruby: $(echo 3)"),
                        WHERE "nodejs: '20' `\"*\\ is asked for, and the build uses what is here: "
                              "20.11.1\n" WHERE
                              "ruby: $(echo 3) is asked for, and the build uses what is here: "
                              "3.3.4p94\n");
}

static void nothing_is_looked_for_where_nothing_is_asked_for(void **state)
{
    (void)state;
    mu.text = "version: 0.2\nphases: {install: {commands: one}}\n";
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&mu.seen), "take source open one free");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_version_that_is_here_is_told),
        TEST(another_version_and_none_are_warnings),
        TEST(what_is_odd_is_text),
        TEST(nothing_is_looked_for_where_nothing_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
