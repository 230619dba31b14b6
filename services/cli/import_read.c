#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "services/cli/import.h"
#include "yaml/tree.h"

static void keep_line(struct map *lines, const json_t *value, int line)
{
    char key[32];

    snprintf(key, sizeof(key), "%p", (const void *)value);
    map_set(lines, key, (void *)(intptr_t)line);
}

/* ---- JSON ---- */

static json_t *text_of_scalar(const json_t *value)
{
    json_t *text;
    char *digits;

    if (json_is_string(value) || json_is_null(value))
        return json_incref((json_t *)value);
    if (json_is_boolean(value))
        return json_string(json_is_true(value) ? "true" : "false");
    digits = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    text = json_string(digits ? digits : "");
    free(digits);
    return text;
}

/* NULL: too deep. */
static json_t *all_text(const json_t *value, int depth)
{
    json_t *copy, *item, *member;
    const char *key;
    size_t i;

    if (depth > IMPORT_DEPTH_MAX)
        return NULL;
    if (!json_is_array(value) && !json_is_object(value))
        return text_of_scalar(value);
    copy = json_is_array(value) ? json_array() : json_object();
    json_array_foreach(value, i, item)
    {
        member = all_text(item, depth + 1);
        if (!member)
            goto deep;
        json_array_append_new(copy, member);
    }
    json_object_foreach((json_t *)value, key, item)
    {
        member = all_text(item, depth + 1);
        if (!member)
            goto deep;
        json_object_set_new(copy, key, member);
    }
    return copy;
deep:
    json_decref(copy);
    return NULL;
}

static int read_json(json_t **out, const char *file, const char *data, size_t len, struct err *err)
{
    json_error_t wrong;
    json_t *raw = json_loadb(data, len, JSON_REJECT_DUPLICATES, &wrong);

    if (!raw)
        return err_set(err, ERR_INVALID, "%s:%d:%d: not JSON: %s", file, wrong.line, wrong.column,
                       wrong.text);
    *out = all_text(raw, 1);
    json_decref(raw);
    if (!*out)
        return err_set(err, ERR_LIMIT, "%s:1: nested deeper than %d levels", file,
                       IMPORT_DEPTH_MAX);
    return 0;
}

/* ---- YAML ---- */

static json_t *json_of(const struct yaml_node *node, struct map *lines);

static json_t *json_of_untagged(const struct yaml_node *node, struct map *lines)
{
    json_t *value;

    if (node->type == YAML_TEXT)
        return yaml_is_null(node) && !node->tag ? json_null()
                                                : json_stringn_nocheck(node->text, node->len);
    value = node->type == YAML_LIST ? json_array() : json_object();
    for (const struct yaml_node *n = node->first; n; n = n->next) {
        json_t *member = json_of(n, lines);

        if (node->type == YAML_LIST)
            json_array_append_new(value, member);
        else
            json_object_set_new_nocheck(value, n->key->text, member);
    }
    keep_line(lines, value, node->line);
    return value;
}

/* !GetAtt A.B says what Fn::GetAtt: [A, B] says; the others differ from their long form in name
 * alone. */
static json_t *json_of(const struct yaml_node *node, struct map *lines)
{
    json_t *value = json_of_untagged(node, lines);
    const char *dot = node->tag && strcmp(node->tag, "GetAtt") == 0 && node->text
                          ? strchr(node->text, '.')
                          : NULL;
    json_t *function;
    char *name;

    if (!node->tag)
        return value;
    if (dot) {
        json_decref(value);
        value = json_pack("[s%, s]", node->text, (size_t)(dot - node->text), dot + 1);
    }
    name = strcmp(node->tag, "Ref") == 0 || strcmp(node->tag, "Condition") == 0
               ? mem_strdup(node->tag)
               : mem_printf("Fn::%s", node->tag);
    function = json_object();
    json_object_set_new_nocheck(function, name, value);
    free(name);
    keep_line(lines, function, node->line);
    return function;
}

static const struct yaml_node *find_repeated(const struct yaml_node *node)
{
    const struct yaml_node *found = node->repeated ? node : NULL;

    for (const struct yaml_node *n = node->first; n && !found; n = n->next)
        found = find_repeated(n);
    return found;
}

static int read_yaml(json_t **out, struct map *lines, const char *file, const char *data,
                     size_t len, struct err *err)
{
    struct yaml_tree *tree = NULL;
    const struct yaml_node *twice;
    struct yaml_place place = {1, 1};
    struct err own = {0};
    int ret = 0;

    if (yaml_tree_parse_tagged(&tree, data, len, &place, &own) < 0)
        return err_set(err, own.code, "%s:%d:%d: %s", file, place.line, place.column, own.msg);
    twice = tree->root ? find_repeated(tree->root) : NULL;
    if (!tree->root)
        ret = err_set(err, ERR_INVALID, "%s:1: there is nothing in it", file);
    else if (twice)
        ret = err_set(err, ERR_INVALID, "%s:%d:%d: '%.100s' stands there twice", file, twice->line,
                      twice->column, twice->key->text);
    else
        *out = json_of(tree->root, lines);
    yaml_tree_free(tree);
    return ret;
}

int import_read(json_t **out, struct map *lines, const char *file, const void *data, size_t len,
                struct err *err)
{
    const char *text = data;
    size_t skip = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    size_t at = skip;

    *out = NULL;
    if (len > IMPORT_SIZE_MAX)
        return err_set(err, ERR_LIMIT, "%s:1: larger than %d MiB", file,
                       IMPORT_SIZE_MAX / (1024 * 1024));
    while (at < len && strchr(" \t\r\n", text[at]) && text[at])
        at++;
    if (at < len && (text[at] == '{' || text[at] == '['))
        return read_json(out, file, text + skip, len - skip, err);
    return read_yaml(out, lines, file, text, len, err);
}
