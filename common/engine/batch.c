/* Batches: life, and looking at them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/state.h"
#include "events/event.h"

#define RELEASE_BYTES 512 /* beside what is counted */
#define RUN_BYTES     100

#define IDENTIFIER_MAX 127
#define WHY_MAX        500 /* bytes of the reason that a batch failed for */

/* ---- plans ---- */

static void set_add(struct build_set *set, size_t at)
{
    set->bits[at / 64] |= UINT64_C(1) << at % 64;
}

static bool set_has(const struct build_set *set, size_t at)
{
    return set->bits[at / 64] >> at % 64 & 1;
}

static bool set_holds(const struct build_set *set, const struct build_set *all)
{
    for (size_t i = 0; i < sizeof(set->bits) / sizeof(*set->bits); i++) {
        if (all->bits[i] & ~set->bits[i])
            return false;
    }
    return true;
}

/* The place of a build; n_builds: there is none. */
static size_t find_build(const Gantry__V1__BatchPlan *plan, const char *identifier)
{
    size_t i = 0;
    while (i < plan->n_builds && strcmp(plan->builds[i]->identifier, identifier) != 0)
        i++;
    return i;
}

static bool is_identifier(const char *s)
{
    size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return len > 0 && len <= IDENTIFIER_MAX && s[len] == '\0';
}

/* What a build waits for; false: one of them is not there. */
static bool read_needs(const Gantry__V1__BatchPlan *plan, const Gantry__V1__BatchBuild *build,
                       struct build_set *needs)
{
    *needs = (struct build_set){0};
    for (size_t i = 0; i < build->n_depend_on; i++) {
        size_t at = find_build(plan, build->depend_on[i]);
        if (at == plan->n_builds)
            return false;
        set_add(needs, at);
    }
    return true;
}

/* Those that never come, in whatever order, wait for each other. */
static bool waits_for_itself(const struct build_set *needs, size_t count)
{
    struct build_set done = {0};
    size_t left = count;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < count; i++) {
            if (set_has(&done, i) || !set_holds(&done, &needs[i]))
                continue;
            set_add(&done, i);
            moved = true;
            left--;
        }
    }
    return left > 0;
}

const char *batch_wrong(const Gantry__V1__BatchPlan *plan)
{
    struct build_set needs[STATE_BUILDS_MAX];
    if (plan->n_builds == 0)
        return "has no build";
    if (plan->n_builds > STATE_BUILDS_MAX)
        return "has more than 100 builds";
    if (protobuf_c_message_get_packed_size(&plan->base) > STATE_PLAN_MAX)
        return "takes more than 64 KiB";
    for (size_t i = 0; i < plan->n_builds; i++) {
        const Gantry__V1__BatchBuild *build = plan->builds[i];
        if (!is_identifier(build->identifier))
            return "has a build whose identifier is none";
        if (find_build(plan, build->identifier) != i)
            return "has two builds of the same identifier";
        if (build->n_depend_on > STATE_BUILDS_MAX || !read_needs(plan, build, &needs[i]))
            return "has a build that waits for one that is not there";
    }
    return waits_for_itself(needs, plan->n_builds) ? "has builds that wait for each other" : NULL;
}

static void planned_destroy(struct shared *part)
{
    struct planned *planned = (struct planned *)part;
    event_free(planned->message);
    free(planned->needs);
    free(planned);
}

static struct planned *planned_new(const Gantry__V1__BatchPlan *plan)
{
    struct planned *planned = mem_alloc(sizeof(*planned));
    shared_init(&planned->shared, planned_destroy);
    planned->message = event_clone(plan);
    planned->needs = mem_alloc(plan->n_builds * sizeof(*planned->needs));
    for (size_t i = 0; i < plan->n_builds; i++)
        (void)read_needs(plan, plan->builds[i], &planned->needs[i]);
    return planned;
}

/* ---- life ---- */

static void batch_destroy(struct shared *part)
{
    struct batch *batch = (struct batch *)part;
    shared_unref(batch->plan);
    for (size_t i = 0; i < batch->count; i++)
        shared_unref(batch->builds[i].left);
    free(batch->builds);
    free(batch->why);
    free(batch);
}

struct batch *batch_new(const Gantry__V1__BatchPlan *plan)
{
    struct batch *batch = mem_alloc(sizeof(*batch));
    shared_init(&batch->shared, batch_destroy);
    batch->plan = planned_new(plan);
    batch->count = plan->n_builds;
    batch->builds = mem_alloc(batch->count * sizeof(*batch->builds));
    return batch;
}

struct batch *batch_own(struct batch **at)
{
    struct batch *batch = *at;
    if (shared_is_own(batch))
        return batch;
    struct batch *copy = mem_dup(batch, sizeof(*batch));
    shared_init(&copy->shared, batch_destroy);
    shared_ref(copy->plan);
    copy->builds = mem_dup(batch->builds, batch->count * sizeof(*batch->builds));
    for (size_t i = 0; i < copy->count; i++)
        shared_ref(copy->builds[i].left);
    copy->why = batch->why ? mem_strdup(batch->why) : NULL;
    shared_unref(batch);
    return *at = copy;
}

void batch_free(struct batch *batch)
{
    shared_unref(batch);
}

static void keep_left(struct batch_build *build, const Gantry__V1__Finished *finished)
{
    Gantry__V1__Finished left = GANTRY__V1__FINISHED__INIT;
    left.image_case = finished->image_case;
    left.artifact = finished->artifact;
    left.exported = finished->exported;
    left.n_exported = finished->n_exported;
    build->left = fixed_new(&left);
}

/* The first failure of a build that is not ignored is the batch's. */
void batch_note_end(struct batch *batch, size_t build, const Gantry__V1__Finished *finished,
                    const char *reason)
{
    enum run_state state = batch->builds[build - 1].run.state;
    if (state == RUN_SUCCEEDED && finished)
        keep_left(&batch->builds[build - 1], finished);
    if (state <= RUN_SUCCEEDED || batch->failed ||
        batch_plan(batch)->builds[build - 1]->ignore_failure)
        return;
    size_t len = strlen(reason);
    if (len > WHY_MAX)
        len = WHY_MAX;
    while (len > 0 && ((unsigned char)reason[len] & 0xc0) == 0x80)
        len--;
    batch->failed = build;
    batch->why = len ? mem_strndup(reason, len) : NULL;
}

void batch_end_build(struct batch *batch, size_t build, bool succeeded,
                     const Gantry__V1__Finished *finished, const char *reason)
{
    batch->builds[build - 1].run.state = succeeded ? RUN_SUCCEEDED : RUN_FAILED;
    batch_note_end(batch, build, finished, reason);
}

/* ---- looking ---- */

const struct run *release_run(const struct release *release, struct slot slot)
{
    const struct run *run = &release->runs[slot.place];
    return slot.build ? &run->batch->builds[slot.build - 1].run : run;
}

size_t batch_find(const struct batch *batch, const char *identifier)
{
    size_t at = find_build(batch_plan(batch), identifier);
    return at < batch->count ? at + 1 : 0;
}

/* A build whose failure is ignored holds nobody up. */
static bool lets_go_on(const struct batch *batch, size_t at)
{
    enum run_state state = batch->builds[at].run.state;
    return state == RUN_SUCCEEDED ||
           (state > RUN_SUCCEEDED && batch_plan(batch)->builds[at]->ignore_failure);
}

size_t batch_next(const struct batch *batch)
{
    struct build_set done = {0};
    if (batch->failed && batch_plan(batch)->fast_fail)
        return 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (lets_go_on(batch, i))
            set_add(&done, i);
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->builds[i].run.state == RUN_NONE && set_holds(&done, &batch->plan->needs[i]))
            return i + 1;
    }
    return 0;
}

size_t batch_failed(const struct batch *batch)
{
    return batch->failed;
}

const Gantry__V1__Finished *batch_left(const struct batch *batch, size_t build)
{
    const struct fixed *left = batch->builds[build - 1].left;
    return left ? (const Gantry__V1__Finished *)left->message : NULL;
}

const Gantry__V1__Artifact *batch_image(const struct batch *batch, size_t *build)
{
    for (size_t i = 1; i <= batch->count; i++) {
        const Gantry__V1__Finished *left = batch_left(batch, i);
        if (!left || left->image_case != GANTRY__V1__FINISHED__IMAGE_ARTIFACT)
            continue;
        if (build)
            *build = i;
        return left->artifact;
    }
    return NULL;
}

bool batch_is_under_way(const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (run_is_under_way(&batch->builds[i].run))
            return true;
    }
    return false;
}

/* ---- sizes ---- */

size_t batch_plan_bytes(const Gantry__V1__BatchPlan *plan)
{
    return protobuf_c_message_get_packed_size(&plan->base) + plan->n_builds * RUN_BYTES;
}

size_t batch_bytes(const struct batch *batch)
{
    size_t bytes = batch ? batch_plan_bytes(batch_plan(batch)) : 0;
    for (size_t i = 0; batch && i < batch->count; i++) {
        const struct fixed *left = batch->builds[i].left;
        bytes += left ? protobuf_c_message_get_packed_size(left->message) : 0;
    }
    return bytes;
}

size_t state_release_bytes(const struct engine_state *state)
{
    size_t bytes = 0;
    for (size_t i = 0; i < state->releases.count; i++) {
        const struct release *release = state_release_at(state, i);
        bytes += RELEASE_BYTES +
                 protobuf_c_message_get_packed_size(&release->facts->started->base) +
                 release->run_count * RUN_BYTES;
        for (size_t j = 0; j < release->exports.count; j++)
            bytes += ((struct exports *)release->exports.items[j])->bytes;
        for (size_t j = 0; j < release->run_count; j++)
            bytes += batch_bytes(release->runs[j].batch);
    }
    return bytes;
}
