/* Real promoters on a real Kafka (GANTRY_KAFKA): topics of a prefix of their own, processes to be
 * killed and stopped, and the scene's inputs and executor in front of them. At the end all topics
 * are read into a simulated Kafka, on which the scene's checks run. */
#ifndef GANTRY_TESTS_PROMOTER_LAB_H
#define GANTRY_TESTS_PROMOTER_LAB_H

#include <sys/types.h>

#include "conf/conf.h"
#include "loop/loop.h"
#include "scene.h"

struct lab {
    const char *kafka;
    char prefix[64];
    struct conf_map settings;
    struct loop *loop;
    struct bus *bus;
    struct bus_producer *producer;
    struct bus_follower *follower;
    struct sim drive; /* inputs on their way to Kafka, requests that came from it */
    struct scene scene;
    int64_t sent[TOPIC_COUNT][SIM_PARTITIONS];
    size_t open; /* sent, not acknowledged */
    pid_t promoters[SIM_PROMOTERS];
    uint64_t ended; /* events of ended releases, each once */
    struct map *ended_seen;
    struct map *defined; /* pipelines whose definition was taken */
};

/* Skips the test where there is no GANTRY_KAFKA. */
void lab_init(struct lab *lab);
void lab_release(struct lab *lab);
/* When every test passed: nobody wants them. */
void lab_remove_logs(void);
/* Runs the loop: inputs are sent, requests answered. */
void lab_run(struct lab *lab, int64_t ms);
/* Defines both pipelines and waits until a promoter took them: topics are read in no order. */
void lab_define(struct lab *lab);
/* Until as many releases have ended; fails the test after `timeout_ms`. */
void lab_until_ended(struct lab *lab, uint64_t releases, int64_t timeout_ms);
/* `group` NULL: the service's own. Its log is in build/tests. */
void lab_start(struct lab *lab, int promoter, const char *group);
void lab_signal(struct lab *lab, int promoter, int signo); /* SIGKILL and SIGTERM are waited for */
/* Writes a tombstone for every key of promoter.state. */
void lab_delete_snapshots(struct lab *lab);
/* Reads all topics into `mirror` (initialised here). */
void lab_read(struct lab *lab, struct sim *mirror);

#endif
