/* The notifier as a process on a real Kafka, telling a webhook target in here. */
#include "tests/component/service.h"

#include <signal.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/notification.pb-c.h"
#include "http/server.h"

#define SECRET  "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define HOOKS   512
#define FLOOD   (256 * 1024)
#define HOUR_MS (3600 * 1000LL)

/* One POST that came. */
struct hook {
    char path[64], id[64], timestamp[32], signature[128];
    char *body;
    int status; /* answered */
};

static struct service s;
static struct http_server *target;
static struct hook hooks[HOOKS];
static size_t hook_count;
static int next_status;      /* of the next answer; 0: 200 */
static int next_status_left; /* for so many answers */
static const char *next_retry_after;
static bool flooding;
static size_t kill_at; /* the notifier is killed before so many-th POST is answered; 0: not */

/* ---- the target ---- */

static void copy(char *out, size_t size, const char *value)
{
    snprintf(out, size, "%s", value ? value : "");
}

static void on_gone(void *arg)
{
    (void)arg; /* the request goes with its client */
}

static void on_hook(struct http_request *req, void *arg)
{
    struct hook *hook = &hooks[hook_count];
    (void)arg;

    assert_true(hook_count < HOOKS);
    copy(hook->path, sizeof(hook->path), http_req_path(req));
    copy(hook->id, sizeof(hook->id), http_req_header(req, "webhook-id"));
    copy(hook->timestamp, sizeof(hook->timestamp), http_req_header(req, "webhook-timestamp"));
    copy(hook->signature, sizeof(hook->signature), http_req_header(req, "webhook-signature"));
    hook->body = mem_strdup(http_req_body(req, NULL));
    hook->status = next_status_left > 0 ? next_status : 200;
    next_status_left -= next_status_left > 0;
    if (++hook_count >= kill_at && kill_at > 0)
        kill(loop_child_pid(s.child), SIGKILL);
    if (next_retry_after && hook->status != 200)
        http_reply_header(req, "Retry-After", next_retry_after);
    if (flooding) {
        char *flood = mem_alloc(FLOOD);
        memset(flood, 'x', FLOOD);
        http_req_on_close(req, on_gone, NULL);
        http_stream_begin(req, 200, "text/plain");
        http_stream_send(req, flood, FLOOD);
        free(flood);
        return; /* and never an end */
    }
    http_reply(req, hook->status, NULL, NULL, 0);
}

static bool signature_is_good(const char *secret, const struct hook *hook)
{
    char *content = mem_printf("%s.%s.%s", hook->id, hook->timestamp, hook->body);
    uint8_t *key = NULL, mac[SHA256_SIZE];
    size_t len = 0;

    assert_int_equal(base64_decode(secret + 6, strlen(secret) - 6, &key, &len), 0);
    hmac_sha256(key, len, content, strlen(content), mac);
    char *encoded = base64_encode(mac, sizeof(mac));
    char *expected = mem_printf("v1,%s", encoded);
    bool good = str_eq(expected, hook->signature);
    free(content);
    free(key);
    free(encoded);
    free(expected);
    return good;
}

/* ---- what is put in and looked for ---- */

static void put(Gantry__V1__ReleaseEvent *event, const char *pipeline, const char *id)
{
    static uint64_t sequence;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;

    order.epoch = 1;
    order.sequence = ++sequence;
    event->order = &order;
    event->pipeline = (char *)pipeline;
    if (!event->time_ms)
        event->time_ms = clock_now_ms();
    service_put(&s, TOPIC_EVENT, event, id);
}

static void put_ended_at(const char *pipeline, uint64_t release, Gantry__V1__Status status,
                         const char *id, int64_t time_ms)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ReleaseEnded ended = GANTRY__V1__RELEASE_ENDED__INIT;

    ended.release = release;
    ended.status = status;
    ended.reason = (char *)"because";
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED;
    event.release_ended = &ended;
    event.time_ms = time_ms;
    put(&event, pipeline, id);
}

static void put_ended(const char *pipeline, uint64_t release, Gantry__V1__Status status)
{
    put_ended_at(pipeline, release, status, NULL, 0);
}

static void put_stage_ended(const char *pipeline, const char *stage, Gantry__V1__Status status)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__StageEnded ended = GANTRY__V1__STAGE_ENDED__INIT;

    ended.release = 1;
    ended.stage = (char *)stage;
    ended.status = status;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENDED;
    event.stage_ended = &ended;
    put(&event, pipeline, NULL);
}

static void put_rule(const char *name, const char *spec)
{
    char *yaml = mem_printf("apiVersion: gantry/v1\nkind: Notification\nmetadata: {name: %s}\n"
                            "spec:\n  %s\n"
                            "  webhook: {url: 'http://127.0.0.1:%d/%s', secret: hook}\n",
                            name, spec, http_server_port(target), name);

    service_put_definition(&s, "Notification", name, yaml);
    free(yaml);
}

static bool hooks_came(struct service *service, void *arg)
{
    (void)service;
    return hook_count >= *(size_t *)arg;
}

static void wait_hooks(size_t count)
{
    service_wait(&s, hooks_came, &count, "webhooks");
}

static size_t hooks_at(const char *path, const char *text)
{
    size_t n = 0;

    for (size_t i = 0; i < hook_count; i++)
        n += str_eq(hooks[i].path, path) && strstr(hooks[i].body, text) != NULL;
    return n;
}

/* How often the last of `notification` say so. */
static size_t recorded(Gantry__V1__Delivery outcome)
{
    size_t n = 0;

    for (size_t i = 0; i < s.count; i++)
        n += s.items[i].topic == TOPIC_NOTIFICATION &&
             ((Gantry__V1__NotificationSent *)s.items[i].message)->delivery == outcome;
    return n;
}

struct wanted {
    Gantry__V1__Delivery outcome;
    size_t count;
};

static bool is_recorded(struct service *service, void *arg)
{
    const struct wanted *wanted = arg;

    (void)service;
    return recorded(wanted->outcome) >= wanted->count;
}

static void wait_recorded(Gantry__V1__Delivery outcome, size_t count)
{
    struct wanted wanted = {outcome, count};

    service_wait(&s, is_recorded, &wanted, "the record in `notification`");
}

/* How many of the webhooks that were taken repeat an id; *distinct gets how many do not. */
static size_t repeats(size_t *distinct)
{
    size_t again = 0;

    *distinct = 0;
    for (size_t i = 0; i < hook_count; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen |= str_eq(hooks[i].id, hooks[j].id);
        again += seen;
        *distinct += !seen;
    }
    return again;
}

static bool log_says(struct service *service, void *arg)
{
    return strstr(buf_cstr(&service->log), arg) != NULL;
}

static int setup(void **state)
{
    static const enum topic topics[] = {TOPIC_NOTIFICATION};
    const struct http_server_conf conf = {.listen = "127.0.0.1:0"};
    struct err err;

    (void)state;
    if (!service_setup(&s, PROGRAM, "notifier", topics, 1))
        skip();
    service_secret(&s, "hook", SECRET);
    if (http_server_new(&target, s.loop, &conf, &err) != 0)
        fail_msg("%s", err.msg);
    http_route(target, "POST", "/{rule}", 1024 * 1024, on_hook, NULL);
    next_status_left = 0;
    next_retry_after = NULL;
    flooding = false;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (s.loop && s.child && !s.ended)
        service_end(&s, SIGTERM);
    http_server_free(target);
    target = NULL;
    service_teardown(&s);
    for (size_t i = 0; i < hook_count; i++)
        free(hooks[i].body);
    hook_count = 0;
    kill_at = 0;
    return 0;
}

#define SUCCEEDED GANTRY__V1__STATUS__STATUS_SUCCEEDED
#define FAILED    GANTRY__V1__STATUS__STATUS_FAILED
#define SENT      GANTRY__V1__DELIVERY__DELIVERY_SENT
#define RETRYING  GANTRY__V1__DELIVERY__DELIVERY_RETRYING
#define GIVEN_UP  GANTRY__V1__DELIVERY__DELIVERY_GIVEN_UP

/* ---- tests ---- */

static void test_a_webhook_is_signed_as_standard_webhooks_says(void **state)
{
    struct hook vector = {.id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
                          .timestamp = "1614265330",
                          .signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                          .body = (char *)"{\"test\": 2432232314}"};
    char id[ID_SIZE];
    int64_t timestamp;

    (void)state;
    assert_true(signature_is_good(SECRET, &vector)); /* the project's own example */
    put_rule("all", "events: ['release.*']");
    service_start(&s, true);
    put_ended_at("shop", 7, SUCCEEDED, "0123456789abcdef0123456789abcdef", 0);
    wait_hooks(1);
    assert_true(signature_is_good(SECRET, &hooks[0]));
    event_id_notification(id, "all", "0123456789abcdef0123456789abcdef");
    assert_string_equal(hooks[0].id, id);
    assert_int_equal(str_to_i64(hooks[0].timestamp, &timestamp), 0);
    assert_in_range(timestamp, clock_now_ms() / 1000 - 60, clock_now_ms() / 1000);
    assert_non_null(strstr(hooks[0].body, "\"type\":\"release.ended\""));
    assert_non_null(strstr(hooks[0].body, "\"headline\":\"shop/7 succeeded\""));
    wait_recorded(SENT, 1);
}

static void test_a_failure_is_tried_again_with_the_same_id_and_told_once(void **state)
{
    (void)state;
    put_rule("all", "events: ['**']");
    next_status = 500;
    next_status_left = 1;
    service_start(&s, true);
    put_ended("shop", 7, SUCCEEDED);
    wait_hooks(2);
    assert_int_equal(hooks[0].status, 500);
    assert_int_equal(hooks[1].status, 200);
    assert_string_equal(hooks[0].id, hooks[1].id);
    assert_true(signature_is_good(SECRET, &hooks[1]));
    wait_recorded(SENT, 1);
    assert_int_equal(recorded(RETRYING), 1);
}

static void test_the_targets_wish_to_wait_outlives_a_restart(void **state)
{
    (void)state;
    put_rule("all", "events: ['**']");
    next_status = 429;
    next_status_left = 1;
    next_retry_after = "600";
    service_start(&s, true);
    put_ended("shop", 7, SUCCEEDED);
    wait_recorded(RETRYING, 1);
    const Gantry__V1__NotificationSent *sent = s.items[s.count - 1].message;
    assert_in_range(sent->next_attempt_ms - sent->time_ms, 599000, 601000);
    service_end(&s, SIGKILL);
    service_start(&s, true);
    service_run_for(&s, 3000);
    assert_int_equal(hook_count, 1);
}

static void test_a_target_that_is_gone_is_given_up_and_the_event_put_aside(void **state)
{
    (void)state;
    put_rule("all", "events: ['**']");
    next_status = 410;
    next_status_left = 1;
    service_start(&s, true);
    put_ended("shop", 7, SUCCEEDED);
    wait_recorded(GIVEN_UP, 1);
    service_wait(&s, log_says, (void *)"put aside as a dead letter", "the event in deadletter");
    put_ended("shop", 8, SUCCEEDED);
    wait_hooks(2);
    wait_recorded(SENT, 1);
}

static void test_nothing_is_told_twice_after_a_kill_but_what_was_in_flight(void **state)
{
    enum { EVENTS = 30, KILLS = 3 };
    size_t distinct;

    (void)state;
    s.config = mem_strdup("  at-once: 1");
    put_rule("all", "events: ['**']");
    service_start(&s, true);
    for (uint64_t i = 1; i <= EVENTS; i++) {
        if (i % (EVENTS / KILLS) == 1)
            kill_at = hook_count + 5;
        put_ended(i % 2 ? "shop" : "blog", i, SUCCEEDED);
        if (i % (EVENTS / KILLS) == 0) {
            assert_int_equal(service_end(&s, 0), -SIGKILL);
            kill_at = 0;
            service_start(&s, true);
        }
    }
    wait_recorded(SENT, EVENTS);
    service_run_for(&s, 1000);
    assert_in_range(repeats(&distinct), 0, KILLS);
    assert_int_equal(distinct, EVENTS);
}

static void test_another_instance_takes_over_without_repeating_what_was_told(void **state)
{
    enum { EVENTS = 30 };
    struct service second;
    size_t distinct;

    (void)state;
    put_rule("all", "events: ['**']");
    service_start(&s, true);
    for (uint64_t i = 1; i <= EVENTS / 3; i++)
        put_ended(i % 2 ? "shop" : "blog", i, SUCCEEDED);
    wait_recorded(SENT, EVENTS / 3);
    second = s;
    second.child = NULL;
    second.instance = "second";
    buf_init(&second.log, 1024 * 1024);
    service_start(&second, true);
    for (uint64_t i = EVENTS / 3 + 1; i <= EVENTS * 2 / 3; i++)
        put_ended(i % 2 ? "shop" : "blog", i, SUCCEEDED);
    /* Records that are looked at come to the first's follower. */
    wait_recorded(SENT, EVENTS * 2 / 3);
    service_end(&second, SIGTERM);
    buf_release(&second.log);
    for (uint64_t i = EVENTS * 2 / 3 + 1; i <= EVENTS; i++)
        put_ended(i % 2 ? "shop" : "blog", i, SUCCEEDED);
    wait_recorded(SENT, EVENTS);
    service_run_for(&s, 1000);
    assert_int_equal(repeats(&distinct), 0);
    assert_int_equal(distinct, EVENTS);
}

static void test_a_rule_chooses_by_event_pipeline_stage_and_outcome(void **state)
{
    (void)state;
    put_rule("bad-ends", "{events: [release.ended], outcomes: [failed],");
    put_rule("all", "events: ['**']");
    put_rule("failures", "events: ['*.ended']\n  outcomes: [failed]");
    put_rule("shops", "events: ['**']\n  pipelines: ['shop*']");
    put_rule("prod", "events: [stage.ended]\n  stages: [prod]");
    service_start(&s, true);
    put_ended("shop-a", 1, SUCCEEDED);
    put_ended("blog", 2, FAILED);
    put_stage_ended("blog", "prod", SUCCEEDED);
    put_stage_ended("shop-a", "dev", FAILED);
    wait_hooks(4 + 2 + 2 + 1);
    service_run_for(&s, 1000);
    assert_int_equal(hook_count, 9);
    assert_int_equal(hooks_at("/all", ""), 4);
    assert_int_equal(hooks_at("/failures", "blog/2 failed"), 1);
    assert_int_equal(hooks_at("/failures", "shop-a/1 failed in dev"), 1);
    assert_int_equal(hooks_at("/shops", "shop-a"), 2);
    assert_int_equal(hooks_at("/prod", "blog/1 succeeded in prod"), 1);
    assert_int_equal(hooks_at("/bad-ends", ""), 0); /* it does not parse */
}

static void test_what_happened_more_than_a_day_ago_is_not_told_at_a_first_start(void **state)
{
    (void)state;
    put_rule("all", "events: ['**']");
    put_ended_at("shop", 1, SUCCEEDED, NULL, clock_now_ms() - 25 * HOUR_MS);
    put_ended_at("shop", 2, SUCCEEDED, NULL, clock_now_ms() - HOUR_MS);
    service_start(&s, true);
    wait_hooks(1);
    service_run_for(&s, 500);
    assert_int_equal(hook_count, 1);
    assert_non_null(strstr(hooks[0].body, "shop/2"));
}

static void test_a_new_rule_does_not_tell_what_was_before_it(void **state)
{
    (void)state;
    put_rule("other", "events: ['**']\n  pipelines: [blog]");
    service_start(&s, true);
    put_ended("shop", 1, SUCCEEDED);
    put_ended("blog", 2, SUCCEEDED);
    wait_hooks(1);
    service_run_for(&s, 2500); /* until it is committed */
    put_rule("all", "events: ['**']");
    service_end(&s, SIGTERM);
    service_start(&s, true);
    put_ended("shop", 3, SUCCEEDED);
    wait_hooks(2);
    service_run_for(&s, 500);
    assert_int_equal(hook_count, 2);
    assert_int_equal(hooks_at("/all", "shop/3"), 1);
}

static void test_a_deleted_rule_tells_no_more_not_even_what_is_to_be_tried_again(void **state)
{
    (void)state;
    put_rule("all", "events: ['**']");
    next_status = 500;
    next_status_left = 1;
    service_start(&s, true);
    put_ended("shop", 1, SUCCEEDED);
    wait_recorded(RETRYING, 1);
    service_put_definition(&s, "Notification", "all", NULL);
    wait_recorded(GIVEN_UP, 1);
    put_ended("shop", 2, SUCCEEDED);
    service_run_for(&s, 1500);
    assert_int_equal(hook_count, 1);
}

static void test_a_secret_that_is_mended_is_used_by_the_next_try(void **state)
{
    (void)state;
    put_rule("all", "events: ['**']");
    service_secret(&s, "hook", "not base64!");
    service_start(&s, true);
    put_ended("shop", 1, SUCCEEDED);
    wait_recorded(RETRYING, 1);
    assert_int_equal(hook_count, 0);
    service_secret(&s, "hook", SECRET); /* a mistake that is mended loses nothing */
    wait_hooks(1);
    assert_true(signature_is_good(SECRET, &hooks[0]));
}

static void test_an_event_published_twice_is_told_once(void **state)
{
    (void)state;
    put_rule("all", "events: ['**']");
    service_start(&s, true);
    for (int i = 0; i < 3; i++)
        put_ended_at("shop", 1, SUCCEEDED, "00000000000000000000000000000001", 0);
    put_ended("shop", 2, SUCCEEDED);
    wait_recorded(SENT, 2);
    service_run_for(&s, 500);
    assert_int_equal(hook_count, 2);
}

static void test_an_answer_without_end_is_taken_for_its_status(void **state)
{
    (void)state;
    put_rule("all", "events: ['**']");
    flooding = true;
    service_start(&s, true);
    put_ended("shop", 1, SUCCEEDED);
    wait_recorded(SENT, 1);
    assert_int_equal(hook_count, 1);
}

static void test_what_cannot_be_decoded_is_put_aside_and_the_partition_goes_on(void **state)
{
    struct err err;

    (void)state;
    put_rule("all", "events: ['**']");
    service_start(&s, true);
    assert_int_equal(bus_produce_raw(s.producer, TOPIC_EVENT, -1, "shop", 4, "\xff\xff", 2, NULL, 0,
                                     NULL, NULL, &err),
                     0);
    put_ended("shop", 1, SUCCEEDED);
    wait_hooks(1);
    service_wait(&s, log_says, (void *)"put aside as a dead letter", "the record in deadletter");
    assert_true(service_says(&s, "/metrics", "gantry_notifier_malformed_records_total 1"));
}

static void test_a_stop_waits_for_the_try_under_way_and_loses_nothing(void **state)
{
    size_t distinct;

    (void)state;
    put_rule("all", "events: ['**']");
    service_start(&s, true);
    for (uint64_t i = 1; i <= 40; i++)
        put_ended("shop", i, SUCCEEDED);
    assert_int_equal(service_end(&s, SIGTERM), 0);
    service_start(&s, true);
    wait_recorded(SENT, 40);
    assert_int_equal(repeats(&distinct), 0);
    assert_int_equal(distinct, 40);
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_a_webhook_is_signed_as_standard_webhooks_says),
        ONE(test_a_failure_is_tried_again_with_the_same_id_and_told_once),
        ONE(test_the_targets_wish_to_wait_outlives_a_restart),
        ONE(test_a_target_that_is_gone_is_given_up_and_the_event_put_aside),
        ONE(test_nothing_is_told_twice_after_a_kill_but_what_was_in_flight),
        ONE(test_another_instance_takes_over_without_repeating_what_was_told),
        ONE(test_a_rule_chooses_by_event_pipeline_stage_and_outcome),
        ONE(test_what_happened_more_than_a_day_ago_is_not_told_at_a_first_start),
        ONE(test_a_new_rule_does_not_tell_what_was_before_it),
        ONE(test_a_deleted_rule_tells_no_more_not_even_what_is_to_be_tried_again),
        ONE(test_a_secret_that_is_mended_is_used_by_the_next_try),
        ONE(test_an_event_published_twice_is_told_once),
        ONE(test_an_answer_without_end_is_taken_for_its_status),
        ONE(test_what_cannot_be_decoded_is_put_aside_and_the_partition_goes_on),
        ONE(test_a_stop_waits_for_the_try_under_way_and_loses_nothing),
    };
#undef ONE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
