#include "log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#define LOG_VALUE_MAX (2 * 1024)
#define LOG_LINE_MAX  (64 * 1024)

/* The one process-wide state outside of main.c: everything logs, and nobody passes a logger. Set
 * before other threads start. */
static struct {
    char service[64];
    enum log_level level;
    enum log_format format;
} config = {.service = "gantry", .level = LOG_INFO, .format = LOG_TEXT};

void log_init(const char *service, enum log_level level, enum log_format format)
{
    snprintf(config.service, sizeof(config.service), "%s", service);
    config.level = level;
    config.format = format;
}

bool log_enabled(enum log_level level)
{
    return level >= config.level;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "debug";
    case LOG_INFO:
        return "info";
    case LOG_WARN:
        return "warn";
    case LOG_ERROR:
        return "error";
    }
    return "error";
}

/* A value's bytes without what could end a line, move a terminal's cursor or end the quotes. */
static void add_escaped(struct buf *line, const char *s, size_t len)
{
    bool text = str_is_utf8(s, len);

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        bool c1 = text && c == 0xC2 && i + 1 < len && (unsigned char)s[i + 1] < 0xA0;

        if (c == '"' || c == '\\')
            buf_addf(line, "\\%c", c);
        else if (c == '\n')
            buf_adds(line, "\\n");
        else if (c == '\r')
            buf_adds(line, "\\r");
        else if (c == '\t')
            buf_adds(line, "\\t");
        else if (c1)
            buf_addf(line, "\\u%04x", (unsigned char)s[++i]);
        else if (c < 0x20 || c == 0x7F || (c >= 0x80 && !text))
            buf_addf(line, "\\u%04x", c);
        else
            buf_addc(line, (char)c);
    }
}

static void add_quoted(struct buf *line, const char *s)
{
    size_t len = strnlen(s, LOG_VALUE_MAX + 1);
    bool cut = len > LOG_VALUE_MAX;

    if (cut) {
        len = LOG_VALUE_MAX;
        while (len > 0 && ((unsigned char)s[len] & 0xC0) == 0x80)
            len--;
    }
    buf_addc(line, '"');
    add_escaped(line, s, len);
    buf_adds(line, cut ? "...\"" : "\"");
}

static bool is_plain(const char *s)
{
    return *s &&
           !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "-_./:@+,#%")] &&
           strlen(s) <= LOG_VALUE_MAX;
}

static void add_value(struct buf *line, const struct log_kv *kv, enum log_format format)
{
    const char *s = kv->str;

    switch (kv->type) {
    case LOG_KV_INT:
        buf_addf(line, "%" PRId64, kv->num);
        return;
    case LOG_KV_BOOL:
        buf_adds(line, kv->num ? "true" : "false");
        return;
    case LOG_KV_STR:
        break;
    }
    if (!s)
        buf_adds(line, format == LOG_JSON ? "null" : "-");
    else if (format == LOG_TEXT && is_plain(s))
        buf_adds(line, s);
    else
        add_quoted(line, s);
}

static void add_text(struct buf *line, const char *time, enum log_level level, const char *msg,
                     const struct log_kv *kv)
{
    buf_addf(line, "%s %-5s %s: ", time, level_name(level), config.service);
    add_escaped(line, msg, strnlen(msg, LOG_VALUE_MAX));
    for (; kv && kv->key; kv++) {
        buf_addf(line, " %s=", kv->key);
        add_value(line, kv, LOG_TEXT);
    }
}

static void add_json(struct buf *line, const char *time, enum log_level level, const char *msg,
                     const struct log_kv *kv)
{
    buf_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"service\":", time, level_name(level));
    add_quoted(line, config.service);
    buf_adds(line, ",\"msg\":");
    add_quoted(line, msg);
    for (; kv && kv->key; kv++) {
        buf_addc(line, ',');
        add_quoted(line, kv->key);
        buf_addc(line, ':');
        add_value(line, kv, LOG_JSON);
    }
    buf_addc(line, '}');
}

static void add_line(struct buf *line, const char *time, enum log_level level, const char *msg,
                     const struct log_kv *kv)
{
    if (config.format == LOG_JSON)
        add_json(line, time, level, msg, kv);
    else
        add_text(line, time, level, msg, kv);
}

void log_write(enum log_level level, const char *msg, const struct log_kv *kv)
{
    char time[CLOCK_RFC3339_SIZE];
    struct buf line;
    size_t done = 0;

    buf_init(&line, LOG_LINE_MAX);
    clock_rfc3339(clock_now_ms(), time);
    add_line(&line, time, level, msg, kv);
    if (line.overflow) {
        buf_reset(&line);
        add_line(&line, time, level, msg, (const struct log_kv[]){LOG_B("cut", true), {.key = 0}});
    }
    line.limit++;
    buf_addc(&line, '\n');
    /* One write, so that lines of several threads and processes do not mix. */
    while (done < line.len) {
        ssize_t n = write(STDERR_FILENO, line.data + done, line.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    buf_release(&line);
}
