/* What the parts of the bus share. Everything runs on the loop's thread but what says "worker".
 *
 * DESIGN. A client is one librdkafka instance on the loop: librdkafka writes to an eventfd when its
 * queue gets something, the loop then serves a bounded number of entries and posts itself again
 * when there may be more. The eventfd is edge-triggered on the queue getting served, so a tick of a
 * second serves as well. Calls that block (destroy, seek, committed offsets, ListOffsets, admin)
 * are made on worker threads, counted as the client's jobs; a client that is retired is destroyed
 * on a worker when its last job has ended, and freed on the loop. */
#ifndef GANTRY_BUS_INTERNAL_H
#define GANTRY_BUS_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "bus/bus.h"
#include "metrics/metrics.h"

#define SERVE_MAX 256 /* entries of a queue served in one turn of the loop */

struct client;

struct client_owner {
    /* Serves at most SERVE_MAX entries; true: there may be more. */
    bool (*serve)(void *arg);
    void (*on_fatal)(void *arg, const struct err *err); /* NULL: cannot be */
    bool quiet; /* does not wake the loop: is served whenever another client was, by the tick, and
                   when it is kicked */
    void *arg;
};

struct client {
    struct bus *bus;
    struct loop *loop;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct client_owner owner;
    int fd;
    struct loop_fd *watch;
    unsigned refs; /* the owner's, posts, jobs */
    unsigned jobs;
    bool quiet;
    bool posted;
    bool retired; /* owner gone; never served again */
    bool destroying;
    _Atomic int32_t partitions[TOPIC_COUNT]; /* as librdkafka's threads learn them; 0: not yet */
    rd_kafka_resp_err_t last_error;          /* told already; 0 after things went well again */
    LIST_ENTRY(client) link;
};
LIST_HEAD(clients, client);

struct bus {
    struct loop *loop;
    char *prefix, *service, *instance, *group;
    struct conf_pair *kafka; /* a copy */
    size_t kafka_count;
    struct metrics *metrics;
    struct metric *produced[TOPIC_COUNT], *consumed[TOPIC_COUNT], *deadletters, *ack_seconds, *up;
    char *names[TOPIC_COUNT]; /* in full */
    struct clients clients;
    struct client *asker; /* made for questions while there is no other client; or NULL */
    struct loop_timer *tick;
    bool connected, probing;
    bool told; /* of the state as it is */
    int64_t connected_since_ms;
    char reason[256];
    unsigned refs; /* the owner's and those of questions under way */
    bool closed;
};

/* ---- settings (bus_conf.c) ---- */

enum client_type { CLIENT_PRODUCER, CLIENT_CONSUMER, CLIENT_ASKER };

struct setting {
    const char *key; /* NULL ends a list */
    const char *value;
};
#define WAIT_TEXT_SIZE 24
/* fetch.wait.max.ms as a setting; 0: the list ends here. `text` is WAIT_TEXT_SIZE bytes. */
struct setting bus_fetch_wait(int64_t wait_ms, char *text);
/* Settings of a client: what is good for the bus, then the user's, then `fixed`, which its safety
 * rests upon. */
int bus_settings(const struct bus *bus, enum client_type type, const struct setting *fixed,
                 rd_kafka_conf_t **out, struct err *err);

/* ---- clients (client.c) ---- */

/* Takes `conf` over. */
int client_new(struct client **out, struct bus *bus, enum client_type type, rd_kafka_conf_t *conf,
               const struct client_owner *owner, struct err *err);
/* Nothing is served any more; the instance is destroyed on a worker. NULL accepted. */
void client_retire(struct client *client);
/* Serves it soon, whatever the eventfd says. */
void client_kick(struct client *client);
/* A job on a worker: work(arg) may use client->rk, done(arg) runs on the loop, also when the client
 * was retired meanwhile (client->retired tells). */
void client_job(struct client *client, void (*work)(void *arg), void (*done)(void *arg), void *arg);
/* Logs an error once until client_well(). */
void client_trouble(struct client *client, rd_kafka_resp_err_t code, const char *what,
                    const char *reason);
void client_well(struct client *client);

/* ---- health (health.c) ---- */

void health_error(struct bus *bus, rd_kafka_resp_err_t code, const char *reason);
/* Asks a broker for its metadata; what comes of it sets bus->connected. Repeated by the tick. */
void health_probe(struct bus *bus);

/* ---- shared ---- */

/* A client to ask with: any there is, a producer rather than a consumer; one made for it where
 * there is none. NULL: that failed. */
struct client *bus_asker(struct bus *bus, struct err *err);
/* As bus_ends(); `arg` is freed after done(), or instead of it where the bus was freed before. */
void bus_ends_owned(struct bus *bus, const struct bus_end *ask, size_t count, int64_t timeout_ms,
                    void (*done)(const struct bus_end *ends, size_t count, const struct err *err,
                                 void *arg),
                    void *arg);
void bus_ref(struct bus *bus);
void bus_unref(struct bus *bus);
/* TOPIC_COUNT: none of ours. */
enum topic bus_topic_by_full_name(const struct bus *bus, const char *name);
/* The project's error for librdkafka's. */
int bus_err(struct err *err, rd_kafka_resp_err_t code, const char *what);
/* For tests: what librdkafka does by itself when idempotence is lost. */
void bus_producer_test_fatal(struct bus_producer *producer);

#endif
