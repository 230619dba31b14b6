/* The parts of a state: making, copying and freeing them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/state.h"
#include "events/event.h"

/* Lists have room for a power of two; the count tells it. */
static void parts_grow(struct parts *parts)
{
    if ((parts->count & (parts->count - 1)) == 0)
        parts->items =
            mem_realloc(parts->items, parts->count ? parts->count * 2 : 1, sizeof(*parts->items));
}

void parts_add(struct parts *parts, void *part)
{
    parts_insert(parts, parts->count, part);
}

void parts_insert(struct parts *parts, size_t at, void *part)
{
    parts_grow(parts);
    memmove(parts->items + at + 1, parts->items + at, (parts->count - at) * sizeof(*parts->items));
    parts->items[at] = part;
    parts->count++;
}

void parts_remove(struct parts *parts, size_t at)
{
    shared_unref(parts->items[at]);
    parts->count--;
    memmove(parts->items + at, parts->items + at + 1, (parts->count - at) * sizeof(*parts->items));
}

void parts_copy(struct parts *to, const struct parts *from)
{
    size_t room = 1;
    while (room < from->count)
        room *= 2;
    to->count = from->count;
    to->items = from->count ? mem_realloc(NULL, room, sizeof(*to->items)) : NULL;
    for (size_t i = 0; i < from->count; i++)
        to->items[i] = shared_ref(from->items[i]);
}

void parts_release(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        shared_unref(parts->items[i]);
    free(parts->items);
    *parts = (struct parts){0};
}

static void fixed_destroy(struct shared *part)
{
    struct fixed *fixed = (struct fixed *)part;
    event_free(fixed->message);
    free(fixed);
}

struct fixed *fixed_adopt(void *message)
{
    struct fixed *fixed = mem_alloc(sizeof(*fixed));
    shared_init(&fixed->shared, fixed_destroy);
    fixed->message = message;
    return fixed;
}

struct fixed *fixed_new(const void *message)
{
    return fixed_adopt(event_clone(message));
}

static void taken_destroy(struct shared *part)
{
    struct taken *taken = (struct taken *)part;
    definition_free(taken->parsed);
    free(taken->yaml);
    free(taken);
}

struct taken *taken_new(uint64_t number, const void *yaml, size_t len, struct err *err)
{
    struct definition *parsed = NULL;
    if (definition_parse(&parsed, yaml, len, NULL, err) != 0)
        return NULL;
    if (parsed->kind != DEF_PIPELINE) {
        err_set(err, ERR_INVALID, "it is a %s, no Pipeline", def_kind_name(parsed->kind));
        definition_free(parsed);
        return NULL;
    }
    struct taken *taken = mem_alloc(sizeof(*taken));
    shared_init(&taken->shared, taken_destroy);
    taken->number = number;
    taken->yaml = mem_dup(yaml, len);
    taken->yaml_len = len;
    taken->parsed = parsed;
    memcpy(taken->sha256, parsed->sha256, SHA256_SIZE);
    return taken;
}

static void replaced_destroy(struct shared *part)
{
    struct replaced *replaced = (struct replaced *)part;
    free(replaced->items);
    free(replaced);
}

struct replaced *replaced_new(void)
{
    struct replaced *replaced = mem_alloc(sizeof(*replaced));
    shared_init(&replaced->shared, replaced_destroy);
    return replaced;
}

static void head_destroy(struct shared *part)
{
    struct head *head = (struct head *)part;
    event_free(head->revision);
    free(head);
}

struct head *head_new(const Gantry__V1__Revision *revision, uint64_t seen, bool unstarted)
{
    struct head *head = mem_alloc(sizeof(*head));
    shared_init(&head->shared, head_destroy);
    head->revision = event_clone(revision);
    head->seen = seen;
    head->unstarted = unstarted;
    return head;
}

static void facts_destroy(struct shared *part)
{
    struct facts *facts = (struct facts *)part;
    event_free(facts->started);
    free(facts->seen);
    free(facts);
}

struct facts *facts_new(const Gantry__V1__ReleaseStarted *started)
{
    Gantry__V1__ReleaseStarted bare = *started;
    bare.n_people = 0;
    bare.people = NULL;
    bare.n_artifacts = 0;
    bare.artifacts = NULL;
    struct facts *facts = mem_alloc(sizeof(*facts));
    shared_init(&facts->shared, facts_destroy);
    facts->started = event_clone(&bare);
    facts->seen = mem_alloc((started->n_revisions + 1) * sizeof(*facts->seen));
    return facts;
}

static void exports_destroy(struct shared *part)
{
    struct exports *exports = (struct exports *)part;
    for (size_t i = 0; i < exports->count; i++)
        event_free(exports->items[i]);
    free(exports->items);
    free(exports->action);
    free(exports);
}

struct exports *exports_new(const char *action, Gantry__V1__KeyValue *const *items, size_t count)
{
    struct exports *exports = mem_alloc(sizeof(*exports));
    shared_init(&exports->shared, exports_destroy);
    exports->action = mem_strdup(action);
    exports->items = mem_alloc((count + 1) * sizeof(*exports->items));
    for (size_t i = 0; i < count; i++) {
        exports->items[i] = event_clone(items[i]);
        exports->bytes += strlen(items[i]->key) + strlen(items[i]->value);
    }
    exports->count = count;
    return exports;
}

static void approval_destroy(struct shared *part)
{
    struct approval *approval = (struct approval *)part;
    parts_release(&approval->votes);
    free(approval->digest);
    free(approval);
}

struct approval *approval_new(void)
{
    struct approval *approval = mem_alloc(sizeof(*approval));
    shared_init(&approval->shared, approval_destroy);
    return approval;
}

struct approval *approval_own(struct approval **at)
{
    struct approval *approval = *at;
    if (!approval)
        return *at = approval_new();
    if (shared_is_own(approval))
        return approval;
    struct approval *copy = mem_dup(approval, sizeof(*approval));
    shared_init(&copy->shared, approval_destroy);
    copy->digest = mem_strdup(approval->digest);
    parts_copy(&copy->votes, &approval->votes);
    shared_unref(approval);
    return *at = copy;
}

static void runs_free(struct run *runs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        shared_unref(runs[i].approval);
        shared_unref(runs[i].batch);
    }
    free(runs);
}

static void gates_free(struct gate *gates, size_t count)
{
    for (size_t i = 0; i < count; i++)
        shared_unref(gates[i].approval);
    free(gates);
}

static void approver_destroy(struct shared *part)
{
    struct approver *approver = (struct approver *)part;
    free(approver->stage);
    free(approver->subject);
    free(approver->email);
    free(approver);
}

struct approver *approver_new(const char *stage, const char *subject, const char *email)
{
    struct approver *approver = mem_alloc(sizeof(*approver));
    shared_init(&approver->shared, approver_destroy);
    approver->stage = mem_strdup(stage);
    approver->subject = mem_strdup(subject);
    approver->email = mem_strdup(email);
    return approver;
}

static void release_destroy(struct shared *part)
{
    struct release *release = (struct release *)part;
    shared_unref(release->facts);
    shared_unref(release->definition);
    parts_release(&release->artifacts);
    parts_release(&release->exports);
    runs_free(release->runs, release->run_count);
    gates_free(release->gates, release->gate_count);
    parts_release(&release->approvers);
    free(release->held);
    free(release);
}

struct release *release_new(uint64_t number, struct facts *facts, struct taken *definition)
{
    struct release *release = mem_alloc(sizeof(*release));
    shared_init(&release->shared, release_destroy);
    release->number = number;
    release->facts = facts;
    release->definition = shared_ref(definition);
    release->deadline_ms = INT64_MAX;
    return release;
}

void release_set_runs(struct release *release, size_t count)
{
    runs_free(release->runs, release->run_count);
    release->runs = count ? mem_alloc(count * sizeof(*release->runs)) : NULL;
    release->run_count = count;
}

void release_set_gates(struct release *release, size_t count)
{
    gates_free(release->gates, release->gate_count);
    release->gates = count ? mem_alloc(count * sizeof(*release->gates)) : NULL;
    release->gate_count = count;
}

static struct release *release_copy(const struct release *release)
{
    struct release *copy = mem_dup(release, sizeof(*release));
    shared_init(&copy->shared, release_destroy);
    shared_ref(copy->facts);
    shared_ref(copy->definition);
    parts_copy(&copy->artifacts, &release->artifacts);
    parts_copy(&copy->exports, &release->exports);
    if (release->runs)
        copy->runs = mem_dup(release->runs, release->run_count * sizeof(*release->runs));
    for (size_t i = 0; i < copy->run_count; i++) {
        shared_ref(copy->runs[i].approval);
        shared_ref(copy->runs[i].batch);
    }
    if (release->gates)
        copy->gates = mem_dup(release->gates, release->gate_count * sizeof(*release->gates));
    for (size_t i = 0; i < copy->gate_count; i++)
        shared_ref(copy->gates[i].approval);
    parts_copy(&copy->approvers, &release->approvers);
    copy->held = release->held ? mem_strdup(release->held) : NULL;
    return copy;
}

struct release *state_release_own(struct engine_state *state, uint64_t number)
{
    size_t at;
    if (!state_find_release(state, number, &at))
        return NULL;
    struct release *release = state->releases.items[at];
    if (shared_is_own(release))
        return release;
    state->releases.items[at] = release_copy(release);
    shared_unref(release);
    return state->releases.items[at];
}

static void past_destroy(struct shared *part)
{
    struct past *past = (struct past *)part;
    shared_unref(past->facts);
    parts_release(&past->artifacts);
    parts_release(&past->exports);
    free(past);
}

struct past *past_new(uint64_t number, struct facts *facts, const struct parts *artifacts,
                      const struct parts *exports)
{
    struct past *past = mem_alloc(sizeof(*past));
    shared_init(&past->shared, past_destroy);
    past->number = number;
    past->facts = shared_ref(facts);
    parts_copy(&past->artifacts, artifacts);
    parts_copy(&past->exports, exports);
    return past;
}

static void deployed_destroy(struct shared *part)
{
    struct deployed *deployed = (struct deployed *)part;
    free(deployed->environment);
    free(deployed->digest);
    free(deployed);
}

struct deployed *deployed_new(const char *environment, const char *digest, bool sure)
{
    struct deployed *deployed = mem_alloc(sizeof(*deployed));
    shared_init(&deployed->shared, deployed_destroy);
    deployed->environment = mem_strdup(environment);
    deployed->digest = mem_strdup(digest);
    deployed->sure = sure;
    return deployed;
}

static void stage_destroy(struct shared *part)
{
    struct stage *stage = (struct stage *)part;
    shared_unref(stage->disabled);
    free(stage->name);
    free(stage);
}

struct stage *stage_new(const char *name)
{
    struct stage *stage = mem_alloc(sizeof(*stage));
    shared_init(&stage->shared, stage_destroy);
    stage->name = mem_strdup(name);
    return stage;
}

struct stage *state_stage_own(struct engine_state *state, const char *name)
{
    size_t at;
    if (!state_find_stage(state, name, &at))
        parts_insert(&state->stages, at, stage_new(name));
    struct stage *stage = state->stages.items[at];
    if (shared_is_own(stage))
        return stage;
    struct stage *copy = mem_dup(stage, sizeof(*stage));
    shared_init(&copy->shared, stage_destroy);
    copy->name = mem_strdup(stage->name);
    shared_ref(copy->disabled);
    shared_unref(stage);
    return state->stages.items[at] = copy;
}
