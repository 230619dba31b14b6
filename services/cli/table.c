#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/mem.h"
#include "services/cli/cli.h"

struct cell {
    char *text;
    const char *style;
};

struct table {
    size_t columns;
    struct cell *cells; /* row by row, the heads first */
    size_t count, cap;
};

static void add(struct table *table, const char *style, char *text)
{
    if (table->count == table->cap) {
        table->cap = table->cap ? table->cap * 2 : 64;
        table->cells = mem_realloc(table->cells, table->cap, sizeof *table->cells);
    }
    table->cells[table->count++] = (struct cell){text, style};
}

struct table *table_new(const char *const *columns)
{
    struct table *table = mem_alloc(sizeof *table);

    for (; columns[table->columns]; table->columns++)
        add(table, "quiet", mem_strdup(columns[table->columns]));
    return table;
}

/* What came from others is shown as text: a control character could make the terminal lie. */
static void disarm(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
}

void table_cell(struct table *table, const char *style, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;

    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    disarm(text);
    add(table, style, text);
}

/* Columns on a terminal. Bytes that are no character of this locale count as one each. */
static size_t width_of(const char *text)
{
    mbstate_t state = {0};
    size_t width = 0;

    while (*text) {
        wchar_t wide;
        size_t len = mbrtowc(&wide, text, MB_CUR_MAX, &state);
        int columns;

        if (len == (size_t)-1 || len == (size_t)-2 || len == 0) {
            memset(&state, 0, sizeof state);
            len = 1;
            columns = 1;
        } else {
            columns = wcwidth(wide);
        }
        width += columns > 0 ? (size_t)columns : 0;
        text += len;
    }
    return width;
}

const char *style_on(bool color, const char *style)
{
    static const char *const codes[][2] = {{"good", "\033[32m"}, {"bad", "\033[31m"},
                                           {"busy", "\033[34m"}, {"wait", "\033[33m"},
                                           {"quiet", "\033[2m"}, {"strong", "\033[1m"}};

    if (color && style)
        for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
            if (strcmp(codes[i][0], style) == 0)
                return codes[i][1];
    return "";
}

const char *style_off(bool color)
{
    return color ? "\033[0m" : "";
}

void table_print(struct table *table, bool color)
{
    size_t *widths = mem_alloc(sizeof *widths * (table->columns + 1));

    for (size_t i = 0; i < table->count; i++) {
        size_t width = width_of(table->cells[i].text);

        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct cell *cell = &table->cells[i];
        bool last = i % table->columns == table->columns - 1;
        size_t pad = last ? 0 : widths[i % table->columns] - width_of(cell->text) + 2;

        printf("%s%s%s%*s%s", style_on(color, cell->style), cell->text,
               cell->style ? style_off(color) : "", (int)pad, "", last ? "\n" : "");
    }
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
    free(widths);
}

const char *table_status_style(const char *status)
{
    static const char *const styles[][2] = {
        {"succeeded", "good"}, {"approved", "good"},  {"failed", "bad"},
        {"rejected", "bad"},   {"expired", "bad"},    {"in-progress", "busy"},
        {"waiting", "wait"},   {"stopped", "quiet"},  {"superseded", "quiet"},
        {"skipped", "quiet"},  {"abandoned", "quiet"}};

    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++)
        if (strcmp(styles[i][0], status) == 0)
            return styles[i][1];
    return NULL;
}

char *short_digest(const char *digest, char out[32])
{
    snprintf(out, 32, strncmp(digest, "sha256:", 7) == 0 ? "%.19s" : "%.31s", digest);
    return out;
}

char *short_commit(const char *commit, char out[16])
{
    snprintf(out, 16, "%.8s", commit);
    return out;
}

char *ago(int64_t unix_ms, char out[40])
{
    char human[32];
    int64_t since = clock_now_ms() - unix_ms;

    if (unix_ms <= 0) {
        *out = 0;
        return out;
    }
    clock_human(since < 0 ? 0 : since, human);
    snprintf(out, 40, "%s ago", human);
    return out;
}

int print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
    return EXIT_DONE;
}

const json_t *jget(const json_t *object, const char *key)
{
    return json_object_get(object, key);
}

const char *jstr(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

int64_t jnum(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool jbool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}
