/* One build, from its request to its result (docs/builder.md): source, buildspec or Dockerfile,
 * phases, commands, exported variables, the image's digest. Knows nothing of Kafka: whoever runs a
 * build is its host (the builder service, `gantry build --local`); where its commands run is a
 * driver's business (driver.h). Loop thread only. */
#ifndef GANTRY_BUILD_BUILD_H
#define GANTRY_BUILD_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "build/driver.h"
#include "loop/loop.h"

struct Gantry__V1__ActionRequest; /* gantry/v1/request.pb-c.h */
struct Gantry__V1__Finished;      /* gantry/v1/result.pb-c.h */
struct Gantry__V1__BatchPlan;     /* gantry/v1/result.pb-c.h */
struct buildspec;                 /* buildspec/buildspec.h */
struct build_sources;
struct artifact_store;
struct oci_client;
struct parameters; /* parameters/parameters.h */
struct build_layers;
struct sandbox_pool; /* sandbox/sandbox.h */

/* How images are signed; must outlive the builds. */
struct build_signing {
    const char *secrets_dir;
    const char *key;        /* the name of a secret (attest/attest.h), read at each build */
    const char *builder_id; /* of the provenance, a URI */
};

/* What is kept for all builds; must outlive them. */
struct build_env {
    struct loop *loop;
    struct build_driver *driver;
    struct build_sources *sources;
    struct oci_client *registry;
    struct artifact_store *artifacts; /* NULL: artifacts, caches and whole logs are not kept */
    struct parameters *parameters;    /* NULL: whoever starts a build gives its secrets */
    const char *aws_region; /* AWS_REGION of the commands, unless they are given another; or NULL */
    const struct build_signing *signing; /* NULL: images are not signed */
    const char *layer_cache; /* of Dockerfiles, in the registry: "image": the image's repository;
                                another word: <image>/<word>; NULL: none */
    struct build_layers *layers; /* those of a pipeline's builds, on this machine; NULL: not kept */
    struct build_limits limits;  /* of every build; memory: where the action asks for none */
};

/* ---- source.c: mirrors of repositories, shared by all builds ---- */

struct build_sources_conf {
    const char *dir;         /* absolute; mirrors, known_hosts and key files below it */
    const char *secrets_dir; /* of the credentials that revisions name; NULL: none */
    const char *ca_file;     /* PEM, of https remotes; NULL: the system's */
    int64_t git_timeout_ms;  /* of one fetch or checkout */
    bool trust_owner;        /* file: repositories may belong to somebody else */
};
struct build_sources *build_sources_new(struct loop *loop, const struct build_sources_conf *conf);
/* What is under way ends without a callback. NULL is accepted. */
void build_sources_free(struct build_sources *sources);

/* ---- layers.c: layers of images, kept on this machine from one build of a pipeline to the next;
 * of drivers that say where image tools have theirs (build_driver_ops.layers) ---- */

struct build_layers_conf {
    const char *dir; /* absolute, its own, on the file system of the places; no build may see it */
    struct sandbox_pool *pool; /* whose ids own what is in them; to be freed before */
    uint64_t bytes_max;        /* of all pipelines; those that were not used for longest go first */
    int64_t keep_ms;           /* not used for so long, they are removed; 0: for ever */
};
/* Blocking. What is in `dir` already is kept on. */
int build_layers_new(struct build_layers **out, struct loop *loop,
                     const struct build_layers_conf *conf, struct err *err);
void build_layers_clear(struct build_layers *layers); /* the disk is full; NULL is accepted */
void build_layers_free(struct build_layers *layers);  /* NULL is accepted */

/* ---- folder.c: a folder of this machine as a source ---- */

struct build_folder {
    uint64_t files, bytes;
    struct strv left_out; /* sockets, devices, pipes; at most 10 of them, relative */
    uint64_t left_out_count;
};
/* Copies the tree `from` into the new folder `to` as a checkout would have it: files 0644 or 0755,
 * folders 0755, symbolic links as they are, nothing named .git; unlike a checkout with the times of
 * their last change, for make. `skip`: folders that are left out (NULL: none), `to` always is. What
 * it makes belongs to `owner` and `group` ((uid_t)-1: this process's). At most 1,000,000 entries
 * and 64 GiB. Blocking. *out is initialised here; release it also after an error. */
int build_folder_copy(const char *from, const char *to, const struct strv *skip, uid_t owner,
                      gid_t group, struct build_folder *out, struct err *err);
void build_folder_release(struct build_folder *folder);

/* ---- batch.c ---- */

/* The builds that the buildspec's batch makes; NULL: it has none. event_free() it. */
struct Gantry__V1__BatchPlan *build_batch_plan(const struct buildspec *spec);

/* ---- whoever runs a build ---- */

struct build_host_ops {
    /* Puts the source into the empty folder `dir` itself and marks what it is; done() follows, not
     * from inside this call, whatever becomes of the build meanwhile. NULL: the request's revision
     * is fetched. */
    int (*source)(void *host, const char *dir, void (*done)(const struct err *err, void *arg),
                  void *arg, struct err *err);
    /* Output of the commands as it came, but for values of secrets, which are masked here and in
     * all else that is told. False: no more until build_resume(); what is given
     * meanwhile is kept. */
    bool (*log)(void *host, const char *data, size_t len);
    /* One line of the builder's own, without a newline: phase marks, notes. */
    void (*mark)(void *host, const char *line);
    void (*progress)(void *host, const char *phase);
    /* The build's end; copy the message. The build is gone after this call. */
    void (*finished)(void *host, const struct Gantry__V1__Finished *finished);
    /* Its end without a result: to be started again as the next attempt, here or elsewhere. `why`:
     * what the machine failed at; NULL: build_stop(BUILD_HANDBACK). The build is gone after. */
    void (*dropped)(void *host, const struct err *why);
};

struct build_host {
    const struct build_host_ops *ops;
    void *data;                                      /* what ops get */
    const struct Gantry__V1__ActionRequest *request; /* valid until the build's end */
    const char *run_id;                              /* valid until the build's end */
    uint32_t attempt;                                /* from 1; the third is not dropped any more */
    int64_t asked_ms;                                /* Unix ms; 0: it never waited */
    int64_t started_ms;                              /* Unix ms */
};

/* ---- a build ---- */

struct build;

enum build_stop {
    BUILD_CANCEL = 1, /* finished(OUTCOME_STOPPED) follows */
    BUILD_HANDBACK    /* dropped() follows */
};

/* Nothing happens yet: the host may note it down. */
struct build *build_new(const struct build_env *env, const struct build_host *host);
/* Ends with finished() or dropped(), from inside this call or later. */
void build_begin(struct build *build);
/* SIGTERM, 10 s later SIGKILL to the whole tree; the end follows, perhaps from inside this call. A
 * second call changes nothing. `reason`: NULL or "" for a general one. Not from inside what the
 * build calls of its host. */
void build_stop(struct build *build, enum build_stop why, const char *reason);
void build_resume(struct build *build); /* log() answered false and takes more now */

#endif
