/* What encode.c wrote, and nothing else: whatever does not fit is refused with a reason. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/state.h"
#include "engine/wire.h"

#define NUMBER_MAX  INT64_MAX
#define TIME_MAX_MS (INT64_C(1) << 50)

static void read_artifacts(struct wire_in *in, struct parts *parts)
{
    size_t count = wire_read_count(in, DEFINITION_ACTIONS_MAX);
    for (size_t i = 0; i < count && !in->failed; i++) {
        void *message = wire_read_message(in, &gantry__v1__artifact__descriptor);
        if (message)
            parts_add(parts, fixed_adopt(message));
    }
}

static void read_votes(struct wire_in *in, struct parts *parts)
{
    size_t count = wire_read_count(in, SIZE_MAX);
    for (size_t i = 0; i < count && !in->failed; i++) {
        Gantry__V1__Vote *vote = wire_read_message(in, &gantry__v1__vote__descriptor);
        if (vote && !vote->voter)
            wire_fail(in, "a vote is of nobody");
        if (vote)
            parts_add(parts, fixed_adopt(vote));
    }
}

static void read_exports(struct wire_in *in, struct parts *parts)
{
    size_t count = wire_read_count(in, DEFINITION_ACTIONS_MAX);
    for (size_t i = 0; i < count && !in->failed; i++) {
        const char *action = wire_read_string(in);
        size_t n = wire_read_count(in, STATE_EXPORT_MAX);
        Gantry__V1__KeyValue *values = mem_alloc((n + 1) * sizeof(*values));
        Gantry__V1__KeyValue **items = mem_alloc((n + 1) * sizeof(*items));
        for (size_t j = 0; j < n; j++) {
            gantry__v1__key_value__init(&values[j]);
            values[j].key = (char *)wire_read_string(in);
            values[j].value = (char *)wire_read_string(in);
            items[j] = &values[j];
        }
        if (!in->failed)
            parts_add(parts, exports_new(action, items, n));
        free(values);
        free(items);
    }
}

static struct facts *read_facts(struct wire_in *in)
{
    Gantry__V1__ReleaseStarted *started =
        wire_read_message(in, &gantry__v1__release_started__descriptor);
    if (!started)
        return NULL;
    struct facts *facts = facts_new(started);
    for (size_t i = 0; i < started->n_revisions; i++)
        facts->seen[i] = wire_read_number(in, NUMBER_MAX);
    if (started->n_people || started->n_artifacts)
        wire_fail(in, "a release holds what it should not");
    if (!started->n_revisions)
        wire_fail(in, "a release has no revision");
    event_free(started);
    return facts;
}

static void read_heads(struct wire_in *in, struct engine_state *state)
{
    size_t count = wire_read_count(in, STATE_HEADS_MAX), at;
    for (size_t i = 0; i < count && !in->failed; i++) {
        Gantry__V1__Revision *revision = wire_read_message(in, &gantry__v1__revision__descriptor);
        uint64_t seen = wire_read_number(in, NUMBER_MAX);
        bool unstarted = wire_read_bool(in);
        if (revision && (state_find_head(state, revision->source, revision->ref, &at) ||
                         at != state->heads.count))
            wire_fail(in, "heads are out of order");
        if (!in->failed)
            parts_add(&state->heads, head_new(revision, seen, unstarted));
        event_free(revision);
    }
}

static void read_stages(struct wire_in *in, struct engine_state *state)
{
    size_t count = wire_read_count(in, SIZE_MAX), at;
    for (size_t i = 0; i < count && !in->failed; i++) {
        const char *name = wire_read_string(in);
        if (state_find_stage(state, name, &at) || at != state->stages.count) {
            wire_fail(in, "stages are out of order");
            return;
        }
        struct stage *stage = stage_new(name);
        parts_add(&state->stages, stage);
        stage->entered_max = wire_read_number(in, NUMBER_MAX);
        stage->entered_last = wire_read_number(in, NUMBER_MAX);
        if (wire_read_bool(in)) {
            void *message = wire_read_message(in, &gantry__v1__transition_set__descriptor);
            stage->disabled = message ? fixed_adopt(message) : NULL;
        }
        stage->history_count = wire_read_number(in, STATE_HISTORY);
        for (size_t j = 0; j < stage->history_count; j++)
            stage->history[j] = wire_read_number(in, NUMBER_MAX);
    }
}

static void read_pasts(struct wire_in *in, struct engine_state *state)
{
    size_t count = wire_read_count(in, SIZE_MAX), at;
    for (size_t i = 0; i < count && !in->failed; i++) {
        struct parts none = {0};
        uint64_t number = wire_read_number(in, NUMBER_MAX);
        struct facts *facts = read_facts(in);
        if (!facts)
            return;
        struct past *past = past_new(number, facts, &none, &none);
        shared_unref(facts);
        if (state_find_past(state, number, &at) || at != state->pasts.count)
            wire_fail(in, "past releases are out of order");
        parts_add(&state->pasts, past);
        read_artifacts(in, &past->artifacts);
        read_exports(in, &past->exports);
    }
    for (size_t i = 0; i < state->stages.count; i++) {
        const struct stage *stage = state->stages.items[i];
        for (size_t j = 0; j < stage->history_count; j++) {
            if (!state_past(state, stage->history[j]))
                wire_fail(in, "a stage remembers a release that is not there");
        }
    }
}

static struct approval *read_approval(struct wire_in *in)
{
    if (!wire_read_bool(in))
        return NULL;
    struct approval *approval = approval_new();
    approval->state = (enum approval_state)wire_read_number(in, APPROVAL_SHUT);
    approval->number = (uint32_t)wire_read_number(in, UINT32_MAX);
    wire_read_id(in, approval->id);
    approval->opened_ms = wire_read_signed(in);
    approval->expires_ms = wire_read_signed(in);
    approval->digest = mem_strdup(wire_read_string(in));
    read_votes(in, &approval->votes);
    return approval;
}

static void read_gate(struct wire_in *in, struct gate *gate, const struct def_gate *rules)
{
    struct check *check = &gate->check;
    uint64_t flags = wire_read_number(in, 3);
    gate->overridden = flags & 1;
    gate->promoted = flags & 2;
    gate->approval = read_approval(in);
    check->number = (uint32_t)wire_read_number(in, UINT32_MAX);
    if (check->number) {
        check->state = (enum check_state)wire_read_number(in, CHECK_YES);
        wire_read_id(in, check->id);
        check->at_ms = wire_read_signed(in);
    }
    if ((gate->approval && rules->kind != DEF_GATE_APPROVAL) ||
        (check->number && rules->kind != DEF_GATE_CHECK))
        wire_fail(in, "a gate holds what another kind would");
}

static void read_approvers(struct wire_in *in, struct parts *parts)
{
    size_t count = wire_read_count(in, SIZE_MAX);
    for (size_t i = 0; i < count && !in->failed; i++) {
        const char *stage = wire_read_string(in), *subject = wire_read_string(in);
        parts_add(parts, approver_new(stage, subject, wire_read_string(in)));
    }
}

static void read_pins(struct wire_in *in, struct engine_state *state)
{
    size_t count = wire_read_count(in, STATE_PINS_MAX), at;
    for (size_t i = 0; i < count && !in->failed; i++) {
        Gantry__V1__EnvironmentPinned *pin =
            wire_read_message(in, &gantry__v1__environment_pinned__descriptor);
        if (!pin)
            return;
        if (state_find_pin(state, pin->environment, &at) || at != state->pins.count)
            wire_fail(in, "pins are out of order");
        parts_add(&state->pins, fixed_adopt(pin));
    }
}

static void read_deployed(struct wire_in *in, struct engine_state *state)
{
    size_t count = wire_read_count(in, SIZE_MAX), at;
    for (size_t i = 0; i < count && !in->failed; i++) {
        const char *environment = wire_read_string(in), *digest = wire_read_string(in);
        bool sure = wire_read_bool(in);
        if (in->failed)
            return;
        if (state_find_deployed(state, environment, &at) || at != state->deployed.count)
            wire_fail(in, "what was deployed is out of order");
        parts_add(&state->deployed, deployed_new(environment, digest, sure));
    }
}

static void read_asked(struct wire_in *in, struct run *run)
{
    run->state = (enum run_state)wire_read_number(in, RUN_ABANDONED);
    uint64_t flags = wire_read_number(in, 3);
    run->retry_lost = flags & 1;
    run->was_lost = flags & 2;
    run->number = (uint32_t)wire_read_number(in, UINT32_MAX);
    run->attempt = (uint32_t)wire_read_number(in, UINT32_MAX);
    wire_read_id(in, run->id);
    run->deadline_ms = wire_read_signed(in);
}

static struct batch *read_batch(struct wire_in *in)
{
    if (!wire_read_bool(in))
        return NULL;
    Gantry__V1__BatchPlan *plan = wire_read_message(in, &gantry__v1__batch_plan__descriptor);
    if (plan && batch_wrong(plan))
        wire_fail(in, "a batch has no plan that can be one");
    struct batch *batch = in->failed ? NULL : batch_new(plan);
    event_free(plan);
    for (size_t i = 0; batch && i < batch->count; i++) {
        read_asked(in, &batch->builds[i].run);
        if (batch->builds[i].run.state == RUN_BUILDING)
            wire_fail(in, "a build of a batch has one of its own");
        if (!wire_read_bool(in))
            continue;
        void *left = wire_read_message(in, &gantry__v1__finished__descriptor);
        batch->builds[i].left = left ? fixed_adopt(left) : NULL;
    }
    if (!batch)
        return NULL;
    batch->failed = wire_read_number(in, batch->count);
    const char *why = wire_read_string(in);
    batch->why = *why ? mem_strdup(why) : NULL;
    return batch;
}

static void read_run(struct wire_in *in, struct run *run, const struct def_action *action)
{
    read_asked(in, run);
    run->approval = read_approval(in);
    if (run->approval && action->kind != DEF_APPROVAL)
        wire_fail(in, "an action that is no approval holds one");
    run->builds_asked = (uint32_t)wire_read_number(in, UINT32_MAX);
    run->batch = read_batch(in);
    if (run->batch && (action->kind != DEF_BUILD || !action->build.batch))
        wire_fail(in, "an action that asks for no batch has one");
    if (run->state == RUN_BUILDING && !run->batch) {
        wire_fail(in, "builds are under way without their batch");
        run->state = RUN_NONE;
    }
}

/* Runs belong to a stage that was entered, gates to a transition, as many as the definition says.
 */
static void read_place(struct wire_in *in, struct release *release)
{
    const struct def_stage *stage = release_stage(release);
    bool entered = release->phase == RELEASE_INSIDE || release->phase == RELEASE_FAILED;
    size_t runs = entered ? stage_action_count(stage) : 0;
    size_t gates = entered ? 0 : stage->gate_count;
    if (wire_read_number(in, DEFINITION_ACTIONS_MAX) != runs) {
        wire_fail(in, "a release has not the runs of its stage");
        return;
    }
    release_set_runs(release, runs);
    for (size_t i = 0; i < runs; i++)
        read_run(in, &release->runs[i], stage_action_at(stage, i, NULL));
    if (wire_read_number(in, DEFINITION_ACTIONS_MAX) != gates) {
        wire_fail(in, "a release has not the gates of its transition");
        return;
    }
    release_set_gates(release, gates);
    for (size_t i = 0; i < gates; i++)
        read_gate(in, &release->gates[i], &stage->gates[i]);
}

static struct taken *find_taken(const struct parts *definitions, uint64_t number)
{
    for (size_t i = 0; i < definitions->count; i++) {
        struct taken *taken = definitions->items[i];
        if (taken->number == number)
            return taken;
    }
    return NULL;
}

static void read_release(struct wire_in *in, struct engine_state *state,
                         const struct parts *definitions)
{
    uint64_t number = wire_read_number(in, NUMBER_MAX);
    const struct past *past = state_past(state, number);
    struct facts *facts = past ? shared_ref(past->facts) : read_facts(in);
    struct taken *definition = find_taken(definitions, wire_read_number(in, NUMBER_MAX));
    size_t at;
    if (!facts || !definition || state_find_release(state, number, &at) ||
        at != state->releases.count) {
        wire_fail(in, "a release is out of order or without its definition");
        shared_unref(facts);
        return;
    }
    struct release *release = release_new(number, facts, definition);
    parts_add(&state->releases, release);
    read_artifacts(in, &release->artifacts);
    read_exports(in, &release->exports);
    release->phase = (enum release_phase)wire_read_number(in, RELEASE_REFUSED);
    release->told = wire_read_bool(in);
    release->stopping = (int)wire_read_number(in, 2);
    release->stage = (uint32_t)wire_read_number(in, UINT32_MAX);
    release->entered = (uint32_t)wire_read_number(in, UINT32_MAX);
    release->arrived = wire_read_number(in, NUMBER_MAX);
    release->arrived_ms = wire_read_signed(in);
    release->overrides = (unsigned)wire_read_number(in, OVERRIDES_DISABLED | OVERRIDES_FREEZE);
    const char *held = wire_read_string(in);
    release->held = *held ? mem_strdup(held) : NULL;
    release->look_again_ms = wire_read_signed(in);
    release->retries = (uint32_t)wire_read_number(in, UINT32_MAX);
    read_approvers(in, &release->approvers);
    if (release->phase == RELEASE_OUT || !release_stage(release)) {
        wire_fail(in, "a release is at no stage of its definition");
        release->stage = 0;
        return;
    }
    read_place(in, release);
    release_set_deadline(release);
}

static void read_definitions(struct wire_in *in, struct engine_state *state,
                             struct parts *definitions)
{
    size_t count = wire_read_count(in, SIZE_MAX);
    for (size_t i = 0; i < count && !in->failed; i++) {
        struct err why = {0};
        uint64_t number = wire_read_number(in, NUMBER_MAX);
        size_t len = wire_read_count(in, DEFINITION_SIZE_MAX);
        const uint8_t *yaml = wire_read_bytes(in, len);
        struct taken *taken = yaml ? taken_new(number, yaml, len, &why) : NULL;
        if (!taken || find_taken(definitions, number))
            wire_fail(in, *why.msg ? why.msg : "a definition is there twice");
        if (taken)
            parts_add(definitions, taken);
    }
    uint64_t current = wire_read_number(in, NUMBER_MAX);
    state->current = shared_ref(find_taken(definitions, current));
    if (current && !state->current)
        wire_fail(in, "the current definition is missing");
}

static void read_replaced(struct wire_in *in, struct replaced *replaced)
{
    size_t count = wire_read_count(in, STATE_TAKEN_MAX);
    replaced->items = mem_alloc((count + 1) * sizeof(*replaced->items));
    for (; replaced->count < count && !in->failed; replaced->count++) {
        const uint8_t *hash = wire_read_bytes(in, SHA256_SIZE);
        if (hash)
            memcpy(replaced->items[replaced->count].sha256, hash, SHA256_SIZE);
        replaced->items[replaced->count].at_ms = wire_read_signed(in);
    }
}

static void read_ids(struct wire_in *in, struct engine_state *state)
{
    size_t count = wire_read_count(in, IDS_MAX);
    int64_t oldest_s = wire_read_signed(in);
    uint64_t last = 0;
    if (oldest_s > TIME_MAX_MS || oldest_s < 0)
        wire_fail(in, "ids of no time");
    struct ids_item *items = mem_alloc((count + 1) * sizeof(*items));
    for (size_t i = 0; i < count && !in->failed; i++) {
        const uint8_t *bytes = wire_read_bytes(in, 8);
        for (size_t j = 0; bytes && j < 8; j++)
            items[i].id = items[i].id << 8 | bytes[j];
        items[i].at_s = oldest_s + (int64_t)wire_read_number(in, TIME_MAX_MS);
        if (items[i].id <= last)
            wire_fail(in, "ids are out of order");
        last = items[i].id;
    }
    if (!in->failed)
        ids_load(&state->ids, items, count);
    free(items);
}

static void read_people(struct wire_in *in, struct engine_state *state)
{
    size_t count = wire_read_count(in, SIZE_MAX);
    for (size_t i = 0; i < count && !in->failed; i++) {
        struct strv emails = {0};
        const char *source = wire_read_string(in), *ref = wire_read_string(in);
        uint64_t seen = wire_read_number(in, NUMBER_MAX);
        bool complete = wire_read_bool(in);
        size_t n = wire_read_count(in, PEOPLE_MAX);
        for (size_t j = 0; j < n && !in->failed; j++)
            strv_add(&emails, wire_read_string(in));
        if (!in->failed)
            people_add(&state->people, source, ref, seen, emails.items, n, complete);
        strv_release(&emails);
    }
}

static void read_state(struct wire_in *in, struct engine_state *state, struct parts *definitions)
{
    state->sequence = wire_read_number(in, NUMBER_MAX);
    state->hashed = wire_read_bool(in);
    const uint8_t *hash = wire_read_bytes(in, state->hashed ? SHA256_SIZE : 0);
    if (hash && state->hashed)
        memcpy(state->hash, hash, SHA256_SIZE);
    state->time_ms = wire_read_signed(in);
    state->next_release = wire_read_number(in, NUMBER_MAX);
    state->next_seen = wire_read_number(in, NUMBER_MAX);
    state->next_arrival = wire_read_number(in, NUMBER_MAX);
    state->definitions = wire_read_number(in, NUMBER_MAX);
    state->deleted = wire_read_bool(in);
    read_definitions(in, state, definitions);
    read_replaced(in, state->replaced);
    read_ids(in, state);
    read_people(in, state);
    read_heads(in, state);
    read_stages(in, state);
    read_pasts(in, state);
    size_t count = wire_read_count(in, SIZE_MAX);
    for (size_t i = 0; i < count && !in->failed; i++)
        read_release(in, state, definitions);
    read_pins(in, state);
    read_deployed(in, state);
    if (in->at != in->end)
        wire_fail(in, "there is more than a state");
}

int engine_decode(struct engine_state **out, const void *data, size_t len, struct err *err)
{
    const uint8_t *bytes = data;
    struct parts definitions = {0};
    struct err unused = {0};
    struct wire_in in;
    *out = NULL;
    if (len < 2 || bytes[0] != STATE_MAGIC)
        return err_set(err, ERR_INVALID, "these bytes are no pipeline's state");
    if (bytes[1] != STATE_VERSION)
        return err_set(err, ERR_INVALID, "a state of version %d, where %d can be read", bytes[1],
                       STATE_VERSION);
    wire_begin(&in, bytes + 2, len - 2, err ? err : &unused);
    const char *name = wire_read_string(&in);
    struct engine_state *state = engine_state_new(name);
    if (!str_is_name(name))
        wire_fail(&in, "it names no pipeline");
    if (!in.failed)
        read_state(&in, state, &definitions);
    parts_release(&definitions);
    wire_end(&in);
    if (in.failed) {
        engine_state_free(state);
        return err_wrap(err, "decode a state");
    }
    state_set_deadline(state);
    *out = state;
    return 0;
}
