#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "secret/secret.h"
#include "services/notifier/notifier.h"

#define TIMEOUT_MS  30000
#define MESSAGE_MAX (256 * 1024)
#define LINE_MAX_64 76 /* RFC 2045, 6.8 */

static void add_base64(struct buf *out, const char *text, size_t len)
{
    char *encoded = base64_encode(text, len);
    size_t left = strlen(encoded);

    for (const char *p = encoded; left;) {
        size_t line = left < LINE_MAX_64 ? left : LINE_MAX_64;

        buf_add(out, p, line);
        buf_adds(out, "\r\n");
        p += line;
        left -= line;
    }
    free(encoded);
}

/* RFC 2047: an encoded-word has at most 75 characters, and holds whole UTF-8 characters. */
static void add_subject(struct buf *out, const char *text)
{
    size_t len = strlen(text), at = 0;

    buf_adds(out, "Subject:");
    while (at < len) {
        size_t take = len - at < 42 ? len - at : 42;
        char *encoded;

        while (at + take < len && take > 1 && ((unsigned char)text[at + take] & 0xc0) == 0x80)
            take--;
        encoded = base64_encode(text + at, take);
        buf_addf(out, " =?UTF-8?B?%s?=\r\n", encoded);
        free(encoded);
        at += take;
    }
}

static void add_html(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '&':
            buf_adds(out, "&amp;");
            break;
        case '<':
            buf_adds(out, "&lt;");
            break;
        case '>':
            buf_adds(out, "&gt;");
            break;
        case '"':
            buf_adds(out, "&quot;");
            break;
        case '\n':
            buf_adds(out, "<br>");
            break;
        default:
            buf_addc(out, *c);
        }
    }
}

static void compose_text(struct buf *out, const char *headline,
                         const struct wording_details *details, const char *link)
{
    buf_addf(out, "%s\r\n\r\n", headline);
    for (size_t i = 0; i < details->count; i++)
        buf_addf(out, "%-10s  %s\r\n", details->items[i].label, details->items[i].value);
    if (link)
        buf_addf(out, "\r\n%s\r\n", link);
    buf_adds(out, "\r\n-- \r\nGantry sends this because a notification rule says so.\r\n");
}

static void compose_html(struct buf *out, const char *headline,
                         const struct wording_details *details, const char *link)
{
    buf_adds(out,
             "<!doctype html><html><body style=\"margin:0;padding:24px;background:#f6f7f9;"
             "font:14px/1.5 system-ui,sans-serif;color:#1c2128\">"
             "<div style=\"max-width:600px;margin:0 auto;background:#fff;border:1px solid #d8dee4;"
             "border-radius:8px;padding:24px\"><h1 style=\"font-size:18px;margin:0 0 16px\">");
    add_html(out, headline);
    buf_adds(out, "</h1><table style=\"border-collapse:collapse\">");
    for (size_t i = 0; i < details->count; i++) {
        buf_adds(out, "<tr><td style=\"padding:4px 16px 4px 0;color:#59636e;vertical-align:top\">");
        add_html(out, details->items[i].label);
        buf_adds(out, "</td><td style=\"padding:4px 0;word-break:break-word\">");
        add_html(out, details->items[i].value);
        buf_adds(out, "</td></tr>");
    }
    buf_adds(out, "</table>");
    if (link) {
        buf_adds(out, "<p style=\"margin:24px 0 0\"><a "
                      "style=\"background:#0b5cad;color:#fff;padding:8px 16px;"
                      "border-radius:6px;text-decoration:none\" href=\"");
        add_html(out, link);
        buf_adds(out, "\">Open in Gantry</a></p>");
    }
    buf_adds(out, "</div><p style=\"max-width:600px;margin:12px "
                  "auto;color:#59636e;font-size:12px\">Gantry sends "
                  "this because a notification rule says so.</p></body></html>\r\n");
}

static void add_headers(struct buf *out, const struct delivery *delivery,
                        const struct def_notification *rule, const char *from, const char *headline,
                        int64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char date[64];

    gmtime_r(&seconds, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &utc);
    buf_addf(out, "From: Gantry <%s>\r\nTo: ", from);
    for (size_t i = 0; i < rule->to.count; i++)
        buf_addf(out, "%s<%s>", i ? ",\r\n " : "", rule->to.items[i]);
    buf_adds(out, "\r\n");
    add_subject(out, headline);
    buf_addf(out, "Date: %s\r\nMessage-ID: <%s@gantry>\r\n", date, delivery->id);
    /* One thread a release in the reader's mail program. */
    buf_addf(out, "References: <%s.%llu@gantry>\r\n", delivery->event->pipeline,
             (unsigned long long)wording_release(delivery->event));
    buf_adds(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
}

static void add_part(struct buf *out, const char *boundary, const char *type,
                     const struct buf *body)
{
    buf_addf(out,
             "--%s\r\nContent-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
             boundary, type);
    add_base64(out, buf_cstr(body), body->len);
}

int mail_compose(struct buf *out, const struct delivery *delivery,
                 const struct def_notification *rule, const char *from, const char *console_url,
                 int64_t now_ms, struct err *err)
{
    char *headline = wording_headline(delivery->event);
    char *link = wording_link(delivery->event, console_url);
    struct wording_details details;
    struct buf text, html;

    wording_details(delivery->event, &details);
    buf_init(out, MESSAGE_MAX);
    buf_init(&text, MESSAGE_MAX / 2);
    buf_init(&html, MESSAGE_MAX / 2);
    compose_text(&text, headline, &details, link);
    compose_html(&html, headline, &details, link);
    add_headers(out, delivery, rule, from, headline, now_ms);
    buf_addf(out, "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n", delivery->id);
    add_part(out, delivery->id, "text/plain", &text);
    add_part(out, delivery->id, "text/html", &html);
    buf_addf(out, "--%s--\r\n", delivery->id);
    buf_release(&text);
    buf_release(&html);
    wording_details_release(&details);
    free(headline);
    free(link);
    if (!out->overflow)
        return 0;
    buf_release(out);
    return err_set(err, ERR_INVALID, "the mail is larger than 256 KiB");
}

static void on_answer(const struct http_response *response, void *arg)
{
    struct delivery *delivery = arg;
    char problem[400];

    if (response->err.code == ERR_NONE && response->status >= 200 && response->status < 300) {
        delivery_tried(delivery, true, false, 0, "");
        return;
    }
    snprintf(problem, sizeof problem, "the mail server did not take it: %.300s",
             *response->err.msg ? response->err.msg : "no reason given");
    /* Permanent by RFC 5321, 4.2.1 are 550 to 554; but a server's misconfiguration is often cured
     * in a day. */
    delivery_tried(delivery, false, false, 0, problem);
}

static int tls_mode(const char *name)
{
    return str_eq(name, "off") ? 0 : str_eq(name, "offered") ? 1 : 2;
}

int mail_try(struct delivery *delivery, const struct def_notification *rule, struct err *err)
{
    const struct notifier *app = delivery->app;
    struct smtp_opts opts = {0};
    struct buf message;

    if (str_empty(app->conf.smtp_url))
        return err_set(err, ERR_INVALID, "no mail server is set (notifier.smtp.url)");
    if (!str_empty(app->conf.smtp_password) &&
        secret_read(&delivery->secret, app->svc->conf.secrets_dir, app->conf.smtp_password, err) <
            0) {
        err->code = ERR_UNAVAILABLE;
        return -1;
    }
    if (mail_compose(&message, delivery, rule, app->conf.mail_from, app->svc->conf.console_url,
                     clock_now_ms(), err) < 0)
        return -1;
    opts.url = app->conf.smtp_url;
    opts.user = str_empty(app->conf.smtp_user) ? NULL : app->conf.smtp_user;
    opts.password = opts.user ? buf_cstr(&delivery->secret) : NULL;
    opts.tls = tls_mode(app->conf.smtp_tls);
    opts.ca_file = app->conf.smtp_ca_file;
    opts.from = app->conf.mail_from;
    opts.to = (const char *const *)rule->to.items;
    opts.message = message.data;
    opts.message_len = message.len;
    opts.timeout_ms = TIMEOUT_MS;
    delivery->call = smtp_send(app->client, &opts, on_answer, delivery, err);
    buf_release(&message);
    return delivery->call ? 0 : -1;
}
