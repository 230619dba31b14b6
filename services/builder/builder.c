#include "builder.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "build.h"
#include "git/git.h"
#include "log/log.h"

#define DISK_EVERY_MS 10000
#define SLOTS_MAX     1000

/* ---- state ---- */

static void hold(struct builder *b)
{
    executor_hold(b->executor, !b->sandbox_works || b->disk_is_low);
}

static void on_sandbox_state(bool works, const char *reason, void *arg)
{
    struct builder *b = arg;
    if (works != b->sandbox_works || !works)
        svc_ready(b->svc, "sandbox", works, reason);
    if (!works)
        log_error("no build can run", LOG_S("error", reason));
    b->sandbox_works = works;
    if (b->executor)
        hold(b);
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
    b->disk_is_low = low;
    hold(b);
}

/* ---- what image tools find in every sandbox ---- */

static int put_shared(const char *dir, const char *name, const char *text, struct err *err)
{
    char *path = mem_printf("%s/%s", dir, name);
    int rc = file_write(path, text, strlen(text), 0644, err);
    free(path);
    return rc;
}

static int write_shared(struct builder *b, char **out, struct err *err)
{
    char *dir = mem_printf("%s/shared", b->dir);
    struct buf registries;
    buf_init(&registries, 1024 * 1024);
    /* Written as TOML: containers-storage.conf(5), containers-registries.conf(5). */
    for (size_t i = 0; i < b->conf->insecure_registries.count; i++)
        buf_addf(&registries, "[[registry]]\nlocation = \"%s\"\ninsecure = true\n",
                 b->conf->insecure_registries.items[i]);
    int rc = file_mkdirs(dir, 0755, err);
    if (rc == 0)
        rc = put_shared(dir, "storage.conf",
                        "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\n"
                        "graphroot = \"" SANDBOX_BUILD "/.containers\"\n",
                        err);
    if (rc == 0)
        rc = put_shared(dir, "registries.conf", buf_cstr(&registries), err);
    buf_release(&registries);
    *out = dir;
    return rc;
}

/* ---- start ---- */

static int check_settings(const struct builder_conf *conf, struct err *err)
{
    if (!str_eq(conf->network, "host") && !str_eq(conf->network, "none"))
        return err_set(err, ERR_INVALID, "builder.network is '%s', but must be host or none",
                       conf->network);
    if (conf->slots < 0 || conf->slots > SLOTS_MAX)
        return err_set(err, ERR_INVALID, "builder.slots must be 0 to %d", SLOTS_MAX);
    if (conf->processes < 0 || conf->processes > INT32_MAX)
        return err_set(err, ERR_INVALID, "builder.processes must be 0 to %d", INT32_MAX);
    for (size_t i = 0; i < conf->insecure_registries.count; i++) {
        if (strpbrk(conf->insecure_registries.items[i], "\"\\\n"))
            return err_set(err, ERR_INVALID, "builder.insecure-registries: '%s' is no host",
                           conf->insecure_registries.items[i]);
    }
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

static int start_pool(struct builder *b, unsigned slots, struct err *err)
{
    struct strv hide = {0};
    char *shared = NULL;
    char *dir = mem_printf("%s/sandbox", b->dir);
    int rc = write_shared(b, &shared, err);
    strv_add(&hide, b->dir);
    if (b->svc->conf.state_dir)
        strv_add(&hide, b->svc->conf.state_dir);
    if (b->svc->conf.secrets_dir)
        strv_add(&hide, b->svc->conf.secrets_dir);
    for (size_t i = 0; i < b->conf->hide.count; i++)
        strv_add(&hide, b->conf->hide.items[i]);
    const struct sandbox_conf conf = {.dir = dir,
                                      .network = str_eq(b->conf->network, "host"),
                                      .hide = &hide,
                                      .program = b->program,
                                      .shared = shared,
                                      .cgroup = b->conf->cgroup,
                                      .warm = slots,
                                      .on_state = on_sandbox_state,
                                      .arg = b};
    if (rc == 0)
        rc = sandbox_pool_new(&b->pool, b->svc->loop, &conf, err);
    strv_release(&hide);
    free(shared);
    free(dir);
    return rc;
}

static int start_executor(struct builder *b, unsigned slots, struct err *err)
{
    const struct executor_conf conf = {.requests = TOPIC_REQUEST_BUILD,
                                       .results = TOPIC_RESULT_BUILD,
                                       .instance = b->svc->conf.instance_id,
                                       .partitions = (int32_t)b->svc->conf.partitions,
                                       .slots = slots,
                                       .metrics = b->svc->metrics};
    const struct executor_handler handler = {.start = build_start,
                                             .stop = build_stop,
                                             .log_ready = build_log_ready,
                                             .full = on_full,
                                             .arg = b};
    return executor_new(&b->executor, b->svc->loop, b->svc->bus, &conf, &handler, err);
}

static void free_mirror(void *mirror)
{
    git_mirror_free(mirror);
}

int builder_start(struct svc *svc, struct err *err)
{
    struct builder *b = svc->app;
    b->svc = svc;
    if (check_settings(b->conf, err) < 0 || make_state_dir(b, err) < 0 ||
        (b->program = sandbox_open_program(NULL, err)) < 0 ||
        sandbox_become_user(b->conf->user, err) < 0 || check_state_dir(b, err) < 0 ||
        lock_state_dir(b, err) < 0)
        return -1;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned slots = b->conf->slots ? (unsigned)b->conf->slots : cores > 0 ? (unsigned)cores : 1;
    const struct oci_conf oci = {.insecure = &b->conf->insecure_registries,
                                 .ca_file = b->conf->registry_ca};
    b->mirrors = map_new(free_mirror);
    b->registry = oci_client_new(svc->loop, &oci);
    b->disk_timer = loop_timer_new(svc->loop, check_disk, b);
    svc_ready(svc, "sandbox", false, "the first sandbox is not ready yet");
    if (start_pool(b, slots, err) < 0 || start_executor(b, slots, err) < 0)
        return -1;
    svc_note(svc, "sandbox", sandbox_pool_means(b->pool));
    log_info("builder", LOG_I("slots", slots), LOG_S("user", b->conf->user),
             LOG_S("means", sandbox_pool_means(b->pool)));
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
    map_free(b->mirrors);
    oci_client_free(b->registry);
    sandbox_pool_free(b->pool);
    loop_timer_free(b->disk_timer);
    close(b->program);
    close(b->lock);
    free(b->dir);
}
