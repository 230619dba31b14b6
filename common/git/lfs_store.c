#include "git/lfs_store.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"

#define KEEP_S     3600
#define STALE_S    (24 * 3600)
#define SEND_BYTES (256u * 1024 * 1024)

static char *path_of(const char *folder, const struct git_pointer *pointer)
{
    return mem_printf("%s/objects/%.2s/%.2s/%s", folder, pointer->oid, pointer->oid + 2,
                      pointer->oid);
}

static int open_object(const char *folder, const struct git_pointer *pointer)
{
    char *path = path_of(folder, pointer);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0 ||
                    (uint64_t)st.st_size != pointer->size)) {
        close(fd);
        fd = -1;
    }
    free(path);
    return fd;
}

bool lfs_store_has(const char *folder, const struct git_pointer *pointer)
{
    const int fd = open_object(folder, pointer);

    if (fd < 0)
        return false;
    futimens(fd, NULL);
    close(fd);
    return true;
}

bool lfs_store_verify(const char *folder, const struct git_pointer *pointer)
{
    char hex[SHA256_HEX_SIZE] = "";
    const int fd = open_object(folder, pointer);

    if (fd >= 0 && pointer->size > 0) {
        void *data = mmap(NULL, (size_t)pointer->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data != MAP_FAILED) {
            sha256_hex(data, (size_t)pointer->size, hex);
            munmap(data, (size_t)pointer->size);
        }
    } else if (fd >= 0) {
        sha256_hex("", 0, hex);
    }
    if (fd >= 0)
        close(fd);
    if (str_eq(hex, pointer->oid))
        return true;
    char *path = path_of(folder, pointer);
    unlink(path);
    free(path);
    return false;
}

static int copy(int to, int from, const struct git_pointer *pointer, struct err *err)
{
    for (uint64_t left = pointer->size; left > 0;) {
        const ssize_t n = sendfile(to, from, NULL, left < SEND_BYTES ? (size_t)left : SEND_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : EIO, "cannot write '%.200s' of the checkout",
                             pointer->path);
        left -= (uint64_t)n;
    }
    return 0;
}

bool lfs_store_place(const char *folder, const struct git_pointer *pointer, int root,
                     struct err *err)
{
    const int from = open_object(folder, pointer);

    if (from < 0)
        return false;
    /* The pointer is this checkout's own file, in folders that it made. */
    const int to = openat(root, pointer->path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    if (to < 0)
        err_errno(err, errno, "cannot open '%.200s' of the checkout", pointer->path);
    const bool done = to >= 0 && copy(to, from, pointer, err) == 0;
    if (to >= 0)
        close(to);
    close(from);
    return done;
}

/* ---- trimming ---- */

struct kept {
    char *path;
    uint64_t size;
    int64_t used_s;
};
struct survey {
    struct kept *items;
    size_t count, cap;
    uint64_t bytes;
};

static int by_use(const void *a, const void *b)
{
    const int64_t left = ((const struct kept *)a)->used_s, right = ((const struct kept *)b)->used_s;

    return left < right ? -1 : left > right;
}

static void note(struct survey *survey, const FTSENT *entry)
{
    if (survey->count == survey->cap) {
        survey->cap = survey->cap ? survey->cap * 2 : 256;
        survey->items = mem_realloc(survey->items, survey->cap, sizeof(*survey->items));
    }
    survey->items[survey->count++] =
        (struct kept){mem_strdup(entry->fts_path), (uint64_t)entry->fts_statp->st_size,
                      entry->fts_statp->st_mtim.tv_sec};
    survey->bytes += (uint64_t)entry->fts_statp->st_size;
}

static void look(struct survey *survey, const char *folder)
{
    char *objects = mem_printf("%s/objects", folder);
    char *const paths[] = {objects, NULL};
    FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    for (const FTSENT *entry; fts && (entry = fts_read(fts));) {
        if (entry->fts_info == FTS_F)
            note(survey, entry);
    }
    if (fts)
        fts_close(fts);
    free(objects);
}

static void remove_views(const char *folder, int64_t now_s)
{
    char *const paths[] = {(char *)folder, NULL};
    FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    for (FTSENT *entry; fts && (entry = fts_read(fts));) {
        if (entry->fts_level != 1)
            continue;
        if (entry->fts_info == FTS_D && str_starts(entry->fts_name, "view-") &&
            now_s - entry->fts_statp->st_mtim.tv_sec > STALE_S)
            file_remove_tree(entry->fts_path, NULL);
        fts_set(fts, entry, FTS_SKIP);
    }
    if (fts)
        fts_close(fts);
}

void lfs_store_trim(const char *folder, uint64_t limit)
{
    const int64_t now_s = clock_now_ms() / 1000;
    struct survey survey = {0};

    remove_views(folder, now_s);
    look(&survey, folder);
    if (survey.bytes > limit)
        qsort(survey.items, survey.count, sizeof(*survey.items), by_use);
    for (size_t i = 0; i < survey.count; i++) {
        const struct kept *kept = &survey.items[i];
        if (survey.bytes > limit && now_s - kept->used_s > KEEP_S && unlink(kept->path) == 0)
            survey.bytes -= kept->size;
        free(kept->path);
    }
    free(survey.items);
}
