/* A client of a Docker engine (Engine API 1.25 and later, docs.docker.com/reference/api/engine)
 * over its unix socket: images, containers, their files, and the streams of what runs in one. What
 * the engine answers is bounded and checked. Who may use that socket is root of the engine's
 * machine. Loop thread only. */
#ifndef GANTRY_DOCKER_DOCKER_H
#define GANTRY_DOCKER_DOCKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"

struct docker;
struct docker_call;

struct docker *docker_new(struct loop *loop, const char *socket);
void docker_free(struct docker *docker); /* calls under way end without a callback */
const char *docker_socket(const struct docker *docker);

/* What an answer has; the rest is 0. Valid during the callback. */
struct docker_answer {
    const char *id;            /* of docker_create() */
    const struct strv *ids;    /* of docker_list() */
    int64_t code;              /* of docker_wait(): the exit code; of docker_build(): that of the
                                  step that failed, 0 where it was none */
    uint64_t bytes;            /* of docker_get(): what was written; of docker_size() */
    int64_t cpu_ms;            /* of docker_stats(); 0: not known */
    uint64_t memory_max_bytes; /* likewise: the most at once, where the engine knows (cgroup v1) */
    bool named;                /* of docker_image(): it has a tag, or a digest in a repository */
    int64_t made_ms;           /* likewise: when, Unix ms */
    const char *digest;        /* of docker_push(): sha256:..., NULL where the engine says none */
};
/* `err`: code ERR_NONE, or what the engine said, with its code: ERR_NOT_FOUND (404), ERR_CONFLICT
 * (409), ERR_DENIED (401, 403), ERR_INVALID (other 4xx, or an answer that is none of the engine's),
 * ERR_LIMIT; ERR_UNAVAILABLE and ERR_TIMEOUT: it is away, or not well (5xx). */
typedef void docker_done_fn(const struct docker_answer *answer, const struct err *err, void *arg);

/* Each is answered once, from the loop, also where it could not be begun, unless it is cancelled.
 */
void docker_call_cancel(struct docker_call *call); /* NULL is accepted */

/* Which version of the API to speak; those that are asked before this was answered speak 1.41. */
struct docker_call *docker_version(struct docker *docker, docker_done_fn *done, void *arg);

/* ---- images ---- */

/* Whether the engine has it, and what it knows of it. */
struct docker_call *docker_image(struct docker *docker, const char *image, docker_done_fn *done,
                                 void *arg);
/* A login for the image's registry; NULL: none. */
struct docker_login {
    const char *user, *password, *registry;
};
/* A name without tag and digest is its tag latest. No time limit but that of a registry that is
 * silent for five minutes. */
struct docker_call *docker_pull(struct docker *docker, const char *image,
                                const struct docker_login *login, docker_done_fn *done, void *arg);

/* The image's name there, and the image and what it was made of where nothing else needs that. */
struct docker_call *docker_image_remove(struct docker *docker, const char *image,
                                        docker_done_fn *done, void *arg);

/* What the engine tells of its work, as it comes. False: no more until docker_resume(). */
typedef bool docker_output_fn(const char *data, size_t len, void *arg);

struct docker_build {
    int fd; /* the context: a tar archive of `size` bytes; stays the caller's, open until done */
    uint64_t size;
    const char *dockerfile;            /* a path in it */
    const char *tag;                   /* what the image is called in the engine */
    const char *network;               /* of the engine, that its commands are in */
    uint64_t memory_bytes;             /* of each command; 0: no limit; no swap beside it */
    double cpu;                        /* cores; 0: no limit */
    const struct docker_login *logins; /* of the registries that it may take images from */
    size_t login_count;
    docker_output_fn *output;
};
/* By the engine's own builder, with nothing of earlier builds but the images that it begins with,
 * which are pulled anew where the registry has newer ones. No time limit. A build that fails is
 * ERR_INVALID, with what the engine said; cancelling ends it. */
struct docker_call *docker_build(struct docker *docker, const struct docker_build *build,
                                 docker_done_fn *done, void *arg);
/* Of one tag. What the registry refused is ERR_INVALID, too. Ends when nothing was told for five
 * minutes. */
struct docker_call *docker_push(struct docker *docker, const char *image,
                                const struct docker_login *login, docker_output_fn *output,
                                docker_done_fn *done, void *arg);

/* ---- containers ---- */

struct docker_container {
    const char *name; /* [a-zA-Z0-9][a-zA-Z0-9_.-]+, unique in the engine */
    const char *image;
    const char *const *command; /* NULL-ended; the image's entrypoint does not run */
    const char *const *labels;  /* key=value, NULL-ended */
    const char *network;        /* of the engine: bridge, none ... */
    uint64_t memory_bytes;      /* 0: no limit; no swap beside it */
    double cpu;                 /* cores; 0: no limit */
    uint32_t processes;         /* 0: no limit */
    const char *bind;           /* of the engine's machine: path:path; NULL: none */
};
/* Made, not started: root's, with a standard input that ends with whoever attached, nothing of its
 * output kept by the engine. */
struct docker_call *docker_create(struct docker *docker, const struct docker_container *container,
                                  docker_done_fn *done, void *arg);
struct docker_call *docker_start(struct docker *docker, const char *id, docker_done_fn *done,
                                 void *arg);
/* Answered once it has ended. */
struct docker_call *docker_wait(struct docker *docker, const char *id, docker_done_fn *done,
                                void *arg);
/* SIGTERM to its first process, SIGKILL to all after grace_s; answered when it has ended. */
struct docker_call *docker_stop(struct docker *docker, const char *id, unsigned grace_s,
                                docker_done_fn *done, void *arg);
/* With all that runs in it, and its volumes without a name. */
struct docker_call *docker_remove(struct docker *docker, const char *id, docker_done_fn *done,
                                  void *arg);
/* All that have the label key=value, those that ended among them. */
struct docker_call *docker_list(struct docker *docker, const char *label, docker_done_fn *done,
                                void *arg);
struct docker_call *docker_stats(struct docker *docker, const char *id, docker_done_fn *done,
                                 void *arg);
/* What its files have that are not its image's: their sizes, without those of its volumes. Where
 * the engine has to look at all of them that takes long; ends after ten minutes. */
struct docker_call *docker_size(struct docker *docker, const char *id, docker_done_fn *done,
                                void *arg);
/* The tar archive of `size` bytes in `fd` is unpacked below `path` in it. */
struct docker_call *docker_put(struct docker *docker, const char *id, const char *path, int fd,
                               uint64_t size, docker_done_fn *done, void *arg);
/* The file or folder `path` as a tar archive into `fd`, `limit` bytes at most; its entries begin
 * with the path's last part. */
struct docker_call *docker_get(struct docker *docker, const char *id, const char *path, int fd,
                               uint64_t limit, docker_done_fn *done, void *arg);

/* ---- standard input and output ---- */

struct docker_attach_ops {
    void (*opened)(void *arg); /* from here on docker_send() */
    /* Both outputs as they come. False: no more until docker_resume(). */
    bool (*output)(const char *data, size_t len, void *arg);
    void (*ended)(const struct err *err, void *arg); /* code ERR_NONE: the container's end */
};
/* Before it is started. Cancelling ends the container's standard input. */
struct docker_call *docker_attach(struct docker *docker, const char *id,
                                  const struct docker_attach_ops *ops, void *arg);
int docker_send(struct docker_call *attached, const void *data, size_t len, struct err *err);
void docker_resume(struct docker_call *call); /* that, a build or a push */

#endif
