#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "http/client.h"
#include "loop/loop.h"
#include "services/cli/cli.h"

#define RETRY_FOR_MS   15000
#define RETRY_PAUSE_MS 500
#define HEADER_MAX     4096
#define ANSWER_MAX     (64 * 1024 * 1024)

/* One try of a call. */
struct attempt {
    struct api_reply *reply;
    const struct api_call *call;
    struct err err;
    bool done;
};

void api_init(struct cli *cli)
{
    if (cli->loop)
        return;
    cli->loop = loop_new(1);
    cli->http = http_client_new(cli->loop);
}

void api_close(struct cli *cli)
{
    if (!cli->loop)
        return;
    http_client_free(cli->http);
    loop_free(cli->loop);
}

void api_reply_release(struct api_reply *reply)
{
    free(reply->body);
    json_decref(reply->json);
    memset(reply, 0, sizeof *reply);
}

char *api_segment(const char *text)
{
    struct buf out;

    buf_init(&out, 4096);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
            strchr("-._~", *c))
            buf_addc(&out, (char)*c);
        else
            buf_addf(&out, "%%%02X", *c);
    }
    return buf_detach(&out);
}

static void copy_header(const struct http_response *response, const char *name, char *out,
                        size_t size)
{
    const char *value = response->header(response, name);

    snprintf(out, size, "%s", value ? value : "");
}

static void on_done(const struct http_response *response, void *arg)
{
    struct attempt *attempt = arg;
    struct api_reply *reply = attempt->reply;

    attempt->done = true;
    attempt->err = response->err;
    reply->status = response->status;
    if (!response->status)
        return;
    copy_header(response, "ETag", reply->etag, sizeof reply->etag);
    copy_header(response, "Gantry-Next-Offset", reply->next_offset, sizeof reply->next_offset);
    if (!response->body)
        return;
    reply->body = mem_dup(response->body, response->len + 1);
    reply->len = response->len;
    reply->json = json_loadb(response->body, response->len, JSON_DECODE_ANY, NULL);
}

static int on_stream(const char *data, size_t len, void *arg)
{
    const struct attempt *attempt = arg;

    return attempt->call->on_data(data, len, attempt->call->arg);
}

static int find_approver(struct cli *cli)
{
    struct api_reply reply = {0};
    int rc;

    if (cli->approver_url)
        return 0;
    rc = api_get(cli, &reply, "/api/v1/version");
    if (rc == 0 && *jstr(reply.json, "approverUrl"))
        cli->approver_url = mem_strdup(jstr(reply.json, "approverUrl"));
    api_reply_release(&reply);
    if (rc == 0 && !cli->approver_url)
        return cli_fail(EXIT_USAGE,
                        "the console does not know the approver's address; give --approver-url");
    return rc;
}

/* Headers of a call; each is the caller's to free. */
static void make_headers(struct cli *cli, const struct api_call *call, const char *key,
                         struct strv *out)
{
    strv_addf(out, "Accept: %s", call->accept ? call->accept : "application/json");
    if (cli->token)
        strv_addf(out, "Authorization: Bearer %s", cli->token);
    if (call->json || call->body)
        strv_addf(out, "Content-Type: %s",
                  call->content_type ? call->content_type : "application/json");
    if (call->method && strcmp(call->method, "POST") == 0)
        strv_addf(out, "Idempotency-Key: %s", key);
    if (call->if_match)
        strv_addf(out, "%s: %s", call->if_none_match ? "If-None-Match" : "If-Match",
                  call->if_match);
}

static const char *base_url(const struct cli *cli, enum api_service service)
{
    return service == API_APPROVER  ? cli->approver_url
           : service == API_BUILDER ? cli->builder_url
                                    : cli->url;
}

static const char *service_name(enum api_service service)
{
    return service == API_APPROVER  ? "the approver"
           : service == API_BUILDER ? "the builder"
                                    : "the console";
}

static int try_once(struct cli *cli, const struct api_call *call, const char *body, size_t body_len,
                    const char *key, struct api_reply *reply, struct err *err)
{
    const char *base = base_url(cli, call->service);
    struct attempt attempt = {.reply = reply, .call = call};
    struct strv headers = {0};
    char *url = mem_printf("%s%s", base, call->path);
    struct http_call_opts opts = {.method = call->method,
                                  .url = url,
                                  .body = body,
                                  .body_len = body_len,
                                  .timeout_ms = call->timeout_ms,
                                  .limit = ANSWER_MAX,
                                  .on_data = call->on_data ? on_stream : NULL};
    int rc = -1;

    make_headers(cli, call, key, &headers);
    opts.headers = (const char *const *)headers.items;
    if (http_call(cli->http, &opts, on_done, &attempt, err)) {
        while (!attempt.done)
            loop_run_for(cli->loop, 1000, &attempt.done);
        *err = attempt.err;
        rc = reply->status ? 0 : -1;
        if (!cli->json)
            disarm_json(reply->json);
    }
    for (size_t i = 0; i < headers.count; i++)
        mem_wipe(headers.items[i], strlen(headers.items[i]));
    strv_release(&headers);
    free(url);
    return rc;
}

static int exit_of_status(int status)
{
    switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
        return EXIT_USAGE;
    case 401:
    case 403:
        return EXIT_DENIED;
    case 404:
        return EXIT_NOT_FOUND;
    case 409:
    case 412:
    case 428:
        return EXIT_CONFLICT;
    case 502:
    case 503:
        return EXIT_UNREACHABLE;
    case 504:
        return EXIT_TOO_LONG;
    default:
        return EXIT_BAD_END;
    }
}

static int complain(const struct cli *cli, const struct api_reply *reply)
{
    const char *detail = jstr(reply->json, "detail"), *title = jstr(reply->json, "title");

    cli_fail(0, "%s", *detail ? detail : *title ? title : "the server gave no reason");
    if (reply->status == 401 && !cli->token)
        fputs("give a token: GANTRY_TOKEN, GANTRY_TOKEN_FILE or --token-file\n", stderr);
    return exit_of_status(reply->status);
}

int api_send_expecting(struct cli *cli, const struct api_call *call, int expected,
                       struct api_reply *reply)
{
    char *dumped = call->json ? json_dumps(call->json, JSON_COMPACT) : NULL;
    const char *body = dumped ? dumped : call->body;
    size_t body_len = dumped ? strlen(dumped) : call->body_len;
    int64_t until = clock_mono_ms() + RETRY_FOR_MS;
    char key[ID_SIZE];
    struct err err = {0};
    int rc;

    memset(reply, 0, sizeof *reply);
    api_init(cli);
    if (call->service == API_APPROVER && (rc = find_approver(cli)) != 0)
        goto out;
    id_random(key);
    for (;;) {
        rc = try_once(cli, call, body, body_len, key, reply, &err);
        /* What was not answered may have been stored: the same key makes sending it again harmless.
         */
        if ((rc == 0 && reply->status != 503) || clock_mono_ms() > until)
            break;
        if (err.code == ERR_INVALID)
            break;
        if (rc == 0)
            api_reply_release(reply);
        loop_run_for(cli->loop, RETRY_PAUSE_MS, NULL);
    }
    if (rc < 0)
        rc = cli_fail(EXIT_UNREACHABLE, "%s cannot be reached at %s: %s",
                      service_name(call->service), base_url(cli, call->service), err.msg);
    else if ((reply->status >= 200 && reply->status < 300) || reply->status == expected)
        rc = 0;
    else
        rc = complain(cli, reply);
out:
    json_decref(call->json);
    free(dumped);
    return rc;
}

int api_send(struct cli *cli, const struct api_call *call, struct api_reply *reply)
{
    return api_send_expecting(cli, call, 0, reply);
}

int api_get(struct cli *cli, struct api_reply *reply, const char *fmt, ...)
{
    struct api_call call = {0};
    char path[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    call.path = path;
    return api_send(cli, &call, reply);
}

int api_get_release(struct cli *cli, struct api_reply *reply, const char *word)
{
    char pipeline[64];
    uint64_t number;

    if (cli_release_arg(word, pipeline, &number) < 0)
        return EXIT_USAGE;
    return api_get(cli, reply, "/api/v1/pipelines/%s/releases/%llu", pipeline,
                   (unsigned long long)number);
}
