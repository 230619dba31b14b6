/* DESIGN: libyaml's events build the tree; its own document loader would resolve aliases, and
 * thereby let a kilobyte stand for gigabytes. Nodes and texts live in chunks that are freed at
 * once.
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
};

struct builder {
    yaml_parser_t parser;
    struct yaml_tree *tree;
    struct level levels[YAML_DEPTH_MAX];
    size_t depth;
    size_t nodes;
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

static struct yaml_node *text_new(struct builder *b, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct yaml_node *node;
    char *text;

    if (memchr(value, '\0', len)) {
        fail_at(b, event->start_mark, ERR_INVALID, "a NUL character");
        return NULL;
    }
    node = node_new(b, YAML_TEXT, event->start_mark);
    if (!node)
        return NULL;
    text = allocate(b->tree, len + 1);
    memcpy(text, value, len);
    node->text = text;
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
        if (node->type != YAML_TEXT) {
            b->place = (struct yaml_place){node->line, node->column};
            return err_set(b->err, ERR_INVALID, "a key must be plain text");
        }
        level->key = node;
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

static int open_level(struct builder *b, enum yaml_type type, const yaml_event_t *event)
{
    struct yaml_node *node = node_new(b, type, event->start_mark);

    if (!node || place_node(b, node) < 0)
        return -1;
    if (b->depth == YAML_DEPTH_MAX)
        return fail_at(b, event->start_mark, ERR_LIMIT, "nested deeper than 32 levels");
    b->levels[b->depth++] = (struct level){.node = node};
    return 0;
}

static void close_level(struct builder *b)
{
    struct level *level = &b->levels[--b->depth];

    map_free(level->keys);
}

static int refuse_extras(struct builder *b, const yaml_event_t *event, const yaml_char_t *anchor,
                         const yaml_char_t *tag)
{
    if (anchor)
        return fail_at(b, event->start_mark, ERR_INVALID, "anchors (&name) are not supported");
    if (tag)
        return fail_at(b, event->start_mark, ERR_INVALID, "tags (!name) are not supported");
    return 0;
}

static int take_text(struct builder *b, const yaml_event_t *event)
{
    struct yaml_node *node;

    if (refuse_extras(b, event, event->data.scalar.anchor, event->data.scalar.tag) < 0)
        return -1;
    node = text_new(b, event);
    return node ? place_node(b, node) : -1;
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
        return fail_at(b, event->start_mark, ERR_INVALID, "aliases (*name) are not supported");
    case YAML_SCALAR_EVENT:
        return take_text(b, event);
    case YAML_SEQUENCE_START_EVENT:
        if (refuse_extras(b, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag) < 0)
            return -1;
        return open_level(b, YAML_LIST, event);
    case YAML_MAPPING_START_EVENT:
        if (refuse_extras(b, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag) < 0)
            return -1;
        return open_level(b, YAML_MAP, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_level(b);
        return 0;
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

int yaml_tree_parse(struct yaml_tree **out, const void *yaml, size_t len, struct yaml_place *place,
                    struct err *err)
{
    struct builder b = {.input = yaml, .input_len = len, .place = {1, 1}, .err = err};
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
    ret = build(&b);
    while (b.depth > 0)
        close_level(&b);
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
