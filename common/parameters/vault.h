/* The secret store on the loop: opens it with its master key, which is a file or in AWS KMS, makes
 * it where there is none, and runs what it is asked for on a worker, one after the other. The
 * store's key stays in memory, so KMS is asked once a start and at a rotation. Loop thread, but for
 * the work. */
#ifndef GANTRY_PARAMETERS_VAULT_H
#define GANTRY_PARAMETERS_VAULT_H

#include <stdbool.h>

#include "aws/aws.h"
#include "base/err.h"
#include "loop/loop.h"
#include "secret/store.h"

struct vault;

/* All is copied, but for loop and aws. */
struct vault_conf {
    struct loop *loop;
    const char *dir;         /* the store's folder */
    const char *master;      /* a name in secrets_dir, or kms:KEY (id, ARN or alias/name) */
    const char *old_master;  /* what sealed the store before `master`; NULL: none */
    const char *secrets_dir; /* may be NULL, where no master is a file */
    struct aws *aws;         /* NULL: no kms: */
};
/* ERR_INVALID: a master is none. Files are read when they are needed first. */
int vault_new(struct vault **out, const struct vault_conf *conf, struct err *err);
void vault_free(struct vault *vault); /* what waits is dropped; NULL is accepted */

/* Worker thread: secret_store_...() calls on the store. Done again after ERR_CONFLICT, so it must
 * then have changed nothing. */
typedef int vault_work_fn(const struct secret_store *store, void *arg, struct err *err);
typedef void vault_done_fn(const struct err *err, void *arg); /* later, never at once */
/* `drop` frees arg when the vault is freed before `done`. */
void vault_run(struct vault *vault, vault_work_fn *work, vault_done_fn *done,
               void (*drop)(void *arg), void *arg);
/* In a done callback: whether the store could be opened, so that an error is of the work itself. */
bool vault_is_open(const struct vault *vault);
/* A new store key under `master`, and all data keys sealed under it. */
void vault_rotate(struct vault *vault, vault_done_fn *done, void (*drop)(void *arg), void *arg);

#endif
