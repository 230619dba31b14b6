/* SHA-256 and HMAC-SHA-256 by OpenSSL. Any thread. */
#ifndef GANTRY_BASE_SHA256_H
#define GANTRY_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE     32
#define SHA256_HEX_SIZE 65

void sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE]);
void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE]);
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[SHA256_SIZE]);

#endif
