/* Who brought what an approval is about. */
#include <string.h>

#include "engine/plan.h"

static const struct past *past_at(const struct engine_state *state, const struct stage *stage,
                                  size_t place)
{
    return stage && place < stage->history_count ? state_past(state, stage->history[place]) : NULL;
}

/* Where the stage stood last on a source's ref: the number of that revision seen. False: it was of
 * no reported revision. 0: the stage never had one of that ref, so everything is new there. */
static bool last_seen(const struct engine_state *state, const struct stage *stage,
                      const Gantry__V1__Revision *revision, uint64_t *seen)
{
    *seen = 0;
    for (size_t i = 0; stage && i < stage->history_count; i++) {
        const struct past *past = past_at(state, stage, i);
        const Gantry__V1__ReleaseStarted *started = past ? past->facts->started : NULL;
        for (size_t j = 0; started && j < started->n_revisions; j++) {
            if (strcmp(started->revisions[j]->source, revision->source) != 0 ||
                strcmp(started->revisions[j]->ref, revision->ref) != 0)
                continue;
            *seen = past->facts->seen[j];
            return *seen != 0;
        }
    }
    return true;
}

bool state_authors(const struct engine_state *state, const struct release *release,
                   const char *stage_name, struct strv *out)
{
    const struct stage *stage = state_stage(state, stage_name);
    const Gantry__V1__ReleaseStarted *started = release->facts->started;
    bool complete = started->n_revisions > 0;
    for (size_t i = 0; i < started->n_revisions; i++) {
        const Gantry__V1__Revision *revision = started->revisions[i];
        uint64_t here = release->facts->seen[i], last;
        if (!last_seen(state, stage, revision, &last) || here == 0) {
            complete = false;
            continue;
        }
        uint64_t from = here < last ? here : last, to = here < last ? last : here;
        if (!people_between(state->people, revision->source, revision->ref, from, to, out))
            complete = false;
    }
    people_unique(out);
    return complete && out->count <= PEOPLE_MAX;
}

void state_last_digest(const struct engine_state *state, const char *stage_name, char out[80])
{
    const struct past *past = past_at(state, state_stage(state, stage_name), 0);
    out[0] = '\0';
    if (past)
        state_digest(&past->artifacts, past->facts, out);
}
