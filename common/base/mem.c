#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *ptr, size_t size)
{
    if (!ptr) {
        fprintf(stderr, "gantry: out of memory asking for %zu bytes\n", size);
        abort();
    }
    return ptr;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1), size);
}

void *mem_realloc(void *ptr, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        checked(NULL, SIZE_MAX);
    return checked(realloc(ptr, total ? total : 1), total);
}

void *mem_dup(const void *data, size_t size)
{
    void *copy = checked(malloc(size ? size : 1), size);

    if (size)
        memcpy(copy, data, size);
    return copy;
}

char *mem_strdup(const char *s)
{
    return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *mem_strndup(const char *s, size_t len)
{
    return checked(strndup(s, len), len);
}

char *mem_printf(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return checked(n < 0 ? NULL : s, 0);
}

void mem_wipe(void *ptr, size_t size)
{
    if (ptr)
        explicit_bzero(ptr, size);
}
