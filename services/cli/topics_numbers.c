#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "engine/survey.h"
#include "services/cli/topics.h"
#include "yaml/tree.h"

#define NUMBERS_MAX (1024 * 1024)

static int number(const char *path, const struct yaml_node *node, uint64_t *out, struct err *err)
{
    if (node->type == YAML_TEXT && node->plain && str_to_u64(node->text, out) == 0 && *out >= 1 &&
        *out <= CHAIN_NUMBER_MAX)
        return 0;
    return err_set(err, ERR_INVALID, "%s:%d:%d: a number from 1 is wanted here", path, node->line,
                   node->column);
}

static int entry(const char *path, const struct yaml_node *node, struct survey_numbers *out,
                 struct err *err)
{
    const struct yaml_node *release = yaml_get(node, "release");

    for (const struct yaml_node *n = node->first; node->type == YAML_MAP && n; n = n->next) {
        bool is_release = str_eq(n->key->text, "release");

        if (n->repeated || (!is_release && !str_eq(n->key->text, "sequence")))
            return err_set(err, ERR_INVALID,
                           "%s:%d:%d: a pipeline has one `release`, and may have one `sequence`",
                           path, n->key->line, n->key->column);
        if (number(path, n, is_release ? &out->release : &out->sequence, err) < 0)
            return -1;
    }
    if (!release)
        return err_set(err, ERR_INVALID,
                       "%s:%d:%d: the number of pipeline '%.63s's next release is missing; an "
                       "entry is written {release: 43, sequence: 901}",
                       path, node->line, node->column, node->key->text);
    return 0;
}

int topics_numbers(struct map **out, const char *path, int32_t partition, int32_t partition_count,
                   struct err *err)
{
    struct map *numbers = map_new(free);
    struct yaml_tree *tree = NULL;
    struct yaml_place place;
    struct buf text;
    int rc = -1;

    if (file_read(&text, path, NUMBERS_MAX, err) < 0)
        goto out;
    rc = yaml_tree_parse(&tree, text.data, text.len, &place, err);
    if (rc < 0) {
        err_wrap(err, "%s:%d:%d", path, place.line, place.column);
    } else if (tree->root && tree->root->type != YAML_MAP) {
        rc =
            err_set(err, ERR_INVALID, "%s: pipelines and their numbers are wanted, as a map", path);
    }
    for (const struct yaml_node *n = rc == 0 && tree->root ? tree->root->first : NULL; n && rc == 0;
         n = n->next) {
        struct survey_numbers *given;
        const char *name = n->key->text;

        if (!str_is_name(name) || n->repeated) {
            rc = err_set(err, ERR_INVALID, "%s:%d:%d: %s", path, n->key->line, n->key->column,
                         n->repeated ? "that pipeline stands here already"
                                     : "a pipeline's name is wanted here");
        } else if (topic_partition(name, strlen(name), partition_count) != partition) {
            cli_fail(0, "pipeline %s belongs to partition %d: left out here", name,
                     (int)topic_partition(name, strlen(name), partition_count));
        } else {
            given = mem_alloc(sizeof(*given));
            map_set(numbers, name, given);
            rc = entry(path, n, given, err);
        }
    }
    yaml_tree_free(tree);
    buf_release(&text);
out:
    if (rc == 0)
        *out = numbers;
    else
        map_free(numbers);
    return rc;
}
