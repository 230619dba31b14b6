#include <string.h>

#include "base/mem.h"
#include "kubernetes/internal.h"

#define ANSWER_MAX         (16 * 1024 * 1024)
#define PAUSE_MAX_MS       20000
#define RETRY_AFTER_MAX_MS 60000
#define MESSAGE_MAX        600

struct kubernetes_call {
    LIST_ENTRY(kubernetes_call) link;
    struct kubernetes *kubernetes;
    char *method, *url, *body, *what;
    unsigned tries;
    bool renewed; /* asked once more with what the token's file has now */
    char *used;   /* the header with the token that was sent */
    bool answering;
    struct err failure; /* before anything was sent */
    struct http_call *http;
    struct loop_timer *pause;
    kubernetes_answered_fn *answered;
    void *arg;
};

static void send_request(void *arg);

static void call_free(struct kubernetes_call *call)
{
    LIST_REMOVE(call, link);
    loop_timer_free(call->pause);
    if (call->used)
        mem_wipe(call->used, strlen(call->used));
    free(call->used);
    if (call->body)
        mem_wipe(call->body, strlen(call->body));
    free(call->body);
    free(call->method);
    free(call->url);
    free(call->what);
    free(call);
}

void kubernetes_cancel(struct kubernetes_call *call)
{
    if (!call || call->answering)
        return;
    if (call->http)
        http_call_cancel(call->http);
    call_free(call);
}

static void answer(struct kubernetes_call *call, const json_t *json, struct err *err)
{
    static const struct err none = {0};

    if (err)
        err_wrap(err, "cannot %s", call->what);
    call->answering = true;
    call->answered(json, err ? err : &none, call->arg);
    call_free(call);
}

/* ---- what came back ---- */

static enum err_code code_of(int status)
{
    switch (status) {
    case 401:
    case 403:
        return ERR_DENIED;
    case 404:
    case 410:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 408:
    case 429:
        return ERR_UNAVAILABLE;
    default:
        return status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID;
    }
}

void kubernetes_refused(struct err *err, int status, const char *body, size_t len)
{
    json_t *json = json_loadb(body, len, 0, NULL);
    const char *message = json_string_value(json_object_get(json, "message"));

    if (message)
        err_set(err, code_of(status), "Kubernetes answers %d: %.*s", status, MESSAGE_MAX, message);
    else
        err_set(err, code_of(status), "Kubernetes answers %d", status);
    json_decref(json);
}

/* Milliseconds that the server asks to wait; 0: it does not say. */
static int64_t retry_after_ms(const struct http_response *response)
{
    const char *text = response->header(response, "Retry-After");
    int64_t seconds = 0;

    if (!text || str_to_i64(text, &seconds) < 0 || seconds < 0)
        return 0;
    return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
}

/* A POST that got no answer may have been taken. */
static bool may_try_again(const struct kubernetes_call *call, const struct http_response *response)
{
    if (call->tries >= call->kubernetes->tries)
        return false;
    if (response->status)
        return response->status == 429 || response->status == 503 ||
               (response->status >= 500 && !str_eq(call->method, "POST"));
    return err_is_retriable(&response->err) && !str_eq(call->method, "POST");
}

static bool has_another_token(struct kubernetes_call *call)
{
    struct strv headers = {0};
    const bool is_other = kubernetes_headers(call->kubernetes, &headers, NULL) == 0 &&
                          !str_eq(headers.items[0], call->used);

    kubernetes_headers_release(&headers);
    return is_other;
}

static void take(struct kubernetes_call *call, const struct http_response *response)
{
    json_error_t error;
    struct err err = {0};
    json_t *json = json_loadb(response->body, response->len, 0, &error);

    if (json_is_object(json)) {
        answer(call, json, NULL);
    } else {
        err_set(&err, ERR_UNAVAILABLE, "Kubernetes answers %d with something that is no JSON: %s",
                response->status, json ? "no object" : error.text);
        answer(call, NULL, &err);
    }
    json_decref(json);
}

static void on_response(const struct http_response *response, void *arg)
{
    struct kubernetes_call *call = arg;
    struct err err = response->err;

    call->http = NULL;
    if (response->status >= 200 && response->status < 300) {
        take(call, response);
        return;
    }
    if (response->status == 401 && !call->renewed && has_another_token(call)) {
        call->renewed = true;
        loop_timer_arm(call->pause, 0);
        return;
    }
    if (may_try_again(call, response)) {
        const int64_t asked = response->status ? retry_after_ms(response) : 0;
        loop_timer_arm(call->pause, asked ? asked : kubernetes_pause_ms(call->tries, PAUSE_MAX_MS));
        return;
    }
    if (response->status)
        kubernetes_refused(&err, response->status, response->body, response->len);
    else
        err_wrap(&err, "Kubernetes at %s", call->kubernetes->server);
    answer(call, NULL, &err);
}

/* ---- the request ---- */

static void send_request(void *arg)
{
    struct kubernetes_call *call = arg;
    struct kubernetes *k = call->kubernetes;
    struct strv headers = {0};
    struct err err = call->failure;

    if (err.code || kubernetes_headers(k, &headers, &err) < 0) {
        answer(call, NULL, &err);
        return;
    }
    if (call->used)
        mem_wipe(call->used, strlen(call->used));
    free(call->used);
    call->used = mem_strdup(headers.items[0]);
    if (call->body)
        strv_add(&headers, "Content-Type: application/json");
    const struct http_call_opts opts = {.method = call->method,
                                        .url = call->url,
                                        .headers = (const char *const *)headers.items,
                                        .body = call->body,
                                        .body_len = call->body ? strlen(call->body) : 0,
                                        .limit = ANSWER_MAX,
                                        .ca_file = k->ca_file};
    call->tries++;
    call->http = http_call(k->http, &opts, on_response, call, &err);
    kubernetes_headers_release(&headers);
    if (!call->http)
        answer(call, NULL, &err);
}

struct kubernetes_call *kubernetes_ask(struct kubernetes *k, const struct kubernetes_ask *ask,
                                       kubernetes_answered_fn *answered, void *arg)
{
    struct kubernetes_call *call = mem_alloc(sizeof(*call));

    call->kubernetes = k;
    call->method = mem_strdup(ask->method ? ask->method : "GET");
    call->url = mem_printf("%s%s", k->server, ask->path);
    call->what = mem_strdup(ask->what);
    call->body = ask->body ? json_dumps(ask->body, JSON_COMPACT) : NULL;
    if (ask->body && !call->body)
        err_set(&call->failure, ERR_INVALID, "what is asked is not UTF-8");
    call->pause = loop_timer_new(k->loop, send_request, call);
    call->answered = answered;
    call->arg = arg;
    LIST_INSERT_HEAD(&k->calls, call, link);
    loop_timer_arm(call->pause, 0);
    return call;
}
