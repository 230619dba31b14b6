/* S3 (API version 2006-03-01), and what speaks like it. A bucket is addressed by host where AWS
 * serves it and its name allows that, by path where an endpoint is given. Bodies go from and to
 * files without being held in memory; what is sent is hashed first (a worker), so S3 refuses what
 * was damaged on its way. Loop thread. */
#ifndef GANTRY_AWS_S3_H
#define GANTRY_AWS_S3_H

#include <stddef.h>
#include <stdint.h>

#include "aws/aws.h"
#include "http/client.h"

#define S3_PART_MIN  (5ull * 1024 * 1024) /* of an upload's parts, but for the last */
#define S3_PARTS_MAX 10000

/* What came of a call; what is not of it is 0 or NULL. All of it is valid during the callback. */
struct s3_item {
    const char *key, *etag;
    uint64_t size;       /* bytes */
    int64_t modified_ms; /* Unix */
};
struct s3_answer {
    const char *etag;         /* with its quotes */
    const char *upload_id;    /* of s3_multipart_create() */
    const char *content_type; /* of s3_head(), s3_get() */
    const char *version_id;
    uint64_t size;       /* of the object: s3_head(); bytes got: s3_get(); sent: s3_upload() */
    int64_t modified_ms; /* Unix: s3_head() */
    const void *data;    /* of s3_get() without a file; NUL-terminated */
    size_t len;
    const struct s3_item *items; /* of s3_list() */
    size_t item_count;
    const char *next; /* of s3_list(): what goes on; NULL: that was all */
};
/* `answer` is never NULL; `err` as aws.h says. */
typedef void s3_done_fn(const struct s3_answer *answer, const struct err *err, void *arg);

struct s3_object {
    const char *bucket, *key;
};
/* How it is encrypted at rest: `kms_key` (id, ARN or alias) gives aws:kms with it, "" the account's
 * own KMS key (aws/s3); NULL: as the bucket is set. */
struct s3_kind {
    const char *content_type; /* NULL: application/octet-stream */
    const char *kms_key;
};

/* Opts are copied; files stay the caller's, open until done. */
struct s3_put_opts {
    struct s3_object object;
    struct s3_kind kind;
    const struct http_file *file; /* what is sent, or: */
    const void *data;
    size_t len;
    bool only_new; /* ERR_CONFLICT where the key is there (If-None-Match: *) */
};
struct aws_call *s3_put(struct aws *aws, const struct s3_put_opts *opts, s3_done_fn *done,
                        void *arg);

struct s3_get_opts {
    struct s3_object object;
    const struct http_file *file; /* where it goes, `size` bytes at most; NULL: memory, */
    size_t limit;                 /* of so many bytes; 0: 4 MiB */
    uint64_t first, count;        /* a range of bytes; count 0: to the end */
    const char *if_match;         /* an etag; ERR_CONFLICT where it is another by now */
};
struct aws_call *s3_get(struct aws *aws, const struct s3_get_opts *opts, s3_done_fn *done,
                        void *arg);

struct aws_call *s3_head(struct aws *aws, const struct s3_object *object, s3_done_fn *done,
                         void *arg);
/* Not being there is success, as S3 has it. */
struct aws_call *s3_delete(struct aws *aws, const struct s3_object *object, s3_done_fn *done,
                           void *arg);

struct s3_list_opts {
    const char *bucket;
    const char *prefix; /* NULL: all */
    const char *next;   /* of the answer before; NULL: from the first */
    unsigned count;     /* keys at most; 0: 1000, which is S3's own bound */
};
struct aws_call *s3_list(struct aws *aws, const struct s3_list_opts *opts, s3_done_fn *done,
                         void *arg);

/* An upload in parts, step by step; s3_upload() does all of it. */
struct aws_call *s3_multipart_create(struct aws *aws, const struct s3_object *object,
                                     const struct s3_kind *kind, s3_done_fn *done, void *arg);
/* `number` from 1 on. */
struct aws_call *s3_multipart_part(struct aws *aws, const struct s3_object *object,
                                   const char *upload_id, unsigned number,
                                   const struct http_file *file, s3_done_fn *done, void *arg);
/* The etags of all parts, the first one's first. */
struct aws_call *s3_multipart_complete(struct aws *aws, const struct s3_object *object,
                                       const char *upload_id, char *const *etags, size_t count,
                                       s3_done_fn *done, void *arg);
struct aws_call *s3_multipart_abort(struct aws *aws, const struct s3_object *object,
                                    const char *upload_id, s3_done_fn *done, void *arg);

/* A file of any size to 5 TiB: as one where it is small, else in parts, `parallel` at once; parts
 * of an upload that failed or was cancelled are taken back. */
struct s3_upload_opts {
    struct s3_object object;
    struct s3_kind kind;
    struct http_file file;
    uint64_t part_size; /* bytes; 0: 16 MiB; made larger where the file would have too many parts */
    unsigned parallel;  /* 0: 4 */
};
struct s3_upload;
struct s3_upload *s3_upload(struct aws *aws, const struct s3_upload_opts *opts, s3_done_fn *done,
                            void *arg);
void s3_upload_cancel(struct s3_upload *upload); /* no callback follows; NULL is accepted */

#endif
