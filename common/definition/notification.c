#include <stdlib.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

static const char *check_outcome(const char *text)
{
    for (size_t i = 0; outcome_words[i]; i++)
        if (str_eq(outcome_words[i], text))
            return NULL;
    return "expected succeeded, failed, stopped, superseded, skipped, abandoned, approved, "
           "rejected, expired or overridden";
}

static void read_webhook(struct reader *r, struct def_notification *notification,
                         const struct yaml_node *node)
{
    const struct yaml_node *values[WEBHOOK_KEYS];
    size_t mark = reader_enter_key(r, node->key->text);

    notification->channel = DEF_WEBHOOK;
    if (read_fields(r, node, &webhook_keys, values) == 0) {
        notification->url = read_checked(r, values[WEBHOOK_URL], syntax_url);
        notification->secret = read_checked(r, values[WEBHOOK_SECRET], syntax_secret);
    }
    reader_leave(r, mark);
}

static void read_mail(struct reader *r, struct def_notification *notification,
                      const struct yaml_node *node)
{
    const struct yaml_node *values[MAIL_KEYS];
    size_t mark = reader_enter_key(r, node->key->text);

    notification->channel = DEF_MAIL;
    if (read_fields(r, node, &mail_keys, values) == 0 && values[MAIL_TO]) {
        const struct yaml_node *to = values[MAIL_TO];

        if (to->type == YAML_LIST)
            read_list(r, to, DEF_NAMES_MAX, "addresses");
        read_texts(r, to, DEF_NAMES_MAX, syntax_address, &notification->to);
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
    const struct yaml_node *values[NOTIFICATION_KEYS];
    struct def_notification *notification = mem_alloc(sizeof(*notification));

    if (read_fields(r, spec, &notification_keys, values) < 0)
        return notification;
    if (values[NOTIFICATION_EVENTS] && values[NOTIFICATION_EVENTS]->type == YAML_LIST)
        read_list(r, values[NOTIFICATION_EVENTS], DEF_GLOBS_MAX, "events");
    read_texts(r, values[NOTIFICATION_EVENTS], DEF_GLOBS_MAX, syntax_event, &notification->events);
    read_texts(r, values[NOTIFICATION_PIPELINES], DEF_GLOBS_MAX, syntax_glob,
               &notification->pipelines);
    if (notification->pipelines.count == 0)
        strv_add(&notification->pipelines, "**");
    read_texts(r, values[NOTIFICATION_STAGES], DEF_GLOBS_MAX, syntax_glob, &notification->stages);
    read_words(r, values[NOTIFICATION_OUTCOMES], DEF_GLOBS_MAX, check_outcome, outcome_words,
               &notification->outcomes);
    read_channel(r, notification, spec, values[NOTIFICATION_WEBHOOK], values[NOTIFICATION_MAIL]);
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
