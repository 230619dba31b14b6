/* Where builds run: the driver that the settings name. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "builder.h"
#include "kubernetes/kubernetes.h"
#include "log/log.h"

#define SLOTS_KUBERNETES 10 /* builds at once: they cost this machine little */

static bool is_docker(const struct builder *b)
{
    return str_eq(b->conf->driver, "docker");
}

static bool is_kubernetes(const struct builder *b)
{
    return str_eq(b->conf->driver, "kubernetes");
}

void driver_state(bool works, const char *reason, void *arg)
{
    struct builder *b = arg;
    if (works != b->driver_works || !works)
        svc_ready(b->svc, b->conf->driver, works, reason);
    if (!works)
        log_error("no build can run", LOG_S("error", reason));
    b->driver_works = works;
    builder_hold(b);
}

/* ---- sandbox ---- */

static void hide(struct strv *paths, const char *path)
{
    if (path && path[0] == '/')
        strv_add(paths, path);
}

/* The settings can have Kafka's password in them. */
static void hide_own(const struct builder *b, struct strv *paths)
{
    char real[PATH_MAX];
    const struct svc_conf *conf = &b->svc->conf;
    if (b->svc->config_file && realpath(b->svc->config_file, real))
        hide(paths, real);
    hide(paths, b->dir);
    hide(paths, conf->state_dir);
    hide(paths, conf->secrets_dir);
    hide(paths, conf->tls_key);
    hide(paths, b->artifacts);
    hide(paths, b->conf->secrets.store_dir);
    for (size_t i = 0; i < b->conf->hide.count; i++)
        hide(paths, b->conf->hide.items[i]);
}

static int start_pool(struct builder *b, unsigned slots, struct err *err)
{
    struct strv hidden = {0};
    char *shared = mem_printf("%s/shared", b->dir);
    char *dir = mem_printf("%s/sandbox", b->dir);
    const struct build_shared tools = {.dir = shared,
                                       .insecure_registries = &b->conf->insecure_registries,
                                       .registry_ca = b->conf->registry_ca,
                                       .docker = b->docker};
    int rc = build_sandbox_shared(&tools, err);
    hide_own(b, &hidden);
    const struct sandbox_conf conf = {.dir = dir,
                                      .network = str_eq(b->conf->network, "host"),
                                      .hide = &hidden,
                                      .program = b->program,
                                      .shared = shared,
                                      .cgroup = b->conf->cgroup,
                                      .warm = slots,
                                      .on_state = driver_state,
                                      .arg = b};
    if (rc == 0)
        rc = sandbox_pool_new(&b->pool, b->svc->loop, &conf, err);
    strv_release(&hidden);
    free(shared);
    free(dir);
    return rc;
}

static int start_sandbox(struct builder *b, unsigned slots, struct err *err)
{
    svc_ready(b->svc, "sandbox", false, "the first sandbox is not ready yet");
    if (start_pool(b, slots, err) < 0)
        return -1;
    b->driver = build_driver_sandbox(b->svc->loop, b->pool);
    b->means = sandbox_pool_means(b->pool);
    svc_note(b->svc, "sandbox", b->means);
    return 0;
}

/* ---- docker ---- */

/* Whoever is in the socket's group may use it; a builder that was root stays in it. */
static int become_user_of_docker(const struct builder *b, struct err *err)
{
    struct stat st;
    const struct docker_conf *docker = &b->conf->docker;
    if (geteuid() != 0)
        return 0;
    if (stat(docker->socket, &st) != 0)
        return err_errno(err, errno, "there is no Docker engine at '%s' (builder.docker-socket)",
                         docker->socket);
    return sandbox_become_user_in(b->conf->user, st.st_gid, err);
}

static int start_docker(struct builder *b, struct err *err)
{
    const struct docker_conf *docker = &b->conf->docker;
    char *dir = mem_printf("%s/docker", b->dir);
    const struct build_docker conf = {.dir = dir,
                                      .socket = docker->socket,
                                      .image = docker->image,
                                      .network = str_eq(b->conf->network, "none") ? "none"
                                                                                  : docker->network,
                                      .privileged = docker->privileged,
                                      .secrets_dir = b->svc->conf.secrets_dir,
                                      .login = b->conf->registry_login,
                                      .on_state = driver_state,
                                      .arg = b};
    svc_ready(b->svc, "docker", false, "the engine has not answered yet");
    int rc = build_driver_docker(&b->driver, b->svc->loop, &conf, err);
    b->means = "the engine's limits of a container";
    free(dir);
    return rc;
}

/* ---- any ---- */

int driver_prepare(struct builder *b, struct err *err)
{
    b->program = b->docker = -1;
    if (is_docker(b))
        return become_user_of_docker(b, err);
    if (!is_kubernetes(b) && ((b->program = sandbox_open_program(NULL, err)) < 0 ||
                              (b->docker = sandbox_open_docker(NULL, err)) < 0))
        return -1;
    return sandbox_become_user(b->conf->user, err);
}

unsigned driver_slots(const struct builder *b)
{
    const long many = is_kubernetes(b) ? SLOTS_KUBERNETES : sysconf(_SC_NPROCESSORS_ONLN);
    return b->conf->slots ? (unsigned)b->conf->slots : many > 0 ? (unsigned)many : 1;
}

int driver_start(struct builder *b, unsigned slots, struct err *err)
{
    if (is_kubernetes(b))
        return kubernetes_start(b, err);
    return is_docker(b) ? start_docker(b, err) : start_sandbox(b, slots, err);
}

void driver_release(struct builder *b)
{
    build_driver_free(b->driver);
    kubernetes_free(b->kubernetes);
    sandbox_pool_free(b->pool);
    if (b->program >= 0)
        close(b->program);
    if (b->docker >= 0)
        close(b->docker);
}
