/* Votes on approvals (docs/reference/pipeline.md, "Gates"). Each yields a Decision, a refusal too.
 */
#include <string.h>
#include <strings.h>

#include "engine/message.h"
#include "engine/plan.h"

#define COMMENT_MAX 2000 /* characters */

struct voting {
    struct plan *plan;
    const Gantry__V1__Vote *vote;
    const struct release *release;
    const char *gate;
    const struct def_approval *rules;
    const struct approval *approval;
};

/* Compared by verified e-mail without case; an empty one is nobody's. */
static bool same_email(const char *a, const char *b)
{
    return *a && *b && strcasecmp(a, b) == 0;
}

static bool same_person(const Gantry__V1__Actor *a, const Gantry__V1__Actor *b)
{
    return (*a->subject && strcmp(a->subject, b->subject) == 0) || same_email(a->email, b->email);
}

/* The open approval of an id, and where it is. */
static bool find_approval(struct voting *v, const struct engine_state *state, const char *id)
{
    for (size_t i = 0; i < state->releases.count; i++) {
        v->release = state_release_at(state, i);
        const struct def_stage *stage = release_stage(v->release);
        bool inside = v->release->phase == RELEASE_INSIDE;
        size_t count = inside ? v->release->run_count : v->release->gate_count;
        if (!stage || (!inside && v->release->phase != RELEASE_WAITING))
            continue;
        for (size_t j = 0; j < count; j++) {
            const struct approval *approval =
                inside ? v->release->runs[j].approval : v->release->gates[j].approval;
            if (!approval || approval->state != APPROVAL_OPEN || strcmp(approval->id, id) != 0)
                continue;
            v->gate = inside ? stage_action_at(stage, j, NULL)->name : stage->gates[j].name;
            v->rules = release_approval(v->release, v->gate, &v->approval);
            return true;
        }
    }
    v->release = NULL;
    return false;
}

static bool may_by(const struct def_approval *rules, const Gantry__V1__Actor *voter)
{
    for (size_t i = 0; i < rules->by.count; i++) {
        const char *by = rules->by.items[i];
        if (str_starts(by, "group:")) {
            for (size_t j = 0; j < voter->n_groups; j++) {
                if (strcmp(voter->groups[j], by + strlen("group:")) == 0)
                    return true;
            }
        } else if (str_starts(by, "user:")) {
            const char *user = by + strlen("user:");
            if (same_email(user, voter->email) ||
                (*voter->subject && strcmp(user, voter->subject) == 0))
                return true;
        }
    }
    return rules->by.count == 0;
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static const char *refuse_author(struct voting *v)
{
    struct strv authors = {0};
    const char *refusal = NULL;
    bool complete =
        state_authors(v->plan->state, v->release, release_stage(v->release)->name, &authors);
    if (!*v->vote->voter->email)
        refusal = "authors of the release may not vote, and your token carries no verified e-mail "
                  "to tell that you are none";
    else if (!complete)
        refusal =
            "authors of the release may not vote, and not everybody who brought its revisions "
            "is known";
    for (size_t i = 0; !refusal && i < authors.count; i++) {
        if (same_email(authors.items[i], v->vote->voter->email))
            refusal = plan_text(v->plan,
                                "authors of the release may not vote, and %s brought a "
                                "revision of it",
                                v->vote->voter->email);
    }
    strv_release(&authors);
    return refusal;
}

/* A push is started by nobody whom we know by more than the forge's name for him. */
static const char *refuse_starter(struct voting *v)
{
    const Gantry__V1__Actor *starter = v->release->facts->started->starter;
    const Gantry__V1__Actor *voter = v->vote->voter;
    static const char own[] = "who started the release may not vote";
    if (!starter)
        return NULL;
    if (same_person(starter, voter))
        return own;
    if (!*starter->subject) {
        const char *name = starter->name;
        return *name && (strcasecmp(name, voter->name) == 0 || same_email(name, voter->email))
                   ? own
                   : NULL;
    }
    if (*starter->email && !*voter->email)
        return "who started the release may not vote, and your token carries no verified e-mail to "
               "tell that you did not";
    return NULL;
}

/* Four eyes over two stages: who let it into an earlier one is not asked again. */
static const char *refuse_approver(struct voting *v, const char *stage)
{
    const Gantry__V1__Actor *voter = v->vote->voter;
    for (size_t i = 0; i < v->release->approvers.count; i++) {
        const struct approver *approver = v->release->approvers.items[i];
        if (strcmp(approver->stage, stage) != 0)
            continue;
        if (strcmp(approver->subject, voter->subject) == 0 ||
            same_email(approver->email, voter->email))
            return plan_text(v->plan, "who approved at stage '%s' may not vote", stage);
        if (!*voter->email || !*approver->email)
            return plan_text(v->plan,
                             "who approved at stage '%s' may not vote, and without verified "
                             "e-mails nobody can tell that you did not",
                             stage);
    }
    return NULL;
}

/* Each later change of the approval carries all of its votes. */
static bool too_large(const struct voting *v)
{
    size_t bytes = protobuf_c_message_get_packed_size(&v->vote->base);
    for (size_t i = 0; i < v->approval->votes.count; i++) {
        const struct fixed *fixed = v->approval->votes.items[i];
        bytes += protobuf_c_message_get_packed_size(fixed->message);
    }
    return bytes > STATE_VOTES_MAX;
}

/* Why the vote does not count; NULL: it does. */
static const char *why_refused(struct voting *v)
{
    const Gantry__V1__Vote *vote = v->vote;
    if (!find_approval(v, v->plan->state, vote->approval_id))
        return "this approval is not open: it was closed, or never was";
    if (strcmp(vote->digest, v->approval->digest) != 0)
        return plan_text(v->plan, "the vote is for %.80s, and the approval for %.80s", vote->digest,
                         v->approval->digest);
    if (characters(vote->comment) > COMMENT_MAX)
        return "the comment has more than 2,000 characters";
    if (!*vote->voter->subject)
        return "nobody is named as its voter";
    if (!may_by(v->rules, vote->voter))
        return "you are not among those who may decide here";
    for (size_t i = 0; i < v->approval->votes.count; i++) {
        const struct fixed *fixed = v->approval->votes.items[i];
        if (same_person(((const Gantry__V1__Vote *)fixed->message)->voter, vote->voter))
            return "you have voted already";
    }
    if (too_large(v))
        return "the votes of this approval take more than 128 KiB: write a shorter comment";
    const char *refusal = NULL;
    if (strv_has(&v->rules->not_, "author"))
        refusal = refuse_author(v);
    if (!refusal && strv_has(&v->rules->not_, "starter"))
        refusal = refuse_starter(v);
    for (size_t i = 0; !refusal && i < v->rules->not_.count; i++) {
        if (str_starts(v->rules->not_.items[i], "approver-of:"))
            refusal = refuse_approver(v, v->rules->not_.items[i] + strlen("approver-of:"));
    }
    return refusal;
}

static void refuse(struct voting *v, const char *reason)
{
    struct plan *plan = v->plan;
    Gantry__V1__VoteRefused *m =
        PLAN_MESSAGE(plan, Gantry__V1__VoteRefused, gantry__v1__vote_refused__init);
    m->vote = message_copy(plan->arena, v->vote);
    m->ce_id = plan_string(plan, plan->input->ce_id);
    m->reason = plan_string(plan, reason);
    if (v->release) {
        m->release = v->release->number;
        m->stage = plan_string(plan, release_stage(v->release)->name);
    }
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_VOTE_REFUSED, m);
}

static void count(struct voting *v)
{
    struct plan *plan = v->plan;
    Gantry__V1__VoteCounted *m =
        PLAN_MESSAGE(plan, Gantry__V1__VoteCounted, gantry__v1__vote_counted__init);
    m->vote = message_copy(plan->arena, v->vote);
    m->ce_id = plan_string(plan, plan->input->ce_id);
    m->approval = plan_approval(plan, v->release, v->gate, v->rules, v->approval,
                                GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CHANGED);
    size_t n = m->approval->n_votes;
    Gantry__V1__Vote **votes = arena_alloc(plan->arena, (n + 1) * sizeof(*votes));
    if (n)
        memcpy(votes, m->approval->votes, n * sizeof(*votes));
    votes[n] = m->vote;
    m->approval->votes = votes;
    m->approval->n_votes = n + 1;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED, m);
}

static uint32_t votes(const struct approval *approval, int verdict)
{
    uint32_t count = 0;
    for (size_t i = 0; i < approval->votes.count; i++) {
        const struct fixed *fixed = approval->votes.items[i];
        count += (int)((const Gantry__V1__Vote *)fixed->message)->verdict == verdict;
    }
    return count;
}

static void decide(struct voting *v, uint64_t number)
{
    struct plan *plan = v->plan;
    const char *gate = v->gate;
    const struct def_approval *rules = v->rules;
    const struct approval *approval;
    release_approval(state_release(plan->state, number), gate, &approval);
    if (votes(approval, GANTRY__V1__VERDICT__VERDICT_REJECT) >= rules->rejects) {
        const Gantry__V1__Actor *voter = v->vote->voter;
        const char *who = *voter->name    ? voter->name
                          : *voter->email ? voter->email
                                          : voter->subject;
        const char *reason = plan_text(plan, "rejected by %.200s%s%.500s", who,
                                       *v->vote->comment ? ": " : "", v->vote->comment);
        plan_approval_close(plan, number, gate, rules,
                            GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_REJECTED, reason);
        plan_approval_ended(plan, number, gate, false, reason);
    } else if (votes(approval, GANTRY__V1__VERDICT__VERDICT_APPROVE) >= rules->count) {
        plan_approval_close(plan, number, gate, rules,
                            GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_APPROVED, "");
        plan_approval_ended(plan, number, gate, true, "");
    }
}

void step_vote(struct plan *plan)
{
    const Gantry__V1__ActionResult *result = plan->input->message;
    struct voting v = {.plan = plan, .vote = result->vote};
    if (result->body_case != GANTRY__V1__ACTION_RESULT__BODY_VOTE || !v.vote || !v.vote->voter) {
        err_set(plan->err, ERR_INVALID, "a record of %s holds no vote",
                topic_info(TOPIC_RESULT_APPROVAL)->name);
        plan->failed = true;
        return;
    }
    plan->actor = v.vote->voter;
    const char *refusal = why_refused(&v);
    if (refusal) {
        refuse(&v, refusal);
        return;
    }
    uint64_t number = v.release->number;
    count(&v);
    if (plan->failed)
        return;
    decide(&v, number);
    plan_advance(plan, number);
}
