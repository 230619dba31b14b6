#include "repo.h"

static void a_range_names_authors_and_committers_once(void **state)
{
    struct fixture *f = *state;
    const char *before = sh_line(f, "git rev-parse main");

    sh(f,
       "for i in 1 2; do echo $i >file; GIT_AUTHOR_EMAIL=Bob@Example.com git commit -q -am "
       "\"Change $i\"; done; echo 3 >file; GIT_COMMITTER_EMAIL=eve@example.com git commit -q -am "
       "'Last: über' -m 'And why.'");
    const char *after = sh_line(f, "git rev-parse main");
    update(f, after);
    range(f, before, after);
    assert_ok(f);
    assert_false(f->range.forced);
    assert_true(f->range.complete);
    assert_string_equal(f->range.subject, "Last: über");
    assert_string_equal(f->message, "Last: über\n\nAnd why.\n");
    assert_int_equal(f->range.people.count, 3);
    assert_true(strv_has(&f->range.people, "ann@example.com"));
    assert_true(strv_has(&f->range.people, "bob@example.com"));
    assert_true(strv_has(&f->range.people, "eve@example.com"));
}

static void a_merge_brings_everybody_of_its_branch(void **state)
{
    struct fixture *f = *state;
    const char *before = sh_line(f, "git rev-parse main");

    sh(f, "git checkout -q -b side; for i in $(seq 30); do GIT_AUTHOR_EMAIL=p$i@example.com git "
          "commit -q --allow-empty -m $i; done; git checkout -q main; git merge -q --no-ff side -m "
          "Merge");
    const char *after = sh_line(f, "git rev-parse main");
    update(f, after);
    range(f, before, after);
    assert_ok(f);
    assert_int_equal(f->range.people.count, 31);
    assert_true(f->range.complete);
    assert_false(f->range.forced);
}

static void a_first_revision_is_its_commit_alone(void **state)
{
    struct fixture *f = *state;

    sh(f, "GIT_AUTHOR_EMAIL=bob@example.com git commit -q --allow-empty -m Second");
    const char *after = sh_line(f, "git rev-parse main");
    update(f, after);
    range(f, "", after);
    assert_ok(f);
    assert_false(f->range.forced);
    assert_true(f->range.complete);
    assert_string_equal(f->range.subject, "Second");
    assert_int_equal(f->range.people.count, 2);
}

static void a_rewritten_branch_is_forced_and_names_the_new_authors(void **state)
{
    struct fixture *f = *state;
    const char *before = sh_line(f, "git commit -q --allow-empty -m Old; git rev-parse main");

    update(f, before);
    sh(f, "git reset -q --hard HEAD~1; GIT_AUTHOR_EMAIL=bob@example.com git commit -q "
          "--allow-empty -m New");
    const char *after = sh_line(f, "git rev-parse main");
    update(f, after);
    range(f, before, after);
    assert_ok(f);
    assert_true(f->range.forced);
    assert_true(f->range.complete);
    assert_string_equal(f->range.subject, "New");
    assert_true(strv_has(&f->range.people, "bob@example.com"));
}

static void going_back_is_forced_and_names_the_authors_of_what_it_goes_back_to(void **state)
{
    struct fixture *f = *state;
    const char *after = sh_line(f, "git rev-parse main");
    const char *before = sh_line(f, "git commit -q --allow-empty -m Newer; git rev-parse main");

    update(f, before);
    range(f, before, after);
    assert_ok(f);
    assert_true(f->range.forced);
    assert_true(f->range.complete);
    assert_string_equal(f->range.subject, "First: one");
    assert_int_equal(f->range.people.count, 1);
}

static void a_before_that_nobody_has_is_forced_and_incomplete(void **state)
{
    struct fixture *f = *state;
    const char *after = sh_line(f, "git rev-parse main");

    update(f, after);
    range(f, "0123456789abcdef0123456789abcdef01234567", after);
    assert_ok(f);
    assert_true(f->range.forced);
    assert_false(f->range.complete);
    assert_int_equal(f->range.people.count, 1);
}

static void an_after_that_nobody_has_is_an_error(void **state)
{
    struct fixture *f = *state;

    update(f, "");
    range(f, "", "0123456789abcdef0123456789abcdef01234567");
    assert_true(f->failed);
}

static void an_author_without_an_address_makes_the_list_incomplete(void **state)
{
    struct fixture *f = *state;
    const char *before = sh_line(f, "git rev-parse main");

    sh(f, "GIT_AUTHOR_EMAIL= git -c user.useConfigOnly=false commit -q --allow-empty -m anon");
    const char *after = sh_line(f, "git rev-parse main");
    update(f, after);
    range(f, before, after);
    assert_ok(f);
    assert_false(f->range.complete);
}

static void more_than_a_thousand_people_are_incomplete(void **state)
{
    struct fixture *f = *state;
    const char *before = sh_line(f, "git rev-parse main");

    sh(f,
       "{ for i in $(seq 1100); do printf 'commit refs/heads/main\\nauthor P <p%%d@example.com> "
       "0 +0000\\ncommitter A <ann@example.com> 0 +0000\\ndata 1\\nx\\n' $i; [ $i -gt 1 ] || "
       "printf 'from %s\\n'; done; } | git fast-import --quiet --force",
       before);
    const char *after = sh_line(f, "git rev-parse main");
    update(f, after);
    range(f, before, after);
    assert_ok(f);
    assert_false(f->range.complete);
    assert_int_equal(f->range.people.count, 1000);
}

static void a_subject_is_valid_utf8_and_bounded(void **state)
{
    struct fixture *f = *state;

    /* git's own commands would not write such a commit. */
    const char *after = sh_line(
        f,
        "{ git cat-file commit main | sed '/^$/q'; printf 'a\\377b\\001\\342\\200\\256 '; head -c "
        "2000 /dev/zero "
        "| "
        "tr '\\0' x; } >../m; c=$(git hash-object -t commit -w --literally ../m); git update-ref "
        "refs/heads/main $c; echo $c");
    update(f, after);
    range(f, "", after);
    assert_ok(f);
    assert_true(str_is_utf8(f->range.subject, strlen(f->range.subject)));
    assert_true(str_starts(f->range.subject, "a?b?? xxx"));
    assert_true(strlen(f->range.subject) < sizeof(f->range.subject));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_range_names_authors_and_committers_once),
        TEST(a_merge_brings_everybody_of_its_branch),
        TEST(a_first_revision_is_its_commit_alone),
        TEST(a_rewritten_branch_is_forced_and_names_the_new_authors),
        TEST(going_back_is_forced_and_names_the_authors_of_what_it_goes_back_to),
        TEST(a_before_that_nobody_has_is_forced_and_incomplete),
        TEST(an_after_that_nobody_has_is_an_error),
        TEST(an_author_without_an_address_makes_the_list_incomplete),
        TEST(more_than_a_thousand_people_are_incomplete),
        TEST(a_subject_is_valid_utf8_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
