#include <string.h>

#include "base/clock.h"
#include "kubernetes/internal.h"

void log_lines_begin(struct log_lines *lines)
{
    lines->line = (struct log_position){0};
    lines->state = LINE_PREFIX;
    lines->prefix_len = 0;
    lines->skip = 0;
    lines->catching_up = lines->given.at_s != 0;
}

/* "2026-01-31T09:00:00.123456789Z" or with an offset. */
static int read_time(char *text, int64_t *at_s, int64_t *at_ns)
{
    char *dot = strchr(text, '.');
    int64_t ms, scale = 100000000;

    *at_ns = 0;
    if (dot) {
        char *end = dot + 1;
        for (; *end >= '0' && *end <= '9'; end++, scale /= 10)
            *at_ns += (*end - '0') * scale;
        if (end == dot + 1)
            return -1;
        memmove(dot, end, strlen(end) + 1);
    }
    if (clock_parse_rfc3339(text, &ms) < 0 || ms <= 0)
        return -1;
    *at_s = ms / 1000;
    return 0;
}

static int compare(const struct log_position *a, const struct log_position *b)
{
    if (a->at_s != b->at_s)
        return a->at_s < b->at_s ? -1 : 1;
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    return a->index == b->index ? 0 : a->index < b->index ? -1 : 1;
}

/* The line's time is whole: is it given, and from which byte on? */
static void enter_line(struct log_lines *lines)
{
    struct log_position at = {0};

    lines->prefix[lines->prefix_len] = '\0';
    lines->prefix_len = 0;
    lines->state = LINE_SKIP;
    if (read_time(lines->prefix, &at.at_s, &at.at_ns) < 0)
        return;
    if (at.at_s == lines->line.at_s && at.at_ns == lines->line.at_ns)
        at.index = lines->line.index + 1;
    lines->line = at;
    lines->skip = 0;
    if (lines->catching_up) {
        const int order = compare(&at, &lines->given);
        if (order < 0)
            return;
        if (order == 0)
            lines->skip = lines->given.bytes;
        lines->catching_up = false;
    }
    lines->state = LINE_TEXT;
    lines->given = at;
    lines->given.bytes = lines->skip;
}

static size_t take_prefix(struct log_lines *lines, const char *data, size_t len)
{
    size_t n = 0;

    while (n < len && lines->state == LINE_PREFIX) {
        const char c = data[n++];
        if (c == '\n')
            lines->prefix_len = 0; /* a line without a time is none of the container's */
        else if (c == ' ')
            enter_line(lines);
        else if (lines->prefix_len < sizeof(lines->prefix) - 1)
            lines->prefix[lines->prefix_len++] = c;
        else
            lines->state = LINE_SKIP;
    }
    return n;
}

bool log_lines_add(struct log_lines *lines, const char *data, size_t len,
                   bool (*output)(const char *data, size_t len, void *arg), void *arg)
{
    bool more = true;

    while (len > 0) {
        size_t n;
        if (lines->state == LINE_PREFIX) {
            n = take_prefix(lines, data, len);
        } else {
            const char *end = memchr(data, '\n', len);
            n = end ? (size_t)(end - data) + 1 : len;
            if (lines->state == LINE_TEXT) {
                const size_t known = lines->skip < n ? (size_t)lines->skip : n;
                lines->skip -= known;
                lines->given.bytes += n - known;
                if (n > known)
                    more = output(data + known, n - known, arg) && more;
            }
            if (end) {
                lines->state = LINE_PREFIX;
                lines->prefix_len = 0;
            }
        }
        data += n;
        len -= n;
    }
    return more;
}
