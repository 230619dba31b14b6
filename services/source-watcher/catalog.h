/* The pipelines as `definition` has them now, and their sources. */
#ifndef GANTRY_SOURCE_WATCHER_CATALOG_H
#define GANTRY_SOURCE_WATCHER_CATALOG_H

#include "base/err.h"
#include "bus/bus.h"
#include "definition/definition.h"

struct remote;

/* One source of one pipeline. */
struct watched {
    const char *pipeline;
    int32_t partition;
    const struct def_source *source;
    struct remote *remote;
    bool fresh;  /* not polled since it came, or since its partition came here */
    bool passed; /* the round under way came by it */
    bool asked;  /* ... and it was asked for all that it follows */
};
/* Its releases depend on what a change touches. */
bool watched_filters_paths(const struct watched *watched);

struct catalog;
struct catalog_handler {
    void (*added)(struct watched *watched, void *arg);
    void (*removed)(struct watched *watched, void *arg); /* it is freed after */
    void *arg;
};

struct catalog *catalog_new(int32_t partitions, const struct catalog_handler *handler);
void catalog_free(struct catalog *catalog); /* tells nobody */
/* A record of `definition`. -1: it cannot be decoded; the definition before stays. One that does
 * not parse is ignored as every reader does. */
int catalog_take(struct catalog *catalog, const struct bus_record *record, struct err *err);
/* NULL: no such source now. */
const struct watched *catalog_find(const struct catalog *catalog, const char *pipeline,
                                   const char *source);
void catalog_each(const struct catalog *catalog, void (*fn)(struct watched *watched, void *arg),
                  void *arg);
/* Everything of a partition is to be polled soon. */
void catalog_touch(struct catalog *catalog, int32_t partition);
size_t catalog_pipelines(const struct catalog *catalog);

#endif
