#include "hooks.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "catalog.h"
#include "deliveries.h"
#include "heads.h"
#include "log/log.h"
#include "push.h"
#include "remotes.h"
#include "report.h"
#include "secret/secret.h"
#include "signature.h"

#define BODY_MAX       (25u * 1024 * 1024)
#define DELIVERIES_MAX 10000
#define DELIVERY_ID    128
/* Forges give up after 10 s. */
#define ANSWER_MS     8000
#define RETRY_AFTER_S "10"

struct route {
    struct hooks *hooks;
    enum forge forge;
};

struct hooks {
    struct watcher *watcher;
    struct route github, gitlab, gitea;
    struct deliveries *deliveries;
    struct metric *accepted, *ignored, *refused, *unavailable, *seconds;
};

/* One webhook until it is answered. */
struct delivery {
    struct hooks *hooks;
    struct http_request *req; /* NULL: answered, or the sender went away */
    enum forge forge;
    int64_t began_us;
    char id[DELIVERY_ID + 8];
    struct strv globs; /* of repositories that its signature may speak for */
    struct push push;
    struct loop_timer *timer;
    unsigned waiting;  /* reports and rounds */
    unsigned matched;  /* sources that follow this ref */
    unsigned reported; /* at once */
    bool fanned_out;
    struct err err;
};

/* ---- answers ---- */

static void delivery_free(struct delivery *delivery)
{
    loop_timer_free(delivery->timer);
    strv_release(&delivery->globs);
    push_release(&delivery->push);
    free(delivery);
}

static void answered(struct delivery *delivery, struct metric *outcome)
{
    metric_add(outcome, 1);
    metric_observe(delivery->hooks->seconds, (double)(clock_mono_us() - delivery->began_us) / 1e6);
    delivery->req = NULL;
    if (delivery->waiting == 0)
        delivery_free(delivery);
}

static void answer_ignored(struct delivery *delivery, const char *why)
{
    http_reply_json(delivery->req, 200,
                    json_pack("{s:s, s:s}", "result", "ignored", "reason", why));
    answered(delivery, delivery->hooks->ignored);
}

static void answer_refused(struct delivery *delivery, int status, const struct err *err)
{
    log_warn("webhook refused", LOG_S("peer", http_req_peer(delivery->req)),
             LOG_I("status", status), LOG_E(err));
    http_reply_problem(delivery->req, status, NULL, err->msg);
    answered(delivery, delivery->hooks->refused);
}

static void answer_unavailable(struct delivery *delivery, const char *why)
{
    http_reply_header(delivery->req, "Retry-After", RETRY_AFTER_S);
    http_reply_problem(delivery->req, 503, NULL, why);
    answered(delivery, delivery->hooks->unavailable);
}

static void answer_done(struct delivery *delivery)
{
    if (delivery->err.code != ERR_NONE) {
        answer_unavailable(delivery, delivery->err.msg);
        return;
    }
    if (delivery->id[0])
        deliveries_add(delivery->hooks->deliveries, delivery->id);
    http_reply_json(delivery->req, 202,
                    json_pack("{s:s, s:i, s:i}", "result", "accepted", "sources",
                              (int)delivery->matched, "at_once", (int)delivery->reported));
    answered(delivery, delivery->hooks->accepted);
}

static void on_part_done(const struct err *err, void *arg)
{
    struct delivery *delivery = arg;

    delivery->waiting--;
    if (err && delivery->err.code == ERR_NONE)
        delivery->err = *err;
    if (delivery->waiting > 0 || !delivery->fanned_out)
        return;
    if (delivery->req)
        answer_done(delivery);
    else
        delivery_free(delivery);
}

static void on_too_late(void *arg)
{
    struct delivery *delivery = arg;

    if (!delivery->req)
        return;
    if (!bus_connected(delivery->hooks->watcher->svc->bus, NULL))
        answer_unavailable(delivery, "Kafka is away; the push is reported when it is back");
    else
        answer_unavailable(delivery, "the remote takes long to answer; it is asked until it does");
}

static void on_closed(void *arg)
{
    struct delivery *delivery = arg;

    delivery->req = NULL;
    if (delivery->waiting == 0)
        delivery_free(delivery);
}

/* ---- who may speak for which repository ---- */

static bool may_speak_for(const struct delivery *delivery, const char *identity)
{
    for (size_t i = 0; i < delivery->globs.count; i++) {
        if (str_glob(delivery->globs.items[i], identity))
            return true;
    }
    return false;
}

/* True when the secret signed it; *denied keeps why not. */
static bool signed_by(struct delivery *delivery, const struct signature_headers *headers,
                      const char *name, const char *body, size_t len, struct err *denied)
{
    const struct watcher *watcher = delivery->hooks->watcher;
    struct buf secret;
    struct err err;
    bool good = false;

    if (secret_read(&secret, watcher->svc->conf.secrets_dir, name, &err) != 0) {
        log_error("a webhook secret cannot be read", LOG_S("name", name), LOG_E(&err));
        return false;
    }
    if (secret.len == 0)
        log_error("a webhook secret is empty and signs nothing", LOG_S("name", name));
    else
        good = signature_check(delivery->forge, headers, body, len, secret.data, secret.len,
                               clock_now_ms() / 1000, denied) == 0;
    secret_release(&secret);
    return good;
}

static int check_signature(struct delivery *delivery, const char *body, size_t len, struct err *err)
{
    const struct watcher_conf *conf = delivery->hooks->watcher->conf;
    const struct http_request *req = delivery->req;
    const struct signature_headers headers = {
        .github = http_req_header(req, "X-Hub-Signature-256"),
        .gitea = http_req_header(req, "X-Gitea-Signature"),
        .gitlab = http_req_header(req, "X-Gitlab-Token"),
        .webhook_id = http_req_header(req, "webhook-id"),
        .webhook_time = http_req_header(req, "webhook-timestamp"),
        .webhook_signature = http_req_header(req, "webhook-signature"),
    };

    err_set(err, ERR_DENIED,
            "no secret is set for webhooks: name one as source-watcher.webhook-secret");
    for (size_t i = 0; i < conf->webhook_secret.count; i++) {
        if (signed_by(delivery, &headers, conf->webhook_secret.items[i], body, len, err))
            strv_add(&delivery->globs, "**");
    }
    for (size_t i = 0; i < conf->webhook_secrets.count; i++) {
        const struct conf_pair *pair = &conf->webhook_secrets.pairs[i];
        for (size_t j = 0; j < pair->values.count; j++) {
            if (signed_by(delivery, &headers, pair->values.items[j], body, len, err))
                strv_add(&delivery->globs, pair->key);
        }
    }
    return delivery->globs.count > 0 ? 0 : -1;
}

/* ---- fanning out ---- */

struct fan_out {
    struct delivery *delivery;
    bool known_here; /* Kafka is there and all is read: what is known is known */
};

static bool report_at_once(struct delivery *delivery, const struct watched *watched,
                           struct head *head)
{
    const struct push *push = &delivery->push;
    const struct change change = {
        .pipeline = watched->pipeline,
        .source = watched->source->name,
        .git = watched->source->git,
        .ref = push->ref,
        .after = push->after,
        .message = push->subject,
        .pusher = push->pusher,
        .people = &push->people,
        .people_complete = true,
        .paths = watched_filters_paths(watched) ? &push->paths : NULL,
        .paths_complete = watched_filters_paths(watched) && push->paths_complete,
        .skip = message_says_skip(push->message),
        .by_webhook = true,
    };
    struct err err;

    delivery->waiting++;
    if (report_change(delivery->hooks->watcher->reporter, head, &change, on_part_done, delivery,
                      &err) == 0) {
        delivery->reported++;
        return true;
    }
    delivery->waiting--;
    if (delivery->err.code == ERR_NONE)
        delivery->err = err;
    return false;
}

/* True when the remote has to be asked for this source. */
static bool take_source(struct fan_out *out, const struct watched *watched, bool exact)
{
    struct delivery *delivery = out->delivery;
    const struct push *push = &delivery->push;

    if (!def_source_matches(watched->source, push->ref))
        return false;
    delivery->matched++;
    struct head *head = heads_get(delivery->hooks->watcher->heads, watched->pipeline,
                                  watched->source->name, push->ref);
    if (!out->known_here)
        return true;
    if (str_eq(head->tip.commit, push->after))
        return head->in_flight > 0;
    if (!exact || !push->people_complete || !str_eq(head->tip.commit, push->before))
        return true;
    if (push->before[0] && watched_filters_paths(watched) && !push->paths_complete)
        return true;
    return !report_at_once(delivery, watched, head);
}

static void on_match(struct remote *remote, bool exact, void *arg)
{
    struct fan_out *out = arg;
    struct delivery *delivery = out->delivery;
    bool ask = false;

    if (!may_speak_for(delivery, remote->identity))
        return;
    for (size_t i = 0; i < remote->member_count; i++)
        ask = take_source(out, remote->members[i], exact) || ask;
    if (!ask)
        return;
    delivery->waiting++;
    remote_hint(remote, &delivery->push, on_part_done, delivery);
}

static void fan_out(struct delivery *delivery)
{
    struct hooks *hooks = delivery->hooks;
    struct watcher *watcher = hooks->watcher;
    const bool connected = bus_connected(watcher->svc->bus, NULL);
    struct fan_out out = {.delivery = delivery, .known_here = connected && watcher->caught_up};

    remotes_match(watcher->remotes, &delivery->push.identities, on_match, &out);
    delivery->fanned_out = true;
    if (!connected)
        answer_unavailable(delivery, "Kafka is away: try again");
    else if (!watcher->caught_up)
        answer_unavailable(delivery, "the known heads are still being read: try again");
    else if (delivery->matched == 0)
        answer_ignored(delivery, "no pipeline follows this ref of this repository");
    else if (delivery->waiting == 0)
        answer_done(delivery);
    else
        loop_timer_arm(delivery->timer, ANSWER_MS);
}

/* ---- one request ---- */

static const char *first_header(const struct http_request *req, const char *const *names)
{
    for (; *names; names++) {
        const char *value = http_req_header(req, *names);
        if (value)
            return value;
    }
    return NULL;
}

static const char *event_of(const struct http_request *req, enum forge forge)
{
    static const char *const gitea[] = {"X-Gitea-Event", "X-Forgejo-Event", NULL};

    if (forge == FORGE_GITEA)
        return first_header(req, gitea);
    return http_req_header(req, forge == FORGE_GITHUB ? "X-GitHub-Event" : "X-Gitlab-Event");
}

struct event_name {
    const char *name;
    enum push_kind kind;
};

/* What the event is of; 0: nothing of interest. */
static enum push_kind kind_of(enum forge forge, const char *event, const char *body, size_t len)
{
    static const struct event_name github[] = {
        {"push", PUSH_REF}, {"pull_request", PUSH_PULL_REQUEST}, {NULL, 0}};
    static const struct event_name gitlab[] = {{"Push Hook", PUSH_REF},
                                               {"Tag Push Hook", PUSH_REF},
                                               {"Merge Request Hook", PUSH_PULL_REQUEST},
                                               {NULL, 0}};
    /* A system hook says in its body alone what it is. */
    static const struct event_name system[] = {
        {"\"object_kind\":\"push\"", PUSH_REF},
        {"\"object_kind\":\"tag_push\"", PUSH_REF},
        {"\"object_kind\":\"merge_request\"", PUSH_PULL_REQUEST},
        {NULL, 0}};
    const bool in_body = forge == FORGE_GITLAB && str_eq(event, "System Hook");
    const struct event_name *names = in_body ? system : forge == FORGE_GITLAB ? gitlab : github;

    for (; names->name; names++) {
        if (in_body ? memmem(body, len, names->name, strlen(names->name)) != NULL
                    : str_eq(event, names->name))
            return names->kind;
    }
    return 0;
}

static void delivery_id(struct delivery *delivery)
{
    static const char *const names[] = {"X-Gitea-Delivery", "X-GitHub-Delivery", "Idempotency-Key",
                                        "X-Gitlab-Webhook-UUID", NULL};
    static const char *const gitlab[] = {"Idempotency-Key", "X-Gitlab-Event-UUID", NULL};
    const char *id = first_header(delivery->req, delivery->forge == FORGE_GITLAB ? gitlab : names);

    if (!str_empty(id) && strlen(id) <= DELIVERY_ID)
        snprintf(delivery->id, sizeof(delivery->id), "%d:%s", (int)delivery->forge, id);
}

static void take_push(struct delivery *delivery, enum push_kind kind, const char *json, size_t len)
{
    const struct push *push = &delivery->push;
    struct err err;

    if (push_parse(&delivery->push, delivery->forge, kind, json, len, &err) != 0) {
        err_wrap(&err, "the payload cannot be used");
        answer_refused(delivery, 400, &err);
    } else if (push->nothing) {
        answer_ignored(delivery, push->nothing);
    } else if (delivery->id[0] && deliveries_has(delivery->hooks->deliveries, delivery->id)) {
        answer_ignored(delivery, "this delivery was dealt with before");
    } else {
        fan_out(delivery);
    }
}

static void take_signed(struct delivery *delivery, const char *body, size_t len)
{
    const char *type = http_req_header(delivery->req, "Content-Type");
    const char *event = event_of(delivery->req, delivery->forge);
    struct err err;

    if (!event) {
        err_set(&err, ERR_INVALID, "the header that names the event is missing");
        answer_refused(delivery, 400, &err);
        return;
    }
    if (str_eq(event, "ping")) {
        answer_ignored(delivery, "pong");
        return;
    }
    const enum push_kind kind = kind_of(delivery->forge, event, body, len);
    if (!kind) {
        answer_ignored(delivery, "only pushes and pull requests are of interest");
        return;
    }
    if (type && strncasecmp(type, "application/json", 16) == 0) {
        take_push(delivery, kind, body, len);
        return;
    }
    if (!type || strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0) {
        err_set(&err, ERR_INVALID,
                "the content type is neither application/json nor "
                "application/x-www-form-urlencoded");
        answer_refused(delivery, 415, &err);
        return;
    }
    size_t json_len;
    char *json = push_form_payload(body, len, &json_len);
    if (json) {
        take_push(delivery, kind, json, json_len);
    } else {
        err_set(&err, ERR_INVALID, "the form has no field 'payload'");
        answer_refused(delivery, 400, &err);
    }
    free(json);
}

static void on_hook(struct http_request *req, void *arg)
{
    const struct route *route = arg;
    struct delivery *delivery = mem_alloc(sizeof(*delivery));
    struct err err;
    size_t len;
    const char *body = http_req_body(req, &len);

    delivery->hooks = route->hooks;
    delivery->req = req;
    delivery->began_us = clock_mono_us();
    delivery->timer = loop_timer_new(route->hooks->watcher->svc->loop, on_too_late, delivery);
    delivery->forge = route->forge;
    /* Gitea signs as GitHub does too, in GitHub's header: its own says which of them it is. */
    if (route->forge != FORGE_GITLAB && http_req_header(req, "X-Gitea-Signature"))
        delivery->forge = FORGE_GITEA;
    http_req_on_close(req, on_closed, delivery);
    delivery_id(delivery);
    if (check_signature(delivery, body, len, &err) != 0)
        answer_refused(delivery, 401, &err);
    else
        take_signed(delivery, body, len);
}

struct hooks *hooks_new(struct watcher *watcher)
{
    static const char name[] = "gantry_source_webhooks_total";
    static const char help[] = "Webhooks by how they were answered.";
    struct hooks *hooks = mem_alloc(sizeof(*hooks));
    struct metrics *m = watcher->svc->metrics;
    struct http_server *http = watcher->svc->http;

    hooks->watcher = watcher;
    hooks->github = (struct route){hooks, FORGE_GITHUB};
    hooks->gitlab = (struct route){hooks, FORGE_GITLAB};
    hooks->gitea = (struct route){hooks, FORGE_GITEA};
    hooks->deliveries = deliveries_new(DELIVERIES_MAX);
    hooks->accepted = metrics_counter(m, name, "outcome=\"accepted\"", help);
    hooks->ignored = metrics_counter(m, name, "outcome=\"ignored\"", help);
    hooks->refused = metrics_counter(m, name, "outcome=\"refused\"", help);
    hooks->unavailable = metrics_counter(m, name, "outcome=\"unavailable\"", help);
    hooks->seconds = metrics_histogram(m, "gantry_source_webhook_seconds", NULL,
                                       "From a webhook's arrival to its answer.");
    http_route(http, "POST", "/hooks/github", BODY_MAX, on_hook, &hooks->github);
    http_route(http, "POST", "/hooks/gitlab", BODY_MAX, on_hook, &hooks->gitlab);
    http_route(http, "POST", "/hooks/gitea", BODY_MAX, on_hook, &hooks->gitea);
    return hooks;
}

void hooks_free(struct hooks *hooks)
{
    if (!hooks)
        return;
    deliveries_free(hooks->deliveries);
    free(hooks);
}
