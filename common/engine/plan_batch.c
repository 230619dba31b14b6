/* A batch: what an action's plan of builds leads to. */
#include <string.h>

#include "base/map.h"
#include "engine/message.h"
#include "engine/plan.h"

static const Gantry__V1__Artifact *image_of(const Gantry__V1__Finished *finished)
{
    return finished && finished->image_case == GANTRY__V1__FINISHED__IMAGE_ARTIFACT
               ? finished->artifact
               : NULL;
}

/* ---- the plan ---- */

static size_t count_builds(const struct release *release, size_t but)
{
    size_t count = 0;
    for (size_t i = 0; i < release->run_count; i++) {
        if (i != but && release->runs[i].batch)
            count += release->runs[i].batch->count;
    }
    return count;
}

static const char *why_no_batch(struct plan *plan, const struct release *release, size_t place,
                                const Gantry__V1__BatchPlan *batch)
{
    const struct run *run = &release->runs[place];
    if (!batch)
        return "it answered without a plan of builds: its builder may be of an older version";
    const char *wrong = batch_wrong(batch);
    if (wrong)
        return plan_text(plan, "the batch %s", wrong);
    size_t builds = count_builds(release, place) + batch->n_builds;
    if (builds > STATE_STAGE_BUILDS_MAX)
        return plan_text(plan, "the batches of its stage would have %zu builds, more than %d",
                         builds, STATE_STAGE_BUILDS_MAX);
    size_t bytes =
        state_release_bytes(plan->state) - batch_bytes(run->batch) + batch_plan_bytes(batch);
    if (bytes > STATE_RELEASES_BYTES)
        return plan_text(plan,
                         "what the releases under way carry would take %zu KiB with the batch, "
                         "more than can be kept",
                         bytes / 1024);
    return NULL;
}

static bool is_same_build(const Gantry__V1__BatchBuild *a, const Gantry__V1__BatchBuild *b)
{
    struct buf x, y;
    buf_init(&x, STATE_PLAN_MAX);
    buf_init(&y, STATE_PLAN_MAX);
    bool same = event_pack(&x, a, NULL) == 0 && event_pack(&y, b, NULL) == 0 && x.len == y.len &&
                memcmp(x.data, y.data, x.len) == 0;
    buf_release(&x);
    buf_release(&y);
    return same;
}

/* Builds that succeeded before a retry of what failed. Where all did, it was not a build that
 * failed, and all are asked for again. */
static void add_kept(struct plan *plan, const struct run *run, Gantry__V1__BatchPlanned *m)
{
    const Gantry__V1__BatchPlan *batch = m->finished->batch;
    if (!run->batch)
        return;
    m->kept = arena_alloc(plan->arena, batch->n_builds * sizeof(*m->kept));
    for (size_t i = 0; i < batch->n_builds; i++) {
        size_t at = batch_find(run->batch, batch->builds[i]->identifier);
        if (at && run->batch->builds[at - 1].run.state == RUN_SUCCEEDED &&
            is_same_build(batch->builds[i], batch_plan(run->batch)->builds[at - 1]))
            m->kept[m->n_kept++] = batch->builds[i]->identifier;
    }
    if (m->n_kept == batch->n_builds)
        m->n_kept = 0;
}

void plan_batch_begin(struct plan *plan, const struct release *release, size_t place,
                      Gantry__V1__Finished *finished)
{
    const struct run *run = &release->runs[place];
    const char *refusal = why_no_batch(plan, release, place, finished->batch);
    finished->n_exported = 0;
    if (refusal) {
        finished->batch = NULL;
        plan_action_ended(plan, release, (struct slot){place, 0}, GANTRY__V1__STATUS__STATUS_FAILED,
                          refusal, finished, false);
        return;
    }
    Gantry__V1__BatchPlanned *m =
        PLAN_MESSAGE(plan, Gantry__V1__BatchPlanned, gantry__v1__batch_planned__init);
    m->release = release->number;
    m->stage = plan_string(plan, release_stage(release)->name);
    m->action = plan_slot_name(plan, release, (struct slot){place, 0});
    m->run_id = plan_string(plan, run->id);
    m->finished = finished;
    add_kept(plan, run, m);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_BATCH_PLANNED, m);
}

/* ---- a build ---- */

/* The release has one image of an action, whichever build makes it. */
static const char *check_image(struct plan *plan, const struct def_action *action,
                               const struct batch *batch, const Gantry__V1__Artifact *image)
{
    if (!image || str_empty(action->build.image))
        return NULL;
    if (strcmp(image->repository, action->build.image) != 0)
        return plan_text(plan, "it reported an image of %.400s, not of %s", image->repository,
                         action->build.image);
    size_t at;
    const Gantry__V1__Artifact *other = batch_image(batch, &at);
    if (other && strcmp(other->digest, image->digest) != 0)
        return plan_text(
            plan, "it made %.19s, and build '%s' made %.19s: one action makes one image",
            image->digest, batch_plan(batch)->builds[at - 1]->identifier, other->digest);
    return NULL;
}

static size_t exported_bytes(const struct batch *batch)
{
    size_t bytes = 0;
    for (size_t i = 1; i <= batch->count; i++) {
        const Gantry__V1__Finished *left = batch_left(batch, i);
        for (size_t j = 0; left && j < left->n_exported; j++)
            bytes += strlen(left->exported[j]->key) + strlen(left->exported[j]->value);
    }
    return bytes;
}

void plan_build_succeeded(struct plan *plan, const struct release *release, struct slot slot,
                          Gantry__V1__Finished *finished)
{
    const struct def_action *action = stage_action_at(release_stage(release), slot.place, NULL);
    const struct batch *batch = release->runs[slot.place].batch;
    const char *refusal =
        plan_check_exports(plan, release, action->name, exported_bytes(batch), finished);
    if (!refusal)
        refusal = check_image(plan, action, batch, image_of(finished));
    if (refusal)
        finished->n_exported = 0;
    plan_action_ended(plan, release, slot,
                      refusal ? GANTRY__V1__STATUS__STATUS_FAILED
                              : GANTRY__V1__STATUS__STATUS_SUCCEEDED,
                      refusal ? refusal : finished->reason, finished, false);
}

/* ---- the end ---- */

/* What the builds export, by name. A name of which two builds have different values is left out:
 * nobody could say which is meant. */
static void add_exported(struct plan *plan, const struct batch *batch, Gantry__V1__Finished *m)
{
    struct map *by_name = map_new(NULL);
    size_t room = 0;
    for (size_t i = 1; i <= batch->count; i++)
        room += batch_left(batch, i) ? batch_left(batch, i)->n_exported : 0;
    m->exported = arena_alloc(plan->arena, (room + 1) * sizeof(*m->exported));
    for (size_t i = 1; i <= batch->count; i++) {
        const Gantry__V1__Finished *left = batch_left(batch, i);
        for (size_t j = 0; left && j < left->n_exported; j++) {
            const Gantry__V1__KeyValue *pair = left->exported[j];
            Gantry__V1__KeyValue *known = map_get(by_name, pair->key);
            if (known && known->value && strcmp(known->value, pair->value) != 0)
                known->value = NULL;
            if (known)
                continue;
            m->exported[m->n_exported] = plan_key_value(plan, pair->key, pair->value);
            map_set(by_name, pair->key, m->exported[m->n_exported++]);
        }
    }
    map_free(by_name);
    size_t kept = 0;
    for (size_t i = 0; i < m->n_exported; i++) {
        if (m->exported[i]->value)
            m->exported[kept++] = m->exported[i];
    }
    m->n_exported = kept;
}

static void end_well(struct plan *plan, const struct release *release, size_t place)
{
    const struct batch *batch = release->runs[place].batch;
    Gantry__V1__Finished *m = PLAN_MESSAGE(plan, Gantry__V1__Finished, gantry__v1__finished__init);
    const Gantry__V1__Artifact *image = batch_image(batch, NULL);
    size_t succeeded = 0;
    for (size_t i = 0; i < batch->count; i++)
        succeeded += batch->builds[i].run.state == RUN_SUCCEEDED;
    if (image) {
        m->image_case = GANTRY__V1__FINISHED__IMAGE_ARTIFACT;
        m->artifact = message_copy(plan->arena, image);
    }
    m->outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    m->reason = (char *)(succeeded == batch->count
                             ? plan_text(plan, "all %zu builds succeeded", batch->count)
                             : plan_text(plan,
                                         "%zu of %zu builds succeeded, the others' failure "
                                         "is ignored",
                                         succeeded, batch->count));
    add_exported(plan, batch, m);
    plan_action_succeeded(plan, release, place, m);
}

static void end_badly(struct plan *plan, const struct release *release, size_t place)
{
    const struct batch *batch = release->runs[place].batch;
    const char *identifier = batch_plan(batch)->builds[batch->failed - 1]->identifier;
    bool failed = batch->builds[batch->failed - 1].run.state == RUN_FAILED;
    plan_action_ended(plan, release, (struct slot){place, 0}, GANTRY__V1__STATUS__STATUS_FAILED,
                      plan_text(plan, "build '%s' %s%s%s", identifier,
                                failed ? "failed" : "was stopped", batch->why ? ": " : "",
                                batch->why ? batch->why : ""),
                      NULL, false);
}

void plan_batch_stop(struct plan *plan, uint64_t number, size_t place, int status,
                     const char *reason)
{
    for (struct slot slot = {place, 1}; !plan->failed; slot.build++) {
        const struct release *release = state_release(plan->state, number);
        if (slot.build > release->runs[place].batch->count)
            return;
        if (run_is_under_way(release_run(release, slot)))
            plan_action_ended(plan, release, slot, status, reason, NULL, true);
    }
}

bool plan_batch_advance(struct plan *plan, uint64_t number, size_t place)
{
    bool changed = false;
    const struct batch *batch = state_release(plan->state, number)->runs[place].batch;
    if (batch->failed && batch_plan(batch)->fast_fail && batch_is_under_way(batch)) {
        plan_batch_stop(plan, number, place, GANTRY__V1__STATUS__STATUS_STOPPED,
                        plan_text(plan, "build '%s' failed, and the batch has fast-fail",
                                  batch_plan(batch)->builds[batch->failed - 1]->identifier));
        return true;
    }
    for (;;) {
        const struct release *release = state_release(plan->state, number);
        batch = release->runs[place].batch;
        size_t next = batch_next(batch);
        if (plan->failed || !next || plan_is_full(plan))
            break;
        plan_request(plan, number, (struct slot){place, next});
        changed = true;
    }
    if (plan->failed || batch_next(batch) || batch_is_under_way(batch))
        return changed;
    if (batch->failed)
        end_badly(plan, state_release(plan->state, number), place);
    else
        end_well(plan, state_release(plan->state, number), place);
    return true;
}
