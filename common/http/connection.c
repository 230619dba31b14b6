#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/mem.h"
#include "http/server_internal.h"
#include "log/log.h"

/* DESIGN: evhttp in libevent 2.1 bounds the silence of a client, but neither the time a request
 * takes to arrive nor the number of connections, and tells of a new connection only by asking for
 * its bufferevent. So each bufferevent gets a record here, with a deadline. In the next turn of the
 * loop the record takes hold of evhttp's connection, which is the bufferevent's callback argument,
 * and from then on lives as long as that. */

static const struct timeval idle = {.tv_sec = HTTP_IDLE_S};

static void connection_free(struct connection *connection)
{
    struct http_server *server = connection->server;

    TAILQ_REMOVE(&server->connections, connection, link);
    server->connection_count--;
    loop_timer_free(connection->timer);
    if (!connection->evcon)
        bufferevent_decref(connection->bev);
    free(connection);
}

static void on_close(struct evhttp_connection *evcon, void *arg)
{
    struct connection *connection = arg;
    struct http_request *req = connection->req;

    (void)evcon;
    connection_free(connection);
    if (req)
        request_abandon(req);
}

static void take_hold(struct connection *connection, struct evhttp_connection *evcon)
{
    const int on = 1;

    connection->evcon = evcon;
    bufferevent_decref(connection->bev);
    evhttp_connection_set_closecb(evcon, on_close, connection);
    setsockopt(bufferevent_getfd(connection->bev), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    loop_timer_arm(connection->timer, HTTP_ARRIVE_MS);
}

bool connection_is_idle(const struct connection *connection)
{
    return connection->evcon && !connection->req && !connection->sending &&
           evbuffer_get_length(bufferevent_get_input(connection->bev)) == 0;
}

/* Too many: ends the one that idles longest, or this one. */
static void keep_to_limit(struct connection *connection)
{
    static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n";
    struct http_server *server = connection->server;
    struct connection *each;

    if (server->connection_count <= HTTP_CONNECTIONS_MAX)
        return;
    TAILQ_FOREACH_REVERSE(each, &server->connections, connections, link)
    {
        if (each != connection && connection_is_idle(each)) {
            evhttp_connection_free(each->evcon);
            return;
        }
    }
    if (!server->tls) {
        const ssize_t n = send(bufferevent_getfd(connection->bev), full, sizeof(full) - 1,
                               MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)n;
    }
    evhttp_connection_free(connection->evcon);
}

static void on_timer(void *arg)
{
    struct connection *connection = arg;
    void *evcon = NULL;

    if (connection->evcon) {
        evhttp_connection_free(connection->evcon);
        return;
    }
    bufferevent_getcb(connection->bev, NULL, NULL, NULL, &evcon);
    if (!evcon || evhttp_connection_get_bufferevent(evcon) != connection->bev) {
        connection_free(connection);
        return;
    }
    take_hold(connection, evcon);
    keep_to_limit(connection);
}

void connection_doom(struct connection *connection)
{
    loop_timer_arm(connection->timer, 0);
}

struct connection *connection_find(struct http_server *server, struct evhttp_connection *evcon)
{
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);
    struct connection *connection;

    TAILQ_FOREACH(connection, &server->connections, link)
    {
        if (connection->bev == bev)
            break;
    }
    if (!connection)
        return NULL;
    if (!connection->evcon)
        take_hold(connection, evcon);
    TAILQ_REMOVE(&server->connections, connection, link);
    TAILQ_INSERT_HEAD(&server->connections, connection, link);
    return connection;
}

static void on_written(struct evhttp_request *ev, void *arg)
{
    struct connection *connection = arg;

    (void)ev;
    connection->sending = false;
    bufferevent_setwatermark(connection->bev, EV_READ, 0, 0);
    bufferevent_set_timeouts(connection->bev, &idle, &idle);
    loop_timer_arm(connection->timer, HTTP_ARRIVE_MS);
}

void connection_busy(struct connection *connection, struct evhttp_request *ev)
{
    loop_timer_cancel(connection->timer);
    /* A client that waits for its answer may be silent; what it sends meanwhile is bounded. */
    bufferevent_set_timeouts(connection->bev, NULL, &idle);
    bufferevent_setwatermark(connection->bev, EV_READ, 0, HTTP_HEAD_MAX);
    bufferevent_data_cb written;
    bufferevent_event_cb happened;
    void *evcon;
    bufferevent_getcb(connection->bev, NULL, &written, &happened, &evcon);
    bufferevent_setcb(connection->bev, NULL, written, happened, evcon);
    evhttp_request_set_on_complete_cb(ev, on_written, connection);
}

struct bufferevent *connection_accept(struct event_base *base, void *arg)
{
    struct http_server *server = arg;
    struct bufferevent *bev;

    if (server->tls) {
        bev = bufferevent_openssl_socket_new(base, -1, SSL_new(server->tls),
                                             BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
        if (bev)
            bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    } else {
        bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    }
    if (!bev) {
        log_error("a connection cannot be taken: out of memory or descriptors");
        return NULL;
    }
    struct connection *connection = mem_alloc(sizeof(*connection));
    connection->server = server;
    connection->bev = bev;
    connection->timer = loop_timer_new(server->loop, on_timer, connection);
    bufferevent_incref(bev);
    TAILQ_INSERT_HEAD(&server->connections, connection, link);
    server->connection_count++;
    loop_timer_arm(connection->timer, 0);
    return bev;
}

void connections_release(struct http_server *server)
{
    while (!TAILQ_EMPTY(&server->connections))
        connection_free(TAILQ_FIRST(&server->connections));
}
