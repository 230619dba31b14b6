/* JSON written as YAML: block style, comments before what they are about. libyaml's emitter writes
 * no comments; quoting is kept to what needs no thought: a text that is not a plain word is in
 * double quotes. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "services/cli/import.h"
#include "services/cli/import_pipeline.h"

#define COMMENT   "#"
#define LIST_LINE 60 /* a list of plain words up to this length stays in its line */

void import_comment(json_t *value, const char *fmt, ...)
{
    json_t *lines = json_object_get(value, COMMENT);
    char line[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    import_clean(line);
    for (char *c = line; *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    if (!lines) {
        lines = json_array();
        json_object_set_new(value, COMMENT, lines);
    }
    json_array_append_new(lines, json_string(line));
}

static bool is_plain(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n",   NULL};
    size_t digits = strspn(text, "0123456789");

    for (size_t i = 0; words[i]; i++)
        if (strcasecmp(text, words[i]) == 0)
            return false;
    if (digits)
        return str_eq(text + digits, "Gi") ||
               (text[digits] && strchr("smhd", text[digits]) && !text[digits + 1]);
    if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", *text))
        return false;
    for (; *text; text++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./*-", *text) &&
            !(*text == ':' && text[1] == '/') && !(*text == ' ' && text[1] && text[1] != ' '))
            return false;
    return true;
}

static void write_text(struct buf *out, const char *text)
{
    if (*text && is_plain(text)) {
        buf_adds(out, text);
        return;
    }
    buf_addc(out, '"');
    for (; *text; text++) {
        if (*text == '\n')
            buf_adds(out, "\\n");
        else if (*text == '\t')
            buf_adds(out, "\\t");
        else if (*text == '"' || *text == '\\')
            buf_add(out, (char[]){'\\', *text}, 2);
        else
            buf_addc(out, *text);
    }
    buf_addc(out, '"');
}

static void write_scalar(struct buf *out, const json_t *value)
{
    if (json_is_string(value))
        write_text(out, json_string_value(value));
    else
        buf_adds(out, json_is_true(value) ? "true" : "false");
}

static void indent(struct buf *out, int level)
{
    for (int i = 0; i < level; i++)
        buf_adds(out, "  ");
}

static void write_comment(struct buf *out, const json_t *value, int level)
{
    json_t *line;
    size_t i;

    if (!json_is_object(value))
        return;
    json_array_foreach(json_object_get(value, COMMENT), i, line)
    {
        indent(out, level);
        buf_addf(out, "# %s\n", json_string_value(line));
    }
}

/* A short list of texts, in one line. */
static bool is_short(const json_t *value)
{
    size_t length = 0, i;
    json_t *item;

    if (!json_is_array(value))
        return false;
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item))
            return false;
        length += json_string_length(item) + 2;
    }
    return length <= LIST_LINE;
}

static void write_value(struct buf *out, const json_t *value, int level, bool after_dash);

/* After "key:" or "-". */
static void write_member(struct buf *out, const json_t *value, int level)
{
    json_t *item;
    size_t i;

    if (is_short(value)) {
        buf_adds(out, " [");
        json_array_foreach(value, i, item)
        {
            buf_adds(out, i ? ", " : "");
            write_scalar(out, item);
        }
        buf_adds(out, "]\n");
    } else if (json_is_object(value) || json_is_array(value)) {
        buf_addc(out, '\n');
        write_value(out, value, level, false);
    } else {
        buf_addc(out, ' ');
        write_scalar(out, value);
        buf_addc(out, '\n');
    }
}

/* Depth is that of a definition's keys. */
static void write_value(struct buf *out, const json_t *value, int level, bool after_dash)
{
    bool first = after_dash;
    json_t *member;
    const char *key;
    size_t i;

    json_array_foreach(value, i, member)
    {
        write_comment(out, member, level);
        indent(out, level);
        buf_addc(out, '-');
        if (json_is_object(member)) {
            buf_addc(out, ' ');
            write_value(out, member, level + 1, true);
        } else {
            write_member(out, member, level + 1);
        }
    }
    json_object_foreach((json_t *)value, key, member)
    {
        if (str_eq(key, COMMENT))
            continue;
        if (!first) {
            write_comment(out, member, level);
            indent(out, level);
        }
        write_text(out, key);
        buf_addc(out, ':');
        write_member(out, member, level + 1);
        first = false;
    }
}

int import_write(const json_t *documents, struct buf *out)
{
    json_t *document;
    size_t i;

    json_array_foreach(documents, i, document)
    {
        if (i)
            buf_adds(out, "---\n");
        write_comment(out, document, 0);
        write_value(out, document, 0, false);
    }
    return out->overflow ? -1 : 0;
}
