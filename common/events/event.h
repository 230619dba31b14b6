/* CloudEvents 1.0.2 in the Kafka binary binding around protobuf messages: encode, decode, validate.
 * Pure. */
#ifndef GANTRY_EVENTS_EVENT_H
#define GANTRY_EVENTS_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "events/topic.h"

#define EVENT_TYPE_MAX         96
#define EVENT_SUBJECT_MAX      160
#define EVENT_TRACEPARENT_SIZE 56 /* W3C Trace Context, version 00, and NUL */
#define EVENT_VALUE_MAX                                                                            \
    (1000 * 1000) /* bytes of an encoded message; larger ones are refused on both ways */

/* What a Finished says of reports at most (common/report/tell.h makes it fit). */
#define EVENT_REPORTS_MAX     (64 * 1024) /* bytes, together */
#define EVENT_REPORT_NAME_MAX 256         /* bytes of a group's name */

/* The attributes of one event. Strings in place, so that it can be copied and queued. */
struct event_meta {
    char id[64];                     /* ce_id */
    char source[96];                 /* /gantry/<service> */
    char type[EVENT_TYPE_MAX];       /* gantry.<noun>.<past verb>.v1 */
    char subject[EVENT_SUBJECT_MAX]; /* <pipeline> or <pipeline>/<release> */
    char traceparent[EVENT_TRACEPARENT_SIZE];
    int64_t time_ms;
};

/* A record header as Kafka has it. */
struct event_header {
    const char *name;
    const void *value;
    size_t len;
};
#define EVENT_HEADERS_MAX 8

/* Headers for a record; values point into *meta and *time_text, which must live as long. Returns
 * their number. */
size_t event_headers(const struct event_meta *meta, char time_text[CLOCK_RFC3339_SIZE],
                     struct event_header out[EVENT_HEADERS_MAX]);

/* Reads and checks the headers: specversion 1.0, id, source and type present, sizes in bounds. A
 * missing traceparent leaves it empty. */
int event_read_headers(struct event_meta *out, const struct event_header *headers, size_t count,
                       struct err *err);

/* A new trace, or a child span of `parent` ("" or invalid: a new trace). */
void event_trace(char out[EVENT_TRACEPARENT_SIZE], const char *parent);
/* The same with a span id taken from an id, so that a record published twice is the same record. */
void event_trace_of(char out[EVENT_TRACEPARENT_SIZE], const char *parent, const char *id);

/* A protobuf-c message, packed. `message` is a ProtobufCMessage *. Refuses more than
 * EVENT_VALUE_MAX. */
int event_pack(struct buf *out, const void *message, struct err *err);

/* Unpacks and validates the topic's message: enums known, names well formed, sizes and counts in
 * bounds, required parts there (the oneof chosen). *out is freed with event_free(). */
int event_unpack(void **out, enum topic topic, const void *data, size_t len, struct err *err);
/* Its two halves. event_parse() only decodes, in bounded memory: for a reader of the ledger, who
 * must tell a record that is void from one that counts and holds what this version does not know.
 * event_check() only validates: bus_produce() refuses with it what readers would refuse. */
int event_parse(void **out, enum topic topic, const void *data, size_t len, struct err *err);
int event_check(enum topic topic, const void *message, struct err *err);
/* protobuf_c_message_free_unpacked(); NULL accepted. Linked under another name, since libevent has
 * an event_free(), too. */
void event_free(void *message) __asm__("gantry_event_free");
void *event_clone(const void *message); /* deep copy by packing; freed with event_free() */

/* The type attribute of a message by its topic and content, e.g. gantry.release.started.v1. */
const char *event_type_of(enum topic topic, const void *message);

/* The partitioning key of a message, by the topics table, e.g. the pipeline. 0 or -1 (does not
 * fit). */
int event_key_of(enum topic topic, const void *message, char *out, size_t size);

/* A message as JSON for people and REST: lowerCamelCase names, bytes as hex, 64-bit numbers as
 * numbers, enums as their lower-case short names ("in-progress"), zero values left out. Returns a
 * json_t * (jansson) as void *. */
void *event_to_json(const void *message);

/* Ids of docs/events.md. */
void event_id_run(char out[ID_SIZE], uint64_t epoch, const char *pipeline, uint64_t release,
                  const char *stage, const char *action, uint32_t number);
void event_id_approval(char out[ID_SIZE], uint64_t epoch, const char *pipeline, uint64_t release,
                       const char *stage, const char *gate, uint32_t number);
void event_id_pub(char out[ID_SIZE], uint64_t epoch, const char *pipeline, uint64_t sequence,
                  uint32_t index);
void event_id_source(char out[ID_SIZE], const char *pipeline, const char *source, const char *ref,
                     const char *before, const char *after, const char *previous_id);
void event_id_command(char out[ID_SIZE], const char *caller, const char *key);
void event_id_vote(char out[ID_SIZE], const char *caller, const char *key);
void event_id_result(char out[ID_SIZE], const char *run_id, uint32_t attempt, uint32_t number);
void event_id_notification(char out[ID_SIZE], const char *rule, const char *event_id);

#endif
