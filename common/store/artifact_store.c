#include "store/artifact_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "store/artifact_internal.h"

#define PART_MAX 200

static bool is_key(const char *key, bool prefix)
{
    size_t len = strlen(key);
    if (len > ARTIFACT_KEY_MAX || !str_is_utf8(key, len) || *key == '.' || *key == '/')
        return false;
    for (const char *p = key; *p;) {
        size_t part = strcspn(p, "/");
        if (part == 0 || part > PART_MAX || (part == 1 && *p == '.') ||
            (part == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        for (size_t i = 0; i < part; i++) {
            if ((unsigned char)p[i] < 0x20 || p[i] == 0x7F || p[i] == '\\')
                return false;
        }
        p += part;
        if (*p == '/' && !*++p)
            return prefix;
    }
    return prefix || len > 0;
}

bool artifact_is_key(const char *key)
{
    return is_key(key, false);
}

/* ---- calls ---- */

bool artifact_call_add(struct artifact_call *call, const char *key, uint64_t size,
                       int64_t modified_ms)
{
    struct artifact_answer *answer = &call->answer;
    if (answer->count == ARTIFACT_LIST_MAX) {
        answer->more = true;
        return false;
    }
    /* Grows by doubling from 16. */
    if (answer->count == 0 || (answer->count >= 16 && (answer->count & (answer->count - 1)) == 0))
        call->objects = mem_realloc(call->objects, answer->count ? 2 * answer->count : 16,
                                    sizeof(*call->objects));
    call->objects[answer->count++] =
        (struct artifact_object){.key = mem_strdup(key), .size = size, .modified_ms = modified_ms};
    answer->objects = call->objects;
    return true;
}

void artifact_call_free(struct artifact_call *call)
{
    for (size_t i = 0; call->objects && i < call->answer.count; i++)
        free((char *)call->objects[i].key);
    free(call->objects);
    if (call->fd >= 0)
        close(call->fd);
    free(call->key);
    free(call->dir);
    free(call);
}

void artifact_call_finish(struct artifact_call *call)
{
    if (call->store) {
        LIST_REMOVE(call, link);
        call->store = NULL;
        call->done(&call->answer, &call->err, call->arg);
    }
    artifact_call_free(call);
}

void artifact_call_cancel(struct artifact_call *call)
{
    if (!call)
        return;
    bool is_dir = call->store->dir != NULL;
    LIST_REMOVE(call, link);
    call->store = NULL;
    if (is_dir || (!call->asked && !call->upload))
        return; /* a worker, or what was posted, comes back and frees it */
    aws_call_cancel(call->asked);
    s3_upload_cancel(call->upload);
    artifact_call_free(call);
}

static void finish_soon(void *arg)
{
    artifact_call_finish(arg);
}

static void start(struct artifact_call *call)
{
    struct artifact_store *store = call->store;
    if (call->err.code != ERR_NONE || (!store->dir && call->verb == ARTIFACT_SWEEP))
        loop_post(store->loop, finish_soon, call);
    else if (store->dir)
        artifact_dir_call(call);
    else
        artifact_s3_call(call);
}

static struct artifact_call *make(struct artifact_store *store, enum artifact_verb verb,
                                  const char *key, int fd, uint64_t size, artifact_done_fn *done,
                                  void *arg)
{
    struct artifact_call *call = mem_alloc(sizeof(*call));
    *call = (struct artifact_call){.store = store,
                                   .verb = verb,
                                   .key = mem_strdup(key),
                                   .fd = -1,
                                   .size = size,
                                   .done = done,
                                   .arg = arg,
                                   .dir = mem_strdup(store->dir)};
    LIST_INSERT_HEAD(&store->calls, call, link);
    if (!is_key(key, verb == ARTIFACT_LIST || verb == ARTIFACT_SWEEP))
        err_set(&call->err, ERR_INVALID, "'%.200s' is no key of an artifact store", key);
    else if (fd >= 0 && (call->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0)
        err_errno(&call->err, errno, "cannot use the file of '%.200s'", key);
    return call;
}

static struct artifact_call *begin(struct artifact_store *store, enum artifact_verb verb,
                                   const char *key, int fd, uint64_t size, artifact_done_fn *done,
                                   void *arg)
{
    struct artifact_call *call = make(store, verb, key, fd, size, done, arg);
    start(call);
    return call;
}

struct artifact_call *artifact_put(struct artifact_store *store, const char *key, int fd,
                                   uint64_t size, artifact_done_fn *done, void *arg)
{
    return begin(store, ARTIFACT_PUT, key, fd, size, done, arg);
}

struct artifact_call *artifact_put_soon(struct artifact_store *store, const char *key, int fd,
                                        uint64_t size, artifact_done_fn *done, void *arg)
{
    struct artifact_call *call = make(store, ARTIFACT_PUT, key, fd, size, done, arg);
    call->soon = true;
    start(call);
    return call;
}

struct artifact_call *artifact_sweep(struct artifact_store *store, const char *prefix,
                                     int64_t before_ms, artifact_done_fn *done, void *arg)
{
    struct artifact_call *call = make(store, ARTIFACT_SWEEP, prefix, -1, 0, done, arg);
    call->before_ms = before_ms;
    start(call);
    return call;
}

struct artifact_call *artifact_get(struct artifact_store *store, const char *key, int fd,
                                   uint64_t limit, artifact_done_fn *done, void *arg)
{
    return begin(store, ARTIFACT_GET, key, fd, limit, done, arg);
}

struct artifact_call *artifact_head(struct artifact_store *store, const char *key,
                                    artifact_done_fn *done, void *arg)
{
    return begin(store, ARTIFACT_HEAD, key, -1, 0, done, arg);
}

struct artifact_call *artifact_delete(struct artifact_store *store, const char *key,
                                      artifact_done_fn *done, void *arg)
{
    return begin(store, ARTIFACT_DELETE, key, -1, 0, done, arg);
}

struct artifact_call *artifact_list(struct artifact_store *store, const char *prefix,
                                    artifact_done_fn *done, void *arg)
{
    return begin(store, ARTIFACT_LIST, prefix, -1, 0, done, arg);
}

/* ---- the store ---- */

int artifact_store_new(struct artifact_store **out, const struct artifact_store_conf *conf,
                       struct err *err)
{
    struct artifact_store *store = mem_alloc(sizeof(*store));
    int rc;
    store->loop = conf->loop;
    store->aws = conf->aws;
    store->where = mem_strdup(conf->where);
    LIST_INIT(&store->calls);
    if (str_starts(conf->where, "s3://"))
        rc = artifact_s3_open(store, conf->kms_key, err);
    else if (*conf->where == '/')
        rc = artifact_dir_open(store, err);
    else
        rc = err_set(err, ERR_INVALID,
                     "'%.200s' is neither an absolute folder nor s3://bucket/prefix", conf->where);
    if (rc < 0) {
        artifact_store_free(store);
        return -1;
    }
    *out = store;
    return 0;
}

void artifact_store_free(struct artifact_store *store)
{
    if (!store)
        return;
    for (struct artifact_call *call; (call = LIST_FIRST(&store->calls));)
        artifact_call_cancel(call);
    free(store->where);
    free(store->dir);
    free(store->bucket);
    free(store->prefix);
    free(store->kms_key);
    free(store);
}

const char *artifact_store_where(const struct artifact_store *store)
{
    return store->where;
}
