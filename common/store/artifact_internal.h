/* Shared by the files of the artifact store alone. */
#ifndef GANTRY_STORE_ARTIFACT_INTERNAL_H
#define GANTRY_STORE_ARTIFACT_INTERNAL_H

#include <sys/queue.h>

#include "aws/s3.h"
#include "store/artifact_store.h"

enum artifact_verb {
    ARTIFACT_PUT = 1,
    ARTIFACT_GET,
    ARTIFACT_HEAD,
    ARTIFACT_DELETE,
    ARTIFACT_LIST,
    ARTIFACT_SWEEP
};

struct artifact_call {
    LIST_ENTRY(artifact_call) link;
    struct artifact_store *store; /* NULL: cancelled */
    enum artifact_verb verb;
    char *key; /* or the prefix */
    int fd;    /* our own; -1: none */
    uint64_t size;
    bool soon;         /* a put that waits for no disk */
    int64_t before_ms; /* of a sweep */
    artifact_done_fn *done;
    void *arg;
    /* the answer */
    struct err err;
    struct artifact_answer answer;
    struct artifact_object *objects;
    /* S3 */
    struct aws_call *asked;
    struct s3_upload *upload;
    /* a folder: of the worker, which may outlive the store */
    char *dir;
};

struct artifact_store {
    struct loop *loop;
    char *where;
    char *dir; /* NULL: S3 */
    struct aws *aws;
    char *bucket, *prefix, *kms_key; /* prefix: "" or ended by a slash; kms_key: NULL for none */
    LIST_HEAD(, artifact_call) calls;
};

/* Adds to what a list answers; false: it has as many as it may. */
bool artifact_call_add(struct artifact_call *call, const char *key, uint64_t size,
                       int64_t modified_ms);
/* Tells and frees. */
void artifact_call_finish(struct artifact_call *call);
void artifact_call_free(struct artifact_call *call);

/* ---- artifact_dir.c ---- */
int artifact_dir_open(struct artifact_store *store, struct err *err);
void artifact_dir_call(struct artifact_call *call);

/* ---- artifact_s3.c ---- */
int artifact_s3_open(struct artifact_store *store, const char *kms_key, struct err *err);
void artifact_s3_call(struct artifact_call *call);

#endif
