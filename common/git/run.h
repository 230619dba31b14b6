/* One git command as a child process: the environment and options that keep it from doing anything
 * but what it was asked. */
#ifndef GANTRY_GIT_RUN_H
#define GANTRY_GIT_RUN_H

#include "base/buf.h"
#include "git/git.h"
#include "loop/child.h"

struct git_run;

struct git_run_result {
    bool ok;         /* exit code 0, all output taken */
    bool truncated;  /* more output than out_limit: it was stopped */
    const char *out; /* NUL-terminated; may hold NULs */
    size_t out_len;
    const char *message; /* what it said on standard error, without progress */
    struct err err;      /* !ok: classified from how it ended and what it said */
};

struct git_run_opts {
    const char *git_dir;             /* NULL: none */
    const char *const *args;         /* the command and its arguments, NULL-ended */
    const char *const *config;       /* "key=value", NULL-ended; may be NULL */
    const char *home;                /* NULL: a folder that is not there */
    const struct git_remote *remote; /* for commands that speak to one; may be NULL */
    int64_t timeout_ms;              /* 0: the remote's, or 60 s */
    size_t out_limit;                /* bytes; 0: what it prints is thrown away */
    uint64_t file_limit;             /* bytes a file that it writes; 0: none */
    void (*done)(const struct git_run_result *result, void *arg);
    void *arg;
};
#define GIT_TIMEOUT_MS 60000

int git_run(struct git_run **out, struct loop *loop, const struct git_run_opts *opts,
            struct err *err);
void git_run_stop(struct git_run *run); /* it ends soon, and its callback says so */
/* It ends soon; no callback follows. */
void git_run_drop(struct git_run *run);

/* A copy of its own, whose secret git_remote_release() wipes. */
void git_remote_copy(struct git_remote *out, const struct git_remote *remote);
void git_remote_release(struct git_remote *remote);

/* The environment of every git process, NULL-ended; `auth` (may be NULL) adds to it. */
void git_environment(struct strv *env);
/* Options before the command that every git process gets. */
void git_options(struct strv *args);

#endif
