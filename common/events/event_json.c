/* Any message as JSON, by protobuf-c's descriptors. */
#include <ctype.h>
#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "events/event.h"

#define ENUM_NAME_MAX 128

/* in_progress -> inProgress */
static void camel_case(char *out, size_t size, const char *snake)
{
    size_t n = 0;
    bool up = false;
    for (; *snake && n + 1 < size; snake++) {
        if (*snake == '_') {
            up = true;
            continue;
        }
        out[n++] = up ? (char)toupper((unsigned char)*snake) : *snake;
        up = false;
    }
    out[n] = '\0';
}

/* How many characters of a value's name are its enum's: STATUS_ for Status, STOP_MODE_ for
 * StopMode. 0: it does not begin so. */
static size_t enum_prefix_len(const char *enum_name, const char *value_name)
{
    size_t n = 0;
    for (const char *p = enum_name; *p; p++) {
        if (p != enum_name && isupper((unsigned char)*p) && value_name[n++] != '_')
            return 0;
        if (value_name[n++] != toupper((unsigned char)*p))
            return 0;
    }
    return value_name[n] == '_' ? n + 1 : 0;
}

static json_t *enum_to_json(const ProtobufCEnumDescriptor *desc, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(desc, value);
    if (!v)
        return json_integer(value);
    char out[ENUM_NAME_MAX];
    size_t n = 0;
    for (const char *p = v->name + enum_prefix_len(desc->short_name, v->name);
         *p && n + 1 < sizeof(out); p++)
        out[n++] = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    out[n] = '\0';
    return json_string(out);
}

static json_t *bytes_to_json(const ProtobufCBinaryData *bytes)
{
    char *hex = mem_alloc(2 * bytes->len + 1);
    hex_encode(bytes->data, bytes->len, hex);
    json_t *json = json_string(hex);
    free(hex);
    return json;
}

static json_t *text_to_json(const char *text)
{
    json_t *json = json_string(text ? text : "");
    return json ? json : json_string("(not UTF-8)");
}

/* The value at `at`; *zero tells whether it is its type's zero value. */
static json_t *value_to_json(const ProtobufCFieldDescriptor *field, const void *at, bool *zero)
{
    json_t *json = NULL;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        json = json_integer(*(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        json = json_integer(*(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        json = json_integer(*(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        json = json_real((double)*(const float *)at);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        json = json_real(*(const double *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        json = json_boolean(*(const protobuf_c_boolean *)at);
        *zero = json_is_false(json);
        return json;
    case PROTOBUF_C_TYPE_ENUM:
        *zero = *(const int *)at == 0;
        return enum_to_json(field->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_STRING:
        json = text_to_json(*(char *const *)at);
        *zero = json_string_length(json) == 0;
        return json;
    case PROTOBUF_C_TYPE_BYTES:
        *zero = ((const ProtobufCBinaryData *)at)->len == 0;
        return bytes_to_json(at);
    case PROTOBUF_C_TYPE_MESSAGE:
        *zero = *(void *const *)at == NULL;
        return *zero ? json_object() : event_to_json(*(void *const *)at);
    }
    *zero = json_number_value(json) == 0;
    return json;
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    default:
        return sizeof(uint64_t);
    }
}

static json_t *list_to_json(const ProtobufCFieldDescriptor *field, const uint8_t *base)
{
    size_t count = *(const size_t *)(base + field->quantifier_offset);
    const uint8_t *items = *(const uint8_t *const *)(base + field->offset);
    json_t *list = json_array();
    bool zero;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, value_to_json(field, items + i * value_size(field), &zero));
    return list;
}

void *event_to_json(const void *message)
{
    const uint8_t *base = message;
    const ProtobufCMessageDescriptor *desc = ((const ProtobufCMessage *)message)->descriptor;
    json_t *object = json_object();
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &desc->fields[i];
        bool one_of = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
        bool zero = false;
        json_t *value;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            value = list_to_json(field, base);
            zero = json_array_size(value) == 0;
        } else if (one_of && *(const uint32_t *)(base + field->quantifier_offset) != field->id) {
            continue;
        } else {
            value = value_to_json(field, base + field->offset, &zero);
        }
        char name[ENUM_NAME_MAX];
        camel_case(name, sizeof(name), field->name);
        if (zero && !one_of)
            json_decref(value);
        else
            json_object_set_new(object, name, value);
    }
    return object;
}
