/* Inputs already decided, so that a copy changes nothing (docs/ledger.md): 64 bits of a hash of
 * topic and ce_id each, with the time of the Decision. Bounded by time and number; what is
 * forgotten depends on what was added alone. */
#ifndef GANTRY_ENGINE_IDS_H
#define GANTRY_ENGINE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/shared.h"
#include "events/topic.h"

#define IDS_MAX 10000

struct ids_item {
    uint64_t id;  /* 0: an empty slot */
    int64_t at_s; /* Unix seconds */
};

struct ids {
    struct shared shared;
    struct ids_item *slots; /* open addressing */
    size_t capacity;        /* a power of two */
    size_t count;
    int64_t oldest_s;
};

struct ids *ids_new(void);
uint64_t ids_hash(const char *topic, const char *ce_id); /* never 0 */
bool ids_has(const struct ids *ids, uint64_t id);
/* Adds to *ids, which is copied first if somebody else holds it. */
void ids_add(struct ids **ids, uint64_t id, int64_t at_s);
/* Puts in what a decoded state held, each once. */
void ids_load(struct ids **ids, const struct ids_item *items, size_t count);
/* All, by id. Caller frees. */
struct ids_item *ids_sorted(const struct ids *ids);

#endif
