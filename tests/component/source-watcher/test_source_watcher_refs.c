/* Tags, pull requests and paths. */
#include <signal.h>

#include "scene.h"

#define TAGGED  "1111111111111111111111111111111111111111"
#define TAG     "2222222222222222222222222222222222222222"
#define REQUEST "3333333333333333333333333333333333333333"

static const Gantry__V1__SourceChanged *assert_report(size_t n, const char *ref, const char *before,
                                                      const char *after)
{
    const Gantry__V1__SourceChanged *change = wait_report(n);

    assert_string_equal(change->ref, ref);
    assert_string_equal(change->before, before);
    assert_string_equal(change->after, after);
    return change;
}

static bool has_path(const Gantry__V1__SourceChanged *change, const char *path)
{
    for (size_t i = 0; i < change->n_paths; i++) {
        if (str_eq(change->paths[i], path))
            return true;
    }
    return false;
}

static void restart(int signo)
{
    service_end(&service, signo);
    service_start(&service, true);
}

/* ---- tags ---- */

static void a_tag_that_appears_is_a_first_revision_of_its_commit(void **state)
{
    (void)state;
    const char *head = commit("One");
    apply_refs("branches: [main], tags: ['v*']", "1s");
    assert_report(1, "refs/heads/main", "", head);
    assert_int_equal(wait_look("v*"), 0);
    sh("git tag other; git tag light-1; GIT_COMMITTER_EMAIL=rel@example.com git tag -a -m 'Out' "
       "v1");
    const Gantry__V1__SourceChanged *change = assert_report(2, "refs/tags/v1", "", head);
    assert_false(change->forced || change->skip || change->paths_complete);
    assert_string_equal(change->message, "One");
    assert_true(change->people_complete);
    assert_int_equal(change->n_people, 1);
    sh("git tag v2");
    assert_report(3, "refs/tags/v2", "", head);
    assert_reports_stay(3);
}

static void tags_that_were_there_start_nothing_and_those_that_come_do(void **state)
{
    (void)state;
    const char *head = commit("One");
    sh("for i in $(seq 5); do git tag v$i; git tag x$i; done");
    apply_refs("tags: ['v*']", "1s");
    assert_int_equal(wait_look("v*"), 5);
    sh("git tag v6");
    assert_report(1, "refs/tags/v6", "", head);
    /* Nor after whatever ends the watcher. */
    restart(SIGKILL);
    assert_reports_stay(1);
    service_end(&service, SIGTERM);
    sh("git tag v7");
    service_start(&service, true);
    assert_report(2, "refs/tags/v7", "", head);
    assert_reports_stay(2);
}

static void the_first_tag_of_all_starts_a_release_even_if_the_watcher_was_away(void **state)
{
    (void)state;
    const char *head = commit("One");
    apply_refs("tags: ['v*']", "1s");
    assert_int_equal(wait_look("v*"), 0);
    service_end(&service, SIGKILL);
    sh("git tag v1");
    service_start(&service, true);
    assert_report(1, "refs/tags/v1", "", head);
}

static void a_glob_that_is_new_looks_for_itself(void **state)
{
    (void)state;
    const char *head = commit("One");
    sh("git tag v1; git tag w1");
    apply_refs("branches: [main]", "1s");
    wait_report(1);
    apply_refs("branches: [main], tags: ['v*']", "1s");
    assert_int_equal(wait_look("v*"), 1);
    apply_refs("branches: [main], tags: ['v*', '*']", "1s");
    assert_int_equal(wait_look("*"), 2);
    assert_reports_stay(1);
    sh("git tag w2");
    assert_report(2, "refs/tags/w2", "", head);
    assert_reports_stay(2);
}

static void a_tag_that_moves_is_forced(void **state)
{
    (void)state;
    const char *one = commit("One");
    sh("git tag -a -m x v1");
    apply_refs("tags: ['v*']", "1s");
    wait_look("v*");
    sh("GIT_AUTHOR_EMAIL=bob@example.com git commit -q --allow-empty -m Two; git tag -f -a -m y "
       "v1");
    const char *two = sh("git rev-parse HEAD");
    const Gantry__V1__SourceChanged *change = assert_report(1, "refs/tags/v1", one, two);
    /* Nobody was told of who made what was there. */
    assert_true(change->forced && change->people_complete && !change->skip);
    assert_true(has_person(change, "ann@example.com") && has_person(change, "bob@example.com"));
    sh("git tag -f v1 HEAD~1");
    assert_true(assert_report(2, "refs/tags/v1", two, one)->forced);
    sh("git tag -d v1");
    assert_reports_stay(2);
    sh("git tag v1 %s", two);
    assert_true(assert_report(3, "refs/tags/v1", one, two)->forced);
    assert_reports_stay(3);
}

static void a_tag_of_no_commit_is_passed_over(void **state)
{
    (void)state;
    commit("One");
    apply_refs("branches: [main], tags: ['**']", "1s");
    wait_report(1);
    wait_look("**");
    sh("echo text >file; git add .; git commit -q -m Two");
    wait_report(2);
    sh("git tag tree HEAD^{tree}; git tag blob HEAD:file; git tag -a -m x deep HEAD^{tree}");
    assert_reports_stay(2);
    assert_false(service_says(&service, "/readyz", url()));
    const char *head = sh("git tag deeper; git rev-parse HEAD");
    assert_report(3, "refs/tags/deeper", "", head);
}

static void ten_thousand_tags_are_noted_in_few_records(void **state)
{
    size_t records = 0;

    (void)state;
    const char *head = commit("One");
    sh("c=$(git rev-parse HEAD); for i in $(seq 10000); do echo $c refs/tags/v$i; done | sort -k2 "
       ">>.git/packed-refs");
    apply_refs("branches: [main], tags: ['v*']", "1s");
    assert_int_equal(wait_look("v*"), 10000);
    for (size_t i = 0; i < service.count; i++) {
        const Gantry__V1__SourceChanged *message = service.items[i].message;
        records += str_eq(message->pipeline, pipeline()) && message->look > 0;
    }
    assert_int_equal(records, 10);
    assert_report(1, "refs/heads/main", "", head);
    sh("git tag v10001");
    assert_report(2, "refs/tags/v10001", "", head);
    restart(SIGTERM);
    sh("git tag -f v5000 HEAD; git tag v10002");
    assert_report(3, "refs/tags/v10002", "", head);
    assert_reports_stay(3);
}

/* ---- pull requests ---- */

/* A commit by somebody that no branch has; its name. */
static const char *propose(const char *who, const char *onto, const char *ref)
{
    return sh("git checkout -q --detach %s; GIT_AUTHOR_EMAIL=%s@example.com git commit -q "
              "--allow-empty -m 'By %s'; git update-ref refs/%s HEAD; git rev-parse HEAD; git "
              "checkout -q main",
              onto, who, who, ref);
}

static void heads_of_pull_requests_are_followed_where_asked_for(void **state)
{
    (void)state;
    commit("One");
    propose("bob", "main", "pull/1/head");
    apply_refs("branches: [main]", "1s");
    wait_report(1);
    propose("bob", "main", "pull/2/head");
    assert_reports_stay(1);
    apply_refs("branches: [main], pull-requests: true", "1s");
    assert_int_equal(wait_look(""), 2);
    propose("bob", "main", "pull/3/merge");
    const char *third = propose("eve", "main", "pull/3/head");
    const Gantry__V1__SourceChanged *change = assert_report(2, "refs/pull/3/head", "", third);
    assert_true(change->people_complete && has_person(change, "eve@example.com"));
    assert_string_equal(change->message, "By eve");
    const char *merge = propose("dan", "main", "merge-requests/4/head");
    assert_report(3, "refs/merge-requests/4/head", "", merge);
    assert_reports_stay(3);
}

static void a_pull_request_that_was_there_counts_when_it_moves_with_all_its_people(void **state)
{
    (void)state;
    commit("One");
    const char *first = propose("bob", "main", "pull/1/head");
    apply_refs("branches: [main], pull-requests: true", "1s");
    wait_report(1);
    wait_look("");
    const char *second = propose("eve", "refs/pull/1/head", "pull/1/head");
    const Gantry__V1__SourceChanged *change = assert_report(2, "refs/pull/1/head", first, second);
    assert_false(change->forced || change->skip);
    assert_true(change->people_complete);
    assert_true(has_person(change, "bob@example.com") && has_person(change, "eve@example.com"));
    const char *rewritten = propose("dan", "main", "pull/1/head");
    change = assert_report(3, "refs/pull/1/head", second, rewritten);
    assert_true(change->forced && has_person(change, "dan@example.com"));
    sh("git update-ref -d refs/pull/1/head");
    assert_reports_stay(3);
}

/* ---- paths ---- */

static void what_a_change_touches_is_named_where_the_source_asks(void **state)
{
    (void)state;
    sh("mkdir docs src; echo 1 >docs/a; echo 1 >src/b; git add .; git commit -q -m One");
    apply_refs("branches: [main], paths: {exclude: ['docs/**']}", "1s");
    assert_false(wait_report(1)->paths_complete);
    assert_int_equal(wait_report(1)->n_paths, 0);
    sh("echo 2 >docs/a; git mv src/b src/c; git add .; git commit -q -m Two");
    const Gantry__V1__SourceChanged *change = wait_report(2);
    assert_true(change->paths_complete);
    assert_int_equal(change->n_paths, 3);
    assert_true(has_path(change, "docs/a") && has_path(change, "src/b") &&
                has_path(change, "src/c"));
    /* A merge is what it changes as a whole. */
    sh("git checkout -q -b side HEAD~1; echo 1 >docs/x; git add .; git commit -q -m x; git "
       "checkout "
       "-q main; echo 3 >src/c; git commit -q -am c; git merge -q --no-ff -m Merge side");
    change = wait_report(3);
    assert_true(change->paths_complete);
    assert_int_equal(change->n_paths, 2);
    assert_true(has_path(change, "docs/x") && has_path(change, "src/c"));
    /* Rewritten: what differs from the head before. */
    sh("git reset -q --hard HEAD~1; echo 4 >src/d; git add .; git commit -q -m d");
    change = wait_report(4);
    assert_true(change->forced && change->paths_complete);
    assert_true(has_path(change, "docs/x") && has_path(change, "src/d"));
    assert_int_equal(change->n_paths, 2);
}

static void without_a_filter_nobody_asks_for_paths(void **state)
{
    (void)state;
    commit("One");
    apply_refs("branches: [main]", "1s");
    wait_report(1);
    sh("echo 2 >file; git add .; git commit -q -m Two");
    assert_int_equal(wait_report(2)->n_paths, 0);
    assert_false(wait_report(2)->paths_complete);
}

static void names_and_numbers_of_paths_are_bounded(void **state)
{
    (void)state;
    commit("One");
    apply_refs("branches: [main], paths: ['src/**']", "1s");
    wait_report(1);
    sh("touch -- 'new\nline' 'quo\"te' '🚀' -dash; git add .; git commit -q -m Two");
    const Gantry__V1__SourceChanged *change = wait_report(2);
    assert_true(change->paths_complete);
    assert_int_equal(change->n_paths, 4);
    assert_true(has_path(change, "new\nline") && has_path(change, "quo\"te"));
    assert_true(has_path(change, "🚀") && has_path(change, "-dash"));
    sh("touch \"$(printf 'latin\\344')\"; git add .; git commit -q -m Three");
    assert_false(wait_report(3)->paths_complete);
    sh("for i in $(seq 3000); do echo $i >f$i; done; git add .; git commit -q -m Four");
    assert_false(wait_report(4)->paths_complete);
    assert_int_equal(wait_report(4)->n_paths, 1000);
    sh("echo 5 >f1; git commit -q -am Five");
    assert_true(wait_report(5)->paths_complete);
    assert_int_equal(wait_report(5)->n_paths, 1);
}

/* ---- webhooks ---- */

/* A push to main by GitHub, whose commit touches `files` (JSON: "added":[...]). */
static void push_files(const char *before, const char *after, const char *message,
                       const char *files)
{
    char *one =
        mem_printf("{\"id\":\"%s\",\"message\":\"%s\",\"author\":{\"email\":\"b@example.com\"},"
                   "\"committer\":{\"email\":\"b@example.com\"}%s%s}",
                   after, message, files[0] ? "," : "", files);
    char *body = payload(url(), "refs/heads/main", before, after, one);

    assert_int_equal(github(body).status, 202);
    free(one);
    free(body);
}

static void paths_of_a_payload_are_taken_at_once(void **state)
{
    (void)state;
    const char *before = commit("One");
    apply_refs("branches: [main], paths: ['src/**']", "0");
    wait_report(1);
    sh("mv ../repo%u ../gone%u", number, number);
    push_files(before, TAGGED, "Two",
               "\"added\":[\"src/new\\nline\"],\"removed\":[\"a\"],\"modified\":[\"b\",\"a\"]");
    const Gantry__V1__SourceChanged *change = wait_report(2);
    assert_string_equal(change->reported_by, "webhook");
    assert_true(change->paths_complete);
    assert_int_equal(change->n_paths, 3);
    assert_true(has_path(change, "src/new\nline") && has_path(change, "a") &&
                has_path(change, "b"));
}

static void paths_that_the_payload_may_not_name_are_asked_for(void **state)
{
    static const char *const cases[][2] = {
        {"Two", ""},
        {"Merge branch 'x'", "\"modified\":[\"docs/lie\"]"},
        {"Two", "\"added\":[],\"removed\":[],\"modified\":[]"},
        {"Two", "\"modified\":[\"\\\"docs/\\\\303\\\\244\\\"\"]"},
    };

    (void)state;
    const char *before = commit("One");
    apply_refs("branches: [main], paths: ['src/**']", "0");
    wait_report(1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sh("mkdir -p src; echo %zu >src/true; git add .; git commit -q -m '%s'", i, cases[i][0]);
        const char *after = sh("git rev-parse HEAD");
        push_files(before, after, cases[i][0], cases[i][1]);
        const Gantry__V1__SourceChanged *change = wait_report(i + 2);
        assert_true(change->paths_complete);
        assert_int_equal(change->n_paths, 1);
        assert_true(has_path(change, "src/true"));
        before = after;
    }
}

static void a_pushed_tag_is_reported_at_once_as_its_commit(void **state)
{
    (void)state;
    commit("One");
    apply_refs("tags: ['v*']", "0");
    wait_look("v*");
    sh("mv ../repo%u ../gone%u", number, number);
    char *head = payload_commit(TAGGED, "bob@example.com", "bob@example.com");
    char *body =
        mem_printf("{\"ref\":\"refs/tags/v1\",\"before\":\"" NO_COMMIT "\",\"after\":\"" TAG
                   "\",\"created\":true,\"forced\":false,\"base_ref\":"
                   "\"refs/heads/main\",\"commits\":[],\"head_commit\":%s,\"repository\":{"
                   "\"clone_url\":\"%s\"},\"pusher\":{\"name\":\"kim\"}}",
                   head, url());
    assert_int_equal(github(body).status, 202);
    const Gantry__V1__SourceChanged *change = assert_report(1, "refs/tags/v1", "", TAGGED);
    assert_true(change->people_complete && has_person(change, "bob@example.com"));
    assert_string_equal(change->pusher, "kim");
    free(head);
    free(body);
}

static void a_moved_tag_asks_the_remote_and_is_believed(void **state)
{
    (void)state;
    const char *one = commit("One");
    const char *two = commit("Two");
    sh("git tag v1");
    apply_refs("tags: ['v*']", "0");
    wait_look("v*");
    sh("git tag -f -a -m x v1 HEAD~1");
    const char *tag = sh("git rev-parse v1");
    char *body = payload(url(), "refs/tags/v1", two, tag, "");
    assert_int_equal(github(body).status, 202);
    assert_true(assert_report(1, "refs/tags/v1", two, one)->forced);
    assert_string_equal(wait_report(1)->reported_by, "webhook");
    assert_string_equal(wait_report(1)->pusher, "kim");
    free(body);
}

static void a_ref_that_a_webhook_tells_of_is_not_taken_for_an_old_one(void **state)
{
    char git[128];

    (void)state;
    const char *head = commit("One");
    sh("git tag v1; git tag v2");
    snprintf(git, sizeof(git), "%s", url());
    sh("mv ../repo%u ../gone%u", number, number);
    /* Nobody could look yet when the tag is pushed. */
    apply_refs("tags: ['v*']", "1s");
    service_run_for(&service, 1500);
    char *body = payload(git, "refs/tags/v2", NO_COMMIT, TAG, "");
    github(body);
    sh("cd ..; rmdir repo%u; mv gone%u repo%u", number, number, number);
    assert_report(1, "refs/tags/v2", "", head);
    assert_int_equal(wait_look("v*"), 1);
    assert_reports_stay(1);
    free(body);
}

static char *pull_request(const char *action, const char *head)
{
    return mem_printf(
        "{\"action\":\"%s\",\"number\":7,\"pull_request\":{\"number\":7,\"head\":{\"sha\":"
        "\"%s\"}},\"repository\":{\"clone_url\":\"%s\"},\"sender\":{\"login\":\"kim\"}}",
        action, head, url());
}

static void a_pull_request_is_found_when_its_forge_tells_of_it(void **state)
{
    static const char *const forges[][3] = {{"github", "opened", "synchronize"},
                                            {"gitea", "reopened", "synchronized"}};
    size_t n = 0;

    (void)state;
    commit("One");
    apply_refs("branches: [none], pull-requests: true", "0");
    wait_look("");
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 1; j < 3; j++) {
            const char *head = propose("eve", n ? "refs/pull/7/head" : "main", "pull/7/head");
            char *body = pull_request(forges[i][j], head);
            assert_int_equal(hook(forges[i][0], "pull_request", body).status, 202);
            const Gantry__V1__SourceChanged *change = wait_report(++n);
            assert_string_equal(change->ref, "refs/pull/7/head");
            assert_string_equal(change->after, head);
            assert_string_equal(change->pusher, "kim");
            assert_true(change->people_complete && has_person(change, "eve@example.com"));
            free(body);
        }
    }
}

static void a_merge_request_is_found_when_gitlab_tells_of_it(void **state)
{
    (void)state;
    commit("One");
    apply_refs("branches: [none], tags: ['v*'], pull-requests: true", "0");
    wait_look("");
    wait_look("v*");
    const char *head = propose("eve", "main", "merge-requests/3/head");
    for (size_t i = 0; i < 2; i++) {
        char *body = mem_printf(
            "{\"object_kind\":\"merge_request\",\"user\":{\"username\":\"kim\"},\"project\":{"
            "\"git_http_url\":\"%s\"},\"object_attributes\":{\"iid\":3,\"action\":\"update\",%s"
            "\"last_commit\":{\"id\":\"%s\"}}}",
            url(), i ? "\"oldrev\":\"" REQUEST "\"," : "", head);
        assert_int_equal(hook("gitlab", i ? "System Hook" : "Merge Request Hook", body).status,
                         i ? 202 : 200);
        free(body);
    }
    assert_report(1, "refs/merge-requests/3/head", "", head);
    assert_string_equal(wait_report(1)->pusher, "kim");
    sh("git tag -a -m x v1");
    char *body =
        mem_printf("{\"object_kind\":\"tag_push\",\"ref\":\"refs/tags/v1\",\"before\":\"" NO_COMMIT
                   "\",\"after\":\"%s\",\"checkout_sha\":\"%s\",\"commits\":[],\"user_username\":"
                   "\"kim\",\"project\":{\"git_http_url\":\"%s\"}}",
                   sh("git rev-parse v1"), sh("git rev-parse HEAD"), url());
    assert_int_equal(hook("gitlab", "Tag Push Hook", body).status, 202);
    assert_report(2, "refs/tags/v1", "", sh("git rev-parse HEAD"));
    free(body);
}

static void other_events_are_ignored(void **state)
{
    static const char *const events[] = {"create", "delete", "issues", "pull_request_review"};

    (void)state;
    commit("One");
    propose("eve", "main", "pull/7/head");
    apply_refs("branches: [main]", "0");
    wait_report(1);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        assert_int_equal(hook("github", events[i], "{\"ref\":\"v1\",\"ref_type\":\"tag\"}").status,
                         200);
    const char *const actions[] = {"closed", "labeled", "opened"};
    for (size_t i = 0; i < 3; i++) {
        char *body = pull_request(actions[i], REQUEST);
        const struct answer answer = hook("github", "pull_request", body);
        assert_int_equal(answer.status, 200);
        assert_non_null(strstr(answer.body, i < 2 ? "no new commits" : "no pipeline follows"));
        free(body);
    }
    assert_int_equal(hook("github", "pull_request", "{\"action\":\"opened\"}").status, 400);
    assert_reports_stay(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tag_that_appears_is_a_first_revision_of_its_commit),
        TEST(tags_that_were_there_start_nothing_and_those_that_come_do),
        TEST(the_first_tag_of_all_starts_a_release_even_if_the_watcher_was_away),
        TEST(a_glob_that_is_new_looks_for_itself),
        TEST(a_tag_that_moves_is_forced),
        TEST(a_tag_of_no_commit_is_passed_over),
        TEST(ten_thousand_tags_are_noted_in_few_records),
        TEST(heads_of_pull_requests_are_followed_where_asked_for),
        TEST(a_pull_request_that_was_there_counts_when_it_moves_with_all_its_people),
        TEST(what_a_change_touches_is_named_where_the_source_asks),
        TEST(without_a_filter_nobody_asks_for_paths),
        TEST(names_and_numbers_of_paths_are_bounded),
        TEST(paths_of_a_payload_are_taken_at_once),
        TEST(paths_that_the_payload_may_not_name_are_asked_for),
        TEST(a_pushed_tag_is_reported_at_once_as_its_commit),
        TEST(a_moved_tag_asks_the_remote_and_is_believed),
        TEST(a_ref_that_a_webhook_tells_of_is_not_taken_for_an_old_one),
        TEST(a_pull_request_is_found_when_its_forge_tells_of_it),
        TEST(a_merge_request_is_found_when_gitlab_tells_of_it),
        TEST(other_events_are_ignored),
    };
    int failed;

    if (!scene_begin())
        return 0;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    scene_end();
    return failed;
}
