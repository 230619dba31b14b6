/* How releases begin. */
#include <string.h>

#include "engine/plan.h"

#define STARTS_MAX 50 /* a Decision; the rest begins with the next revision */

/* Whether another release could make the state too large for a snapshot's record. */
static const char *why_full(struct plan *plan)
{
    const struct engine_state *state = plan->state;
    size_t active = 0, bytes = state_release_bytes(state);
    for (size_t i = 0; i < state->releases.count; i++)
        active += release_is_active(state_release_at(state, i));
    if (active > STATE_RELEASES_MAX)
        return plan_text(plan, "%d releases are under way or wait, more than can be kept",
                         STATE_RELEASES_MAX);
    if (bytes > STATE_RELEASES_BYTES)
        return plan_text(plan,
                         "what the releases under way carry takes %zu KiB, more than can be "
                         "kept",
                         bytes / 1024);
    return NULL;
}

void plan_start(struct plan *plan, Gantry__V1__ReleaseStarted *started)
{
    uint64_t number = plan->state->next_release;
    started->release = number;
    started->definition_number = plan->state->current->number;
    plan_change(plan, GANTRY__V1__CHANGE__WHAT_RELEASE_STARTED, started);
    const char *full = plan->failed ? NULL : why_full(plan);
    if (full)
        plan_release_ended(plan, number, GANTRY__V1__STATUS__STATUS_FAILED, full, 0);
}

Gantry__V1__Revision *plan_revision(struct plan *plan, const struct def_source *source,
                                    const char *ref, const char *commit, const char *message,
                                    const char *pusher)
{
    Gantry__V1__Revision *m = PLAN_MESSAGE(plan, Gantry__V1__Revision, gantry__v1__revision__init);
    m->source = plan_string(plan, source->name);
    m->git = plan_string(plan, source->git);
    m->credentials = plan_string(plan, source->credentials);
    m->submodules = source->submodules;
    m->lfs = source->lfs;
    m->clone = source->clone;
    m->depth = source->depth;
    m->ref = plan_string(plan, ref);
    m->commit = plan_string(plan, commit);
    m->message = plan_string(plan, message);
    m->pusher = plan_string(plan, pusher);
    plan_bound_revision(m);
    return m;
}

Gantry__V1__Revision *plan_head_revision(struct plan *plan, const struct def_source *source,
                                         const struct head *head)
{
    const Gantry__V1__Revision *r = head->revision;
    return plan_revision(plan, source, r->ref, r->commit, r->message, r->pusher);
}

/* The oldest that no release began with and that the definition wants. */
static const struct head *next_pending(const struct engine_state *state,
                                       const struct def_pipeline *pipeline)
{
    const struct head *next = NULL;
    for (size_t i = 0; i < state->heads.count; i++) {
        const struct head *head = state->heads.items[i];
        if (!head->unstarted || (next && head->seen > next->seen))
            continue;
        const struct def_source *source = def_pipeline_source(pipeline, head->revision->source);
        if (source && def_source_matches(source, head->revision->ref))
            next = head;
    }
    return next;
}

static void add_people(struct plan *plan, Gantry__V1__ReleaseStarted *started, uint64_t seen)
{
    const struct people_entry *entry = people_at(plan->state->people, seen);
    if (!entry)
        return;
    size_t count = entry->emails.count;
    started->people_complete = entry->complete;
    started->people = count ? arena_alloc(plan->arena, count * sizeof(char *)) : NULL;
    started->n_people = count;
    for (size_t i = 0; i < count; i++)
        started->people[i] = plan_string(plan, entry->emails.items[i]);
}

static void add_variables(struct plan *plan, Gantry__V1__ReleaseStarted *started,
                          const struct def_pipeline *pipeline)
{
    size_t count = pipeline->variable_count;
    started->variables =
        count ? arena_alloc(plan->arena, count * sizeof(*started->variables)) : NULL;
    started->n_variables = count;
    for (size_t i = 0; i < count; i++)
        started->variables[i] =
            plan_key_value(plan, pipeline->variables[i].key, pipeline->variables[i].value);
}

static void start_with(struct plan *plan, const struct def_pipeline *pipeline,
                       const struct head *pending)
{
    size_t count = pipeline->source_count;
    Gantry__V1__ReleaseStarted *m =
        PLAN_MESSAGE(plan, Gantry__V1__ReleaseStarted, gantry__v1__release_started__init);
    m->type = GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_NORMAL;
    m->revisions = arena_alloc(plan->arena, count * sizeof(*m->revisions));
    m->n_revisions = count;
    for (size_t i = 0; i < count; i++) {
        const struct def_source *source = &pipeline->sources[i];
        const struct head *head = strcmp(source->name, pending->revision->source) == 0
                                      ? pending
                                      : state_newest_head(plan->state, source);
        m->revisions[i] = plan_head_revision(plan, source, head);
    }
    add_variables(plan, m, pipeline);
    add_people(plan, m, pending->seen);
    m->starter = PLAN_MESSAGE(plan, Gantry__V1__Actor, gantry__v1__actor__init);
    m->starter->name = plan_string(plan, pending->revision->pusher);
    m->reason = arena_printf(plan->arena, "a new revision of %s", pending->revision->source);
    plan_start(plan, m);
}

void plan_start_pending(struct plan *plan)
{
    const struct def_pipeline *pipeline = state_definition(plan->state);
    const struct head *pending;
    if (!pipeline || plan->state->deleted || plan->failed)
        return;
    for (size_t i = 0; i < pipeline->source_count; i++) {
        if (!state_newest_head(plan->state, &pipeline->sources[i]))
            return; /* all sources are pinned at the start, so each needs a revision */
    }
    for (int i = 0; i < STARTS_MAX && !plan->failed && !plan_is_full(plan); i++) {
        if (!(pending = next_pending(plan->state, pipeline)))
            return;
        start_with(plan, pipeline, pending);
    }
}
