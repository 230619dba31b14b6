#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "archive/internal.h"

const char *name_wrong(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > ARCHIVE_NAME_MAX)
        return "a path of 1 to 4000 bytes is allowed";
    if (!str_is_utf8(name, len))
        return "its name is not UTF-8";
    if (*name == '/')
        return "its name is an absolute path";
    for (const char *p = name; *p;) {
        size_t part = strcspn(p, "/");
        if (part == 0 || (part == 1 && *p == '.'))
            return "its name has an empty part";
        if (part == 2 && p[0] == '.' && p[1] == '.')
            return "its name leads out of the folder";
        for (size_t i = 0; i < part; i++) {
            if ((unsigned char)p[i] < 0x20 || p[i] == 0x7F)
                return "its name has a control character";
            if (p[i] == '\\')
                return "its name has a backslash";
        }
        p += part;
        if (*p == '/' && !*++p)
            return "its name has an empty part";
    }
    return NULL;
}

bool link_stays(const char *name, const char *target)
{
    long depth = 0;
    if (*target == '/' || !*target)
        return false;
    for (const char *p = name; (p = strchr(p, '/')); p++)
        depth++;
    for (const char *p = target; *p;) {
        size_t part = strcspn(p, "/");
        if (part == 2 && p[0] == '.' && p[1] == '.')
            depth--;
        else if (part && !(part == 1 && *p == '.'))
            depth++;
        if (depth < 0)
            return false;
        p += part + (p[part] == '/');
    }
    return true;
}

const struct archive_mount *mount_of(const struct archive_tree *tree, const char *path,
                                     const char **rest)
{
    const struct archive_mount *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; i < tree->mount_count; i++) {
        const struct archive_mount *mount = &tree->mounts[i];
        size_t len = strlen(mount->inside);
        bool fits = *path == '/' ? len && strncmp(path, mount->inside, len) == 0 &&
                                       (path[len] == '/' || !path[len])
                                 : len == 0;
        if (fits && (!best || len > best_len)) {
            best = mount;
            best_len = len;
        }
    }
    if (best)
        *rest = path + best_len + (path[best_len] == '/');
    return best;
}

int mount_open(const struct archive_tree *tree, const struct archive_mount *mount)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int dir = open(tree->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, mount->below, &how, sizeof(how));
    int error = errno;
    if (dir >= 0)
        close(dir);
    errno = error;
    return fd;
}

void archive_left_release(struct archive_left *left)
{
    strv_release(&left->notes);
    left->count = 0;
}

void text_locale_set(struct text_locale *locale)
{
    locale->own = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale->before = locale->own ? uselocale(locale->own) : (locale_t)0;
}

void text_locale_restore(struct text_locale *locale)
{
    if (!locale->own)
        return;
    uselocale(locale->before);
    freelocale(locale->own);
}
