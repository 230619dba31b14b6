/* What a sandbox sees of the host. */
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "sandbox/internal.h"

#define SMALL_BYTES  "67108864" /* a tmpfs for sockets and locks */
#define SHARED_BYTES "536870912"
#define MASK_BYTES   "4096"

/* These are replaced as a whole, so what lies below them needs no hiding. */
static const char *const replaced[] = {"/home",    "/root", "/run", "/tmp",
                                       "/var/tmp", "/dev",  "/proc"};

const char *const view_accounts[] = {"/etc/passwd", "/etc/group", NULL};

bool view_has_account(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool is_replaced(const char *path)
{
    for (size_t i = 0; i < sizeof(replaced) / sizeof(*replaced); i++) {
        size_t len = strlen(replaced[i]);
        if (strncmp(path, replaced[i], len) == 0 && (path[len] == '/' || path[len] == '\0'))
            return true;
    }
    return false;
}

static void hide(struct sandbox_pool *pool, const char *path)
{
    char real[PATH_MAX];
    struct stat st;
    /* What this user cannot reach, the sandbox cannot either. */
    if (!path || path[0] != '/' || !realpath(path, real) || stat(real, &st) != 0 ||
        str_eq(real, "/") || is_replaced(real))
        return;
    struct strv *list = S_ISDIR(st.st_mode) ? &pool->hide_folders : &pool->hide_files;
    if (!strv_has(list, real))
        strv_add(list, real);
}

void view_init(struct sandbox_pool *pool, const struct strv *paths)
{
    char space[16 * 1024], real[PATH_MAX];
    struct passwd pw, *found = NULL;
    for (size_t i = 0; paths && i < paths->count; i++)
        hide(pool, paths->items[i]);
    hide(pool, pool->dir);
    hide(pool, "/etc/gantry");
    hide(pool, "/var/lib/containers"); /* another's; image tools would ask it for signatures */
    if (getpwuid_r(geteuid(), &pw, space, sizeof(space), &found) == 0 && found)
        hide(pool, found->pw_dir);
    /* Folders before what lies in them, or bubblewrap would look for those in the mask. */
    strv_sort(&pool->hide_folders);
    if (realpath("/etc/resolv.conf", real) && str_starts(real, "/run/"))
        pool->resolv_conf = mem_strdup(real);
}

static bool below(const struct strv *folders, const char *path)
{
    for (size_t i = 0; i < folders->count; i++) {
        size_t len = strlen(folders->items[i]);
        if (strncmp(path, folders->items[i], len) == 0 && path[len] == '/')
            return true;
    }
    return false;
}

static int add_all(struct wire_packet *packet, const char *const *args)
{
    for (; *args; args++) {
        if (wire_add(packet, *args) < 0)
            return -1;
    }
    return 0;
}
#define ADD(...) add_all(packet, (const char *const[]){__VA_ARGS__, NULL})

static int add_bind(struct wire_packet *packet, const char *dir, const char *name,
                    const char *inside)
{
    char source[PATH_MAX];
    snprintf(source, sizeof(source), "%s/%s", dir, name);
    return ADD("--bind", source, inside);
}

static int add_masks(const struct sandbox_pool *pool, struct wire_packet *packet)
{
    int rc = 0;
    for (size_t i = 0; i < pool->hide_folders.count; i++) {
        const char *path = pool->hide_folders.items[i];
        if (!below(&pool->hide_folders, path))
            rc |=
                ADD("--size", MASK_BYTES, "--perms", "0555", "--tmpfs", path, "--remount-ro", path);
    }
    for (size_t i = 0; i < pool->hide_files.count; i++) {
        if (!below(&pool->hide_folders, pool->hide_files.items[i]))
            rc |= ADD("--ro-bind", "/dev/null", pool->hide_files.items[i]);
    }
    return rc;
}

int view_arguments(const struct sandbox_pool *pool, const char *dir, struct wire_packet *packet)
{
    int rc = ADD("bwrap", "--die-with-parent", "--as-pid-1", "--unshare-pid", "--unshare-ipc",
                 "--unshare-uts", "--unshare-cgroup-try", "--hostname", "build", "--chdir", "/");
    if (!pool->network)
        rc |= ADD("--unshare-net");
    rc |= ADD("--ro-bind", "/", "/");
    rc |= add_masks(pool, packet);
    rc |= ADD("--dev", "/dev", "--size", SHARED_BYTES, "--perms", "1777", "--tmpfs", "/dev/shm",
              "--remount-ro", "/dev", "--proc", "/proc");
    rc |= ADD("--size", SMALL_BYTES, "--perms", "0755", "--tmpfs", "/run");
    rc |= ADD("--size", SMALL_BYTES, "--perms", "0755", "--tmpfs", "/home");
    /* Image tools that are root keep what short names stand for there, and fail where they can't.
     */
    if (access("/var/cache", F_OK) == 0)
        rc |= ADD("--size", SMALL_BYTES, "--perms", "0755", "--tmpfs", "/var/cache");
    rc |= add_bind(packet, dir, "build", SANDBOX_BUILD);
    rc |= add_bind(packet, dir, "home", SANDBOX_HOME);
    rc |= add_bind(packet, dir, "tmp", "/tmp");
    rc |= add_bind(packet, dir, "vartmp", "/var/tmp");
    rc |= add_bind(packet, dir, "run", SANDBOX_RUN);
    for (size_t i = 0; view_accounts[i]; i++) {
        if (view_has_account(view_accounts[i]))
            rc |= add_bind(packet, dir, view_accounts[i] + 1, view_accounts[i]);
    }
    if (pool->shared)
        rc |= ADD("--ro-bind", pool->shared, SANDBOX_SHARED);
    if (pool->resolv_conf)
        rc |= ADD("--ro-bind", pool->resolv_conf, pool->resolv_conf);
    rc |= ADD("--ro-bind", pool->program, "/run/gantry-sandbox");
    rc |= ADD("--", "/run/gantry-sandbox", "init");
    return rc;
}

void view_explain(struct err *err, const char *said)
{
    const char *what = "";
    if (strstr(said, "/newroot/proc"))
        what = "; in a container this needs a whole /proc in sight: run it with a volume of type "
               "proc, as docker-compose.yml does, or with --security-opt systempaths=unconfined, "
               "with podman unmask=ALL (docs/security.md names the risk)";
    else if (strstr(said, "CLONE_NEWUSER") || strstr(said, "new namespace"))
        what =
            "; user namespaces are switched off for this process: see sysctl "
            "user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns; in a container run it with "
            "security_opt seccomp=unconfined and apparmor=unconfined (docs/security.md names the "
            "risk)";
    else if (strstr(said, "uidmap") || strstr(said, "gidmap") || strstr(said, "uid range"))
        what = "; newuidmap and newgidmap must be setuid root (package uidmap), or, in a "
               "container, have the file capabilities cap_setuid and cap_setgid, and that "
               "container must not have no-new-privileges set nor drop SETUID and SETGID";
    err_set(err, ERR_UNAVAILABLE, "the sandbox does not start: %.300s%s", said, what);
}
