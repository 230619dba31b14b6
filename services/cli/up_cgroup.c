#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "services/cli/up_internal.h"

/* Linux Documentation/admin-guide/cgroup-v2.rst ("Delegation", "No Internal Process Constraint")
 * and cgroup-v1/. In v2 the builder itself lives in a leaf of the delegated group, beside the
 * groups that it makes for builds: who moves a process must be allowed to write in what both have
 * above them. A supervisor that its manager gave a group of its own (systemd, CGROUP_DELEGATION.md)
 * is a process within it, and goes to a leaf beside that, with the other services. */

#define PREFIX      "gantry-up-" /* and the supervisor's pid */
#define LEAF        "service"
#define OWN_LEAF    "supervisor"
#define ENABLE      "+memory +pids +cpu"
#define DISABLE     "-memory -pids -cpu"
#define PROC_MAX    (1024 * 1024)
#define REMOVE_WAIT 100 /* times 10 ms */

struct mount {
    char *v2;
    char *v1[3];
};
static const char *const controllers[3] = {"memory", "pids", "cpu"};

static int put(const char *folder, const char *file, const char *text)
{
    char *path = mem_printf("%s/%s", folder, file);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    int rc = -1;

    if (fd >= 0) {
        rc = write(fd, text, strlen(text)) < 0 ? -1 : 0;
        const int why = errno;
        close(fd);
        errno = why;
    }
    free(path);
    return rc;
}

/* True if a list separated by `sep` has the word. */
static bool list_has(const char *list, char sep, const char *word)
{
    struct strv words = {0};

    strv_split(&words, list, sep);
    const bool has = strv_has(&words, word);
    strv_release(&words);
    return has;
}

/* ---- where ---- */

static void find_mount(struct mount *mount, char *line)
{
    char *rest = NULL;
    strtok_r(line, " ", &rest);
    const char *path = strtok_r(NULL, " ", &rest);
    const char *type = strtok_r(NULL, " ", &rest);
    const char *options = strtok_r(NULL, " ", &rest);

    if (!options)
        return;
    if (str_eq(type, "cgroup2") && !mount->v2)
        mount->v2 = mem_strdup(path);
    for (size_t i = 0; i < 3; i++) {
        if (str_eq(type, "cgroup") && !mount->v1[i] && list_has(options, ',', controllers[i]))
            mount->v1[i] = mem_strdup(path);
    }
}

/* Appends this process's own group to the mount points: a line is `number:controllers:path`. */
static void add_own_group(struct mount *mount, char *line)
{
    char *names = strchr(line, ':');
    char *path = names ? strchr(names + 1, ':') : NULL;

    if (!path)
        return;
    *names++ = '\0';
    *path++ = '\0';
    char **where = NULL;
    if (str_eq(line, "0") && !*names)
        where = &mount->v2;
    for (size_t i = 0; i < 3; i++) {
        where = *names && list_has(names, ',', controllers[i]) ? &mount->v1[i] : where;
        if (!where || !*where || str_eq(path, "/"))
            continue;
        char *own = mem_printf("%s%s", *where, path);
        /* Within a namespace the path may not be there: then the mount's own root is it. */
        if (access(own, F_OK) == 0) {
            free(*where);
            *where = own;
        } else {
            free(own);
        }
        where = NULL;
    }
}

static void each_line(struct mount *mount, const char *file, void (*fn)(struct mount *, char *))
{
    struct strv lines = {0};
    struct buf text;

    if (file_read(&text, file, PROC_MAX, NULL) == 0)
        strv_split(&lines, buf_cstr(&text), '\n');
    for (size_t i = 0; i < lines.count; i++)
        fn(mount, lines.items[i]);
    strv_release(&lines);
    buf_release(&text);
}

/* ---- removing ---- */

static void remove_groups(const char *folder)
{
    DIR *dir = opendir(folder);

    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        char *path = mem_printf("%s/%s", folder, entry->d_name);
        remove_groups(path);
        free(path);
    }
    closedir(dir);
    /* The last processes may still be on their way out. */
    for (int i = 0; i < REMOVE_WAIT && rmdir(folder) != 0 && errno == EBUSY; i++)
        usleep(10000);
}

/* What a supervisor left that was killed. */
static void sweep(const char *parent)
{
    DIR *dir = opendir(parent);
    int64_t pid;

    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (!str_starts(entry->d_name, PREFIX) ||
            str_to_i64(entry->d_name + strlen(PREFIX), &pid) != 0 || kill((pid_t)pid, 0) == 0 ||
            errno != ESRCH)
            continue;
        char *path = mem_printf("%s/%s", parent, entry->d_name);
        remove_groups(path);
        free(path);
    }
    closedir(dir);
}

/* ---- making ---- */

static int give(const char *folder, const char *file, const struct passwd *user)
{
    char *path = file ? mem_printf("%s/%s", folder, file) : mem_strdup(folder);
    const int rc = chown(path, user->pw_uid, user->pw_gid);

    free(path);
    return rc;
}

static char *make_group(struct up_cgroup *cgroup, const char *parent, struct err *err)
{
    char *path = mem_printf("%s/" PREFIX "%d", parent, (int)getpid());

    sweep(parent);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        err_errno(err, errno, "cannot make '%s'", path);
        free(path);
        return NULL;
    }
    strv_add(&cgroup->folders, path);
    return path;
}

/* Whether nobody else counts on the group as it is. */
static int check_own(const char *parent, struct err *err)
{
    char *path = mem_printf("%s/cgroup.procs", parent);
    char *own = mem_printf("%d\n", (int)getpid());
    struct buf text;
    char delegated = '0';
    int rc = 0;

    if (file_read(&text, path, PROC_MAX, NULL) != 0 || !str_eq(buf_cstr(&text), own))
        rc = err_set(err, ERR_DENIED, "others run in '%s', too; a systemd unit has one of its own",
                     parent);
    else if (access("/run/systemd/system", F_OK) == 0 &&
             (getxattr(parent, "trusted.delegate", &delegated, 1) != 1 || delegated != '1'))
        rc = err_set(err, ERR_DENIED, "'%s' is not delegated; a systemd unit needs Delegate=yes",
                     parent);
    buf_release(&text);
    free(own);
    free(path);
    return rc;
}

static int enter_own_leaf(struct up_cgroup *cgroup, const char *parent, struct err *err)
{
    char *leaf = mem_printf("%s/" OWN_LEAF, parent);
    int rc = check_own(parent, err);

    if (rc == 0 &&
        ((mkdir(leaf, 0755) != 0 && errno != EEXIST) || put(leaf, "cgroup.procs", "0") != 0)) {
        rc = err_errno(err, errno, "cannot enter '%s'", leaf);
        (void)rmdir(leaf);
    }
    if (rc == 0)
        cgroup->left = mem_strdup(parent);
    free(leaf);
    return rc;
}

static void leave_own_leaf(struct up_cgroup *cgroup)
{
    if (!cgroup->left)
        return;
    char *leaf = mem_printf("%s/" OWN_LEAF, cgroup->left);
    if (put(cgroup->left, "cgroup.subtree_control", DISABLE) == 0 &&
        put(cgroup->left, "cgroup.procs", "0") == 0)
        (void)rmdir(leaf);
    free(leaf);
    free(cgroup->left);
    cgroup->left = NULL;
}

static int make_v2(struct up_cgroup *cgroup, const char *parent, const struct passwd *user,
                   struct err *err)
{
    char *path = NULL, *leaf = NULL, *procs = NULL;
    int rc = put(parent, "cgroup.subtree_control", ENABLE);

    if (rc != 0 && errno == EBUSY) {
        if (enter_own_leaf(cgroup, parent, err) != 0)
            return -1;
        rc = put(parent, "cgroup.subtree_control", ENABLE);
    }
    if (rc != 0)
        return err_errno(err, errno, "'%s' does not pass memory, pids and cpu on", parent);
    path = make_group(cgroup, parent, err);
    if (!path)
        return -1;
    leaf = mem_printf("%s/" LEAF, path);
    procs = mem_printf("%s/cgroup.procs", leaf);
    if (put(path, "cgroup.subtree_control", ENABLE) != 0 || mkdir(leaf, 0755) != 0 ||
        give(path, NULL, user) != 0 || give(path, "cgroup.procs", user) != 0 ||
        give(path, "cgroup.subtree_control", user) != 0 || give(leaf, NULL, user) != 0 ||
        give(leaf, "cgroup.procs", user) != 0) {
        rc = err_errno(err, errno, "cannot delegate '%s'", path);
        goto out;
    }
    cgroup->join_fd = open(procs, O_WRONLY | O_CLOEXEC);
    if (cgroup->join_fd < 0) {
        rc = err_errno(err, errno, "cannot open '%s'", procs);
        goto out;
    }
    cgroup->place = mem_printf("v2:%s", path);
out:
    free(procs);
    free(leaf);
    free(path);
    return rc;
}

static int make_v1(struct up_cgroup *cgroup, const struct mount *mount, const struct passwd *user,
                   struct err *err)
{
    struct buf place;
    int rc = 0;

    buf_init(&place, 4096);
    for (size_t i = 0; i < 3 && rc == 0; i++) {
        if (!mount->v1[i])
            continue;
        char *path = make_group(cgroup, mount->v1[i], err);
        rc = path ? 0 : -1;
        if (path && (give(path, NULL, user) != 0 || give(path, "cgroup.procs", user) != 0 ||
                     give(path, "tasks", user) != 0))
            rc = err_errno(err, errno, "cannot delegate '%s'", path);
        if (rc == 0)
            buf_addf(&place, "%s%s=%s", place.len ? "," : "v1:", controllers[i], path);
        free(path);
    }
    if (rc == 0 && place.len > 0)
        cgroup->place = buf_detach(&place);
    buf_release(&place);
    return rc;
}

static bool has_controllers(const char *folder)
{
    char *path = mem_printf("%s/cgroup.controllers", folder);
    struct buf text;
    bool has = true;

    if (file_read(&text, path, 4096, NULL) != 0)
        has = false;
    if (text.len > 0 && text.data[text.len - 1] == '\n')
        text.data[text.len - 1] = '\0';
    for (size_t i = 0; i < 3; i++)
        has = has && list_has(buf_cstr(&text), ' ', controllers[i]);
    buf_release(&text);
    free(path);
    return has;
}

static int make(struct up_cgroup *cgroup, const struct mount *mount, const struct passwd *user,
                struct err *err)
{
    if (mount->v2 && has_controllers(mount->v2))
        return make_v2(cgroup, mount->v2, user, err);
    if (mount->v1[0] || mount->v1[1] || mount->v1[2])
        return make_v1(cgroup, mount, user, err);
    if (mount->v2)
        return err_set(
            err, ERR_NOT_FOUND,
            "'%s' has not all of memory, pids and cpu; a systemd unit needs Delegate=yes",
            mount->v2);
    return err_set(err, ERR_NOT_FOUND, "no control groups for memory, pids and cpu are mounted");
}

int up_cgroup_make(struct up_cgroup *cgroup, const char *user, struct err *err)
{
    struct mount mount = {0};
    int rc = -1;

    *cgroup = (struct up_cgroup){.join_fd = -1};
    if (geteuid() != 0)
        return err_set(err, ERR_DENIED, "only root can make control groups");
    const struct passwd *passwd = getpwnam(user);
    if (!passwd)
        return err_set(err, ERR_NOT_FOUND, "there is no user '%s' to give control groups to", user);
    each_line(&mount, "/proc/self/mounts", find_mount);
    each_line(&mount, "/proc/self/cgroup", add_own_group);
    rc = make(cgroup, &mount, passwd, err);
    if (rc != 0)
        up_cgroup_remove(cgroup);
    free(mount.v2);
    for (size_t i = 0; i < 3; i++)
        free(mount.v1[i]);
    return rc;
}

void up_cgroup_remove(struct up_cgroup *cgroup)
{
    for (size_t i = 0; i < cgroup->folders.count; i++)
        remove_groups(cgroup->folders.items[i]);
    strv_release(&cgroup->folders);
    leave_own_leaf(cgroup);
    if (cgroup->join_fd >= 0)
        close(cgroup->join_fd);
    cgroup->join_fd = -1;
    free(cgroup->place);
    cgroup->place = NULL;
}
