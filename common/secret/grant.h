/* Which pipeline may read which name. Without I/O; any thread. */
#ifndef GANTRY_SECRET_GRANT_H
#define GANTRY_SECRET_GRANT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct secret_grant {
    const char *pipeline; /* globs, see str_glob() */
    const char *path;     /* without a leading slash */
};
struct secret_grants {
    const struct secret_grant *items;
    size_t count;
};

bool secret_granted(const struct secret_grants *grants, const char *pipeline, const char *name);
/* Sets *err (ERR_DENIED) to why, and what to do. */
int secret_grant_refuse(const char *pipeline, const char *name, struct err *err);
/* 0, or -1: a glob is empty, too long, or holds what no name has. */
int secret_grant_check(const char *pipeline, const char *path, struct err *err);

#endif
