#include "events/topic.h"

#include <stdio.h>
#include <string.h>

#include "gantry/v1/access.pb-c.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/log.pb-c.h"
#include "gantry/v1/notification.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"
#include "gantry/v1/state.pb-c.h"

#define DAYS(n)     ((int64_t)(n)*24 * 60 * 60 * 1000)
#define FOR_EVER    (-1)
#define COMPACTED   true
#define DELETED     false
#define APPEND_TIME true
#define CREATE_TIME false

/* In the order of enum topic. */
static const struct topic_info topics[TOPIC_COUNT] = {
    {TOPIC_DEFINITION, "definition", COMPACTED, FOR_EVER, APPEND_TIME,
     &gantry__v1__definition__descriptor},
    {TOPIC_ACCESS, "access", COMPACTED, FOR_EVER, CREATE_TIME, &gantry__v1__access__descriptor},
    {TOPIC_SOURCE, "source", DELETED, DAYS(30), APPEND_TIME,
     &gantry__v1__source_changed__descriptor},
    {TOPIC_COMMAND, "command", DELETED, DAYS(30), APPEND_TIME, &gantry__v1__command__descriptor},
    {TOPIC_LEDGER, "ledger", DELETED, FOR_EVER, APPEND_TIME, &gantry__v1__decision__descriptor},
    {TOPIC_EVENT, "event", DELETED, DAYS(365), CREATE_TIME, &gantry__v1__release_event__descriptor},
    {TOPIC_REQUEST_BUILD, "request.build", DELETED, DAYS(30), APPEND_TIME,
     &gantry__v1__action_request__descriptor},
    {TOPIC_REQUEST_DEPLOY, "request.deploy", DELETED, DAYS(30), APPEND_TIME,
     &gantry__v1__action_request__descriptor},
    {TOPIC_REQUEST_CUSTOM, "request.custom", DELETED, DAYS(30), APPEND_TIME,
     &gantry__v1__action_request__descriptor},
    {TOPIC_REQUEST_APPROVAL, "request.approval", DELETED, DAYS(90), APPEND_TIME,
     &gantry__v1__approval_request__descriptor},
    {TOPIC_RESULT_BUILD, "result.build", DELETED, DAYS(30), APPEND_TIME,
     &gantry__v1__action_result__descriptor},
    {TOPIC_RESULT_DEPLOY, "result.deploy", DELETED, DAYS(30), APPEND_TIME,
     &gantry__v1__action_result__descriptor},
    {TOPIC_RESULT_APPROVAL, "result.approval", DELETED, DAYS(30), APPEND_TIME,
     &gantry__v1__action_result__descriptor},
    {TOPIC_RESULT_CUSTOM, "result.custom", DELETED, DAYS(30), APPEND_TIME,
     &gantry__v1__action_result__descriptor},
    {TOPIC_PROMOTER_STATE, "promoter.state", COMPACTED, FOR_EVER, CREATE_TIME,
     &gantry__v1__promoter_state__descriptor},
    {TOPIC_LOG, "log", DELETED, DAYS(7), CREATE_TIME, &gantry__v1__log_chunk__descriptor},
    {TOPIC_NOTIFICATION, "notification", DELETED, DAYS(30), CREATE_TIME,
     &gantry__v1__notification_sent__descriptor},
    {TOPIC_DEADLETTER, "deadletter", DELETED, DAYS(30), CREATE_TIME, NULL},
};

const struct topic_info *topic_info(enum topic topic)
{
    return (unsigned)topic < TOPIC_COUNT ? &topics[topic] : NULL;
}

const struct topic_info *topic_find(const char *name)
{
    for (int i = 0; i < TOPIC_COUNT; i++) {
        if (strcmp(topics[i].name, name) == 0)
            return &topics[i];
    }
    return NULL;
}

int topic_full_name(enum topic topic, const char *prefix, char *out, unsigned long size)
{
    const struct topic_info *info = topic_info(topic);
    if (!info)
        return -1;
    int n = snprintf(out, size, "%s.%s.v1", prefix, info->name);
    return n > 0 && (unsigned long)n < size ? 0 : -1;
}

/* org.apache.kafka.common.utils.Utils.murmur2: MurmurHash2, 32 bits, with Kafka's own seed. */
static uint32_t murmur2(const uint8_t *data, unsigned long len)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = 0x9747b28cu ^ (uint32_t)len;
    while (len >= 4) {
        uint32_t k = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                     (uint32_t)data[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
        data += 4;
        len -= 4;
    }
    switch (len) {
    case 3:
        h ^= (uint32_t)data[2] << 16;
        /* fall through */
    case 2:
        h ^= (uint32_t)data[1] << 8;
        /* fall through */
    case 1:
        h ^= data[0];
        h *= m;
        break;
    default:
        break;
    }
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return h;
}

int32_t topic_partition(const void *key, unsigned long len, int32_t partition_count)
{
    return (int32_t)((murmur2(key, len) & 0x7fffffffu) % (uint32_t)partition_count);
}
