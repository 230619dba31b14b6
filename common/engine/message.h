/* Protobuf messages by their descriptors: copies into an arena. Inside the library only. */
#ifndef GANTRY_ENGINE_MESSAGE_H
#define GANTRY_ENGINE_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "engine/arena.h"

/* A deep copy, without fields that this version does not know. NULL gives NULL. */
void *message_copy(struct arena *arena, const void *message);

/* Bytes of one value of a field in memory. */
size_t message_value_size(ProtobufCType type);
/* True if a field that is no list holds a value: it is the chosen one of its oneof, or belongs to
 * none. */
bool message_has(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

#endif
