/* A state: life, and looking things up. */
#include "engine/state.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"

static void name_destroy(struct shared *part)
{
    free(part);
}

struct engine_state *engine_state_new(const char *pipeline)
{
    struct engine_state *state = mem_alloc(sizeof(*state));
    size_t len = strlen(pipeline);
    state->pipeline = mem_alloc(sizeof(*state->pipeline) + len + 1);
    shared_init(&state->pipeline->shared, name_destroy);
    memcpy(state->pipeline->text, pipeline, len);
    state->next_release = state->next_seen = state->next_arrival = 1;
    state->replaced = replaced_new();
    state->ids = ids_new();
    state->people = people_new();
    state->deadline_ms = INT64_MAX;
    return state;
}

void engine_state_free(struct engine_state *state)
{
    if (!state)
        return;
    shared_unref(state->pipeline);
    shared_unref(state->current);
    shared_unref(state->replaced);
    shared_unref(state->ids);
    shared_unref(state->people);
    parts_release(&state->heads);
    parts_release(&state->stages);
    parts_release(&state->pasts);
    parts_release(&state->releases);
    parts_release(&state->pins);
    parts_release(&state->deployed);
    free(state);
}

struct engine_state *engine_state_clone(const struct engine_state *state)
{
    struct engine_state *copy = mem_dup(state, sizeof(*state));
    shared_ref(copy->pipeline);
    shared_ref(copy->current);
    shared_ref(copy->replaced);
    shared_ref(copy->ids);
    shared_ref(copy->people);
    parts_copy(&copy->heads, &state->heads);
    parts_copy(&copy->stages, &state->stages);
    parts_copy(&copy->pasts, &state->pasts);
    parts_copy(&copy->releases, &state->releases);
    parts_copy(&copy->pins, &state->pins);
    parts_copy(&copy->deployed, &state->deployed);
    return copy;
}

const char *engine_state_pipeline(const struct engine_state *state)
{
    return state->pipeline->text;
}

uint64_t engine_state_sequence(const struct engine_state *state)
{
    return state->sequence;
}

uint64_t engine_state_next_release(const struct engine_state *state)
{
    return state->next_release;
}

const uint8_t *engine_state_hash(const struct engine_state *state)
{
    return state->hash;
}

bool engine_state_hashed(const struct engine_state *state)
{
    return state->hashed;
}

bool engine_state_has_definition(const struct engine_state *state)
{
    return state->current && !state->deleted;
}

bool engine_state_took_definition(const struct engine_state *state,
                                  const uint8_t sha256[SHA256_SIZE])
{
    if (state->current && memcmp(state->current->sha256, sha256, SHA256_SIZE) == 0)
        return true;
    for (size_t i = 0; i < state->replaced->count; i++) {
        if (memcmp(state->replaced->items[i].sha256, sha256, SHA256_SIZE) == 0)
            return true;
    }
    return false;
}

int64_t engine_state_deadline(const struct engine_state *state)
{
    return state->deadline_ms;
}

void engine_state_set_numbers(struct engine_state *state, uint64_t next_release,
                              uint64_t next_sequence)
{
    if (next_release > state->next_release)
        state->next_release = next_release;
    if (next_sequence > state->sequence + 1) {
        state->sequence = next_sequence - 1;
        state->hashed = false;
        memset(state->hash, 0, sizeof(state->hash));
    }
}

const struct def_pipeline *state_definition(const struct engine_state *state)
{
    return state->current ? state->current->parsed->pipeline : NULL;
}

bool state_find_release(const struct engine_state *state, uint64_t number, size_t *at)
{
    size_t low = 0, high = state->releases.count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (state_release_at(state, mid)->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    *at = low;
    return low < state->releases.count && state_release_at(state, low)->number == number;
}

bool state_find_past(const struct engine_state *state, uint64_t number, size_t *at)
{
    size_t i = 0;
    while (i < state->pasts.count && ((struct past *)state->pasts.items[i])->number < number)
        i++;
    *at = i;
    return i < state->pasts.count && ((struct past *)state->pasts.items[i])->number == number;
}

bool state_find_stage(const struct engine_state *state, const char *name, size_t *at)
{
    int diff = 1;
    size_t i = 0;
    while (i < state->stages.count &&
           (diff = strcmp(((struct stage *)state->stages.items[i])->name, name)) < 0)
        i++;
    *at = i;
    return i < state->stages.count && diff == 0;
}

bool state_find_head(const struct engine_state *state, const char *source, const char *ref,
                     size_t *at)
{
    size_t low = 0, high = state->heads.count;
    int diff = 1;
    bool found = false;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct head *head = state->heads.items[mid];
        diff = strcmp(head->revision->source, source);
        diff = diff ? diff : strcmp(head->revision->ref, ref);
        found = found || diff == 0;
        if (diff < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *at = low;
    return found;
}

const struct head *state_head(const struct engine_state *state, const char *source, const char *ref)
{
    size_t at;
    return state_find_head(state, source, ref, &at) ? state->heads.items[at] : NULL;
}

const struct head *state_newest_head(const struct engine_state *state,
                                     const struct def_source *source)
{
    const struct head *newest = NULL;
    for (size_t i = 0; i < state->heads.count; i++) {
        const struct head *head = state->heads.items[i];
        if (strcmp(head->revision->source, source->name) == 0 &&
            (!newest || head->seen > newest->seen) &&
            def_source_matches(source, head->revision->ref))
            newest = head;
    }
    return newest;
}

const struct stage *state_stage(const struct engine_state *state, const char *name)
{
    size_t at;
    return state_find_stage(state, name, &at) ? state->stages.items[at] : NULL;
}

const struct past *state_past(const struct engine_state *state, uint64_t number)
{
    size_t at;
    return state_find_past(state, number, &at) ? state->pasts.items[at] : NULL;
}

const struct release *state_release(const struct engine_state *state, uint64_t number)
{
    size_t at;
    return state_find_release(state, number, &at) ? state->releases.items[at] : NULL;
}

bool state_is_parallel(const struct engine_state *state)
{
    return state->current && state_definition(state)->mode == DEF_PARALLEL;
}

bool state_find_pin(const struct engine_state *state, const char *environment, size_t *at)
{
    int diff = 1;
    size_t i = 0;
    for (; i < state->pins.count; i++) {
        const struct fixed *pin = state->pins.items[i];
        diff =
            strcmp(((const Gantry__V1__EnvironmentPinned *)pin->message)->environment, environment);
        if (diff >= 0)
            break;
    }
    *at = i;
    return i < state->pins.count && diff == 0;
}

const Gantry__V1__EnvironmentPinned *state_pin(const struct engine_state *state,
                                               const char *environment)
{
    size_t at;
    if (!state_find_pin(state, environment, &at))
        return NULL;
    return (const Gantry__V1__EnvironmentPinned *)((struct fixed *)state->pins.items[at])->message;
}

bool state_find_deployed(const struct engine_state *state, const char *environment, size_t *at)
{
    int diff = 1;
    size_t i = 0;
    while (i < state->deployed.count &&
           (diff = strcmp(((struct deployed *)state->deployed.items[i])->environment,
                          environment)) < 0)
        i++;
    *at = i;
    return i < state->deployed.count && diff == 0;
}

const struct deployed *state_deployed(const struct engine_state *state, const char *environment)
{
    size_t at;
    return state_find_deployed(state, environment, &at) ? state->deployed.items[at] : NULL;
}

bool pipeline_deploys_to(const struct def_pipeline *pipeline, const char *environment)
{
    for (size_t i = 0; i < pipeline->stage_count; i++) {
        for (size_t j = 0; j < stage_action_count(&pipeline->stages[i]); j++) {
            const struct def_action *action = stage_action_at(&pipeline->stages[i], j, NULL);
            if (action->kind == DEF_DEPLOY && strcmp(action->deploy.environment, environment) == 0)
                return true;
        }
    }
    return false;
}

const struct release *state_occupant(const struct engine_state *state, const char *stage)
{
    if (state_is_parallel(state))
        return NULL;
    for (size_t i = 0; i < state->releases.count; i++) {
        const struct release *release = state_release_at(state, i);
        if (release->phase == RELEASE_INSIDE && str_eq(release_stage(release)->name, stage))
            return release;
    }
    return NULL;
}

void state_release_add(struct engine_state *state, struct release *release)
{
    size_t at;
    state_find_release(state, release->number, &at);
    parts_insert(&state->releases, at, release);
}

void state_release_remove(struct engine_state *state, uint64_t number)
{
    size_t at;
    if (state_find_release(state, number, &at))
        parts_remove(&state->releases, at);
}

bool release_is_active(const struct release *release)
{
    return release->phase == RELEASE_WAITING || release->phase == RELEASE_INSIDE ||
           release->phase == RELEASE_OUT;
}

bool release_is_rollback(const struct release *release)
{
    return release->facts->started->type == GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;
}

const struct def_stage *release_stage(const struct release *release)
{
    const struct def_pipeline *pipeline = release->definition->parsed->pipeline;
    return release->stage < pipeline->stage_count ? &pipeline->stages[release->stage] : NULL;
}

const Gantry__V1__Artifact *release_artifact(const struct release *release, const char *name)
{
    for (size_t i = 0; i < release->artifacts.count; i++) {
        const struct fixed *fixed = release->artifacts.items[i];
        const Gantry__V1__Artifact *artifact = (const Gantry__V1__Artifact *)fixed->message;
        if (str_eq(artifact->name, name))
            return artifact;
    }
    return NULL;
}

const Gantry__V1__Artifact *release_image(const struct release *release,
                                          const struct def_action *action)
{
    for (size_t i = 0; i < release->artifacts.count; i++) {
        const struct fixed *fixed = release->artifacts.items[i];
        const Gantry__V1__Artifact *artifact = (const Gantry__V1__Artifact *)fixed->message;
        if (!action->deploy.artifact || strcmp(artifact->name, action->deploy.artifact) == 0)
            return artifact;
    }
    return NULL;
}

static void digest_of(const struct strv *lines, const char *kind, char out[80])
{
    struct buf text;
    char hex[SHA256_HEX_SIZE];
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < lines->count; i++)
        buf_addf(&text, "%s\n", lines->items[i]);
    sha256_hex(text.data, text.len, hex);
    snprintf(out, 80, "%s:%s", kind, hex);
    buf_release(&text);
}

void state_digest(const struct parts *artifacts, const struct facts *facts, char out[80])
{
    struct strv lines = {0};
    if (artifacts->count == 1) {
        const struct fixed *one = artifacts->items[0];
        snprintf(out, 80, "%s", ((const Gantry__V1__Artifact *)one->message)->digest);
        return;
    }
    for (size_t i = 0; i < artifacts->count; i++) {
        const struct fixed *fixed = artifacts->items[i];
        const Gantry__V1__Artifact *artifact = (const Gantry__V1__Artifact *)fixed->message;
        strv_addf(&lines, "%s %s", artifact->name, artifact->digest);
    }
    for (size_t i = 0; !artifacts->count && i < facts->started->n_revisions; i++) {
        const Gantry__V1__Revision *revision = facts->started->revisions[i];
        strv_addf(&lines, "%s %s", revision->source, revision->commit);
    }
    strv_sort(&lines);
    digest_of(&lines, artifacts->count ? "images" : "revisions", out);
    strv_release(&lines);
}

size_t stage_action_count(const struct def_stage *stage)
{
    size_t count = 0;
    for (size_t i = 0; i < stage->step_count; i++)
        count += stage->steps[i].action_count;
    return count;
}

const struct def_action *stage_action_at(const struct def_stage *stage, size_t place, size_t *step)
{
    for (size_t i = 0; i < stage->step_count; i++) {
        if (place < stage->steps[i].action_count) {
            if (step)
                *step = i;
            return &stage->steps[i].actions[place];
        }
        place -= stage->steps[i].action_count;
    }
    return NULL;
}

long stage_action_place(const struct def_stage *stage, const char *name)
{
    long place = 0;
    for (size_t i = 0; i < stage->step_count; i++) {
        for (size_t j = 0; j < stage->steps[i].action_count; j++, place++) {
            if (strcmp(stage->steps[i].actions[j].name, name) == 0)
                return place;
        }
    }
    return -1;
}

static void earlier(int64_t *deadline_ms, int64_t other_ms)
{
    if (other_ms < *deadline_ms)
        *deadline_ms = other_ms;
}

/* A stage that was entered while a Decision was full has actions still to be requested: that is
 * due at once. So is every transition that could be passed, but those are never left open. */
static bool has_work(const struct release *release)
{
    bool failed = release->stopping != 0;
    size_t i = 0, first = SIZE_MAX;
    const struct def_stage *stage = release_stage(release);
    for (i = 0; i < release->run_count; i++)
        failed = failed || release->runs[i].state > RUN_SUCCEEDED;
    for (i = 0; !failed && i < release->run_count; i++) {
        size_t step = 0;
        if (release->runs[i].state == RUN_SUCCEEDED)
            continue;
        stage_action_at(stage, i, &step);
        first = first == SIZE_MAX ? step : first;
        if (step == first && release->runs[i].state == RUN_NONE)
            return true;
    }
    return false;
}

void release_set_deadline(struct release *release)
{
    release->deadline_ms = INT64_MAX;
    for (size_t i = 0; release->phase == RELEASE_WAITING && i < release->gate_count; i++) {
        const struct gate *gate = &release->gates[i];
        if (gate->approval && gate->approval->state == APPROVAL_OPEN)
            earlier(&release->deadline_ms, gate->approval->expires_ms);
        if (gate->check.state == CHECK_ASKED ||
            (gate->check.state == CHECK_NO && !gate->overridden))
            earlier(&release->deadline_ms, gate->check.at_ms);
    }
    if (release->phase == RELEASE_WAITING && release->look_again_ms)
        earlier(&release->deadline_ms, release->look_again_ms);
    if (release->phase != RELEASE_INSIDE)
        return;
    for (size_t i = 0; i < release->run_count; i++) {
        const struct run *run = &release->runs[i];
        size_t builds = run->state == RUN_BUILDING ? run->batch->count : 0;
        for (struct slot slot = {i, 0}; slot.build <= builds; slot.build++) {
            const struct run *at = release_run(release, slot);
            if (at->state == RUN_REQUESTED || at->state == RUN_STARTED)
                earlier(&release->deadline_ms, at->deadline_ms);
        }
        if (builds && batch_next(run->batch))
            release->deadline_ms = 0;
    }
    if (has_work(release))
        release->deadline_ms = 0;
}

void state_set_deadline(struct engine_state *state)
{
    state->deadline_ms = INT64_MAX;
    for (size_t i = 0; i < state->releases.count; i++)
        earlier(&state->deadline_ms, state_release_at(state, i)->deadline_ms);
}

char *release_held_text(const struct release *release, char *const *held_by, size_t count)
{
    const struct def_stage *stage = release_stage(release);
    struct buf text;
    buf_init(&text, 64 * 1024);
    for (size_t i = 0; i < count; i++) {
        bool approval = false;
        for (size_t j = 0; j < stage->gate_count; j++)
            approval = approval || (stage->gates[j].kind == DEF_GATE_APPROVAL &&
                                    strcmp(stage->gates[j].name, held_by[i]) == 0);
        if (!approval)
            buf_addf(&text, "%s%s", text.len ? " " : "", held_by[i]);
    }
    if (text.len)
        return buf_detach(&text);
    buf_release(&text);
    return NULL;
}

void release_set_held(struct release *release, char *const *held_by, size_t count,
                      int64_t look_again_ms)
{
    free(release->held);
    release->held = count ? release_held_text(release, held_by, count) : NULL;
    release->look_again_ms = look_again_ms;
}

bool engine_state_waits(const struct engine_state *state)
{
    for (size_t i = 0; i < state->releases.count; i++) {
        if (state_release_at(state, i)->phase == RELEASE_WAITING)
            return true;
    }
    return false;
}

void engine_state_running(const struct engine_state *state,
                          void (*fn)(const char *run_id, int64_t lost_after_ms, void *arg),
                          void *arg)
{
    for (size_t i = 0; i < state->releases.count; i++) {
        const struct release *release = state_release_at(state, i);
        for (size_t j = 0; release->phase == RELEASE_INSIDE && j < release->run_count; j++) {
            const struct run *run = &release->runs[j];
            size_t builds = run->state == RUN_BUILDING ? run->batch->count : 0;
            int64_t lost_after_ms = stage_action_at(release_stage(release), j, NULL)->lost_after_ms;
            for (struct slot slot = {j, 0}; slot.build <= builds; slot.build++) {
                if (release_run(release, slot)->state == RUN_STARTED)
                    fn(release_run(release, slot)->id, lost_after_ms, arg);
            }
        }
    }
}
