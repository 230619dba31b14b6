#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool str_eq(const char *a, const char *b)
{
    if (!a || !b)
        return a == b;
    return strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t len = strlen(s);
    size_t suffix_len = strlen(suffix);

    return len >= suffix_len && strcmp(s + len - suffix_len, suffix) == 0;
}

bool str_empty(const char *s)
{
    return !s || !*s;
}

void str_copy(char *out, size_t size, const char *s)
{
    const size_t len = strnlen(s, size - 1);

    memcpy(out, s, len);
    out[len] = '\0';
}

bool str_is_name(const char *s)
{
    size_t len = 0;

    if (!s || *s == '-')
        return false;
    for (; s[len]; len++)
        if (len == STR_NAME_MAX || !((s[len] >= 'a' && s[len] <= 'z') ||
                                     (s[len] >= '0' && s[len] <= '9') || s[len] == '-'))
            return false;
    return len > 0;
}

bool str_is_image(const char *s)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._-:/@";
    size_t len = strspn(s, chars);

    return len > 0 && len <= STR_IMAGE_MAX && !s[len] && !strchr("._-:/@", *s) && !strstr(s, "//");
}

/* Length of the well-formed sequence (Unicode 15, table 3-7) at `s`, or 0. */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
    unsigned char first = s[0];
    unsigned char min = 0x80;
    unsigned char max = 0xBF;
    size_t need;

    if (first < 0x80)
        return first ? 1 : 0;
    if (first >= 0xC2 && first <= 0xDF)
        need = 2;
    else if (first >= 0xE0 && first <= 0xEF)
        need = 3;
    else if (first >= 0xF0 && first <= 0xF4)
        need = 4;
    else
        return 0;
    if (first == 0xE0)
        min = 0xA0;
    else if (first == 0xED)
        max = 0x9F;
    else if (first == 0xF0)
        min = 0x90;
    else if (first == 0xF4)
        max = 0x8F;
    if (len < need || s[1] < min || s[1] > max)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return need;
}

bool str_is_utf8(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_sequence((const unsigned char *)s + i, len - i);

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

int str_to_u64(const char *s, uint64_t *out)
{
    uint64_t value = 0;

    if (str_empty(s))
        return -1;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
            return -1;
    }
    *out = value;
    return 0;
}

int str_to_i64(const char *s, int64_t *out)
{
    bool negative = s && *s == '-';
    uint64_t value;

    if (str_to_u64(negative ? s + 1 : s, &value) < 0)
        return -1;
    if (value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return -1;
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return 0;
}

int str_to_double(const char *s, double *out)
{
    char *end;
    double value;

    /* strtod() also takes blanks, hex, inf and nan. */
    if (str_empty(s) || s[strspn(s, "0123456789+-.eE")])
        return -1;
    errno = 0;
    value = strtod(s, &end);
    if (errno || end == s || *end || !isfinite(value))
        return -1;
    *out = value;
    return 0;
}

/* Reads digits at *s and steps over them; -1: none, or too large. */
static int take_number(const char **s, uint64_t *out)
{
    const char *p = *s;
    uint64_t value = 0;

    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return -1;
    if (p == *s)
        return -1;
    *s = p;
    *out = value;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit *take_unit(const char **s, const struct unit *units)
{
    size_t len = 0;

    while (isalpha((unsigned char)(*s)[len]))
        len++;
    for (; units->name; units++)
        if (strlen(units->name) == len && strncmp(units->name, *s, len) == 0) {
            *s += len;
            return units;
        }
    return NULL;
}

int str_to_duration(const char *s, int64_t *ms)
{
    static const struct unit units[] = {
        {"w", 7ull * 86400000},
        {"d", 86400000},
        {"h", 3600000},
        {"m", 60000},
        {"s", 1000},
        {"ms", 1},
        {NULL, 0},
    };
    const struct unit *from = units;
    uint64_t total = 0;

    if (str_empty(s))
        return -1;
    if (str_eq(s, "0")) {
        *ms = 0;
        return 0;
    }
    while (*s) {
        const struct unit *unit;
        uint64_t part;

        if (take_number(&s, &part) < 0)
            return -1;
        unit = take_unit(&s, from);
        if (!unit || __builtin_mul_overflow(part, unit->factor, &part) ||
            __builtin_add_overflow(total, part, &total) || total > INT64_MAX)
            return -1;
        from = unit + 1;
    }
    *ms = (int64_t)total;
    return 0;
}

int str_to_size(const char *s, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"K", 1000ull},
        {"M", 1000000ull},
        {"G", 1000000000ull},
        {"Ki", 1ull << 10},
        {"Mi", 1ull << 20},
        {"Gi", 1ull << 30},
        {"T", 1000000000000ull},
        {"Ti", 1ull << 40},
        {NULL, 0},
    };
    const struct unit *unit;
    uint64_t value;

    if (str_empty(s) || take_number(&s, &value) < 0)
        return -1;
    unit = take_unit(&s, units);
    if (!unit || *s || __builtin_mul_overflow(value, unit->factor, &value))
        return -1;
    *bytes = value;
    return 0;
}

/* The bytes of a character that is not shown as itself; 0: another one. */
static size_t hidden_bytes(const unsigned char *c)
{
    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* U+0080 to U+009F: one is ESC [ */
        return 2;
    if (c[0] == 0xe2 && ((c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) || /* U+202A to U+202E */
                         (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9)))  /* U+2066 to U+2069 */
        return 3;
    return (*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f;
}

void str_disarm(char *text)
{
    char *to = text;

    while (*text) {
        size_t hidden = hidden_bytes((const unsigned char *)text);

        *to++ = hidden ? '?' : *text;
        text += hidden ? hidden : 1;
    }
    *to = '\0';
}
