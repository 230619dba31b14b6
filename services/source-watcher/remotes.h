/* The remotes that sources name: each (URL, credentials) is asked once for all of its pipelines, at
 * most git-processes at a time, backing off while it fails. */
#ifndef GANTRY_SOURCE_WATCHER_REMOTES_H
#define GANTRY_SOURCE_WATCHER_REMOTES_H

#include "catalog.h"
#include "git/git.h"
#include "push.h"
#include "watcher.h"

struct round;

/* A push that a webhook told of, until the remote was asked. */
struct hint {
    struct hint *next;
    char ref[256];
    char after[65];
    char pusher[128];
    void (*done)(const struct err *err, void *arg); /* NULL: nobody waits */
    void *arg;
};

/* A branch that went back or was rewritten, as the remote said; believed when it says so twice. */
struct suspect {
    char ref[256];
    char after[65];
};

struct remote {
    struct remotes *remotes;
    char *url;
    char *credentials; /* a secret's name or NULL */
    char *identity;    /* git_url_identity() */
    struct watched **members;
    size_t member_count;
    struct git_mirror *mirror;
    struct hint *hints; /* that wait for a round */
    struct hint *asked; /* that the round under way is for */
    bool hinted;        /* somebody was told of a push since a round last succeeded */
    struct suspect *suspects;
    size_t suspect_count;
    struct round *round;       /* under way */
    int64_t due_ms;            /* monotonic; INT64_MAX: never */
    int64_t ended_ms;          /* of the last round */
    unsigned failures;         /* in a row */
    char failure[ERR_MSG_MAX]; /* the last one's reason */
    bool again;                /* something moved while it was asked */
};

struct remotes *remotes_new(struct watcher *watcher);
void remotes_free(struct remotes *remotes);
/* No new rounds; `done` once those under way ended. */
void remotes_stop(struct remotes *remotes, void (*done)(void *arg), void *arg);
void remotes_attach(struct remotes *remotes, struct watched *watched);
void remotes_detach(struct remotes *remotes, struct watched *watched);
/* Looks again at what is due: a partition came or went, what is known was read. */
void remotes_plan(struct remotes *remotes);

/* For each remote whose URL has one of the identities. `exact` is false where only the case of
 * letters differs. */
void remotes_match(struct remotes *remotes, const struct strv *identities,
                   void (*fn)(struct remote *remote, bool exact, void *arg), void *arg);
/* Asks the remote soon, whoever owns its pipelines; `done` is called once with the outcome of a
 * round that began after. */
void remote_hint(struct remote *remote, const struct push *push,
                 void (*done)(const struct err *err, void *arg), void *arg);
/* No call for `arg` follows. */
void remotes_forget(struct remotes *remotes, const void *arg);

/* round.c: asks once and reports what moved; ends with remote_round_ended(), later. */
void round_begin(struct remote *remote);
void remote_round_ended(struct remote *remote, const struct err *err);
struct watcher *remote_watcher(const struct remote *remote);
/* Fills *out but for the secret; `secret` is initialised and filled, to be released after. */
int remote_fill(const struct remote *remote, struct git_remote *out, struct buf *secret,
                struct err *err);
/* To be asked about again soon. */
void remote_suspect(struct remote *remote, const char *ref, const char *after);

#endif
