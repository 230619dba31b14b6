#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "services/cli/import.h"
#include "services/cli/import_pipeline.h"

#define LINES_MAX        5000 /* of a report */
#define PLACES_MAX       20   /* of a placeholder that are told */
#define PLACEHOLDERS_MAX 2000

const char *import_kind_name(enum import_kind kind)
{
    static const char *const names[] = {[IMPORT_KEPT] = "kept",
                                        [IMPORT_CHANGED] = "changed",
                                        [IMPORT_NEEDS] = "needs you",
                                        [IMPORT_PLACEHOLDER] = "placeholder"};

    return names[kind];
}

/* Texts of the input may hold anything; the report is lines on a terminal. */
static char *one_line(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return text;
}

static void add(struct import *imp, enum import_kind kind, const char *where, char *text)
{
    char *place = one_line(mem_strdup(where));

    one_line(text);
    for (size_t i = 0; i < imp->report_count; i++) {
        const struct import_line *line = &imp->report[i];

        if (line->kind == kind && str_eq(line->where, place) && str_eq(line->text, text))
            goto known;
    }
    if (imp->report_count == LINES_MAX)
        goto known;
    imp->report = mem_realloc(imp->report, imp->report_count + 1, sizeof(*imp->report));
    imp->report[imp->report_count++] = (struct import_line){kind, place, text};
    return;
known:
    free(place);
    free(text);
}

void import_note(struct import *imp, enum import_kind kind, const char *where, const char *fmt, ...)
{
    struct buf text;
    va_list args;
    char line[4096];

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    import_clean(line);
    buf_init(&text, sizeof(line));
    buf_adds(&text, line);
    add(imp, kind, where, buf_detach(&text));
}

static bool is_taken(const struct import *imp, const char *text)
{
    for (size_t i = 0; i < imp->placeholder_count; i++)
        if (str_eq(imp->placeholders[i].text, text))
            return true;
    return false;
}

const char *import_placeholder(struct import *imp, const char *origin, const char *base,
                               const char *hint)
{
    struct import_placeholder *placeholder;
    char slug[48], text[64];

    for (size_t i = 0; i < imp->placeholder_count; i++)
        if (str_eq(imp->placeholders[i].origin, origin))
            return imp->placeholders[i].text;
    if (imp->placeholder_count == PLACEHOLDERS_MAX) {
        imp->too_large = true;
        return "placeholder";
    }
    import_slug(slug, sizeof(slug), base);
    snprintf(text, sizeof(text), "placeholder-%s", slug);
    for (unsigned n = 2; is_taken(imp, text); n++)
        snprintf(text, sizeof(text), "placeholder-%s-%u", slug, n);
    imp->placeholders =
        mem_realloc(imp->placeholders, imp->placeholder_count + 1, sizeof(*imp->placeholders));
    placeholder = &imp->placeholders[imp->placeholder_count++];
    placeholder->text = mem_strdup(text);
    placeholder->origin = mem_strdup(origin);
    placeholder->hint = mem_strdup(hint);
    return placeholder->text;
}

const char *import_origin(const struct import *imp, const char *text)
{
    for (size_t i = 0; i < imp->placeholder_count; i++)
        if (str_eq(imp->placeholders[i].text, text))
            return imp->placeholders[i].origin;
    return NULL;
}

/* What stands at `found` is placeholder-a-b, not the placeholder-a that it begins with. */
static bool begins_another(const struct import *imp, const char *found, const char *text)
{
    for (size_t i = 0; i < imp->placeholder_count; i++) {
        const char *other = imp->placeholders[i].text;

        if (strlen(other) > strlen(text) && str_starts(other, text) && str_starts(found, other))
            return true;
    }
    return false;
}

/* The lines that the placeholder stands in. How many. */
static size_t find_lines(const struct import *imp, const char *yaml, const char *text,
                         struct buf *places)
{
    size_t len = strlen(text), count = 0;
    int line = 0;

    for (const char *at = yaml; *at; line++) {
        const char *end = strchrnul(at, '\n'), *found = at;
        bool here = false;

        while (!here && (found = strstr(found, text)) && found < end) {
            here = !begins_another(imp, found, text);
            found += len;
        }
        if (here && ++count <= PLACES_MAX)
            buf_addf(places, "%s%d", count > 1 ? ", " : "", line + 1);
        at = *end ? end + 1 : end;
    }
    return count;
}

static bool is_reported(const struct import *imp, const char *text)
{
    for (size_t i = 0; i < imp->report_count; i++)
        for (const char *at = imp->report[i].text; (at = strstr(at, text)); at++)
            if (!begins_another(imp, at, text))
                return true;
    return false;
}

void import_note_placeholders(struct import *imp, const char *yaml)
{
    for (size_t i = 0; i < imp->placeholder_count; i++) {
        const struct import_placeholder *p = &imp->placeholders[i];
        struct buf places;
        size_t count;

        buf_init(&places, 4096);
        count = find_lines(imp, yaml, p->text, &places);
        if (count)
            import_note(imp, IMPORT_PLACEHOLDER, p->text,
                        "stands for %.500s%s%.500s in line%s %s%s", p->origin, p->hint ? ", " : "",
                        p->hint ? p->hint : "", count > 1 ? "s" : "", buf_cstr(&places),
                        count > PLACES_MAX ? " and others" : "");
        else if (is_reported(imp, p->text))
            import_note(imp, IMPORT_PLACEHOLDER, p->text,
                        "stands for %.500s%s%.500s in this report", p->origin, p->hint ? ", " : "",
                        p->hint ? p->hint : "");
        buf_release(&places);
    }
}
