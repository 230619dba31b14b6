#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/server_internal.h"
#include "log/log.h"

#define BACKLOG         512
#define ACCEPT_AGAIN_MS 1000

/* ---- settings ---- */

/* "127.0.0.1:8080" or "[::1]:8080" */
static int parse_listen(const char *listen, char host[256], char port[8], struct err *err)
{
    const char *colon = strrchr(listen, ':');
    const char *begin = listen, *end = colon;
    uint64_t number;

    if (colon && *begin == '[' && colon > begin + 1 && colon[-1] == ']') {
        begin++;
        end--;
    }
    if (!colon || end <= begin || end - begin > 255 || str_to_u64(colon + 1, &number) != 0 ||
        number > 65535)
        return err_set(err, ERR_INVALID, "'%s' is not an address to listen on (host:port)", listen);
    snprintf(host, 256, "%.*s", (int)(end - begin), begin);
    snprintf(port, 8, "%u", (unsigned)number);
    return 0;
}

static int tls_fail(struct err *err, const char *what, const char *file)
{
    char reason[256];

    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "TLS: %s '%s': %s", what, file, reason);
}

static int load_tls(struct http_server *server, const struct http_server_conf *conf,
                    struct err *err)
{
    if (str_empty(conf->tls_cert) && str_empty(conf->tls_key))
        return 0;
    if (str_empty(conf->tls_cert) || str_empty(conf->tls_key))
        return err_set(err, ERR_INVALID, "TLS needs both a certificate and its key");
    server->tls = SSL_CTX_new(TLS_server_method());
    if (!server->tls)
        return tls_fail(err, "cannot begin with", conf->tls_cert);
    SSL_CTX_set_min_proto_version(server->tls, TLS1_2_VERSION);
    SSL_CTX_set_options(server->tls, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(server->tls, SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(server->tls, conf->tls_cert) != 1)
        return tls_fail(err, "cannot use certificate", conf->tls_cert);
    if (SSL_CTX_use_PrivateKey_file(server->tls, conf->tls_key, SSL_FILETYPE_PEM) != 1)
        return tls_fail(err, "cannot use key", conf->tls_key);
    return 0;
}

/* ---- accepting ---- */

/* Out of descriptors: the socket stays readable, so looking again at once would only spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct http_server *server = arg;

    log_warn("connections cannot be accepted", LOG_S("error", strerror(errno)));
    evconnlistener_disable(listener);
    loop_timer_arm(server->accept_again, ACCEPT_AGAIN_MS);
}

static void accept_again(void *arg)
{
    struct http_server *server = arg;

    if (server->listener)
        evconnlistener_enable(server->listener);
}

static int bind_listener(struct http_server *server, const char *listen, struct err *err)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound;
    socklen_t bound_len = sizeof(bound);
    char host[256], port[8];

    if (parse_listen(listen, host, port, err) != 0)
        return -1;
    const int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        return err_set(err, ERR_INVALID, "cannot listen on '%s': %s", listen, gai_strerror(rc));
    server->listener =
        evconnlistener_new_bind(loop_event_base(server->loop), NULL, NULL,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                BACKLOG, found->ai_addr, (int)found->ai_addrlen);
    const int why = errno;
    freeaddrinfo(found);
    if (!server->listener)
        return err_errno(err, why, "cannot listen on '%s'", listen);
    server->bound = evhttp_bind_listener(server->evhttp, server->listener);
    evconnlistener_set_error_cb(server->listener, on_accept_error);
    getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&bound, &bound_len);
    server->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                     : ((struct sockaddr_in *)&bound)->sin_port);
    return 0;
}

static void configure(struct http_server *server)
{
    const ev_uint16_t every_method = EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                     EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                     EVHTTP_REQ_PATCH | EVHTTP_REQ_TRACE;

    evhttp_set_allowed_methods(server->evhttp, every_method);
    evhttp_set_max_headers_size(server->evhttp, HTTP_HEAD_MAX);
    evhttp_set_max_body_size(server->evhttp, 0);
    evhttp_set_timeout(server->evhttp, HTTP_IDLE_S);
    evhttp_set_default_content_type(server->evhttp, NULL);
    evhttp_set_bevcb(server->evhttp, connection_accept, server);
    evhttp_set_gencb(server->evhttp, request_arrived, server);
}

int http_server_new(struct http_server **out, struct loop *loop,
                    const struct http_server_conf *conf, struct err *err)
{
    struct http_server *server = mem_alloc(sizeof(*server));

    *out = NULL;
    server->loop = loop;
    server->metrics = conf->metrics;
    server->cors_origin = str_empty(conf->cors_origin) ? NULL : mem_strdup(conf->cors_origin);
    server->accept_again = loop_timer_new(loop, accept_again, server);
    server->scratch = evbuffer_new();
    server->evhttp = evhttp_new(loop_event_base(loop));
    TAILQ_INIT(&server->connections);
    LIST_INIT(&server->router);
    configure(server);
    if (load_tls(server, conf, err) != 0 || bind_listener(server, conf->listen, err) != 0) {
        http_server_free(server);
        return -1;
    }
    *out = server;
    return 0;
}

void http_server_stop(struct http_server *server)
{
    struct connection *connection, *next;

    if (server->stopping)
        return;
    server->stopping = true;
    evhttp_del_accept_socket(server->evhttp, server->bound);
    server->bound = NULL;
    server->listener = NULL;
    loop_timer_cancel(server->accept_again);
    for (connection = TAILQ_FIRST(&server->connections); connection; connection = next) {
        next = TAILQ_NEXT(connection, link);
        if (connection_is_idle(connection))
            evhttp_connection_free(connection->evcon);
        else if (connection->req && connection->req->streaming)
            request_end_stream(connection->req);
    }
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    evhttp_free(server->evhttp);
    connections_release(server);
    router_release(&server->router);
    SSL_CTX_free(server->tls);
    loop_timer_free(server->accept_again);
    evbuffer_free(server->scratch);
    free(server->cors_origin);
    free(server);
}

size_t http_server_busy(const struct http_server *server)
{
    const struct connection *connection;
    size_t busy = 0;

    TAILQ_FOREACH(connection, &server->connections, link)
    {
        busy += !connection_is_idle(connection);
    }
    return busy;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_route(struct http_server *server, const char *method, const char *pattern,
                size_t body_limit, http_handler_fn *fn, void *arg)
{
    struct route *route = mem_alloc(sizeof(*route));

    route->method = mem_strdup(method);
    route->pattern = mem_strdup(pattern);
    route->body_limit = body_limit;
    route->fn = fn;
    route->arg = arg;
    router_add(&server->router, route);
    /* evhttp refuses by Content-Length what no route takes; the route's own limit comes after. */
    if (body_limit > server->body_max) {
        server->body_max = body_limit;
        evhttp_set_max_body_size(server->evhttp, (ev_ssize_t)body_limit);
    }
}
