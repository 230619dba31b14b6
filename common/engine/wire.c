#include "engine/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/message.h"
#include "events/event.h"

#define STRINGS_MAX 200000
#define STRING_MAX  (256 * 1024)
#define LIST_MAX    10000
#define DEPTH_MAX   8

/* How a string of the table is kept. Digests and commits are half as long as bytes. */
enum string_form { STRING_TEXT, STRING_HEX, STRING_DIGEST, STRING_FORMS };
#define DIGEST_PREFIX "sha256:"
#define HEX_SHORTEST  16

static bool is_hex(const char *s, size_t len)
{
    return len >= HEX_SHORTEST && len % 2 == 0 && strspn(s, "0123456789abcdef") == len;
}

static enum string_form form_of(const char *s, size_t len)
{
    size_t prefix = strlen(DIGEST_PREFIX);
    if (len > prefix && strncmp(s, DIGEST_PREFIX, prefix) == 0 && is_hex(s + prefix, len - prefix))
        return STRING_DIGEST;
    return is_hex(s, len) ? STRING_HEX : STRING_TEXT;
}

/* ---- writing ---- */

void wire_number(struct wire_out *out, uint64_t value)
{
    uint8_t bytes[10];
    size_t n = 0;
    if (out->collecting)
        return;
    while (value >= 0x80) {
        bytes[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[n++] = (uint8_t)value;
    buf_add(out->buf, bytes, n);
}

void wire_signed(struct wire_out *out, int64_t value)
{
    wire_number(out, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

void wire_bytes(struct wire_out *out, const void *data, size_t len)
{
    if (!out->collecting && len)
        buf_add(out->buf, data, len);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* 0 is the empty string, which is in no table. */
void wire_string(struct wire_out *out, const char *s)
{
    if (str_empty(s)) {
        wire_number(out, 0);
        return;
    }
    if (out->collecting) {
        if (out->count == out->room) {
            out->room = out->room ? out->room * 2 : 64;
            out->strings = mem_realloc(out->strings, out->room, sizeof(*out->strings));
        }
        out->strings[out->count++] = s;
        return;
    }
    const char **at = bsearch(&s, out->strings, out->count, sizeof(*out->strings), by_text);
    wire_number(out, (uint64_t)(at - out->strings) + 1);
}

void wire_id(struct wire_out *out, const char id[ID_SIZE])
{
    uint8_t bytes[(ID_SIZE - 1) / 2];
    bool set = hex_decode(id, bytes, sizeof(bytes)) == 0;
    wire_number(out, set);
    if (set)
        wire_bytes(out, bytes, sizeof(bytes));
}

static bool is_default(ProtobufCType type, const void *at)
{
    static const uint8_t zero[8];
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
        return str_empty(*(char *const *)at);
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)at == NULL;
    default:
        return memcmp(at, zero, message_value_size(type)) == 0;
    }
}

static void write_value(struct wire_out *out, ProtobufCType type, const void *at)
{
    uint64_t bits = 0;
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
        wire_string(out, *(char *const *)at);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        wire_number(out, ((const ProtobufCBinaryData *)at)->len);
        wire_bytes(out, ((const ProtobufCBinaryData *)at)->data,
                   ((const ProtobufCBinaryData *)at)->len);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        wire_message(out, *(ProtobufCMessage *const *)at);
        return;
    default:
        memcpy(&bits, at, message_value_size(type)); /* little-endian hosts only, as all are */
        wire_number(out, bits);
    }
}

void wire_message(struct wire_out *out, const ProtobufCMessage *message)
{
    const uint8_t *base = (const uint8_t *)message;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const uint8_t *at = base + field->offset;
        bool one = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t count = *(const size_t *)(base + field->quantifier_offset);
            size_t size = message_value_size(field->type);
            if (!count)
                continue;
            wire_number(out, field->id);
            wire_number(out, count);
            for (size_t j = 0; j < count; j++)
                write_value(out, field->type, *(const uint8_t *const *)at + j * size);
        } else if (message_has(message, field) && (one || !is_default(field->type, at))) {
            wire_number(out, field->id);
            write_value(out, field->type, at);
        }
    }
    wire_number(out, 0);
}

static void write_table(struct wire_out *out)
{
    size_t kept = 0;
    if (out->count)
        qsort(out->strings, out->count, sizeof(*out->strings), by_text);
    for (size_t i = 0; i < out->count; i++) {
        if (i == 0 || strcmp(out->strings[i], out->strings[kept - 1]) != 0)
            out->strings[kept++] = out->strings[i];
    }
    out->count = kept;
    wire_number(out, out->count);
    for (size_t i = 0; i < out->count; i++) {
        const char *s = out->strings[i];
        size_t len = strlen(s);
        enum string_form form = form_of(s, len);
        if (form == STRING_TEXT) {
            wire_number(out, len * STRING_FORMS + form);
            wire_bytes(out, s, len);
            continue;
        }
        const char *hex = form == STRING_DIGEST ? s + strlen(DIGEST_PREFIX) : s;
        size_t size = strlen(hex) / 2;
        uint8_t *bytes = mem_alloc(size);
        hex_decode(hex, bytes, size);
        wire_number(out, size * STRING_FORMS + form);
        wire_bytes(out, bytes, size);
        free(bytes);
    }
}

int wire_write(struct buf *buf, void (*write)(struct wire_out *out, const void *arg),
               const void *arg, struct err *err)
{
    struct wire_out out = {.buf = buf, .collecting = true};
    write(&out, arg);
    out.collecting = false;
    write_table(&out);
    write(&out, arg);
    free(out.strings);
    return buf->overflow ? err_set(err, ERR_LIMIT, "it takes more than %zu bytes", buf->limit) : 0;
}

/* ---- reading ---- */

void wire_fail(struct wire_in *in, const char *what)
{
    if (!in->failed)
        err_set(in->err, ERR_INVALID, "%s, %zu bytes before its end", what,
                (size_t)(in->end - in->at));
    in->failed = true;
    in->at = in->end;
}

uint64_t wire_read_number(struct wire_in *in, uint64_t max)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in->at == in->end) {
            wire_fail(in, "a number is cut");
            return 0;
        }
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        if (value <= max)
            return value;
        break;
    }
    wire_fail(in, "a number is out of its bounds");
    return 0;
}

int64_t wire_read_signed(struct wire_in *in)
{
    uint64_t value = wire_read_number(in, UINT64_MAX);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

bool wire_read_bool(struct wire_in *in)
{
    return wire_read_number(in, 1) != 0;
}

size_t wire_read_count(struct wire_in *in, size_t max)
{
    size_t left = (size_t)(in->end - in->at);
    return (size_t)wire_read_number(in, left < max ? left : max);
}

const uint8_t *wire_read_bytes(struct wire_in *in, size_t len)
{
    const uint8_t *at = in->at;
    if (in->failed || len > (size_t)(in->end - in->at)) {
        wire_fail(in, "bytes are cut");
        return NULL;
    }
    in->at += len;
    return at;
}

const char *wire_read_string(struct wire_in *in)
{
    uint64_t at = wire_read_number(in, in->count);
    return at ? in->strings[at - 1] : "";
}

void wire_read_id(struct wire_in *in, char id[ID_SIZE])
{
    id[0] = '\0';
    if (!wire_read_bool(in))
        return;
    const uint8_t *bytes = wire_read_bytes(in, (ID_SIZE - 1) / 2);
    if (bytes)
        hex_encode(bytes, (ID_SIZE - 1) / 2, id);
}

static char *read_entry(struct wire_in *in)
{
    uint64_t number = wire_read_number(in, (uint64_t)STRING_MAX * STRING_FORMS);
    size_t len = (size_t)(number / STRING_FORMS);
    enum string_form form = (enum string_form)(number % STRING_FORMS);
    const uint8_t *bytes = wire_read_bytes(in, len);
    if (!bytes)
        return NULL;
    if (form == STRING_TEXT) {
        if (!len || !str_is_utf8((const char *)bytes, len)) {
            wire_fail(in, "a string is empty or no UTF-8");
            return NULL;
        }
        return mem_strndup((const char *)bytes, len);
    }
    size_t prefix = form == STRING_DIGEST ? strlen(DIGEST_PREFIX) : 0;
    char *s = mem_alloc(prefix + 2 * len + 1);
    memcpy(s, DIGEST_PREFIX, prefix);
    hex_encode(bytes, len, s + prefix);
    return s;
}

int wire_begin(struct wire_in *in, const void *data, size_t len, struct err *err)
{
    *in = (struct wire_in){.at = data, .end = (const uint8_t *)data + len, .err = err};
    size_t count = wire_read_count(in, STRINGS_MAX);
    in->strings = mem_alloc((count + 1) * sizeof(*in->strings));
    while (!in->failed && in->count < count) {
        char *s = read_entry(in);
        if (s && in->count && strcmp(in->strings[in->count - 1], s) >= 0) {
            wire_fail(in, "strings are not in order");
            free(s);
        } else if (s) {
            in->strings[in->count++] = s;
        }
    }
    return in->failed ? -1 : 0;
}

void wire_end(struct wire_in *in)
{
    for (size_t i = 0; i < in->count; i++)
        free(in->strings[i]);
    free(in->strings);
    in->strings = NULL;
    in->count = 0;
}

static ProtobufCMessage *read_message(struct wire_in *in, const ProtobufCMessageDescriptor *desc,
                                      int depth);

/* False: nothing was put there. */
static bool read_value(struct wire_in *in, const ProtobufCFieldDescriptor *field, void *at,
                       int depth)
{
    size_t size = message_value_size(field->type);
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *s = wire_read_string(in);
        if (!in->failed)
            *(char **)at = mem_strdup(s);
        return !in->failed;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData *bytes = at;
        size_t len = wire_read_count(in, STRING_MAX);
        const uint8_t *data = wire_read_bytes(in, len);
        if (data) {
            bytes->len = len;
            bytes->data = mem_dup(data, len);
        }
        return data != NULL;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)at = read_message(in, field->descriptor, depth + 1);
        return *(ProtobufCMessage **)at != NULL;
    default: {
        uint64_t bits = wire_read_number(in, size == 8 ? UINT64_MAX : UINT32_MAX);
        memcpy(at, &bits, size);
        return !in->failed;
    }
    }
}

static void read_list(struct wire_in *in, const ProtobufCFieldDescriptor *field, uint8_t *base,
                      int depth)
{
    size_t *count = (size_t *)(base + field->quantifier_offset);
    size_t size = message_value_size(field->type), want = wire_read_count(in, LIST_MAX);
    if (!want)
        return;
    uint8_t *items = mem_alloc(want * size);
    *(uint8_t **)(base + field->offset) = items;
    while (*count < want && read_value(in, field, items + *count * size, depth))
        ++*count;
}

static void read_field(struct wire_in *in, const ProtobufCFieldDescriptor *field, uint8_t *base,
                       int depth)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        read_list(in, field, base, depth);
        return;
    }
    uint32_t *choice = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF
                           ? (uint32_t *)(base + field->quantifier_offset)
                           : NULL;
    if (choice && *choice) {
        wire_fail(in, "two of a choice are set");
        return;
    }
    if (read_value(in, field, base + field->offset, depth) && choice)
        *choice = field->id;
}

static ProtobufCMessage *read_message(struct wire_in *in, const ProtobufCMessageDescriptor *desc,
                                      int depth)
{
    uint64_t last = 0, id;
    if (depth > DEPTH_MAX) {
        wire_fail(in, "messages are nested too deep");
        return NULL;
    }
    ProtobufCMessage *message = mem_alloc(desc->sizeof_message);
    desc->message_init(message);
    while ((id = wire_read_number(in, UINT32_MAX)) != 0) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(desc, (unsigned)id);
        if (!field || id <= last)
            wire_fail(in, "a field is unknown or out of order");
        else
            read_field(in, field, (uint8_t *)message, depth);
        last = id;
    }
    if (in->failed) {
        event_free(message);
        return NULL;
    }
    return message;
}

void *wire_read_message(struct wire_in *in, const ProtobufCMessageDescriptor *desc)
{
    return read_message(in, desc, 0);
}
