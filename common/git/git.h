/* git as a child process with a deadline: GIT_TERMINAL_PROMPT=0, allowed protocols only (https,
 * ssh, file, git, http), no hooks, no user or system configuration, arguments after
 * `--end-of-options`. Functions are called and call back on the loop's thread. Credentials are
 * never in argv, the environment or a URL: https reads them through a credential helper from a
 * memory file that git inherits, ssh from a key file that only this user may read and that lives as
 * long as the git process. */
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
    /* ssh: a folder of the service's own, for known_hosts (a host's key is taken at first sight and
     * must stay the same) and key files. NULL: the host must be in /etc/ssh/ssh_known_hosts. */
    const char *ssh_dir;
    /* https: a PEM file of authorities to trust beside the system's. NULL: what GIT_SSL_CAINFO in
     * the service's environment names, if anything. */
    const char *ca_file;
    /* file: the repository may belong to another user than this process runs as. git refuses that
     * by default, since the owner decides what runs when it is read. */
    bool trust_owner;
};

/* What git is told where a server asks who it is. */
struct git_login {
    char *server; /* https://host[:port], in lower case: to no other it is told */
    char *user, *password;
};
/* ERR_NOT_FOUND: the remote has none; ERR_CONFLICT: its secret is an ssh key; ERR_INVALID,
 * ERR_LIMIT: it is no login. */
int git_login_read(struct git_login *out, const struct git_remote *remote, struct err *err);
void git_login_release(struct git_login *login); /* wipes; also one that is all zero */

/* Checks a remote's URL: protocol allowed, no leading dash, no control characters, no `ext::`, no
 * password in it. */
int git_url_check(const char *url, struct err *err);
/* One spelling for the URLs of one repository, to compare those that a forge names with those of
 * pipelines: scheme, user and default port dropped, host in lower case, no `.git` or slash at the
 * end; `git@host:a/b.git` and `https://host/a/b` are equal. The caller frees; NULL: no URL. */
char *git_url_identity(const char *url);
bool git_commit_is_name(const char *s); /* 40 or 64 hex digits in lower case */

struct git_ref {
    char name[256];  /* full */
    char commit[65]; /* an annotated tag's is that of the commit it names */
};
enum git_ref_kind {
    GIT_BRANCHES = 1, /* refs/heads/... */
    GIT_TAGS = 2,     /* refs/tags/... */
    /* refs/pull/N/head and refs/merge-requests/N/head. The server is then asked for all its refs:
     * git can ask it for a beginning of their names only. */
    GIT_PULL_REQUESTS = 4
};
/* ls-remote of some kinds of refs (or-ed); at most 20,000 refs and 8 MiB. Errors: ERR_DENIED,
 * ERR_NOT_FOUND, ERR_TIMEOUT, ERR_UNAVAILABLE (anything else that the remote said), ERR_LIMIT. */
int git_ls_remote(struct loop *loop, const struct git_remote *remote, unsigned kinds,
                  void (*done)(const struct git_ref *refs, size_t count, const struct err *err,
                               void *arg),
                  void *arg, struct err *err);

/* One complete bare mirror a repository below `dir`, named by a hash of its URL; fetched by one at
 * a time (a lock file with flock), shared by all who read. `dir` is made when needed. Whoever opens
 * a mirror reads all that anybody's secret fetched into it: give each secret's name a `dir` of its
 * own. */
struct git_mirror;
struct git_mirror *git_mirror_new(struct loop *loop, const char *dir, const char *url);
/* One that is not complete: of each commit that it is updated to it has `depth` commits back. Where
 * the remote gives no commit by its name, it becomes complete. Mirrors of different depths are
 * different mirrors; 0 is git_mirror_new(). */
struct git_mirror *git_mirror_new_shallow(struct loop *loop, const char *dir, const char *url,
                                          uint32_t depth);
/* Ends what runs; no callback follows. NULL is accepted. */
void git_mirror_free(struct git_mirror *mirror);
const char *git_mirror_path(const struct git_mirror *mirror);
/* Makes it if missing, again if it is broken, and fetches unless it has `commit` already (NULL or
 * "": always fetches). A commit that no branch or tag reaches is asked for by its name.
 * Requests made while a fetch runs share the next one. ERR_NOT_FOUND: no such repository, or it
 * does not have the commit. */
int git_mirror_update(struct git_mirror *mirror, const struct git_remote *remote,
                      const char *commit, void (*done)(const struct err *err, void *arg), void *arg,
                      struct err *err);

/* What `before`..`after` brings (before empty: `after` alone). */
struct git_range {
    bool forced;         /* before is no ancestor of after */
    bool complete;       /* false: more than 1,000 people, one without a usable e-mail, or before is
                            not there */
    char subject[512];   /* first line of after's message, valid UTF-8 */
    const char *message; /* all of after's message, at most 64 KiB of valid UTF-8 */
    struct strv people; /* distinct e-mails of authors and committers, lower case; after's always */
};
int git_mirror_range(struct git_mirror *mirror, const char *before, const char *after,
                     void (*done)(const struct git_range *range, const struct err *err, void *arg),
                     void *arg, struct err *err);

/* What differs between two commits as a whole, whatever happened in between; a file that was
 * renamed is there under both names. */
struct git_paths {
    struct strv paths; /* relative to the root, valid UTF-8 */
    bool complete;     /* false: more than 1,000 or 64 KiB of them, one that is no UTF-8, or a
                          commit is not there: then `paths` are some of them, or none */
};
int git_mirror_paths(struct git_mirror *mirror, const char *before, const char *after,
                     void (*done)(const struct git_paths *paths, void *arg), void *arg,
                     struct err *err);

/* A clean checkout of exactly `commit` into the empty folder `dir`: files 0644 or 0755, folders
 * 0755, symbolic links as they are, an empty folder for a submodule, no .git. The bytes are those
 * that were committed: no hooks, filters or attributes. A tree that git itself would refuse to
 * check out (`..`, `.git`, two entries of one name) is ERR_INVALID. ERR_UNAVAILABLE: the mirror
 * turned out to be broken; git_mirror_update() makes it again. What was written before an error
 * stays. */
int git_mirror_checkout(struct git_mirror *mirror, const char *commit, const char *dir,
                        int64_t timeout_ms, void (*done)(const struct err *err, void *arg),
                        void *arg, struct err *err);

#endif
