#include "definition/read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define KEY_SHOWN_MAX 64

static size_t enter(struct reader *r, const char *text)
{
    size_t mark = r->path_len;
    size_t room = sizeof(r->path) - r->path_len;
    int n = snprintf(r->path + r->path_len, room, "%s", text);

    r->path_len += n > 0 && (size_t)n < room ? (size_t)n : room - 1;
    return mark;
}

size_t reader_enter_key(struct reader *r, const char *key)
{
    char text[KEY_SHOWN_MAX + 2];

    snprintf(text, sizeof(text), "%s%s", r->path_len ? "." : "", key);
    return enter(r, text);
}

size_t reader_enter_index(struct reader *r, size_t index)
{
    char text[32];

    snprintf(text, sizeof(text), "[%zu]", index);
    return enter(r, text);
}

void reader_leave(struct reader *r, size_t mark)
{
    r->path_len = mark;
    r->path[mark] = '\0';
}

bool asks_nothing(const struct yaml_node *node)
{
    if (node->type != YAML_TEXT) {
        for (const struct yaml_node *n = node->first; n; n = n->next)
            if (node->type == YAML_LIST || !asks_nothing(n))
                return false;
        return true;
    }
    return yaml_is_null(node) || (node->plain && str_eq(node->text, "false"));
}

const char *node_kind(const struct yaml_node *node)
{
    return node->type == YAML_TEXT ? "text" : node->type == YAML_LIST ? "a list" : "a mapping";
}

static void refuse_key(struct reader *r, const struct yaml_node *key, const struct keys *known)
{
    const char *keys[32] = {NULL};
    char list[256] = "";
    const char *nearest;
    size_t mark;

    if (r->problems->count == PROBLEMS_MAX)
        return;
    mark = reader_enter_key(r, key->text);
    for (size_t i = 0; known->fields[i].key && i + 1 < sizeof(keys) / sizeof(keys[0]); i++)
        keys[i] = known->fields[i].key;
    nearest = str_nearest(key->text, keys);
    for (size_t i = 0, len = 0; keys[i] && len < sizeof(list); i++)
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "", keys[i]);
    if (nearest)
        problem_near(r, key, nearest, "not a key of %s; did you mean '%s'?", known->what, nearest);
    else
        problem(r, key, "not a key of %s, which has: %s", known->what, list);
    reader_leave(r, mark);
}

static void take_field(struct reader *r, const struct yaml_node *node, const struct field *field,
                       const struct yaml_node **value)
{
    if (node->repeated)
        problem(r, node, "stands there twice");
    else if (field->flags & FIELD_LATER) {
        if (!asks_nothing(node))
            problem(r, node, "'%s' is not supported yet", field->key);
    } else if (!yaml_is_null(node))
        *value = node;
    else if (field->flags & FIELD_REQUIRED)
        problem(r, node, "needs a value: %s", field->shape->name);
}

int read_fields(struct reader *r, const struct yaml_node *map, const struct keys *keys,
                const struct yaml_node **values)
{
    const struct field *fields = keys->fields;

    for (size_t i = 0; fields[i].key; i++)
        values[i] = NULL;
    if (map->type != YAML_MAP) {
        problem_at(r->problems, map->line, map->column, r->path,
                   "expected a mapping with the keys of %s, not %s", keys->what, node_kind(map));
        return -1;
    }
    for (const struct yaml_node *n = map->first; n; n = n->next) {
        size_t i = 0;

        while (fields[i].key && !str_eq(fields[i].key, n->key->text))
            i++;
        if (fields[i].key)
            take_field(r, n, &fields[i], &values[i]);
        else
            refuse_key(r, n->key, keys);
    }
    for (size_t i = 0; fields[i].key; i++)
        if (fields[i].flags & FIELD_REQUIRED && !values[i] && !yaml_get(map, fields[i].key))
            problem_at(r->problems, map->line, map->column, r->path, "%s needs '%s' (%s)",
                       keys->what, fields[i].key, fields[i].shape->name);
    return 0;
}

/* A character's code point at *s, which is valid UTF-8. */
static uint32_t take_char(const char **s)
{
    unsigned char c = (unsigned char)*(*s)++;
    uint32_t value = c < 0x80 ? c : c < 0xE0 ? c & 0x1Fu : c < 0xF0 ? c & 0x0Fu : c & 0x07u;

    while (((unsigned char)**s & 0xC0) == 0x80)
        value = value << 6 | ((unsigned char)*(*s)++ & 0x3Fu);
    return value;
}

/* Controls, and what reverses the order in which other text is shown. */
static bool is_hidden(uint32_t c, unsigned flags)
{
    if (c == '\n' || c == '\t')
        return !(flags & TEXT_LINES);
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

static bool check_text(struct reader *r, const struct yaml_node *node, size_t max, unsigned flags)
{
    size_t count = 0;

    if (node->type != YAML_TEXT) {
        problem(r, node, "expected text, not %s", node_kind(node));
        return false;
    }
    if (!*node->text && !(flags & TEXT_EMPTY)) {
        problem(r, node, "needs a value");
        return false;
    }
    for (const char *p = node->text; *p; count++) {
        uint32_t c = take_char(&p);

        if (is_hidden(c, flags)) {
            problem(r, node, "the control character U+%04" PRIX32 " is not allowed here", c);
            return false;
        }
    }
    if (count > max) {
        problem(r, node, "longer than %zu characters", max);
        return false;
    }
    return true;
}

char *read_text(struct reader *r, const struct yaml_node *node, size_t max, unsigned flags)
{
    if (!node || !check_text(r, node, max, flags))
        return NULL;
    return mem_strdup(node->text);
}

#define CHECKED_TEXT_MAX 1000

static char *read_word(struct reader *r, const struct yaml_node *node,
                       const char *(*check)(const char *text), const char *const *words)
{
    const char *wrong, *nearest;

    if (!node || !check_text(r, node, CHECKED_TEXT_MAX, 0))
        return NULL;
    wrong = check(node->text);
    if (!wrong)
        return mem_strdup(node->text);
    nearest = words ? str_nearest(node->text, words) : NULL;
    if (nearest)
        problem_near(r, node, nearest, "'%.100s': %s; did you mean '%s'?", node->text, wrong,
                     nearest);
    else
        problem(r, node, "'%.100s': %s", node->text, wrong);
    return NULL;
}

char *read_checked(struct reader *r, const struct yaml_node *node,
                   const char *(*check)(const char *text))
{
    return read_word(r, node, check, NULL);
}

void read_texts(struct reader *r, const struct yaml_node *node, size_t max,
                const char *(*check)(const char *text), struct strv *out)
{
    read_words(r, node, max, check, NULL, out);
}

void read_words(struct reader *r, const struct yaml_node *node, size_t max,
                const char *(*check)(const char *text), const char *const *words, struct strv *out)
{
    size_t mark;
    size_t i = 0;

    if (!node)
        return;
    if (node->type == YAML_TEXT) {
        char *text = read_word(r, node, check, words);

        if (text)
            strv_add(out, text);
        free(text);
        return;
    }
    if (node->type != YAML_LIST) {
        problem(r, node, "expected a list, not %s", node_kind(node));
        return;
    }
    if (node->count > max) {
        problem(r, node, "more than %zu entries", max);
        return;
    }
    mark = reader_enter_key(r, node->key->text);
    for (const struct yaml_node *n = node->first; n; n = n->next) {
        size_t item = reader_enter_index(r, i++);
        char *text = read_word(r, n, check, words);

        if (text && strv_has(out, text))
            problem(r, n, "'%.100s' stands there twice", text);
        else if (text)
            strv_add(out, text);
        free(text);
        reader_leave(r, item);
    }
    reader_leave(r, mark);
}

#define PAIR_VALUE_MAX 8192

struct def_pair *read_pairs(struct reader *r, const struct yaml_node *node, size_t max,
                            const char *(*check_key)(const char *text), size_t *count)
{
    struct def_pair *pairs;
    size_t mark;

    *count = 0;
    if (!node)
        return NULL;
    if (node->type != YAML_MAP) {
        problem(r, node, "expected a mapping, not %s", node_kind(node));
        return NULL;
    }
    if (node->count > max) {
        problem(r, node, "more than %zu entries", max);
        return NULL;
    }
    pairs = mem_alloc((node->count + 1) * sizeof(*pairs));
    mark = reader_enter_key(r, node->key->text);
    for (const struct yaml_node *n = node->first; n; n = n->next) {
        const char *wrong = check_key(n->key->text);
        char *value;

        if (!wrong && n->repeated)
            wrong = "stands there twice";
        if (!wrong && yaml_is_null(n))
            wrong = "needs a value; \"\" is an empty one";
        if (wrong) {
            problem(r, n, "%s", wrong);
            continue;
        }
        value = read_text(r, n, PAIR_VALUE_MAX, TEXT_LINES | TEXT_EMPTY);
        if (value)
            pairs[(*count)++] = (struct def_pair){mem_strdup(n->key->text), value};
    }
    reader_leave(r, mark);
    return pairs;
}

void def_pairs_free(struct def_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(pairs);
}

/* What was found where something else was expected. */
static const char *shown(const struct yaml_node *node, char text[64])
{
    if (node->type != YAML_TEXT)
        return node_kind(node);
    snprintf(text, 64, "'%.40s'", node->text);
    return text;
}

bool read_bool(struct reader *r, const struct yaml_node *node, bool otherwise)
{
    char text[64];

    if (!node)
        return otherwise;
    if (node->type == YAML_TEXT && node->plain && str_eq(node->text, "true"))
        return true;
    if (node->type == YAML_TEXT && node->plain && str_eq(node->text, "false"))
        return false;
    problem(r, node, "expected true or false, not %s", shown(node, text));
    return otherwise;
}

uint32_t read_count(struct reader *r, const struct yaml_node *node, uint32_t max,
                    uint32_t otherwise)
{
    uint64_t value;
    char text[64];

    if (!node)
        return otherwise;
    if (node->type != YAML_TEXT || str_to_u64(node->text, &value) < 0 || value < 1 || value > max) {
        problem(r, node, "expected a number from 1 to %" PRIu32 ", not %s", max, shown(node, text));
        return otherwise;
    }
    return (uint32_t)value;
}

int64_t read_duration(struct reader *r, const struct yaml_node *node, const struct span *span,
                      int64_t otherwise)
{
    int64_t ms;
    char text[64];

    if (!node)
        return otherwise;
    if (node->type != YAML_TEXT || str_to_duration(node->text, &ms) < 0) {
        problem(r, node, "expected a duration, such as 90s, 15m, 2h or 3d, not %s",
                shown(node, text));
        return otherwise;
    }
    if (ms < span->min_ms || ms > span->max_ms) {
        problem(r, node, "expected %s, not %s", span->text, shown(node, text));
        return otherwise;
    }
    return ms;
}

const struct yaml_node *read_list(struct reader *r, const struct yaml_node *node, size_t max,
                                  const char *what)
{
    if (!node)
        return NULL;
    if (node->type != YAML_LIST)
        problem(r, node, "expected a list of %s, not %s", what, node_kind(node));
    else if (node->count == 0)
        problem(r, node, "needs one at least of %s", what);
    else if (node->count > max)
        problem(r, node, "more than %zu %s", max, what);
    else
        return node;
    return NULL;
}

void problem_word(struct reader *r, const struct yaml_node *node, const char *what,
                  const char *const *words)
{
    const char *nearest = node->type == YAML_TEXT ? str_nearest(node->text, words) : NULL;
    char known[256] = "";

    for (size_t i = 0, len = 0; words[i] && len < sizeof(known); i++)
        len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "", words[i]);
    if (nearest)
        problem_near(r, node, nearest, "'%.100s' is not %s; did you mean '%s'?", node->text, what,
                     nearest);
    else
        problem(r, node, "not %s, which is one of: %s", what, known);
}
