/* A mail as it goes to the server, and what Retry-After means. With GANTRY_MAIL_SAMPLES naming a
 * folder, the HTML parts are left there to be looked at. */
#include <stdlib.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "gantry/v1/event.pb-c.h"
#include "services/notifier/notifier.h"
#include "tests/unit/unit.h"

#define CONSOLE "https://gantry.example.test/"
#define TIME_MS 1795000000000LL

/* ---- samples ---- */

static Gantry__V1__Revision revision = {
    .base = PROTOBUF_C_MESSAGE_INIT(&gantry__v1__revision__descriptor)};
static Gantry__V1__Revision *revisions[] = {&revision};

static void fill_revision(void)
{
    gantry__v1__revision__init(&revision);
    revision.source = (char *)"app";
    revision.ref = (char *)"refs/heads/main";
    revision.commit = (char *)"8f3c2e17d0a94b6f5a1c2d3e4f5061728394a5b6";
    revision.message = (char *)"Let a basket hold more than 99 items 🧺 <b>& more</b>";
}

static void open_approval(Gantry__V1__ApprovalRequest *approval)
{
    static char *by[] = {(char *)"group:release-managers"};
    static char *authors[] = {(char *)"kim@example.test", (char *)"lee@example.test"};

    gantry__v1__approval_request__init(approval);
    approval->verb = GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN;
    approval->approval_id = (char *)"0123456789abcdef0123456789abcdef";
    approval->pipeline = (char *)"shop";
    approval->release = 42;
    approval->stage = (char *)"prod";
    approval->gate = (char *)"approval";
    approval->digest =
        (char *)"sha256:4f1b3c5d7e9f0a2b4c6d8e0f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d1e3f5a7b";
    approval->previous_digest =
        (char *)"sha256:a01b3c5d7e9f0a2b4c6d8e0f1a3b5c7d9e0f2a4b6c8d0e1f3a5b7c9d1e3f5a7b";
    approval->by = by;
    approval->n_by = 1;
    approval->count = 2;
    approval->authors = authors;
    approval->n_authors = 2;
    approval->message = (char *)"Release 42 goes to PROD 🚀";
    approval->expires_ms = TIME_MS + 24 * 3600 * 1000;
    approval->revisions = revisions;
    approval->n_revisions = 1;
}

static void ended(Gantry__V1__ReleaseEvent *event, Gantry__V1__ReleaseEnded *fact,
                  Gantry__V1__Status status, const char *reason)
{
    gantry__v1__release_event__init(event);
    gantry__v1__release_ended__init(fact);
    fact->release = 42;
    fact->status = status;
    fact->reason = (char *)reason;
    event->pipeline = (char *)"shop";
    event->time_ms = TIME_MS;
    event->fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED;
    event->release_ended = fact;
}

static char *mail_of(Gantry__V1__ReleaseEvent *event)
{
    struct delivery delivery = {.id = "00112233445566778899aabbccddeeff", .event = event};
    struct def_notification rule = {.name = (char *)"team", .channel = DEF_MAIL};
    struct buf out;
    struct err err;

    strv_add(&rule.to, "ana@example.test");
    strv_add(&rule.to, "bo@example.test");
    assert_int_equal(
        mail_compose(&out, &delivery, &rule, "gantry@example.test", CONSOLE, TIME_MS, &err), 0);
    strv_release(&rule.to);
    return buf_detach(&out);
}

/* The decoded part of a type; caller frees. */
static char *part(const char *mail, const char *type)
{
    const char *at = strstr(mail, type);
    struct buf encoded;
    uint8_t *out;
    size_t len;

    assert_non_null(at);
    at = strstr(at, "\r\n\r\n") + 4;
    buf_init(&encoded, 1024 * 1024);
    for (const char *c = at; c[0] != '-' || c[1] != '-'; c++)
        if (*c != '\r' && *c != '\n')
            buf_addc(&encoded, *c);
    assert_int_equal(base64_decode(encoded.data, encoded.len, &out, &len), 0);
    buf_release(&encoded);
    char *text = mem_strndup((char *)out, len);
    free(out);
    return text;
}

static void keep(const char *name, const char *html)
{
    const char *folder = getenv("GANTRY_MAIL_SAMPLES");

    if (!folder)
        return;
    char *path = mem_printf("%s/%s.html", folder, name);
    assert_int_equal(file_write(path, html, strlen(html), 0644, NULL), 0);
    free(path);
}

static void assert_lines_within(const char *mail, size_t max)
{
    for (const char *line = mail; *line;) {
        const char *end = strstr(line, "\r\n");
        assert_non_null(end);
        assert_null(memchr(line, '\n', (size_t)(end - line)));
        assert_in_range(end - line, 0, max);
        line = end + 2;
    }
}

/* ---- tests ---- */

static void test_a_mail_has_its_headers_and_two_parts(void **state)
{
    Gantry__V1__ReleaseEvent event;
    Gantry__V1__ReleaseEnded fact;

    (void)state;
    ended(&event, &fact, GANTRY__V1__STATUS__STATUS_SUCCEEDED, "");
    char *mail = mail_of(&event);
    assert_lines_within(mail, 78);
    assert_non_null(strstr(mail, "From: Gantry <gantry@example.test>\r\n"));
    assert_non_null(strstr(mail, "To: <ana@example.test>,\r\n <bo@example.test>\r\n"));
    assert_non_null(strstr(mail, "Subject: shop/42 succeeded\r\n"));
    assert_non_null(strstr(mail, "Message-ID: <00112233445566778899aabbccddeeff@gantry>\r\n"));
    assert_non_null(strstr(mail, "References: <shop.42@gantry>\r\n"));
    assert_non_null(strstr(mail, "Auto-Submitted: auto-generated\r\n"));
    char *text = part(mail, "text/plain"), *html = part(mail, "text/html");
    assert_non_null(strstr(text, "shop/42 succeeded\r\n"));
    assert_non_null(strstr(text, "https://gantry.example.test/pipelines/shop/42\r\n"));
    assert_non_null(strstr(html, "href=\"https://gantry.example.test/pipelines/shop/42\""));
    assert_non_null(strstr(html, ">Succeeded<"));
    keep("succeeded", html);
    free(text);
    free(html);
    free(mail);
}

static void test_an_approval_shows_what_is_approved_and_escapes_it(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ApprovalOpened opened = GANTRY__V1__APPROVAL_OPENED__INIT;
    Gantry__V1__ApprovalRequest approval;

    (void)state;
    fill_revision();
    open_approval(&approval);
    opened.approval = &approval;
    event.pipeline = (char *)"shop";
    event.time_ms = TIME_MS;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_APPROVAL_OPENED;
    event.approval_opened = &opened;
    char *mail = mail_of(&event);
    assert_lines_within(mail, 78);
    char *text = part(mail, "text/plain"), *html = part(mail, "text/html");
    assert_non_null(strstr(text, "sha256:4f1b3c5d7e9f\r\n"));
    assert_non_null(strstr(text, "8f3c2e17 Let a basket hold more than 99 items 🧺 <b>"));
    assert_non_null(strstr(text, "kim@example.test, lee@example.test"));
    assert_non_null(strstr(text, "Release 42 goes to PROD 🚀"));
    assert_non_null(strstr(text, "0 of 2"));
    assert_non_null(strstr(html, "&lt;b&gt;&amp; more&lt;/b&gt;"));
    assert_null(strstr(html, "<b>"));
    assert_non_null(strstr(html, "Review and vote"));
    keep("approval", html);
    free(text);
    free(html);
    free(mail);
}

static void test_a_failure_shows_the_log_without_its_colours(void **state)
{
    static char *tail[] = {(char *)"cc -o server server.c",
                           (char *)"\x1b[31mserver.c:12: error:\x1b[0m unknown type \xff<x>",
                           (char *)"make: *** [Makefile:3: server] Error 1"};
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ActionEnded fact = GANTRY__V1__ACTION_ENDED__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;

    (void)state;
    finished.reason = (char *)"the command failed";
    finished.phase = (char *)"build";
    finished.command = (char *)"make test";
    finished.exit_code = 2;
    finished.log_tail = tail;
    finished.n_log_tail = 3;
    fact.release = 42;
    fact.stage = (char *)"build";
    fact.action = (char *)"image";
    fact.status = GANTRY__V1__STATUS__STATUS_FAILED;
    fact.finished = &finished;
    event.pipeline = (char *)"shop";
    event.time_ms = TIME_MS;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_ACTION_ENDED;
    event.action_ended = &fact;
    char *mail = mail_of(&event);
    char *text = part(mail, "text/plain"), *html = part(mail, "text/html");
    assert_non_null(strstr(text, "server.c:12: error: unknown type ?<x>\r\n"));
    assert_null(strchr(text, '\x1b'));
    assert_true(str_is_utf8(html, strlen(html)));
    assert_non_null(strstr(html, "&lt;x&gt;"));
    keep("failed", html);
    free(text);
    free(html);
    free(mail);
}

static void test_a_subject_beyond_ascii_or_long_is_encoded_words_within_their_limits(void **state)
{
    Gantry__V1__ReleaseEvent event;
    Gantry__V1__ReleaseEnded fact;
    char name[400];

    (void)state;
    ended(&event, &fact, GANTRY__V1__STATUS__STATUS_FAILED, "because");
    snprintf(name, sizeof name, "%s%s%s",
             "🧺🧺🧺🧺🧺🧺🧺🧺🧺🧺🧺🧺🧺🧺🧺🧺🧺\r\nBcc: "
             "<eve@example.test>",
             "äöü", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    event.pipeline = name;
    char *mail = mail_of(&event);
    char *headers = mem_strndup(mail, (size_t)(strstr(mail, "References:") - mail));
    assert_non_null(strstr(headers, "Subject: =?UTF-8?B?"));
    assert_null(strstr(headers, "Bcc"));
    assert_lines_within(headers, 76);
    free(headers);
    free(mail);
}

static void test_retry_after_is_seconds_or_a_date_and_bounded(void **state)
{
    (void)state;
    assert_int_equal(webhook_retry_after(NULL, 0), 0);
    assert_int_equal(webhook_retry_after("120", 0), 120000);
    assert_int_equal(webhook_retry_after("-5", 0), 0);
    assert_int_equal(webhook_retry_after("soon", 0), 0);
    assert_int_equal(webhook_retry_after("9223372036854775807", 0), 24 * 3600 * 1000);
    assert_int_equal(webhook_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111770000LL), 7000);
    assert_int_equal(webhook_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", TIME_MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mail_has_its_headers_and_two_parts),
        cmocka_unit_test(test_an_approval_shows_what_is_approved_and_escapes_it),
        cmocka_unit_test(test_a_failure_shows_the_log_without_its_colours),
        cmocka_unit_test(test_a_subject_beyond_ascii_or_long_is_encoded_words_within_their_limits),
        cmocka_unit_test(test_retry_after_is_seconds_or_a_date_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
