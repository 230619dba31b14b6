/* A mask over values and a text from anywhere, in pieces of any size: what comes out is what simple
 * code makes of the whole. The input is up to 8 values, each a length and that many bytes; a byte
 * of 0; then the text, whose bytes also say how it is cut. */
#include <stdint.h>

#include "tests/unit/mask/naive.h"

#define VALUES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct naive_value values[VALUES_MAX];
    struct mask *mask = mask_new();
    struct buf wanted, got;
    struct err err;
    size_t count = 0, at = 0;

    while (count < VALUES_MAX && at < size && data[at]) {
        const size_t len = data[at] < size - at - 1 ? data[at] : size - at - 1;
        values[count] = (struct naive_value){(const char *)data + at + 1, len};
        mask_add(mask, values[count].data, len, &err);
        count++;
        at += 1 + len;
    }
    at += at < size && data[at] == 0;
    const char *text = (const char *)data + at;
    const size_t len = size - at;
    buf_init(&wanted, 3 * len + 1);
    buf_init(&got, 3 * len + 1);
    naive_mask(values, count, text, len, &wanted);

    mask_text(mask, text, len, &got);
    if (got.len != wanted.len || memcmp(buf_cstr(&got), buf_cstr(&wanted), got.len) != 0)
        abort();
    buf_reset(&got);
    struct mask_stream *stream = mask_stream_new(mask);
    for (size_t done = 0, n; done < len; done += n) {
        n = (unsigned char)text[done] % 7 + 1u;
        if (n > len - done)
            n = len - done;
        mask_stream_add(stream, text + done, n, &got);
    }
    mask_stream_flush(stream, &got);
    if (got.len != wanted.len || memcmp(buf_cstr(&got), buf_cstr(&wanted), got.len) != 0)
        abort();
    mask_stream_free(stream);
    mask_free(mask);
    buf_release(&wanted);
    buf_release(&got);
    return 0;
}
