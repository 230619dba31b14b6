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

#define TIMEOUT_MS        30000
#define MESSAGE_MAX       (256 * 1024)
#define LINE_MAX_64       76 /* RFC 2045, 6.8 */
#define SUBJECT_PLAIN_MAX 68

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

static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~' || (c[0] == '=' && c[1] == '?'))
            return false;
    return strlen(text) <= SUBJECT_PLAIN_MAX;
}

/* RFC 2047: an encoded-word has at most 75 characters, its line 76, and it holds whole UTF-8
 * characters. */
static void add_subject(struct buf *out, const char *text)
{
    size_t len = strlen(text), at = 0;

    buf_adds(out, "Subject:");
    if (is_plain(text)) {
        buf_addf(out, " %s\r\n", text);
        return;
    }
    while (at < len) {
        size_t take = len - at < 36 ? len - at : 36;
        char *encoded;

        while (at + take < len && take > 1 && ((unsigned char)text[at + take] & 0xc0) == 0x80)
            take--;
        encoded = base64_encode(text + at, take);
        buf_addf(out, " =?UTF-8?B?%s?=\r\n", encoded);
        free(encoded);
        at += take;
    }
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
    struct buf text, html;
    bool overflow;

    buf_init(out, MESSAGE_MAX);
    buf_init(&text, MESSAGE_MAX / 4);
    buf_init(&html, MESSAGE_MAX / 4);
    page_text(&text, delivery->event, console_url);
    page_html(&html, delivery->event, console_url);
    add_headers(out, delivery, rule, from, headline, now_ms);
    buf_addf(out, "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n", delivery->id);
    add_part(out, delivery->id, "text/plain", &text);
    add_part(out, delivery->id, "text/html", &html);
    buf_addf(out, "--%s--\r\n", delivery->id);
    overflow = out->overflow || text.overflow || html.overflow;
    buf_release(&text);
    buf_release(&html);
    free(headline);
    if (!overflow)
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
    if (response->status)
        snprintf(problem, sizeof problem, "the mail server did not take it: %d %.300s",
                 response->status, response->body);
    else
        snprintf(problem, sizeof problem, "the mail server: %.300s", response->err.msg);
    /* Permanent by RFC 5321, 4.2.1 are 550 to 554; but a server's misconfiguration is often cured
     * in a day. */
    delivery_tried(delivery, false, false, 0, problem);
}

/* STARTTLS alone is what can be offered or not; smtps:// is TLS from the first byte. */
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
