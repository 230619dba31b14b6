/* What a group and a follower share: a librdkafka consumer, the partitions it has, pausing and
 * seeking. The loop's thread. */
#ifndef GANTRY_BUS_CONSUMER_H
#define GANTRY_BUS_CONSUMER_H

#include "bus/internal.h"
#include "bus/watermark.h"

/* Why a partition is paused; it runs when nothing is left. */
#define PAUSED_BY_OWNER 1u
#define PAUSED_FULL     2u
#define PAUSED_SEEKING  4u
#define PAUSED_ALONE    8u /* a follower's partition by its owner */

struct toppar {
    enum topic topic;
    int32_t partition;
    unsigned paused;     /* PAUSED_... */
    bool held;           /* what librdkafka was told */
    int64_t next;        /* the offset to go on at, or BUS_BEGINNING, BUS_END */
    unsigned seek_no;    /* counts seeks, so that an answer to an older one is known */
    struct watermark wm; /* a group's */
    int64_t committed;   /* a group's: the offset last committed or being so; -1: none */
    int64_t commit_at;   /* a group's: set by its owner; -1: not */
    bool dirty;          /* a group's: settled since */
    bool ended;          /* a follower's: read to an end since it was added */
    int64_t asked_end;   /* a follower's: that end, where it was asked for; 0: not known */
};

struct consumer;

struct consumer_owner {
    void (*on_record)(void *arg, struct toppar *tp, const struct bus_record *record);
    void (*on_end)(void *arg, struct toppar *tp, int64_t end_offset);
    void (*on_fatal)(void *arg, const struct err *err);
    void (*on_served)(void *arg); /* after each turn; NULL: not interested */
    void *arg;
};

struct consumer {
    struct bus *bus;
    struct client *client;     /* NULL: lost */
    rd_kafka_queue_t *closing; /* where the events go while it leaves its group */
    struct consumer_owner owner;
    struct toppar **toppars[TOPIC_COUNT]; /* by partition; NULL where there is none */
    int32_t toppar_counts[TOPIC_COUNT];
    struct loop_timer *seek_timer;
    bool seek_job;
    bool deaf; /* records are thrown away: it is being closed */
};

void consumer_init(struct consumer *consumer, struct bus *bus, const struct consumer_owner *owner);
/* Retires the client and forgets all partitions. */
void consumer_release(struct consumer *consumer);
/* `conf` is taken over. */
int consumer_start(struct consumer *consumer, rd_kafka_conf_t *conf, struct err *err);
/* Retires the client; the partitions are forgotten. Can be started again. */
void consumer_stop(struct consumer *consumer);

struct toppar *consumer_find(const struct consumer *consumer, enum topic topic, int32_t partition);
/* Finds or makes it; librdkafka is told to begin at `next` by the caller. */
struct toppar *consumer_add(struct consumer *consumer, enum topic topic, int32_t partition,
                            int64_t next);
void consumer_forget(struct consumer *consumer, struct toppar *tp);
/* for (tp = NULL; (tp = consumer_next(c, tp));) in the order of topics and partitions */
struct toppar *consumer_next(const struct consumer *consumer, const struct toppar *tp);

void consumer_pause(struct consumer *consumer, struct toppar *tp, unsigned why);
void consumer_resume(struct consumer *consumer, struct toppar *tp, unsigned why);
/* The next record delivered is the first at or after `offset` (or BUS_BEGINNING, BUS_END). */
void consumer_seek(struct consumer *consumer, struct toppar *tp, int64_t offset);

#endif
