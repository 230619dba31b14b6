/* Which files patterns mean. */
#include "buildspec/files.h"

#include "tests/unit/buildspec/check.h"

#define SRC "/home/build/src"

static void split(struct strv *out, const char *text)
{
    strv_split(out, text, ' ');
}

static struct files *make(const char *patterns, const char *base, const char *exclude, bool discard)
{
    struct strv files = {0}, excluded = {0};
    struct files *made;

    split(&files, patterns);
    split(&excluded, exclude ? exclude : "");
    made = files_new(&(struct files_rule){.root = SRC,
                                          .base_directory = base,
                                          .files = &files,
                                          .exclude = exclude ? &excluded : NULL,
                                          .discard_paths = discard});
    strv_release(&files);
    strv_release(&excluded);
    return made;
}

static void a_pattern_means_what_codebuild_says(void **state)
{
    static const struct {
        const char *patterns, *path;
        bool meant;
    } rows[] = {
        {"my-file.jar", "my-file.jar", true},
        {"my-file.jar", "sub/my-file.jar", false},
        {"my-file.jar", "my-file.jar2", false},
        {"sub/my-file.jar", "sub/my-file.jar", true},
        {"**/*", "a", true},
        {"**/*", "a/b/c", true},
        {"**/*", ".hidden/.file", true},
        {"*", "a", true},
        {"*", ".a", true},
        {"*", "a/b", false},
        {"sub/*", "sub/a", true},
        {"sub/*", "sub/a/b", false},
        {"sub/*", "other/a", false},
        {"sub/**/*", "sub/a", true},
        {"sub/**/*", "sub/a/b/c", true},
        {"sub/**/*", "sub", false},
        {"sub/**/*", "sub2/a", false},
        {"**/*.xml", "a.xml", true},
        {"**/*.xml", "x/y/a.xml", true},
        {"**/*.xml", "x/y/a.xmlx", false},
        {"**/test/**/*.js", "test/a.js", true},
        {"**/test/**/*.js", "x/test/y/z/a.js", true},
        {"**/test/**/*.js", "x/tests/a.js", false},
        {"**/test/**/*.js", "xtest/a.js", false},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/x/y/b", true},
        {"a/**/b", "ab", false},
        {"a/**/b", "a/xb", false},
        {"a/**", "a/b/c", true},
        {"a**", "ab/c", true},
        {"?.txt", "a.txt", true},
        {"?.txt", "ab.txt", false},
        {"?.txt", "é.txt", true},
        {"[ab].txt", "b.txt", true},
        {"[!ab].txt", "b.txt", false},
        {"\\*.txt", "*.txt", true},
        {"\\*.txt", "a.txt", false},
        {"./target/*.jar", "target/a.jar", true},
        {"target//a.jar", "target/a.jar", true},
        {"target/./a.jar", "target/a.jar", true},
        {"a b", "b", true},
        /* A folder's name means all below it. */
        {"node_modules", "node_modules/a/b", true},
        {"node_modules/", "node_modules/a/b", true},
        {"node_modules", "node_modules2/a", false},
        {".", "a/b", true},
        /* Outside of the source. */
        {"/root/.m2/**/*", "/root/.m2/a/b", true},
        {"/root/.m2/**/*", "root/.m2/a/b", false},
        {"/root/.m2", "/root/.m2/a", true},
        {"**/*", "/root/a", false},
        {"/**/*", "a", false},
        {SRC "/out/*", "out/a", true},
        {SRC, "out/a", true},
        {SRC "2/a", "2/a", false},
        /* Never. */
        {"../*", "../a", false},
        {"a/../b", "b", false},
        {"", "a", false},
        {"*", "", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct files *files = make(rows[i].patterns, NULL, NULL, false);

        if (files_match(files, rows[i].path, NULL) != rows[i].meant)
            fail_msg("'%s' %s '%s'", rows[i].patterns, rows[i].meant ? "does not mean" : "means",
                     rows[i].path);
        files_free(files);
    }
}

static void a_files_name_is_below_the_base_directory_or_its_last_part(void **state)
{
    static const struct {
        const char *patterns, *base;
        bool discard;
        const char *path, *name; /* NULL: not meant */
    } rows[] = {
        {"**/*", NULL, false, "a/b", "a/b"},
        {"**/*", NULL, true, "a/b", "b"},
        {"**/*", NULL, true, "b", "b"},
        /* The page's own examples. */
        {"*/my-file-3.txt", "my-build-2", false, "my-build-2/my-subdirectory/my-file-3.txt",
         "my-subdirectory/my-file-3.txt"},
        {"*/my-file-3.txt", "my-build-2", false, "my-build-2/my-file-2.txt", NULL},
        {"**/*", "my-build*", true, "my-build-1/my-file-1.txt", "my-file-1.txt"},
        {"**/*", "my-build*", true, "my-build-2/my-subdirectory/my-file-3.txt", "my-file-3.txt"},
        {"**/*", "my-build*", false, "my-build-2/my-subdirectory/my-file-3.txt",
         "my-subdirectory/my-file-3.txt"},
        {"**/*", "my-build*", false, "other/a", NULL},
        {"**/*", "my-build*", false, "my-build-file", NULL},
        {"*", "packages/*/dist", false, "packages/web/dist/a.js", "a.js"},
        {"*", "packages/*/dist", false, "packages/web/src/a.js", NULL},
        {"*", "**/dist", false, "x/y/dist/a.js", "a.js"},
        {"a", "out/", false, "out/a", "a"},
        {"a", "./out", false, "out/a", "a"},
        {"a", "out", false, "a", NULL},
        {"a", "out", false, "out2/a", NULL},
        {".", "out", false, "out/x/y", "x/y"},
        {"a", ".", false, "a", "a"},
        {"a", "", false, "a", "a"},
        {"a", SRC "/out", false, "out/a", "a"},
        {"a", "/tmp/out", false, "/tmp/out/a", "a"},
        {"a", "../out", false, "a", NULL},
        {"/tmp/x/*", "out", false, "/tmp/x/a", "tmp/x/a"},
        {"/tmp/x/*", "out", true, "/tmp/x/a", "a"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct files *files = make(rows[i].patterns, rows[i].base, NULL, rows[i].discard);
        const char *name = NULL;
        bool meant = files_match(files, rows[i].path, &name);

        if (meant != (rows[i].name != NULL) || (meant && !str_eq(name, rows[i].name)))
            fail_msg("row %zu: '%s' below '%s' gives '%s' for '%s', not '%s'", i, rows[i].patterns,
                     rows[i].base ? rows[i].base : "", meant ? name : "(not meant)", rows[i].path,
                     rows[i].name ? rows[i].name : "(not meant)");
        files_free(files);
    }
}

static void what_is_excluded_is_not_meant(void **state)
{
    static const struct {
        const char *base, *exclude, *path;
        bool meant;
    } rows[] = {
        {NULL, "a", "a", false},
        {NULL, "a", "b", true},
        {NULL, "a", "x/a", true},
        {NULL, "node_modules", "node_modules/x/y", false},
        {NULL, "*.map", "x.map", false},
        {NULL, "*.map", "x/y.map", true},
        {NULL, "**/*.map", "x/y.map", false},
        /* The page's own examples: a file from all folders, dot folders, dot files. */
        {NULL, "**/secret.txt/**/*", "secret.txt", false},
        {NULL, "**/secret.txt/**/*", "a/b/secret.txt", false},
        {NULL, "**/secret.txt/**/*", "a/secret.txt/b", false},
        {NULL, "**/secret.txt/**/*", "a/secret.txt2", true},
        {NULL, "**/.*/**/*", ".git/config", false},
        {NULL, "**/.*/**/*", "a/.git/x/config", false},
        {NULL, "**/.*/**/*", "a/b.c", true},
        {NULL, "**/.*", ".env", false},
        {NULL, "**/.*", "a/.env", false},
        {NULL, "**/.*", "a/env", true},
        {NULL, "a **/*.b", "x/y.b", false},
        {"out", "a", "out/a", false},
        {"out", "out/a", "out/a", true},
        {"out*", "a/**", "out1/a/b", false},
        {NULL, "../a", "a", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct files *files = make("**/*", rows[i].base, rows[i].exclude, false);

        if (files_match(files, rows[i].path, NULL) != rows[i].meant)
            fail_msg("row %zu: '%s' without '%s'", i, rows[i].path, rows[i].exclude);
        files_free(files);
    }
}

static void exclusions_do_not_touch_what_is_outside(void **state)
{
    struct files *files = make("/root/.npm/**/*", NULL, "**/*", false);

    (void)state;
    assert_true(files_match(files, "/root/.npm/a", NULL));
    assert_true(files_may_hold(files, "/root/.npm"));
    files_free(files);
}

static void folders_that_can_hold_nothing_are_known(void **state)
{
    static const struct {
        const char *patterns, *base, *exclude, *folder;
        bool may;
    } rows[] = {
        {"**/*", NULL, NULL, "", true},
        {"**/*", NULL, NULL, "a/b", true},
        {"*.jar", NULL, NULL, "", true},
        {"*.jar", NULL, NULL, "a", false},
        {"*.jar", NULL, NULL, "a.jar", false},
        {"a/*.jar", NULL, NULL, "a", true},
        {"a/*.jar", NULL, NULL, "a/b", false},
        {"a/*.jar", NULL, NULL, "b", false},
        {"a/**/*.jar", NULL, NULL, "a/b/c", true},
        {"a/**/*.jar", NULL, NULL, "b/c", false},
        {"*/x/**/*", NULL, NULL, "b/x/c", true},
        {"*/x/**/*", NULL, NULL, "b/y", false},
        {"*/x/**/*", NULL, NULL, "b", true},
        {"a/b", NULL, NULL, "a", true},
        {"a/b", NULL, NULL, "a/b/c", true},
        {"a/b", NULL, NULL, "a/c", false},
        {"x a/*", NULL, NULL, "a", true},
        {"**/*", "out", NULL, "out/a", true},
        {"**/*", "out", NULL, "src", false},
        {"**/*", "my*", NULL, "my-1/a", true},
        {"**/*", "my*", NULL, "other", false},
        {"**/*", NULL, "**/node_modules/**/*", "a/node_modules", false},
        {"**/*", NULL, "**/node_modules/**/*", "a", true},
        {"**/*", NULL, ".git", ".git", false},
        {"**/*", NULL, "docs/**", "docs", false},
        {"**/*", "out", ".git/**/*", "out/.git", false},
        {"**/*", "out", ".git/**/*", "out", true},
        {"**/*", "out*", ".git/**/*", "out1/.git", true},
        {"**/*", NULL, NULL, "/root", false},
        {"/root/**/*", NULL, NULL, "/root/a", true},
        {"/root/**/*", NULL, NULL, "/", true},
        {"/root/**/*", NULL, NULL, "/home", false},
        {"**/*", NULL, NULL, "a**b/c", true},
        {"a/*/c/d", NULL, NULL, "a/**/c", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct files *files = make(rows[i].patterns, rows[i].base, rows[i].exclude, false);

        if (files_may_hold(files, rows[i].folder) != rows[i].may)
            fail_msg("row %zu: '%s' below '%s'", i, rows[i].patterns, rows[i].folder);
        files_free(files);
    }
}

static void roots_are_the_least_folders_to_walk(void **state)
{
    static const struct {
        const char *patterns, *base, *roots;
    } rows[] = {
        {"**/*", NULL, ""},
        {"target/*.jar", NULL, "target"},
        {"target/x.jar", NULL, "target/x.jar"},
        {"tar*/x.jar", NULL, ""},
        {"a/b/** a/*", NULL, "a"},
        {"a/b a/b a/bc", NULL, "a/b|a/bc"},
        {"* a/b", NULL, ""},
        {"*.js", "packages/*/dist", "packages"},
        {"*.js", "out", "out"},
        {"/root/.m2/**/* node_modules/**/*", NULL, "/root/.m2|node_modules"},
        {"/*/x /root/y", NULL, "/"},
        {"../x", NULL, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct files *files = make(rows[i].patterns, rows[i].base, NULL, false);
        struct strv roots = {0};

        files_roots(files, &roots);
        assert_texts(&roots, rows[i].roots);
        strv_release(&roots);
        files_free(files);
    }
}

static void a_pattern_that_can_match_nothing_is_known(void **state)
{
    char longer[1100];

    (void)state;
    memset(longer, 'a', sizeof(longer));
    longer[1024] = '\0';
    assert_null(files_wrong(longer));
    longer[1024] = 'a';
    longer[1025] = '\0';
    assert_string_equal(files_wrong(longer), "it is longer than 1024 characters");
    assert_null(files_wrong("a"));
    assert_null(files_wrong("..a/b.."));
    assert_string_equal(files_wrong(""), "it is empty");
    assert_string_equal(files_wrong("a/.."), "a path with '..' in it leaves the folder");
    assert_string_equal(files_wrong("../a"), "a path with '..' in it leaves the folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pattern_means_what_codebuild_says),
        cmocka_unit_test(a_files_name_is_below_the_base_directory_or_its_last_part),
        cmocka_unit_test(what_is_excluded_is_not_meant),
        cmocka_unit_test(exclusions_do_not_touch_what_is_outside),
        cmocka_unit_test(folders_that_can_hold_nothing_are_known),
        cmocka_unit_test(roots_are_the_least_folders_to_walk),
        cmocka_unit_test(a_pattern_that_can_match_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
