/* A master key in a file: what seals a secret store's key. Blocking on a local file. */
#ifndef GANTRY_SECRET_MASTER_H
#define GANTRY_SECRET_MASTER_H

#include "secret/store.h"

/* 32 bytes; wiped by whoever read it. */
struct secret_master {
    uint8_t key[ENVELOPE_KEY_SIZE];
    char name[64]; /* "file:<fingerprint>": tells keys apart and says nothing about them */
};
/* The secret `name` of secrets-dir (see secret_read()), which must be exactly 32 bytes. */
int secret_master_read(struct secret_master *master, const char *secrets_dir, const char *name,
                       struct err *err);

/* Makes ids and a new key for a store in `dir`, or with `of` another key for that one. */
void secret_store_make(struct secret_store *out, const char *dir, const struct secret_store *of);
/* The store key, sealed; the caller releases. */
void secret_master_seal(const struct secret_master *master, const struct secret_store *store,
                        struct secret_seal *out);
/* ERR_DENIED: this master key did not seal it. */
int secret_master_open(const struct secret_master *master, const struct secret_seal *seal,
                       struct secret_store *out, const char *dir, struct err *err);

#endif
