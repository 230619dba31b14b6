/* DESIGN: libyaml's events build the tree; its own document loader would resolve aliases without a
 * limit, and thereby let a kilobyte stand for gigabytes. Here an alias, where one is taken, is a
 * copy of nodes that counts like any other. Nodes and texts live in chunks that are freed at once.
 */
#include "yaml/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define CHUNK_SIZE          (32 * 1024)
#define KEYS_SOUGHT_PLAINLY 16

struct yaml_chunk {
    struct yaml_chunk *next;
    size_t used;
    size_t size;
    _Alignas(max_align_t) char data[];
};

/* A list or map that is still open. */
struct level {
    struct yaml_node *node;
    struct yaml_node *last;
    struct yaml_node *key; /* read, its value not yet */
    struct map *keys;      /* of a map with many */
    const char *anchor;    /* NULL: none */
    bool merges;           /* a map with a key << */
};

struct builder {
    yaml_parser_t parser;
    struct yaml_tree *tree;
    struct level levels[YAML_DEPTH_MAX];
    size_t depth;
    size_t nodes;
    bool tags;           /* are read */
    struct map *anchors; /* name -> node, complete; NULL: they are refused */
    const char *input;
    size_t input_len;
    struct yaml_place place;
    struct err *err;
};

static void *allocate(struct yaml_tree *tree, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    struct yaml_chunk *chunk = tree->memory;
    void *at;

    size = (size + align - 1) / align * align;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

        chunk = mem_alloc(sizeof(*chunk) + room);
        chunk->size = room;
        chunk->next = tree->memory;
        tree->memory = chunk;
    }
    at = chunk->data + chunk->used;
    chunk->used += size;
    return at;
}

void yaml_tree_free(struct yaml_tree *tree)
{
    struct yaml_chunk *chunk = tree ? tree->memory : NULL;

    while (chunk) {
        struct yaml_chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
    free(tree);
}

static int fail_at(struct builder *b, yaml_mark_t mark, enum err_code code, const char *reason)
{
    b->place.line = (int)mark.line + 1;
    b->place.column = (int)mark.column + 1;
    return err_set(b->err, code, "%s", reason);
}

/* libyaml's own words; what its reader refuses has an offset in place of a mark. */
static int fail_syntax(struct builder *b)
{
    const yaml_parser_t *parser = &b->parser;
    const char *problem = parser->problem ? parser->problem : "cannot be read";

    if (parser->error == YAML_READER_ERROR) {
        b->place.line = 1;
        b->place.column = 1;
        for (size_t i = 0; i < parser->problem_offset && i < b->input_len; i++) {
            bool newline = b->input[i] == '\n';

            b->place.line += newline;
            b->place.column = newline ? 1 : b->place.column + 1;
        }
        return err_set(b->err, ERR_INVALID, "not text in UTF-8, or a control character: %s",
                       problem);
    }
    fail_at(b, parser->problem_mark, ERR_INVALID, "");
    if (parser->context && parser->context_mark.line != parser->problem_mark.line)
        return err_set(b->err, ERR_INVALID, "not YAML: %s %s that begins in line %zu", problem,
                       parser->context, parser->context_mark.line + 1);
    return err_set(b->err, ERR_INVALID, "not YAML: %s%s%s", problem, parser->context ? " " : "",
                   parser->context ? parser->context : "");
}

static struct yaml_node *node_new(struct builder *b, enum yaml_type type, yaml_mark_t mark)
{
    struct yaml_node *node;

    if (b->nodes == YAML_NODES_MAX) {
        fail_at(b, mark, ERR_LIMIT, "more values than are allowed in one document");
        return NULL;
    }
    b->nodes++;
    node = allocate(b->tree, sizeof(*node));
    node->type = type;
    node->line = (int)mark.line + 1;
    node->column = (int)mark.column + 1;
    return node;
}

static char *copy_text(struct yaml_tree *tree, const char *text, size_t len)
{
    char *copy = allocate(tree, len + 1);

    memcpy(copy, text, len);
    return copy;
}

static struct yaml_node *text_new(struct builder *b, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct yaml_node *node;

    if (memchr(value, '\0', len)) {
        fail_at(b, event->start_mark, ERR_INVALID, "a NUL character");
        return NULL;
    }
    node = node_new(b, YAML_TEXT, event->start_mark);
    if (!node)
        return NULL;
    node->text = copy_text(b->tree, value, len);
    node->len = len;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return node;
}

static bool key_is_repeated(struct level *level, const char *key)
{
    if (level->node->count < KEYS_SOUGHT_PLAINLY)
        return yaml_get(level->node, key) != NULL;
    if (!level->keys) {
        level->keys = map_new(NULL);
        for (struct yaml_node *n = level->node->first; n; n = n->next)
            map_set(level->keys, n->key->text, n);
    }
    return map_get(level->keys, key) != NULL;
}

static bool is_merge(const struct builder *b, const struct yaml_node *key)
{
    return b->anchors && key->plain && strcmp(key->text, "<<") == 0;
}

/* Puts a value where the innermost open list or map wants it. */
static int place_node(struct builder *b, struct yaml_node *node)
{
    struct level *level;

    if (b->depth == 0) {
        b->tree->root = node;
        return 0;
    }
    level = &b->levels[b->depth - 1];
    if (level->node->type == YAML_MAP && !level->key) {
        if (node->type != YAML_TEXT || node->tag) {
            b->place = (struct yaml_place){node->line, node->column};
            return err_set(b->err, ERR_INVALID, "a key must be plain text");
        }
        level->key = node;
        level->merges = level->merges || is_merge(b, node);
        return 0;
    }
    if (level->key) {
        node->key = level->key;
        node->repeated = key_is_repeated(level, node->key->text);
        if (level->keys && !node->repeated)
            map_set(level->keys, node->key->text, node);
        level->key = NULL;
    }
    if (level->last)
        level->last->next = node;
    else
        level->node->first = node;
    level->last = node;
    level->node->count++;
    return 0;
}

/* "Ref" of !Ref; NULL where there is none. */
static const char *tag_of(struct builder *b, const yaml_char_t *tag)
{
    size_t len = tag ? strlen((const char *)tag) : 0;
    char *name;

    if (len == 0)
        return NULL;
    name = allocate(b->tree, len);
    memcpy(name, tag + 1, len - 1);
    return name;
}

static const char *anchor_of(struct builder *b, const yaml_char_t *anchor)
{
    const char *name = (const char *)anchor;

    return name ? copy_text(b->tree, name, strlen(name)) : NULL;
}

static int open_level(struct builder *b, enum yaml_type type, const yaml_event_t *event,
                      const yaml_char_t *anchor, const yaml_char_t *tag)
{
    struct yaml_node *node = node_new(b, type, event->start_mark);

    if (!node)
        return -1;
    node->tag = tag_of(b, tag);
    if (place_node(b, node) < 0)
        return -1;
    if (b->depth == YAML_DEPTH_MAX)
        return fail_at(b, event->start_mark, ERR_LIMIT, "nested deeper than 32 levels");
    b->levels[b->depth++] = (struct level){.node = node, .anchor = anchor_of(b, anchor)};
    return 0;
}

static void leave_level(struct builder *b)
{
    struct level *level = &b->levels[--b->depth];

    map_free(level->keys);
}

/* A node of its own with the same content; `depth` levels are around it. NULL: too large. */
static struct yaml_node *copy_node(struct builder *b, const struct yaml_node *from, size_t depth,
                                   yaml_mark_t mark)
{
    struct yaml_node *copy = node_new(b, from->type, mark);
    struct yaml_node **end;

    if (!copy)
        return NULL;
    if (from->type != YAML_TEXT && depth == YAML_DEPTH_MAX) {
        fail_at(b, mark, ERR_LIMIT, "nested deeper than 32 levels");
        return NULL;
    }
    *copy = *from;
    copy->next = copy->first = NULL;
    end = &copy->first;
    for (const struct yaml_node *n = from->first; n; n = n->next) {
        *end = copy_node(b, n, depth + 1, mark);
        if (!*end)
            return NULL;
        end = &(*end)->next;
    }
    return copy;
}

static int fail_merge(struct builder *b, const struct yaml_node *value)
{
    b->place = (struct yaml_place){value->line, value->column};
    return err_set(b->err, ERR_INVALID, "<< takes a mapping, or a list of mappings");
}

/* Adds the entries of a mapping whose keys are not there yet. */
static int merge_map(struct builder *b, struct level *level, const struct yaml_node *from)
{
    const yaml_mark_t mark = {.line = (size_t)from->line - 1, .column = (size_t)from->column - 1};

    if (from->type != YAML_MAP)
        return fail_merge(b, from);
    for (const struct yaml_node *n = from->first; n; n = n->next) {
        struct yaml_node *copy;

        if (key_is_repeated(level, n->key->text))
            continue;
        copy = copy_node(b, n, b->depth, mark);
        if (!copy)
            return -1;
        if (level->keys)
            map_set(level->keys, n->key->text, copy);
        if (level->last)
            level->last->next = copy;
        else
            level->node->first = copy;
        level->last = copy;
        level->node->count++;
    }
    return 0;
}

/* Takes the entries << out of the innermost map. */
static struct yaml_node *take_merges(struct builder *b, struct level *level)
{
    struct yaml_node *merges = NULL, **merges_end = &merges;
    struct yaml_node **at = &level->node->first;

    level->last = NULL;
    while (*at) {
        struct yaml_node *n = *at;

        if (is_merge(b, n->key)) {
            *at = n->next;
            n->next = NULL;
            *merges_end = n;
            merges_end = &n->next;
            level->node->count--;
        } else {
            level->last = n;
            at = &n->next;
        }
    }
    return merges;
}

static int merge(struct builder *b, struct level *level)
{
    for (const struct yaml_node *n = take_merges(b, level); n; n = n->next) {
        const struct yaml_node *each = n->type == YAML_LIST ? n->first : n;

        for (; each; each = n->type == YAML_LIST ? each->next : NULL)
            if (merge_map(b, level, each) < 0)
                return -1;
    }
    return 0;
}

static int close_level(struct builder *b)
{
    struct level *level = &b->levels[b->depth - 1];

    if (level->merges && merge(b, level) < 0)
        return -1;
    if (level->anchor && b->anchors)
        map_set(b->anchors, level->anchor, level->node);
    leave_level(b);
    return 0;
}

static int take_alias(struct builder *b, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct yaml_node *from;
    struct yaml_node *copy;

    if (!b->anchors)
        return fail_at(b, event->start_mark, ERR_INVALID, "aliases (*name) are not supported");
    from = map_get(b->anchors, name);
    if (!from) {
        fail_at(b, event->start_mark, ERR_INVALID, "");
        return err_set(b->err, ERR_INVALID, "*%.60s: there is no &%.60s before it", name, name);
    }
    copy = copy_node(b, from, b->depth, event->start_mark);
    if (!copy)
        return -1;
    copy->key = NULL;
    copy->repeated = false;
    return place_node(b, copy);
}

static int refuse_extras(struct builder *b, const yaml_event_t *event, const yaml_char_t *anchor,
                         const yaml_char_t *tag)
{
    if (anchor && !b->anchors)
        return fail_at(b, event->start_mark, ERR_INVALID, "anchors (&name) are not supported");
    if (tag && !b->tags)
        return fail_at(b, event->start_mark, ERR_INVALID, "tags (!name) are not supported");
    if (tag && (tag[0] != '!' || !tag[1]))
        return fail_at(b, event->start_mark, ERR_INVALID,
                       "a tag other than !Name, such as !!str, is not supported");
    return 0;
}

static int take_text(struct builder *b, const yaml_event_t *event)
{
    struct yaml_node *node;

    if (refuse_extras(b, event, event->data.scalar.anchor, event->data.scalar.tag) < 0)
        return -1;
    node = text_new(b, event);
    if (!node)
        return -1;
    node->tag = tag_of(b, event->data.scalar.tag);
    if (event->data.scalar.anchor)
        map_set(b->anchors, (const char *)event->data.scalar.anchor, node);
    return place_node(b, node);
}

static int take_event(struct builder *b, const yaml_event_t *event, bool *seen_document)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (*seen_document)
            return fail_at(b, event->start_mark, ERR_INVALID,
                           "a second document begins, where one is expected");
        *seen_document = true;
        return 0;
    case YAML_ALIAS_EVENT:
        return take_alias(b, event);
    case YAML_SCALAR_EVENT:
        return take_text(b, event);
    case YAML_SEQUENCE_START_EVENT:
        if (refuse_extras(b, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag) < 0)
            return -1;
        return open_level(b, YAML_LIST, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        if (refuse_extras(b, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag) < 0)
            return -1;
        return open_level(b, YAML_MAP, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_level(b);
    default:
        return 0;
    }
}

static int build(struct builder *b)
{
    bool seen_document = false;
    bool ended = false;

    while (!ended) {
        yaml_event_t event;
        int ret;

        if (!yaml_parser_parse(&b->parser, &event))
            return fail_syntax(b);
        ended = event.type == YAML_STREAM_END_EVENT;
        ret = take_event(b, &event, &seen_document);
        yaml_event_delete(&event);
        if (ret < 0)
            return -1;
    }
    return 0;
}

enum extras { NO_EXTRAS, TAGS, ANCHORS };

static int parse(struct yaml_tree **out, const void *yaml, size_t len, enum extras extras,
                 struct yaml_place *place, struct err *err)
{
    struct builder b = {
        .input = yaml, .input_len = len, .tags = extras == TAGS, .place = {1, 1}, .err = err};
    int ret;

    *out = NULL;
    /* libyaml takes a byte order mark only where it may guess the encoding. */
    if (len >= 3 && memcmp(b.input, "\xef\xbb\xbf", 3) == 0) {
        b.input += 3;
        b.input_len -= 3;
    }
    b.tree = mem_alloc(sizeof(*b.tree));
    if (!yaml_parser_initialize(&b.parser)) {
        free(b.tree);
        return err_set(err, ERR_INTERNAL, "out of memory for a YAML parser");
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)b.input, b.input_len);
    if (extras == ANCHORS)
        b.anchors = map_new(NULL);
    ret = build(&b);
    while (b.depth > 0)
        leave_level(&b);
    map_free(b.anchors);
    yaml_parser_delete(&b.parser);
    if (ret < 0) {
        yaml_tree_free(b.tree);
        if (place)
            *place = b.place;
        return -1;
    }
    *out = b.tree;
    return 0;
}

int yaml_tree_parse(struct yaml_tree **out, const void *yaml, size_t len, struct yaml_place *place,
                    struct err *err)
{
    return parse(out, yaml, len, NO_EXTRAS, place, err);
}

int yaml_tree_parse_tagged(struct yaml_tree **out, const void *yaml, size_t len,
                           struct yaml_place *place, struct err *err)
{
    return parse(out, yaml, len, TAGS, place, err);
}

int yaml_tree_parse_anchored(struct yaml_tree **out, const void *yaml, size_t len,
                             struct yaml_place *place, struct err *err)
{
    return parse(out, yaml, len, ANCHORS, place, err);
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->type != YAML_MAP)
        return NULL;
    for (const struct yaml_node *n = map->first; n; n = n->next)
        if (strcmp(n->key->text, key) == 0)
            return n;
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    if (node->type != YAML_TEXT || !node->plain)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(node->text, words[i]) == 0)
            return true;
    return false;
}
