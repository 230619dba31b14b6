#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/client.h"
#include "http/server.h"
#include "loop/loop.h"
#include "mailbox.h"

#define WAIT_MS 15000
#define BIG     (512 * 1024)

struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct http_request *held;
    struct mailbox mailbox;
    bool done;
    int called;
    int gone;
    int status;
    struct err err;
    struct buf body, data;
    char header[256];
    struct http_call *call;
    int stop_after; /* pieces of data; 0: never */
    bool cancel_inside;
    char dir[64];
};

/* ---- the server ---- */

static void on_tell(struct http_request *req, void *arg)
{
    size_t len;
    const char *body = http_req_body(req, &len);
    const char *type = http_req_header(req, "Content-Type");
    const char *given = http_req_header(req, "X-Given");

    (void)arg;
    http_reply_header(req, "X-Told", "header");
    char *text = mem_printf("%s type=%s given=%s expect=%s body=%.*s", http_req_method(req),
                            type ? type : "-", given ? given : "-",
                            http_req_header(req, "Expect") ? "yes" : "no", (int)len, body);
    http_reply(req, 200, "text/plain", text, strlen(text));
    free(text);
}

static void on_length(struct http_request *req, void *arg)
{
    size_t len;

    (void)arg;
    http_req_body(req, &len);
    char *text = mem_printf("%zu", len);
    http_reply(req, 200, "text/plain", text, strlen(text));
    free(text);
}

static void on_big(struct http_request *req, void *arg)
{
    char *text = mem_alloc(BIG);

    (void)arg;
    memset(text, 'x', BIG);
    http_reply(req, 200, "text/plain", text, BIG);
    free(text);
}

static void on_elsewhere(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply_header(req, "Location", "/tell");
    http_reply(req, 302, NULL, NULL, 0);
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

    f->held = req;
    http_req_on_close(req, on_gone, f);
}

static void on_stream(struct http_request *req, void *arg)
{
    on_hold(req, arg);
    http_stream_begin(req, 200, "text/event-stream");
    http_stream_send(req, "one", 3);
}

static void add_routes(struct fixture *f)
{
    http_route(f->server, "GET", "/tell", 0, on_tell, f);
    http_route(f->server, "DELETE", "/tell", 1000, on_tell, f);
    http_route(f->server, "POST", "/tell", 1000, on_tell, f);
    http_route(f->server, "PUT", "/length", 32 * 1024 * 1024, on_length, f);
    http_route(f->server, "GET", "/big", 0, on_big, f);
    http_route(f->server, "GET", "/elsewhere", 0, on_elsewhere, f);
    http_route(f->server, "GET", "/hold", 0, on_hold, f);
    http_route(f->server, "GET", "/stream", 0, on_stream, f);
}

/* ---- the client ---- */

static void on_done(const struct http_response *response, void *arg)
{
    struct fixture *f = arg;
    const char *header = response->header(response, "x-TOLD");

    f->done = true;
    f->called++;
    f->call = NULL;
    f->status = response->status;
    f->err = response->err;
    buf_reset(&f->body);
    buf_add(&f->body, response->body, response->len);
    assert_int_equal(strlen(response->body), response->len);
    snprintf(f->header, sizeof(f->header), "%s", header ? header : "");
}

static int on_data(const char *data, size_t len, void *arg)
{
    struct fixture *f = arg;

    buf_add(&f->data, data, len);
    if (f->cancel_inside)
        http_call_cancel(f->call);
    return f->stop_after > 0 && --f->stop_after == 0;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    const struct http_server_conf conf = {.listen = "127.0.0.1:0"};
    struct err err;

    f->loop = loop_new(1);
    if (http_server_new(&f->server, f->loop, &conf, &err) != 0)
        fail_msg("%s", err.msg);
    add_routes(f);
    f->client = http_client_new(f->loop);
    mailbox_open(&f->mailbox, f->loop);
    buf_init(&f->body, 64 * 1024 * 1024);
    buf_init(&f->data, 64 * 1024 * 1024);
    snprintf(f->dir, sizeof(f->dir), "/tmp/gantry-http-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_client_free(f->client);
    mailbox_close(&f->mailbox);
    http_server_free(f->server);
    loop_free(f->loop);
    buf_release(&f->body);
    buf_release(&f->data);
    file_remove_tree(f->dir, NULL);
    free(f);
    return 0;
}

static void begin(struct fixture *f, struct http_call_opts opts, const char *path)
{
    char *url = mem_printf("http://127.0.0.1:%d%s", http_server_port(f->server), path);
    struct err err;

    opts.url = url;
    f->done = false;
    f->call = http_call(f->client, &opts, on_done, f, &err);
    if (!f->call)
        fail_msg("%s", err.msg);
    free(url);
}

static void finish(struct fixture *f)
{
    const int64_t began = clock_mono_ms();

    loop_run_for(f->loop, WAIT_MS, &f->done);
    assert_true(f->done);
    /* Nothing held the loop up. */
    assert_true(clock_mono_ms() - began < 2 * WAIT_MS);
}

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

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

/* ---- calls ---- */

static void a_get_brings_status_headers_and_body(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct http_call_opts){.headers = (const char *const[]){"X-Given: yes", NULL}},
          "/tell");
    finish(f);
    assert_int_equal(f->err.code, ERR_NONE);
    assert_int_equal(f->status, 200);
    assert_string_equal(f->header, "header");
    assert_string_equal(buf_cstr(&f->body), "GET type=- given=yes expect=no body=");
}

static void a_post_sends_its_body_with_the_type_given_and_no_other(void **state)
{
    struct fixture *f = *state;
    struct http_call_opts opts = {.method = "POST", .body = "{}", .body_len = 2};

    begin(f, opts, "/tell");
    finish(f);
    assert_string_equal(buf_cstr(&f->body), "POST type=- given=- expect=no body={}");
    opts.headers = (const char *const[]){"Content-Type: application/json", NULL};
    begin(f, opts, "/tell");
    finish(f);
    assert_has(buf_cstr(&f->body), "type=application/json ");
    opts.body = NULL;
    begin(f, opts, "/tell");
    finish(f);
    assert_int_equal(f->status, 200);
}

static void other_methods_are_sent_as_they_are(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct http_call_opts){.method = "DELETE"}, "/tell");
    finish(f);
    assert_has(buf_cstr(&f->body), "DELETE ");
    begin(f, (struct http_call_opts){.method = "HEAD"}, "/tell");
    finish(f);
    assert_int_equal(f->status, 200);
    assert_int_equal(f->body.len, 0);
    begin(f, (struct http_call_opts){.method = "PUT"}, "/tell");
    finish(f);
    assert_int_equal(f->status, 405);
    assert_int_equal(f->err.code, ERR_NONE);
}

static void a_large_body_arrives_whole(void **state)
{
    struct fixture *f = *state;
    char *body = mem_alloc(20 * 1024 * 1024);

    begin(f, (struct http_call_opts){.method = "PUT", .body = body, .body_len = 20 * 1024 * 1024},
          "/length");
    free(body);
    finish(f);
    assert_string_equal(buf_cstr(&f->body), "20971520");
}

static void many_calls_at_once_are_all_answered(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 200; i++)
        begin(f, (struct http_call_opts){0}, "/tell");
    const int64_t end = clock_mono_ms() + WAIT_MS;
    while (f->called < 200 && clock_mono_ms() < end)
        loop_run_for(f->loop, 10, NULL);
    assert_int_equal(f->called, 200);
    assert_int_equal(f->status, 200);
}

static void a_redirect_is_not_followed(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct http_call_opts){0}, "/elsewhere");
    finish(f);
    assert_int_equal(f->status, 302);
}

static void an_answer_over_the_limit_is_an_error(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct http_call_opts){.limit = BIG}, "/big");
    finish(f);
    assert_int_equal(f->status, 200);
    assert_int_equal(f->body.len, BIG);
    begin(f, (struct http_call_opts){.limit = BIG - 1}, "/big");
    finish(f);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->err.code, ERR_LIMIT);
}

static void an_answer_that_does_not_come_is_a_timeout(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct http_call_opts){.timeout_ms = 200}, "/hold");
    finish(f);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    wait_gone(f);
}

static void nobody_there_is_unavailable(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct http_call_opts opts = {.url = "http://127.0.0.1:1/"};

    assert_non_null(http_call(f->client, &opts, on_done, f, &err));
    finish(f);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->err.code, ERR_UNAVAILABLE);
    assert_true(err_is_retriable(&f->err));
}

static void only_http_and_https_are_spoken(void **state)
{
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "no url"};
    struct fixture *f = *state;
    struct err err;

    for (size_t i = 0; i < 3; i++) {
        const struct http_call_opts opts = {.url = urls[i]};
        f->done = false;
        assert_non_null(http_call(f->client, &opts, on_done, f, &err));
        finish(f);
        assert_int_equal(f->status, 0);
        assert_int_equal(f->body.len, 0);
    }
    const struct http_call_opts none = {0};
    assert_null(http_call(f->client, &none, on_done, f, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void a_header_with_a_line_break_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct http_call_opts opts = {.url = "http://127.0.0.1:1/",
                                        .headers = (const char *const[]){"X: 1\r\nY: 2", NULL}};

    assert_null(http_call(f->client, &opts, on_done, f, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void a_cancelled_call_never_calls_back(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct http_call_opts){0}, "/hold");
    wait_held(f);
    http_call_cancel(f->call);
    wait_gone(f);
    assert_int_equal(f->called, 0);
}

static void freeing_the_client_drops_calls_without_a_callback(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct http_call_opts){0}, "/hold");
    wait_held(f);
    http_client_free(f->client);
    f->client = NULL;
    wait_gone(f);
    assert_int_equal(f->called, 0);
}

/* ---- streams ---- */

static void a_stream_is_handed_on_as_it_comes(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct http_call_opts){.on_data = on_data, .timeout_ms = -1}, "/stream");
    wait_held(f);
    loop_run_for(f->loop, 100, NULL);
    assert_string_equal(buf_cstr(&f->data), "one");
    http_stream_send(f->held, "two", 3);
    http_stream_end(f->held);
    finish(f);
    assert_string_equal(buf_cstr(&f->data), "onetwo");
    assert_int_equal(f->status, 200);
    assert_int_equal(f->body.len, 0);
}

static void a_reader_that_wants_no_more_ends_the_call_without_an_error(void **state)
{
    struct fixture *f = *state;

    f->stop_after = 1;
    begin(f, (struct http_call_opts){.on_data = on_data}, "/stream");
    finish(f);
    assert_int_equal(f->status, 200);
    assert_int_equal(f->err.code, ERR_NONE);
    wait_gone(f);
}

static void a_reader_may_cancel_its_own_call(void **state)
{
    struct fixture *f = *state;

    f->cancel_inside = true;
    begin(f, (struct http_call_opts){.on_data = on_data}, "/stream");
    wait_gone(f);
    loop_run_for(f->loop, 50, NULL);
    assert_int_equal(f->called, 0);
}

/* ---- TLS ---- */

static char *path_in(struct fixture *f, const char *name)
{
    return mem_printf("%s/%s", f->dir, name);
}

static void serve_tls(struct fixture *f)
{
    char *cert = path_in(f, "cert.pem"), *key = path_in(f, "key.pem");
    char *command = mem_printf(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=t "
        "-addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
        key, cert);
    const struct http_server_conf conf = {
        .listen = "127.0.0.1:0", .tls_cert = cert, .tls_key = key};
    struct err err;

    assert_int_equal(system(command), 0);
    http_server_free(f->server);
    if (http_server_new(&f->server, f->loop, &conf, &err) != 0)
        fail_msg("%s", err.msg);
    add_routes(f);
    free(command);
    free(cert);
    free(key);
}

static void call_tls(struct fixture *f, const char *path, const char *ca_file)
{
    char *url = mem_printf("https://127.0.0.1:%d%s", http_server_port(f->server), path);
    const struct http_call_opts opts = {.url = url, .ca_file = ca_file};
    struct err err;

    f->done = false;
    assert_non_null(http_call(f->client, &opts, on_done, f, &err));
    finish(f);
    free(url);
}

static void https_is_spoken_by_both_and_the_certificate_checked(void **state)
{
    struct fixture *f = *state;
    char *cert = path_in(f, "cert.pem");

    serve_tls(f);
    call_tls(f, "/tell", cert);
    assert_int_equal(f->status, 200);
    assert_has(buf_cstr(&f->body), "GET type=-");
    call_tls(f, "/big", cert);
    assert_int_equal(f->body.len, BIG);
    call_tls(f, "/tell", NULL);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->err.code, ERR_DENIED);
    begin(f, (struct http_call_opts){0}, "/tell");
    finish(f);
    assert_int_equal(f->status, 0);
    free(cert);
}

static void a_certificate_without_its_key_is_refused(void **state)
{
    struct fixture *f = *state;
    struct http_server *server;
    struct err err;
    const struct http_server_conf one = {.listen = "127.0.0.1:0", .tls_cert = "/etc/hostname"};
    const struct http_server_conf bad = {
        .listen = "127.0.0.1:0", .tls_cert = "/etc/hostname", .tls_key = "/etc/hostname"};

    assert_int_equal(http_server_new(&server, f->loop, &one, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(http_server_new(&server, f->loop, &bad, &err), -1);
    assert_has(err.msg, "/etc/hostname");
}

/* ---- mail ---- */

static const char mail[] = "From: a@example.test\r\nSubject: s\r\n\r\nline\r\n.dotted\r\n";

static struct http_call *send_mail(struct fixture *f, struct smtp_opts opts, struct err *err)
{
    char *url = mem_printf("smtp://127.0.0.1:%d", f->mailbox.port);

    opts.url = url;
    opts.message = mail;
    opts.message_len = strlen(mail);
    struct http_call *call = smtp_send(f->client, &opts, on_done, f, err);
    free(url);
    return call;
}

static void a_mail_reaches_every_recipient(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct smtp_opts opts = {
        .from = "a@example.test",
        .to = (const char *const[]){"b@example.test", "c@example.test", NULL}};

    assert_non_null(send_mail(f, opts, &err));
    finish(f);
    assert_string_equal(f->err.msg, "");
    assert_int_equal(f->status, 250);
    const char *said = buf_cstr(&f->mailbox.transcript);
    assert_has(said, "MAIL FROM:<a@example.test>");
    assert_has(said, "RCPT TO:<b@example.test>");
    assert_has(said, "RCPT TO:<c@example.test>");
    assert_has(said, "\r\nline\r\n..dotted\r\n.\r\n");
}

static void a_server_that_never_answers_the_farewell_holds_nobody_up(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct smtp_opts opts = {.from = "a@example.test",
                                   .to = (const char *const[]){"b@example.test", NULL}};
    const int64_t began = clock_mono_ms();

    f->mailbox.silent_at_quit = true;
    assert_non_null(send_mail(f, opts, &err));
    finish(f);
    assert_int_equal(f->status, 250);
    loop_drain(f->loop);
    assert_true(clock_mono_ms() - began < 2 * WAIT_MS);
    loop_run_for(f->loop, 0, NULL);
    assert_has(buf_cstr(&f->mailbox.transcript), "QUIT");
}

static void a_mail_that_is_cancelled_or_whose_client_goes_calls_nobody_back(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct smtp_opts opts = {.from = "a@example.test",
                                   .to = (const char *const[]){"b@example.test", NULL}};

    http_call_cancel(send_mail(f, opts, &err));
    assert_non_null(send_mail(f, opts, &err));
    http_client_free(f->client);
    f->client = NULL;
    loop_drain(f->loop);
    assert_int_equal(f->called, 0);
}

static void a_mail_that_is_refused_has_the_servers_status_and_reason(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct smtp_opts opts = {.from = "a@example.test",
                                   .to = (const char *const[]){"b@example.test", NULL}};

    f->mailbox.refuse_recipients = true;
    assert_non_null(send_mail(f, opts, &err));
    finish(f);
    assert_int_equal(f->status, 550);
    assert_int_equal(f->err.code, ERR_NONE);
    assert_has(buf_cstr(&f->body), "550");
}

static void a_mail_without_the_encryption_it_needs_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct smtp_opts opts = {
        .from = "a@example.test", .tls = 2, .to = (const char *const[]){"b@example.test", NULL}};

    assert_non_null(send_mail(f, opts, &err));
    finish(f);
    assert_int_not_equal(f->status, 250);
    assert_null(strstr(buf_cstr(&f->mailbox.transcript), "MAIL FROM"));
}

static void an_address_that_would_break_out_of_its_line_is_refused(void **state)
{
    static const char *const bad[] = {"", "nobody", "a@b>\r\nDATA", "a b@c", "a@b\n"};
    struct fixture *f = *state;
    struct err err;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct smtp_opts to = {.from = "a@example.test",
                                     .to = (const char *const[]){bad[i], NULL}};
        const struct smtp_opts from = {.from = bad[i],
                                       .to = (const char *const[]){"b@example.test", NULL}};
        assert_null(send_mail(f, to, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(send_mail(f, from, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_get_brings_status_headers_and_body),
        TEST(a_post_sends_its_body_with_the_type_given_and_no_other),
        TEST(other_methods_are_sent_as_they_are),
        TEST(a_large_body_arrives_whole),
        TEST(many_calls_at_once_are_all_answered),
        TEST(a_redirect_is_not_followed),
        TEST(an_answer_over_the_limit_is_an_error),
        TEST(an_answer_that_does_not_come_is_a_timeout),
        TEST(nobody_there_is_unavailable),
        TEST(only_http_and_https_are_spoken),
        TEST(a_header_with_a_line_break_is_refused),
        TEST(a_cancelled_call_never_calls_back),
        TEST(freeing_the_client_drops_calls_without_a_callback),
        TEST(a_stream_is_handed_on_as_it_comes),
        TEST(a_reader_that_wants_no_more_ends_the_call_without_an_error),
        TEST(a_reader_may_cancel_its_own_call),
        TEST(https_is_spoken_by_both_and_the_certificate_checked),
        TEST(a_certificate_without_its_key_is_refused),
        TEST(a_mail_reaches_every_recipient),
        TEST(a_server_that_never_answers_the_farewell_holds_nobody_up),
        TEST(a_mail_that_is_cancelled_or_whose_client_goes_calls_nobody_back),
        TEST(a_mail_that_is_refused_has_the_servers_status_and_reason),
        TEST(a_mail_without_the_encryption_it_needs_is_not_sent),
        TEST(an_address_that_would_break_out_of_its_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
