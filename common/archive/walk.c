#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/internal.h"
#include "base/mem.h"
#include "buildspec/files.h"

#define ENTRIES_MAX 1000000
#define OUTSIDE     "a link that leads out of the build's folder, or nowhere"

struct walker {
    const struct archive_walk *conf;
    struct archive_left *left;
    struct err *err;
    int mount;           /* opened */
    size_t skip;         /* of `path`: what is before the part below the mount */
    char path[PATH_MAX]; /* as the build sees it */
    struct stat above[ARCHIVE_DEPTH_MAX + 1]; /* the folders that one is in, to see a circle */
    uint64_t entries;
};

static void leave_out(struct walker *w, const char *why)
{
    char shown[300] = "";
    size_t n = 0;
    if (w->left->count++ >= ARCHIVE_NOTES_MAX)
        return;
    for (const char *p = w->path; *p && n < sizeof(shown) - 1; p++)
        shown[n++] = (unsigned char)*p < 0x20 || *p == 0x7F ? '?' : *p;
    for (size_t i = 0; !str_is_utf8(shown, n) && i < n; i++)
        shown[i] = (unsigned char)shown[i] < 0x80 ? shown[i] : '?';
    shown[n] = '\0';
    strv_addf(&w->left->notes, "%s: %s", shown, why);
}

static void leave_out_errno(struct walker *w)
{
    leave_out(w, errno == EXDEV || errno == ELOOP || errno == ENOENT ? OUTSIDE : strerror(errno));
}

/* What `path` names, links followed within the mount only. */
static int open_below(const struct walker *w, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    const char *rest = w->path + w->skip;
    return (int)syscall(SYS_openat2, w->mount, *rest ? rest : ".", &how, sizeof(how));
}

static int give(struct walker *w, struct archive_found *found)
{
    const char *wrong = name_wrong(found->name);
    if (wrong) {
        leave_out(w, wrong);
        return 0;
    }
    found->path = w->path;
    return w->conf->each(found, w->conf->arg, w->err);
}

static int take_file(struct walker *w)
{
    struct archive_found found = {.fd = -1};
    struct stat st;
    int rc = 0;
    if (!files_match(w->conf->files, w->path, &found.name))
        return 0;
    found.fd = open_below(w, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (found.fd < 0) {
        leave_out_errno(w);
        return 0;
    }
    if (fstat(found.fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        leave_out(w, "neither a file nor a link");
    } else {
        found.size = (uint64_t)st.st_size;
        found.mode = st.st_mode & 0777;
        found.modified_s = st.st_mtim.tv_sec;
        rc = give(w, &found);
    }
    close(found.fd);
    return rc;
}

static int take_link(struct walker *w, int folder, const char *name)
{
    struct archive_found found = {.fd = -1, .mode = 0777};
    char target[PATH_MAX];
    if (!files_match(w->conf->files, w->path, &found.name))
        return 0;
    ssize_t n = readlinkat(folder, name, target, sizeof(target));
    if (n < 0 || n == sizeof(target)) {
        leave_out_errno(w);
        return 0;
    }
    target[n] = '\0';
    if (!link_stays(found.name, target) || !link_stays(w->path + w->skip, target) ||
        !str_is_utf8(target, (size_t)n)) {
        leave_out(w, OUTSIDE);
        return 0;
    }
    found.link = target;
    return give(w, &found);
}

static int walk_folder(struct walker *w, unsigned depth);

static bool is_circle(const struct walker *w, const struct stat *st, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++) {
        if (w->above[i].st_dev == st->st_dev && w->above[i].st_ino == st->st_ino)
            return true;
    }
    return false;
}

/* What a link leads to, or what the file system did not say of itself. */
static int take_unknown(struct walker *w, unsigned depth)
{
    struct stat st;
    bool is_match = files_match(w->conf->files, w->path, NULL);
    bool may_hold = files_may_hold(w->conf->files, w->path);
    if (!is_match && !may_hold)
        return 0;
    int fd = open_below(w, O_PATH);
    if (fd < 0 || fstat(fd, &st) != 0) {
        leave_out_errno(w);
        if (fd >= 0)
            close(fd);
        return 0;
    }
    close(fd);
    if (!S_ISDIR(st.st_mode))
        return take_file(w);
    return may_hold && !is_circle(w, &st, depth) ? walk_folder(w, depth) : 0;
}

static int take_entry(struct walker *w, int folder, const char *name, unsigned char type,
                      unsigned depth)
{
    struct stat st;
    if (++w->entries > ENTRIES_MAX)
        return err_set(w->err, ERR_LIMIT, "there are more than %d files and folders to look at",
                       ENTRIES_MAX);
    if (w->conf->stop && *w->conf->stop)
        return err_set(w->err, ERR_CONFLICT, "it was stopped");
    if (type == DT_UNKNOWN && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = S_ISLNK(st.st_mode)   ? DT_LNK
               : S_ISDIR(st.st_mode) ? DT_DIR
                                     : DT_REG; /* or whatever take_file() then sees */
    if (type == DT_LNK)
        return w->conf->keep_links ? take_link(w, folder, name) : take_unknown(w, depth);
    if (type == DT_DIR)
        return files_may_hold(w->conf->files, w->path) ? walk_folder(w, depth) : 0;
    return take_file(w);
}

struct name {
    unsigned char type;
    char text[256];
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* All of them, so that no more descriptors than folders above are open, and sorted. */
static int read_names(struct walker *w, DIR *dir, struct name **out, size_t *count)
{
    size_t cap = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
            continue;
        if (*count >= ENTRIES_MAX)
            return err_set(w->err, ERR_LIMIT, "a folder has more than %d entries", ENTRIES_MAX);
        if (*count == cap) {
            cap = cap ? 2 * cap : 64;
            *out = mem_realloc(*out, cap, sizeof(**out));
        }
        struct name *name = &(*out)[(*count)++];
        name->type = e->d_type;
        snprintf(name->text, sizeof(name->text), "%s", e->d_name);
    }
    if (*count)
        qsort(*out, *count, sizeof(**out), by_text);
    return 0;
}

static int walk_names(struct walker *w, int folder, const struct name *names, size_t count,
                      unsigned depth)
{
    size_t len = strlen(w->path);
    const char *slash = len && w->path[len - 1] != '/' ? "/" : "";
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        int n = snprintf(w->path + len, sizeof(w->path) - len, "%s%s", slash, names[i].text);
        if (n < 0 || (size_t)n >= sizeof(w->path) - len) {
            w->path[len] = '\0';
            leave_out(w, "a path in it is too long");
            continue;
        }
        rc = take_entry(w, folder, names[i].text, names[i].type, depth + 1);
        w->path[len] = '\0';
    }
    return rc;
}

static int walk_folder(struct walker *w, unsigned depth)
{
    struct name *names = NULL;
    size_t count = 0;
    if (depth >= ARCHIVE_DEPTH_MAX)
        return err_set(w->err, ERR_LIMIT, "'%.200s' is more than %d folders deep", w->path,
                       ARCHIVE_DEPTH_MAX);
    int fd = open_below(w, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 || fstat(fd, &w->above[depth]) != 0 ? NULL : fdopendir(fd);
    if (!dir) {
        leave_out_errno(w);
        if (fd >= 0)
            close(fd);
        return 0;
    }
    int rc = read_names(w, dir, &names, &count);
    if (rc == 0)
        rc = walk_names(w, fd, names, count, depth);
    closedir(dir);
    free(names);
    return rc;
}

/* One of the folders, or files, that together hold all. */
static int walk_root(struct walker *w, const char *root)
{
    const char *rest = NULL;
    struct stat st;
    snprintf(w->path, sizeof(w->path), "%s", root);
    if (strlen(root) >= sizeof(w->path))
        return 0;
    const struct archive_mount *mount = mount_of(w->conf->tree, root, &rest);
    if (!mount) {
        leave_out(w, "nothing there is the build's own");
        return 0;
    }
    w->skip = (size_t)(rest - root);
    w->mount = mount_open(w->conf->tree, mount);
    int fd = w->mount < 0 ? -1 : open_below(w, O_PATH);
    int rc = 0;
    if (fd < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            leave_out_errno(w);
    } else if (fstat(fd, &st) == 0) {
        rc = S_ISDIR(st.st_mode) ? walk_folder(w, 0) : take_file(w);
    }
    if (fd >= 0)
        close(fd);
    if (w->mount >= 0)
        close(w->mount);
    return rc;
}

int archive_walk(const struct archive_walk *walk, struct archive_left *left, struct err *err)
{
    struct walker *w = mem_alloc(sizeof(*w));
    struct strv roots = {0};
    int rc = 0;
    w->conf = walk;
    w->left = left;
    w->err = err;
    files_roots(walk->files, &roots);
    strv_sort(&roots);
    for (size_t i = 0; i < roots.count && rc == 0; i++)
        rc = walk_root(w, roots.items[i]);
    strv_release(&roots);
    free(w);
    return rc;
}
