/* A growing byte buffer with a stated limit. `data` is always NUL-terminated (the NUL is not
 * counted) once anything was added. Adding beyond the limit adds nothing, sets `overflow` and
 * returns -1; later adds fail too. */
#ifndef GANTRY_BASE_BUF_H
#define GANTRY_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
    size_t limit;
    bool overflow;
};

void buf_init(struct buf *buf, size_t limit);
void buf_release(struct buf *buf); /* frees; the buffer is as after buf_init() */
void buf_reset(struct buf *buf);   /* empties, keeps the memory */

int buf_add(struct buf *buf, const void *data, size_t len);
int buf_adds(struct buf *buf, const char *s);
int buf_addc(struct buf *buf, char c);
int buf_addf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *buf, size_t len); /* removes from the front */
/* Adds `len` bytes that the caller writes, all of them, to where this points; NULL: the limit. */
void *buf_extend(struct buf *buf, size_t len);

/* The text ("" when empty), owned by the caller (free()); the buffer is empty after. */
char *buf_detach(struct buf *buf);
const char *buf_cstr(const struct buf *buf); /* never NULL */

#endif
