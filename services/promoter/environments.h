/* The environments as `definition` has them, followed on all its partitions: a decision that uses
 * one carries its content. The loop's thread. */
#ifndef GANTRY_PROMOTER_ENVIRONMENTS_H
#define GANTRY_PROMOTER_ENVIRONMENTS_H

#include "bus/bus.h"
#include "engine/engine.h"

struct environments;

struct environments *environments_new(void);
void environments_free(struct environments *environments);
/* A record of `definition`. What is no Environment, or does not parse, changes nothing. True: one
 * changed. */
bool environments_apply(struct environments *environments, const struct bus_record *record);
/* NULL: there is none. Valid until the next apply. */
const struct engine_environment *environments_get(const struct environments *environments,
                                                  const char *name);
size_t environments_count(const struct environments *environments);

#endif
