#include <signal.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "tests/component/console/scene.h"

static struct scene scene;

static int begin(void **state)
{
    *state = &scene;
    if (scene_begin(&scene, NULL) != 0)
        return -1;
    scene_pipeline(&scene, "shop");
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

/* Stands in for the promoter: tells `fact` as what the record caused. */
static void answer(const char *cause, const char *pipeline, Gantry__V1__ReleaseEvent *event)
{
    scene.story.cause = cause;
    story_event(&scene.story, pipeline, event);
    scene.story.cause = NULL;
}

static void answer_started(const char *cause, uint64_t number)
{
    struct story_release release = {
        .pipeline = "shop", .number = number, .message = "Fix it", .author = "Ada King"};

    scene.story.cause = cause;
    story_release_started(&scene.story, &release);
    scene.story.cause = NULL;
}

static void answer_refused(const char *cause, const char *reason)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__CommandRefused refused = GANTRY__V1__COMMAND_REFUSED__INIT;

    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_COMMAND_REFUSED;
    event.command_refused = &refused;
    refused.ce_id = (char *)cause;
    refused.what = "start";
    refused.reason = (char *)reason;
    answer(cause, "shop", &event);
}

static void answer_taken(const struct got *got, uint64_t number)
{
    const Gantry__V1__Definition *definition = got->message;
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__DefinitionTaken taken = GANTRY__V1__DEFINITION_TAKEN__INIT;

    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_TAKEN;
    event.definition_taken = &taken;
    taken.number = number;
    taken.sha256 = definition->sha256;
    taken.author = definition->author;
    answer(got->meta.id, definition->name, &event);
}

static struct reply *begin_post(const char *path, const char *json, const char *key)
{
    return rest_send(&scene.rest, path,
                     &(struct ask){.method = "POST", .body = json, .headers = {key}});
}

/* ---- commands ---- */

static void a_start_is_answered_with_the_release_that_it_started(void **state)
{
    char yaml[SCENE_YAML_SIZE];
    uint8_t hash[SHA256_SIZE];
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    (void)state;

    struct reply *r = begin_post("/api/v1/pipelines/shop/releases",
                                 "{\"revision\": \"ABCDEF0123456789ABCDEF0123456789ABCDEF01\","
                                 " \"ref\": \"main\", \"variables\": {\"LEVEL\": \"debug\"}}",
                                 NULL);
    const struct got *got = scene_sent(&scene, TOPIC_COMMAND, "shop", n, r);
    const Gantry__V1__Command *command = got->message;
    scene_yaml(yaml, "shop");
    sha256(yaml, strlen(yaml), hash);
    assert_int_equal(command->what_case, GANTRY__V1__COMMAND__WHAT_START);
    assert_string_equal(command->pipeline, "shop");
    assert_string_equal(command->caller->subject, "token:bootstrap");
    assert_int_equal(command->definition_sha256.len, SHA256_SIZE);
    assert_memory_equal(command->definition_sha256.data, hash, SHA256_SIZE);
    assert_string_equal(command->start->revisions[0]->source, "app");
    assert_string_equal(command->start->revisions[0]->ref, "refs/heads/main");
    assert_string_equal(command->start->revisions[0]->commit,
                        "abcdef0123456789abcdef0123456789abcdef01");
    assert_string_equal(command->start->variables[0]->value, "debug");
    assert_string_equal(got->meta.source, "/gantry/console");
    assert_string_equal(got->meta.type, "gantry.start.commanded.v1");
    answer_started(got->meta.id, 1);
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 201);
    assert_int_equal(reply_num(r, "number"), 1);
    assert_string_equal(r->location, "/api/v1/pipelines/shop/releases/1");
    rest_release(r);
}

static void a_refusal_is_a_conflict_with_its_reason(void **state)
{
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    (void)state;

    struct reply *r = begin_post("/api/v1/pipelines/shop/releases", "{}", NULL);
    answer_refused(scene_sent(&scene, TOPIC_COMMAND, "shop", n, r)->meta.id,
                   "source app has no commit yet");
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 409);
    assert_string_equal(r->type, "application/problem+json");
    assert_string_equal(reply_text(r, "detail"), "source app has no commit yet");
    rest_release(r);
}

static void the_same_key_again_sends_nothing_and_says_the_same(void **state)
{
    const char *key = "Idempotency-Key: once-and-again";
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    char id[64];
    (void)state;

    struct reply *r = begin_post("/api/v1/pipelines/shop/releases", "{}", key);
    struct reply *twin = begin_post("/api/v1/pipelines/shop/releases", "{}", key);
    snprintf(id, sizeof(id), "%s", scene_sent(&scene, TOPIC_COMMAND, "shop", n, r)->meta.id);
    answer_started(id, 2);
    rest_wait(&scene.rest, r);
    rest_wait(&scene.rest, twin);
    assert_int_equal(r->status, 201);
    assert_int_equal(twin->status, 201);
    rest_release(twin);
    rest_release(r);
    r = rest_call(&scene.rest, "/api/v1/pipelines/shop/releases",
                  &(struct ask){.method = "POST", .body = "{}", .headers = {key}});
    assert_int_equal(r->status, 201);
    assert_int_equal(reply_num(r, "number"), 2);
    rest_release(r);
    service_run_for(&scene.service, 200);
    assert_int_equal(scene_count(&scene, TOPIC_COMMAND, "shop"), n + 1);
}

static void without_an_answer_the_caller_is_told_where_to_look(void **state)
{
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    char path[128];
    (void)state;

    struct reply *r = rest_post(&scene.rest, "/api/v1/pipelines/shop/releases", "{}");
    assert_int_equal(r->status, 202);
    snprintf(path, sizeof(path), "%s", r->location);
    const struct got *got = scene_sent(&scene, TOPIC_COMMAND, "shop", n, r);
    rest_release(r);
    assert_string_equal(path + strlen("/api/v1/commands/"), got->meta.id);
    r = rest_get(&scene.rest, path);
    assert_string_equal(reply_text(r, "status"), "pending");
    rest_release(r);
    answer_started(got->meta.id, 3);
    rest_until(&scene.rest, path, "status", "done");
    r = rest_get(&scene.rest, path);
    assert_int_equal(reply_num(r, "release"), 3);
    rest_release(r);
}

static void stop_retry_and_rollback_say_what_they_were_asked(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ReleaseStopping stopping = GANTRY__V1__RELEASE_STOPPING__INIT;
    Gantry__V1__StageEntered entered = GANTRY__V1__STAGE_ENTERED__INIT;
    Gantry__V1__Actor actor = GANTRY__V1__ACTOR__INIT;
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    (void)state;

    actor.subject = "token:bootstrap";
    struct reply *r = begin_post("/api/v1/pipelines/shop/releases/1/stop",
                                 "{\"mode\": \"abandon\", \"reason\": \"wrong\"}", NULL);
    const struct got *got = scene_sent(&scene, TOPIC_COMMAND, "shop", n++, r);
    const Gantry__V1__Command *command = got->message;
    assert_int_equal(command->stop->mode, GANTRY__V1__STOP_MODE__STOP_MODE_ABANDON);
    assert_string_equal(command->stop->reason, "wrong");
    stopping.release = 1;
    stopping.mode = GANTRY__V1__STOP_MODE_TAKEN__STOP_MODE_TAKEN_ABANDON;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STOPPING;
    event.release_stopping = &stopping;
    event.actor = &actor;
    answer(got->meta.id, "shop", &event);
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 200);
    assert_string_equal(reply_text(r, "stop.mode"), "abandon");
    rest_release(r);

    r = begin_post("/api/v1/pipelines/shop/releases/1/stages/build/retry", "{\"allActions\": true}",
                   NULL);
    got = scene_sent(&scene, TOPIC_COMMAND, "shop", n++, r);
    command = got->message;
    assert_string_equal(command->retry->stage, "build");
    assert_true(command->retry->all_actions);
    entered.release = 1;
    entered.stage = "build";
    entered.number = 2;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_STAGE_ENTERED;
    event.stage_entered = &entered;
    answer(got->meta.id, "shop", &event);
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 200);
    assert_string_equal(reply_text(r, "status"), "in-progress");
    rest_release(r);

    r = begin_post("/api/v1/pipelines/shop/stages/dev/rollback",
                   "{\"toRelease\": 2, \"reason\": \"broke\"}", NULL);
    got = scene_sent(&scene, TOPIC_COMMAND, "shop", n++, r);
    command = got->message;
    assert_string_equal(command->rollback->stage, "dev");
    assert_int_equal(command->rollback->to_release, 2);
    answer_started(got->meta.id, 4);
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 201);
    rest_release(r);
}

static void commands_that_make_no_sense_are_refused_before_they_are_sent(void **state)
{
    static const struct {
        const char *path, *body;
        int status;
        const char *where;
    } cases[] = {
        {"/api/v1/pipelines/nowhere/releases", "{}", 404, NULL},
        {"/api/v1/pipelines/No..Name/releases", "{}", 404, NULL},
        {"/api/v1/pipelines/shop/releases", "{", 400, NULL},
        {"/api/v1/pipelines/shop/releases", "[]", 400, NULL},
        {"/api/v1/pipelines/shop/releases", "{\"revison\": \"x\"}", 422, "revison"},
        {"/api/v1/pipelines/shop/releases", "{\"revision\": 7}", 422, "revision"},
        {"/api/v1/pipelines/shop/releases", "{\"revision\": \"main\"}", 422, "revision"},
        {"/api/v1/pipelines/shop/releases", "{\"revision\": \"0000000\"}", 422, "revision"},
        {"/api/v1/pipelines/shop/releases", "{\"source\": \"other\"}", 422, "source"},
        {"/api/v1/pipelines/shop/releases", "{\"ref\": \"a b\"}", 422, "ref"},
        {"/api/v1/pipelines/shop/releases", "{\"ref\": \"--exec\"}", 422, "ref"},
        {"/api/v1/pipelines/shop/releases", "{\"variables\": []}", 422, "variables"},
        {"/api/v1/pipelines/shop/releases", "{\"variables\": {\"1\": \"x\"}}", 422, "variables.1"},
        {"/api/v1/pipelines/shop/releases", "{\"variables\": {\"A\": 1}}", 422, "variables.A"},
        {"/api/v1/pipelines/shop/releases/999/stop", "{}", 404, NULL},
        {"/api/v1/pipelines/shop/releases/x/stop", "{}", 404, NULL},
        {"/api/v1/pipelines/shop/releases/1/stop", "{\"mode\": \"now\"}", 422, "mode"},
        {"/api/v1/pipelines/shop/releases/1/stages/build/retry", "{\"allActions\": 1}", 422,
         "allActions"},
        {"/api/v1/pipelines/shop/stages/dev/rollback", "{}", 422, "toRelease"},
        {"/api/v1/pipelines/shop/stages/dev/rollback", "{\"toRelease\": -1}", 422, "toRelease"},
    };
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct reply *r = rest_post(&scene.rest, cases[i].path, cases[i].body);
        if (r->status != cases[i].status)
            fail_msg("%s %s: %d %s", cases[i].path, cases[i].body, r->status, r->body);
        assert_string_equal(r->type, "application/problem+json");
        assert_int_equal(reply_num(r, "status"), r->status);
        if (cases[i].where)
            assert_string_equal(reply_text(r, "errors.0.path"), cases[i].where);
        rest_release(r);
    }
    struct reply *r = rest_call(
        &scene.rest, "/api/v1/pipelines/shop/releases",
        &(struct ask){.method = "POST", .body = "{}", .headers = {"Idempotency-Key: with blank"}});
    assert_int_equal(r->status, 400);
    rest_release(r);
    service_run_for(&scene.service, 200);
    assert_int_equal(scene_count(&scene, TOPIC_COMMAND, "shop"), n);
}

static void the_first_digits_of_a_known_commit_are_enough(void **state)
{
    struct story_release release = {.pipeline = "shop",
                                    .number = 20,
                                    .commit = "77aa0123456789abcdef0123456789abcdef0123",
                                    .message = "Fix it",
                                    .author = "Ada King"};
    size_t n = scene_count(&scene, TOPIC_COMMAND, "shop");
    (void)state;

    story_release_started(&scene.story, &release);
    rest_until(&scene.rest, "/api/v1/pipelines/shop", "latestRelease", "20");
    struct reply *r =
        begin_post("/api/v1/pipelines/shop/releases", "{\"revision\": \"77aa0123\"}", NULL);
    const struct got *got = scene_sent(&scene, TOPIC_COMMAND, "shop", n, r);
    const Gantry__V1__Command *command = got->message;
    assert_string_equal(command->start->revisions[0]->commit, release.commit);
    answer_refused(got->meta.id, "enough");
    rest_wait(&scene.rest, r);
    rest_release(r);
}

/* ---- definitions ---- */

static struct reply *put(const char *path, const char *yaml, const char *condition)
{
    return rest_send(
        &scene.rest, path,
        &(struct ask){
            .method = "PUT", .body = yaml, .type = "application/yaml", .headers = {condition}});
}

static struct reply *put_now(const char *path, const char *yaml, const char *condition)
{
    struct reply *r = put(path, yaml, condition);

    rest_wait(&scene.rest, r);
    return r;
}

static void a_definition_is_stored_under_conditions_and_waits_to_be_taken(void **state)
{
    const char *path = "/api/v1/definitions/Pipeline/new";
    char yaml[SCENE_YAML_SIZE], changed[SCENE_YAML_SIZE + 32], condition[128], first[80];
    size_t n = scene_count(&scene, TOPIC_DEFINITION, "new");
    (void)state;

    scene_yaml(yaml, "new");
    struct reply *r = put_now(path, yaml, NULL);
    assert_int_equal(r->status, 428);
    rest_release(r);
    r = put_now(path, yaml, "If-Match: \"0\"");
    assert_int_equal(r->status, 412);
    rest_release(r);

    r = put(path, yaml, "If-None-Match: *");
    const struct got *got = scene_sent(&scene, TOPIC_DEFINITION, "new", n++, r);
    const Gantry__V1__Definition *definition = got->message;
    assert_int_equal(definition->yaml.len, strlen(yaml));
    assert_int_equal(definition->replaces_sha256.len, 0);
    assert_string_equal(definition->author, "token:bootstrap");
    struct reply *rival = put_now(path, yaml, "If-None-Match: *");
    assert_true(rival->status == 409 || rival->status == 412);
    rest_release(rival);
    answer_taken(got, 1);
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 201);
    assert_int_equal(reply_num(r, "number"), 1);
    snprintf(first, sizeof(first), "%s", r->etag);
    rest_release(r);

    r = put_now(path, yaml, NULL);
    assert_int_equal(r->status, 200);
    assert_string_equal(reply_text(r, "status"), "unchanged");
    rest_release(r);
    snprintf(changed, sizeof(changed), "%s# changed\n", yaml);
    r = put_now(path, changed, "If-None-Match: *");
    assert_int_equal(r->status, 412);
    rest_release(r);
    snprintf(condition, sizeof(condition), "If-Match: %s", first);
    r = put(path, changed, condition);
    got = scene_sent(&scene, TOPIC_DEFINITION, "new", n++, r);
    definition = got->message;
    assert_int_equal(definition->replaces_sha256.len, SHA256_SIZE);
    answer_taken(got, 2);
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 200);
    assert_string_not_equal(r->etag, first);
    rest_release(r);
    r = put_now(path, yaml, condition);
    assert_int_equal(r->status, 412);
    rest_release(r);
    assert_int_equal(scene_count(&scene, TOPIC_DEFINITION, "new"), n);
}

static void a_definition_comes_back_as_it_was_given(void **state)
{
    char yaml[SCENE_YAML_SIZE], condition[128];
    (void)state;

    scene_yaml(yaml, "shop");
    struct reply *r = rest_get(&scene.rest, "/api/v1/definitions/pipeline/shop");
    assert_int_equal(r->status, 200);
    assert_string_equal(reply_text(r, "yaml"), yaml);
    assert_string_equal(reply_text(r, "status"), "taken");
    snprintf(condition, sizeof(condition), "If-None-Match: %s", r->etag);
    rest_release(r);
    r = rest_call(&scene.rest, "/api/v1/definitions/Pipeline/shop",
                  &(struct ask){.headers = {"Accept: application/yaml"}});
    assert_string_equal(r->type, "application/yaml");
    assert_string_equal(r->body, yaml);
    rest_release(r);
    r = rest_call(&scene.rest, "/api/v1/definitions/Pipeline/shop",
                  &(struct ask){.headers = {condition}});
    assert_int_equal(r->status, 304);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/definitions?kind=Pipeline&limit=1");
    assert_int_equal(json_array_size(json_at(r->json, "definitions")), 1);
    assert_string_equal(reply_text(r, "definitions.0.name"), "new");
    assert_string_equal(reply_text(r, "next"), "Pipeline/new");
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/definitions?kind=Pipeline&cursor=Pipeline/new");
    assert_string_equal(reply_text(r, "definitions.0.name"), "shop");
    rest_release(r);
}

static void every_mistake_is_named_and_the_old_definition_stays(void **state)
{
    static const char bad[] =
        "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: shop}\nspec:\n"
        "  mode: sideways\n  sources: []\n  stages:\n    - name: BAD NAME\n"
        "      steps: []\n";
    char yaml[SCENE_YAML_SIZE];
    size_t n = scene_count(&scene, TOPIC_DEFINITION, "shop");
    (void)state;

    struct reply *r = put_now("/api/v1/definitions/Pipeline/shop", bad, "If-Match: *");
    assert_int_equal(r->status, 422);
    assert_true(json_array_size(json_at(r->json, "errors")) > 1);
    assert_int_equal(reply_num(r, "errors.0.line"), 5);
    assert_string_equal(reply_text(r, "errors.0.path"), "spec.mode");
    assert_true(*reply_text(r, "errors.0.reason") != '\0');
    assert_true(reply_num(r, "errors.0.column") > 0);
    rest_release(r);
    scene_yaml(yaml, "other");
    r = put_now("/api/v1/definitions/Pipeline/shop", yaml, "If-Match: *");
    assert_string_equal(reply_text(r, "errors.0.path"), "metadata.name");
    rest_release(r);
    r = put_now("/api/v1/definitions/Environment/other", yaml, "If-None-Match: *");
    assert_string_equal(reply_text(r, "errors.0.path"), "kind");
    rest_release(r);
    r = put_now("/api/v1/definitions/Role/admins", yaml, "If-None-Match: *");
    assert_int_equal(r->status, 404);
    rest_release(r);
    r = put_now("/api/v1/definitions/Pipeline/other?dryRun=true", yaml, NULL);
    assert_int_equal(r->status, 200);
    assert_true(json_is_true(json_at(r->json, "changed")));
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/definitions/Pipeline/other");
    assert_int_equal(r->status, 404);
    rest_release(r);
    scene_yaml(yaml, "shop");
    r = rest_get(&scene.rest, "/api/v1/definitions/Pipeline/shop");
    assert_string_equal(reply_text(r, "yaml"), yaml);
    rest_release(r);
    assert_int_equal(scene_count(&scene, TOPIC_DEFINITION, "shop"), n);
}

static void what_the_promoter_refuses_of_a_definition_is_told(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__DefinitionRefused refused = GANTRY__V1__DEFINITION_REFUSED__INIT;
    char yaml[SCENE_YAML_SIZE + 32];
    size_t n = scene_count(&scene, TOPIC_DEFINITION, "new");
    (void)state;

    scene_yaml(yaml, "new");
    snprintf(yaml + strlen(yaml), 32, "# refused\n");
    struct reply *r = put("/api/v1/definitions/Pipeline/new", yaml, "If-Match: *");
    const struct got *got = scene_sent(&scene, TOPIC_DEFINITION, "new", n, r);
    const Gantry__V1__Definition *definition = got->message;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_REFUSED;
    event.definition_refused = &refused;
    refused.sha256 = definition->sha256;
    refused.reason = "stage prod cannot go while a release is in it";
    answer(got->meta.id, "new", &event);
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 409);
    assert_string_equal(reply_text(r, "detail"), refused.reason);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/pipelines/new");
    assert_string_equal(reply_text(r, "definition.status"), "refused");
    assert_string_equal(reply_text(r, "definition.reason"), refused.reason);
    rest_release(r);
}

static void an_environment_needs_no_promoter(void **state)
{
    const char *path = "/api/v1/definitions/Environment/edge";
    (void)state;

    struct reply *r = put_now(path,
                              "apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: edge}\n"
                              "spec: {driver: command, command: {run: deploy-edge}}\n",
                              "If-None-Match: *");
    assert_int_equal(r->status, 201);
    rest_release(r);
    r = rest_get(&scene.rest, path);
    assert_string_equal(reply_text(r, "status"), "taken");
    rest_release(r);
    r = rest_call(&scene.rest, path, &(struct ask){.method = "DELETE"});
    assert_int_equal(r->status, 204);
    rest_release(r);
    r = rest_get(&scene.rest, path);
    assert_int_equal(r->status, 404);
    rest_release(r);
}

static void a_pipeline_is_deleted_once_the_promoter_says_so(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__DefinitionDeleted deleted = GANTRY__V1__DEFINITION_DELETED__INIT;
    size_t n = scene_count(&scene, TOPIC_DEFINITION, "new");
    (void)state;

    struct reply *r = rest_send(&scene.rest, "/api/v1/definitions/Pipeline/new",
                                &(struct ask){.method = "DELETE", .headers = {"If-Match: *"}});
    const struct got *got = scene_sent(&scene, TOPIC_DEFINITION, "new", n, r);
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_DELETED;
    event.definition_deleted = &deleted;
    answer(got->meta.id, "new", &event);
    rest_wait(&scene.rest, r);
    assert_int_equal(r->status, 204);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/pipelines/new");
    assert_true(json_is_true(json_at(r->json, "deleted")));
    rest_release(r);
    r = rest_post(&scene.rest, "/api/v1/pipelines/new/releases", "{}");
    assert_int_equal(r->status, 404);
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/pipelines");
    assert_int_equal(json_array_size(json_at(r->json, "pipelines")), 1);
    rest_release(r);
}

/* ---- Kafka away; last, since the console starts anew ---- */

static void without_kafka_the_old_answers_stay_and_nothing_can_be_sent(void **state)
{
    char nowhere[] = "127.0.0.1:1";
    (void)state;

    service_end(&scene.service, SIGTERM);
    scene.service.kafka = nowhere;
    service_start(&scene.service, false);
    scene.service.kafka = NULL;
    struct reply *r = rest_get(&scene.rest, "/api/v1/pipelines/shop");
    assert_int_equal(r->status, 200);
    rest_release(r);
    r = rest_post(&scene.rest, "/api/v1/pipelines/shop/releases", "{}");
    assert_int_equal(r->status, 503);
    assert_string_not_equal(r->retry, "");
    rest_release(r);
    r = rest_get(&scene.rest, "/api/v1/ledger/0");
    assert_int_equal(r->status, 503);
    rest_release(r);
    r = rest_get(&scene.rest, "/readyz");
    assert_int_equal(r->status, 503);
    rest_release(r);
    assert_int_equal(service_end(&scene.service, SIGTERM), 0);
    service_start(&scene.service, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_is_answered_with_the_release_that_it_started),
        cmocka_unit_test(a_refusal_is_a_conflict_with_its_reason),
        cmocka_unit_test(the_same_key_again_sends_nothing_and_says_the_same),
        cmocka_unit_test(without_an_answer_the_caller_is_told_where_to_look),
        cmocka_unit_test(stop_retry_and_rollback_say_what_they_were_asked),
        cmocka_unit_test(commands_that_make_no_sense_are_refused_before_they_are_sent),
        cmocka_unit_test(the_first_digits_of_a_known_commit_are_enough),
        cmocka_unit_test(a_definition_is_stored_under_conditions_and_waits_to_be_taken),
        cmocka_unit_test(a_definition_comes_back_as_it_was_given),
        cmocka_unit_test(every_mistake_is_named_and_the_old_definition_stays),
        cmocka_unit_test(what_the_promoter_refuses_of_a_definition_is_told),
        cmocka_unit_test(an_environment_needs_no_promoter),
        cmocka_unit_test(a_pipeline_is_deleted_once_the_promoter_says_so),
        cmocka_unit_test(without_kafka_the_old_answers_stay_and_nothing_can_be_sent),
    };

    if (!getenv("GANTRY_KAFKA")) {
        printf("LEFT OUT: GANTRY_KAFKA is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
