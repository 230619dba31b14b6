/* Folds of actions and approvals. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/fold.h"

/* The run of an action of the stage that the release is inside, or of a build of its batch
 * (<action>/<identifier>), to be written; NULL and *err. */
static struct run *own_run(struct engine_state *state, uint64_t number, const char *stage,
                           const char *action, struct release **release, struct slot *slot,
                           struct err *err)
{
    size_t len = strcspn(action, "/");
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : 0), action);
    *release = state_release_own(state, number);
    const struct def_stage *at = *release ? release_stage(*release) : NULL;
    long place = at && (*release)->phase == RELEASE_INSIDE && strcmp(at->name, stage) == 0
                     ? stage_action_place(at, name)
                     : -1;
    if (place >= 0 && (size_t)place < (*release)->run_count) {
        struct run *run = &(*release)->runs[place];
        *slot = (struct slot){(size_t)place, 0};
        if (!action[len])
            return run;
        slot->build = run->state == RUN_BUILDING ? batch_find(run->batch, action + len + 1) : 0;
        if (slot->build)
            return &batch_own(&run->batch)->builds[slot->build - 1].run;
    }
    err_set(err, ERR_INVALID, "release %llu does not run action '%.200s' of stage '%.64s'",
            (unsigned long long)number, action, stage);
    return NULL;
}

static int misfit(struct err *err, const char *what, uint64_t release, const char *action)
{
    return err_set(err, ERR_INVALID, "%s of action '%.64s' of release %llu does not fit its state",
                   what, action, (unsigned long long)release);
}

/* What stands in an environment is known until somebody is asked to change it. */
static void set_deployed(struct engine_state *state, const char *environment, const char *digest)
{
    size_t at;
    bool there = state_find_deployed(state, environment, &at);
    const struct deployed *before = there ? state->deployed.items[at] : NULL;
    struct deployed *now = deployed_new(environment,
                                        digest   ? digest
                                        : before ? before->digest
                                                 : "",
                                        digest != NULL);
    if (there)
        parts_remove(&state->deployed, at);
    parts_insert(&state->deployed, at, now);
}

/* Numbers of a batch's builds begin beyond those of the batches before. */
static void note_asked(struct release *release, struct slot slot, uint32_t number)
{
    struct run *action = &release->runs[slot.place];
    if (number > action->builds_asked)
        action->builds_asked = number;
}

int fold_action_requested(struct engine_state *state, const Gantry__V1__ActionRequested *m,
                          struct err *err)
{
    const Gantry__V1__ActionRequest *request = m->request;
    struct release *release;
    struct slot slot;
    if (!request)
        return err_set(err, ERR_INVALID, "an action requested has no request");
    struct run *run =
        own_run(state, request->release, request->stage, request->action, &release, &slot, err);
    if (!run)
        return -1;
    if (run->state != RUN_NONE || request->number != run->number + 1 ||
        strlen(request->run_id) != ID_SIZE - 1)
        return misfit(err, "a request", request->release, request->action);
    run->state = RUN_REQUESTED;
    run->number = request->number;
    run->attempt = 0;
    run->retry_lost = request->retry_lost;
    run->deadline_ms = request->deadline_ms;
    memcpy(run->id, request->run_id, ID_SIZE);
    if (slot.build)
        note_asked(release, slot, run->number);
    release_set_deadline(release);
    if (request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY)
        set_deployed(state, request->deploy->environment, NULL);
    return 0;
}

int fold_action_started(struct engine_state *state, const Gantry__V1__ActionStarted *m,
                        struct err *err)
{
    struct release *release;
    struct slot slot;
    struct run *run = own_run(state, m->release, m->stage, m->action, &release, &slot, err);
    if (!run)
        return -1;
    if ((run->state != RUN_REQUESTED && run->state != RUN_STARTED) ||
        strcmp(run->id, m->run_id) != 0)
        return misfit(err, "the start", m->release, m->action);
    run->state = RUN_STARTED;
    run->attempt = m->attempt;
    return 0;
}

static void keep_exports(struct release *release, const char *action,
                         const Gantry__V1__Finished *finished)
{
    for (size_t i = release->exports.count; i-- > 0;) {
        if (strcmp(((struct exports *)release->exports.items[i])->action, action) == 0)
            parts_remove(&release->exports, i);
    }
    if (finished && finished->n_exported)
        parts_add(&release->exports, exports_new(action, finished->exported, finished->n_exported));
}

/* A run that was lost and is abandoned for it is requested again; any other end is one. */
static enum run_state state_after(const Gantry__V1__ActionEnded *m)
{
    switch ((int)m->status) {
    case GANTRY__V1__STATUS__STATUS_SUCCEEDED:
        return RUN_SUCCEEDED;
    case GANTRY__V1__STATUS__STATUS_STOPPED:
        return RUN_STOPPED;
    case GANTRY__V1__STATUS__STATUS_ABANDONED:
        return m->finished && m->finished->outcome == GANTRY__V1__OUTCOME__OUTCOME_LOST
                   ? RUN_NONE
                   : RUN_ABANDONED;
    default:
        return RUN_FAILED;
    }
}

static void keep_deployed(struct engine_state *state, const struct release *release,
                          const char *name)
{
    const struct def_action *action = def_stage_action(release_stage(release), name, NULL);
    const Gantry__V1__Artifact *image =
        action->kind == DEF_DEPLOY ? release_image(release, action) : NULL;
    if (image)
        set_deployed(state, action->deploy.environment, image->digest);
}

static void own_ended(struct engine_state *state, struct release *release, struct run *run,
                      const Gantry__V1__ActionEnded *m)
{
    if (run->state != RUN_SUCCEEDED)
        return;
    shared_unref(run->batch);
    run->batch = NULL;
    keep_exports(release, m->action, m->finished);
    keep_deployed(state, release, m->action);
}

int fold_action_ended(struct engine_state *state, const Gantry__V1__ActionEnded *m, struct err *err)
{
    struct release *release;
    struct slot slot;
    struct run *run = own_run(state, m->release, m->stage, m->action, &release, &slot, err);
    if (!run)
        return -1;
    if (run->state > RUN_BUILDING || strlen(m->run_id) != ID_SIZE - 1 ||
        (run->state == RUN_BUILDING && batch_is_under_way(run->batch)) ||
        (run->state != RUN_NONE && strcmp(run->id, m->run_id) != 0))
        return misfit(err, "the end", m->release, m->action);
    if (run->state == RUN_NONE) { /* it could not even be requested */
        run->number++;
        memcpy(run->id, m->run_id, ID_SIZE);
        if (slot.build)
            note_asked(release, slot, run->number);
    }
    run->state = state_after(m);
    run->was_lost = run->was_lost || run->state == RUN_NONE;
    if (slot.build)
        batch_note_end(release->runs[slot.place].batch, slot.build, m->finished, m->reason);
    else
        own_ended(state, release, run, m);
    release_set_deadline(release);
    return 0;
}

/* What a retry need not ask for again. */
static int keep_builds(struct batch *batch, const struct batch *before,
                       const Gantry__V1__BatchPlanned *m, struct err *err)
{
    for (size_t i = 0; i < m->n_kept; i++) {
        size_t from = before ? batch_find(before, m->kept[i]) : 0;
        size_t to = batch_find(batch, m->kept[i]);
        if (!from || !to || before->builds[from - 1].run.state != RUN_SUCCEEDED ||
            batch->builds[to - 1].left)
            return misfit(err, "a build that is kept", m->release, m->action);
        batch->builds[to - 1] = before->builds[from - 1];
        shared_ref(batch->builds[to - 1].left);
    }
    return 0;
}

int fold_batch_planned(struct engine_state *state, const Gantry__V1__BatchPlanned *m,
                       struct err *err)
{
    struct release *release;
    struct slot slot;
    struct run *run = own_run(state, m->release, m->stage, m->action, &release, &slot, err);
    if (!run)
        return -1;
    const Gantry__V1__BatchPlan *plan = m->finished ? m->finished->batch : NULL;
    if (slot.build || (run->state != RUN_REQUESTED && run->state != RUN_STARTED) ||
        strcmp(run->id, m->run_id) != 0 || !plan || batch_wrong(plan))
        return misfit(err, "the batch", m->release, m->action);
    struct batch *batch = batch_new(plan);
    for (size_t i = 0; i < batch->count; i++)
        batch->builds[i].run.number = run->builds_asked;
    int rc = keep_builds(batch, run->batch, m, err);
    shared_unref(run->batch);
    run->batch = batch;
    run->state = RUN_BUILDING;
    release_set_deadline(release);
    return rc;
}

int fold_artifact_set(struct engine_state *state, const Gantry__V1__ArtifactSet *m, struct err *err)
{
    struct release *release = state_release_own(state, m->release);
    if (!release || !m->artifact)
        return err_set(err, ERR_INVALID, "release %llu is not under way",
                       (unsigned long long)m->release);
    if (release_artifact(release, m->artifact->name))
        return err_set(err, ERR_INVALID, "artifact '%.64s' of release %llu is set already",
                       m->artifact->name, (unsigned long long)m->release);
    parts_add(&release->artifacts, fixed_new(m->artifact));
    return 0;
}

struct approval **release_approval_at(struct release *release, const char *name)
{
    const struct def_stage *stage = release_stage(release);
    if (!stage)
        return NULL;
    if (release->phase == RELEASE_INSIDE) {
        long place = stage_action_place(stage, name);
        return place >= 0 && stage_action_at(stage, (size_t)place, NULL)->kind == DEF_APPROVAL
                   ? &release->runs[place].approval
                   : NULL;
    }
    for (size_t i = 0; release->phase == RELEASE_WAITING && i < release->gate_count; i++) {
        if (strcmp(stage->gates[i].name, name) == 0)
            return stage->gates[i].kind == DEF_GATE_APPROVAL ? &release->gates[i].approval : NULL;
    }
    return NULL;
}

/* The approval that a request is of, its own to be written. */
static struct approval *own_approval(struct engine_state *state,
                                     const Gantry__V1__ApprovalRequest *m, struct release **release,
                                     struct err *err)
{
    *release = m ? state_release_own(state, m->release) : NULL;
    const struct def_stage *stage = *release ? release_stage(*release) : NULL;
    struct approval **at =
        stage && strcmp(stage->name, m->stage) == 0 ? release_approval_at(*release, m->gate) : NULL;
    if (!at) {
        err_set(err, ERR_INVALID, "an approval of no release that stands there");
        return NULL;
    }
    return approval_own(at);
}

int fold_approval_opened(struct engine_state *state, const Gantry__V1__ApprovalRequest *m,
                         struct err *err)
{
    struct release *release;
    struct approval *approval = own_approval(state, m, &release, err);
    if (!approval)
        return -1;
    if (approval->state == APPROVAL_OPEN || m->number != approval->number + 1 ||
        strlen(m->approval_id) != ID_SIZE - 1)
        return misfit(err, "the opening", m->release, m->gate);
    approval->state = APPROVAL_OPEN;
    approval->number = m->number;
    memcpy(approval->id, m->approval_id, ID_SIZE);
    approval->opened_ms = m->opened_ms;
    approval->expires_ms = m->expires_ms;
    free(approval->digest);
    approval->digest = mem_strdup(m->digest);
    parts_release(&approval->votes);
    release_set_deadline(release);
    return 0;
}

int fold_vote_counted(struct engine_state *state, const Gantry__V1__VoteCounted *m, struct err *err)
{
    struct release *release;
    struct approval *approval = own_approval(state, m->approval, &release, err);
    if (!approval || !m->vote)
        return -1;
    if (approval->state != APPROVAL_OPEN || strcmp(approval->id, m->vote->approval_id) != 0)
        return misfit(err, "a vote", m->approval->release, m->approval->gate);
    parts_add(&approval->votes, fixed_new(m->vote));
    return 0;
}

int fold_approval_closed(struct engine_state *state, const Gantry__V1__ApprovalRequest *m,
                         struct err *err)
{
    struct release *release;
    struct approval *approval = own_approval(state, m, &release, err);
    if (!approval)
        return -1;
    if (approval->state != APPROVAL_OPEN || strcmp(approval->id, m->approval_id) != 0)
        return misfit(err, "the closing", m->release, m->gate);
    approval->state = m->outcome == GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_APPROVED
                          ? APPROVAL_GIVEN
                          : APPROVAL_SHUT;
    release_set_deadline(release);
    return 0;
}
