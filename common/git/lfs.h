/* Files that Git LFS keeps, put in the place of their pointers. What has to be fetched is fetched
 * by git-lfs, which has no work tree to touch: it gets a bare repository made for it, which borrows
 * the mirror's objects and has the commit as its HEAD (so that git-lfs finds that commit's
 * .lfsconfig), and fills a cache beside the mirror's objects. Every object is checked against its
 * pointer's size and SHA-256 before it is used for the first time, and git-lfs can write no file
 * larger than the largest pointer says. */
#ifndef GANTRY_GIT_LFS_H
#define GANTRY_GIT_LFS_H

#include "git/mirror.h"

#define GIT_LFS_BYTES_MAX (64ull * 1024 * 1024 * 1024) /* of a commit */
#define GIT_LFS_CACHE_MAX (20ull * 1024 * 1024 * 1024) /* of a mirror */

struct git_lfs;

struct git_lfs_opts {
    struct git_mirror *mirror;
    /* Of the repository; its secret is used for a server of objects on the same host only. Copied.
     */
    const struct git_remote *remote;
    const char *commit;
    const char *dir; /* the checkout's root */
    /* Says of the place that a commit names for its objects whether it may be used; may be NULL. */
    int (*check)(void *arg, const char *url, struct err *err);
    void (*done)(const struct err *err, void *arg);
    void *arg;
};
/* Takes the pointers out of *found. A pointer that git-lfs was told not to fetch (`fetchexclude` in
 * .lfsconfig) stays one. */
struct git_lfs *git_lfs_place(const struct git_lfs_opts *opts, struct git_found *found);
void git_lfs_stop(struct git_lfs *lfs); /* its callback follows soon, with an error */
/* It ends soon; no callback follows. */
void git_lfs_drop(struct git_lfs *lfs);

#endif
