/* Which files a .dockerignore leaves out: the rules of the "Dockerfile reference", and cases of
 * moby's own patternmatcher. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "docker/ignore.h"

static bool ignored(const char *text, const char *path)
{
    struct docker_ignore *ignore = NULL;
    struct err err = {0};
    if (docker_ignore_new(&ignore, text, strlen(text), &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    bool out = docker_ignored(ignore, path);
    docker_ignore_free(ignore);
    return out;
}

static void each_pattern_means_what_the_reference_says(void **state)
{
    static const struct {
        const char *text, *path;
        bool ignored;
    } cases[] = {
        {"", "a", false},
        {"# comment\n\n  \n", "comment", false},
        {"#a\n", "#a", false},
        {"  a  \r\n", "a", true},
        {"\xEF\xBB\xBF"
         "a\n",
         "a", true},
        {"a", "a", true},
        {"a", "a/b/c", true},
        {"a", "ab", false},
        {"a", "b/a", false},
        {"/a", "a", true},
        {"a/", "a", true},
        {"./a/../b//c/.", "b/c/d", true},
        {"../a", "a", false},
        {"/../a", "a", true},
        {"a/..", "a", false},
        {"*/temp*", "somedir/temporary.txt", true},
        {"*/temp*", "somedir/temp", true},
        {"*/temp*", "temp", false},
        {"*/*/temp*", "a/b/temporary", true},
        {"*/*/temp*", "a/temporary", false},
        {"temp?", "tempa", true},
        {"temp?", "temp", false},
        {"temp?", "temp/", false},
        {"**", "a", true},
        {"**", "a/b", true},
        {"**/", "a", true},
        {"**/*.go", "a.go", true},
        {"**/*.go", "a/b/c.go", true},
        {"**/*.go", "a/b/c.goo", false},
        {"**/*.go", "a.go/b", true},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/x/y/b", true},
        {"a/**/b", "a/xb", false},
        {"a/**", "a/b", true},
        {"a/**", "a", false},
        {"**/node_modules", "x/node_modules/y", true},
        {"**foo", "xfoo", false},
        {"**foo", "a/foo", true},
        {"a**b", "a/x/b", true},
        {"*", ".hidden", true},
        {"*.md", "a/b.md", false},
        {"*.md\n!README.md", "README.md", false},
        {"*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true},
        {"*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false},
        {"a\n!a/b", "a/b/c", false},
        {"a\n!a/b", "a/c", true},
        {"*\n! src", "src/x", false},
        {"!a", "a", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[^a-c]x", "dx", true},
        {"[^a-c]x", "ax", false},
        {"[]a]", "]", true},
        {"[\\]-a]", "^", true},
        {"a.b", "axb", false},
        {"a+(b)|$", "a+(b)|$", true},
        {"\\*a", "*a", true},
        {"\\*a", "xa", false},
        {"a\\", "a\\", true},
        {"\xC3\xA4*", "\xC3\xA4/b", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        if (ignored(cases[i].text, cases[i].path) != cases[i].ignored)
            fail_msg("'%s' of '%s'", cases[i].path, cases[i].text);
    }
}

static void what_is_no_pattern_is_refused_with_its_line(void **state)
{
    static const char *const wrong[] = {"[", "[a", "[]", "[a-]\n[z-a]", "[a\\]", "[^"};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct docker_ignore *ignore = NULL;
        struct err err = {0};
        char *text = mem_printf("fine\n%s\n", wrong[i]);
        if (docker_ignore_new(&ignore, text, strlen(text), &err) == 0)
            fail_msg("'%s' is taken", wrong[i]);
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.msg, "line "));
        free(text);
    }
}

static void there_are_limits(void **state)
{
    struct docker_ignore *ignore = NULL;
    struct err err = {0};
    struct buf text;
    (void)state;
    buf_init(&text, 1024 * 1024);
    for (int i = 0; i <= DOCKER_IGNORE_PATTERNS_MAX; i++)
        buf_adds(&text, "a\n");
    assert_int_equal(docker_ignore_new(&ignore, text.data, text.len, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(docker_ignore_new(&ignore, text.data, text.len - 2, &err), 0);
    docker_ignore_free(ignore);
    buf_reset(&text);
    for (int i = 0; i <= DOCKER_IGNORE_PATTERN_MAX; i++)
        buf_addc(&text, '*');
    assert_int_equal(docker_ignore_new(&ignore, text.data, text.len, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(docker_ignore_new(&ignore, text.data, text.len - 1, &err), 0);
    assert_true(docker_ignored(ignore, "a/b"));
    docker_ignore_free(ignore);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pattern_means_what_the_reference_says),
        cmocka_unit_test(what_is_no_pattern_is_refused_with_its_line),
        cmocka_unit_test(there_are_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
