/* What a mask must do, as simple as can be: every byte of every occurrence is marked, then each run
 * of marked bytes is one MASK_TEXT. */
#ifndef GANTRY_TESTS_MASK_NAIVE_H
#define GANTRY_TESTS_MASK_NAIVE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mask/mask.h"

struct naive_value {
    const char *data;
    size_t len;
};

static inline void naive_mask(const struct naive_value *values, size_t count, const char *text,
                              size_t len, struct buf *out)
{
    bool *hidden = calloc(len + 1, sizeof(*hidden));
    for (size_t v = 0; v < count; v++) {
        for (size_t at = 0; values[v].len && at + values[v].len <= len; at++) {
            if (memcmp(text + at, values[v].data, values[v].len) == 0)
                memset(hidden + at, true, values[v].len);
        }
    }
    for (size_t at = 0; at < len; at++) {
        if (!hidden[at])
            buf_add(out, text + at, 1);
        else if (at == 0 || !hidden[at - 1])
            buf_adds(out, MASK_TEXT);
    }
    free(hidden);
}

#endif
