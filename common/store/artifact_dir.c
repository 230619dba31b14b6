#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "store/artifact_internal.h"

#define TEMPORARY   ".tmp"
#define STALE_S     (24 * 3600) /* a put that nobody ends any more */
#define PUT_TRIES   5
#define DEPTH_MAX   64
#define COPY_BYTES  (1024ull * 1024 * 1024)
#define CHUNK_BYTES (128 * 1024)

/* ---- bytes ---- */

static int copy_chunks(int from, int to, uint64_t size)
{
    char chunk[CHUNK_BYTES];
    for (uint64_t at = 0; at < size;) {
        uint64_t left = size - at;
        ssize_t n =
            pread(from, chunk, left < sizeof(chunk) ? (size_t)left : sizeof(chunk), (off_t)at);
        if (n == 0)
            errno = ENODATA; /* shorter than was said */
        if (n <= 0)
            return -1;
        for (ssize_t done = 0; done < n;) {
            ssize_t w = pwrite(to, chunk + done, (size_t)(n - done), (off_t)at + done);
            if (w < 0)
                return -1;
            done += w;
        }
        at += (uint64_t)n;
    }
    return 0;
}

/* In the kernel where the file systems can. */
static int copy(int from, int to, uint64_t size)
{
    loff_t in = 0, out = 0;
    while ((uint64_t)in < size) {
        uint64_t left = size - (uint64_t)in;
        ssize_t n =
            copy_file_range(from, &in, to, &out, left < COPY_BYTES ? (size_t)left : COPY_BYTES, 0);
        if (n == 0)
            errno = ENODATA;
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        return n < 0 && in == 0 ? copy_chunks(from, to, size) : -1;
    }
    return 0;
}

static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- put ---- */

/* Another call may remove the folder while it is empty. */
static int move(const char *from, const char *to, bool soon, struct err *err)
{
    char *folder = mem_strdup(to);
    struct err why = {0};
    int rc = -1;
    *strrchr(folder, '/') = '\0';
    for (int i = 0; i < PUT_TRIES && rc < 0; i++) {
        rc = file_mkdirs(folder, 0700, &why);
        if (rc == 0 && rename(from, to) != 0) {
            int error = errno;
            rc = err_errno(&why, error, "cannot put '%s'", to);
            if (error != ENOENT)
                break;
        }
    }
    if (rc == 0 && !soon && sync_folder(folder) != 0)
        rc = err_errno(&why, errno, "cannot put '%s'", to);
    if (rc < 0)
        *err = why;
    free(folder);
    return rc;
}

/* A file without a name becomes the object as it is, where it is on the same disk. */
static int give_name(const struct artifact_call *call, const char *name)
{
    struct stat st;
    char proc[64];
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", call->fd);
    if (fstat(call->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 0 ||
        (st.st_mode & 0777) != 0600 || (uint64_t)st.st_size != call->size)
        return -1;
    if (linkat(AT_FDCWD, proc, AT_FDCWD, name, AT_SYMLINK_FOLLOW) != 0)
        return -1;
    (void)futimens(call->fd, NULL); /* a sweep asks when it was put */
    if (call->soon || fsync(call->fd) == 0)
        return 0;
    (void)unlink(name);
    return -1;
}

static int write_copy(const struct artifact_call *call, const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -1 : copy(call->fd, fd, call->size);
    if (rc == 0 && !call->soon)
        rc = fsync(fd);
    if (fd >= 0)
        close(fd);
    return rc;
}

static void put(struct artifact_call *call, const char *path)
{
    char id[ID_SIZE];
    id_random(id);
    char *temporary = mem_printf("%s/" TEMPORARY "/%s", call->dir, id);
    int rc = -1;
    if (give_name(call, temporary) != 0 && write_copy(call, temporary) != 0)
        err_errno(&call->err, errno, "cannot write '%s'", temporary);
    else
        rc = move(temporary, path, call->soon, &call->err);
    if (rc < 0)
        unlink(temporary);
    call->answer.size = call->size;
    free(temporary);
}

/* ---- get, head, delete ---- */

static int open_object(struct artifact_call *call, const char *path, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, st) != 0 || !S_ISREG(st->st_mode)) {
        if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
            err_errno(&call->err, errno, "cannot read '%s'", path);
        else
            err_set(&call->err, ERR_NOT_FOUND, "there is no '%.300s' in the artifact store",
                    call->key);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    call->answer.size = (uint64_t)st->st_size;
    call->answer.modified_ms = st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    return fd;
}

static void get(struct artifact_call *call, const char *path)
{
    struct stat st;
    int fd = open_object(call, path, &st);
    if (fd < 0)
        return;
    if ((uint64_t)st.st_size > call->size)
        err_set(&call->err, ERR_LIMIT, "'%.300s' has %llu bytes, more than %llu", call->key,
                (unsigned long long)st.st_size, (unsigned long long)call->size);
    else if (copy(fd, call->fd, (uint64_t)st.st_size) != 0)
        err_errno(&call->err, errno, "cannot copy '%s'", path);
    else
        (void)futimens(fd, (struct timespec[2]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}});
    close(fd);
}

static void head(struct artifact_call *call, const char *path)
{
    struct stat st;
    int fd = open_object(call, path, &st);
    if (fd >= 0)
        close(fd);
}

/* And folders that are empty then. */
static void delete (struct artifact_call *call, char *path)
{
    size_t top = strlen(call->dir);
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR)
        err_errno(&call->err, errno, "cannot remove '%s'", path);
    for (char *slash; (slash = strrchr(path, '/')) && (size_t)(slash - path) > top;) {
        *slash = '\0';
        if (rmdir(path) != 0)
            return;
    }
}

/* ---- list ---- */

struct listing {
    struct artifact_call *call;
    char path[4096]; /* of the folder on disk */
    size_t skip;     /* of it, before the key */
    bool full;
};

static void list_folder(struct listing *l, unsigned depth);

static void list_entry(struct listing *l, const char *name, unsigned depth)
{
    const char *prefix = l->call->key;
    size_t len = strlen(l->path);
    struct stat st;
    int n = snprintf(l->path + len, sizeof(l->path) - len, "/%s", name);
    const char *key = l->path + l->skip;
    size_t both = strlen(key) < strlen(prefix) ? strlen(key) : strlen(prefix);
    if (n > 0 && (size_t)n < sizeof(l->path) - len && strncmp(key, prefix, both) == 0 &&
        lstat(l->path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            list_folder(l, depth + 1);
        else if (S_ISREG(st.st_mode) && str_starts(key, prefix) && artifact_is_key(key))
            l->full = !artifact_call_add(l->call, key, (uint64_t)st.st_size,
                                         st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
    }
    l->path[len] = '\0';
}

static void list_folder(struct listing *l, unsigned depth)
{
    struct strv names = {0};
    DIR *dir = depth > DEPTH_MAX ? NULL : opendir(l->path);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] != '.' ||
            (depth > 0 && !str_eq(e->d_name, ".") && !str_eq(e->d_name, "..")))
            strv_add(&names, e->d_name);
    }
    closedir(dir);
    strv_sort(&names);
    for (size_t i = 0; i < names.count && !l->full; i++)
        list_entry(l, names.items[i], depth);
    strv_release(&names);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct artifact_object *)a)->key,
                  ((const struct artifact_object *)b)->key);
}

/* From the folder of the prefix's whole parts on. */
static void list(struct artifact_call *call)
{
    struct listing *l = mem_alloc(sizeof(*l));
    const char *slash = strrchr(call->key, '/');
    l->call = call;
    l->skip = strlen(call->dir) + 1;
    snprintf(l->path, sizeof(l->path), "%s%s%.*s", call->dir, slash ? "/" : "",
             slash ? (int)(slash - call->key) : 0, call->key);
    list_folder(l, slash ? 1 : 0);
    if (call->answer.count)
        qsort(call->objects, call->answer.count, sizeof(*call->objects), by_key);
    free(l);
}

/* ---- sweep ---- */

static int64_t ms_of(const struct timespec *t)
{
    return t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

/* False: the folder stays. */
static bool sweep_folder(struct artifact_call *call, int parent, const char *name, unsigned depth)
{
    struct strv names = {0};
    struct stat st;
    bool empty = true;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 || depth > DEPTH_MAX ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
            strv_add(&names, e->d_name);
    }
    for (size_t i = 0; i < names.count; i++) {
        const char *entry = names.items[i];
        bool gone = false;
        if (fstatat(fd, entry, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            gone =
                sweep_folder(call, fd, entry, depth + 1) && unlinkat(fd, entry, AT_REMOVEDIR) == 0;
        } else if (ms_of(&st.st_mtim) < call->before_ms && ms_of(&st.st_atim) < call->before_ms) {
            gone = unlinkat(fd, entry, 0) == 0;
            call->answer.count += gone;
        }
        empty = empty && gone;
    }
    strv_release(&names);
    closedir(dir);
    return empty;
}

static void sweep(struct artifact_call *call, char *path)
{
    size_t len = strlen(path);
    if (len && path[len - 1] == '/')
        path[len - 1] = '\0';
    (void)sweep_folder(call, AT_FDCWD, path, 0);
}

/* ---- on a worker ---- */

static void work(void *arg)
{
    struct artifact_call *call = arg;
    char *path = mem_printf("%s/%s", call->dir, call->key);
    switch (call->verb) {
    case ARTIFACT_PUT:
        put(call, path);
        break;
    case ARTIFACT_GET:
        get(call, path);
        break;
    case ARTIFACT_HEAD:
        head(call, path);
        break;
    case ARTIFACT_DELETE:
        delete (call, path);
        break;
    case ARTIFACT_LIST:
        list(call);
        break;
    case ARTIFACT_SWEEP:
        sweep(call, path);
        break;
    }
    free(path);
}

static void work_done(void *arg)
{
    artifact_call_finish(arg);
}

void artifact_dir_call(struct artifact_call *call)
{
    loop_work(call->store->loop, work, work_done, call);
}

/* ---- the folder ---- */

static void remove_stale(const char *folder)
{
    struct stat st;
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] != '.' && fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && st.st_mtime < time(NULL) - STALE_S)
            unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
}

int artifact_dir_open(struct artifact_store *store, struct err *err)
{
    struct stat st;
    store->dir = mem_strdup(store->where);
    size_t len = strlen(store->dir);
    while (len > 1 && store->dir[len - 1] == '/')
        store->dir[--len] = '\0';
    char *temporary = mem_printf("%s/" TEMPORARY, store->dir);
    int rc = file_mkdirs(store->dir, 0700, err);
    if (rc == 0 && stat(store->dir, &st) == 0 && (st.st_mode & 077))
        rc = err_set(err, ERR_INVALID,
                     "others may use the folder '%s' of the artifact store: chmod 700 it",
                     store->dir);
    if (rc == 0)
        rc = file_mkdirs(temporary, 0700, err);
    if (rc == 0)
        remove_stale(temporary);
    free(temporary);
    return rc;
}
