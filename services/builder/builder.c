#include "builder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "aws/aws.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "log/log.h"

#define DISK_EVERY_MS 10000
#define SLOTS_MAX     1000

#define SWEEP_FIRST_MS 10000
#define SWEEP_EVERY_MS (60 * 60 * 1000)

/* ---- state ---- */

void builder_hold(struct builder *b)
{
    if (b->executor)
        executor_hold(b->executor, !b->driver_works || b->disk_is_low);
}

static void on_full(bool full, const char *reason, void *arg)
{
    struct builder *b = arg;
    svc_note(b->svc, "queue", full ? reason : NULL);
}

static void check_disk(void *arg)
{
    struct builder *b = arg;
    struct statvfs fs;
    char reason[160];
    loop_timer_arm(b->disk_timer, DISK_EVERY_MS);
    if (statvfs(b->dir, &fs) != 0)
        return;
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    bool low = left < b->conf->free_disk_bytes;
    snprintf(reason, sizeof(reason), "no build is started: %llu MiB of disk are left in '%s'",
             (unsigned long long)(left >> 20), b->dir);
    if (low != b->disk_is_low || low)
        svc_ready(b->svc, "disk", !low, low ? reason : NULL);
    if (low)
        build_layers_clear(b->layers);
    b->disk_is_low = low;
    builder_hold(b);
}

/* ---- start ---- */

static int check_settings(const struct builder_conf *conf, struct err *err)
{
    const bool is_kubernetes = str_eq(conf->driver, "kubernetes");
    if (!str_eq(conf->driver, "sandbox") && !str_eq(conf->driver, "docker") && !is_kubernetes)
        return err_set(err, ERR_INVALID,
                       "builder.driver is '%s', but must be sandbox, docker or kubernetes",
                       conf->driver);
    if (is_kubernetes && kubernetes_check(conf, err) < 0)
        return -1;
    if (conf->docker.socket[0] != '/')
        return err_set(err, ERR_INVALID,
                       "builder.docker-socket is '%s', but must be the absolute path of a unix "
                       "socket",
                       conf->docker.socket);
    if (!str_eq(conf->network, "host") && !str_eq(conf->network, "none"))
        return err_set(err, ERR_INVALID, "builder.network is '%s', but must be host or none",
                       conf->network);
    if (conf->slots < 0 || conf->slots > SLOTS_MAX)
        return err_set(err, ERR_INVALID, "builder.slots must be 0 to %d", SLOTS_MAX);
    if (str_eq(conf->layer_cache, "local") && !str_eq(conf->driver, "sandbox"))
        return err_set(err, ERR_INVALID,
                       "builder.layer-cache: 'local' keeps layers of builds in sandboxes, and "
                       "builder.driver is '%s': use off, image or a name",
                       conf->driver);
    if (!str_eq(conf->layer_cache, "off") && !str_is_name(conf->layer_cache))
        return err_set(
            err, ERR_INVALID,
            "builder.layer-cache is '%s', but must be off, local, image, or a name of lower-case "
            "letters and digits",
            conf->layer_cache);
    if (conf->processes < 0 || conf->processes > INT32_MAX)
        return err_set(err, ERR_INVALID, "builder.processes must be 0 to %d", INT32_MAX);
    return 0;
}

/* Two builders in one folder would remove each other's sandboxes. */
static int lock_state_dir(struct builder *b, struct err *err)
{
    char *path = mem_printf("%s/lock", b->dir);
    b->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = 0;
    if (b->lock < 0)
        rc = err_errno(err, errno, "cannot open '%s'", path);
    else if (flock(b->lock, LOCK_EX | LOCK_NB) != 0)
        rc = err_set(err, ERR_CONFLICT,
                     "another builder uses '%s'; give this one a folder of its own with "
                     "builder.state-dir",
                     b->dir);
    free(path);
    return rc;
}

/* While it is still root, if it is. */
static int make_state_dir(struct builder *b, struct err *err)
{
    struct passwd *pw = NULL;
    b->dir = str_empty(b->conf->state_dir) ? mem_printf("%s/builder", b->svc->conf.state_dir)
                                           : mem_strdup(b->conf->state_dir);
    if (file_mkdirs(b->dir, 0700, err) < 0)
        return -1;
    if (geteuid() == 0 && (pw = getpwnam(b->conf->user)) &&
        chown(b->dir, pw->pw_uid, pw->pw_gid) != 0)
        return err_errno(err, errno, "cannot give '%s' to the user '%s'", b->dir, b->conf->user);
    return 0;
}

static int check_state_dir(const struct builder *b, struct err *err)
{
    char real[4096];
    if (b->dir[0] == '/' && realpath(b->dir, real) && access(b->dir, R_OK | W_OK | X_OK) == 0)
        return 0;
    return err_set(err, ERR_INVALID,
                   "'%s' can't be used by the user '%s' (user id %u): every folder above it must "
                   "let that user through; or name another with builder.state-dir",
                   b->dir, b->conf->user, (unsigned)geteuid());
}

static int start_executor(struct builder *b, unsigned slots, struct err *err)
{
    const struct executor_conf conf = {.requests = TOPIC_REQUEST_BUILD,
                                       .results = TOPIC_RESULT_BUILD,
                                       .instance = b->svc->conf.instance_id,
                                       .partitions = (int32_t)b->svc->conf.partitions,
                                       .slots = slots,
                                       .metrics = b->svc->metrics};
    const struct executor_handler handler = {.start = host_start,
                                             .stop = host_stop,
                                             .log_ready = host_log_ready,
                                             .full = on_full,
                                             .arg = b};
    return executor_new(&b->executor, b->svc->loop, b->svc->bus, &conf, &handler, err);
}

/* ---- the artifact store ---- */

static void sweep_next(struct builder *b);

static void on_swept(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    if (err->code != ERR_NONE)
        log_warn("the artifact store cannot be swept", LOG_E(err));
    else if (answer->count)
        log_info("removed what was kept long enough", LOG_I("objects", answer->count));
    sweep_next(arg);
}

/* Artifacts, logs, caches, one after the other; then all again an hour later. */
static void sweep_next(struct builder *b)
{
    const struct {
        const char *prefix;
        int64_t keep_ms;
    } kinds[] = {{"artifacts/", b->conf->artifacts_keep_ms},
                 {"logs/", b->conf->logs_keep_ms},
                 {"cache/", b->conf->cache_keep_ms}};
    while (b->swept < 3 && kinds[b->swept].keep_ms == 0)
        b->swept++;
    if (b->swept == 3) {
        loop_timer_arm(b->sweep_timer, SWEEP_EVERY_MS);
        return;
    }
    int64_t before = clock_now_ms() - kinds[b->swept].keep_ms;
    artifact_sweep(b->store, kinds[b->swept++].prefix, before, on_swept, b);
}

static void sweep_all(void *arg)
{
    struct builder *b = arg;
    b->swept = 0;
    sweep_next(b);
}

static int start_artifacts(struct builder *b, struct err *err)
{
    b->artifacts = str_empty(b->conf->artifacts) ? mem_printf("%s/artifacts", b->dir)
                                                 : mem_strdup(b->conf->artifacts);
    const struct artifact_store_conf conf = {.loop = b->svc->loop,
                                             .where = b->artifacts,
                                             .aws = b->secrets->aws,
                                             .kms_key = b->conf->artifacts_kms_key};
    if (artifact_store_new(&b->store, &conf, err) < 0)
        return err_wrap(err, "builder.artifacts");
    b->sweep_timer = loop_timer_new(b->svc->loop, sweep_all, b);
    loop_timer_arm(b->sweep_timer, SWEEP_FIRST_MS);
    return 0;
}

static int start_layers(struct builder *b, struct err *err)
{
    char *dir = mem_printf("%s/layers", b->dir);
    const struct build_layers_conf conf = {.dir = dir,
                                           .pool = b->pool,
                                           .bytes_max = b->conf->layer_cache_bytes,
                                           .keep_ms = b->conf->cache_keep_ms};
    int rc = str_eq(b->conf->layer_cache, "local")
                 ? build_layers_new(&b->layers, b->svc->loop, &conf, err)
                 : 0;
    free(dir);
    return rc;
}

/* Of the registry's; NULL: none. */
static const char *remote_layers(const struct builder_conf *conf)
{
    const char *where = conf->layer_cache;
    return str_eq(where, "off") || str_eq(where, "local") ? NULL : where;
}

/* What all builds share; the driver is there. */
static void make_env(struct builder *b)
{
    const struct builder_conf *conf = b->conf;
    const struct oci_conf oci = {.insecure = &conf->insecure_registries,
                                 .ca_file = conf->registry_ca,
                                 .secrets_dir = b->svc->conf.secrets_dir,
                                 .login = conf->registry_login};
    const struct build_sources_conf sources = {.dir = b->dir,
                                               .secrets_dir = b->svc->conf.secrets_dir,
                                               .ca_file = b->svc->conf.git_ca,
                                               .git_timeout_ms = conf->git_timeout_ms,
                                               .trust_owner = conf->trust_file_owner};
    b->signing = (struct build_signing){.secrets_dir = b->svc->conf.secrets_dir,
                                        .key = conf->signing.key,
                                        .builder_id = conf->signing.builder_id};
    const struct aws *aws = b->secrets->aws;
    b->env = (struct build_env){.loop = b->svc->loop,
                                .driver = b->driver,
                                .sources = build_sources_new(b->svc->loop, &sources),
                                .registry = oci_client_new(b->svc->loop, &oci),
                                .artifacts = b->store,
                                .parameters = b->secrets->parameters,
                                .aws_region = aws ? aws_region(aws) : NULL,
                                .signing = str_empty(conf->signing.key) ? NULL : &b->signing,
                                .layer_cache = remote_layers(conf),
                                .layers = b->layers,
                                .limits = {.memory_bytes = conf->memory_bytes,
                                           .processes = (uint32_t)conf->processes,
                                           .disk_bytes = conf->disk_bytes,
                                           .free_disk_bytes = conf->free_disk_bytes}};
}

int builder_start(struct svc *svc, struct err *err)
{
    struct builder *b = svc->app;
    b->svc = svc;
    if (check_settings(b->conf, err) < 0 || make_state_dir(b, err) < 0 ||
        driver_prepare(b, err) < 0 || check_state_dir(b, err) < 0 || lock_state_dir(b, err) < 0)
        return -1;
    const unsigned slots = driver_slots(b);
    b->disk_timer = loop_timer_new(svc->loop, check_disk, b);
    if (secrets_new(&b->secrets, svc, &b->conf->secrets, b->dir, err) < 0 ||
        start_artifacts(b, err) < 0 || driver_start(b, slots, err) < 0 || start_layers(b, err) < 0)
        return -1;
    make_env(b);
    usage_metrics_init(&b->usage, svc->metrics);
    if (start_executor(b, slots, err) < 0)
        return -1;
    log_info("builder", LOG_I("slots", slots), LOG_S("user", b->conf->user),
             LOG_S("driver", b->conf->driver), LOG_S("means", b->means));
    check_disk(b);
    return 0;
}

/* ---- stop ---- */

static void on_stopped(void *arg)
{
    struct builder *b = arg;
    svc_stopped(b->svc);
}

void builder_stop(struct svc *svc)
{
    struct builder *b = svc->app;
    executor_stop(b->executor, on_stopped, b);
}

void builder_release(struct svc *svc)
{
    struct builder *b = svc->app;
    executor_free(b->executor);
    build_sources_free(b->env.sources);
    oci_client_free(b->env.registry);
    driver_release(b);
    build_layers_free(b->layers);
    loop_timer_free(b->sweep_timer);
    artifact_store_free(b->store);
    secrets_free(b->secrets);
    loop_timer_free(b->disk_timer);
    close(b->lock);
    free(b->artifacts);
    free(b->dir);
}
