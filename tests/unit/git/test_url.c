#include "base/mem.h"
#include "git/git.h"
#include "git/url.h"
#include "tests/unit/unit.h"

static void the_usual_spellings_are_taken(void **state)
{
    static const char *const good[] = {"https://git.example/acme/shop.git",
                                       "HTTPS://Git.Example:8443/acme/shop",
                                       "http://127.0.0.1:3000/a/b",
                                       "https://ann@git.example/a/b",
                                       "ssh://git@git.example:2222/a/b.git",
                                       "git@git.example:acme/shop.git",
                                       "git://git.example/a",
                                       "http://[::1]:8080/a",
                                       "file:///srv/git/shop.git",
                                       "/srv/git/shop.git"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (git_url_check(good[i], &err) != 0)
            fail_msg("%s: %s", good[i], err.msg);
    }
}

static void what_could_run_or_leak_something_is_refused(void **state)
{
    static const char *const evil[] = {"",
                                       "--upload-pack=touch /tmp/x",
                                       "ext::sh -c date",
                                       "fd::3",
                                       "transport::https://x/y",
                                       "ssh://-oProxyCommand=date/x",
                                       "-oProxyCommand=date:x",
                                       "ssh://-u@host/x",
                                       "https://user:secret@git.example/a",
                                       "https://git.example/a b",
                                       "https://git.example/a\nb",
                                       "https://git.example",
                                       "https://git.example/",
                                       "https:///a",
                                       "file://host/a",
                                       "ftp://host/a",
                                       "relative/path",
                                       "host:",
                                       "git@host:/",
                                       "https://git.example//",
                                       "file:///",
                                       "/"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
        if (git_url_check(evil[i], &err) == 0)
            fail_msg("%s was taken", evil[i]);
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(strstr(err.msg, "secret@"));
    }
}

static void assert_identity(const char *url, const char *wanted)
{
    char *identity = git_url_identity(url);

    assert_non_null(identity);
    assert_string_equal(identity, wanted);
    free(identity);
}

static void urls_of_one_repository_have_one_identity(void **state)
{
    (void)state;
    assert_identity("https://git.example/acme/shop.git", "git.example/acme/shop");
    assert_identity("https://Git.Example:443/acme/shop/", "git.example/acme/shop");
    assert_identity("git@git.example:acme/shop.git", "git.example/acme/shop");
    assert_identity("ssh://git@git.example/acme/shop", "git.example/acme/shop");
    assert_identity("https://git.example/acme/Shop", "git.example/acme/Shop");
    assert_identity("http://127.0.0.1:3000/a/b", "127.0.0.1:3000/a/b");
    assert_identity("file:///srv/git/shop.git", "/srv/git/shop");
    assert_identity("/srv/git/shop.git", "/srv/git/shop");
    assert_null(git_url_identity("ext::date"));
}

static void assert_resolves(const char *parent, const char *url, const char *wanted)
{
    struct err err = {.code = ERR_NONE};
    char *got = git_url_resolve(parent, url, &err);

    if (wanted)
        assert_string_equal(got, wanted);
    else if (got || err.code != ERR_INVALID)
        fail_msg("'%s' in '%s' is '%s'", url, parent, got);
    free(got);
}

/* The results are those of `git submodule init` 2.39. */
static void a_relative_url_is_resolved_as_git_does(void **state)
{
    (void)state;
    assert_resolves("https://h/acme/shop.git", "../lib.git", "https://h/acme/lib.git");
    assert_resolves("https://h/acme/shop.git/", "../lib.git/", "https://h/acme/lib.git");
    assert_resolves("https://h:8443/acme/shop", "../../other/lib", "https://h:8443/other/lib");
    assert_resolves("https://h/acme/shop", "./lib", "https://h/acme/shop/lib");
    assert_resolves("https://h/acme/shop", "././../lib", "https://h/acme/lib");
    assert_resolves("git@h:acme/shop.git", "../lib", "git@h:acme/lib");
    assert_resolves("git@h:shop.git", "../lib", "git@h:lib");
    assert_resolves("ssh://git@h:22/acme/shop", "../lib", "ssh://git@h:22/acme/lib");
    assert_resolves("file:///srv/git/shop", "../lib", "file:///srv/git/lib");
    assert_resolves("/srv/git/shop", "../lib", "/srv/git/lib");
    assert_resolves("https://h/acme/shop", "git@other:lib.git", "git@other:lib.git");
    assert_resolves("https://h/acme/shop", "../../../lib", NULL);
    assert_resolves("https://h/acme/shop", "../../../other/lib", NULL);
    assert_resolves("https://h/acme/shop", "../../../../../../lib", NULL);
    assert_resolves("git@h:shop.git", "../../other:lib", NULL);
    assert_resolves("https://h/acme/shop", "lib", NULL);
    assert_resolves("https://h/acme/shop", "ext::sh -c x", NULL);
}

static void a_secret_is_for_one_protocol_host_and_port(void **state)
{
    (void)state;
    assert_true(git_url_same_server("https://h/a", "https://H:443/b"));
    assert_true(git_url_same_server("git@h:a", "ssh://root@h/b"));
    assert_false(git_url_same_server("https://h/a", "http://h/a"));
    assert_false(git_url_same_server("https://h/a", "https://h:444/a"));
    assert_false(git_url_same_server("https://h/a", "https://h.example/a"));
    assert_false(git_url_same_server("https://h/a", "ext::x"));
}

static void ssh_becomes_https_where_the_source_is_that_of_the_same_host(void **state)
{
    static const char *const cases[][3] = {
        {"https://h/acme/shop", "git@h:acme/lib.git", "https://h/acme/lib.git"},
        {"https://h:8443/a", "ssh://git@h:2222/acme/lib", "https://h:8443/acme/lib"},
        {"https://h/acme/shop", "git@other:lib", "git@other:lib"},
        {"http://h/acme/shop", "git@h:lib", "git@h:lib"},
        {"git@h:shop", "https://h/lib", "https://h/lib"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *got = git_url_like(cases[i][0], cases[i][1]);
        assert_string_equal(got, cases[i][2]);
        free(got);
    }
}

static void a_commit_is_named_in_full(void **state)
{
    (void)state;
    assert_true(git_commit_is_name("0123456789abcdef0123456789abcdef01234567"));
    assert_false(git_commit_is_name("0123456789abcdef0123456789abcdef0123456"));
    assert_false(git_commit_is_name("0123456789ABCDEF0123456789abcdef01234567"));
    assert_false(git_commit_is_name("main"));
    assert_false(git_commit_is_name(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_spellings_are_taken),
        cmocka_unit_test(what_could_run_or_leak_something_is_refused),
        cmocka_unit_test(urls_of_one_repository_have_one_identity),
        cmocka_unit_test(a_relative_url_is_resolved_as_git_does),
        cmocka_unit_test(a_secret_is_for_one_protocol_host_and_port),
        cmocka_unit_test(ssh_becomes_https_where_the_source_is_that_of_the_same_host),
        cmocka_unit_test(a_commit_is_named_in_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
