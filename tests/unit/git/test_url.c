#include "git/git.h"
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
                                       "host:"};
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
        cmocka_unit_test(a_commit_is_named_in_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
