/* Prometheus text exposition (format 0.0.4). A registry a service; updates are atomic, any thread.
 */
#ifndef GANTRY_METRICS_METRICS_H
#define GANTRY_METRICS_METRICS_H

#include "base/buf.h"

struct metrics;
struct metric;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* `name` as Prometheus wants it (gantry_..., _total for counters, base units); `labels` is
 * `a="b",c="d"` or NULL. Asking for the same name and labels again gives the same metric. Owned by
 * the registry. */
struct metric *metrics_counter(struct metrics *m, const char *name, const char *labels,
                               const char *help);
struct metric *metrics_gauge(struct metrics *m, const char *name, const char *labels,
                             const char *help);
/* Buckets 1 ms ... 100 s in seconds, fixed. */
struct metric *metrics_histogram(struct metrics *m, const char *name, const char *labels,
                                 const char *help);

void metric_add(struct metric *metric, double value);
void metric_set(struct metric *metric, double value);
void metric_observe(struct metric *metric, double seconds);

void metrics_write(struct metrics *m, struct buf *out);

#endif
