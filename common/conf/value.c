#include "conf/value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void *member(const struct conf_item *item, void *target)
{
    return (char *)target + item->offset;
}

const char *conf_map_get(const struct conf_map *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (str_eq(map->pairs[i].key, key))
            return map->pairs[i].values.count ? map->pairs[i].values.items[0] : NULL;
    return NULL;
}

/* The pair of a key, emptied, or a new one. */
static struct strv *map_pair(struct conf_map *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (str_eq(map->pairs[i].key, key)) {
            strv_release(&map->pairs[i].values);
            return &map->pairs[i].values;
        }
    map->pairs = mem_realloc(map->pairs, map->count + 1, sizeof(*map->pairs));
    map->pairs[map->count] = (struct conf_pair){.key = mem_strdup(key)};
    return &map->pairs[map->count++].values;
}

void conf_value_zero(const struct conf_item *item, void *target)
{
    static const size_t sizes[] = {
        [CONF_STR] = sizeof(char *),          [CONF_INT] = sizeof(int64_t),
        [CONF_BOOL] = sizeof(bool),           [CONF_DURATION] = sizeof(int64_t),
        [CONF_SIZE] = sizeof(uint64_t),       [CONF_LIST] = sizeof(struct strv),
        [CONF_MAP] = sizeof(struct conf_map), [CONF_YAML] = sizeof(char *),
    };

    memset(member(item, target), 0, sizes[item->type]);
}

void conf_value_release(const struct conf_item *item, void *target)
{
    void *at = member(item, target);

    if (item->type == CONF_STR || item->type == CONF_YAML) {
        char *text = *(char **)at;

        if (text && item->flags & CONF_SECRET)
            mem_wipe(text, strlen(text));
        free(text);
    } else if (item->type == CONF_LIST) {
        strv_release(at);
    } else if (item->type == CONF_MAP) {
        struct conf_map *map = at;

        for (size_t i = 0; i < map->count; i++) {
            free(map->pairs[i].key);
            strv_release(&map->pairs[i].values);
        }
        free(map->pairs);
    }
    conf_value_zero(item, target);
}

/* Says what was expected, and what was found unless it is secret. */
static int refuse(const struct conf_item *item, const char *text, const char *expected,
                  struct err *err)
{
    if (item->flags & CONF_SECRET)
        return err_set(err, ERR_INVALID, "is not %s", expected);
    return err_set(err, ERR_INVALID, "'%.100s' is not %s", text, expected);
}

static int to_bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2;
            return 0;
        }
    return -1;
}

static int map_from_text(const struct conf_item *item, struct conf_map *map, const char *text,
                         struct err *err)
{
    struct strv words = {0};
    int ret = 0;

    /* Brokers are a list with commas of its own, and what nearly everybody gives. */
    if (str_eq(item->key, "kafka")) {
        strv_add(map_pair(map, "bootstrap.servers"), text);
        return 0;
    }
    strv_split(&words, text, ',');
    for (size_t i = 0; i < words.count && ret == 0; i++) {
        char *equals = strchr(words.items[i], '=');

        if (!equals || equals == words.items[i]) {
            ret = refuse(item, words.items[i], "key=value", err);
        } else {
            *equals = '\0';
            strv_add(map_pair(map, words.items[i]), equals + 1);
        }
    }
    strv_release(&words);
    return ret;
}

static int yaml_from_text(char **out, const char *text, struct err *err)
{
    struct yaml_tree *tree;

    if (yaml_tree_parse(&tree, text, strlen(text), NULL, err) < 0)
        return -1;
    yaml_tree_free(tree);
    *out = mem_strdup(text);
    return 0;
}

int conf_value_from_text(const struct conf_item *item, void *target, const char *text,
                         struct err *err)
{
    void *at = member(item, target);

    if (item->type != CONF_MAP)
        conf_value_release(item, target);
    switch (item->type) {
    case CONF_STR:
        *(char **)at = mem_strdup(text);
        return 0;
    case CONF_INT:
        return str_to_i64(text, at) == 0 ? 0 : refuse(item, text, "a whole number", err);
    case CONF_BOOL:
        return to_bool(text, at) == 0 ? 0 : refuse(item, text, "true or false", err);
    case CONF_DURATION:
        return str_to_duration(text, at) == 0
                   ? 0
                   : refuse(item, text, "a duration such as 500ms, 60s, 15m, 2h, 3d", err);
    case CONF_SIZE:
        return str_to_size(text, at) == 0
                   ? 0
                   : refuse(item, text, "a size such as 512, 64Ki, 4Gi", err);
    case CONF_LIST:
        strv_split(at, text, ',');
        return 0;
    case CONF_MAP:
        return map_from_text(item, at, text, err);
    case CONF_YAML:
        return yaml_from_text(at, text, err);
    }
    return err_set(err, ERR_INTERNAL, "a setting of no known type");
}

/* A text, or a list of texts, into `values`. */
static int texts(struct strv *values, const struct yaml_node *node, struct err *err)
{
    if (node->type == YAML_TEXT && !yaml_is_null(node)) {
        strv_add(values, node->text);
        return 0;
    }
    if (node->type != YAML_LIST)
        return err_set(err, ERR_INVALID, "expected a value or a list of values");
    for (const struct yaml_node *n = node->first; n; n = n->next) {
        if (n->type != YAML_TEXT)
            return err_set(err, ERR_INVALID, "expected a list of plain values");
        strv_add(values, n->text);
    }
    return 0;
}

int conf_value_set_pair(const struct conf_item *item, void *target, const char *key,
                        const struct yaml_node *node, const char *text, struct err *err)
{
    struct strv *values = map_pair(member(item, target), key);

    if (node)
        return texts(values, node, err);
    strv_add(values, text);
    return 0;
}

int conf_value_from_node(const struct conf_item *item, void *target, const struct yaml_node *node,
                         struct err *err)
{
    struct buf yaml;

    if (item->type == CONF_YAML) {
        conf_value_release(item, target);
        buf_init(&yaml, CONF_VALUE_MAX);
        if (yaml_write(node, &yaml) < 0) {
            buf_release(&yaml);
            return err_set(err, ERR_LIMIT, "larger than %d bytes", CONF_VALUE_MAX);
        }
        *(char **)member(item, target) = buf_detach(&yaml);
        return 0;
    }
    if (item->type == CONF_LIST && node->type == YAML_LIST) {
        conf_value_release(item, target);
        return texts(member(item, target), node, err);
    }
    if (node->type != YAML_TEXT)
        return err_set(err, ERR_INVALID, "expected a value, not a %s",
                       node->type == YAML_LIST ? "list" : "mapping");
    return conf_value_from_text(item, target, node->text, err);
}

char *conf_variable(const char *section, const char *key)
{
    bool common = str_eq(section, "common");
    char *name = common ? mem_printf("GANTRY_%s", key) : mem_printf("GANTRY_%s_%s", section, key);

    for (char *p = name; *p; p++)
        *p = *p == '-' || *p == '.' ? '_' : (char)toupper((unsigned char)*p);
    return name;
}
