#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "repo.h"

/* ---- updating ---- */

static void a_mirror_is_made_and_follows_its_remote(void **state)
{
    struct fixture *f = *state;
    const char *first = sh_line(f, "git rev-parse main");

    update(f, first);
    assert_ok(f);
    const char *second = sh_line(f, "git commit -q --allow-empty -m two; git rev-parse main");
    update(f, second);
    assert_ok(f);
    assert_string_equal(sh_line(f, "git --git-dir=%s rev-parse main", git_mirror_path(f->mirror)),
                        second);
}

static void a_commit_that_is_there_asks_nobody(void **state)
{
    struct fixture *f = *state;
    const char *first = sh_line(f, "git rev-parse main");

    update(f, first);
    sh(f, "mv ../remote ../gone");
    update(f, first);
    assert_ok(f);
    update(f, "");
    assert_err(f, ERR_NOT_FOUND);
}

static void a_commit_that_the_remote_lacks_is_not_found(void **state)
{
    struct fixture *f = *state;

    update(f, "0123456789abcdef0123456789abcdef01234567");
    assert_err(f, ERR_NOT_FOUND);
    assert_non_null(strstr(f->err.msg, "0123456789abcdef0123456789abcdef01234567"));
}

static void a_commit_that_no_branch_reaches_any_more_is_asked_for_by_name(void **state)
{
    struct fixture *f = *state;
    const char *lost = sh_line(
        f, "git commit -q --allow-empty -m lost; git rev-parse main; git reset -q --hard HEAD~1");

    update(f, lost);
    assert_ok(f);
    checkout(f, lost, "out");
    assert_ok(f);
}

static void branches_may_be_rewritten_deleted_and_turn_into_folders(void **state)
{
    struct fixture *f = *state;

    sh(f, "git branch a; git commit -q --allow-empty -m two");
    update(f, "");
    assert_ok(f);
    sh(f, "git branch -D -q a; git branch a/b; git reset -q --hard HEAD~1; git commit -q "
          "--allow-empty -m other");
    update(f, "");
    assert_ok(f);
    assert_string_equal(sh_line(f, "git --git-dir=%s rev-parse main", git_mirror_path(f->mirror)),
                        sh_line(f, "git rev-parse main"));
    assert_string_equal(
        sh_line(f, "git --git-dir=%s for-each-ref | wc -l", git_mirror_path(f->mirror)), "2");
}

static void count_update(const struct err *err, void *arg)
{
    struct fixture *f = arg;

    assert_null(err);
    f->ref_count++;
    f->answered = f->ref_count == 20;
}

static void many_requests_at_once_are_all_answered(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(f, "git rev-parse main");

    for (int i = 0; i < 20; i++)
        assert_int_equal(
            git_mirror_update(f->mirror, &f->remote, i % 2 ? head : NULL, count_update, f, NULL),
            0);
    wait_answer(f);
}

static void a_mirror_that_somebody_else_fetches_is_waited_for(void **state)
{
    struct fixture *f = *state;
    char *lock = mem_printf("%s.lock", git_mirror_path(f->mirror));

    update(f, "");
    const int fd = open(lock, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    f->remote.timeout_ms = 300;
    update(f, "");
    assert_err(f, ERR_TIMEOUT);
    f->remote.timeout_ms = 30000;
    assert_int_equal(git_mirror_update(f->mirror, &f->remote, "", on_update, f, NULL), 0);
    loop_run_for(f->loop, 200, NULL);
    assert_false(f->answered);
    close(fd);
    wait_answer(f);
    assert_ok(f);
    free(lock);
}

static void freeing_a_mirror_in_the_middle_tells_nobody(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(git_mirror_update(f->mirror, &f->remote, "", on_update, f, NULL), 0);
    loop_run_for(f->loop, 3, NULL);
    git_mirror_free(f->mirror);
    f->mirror = NULL;
    f->answered = false;
    loop_run_for(f->loop, 300, NULL);
    assert_false(f->answered);
}

/* ---- broken mirrors ---- */

static void a_mirror_without_its_head_is_made_again(void **state)
{
    struct fixture *f = *state;

    update(f, "");
    sh(f, "rm %s/HEAD", git_mirror_path(f->mirror));
    update(f, sh_line(f, "git rev-parse main"));
    assert_ok(f);
}

static void a_mirror_with_broken_objects_is_made_again(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(f, "git rev-parse main");

    update(f, head);
    sh(f, "find %s/objects -type f -exec sh -c 'chmod +w $1; : >$1' - {} \\;",
       git_mirror_path(f->mirror));
    git_mirror_free(f->mirror);
    f->mirror = git_mirror_new(f->loop, f->mirrors, f->url);
    sh(f, "git commit -q --allow-empty -m two");
    update(f, sh_line(f, "git rev-parse main"));
    assert_ok(f);
    checkout(f, head, "out");
    assert_ok(f);
}

static void a_checkout_that_finds_the_mirror_broken_heals_it(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(f, "git rev-parse main");
    const char *blob = sh_line(f, "git rev-parse main:file");

    update(f, head);
    sh(f, "rm -f %s/objects/%.2s/%s", git_mirror_path(f->mirror), blob, blob + 2);
    checkout(f, head, "out1");
    assert_err(f, ERR_UNAVAILABLE);
    update(f, head);
    assert_ok(f);
    checkout(f, head, "out2");
    assert_ok(f);
    assert_string_equal(sh_line(f, "cat ../out2/file"), "one");
}

/* ---- checkouts ---- */

static void a_checkout_is_what_git_itself_would_check_out(void **state)
{
    struct fixture *f = *state;

    sh(f, "mkdir -p d/e/f -- -dash; echo x >d/e/f/x; echo run >d/run; chmod +x d/run; ln -s "
          "../file d/link; ln -s /etc/passwd abs; : >empty; echo dash >./-n; echo dash >-dash/-x; "
          "echo sp >'a b\t\"c'; printf 'a\\nb' >d/nonl; printf 'a\\0b' >bin; head -c 300000 "
          "/dev/urandom >big; mkdir many; for i in $(seq 400); do echo $i >many/$i; done; git add "
          "-A; git commit -q -m all");
    const char *head = sh_line(f, "git rev-parse main");
    update(f, head);
    checkout(f, head, "out");
    assert_ok(f);
    sh(f, "mv .git ../saved; diff -r --no-dereference . ../out; cd ..; "
          "for d in remote out; do (cd $d; find . -printf '%%P %%m %%l\\n' | sort) >$d.list; done; "
          "diff remote.list out.list");
}

static void the_umask_does_not_change_a_checkout(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(f, "mkdir d; echo x >d/x; echo y >run; chmod +x run; git add -A; "
                                  "git commit -q -m x; git rev-parse main");
    const mode_t before = umask(077);

    update(f, head);
    checkout(f, head, "out");
    umask(before);
    assert_ok(f);
    assert_string_equal(sh_line(f, "stat -c %%a ../out/d ../out/d/x ../out/run | tr '\\n' ' '"),
                        "755 644 755 ");
}

static void no_attribute_filter_or_hook_is_looked_at(void **state)
{
    struct fixture *f = *state;

    sh(f, "printf '* text eol=crlf ident filter=evil export-ignore export-subst\\n' "
          ">.gitattributes; echo '$Id$ $Format:%%H$' >file; git add -A; git commit -q -m x");
    const char *head = sh_line(f, "git rev-parse main");
    update(f, head);
    sh(f,
       "cd %s; git config filter.evil.smudge 'touch /tmp/gantry-test-git-evil'; mkdir -p hooks; "
       "printf '#!/bin/sh\\ntouch %s/hooked\\n' >hooks/post-checkout; cp hooks/post-checkout "
       "hooks/reference-transaction; chmod +x hooks/*",
       git_mirror_path(f->mirror), f->dir);
    sh(f, "git commit -q --allow-empty -m y");
    update(f, "");
    checkout(f, head, "out");
    assert_ok(f);
    sh(f,
       "git cat-file blob %s:file | cmp - ../out/file; test ! -e ../hooked; test ! -e "
       "/tmp/gantry-test-git-evil",
       head);
}

static void a_submodule_is_an_empty_folder(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(
        f, "git update-index --add --cacheinfo 160000,$(git rev-parse main),lib; printf "
           "'[submodule \"lib\"]\\npath = lib\\nurl = ext::touch %%s/owned\\n' >.gitmodules; git "
           "add .gitmodules; git commit -q -m sub; git rev-parse main");

    update(f, head);
    checkout(f, head, "out");
    assert_ok(f);
    assert_string_equal(sh_line(f, "ls -A ../out/lib | wc -l"), "0");
}

/* Makes a commit of a tree that git's own porcelain would not make. `entries` are lines of `<mode>
 * <name>`; each file's content is "x", each folder holds one file "f". */
static const char *hostile(struct fixture *f, const char *entries)
{
    return sh_line(
        f,
        "blob=$(printf x | git hash-object -w --stdin); hex() { printf %%s \"$1\" | sed "
        "'s/../\\\\x&/g'; }; sub=$(printf '100644 blob %%s\\tf\\n' $blob | git mktree); "
        "printf '%s' | while read -r mode name; do id=$blob; [ $mode != 40000 ] || id=$sub; printf "
        "'%%s %%s\\0' $mode \"$name\"; /usr/bin/printf \"$(hex $id)\"; done >../tree; tree=$(git "
        "hash-object -t tree -w --literally ../tree); commit=$(git commit-tree -m evil $tree); git "
        "update-ref refs/heads/evil $commit; echo $commit",
        entries);
}

static void refused(struct fixture *f, const char *entries, const char *why)
{
    char dir[32];
    static unsigned number;
    const char *commit = hostile(f, entries);

    snprintf(dir, sizeof(dir), "evil%u", number++);
    update(f, commit);
    assert_ok(f);
    checkout(f, commit, dir);
    assert_err(f, ERR_INVALID);
    if (!strstr(f->err.msg, why))
        fail_msg("%s", f->err.msg);
}

static void a_tree_that_writes_elsewhere_is_refused(void **state)
{
    struct fixture *f = *state;

    refused(f, "40000 ..\\n", "'..'");
    refused(f, "100644 .\\n", "'.'");
    refused(f, "40000 .git\\n", ".git");
    refused(f, "40000 .GIT\\n", ".git");
    refused(f, "100644 a/b\\n", "valid name");
    refused(f, "120000 x\\n40000 x\\n", "twice");
    refused(f, "40000 x\\n120000 x\\n", "twice");
    refused(f, "100644 x\\n100644 x\\n", "twice");
    refused(f, "10644 odd\\n", "unknown mode");
    sh(f, "test ! -e ../f; test ! -e ../../f");
}

static void a_link_is_a_link_and_nothing_is_written_through_it(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(f,
                               "mkdir ../victim; ln -s %s/victim trap; git add -A; git commit "
                               "-q -m trap; git rev-parse main",
                               f->dir);

    update(f, head);
    checkout(f, head, "out");
    assert_ok(f);
    sh(f, "test -L ../out/trap; test \"$(ls ../victim | wc -l)\" = 0");
}

static void a_commit_that_is_not_in_the_mirror_is_not_found(void **state)
{
    struct fixture *f = *state;
    const char *blob = sh_line(f, "git rev-parse main:file");

    update(f, "");
    checkout(f, "0123456789abcdef0123456789abcdef01234567", "out");
    assert_err(f, ERR_NOT_FOUND);
    checkout(f, blob, "out");
    assert_err(f, ERR_INVALID);
}

static void a_sha256_repository_works(void **state)
{
    struct fixture *f = *state;

    sh(f,
       "rm -rf .git; git init -q -b main --object-format=sha256; mkdir d; echo two >d/x; git add "
       "-A; git commit -q -m sha");
    const char *head = sh_line(f, "git rev-parse main");
    assert_int_equal(strlen(head), 64);
    update(f, head);
    assert_ok(f);
    checkout(f, head, "out");
    assert_ok(f);
    assert_string_equal(sh_line(f, "cat ../out/d/x"), "two");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mirror_is_made_and_follows_its_remote),
        TEST(a_commit_that_is_there_asks_nobody),
        TEST(a_commit_that_the_remote_lacks_is_not_found),
        TEST(a_commit_that_no_branch_reaches_any_more_is_asked_for_by_name),
        TEST(branches_may_be_rewritten_deleted_and_turn_into_folders),
        TEST(many_requests_at_once_are_all_answered),
        TEST(a_mirror_that_somebody_else_fetches_is_waited_for),
        TEST(freeing_a_mirror_in_the_middle_tells_nobody),
        TEST(a_mirror_without_its_head_is_made_again),
        TEST(a_mirror_with_broken_objects_is_made_again),
        TEST(a_checkout_that_finds_the_mirror_broken_heals_it),
        TEST(a_checkout_is_what_git_itself_would_check_out),
        TEST(the_umask_does_not_change_a_checkout),
        TEST(no_attribute_filter_or_hook_is_looked_at),
        TEST(a_submodule_is_an_empty_folder),
        TEST(a_tree_that_writes_elsewhere_is_refused),
        TEST(a_link_is_a_link_and_nothing_is_written_through_it),
        TEST(a_commit_that_is_not_in_the_mirror_is_not_found),
        TEST(a_sha256_repository_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
