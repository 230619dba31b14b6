/* DESIGN: requests that find their commit in the mirror end at once. The others wait in `waiting`;
 * a round takes all of them: lock -> make the mirror if needed -> fetch branches and tags -> look
 * for the commits asked for -> fetch those still missing by name -> answer. A shallow mirror asks
 * by name first, and becomes complete if that does not bring a commit. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "git/mirror.h"
#include "log/log.h"

#define LOCK_RETRY_MS          50
#define LOOKUP_TIMEOUT_MS      60000
#define MAINTENANCE_EVERY      50
#define MAINTENANCE_TIMEOUT_MS (20 * 60 * 1000)
#define MESSAGE_BYTES          1024
#define DEPTH_WHOLE            2147483647u /* git's word for all of it */

struct request {
    struct request *next;
    struct git_mirror *mirror;
    char *commit; /* "": any fetch will do */
    bool found;
    struct git_remote remote; /* a copy of its own */
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

struct mirror_update {
    struct git_mirror *mirror;
    struct request *waiting, **waiting_end;
    struct request *round; /* those that the round under way is for; NULL: none */
    int lock_fd;
    int64_t deadline_ms; /* for the lock */
    bool locked;
    bool fresh;   /* the mirror was made in this round */
    bool remade;  /* ... because it was broken: once a round */
    bool by_name; /* commits were fetched by name already */
    bool whole;   /* a shallow mirror is made complete */
    struct err err;
    struct loop_timer *lock_timer;
    struct git_run *run;
    struct git_run *maintenance;
    unsigned fetches;
};

static void round_begin(struct mirror_update *update);
static void prepare(struct mirror_update *update);

struct mirror_update *mirror_update_new(struct git_mirror *mirror)
{
    struct mirror_update *update = mem_alloc(sizeof(*update));

    update->mirror = mirror;
    update->waiting_end = &update->waiting;
    update->lock_fd = -1;
    return update;
}

static void request_free(struct request *request)
{
    git_remote_release(&request->remote);
    free(request->commit);
    free(request);
}

static void requests_free(struct request *list)
{
    while (list) {
        struct request *next = list->next;
        request_free(list);
        list = next;
    }
}

void mirror_update_end(struct mirror_update *update)
{
    git_run_drop(update->run);
    git_run_drop(update->maintenance);
    update->run = update->maintenance = NULL;
    loop_timer_free(update->lock_timer);
    update->lock_timer = NULL;
}

void mirror_update_free(struct mirror_update *update)
{
    requests_free(update->waiting);
    requests_free(update->round);
    if (update->lock_fd >= 0)
        close(update->lock_fd);
    free(update);
}

/* ---- the end of a round ---- */

static void on_maintained(const struct git_run_result *result, void *arg)
{
    struct mirror_update *update = arg;

    update->maintenance = NULL;
    /* As on a mirror that has no pack yet; what is left over is tidied the next time. */
    if (!result->ok)
        log_info("mirror could not be tidied", LOG_S("mirror", update->mirror->path),
                 LOG_E(&result->err));
}

/* Small fetches leave loose objects and small packs behind. Nothing is pruned: a commit that no
 * branch reaches any more may still be built again. */
static void maintain(struct mirror_update *update)
{
    static const char *const args[] = {
        "maintenance",      "run", "--quiet", "--task=loose-objects", "--task=incremental-repack",
        "--task=pack-refs", NULL};
    const struct git_run_opts opts = {
        .git_dir = update->mirror->path,
        .args = args,
        .timeout_ms = MAINTENANCE_TIMEOUT_MS,
        .done = on_maintained,
        .arg = update,
    };

    if (++update->fetches % MAINTENANCE_EVERY == 0 && !update->maintenance)
        git_run(&update->maintenance, update->mirror->loop, &opts, NULL);
}

static void answer(struct request *request, const struct err *round_err)
{
    struct git_mirror *mirror = request->mirror;
    struct err err = *round_err;

    if (err.code == ERR_NONE && request->commit[0] && !request->found)
        err_set(&err, ERR_NOT_FOUND, "'%s' has no commit %s", mirror->url, request->commit);
    if (!mirror->dead)
        request->done(err.code == ERR_NONE ? NULL : &err, request->arg);
    request_free(request);
}

static void round_end(struct mirror_update *update)
{
    struct git_mirror *mirror = update->mirror;
    struct request *list = update->round;

    if (update->lock_fd >= 0)
        close(update->lock_fd);
    update->lock_fd = -1;
    update->round = NULL;
    mirror_hold(mirror);
    while (list) {
        struct request *next = list->next;
        answer(list, &update->err);
        list = next;
    }
    if (!mirror->dead) {
        maintain(update);
        round_begin(update);
    }
    mirror_release(mirror);
}

/* ---- fetching ---- */

/* What git says when the fault is in the mirror and not at the remote. */
static bool blames_mirror(const char *text)
{
    static const char *const words[] = {
        "not a git repository", "corrupt",      "bad object",   "unable to read",
        "unable to parse",      "is empty",     "bad config",   "invalid sha1 pointer",
        "did not send all",     "missing tree", "missing blob", "unresolved delta",
        "bad signature",        "packfile",     "bad ref",      "no such ref"};

    for (const char *line = text; *line;) {
        const size_t len = strcspn(line, "\n");
        char copy[512];
        snprintf(copy, sizeof(copy), "%.*s", (int)(len < 511 ? len : 511), line);
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            if (strncmp(copy, "remote:", 7) != 0 && strstr(copy, words[i]))
                return true;
        }
        line += len + (line[len] == '\n');
    }
    return false;
}

static void lookup_work(void *arg)
{
    struct mirror_update *update = arg;

    for (struct request *r = update->round; r; r = r->next) {
        if (r->commit[0] && !r->found)
            r->found = mirror_has(update->mirror, r->commit, LOOKUP_TIMEOUT_MS);
    }
}

static void lookup_done(void *arg);
static void fetch_whole(struct mirror_update *update);

static void lookup(struct mirror_update *update)
{
    mirror_hold(update->mirror);
    loop_work(update->mirror->loop, lookup_work, lookup_done, update);
}

static void fetch_failed(struct mirror_update *update, const struct git_run_result *result)
{
    if (!update->fresh && !update->remade && blames_mirror(result->message)) {
        log_warn("mirror is broken and is made again", LOG_S("mirror", update->mirror->path),
                 LOG_S("url", update->mirror->url), LOG_E(&result->err));
        update->remade = true;
        update->by_name = false;
        prepare(update);
        return;
    }
    update->err = result->err;
    round_end(update);
}

static void on_fetched(const struct git_run_result *result, void *arg)
{
    struct mirror_update *update = arg;

    update->run = NULL;
    if (result->ok)
        lookup(update);
    else
        fetch_failed(update, result);
}

/* Servers refuse a commit that they do not have, or that no branch reaches: that is no fault. */
static void on_fetched_by_name(const struct git_run_result *result, void *arg)
{
    struct mirror_update *update = arg;
    static const char *const refusals[] = {"not our ref", "unadvertised object", "no such ref",
                                           "couldn't find remote ref", "upload-pack"};

    update->run = NULL;
    update->by_name = true;
    if (!result->ok) {
        bool refused = false;
        for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
            refused = refused || strstr(result->message, refusals[i]);
        if (!refused) {
            fetch_failed(update, result);
            return;
        }
    }
    lookup(update);
}

static void fetch(struct mirror_update *update, const struct strv *specs,
                  void (*done)(const struct git_run_result *result, void *arg))
{
    static const char *const options[] = {"fetch",
                                          "--quiet",
                                          "--force",
                                          "--no-tags",
                                          "--no-write-fetch-head",
                                          "--no-recurse-submodules",
                                          "--no-auto-maintenance",
                                          "--no-show-forced-updates"};
    struct git_mirror *mirror = update->mirror;
    struct strv args = {0};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        strv_add(&args, options[i]);
    if (done == on_fetched)
        strv_add(&args, "--prune");
    if (mirror->depth)
        strv_addf(&args, "--depth=%" PRIu32, update->whole ? DEPTH_WHOLE : mirror->depth);
    strv_add(&args, "--end-of-options");
    strv_add(&args, mirror->url);
    for (size_t i = 0; i < specs->count; i++)
        strv_add(&args, specs->items[i]);
    const struct git_run_opts opts = {
        .git_dir = mirror->path,
        .args = (const char *const *)args.items,
        .remote = &update->round->remote,
        .done = done,
        .arg = update,
    };
    if (git_run(&update->run, mirror->loop, &opts, &update->err) != 0)
        round_end(update);
    strv_release(&args);
}

static bool lacks_one(const struct mirror_update *update)
{
    for (const struct request *r = update->round; r; r = r->next) {
        if (r->commit[0] && !r->found)
            return true;
    }
    return false;
}

static void lookup_done(void *arg)
{
    struct mirror_update *update = arg;
    struct git_mirror *mirror = update->mirror;
    struct strv specs = {0};

    if (mirror->dead)
        goto out;
    mirror_readers_used(mirror);
    for (const struct request *r = update->round; r && !update->by_name; r = r->next) {
        if (r->commit[0] && !r->found)
            strv_addf(&specs, "%s:refs/gantry/%s", r->commit, r->commit);
    }
    if (specs.count > 0)
        fetch(update, &specs, on_fetched_by_name);
    else if (mirror->depth && !update->whole && lacks_one(update))
        fetch_whole(update);
    else
        round_end(update);
out:
    strv_release(&specs);
    mirror_release(mirror);
}

static void fetch_all(struct mirror_update *update)
{
    struct strv specs = {0};

    strv_add(&specs, "+refs/heads/*:refs/heads/*");
    strv_add(&specs, "+refs/tags/*:refs/tags/*");
    fetch(update, &specs, on_fetched);
    strv_release(&specs);
}

static void fetch_whole(struct mirror_update *update)
{
    update->whole = true;
    fetch_all(update);
}

static void begin_fetch(struct mirror_update *update)
{
    bool named = true;

    for (const struct request *r = update->round; r; r = r->next)
        named = named && r->commit[0];
    if (update->mirror->depth && named)
        lookup(update);
    else
        fetch_all(update);
}

/* ---- the lock, and making the mirror ---- */

static void on_made(const struct git_run_result *result, void *arg)
{
    struct mirror_update *update = arg;
    struct git_mirror *mirror = update->mirror;
    char *made = mem_printf("%s.new", mirror->path);

    update->run = NULL;
    if (!result->ok)
        update->err = result->err;
    else if (rename(made, mirror->path) != 0)
        err_errno(&update->err, errno, "cannot put the mirror of '%s' in place", mirror->url);
    free(made);
    if (update->err.code != ERR_NONE) {
        round_end(update);
        return;
    }
    update->fresh = true;
    begin_fetch(update);
}

static void make(struct mirror_update *update)
{
    struct git_mirror *mirror = update->mirror;
    const bool sha256 = strlen(update->round->commit) == 64;
    char *made = mem_printf("%s.new", mirror->path);
    const char *const args[] = {"init",
                                "--quiet",
                                "--bare",
                                "--template=",
                                sha256 ? "--object-format=sha256" : "--object-format=sha1",
                                "--end-of-options",
                                made,
                                NULL};
    const struct git_run_opts opts = {
        .git_dir = made,
        .args = args,
        .done = on_made,
        .arg = update,
    };

    if (git_run(&update->run, mirror->loop, &opts, &update->err) != 0)
        round_end(update);
    free(made);
}

static int lock_mirror(struct mirror_update *update)
{
    struct git_mirror *mirror = update->mirror;
    char *path = mem_printf("%s.lock", mirror->path);

    if (update->lock_fd < 0)
        update->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (update->lock_fd < 0)
        err_errno(&update->err, errno, "cannot open the lock '%s'", path);
    else if (flock(update->lock_fd, LOCK_EX | LOCK_NB) == 0)
        update->locked = true;
    else if (errno != EWOULDBLOCK && errno != EINTR)
        err_errno(&update->err, errno, "cannot lock '%s'", path);
    free(path);
    return update->locked ? 0 : -1;
}

static void prepare_work(void *arg)
{
    struct mirror_update *update = arg;
    struct git_mirror *mirror = update->mirror;

    if (!update->locked &&
        (file_mkdirs(mirror->dir, 0700, &update->err) != 0 || lock_mirror(update) != 0))
        return;
    if (mirror_exists(mirror) && !update->remade)
        return;
    char *made = mem_printf("%s.new", mirror->path);
    mirror_readers_close(mirror);
    if (file_remove_tree(mirror->path, &update->err) == 0)
        file_remove_tree(made, &update->err);
    free(made);
}

static void on_lock_retry(void *arg)
{
    prepare(arg);
}

static void prepare_done(void *arg)
{
    struct mirror_update *update = arg;
    struct git_mirror *mirror = update->mirror;

    if (mirror->dead)
        goto out;
    if (update->err.code == ERR_NONE && !update->locked && clock_mono_ms() > update->deadline_ms)
        err_set(&update->err, ERR_TIMEOUT,
                "somebody else has been fetching '%s' for too long (the lock is '%s.lock')",
                mirror->url, mirror->path);
    if (update->err.code != ERR_NONE)
        round_end(update);
    else if (!update->locked)
        loop_timer_arm(update->lock_timer, LOCK_RETRY_MS);
    else if (!mirror_exists(mirror))
        make(update);
    else
        begin_fetch(update);
out:
    mirror_release(mirror);
}

static void prepare(struct mirror_update *update)
{
    mirror_hold(update->mirror);
    loop_work(update->mirror->loop, prepare_work, prepare_done, update);
}

static void round_begin(struct mirror_update *update)
{
    if (update->round || !update->waiting)
        return;
    update->round = update->waiting;
    update->waiting = NULL;
    update->waiting_end = &update->waiting;
    update->locked = update->fresh = update->remade = update->by_name = update->whole = false;
    update->err.code = ERR_NONE;
    const int64_t timeout_ms = update->round->remote.timeout_ms;
    update->deadline_ms = clock_mono_ms() + (timeout_ms > 0 ? timeout_ms : GIT_TIMEOUT_MS);
    if (!update->lock_timer)
        update->lock_timer = loop_timer_new(update->mirror->loop, on_lock_retry, update);
    prepare(update);
}

/* ---- requests ---- */

static void has_work(void *arg)
{
    struct request *request = arg;

    if (request->commit[0])
        request->found = mirror_has(request->mirror, request->commit, LOOKUP_TIMEOUT_MS);
}

static void has_done(void *arg)
{
    static const struct err none = {.code = ERR_NONE};
    struct request *request = arg;
    struct git_mirror *mirror = request->mirror;

    mirror_readers_used(mirror);
    if (mirror->dead) {
        request_free(request);
    } else if (request->found) {
        answer(request, &none);
    } else {
        *mirror->update->waiting_end = request;
        mirror->update->waiting_end = &request->next;
        round_begin(mirror->update);
    }
    mirror_release(mirror);
}

int git_mirror_update(struct git_mirror *mirror, const struct git_remote *remote,
                      const char *commit, void (*done)(const struct err *err, void *arg), void *arg,
                      struct err *err)
{
    if (commit && commit[0] && !git_commit_is_name(commit))
        return err_set(err, ERR_INVALID, "'%.80s' is no full commit name", commit);
    if (git_url_check(remote->url, err) != 0)
        return -1;
    struct request *request = mem_alloc(sizeof(*request));
    request->mirror = mirror;
    request->commit = mem_strdup(commit ? commit : "");
    git_remote_copy(&request->remote, remote);
    request->done = done;
    request->arg = arg;
    mirror_hold(mirror);
    loop_work(mirror->loop, has_work, has_done, request);
    return 0;
}
