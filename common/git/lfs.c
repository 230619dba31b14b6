/* DESIGN: look which objects are there (a worker) -> none missing: place them. Otherwise make the
 * view (the same worker) -> read what .lfsconfig says about where objects are -> `git lfs fetch` ->
 * verify, place, trim (a worker). */
#include "git/lfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "git/lfs_store.h"
#include "git/url.h"

#define CONFIG_LIMIT 65536
#define SLACK_BYTES  65536 /* for what else git-lfs writes */
/* git-lfs takes no option and no variable of git's along to a remote that is a file: what git in
 * that repository reads is this. */
#define USER_CONFIG ".gitconfig"
#define TRUST       "[safe]\n\tdirectory = *\n"

struct git_lfs {
    struct git_mirror *mirror;
    struct git_remote remote; /* a copy of its own */
    char *commit;
    char *dir;
    char *store;
    char *view; /* NULL: nothing is fetched */
    struct git_found found;
    bool *missing; /* of each pointer */
    uint64_t largest;
    struct git_run *run;
    struct err err;
    atomic_bool stopped;
    bool dropped;
    int (*check)(void *arg, const char *url, struct err *err);
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

static void lfs_free(struct git_lfs *lfs)
{
    git_remote_release(&lfs->remote);
    git_found_release(&lfs->found);
    free(lfs->missing);
    free(lfs->commit);
    free(lfs->dir);
    free(lfs->store);
    free(lfs->view);
    free(lfs);
}

static void finish(struct git_lfs *lfs)
{
    struct git_mirror *mirror = lfs->mirror;

    if (!lfs->dropped && !mirror->dead)
        lfs->done(lfs->err.code == ERR_NONE ? NULL : &lfs->err, lfs->arg);
    lfs_free(lfs);
    mirror_release(mirror);
}

/* ---- the end: verify, place, trim ---- */

static void place_work(void *arg)
{
    struct git_lfs *lfs = arg;
    const int root = open(lfs->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (root < 0)
        err_errno(&lfs->err, errno, "cannot open the checkout '%s'", lfs->dir);
    for (size_t i = 0; i < lfs->found.pointer_count && lfs->err.code == ERR_NONE; i++) {
        const struct git_pointer *pointer = &lfs->found.pointers[i];
        if (atomic_load(&lfs->stopped))
            err_set(&lfs->err, ERR_CONFLICT, "stopped");
        else if (lfs->missing[i] && lfs_store_has(lfs->store, pointer) &&
                 !lfs_store_verify(lfs->store, pointer))
            err_set(&lfs->err, ERR_INVALID,
                    "what Git LFS keeps as '%.200s' is not what its pointer names (sha256 %s)",
                    pointer->path, pointer->oid);
        else
            lfs_store_place(lfs->store, pointer, root, &lfs->err);
    }
    if (root >= 0)
        close(root);
    if (lfs->view) {
        file_remove_tree(lfs->view, NULL);
        lfs_store_trim(lfs->store, GIT_LFS_CACHE_MAX);
    }
}

static void place_done(void *arg)
{
    finish(arg);
}

static void remove_work(void *arg)
{
    const struct git_lfs *lfs = arg;

    file_remove_tree(lfs->view, NULL);
}

/* After a fetch that failed. */
static void give_up(struct git_lfs *lfs)
{
    if (lfs->err.code == ERR_NONE)
        err_set(&lfs->err, ERR_CONFLICT, "stopped");
    loop_work(lfs->mirror->loop, remove_work, place_done, lfs);
}

/* ---- fetching ---- */

static void on_fetched(const struct git_run_result *result, void *arg)
{
    struct git_lfs *lfs = arg;

    lfs->run = NULL;
    if (result->ok) {
        loop_work(lfs->mirror->loop, place_work, place_done, lfs);
        return;
    }
    lfs->err = result->err;
    give_up(lfs);
}

/* Where git-lfs looks if nobody says otherwise (docs/api/server-discovery.md of git-lfs). */
static char *default_place(const char *url)
{
    struct git_url parsed;
    size_t len = strlen(url);

    if (git_url_parse(&parsed, url, NULL) != 0 ||
        (parsed.scheme != GIT_HTTP && parsed.scheme != GIT_HTTPS))
        return url[0] == '/' ? mem_printf("file://%s", url) : mem_strdup(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    return mem_printf("%.*s%s/info/lfs", (int)len, url,
                      len > 4 && strncmp(url + len - 4, ".git", 4) == 0 ? "" : ".git");
}

static void fetch(struct git_lfs *lfs, const char *named)
{
    const char *const args[] = {"lfs", "fetch", "origin", lfs->commit, NULL};
    char *place = named ? mem_strdup(named) : default_place(lfs->remote.url);
    struct git_remote remote = lfs->remote;
    struct strv config = {0};

    remote.url = place;
    if (!git_url_same_server(lfs->remote.url, place))
        remote.secret = NULL;
    if (named && (git_url_check(named, &lfs->err) != 0 ||
                  (lfs->check && lfs->check(lfs->arg, named, &lfs->err) != 0))) {
        err_wrap(&lfs->err, "lfs.url in .lfsconfig");
        goto out;
    }
    strv_addf(&config, "lfs.url=%s", place);
    strv_addf(&config, "remote.origin.url=%s", lfs->remote.url);
    strv_add(&config, "lfs.fetchrecentalways=false");
    const struct git_run_opts opts = {
        .git_dir = lfs->view,
        .args = args,
        .config = (const char *const *)config.items,
        .home = lfs->view,
        .remote = &remote,
        .file_limit = lfs->largest + SLACK_BYTES,
        .done = on_fetched,
        .arg = lfs,
    };
    git_run(&lfs->run, lfs->mirror->loop, &opts, &lfs->err);
out:
    strv_release(&config);
    free(place);
    if (lfs->err.code != ERR_NONE)
        give_up(lfs);
}

/* `lfs.url`, or of the remote that git-lfs takes for `origin`. */
static void on_config(const struct git_run_result *result, void *arg)
{
    static const char *const keys[] = {"lfs.url\n", "remote.origin.lfsurl\n"};
    struct git_lfs *lfs = arg;
    const char *named = NULL;

    lfs->run = NULL;
    if (atomic_load(&lfs->stopped)) {
        give_up(lfs);
        return;
    }
    /* Without a .lfsconfig it fails, and so it does for git-lfs if it cannot be read. */
    for (size_t k = 0; k < 2 && result->ok; k++) {
        for (const char *line = result->out; line < result->out + result->out_len && !named;
             line += strlen(line) + 1) {
            if (str_starts(line, keys[k]))
                named = line + strlen(keys[k]);
        }
    }
    fetch(lfs, named);
}

static void read_config(struct git_lfs *lfs)
{
    char *blob = mem_printf("--blob=%s:.lfsconfig", lfs->commit);
    const char *const args[] = {"config", blob, "--list", "-z", NULL};
    const struct git_run_opts opts = {
        .git_dir = lfs->mirror->path,
        .args = args,
        .out_limit = CONFIG_LIMIT,
        .done = on_config,
        .arg = lfs,
    };

    if (git_run(&lfs->run, lfs->mirror->loop, &opts, &lfs->err) != 0)
        give_up(lfs);
    free(blob);
}

/* ---- the beginning ---- */

static int write_file(const char *dir, const char *name, const char *text, struct err *err)
{
    char *path = mem_printf("%s/%s", dir, name);
    FILE *file = fopen(path, "wxe");
    int rc = 0;

    if (!file || fputs(text, file) < 0)
        rc = err_errno(err, errno, "cannot write '%s'", path);
    if (file && fclose(file) != 0)
        rc = err_errno(err, errno, "cannot write '%s'", path);
    free(path);
    return rc;
}

static int make_view(struct git_lfs *lfs)
{
    char *refs = mem_printf("%s/refs", lfs->view);
    char *info = mem_printf("%s/objects/info", lfs->view);
    char *mirror = realpath(lfs->mirror->path, NULL);
    char *borrowed = mem_printf("%s/objects\n", mirror ? mirror : lfs->mirror->path);
    char *head = mem_printf("%s\n", lfs->commit);
    char *store = mem_printf("%s/lfs", mirror ? mirror : lfs->mirror->path);
    char *link = mem_printf("%s/lfs", lfs->view);
    const char *config = strlen(lfs->commit) == 64
                             ? "[core]\n\trepositoryformatversion = 1\n\tbare = true\n"
                               "[extensions]\n\tobjectformat = sha256\n"
                             : "[core]\n\trepositoryformatversion = 0\n\tbare = true\n";
    int rc = file_mkdirs(refs, 0700, &lfs->err) != 0 || file_mkdirs(info, 0700, &lfs->err) != 0 ||
                     write_file(info, "alternates", borrowed, &lfs->err) != 0 ||
                     write_file(lfs->view, "config", config, &lfs->err) != 0 ||
                     write_file(lfs->view, "HEAD", head, &lfs->err) != 0 ||
                     write_file(lfs->view, USER_CONFIG, lfs->remote.trust_owner ? TRUST : "",
                                &lfs->err) != 0
                 ? -1
                 : 0;
    /* A setting (lfs.storage) would count for a remote that is a file, too. */
    if (rc == 0 && symlink(store, link) != 0)
        rc = err_errno(&lfs->err, errno, "cannot make the link '%s'", link);
    free(store);
    free(link);
    free(mirror);
    free(refs);
    free(info);
    free(borrowed);
    free(head);
    return rc;
}

static void look_work(void *arg)
{
    struct git_lfs *lfs = arg;
    char id[ID_SIZE];
    uint64_t bytes = 0;
    bool any = false;

    for (size_t i = 0; i < lfs->found.pointer_count; i++) {
        const struct git_pointer *pointer = &lfs->found.pointers[i];
        if (pointer->size > GIT_LFS_BYTES_MAX || (bytes += pointer->size) > GIT_LFS_BYTES_MAX) {
            err_set(&lfs->err, ERR_LIMIT,
                    "the commit's files in Git LFS are larger than 64 GiB together");
            return;
        }
        lfs->missing[i] = !lfs_store_has(lfs->store, pointer);
        any = any || lfs->missing[i];
        if (lfs->missing[i] && pointer->size > lfs->largest)
            lfs->largest = pointer->size;
    }
    if (!any)
        return;
    id_random(id);
    lfs->view = mem_printf("%s/view-%s", lfs->store, id);
    make_view(lfs);
}

static void look_done(void *arg)
{
    struct git_lfs *lfs = arg;

    if (lfs->err.code != ERR_NONE && !lfs->view)
        finish(lfs);
    else if (lfs->err.code != ERR_NONE ||
             ((atomic_load(&lfs->stopped) || lfs->mirror->dead) && lfs->view))
        give_up(lfs);
    else if (lfs->view)
        read_config(lfs);
    else
        loop_work(lfs->mirror->loop, place_work, place_done, lfs);
}

struct git_lfs *git_lfs_place(const struct git_lfs_opts *opts, struct git_found *found)
{
    struct git_lfs *lfs = mem_alloc(sizeof(*lfs));

    lfs->mirror = opts->mirror;
    git_remote_copy(&lfs->remote, opts->remote);
    lfs->commit = mem_strdup(opts->commit);
    lfs->dir = mem_strdup(opts->dir);
    lfs->store = mem_printf("%s/lfs", opts->mirror->path);
    lfs->found.pointers = found->pointers;
    lfs->found.pointer_count = found->pointer_count;
    found->pointers = NULL;
    found->pointer_count = found->pointer_cap = 0;
    lfs->missing = mem_alloc(lfs->found.pointer_count * sizeof(bool) + 1);
    lfs->check = opts->check;
    lfs->done = opts->done;
    lfs->arg = opts->arg;
    mirror_hold(lfs->mirror);
    loop_work(lfs->mirror->loop, look_work, look_done, lfs);
    return lfs;
}

void git_lfs_stop(struct git_lfs *lfs)
{
    atomic_store(&lfs->stopped, true);
    if (lfs->run)
        git_run_stop(lfs->run);
}

void git_lfs_drop(struct git_lfs *lfs)
{
    if (!lfs)
        return;
    lfs->dropped = true;
    atomic_store(&lfs->stopped, true);
    /* Its end would come through the callback that it drops. */
    if (lfs->run) {
        git_run_drop(lfs->run);
        lfs->run = NULL;
        give_up(lfs);
    }
}
