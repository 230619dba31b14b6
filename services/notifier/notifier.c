#include "services/notifier/notifier.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/notification.pb-c.h"
#include "log/log.h"

#define READY_EVERY_MS 100
#define ENDS_MS        10000

static const struct conf_item items[] = {
    {"smtp.url", CONF_STR, offsetof(struct notifier_conf, smtp_url), NULL,
     "the mail server: smtp://host:587 or smtps://host:465; empty: rules with mail are given up",
     0},
    {"smtp.user", CONF_STR, offsetof(struct notifier_conf, smtp_user), NULL,
     "user for AUTH; empty: none", 0},
    {"smtp.password", CONF_STR, offsetof(struct notifier_conf, smtp_password), NULL,
     "name of the secret that holds the password", 0},
    {"smtp.tls", CONF_STR, offsetof(struct notifier_conf, smtp_tls), "required",
     "STARTTLS: required, offered (when the server offers it) or off", 0},
    {"smtp.ca-file", CONF_STR, offsetof(struct notifier_conf, smtp_ca_file), NULL,
     "PEM of the authority that signed the mail server's certificate; empty: the system's", 0},
    {"mail-from", CONF_STR, offsetof(struct notifier_conf, mail_from), "gantry@localhost",
     "sender's address", 0},
    {"webhook-ca-file", CONF_STR, offsetof(struct notifier_conf, webhook_ca_file), NULL,
     "PEM of the authority for webhook targets; empty: the system's", 0},
    {"at-once", CONF_INT, offsetof(struct notifier_conf, at_once), "32",
     "messages under way at the same time", 0},
    {0},
};

/* An event whose rules are being told. */
struct pending {
    struct notifier *app;
    int32_t partition;
    int64_t offset;
    size_t left; /* deliveries, and one for the event itself while it is looked at */
};

static void pending_down(struct pending *pending)
{
    if (--pending->left)
        return;
    bus_group_done(pending->app->group, TOPIC_EVENT, pending->partition, pending->offset);
    free(pending);
}

static void on_told(void *arg)
{
    pending_down(arg);
}

struct match_arg {
    struct pending *pending;
    const char *event_id;
    const Gantry__V1__ReleaseEvent *event;
};

static void on_match(const struct def_notification *rule, void *arg)
{
    struct match_arg *match = arg;
    struct notifier *app = match->pending->app;
    char id[ID_SIZE];
    uint32_t attempts = 0;

    event_id_notification(id, rule->name, match->event_id);
    if (told_done(app->told, id, &attempts))
        return;
    match->pending->left++;
    deliveries_add(app->deliveries, rule, id, match->event_id, match->event, attempts, on_told,
                   match->pending);
}

static void on_deadletter(const struct bus_ack *ack, void *arg)
{
    if (!ack->ok)
        log_error("record could not be put into deadletter", LOG_E(&ack->err));
    pending_down(arg);
}

static void on_event(struct bus_group *group, const struct bus_record *record, void *arg)
{
    struct notifier *app = arg;
    struct pending *pending = mem_alloc(sizeof *pending);
    struct event_meta meta;
    struct err err;
    void *message = NULL;

    (void)group;
    *pending = (struct pending){app, record->partition, record->offset, 1};
    if (event_read_headers(&meta, record->headers, record->header_count, &err) < 0 ||
        event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0) {
        pending->left++;
        if (bus_deadletter(app->producer, record, err.msg, on_deadletter, pending, &err) < 0) {
            log_error("record could not be put into deadletter", LOG_E(&err));
            pending_down(pending);
        }
    } else if (clock_now_ms() - record->timestamp_ms < NOTIFIER_TRY_MS) {
        struct match_arg match = {pending, meta.id, message};

        rules_match(app->rules, message, on_match, &match);
    }
    event_free(message);
    pending_down(pending);
}

static void on_followed(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct notifier *app = arg;
    struct err err;
    void *message;

    (void)follower;
    if (!record->value)
        return;
    if (event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0) {
        /* `definition` is the promoter's to put into deadletter, `notification` is written here
         * alone. */
        metric_add(app->malformed, 1);
        return;
    }
    if (record->topic == TOPIC_DEFINITION)
        rules_apply(app->rules, message);
    else
        told_apply(app->told, message, clock_now_ms());
    event_free(message);
}

static void start_partition(struct bus_group *group, int32_t partition, void *arg)
{
    struct notifier *app = arg;

    if (app->ready)
        bus_group_pause(group, TOPIC_EVENT, partition, false);
}

/* Events are read once the rules and what was told are known. */
static void on_ready_timer(void *arg)
{
    struct notifier *app = arg;
    int32_t owned[1024];
    size_t count;

    if (!bus_follower_caught_up(app->follower)) {
        loop_timer_arm(app->ready_timer, READY_EVERY_MS);
        return;
    }
    app->ready = true;
    svc_ready(app->svc, "state", true, "");
    count = bus_group_partitions(app->group, owned, sizeof owned / sizeof owned[0]);
    for (size_t i = 0; i < count; i++)
        start_partition(app->group, owned[i], app);
}

static void on_offsets(const struct bus_end *ends, size_t count, const struct err *err, void *arg);

static void ask_offsets(void *arg)
{
    struct notifier *app = arg;
    size_t count = (size_t)app->svc->conf.partitions;
    struct bus_end *ask = mem_alloc(sizeof *ask * count);

    for (size_t i = 0; i < count; i++)
        ask[i] = (struct bus_end){.topic = TOPIC_NOTIFICATION,
                                  .partition = (int32_t)i,
                                  .end = clock_now_ms() - NOTIFIER_TRY_MS - 3600 * 1000};
    bus_offsets_at(app->svc->bus, ask, count, ENDS_MS, on_offsets, app);
    free(ask);
}

static void on_offsets(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct notifier *app = arg;
    struct err problem = {0};

    if (err && err->code) {
        ask_offsets(app); /* the bus waited ENDS_MS: Kafka is away, and readiness says so */
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (bus_follower_add(app->follower, TOPIC_NOTIFICATION, ends[i].partition, ends[i].end,
                             &problem) < 0)
            svc_fail(app->svc, &problem);
    loop_timer_arm(app->ready_timer, READY_EVERY_MS);
}

static int follow(struct notifier *app, struct err *err)
{
    static const enum topic topics[] = {TOPIC_EVENT};
    const struct bus_follower_handler follower = {.on_record = on_followed, .arg = app};
    const struct bus_group_handler handler = {
        .on_record = on_event, .on_assign = start_partition, .arg = app};
    const struct bus_group_conf conf = {
        .topics = topics, .topic_count = 1, .manual_start = true, .commit_ranges = true};

    if (bus_follower_new(&app->follower, app->svc->bus, &follower, err) < 0 ||
        bus_follower_add_all(app->follower, TOPIC_DEFINITION, (int32_t)app->svc->conf.partitions,
                             NULL, NULL, err) < 0)
        return -1;
    return bus_group_new(&app->group, app->svc->bus, &conf, &handler, err);
}

static int start(struct svc *svc, struct err *err)
{
    const struct bus_producer_conf producer_conf = {0};
    struct notifier *app = svc->app;

    app->svc = svc;
    app->malformed = metrics_counter(svc->metrics, "gantry_notifier_malformed_records_total", NULL,
                                     "Records of followed topics that could not be decoded");
    app->rules = rules_new();
    app->told = told_new();
    app->client = http_client_new(svc->loop);
    app->deliveries = deliveries_new(app);
    app->ready_timer = loop_timer_new(svc->loop, on_ready_timer, app);
    svc_ready(svc, "state", false, "reading the rules and what was told");
    if (bus_producer_new(&app->producer, svc->bus, &producer_conf, err) < 0 || follow(app, err) < 0)
        return -1;
    ask_offsets(app);
    return 0;
}

static void on_closed(void *arg)
{
    struct notifier *app = arg;

    app->group = NULL;
    svc_stopped(app->svc);
}

static void on_flushed(bool all, void *arg)
{
    struct notifier *app = arg;

    if (!all)
        log_warn("stopping with records that Kafka has not acknowledged");
    bus_group_close(app->group, on_closed, app);
}

static void stop(struct svc *svc)
{
    struct notifier *app = svc->app;

    /* What is not told stays unsettled and is told, with the same id, after the next start. */
    bus_producer_flush(app->producer, svc->conf.shutdown_grace_ms / 2, on_flushed, app);
}

static void release(struct svc *svc)
{
    struct notifier *app = svc->app;

    loop_timer_free(app->ready_timer);
    deliveries_free(app->deliveries);
    bus_follower_free(app->follower);
    bus_producer_free(app->producer);
    http_client_free(app->client);
    rules_free(app->rules);
    told_free(app->told);
}

int notifier_main(int argc, char **argv)
{
    struct notifier app = {0};
    const struct svc_def def = {
        .name = "notifier",
        .summary = "tells people and systems what happened: mail and signed webhooks",
        .port = 8086,
        .items = items,
        .conf = &app.conf,
        .app = &app,
        .start = start,
        .stop = stop,
        .release = release,
    };

    return svc_run(argc, argv, &def);
}
