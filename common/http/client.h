/* An HTTP client on the loop: curl's multi interface. Redirects are not followed, only http and
 * https are spoken, answers are bounded. SMTP mail goes by a worker. */
#ifndef GANTRY_HTTP_CLIENT_H
#define GANTRY_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct http_client;
struct http_call;

struct http_client *http_client_new(struct loop *loop);
void http_client_free(
    struct http_client *client); /* calls under way are dropped without a callback */

/* How many connections there may be at once; 0: any number. 64 unless set; calls beyond wait. */
void http_client_connections(struct http_client *client, unsigned max);

struct http_response {
    int status;       /* 0: no answer, see err */
    const char *body; /* NUL-terminated; valid during the callback; "" of what went to a file */
    size_t len;       /* of the body */
    uint64_t saved;   /* bytes that were written to `download` */
    const char *(*header)(const struct http_response *response,
                          const char *name); /* NULL if absent */
    void *impl;
    struct err err; /* code ERR_NONE when there is an answer, whatever its status */
};
typedef void http_done_fn(const struct http_response *response, void *arg);

/* A part of a file. The descriptor stays the caller's, open until done, and its own position is
 * neither used nor changed. */
struct http_file {
    int fd;
    uint64_t offset, size; /* bytes */
};

struct http_call_opts {
    const char *method;         /* NULL: GET */
    const char *url;            /* sent as it is: no `..` is taken out of its path */
    const char *unix_socket;    /* connects there, whoever the URL names; NULL: over TCP */
    const char *const *headers; /* "Name: value", NULL-ended; may be NULL */
    const void *body;
    size_t body_len;
    const struct http_file
        *upload; /* instead of a body: these bytes of a file, never all in memory */
    /* Where a 2xx answer's body goes instead of memory, `size` bytes at most. What was written
     * stays after an error. Other answers are collected as ever. */
    const struct http_file *download;
    int64_t timeout_ms;  /* 0: 30 s for all of it; negative: none (streams) */
    int64_t stall_ms;    /* ends it as a time-out after that long without a byte; whole seconds; 0:
                            never */
    size_t limit;        /* of the answer's body; 0: 8 MiB */
    const char *ca_file; /* NULL: the system's */
    bool wipe;           /* the answer is secret: its memory is taken at once, and wiped after */
    /* A connection that both sides go on speaking on (the engine's attach): on_open() is called
     * once a 2xx answer has begun, and from then on http_call_send() gives what is sent, as it is.
     * With on_data; the call ends when the other side does. */
    void (*on_open)(void *arg);
    /* Called as the body arrives instead of collecting it (streams); return non-zero to end: done
     * follows with the status, and no error. http_call_cancel() is allowed in it. */
    int (*on_data)(const char *data, size_t len, void *arg);
};
/* All is copied. NULL and *err: it could not be begun. */
struct http_call *http_call(struct http_client *client, const struct http_call_opts *opts,
                            http_done_fn *done, void *arg, struct err *err);
void http_call_cancel(struct http_call *call); /* no callback follows */
/* After on_open(). ERR_LIMIT: more than 8 MiB of it were not sent yet. */
int http_call_send(struct http_call *call, const void *data, size_t len, struct err *err);
/* on_data() is called no more until false; what it was given last is not given again. */
void http_call_pause(struct http_call *call, bool pause);

struct smtp_opts {
    const char *url;             /* smtp://host:port or smtps://; STARTTLS by `tls` */
    const char *user, *password; /* NULL: none */
    int tls;                     /* 0 never, 1 when offered, 2 required */
    const char *ca_file;
    const char *from;
    const char *const *to; /* NULL-ended */
    const void *message;   /* RFC 5322, CRLF */
    size_t message_len;
    int64_t timeout_ms;
};
/* response->status: SMTP's, 250 is good; of a refusal `body` has the reason. Takes a worker thread
 * (loop_work()) for as long as it lasts. */
struct http_call *smtp_send(struct http_client *client, const struct smtp_opts *opts,
                            http_done_fn *done, void *arg, struct err *err);

#endif
