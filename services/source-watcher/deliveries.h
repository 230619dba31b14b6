/* Which webhook deliveries were dealt with: the last few thousand ids. */
#ifndef GANTRY_SOURCE_WATCHER_DELIVERIES_H
#define GANTRY_SOURCE_WATCHER_DELIVERIES_H

#include <stdbool.h>
#include <stddef.h>

struct deliveries;
struct deliveries *deliveries_new(size_t max);
void deliveries_free(struct deliveries *deliveries);
bool deliveries_has(const struct deliveries *deliveries, const char *id);
void deliveries_add(struct deliveries *deliveries, const char *id);

#endif
