#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "secret/secret.h"
#include "services/notifier/notifier.h"

#define TIMEOUT_MS    15000
#define ANSWER_LIMIT  (64 * 1024)
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
    out = json_dumps(json, JSON_COMPACT);
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
        return err_set(err, ERR_INVALID,
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

static void on_answer(const struct http_response *response, void *arg)
{
    struct delivery *delivery = arg;
    const char *retry_after;
    int64_t wait_s = 0;
    char problem[300];

    if (!response->status) {
        delivery_tried(delivery, false, false, 0, response->err.msg);
        return;
    }
    if (response->status >= 200 && response->status < 300) {
        delivery_tried(delivery, true, false, 0, "");
        return;
    }
    retry_after = response->header(response, "Retry-After");
    if (retry_after && str_to_i64(retry_after, &wait_s) < 0)
        wait_s = 0;
    snprintf(problem, sizeof problem, "the target answered %d", response->status);
    /* 410 Gone: the receiver wants no more (Standard Webhooks, "Operational considerations"). */
    delivery_tried(delivery, false, response->status == 410, wait_s > 0 ? wait_s * 1000 : 0,
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
    opts.limit = ANSWER_LIMIT;
    opts.ca_file = delivery->app->conf.webhook_ca_file;
    delivery->call = http_call(delivery->app->client, &opts, on_answer, delivery, err);
    rc = delivery->call ? 0 : -1;
out:
    free(body);
    free(mac);
    return rc;
}
