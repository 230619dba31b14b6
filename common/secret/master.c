#include "secret/master.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "secret/secret.h"

#define FINGERPRINT_DIGITS 16

int secret_master_read(struct secret_master *master, const char *secrets_dir, const char *name,
                       struct err *err)
{
    uint8_t print[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    struct buf value;

    memset(master, 0, sizeof(*master));
    if (secret_read_bytes(&value, secrets_dir, name, err) < 0) {
        secret_release(&value);
        return err_wrap(err, "the master key (make one: head -c 32 /dev/urandom)");
    }
    if (value.len != ENVELOPE_KEY_SIZE) {
        err_set(
            err, ERR_INVALID,
            "the master key '%s' has %zu bytes instead of %d: head -c 32 /dev/urandom makes one",
            name, value.len, ENVELOPE_KEY_SIZE);
        secret_release(&value);
        return -1;
    }
    memcpy(master->key, value.data, ENVELOPE_KEY_SIZE);
    secret_release(&value);
    hmac_sha256(master->key, ENVELOPE_KEY_SIZE, "gantry fingerprint", 18, print);
    hex_encode(print, sizeof(print), hex);
    snprintf(master->name, sizeof(master->name), "file:%.*s", FINGERPRINT_DIGITS, hex);
    return 0;
}

void secret_store_make(struct secret_store *out, const char *dir, const struct secret_store *of)
{
    *out = (struct secret_store){.dir = dir};
    if (of)
        memcpy(out->store_id, of->store_id, sizeof(out->store_id));
    else
        id_random(out->store_id);
    id_random(out->key_id);
    random_bytes(out->key, sizeof(out->key));
}

static char *bound_to(const char *store_id, const char *key_id)
{
    return mem_printf("gantry store key\n%s\n%s", store_id, key_id);
}

void secret_master_seal(const struct secret_master *master, const struct secret_store *store,
                        struct secret_seal *out)
{
    char *bound = bound_to(store->store_id, store->key_id);

    *out = (struct secret_seal){.sealed_len = ENVELOPE_KEY_SIZE + ENVELOPE_OVERHEAD};
    out->sealed = mem_alloc(out->sealed_len);
    memcpy(out->store_id, store->store_id, sizeof(out->store_id));
    memcpy(out->key_id, store->key_id, sizeof(out->key_id));
    snprintf(out->master, sizeof(out->master), "%s", master->name);
    envelope_seal(master->key, bound, store->key, ENVELOPE_KEY_SIZE, out->sealed);
    free(bound);
}

int secret_master_open(const struct secret_master *master, const struct secret_seal *seal,
                       struct secret_store *out, const char *dir, struct err *err)
{
    char *bound = bound_to(seal->store_id, seal->key_id);
    int rc = -1;

    *out = (struct secret_store){.dir = dir};
    memcpy(out->store_id, seal->store_id, sizeof(out->store_id));
    memcpy(out->key_id, seal->key_id, sizeof(out->key_id));
    if (seal->sealed_len == ENVELOPE_KEY_SIZE + ENVELOPE_OVERHEAD)
        rc = envelope_open(master->key, bound, seal->sealed, seal->sealed_len, out->key);
    free(bound);
    if (rc == 0)
        return 0;
    if (str_eq(master->name, seal->master))
        return err_set(err, ERR_INVALID, "'%s/index.json' is damaged: its key does not open", dir);
    return err_set(
        err, ERR_DENIED,
        "the secret store in '%s' was sealed under the master key %s, but this one is %s", dir,
        seal->master, master->name);
}
