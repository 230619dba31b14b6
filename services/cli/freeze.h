/* The list `spec.freeze` of an Environment, changed in the text that people wrote: all else, its
 * comments too, stays as it is. */
#ifndef GANTRY_CLI_FREEZE_H
#define GANTRY_CLI_FREEZE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct freeze {
    const char *window, *reason;
};

/* Writes the definition with exactly these freezes into `out`, and checks it. -1: the text is none
 * that can be changed so, or not with them. */
int freeze_write(struct buf *out, const char *yaml, size_t len, const struct freeze *freezes,
                 size_t count, struct err *err);

#endif
