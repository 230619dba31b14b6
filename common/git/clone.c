/* DESIGN: a row of git commands. A complete mirror is cloned as files (`git clone` of a path,
 * without hard links), many times as fast as a fetch that packs and indexes it anew; from a shallow
 * one just the commit is fetched. */
#include "git/clone.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define STEPS_MAX 5

struct git_clone {
    struct git_mirror *mirror;
    char *git_dir;
    struct strv steps[STEPS_MAX];
    size_t step_count, next;
    int64_t timeout_ms;
    struct git_run *run;
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

static void clone_free(struct git_clone *clone)
{
    for (size_t i = 0; i < clone->step_count; i++)
        strv_release(&clone->steps[i]);
    mirror_release(clone->mirror);
    free(clone->git_dir);
    free(clone);
}

static void step(struct git_clone *clone, ...)
{
    struct strv *args = &clone->steps[clone->step_count++];
    va_list ap;

    va_start(ap, clone);
    for (const char *arg; (arg = va_arg(ap, const char *));)
        strv_add(args, arg);
    va_end(ap);
}

static void plan_whole(struct git_clone *clone, const char *dir)
{
    step(clone, "clone", "--quiet", "--no-checkout", "--no-hardlinks",
         "--template=", "--end-of-options", clone->mirror->path, dir, NULL);
}

static void plan_shallow(struct git_clone *clone, const char *commit, const char *dir)
{
    char *depth = mem_printf("--depth=%" PRIu32, clone->mirror->depth);
    char *mirror = mem_printf("file://%s", clone->mirror->path);

    step(clone, "init", "--quiet",
         "--template=", strlen(commit) == 64 ? "--object-format=sha256" : "--object-format=sha1",
         "--end-of-options", dir, NULL);
    step(clone, "fetch", "--quiet", "--no-write-fetch-head", "--no-auto-maintenance",
         "--no-recurse-submodules", depth, "--end-of-options", mirror, commit, NULL);
    free(depth);
    free(mirror);
}

static int begin_step(struct git_clone *clone, struct err *err);

static void on_step(const struct git_run_result *result, void *arg)
{
    struct git_clone *clone = arg;
    struct err err = {.code = ERR_NONE};

    clone->run = NULL;
    if (!result->ok)
        err = result->err;
    else if (++clone->next < clone->step_count && begin_step(clone, &err) == 0)
        return;
    if (err.code != ERR_NONE)
        err_wrap(&err, "cannot make a .git for the checkout");
    clone->done(err.code == ERR_NONE ? NULL : &err, clone->arg);
    clone_free(clone);
}

static int begin_step(struct git_clone *clone, struct err *err)
{
    const struct strv *args = &clone->steps[clone->next];
    const bool makes = str_eq(args->items[0], "clone") || str_eq(args->items[0], "init");
    const struct git_run_opts opts = {
        .git_dir = makes ? NULL : clone->git_dir,
        .args = (const char *const *)args->items,
        .timeout_ms = clone->timeout_ms,
        .done = on_step,
        .arg = clone,
    };

    return git_run(&clone->run, clone->mirror->loop, &opts, err);
}

struct git_clone *git_clone_make(const struct git_clone_opts *opts, struct err *err)
{
    struct git_clone *clone = mem_alloc(sizeof(*clone));

    clone->mirror = opts->mirror;
    mirror_hold(clone->mirror);
    clone->git_dir = mem_printf("%s/.git", opts->dir);
    clone->timeout_ms = opts->timeout_ms;
    clone->done = opts->done;
    clone->arg = opts->arg;
    if (opts->mirror->depth)
        plan_shallow(clone, opts->commit, opts->dir);
    else
        plan_whole(clone, opts->dir);
    step(clone, "config", "remote.origin.url", opts->mirror->url, NULL);
    step(clone, "update-ref", "--no-deref", "HEAD", opts->commit, NULL);
    step(clone, "read-tree", opts->commit, NULL);
    if (begin_step(clone, err) == 0)
        return clone;
    clone_free(clone);
    return NULL;
}

void git_clone_stop(struct git_clone *clone)
{
    git_run_stop(clone->run);
}

void git_clone_drop(struct git_clone *clone)
{
    if (!clone)
        return;
    git_run_drop(clone->run);
    clone_free(clone);
}
