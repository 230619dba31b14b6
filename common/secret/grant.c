#include "secret/grant.h"

#include <string.h>

#include "base/str.h"

#define GLOB_MAX 512

bool secret_granted(const struct secret_grants *grants, const char *pipeline, const char *name)
{
    for (size_t i = 0; grants && i < grants->count; i++) {
        const char *path = grants->items[i].path;
        if (str_glob(grants->items[i].pipeline, pipeline) && str_glob(path + (*path == '/'), name))
            return true;
    }
    return false;
}

int secret_grant_refuse(const char *pipeline, const char *name, struct err *err)
{
    return err_set(
        err, ERR_DENIED,
        "the pipeline '%s' may not read '%.300s'; an operator can allow it: gantry secret "
        "grant %s '%.300s'",
        pipeline, name, pipeline, name);
}

static bool is_glob(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > GLOB_MAX)
        return false;
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            return false;
    }
    return true;
}

int secret_grant_check(const char *pipeline, const char *path, struct err *err)
{
    if (!is_glob(pipeline))
        return err_set(err, ERR_INVALID,
                       "a grant needs a pipeline, or a glob of pipelines like 'web-*'");
    if (!is_glob(path) || str_eq(path, "/"))
        return err_set(err, ERR_INVALID, "a grant needs a path, like 'shop/db' or 'shop/**'");
    return 0;
}
