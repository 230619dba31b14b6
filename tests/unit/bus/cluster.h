/* A Kafka to test the bus with: librdkafka's mock cluster, in memory, or the real one that
 * GANTRY_KAFKA names, where topics get a prefix of this run and are deleted at its end. */
#ifndef GANTRY_TESTS_BUS_CLUSTER_H
#define GANTRY_TESTS_BUS_CLUSTER_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "bus/bus.h"

struct cluster {
    bool real;
    char prefix[64];
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *mock; /* NULL: real */
    struct conf_pair pairs[4];
    struct conf_map kafka;
    struct strv topics; /* made here */
};

/* `bootstrap` NULL: a mock cluster. */
void cluster_up(struct cluster *cluster, const char *bootstrap);
void cluster_down(struct cluster *cluster);
void cluster_topic(struct cluster *cluster, enum topic topic, int32_t partitions);
/* Topics that somebody else made with this prefix are deleted at the end, too. */
void cluster_will_delete(struct cluster *cluster, enum topic topic);

/* Whether records are stored. A real broker stores none while the topic is missing; a mock cluster
 * makes any topic that is asked for and is taken down instead. */
void cluster_stores(struct cluster *cluster, bool stores);

/* Runs tests on a mock cluster each and, where GANTRY_KAFKA is set, once more on that one; says
 * what was left out otherwise. A test's *state is its struct cluster. Returns failures. */
struct CMUnitTest;
int cluster_run(const char *name, const struct CMUnitTest *tests, size_t count);

/* A loop and a bus on it. */
struct side {
    struct loop *loop;
    struct bus *bus;
};
void side_up(struct side *side, struct cluster *cluster, const char *service, const char *instance);
/* Shares the loop of another. */
void side_up_on(struct side *side, struct loop *loop, struct cluster *cluster, const char *service,
                const char *instance);
void side_down(struct side *side); /* the loop, too */

/* Runs the loop until *flag, at most 60 s; fails the test with `what` otherwise. */
void wait_until(struct loop *loop, const bool *flag, const char *what);
/* Counts down to a flag. */
struct countdown {
    size_t left;
    bool done;
};
void countdown_one(struct countdown *c);

#endif
