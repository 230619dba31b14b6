/* DESIGN: the layers of a pipeline's images are the folder in which its builds' image tools keep
 * theirs. A build that begins takes it: the folder is moved into its place, so no other build has
 * it and none of another pipeline can; one that comes meanwhile goes without. A build whose
 * commands have run moves it back once no process of it is left, and replaces what another gave
 * back before. What a build that was stopped had is gone with it. Nothing here looks into such a
 * folder: its files belong to subordinate ids, and what they say is that pipeline's business. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "build/internal.h"
#include "log/log.h"
#include "sandbox/sandbox.h"

#define SWEEP_MS (60 * 60 * 1000)
#define GONE     ".gone-" /* begins the name of one that is removed */

/* One that no build has. */
struct kept_layers {
    TAILQ_ENTRY(kept_layers) link;
    struct build_layers *layers;
    char *pipeline, *path;
    uint64_t bytes; /* 0 until measured */
    int64_t used_ms;
    bool measuring;
};
TAILQ_HEAD(kept_list, kept_layers);

struct build_layers {
    struct sandbox_pool *pool;
    char *dir;
    uint64_t bytes_max;
    int64_t keep_ms;
    struct loop_timer *sweep;
    struct kept_list all;      /* the one that was used last is last */
    struct kept_list measured; /* no longer among them, but still asked for */
};

/* ---- what is kept ---- */

static void kept_free(struct kept_layers *kept)
{
    free(kept->pipeline);
    free(kept->path);
    free(kept);
}

/* It is none of these any more. */
static void forget(struct kept_layers *kept)
{
    TAILQ_REMOVE(&kept->layers->all, kept, link);
    if (kept->measuring)
        TAILQ_INSERT_TAIL(&kept->layers->measured, kept, link);
    else
        kept_free(kept);
}

static void on_removed(const struct sandbox_tree *tree, void *arg)
{
    (void)arg;
    if (tree->error)
        log_warn("layers of a pipeline are not all removed", LOG_S("error", strerror(tree->error)));
}

static void remove_tree(struct build_layers *layers, const char *path)
{
    char id[ID_SIZE];
    id_random(id);
    char *gone = mem_printf("%s/" GONE "%s", layers->dir, id);
    if (rename(path, gone) == 0)
        sandbox_tree_remove(layers->pool, gone, on_removed, NULL);
    else
        log_warn("layers of a pipeline cannot be removed", LOG_S("folder", path),
                 LOG_S("error", strerror(errno)));
    free(gone);
}

static void drop(struct kept_layers *kept)
{
    remove_tree(kept->layers, kept->path);
    forget(kept);
}

static struct kept_layers *find(struct build_layers *layers, const char *pipeline)
{
    struct kept_layers *kept;
    TAILQ_FOREACH(kept, &layers->all, link)
    {
        if (str_eq(kept->pipeline, pipeline))
            return kept;
    }
    return NULL;
}

/* Those go first that nobody used for longest. */
static void trim(struct build_layers *layers)
{
    struct kept_layers *kept;
    uint64_t sum = 0;
    TAILQ_FOREACH(kept, &layers->all, link)
    sum += kept->bytes;
    while (sum > layers->bytes_max && (kept = TAILQ_FIRST(&layers->all))) {
        sum -= kept->bytes;
        log_info("layers are removed for want of room", LOG_S("pipeline", kept->pipeline),
                 LOG_I("mib", (int64_t)(kept->bytes >> 20)));
        drop(kept);
    }
}

static void on_measured(const struct sandbox_tree *tree, void *arg)
{
    struct kept_layers *kept = arg;
    struct build_layers *layers = kept->layers;
    kept->measuring = false;
    if (find(layers, kept->pipeline) != kept) {
        TAILQ_REMOVE(&layers->measured, kept, link);
        kept_free(kept);
        return;
    }
    kept->bytes = tree->error ? UINT64_MAX : tree->bytes;
    if (kept->bytes > layers->bytes_max) {
        log_info("layers are removed: they are more than may be kept",
                 LOG_S("pipeline", kept->pipeline), LOG_I("mib", (int64_t)(kept->bytes >> 20)));
        drop(kept);
        return;
    }
    trim(layers);
}

static void add(struct build_layers *layers, const char *pipeline, int64_t used_ms)
{
    struct kept_layers *kept = mem_alloc(sizeof(*kept)), *later;
    *kept = (struct kept_layers){.layers = layers,
                                 .pipeline = mem_strdup(pipeline),
                                 .path = mem_printf("%s/%s", layers->dir, pipeline),
                                 .used_ms = used_ms,
                                 .measuring = true};
    TAILQ_FOREACH(later, &layers->all, link)
    {
        if (later->used_ms > used_ms)
            break;
    }
    if (later)
        TAILQ_INSERT_BEFORE(later, kept, link);
    else
        TAILQ_INSERT_TAIL(&layers->all, kept, link);
    sandbox_tree_measure(layers->pool, kept->path, on_measured, kept);
}

static void on_sweep(void *arg)
{
    struct build_layers *layers = arg;
    struct kept_layers *kept;
    const int64_t before = clock_now_ms() - layers->keep_ms;
    loop_timer_arm(layers->sweep, SWEEP_MS);
    while (layers->keep_ms && (kept = TAILQ_FIRST(&layers->all)) && kept->used_ms < before)
        drop(kept);
}

/* ---- a build takes and gives ---- */

static bool is_folder(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static char *place_path(const struct build *build)
{
    return mem_printf("%s/%s", build->place->dir, build->place->ops->layers);
}

bool layers_are_kept(const struct build *build)
{
    return build->env->layers && build->place->ops->layers && str_is_name(build->request->pipeline);
}

void layers_take(struct build *build)
{
    struct kept_layers *kept =
        layers_are_kept(build) ? find(build->env->layers, build->request->pipeline) : NULL;
    if (!kept)
        return;
    char *to = place_path(build);
    if (rename(kept->path, to) == 0)
        build_mark(build, "Layers of the pipeline's earlier builds are here");
    else
        build_mark(build, "Layers of the pipeline's earlier builds cannot be had: %s",
                   strerror(errno));
    forget(kept);
    free(to);
}

static void give(struct build *build, const char *from)
{
    struct build_layers *layers = build->env->layers;
    const char *pipeline = build->request->pipeline;
    struct kept_layers *older = find(layers, pipeline);
    char *to = mem_printf("%s/%s", layers->dir, pipeline);
    if (older)
        drop(older);
    /* Its time is that of its last use, also after a restart. */
    if (utimensat(AT_FDCWD, from, NULL, AT_SYMLINK_NOFOLLOW) != 0 || rename(from, to) != 0)
        build_mark(build, "Layers are not kept: %s", strerror(errno));
    else
        add(layers, pipeline, clock_now_ms());
    free(to);
}

static void on_gone(void *arg)
{
    struct build *build = arg;
    if (build->stopping)
        return;
    char *from = place_path(build);
    give(build, from);
    free(from);
    build->layers_next(build);
}

void layers_give(struct build *build, void (*next)(struct build *build))
{
    char *from = layers_are_kept(build) ? place_path(build) : NULL;
    build->layers_next = next;
    /* A process that is left could write to it while the next build has it. */
    if (from && is_folder(from))
        build->place->ops->stop(build->place, 0, on_gone, build);
    else
        next(build);
    free(from);
}

/* ---- life ---- */

static void find_kept(struct build_layers *layers, DIR *dir)
{
    struct stat st;
    for (struct dirent *e; (e = readdir(dir));) {
        char *path = mem_printf("%s/%s", layers->dir, e->d_name);
        if (str_is_name(e->d_name) && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            add(layers, e->d_name, (int64_t)st.st_mtim.tv_sec * 1000);
        else if (str_starts(e->d_name, GONE))
            sandbox_tree_remove(layers->pool, path, on_removed, NULL);
        free(path);
    }
}

int build_layers_new(struct build_layers **out, struct loop *loop,
                     const struct build_layers_conf *conf, struct err *err)
{
    if (file_mkdirs(conf->dir, 0700, err) < 0)
        return -1;
    DIR *dir = opendir(conf->dir);
    if (!dir)
        return err_errno(err, errno, "cannot read the folder '%s'", conf->dir);
    struct build_layers *layers = mem_alloc(sizeof(*layers));
    *layers = (struct build_layers){.pool = conf->pool,
                                    .dir = mem_strdup(conf->dir),
                                    .bytes_max = conf->bytes_max,
                                    .keep_ms = conf->keep_ms};
    TAILQ_INIT(&layers->all);
    TAILQ_INIT(&layers->measured);
    layers->sweep = loop_timer_new(loop, on_sweep, layers);
    find_kept(layers, dir);
    closedir(dir);
    loop_timer_arm(layers->sweep, 0);
    *out = layers;
    return 0;
}

void build_layers_clear(struct build_layers *layers)
{
    struct kept_layers *kept;
    while (layers && (kept = TAILQ_FIRST(&layers->all)))
        drop(kept);
}

void build_layers_free(struct build_layers *layers)
{
    struct kept_layers *kept;
    if (!layers)
        return;
    TAILQ_CONCAT(&layers->all, &layers->measured, link);
    while ((kept = TAILQ_FIRST(&layers->all))) {
        TAILQ_REMOVE(&layers->all, kept, link);
        kept_free(kept);
    }
    loop_timer_free(layers->sweep);
    free(layers->dir);
    free(layers);
}
