#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/internal.h"
#include "base/mem.h"

#define ENTRIES_MAX 500000
#define BYTES_MAX   (16ull * 1024 * 1024 * 1024)

struct unpacker {
    const struct archive_unpack *conf;
    struct entry_reader zip;
    uint64_t entries, entries_max;
};

/* ---- where it goes ---- */

/* The path that an entry stands for; NULL: none. */
static const char *path_of(const struct unpacker *u, const char *name)
{
    if (!u->conf->whole)
        return name;
    if (str_starts(name, "src/"))
        return name + strlen("src/");
    return str_starts(name, "abs/") ? name + strlen("abs") : NULL;
}

/* The folder that the entry is put into; its path below the mount, and its name there. */
static int open_place(const struct unpacker *u, const char *name, const char **below,
                      const char **last, struct err *err)
{
    const char *path = path_of(u, name), *rest = NULL;
    const struct archive_mount *mount = path ? mount_of(u->conf->tree, path, &rest) : NULL;
    *below = rest;
    if (!mount || !*rest) {
        entry_refuse(name, "there is no place for it", err);
        return -1;
    }
    int fd = mount_open(u->conf->tree, mount);
    if (fd >= 0)
        fd = entry_parent(fd, rest, last);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        entry_refuse(name, "a folder that it is in is a link or a file", err);
    else if (fd < 0)
        err_errno(err, errno, "cannot make the folder of '%.300s'", name);
    return fd;
}

/* ---- an entry ---- */

static int make_file(struct unpacker *u, struct archive_entry *entry, int folder, const char *last,
                     const char *name, struct err *err)
{
    int fd = openat(folder, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "cannot make '%.300s'", name);
    int rc = entry_write(&u->zip, fd, name, err);
    if (rc == 0 && fchmod(fd, archive_entry_perm(entry) & 0777) != 0)
        rc = err_errno(err, errno, "cannot set the mode of '%.300s'", name);
    if (rc == 0 && archive_entry_mtime_is_set(entry) && archive_entry_mtime(entry) >= 0) {
        const struct timespec times[2] = {{.tv_sec = archive_entry_mtime(entry)},
                                          {.tv_sec = archive_entry_mtime(entry)}};
        (void)futimens(fd, times);
    }
    close(fd);
    return rc;
}

static int make_link(struct archive_entry *entry, int folder, const char *below, const char *last,
                     const char *name, struct err *err)
{
    const char *target = archive_entry_symlink_utf8(entry);
    if (!target)
        target = archive_entry_symlink(entry);
    if (!target || !str_is_utf8(target, strlen(target)) || !link_stays(below, target))
        return entry_refuse(name, "it is a link that leads out of the folder", err);
    return symlinkat(target, folder, last) == 0
               ? 0
               : err_errno(err, errno, "cannot make the link '%.300s'", name);
}

static int take_entry(struct unpacker *u, struct archive_entry *entry, struct err *err)
{
    const char *name = archive_entry_pathname_utf8(entry), *below = NULL, *last = NULL;
    if (!name)
        name = archive_entry_pathname(entry);
    if (++u->entries > u->entries_max)
        return err_set(err, ERR_LIMIT, "the archive is refused: it has more than %llu entries",
                       (unsigned long long)u->entries_max);
    if (!name)
        return entry_refuse(NULL, "its name is not UTF-8", err);
    mode_t type = archive_entry_filetype(entry);
    char *own = mem_strdup(name);
    size_t len = strlen(own);
    if (type == AE_IFDIR && len && own[len - 1] == '/')
        own[len - 1] = '\0';
    const char *wrong = name_wrong(own);
    int folder = -1, rc = -1;
    if (wrong)
        entry_refuse(own, wrong, err);
    else if (archive_entry_is_encrypted(entry))
        entry_refuse(own, "it is encrypted", err);
    else if (type == AE_IFDIR)
        rc = 0; /* made where a file is in it */
    else if (type != AE_IFREG && type != AE_IFLNK)
        entry_refuse(own, "it is neither a file, a folder nor a link", err);
    else
        folder = open_place(u, own, &below, &last, err);
    if (folder >= 0) {
        if (unlinkat(folder, last, 0) != 0 && errno != ENOENT)
            err_errno(err, errno, "cannot replace '%.300s'", own);
        else
            rc = type == AE_IFLNK ? make_link(entry, folder, below, last, own, err)
                                  : make_file(u, entry, folder, last, own, err);
        close(folder);
    }
    u->zip.out->files += rc == 0 && type != AE_IFDIR;
    free(own);
    return rc;
}

/* ---- the whole ---- */

int archive_unpack(const struct archive_unpack *unpack, int fd, struct archive_unpacked *out,
                   struct err *err)
{
    struct unpacker u = {.conf = unpack,
                         .zip = {.out = out,
                                 .too_large = "the archive is refused: it unpacks to more",
                                 .stop = unpack->stop}};
    struct archive *zip = archive_read_new();
    struct archive_entry *entry = NULL;
    int rc = 0, got = ARCHIVE_EOF;
    struct text_locale locale;
    *out = (struct archive_unpacked){0};
    text_locale_set(&locale);
    u.entries_max = unpack->limits.entries ? unpack->limits.entries : ENTRIES_MAX;
    u.zip.bytes_max = unpack->limits.bytes ? unpack->limits.bytes : BYTES_MAX;
    u.zip.chunk = mem_alloc(ENTRY_CHUNK);
    u.zip.archive = zip;
    if (lseek(fd, 0, SEEK_SET) != 0)
        rc = err_errno(err, errno, "cannot read the archive");
    else if (!zip || archive_read_support_format_zip_seekable(zip) != ARCHIVE_OK ||
             archive_read_set_format_option(zip, "zip", "hdrcharset", "UTF-8") != ARCHIVE_OK ||
             archive_read_open_fd(zip, fd, ENTRY_CHUNK) != ARCHIVE_OK)
        rc = entry_unreadable(zip, err);
    while (rc == 0 && (got = archive_read_next_header(zip, &entry)) == ARCHIVE_OK)
        rc = take_entry(&u, entry, err);
    if (rc == 0 && got != ARCHIVE_EOF)
        rc = entry_unreadable(zip, err);
    archive_read_free(zip);
    text_locale_restore(&locale);
    free(u.zip.chunk);
    return rc;
}
