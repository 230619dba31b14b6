/* Allocation that does not fail: out of memory ends the process with a message (sizes that come
 * from outside are bounded before they get here). Freed with free(). Any thread. */
#ifndef GANTRY_BASE_MEM_H
#define GANTRY_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                            /* zeroed */
void *mem_realloc(void *ptr, size_t count, size_t size); /* checks count * size for overflow */
void *mem_dup(const void *data, size_t size);
char *mem_strdup(const char *s); /* NULL gives NULL */
char *mem_strndup(const char *s, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Overwrites in a way that the compiler keeps; for secrets. */
void mem_wipe(void *ptr, size_t size);

#endif
