/* Files of a place, to its container and back: packed and unpacked on a worker, by way of a file
 * without a name in the place's folder. One transfer at a time. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/file.h"
#include "base/mem.h"
#include "build/docker_place.h"

#define PARTS_MAX 64

static void get_next(struct docker_place *place);

static void finish(struct docker_place *place)
{
    struct docker_transfer *t = &place->transfer;
    const struct err err = t->err;
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    strv_release(&t->paths);
    t->done(place, err.code == ERR_NONE ? NULL : &err);
}

static int begin(struct docker_place *place, const struct strv *paths,
                 void (*done)(struct docker_place *place, const struct err *err))
{
    struct docker_transfer *t = &place->transfer;
    strv_release(&t->paths);
    build_outermost(paths, &t->paths);
    t->place = place;
    t->at = 0;
    t->came = 0;
    t->err = (struct err){0};
    t->done = done;
    t->fd = open(place->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return t->fd < 0 ? err_errno(&t->err, errno, "cannot make a file in '%s'", place->dir) : 0;
}

static void work(struct docker_place *place, void (*job)(void *arg), void (*done)(void *arg))
{
    place->working++;
    loop_work(place->driver->loop, job, done, place);
}

/* True: it goes on. */
static bool worked(struct docker_place *place)
{
    bool goes_on = !place->freed && !place->halt;
    docker_place_release(place);
    return goes_on;
}

/* What lies below dir at `path` is this inside. */
static char *inside(const char *path)
{
    static const struct {
        const char *below, *inside;
    } roots[] = {{"build", DOCKER_BUILD}, {"home", DOCKER_HOME}, {"run", "/run/gantry"}};
    for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
        size_t len = strlen(roots[i].below);
        if (strncmp(path, roots[i].below, len) == 0 && (path[len] == '/' || !path[len]))
            return mem_printf("%s%s", roots[i].inside, path + len);
    }
    return mem_printf("/%s", path);
}

/* ---- there ---- */

/* On a worker. */
static void pack(void *arg)
{
    struct docker_place *place = arg;
    struct docker_transfer *t = &place->transfer;
    struct archive_part parts[PARTS_MAX];
    char *names[PARTS_MAX];
    size_t count = t->paths.count;
    if (count > PARTS_MAX) {
        err_set(&t->err, ERR_LIMIT, "more than %d paths at once", PARTS_MAX);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = inside(t->paths.items[i]);
        parts[i] = (struct archive_part){.below = t->paths.items[i], .name = names[i] + 1};
    }
    const struct archive_tar tar = {
        .dir = place->dir, .parts = parts, .part_count = count, .stop = &place->halt};
    (void)archive_tar(&tar, t->fd, &t->size, &t->err);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
}

static void on_put(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    (void)answer;
    place->call = NULL;
    place->transfer.err = *err;
    finish(place);
}

static void on_packed(void *arg)
{
    struct docker_place *place = arg;
    struct docker_transfer *t = &place->transfer;
    if (!worked(place))
        return;
    if (t->err.code != ERR_NONE)
        finish(place);
    else
        place->call =
            docker_put(place->driver->docker, place->id, "/", t->fd, t->size, on_put, place);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void on_nothing(void *arg)
{
    if (worked(arg))
        finish(arg);
}

void docker_files_put(struct docker_place *place, const struct strv *paths,
                      void (*done)(struct docker_place *place, const struct err *err))
{
    if (begin(place, paths, done) < 0)
        work(place, nothing, on_nothing);
    else
        work(place, pack, on_packed);
}

/* ---- and back ---- */

/* On a worker: what is here is as the builder put it, before the commands; what came replaces it.
 */
static void unpack(void *arg)
{
    struct docker_place *place = arg;
    struct docker_transfer *t = &place->transfer;
    const char *below = t->paths.items[t->at];
    struct archive_unpacked unpacked = {0};
    int rc = file_remove_beneath(place->dir, below, &t->err);
    const struct archive_untar untar = {.dir = place->dir,
                                        .below = below,
                                        .limits.bytes = t->left ? t->left : 1,
                                        .stop = &place->halt};
    if (rc == 0 && t->size)
        rc = archive_untar(&untar, t->fd, &unpacked, &t->err);
    t->left -= unpacked.bytes < t->left ? unpacked.bytes : t->left;
    if (rc == 0 && ftruncate(t->fd, 0) != 0)
        err_errno(&t->err, errno, "cannot empty a file in '%s'", place->dir);
}

static void on_unpacked(void *arg)
{
    struct docker_place *place = arg;
    struct docker_transfer *t = &place->transfer;
    if (!worked(place))
        return;
    t->at++;
    if (t->err.code != ERR_NONE)
        finish(place);
    else
        get_next(place);
}

static void on_got(const struct docker_answer *answer, const struct err *err, void *arg)
{
    struct docker_place *place = arg;
    struct docker_transfer *t = &place->transfer;
    place->call = NULL;
    t->size = err->code == ERR_NONE ? answer->bytes : 0;
    if (err->code != ERR_NONE && err->code != ERR_NOT_FOUND) {
        t->err = *err;
        finish(place);
    } else {
        work(place, unpack, on_unpacked);
    }
}

static void get_next(struct docker_place *place)
{
    struct docker_transfer *t = &place->transfer;
    if (t->at == t->paths.count) {
        finish(place);
        return;
    }
    char *path = inside(t->paths.items[t->at]);
    /* Heads and ends of an archive's entries, beside what is in them. */
    place->call = docker_get(place->driver->docker, place->id, path, t->fd, 2 * t->left + (1 << 20),
                             on_got, place);
    free(path);
}

void docker_files_get(struct docker_place *place, const struct strv *paths, uint64_t limit,
                      void (*done)(struct docker_place *place, const struct err *err))
{
    place->transfer.left = limit;
    if (begin(place, paths, done) < 0)
        work(place, nothing, on_nothing);
    else
        get_next(place);
}
