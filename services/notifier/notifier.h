/* The notifier: tells people and systems what happened. It follows `event` as a group, the rules in
 * `definition` (kind Notification) and, in `notification`, what was told already.
 *
 *   notifier.c  wiring and settings
 *   intake.c    the events; one is settled when every rule it matches was told or given up
 *   rules.c     the rules in force, and which of them an event matches
 *   told.c      what was told in the last day, so that a restart tells nothing twice
 *   delivery.c  one message to one rule's target: attempts, backoff, giving up
 *   webhook.c   a delivery as a signed webhook (Standard Webhooks 1.0.0)
 *   mail.c      a delivery as mail (RFC 5322)
 *   page.c      what a mail shows, as text and as HTML
 *   wording.c   what an event says, in words; wording_details.c: what stands below it */
#ifndef GANTRY_NOTIFIER_NOTIFIER_H
#define GANTRY_NOTIFIER_NOTIFIER_H

#include <sys/queue.h>

#include "base/str.h"
#include "definition/definition.h"
#include "http/client.h"
#include "svc/svc.h"

typedef struct Gantry__V1__Actor Gantry__V1__Actor;
typedef struct Gantry__V1__ApprovalRequest Gantry__V1__ApprovalRequest;
typedef struct Gantry__V1__ReleaseEvent Gantry__V1__ReleaseEvent;
typedef struct Gantry__V1__NotificationSent Gantry__V1__NotificationSent;

/* How long a message is tried, and how old an event may be that is told at all. */
#define NOTIFIER_TRY_MS (24 * 3600 * 1000LL)

struct notifier_conf {
    char *smtp_url, *smtp_user, *smtp_password, *smtp_tls, *smtp_ca_file, *mail_from;
    char *webhook_ca_file;
    int64_t at_once;
};

struct intake;
struct pending;
struct rules;
struct told;
struct deliveries;

struct notifier {
    struct svc *svc;
    struct notifier_conf conf;
    struct bus_producer *producer;
    struct bus_group *group;
    struct bus_follower *follower;
    struct http_client *client;
    struct loop_timer *retry_timer, *stop_timer;
    struct metric *malformed;
    struct intake *intake;
    struct rules *rules;
    struct told *told;
    struct deliveries *deliveries;
    bool followed; /* `notification` is, from where it matters */
    bool ready;    /* the rules and what was told are known */
    bool flushing; /* the service stops */
};

int notifier_main(int argc, char **argv);

/* ---- intake.c ---- */

struct intake *intake_new(struct notifier *app);
void intake_free(struct intake *intake);
/* Joins the group. Its events wait until `notification` was read as far as it went when their
 * partition came here: what another instance told before counts. */
int intake_start(struct intake *intake, struct err *err);
/* `notification` is followed now, or app->ready has come. */
void intake_go_on(struct intake *intake);
/* `notification` was read up to `next`. */
void intake_read(struct intake *intake, int32_t partition, int64_t next);

int32_t pending_partition(const struct pending *pending);
/* One of the deliveries is through; the event is settled with the last. */
void pending_done(struct pending *pending);
/* The event as it came, into `deadletter`. */
int pending_deadletter(const struct pending *pending, const char *reason, bus_ack_fn *ack,
                       void *arg, struct err *err);

/* ---- rules.c ---- */

struct rules *rules_new(void);
void rules_free(struct rules *rules);
/* A record of `definition`; what is no Notification, or does not parse, is left alone. */
void rules_apply(struct rules *rules, const void *definition);
void rules_delete(struct rules *rules, const char *name);
/* Calls fn for each rule that the event matches, in the order of their names. */
void rules_match(const struct rules *rules, const Gantry__V1__ReleaseEvent *event,
                 void (*fn)(const struct def_notification *rule, void *arg), void *arg);
/* The rule of this name as it is now; NULL: it was deleted. */
const struct def_notification *rules_get(const struct rules *rules, const char *name);

/* ---- wording.c ---- */

/* "release.started": what rules match on. */
void wording_kind(const Gantry__V1__ReleaseEvent *event, char out[EVENT_TYPE_MAX]);
const char *wording_stage(const Gantry__V1__ReleaseEvent *event); /* "" where it has none */
uint64_t wording_release(const Gantry__V1__ReleaseEvent *event);  /* 0 where it has none */
/* "succeeded", "failed", "approved" ...; "" where it has none. */
const char *wording_outcome(const Gantry__V1__ReleaseEvent *event);
/* How good the news is. */
enum wording_tone { WORDING_PLAIN, WORDING_GOES_ON, WORDING_WAITS, WORDING_GOOD, WORDING_BAD };
enum wording_tone wording_tone(const Gantry__V1__ReleaseEvent *event);
/* The event's state in a word or two where its tone or outcome would not say it; else NULL. */
const char *wording_word(const Gantry__V1__ReleaseEvent *event);
/* One line: `shop/42 waits for approval of PROD`. Caller frees. */
char *wording_headline(const Gantry__V1__ReleaseEvent *event);

/* For the details: who did it ("" where nobody did), and how many votes say so. */
const char *wording_actor(const Gantry__V1__ReleaseEvent *event, const Gantry__V1__Actor *by);
size_t wording_votes(const Gantry__V1__ApprovalRequest *approval, int verdict);

/* ---- wording_details.c ---- */

/* The label of the last lines of a log. */
#define WORDING_LOG "Log"
/* A detail: label and value (which may have several lines), both the caller's to free by
 * wording_details_release(). */
struct wording_details {
    struct {
        const char *label;
        char *value;
    } items[16];
    size_t count;
};
void wording_details(const Gantry__V1__ReleaseEvent *event, struct wording_details *out);
void wording_details_release(struct wording_details *details);
/* The page to look at; caller frees; NULL where no console-url is set. */
char *wording_link(const Gantry__V1__ReleaseEvent *event, const char *console_url);

/* ---- told.c ---- */

struct told *told_new(void);
void told_free(struct told *told);
void told_apply(struct told *told, const Gantry__V1__NotificationSent *sent, int64_t now_ms);
/* True if it needs no telling; *attempts gets how often it was tried, *next_ms when it is to be
 * tried again (Unix ms; 0: now). */
bool told_done(const struct told *told, const char *notification_id, uint32_t *attempts,
               int64_t *next_ms);

/* ---- delivery.c ---- */

enum delivery_state { DELIVERY_PAUSING, DELIVERY_QUEUED, DELIVERY_TRYING, DELIVERY_RECORDING };

struct delivery {
    struct notifier *app;
    char id[ID_SIZE]; /* the notification's */
    char event_id[64];
    char *rule;                      /* its name */
    Gantry__V1__ReleaseEvent *event; /* owned */
    struct pending *pending;         /* NULL: its partition went to another instance */
    enum delivery_state state;
    struct lane *lane;    /* while queued or tried */
    uint32_t attempt;     /* of the try under way, from 1 */
    int64_t give_up_ms;   /* Unix ms */
    int64_t try_began_ms; /* monotonic */
    size_t answer_bytes;  /* of the try under way */
    struct loop_timer *timer;
    struct http_call *call;
    struct buf secret; /* while a try is under way */
    char problem[400]; /* why it was given up */
    TAILQ_ENTRY(delivery) link;
};

struct deliveries *deliveries_new(struct notifier *app);
/* No acknowledgement has an effect from here on: what is not recorded is told after the next start.
 */
void deliveries_halt(struct deliveries *deliveries);
void deliveries_free(struct deliveries *deliveries); /* after the producer */
/* Tells, and calls pending_done() once the outcome is acknowledged in `notification`. Takes a copy
 * of the event. False: it is being told for an earlier copy of the event already. */
bool deliveries_add(struct deliveries *deliveries, const struct def_notification *rule,
                    const char *notification_id, const char *event_id,
                    const Gantry__V1__ReleaseEvent *event, struct pending *pending);
/* The partition is another instance's: forgets what waits. A try under way is recorded still, and
 * belongs to the partition again should it come back meanwhile. */
void deliveries_revoke(struct deliveries *deliveries, int32_t partition);
/* Begins no try any more; `idle` once none is under way. */
void deliveries_stop(struct deliveries *deliveries, void (*idle)(void *arg), void *arg);

/* How one try ended; called by the channel once. retry_after_ms: the target's wish, 0: none. */
void delivery_tried(struct delivery *delivery, bool told, bool final, int64_t retry_after_ms,
                    const char *problem);

/* ---- webhook.c, mail.c: begin one try; -1: it could not be begun ---- */

int webhook_try(struct delivery *delivery, const struct def_notification *rule, struct err *err);
int mail_try(struct delivery *delivery, const struct def_notification *rule, struct err *err);
/* The message alone, CRLF lines, as it goes to the server; for the test that looks at it. */
int mail_compose(struct buf *out, const struct delivery *delivery,
                 const struct def_notification *rule, const char *from, const char *console_url,
                 int64_t now_ms, struct err *err);
/* A Retry-After header's value (RFC 9110, 10.2.3: seconds or a date) as ms from now, at most a day;
 * 0: none, or not understood. */
int64_t webhook_retry_after(const char *value, int64_t now_ms);

/* ---- page.c ---- */

/* Both parts of a mail about the event. */
void page_text(struct buf *out, const Gantry__V1__ReleaseEvent *event, const char *console_url);
void page_html(struct buf *out, const Gantry__V1__ReleaseEvent *event, const char *console_url);

/* Target for people and logs, without what may be secret: scheme, host and path of a URL, or
 * addresses. */
char *delivery_target(const struct def_notification *rule);

#endif
