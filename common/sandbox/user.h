/* The builder's user and its subordinate ids (subuid(5), subgid(5)). */
#ifndef GANTRY_SANDBOX_USER_H
#define GANTRY_SANDBOX_USER_H

#include <stdint.h>

#include "base/err.h"

struct user_range {
    uint32_t first;
    uint32_t count;
};

/* The largest range of this process's user in `file` (/etc/subuid or /etc/subgid), at most 65,536
 * ids of it. ERR_NOT_FOUND says what to run. */
int user_range_find(const char *file, struct user_range *out, struct err *err);

#endif
