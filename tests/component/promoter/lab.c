#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "log/log.h"

#ifndef PROMOTER
#define PROMOTER "gantry-promoter"
#endif

#define LOGS "build/tests"

static const enum topic inputs[] = {TOPIC_DEFINITION, TOPIC_SOURCE, TOPIC_COMMAND,
                                    TOPIC_RESULT_CUSTOM};

/* ---- to Kafka and back ---- */

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct lab *lab = arg;

    if (!ack->ok)
        fail_msg("an input could not be sent: %s", ack->err.msg);
    lab->open--;
}

static void send_inputs(struct lab *lab)
{
    for (size_t t = 0; t < sizeof(inputs) / sizeof(*inputs); t++) {
        for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
            const struct sim_log *log = &lab->drive.logs[inputs[t]][p];

            for (; lab->sent[inputs[t]][p] < (int64_t)log->count; lab->sent[inputs[t]][p]++) {
                const struct sim_record *r = log->items[lab->sent[inputs[t]][p]];
                struct err err;

                if (bus_produce_raw(lab->producer, inputs[t], p, r->key, strlen(r->key), r->value,
                                    r->value_len, r->headers, r->header_count, on_ack, lab,
                                    &err) < 0)
                    fail_msg("an input could not be sent: %s", err.msg);
                lab->open++;
            }
        }
    }
}

static void on_event(struct lab *lab, const struct bus_record *record)
{
    Gantry__V1__ReleaseEvent *event;
    char key[128];

    if (event_unpack((void **)&event, TOPIC_EVENT, record->value, record->value_len, NULL) < 0)
        fail_msg("an event cannot be read");
    if (event->fact_case == GANTRY__V1__RELEASE_EVENT__FACT_DEFINITION_TAKEN)
        map_set(lab->defined, event->pipeline, lab);
    if (event->fact_case == GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED) {
        snprintf(key, sizeof(key), "%s/%llu", event->pipeline,
                 (unsigned long long)event->release_ended->release);
        if (!map_get(lab->ended_seen, key)) {
            map_set(lab->ended_seen, key, lab);
            lab->ended++;
        }
    }
    event_free(event);
}

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct lab *lab = arg;

    (void)follower;
    if (record->topic == TOPIC_EVENT) {
        on_event(lab, record);
        return;
    }
    sim_copy(&lab->drive, record);
    while (scene_execute(&lab->scene))
        ;
    send_inputs(lab);
}

void lab_run(struct lab *lab, int64_t ms)
{
    send_inputs(lab);
    loop_run_for(lab->loop, ms, NULL);
}

void lab_until_ended(struct lab *lab, uint64_t releases, int64_t timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms;

    while (lab->ended < releases) {
        lab_run(lab, 20);
        if (clock_mono_ms() > until)
            fail_msg("%llu of %llu releases ended in time", (unsigned long long)lab->ended,
                     (unsigned long long)releases);
    }
}

void lab_define(struct lab *lab)
{
    int64_t until = clock_mono_ms() + 60000;

    for (int32_t p = 0; p < SIM_PARTITIONS; p++)
        scene_define(&lab->scene, scene_pipeline(p), scene_yaml);
    while (map_count(lab->defined) < SIM_PARTITIONS) {
        lab_run(lab, 20);
        if (clock_mono_ms() > until)
            fail_msg("the definitions were not taken in time");
    }
}

/* ---- processes ---- */

/* Of all promoters, until lab_remove_logs(). */
static struct strv logs;

static void log_name_of(const struct lab *lab, int promoter, char out[128])
{
    snprintf(out, 128, LOGS "/%s-%d.log", lab->prefix, promoter);
}

void lab_remove_logs(void)
{
    for (size_t i = 0; i < logs.count; i++)
        unlink(logs.items[i]);
    strv_release(&logs);
}

void lab_start(struct lab *lab, int promoter, const char *group)
{
    char instance[128], prefix[128], log_name[128], group_set[192], kafka[192];
    pid_t pid;

    snprintf(instance, sizeof(instance), "common.instance-id=%s-%d", lab->prefix, promoter);
    snprintf(prefix, sizeof(prefix), "common.topic-prefix=%s", lab->prefix);
    snprintf(group_set, sizeof(group_set), "promoter.group=%s", group ? group : "");
    log_name_of(lab, promoter, log_name);
    if (!strv_has(&logs, log_name))
        strv_add(&logs, log_name);
    snprintf(kafka, sizeof(kafka), "GANTRY_KAFKA=%s", lab->kafka);
    pid = fork();
    if (pid == 0) {
        int fd = open(log_name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        dup2(fd, 1);
        dup2(fd, 2);
        execle(PROMOTER, "gantry-promoter", "--set", instance, "--set", prefix, "--set", group_set,
               "--set", "common.durability=single", "--set", "promoter.listen=127.0.0.1:0", "--set",
               "promoter.checkpoint-every=1s", "--set", "common.log.level=debug", (char *)NULL,
               (char *[]){kafka, "ASAN_OPTIONS=abort_on_error=0", NULL});
        _exit(127);
    }
    lab->promoters[promoter] = pid;
}

/* A process that was just started has no handler yet, and SIGTERM ends it out of order. */
static void wait_for_handler(pid_t pid, int signo)
{
    int64_t until = clock_mono_ms() + 30000;
    unsigned long long caught = 0;
    char path[64], line[256];

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    while (!(caught >> (signo - 1) & 1) && clock_mono_ms() < until) {
        FILE *status = fopen(path, "r");

        while (status && fgets(line, sizeof(line), status))
            sscanf(line, "SigCgt: %llx", &caught);
        if (status)
            fclose(status);
        usleep(10000);
    }
}

void lab_signal(struct lab *lab, int promoter, int signo)
{
    char log_name[128];
    int status = 0;

    if (signo == SIGTERM)
        wait_for_handler(lab->promoters[promoter], signo);
    kill(lab->promoters[promoter], signo);
    if (signo != SIGKILL && signo != SIGTERM)
        return;
    waitpid(lab->promoters[promoter], &status, 0);
    lab->promoters[promoter] = 0;
    log_name_of(lab, promoter, log_name);
    if (signo == SIGTERM && status != 0)
        fail_msg("the promoter ended with status %x; %s tells more", (unsigned)status, log_name);
}

/* ---- life ---- */

static void on_topic(enum topic topic, const char *name, bool created, const struct err *err,
                     void *arg)
{
    (void)topic;
    (void)created;
    (void)arg;
    if (err)
        fail_msg("topic %s: %s", name, err->msg);
}

void lab_init(struct lab *lab)
{
    const struct bus_producer_conf producer_conf = {0};
    const struct bus_follower_handler handler = {.on_record = on_record, .arg = lab};
    struct bus_conf conf = {.service = "test", .instance = "test"};
    char id[ID_SIZE];
    struct err err = {0};

    memset(lab, 0, sizeof(*lab));
    assert_int_equal(file_mkdirs(LOGS, 0755, &err), 0);
    lab->kafka = getenv("GANTRY_KAFKA");
    if (!lab->kafka || !*lab->kafka)
        skip();
    id_random(id);
    snprintf(lab->prefix, sizeof(lab->prefix), "gantry-promoter-%.8s", id);
    lab->settings.pairs = mem_alloc(sizeof(*lab->settings.pairs));
    lab->settings.count = 1;
    lab->settings.pairs[0].key = mem_strdup("bootstrap.servers");
    strv_add(&lab->settings.pairs[0].values, lab->kafka);
    conf.kafka = &lab->settings;
    conf.prefix = lab->prefix;
    lab->loop = loop_new(2);
    lab->ended_seen = map_new(NULL);
    lab->defined = map_new(NULL);
    sim_init(&lab->drive, (uint64_t)clock_mono_us());
    scene_init(&lab->scene, &lab->drive);
    if (bus_new(&lab->bus, lab->loop, &conf, &err) < 0 ||
        bus_topics_create(lab->bus, SIM_PARTITIONS, 1, 30000, on_topic, NULL, &err) < 0 ||
        bus_producer_new(&lab->producer, lab->bus, &producer_conf, &err) < 0 ||
        bus_follower_new(&lab->follower, lab->bus, &handler, &err) < 0 ||
        bus_follower_add_all(lab->follower, TOPIC_REQUEST_CUSTOM, SIM_PARTITIONS, NULL, NULL,
                             &err) < 0 ||
        bus_follower_add_all(lab->follower, TOPIC_EVENT, SIM_PARTITIONS, NULL, NULL, &err) < 0)
        fail_msg("Kafka at %s: %s", lab->kafka, err.msg);
}

void lab_release(struct lab *lab)
{
    if (!lab->loop)
        return;
    for (int i = 0; i < SIM_PROMOTERS; i++)
        if (lab->promoters[i])
            lab_signal(lab, i, SIGKILL);
    bus_follower_free(lab->follower);
    bus_producer_free(lab->producer);
    bus_free(lab->bus);
    loop_free(lab->loop);
    scene_release(&lab->scene);
    sim_release(&lab->drive);
    map_free(lab->ended_seen);
    map_free(lab->defined);
    strv_release(&lab->settings.pairs[0].values);
    free(lab->settings.pairs[0].key);
    free(lab->settings.pairs);
}

/* ---- reading it all ---- */

struct reading {
    struct sim *into;
    struct bus_follower *follower;
    bool caught_up;
};

static void on_copy(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct reading *reading = arg;

    (void)follower;
    sim_copy(reading->into, record);
}

static void on_copy_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                        int64_t end, void *arg)
{
    struct reading *reading = arg;

    (void)topic;
    (void)partition;
    (void)end;
    reading->caught_up = bus_follower_caught_up(follower);
}

static void read_topics(struct lab *lab, struct sim *into, const enum topic *topics, size_t count)
{
    struct reading reading = {.into = into};
    const struct bus_follower_handler handler = {
        .on_record = on_copy, .on_end = on_copy_end, .arg = &reading};
    struct err err;

    if (bus_follower_new(&reading.follower, lab->bus, &handler, &err) < 0)
        fail_msg("cannot read: %s", err.msg);
    for (size_t i = 0; i < count; i++)
        if (bus_follower_add_all(reading.follower, topics[i], SIM_PARTITIONS, NULL, NULL, &err) < 0)
            fail_msg("cannot read: %s", err.msg);
    loop_run_for(lab->loop, 30000, &reading.caught_up);
    assert_true(reading.caught_up);
    bus_follower_free(reading.follower);
}

void lab_read(struct lab *lab, struct sim *mirror)
{
    static const enum topic topics[] = {TOPIC_LEDGER,       TOPIC_EVENT,      TOPIC_SOURCE,
                                        TOPIC_COMMAND,      TOPIC_DEFINITION, TOPIC_REQUEST_CUSTOM,
                                        TOPIC_RESULT_CUSTOM};

    sim_init(mirror, 1);
    read_topics(lab, mirror, topics, sizeof(topics) / sizeof(*topics));
}

void lab_delete_snapshots(struct lab *lab)
{
    static const enum topic topics[] = {TOPIC_PROMOTER_STATE};
    struct sim state;
    struct err err;

    sim_init(&state, 1);
    read_topics(lab, &state, topics, 1);
    for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
        const struct sim_log *log = &state.logs[TOPIC_PROMOTER_STATE][p];

        for (size_t i = 0; i < log->count; i++) {
            if (bus_produce_raw(lab->producer, TOPIC_PROMOTER_STATE, p, log->items[i]->key,
                                strlen(log->items[i]->key), NULL, 0, NULL, 0, on_ack, lab,
                                &err) < 0)
                fail_msg("a tombstone could not be sent: %s", err.msg);
            lab->open++;
        }
    }
    while (lab->open > 0)
        lab_run(lab, 20);
    sim_release(&state);
}
