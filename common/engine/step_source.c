/* Definitions and revisions. */
#include <string.h>

#include "engine/message.h"
#include "engine/plan.h"
#include "gantry/v1/definition.pb-c.h"

static void refuse_definition(struct plan *plan, const Gantry__V1__Definition *def,
                              const char *reason)
{
    Gantry__V1__DefinitionRefused *m =
        PLAN_MESSAGE(plan, Gantry__V1__DefinitionRefused, gantry__v1__definition_refused__init);
    m->sha256.data = arena_dup(plan->arena, def->sha256.data, def->sha256.len);
    m->sha256.len = def->sha256.len;
    m->reason = plan_string(plan, reason);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_DEFINITION_REFUSED, m);
}

/* Bytes of the definitions that releases still use. */
static size_t definitions_in_use(const struct engine_state *state)
{
    size_t bytes = 0;
    const struct taken *counted = state->current;
    for (size_t i = 0; i < state->releases.count; i++) { /* by number: equal ones are neighbours */
        const struct taken *taken = state_release_at(state, i)->definition;
        if (taken != counted)
            bytes += taken->yaml_len;
        counted = taken;
    }
    return bytes + (state->current ? state->current->yaml_len : 0);
}

static void set_author(struct plan *plan, const char *author)
{
    Gantry__V1__Actor *actor = PLAN_MESSAGE(plan, Gantry__V1__Actor, gantry__v1__actor__init);
    actor->subject = plan_string(plan, author);
    plan->actor = actor;
}

static void take_definition(struct plan *plan, const Gantry__V1__Definition *def)
{
    struct err why = {0};
    struct taken *taken = taken_new(1, def->yaml.data, def->yaml.len, &why);
    if (!taken)
        return; /* as every reader does: the one before stays */
    bool fits = strcmp(taken->parsed->name, def->name) == 0 &&
                memcmp(taken->sha256, def->sha256.data, SHA256_SIZE) == 0;
    shared_unref(taken);
    if (!fits) {
        refuse_definition(plan, def, "its name or SHA-256 is not that of its record");
        return;
    }
    if (definitions_in_use(plan->state) + def->yaml.len > STATE_DEFINITIONS_MAX) {
        refuse_definition(plan, def,
                          "releases under way still use other definitions, with which "
                          "it takes more than 512 KiB: let some end first");
        return;
    }
    Gantry__V1__DefinitionTaken *m =
        PLAN_MESSAGE(plan, Gantry__V1__DefinitionTaken, gantry__v1__definition_taken__init);
    m->number = plan->state->definitions + 1;
    m->sha256.data = arena_dup(plan->arena, def->sha256.data, def->sha256.len);
    m->sha256.len = def->sha256.len;
    m->yaml.data = arena_dup(plan->arena, def->yaml.data, def->yaml.len);
    m->yaml.len = def->yaml.len;
    m->author = plan_string(plan, def->author);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_DEFINITION_TAKEN, m);
    plan_start_pending(plan);
    plan_advance(plan, 0);
}

void step_definition(struct plan *plan)
{
    const Gantry__V1__Definition *def = plan->input->message;
    const struct engine_state *state = plan->state;
    if (strcmp(def->kind, def_kind_name(DEF_PIPELINE)) != 0 ||
        strcmp(def->name, state->pipeline->text) != 0) {
        err_set(plan->err, ERR_INVALID, "definition of %.32s '%.64s' was given to pipeline '%s'",
                def->kind, def->name, state->pipeline->text);
        plan->failed = true;
        return;
    }
    set_author(plan, def->author);
    if (def->deleted) {
        if (!engine_state_has_definition(state))
            return;
        Gantry__V1__DefinitionDeleted *m =
            PLAN_MESSAGE(plan, Gantry__V1__DefinitionDeleted, gantry__v1__definition_deleted__init);
        m->author = plan_string(plan, def->author);
        plan_change(plan, GANTRY__V1__CHANGE__WHAT_DEFINITION_DELETED, m);
        return;
    }
    if (def->sha256.len != SHA256_SIZE ||
        (engine_state_has_definition(state) &&
         memcmp(state->current->sha256, def->sha256.data, SHA256_SIZE) == 0))
        return;
    take_definition(plan, def);
}

static bool starts_release(const struct engine_state *state,
                           const Gantry__V1__SourceChanged *change)
{
    const struct def_pipeline *pipeline = state_definition(state);
    const struct def_source *source =
        engine_state_has_definition(state) ? def_pipeline_source(pipeline, change->source) : NULL;
    if (!source || !def_source_matches(source, change->ref))
        return false;
    for (size_t i = 0; i < pipeline->source_count; i++) {
        if (&pipeline->sources[i] != source && !state_newest_head(state, &pipeline->sources[i]))
            return false;
    }
    return true;
}

static bool is_wanted(const struct engine_state *state, const Gantry__V1__SourceChanged *change)
{
    const struct def_source *source =
        engine_state_has_definition(state)
            ? def_pipeline_source(state_definition(state), change->source)
            : NULL;
    return !change->skip && (!source || def_source_wants(source, change->paths, change->n_paths,
                                                         change->paths_complete));
}

void step_source(struct plan *plan)
{
    const Gantry__V1__SourceChanged *change = plan->input->message;
    if (change->look)
        return; /* what the source-watcher notes for itself */
    const struct head *head = state_head(plan->state, change->source, change->ref);
    if (head && strcmp(head->revision->commit, change->after) == 0)
        return; /* reported again, by a poll beside a webhook or by another watcher */
    Gantry__V1__RevisionSeen *m =
        PLAN_MESSAGE(plan, Gantry__V1__RevisionSeen, gantry__v1__revision_seen__init);
    m->change = plan_bound_change(plan, change);
    m->unwanted = !is_wanted(plan->state, change);
    m->ce_id = plan_string(plan, plan->input->ce_id);
    m->starts_release = !m->unwanted && starts_release(plan->state, change);
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_REVISION_SEEN, m);
    plan_start_pending(plan);
    plan_advance(plan, 0);
}
