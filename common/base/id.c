#include "base/id.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/sha256.h"

#define ID_INPUT_MAX (16 * 1024 * 1024)

static void add_part(struct buf *in, const char *part)
{
    size_t len = strlen(part);

    buf_addf(in, "%zu:", len);
    buf_add(in, part, len);
}

void id_make(char out[ID_SIZE], const char *type, ...)
{
    char hex[SHA256_HEX_SIZE];
    struct buf in;
    va_list ap;
    const char *part;

    buf_init(&in, ID_INPUT_MAX);
    add_part(&in, type);
    va_start(ap, type);
    while ((part = va_arg(ap, const char *)))
        add_part(&in, part);
    va_end(ap);
    /* An id over a part of its input would be another thing's id. */
    if (in.overflow)
        abort();
    sha256_hex(in.data, in.len, hex);
    memcpy(out, hex, ID_SIZE - 1);
    out[ID_SIZE - 1] = '\0';
    buf_release(&in);
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
    snprintf(out, 21, "%" PRIu64, value);
    return out;
}
