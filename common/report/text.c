#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/read.h"

#define ESCAPE     0x1b
#define MS_MAX     INT64_C(1000000000000) /* 31 years: no sum of them wraps */
#define NUMBER_MAX 64

/* Behind an escape sequence of a terminal (ECMA-48, 5.4: CSI ... final byte), or behind the ESC. */
static const char *skip_escape(const char *p)
{
    p++;
    if (*p != '[')
        return p;
    p++;
    while (*p && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x40)
        p++;
    return *p ? p + 1 : p;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

static size_t character_len(const char *p)
{
    unsigned char c = (unsigned char)*p;

    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Into *out, initialised here; true: there was more. */
static bool clean(struct buf *out, const char *text, size_t max)
{
    const char *p = text ? text : "";
    bool more = false;

    buf_init(out, max);
    while (*p) {
        if (*p == ESCAPE) {
            p = skip_escape(p);
            continue;
        }
        size_t len = strnlen(p, character_len(p));
        bool keep = (unsigned char)*p >= 0x20 ? *p != 0x7f : *p == '\n' || *p == '\t';
        if (keep && !(out->len == 0 && is_blank(*p)) && buf_add(out, p, len) != 0) {
            more = true;
            break;
        }
        p += len;
    }
    return more;
}

char *text_clean(const char *text, size_t max)
{
    struct buf out;

    (void)clean(&out, text, max);
    while (out.len > 0 && is_blank(out.data[out.len - 1]))
        out.data[--out.len] = '\0';
    return buf_detach(&out);
}

char *text_keep(const struct report *report, const char *text, size_t max)
{
    struct buf whole, hidden;

    if (!report->mask)
        return text_clean(text, max);
    bool more = clean(&whole, text, TEXT_KEEP_MAX);
    buf_init(&hidden, 3 * whole.len + 1);
    report->mask->hide(buf_cstr(&whole), whole.len, more, &hidden, report->mask->arg);
    char *kept = text_clean(buf_cstr(&hidden), max);
    mem_wipe(whole.data, whole.len);
    buf_release(&whole);
    buf_release(&hidden);
    return kept;
}

struct text_shown text_shown(const struct report *report, const char *text)
{
    struct text_shown shown;
    char *kept = text_keep(report, text, 40);

    snprintf(shown.text, sizeof(shown.text), "%s", kept);
    free(kept);
    return shown;
}

char *text_message(const char *message, const char *text)
{
    char *first = text_clean(message, 2 * TEXT_KEEP_MAX);
    char *rest = text_clean(text, 2 * TEXT_KEEP_MAX);
    char *both;

    if (!*first || !*rest || strstr(rest, first))
        both = mem_strdup(*rest ? rest : first);
    else
        both = mem_printf("%s\n%s", first, rest);
    free(first);
    free(rest);
    return both;
}

char *text_place(const char *file, const char *line)
{
    if (str_empty(file))
        return mem_strdup("");
    return str_empty(line) ? mem_strdup(file) : mem_printf("%s:%s", file, line);
}

int64_t seconds_to_ms(double seconds)
{
    double ms = seconds * 1000;

    if (!isfinite(ms) || ms <= 0)
        return 0;
    return ms > (double)MS_MAX ? MS_MAX : (int64_t)(ms + 0.5);
}

/* The comma of "1,234", "1,234,567.8" and "1,234.5" parts thousands; that of "0,016" and "12,5" is
 * a decimal one, as some languages have it. */
static bool comma_is_decimal(const char *text, const char *comma)
{
    return !strchr(comma + 1, ',') && !strchr(comma + 1, '.') &&
           (strspn(comma + 1, "0123456789") != 3 || (*text == '0' && comma == text + 1));
}

int64_t text_seconds(const char *text)
{
    char number[NUMBER_MAX];
    size_t n = 0;
    double seconds;

    if (!text)
        return 0;
    const char *comma = strchr(text, ',');
    bool decimal = comma && comma_is_decimal(text, comma);
    for (const char *p = text; *p && n + 1 < sizeof(number); p++) {
        if (*p != ',')
            number[n++] = *p;
        else if (decimal)
            number[n++] = '.';
    }
    number[n] = '\0';
    return str_to_double(number, &seconds) == 0 ? seconds_to_ms(seconds) : 0;
}

int64_t text_timespan(const char *text)
{
    unsigned hours, minutes;
    double seconds, days = 0;
    char extra;

    if (!text)
        return 0;
    const char *dot = strchr(text, '.'), *colon = strchr(text, ':');
    if (dot && colon && dot < colon) {
        days = strtod(text, NULL);
        text = dot + 1;
        days = floor(days);
    }
    if (sscanf(text, "%2u:%2u:%lf%c", &hours, &minutes, &seconds, &extra) != 3)
        return 0;
    return seconds_to_ms(days * 86400 + hours * 3600.0 + minutes * 60.0 + seconds);
}
