#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/notification.pb-c.h"
#include "log/log.h"
#include "secret/secret.h"
#include "services/notifier/notifier.h"

#define BACKOFF_FIRST_MS 5000LL
#define BACKOFF_MAX_MS   (3600 * 1000LL)

struct deliveries {
    struct notifier *app;
    struct delivery **items; /* all, in no order */
    size_t count, cap;
    struct delivery *first, *last; /* waiting for a place among `at_once` */
    int64_t under_way;
    struct metric *sent, *retried, *given_up;
};

struct deliveries *deliveries_new(struct notifier *app)
{
    struct deliveries *deliveries = mem_alloc(sizeof *deliveries);
    static const char help[] = "Notification attempts by how they ended";

    deliveries->app = app;
    deliveries->sent =
        metrics_counter(app->svc->metrics, "gantry_notifications_total", "outcome=\"sent\"", help);
    deliveries->retried = metrics_counter(app->svc->metrics, "gantry_notifications_total",
                                          "outcome=\"retrying\"", help);
    deliveries->given_up = metrics_counter(app->svc->metrics, "gantry_notifications_total",
                                           "outcome=\"given_up\"", help);
    return deliveries;
}

static void delivery_free(struct delivery *delivery)
{
    if (delivery->call)
        http_call_cancel(delivery->call);
    loop_timer_free(delivery->timer);
    event_free(delivery->event);
    secret_release(&delivery->secret);
    free(delivery->rule);
    free(delivery);
}

void deliveries_free(struct deliveries *deliveries)
{
    if (!deliveries)
        return;
    for (size_t i = 0; i < deliveries->count; i++)
        delivery_free(deliveries->items[i]);
    free(deliveries->items);
    free(deliveries);
}

size_t deliveries_waiting(const struct deliveries *deliveries)
{
    return deliveries->count;
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

/* Tells `notification` how a try ended. */
static int record(struct delivery *delivery, const struct def_notification *rule,
                  Gantry__V1__Delivery outcome, int64_t next_ms, const char *problem,
                  bus_ack_fn *ack, void *arg, struct err *err)
{
    Gantry__V1__NotificationSent sent = GANTRY__V1__NOTIFICATION_SENT__INIT;
    struct event_meta meta = {0};
    char number[21];
    char *target = rule ? delivery_target(rule) : mem_strdup("");
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
    sent.error = (char *)problem;
    sent.time_ms = clock_now_ms();
    sent.next_attempt_ms = next_ms;
    id_make(meta.id, "notification", delivery->id, id_num(number, delivery->attempt), NULL);
    snprintf(meta.subject, sizeof meta.subject, "%s/%llu", sent.pipeline,
             (unsigned long long)sent.release);
    rc = bus_produce(delivery->app->producer, TOPIC_NOTIFICATION, &meta, &sent, ack, arg, err);
    free(target);
    return rc;
}

static void forget(struct delivery *delivery)
{
    struct deliveries *all = delivery->app->deliveries;

    for (size_t i = 0; i < all->count; i++)
        if (all->items[i] == delivery) {
            all->items[i] = all->items[--all->count];
            break;
        }
    delivery->done(delivery->done_arg);
    delivery_free(delivery);
}

static void on_recorded(const struct bus_ack *ack, void *arg)
{
    if (!ack->ok)
        log_error("notification told, but not recorded", LOG_E(&ack->err));
    forget(arg);
}

static void finish(struct delivery *delivery, Gantry__V1__Delivery outcome, const char *problem)
{
    const struct def_notification *rule = rules_get(delivery->app->rules, delivery->rule);
    struct err err;

    if (outcome == GANTRY__V1__DELIVERY__DELIVERY_GIVEN_UP) {
        metric_add(delivery->app->deliveries->given_up, 1);
        log_error("notification given up", LOG_S("rule", delivery->rule), LOG_S("id", delivery->id),
                  LOG_I("attempts", delivery->attempt), LOG_S("error", problem));
    } else {
        metric_add(delivery->app->deliveries->sent, 1);
    }
    if (record(delivery, rule, outcome, 0, problem, on_recorded, delivery, &err) < 0) {
        log_error("notification could not be recorded", LOG_S("id", delivery->id), LOG_E(&err));
        forget(delivery);
    }
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

static void start_waiting(struct deliveries *all);

void delivery_tried(struct delivery *delivery, bool told, bool final, int64_t retry_after_ms,
                    const char *problem)
{
    struct deliveries *all = delivery->app->deliveries;
    int64_t wait_ms = backoff_ms(delivery->attempt, retry_after_ms);
    int64_t now_ms = clock_now_ms();
    struct err err;

    delivery->call = NULL;
    secret_release(&delivery->secret);
    all->under_way--;
    if (told) {
        finish(delivery, GANTRY__V1__DELIVERY__DELIVERY_SENT, "");
    } else if (final || now_ms + wait_ms > delivery->give_up_ms) {
        finish(delivery, GANTRY__V1__DELIVERY__DELIVERY_GIVEN_UP, problem);
    } else {
        metric_add(all->retried, 1);
        log_warn("notification not told yet; trying again", LOG_S("rule", delivery->rule),
                 LOG_I("attempt", delivery->attempt), LOG_I("wait_ms", wait_ms),
                 LOG_S("error", problem));
        if (record(delivery, rules_get(delivery->app->rules, delivery->rule),
                   GANTRY__V1__DELIVERY__DELIVERY_RETRYING, now_ms + wait_ms, problem, NULL, NULL,
                   &err) < 0)
            log_error("notification attempt could not be recorded", LOG_E(&err));
        loop_timer_arm(delivery->timer, wait_ms);
    }
    start_waiting(all);
}

static void try_now(struct delivery *delivery)
{
    const struct def_notification *rule = rules_get(delivery->app->rules, delivery->rule);
    struct err err;
    int rc;

    delivery->attempt++;
    delivery->app->deliveries->under_way++;
    if (!rule) {
        delivery_tried(delivery, false, true, 0, "its rule was deleted");
        return;
    }
    rc = rule->channel == DEF_MAIL ? mail_try(delivery, rule, &err)
                                   : webhook_try(delivery, rule, &err);
    if (rc < 0)
        delivery_tried(delivery, false, err.code == ERR_INVALID, 0, err.msg);
}

static void start_waiting(struct deliveries *all)
{
    while (all->first && all->under_way < all->app->conf.at_once) {
        struct delivery *delivery = all->first;

        all->first = delivery->next;
        if (!all->first)
            all->last = NULL;
        try_now(delivery);
    }
}

static void on_timer(void *arg)
{
    struct delivery *delivery = arg;
    struct deliveries *all = delivery->app->deliveries;

    delivery->next = NULL;
    if (all->last)
        all->last->next = delivery;
    else
        all->first = delivery;
    all->last = delivery;
    start_waiting(all);
}

void deliveries_add(struct deliveries *all, const struct def_notification *rule,
                    const char *notification_id, const char *event_id,
                    const Gantry__V1__ReleaseEvent *event, uint32_t attempts_before,
                    void (*done)(void *arg), void *arg)
{
    struct delivery *delivery = mem_alloc(sizeof *delivery);

    delivery->app = all->app;
    snprintf(delivery->id, sizeof delivery->id, "%s", notification_id);
    snprintf(delivery->event_id, sizeof delivery->event_id, "%s", event_id);
    delivery->rule = mem_strdup(rule->name);
    delivery->event = event_clone(event);
    delivery->attempt = attempts_before;
    delivery->give_up_ms = event->time_ms + NOTIFIER_TRY_MS;
    delivery->timer = loop_timer_new(all->app->svc->loop, on_timer, delivery);
    delivery->done = done;
    delivery->done_arg = arg;
    buf_init(&delivery->secret, 1);
    if (all->count == all->cap) {
        all->cap = all->cap ? all->cap * 2 : 16;
        all->items = mem_realloc(all->items, all->cap, sizeof *all->items);
    }
    all->items[all->count++] = delivery;
    /* Never from inside the caller's loop over the rules: `done` could come before it is through.
     */
    loop_timer_arm(delivery->timer, 0);
}
