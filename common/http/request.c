#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/server_internal.h"
#include "http/status.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define RETRY_AFTER_S "5"

static void request_free(struct http_request *req)
{
    path_release(&req->path);
    free(req->decoded_path);
    if (req->query)
        evhttp_clear_headers(req->query);
    free(req->query);
    free(req->rest);
    free(req->peer);
    free(req);
}

void request_abandon(struct http_request *req)
{
    /* evhttp has let go of a request if that has no connection any more; else it frees it after
     * this. */
    const bool ours = evhttp_request_get_connection(req->ev) == NULL;

    req->connection = NULL;
    if (!req->on_close) {
        evhttp_request_own(req->ev);
        return;
    }
    req->on_close(req->on_close_arg);
    if (ours)
        evhttp_request_free(req->ev);
    request_free(req);
}

/* ---- what was asked ---- */

const char *http_req_method(const struct http_request *req)
{
    return req->method;
}

const char *http_req_path(const struct http_request *req)
{
    return req->decoded_path;
}

const char *http_req_param(const struct http_request *req, const char *name)
{
    for (size_t i = 0; i < HTTP_PARAMS_MAX && req->params[i].name; i++) {
        const struct route_param *param = &req->params[i];
        if (strlen(name) == param->len && memcmp(param->name, name, param->len) == 0)
            return param->value;
    }
    return "";
}

const char *http_req_query(const struct http_request *req, const char *name)
{
    return evhttp_find_header(req->query, name);
}

const char *http_req_header(const struct http_request *req, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(req->ev), name);
}

const char *http_req_body(const struct http_request *req, size_t *len)
{
    if (len)
        *len = req->body_len;
    return req->body;
}

const char *http_req_peer(const struct http_request *req)
{
    return req->peer;
}

static bool is_json(const char *content_type)
{
    const size_t len = content_type ? strcspn(content_type, "; \t") : 0;

    return (len == 16 && strncasecmp(content_type, "application/json", 16) == 0) ||
           (len > 5 && strncasecmp(content_type + len - 5, "+json", 5) == 0);
}

int http_req_json(struct http_request *req, struct json_t **out)
{
    json_error_t error;
    char detail[256];

    *out = NULL;
    if (!is_json(http_req_header(req, "Content-Type"))) {
        http_reply_problem(req, 415, NULL, "send the body as Content-Type: application/json");
        return -1;
    }
    *out = json_loadb(req->body, req->body_len, JSON_REJECT_DUPLICATES, &error);
    if (*out)
        return 0;
    snprintf(detail, sizeof(detail), "the body is not JSON: line %d, column %d: %s", error.line,
             error.column, error.text);
    http_reply_problem(req, 400, NULL, detail);
    return -1;
}

void http_req_on_close(struct http_request *req, void (*fn)(void *arg), void *arg)
{
    req->on_close = fn;
    req->on_close_arg = arg;
}

/* ---- answering ---- */

void http_reply_header(struct http_request *req, const char *name, const char *value)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req->ev);
    char *clean = mem_strdup(value);

    for (char *c = clean; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    }
    evhttp_add_header(headers, name, clean);
    free(clean);
}

static void count(struct http_request *req, int status)
{
    struct metrics *metrics = req->server->metrics;
    struct route *route = req->route;
    char labels[512];

    if (!metrics || !route || status < 100 || status > 599)
        return;
    snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\"", route->method, route->pattern);
    if (!route->seconds)
        route->seconds = metrics_histogram(metrics, "gantry_http_request_seconds", labels,
                                           "Time from a request's head to its answer.");
    struct metric **requests = &route->requests[status / 100];
    if (!*requests) {
        const size_t len = strlen(labels);
        snprintf(labels + len, sizeof(labels) - len, ",code=\"%dxx\"", status / 100);
        *requests = metrics_counter(metrics, "gantry_http_requests_total", labels,
                                    "Requests answered, by the status's first digit.");
    }
    metric_add(*requests, 1);
    if (!req->streaming)
        metric_observe(route->seconds, (double)(clock_mono_us() - req->began_us) / 1e6);
}

static void add_default(struct http_request *req, const char *name, const char *value)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req->ev);

    if (!evhttp_find_header(headers, name))
        evhttp_add_header(headers, name, value);
}

static void add_headers(struct http_request *req, const char *content_type)
{
    if (content_type) {
        add_default(req, "Content-Type", content_type);
        add_default(req, "X-Content-Type-Options", "nosniff");
    }
    add_default(req, "Cache-Control", "no-store");
    if (req->server->stopping)
        add_default(req, "Connection", "close");
}

/* The client is gone: nobody reads the answer. */
static void finish_unheard(struct http_request *req)
{
    evhttp_request_free(req->ev);
    if (req->handling)
        req->answered = true;
    else
        request_free(req);
}

/* From here on the request is evhttp's, which frees it once the answer is written. */
static struct connection *hand_back(struct http_request *req)
{
    struct connection *connection = req->connection;

    connection->req = NULL;
    connection->sending = true;
    req->answered = true;
    if (!req->handling)
        request_free(req);
    return connection;
}

static bool may_answer(struct http_request *req)
{
    if (!req->answered && !req->streaming)
        return true;
    log_error("a request is answered twice", LOG_S("path", req->decoded_path));
    return false;
}

/* False: nobody waits for it, and the request is gone. */
static bool begin_reply(struct http_request *req, int status, const char *content_type,
                        uint64_t size)
{
    const bool bodyless = status == 204 || status == 304;
    char length[24];

    count(req, status);
    if (!req->connection) {
        finish_unheard(req);
        return false;
    }
    add_headers(req, bodyless ? NULL : content_type);
    if (!bodyless) {
        snprintf(length, sizeof(length), "%llu", (unsigned long long)size);
        add_default(req, "Content-Length", length);
    }
    return true;
}

static void end_reply(struct http_request *req, int status)
{
    struct evhttp_request *ev = req->ev;
    struct bufferevent *bev = hand_back(req)->bev;

    evhttp_send_reply(ev, status, http_status_text(status), NULL);
    /* A client that has said it sends no more must not cut off the answer. */
    bufferevent_disable(bev, EV_READ);
}

void http_reply(struct http_request *req, int status, const char *content_type, const void *body,
                size_t len)
{
    const bool bodyless = status == 204 || status == 304;

    if (!may_answer(req) || !begin_reply(req, status, content_type, len))
        return;
    if (!bodyless && !req->head_only && len > 0)
        evbuffer_add(evhttp_request_get_output_buffer(req->ev), body, len);
    end_reply(req, status);
}

void http_reply_file(struct http_request *req, int status, const char *content_type, int fd,
                     uint64_t size)
{
    if (!may_answer(req) || !begin_reply(req, status, content_type, size)) {
        close(fd);
        return;
    }
    if (req->head_only || size == 0 ||
        evbuffer_add_file(evhttp_request_get_output_buffer(req->ev), fd, 0, (ev_off_t)size) != 0)
        close(fd);
    end_reply(req, status);
}

void http_reply_json(struct http_request *req, int status, struct json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

    json_decref(json);
    if (!text) {
        http_reply_problem(req, 500, NULL, "the answer cannot be written as JSON");
        return;
    }
    http_reply(req, status, "application/json", text, strlen(text));
    free(text);
}

void http_reply_problem(struct http_request *req, int status, const char *title, const char *detail)
{
    json_t *problem = json_pack("{s:s, s:s, s:i}", "type", "about:blank", "title",
                                title ? title : http_status_text(status), "status", status);
    if (detail)
        json_object_set_new(problem, "detail", json_string(detail));
    char *text = json_dumps(problem, JSON_COMPACT);
    json_decref(problem);
    http_reply(req, status, "application/problem+json", text, strlen(text));
    free(text);
}

static int status_of(enum err_code code)
{
    switch (code) {
    case ERR_INVALID:
        return 400;
    case ERR_DENIED:
        return 403;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_CONFLICT:
        return 409;
    case ERR_LIMIT:
        return 413;
    case ERR_UNAVAILABLE:
        return 503;
    case ERR_TIMEOUT:
        return 504;
    default:
        return 500;
    }
}

void http_reply_err(struct http_request *req, const struct err *err)
{
    const int status = status_of(err->code);

    if (status == 503)
        http_reply_header(req, "Retry-After", RETRY_AFTER_S);
    if (status == 500)
        log_error("a request failed", LOG_S("path", req->decoded_path), LOG_E(err));
    http_reply_problem(req, status, NULL, err->msg);
}

/* ---- streams ---- */

void http_stream_begin(struct http_request *req, int status, const char *content_type)
{
    if (!may_answer(req))
        return;
    req->streaming = true;
    count(req, status);
    if (!req->connection)
        return;
    add_headers(req, content_type);
    evhttp_send_reply_start(req->ev, status, http_status_text(status));
}

int http_stream_send(struct http_request *req, const void *data, size_t len)
{
    struct evbuffer *scratch;

    if (!req->connection)
        return -1;
    if (len == 0 || req->head_only)
        return 0;
    struct evbuffer *output = bufferevent_get_output(req->connection->bev);
    if (evbuffer_get_length(output) + len > HTTP_BACKLOG_MAX) {
        log_info("a client that reads too slowly is dropped", LOG_S("peer", req->peer),
                 LOG_S("path", req->decoded_path));
        connection_doom(req->connection);
        return -1;
    }
    scratch = req->server->scratch;
    evbuffer_add(scratch, data, len);
    evhttp_send_reply_chunk(req->ev, scratch);
    return 0;
}

void http_stream_end(struct http_request *req)
{
    struct evhttp_request *ev = req->ev;

    if (!req->connection) {
        finish_unheard(req);
        return;
    }
    hand_back(req);
    evhttp_send_reply_end(ev);
}

void request_end_stream(struct http_request *req)
{
    struct evhttp_request *ev = req->ev;
    struct connection *connection = req->connection;

    connection->req = NULL;
    connection->sending = true;
    req->connection = NULL;
    if (!req->on_close) {
        /* Its handler goes on with an empty request of its own. */
        req->ev = evhttp_request_new(NULL, NULL);
    } else {
        req->on_close(req->on_close_arg);
        request_free(req);
    }
    evhttp_send_reply_end(ev);
}

/* ---- before a handler ---- */

static void add_cors(struct http_request *req)
{
    const char *allowed = req->server->cors_origin;
    const char *origin = http_req_header(req, "Origin");

    if (!allowed)
        return;
    http_reply_header(req, "Vary", "Origin");
    if (!str_eq(origin, allowed))
        return;
    http_reply_header(req, "Access-Control-Allow-Origin", allowed);
    http_reply_header(req, "Access-Control-Expose-Headers", "ETag, Location, Retry-After");
}

/* A preflight (WHATWG Fetch, 3.2.2), or plain OPTIONS. */
static void answer_options(struct http_request *req, const char *allow)
{
    http_reply_header(req, "Allow", allow);
    if (req->server->cors_origin &&
        str_eq(http_req_header(req, "Origin"), req->server->cors_origin)) {
        http_reply_header(req, "Access-Control-Allow-Methods", allow);
        http_reply_header(req, "Access-Control-Allow-Headers",
                          "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match");
        http_reply_header(req, "Access-Control-Max-Age", "600");
    }
    http_reply(req, 204, NULL, NULL, 0);
}

static const char *method_name(enum evhttp_cmd_type type)
{
    static const struct {
        enum evhttp_cmd_type type;
        const char *name;
    } names[] = {{EVHTTP_REQ_GET, "GET"},       {EVHTTP_REQ_HEAD, "HEAD"},
                 {EVHTTP_REQ_POST, "POST"},     {EVHTTP_REQ_PUT, "PUT"},
                 {EVHTTP_REQ_DELETE, "DELETE"}, {EVHTTP_REQ_OPTIONS, "OPTIONS"},
                 {EVHTTP_REQ_PATCH, "PATCH"},   {EVHTTP_REQ_TRACE, "TRACE"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].type == type)
            return names[i].name;
    }
    return "CONNECT";
}

/* 0, or -1 having answered. */
static int find_route(struct http_request *req)
{
    struct buf allow;

    buf_init(&allow, 256);
    req->route =
        router_find(&req->server->router, req->method, &req->path, req->params, &req->rest, &allow);
    if (!req->route && allow.len == 0) {
        http_reply_problem(req, 404, NULL, "nothing is at this address");
    } else if (!req->route && str_eq(req->method, "OPTIONS")) {
        answer_options(req, buf_cstr(&allow));
    } else if (!req->route) {
        http_reply_header(req, "Allow", buf_cstr(&allow));
        http_reply_problem(req, 405, NULL, "this address takes another method, see Allow");
    }
    buf_release(&allow);
    return req->answered ? -1 : 0;
}

/* Takes apart what evhttp read; 0, or -1 having answered. */
static int check(struct http_request *req)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req->ev);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const char *query = uri ? evhttp_uri_get_query(uri) : NULL;

    req->query = mem_alloc(sizeof(*req->query));
    TAILQ_INIT(req->query);
    if (path_parse(&req->path, path) != 0) {
        http_reply_problem(req, 400, NULL, "the path is too deep or not percent-encoded UTF-8");
        return -1;
    }
    req->decoded_path = evhttp_uridecode(path, 0, NULL);
    if (query && evhttp_parse_query_str(query, req->query) != 0) {
        http_reply_problem(req, 400, NULL, "the query is not name=value pairs");
        return -1;
    }
    /* Two readers could take such a request for two different ones (RFC 9112, 6.1). */
    if (http_req_header(req, "Transfer-Encoding") && http_req_header(req, "Content-Length")) {
        http_reply_problem(req, 400, NULL, "Transfer-Encoding does not go with Content-Length");
        return -1;
    }
    return 0;
}

static void take_body(struct http_request *req)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(req->ev);

    req->body_len = evbuffer_get_length(input);
    evbuffer_add(input, "", 1);
    req->body = (const char *)evbuffer_pullup(input, -1);
}

void request_arrived(struct evhttp_request *ev, void *arg)
{
    struct http_server *server = arg;
    struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
    struct connection *connection = connection_find(server, evcon);
    ev_uint16_t port;
    char *peer;

    if (!connection) {
        evhttp_send_error(ev, 503, NULL);
        return;
    }
    struct http_request *req = mem_alloc(sizeof(*req));
    evhttp_connection_get_peer(evcon, &peer, &port);
    req->server = server;
    req->connection = connection;
    req->ev = ev;
    req->began_us = clock_mono_us();
    req->peer = mem_strdup(peer);
    req->method = method_name(evhttp_request_get_command(ev));
    req->head_only = str_eq(req->method, "HEAD");
    req->handling = true;
    connection->req = req;
    connection_busy(connection, ev);
    add_cors(req);
    take_body(req);
    if (check(req) == 0 && find_route(req) == 0) {
        if (req->body_len > req->route->body_limit)
            http_reply_problem(req, 413, NULL, "the body is larger than this address takes");
        else
            req->route->fn(req, req->route->arg);
    }
    req->handling = false;
    if (req->answered)
        request_free(req);
    else if (req->connection)
        bufferevent_enable(req->connection->bev, EV_READ);
}
