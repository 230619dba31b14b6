/* Where a build's commands run: the seam between the life of a build (build.h) and the drivers
 * sandbox, docker and kubernetes. A driver is told what a build needs and gives it a place; then,
 * in this order,
 *
 *   take              the place exists, here: a folder `dir` that the builder fills
 *   (the builder)     puts the source and what else the commands shall find below `dir`
 *   open              the folder is full: bring it to where the commands run
 *   run, run, ...     one command after the other, each answered by events.done
 *   export_variables  answered by events.done; then exported() has them
 *   bring             what the commands left is in `dir` again
 *   read_file         ... and is read from there
 *   free
 *
 * `stop` can come at any time between open and free, `free` at any time. Everything is called and
 * calls back on the loop's thread; nothing blocks it. run, export_variables, bring and stop may
 * call back from inside the call (the build, and its place, can be gone when that returns).
 *
 * The folder `dir`, on this machine, has the same parts for every driver; a driver mounts, copies
 * or packs them:
 *
 *   <dir>/build       paths.build inside: the parent of the source, of what a build makes beside it
 *   <dir>/build/src   paths.src:          the source, where the commands begin
 *   <dir>/home        paths.home:         HOME
 *
 * What stands there at open() is there inside. It can hold anything a build wrote: it is read with
 * read_file() only, which follows no link out of it. Files in it can belong to subordinate ids. */
#ifndef GANTRY_BUILD_DRIVER_H
#define GANTRY_BUILD_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

struct Gantry__V1__ActionRequest; /* gantry/v1/request.pb-c.h */

struct build_limits {
    uint64_t memory_bytes;    /* 0: none */
    double cpu;               /* cores; 0: none */
    uint32_t processes;       /* 0: none */
    uint64_t disk_bytes;      /* of the place; 0: none */
    uint64_t free_disk_bytes; /* this machine's rest of disk at which it is ended; 0: none */
};

/* Absolute paths as the commands see them. */
struct build_paths {
    const char *build, *src, *home;
};

/* What a place is asked for; valid during take(). */
struct build_wish {
    struct build_limits limits;
    const char *image; /* that the commands run in; "": the driver's own */
    bool privileged;
    const struct Gantry__V1__ActionRequest *request;
    const char *run_id; /* unique with `attempt`: for names */
    uint32_t attempt;
};

/* How a command ended. */
struct build_exit {
    int code;            /* 0 to 255; 128 + signal when a signal ended the shell */
    const char *limit;   /* the reason when a limit ended it, else NULL; valid during the call */
    const char *failed;  /* of an image that the driver makes: why it cannot be made, else NULL;
                            valid during the call */
    const char *refused; /* why script.users' one cannot be had, so that it did not run, else NULL;
                            valid during the call */
    struct err err;      /* code other than ERR_NONE: the place failed, nothing can run in it; the
                            build is given back to be tried again, here or elsewhere;
                            ERR_INVALID: it would end the same, and fails */
};

/* What the processes of a place took; 0: not known. */
struct build_usage {
    int64_t cpu_ms;
    uint64_t memory_peak_bytes; /* of all of them at once */
};

/* An image that the driver makes; valid during open(). */
struct build_image {
    const char *dockerfile;  /* relative to the source */
    const char *name;        /* repository:tag */
    const char *digest_file; /* relative to `dir`: what was pushed, where that is told */
};

/* All that may be asked to run; valid during open(). */
struct build_script {
    const char *program;       /* the shell, absolute inside: /bin/sh, /bin/bash */
    const struct strv *env;    /* NAME=value, all of it */
    const struct strv *texts;  /* the commands, one shell for all: a `cd` or a variable lasts;
                                  behind those of plan.h up to two that evaluate texts of the
                                  buildspec, asked for before the first and after the last, and
                                  one that tells of runtimes, before those of INSTALL */
    const struct strv *users;  /* of `texts`, who runs each: a name of /etc/passwd inside, as it is
                                  by then; "" is who ran the last one, root at first. A command of
                                  another user runs in a new shell with the exported variables
                                  (HOME and USER are the user's) and the working folder of the old
                                  one. All root, unless ops.users */
    const struct strv *export; /* names that export_variables() asks for; valid identifiers */
    bool separate;             /* each command in a shell of its own, which begins as the first
                                  one began (version 0.1) */
    const struct build_image *image; /* only with ops.images: the first of `texts` makes it, the
                                        second pushes it, and a shell runs neither; else NULL */

    /* What the commands write, in the order they write it, standard output and error as one. False:
     * stop reading until resume(); what is given meanwhile is kept. */
    bool (*output)(const char *data, size_t len, void *arg);
    /* What was asked for ended; all that it wrote was given to `output` before. */
    void (*done)(const struct build_exit *result, void *arg);
    void *arg;
};

struct build_driver_ops;

/* First member of a driver's own structure. */
struct build_driver {
    const struct build_driver_ops *ops;
};

/* First member of a place's own structure. Filled by take(). */
struct build_place {
    const struct build_driver_ops *ops;
    const char *dir; /* on this machine, absolute, the place's own */
    struct build_paths paths;
    const char *image; /* CODEBUILD_BUILD_IMAGE */
};

struct build_driver_ops {
    const char *name; /* sandbox, docker, kubernetes */
    bool users;       /* commands can run as other users than root (script.users) */
    bool images;      /* of places for a `dockerfile:`: the driver makes the image (script.image) */
    /* Why what a build of a batch says about its image, and about being privileged, is left out, as
     * a clause for its log; the wish has it then as the action says. NULL: it is not. */
    const char *why_no_image, *why_unprivileged;
    /* Where below `dir` image tools keep layers, so that a folder put there before open() is what
     * they find, and what they leave can be moved away once no process is left. NULL: elsewhere. */
    const char *layers;

    /* Ready or soon; its folder is there at once, with the parts above, empty. ERR_INVALID: it can
     * never be had (the build fails, with the message); another error: not now. */
    int (*take)(struct build_driver *driver, const struct build_wish *wish,
                struct build_place **out, struct err *err);
    /* Adds what every command finds in its environment: PATH, HOME, what image tools need. Those of
     * the build come after and win. */
    void (*base_env)(const struct build_place *place, struct strv *env);
    /* The source is in its folder. Once for a place; can be slow behind the scenes, run() waits. */
    int (*open)(struct build_place *place, const struct build_script *script, struct err *err);
    /* Runs texts[index]; done() follows. `succeeding` is CODEBUILD_BUILD_SUCCEEDING in it. A
     * command that ends the shell itself ends with its status; the next runs in a new shell with
     * the exported variables and the working folder of the old one. */
    void (*run)(struct build_place *place, size_t index, bool succeeding);
    /* Asks for the values of script.export; done() follows, then exported() adds them as
     * NAME=value, those that are set. */
    void (*export_variables)(struct build_place *place);
    int (*exported)(struct build_place *place, struct strv *out, struct err *err);
    /* Makes what lies inside at these paths (relative to `dir`: build/src/out; files or folders;
     * what is missing is no error) readable below `dir`, at most limit_bytes of it. NULL: it always
     * is. Not while a command runs. */
    int (*bring)(struct build_place *place, const struct strv *paths, uint64_t limit_bytes,
                 void (*done)(const struct err *err, void *arg), void *arg, struct err *err);
    /* Makes what was put below `dir` at these paths since open() there inside. NULL: it always is,
     * or it cannot be. Not while a command runs. */
    int (*send)(struct build_place *place, const struct strv *paths,
                void (*done)(const struct err *err, void *arg), void *arg, struct err *err);
    /* A regular file below `dir`, no link followed out of it, into *out (initialised here).
     * ERR_NOT_FOUND, ERR_LIMIT, ERR_INVALID (no regular file). */
    int (*read_file)(const struct build_place *place, const char *path, size_t limit,
                     struct buf *out, struct err *err);
    /* After open(): SIGTERM to every process, SIGKILL once grace_ms passed; gone() when none is
     * left. No done() follows. */
    void (*stop)(struct build_place *place, int64_t grace_ms, void (*gone)(void *arg), void *arg);
    /* After open(), also after stop() or a limit: done() later, once, and soon. NULL: it is never
     * known. */
    void (*usage)(struct build_place *place,
                  void (*done)(const struct build_usage *usage, void *arg), void *arg);
    void (*resume)(struct build_place *place); /* after output() answered false */
    void (*drain)(struct build_place *place);  /* gives what is left of the output, now */
    /* Ends every process, removes all that the place has, here and there; no callback follows. */
    void (*free)(struct build_place *place);

    void (*free_driver)(struct build_driver *driver); /* after its places */
};

/* At the end of everything: waits a little for what is still being removed. NULL is accepted. */
void build_driver_free(struct build_driver *driver);

/* ---- tools.c ---- */

/* Programs that a driver puts at the end of the commands' PATH, mode 0755; ended by NULL. */
struct build_tool {
    const char *name, *text;
};
extern const struct build_tool build_tools[];

/* ---- place.c ---- */
/* Adds those of the paths that lie in no other of them. */
void build_outermost(const struct strv *paths, struct strv *out);

/* ---- driver_sandbox.c: bubblewrap on this machine (sandbox/sandbox.h) ---- */
struct sandbox_pool;
/* What image tools find in every sandbox. */
struct build_shared {
    const char *dir; /* to be sandbox_conf.shared; made where it is not there */
    const struct strv *insecure_registries; /* spoken to by plain http */
    const char *registry_ca; /* PEM of further authorities of registries; NULL: none */
    int docker;              /* of sandbox_open_docker() */
};
/* Fills the folder: build_tools, vfs storage beside the source, registries, `docker`
 * (buildah/docker.h), and `podman` where there is none. ERR_INVALID: a registry is no host.
 * Blocking. */
int build_sandbox_shared(const struct build_shared *shared, struct err *err);
/* The pool stays the caller's and must live longer. */
struct build_driver *build_driver_sandbox(struct loop *loop, struct sandbox_pool *pool);

/* ---- driver_docker.c: containers of an engine (docker/docker.h) ---- */
struct build_docker {
    const char *dir;     /* absolute; the driver's own: what builds left in it is removed */
    const char *socket;  /* the engine's */
    const char *image;   /* of builds that name none; NULL: those are refused */
    const char *network; /* of the engine, that containers are in */
    bool privileged;     /* whether builds may ask for that */
    const char *secrets_dir, *login; /* to registries, as in oci_conf */
    /* The engine answers, and what builders of this folder left in it is gone; or (reason) not.
     * Told again while it does not. */
    void (*on_state)(bool works, const char *reason, void *arg);
    void *arg;
};
/* All of `conf` is copied. Blocking: removes what is in the folder. */
int build_driver_docker(struct build_driver **out, struct loop *loop,
                        const struct build_docker *conf, struct err *err);

/* ---- driver_kubernetes.c: a Job in a cluster (kubernetes/kubernetes.h) ---- */
struct kubernetes;
struct http_server;
struct build_kubernetes {
    struct loop *loop;
    struct kubernetes *kubernetes; /* the caller's; lives longer, as does the server */
    struct http_server *server;    /* that pods ask at /api/v1/builds/ */
    const char *url;               /* of the server, as pods see it: https://host:port */
    const char *ca_file;           /* PEM: whom pods trust for it; NULL: whom their image does */
    const char *dir;               /* absolute, this builder's own: the builds' folders */
    const char *builder;           /* a label's value, one a builder */
    const char *image;             /* of builds whose action names none; NULL: none */
    const char *service_account;   /* likewise; NULL: the namespace's default, without its token */
    const struct strv *node_selector; /* name=value; likewise */
    int64_t user;                     /* the commands' user id and group id, not 0 */
    int64_t start_ms;                 /* from a Job's making to its first command */
    /* Whether builds can run, and why not; once at first. */
    void (*on_state)(bool works, const char *reason, void *arg);
    void *arg;
};
/* All but `kubernetes` and `server` is copied. Jobs that an earlier run of this builder left are
 * deleted. ERR_INVALID: a setting cannot work. Blocking: start-up. */
int build_driver_kubernetes(struct build_driver **out, const struct build_kubernetes *conf,
                            struct err *err);

#endif
