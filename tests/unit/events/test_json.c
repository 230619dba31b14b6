// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <jansson.h>
#include <stdlib.h>

#include "events/event.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/result.pb-c.h"

static void expect_json(const void *message, const char *text)
{
    json_t *json = event_to_json(message);
    char *got = json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER);
    assert_string_equal(got, text);
    free(got);
    json_decref(json);
}

static void a_message_is_json_with_short_names_and_without_zeros(void **state)
{
    (void)state;
    uint8_t hash[] = {0xde, 0xad, 0xbe, 0xef};
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    Gantry__V1__Actor actor = GANTRY__V1__ACTOR__INIT;
    Gantry__V1__StageEnded ended = GANTRY__V1__STAGE_ENDED__INIT;
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__DefinitionTaken taken = GANTRY__V1__DEFINITION_TAKEN__INIT;
    char *groups[] = {(char *)"qa", (char *)""};
    order.epoch = 1700000000000;
    order.sequence = 7;
    actor.subject = (char *)"token:ci";
    actor.groups = groups;
    actor.n_groups = 2;
    ended.release = 42;
    ended.stage = (char *)"dev";
    ended.status = GANTRY__V1__STATUS__STATUS_IN_PROGRESS;
    event.order = &order;
    event.pipeline = (char *)"shop";
    event.time_ms = 1700000000123;
    event.actor = &actor;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENDED;
    event.stage_ended = &ended;
    expect_json(&event,
                "{\"order\":{\"epoch\":1700000000000,\"sequence\":7},\"pipeline\":\"shop\","
                "\"timeMs\":1700000000123,"
                "\"actor\":{\"subject\":\"token:ci\",\"groups\":[\"qa\",\"\"]},"
                "\"stageEnded\":{\"release\":42,\"stage\":\"dev\",\"status\":\"in-progress\"}}");
    taken.number = 3;
    taken.sha256.data = hash;
    taken.sha256.len = sizeof(hash);
    expect_json(&taken, "{\"number\":3,\"sha256\":\"deadbeef\"}");
}

static void a_chosen_member_shows_even_when_it_is_empty(void **state)
{
    (void)state;
    Gantry__V1__Started started = GANTRY__V1__STARTED__INIT;
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    result.pipeline = (char *)"shop";
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_STARTED;
    result.started = &started;
    expect_json(&result, "{\"pipeline\":\"shop\",\"started\":{}}");
}

static void an_enum_with_a_prefix_of_two_words_is_short_too(void **state)
{
    (void)state;
    Gantry__V1__ReleaseStopping m = GANTRY__V1__RELEASE_STOPPING__INIT;
    m.mode = GANTRY__V1__STOP_MODE_TAKEN__STOP_MODE_TAKEN_ABANDON;
    expect_json(&m, "{\"mode\":\"abandon\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_json_with_short_names_and_without_zeros),
        cmocka_unit_test(a_chosen_member_shows_even_when_it_is_empty),
        cmocka_unit_test(an_enum_with_a_prefix_of_two_words_is_short_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
