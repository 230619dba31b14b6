/* The plan of a buildspec's batch, as the promoter is answered (proto/gantry/v1/result.proto). */
#include "buildspec/batch.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "build/internal.h"
#include "events/event.h"

#define PLAN_MAX       (64 * 1024) /* bytes; the promoter takes no more */
#define LINE_MAX_BYTES 900

const char *batch_identifier(const struct build *build)
{
    const char *slash = strchr(build->request->action, '/');
    return slash ? slash + 1 : NULL;
}

void batch_plan_free(Gantry__V1__BatchPlan *plan)
{
    event_free(plan);
}

/* CodeBuild's sizes ("Build environment compute modes and types"). */
static void set_size(const char *compute_type, Gantry__V1__BatchBuild *m)
{
    static const struct {
        const char *type;
        double cpu;
        uint64_t gib;
    } sizes[] = {
        {"BUILD_GENERAL1_SMALL", 2, 4},      {"BUILD_GENERAL1_MEDIUM", 4, 8},
        {"BUILD_GENERAL1_LARGE", 8, 16},     {"BUILD_GENERAL1_XLARGE", 36, 72},
        {"BUILD_GENERAL1_2XLARGE", 72, 144},
    };
    for (size_t i = 0; compute_type && i < sizeof(sizes) / sizeof(*sizes); i++) {
        if (str_eq(compute_type, sizes[i].type)) {
            m->cpu = sizes[i].cpu;
            m->memory_bytes = sizes[i].gib << 30;
        }
    }
}

static void set_place(const struct batch_build *build, Gantry__V1__BatchBuild *m)
{
    m->image = mem_strdup(build->image ? build->image : "");
    if (build->privileged != BUILDSPEC_UNSET) {
        m->privilege_case = GANTRY__V1__BATCH_BUILD__PRIVILEGE_PRIVILEGED;
        m->privileged = build->privileged == BUILDSPEC_YES;
    }
}

static void set_env(const struct batch_build *build, Gantry__V1__BatchBuild *m)
{
    m->env = build->env_count ? mem_alloc(build->env_count * sizeof(*m->env)) : NULL;
    for (size_t i = 0; i < build->env_count; i++) {
        Gantry__V1__KeyValue *pair = m->env[i] = mem_alloc(sizeof(*pair));
        gantry__v1__key_value__init(pair);
        pair->key = mem_strdup(build->env[i].key);
        pair->value = mem_strdup(build->env[i].value);
    }
    m->n_env = build->env_count;
}

static Gantry__V1__BatchPlan *plan_of(const struct batch *batch)
{
    Gantry__V1__BatchPlan *plan = mem_alloc(sizeof(*plan));
    gantry__v1__batch_plan__init(plan);
    plan->fast_fail = batch->fast_fail;
    plan->n_builds = batch->count;
    plan->builds = mem_alloc(batch->count * sizeof(*plan->builds));
    for (size_t i = 0; i < batch->count; i++) {
        const struct batch_build *build = &batch->builds[i];
        Gantry__V1__BatchBuild *m = plan->builds[i] = mem_alloc(sizeof(*m));
        gantry__v1__batch_build__init(m);
        m->identifier = mem_strdup(build->identifier);
        m->buildspec = mem_strdup(build->buildspec ? build->buildspec : "");
        m->ignore_failure = build->ignore_failure;
        set_env(build, m);
        set_size(build->compute_type, m);
        set_place(build, m);
        m->n_depend_on = build->depend_count;
        m->depend_on =
            build->depend_count ? mem_alloc(build->depend_count * sizeof(*m->depend_on)) : NULL;
        for (size_t j = 0; j < build->depend_count; j++)
            m->depend_on[j] = mem_strdup(batch->builds[build->depend_on[j]].identifier);
    }
    return plan;
}

Gantry__V1__BatchPlan *build_batch_plan(const struct buildspec *spec)
{
    struct batch batch;
    batch_expand(spec, &batch);
    Gantry__V1__BatchPlan *plan = batch.count ? plan_of(&batch) : NULL;
    batch_release(&batch);
    return plan;
}

/* A line of the log a build. */
static void tell(struct build *build, const struct batch *batch, size_t at)
{
    const struct batch_build *b = &batch->builds[at];
    struct buf line;
    buf_init(&line, LINE_MAX_BYTES);
    for (size_t i = 0; i < b->depend_count; i++)
        buf_addf(&line, "%s%s", i ? ", " : ", after ", batch->builds[b->depend_on[i]].identifier);
    if (b->buildspec)
        buf_addf(&line, ", %s", b->buildspec);
    if (b->image)
        buf_addf(&line, ", image %.200s", b->image);
    if (b->privileged != BUILDSPEC_UNSET)
        buf_adds(&line, b->privileged == BUILDSPEC_YES ? ", privileged" : ", not privileged");
    if (b->ignore_failure)
        buf_adds(&line, ", its failure is ignored");
    build_mark(build, "Build %s%s", b->identifier, buf_cstr(&line));
    buf_release(&line);
}

void batch_answer(struct build *build)
{
    struct batch batch;
    char reason[600];
    const char *name = build->request->build->buildspec;
    batch_expand(build->spec, &batch);
    if (batch.count) {
        build->batch = plan_of(&batch);
        build_mark(build, "A batch of %zu build%s%s", batch.count, batch.count == 1 ? "" : "s",
                   batch.fast_fail ? ", the first failure stops the others" : "");
    }
    for (size_t i = 0; i < batch.count; i++)
        tell(build, &batch, i);
    batch_release(&batch);
    size_t bytes = build->batch ? protobuf_c_message_get_packed_size(&build->batch->base) : 0;
    if (build->batch && bytes <= PLAN_MAX) {
        build_succeed(build);
        return;
    }
    if (build->batch)
        snprintf(reason, sizeof(reason),
                 "%.400s: batch: its builds and their variables take %zu KiB, more than %d", name,
                 bytes / 1024, PLAN_MAX / 1024);
    else
        snprintf(reason, sizeof(reason),
                 "%.400s has no batch, and the action asks for one (`batch: true`)", name);
    batch_plan_free(build->batch);
    build->batch = NULL;
    build_mark(build, "%s", reason);
    build_fail(build, PHASE_DOWNLOAD_SOURCE, reason, NULL, 0);
}

/* ---- what a build of a batch runs in ---- */

static bool says_privileged(const Gantry__V1__BuildSpec *spec)
{
    return spec->batch_privilege_case == GANTRY__V1__BUILD_SPEC__BATCH_PRIVILEGE_BATCH_PRIVILEGED;
}

/* Why the image that it names is not used; NULL: it is, or it names none. */
static const char *why_no_image(const struct build *build)
{
    const struct build_driver_ops *ops = build->env->driver->ops;
    const char *image = build->request->build->batch_image;
    if (str_empty(image))
        return NULL;
    if (!ops->why_no_image && batch_image_is_curated(image))
        return "it can be pulled inside AWS alone";
    return ops->why_no_image;
}

static const char *why_unprivileged(const struct build *build)
{
    const Gantry__V1__BuildSpec *spec = build->request->build;
    return says_privileged(spec) && spec->batch_privileged
               ? build->env->driver->ops->why_unprivileged
               : NULL;
}

int batch_wish(const struct build *build, struct build_wish *wish, struct err *err)
{
    const Gantry__V1__BuildSpec *spec = build->request->build;
    wish->image = spec->build_image;
    wish->privileged = spec->privileged;
    if (!str_empty(spec->batch_image) && !why_no_image(build))
        wish->image = spec->batch_image;
    if (says_privileged(spec) && !why_unprivileged(build))
        wish->privileged = spec->batch_privileged;
    if (wish->image[0] && !str_is_image(wish->image))
        return err_set(err, ERR_INVALID,
                       "'%.200s' is no image to run commands in; one is called debian:12 or "
                       "registry.example/ci/maven:3.9",
                       wish->image);
    return 0;
}

void batch_tell_left_out(struct build *build)
{
    const char *no_image = why_no_image(build), *unprivileged = why_unprivileged(build);
    if (no_image)
        build_mark(build, "The batch's image %.200s is not used: %s",
                   build->request->build->batch_image, no_image);
    if (unprivileged)
        build_mark(build, "The batch's privileged-mode is not given: %s", unprivileged);
}
