#include <fcntl.h>
#include <setjmp.h>
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
#include "http/server.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "wire.h"

#define WAIT_MS    10000
#define BODY_LIMIT (64 * 1024)
#define BIG_LIMIT  (1024 * 1024)

struct fixture {
    struct loop *loop;
    struct metrics *metrics;
    struct http_server *server;
    struct wire wire;
    struct http_request *held;
    struct loop_timer *later;
    int handled;
    int gone;
};

/* ---- what the server under test does ---- */

static void on_echo(struct http_request *req, void *arg)
{
    struct fixture *f = arg;
    size_t len;
    const char *body = http_req_body(req, &len);

    f->handled++;
    http_reply(req, 200, "text/plain", body, len);
}

static void on_item(struct http_request *req, void *arg)
{
    struct fixture *f = arg;
    const char *q = http_req_query(req, "q");

    f->handled++;
    http_reply_header(req, "X-Path", http_req_path(req));
    char *text = mem_printf("%s|%s|%s|%s", http_req_method(req), http_req_param(req, "name"),
                            q ? q : "(none)", http_req_peer(req));
    http_reply(req, 200, "text/plain", text, strlen(text));
    free(text);
}

#define FILE_SIZE (9 * 1024 * 1024)

static void on_file(struct http_request *req, void *arg)
{
    char *bytes = mem_alloc(FILE_SIZE + 3);
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    (void)arg;
    memset(bytes, 'x', FILE_SIZE);
    memcpy(bytes + FILE_SIZE - 3, "end", 3);
    assert_int_equal(write(fd, bytes, FILE_SIZE + 3), FILE_SIZE + 3);
    free(bytes);
    http_reply_file(req, 200, "application/zip", fd, FILE_SIZE);
}

static void on_named(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply(req, 200, "text/plain", "fixed", 5);
}

static void on_rest(struct http_request *req, void *arg)
{
    (void)arg;
    const char *rest = http_req_param(req, "rest");
    http_reply(req, 200, "text/plain", rest, strlen(rest));
}

static void on_json(struct http_request *req, void *arg)
{
    json_t *json;

    if (http_req_json(req, &json) != 0)
        return;
    ((struct fixture *)arg)->handled++;
    http_reply_json(req, 201, json);
}

static void on_gone(void *arg)
{
    struct fixture *f = arg;

    f->gone++;
    f->held = NULL;
}

static void on_hold(struct http_request *req, void *arg)
{
    struct fixture *f = arg;

    f->handled++;
    f->held = req;
    if (http_req_query(req, "watch"))
        http_req_on_close(req, on_gone, f);
}

static void on_stream(struct http_request *req, void *arg)
{
    on_hold(req, arg);
    http_req_on_close(req, on_gone, arg);
    http_stream_begin(req, 200, "text/event-stream");
}

static void on_error(struct http_request *req, void *arg)
{
    struct err err;
    int64_t code = 0;

    (void)arg;
    str_to_i64(http_req_param(req, "code"), &code);
    err_set(&err, (enum err_code)code, "because");
    http_reply_err(req, &err);
}

static void on_injection(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply_header(req, "X-Echo", "a\r\nX-Injected: 1");
    http_reply(req, 204, NULL, NULL, 0);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct err err;

    f->loop = loop_new(1);
    f->metrics = metrics_new();
    const struct http_server_conf conf = {
        .listen = "127.0.0.1:0", .metrics = f->metrics, .cors_origin = "https://console.test"};
    if (http_server_new(&f->server, f->loop, &conf, &err) != 0)
        fail_msg("%s", err.msg);
    http_route(f->server, "POST", "/echo", BODY_LIMIT, on_echo, f);
    http_route(f->server, "POST", "/big", BIG_LIMIT, on_echo, f);
    http_route(f->server, "GET", "/items/{name}", 0, on_item, f);
    http_route(f->server, "DELETE", "/items/{name}", 0, on_item, f);
    http_route(f->server, "GET", "/files/{rest*}", 0, on_rest, f);
    http_route(f->server, "GET", "/items/fixed", 0, on_named, f);
    http_route(f->server, "GET", "/early/fixed", 0, on_named, f);
    http_route(f->server, "GET", "/early/{name}", 0, on_item, f);
    http_route(f->server, "POST", "/json", BODY_LIMIT, on_json, f);
    http_route(f->server, "GET", "/hold", 0, on_hold, f);
    http_route(f->server, "GET", "/stream", 0, on_stream, f);
    http_route(f->server, "GET", "/error/{code}", 0, on_error, f);
    http_route(f->server, "GET", "/injection", 0, on_injection, f);
    http_route(f->server, "GET", "/file", 0, on_file, f);
    wire_open(&f->wire, f->loop, http_server_port(f->server));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    wire_close(&f->wire);
    http_server_free(f->server);
    loop_free(f->loop);
    metrics_free(f->metrics);
    free(f);
    return 0;
}

/* Sends a request and gives what came back until the server closed. */
static const char *ask(struct fixture *f, const char *request)
{
    wire_send(&f->wire, request);
    assert_true(wire_wait_closed(&f->wire, WAIT_MS));
    return buf_cstr(&f->wire.received);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("'%s' is in: %s", part, text);
}

/* ---- routes ---- */

static void path_and_query_reach_the_handler_decoded(void **state)
{
    struct fixture *f = *state;
    const char *answer = ask(f, GET("/items/a%2Fb%20c?x=1&q=d+e%26f"));

    assert_has(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "GET|a/b c|d e&f|127.0.0.1");
    assert_has(answer, "X-Path: /items/a/b c\r\n");
    assert_has(answer, "X-Content-Type-Options: nosniff\r\n");
}

static void a_literal_segment_wins_over_a_parameter_in_whatever_order_they_came(void **state)
{
    struct fixture *f = *state;

    assert_has(ask(f, GET("/items/fixed")), "\r\n\r\nfixed");
    wire_close(&f->wire);
    wire_open(&f->wire, f->loop, http_server_port(f->server));
    assert_has(ask(f, GET("/early/fixed")), "\r\n\r\nfixed");
}

static void the_rest_of_a_path_is_one_parameter(void **state)
{
    assert_has(ask(*state, GET("/files/a/b/c.txt")), "\r\n\r\na/b/c.txt");
}

static void an_empty_rest_of_a_path_is_404(void **state)
{
    struct fixture *f = *state;

    assert_has(ask(f, GET("/files")), "HTTP/1.1 404 ");
    assert_has(ask(f, GET("/files/")), "HTTP/1.1 404 ");
    assert_int_equal(f->handled, 0);
}

static void head_is_answered_by_get_without_a_body(void **state)
{
    const char *answer =
        ask(*state, "HEAD /items/fixed HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");

    assert_has(answer, "HTTP/1.1 200 OK\r\n");
    assert_has(answer, "Content-Length: 5\r\n");
    assert_lacks(answer, "fixed");
}

static void a_file_is_answered_as_far_as_it_is_asked_for(void **state)
{
    struct fixture *f = *state;
    const char *answer = ask(f, GET("/file"));
    const char *body = strstr(answer, "\r\n\r\n") + 4;

    assert_has(answer, "Content-Length: 9437184\r\n");
    assert_int_equal(f->wire.received.len - (size_t)(body - answer), FILE_SIZE);
    assert_string_equal(answer + f->wire.received.len - 4, "xend");
}

static void a_file_is_not_sent_to_who_asks_for_its_head(void **state)
{
    const char *answer = ask(*state, "HEAD /file HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");

    assert_has(answer, "Content-Length: 9437184\r\n");
    assert_lacks(answer, "xxx");
}

static void an_unknown_path_is_404_as_a_problem(void **state)
{
    const char *answer = ask(*state, GET("/nowhere"));

    assert_has(answer, "HTTP/1.1 404 Not Found\r\n");
    assert_has(answer, "Content-Type: application/problem+json\r\n");
    assert_has(answer, "\"title\":\"Not Found\"");
    assert_has(answer, "\"status\":404");
}

static void an_empty_parameter_matches_nothing(void **state)
{
    assert_has(ask(*state, GET("/items/")), "HTTP/1.1 404 ");
}

static void a_known_path_with_another_method_is_405_with_allow(void **state)
{
    struct fixture *f = *state;
    const char *answer = ask(f, "PUT /items/a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");

    assert_has(answer, "HTTP/1.1 405 ");
    assert_has(answer, "Allow: ");
    assert_has(answer, "GET, HEAD");
    assert_has(answer, "DELETE");
    assert_int_equal(f->handled, 0);
}

static void a_path_that_is_not_utf8_or_too_deep_is_400(void **state)
{
    struct fixture *f = *state;

    assert_has(ask(f, GET("/items/%ff")), "HTTP/1.1 400 ");
    wire_close(&f->wire);
    wire_open(&f->wire, f->loop, http_server_port(f->server));
    assert_has(
        ask(f, GET("/files/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5/6/7/8/9/1/2/3/4/5")),
        "HTTP/1.1 400 ");
    wire_close(&f->wire);
    wire_open(&f->wire, f->loop, http_server_port(f->server));
    assert_has(ask(f, GET("/items/%00")), "HTTP/1.1 400 ");
    assert_int_equal(f->handled, 0);
}

/* ---- answers ---- */

static void two_requests_sent_together_are_answered_in_order(void **state)
{
    const char *answer = ask(
        *state,
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nfirst" GET("/items/second"));

    assert_has(answer, "\r\n\r\nfirstHTTP/1.1 200 OK");
    assert_has(answer, "GET|second|");
}

static void a_large_body_arrives_on_a_connection_that_was_used_before(void **state)
{
    const int len = BIG_LIMIT / 2;
    struct fixture *f = *state;
    char *body = mem_alloc((size_t)len + 1);

    wire_send(&f->wire, "GET /items/first HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_true(wire_wait_for(&f->wire, "GET|first|"));
    memset(body, 'x', (size_t)len);
    char *request = mem_printf("POST /big HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                               "Content-Length: %d\r\n\r\n%s",
                               len, body);
    ask(f, request);
    assert_int_equal(f->handled, 2);
    assert_true(f->wire.received.len > (size_t)len);
    free(request);
    free(body);
}

static void errors_become_the_status_that_goes_with_them(void **state)
{
    static const struct {
        enum err_code code;
        const char *status;
    } cases[] = {{ERR_INVALID, " 400 "},  {ERR_DENIED, " 403 "},  {ERR_NOT_FOUND, " 404 "},
                 {ERR_CONFLICT, " 409 "}, {ERR_LIMIT, " 413 "},   {ERR_UNAVAILABLE, " 503 "},
                 {ERR_TIMEOUT, " 504 "},  {ERR_INTERNAL, " 500 "}};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wire_close(&f->wire);
        wire_open(&f->wire, f->loop, http_server_port(f->server));
        char *request = mem_printf("GET /error/%d HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
                                   (int)cases[i].code);
        const char *answer = ask(f, request);
        assert_has(answer, cases[i].status);
        assert_has(answer, "\"detail\":\"because\"");
        if (cases[i].code == ERR_UNAVAILABLE)
            assert_has(answer, "Retry-After: ");
        free(request);
    }
}

static void a_header_value_cannot_break_the_answer_open(void **state)
{
    const char *answer = ask(*state, GET("/injection"));

    assert_has(answer, "HTTP/1.1 204 No Content\r\n");
    assert_has(answer, "\r\nX-Echo: a  X-Injected: 1\r\n");
}

static void only_the_one_origin_may_read_across_origins(void **state)
{
    struct fixture *f = *state;
    const char *answer = ask(f, "OPTIONS /items/a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                                "Origin: https://console.test\r\n"
                                "Access-Control-Request-Method: DELETE\r\n\r\n");

    assert_has(answer, "HTTP/1.1 204 ");
    assert_has(answer, "Access-Control-Allow-Origin: https://console.test\r\n");
    assert_has(answer, "Access-Control-Allow-Headers: Authorization");
    assert_lacks(answer, "Allow-Credentials");
    wire_close(&f->wire);
    wire_open(&f->wire, f->loop, http_server_port(f->server));
    answer = ask(f, "GET /items/a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                    "Origin: https://evil.test\r\n\r\n");
    assert_has(answer, "HTTP/1.1 200 ");
    assert_lacks(answer, "Access-Control-Allow-Origin");
}

/* ---- bad input ---- */

static void a_body_over_the_routes_limit_is_413(void **state)
{
    struct fixture *f = *state;
    char *body = mem_alloc(BODY_LIMIT + 2);

    memset(body, 'x', BODY_LIMIT + 1);
    char *request = mem_printf("POST /echo HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                               "Content-Length: %d\r\n\r\n%s",
                               BODY_LIMIT + 1, body);
    assert_has(ask(f, request), "HTTP/1.1 413 ");
    assert_int_equal(f->handled, 0);
    free(request);
    free(body);
}

static void a_body_over_every_limit_is_413_without_being_read(void **state)
{
    struct fixture *f = *state;

    assert_has(ask(f, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n"),
               "HTTP/1.1 413 ");
    assert_int_equal(f->handled, 0);
}

static void a_client_that_asks_first_is_refused_before_it_sends(void **state)
{
    struct fixture *f = *state;

    const char *answer = ask(f, "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                                "Content-Length: 2000000\r\n\r\n");
    assert_has(answer, "HTTP/1.1 413 ");
    assert_lacks(answer, "100 Continue");
}

static void a_chunked_body_over_the_limit_is_413(void **state)
{
    struct fixture *f = *state;

    assert_has(ask(f, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "7fffffff\r\n"),
               "HTTP/1.1 413 ");
    assert_int_equal(f->handled, 0);
}

static void a_chunked_body_arrives_whole(void **state)
{
    assert_has(ask(*state, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
                           "Connection: close\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
               "\r\n\r\nhello world");
}

static void a_body_with_two_lengths_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_has(ask(f, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
                      "Content-Length: 3\r\nConnection: close\r\n\r\n0\r\n\r\n"),
               "HTTP/1.1 400 ");
    assert_int_equal(f->handled, 0);
}

static void broken_requests_are_refused_and_start_nothing(void **state)
{
    static const char *const requests[] = {
        "nonsense\r\n\r\n",
        "GET / NOTHTTP\r\n\r\n",
        "GET /echo HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: abc\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        wire_close(&f->wire);
        wire_open(&f->wire, f->loop, http_server_port(f->server));
        const char *answer = ask(f, requests[i]);
        assert_has(answer, "HTTP/1.1 4");
        assert_int_equal(f->handled, 0);
    }
}

static void a_method_nobody_knows_starts_nothing_and_ends_the_connection(void **state)
{
    struct fixture *f = *state;

    ask(f, "BREW /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(f->handled, 0);
}

static void headers_beyond_64_kib_are_refused(void **state)
{
    struct fixture *f = *state;
    char *filler = mem_alloc(70 * 1024);

    memset(filler, 'x', 70 * 1024 - 1);
    wire_send(&f->wire, "GET /items/a HTTP/1.1\r\nHost: t\r\nX-Filler: ");
    wire_send(&f->wire, filler);
    wire_send(&f->wire, "\r\n\r\n");
    assert_true(wire_wait_closed(&f->wire, WAIT_MS));
    assert_int_equal(f->handled, 0);
    free(filler);
}

static void a_truncated_body_starts_nothing(void **state)
{
    struct fixture *f = *state;

    wire_send(&f->wire, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf");
    shutdown(f->wire.fd, SHUT_WR);
    assert_true(wire_wait_closed(&f->wire, WAIT_MS));
    assert_int_equal(f->handled, 0);
}

static void json_is_asked_for_by_its_type_and_checked(void **state)
{
    static const struct {
        const char *type, *body, *answer;
    } cases[] = {
        {"application/json", "{\"a\": 1}", "HTTP/1.1 201 Created\r\n"},
        {"application/cloudevents+json; charset=utf-8", "[1]", "HTTP/1.1 201 Created\r\n"},
        {"text/plain", "{\"a\": 1}", "HTTP/1.1 415 "},
        {"application/json", "{\"a\": ", "HTTP/1.1 400 "},
        {"application/json", "{\"a\": 1, \"a\": 2}", "HTTP/1.1 400 "},
        {"application/json", "", "HTTP/1.1 400 "},
        {"application/json", "\"\xff\"", "HTTP/1.1 400 "},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wire_close(&f->wire);
        wire_open(&f->wire, f->loop, http_server_port(f->server));
        char *request = mem_printf("POST /json HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                                   "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                                   cases[i].type, strlen(cases[i].body), cases[i].body);
        assert_has(ask(f, request), cases[i].answer);
        free(request);
    }
    assert_int_equal(f->handled, 2);
}

static void json_nested_without_end_is_refused(void **state)
{
    struct fixture *f = *state;
    char *body = mem_alloc(BODY_LIMIT + 1);

    memset(body, '[', BODY_LIMIT);
    char *request = mem_printf("POST /json HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                               "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                               BODY_LIMIT, body);
    assert_has(ask(f, request), "HTTP/1.1 400 ");
    free(request);
    free(body);
}

/* ---- answering later ---- */

static void wait_held(struct fixture *f)
{
    const int64_t end = clock_mono_ms() + WAIT_MS;

    while (!f->held && clock_mono_ms() < end)
        loop_run_for(f->loop, 2, NULL);
    assert_non_null(f->held);
}

static void wait_gone(struct fixture *f)
{
    const int64_t end = clock_mono_ms() + WAIT_MS;

    while (!f->gone && clock_mono_ms() < end)
        loop_run_for(f->loop, 2, NULL);
    assert_int_equal(f->gone, 1);
}

static void an_answer_may_come_later(void **state)
{
    struct fixture *f = *state;

    wire_send(&f->wire, GET("/hold?watch=1"));
    wait_held(f);
    http_reply(f->held, 202, "text/plain", "late", 4);
    assert_true(wire_wait_closed(&f->wire, WAIT_MS));
    assert_has(buf_cstr(&f->wire.received), "HTTP/1.1 202 Accepted");
    assert_has(buf_cstr(&f->wire.received), "\r\n\r\nlate");
    assert_int_equal(f->gone, 0);
}

static void a_client_that_goes_away_is_told_to_the_handler(void **state)
{
    struct fixture *f = *state;

    wire_send(&f->wire, GET("/hold?watch=1"));
    wait_held(f);
    shutdown(f->wire.fd, SHUT_RDWR);
    wait_gone(f);
}

static void a_handler_that_does_not_watch_may_answer_a_client_that_is_gone(void **state)
{
    struct fixture *f = *state;

    wire_send(&f->wire, GET("/hold"));
    wait_held(f);
    shutdown(f->wire.fd, SHUT_RDWR);
    assert_true(wire_wait_closed(&f->wire, WAIT_MS));
    loop_run_for(f->loop, 20, NULL);
    assert_string_equal(http_req_path(f->held), "/hold");
    assert_string_equal(http_req_header(f->held, "Host"), "t");
    http_reply_header(f->held, "X-Late", "1");
    http_reply(f->held, 200, "text/plain", "unheard", 7);
}

static void a_request_sent_behind_a_waiting_one_waits_for_it(void **state)
{
    struct fixture *f = *state;

    wire_send(&f->wire, "GET /hold?watch=1 HTTP/1.1\r\nHost: t\r\n\r\n" GET("/items/after"));
    wait_held(f);
    loop_run_for(f->loop, 50, NULL);
    assert_int_equal(f->handled, 1);
    http_reply(f->held, 200, "text/plain", "first", 5);
    assert_true(wire_wait_closed(&f->wire, WAIT_MS));
    assert_has(buf_cstr(&f->wire.received), "firstHTTP/1.1 200 OK");
    assert_has(buf_cstr(&f->wire.received), "GET|after|");
    assert_int_equal(f->gone, 0);
}

static void freeing_the_server_tells_of_unanswered_requests(void **state)
{
    struct fixture *f = *state;

    wire_send(&f->wire, GET("/hold?watch=1"));
    wait_held(f);
    http_server_free(f->server);
    f->server = NULL;
    assert_int_equal(f->gone, 1);
}

/* ---- streams ---- */

static void a_stream_reaches_the_client_as_it_is_sent(void **state)
{
    struct fixture *f = *state;

    wire_send(&f->wire, GET("/stream"));
    wait_held(f);
    assert_int_equal(http_stream_send(f->held, "data: one\n\n", 11), 0);
    assert_true(wire_wait_for(&f->wire, "data: one\n\n"));
    assert_has(buf_cstr(&f->wire.received), "Content-Type: text/event-stream\r\n");
    assert_int_equal(http_stream_send(f->held, "data: two\n\n", 11), 0);
    http_stream_end(f->held);
    assert_true(wire_wait_closed(&f->wire, WAIT_MS));
    assert_has(buf_cstr(&f->wire.received), "data: two\n\n\r\n0\r\n\r\n");
    assert_int_equal(f->gone, 0);
}

static void a_stream_whose_client_goes_away_is_told(void **state)
{
    struct fixture *f = *state;

    wire_send(&f->wire, GET("/stream"));
    wait_held(f);
    loop_run_for(f->loop, 20, NULL);
    shutdown(f->wire.fd, SHUT_RDWR);
    wait_gone(f);
}

static void a_stream_whose_client_does_not_read_is_dropped_at_4_mib(void **state)
{
    struct fixture *f = *state;
    char *data = mem_alloc(256 * 1024);
    size_t sent = 0;
    int rc = 0;

    wire_send(&f->wire, GET("/stream"));
    wait_held(f);
    struct http_request *req = f->held;
    loop_fd_watch(f->wire.watch, 0);
    while (rc == 0 && sent < 256 * 1024 * 1024) {
        rc = http_stream_send(req, data, 256 * 1024);
        sent += 256 * 1024;
        if (sent % (1024 * 1024) == 0)
            loop_run_for(f->loop, 2, NULL);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(f->gone, 0);
    wait_gone(f);
    free(data);
}

static void stopping_closes_streams_and_lets_answers_finish(void **state)
{
    struct fixture *f = *state;
    struct wire other;

    wire_send(&f->wire, GET("/stream"));
    wait_held(f);
    assert_int_equal(http_stream_send(f->held, "data: x\n\n", 9), 0);
    f->held = NULL;
    wire_open(&other, f->loop, http_server_port(f->server));
    wire_send(&other, "GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
    wait_held(f);
    struct http_request *waiting = f->held;
    http_server_stop(f->server);
    assert_true(wire_wait_closed(&f->wire, WAIT_MS));
    assert_has(buf_cstr(&f->wire.received), "\r\n0\r\n\r\n");
    assert_int_equal(f->gone, 1);
    http_reply(waiting, 200, "text/plain", "done", 4);
    assert_true(wire_wait_closed(&other, WAIT_MS));
    assert_has(buf_cstr(&other.received), "\r\n\r\ndone");
    wire_close(&other);
}

/* ---- limits ---- */

static void beyond_a_thousand_connections_the_idle_ones_give_way(void **state)
{
    static struct wire wires[1100];
    struct fixture *f = *state;

    for (size_t i = 0; i < 1100; i++) {
        wire_open(&wires[i], f->loop, http_server_port(f->server));
        if (i % 100 == 99)
            loop_run_for(f->loop, 5, NULL);
    }
    loop_run_for(f->loop, 100, NULL);
    size_t open = 0;
    for (size_t i = 0; i < 1100; i++)
        open += !wires[i].closed;
    assert_in_range(open, 990, 1000);
    wire_send(&wires[1099], GET("/items/fixed"));
    assert_true(wire_wait_closed(&wires[1099], WAIT_MS));
    assert_has(buf_cstr(&wires[1099].received), "fixed");
    for (size_t i = 0; i < 1100; i++)
        wire_close(&wires[i]);
}

static void requests_are_counted_by_route_and_status(void **state)
{
    struct fixture *f = *state;
    struct buf text;

    ask(f, GET("/items/a"));
    buf_init(&text, 1024 * 1024);
    metrics_write(f->metrics, &text);
    assert_has(buf_cstr(&text), "gantry_http_requests_total{method=\"GET\",route=\"/items/{name}\","
                                "code=\"2xx\"} 1");
    buf_release(&text);
}

static void an_address_that_is_none_is_refused(void **state)
{
    static const char *const addresses[] = {"",
                                            "8080",
                                            "127.0.0.1",
                                            "127.0.0.1:",
                                            ":8080",
                                            "127.0.0.1:99999",
                                            "no.such.host.invalid:1"};
    struct fixture *f = *state;
    struct http_server *server;
    struct err err;

    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        const struct http_server_conf conf = {.listen = addresses[i]};
        assert_int_equal(http_server_new(&server, f->loop, &conf, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
    }
    char *taken = mem_printf("127.0.0.1:%d", http_server_port(f->server));
    const struct http_server_conf conf = {.listen = taken};
    assert_int_equal(http_server_new(&server, f->loop, &conf, &err), -1);
    assert_has(err.msg, taken);
    free(taken);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(path_and_query_reach_the_handler_decoded),
        TEST(a_literal_segment_wins_over_a_parameter_in_whatever_order_they_came),
        TEST(the_rest_of_a_path_is_one_parameter),
        TEST(an_empty_rest_of_a_path_is_404),
        TEST(head_is_answered_by_get_without_a_body),
        TEST(a_file_is_answered_as_far_as_it_is_asked_for),
        TEST(a_file_is_not_sent_to_who_asks_for_its_head),
        TEST(an_unknown_path_is_404_as_a_problem),
        TEST(an_empty_parameter_matches_nothing),
        TEST(a_known_path_with_another_method_is_405_with_allow),
        TEST(a_path_that_is_not_utf8_or_too_deep_is_400),
        TEST(two_requests_sent_together_are_answered_in_order),
        TEST(a_large_body_arrives_on_a_connection_that_was_used_before),
        TEST(errors_become_the_status_that_goes_with_them),
        TEST(a_header_value_cannot_break_the_answer_open),
        TEST(only_the_one_origin_may_read_across_origins),
        TEST(a_body_over_the_routes_limit_is_413),
        TEST(a_body_over_every_limit_is_413_without_being_read),
        TEST(a_client_that_asks_first_is_refused_before_it_sends),
        TEST(a_chunked_body_over_the_limit_is_413),
        TEST(a_chunked_body_arrives_whole),
        TEST(a_body_with_two_lengths_is_refused),
        TEST(broken_requests_are_refused_and_start_nothing),
        TEST(a_method_nobody_knows_starts_nothing_and_ends_the_connection),
        TEST(headers_beyond_64_kib_are_refused),
        TEST(a_truncated_body_starts_nothing),
        TEST(json_is_asked_for_by_its_type_and_checked),
        TEST(json_nested_without_end_is_refused),
        TEST(an_answer_may_come_later),
        TEST(a_client_that_goes_away_is_told_to_the_handler),
        TEST(a_handler_that_does_not_watch_may_answer_a_client_that_is_gone),
        TEST(a_request_sent_behind_a_waiting_one_waits_for_it),
        TEST(freeing_the_server_tells_of_unanswered_requests),
        TEST(a_stream_reaches_the_client_as_it_is_sent),
        TEST(a_stream_whose_client_goes_away_is_told),
        TEST(a_stream_whose_client_does_not_read_is_dropped_at_4_mib),
        TEST(stopping_closes_streams_and_lets_answers_finish),
        TEST(beyond_a_thousand_connections_the_idle_ones_give_way),
        TEST(requests_are_counted_by_route_and_status),
        TEST(an_address_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
