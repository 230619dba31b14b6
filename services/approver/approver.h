/* The approver: verifies who votes and that they may, and passes verified votes on; the promoter
 * counts them. Keeps the local tokens, which it alone writes to `access`. Any instance answers; all
 * of its state comes from the topics.
 *
 *   approver.c   wiring: topics, routes, who asks
 *   approvals.c  the approvals as `request.approval` tells them, and how they are listed
 *   voter.c      who may vote, as far as it is plain here
 *   votes.c      POST of a vote: check, produce, wait for what the promoter made of it
 *   tokens.c     making, listing and deleting local tokens */
#ifndef GANTRY_APPROVER_APPROVER_H
#define GANTRY_APPROVER_APPROVER_H

#include "auth/auth.h"
#include "base/map.h"
#include "svc/svc.h"

typedef struct Gantry__V1__ApprovalRequest Gantry__V1__ApprovalRequest;
typedef struct Gantry__V1__ReleaseEvent Gantry__V1__ReleaseEvent;

struct approvals;
struct votes;
struct tokens;

struct approver_conf {
    char *bootstrap_token; /* a secret's name, or NULL */
};

struct approver {
    struct svc *svc;
    struct approver_conf conf;
    struct bus_producer *producer;
    struct bus_follower *follower;
    struct metric *malformed;
    bool ready; /* approvals and tokens are read */
    struct auth *auth;
    struct approvals *approvals;
    struct votes *votes;
    struct tokens *tokens;
};

int approver_main(int argc, char **argv);

/* Who asks; answers 401 or 403, or 503 while the tokens are not read yet, itself and returns -1
 * where they may not. *out is released by the caller. */
int approver_person(struct approver *app, struct http_request *req, enum auth_role role,
                    struct auth_person *out);
/* 0 while Kafka can be reached; else answers 503 and returns -1. */
int approver_kafka_or_503(struct approver *app, struct http_request *req);

/* ---- approvals.c ---- */

struct approvals *approvals_new(void);
void approvals_free(struct approvals *approvals);
/* Takes the message over. Records not beyond the last of the same approval, and any after its
 * close, are dropped. */
void approvals_apply(struct approvals *approvals, Gantry__V1__ApprovalRequest *request);
/* By id, open or lately closed; NULL: not known. Valid until the next apply. */
const Gantry__V1__ApprovalRequest *approvals_get(const struct approvals *approvals, const char *id);
void approvals_routes(struct approver *app);

/* ---- voter.c ---- */

/* Why the person's vote is refused before it is stored, as they are not in `by`; NULL: it is not.
 */
const char *voter_refused(const Gantry__V1__ApprovalRequest *request,
                          const struct auth_person *person);
/* The same and all else that is plain here, in words for a listing: closed, the role, voted
 * already, author, starter. NULL: nothing is known against it. */
const char *voter_obstacle(const Gantry__V1__ApprovalRequest *request,
                           const struct auth_person *person);

/* ---- votes.c ---- */

struct votes *votes_new(struct approver *app);
void votes_free(struct votes *votes);
void votes_routes(struct approver *app);
/* An event whose cause may be a vote that somebody waits for. */
void votes_event(struct votes *votes, const Gantry__V1__ReleaseEvent *event);

/* ---- tokens.c ---- */

struct tokens *tokens_new(struct approver *app);
void tokens_free(struct tokens *tokens);
/* A record of `access`; `id` is its ce_id: whoever waits for it is answered. */
void tokens_apply(struct tokens *tokens, const char *id, const void *access);
void tokens_routes(struct approver *app);

#endif
