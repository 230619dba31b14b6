#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "build/build.h"

#define ENTRIES_MAX  1000000
#define BYTES_MAX    (64ull * 1024 * 1024 * 1024)
#define DEPTH_MAX    200
#define PATH_LEN_MAX 4096
#define LEFT_OUT_MAX 10
#define RANGE        (1024 * 1024 * 1024)

struct place {
    dev_t dev;
    ino_t ino;
};

struct copy {
    struct build_folder *out;
    struct place *skip;
    size_t skip_count;
    uid_t owner;
    gid_t group;
    uint64_t entries;
    char path[PATH_LEN_MAX]; /* of what is being copied, relative, for errors */
};

static int fail(const struct copy *c, const char *what, struct err *err)
{
    return err_errno(err, errno, "cannot %s '%.300s'", what, c->path[0] ? c->path : ".");
}

/* A clone where the file system can, else the bytes. */
static int copy_bytes(struct copy *c, int from, int to, struct err *err)
{
    static const char what[] = "copy the file";
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    for (;;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, RANGE, 0);
        if (n == 0)
            return 0;
        if (n > 0)
            continue;
        if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
            return fail(c, what, err);
        break;
    }
    char chunk[64 * 1024];
    int rc = 0;
    for (ssize_t n; rc == 0 && (n = read(from, chunk, sizeof(chunk))) != 0;) {
        for (ssize_t at = 0, w; n > 0 && at < n; at += w) {
            if ((w = write(to, chunk + at, (size_t)(n - at))) < 0) {
                n = -1;
                break;
            }
        }
        if (n < 0)
            rc = fail(c, what, err);
    }
    return rc;
}

static int settle(const struct copy *c, int fd, const struct stat *st, mode_t mode, struct err *err)
{
    const struct timespec times[2] = {st->st_mtim, st->st_mtim};
    if ((c->owner != (uid_t)-1 && fchown(fd, c->owner, c->group) != 0) || fchmod(fd, mode) != 0 ||
        futimens(fd, times) != 0)
        return fail(c, "make the copy of", err);
    return 0;
}

static int copy_file(struct copy *c, int from_dir, int to_dir, const char *name, struct err *err)
{
    struct stat st;
    int rc = -1, to = -1;
    int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0 || fstat(from, &st) != 0) {
        fail(c, "read", err);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_CONFLICT, "'%.300s' changes while it is copied", c->path);
        goto out;
    }
    c->out->files++;
    c->out->bytes += (uint64_t)st.st_size;
    if (c->out->bytes > BYTES_MAX) {
        err_set(err, ERR_LIMIT, "there are more than %llu GiB in it", BYTES_MAX >> 30);
        goto out;
    }
    to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        fail(c, "make the copy of", err);
    else if (copy_bytes(c, from, to, err) == 0)
        rc = settle(c, to, &st, st.st_mode & 0100 ? 0755 : 0644, err);
out:
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return rc;
}

static int copy_link(struct copy *c, int from_dir, int to_dir, const char *name, struct err *err)
{
    char target[PATH_LEN_MAX];
    ssize_t n = readlinkat(from_dir, name, target, sizeof(target));
    if (n < 0 || n == sizeof(target))
        return fail(c, "read the symbolic link", err);
    target[n] = '\0';
    if (symlinkat(target, to_dir, name) != 0 ||
        (c->owner != (uid_t)-1 &&
         fchownat(to_dir, name, c->owner, c->group, AT_SYMLINK_NOFOLLOW) != 0))
        return fail(c, "make the copy of the symbolic link", err);
    return 0;
}

static bool skipped(const struct copy *c, const struct stat *st)
{
    for (size_t i = 0; i < c->skip_count; i++) {
        if (c->skip[i].dev == st->st_dev && c->skip[i].ino == st->st_ino)
            return true;
    }
    return false;
}

static int copy_entries(struct copy *c, int from, int to, unsigned depth, struct err *err);

static int copy_folder(struct copy *c, int from_dir, int to_dir, const char *name, unsigned depth,
                       struct err *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;
    int rc = -1, to = -1;
    int from = openat(from_dir, name, flags);
    if (from < 0 || fstat(from, &st) != 0)
        fail(c, "read the folder", err);
    else if (skipped(c, &st))
        rc = 0;
    else if (mkdirat(to_dir, name, 0700) != 0 || (to = openat(to_dir, name, flags)) < 0)
        fail(c, "make the copy of the folder", err);
    else if (copy_entries(c, from, to, depth + 1, err) == 0)
        rc = settle(c, to, &st, 0755, err);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return rc;
}

static int copy_entry(struct copy *c, int from, int to, const char *name, unsigned depth,
                      struct err *err)
{
    struct stat st;
    if (++c->entries > ENTRIES_MAX)
        return err_set(err, ERR_LIMIT, "there are more than %d files and folders in it",
                       ENTRIES_MAX);
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(c, "read", err);
    if (S_ISREG(st.st_mode))
        return copy_file(c, from, to, name, err);
    if (S_ISLNK(st.st_mode))
        return copy_link(c, from, to, name, err);
    if (S_ISDIR(st.st_mode))
        return copy_folder(c, from, to, name, depth, err);
    if (c->out->left_out_count++ < LEFT_OUT_MAX)
        strv_add(&c->out->left_out, c->path);
    return 0;
}

static int copy_entries(struct copy *c, int from, int to, unsigned depth, struct err *err)
{
    size_t len = strlen(c->path);
    int rc = 0;
    if (depth > DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "'%.300s' is more than %d folders deep", c->path, DEPTH_MAX);
    int copy = fcntl(from, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        if (copy >= 0)
            close(copy);
        return fail(c, "read the folder", err);
    }
    for (struct dirent *e; rc == 0 && (e = readdir(dir));) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") || str_eq(e->d_name, ".git"))
            continue;
        int n = snprintf(c->path + len, sizeof(c->path) - len, "%s%s", len ? "/" : "", e->d_name);
        if (n < 0 || (size_t)n >= sizeof(c->path) - len)
            rc = err_set(err, ERR_LIMIT, "'%.300s' is too long a path", c->path);
        else
            rc = copy_entry(c, from, to, e->d_name, depth, err);
        c->path[len] = '\0';
    }
    closedir(dir);
    return rc;
}

int build_folder_copy(const char *from, const char *to, const struct strv *skip, uid_t owner,
                      gid_t group, struct build_folder *out, struct err *err)
{
    struct copy c = {.out = out, .owner = owner, .group = group};
    size_t count = skip ? skip->count : 0;
    struct stat st;
    int rc = -1, to_fd = -1;
    *out = (struct build_folder){0};
    c.skip = mem_alloc((count + 1) * sizeof(*c.skip));
    int from_fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from_fd < 0) {
        err_errno(err, errno, "cannot read the folder '%s'", from);
        goto out;
    }
    if (mkdir(to, 0700) != 0 ||
        (to_fd = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0) {
        err_errno(err, errno, "cannot make the folder '%s'", to);
        goto out;
    }
    for (size_t i = 0; i <= count; i++) {
        if (stat(i < count ? skip->items[i] : to, &st) == 0)
            c.skip[c.skip_count++] = (struct place){st.st_dev, st.st_ino};
    }
    rc = copy_entries(&c, from_fd, to_fd, 0, err);
    if (rc == 0 && fstat(from_fd, &st) == 0)
        rc = settle(&c, to_fd, &st, 0755, err);
out:
    if (from_fd >= 0)
        close(from_fd);
    if (to_fd >= 0)
        close(to_fd);
    free(c.skip);
    return rc;
}

void build_folder_release(struct build_folder *folder)
{
    strv_release(&folder->left_out);
}
