#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "build/driver.h"
#include "gantry/v1/request.pb-c.h"
#include "sandbox/shell.h"

#define SHARED_FIRST                                                                               \
    SANDBOX_SHARED "/containers" /* docker, useradd: before those that are installed */
#define STORAGE      ".containers"
#define SHARED_CERTS SANDBOX_SHARED "/certs"

struct sandbox_driver {
    struct build_driver base;
    struct loop *loop;
    struct sandbox_pool *pool;
};

struct sandbox_place {
    struct build_place base;
    struct sandbox_driver *driver;
    struct sandbox *box;
    struct shell *shell;
    bool (*output)(const char *data, size_t len, void *arg);
    void (*done)(const struct build_exit *result, void *arg);
    void *arg;
    bool stopping;
    void (*on_usage)(const struct build_usage *usage, void *arg);
    void *usage_arg;
};

static const struct build_driver_ops ops;

static int take(struct build_driver *base, const struct build_wish *wish, struct build_place **out,
                struct err *err)
{
    struct sandbox_driver *driver = (struct sandbox_driver *)base;
    const struct sandbox_limits limits = {.memory_bytes = wish->limits.memory_bytes,
                                          .cpu = wish->limits.cpu,
                                          .processes = wish->limits.processes,
                                          .disk_bytes = wish->limits.disk_bytes,
                                          .free_disk_bytes = wish->limits.free_disk_bytes};
    if (wish->privileged)
        return err_set(err, ERR_INVALID,
                       "'privileged: true' is not supported by the sandbox driver");
    if (wish->image[0])
        return err_set(err, ERR_INVALID,
                       "'build-image: %s': the sandbox driver has no images, its commands see the "
                       "builder's own system; a builder with another driver runs it",
                       wish->image);
    struct sandbox *box = sandbox_take(driver->pool, &limits, err);
    if (!box)
        return -1;
    struct sandbox_place *place = mem_alloc(sizeof(*place));
    place->driver = driver;
    place->box = box;
    place->base = (struct build_place){
        .ops = &ops,
        .dir = sandbox_dir(box),
        .paths = {.build = SANDBOX_BUILD, .src = SANDBOX_SRC, .home = SANDBOX_HOME},
        .image = "gantry/sandbox"};
    *out = &place->base;
    return 0;
}

static void base_env(const struct build_place *base, struct strv *env)
{
    static const char *const names[] = {
        "PATH=" SHARED_FIRST ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
        "/bin:" SANDBOX_SHARED "/bin",
        "HOME=" SANDBOX_HOME,
        "USER=root",
        "LANG=C.UTF-8",
        /* Image tools are root of a user namespace already, and find no engine. */
        "_CONTAINERS_USERNS_CONFIGURED=1",
        "BUILDAH_ISOLATION=chroot",
        "STORAGE_DRIVER=vfs",
        "CONTAINERS_STORAGE_CONF=" SANDBOX_SHARED "/storage.conf",
        "CONTAINERS_REGISTRIES_CONF=" SANDBOX_SHARED "/registries.conf",
        "GANTRY_REGISTRY_CERTS=" SHARED_CERTS,
    };
    (void)base;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        strv_add(env, names[i]);
}

static bool on_output(struct shell *shell, const char *data, size_t len, void *arg)
{
    struct sandbox_place *place = arg;
    (void)shell;
    return place->output(data, len, place->arg);
}

static void on_done(struct shell *shell, const struct shell_exit *result, void *arg)
{
    struct sandbox_place *place = arg;
    (void)shell;
    if (place->stopping)
        return;
    const struct build_exit out = {.code = result->code,
                                   .limit = result->limit,
                                   .refused = result->refused,
                                   .err = result->err};
    place->done(&out, place->arg);
}

static int open_shell(struct build_place *base, const struct build_script *script, struct err *err)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    const struct shell_conf conf = {.program = script->program,
                                    .env = script->env,
                                    .dir = SANDBOX_SRC,
                                    .texts = script->texts,
                                    .users = script->users,
                                    .export = script->export,
                                    .separate = script->separate,
                                    .on_output = on_output,
                                    .on_done = on_done,
                                    .arg = place};
    place->output = script->output;
    place->done = script->done;
    place->arg = script->arg;
    return shell_new(&place->shell, place->driver->loop, place->box, &conf, err);
}

static void run(struct build_place *base, size_t index, bool succeeding)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    shell_run(place->shell, index, succeeding);
}

static void export_variables(struct build_place *base)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    shell_export(place->shell);
}

static int exported(struct build_place *base, struct strv *out, struct err *err)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    return shell_exported(place->shell, out, err);
}

static int read_file(const struct build_place *base, const char *path, size_t limit,
                     struct buf *out, struct err *err)
{
    const struct sandbox_place *place = (const struct sandbox_place *)base;
    return sandbox_read_file(place->box, path, limit, out, err);
}

static void stop(struct build_place *base, int64_t grace_ms, void (*gone)(void *arg), void *arg)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    place->stopping = true;
    sandbox_stop(place->box, grace_ms, gone, arg);
}

static void tell_usage(const struct sandbox_usage *usage, void *arg)
{
    struct sandbox_place *place = arg;
    const struct build_usage out = {.cpu_ms = usage->cpu_ms,
                                    .memory_peak_bytes = usage->memory_peak_bytes};
    place->on_usage(&out, place->usage_arg);
}

static void usage(struct build_place *base,
                  void (*done)(const struct build_usage *usage, void *arg), void *arg)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    place->on_usage = done;
    place->usage_arg = arg;
    sandbox_usage(place->box, tell_usage, place);
}

static void resume(struct build_place *base)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    shell_resume(place->shell);
}

static void drain(struct build_place *base)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    shell_drain(place->shell);
}

static void free_place(struct build_place *base)
{
    struct sandbox_place *place = (struct sandbox_place *)base;
    shell_free(place->shell);
    sandbox_free(place->box, NULL, NULL);
    free(place);
}

static void free_driver(struct build_driver *base)
{
    free(base);
}

static const struct build_driver_ops ops = {
    .name = "sandbox",
    .users = true,
    .why_no_image = "a build has the tools of the builder's machine",
    .why_unprivileged = "docker build and push work without",
    .layers = "build/" STORAGE,
    .take = take,
    .base_env = base_env,
    .open = open_shell,
    .run = run,
    .export_variables = export_variables,
    .exported = exported,
    .read_file = read_file,
    .stop = stop,
    .usage = usage,
    .resume = resume,
    .drain = drain,
    .free = free_place,
    .free_driver = free_driver};

/* ---- what image tools find in every sandbox ---- */

static int put_shared(const char *dir, const char *name, const char *text, mode_t mode,
                      struct err *err)
{
    char *path = mem_printf("%s/%s", dir, name);
    int rc = file_write(path, text, strlen(text), mode, err);
    free(path);
    return rc;
}

/* Written as TOML: containers-storage.conf(5), containers-registries.conf(5). */
static int put_registries(const struct build_shared *shared, struct err *err)
{
    const struct strv *insecure = shared->insecure_registries;
    struct buf text;
    int rc = 0;
    buf_init(&text, 1024 * 1024);
    /* A name without a registry is Docker's: FROM debian. */
    buf_adds(&text, "unqualified-search-registries = [\"docker.io\"]\n");
    for (size_t i = 0; i < insecure->count && rc == 0; i++) {
        const char *host = insecure->items[i];
        if (strpbrk(host, "\"\\\n"))
            rc = err_set(err, ERR_INVALID, "insecure registries: '%s' is no host", host);
        buf_addf(&text, "[[registry]]\nlocation = \"%s\"\ninsecure = true\n", host);
    }
    if (rc == 0)
        rc = put_shared(shared->dir, "registries.conf", buf_cstr(&text), 0644, err);
    buf_release(&text);
    return rc;
}

/* A folder of buildah's --cert-dir: what is in it is added to the system's authorities. */
static int put_certs(const struct build_shared *shared, struct err *err)
{
    struct buf pem;
    char *dir = mem_printf("%s/certs", shared->dir);
    int rc = file_mkdirs(dir, 0755, err);
    if (rc == 0 && !str_empty(shared->registry_ca)) {
        rc = file_read(&pem, shared->registry_ca, 1024 * 1024, err);
        if (rc == 0)
            rc = put_shared(dir, "ca.crt", buf_cstr(&pem), 0644, err);
        buf_release(&pem);
    }
    free(dir);
    return rc;
}

static int put_tools(const struct build_shared *shared, struct err *err)
{
    char *bin = mem_printf("%s/bin", shared->dir);
    int rc = file_mkdirs(bin, 0755, err);
    for (const struct build_tool *tool = build_tools; tool->name && rc == 0; tool++)
        rc = put_shared(bin, tool->name, tool->text, 0755, err);
    free(bin);
    return rc;
}

/* Of /etc the files that tell of users and groups are the build's, but not the folder, in which
 * these programs want to make files: so they work on copies. */
static const char accounts[] =
    "#!/bin/sh\n"
    "set -e\n"
    "copy=$(mktemp -d)\n"
    "trap 'rm -rf \"$copy\"' EXIT\n"
    "homes=" SANDBOX_BUILD "/.homes\n"
    "mkdir -p \"$copy/etc\" \"$homes\"\n"
    "ln -s \"$homes\" \"$copy/home\"\n"
    "cp /etc/passwd /etc/group \"$copy/etc\"\n"
    "[ ! -f /etc/login.defs ] || cp /etc/login.defs \"$copy/etc\"\n"
    "/usr/sbin/\"${0##*/}\" --prefix \"$copy\" \"$@\"\n"
    "cat \"$copy/etc/passwd\" >/etc/passwd\n"
    "cat \"$copy/etc/group\" >/etc/group\n"
    "for home in \"$homes\"/*; do\n"
    "[ ! -d \"$home\" ] || [ -e \"/home/${home##*/}\" ] || ln -s \"$home\" /home/\n"
    "done\n";

static int put_accounts(const struct build_shared *shared, struct err *err)
{
    static const char *const names[] = {"useradd", "usermod", "groupadd"};
    char *dir = mem_printf("%s/containers", shared->dir);
    int rc = file_mkdirs(dir, 0755, err);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && rc == 0; i++)
        rc = put_shared(dir, names[i], accounts, 0755, err);
    free(dir);
    return rc;
}

static int put_docker(const struct build_shared *shared, struct err *err)
{
    char *dir = mem_printf("%s/containers", shared->dir);
    char *docker = mem_printf("%s/docker", dir);
    char *podman = mem_printf("%s/podman", dir);
    int rc = file_mkdirs(dir, 0755, err);
    if (rc == 0)
        rc = sandbox_copy_program(shared->docker, docker, err);
    (void)unlink(podman);
    if (rc == 0 && access("/usr/bin/podman", X_OK) != 0 && symlink("docker", podman) != 0)
        rc = err_errno(err, errno, "cannot make '%s'", podman);
    free(podman);
    free(docker);
    free(dir);
    return rc;
}

int build_sandbox_shared(const struct build_shared *shared, struct err *err)
{
    if (file_mkdirs(shared->dir, 0755, err) < 0 ||
        put_shared(shared->dir, "storage.conf",
                   "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\n"
                   "graphroot = \"" SANDBOX_BUILD "/" STORAGE "\"\n",
                   0644, err) < 0 ||
        put_registries(shared, err) < 0 || put_certs(shared, err) < 0 ||
        put_tools(shared, err) < 0 || put_accounts(shared, err) < 0)
        return -1;
    return put_docker(shared, err);
}

struct build_driver *build_driver_sandbox(struct loop *loop, struct sandbox_pool *pool)
{
    struct sandbox_driver *driver = mem_alloc(sizeof(*driver));
    driver->base.ops = &ops;
    driver->loop = loop;
    driver->pool = pool;
    return &driver->base;
}

void build_driver_free(struct build_driver *driver)
{
    if (driver)
        driver->ops->free_driver(driver);
}
