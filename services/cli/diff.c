#include "services/cli/diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "yaml/tree.h"

#define VALUE_MAX 160
#define NAME_SIZE 200

typedef const struct yaml_node node_t;

static void compare(struct diff *out, node_t *before, node_t *after, const char *path);

/* ---- values in a line ---- */

static void add_value(struct buf *out, node_t *node)
{
    if (node->type == YAML_TEXT) {
        buf_adds(out, node->len ? node->text : "(nothing)");
        return;
    }
    buf_addc(out, node->type == YAML_MAP ? '{' : '[');
    for (node_t *entry = node->first; entry; entry = entry->next) {
        if (entry != node->first)
            buf_adds(out, ", ");
        if (entry->key)
            buf_addf(out, "%s: ", entry->key->text);
        add_value(out, entry);
    }
    buf_addc(out, node->type == YAML_MAP ? '}' : ']');
}

/* Cut where it is long; NULL stays NULL. */
static char *value_of(node_t *node)
{
    struct buf text;

    if (!node)
        return NULL;
    buf_init(&text, 4 * 1024 * 1024);
    add_value(&text, node);
    if (text.len <= VALUE_MAX)
        return buf_detach(&text);
    size_t len = VALUE_MAX;
    while (len && ((unsigned char)text.data[len] & 0xc0) == 0x80)
        len--;
    char *cut = mem_printf("%.*s ...", (int)len, buf_cstr(&text));
    buf_release(&text);
    return cut;
}

static void add(struct diff *out, const char *path, node_t *before, node_t *after)
{
    out->items = mem_realloc(out->items, out->count + 1, sizeof(*out->items));
    out->items[out->count++] =
        (struct diff_change){!before  ? '+'
                             : !after ? '-'
                                      : '~',
                             mem_strdup(path), value_of(before), value_of(after)};
}

/* ---- entries of lists ---- */

/* What tells an entry from the others: its name, for a gate or an action with its kind; what has
 * none gets its kind and which of that kind it is. */
static void name_of(node_t *list, node_t *entry, char out[NAME_SIZE])
{
    node_t *name = yaml_get(entry, "name"), *inner = entry->type == YAML_MAP ? entry->first : NULL;
    int nth = 1;

    *out = '\0';
    if (!name && entry->count > 1) /* a freeze; a gate has that key alone */
        name = yaml_get(entry, "window");
    if (name && name->type == YAML_TEXT) {
        snprintf(out, NAME_SIZE, "%s", name->text);
        return;
    }
    if (!inner || entry->count != 1)
        return;
    name = yaml_get(inner, "name");
    if (name && name->type == YAML_TEXT) {
        snprintf(out, NAME_SIZE, "%s(%s)", inner->key->text, name->text);
        return;
    }
    for (node_t *other = list->first; other != entry; other = other->next)
        nth += other->type == YAML_MAP && other->first && !yaml_get(other->first, "name") &&
               str_eq(other->first->key->text, inner->key->text);
    snprintf(out, NAME_SIZE, nth > 1 ? "%s-%d" : "%s", inner->key->text, nth);
}

static node_t *find(node_t *list, const char *name)
{
    char other[NAME_SIZE];

    for (node_t *entry = list->first; entry; entry = entry->next) {
        name_of(list, entry, other);
        if (str_eq(other, name))
            return entry;
    }
    return NULL;
}

static bool all_named(node_t *list)
{
    char name[NAME_SIZE];

    for (node_t *entry = list->first; entry; entry = entry->next) {
        name_of(list, entry, name);
        if (!*name || find(list, name) != entry)
            return false;
    }
    return true;
}

/* The names of those that both lists have, in the order of `list`. */
static char *common_order(node_t *list, node_t *other)
{
    char name[NAME_SIZE];
    struct buf text;

    buf_init(&text, 1024 * 1024);
    for (node_t *entry = list->first; entry; entry = entry->next) {
        name_of(list, entry, name);
        if (find(other, name))
            buf_addf(&text, "%s%s", text.len ? ", " : "", name);
    }
    return buf_detach(&text);
}

static void compare_order(struct diff *out, node_t *before, node_t *after, const char *path)
{
    char *was = common_order(before, after), *is = common_order(after, before);

    if (str_eq(was, is)) {
        free(was);
        free(is);
        return;
    }
    out->items = mem_realloc(out->items, out->count + 1, sizeof(*out->items));
    out->items[out->count++] = (struct diff_change){'~', mem_printf("%s (order)", path), was, is};
}

static void compare_lists(struct diff *out, node_t *before, node_t *after, const char *path)
{
    char name[NAME_SIZE];

    for (node_t *entry = before->first; entry; entry = entry->next) {
        name_of(before, entry, name);
        char *inner = mem_printf("%s.%s", path, name);
        if (!find(after, name))
            add(out, inner, entry, NULL);
        free(inner);
    }
    for (node_t *entry = after->first; entry; entry = entry->next) {
        name_of(after, entry, name);
        node_t *was = find(before, name);
        char *inner = mem_printf("%s.%s", path, name);
        if (!was)
            add(out, inner, NULL, entry);
        else if (entry->type == YAML_MAP && entry->count == 1 && was->count == 1)
            compare(out, was->first, entry->first, inner);
        else
            compare(out, was, entry, inner);
        free(inner);
    }
    compare_order(out, before, after, path);
}

/* ---- all ---- */

static void compare_maps(struct diff *out, node_t *before, node_t *after, const char *path)
{
    for (node_t *entry = before->first; entry; entry = entry->next) {
        char *inner = mem_printf("%s%s%s", path, *path ? "." : "", entry->key->text);
        if (!yaml_get(after, entry->key->text))
            add(out, inner, entry, NULL);
        free(inner);
    }
    for (node_t *entry = after->first; entry; entry = entry->next) {
        node_t *was = yaml_get(before, entry->key->text);
        char *inner = mem_printf("%s%s%s", path, *path ? "." : "", entry->key->text);
        if (was)
            compare(out, was, entry, inner);
        else
            add(out, inner, NULL, entry);
        free(inner);
    }
}

static void compare(struct diff *out, node_t *before, node_t *after, const char *path)
{
    if (before->type == YAML_MAP && after->type == YAML_MAP) {
        compare_maps(out, before, after, path);
    } else if (before->type == YAML_LIST && after->type == YAML_LIST && all_named(before) &&
               all_named(after)) {
        compare_lists(out, before, after, path);
    } else {
        struct buf was, is;
        buf_init(&was, 4 * 1024 * 1024);
        buf_init(&is, 4 * 1024 * 1024);
        add_value(&was, before);
        add_value(&is, after);
        if (!str_eq(buf_cstr(&was), buf_cstr(&is)))
            add(out, path, before, after);
        buf_release(&was);
        buf_release(&is);
    }
}

void diff_make(struct diff *out, const char *before, size_t before_len, const char *after,
               size_t after_len)
{
    struct yaml_tree *was = NULL, *is = NULL;

    *out = (struct diff){0};
    if (yaml_tree_parse(&was, before, before_len, NULL, NULL) == 0 &&
        yaml_tree_parse(&is, after, after_len, NULL, NULL) == 0 && was->root && is->root)
        compare(out, was->root, is->root, "");
    yaml_tree_free(was);
    yaml_tree_free(is);
}

void diff_release(struct diff *diff)
{
    for (size_t i = 0; i < diff->count; i++) {
        free(diff->items[i].path);
        free(diff->items[i].before);
        free(diff->items[i].after);
    }
    free(diff->items);
    *diff = (struct diff){0};
}
