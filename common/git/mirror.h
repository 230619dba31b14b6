/* A mirror's inside: shared by mirror.c (its life, its readers, checkouts), update.c (fetching) and
 * range.c. */
#ifndef GANTRY_GIT_MIRROR_H
#define GANTRY_GIT_MIRROR_H

#include <pthread.h>

#include "git/checkout.h"
#include "git/git.h"
#include "git/run.h"

#define MIRROR_READERS_IDLE 4

struct mirror_update;

struct git_mirror {
    struct loop *loop;
    char *dir;
    char *url;
    uint32_t depth; /* 0: complete */
    char *path;
    char *marker;   /* a file in the mirror that says: broken, make it again */
    unsigned holds; /* 1 for the owner, 1 for each job or process under way */
    bool dead;      /* the owner is gone: no callbacks */

    pthread_mutex_t lock; /* for the idle readers */
    struct git_objects *idle[MIRROR_READERS_IDLE];
    size_t idle_count;
    struct loop_timer *idle_timer;

    struct mirror_update *update; /* update.c's */
};

void mirror_hold(struct git_mirror *mirror);
void mirror_release(struct git_mirror *mirror); /* frees it with the last hold */

/* Worker threads. */
int mirror_reader_take(struct git_mirror *mirror, int64_t timeout_ms, struct git_objects **out,
                       struct err *err);
void mirror_reader_give(struct git_mirror *mirror, struct git_objects *reader);
void mirror_readers_close(struct git_mirror *mirror);
bool mirror_exists(const struct git_mirror *mirror);
bool mirror_has(struct git_mirror *mirror, const char *commit, int64_t timeout_ms);

/* Loop thread: readers that nobody used for a while are ended. */
void mirror_readers_used(struct git_mirror *mirror);

/* git_mirror_checkout() that also says what it found (it may be emptied; valid until the callback
 * returns). */
typedef void mirror_checked_out_fn(struct git_found *found, const struct err *err, void *arg);
int mirror_checkout(struct git_mirror *mirror, const char *commit, const char *dir,
                    int64_t timeout_ms, bool want_pointers, mirror_checked_out_fn *done, void *arg,
                    struct err *err);

struct mirror_update *mirror_update_new(struct git_mirror *mirror);
void mirror_update_end(
    struct mirror_update *update); /* stops what runs; its requests are dropped */
void mirror_update_free(struct mirror_update *update);

#endif
