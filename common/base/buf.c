#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BUF_FIRST_CAP 64

void buf_init(struct buf *buf, size_t limit)
{
    *buf = (struct buf){.limit = limit};
}

void buf_release(struct buf *buf)
{
    free(buf->data);
    buf_init(buf, buf->limit);
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->overflow = false;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Makes room for `len` more and the NUL; -1: the limit forbids it. */
static int reserve(struct buf *buf, size_t len)
{
    size_t need;
    size_t cap = buf->cap ? buf->cap : BUF_FIRST_CAP;

    if (buf->overflow || len > buf->limit || buf->len > buf->limit - len) {
        buf->overflow = true;
        return -1;
    }
    need = buf->len + len + 1;
    if (need <= buf->cap)
        return 0;
    while (cap < need)
        cap = cap > buf->limit / 2 ? need : cap * 2;
    buf->data = mem_realloc(buf->data, cap, 1);
    buf->cap = cap;
    return 0;
}

void *buf_extend(struct buf *buf, size_t len)
{
    char *at;

    if (reserve(buf, len) < 0)
        return NULL;
    at = buf->data + buf->len;
    buf->len += len;
    buf->data[buf->len] = '\0';
    return at;
}

int buf_add(struct buf *buf, const void *data, size_t len)
{
    if (reserve(buf, len) < 0)
        return -1;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return 0;
}

int buf_adds(struct buf *buf, const char *s)
{
    return buf_add(buf, s, strlen(s));
}

int buf_addc(struct buf *buf, char c)
{
    return buf_add(buf, &c, 1);
}

int buf_addf(struct buf *buf, const char *fmt, ...)
{
    size_t room = buf->cap - buf->len;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(buf->data ? buf->data + buf->len : NULL, room, fmt, ap);
    va_end(ap);
    if (n < 0 || reserve(buf, (size_t)n) < 0) {
        if (n < 0)
            buf->overflow = true;
        if (buf->data)
            buf->data[buf->len] = '\0';
        return -1;
    }
    if ((size_t)n >= room) {
        va_start(ap, fmt);
        vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    buf->len += (size_t)n;
    return 0;
}

void buf_consume(struct buf *buf, size_t len)
{
    if (len >= buf->len) {
        buf->len = 0;
    } else {
        memmove(buf->data, buf->data + len, buf->len - len);
        buf->len -= len;
    }
    if (buf->data)
        buf->data[buf->len] = '\0';
}

char *buf_detach(struct buf *buf)
{
    char *data = buf->data ? buf->data : mem_strdup("");

    buf_init(buf, buf->limit);
    return data;
}

const char *buf_cstr(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}
