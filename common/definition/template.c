/* {{names}} in what a definition gives to actions and people. common/engine/vars.c fills them in;
 * what it could not is told here, before anything runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "definition/kinds.h"

#define NAME_MAX_BYTES 199 /* as the engine reads them */

/* Where the names of one family come from. */
static void add_names(struct strv *names, const char *before, const struct strv *items,
                      const char *after)
{
    for (size_t i = 0; i < items->count; i++)
        strv_addf(names, "%s%s%s", before, items->items[i], after);
}

static void add_known(const struct pipeline_reader *pr, const char *name, struct strv *names)
{
    static const char *const always[] = {"release.number", "pipeline", "pipeline.name", "revision"};
    const struct def_pipeline *p = pr->pipeline;
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        strv_add(names, always[i]);
    for (size_t i = 0; i < p->source_count; i++)
        if (p->sources[i].name)
            strv_addf(names, "revisions.%s", p->sources[i].name);
    for (size_t i = 0; i < p->variable_count; i++)
        strv_addf(names, "variables.%s", p->variables[i].key);
    add_names(names, "artifacts.", &pr->images, ".digest");
    add_names(names, "artifacts.", &pr->images, ".image");
    /* What an action exports is known when it has run: any name of it may be meant. */
    add_names(names, "actions.", &pr->actions, dot ? dot : ".NAME");
}

static void refuse(const struct pipeline_reader *pr, const struct yaml_node *node, const char *name,
                   const char *why)
{
    struct strv names = {0};
    const char *nearest;

    if (pr->r->problems->count == PROBLEMS_MAX)
        return;
    add_known(pr, name, &names);
    nearest = str_nearest(name, (const char *const *)names.items);
    if (nearest)
        problem_near(pr->r, node, nearest, "{{%.100s}}: %s; did you mean {{%s}}?", name, why,
                     nearest);
    else
        problem(pr->r, node, "{{%.100s}}: %s", name, why);
    strv_release(&names);
}

static bool has_variable(const struct def_pipeline *p, const char *name)
{
    for (size_t i = 0; i < p->variable_count; i++)
        if (str_eq(p->variables[i].key, name))
            return true;
    return false;
}

static const char *wrong_with_action(const struct pipeline_reader *pr, const char *rest)
{
    const char *dot = strchr(rest, '.');
    char *action;
    bool known;

    if (!dot || !dot[1])
        return "expected actions.ACTION.NAME, what an action exports";
    action = mem_strndup(rest, (size_t)(dot - rest));
    known = strv_has(&pr->actions, action);
    free(action);
    return known || pr->actions_unsure ? NULL : "no such action runs before this";
}

static const char *wrong_with_artifact(const struct pipeline_reader *pr, const char *rest)
{
    const char *dot = strrchr(rest, '.');
    char *build;
    bool known;

    if (!dot || (!str_eq(dot, ".digest") && !str_eq(dot, ".image")))
        return "expected artifacts.BUILD.digest or artifacts.BUILD.image";
    build = mem_strndup(rest, (size_t)(dot - rest));
    known = strv_has(&pr->images, build);
    free(build);
    return known || pr->images_unsure ? NULL : "no such build with 'image' runs before this";
}

/* NULL, or what is wrong with it. */
static const char *wrong_with(const struct pipeline_reader *pr, const char *name)
{
    if (str_eq(name, "release.number") || str_eq(name, "pipeline") ||
        str_eq(name, "pipeline.name") || str_eq(name, "revision"))
        return NULL;
    if (str_starts(name, "revisions."))
        return pr->sources_unsure || def_pipeline_source(pr->pipeline, name + strlen("revisions."))
                   ? NULL
                   : "the pipeline has no such source";
    if (str_starts(name, "variables."))
        return pr->variables_unsure || has_variable(pr->pipeline, name + strlen("variables."))
                   ? NULL
                   : "spec.variables has no such key";
    if (str_starts(name, "actions."))
        return wrong_with_action(pr, name + strlen("actions."));
    if (str_starts(name, "artifacts."))
        return wrong_with_artifact(pr, name + strlen("artifacts."));
    return "expected release.number, pipeline, revision, revisions.SOURCE, variables.NAME, "
           "actions.ACTION.NAME, artifacts.BUILD.digest or artifacts.BUILD.image";
}

static void check_text(const struct pipeline_reader *pr, const struct yaml_node *node)
{
    const char *open = node->text;

    while ((open = strstr(open, "{{"))) {
        const char *from = open + 2, *close = strstr(from, "}}"), *to = close;
        const char *why;
        char *name;

        if (!close)
            return;
        while (from < to && (*from == ' ' || *from == '\t'))
            from++;
        while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
            to--;
        name = mem_strndup(from, (size_t)(to - from));
        why = to - from > NAME_MAX_BYTES ? "longer than any name is" : wrong_with(pr, name);
        if (why)
            refuse(pr, node, name, why);
        free(name);
        open = close + 2;
    }
}

void templates_check(const struct pipeline_reader *pr, const struct yaml_node *node)
{
    size_t mark;

    if (node && node->type == YAML_TEXT)
        check_text(pr, node);
    if (!node || node->type != YAML_MAP)
        return;
    mark = reader_enter_key(pr->r, node->key->text);
    for (const struct yaml_node *n = node->first; n; n = n->next)
        if (n->type == YAML_TEXT)
            check_text(pr, n);
    reader_leave(pr->r, mark);
}
