#include <jansson.h>

#include "base/file.h"
#include "base/mem.h"
#include "fake.h"

static char kept_name[64];

static void answered(const struct json_t *json, const struct err *err, void *arg)
{
    struct fake *fake = arg;
    const char *name =
        json_string_value(json_object_get(json_object_get(json, "metadata"), "name"));

    snprintf(kept_name, sizeof(kept_name), "%s", name ? name : "");
    fake->err = *err;
    fake->done = true;
}

static void ask(struct fake *fake, const char *method, const json_t *body)
{
    const struct kubernetes_ask question = {.method = method,
                                            .path = "/apis/batch/v1/namespaces/builds/jobs",
                                            .body = body,
                                            .what = "ask for Jobs"};
    kubernetes_ask(fake->kubernetes, &question, answered, fake);
    fake_wait(fake);
}

static void asks_with_the_token_and_gives_the_answer(void **state)
{
    struct fake *fake = *state;
    json_t *body = json_pack("{s:s}", "kind", "Job");

    fake_answer(fake, 201, "{\"metadata\": {\"name\": \"one\"}}");
    ask(fake, "POST", body);
    json_decref(body);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(kept_name, "one");
    assert_string_equal(fake->asked.items[0], "POST /apis/batch/v1/namespaces/builds/jobs");
    assert_string_equal(fake->tokens.items[0], "Bearer first");
    assert_string_equal(fake->bodies.items[0], "{\"kind\":\"Job\"}");
}

static void a_refusal_is_told_in_its_own_words(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 403, "{\"kind\": \"Status\", \"message\": \"jobs is forbidden: no\"}");
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_string_equal(fake->err.msg,
                        "cannot ask for Jobs: Kubernetes answers 403: jobs is forbidden: no");
    fake_answer(fake, 404, "gone");
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_NOT_FOUND);
    fake_answer(fake, 409, "{}");
    ask(fake, "POST", NULL);
    assert_int_equal(fake->err.code, ERR_CONFLICT);
    fake_answer(fake, 422, "{}");
    ask(fake, "POST", NULL);
    assert_int_equal(fake->err.code, ERR_INVALID);
}

static void a_token_that_was_renewed_is_taken_from_its_file(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, "{}");
    ask(fake, "GET", NULL);
    fake_put_token(fake, "second\n");
    fake_answer(fake, 200, "{}");
    ask(fake, "GET", NULL);
    assert_string_equal(fake->tokens.items[1], "Bearer second");
}

/* Where the file changes between the question and the answer. */
static struct fake *rotating;
static void rotate(void *arg)
{
    (void)arg;
    fake_put_token(rotating, "second");
}

static void a_401_is_asked_once_more_with_a_newer_token(void **state)
{
    struct fake *fake = *state;

    rotating = fake;
    fake_answer(fake, 401, "{\"message\": \"Unauthorized\"}");
    fake_answer(fake, 200, "{\"metadata\": {\"name\": \"one\"}}");
    const struct kubernetes_ask question = {.path = "/version", .what = "ask"};
    kubernetes_ask(fake->kubernetes, &question, answered, fake);
    /* The question has been sent when its pause of no time is over, and this comes after. */
    struct loop_timer *timer = loop_timer_new(fake->loop, rotate, NULL);
    loop_timer_arm(timer, 0);
    fake_wait(fake);
    loop_timer_free(timer);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(fake->tokens.items[0], "Bearer first");
    assert_string_equal(fake->tokens.items[1], "Bearer second");
}

static void a_401_with_the_only_token_there_is_is_an_answer(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 401, "{\"message\": \"Unauthorized\"}");
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_int_equal(fake->asked.count, 1);
}

static void a_server_that_has_too_much_to_do_is_asked_again(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 429, "{}")->header = "Retry-After: 1";
    fake_answer(fake, 503, "{}");
    fake_answer(fake, 200, "{}");
    ask(fake, "POST", NULL);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_int_equal(fake->asked.count, 3);
}

static void it_is_asked_so_often_and_no_more(void **state)
{
    struct fake *fake = *state;

    for (int i = 0; i < 4; i++)
        fake_answer(fake, 500, "{\"message\": \"etcd is away\"}");
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(fake->err.msg, "etcd is away"));
    assert_int_equal(fake->asked.count, 3);
}

static void what_may_have_been_made_is_not_made_again(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 500, "{}");
    ask(fake, "POST", NULL);
    assert_int_equal(fake->err.code, ERR_UNAVAILABLE);
    assert_int_equal(fake->asked.count, 1);
}

static void garbage_is_an_error(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, "<html>it works</html>");
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_UNAVAILABLE);
    fake_answer(fake, 200, "[1, 2]");
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_UNAVAILABLE);
    fake_answer(fake, 200, "");
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_UNAVAILABLE);
}

static void an_answer_that_is_too_large_is_an_error(void **state)
{
    struct fake *fake = *state;
    const size_t len = 17 * 1024 * 1024;
    char *large = mem_alloc(len + 1);

    memset(large, ' ', len);
    fake_answer(fake, 200, large);
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_LIMIT);
    free(large);
}

static void a_question_that_is_taken_back_is_not_answered(void **state)
{
    struct fake *fake = *state;
    const struct kubernetes_ask question = {.path = "/version", .what = "ask"};

    kubernetes_cancel(kubernetes_ask(fake->kubernetes, &question, answered, fake));
    struct kubernetes_call *call = kubernetes_ask(fake->kubernetes, &question, answered, fake);
    for (int i = 0; i < 100 && fake->asked.count == 0; i++)
        loop_run_for(fake->loop, 50, NULL);
    assert_int_equal(fake->asked.count, 1);
    kubernetes_cancel(call);
    assert_false(fake->done);
}

static void without_its_token_it_says_which_file_is_missing(void **state)
{
    struct fake *fake = *state;
    char *path = mem_printf("%s/token", fake->dir);

    assert_int_equal(remove(path), 0);
    ask(fake, "GET", NULL);
    assert_int_equal(fake->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(fake->err.msg, path));
    free(path);
}

/* ---- settings ---- */

static void a_pod_finds_everything_by_itself(void **state)
{
    struct fake *fake = *state;
    struct kubernetes *found;
    char *path = mem_printf("%s/namespace", fake->dir);

    assert_int_equal(file_write(path, "ci", 2, 0600, &fake->err), 0);
    free(path);
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    const struct kubernetes_conf conf = {.loop = fake->loop, .account_dir = fake->dir};
    assert_int_equal(kubernetes_new(&found, &conf, &fake->err), 0);
    assert_string_equal(kubernetes_namespace(found), "ci");
    kubernetes_free(found);
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
}

static void settings_that_cannot_work_are_refused(void **state)
{
    struct fake *fake = *state;
    struct kubernetes *found;
    const struct {
        struct kubernetes_conf conf;
        const char *says;
    } cases[] = {
        {{.namespace = "a"}, "KUBERNETES_SERVICE_HOST is not set"},
        {{.server = "http://example.org", .namespace = "a"}, "is no https://host:port"},
        {{.server = "https://a:1", .namespace = "A_b"}, "'A_b' is no namespace"},
        {{.server = "https://a:1", .namespace = "../b"}, "'../b' is no namespace"},
        {{.server = "https://a:1"}, "no namespace is given"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct kubernetes_conf conf = cases[i].conf;
        conf.loop = fake->loop;
        conf.account_dir = fake->dir;
        assert_int_equal(kubernetes_new(&found, &conf, &fake->err), -1);
        assert_int_equal(fake->err.code, ERR_INVALID);
        if (!strstr(fake->err.msg, cases[i].says))
            fail_msg("'%s' does not say '%s'", fake->err.msg, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(asks_with_the_token_and_gives_the_answer),
        FAKE_TEST(a_refusal_is_told_in_its_own_words),
        FAKE_TEST(a_token_that_was_renewed_is_taken_from_its_file),
        FAKE_TEST(a_401_is_asked_once_more_with_a_newer_token),
        FAKE_TEST(a_401_with_the_only_token_there_is_is_an_answer),
        FAKE_TEST(a_server_that_has_too_much_to_do_is_asked_again),
        FAKE_TEST(it_is_asked_so_often_and_no_more),
        FAKE_TEST(what_may_have_been_made_is_not_made_again),
        FAKE_TEST(garbage_is_an_error),
        FAKE_TEST(an_answer_that_is_too_large_is_an_error),
        FAKE_TEST(a_question_that_is_taken_back_is_not_answered),
        FAKE_TEST(without_its_token_it_says_which_file_is_missing),
        FAKE_TEST(a_pod_finds_everything_by_itself),
        FAKE_TEST(settings_that_cannot_work_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
