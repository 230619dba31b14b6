/* What the `topics` commands share: the services' settings, and Kafka asked and waited for. */
#ifndef GANTRY_CLI_TOPICS_H
#define GANTRY_CLI_TOPICS_H

#include "base/map.h"
#include "bus/bus.h"
#include "conf/conf.h"
#include "loop/loop.h"
#include "services/cli/cli.h"
#include "svc/svc.h"

#define TOPICS_TIMEOUT_MS 30000

struct topics {
    struct svc_conf conf;
    struct conf_section sections[2];
    struct loop *loop;
    struct bus *bus;
    struct strv problems;
    int32_t partitions; /* of the ledger; 0: it is not there */
    struct err err;
    bool done;
    size_t made;
};

/* ---- topics.c ---- */

/* `config` NULL: settings come from the environment alone. 0, or the exit code, having said why. */
int topics_open(struct topics *topics, const char *config);
void topics_close(struct topics *topics);
/* Fills `problems` and `partitions`. */
int topics_look(struct topics *topics, struct err *err);

/* ---- topics_read.c: each waits, for at most TOPICS_TIMEOUT_MS without anything happening ---- */

int topics_ends(struct topics *topics, struct bus_end *ends, size_t count, struct err *err);
/* Every record of a partition from `begin` to `end`, in order. */
int topics_read(struct topics *topics, enum topic topic, int32_t partition, int64_t begin,
                int64_t end, void (*record)(const struct bus_record *record, void *arg), void *arg,
                struct err *err);
/* Appends to the ledger. -1 also where its fate is unknown. */
int topics_append(struct topics *topics, int32_t partition, const char *key,
                  const struct buf *value, const struct event_meta *meta, struct err *err);

/* ---- topics_numbers.c ---- */

/* Reads a file of numbers, YAML or JSON: pipeline: {release: N, sequence: M}, into a map of struct
 * survey_numbers (sequence 0: not given). Pipelines of other partitions are left out, and said. */
int topics_numbers(struct map **out, const char *path, int32_t partition, int32_t partition_count,
                   struct err *err);

#endif
