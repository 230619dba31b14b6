/* git as a child process with a deadline: GIT_TERMINAL_PROMPT=0, allowed protocols only (https,
 * ssh, file, git, http), no hooks, no user or system configuration, arguments after
 * `--end-of-options`. Callbacks on the loop's thread. Credentials go through GIT_ASKPASS-free
 * means: a credential helper reading our pipe, or GIT_SSH_COMMAND with a key file; never argv,
 * never a URL. */
#ifndef GANTRY_GIT_GIT_H
#define GANTRY_GIT_GIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

struct git_remote {
    const char *url;
    const char *
        secret; /* NULL: none. https: `user:password` or a token alone; ssh: a private key in PEM */
    size_t secret_len;
    int64_t timeout_ms; /* 0: 60 s */
};

/* Checks a remote's URL: protocol allowed, no leading dash, no control characters, no `ext::`. */
int git_url_check(const char *url, struct err *err);
bool git_commit_is_name(const char *s); /* 40 or 64 hex digits */

struct git_ref {
    char name[256]; /* full */
    char commit[65];
};
/* ls-remote of refs/heads and refs/tags; at most 20,000 refs and 8 MiB. */
int git_ls_remote(struct loop *loop, const struct git_remote *remote,
                  void (*done)(const struct git_ref *refs, size_t count, const struct err *err,
                               void *arg),
                  void *arg, struct err *err);

/* One complete bare mirror a repository below `dir`, named by a hash of its URL; fetched by one at
 * a time (a lock file with flock), shared by all who read. */
struct git_mirror;
struct git_mirror *git_mirror_new(struct loop *loop, const char *dir, const char *url);
void git_mirror_free(struct git_mirror *mirror);
const char *git_mirror_path(const struct git_mirror *mirror);
/* Makes it if missing and fetches unless it has `commit` already (NULL or "": always fetches).
 * Requests made while a fetch runs share the next one. */
int git_mirror_update(struct git_mirror *mirror, const struct git_remote *remote,
                      const char *commit, void (*done)(const struct err *err, void *arg), void *arg,
                      struct err *err);

/* What `before`..`after` brings (before empty: `after` alone). */
struct git_range {
    bool forced;        /* before is no ancestor of after */
    bool complete;      /* false: more than 1,000 people, or before is not there */
    char subject[512];  /* first line of after's message, valid UTF-8 */
    struct strv people; /* distinct e-mails, lower case */
};
int git_mirror_range(struct git_mirror *mirror, const char *before, const char *after,
                     void (*done)(const struct git_range *range, const struct err *err, void *arg),
                     void *arg, struct err *err);

/* A clean checkout of exactly `commit` into the empty folder `dir`, without .git history beyond
 * what `git describe` of HEAD's name needs; no hooks, no filters run. */
int git_mirror_checkout(struct git_mirror *mirror, const char *commit, const char *dir,
                        int64_t timeout_ms, void (*done)(const struct err *err, void *arg),
                        void *arg, struct err *err);

#endif
