#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* Takes over `s`. */
static void append(struct strv *v, char *s)
{
    /* Grows at powers of two, which the count itself tells. */
    if ((v->count & (v->count + 1)) == 0)
        v->items = mem_realloc(v->items, 2 * (v->count + 1), sizeof(*v->items));
    v->items[v->count++] = s;
    v->items[v->count] = NULL;
}

void strv_add(struct strv *v, const char *s)
{
    append(v, mem_strdup(s));
}

void strv_addf(struct strv *v, const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        abort();
    va_end(ap);
    append(v, s);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

void strv_split(struct strv *v, const char *s, char sep)
{
    while (s && *s) {
        const char *end = strchrnul(s, sep);
        const char *last = end;

        while (s < end && is_blank(*s))
            s++;
        while (last > s && is_blank(last[-1]))
            last--;
        if (last > s)
            append(v, mem_strndup(s, (size_t)(last - s)));
        s = *end ? end + 1 : end;
    }
}

bool strv_has(const struct strv *v, const char *s)
{
    for (size_t i = 0; i < v->count; i++)
        if (strcmp(v->items[i], s) == 0)
            return true;
    return false;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *v)
{
    if (v->count > 1)
        qsort(v->items, v->count, sizeof(*v->items), compare);
}

void strv_release(struct strv *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->items[i]);
    free(v->items);
    *v = (struct strv){0};
}
