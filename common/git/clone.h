/* A .git in a checkout: HEAD is the commit, the index is its tree, `origin` the remote (without a
 * secret). It shares nothing with the mirror: a build may do with it what it likes. */
#ifndef GANTRY_GIT_CLONE_H
#define GANTRY_GIT_CLONE_H

#include "git/mirror.h"

struct git_clone;

struct git_clone_opts {
    struct git_mirror *mirror;
    const char *commit; /* the mirror has it */
    const char *dir;    /* empty yet: before the checkout */
    int64_t timeout_ms;
    void (*done)(const struct err *err, void *arg);
    void *arg;
};
/* A complete mirror's branches become those of `origin`, its tags tags; of a shallow one there is
 * the commit alone, as far back as it is fetched. NULL and *err: it could not be begun. */
struct git_clone *git_clone_make(const struct git_clone_opts *opts, struct err *err);
void git_clone_stop(struct git_clone *clone); /* its callback follows soon, with an error */
/* It ends soon; no callback follows. NULL is accepted. */
void git_clone_drop(struct git_clone *clone);

#endif
