/* The properties of docs/reference/pipeline.md, checked on the changes alone: what this file knows
 * it knows from Decisions and definitions, not from the engine's state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "definition/definition.h"
#include "events/event.h"
#include "scenario.h"

struct seen_release {
    Gantry__V1__ReleaseStarted *started;
    const struct def_pipeline *definition;
    bool ended;
    char *inside;          /* a stage's name; NULL: in none */
    struct strv succeeded; /* stages */
    struct map *digests;   /* artifact -> digest */
    struct map *running;   /* run ids */
};

struct seen_approval {
    char *digest;
    uint32_t wanted;
    struct strv yes; /* subjects */
    bool open, approved;
};

struct watch {
    struct map *releases;    /* number -> struct seen_release */
    struct map *definitions; /* number -> struct definition */
    struct map *inside;      /* stage -> number's text */
    struct map *entered;     /* stage -> number's text of the last of type normal */
    struct map *approvals;   /* number/stage/gate -> struct seen_approval, the last opened */
    struct map *successes;   /* stage/number -> anything */
    enum def_mode mode;
    uint64_t last_release;
};

static void release_free(void *value)
{
    struct seen_release *release = value;
    event_free(release->started);
    free(release->inside);
    strv_release(&release->succeeded);
    map_free(release->digests);
    map_free(release->running);
    free(release);
}

static void approval_free(void *value)
{
    struct seen_approval *approval = value;
    free(approval->digest);
    strv_release(&approval->yes);
    free(approval);
}

static void definition_gone(void *value)
{
    definition_free(value);
}

struct watch *watch_new(void)
{
    struct watch *w = mem_alloc(sizeof(*w));
    w->releases = map_new(release_free);
    w->definitions = map_new(definition_gone);
    w->inside = map_new(free);
    w->entered = map_new(free);
    w->approvals = map_new(approval_free);
    w->successes = map_new(free);
    return w;
}

void watch_free(struct watch *w)
{
    map_free(w->releases);
    map_free(w->definitions);
    map_free(w->inside);
    map_free(w->entered);
    map_free(w->approvals);
    map_free(w->successes);
    free(w);
}

static const char *number(char text[24], uint64_t value)
{
    snprintf(text, 24, "%llu", (unsigned long long)value);
    return text;
}

static struct seen_release *find(struct scenario *s, uint64_t release)
{
    char key[24];
    struct seen_release *r = map_get(s->watch->releases, number(key, release));
    if (!r)
        scenario_broken(s, "a change is of release %s, which never started", key);
    return r;
}

static bool is_rollback(const struct seen_release *r)
{
    return r->started->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;
}

static void see_definition(struct scenario *s, const Gantry__V1__DefinitionTaken *m)
{
    char key[24];
    struct definition *definition = NULL;
    struct err err = {0};
    if (definition_parse(&definition, m->yaml.data, m->yaml.len, NULL, &err) != 0)
        scenario_broken(s, "a definition was taken that does not parse: %s", err.msg);
    s->watch->mode = definition->pipeline->mode;
    map_set(s->watch->definitions, number(key, m->number), definition);
}

static void see_started(struct scenario *s, const Gantry__V1__ReleaseStarted *m)
{
    struct watch *w = s->watch;
    char key[24];
    struct seen_release *r = mem_alloc(sizeof(*r));
    const struct definition *definition =
        map_get(w->definitions, number(key, m->definition_number));
    if (m->release != w->last_release + 1)
        scenario_broken(s, "release %llu follows %llu", (unsigned long long)m->release,
                        (unsigned long long)w->last_release);
    if (!definition)
        scenario_broken(s, "a release starts with a definition that was never taken");
    w->last_release = m->release;
    r->started = event_clone(m);
    r->definition = definition->pipeline;
    r->digests = map_new(free);
    r->running = map_new(NULL);
    for (size_t i = 0; i < m->n_artifacts; i++)
        map_set(r->digests, m->artifacts[i]->name, mem_strdup(m->artifacts[i]->digest));
    map_set(w->releases, number(key, m->release), r);
    if (!is_rollback(r))
        return;
    /* 2: back to a success there, with what it had. */
    char place[128];
    snprintf(place, sizeof(place), "%s/%llu", m->rollback_stage,
             (unsigned long long)m->rollback_to);
    if (!map_get(w->successes, place))
        scenario_broken(s, "a rollback goes to a release that never succeeded there");
    const struct seen_release *target = find(s, m->rollback_to);
    for (size_t i = 0; i < m->n_artifacts; i++) {
        if (!str_eq(map_get(target->digests, m->artifacts[i]->name), m->artifacts[i]->digest))
            scenario_broken(s, "a rollback carries another digest than its target");
    }
}

static void check_approved(struct scenario *s, const struct seen_release *r,
                           const struct def_stage *stage)
{
    char key[256];
    bool needed = !is_rollback(r) || stage->rollback_approval;
    for (size_t i = 0; needed && i < stage->gate_count; i++) {
        snprintf(key, sizeof(key), "%llu/%s/%s", (unsigned long long)r->started->release,
                 stage->name, stage->gates[i].name);
        const struct seen_approval *a = map_get(s->watch->approvals, key);
        if (!a || !a->approved || a->open || a->yes.count < stage->gates[i].approval.count)
            scenario_broken(s, "5: %s is entered without enough votes", key);
        struct map_iter it = {0};
        if (map_count(r->digests) == 1 && map_next(r->digests, &it) && !str_eq(it.value, a->digest))
            scenario_broken(s, "5: %s was approved for another digest", key);
    }
}

static void see_entered(struct scenario *s, const Gantry__V1__StageEntered *m)
{
    struct watch *w = s->watch;
    char text[24];
    struct seen_release *r = find(s, m->release);
    if (map_get(w->inside, m->stage))
        scenario_broken(s, "1: release %s is in stage %s already",
                        (char *)map_get(w->inside, m->stage), m->stage);
    if (r->inside)
        scenario_broken(s, "release is in two stages");
    size_t place;
    const struct def_stage *stage = def_pipeline_stage(r->definition, m->stage, &place);
    for (size_t i = 0; !is_rollback(r) && i < place; i++) {
        if (!strv_has(&r->succeeded, r->definition->stages[i].name))
            scenario_broken(s, "2: it did not succeed in %s before", r->definition->stages[i].name);
    }
    if (is_rollback(r) && !str_eq(r->started->rollback_stage, m->stage))
        scenario_broken(s, "2: a rollback enters another stage");
    const char *last = map_get(w->entered, m->stage);
    if (!is_rollback(r) && w->mode == DEF_SUPERSEDED && last &&
        strtoull(last, NULL, 10) > m->release)
        scenario_broken(s, "4: release %s entered %s before", last, m->stage);
    if (m->number == 1)
        check_approved(s, r, stage);
    if (!is_rollback(r))
        map_set(w->entered, m->stage, mem_strdup(number(text, m->release)));
    map_set(w->inside, m->stage, mem_strdup(number(text, m->release)));
    r->inside = mem_strdup(m->stage);
    r->ended = false;
}

static void see_stage_ended(struct scenario *s, const Gantry__V1__StageEnded *m)
{
    struct seen_release *r = find(s, m->release);
    if (!str_eq(r->inside, m->stage))
        scenario_broken(s, "a stage ends that the release is not in");
    if (map_count(r->running))
        scenario_broken(s, "7: the stage ends while a run goes on");
    if (m->status == GANTRY__V1__STATUS__STATUS_SUCCEEDED) {
        char place[128];
        strv_add(&r->succeeded, m->stage);
        snprintf(place, sizeof(place), "%s/%llu", m->stage, (unsigned long long)m->release);
        map_set(s->watch->successes, place, mem_strdup(""));
    }
    map_del(s->watch->inside, m->stage);
    free(r->inside);
    r->inside = NULL;
}

static void see_ended(struct scenario *s, const Gantry__V1__ReleaseEnded *m)
{
    struct seen_release *r = find(s, m->release);
    if (r->ended || r->inside)
        scenario_broken(s, "a release ends twice, or in a stage");
    if (map_count(r->running))
        scenario_broken(s, "7: the release ends while a run goes on");
    r->ended = true;
    char prefix[32];
    snprintf(prefix, sizeof(prefix), "%llu/", (unsigned long long)m->release);
    for (struct map_iter it = {0}; map_next(s->watch->approvals, &it);) {
        if (str_starts(it.key, prefix) && ((struct seen_approval *)it.value)->open)
            scenario_broken(s, "the release ended, and approval %s is open", it.key);
    }
}

static void see_requested(struct scenario *s, const Gantry__V1__ActionRequest *m)
{
    struct seen_release *r = find(s, m->release);
    if (r->ended || !str_eq(r->inside, m->stage))
        scenario_broken(s, "6: a run is requested of a release that is not in the stage");
    if (map_get(r->running, m->run_id))
        scenario_broken(s, "a run is requested twice");
    map_set(r->running, m->run_id, "");
    if (m->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY &&
        !str_eq(map_get(r->digests, m->deploy->artifact->name), m->deploy->artifact->digest))
        scenario_broken(s, "3: another digest is deployed than was built");
}

static void see_action_ended(struct scenario *s, const Gantry__V1__ActionEnded *m)
{
    struct seen_release *r = find(s, m->release);
    if (!map_del(r->running, m->run_id) && m->status != GANTRY__V1__STATUS__STATUS_FAILED)
        scenario_broken(s, "a run ends well that was never requested");
}

static void see_artifact(struct scenario *s, const Gantry__V1__ArtifactSet *m)
{
    struct seen_release *r = find(s, m->release);
    if (map_get(r->digests, m->artifact->name))
        scenario_broken(s, "3: the digest of artifact %s is set again", m->artifact->name);
    map_set(r->digests, m->artifact->name, mem_strdup(m->artifact->digest));
}

static struct seen_approval *approval_of(struct scenario *s, const Gantry__V1__ApprovalRequest *m,
                                         char key[256])
{
    snprintf(key, 256, "%llu/%s/%s", (unsigned long long)m->release, m->stage, m->gate);
    return map_get(s->watch->approvals, key);
}

static void see_opened(struct scenario *s, const Gantry__V1__ApprovalRequest *m)
{
    char key[256];
    struct seen_approval *a = approval_of(s, m, key);
    if (a && a->open)
        scenario_broken(s, "approval %s is opened twice", key);
    a = mem_alloc(sizeof(*a));
    a->open = true;
    a->digest = mem_strdup(m->digest);
    a->wanted = m->count;
    map_set(s->watch->approvals, key, a);
}

static void see_vote(struct scenario *s, const Gantry__V1__VoteCounted *m)
{
    char key[256];
    struct seen_approval *a = approval_of(s, m->approval, key);
    if (!a || !a->open || !str_eq(a->digest, m->vote->digest))
        scenario_broken(s, "5: a vote counts for %s that is not for its digest", key);
    if (strv_has(&a->yes, m->vote->voter->subject))
        scenario_broken(s, "5: a second vote of a person counts for %s", key);
    if (m->vote->verdict == GANTRY__V1__VERDICT__VERDICT_APPROVE)
        strv_add(&a->yes, m->vote->voter->subject);
}

static void see_closed(struct scenario *s, const Gantry__V1__ApprovalRequest *m)
{
    char key[256];
    struct seen_approval *a = approval_of(s, m, key);
    if (!a || !a->open)
        scenario_broken(s, "approval %s is closed twice", key);
    a->open = false;
    a->approved = m->outcome == GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_APPROVED;
    if (a->approved && a->yes.count < a->wanted)
        scenario_broken(s, "5: approval %s closes with too few votes", key);
}

static void see(struct scenario *s, const Gantry__V1__Change *change)
{
    switch ((int)change->what_case) {
    case GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN:
        see_definition(s, change->definition_taken);
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
        see_started(s, change->release_started);
        break;
    case GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED:
        see_ended(s, change->release_ended);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING:
        find(s, change->stage_waiting->release)->ended = false;
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED:
        see_entered(s, change->stage_entered);
        break;
    case GANTRY__V1__CHANGE__WHAT_STAGE_ENDED:
        see_stage_ended(s, change->stage_ended);
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED:
        see_requested(s, change->action_requested->request);
        break;
    case GANTRY__V1__CHANGE__WHAT_ACTION_ENDED:
        see_action_ended(s, change->action_ended);
        break;
    case GANTRY__V1__CHANGE__WHAT_ARTIFACT_SET:
        see_artifact(s, change->artifact_set);
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED:
        see_opened(s, change->approval_opened->approval);
        break;
    case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
        see_vote(s, change->vote_counted);
        break;
    case GANTRY__V1__CHANGE__WHAT_APPROVAL_CLOSED:
        see_closed(s, change->approval_closed->approval);
        break;
    default:
        break;
    }
}

void watch_decision(struct scenario *s, const Gantry__V1__Decision *decision)
{
    for (size_t i = 0; i < decision->n_changes; i++)
        see(s, decision->changes[i]);
}
