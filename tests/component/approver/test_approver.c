/* The approver as a process on a real Kafka; the promoter's part is played in here. */
#include "tests/component/service.h"

#include <signal.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gantry/v1/access.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "http/client.h"

#define ADMIN    "gty_first-admin"
#define APPROVAL "0123456789abcdef0123456789abcdef"
#define OTHER    "11111111111111111111111111111111"
#define DIGEST   "sha256:4f1b3c5d7e9f0a2b4c6d8e0f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d1e3f5a7b"
#define CONSOLE  "http://console.example.test:8080"

struct reply {
    bool done;
    int status;
    char body[8192], retry_after[16], location[128], origin[128];
};

static struct service s;
static struct http_client *client;

/* ---- calls that the loop goes on under ---- */

static void copy(char *out, size_t size, const char *value)
{
    snprintf(out, size, "%s", value ? value : "");
}

static void on_reply(const struct http_response *response, void *arg)
{
    struct reply *reply = arg;

    reply->status = response->status;
    copy(reply->body, sizeof(reply->body), response->body);
    copy(reply->retry_after, sizeof(reply->retry_after), response->header(response, "Retry-After"));
    copy(reply->location, sizeof(reply->location), response->header(response, "Location"));
    copy(reply->origin, sizeof(reply->origin),
         response->header(response, "Access-Control-Allow-Origin"));
    reply->done = true;
}

static void begin(struct reply *reply, const char *method, const char *path, const char *token,
                  const char *more, const char *body)
{
    char *url = mem_printf("http://127.0.0.1:%d%s", s.port, path);
    char *bearer = mem_printf("Authorization: Bearer %s", token);
    const char *headers[] = {"Content-Type: application/json", bearer, more, NULL};
    struct http_call_opts opts = {
        .method = method, .url = url, .headers = headers, .body = body, .timeout_ms = 30000};
    struct err err;

    opts.body_len = body ? strlen(body) : 0;
    memset(reply, 0, sizeof(*reply));
    if (!http_call(client, &opts, on_reply, reply, &err))
        fail_msg("%s", err.msg);
    free(url);
    free(bearer);
}

static bool is_done(struct service *service, void *arg)
{
    (void)service;
    return ((struct reply *)arg)->done;
}

static void finish(struct reply *reply)
{
    service_wait(&s, is_done, reply, "an answer");
}

static struct reply call(const char *method, const char *path, const char *token, const char *body)
{
    struct reply reply;

    begin(&reply, method, path, token, NULL, body);
    finish(&reply);
    return reply;
}

static void vote_begin(struct reply *reply, const char *token, const char *key, const char *verdict)
{
    char *more = key ? mem_printf("Idempotency-Key: %s", key) : NULL;
    char *body =
        mem_printf("{\"verdict\":\"%s\",\"digest\":\"" DIGEST "\",\"comment\":\"ok 👍\"}", verdict);

    begin(reply, "POST", "/api/v1/approvals/" APPROVAL "/votes", token, more, body);
    free(more);
    free(body);
}

/* A token for somebody; the value stands in the answer's body. */
static void person(char token[64], const char *name, const char *role, const char *group)
{
    char *body = mem_printf("{\"name\":\"%s\",\"person\":\"%s\",\"email\":\"%s@example.test\","
                            "\"roles\":[\"%s\"],\"groups\":[\"%s\"]}",
                            name, name, name, role, group);
    struct reply reply = call("POST", "/api/v1/tokens", ADMIN, body);
    const char *at = strstr(reply.body, "\"gty_");

    free(body);
    assert_int_equal(reply.status, 201);
    assert_non_null(at);
    snprintf(token, 64, "%.*s", (int)strcspn(at + 1, "\""), at + 1);
}

/* ---- the promoter's part ---- */

static void fill(Gantry__V1__ApprovalRequest *approval, Gantry__V1__Order *order, const char *id)
{
    static char *by[] = {(char *)"group:qa", (char *)"user:Ana@example.test"};
    static char *not_[] = {(char *)"author", (char *)"approver-of:staging"};

    gantry__v1__approval_request__init(approval);
    approval->order = order;
    approval->approval_id = (char *)id;
    approval->verb = GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN;
    approval->pipeline = (char *)"shop";
    approval->release = 42;
    approval->stage = (char *)"prod";
    approval->gate = (char *)"approval";
    approval->number = 1;
    approval->digest = (char *)DIGEST;
    approval->by = by;
    approval->n_by = 2;
    approval->count = 2;
    approval->rejects = 2;
    approval->not_ = not_;
    approval->n_not_ = 2;
    approval->opened_ms = clock_now_ms();
    approval->expires_ms = clock_now_ms() + 3600 * 1000;
}

static void put_approval(const char *id, uint64_t sequence, bool closed)
{
    Gantry__V1__ApprovalRequest approval;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;

    order.epoch = 1;
    order.sequence = sequence;
    fill(&approval, &order, id);
    if (closed) {
        approval.verb = GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED;
        approval.outcome = GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_REJECTED;
        approval.reason = (char *)"rejected by Bo";
    }
    service_put(&s, TOPIC_REQUEST_APPROVAL, &approval, NULL);
}

static void wait_approvals(const char *path, const char *text, bool there)
{
    for (int i = 0; i < 200; i++) {
        struct reply reply = call("GET", path, ADMIN, NULL);
        if ((strstr(reply.body, text) != NULL) == there)
            return;
        service_run_for(&s, 50);
    }
    fail_msg("%s: '%s' %s", path, text, there ? "never came" : "stayed");
}

static const struct got *last_vote(void)
{
    for (size_t i = s.count; i-- > 0;)
        if (s.items[i].topic == TOPIC_RESULT_APPROVAL)
            return &s.items[i];
    return NULL;
}

static size_t votes(void)
{
    size_t n = 0;

    for (size_t i = 0; i < s.count; i++)
        n += s.items[i].topic == TOPIC_RESULT_APPROVAL;
    return n;
}

static bool votes_came(struct service *service, void *arg)
{
    (void)service;
    return votes() >= *(size_t *)arg;
}

static const struct got *wait_votes(size_t count)
{
    service_wait(&s, votes_came, &count, "a vote on result.approval");
    return last_vote();
}

/* What the promoter says of a vote; reason NULL: it counted. */
static void decide(const struct got *got, const char *reason)
{
    Gantry__V1__ActionResult *result = got->message;
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__VoteCounted counted = GANTRY__V1__VOTE_COUNTED__INIT;
    Gantry__V1__VoteRefused refused = GANTRY__V1__VOTE_REFUSED__INIT;
    Gantry__V1__ApprovalRequest approval;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;

    order.epoch = 1;
    order.sequence = 50;
    fill(&approval, &order, result->vote->approval_id);
    approval.verb = GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CHANGED;
    event.order = &order;
    event.pipeline = (char *)"shop";
    event.time_ms = clock_now_ms();
    event.cause_id = (char *)got->meta.id;
    if (reason) {
        refused.vote = result->vote;
        refused.ce_id = (char *)got->meta.id;
        refused.reason = (char *)reason;
        refused.release = 42;
        refused.stage = (char *)"prod";
        event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_VOTE_REFUSED;
        event.vote_refused = &refused;
    } else {
        counted.vote = result->vote;
        counted.ce_id = (char *)got->meta.id;
        counted.approval = &approval;
        event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_VOTE_COUNTED;
        event.vote_counted = &counted;
    }
    service_put(&s, TOPIC_EVENT, &event, NULL);
}

static int setup(void **state)
{
    static const enum topic topics[] = {TOPIC_RESULT_APPROVAL, TOPIC_ACCESS};

    (void)state;
    if (!service_setup(&s, PROGRAM, "approver", topics, 2))
        skip();
    s.config = mem_strdup("  bootstrap-token: admin");
    service_secret(&s, "admin", ADMIN "\n");
    client = http_client_new(s.loop);
    service_start(&s, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (s.loop && s.child && !s.ended)
        service_end(&s, SIGTERM);
    http_client_free(client);
    client = NULL;
    service_teardown(&s);
    return 0;
}

/* ---- tokens ---- */

static void test_a_token_works_at_once_and_dies_when_deleted(void **state)
{
    char token[64];

    (void)state;
    assert_int_equal(call("GET", "/api/v1/approvals", "gty_nonsense", NULL).status, 401);
    person(token, "ana", "viewer", "qa");
    assert_int_equal(call("GET", "/api/v1/approvals", token, NULL).status, 200);
    struct reply list = call("GET", "/api/v1/tokens", ADMIN, NULL);
    assert_non_null(strstr(list.body, "\"name\":\"ana\""));
    assert_null(strstr(list.body, token)); /* shown once, kept nowhere */
    for (size_t i = 0; i < s.count; i++)
        if (s.items[i].topic == TOPIC_ACCESS)
            assert_int_equal(((Gantry__V1__Access *)s.items[i].message)->token->sha256.len, 32);
    assert_int_equal(call("DELETE", "/api/v1/tokens/ana", ADMIN, NULL).status, 204);
    assert_int_equal(call("GET", "/api/v1/approvals", token, NULL).status, 401);
    assert_int_equal(call("DELETE", "/api/v1/tokens/ana", ADMIN, NULL).status, 404);
}

static void test_a_token_expires_and_survives_a_restart_until_then(void **state)
{
    (void)state;
    struct reply made = call("POST", "/api/v1/tokens", ADMIN,
                             "{\"name\":\"brief\",\"roles\":[\"viewer\"],\"expires\":\"4s\"}");
    char token[64];
    int64_t until = clock_mono_ms() + 4000;

    assert_int_equal(made.status, 201);
    snprintf(token, sizeof(token), "%.*s", (int)strcspn(strstr(made.body, "gty_"), "\""),
             strstr(made.body, "gty_"));
    service_end(&s, SIGKILL);
    service_start(&s, true);
    int status = call("GET", "/api/v1/approvals", token, NULL).status;
    assert_int_equal(status, clock_mono_ms() < until ? 200 : 401);
    service_run_for(&s, until - clock_mono_ms() > 0 ? until - clock_mono_ms() + 50 : 0);
    struct reply reply = call("GET", "/api/v1/approvals", token, NULL);
    assert_int_equal(reply.status, 401);
    assert_non_null(strstr(reply.body, "expired"));
}

static void test_only_an_admin_makes_tokens_and_only_good_ones(void **state)
{
    static const struct {
        const char *body;
        int status;
    } bad[] = {{"{\"name\":\"No Name\",\"roles\":[\"viewer\"]}", 400},
               {"{\"name\":\"x\",\"roles\":[]}", 400},
               {"{\"name\":\"x\",\"roles\":[\"king\"]}", 400},
               {"{\"name\":\"x\",\"roles\":[\"viewer\"],\"expires\":\"soon\"}", 400},
               {"{\"name\":\"x\",\"roles\":[\"viewer\"],\"email\":\"a@b\\r\\nBcc: c@d\"}", 400},
               {"{\"name\":\"bootstrap\",\"roles\":[\"approver\"]}", 409},
               {"{\"name\":\"ana\",\"roles\":[\"viewer\"]}", 409},
               {"[]", 400},
               {"{", 400}};
    char token[64];

    (void)state;
    person(token, "ana", "operator", "qa");
    struct reply reply = call("POST", "/api/v1/tokens", token, bad[1].body);
    assert_int_equal(reply.status, 403);
    assert_int_equal(call("GET", "/api/v1/tokens", token, NULL).status, 403);
    assert_int_equal(call("DELETE", "/api/v1/tokens/ana", token, NULL).status, 403);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(call("POST", "/api/v1/tokens", ADMIN, bad[i].body).status, bad[i].status);
}

/* ---- votes ---- */

static void test_a_vote_that_counts_is_answered_200_with_the_approval(void **state)
{
    struct reply reply;
    char token[64];

    (void)state;
    person(token, "quinn", "approver", "qa");
    put_approval(APPROVAL, 1, false);
    wait_approvals("/api/v1/approvals", APPROVAL, true);
    vote_begin(&reply, token, NULL, "approve");
    const struct got *got = wait_votes(1);
    const Gantry__V1__ActionResult *result = got->message;
    assert_string_equal(result->pipeline, "shop");
    assert_string_equal(result->vote->digest, DIGEST);
    assert_string_equal(result->vote->comment, "ok 👍");
    assert_string_equal(result->vote->voter->subject, "token:quinn");
    assert_string_equal(result->vote->voter->email, "quinn@example.test");
    assert_string_equal(result->vote->voter->groups[0], "qa");
    assert_false(reply.done);
    decide(got, NULL);
    finish(&reply);
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "\"status\":\"counted\""));
    assert_non_null(strstr(reply.body, APPROVAL));
}

static void test_a_vote_that_is_refused_is_answered_409_with_the_reason(void **state)
{
    struct reply reply;
    char token[64];

    (void)state;
    person(token, "ana", "approver", "none"); /* allowed by her address */
    put_approval(APPROVAL, 1, false);
    wait_approvals("/api/v1/approvals", APPROVAL, true);
    vote_begin(&reply, token, NULL, "reject");
    decide(wait_votes(1), "the digest is not the one of this approval");
    finish(&reply);
    assert_int_equal(reply.status, 409);
    assert_non_null(strstr(reply.body, "the digest is not the one of this approval"));
}

static void test_a_vote_not_counted_in_time_is_202_and_the_same_key_tells_its_end(void **state)
{
    struct reply reply;
    char token[64];

    (void)state;
    person(token, "quinn", "approver", "qa");
    put_approval(APPROVAL, 1, false);
    wait_approvals("/api/v1/approvals", APPROVAL, true);
    vote_begin(&reply, token, "mine", "approve");
    const struct got *got = wait_votes(1);
    finish(&reply);
    assert_int_equal(reply.status, 202);
    assert_string_equal(reply.location, "/api/v1/approvals/" APPROVAL);
    decide(got, NULL);
    service_run_for(&s, 1000);
    put_approval(APPROVAL, 60, true); /* closed meanwhile: the answer is still this vote's */
    wait_approvals("/api/v1/approvals", APPROVAL, false);
    vote_begin(&reply, token, "mine", "approve");
    finish(&reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(votes(), 1);
}

static void test_who_may_not_vote_is_told_so_and_no_vote_is_stored(void **state)
{
    struct reply reply;
    char viewer[64], stranger[64];

    (void)state;
    person(viewer, "vic", "viewer", "qa");
    person(stranger, "sam", "approver", "none");
    put_approval(APPROVAL, 1, false);
    wait_approvals("/api/v1/approvals", APPROVAL, true);
    vote_begin(&reply, viewer, NULL, "approve");
    finish(&reply);
    assert_int_equal(reply.status, 403);
    assert_non_null(strstr(reply.body, "role approver"));
    vote_begin(&reply, stranger, NULL, "approve");
    finish(&reply);
    assert_int_equal(reply.status, 403);
    vote_begin(&reply, "gty_nobody", NULL, "approve");
    finish(&reply);
    assert_int_equal(reply.status, 401);
    service_run_for(&s, 500);
    assert_int_equal(votes(), 0);
}

static void test_a_ballot_is_checked_and_an_unknown_or_closed_approval_refused(void **state)
{
    static const char path[] = "/api/v1/approvals/" APPROVAL "/votes";
    char token[64], *longest = mem_alloc(2002), *body;

    (void)state;
    person(token, "quinn", "approver", "qa");
    put_approval(APPROVAL, 1, false);
    put_approval(OTHER, 2, true);
    wait_approvals("/api/v1/approvals?all=true", OTHER, true);
    wait_approvals("/api/v1/approvals", APPROVAL, true);
    memset(longest, 'x', 2001);
    body = mem_printf("{\"verdict\":\"approve\",\"digest\":\"" DIGEST "\",\"comment\":\"%s\"}",
                      longest);
    struct reply reply = call("POST", path, token, body);
    assert_int_equal(reply.status, 400);
    assert_non_null(strstr(reply.body, "2,000"));
    assert_int_equal(call("POST", path, token,
                          "{\"verdict\":\"approve\",\"digest\":\"x\",\"comment\":\"\\u0007\"}")
                         .status,
                     400);
    assert_int_equal(call("POST", path, token, "{\"verdict\":\"maybe\",\"digest\":\"x\"}").status,
                     400);
    assert_int_equal(call("POST", path, token, "{\"verdict\":\"approve\"}").status, 400);
    assert_int_equal(call("POST", path, token, "{\"verdict\":").status, 400);
    assert_int_equal(call("POST", "/api/v1/approvals/none/votes", token,
                          "{\"verdict\":\"approve\",\"digest\":\"x\"}")
                         .status,
                     404);
    assert_int_equal(call("GET", "/api/v1/approvals/none", token, NULL).status, 404);
    reply = call("POST", "/api/v1/approvals/" OTHER "/votes", token,
                 "{\"verdict\":\"approve\",\"digest\":\"x\"}");
    assert_int_equal(reply.status, 409);
    assert_non_null(strstr(reply.body, "rejected by Bo"));
    assert_int_equal(votes(), 0);
    free(longest);
    free(body);
}

static void test_a_close_is_final_and_an_old_record_changes_nothing(void **state)
{
    (void)state;
    put_approval(APPROVAL, 5, false);
    wait_approvals("/api/v1/approvals", APPROVAL, true);
    put_approval(APPROVAL, 6, true);
    wait_approvals("/api/v1/approvals", APPROVAL, false);
    put_approval(APPROVAL, 5, false); /* a late publisher repeats */
    put_approval(APPROVAL, 7, false);
    put_approval(OTHER, 8, false);
    wait_approvals("/api/v1/approvals", OTHER, true);
    wait_approvals("/api/v1/approvals", APPROVAL, false);
}

static void test_a_listing_says_who_may_not_vote_and_how_many_rejections_reject(void **state)
{
    (void)state;
    put_approval(APPROVAL, 1, false);
    wait_approvals("/api/v1/approvals", APPROVAL, true);
    struct reply reply = call("GET", "/api/v1/approvals", ADMIN, NULL);
    assert_non_null(strstr(reply.body, "\"not\":[\"author\",\"approver-of:staging\"]"));
    assert_non_null(strstr(reply.body, "\"rejects\":2"));
}

/* An open approval of the gate, opened in the same millisecond as all others of its kind. */
static void put_gate(const char *id, uint64_t sequence, const char *gate, const char *by)
{
    static char *author[] = {(char *)"ana@example.test"};
    char *only[] = {(char *)by};
    Gantry__V1__ApprovalRequest approval;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    Gantry__V1__Vote vote = GANTRY__V1__VOTE__INIT, *votes[] = {&vote};
    Gantry__V1__Actor voter = GANTRY__V1__ACTOR__INIT;

    order.epoch = 1;
    order.sequence = sequence;
    fill(&approval, &order, id);
    approval.gate = (char *)gate;
    approval.by = only;
    approval.n_by = 1;
    approval.opened_ms = 1767225600000;
    approval.authors = author;
    approval.n_authors = 1;
    voter.subject = (char *)"token:quinn";
    vote.voter = &voter;
    vote.approval_id = (char *)id;
    vote.digest = (char *)DIGEST;
    vote.cast_ms = approval.opened_ms;
    vote.verdict = GANTRY__V1__VERDICT__VERDICT_APPROVE;
    approval.votes = votes;
    approval.n_votes = 1;
    service_put(&s, TOPIC_REQUEST_APPROVAL, &approval, NULL);
}

static void test_gates_opened_together_are_listed_by_name_and_say_whether_i_may_vote(void **state)
{
    static const char why[] = "\"whyNot\":\"", may[] = "\"mayVote\":true";
    static const struct {
        const char *name, *role, *group, *first, *second;
    } people[] = {
        {"rob", "approver", "release", "you are not among those", may},
        {"sue", "approver", "qa", may, "you are not among those"},
        {"quinn", "approver", "qa", "you have voted already", "you are not among those"},
        {"ana", "approver", "release", "you are not among those", "you are an author"},
        {"vic", "viewer", "qa", "voting needs the role approver", "voting needs the role approver"},
    };

    (void)state;
    put_gate(APPROVAL, 1, "approval-2", "group:release"); /* the lesser id */
    put_gate(OTHER, 2, "approval", "group:qa");
    wait_approvals("/api/v1/approvals", OTHER, true);
    wait_approvals("/api/v1/approvals", APPROVAL, true);
    for (size_t i = 0; i < sizeof(people) / sizeof(people[0]); i++) {
        char token[64];

        person(token, people[i].name, people[i].role, people[i].group);
        struct reply reply = call("GET", "/api/v1/approvals", token, NULL);
        char *second = strstr(reply.body, "\"gate\":\"approval-2\"");
        char *first = strstr(reply.body, "\"gate\":\"approval\"");
        assert_non_null(first);
        assert_true(first < second);
        char *one = strstr(first, people[i].first == may ? may : why);
        assert_true(one && one < second && strstr(one, people[i].first) < second);
        assert_non_null(strstr(second, people[i].second));
        reply = call("GET", "/api/v1/approvals/" OTHER, token, NULL);
        assert_non_null(strstr(reply.body, people[i].first));
    }
    put_approval(OTHER, 60, true);
    wait_approvals("/api/v1/approvals?all=true", "the approval is closed", true);
}

static void test_only_the_console_may_call_from_a_browser(void **state)
{
    struct reply reply;

    (void)state;
    service_end(&s, SIGTERM);
    free(s.config);
    s.config = mem_strdup("  bootstrap-token: admin");
    s.console_url = CONSOLE "/";
    service_start(&s, true);
    begin(&reply, "GET", "/api/v1/approvals", ADMIN, "Origin: " CONSOLE, NULL);
    finish(&reply);
    assert_string_equal(reply.origin, CONSOLE);
    begin(&reply, "OPTIONS", "/api/v1/approvals", ADMIN, "Origin: " CONSOLE, NULL);
    finish(&reply);
    assert_int_equal(reply.status, 204);
    assert_string_equal(reply.origin, CONSOLE);
    begin(&reply, "GET", "/api/v1/approvals", ADMIN, "Origin: http://evil.example.test", NULL);
    finish(&reply);
    assert_string_equal(reply.origin, "");
}

static void
test_without_kafka_nothing_is_taken_and_the_caller_is_told_when_to_come_back(void **state)
{
    (void)state;
    service_end(&s, SIGTERM);
    s.kafka = (char *)"127.0.0.1:1";
    service_start(&s, false);
    struct reply reply =
        call("POST", "/api/v1/tokens", ADMIN, "{\"name\":\"ana\",\"roles\":[\"viewer\"]}");
    assert_int_equal(reply.status, 503);
    assert_string_not_equal(reply.retry_after, "");
    assert_int_equal(call("GET", "/healthz", ADMIN, NULL).status, 200);
    assert_int_equal(call("GET", "/readyz", ADMIN, NULL).status, 503);
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_a_token_works_at_once_and_dies_when_deleted),
        ONE(test_a_token_expires_and_survives_a_restart_until_then),
        ONE(test_only_an_admin_makes_tokens_and_only_good_ones),
        ONE(test_a_vote_that_counts_is_answered_200_with_the_approval),
        ONE(test_a_vote_that_is_refused_is_answered_409_with_the_reason),
        ONE(test_a_vote_not_counted_in_time_is_202_and_the_same_key_tells_its_end),
        ONE(test_who_may_not_vote_is_told_so_and_no_vote_is_stored),
        ONE(test_a_ballot_is_checked_and_an_unknown_or_closed_approval_refused),
        ONE(test_a_close_is_final_and_an_old_record_changes_nothing),
        ONE(test_a_listing_says_who_may_not_vote_and_how_many_rejections_reject),
        ONE(test_gates_opened_together_are_listed_by_name_and_say_whether_i_may_vote),
        ONE(test_only_the_console_may_call_from_a_browser),
        ONE(test_without_kafka_nothing_is_taken_and_the_caller_is_told_when_to_come_back),
    };
#undef ONE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
