/* Approvals: gates on a transition and actions inside a stage alike. */
#include <string.h>

#include "engine/message.h"
#include "engine/plan.h"

const struct def_approval *release_approval(const struct release *release, const char *name,
                                            const struct approval **approval)
{
    const struct def_stage *stage = release_stage(release);
    *approval = NULL;
    if (!stage)
        return NULL;
    if (release->phase == RELEASE_INSIDE) {
        long place = stage_action_place(stage, name);
        const struct def_action *action =
            place >= 0 ? stage_action_at(stage, (size_t)place, NULL) : NULL;
        if (!action || action->kind != DEF_APPROVAL)
            return NULL;
        *approval = release->runs[place].approval;
        return &action->approval;
    }
    for (size_t i = 0; release->phase == RELEASE_WAITING && i < release->gate_count; i++) {
        if (stage->gates[i].kind == DEF_GATE_APPROVAL && strcmp(stage->gates[i].name, name) == 0) {
            *approval = release->gates[i].approval;
            return &stage->gates[i].approval;
        }
    }
    return NULL;
}

static char **copy_list(struct plan *plan, const struct strv *list)
{
    char **items = list->count ? arena_alloc(plan->arena, list->count * sizeof(*items)) : NULL;
    for (size_t i = 0; i < list->count; i++)
        items[i] = plan_string(plan, list->items[i]);
    return items;
}

static void add_authors(struct plan *plan, const struct release *release,
                        Gantry__V1__ApprovalRequest *m)
{
    struct strv authors = {0};
    m->authors_complete = state_authors(plan->state, release, m->stage, &authors);
    m->n_authors = authors.count;
    m->authors = copy_list(plan, &authors);
    strv_release(&authors);
}

static void add_votes(struct plan *plan, const struct approval *approval,
                      Gantry__V1__ApprovalRequest *m)
{
    size_t count = approval->votes.count;
    m->votes = count ? arena_alloc(plan->arena, count * sizeof(*m->votes)) : NULL;
    m->n_votes = count;
    for (size_t i = 0; i < count; i++) {
        struct fixed *vote = arena_hold(plan->arena, approval->votes.items[i]);
        m->votes[i] = (Gantry__V1__Vote *)vote->message;
    }
}

Gantry__V1__ApprovalRequest *plan_approval(struct plan *plan, const struct release *release,
                                           const char *gate, const struct def_approval *rules,
                                           const struct approval *approval, int verb)
{
    struct facts *facts = arena_hold(plan->arena, release->facts);
    char digest[80];
    Gantry__V1__ApprovalRequest *m =
        PLAN_MESSAGE(plan, Gantry__V1__ApprovalRequest, gantry__v1__approval_request__init);
    m->verb = (Gantry__V1__ApprovalVerb)verb;
    m->pipeline = plan_string(plan, plan->state->pipeline->text);
    m->release = release->number;
    m->stage = plan_string(plan, release_stage(release)->name);
    m->gate = plan_string(plan, gate);
    m->n_by = rules->by.count;
    m->by = copy_list(plan, &rules->by);
    m->n_not_ = rules->not_.count;
    m->not_ = copy_list(plan, &rules->not_);
    m->count = rules->count;
    m->rejects = rules->rejects;
    plan_expand(plan, release, rules->message, &m->message, NULL);
    m->starter = facts->started->starter;
    m->n_revisions = facts->started->n_revisions;
    m->revisions = facts->started->revisions;
    state_last_digest(plan->state, m->stage, digest);
    m->previous_digest = plan_string(plan, digest);
    if (approval) {
        m->approval_id = plan_string(plan, approval->id);
        m->number = approval->number;
        m->digest = plan_string(plan, approval->digest);
        m->opened_ms = approval->opened_ms;
        m->expires_ms = approval->expires_ms;
        add_votes(plan, approval, m);
    }
    if (verb != GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED)
        add_authors(plan, release, m);
    return m;
}

void plan_approval_open(struct plan *plan, uint64_t number, const char *gate,
                        const struct def_approval *rules)
{
    const struct release *release = state_release(plan->state, number);
    const struct approval *before;
    char id[ID_SIZE], digest[80];
    release_approval(release, gate, &before);
    uint32_t opening = before ? before->number + 1 : 1;
    Gantry__V1__ApprovalRequest *m = plan_approval(plan, release, gate, rules, NULL,
                                                   GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN);
    event_id_approval(id, plan->epoch, m->pipeline, number, m->stage, gate, opening);
    state_digest(&release->artifacts, release->facts, digest);
    m->approval_id = plan_string(plan, id);
    m->number = opening;
    m->digest = plan_string(plan, digest);
    m->opened_ms = plan->now_ms;
    m->expires_ms = plan->now_ms + rules->expires_ms;
    Gantry__V1__ApprovalOpened *opened =
        PLAN_MESSAGE(plan, Gantry__V1__ApprovalOpened, gantry__v1__approval_opened__init);
    opened->approval = m;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED, opened);
}

void plan_approval_close(struct plan *plan, uint64_t number, const char *gate,
                         const struct def_approval *rules, int outcome, const char *reason)
{
    const struct release *release = state_release(plan->state, number);
    const struct approval *approval;
    release_approval(release, gate, &approval);
    Gantry__V1__ApprovalRequest *m = plan_approval(plan, release, gate, rules, approval,
                                                   GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED);
    m->outcome = (Gantry__V1__ApprovalOutcome)outcome;
    m->reason = plan_string(plan, reason);
    Gantry__V1__ApprovalClosed *closed =
        PLAN_MESSAGE(plan, Gantry__V1__ApprovalClosed, gantry__v1__approval_closed__init);
    closed->approval = m;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED, closed);
}

void plan_approval_ended(struct plan *plan, uint64_t number, const char *gate, bool approved,
                         const char *reason)
{
    const struct release *release = state_release(plan->state, number);
    if (!release)
        return;
    if (release->phase == RELEASE_INSIDE) {
        long place = stage_action_place(release_stage(release), gate);
        plan_action_ended(plan, release, (struct slot){(size_t)place, 0},
                          approved ? GANTRY__V1__STATUS__STATUS_SUCCEEDED
                                   : GANTRY__V1__STATUS__STATUS_FAILED,
                          reason, NULL, false);
    } else if (!approved) {
        plan_end_waiting(plan, number, GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_STOPPED,
                         GANTRY__V1__STATUS__STATUS_FAILED, reason, 0);
    }
}
