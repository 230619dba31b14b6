/* Shared by the server's files alone: listener (server.c), connections (connection.c), routes
 * (router.c), requests and answers (request.c). */
#ifndef GANTRY_HTTP_SERVER_INTERNAL_H
#define GANTRY_HTTP_SERVER_INTERNAL_H

#include <sys/queue.h>

#include "base/buf.h"
#include "base/str.h"
#include "http/server.h"

#define HTTP_HEAD_MAX        (64 * 1024)
#define HTTP_IDLE_S          60     /* without a byte from the client, or taken by it */
#define HTTP_ARRIVE_MS       120000 /* from an answer's end to the next request's, at most */
#define HTTP_CONNECTIONS_MAX 1000
#define HTTP_BACKLOG_MAX     (4 * 1024 * 1024)
#define HTTP_PARAMS_MAX      8
#define HTTP_SEGMENTS_MAX    32

struct bufferevent;
struct evbuffer;
struct evhttp;
struct evhttp_connection;
struct evhttp_request;
struct connection;

/* ---- routes ---- */

struct route {
    LIST_ENTRY(route) link;
    char *method;
    char *pattern;
    struct strv segments;
    char *rank; /* a character a segment: the larger, the more it says; orders the routes */
    size_t body_limit;
    http_handler_fn *fn;
    void *arg;
    struct metric *seconds;
    struct metric *requests[6]; /* by the status's first digit */
};
LIST_HEAD(router, route);

/* A request's path in decoded segments: "/a/b%2Fc" has "a" and "b/c", "/" has "". */
struct path {
    char *segments[HTTP_SEGMENTS_MAX];
    size_t count;
};
/* 0; -1: too many segments, not UTF-8, or no path at all. Release it either way. */
int path_parse(struct path *path, const char *encoded);
void path_release(struct path *path);

struct route_param {
    const char *name; /* within the route's pattern; `len` bytes */
    size_t len;
    const char *value;
};

void router_add(struct router *router, struct route *route);
void router_release(struct router *router);
/* The route for a request, its parameters, and in *rest what a last {rest*} took (to be freed);
 * NULL: *allow has the methods the path knows, "" if it is unknown. */
struct route *router_find(const struct router *router, const char *method, const struct path *path,
                          struct route_param params[HTTP_PARAMS_MAX], char **rest,
                          struct buf *allow);

/* ---- the server ---- */

TAILQ_HEAD(connections, connection);

struct http_server {
    struct loop *loop;
    struct evhttp *evhttp;
    struct evhttp_bound_socket *bound; /* NULL: stopped */
    struct evconnlistener *listener;   /* of `bound` */
    struct loop_timer *accept_again;
    struct ssl_ctx_st *tls;
    struct evbuffer *scratch;
    char *cors_origin;
    struct metrics *metrics;
    struct router router;
    size_t body_max;
    struct connections connections; /* the ones used last first */
    size_t connection_count;
    int port;
    bool stopping;
};

/* ---- connections ---- */

struct connection {
    TAILQ_ENTRY(connection) link;
    struct http_server *server;
    struct bufferevent *bev;
    struct evhttp_connection *evcon; /* NULL: evhttp has not made it yet */
    struct loop_timer *timer;
    struct http_request *req; /* being answered, or NULL */
    bool sending;             /* an answer is complete but not yet written */
};

/* evhttp asks for the bufferevent of a connection it is about to take. */
struct bufferevent *connection_accept(struct event_base *base, void *server);
/* NULL: it was taken in spite of there being no bufferevent for it. */
struct connection *connection_find(struct http_server *server, struct evhttp_connection *evcon);
/* A request was read whole: no deadline of arrival, no limit on how long its answer takes. */
void connection_busy(struct connection *connection, struct evhttp_request *ev);
/* Ends it from the loop soon. */
void connection_doom(struct connection *connection);
bool connection_is_idle(const struct connection *connection);
/* Those evhttp never knew. */
void connections_release(struct http_server *server);

/* ---- requests ---- */

struct http_request {
    struct http_server *server;
    struct connection *connection; /* NULL: the client is gone */
    struct evhttp_request *ev;     /* evhttp's while there is a connection, then ours */
    const char *method;
    char *decoded_path;
    struct path path;
    struct evkeyvalq *query;
    const char *body;
    size_t body_len;
    struct route *route;
    struct route_param params[HTTP_PARAMS_MAX];
    char *rest;
    char *peer;
    int64_t began_us;
    bool head_only;
    bool streaming;
    bool answered;
    bool handling; /* its handler is on the stack: freed when that returns */
    void (*on_close)(void *arg);
    void *on_close_arg;
};

/* evhttp has read a request. */
void request_arrived(struct evhttp_request *ev, void *server);
/* Its client went away before the answer: tells the handler, or leaves it to be answered into
 * nothing. Called as evhttp frees the connection. */
void request_abandon(struct http_request *req);
/* Ends a stream that its handler has not ended. */
void request_end_stream(struct http_request *req);

#endif
