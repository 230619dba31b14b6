/* bench_checkout: checks a commit out of a mirror, again and again, each time into an empty folder.
 *
 *   bench_checkout URL COMMIT FOLDER TIMES
 *
 * Keeps the mirror below FOLDER. Prints {"first_ms": …, "ms": [...]}: the first with the fetch of
 * the mirror (if it is not there yet), then each of TIMES from the question to the last file. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "git/git.h"

struct bench {
    struct loop *loop;
    struct git_mirror *mirror;
    struct git_remote remote;
    const char *commit;
    const char *folder;
    char *dir;
    bool done;
};

static void check(const struct err *err)
{
    if (!err || err->code == ERR_NONE)
        return;
    fprintf(stderr, "%s\n", err->msg);
    exit(1);
}

static void on_checked_out(const struct err *err, void *arg)
{
    struct bench *b = arg;

    check(err);
    b->done = true;
}

static void on_updated(const struct err *err, void *arg)
{
    struct bench *b = arg;
    struct err why = {0};

    check(err);
    git_mirror_checkout(b->mirror, b->commit, b->dir, 0, on_checked_out, b, &why);
    check(&why);
}

static int64_t checkout(struct bench *b)
{
    struct err err = {0};
    char id[ID_SIZE];

    id_random(id);
    free(b->dir);
    b->dir = mem_printf("%s/work/%s", b->folder, id);
    file_mkdirs(b->dir, 0755, &err);
    check(&err);
    const int64_t began = clock_mono_ms();

    git_mirror_update(b->mirror, &b->remote, b->commit, on_updated, b, &err);
    check(&err);
    loop_run_for(b->loop, 3600 * 1000, &b->done);
    b->done = false;
    const int64_t took = clock_mono_ms() - began;
    file_remove_tree(b->dir, NULL);
    return took;
}

int main(int argc, char **argv)
{
    uint64_t times;

    if (argc != 5 || str_to_u64(argv[4], &times) != 0) {
        fprintf(stderr, "usage: bench_checkout URL COMMIT FOLDER TIMES\n");
        return 2;
    }
    struct bench b = {.loop = loop_new(4), .commit = argv[2], .folder = argv[3]};
    b.remote = (struct git_remote){.url = argv[1], .timeout_ms = 600000, .trust_owner = true};
    char *mirrors = mem_printf("%s/mirrors", argv[3]);
    char *work = mem_printf("%s/work", b.folder);
    file_mkdirs(work, 0755, NULL);
    file_spread(work); /* as the sandboxes' folder is */
    b.mirror = git_mirror_new(b.loop, mirrors, b.remote.url);
    printf("{\"first_ms\": %lld, \"ms\": [", (long long)checkout(&b));
    for (uint64_t i = 0; i < times; i++)
        printf("%s%lld", i ? ", " : "", (long long)checkout(&b));
    puts("]}");
    git_mirror_free(b.mirror);
    loop_free(b.loop);
    free(mirrors);
    free(work);
    free(b.dir);
    return 0;
}
