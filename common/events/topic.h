/* The topics: their names, message types, keys and settings in one table
 * (docs/reference/topics.md). */
#ifndef GANTRY_EVENTS_TOPIC_H
#define GANTRY_EVENTS_TOPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum topic {
    TOPIC_DEFINITION,
    TOPIC_ACCESS,
    TOPIC_SOURCE,
    TOPIC_COMMAND,
    TOPIC_LEDGER,
    TOPIC_EVENT,
    TOPIC_REQUEST_BUILD,
    TOPIC_REQUEST_DEPLOY,
    TOPIC_REQUEST_CUSTOM,
    TOPIC_REQUEST_APPROVAL,
    TOPIC_RESULT_BUILD,
    TOPIC_RESULT_DEPLOY,
    TOPIC_RESULT_APPROVAL,
    TOPIC_RESULT_CUSTOM,
    TOPIC_PROMOTER_STATE,
    TOPIC_LOG,
    TOPIC_NOTIFICATION,
    TOPIC_DEADLETTER,
    TOPIC_COUNT
};

struct topic_info {
    enum topic topic;
    const char *name; /* short: "request.build" */
    bool compacted;
    int64_t retention_ms; /* -1: for ever; of no meaning when compacted */
    bool append_time;     /* message.timestamp.type=LogAppendTime */
    const void
        *descriptor; /* const ProtobufCMessageDescriptor *; NULL for deadletter (raw bytes) */
};

const struct topic_info *topic_info(enum topic topic);
/* By short name; NULL: unknown. */
const struct topic_info *topic_find(const char *name);

/* `<prefix>.<name>.v1`; 0 or -1 when it does not fit into `size`. */
int topic_full_name(enum topic topic, const char *prefix, char *out, unsigned long size);
#define TOPIC_FULL_NAME_MAX 250

/* The partition of a key as Java's default partitioner places it (murmur2, positive, modulo). */
int32_t topic_partition(const void *key, unsigned long len, int32_t partition_count);

#endif
