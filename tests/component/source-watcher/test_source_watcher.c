#include <signal.h>
#include <unistd.h>

#include "scene.h"

/* A push of one commit by Bob (committed by Eve) to main, as GitHub tells it. */
static struct answer push(const char *before, const char *after)
{
    char *one = payload_commit(after, "Bob@Example.com", "eve@example.com");
    char *body = payload(url(), "refs/heads/main", before, after, one);
    const struct answer answer = github(body);

    free(one);
    free(body);
    return answer;
}

/* ---- polling ---- */

static void a_branch_seen_first_is_a_first_revision(void **state)
{
    struct event_meta meta;

    (void)state;
    const char *head = commit("First: one");
    apply(pipeline(), url(), "main", "1s");
    const Gantry__V1__SourceChanged *change = wait_report(1);
    report(pipeline(), 0, &meta);
    assert_string_equal(change->source, "app");
    assert_string_equal(change->git, url());
    assert_string_equal(change->ref, "refs/heads/main");
    assert_string_equal(change->before, "");
    assert_string_equal(change->after, head);
    assert_string_equal(change->message, "First: one");
    assert_string_equal(change->reported_by, "poll");
    assert_false(change->forced);
    assert_true(change->people_complete);
    assert_int_equal(change->n_people, 1);
    assert_string_equal(change->people[0], "ann@example.com");
    assert_string_equal(meta.source, "/gantry/source-watcher");
    assert_string_equal(meta.type, "gantry.source.changed.v1");
    assert_string_equal(meta.subject, pipeline());
    assert_int_equal(strlen(meta.traceparent), 55);
    char id[ID_SIZE];
    event_id_source(id, pipeline(), "app", "refs/heads/main", "", head, "");
    assert_string_equal(meta.id, id);
    assert_reports_stay(1);
}

static void what_was_pushed_later_follows_with_everybody_of_it(void **state)
{
    struct event_meta first, second;
    char id[ID_SIZE];

    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "1s");
    wait_report(1);
    sh("GIT_AUTHOR_EMAIL=bob@example.com git commit -q --allow-empty -m two; "
       "GIT_COMMITTER_EMAIL=eve@example.com git commit -q --allow-empty -m three");
    const char *after = sh("git rev-parse HEAD");
    const Gantry__V1__SourceChanged *change = wait_report(2);
    assert_string_equal(change->before, before);
    assert_string_equal(change->after, after);
    assert_false(change->forced);
    assert_int_equal(change->n_people, 3);
    assert_true(has_person(change, "bob@example.com"));
    assert_true(has_person(change, "eve@example.com"));
    report(pipeline(), 0, &first);
    report(pipeline(), 1, &second);
    event_id_source(id, pipeline(), "app", "refs/heads/main", before, after, first.id);
    assert_string_equal(second.id, id);
}

static void a_rewritten_branch_is_reported_as_forced(void **state)
{
    (void)state;
    commit("One");
    commit("Two");
    apply(pipeline(), url(), "main", "1s");
    wait_report(1);
    sh("git reset -q --hard HEAD~1");
    commit("Other");
    assert_true(wait_report(2)->forced);
    sh("git reset -q --hard HEAD~1");
    assert_true(wait_report(3)->forced);
    assert_string_equal(wait_report(3)->after, sh("git rev-parse HEAD"));
}

static void branches_are_chosen_by_their_globs(void **state)
{
    (void)state;
    commit("One");
    sh("git branch feature/a; git branch release-1; git branch other; git tag release-2");
    apply(pipeline(), url(), "\"feature/*\", \"release-*\"", "1s");
    wait_report(2);
    assert_reports_stay(2);
    for (size_t i = 0; i < 2; i++)
        assert_true(str_starts(report(pipeline(), i, NULL)->ref, "refs/heads/feature/") ||
                    str_eq(report(pipeline(), i, NULL)->ref, "refs/heads/release-1"));
}

static void a_commit_that_asks_not_to_be_built_is_reported_as_such(void **state)
{
    (void)state;
    commit("One");
    apply(pipeline(), url(), "main", "1s");
    assert_false(wait_report(1)->skip);
    sh("GIT_AUTHOR_EMAIL=bob@example.com git commit -q --allow-empty -m docs -m '[skip ci]'");
    const char *skipped = sh("git rev-parse HEAD");
    assert_true(wait_report(2)->skip);
    assert_true(has_person(wait_report(2), "bob@example.com"));
    const char *pushed = "4444444444444444444444444444444444444444";
    char *body =
        payload(url(), "refs/heads/main", skipped, pushed,
                "{\"id\":\"4444444444444444444444444444444444444444\",\"message\":\"x [ci "
                "skip]\",\"author\":{\"email\":\"b@example.com\"},\"committer\":{\"email\":"
                "\"b@example.com\"}}");
    assert_int_equal(github(body).status, 202);
    assert_true(wait_report(3)->skip);
    assert_string_equal(wait_report(3)->after, pushed);
    free(body);
}

static bool shows_failing(struct service *s, void *arg)
{
    return service_says(s, "/readyz", arg) &&
           service_http(s, "GET", "/readyz", "", NULL, 0).status == 200;
}

static bool shows_no_failing(struct service *s, void *arg)
{
    return !service_says(s, "/readyz", arg);
}

static bool has_one_report(struct service *s, void *arg)
{
    (void)s;
    return reports(arg) == 1;
}

static void a_remote_that_is_away_is_shown_and_others_go_on(void **state)
{
    char other[64], git[128], name[32];
    size_t one = 1;

    (void)state;
    commit("One");
    snprintf(other, sizeof(other), "away-%u", number);
    snprintf(name, sizeof(name), "nowhere%u", number);
    snprintf(git, sizeof(git), "file://%s/%s", service.dir, name);
    apply(other, git, "main", "1s");
    service_wait(&service, shows_failing, name, "the remote to be shown");
    apply(pipeline(), url(), "main", "1s");
    service_wait(&service, has_reports, &one, "the other's revision");
    sh("git init -q -b main ../%s; git -C ../%s commit -q --allow-empty -m there", name, name);
    service_wait(&service, shows_no_failing, name, "the remote to be well again");
    service_wait(&service, has_one_report, other, "its revision");
}

static void pipelines_of_one_remote_share_its_polls(void **state)
{
    char name[64];

    (void)state;
    commit("One");
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "shared-%u-%d", number, i);
        apply(name, url(), "main", "1h");
    }
    apply(pipeline(), url(), "main", "1s");
    wait_report(1);
    commit("Two");
    wait_report(2);
    service_run_for(&service, 500);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "shared-%u-%d", number, i);
        assert_int_equal(reports(name), 2);
    }
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "shared-%u-%d", number, i);
        service_put_definition(&service, "Pipeline", name, NULL);
    }
}

static void a_definition_decides_from_when_it_is_taken(void **state)
{
    (void)state;
    commit("One");
    sh("git branch next");
    apply(pipeline(), url(), "main", "1s");
    wait_report(1);
    apply(pipeline(), url(), "next", "1s");
    assert_string_equal(wait_report(2)->ref, "refs/heads/next");
    commit("Two");
    assert_reports_stay(2);
    service_put_definition(&service, "Pipeline", pipeline(), NULL);
    sh("git checkout -q next");
    commit("Three");
    assert_reports_stay(2);
}

/* ---- webhooks ---- */

static void a_push_on_the_known_head_is_reported_without_asking_the_remote(void **state)
{
    static const char after[] = "1111111111111111111111111111111111111111";

    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    sh("mv ../repo%u ../gone%u", number, number);
    const struct answer answer = push(before, after);
    assert_int_equal(answer.status, 202);
    const Gantry__V1__SourceChanged *change = wait_report(2);
    assert_string_equal(change->before, before);
    assert_string_equal(change->after, after);
    assert_string_equal(change->reported_by, "webhook");
    assert_string_equal(change->message, "Pushed: ü");
    assert_string_equal(change->pusher, "kim");
    assert_true(change->people_complete);
    assert_int_equal(change->n_people, 2);
    assert_true(has_person(change, "bob@example.com"));
    assert_true(has_person(change, "eve@example.com"));
}

static void one_revision_is_reported_once_however_often_it_is_told(void **state)
{
    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "1s");
    wait_report(1);
    const char *after = commit("Two");
    for (int i = 0; i < 3; i++)
        assert_int_equal(push(before, after).status, 202);
    wait_report(2);
    assert_reports_stay(2);
}

static void a_push_on_another_head_asks_the_remote(void **state)
{
    (void)state;
    const char *first = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    sh("GIT_AUTHOR_EMAIL=dan@example.com git commit -q --allow-empty -m unseen");
    const char *unseen = sh("git rev-parse HEAD");
    const char *head = commit("Head");
    assert_int_equal(push(unseen, head).status, 202);
    const Gantry__V1__SourceChanged *change = wait_report(2);
    assert_string_equal(change->before, first);
    assert_string_equal(change->after, head);
    assert_true(has_person(change, "dan@example.com"));
    assert_false(has_person(change, "bob@example.com"));
    assert_string_equal(change->pusher, "kim");
}

static void a_list_that_may_be_cut_is_completed_from_the_repository(void **state)
{
    struct buf list;
    char *one = payload_commit("2222222222222222222222222222222222222222", "bob@example.com",
                               "bob@example.com");

    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    sh("for i in $(seq 30); do GIT_AUTHOR_EMAIL=p$i@example.com git commit -q --allow-empty -m $i; "
       "done");
    const char *after = sh("git rev-parse HEAD");
    buf_init(&list, 65536);
    for (int i = 0; i < 19; i++)
        buf_addf(&list, "%s,", one);
    char *last = payload_commit(after, "p30@example.com", "ann@example.com");
    buf_adds(&list, last);
    char *body = payload(url(), "refs/heads/main", before, after, buf_cstr(&list));
    char *head = strstr(body, "\"head_commit\":");
    snprintf(head, strlen(head) + 1, "\"head_commit\":null}");
    assert_int_equal(github(body).status, 202);
    assert_int_equal(wait_report(2)->n_people, 31);
    assert_true(wait_report(2)->people_complete);
    free(one);
    free(last);
    free(body);
    buf_release(&list);
}

static void a_new_branch_is_a_first_revision_at_once(void **state)
{
    (void)state;
    commit("One");
    apply(pipeline(), url(), "\"feature/*\"", "0");
    service_run_for(&service, 500);
    char *one = payload_commit("3333333333333333333333333333333333333333", "bob@example.com",
                               "bob@example.com");
    char *body = payload(url(), "refs/heads/feature/x", NO_COMMIT,
                         "3333333333333333333333333333333333333333", one);
    assert_int_equal(github(body).status, 202);
    const Gantry__V1__SourceChanged *change = wait_report(1);
    assert_string_equal(change->before, "");
    assert_string_equal(change->ref, "refs/heads/feature/x");
    assert_true(change->people_complete);
    free(one);
    free(body);
}

static void a_forced_push_is_checked_in_the_repository(void **state)
{
    (void)state;
    commit("One");
    const char *before = commit("Two");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    sh("git reset -q --hard HEAD~1");
    const char *after = commit("Other");
    char *one = payload_commit(after, "bob@example.com", "bob@example.com");
    char *body = payload(url(), "refs/heads/main", before, after, one);
    char *forced = strstr(body, "\"forced\":false");
    memcpy(forced, "\"forced\":true ", 14);
    assert_int_equal(github(body).status, 202);
    assert_true(wait_report(2)->forced);
    assert_false(has_person(wait_report(2), "bob@example.com"));
    free(one);
    free(body);
}

static void nothing_else_than_a_push_to_a_followed_branch_starts_anything(void **state)
{
    char headers[256];

    (void)state;
    const char *head = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    char *one = payload_commit(head, "bob@example.com", "bob@example.com");
    char *cases[] = {
        payload(url(), "refs/heads/main", head, NO_COMMIT, ""),
        payload(url(), "refs/tags/v1", NO_COMMIT, head, one),
        payload(url(), "refs/heads/other", NO_COMMIT, head, one),
        payload("https://git.example/acme/other.git", "refs/heads/main", NO_COMMIT, head, one),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct answer answer = github(cases[i]);
        assert_int_equal(answer.status, 200);
        assert_non_null(strstr(answer.body, "ignored"));
        assert_non_null(strstr(answer.body, "reason"));
        free(cases[i]);
    }
    snprintf(headers, sizeof(headers),
             "Content-Type: application/json\r\nX-GitHub-Event: ping\r\nX-Hub-Signature-256: "
             "sha256=%s\r\n",
             signature(SECRET, "{}", 2));
    assert_int_equal(post("/hooks/github", headers, "{}").status, 200);
    assert_reports_stay(1);
    free(one);
}

static void assert_refused(const char *path, const char *headers, const char *body, int status)
{
    const struct answer answer = post(path, headers, body);

    if (answer.status != status)
        fail_msg("%s answered %d: %s", headers, answer.status, answer.body);
    assert_non_null(strstr(answer.body, "detail"));
    assert_non_null(strstr(answer.head, "application/problem+json"));
    assert_null(strstr(answer.body, SECRET));
}

static char *signed_headers(const char *secret, const char *type, const char *body)
{
    return mem_printf("Content-Type: %s\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: "
                      "sha256=%s\r\n",
                      type, signature(secret, body, strlen(body)));
}

static void a_webhook_that_is_not_right_is_refused_and_starts_nothing(void **state)
{
    (void)state;
    const char *head = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    char *one = payload_commit("5555555555555555555555555555555555555555", "b@example.com",
                               "b@example.com");
    char *good =
        payload(url(), "refs/heads/main", head, "5555555555555555555555555555555555555555", one);
    char *no_ref = payload(url(), "main", head, "5555555555555555555555555555555555555555", one);
    char *no_commit = payload(url(), "refs/heads/main", head, "--upload-pack=x", one);
    const struct {
        const char *headers; /* NULL: rightly signed */
        const char *type, *body;
        int status;
    } cases[] = {
        {"Content-Type: application/json\r\nX-GitHub-Event: push\r\n", NULL, good, 401},
        {"Content-Type: application/json\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: "
         "sha256=00\r\n",
         NULL, good, 401},
        {"Content-Type: application/json\r\nX-GitHub-Event: push\r\nX-Hub-Signature: sha1=00\r\n",
         NULL, good, 401},
        {NULL, "text/plain", good, 415},
        {NULL, "application/json", "{\"ref\":", 400},
        {NULL, "application/json", "[1]", 400},
        {NULL, "application/json", "{}", 400},
        {NULL, "application/json", "\xff\xfe", 400},
        {NULL, "application/json", no_ref, 400},
        {NULL, "application/json", no_commit, 400},
        {NULL, "application/x-www-form-urlencoded", "a=b", 400},
        {NULL, "application/x-www-form-urlencoded", "payload=%7B", 400},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *headers = cases[i].headers ? mem_strdup(cases[i].headers)
                                         : signed_headers(SECRET, cases[i].type, cases[i].body);
        assert_refused("/hooks/github", headers, cases[i].body, cases[i].status);
        free(headers);
    }
    char *wrong = signed_headers("another-secret", "application/json", good);
    assert_refused("/hooks/github", wrong, good, 401);
    /* Cut on its way: the signature is of the whole. */
    char *whole = signed_headers(SECRET, "application/json", good);
    good[strlen(good) - 20] = '\0';
    assert_refused("/hooks/github", whole, good, 401);
    assert_reports_stay(1);
    free(wrong);
    free(whole);
    free(one);
    free(good);
    free(no_ref);
    free(no_commit);
}

static void an_oversized_webhook_is_refused(void **state)
{
    const size_t len = 26 * 1024 * 1024;
    char *body = mem_alloc(len);

    (void)state;
    memset(body, ' ', len);
    const struct answer answer =
        service_http(&service, "POST", "/hooks/github",
                     "Content-Type: application/json\r\nX-GitHub-Event: push\r\n", body, len);
    assert_true(answer.status == 413 || answer.status == 0);
    free(body);
}

static void a_form_is_taken_as_well(void **state)
{
    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    char *one = payload_commit("6666666666666666666666666666666666666666", "b%2Bc@example.com",
                               "b@example.com");
    char *json =
        payload(url(), "refs/heads/main", before, "6666666666666666666666666666666666666666", one);
    char *body = mem_printf("x=1&payload=%s&y=2", json);
    for (char *p = body; *p; p++)
        *p = *p == ' ' ? '+' : *p;
    char *headers = signed_headers(SECRET, "application/x-www-form-urlencoded", body);
    assert_int_equal(post("/hooks/github", headers, body).status, 202);
    assert_true(has_person(wait_report(2), "b+c@example.com"));
    free(one);
    free(json);
    free(body);
    free(headers);
}

static void gitea_is_known_by_its_own_header_on_any_path(void **state)
{
    static const char *const commits[] = {"7777777777777777777777777777777777777777",
                                          "8888888888888888888888888888888888888888"};
    static const char *const paths[] = {"/hooks/github", "/hooks/gitea"};

    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    sh("mv ../repo%u ../gone%u", number, number);
    for (size_t i = 0; i < 2; i++) {
        char *body = mem_printf(
            "{\"ref\":\"refs/heads/main\",\"before\":\"%s\",\"after\":\"%s\",\"total_commits\":1,"
            "\"commits\":[{\"id\":\"%s\",\"message\":\"m\",\"author\":{\"email\":\"b@example.com\"}"
            ","
            "\"committer\":{\"email\":\"b@example.com\"}}],\"repository\":{\"clone_url\":\"%s\"},"
            "\"pusher\":{\"login\":\"lea\",\"username\":\"lea\"}}",
            before, commits[i], commits[i], url());
        const char *mac = signature(SECRET, body, strlen(body));
        char *headers = mem_printf("Content-Type: application/json\r\nX-Gitea-Event: push\r\n"
                                   "X-GitHub-Event: push\r\nX-Gitea-Signature: %s\r\n"
                                   "X-Hub-Signature-256: sha256=wrong\r\n",
                                   mac);
        assert_int_equal(post(paths[i], headers, body).status, 202);
        assert_string_equal(wait_report(i + 2)->pusher, "lea");
        before = commits[i];
        free(headers);
        free(body);
    }
}

static void gitlab_shows_its_token_or_signs(void **state)
{
    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    for (size_t i = 0; i < 2; i++) {
        sh("GIT_COMMITTER_EMAIL=eve@example.com git commit -q --allow-empty -m x");
        const char *after = sh("git rev-parse HEAD");
        char *body = mem_printf(
            "{\"object_kind\":\"push\",\"ref\":\"refs/heads/"
            "main\",\"before\":\"%s\",\"after\":\"%s\","
            "\"user_username\":\"lea\",\"total_commits_count\":1,\"commits\":[{\"id\":\"%s\","
            "\"message\":\"m\",\"author\":{\"email\":\"ann@example.com\"}}],\"project\":{"
            "\"git_http_url\":\"%s\"}}",
            before, after, after, url());
        const int64_t now_s = clock_now_ms() / 1000;
        char *text = mem_printf("msg_1.%lld.%s", (long long)now_s, body);
        uint8_t mac[SHA256_SIZE];
        hmac_sha256(SECRET, strlen(SECRET), text, strlen(text), mac);
        char *base64 = base64_encode(mac, sizeof(mac));
        char *headers =
            i == 0 ? mem_strdup("Content-Type: application/json\r\nX-Gitlab-Event: Push Hook\r\n"
                                "X-Gitlab-Token: " SECRET "\r\n")
                   : mem_printf("Content-Type: application/json\r\nX-Gitlab-Event: Push Hook\r\n"
                                "webhook-id: msg_1\r\nwebhook-timestamp: %lld\r\n"
                                "webhook-signature: v1,bm8= v1,%s\r\n",
                                (long long)now_s, base64);
        assert_int_equal(post("/hooks/gitlab", headers, body).status, 202);
        /* Its payload names no committers: they come from the repository. */
        assert_true(has_person(wait_report(i + 2), "eve@example.com"));
        assert_string_equal(wait_report(i + 2)->pusher, "lea");
        before = after;
        free(headers);
        free(base64);
        free(text);
        free(body);
    }
    assert_refused("/hooks/gitlab",
                   "Content-Type: application/json\r\nX-Gitlab-Event: Push Hook\r\n"
                   "X-Gitlab-Token: wrong\r\n",
                   "{}", 401);
    assert_refused("/hooks/gitlab",
                   "Content-Type: application/json\r\nX-Gitlab-Event: Push Hook\r\n", "{}", 401);
    assert_refused(
        "/hooks/gitlab",
        "Content-Type: application/json\r\nX-Gitlab-Event: Push Hook\r\nwebhook-id: a\r\n"
        "webhook-timestamp: 1\r\nwebhook-signature: v1,bm8=\r\n",
        "{}", 401);
}

static void a_delivery_that_comes_twice_is_dealt_with_once(void **state)
{
    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    const char *after = commit("Two");
    char *one = payload_commit(after, "bob@example.com", "bob@example.com");
    char *body = payload(url(), "refs/heads/main", before, after, one);
    char *signed_ = signed_headers(SECRET, "application/json", body);
    char *headers = mem_printf("%sX-GitHub-Delivery: d-%u\r\n", signed_, number);
    assert_int_equal(post("/hooks/github", headers, body).status, 202);
    const struct answer again = post("/hooks/github", headers, body);
    assert_int_equal(again.status, 200);
    assert_non_null(strstr(again.body, "before"));
    assert_reports_stay(2);
    free(one);
    free(body);
    free(signed_);
    free(headers);
}

static void a_secret_speaks_for_its_own_repositories_alone(void **state)
{
    (void)state;
    const char *before = commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    char *one = payload_commit("9999999999999999999999999999999999999999", "b@example.com",
                               "b@example.com");
    char *body =
        payload(url(), "refs/heads/main", before, "9999999999999999999999999999999999999999", one);
    char *headers = signed_headers("secret-of-others", "application/json", body);
    const struct answer answer = post("/hooks/github", headers, body);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "ignored"));
    assert_reports_stay(1);
    free(one);
    free(body);
    free(headers);
}

/* ---- starting and ending ---- */

static void a_restart_knows_the_heads_and_finds_what_came_meanwhile(void **state)
{
    (void)state;
    commit("One");
    apply(pipeline(), url(), "main", "0");
    wait_report(1);
    assert_int_equal(service_end(&service, SIGTERM), 0);
    service_start(&service, true);
    assert_reports_stay(1);
    assert_int_equal(service_end(&service, SIGKILL), -SIGKILL);
    /* Webhooks only, and its webhook met nobody. */
    const char *after = commit("Two");
    service_start(&service, true);
    assert_string_equal(wait_report(2)->after, after);
    assert_reports_stay(2);
}

static void without_kafka_a_webhook_is_told_to_come_again(void **state)
{
    char *kafka = service.kafka;

    (void)state;
    assert_int_equal(service_end(&service, SIGTERM), 0);
    service.kafka = (char *)"127.0.0.1:1";
    service_start(&service, false);
    assert_int_equal(service_http(&service, "GET", "/readyz", "", NULL, 0).status, 503);
    const struct answer answer = push(NO_COMMIT, "1111111111111111111111111111111111111111");
    assert_int_equal(answer.status, 503);
    assert_non_null(strcasestr(answer.head, "Retry-After:"));
    assert_int_equal(service_end(&service, SIGTERM), 0);
    service.kafka = kafka;
    service_start(&service, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_branch_seen_first_is_a_first_revision),
        TEST(what_was_pushed_later_follows_with_everybody_of_it),
        TEST(a_rewritten_branch_is_reported_as_forced),
        TEST(branches_are_chosen_by_their_globs),
        TEST(a_commit_that_asks_not_to_be_built_is_reported_as_such),
        TEST(a_remote_that_is_away_is_shown_and_others_go_on),
        TEST(pipelines_of_one_remote_share_its_polls),
        TEST(a_definition_decides_from_when_it_is_taken),
        TEST(a_push_on_the_known_head_is_reported_without_asking_the_remote),
        TEST(one_revision_is_reported_once_however_often_it_is_told),
        TEST(a_push_on_another_head_asks_the_remote),
        TEST(a_list_that_may_be_cut_is_completed_from_the_repository),
        TEST(a_new_branch_is_a_first_revision_at_once),
        TEST(a_forced_push_is_checked_in_the_repository),
        TEST(nothing_else_than_a_push_to_a_followed_branch_starts_anything),
        TEST(a_webhook_that_is_not_right_is_refused_and_starts_nothing),
        TEST(an_oversized_webhook_is_refused),
        TEST(a_form_is_taken_as_well),
        TEST(gitea_is_known_by_its_own_header_on_any_path),
        TEST(gitlab_shows_its_token_or_signs),
        TEST(a_delivery_that_comes_twice_is_dealt_with_once),
        TEST(a_secret_speaks_for_its_own_repositories_alone),
        TEST(a_restart_knows_the_heads_and_finds_what_came_meanwhile),
        TEST(without_kafka_a_webhook_is_told_to_come_again),
    };
    int failed;

    if (!scene_begin())
        return 0;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    scene_end();
    return failed;
}
