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
    case FACT(TRANSITION_SET):
        stage = event->transition_set->stage;
        break;
    case FACT(RELEASE_PROMOTED):
        stage = event->release_promoted->stage;
        break;
    case FACT(GATE_OVERRIDDEN):
        stage = event->gate_overridden->stage;
        break;
    case FACT(CHECK_ASKED):
        stage = event->check_asked->request ? event->check_asked->request->stage : NULL;
        break;
    case FACT(CHECK_ANSWERED):
        stage = event->check_answered->stage;
        break;
    case FACT(ACTION_SILENT):
        stage = event->action_silent->stage;
        break;
    case FACT(BATCH_PLANNED):
        stage = event->batch_planned->stage;
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
    case FACT(RELEASE_PROMOTED):
        return event->release_promoted->release;
    case FACT(GATE_OVERRIDDEN):
        return event->gate_overridden->release;
    case FACT(CHECK_ASKED):
        return event->check_asked->request ? event->check_asked->request->release : 0;
    case FACT(CHECK_ANSWERED):
        return event->check_answered->release;
    case FACT(ACTION_SILENT):
        return event->action_silent->release;
    case FACT(BATCH_PLANNED):
        return event->batch_planned->release;
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
    case GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_OVERRIDDEN:
        return "overridden";
    default:
        return "";
    }
}

static bool is_own_rollback(const Gantry__V1__ReleaseEvent *event)
{
    return event->fact_case == FACT(RELEASE_STARTED) && event->release_started->failed_release;
}

const char *wording_word(const Gantry__V1__ReleaseEvent *event)
{
    switch (event->fact_case) {
    case FACT(APPROVAL_OPENED):
        return "Approval wanted";
    case FACT(RELEASE_STARTED):
        return is_own_rollback(event) ? "Rolled back" : NULL;
    case FACT(STAGE_ENTERED):
        return event->stage_entered->automatic ? "Retried" : NULL;
    case FACT(TRANSITION_SET):
        return event->transition_set->enabled ? "Enabled" : "Disabled";
    case FACT(RELEASE_PROMOTED):
        return "Promoted";
    case FACT(GATE_OVERRIDDEN):
        return "Gate overridden";
    case FACT(CHECK_ASKED):
        return "Check asked";
    case FACT(CHECK_ANSWERED):
        return event->check_answered->withdrawn ? "Check withdrawn"
               : event->check_answered->yes     ? "Check says yes"
                                                : "Check says no";
    case FACT(ENVIRONMENT_PINNED):
        return event->environment_pinned->pinned ? "Pinned" : "Unpinned";
    case FACT(ACTION_SILENT):
        return "Silent";
    case FACT(BATCH_PLANNED):
        return "Planned";
    default:
        return NULL;
    }
}

enum wording_tone wording_tone(const Gantry__V1__ReleaseEvent *event)
{
    const char *outcome = wording_outcome(event);

    if (str_eq(outcome, "succeeded") || str_eq(outcome, "approved"))
        return WORDING_GOOD;
    if (str_eq(outcome, "failed") || str_eq(outcome, "rejected") || str_eq(outcome, "expired"))
        return WORDING_BAD;
    if (is_own_rollback(event))
        return WORDING_BAD;
    switch (event->fact_case) {
    case FACT(APPROVAL_OPENED):
    case FACT(STAGE_WAITING):
    case FACT(GATE_OVERRIDDEN):
    case FACT(ACTION_SILENT):
        return WORDING_WAITS;
    case FACT(TRANSITION_SET):
        return event->transition_set->enabled ? WORDING_PLAIN : WORDING_WAITS;
    case FACT(ENVIRONMENT_PINNED):
        return event->environment_pinned->pinned ? WORDING_WAITS : WORDING_PLAIN;
    case FACT(CHECK_ANSWERED):
        return event->check_answered->yes ? WORDING_GOOD : WORDING_WAITS;
    case FACT(RELEASE_PROMOTED):
    case FACT(CHECK_ASKED):
    case FACT(RELEASE_STARTED):
    case FACT(STAGE_ENTERED):
    case FACT(ACTION_REQUESTED):
    case FACT(ACTION_STARTED):
    case FACT(BATCH_PLANNED):
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

size_t wording_votes(const Gantry__V1__ApprovalRequest *approval, int verdict)
{
    size_t count = 0;

    for (size_t i = 0; i < approval->n_votes; i++)
        count += (int)approval->votes[i]->verdict == verdict;
    return count;
}

const char *wording_actor(const Gantry__V1__ReleaseEvent *event, const Gantry__V1__Actor *by)
{
    const Gantry__V1__Actor *actor = by ? by : event->actor;

    if (!actor)
        return "";
    return str_empty(actor->name) ? actor->subject : actor->name;
}

static char *started(const Gantry__V1__ReleaseEvent *event)
{
    const Gantry__V1__ReleaseStarted *fact = event->release_started;
    unsigned long long release = fact->release, failed = fact->failed_release;

    if (failed)
        return mem_printf("%s/%llu: %s rolled back by itself because release %llu failed",
                          event->pipeline, release, fact->rollback_stage, failed);
    return mem_printf("%s/%llu started%s", event->pipeline, release,
                      fact->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK ? " (rollback)"
                                                                                    : "");
}

/* What people did between the stages, what checks said, who is silent; NULL: it is none of these.
 */
static char *steering(const Gantry__V1__ReleaseEvent *event)
{
    unsigned long long release = wording_release(event);
    const char *stage = wording_stage(event), *p = event->pipeline;
    char human[32];

    switch (event->fact_case) {
    case FACT(TRANSITION_SET):
        return event->transition_set->enabled
                   ? mem_printf("%s: releases enter %s again", p, stage)
                   : mem_printf("%s: the way into %s is disabled", p, stage);
    case FACT(RELEASE_PROMOTED):
        return mem_printf("%s/%llu was promoted by hand for %s", p, release, stage);
    case FACT(GATE_OVERRIDDEN):
        return mem_printf("%s/%llu passes %s without %s: %s overrode it", p, release, stage,
                          event->gate_overridden->gate,
                          wording_actor(event, event->gate_overridden->by));
    case FACT(CHECK_ASKED):
        return mem_printf("%s/%llu: %s of %s is being asked", p, release,
                          event->check_asked->request->action, stage);
    case FACT(CHECK_ANSWERED):
        return mem_printf("%s/%llu: %s of %s %s", p, release, event->check_answered->gate, stage,
                          event->check_answered->withdrawn ? "is asked no more"
                          : event->check_answered->yes     ? "says yes"
                                                           : "says no");
    case FACT(ENVIRONMENT_PINNED):
        return mem_printf(event->environment_pinned->pinned ? "%s: %s is pinned"
                                                            : "%s: %s is not pinned any more",
                          p, event->environment_pinned->environment);
    case FACT(ACTION_SILENT):
        clock_human(event->action_silent->silent_ms, human);
        return mem_printf("%s/%llu: nothing was heard of %s in %s for %s", p, release,
                          event->action_silent->action, stage, human);
    default:
        return NULL;
    }
}

char *wording_headline(const Gantry__V1__ReleaseEvent *event)
{
    unsigned long long release = wording_release(event);
    const char *stage = wording_stage(event), *p = event->pipeline;
    char kind[EVENT_TYPE_MAX], *steered = steering(event);

    if (steered)
        return steered;
    switch (event->fact_case) {
    case FACT(RELEASE_STARTED):
        return started(event);
    case FACT(RELEASE_ENDED):
        return mem_printf("%s/%llu %s", p, release, wording_outcome(event));
    case FACT(RELEASE_STOPPING):
        return mem_printf("%s/%llu is being stopped", p, release);
    case FACT(STAGE_WAITING):
        return mem_printf("%s/%llu waits to enter %s", p, release, stage);
    case FACT(STAGE_ENTERED):
        return mem_printf(event->stage_entered->automatic ? "%s/%llu tries %s again by itself"
                                                          : "%s/%llu entered %s",
                          p, release, stage);
    case FACT(STAGE_ENDED):
        return mem_printf("%s/%llu %s in %s", p, release, wording_outcome(event), stage);
    case FACT(BATCH_PLANNED):
        return mem_printf("%s/%llu: %s in %s runs a batch of %zu", p, release,
                          event->batch_planned->action, stage,
                          event->batch_planned->finished->batch
                              ? event->batch_planned->finished->batch->n_builds
                              : 0);
    case FACT(ACTION_ENDED):
        return mem_printf("%s/%llu: %s %s in %s", p, release, event->action_ended->action,
                          wording_outcome(event), stage);
    case FACT(APPROVAL_OPENED):
        return mem_printf("%s/%llu wants approval for %s", p, release, stage);
    case FACT(VOTE_COUNTED):
        return mem_printf(
            "%s/%llu: %zu of %u approvals for %s", p, release,
            wording_votes(event->vote_counted->approval, GANTRY__V1__VERDICT__VERDICT_APPROVE),
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
