/* An HTTP server on the loop (libevent's evhttp), bounded: 64 KiB of headers, a body limit a route,
 * 60 s of a client's silence and 120 s for a request to arrive, 1,000 connections (beyond them the
 * longest idle gives way). A problem is answered as RFC 9457 application/problem+json; only what
 * evhttp itself cannot read (400) or what is larger than any route takes (413) gets its short page
 * instead. */
#ifndef GANTRY_HTTP_SERVER_H
#define GANTRY_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct json_t; /* jansson */
struct metrics;
struct http_server;
struct http_request;

struct http_server_conf {
    const char *listen;   /* "127.0.0.1:8080", "[::1]:8080", "0.0.0.0:8080"; port 0 picks one */
    const char *tls_cert; /* PEM files; NULL: plain HTTP */
    const char *tls_key;
    const char *cors_origin; /* exactly this origin may call with Authorization; NULL: none */
    struct metrics *metrics; /* may be NULL */
};
int http_server_new(struct http_server **out, struct loop *loop,
                    const struct http_server_conf *conf, struct err *err);
/* Requests that are unanswered see their client go away. NULL is accepted. */
void http_server_free(struct http_server *server);
/* Stops listening; open streams are closed; requests being answered go on. */
void http_server_stop(struct http_server *server);
/* Requests that are being read, answered or written. */
size_t http_server_busy(const struct http_server *server);
int http_server_port(const struct http_server *server);

/* A handler answers once, now or later; until then the request lives, even if its client goes away
 * (the answer is then thrown away). With http_req_on_close() it is told instead, after which the
 * request must not be touched. */
typedef void http_handler_fn(struct http_request *req, void *arg);

/* `pattern`: "/api/v1/pipelines/{name}"; a last "{rest*}" takes the remaining segments, which
 * are not empty. `method`: "GET" (answers HEAD as well), "POST" ... Unknown paths are 404, known
 * ones with another method 405 with Allow. */
void http_route(struct http_server *server, const char *method, const char *pattern,
                size_t body_limit, http_handler_fn *fn, void *arg);

const char *http_req_method(const struct http_request *req);
const char *http_req_path(const struct http_request *req); /* decoded */
const char *http_req_param(const struct http_request *req,
                           const char *name); /* decoded; "" if absent */
const char *http_req_query(const struct http_request *req,
                           const char *name); /* decoded; NULL if absent */
const char *http_req_header(const struct http_request *req, const char *name); /* NULL if absent */
const char *http_req_body(const struct http_request *req, size_t *len);        /* NUL-terminated */
const char *http_req_peer(const struct http_request *req); /* address, for the log */
/* Parses the body; 0, or -1 having answered 400 or 415. *out is a new reference (json_decref). */
int http_req_json(struct http_request *req, struct json_t **out);
void http_req_on_close(struct http_request *req, void (*fn)(void *arg), void *arg);

void http_reply_header(struct http_request *req, const char *name,
                       const char *value); /* before the reply */
void http_reply(struct http_request *req, int status, const char *content_type, const void *body,
                size_t len);
/* The first `size` bytes of a file, never all in memory; takes the descriptor over. */
void http_reply_file(struct http_request *req, int status, const char *content_type, int fd,
                     uint64_t size);
void http_reply_json(struct http_request *req, int status,
                     struct json_t *json); /* steals the reference */
/* RFC 9457. title NULL: the status's own. detail: what to do about it. */
void http_reply_problem(struct http_request *req, int status, const char *title,
                        const char *detail);
/* The status that goes with an error code (invalid 400, denied 403, not found 404, conflict 409,
 * limit 413, unavailable 503 with Retry-After, timeout 504, else 500), its message as detail. */
void http_reply_err(struct http_request *req, const struct err *err);

/* Server-sent events (WHATWG HTML, 9.2), or any other long answer. */
void http_stream_begin(struct http_request *req, int status, const char *content_type);
/* 0; -1: the client reads too slowly (more than 4 MiB wait) and is dropped, or it is gone. The
 * request lives until on_close, or without that until http_stream_end(). */
int http_stream_send(struct http_request *req, const void *data, size_t len);
void http_stream_end(struct http_request *req);

#endif
