#include "secret/store.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "secret/index.h"
#include "secret/secret.h"

#define CURRENT    "AWSCURRENT"
#define PREVIOUS   "AWSPREVIOUS"
#define SEALED_KEY (ENVELOPE_KEY_SIZE + ENVELOPE_OVERHEAD)

/* ---- keys and values of a version ---- */

/* What a version's data key and its value are bound to. */
static char *bound_to(const struct secret_store *store, const char *what, const char *name,
                      const char *version)
{
    return mem_printf("gantry %s\n%s\n%s\n%s", what, store->store_id, name, version);
}

static char *value_path(const struct secret_store *store, const char *version)
{
    return mem_printf("%s/values/%s", store->dir, version);
}

static char *seal_data_key(const struct secret_store *store, const char *name, const char *version,
                           const uint8_t key[ENVELOPE_KEY_SIZE])
{
    char *bound = bound_to(store, "data key", name, version), *text;
    uint8_t sealed[SEALED_KEY];

    envelope_seal(store->key, bound, key, ENVELOPE_KEY_SIZE, sealed);
    text = base64_encode(sealed, sizeof(sealed));
    free(bound);
    return text;
}

static int damaged(const char *name, struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "the value of '%.300s' is damaged; set it again or bring back a backup", name);
}

static int open_data_key(const struct secret_store *store, const char *name, const json_t *version,
                         uint8_t key[ENVELOPE_KEY_SIZE], struct err *err)
{
    const json_t *text = json_object_get(version, "key");
    char *bound =
        bound_to(store, "data key", name, json_string_value(json_object_get(version, "id")));
    uint8_t *sealed = NULL;
    size_t len = 0;
    int rc = -1;

    if (base64_decode(json_string_value(text), json_string_length(text), &sealed, &len) == 0 &&
        len == SEALED_KEY)
        rc = envelope_open(store->key, bound, sealed, len, key);
    free(sealed);
    free(bound);
    return rc < 0 ? damaged(name, err) : 0;
}

static int write_value(const struct secret_store *store, const char *name, const char *version,
                       const uint8_t key[ENVELOPE_KEY_SIZE], const void *value, size_t len,
                       struct err *err)
{
    char *bound = bound_to(store, "value", name, version), *path = value_path(store, version);
    uint8_t *sealed = mem_alloc(len + ENVELOPE_OVERHEAD);
    int rc;

    envelope_seal(key, bound, value, len, sealed);
    rc = file_write(path, sealed, len + ENVELOPE_OVERHEAD, 0600, err);
    free(sealed);
    free(path);
    free(bound);
    return rc;
}

static int read_value(const struct secret_store *store, const char *name, const json_t *version,
                      struct buf *out, struct err *err)
{
    const char *id = json_string_value(json_object_get(version, "id"));
    char *bound = bound_to(store, "value", name, id), *path = value_path(store, id);
    uint8_t key[ENVELOPE_KEY_SIZE], *plain;
    struct buf sealed;
    int rc = -1;

    if (file_read(&sealed, path, SECRET_VALUE_MAX + ENVELOPE_OVERHEAD, NULL) < 0 ||
        sealed.len < ENVELOPE_OVERHEAD) {
        damaged(name, err);
    } else if (open_data_key(store, name, version, key, err) == 0) {
        /* Room for all and its NUL, so that no copy is left behind by growing. */
        plain = buf_extend(out, sealed.len - ENVELOPE_OVERHEAD);
        rc = envelope_open(key, bound, sealed.data, sealed.len, plain) < 0 ? damaged(name, err) : 0;
    }
    mem_wipe(key, sizeof(key));
    buf_release(&sealed);
    free(path);
    free(bound);
    return rc;
}

/* ---- versions ---- */

static const char *stage_of(const json_t *versions, size_t i)
{
    const size_t count = json_array_size(versions);

    return i + 1 == count ? CURRENT : i + 2 == count ? PREVIOUS : NULL;
}

static bool is_version(const json_t *version, const char *wanted)
{
    char number[21];

    id_num(number, (uint64_t)json_integer_value(json_object_get(version, "number")));
    return str_eq(wanted, number) ||
           str_eq(wanted, json_string_value(json_object_get(version, "id")));
}

/* The one that a reference names; where it names stage and version, both must be its. */
static const json_t *find_version(const json_t *versions, const struct secret_ref *ref,
                                  struct err *err)
{
    const char *stage = ref->stage ? ref->stage : ref->version ? NULL : CURRENT;

    for (size_t i = json_array_size(versions); i-- > 0;) {
        const json_t *version = json_array_get(versions, i);
        if (ref->version && !is_version(version, ref->version))
            continue;
        if (stage && !str_eq(stage, stage_of(versions, i)))
            continue;
        return version;
    }
    err_set(err, ERR_NOT_FOUND,
            "'%.300s' has no version%s%.100s%s%.100s; `gantry secret list` shows them", ref->name,
            ref->version ? " " : "", ref->version ? ref->version : "",
            stage ? " of the stage " : "", stage ? stage : "");
    return NULL;
}

static void remove_value(const struct secret_store *store, const json_t *version)
{
    char *path = value_path(store, json_string_value(json_object_get(version, "id")));

    unlink(path);
    free(path);
}

/* ---- calls ---- */

static int check_put(const struct secret_index *index, const char *name, size_t len,
                     struct err *err)
{
    if (!secret_is_name(name))
        return err_set(
            err, ERR_INVALID,
            "'%.200s' is no name of a secret: letters, digits and _+=.@- in parts joined "
            "by '/'",
            name);
    if (len > SECRET_VALUE_MAX)
        return err_set(err, ERR_LIMIT, "a value has at most %d bytes", SECRET_VALUE_MAX);
    if (len == 0)
        return err_set(err, ERR_INVALID, "the value is empty");
    if (!json_object_get(index->secrets, name) &&
        json_object_size(index->secrets) >= SECRET_COUNT_MAX)
        return err_set(err, ERR_LIMIT, "the store holds %d names already", SECRET_COUNT_MAX);
    return 0;
}

/* Adds the version; what is too old goes to `dropped`. */
static void add_version(struct secret_index *index, const char *name, json_t *version,
                        json_t *dropped)
{
    json_t *secret = json_object_get(index->secrets, name), *versions;

    if (!secret) {
        secret = json_pack("{s:I, s:[]}", "next", (json_int_t)1, "versions");
        json_object_set_new(index->secrets, name, secret);
    }
    versions = json_object_get(secret, "versions");
    const json_int_t number = json_integer_value(json_object_get(secret, "next"));
    json_object_set_new(version, "number", json_integer(number));
    json_object_set_new(secret, "next", json_integer(number + 1));
    json_array_append_new(versions, version);
    while (json_array_size(versions) > SECRET_VERSIONS_MAX) {
        json_array_append(dropped, json_array_get(versions, 0));
        json_array_remove(versions, 0);
    }
}

int secret_store_put(const struct secret_store *store, const char *name, const void *value,
                     size_t len, const char *author, int64_t now_ms, struct secret_version *out,
                     struct err *err)
{
    struct secret_index index;
    uint8_t key[ENVELOPE_KEY_SIZE];
    json_t *dropped = json_array(), *version = NULL, *gone;
    char *sealed = NULL;
    size_t i;
    int rc = -1;

    if (index_read(&index, store, true, err) < 0 || check_put(&index, name, len, err) < 0)
        goto out;
    id_random(out->id);
    random_bytes(key, sizeof(key));
    /* The value first: an index never names what is not there. */
    if (write_value(store, name, out->id, key, value, len, err) < 0)
        goto out;
    sealed = seal_data_key(store, name, out->id, key);
    version = json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", out->id, "key", sealed, "author", author,
                        "createdMs", (json_int_t)now_ms, "size", (json_int_t)len);
    add_version(&index, name, version, dropped);
    out->number = (uint64_t)json_integer_value(json_object_get(version, "number"));
    rc = index_write(&index, err);
    if (rc == 0) {
        json_array_foreach(dropped, i, gone) remove_value(store, gone);
    }
out:
    mem_wipe(key, sizeof(key));
    index_release(&index);
    json_decref(dropped);
    free(sealed);
    return rc;
}

/* Whether the pipeline has a grant for either name. */
static bool is_granted(const struct secret_index *index, const struct secret_ref *ref,
                       const char *pipeline, const struct secret_grants *more)
{
    const json_t *grant;
    size_t i;

    if (secret_granted(more, pipeline, ref->name) ||
        (ref->other && secret_granted(more, pipeline, ref->other)))
        return true;
    json_array_foreach(index->grants, i, grant)
    {
        const struct secret_grant one = {json_string_value(json_object_get(grant, "pipeline")),
                                         json_string_value(json_object_get(grant, "path"))};
        const struct secret_grants all = {&one, 1};
        if (secret_granted(&all, pipeline, ref->name) ||
            (ref->other && secret_granted(&all, pipeline, ref->other)))
            return true;
    }
    return false;
}

int secret_store_check(const struct secret_store *store, const struct secret_ref *ref,
                       const char *pipeline, const struct secret_grants *more, struct err *err)
{
    struct secret_index index;
    int rc = 0;

    if (index_read(&index, store, false, err) < 0)
        return -1;
    if (!is_granted(&index, ref, pipeline, more))
        rc = secret_grant_refuse(pipeline, ref->other ? ref->other : ref->name, err);
    index_release(&index);
    return rc;
}

static int get(const struct secret_index *index, const struct secret_ref *ref, struct buf *out,
               struct err *err)
{
    const char *name = ref->name;
    const json_t *secret = json_object_get(index->secrets, name), *version;

    if (!secret && ref->other) {
        name = ref->other;
        secret = json_object_get(index->secrets, name);
    }
    if (!secret)
        return err_set(
            err, ERR_NOT_FOUND,
            "the secret store has no '%.300s'; an operator can set it: gantry secret set "
            "'%.300s'",
            ref->name, ref->other ? ref->other : ref->name);
    version = find_version(json_object_get(secret, "versions"), ref, err);
    return version ? read_value(index->store, name, version, out, err) : -1;
}

int secret_store_get(const struct secret_store *store, const struct secret_ref *ref,
                     const char *pipeline, const struct secret_grants *more, struct buf *out,
                     struct err *err)
{
    struct secret_index index;
    struct buf whole;
    int rc = -1;

    buf_init(out, SECRET_VALUE_MAX);
    buf_init(&whole, SECRET_VALUE_MAX);
    if (index_read(&index, store, false, err) < 0)
        return -1;
    if (!is_granted(&index, ref, pipeline, more))
        secret_grant_refuse(pipeline, ref->other ? ref->other : ref->name, err);
    else
        rc = get(&index, ref, &whole, err);
    index_release(&index);
    if (rc == 0 && ref->json_key) {
        rc = secret_json_member(out, buf_cstr(&whole), whole.len, ref->json_key, ref->name, err);
    } else if (rc == 0) {
        *out = whole;
        return 0;
    }
    secret_release(&whole);
    return rc;
}

int secret_store_delete(const struct secret_store *store, const char *name, struct err *err)
{
    struct secret_index index;
    json_t *versions = NULL, *version;
    size_t i;
    int rc = -1;

    if (index_read(&index, store, true, err) < 0)
        return -1;
    versions = json_incref(json_object_get(json_object_get(index.secrets, name), "versions"));
    if (!versions) {
        err_set(err, ERR_NOT_FOUND, "the secret store has no '%.300s'", name);
    } else {
        json_object_del(index.secrets, name);
        rc = index_write(&index, err);
    }
    if (rc == 0) {
        json_array_foreach(versions, i, version) remove_value(store, version);
    }
    index_release(&index);
    json_decref(versions);
    return rc;
}

static json_t *tell_versions(const json_t *versions)
{
    json_t *out = json_array(), *version;
    size_t i;

    json_array_foreach(versions, i, version)
    {
        json_t *one = json_copy(version);
        const char *stage = stage_of(versions, i);
        json_object_del(one, "key");
        json_object_set_new(one, "stages", stage ? json_pack("[s]", stage) : json_array());
        json_array_append_new(out, one);
    }
    return out;
}

json_t *secret_store_list(const struct secret_store *store, struct err *err)
{
    struct secret_index index;
    struct strv names = {0};
    json_t *secrets = json_array(), *secret, *out = NULL;
    const char *name;

    if (index_read(&index, store, false, err) < 0)
        goto out;
    json_object_foreach(index.secrets, name, secret) strv_add(&names, name);
    strv_sort(&names);
    for (size_t i = 0; i < names.count; i++) {
        secret = json_object_get(index.secrets, names.items[i]);
        json_array_append_new(secrets,
                              json_pack("{s:s, s:o}", "name", names.items[i], "versions",
                                        tell_versions(json_object_get(secret, "versions"))));
    }
    out = json_pack("{s:O, s:O, s:{s:s, s:O}}", "secrets", secrets, "grants", index.grants, "key",
                    "id", store->key_id, "master",
                    json_object_get(json_object_get(index.root, "key"), "master"));
out:
    index_release(&index);
    strv_release(&names);
    json_decref(secrets);
    return out;
}

/* ---- grants ---- */

static size_t find_grant(const json_t *grants, const char *pipeline, const char *path)
{
    const json_t *grant;
    size_t i;

    json_array_foreach(grants, i, grant)
    {
        if (str_eq(json_string_value(json_object_get(grant, "pipeline")), pipeline) &&
            str_eq(json_string_value(json_object_get(grant, "path")), path))
            break;
    }
    return i;
}

int secret_store_grant(const struct secret_store *store, const char *pipeline, const char *path,
                       const char *author, int64_t now_ms, struct err *err)
{
    struct secret_index index;
    int rc = -1;

    if (secret_grant_check(pipeline, path, err) < 0 || index_read(&index, store, true, err) < 0)
        return -1;
    path += *path == '/';
    const size_t count = json_array_size(index.grants);
    if (find_grant(index.grants, pipeline, path) < count) {
        rc = 0;
    } else if (count >= SECRET_GRANTS_MAX) {
        err_set(err, ERR_LIMIT, "the store holds %d grants already; use globs", SECRET_GRANTS_MAX);
    } else {
        json_array_append_new(index.grants,
                              json_pack("{s:s, s:s, s:s, s:I}", "pipeline", pipeline, "path", path,
                                        "author", author, "createdMs", (json_int_t)now_ms));
        rc = index_write(&index, err);
    }
    index_release(&index);
    return rc;
}

int secret_store_revoke(const struct secret_store *store, const char *pipeline, const char *path,
                        struct err *err)
{
    struct secret_index index;
    size_t at;
    int rc = -1;

    if (index_read(&index, store, true, err) < 0)
        return -1;
    path += *path == '/';
    at = find_grant(index.grants, pipeline, path);
    if (at == json_array_size(index.grants)) {
        err_set(err, ERR_NOT_FOUND, "there is no grant of '%.200s' to '%.200s'", path, pipeline);
    } else {
        json_array_remove(index.grants, at);
        rc = index_write(&index, err);
    }
    index_release(&index);
    return rc;
}

/* ---- upkeep ---- */

static int reseal(const struct secret_store *store, const struct secret_store *next,
                  const char *name, json_t *version, struct err *err)
{
    uint8_t key[ENVELOPE_KEY_SIZE];
    char *sealed;

    if (open_data_key(store, name, version, key, err) < 0)
        return -1;
    sealed = seal_data_key(next, name, json_string_value(json_object_get(version, "id")), key);
    json_object_set_new(version, "key", json_string(sealed));
    mem_wipe(key, sizeof(key));
    free(sealed);
    return 0;
}

int secret_store_rotate(const struct secret_store *store, const struct secret_store *next,
                        const struct secret_seal *seal, struct err *err)
{
    struct secret_index index;
    json_t *secret, *version;
    const char *name;
    size_t i;
    int rc = 0;

    if (index_read(&index, store, true, err) < 0)
        return -1;
    json_object_foreach(index.secrets, name, secret)
    {
        json_array_foreach(json_object_get(secret, "versions"), i, version)
        {
            if (rc == 0)
                rc = reseal(store, next, name, version, err);
        }
    }
    if (rc == 0) {
        index_set_seal(&index, seal);
        index_set_store(&index, next);
        rc = index_write(&index, err);
    }
    index_release(&index);
    return rc;
}

static void collect(const json_t *secrets, struct map *ids)
{
    json_t *secret, *version;
    const char *name;
    size_t i;

    json_object_foreach((json_t *)(uintptr_t)secrets, name, secret)
    {
        json_array_foreach(json_object_get(secret, "versions"), i, version)
            map_set(ids, json_string_value(json_object_get(version, "id")), version);
    }
}

int secret_store_sweep(const struct secret_store *store, struct err *err)
{
    char *path = mem_printf("%s/values", store->dir);
    struct secret_index index;
    struct map *ids = map_new(NULL);
    const struct dirent *entry;
    DIR *values = NULL;
    int rc = -1;

    if (index_read(&index, store, true, err) < 0)
        goto out;
    collect(index.secrets, ids);
    values = opendir(path);
    if (!values) {
        err_errno(err, errno, "cannot read '%s'", path);
        goto out;
    }
    while ((entry = readdir(values))) {
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, "..") &&
            !map_get(ids, entry->d_name))
            unlinkat(dirfd(values), entry->d_name, 0);
    }
    rc = 0;
out:
    if (values)
        closedir(values);
    index_release(&index);
    map_free(ids);
    free(path);
    return rc;
}
