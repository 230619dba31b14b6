/* Kafka and the promoters on it, in memory and in one thread, so that a test decides by a seed what
 * happens next: which record is read, which append lands, late, or never, who dies, who sleeps.
 *
 * A simulated promoter is a struct partition for each partition, with two producers that keep the
 * order of each topic, as idempotent ones do. Time stands still unless a test moves it. */
#ifndef GANTRY_TESTS_PROMOTER_SIM_H
#define GANTRY_TESTS_PROMOTER_SIM_H

#include "services/promoter/partition.h"

#define SIM_PARTITIONS 2
#define SIM_PROMOTERS  2

struct sim_record {
    char *key;
    void *value; /* NULL: a tombstone, or removed by compaction */
    size_t value_len;
    struct event_header headers[EVENT_HEADERS_MAX];
    size_t header_count;
    int64_t timestamp_ms;
    bool gone; /* compacted away or deleted: readers do not see it */
};

struct sim_log {
    struct sim_record **items;
    size_t count;
    int64_t begin;
};

struct sim_promoter;

struct sim {
    struct sim_log logs[TOPIC_COUNT][SIM_PARTITIONS];
    struct sim_promoter *promoters[SIM_PROMOTERS];
    int64_t now_ms;
    uint64_t random;
    int64_t skew_ms;     /* the promoters' clock minus Kafka's */
    bool ends_fail;      /* no question is answered */
    enum topic withheld; /* nobody reads this topic; TOPIC_COUNT: none */
    enum topic refuses;  /* records of this topic are refused for good; TOPIC_COUNT: none */
    const struct engine_environment *environment; /* the only one there is; NULL: none */
    size_t value_max;                             /* larger ones are refused; 0: no limit */
    uint64_t fatals, late_landed, crashes, lost;  /* what happened */
};

void sim_init(struct sim *sim, uint64_t seed);
void sim_release(struct sim *sim);
uint64_t sim_random(struct sim *sim, uint64_t below);

/* Appends a record as some other producer would; `message` is packed, its key and ce_id given.
 * Returns its offset. partition -1: by key. */
int64_t sim_put(struct sim *sim, enum topic topic, int32_t partition, const char *key,
                const char *ce_id, const void *message);
/* The same with bytes as they are; `ce_id` NULL: without headers. */
int64_t sim_put_raw(struct sim *sim, enum topic topic, int32_t partition, const char *key,
                    const char *ce_id, const void *value, size_t len);
/* A record read elsewhere, into the same topic and partition. */
void sim_copy(struct sim *sim, const struct bus_record *record);
void sim_drop_last(struct sim *sim, enum topic topic, int32_t partition);
/* Removes all records of a topic's partition, as if it were made again. */
void sim_remake(struct sim *sim, enum topic topic, int32_t partition);

void sim_start(struct sim *sim, int promoter);
/* As kill -9: what it had appended may still land. */
void sim_kill(struct sim *sim, int promoter);
bool sim_running(const struct sim *sim, int promoter);
void sim_sleep(struct sim *sim, int promoter, bool asleep); /* SIGSTOP and SIGCONT */
struct partition *sim_partition(struct sim *sim, int promoter, int32_t partition);
/* The producer dies: what it had may or may not be, or come to be, in the log. */
void sim_fatal(struct sim *sim, int promoter, bool ledger);
/* Forbids a promoter its appends' way to the log, its acknowledgements' way back. */
void sim_cut(struct sim *sim, int promoter, bool appends, bool acks);

/* Does one thing that may happen now; false: there is none. */
bool sim_step(struct sim *sim);
/* Steps until nothing is left to do; time moves on to what is due within `horizon_ms`. */
void sim_settle(struct sim *sim, int64_t horizon_ms);

#endif
