/* DESIGN: a cache is an archive of whole paths in the artifact store, below the pipeline's name and
 * a hash of the cache's paths: what was kept by another pipeline, or for other paths, is never
 * found. A key is written so that what begins a key begins its object's, too:
 *
 *   cache/<pipeline>/<paths>/key/<key, other bytes than letters, digits, _ - and . as %XX>
 *   cache/<pipeline>/<paths>/only                       without a key: replaced by each build
 *
 * That a cache cannot be fetched or kept is told and the build goes on without it; one that cannot
 * be unpacked is removed and fails the build, which has half of it by then. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "build/internal.h"
#include "buildspec/files.h"
#include "store/artifact_store.h"

#define LEVEL      1 /* of deflate: a cache is read as often as it is written */
#define KEY_MAX    180
#define PACKED_MAX (8ULL * 1024 * 1024 * 1024)

struct cache {
    char *root;       /* cache/<pipeline>/<paths>/ */
    char *key;        /* the object's of the cache's own key */
    bool found_exact; /* under its own key: it need not be kept again */
    size_t fallback;  /* the next one to look for */
    char *got;        /* the object that is fetched */
    int fd;
    struct archive_unpacked unpacked;
    struct archive_packed packed;
    struct files *files;
    struct err err;
    struct artifact_call *call;
    void (*next)(struct build *build);
};

/* ---- keys ---- */

/* NULL: too long. */
static char *written(const char *root, const char *key)
{
    struct buf out;
    buf_init(&out, ARTIFACT_KEY_MAX);
    buf_addf(&out, "%skey/", root);
    size_t begin = out.len;
    for (const unsigned char *p = (const unsigned char *)key; *p; p++) {
        bool plain = isalnum(*p) || *p == '_' || *p == '-' || (*p == '.' && out.len > begin);
        if (plain)
            buf_addc(&out, (char)*p);
        else
            buf_addf(&out, "%%%02X", *p);
    }
    if (out.overflow || out.len - begin > KEY_MAX) {
        buf_release(&out);
        return NULL;
    }
    return buf_detach(&out);
}

static char *root_of(const struct build *build)
{
    const struct strv *paths = &build->spec->cache.paths;
    char hash[SHA256_HEX_SIZE];
    struct sha256_sum *sum = sha256_sum_new();
    for (size_t i = 0; i < paths->count; i++)
        sha256_sum_add(sum, paths->items[i], strlen(paths->items[i]) + 1);
    sha256_sum_end(sum, hash);
    return mem_printf("cache/%s/%.16s/", build->request->pipeline, hash);
}

/* NULL: there is none to speak of, which was told where somebody wants to know. */
static struct cache *cache_of(struct build *build)
{
    const struct buildspec_cache *spec = &build->spec->cache;
    if (build->cache || !spec->paths.count || build->cache_refused)
        return build->cache;
    if (!build->env->artifacts) {
        build_mark(build, "Cache: there is no artifact store here to keep it in");
        build->cache_refused = true;
        return NULL;
    }
    char *root = root_of(build);
    char *key = spec->key ? written(root, spec->key) : mem_printf("%sonly", root);
    if (!key || (spec->key && !*spec->key)) {
        build_mark(build, "Cache: the key '%.100s' is empty or too long: it is left out",
                   spec->key);
        build->cache_refused = true;
        free(root);
        free(key);
        return NULL;
    }
    build->cache = mem_alloc(sizeof(*build->cache));
    build->cache->root = root;
    build->cache->key = key;
    build->cache->fd = -1;
    return build->cache;
}

static void end(struct build *build)
{
    struct cache *cache = build->cache;
    if (cache->fd >= 0)
        close(cache->fd);
    cache->fd = -1;
    cache->next(build);
}

static void go_without(struct build *build, const char *what, const struct err *err)
{
    build_mark(build, "Cache: it is not %s: %s", what, err->msg);
    end(build);
}

/* What the key's object was called by people. */
static const char *shown(const struct cache *cache, const char *object)
{
    size_t len = strlen(cache->root);
    return str_starts(object + len, "key/") ? object + len + strlen("key/") : "without a key";
}

/* ---- restore ---- */

static void look_further(struct build *build);

static void on_removed(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct build *build = arg;
    (void)answer;
    (void)err;
    build->cache->call = NULL;
    if (!build->stopping)
        build_fail(build, PHASE_DOWNLOAD_SOURCE, build->cache->err.msg, NULL, 0);
}

/* On a worker. */
static void unpack(struct build *build)
{
    struct cache *cache = build->cache;
    struct place_tree place;
    place_tree_init(&place, build);
    const struct archive_unpack conf = {.tree = &place.tree, .whole = true, .stop = &build->halt};
    (void)archive_unpack(&conf, cache->fd, &cache->unpacked, &cache->err);
}

/* To where the commands run, if that is elsewhere and they could begin already. */
static void send(struct build *build)
{
    struct strv paths = {0};
    place_wants(build, build->cache->files, &paths);
    place_send(build, &paths, end);
    strv_release(&paths);
}

static void on_unpacked(struct build *build)
{
    struct cache *cache = build->cache;
    if (build->stopping)
        return;
    if (cache->err.code != ERR_NONE) {
        err_wrap(&cache->err, "The cache '%.100s' was removed", shown(cache, cache->got));
        build_mark(build, "%s", cache->err.msg);
        cache->call = artifact_delete(build->env->artifacts, cache->got, on_removed, build);
        return;
    }
    build_mark(build, "Cache restored: %s (%llu files, %llu bytes)", shown(cache, cache->got),
               (unsigned long long)cache->unpacked.files,
               (unsigned long long)cache->unpacked.bytes);
    send(build);
}

static void on_got(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct build *build = arg;
    struct cache *cache = build->cache;
    cache->call = NULL;
    if (build->stopping)
        return;
    if (err->code == ERR_NOT_FOUND) {
        look_further(build);
    } else if (err->code != ERR_NONE) {
        go_without(build, "restored", err);
    } else {
        cache->found_exact = str_eq(cache->got, cache->key);
        build->bytes_in += answer->size;
        build_work(build, unpack, on_unpacked);
    }
}

static void fetch(struct build *build, const char *object)
{
    struct cache *cache = build->cache;
    free(cache->got);
    cache->got = mem_strdup(object);
    if (cache->fd < 0)
        cache->fd = place_file(build, &cache->err);
    if (cache->fd < 0)
        go_without(build, "restored", &cache->err);
    else
        cache->call =
            artifact_get(build->env->artifacts, object, cache->fd, PACKED_MAX, on_got, build);
}

/* Of those that begin so the newest. */
static void on_listed(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct build *build = arg;
    const struct artifact_object *newest = NULL;
    build->cache->call = NULL;
    if (build->stopping)
        return;
    for (size_t i = 0; i < answer->count; i++) {
        if (!newest || answer->objects[i].modified_ms > newest->modified_ms)
            newest = &answer->objects[i];
    }
    if (err->code != ERR_NONE)
        go_without(build, "restored", err);
    else if (newest)
        fetch(build, newest->key);
    else
        look_further(build);
}

static void look_further(struct build *build)
{
    struct cache *cache = build->cache;
    const struct strv *keys = &build->spec->cache.fallback_keys;
    char *prefix = NULL;
    while (!prefix && cache->fallback < keys->count) {
        const char *key = keys->items[cache->fallback++];
        prefix = *key ? written(cache->root, key) : NULL;
    }
    if (prefix) {
        cache->call = artifact_list(build->env->artifacts, prefix, on_listed, build);
    } else {
        build_mark(build, "Cache: there is none yet");
        end(build);
    }
    free(prefix);
}

void cache_restore(struct build *build, void (*next)(struct build *build))
{
    const struct build_driver_ops *ops = build->place->ops;
    struct cache *cache = build->spec->cache.restore ? cache_of(build) : NULL;
    if (cache && build->opened && ops->bring && !ops->send) {
        build_mark(build,
                   "Cache: with the driver %s a key with $ in it is known too late to restore it",
                   ops->name);
        cache = NULL;
    }
    if (!cache) {
        next(build);
        return;
    }
    const struct files_rule rule = {.root = build->place->paths.src,
                                    .files = &build->spec->cache.paths};
    cache->files = files_new(&rule);
    cache->next = next;
    fetch(build, cache->key);
}

/* ---- save ---- */

void cache_wants(const struct build *build, struct strv *paths)
{
    const struct files_rule rule = {.root = build->place->paths.src,
                                    .files = &build->spec->cache.paths};
    if (!build->spec->cache.save || !build->env->artifacts)
        return;
    struct files *files = files_new(&rule);
    place_wants(build, files, paths);
    files_free(files);
}

static void on_put(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct build *build = arg;
    struct cache *cache = build->cache;
    cache->call = NULL;
    if (build->stopping)
        return;
    if (err->code != ERR_NONE) {
        go_without(build, "kept", err);
        return;
    }
    build->bytes_out += answer->size;
    build_mark(build, "Cache kept: %s (%zu files, %llu bytes, %llu packed)",
               shown(cache, cache->key), cache->packed.count,
               (unsigned long long)cache->packed.bytes, (unsigned long long)answer->size);
    end(build);
}

/* On a worker. */
static void pack(struct build *build)
{
    struct cache *cache = build->cache;
    struct place_tree place;
    place_tree_init(&place, build);
    const struct archive_pack conf = {.tree = &place.tree,
                                      .files = cache->files,
                                      .keep_links = true,
                                      .whole = true,
                                      .level = LEVEL,
                                      .stop = &build->halt};
    cache->fd = place_file(build, &cache->err);
    if (cache->fd >= 0)
        (void)archive_pack(&conf, cache->fd, &cache->packed, &cache->err);
}

static void on_packed(struct build *build)
{
    struct cache *cache = build->cache;
    if (build->stopping)
        return;
    keep_told_left(build, &cache->packed.left, "the cache");
    if (cache->err.code == ERR_NONE && !cache->packed.count)
        err_set(&cache->err, ERR_NOT_FOUND, "no file matches its paths");
    if (cache->err.code != ERR_NONE)
        go_without(build, "kept", &cache->err);
    else
        cache->call = artifact_put(build->env->artifacts, cache->key, cache->fd, cache->packed.size,
                                   on_put, build);
}

static void begin_pack(struct build *build)
{
    struct cache *cache = build->cache;
    const struct files_rule rule = {.root = build->place->paths.src,
                                    .files = &build->spec->cache.paths};
    if (!cache->files)
        cache->files = files_new(&rule);
    cache->err = (struct err){0};
    build_work(build, pack, on_packed);
}

static void on_head(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct build *build = arg;
    (void)answer;
    build->cache->call = NULL;
    if (build->stopping)
        return;
    if (err->code == ERR_NOT_FOUND)
        begin_pack(build);
    else if (err->code == ERR_NONE)
        end(build); /* one that is there is never changed */
    else
        go_without(build, "kept", err);
}

void cache_save(struct build *build, void (*next)(struct build *build))
{
    struct cache *cache = build->spec->cache.save ? cache_of(build) : NULL;
    if (!cache || (cache->found_exact && build->spec->cache.key)) {
        next(build);
        return;
    }
    cache->next = next;
    if (build->spec->cache.key)
        cache->call = artifact_head(build->env->artifacts, cache->key, on_head, build);
    else
        begin_pack(build);
}

void cache_cancel(struct build *build)
{
    if (!build->cache)
        return;
    artifact_call_cancel(build->cache->call);
    build->cache->call = NULL;
}

void cache_free(struct build *build)
{
    struct cache *cache = build->cache;
    if (!cache)
        return;
    cache_cancel(build);
    if (cache->fd >= 0)
        close(cache->fd);
    archive_packed_release(&cache->packed);
    files_free(cache->files);
    free(cache->root);
    free(cache->key);
    free(cache->got);
    free(cache);
    build->cache = NULL;
}
