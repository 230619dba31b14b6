#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/id.h"
#include "base/mem.h"

/* `path` is what messages call it. */
static int read_regular(struct buf *out, int fd, const char *path, size_t limit, struct err *err)
{
    char chunk[16 * 1024];
    struct stat st;
    ssize_t n = -1;
    int ret = 0;

    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "cannot read '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "cannot read '%s': not a regular file", path);
    while (ret == 0 && n != 0) {
        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno != EINTR)
            ret = err_errno(err, errno, "cannot read '%s'", path);
        else if (n > 0 && buf_add(out, chunk, (size_t)n) < 0)
            ret =
                err_set(err, ERR_LIMIT, "'%s' is larger than the limit of %zu bytes", path, limit);
    }
    mem_wipe(chunk, sizeof(chunk));
    if (ret < 0)
        buf_release(out);
    return ret;
}

int file_read(struct buf *out, const char *path, size_t limit, struct err *err)
{
    buf_init(out, limit);
    /* Opening a pipe without O_NONBLOCK would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_errno(err, errno, "cannot read '%s'", path);
    int ret = read_regular(out, fd, path, limit, err);
    close(fd);
    return ret;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* The folder that holds `path`; caller frees. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int ret;

    if (fd < 0)
        return -1;
    ret = fsync(fd);
    close(fd);
    return ret;
}

int file_read_beneath(struct buf *out, const char *folder, const char *path, size_t limit,
                      struct err *err)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int rc = -1;
    buf_init(out, limit);
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
    if (fd < 0) {
        err_errno(err, errno, "cannot open '%s'", path);
        if (err && (errno == ENOENT || errno == ENOTDIR))
            err->code = ERR_NOT_FOUND;
    } else {
        rc = read_regular(out, fd, path, limit, err);
    }
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return rc;
}

int file_write(const char *path, const void *data, size_t len, mode_t mode, struct err *err)
{
    char *folder = folder_of(path);
    char tag[ID_SIZE];
    char *beside;
    int ret = -1;
    int fd;

    id_random(tag);
    beside = mem_printf("%s/.%s.tmp", folder, tag);
    fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0) {
        err_errno(err, errno, "cannot write '%s'", path);
        goto out;
    }
    if (write_all(fd, data, len) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0 ||
        rename(beside, path) < 0) {
        err_errno(err, errno, "cannot write '%s'", path);
        unlink(beside);
        goto out;
    }
    if (sync_folder(folder) < 0) {
        err_errno(err, errno, "cannot make '%s' durable", path);
        goto out;
    }
    ret = 0;
out:
    if (fd >= 0)
        close(fd);
    free(beside);
    free(folder);
    return ret;
}

int file_create(const char *path, const void *data, size_t len, mode_t mode, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    int rc = fd >= 0 && write_all(fd, data, len) == 0 && fchmod(fd, mode) == 0
                 ? 0
                 : err_errno(err, errno, "cannot write '%s'", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

int file_mkdirs(const char *path, mode_t mode, struct err *err)
{
    char *copy = mem_strdup(path);
    struct stat st;
    int ret = 0;

    for (char *p = copy; *p && ret == 0; p++) {
        const bool end = p[1] == '\0', last = p[1 + strspn(p + 1, "/")] == '\0';
        char kept;

        if (*p == '/' || (p[1] != '/' && !end))
            continue;
        kept = p[1];
        p[1] = '\0';
        if (mkdir(copy, last ? mode : mode | 0111) < 0 && errno != EEXIST)
            ret = err_errno(err, errno, "cannot make the folder '%s'", copy);
        p[1] = kept;
    }
    if (ret == 0 && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        ret = err_errno(err, ENOTDIR, "cannot make the folder '%s'", path);
    free(copy);
    return ret;
}

/* DESIGN of file_remove_tree(): what it removes was made by somebody's build, so it may be deeper
 * than PATH_MAX or than there are descriptors. A folder that is not empty therefore has its
 * sub-folders moved up into the tree's root under new names, and goes itself; the root is read
 * again until nothing is left. Two descriptors do at any depth, and every step is relative to one
 * of them and follows no link. */

/* Opens a folder for reading and changing it; -1 with errno. */
static int open_folder(int parent, const char *name)
{
    int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    char by_fd[32];
    int fd = openat(parent, name, O_PATH | flags);
    int opened;

    if (fd < 0)
        return -1;
    snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
    /* Ours may still be closed to us (a module cache is read-only); if this fails the next says. */
    (void)!chmod(by_fd, S_IRWXU);
    opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(fd);
    return opened;
}

static bool is_mount(int fd)
{
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH, 0, &st) < 0)
        return false;
    return st.stx_attributes & st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT;
}

static void close_keeping_errno(int fd)
{
    int kept = errno;

    if (fd >= 0)
        close(fd);
    errno = kept;
}

static void closedir_keeping_errno(DIR *dir)
{
    int kept = errno;

    closedir(dir);
    errno = kept;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A stream of its own, since a duplicated descriptor would share its position. */
static DIR *reopen(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);

    if (!dir && copy >= 0)
        close(copy);
    return dir;
}

/* Removes what is in `fd` but for folders with content: those move into `root`, or, where that is
 * -1, stay and are counted in *left. */
static int empty_folder(int fd, int root, size_t *left)
{
    DIR *dir = reopen(fd);
    struct dirent *entry;
    int ret = 0;

    if (!dir)
        return -1;
    while (ret == 0 && (errno = 0, entry = readdir(dir))) {
        char name[ID_SIZE];

        if (is_dots(entry->d_name) || unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR && errno != EPERM)
            ret = -1;
        else if (unlinkat(fd, entry->d_name, AT_REMOVEDIR) == 0)
            continue;
        else if (errno != ENOTEMPTY && errno != EEXIST)
            ret = -1;
        else if (root >= 0) {
            int child = open_folder(fd, entry->d_name);

            id_random(name);
            ret = child < 0 ? -1 : renameat(fd, entry->d_name, root, name);
            close_keeping_errno(child);
        } else {
            (*left)++;
        }
    }
    if (!entry && errno)
        ret = -1;
    closedir_keeping_errno(dir);
    return ret;
}

/* Empties and removes each folder that is left in `root`. */
static int remove_children(int root)
{
    DIR *dir = reopen(root);
    struct dirent *entry;
    int ret = 0;

    if (!dir)
        return -1;
    while (ret == 0 && (errno = 0, entry = readdir(dir))) {
        int fd;

        if (is_dots(entry->d_name))
            continue;
        fd = open_folder(root, entry->d_name);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd >= 0 && is_mount(fd)) {
            errno = EBUSY;
            ret = -1;
        } else if (fd < 0 || empty_folder(fd, root, NULL) < 0 ||
                   unlinkat(root, entry->d_name, AT_REMOVEDIR) < 0) {
            ret = -1;
        }
        close_keeping_errno(fd);
    }
    if (!entry && errno)
        ret = -1;
    closedir_keeping_errno(dir);
    return ret;
}

void file_spread(const char *path)
{
    int flags;
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && !(flags & FS_TOPDIR_FL)) {
        flags |= FS_TOPDIR_FL;
        ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    close(fd);
}

int file_remove_tree(const char *path, struct err *err)
{
    int root;
    int ret = -1;

    if (unlink(path) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_errno(err, errno, "cannot remove '%s'", path);
    root = open_folder(AT_FDCWD, path);
    if (root < 0)
        return err_errno(err, errno, "cannot remove '%s'", path);
    if (is_mount(root)) {
        close(root);
        return err_errno(err, EBUSY, "cannot remove '%s'", path);
    }
    for (;;) {
        size_t left = 0;

        if (empty_folder(root, -1, &left) < 0)
            break;
        if (left == 0) {
            ret = rmdir(path);
            break;
        }
        if (remove_children(root) < 0)
            break;
    }
    if (ret < 0)
        err_errno(err, errno, "cannot remove '%s'", path);
    close(root);
    return ret;
}

int file_remove_beneath(const char *folder, const char *path, struct err *err)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    const char *slash = strrchr(path, '/');
    char *parent = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
    int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, parent, &how, sizeof(how));
    int rc;

    if (fd >= 0) {
        char *last = mem_printf("/proc/self/fd/%d/%s", fd, slash ? slash + 1 : path);
        rc = file_remove_tree(last, err);
        free(last);
        close(fd);
    } else if (errno == ELOOP || errno == EXDEV || errno == ENOTDIR) {
        rc = err_set(err, ERR_INVALID, "'%s' leads through a link or a file", path);
    } else {
        rc = errno == ENOENT ? 0 : err_errno(err, errno, "cannot remove '%s'", path);
    }
    if (dir >= 0)
        close(dir);
    free(parent);
    return rc;
}
