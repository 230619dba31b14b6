/* DESIGN: every thread has a reader (a git process) of its own and takes the next entry of the list
 * as it has room to ask for it, so that all end at about the same time whatever sizes the files
 * have. It asks for half of what it may ask for at once: git has the next file in hand while this
 * one is written. Every file and link is made by a call that fails if the name is taken. */
#include "git/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"

#define BYTES_MAX    (64ull * 1024 * 1024 * 1024)
#define LINK_MAX     4095
#define THREADS_MAX  4
#define THREAD_FILES 128 /* for fewer of them another git is not worth its start */
#define AHEAD        32

struct writing {
    const struct files *files;
    atomic_size_t next;
    atomic_ullong bytes;
    atomic_bool failed;
    pthread_mutex_t lock; /* for what follows */
    struct err err;       /* the first */
};

struct writer {
    struct writing *writing;
    struct git_objects *reader;
    size_t asked[AHEAD]; /* a ring: answers come in order */
    size_t head, count;
};

int checkout_refuse(struct err *err, const char *path, const char *why)
{
    return err_set(err, ERR_INVALID, "the commit holds '%.200s', which %s", path, why);
}

int checkout_os_error(struct err *err, const char *what, const char *path)
{
    if (errno == EEXIST)
        return checkout_refuse(err, path, "is there twice");
    return err_errno(err, errno, "cannot %s '%.200s' of the checkout", what, path);
}

int checkout_missing(struct err *err, const char *path)
{
    return err_set(err, ERR_UNAVAILABLE,
                   "the mirror is broken ('%.200s' of the commit is missing) and is made again "
                   "when next used",
                   path);
}

/* ---- one entry ---- */

static int write_link(const struct writer *w, const struct tree_entry *entry, uint64_t size,
                      struct err *err)
{
    char target[LINK_MAX + 1];

    if (size == 0 || size > LINK_MAX)
        return checkout_refuse(err, entry->path, "is a symbolic link without a usable target");
    if (git_objects_read(w->reader, target, (size_t)size, err) != 0)
        return -1;
    target[size] = '\0';
    if (strlen(target) != size)
        return checkout_refuse(err, entry->path, "is a symbolic link without a usable target");
    if (symlinkat(target, w->writing->files->root, entry->path) != 0)
        return checkout_os_error(err, "make the symbolic link", entry->path);
    return 0;
}

static int write_all(int fd, const char *path, const char *data, size_t len, struct err *err)
{
    while (len > 0) {
        const ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return checkout_os_error(err, "write", path);
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static void note_pointer(struct writing *writing, const struct tree_entry *entry, const char *data,
                         size_t len)
{
    struct git_found *found = writing->files->found;
    struct git_pointer pointer;

    if (!git_pointer_parse(&pointer, data, len))
        return;
    pointer.path = mem_strdup(entry->path);
    pointer.executable = entry->mode & 0100;
    pthread_mutex_lock(&writing->lock);
    if (found->pointer_count == found->pointer_cap) {
        found->pointer_cap = found->pointer_cap ? found->pointer_cap * 2 : 64;
        found->pointers =
            mem_realloc(found->pointers, found->pointer_cap, sizeof(*found->pointers));
    }
    found->pointers[found->pointer_count++] = pointer;
    pthread_mutex_unlock(&writing->lock);
}

static int copy_content(const struct writer *w, int fd, const struct tree_entry *entry,
                        uint64_t size, struct err *err)
{
    char small[GIT_POINTER_MAX];

    if (w->writing->files->found->want_pointers && size > 0 && size <= sizeof(small)) {
        if (git_objects_read(w->reader, small, (size_t)size, err) != 0)
            return -1;
        note_pointer(w->writing, entry, small, (size_t)size);
        return write_all(fd, entry->path, small, (size_t)size, err);
    }
    while (size > 0) {
        const char *data = NULL;
        size_t len = 0;
        if (git_objects_chunk(w->reader, &data, &len, SIZE_MAX, err) != 0 ||
            write_all(fd, entry->path, data, len, err) != 0)
            return -1;
        size -= len;
    }
    return 0;
}

static int write_file(const struct writer *w, const struct tree_entry *entry, uint64_t size,
                      struct err *err)
{
    const mode_t mode = entry->mode & 0100 ? 0755 : 0644;
    int rc = -1;

    const int fd = openat(w->writing->files->root, entry->path,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return checkout_os_error(err, "make", entry->path);
    /* The umask of the service is no part of a commit. */
    if (fchmod(fd, mode) != 0)
        checkout_os_error(err, "set the mode of", entry->path);
    else
        rc = copy_content(w, fd, entry, size, err);
    close(fd);
    return rc;
}

static int write_entry(const struct writer *w, const struct tree_entry *entry, struct err *err)
{
    const unsigned type = entry->mode & MODE_TYPE;
    struct git_object object;

    if (git_objects_next(w->reader, &object, err) != 0)
        return -1;
    if (object.type == GIT_OBJECT_MISSING)
        return checkout_missing(err, entry->path);
    if (object.type != GIT_OBJECT_BLOB)
        return checkout_refuse(err, entry->path, "is a file that cannot be read");
    if (atomic_fetch_add(&w->writing->bytes, object.size) + object.size > BYTES_MAX)
        return err_set(err, ERR_LIMIT, "the commit holds more than 64 GiB");
    if (type == MODE_LINK)
        return write_link(w, entry, object.size, err);
    if (type == S_IFREG)
        return write_file(w, entry, object.size, err);
    return checkout_refuse(err, entry->path, "has an unknown mode");
}

/* ---- all of them ---- */

static int ask_ahead(struct writer *w, struct err *err)
{
    const struct files *files = w->writing->files;
    char name[65];

    if (w->count > AHEAD / 2)
        return 0;
    while (w->count < AHEAD) {
        const size_t i = atomic_fetch_add(&w->writing->next, 1);
        if (i >= files->count)
            break;
        hex_encode(files->items[i].id, files->id_len, name);
        if (git_objects_ask(w->reader, name, err) != 0)
            return -1;
        w->asked[(w->head + w->count++) % AHEAD] = i;
    }
    return git_objects_send(w->reader, err);
}

static void write_some(struct writer *w)
{
    struct writing *writing = w->writing;
    struct err err = {.code = ERR_NONE};
    int rc = 0;

    while (rc == 0 && !atomic_load(&writing->failed)) {
        rc = ask_ahead(w, &err);
        if (rc != 0 || w->count == 0)
            break;
        const size_t i = w->asked[w->head];
        w->head = (w->head + 1) % AHEAD;
        w->count--;
        rc = write_entry(w, &writing->files->items[i], &err);
    }
    if (rc == 0)
        return;
    pthread_mutex_lock(&writing->lock);
    if (!atomic_exchange(&writing->failed, true))
        writing->err = err;
    pthread_mutex_unlock(&writing->lock);
}

/* Without a reader the others do its part. */
static void *run(void *arg)
{
    struct writer *w = arg;
    const struct git_readers *readers = w->writing->files->readers;

    if (readers->take(readers->arg, &w->reader, NULL) != 0)
        return NULL;
    write_some(w);
    readers->give(readers->arg, w->reader);
    return NULL;
}

static size_t thread_count(const struct files *files)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const size_t wanted = 1 + files->count / THREAD_FILES;
    size_t most = cores > 0 && cores < THREADS_MAX ? (size_t)cores : THREADS_MAX;

    return wanted < most ? wanted : most;
}

int files_write(const struct files *files, struct git_objects *reader, struct err *err)
{
    struct writing writing = {.files = files, .err = {.code = ERR_NONE}};
    struct writer writers[THREADS_MAX] = {{.writing = &writing, .reader = reader}};
    pthread_t threads[THREADS_MAX];
    const size_t wanted = thread_count(files);
    size_t started = 1;

    pthread_mutex_init(&writing.lock, NULL);
    for (; started < wanted; started++) {
        writers[started].writing = &writing;
        if (pthread_create(&threads[started], NULL, run, &writers[started]) != 0)
            break;
    }
    write_some(&writers[0]);
    for (size_t i = 1; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&writing.lock);
    if (!atomic_load(&writing.failed))
        return 0;
    *err = writing.err;
    return -1;
}
