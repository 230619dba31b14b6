#include "git/mirror.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "git/checkout.h"

#define READER_IDLE_MS      30000
#define CHECKOUT_TIMEOUT_MS (10 * 60 * 1000)

static void on_idle(void *arg)
{
    mirror_readers_close(arg);
}

struct git_mirror *git_mirror_new(struct loop *loop, const char *dir, const char *url)
{
    return git_mirror_new_shallow(loop, dir, url, 0);
}

struct git_mirror *git_mirror_new_shallow(struct loop *loop, const char *dir, const char *url,
                                          uint32_t depth)
{
    struct git_mirror *mirror = mem_alloc(sizeof(*mirror));
    char hash[SHA256_HEX_SIZE];

    sha256_hex(url, strlen(url), hash);
    mirror->loop = loop;
    mirror->dir = mem_strdup(dir);
    mirror->url = mem_strdup(url);
    mirror->depth = depth;
    mirror->path = depth ? mem_printf("%s/%.32s-%" PRIu32 ".git", dir, hash, depth)
                         : mem_printf("%s/%.32s.git", dir, hash);
    mirror->marker = mem_printf("%s/gantry-broken", mirror->path);
    mirror->holds = 1;
    pthread_mutex_init(&mirror->lock, NULL);
    mirror->idle_timer = loop_timer_new(loop, on_idle, mirror);
    mirror->update = mirror_update_new(mirror);
    return mirror;
}

void git_mirror_free(struct git_mirror *mirror)
{
    if (!mirror)
        return;
    mirror->dead = true;
    mirror_update_end(mirror->update);
    loop_timer_free(mirror->idle_timer);
    mirror->idle_timer = NULL;
    mirror_release(mirror);
}

const char *git_mirror_path(const struct git_mirror *mirror)
{
    return mirror->path;
}

void mirror_hold(struct git_mirror *mirror)
{
    mirror->holds++;
}

void mirror_release(struct git_mirror *mirror)
{
    if (--mirror->holds > 0)
        return;
    mirror_readers_close(mirror);
    mirror_update_free(mirror->update);
    pthread_mutex_destroy(&mirror->lock);
    free(mirror->dir);
    free(mirror->url);
    free(mirror->path);
    free(mirror->marker);
    free(mirror);
}

/* ---- readers ---- */

bool mirror_exists(const struct git_mirror *mirror)
{
    char *head = mem_printf("%s/HEAD", mirror->path);
    const bool exists = access(head, F_OK) == 0 && access(mirror->marker, F_OK) != 0;

    free(head);
    return exists;
}

int mirror_reader_take(struct git_mirror *mirror, int64_t timeout_ms, struct git_objects **out,
                       struct err *err)
{
    struct git_objects *reader = NULL;

    pthread_mutex_lock(&mirror->lock);
    if (mirror->idle_count > 0)
        reader = mirror->idle[--mirror->idle_count];
    pthread_mutex_unlock(&mirror->lock);
    if (reader && !git_objects_usable(reader, mirror->path)) {
        git_objects_close(reader);
        reader = NULL;
    }
    *out = reader;
    if (!reader && git_objects_open(out, mirror->path, err) != 0)
        return -1;
    git_objects_set_deadline(*out, clock_mono_ms() + timeout_ms);
    return 0;
}

void mirror_reader_give(struct git_mirror *mirror, struct git_objects *reader)
{
    pthread_mutex_lock(&mirror->lock);
    if (git_objects_usable(reader, mirror->path) && mirror->idle_count < MIRROR_READERS_IDLE) {
        mirror->idle[mirror->idle_count++] = reader;
        reader = NULL;
    }
    pthread_mutex_unlock(&mirror->lock);
    git_objects_close(reader);
}

void mirror_readers_close(struct git_mirror *mirror)
{
    struct git_objects *closing[MIRROR_READERS_IDLE];
    size_t count;

    pthread_mutex_lock(&mirror->lock);
    count = mirror->idle_count;
    memcpy(closing, mirror->idle, sizeof(closing));
    mirror->idle_count = 0;
    pthread_mutex_unlock(&mirror->lock);
    for (size_t i = 0; i < count; i++)
        git_objects_close(closing[i]);
}

void mirror_readers_used(struct git_mirror *mirror)
{
    if (mirror->idle_timer)
        loop_timer_arm(mirror->idle_timer, READER_IDLE_MS);
}

bool mirror_has(struct git_mirror *mirror, const char *commit, int64_t timeout_ms)
{
    struct git_objects *reader;
    struct git_object object;
    bool has = false;

    if (!mirror_exists(mirror) || mirror_reader_take(mirror, timeout_ms, &reader, NULL) != 0)
        return false;
    if (git_objects_ask(reader, commit, NULL) == 0 &&
        git_objects_next(reader, &object, NULL) == 0) {
        has = object.type == GIT_OBJECT_COMMIT;
        const char *data = NULL;
        size_t len = 0;
        for (uint64_t left = object.size; left > 0; left -= len) {
            if (git_objects_chunk(reader, &data, &len, SIZE_MAX, NULL) != 0) {
                has = false;
                break;
            }
        }
    }
    mirror_reader_give(mirror, reader);
    return has;
}

/* ---- checkout ---- */

struct checkout_job {
    struct git_mirror *mirror;
    char *commit;
    char *dir;
    int64_t timeout_ms;
    struct git_found found;
    struct err err;
    mirror_checked_out_fn *found_done; /* or */
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

static void mark_broken(const struct git_mirror *mirror)
{
    FILE *file = fopen(mirror->marker, "we");

    if (file)
        fclose(file);
}

static int take_reader(void *arg, struct git_objects **out, struct err *err)
{
    const struct checkout_job *job = arg;

    return mirror_reader_take(job->mirror, job->timeout_ms, out, err);
}

static void give_reader(void *arg, struct git_objects *reader)
{
    mirror_reader_give(((const struct checkout_job *)arg)->mirror, reader);
}

static void checkout_work(void *arg)
{
    struct checkout_job *job = arg;
    const struct git_readers readers = {take_reader, give_reader, job};

    if (!mirror_exists(job->mirror)) {
        err_set(&job->err, ERR_NOT_FOUND, "there is no mirror of '%s' yet", job->mirror->url);
        return;
    }
    if (git_checkout_write(&readers, job->commit, job->dir, &job->found, &job->err) != 0) {
        err_wrap(&job->err, "cannot check out %s of '%s'", job->commit, job->mirror->url);
        if (job->err.code == ERR_UNAVAILABLE)
            mark_broken(job->mirror);
    }
}

static void checkout_done(void *arg)
{
    struct checkout_job *job = arg;

    mirror_readers_used(job->mirror);
    const struct err *err = job->err.code == ERR_NONE ? NULL : &job->err;
    if (!job->mirror->dead && job->found_done)
        job->found_done(&job->found, err, job->arg);
    else if (!job->mirror->dead)
        job->done(err, job->arg);
    mirror_release(job->mirror);
    git_found_release(&job->found);
    free(job->commit);
    free(job->dir);
    free(job);
}

static struct checkout_job *checkout_start(struct git_mirror *mirror, const char *commit,
                                           const char *dir, int64_t timeout_ms, struct err *err)
{
    if (!git_commit_is_name(commit)) {
        err_set(err, ERR_INVALID, "'%.80s' is no full commit name", commit ? commit : "");
        return NULL;
    }
    struct checkout_job *job = mem_alloc(sizeof(*job));
    job->mirror = mirror;
    job->commit = mem_strdup(commit);
    job->dir = mem_strdup(dir);
    job->timeout_ms = timeout_ms > 0 ? timeout_ms : CHECKOUT_TIMEOUT_MS;
    mirror_hold(mirror);
    return job;
}

int git_mirror_checkout(struct git_mirror *mirror, const char *commit, const char *dir,
                        int64_t timeout_ms, void (*done)(const struct err *err, void *arg),
                        void *arg, struct err *err)
{
    struct checkout_job *job = checkout_start(mirror, commit, dir, timeout_ms, err);

    if (!job)
        return -1;
    job->done = done;
    job->arg = arg;
    loop_work(mirror->loop, checkout_work, checkout_done, job);
    return 0;
}

int mirror_checkout(struct git_mirror *mirror, const char *commit, const char *dir,
                    int64_t timeout_ms, bool want_pointers, mirror_checked_out_fn *done, void *arg,
                    struct err *err)
{
    struct checkout_job *job = checkout_start(mirror, commit, dir, timeout_ms, err);

    if (!job)
        return -1;
    job->found.want_pointers = want_pointers;
    job->found_done = done;
    job->arg = arg;
    loop_work(mirror->loop, checkout_work, checkout_done, job);
    return 0;
}
