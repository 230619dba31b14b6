#include "services/promoter/heap.h"

#include <stdlib.h>

#include "base/mem.h"

void heap_release(struct heap *heap)
{
    free(heap->items);
    *heap = (struct heap){0};
}

static void place(struct heap *heap, size_t index, struct heap_item *item)
{
    heap->items[index] = item;
    item->index = index;
}

static void rise(struct heap *heap, size_t index, struct heap_item *item)
{
    while (index > 0 && heap->items[(index - 1) / 2]->key > item->key) {
        place(heap, index, heap->items[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(heap, index, item);
}

static void sink(struct heap *heap, size_t index, struct heap_item *item)
{
    for (;;) {
        size_t child = 2 * index + 1;

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->items[child + 1]->key < heap->items[child]->key)
            child++;
        if (heap->items[child]->key >= item->key)
            break;
        place(heap, index, heap->items[child]);
        index = child;
    }
    place(heap, index, item);
}

static void take(struct heap *heap, struct heap_item *item)
{
    size_t index = item->index;
    struct heap_item *last = heap->items[--heap->count];

    item->index = HEAP_OUT;
    if (last == item)
        return;
    last->index = index;
    if (index > 0 && heap->items[(index - 1) / 2]->key > last->key)
        rise(heap, index, last);
    else
        sink(heap, index, last);
}

void heap_put(struct heap *heap, struct heap_item *item, int64_t key)
{
    if (item->index != HEAP_OUT) {
        if (item->key == key)
            return;
        take(heap, item);
    }
    item->key = key;
    if (key == INT64_MAX)
        return;
    if (heap->count == heap->cap) {
        heap->cap = heap->cap ? heap->cap * 2 : 16;
        heap->items = mem_realloc(heap->items, heap->cap, sizeof(*heap->items));
    }
    rise(heap, heap->count++, item);
}

struct heap_item *heap_first(const struct heap *heap)
{
    return heap->count > 0 ? heap->items[0] : NULL;
}
