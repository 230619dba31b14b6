/* The builder: runs builds in sandboxes, makes images, reports their digests (docs/builder.md). */
#ifndef GANTRY_SERVICES_BUILDER_BUILDER_H
#define GANTRY_SERVICES_BUILDER_BUILDER_H

#include "base/map.h"
#include "base/str.h"
#include "executor/executor.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "oci/oci.h"
#include "sandbox/sandbox.h"
#include "svc/svc.h"

struct builder_conf {
    char *user;
    char *state_dir;
    int64_t slots;
    char *network;
    struct strv insecure_registries;
    char *registry_ca;
    char *cgroup;
    struct strv hide;
    int64_t processes;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t free_disk_bytes;
    int64_t git_timeout_ms;
    bool trust_file_owner;
};
extern const struct conf_item builder_conf_items[];

struct builder {
    struct builder_conf *conf;
    struct svc *svc;
    char *dir;   /* all that it keeps on disk */
    int lock;    /* of that folder */
    int program; /* gantry-sandbox, opened */
    struct executor *executor;
    struct sandbox_pool *pool;
    struct oci_client *registry;
    struct map *mirrors; /* URL -> struct git_mirror */
    struct loop_timer *disk_timer;
    bool sandbox_works, disk_is_low;
};

int builder_start(struct svc *svc, struct err *err);
void builder_stop(struct svc *svc);
void builder_release(struct svc *svc);

/* ---- source.c ---- */
/* A clean checkout of the revision into the empty folder `dir`; done on the loop. */
struct checkout;
struct checkout *checkout_start(struct builder *builder, const Gantry__V1__Revision *revision,
                                const char *dir, void (*done)(const struct err *err, void *arg),
                                void *arg, struct err *err);

#endif
