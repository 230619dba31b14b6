/* Transitions, gates and pins: what is sent for a call, and what the caller is told. */
#include "gantry/v1/command.pb-c.h"
#include "tests/component/console/scene.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct scene scene;
static Gantry__V1__Actor kim = {.base = {.descriptor = &gantry__v1__actor__descriptor},
                                .subject = "token:kim",
                                .name = "Kim",
                                .email = ""};

static int begin(void **state)
{
    struct story_release release = {
        .pipeline = "shop", .number = 1, .message = "Fix it", .author = "Ada King"};
    *state = &scene;
    if (scene_begin(&scene, NULL) != 0)
        return -1;
    scene_pipeline(&scene, "shop");
    story_release_started(&scene.story, &release);
    story_stage_waiting(&scene.story, &release, "prod", "manual");
    rest_until(&scene.rest, "/api/v1/pipelines/shop/releases/1", "status", "waiting");
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

/* Posts, and hands out the command that is sent for it. */
static struct reply *post(const char *path, const char *json, const struct got **got)
{
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    struct reply *r = rest_send(&scene.rest, path, &(struct ask){.method = "POST", .body = json});

    *got = scene_sent(&scene, TOPIC_COMMAND, "shop", n, r);
    return r;
}

/* Tells `event` as what the command caused, and waits for what the caller is told. */
static void answer(struct reply *r, const struct got *got, Gantry__V1__ReleaseEvent *event)
{
    event->actor = &kim;
    scene.story.cause = got->meta.id;
    story_event(&scene.story, "shop", event);
    scene.story.cause = NULL;
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 200);
}

#define EVENT(fact, member, value)                                                                 \
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;                              \
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_##fact;                                      \
    event.member = (value)

static void a_transition_is_disabled_with_a_reason_and_enabled_again(void **state)
{
    Gantry__V1__TransitionSet fact = GANTRY__V1__TRANSITION_SET__INIT;
    const char *path = "/api/v1/pipelines/shop/stages/prod/transition";
    EVENT(TRANSITION_SET, transition_set, &fact);
    const struct got *got;
    (void)state;

    struct reply *r = post(path, "{\"enabled\": false, \"reason\": \"the fair\"}", &got);
    const Gantry__V1__Command *command = got->message;
    assert_int_equal(command->what_case, GANTRY__V1__COMMAND__WHAT_TRANSITION);
    assert_string_equal(command->caller->subject, "token:bootstrap");
    assert_string_equal(command->transition->stage, "prod");
    assert_false(command->transition->enabled);
    assert_string_equal(command->transition->reason, "the fair");
    assert_string_equal(got->meta.type, "gantry.transition.commanded.v1");
    fact.stage = "prod";
    fact.reason = "the fair";
    answer(r, got, &event);
    assert_true(json_is_false(json_at(r->json, "enabled")));
    assert_string_equal(reply_text(r, "stage"), "prod");
    assert_string_equal(reply_text(r, "reason"), "the fair");
    assert_string_equal(reply_text(r, "by"), "Kim");
    rest_release(r);

    r = post(path, "{\"enabled\": true}", &got);
    command = got->message;
    assert_true(command->transition->enabled);
    fact.enabled = true;
    fact.reason = "";
    answer(r, got, &event);
    assert_true(json_is_true(json_at(r->json, "enabled")));
    rest_release(r);
}

static void a_release_is_promoted_and_shown_as_such(void **state)
{
    Gantry__V1__ReleasePromoted fact = GANTRY__V1__RELEASE_PROMOTED__INIT;
    char *gates[] = {"manual"};
    EVENT(RELEASE_PROMOTED, release_promoted, &fact);
    const struct got *got;
    (void)state;

    struct reply *r = post("/api/v1/pipelines/shop/releases/1/stages/prod/promote", "", &got);
    const Gantry__V1__Command *command = got->message;
    assert_int_equal(command->what_case, GANTRY__V1__COMMAND__WHAT_PROMOTE);
    assert_int_equal(command->promote->release, 1);
    assert_string_equal(command->promote->stage, "prod");
    fact.release = 1;
    fact.stage = "prod";
    fact.gates = gates;
    fact.n_gates = 1;
    answer(r, got, &event);
    assert_int_equal(reply_num(r, "number"), 1);
    assert_string_equal(reply_text(r, "passes.0.how"), "promoted");
    rest_release(r);
}

static void a_gate_is_overridden_with_a_reason(void **state)
{
    Gantry__V1__GateOverridden fact = GANTRY__V1__GATE_OVERRIDDEN__INIT;
    EVENT(GATE_OVERRIDDEN, gate_overridden, &fact);
    const struct got *got;
    (void)state;

    struct reply *r = post("/api/v1/pipelines/shop/releases/1/stages/prod/gates/approval/override",
                           "{\"reason\": \"PROD is down\"}", &got);
    const Gantry__V1__Command *command = got->message;
    assert_int_equal(command->what_case, GANTRY__V1__COMMAND__WHAT_OVERRIDE_GATE);
    assert_int_equal(command->override_gate->release, 1);
    assert_string_equal(command->override_gate->stage, "prod");
    assert_string_equal(command->override_gate->gate, "approval");
    assert_string_equal(command->override_gate->reason, "PROD is down");
    fact.release = 1;
    fact.stage = "prod";
    fact.gate = "approval";
    fact.reason = "PROD is down";
    fact.by = &kim;
    scene.story.now_ms++;
    answer(r, got, &event);
    assert_string_equal(reply_text(r, "passes.1.how"), "overridden");
    assert_string_equal(reply_text(r, "passes.1.reason"), "PROD is down");
    rest_release(r);
}

static void an_environment_is_pinned_and_unpinned(void **state)
{
    Gantry__V1__EnvironmentPinned fact = GANTRY__V1__ENVIRONMENT_PINNED__INIT;
    EVENT(ENVIRONMENT_PINNED, environment_pinned, &fact);
    const struct got *got;
    (void)state;

    struct reply *r = post("/api/v1/pipelines/shop/environments/prod/pin",
                           "{\"digest\": \"" DIGEST "\", \"reason\": \"the fair\"}", &got);
    const Gantry__V1__Command *command = got->message;
    assert_int_equal(command->what_case, GANTRY__V1__COMMAND__WHAT_PIN);
    assert_string_equal(command->pin->environment, "prod");
    assert_string_equal(command->pin->digest, DIGEST);
    assert_true(command->pin->pinned);
    fact.environment = "prod";
    fact.pinned = true;
    fact.digest = DIGEST;
    fact.reason = "the fair";
    answer(r, got, &event);
    assert_true(json_is_true(json_at(r->json, "pinned")));
    assert_string_equal(reply_text(r, "digest"), DIGEST);
    rest_release(r);

    r = post("/api/v1/pipelines/shop/environments/prod/unpin", "", &got);
    command = got->message;
    assert_false(command->pin->pinned);
    fact.pinned = false;
    answer(r, got, &event);
    assert_true(json_is_false(json_at(r->json, "pinned")));
    assert_string_equal(reply_text(r, "environment"), "prod");
    rest_release(r);
}

static void what_makes_no_sense_is_refused_before_it_is_sent(void **state)
{
    static const struct {
        const char *path, *body;
        int status;
        const char *where;
    } cases[] = {
        {"stages/prod/transition", "{}", 422, "enabled"},
        {"stages/prod/transition", "{\"enabled\": \"no\"}", 422, "enabled"},
        {"stages/prod/transition", "{\"enabled\": false}", 422, "reason"},
        {"stages/prod/transition", "{\"enabled\": false, \"reason\": 7}", 422, "reason"},
        {"stages/prod/transition", "{\"enable\": false}", 422, "enable"},
        {"stages/No..Name/transition", "{\"enabled\": true}", 404, NULL},
        {"releases/1/stages/prod/promote", "{\"force\": true}", 422, "force"},
        {"releases/999/stages/prod/promote", "{}", 404, NULL},
        {"releases/1/stages/prod/gates/soak/override", "{}", 422, "reason"},
        {"releases/1/stages/prod/gates/soak/override", "{\"reason\": \"\"}", 422, "reason"},
        {"releases/1/stages/prod/gates/So%20ak/override", "{\"reason\": \"x\"}", 404, NULL},
        {"releases/999/stages/prod/gates/soak/override", "{\"reason\": \"x\"}", 404, NULL},
        {"environments/prod/pin", "{}", 422, "reason"},
        {"environments/prod/pin", "{\"reason\": \"x\", \"digest\": \"latest\"}", 422, "digest"},
        {"environments/prod/pin", "{\"reason\": \"x\", \"digest\": \"sha256:ABC\"}", 422, "digest"},
        {"environments/prod/unpin", "{\"digest\": \"" DIGEST "\"}", 422, "digest"},
    };
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    char path[160];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        snprintf(path, sizeof(path), "/api/v1/pipelines/shop/%s", cases[i].path);
        struct reply *r = rest_post(&scene.rest, path, cases[i].body);
        if (r->status != cases[i].status)
            fail_msg("%s %s: %d %s", path, cases[i].body, r->status, r->body);
        assert_string_equal(r->type, "application/problem+json");
        if (cases[i].where)
            assert_string_equal(reply_text(r, "errors.0.path"), cases[i].where);
        rest_release(r);
    }
    service_run_for(&scene.service, 200);
    assert_int_equal(scene_count(&scene, TOPIC_COMMAND, "shop"), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transition_is_disabled_with_a_reason_and_enabled_again),
        cmocka_unit_test(a_release_is_promoted_and_shown_as_such),
        cmocka_unit_test(a_gate_is_overridden_with_a_reason),
        cmocka_unit_test(an_environment_is_pinned_and_unpinned),
        cmocka_unit_test(what_makes_no_sense_is_refused_before_it_is_sent),
    };

    if (!getenv("GANTRY_KAFKA")) {
        printf("LEFT OUT: GANTRY_KAFKA is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
