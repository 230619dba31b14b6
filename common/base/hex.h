/* Hex and base64 (RFC 4648). */
#ifndef GANTRY_BASE_HEX_H
#define GANTRY_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void hex_encode(const void *data, size_t len, char *out); /* 2 * len + 1 bytes, lower case */
int hex_decode(const char *hex, void *out, size_t len);   /* exactly 2 * len digits; 0 or -1 */

char *base64_encode(const void *data, size_t len);    /* caller frees */
char *base64url_encode(const void *data, size_t len); /* no padding; caller frees */
/* Standard or URL alphabet, padding optional; *out is the caller's to free. 0 or -1. */
int base64_decode(const char *s, size_t len, uint8_t **out, size_t *out_len);

/* Compares in constant time for equal lengths. */
bool ct_equal(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
