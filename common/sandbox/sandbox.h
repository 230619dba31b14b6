/* Where commands of builds run (docs/builder.md, driver sandbox): bubblewrap in a user namespace
 * over subordinate ids, with pid, mount, ipc and uts namespaces of its own, a read-only view of the
 * host's root without homes, sockets and what `hide` names, folders of its own, and limits. Never
 * the host's root. Loop thread only.
 *
 * A pool keeps some sandboxes ready; each is used once. Closing one ends every process in it. When
 * this process dies, all of them die; what they left on disk is removed at the next start. */
#ifndef GANTRY_SANDBOX_SANDBOX_H
#define GANTRY_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

/* Where a sandbox's folders are seen inside; on the host they are below sandbox_dir(). */
#define SANDBOX_BUILD  "/home/build"        /* <dir>/build */
#define SANDBOX_SRC    "/home/build/src"    /* <dir>/build/src: the working folder */
#define SANDBOX_HOME   "/root"              /* <dir>/home */
#define SANDBOX_RUN    "/run/gantry"        /* <dir>/run: small files of the builder's own */
#define SANDBOX_SHARED "/run/gantry-shared" /* sandbox_conf.shared, read-only */

/* Privileges: a process started as root becomes `user` for good (its groups too); one that is not
 * stays what it is. Then the user must have a range in /etc/subuid and /etc/subgid; the error says
 * what to run. Before other threads write files. Makes this process undumpable: others of the same
 * user can't read its memory or environment. */
int sandbox_become_user(const char *user, struct err *err);

/* The same, and the process that was root keeps being in `group`. */
int sandbox_become_user_in(const char *user, gid_t group, struct err *err);

/* The program gantry-sandbox at `path`, or (NULL) beside this executable; -1 and *err. Before
 * sandbox_become_user(): it can lie where that user may not go. */
int sandbox_open_program(const char *path, struct err *err);
/* The same of gantry-docker, which sandboxes show as docker (build/driver.h). */
int sandbox_open_docker(const char *path, struct err *err);
/* A copy of one of them at `path`, for a user who may not go where it lies. Blocking. */
int sandbox_copy_program(int program, const char *path, struct err *err);

struct sandbox_limits {
    uint64_t memory_bytes;    /* 0: none */
    double cpu;               /* cores; 0: none */
    uint32_t processes;       /* 0: none */
    uint64_t disk_bytes;      /* of the sandbox's folders; 0: none */
    uint64_t free_disk_bytes; /* the disk's rest at which it is ended; 0: none */
};

struct sandbox_conf {
    const char *dir;         /* absolute; the pool's own: what is in it is removed at the start */
    int program;             /* of sandbox_open_program(); stays the caller's */
    bool network;            /* the host's; false: none but an own loopback */
    const struct strv *hide; /* absolute paths, files or folders */
    const char *shared;      /* a folder that every sandbox sees as SANDBOX_SHARED; NULL: none */
    const char *cgroup; /* "v2:/path" or "v1:memory=/path,pids=/path,cpu=/path"; NULL or "": none */
    unsigned warm;      /* sandboxes kept ready */
    /* It works, or (reason) it does not, and is tried again every 5 s. */
    void (*on_state)(bool works, const char *reason, void *arg);
    void *arg;
};

struct sandbox_pool;
struct sandbox;

int sandbox_pool_new(struct sandbox_pool **out, struct loop *loop, const struct sandbox_conf *conf,
                     struct err *err);
/* Makes no more sandboxes; done() once none is left on disk: those that were taken must be freed
 * by their owners. */
void sandbox_pool_close(struct sandbox_pool *pool, void (*done)(void *arg), void *arg);
/* Ends all sandboxes that are left, without callbacks. */
void sandbox_pool_free(struct sandbox_pool *pool);
/* One sentence: by which means memory, processes, cpu are limited. */
const char *sandbox_pool_means(const struct sandbox_pool *pool);

/* A sandbox, ready or soon. Its folders are there at once: fill them while it gets ready. */
struct sandbox *sandbox_take(struct sandbox_pool *pool, const struct sandbox_limits *limits,
                             struct err *err);
const char *sandbox_dir(const struct sandbox *sandbox);

struct sandbox_exit {
    int code;  /* exit status, or -1 */
    int signo; /* the signal that ended it, or 0 */
    const char
        *limit;     /* the reason when it was ended by a limit, else NULL; valid during the call */
    struct err err; /* code other than ERR_NONE: it could not run at all */
};

/* One process at a time; others may live on in the sandbox. Waits until the sandbox is ready.
 * Everything is copied; the descriptors are sent and stay the caller's to close. `output` becomes
 * standard output and error; `control` and `status` (or -1) become descriptors 8 and 9. */
struct sandbox_exec {
    const char *const *argv; /* argv[0] an absolute path inside */
    const char *const *env;
    const char *cwd;
    int output;
    int control;
    int status;
    void (*on_exit)(struct sandbox *sandbox, const struct sandbox_exit *result, void *arg);
    void *arg;
};
int sandbox_run(struct sandbox *sandbox, const struct sandbox_exec *exec, struct err *err);
/* The reason, valid until the next call, if since that one the kernel ended processes of it for
 * want of the memory that its control group may have; else NULL. */
const char *sandbox_over_memory(struct sandbox *sandbox);

/* SIGTERM to every process; SIGKILL once grace_ms passed. gone() when no process is left. */
void sandbox_stop(struct sandbox *sandbox, int64_t grace_ms, void (*gone)(void *arg), void *arg);

/* What all its processes took so far: known within moments, or never. */
struct sandbox_usage {
    bool known;
    int64_t cpu_ms;
    uint64_t memory_peak_bytes; /* at once, without what they share; sampled every 100 ms */
};
/* done() is called later, once. */
void sandbox_usage(struct sandbox *sandbox,
                   void (*done)(const struct sandbox_usage *usage, void *arg), void *arg);

/* Ends every process and removes its folders; the object is gone at once, done (may be NULL) is
 * called when nothing is left. No other callback follows. */
void sandbox_free(struct sandbox *sandbox, void (*done)(void *arg), void *arg);

/* A tree that sandboxes made, whose files can belong to subordinate ids, so that this process has
 * no way into it. `path` is absolute. done() follows later, once; not after the pool was freed. */
struct sandbox_tree {
    int error;      /* errno; 0: done */
    uint64_t bytes; /* on disk, of a measured one; what cannot be looked at is UINT64_MAX */
};
void sandbox_tree_measure(struct sandbox_pool *pool, const char *path,
                          void (*done)(const struct sandbox_tree *tree, void *arg), void *arg);
void sandbox_tree_remove(struct sandbox_pool *pool, const char *path,
                         void (*done)(const struct sandbox_tree *tree, void *arg), void *arg);

/* A file that the sandbox made, read with no link followed out of its folders: `path` is relative
 * to sandbox_dir(). ERR_NOT_FOUND, ERR_LIMIT, ERR_INVALID (no regular file). */
struct buf;
int sandbox_read_file(const struct sandbox *sandbox, const char *path, size_t limit,
                      struct buf *out, struct err *err);

#endif
