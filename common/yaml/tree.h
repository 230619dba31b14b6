/* YAML 1.1 as a tree in which each value knows where it stands, for everything that people write:
 * settings, definitions, buildspecs. Stricter than the language: one document, no anchors, aliases,
 * tags or keys that are not text; so a small file cannot grow. What others wrote for other programs
 * may be read with its tags, or with its anchors. Pure. Any thread. */
#ifndef GANTRY_YAML_TREE_H
#define GANTRY_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define YAML_DEPTH_MAX 32
#define YAML_NODES_MAX 100000

enum yaml_type { YAML_TEXT = 1, YAML_LIST, YAML_MAP };

/* Owned by the tree. */
struct yaml_node {
    enum yaml_type type;
    int line;   /* from 1 */
    int column; /* from 1, in characters */

    const char *text; /* YAML_TEXT: UTF-8, no NUL inside; otherwise NULL */
    size_t len;
    bool plain; /* written without quotes: only then can it be null, a number or a truth value */

    const char *tag; /* "Ref" of a value written !Ref ..., where tags are read; otherwise NULL */

    const struct yaml_node *key; /* in a map: this entry's key; otherwise NULL */
    bool repeated;               /* in a map: an entry before it has the same key */
    struct yaml_node *next;      /* in a list or map: the entry after it */

    struct yaml_node *first; /* YAML_LIST, YAML_MAP: for (n = list->first; n; n = n->next) */
    size_t count;
};

struct yaml_tree {
    struct yaml_node *root; /* NULL: nothing but comments */
    struct yaml_chunk *memory;
};

/* Where an error stands. */
struct yaml_place {
    int line; /* from 1 */
    int column;
};

/* 0 and *out (yaml_tree_free()), or -1 with ERR_INVALID or ERR_LIMIT, *place (may be NULL) telling
 * where; the message does not. The caller bounds `len`. */
int yaml_tree_parse(struct yaml_tree **out, const void *yaml, size_t len, struct yaml_place *place,
                    struct err *err);
/* The same, but a value may have a tag of the application's own: !Ref. Those of YAML (!!str) and of
 * keys stay refused. */
int yaml_tree_parse_tagged(struct yaml_tree **out, const void *yaml, size_t len,
                           struct yaml_place *place, struct err *err);
/* The same, but with anchors (&name), aliases (*name) and the merge key << of YAML 1.1: an entry of
 * the map itself goes before a merged one, one merged earlier before a later one, and merged ones
 * stand behind the map's own. An alias is a copy, which counts against the limits above; its values
 * stand where they are written. Tags stay refused, and an alias inside what it names. */
int yaml_tree_parse_anchored(struct yaml_tree **out, const void *yaml, size_t len,
                             struct yaml_place *place, struct err *err);
void yaml_tree_free(struct yaml_tree *tree);

/* The first entry with that key, or NULL; NULL also where `map` is not one. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* Nothing after the colon, or a plain ~ or null. */
bool yaml_is_null(const struct yaml_node *node);

/* The node as a document of its own, in block style, comments left out. -1: over the limit of
 * `out`. Tags are left out.
 */
int yaml_write(const struct yaml_node *node, struct buf *out);

#endif
