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

static void parse(enum forge forge, const char *json)
{
    struct err err;

    push_release(&push);
    if (push_parse(&push, forge, json, strlen(json), &err) != 0)
        fail_msg("%s: %s", err.msg, json);
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
        cmocka_unit_test(a_form_is_decoded),
        cmocka_unit_test(a_signature_is_of_this_body_by_this_secret),
        cmocka_unit_test(gitlabs_token_is_the_secret_itself),
        cmocka_unit_test(a_standard_signature_is_checked_with_its_time),
        cmocka_unit_test(the_oldest_delivery_is_forgotten_first),
        cmocka_unit_test(a_head_goes_on_from_what_is_in_flight_and_back_if_it_is_lost),
        cmocka_unit_test(a_head_is_said_again_when_half_its_time_is_over),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    push_release(&push);
    return failed;
}
