#include "secret/envelope.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/id.h"
#include "base/mem.h"

#define NONCE_SIZE 12
#define TAG_SIZE   16

static EVP_CIPHER_CTX *context_new(void)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

    if (!context)
        abort();
    return context;
}

void envelope_seal(const uint8_t key[ENVELOPE_KEY_SIZE], const char *bound, const void *plain,
                   size_t len, uint8_t *out)
{
    EVP_CIPHER_CTX *context = context_new();
    int n = 0;

    random_bytes(out, NONCE_SIZE);
    if (len > INT_MAX || !EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, out) ||
        !EVP_EncryptUpdate(context, NULL, &n, (const uint8_t *)bound, (int)strlen(bound)) ||
        !EVP_EncryptUpdate(context, out + NONCE_SIZE, &n, plain, (int)len) ||
        !EVP_EncryptFinal_ex(context, out + NONCE_SIZE + n, &n) ||
        !EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, out + NONCE_SIZE + len))
        abort();
    EVP_CIPHER_CTX_free(context);
}

int envelope_open(const uint8_t key[ENVELOPE_KEY_SIZE], const char *bound, const void *sealed,
                  size_t len, uint8_t *out)
{
    const uint8_t *nonce = sealed, *text = nonce + NONCE_SIZE;
    EVP_CIPHER_CTX *context;
    uint8_t tag[TAG_SIZE];
    size_t text_len;
    int n = 0, rc = -1;

    if (len < ENVELOPE_OVERHEAD || len > INT_MAX)
        return -1;
    text_len = len - ENVELOPE_OVERHEAD;
    memcpy(tag, text + text_len, TAG_SIZE);
    context = context_new();
    if (EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) &&
        EVP_DecryptUpdate(context, NULL, &n, (const uint8_t *)bound, (int)strlen(bound)) &&
        EVP_DecryptUpdate(context, out, &n, text, (int)text_len) &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) &&
        EVP_DecryptFinal_ex(context, out + n, &n))
        rc = 0;
    EVP_CIPHER_CTX_free(context);
    if (rc < 0)
        mem_wipe(out, text_len);
    return rc;
}
