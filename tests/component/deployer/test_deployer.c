#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "gantry/v1/log.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "tests/component/service.h"

#define EPOCH    1700000000000
#define DIGEST   "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define COMMIT   "0123456789abcdef0123456789abcdef01234567"
#define QUIET_MS 1500

static struct service service;
static unsigned number;       /* of the test: names its pipeline */
static uint64_t sequence = 1; /* of the last request */
static char run_id[ID_SIZE];  /* the last request's */

static const char *pipeline(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "shop-%u", number);
    return text;
}

/* ---- requests ---- */

struct ask {
    const char *command;
    const char *deployer, *driver; /* NULL: default, command */
    bool retry_lost;
    uint64_t sequence; /* 0: the next */
    const char *id;    /* NULL: the one that goes with the sequence */
};

static void ask(const struct ask *ask)
{
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    Gantry__V1__DeploySpec deploy = GANTRY__V1__DEPLOY_SPEC__INIT;
    Gantry__V1__Artifact artifact = GANTRY__V1__ARTIFACT__INIT;
    Gantry__V1__Revision revision = GANTRY__V1__REVISION__INIT;
    Gantry__V1__Revision *revisions[] = {&revision};
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    Gantry__V1__KeyValue variable[3] = {GANTRY__V1__KEY_VALUE__INIT, GANTRY__V1__KEY_VALUE__INIT,
                                        GANTRY__V1__KEY_VALUE__INIT};
    Gantry__V1__KeyValue *variables[] = {&variable[0], &variable[1], &variable[2]};

    order.epoch = EPOCH;
    order.sequence = ask->sequence ? ask->sequence : ++sequence;
    if (ask->id)
        snprintf(run_id, sizeof(run_id), "%s", ask->id);
    else
        event_id_run(run_id, EPOCH, pipeline(), order.sequence, "dev", "app", 1);
    artifact.name = (char *)"image";
    artifact.repository = (char *)"registry.example/acme/shop";
    artifact.digest = (char *)DIGEST;
    revision.source = (char *)"app";
    revision.git = (char *)"https://git.example/acme/shop.git";
    revision.ref = (char *)"refs/heads/main";
    revision.commit = (char *)COMMIT;
    variable[0].key = (char *)"LOG_LEVEL";
    variable[0].value = (char *)"two words";
    variable[1].key = (char *)"PATH";
    variable[1].value = (char *)"/evil";
    variable[2].key = (char *)"actions.image.VERSION";
    variable[2].value = (char *)"9";
    deploy.environment = (char *)"dev";
    deploy.deployer = (char *)(ask->deployer ? ask->deployer : "default");
    deploy.driver = (char *)(ask->driver ? ask->driver : "command");
    deploy.command = (char *)ask->command;
    deploy.artifact = &artifact;
    request.order = &order;
    request.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    request.run_id = run_id;
    request.pipeline = (char *)pipeline();
    request.release = 42;
    request.stage = (char *)"dev";
    request.action = (char *)"app";
    request.number = 1;
    request.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY;
    request.n_revisions = 1;
    request.revisions = revisions;
    request.n_variables = 3;
    request.variables = variables;
    request.timeout_ms = 60000;
    request.retry_lost = ask->retry_lost;
    request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY;
    request.deploy = &deploy;
    service_put(&service, TOPIC_REQUEST_DEPLOY, &request, NULL);
}

static void cancel(const char *id)
{
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;

    order.epoch = EPOCH;
    order.sequence = ++sequence;
    request.order = &order;
    request.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL;
    request.run_id = (char *)id;
    request.pipeline = (char *)pipeline();
    request.release = 42;
    request.stage = (char *)"dev";
    request.action = (char *)"app";
    request.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY;
    request.cancel_reason = (char *)"the test says so";
    service_put(&service, TOPIC_REQUEST_DEPLOY, &request, NULL);
}

/* ---- results ---- */

static const Gantry__V1__ActionResult *result(const char *id,
                                              Gantry__V1__ActionResult__BodyCase body)
{
    for (size_t i = 0; i < service.count; i++) {
        const Gantry__V1__ActionResult *message = service.items[i].message;
        if (service.items[i].topic == TOPIC_RESULT_DEPLOY && str_eq(message->run_id, id) &&
            message->body_case == body)
            return message;
    }
    return NULL;
}

static bool has_finished(struct service *s, void *arg)
{
    (void)s;
    return result(arg, GANTRY__V1__ACTION_RESULT__BODY_FINISHED) != NULL;
}

static bool has_started(struct service *s, void *arg)
{
    (void)s;
    return result(arg, GANTRY__V1__ACTION_RESULT__BODY_STARTED) != NULL;
}

static const Gantry__V1__Finished *finished(const char *id)
{
    service_wait(&service, has_finished, (void *)id, "the run's end");
    return result(id, GANTRY__V1__ACTION_RESULT__BODY_FINISHED)->finished;
}

static char *log_of(const char *id, bool *last)
{
    struct buf text;

    buf_init(&text, 16 * 1024 * 1024);
    *last = false;
    for (size_t i = 0; i < service.count; i++) {
        const Gantry__V1__LogChunk *chunk = service.items[i].message;
        if (service.items[i].topic != TOPIC_LOG || !str_eq(chunk->run_id, id))
            continue;
        buf_add(&text, chunk->data.data, chunk->data.len);
        *last = *last || chunk->last;
    }
    return buf_detach(&text);
}

struct wanted {
    const char *id, *text;
};

static bool log_has(struct service *s, void *arg)
{
    const struct wanted *wanted = arg;
    bool last;
    char *text = log_of(wanted->id, &last);
    const bool has = strstr(text, wanted->text) != NULL;

    (void)s;
    free(text);
    return has;
}

static void wait_log(const char *id, const char *text)
{
    struct wanted wanted = {id, text};

    service_wait(&service, log_has, &wanted, text);
}

static void assert_outcome(const char *id, Gantry__V1__Outcome outcome, const char *reason)
{
    const Gantry__V1__Finished *end = finished(id);

    if (end->outcome != outcome || !strstr(end->reason, reason))
        fail_msg("ended as %d: %s", (int)end->outcome, end->reason);
}

/* A file of the test's folder, which the commands write to. */
static char *file_text(const char *name)
{
    char path[128];
    struct buf text;

    snprintf(path, sizeof(path), "%s/%s", service.dir, name);
    if (file_read(&text, path, 65536, NULL) != 0)
        return mem_strdup("");
    return buf_detach(&text);
}

static unsigned lines_of(const char *name)
{
    char *text = file_text(name);
    unsigned n = 0;

    for (const char *p = text; *p; p++)
        n += *p == '\n';
    free(text);
    return n;
}

/* ---- one run ---- */

static void a_command_gets_what_it_needs_and_its_output_is_the_log(void **state)
{
    bool last;

    (void)state;
    ask(&(struct ask){.command = "show"});
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED, "succeeded");
    wait_log(run_id, "END");
    char *text = log_of(run_id, &last);
    const char *const wanted[] = {
        "GANTRY_RELEASE=42\n",          "GANTRY_STAGE=dev\n",
        "GANTRY_ACTION=app\n",          "GANTRY_ENVIRONMENT=dev\n",
        "GANTRY_DIGEST=" DIGEST "\n",   "GANTRY_IMAGE=registry.example/acme/shop@" DIGEST "\n",
        "GANTRY_REVISION=" COMMIT "\n", "GANTRY_ATTEMPT=1\n",
        "GANTRY_EPOCH=1700000000000\n", "GANTRY_VAR_LOG_LEVEL=two words\n",
        "GANTRY_VAR_PATH=/evil\n",      "TARGET=from the settings\n",
        "\"actions.image.VERSION\"",    "to standard error",
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (!strstr(text, wanted[i]))
            fail_msg("'%s' is missing in:\n%s", wanted[i], text);
    }
    char *id = mem_printf("GANTRY_RUN_ID=%s\n", run_id);
    assert_non_null(strstr(text, id));
    free(id);
    /* Nothing of the deployer's own, and no variable of a release under its own name. */
    assert_null(strstr(text, "OWN_SECRET"));
    assert_null(strstr(text, "\nPATH=/evil"));
    assert_null(strstr(text, "\nLOG_LEVEL"));
    const Gantry__V1__ActionResult *started =
        result(run_id, GANTRY__V1__ACTION_RESULT__BODY_STARTED);
    assert_non_null(started);
    assert_int_equal(started->attempt, 1);
    assert_string_equal(started->pipeline, pipeline());
    free(text);
}

static void its_exit_code_is_the_outcome_with_the_last_lines(void **state)
{
    (void)state;
    ask(&(struct ask){.command = "fail"});
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_FAILED, "exit code 7");
    const Gantry__V1__Finished *end = finished(run_id);
    assert_int_equal(end->exit_code, 7);
    assert_string_equal(end->command, "fail");
    assert_int_equal(end->n_log_tail, 1);
    assert_string_equal(end->log_tail[0], "the last words");
}

static void what_it_cannot_run_fails_with_the_reason(void **state)
{
    (void)state;
    ask(&(struct ask){.command = "nobody-has-it"});
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_FAILED, "nobody-has-it");
    ask(&(struct ask){.command = "missing"});
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_FAILED, "/nowhere/program");
    ask(&(struct ask){.command = "show", .driver = "kubernetes"});
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_FAILED, "kubernetes");
}

static void another_deployers_request_is_let_alone(void **state)
{
    (void)state;
    ask(&(struct ask){.command = "count", .deployer = "other"});
    char other[ID_SIZE];
    snprintf(other, sizeof(other), "%s", run_id);
    ask(&(struct ask){.command = "show"});
    finished(run_id);
    assert_false(has_started(&service, other));
}

static void one_that_takes_too_long_is_ended_with_its_children(void **state)
{
    (void)state;
    ask(&(struct ask){.command = "slow"});
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_FAILED, "longer than its timeout");
    service_run_for(&service, QUIET_MS);
    const unsigned ticks = lines_of("ticks");
    service_run_for(&service, QUIET_MS);
    assert_int_equal(lines_of("ticks"), ticks);
}

static void a_cancel_asks_it_to_end(void **state)
{
    (void)state;
    ask(&(struct ask){.command = "polite"});
    wait_log(run_id, "waiting");
    cancel(run_id);
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, "cancelled");
    wait_log(run_id, "cleaning up");
}

static void a_cancel_that_comes_first_lets_nothing_start(void **state)
{
    char id[ID_SIZE];

    (void)state;
    id_random(id);
    cancel(id);
    ask(&(struct ask){.command = "count", .id = id});
    service_run_for(&service, QUIET_MS);
    assert_int_equal(lines_of("counted"), 0);
}

static void a_lot_of_output_arrives_whole(void **state)
{
    bool last;

    (void)state;
    ask(&(struct ask){.command = "chatty"});
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED, "succeeded");
    wait_log(run_id, "20000\n");
    char *text = log_of(run_id, &last);
    unsigned lines = 0;
    for (const char *p = strstr(text, "1\n"); p && *p; p++)
        lines += *p == '\n';
    assert_true(lines >= 20000);
    free(text);
}

/* ---- never twice, never back ---- */

static void one_request_runs_once_however_often_it_comes(void **state)
{
    (void)state;
    const unsigned counted = lines_of("counted");
    for (int i = 0; i < 3; i++)
        ask(&(struct ask){.command = "count", .sequence = sequence + 1});
    sequence++;
    finished(run_id);
    service_run_for(&service, QUIET_MS);
    assert_int_equal(lines_of("counted"), counted + 1);
}

static void what_an_older_decision_asks_for_is_refused(void **state)
{
    char id[ID_SIZE];

    (void)state;
    ask(&(struct ask){.command = "count"});
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED, "");
    const unsigned counted = lines_of("counted");
    id_random(id);
    ask(&(struct ask){.command = "count", .sequence = sequence, .id = id});
    assert_outcome(id, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED, "");
    id_random(id);
    ask(&(struct ask){.command = "count", .sequence = sequence - 1, .id = id});
    assert_outcome(id, GANTRY__V1__OUTCOME__OUTCOME_FAILED, "newer decision");
    assert_int_equal(service_end(&service, SIGTERM), 0);
    service_start(&service, true);
    id_random(id);
    ask(&(struct ask){.command = "count", .sequence = sequence - 1, .id = id});
    assert_outcome(id, GANTRY__V1__OUTCOME__OUTCOME_FAILED, "newer decision");
    assert_int_equal(lines_of("counted"), counted + 1);
}

static void a_run_whose_deployer_was_killed_is_lost_unless_it_may_run_again(void **state)
{
    char first[ID_SIZE], second[ID_SIZE];

    (void)state;
    ask(&(struct ask){.command = "linger"});
    memcpy(first, run_id, sizeof(first));
    wait_log(first, "waiting");
    assert_int_equal(service_end(&service, SIGKILL), -SIGKILL);
    service_start(&service, true);
    assert_outcome(first, GANTRY__V1__OUTCOME__OUTCOME_LOST, "");
    ask(&(struct ask){.command = "linger", .retry_lost = true});
    memcpy(second, run_id, sizeof(second));
    wait_log(second, "waiting");
    assert_int_equal(service_end(&service, SIGKILL), -SIGKILL);
    service_start(&service, true);
    assert_outcome(second, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED, "");
    assert_int_equal(result(second, GANTRY__V1__ACTION_RESULT__BODY_FINISHED)->attempt, 2);
    /* The first attempts died with their deployer: none of them came to its end. */
    assert_int_equal(lines_of("lingered"), 1);
}

static void what_runs_when_the_service_stops_is_let_end(void **state)
{
    (void)state;
    ask(&(struct ask){.command = "short"});
    wait_log(run_id, "waiting");
    assert_int_equal(service_end(&service, SIGTERM), 0);
    assert_outcome(run_id, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED, "");
    service_start(&service, true);
}

static int setup(void **state)
{
    (void)state;
    number++;
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    static const enum topic followed[] = {TOPIC_RESULT_DEPLOY, TOPIC_LOG};
    const struct CMUnitTest tests[] = {
        TEST(a_command_gets_what_it_needs_and_its_output_is_the_log),
        TEST(its_exit_code_is_the_outcome_with_the_last_lines),
        TEST(what_it_cannot_run_fails_with_the_reason),
        TEST(another_deployers_request_is_let_alone),
        TEST(one_that_takes_too_long_is_ended_with_its_children),
        TEST(a_cancel_asks_it_to_end),
        TEST(a_cancel_that_comes_first_lets_nothing_start),
        TEST(a_lot_of_output_arrives_whole),
        TEST(one_request_runs_once_however_often_it_comes),
        TEST(what_an_older_decision_asks_for_is_refused),
        TEST(a_run_whose_deployer_was_killed_is_lost_unless_it_may_run_again),
        TEST(what_runs_when_the_service_stops_is_let_end),
    };
    int failed;

    if (!service_setup(&service, PROGRAM, "deployer", followed, 2))
        return 0;
    setenv("OWN_SECRET", "the deployer's own", 1);
    service.config = mem_printf(
        "  commands:\n"
        "    show: {argv: [sh, -c, 'env; cat; echo to standard error >&2; echo END'], env: "
        "{TARGET: "
        "from the settings}}\n"
        "    fail: {argv: [sh, -c, 'echo the last words; exit 7']}\n"
        "    missing: {argv: [/nowhere/program]}\n"
        "    slow: {argv: [sh, -c, 'while :; do echo x >>%s/ticks; sleep 0.1; done & sleep 600'], "
        "timeout: 1s}\n"
        "    polite: {argv: [bash, -c, 'trap \"echo cleaning up; exit 1\" TERM; echo waiting; "
        "sleep "
        "600 & wait']}\n"
        "    chatty: {argv: [seq, '20000']}\n"
        "    count: {argv: [sh, -c, 'echo x >>%s/counted']}\n"
        "    linger: {argv: [sh, -c, 'echo waiting; sleep 3; echo x >>%s/lingered']}\n"
        "    short: {argv: [sh, -c, 'echo waiting; sleep 2']}\n",
        service.dir, service.dir, service.dir);
    service_start(&service, true);
    cmocka_set_test_filter(getenv("GANTRY_TEST"));
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    service_teardown(&service);
    return failed;
}
