#include <stdlib.h>

#include "base/mem.h"
#include "events/event.h"
#include "services/cli/policy_sim.h"

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms;
    return a->index != b->index ? a->index < b->index : a->made < b->made;
}

static void swap(void **a, void **b)
{
    void *c = *a;

    *a = *b;
    *b = c;
}

struct sim_event *sim_push(struct sim *sim, enum event_kind kind, int64_t time_ms, size_t index)
{
    struct sim_event *event = mem_alloc(sizeof *event);
    size_t at = sim->queue.count;

    event->kind = kind;
    event->time_ms = time_ms;
    event->index = index;
    event->made = sim->made++;
    policy_list_add(&sim->queue, event);
    for (void **heap = sim->queue.items; at && is_before(heap[at], heap[(at - 1) / 2]);
         at = (at - 1) / 2)
        swap(&heap[at], &heap[(at - 1) / 2]);
    return event;
}

struct sim_event *sim_pop(struct sim *sim)
{
    void **heap = sim->queue.items;
    struct sim_event *first = heap[0];
    size_t count = --sim->queue.count;

    heap[0] = heap[count];
    for (size_t at = 0, child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_before(heap[child + 1], heap[child]))
            child++;
        if (!is_before(heap[child], heap[at]))
            break;
        swap(&heap[child], &heap[at]);
    }
    return first;
}

void sim_event_free(struct sim_event *event)
{
    event_free(event->finished);
    free(event);
}
