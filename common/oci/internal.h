/* What the calls of this library share: questions to a registry, asked again where it is not well,
 * and with the login that it wants. */
#ifndef GANTRY_OCI_INTERNAL_H
#define GANTRY_OCI_INTERNAL_H

#include <sys/queue.h>

#include "http/client.h"
#include "oci/oci.h"

#define MANIFEST_MAX (4 * 1024 * 1024) /* what the specification asks registries to take */

#define MEDIA_INDEX    "application/vnd.oci.image.index.v1+json"
#define MEDIA_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER   "application/vnd.docker.distribution.manifest.v2+json"
#define ACCEPT_ALL     MEDIA_INDEX ", " MEDIA_MANIFEST ", " MEDIA_LIST ", " MEDIA_DOCKER

struct oci_client {
    struct loop *loop;
    struct http_client *http;
    struct strv insecure;
    char *ca_file;
    char *secrets_dir, *login;
    LIST_HEAD(, oci_call) calls;
};

/* An answer that the registry meant: whatever status but 401, 429 and 5xx. */
typedef void oci_answer_fn(struct oci_call *call, const struct http_response *response);

struct oci_question {
    const char *method;
    char *url;                         /* taken over */
    const char *accept, *content_type; /* may be NULL */
    const void *body;                  /* lives as long as the call */
    size_t body_len;
    size_t limit; /* of the answer; 0: 64 KiB */
    oci_answer_fn *done;
};

/* First member of what a call is. */
struct oci_call {
    LIST_ENTRY(oci_call) link;
    struct oci_client *client;
    struct oci_ref ref; /* for errors, and the repository */
    struct http_call *http;
    struct oci_question question; /* the one under way, for asking it again */
    struct loop_timer *pause;
    int tries;
    const char *actions; /* for which a token is asked: pull, or pull,push */
    char *authorization; /* the header; NULL: none was wanted yet */
    void (*failed)(struct oci_call *call, const struct err *err); /* tell; then oci_call_free() */
    void (*release)(struct oci_call *call);                       /* of its own parts */
};

/* `call` is zeroed memory of a larger structure, `failed` and `release` are set. */
void oci_call_begin(struct oci_call *call, struct oci_client *client, const struct oci_ref *ref,
                    const char *actions);
void oci_call_free(struct oci_call *call);
/* -1: it could not be asked. */
int oci_ask(struct oci_call *call, const struct oci_question *question, struct err *err);
/* The same from a callback: an error ends the call. */
void oci_ask_next(struct oci_call *call, const struct oci_question *question);
/* https://host/v2/repository/kind/what; the caller frees, or gives it to a question. */
char *oci_url(const struct oci_call *call, const char *kind, const char *what);
/* scheme://host of the registry; the caller frees. */
char *oci_origin(const struct oci_call *call);
/* Ends the call with what a status means. */
void oci_fail_status(struct oci_call *call, const char *what, int status);
void oci_fail(struct oci_call *call, enum err_code code, const char *why);

/* ---- login.c ---- */

/* The answer is a 401: true when it is asked again, with what the registry wants (Basic, or a
 * Bearer token of the server that it names), false when there is nothing to try. */
bool oci_log_in(struct oci_call *call, const struct http_response *response);
/* Asks again with what `authorization` is now. */
void oci_ask_again(struct oci_call *call);

/* A part of a challenge: realm="..."; the caller frees; NULL: it has none. RFC 9110, 11.6.1. */
char *oci_challenge_part(const char *challenge, const char *name);
/* The credentials for a host in the format of Docker's config.json, base64 of user:password; the
 * caller wipes and frees. NULL: none. */
char *oci_login_of(const char *config, size_t len, const char *host);

#endif
