/* What the client's files share: client.c (HTTP on the loop), duplex.c (connections that both sides
 * speak on), smtp.c (mail by a worker). */
#ifndef GANTRY_HTTP_CLIENT_INTERNAL_H
#define GANTRY_HTTP_CLIENT_INTERNAL_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "http/client.h"

struct http_call {
    LIST_ENTRY(http_call) link;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers; /* or an SMTP call's recipients */
    char *body;
    size_t body_len, body_at;
    struct http_file upload, download;
    uint64_t sent, saved; /* bytes of them */
    bool to_file;         /* download is set */
    struct err file_err;  /* reading or writing one went wrong */
    struct buf answer;
    char error[CURL_ERROR_SIZE];
    bool smtp;
    CURLcode mail_code;   /* of a mail, once the worker is done */
    long mail_status;     /* likewise */
    bool ended_by_reader; /* on_data wanted no more */
    atomic_bool cancelled;
    bool finished; /* done is on the stack */
    bool wipe;
    bool begin_waits; /* until curl is not on the stack */
    /* a connection that both sides speak on */
    void (*on_open)(void *arg);
    bool opened;        /* a 2xx answer has begun */
    struct buf sending; /* given and not sent yet */
    bool send_waits;    /* curl was told to wait for more */
    bool over;          /* the other side has ended */
    bool watched;       /* curl waits for its descriptor */
    bool paused;        /* by http_call_pause() */
    bool data_waits;    /* curl was told to keep what came */
    int (*on_data)(const char *data, size_t len, void *arg);
    http_done_fn *done;
    void *arg;
};

/* In the client's list; done() is told once, by http_call_end(). */
struct http_call *http_call_new(struct http_client *client, const char *url, const char *ca_file,
                                int64_t timeout_ms, size_t limit, http_done_fn *done, void *arg);
/* Tells done() unless it was cancelled, and frees the call. The loop's thread. */
void http_call_end(struct http_call *call, CURLcode code);
struct loop *http_client_loop(struct http_client *client);
/* Soon looks after calls that were cancelled, or wait for something. */
void http_client_sweep(struct http_client *client);

/* ---- duplex.c ---- */
void http_duplex_set(struct http_call *call, void (*on_open)(void *arg));
/* Whether curl looks for what comes. */
void http_duplex_watched(struct http_call *call, bool watched);
/* What it waited with and need not any more. */
void http_duplex_go_on(struct http_call *call);

#endif
