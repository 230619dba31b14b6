/* Changes as lines. */
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "scenario.h"

static const char *status(int value)
{
    static const char *const names[] = {"?",          "waiting", "in-progress",
                                        "succeeded",  "failed",  "stopped",
                                        "superseded", "skipped", "abandoned"};
    return names[value];
}

static const char *outcome(int value)
{
    static const char *const names[] = {"?",          "approved", "rejected",  "expired",
                                        "superseded", "stopped",  "overridden"};
    return names[value];
}

static void add_reason(struct buf *out, const char *reason)
{
    if (!str_empty(reason))
        buf_addf(out, ": %s", reason);
}

static void add_started(struct buf *out, const Gantry__V1__ReleaseStarted *m)
{
    buf_addf(out, "started %llu", (unsigned long long)m->release);
    if (m->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK)
        buf_addf(out, " rollback of %s to %llu", m->rollback_stage,
                 (unsigned long long)m->rollback_to);
    if (m->failed_release)
        buf_addf(out, " after %llu failed", (unsigned long long)m->failed_release);
    for (size_t i = 0; i < m->n_revisions; i++)
        buf_addf(out, " %s@%.4s", m->revisions[i]->source, m->revisions[i]->commit);
    for (size_t i = 0; i < m->n_variables; i++)
        buf_addf(out, " %s=%s", m->variables[i]->key, m->variables[i]->value);
}

static void add_ended(struct buf *out, const Gantry__V1__ReleaseEnded *m)
{
    buf_addf(out, "ended %llu %s", (unsigned long long)m->release, status((int)m->status));
    if (m->superseded_by)
        buf_addf(out, " by %llu", (unsigned long long)m->superseded_by);
    else
        add_reason(out, m->reason);
}

static void add_approval(struct buf *out, const char *what, const Gantry__V1__ApprovalRequest *m)
{
    buf_addf(out, "%s %llu %s/%s#%u", what, (unsigned long long)m->release, m->stage, m->gate,
             m->number);
}

static void add_of_release(struct buf *out, const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        add_started(out, change->release_started);
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED:
        add_ended(out, change->release_ended);
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STOPPING:
        buf_addf(out, "stopping %llu", (unsigned long long)change->release_stopping->release);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING: {
        const Gantry__V1__StageWaiting *m = change->stage_waiting;
        buf_addf(out, "waiting %llu %s", (unsigned long long)m->release, m->stage);
        for (size_t i = 0; i < m->n_held_by; i++)
            buf_addf(out, " %s", m->held_by[i]);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED: {
        const Gantry__V1__StageEntered *m = change->stage_entered;
        buf_addf(out, "entered %llu %s%s", (unsigned long long)m->release, m->stage,
                 m->automatic    ? " by itself"
                 : m->number > 1 ? " again"
                                 : "");
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENDED: {
        const Gantry__V1__StageEnded *m = change->stage_ended;
        buf_addf(out, "stage %llu %s %s", (unsigned long long)m->release, m->stage,
                 status((int)m->status));
        add_reason(out, m->reason);
        for (size_t i = 0; i < m->n_skipped; i++)
            buf_addf(out, "%s%s", i ? " " : ", skipped: ", m->skipped[i]);
        break;
    }
    }
}

static void add_of_gate(struct buf *out, const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_TRANSITION_SET: {
        const Gantry__V1__TransitionSet *m = change->transition_set;
        buf_addf(out, "transition %s %s", m->stage, m->enabled ? "enabled" : "disabled");
        add_reason(out, m->reason);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_RELEASE_PROMOTED: {
        const Gantry__V1__ReleasePromoted *m = change->release_promoted;
        buf_addf(out, "promoted %llu %s", (unsigned long long)m->release, m->stage);
        for (size_t i = 0; i < m->n_gates; i++)
            buf_addf(out, " %s", m->gates[i]);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_GATE_OVERRIDDEN: {
        const Gantry__V1__GateOverridden *m = change->gate_overridden;
        buf_addf(out, "overridden %llu %s/%s", (unsigned long long)m->release, m->stage, m->gate);
        add_reason(out, m->reason);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_CHECK_ASKED: {
        const Gantry__V1__ActionRequest *m = change->check_asked->request;
        buf_addf(out, "asked %llu %s/%s#%u", (unsigned long long)m->release, m->stage, m->action,
                 m->number);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_CHECK_ANSWERED: {
        const Gantry__V1__CheckAnswered *m = change->check_answered;
        buf_addf(out, "answered %llu %s/%s %s%s", (unsigned long long)m->release, m->stage, m->gate,
                 m->withdrawn ? "withdrawn"
                 : m->yes     ? "yes"
                              : "no",
                 m->cancel_case == GANTRY__V1__CHECK_ANSWERED__CANCEL_REQUEST ? " cancel" : "");
        add_reason(out, m->reason);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_ENVIRONMENT_PINNED: {
        const Gantry__V1__EnvironmentPinned *m = change->environment_pinned;
        buf_addf(out, "%s %s", m->pinned ? "pinned" : "unpinned", m->environment);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_ACTION_SILENT: {
        const Gantry__V1__ActionSilent *m = change->action_silent;
        buf_addf(out, "silent %llu %s/%s", (unsigned long long)m->release, m->stage, m->action);
        break;
    }
    }
}

static void add_of_action(struct buf *out, const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED: {
        const Gantry__V1__ActionRequest *m = change->action_requested->request;
        buf_addf(out, "request %llu %s/%s#%u", (unsigned long long)m->release, m->stage, m->action,
                 m->number);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_ACTION_STARTED: {
        const Gantry__V1__ActionStarted *m = change->action_started;
        buf_addf(out, "running %llu %s/%s attempt %u", (unsigned long long)m->release, m->stage,
                 m->action, m->attempt);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED: {
        const Gantry__V1__ActionEnded *m = change->action_ended;
        buf_addf(out, "done %llu %s/%s %s%s", (unsigned long long)m->release, m->stage, m->action,
                 status((int)m->status),
                 m->cancel_case == GANTRY__V1__ACTION_ENDED__CANCEL_REQUEST ? " cancel" : "");
        add_reason(out, m->reason);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED: {
        const Gantry__V1__BatchPlanned *m = change->batch_planned;
        buf_addf(out, "planned %llu %s/%s", (unsigned long long)m->release, m->stage, m->action);
        for (size_t i = 0; i < m->finished->batch->n_builds; i++)
            buf_addf(out, " %s", m->finished->batch->builds[i]->identifier);
        for (size_t i = 0; i < m->n_kept; i++)
            buf_addf(out, "%s%s", i ? " " : ", kept: ", m->kept[i]);
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_ARTIFACT_SET:
        buf_addf(out, "artifact %llu %s", (unsigned long long)change->artifact_set->release,
                 change->artifact_set->artifact->name);
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
        add_approval(out, "opened", change->approval_opened->approval);
        break;
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        add_approval(out, "vote", change->vote_counted->approval);
        buf_addf(out, " %s", change->vote_counted->vote->voter->name);
        break;
    case GANTRY__V1__CHANGE__WHAT_VOTE_REFUSED:
        buf_addf(out, "refused vote of %s: %s", change->vote_refused->vote->voter->name,
                 change->vote_refused->reason);
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED: {
        const Gantry__V1__ApprovalRequest *m = change->approval_closed->approval;
        add_approval(out, "closed", m);
        buf_addf(out, " %s", outcome((int)m->outcome));
        add_reason(out, m->reason);
        break;
    }
    }
}

char *scenario_change_text(const Gantry__V1__Change *change)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN:
        buf_addf(&out, "definition %llu", (unsigned long long)change->definition_taken->number);
        break;
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_DELETED:
        buf_adds(&out, "definition deleted");
        break;
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_REFUSED:
        buf_addf(&out, "refused definition: %s", change->definition_refused->reason);
        break;
    case GANTRY__V1__CHANGE__WHAT_REVISION_SEEN: {
        const Gantry__V1__RevisionSeen *m = change->revision_seen;
        buf_addf(&out, "seen %s@%.4s%s", m->change->source, m->change->after,
                 m->starts_release ? "" : " starts nothing");
        break;
    }
    case GANTRY__V1__CHANGE__WHAT_COMMAND_TAKEN:
        buf_addf(&out, "command %s", change->command_taken->what);
        break;
    case GANTRY__V1__CHANGE__WHAT_COMMAND_REFUSED:
        buf_addf(&out, "refused %s: %s", change->command_refused->what,
                 change->command_refused->reason);
        break;
    default:
        add_of_release(&out, change);
        add_of_gate(&out, change);
        add_of_action(&out, change);
    }
    return buf_detach(&out);
}
