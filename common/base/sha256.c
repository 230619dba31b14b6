#include "base/sha256.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/hex.h"
#include "base/mem.h"

#define FILE_BUFFER (256 * 1024)

/* Looked up once, and one context a thread: of a short text, either costs more than the hash. */
static EVP_MD *algorithm;
static pthread_key_t contexts;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void context_free(void *context)
{
    EVP_MD_CTX_free(context);
}

static void look_up(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!algorithm || pthread_key_create(&contexts, context_free) != 0)
        abort();
}

static EVP_MD_CTX *context_own(void)
{
    static _Thread_local EVP_MD_CTX *own;

    if (own)
        return own;
    pthread_once(&once, look_up);
    own = EVP_MD_CTX_new();
    if (!own || pthread_setspecific(contexts, own) != 0)
        abort();
    return own;
}

void sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE])
{
    EVP_MD_CTX *context = context_own();

    if (!EVP_DigestInit_ex2(context, algorithm, NULL) || !EVP_DigestUpdate(context, data, len) ||
        !EVP_DigestFinal_ex(context, out, NULL))
        abort();
}

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];

    sha256(data, len, digest);
    hex_encode(digest, sizeof(digest), out);
}

int sha256_fd(int fd, uint64_t offset, uint64_t size, uint8_t out[SHA256_SIZE], struct err *err)
{
    EVP_MD_CTX *context = context_own();
    char *data = mem_alloc(FILE_BUFFER);
    uint64_t left = size;
    int ret = 0;

    if (!EVP_DigestInit_ex2(context, algorithm, NULL))
        abort();
    while (left > 0) {
        const ssize_t n =
            pread(fd, data, left < FILE_BUFFER ? left : FILE_BUFFER, (off_t)(offset + size - left));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ret = err_errno(err, errno, "cannot read the file");
        else if (n == 0)
            ret = err_set(err, ERR_CONFLICT, "the file ends before byte %llu",
                          (unsigned long long)(offset + size));
        if (n <= 0)
            break;
        if (!EVP_DigestUpdate(context, data, (size_t)n))
            abort();
        left -= (uint64_t)n;
    }
    if (!EVP_DigestFinal_ex(context, out, NULL))
        abort();
    free(data);
    return ret;
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

struct sha256_sum *sha256_sum_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    pthread_once(&once, look_up);
    if (!context || !EVP_DigestInit_ex2(context, algorithm, NULL))
        abort();
    return (struct sha256_sum *)context;
}

void sha256_sum_add(struct sha256_sum *sum, const void *data, size_t len)
{
    if (!EVP_DigestUpdate((EVP_MD_CTX *)sum, data, len))
        abort();
}

void sha256_sum_end(struct sha256_sum *sum, char out[SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];

    if (!EVP_DigestFinal_ex((EVP_MD_CTX *)sum, digest, NULL))
        abort();
    EVP_MD_CTX_free((EVP_MD_CTX *)sum);
    hex_encode(digest, sizeof(digest), out);
}
