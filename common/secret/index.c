#include "secret/index.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"

#define FORMAT    1
#define INDEX_MAX (64 * 1024 * 1024)
#define ADVICE    "bring back a backup of it"

static char *index_path(const char *dir)
{
    return mem_printf("%s/index.json", dir);
}

static int damaged(const char *dir, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "'%s/index.json' is damaged: %s; " ADVICE, dir, why);
}

static int load(json_t **out, const char *dir, struct err *err)
{
    char *path = index_path(dir);
    struct buf text;
    json_error_t error;
    int rc;

    *out = NULL;
    rc = file_read(&text, path, INDEX_MAX, err);
    free(path);
    if (rc < 0)
        return -1;
    *out = json_loadb(buf_cstr(&text), text.len, JSON_REJECT_DUPLICATES, &error);
    buf_release(&text);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return damaged(dir, "it is no JSON object", err);
    }
    if (json_integer_value(json_object_get(*out, "format")) != FORMAT) {
        json_decref(*out);
        *out = NULL;
        return err_set(err, ERR_INVALID,
                       "'%s/index.json' is of a format that this Gantry does not know", dir);
    }
    return 0;
}

static bool copy_id(char out[ID_SIZE], const json_t *object, const char *key)
{
    const char *id = json_string_value(json_object_get(object, key));

    if (!id || strlen(id) != ID_SIZE - 1)
        return false;
    memcpy(out, id, ID_SIZE);
    return true;
}

static int read_seal(struct secret_seal *seal, const json_t *root, const char *dir, struct err *err)
{
    const json_t *key = json_object_get(root, "key");
    const char *master = json_string_value(json_object_get(key, "master"));
    const json_t *sealed = json_object_get(key, "sealed");

    *seal = (struct secret_seal){0};
    if (!copy_id(seal->store_id, root, "id") || !copy_id(seal->key_id, key, "id") || !master ||
        strlen(master) >= sizeof(seal->master) || !json_is_string(sealed) ||
        base64_decode(json_string_value(sealed), json_string_length(sealed), &seal->sealed,
                      &seal->sealed_len) < 0)
        return damaged(dir, "its key is not whole", err);
    snprintf(seal->master, sizeof(seal->master), "%s", master);
    return 0;
}

int secret_seal_read(struct secret_seal *seal, const char *dir, struct err *err)
{
    json_t *root;
    int rc = load(&root, dir, err);

    *seal = (struct secret_seal){0};
    if (rc == 0)
        rc = read_seal(seal, root, dir, err);
    json_decref(root);
    return rc;
}

void secret_seal_release(struct secret_seal *seal)
{
    free(seal->sealed);
    *seal = (struct secret_seal){0};
}

/* Over all but the MAC itself, in jansson's canonical order. */
static char *mac_of(const struct secret_store *store, json_t *root)
{
    uint8_t key[SHA256_SIZE], mac[SHA256_SIZE];
    json_t *copy = json_copy(root);
    char *text, *hex = mem_alloc(SHA256_HEX_SIZE);

    json_object_del(copy, "mac");
    text = json_dumps(copy, JSON_SORT_KEYS | JSON_COMPACT);
    hmac_sha256(store->key, sizeof(store->key), "gantry index", 12, key);
    hmac_sha256(key, sizeof(key), text, strlen(text), mac);
    hex_encode(mac, sizeof(mac), hex);
    mem_wipe(key, sizeof(key));
    json_decref(copy);
    free(text);
    return hex;
}

static int check(struct secret_index *index, struct err *err)
{
    const struct secret_store *store = index->store;
    const char *told = json_string_value(json_object_get(index->root, "mac"));
    struct secret_seal seal;
    char *known;
    bool same;

    if (read_seal(&seal, index->root, store->dir, err) < 0) {
        secret_seal_release(&seal);
        return -1;
    }
    same = str_eq(seal.key_id, store->key_id) && str_eq(seal.store_id, store->store_id);
    secret_seal_release(&seal);
    if (!same)
        return err_set(err, ERR_CONFLICT, "the key of the secret store was rotated meanwhile");
    known = mac_of(store, index->root);
    same = told && ct_equal(told, strlen(told), known, strlen(known));
    free(known);
    index->secrets = json_object_get(index->root, "secrets");
    index->grants = json_object_get(index->root, "grants");
    if (!same || !json_is_object(index->secrets) || !json_is_array(index->grants))
        return damaged(store->dir, "others than Gantry changed it", err);
    return 0;
}

int index_lock(const char *dir, bool to_write, struct err *err)
{
    char *path = mem_printf("%s/lock", dir);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd < 0 ? -1 : 0;

    while (rc == 0 && flock(fd, to_write ? LOCK_EX : LOCK_SH) < 0) {
        if (errno != EINTR)
            rc = -1;
    }
    if (rc < 0) {
        err_errno(err, errno, "cannot lock '%s'", path);
        if (fd >= 0)
            close(fd);
    }
    free(path);
    return rc < 0 ? -1 : fd;
}

int index_read(struct secret_index *index, const struct secret_store *store, bool to_write,
               struct err *err)
{
    *index = (struct secret_index){.store = store, .lock = -1};
    index->lock = index_lock(store->dir, to_write, err);
    if (index->lock >= 0 && load(&index->root, store->dir, err) == 0 && check(index, err) == 0)
        return 0;
    index_release(index);
    return -1;
}

void index_release(struct secret_index *index)
{
    json_decref(index->root);
    if (index->lock >= 0)
        close(index->lock);
    *index = (struct secret_index){.lock = -1};
}

void index_set_seal(struct secret_index *index, const struct secret_seal *seal)
{
    char *sealed = base64_encode(seal->sealed, seal->sealed_len);

    json_object_set_new(index->root, "id", json_string(seal->store_id));
    json_object_set_new(
        index->root, "key",
        json_pack("{s:s, s:s, s:s}", "id", seal->key_id, "master", seal->master, "sealed", sealed));
    free(sealed);
}

void index_set_store(struct secret_index *index, const struct secret_store *store)
{
    index->store = store;
}

int index_write(struct secret_index *index, struct err *err)
{
    char *path = index_path(index->store->dir);
    char *mac = mac_of(index->store, index->root), *text;
    int rc;

    json_object_set_new(index->root, "mac", json_string(mac));
    text = json_dumps(index->root, JSON_SORT_KEYS | JSON_INDENT(1));
    rc = file_write(path, text, strlen(text), 0600, err);
    free(text);
    free(mac);
    free(path);
    return rc;
}

int secret_store_create(const struct secret_store *store, const struct secret_seal *seal,
                        struct err *err)
{
    struct secret_index index = {.store = store, .lock = -1};
    char *values = mem_printf("%s/values", store->dir), *path = index_path(store->dir);
    int rc = -1;

    if (file_mkdirs(values, 0700, err) < 0 || (index.lock = index_lock(store->dir, true, err)) < 0)
        goto out;
    if (access(path, F_OK) == 0) {
        err_set(err, ERR_CONFLICT, "there is a secret store in '%s' already", store->dir);
        goto out;
    }
    if (chmod(store->dir, 0700) < 0) {
        err_errno(err, errno, "cannot keep others out of '%s'", store->dir);
        goto out;
    }
    index.root = json_pack("{s:i, s:{}, s:[]}", "format", FORMAT, "secrets", "grants");
    index_set_seal(&index, seal);
    rc = index_write(&index, err);
out:
    index_release(&index);
    free(values);
    free(path);
    return rc;
}
