/* Keeps what waits for a partition out of librdkafka while it could not send it.
 *
 * An idempotent producer of librdkafka 2.0.2 sends nothing more to a partition while five records
 * or more of it are not acknowledged, and its thread polls without a pause for as long as others
 * wait (rdkafka_broker.c, rd_kafka_toppar_producer_serve: the wake-up is due at once, the request
 * is not allowed). That takes a core from the broker that is waited for. So a record goes on at
 * once while fewer than five are on their way to its partition; beyond that it is held here until
 * all of those were acknowledged, and goes with others, which one request then carries.
 *
 * The order of a key's records is kept. A lane is a partition as far as this knows: before the
 * topic's partitions are known there is one. Loop thread. */
#ifndef GANTRY_BUS_LANES_H
#define GANTRY_BUS_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "events/topic.h"

struct lane {
    size_t handed; /* to librdkafka, not acknowledged */
    TAILQ_HEAD(helds, held) held;
};

/* Of one topic. Zeroed: none yet. */
struct lanes {
    struct lane *items;
    size_t count, held;
};

/* A record that is held; a copy. */
struct held {
    TAILQ_ENTRY(held) link;
    size_t lane;
    int32_t partition; /* -1: by key */
    void *key, *value; /* `value` by malloc(); NULL: a tombstone */
    size_t key_len, value_len;
    void *headers; /* rd_kafka_headers_t; NULL: none */
    void *owner;
};

/* `partitions` of the topic, 0: not known. True: there are more lanes than before; what is held was
 * put into its own. */
bool lanes_grow(struct lanes *lanes, int32_t partitions);
/* Where a record goes, after lanes_grow(): an index, which stays that lane's. `partition` -1: by
 * key. */
size_t lanes_find(const struct lanes *lanes, int32_t partition, const void *key, size_t key_len);
/* It may be handed over now; else it is to be held. */
bool lanes_open(const struct lanes *lanes, size_t lane);
void lanes_hand(struct lanes *lanes, size_t lane);
void lanes_acknowledged(struct lanes *lanes, size_t lane);
/* Copies all but the headers, which it takes over. */
struct held *lanes_hold(struct lanes *lanes, const struct held *record);
/* The next one to hand over once the lane is clear; NULL: none. It stays the first until it is
 * dropped. */
struct held *lanes_first(const struct lanes *lanes, size_t lane);
/* Takes it out, wherever it is in its lane. `value` and `headers` are freed unless they are NULL.
 */
void lanes_drop(struct lanes *lanes, struct held *held);
/* All of it. Nothing is held. */
void lanes_release(struct lanes *lanes);

/* How many go on at once, before others are acknowledged: RD_KAFKA_IDEMP_MAX_INFLIGHT. */
#define LANE_OPEN 5
/* How many go on together when a lane is clear: few enough to be in the queue before librdkafka's
 * thread has woken and taken what it found. */
#define LANE_BUNCH 32

#endif
