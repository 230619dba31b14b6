#include "events/event.h"

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"

#define SPECVERSION  "1.0"
#define CONTENT_TYPE "application/protobuf"

/* What a message may take unpacked: small elements grow most, an empty one of a list from two
 * bytes to some hundred. */
#define UNPACKED_MAX ((size_t)32 * EVENT_VALUE_MAX)

static void add_header(struct event_header *out, size_t *n, const char *name, const char *value)
{
    if (str_empty(value))
        return;
    out[(*n)++] = (struct event_header){.name = name, .value = value, .len = strlen(value)};
}

size_t event_headers(const struct event_meta *meta, char time_text[CLOCK_RFC3339_SIZE],
                     struct event_header out[EVENT_HEADERS_MAX])
{
    size_t n = 0;
    time_text[0] = '\0';
    if (meta->time_ms > 0)
        clock_rfc3339(meta->time_ms, time_text);
    add_header(out, &n, "ce_specversion", SPECVERSION);
    add_header(out, &n, "ce_id", meta->id);
    add_header(out, &n, "ce_source", meta->source);
    add_header(out, &n, "ce_type", meta->type);
    add_header(out, &n, "ce_time", time_text);
    add_header(out, &n, "ce_subject", meta->subject);
    add_header(out, &n, "content-type", CONTENT_TYPE);
    add_header(out, &n, "traceparent", meta->traceparent);
    return n;
}

/* Copies a header's value where it is printable UTF-8 that fits. */
static int copy_text(char *out, size_t size, const struct event_header *header, struct err *err)
{
    const char *text = header->value;
    if (header->len >= size)
        return err_set(err, ERR_INVALID, "header '%s' has %zu bytes, more than %zu", header->name,
                       header->len, size - 1);
    if (header->len && !str_is_utf8(text, header->len))
        return err_set(err, ERR_INVALID, "header '%s' is not UTF-8", header->name);
    for (size_t i = 0; i < header->len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return err_set(err, ERR_INVALID, "header '%s' holds a control character", header->name);
    }
    if (header->len)
        memcpy(out, text, header->len);
    out[header->len] = '\0';
    return 0;
}

static bool all_zero(const char *hex, size_t len)
{
    return strspn(hex, "0") >= len;
}

static bool is_hex(const char *s)
{
    while ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'f'))
        s++;
    return !*s;
}

/* W3C Trace Context: version-traceid-parentid-flags in lower-case hex. */
static bool trace_valid(const char *s)
{
    if (strlen(s) != EVENT_TRACEPARENT_SIZE - 1 || s[2] != '-' || s[35] != '-' || s[52] != '-')
        return false;
    for (size_t i = 0; s[i]; i++) {
        bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
        if (!hex && i != 2 && i != 35 && i != 52)
            return false;
    }
    return strncmp(s, "ff", 2) != 0 && !all_zero(s + 3, 32) && !all_zero(s + 36, 16);
}

int event_read_headers(struct event_meta *out, const struct event_header *headers, size_t count,
                       struct err *err)
{
    char version[16] = "", content_type[128] = "", time_text[64] = "", trace[128] = "";
    const struct {
        const char *name;
        char *value;
        size_t size;
    } known[] = {
        {"ce_specversion", version, sizeof(version)},
        {"ce_id", out->id, sizeof(out->id)},
        {"ce_source", out->source, sizeof(out->source)},
        {"ce_type", out->type, sizeof(out->type)},
        {"ce_subject", out->subject, sizeof(out->subject)},
        {"ce_time", time_text, sizeof(time_text)},
        {"content-type", content_type, sizeof(content_type)},
    };
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++) {
            if (strcmp(headers[i].name, known[k].name) == 0 &&
                copy_text(known[k].value, known[k].size, &headers[i], err) != 0)
                return -1;
        }
        if (strcmp(headers[i].name, "traceparent") == 0 &&
            copy_text(trace, sizeof(trace), &headers[i], NULL) == 0 && trace_valid(trace))
            memcpy(out->traceparent, trace, EVENT_TRACEPARENT_SIZE);
    }
    if (strcmp(version, SPECVERSION) != 0)
        return err_set(err, ERR_INVALID, "ce_specversion is '%s', only " SPECVERSION " is read",
                       version);
    if (!*out->id || !*out->source || !*out->type)
        return err_set(err, ERR_INVALID, "header %s is missing",
                       !*out->id       ? "ce_id"
                       : !*out->source ? "ce_source"
                                       : "ce_type");
    if (*content_type && strcmp(content_type, CONTENT_TYPE) != 0)
        return err_set(err, ERR_INVALID, "content-type is '%s', only " CONTENT_TYPE " is read",
                       content_type);
    if (*time_text && clock_parse_rfc3339(time_text, &out->time_ms) != 0)
        return err_set(err, ERR_INVALID, "ce_time '%s' is no RFC 3339 time", time_text);
    return 0;
}

/* trace: 32 hex digits, span: 16 at least */
static void trace_write(char out[EVENT_TRACEPARENT_SIZE], const char *trace, const char *span)
{
    memcpy(out, "00-", 3);
    memcpy(out + 3, trace, 32);
    out[35] = '-';
    memcpy(out + 36, span, 16);
    memcpy(out + 52, "-01", 4);
}

void event_trace(char out[EVENT_TRACEPARENT_SIZE], const char *parent)
{
    char trace[ID_SIZE], span[ID_SIZE];
    id_random(trace);
    id_random(span);
    if (parent && trace_valid(parent))
        memcpy(trace, parent + 3, ID_SIZE - 1);
    trace_write(out, trace, span);
}

void event_trace_of(char out[EVENT_TRACEPARENT_SIZE], const char *parent, const char *id)
{
    char trace[ID_SIZE], span[ID_SIZE];
    /* Gantry's own ids are of a hash already. */
    if (is_hex(id) && strlen(id) == ID_SIZE - 1 && !all_zero(id + 16, 16))
        memcpy(span, id + 16, 16);
    else
        id_make(span, "span", id, NULL);
    if (parent && trace_valid(parent))
        memcpy(trace, parent + 3, ID_SIZE - 1);
    else
        id_make(trace, "trace", id, NULL);
    trace_write(out, trace, span);
}

int event_pack(struct buf *out, const void *message, struct err *err)
{
    const ProtobufCMessage *msg = message;
    size_t size = protobuf_c_message_get_packed_size(msg);
    uint8_t *at;
    if (size > EVENT_VALUE_MAX)
        return err_set(err, ERR_LIMIT, "%s has %zu bytes, more than the %d that a record may have",
                       msg->descriptor->short_name, size, EVENT_VALUE_MAX);
    at = buf_extend(out, size);
    if (!at)
        return err_set(err, ERR_LIMIT, "%s has %zu bytes, more than its buffer takes",
                       msg->descriptor->short_name, size);
    protobuf_c_message_pack(msg, at);
    return 0;
}

struct budget {
    size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *budget = data;
    if (size > budget->left)
        return NULL;
    budget->left -= size;
    return malloc(size ? size : 1);
}

static void budget_free(void *data, void *ptr)
{
    (void)data;
    free(ptr);
}

static void *unpack_bounded(const ProtobufCMessageDescriptor *desc, const void *data, size_t len,
                            size_t max)
{
    struct budget budget = {.left = max};
    ProtobufCAllocator allocator = {
        .alloc = budget_alloc, .free = budget_free, .allocator_data = &budget};
    return protobuf_c_message_unpack(desc, &allocator, len, len ? data : (const void *)"");
}

static bool fields_numbered(const ProtobufCMessage *message);

static bool member_numbered(const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    bool one_of = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return true;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count = *(const size_t *)(base + field->quantifier_offset);
        ProtobufCMessage *const *items = *(ProtobufCMessage *const *const *)(base + field->offset);
        for (size_t i = 0; i < count; i++) {
            if (!fields_numbered(items[i]))
                return false;
        }
        return true;
    }
    if (one_of && *(const uint32_t *)(base + field->quantifier_offset) != field->id)
        return true;
    const ProtobufCMessage *member = *(ProtobufCMessage *const *)(base + field->offset);
    return !member || fields_numbered(member);
}

/* Protobuf's field numbers begin with 1. protobuf-c keeps a field 0 whose tag is written too long,
 * and writes it so that it does not read it again: a copy of such a message could not be made. */
static bool fields_numbered(const ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->n_unknown_fields; i++) {
        if (message->unknown_fields[i].tag == 0)
            return false;
    }
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        if (!member_numbered(&message->descriptor->fields[i], (const uint8_t *)message))
            return false;
    }
    return true;
}

int event_parse(void **out, enum topic topic, const void *data, size_t len, struct err *err)
{
    *out = NULL;
    const struct topic_info *info = topic_info(topic);
    if (!info || !info->descriptor)
        return err_set(err, ERR_INTERNAL, "topic %s has no message",
                       info ? info->name : "(unknown)");
    if (len > EVENT_VALUE_MAX)
        return err_set(err, ERR_INVALID, "value has %zu bytes, more than %d", len, EVENT_VALUE_MAX);
    const ProtobufCMessageDescriptor *desc = info->descriptor;
    *out = unpack_bounded(desc, data, len, UNPACKED_MAX);
    if (*out && !fields_numbered(*out)) {
        event_free(*out);
        *out = NULL;
    }
    if (!*out)
        return err_set(err, ERR_INVALID, "value of %zu bytes is no %s", len, desc->short_name);
    return 0;
}

int event_unpack(void **out, enum topic topic, const void *data, size_t len, struct err *err)
{
    if (event_parse(out, topic, data, len, err) != 0)
        return -1;
    if (event_check(topic, *out, err) != 0) {
        event_free(*out);
        *out = NULL;
        return -1;
    }
    return 0;
}

void event_free(void *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}

void *event_clone(const void *message)
{
    const ProtobufCMessage *msg = message;
    size_t size = protobuf_c_message_get_packed_size(msg);
    uint8_t *packed = mem_alloc(size + 1);
    protobuf_c_message_pack(msg, packed);
    void *copy = unpack_bounded(msg->descriptor, packed, size, SIZE_MAX);
    free(packed);
    return copy;
}
