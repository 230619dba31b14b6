#include <stdlib.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

#define GLOBS_MAX     50
#define ADDRESSES_MAX 100

static const char *const outcomes[] = {"succeeded", "failed",   "stopped",  "superseded", "skipped",
                                       "abandoned", "approved", "rejected", "expired",    NULL};

static const char *check_outcome(const char *text)
{
    for (size_t i = 0; outcomes[i]; i++)
        if (str_eq(outcomes[i], text))
            return NULL;
    return "expected succeeded, failed, stopped, superseded, skipped, abandoned, approved, "
           "rejected or expired";
}

static void read_webhook(struct reader *r, struct def_notification *notification,
                         const struct yaml_node *node)
{
    static const struct field fields[] = {
        {"url", FIELD_REQUIRED}, {"secret", FIELD_REQUIRED}, {NULL, 0}};
    enum { URL, SECRET };
    const struct yaml_node *VALUES_OF(fields);
    size_t mark = reader_enter_key(r, node->key->text);

    notification->channel = DEF_WEBHOOK;
    if (read_fields(r, node, "a webhook", fields, values) == 0) {
        notification->url = read_checked(r, values[URL], syntax_url);
        notification->secret = read_checked(r, values[SECRET], syntax_secret);
    }
    reader_leave(r, mark);
}

static void read_mail(struct reader *r, struct def_notification *notification,
                      const struct yaml_node *node)
{
    static const struct field fields[] = {{"to", FIELD_REQUIRED}, {NULL, 0}};
    const struct yaml_node *to;
    size_t mark = reader_enter_key(r, node->key->text);

    notification->channel = DEF_MAIL;
    if (read_fields(r, node, "a mail", fields, &to) == 0 && to) {
        if (to->type == YAML_LIST)
            read_list(r, to, ADDRESSES_MAX, "addresses");
        read_texts(r, to, ADDRESSES_MAX, syntax_address, &notification->to);
    }
    reader_leave(r, mark);
}

static void read_channel(struct reader *r, struct def_notification *notification,
                         const struct yaml_node *spec, const struct yaml_node *webhook,
                         const struct yaml_node *mail)
{
    if (webhook && mail)
        problem(r, mail, "a notification has a webhook or a mail, not both: write two");
    else if (webhook)
        read_webhook(r, notification, webhook);
    else if (mail)
        read_mail(r, notification, mail);
    else
        problem_at(r->problems, spec->line, spec->column, r->path,
                   "a notification needs 'webhook' or 'mail'");
}

struct def_notification *notification_read(struct reader *r, const struct yaml_node *spec)
{
    static const struct field fields[] = {{"events", FIELD_REQUIRED},
                                          {"pipelines", 0},
                                          {"stages", 0},
                                          {"outcomes", 0},
                                          {"webhook", 0},
                                          {"mail", 0},
                                          {"slack", FIELD_LATER},
                                          {"teams", FIELD_LATER},
                                          {"status", FIELD_LATER},
                                          {NULL, 0}};
    enum { EVENTS, PIPELINES, STAGES, OUTCOMES, WEBHOOK, MAIL };
    const struct yaml_node *VALUES_OF(fields);
    struct def_notification *notification = mem_alloc(sizeof(*notification));

    if (read_fields(r, spec, "a notification", fields, values) < 0)
        return notification;
    if (values[EVENTS] && values[EVENTS]->type == YAML_LIST)
        read_list(r, values[EVENTS], GLOBS_MAX, "events");
    read_texts(r, values[EVENTS], GLOBS_MAX, syntax_event, &notification->events);
    read_texts(r, values[PIPELINES], GLOBS_MAX, syntax_glob, &notification->pipelines);
    if (notification->pipelines.count == 0)
        strv_add(&notification->pipelines, "**");
    read_texts(r, values[STAGES], GLOBS_MAX, syntax_glob, &notification->stages);
    read_texts(r, values[OUTCOMES], GLOBS_MAX, check_outcome, &notification->outcomes);
    read_channel(r, notification, spec, values[WEBHOOK], values[MAIL]);
    return notification;
}

void notification_free(struct def_notification *notification)
{
    if (!notification)
        return;
    free(notification->name);
    strv_release(&notification->events);
    strv_release(&notification->pipelines);
    strv_release(&notification->stages);
    strv_release(&notification->outcomes);
    free(notification->url);
    free(notification->secret);
    strv_release(&notification->to);
    free(notification);
}
