#include <signal.h>

#include "base/str.h"
#include "tests/component/console/scene.h"

static struct scene scene;

static const struct {
    const char *name, *token, *role;
} people[] = {{"vera", "gty_viewer", "viewer"},
              {"dave", "gty_developer", "developer"},
              {"olga", "gty_operator", "operator"},
              {"adam", "gty_admin", "admin"},
              {"otto", "gty_other", "approver"}};

static int begin(void **state)
{
    *state = &scene;
    if (scene_begin(&scene, NULL) != 0)
        return -1;
    scene_pipeline(&scene, "shop");
    for (size_t i = 0; i < sizeof(people) / sizeof(*people); i++)
        story_token(&scene.story, people[i].name, people[i].token, people[i].role);
    story_flush(&scene.story);
    for (size_t i = 0; i < sizeof(people) / sizeof(*people); i++) {
        scene.rest.token = people[i].token;
        rest_until(&scene.rest, "/api/v1/whoami", "name", people[i].name);
    }
    scene.rest.token = REST_ADMIN;
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end(&scene);
    return 0;
}

static int status_as(const char *token, const char *method, const char *path, const char *body)
{
    const char *before = scene.rest.token;

    scene.rest.token = token;
    struct reply *r = rest_call(&scene.rest, path, &(struct ask){.method = method, .body = body});
    int status = r->status;
    rest_release(r);
    scene.rest.token = before;
    return status;
}

static void who_brings_no_known_token_is_told_to(void **state)
{
    static const char *const paths[] = {
        "/api/v1/pipelines", "/api/v1/pipelines/shop", "/api/v1/events",    "/api/v1/ledger",
        "/api/v1/ledger/0",  "/api/v1/definitions",    "/api/v1/approvals", "/api/v1/environments",
        "/api/v1/whoami",    "/api/v1/search?q=x",     "/api/v1/releases",  "/api/v1/commands/x",
        "/api/v1/runs/x/log"};
    (void)state;

    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        assert_int_equal(status_as(NULL, "GET", paths[i], NULL), 401);
        assert_int_equal(status_as("gty_guessed", "GET", paths[i], NULL), 401);
    }
    struct answer answer = service_http(&scene.service, "GET", "/api/v1/pipelines", "", NULL, 0);
    assert_non_null(strcasestr(answer.head, "WWW-Authenticate: Bearer"));
    assert_non_null(strcasestr(answer.head, "application/problem+json"));
    assert_int_equal(status_as(NULL, "POST", "/api/v1/pipelines/shop/releases", "{}"), 401);
    assert_int_equal(status_as(NULL, "GET", "/api/v1/version", NULL), 200);
    assert_int_equal(status_as(NULL, "GET", "/api/v1/openapi.json", NULL), 200);
    assert_int_equal(status_as(NULL, "GET", "/", NULL), 200);
}

static void a_role_decides_what_may_be_done(void **state)
{
    /* A command that passes is refused for what it asks (404, 422 or 428), not for who asks. */
    static const struct {
        const char *method, *path, *body;
        const char *enough, *too_little;
        int status;
    } cases[] = {
        {"POST", "/api/v1/pipelines/shop/releases", "{\"x\": 1}", "gty_developer", "gty_viewer",
         422},
        {"POST", "/api/v1/pipelines/shop/releases", "{\"x\": 1}", "gty_operator", "gty_other", 422},
        {"POST", "/api/v1/pipelines/shop/releases/9/stop", "{}", "gty_developer", "gty_viewer",
         404},
        {"POST", "/api/v1/pipelines/shop/releases/9/stages/dev/retry", "{}", "gty_developer",
         "gty_viewer", 404},
        {"POST", "/api/v1/pipelines/shop/stages/dev/rollback", "{}", "gty_operator",
         "gty_developer", 422},
        {"POST", "/api/v1/pipelines/shop/stages/dev/transition", "{}", "gty_operator",
         "gty_developer", 422},
        {"POST", "/api/v1/pipelines/shop/stages/dev/transition", "{}", "gty_admin", "gty_other",
         422},
        {"POST", "/api/v1/pipelines/shop/releases/9/stages/dev/promote", "{}", "gty_operator",
         "gty_developer", 404},
        {"POST", "/api/v1/pipelines/shop/releases/9/stages/dev/gates/soak/override", "{}",
         "gty_operator", "gty_developer", 404},
        {"POST", "/api/v1/pipelines/shop/environments/dev/pin", "{}", "gty_operator",
         "gty_developer", 422},
        {"POST", "/api/v1/pipelines/shop/environments/dev/unpin", "[]", "gty_operator",
         "gty_developer", 400},
        {"PUT", "/api/v1/definitions/Pipeline/shop", "x", "gty_operator", "gty_developer", 422},
        {"PUT", "/api/v1/definitions/Environment/edge", "x", "gty_admin", "gty_operator", 422},
        {"PUT", "/api/v1/definitions/Notification/mail", "x", "gty_admin", "gty_operator", 422},
        {"DELETE", "/api/v1/definitions/Pipeline/none", NULL, "gty_operator", "gty_developer", 404},
        {"DELETE", "/api/v1/definitions/Environment/none", NULL, "gty_admin", "gty_operator", 404},
        {"GET", "/api/v1/pipelines/none", NULL, "gty_viewer", NULL, 404},
        {"GET", "/api/v1/pipelines/none", NULL, "gty_other", NULL, 404},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int status = status_as(cases[i].enough, cases[i].method, cases[i].path, cases[i].body);
        if (status != cases[i].status)
            fail_msg("%s %s as %s: %d", cases[i].method, cases[i].path, cases[i].enough, status);
        if (cases[i].too_little)
            assert_int_equal(
                status_as(cases[i].too_little, cases[i].method, cases[i].path, cases[i].body), 403);
    }
}

static void whoami_says_what_a_token_may(void **state)
{
    (void)state;

    scene.rest.token = "gty_operator";
    struct reply *r = rest_get(&scene.rest, "/api/v1/whoami");
    scene.rest.token = REST_ADMIN;
    assert_string_equal(reply_text(r, "subject"), "token:olga");
    assert_string_equal(reply_text(r, "email"), "olga@example.test");
    assert_string_equal(reply_text(r, "groups.0"), "qa");
    const json_t *roles = json_at(r->json, "roles");
    assert_int_equal(json_array_size(roles), 3); /* viewer, developer, operator */
    assert_false(json_is_true(json_at(r->json, "anonymous")));
    rest_release(r);
}

static void bad_questions_are_answered_with_what_is_wrong(void **state)
{
    static const struct {
        const char *path;
        int status;
    } cases[] = {
        {"/api/v1/pipelines?limit=0", 400},
        {"/api/v1/pipelines?limit=many", 400},
        {"/api/v1/pipelines?limit=501", 400},
        {"/api/v1/pipelines?cursor=A%20B", 400},
        {"/api/v1/pipelines/none", 404},
        {"/api/v1/pipelines/%00", 400},
        {"/api/v1/pipelines/none/releases", 404},
        {"/api/v1/pipelines/shop/releases?status=happy", 400},
        {"/api/v1/pipelines/shop/releases?cursor=x", 400},
        {"/api/v1/pipelines/shop/releases/99", 404},
        {"/api/v1/pipelines/shop/releases/-1", 404},
        {"/api/v1/pipelines/shop/releases/99999999999999999999", 404},
        {"/api/v1/releases?cursor=5", 400},
        {"/api/v1/search", 400},
        {"/api/v1/search?q=", 400},
        {"/api/v1/events?pipeline=No!", 400},
        {"/api/v1/ledger/99", 404},
        {"/api/v1/ledger/x", 404},
        {"/api/v1/ledger/0?from=-1", 400},
        {"/api/v1/ledger/0?limit=0", 400},
        {"/api/v1/runs/x/log", 404},
        {"/api/v1/runs/00000000000000000000000000000000/log", 404},
        {"/api/v1/commands/x", 404},
        {"/api/v1/definitions/Pipeline/none", 404},
        {"/api/v1/definitions/Thing/x", 404},
        {"/api/v1/nothing", 404},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct reply *r = rest_get(&scene.rest, cases[i].path);
        if (r->status != cases[i].status)
            fail_msg("%s: %d %s", cases[i].path, r->status, r->body);
        assert_string_equal(r->type, "application/problem+json");
        assert_int_equal(reply_num(r, "status"), r->status);
        assert_true(*reply_text(r, "title") && *reply_text(r, "detail"));
        rest_release(r);
    }
    assert_int_equal(status_as(REST_ADMIN, "POST", "/api/v1/pipelines", "{}"), 405);
}

static void the_page_is_compressed_kept_by_its_tag_and_strictly_confined(void **state)
{
    char headers[160], *etag;
    (void)state;

    struct answer plain = service_http(&scene.service, "GET", "/", "", NULL, 0);
    assert_int_equal(plain.status, 200);
    assert_non_null(strcasestr(plain.head, "default-src 'none'; script-src 'self'"));
    assert_non_null(strcasestr(plain.head, "connect-src 'self' http://127.0.0.1:8085;"));
    assert_non_null(strcasestr(plain.head, "require-trusted-types-for 'script'"));
    assert_non_null(strcasestr(plain.head, "X-Content-Type-Options: nosniff"));
    assert_null(strcasestr(plain.head, "Set-Cookie"));
    assert_null(strstr(plain.body, "<script>"));
    assert_null(strstr(plain.body, "style="));
    struct answer packed = service_http(&scene.service, "GET", "/pipelines/shop/42",
                                        "Accept-Encoding: gzip, br\r\n", NULL, 0);
    assert_non_null(strcasestr(packed.head, "Content-Encoding: gzip"));
    assert_int_equal((unsigned char)packed.body[0], 0x1f);
    etag = strcasestr(plain.head, "ETag: ");
    assert_non_null(etag);
    snprintf(headers, sizeof(headers), "If-None-Match: %.34s\r\n", etag + 6);
    struct answer known = service_http(&scene.service, "GET", "/", headers, NULL, 0);
    assert_int_equal(known.status, 304);
    assert_string_equal(known.body, "");
    struct answer script = service_http(&scene.service, "GET", "/page/main.js", "", NULL, 0);
    assert_non_null(strcasestr(script.head, "text/javascript"));
    assert_int_equal(
        service_http(&scene.service, "GET", "/page/../console.c", "", NULL, 0).status / 100, 4);
    assert_int_equal(service_http(&scene.service, "GET", "/page/none.js", "", NULL, 0).status, 404);
}

static void a_deleted_token_is_refused_from_then_on(void **state)
{
    (void)state;

    assert_int_equal(status_as("gty_viewer", "GET", "/api/v1/pipelines", NULL), 200);
    story_token(&scene.story, "vera", "gty_viewer-anew", "viewer");
    story_flush(&scene.story);
    scene.rest.token = "gty_viewer-anew";
    rest_until(&scene.rest, "/api/v1/whoami", "name", "vera");
    scene.rest.token = REST_ADMIN;
    assert_int_equal(status_as("gty_viewer", "GET", "/api/v1/pipelines", NULL), 401);
}

static void tokens_are_known_again_after_a_restart(void **state)
{
    (void)state;

    assert_int_equal(service_end(&scene.service, SIGKILL), -SIGKILL);
    service_start(&scene.service, true);
    assert_int_equal(status_as("gty_developer", "GET", "/api/v1/pipelines", NULL), 200);
}

static void anonymous_reading_shows_all_and_changes_nothing(void **state)
{
    (void)state;

    service_end(&scene.service, SIGTERM);
    free(scene.service.config);
    scene.service.config = strdup("  bootstrap-token: first-admin\n  anonymous-read: true\n");
    service_start(&scene.service, true);
    assert_int_equal(status_as(NULL, "GET", "/api/v1/pipelines", NULL), 200);
    assert_int_equal(status_as(NULL, "GET", "/api/v1/ledger", NULL), 200);
    assert_int_equal(status_as(NULL, "POST", "/api/v1/pipelines/shop/releases", "{}"), 401);
    assert_int_equal(status_as(NULL, "DELETE", "/api/v1/definitions/Pipeline/shop", NULL), 401);
    assert_int_equal(status_as("gty_guessed", "GET", "/api/v1/pipelines", NULL), 401);
    scene.rest.token = NULL;
    struct reply *r = rest_get(&scene.rest, "/api/v1/whoami");
    scene.rest.token = REST_ADMIN;
    assert_true(json_is_true(json_at(r->json, "anonymous")));
    rest_release(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_brings_no_known_token_is_told_to),
        cmocka_unit_test(a_role_decides_what_may_be_done),
        cmocka_unit_test(whoami_says_what_a_token_may),
        cmocka_unit_test(bad_questions_are_answered_with_what_is_wrong),
        cmocka_unit_test(the_page_is_compressed_kept_by_its_tag_and_strictly_confined),
        cmocka_unit_test(a_deleted_token_is_refused_from_then_on),
        cmocka_unit_test(tokens_are_known_again_after_a_restart),
        cmocka_unit_test(anonymous_reading_shows_all_and_changes_nothing),
    };

    if (!getenv("GANTRY_KAFKA")) {
        printf("LEFT OUT: GANTRY_KAFKA is not set\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
