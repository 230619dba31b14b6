/* The builder: runs builds in sandboxes, containers or Jobs, makes images, reports their digests
 * (docs/builder.md). */
#ifndef GANTRY_SERVICES_BUILDER_BUILDER_H
#define GANTRY_SERVICES_BUILDER_BUILDER_H

#include "base/str.h"
#include "build/build.h"
#include "executor/executor.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "oci/oci.h"
#include "sandbox/sandbox.h"
#include "secrets.h"
#include "store/artifact_store.h"
#include "svc/svc.h"

struct builder_conf {
    char *user;
    char *state_dir;
    char *driver;
    struct docker_conf {
        char *socket, *image, *network;
        bool privileged;
    } docker;
    int64_t slots;
    char *network;
    struct strv insecure_registries;
    char *registry_ca;
    char *registry_login;
    char *layer_cache;
    uint64_t layer_cache_bytes;
    struct signing_conf {
        char *key, *builder_id;
    } signing;
    char *cgroup;
    struct strv hide;
    int64_t processes;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t free_disk_bytes;
    int64_t git_timeout_ms;
    bool trust_file_owner;
    char *artifacts, *artifacts_kms_key;
    int64_t artifacts_keep_ms, logs_keep_ms, cache_keep_ms;
    struct secrets_conf secrets;
    struct kubernetes_settings {
        char *server, *ca_file, *token_file, *namespace;
        char *url, *url_ca;
        char *image, *service_account;
        struct conf_map node_selector;
        int64_t user, start_ms;
    } kubernetes;
};
extern const struct conf_item builder_conf_items[];

/* Of builds that ended, in base units. */
struct usage_metrics {
    struct metric *builds[4]; /* by outcome */
    struct metric *build_seconds, *cpu_seconds, *memory_peak, *bytes_in, *bytes_out;
};

struct builder {
    struct builder_conf *conf;
    struct svc *svc;
    char *dir;   /* all that it keeps on disk */
    int lock;    /* of that folder */
    int program; /* gantry-sandbox, opened; -1: not needed */
    int docker;  /* gantry-docker, likewise */
    struct executor *executor;
    struct build_driver *driver;
    struct sandbox_pool *pool;     /* NULL: the driver needs none */
    struct kubernetes *kubernetes; /* likewise */
    const char *means;             /* by which limits hold */
    struct build_env env;          /* of all builds */
    struct build_layers *layers;
    struct build_signing signing;
    struct secrets *secrets;
    char *artifacts; /* where they are kept */
    struct artifact_store *store;
    struct loop_timer *sweep_timer;
    size_t swept; /* of the kinds of objects */
    struct usage_metrics usage;
    struct loop_timer *disk_timer;
    bool driver_works, disk_is_low;
};

int builder_start(struct svc *svc, struct err *err);
void builder_stop(struct svc *svc);
void builder_release(struct svc *svc);

void builder_hold(struct builder *b); /* or goes on, as its driver and its disk are */

/* ---- driver.c ---- */
/* Before other threads: opens what only root may, and becomes the user for builds. */
int driver_prepare(struct builder *b, struct err *err);
int driver_start(struct builder *b, unsigned slots, struct err *err);
void driver_release(struct builder *b);
unsigned driver_slots(const struct builder *b);
/* Whether builds can run, and why not. */
void driver_state(bool works, const char *reason, void *builder);

/* ---- kubernetes.c ---- */
int kubernetes_check(const struct builder_conf *conf, struct err *err);
int kubernetes_start(struct builder *b, struct err *err);

/* ---- usage.c ---- */
void usage_metrics_init(struct usage_metrics *usage, struct metrics *metrics);
void usage_count(struct usage_metrics *usage, const Gantry__V1__Finished *finished);

/* ---- host.c: a run of the executor as the host of a build ---- */
void host_start(struct executor_run *run, void *builder);
void host_stop(struct executor_run *run, enum executor_stop why, const char *reason, void *builder);
void host_log_ready(struct executor_run *run, void *builder);

#endif
