#include <jansson.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "attest/attest.h"
#include "base/buf.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"

#define PAYLOAD_TYPE  "application/vnd.in-toto+json"
#define SIGNED_MAX    (8 * 1024 * 1024)
#define SIGNATURE_MAX 128

struct attest_key {
    EVP_PKEY *pkey;
    char *hint; /* base64 of the SHA-256 of its public half, as cosign names keys */
};

static int openssl_error(struct err *err, enum err_code code, const char *what)
{
    char text[200];
    ERR_error_string_n(ERR_get_error(), text, sizeof(text));
    ERR_clear_error();
    return err_set(err, code, "%s: %s", what, text);
}

static bool is_p256(const EVP_PKEY *pkey)
{
    char group[64] = "";
    return EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
           (str_eq(group, "prime256v1") || str_eq(group, "P-256"));
}

static char *hint_of(EVP_PKEY *pkey)
{
    unsigned char *der = NULL, sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int n = i2d_PUBKEY(pkey, &der);
    char *hint = NULL;
    if (n > 0 && EVP_Digest(der, (size_t)n, sum, &len, EVP_sha256(), NULL) == 1)
        hint = base64_encode(sum, len);
    OPENSSL_free(der);
    return hint;
}

/* An encrypted key would be asked for at the terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

int attest_key_new(struct attest_key **out, const char *pem, size_t len, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    if (!pkey)
        return openssl_error(err, ERR_INVALID,
                             "it is no private key in PEM, or it is encrypted (make one with: "
                             "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)");
    char *hint = is_p256(pkey) ? hint_of(pkey) : NULL;
    if (!hint) {
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_INVALID, "it must be a key of the elliptic curve P-256");
    }
    struct attest_key *key = mem_alloc(sizeof(*key));
    key->pkey = pkey;
    key->hint = hint;
    *out = key;
    return 0;
}

void attest_key_free(struct attest_key *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    free(key->hint);
    free(key);
}

/* DSSE's pre-authentication encoding; the caller releases. */
static void encode(struct buf *out, const char *payload)
{
    buf_init(out, SIGNED_MAX);
    buf_addf(out, "DSSEv1 %zu %s %zu ", strlen(PAYLOAD_TYPE), PAYLOAD_TYPE, strlen(payload));
    buf_adds(out, payload);
}

/* ECDSA over SHA-256, ASN.1 DER, as base64; the caller frees. */
static char *sign(const struct attest_key *key, const struct buf *text)
{
    unsigned char sig[SIGNATURE_MAX];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    char *out = NULL;
    if (ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
        EVP_DigestSign(ctx, sig, &len, (const unsigned char *)text->data, text->len) == 1)
        out = base64_encode(sig, len);
    EVP_MD_CTX_free(ctx);
    return out;
}

char *attest_bundle(const struct attest_key *key, const char *statement, struct err *err)
{
    struct buf text;
    encode(&text, statement);
    char *sig = text.overflow ? NULL : sign(key, &text);
    char *payload = base64_encode(statement, strlen(statement));
    char *out = NULL;
    if (sig) {
        json_t *bundle = json_pack("{s:s, s:{s:{s:s}}, s:{s:s, s:s, s:[{s:s}]}}", "mediaType",
                                   ATTEST_BUNDLE_TYPE, "verificationMaterial", "publicKey", "hint",
                                   key->hint, "dsseEnvelope", "payload", payload, "payloadType",
                                   PAYLOAD_TYPE, "signatures", "sig", sig);
        out = json_dumps(bundle, JSON_COMPACT);
        json_decref(bundle);
    } else {
        openssl_error(err, ERR_INTERNAL, "the statement can't be signed");
    }
    buf_release(&text);
    free(payload);
    free(sig);
    return out;
}
