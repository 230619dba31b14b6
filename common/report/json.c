#include "report/json.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define CONTAINER_SHARE 10 /* one of so many values may be a list or an object */

struct scan {
    size_t depth, containers, values;
    unsigned long line; /* where a bound was passed */
};

/* Counts without understanding: a comma is a value more, and so is a bracket. What is no JSON is
 * left to the parser. */
static bool scan(struct scan *s, const struct reading *in)
{
    bool text = false;

    s->line = 1;
    for (size_t i = 0; i < in->len; i++) {
        char c = in->bytes[i];
        s->line += c == '\n';
        if (text) {
            i += c == '\\';
            text = c != '"';
            continue;
        }
        text = c == '"';
        if (c == '[' || c == '{') {
            s->containers++;
            s->depth++;
        } else if ((c == ']' || c == '}') && s->depth) {
            s->depth--;
        }
        s->values += c == '[' || c == '{' || c == ',';
        if (s->depth > in->limits.depth || s->values > in->limits.values ||
            s->containers > in->limits.values / CONTAINER_SHARE)
            return false;
    }
    return true;
}

json_t *json_read(struct reading *in)
{
    struct scan bounds = {0};
    const char *bytes = in->bytes;
    size_t len = in->len;
    json_error_t error;

    if (!scan(&bounds, in)) {
        if (bounds.depth > in->limits.depth)
            err_set(in->err, ERR_LIMIT, "%s:%lu: lists and objects stand more than %zu deep",
                    in->name, bounds.line, in->limits.depth);
        else
            err_set(in->err, ERR_LIMIT,
                    "%s:%lu: more than %zu values, or %zu lists and objects, are in one file",
                    in->name, bounds.line, in->limits.values, in->limits.values / CONTAINER_SHARE);
        return NULL;
    }
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
        bytes += 3;
        len -= 3;
    }
    json_t *root = json_loadb(bytes, len, 0, &error);
    if (root)
        return root;
    if (json_error_code(&error) == json_error_premature_end_of_input)
        err_set(in->err, ERR_INVALID, "%s:%d: ends in the middle: it was not written to its end",
                in->name, error.line);
    else
        /* Not what it is near: jansson cut that where it likes. */
        err_set(in->err, ERR_INVALID, "%s:%d: is not JSON: %.*s", in->name, error.line,
                (int)(strstr(error.text, " near ") ? strstr(error.text, " near ") - error.text
                                                   : (ptrdiff_t)strlen(error.text)),
                error.text);
    return NULL;
}

int json_refuse(struct reading *in, const char *path, const char *reason)
{
    return err_set(in->err, ERR_INVALID, "%s: %s: %s", in->name, path, reason);
}
