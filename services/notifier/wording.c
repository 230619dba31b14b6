#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "services/notifier/notifier.h"

#define FACT(name) GANTRY__V1__RELEASE_EVENT__FACT_##name

void wording_kind(const Gantry__V1__ReleaseEvent *event, char out[EVENT_TYPE_MAX])
{
    const char *type = event_type_of(TOPIC_EVENT, event);
    size_t len;

    if (str_starts(type, "gantry."))
        type += strlen("gantry.");
    len = strlen(type);
    if (str_ends(type, ".v1"))
        len -= strlen(".v1");
    snprintf(out, EVENT_TYPE_MAX, "%.*s", (int)len, type);
}

const char *wording_stage(const Gantry__V1__ReleaseEvent *event)
{
    const char *stage = NULL;

    switch (event->fact_case) {
    case FACT(STAGE_WAITING):
        stage = event->stage_waiting->stage;
        break;
    case FACT(STAGE_ENTERED):
        stage = event->stage_entered->stage;
        break;
    case FACT(STAGE_ENDED):
        stage = event->stage_ended->stage;
        break;
    case FACT(ACTION_REQUESTED):
        stage = event->action_requested->request ? event->action_requested->request->stage : NULL;
        break;
    case FACT(ACTION_STARTED):
        stage = event->action_started->stage;
        break;
    case FACT(ACTION_ENDED):
        stage = event->action_ended->stage;
        break;
    case FACT(APPROVAL_OPENED):
        stage = event->approval_opened->approval->stage;
        break;
    case FACT(VOTE_COUNTED):
        stage = event->vote_counted->approval->stage;
        break;
    case FACT(VOTE_REFUSED):
        stage = event->vote_refused->stage;
        break;
    case FACT(APPROVAL_CLOSED):
        stage = event->approval_closed->approval->stage;
        break;
    default:
        break;
    }
    return stage ? stage : "";
}

uint64_t wording_release(const Gantry__V1__ReleaseEvent *event)
{
    switch (event->fact_case) {
    case FACT(RELEASE_STARTED):
        return event->release_started->release;
    case FACT(RELEASE_ENDED):
        return event->release_ended->release;
    case FACT(RELEASE_STOPPING):
        return event->release_stopping->release;
    case FACT(STAGE_WAITING):
        return event->stage_waiting->release;
    case FACT(STAGE_ENTERED):
        return event->stage_entered->release;
    case FACT(STAGE_ENDED):
        return event->stage_ended->release;
    case FACT(ACTION_REQUESTED):
        return event->action_requested->request ? event->action_requested->request->release : 0;
    case FACT(ACTION_STARTED):
        return event->action_started->release;
    case FACT(ACTION_ENDED):
        return event->action_ended->release;
    case FACT(ARTIFACT_SET):
        return event->artifact_set->release;
    case FACT(APPROVAL_OPENED):
        return event->approval_opened->approval->release;
    case FACT(VOTE_COUNTED):
        return event->vote_counted->approval->release;
    case FACT(VOTE_REFUSED):
        return event->vote_refused->release;
    case FACT(APPROVAL_CLOSED):
        return event->approval_closed->approval->release;
    default:
        return 0;
    }
}

static const char *status_name(Gantry__V1__Status status)
{
    switch (status) {
    case GANTRY__V1__STATUS__STATUS_WAITING:
        return "waiting";
    case GANTRY__V1__STATUS__STATUS_IN_PROGRESS:
        return "in-progress";
    case GANTRY__V1__STATUS__STATUS_SUCCEEDED:
        return "succeeded";
    case GANTRY__V1__STATUS__STATUS_FAILED:
        return "failed";
    case GANTRY__V1__STATUS__STATUS_STOPPED:
        return "stopped";
    case GANTRY__V1__STATUS__STATUS_SUPERSEDED:
        return "superseded";
    case GANTRY__V1__STATUS__STATUS_SKIPPED:
        return "skipped";
    case GANTRY__V1__STATUS__STATUS_ABANDONED:
        return "abandoned";
    default:
        return "";
    }
}

static const char *outcome_name(Gantry__V1__ApprovalOutcome outcome)
{
    switch (outcome) {
    case GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_APPROVED:
        return "approved";
    case GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_REJECTED:
        return "rejected";
    case GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_EXPIRED:
        return "expired";
    case GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_SUPERSEDED:
        return "superseded";
    case GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_STOPPED:
        return "stopped";
    default:
        return "";
    }
}

const char *wording_outcome(const Gantry__V1__ReleaseEvent *event)
{
    switch (event->fact_case) {
    case FACT(RELEASE_ENDED):
        return status_name(event->release_ended->status);
    case FACT(STAGE_ENDED):
        return status_name(event->stage_ended->status);
    case FACT(ACTION_ENDED):
        return status_name(event->action_ended->status);
    case FACT(APPROVAL_CLOSED):
        return outcome_name(event->approval_closed->approval->outcome);
    default:
        return "";
    }
}

char *wording_headline(const Gantry__V1__ReleaseEvent *event)
{
    unsigned long long release = wording_release(event);
    const char *stage = wording_stage(event), *p = event->pipeline;
    char kind[EVENT_TYPE_MAX];

    switch (event->fact_case) {
    case FACT(RELEASE_STARTED):
        return mem_printf("%s/%llu started%s", p, release,
                          event->release_started->type ==
                                  GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK
                              ? " (rollback)"
                              : "");
    case FACT(RELEASE_ENDED):
        return mem_printf("%s/%llu %s", p, release, wording_outcome(event));
    case FACT(RELEASE_STOPPING):
        return mem_printf("%s/%llu is being stopped", p, release);
    case FACT(STAGE_WAITING):
        return mem_printf("%s/%llu waits to enter %s", p, release, stage);
    case FACT(STAGE_ENTERED):
        return mem_printf("%s/%llu entered %s", p, release, stage);
    case FACT(STAGE_ENDED):
        return mem_printf("%s/%llu %s in %s", p, release, wording_outcome(event), stage);
    case FACT(ACTION_ENDED):
        return mem_printf("%s/%llu: %s %s in %s", p, release, event->action_ended->action,
                          wording_outcome(event), stage);
    case FACT(APPROVAL_OPENED):
        return mem_printf("%s/%llu wants approval for %s", p, release, stage);
    case FACT(VOTE_COUNTED):
        return mem_printf("%s/%llu: %zu of %u approvals for %s", p, release,
                          event->vote_counted->approval->n_votes,
                          event->vote_counted->approval->count, stage);
    case FACT(APPROVAL_CLOSED):
        return mem_printf("%s/%llu: approval for %s %s", p, release, stage, wording_outcome(event));
    default:
        wording_kind(event, kind);
        return release ? mem_printf("%s/%llu: %s", p, release, kind)
                       : mem_printf("%s: %s", p, kind);
    }
}

static void add(struct wording_details *out, const char *label, char *value)
{
    if (str_empty(value) || out->count == sizeof out->items / sizeof out->items[0]) {
        free(value);
        return;
    }
    out->items[out->count].label = label;
    out->items[out->count].value = value;
    out->count++;
}

static char *short_digest(const char *digest)
{
    return str_starts(digest, "sha256:") ? mem_strndup(digest, strlen("sha256:") + 12)
                                         : mem_strdup(digest);
}

static char *joined(char *const *items, size_t count)
{
    struct buf out;

    buf_init(&out, 1024);
    for (size_t i = 0; i < count; i++)
        if (buf_addf(&out, "%s%s", i ? ", " : "", items[i]) < 0)
            break;
    return buf_detach(&out);
}

static void add_revisions(struct wording_details *out, Gantry__V1__Revision *const *revisions,
                          size_t count)
{
    for (size_t i = 0; i < count && i < 4; i++)
        add(out, "Commit", mem_printf("%.8s %s", revisions[i]->commit, revisions[i]->message));
}

static void add_approval(struct wording_details *out, const Gantry__V1__ApprovalRequest *approval)
{
    char expires[CLOCK_RFC3339_SIZE];

    add_revisions(out, approval->revisions, approval->n_revisions);
    add(out, "Image", short_digest(approval->digest));
    add(out, "Runs there", short_digest(approval->previous_digest));
    add(out, "Authors", joined(approval->authors, approval->n_authors));
    add(out, "Asked", joined(approval->by, approval->n_by));
    add(out, "Votes", mem_printf("%zu of %u", approval->n_votes, approval->count));
    for (size_t i = 0; i < approval->n_votes && i < 4; i++)
        add(out, "Vote",
            mem_printf("%s%s%s", approval->votes[i]->voter ? approval->votes[i]->voter->name : "",
                       *approval->votes[i]->comment ? ": " : "", approval->votes[i]->comment));
    add(out, "Message", mem_strdup(approval->message));
    add(out, "Reason", mem_strdup(approval->reason));
    if (approval->verb == GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN && approval->expires_ms) {
        clock_rfc3339(approval->expires_ms, expires);
        add(out, "Until", mem_strdup(expires));
    }
}

static void add_finished(struct wording_details *out, const Gantry__V1__Finished *finished)
{
    if (!finished)
        return;
    add(out, "Reason", mem_strdup(finished->reason));
    add(out, "Phase", mem_strdup(finished->phase));
    add(out, "Command", mem_strdup(finished->command));
    if (finished->exit_code)
        add(out, "Exit code", mem_printf("%d", finished->exit_code));
    if (finished->n_log_tail)
        add(out, "Last line", mem_strdup(finished->log_tail[finished->n_log_tail - 1]));
}

void wording_details(const Gantry__V1__ReleaseEvent *event, struct wording_details *out)
{
    char time[CLOCK_RFC3339_SIZE];

    memset(out, 0, sizeof *out);
    add(out, "Pipeline", mem_strdup(event->pipeline));
    switch (event->fact_case) {
    case FACT(RELEASE_STARTED):
        add_revisions(out, event->release_started->revisions, event->release_started->n_revisions);
        if (event->release_started->starter)
            add(out, "Started by", mem_strdup(event->release_started->starter->name));
        add(out, "Reason", mem_strdup(event->release_started->reason));
        break;
    case FACT(RELEASE_ENDED):
        add(out, "Reason", mem_strdup(event->release_ended->reason));
        break;
    case FACT(STAGE_ENDED):
        add(out, "Reason", mem_strdup(event->stage_ended->reason));
        break;
    case FACT(ACTION_ENDED):
        add_finished(out, event->action_ended->finished);
        if (!event->action_ended->finished)
            add(out, "Reason", mem_strdup(event->action_ended->reason));
        break;
    case FACT(APPROVAL_OPENED):
        add_approval(out, event->approval_opened->approval);
        break;
    case FACT(VOTE_COUNTED):
        add_approval(out, event->vote_counted->approval);
        break;
    case FACT(APPROVAL_CLOSED):
        add_approval(out, event->approval_closed->approval);
        break;
    default:
        break;
    }
    clock_rfc3339(event->time_ms, time);
    add(out, "When", mem_strdup(time));
}

void wording_details_release(struct wording_details *details)
{
    for (size_t i = 0; i < details->count; i++)
        free(details->items[i].value);
    details->count = 0;
}

char *wording_link(const Gantry__V1__ReleaseEvent *event, const char *console_url)
{
    unsigned long long release = wording_release(event);

    if (str_empty(console_url))
        return NULL;
    if (!release)
        return mem_printf("%s/pipelines/%s", console_url, event->pipeline);
    return mem_printf("%s/pipelines/%s/releases/%llu", console_url, event->pipeline, release);
}
