/* Which of the records that are left hang together where the beginning of a chain is missing: by
 * their own `previous`, and by the rule that of several with the same the first counts. Pure. */
#ifndef GANTRY_ENGINE_LINKS_H
#define GANTRY_ENGINE_LINKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/sha256.h"

struct links;

struct links *links_new(void);
void links_free(struct links *links); /* NULL is accepted */
/* The next record in the log's order; `previous` NULL: it names none. Returns how many records hang
 * together that end with it, itself included; 0: whatever the missing beginning was, it is void. */
size_t links_add(struct links *links, int64_t offset, const uint8_t hash[SHA256_SIZE],
                 const uint8_t *previous);
/* The offset of the first record that is left of those that end with the record of this hash, and
 * what that one names as its previous (all 0 where none). -1: there is no such record. */
int64_t links_first(const struct links *links, const uint8_t hash[SHA256_SIZE],
                    uint8_t previous[SHA256_SIZE]);

#endif
