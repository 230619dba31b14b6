/* Sealed bytes: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce before and a 128-bit tag
 * after the ciphertext. `bound` is text that is not kept but must be the same when it is opened:
 * what the bytes are, and whose. Any thread. */
#ifndef GANTRY_SECRET_ENVELOPE_H
#define GANTRY_SECRET_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#define ENVELOPE_KEY_SIZE 32
#define ENVELOPE_OVERHEAD 28 /* bytes that sealing adds */

/* `out`: len + ENVELOPE_OVERHEAD bytes. At most 2^32 times with one key. */
void envelope_seal(const uint8_t key[ENVELOPE_KEY_SIZE], const char *bound, const void *plain,
                   size_t len, uint8_t *out);
/* `out`: len - ENVELOPE_OVERHEAD bytes. -1: another key, other `bound`, or changed bytes; `out` is
 * wiped then. */
int envelope_open(const uint8_t key[ENVELOPE_KEY_SIZE], const char *bound, const void *sealed,
                  size_t len, uint8_t *out);

#endif
