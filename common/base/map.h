/* A hash map from strings to pointers (chained, keyed hash, so that a sender cannot choose
 * collisions). Not thread-safe. Order of iteration is unspecified; sort where it shows. */
#ifndef GANTRY_BASE_MAP_H
#define GANTRY_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

struct map;

/* `free_value` (may be NULL) is called for a value that is replaced, deleted or freed with the map.
 */
struct map *map_new(void (*free_value)(void *));
void map_free(struct map *map);
void *map_get(const struct map *map, const char *key);       /* NULL: not there */
void map_set(struct map *map, const char *key, void *value); /* copies the key */
void *map_take(struct map *map, const char *key); /* removes without freeing; NULL: not there */
bool map_del(struct map *map, const char *key);
size_t map_count(const struct map *map);
void map_clear(struct map *map);

/* for (struct map_iter it = {0}; map_next(map, &it);) use it.key, it.value. Deleting it.key inside
 * is allowed. */
struct map_iter {
    const char *key;
    void *value;
    size_t bucket;
    void *next;
    bool started;
};
bool map_next(const struct map *map, struct map_iter *it);

#endif
