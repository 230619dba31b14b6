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
#include "git/files.h"
#include "git/git.h"

/* DESIGN: first all folders, then all files and links (files.c): no folder of a hostile tree is
 * ever made through a link that the tree itself brought, and no file written through one. Trees are
 * asked for ahead of their answers, depth first: `pending` is what is still to ask for (a stack),
 * `asked` what was asked (a ring, since answers come in order). */

#define TREE_MAX     (64u * 1024 * 1024)
#define ENTRIES_MAX  1000000
#define PATH_LEN_MAX 4000

struct entries {
    struct tree_entry *items;
    size_t count, cap;
};

struct checkout {
    struct git_objects *objects;
    int root;
    size_t id_len; /* bytes: 20 or 32 */
    struct entries pending;
    struct tree_entry asked[GIT_OBJECTS_AHEAD];
    size_t asked_head, asked_count;
    struct entries files;
    struct git_found *found;
    size_t entries;
};

/* What git's own verify_path() refuses, and `.git` in any case. */
static int check_name(const char *name, size_t len, const char *parent, struct err *err)
{
    if (len == 0 || memchr(name, '/', len))
        return checkout_refuse(err, parent, "has an entry without a valid name");
    if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
        return checkout_refuse(err, parent, "has an entry named '.' or '..'");
    if (len == 4 && strncasecmp(name, ".git", 4) == 0)
        return checkout_refuse(err, parent, "has an entry named '.git'");
    return 0;
}

static void push(struct entries *entries, unsigned mode, const void *id, size_t id_len, char *path)
{
    if (entries->count == entries->cap) {
        entries->cap = entries->cap ? entries->cap * 2 : 64;
        entries->items = mem_realloc(entries->items, entries->cap, sizeof(*entries->items));
    }
    struct tree_entry *entry = &entries->items[entries->count++];
    entry->mode = mode;
    entry->path = path;
    memcpy(entry->id, id, id_len);
}

static void entries_release(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        free(entries->items[i].path);
    free(entries->items);
}

/* ---- submodules ---- */

static int add_link(struct checkout *co, const void *id, char *path, struct err *err)
{
    struct git_found *found = co->found;

    if (mkdirat(co->root, path, 0755) != 0 || fchmodat(co->root, path, 0755, 0) != 0) {
        checkout_os_error(err, "make the folder", path);
        free(path);
        return -1;
    }
    if (found->link_count == found->link_cap) {
        found->link_cap = found->link_cap ? found->link_cap * 2 : 16;
        found->links = mem_realloc(found->links, found->link_cap, sizeof(*found->links));
    }
    struct git_link *link = &found->links[found->link_count++];
    link->path = path;
    hex_encode(id, co->id_len, link->commit);
    return 0;
}

/* ---- trees ---- */

static int add_entry(struct checkout *co, unsigned mode, const void *id, char *path,
                     struct err *err)
{
    if (++co->entries > ENTRIES_MAX) {
        free(path);
        return err_set(err, ERR_LIMIT, "the commit holds more than %d files and folders",
                       ENTRIES_MAX);
    }
    if ((mode & MODE_TYPE) == MODE_SUBMODULE)
        return add_link(co, id, path, err);
    push((mode & MODE_TYPE) == MODE_TREE ? &co->pending : &co->files, mode, id, co->id_len, path);
    return 0;
}

/* Entries are `<octal mode> <name>\0<id>`. */
static int parse_tree(struct checkout *co, const char *parent, const char *data, size_t len,
                      struct err *err)
{
    const char *end = data + len;

    while (data < end) {
        unsigned mode = 0;
        const char *nul = memchr(data, '\0', (size_t)(end - data));
        const char *name = memchr(data, ' ', (size_t)(end - data));
        if (!nul || !name || name > nul || (size_t)(end - nul - 1) < co->id_len)
            return checkout_refuse(err, parent, "is a folder that cannot be read");
        for (; data < name && mode <= MODE_TYPE && *data >= '0' && *data <= '7'; data++)
            mode = mode * 8 + (unsigned)(*data - '0');
        if (data != name)
            return checkout_refuse(err, parent, "has an entry of an unknown mode");
        name++;
        const size_t name_len = (size_t)(nul - name);
        if (check_name(name, name_len, parent, err) != 0)
            return -1;
        if (strlen(parent) + name_len + 1 > PATH_LEN_MAX)
            return checkout_refuse(err, parent, "has an entry whose path is too long");
        char *path = mem_printf("%s%s%s", parent, parent[0] ? "/" : "", name);
        if (add_entry(co, mode, nul + 1, path, err) != 0)
            return -1;
        data = nul + 1 + co->id_len;
    }
    return 0;
}

static int write_tree(struct checkout *co, const struct tree_entry *entry,
                      const struct git_object *object, struct err *err)
{
    char *data;
    int rc = -1;

    if (object->type != GIT_OBJECT_TREE || object->size > TREE_MAX)
        return checkout_refuse(err, entry->path, "is a folder that cannot be read");
    if (entry->path[0]) {
        if (mkdirat(co->root, entry->path, 0755) != 0)
            return checkout_os_error(err, "make the folder", entry->path);
        if (fchmodat(co->root, entry->path, 0755, 0) != 0)
            return checkout_os_error(err, "set the mode of", entry->path);
    }
    data = mem_alloc((size_t)object->size + 1);
    if (git_objects_read(co->objects, data, (size_t)object->size, err) == 0)
        rc = parse_tree(co, entry->path, data, (size_t)object->size, err);
    free(data);
    return rc;
}

static int read_trees(struct checkout *co, struct err *err)
{
    struct git_object object;
    char name[65];

    while (co->pending.count > 0 || co->asked_count > 0) {
        while (co->pending.count > 0 && co->asked_count < GIT_OBJECTS_AHEAD) {
            const struct tree_entry *next = &co->pending.items[co->pending.count - 1];
            hex_encode(next->id, co->id_len, name);
            if (git_objects_ask(co->objects, name, err) != 0)
                return -1;
            co->asked[(co->asked_head + co->asked_count++) % GIT_OBJECTS_AHEAD] = *next;
            co->pending.count--;
        }
        const struct tree_entry entry = co->asked[co->asked_head];
        co->asked_head = (co->asked_head + 1) % GIT_OBJECTS_AHEAD;
        co->asked_count--;
        int rc = git_objects_next(co->objects, &object, err);
        if (rc == 0 && object.type == GIT_OBJECT_MISSING)
            rc = checkout_missing(err, entry.path);
        if (rc == 0)
            rc = write_tree(co, &entry, &object, err);
        free(entry.path);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* `tree <id>` is a commit's first line. */
static int read_root(struct checkout *co, const char *commit, uint8_t id[32], struct err *err)
{
    struct git_object object;
    char name[65];
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
    snprintf(name, sizeof(name), "%.*s", (int)id_len, text + 5);
    rc = hex_decode(name, id, co->id_len);
    if (rc != 0)
        err_set(err, ERR_INVALID, "commit %s cannot be read", commit);
out:
    free(text);
    return rc;
}

static int run(struct checkout *co, const struct git_readers *readers, const char *commit,
               struct err *err)
{
    uint8_t root_id[32];

    if (read_root(co, commit, root_id, err) != 0)
        return -1;
    push(&co->pending, MODE_TREE, root_id, co->id_len, mem_strdup(""));
    if (read_trees(co, err) != 0)
        return -1;
    const struct files files = {.readers = readers,
                                .items = co->files.items,
                                .count = co->files.count,
                                .id_len = co->id_len,
                                .root = co->root,
                                .found = co->found};
    return files_write(&files, co->objects, err);
}

int git_checkout_write(const struct git_readers *readers, const char *commit, const char *dir,
                       struct git_found *found, struct err *err)
{
    struct checkout co = {.id_len = strlen(commit) / 2, .found = found};
    int rc = -1;

    co.root = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (co.root < 0)
        return err_errno(err, errno, "cannot open the folder '%s' for a checkout", dir);
    if (readers->take(readers->arg, &co.objects, err) == 0) {
        rc = run(&co, readers, commit, err);
        readers->give(readers->arg, co.objects);
    }
    for (size_t i = 0; i < co.asked_count; i++)
        free(co.asked[(co.asked_head + i) % GIT_OBJECTS_AHEAD].path);
    entries_release(&co.pending);
    entries_release(&co.files);
    close(co.root);
    return rc;
}

void git_found_release(struct git_found *found)
{
    for (size_t i = 0; i < found->link_count; i++)
        free(found->links[i].path);
    for (size_t i = 0; i < found->pointer_count; i++)
        free(found->pointers[i].path);
    free(found->links);
    free(found->pointers);
    *found = (struct git_found){.want_pointers = found->want_pointers};
}
