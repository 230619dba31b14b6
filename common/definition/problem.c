#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "definition/read.h"

/* Copies what somebody wrote into a message: without control characters, and cut between
 * characters. */
static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = 0;

    for (; text[len] && len + 1 < size; len++)
        out[len] = (unsigned char)text[len] < 0x20 || text[len] == 0x7F ? ' ' : text[len];
    if (text[len])
        while (len > 0 && !str_is_utf8(out, len))
            len--;
    out[len] = '\0';
}

static void add(struct def_problems *problems, int line, int column, const char *path,
                const char *fmt, va_list ap)
{
    struct def_problem *item;
    char reason[2 * sizeof(item->reason)];

    if (problems->count == PROBLEMS_MAX)
        return;
    problems->items = mem_realloc(problems->items, problems->count + 1, sizeof(*problems->items));
    item = &problems->items[problems->count++];
    item->line = line;
    item->column = column;
    copy_text(item->path, sizeof(item->path), path);
    vsnprintf(reason, sizeof(reason), fmt, ap);
    copy_text(item->reason, sizeof(item->reason), reason);
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
    size_t mark = r->path_len;
    va_list ap;

    if (node->key)
        mark = reader_enter_key(r, node->key->text);
    va_start(ap, fmt);
    add(r->problems, node->line, node->column, r->path, fmt, ap);
    va_end(ap);
    reader_leave(r, mark);
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
