/* The promoter: the one decider. It reads what happened, appends Decisions to the ledger, reads
 * them back, and publishes events and requests for those that counted (docs/ledger.md). No secrets,
 * no side effects elsewhere.
 *
 *   promoter.c      wiring: topics, producers, group, followers, readiness, the ordered end
 *   kafka_io.c      what a partition asks of the world, answered by Kafka: producers and readers
 *   partition.h     one ledger partition; the list of its parts stands there
 *   pipelines.c     states: what counted, and what is speculated over it
 *   environments.c  environments, followed on all partitions */
#ifndef GANTRY_PROMOTER_PROMOTER_H
#define GANTRY_PROMOTER_PROMOTER_H

#include "services/promoter/environments.h"
#include "services/promoter/partition.h"
#include "svc/svc.h"

struct promoter;

/* kafka_io.c says why. */
enum reader {
    READER_LEDGER,
    READER_STATE, /* while partitions are restored */
    READER_BUILD,
    READER_DEPLOY,
    READER_CUSTOM,
    READER_REST, /* `definition`, `source`, `command`, `result.approval` */
    READER_COUNT
};

struct promoter_conf {
    char *group;                 /* NULL: the bus's default */
    int64_t checkpoint_every_ms; /* after a change */
};

/* A partition's place, whether it is owned or not. */
struct promoter_slot {
    struct promoter *app;
    struct partition *partition; /* NULL: not owned, or the topics are not as they must be */
    struct loop_timer *timer;
    bool assigned;
    bool reads_state; /* promoter.state of it is followed */
};

struct promoter {
    struct svc *svc;
    struct promoter_conf conf;
    struct partition_io io;
    struct partition_metrics metrics;
    struct bus_producer *ledger;   /* NULL, as the others: being replaced */
    struct bus_producer *requests; /* to executors */
    struct bus_producer *events;   /* and all else that is published */
    struct bus_group *group;
    struct bus_follower *readers[READER_COUNT]; /* NULL: not made */
    struct bus_follower *definition_reader;     /* environments, on all partitions */
    struct environments *environments;
    bool environments_known;
    struct promoter_slot *slots;
    int32_t partitions; /* 0: not known yet */
    size_t restoring;   /* partitions that read promoter.state */
    struct loop_timer *check_timer, *stop_timer;
    bool checking, topics_good, stopping;
    int flushing;   /* producers that are flushed before the end */
    bool unflushed; /* one of them was not in time */
    char *topics_problem;
    int64_t stop_by_mono_ms;
};

int promoter_main(int argc, char **argv);
/* Tells readiness anew what keeps partitions from working. */
void promoter_readiness(struct promoter *app);

/* ---- kafka_io.c ---- */

void kafka_io_init(struct promoter *app);
int kafka_io_producers(struct promoter *app, struct err *err);

#endif
