/* Memory of one Decision's changes: handed out in a row, freed at once. It can also hold shared
 * parts of a state, so that a change may point into them instead of copying. One thread. */
#ifndef GANTRY_ENGINE_ARENA_H
#define GANTRY_ENGINE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena); /* NULL accepted */

void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for any type */
void *arena_dup(struct arena *arena, const void *data, size_t size);
char *arena_strdup(struct arena *arena, const char *s);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Keeps a part (shared.h) until the arena is freed; returns it. */
void *arena_hold(struct arena *arena, void *part);

#endif
