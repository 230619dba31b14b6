/* The same facts are gathered from what was decided and from what would have been. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "services/cli/policy.h"

void policy_list_add(struct policy_list *list, void *item)
{
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 16;
        list->items = mem_realloc(list->items, list->room, sizeof *list->items);
    }
    list->items[list->count++] = item;
}

uint64_t policy_number(const struct map *map, uint64_t release)
{
    char key[21];

    return (uintptr_t)map_get(map, id_num(key, release));
}

/* ---- memory ---- */

static void outcome_free(struct outcome *outcome)
{
    for (size_t i = 0; i < outcome->stages.count; i++) {
        struct outcome_stage *stage = outcome->stages.items[i];

        free(stage->name);
        free(stage->reason);
        strv_release(&stage->held_by);
        free(stage);
    }
    for (size_t i = 0; i < outcome->votes.count; i++) {
        struct outcome_vote *vote = outcome->votes.items[i];

        free(vote->stage);
        free(vote->who);
        free(vote->reason);
        free(vote);
    }
    free(outcome->stages.items);
    free(outcome->votes.items);
    free(outcome->commit);
    free(outcome->reason);
    free(outcome);
}

void outcomes_init(struct outcomes *outcomes)
{
    *outcomes = (struct outcomes){.by_number = map_new(NULL)};
}

void outcomes_release(struct outcomes *outcomes)
{
    for (size_t i = 0; i < outcomes->items.count; i++)
        outcome_free(outcomes->items.items[i]);
    free(outcomes->items.items);
    map_free(outcomes->by_number);
}

struct outcome *outcomes_find(const struct outcomes *outcomes, uint64_t release)
{
    char key[21];

    return map_get(outcomes->by_number, id_num(key, release));
}

struct outcome_stage *outcome_stage(const struct outcome *outcome, const char *name)
{
    for (size_t i = 0; outcome && i < outcome->stages.count; i++) {
        struct outcome_stage *stage = outcome->stages.items[i];

        if (str_eq(stage->name, name))
            return stage;
    }
    return NULL;
}

static struct outcome_stage *stage_of(struct outcome *outcome, const char *name)
{
    struct outcome_stage *stage = outcome_stage(outcome, name);

    if (!stage) {
        stage = mem_alloc(sizeof *stage);
        stage->name = mem_strdup(name);
        policy_list_add(&outcome->stages, stage);
    }
    return stage;
}

/* ---- facts ---- */

static void on_started(struct outcomes *outcomes, const Gantry__V1__ReleaseStarted *started,
                       int64_t time_ms, size_t index)
{
    struct outcome *outcome = mem_alloc(sizeof *outcome);
    char key[21];

    outcome->release = started->release;
    outcome->rollback = started->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;
    outcome->commit = mem_strdup(started->n_revisions ? started->revisions[0]->commit : "");
    outcome->started_ms = time_ms;
    outcome->started_index = index;
    policy_list_add(&outcomes->items, outcome);
    map_set(outcomes->by_number, id_num(key, started->release), outcome);
}

static void on_ended(struct outcomes *outcomes, const Gantry__V1__ReleaseEnded *ended,
                     int64_t time_ms)
{
    struct outcome *outcome = outcomes_find(outcomes, ended->release);

    if (!outcome)
        return;
    outcome->status = (int)ended->status;
    outcome->ended_ms = time_ms;
    outcome->superseded_by = ended->superseded_by;
    free(outcome->reason);
    outcome->reason = mem_strdup(ended->reason);
}

static void on_waiting(struct outcomes *outcomes, const Gantry__V1__StageWaiting *waiting,
                       int64_t time_ms)
{
    struct outcome *outcome = outcomes_find(outcomes, waiting->release);
    struct outcome_stage *stage;

    if (!outcome)
        return;
    outcome->status = 0;
    stage = stage_of(outcome, waiting->stage);
    if (!stage->waiting_ms)
        stage->waiting_ms = time_ms;
    if (stage->entered_ms || !waiting->n_held_by)
        return;
    strv_release(&stage->held_by);
    for (size_t i = 0; i < waiting->n_held_by; i++)
        strv_add(&stage->held_by, waiting->held_by[i]);
}

static void on_entered(struct outcomes *outcomes, const Gantry__V1__StageEntered *entered,
                       int64_t time_ms)
{
    struct outcome *outcome = outcomes_find(outcomes, entered->release);
    struct outcome_stage *stage;

    if (!outcome)
        return;
    outcome->status = 0;
    stage = stage_of(outcome, entered->stage);
    if (!stage->entered_ms)
        stage->entered_ms = time_ms;
    stage->status = 0;
}

static void on_stage_ended(struct outcomes *outcomes, const Gantry__V1__StageEnded *ended,
                           int64_t time_ms)
{
    struct outcome *outcome = outcomes_find(outcomes, ended->release);
    struct outcome_stage *stage;

    if (!outcome)
        return;
    stage = stage_of(outcome, ended->stage);
    stage->status = (int)ended->status;
    stage->ended_ms = time_ms;
    free(stage->reason);
    stage->reason = mem_strdup(ended->reason);
}

static const char *name_of(const Gantry__V1__Actor *actor)
{
    if (!actor)
        return "somebody";
    return *actor->name ? actor->name : *actor->email ? actor->email : actor->subject;
}

static void add_vote(struct outcomes *outcomes, uint64_t release, const char *stage,
                     const char *ce_id, const Gantry__V1__Vote *cast, const char *refusal)
{
    struct outcome *outcome = outcomes_find(outcomes, release);
    struct outcome_vote *vote;

    if (!outcome || !cast)
        return;
    vote = mem_alloc(sizeof *vote);
    vote->stage = mem_strdup(stage);
    snprintf(vote->ce_id, sizeof vote->ce_id, "%s", ce_id);
    vote->who = mem_strdup(name_of(cast->voter));
    vote->approve = cast->verdict == GANTRY__V1__VERDICT__VERDICT_APPROVE;
    vote->counted = refusal == NULL;
    vote->reason = mem_strdup(refusal);
    policy_list_add(&outcome->votes, vote);
}

void outcomes_add(struct outcomes *outcomes, const Gantry__V1__Decision *decision, size_t index)
{
    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];

        switch ((int)change->what_case) {
        case GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED:
            on_started(outcomes, change->release_started, decision->time_ms, index);
            break;
        case GANTRY__V1__CHANGE__WHAT_RELEASE_ENDED:
            on_ended(outcomes, change->release_ended, decision->time_ms);
            break;
        case GANTRY__V1__CHANGE__WHAT_STAGE_WAITING:
            on_waiting(outcomes, change->stage_waiting, decision->time_ms);
            break;
        case GANTRY__V1__CHANGE__WHAT_STAGE_ENTERED:
            on_entered(outcomes, change->stage_entered, decision->time_ms);
            break;
        case GANTRY__V1__CHANGE__WHAT_STAGE_ENDED:
            on_stage_ended(outcomes, change->stage_ended, decision->time_ms);
            break;
        case GANTRY__V1__CHANGE__WHAT_VOTE_COUNTED:
            add_vote(outcomes, change->vote_counted->approval->release,
                     change->vote_counted->approval->stage, change->vote_counted->ce_id,
                     change->vote_counted->vote, NULL);
            break;
        case GANTRY__V1__CHANGE__WHAT_VOTE_REFUSED:
            add_vote(outcomes, change->vote_refused->release, change->vote_refused->stage,
                     change->vote_refused->ce_id, change->vote_refused->vote,
                     change->vote_refused->reason);
            break;
        default: /* of no stage */
            break;
        }
    }
}
