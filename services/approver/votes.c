#include <jansson.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "log/log.h"
#include "services/approver/approver.h"

#define BODY_MAX          (64 * 1024)
#define COMMENT_CHARS_MAX 2000
#define KEY_MAX           255
#define WAIT_MS           5000
#define WAITING_MAX       1000
#define OUTCOMES_MAX      1000

/* A vote whose caller waits for what the promoter makes of it. */
struct waiter {
    struct votes *votes;
    struct http_request *req; /* NULL: the caller went away, or was answered */
    struct loop_timer *timer;
    char ce_id[ID_SIZE];
    char approval_id[64];
    bool acknowledged;
    bool in_flight; /* the producer still holds us as its argument */
};

/* What the promoter made of a vote, kept for a caller who sends it again. */
struct outcome {
    char ce_id[ID_SIZE];
    char *refused; /* NULL: it counted */
    char approval_id[64];
};

struct votes {
    struct approver *app;
    struct map *waiting;  /* ce_id -> struct waiter, owned */
    struct map *outcomes; /* ce_id -> struct outcome, not owned */
    struct outcome ring[OUTCOMES_MAX];
    size_t ring_next;
};

static void waiter_free(void *value)
{
    struct waiter *waiter = value;

    loop_timer_free(waiter->timer);
    free(waiter);
}

struct votes *votes_new(struct approver *app)
{
    struct votes *votes = mem_alloc(sizeof *votes);

    votes->app = app;
    votes->waiting = map_new(waiter_free);
    votes->outcomes = map_new(NULL);
    return votes;
}

void votes_free(struct votes *votes)
{
    if (!votes)
        return;
    map_free(votes->waiting);
    map_free(votes->outcomes);
    for (size_t i = 0; i < OUTCOMES_MAX; i++)
        free(votes->ring[i].refused);
    free(votes);
}

static void remember(struct votes *votes, const char *ce_id, const char *approval_id,
                     const char *refused)
{
    struct outcome *slot = &votes->ring[votes->ring_next];

    if (map_get(votes->outcomes, ce_id))
        return;
    votes->ring_next = (votes->ring_next + 1) % OUTCOMES_MAX;
    if (*slot->ce_id)
        map_del(votes->outcomes, slot->ce_id);
    free(slot->refused);
    snprintf(slot->ce_id, sizeof slot->ce_id, "%s", ce_id);
    snprintf(slot->approval_id, sizeof slot->approval_id, "%s", approval_id);
    slot->refused = refused ? mem_strdup(refused) : NULL;
    map_set(votes->outcomes, slot->ce_id, slot);
}

/* Frees it once neither the caller nor the producer needs it. */
static void answered(struct waiter *waiter)
{
    waiter->req = NULL;
    loop_timer_cancel(waiter->timer);
    if (!waiter->in_flight)
        map_del(waiter->votes->waiting, waiter->ce_id);
}

static void on_close(void *arg)
{
    answered(arg);
}

static void on_timeout(void *arg)
{
    struct waiter *waiter = arg;
    char location[128];

    if (!waiter->req)
        return;
    if (!waiter->acknowledged) {
        http_reply_header(waiter->req, "Retry-After", "5");
        http_reply_problem(
            waiter->req, 503, NULL,
            "Kafka has not acknowledged the vote; send it again with the same Idempotency-Key");
    } else {
        snprintf(location, sizeof location, "/api/v1/approvals/%s", waiter->approval_id);
        http_reply_header(waiter->req, "Location", location);
        http_reply_json(waiter->req, 202,
                        json_pack("{s:s, s:s}", "status", "stored", "detail",
                                  "the vote is stored and not counted yet; look again soon"));
    }
    answered(waiter);
}

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct waiter *waiter = arg;

    waiter->in_flight = false;
    waiter->acknowledged = ack->ok;
    if (!ack->ok && waiter->req) {
        http_reply_header(waiter->req, "Retry-After", "5");
        http_reply_problem(
            waiter->req, 503, NULL,
            "Kafka did not take the vote; send it again with the same Idempotency-Key");
    }
    if (!ack->ok)
        log_error("vote not stored", LOG_S("approval", waiter->approval_id), LOG_E(&ack->err));
    if (!ack->ok || !waiter->req)
        answered(waiter);
}

static void reply_counted(struct http_request *req, const Gantry__V1__ApprovalRequest *approval)
{
    http_reply_json(req, 200,
                    json_pack("{s:s, s:o*}", "status", "counted", "approval",
                              approval ? event_to_json(approval) : NULL));
}

static void reply_refused(struct http_request *req, const char *reason)
{
    http_reply_problem(req, 409, "Vote refused", reason);
}

void votes_event(struct votes *votes, const Gantry__V1__ReleaseEvent *event)
{
    bool counted = event->fact_case == GANTRY__V1__RELEASE_EVENT__FACT_VOTE_COUNTED;
    struct waiter *waiter = map_get(votes->waiting, event->cause_id);

    if (!counted && event->fact_case != GANTRY__V1__RELEASE_EVENT__FACT_VOTE_REFUSED)
        return;
    if (counted)
        remember(votes, event->cause_id, event->vote_counted->approval->approval_id, NULL);
    else
        remember(votes, event->cause_id, event->vote_refused->vote->approval_id,
                 event->vote_refused->reason);
    if (!waiter || !waiter->req)
        return;
    if (counted)
        reply_counted(waiter->req, event->vote_counted->approval);
    else
        reply_refused(waiter->req, event->vote_refused->reason);
    answered(waiter);
}

/* What the body says, checked. Strings point into *body. */
struct ballot {
    Gantry__V1__Verdict verdict;
    const char *digest;
    const char *comment;
};

static const char *comment_problem(const char *comment)
{
    size_t chars = 0;

    for (const char *c = comment; *c; c++) {
        unsigned char byte = (unsigned char)*c;

        if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f)
            return "the comment holds a control character";
        chars += (byte & 0xc0) != 0x80;
    }
    return chars > COMMENT_CHARS_MAX ? "the comment is longer than 2,000 characters" : NULL;
}

static int read_ballot(struct http_request *req, json_t *body, struct ballot *out)
{
    const char *verdict = json_string_value(json_object_get(body, "verdict"));
    const json_t *comment = json_object_get(body, "comment");
    const char *problem = NULL;

    out->digest = json_string_value(json_object_get(body, "digest"));
    out->comment = comment ? json_string_value(comment) : "";
    if (str_eq(verdict, "approve"))
        out->verdict = GANTRY__V1__VERDICT__VERDICT_APPROVE;
    else if (str_eq(verdict, "reject"))
        out->verdict = GANTRY__V1__VERDICT__VERDICT_REJECT;
    else
        problem = "`verdict` must be \"approve\" or \"reject\"";
    if (!problem && str_empty(out->digest))
        problem =
            "`digest` must be the one that you saw in the approval; a vote counts for that alone";
    if (!problem && !out->comment)
        problem = "`comment` must be a string";
    if (!problem)
        problem = comment_problem(out->comment);
    if (!problem)
        return 0;
    http_reply_problem(req, 400, NULL, problem);
    return -1;
}

static int produce_vote(struct votes *votes, struct waiter *waiter,
                        const Gantry__V1__ApprovalRequest *request, const struct ballot *ballot,
                        struct auth_person *person, struct err *err)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Vote vote = GANTRY__V1__VOTE__INIT;
    Gantry__V1__Actor voter = GANTRY__V1__ACTOR__INIT;
    struct event_meta meta = {0};

    voter.subject = person->subject;
    voter.name = person->name;
    voter.email = person->email;
    voter.groups = person->groups.items;
    voter.n_groups = person->groups.count;
    vote.approval_id = request->approval_id;
    vote.verdict = ballot->verdict;
    vote.digest = (char *)ballot->digest;
    vote.comment = (char *)ballot->comment;
    vote.voter = &voter;
    vote.cast_ms = clock_now_ms();
    result.pipeline = request->pipeline;
    result.executor = votes->app->svc->conf.instance_id;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_VOTE;
    result.vote = &vote;
    snprintf(meta.id, sizeof meta.id, "%s", waiter->ce_id);
    snprintf(meta.subject, sizeof meta.subject, "%s/%llu", request->pipeline,
             (unsigned long long)request->release);
    return bus_produce(votes->app->producer, TOPIC_RESULT_APPROVAL, &meta, &result, on_ack, waiter,
                       err);
}

/* The same vote sent again: answered with what became of it, or waiting for that. */
static bool answer_again(struct votes *votes, struct http_request *req, const char *ce_id,
                         const char *approval_id)
{
    const struct outcome *outcome = map_get(votes->outcomes, ce_id);
    struct waiter *waiter = map_get(votes->waiting, ce_id);

    if (!outcome && !waiter)
        return false;
    if (!str_eq(outcome ? outcome->approval_id : waiter->approval_id, approval_id)) {
        http_reply_problem(req, 409, NULL, "this Idempotency-Key was used for another approval");
    } else if (outcome && outcome->refused) {
        reply_refused(req, outcome->refused);
    } else if (outcome) {
        reply_counted(req, approvals_get(votes->app->approvals, approval_id));
    } else if (waiter->req) {
        http_reply_problem(req, 409, NULL,
                           "the same vote (its Idempotency-Key) is being counted right now");
    } else {
        waiter->req = req;
        http_req_on_close(req, on_close, waiter);
        loop_timer_arm(waiter->timer, WAIT_MS);
    }
    return true;
}

static void cast(struct votes *votes, struct http_request *req, const char *ce_id,
                 const Gantry__V1__ApprovalRequest *request, const struct ballot *ballot,
                 struct auth_person *person)
{
    struct waiter *waiter = mem_alloc(sizeof *waiter);
    struct err err;

    snprintf(waiter->ce_id, sizeof waiter->ce_id, "%s", ce_id);
    snprintf(waiter->approval_id, sizeof waiter->approval_id, "%s", request->approval_id);
    waiter->votes = votes;
    waiter->req = req;
    waiter->in_flight = true;
    waiter->timer = loop_timer_new(votes->app->svc->loop, on_timeout, waiter);
    if (produce_vote(votes, waiter, request, ballot, person, &err) < 0) {
        if (err.code == ERR_LIMIT)
            err.code = ERR_UNAVAILABLE; /* the queue is full, not the request too large */
        http_reply_err(req, &err);
        waiter_free(waiter);
        return;
    }
    map_set(votes->waiting, waiter->ce_id, waiter);
    http_req_on_close(req, on_close, waiter);
    loop_timer_arm(waiter->timer, WAIT_MS);
}

/* Answers where the vote can be told from its own earlier copy, or cannot be cast. */
static void vote(struct approver *app, struct http_request *req, const struct ballot *ballot,
                 struct auth_person *person)
{
    const char *key = http_req_header(req, "Idempotency-Key"), *refusal;
    const Gantry__V1__ApprovalRequest *request =
        approvals_get(app->approvals, http_req_param(req, "id"));
    char random[ID_SIZE], ce_id[ID_SIZE];

    if (key && strlen(key) > KEY_MAX) {
        http_reply_problem(req, 400, NULL, "Idempotency-Key is longer than 255 bytes");
        return;
    }
    id_random(random);
    event_id_vote(ce_id, person->subject, str_empty(key) ? random : key);
    if (!request)
        http_reply_problem(req, 404, NULL,
                           "no such approval; GET /api/v1/approvals lists those that are open");
    else if (answer_again(app->votes, req, ce_id, request->approval_id))
        return;
    else if (request->verb == GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED)
        http_reply_problem(req, 409, NULL,
                           str_empty(request->reason) ? "the approval is closed" : request->reason);
    else if ((refusal = voter_refused(request, person)))
        http_reply_problem(req, 403, NULL, refusal);
    else if (map_count(app->votes->waiting) >= WAITING_MAX) {
        http_reply_header(req, "Retry-After", "5");
        http_reply_problem(req, 503, NULL, "too many votes wait to be counted; try again soon");
    } else if (approver_kafka_or_503(app, req) == 0)
        cast(app->votes, req, ce_id, request, ballot, person);
}

static void post(struct http_request *req, void *arg)
{
    struct approver *app = arg;
    struct auth_person person;
    struct ballot ballot;
    json_t *body = NULL;

    if (approver_person(app, req, AUTH_APPROVER, &person) < 0)
        return;
    if (http_req_json(req, &body) == 0 && read_ballot(req, body, &ballot) == 0)
        vote(app, req, &ballot, &person);
    json_decref(body);
    auth_person_release(&person);
}

void votes_routes(struct approver *app)
{
    http_route(app->svc->http, "POST", "/api/v1/approvals/{id}/votes", BODY_MAX, post, app);
}
