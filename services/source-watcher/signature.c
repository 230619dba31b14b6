#include "signature.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"

/* Standard Webhooks 1.0: how far a timestamp may be off. */
#define TOLERANCE_S 300
#define ID_MAX      256

static int unsigned_(struct err *err, const char *header)
{
    return err_set(err, ERR_DENIED,
                   "the webhook is not signed: header %s is missing; set the hook's secret",
                   header);
}

static int wrong(struct err *err)
{
    return err_set(err, ERR_DENIED,
                   "the webhook's signature is wrong: the hook's secret at the forge and the one "
                   "here differ, or the body was changed or cut on its way");
}

static int check_hex(const char *hex, const void *body, size_t len, const void *secret,
                     size_t secret_len, struct err *err)
{
    uint8_t mac[SHA256_SIZE], given[SHA256_SIZE];

    hmac_sha256(secret, secret_len, body, len, mac);
    if (strlen(hex) != 2 * SHA256_SIZE || hex_decode(hex, given, SHA256_SIZE) != 0 ||
        !ct_equal(mac, SHA256_SIZE, given, SHA256_SIZE))
        return wrong(err);
    return 0;
}

/* Compares digests, so that neither the secret's length nor its beginning shows in the time. */
static int check_token(const char *token, const void *secret, size_t secret_len, struct err *err)
{
    uint8_t a[SHA256_SIZE], b[SHA256_SIZE];

    sha256(token, strlen(token), a);
    sha256(secret, secret_len, b);
    return ct_equal(a, SHA256_SIZE, b, SHA256_SIZE) ? 0 : wrong(err);
}

/* `v1,<base64>` words, of which one must fit: HMAC over "<id>.<time>.<body>". */
static int check_standard(const struct signature_headers *headers, const void *body, size_t len,
                          const void *secret, size_t secret_len, int64_t now_s, struct err *err)
{
    uint8_t *key = NULL, mac[SHA256_SIZE];
    size_t key_len = 0;
    struct buf text;
    int64_t time_s;
    int rc = -1;

    if (!headers->webhook_id || !headers->webhook_time || strlen(headers->webhook_id) > ID_MAX)
        return unsigned_(err, "webhook-id or webhook-timestamp");
    if (str_to_i64(headers->webhook_time, &time_s) != 0 || time_s < now_s - TOLERANCE_S ||
        time_s > now_s + TOLERANCE_S)
        return err_set(err, ERR_DENIED,
                       "the webhook's timestamp is more than five minutes away from this clock");
    if (secret_len > 6 && memcmp(secret, "whsec_", 6) == 0 &&
        base64_decode((const char *)secret + 6, secret_len - 6, &key, &key_len) != 0)
        key = NULL;
    buf_init(&text, len + ID_MAX + 64);
    buf_addf(&text, "%s.%s.", headers->webhook_id, headers->webhook_time);
    buf_add(&text, body, len);
    hmac_sha256(key ? (const void *)key : secret, key ? key_len : secret_len, text.data, text.len,
                mac);
    for (const char *at = headers->webhook_signature; *at && rc != 0;) {
        const size_t word = strcspn(at, " ");
        uint8_t *given = NULL;
        size_t given_len = 0;
        if (word > 3 && strncmp(at, "v1,", 3) == 0 &&
            base64_decode(at + 3, word - 3, &given, &given_len) == 0 &&
            ct_equal(mac, SHA256_SIZE, given, given_len))
            rc = 0;
        free(given);
        at += word + (at[word] == ' ');
    }
    if (key)
        mem_wipe(key, key_len);
    free(key);
    buf_release(&text);
    return rc == 0 ? 0 : wrong(err);
}

int signature_check(enum forge forge, const struct signature_headers *headers, const void *body,
                    size_t len, const void *secret, size_t secret_len, int64_t now_s,
                    struct err *err)
{
    switch (forge) {
    case FORGE_GITEA:
        if (!headers->gitea)
            return unsigned_(err, "X-Gitea-Signature");
        return check_hex(headers->gitea, body, len, secret, secret_len, err);
    case FORGE_GITHUB:
        if (!headers->github)
            return unsigned_(err, "X-Hub-Signature-256");
        if (!str_starts(headers->github, "sha256="))
            return wrong(err);
        return check_hex(headers->github + 7, body, len, secret, secret_len, err);
    case FORGE_GITLAB:
        if (headers->webhook_signature)
            return check_standard(headers, body, len, secret, secret_len, now_s, err);
        if (!headers->gitlab)
            return unsigned_(err, "X-Gitlab-Token");
        return check_token(headers->gitlab, secret, secret_len, err);
    }
    return err_set(err, ERR_INTERNAL, "no such forge");
}
