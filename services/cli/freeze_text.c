#include "services/cli/freeze.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "definition/definition.h"
#include "yaml/tree.h"

/* The byte at which a node stands; its column counts characters. */
static size_t offset_of(const char *yaml, size_t len, const struct yaml_node *node)
{
    size_t at = 0;

    for (int line = 1; line < node->line && at < len; at++)
        line += yaml[at] == '\n';
    for (int column = 1; column < node->column && at < len; column++) {
        at++;
        while (at < len && ((unsigned char)yaml[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

/* Behind the bracket that closes the one at `at`. */
static size_t end_of_flow(const char *yaml, size_t len, size_t at)
{
    int depth = 0;
    char quote = 0;

    for (; at < len; at++) {
        char c = yaml[at];

        if (quote) {
            if (c == '\\' && quote == '"')
                at++;
            else if (c == quote)
                quote = 0;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if ((c == ']' || c == '}') && --depth == 0) {
            return at + 1;
        }
    }
    return len;
}

static size_t end_of_line(const char *yaml, size_t len, size_t at)
{
    while (at < len && yaml[at] != '\n')
        at++;
    return at;
}

/* Behind the last line of a list in lines: all that stand deeper than the key, or are entries
 * beside it. Without the last line's end. */
static size_t end_of_block(const char *yaml, size_t len, size_t key, size_t column)
{
    size_t end = end_of_line(yaml, len, key), next = end;

    while (next < len) {
        size_t line = next + 1, indent = 0;

        while (line + indent < len && yaml[line + indent] == ' ')
            indent++;
        next = end_of_line(yaml, len, line);
        if (line + indent >= next)
            continue; /* it belongs to what follows */
        if (indent < column || (indent == column && yaml[line + indent] != '-'))
            break;
        end = next;
    }
    return end;
}

static void add_quoted(struct buf *out, const char *text)
{
    buf_addc(out, '"');
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            buf_addc(out, '\\');
        buf_addc(out, (unsigned char)*c < ' ' ? ' ' : *c);
    }
    buf_addc(out, '"');
}

static void add_freeze(struct buf *out, const struct freeze *freeze)
{
    buf_adds(out, "{window: ");
    add_quoted(out, freeze->window);
    buf_adds(out, ", reason: ");
    add_quoted(out, freeze->reason);
    buf_addc(out, '}');
}

/* The key and its list: in one line, or a line each at `column`. */
static void add_list(struct buf *out, const struct freeze *freezes, size_t count, bool lines,
                     size_t column)
{
    buf_adds(out, lines && count ? "freeze:" : "freeze: [");
    for (size_t i = 0; i < count; i++) {
        if (lines)
            buf_addf(out, "\n%*s  - ", (int)column, "");
        else if (i)
            buf_adds(out, ", ");
        add_freeze(out, &freezes[i]);
    }
    if (!lines || !count)
        buf_addc(out, ']');
}

static size_t end_of_value(const char *yaml, size_t len, const struct yaml_node *value, size_t key,
                           bool lines)
{
    size_t at = offset_of(yaml, len, value);

    if (value->type == YAML_LIST && yaml[at] == '[')
        return end_of_flow(yaml, len, at);
    if (lines)
        return end_of_block(yaml, len, key, (size_t)value->key->column - 1);
    return at + value->len; /* nothing, or null */
}

/* Whether the text means exactly these freezes. */
static int check(const struct buf *text, const struct freeze *freezes, size_t count,
                 struct err *err)
{
    struct definition *def = NULL;
    bool same;

    if (definition_parse(&def, text->data, text->len, NULL, err) != 0)
        return -1;
    same = def->kind == DEF_ENVIRONMENT && def->environment->freeze_count == count;
    for (size_t i = 0; same && i < count; i++)
        same = str_eq(def->environment->freezes[i].window_text, freezes[i].window) &&
               str_eq(def->environment->freezes[i].reason, freezes[i].reason);
    definition_free(def);
    return same ? 0
                : err_set(err, ERR_INVALID,
                          "its text is written so that the list of freezes cannot be changed in "
                          "it; edit it by hand: gantry get, then gantry apply");
}

static int write_changed(struct buf *out, const char *yaml, size_t len,
                         const struct yaml_node *spec, const struct freeze *freezes, size_t count,
                         struct err *err)
{
    const struct yaml_node *value = yaml_get(spec, "freeze");
    size_t from = offset_of(yaml, len, spec);
    bool lines = from < len && yaml[from] != '{';
    const struct yaml_node *key = value ? value->key : spec->first->key;
    size_t to, column = (size_t)key->column - 1;

    from = offset_of(yaml, len, key);
    to = value ? end_of_value(yaml, len, value, from, lines) : from;
    buf_add(out, yaml, from);
    add_list(out, freezes, count, lines, column);
    if (!value && lines)
        buf_addf(out, "\n%*s", (int)column, "");
    else if (!value)
        buf_adds(out, ", ");
    buf_add(out, yaml + to, len - to);
    return check(out, freezes, count, err);
}

int freeze_write(struct buf *out, const char *yaml, size_t len, const struct freeze *freezes,
                 size_t count, struct err *err)
{
    struct yaml_tree *tree = NULL;
    int rc = yaml_tree_parse(&tree, yaml, len, NULL, err);
    const struct yaml_node *spec = rc == 0 ? yaml_get(tree->root, "spec") : NULL;

    if (rc == 0 && spec && spec->type == YAML_MAP && spec->first)
        rc = write_changed(out, yaml, len, spec, freezes, count, err);
    else if (rc == 0)
        rc = err_set(err, ERR_INVALID, "the definition has no spec");
    yaml_tree_free(tree);
    return rc;
}
