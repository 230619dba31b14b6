/* DESIGN: limits are those of gantry-<name>, processes are in the group "in" below it. Root of the
 * commands can make a cgroup namespace, mount what is in sight of it and write there: that begins
 * at the group that a process is in, so a build reaches its own group, never the one that limits
 * it. */
#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#define PREFIX     "gantry-"
#define INNER      "in"
#define DEPTH_MAX  32 /* of groups that a build made in its own */
#define PERIOD_US  100000
#define FILE_LIMIT (64 * 1024)

static int put(const char *dir, const char *name, const char *file, const char *value)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s%s/%s", dir, PREFIX, name, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, value, strlen(value));
    int error = errno;
    close(fd);
    errno = error;
    return n < 0 ? -1 : 0;
}

static void kill_members(const char *folder)
{
    char path[768];
    struct buf pids;
    snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
    if (file_read(&pids, path, FILE_LIMIT, NULL) < 0)
        return;
    for (char *p = pids.data; p && *p;) {
        long pid = strtol(p, &p, 10);
        if (pid > 1)
            kill((pid_t)pid, SIGKILL);
        p = strchr(p, '\n');
        p = p ? p + 1 : NULL;
    }
    buf_release(&pids);
}

/* With the groups below it, and (kill) their members ended. 0; -1: something is in it. */
static int remove_group(const char *path, bool kill, unsigned depth)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    DIR *dir = depth < DEPTH_MAX ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        char *below = mem_printf("%s/%s", path, e->d_name);
        (void)remove_group(below, kill, depth + 1);
        free(below);
    }
    if (dir)
        closedir(dir);
    if (kill)
        kill_members(path);
    return rmdir(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* What an earlier process left: its sandboxes died with it, or die now. */
static void sweep(const char *root)
{
    DIR *dir = opendir(root);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[512];
        if (!str_starts(e->d_name, PREFIX))
            continue;
        snprintf(path, sizeof(path), "%s/%s", root, e->d_name);
        for (int i = 0; i < 100 && remove_group(path, true, 0) != 0; i++)
            usleep(10000);
    }
    closedir(dir);
}

static int check(const char *root, struct err *err)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/" PREFIX "probe", root);
    if ((mkdir(path, 0755) != 0 && errno != EEXIST) || rmdir(path) != 0)
        return err_errno(err, errno,
                         "cannot make control groups in '%s'; it must be delegated to "
                         "the builder's user",
                         root);
    sweep(root);
    return 0;
}

static int parse_v1(struct cgroup_root *root, const char *list, struct err *err)
{
    struct strv parts = {0};
    int rc = 0;
    strv_split(&parts, list, ',');
    for (size_t i = 0; i < parts.count && rc == 0; i++) {
        const char *part = parts.items[i];
        char **where = str_starts(part, "memory=/") ? &root->memory
                       : str_starts(part, "pids=/") ? &root->pids
                       : str_starts(part, "cpu=/")  ? &root->cpu
                                                    : NULL;
        if (!where || *where)
            rc = err_set(err, ERR_INVALID, "cgroup: '%s' is none of memory=/…, pids=/…, cpu=/…",
                         part);
        else
            *where = mem_strdup(strchr(part, '/'));
    }
    strv_release(&parts);
    return rc;
}

int cgroup_root_init(struct cgroup_root *root, const char *setting, struct err *err)
{
    *root = (struct cgroup_root){0};
    int rc = 0;
    if (str_empty(setting))
        return 0;
    if (str_starts(setting, "v2:/")) {
        root->v2 = true;
        root->memory = mem_strdup(setting + 3);
        root->pids = mem_strdup(setting + 3);
        root->cpu = mem_strdup(setting + 3);
        rc = check(root->memory, err);
    } else if (str_starts(setting, "v1:")) {
        rc = parse_v1(root, setting + 3, err);
        if (rc == 0 && root->memory)
            rc = check(root->memory, err);
        if (rc == 0 && root->pids)
            rc = check(root->pids, err);
        if (rc == 0 && root->cpu)
            rc = check(root->cpu, err);
    } else {
        rc = err_set(err, ERR_INVALID,
                     "cgroup: '%s' must be v2:/path or v1:memory=/path,pids=/path,cpu=/path",
                     setting);
    }
    if (rc < 0)
        cgroup_root_release(root);
    return rc;
}

void cgroup_root_release(struct cgroup_root *root)
{
    free(root->memory);
    free(root->pids);
    free(root->cpu);
    *root = (struct cgroup_root){0};
}

/* The distinct folders. */
static size_t folders(const struct cgroup_root *root, const char *out[3])
{
    size_t n = 0;
    if (root->memory)
        out[n++] = root->memory;
    if (root->pids && !root->v2)
        out[n++] = root->pids;
    if (root->cpu && !root->v2)
        out[n++] = root->cpu;
    return n;
}

int cgroup_make(const struct cgroup_root *root, const char *name, struct strv *join,
                struct err *err)
{
    const char *dirs[3];
    size_t count = folders(root, dirs);
    for (size_t i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/" PREFIX "%s", dirs[i], name);
        bool made = mkdir(path, 0755) == 0 || errno == EEXIST;
        /* Kernels before 5.11 ask, for version 1, whether a limit is of those below, too. */
        if (made && dirs[i] == root->memory && !root->v2)
            (void)put(root->memory, name, "memory.use_hierarchy", "1");
        snprintf(path, sizeof(path), "%s/" PREFIX "%s/" INNER, dirs[i], name);
        if (!made || (mkdir(path, 0755) != 0 && errno != EEXIST))
            return err_errno(err, errno, "cannot make the control group '%s'", path);
        strv_addf(join, "%s/cgroup.procs", path);
    }
    return 0;
}

static int limit_cpu(const struct cgroup_root *root, const char *name, double cpu)
{
    char text[64];
    long quota = (long)(cpu * PERIOD_US);
    if (root->v2) {
        snprintf(text, sizeof(text), "%ld %d", quota, PERIOD_US);
        return put(root->cpu, name, "cpu.max", text);
    }
    snprintf(text, sizeof(text), "%ld", quota);
    return put(root->cpu, name, "cpu.cfs_quota_us", text);
}

int cgroup_limit(const struct cgroup_root *root, const char *name,
                 const struct sandbox_limits *limits, struct err *err)
{
    char text[32];
    if (root->memory && limits->memory_bytes) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)limits->memory_bytes);
        if (put(root->memory, name, root->v2 ? "memory.max" : "memory.limit_in_bytes", text) < 0)
            return err_errno(err, errno, "cannot limit memory in '%s'", root->memory);
        /* Swap, where it is accounted, counts as memory. */
        (void)put(root->memory, name, root->v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes",
                  root->v2 ? "0" : text);
    }
    if (root->pids && limits->processes) {
        /* bubblewrap and init are in it too. */
        snprintf(text, sizeof(text), "%u", limits->processes + 4 + SANDBOX_PROCESSES_MORE);
        if (put(root->pids, name, "pids.max", text) < 0)
            return err_errno(err, errno, "cannot limit processes in '%s'", root->pids);
    }
    if (root->cpu && limits->cpu > 0 && limit_cpu(root, name, limits->cpu) < 0)
        return err_errno(err, errno, "cannot limit cpu in '%s'", root->cpu);
    return 0;
}

uint64_t cgroup_oom_kills(const struct cgroup_root *root, const char *name)
{
    char path[512];
    struct buf text;
    uint64_t kills = 0;
    if (!root->memory)
        return 0;
    /* Version 1 counts where the process was, version 2 above it, too. */
    snprintf(path, sizeof(path), "%s/" PREFIX "%s/%s", root->memory, name,
             root->v2 ? "memory.events" : INNER "/memory.oom_control");
    if (file_read(&text, path, FILE_LIMIT, NULL) < 0)
        return 0;
    const char *line = strstr(buf_cstr(&text), "oom_kill ");
    if (line)
        kills = strtoull(line + strlen("oom_kill "), NULL, 10);
    buf_release(&text);
    return kills;
}

int cgroup_remove(const struct cgroup_root *root, const char *name)
{
    const char *dirs[3];
    size_t count = folders(root, dirs);
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/" PREFIX "%s", dirs[i], name);
        if (remove_group(path, false, 0) != 0)
            rc = -1;
    }
    return rc;
}
