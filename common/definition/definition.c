#include "definition/definition.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

static const char *const kind_names[] = {
    [DEF_PIPELINE] = "Pipeline",         [DEF_ENVIRONMENT] = "Environment",
    [DEF_NOTIFICATION] = "Notification", [DEF_ROLE] = "Role",
    [DEF_BINDING] = "Binding",           [DEF_BINDING + 1] = NULL,
};

const char *def_kind_name(enum def_kind kind)
{
    return kind >= DEF_PIPELINE && kind <= DEF_BINDING ? kind_names[kind] : "";
}

static void read_version(struct reader *r, const struct yaml_node *node)
{
    static const char *const versions[] = {"gantry/v1", NULL};

    if (node && (node->type != YAML_TEXT || !str_eq(node->text, versions[0])))
        problem_word(r, node, "a version of the language", versions);
}

/* 0: none that this version has. */
static enum def_kind read_kind(struct reader *r, const struct yaml_node *node)
{
    if (!node)
        return 0;
    for (enum def_kind kind = DEF_PIPELINE; kind <= DEF_BINDING; kind++) {
        if (node->type != YAML_TEXT || !str_eq(node->text, kind_names[kind]))
            continue;
        if (kind != DEF_ROLE && kind != DEF_BINDING)
            return kind;
        problem(r, node, "the kind '%s' is not supported yet", kind_names[kind]);
        return 0;
    }
    problem_word(r, node, "a kind", kind_names + DEF_PIPELINE);
    return 0;
}

static void read_metadata(struct reader *r, struct definition *def, const struct yaml_node *node,
                          struct def_pair **labels, size_t *label_count)
{
    const struct yaml_node *values[METADATA_KEYS];
    size_t mark;

    if (!node)
        return;
    mark = reader_enter_key(r, node->key->text);
    if (read_fields(r, node, &metadata_keys, values) == 0) {
        def->name = read_checked(r, values[METADATA_NAME], syntax_name);
        *labels = read_pairs(r, values[METADATA_LABELS], DEF_LABELS_MAX, syntax_label, label_count);
    }
    reader_leave(r, mark);
}

static void read_spec(struct reader *r, struct definition *def, const struct yaml_node *spec)
{
    size_t mark = reader_enter_key(r, spec->key->text);

    switch (def->kind) {
    case DEF_PIPELINE:
        def->pipeline = pipeline_read(r, spec);
        def->pipeline->name = mem_strdup(def->name);
        break;
    case DEF_ENVIRONMENT:
        def->environment = environment_read(r, spec);
        def->environment->name = mem_strdup(def->name);
        break;
    case DEF_NOTIFICATION:
        def->notification = notification_read(r, spec);
        def->notification->name = mem_strdup(def->name);
        break;
    case DEF_ROLE:
    case DEF_BINDING:
        break;
    }
    reader_leave(r, mark);
}

static void read_root(struct reader *r, struct definition *def, const struct yaml_node *root)
{
    const struct yaml_node *values[ROOT_KEYS];
    struct def_pair *labels = NULL;
    size_t label_count = 0;

    if (read_fields(r, root, &root_keys, values) < 0)
        return;
    read_version(r, values[ROOT_VERSION]);
    def->kind = read_kind(r, values[ROOT_KIND]);
    read_metadata(r, def, values[ROOT_METADATA], &labels, &label_count);
    if (def->kind && values[ROOT_SPEC])
        read_spec(r, def, values[ROOT_SPEC]);
    if (def->kind == DEF_PIPELINE && def->pipeline) {
        def->pipeline->labels = labels;
        def->pipeline->label_count = label_count;
    } else {
        def_pairs_free(labels, label_count);
    }
}

static void read_document(struct reader *r, struct definition *def, const void *yaml, size_t len)
{
    struct yaml_tree *tree = NULL;
    struct yaml_place place;
    struct err err;

    if (len > DEFINITION_SIZE_MAX) {
        problem_at(r->problems, 1, 1, "", "larger than %d KiB", DEFINITION_SIZE_MAX / 1024);
        return;
    }
    if (yaml_tree_parse(&tree, yaml, len, &place, &err) < 0)
        problem_at(r->problems, place.line, place.column, "", "%s", err.msg);
    else if (!tree->root)
        problem_at(r->problems, 1, 1, "", "there is no definition in it");
    else
        read_root(r, def, tree->root);
    yaml_tree_free(tree);
}

static int by_place(const void *a, const void *b)
{
    const struct def_problem *x = a, *y = b;

    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

int definition_parse(struct definition **out, const void *yaml, size_t len,
                     struct def_problems *problems, struct err *err)
{
    struct def_problems own = {0};
    struct definition *def = mem_alloc(sizeof(*def));
    struct reader r = {.problems = problems ? problems : &own};
    int ret = 0;

    *out = NULL;
    sha256(yaml, len, def->sha256);
    read_document(&r, def, yaml, len);
    if (r.problems->count > 0) {
        const struct def_problem *first = r.problems->items;

        qsort(r.problems->items, r.problems->count, sizeof(*first), by_place);
        ret = err_set(err, ERR_INVALID, "line %d, column %d: %s%s%s", first->line, first->column,
                      first->path, *first->path ? ": " : "", first->reason);
        definition_free(def);
    } else {
        *out = def;
    }
    def_problems_release(&own);
    return ret;
}

void definition_free(struct definition *def)
{
    if (!def)
        return;
    if (def->kind == DEF_PIPELINE)
        pipeline_free(def->pipeline);
    else if (def->kind == DEF_ENVIRONMENT)
        environment_free(def->environment);
    else if (def->kind == DEF_NOTIFICATION)
        notification_free(def->notification);
    free(def->name);
    free(def);
}
