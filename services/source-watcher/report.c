#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "events/event.h"
#include "gantry/v1/source.pb-c.h"
#include "log/log.h"

struct reporter {
    struct watcher *watcher;
    struct metric *by_webhook, *by_poll, *failed;
};

struct report {
    struct reporter *reporter;
    struct head *head;
    char *pipeline, *ref;
    char commit[65];
    char id[64];
    bool by_webhook, skip;
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

struct reporter *reporter_new(struct watcher *watcher)
{
    static const char help[] = "Revisions reported.";
    struct reporter *reporter = mem_alloc(sizeof(*reporter));
    struct metrics *m = watcher->svc->metrics;

    reporter->watcher = watcher;
    reporter->by_webhook =
        metrics_counter(m, "gantry_source_revisions_total", "by=\"webhook\"", help);
    reporter->by_poll = metrics_counter(m, "gantry_source_revisions_total", "by=\"poll\"", help);
    reporter->failed = metrics_counter(m, "gantry_source_report_failures_total", NULL,
                                       "Revisions that Kafka did not acknowledge.");
    return reporter;
}

void reporter_free(struct reporter *reporter)
{
    free(reporter);
}

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct report *report = arg;
    struct reporter *reporter = report->reporter;

    head_acked(report->head, ack, report->commit, report->id);
    if (ack->ok) {
        metric_add(report->by_webhook ? reporter->by_webhook : reporter->by_poll, 1);
        log_info("revision reported", LOG_S("pipeline", report->pipeline),
                 LOG_S("ref", report->ref), LOG_S("commit", report->commit),
                 LOG_S("by", report->by_webhook ? "webhook" : "poll"), LOG_B("skip", report->skip));
    } else {
        metric_add(reporter->failed, 1);
        log_warn("revision could not be reported", LOG_S("pipeline", report->pipeline),
                 LOG_S("ref", report->ref), LOG_S("commit", report->commit), LOG_E(&ack->err));
    }
    if (report->done)
        report->done(ack->ok ? NULL : &ack->err, report->arg);
    free(report->pipeline);
    free(report->ref);
    free(report);
}

static void fill(Gantry__V1__SourceChanged *message, const struct head *head,
                 const struct change *change)
{
    message->pipeline = (char *)change->pipeline;
    message->source = (char *)change->source;
    message->git = (char *)change->git;
    message->ref = (char *)change->ref;
    message->before = (char *)head->tip.commit;
    message->after = (char *)change->after;
    message->forced = change->forced;
    message->message = (char *)(change->message ? change->message : "");
    message->pusher = (char *)(change->pusher ? change->pusher : "");
    message->n_people = change->people ? change->people->count : 0;
    message->people = change->people ? change->people->items : NULL;
    message->people_complete = change->people_complete;
    message->n_paths = change->paths ? change->paths->count : 0;
    message->paths = change->paths ? change->paths->items : NULL;
    message->paths_complete = change->paths_complete;
    message->skip = change->skip;
    message->reported_by = change->by_webhook ? "webhook" : "poll";
}

int report_change(struct reporter *reporter, struct head *head, const struct change *change,
                  void (*done)(const struct err *err, void *arg), void *arg, struct err *err)
{
    Gantry__V1__SourceChanged message = GANTRY__V1__SOURCE_CHANGED__INIT;
    struct report *report = mem_alloc(sizeof(*report));
    struct event_meta meta = {0};

    report->reporter = reporter;
    report->head = head;
    report->by_webhook = change->by_webhook;
    report->skip = change->skip;
    report->done = done;
    report->arg = arg;
    snprintf(report->commit, sizeof(report->commit), "%s", change->after);
    event_id_source(report->id, change->pipeline, change->source, change->ref, head->tip.commit,
                    change->after, head->tip.id);
    snprintf(meta.id, sizeof(meta.id), "%s", report->id);
    snprintf(meta.subject, sizeof(meta.subject), "%s", change->pipeline);
    event_trace_of(meta.traceparent, "", report->id);
    fill(&message, head, change);
    if (bus_produce(reporter->watcher->producer, TOPIC_SOURCE, &meta, &message, on_ack, report,
                    err) != 0) {
        free(report);
        return -1;
    }
    report->pipeline = mem_strdup(change->pipeline);
    report->ref = mem_strdup(change->ref);
    head_sent(head, report->commit, report->id);
    return 0;
}

bool message_says_skip(const char *message)
{
    static const char *const marks[] = {"[skip ci]", "[ci skip]", "[no ci]"};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (message && strcasestr(message, marks[i]))
            return true;
    }
    return false;
}
