#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "loop/child.h"
#include "loop/loop.h"

#define WAIT_MS 20000
/* Nothing listens there: Kafka is away in these tests. */
#define NO_KAFKA "common.kafka.bootstrap.servers=127.0.0.1:1"

struct fixture {
    struct loop *loop;
    struct loop_child *child;
    struct buf out, err;
    struct strv env;
    bool ended;
    struct loop_child_exit result;
    int port;
    char *answer;
};

static void on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    (void)child;
    buf_add(&((struct fixture *)arg)->out, data, len);
}

static void on_error_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    (void)child;
    buf_add(&((struct fixture *)arg)->err, data, len);
}

static void on_exit_of(struct loop_child *child, const struct loop_child_exit *result, void *arg)
{
    struct fixture *f = arg;

    (void)child;
    f->ended = true;
    f->child = NULL;
    f->result = *result;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));

    f->loop = loop_new(1);
    buf_init(&f->out, 1024 * 1024);
    buf_init(&f->err, 1024 * 1024);
    strv_add(&f->env, "PATH=/usr/bin:/bin");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    buf_release(&f->out);
    buf_release(&f->err);
    strv_release(&f->env);
    free(f->answer);
    free(f);
    return 0;
}

static void launch(struct fixture *f, const char *const *args)
{
    const char *argv[32] = {SVC_SAMPLE};
    struct err err;

    for (size_t i = 0; args[i] && i < 30; i++)
        argv[i + 1] = args[i];
    const struct loop_child_opts opts = {.argv = argv,
                                         .env = (const char *const *)f->env.items,
                                         .on_output = on_output,
                                         .on_error_output = on_error_output,
                                         .on_exit = on_exit_of,
                                         .arg = f};
    if (loop_child_start(&f->child, f->loop, &opts, &err) != 0)
        fail_msg("%s", err.msg);
}

static void wait_end(struct fixture *f)
{
    loop_run_for(f->loop, WAIT_MS, &f->ended);
    assert_true(f->ended);
}

static void wait_for(struct fixture *f, const char *text)
{
    const int64_t end = clock_mono_ms() + WAIT_MS;

    while (!strstr(buf_cstr(&f->out), text) && !f->ended && clock_mono_ms() < end)
        loop_run_for(f->loop, 5, NULL);
    if (!strstr(buf_cstr(&f->out), text))
        fail_msg("'%s' did not come: %s%s", text, buf_cstr(&f->out), buf_cstr(&f->err));
}

/* Starts the sample with Kafka away and waits until it serves. */
static void serve(struct fixture *f, const char *const *more)
{
    const char *args[32] = {"--set", NO_KAFKA, "--set", "builder.listen=127.0.0.1:0"};
    size_t count = 4;

    for (; more && *more; more++)
        args[count++] = *more;
    launch(f, args);
    wait_for(f, "port=");
    wait_for(f, "\n");
    f->port = (int)strtol(strstr(buf_cstr(&f->out), "port=") + 5, NULL, 10);
}

/* One request, answered within seconds. */
static const char *ask(struct fixture *f, const char *method, const char *path)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)f->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 10};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *request =
        mem_printf("%s %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", method, path);
    struct buf answer;
    char data[4096];
    ssize_t n;

    buf_init(&answer, 1024 * 1024);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    while ((n = recv(fd, data, sizeof(data), 0)) > 0)
        buf_add(&answer, data, (size_t)n);
    close(fd);
    free(request);
    free(f->answer);
    f->answer = buf_detach(&answer);
    return f->answer;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

#define NONE      ((const char *const[]){NULL})
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- options and settings ---- */

static void help_teaches_options_settings_and_addresses(void **state)
{
    struct fixture *f = *state;

    launch(f, ARGS("--help"));
    wait_end(f);
    assert_int_equal(f->result.code, 0);
    const char *help = buf_cstr(&f->out);
    assert_has(help, "stands in for a service in the tests");
    assert_has(help, "--config FILE");
    assert_has(help, "GANTRY_TOPIC_PREFIX");
    assert_has(help, "GANTRY_BUILDER_SLOTS");
    assert_has(help, "default: 127.0.0.1:8083");
    assert_has(help, "/readyz");
}

static void an_option_it_does_not_know_is_refused_with_2(void **state)
{
    struct fixture *f = *state;

    launch(f, ARGS("--sloths", "3"));
    wait_end(f);
    assert_int_equal(f->result.code, 2);
    assert_has(buf_cstr(&f->err), "--sloths");
    assert_has(buf_cstr(&f->err), "--help");
}

static void a_word_that_is_no_option_is_refused_with_2(void **state)
{
    struct fixture *f = *state;

    launch(f, ARGS("config.yml"));
    wait_end(f);
    assert_int_equal(f->result.code, 2);
    assert_has(buf_cstr(&f->err), "config.yml");
}

static void without_kafka_it_says_where_to_name_it(void **state)
{
    struct fixture *f = *state;

    launch(f, NONE);
    wait_end(f);
    assert_int_equal(f->result.code, 2);
    assert_has(buf_cstr(&f->err), "common.kafka.bootstrap.servers");
    assert_has(buf_cstr(&f->err), "GANTRY_KAFKA");
}

static void a_setting_it_does_not_know_is_refused_with_2(void **state)
{
    struct fixture *f = *state;

    launch(f, ARGS("--set", NO_KAFKA, "--set", "builder.slot=1"));
    wait_end(f);
    assert_int_equal(f->result.code, 2);
    assert_has(buf_cstr(&f->err), "builder.slot");
}

static void a_value_out_of_its_choices_is_refused_with_2(void **state)
{
    static const char *const bad[] = {"common.durability=none", "common.log.level=loud",
                                      "common.log.format=xml", "common.partitions=0"};
    struct fixture *f = *state;

    for (size_t i = 0; i < 4; i++) {
        f->ended = false;
        launch(f, ARGS("--set", NO_KAFKA, "--set", bad[i], "--check"));
        wait_end(f);
        assert_int_equal(f->result.code, 2);
    }
    assert_has(buf_cstr(&f->err), "replicated or single");
    assert_has(buf_cstr(&f->err), "debug, info, warn or error");
}

static void check_tells_that_settings_are_good_and_starts_nothing(void **state)
{
    struct fixture *f = *state;

    strv_add(&f->env, "GANTRY_KAFKA=127.0.0.1:1");
    launch(f, ARGS("--check"));
    wait_end(f);
    assert_int_equal(f->result.code, 0);
    assert_string_equal(buf_cstr(&f->out), "the settings are good\n");
}

static void an_address_that_is_taken_is_an_error_worth_trying_again(void **state)
{
    struct fixture *f = *state;

    serve(f, NULL);
    struct loop_child *first = f->child;
    char *listen = mem_printf("builder.listen=127.0.0.1:%d", f->port);
    launch(f, ARGS("--set", NO_KAFKA, "--set", listen));
    wait_end(f);
    assert_int_equal(f->result.code, 1);
    assert_has(buf_cstr(&f->err), "Address already in use");
    f->ended = false;
    loop_child_stop(first);
    wait_end(f);
    free(listen);
}

static void an_error_of_its_own_start_ends_it(void **state)
{
    struct fixture *f = *state;

    launch(f, ARGS("--set", NO_KAFKA, "--set", "builder.listen=127.0.0.1:0", "--set",
                   "builder.fail=true"));
    wait_end(f);
    assert_int_equal(f->result.code, 1);
    assert_has(buf_cstr(&f->err), "told to fail");
}

static void its_own_settings_reach_it_beside_the_frames(void **state)
{
    struct fixture *f = *state;

    serve(f, ARGS("--set", "builder.word=hello", "--set", "builder.slots=7"));
    assert_has(buf_cstr(&f->out), "slots=7 word=hello");
}

/* ---- health ---- */

static void it_is_alive_while_kafka_is_away_but_not_ready(void **state)
{
    struct fixture *f = *state;
    json_error_t error;

    serve(f, NULL);
    assert_has(ask(f, "GET", "/healthz"), "HTTP/1.1 200 ");
    const char *answer = ask(f, "GET", "/readyz");
    assert_has(answer, "HTTP/1.1 503 ");
    json_t *ready = json_loads(strstr(answer, "\r\n\r\n") + 4, 0, &error);
    assert_non_null(ready);
    assert_false(json_boolean_value(json_object_get(ready, "ready")));
    assert_string_equal(json_string_value(json_object_get(ready, "service")), "builder");
    assert_int_equal(json_array_size(json_object_get(ready, "checks")), 3);
    assert_has(answer, "\"name\":\"kafka\",\"ready\":false,\"reason\":\"");
    assert_has(answer, "{\"name\":\"state\",\"ready\":false,\"reason\":\"waiting for a test\"}");
    json_decref(ready);
}

static void what_the_service_says_of_itself_is_in_its_readiness(void **state)
{
    struct fixture *f = *state;

    serve(f, ARGS("--set", "common.durability=single"));
    ask(f, "POST", "/set");
    const char *answer = ask(f, "GET", "/readyz");
    assert_has(answer, "{\"name\":\"state\",\"ready\":true,\"reason\":\"\"}");
    assert_has(answer, "{\"name\":\"remark\",\"text\":\"told\"}");
    assert_has(answer, "\"name\":\"durability\",\"text\":\"single");
}

static void its_metrics_tell_of_the_process(void **state)
{
    struct fixture *f = *state;

    serve(f, NULL);
    const char *answer = ask(f, "GET", "/metrics");
    assert_has(answer, "Content-Type: text/plain; version=0.0.4");
    assert_has(answer, "\nprocess_resident_memory_bytes ");
    assert_has(answer, "\nprocess_start_time_seconds 1");
    assert_has(answer, "\nprocess_cpu_seconds_total ");
    assert_has(answer, "gantry_build_info{service=\"builder\",version=\"");
    assert_has(answer, "\ngantry_ready 0\n");
}

/* ---- the end ---- */

static void a_signal_ends_it_in_order_with_0(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        f->ended = false;
        buf_reset(&f->out);
        serve(f, NULL);
        kill(loop_child_pid(f->child), signals[i]);
        wait_end(f);
        assert_int_equal(f->result.code, 0);
        assert_has(buf_cstr(&f->out), "stop\nrelease\n");
    }
}

static void a_hangup_is_ignored(void **state)
{
    struct fixture *f = *state;

    serve(f, NULL);
    kill(loop_child_pid(f->child), SIGHUP);
    assert_has(ask(f, "GET", "/healthz"), "HTTP/1.1 200 ");
}

static void while_it_stops_it_is_alive_but_not_ready(void **state)
{
    struct fixture *f = *state;

    serve(f, ARGS("--set", "builder.refuse-to-stop=true"));
    kill(loop_child_pid(f->child), SIGTERM);
    wait_for(f, "stop\n");
    assert_has(ask(f, "GET", "/healthz"), "HTTP/1.1 200 ");
    assert_has(ask(f, "GET", "/readyz"), "shutting down");
}

static void a_second_signal_ends_it_at_once(void **state)
{
    struct fixture *f = *state;

    serve(f, ARGS("--set", "builder.refuse-to-stop=true"));
    kill(loop_child_pid(f->child), SIGTERM);
    wait_for(f, "stop\n");
    kill(loop_child_pid(f->child), SIGTERM);
    wait_end(f);
    assert_int_equal(f->result.code, 1);
    assert_has(buf_cstr(&f->err), "second signal");
}

static void the_end_of_the_grace_ends_it_at_once(void **state)
{
    struct fixture *f = *state;

    serve(f, ARGS("--set", "builder.refuse-to-stop=true", "--set", "common.shutdown-grace=300ms"));
    kill(loop_child_pid(f->child), SIGTERM);
    wait_end(f);
    assert_int_equal(f->result.code, 1);
    assert_has(buf_cstr(&f->err), "longer than its grace");
}

static void settings_that_make_going_on_unsafe_end_it_in_order_with_2(void **state)
{
    struct fixture *f = *state;

    serve(f, NULL);
    assert_has(ask(f, "POST", "/fatal"), "HTTP/1.1 202 ");
    wait_end(f);
    assert_int_equal(f->result.code, 2);
    assert_has(buf_cstr(&f->out), "stop\nrelease\n");
    assert_has(buf_cstr(&f->err), "it is not safe to go on");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(help_teaches_options_settings_and_addresses),
        TEST(an_option_it_does_not_know_is_refused_with_2),
        TEST(a_word_that_is_no_option_is_refused_with_2),
        TEST(without_kafka_it_says_where_to_name_it),
        TEST(a_setting_it_does_not_know_is_refused_with_2),
        TEST(a_value_out_of_its_choices_is_refused_with_2),
        TEST(check_tells_that_settings_are_good_and_starts_nothing),
        TEST(an_address_that_is_taken_is_an_error_worth_trying_again),
        TEST(an_error_of_its_own_start_ends_it),
        TEST(its_own_settings_reach_it_beside_the_frames),
        TEST(it_is_alive_while_kafka_is_away_but_not_ready),
        TEST(what_the_service_says_of_itself_is_in_its_readiness),
        TEST(its_metrics_tell_of_the_process),
        TEST(a_signal_ends_it_in_order_with_0),
        TEST(a_hangup_is_ignored),
        TEST(while_it_stops_it_is_alive_but_not_ready),
        TEST(a_second_signal_ends_it_at_once),
        TEST(the_end_of_the_grace_ends_it_at_once),
        TEST(settings_that_make_going_on_unsafe_end_it_in_order_with_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
