#include "base/sha256.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/hex.h"

static EVP_MD *algorithm; /* looked up once: of a short text, that costs more than the hash */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void look_up(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE])
{
    pthread_once(&once, look_up);
    if (!algorithm || !EVP_Digest(data, len, out, NULL, algorithm, NULL))
        abort();
}

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];

    sha256(data, len, digest);
    hex_encode(digest, sizeof(digest), out);
}

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[SHA256_SIZE])
{
    unsigned out_len = 0;

    /* HMAC() takes a NULL key for "the one before". */
    if (!HMAC(EVP_sha256(), key_len ? key : "", (int)key_len, data, len, out, &out_len) ||
        out_len != SHA256_SIZE)
        abort();
}
