#include "definition/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "definition/keys.h"

/* JSON in the making: what is open, and whether something stands in it already. */
struct json {
    struct buf *out;
    int depth;
    bool first;
};

static void next(struct json *j)
{
    if (!j->first)
        buf_addc(j->out, ',');
    if (j->depth > 0) {
        buf_addc(j->out, '\n');
        for (int i = 0; i < j->depth; i++)
            buf_adds(j->out, "  ");
    }
    j->first = false;
}

static void add_text(struct json *j, const char *text)
{
    buf_addc(j->out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_addc(j->out, '\\');
        buf_addc(j->out, *text);
    }
    buf_addc(j->out, '"');
}

static void key(struct json *j, const char *name)
{
    next(j);
    add_text(j, name);
    buf_adds(j->out, ": ");
}

static void open_with(struct json *j, char bracket)
{
    buf_addc(j->out, bracket);
    j->depth++;
    j->first = true;
}

static void close_with(struct json *j, char bracket)
{
    j->depth--;
    if (!j->first) {
        j->first = true;
        next(j);
    }
    buf_addc(j->out, bracket);
    j->first = false;
}

static void text_of(struct json *j, const char *name, const char *text)
{
    key(j, name);
    add_text(j, text);
}

/* A value that is JSON already. */
static void raw_of(struct json *j, const char *name, const char *json)
{
    key(j, name);
    buf_adds(j->out, json);
}

static void words_of(struct json *j, const char *name, const char *const *words)
{
    key(j, name);
    buf_addc(j->out, '[');
    for (size_t i = 0; words[i]; i++) {
        buf_adds(j->out, i ? ", " : "");
        add_text(j, words[i]);
    }
    buf_addc(j->out, ']');
}

static void reference(struct json *j, const struct keys *keys)
{
    char path[64];

    snprintf(path, sizeof(path), "#/$defs/%s", keys->id);
    text_of(j, "$ref", path);
}

static void add_shape(struct json *j, const struct shape *shape);

static void object_of(struct json *j, const char *name, const struct shape *shape)
{
    key(j, name);
    open_with(j, '{');
    add_shape(j, shape);
    close_with(j, '}');
}

static void list_of(struct json *j, const struct shape *shape, bool may_be_empty)
{
    text_of(j, "type", "array");
    if (!may_be_empty)
        raw_of(j, "minItems", "1");
    key(j, "maxItems");
    buf_addf(j->out, "%zu", shape->max);
    object_of(j, "items", shape->item);
}

/* One of two, each an object of an `anyOf`. */
static void either_of(struct json *j, void (*first)(struct json *, const struct shape *),
                      void (*second)(struct json *, const struct shape *), const struct shape *a,
                      const struct shape *b)
{
    key(j, "anyOf");
    open_with(j, '[');
    next(j);
    open_with(j, '{');
    first(j, a);
    close_with(j, '}');
    next(j);
    open_with(j, '{');
    second(j, b);
    close_with(j, '}');
    close_with(j, ']');
}

static void some_of(struct json *j, const struct shape *shape)
{
    list_of(j, shape, true);
}

static void pairs_of(struct json *j, const struct shape *shape)
{
    text_of(j, "type", "object");
    key(j, "maxProperties");
    buf_addf(j->out, "%zu", shape->max);
    key(j, "propertyNames");
    open_with(j, '{');
    text_of(j, "pattern", shape->pattern);
    close_with(j, '}');
    raw_of(j, "additionalProperties", "{\"type\": [\"string\", \"number\", \"boolean\"]}");
}

static void add_shape(struct json *j, const struct shape *shape)
{
    switch (shape->type) {
    case SHAPE_TEXT:
        text_of(j, "type", "string");
        raw_of(j, "minLength", "1");
        break;
    case SHAPE_SCALAR:
        raw_of(j, "type", "[\"string\", \"number\"]");
        break;
    case SHAPE_WORD:
        words_of(j, "enum", shape->words);
        return;
    case SHAPE_BOOL:
        text_of(j, "type", "boolean");
        return;
    case SHAPE_TRUE:
        raw_of(j, "const", "true");
        return;
    case SHAPE_COUNT:
        text_of(j, "type", "integer");
        raw_of(j, "minimum", "1");
        key(j, "maximum");
        buf_addf(j->out, "%zu", shape->max);
        return;
    case SHAPE_TEXTS:
        either_of(j, add_shape, some_of, shape->item, shape);
        return;
    case SHAPE_LIST:
        list_of(j, shape, shape->may_be_empty);
        return;
    case SHAPE_MAP:
    case SHAPE_ONE:
        reference(j, shape->keys);
        return;
    case SHAPE_PAIRS:
        pairs_of(j, shape);
        return;
    case SHAPE_ANY:
        text_of(j, "type", "object");
        return;
    case SHAPE_EITHER:
        either_of(j, add_shape, add_shape, shape->item, shape->other);
        return;
    }
    if (shape->pattern)
        text_of(j, "pattern", shape->pattern);
    if (shape->max) {
        key(j, "maxLength");
        buf_addf(j->out, "%zu", shape->max);
    }
}

static void add_field(struct json *j, const struct field *field)
{
    open_with(j, '{');
    if (field->flags & FIELD_LATER) {
        text_of(j, "description", "Not in this version.");
        raw_of(j, "enum", "[false, null]");
    } else {
        text_of(j, "description", field->about);
        add_shape(j, field->shape);
        if (field->example) {
            key(j, "examples");
            buf_addf(j->out, "[%s]", field->example);
        }
    }
    close_with(j, '}');
}

static bool is_family(const struct field *field)
{
    return strchr(field->key, '<') != NULL;
}

/* custom/<name>: all keys that begin so. */
static void add_family(struct json *j, const struct field *field)
{
    char pattern[128];

    snprintf(pattern, sizeof(pattern), "^%.*s[a-z0-9][a-z0-9-]{0,62}$",
             (int)strcspn(field->key, "<"), field->key);
    key(j, "patternProperties");
    open_with(j, '{');
    key(j, pattern);
    add_field(j, field);
    close_with(j, '}');
}

static void add_required(struct json *j, const struct field *fields)
{
    const char *required[32] = {NULL};
    size_t count = 0;

    for (size_t i = 0; fields[i].key; i++)
        if (fields[i].flags & FIELD_REQUIRED)
            required[count++] = fields[i].key;
    if (count)
        words_of(j, "required", required);
}

static void add_one_of(struct json *j, const struct field *fields)
{
    bool any = false;

    for (size_t i = 0; fields[i].key; i++) {
        if (!(fields[i].flags & FIELD_ONE_OF))
            continue;
        if (!any) {
            key(j, "oneOf");
            open_with(j, '[');
        }
        any = true;
        next(j);
        buf_addf(j->out, "{\"required\": [\"%s\"]}", fields[i].key);
    }
    if (any)
        close_with(j, ']');
}

/* The mapping itself, `one`: with exactly one key. */
static void add_keys(struct json *j, const struct keys *keys, bool one)
{
    text_of(j, "type", "object");
    raw_of(j, "additionalProperties", "false");
    if (one) {
        raw_of(j, "minProperties", "1");
        raw_of(j, "maxProperties", "1");
    }
    add_required(j, keys->fields);
    add_one_of(j, keys->fields);
    key(j, "properties");
    open_with(j, '{');
    for (const struct field *f = keys->fields; f->key; f++)
        if (!is_family(f)) {
            key(j, f->key);
            add_field(j, f);
        }
    close_with(j, '}');
    for (const struct field *f = keys->fields; f->key; f++)
        if (is_family(f))
            add_family(j, f);
}

/* A mapping's definition, and those of what stands in it, each once. */
struct definitions {
    struct json *j;
    const struct keys *done[64];
    size_t count;
};

static void define(struct definitions *defs, const struct keys *keys, bool one);

static void define_shape(struct definitions *defs, const struct shape *shape)
{
    if (!shape)
        return;
    if (shape->keys)
        define(defs, shape->keys, shape->type == SHAPE_ONE);
    define_shape(defs, shape->item);
    define_shape(defs, shape->other);
}

static void define(struct definitions *defs, const struct keys *keys, bool one)
{
    for (size_t i = 0; i < defs->count; i++)
        if (defs->done[i] == keys)
            return;
    defs->done[defs->count++] = keys;
    key(defs->j, keys->id);
    open_with(defs->j, '{');
    add_keys(defs->j, keys, one);
    close_with(defs->j, '}');
    for (const struct field *f = keys->fields; f->key; f++)
        define_shape(defs, f->shape);
}

static void add_kind(struct json *j, const char *kind, const struct keys *spec)
{
    next(j);
    open_with(j, '{');
    key(j, "if");
    open_with(j, '{');
    raw_of(j, "required", "[\"kind\"]");
    key(j, "properties");
    buf_addf(j->out, "{\"kind\": {\"const\": \"%s\"}}", kind);
    close_with(j, '}');
    key(j, "then");
    open_with(j, '{');
    key(j, "properties");
    buf_addf(j->out, "{\"spec\": {\"$ref\": \"#/$defs/%s\"}}", spec->id);
    close_with(j, '}');
    close_with(j, '}');
}

void definition_schema(struct buf *out)
{
    static const struct {
        const char *kind;
        const struct keys *spec;
    } kinds[] = {{"Pipeline", &pipeline_keys},
                 {"Environment", &environment_keys},
                 {"Notification", &notification_keys}};
    struct json j = {out, 0, true};
    struct definitions defs = {.j = &j};
    size_t count = sizeof(kinds) / sizeof(kinds[0]);

    open_with(&j, '{');
    text_of(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
    text_of(&j, "$id", "urn:gantry:schema:v1");
    text_of(&j, "title", "Gantry definition");
    add_keys(&j, &root_keys, false);
    key(&j, "allOf");
    open_with(&j, '[');
    for (size_t i = 0; i < count; i++)
        add_kind(&j, kinds[i].kind, kinds[i].spec);
    close_with(&j, ']');
    key(&j, "$defs");
    open_with(&j, '{');
    define(&defs, &metadata_keys, false);
    for (size_t i = 0; i < count; i++)
        define(&defs, kinds[i].spec, false);
    close_with(&j, '}');
    close_with(&j, '}');
    buf_addc(out, '\n');
}
