/* Making topics, describing them, and checking that they are as the ledger needs them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/internal.h"

#define MIN_ISR_REPLICATED 2
#define REPLICAS_REQUIRED  3

/* Runs an admin request and waits for its result. */
static rd_kafka_event_t *wait_for(rd_kafka_queue_t *queue, int64_t timeout_ms)
{
    return rd_kafka_queue_poll(queue, (int)timeout_ms + 1000);
}

static rd_kafka_AdminOptions_t *options(rd_kafka_t *rk, rd_kafka_admin_op_t op, int64_t timeout_ms)
{
    char text[256];
    rd_kafka_AdminOptions_t *opts = rd_kafka_AdminOptions_new(rk, op);
    rd_kafka_AdminOptions_set_request_timeout(opts, (int)timeout_ms, text, sizeof(text));
    return opts;
}

/* ---- describe ---- */

struct describe {
    struct bus *bus;
    rd_kafka_t *rk;
    int64_t timeout_ms;
    bool mock; /* no broker to ask for settings */
    struct bus_topic_state states[TOPIC_COUNT];
    struct err err;
    void (*done)(const struct bus_topic_state *states, size_t count, const struct err *err,
                 void *arg);
    void *arg;
};

static void read_layout(const struct rd_kafka_metadata_topic *topic, struct bus_topic_state *state)
{
    state->exists = topic->err == RD_KAFKA_RESP_ERR_NO_ERROR && topic->partition_cnt > 0;
    state->partitions = topic->partition_cnt;
    for (int i = 0; i < topic->partition_cnt; i++) {
        int replicas = topic->partitions[i].replica_cnt;
        if (i == 0 || replicas < state->replicas)
            state->replicas = replicas;
    }
}

/* Mock clusters name a controller that is none of their brokers. */
static bool is_mock(const struct describe *d, const struct rd_kafka_metadata *metadata)
{
    int32_t controller = rd_kafka_controllerid(d->rk, 0);
    for (int i = 0; i < metadata->broker_cnt; i++) {
        if (metadata->brokers[i].id == controller)
            return false;
    }
    return controller >= 0;
}

static rd_kafka_resp_err_t read_metadata(struct describe *d)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = rd_kafka_metadata(d->rk, 1, NULL, &metadata, (int)d->timeout_ms);
    if (code)
        return code;
    for (int i = 0; i < metadata->topic_cnt; i++) {
        enum topic topic = bus_topic_by_full_name(d->bus, metadata->topics[i].topic);
        if (topic < TOPIC_COUNT)
            read_layout(&metadata->topics[i], &d->states[topic]);
    }
    d->mock = is_mock(d, metadata);
    rd_kafka_metadata_destroy(metadata);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void read_entry(struct bus_topic_state *state, const char *name, const char *value)
{
    int64_t number = 0;
    bool is_number = str_to_i64(value, &number) == 0;
    if (str_eq(name, "cleanup.policy"))
        state->compacted = strstr(value, "compact") != NULL;
    else if (str_eq(name, "message.timestamp.type"))
        state->append_time = str_eq(value, "LogAppendTime");
    else if (str_eq(name, "unclean.leader.election.enable"))
        state->unclean_election = str_eq(value, "true");
    else if (str_eq(name, "min.insync.replicas") && is_number)
        state->min_isr = (int32_t)number;
    else if (str_eq(name, "retention.ms") && is_number)
        state->retention_ms = number;
    else if (str_eq(name, "retention.bytes") && is_number)
        state->retention_bytes = number;
}

static void read_config(struct describe *d, const rd_kafka_ConfigResource_t *resource)
{
    size_t count;
    enum topic topic = bus_topic_by_full_name(d->bus, rd_kafka_ConfigResource_name(resource));
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    if (topic == TOPIC_COUNT || rd_kafka_ConfigResource_error(resource))
        return;
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        read_entry(&d->states[topic], rd_kafka_ConfigEntry_name(entries[i]), value ? value : "");
    }
}

static rd_kafka_resp_err_t read_configs(struct describe *d)
{
    rd_kafka_ConfigResource_t *resources[TOPIC_COUNT];
    size_t n = 0, count = 0;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        if (d->states[i].exists)
            resources[n++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, d->bus->names[i]);
    }
    if (n == 0)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(d->rk);
    rd_kafka_AdminOptions_t *opts =
        options(d->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, d->timeout_ms);
    rd_kafka_DescribeConfigs(d->rk, resources, n, opts, queue);
    rd_kafka_event_t *event = wait_for(queue, d->timeout_ms);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (!code) {
        const rd_kafka_ConfigResource_t **found = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(event), &count);
        for (size_t i = 0; i < count; i++)
            read_config(d, found[i]);
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(opts);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy_array(resources, n);
    return code;
}

static void describe_work(void *arg)
{
    struct describe *d = arg;
    for (int i = 0; i < TOPIC_COUNT; i++)
        d->states[i] = (struct bus_topic_state){
            .topic = (enum topic)i, .min_isr = -1, .retention_ms = -1, .retention_bytes = -1};
    rd_kafka_resp_err_t code = read_metadata(d);
    if (!code && !d->mock)
        code = read_configs(d);
    if (code)
        bus_err(&d->err, code, "cannot describe the topics");
}

static void describe_done(void *arg)
{
    struct describe *d = arg;
    bool failed = d->err.code != ERR_NONE;
    if (!d->bus->closed)
        d->done(failed ? NULL : d->states, failed ? 0 : TOPIC_COUNT, failed ? &d->err : NULL,
                d->arg);
    bus_unref(d->bus);
    free(d);
}

void bus_topics_describe(struct bus *bus, int64_t timeout_ms,
                         void (*done)(const struct bus_topic_state *states, size_t count,
                                      const struct err *err, void *arg),
                         void *arg)
{
    struct describe *d = mem_alloc(sizeof(*d));
    *d = (struct describe){.bus = bus, .timeout_ms = timeout_ms};
    d->done = done;
    d->arg = arg;
    bus_ref(bus);
    struct client *client = bus_asker(bus, &d->err);
    if (client) {
        d->rk = client->rk;
        client_job(client, describe_work, describe_done, d);
    } else {
        loop_post(bus->loop, describe_done, d);
    }
}

/* ---- create ---- */

static rd_kafka_NewTopic_t *new_topic(const struct bus *bus, enum topic topic, int32_t partitions,
                                      int32_t replicas)
{
    const struct topic_info *info = topic_info(topic);
    char number[24];
    rd_kafka_NewTopic_t *t =
        rd_kafka_NewTopic_new(bus->names[topic], partitions, replicas, NULL, 0);
    snprintf(number, sizeof(number), "%lld", (long long)info->retention_ms);
    rd_kafka_NewTopic_set_config(t, "cleanup.policy", info->compacted ? "compact" : "delete");
    rd_kafka_NewTopic_set_config(t, "retention.ms", number);
    rd_kafka_NewTopic_set_config(t, "retention.bytes", "-1");
    rd_kafka_NewTopic_set_config(t, "message.timestamp.type",
                                 info->append_time ? "LogAppendTime" : "CreateTime");
    rd_kafka_NewTopic_set_config(t, "unclean.leader.election.enable", "false");
    snprintf(number, sizeof(number), "%d", replicas >= REPLICAS_REQUIRED ? MIN_ISR_REPLICATED : 1);
    rd_kafka_NewTopic_set_config(t, "min.insync.replicas", number);
    return t;
}

/* Waits until the brokers that are asked know all topics: they learn of them a moment after the
 * controller made them. */
static int wait_until_known(const struct bus *bus, rd_kafka_t *rk, int64_t timeout_ms,
                            struct err *err)
{
    int64_t until_ms = clock_mono_ms() + timeout_ms;
    for (;;) {
        const struct rd_kafka_metadata *metadata;
        int known = 0;
        rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 1, NULL, &metadata, (int)timeout_ms);
        if (code)
            return bus_err(err, code, "cannot see the topics made");
        for (int i = 0; i < metadata->topic_cnt; i++)
            known += metadata->topics[i].partition_cnt > 0 &&
                     bus_topic_by_full_name(bus, metadata->topics[i].topic) < TOPIC_COUNT;
        rd_kafka_metadata_destroy(metadata);
        if (known >= TOPIC_COUNT)
            return 0;
        if (clock_mono_ms() > until_ms)
            return err_set(err, ERR_TIMEOUT, "the topics were made, but are not to be seen yet");
        struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
}

typedef void report_fn(enum topic topic, const char *name, bool created, const struct err *err,
                       void *arg);

/* Returns how many failed. */
static size_t report_all(const struct bus *bus, const rd_kafka_CreateTopics_result_t *result,
                         report_fn *report, void *arg)
{
    size_t count, failed = 0;
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_topic_result_name(topics[i]);
        const char *text = rd_kafka_topic_result_error_string(topics[i]);
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(topics[i]);
        bool exists = code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
        struct err err = {0};
        if (code && !exists) {
            bus_err(&err, code, text ? text : "cannot make the topic");
            failed++;
        }
        report(bus_topic_by_full_name(bus, name), name, !code, code && !exists ? &err : NULL, arg);
    }
    return failed;
}

int bus_topics_create(struct bus *bus, int32_t partitions, int32_t replicas, int64_t timeout_ms,
                      report_fn *report, void *arg, struct err *err)
{
    struct client *client = bus_asker(bus, err);
    rd_kafka_NewTopic_t *topics[TOPIC_COUNT];
    char text[256];
    int rc = -1;
    if (!client)
        return -1;
    rd_kafka_t *rk = client->rk;
    for (int i = 0; i < TOPIC_COUNT; i++)
        topics[i] = new_topic(bus, (enum topic)i, partitions, replicas);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *opts = options(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
    rd_kafka_AdminOptions_set_operation_timeout(opts, (int)timeout_ms, text, sizeof(text));
    rd_kafka_CreateTopics(rk, topics, TOPIC_COUNT, opts, queue);
    rd_kafka_event_t *event = wait_for(queue, timeout_ms);
    rd_kafka_resp_err_t code = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (code) {
        bus_err(err, code, "cannot make topics");
        goto out;
    }
    size_t failed = report_all(bus, rd_kafka_event_CreateTopics_result(event), report, arg);
    if (failed > 0)
        err_set(err, ERR_UNAVAILABLE, "%zu topics could not be made", failed);
    else
        rc = wait_until_known(bus, rk, timeout_ms, err);
out:
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(opts);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy_array(topics, TOPIC_COUNT);
    return rc;
}

/* ---- check ---- */

/* Topics that share one partition count: what belongs to a pipeline is in one partition of each. */
static bool is_per_pipeline(enum topic topic)
{
    switch (topic) {
    case TOPIC_DEFINITION:
    case TOPIC_SOURCE:
    case TOPIC_COMMAND:
    case TOPIC_LEDGER:
    case TOPIC_EVENT:
    case TOPIC_RESULT_BUILD:
    case TOPIC_RESULT_DEPLOY:
    case TOPIC_RESULT_APPROVAL:
    case TOPIC_RESULT_CUSTOM:
    case TOPIC_PROMOTER_STATE:
        return true;
    default:
        return false;
    }
}

static void check_retention(const struct bus_topic_state *s, const struct topic_info *info,
                            struct strv *problems)
{
    if (info->compacted)
        return;
    bool short_ms =
        s->retention_ms >= 0 && (info->retention_ms < 0 || s->retention_ms < info->retention_ms);
    if (short_ms)
        strv_addf(problems, "topic '%s' keeps records for %lld ms (retention.ms); %lld is needed",
                  info->name, (long long)s->retention_ms, (long long)info->retention_ms);
    if (s->retention_bytes >= 0)
        strv_addf(problems, "topic '%s' drops records by size (retention.bytes=%lld); -1 is needed",
                  info->name, (long long)s->retention_bytes);
}

static void check_settings(const struct bus_topic_state *s, const struct topic_info *info,
                           bool replicated, struct strv *problems)
{
    if (s->compacted != info->compacted)
        strv_addf(problems, "topic '%s' has cleanup.policy=%s; %s is needed", info->name,
                  s->compacted ? "compact" : "delete", info->compacted ? "compact" : "delete");
    check_retention(s, info, problems);
    if (info->append_time && !s->append_time)
        strv_addf(problems,
                  "topic '%s' has message.timestamp.type=CreateTime; LogAppendTime is needed",
                  info->name);
    if (s->unclean_election)
        strv_addf(problems, "topic '%s' has unclean.leader.election.enable=true; false is needed",
                  info->name);
    if (replicated && s->min_isr < MIN_ISR_REPLICATED)
        strv_addf(problems,
                  "topic '%s' has min.insync.replicas=%d; durability 'replicated' needs %d or more",
                  info->name, (int)s->min_isr, MIN_ISR_REPLICATED);
}

void bus_topics_check(const struct bus_topic_state *states, size_t count, const char *durability,
                      struct strv *problems)
{
    bool replicated = !str_eq(durability, "single");
    int32_t partitions = 0;
    for (size_t i = 0; i < count; i++) {
        if (states[i].topic == TOPIC_LEDGER && states[i].exists)
            partitions = states[i].partitions;
    }
    for (size_t i = 0; i < count; i++) {
        const struct bus_topic_state *s = &states[i];
        const struct topic_info *info = topic_info(s->topic);
        if (!s->exists) {
            strv_addf(problems, "topic '%s' is missing: `gantry topics create` makes it",
                      info->name);
            continue;
        }
        if (is_per_pipeline(s->topic) && partitions > 0 && s->partitions != partitions)
            strv_addf(problems, "topic '%s' has %d partitions, the ledger %d: they must be equal",
                      info->name, (int)s->partitions, (int)partitions);
        if (replicated && s->replicas < REPLICAS_REQUIRED)
            strv_addf(problems,
                      "topic '%s' has %d replicas; durability 'replicated' needs %d or more",
                      info->name, (int)s->replicas, REPLICAS_REQUIRED);
        if (s->min_isr >= 0) /* else the brokers have no settings to read: mock clusters */
            check_settings(s, info, replicated, problems);
    }
}
