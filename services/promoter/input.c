/* An input record: is it readable, does it stand where it belongs, is it new, may it be stepped
 * now. What is not readable or not placed right goes elsewhere, and its position is settled when
 * that is acknowledged; a good record behind it waits for that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"
#include "definition/definition.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/promoter/partition.h"

#define KEY_MAX 256

/* ---- where to read ---- */

static void begin_topic(struct partition *p, enum topic topic)
{
    struct input *input = &p->inputs[topic];
    const struct chain_position *chain = &p->chain.positions[topic];

    input->held = false;
    input->relays = 0;
    input->remade_said = false;
    input->settled = *chain;
    if (!chain->known)
        input->settled = (struct chain_position){.settled_offset = -1};
    /* A Decision counted since that recorded the new topic's position. */
    if (input->remade && memcmp(&input->old, chain, sizeof(*chain)) != 0)
        input->remade = false;
    if (input->remade)
        input->settled = (struct chain_position){.settled_offset = -1, .known = true};
    input->next = input->settled.next_offset;
    if (!input->settled.known || input->settled.settled_offset < 0)
        input->checked = true;
    /* Its last settled record is read once more, to see whether it is the one it was. */
    if (!input->checked)
        input->next = input->settled.settled_offset;
    input->read_below = 0;
}

void input_begin(struct partition *p)
{
    p->command = (struct command_wait){.retry_mono_ms = INT64_MAX};
    for (size_t i = 0; i < PARTITION_INPUTS; i++)
        begin_topic(p, partition_inputs[i]);
}

void input_remade(struct partition *p, enum topic topic)
{
    struct input *input = &p->inputs[topic];

    log_warn("a topic was made again: it is read from its beginning",
             LOG_S("topic", topic_info(topic)->name), LOG_I("partition", p->number));
    input->remade = true;
    input->checked = true;
    input->old = p->chain.positions[topic];
}

static void read_again(struct partition *p, enum topic topic)
{
    struct err err;

    if (p->io->follow(topic, p->number, p->inputs[topic].next, p->io->arg, &err) == 0)
        return;
    err_wrap(&err, "cannot go to offset %lld of %s", (long long)p->inputs[topic].next,
             topic_info(topic)->name);
    partition_refuse(p, &err);
}

/* What a record is settled as: its ce_id, or nothing where there is none. */
static int record_meta(const struct bus_record *record, struct event_meta *meta, struct err *err)
{
    if (record->value && event_read_headers(meta, record->headers, record->header_count, err) == 0)
        return 0;
    memset(meta, 0, sizeof(*meta));
    return -1;
}

/* False: the record is not to be stepped. */
static bool check_settled(struct partition *p, const struct bus_record *record)
{
    struct input *input = &p->inputs[record->topic];
    const struct chain_position *position = &input->settled;
    struct event_meta meta;

    (void)record_meta(record, &meta, NULL);
    if (record->offset < position->settled_offset ||
        (record->offset == position->settled_offset && !str_eq(meta.id, position->settled_ce_id))) {
        input_remade(p, record->topic);
        begin_topic(p, record->topic);
        read_again(p, record->topic);
        return false;
    }
    input->checked = true;
    input->next = position->next_offset;
    return true;
}

/* ---- holds ---- */

static void hold(struct partition *p, enum topic topic)
{
    p->inputs[topic].held = true;
    partition_pause(p, topic, true);
}

static void release(struct partition *p, enum topic topic)
{
    p->inputs[topic].held = false;
    read_again(p, topic);
    if (p->phase == PARTITION_RUNNING && !p->throttled && !p->stopping)
        partition_pause(p, topic, false);
}

static void settle(struct input *input, int64_t offset, const char *ce_id)
{
    input->next = offset + 1;
    input->settled.known = true;
    input->settled.next_offset = offset + 1;
    input->settled.settled_offset = offset;
    size_t len = strnlen(ce_id, sizeof(input->settled.settled_ce_id) - 1);
    memmove(input->settled.settled_ce_id, ce_id, len);
    input->settled.settled_ce_id[len] = 0;
}

bool input_stepped_to(const struct partition *p, enum topic topic, int64_t end)
{
    const struct input *input = &p->inputs[topic];

    return input->checked && !input->held && (input->next >= end || input->read_below >= end);
}

/* ---- what goes elsewhere ---- */

struct relay {
    struct partition *p;
    uint64_t generation;
    enum topic topic;
};

static void on_relay_ack(const struct bus_ack *ack, void *arg)
{
    struct relay *relay = arg;
    struct partition *p = relay->p;
    struct input *input = &p->inputs[relay->topic];

    if (p->closed || relay->generation != p->generation || p->phase != PARTITION_RUNNING)
        goto out;
    if (!ack->ok && ack->unknown) {
        confirm_drop(p, false);
        goto out;
    }
    if (!ack->ok)
        log_error("a record could not be moved and stays only where it is",
                  LOG_S("topic", topic_info(relay->topic)->name), LOG_I("partition", p->number),
                  LOG_I("offset", input->relay_next - 1), LOG_E(&ack->err));
    if (--input->relays == 0) {
        int64_t next = input->next;

        settle(input, input->relay_next - 1, input->relay_ce_id);
        input->next = next;
        if (input->held && !(relay->topic == TOPIC_COMMAND && p->command.on))
            release(p, relay->topic);
        partition_rewake(p);
    }
out:
    partition_unref(p);
    free(relay);
}

/* `reason` NULL: it is produced again to where it belongs, with `key`. */
static void relay_record(struct partition *p, const struct bus_record *record, const char *ce_id,
                         const char *reason, const char *key)
{
    struct input *input = &p->inputs[record->topic];
    struct relay *relay = mem_alloc(sizeof(*relay));
    struct err err;
    int rc;

    *relay = (struct relay){.p = p, .generation = p->generation, .topic = record->topic};
    if (reason)
        rc = p->io->deadletter(record, reason, on_relay_ack, relay, p->io->arg, &err);
    else
        rc = p->io->produce(record->topic, -1, key, strlen(key), record->value, record->value_len,
                            record->headers, record->header_count, on_relay_ack, relay, p->io->arg,
                            &err);
    if (rc < 0) {
        free(relay);
        err_wrap(&err, "a record of %s at offset %lld cannot be moved",
                 topic_info(record->topic)->name, (long long)record->offset);
        partition_refuse(p, &err);
        return;
    }
    metric_add(reason ? p->metrics->deadletters : p->metrics->relayed, 1);
    partition_ref(p);
    input->relays++;
    input->next = input->relay_next = record->offset + 1;
    snprintf(input->relay_ce_id, sizeof(input->relay_ce_id), "%s", ce_id);
}

/* ---- a Command that names a definition ---- */

static void ask_definition_end(struct partition *p);

static void on_definition_end(const struct bus_end *ends, size_t count, const struct err *err,
                              void *arg);

struct definition_question {
    struct partition *p;
    uint64_t generation;
    int64_t command_offset;
};

static void recheck_command(struct partition *p)
{
    if (p->command.on && p->command.known && p->inputs[TOPIC_COMMAND].held &&
        input_stepped_to(p, TOPIC_DEFINITION, p->command.end))
        release(p, TOPIC_COMMAND);
}

static void on_definition_end(const struct bus_end *ends, size_t count, const struct err *err,
                              void *arg)
{
    struct definition_question *question = arg;
    struct partition *p = question->p;

    (void)count;
    if (p->closed || question->generation != p->generation || p->phase != PARTITION_RUNNING ||
        !p->command.on || p->command.offset != question->command_offset)
        goto out;
    if (err) {
        p->command.retry_mono_ms = partition_mono(p) + PARTITION_RETRY_MS;
        partition_rewake(p);
        goto out;
    }
    p->command.known = true;
    p->command.end = ends[0].end;
    recheck_command(p);
out:
    free(question);
    partition_unref(p);
}

static void ask_definition_end(struct partition *p)
{
    const struct bus_end ask = {.topic = TOPIC_DEFINITION, .partition = p->number};
    struct definition_question *question = mem_alloc(sizeof(*question));

    *question = (struct definition_question){
        .p = p, .generation = p->generation, .command_offset = p->command.offset};
    p->command.retry_mono_ms = INT64_MAX;
    partition_ref(p);
    p->io->ask_ends(&ask, 1, on_definition_end, question, p->io->arg);
}

void input_tick(struct partition *p)
{
    if (p->command.on && partition_mono(p) >= p->command.retry_mono_ms)
        ask_definition_end(p);
}

static bool took_definition(const struct partition *p, const Gantry__V1__Command *command)
{
    const struct pipeline *pipeline = pipelines_find(&p->pipelines, command->pipeline);

    return pipeline &&
           engine_state_took_definition(pipeline->latest, command->definition_sha256.data);
}

/* False: the Command waits. *refusal: it is to be refused with that. */
static bool command_may(struct partition *p, const struct bus_record *record,
                        const Gantry__V1__Command *command, char refusal[160])
{
    char hex[SHA256_HEX_SIZE];

    refusal[0] = '\0';
    if (command->definition_sha256.len != SHA256_SIZE || took_definition(p, command))
        return true;
    if (p->command.on && p->command.offset == record->offset && p->command.known &&
        input_stepped_to(p, TOPIC_DEFINITION, p->command.end)) {
        hex_encode(command->definition_sha256.data, SHA256_SIZE, hex);
        snprintf(refusal, 160,
                 "the definition that it was sent for (%.12s) was never taken: look at the "
                 "pipeline again",
                 hex);
        return true;
    }
    p->command =
        (struct command_wait){.on = true, .offset = record->offset, .retry_mono_ms = INT64_MAX};
    hold(p, TOPIC_COMMAND);
    ask_definition_end(p);
    return false;
}

/* ---- stepping ---- */

static const char *pipeline_of(enum topic topic, const void *message)
{
    switch (topic) {
    case TOPIC_DEFINITION:
        return ((const Gantry__V1__Definition *)message)->name;
    case TOPIC_SOURCE:
        return ((const Gantry__V1__SourceChanged *)message)->pipeline;
    case TOPIC_COMMAND:
        return ((const Gantry__V1__Command *)message)->pipeline;
    default:
        return ((const Gantry__V1__ActionResult *)message)->pipeline;
    }
}

/* False: nobody takes it (another kind, or one that does not parse). */
static bool definition_counts(struct partition *p, const struct bus_record *record,
                              const Gantry__V1__Definition *message)
{
    struct definition *definition;
    struct err err;

    if (!str_eq(message->kind, def_kind_name(DEF_PIPELINE)))
        return false;
    if (message->deleted)
        return true;
    if (definition_parse(&definition, message->yaml.data, message->yaml.len, NULL, &err) < 0) {
        metric_add(p->metrics->definitions_ignored, 1);
        log_warn("definition ignored: it does not parse, and the one before stays",
                 LOG_S("pipeline", message->name), LOG_I("partition", p->number),
                 LOG_I("offset", record->offset), LOG_E(&err));
        return false;
    }
    definition_free(definition);
    return true;
}

static void decide(struct partition *p, const struct bus_record *record,
                   const struct event_meta *meta, const void *message, const char *refusal)
{
    struct input *input = &p->inputs[record->topic];
    const struct chain_position before = input->settled;
    struct err err;
    bool dropped;

    settle(input, record->offset, meta->id);
    lookout_heard(p, record->topic, message);
    if (decide_input(p, record, meta, pipeline_of(record->topic, message), message, refusal,
                     &dropped, &err) >= 0)
        return;
    if (dropped) {
        log_warn("a Decision could not be appended: its input is read again",
                 LOG_I("partition", p->number), LOG_S("topic", topic_info(record->topic)->name),
                 LOG_I("offset", record->offset), LOG_E(&err));
        return;
    }
    input->settled = before;
    input->next = record->offset;
    if (record->topic == TOPIC_COMMAND && !refusal && err.code == ERR_LIMIT)
        decide(p, record, meta, message, "what it asks for is too large to be recorded");
    else
        relay_record(p, record, meta->id, err.msg, NULL);
}

static bool poisoned(struct partition *p, const struct bus_record *record, char reason[256])
{
    if (!p->poison.on || p->poison.topic != record->topic || p->poison.offset != record->offset)
        return false;
    memcpy(reason, p->poison.reason, sizeof(p->poison.reason));
    p->poison.on = false;
    return true;
}

static void step(struct partition *p, const struct bus_record *record,
                 const struct event_meta *meta, const void *message)
{
    struct input *input = &p->inputs[record->topic];
    struct pipeline *pipeline = pipelines_find(&p->pipelines, pipeline_of(record->topic, message));
    char reason[256], refusal[160] = "";
    struct err err;

    if (pipeline && pipeline_open(&p->pipelines, pipeline, &err) < 0) {
        partition_distrust(p, &err);
        return;
    }
    if (record->topic == TOPIC_DEFINITION && !definition_counts(p, record, message)) {
        settle(input, record->offset, meta->id);
        return;
    }
    if (poisoned(p, record, reason)) {
        if (record->topic == TOPIC_COMMAND)
            decide(p, record, meta, message, reason);
        else
            relay_record(p, record, meta->id, reason, NULL);
        return;
    }
    if (record->topic == TOPIC_COMMAND) {
        if (!command_may(p, record, message, refusal))
            return;
        p->command = (struct command_wait){.retry_mono_ms = INT64_MAX};
    }
    decide(p, record, meta, message, refusal[0] ? refusal : NULL);
}

/* True: the record's key is that of its message and this is its partition. */
static bool placed(const struct partition *p, const struct bus_record *record, const void *message,
                   char key[KEY_MAX])
{
    if (event_key_of(record->topic, message, key, KEY_MAX) < 0)
        return false;
    return record->key && strlen(key) == record->key_len &&
           memcmp(key, record->key, record->key_len) == 0 &&
           topic_partition(record->key, record->key_len, p->count) == record->partition;
}

static void handle(struct partition *p, const struct bus_record *record)
{
    struct input *input = &p->inputs[record->topic];
    struct event_meta meta;
    char key[KEY_MAX] = "";
    void *message = NULL;
    struct err err;

    if (!record->value) { /* a compacted topic's tombstone takes nothing back */
        if (input->relays > 0)
            hold(p, record->topic);
        else
            settle(input, record->offset, "");
        return;
    }
    if (record_meta(record, &meta, &err) < 0) {
        relay_record(p, record, meta.id, err.msg, NULL);
        return;
    }
    if (event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0) {
        relay_record(p, record, meta.id, err.msg, NULL);
        return;
    }
    if (!placed(p, record, message, key)) {
        bool again =
            *key && (record->topic == TOPIC_SOURCE || record->topic == TOPIC_RESULT_CUSTOM);

        relay_record(p, record, meta.id,
                     again ? NULL : "its key is not its pipeline's, or its partition not its key's",
                     key);
    } else if (input->relays > 0) {
        hold(p, record->topic);
    } else {
        step(p, record, &meta, message);
    }
    event_free(message);
}

void partition_on_input(struct partition *p, const struct bus_record *record)
{
    struct input *input = &p->inputs[record->topic];

    if (p->phase != PARTITION_RUNNING || p->stopping || input->held)
        return;
    if (!input->checked && !check_settled(p, record))
        return;
    if (record->offset < input->next)
        return;
    handle(p, record);
    if (p->phase != PARTITION_RUNNING)
        return;
    if (record->topic == TOPIC_DEFINITION)
        recheck_command(p);
    clockwork_advance(p);
    partition_rewake(p);
}

void partition_on_input_end(struct partition *p, enum topic topic, int64_t end)
{
    struct input *input = &p->inputs[topic];

    if (p->phase != PARTITION_RUNNING || p->stopping || input->held)
        return;
    if (!input->checked) {
        if (end < input->settled.next_offset) {
            input_remade(p, topic);
            begin_topic(p, topic);
            read_again(p, topic);
            return;
        }
        input->checked = true; /* it is gone by retention or compaction: the position stands */
        input->next = input->settled.next_offset;
    }
    if (end > input->read_below)
        input->read_below = end;
    if (topic == TOPIC_DEFINITION)
        recheck_command(p);
    clockwork_advance(p);
    partition_rewake(p);
}
