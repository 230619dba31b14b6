/* A checkout's files and symbolic links, written by several threads. Blocking. */
#ifndef GANTRY_GIT_FILES_H
#define GANTRY_GIT_FILES_H

#include "git/checkout.h"

#define MODE_TREE      0040000u
#define MODE_LINK      0120000u
#define MODE_SUBMODULE 0160000u
#define MODE_TYPE      0170000u

struct tree_entry {
    unsigned mode; /* as the tree has it */
    uint8_t id[32];
    char *path; /* relative to the checkout's root; "" is that itself */
};

struct files {
    const struct git_readers *readers;
    const struct tree_entry *items; /* their folders are there */
    size_t count;
    size_t id_len; /* bytes: 20 or 32 */
    int root;
    struct git_found *found; /* gets the pointers */
};
/* `reader` is in use by this call alone, and the caller's. */
int files_write(const struct files *files, struct git_objects *reader, struct err *err);

int checkout_refuse(struct err *err, const char *path, const char *why);
/* From errno. */
int checkout_os_error(struct err *err, const char *what, const char *path);
int checkout_missing(struct err *err, const char *path);

#endif
