#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/value.h"

#define CONF_FILE_MAX (1024 * 1024)

static const char *const known_sections[] = {
    "common",   "source-watcher", "promoter", "builder",    "deployer",
    "approver", "notifier",       "console",  "supervisor", NULL};

struct loader {
    const struct conf_section *sections;
    const char *path;
    struct map *given;  /* section.key of what the file names */
    struct map *valued; /* section.key of what has a value from anywhere but its default */
    struct err *err;
};

static size_t item_count(const struct conf_section *section)
{
    size_t count = 0;

    while (section->items[count].key)
        count++;
    return count;
}

static const struct conf_item *find_item(const struct conf_section *section, const char *key)
{
    for (const struct conf_item *item = section->items; item->key; item++)
        if (str_eq(item->key, key))
            return item;
    return NULL;
}

/* The mapping that `key` is a key of: for kafka.bootstrap.servers that of `kafka`, *rest then being
 * bootstrap.servers. */
static const struct conf_item *find_map(const struct conf_section *section, const char *key,
                                        const char **rest)
{
    for (const struct conf_item *item = section->items; item->key; item++) {
        size_t len = strlen(item->key);

        if (item->type == CONF_MAP && str_starts(key, item->key) && key[len] == '.' &&
            key[len + 1]) {
            *rest = key + len + 1;
            return item;
        }
    }
    return NULL;
}

static bool has_items_below(const struct conf_section *section, const char *key)
{
    size_t len = strlen(key);

    for (const struct conf_item *item = section->items; item->key; item++)
        if (str_starts(item->key, key) && item->key[len] == '.')
            return true;
    return false;
}

static const struct conf_section *find_section(const struct conf_section *sections,
                                               const char *name)
{
    for (; sections->name; sections++)
        if (str_eq(sections->name, name))
            return sections;
    return NULL;
}

/* -1: the name of no service. */
static int check_section(const char *name, struct err *err)
{
    const char *nearest = str_nearest(name, known_sections);

    for (const char *const *known = known_sections; *known; known++)
        if (str_eq(*known, name))
            return 0;
    return err_set(err, ERR_INVALID, "'%.100s' is neither 'common' nor a service%s%s%s", name,
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static int refuse_key(const struct conf_section *section, const char *key, struct err *err)
{
    const char **keys = mem_alloc((item_count(section) + 1) * sizeof(*keys));
    const char *nearest;

    for (size_t i = 0; section->items[i].key; i++)
        keys[i] = section->items[i].key;
    nearest = str_nearest(key, keys);
    free(keys);
    return err_set(err, ERR_INVALID, "%s.%.100s is not a setting%s%s%s", section->name, key,
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static int at_node(const struct loader *loader, const struct yaml_node *node)
{
    return err_wrap(loader->err, "%s:%d", loader->path, node->line);
}

static bool has_mark(const struct map *marks, const struct conf_section *section, const char *key)
{
    char *name = mem_printf("%s.%s", section->name, key);
    bool found = map_get(marks, name) != NULL;

    free(name);
    return found;
}

static void mark(struct map *marks, const struct conf_section *section, const char *key)
{
    char *name = mem_printf("%s.%s", section->name, key);

    map_set(marks, name, marks);
    free(name);
}

/* `a.b: 1` and `a: {b: 2}` name the same setting. */
static int note_given(struct loader *loader, const struct conf_section *section, const char *key)
{
    if (has_mark(loader->given, section, key))
        return err_set(loader->err, ERR_INVALID, "%s.%s stands there twice", section->name, key);
    mark(loader->given, section, key);
    return 0;
}

static int take_pair(struct loader *loader, const struct conf_section *section,
                     const struct conf_item *item, const char *key, const struct yaml_node *node)
{
    char *name = mem_printf("%s.%s", item->key, key);
    int ret = note_given(loader, section, name);

    if (ret == 0 && conf_value_set_pair(item, section->target, key, node, NULL, loader->err) < 0)
        ret = err_wrap(loader->err, "%s.%s", section->name, name);
    free(name);
    if (ret < 0)
        return at_node(loader, node->key);
    mark(loader->valued, section, item->key);
    return 0;
}

static int take_pairs(struct loader *loader, const struct conf_section *section,
                      const struct conf_item *item, const struct yaml_node *map)
{
    for (const struct yaml_node *n = map->first; n; n = n->next)
        if (take_pair(loader, section, item, n->key->text, n) < 0)
            return -1;
    return 0;
}

static int take_item(struct loader *loader, const struct conf_section *section,
                     const struct conf_item *item, const struct yaml_node *node)
{
    if (item->type == CONF_MAP && node->type == YAML_MAP)
        return take_pairs(loader, section, item, node);
    if (note_given(loader, section, item->key) < 0)
        return at_node(loader, node->key);
    if (yaml_is_null(node))
        return 0;
    if (conf_value_from_node(item, section->target, node, loader->err) < 0) {
        err_wrap(loader->err, "%s.%s", section->name, item->key);
        return at_node(loader, node);
    }
    mark(loader->valued, section, item->key);
    return 0;
}

/* `prefix` is what the mappings around it spell, NULL for the section itself. */
static int take_map(struct loader *loader, const struct conf_section *section, const char *prefix,
                    const struct yaml_node *map)
{
    int ret = 0;

    if (yaml_is_null(map))
        return 0;
    if (map->type != YAML_MAP) {
        err_set(loader->err, ERR_INVALID, "%s%s%s must be a mapping", section->name,
                prefix ? "." : "", prefix ? prefix : "");
        return at_node(loader, map);
    }
    for (const struct yaml_node *n = map->first; n && ret == 0; n = n->next) {
        char *key = prefix ? mem_printf("%s.%s", prefix, n->key->text) : mem_strdup(n->key->text);
        const struct conf_item *item = find_item(section, key);
        const char *rest;

        if (item) {
            ret = take_item(loader, section, item, n);
        } else if ((item = find_map(section, key, &rest))) {
            ret = take_pair(loader, section, item, rest, n);
        } else if (has_items_below(section, key)) {
            ret = take_map(loader, section, key, n);
        } else {
            refuse_key(section, key, loader->err);
            ret = at_node(loader, n->key);
        }
        free(key);
    }
    return ret;
}

static int take_root(struct loader *loader, const struct yaml_node *root)
{
    if (!root || yaml_is_null(root))
        return 0;
    if (root->type != YAML_MAP) {
        err_set(loader->err, ERR_INVALID, "expected a mapping of sections");
        return at_node(loader, root);
    }
    for (const struct yaml_node *n = root->first; n; n = n->next) {
        const struct conf_section *section = find_section(loader->sections, n->key->text);

        if (n->repeated) {
            err_set(loader->err, ERR_INVALID, "the section '%s' stands there twice", n->key->text);
            return at_node(loader, n->key);
        }
        if (section) {
            if (take_map(loader, section, NULL, n) < 0)
                return -1;
        } else if (check_section(n->key->text, loader->err) < 0) {
            return at_node(loader, n->key);
        }
    }
    return 0;
}

static int load_file(struct loader *loader)
{
    struct yaml_tree *tree = NULL;
    struct yaml_place place;
    struct buf text;
    int ret = -1;

    if (file_read(&text, loader->path, CONF_FILE_MAX, loader->err) < 0)
        goto out;
    if (yaml_tree_parse(&tree, buf_cstr(&text), text.len, &place, loader->err) < 0) {
        err_wrap(loader->err, "%s:%d", loader->path, place.line);
        goto out;
    }
    ret = take_root(loader, tree->root);
out:
    yaml_tree_free(tree);
    if (text.data)
        mem_wipe(text.data, text.cap);
    buf_release(&text);
    return ret;
}

static int set_text(struct loader *loader, const struct conf_section *section,
                    const struct conf_item *item, const char *text, const char *origin)
{
    if (conf_value_from_text(item, section->target, text, loader->err) < 0)
        return err_wrap(loader->err, "%s", origin);
    mark(loader->valued, section, item->key);
    return 0;
}

static int load_defaults(struct loader *loader)
{
    for (const struct conf_section *section = loader->sections; section->name; section++)
        for (const struct conf_item *item = section->items; item->key; item++)
            if (item->def &&
                conf_value_from_text(item, section->target, item->def, loader->err) < 0)
                return err_wrap(loader->err, "default of %s.%s", section->name, item->key);
    return 0;
}

static bool is_variable(const struct conf_section *sections, const char *name)
{
    bool found = false;

    for (; sections->name && !found; sections++)
        for (const struct conf_item *item = sections->items; item->key && !found; item++) {
            char *variable = conf_variable(sections->name, item->key);

            found = str_eq(variable, name);
            free(variable);
        }
    return found;
}

static int set_from_file(struct loader *loader, const struct conf_section *section,
                         const struct conf_item *item, const char *path, const char *origin)
{
    struct buf text;
    int ret;

    if (file_read(&text, path, CONF_VALUE_MAX, loader->err) < 0) {
        ret = err_wrap(loader->err, "%s", origin);
        goto out;
    }
    if (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = '\0';
    if (strlen(buf_cstr(&text)) != text.len) {
        ret = err_set(loader->err, ERR_INVALID, "%s: '%s' holds a NUL", origin, path);
        goto out;
    }
    ret = set_text(loader, section, item, buf_cstr(&text), origin);
out:
    mem_wipe(text.data, text.cap);
    buf_release(&text);
    return ret;
}

static int load_variable(struct loader *loader, const struct conf_section *section,
                         const struct conf_item *item)
{
    char *name = conf_variable(section->name, item->key);
    char *file_name = mem_printf("%s_FILE", name);
    const char *text = getenv(name);
    const char *file = is_variable(loader->sections, file_name) ? NULL : getenv(file_name);
    int ret = 0;

    if (!str_empty(text) && !str_empty(file))
        ret =
            err_set(loader->err, ERR_INVALID, "%s and %s are both set: unset one", name, file_name);
    else if (!str_empty(text))
        ret = set_text(loader, section, item, text, name);
    else if (!str_empty(file))
        ret = set_from_file(loader, section, item, file, file_name);
    free(file_name);
    free(name);
    return ret;
}

static int load_environment(struct loader *loader)
{
    for (const struct conf_section *section = loader->sections; section->name; section++)
        for (const struct conf_item *item = section->items; item->key; item++)
            if (load_variable(loader, section, item) < 0)
                return -1;
    return 0;
}

/* `word` is section.key=value. */
static int load_set(struct loader *loader, char *word)
{
    char *equals = strchr(word, '=');
    char *dot = strchr(word, '.');
    const struct conf_section *section;
    const struct conf_item *item;
    const char *key, *rest;

    if (!equals || !dot || dot > equals || dot == word || dot + 1 == equals)
        return err_set(loader->err, ERR_INVALID, "expected section.key=value");
    *equals = '\0';
    *dot = '\0';
    key = dot + 1;
    section = find_section(loader->sections, word);
    if (!section)
        return check_section(word, loader->err);
    item = find_item(section, key);
    if (item) {
        mark(loader->valued, section, item->key);
        return conf_value_from_text(item, section->target, equals + 1, loader->err);
    }
    item = find_map(section, key, &rest);
    if (item) {
        mark(loader->valued, section, item->key);
        return conf_value_set_pair(item, section->target, rest, NULL, equals + 1, loader->err);
    }
    return refuse_key(section, key, loader->err);
}

static int load_sets(struct loader *loader, const struct strv *sets)
{
    for (size_t i = 0; sets && i < sets->count; i++) {
        char *word = mem_strdup(sets->items[i]);
        int ret = load_set(loader, word);

        if (ret < 0)
            err_wrap(loader->err, "--set %.*s", (int)strcspn(sets->items[i], "="), sets->items[i]);
        mem_wipe(word, strlen(sets->items[i]));
        free(word);
        if (ret < 0)
            return -1;
    }
    return 0;
}

static bool is_missing(const struct loader *loader, const struct conf_section *section,
                       const struct conf_item *item)
{
    const void *at = (const char *)section->target + item->offset;

    if (!(item->flags & CONF_REQUIRED) || item->def)
        return false;
    if (item->type == CONF_STR && str_empty(*(char *const *)at))
        return true;
    return !has_mark(loader->valued, section, item->key);
}

static int check_required(struct loader *loader)
{
    for (const struct conf_section *section = loader->sections; section->name; section++)
        for (const struct conf_item *item = section->items; item->key; item++) {
            char *variable;

            if (!is_missing(loader, section, item))
                continue;
            variable = conf_variable(section->name, item->key);
            err_set(loader->err, ERR_INVALID, "%s%s%s.%s is required: set it there, or %s",
                    loader->path ? loader->path : "", loader->path ? ": " : "", section->name,
                    item->key, variable);
            free(variable);
            return -1;
        }
    return 0;
}

int conf_load(const struct conf_section *sections, const char *path, const struct strv *sets,
              struct err *err)
{
    struct loader loader = {.sections = sections, .path = path, .err = err};
    int ret = -1;

    for (const struct conf_section *section = sections; section->name; section++)
        for (const struct conf_item *item = section->items; item->key; item++)
            conf_value_zero(item, section->target);
    loader.given = map_new(NULL);
    loader.valued = map_new(NULL);
    if (load_defaults(&loader) == 0 && (!path || load_file(&loader) == 0) &&
        load_environment(&loader) == 0 && load_sets(&loader, sets) == 0 &&
        check_required(&loader) == 0)
        ret = 0;
    map_free(loader.given);
    map_free(loader.valued);
    if (ret < 0)
        conf_release(sections);
    return ret;
}

void conf_release(const struct conf_section *sections)
{
    for (; sections->name; sections++)
        for (const struct conf_item *item = sections->items; item->key; item++)
            conf_value_release(item, sections->target);
}
