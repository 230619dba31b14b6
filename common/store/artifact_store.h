/* Where what builds leave is kept: artifacts, caches, whole logs, by key. A folder of this machine
 * (or one that several share), or a bucket of S3. Loop thread; what blocks is done by workers.
 *
 * A folder has mode 0700 and an object is a file of 0600 in it, written beside, synced and renamed:
 * who reads sees all of an object or none, also after a crash. S3: SigV4, in parts above 8 MiB,
 * encrypted as the settings say. */
#ifndef GANTRY_STORE_ARTIFACT_STORE_H
#define GANTRY_STORE_ARTIFACT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct aws;
struct artifact_store;
struct artifact_call;

#define ARTIFACT_KEY_MAX  900   /* bytes */
#define ARTIFACT_LIST_MAX 10000 /* objects of one list */

struct artifact_store_conf {
    struct loop *loop;
    const char *where; /* an absolute folder, which is made; or s3://bucket or s3://bucket/prefix */
    struct aws *aws;   /* of s3; must live longer; NULL: none */
    const char *kms_key; /* of s3: id, ARN or alias; NULL or "": as the bucket is set */
};
/* Blocking on a local folder: at the start. ERR_INVALID: `where` is none. */
int artifact_store_new(struct artifact_store **out, const struct artifact_store_conf *conf,
                       struct err *err);
/* Calls under way end without a callback. NULL is accepted. */
void artifact_store_free(struct artifact_store *store);
const char *artifact_store_where(const struct artifact_store *store);

/* UTF-8 in parts of 1 to 200 bytes joined by single slashes, none "." or "..", no control character
 * and no backslash; the first part does not begin with a dot. */
bool artifact_is_key(const char *key);

struct artifact_object {
    const char *key;
    uint64_t size;       /* bytes */
    int64_t modified_ms; /* Unix; S3 knows whole seconds */
};
struct artifact_answer {
    uint64_t size;                         /* of what was put, got or asked for */
    int64_t modified_ms;                   /* of artifact_head() */
    const struct artifact_object *objects; /* of artifact_list(), by key */
    size_t count;
    bool more; /* there are more than ARTIFACT_LIST_MAX */
};
/* `err` is ERR_NONE, ERR_NOT_FOUND, ERR_LIMIT, ERR_IO, or as aws.h says; `answer` is never NULL.
 * Both are valid during the call, which is never from inside what was asked. */
typedef void artifact_done_fn(const struct artifact_answer *answer, const struct err *err,
                              void *arg);

/* The first `size` bytes of a file; what the key named before is replaced. Descriptors stay the
 * caller's and may be closed at once. A file without a name (O_TMPFILE, mode 0600) on a folder's
 * disk is not copied but gets that name: do not write to it any more. */
struct artifact_call *artifact_put(struct artifact_store *store, const char *key, int fd,
                                   uint64_t size, artifact_done_fn *done, void *arg);
/* The same, but a folder's disk is not waited for: after a power cut it can be missing or empty. */
struct artifact_call *artifact_put_soon(struct artifact_store *store, const char *key, int fd,
                                        uint64_t size, artifact_done_fn *done, void *arg);
/* Into the empty file `fd`, `limit` bytes at most (ERR_LIMIT). */
struct artifact_call *artifact_get(struct artifact_store *store, const char *key, int fd,
                                   uint64_t limit, artifact_done_fn *done, void *arg);
struct artifact_call *artifact_head(struct artifact_store *store, const char *key,
                                    artifact_done_fn *done, void *arg);
/* Not being there is success. */
struct artifact_call *artifact_delete(struct artifact_store *store, const char *key,
                                      artifact_done_fn *done, void *arg);
/* Keys that begin with `prefix`: whole parts, ended by a slash, and what a part begins with. */
struct artifact_call *artifact_list(struct artifact_store *store, const char *prefix,
                                    artifact_done_fn *done, void *arg);
/* Removes objects whose key begins with `prefix` (whole parts, ended by a slash), which nobody put
 * or got since `before_ms` (Unix); answer.count of them. S3 does that by its own rules: nothing is
 * done then. */
struct artifact_call *artifact_sweep(struct artifact_store *store, const char *prefix,
                                     int64_t before_ms, artifact_done_fn *done, void *arg);
void artifact_call_cancel(struct artifact_call *call); /* no callback follows; NULL is accepted */

#endif
