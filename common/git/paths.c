#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "git/mirror.h"

#define PATHS_MAX  1000
#define OUTPUT_MAX (64 * 1024)

struct paths_job {
    struct git_mirror *mirror;
    void (*done)(const struct git_paths *paths, void *arg);
    void *arg;
};

/* Paths, each ended by a NUL. */
static void parse(struct git_paths *out, const char *text, size_t len)
{
    const char *end = text + len;
    const char *nul;

    for (; text < end && (nul = memchr(text, '\0', (size_t)(end - text))); text = nul + 1) {
        if (out->paths.count == PATHS_MAX) {
            out->complete = false;
            return;
        }
        if (str_is_utf8(text, (size_t)(nul - text)))
            strv_add(&out->paths, text);
        else
            out->complete = false;
    }
}

static void on_done(const struct git_run_result *result, void *arg)
{
    struct paths_job *job = arg;
    struct git_paths paths = {.complete = result->ok};

    parse(&paths, result->out, result->out_len);
    if (!job->mirror->dead)
        job->done(&paths, job->arg);
    strv_release(&paths.paths);
    mirror_release(job->mirror);
    free(job);
}

int git_mirror_paths(struct git_mirror *mirror, const char *before, const char *after,
                     void (*done)(const struct git_paths *paths, void *arg), void *arg,
                     struct err *err)
{
    const char *const args[] = {"diff-tree",
                                "-r",
                                "-z",
                                "--name-only",
                                "--no-renames",
                                "--ignore-submodules=none",
                                "--no-ext-diff",
                                "--end-of-options",
                                before,
                                after,
                                "--",
                                NULL};
    struct paths_job *job;

    if (!git_commit_is_name(before) || !git_commit_is_name(after))
        return err_set(err, ERR_INVALID, "'%.80s'..'%.80s' are no full commit names", before,
                       after);
    job = mem_alloc(sizeof(*job));
    job->mirror = mirror;
    job->done = done;
    job->arg = arg;
    const struct git_run_opts opts = {
        .git_dir = mirror->path,
        .args = args,
        .out_limit = OUTPUT_MAX,
        .done = on_done,
        .arg = job,
    };
    mirror_hold(mirror);
    if (git_run(NULL, mirror->loop, &opts, err) == 0)
        return 0;
    mirror->holds--;
    free(job);
    return -1;
}
