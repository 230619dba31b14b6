#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "secret/secret.h"
#include "services/notifier/notifier.h"

#define TIMEOUT_MS 15000
/* What a target says in its answer is not read beyond this: its status has come before. */
#define ANSWER_LIMIT  (64 * 1024)
#define ANSWER_MS     5000
#define WISH_MAX_S    (24 * 3600LL)
#define SECRET_PREFIX "whsec_"

static char *payload(const struct delivery *delivery)
{
    char kind[EVENT_TYPE_MAX], time[CLOCK_RFC3339_SIZE];
    char *headline = wording_headline(delivery->event);
    char *link = wording_link(delivery->event, delivery->app->svc->conf.console_url);
    json_t *json;
    char *out;

    wording_kind(delivery->event, kind);
    clock_rfc3339(delivery->event->time_ms, time);
    json = json_pack("{s:s, s:s, s:s, s:s*, s:o}", "type", kind, "timestamp", time, "headline",
                     headline, "link", link, "data", event_to_json(delivery->event));
    out = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    free(headline);
    free(link);
    return out;
}

/* Standard Webhooks 1.0.0, "Signature scheme": HMAC-SHA-256 over `id.timestamp.payload`; the secret
 * is the base64 behind whsec_. */
static int sign(const struct delivery *delivery, const char *timestamp, const char *body,
                char **signature, struct err *err)
{
    const char *secret = buf_cstr(&delivery->secret);
    struct buf content;
    uint8_t *key = NULL, mac[SHA256_SIZE];
    size_t key_len = 0;

    if (str_starts(secret, SECRET_PREFIX))
        secret += strlen(SECRET_PREFIX);
    if (base64_decode(secret, strlen(secret), &key, &key_len) < 0 || key_len < 16) {
        free(key);
        /* An operator can mend it: worth trying again. */
        return err_set(err, ERR_UNAVAILABLE,
                       "the webhook's secret must be `whsec_` and the base64 of at least 16 bytes");
    }
    buf_init(&content, EVENT_VALUE_MAX * 8);
    buf_addf(&content, "%s.%s.", delivery->id, timestamp);
    buf_adds(&content, body);
    hmac_sha256(key, key_len, content.data, content.len, mac);
    *signature = base64_encode(mac, sizeof mac);
    mem_wipe(key, key_len);
    free(key);
    buf_release(&content);
    return 0;
}

int64_t webhook_retry_after(const char *value, int64_t now_ms)
{
    struct tm date = {0};
    int64_t seconds;
    const char *end;

    if (str_empty(value))
        return 0;
    if (str_to_i64(value, &seconds) < 0) {
        end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &date);
        if (!end || *end)
            return 0;
        seconds = (int64_t)timegm(&date) - now_ms / 1000;
    }
    return seconds <= 0 ? 0 : (seconds < WISH_MAX_S ? seconds : WISH_MAX_S) * 1000;
}

static int on_data(const char *data, size_t len, void *arg)
{
    struct delivery *delivery = arg;

    (void)data;
    delivery->answer_bytes += len;
    return delivery->answer_bytes > ANSWER_LIMIT ||
           clock_mono_ms() - delivery->try_began_ms > ANSWER_MS;
}

static void on_answer(const struct http_response *response, void *arg)
{
    struct delivery *delivery = arg;
    char problem[300];

    if (!response->status) {
        delivery_tried(delivery, false, false, 0, response->err.msg);
        return;
    }
    if (response->status >= 200 && response->status < 300) {
        delivery_tried(delivery, true, false, 0, "");
        return;
    }
    snprintf(problem, sizeof problem, "the target answered %d", response->status);
    /* 410 Gone: the receiver wants no more (Standard Webhooks, "Operational considerations"). */
    delivery_tried(delivery, false, response->status == 410,
                   webhook_retry_after(response->header(response, "Retry-After"), clock_now_ms()),
                   problem);
}

int webhook_try(struct delivery *delivery, const struct def_notification *rule, struct err *err)
{
    char id[64], stamp[64], timestamp[24], signature[128];
    const char *headers[] = {"Content-Type: application/json",
                             "User-Agent: gantry/" GANTRY_VERSION,
                             id,
                             stamp,
                             signature,
                             NULL};
    char *body = NULL, *mac = NULL;
    struct http_call_opts opts = {0};
    int rc = -1;

    if (secret_read(&delivery->secret, delivery->app->svc->conf.secrets_dir, rule->secret, err) <
        0) {
        err->code = ERR_UNAVAILABLE; /* an operator can put it there: worth trying again */
        return -1;
    }
    body = payload(delivery);
    if (!body)
        return err_set(err, ERR_INVALID, "the event cannot be written as JSON");
    snprintf(timestamp, sizeof timestamp, "%lld", (long long)(clock_now_ms() / 1000));
    if (sign(delivery, timestamp, body, &mac, err) < 0)
        goto out;
    snprintf(id, sizeof id, "webhook-id: %s", delivery->id);
    snprintf(stamp, sizeof stamp, "webhook-timestamp: %s", timestamp);
    snprintf(signature, sizeof signature, "webhook-signature: v1,%s", mac);
    opts.method = "POST";
    opts.url = rule->url;
    opts.headers = headers;
    opts.body = body;
    opts.body_len = strlen(body);
    opts.timeout_ms = TIMEOUT_MS;
    opts.on_data = on_data;
    opts.ca_file = delivery->app->conf.webhook_ca_file;
    delivery->call = http_call(delivery->app->client, &opts, on_answer, delivery, err);
    rc = delivery->call ? 0 : -1;
out:
    free(body);
    free(mac);
    return rc;
}
