/* .gitmodules (gitmodules(5)), as `git config --list -z` prints it: what a commit says about its
 * submodules, none of it believed. Pure. */
#ifndef GANTRY_GIT_MODULES_H
#define GANTRY_GIT_MODULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct git_module {
    char *name;
    char *path; /* relative, inside the repository; NULL: it names none */
    char *url;  /* as written; NULL: it names none */
    bool none;  /* `update = none`: not to be checked out */
};
/* Zero-initialise; git_modules_release(). */
struct git_modules {
    struct git_module *items;
    size_t count;
};
/* ERR_INVALID names the submodule: one that would be written outside of the repository, run a
 * command, or be taken for an option. ERR_LIMIT: more than 1,000. */
int git_modules_parse(struct git_modules *out, const char *text, size_t len, struct err *err);
const struct git_module *git_modules_at(const struct git_modules *modules, const char *path);
void git_modules_release(struct git_modules *modules);

#endif
