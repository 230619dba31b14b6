#include "services/approver/approver.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gantry/v1/access.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "log/log.h"
#include "secret/secret.h"

static const struct conf_item items[] = {
    {"bootstrap-token", CONF_STR, offsetof(struct approver_conf, bootstrap_token), NULL,
     "name of a secret that holds a first admin's token; it has every role", 0},
    {0},
};

int approver_person(struct approver *app, struct http_request *req, enum auth_role role,
                    struct auth_person *out)
{
    struct err err;

    if (!app->ready) {
        http_reply_header(req, "Retry-After", "1");
        http_reply_problem(req, 503, NULL, "approvals and tokens are being read; try again soon");
        return -1;
    }
    if (auth_check(app->auth, http_req_header(req, "Authorization"), clock_now_ms(), out, &err) <
        0) {
        http_reply_header(req, "WWW-Authenticate", "Bearer");
        http_reply_problem(req, 401, NULL, err.msg);
        return -1;
    }
    if (!auth_may(out, role)) {
        http_reply_problem(req, 403, NULL,
                           role == AUTH_ADMIN      ? "this needs the role admin"
                           : role == AUTH_APPROVER ? "this needs the role approver"
                                                   : "this needs the role viewer");
        auth_person_release(out);
        return -1;
    }
    return 0;
}

int approver_kafka_or_503(struct approver *app, struct http_request *req)
{
    char reason[256];

    if (bus_connected(app->svc->bus, reason))
        return 0;
    http_reply_header(req, "Retry-After", "5");
    http_reply_problem(req, 503, NULL,
                       "Kafka cannot be reached, so nothing was stored; try again soon");
    return -1;
}

/* What is bad is counted at each start, but put aside only once: when it comes. The notifier, which
 * reads `event` as a group, does so for that. */
static void put_aside(struct approver *app, const struct bus_record *record, const char *reason)
{
    struct err err;

    metric_add(app->malformed, 1);
    if (record->topic == TOPIC_EVENT || !app->ready)
        return;
    if (bus_deadletter(app->producer, record, reason, NULL, NULL, &err) < 0)
        log_error("record could not be put into deadletter", LOG_E(&err));
}

static const char *id_of(const struct bus_record *record, struct event_meta *meta)
{
    struct err err;

    return event_read_headers(meta, record->headers, record->header_count, &err) < 0 ? ""
                                                                                     : meta->id;
}

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct approver *app = arg;
    struct event_meta meta;
    struct err err;
    void *message;

    (void)follower;
    if (!record->value)
        return;
    if (event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0) {
        put_aside(app, record, err.msg);
        return;
    }
    switch (record->topic) {
    case TOPIC_REQUEST_APPROVAL:
        approvals_apply(app->approvals, message);
        return;
    case TOPIC_ACCESS:
        auth_apply(app->auth, message);
        tokens_apply(app->tokens, id_of(record, &meta), message);
        break;
    case TOPIC_EVENT:
        votes_event(app->votes, message);
        break;
    default:
        break;
    }
    event_free(message);
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg)
{
    struct approver *app = arg;

    (void)topic;
    (void)partition;
    (void)end_offset;
    if (app->ready || !bus_follower_caught_up(follower))
        return;
    app->ready = true;
    svc_ready(app->svc, "state", true, "");
}

static int add_bootstrap(struct approver *app, struct err *err)
{
    struct buf value;

    if (!app->conf.bootstrap_token || !*app->conf.bootstrap_token)
        return 0;
    if (secret_read(&value, app->svc->conf.secrets_dir, app->conf.bootstrap_token, err) < 0)
        return err_wrap(err, "approver.bootstrap-token");
    auth_add_bootstrap(app->auth, buf_cstr(&value), "bootstrap");
    secret_release(&value);
    return 0;
}

static int64_t from_end(enum topic topic, int32_t partition, void *arg)
{
    (void)topic;
    (void)partition;
    (void)arg;
    return BUS_END;
}

static int follow(struct approver *app, struct err *err)
{
    const struct bus_follower_handler handler = {
        .on_record = on_record, .on_end = on_end, .arg = app};
    int32_t partitions = (int32_t)app->svc->conf.partitions;

    if (bus_follower_new(&app->follower, app->svc->bus, &handler, err) < 0 ||
        bus_follower_add_all(app->follower, TOPIC_ACCESS, partitions, NULL, NULL, err) < 0 ||
        bus_follower_add_all(app->follower, TOPIC_REQUEST_APPROVAL, partitions, NULL, NULL, err) <
            0)
        return -1;
    return bus_follower_add_all(app->follower, TOPIC_EVENT, partitions, from_end, NULL, err);
}

static int start(struct svc *svc, struct err *err)
{
    const struct bus_producer_conf producer_conf = {0};
    struct approver *app = svc->app;

    app->svc = svc;
    app->malformed = metrics_counter(svc->metrics, "gantry_approver_malformed_records_total", NULL,
                                     "Records of followed topics that could not be decoded");
    app->auth = auth_new();
    app->approvals = approvals_new();
    app->votes = votes_new(app);
    app->tokens = tokens_new(app);
    svc_ready(svc, "state", false, "reading approvals and tokens");
    if (add_bootstrap(app, err) < 0 ||
        bus_producer_new(&app->producer, svc->bus, &producer_conf, err) < 0 || follow(app, err) < 0)
        return -1;
    approvals_routes(app);
    votes_routes(app);
    tokens_routes(app);
    return 0;
}

static void flushed(bool all, void *arg)
{
    struct approver *app = arg;

    if (!all)
        log_warn("stopping with records that Kafka has not acknowledged");
    svc_stopped(app->svc);
}

static void stop(struct svc *svc)
{
    struct approver *app = svc->app;

    bus_producer_flush(app->producer, svc->conf.shutdown_grace_ms / 2, flushed, app);
}

static void release(struct svc *svc)
{
    struct approver *app = svc->app;

    bus_follower_free(app->follower);
    bus_producer_free(app->producer);
    votes_free(app->votes);
    approvals_free(app->approvals);
    tokens_free(app->tokens);
    auth_free(app->auth);
}

int approver_main(int argc, char **argv)
{
    struct approver app = {0};
    const struct svc_def def = {
        .name = "approver",
        .summary = "verifies who votes on approvals and passes the votes on; keeps local tokens",
        .port = 8085,
        .items = items,
        .conf = &app.conf,
        .cors_origin_conf = "console-url",
        .app = &app,
        .start = start,
        .stop = stop,
        .release = release,
    };

    return svc_run(argc, argv, &def);
}
