/* Where a published record stands in its pipeline's history: (epoch, sequence, index). Readers of
 * at-least-once topics drop what is not beyond the last they saw (docs/ledger.md, "Those who
 * read"). */
#ifndef GANTRY_EVENTS_ORDER_H
#define GANTRY_EVENTS_ORDER_H

#include <stdbool.h>
#include <stdint.h>

struct event_order {
    uint64_t epoch;
    uint64_t sequence;
    uint32_t index;
};

static inline bool event_order_beyond(const struct event_order *a, const struct event_order *last)
{
    if (a->epoch != last->epoch)
        return a->epoch > last->epoch;
    if (a->sequence != last->sequence)
        return a->sequence > last->sequence;
    return a->index > last->index;
}

#endif
