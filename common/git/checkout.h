/* A commit's tree written into a folder. Blocking. */
#ifndef GANTRY_GIT_CHECKOUT_H
#define GANTRY_GIT_CHECKOUT_H

#include "git/objects.h"

/* What a tree says is to be had elsewhere. Zero-initialise; git_found_release(). */
struct git_found {
    struct git_link { /* a submodule */
        char *path;
        char commit[65];
    } * links;
    size_t link_count, link_cap;
    struct git_pointer { /* a file that Git LFS keeps (docs/spec.md of git-lfs) */
        char *path;
        char oid[65]; /* SHA-256 of the content */
        uint64_t size;
        bool executable;
    } * pointers;
    size_t pointer_count, pointer_cap;
    bool want_pointers; /* in: whether files are looked at for that */
};
void git_found_release(struct git_found *found);
/* Whether a file's content is such a pointer; without a path then. */
bool git_pointer_parse(struct git_pointer *out, const char *data, size_t len);
#define GIT_POINTER_MAX 1024 /* bytes; whatever is larger is none */

/* Where more readers of the same repository come from: one writes, the others wait for the disk. */
struct git_readers {
    int (*take)(void *arg, struct git_objects **out, struct err *err);
    void (*give)(void *arg, struct git_objects *reader);
    void *arg;
};

/* As git_mirror_checkout() says. `dir` must be there and empty. */
int git_checkout_write(const struct git_readers *readers, const char *commit, const char *dir,
                       struct git_found *found, struct err *err);

#endif
