#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"
#include "build/internal.h"
#include "buildspec/files.h"

void place_tree_init(struct place_tree *out, const struct build *build)
{
    const struct build_place *place = build->place;
    out->mounts[0] = (struct archive_mount){"", "build/src"};
    out->mounts[1] = (struct archive_mount){place->paths.build, "build"};
    out->mounts[2] = (struct archive_mount){place->paths.home, "home"};
    out->tree = (struct archive_tree){.dir = place->dir, .mounts = out->mounts, .mount_count = 3};
}

static void want(const struct build_paths *paths, const char *root, struct strv *out)
{
    const struct {
        const char *inside, *below;
    } mounts[] = {{paths->build, "build"}, {paths->home, "home"}};
    if (*root != '/') {
        strv_addf(out, "build/src%s%s", *root ? "/" : "", root);
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(mounts[i].inside);
        if (str_starts(root, mounts[i].inside) && (!root[len] || root[len] == '/'))
            strv_addf(out, "%s%s", mounts[i].below, root + len);
    }
}

void place_wants(const struct build *build, const struct files *files, struct strv *paths)
{
    struct strv roots = {0};
    files_roots(files, &roots);
    for (size_t i = 0; i < roots.count; i++)
        want(&build->place->paths, roots.items[i], paths);
    strv_release(&roots);
}

void build_outermost(const struct strv *paths, struct strv *out)
{
    for (size_t i = 0; i < paths->count; i++) {
        bool within = false;
        for (size_t j = 0; j < paths->count && !within; j++) {
            size_t len = strlen(paths->items[j]);
            within = j != i && strncmp(paths->items[i], paths->items[j], len) == 0 &&
                     (paths->items[i][len] == '/' || (!paths->items[i][len] && j < i));
        }
        if (!within)
            strv_add(out, paths->items[i]);
    }
}

int place_file(const struct build *build, struct err *err)
{
    const char *dir = build->place->dir;
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? err_errno(err, errno, "cannot make a file in '%s'", dir) : fd;
}

static void on_moved(const struct err *err, void *arg)
{
    struct build *build = arg;
    if (build->stopping)
        return;
    if (err && err->code != ERR_NONE)
        build_give_back(build, err);
    else
        build->moved(build);
}

void place_bring(struct build *build, const struct strv *paths, uint64_t limit_bytes,
                 void (*next)(struct build *build))
{
    const struct build_driver_ops *ops = build->place->ops;
    struct err err = {0};
    build->moved = next;
    if (!ops->bring || !paths->count)
        next(build);
    else if (ops->bring(build->place, paths, limit_bytes, on_moved, build, &err) < 0)
        build_give_back(build, &err);
}

void place_send(struct build *build, const struct strv *paths, void (*next)(struct build *build))
{
    const struct build_driver_ops *ops = build->place->ops;
    struct err err = {0};
    build->moved = next;
    if (!build->opened || !ops->bring)
        next(build);
    else if (ops->send(build->place, paths, on_moved, build, &err) < 0)
        build_give_back(build, &err);
}
