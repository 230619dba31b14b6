#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "gantry/v1/source.pb-c.h"
#include "services/source-watcher/deliveries.h"
#include "services/source-watcher/heads.h"
#include "services/source-watcher/push.h"
#include "services/source-watcher/refresh.h"
#include "services/source-watcher/report.h"
#include "services/source-watcher/signature.h"
#include "tests/unit/unit.h"

#define A            "1111111111111111111111111111111111111111"
#define B            "2222222222222222222222222222222222222222"
#define C            "3333333333333333333333333333333333333333"
#define PEOPLE(a, c) "\"author\":{\"email\":\"" a "\"},\"committer\":{\"email\":\"" c "\"}"
#define COMMIT(id)   "{\"id\":\"" id "\",\"message\":\"m\"," PEOPLE("a@x", "c@x") "}"
#define PUSH(before, after, rest)                                                                  \
    "{\"ref\":\"refs/heads/main\",\"before\":\"" before "\",\"after\":\"" after                    \
    "\",\"repository\":{\"clone_url\":\"https://git.example/a/b.git\"}" rest "}"

static struct push push;

static void parse_as(enum forge forge, enum push_kind kind, const char *json)
{
    struct err err;

    push_release(&push);
    if (push_parse(&push, forge, kind, json, strlen(json), &err) != 0)
        fail_msg("%s: %s", err.msg, json);
}

static void parse(enum forge forge, const char *json)
{
    parse_as(forge, PUSH_REF, json);
}

/* ---- payloads ---- */

static void a_list_is_whole_only_where_its_forge_says_so(void **state)
{
    static const struct {
        enum forge forge;
        bool whole;
        const char *json;
    } cases[] = {
        {FORGE_GITHUB, true, PUSH(A, B, ",\"commits\":[" COMMIT(C) "," COMMIT(B) "]")},
        {FORGE_GITHUB, false, PUSH(A, B, ",\"commits\":[]")},
        {FORGE_GITHUB, false, PUSH(A, B, "")},
        {FORGE_GITHUB, false, PUSH(A, B, ",\"commits\":[" COMMIT(C) "]")},
        {FORGE_GITHUB, false, PUSH(A, B, ",\"forced\":true,\"commits\":[" COMMIT(B) "]")},
        {FORGE_GITHUB, false,
         PUSH(A, B, ",\"commits\":[{\"id\":\"" B "\",\"author\":{\"email\":\"a@x\"}}]")},
        {FORGE_GITHUB, false,
         PUSH(A, B, ",\"commits\":[{\"id\":\"" B "\"," PEOPLE("a@x", " ") "}]")},
        {FORGE_GITHUB, true,
         PUSH("0000000000000000000000000000000000000000", B,
              ",\"commits\":[],\"head_commit\":" COMMIT(B))},
        {FORGE_GITHUB, false,
         PUSH("0000000000000000000000000000000000000000", B,
              ",\"commits\":[],\"head_commit\":" COMMIT(C))},
        {FORGE_GITEA, true, PUSH(A, B, ",\"total_commits\":1,\"commits\":[" COMMIT(B) "]")},
        {FORGE_GITEA, false, PUSH(A, B, ",\"total_commits\":6,\"commits\":[" COMMIT(B) "]")},
        {FORGE_GITEA, false, PUSH(A, B, ",\"commits\":[" COMMIT(B) "]")},
        {FORGE_GITLAB, false, PUSH(A, B, ",\"total_commits_count\":1,\"commits\":[" COMMIT(B) "]")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse(cases[i].forge, cases[i].json);
        if (push.people_complete != cases[i].whole)
            fail_msg("%s", cases[i].json);
    }
}

static void people_are_lower_case_and_named_once(void **state)
{
    (void)state;
    parse(FORGE_GITHUB,
          PUSH(A, B, ",\"commits\":[{\"id\":\"" B "\"," PEOPLE("Ann@X ", "ann@x") "}]"));
    assert_int_equal(push.people.count, 1);
    assert_string_equal(push.people.items[0], "ann@x");
}

static void a_deleted_branch_has_no_after(void **state)
{
    (void)state;
    parse(FORGE_GITHUB, PUSH(A, "0000000000000000000000000000000000000000", ""));
    assert_string_equal(push.after, "");
    parse(FORGE_GITHUB, PUSH(A, B, ",\"deleted\":true"));
    assert_string_equal(push.after, "");
}

static void every_url_of_the_repository_is_taken(void **state)
{
    (void)state;
    parse(
        FORGE_GITLAB,
        "{\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B "\",\"project\":{"
        "\"git_ssh_url\":\"git@ssh.example:a/b.git\",\"git_http_url\":\"https://web.example/a/b\","
        "\"web_url\":\"https://web.example/a/b\",\"url\":\"ext::date\"}}");
    assert_int_equal(push.identities.count, 2);
    assert_true(strv_has(&push.identities, "ssh.example/a/b"));
    assert_true(strv_has(&push.identities, "web.example/a/b"));
}

static void a_long_subject_is_cut_between_characters(void **state)
{
    struct buf json;

    (void)state;
    buf_init(&json, 65536);
    buf_adds(&json,
             "{\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B
             "\",\"repository\":{\"url\":\"https://git.example/a/b\"},\"commits\":[{\"id\":\"" B
             "\",\"message\":\"");
    for (int i = 0; i < 400; i++)
        buf_adds(&json, "ü");
    buf_adds(&json, "\\nmore [skip ci]\"}]}");
    parse(FORGE_GITHUB, buf_cstr(&json));
    assert_int_equal(strlen(push.subject), 510);
    assert_true(str_is_utf8(push.subject, strlen(push.subject)));
    assert_true(message_says_skip(push.message));
    buf_release(&json);
}

static void what_could_steer_a_terminal_is_taken_out_of_what_is_shown(void **state)
{
    (void)state;
    parse(FORGE_GITHUB,
          "{\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B
          "\",\"repository\":{\"url\":\"https://git.example/a/"
          "b\"},\"pusher\":{\"name\":\"k\\u001bim\"},"
          "\"commits\":[{\"id\":\"" B "\",\"message\":\"\\u001b[2Ja \\u202eb\\nc\"}]}");
    assert_string_equal(push.subject, "?[2Ja ?b");
    assert_string_equal(push.pusher, "k?im");
}

#define TOUCHING(id, files)                                                                        \
    "{\"id\":\"" id "\",\"message\":\"m\"," PEOPLE("a@x", "c@x") "," files "}"

static void paths_are_whole_only_if_every_commit_names_its_own(void **state)
{
    static const struct {
        bool whole;
        size_t count;
        const char *commits;
    } cases[] = {
        {true, 3,
         TOUCHING(C, "\"added\":[\"a\"],\"modified\":[\"b\"]") "," TOUCHING(
             B, "\"removed\":[\"a\",\"ü\"],\"added\":null")},
        {false, 1, TOUCHING(C, "\"added\":[\"a\"]") "," COMMIT(B)},
        {false, 0, TOUCHING(B, "\"added\":[]")},
        {false, 0, TOUCHING(B, "\"added\":[3]")},
        {false, 0, TOUCHING(B, "\"added\":[\"\"]")},
        {false, 0, TOUCHING(B, "\"added\":{\"a\":\"b\"}")},
        {false, 0, TOUCHING(B, "\"added\":[\"\\\"\\\\303\\\\244\\\"\"]")},
        {false, 0, TOUCHING(B, "\"added\":[\"latin\\ufffd\"]")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *json = mem_printf(PUSH(A, B, ",\"commits\":[%s]"), cases[i].commits);
        parse(FORGE_GITHUB, json);
        assert_true(push.people_complete);
        if (push.paths_complete != cases[i].whole || push.paths.count != cases[i].count)
            fail_msg("%s", json);
        free(json);
    }
    /* Nobody may have made the list of a push whose commits are not all there. */
    parse(FORGE_GITLAB, PUSH(A, B, ",\"commits\":[" TOUCHING(B, "\"added\":[\"a\"]") "]"));
    assert_false(push.paths_complete);
    assert_int_equal(push.paths.count, 0);
}

static void paths_of_a_payload_are_bounded(void **state)
{
    static const struct {
        const char *format;
        size_t names, kept;
        bool whole;
    } cases[] = {{"f%zu", 1000, 1000, true},
                 {"f%zu", 1001, 1000, false},
                 {"a-long-name-of-100-bytes-0123456789-0123456789-0123456789-0123456789-0123456789-"
                  "0123456789-01234%04zu",
                  800, 648, false}};
    struct buf json;

    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        buf_init(&json, 256 * 1024);
        buf_adds(&json,
                 "{\"ref\":\"refs/heads/main\",\"before\":\"" A "\",\"after\":\"" B
                 "\",\"repository\":{\"url\":\"https://git.example/a/b\"},\"commits\":[{\"id\":\"" B
                 "\",\"message\":\"m\"," PEOPLE("a@x", "c@x") ",\"added\":[");
        for (size_t i = 0; i < cases[c].names; i++) {
            char name[128];
            snprintf(name, sizeof(name), cases[c].format, i);
            buf_addf(&json, "%s\"%s\"", i ? "," : "", name);
        }
        buf_adds(&json, "]}]}");
        parse(FORGE_GITHUB, buf_cstr(&json));
        assert_int_equal(push.paths.count, cases[c].kept);
        assert_true(push.paths_complete == cases[c].whole);
        buf_release(&json);
    }
}

#define TAG_PUSH(before, after, rest)                                                              \
    "{\"ref\":\"refs/tags/v1\",\"before\":\"" before "\",\"after\":\"" after                       \
    "\",\"repository\":{\"clone_url\":\"https://git.example/a/b.git\"}" rest "}"
#define NONE "0000000000000000000000000000000000000000"

static void a_tag_is_its_commit_where_the_payload_names_it(void **state)
{
    (void)state;
    parse(FORGE_GITHUB, TAG_PUSH(NONE, A, ",\"commits\":[],\"head_commit\":" COMMIT(B)));
    assert_string_equal(push.after, B);
    assert_true(push.people_complete);
    assert_false(push.paths_complete);
    parse(FORGE_GITLAB, TAG_PUSH(NONE, A, ",\"checkout_sha\":\"" C "\""));
    assert_string_equal(push.after, C);
    assert_false(push.people_complete);
    parse(FORGE_GITEA, TAG_PUSH(NONE, A, ",\"head_commit\":null,\"total_commits\":0"));
    assert_string_equal(push.after, A);
    assert_false(push.people_complete);
    parse(FORGE_GITHUB, TAG_PUSH(C, A, ",\"commits\":[" COMMIT(B) "],\"head_commit\":" COMMIT(B)));
    assert_false(push.people_complete);
    parse(FORGE_GITHUB, TAG_PUSH(A, NONE, ",\"head_commit\":" COMMIT(B)));
    assert_non_null(push.nothing);
}

#define REPOSITORY "\"repository\":{\"clone_url\":\"https://git.example/a/b.git\"}"

static void a_pull_request_is_news_when_its_head_is(void **state)
{
    static const struct {
        enum forge forge;
        const char *ref; /* NULL: it has nothing new */
        const char *json;
    } cases[] = {
        {FORGE_GITHUB, "refs/pull/7/head",
         "{\"action\":\"opened\",\"number\":7,\"pull_request\":{\"head\":{\"sha\":\"" A
         "\"}}," REPOSITORY "}"},
        {FORGE_GITHUB, "refs/pull/8/head",
         "{\"action\":\"synchronize\",\"number\":8,\"pull_request\":{\"head\":{\"sha\":\"" A
         "\"}}," REPOSITORY "}"},
        {FORGE_GITEA, "refs/pull/9/head",
         "{\"action\":\"synchronized\",\"number\":9,\"pull_request\":{\"head\":{\"sha\":\"" A
         "\"}}," REPOSITORY "}"},
        {FORGE_GITHUB, NULL,
         "{\"action\":\"closed\",\"number\":8,\"pull_request\":{\"head\":{\"sha\":\"" A
         "\"}}," REPOSITORY "}"},
        {FORGE_GITLAB, "refs/merge-requests/3/head",
         "{\"object_attributes\":{\"iid\":3,\"action\":\"open\",\"last_commit\":{\"id\":\"" A
         "\"}}," REPOSITORY "}"},
        {FORGE_GITLAB, "refs/merge-requests/3/head",
         "{\"object_attributes\":{\"iid\":3,\"action\":\"update\",\"oldrev\":\"" B
         "\",\"last_commit\":{\"id\":\"" A "\"}}," REPOSITORY "}"},
        {FORGE_GITLAB, NULL,
         "{\"object_attributes\":{\"iid\":3,\"action\":\"update\",\"last_commit\":{\"id\":\"" A
         "\"}}," REPOSITORY "}"},
    };
    static const char *const bad[] = {
        "{" REPOSITORY "}",
        "{\"action\":\"opened\",\"number\":7,\"pull_request\":{\"head\":{\"sha\":\"" A "\"}}}",
        "{\"action\":\"opened\",\"number\":-1,\"pull_request\":{\"head\":{\"sha\":\"" A
        "\"}}," REPOSITORY "}",
        "{\"action\":\"opened\",\"number\":7,\"pull_request\":{\"head\":{\"sha\":\"--x\"}}"
        "," REPOSITORY "}",
        "{\"action\":\"opened\",\"number\":7,\"pull_request\":{\"head\":{\"sha\":\"" NONE
        "\"}}," REPOSITORY "}",
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        parse_as(cases[i].forge, PUSH_PULL_REQUEST, cases[i].json);
        if (!cases[i].ref != (push.nothing != NULL))
            fail_msg("%s", cases[i].json);
        if (!cases[i].ref)
            continue;
        assert_string_equal(push.ref, cases[i].ref);
        assert_string_equal(push.after, A);
        assert_string_equal(push.before, "");
        assert_false(push.people_complete);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        push_release(&push);
        assert_int_equal(
            push_parse(&push, FORGE_GITHUB, PUSH_PULL_REQUEST, bad[i], strlen(bad[i]), &err), -1);
    }
}

static void a_form_is_decoded(void **state)
{
    size_t len;
    char *json = push_form_payload("a=1&payload=%7B%22x%22%3A+1%7D&b", 32, &len);

    (void)state;
    assert_non_null(json);
    assert_int_equal(len, 8);
    assert_memory_equal(json, "{\"x\": 1}", 8);
    free(json);
    assert_null(push_form_payload("", 0, &len));
    assert_null(push_form_payload("xpayload=1", 10, &len));
    json = push_form_payload("payload=%2", 10, &len);
    assert_int_equal(len, 2);
    free(json);
}

/* ---- signatures ---- */

static int check(enum forge forge, const struct signature_headers *headers)
{
    return signature_check(forge, headers, "body", 4, "secret", 6, 1000, NULL);
}

static void a_signature_is_of_this_body_by_this_secret(void **state)
{
    uint8_t mac[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1], github[80];

    (void)state;
    hmac_sha256("secret", 6, "body", 4, mac);
    hex_encode(mac, sizeof(mac), hex);
    snprintf(github, sizeof(github), "sha256=%s", hex);
    assert_int_equal(check(FORGE_GITHUB, &(struct signature_headers){.github = github}), 0);
    assert_int_equal(check(FORGE_GITEA, &(struct signature_headers){.gitea = hex}), 0);
    /* In the other's form, or in the other's header, it is none. */
    assert_int_equal(check(FORGE_GITHUB, &(struct signature_headers){.github = hex}), -1);
    assert_int_equal(check(FORGE_GITEA, &(struct signature_headers){.gitea = github}), -1);
    assert_int_equal(check(FORGE_GITEA, &(struct signature_headers){.github = github}), -1);
    hex[0] = hex[0] == '0' ? '1' : '0';
    assert_int_equal(check(FORGE_GITEA, &(struct signature_headers){.gitea = hex}), -1);
    assert_int_equal(check(FORGE_GITEA, &(struct signature_headers){.gitea = ""}), -1);
}

static void gitlabs_token_is_the_secret_itself(void **state)
{
    (void)state;
    assert_int_equal(check(FORGE_GITLAB, &(struct signature_headers){.gitlab = "secret"}), 0);
    assert_int_equal(check(FORGE_GITLAB, &(struct signature_headers){.gitlab = "secre"}), -1);
    assert_int_equal(check(FORGE_GITLAB, &(struct signature_headers){.gitlab = "secrets"}), -1);
    assert_int_equal(check(FORGE_GITLAB, &(struct signature_headers){0}), -1);
}

static void a_standard_signature_is_checked_with_its_time(void **state)
{
    static const char secret[] = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    static const char body[] = "{\"test\": 2432232314}";
    struct signature_headers headers = {.webhook_id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                        .webhook_time = "1614265330",
                                        .webhook_signature =
                                            "v0,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="};
    const size_t len = sizeof(body) - 1, secret_len = sizeof(secret) - 1;

    (void)state;
    assert_int_equal(signature_check(FORGE_GITLAB, &headers, body, len, secret, secret_len,
                                     1614265330 + 299, NULL),
                     -1); /* another body than the example's */
    uint8_t mac[SHA256_SIZE], *key;
    size_t key_len;
    char *text = mem_printf("%s.%s.%s", headers.webhook_id, headers.webhook_time, body);
    assert_int_equal(base64_decode(secret + 6, secret_len - 6, &key, &key_len), 0);
    hmac_sha256(key, key_len, text, strlen(text), mac);
    char *base64 = base64_encode(mac, sizeof(mac));
    char *words = mem_printf("v1,AAAA v1,%s", base64);
    headers.webhook_signature = words;
    for (int64_t off = -299; off <= 299; off += 299)
        assert_int_equal(signature_check(FORGE_GITLAB, &headers, body, len, secret, secret_len,
                                         1614265330 + off, NULL),
                         0);
    assert_int_equal(signature_check(FORGE_GITLAB, &headers, body, len, secret, secret_len,
                                     1614265330 + 301, NULL),
                     -1);
    free(words);
    free(base64);
    free(text);
    free(key);
}

/* ---- what is remembered ---- */

static void the_oldest_delivery_is_forgotten_first(void **state)
{
    struct deliveries *deliveries = deliveries_new(3);
    char id[8];

    (void)state;
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "%d", i);
        deliveries_add(deliveries, id);
        deliveries_add(deliveries, id);
    }
    assert_false(deliveries_has(deliveries, "1"));
    assert_true(deliveries_has(deliveries, "2"));
    assert_true(deliveries_has(deliveries, "4"));
    deliveries_free(deliveries);
}

static void a_head_goes_on_from_what_is_in_flight_and_back_if_it_is_lost(void **state)
{
    struct heads *heads = heads_new();
    struct head *head = heads_get(heads, "shop", "app", "refs/heads/main");
    const struct bus_ack good = {.ok = true, .offset = 4}, bad = {.ok = false};

    (void)state;
    head_sent(head, A, "a");
    head_acked(head, &good, A, "a");
    head_sent(head, B, "b");
    head_sent(head, C, "c");
    assert_string_equal(head->tip.commit, C);
    head_acked(head, &bad, B, "b");
    assert_string_equal(head->tip.commit, C);
    head_acked(head, &bad, C, "c");
    assert_string_equal(head->tip.commit, A);
    assert_string_equal(head->tip.id, "a");
    assert_ptr_equal(heads_get(heads, "shop", "app", "refs/heads/main"), head);
    heads_free(heads);
}

/* A record of a first look, as it stands on `source`. */
static void take_look(struct looks *looks, const char *refs, const char *glob, uint32_t left,
                      const char *present)
{
    Gantry__V1__SourceChanged m = GANTRY__V1__SOURCE_CHANGED__INIT;

    m.pipeline = (char *)"shop";
    m.source = (char *)"app";
    m.ref = (char *)refs;
    m.message = (char *)glob;
    m.look = left;
    m.present = (char **)&present;
    m.n_present = present != NULL;
    looks_take(looks, &m, "id", 1000);
}

static void a_first_look_is_done_with_its_last_record(void **state)
{
    struct heads *heads = heads_new();
    struct looks *looks = heads_looks(heads);
    struct def_source source = {.pull_requests = true};
    struct look_at at, tags;
    struct strv list = {0};

    (void)state;
    strv_add(&source.tags, "v*");
    assert_true(look_at(&source, 0, &tags));
    assert_true(look_at(&source, 1, &at));
    assert_string_equal(at.glob, "");
    assert_false(look_at(&source, 2, &at));
    source.pull_requests = false;
    assert_false(look_at(&source, 1, &at));
    assert_true(look_matches(&tags, "refs/tags/v1"));
    assert_false(look_matches(&tags, "refs/tags/w1") || look_matches(&tags, "refs/heads/v1"));

    take_look(looks, tags.refs, "v*", 2, A " refs/tags/v1");
    assert_false(looks_done(looks, "shop", "app", &tags));
    take_look(looks, tags.refs, "v*", 1, "x refs/tags/v2");
    assert_true(looks_done(looks, "shop", "app", &tags));
    assert_false(looks_done(looks, "shop", "lib", &tags));
    assert_string_equal(looks_commit(looks, "shop", "app", "refs/tags/v1"), A);
    assert_null(looks_commit(looks, "shop", "app", "refs/tags/v2"));
    looks_list(looks, "shop", "app", &tags, &list);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0], A " refs/tags/v1");

    /* What was there is where reports go on from, until there is one. */
    assert_null(heads_find(heads, "shop", "app", "refs/tags/v1"));
    struct head *head = heads_get(heads, "shop", "app", "refs/tags/v1");
    assert_string_equal(head->tip.commit, A);
    assert_string_equal(head->tip.id, "");
    head_sent(head, B, "b");
    take_look(looks, tags.refs, "v*", 1, C " refs/tags/v1");
    assert_string_equal(heads_get(heads, "shop", "app", "refs/tags/v1")->tip.commit, B);
    head_acked(head, &(struct bus_ack){.ok = false}, B, "b");
    assert_string_equal(heads_get(heads, "shop", "app", "refs/tags/v1")->tip.commit, A);
    strv_release(&list);
    strv_release(&source.tags);
    heads_free(heads);
}

static void a_head_is_said_again_when_half_its_time_is_over(void **state)
{
    const int64_t day_ms = 24 * 3600 * 1000LL;

    (void)state;
    assert_false(refresh_due(100 * day_ms, 114 * day_ms));
    assert_true(refresh_due(100 * day_ms, 116 * day_ms));
    assert_false(refresh_due(0, 116 * day_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_whole_only_where_its_forge_says_so),
        cmocka_unit_test(people_are_lower_case_and_named_once),
        cmocka_unit_test(a_deleted_branch_has_no_after),
        cmocka_unit_test(every_url_of_the_repository_is_taken),
        cmocka_unit_test(a_long_subject_is_cut_between_characters),
        cmocka_unit_test(what_could_steer_a_terminal_is_taken_out_of_what_is_shown),
        cmocka_unit_test(paths_are_whole_only_if_every_commit_names_its_own),
        cmocka_unit_test(paths_of_a_payload_are_bounded),
        cmocka_unit_test(a_tag_is_its_commit_where_the_payload_names_it),
        cmocka_unit_test(a_pull_request_is_news_when_its_head_is),
        cmocka_unit_test(a_form_is_decoded),
        cmocka_unit_test(a_signature_is_of_this_body_by_this_secret),
        cmocka_unit_test(gitlabs_token_is_the_secret_itself),
        cmocka_unit_test(a_standard_signature_is_checked_with_its_time),
        cmocka_unit_test(the_oldest_delivery_is_forgotten_first),
        cmocka_unit_test(a_head_goes_on_from_what_is_in_flight_and_back_if_it_is_lost),
        cmocka_unit_test(a_first_look_is_done_with_its_last_record),
        cmocka_unit_test(a_head_is_said_again_when_half_its_time_is_over),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    push_release(&push);
    return failed;
}
