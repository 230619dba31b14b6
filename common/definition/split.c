/* A line that begins with `---` or `...` and a blank or its end is a document's border wherever it
 * stands (YAML 1.1, 4.3 and 9.1: no scalar may hold one), so lines are enough to find them. */
#include <string.h>

#include "definition/definition.h"

struct splitter {
    int (*fn)(const char *doc, size_t doc_len, int first_line, void *arg, struct err *err);
    void *arg;
    struct err *err;
    const char *begin; /* of the document that is being read */
    int first_line;
    bool content; /* it has more than comments, directives and blank lines */
    bool marked;  /* it has its `---` */
};

static bool is_border(const char *line, size_t len, const char *marker)
{
    return len >= 3 && memcmp(line, marker, 3) == 0 &&
           (len == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r');
}

static bool has_content(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '#' || (i == 0 && line[i] == '%'))
            return false;
        if (!strchr(" \t\r", line[i]))
            return true;
    }
    return false;
}

static int end_document(struct splitter *s, const char *end)
{
    if (!s->content)
        return 0;
    return s->fn(s->begin, (size_t)(end - s->begin), s->first_line, s->arg, s->err);
}

static void begin_document(struct splitter *s, const char *at, int line)
{
    s->begin = at;
    s->first_line = line;
    s->content = false;
    s->marked = false;
}

static int take_line(struct splitter *s, const char *line, size_t len, const char *next, int number)
{
    if (is_border(line, len, "...")) {
        if (end_document(s, line) < 0)
            return -1;
        begin_document(s, next, number + 1);
        return 0;
    }
    if (!is_border(line, len, "---")) {
        s->content = s->content || has_content(line, len);
        return 0;
    }
    /* Comments before a first `---` belong to what follows it. */
    if (s->content || s->marked) {
        bool bare = !has_content(line + 3, len - 3);

        if (end_document(s, line) < 0)
            return -1;
        begin_document(s, bare ? next : line, bare ? number + 1 : number);
    }
    s->marked = true;
    s->content = has_content(line + 3, len - 3);
    return 0;
}

int definition_split(const void *yaml, size_t len,
                     int (*fn)(const char *doc, size_t doc_len, int first_line, void *arg,
                               struct err *err),
                     void *arg, struct err *err)
{
    struct splitter s = {.fn = fn, .arg = arg, .err = err};
    const char *at = yaml;
    const char *end = at + len;

    begin_document(&s, at, 1);
    for (int number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline ? newline + 1 : end;

        if (take_line(&s, at, (size_t)((newline ? newline : end) - at), next, number) < 0)
            return -1;
        at = next;
    }
    return end_document(&s, end);
}
