/* Hides values in text that comes piece by piece: secrets in a build's output. Every byte that
 * belongs to an occurrence of a value is hidden, also of occurrences that overlap; what is hidden
 * in one go shows as one MASK_TEXT. Bytes are bytes: a value may hold any, NUL and line ends too.
 * A value that is written otherwise than it is (base64, JSON's escapes, reversed) is not found.
 *
 * Time is linear in the text and in the values, however many there are: Aho and Corasick's
 * automaton ("Efficient string matching", 1975), with 14 bytes of memory for each byte of the
 * values. Pure. A mask may be read by several threads once the first stream or text was masked; a
 * stream belongs to one. */
#ifndef GANTRY_MASK_MASK_H
#define GANTRY_MASK_MASK_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define MASK_TEXT      "***"
#define MASK_BYTES_MAX (16 * 1024 * 1024) /* of all values together */
#define MASK_SHORT     3                  /* see mask_stream_show() */

struct mask;
struct mask *mask_new(void);
void mask_free(struct mask *mask); /* after its streams; wipes; NULL is accepted */
/* Copies the value; none is empty. Before the first stream and text. ERR_LIMIT: MASK_BYTES_MAX. */
int mask_add(struct mask *mask, const void *value, size_t len, struct err *err);

/* A whole text. `out` must have room for 3 bytes for each of it. */
void mask_text(struct mask *mask, const void *text, size_t len, struct buf *out);

struct mask_stream;
struct mask_stream *mask_stream_new(struct mask *mask);
void mask_stream_free(struct mask_stream *stream); /* wipes; NULL is accepted */
/* Gives to `out` what is sure: all but an end of the text that may be the beginning of a value.
 * `out` must have room for 3 bytes for each byte of the text and of what was held before. */
void mask_stream_add(struct mask_stream *stream, const void *text, size_t len, struct buf *out);
/* Bytes that are held back. */
size_t mask_stream_held(const struct mask_stream *stream);
/* Nothing came for a while: gives what is held if that is MASK_SHORT bytes at most, so that a
 * prompt shows. If it was the beginning of a value all the same, the rest of it is hidden. More
 * than that is held until it is sure. */
void mask_stream_show(struct mask_stream *stream, struct buf *out);
/* Gives all that is held; what comes next is the beginning of another text. */
void mask_stream_flush(struct mask_stream *stream, struct buf *out);

#endif
