#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "definition/read.h"

/* The length of the character at `text`; 0: none, since it is cut off or none at all. */
static size_t character(const char *text)
{
    unsigned char c = (unsigned char)*text;
    size_t len = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;

    return str_is_utf8(text, strnlen(text, len)) && strnlen(text, len) == len ? len : 0;
}

/* Copies what somebody wrote into a message, whole characters only and no control characters. */
static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = 0;

    while (*text) {
        size_t n = character(text);
        bool control = (unsigned char)*text < 0x20 || *text == 0x7F ||
                       (n == 2 && (unsigned char)text[0] == 0xC2 && (unsigned char)text[1] < 0xA0);

        if (len + (n ? n : 1) >= size)
            break;
        if (control || n == 0)
            out[len++] = control ? ' ' : '?';
        else
            memcpy(out + len, text, n);
        len += control || n == 0 ? 0 : n;
        text += n ? n : 1;
    }
    out[len] = '\0';
}

/* NULL: there are too many already. Valid until the next. */
static struct def_problem *add(struct def_problems *problems, int line, int column,
                               const char *path, const char *fmt, va_list ap)
{
    struct def_problem *item;
    char reason[2 * sizeof(item->reason)];

    if (problems->count == PROBLEMS_MAX)
        return NULL;
    problems->items = mem_realloc(problems->items, problems->count + 1, sizeof(*problems->items));
    item = &problems->items[problems->count++];
    item->line = line;
    item->column = column;
    copy_text(item->path, sizeof(item->path), path);
    vsnprintf(reason, sizeof(reason), fmt, ap);
    copy_text(item->reason, sizeof(item->reason), reason);
    item->nearest[0] = '\0';
    return item;
}

static struct def_problem *add_node(struct reader *r, const struct yaml_node *node, const char *fmt,
                                    va_list ap)
{
    size_t mark = r->path_len;
    struct def_problem *item;

    if (node->key)
        mark = reader_enter_key(r, node->key->text);
    item = add(r->problems, node->line, node->column, r->path, fmt, ap);
    reader_leave(r, mark);
    return item;
}

void problem_at(struct def_problems *problems, int line, int column, const char *path,
                const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(problems, line, column, path, fmt, ap);
    va_end(ap);
}

void problem(struct reader *r, const struct yaml_node *node, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_node(r, node, fmt, ap);
    va_end(ap);
}

void problem_near(struct reader *r, const struct yaml_node *node, const char *nearest,
                  const char *fmt, ...)
{
    struct def_problem *item;
    va_list ap;

    va_start(ap, fmt);
    item = add_node(r, node, fmt, ap);
    va_end(ap);
    if (item && nearest)
        copy_text(item->nearest, sizeof(item->nearest), nearest);
}

void def_problems_release(struct def_problems *problems)
{
    free(problems->items);
    *problems = (struct def_problems){0};
}

void def_problems_print(const struct def_problems *problems, const char *file, struct buf *out)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct def_problem *p = &problems->items[i];

        buf_addf(out, "%s:%d:%d: %s%s%s\n", file, p->line, p->column, p->path, *p->path ? ": " : "",
                 p->reason);
    }
}
