#include "base/id.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/sha256.h"

#define ID_INPUT_MAX (16 * 1024 * 1024)

/* Ids are short, as a rule: what is longer than the first room moves out of it. */
struct id_input {
    char first[256];
    struct buf more; /* used once `len` would be beyond `first` */
    size_t len;
};

static void add(struct id_input *in, const char *data, size_t len)
{
    if (in->len + len <= sizeof(in->first)) {
        memcpy(in->first + in->len, data, len);
    } else {
        if (in->more.len == 0)
            buf_add(&in->more, in->first, in->len);
        buf_add(&in->more, data, len);
    }
    in->len += len;
}

static void add_part(struct id_input *in, const char *part)
{
    char number[21];
    size_t len = strlen(part);

    id_num(number, len);
    add(in, number, strlen(number));
    add(in, ":", 1);
    add(in, part, len);
}

void id_make(char out[ID_SIZE], const char *type, ...)
{
    uint8_t hash[SHA256_SIZE];
    struct id_input in;
    va_list ap;
    const char *part;

    in.len = 0;
    buf_init(&in.more, ID_INPUT_MAX);
    add_part(&in, type);
    va_start(ap, type);
    while ((part = va_arg(ap, const char *)))
        add_part(&in, part);
    va_end(ap);
    /* An id over a part of its input would be another thing's id. */
    if (in.more.overflow)
        abort();
    sha256(in.more.len ? in.more.data : in.first, in.len, hash);
    hex_encode(hash, (ID_SIZE - 1) / 2, out);
    buf_release(&in.more);
}

void id_random(char out[ID_SIZE])
{
    uint8_t bits[(ID_SIZE - 1) / 2];

    random_bytes(bits, sizeof(bits));
    hex_encode(bits, sizeof(bits), out);
}

void random_bytes(void *out, unsigned long len)
{
    char *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            perror("gantry: getrandom");
            abort();
        }
        p += n;
        len -= (unsigned long)n;
    }
}

char *id_num(char out[21], uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    memcpy(out, digits + at, sizeof(digits) - at);
    out[sizeof(digits) - at] = '\0';
    return out;
}
