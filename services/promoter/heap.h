/* What is due, by when: a binary heap, so that thousands of waiting pipelines, or runs, cost one
 * timer. What waits for no clock is not in it. */
#ifndef GANTRY_PROMOTER_HEAP_H
#define GANTRY_PROMOTER_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define HEAP_OUT SIZE_MAX /* the index of an item that is in no heap */

/* Embedded in what is ordered. */
struct heap_item {
    int64_t key;  /* ms of whatever clock the heap is of */
    size_t index; /* HEAP_OUT: not in */
};

struct heap {
    struct heap_item **items;
    size_t count, cap;
};

void heap_release(struct heap *heap);
/* Adds, moves or (key INT64_MAX) removes the item. */
void heap_put(struct heap *heap, struct heap_item *item, int64_t key);
struct heap_item *heap_first(const struct heap *heap); /* NULL: empty */

#endif
