#include "buildspec/buildspec.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "buildspec/read.h"

static void read_proxy(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    static const struct key keys[] = {
        {"upload-artifacts", spec_read_flag, offsetof(struct buildspec, proxy_upload_artifacts)},
        {"logs", spec_read_flag, offsetof(struct buildspec, proxy_logs)},
        {0}};
    (void)target;
    spec_read_map(r, node, path, keys, r->spec);
}

/* Before all else: what keys mean depends on it. */
static void read_version(struct reader *r, const struct yaml_node *root)
{
    const struct yaml_node *node = yaml_get(root, "version");
    const char *path = "version";
    if (!node) {
        spec_problem(r, true, root, "", "version is missing; it is 0.2");
        return;
    }
    const char *text = spec_text_of(r, node, path);
    if (!text)
        return;
    if (!str_eq(text, "0.1") && !str_eq(text, "0.2"))
        ERROR("must be 0.2 or 0.1, not '%.60s'", text);
    r->first_version = r->spec->separate_shells = str_eq(text, "0.1");
}

static void check_phases(struct reader *r, const struct yaml_node *root)
{
    const struct buildspec_batch *batch = &r->spec->batch;
    const char *needs = spec_batch_needs_phases(batch);
    if (yaml_get(root, "phases") && !yaml_is_null(yaml_get(root, "phases")))
        return;
    if (needs)
        spec_problem(r, true, root, "",
                     "phases is missing; the batch's build %s has no other buildspec", needs);
    else if (batch->kind == BUILDSPEC_NO_BATCH)
        spec_problem(r, true, root, "", "phases is missing");
}

static int line_of(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = map ? yaml_get(map, key) : NULL;
    return node ? node->key->line : 0;
}

static void note_lines(struct buildspec *spec, const struct yaml_node *root)
{
    const struct yaml_node *env = yaml_get(root, "env");
    const struct yaml_node *phases = yaml_get(root, "phases");
    spec->lines = (struct buildspec_lines){.run_as = line_of(root, "run-as"),
                                           .parameters = line_of(env, "parameter-store"),
                                           .secrets = line_of(env, "secrets-manager"),
                                           .git_credentials = line_of(env, "git-credential-helper"),
                                           .batch = line_of(root, "batch")};
    for (int p = 0; phases && p < BUILDSPEC_PHASES; p++) {
        const char *key = buildspec_phase_key((enum buildspec_phase_name)p);
        spec->phases[p].run_as_line = line_of(yaml_get(phases, key), "run-as");
    }
}

static void read_root(struct reader *r, const struct yaml_node *node)
{
    static const struct key keys[] = {
        {"version", NULL, 0},
        {"run-as", spec_read_run_as, offsetof(struct buildspec, run_as)},
        {"env", spec_read_env, 0},
        {"proxy", read_proxy, 0},
        {"batch", spec_read_batch, 0},
        {"phases", spec_read_phases, 0},
        {"reports", spec_read_reports, 0},
        {"artifacts", spec_read_artifacts, 0},
        {"cache", spec_read_cache, 0},
        {"environment_variables", spec_read_environment_variables, 0},
        {0}};
    const char *path = "";
    if (!node || node->type != YAML_MAP) {
        ERROR("a buildspec is a mapping with version and phases");
        return;
    }
    read_version(r, node);
    spec_read_map(r, node, path, keys, r->spec);
    note_lines(r->spec, node);
    check_phases(r, node);
}

/* ---- problems ---- */

void buildspec_problem_text(const struct buildspec_problem *p, const char *file, struct buf *out)
{
    buf_adds(out, file);
    if (p->line)
        buf_addf(out, ":%d:%d", p->line, p->column);
    buf_addf(out, ": %s: %s%s%s", p->error ? "error" : "warning", p->path, p->path[0] ? ": " : "",
             p->reason);
}

void buildspec_problems_release(struct buildspec_problems *problems)
{
    free(problems->items);
    *problems = (struct buildspec_problems){0};
}

static bool stands_before(const struct buildspec_problem *a, const struct buildspec_problem *b)
{
    return a->line < b->line || (a->line == b->line && a->column < b->column);
}

/* By where they stand; those of one place as they were found. */
static void sort(struct buildspec_problems *problems)
{
    for (size_t i = 1; i < problems->count; i++) {
        struct buildspec_problem p = problems->items[i];
        size_t at = i;
        for (; at && stands_before(&p, &problems->items[at - 1]); at--)
            problems->items[at] = problems->items[at - 1];
        problems->items[at] = p;
    }
}

static int verdict(const struct buildspec_problems *problems, struct err *err)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct buildspec_problem *p = &problems->items[i];
        if (p->error)
            return err_set(err, ERR_INVALID, "line %d: %s%s%s", p->line, p->path,
                           p->path[0] ? ": " : "", p->reason);
    }
    return 0;
}

/* ---- the whole ---- */

void buildspec_free(struct buildspec *spec)
{
    if (!spec)
        return;
    spec_env_release(spec);
    spec_phases_release(spec);
    spec_artifacts_release(spec);
    spec_batch_read_release(&spec->batch);
    free(spec);
}

int buildspec_parse(struct buildspec **out, const void *yaml, size_t len,
                    struct buildspec_problems *problems, struct err *err)
{
    struct buildspec_problems own = {0};
    struct reader r = {.problems = problems ? problems : &own};
    struct yaml_tree *tree = NULL;
    struct yaml_place place = {0};
    struct err why = {0};
    r.spec = mem_alloc(sizeof(*r.spec));
    r.spec->shell = mem_strdup("sh");
    if (len > BUILDSPEC_SIZE_MAX) {
        spec_problem(&r, true, NULL, "", "is larger than %d KiB", BUILDSPEC_SIZE_MAX / 1024);
    } else if (yaml_tree_parse_anchored(&tree, yaml, len, &place, &why) < 0) {
        const struct yaml_node at = {.line = place.line, .column = place.column};
        spec_problem(&r, true, &at, "", "%.350s", why.msg);
    } else {
        read_root(&r, tree->root);
    }
    yaml_tree_free(tree);
    sort(r.problems);
    int rc = verdict(r.problems, err);
    buildspec_problems_release(&own);
    if (rc < 0) {
        buildspec_free(r.spec);
        return -1;
    }
    *out = r.spec;
    return 0;
}
