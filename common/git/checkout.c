#include "git/checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "git/git.h"

/* DESIGN: trees and files are asked for ahead of their answers, depth first: `pending` is what is
 * still to ask for (a stack), `asked` what was asked (a ring, since answers come in order). Every
 * folder and file is made by a call that fails if the name is taken, so no entry of a hostile tree
 * is ever written through a link that another entry made. */

#define TREE_MAX     (64u * 1024 * 1024)
#define ENTRIES_MAX  1000000
#define BYTES_MAX    (64ull * 1024 * 1024 * 1024)
#define PATH_LEN_MAX 4000
#define LINK_MAX     4095

#define MODE_TREE      0040000u
#define MODE_LINK      0120000u
#define MODE_SUBMODULE 0160000u
#define MODE_TYPE      0170000u

struct entry {
    unsigned mode;
    char id[65];
    char *path; /* relative; "" for the root */
};

struct checkout {
    struct git_objects *objects;
    int root;
    size_t id_len; /* bytes: 20 or 32 */
    struct entry *pending;
    size_t pending_count, pending_cap;
    struct entry asked[GIT_OBJECTS_AHEAD];
    size_t asked_head, asked_count;
    size_t entries;
    uint64_t bytes;
};

static int refuse(struct err *err, const char *path, const char *why)
{
    return err_set(err, ERR_INVALID, "the commit holds '%.200s', which %s", path, why);
}

/* What git's own verify_path() refuses, and `.git` in any case. */
static int check_name(const char *name, size_t len, const char *parent, struct err *err)
{
    if (len == 0 || memchr(name, '/', len))
        return refuse(err, parent, "has an entry without a valid name");
    if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
        return refuse(err, parent, "has an entry named '.' or '..'");
    if (len == 4 && strncasecmp(name, ".git", 4) == 0)
        return refuse(err, parent, "has an entry named '.git'");
    return 0;
}

static void push(struct checkout *co, unsigned mode, const char *id, char *path)
{
    if (co->pending_count == co->pending_cap) {
        co->pending_cap = co->pending_cap ? co->pending_cap * 2 : 64;
        co->pending = mem_realloc(co->pending, co->pending_cap, sizeof(*co->pending));
    }
    struct entry *entry = &co->pending[co->pending_count++];
    entry->mode = mode;
    entry->path = path;
    snprintf(entry->id, sizeof(entry->id), "%s", id);
}

static int os_error(struct err *err, const char *what, const char *path)
{
    if (errno == EEXIST)
        return refuse(err, path, "is there twice");
    return err_errno(err, errno, "cannot %s '%.200s' of the checkout", what, path);
}

static int add_entry(struct checkout *co, unsigned mode, const char *id, char *path,
                     struct err *err)
{
    if (++co->entries > ENTRIES_MAX) {
        err_set(err, ERR_LIMIT, "the commit holds more than %d files and folders", ENTRIES_MAX);
        goto fail;
    }
    if ((mode & MODE_TYPE) == MODE_SUBMODULE) {
        if (mkdirat(co->root, path, 0755) != 0) {
            os_error(err, "make the folder", path);
            goto fail;
        }
        free(path);
        return 0;
    }
    push(co, mode, id, path);
    return 0;
fail:
    free(path);
    return -1;
}

/* Entries are `<octal mode> <name>\0<id>`. */
static int parse_tree(struct checkout *co, const char *parent, const char *data, size_t len,
                      struct err *err)
{
    const char *end = data + len;

    while (data < end) {
        char id[65];
        unsigned mode = 0;
        const char *nul = memchr(data, '\0', (size_t)(end - data));
        const char *name = memchr(data, ' ', (size_t)(end - data));
        if (!nul || !name || name > nul || (size_t)(end - nul - 1) < co->id_len)
            return refuse(err, parent, "is a folder that cannot be read");
        for (; data < name && mode <= MODE_TYPE && *data >= '0' && *data <= '7'; data++)
            mode = mode * 8 + (unsigned)(*data - '0');
        if (data != name)
            return refuse(err, parent, "has an entry of an unknown mode");
        name++;
        const size_t name_len = (size_t)(nul - name);
        if (check_name(name, name_len, parent, err) != 0)
            return -1;
        if (strlen(parent) + name_len + 1 > PATH_LEN_MAX)
            return refuse(err, parent, "has an entry whose path is too long");
        hex_encode(nul + 1, co->id_len, id);
        char *path = mem_printf("%s%s%s", parent, parent[0] ? "/" : "", name);
        if (add_entry(co, mode, id, path, err) != 0)
            return -1;
        data = nul + 1 + co->id_len;
    }
    return 0;
}

static int write_tree(struct checkout *co, const struct entry *entry,
                      const struct git_object *object, struct err *err)
{
    char *data;
    int rc = -1;

    if (object->type != GIT_OBJECT_TREE || object->size > TREE_MAX)
        return refuse(err, entry->path, "is a folder that cannot be read");
    if (entry->path[0]) {
        if (mkdirat(co->root, entry->path, 0755) != 0)
            return os_error(err, "make the folder", entry->path);
        if (fchmodat(co->root, entry->path, 0755, 0) != 0)
            return os_error(err, "set the mode of", entry->path);
    }
    data = mem_alloc((size_t)object->size + 1);
    if (git_objects_read(co->objects, data, (size_t)object->size, err) == 0)
        rc = parse_tree(co, entry->path, data, (size_t)object->size, err);
    free(data);
    return rc;
}

static int write_link(struct checkout *co, const struct entry *entry, uint64_t size,
                      struct err *err)
{
    char target[LINK_MAX + 1];

    if (size == 0 || size > LINK_MAX)
        return refuse(err, entry->path, "is a symbolic link without a usable target");
    if (git_objects_read(co->objects, target, (size_t)size, err) != 0)
        return -1;
    target[size] = '\0';
    if (strlen(target) != size)
        return refuse(err, entry->path, "is a symbolic link without a usable target");
    if (symlinkat(target, co->root, entry->path) != 0)
        return os_error(err, "make the symbolic link", entry->path);
    return 0;
}

static int copy_content(struct checkout *co, int fd, const char *path, uint64_t size,
                        struct err *err)
{
    while (size > 0) {
        const char *data = NULL;
        size_t len = 0;
        if (git_objects_chunk(co->objects, &data, &len, SIZE_MAX, err) != 0)
            return -1;
        size -= len;
        while (len > 0) {
            const ssize_t n = write(fd, data, len);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return os_error(err, "write", path);
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int write_file(struct checkout *co, const struct entry *entry, uint64_t size,
                      struct err *err)
{
    const mode_t mode = entry->mode & 0100 ? 0755 : 0644;
    int rc = -1;

    const int fd =
        openat(co->root, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return os_error(err, "make", entry->path);
    /* The umask of the service is no part of a commit. */
    if (fchmod(fd, mode) != 0)
        os_error(err, "set the mode of", entry->path);
    else
        rc = copy_content(co, fd, entry->path, size, err);
    close(fd);
    return rc;
}

static int write_entry(struct checkout *co, const struct entry *entry, struct err *err)
{
    struct git_object object;
    const unsigned type = entry->mode & MODE_TYPE;

    if (git_objects_next(co->objects, &object, err) != 0)
        return -1;
    if (object.type == GIT_OBJECT_MISSING)
        return err_set(err, ERR_UNAVAILABLE,
                       "the mirror is broken ('%.200s' of the commit is missing) and is made again "
                       "when next used",
                       entry->path);
    if (type == MODE_TREE)
        return write_tree(co, entry, &object, err);
    if (object.type != GIT_OBJECT_BLOB)
        return refuse(err, entry->path, "is a file that cannot be read");
    co->bytes += object.size;
    if (co->bytes > BYTES_MAX)
        return err_set(err, ERR_LIMIT, "the commit holds more than 64 GiB");
    if (type == MODE_LINK)
        return write_link(co, entry, object.size, err);
    if (type == S_IFREG)
        return write_file(co, entry, object.size, err);
    return refuse(err, entry->path, "has an unknown mode");
}

static int run(struct checkout *co, struct err *err)
{
    while (co->pending_count > 0 || co->asked_count > 0) {
        while (co->pending_count > 0 && co->asked_count < GIT_OBJECTS_AHEAD) {
            struct entry *next = &co->pending[co->pending_count - 1];
            if (git_objects_ask(co->objects, next->id, err) != 0)
                return -1;
            co->asked[(co->asked_head + co->asked_count++) % GIT_OBJECTS_AHEAD] = *next;
            co->pending_count--;
        }
        struct entry *entry = &co->asked[co->asked_head];
        const int rc = write_entry(co, entry, err);
        free(entry->path);
        co->asked_head = (co->asked_head + 1) % GIT_OBJECTS_AHEAD;
        co->asked_count--;
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* `tree <id>` is a commit's first line. */
static int read_root(struct checkout *co, const char *commit, char id[65], struct err *err)
{
    struct git_object object;
    char *text;
    int rc = -1;

    if (git_objects_ask(co->objects, commit, err) != 0 ||
        git_objects_next(co->objects, &object, err) != 0)
        return -1;
    if (object.type == GIT_OBJECT_MISSING)
        return err_set(err, ERR_NOT_FOUND, "the mirror does not have commit %s", commit);
    if (object.type != GIT_OBJECT_COMMIT || object.size > TREE_MAX)
        return err_set(err, ERR_INVALID, "%s is no commit", commit);
    const size_t id_len = 2 * co->id_len;
    text = mem_alloc((size_t)object.size + 1);
    if (git_objects_read(co->objects, text, (size_t)object.size, err) != 0)
        goto out;
    if (object.size < 6 + id_len || strncmp(text, "tree ", 5) != 0 || text[5 + id_len] != '\n') {
        err_set(err, ERR_INVALID, "commit %s cannot be read", commit);
        goto out;
    }
    snprintf(id, 65, "%.*s", (int)id_len, text + 5);
    rc = 0;
out:
    free(text);
    return rc;
}

int git_checkout_write(struct git_objects *objects, const char *commit, const char *dir,
                       struct err *err)
{
    struct checkout co = {.objects = objects, .id_len = strlen(commit) / 2};
    char root_id[65];
    int rc = -1;

    co.root = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (co.root < 0)
        return err_errno(err, errno, "cannot open the folder '%s' for a checkout", dir);
    if (read_root(&co, commit, root_id, err) == 0) {
        push(&co, MODE_TREE, root_id, mem_strdup(""));
        rc = run(&co, err);
    }
    for (size_t i = 0; i < co.asked_count; i++)
        free(co.asked[(co.asked_head + i) % GIT_OBJECTS_AHEAD].path);
    for (size_t i = 0; i < co.pending_count; i++)
        free(co.pending[i].path);
    free(co.pending);
    close(co.root);
    return rc;
}
