#include "repo.h"

#define SHA_OF_NOTHING "1111111111111111111111111111111111111111"

/* What `script` changes on top of the first commit, which is on main. */
static void change(struct fixture *f, const char *script)
{
    const char *before = sh_line(f, "git rev-parse HEAD");

    sh(f, "%s", script);
    const char *after = sh_line(f, "git rev-parse HEAD");
    update(f, after);
    assert_ok(f);
    paths(f, before, after);
}

static bool has(const struct fixture *f, const char *path)
{
    return strv_has(&f->paths.paths, path);
}

static void every_path_that_differs_is_named(void **state)
{
    struct fixture *f = *state;

    sh(f, "mkdir -p a/b; echo 1 >a/b/changed; echo 2 >a/gone; git add .; git commit -q -m two");
    change(f, "echo 3 >a/b/changed; git rm -q a/gone; mkdir new; echo 4 >new/made; git add .; git "
              "commit -q -m three");
    assert_true(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 3);
    assert_true(has(f, "a/b/changed") && has(f, "a/gone") && has(f, "new/made"));
}

static void a_renamed_file_is_there_under_both_names(void **state)
{
    struct fixture *f = *state;

    change(f, "git config diff.renames copies; git mv file moved; git commit -q -m two");
    assert_true(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 2);
    assert_true(has(f, "file") && has(f, "moved"));
}

static void what_was_changed_and_changed_back_is_not_named(void **state)
{
    struct fixture *f = *state;

    change(f, "echo 2 >file; git commit -q -am two; echo one >file; echo x >other; git add .; git "
              "commit -q -m three");
    assert_int_equal(f->paths.paths.count, 1);
    assert_true(has(f, "other"));
}

static void a_merge_is_seen_as_a_whole(void **state)
{
    struct fixture *f = *state;

    /* Of the side's three files one is thrown away by the merge itself, and one made. */
    change(f, "git checkout -q -b side; for i in 1 2 3; do echo $i >side$i; git add .; git commit "
              "-q -m $i; done; git checkout -q main; git merge -q --no-ff --no-commit side; git rm "
              "-qf side2; echo m >merged; git add .; git commit -q -m Merge");
    assert_true(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 3);
    assert_true(has(f, "side1") && has(f, "side3") && has(f, "merged"));
}

static void modes_links_and_submodules_count(void **state)
{
    struct fixture *f = *state;

    sh(f, "ln -s file link; git add .; git commit -q -m two");
    change(f, "chmod +x file; ln -sf other link; git add .; git update-index --add --cacheinfo "
              "160000," SHA_OF_NOTHING ",sub; git commit -q -m three");
    assert_true(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 3);
    assert_true(has(f, "file") && has(f, "link") && has(f, "sub"));
}

static void any_name_that_is_text_is_kept_as_it_is(void **state)
{
    struct fixture *f = *state;

    change(f,
           "touch -- 'new\nline' 'quo\"te' \"quo'te\" 'back\\slash' 'ta\tb' -dash 'größe 🚀' ' '; "
           "git add .; git commit -q -m two");
    assert_true(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 8);
    assert_true(has(f, "new\nline") && has(f, "quo\"te") && has(f, "quo'te"));
    assert_true(has(f, "back\\slash") && has(f, "ta\tb") && has(f, "-dash"));
    assert_true(has(f, "größe 🚀") && has(f, " "));
}

static void a_name_that_is_no_text_makes_the_list_incomplete(void **state)
{
    struct fixture *f = *state;

    change(f, "touch \"$(printf 'latin\\344')\" plain; git add .; git commit -q -m two");
    assert_false(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 1);
    assert_true(has(f, "plain"));
}

static void more_than_a_thousand_paths_are_cut(void **state)
{
    struct fixture *f = *state;

    change(f, "for i in $(seq 1000); do echo $i >f$i; done; git add .; git commit -q -m two");
    assert_true(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 1000);
    change(f, "for i in $(seq 3000); do echo x$i >f$i; done; git add .; git commit -q -m three");
    assert_false(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 1000);
}

static void more_than_64_kib_of_paths_are_cut(void **state)
{
    struct fixture *f = *state;
    size_t bytes = 0;

    change(f, "d=$(printf 'd%.0s' $(seq 200)); mkdir $d; for i in $(seq 600); do echo $i >$d/$i; "
              "done; git add .; git commit -q -m two");
    assert_false(f->paths.complete);
    for (size_t i = 0; i < f->paths.paths.count; i++) {
        assert_true(strlen(f->paths.paths.items[i]) > 200);
        bytes += strlen(f->paths.paths.items[i]) + 1;
    }
    assert_true(bytes <= 65536);
}

static void commits_without_a_common_past_are_compared_too(void **state)
{
    struct fixture *f = *state;

    change(f, "git checkout -q --orphan other; git mv file others; git commit -q -m other");
    assert_true(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 2);
}

static void a_commit_that_is_not_there_leaves_the_list_incomplete(void **state)
{
    struct fixture *f = *state;
    const char *head = sh_line(f, "git rev-parse HEAD");

    update(f, head);
    paths(f, SHA_OF_NOTHING, head);
    assert_false(f->paths.complete);
    assert_int_equal(f->paths.paths.count, 0);
    assert_int_equal(git_mirror_paths(f->mirror, "--output=x", head, NULL, NULL, &f->err), -1);
    assert_int_equal(git_mirror_paths(f->mirror, head, "", NULL, NULL, &f->err), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_path_that_differs_is_named),
        TEST(a_renamed_file_is_there_under_both_names),
        TEST(what_was_changed_and_changed_back_is_not_named),
        TEST(a_merge_is_seen_as_a_whole),
        TEST(modes_links_and_submodules_count),
        TEST(any_name_that_is_text_is_kept_as_it_is),
        TEST(a_name_that_is_no_text_makes_the_list_incomplete),
        TEST(more_than_a_thousand_paths_are_cut),
        TEST(more_than_64_kib_of_paths_are_cut),
        TEST(commits_without_a_common_past_are_compared_too),
        TEST(a_commit_that_is_not_there_leaves_the_list_incomplete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
