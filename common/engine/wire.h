/* The bytes that a state is kept as: numbers of variable length, strings by their place in a table
 * (each once, sorted), messages by their fields. One state has one encoding. Inside the library
 * only. */
#ifndef GANTRY_ENGINE_WIRE_H
#define GANTRY_ENGINE_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"

#define STATE_MAGIC   0x47 /* G */
#define STATE_VERSION 4

/* Written twice: first the strings are collected, then the table and all else is written. */
struct wire_out {
    struct buf *buf;
    bool collecting;
    const char **strings;
    size_t count, room;
};
void wire_number(struct wire_out *out, uint64_t value);
void wire_signed(struct wire_out *out, int64_t value);
void wire_bytes(struct wire_out *out, const void *data, size_t len); /* without its length */
void wire_string(struct wire_out *out, const char *s);
void wire_id(struct wire_out *out, const char id[ID_SIZE]); /* 32 hex digits, or none */
void wire_message(struct wire_out *out, const ProtobufCMessage *message);
/* Calls `write` for both rounds. */
int wire_write(struct buf *buf, void (*write)(struct wire_out *out, const void *arg),
               const void *arg, struct err *err);

/* Once something does not fit, all that is read is 0 and `err` says what it was. */
struct wire_in {
    const uint8_t *at, *end;
    char **strings;
    size_t count;
    bool failed;
    struct err *err;
};
int wire_begin(struct wire_in *in, const void *data, size_t len, struct err *err);
void wire_end(struct wire_in *in);
void wire_fail(struct wire_in *in, const char *what);
uint64_t wire_read_number(struct wire_in *in, uint64_t max);
int64_t wire_read_signed(struct wire_in *in);
bool wire_read_bool(struct wire_in *in);
/* A count of things of which each takes a byte at least. */
size_t wire_read_count(struct wire_in *in, size_t max);
const uint8_t *wire_read_bytes(struct wire_in *in, size_t len); /* NULL: failed */
const char *wire_read_string(struct wire_in *in);               /* the table's; never NULL */
void wire_read_id(struct wire_in *in, char id[ID_SIZE]);
/* NULL: failed. Freed with event_free(). */
void *wire_read_message(struct wire_in *in, const ProtobufCMessageDescriptor *desc);

#endif
