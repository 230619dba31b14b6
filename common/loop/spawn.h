/* Fork and exec for child.c: what happens between the two, async-signal-safe. */
#ifndef GANTRY_LOOP_SPAWN_H
#define GANTRY_LOOP_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct spawn {
    const char *path; /* of the program */
    const char *const *argv;
    const char *const *env;
    const char *cwd;
    int fds[3]; /* become 0, 1, 2; each above 2 and close-on-exec */
    int (*pre_exec)(void *arg);
    void *pre_exec_arg;
    bool shares_memory;
};

/* The program's path: argv[0] itself if it has a slash, else the first executable in PATH of env.
 * The caller frees *out. */
int spawn_lookup(char **out, const char *name, const char *const *env, struct err *err);

/* Starts it in a process group of its own, signals as they are by default. */
int spawn_run(pid_t *out, const struct spawn *spawn, struct err *err);

#endif
