/* One service as a real process on a real Kafka (GANTRY_KAFKA), with topics of its own: what it is
 * given, and what it answers. */
#ifndef GANTRY_TESTS_SERVICE_H
#define GANTRY_TESTS_SERVICE_H

#include "bus/bus.h"
#include "events/event.h"
#include "loop/child.h"
#include "loop/loop.h"
#include "tests/unit/unit.h"

#define SERVICE_PARTITIONS 2

/* A record that came on a followed topic. */
struct got {
    enum topic topic;
    int32_t partition;
    int64_t offset;
    struct event_meta meta;
    void *message; /* the topic's, unpacked */
};

struct service {
    const char *program; /* path */
    const char *name;    /* source-watcher ... */
    struct loop *loop;
    struct bus *bus;
    struct bus_producer *producer;
    struct bus_follower *follower;
    char dir[64]; /* secrets/, state/ and what a test makes; removed at the end */
    char prefix[64];
    char *config;            /* more lines of YAML in the service's own section */
    const char *instance;    /* instance-id; NULL: test */
    const char *console_url; /* NULL: the default */
    char *kafka;             /* bootstrap servers for the service; NULL: the test's */
    int port;
    struct loop_child *child;
    bool ended;
    struct loop_child_exit result;
    struct buf log;
    struct got *items;
    size_t count;
    bool acked;
};

/* Makes the topics and follows `topics`. False: there is no Kafka, and the tests are left out. */
bool service_setup(struct service *s, const char *program, const char *name,
                   const enum topic *topics, size_t topic_count);
void service_teardown(struct service *s);

/* Starts the process and waits until it is ready (or, unready being expected, healthy). */
void service_start(struct service *s, bool wait_ready);
/* Sends a signal and waits for the end; returns the exit code, or -signal. */
int service_end(struct service *s, int signo);

void service_secret(struct service *s, const char *name, const char *value);

/* ---- Kafka ---- */
void service_put(struct service *s, enum topic topic, const void *message, const char *id);
void service_put_definition(struct service *s, const char *kind, const char *name,
                            const char *yaml); /* yaml NULL: deleted */
/* Runs the loop until `enough` says so; fails the test after a minute. */
void service_wait(struct service *s, bool (*enough)(struct service *s, void *arg), void *arg,
                  const char *what);
void service_run_for(struct service *s, int64_t ms);

/* ---- HTTP ---- */
struct answer {
    int status; /* 0: the connection was closed without one */
    char head[4096];
    char body[16384];
};
/* `headers`: lines ended by CRLF; content-length is added unless it is among them. */
struct answer service_http(struct service *s, const char *method, const char *path,
                           const char *headers, const void *body, size_t len);
bool service_says(struct service *s, const char *path, const char *text);

#endif
