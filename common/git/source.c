/* DESIGN: a stack of places (the source itself, then what submodules are found), one after the
 * other: update its mirror -> .git (the source itself) -> checkout -> Git LFS -> .gitmodules, which
 * puts more on the stack. */
#include "git/source.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "git/clone.h"
#include "git/lfs.h"
#include "git/modules.h"
#include "git/url.h"
#include "log/log.h"

#define FIRST_WAIT_MS 1000
#define MODULES_BYTES (1024 * 1024)
#define MODULES_FILE  ".gitmodules"

struct place {
    char *url;
    char *commit;
    char *path; /* below the source's folder; "" is that itself */
    char *name; /* the submodule's, for errors; NULL: the source itself */
    unsigned level;
};

struct git_source {
    LIST_ENTRY(git_source) link;
    struct git_cache *cache;
    struct git_remote remote;
    char *credentials;
    char *dir;
    bool submodules, lfs, clone;
    uint32_t depth;
    struct place *places; /* the last is under way */
    size_t place_count, module_count;
    struct git_mirror *mirror; /* of that */
    struct git_found found;
    unsigned tries;
    struct loop_timer *again;
    /* What is under way: */
    unsigned waits; /* callbacks of mirrors that will come */
    struct git_clone *cloning;
    struct git_lfs *placing;
    struct git_run *reading;
    bool writing;   /* into the folder */
    bool cancelled; /* ... until that has ended */
    bool dropped;
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

struct git_cache {
    struct loop *loop;
    char *dir;
    struct map *mirrors; /* credentials, depth and URL -> struct git_mirror */
    LIST_HEAD(, git_source) sources;
};

static void begin(struct git_source *source);

/* ---- life ---- */

static void place_release(struct place *place)
{
    free(place->url);
    free(place->commit);
    free(place->path);
    free(place->name);
}

static void source_free(struct git_source *source)
{
    LIST_REMOVE(source, link);
    for (size_t i = 0; i < source->place_count; i++)
        place_release(&source->places[i]);
    free(source->places);
    git_found_release(&source->found);
    loop_timer_free(source->again);
    git_remote_release(&source->remote);
    free(source->credentials);
    free(source->dir);
    free(source);
}

void git_source_drop(struct git_source *source)
{
    if (!source)
        return;
    source->dropped = true;
    git_clone_drop(source->cloning);
    git_lfs_drop(source->placing);
    git_run_drop(source->reading);
    source->cloning = NULL;
    source->placing = NULL;
    source->reading = NULL;
    loop_timer_free(source->again);
    source->again = NULL;
    if (source->waits == 0)
        source_free(source);
}

bool git_source_cancel(struct git_source *source)
{
    if (!source->writing) {
        git_source_drop(source);
        return true;
    }
    source->cancelled = true;
    if (source->cloning)
        git_clone_stop(source->cloning);
    if (source->placing)
        git_lfs_stop(source->placing);
    return false;
}

/* A mirror has answered. False: nobody waits for it any more. */
static bool answered(struct git_source *source)
{
    source->waits--;
    if (!source->dropped)
        return true;
    if (source->waits == 0)
        source_free(source);
    return false;
}

static struct place *current(struct git_source *source)
{
    return &source->places[source->place_count - 1];
}

static void finish(struct git_source *source, const struct err *err)
{
    void (*done)(const struct err *, void *) = source->done;
    void *arg = source->arg;
    struct err why = {.code = ERR_NONE};

    if (err && err->code != ERR_NONE) {
        why = *err;
        if (current(source)->name)
            err_wrap(&why, "submodule '%.200s' at '%.200s'", current(source)->name,
                     current(source)->path);
    }
    source_free(source);
    done(why.code == ERR_NONE ? NULL : &why, arg);
}

/* What wrote into the folder has ended. False: nobody wants more of it. */
static bool written(struct git_source *source, const struct err *err)
{
    static const struct err cancelled = {.code = ERR_CONFLICT, .msg = "the checkout was stopped"};

    source->writing = false;
    if (!err && !source->cancelled)
        return true;
    finish(source, err ? err : &cancelled);
    return false;
}

static char *folder_of(const struct git_source *source, const struct place *place)
{
    return mem_printf("%s%s%s", source->dir, place->path[0] ? "/" : "", place->path);
}

static void next(struct git_source *source)
{
    git_found_release(&source->found);
    place_release(current(source));
    source->place_count--;
    if (source->place_count > 0)
        begin(source);
    else
        finish(source, NULL);
}

/* ---- what may be fetched ---- */

static bool is_file(const char *url)
{
    struct git_url parsed;

    return git_url_parse(&parsed, url, NULL) == 0 && parsed.scheme == GIT_FILE;
}

/* A commit must not name files of this machine, nor what other secrets fetched. */
static int check_file(const struct git_source *source, const char *url, struct err *err)
{
    struct git_url parsed;
    char cache[PATH_MAX], path[PATH_MAX];

    if (!is_file(url))
        return 0;
    if (!is_file(source->remote.url))
        return err_set(err, ERR_INVALID, "'%.200s' is a file of this machine, but '%.200s' is not",
                       url, source->remote.url);
    git_url_parse(&parsed, url, NULL);
    if (realpath(parsed.path, path) && realpath(source->cache->dir, cache)) {
        const size_t len = strlen(cache);
        if (strncmp(path, cache, len) == 0 && (path[len] == '/' || path[len] == '\0'))
            return err_set(err, ERR_INVALID, "'%.200s' is among the builder's own files", url);
    }
    return 0;
}

static int check_objects(void *arg, const char *url, struct err *err)
{
    return check_file(arg, url, err);
}

/* ---- submodules ---- */

static int add_module(struct git_source *source, const struct git_module *module,
                      const struct git_link *link, const char *path, struct err *err)
{
    const struct place *parent = current(source);

    if (source->module_count == GIT_SUBMODULES_MAX)
        return err_set(err, ERR_LIMIT, "the source has more than %d submodules",
                       GIT_SUBMODULES_MAX);
    if (parent->level == GIT_SUBMODULE_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, "submodules are nested deeper than %d",
                       GIT_SUBMODULE_DEPTH_MAX);
    char *resolved = git_url_resolve(parent->url, module->url, err);
    if (!resolved)
        return -1;
    char *url = git_url_like(source->remote.url, resolved);
    free(resolved);
    if (check_file(source, url, err) != 0) {
        free(url);
        return -1;
    }
    /* Below the one that names it, which ends with this. */
    source->places = mem_realloc(source->places, source->place_count + 1, sizeof(*source->places));
    const unsigned level = current(source)->level + 1;
    memmove(&source->places[source->place_count], current(source), sizeof(*source->places));
    source->places[source->place_count - 1] = (struct place){
        .url = url,
        .commit = mem_strdup(link->commit),
        .path = mem_strdup(path),
        .name = mem_strdup(module->name),
        .level = level,
    };
    source->place_count++;
    source->module_count++;
    return 0;
}

static int add_link(struct git_source *source, const struct git_modules *modules,
                    const struct git_link *link, struct err *err)
{
    const struct place *parent = current(source);
    const struct git_module *module = git_modules_at(modules, link->path);

    if (!module || !module->url)
        return err_set(err, ERR_INVALID,
                       "the commit has a submodule at '%.200s', for which .gitmodules has no url",
                       link->path);
    if (module->none)
        return 0;
    char *path = mem_printf("%s%s%s", parent->path, parent->path[0] ? "/" : "", link->path);
    const int rc = add_module(source, module, link, path, err);
    if (rc != 0)
        err_wrap(err, "submodule '%.200s' at '%.200s'", module->name, path);
    free(path);
    return rc;
}

/* A path that .gitmodules names and that leads through a link of the checkout is no submodule, and
 * never a mistake. */
static int check_path(const struct git_source *source, const struct git_module *module,
                      struct err *err)
{
    char *folder = folder_of(source, &source->places[source->place_count - 1]);
    char *path = mem_printf("%s/%s", folder, module->path);
    struct stat st;
    int rc = 0;

    for (char *slash = path + strlen(folder) + 1; rc == 0 && slash;) {
        slash = strchr(slash, '/');
        if (slash)
            *slash = '\0';
        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
            rc = err_set(err, ERR_INVALID,
                         "submodule '%.200s' (in .gitmodules) has the path '%.200s', which leads "
                         "through a symbolic link",
                         module->name, module->path);
        if (slash)
            *slash++ = '/';
    }
    free(path);
    free(folder);
    return rc;
}

static void on_modules(const struct git_run_result *result, void *arg)
{
    struct git_source *source = arg;
    struct git_modules modules = {0};
    struct err err = {.code = ERR_NONE};
    int rc = 0;

    source->reading = NULL;
    if (!result->ok) {
        rc = -1;
        err = result->err;
        err.code = err.code == ERR_TIMEOUT ? err.code : ERR_INVALID;
        err_wrap(&err, ".gitmodules cannot be read");
    }
    if (rc == 0)
        rc = git_modules_parse(&modules, result->out, result->out_len, &err);
    for (size_t i = 0; rc == 0 && i < modules.count; i++) {
        if (modules.items[i].path)
            rc = check_path(source, &modules.items[i], &err);
    }
    for (size_t i = 0; rc == 0 && i < source->found.link_count; i++)
        rc = add_link(source, &modules, &source->found.links[i], &err);
    git_modules_release(&modules);
    if (rc == 0)
        next(source);
    else
        finish(source, &err);
}

static void read_modules(struct git_source *source)
{
    const struct place *place = current(source);
    struct err err = {.code = ERR_NONE};
    struct stat st;

    if (!source->submodules || source->found.link_count == 0) {
        next(source);
        return;
    }
    char *folder = folder_of(source, place);
    char *file = mem_printf("%s/" MODULES_FILE, folder);
    char *blob = mem_printf("--blob=%s:" MODULES_FILE, place->commit);
    const char *const args[] = {"config", blob, "--list", "-z", NULL};
    const struct git_run_opts opts = {
        .git_dir = git_mirror_path(source->mirror),
        .args = args,
        .out_limit = MODULES_BYTES,
        .done = on_modules,
        .arg = source,
    };
    if (lstat(file, &st) != 0)
        err_set(&err, ERR_INVALID,
                "the commit has a submodule at '%.200s', but no file .gitmodules",
                source->found.links[0].path);
    else if (!S_ISREG(st.st_mode) || st.st_size > MODULES_BYTES)
        err_set(&err, ERR_INVALID, ".gitmodules is no file, or larger than 1 MiB");
    else
        git_run(&source->reading, source->cache->loop, &opts, &err);
    free(folder);
    free(file);
    free(blob);
    if (err.code != ERR_NONE)
        finish(source, &err);
}

/* ---- one place ---- */

/* The remote as it may be asked: the secret is for the source's own server. */
static struct git_remote remote_of(const struct git_source *source, const struct place *place)
{
    struct git_remote remote = source->remote;

    remote.url = place->url;
    if (place->level > 0 && !git_url_same_server(source->remote.url, place->url)) {
        remote.secret = NULL;
        remote.secret_len = 0;
    }
    return remote;
}

static void on_placed(const struct err *err, void *arg)
{
    struct git_source *source = arg;

    source->placing = NULL;
    if (written(source, err))
        read_modules(source);
}

static void on_checked_out(struct git_found *found, const struct err *err, void *arg)
{
    struct git_source *source = arg;

    /* Written half: the folder is empty no more, so it cannot be tried again. */
    if (!answered(source) || !written(source, err))
        return;
    source->found = *found;
    *found = (struct git_found){0};
    if (source->found.pointer_count == 0) {
        read_modules(source);
        return;
    }
    const struct git_remote remote = remote_of(source, current(source));
    char *folder = folder_of(source, current(source));
    const struct git_lfs_opts opts = {
        .mirror = source->mirror,
        .remote = &remote,
        .commit = current(source)->commit,
        .dir = folder,
        .check = check_objects,
        .done = on_placed,
        .arg = source,
    };
    source->writing = true;
    source->placing = git_lfs_place(&opts, &source->found);
    free(folder);
}

static void check_out(struct git_source *source)
{
    const struct place *place = current(source);
    struct err err = {.code = ERR_NONE};
    char *folder = folder_of(source, place);

    source->waits++;
    source->writing = true;
    if (mirror_checkout(source->mirror, place->commit, folder, source->remote.timeout_ms,
                        source->lfs, on_checked_out, source, &err) != 0) {
        source->waits--;
        finish(source, &err);
    }
    free(folder);
}

static void on_cloned(const struct err *err, void *arg)
{
    struct git_source *source = arg;

    source->cloning = NULL;
    if (written(source, err))
        check_out(source);
}

static void make_clone(struct git_source *source)
{
    const struct git_clone_opts opts = {
        .mirror = source->mirror,
        .commit = current(source)->commit,
        .dir = source->dir,
        .timeout_ms = source->remote.timeout_ms,
        .done = on_cloned,
        .arg = source,
    };
    struct err err = {.code = ERR_NONE};

    source->writing = true;
    source->cloning = git_clone_make(&opts, &err);
    if (!source->cloning)
        finish(source, &err);
}

static void on_updated(const struct err *err, void *arg)
{
    struct git_source *source = arg;

    if (!answered(source))
        return;
    if (err && err_is_retriable(err) && ++source->tries < GIT_SOURCE_TRIES) {
        log_warn("a repository is away, trying again", LOG_S("url", current(source)->url),
                 LOG_E(err));
        loop_timer_arm(source->again, FIRST_WAIT_MS << (source->tries - 1));
    } else if (err) {
        finish(source, err);
    } else if (source->clone && current(source)->level == 0) {
        make_clone(source);
    } else {
        check_out(source);
    }
}

static struct git_mirror *mirror_of(struct git_cache *cache, const char *url,
                                    const char *credentials, uint32_t depth)
{
    char *key = mem_printf("%s\n%u\n%s", credentials, (unsigned)depth, url);
    struct git_mirror *mirror = map_get(cache->mirrors, key);

    if (!mirror) {
        char hash[SHA256_HEX_SIZE];
        sha256_hex(credentials, strlen(credentials), hash);
        char *dir = mem_printf("%s/%.16s", cache->dir, hash);
        mirror = git_mirror_new_shallow(cache->loop, dir, url, depth);
        map_set(cache->mirrors, key, mirror);
        free(dir);
    }
    free(key);
    return mirror;
}

static void ask(void *arg)
{
    struct git_source *source = arg;
    const struct place *place = current(source);
    const struct git_remote remote = remote_of(source, place);
    struct err err = {.code = ERR_NONE};

    source->mirror = mirror_of(source->cache, place->url, remote.secret ? source->credentials : "",
                               source->depth);
    source->waits++;
    if (git_mirror_update(source->mirror, &remote, place->commit, on_updated, source, &err) != 0) {
        source->waits--;
        finish(source, &err);
    }
}

static void begin(struct git_source *source)
{
    source->tries = 0;
    ask(source);
}

/* ---- the interface ---- */

int git_source_checkout(struct git_source **out, struct git_cache *cache,
                        const struct git_source_opts *opts, struct err *err)
{
    *out = NULL;
    if (git_url_check(opts->remote.url, err) != 0)
        return -1;
    if (!git_commit_is_name(opts->commit))
        return err_set(err, ERR_INVALID, "'%.80s' is no commit", opts->commit ? opts->commit : "");
    struct git_source *source = mem_alloc(sizeof(*source));
    source->cache = cache;
    git_remote_copy(&source->remote, &opts->remote);
    source->credentials = mem_strdup(opts->credentials ? opts->credentials : "");
    source->dir = mem_strdup(opts->dir);
    source->submodules = opts->submodules;
    source->lfs = opts->lfs;
    source->clone = opts->clone;
    source->depth = opts->depth;
    source->done = opts->done;
    source->arg = opts->arg;
    source->places = mem_alloc(sizeof(*source->places));
    source->places[0] = (struct place){.url = mem_strdup(opts->remote.url),
                                       .commit = mem_strdup(opts->commit),
                                       .path = mem_strdup("")};
    source->place_count = 1;
    source->again = loop_timer_new(cache->loop, ask, source);
    LIST_INSERT_HEAD(&cache->sources, source, link);
    loop_timer_arm(source->again, 0);
    *out = source;
    return 0;
}

static void free_mirror(void *mirror)
{
    git_mirror_free(mirror);
}

struct git_cache *git_cache_new(struct loop *loop, const char *dir)
{
    struct git_cache *cache = mem_alloc(sizeof(*cache));

    cache->loop = loop;
    cache->dir = mem_strdup(dir);
    cache->mirrors = map_new(free_mirror);
    LIST_INIT(&cache->sources);
    return cache;
}

void git_cache_free(struct git_cache *cache)
{
    struct git_source *source;

    if (!cache)
        return;
    map_free(cache->mirrors);
    while ((source = LIST_FIRST(&cache->sources))) {
        source->waits = 0; /* a mirror that is gone calls nobody */
        git_source_drop(source);
    }
    free(cache->dir);
    free(cache);
}
