#include <stdlib.h>
#include <string.h>

#include "aws/s3_internal.h"
#include "base/mem.h"

#define PART_DEFAULT     (16ull * 1024 * 1024)
#define PARALLEL_DEFAULT 4
#define PARALLEL_MAX     16

struct part {
    struct s3_upload *upload;
    unsigned number;
    struct aws_call *call; /* NULL: idle */
};

struct s3_upload {
    struct aws *aws;
    char *bucket, *key, *content_type, *kms_key;
    struct http_file file;
    uint64_t part_size;
    unsigned part_count, next; /* the number that is sent next */
    unsigned parallel, busy;
    struct part parts[PARALLEL_MAX];
    char **etags;
    char *id;
    struct aws_call *call; /* but for parts */
    struct err err;        /* the first */
    bool finished;         /* done is on the stack */
    s3_done_fn *done;
    void *arg;
};

static struct s3_object object_of(const struct s3_upload *upload)
{
    return (struct s3_object){upload->bucket, upload->key};
}

static void upload_free(struct s3_upload *upload)
{
    for (unsigned i = 0; i < upload->part_count; i++)
        free(upload->etags[i]);
    free(upload->etags);
    free(upload->id);
    free(upload->bucket);
    free(upload->key);
    free(upload->content_type);
    free(upload->kms_key);
    free(upload);
}

static void finish(struct s3_upload *upload, const struct s3_answer *answer, const struct err *err)
{
    struct s3_answer own = *answer;

    upload->finished = true;
    own.size = err->code ? 0 : upload->file.size;
    upload->done(&own, err, upload->arg);
    upload_free(upload);
}

static void on_one(const struct s3_answer *answer, const struct err *err, void *arg)
{
    finish(arg, answer, err);
}

static void on_aborted(const struct s3_answer *answer, const struct err *err, void *arg)
{
    struct s3_upload *upload = arg;
    const struct err first = upload->err;

    (void)err; /* what it failed of says more */
    finish(upload, answer, &first);
}

static void fail(struct s3_upload *upload)
{
    const struct s3_object object = object_of(upload);

    for (unsigned i = 0; i < upload->parallel; i++) {
        aws_call_cancel(upload->parts[i].call);
        upload->parts[i].call = NULL;
    }
    upload->call = s3_multipart_abort(upload->aws, &object, upload->id, on_aborted, upload);
}

static void on_complete(const struct s3_answer *answer, const struct err *err, void *arg)
{
    struct s3_upload *upload = arg;

    upload->call = NULL;
    if (!err->code) {
        finish(upload, answer, err);
        return;
    }
    upload->err = *err;
    fail(upload);
}

static void send_parts(struct s3_upload *upload);

static void on_part(const struct s3_answer *answer, const struct err *err, void *arg)
{
    struct part *part = arg;
    struct s3_upload *upload = part->upload;

    part->call = NULL;
    upload->busy--;
    if (!err->code && answer->etag) {
        upload->etags[part->number - 1] = mem_strdup(answer->etag);
        send_parts(upload);
        return;
    }
    if (err->code)
        upload->err = *err;
    else
        err_set(&upload->err, ERR_INVALID, "S3 UploadPart s3://%s/%s: the answer has no ETag",
                upload->bucket, upload->key);
    fail(upload);
}

static void send_parts(struct s3_upload *upload)
{
    const struct s3_object object = object_of(upload);

    for (unsigned i = 0; i < upload->parallel && upload->next <= upload->part_count; i++) {
        struct part *part = &upload->parts[i];
        const uint64_t at = (upload->next - 1) * upload->part_size;
        const uint64_t left = upload->file.size - at;
        struct http_file file = {upload->file.fd, upload->file.offset + at,
                                 left < upload->part_size ? left : upload->part_size};
        if (part->call)
            continue;
        part->number = upload->next++;
        upload->busy++;
        part->call =
            s3_multipart_part(upload->aws, &object, upload->id, part->number, &file, on_part, part);
    }
    if (upload->busy == 0)
        upload->call = s3_multipart_complete(upload->aws, &object, upload->id, upload->etags,
                                             upload->part_count, on_complete, upload);
}

static void on_created(const struct s3_answer *answer, const struct err *err, void *arg)
{
    struct s3_upload *upload = arg;

    upload->call = NULL;
    if (err->code) {
        finish(upload, answer, err);
        return;
    }
    upload->id = mem_strdup(answer->upload_id);
    send_parts(upload);
}

static void plan(struct s3_upload *upload, const struct s3_upload_opts *opts)
{
    uint64_t part = opts->part_size ? opts->part_size : PART_DEFAULT;
    const uint64_t least = (opts->file.size + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

    if (part < S3_PART_MIN)
        part = S3_PART_MIN;
    if (part < least)
        part = least;
    upload->part_size = part;
    upload->part_count = (unsigned)((opts->file.size + part - 1) / part);
    upload->parallel = opts->parallel ? opts->parallel : PARALLEL_DEFAULT;
    if (upload->parallel > PARALLEL_MAX)
        upload->parallel = PARALLEL_MAX;
    upload->next = 1;
    upload->etags = mem_alloc((upload->part_count + 1) * sizeof(char *));
    for (unsigned i = 0; i < upload->parallel; i++)
        upload->parts[i].upload = upload;
}

struct s3_upload *s3_upload(struct aws *aws, const struct s3_upload_opts *opts, s3_done_fn *done,
                            void *arg)
{
    struct s3_upload *upload = mem_alloc(sizeof(*upload));
    struct s3_object object;

    upload->aws = aws;
    upload->bucket = mem_strdup(opts->object.bucket);
    upload->key = mem_strdup(opts->object.key);
    upload->content_type = mem_strdup(opts->kind.content_type);
    upload->kms_key = mem_strdup(opts->kind.kms_key);
    upload->file = opts->file;
    upload->done = done;
    upload->arg = arg;
    plan(upload, opts);
    object = object_of(upload);
    const struct s3_kind kind = {upload->content_type, upload->kms_key};
    if (upload->part_count <= 1)
        upload->call = s3_put(
            aws, &(struct s3_put_opts){.object = object, .kind = kind, .file = &upload->file},
            on_one, upload);
    else
        upload->call = s3_multipart_create(aws, &object, &kind, on_created, upload);
    return upload;
}

static void forget(const struct s3_answer *answer, const struct err *err, void *arg)
{
    (void)answer;
    (void)err;
    (void)arg;
}

void s3_upload_cancel(struct s3_upload *upload)
{
    struct s3_object object;

    if (!upload || upload->finished)
        return;
    object = object_of(upload);
    aws_call_cancel(upload->call);
    for (unsigned i = 0; i < upload->parallel; i++)
        aws_call_cancel(upload->parts[i].call);
    if (upload->id)
        s3_multipart_abort(upload->aws, &object, upload->id, forget, NULL);
    upload_free(upload);
}
