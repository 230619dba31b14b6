#include "deliveries.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

struct deliveries {
    struct map *known;
    char **ring; /* in the order they came */
    size_t max, next;
};

struct deliveries *deliveries_new(size_t max)
{
    struct deliveries *deliveries = mem_alloc(sizeof(*deliveries));

    deliveries->known = map_new(NULL);
    deliveries->ring = mem_alloc(max * sizeof(*deliveries->ring));
    deliveries->max = max;
    return deliveries;
}

void deliveries_free(struct deliveries *deliveries)
{
    if (!deliveries)
        return;
    for (size_t i = 0; i < deliveries->max; i++)
        free(deliveries->ring[i]);
    free(deliveries->ring);
    map_free(deliveries->known);
    free(deliveries);
}

bool deliveries_has(const struct deliveries *deliveries, const char *id)
{
    return map_get(deliveries->known, id) != NULL;
}

void deliveries_add(struct deliveries *deliveries, const char *id)
{
    char **place = &deliveries->ring[deliveries->next];

    if (deliveries_has(deliveries, id))
        return;
    if (*place) {
        map_del(deliveries->known, *place);
        free(*place);
    }
    *place = mem_strdup(id);
    map_set(deliveries->known, id, deliveries);
    deliveries->next = (deliveries->next + 1) % deliveries->max;
}
