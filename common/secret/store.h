/* Gantry's own store of parameters and secrets: one folder of mode 0700.
 *
 *   index.json   names, versions, grants, each version's data key (sealed under the store key), and
 * the store key (sealed under the master key); authenticated with the store key values/ID    a
 * version's value, sealed under its own data key, bound to store, name and version lock         one
 * writer, or readers; builders on several machines may share the folder
 *
 * Who can write the folder but has not the master key can destroy, and bring back an old state, but
 * not read, swap or add a value, nor grant. A change is one rename of the index, so a crash leaves
 * the state before or after. Rotation makes a new store key and seals all data keys anew; no value
 * is touched. Nothing is kept open or in memory: each call reads what it needs. Blocking; any
 * thread. */
#ifndef GANTRY_SECRET_STORE_H
#define GANTRY_SECRET_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "secret/envelope.h"
#include "secret/grant.h"
#include "secret/ref.h"

struct json_t; /* jansson */

#define SECRET_VALUE_MAX    (64 * 1024) /* bytes */
#define SECRET_COUNT_MAX    10000
#define SECRET_VERSIONS_MAX 10 /* kept of one name; the oldest goes */
#define SECRET_GRANTS_MAX   1000

/* The store key as the folder keeps it. */
struct secret_seal {
    char store_id[ID_SIZE];
    char key_id[ID_SIZE];
    char master[300]; /* what sealed it: "file:<fingerprint>" or "kms:<ARN>" */
    uint8_t *sealed;
    size_t sealed_len;
};
/* ERR_NOT_FOUND: there is no store yet. */
int secret_seal_read(struct secret_seal *seal, const char *dir, struct err *err);
void secret_seal_release(struct secret_seal *seal);

/* An opened one: whose `key` is that of `key_id`. Wiped by whoever made it. */
struct secret_store {
    const char *dir;
    char store_id[ID_SIZE];
    char key_id[ID_SIZE];
    uint8_t key[ENVELOPE_KEY_SIZE];
};
/* Makes an empty store whose key is sealed as said; ERR_CONFLICT: there is one. */
int secret_store_create(const struct secret_store *store, const struct secret_seal *seal,
                        struct err *err);

/* Of all that follow: ERR_CONFLICT, the store key is another by now (rotated): read the seal again;
 * ERR_INVALID with "damaged", the index or a value was changed by others than Gantry. */

struct secret_version {
    char id[ID_SIZE];
    uint64_t number; /* from 1 on */
};
/* A new version, which is AWSCURRENT from then on; the one before becomes AWSPREVIOUS. */
int secret_store_put(const struct secret_store *store, const char *name, const void *value,
                     size_t len, const char *author, int64_t now_ms, struct secret_version *out,
                     struct err *err);
/* *out (initialised here, limit SECRET_VALUE_MAX) is wiped with secret_release(). The pipeline must
 * have a grant, in the store or in `more`: else ERR_DENIED, whether the name is there or not. */
int secret_store_get(const struct secret_store *store, const struct secret_ref *ref,
                     const char *pipeline, const struct secret_grants *more, struct buf *out,
                     struct err *err);
/* Whether that would be allowed: 0, or -1 and ERR_DENIED. */
int secret_store_check(const struct secret_store *store, const struct secret_ref *ref,
                       const char *pipeline, const struct secret_grants *more, struct err *err);
/* All versions of a name. ERR_NOT_FOUND. */
int secret_store_delete(const struct secret_store *store, const char *name, struct err *err);
/* Names, versions and grants, never a value; NULL and *err. The caller json_decref()s. */
struct json_t *secret_store_list(const struct secret_store *store, struct err *err);
/* Pipelines that match may read names that match (str_glob()). Once there, again is no change. */
int secret_store_grant(const struct secret_store *store, const char *pipeline, const char *path,
                       const char *author, int64_t now_ms, struct err *err);
int secret_store_revoke(const struct secret_store *store, const char *pipeline, const char *path,
                        struct err *err); /* ERR_NOT_FOUND: there is no such grant */
/* From then on the store's key is `next`, sealed as said. */
int secret_store_rotate(const struct secret_store *store, const struct secret_store *next,
                        const struct secret_seal *seal, struct err *err);
/* Removes what a crash left: values of no version. */
int secret_store_sweep(const struct secret_store *store, struct err *err);

#endif
