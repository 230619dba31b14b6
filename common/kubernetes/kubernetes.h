/* A client of the Kubernetes API (https://kubernetes.io/docs/reference/using-api/api-concepts/) on
 * the loop: single questions, the pods that have a label, a container's log. Loop thread only.
 *
 * A program in a pod finds the server, its authorities, its token and its namespace by itself; each
 * can be given instead. The token's file is read at each use: Kubernetes writes a new one before
 * the old one ends. */
#ifndef GANTRY_KUBERNETES_KUBERNETES_H
#define GANTRY_KUBERNETES_KUBERNETES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct json_t; /* jansson */
struct kubernetes;

struct kubernetes_conf {
    struct loop *loop;
    const char *server;      /* https://host:port; NULL: of the pod that this runs in */
    const char *ca_file;     /* PEM of the server's authorities */
    const char *token_file;  /* a bearer token */
    const char *namespace;   /* of all that is asked */
    const char *account_dir; /* what a pod finds of its service account; NULL: where it always is */
    unsigned tries;          /* of a question; 0: 6 */
};
/* ERR_INVALID: a setting is missing, and this runs in no pod; or it is wrong. Asks nothing. */
int kubernetes_new(struct kubernetes **out, const struct kubernetes_conf *conf, struct err *err);
/* What is under way ends without a callback. NULL is accepted. */
void kubernetes_free(struct kubernetes *kubernetes);
const char *kubernetes_namespace(const struct kubernetes *kubernetes);

/* A name, or a label's value, is made of letters, digits and dashes, dots between, 63 characters at
 * most: what DNS takes, RFC 1123 2.1, in lower case. */
bool kubernetes_is_name(const char *s);

/* ---- a question ---- */

struct kubernetes_call;

struct kubernetes_ask {
    const char *method;        /* NULL: GET */
    const char *path;          /* from /api on, with its query */
    const struct json_t *body; /* NULL: none */
    const char *what;          /* of errors: "make the Job 'x'" */
};
/* `json` is the answer's, valid during the call; NULL with an error:
 *   ERR_NOT_FOUND 404, ERR_DENIED 401 403, ERR_CONFLICT 409, ERR_INVALID what can never be taken,
 *   ERR_UNAVAILABLE, ERR_TIMEOUT after the last try. */
typedef void kubernetes_answered_fn(const struct json_t *json, const struct err *err, void *arg);
/* What has failed on the way, and what the server asks to try again (429 with Retry-After, 5xx), is
 * asked again; a POST only where it was surely not taken. Answers later, never from inside. */
struct kubernetes_call *kubernetes_ask(struct kubernetes *kubernetes,
                                       const struct kubernetes_ask *ask,
                                       kubernetes_answered_fn *answered, void *arg);
void kubernetes_cancel(struct kubernetes_call *call); /* no callback follows; NULL is accepted */

/* ---- pods ---- */

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };
enum pod_container { POD_NOT_THERE, POD_WAITING, POD_STARTED, POD_TERMINATED };

/* What is read of a pod; "" where it says nothing. */
struct pod {
    char name[254], uid[64];
    char job[254];
    enum pod_phase phase;
    char reason[64], message[512]; /* of its status: Evicted, DeadlineExceeded ... */
    char unschedulable[512];       /* why no node takes it */
    bool disrupted;                /* the cluster took it away, for no fault of its own */
    bool deleting;
    /* its first container */
    enum pod_container container;
    char container_reason[64], container_message[512]; /* ImagePullBackOff, OOMKilled ... */
    int exit_code;                                     /* POD_TERMINATED */
};
/* ERR_INVALID: it is none. */
int pod_read(struct pod *out, const struct json_t *json, struct err *err);

enum pod_fate {
    POD_GOES_ON, /* or nothing is known yet */
    POD_STUCK,   /* it waits for something that may come; `why` says for what */
    POD_SPOILT,  /* it can never become anything: the fault of who made it */
    POD_LOST     /* the cluster failed it; another one may do */
};
/* What is to be expected of it, with the reason as a sentence; "" with POD_GOES_ON. A container
 * that just ended with a code goes on: the code is its owner's to judge. */
enum pod_fate pod_fate(const struct pod *pod, char *why, size_t size);

struct kubernetes_watch;
struct kubernetes_watch_ops {
    void (*changed)(const struct pod *pod, void *arg); /* new, or otherwise than before */
    /* It is gone for good; `pod` as it was told last. */
    void (*gone)(const struct pod *pod, void *arg);
    void (*synced)(void *arg); /* all that there are were told, after a list; NULL is accepted */
    /* The server cannot be asked for now; it goes on trying. NULL is accepted. */
    void (*trouble)(const struct err *err, void *arg);
};
/* Tells of all pods with a label (`selector`: name=value,...) from now on, each as it is now first.
 * What happened while the connection was away is told as one change. */
struct kubernetes_watch *kubernetes_watch(struct kubernetes *kubernetes, const char *selector,
                                          const struct kubernetes_watch_ops *ops, void *arg);
void kubernetes_watch_free(struct kubernetes_watch *watch); /* NULL; not from inside of it */

/* ---- a container's log ---- */

struct kubernetes_log;
struct kubernetes_log_ops {
    /* False: no more until kubernetes_log_resume(). Nothing may be freed from inside. */
    bool (*output)(const char *data, size_t len, void *arg);
    /* After kubernetes_log_finish(): all was given. `err`: some may be missing; else NULL. It may
     * be freed from inside. */
    void (*ended)(const struct err *err, void *arg);
};
/* Follows the log of a container that has started. No line is lost or told twice when the
 * connection breaks: each has its time, by which it is found again. */
struct kubernetes_log *kubernetes_log_follow(struct kubernetes *kubernetes, const char *pod,
                                             const char *container,
                                             const struct kubernetes_log_ops *ops, void *arg);
void kubernetes_log_resume(struct kubernetes_log *log);
/* The container has ended: what is left is read, then ended(). */
void kubernetes_log_finish(struct kubernetes_log *log);
void kubernetes_log_free(struct kubernetes_log *log); /* NULL is accepted */

#endif
