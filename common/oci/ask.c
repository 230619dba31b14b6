#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "oci/internal.h"

#define TIMEOUT_MS     20000
#define TRIES          6
#define FIRST_PAUSE_MS 200 /* doubles each time: six seconds in all */
#define ANSWER_MAX     (64 * 1024)

struct oci_client *oci_client_new(struct loop *loop, const struct oci_conf *conf)
{
    struct oci_client *client = mem_alloc(sizeof(*client));
    client->loop = loop;
    client->http = http_client_new(loop);
    client->ca_file = mem_strdup(conf->ca_file);
    client->secrets_dir = mem_strdup(conf->secrets_dir);
    client->login = mem_strdup(conf->login);
    for (size_t i = 0; conf->insecure && i < conf->insecure->count; i++)
        strv_add(&client->insecure, conf->insecure->items[i]);
    LIST_INIT(&client->calls);
    return client;
}

void oci_client_free(struct oci_client *client)
{
    if (!client)
        return;
    while (!LIST_EMPTY(&client->calls))
        oci_call_cancel(LIST_FIRST(&client->calls));
    http_client_free(client->http);
    strv_release(&client->insecure);
    free(client->ca_file);
    free(client->secrets_dir);
    free(client->login);
    free(client);
}

/* ---- the life of a call ---- */

void oci_call_begin(struct oci_call *call, struct oci_client *client, const struct oci_ref *ref,
                    const char *actions)
{
    call->client = client;
    call->ref = *ref;
    call->actions = actions;
    if (!call->ref.digest[0] && !call->ref.tag[0])
        snprintf(call->ref.tag, sizeof(call->ref.tag), "latest");
    LIST_INSERT_HEAD(&client->calls, call, link);
}

static void forget_login(struct oci_call *call)
{
    if (call->authorization)
        mem_wipe(call->authorization, strlen(call->authorization));
    free(call->authorization);
    call->authorization = NULL;
}

void oci_call_free(struct oci_call *call)
{
    LIST_REMOVE(call, link);
    loop_timer_free(call->pause);
    free(call->question.url);
    forget_login(call);
    call->release(call);
    free(call);
}

void oci_call_cancel(struct oci_call *call)
{
    if (!call)
        return;
    if (call->http)
        http_call_cancel(call->http);
    oci_call_free(call);
}

void oci_fail(struct oci_call *call, enum err_code code, const char *why)
{
    const struct oci_ref *ref = &call->ref;
    struct err err = {0};
    err_set(&err, code, "registry %s, %s%s%s: %s", ref->host, ref->repository,
            ref->digest[0] ? "@" : ":", ref->digest[0] ? ref->digest : ref->tag, why);
    call->failed(call, &err);
    oci_call_free(call);
}

static void end_with(struct oci_call *call, const struct err *err)
{
    call->failed(call, err);
    oci_call_free(call);
}

static enum err_code meaning(int status)
{
    return status == 404                    ? ERR_NOT_FOUND
           : status == 401 || status == 403 ? ERR_DENIED
           : status >= 500 || status == 429 ? ERR_UNAVAILABLE
                                            : ERR_INVALID;
}

void oci_fail_status(struct oci_call *call, const char *what, int status)
{
    char why[400];
    enum err_code code = meaning(status);
    snprintf(why, sizeof(why), "%s%s%s (status %d)", what, *what ? ": " : "",
             code == ERR_NOT_FOUND     ? "it is not there"
             : code == ERR_DENIED      ? "not allowed"
             : code == ERR_UNAVAILABLE ? "the registry is not well"
                                       : "unexpected answer",
             status);
    if (code == ERR_UNAVAILABLE) {
        size_t len = strlen(why);
        snprintf(why + len, sizeof(why) - len, ", asked %d times", call->tries);
    }
    oci_fail(call, code, why);
}

/* ---- where it is asked ---- */

static bool is_insecure(const struct oci_client *client, const char *host)
{
    for (size_t i = 0; i < client->insecure.count; i++) {
        const char *item = client->insecure.items[i];
        size_t len = strlen(item);
        if (strncmp(item, host, len) == 0 && (host[len] == '\0' || host[len] == ':'))
            return true;
    }
    return false;
}

char *oci_origin(const struct oci_call *call)
{
    const char *host = call->ref.host;
    return mem_printf("%s://%s", is_insecure(call->client, host) ? "http" : "https",
                      str_eq(host, "docker.io") ? "registry-1.docker.io" : host);
}

char *oci_url(const struct oci_call *call, const char *kind, const char *what)
{
    char *origin = oci_origin(call);
    char *url = mem_printf("%s/v2/%s/%s/%s", origin, call->ref.repository, kind, what);
    free(origin);
    return url;
}

/* ---- a question ---- */

static void on_answer(const struct http_response *response, void *arg);

/* A login is for the registry, not for where it says that blobs lie. */
static bool is_registry(const struct oci_call *call)
{
    char *origin = oci_origin(call);
    size_t len = strlen(origin);
    const char *url = call->question.url;
    bool own = strncmp(url, origin, len) == 0 && url[len] == '/';
    free(origin);
    return own;
}

static int send_question(struct oci_call *call, struct err *err)
{
    const struct oci_question *question = &call->question;
    const char *headers[4] = {NULL};
    char *accept = question->accept ? mem_printf("Accept: %s", question->accept) : NULL;
    char *type =
        question->content_type ? mem_printf("Content-Type: %s", question->content_type) : NULL;
    size_t n = 0;
    if (accept)
        headers[n++] = accept;
    if (type)
        headers[n++] = type;
    if (call->authorization && is_registry(call))
        headers[n++] = call->authorization;
    const struct http_call_opts opts = {.method = question->method,
                                        .url = question->url,
                                        .headers = headers,
                                        .body = question->body,
                                        .body_len = question->body_len,
                                        .timeout_ms = TIMEOUT_MS,
                                        .limit = question->limit ? question->limit : ANSWER_MAX,
                                        .ca_file = call->client->ca_file};
    call->http = http_call(call->client->http, &opts, on_answer, call, err);
    free(accept);
    free(type);
    call->tries++;
    return call->http ? 0 : -1;
}

int oci_ask(struct oci_call *call, const struct oci_question *question, struct err *err)
{
    free(call->question.url);
    call->question = *question;
    call->tries = 0;
    return send_question(call, err);
}

void oci_ask_next(struct oci_call *call, const struct oci_question *question)
{
    struct err err = {0};
    if (oci_ask(call, question, &err) < 0)
        end_with(call, &err);
}

void oci_ask_again(struct oci_call *call)
{
    struct err err = {0};
    if (send_question(call, &err) < 0)
        end_with(call, &err);
}

static void on_pause_over(void *arg)
{
    oci_ask_again(arg);
}

/* Registries answer 5xx for moments: a restart, a proxy, Docker's own while the same content is
 * being pushed by another. False: it was asked often enough. */
static bool ask_later(struct oci_call *call)
{
    if (call->tries >= TRIES)
        return false;
    if (!call->pause)
        call->pause = loop_timer_new(call->client->loop, on_pause_over, call);
    loop_timer_arm(call->pause, (int64_t)FIRST_PAUSE_MS << (call->tries - 1));
    return true;
}

static void on_no_answer(struct oci_call *call, const struct http_response *response)
{
    char why[400];
    enum err_code code = err_is_retriable(&response->err) ? response->err.code : ERR_UNAVAILABLE;
    if (code == ERR_UNAVAILABLE && ask_later(call))
        return;
    snprintf(why, sizeof(why), "%.300s", response->err.msg);
    if (code == ERR_UNAVAILABLE) {
        size_t len = strlen(why);
        snprintf(why + len, sizeof(why) - len, ", asked %d times", call->tries);
    }
    oci_fail(call, code, why);
}

static void on_answer(const struct http_response *response, void *arg)
{
    struct oci_call *call = arg;
    call->http = NULL;
    if (response->status == 0) {
        on_no_answer(call, response);
    } else if (response->status == 401) {
        /* A login that was not taken, or a token that is too old: once more, with a new one. */
        bool again = !call->authorization || call->tries == 1;
        forget_login(call);
        if (!again || !oci_log_in(call, response))
            oci_fail_status(call, "", response->status);
    } else if (meaning(response->status) == ERR_UNAVAILABLE) {
        if (!ask_later(call))
            oci_fail_status(call, "", response->status);
    } else {
        call->question.done(call, response);
    }
}
