#include "engine/message.h"

#include <string.h>

size_t message_value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}

bool message_has(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const uint8_t *base = (const uint8_t *)message;
    if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return true;
    return *(const uint32_t *)(base + field->quantifier_offset) == field->id;
}

/* What the value points to becomes the arena's. */
static void copy_value(struct arena *arena, ProtobufCType type, void *at)
{
    if (type == PROTOBUF_C_TYPE_STRING) {
        char **text = at;
        *text = *text && **text ? arena_strdup(arena, *text) : (char *)protobuf_c_empty_string;
    } else if (type == PROTOBUF_C_TYPE_BYTES) {
        ProtobufCBinaryData *bytes = at;
        bytes->data = bytes->len ? arena_dup(arena, bytes->data, bytes->len) : NULL;
    } else if (type == PROTOBUF_C_TYPE_MESSAGE) {
        void **message = at;
        *message = message_copy(arena, *message);
    }
}

void *message_copy(struct arena *arena, const void *source)
{
    const ProtobufCMessage *message = source;
    if (!message)
        return NULL;
    const ProtobufCMessageDescriptor *desc = message->descriptor;
    ProtobufCMessage *copy = arena_dup(arena, message, desc->sizeof_message);
    copy->n_unknown_fields = 0;
    copy->unknown_fields = NULL;
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &desc->fields[i];
        uint8_t *at = (uint8_t *)copy + field->offset;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            if (message_has(copy, field))
                copy_value(arena, field->type, at);
            continue;
        }
        size_t count = *(const size_t *)((const uint8_t *)copy + field->quantifier_offset);
        size_t size = message_value_size(field->type);
        uint8_t *items = count ? arena_dup(arena, *(void **)at, count * size) : NULL;
        for (size_t j = 0; j < count; j++)
            copy_value(arena, field->type, items + j * size);
        *(void **)at = items;
    }
    return copy;
}
