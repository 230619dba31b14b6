#include "buildspec/batch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "buildspec/read.h"

#define NAME_MAX_MADE 60 /* of an identifier that is made here, without what makes it unique */
#define NUMBER_SIZE   24

static struct batch_build *build_new(struct batch *batch)
{
    batch->builds = mem_realloc(batch->builds, batch->count + 1, sizeof(*batch->builds));
    struct batch_build *build = &batch->builds[batch->count++];
    *build = (struct batch_build){0};
    return build;
}

static void replace(char **text, const char *with)
{
    free(*text);
    *text = mem_strdup(with);
}

static void set_variable(struct batch_build *build, const char *name, const char *value)
{
    for (size_t i = 0; i < build->env_count; i++) {
        if (str_eq(build->env[i].key, name)) {
            replace(&build->env[i].value, value);
            return;
        }
    }
    spec_pair_add(&build->env, &build->env_count, name, value);
}

static void take_env(struct batch_build *build, const struct buildspec_batch_env *env)
{
    for (size_t i = 0; i < env->variable_count; i++)
        set_variable(build, env->variables[i].key, env->variables[i].value);
    build->image = mem_strdup(env->image);
    build->compute_type = mem_strdup(env->compute_type);
    build->type = mem_strdup(env->type);
    build->fleet = mem_strdup(env->fleet);
    build->privileged = env->privileged;
}

/* ---- identifiers ---- */

static bool is_taken(const struct batch *batch, const char *name)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (str_eq(batch->builds[i].identifier, name))
            return true;
    }
    return false;
}

/* The name, or the first of name_2, name_3 ... that no other build has. */
static void name_build(struct batch *batch, struct batch_build *build, const char *name)
{
    char made[NAME_MAX_MADE + 1 + NUMBER_SIZE];
    snprintf(made, sizeof(made), "%.*s", NAME_MAX_MADE, name);
    for (size_t n = 2; is_taken(batch, made); n++)
        snprintf(made, sizeof(made), "%.*s_%zu", NAME_MAX_MADE, name, n);
    build->identifier = mem_strdup(made);
}

/* Adds a word to an identifier; what cannot stand in one becomes '_', once for a run of it. */
static void add_word(struct buf *name, const char *word)
{
    if (name->len)
        buf_addc(name, '_');
    for (; *word; word++) {
        char one[2] = {*word, '\0'};
        bool fits = spec_is_identifier(one, "-");
        if (fits)
            buf_addc(name, *word);
        else if (name->len && name->data[name->len - 1] != '_')
            buf_addc(name, '_');
    }
}

/* ---- list and graph ---- */

static size_t place_of(const struct buildspec_batch *from, const char *identifier)
{
    size_t i = 0;
    while (i + 1 < from->build_count && !str_eq(from->builds[i].identifier, identifier))
        i++;
    return i;
}

static bool has_place(const struct batch_build *build, size_t place)
{
    for (size_t i = 0; i < build->depend_count; i++) {
        if (build->depend_on[i] == place)
            return true;
    }
    return false;
}

static void take_builds(const struct buildspec_batch *from, struct batch *out)
{
    for (size_t i = 0; i < from->build_count; i++) {
        const struct buildspec_batch_build *given = &from->builds[i];
        struct batch_build *build = build_new(out);
        build->identifier = mem_strdup(given->identifier);
        build->buildspec = mem_strdup(given->buildspec);
        build->ignore_failure = given->ignore_failure;
        take_env(build, &given->env);
        build->depend_on =
            given->depend_on.count ? mem_alloc(given->depend_on.count * sizeof(size_t)) : NULL;
        for (size_t j = 0; j < given->depend_on.count; j++) {
            size_t place = place_of(from, given->depend_on.items[j]);
            if (!has_place(build, place))
                build->depend_on[build->depend_count++] = place;
        }
    }
    for (size_t i = 0; i < out->count; i++) {
        char name[NUMBER_SIZE + sizeof("build_")];
        snprintf(name, sizeof(name), "build_%zu", i + 1);
        if (!out->builds[i].identifier)
            name_build(out, &out->builds[i], name);
    }
}

/* ---- matrix ---- */

enum { AXIS_BUILDSPEC, AXIS_IMAGE, AXIS_COMPUTE_TYPE, AXIS_VARIABLES };

static const struct strv *axis_values(const struct buildspec_matrix *matrix, size_t axis)
{
    const struct strv *const fixed[] = {&matrix->buildspecs, &matrix->images,
                                        &matrix->compute_types};
    return axis < AXIS_VARIABLES ? fixed[axis] : &matrix->variables[axis - AXIS_VARIABLES].values;
}

static void take_value(const struct buildspec_matrix *matrix, struct batch_build *build,
                       struct buf *name, size_t axis, size_t at)
{
    const struct strv *values = axis_values(matrix, axis);
    const char *value = values->items[at];
    const char *slash = strrchr(value, '/');
    const char *shown = axis == AXIS_IMAGE && slash && slash[1] ? slash + 1 : value;
    char **const targets[] = {&build->buildspec, &build->image, &build->compute_type};
    if (axis < AXIS_VARIABLES) {
        replace(targets[axis], value);
    } else {
        set_variable(build, matrix->variables[axis - AXIS_VARIABLES].name, value);
        if (values->count > 1)
            add_word(name, matrix->variables[axis - AXIS_VARIABLES].name);
    }
    if (values->count > 1)
        add_word(name, shown);
}

/* The build whose place among all is `at`. */
static void take_combination(const struct buildspec_matrix *matrix, struct batch *out, size_t at)
{
    size_t axes = AXIS_VARIABLES + matrix->variable_count, span = 1;
    struct batch_build *build = build_new(out);
    struct buf name;
    buf_init(&name, 1024 * 1024);
    build->ignore_failure = matrix->ignore_failure;
    take_env(build, &matrix->env);
    for (size_t axis = 0; axis < axes; axis++) {
        size_t count = axis_values(matrix, axis)->count;
        span *= count ? count : 1;
    }
    for (size_t axis = 0; axis < axes; axis++) {
        size_t count = axis_values(matrix, axis)->count;
        if (!count)
            continue;
        span /= count;
        take_value(matrix, build, &name, axis, at / span % count);
    }
    name_build(out, build, name.len ? buf_cstr(&name) : "build");
    buf_release(&name);
}

static void take_matrix(const struct buildspec_matrix *matrix, struct batch *out)
{
    size_t count = 1;
    for (size_t axis = 0; axis < AXIS_VARIABLES + matrix->variable_count; axis++) {
        size_t values = axis_values(matrix, axis)->count;
        count *= values ? values : 1;
    }
    for (size_t i = 0; i < count; i++)
        take_combination(matrix, out, i);
}

/* ---- fanout ---- */

static void take_fanout(const struct buildspec_batch *from, struct batch *out)
{
    char total[NUMBER_SIZE], index[NUMBER_SIZE];
    snprintf(total, sizeof(total), "%u", from->parallelism);
    for (unsigned i = 0; i < from->parallelism; i++) {
        struct batch_build *build = build_new(out);
        snprintf(index, sizeof(index), "%u", i);
        build->identifier = mem_printf("fanout_%u", i);
        build->ignore_failure = from->ignore_failure;
        set_variable(build, BATCH_FANOUT_INDEX, index);
        set_variable(build, BATCH_FANOUT_TOTAL, total);
    }
}

void batch_expand(const struct buildspec *spec, struct batch *out)
{
    const struct buildspec_batch *from = &spec->batch;
    *out = (struct batch){.fast_fail = from->fast_fail};
    switch (from->kind) {
    case BUILDSPEC_BUILD_LIST:
    case BUILDSPEC_BUILD_GRAPH:
        take_builds(from, out);
        break;
    case BUILDSPEC_BUILD_MATRIX:
        take_matrix(&from->matrix, out);
        break;
    case BUILDSPEC_BUILD_FANOUT:
        take_fanout(from, out);
        break;
    case BUILDSPEC_NO_BATCH:
        break;
    }
}

void batch_release(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct batch_build *build = &batch->builds[i];
        free(build->identifier);
        free(build->buildspec);
        spec_pairs_free(build->env, build->env_count);
        free(build->image);
        free(build->compute_type);
        free(build->type);
        free(build->fleet);
        free(build->depend_on);
    }
    free(batch->builds);
    *batch = (struct batch){0};
}

bool batch_image_is_curated(const char *image)
{
    return str_starts(image, "aws/codebuild/");
}
