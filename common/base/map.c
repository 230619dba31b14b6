/* DESIGN: chains in a power-of-two table, allocated at the first key and doubled at three quarters.
 * The hash is SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) under a
 * key of the map's own, so that nobody who sends keys can know where they land. */
#include "base/map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"

#define MAP_FIRST_BUCKETS 8

struct entry {
    struct entry *next;
    void *value;
    uint64_t hash;
    char key[];
};

struct map {
    struct entry **buckets; /* NULL until the first key */
    size_t bucket_count;
    size_t count;
    uint64_t seed[2];
    void (*free_value)(void *);
};

static uint64_t rotl(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

static uint64_t siphash(const uint64_t seed[2], const char *data, size_t len)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)len << 56;

    for (; len >= 8; data += 8, len -= 8) {
        uint64_t word;

        memcpy(&word, data, 8);
        sip_word(v, word);
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)(unsigned char)data[i] << (8 * i);
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void (*free_value)(void *))
{
    struct map *map = mem_alloc(sizeof(*map));

    random_bytes(map->seed, sizeof(map->seed));
    map->free_value = free_value;
    return map;
}

static void drop(const struct map *map, struct entry *entry)
{
    if (map->free_value && entry->value)
        map->free_value(entry->value);
    free(entry);
}

void map_clear(struct map *map)
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct entry *entry = map->buckets[i];

        while (entry) {
            struct entry *next = entry->next;

            drop(map, entry);
            entry = next;
        }
    }
    free(map->buckets);
    map->buckets = NULL;
    map->bucket_count = 0;
    map->count = 0;
}

void map_free(struct map *map)
{
    if (!map)
        return;
    map_clear(map);
    free(map);
}

static struct entry **find(const struct map *map, const char *key, uint64_t hash)
{
    struct entry **at;

    if (!map->buckets)
        return NULL;
    at = &map->buckets[hash & (map->bucket_count - 1)];
    while (*at && ((*at)->hash != hash || strcmp((*at)->key, key) != 0))
        at = &(*at)->next;
    return at;
}

void *map_get(const struct map *map, const char *key)
{
    struct entry **at = find(map, key, siphash(map->seed, key, strlen(key)));

    return at && *at ? (*at)->value : NULL;
}

static void grow(struct map *map)
{
    size_t new_count = map->bucket_count ? map->bucket_count * 2 : MAP_FIRST_BUCKETS;
    struct entry **buckets = mem_alloc(new_count * sizeof(*buckets));

    for (size_t i = 0; i < map->bucket_count; i++) {
        struct entry *entry = map->buckets[i];

        while (entry) {
            struct entry *next = entry->next;
            struct entry **at = &buckets[entry->hash & (new_count - 1)];

            entry->next = *at;
            *at = entry;
            entry = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = new_count;
}

void map_set(struct map *map, const char *key, void *value)
{
    size_t len = strlen(key);
    uint64_t hash = siphash(map->seed, key, len);
    struct entry **at = find(map, key, hash);
    struct entry *entry;

    if (at && *at) {
        void *old = (*at)->value;

        (*at)->value = value;
        if (map->free_value && old && old != value)
            map->free_value(old);
        return;
    }
    if (map->count >= map->bucket_count / 4 * 3)
        grow(map);
    entry = mem_alloc(sizeof(*entry) + len + 1);
    entry->hash = hash;
    entry->value = value;
    memcpy(entry->key, key, len + 1);
    at = &map->buckets[hash & (map->bucket_count - 1)];
    entry->next = *at;
    *at = entry;
    map->count++;
}

/* Unlinks the entry, which the caller frees; NULL: not there. */
static struct entry *unlink_entry(struct map *map, const char *key)
{
    struct entry **at = find(map, key, siphash(map->seed, key, strlen(key)));
    struct entry *entry = at ? *at : NULL;

    if (entry) {
        *at = entry->next;
        map->count--;
    }
    return entry;
}

void *map_take(struct map *map, const char *key)
{
    struct entry *entry = unlink_entry(map, key);
    void *value = entry ? entry->value : NULL;

    free(entry);
    return value;
}

bool map_del(struct map *map, const char *key)
{
    struct entry *entry = unlink_entry(map, key);

    if (!entry)
        return false;
    drop(map, entry);
    return true;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

bool map_next(const struct map *map, struct map_iter *it)
{
    struct entry *entry = it->next;

    /* The next entry is looked up ahead, so that the current one may be deleted. */
    while (!entry && it->bucket < map->bucket_count)
        entry = map->buckets[it->bucket++];
    it->started = true;
    if (!entry)
        return false;
    it->key = entry->key;
    it->value = entry->value;
    it->next = entry->next;
    return true;
}
