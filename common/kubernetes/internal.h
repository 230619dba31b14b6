/* Shared by the files of this library alone. */
#ifndef GANTRY_KUBERNETES_INTERNAL_H
#define GANTRY_KUBERNETES_INTERNAL_H

#include <jansson.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/str.h"
#include "http/client.h"
#include "kubernetes/kubernetes.h"

struct kubernetes {
    struct loop *loop;
    struct http_client *http;
    char *server, *ca_file, *token_file, *namespace;
    unsigned tries;
    LIST_HEAD(, kubernetes_call) calls;
};

/* ---- client.c ---- */
/* Headers of a request; the caller releases with kubernetes_headers_release(). */
int kubernetes_headers(const struct kubernetes *kubernetes, struct strv *out, struct err *err);
void kubernetes_headers_release(struct strv *headers);
/* How long until the try after `tries`: a random part of a time that doubles, within most_ms. */
int64_t kubernetes_pause_ms(unsigned tries, int64_t most_ms);

/* ---- ask.c ---- */
/* An answer that is no 2xx, in words of the Status that it has (meta/v1, Status). */
void kubernetes_refused(struct err *err, int status, const char *body, size_t len);

/* ---- log_lines.c ---- */
/* Where in a log one is: a line is known by its time and by its place among those of that time. */
struct log_position {
    int64_t at_s, at_ns; /* of the line; at_s 0: before all */
    uint64_t index;      /* of the line, among those of its time */
    uint64_t bytes;      /* of it that were given, its newline too */
};
/* A log with times before its lines, cut into pieces anyhow. */
struct log_lines {
    struct log_position given; /* to the reader */
    /* of the stream that is read */
    struct log_position line;
    char prefix[64];
    size_t prefix_len;
    enum { LINE_PREFIX, LINE_TEXT, LINE_SKIP } state;
    bool catching_up; /* to where the last stream ended */
    uint64_t skip;    /* bytes of this line that were given already */
};
void log_lines_begin(struct log_lines *lines); /* another stream, from the line given last on */
/* Gives what is new. False as soon as `output` said so; all is given nevertheless. */
bool log_lines_add(struct log_lines *lines, const char *data, size_t len,
                   bool (*output)(const char *data, size_t len, void *arg), void *arg);

#endif
