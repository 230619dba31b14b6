#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "repo.h"

static void branches_and_tags_are_listed_with_their_commits(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(f, "git rev-parse main");

    sh(f, "git branch feature/a; git tag light; git tag -a -m annotated v1; "
          "git update-ref refs/pull/1/head main");
    ls_remote(f);
    assert_ok(f);
    assert_int_equal(f->ref_count, 4);
    assert_string_equal(f->refs[0].name, "refs/heads/feature/a");
    assert_string_equal(f->refs[1].name, "refs/heads/main");
    assert_string_equal(f->refs[2].name, "refs/tags/light");
    assert_string_equal(f->refs[3].name, "refs/tags/v1");
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(f->refs[i].commit, head);
}

/* The names listed, in the order of the server. */
static void assert_names(struct fixture *f, unsigned kinds, const char *names)
{
    char *got = mem_strdup("");

    f->kinds = kinds;
    ls_remote(f);
    assert_ok(f);
    for (size_t i = 0; i < f->ref_count; i++) {
        char *longer = mem_printf("%s%s%s", got, i ? " " : "", f->refs[i].name);
        free(got);
        got = longer;
    }
    assert_string_equal(got, names);
    free(got);
}

static void only_the_kinds_asked_for_are_listed(void **state)
{
    struct fixture *f = *state;

    sh(f, "git branch refs/tags/b; git branch refs/pull/9/head; git tag -a -m 'one' v1; git tag "
          "x/refs/heads/y; for r in pull/1/head pull/1/merge pull/12/head merge-requests/3/head "
          "notes/commits changes/1; do git update-ref refs/$r main; done");
    assert_names(f, GIT_BRANCHES,
                 "refs/heads/main refs/heads/refs/pull/9/head refs/heads/refs/tags/b");
    assert_names(f, GIT_TAGS, "refs/tags/v1 refs/tags/x/refs/heads/y");
    assert_names(f, GIT_PULL_REQUESTS,
                 "refs/merge-requests/3/head refs/pull/1/head refs/pull/12/head");
    assert_names(f, GIT_BRANCHES | GIT_TAGS | GIT_PULL_REQUESTS,
                 "refs/heads/main refs/heads/refs/pull/9/head refs/heads/refs/tags/b "
                 "refs/merge-requests/3/head refs/pull/1/head refs/pull/12/head refs/tags/v1 "
                 "refs/tags/x/refs/heads/y");
}

static void an_annotated_tag_is_that_of_its_commit_beside_pull_requests_too(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(f, "git rev-parse main");

    sh(f, "git tag -a -m one v1; git tag -a -m two v2 v1; git update-ref refs/pull/1/head main");
    f->kinds = GIT_TAGS | GIT_PULL_REQUESTS;
    ls_remote(f);
    assert_ok(f);
    assert_int_equal(f->ref_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(f->refs[i].commit, head);
}

static void ten_thousand_tags_are_listed_and_more_than_20000_refs_refused(void **state)
{
    struct fixture *f = *state;

    sh(f,
       "c=$(git rev-parse main); for i in $(seq 10000); do echo $c refs/tags/v$i; done | sort -k2 "
       ">>.git/packed-refs");
    f->kinds = GIT_TAGS;
    ls_remote(f);
    assert_ok(f);
    assert_int_equal(f->ref_count, 10000);
    sh(f,
       "c=$(git rev-parse main); for i in $(seq 10001); do echo $c refs/pull/$i/head; done | sort "
       "-k2 >>.git/packed-refs");
    ls_remote(f);
    assert_ok(f);
    f->kinds = GIT_TAGS | GIT_PULL_REQUESTS;
    ls_remote(f);
    assert_err(f, ERR_LIMIT);
    assert_non_null(strstr(f->err.msg, "pull requests"));
}

static void an_empty_repository_has_no_refs(void **state)
{
    struct fixture *f = *state;

    sh(f, "git init -q ../empty");
    snprintf(f->url, sizeof(f->url), "file://%s/empty", f->dir);
    ls_remote(f);
    assert_ok(f);
    assert_int_equal(f->ref_count, 0);
}

static void a_missing_repository_is_not_found(void **state)
{
    struct fixture *f = *state;

    snprintf(f->url, sizeof(f->url), "file://%s/nowhere", f->dir);
    ls_remote(f);
    assert_err(f, ERR_NOT_FOUND);
    assert_non_null(strstr(f->err.msg, "nowhere"));
}

static void a_server_that_is_away_is_unavailable(void **state)
{
    struct fixture *f = *state;

    f->remote.url = "http://127.0.0.1:1/acme/shop.git";
    ls_remote(f);
    assert_err(f, ERR_UNAVAILABLE);
}

static int silent_server(int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void a_server_that_says_nothing_runs_out_of_time(void **state)
{
    struct fixture *f = *state;
    char url[128];
    int port;
    const int fd = silent_server(&port);

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/acme/shop.git", port);
    f->remote.url = url;
    f->remote.timeout_ms = 500;
    const int64_t began = clock_mono_ms();
    ls_remote(f);
    assert_err(f, ERR_TIMEOUT);
    assert_true(clock_mono_ms() - began < 10000);
    close(fd);
}

/* ---- logins ---- */

static void a_password_reaches_the_server(void **state)
{
    struct fixture *f = *state;
    struct server server;

    server_start(&server, f, "ann:pass:word", NULL);
    f->remote.secret = "ann:pass:word";
    f->remote.secret_len = strlen(f->remote.secret);
    ls_remote(f);
    assert_ok(f);
    assert_int_equal(f->ref_count, 1);
    git_mirror_free(f->mirror);
    f->mirror = git_mirror_new(f->loop, f->mirrors, server.url);
    update(f, f->refs[0].commit);
    assert_ok(f);
    server_stop(&server);
}

static void a_token_alone_is_a_password(void **state)
{
    struct fixture *f = *state;
    struct server server;

    server_start(&server, f, "x-access-token:t0ken", NULL);
    f->remote.secret = "t0ken";
    f->remote.secret_len = 5;
    ls_remote(f);
    assert_ok(f);
    server_stop(&server);
}

static void a_login_is_read_for_one_server(void **state)
{
    static const struct {
        const char *url, *secret, *server, *user, *password;
        enum err_code code;
    } logins[] = {
        {"https://Git.Example:8443/a/b.git", "ann:pass:word", "https://git.example:8443", "ann",
         "pass:word", ERR_NONE},
        {"http://bob@git.example/a", "t0ken", "http://git.example", "x-access-token", "t0ken",
         ERR_NONE},
        {"https://git.example/a", NULL, NULL, NULL, NULL, ERR_NOT_FOUND},
        {"file:///srv/a", "t0ken", NULL, NULL, NULL, ERR_NOT_FOUND},
        {"git@git.example:a", "t0ken", NULL, NULL, NULL, ERR_CONFLICT},
        {"https://git.example/a", "two\nlines", NULL, NULL, NULL, ERR_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(logins) / sizeof(*logins); i++) {
        const char *secret = logins[i].secret;
        const struct git_remote remote = {
            .url = logins[i].url, .secret = secret, .secret_len = secret ? strlen(secret) : 0};
        struct git_login login;
        struct err err = {0};
        assert_int_equal(git_login_read(&login, &remote, &err), logins[i].server ? 0 : -1);
        assert_int_equal(err.code, logins[i].code);
        if (logins[i].server) {
            assert_string_equal(login.server, logins[i].server);
            assert_string_equal(login.user, logins[i].user);
            assert_string_equal(login.password, logins[i].password);
        }
        git_login_release(&login);
    }
}

static void a_wrong_or_missing_password_is_denied_without_a_prompt(void **state)
{
    struct fixture *f = *state;
    struct server server;

    server_start(&server, f, "ann:right", NULL);
    ls_remote(f);
    assert_err(f, ERR_DENIED);
    f->remote.secret = "ann:wr0ngsecret";
    f->remote.secret_len = strlen(f->remote.secret);
    ls_remote(f);
    assert_err(f, ERR_DENIED);
    assert_null(strstr(f->err.msg, "wr0ngsecret"));
    server_stop(&server);
}

/* Puts a program in PATH's front that is called instead of `name`. */
static void shim(struct fixture *f, const char *name, const char *script)
{
    char *path = mem_printf("%s/bin", f->dir);
    char *file = mem_printf("%s/%s", path, name);
    char *text = mem_printf("#!/bin/sh\n%s\n", script);
    char *search = mem_printf("%s:%s", path, getenv("PATH"));

    assert_int_equal(file_mkdirs(path, 0755, NULL), 0);
    assert_int_equal(file_write(file, text, strlen(text), 0755, NULL), 0);
    setenv("PATH", search, 1);
    free(path);
    free(file);
    free(text);
    free(search);
}

static void a_secret_is_in_no_argument_and_no_variable(void **state)
{
    struct fixture *f = *state;
    struct server server;
    char *script =
        mem_printf("{ echo \"$@\"; env; } >>%s/seen\nPATH=${PATH#*:} exec git \"$@\"", f->dir);

    shim(f, "git", script);
    server_start(&server, f, "ann:s3cretvalue", NULL);
    f->remote.secret = "ann:s3cretvalue";
    f->remote.secret_len = strlen(f->remote.secret);
    ls_remote(f);
    assert_ok(f);
    assert_string_equal(sh_line(f, "grep -c s3cretvalue ../seen || true"), "0");
    assert_string_not_equal(sh_line(f, "grep -c ls-remote ../seen"), "0");
    server_stop(&server);
    free(script);
}

static void the_environment_of_the_service_stays_here(void **state)
{
    struct fixture *f = *state;
    char *script = mem_printf("env >>%s/seen\nPATH=${PATH#*:} exec git \"$@\"", f->dir);

    setenv("GANTRY_PRIVATE", "value", 1);
    setenv("GIT_DIR", "/somewhere/else", 1);
    shim(f, "git", script);
    ls_remote(f);
    unsetenv("GIT_DIR");
    unsetenv("GANTRY_PRIVATE");
    assert_ok(f);
    assert_string_equal(sh_line(f, "grep -cE 'GANTRY_PRIVATE|^GIT_DIR' ../seen || true"), "0");
    free(script);
}

static void ssh_gets_the_key_in_a_private_file_that_is_removed(void **state)
{
    struct fixture *f = *state;
    char *ssh_dir = mem_printf("%s/state/ssh", f->dir);
    char *script =
        mem_printf("echo \"$@\" >%s/args\n"
                   "key=$(echo \"$@\" | sed 's/.*IdentityFile=\"\\([^\"]*\\)\".*/\\1/')\n"
                   "stat -c %%a \"$key\" >%s/mode\ncp \"$key\" %s/key\n"
                   "for command; do :; done\n" /* the last argument */
                   "exec sh -c \"$command\"",
                   f->dir, f->dir, f->dir);
    char *url = mem_printf("git@forge.example:%s/remote", f->dir);

    shim(f, "ssh", script);
    f->remote.url = url;
    f->remote.secret = "-----BEGIN KEY-----\nabc\n-----END KEY-----";
    f->remote.secret_len = strlen(f->remote.secret);
    f->remote.ssh_dir = ssh_dir;
    ls_remote(f);
    assert_ok(f);
    assert_int_equal(f->ref_count, 1);
    assert_string_equal(sh_line(f, "cat ../mode"), "600");
    assert_string_equal(sh_line(f, "tail -1 ../key"), "-----END KEY-----");
    assert_string_equal(sh_line(f, "ls ../state/ssh | wc -l"), "0");
    assert_string_equal(sh_line(f, "grep -c BatchMode=yes ../args"), "1");
    free(ssh_dir);
    free(script);
    free(url);
}

static void where_ssh_fails_its_own_reason_is_told(void **state)
{
    struct fixture *f = *state;

    shim(f, "ssh", "printf '@@@@\\r\\nHost key verification failed.\\r\\n' >&2\nexit 255");
    f->remote.url = "git@forge.example:acme/shop";
    ls_remote(f);
    assert_err(f, ERR_DENIED);
    assert_non_null(strstr(f->err.msg, "failed: Host key verification failed"));
    assert_null(strchr(f->err.msg, '?'));
}

static void a_repository_of_another_owner_needs_trust(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0) {
        skip();
        return;
    }
    sh(f, "chown -R 12345 .");
    ls_remote(f);
    assert_err(f, ERR_DENIED);
    assert_non_null(strstr(f->err.msg, "another user"));
    f->remote.trust_owner = true;
    ls_remote(f);
    assert_ok(f);
    update(f, f->refs[0].commit);
    assert_ok(f);
}

static int save_path(void **state)
{
    static char saved[4096];

    if (!saved[0])
        snprintf(saved, sizeof(saved), "%s", getenv("PATH"));
    setenv("PATH", saved, 1);
    return setup(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, save_path, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(branches_and_tags_are_listed_with_their_commits),
        TEST(only_the_kinds_asked_for_are_listed),
        TEST(an_annotated_tag_is_that_of_its_commit_beside_pull_requests_too),
        TEST(ten_thousand_tags_are_listed_and_more_than_20000_refs_refused),
        TEST(an_empty_repository_has_no_refs),
        TEST(a_missing_repository_is_not_found),
        TEST(a_server_that_is_away_is_unavailable),
        TEST(a_server_that_says_nothing_runs_out_of_time),
        TEST(a_password_reaches_the_server),
        TEST(a_token_alone_is_a_password),
        TEST(a_wrong_or_missing_password_is_denied_without_a_prompt),
        TEST(a_login_is_read_for_one_server),
        TEST(a_secret_is_in_no_argument_and_no_variable),
        TEST(the_environment_of_the_service_stays_here),
        TEST(ssh_gets_the_key_in_a_private_file_that_is_removed),
        TEST(where_ssh_fails_its_own_reason_is_told),
        TEST(a_repository_of_another_owner_needs_trust),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
