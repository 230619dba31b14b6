#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "services/notifier/notifier.h"

#define LOG_LINES  10
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

enum wording_tone wording_tone(const Gantry__V1__ReleaseEvent *event)
{
    const char *outcome = wording_outcome(event);

    if (str_eq(outcome, "succeeded") || str_eq(outcome, "approved"))
        return WORDING_GOOD;
    if (str_eq(outcome, "failed") || str_eq(outcome, "rejected") || str_eq(outcome, "expired"))
        return WORDING_BAD;
    switch (event->fact_case) {
    case FACT(APPROVAL_OPENED):
    case FACT(STAGE_WAITING):
        return WORDING_WAITS;
    case FACT(RELEASE_STARTED):
    case FACT(STAGE_ENTERED):
    case FACT(ACTION_REQUESTED):
    case FACT(ACTION_STARTED):
    case FACT(VOTE_COUNTED):
        return WORDING_GOES_ON;
    case FACT(COMMAND_REFUSED):
    case FACT(DEFINITION_REFUSED):
    case FACT(VOTE_REFUSED):
        return WORDING_BAD;
    default:
        return WORDING_PLAIN;
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

static size_t approvals_of(const Gantry__V1__ApprovalRequest *approval)
{
    size_t count = 0;

    for (size_t i = 0; i < approval->n_votes; i++)
        count += approval->votes[i]->verdict == GANTRY__V1__VERDICT__VERDICT_APPROVE;
    return count;
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
                          approvals_of(event->vote_counted->approval),
                          event->vote_counted->approval->count, stage);
    case FACT(APPROVAL_CLOSED):
        return mem_printf("%s/%llu: approval for %s %s", p, release, stage, wording_outcome(event));
    default:
        wording_kind(event, kind);
        for (char *c = kind; *c; c++)
            *c = *c == '.' || *c == '-' ? ' ' : *c;
        return release ? mem_printf("%s/%llu: %s", p, release, kind)
                       : mem_printf("%s: %s", p, kind);
    }
}

/* What builds and people wrote may hold anything: neither colours of a terminal nor bytes that are
 * no UTF-8 go into a mail. */
static void clean(char *text)
{
    bool utf8 = str_is_utf8(text, strlen(text));
    char *to = text;

    for (const char *c = text; *c; c++) {
        if (c[0] == '\x1b' && c[1] == '[') {
            c += 2;
            c += strspn(c, "0123456789;?");
            if (!*c)
                break;
            continue;
        }
        if (*c == '\r')
            continue;
        if ((unsigned char)*c < ' ' && *c != '\n')
            *to++ = ' ';
        else
            *to++ = *c == 0x7f || (!utf8 && (*c & 0x80)) ? '?' : *c;
    }
    *to = '\0';
}

static void add(struct wording_details *out, const char *label, char *value)
{
    if (value)
        clean(value);
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

static char *for_people(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[64];
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%e %b %Y, %H:%M UTC", &utc);
    return mem_strdup(text + strspn(text, " "));
}

/* The first so many, and how many more there are. */
static char *first_of(char *const *items, size_t count, const char *between, size_t max)
{
    struct buf out;

    buf_init(&out, 8 * 1024);
    for (size_t i = 0; i < count && i < max; i++)
        if (buf_addf(&out, "%s%s", i ? between : "", items[i]) < 0)
            break;
    if (count > max)
        buf_addf(&out, "%sand %zu more", between, count - max);
    return buf_detach(&out);
}

static void add_revisions(struct wording_details *out, Gantry__V1__Revision *const *revisions,
                          size_t count)
{
    for (size_t i = 0; i < count && i < 4; i++)
        add(out, "Commit", mem_printf("%.8s %s", revisions[i]->commit, revisions[i]->message));
}

static void add_votes(struct wording_details *out, const Gantry__V1__ApprovalRequest *approval)
{
    add(out, "Approvals", mem_printf("%zu of %u", approvals_of(approval), approval->count));
    for (size_t i = 0; i < approval->n_votes && i < 4; i++) {
        const Gantry__V1__Vote *vote = approval->votes[i];

        add(out, vote->verdict == GANTRY__V1__VERDICT__VERDICT_REJECT ? "Rejected" : "Approved",
            mem_printf("%s%s%s", vote->voter ? vote->voter->name : "", *vote->comment ? ": " : "",
                       vote->comment));
    }
}

static void add_approval(struct wording_details *out, const Gantry__V1__ApprovalRequest *approval)
{
    bool open = approval->verb == GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN;

    add(out, "Message", mem_strdup(approval->message));
    if (!open)
        add(out, "Reason", mem_strdup(approval->reason));
    add_revisions(out, approval->revisions, approval->n_revisions);
    add(out, "Image", short_digest(approval->digest));
    add(out, "Runs there", short_digest(approval->previous_digest));
    add(out, "Authors", first_of(approval->authors, approval->n_authors, ", ", 10));
    if (open)
        add(out, "Asked", first_of(approval->by, approval->n_by, ", ", 10));
    add_votes(out, approval);
    if (open && approval->expires_ms)
        add(out, "Until", for_people(approval->expires_ms));
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
    if (finished->n_log_tail) {
        size_t skip = finished->n_log_tail > LOG_LINES ? finished->n_log_tail - LOG_LINES : 0;

        add(out, WORDING_LOG,
            first_of(finished->log_tail + skip, finished->n_log_tail - skip, "\n", LOG_LINES));
    }
}

void wording_details(const Gantry__V1__ReleaseEvent *event, struct wording_details *out)
{
    memset(out, 0, sizeof *out);
    switch (event->fact_case) {
    case FACT(RELEASE_STARTED):
        add_revisions(out, event->release_started->revisions, event->release_started->n_revisions);
        if (event->release_started->starter)
            add(out, "Started by", mem_strdup(event->release_started->starter->name));
        add(out, "Reason", mem_strdup(event->release_started->reason));
        break;
    case FACT(RELEASE_ENDED):
        add(out, "Reason", mem_strdup(event->release_ended->reason));
        if (event->release_ended->superseded_by)
            add(out, "Superseded",
                mem_printf("by %s/%llu", event->pipeline,
                           (unsigned long long)event->release_ended->superseded_by));
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
    add(out, "When", for_people(event->time_ms));
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
    size_t len = console_url ? strlen(console_url) : 0;

    while (len > 0 && console_url[len - 1] == '/')
        len--;
    if (!len)
        return NULL;
    if (!release)
        return mem_printf("%.*s/pipelines/%s", (int)len, console_url, event->pipeline);
    return mem_printf("%.*s/pipelines/%s/%llu", (int)len, console_url, event->pipeline, release);
}
