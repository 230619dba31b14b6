#include <stdlib.h>

#include "base/mem.h"
#include "definition/kinds.h"
#include "definition/syntax.h"

static int64_t read_poll(struct reader *r, const struct yaml_node *node)
{
    static const struct span span = {1000, 24 * 3600 * 1000, "1s to 1d, or 0 for webhooks only"};

    if (node && node->type == YAML_TEXT && str_eq(node->text, "0"))
        return 0;
    return read_duration(r, node, &span, 60 * 1000);
}

static void read_paths(struct reader *r, struct def_source *source, const struct yaml_node *node)
{
    const struct yaml_node *values[PATHS_KEYS];
    size_t mark;

    if (!node || node->type != YAML_MAP) {
        read_texts(r, node, DEF_GLOBS_MAX, syntax_path_glob, &source->paths_include);
        return;
    }
    mark = reader_enter_key(r, node->key->text);
    if (read_fields(r, node, &paths_keys, values) == 0) {
        read_texts(r, values[PATHS_INCLUDE], DEF_GLOBS_MAX, syntax_path_glob,
                   &source->paths_include);
        read_texts(r, values[PATHS_EXCLUDE], DEF_GLOBS_MAX, syntax_path_glob,
                   &source->paths_exclude);
    }
    reader_leave(r, mark);
}

/* A source that follows nothing would never start a release. */
static void read_refs(struct reader *r, struct def_source *source, const struct yaml_node *map,
                      const struct yaml_node *const *values)
{
    const struct yaml_node *branches = values[SOURCE_BRANCHES], *tags = values[SOURCE_TAGS];

    source->pull_requests = read_bool(r, values[SOURCE_PULL_REQUESTS], false);
    read_texts(r, tags, DEF_GLOBS_MAX, syntax_tag, &source->tags);
    if (!branches && (!tags || asks_nothing(tags)) &&
        (!values[SOURCE_PULL_REQUESTS] || asks_nothing(values[SOURCE_PULL_REQUESTS])))
        problem_at(r->problems, map->line, map->column, r->path,
                   "a source needs 'branches', 'tags' or 'pull-requests: true'");
    else if (branches && branches->type == YAML_LIST && branches->count == 0 &&
             source->tags.count == 0 && !source->pull_requests)
        read_list(r, branches, DEF_GLOBS_MAX, "branches");
    read_texts(r, branches, DEF_GLOBS_MAX, syntax_branch, &source->branches);
}

static void read_source(struct reader *r, struct def_pipeline *pipeline, struct def_source *source,
                        const struct yaml_node *map)
{
    const struct yaml_node *values[SOURCE_KEYS];
    char *name;

    source->line = map->line;
    if (read_fields(r, map, &source_keys, values) < 0)
        return;
    name = read_checked(r, values[SOURCE_NAME], syntax_name);
    if (name && def_pipeline_source(pipeline, name))
        problem(r, values[SOURCE_NAME], "another source has the name '%s'", name);
    source->name = name;
    source->git = read_checked(r, values[SOURCE_GIT], syntax_git);
    read_refs(r, source, map, values);
    read_paths(r, source, values[SOURCE_PATHS]);
    source->credentials = read_checked(r, values[SOURCE_CREDENTIALS], syntax_secret);
    source->poll_ms = read_poll(r, values[SOURCE_POLL]);
    source->submodules = read_bool(r, values[SOURCE_SUBMODULES], false);
    source->lfs = read_bool(r, values[SOURCE_LFS], false);
    source->clone = read_bool(r, values[SOURCE_CLONE], false);
    source->depth = read_count(r, values[SOURCE_DEPTH], DEF_DEPTH_MAX, 0);
}

void sources_read(struct reader *r, struct def_pipeline *pipeline, const struct yaml_node *node)
{
    const struct yaml_node *list = read_list(r, node, DEFINITION_SOURCES_MAX, "sources");
    size_t mark;

    if (!list)
        return;
    pipeline->sources = mem_alloc(list->count * sizeof(*pipeline->sources));
    mark = reader_enter_key(r, list->key->text);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        size_t item = reader_enter_index(r, pipeline->source_count);

        read_source(r, pipeline, &pipeline->sources[pipeline->source_count], n);
        pipeline->source_count++;
        reader_leave(r, item);
    }
    reader_leave(r, mark);
}

void source_release(struct def_source *source)
{
    free(source->name);
    free(source->git);
    strv_release(&source->branches);
    strv_release(&source->tags);
    strv_release(&source->paths_include);
    strv_release(&source->paths_exclude);
    free(source->credentials);
}
