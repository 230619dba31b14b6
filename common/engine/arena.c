#include "engine/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/shared.h"

#define BLOCK_SIZE 8000 /* a Decision of everyday fits one */
#define ALIGN      16

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(ALIGN) unsigned char data[];
};

struct hold {
    struct hold *next;
    void *part;
};

struct arena {
    struct block *blocks; /* the one in use first */
    struct hold *holds;
};

static struct block *block_new(size_t size)
{
    struct block *block = mem_realloc(NULL, 1, sizeof(*block) + size);
    block->next = NULL;
    block->used = 0;
    block->size = size;
    return block;
}

struct arena *arena_new(void)
{
    struct block *block = block_new(BLOCK_SIZE);
    struct arena *arena = (struct arena *)block->data;
    arena->blocks = block;
    arena->holds = NULL;
    block->used = (sizeof(*arena) + ALIGN - 1) / ALIGN * ALIGN;
    return arena;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    for (struct hold *hold = arena->holds; hold; hold = hold->next)
        shared_unref(hold->part);
    struct block *block = arena->blocks;
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t want = (size + ALIGN - 1) / ALIGN * ALIGN;
    struct block *block = arena->blocks;
    if (want > block->size - block->used) {
        struct block *more = block_new(want > BLOCK_SIZE ? want : BLOCK_SIZE);
        /* A large one goes behind, so that the room in the one in use is not lost. */
        if (want > BLOCK_SIZE / 2) {
            more->next = block->next;
            block->next = more;
        } else {
            more->next = block;
            arena->blocks = more;
        }
        block = more;
    }
    void *at = block->data + block->used;
    block->used += want;
    memset(at, 0, size);
    return at;
}

void *arena_dup(struct arena *arena, const void *data, size_t size)
{
    void *copy = arena_alloc(arena, size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return arena_dup(arena, s, strlen(s) + 1);
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = arena_alloc(arena, (size_t)(len < 0 ? 0 : len) + 1);
    if (len > 0)
        vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}

void *arena_hold(struct arena *arena, void *part)
{
    struct hold *hold = arena_alloc(arena, sizeof(*hold));
    hold->part = shared_ref(part);
    hold->next = arena->holds;
    arena->holds = hold;
    return part;
}
