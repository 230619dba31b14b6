/* Shared by the files of the store alone: index.json. */
#ifndef GANTRY_SECRET_INDEX_H
#define GANTRY_SECRET_INDEX_H

#include "secret/store.h"

/* Holds the folder's lock from the read until the release. */
struct secret_index {
    const struct secret_store *store;
    int lock;
    struct json_t *root;    /* all of the file */
    struct json_t *secrets; /* name -> {versions, next}; borrowed from root */
    struct json_t *grants;  /* [{pipeline, path, author, createdMs}]; likewise */
};
int index_read(struct secret_index *index, const struct secret_store *store, bool to_write,
               struct err *err);
int index_write(struct secret_index *index, struct err *err);
void index_release(struct secret_index *index);

/* Sets what is kept of the store key. */
void index_set_seal(struct secret_index *index, const struct secret_seal *seal);
/* What authenticates the index from then on. */
void index_set_store(struct secret_index *index, const struct secret_store *store);

int index_lock(const char *dir, bool to_write, struct err *err); /* a descriptor, or -1 */

#endif
