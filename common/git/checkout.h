/* A commit's tree written into a folder. Blocking. */
#ifndef GANTRY_GIT_CHECKOUT_H
#define GANTRY_GIT_CHECKOUT_H

#include "git/objects.h"

/* As git_mirror_checkout() says. `dir` must be there and empty. */
int git_checkout_write(struct git_objects *objects, const char *commit, const char *dir,
                       struct err *err);

#endif
