/* The programs that stand in for those of CodeBuild's images, run as they are written. */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "build/driver.h"
#include "sandbox/sandbox.h"

static char dir[64];

static int setup(void **state)
{
    const struct strv none = {0};
    struct err err;
    struct build_shared shared = {.dir = dir, .insecure_registries = &none};
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/gantry-tools-XXXXXX");
    assert_non_null(mkdtemp(dir));
    shared.docker = sandbox_open_docker("/bin/true", &err); /* any program */
    int rc = build_sandbox_shared(&shared, &err);
    close(shared.docker);
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

/* What a script in a folder of files prints, and its exit status after it. */
static const char *run(const char *script)
{
    static char out[2048];
    char *line = mem_printf("export LC_ALL=C PATH=/usr/bin:/bin:%s/bin CODEBUILD_SRC_DIR=%s/src; "
                            "mkdir -p %s/src/a/b %s/src/.git; cd %s/src; "
                            "echo 1 >x.json; echo 2 >a/x.json; echo 3 >a/b/y.md; echo 4 >'a/s p'; "
                            "echo 5 >.git/x.json; cd /; { %s; } 2>&1; echo \"=$?\"",
                            dir, dir, dir, dir, dir, script);
    FILE *pipe = popen(line, "r");
    size_t n = fread(out, 1, sizeof(out) - 1, pipe);
    out[n] = '\0';
    pclose(pipe);
    free(line);
    return out;
}

static void a_search_finds_what_the_patterns_of_a_buildspec_mean(void **state)
{
    (void)state;
    assert_string_equal(run("codebuild-glob-search x.json"), "x.json\n=0\n");
    assert_string_equal(run("codebuild-glob-search '**/x.json'"), "a/x.json\nx.json\n=0\n");
    assert_string_equal(run("codebuild-glob-search 'a/*' '*.json'"),
                        "a/s p\na/x.json\nx.json\n=0\n");
    assert_string_equal(run("codebuild-glob-search '**/*.md' ./a/[!x]*"), "a/b/y.md\na/s p\n=0\n");
    assert_string_equal(run("codebuild-glob-search 'a?b/y.md' 'x.jso' '*json*x'"),
                        "codebuild-glob-search: no file matches a?b/y.md x.jso *json*x\n=1\n");
    assert_string_equal(run("codebuild-glob-search"),
                        "usage: codebuild-glob-search PATTERN...\n=2\n");
}

static void a_hash_changes_with_the_files_and_their_names_alone(void **state)
{
    char first[128];
    (void)state;
    snprintf(first, sizeof(first), "%s", run("codebuild-hash-files '**/*.json' 'a/s p'"));
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    assert_string_equal(first + 64, "\n=0\n");
    assert_string_equal(run("codebuild-hash-files 'a/s p' 'a/*.json' x.json"), first);
    assert_string_not_equal(run("codebuild-hash-files x.json"), first);
    char *changed =
        mem_printf("echo 9 >%s/src/a/x.json; codebuild-hash-files '**/*.json' 'a/s p'", dir);
    assert_string_not_equal(run(changed), first);
    free(changed);
    assert_string_equal(run("codebuild-hash-files none"),
                        "codebuild-hash-files: no file matches none\n=1\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_search_finds_what_the_patterns_of_a_buildspec_mean),
        TEST(a_hash_changes_with_the_files_and_their_names_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
