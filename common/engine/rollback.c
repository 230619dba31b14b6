/* Going back: a release that carries what an earlier one left, for one stage. */
#include <string.h>

#include "engine/message.h"
#include "engine/plan.h"

static bool has_image(const struct past *past, const char *name)
{
    for (size_t i = 0; i < past->artifacts.count; i++) {
        const struct fixed *fixed = past->artifacts.items[i];
        if (!name || strcmp(((const Gantry__V1__Artifact *)fixed->message)->name, name) == 0)
            return true;
    }
    return false;
}

const char *plan_rollback_refusal(struct plan *plan, const struct def_stage *stage,
                                  const struct past *past)
{
    for (size_t i = 0; i < stage_action_count(stage); i++) {
        const struct def_action *action = stage_action_at(stage, i, NULL);
        const char *image = action->deploy.artifact;
        if (action->kind == DEF_DEPLOY && !has_image(past, image))
            return plan_text(plan, "release %llu has no image '%s', which action '%s' deploys now",
                             (unsigned long long)past->number, image ? image : "", action->name);
        if (action->kind == DEF_BUILD && !str_empty(action->build.image))
            return plan_text(plan, "stage '%s' builds the image: a rollback never rebuilds",
                             stage->name);
    }
    return NULL;
}

void plan_rollback(struct plan *plan, const char *stage, const struct past *past,
                   const Gantry__V1__Actor *starter, const char *reason, uint64_t failed)
{
    struct facts *facts = arena_hold(plan->arena, past->facts);
    Gantry__V1__ReleaseStarted *m =
        PLAN_MESSAGE(plan, Gantry__V1__ReleaseStarted, gantry__v1__release_started__init);
    m->type = GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;
    m->revisions = facts->started->revisions;
    m->n_revisions = facts->started->n_revisions;
    m->variables = facts->started->variables;
    m->n_variables = facts->started->n_variables;
    m->starter = message_copy(plan->arena, starter);
    m->rollback_to = past->number;
    m->rollback_stage = plan_string(plan, stage);
    m->reason = plan_string(plan, reason);
    m->failed_release = failed;
    m->people_complete = true;
    m->n_artifacts = past->artifacts.count;
    m->artifacts =
        m->n_artifacts ? arena_alloc(plan->arena, m->n_artifacts * sizeof(*m->artifacts)) : NULL;
    for (size_t i = 0; i < m->n_artifacts; i++) {
        struct fixed *fixed = arena_hold(plan->arena, past->artifacts.items[i]);
        m->artifacts[i] = (Gantry__V1__Artifact *)fixed->message;
    }
    plan_start(plan, m);
}

void plan_rollback_by_itself(struct plan *plan, const char *name, uint64_t failed)
{
    const struct engine_state *state = plan->state;
    const struct def_stage *stage = def_pipeline_stage(state_definition(state), name, NULL);
    const struct stage *there = state_stage(state, name);
    if (!stage || !there || state->deleted || state_is_parallel(state))
        return;
    for (size_t i = 0; i < there->history_count; i++) {
        const struct past *past = state_past(state, there->history[i]);
        if (!past || plan_rollback_refusal(plan, stage, past))
            continue;
        Gantry__V1__Actor *starter = PLAN_MESSAGE(plan, Gantry__V1__Actor, gantry__v1__actor__init);
        starter->subject = plan_string(plan, "gantry");
        starter->name = plan_string(plan, "gantry");
        plan_rollback(
            plan, name, past, starter,
            plan_text(plan, "release %llu failed in stage '%s'", (unsigned long long)failed, name),
            failed);
        return;
    }
}
