/* The librdkafka that bench_hop and bench_relay are made of: no part of Gantry is in it. An error
 * ends the program with a line on stderr. */
#ifndef GANTRY_BENCH_KAFKA_H
#define GANTRY_BENCH_KAFKA_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

void die(const char *what, const char *why) __attribute__((noreturn));
int64_t now_us(void); /* monotonic */

typedef void ack_fn(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);
/* Idempotent, acknowledged by all replicas; then `settings`, name and value in turns, NULL at the
 * end. `on_ack` is called from rd_kafka_poll(). Destroy it. */
rd_kafka_t *producer_new(const char *kafka, const char *const *settings, ack_fn *on_ack,
                         void *opaque);
/* Reads all partitions of the topic from their beginning. Close and destroy it. */
rd_kafka_t *consumer_new(const char *kafka, const char *topic, int partitions);

void topic_make(rd_kafka_t *rk, const char *name, int partitions);
void topic_delete(rd_kafka_t *rk, const char *name);

#endif
