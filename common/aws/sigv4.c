#include "aws/sigv4.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TEXT_MAX  (256 * 1024) /* of a canonical request */
#define DAY_LEN   8            /* of a date */

void sigv4_encode(struct buf *out, const char *text, bool keep_slash)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
            strchr("-._~", *c) || (*c == '/' && keep_slash))
            buf_addc(out, (char)*c);
        else
            buf_addf(out, "%%%02X", *c);
    }
}

static char *encoded(const char *text)
{
    struct buf out;

    buf_init(&out, TEXT_MAX);
    sigv4_encode(&out, text, false);
    return buf_detach(&out);
}

struct encoded_pair {
    char *name, *value;
};

static int by_name(const void *a, const void *b)
{
    const struct encoded_pair *x = a, *y = b;
    const int order = strcmp(x->name, y->name);

    return order ? order : strcmp(x->value, y->value);
}

void sigv4_query(struct buf *out, const struct sigv4_pair *pairs, size_t count)
{
    struct encoded_pair *sorted = mem_alloc((count + 1) * sizeof(*sorted));

    for (size_t i = 0; i < count; i++) {
        sorted[i].name = encoded(pairs[i].name);
        sorted[i].value = encoded(pairs[i].value);
    }
    qsort(sorted, count, sizeof(*sorted), by_name);
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s%s=", i ? "&" : "", sorted[i].name);
        buf_adds(out, sorted[i].value);
        free(sorted[i].name);
        free(sorted[i].value);
    }
    free(sorted);
}

static int by_header(const void *a, const void *b)
{
    const struct sigv4_pair *x = a, *y = b;

    return strcmp(x->name, y->name);
}

/* Without blanks at both ends, and runs of them as one. */
static void add_trimmed(struct buf *out, const char *value)
{
    value += strspn(value, " \t");
    while (*value) {
        const size_t word = strcspn(value, " \t"), gap = strspn(value + word, " \t");
        buf_add(out, value, word);
        value += word + gap;
        if (gap && *value)
            buf_addc(out, ' ');
    }
}

static void add_names(struct buf *out, const struct sigv4_pair *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s%s", i ? ";" : "", headers[i].name);
}

static void hash_request(const struct sigv4_request *request, const struct sigv4_pair *headers,
                         char out[SHA256_HEX_SIZE])
{
    struct buf text;

    buf_init(&text, TEXT_MAX);
    buf_addf(&text, "%s\n", request->method);
    buf_adds(&text, request->path);
    buf_addc(&text, '\n');
    buf_adds(&text, request->query);
    buf_addc(&text, '\n');
    for (size_t i = 0; i < request->header_count; i++) {
        buf_addf(&text, "%s:", headers[i].name);
        add_trimmed(&text, headers[i].value);
        buf_addc(&text, '\n');
    }
    buf_addc(&text, '\n');
    add_names(&text, headers, request->header_count);
    buf_addf(&text, "\n%s", request->payload_sha256);
    sha256_hex(text.data, text.len, out);
    mem_wipe(text.data, text.cap); /* a session token is among the headers */
    buf_release(&text);
}

static void derive(const struct sigv4_key *key, const char *date, uint8_t out[SHA256_SIZE])
{
    char *secret = mem_printf("AWS4%s", key->secret);

    hmac_sha256(secret, strlen(secret), date, DAY_LEN, out);
    hmac_sha256(out, SHA256_SIZE, key->region, strlen(key->region), out);
    hmac_sha256(out, SHA256_SIZE, key->service, strlen(key->service), out);
    hmac_sha256(out, SHA256_SIZE, "aws4_request", 12, out);
    mem_wipe(secret, strlen(secret));
    free(secret);
}

void sigv4_sign(struct buf *out, const struct sigv4_key *key, const struct sigv4_request *request)
{
    const size_t headers_size = request->header_count * sizeof(*request->headers);
    struct sigv4_pair *headers = mem_dup(request->headers, headers_size);
    char request_hash[SHA256_HEX_SIZE], signature[SHA256_HEX_SIZE];
    uint8_t signing_key[SHA256_SIZE], mac[SHA256_SIZE];
    char *scope =
        mem_printf("%.*s/%s/%s/aws4_request", DAY_LEN, request->date, key->region, key->service);

    qsort(headers, request->header_count, sizeof(*headers), by_header);
    hash_request(request, headers, request_hash);
    char *text = mem_printf(ALGORITHM "\n%s\n%s\n%s", request->date, scope, request_hash);
    derive(key, request->date, signing_key);
    hmac_sha256(signing_key, sizeof(signing_key), text, strlen(text), mac);
    hex_encode(mac, sizeof(mac), signature);
    buf_addf(out, ALGORITHM " Credential=%s/%s, SignedHeaders=", key->id, scope);
    add_names(out, headers, request->header_count);
    buf_addf(out, ", Signature=%s", signature);
    mem_wipe(signing_key, sizeof(signing_key));
    free(text);
    free(scope);
    free(headers);
}
