/* When all that the followed topics held at the start was read. The ends are asked for rather than
 * waited for: at the end of a topic Kafka answers a reader only after fetch.wait.max.ms. */
#ifndef GANTRY_SOURCE_WATCHER_CATCH_UP_H
#define GANTRY_SOURCE_WATCHER_CATCH_UP_H

#include "bus/bus.h"

struct catch_up;
struct catch_up *catch_up_new(struct loop *loop, struct bus *bus, const enum topic *topics,
                              size_t topic_count, int32_t partitions, void (*done)(void *arg),
                              void *arg);
void catch_up_stop(struct catch_up *catch_up); /* asks no more */
/* When the loop runs no more: an answer may be on its way. */
void catch_up_free(struct catch_up *catch_up);
/* All records below `offset` of a partition were delivered. `done` is called once, maybe from here.
 */
void catch_up_seen(struct catch_up *catch_up, enum topic topic, int32_t partition, int64_t offset);

#endif
