/* Control groups that a supervisor made and delegated: one below each for every sandbox.
 * Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. */
#ifndef GANTRY_SANDBOX_CGROUP_H
#define GANTRY_SANDBOX_CGROUP_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "sandbox/sandbox.h"

/* The kernel holds a build at so many processes more than its limit, so that a look every 100 ms
 * finds it beyond the limit and ends it with that reason: a fork bomb that is only held goes on. */
#define SANDBOX_PROCESSES_MORE 32

struct cgroup_root {
    bool v2;
    char *memory, *pids, *cpu; /* folders; v2: the same; NULL: not delegated */
};

/* Parses the setting, checks that groups can be made there, and ends and removes what an earlier
 * process left. */
int cgroup_root_init(struct cgroup_root *root, const char *setting, struct err *err);
void cgroup_root_release(struct cgroup_root *root);

/* Makes the groups of one sandbox and adds the files that a process joins them by. */
int cgroup_make(const struct cgroup_root *root, const char *name, struct strv *join,
                struct err *err);
int cgroup_limit(const struct cgroup_root *root, const char *name,
                 const struct sandbox_limits *limits, struct err *err);
/* How many of its processes the kernel ended for want of memory. */
uint64_t cgroup_oom_kills(const struct cgroup_root *root, const char *name);
/* 0; -1: something is still in it. */
int cgroup_remove(const struct cgroup_root *root, const char *name);

#endif
