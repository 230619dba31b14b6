#include "services/notifier/notifier.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"

#define ENDS_MS  10000
#define AGAIN_MS 1000
/* A mail takes a worker thread while it lasts; Kafka is asked by the others. */
#define WORKERS 6

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

static void apply_tombstone(struct notifier *app, const struct bus_record *record)
{
    static const char kind[] = "Notification/";
    char name[STR_NAME_MAX + 1];

    if (record->topic != TOPIC_DEFINITION || record->key_len < sizeof kind ||
        record->key_len - strlen(kind) > STR_NAME_MAX ||
        memcmp(record->key, kind, strlen(kind)) != 0)
        return;
    snprintf(name, sizeof name, "%.*s", (int)(record->key_len - strlen(kind)),
             (const char *)record->key + strlen(kind));
    rules_delete(app->rules, name);
}

static void on_followed(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct notifier *app = arg;
    struct err err;
    void *message = NULL;

    (void)follower;
    if (!record->value)
        apply_tombstone(app, record);
    else if (event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0)
        /* `definition` is the promoter's to put into deadletter, `notification` is written here
         * alone. */
        metric_add(app->malformed, 1);
    else if (record->topic == TOPIC_DEFINITION)
        rules_apply(app->rules, message);
    else
        told_apply(app->told, message, clock_now_ms());
    event_free(message);
    if (record->topic == TOPIC_NOTIFICATION)
        intake_read(app->intake, record->partition, record->offset + 1);
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg)
{
    struct notifier *app = arg;

    if (!app->ready && app->followed && bus_follower_caught_up(follower)) {
        app->ready = true;
        svc_ready(app->svc, "state", true, "");
        intake_go_on(app->intake);
    }
    if (topic == TOPIC_NOTIFICATION)
        intake_read(app->intake, partition, end_offset);
}

static int64_t offset_of(enum topic topic, int32_t partition, void *arg)
{
    const struct bus_end *ends = arg;

    (void)topic;
    return ends[partition].end;
}

static void on_offsets(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct notifier *app = arg;
    struct err problem = {0};

    if (err && err->code) {
        loop_timer_arm(app->retry_timer, AGAIN_MS); /* Kafka is away, and readiness says so */
        return;
    }
    /* All in one go: a fetch that Kafka holds makes those that are added later wait. */
    if (bus_follower_add_all(app->follower, TOPIC_DEFINITION, (int32_t)app->svc->conf.partitions,
                             NULL, NULL, &problem) < 0 ||
        bus_follower_add_all(app->follower, TOPIC_NOTIFICATION, (int32_t)count, offset_of,
                             (void *)ends, &problem) < 0)
        svc_fail(app->svc, &problem);
    app->followed = true;
    intake_go_on(app->intake);
}

/* What was told is read from a little before the oldest event that can still be told. */
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

static int follow(struct notifier *app, struct err *err)
{
    const struct bus_follower_handler handler = {
        .on_record = on_followed, .on_end = on_end, .arg = app};

    return bus_follower_new(&app->follower, app->svc->bus, &handler, err);
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

static void on_idle(void *arg)
{
    struct notifier *app = arg;

    if (app->flushing)
        return;
    app->flushing = true;
    bus_producer_flush(app->producer, app->svc->conf.shutdown_grace_ms / 3, on_flushed, app);
}

static int check_settings(const struct notifier_conf *conf, struct err *err)
{
    if (conf->at_once < 1 || conf->at_once > 10000)
        return err_set(err, ERR_INVALID, "notifier.at-once must be 1 to 10,000");
    if (!str_eq(conf->smtp_tls, "required") && !str_eq(conf->smtp_tls, "offered") &&
        !str_eq(conf->smtp_tls, "off"))
        return err_set(err, ERR_INVALID,
                       "notifier.smtp.tls must be required, offered or off, not '%s'",
                       conf->smtp_tls);
    return 0;
}

static int start(struct svc *svc, struct err *err)
{
    const struct bus_producer_conf producer_conf = {0};
    struct notifier *app = svc->app;

    if (check_settings(&app->conf, err) < 0)
        return -1;
    app->svc = svc;
    app->malformed = metrics_counter(svc->metrics, "gantry_notifier_malformed_records_total", NULL,
                                     "Records of followed topics that could not be decoded");
    app->rules = rules_new();
    app->told = told_new();
    app->client = http_client_new(svc->loop);
    app->deliveries = deliveries_new(app);
    app->intake = intake_new(app);
    app->retry_timer = loop_timer_new(svc->loop, ask_offsets, app);
    app->stop_timer = loop_timer_new(svc->loop, on_idle, app);
    svc_ready(svc, "state", false, "reading the rules and what was told");
    if (bus_producer_new(&app->producer, svc->bus, &producer_conf, err) < 0 ||
        follow(app, err) < 0 || intake_start(app->intake, err) < 0)
        return -1;
    ask_offsets(app);
    return 0;
}

static void stop(struct svc *svc)
{
    struct notifier *app = svc->app;

    /* Tries under way end; what is not told stays unsettled and is told, with the same id, after
     * the next start. */
    loop_timer_cancel(app->retry_timer);
    loop_timer_arm(app->stop_timer, svc->conf.shutdown_grace_ms / 3);
    deliveries_stop(app->deliveries, on_idle, app);
}

static void release(struct svc *svc)
{
    struct notifier *app = svc->app;

    loop_timer_free(app->retry_timer);
    loop_timer_free(app->stop_timer);
    bus_follower_free(app->follower);
    deliveries_halt(app->deliveries);
    bus_producer_free(app->producer);
    deliveries_free(app->deliveries);
    intake_free(app->intake);
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
        .workers = WORKERS,
        .items = items,
        .conf = &app.conf,
        .app = &app,
        .start = start,
        .stop = stop,
        .release = release,
    };

    return svc_run(argc, argv, &def);
}
