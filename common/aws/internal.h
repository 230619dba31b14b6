/* Shared by the files of this library alone. */
#ifndef GANTRY_AWS_INTERNAL_H
#define GANTRY_AWS_INTERNAL_H

#include <stddef.h>
#include <sys/queue.h>

#include "aws/aws.h"
#include "aws/sigv4.h"
#include "base/buf.h"
#include "base/sha256.h"
#include "base/str.h"
#include "http/client.h"

struct json_t;
struct keys_fetch;

enum aws_service { AWS_S3, AWS_SSM, AWS_SECRETS_MANAGER, AWS_KMS, AWS_STS, AWS_SERVICE_COUNT };

/* Who asks. */
struct aws_keys {
    char *id, *secret, *token; /* token: NULL for none */
    int64_t expires_ms;        /* Unix; 0: never */
};

enum keys_source {
    KEYS_NONE,
    KEYS_ENVIRONMENT,
    KEYS_WEB_IDENTITY,
    KEYS_FILE,
    KEYS_CONTAINER,
    KEYS_INSTANCE
};

struct aws {
    struct loop *loop;
    struct http_client *http;
    char *region, *profile, *ca_file;
    char *endpoints[AWS_SERVICE_COUNT]; /* without a slash at the end; NULL: AWS's own */
    unsigned tries;
    enum keys_source source;
    struct aws_keys keys;       /* id NULL: not known yet */
    int64_t keys_good_until_ms; /* monotonic: not fetched again before */
    struct keys_fetch *fetch;   /* under way */
    LIST_HEAD(, aws_call) calls;
};

/* ---- call.c ---- */

typedef void aws_answered_fn(struct aws_call *call, const struct http_response *response,
                             const struct err *err);

struct aws_call {
    LIST_ENTRY(aws_call) link;
    struct aws *aws; /* NULL: it went, a worker still hashes */
    enum aws_service service;
    const char *operation; /* PutObject; a literal */
    char *subject;         /* s3://bucket/key: what it is about */
    const char *method;    /* a literal */
    char *url;             /* scheme, host and path, encoded */
    size_t path_at;        /* in url; 0: the path is "/" */
    struct buf query;      /* as sigv4_query() makes it */
    struct strv headers;   /* "name: value", names in lower case */
    char *body;
    size_t body_len;
    bool uploads, downloads, is_secret;
    bool late_errors; /* a 200 may hold an error */
    struct http_file upload, download;
    size_t limit;
    int64_t timeout_ms, stall_ms;
    char payload_sha256[SHA256_HEX_SIZE]; /* "" until known */
    struct err failure;                   /* ends it at the next step */
    bool hashing, waits_for_keys, renewed, cancelled, answering;
    unsigned tries;
    struct loop_timer *pause;
    struct http_call *http;
    aws_answered_fn *answered;  /* frees `result` and calls `done` */
    void (*drop)(void *result); /* of a cancelled call; may be NULL */
    void *result;
    void (*done)(void); /* the caller's, as its own type */
    void *arg;
};

/* A call to fill in; then aws_call_start(). It is freed after answered(). */
struct aws_call *aws_call_new(struct aws *aws, enum aws_service service, const char *operation,
                              char *subject);
void aws_call_url(struct aws_call *call, const char *base, const char *path);
void aws_call_header(struct aws_call *call, const char *name, const char *value);
void aws_call_start(struct aws_call *call);
/* The keys are there, or could not be fetched (call.c tells all calls that wait). */
void aws_calls_have_keys(struct aws *aws, const struct err *err);

/* ---- keys.c, keys_file.c ---- */

enum keys_source keys_find(const struct aws *aws);
/* True: they are in aws->keys and good for a while. False: aws_calls_have_keys() follows, later. */
bool keys_ready(struct aws *aws);
void keys_forget(struct aws *aws); /* AWS called them expired or unknown */
void keys_release(struct aws_keys *keys);
void keys_cancel(struct aws *aws);
/* A key of a profile in one of the shared files ("config" or "credentials"); NULL: none. The caller
 * frees. Blocking. */
char *profile_value(const char *profile, bool credentials, const char *key);

/* ---- client.c ---- */

const char *aws_service_name(enum aws_service service);              /* as it signs: s3 */
const char *aws_service_title(enum aws_service service);             /* as people say it: S3 */
char *aws_base_url(const struct aws *aws, enum aws_service service); /* the caller frees */

/* ---- error.c ---- */

struct aws_error {
    char code[96];     /* "" where the answer has none */
    char message[512]; /* likewise */
};
void aws_error_read(struct aws_error *error, const struct http_response *response);
bool aws_error_is_retriable(const struct aws_error *error, int status);
bool aws_error_is_of_keys(const struct aws_error *error); /* other keys may do */
void aws_error_fill(struct err *err, const struct aws_error *error, const struct aws_call *call,
                    const struct http_response *response);

/* ---- json.c ---- */

/* POST of `body` (stolen) as JSON 1.1 to `target` (AmazonSSM.GetParameters). `answered` gets the
 * response of a 200. All of it is wiped. */
struct aws_call *aws_json_call(struct aws *aws, enum aws_service service, const char *target,
                               char *subject, struct json_t *body, aws_answered_fn *answered);
/* Wipes all strings in it, as far as jansson lets us, and gives it back. */
void aws_json_wipe(struct json_t *json);

#endif
