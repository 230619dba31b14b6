#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/internal.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/id.h"
#include "base/mem.h"

#define PAUSE_FIRST_MS 200 /* doubles with each try; what is waited is a random part of it */
#define PAUSE_MAX_MS   20000
#define ANSWER_MAX     (4 * 1024 * 1024)
#define SECRET_MAX     (256 * 1024) /* of an answer that is wiped */
#define QUERY_MAX      (64 * 1024)
#define SIGNED_MAX     32 /* headers */

/* DESIGN: a call goes through step() again and again, each time doing the next thing that is
 * missing: the hash of what it uploads (a worker), keys (keys.c), a signed request. An answer that
 * may become better arms the timer that calls step(). */

static void step(void *arg);

struct aws_call *aws_call_new(struct aws *aws, enum aws_service service, const char *operation,
                              char *subject)
{
    struct aws_call *call = mem_alloc(sizeof(*call));

    call->aws = aws;
    call->service = service;
    call->operation = operation;
    call->subject = subject;
    call->method = "GET";
    buf_init(&call->query, QUERY_MAX);
    call->pause = loop_timer_new(aws->loop, step, call);
    LIST_INSERT_HEAD(&aws->calls, call, link);
    return call;
}

void aws_call_url(struct aws_call *call, const char *base, const char *path)
{
    const char *host = strstr(base, "://") + 3;
    const char *base_path = strchr(host, '/');

    free(call->url);
    call->url = mem_printf("%s%s", base, path);
    call->path_at = base_path ? (size_t)(base_path - base) : strlen(base);
}

void aws_call_header(struct aws_call *call, const char *name, const char *value)
{
    strv_addf(&call->headers, "%s: %s", name, value);
}

void aws_call_start(struct aws_call *call)
{
    loop_timer_arm(call->pause, 0);
}

static void call_free(struct aws_call *call)
{
    if (call->aws)
        LIST_REMOVE(call, link);
    loop_timer_free(call->pause);
    buf_release(&call->query);
    strv_release(&call->headers);
    if (call->body)
        mem_wipe(call->body, call->body_len);
    free(call->body);
    free(call->url);
    free(call->subject);
    free(call);
}

void aws_call_cancel(struct aws_call *call)
{
    if (!call || call->answering)
        return;
    if (call->http)
        http_call_cancel(call->http);
    if (call->drop)
        call->drop(call->result);
    call->http = NULL;
    if (!call->hashing) {
        call_free(call);
        return;
    }
    LIST_REMOVE(call, link);
    loop_timer_cancel(call->pause);
    call->aws = NULL;
    call->cancelled = true;
}

static void answer(struct aws_call *call, const struct http_response *response,
                   const struct err *err)
{
    static const struct err none = {0};

    call->answering = true;
    call->answered(call, response, err ? err : &none);
    call_free(call);
}

static void fail(struct aws_call *call, struct err *err)
{
    err_wrap(err, "%s %s %s", aws_service_title(call->service), call->operation, call->subject);
    answer(call, NULL, err);
}

/* ---- what came back ---- */

/* True: it is tried again later. */
static bool again(struct aws_call *call)
{
    int64_t most = PAUSE_FIRST_MS;
    uint32_t random;

    if (call->tries >= call->aws->tries)
        return false;
    for (unsigned i = 1; i < call->tries && most < PAUSE_MAX_MS; i++)
        most *= 2;
    if (most > PAUSE_MAX_MS)
        most = PAUSE_MAX_MS;
    random_bytes(&random, sizeof(random));
    loop_timer_arm(call->pause, random % most);
    return true;
}

static void on_response(const struct http_response *response, void *arg)
{
    struct aws_call *call = arg;
    struct aws_error error = {{0}, {0}};
    struct err err = response->err;

    call->http = NULL;
    if (!response->status) {
        if (!err_is_retriable(&err) || !again(call))
            fail(call, &err);
        return;
    }
    if (response->status >= 200 && response->status < 300) {
        /* A long operation may fail after its 200 was sent (S3, CompleteMultipartUpload). */
        if (!call->late_errors) {
            answer(call, response, NULL);
            return;
        }
        aws_error_read(&error, response);
        if (!*error.code) {
            answer(call, response, NULL);
            return;
        }
    } else {
        aws_error_read(&error, response);
    }
    if (aws_error_is_of_keys(&error) && !call->renewed && call->aws->source != KEYS_ENVIRONMENT) {
        call->renewed = true;
        keys_forget(call->aws);
        loop_timer_arm(call->pause, 0);
        return;
    }
    if (aws_error_is_retriable(&error, response->status) && again(call))
        return;
    aws_error_fill(&err, &error, call, response);
    answer(call, NULL, &err);
}

/* ---- the request ---- */

static void add_date(char out[17], int64_t now_ms)
{
    const time_t now = (time_t)(now_ms / 1000);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(out, 17, "%Y%m%dT%H%M%SZ", &tm);
}

/* Adds the headers that a signature needs, and itself. */
static void sign(struct aws_call *call, struct strv *headers)
{
    const struct aws_keys *keys = &call->aws->keys;
    const char *host = strstr(call->url, "://") + 3, *path = call->url + call->path_at;
    char *host_only = mem_strndup(host, strcspn(host, "/")), date[17];
    struct sigv4_pair pairs[SIGNED_MAX];
    char *names[SIGNED_MAX];
    size_t count = 0;
    struct buf value;

    add_date(date, clock_now_ms());
    strv_addf(headers, "x-amz-date: %s", date);
    if (keys->token)
        strv_addf(headers, "x-amz-security-token: %s", keys->token);
    if (call->service == AWS_S3)
        strv_addf(headers, "x-amz-content-sha256: %s", call->payload_sha256);
    for (size_t i = 0; i < headers->count && count < SIGNED_MAX - 1; i++, count++) {
        const size_t len = strcspn(headers->items[i], ":");
        names[count] = mem_strndup(headers->items[i], len);
        pairs[count] = (struct sigv4_pair){names[count], headers->items[i] + len + 2};
    }
    pairs[count] = (struct sigv4_pair){"host", host_only};
    buf_init(&value, 4096);
    sigv4_sign(&value,
               &(struct sigv4_key){keys->id, keys->secret, call->aws->region,
                                   aws_service_name(call->service)},
               &(struct sigv4_request){.method = call->method,
                                       .path = *path ? path : "/",
                                       .query = buf_cstr(&call->query),
                                       .headers = pairs,
                                       .header_count = count + 1,
                                       .date = date,
                                       .payload_sha256 = call->payload_sha256});
    strv_addf(headers, "Authorization: %s", buf_cstr(&value));
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    buf_release(&value);
    free(host_only);
}

static void send_request(struct aws_call *call)
{
    struct strv headers = {0};
    struct err err;
    char *url = call->query.len
                    ? mem_printf("%s%s?%s", call->url, call->url[call->path_at] ? "" : "/",
                                 buf_cstr(&call->query))
                    : mem_strdup(call->url);

    for (size_t i = 0; i < call->headers.count; i++)
        strv_add(&headers, call->headers.items[i]);
    sign(call, &headers);
    call->tries++;
    const struct http_call_opts opts = {.method = call->method,
                                        .url = url,
                                        .headers = (const char *const *)headers.items,
                                        .body = call->body,
                                        .body_len = call->body_len,
                                        .upload = call->uploads ? &call->upload : NULL,
                                        .download = call->downloads ? &call->download : NULL,
                                        .timeout_ms = call->timeout_ms,
                                        .stall_ms = call->stall_ms,
                                        .limit = call->is_secret ? SECRET_MAX
                                                 : call->limit   ? call->limit
                                                                 : ANSWER_MAX,
                                        .wipe = call->is_secret,
                                        .ca_file = call->aws->ca_file};
    call->http = http_call(call->aws->http, &opts, on_response, call, &err);
    for (size_t i = 0; i < headers.count; i++)
        mem_wipe(headers.items[i], strlen(headers.items[i]));
    strv_release(&headers);
    free(url);
    if (!call->http)
        fail(call, &err);
}

/* ---- the steps ---- */

static void hash_work(void *arg)
{
    struct aws_call *call = arg;
    uint8_t digest[SHA256_SIZE];

    if (sha256_fd(call->upload.fd, call->upload.offset, call->upload.size, digest,
                  &call->failure) == 0)
        hex_encode(digest, sizeof(digest), call->payload_sha256);
}

static void hash_done(void *arg)
{
    struct aws_call *call = arg;

    call->hashing = false;
    if (call->cancelled)
        call_free(call);
    else
        step(call);
}

static void step(void *arg)
{
    struct aws_call *call = arg;

    if (call->failure.code) {
        struct err err = call->failure;
        fail(call, &err);
        return;
    }
    if (!*call->payload_sha256 && call->uploads && call->upload.size > 0) {
        call->hashing = true;
        loop_work(call->aws->loop, hash_work, hash_done, call);
        return;
    }
    if (!*call->payload_sha256)
        sha256_hex(call->body, call->body_len, call->payload_sha256);
    if (!keys_ready(call->aws)) {
        call->waits_for_keys = true;
        return;
    }
    send_request(call);
}

void aws_calls_have_keys(struct aws *aws, const struct err *err)
{
    struct aws_call *call, *next;

    for (call = LIST_FIRST(&aws->calls); call; call = next) {
        next = LIST_NEXT(call, link);
        if (!call->waits_for_keys)
            continue;
        call->waits_for_keys = false;
        call->failure = err ? *err : (struct err){0};
        loop_timer_arm(call->pause, 0);
    }
}
