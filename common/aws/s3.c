#include "aws/s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/internal.h"
#include "aws/s3_internal.h"
#include "base/clock.h"
#include "base/mem.h"

#define STALL_MS    60000 /* without a byte */
#define SHORT_MS    30000 /* calls without a body */
#define COMPLETE_MS 600000
#define KEY_MAX     1024 /* bytes, by S3 */
#define URL_MAX     (4 * KEY_MAX)

/* ---- where it is ---- */

/* A bucket's name that may be part of a host's, below the wildcard of AWS's certificate. */
static bool is_label(const char *bucket)
{
    const size_t len = strlen(bucket);

    if (len < 3 || len > 63)
        return false;
    for (const char *c = bucket; *c; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-'))
            return false;
    }
    return true;
}

struct aws_call *s3_call_new(struct aws *aws, const char *operation, const char *method,
                             const struct s3_object *object, s3_done_fn *done, void *arg)
{
    char *base = aws_base_url(aws, AWS_S3);
    struct aws_call *call =
        aws_call_new(aws, AWS_S3, operation, mem_printf("s3://%s/%s", object->bucket, object->key));
    struct buf path;

    buf_init(&path, URL_MAX);
    if (!aws->endpoints[AWS_S3] && is_label(object->bucket)) {
        char *host = mem_printf("https://%s.%s", object->bucket, base + strlen("https://"));
        free(base);
        base = host;
    } else {
        buf_addc(&path, '/');
        sigv4_encode(&path, object->bucket, false);
    }
    buf_addc(&path, '/');
    sigv4_encode(&path, object->key, true);
    aws_call_url(call, base, buf_cstr(&path));
    if (strlen(object->key) > KEY_MAX)
        err_set(&call->failure, ERR_INVALID, "the key is longer than %d bytes", KEY_MAX);
    if (str_empty(object->bucket) || strchr(object->bucket, '/'))
        err_set(&call->failure, ERR_INVALID, "'%s' is no bucket", object->bucket);
    call->method = method;
    call->timeout_ms = SHORT_MS;
    call->done = (void (*)(void))done;
    call->arg = arg;
    buf_release(&path);
    free(base);
    return call;
}

void s3_call_done(struct aws_call *call, const struct s3_answer *answer, const struct err *err)
{
    static const struct s3_answer none = {0};
    s3_done_fn *done = (s3_done_fn *)call->done;

    done(answer ? answer : &none, err, call->arg);
}

/* ---- answers ---- */

/* RFC 9110, 5.6.7: "Wed, 12 Oct 2009 17:50:00 GMT". */
static int64_t http_date(const char *text)
{
    struct tm tm = {0};

    if (!text || !strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return 0;
    return (int64_t)timegm(&tm) * 1000;
}

static void on_answer(struct aws_call *call, const struct http_response *response,
                      const struct err *err)
{
    struct s3_answer answer = {0};
    const char *length;

    if (!response) {
        s3_call_done(call, NULL, err);
        return;
    }
    answer.etag = response->header(response, "ETag");
    answer.content_type = response->header(response, "Content-Type");
    answer.version_id = response->header(response, "x-amz-version-id");
    answer.modified_ms = http_date(response->header(response, "Last-Modified"));
    if (str_eq(call->method, "HEAD")) {
        length = response->header(response, "Content-Length");
        if (length)
            str_to_u64(length, &answer.size);
    } else if (str_eq(call->method, "GET")) {
        answer.data = call->downloads ? NULL : response->body;
        answer.len = call->downloads ? 0 : response->len;
        answer.size = call->downloads ? response->saved : response->len;
    }
    s3_call_done(call, &answer, err);
}

/* ---- calls ---- */

void s3_call_kind(struct aws_call *call, const struct s3_kind *kind)
{
    aws_call_header(call, "content-type",
                    kind->content_type ? kind->content_type : "application/octet-stream");
    if (!kind->kms_key)
        return;
    aws_call_header(call, "x-amz-server-side-encryption", "aws:kms");
    if (*kind->kms_key)
        aws_call_header(call, "x-amz-server-side-encryption-aws-kms-key-id", kind->kms_key);
}

static void set_file(struct aws_call *call, const struct http_file *file)
{
    call->upload = *file;
    call->uploads = true;
    call->timeout_ms = -1;
    call->stall_ms = STALL_MS;
}

struct aws_call *s3_put(struct aws *aws, const struct s3_put_opts *opts, s3_done_fn *done,
                        void *arg)
{
    struct aws_call *call = s3_call_new(aws, "PutObject", "PUT", &opts->object, done, arg);

    s3_call_kind(call, &opts->kind);
    if (opts->only_new)
        aws_call_header(call, "if-none-match", "*");
    if (opts->file)
        set_file(call, opts->file);
    else
        s3_call_body(call, opts->data, opts->len);
    call->answered = on_answer;
    aws_call_start(call);
    return call;
}

void s3_call_body(struct aws_call *call, const void *data, size_t len)
{
    call->body = mem_alloc(len + 1);
    if (len > 0)
        memcpy(call->body, data, len);
    call->body_len = len;
    call->timeout_ms = -1;
    call->stall_ms = STALL_MS;
}

struct aws_call *s3_get(struct aws *aws, const struct s3_get_opts *opts, s3_done_fn *done,
                        void *arg)
{
    struct aws_call *call = s3_call_new(aws, "GetObject", "GET", &opts->object, done, arg);
    char range[64];

    if (opts->first > 0 || opts->count > 0) {
        if (opts->count > 0)
            snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long)opts->first,
                     (unsigned long long)(opts->first + opts->count - 1));
        else
            snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)opts->first);
        aws_call_header(call, "range", range);
    }
    if (opts->if_match)
        aws_call_header(call, "if-match", opts->if_match);
    if (opts->file) {
        call->download = *opts->file;
        call->downloads = true;
    }
    call->limit = opts->limit;
    call->timeout_ms = -1;
    call->stall_ms = STALL_MS;
    call->answered = on_answer;
    aws_call_start(call);
    return call;
}

static struct aws_call *simple(struct aws *aws, const char *operation, const char *method,
                               const struct s3_object *object, s3_done_fn *done, void *arg)
{
    struct aws_call *call = s3_call_new(aws, operation, method, object, done, arg);

    call->answered = on_answer;
    aws_call_start(call);
    return call;
}

struct aws_call *s3_head(struct aws *aws, const struct s3_object *object, s3_done_fn *done,
                         void *arg)
{
    return simple(aws, "HeadObject", "HEAD", object, done, arg);
}

struct aws_call *s3_delete(struct aws *aws, const struct s3_object *object, s3_done_fn *done,
                           void *arg)
{
    return simple(aws, "DeleteObject", "DELETE", object, done, arg);
}

/* ---- parts ---- */

static int on_created(const char *path, const char *text, void *arg)
{
    char **id = arg;

    if (str_eq(path, "InitiateMultipartUploadResult/UploadId") && !*id)
        *id = mem_strdup(text);
    return 0;
}

static void created(struct aws_call *call, const struct http_response *response,
                    const struct err *err)
{
    struct s3_answer answer = {0};
    struct err own = *err;
    char *id = NULL;

    if (response && xml_walk(response->body, response->len, on_created, &id, &own) == 0 && !id)
        err_set(&own, ERR_INVALID, "the answer has no UploadId");
    if (response && own.code)
        err_wrap(&own, "S3 CreateMultipartUpload %s", call->subject);
    answer.upload_id = id;
    s3_call_done(call, &answer, &own);
    free(id);
}

struct aws_call *s3_multipart_create(struct aws *aws, const struct s3_object *object,
                                     const struct s3_kind *kind, s3_done_fn *done, void *arg)
{
    struct aws_call *call = s3_call_new(aws, "CreateMultipartUpload", "POST", object, done, arg);

    sigv4_query(&call->query, &(struct sigv4_pair){"uploads", ""}, 1);
    s3_call_kind(call, kind);
    call->answered = created;
    aws_call_start(call);
    return call;
}

struct aws_call *s3_multipart_part(struct aws *aws, const struct s3_object *object,
                                   const char *upload_id, unsigned number,
                                   const struct http_file *file, s3_done_fn *done, void *arg)
{
    struct aws_call *call = s3_call_new(aws, "UploadPart", "PUT", object, done, arg);
    char text[16];

    snprintf(text, sizeof(text), "%u", number);
    sigv4_query(&call->query,
                (const struct sigv4_pair[]){{"partNumber", text}, {"uploadId", upload_id}}, 2);
    set_file(call, file);
    call->answered = on_answer;
    aws_call_start(call);
    return call;
}

static int on_completed(const char *path, const char *text, void *arg)
{
    char **etag = arg;

    if (str_eq(path, "CompleteMultipartUploadResult/ETag") && !*etag)
        *etag = mem_strdup(text);
    return 0;
}

static void completed(struct aws_call *call, const struct http_response *response,
                      const struct err *err)
{
    struct s3_answer answer = {0};
    struct err own = *err;
    char *etag = NULL;

    if (response && xml_walk(response->body, response->len, on_completed, &etag, &own) < 0)
        err_wrap(&own, "S3 CompleteMultipartUpload %s", call->subject);
    answer.etag = etag;
    answer.version_id = response ? response->header(response, "x-amz-version-id") : NULL;
    s3_call_done(call, &answer, &own);
    free(etag);
}

static void add_escaped(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '&' || *text == '<' || *text == '>')
            buf_addf(out, "&#%d;", *text);
        else
            buf_addc(out, *text);
    }
}

struct aws_call *s3_multipart_complete(struct aws *aws, const struct s3_object *object,
                                       const char *upload_id, char *const *etags, size_t count,
                                       s3_done_fn *done, void *arg)
{
    struct aws_call *call = s3_call_new(aws, "CompleteMultipartUpload", "POST", object, done, arg);
    struct buf body;

    buf_init(&body, 4 * 1024 * 1024);
    buf_adds(&body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < count; i++) {
        buf_addf(&body, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
        add_escaped(&body, etags[i]);
        buf_adds(&body, "</ETag></Part>");
    }
    buf_adds(&body, "</CompleteMultipartUpload>");
    sigv4_query(&call->query, &(struct sigv4_pair){"uploadId", upload_id}, 1);
    aws_call_header(call, "content-type", "application/xml");
    s3_call_body(call, body.data, body.len);
    call->stall_ms = COMPLETE_MS;
    call->late_errors = true;
    call->answered = completed;
    buf_release(&body);
    aws_call_start(call);
    return call;
}

struct aws_call *s3_multipart_abort(struct aws *aws, const struct s3_object *object,
                                    const char *upload_id, s3_done_fn *done, void *arg)
{
    struct aws_call *call = s3_call_new(aws, "AbortMultipartUpload", "DELETE", object, done, arg);

    sigv4_query(&call->query, &(struct sigv4_pair){"uploadId", upload_id}, 1);
    call->answered = on_answer;
    aws_call_start(call);
    return call;
}
