/* The cache of a mirror's Git LFS objects, as git-lfs lays it out: <folder>/objects/ab/cd/<oid>.
 * Blocking. */
#ifndef GANTRY_GIT_LFS_STORE_H
#define GANTRY_GIT_LFS_STORE_H

#include "git/checkout.h"

/* Whether an object is there in its size; it then counts as used now. */
bool lfs_store_has(const char *folder, const struct git_pointer *pointer);
/* Whether it is what its name says; one that is not is removed. */
bool lfs_store_verify(const char *folder, const struct git_pointer *pointer);
/* Puts an object where its pointer is, below `root`. False and no error: there is none. */
bool lfs_store_place(const char *folder, const struct git_pointer *pointer, int root,
                     struct err *err);
/* Removes those that nobody used for longest, and for an hour at least, while there is more than
 * `limit` bytes; and what processes that were killed left behind. */
void lfs_store_trim(const char *folder, uint64_t limit);

#endif
