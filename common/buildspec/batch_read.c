/* batch, as it is written; batch.c makes builds of it. */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "buildspec/read.h"

#define BUILD(field)  offsetof(struct buildspec_batch_build, field)
#define ENV(field)    offsetof(struct buildspec_batch_env, field)
#define MATRIX(field) offsetof(struct buildspec_matrix, field)
#define AXES_MAX      20

/* ---- what a build's environment is ---- */

static void read_choice(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    enum buildspec_choice *choice = target;
    bool yes = false;
    if (yaml_is_null(node))
        return;
    spec_read_flag(r, node, path, &yes);
    *choice = yes ? BUILDSPEC_YES : BUILDSPEC_NO;
}

static void read_batch_variables(struct reader *r, const struct yaml_node *node, const char *path,
                                 void *target)
{
    struct buildspec_batch_env *env = target;
    spec_read_variables(r, node, path, &env->variables, &env->variable_count);
}

static void read_batch_env(struct reader *r, const struct yaml_node *node, const char *path,
                           void *target)
{
    static const struct key keys[] = {{"variables", read_batch_variables, 0},
                                      {"compute-type", spec_read_text, ENV(compute_type)},
                                      {"image", spec_read_text, ENV(image)},
                                      {"type", spec_read_text, ENV(type)},
                                      {"fleet", spec_read_text, ENV(fleet)},
                                      {"privileged-mode", read_choice, ENV(privileged)},
                                      {0}};
    struct buildspec_batch_env *env = target;
    spec_read_map(r, node, path, keys, env);
    if (env->compute_type && env->fleet)
        ERROR("has a compute-type and a fleet; it can have one of them");
}

void spec_batch_env_release(struct buildspec_batch_env *env)
{
    spec_pairs_free(env->variables, env->variable_count);
    free(env->image);
    free(env->compute_type);
    free(env->type);
    free(env->fleet);
}

/* ---- build-list and build-graph ---- */

static void read_identifier(struct reader *r, const struct yaml_node *node, const char *path,
                            void *target)
{
    char **identifier = target;
    spec_read_text(r, node, path, identifier);
    if (*identifier && !spec_is_identifier(*identifier, "-"))
        ERROR("'%.60s' is no identifier: letters, digits, _ and -, at most 127 of them",
              *identifier);
}

/* It is for people who look into a build as it runs, which a sandbox does not let them. */
static void read_debug_session(struct reader *r, const struct yaml_node *node, const char *path,
                               void *target)
{
    bool ignored = false;
    (void)target;
    spec_read_flag(r, node, path, &ignored);
}

static struct buildspec_batch_build *build_new(struct buildspec_batch *batch)
{
    batch->builds = mem_realloc(batch->builds, batch->build_count + 1, sizeof(*batch->builds));
    struct buildspec_batch_build *build = &batch->builds[batch->build_count++];
    *build = (struct buildspec_batch_build){0};
    return build;
}

#define BUILD_KEYS                                                                                 \
    {"identifier", read_identifier, BUILD(identifier)},                                            \
        {"buildspec", spec_read_text, BUILD(buildspec)}, {"debug-session", read_debug_session, 0}, \
        {"env", read_batch_env, BUILD(env)},                                                       \
    {                                                                                              \
        "ignore-failure", spec_read_flag, BUILD(ignore_failure)                                    \
    }

static void read_build(struct reader *r, const struct yaml_node *node, const char *path,
                       const struct key *keys)
{
    struct buildspec_batch *batch = &r->spec->batch;
    struct buildspec_batch_build *build = build_new(batch);
    build->line = node->line;
    if (node->type != YAML_MAP) {
        ERROR("must be a mapping with an identifier");
        return;
    }
    spec_read_map(r, node, path, keys, build);
    if (!build->identifier && batch->kind == BUILDSPEC_BUILD_GRAPH)
        ERROR("identifier is missing");
    for (size_t i = 0; build->identifier && i + 1 < batch->build_count; i++) {
        const char *other = batch->builds[i].identifier;
        if (other && str_eq(other, build->identifier))
            ERROR("'%.60s' is the identifier of the build in line %d, too", other,
                  batch->builds[i].line);
    }
}

static void read_builds(struct reader *r, const struct yaml_node *node, const char *path,
                        const struct key *keys)
{
    size_t i = 0;
    if (node->type != YAML_LIST || node->count == 0) {
        ERROR("must be a list of builds, each with an identifier");
        return;
    }
    if (node->count > BUILDSPEC_BATCH_MAX) {
        ERROR("has %zu builds; a batch has at most %d", node->count, BUILDSPEC_BATCH_MAX);
        return;
    }
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        char sub[PATH_SIZE];
        spec_path_index(sub, path, i++);
        read_build(r, item, sub, keys);
    }
}

static void read_list(struct reader *r, const struct yaml_node *node, const char *path,
                      void *target)
{
    static const struct key keys[] = {BUILD_KEYS, {0}};
    (void)target;
    r->spec->batch.kind = BUILDSPEC_BUILD_LIST;
    read_builds(r, node, path, keys);
}

/* ---- a graph's dependencies ---- */

static struct buildspec_batch_build *build_named(const struct buildspec_batch *batch,
                                                 const char *identifier)
{
    for (size_t i = 0; i < batch->build_count; i++) {
        if (str_eq(batch->builds[i].identifier, identifier))
            return &batch->builds[i];
    }
    return NULL;
}

static void unknown_dependency(struct reader *r, const struct yaml_node *node, const char *path,
                               const char *name)
{
    const struct buildspec_batch *batch = &r->spec->batch;
    const char *names[BUILDSPEC_BATCH_MAX + 1] = {NULL};
    char hint[128];
    size_t count = 0;
    for (size_t i = 0; i < batch->build_count; i++) {
        if (batch->builds[i].identifier)
            names[count++] = batch->builds[i].identifier;
    }
    ERROR("there is no build '%.60s'%s", name, spec_did_you_mean(hint, name, names));
}

static void check_dependencies(struct reader *r, const struct yaml_node *node, const char *path,
                               const struct buildspec_batch_build *build)
{
    const struct yaml_node *depend = yaml_get(node, "depend-on");
    char sub[PATH_SIZE];
    spec_path_key(sub, path, "depend-on");
    for (size_t i = 0; depend && i < build->depend_on.count; i++) {
        const char *name = build->depend_on.items[i];
        if (!build_named(&r->spec->batch, name))
            unknown_dependency(r, depend, sub, name);
    }
}

/* Where the walk over a graph is. */
struct walk {
    const struct buildspec_batch *batch;
    enum { FRESH, OPEN, DONE } state[BUILDSPEC_BATCH_MAX];
    size_t trail[BUILDSPEC_BATCH_MAX];
    size_t depth;
};

/* Follows dependencies from a build; true: they lead back to one on the trail, the last one. */
static bool leads_back(struct walk *walk, size_t at)
{
    const struct buildspec_batch_build *build = &walk->batch->builds[at];
    walk->trail[walk->depth++] = at;
    if (walk->state[at] == OPEN)
        return true;
    walk->state[at] = OPEN;
    for (size_t i = 0; i < build->depend_on.count; i++) {
        const struct buildspec_batch_build *next =
            build_named(walk->batch, build->depend_on.items[i]);
        if (next && walk->state[next - walk->batch->builds] != DONE &&
            leads_back(walk, (size_t)(next - walk->batch->builds)))
            return true;
    }
    walk->state[at] = DONE;
    walk->depth--;
    return false;
}

static void check_cycles(struct reader *r, const struct yaml_node *node, const char *path)
{
    const struct buildspec_batch *batch = &r->spec->batch;
    struct walk walk = {.batch = batch};
    struct buf circle;
    bool found = false;
    for (size_t i = 0; i < batch->build_count && !found; i++)
        found = walk.state[i] == FRESH && leads_back(&walk, i);
    if (!found)
        return;
    size_t first = 0;
    while (walk.trail[first] != walk.trail[walk.depth - 1])
        first++;
    buf_init(&circle, 300);
    for (size_t i = first; i < walk.depth; i++)
        buf_addf(&circle, "%s%s", i > first ? " -> " : "", batch->builds[walk.trail[i]].identifier);
    ERROR("builds wait for each other: %s", buf_cstr(&circle));
    buf_release(&circle);
}

static void read_graph(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    static const struct key keys[] = {
        BUILD_KEYS, {"depend-on", spec_read_texts, BUILD(depend_on)}, {0}};
    const struct buildspec_batch *batch = &r->spec->batch;
    size_t i = 0;
    (void)target;
    r->spec->batch.kind = BUILDSPEC_BUILD_GRAPH;
    read_builds(r, node, path, keys);
    if (!batch->build_count)
        return;
    for (const struct yaml_node *item = node->first; item; item = item->next, i++) {
        char sub[PATH_SIZE];
        spec_path_index(sub, path, i);
        check_dependencies(r, item, sub, &batch->builds[i]);
    }
    check_cycles(r, node, path);
}

/* ---- build-matrix ---- */

static void read_axis(struct reader *r, const struct yaml_node *node, const char *path,
                      void *target)
{
    struct buildspec_matrix *matrix = target;
    struct buildspec_axis axis = {0};
    if (!spec_check_variable(r, node, path))
        return;
    axis.name = mem_strdup(node->key->text);
    spec_read_texts(r, node, path, &axis.values);
    if (!axis.values.count)
        ERROR("needs one value at least");
    matrix->variables =
        mem_realloc(matrix->variables, matrix->variable_count + 1, sizeof(*matrix->variables));
    matrix->variables[matrix->variable_count++] = axis;
}

static void read_axes(struct reader *r, const struct yaml_node *node, const char *path,
                      void *target)
{
    spec_read_entries(r, node, path, AXES_MAX, read_axis, target);
}

/* What none of the builds could use is an error. */
static void read_choices(struct reader *r, const struct yaml_node *node, const char *path,
                         void *target)
{
    struct strv *list = target;
    spec_read_texts(r, node, path, list);
    for (size_t i = 0; i < list->count; i++) {
        if (!*list->items[i])
            ERROR("an entry needs a value");
    }
}

static void read_dynamic_env(struct reader *r, const struct yaml_node *node, const char *path,
                             void *target)
{
    static const struct key keys[] = {{"compute-type", read_choices, MATRIX(compute_types)},
                                      {"image", read_choices, MATRIX(images)},
                                      {"variables", read_axes, 0},
                                      {0}};
    spec_read_map(r, node, path, keys, target);
}

static void read_dynamic(struct reader *r, const struct yaml_node *node, const char *path,
                         void *target)
{
    static const struct key keys[] = {
        {"buildspec", read_choices, MATRIX(buildspecs)}, {"env", read_dynamic_env, 0}, {0}};
    spec_read_map(r, node, path, keys, target);
}

static void read_static(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    static const struct key keys[] = {{"ignore-failure", spec_read_flag, MATRIX(ignore_failure)},
                                      {"env", read_batch_env, MATRIX(env)},
                                      {0}};
    spec_read_map(r, node, path, keys, target);
}

/* Saturates: the sum that is told need not be exact. */
static size_t matrix_size(const struct buildspec_matrix *matrix)
{
    const struct strv *const lists[] = {&matrix->buildspecs, &matrix->images,
                                        &matrix->compute_types};
    size_t size = 1;
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        size *= lists[i]->count ? lists[i]->count : 1;
    for (size_t i = 0; i < matrix->variable_count && size < SIZE_MAX / BUILDSPEC_SIZE_MAX; i++)
        size *= matrix->variables[i].values.count;
    return size;
}

static void read_matrix(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    static const struct key keys[] = {
        {"static", read_static, 0}, {"dynamic", read_dynamic, 0}, {0}};
    struct buildspec_matrix *matrix = &r->spec->batch.matrix;
    (void)target;
    r->spec->batch.kind = BUILDSPEC_BUILD_MATRIX;
    bool is_map = spec_read_map(r, node, path, keys, matrix);
    size_t size = matrix_size(matrix);
    if (is_map || yaml_is_null(node)) {
        if (!yaml_get(node, "dynamic"))
            ERROR("dynamic is missing: what the builds differ in");
        else if (size > BUILDSPEC_BATCH_MAX)
            ERROR("makes %zu builds; a batch has at most %d", size, BUILDSPEC_BATCH_MAX);
    }
}

/* ---- build-fanout ---- */

static void read_parallelism(struct reader *r, const struct yaml_node *node, const char *path,
                             void *target)
{
    unsigned *parallelism = target;
    uint64_t n = 0;
    const char *text = spec_text_of(r, node, path);
    if (!text)
        return;
    if (str_to_u64(text, &n) < 0 || n < 1 || n > BUILDSPEC_BATCH_MAX)
        ERROR("must be a number from 1 to %d, not '%.60s'", BUILDSPEC_BATCH_MAX, text);
    *parallelism = n >= 1 && n <= BUILDSPEC_BATCH_MAX ? (unsigned)n : 1;
}

static void read_fanout(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    static const struct key keys[] = {
        {"parallelism", read_parallelism, offsetof(struct buildspec_batch, parallelism)},
        {"ignore-failure", spec_read_flag, offsetof(struct buildspec_batch, ignore_failure)},
        {0}};
    struct buildspec_batch *batch = &r->spec->batch;
    (void)target;
    batch->kind = BUILDSPEC_BUILD_FANOUT;
    if ((spec_read_map(r, node, path, keys, batch) || yaml_is_null(node)) && !batch->parallelism)
        ERROR("parallelism is missing: how many builds it makes");
}

/* ---- batch ---- */

void spec_read_batch(struct reader *r, const struct yaml_node *node, const char *path, void *target)
{
    static const struct key fast_fail[] = {
        {"fast-fail", spec_read_flag, offsetof(struct buildspec_batch, fast_fail)},
        {"build-list", NULL, 0},
        {"build-matrix", NULL, 0},
        {"build-graph", NULL, 0},
        {"build-fanout", NULL, 0},
        {0}};
    static read_fn *const readers[] = {read_list, read_matrix, read_graph, read_fanout};
    const struct yaml_node *kind = NULL;
    read_fn *read_kind = NULL;
    (void)target;
    if (!spec_read_map(r, node, path, fast_fail, &r->spec->batch))
        return;
    for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++) {
        const struct yaml_node *entry = yaml_get(node, fast_fail[i + 1].name);
        if (entry && kind)
            ERROR("has %s and %s; a batch has one of them", kind->key->text, entry->key->text);
        if (entry && !kind) {
            kind = entry;
            read_kind = readers[i];
        }
    }
    if (!kind) {
        ERROR("has none of build-list, build-matrix, build-graph, build-fanout");
        return;
    }
    char sub[PATH_SIZE];
    spec_path_key(sub, path, kind->key->text);
    read_kind(r, kind, sub, NULL);
}

const char *spec_batch_needs_phases(const struct buildspec_batch *batch)
{
    switch (batch->kind) {
    case BUILDSPEC_BUILD_LIST:
    case BUILDSPEC_BUILD_GRAPH:
        for (size_t i = 0; i < batch->build_count; i++) {
            const struct buildspec_batch_build *build = &batch->builds[i];
            if (!build->buildspec)
                return build->identifier ? build->identifier : "of build-list";
        }
        return NULL;
    case BUILDSPEC_BUILD_MATRIX:
        return batch->matrix.buildspecs.count ? NULL : "of build-matrix";
    case BUILDSPEC_BUILD_FANOUT:
        return "of build-fanout";
    default:
        return NULL;
    }
}

void spec_batch_read_release(struct buildspec_batch *batch)
{
    struct buildspec_matrix *matrix = &batch->matrix;
    for (size_t i = 0; i < batch->build_count; i++) {
        struct buildspec_batch_build *build = &batch->builds[i];
        free(build->identifier);
        free(build->buildspec);
        spec_batch_env_release(&build->env);
        strv_release(&build->depend_on);
    }
    free(batch->builds);
    spec_batch_env_release(&matrix->env);
    strv_release(&matrix->buildspecs);
    strv_release(&matrix->images);
    strv_release(&matrix->compute_types);
    for (size_t i = 0; i < matrix->variable_count; i++) {
        free(matrix->variables[i].name);
        strv_release(&matrix->variables[i].values);
    }
    free(matrix->variables);
}
