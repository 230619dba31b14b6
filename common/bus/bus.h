/* Kafka on the event loop; the only library that includes rdkafka.h. Callbacks run on the loop's
 * thread, which librdkafka wakes through an eventfd. Nothing here blocks unless it says so. A
 * broker that is away makes nothing fail: produced records wait in the queue, consumers reconnect;
 * bus_connected() tells.
 *
 *   bus            settings and health, shared by what follows
 *   bus_producer   idempotent, acks=all; each record's fate is told once
 *   bus_group      a static member of a consumer group, with watermark commits
 *   bus_follower   reads whole partitions by assignment, no group
 *   bus_ends, bus_topics_*   questions that take a worker thread */
#ifndef GANTRY_BUS_BUS_H
#define GANTRY_BUS_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "events/event.h"
#include "events/topic.h"
#include "loop/loop.h"

struct metrics;
struct bus;
struct bus_producer;
struct bus_group;
struct bus_follower;

struct bus_conf {
    const struct conf_map *kafka; /* librdkafka keys, verbatim; bootstrap.servers among them */
    const char *prefix;           /* of topic names */
    const char *service;          /* client.id, group id <prefix>.<service>, ce_source */
    const char *instance;         /* group.instance.id <service>-<instance> */
    struct metrics *metrics;      /* may be NULL */
};

int bus_new(struct bus **out, struct loop *loop, const struct bus_conf *conf, struct err *err);
void bus_free(struct bus *bus); /* after its producers, groups and followers */
/* True while any broker connection is up; *reason (may be NULL) gets the last error, "" if none. */
bool bus_connected(const struct bus *bus, char reason[256]);
/* Unix ms since which it is continuously connected (0: it is not). */
int64_t bus_connected_since_ms(const struct bus *bus);

/* ---- records ---- */

/* One consumed record. Valid during the callback. */
struct bus_record {
    enum topic topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* append time where the topic has LogAppendTime */
    const void *key;
    size_t key_len;
    const void *value; /* NULL and 0: a tombstone */
    size_t value_len;
    const struct event_header *headers;
    size_t header_count;
};

/* ---- producer ---- */

struct bus_ack {
    bool ok;
    bool unknown; /* !ok: it may or may not be in the log (a fatal producer error, or purged while
                     in flight) */
    enum topic topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* as the broker stored it */
    struct err err;
};
typedef void bus_ack_fn(const struct bus_ack *ack, void *arg);

struct bus_producer_conf {
    int64_t message_timeout_ms; /* 0: none: wait for ever */
    size_t queue_max; /* records waiting; 0: 100,000. Full: bus_produce() fails with ERR_LIMIT */
    /* Nothing waits for the acknowledgements: they do not wake the loop and are told when it is
     * awake anyhow, or up to 10 ms late. */
    bool quiet;
    /* A fatal error (idempotence lost): the producer is dead, every waiting record gets an ack with
     * unknown=true first. Make a new one. May be NULL: the bus makes a new one itself, and records
     * waiting fail. */
    void (*on_fatal)(struct bus_producer *producer, const struct err *err, void *arg);
    void *arg;
};

int bus_producer_new(struct bus_producer **out, struct bus *bus,
                     const struct bus_producer_conf *conf, struct err *err);
/* Waiting records get an ack with unknown=true, synchronously. */
void bus_producer_free(struct bus_producer *producer);

/* partition -1: by key with murmur2 as Java's default partitioner. Key, value and headers are
 * copied. `ack` may be NULL. ERR_LIMIT: full or too large; ERR_FATAL: producer dead. */
int bus_produce_raw(struct bus_producer *producer, enum topic topic, int32_t partition,
                    const void *key, size_t key_len, const void *value, size_t value_len,
                    const struct event_header *headers, size_t header_count, bus_ack_fn *ack,
                    void *arg, struct err *err);

/* Packs `message` and sends it by its key (event_key_of) as a CloudEvent with *meta (source, type
 * and time are filled in where empty). */
int bus_produce(struct bus_producer *producer, enum topic topic, const struct event_meta *meta,
                const void *message, bus_ack_fn *ack, void *arg, struct err *err);

/* The record as it came to `deadletter`, with headers gantry_reason, gantry_topic,
 * gantry_partition, gantry_offset; logs and counts it. */
int bus_deadletter(struct bus_producer *producer, const struct bus_record *record,
                   const char *reason, bus_ack_fn *ack, void *arg, struct err *err);

size_t bus_producer_waiting(const struct bus_producer *producer);
/* Calls done once all that waits is settled or `timeout_ms` passed. */
void bus_producer_flush(struct bus_producer *producer, int64_t timeout_ms,
                        void (*done)(bool all, void *arg), void *arg);

/* ---- group consumer ---- */

struct bus_group_handler {
    /* A record. Every record must be settled once with bus_group_done(), in any order, any time
     * later. */
    void (*on_record)(struct bus_group *group, const struct bus_record *record, void *arg);
    /* Partition `partition` of all topics now belongs to this member, or no longer (after a
     * revocation nothing of it may be settled). Called per partition; positions were set to the
     * commits, or to the beginning where there are none. NULL: not interested. `lost`: revoked
     * because the session ended. */
    void (*on_assign)(struct bus_group *group, int32_t partition, void *arg);
    void (*on_revoke)(struct bus_group *group, int32_t partition, bool lost, void *arg);
    /* The topic's partition was read to its end as it is now; `end_offset` is where the next record
     * will stand, beyond what compaction or retention took away. Told again each time the end is
     * reached, after more came or after a seek. NULL: not interested. */
    void (*on_end)(struct bus_group *group, enum topic topic, int32_t partition, int64_t end_offset,
                   void *arg);
    void *arg;
};

struct bus_group_conf {
    const enum topic *topics; /* same partition count each, range-assigned together */
    size_t topic_count;
    const char *group; /* NULL: <prefix>.<service> */
    /* Partitions begin paused; the owner seeks and resumes them, settles nothing and paces itself
     * with bus_group_pause(); only bus_group_commit_at() commits (the promoter). */
    bool manual_start;
    bool commit_ranges; /* watermark with finished offsets above it in the commit's metadata (<= 3
                           KiB); records found finished there are not delivered again */
    int64_t commit_every_ms;  /* 0: 1,000 */
    size_t pending_max;       /* unsettled records a partition before it pauses; 0: 10,000 */
    size_t pending_bytes_max; /* and their bytes; 0: 16 MiB */
    int64_t fetch_wait_ms; /* how long Kafka holds a fetch at the end of all partitions: as long a
                              partition that is resumed meanwhile waits; 0: librdkafka's 500 */
};

int bus_group_new(struct bus_group **out, struct bus *bus, const struct bus_group_conf *conf,
                  const struct bus_group_handler *handler, struct err *err);
void bus_group_done(struct bus_group *group, enum topic topic, int32_t partition, int64_t offset);
/* With manual_start: the next offset to commit, for lag alone; what it means is the caller's. */
void bus_group_commit_at(struct bus_group *group, enum topic topic, int32_t partition,
                         int64_t next_offset);
void bus_group_pause(struct bus_group *group, enum topic topic, int32_t partition, bool paused);
/* Next record delivered is the first at or after `offset`; what was read ahead is thrown away and,
 * with it, unsettled records are forgotten. */
int bus_group_seek(struct bus_group *group, enum topic topic, int32_t partition, int64_t offset,
                   struct err *err);
bool bus_group_owns(const struct bus_group *group, int32_t partition);
size_t bus_group_partitions(const struct bus_group *group, int32_t *out, size_t max);
bool bus_group_any_paused_full(
    const struct bus_group *group); /* a partition waits because pending_max was reached */
/* Commits what is settled, leaves (a static member stays known to the broker for its session),
 * calls done. Nothing is delivered or revoked meanwhile. */
void bus_group_close(struct bus_group *group, void (*done)(void *arg), void *arg);

/* ---- follower ---- */

struct bus_follower_handler {
    void (*on_record)(struct bus_follower *follower, const struct bus_record *record, void *arg);
    /* The partition was read to an end it had since it was added, and again each time the end is
     * reached after more came. */
    void (*on_end)(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg);
    void *arg;
    int64_t fetch_wait_ms; /* as in struct bus_group_conf, for partitions that are added */
};

int bus_follower_new(struct bus_follower **out, struct bus *bus,
                     const struct bus_follower_handler *handler, struct err *err);
#define BUS_BEGINNING (-2) /* earliest there is */
#define BUS_END       (-1) /* only what comes from now on */
/* Begins (or goes on elsewhere) with a partition at an offset. Every record at or after it is
 * delivered in order; an offset that is gone (retention) goes on at the earliest. */
int bus_follower_add(struct bus_follower *follower, enum topic topic, int32_t partition,
                     int64_t offset, struct err *err);
void bus_follower_remove(struct bus_follower *follower, enum topic topic, int32_t partition);
void bus_follower_pause(struct bus_follower *follower, bool paused); /* all of it */
/* One partition, whatever all of it is; one that is not followed is left alone. */
void bus_follower_pause_partition(struct bus_follower *follower, enum topic topic,
                                  int32_t partition, bool paused);
void bus_follower_free(struct bus_follower *follower);

/* All partitions of topics from the beginning, then "caught up" once: the common use. `offsets`
 * (may be NULL) gives a starting offset or BUS_BEGINNING for each. */
int bus_follower_add_all(struct bus_follower *follower, enum topic topic, int32_t partition_count,
                         int64_t (*start)(enum topic topic, int32_t partition, void *arg),
                         void *arg, struct err *err);
/* True once every partition added was read to an end seen after it was added. */
bool bus_follower_caught_up(const struct bus_follower *follower);

/* ---- questions (a worker asks; done on the loop's thread) ---- */

struct bus_end {
    enum topic topic;
    int32_t partition;
    int64_t begin; /* the earliest offset there is */
    int64_t end;   /* the next to be written */
};
/* Asks the partitions' beginnings and ends now; `ends` is a copy, filled. Tries for at most
 * timeout_ms. */
void bus_ends(struct bus *bus, const struct bus_end *ask, size_t count, int64_t timeout_ms,
              void (*done)(const struct bus_end *ends, size_t count, const struct err *err,
                           void *arg),
              void *arg);

/* The offset of the first record at or after a time in each; end where there is none. Uses
 * bus_end.end as Unix ms in and as offset out. */
void bus_offsets_at(struct bus *bus, const struct bus_end *ask, size_t count, int64_t timeout_ms,
                    void (*done)(const struct bus_end *ends, size_t count, const struct err *err,
                                 void *arg),
                    void *arg);

struct bus_topic_state {
    enum topic topic;
    bool exists;
    int32_t partitions;
    int32_t replicas; /* the least of its partitions */
    int32_t min_isr;  /* -1: could not be read (mock clusters) */
    bool compacted;
    int64_t retention_ms;
    int64_t retention_bytes;
    bool append_time;
    bool unclean_election;
};
void bus_topics_describe(struct bus *bus, int64_t timeout_ms,
                         void (*done)(const struct bus_topic_state *states, size_t count,
                                      const struct err *err, void *arg),
                         void *arg);
/* Makes those that are missing. Blocking: for the CLI. `report` is called for each topic: created,
 * exists, or err. */
int bus_topics_create(struct bus *bus, int32_t partitions, int32_t replicas, int64_t timeout_ms,
                      void (*report)(enum topic topic, const char *name, bool created,
                                     const struct err *err, void *arg),
                      void *arg, struct err *err);
/* Compares states with what docs/reference/topics.md requires. `durability` is "replicated" or
 * "single". Adds a sentence a problem to *problems. */
struct strv;
void bus_topics_check(const struct bus_topic_state *states, size_t count, const char *durability,
                      struct strv *problems);

#endif
