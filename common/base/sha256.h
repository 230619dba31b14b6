/* SHA-256 and HMAC-SHA-256 by OpenSSL. Any thread. */
#ifndef GANTRY_BASE_SHA256_H
#define GANTRY_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SHA256_SIZE     32
#define SHA256_HEX_SIZE 65

void sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE]);
void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_SIZE]);
/* Of a part of a file, whose own position is not used. Blocking. ERR_CONFLICT: it ends before. */
int sha256_fd(int fd, uint64_t offset, uint64_t size, uint8_t out[SHA256_SIZE], struct err *err);
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[SHA256_SIZE]);

/* Of bytes that come one after the other. */
struct sha256_sum;
struct sha256_sum *sha256_sum_new(void);
void sha256_sum_add(struct sha256_sum *sum, const void *data, size_t len);
void sha256_sum_end(struct sha256_sum *sum, char out[SHA256_HEX_SIZE]); /* frees it */

#endif
