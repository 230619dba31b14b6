#include "base/clock.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock_us(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_now_ms(void)
{
    return read_clock_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_ms(void)
{
    return read_clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
    return read_clock_us(CLOCK_MONOTONIC);
}

static void put_digits(char *out, int value, int digits)
{
    for (; digits > 0; value /= 10)
        out[--digits] = (char)('0' + value % 10);
}

void clock_rfc3339(int64_t unix_ms, char out[CLOCK_RFC3339_SIZE])
{
    int64_t ms = unix_ms % 1000;
    time_t seconds;
    struct tm tm;

    if (ms < 0)
        ms += 1000;
    seconds = (time_t)((unix_ms - ms) / 1000);
    if (!gmtime_r(&seconds, &tm) || tm.tm_year + 1900 < 0 || tm.tm_year + 1900 > 9999) {
        snprintf(out, CLOCK_RFC3339_SIZE, "0000-00-00T00:00:00.000Z");
        return;
    }
    memcpy(out, "0000-00-00T00:00:00.000Z", sizeof("0000-00-00T00:00:00.000Z"));
    put_digits(out, tm.tm_year + 1900, 4);
    put_digits(out + 5, tm.tm_mon + 1, 2);
    put_digits(out + 8, tm.tm_mday, 2);
    put_digits(out + 11, tm.tm_hour, 2);
    put_digits(out + 14, tm.tm_min, 2);
    put_digits(out + 17, tm.tm_sec, 2);
    put_digits(out + 20, (int)ms, 3);
}

/* Reads exactly `digits` digits at *s; -1: something else is there. */
static int take_digits(const char **s, int digits)
{
    int value = 0;

    for (int i = 0; i < digits; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return -1;
        value = value * 10 + (**s - '0');
    }
    return value;
}

static bool take_char(const char **s, const char *any)
{
    if (!**s || !strchr(any, **s))
        return false;
    (*s)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

static int take_fraction_ms(const char **s)
{
    int ms = 0;
    int scale = 100;

    if (!take_char(s, "."))
        return 0;
    if (**s < '0' || **s > '9')
        return -1;
    for (; **s >= '0' && **s <= '9'; (*s)++, scale /= 10)
        ms += (**s - '0') * scale;
    return ms;
}

static int take_offset(const char **s, int *seconds)
{
    int sign, hours, minutes;

    *seconds = 0;
    if (take_char(s, "Zz"))
        return 0;
    sign = **s == '-' ? -1 : 1;
    if (!take_char(s, "+-"))
        return -1;
    hours = take_digits(s, 2);
    if (hours < 0 || hours > 23 || !take_char(s, ":"))
        return -1;
    minutes = take_digits(s, 2);
    if (minutes < 0 || minutes > 59)
        return -1;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return 0;
}

int clock_parse_rfc3339(const char *s, int64_t *unix_ms)
{
    struct tm tm = {0};
    int ms, offset;

    tm.tm_year = take_digits(&s, 4);
    if (tm.tm_year < 0 || !take_char(&s, "-"))
        return -1;
    tm.tm_mon = take_digits(&s, 2);
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || !take_char(&s, "-"))
        return -1;
    tm.tm_mday = take_digits(&s, 2);
    if (tm.tm_mday < 1 || tm.tm_mday > days_in_month(tm.tm_year, tm.tm_mon) ||
        !take_char(&s, "Tt "))
        return -1;
    tm.tm_hour = take_digits(&s, 2);
    if (tm.tm_hour < 0 || tm.tm_hour > 23 || !take_char(&s, ":"))
        return -1;
    tm.tm_min = take_digits(&s, 2);
    if (tm.tm_min < 0 || tm.tm_min > 59 || !take_char(&s, ":"))
        return -1;
    tm.tm_sec = take_digits(&s, 2);
    if (tm.tm_sec < 0 || tm.tm_sec > 60)
        return -1;
    ms = take_fraction_ms(&s);
    if (ms < 0 || take_offset(&s, &offset) < 0 || *s)
        return -1;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *unix_ms = ((int64_t)timegm(&tm) - offset) * 1000 + ms;
    return 0;
}

void clock_human(int64_t duration_ms, char out[32])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (duration_ms >= units[i].ms) {
            snprintf(out, 32, "%" PRId64 " %s", duration_ms / units[i].ms, units[i].unit);
            return;
        }
    snprintf(out, 32, "%" PRId64 " ms", duration_ms);
}
