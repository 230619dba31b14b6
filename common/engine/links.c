#include "engine/links.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NONE SIZE_MAX

struct link {
    int64_t offset;
    uint8_t hash[SHA256_SIZE];
    uint8_t previous[SHA256_SIZE]; /* of a first one; others have `parent` */
    size_t parent;                 /* NONE: not among those that are left */
    size_t depth;                  /* 0: void */
    bool extended;
};

struct links {
    struct link *items;
    size_t count, room;
    size_t *slots; /* places in `items` plus 1, by hash; 0: empty */
    size_t slot_count;
};

struct links *links_new(void)
{
    return mem_alloc(sizeof(struct links));
}

void links_free(struct links *links)
{
    if (!links)
        return;
    free(links->items);
    free(links->slots);
    free(links);
}

static size_t *slot_of(const struct links *links, const uint8_t hash[SHA256_SIZE])
{
    uint64_t start;
    size_t at;

    memcpy(&start, hash, sizeof(start));
    at = start & (links->slot_count - 1);
    while (links->slots[at] &&
           memcmp(links->items[links->slots[at] - 1].hash, hash, SHA256_SIZE) != 0)
        at = (at + 1) & (links->slot_count - 1);
    return &links->slots[at];
}

static size_t find(const struct links *links, const uint8_t hash[SHA256_SIZE])
{
    return links->slot_count && *slot_of(links, hash) ? *slot_of(links, hash) - 1 : NONE;
}

static void grow(struct links *links)
{
    links->room = links->room ? links->room * 2 : 256;
    links->items = mem_realloc(links->items, links->room, sizeof(*links->items));
    free(links->slots);
    links->slot_count = links->room * 2;
    links->slots = mem_alloc(links->slot_count * sizeof(*links->slots));
    for (size_t i = 0; i < links->count; i++)
        *slot_of(links, links->items[i].hash) = i + 1;
}

size_t links_add(struct links *links, int64_t offset, const uint8_t hash[SHA256_SIZE],
                 const uint8_t *previous)
{
    struct link *link;
    size_t parent = previous ? find(links, previous) : NONE;

    if (find(links, hash) != NONE) /* the same bytes again: the first took their place */
        return 0;
    if (links->count == links->room)
        grow(links);
    link = &links->items[links->count];
    *link = (struct link){.offset = offset, .parent = parent, .depth = 1};
    memcpy(link->hash, hash, SHA256_SIZE);
    if (previous)
        memcpy(link->previous, previous, SHA256_SIZE);
    if (parent != NONE) {
        struct link *before = &links->items[parent];

        link->depth = before->depth && !before->extended ? before->depth + 1 : 0;
        before->extended = true;
    }
    *slot_of(links, hash) = ++links->count;
    return link->depth;
}

int64_t links_first(const struct links *links, const uint8_t hash[SHA256_SIZE],
                    uint8_t previous[SHA256_SIZE])
{
    size_t at = find(links, hash);

    if (at == NONE)
        return -1;
    while (links->items[at].parent != NONE)
        at = links->items[at].parent;
    memcpy(previous, links->items[at].previous, SHA256_SIZE);
    return links->items[at].offset;
}
