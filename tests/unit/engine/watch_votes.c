/* Property 5: no approval is given without enough valid votes. Who may vote is worked out anew from
 * what docs/reference/pipeline.md says, with the revisions, releases and successes that Decisions
 * told of, not with the engine's lists.
 *
 * Where Decisions leave open which of two revisions a release stands at (a ref that went back to an
 * earlier commit), or whether a stage's history was forgotten meanwhile (its definition left it
 * out), a vote is wrong only if it is so either way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "watch.h"

#define HISTORY 10 /* successes that a stage remembers */

struct seen_ref {
    struct seen_revision {
        char *commit;
        struct strv people;
        bool complete;
    } * items;
    size_t count;
};

struct seen_stage {
    uint64_t *successes; /* releases, the last one last */
    size_t count;
    size_t unsure; /* so many of them may have been forgotten */
};

struct seen_approval {
    char *id, *digest;
    const struct def_approval *rules;
    int64_t opened_ms;
    struct voter {
        char *subject, *email;
        bool yes;
    } * voters;
    size_t count;
    bool open, approved;
};

struct votes {
    struct map *refs;      /* "source ref" -> struct seen_ref */
    struct map *stages;    /* name -> struct seen_stage */
    struct map *approvals; /* number/stage/name -> struct seen_approval, the last opened */
};

static void ref_free(void *value)
{
    struct seen_ref *ref = value;
    for (size_t i = 0; i < ref->count; i++) {
        free(ref->items[i].commit);
        strv_release(&ref->items[i].people);
    }
    free(ref->items);
    free(ref);
}

static void stage_free(void *value)
{
    struct seen_stage *stage = value;
    free(stage->successes);
    free(stage);
}

static void approval_free(void *value)
{
    struct seen_approval *a = value;
    for (size_t i = 0; i < a->count; i++) {
        free(a->voters[i].subject);
        free(a->voters[i].email);
    }
    free(a->voters);
    free(a->id);
    free(a->digest);
    free(a);
}

struct votes *votes_new(void)
{
    struct votes *v = mem_alloc(sizeof(*v));
    v->refs = map_new(ref_free);
    v->stages = map_new(stage_free);
    v->approvals = map_new(approval_free);
    return v;
}

void votes_free(struct votes *v)
{
    map_free(v->refs);
    map_free(v->stages);
    map_free(v->approvals);
    free(v);
}

/* ---- revisions and successes ---- */

static struct seen_ref *ref_of(const struct votes *v, const char *source, const char *ref)
{
    char *key = mem_printf("%s %s", source, ref);
    struct seen_ref *found = map_get(v->refs, key);
    if (!found) {
        found = mem_alloc(sizeof(*found));
        map_set(v->refs, key, found);
    }
    free(key);
    return found;
}

void votes_revision(struct scenario *s, const Gantry__V1__SourceChanged *m)
{
    struct seen_ref *ref = ref_of(s->watch->votes, m->source, m->ref);
    ref->items = mem_realloc(ref->items, ref->count + 1, sizeof(*ref->items));
    struct seen_revision *revision = &ref->items[ref->count++];
    *revision =
        (struct seen_revision){.commit = mem_strdup(m->after), .complete = m->people_complete};
    for (size_t i = 0; i < m->n_people; i++)
        strv_add(&revision->people, m->people[i]);
}

void votes_started(struct scenario *s, struct seen_release *r)
{
    const Gantry__V1__ReleaseStarted *m = r->started;
    r->known = mem_alloc((m->n_revisions + 1) * sizeof(*r->known));
    for (size_t i = 0; i < m->n_revisions; i++) {
        const Gantry__V1__Revision *revision = m->revisions[i];
        r->known[i] = watch_is_rollback(r)
                          ? watch_release(s, m->rollback_to)->known[i]
                          : ref_of(s->watch->votes, revision->source, revision->ref)->count;
    }
}

static struct seen_stage *stage_of(const struct votes *v, const char *name)
{
    struct seen_stage *stage = map_get(v->stages, name);
    if (!stage) {
        stage = mem_alloc(sizeof(*stage));
        map_set(v->stages, name, stage);
    }
    return stage;
}

static void may_be_forgotten(struct scenario *s, const char *name, struct seen_stage *stage)
{
    if (!def_pipeline_stage(s->watch->current, name, NULL))
        stage->unsure = stage->count;
}

void votes_definition(struct scenario *s, const struct def_pipeline *pipeline)
{
    s->watch->current = pipeline;
    for (struct map_iter it = {0}; map_next(s->watch->votes->stages, &it);)
        may_be_forgotten(s, it.key, it.value);
}

void votes_success(struct scenario *s, const char *name, uint64_t release)
{
    struct seen_stage *stage = stage_of(s->watch->votes, name);
    stage->successes = mem_realloc(stage->successes, stage->count + 1, sizeof(*stage->successes));
    stage->successes[stage->count++] = release;
    may_be_forgotten(s, name, stage);
}

/* ---- authors ---- */

static bool is_email(const char *a, const char *b)
{
    return !str_empty(a) && !str_empty(b) && strcasecmp(a, b) == 0;
}

/* Whether a revision between two places of a ref has this author, or one that nobody knows; -1 is
 * before all. */
static bool brought(const struct seen_ref *ref, long from, long to, const char *email)
{
    long low = from < to ? from : to, high = from < to ? to : from;
    for (long i = low + 1; i <= high; i++) {
        const struct seen_revision *revision = &ref->items[i];
        for (size_t j = 0; j < revision->people.count; j++) {
            if (is_email(revision->people.items[j], email))
                return true;
        }
        if (!revision->complete)
            return true;
    }
    return false;
}

/* The same for a release that stands at `commit`, whichever of its places is meant. */
static bool brought_all(const struct seen_ref *ref, size_t known, const char *commit,
                        const struct seen_release *past, size_t at, const char *email)
{
    for (size_t i = 0; i < known; i++) {
        if (!str_eq(ref->items[i].commit, commit))
            continue;
        if (!past && !brought(ref, -1, (long)i, email))
            return false;
        for (size_t j = 0; past && j < past->known[at]; j++) {
            if (str_eq(ref->items[j].commit, past->started->revisions[at]->commit) &&
                !brought(ref, (long)j, (long)i, email))
                return false;
        }
    }
    return true;
}

/* The last success of a stage with a revision of the same ref, from `*place` down. */
static const struct seen_release *last_with(struct scenario *s, const struct seen_stage *stage,
                                            const Gantry__V1__Revision *revision, size_t *place,
                                            size_t *at)
{
    for (size_t n = 0; n<HISTORY && * place> 0; n++) {
        const struct seen_release *past = watch_release(s, stage->successes[--*place]);
        for (size_t i = 0; i < past->started->n_revisions; i++) {
            const Gantry__V1__Revision *other = past->started->revisions[i];
            *at = i;
            if (str_eq(other->source, revision->source) && str_eq(other->ref, revision->ref))
                return past;
        }
    }
    return NULL;
}

static bool is_author(struct scenario *s, const struct seen_release *r, const char *name,
                      const char *email)
{
    const struct seen_stage *stage = stage_of(s->watch->votes, name);
    for (size_t i = 0; i < r->started->n_revisions; i++) {
        const Gantry__V1__Revision *revision = r->started->revisions[i];
        const struct seen_ref *ref = ref_of(s->watch->votes, revision->source, revision->ref);
        size_t place = stage->count, at = 0;
        const struct seen_release *past = last_with(s, stage, revision, &place, &at);
        bool author = brought_all(ref, r->known[i], revision->commit, past, at, email);
        if (past && place < stage->unsure)
            author = author && brought_all(ref, r->known[i], revision->commit, NULL, 0, email);
        if (author)
            return true;
    }
    return r->started->n_revisions == 0;
}

/* ---- votes ---- */

static struct seen_approval *approval_of(struct scenario *s, const Gantry__V1__ApprovalRequest *m,
                                         char key[256])
{
    snprintf(key, 256, "%llu/%s/%s", (unsigned long long)m->release, m->stage, m->gate);
    return map_get(s->watch->votes->approvals, key);
}

static const struct def_approval *rules_of(const struct seen_release *r, const char *stage,
                                           const char *name)
{
    const struct def_stage *def = def_pipeline_stage(r->definition, stage, NULL);
    const struct def_action *action = def ? def_stage_action(def, name, NULL) : NULL;
    for (size_t i = 0; def && i < def->gate_count; i++) {
        if (def->gates[i].kind == DEF_GATE_APPROVAL && str_eq(def->gates[i].name, name))
            return &def->gates[i].approval;
    }
    return action && action->kind == DEF_APPROVAL ? &action->approval : NULL;
}

void votes_opened(struct scenario *s, const Gantry__V1__ApprovalRequest *m)
{
    char key[256];
    struct seen_approval *a = approval_of(s, m, key);
    if (a && a->open)
        scenario_broken(s, "approval %s is opened twice", key);
    a = mem_alloc(sizeof(*a));
    a->rules = rules_of(watch_release(s, m->release), m->stage, m->gate);
    if (!a->rules)
        scenario_broken(s, "approval %s is of no gate and no action", key);
    a->open = true;
    a->opened_ms = s->watch->now_ms;
    a->id = mem_strdup(m->approval_id);
    a->digest = mem_strdup(m->digest);
    map_set(s->watch->votes->approvals, key, a);
}

static bool is_among(const struct strv *by, const Gantry__V1__Actor *voter)
{
    for (size_t i = 0; i < by->count; i++) {
        const char *who = strchr(by->items[i], ':') + 1;
        bool user = str_starts(by->items[i], "user:");
        if (user && (str_eq(who, voter->subject) || is_email(who, voter->email)))
            return true;
        for (size_t j = 0; !user && j < voter->n_groups; j++) {
            if (str_eq(who, voter->groups[j]))
                return true;
        }
    }
    return by->count == 0;
}

/* A push is started by whom the forge names; a Command by somebody with a token. */
static bool is_starter(const Gantry__V1__Actor *starter, const Gantry__V1__Actor *voter)
{
    if (!starter)
        return false;
    if (str_empty(starter->subject))
        return is_email(starter->name, voter->name) || is_email(starter->name, voter->email);
    return str_eq(starter->subject, voter->subject) || is_email(starter->email, voter->email) ||
           (!str_empty(starter->email) && str_empty(voter->email));
}

/* Who approved the release at an earlier stage, or may have: without e-mails nobody can tell. */
static bool is_approver(struct scenario *s, uint64_t release, const char *stage,
                        const Gantry__V1__Actor *voter)
{
    char *prefix = mem_printf("%llu/%s/", (unsigned long long)release, stage);
    bool is = false;
    for (struct map_iter it = {0}; map_next(s->watch->votes->approvals, &it);) {
        const struct seen_approval *a = it.value;
        for (size_t i = 0; str_starts(it.key, prefix) && i < a->count; i++) {
            const struct voter *other = &a->voters[i];
            is = is || (other->yes &&
                        (str_eq(other->subject, voter->subject) || str_empty(other->email) ||
                         str_empty(voter->email) || is_email(other->email, voter->email)));
        }
    }
    free(prefix);
    return is;
}

static void check_not(struct scenario *s, const struct seen_release *r, const char *stage,
                      const char *not_, const Gantry__V1__Actor *voter, const char *key)
{
    static const char approver[] = "approver-of:";
    if (str_eq(not_, "author") && str_empty(voter->email))
        scenario_broken(s, "5: nobody can tell that who votes for %s is no author", key);
    if (str_eq(not_, "author") && is_author(s, r, stage, voter->email))
        scenario_broken(s, "5: an author's vote counts for %s, or one that may be", key);
    if (str_eq(not_, "starter") && is_starter(r->started->starter, voter))
        scenario_broken(s, "5: the vote of who started it counts for %s", key);
    if (str_starts(not_, approver) &&
        is_approver(s, r->started->release, not_ + strlen(approver), voter))
        scenario_broken(s, "5: the vote of who approved at a stage before counts for %s", key);
}

static size_t tally(const struct seen_approval *a, bool yes)
{
    size_t count = 0;
    for (size_t i = 0; i < a->count; i++)
        count += a->voters[i].yes == yes;
    return count;
}

void votes_vote(struct scenario *s, const Gantry__V1__VoteCounted *m)
{
    char key[256];
    const Gantry__V1__Actor *voter = m->vote->voter;
    struct seen_approval *a = approval_of(s, m->approval, key);
    const struct seen_release *r = watch_release(s, m->approval->release);
    if (!a || !a->open || !str_eq(a->id, m->vote->approval_id) ||
        !str_eq(a->digest, m->vote->digest))
        scenario_broken(s, "5: a vote counts for %s that is not for its digest", key);
    if (str_empty(voter->subject) || !is_among(&a->rules->by, voter))
        scenario_broken(s, "5: a vote counts for %s of somebody who may not decide there", key);
    for (size_t i = 0; i < a->count; i++) {
        if (str_eq(a->voters[i].subject, voter->subject) ||
            is_email(a->voters[i].email, voter->email))
            scenario_broken(s, "5: a second vote of a person counts for %s", key);
    }
    for (size_t i = 0; i < a->rules->not_.count; i++)
        check_not(s, r, m->approval->stage, a->rules->not_.items[i], voter, key);
    a->voters = mem_realloc(a->voters, a->count + 1, sizeof(*a->voters));
    a->voters[a->count++] =
        (struct voter){mem_strdup(voter->subject), mem_strdup(voter->email),
                       m->vote->verdict == GANTRY__V1__VERDICT__VERDICT_APPROVE};
}

void votes_closed(struct scenario *s, const Gantry__V1__ApprovalRequest *m)
{
    char key[256];
    struct seen_approval *a = approval_of(s, m, key);
    if (!a || !a->open)
        scenario_broken(s, "approval %s is closed twice", key);
    bool enough = tally(a, true) >= a->rules->count,
         rejected = tally(a, false) >= a->rules->rejects;
    a->open = false;
    a->approved = m->outcome == GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_APPROVED;
    if (a->approved && (!enough || rejected))
        scenario_broken(s, "5: approval %s is given without enough votes", key);
    if (m->outcome == GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_REJECTED && !rejected)
        scenario_broken(s, "5: approval %s is rejected without enough votes", key);
    if (m->outcome == GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_EXPIRED &&
        s->watch->now_ms < a->opened_ms + a->rules->expires_ms)
        scenario_broken(s, "approval %s expires too early", key);
}

void votes_let_pass(struct scenario *s, const struct seen_release *r,
                    const struct def_approval *rules, const char *key)
{
    const struct seen_approval *a = map_get(s->watch->votes->approvals, key);
    if (!a || !a->approved || a->open || a->rules != rules || tally(a, true) < rules->count)
        scenario_broken(s, "5: %s is passed without enough votes", key);
    struct map_iter it = {0};
    if (map_count(r->digests) == 1 && map_next(r->digests, &it) && !str_eq(it.value, a->digest))
        scenario_broken(s, "5: %s was approved for another digest", key);
}

void votes_release_ended(struct scenario *s, uint64_t release)
{
    char *prefix = mem_printf("%llu/", (unsigned long long)release);
    for (struct map_iter it = {0}; map_next(s->watch->votes->approvals, &it);) {
        if (str_starts(it.key, prefix) && ((struct seen_approval *)it.value)->open)
            scenario_broken(s, "the release ended, and approval %s is open", it.key);
    }
    free(prefix);
}

void votes_decided(struct scenario *s)
{
    for (struct map_iter it = {0}; map_next(s->watch->votes->approvals, &it);) {
        const struct seen_approval *a = it.value;
        if (a->open && (tally(a, true) >= a->rules->count || tally(a, false) >= a->rules->rejects))
            scenario_broken(s, "5: approval %s has its votes, and is open", it.key);
    }
}
