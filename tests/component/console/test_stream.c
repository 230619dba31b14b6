#include <signal.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gantry/v1/decision.pb-c.h"
#include "store/sqlite_db.h"
#include "tests/component/console/scene.h"

static struct scene scene;

static int begin(void **state)
{
    *state = &scene;
    if (scene_begin(&scene, NULL) != 0)
        return -1;
    scene_pipeline(&scene, "shop");
    scene_pipeline(&scene, "mail");
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

static void tell(const char *pipeline, uint64_t number)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__StageEntered entered = GANTRY__V1__STAGE_ENTERED__INIT;

    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENTERED;
    event.stage_entered = &entered;
    entered.release = number;
    entered.stage = "build";
    entered.number = 1;
    story_event(&scene.story, pipeline, &event);
}

static int64_t release_of(const struct frame *frame)
{
    return json_integer_value(json_at(frame->data, "stageEntered.release"));
}

static void an_event_comes_as_it_happens(void **state)
{
    struct feed feed;
    (void)state;

    feed_open(&feed, &scene.rest, "/api/v1/events", NULL);
    feed_wait(&feed, 1);
    assert_string_equal(feed.frames[0].name, "hello");
    const int64_t before = clock_mono_ms();
    tell("shop", 1);
    feed_wait(&feed, 2);
    assert_true(clock_mono_ms() - before < 1000);
    assert_string_equal(feed.frames[1].name, "gantry.stage.entered.v1");
    assert_string_equal(json_string_value(json_at(feed.frames[1].data, "pipeline")), "shop");
    assert_string_equal(json_string_value(json_at(feed.frames[1].data, "id")), scene.story.last_id);
    assert_int_equal(release_of(&feed.frames[1]), 1);
    /* What is told is in the read model: a page that asks at once sees it. */
    struct reply *r = rest_get(&scene.rest, "/api/v1/pipelines/shop");
    assert_int_equal(reply_num(r, "stages.0.current.release"), 1);
    rest_release(r);
    feed_close(&feed);
}

static void a_filter_lets_one_pipeline_through(void **state)
{
    struct feed feed;
    (void)state;

    feed_open(&feed, &scene.rest, "/api/v1/events?pipeline=mail", NULL);
    feed_wait(&feed, 1);
    tell("shop", 2);
    tell("mail", 1);
    tell("shop", 3);
    tell("mail", 2);
    feed_wait(&feed, 3);
    assert_int_equal(release_of(&feed.frames[1]), 1);
    assert_int_equal(release_of(&feed.frames[2]), 2);
    assert_string_equal(json_string_value(json_at(feed.frames[2].data, "pipeline")), "mail");
    feed_close(&feed);
}

static void a_repeated_event_is_told_once(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__StageEntered entered = GANTRY__V1__STAGE_ENTERED__INIT;
    struct feed feed;
    (void)state;

    feed_open(&feed, &scene.rest, "/api/v1/events?pipeline=echo", NULL);
    feed_wait(&feed, 1);
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENTERED;
    event.stage_entered = &entered;
    entered.release = 99;
    entered.stage = "build";
    entered.number = 1;
    tell("echo", 1);
    tell("echo", 2);
    story_event_at(&scene.story, "echo", 1, &event);
    tell("echo", 3);
    feed_wait(&feed, 4);
    for (int64_t i = 1; i <= 3; i++)
        assert_int_equal(release_of(&feed.frames[i]), i);
    feed_close(&feed);
}

/* Reads on from an id and expects the releases of `pipeline` from..to, in order. */
static void expect_from(const char *id, const char *path, int64_t from, int64_t to)
{
    struct feed feed;

    feed_open(&feed, &scene.rest, path, id);
    feed_wait(&feed, (size_t)(to - from) + 2);
    assert_string_equal(feed.frames[0].name, "hello");
    for (int64_t i = from; i <= to; i++)
        assert_int_equal(release_of(&feed.frames[i - from + 1]), i);
    tell("shop", (uint64_t)to + 1);
    feed_wait(&feed, (size_t)(to - from) + 3);
    assert_int_equal(release_of(&feed.frames[to - from + 2]), to + 1);
    feed_close(&feed);
}

static void a_stream_goes_on_where_it_broke_off_on_any_console(void **state)
{
    char id[128];
    struct feed feed;
    (void)state;

    rest_until(&scene.rest, "/api/v1/pipelines/shop", "stages.0.current.release", "3");
    feed_open(&feed, &scene.rest, "/api/v1/events?pipeline=shop", NULL);
    feed_wait(&feed, 1);
    tell("shop", 100);
    feed_wait(&feed, 2);
    snprintf(id, sizeof(id), "%s", feed.frames[1].id);
    feed_close(&feed);
    tell("mail", 3);
    for (uint64_t i = 101; i <= 600; i++) /* more than is sent in one turn */
        tell("shop", i);
    story_flush(&scene.story);
    expect_from(id, "/api/v1/events?pipeline=shop", 101, 600);

    /* Another console is one whose file is its own. */
    assert_int_equal(service_end(&scene.service, SIGKILL), -SIGKILL);
    char *path = mem_printf("%s/state/console/read-model.db", scene.service.dir);
    assert_int_equal(sqlite_db_remove(path, NULL), 0);
    free(path);
    service_start(&scene.service, true);
    expect_from(id, "/api/v1/events?pipeline=shop", 101, 601);
}

static void an_id_that_is_none_begins_anew(void **state)
{
    static const char *const ids[] = {"x", "1", "1.2.3", "-1.0", "99999999999999999999.0"};
    (void)state;

    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        struct feed feed;
        feed_open(&feed, &scene.rest, "/api/v1/events", ids[i]);
        feed_wait(&feed, 1);
        assert_string_equal(feed.frames[0].name, "reset");
        feed_close(&feed);
    }
}

static void a_stream_from_a_console_that_is_ahead_is_told_nothing_twice(void **state)
{
    struct feed feed;
    (void)state;

    /* From a console that is ahead of this one: nothing until it has come so far. */
    feed_open(&feed, &scene.rest, "/api/v1/events", "900000.900000");
    feed_wait(&feed, 1);
    tell("shop", 700);
    rest_until(&scene.rest, "/api/v1/pipelines/shop", "stages.0.current.release", "700");
    service_run_for(&scene.service, 200);
    assert_int_equal(feed.count, 1);
    feed_close(&feed);
}

/* ---- the ledger ---- */

static void put_decision(uint64_t n)
{
    Gantry__V1__Decision decision = GANTRY__V1__DECISION__INIT;
    Gantry__V1__Cause cause = GANTRY__V1__CAUSE__INIT;
    struct buf value;
    struct err err;

    decision.cause = &cause;
    cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_CLOCK;
    decision.time_ms = (int64_t)n;
    decision.epoch = 1;
    buf_init(&value, 4096);
    assert_int_equal(event_pack(&value, &decision, &err), 0);
    assert_int_equal(bus_produce_raw(scene.service.producer, TOPIC_LEDGER, 1, "@partition", 10,
                                     value.data, value.len, NULL, 0, NULL, NULL, &err),
                     0);
    buf_release(&value);
}

static uint64_t big_endian(const char *data, int bytes)
{
    uint64_t value = 0;

    while (bytes-- > 0)
        value = value << 8 | (unsigned char)*data++;
    return value;
}

static void the_ledger_comes_in_pages_to_its_end(void **state)
{
    int64_t offset = 0, expected = 0;
    char path[96];
    (void)state;

    for (uint64_t i = 0; i < 25; i++)
        put_decision(1000 + i);
    story_flush(&scene.story);
    struct reply *r = rest_get(&scene.rest, "/api/v1/ledger");
    assert_int_equal(reply_num(r, "count"), SERVICE_PARTITIONS);
    assert_int_equal(reply_num(r, "partitions.1.end"), 25);
    assert_int_equal(reply_num(r, "partitions.0.end"), 0);
    rest_release(r);
    while (expected < 25) {
        snprintf(path, sizeof(path), "/api/v1/ledger/1?from=%lld&limit=10", (long long)offset);
        r = rest_get(&scene.rest, path);
        assert_int_equal(r->status, 200);
        assert_string_equal(r->type, "application/octet-stream");
        for (size_t at = 0; at < r->len;) {
            void *message;
            assert_int_equal(big_endian(r->body + at, 8), expected);
            size_t len = big_endian(r->body + at + 8, 4);
            assert_int_equal(event_parse(&message, TOPIC_LEDGER, r->body + at + 12, len, NULL), 0);
            assert_int_equal(((Gantry__V1__Decision *)message)->time_ms, 1000 + expected++);
            event_free(message);
            at += 12 + len;
        }
        offset = strtoll(r->next, NULL, 10);
        assert_int_equal(offset, expected);
        rest_release(r);
    }
    r = rest_get(&scene.rest, "/api/v1/ledger/1?from=25");
    assert_int_equal(r->status, 200);
    assert_int_equal(r->len, 0);
    assert_string_equal(r->next, "25");
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/ledger/1?from=9223372036854775806");
    assert_int_equal(r->status, 200);
    assert_string_equal(r->next, "9223372036854775806");
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/ledger/0");
    assert_int_equal(r->len, 0);
    rest_release(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_comes_as_it_happens),
        cmocka_unit_test(a_filter_lets_one_pipeline_through),
        cmocka_unit_test(a_repeated_event_is_told_once),
        cmocka_unit_test(a_stream_goes_on_where_it_broke_off_on_any_console),
        cmocka_unit_test(an_id_that_is_none_begins_anew),
        cmocka_unit_test(a_stream_from_a_console_that_is_ahead_is_told_nothing_twice),
        cmocka_unit_test(the_ledger_comes_in_pages_to_its_end),
    };

    if (!getenv("GANTRY_KAFKA")) {
        printf("LEFT OUT: GANTRY_KAFKA is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
