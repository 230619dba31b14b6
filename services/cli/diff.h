/* What an apply would change, by what the keys mean and not by where they stand in the text:
 * stages, gates, actions and sources are told apart by their names. */
#ifndef GANTRY_CLI_DIFF_H
#define GANTRY_CLI_DIFF_H

#include <stddef.h>

struct diff_change {
    char op;      /* '+', '-', '~' */
    char *path;   /* spec.stages.prod.gates.approval.count */
    char *before; /* NULL for '+' */
    char *after;  /* NULL for '-' */
};
struct diff {
    struct diff_change *items;
    size_t count;
};

/* Both parse as YAML: they were checked as definitions before. Empty: only comments, layout or the
 * order of keys differ. diff_release() it. */
void diff_make(struct diff *out, const char *before, size_t before_len, const char *after,
               size_t after_len);
void diff_release(struct diff *diff);

#endif
