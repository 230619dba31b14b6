/* A revision's source as a build finds it: the commit's files, and where it is asked for its
 * submodules, what Git LFS keeps, and a .git. Repositories are kept as mirrors below one folder,
 * those of submodules too. Loop thread. */
#ifndef GANTRY_GIT_SOURCE_H
#define GANTRY_GIT_SOURCE_H

#include "git/git.h"

#define GIT_SUBMODULES_MAX      50 /* of a source, those of submodules included */
#define GIT_SUBMODULE_DEPTH_MAX 5
#define GIT_SOURCE_TRIES        5

struct git_cache;
struct git_cache *git_cache_new(struct loop *loop, const char *dir);
/* Ends what runs; no callback follows. NULL is accepted. */
void git_cache_free(struct git_cache *cache);

struct git_source;

struct git_source_opts {
    struct git_remote remote; /* copied, its secret wiped at the end */
    /* The secret's name, "" without one: what one name's secret fetched is not read for another. */
    const char *credentials;
    const char *commit;
    const char *dir; /* an empty folder */
    /* Recursively, each at the commit that its parent names. An address relative to the parent's is
     * resolved as git does; the secret goes to the source's own server only (protocol, host, port),
     * where ssh to the same host becomes https if the source is that. A file's only where the
     * source is one, and never one of the mirrors. Refused with the submodule's name: what git
     * refuses, and more than GIT_SUBMODULES_MAX, or deeper. `update = none` leaves an empty folder.
     */
    bool submodules;
    bool lfs;       /* of submodules too */
    bool clone;     /* a .git; submodules have none of their own */
    uint32_t depth; /* commits that are fetched, of submodules too; 0: all */
    /* Once, never from inside the call. A remote that is away is asked again, 1, 2, 4 and 8 s
     * later. After an error the folder holds what came until then. */
    void (*done)(const struct err *err, void *arg);
    void *arg;
};
/* -1: the URL or the commit is none. */
int git_source_checkout(struct git_source **out, struct git_cache *cache,
                        const struct git_source_opts *opts, struct err *err);
/* True: it has ended, no callback follows and nothing writes to its folder any more; a fetch that
 * is under way goes on for those who come next. False: `done` follows soon. */
bool git_source_cancel(struct git_source *source);
/* It ends soon; no callback follows. NULL is accepted. */
void git_source_drop(struct git_source *source);

#endif
