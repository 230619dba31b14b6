/* Ids (docs/events.md): deterministic ones, the same cause giving the same id, and random ones. */
#ifndef GANTRY_BASE_ID_H
#define GANTRY_BASE_ID_H

#include <stdint.h>

#define ID_SIZE 33 /* 32 hex digits and NUL */

/* id(type, parts...): the first 32 hex digits of SHA-256 over each part as `<decimal
 * length>:<bytes>`, the type first. Parts are strings, ended by NULL; a NULL inside is not
 * possible, so pass "" for an empty part. id_make(id, "run", "1700000000000", "shop", "42", "dev",
 * "app", "1", NULL); */
void id_make(char out[ID_SIZE], const char *type, ...) __attribute__((sentinel));

/* 128 random bits. */
void id_random(char out[ID_SIZE]);

/* Random bytes from the operating system. */
void random_bytes(void *out, unsigned long len);

/* Decimal text of a number as id parts need it. Returns out. */
char *id_num(char out[21], uint64_t value);

#endif
