#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/notification.pb-c.h"
#include "log/log.h"
#include "secret/secret.h"
#include "services/notifier/notifier.h"

#define BACKOFF_FIRST_MS 5000LL
#define BACKOFF_MAX_MS   (3600 * 1000LL)

/* Mails have a lane of their own: each takes a worker thread while it lasts, and a mail server that
 * hangs must hold up neither webhooks nor Kafka. */
#define MAILS_AT_ONCE 3

struct lane {
    TAILQ_HEAD(, delivery) queue; /* waiting for a place */
    int64_t under_way, limit;
    bool starting; /* start_waiting() is on the stack */
};

struct deliveries {
    struct notifier *app;
    struct map *by_id; /* -> struct delivery */
    struct lane webhooks, mails;
    bool stopping, halted;
    void (*idle)(void *arg);
    void *idle_arg;
    struct metric *sent, *retried, *given_up;
};

struct deliveries *deliveries_new(struct notifier *app)
{
    struct deliveries *all = mem_alloc(sizeof *all);
    struct metrics *metrics = app->svc->metrics;
    static const char name[] = "gantry_notifications_total";
    static const char help[] = "Notification attempts by how they ended";

    all->app = app;
    all->by_id = map_new(NULL);
    TAILQ_INIT(&all->webhooks.queue);
    TAILQ_INIT(&all->mails.queue);
    all->webhooks.limit = app->conf.at_once;
    all->mails.limit = app->conf.at_once < MAILS_AT_ONCE ? app->conf.at_once : MAILS_AT_ONCE;
    all->sent = metrics_counter(metrics, name, "outcome=\"sent\"", help);
    all->retried = metrics_counter(metrics, name, "outcome=\"retrying\"", help);
    all->given_up = metrics_counter(metrics, name, "outcome=\"given_up\"", help);
    return all;
}

static void delivery_free(struct delivery *delivery)
{
    if (delivery->call)
        http_call_cancel(delivery->call);
    if (delivery->state == DELIVERY_QUEUED)
        TAILQ_REMOVE(&delivery->lane->queue, delivery, link);
    loop_timer_free(delivery->timer);
    event_free(delivery->event);
    secret_release(&delivery->secret);
    free(delivery->rule);
    free(delivery);
}

void deliveries_halt(struct deliveries *all)
{
    if (all)
        all->halted = true;
}

void deliveries_free(struct deliveries *all)
{
    if (!all)
        return;
    for (struct map_iter it = {0}; map_next(all->by_id, &it);)
        delivery_free(it.value);
    map_free(all->by_id);
    free(all);
}

char *delivery_target(const struct def_notification *rule)
{
    struct buf out;

    buf_init(&out, 512);
    if (rule->channel == DEF_WEBHOOK) {
        const char *host = strstr(rule->url, "://"), *at;
        size_t scheme = host ? (size_t)(host + 3 - rule->url) : 0, len;

        host = rule->url + scheme;
        at = strchr(host, '@');
        if (at && at < host + strcspn(host, "/?#"))
            host = at + 1;
        len = strcspn(host, "?#");
        buf_add(&out, rule->url, scheme);
        buf_add(&out, host, len < 400 ? len : 400);
    } else {
        for (size_t i = 0; i < rule->to.count && out.len < 400; i++)
            buf_addf(&out, "%s%s", i ? ", " : "", rule->to.items[i]);
    }
    return buf_detach(&out);
}

/* Somebody else's words as text that a record may hold. */
static char *clean(const char *text)
{
    char *out = mem_strdup(text);
    bool utf8 = str_is_utf8(out, strlen(out));

    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f || (!utf8 && (*c & 0x80)))
            *c = ' ';
    return out;
}

/* Tells `notification` how a try ended. */
static int record(struct delivery *delivery, Gantry__V1__Delivery outcome, int64_t next_ms,
                  const char *problem, bus_ack_fn *ack, void *arg, struct err *err)
{
    Gantry__V1__NotificationSent sent = GANTRY__V1__NOTIFICATION_SENT__INIT;
    const struct def_notification *rule = rules_get(delivery->app->rules, delivery->rule);
    struct event_meta meta = {0};
    char number[21];
    char *target = rule ? delivery_target(rule) : mem_strdup("");
    char *error = clean(problem);
    int rc;

    sent.notification_id = delivery->id;
    sent.rule = delivery->rule;
    sent.event_id = delivery->event_id;
    sent.pipeline = delivery->event->pipeline;
    sent.release = wording_release(delivery->event);
    sent.channel = !rule ? "" : rule->channel == DEF_MAIL ? "mail" : "webhook";
    sent.target = target;
    sent.delivery = outcome;
    sent.attempt = delivery->attempt;
    sent.error = error;
    sent.time_ms = clock_now_ms();
    sent.next_attempt_ms = next_ms;
    id_make(meta.id, "notification", delivery->id, id_num(number, delivery->attempt), NULL);
    if (sent.release)
        snprintf(meta.subject, sizeof meta.subject, "%s/%llu", sent.pipeline,
                 (unsigned long long)sent.release);
    else
        snprintf(meta.subject, sizeof meta.subject, "%s", sent.pipeline);
    rc = bus_produce(delivery->app->producer, TOPIC_NOTIFICATION, &meta, &sent, ack, arg, err);
    /* Not only when it is read back: the same event may come again before. */
    if (rc == 0)
        told_apply(delivery->app->told, &sent, sent.time_ms);
    free(target);
    free(error);
    return rc;
}

static void start_waiting(struct deliveries *all, struct lane *lane);

/* The place in its lane is held until the outcome is recorded: no more than `at_once` can be told
 * again after a kill. */
static void forget(struct delivery *delivery)
{
    struct deliveries *all = delivery->app->deliveries;
    struct lane *lane = delivery->state == DELIVERY_RECORDING ? delivery->lane : NULL;

    map_del(all->by_id, delivery->id);
    if (delivery->pending)
        pending_done(delivery->pending);
    delivery_free(delivery);
    if (!lane)
        return;
    lane->under_way--;
    start_waiting(all, lane);
}

static void on_recorded(const struct bus_ack *ack, void *arg)
{
    struct delivery *delivery = arg;

    if (delivery->app->deliveries->halted)
        return;
    if (!ack->ok)
        log_error("how a notification ended is not recorded", LOG_S("id", delivery->id),
                  LOG_E(&ack->err));
    forget(delivery);
}

static void finish(struct delivery *delivery, Gantry__V1__Delivery outcome, const char *problem)
{
    struct err err;

    delivery->state = DELIVERY_RECORDING;
    if (record(delivery, outcome, 0, problem, on_recorded, delivery, &err) == 0)
        return;
    log_error("notification could not be recorded", LOG_S("id", delivery->id), LOG_E(&err));
    forget(delivery);
}

static void on_deadlettered(const struct bus_ack *ack, void *arg)
{
    struct delivery *delivery = arg;

    if (delivery->app->deliveries->halted)
        return;
    if (!ack->ok)
        log_error("event could not be put into deadletter", LOG_E(&ack->err));
    finish(delivery, GANTRY__V1__DELIVERY__DELIVERY_GIVEN_UP, delivery->problem);
}

static void give_up(struct delivery *delivery, const char *problem)
{
    struct err err;

    metric_add(delivery->app->deliveries->given_up, 1);
    snprintf(delivery->problem, sizeof delivery->problem, "%s", problem);
    delivery->state = DELIVERY_RECORDING;
    if (!rules_get(delivery->app->rules, delivery->rule)) {
        log_info("notification dropped: its rule was deleted", LOG_S("rule", delivery->rule),
                 LOG_S("id", delivery->id));
        finish(delivery, GANTRY__V1__DELIVERY__DELIVERY_GIVEN_UP, problem);
        return;
    }
    log_error("notification given up", LOG_S("rule", delivery->rule), LOG_S("id", delivery->id),
              LOG_I("attempts", delivery->attempt), LOG_S("error", problem));
    if (pending_deadletter(delivery->pending, problem, on_deadlettered, delivery, &err) == 0)
        return;
    log_error("event could not be put into deadletter", LOG_E(&err));
    finish(delivery, GANTRY__V1__DELIVERY__DELIVERY_GIVEN_UP, problem);
}

/* Recorded, and tried again then by whoever has the partition. */
static void try_again(struct delivery *delivery, int64_t now_ms, int64_t wait_ms,
                      const char *problem)
{
    struct deliveries *all = delivery->app->deliveries;
    struct err err;

    metric_add(all->retried, 1);
    log_warn("notification not told yet; trying again", LOG_S("rule", delivery->rule),
             LOG_I("attempt", delivery->attempt), LOG_I("wait_ms", wait_ms),
             LOG_S("error", problem));
    if (record(delivery, GANTRY__V1__DELIVERY__DELIVERY_RETRYING, now_ms + wait_ms, problem, NULL,
               NULL, &err) < 0)
        log_error("notification attempt could not be recorded", LOG_E(&err));
    if (!delivery->pending) {
        forget(delivery);
        return;
    }
    delivery->state = DELIVERY_PAUSING;
    if (!all->stopping)
        loop_timer_arm(delivery->timer, wait_ms);
}

static int64_t backoff_ms(uint32_t attempt, int64_t wish_ms)
{
    int64_t ms = BACKOFF_FIRST_MS << (attempt > 12 ? 12 : attempt - 1);
    uint32_t random;

    random_bytes(&random, sizeof random);
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    ms = ms / 2 + (int64_t)(random % (uint32_t)(ms / 2 + 1));
    if (wish_ms > BACKOFF_MAX_MS)
        wish_ms = BACKOFF_MAX_MS;
    return wish_ms > ms ? wish_ms : ms;
}

void delivery_tried(struct delivery *delivery, bool told, bool final, int64_t retry_after_ms,
                    const char *problem)
{
    struct deliveries *all = delivery->app->deliveries;
    struct lane *lane = delivery->lane;
    int64_t wait_ms = backoff_ms(delivery->attempt, retry_after_ms);
    int64_t now_ms = clock_now_ms();

    delivery->call = NULL;
    secret_release(&delivery->secret);
    if (told) {
        metric_add(all->sent, 1);
        finish(delivery, GANTRY__V1__DELIVERY__DELIVERY_SENT, "");
    } else if (delivery->pending && (final || now_ms + wait_ms > delivery->give_up_ms)) {
        give_up(delivery, problem);
    } else {
        lane->under_way--;
        try_again(delivery, now_ms, wait_ms, problem);
        start_waiting(all, lane);
    }
}

static void try_now(struct delivery *delivery)
{
    const struct def_notification *rule = rules_get(delivery->app->rules, delivery->rule);
    struct err err;
    int rc;

    delivery->attempt++;
    delivery->state = DELIVERY_TRYING;
    delivery->lane->under_way++;
    delivery->try_began_ms = clock_mono_ms();
    delivery->answer_bytes = 0;
    if (!rule) {
        delivery_tried(delivery, false, true, 0, "its rule was deleted");
        return;
    }
    rc = rule->channel == DEF_MAIL ? mail_try(delivery, rule, &err)
                                   : webhook_try(delivery, rule, &err);
    if (rc < 0)
        delivery_tried(delivery, false, err.code == ERR_INVALID, 0, err.msg);
}

static void tell_if_idle(struct deliveries *all)
{
    if (all->stopping && all->idle && !all->webhooks.under_way && !all->mails.under_way) {
        void (*idle)(void *) = all->idle;

        all->idle = NULL;
        idle(all->idle_arg);
    }
}

/* A try can fail at once and so come back here: the outer call goes on then. */
static void start_waiting(struct deliveries *all, struct lane *lane)
{
    struct delivery *delivery;

    if (lane->starting)
        return;
    lane->starting = true;
    while (!all->stopping && lane->under_way < lane->limit &&
           (delivery = TAILQ_FIRST(&lane->queue))) {
        TAILQ_REMOVE(&lane->queue, delivery, link);
        try_now(delivery);
    }
    lane->starting = false;
    tell_if_idle(all);
}

static void on_timer(void *arg)
{
    struct delivery *delivery = arg;
    struct deliveries *all = delivery->app->deliveries;
    const struct def_notification *rule = rules_get(delivery->app->rules, delivery->rule);

    delivery->lane = rule && rule->channel == DEF_MAIL ? &all->mails : &all->webhooks;
    delivery->state = DELIVERY_QUEUED;
    TAILQ_INSERT_TAIL(&delivery->lane->queue, delivery, link);
    start_waiting(all, delivery->lane);
}

bool deliveries_add(struct deliveries *all, const struct def_notification *rule,
                    const char *notification_id, const char *event_id,
                    const Gantry__V1__ReleaseEvent *event, struct pending *pending)
{
    struct delivery *delivery = map_get(all->by_id, notification_id);
    int64_t next_ms, wait_ms;

    if (delivery) {
        bool adopted = !delivery->pending;

        if (adopted)
            delivery->pending = pending;
        return adopted;
    }
    delivery = mem_alloc(sizeof *delivery);
    delivery->app = all->app;
    snprintf(delivery->id, sizeof delivery->id, "%s", notification_id);
    snprintf(delivery->event_id, sizeof delivery->event_id, "%s", event_id);
    delivery->rule = mem_strdup(rule->name);
    delivery->event = event_clone(event);
    delivery->pending = pending;
    delivery->give_up_ms = event->time_ms + NOTIFIER_TRY_MS;
    delivery->timer = loop_timer_new(all->app->svc->loop, on_timer, delivery);
    buf_init(&delivery->secret, 1);
    map_set(all->by_id, delivery->id, delivery);
    told_done(all->app->told, notification_id, &delivery->attempt, &next_ms);
    wait_ms = next_ms - clock_now_ms();
    wait_ms = wait_ms < 0 ? 0 : wait_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait_ms;
    /* Never from inside the caller's loop over the rules: the end could come before it is through.
     */
    if (!all->stopping)
        loop_timer_arm(delivery->timer, wait_ms);
    return true;
}

void deliveries_revoke(struct deliveries *all, int32_t partition)
{
    for (struct map_iter it = {0}; map_next(all->by_id, &it);) {
        struct delivery *delivery = it.value;

        if (!delivery->pending || pending_partition(delivery->pending) != partition)
            continue;
        delivery->pending = NULL;
        if (delivery->state == DELIVERY_TRYING || delivery->state == DELIVERY_RECORDING)
            continue;
        map_del(all->by_id, it.key);
        delivery_free(delivery);
    }
}

void deliveries_stop(struct deliveries *all, void (*idle)(void *arg), void *arg)
{
    all->stopping = true;
    all->idle = idle;
    all->idle_arg = arg;
    for (struct map_iter it = {0}; map_next(all->by_id, &it);)
        loop_timer_cancel(((struct delivery *)it.value)->timer);
    tell_if_idle(all);
}
