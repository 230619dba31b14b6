#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/internal.h"
#include "base/mem.h"

#define ENTRIES_MAX 1000000
#define BYTES_MAX   (64ull * 1024 * 1024 * 1024)

/* ---- writing ---- */

struct tarring {
    const struct archive_tar *conf;
    struct archive *tar;
    struct archive_entry *entry;
    uint64_t entries, bytes, entries_max, bytes_max;
    char *chunk;
};

static int failed(struct archive *archive, struct err *err)
{
    const char *said = archive_error_string(archive);
    return err_set(err, ERR_IO, "the archive cannot be made: %s", said ? said : "unknown");
}

static int write_head(struct tarring *t, const char *path, const struct stat *st, const char *link,
                      struct err *err)
{
    struct archive_entry *entry = archive_entry_clear(t->entry);
    if (++t->entries > t->entries_max)
        return err_set(err, ERR_LIMIT, "there are more than %llu files and folders",
                       (unsigned long long)t->entries_max);
    if (S_ISREG(st->st_mode))
        t->bytes += (uint64_t)st->st_size;
    if (t->bytes > t->bytes_max)
        return err_set(err, ERR_LIMIT, "the files are larger than %llu MiB",
                       (unsigned long long)(t->bytes_max >> 20));
    archive_entry_copy_pathname(entry, path);
    archive_entry_set_filetype(entry, st->st_mode & S_IFMT);
    archive_entry_set_perm(entry, st->st_mode & 07777);
    archive_entry_set_mtime(entry, st->st_mtim.tv_sec, 0);
    archive_entry_set_size(entry, S_ISREG(st->st_mode) ? st->st_size : 0);
    if (link)
        archive_entry_copy_symlink(entry, link);
    return archive_write_header(t->tar, entry) == ARCHIVE_OK ? 0 : failed(t->tar, err);
}

static int add_file(struct tarring *t, int dir, const char *name, const char *path, struct err *err)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_errno(err, errno, "cannot read '%.300s'", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int rc = write_head(t, path, &st, NULL, err);
    for (uint64_t left = (uint64_t)st.st_size; rc == 0 && left > 0;) {
        ssize_t n = read(fd, t->chunk, left < ENTRY_CHUNK ? (size_t)left : ENTRY_CHUNK);
        if (n <= 0)
            rc = err_errno(err, n < 0 ? errno : EIO, "cannot read '%.300s'", path);
        else if (archive_write_data(t->tar, t->chunk, (size_t)n) != n)
            rc = failed(t->tar, err);
        else
            left -= (uint64_t)n;
        if (rc == 0 && t->conf->stop && *t->conf->stop)
            rc = err_set(err, ERR_CONFLICT, "it was stopped");
    }
    close(fd);
    return rc;
}

static int add(struct tarring *t, int dir, const char *name, const char *path, unsigned depth,
               enum archive_skip skip, struct err *err);

/* Not by libarchive's own walk, which changes this process's working folder. */
static int add_folder(struct tarring *t, int parent, const char *name, const char *path,
                      unsigned depth, struct err *err)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int rc = 0;
    if (!dir) {
        err_errno(err, errno, "cannot read the folder '%.300s'", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (depth > ARCHIVE_DEPTH_MAX)
        rc = err_set(err, ERR_LIMIT, "there are folders more than %d deep", ARCHIVE_DEPTH_MAX);
    for (const struct dirent *each; rc == 0 && (each = readdir(dir));) {
        if (str_eq(each->d_name, ".") || str_eq(each->d_name, ".."))
            continue;
        char *below = mem_printf("%s/%s", path, each->d_name);
        enum archive_skip skip = t->conf->skip ? t->conf->skip(below, t->conf->arg) : ARCHIVE_KEEP;
        if (t->conf->stop && *t->conf->stop)
            rc = err_set(err, ERR_CONFLICT, "it was stopped");
        else if (skip != ARCHIVE_SKIP_ALL)
            rc = add(t, fd, each->d_name, below, depth + 1, skip, err);
        free(below);
    }
    closedir(dir);
    return rc;
}

static int add(struct tarring *t, int dir, const char *name, const char *path, unsigned depth,
               enum archive_skip skip, struct err *err)
{
    char target[PATH_MAX];
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_errno(err, errno, "cannot read '%.300s'", path);
    if (S_ISDIR(st.st_mode))
        return skip == ARCHIVE_KEEP && write_head(t, path, &st, NULL, err) < 0
                   ? -1
                   : add_folder(t, dir, name, path, depth, err);
    if (skip != ARCHIVE_KEEP)
        return 0;
    if (S_ISREG(st.st_mode))
        return add_file(t, dir, name, path, err);
    if (!S_ISLNK(st.st_mode))
        return 0;
    ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
    if (n < 0)
        return err_errno(err, errno, "cannot read the link '%.300s'", path);
    target[n] = '\0';
    return write_head(t, path, &st, target, err);
}

static int add_part(struct tarring *t, const struct archive_part *part, struct err *err)
{
    char *root = mem_printf("%s/%s", t->conf->dir, part->below);
    struct stat st;
    int rc = lstat(root, &st) == 0 ? add(t, AT_FDCWD, root, part->name, 0, ARCHIVE_KEEP, err) : 0;
    free(root);
    return rc;
}

int archive_tar(const struct archive_tar *tar, int fd, uint64_t *size, struct err *err)
{
    struct tarring t = {.conf = tar};
    struct text_locale locale;
    int rc = 0;
    text_locale_set(&locale);
    t.entries_max = tar->limits.entries ? tar->limits.entries : ENTRIES_MAX;
    t.bytes_max = tar->limits.bytes ? tar->limits.bytes : BYTES_MAX;
    t.chunk = mem_alloc(ENTRY_CHUNK);
    t.tar = archive_write_new();
    t.entry = archive_entry_new();
    /* Names are bytes to GNU's format. */
    if (archive_write_set_format_gnutar(t.tar) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(t.tar, 1) != ARCHIVE_OK ||
        archive_write_open_fd(t.tar, fd) != ARCHIVE_OK)
        rc = failed(t.tar, err);
    for (size_t i = 0; i < tar->part_count && rc == 0; i++)
        rc = add_part(&t, &tar->parts[i], err);
    if (rc == 0 && archive_write_close(t.tar) != ARCHIVE_OK)
        rc = failed(t.tar, err);
    archive_entry_free(t.entry);
    archive_write_free(t.tar);
    off_t end = lseek(fd, 0, SEEK_END);
    *size = end < 0 ? 0 : (uint64_t)end;
    text_locale_restore(&locale);
    free(t.chunk);
    return rc;
}

/* ---- reading ---- */

struct untarring {
    const struct archive_untar *conf;
    struct entry_reader tar;
    uint64_t entries, entries_max;
    int dir;
};

/* Parts that are joined by single slashes, none of them "." or "..", a slash at the end; anything
 * else may be in them. */
static bool stays(const char *name)
{
    if (!*name || *name == '/' || strlen(name) > ARCHIVE_NAME_MAX)
        return false;
    for (const char *p = name; *p;) {
        size_t part = strcspn(p, "/");
        if (part == 0 || (part == 1 && *p == '.') || (part == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += part + (p[part] == '/');
    }
    return true;
}

/* Where what the archive calls `name` goes, below `dir`; the caller frees. */
static char *place_of(const struct untarring *u, const char *name)
{
    const char *rest = strchr(name, '/');
    char *path = mem_printf("%s%s", u->conf->below, rest ? rest : "");
    size_t len = strlen(path);
    while (len && path[len - 1] == '/')
        path[--len] = '\0';
    return path;
}

/* The folder that `path` is in, its last part; folders are made, links not followed. */
static int open_parent(const struct untarring *u, const char *path, const char **last)
{
    return entry_parent(dup(u->dir), path, last);
}

static int make_file(struct untarring *u, struct archive_entry *entry, int folder, const char *last,
                     const char *name, struct err *err)
{
    int fd = openat(folder, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "cannot make '%.300s'", name);
    int rc = entry_write(&u->tar, fd, name, err);
    if (rc == 0 && fchmod(fd, (archive_entry_perm(entry) & 0777) | 0600) != 0)
        rc = err_errno(err, errno, "cannot set the mode of '%.300s'", name);
    const struct timespec at = {.tv_sec = archive_entry_mtime(entry)};
    const struct timespec times[2] = {at, at};
    (void)futimens(fd, times);
    close(fd);
    return rc;
}

/* Another name of a file that was in the archive before. */
static int make_hard_link(const struct untarring *u, const char *target, int folder,
                          const char *last, const char *name, struct err *err)
{
    const char *base = NULL;
    if (!stays(target))
        return entry_refuse(target, "a link leads out of the folder", err);
    char *path = place_of(u, target);
    int from = open_parent(u, path, &base);
    int rc = from >= 0 && linkat(from, base, folder, last, 0) == 0
                 ? 0
                 : err_errno(err, errno, "cannot make the link '%.300s'", name);
    if (from >= 0)
        close(from);
    free(path);
    return rc;
}

static int make(struct untarring *u, struct archive_entry *entry, int folder, const char *last,
                const char *name, struct err *err)
{
    mode_t type = archive_entry_filetype(entry);
    const char *hard = archive_entry_hardlink(entry);
    if (type != AE_IFDIR && unlinkat(folder, last, 0) != 0 && errno != ENOENT)
        return err_errno(err, errno, "cannot replace '%.300s'", name);
    if (hard)
        return make_hard_link(u, hard, folder, last, name, err);
    if (type == AE_IFREG)
        return make_file(u, entry, folder, last, name, err);
    if (type == AE_IFLNK) {
        const char *target = archive_entry_symlink(entry);
        return target && symlinkat(target, folder, last) == 0
                   ? 0
                   : err_errno(err, errno, "cannot make the link '%.300s'", name);
    }
    if (type == AE_IFDIR)
        return mkdirat(folder, last, 0755) == 0 || errno == EEXIST
                   ? 0
                   : err_errno(err, errno, "cannot make the folder '%.300s'", name);
    return 0;
}

static int take_entry(struct untarring *u, struct archive_entry *entry, struct err *err)
{
    const char *name = archive_entry_pathname(entry), *last = NULL;
    if (++u->entries > u->entries_max)
        return err_set(err, ERR_LIMIT, "there are more than %llu files and folders",
                       (unsigned long long)u->entries_max);
    if (!name || !stays(name))
        return entry_refuse(name, "its name leads out of the folder", err);
    char *path = place_of(u, name);
    int folder = open_parent(u, path, &last);
    int rc;
    if (folder >= 0)
        rc = make(u, entry, folder, last, name, err);
    else if (errno == ELOOP || errno == ENOTDIR)
        rc = entry_refuse(name, "a folder that it is in is a link or a file", err);
    else
        rc = err_errno(err, errno, "cannot make the folder of '%.300s'", name);
    if (folder >= 0)
        close(folder);
    u->tar.out->files += rc == 0 && archive_entry_filetype(entry) != AE_IFDIR;
    free(path);
    return rc;
}

int archive_untar(const struct archive_untar *untar, int fd, struct archive_unpacked *out,
                  struct err *err)
{
    struct untarring u = {
        .conf = untar,
        .tar = {.out = out, .too_large = "the files are larger", .stop = untar->stop}};
    struct archive *tar = archive_read_new();
    struct archive_entry *entry = NULL;
    struct text_locale locale;
    int rc = 0, got = ARCHIVE_EOF;
    *out = (struct archive_unpacked){0};
    text_locale_set(&locale);
    u.entries_max = untar->limits.entries ? untar->limits.entries : ENTRIES_MAX;
    u.tar.bytes_max = untar->limits.bytes ? untar->limits.bytes : BYTES_MAX;
    u.tar.chunk = mem_alloc(ENTRY_CHUNK);
    u.tar.archive = tar;
    u.dir = open(untar->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u.dir < 0)
        rc = err_errno(err, errno, "cannot open '%s'", untar->dir);
    else if (lseek(fd, 0, SEEK_SET) != 0)
        rc = err_errno(err, errno, "cannot read the archive");
    else if (archive_read_support_format_tar(tar) != ARCHIVE_OK ||
             archive_read_open_fd(tar, fd, ENTRY_CHUNK) != ARCHIVE_OK)
        rc = entry_unreadable(tar, err);
    /* A warning is of a name that is not text here; it is bytes. */
    while (rc == 0 &&
           ((got = archive_read_next_header(tar, &entry)) == ARCHIVE_OK || got == ARCHIVE_WARN))
        rc = take_entry(&u, entry, err);
    if (rc == 0 && got != ARCHIVE_EOF)
        rc = entry_unreadable(tar, err);
    archive_read_free(tar);
    if (u.dir >= 0)
        close(u.dir);
    text_locale_restore(&locale);
    free(u.tar.chunk);
    return rc;
}
