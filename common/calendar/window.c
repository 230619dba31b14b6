/* Openness is decided by the wall clock of an instant, so what daylight saving repeats or leaves
 * out needs no rule of its own. The next change is looked for in stretches of one UTC offset, in
 * which the wall clock runs on evenly: a change is where a stretch begins, or at a boundary in it.
 */
#include "calendar/window.h"

#include <libical/ical.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define TEXT_MAX       200
#define ZONE_NAME_MAX  64
#define ZONES_MAX      2000
#define DAY_S          (24 * (int64_t)3600)
#define DAY_MIN        (24 * 60)
#define YEAR_MIN       2000
#define YEAR_MAX       2199
#define LAST_RULE_YEAR 2037 /* as far as libical has a zone's rules */

/* Local days away from the same UTC day, by any offset and any change of it. */
#define SLACK_S (50 * (int64_t)3600)
/* A weekly window that never opened within these never does: a week may lack it to daylight
 * saving. */
#define WEEKS_DAYS 40

struct window {
    icaltimezone *zone; /* libical's own; NULL: UTC */
    bool once;
    unsigned days;        /* weekly: bit 0 is Monday */
    int from_min, to_min; /* weekly: of the day; from > to: past midnight */
    int64_t from_s, to_s; /* once: wall clock as seconds since 1970-01-01 00:00 there */
};

/* libical keeps zones and their rules in tables of the process, which it fills when asked. */
static pthread_mutex_t zones_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const day_names[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", NULL};

/* Zones */

static bool is_utc(const char *name)
{
    return str_eq(name, "UTC") || str_eq(name, "Etc/UTC");
}

static int offset_locked(icaltimezone *zone, int64_t at_s)
{
    struct icaltimetype at =
        icaltime_from_timet_with_zone((time_t)at_s, 0, icaltimezone_get_utc_timezone());

    return icaltimezone_get_utc_offset_of_utc_time(zone, &at, NULL);
}

static int offset_at(const struct window *window, int64_t at_s)
{
    int offset;

    if (!window->zone)
        return 0;
    pthread_mutex_lock(&zones_lock);
    offset = offset_locked(window->zone, at_s);
    pthread_mutex_unlock(&zones_lock);
    return offset;
}

/* Days since 1970-01-01; Gregorian, for years from 1600. */
static int64_t days_of(int year, int month, int day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t y = year - 1600 - (month <= 2);
    int64_t leaps = y < 0 ? 0 : y / 4 - y / 100 + y / 400 + 1;

    return (int64_t)(year - 1600) * 365 + leaps + before[month - 1] + day - 1 - 135140;
}

/* Only names that libical lists are taken, so no text becomes a file's name. */
static int find_zone(struct window *window, const char *name, struct err *err)
{
    icalarray *zones;
    const char *names[ZONES_MAX + 2] = {"UTC"};
    size_t count = 1;
    int ret = 0;

    if (is_utc(name))
        return 0;
    pthread_mutex_lock(&zones_lock);
    zones = icaltimezone_get_builtin_timezones();
    for (size_t i = 0; zones && i < zones->num_elements && count < ZONES_MAX; i++) {
        icaltimezone *zone = icalarray_element_at(zones, i);
        const char *location = icaltimezone_get_location(zone);

        if (!location)
            continue;
        names[count++] = location;
        if (str_eq(location, name))
            window->zone = zone;
    }
    names[count] = NULL;
    if (window->zone) {
        /* Reads the zone's rules as far as they go, so that nothing is read later. */
        offset_locked(window->zone, days_of(LAST_RULE_YEAR, 12, 31) * DAY_S);
    } else if (count == 1) {
        ret = err_set(err, ERR_INVALID,
                      "no time zones are known here, so '%s' is not: install tzdata", name);
    } else {
        const char *nearest = str_nearest(name, names);

        ret = nearest ? err_set(err, ERR_INVALID, "'%s' is not a time zone; did you mean '%s'?",
                                name, nearest)
                      : err_set(err, ERR_INVALID,
                                "'%s' is not a time zone, such as Europe/Berlin or UTC", name);
    }
    pthread_mutex_unlock(&zones_lock);
    return ret;
}

static int take_zone(struct window *window, const char *name, struct err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_+-/";

    if (!*name)
        return err_set(err, ERR_INVALID,
                       "needs a time zone at its end, such as Europe/Berlin or UTC");
    if (strlen(name) > ZONE_NAME_MAX || name[strspn(name, allowed)])
        return err_set(err, ERR_INVALID, "'%.64s' is not a time zone, such as Europe/Berlin or UTC",
                       name);
    return find_zone(window, name, err);
}

/* The text */

/* `digits` digits at *p as a number; -1: others. */
static int take_number(const char **p, int digits)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        if ((*p)[i] < '0' || (*p)[i] > '9')
            return -1;
        value = value * 10 + ((*p)[i] - '0');
    }
    *p += digits;
    return value;
}

/* HH:MM at *p as minutes of the day, 24:00 among them; -1: none. */
static int take_time(const char **p)
{
    const char *q = *p;
    int hour = take_number(&q, 2);
    int minute;

    if (hour < 0 || *q++ != ':')
        return -1;
    minute = take_number(&q, 2);
    if (minute < 0 || minute > 59 || hour * 60 + minute > DAY_MIN)
        return -1;
    *p = q;
    return hour * 60 + minute;
}

/* YYYY-MM-DD at *p as days since 1970; -1: none. */
static int64_t take_date(const char **p)
{
    static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *q = *p;
    int year = take_number(&q, 4), month, day;

    if (year < YEAR_MIN || year > YEAR_MAX || *q++ != '-')
        return -1;
    month = take_number(&q, 2);
    if (month < 1 || month > 12 || *q++ != '-')
        return -1;
    day = take_number(&q, 2);
    if (day < 1 || day > lengths[month - 1])
        return -1;
    if (month == 2 && day == 29 && (year % 4 || (year % 100 == 0 && year % 400)))
        return -1;
    *p = q;
    return days_of(year, month, day);
}

static bool take_blanks(const char **p)
{
    size_t count = strspn(*p, " ");

    *p += count;
    return count > 0;
}

/* A day's name at *p, up to ',', '-' or a blank. */
static int take_day(const char **p, struct err *err)
{
    size_t len = strcspn(*p, ",- ");
    char name[16];
    const char *nearest;

    for (int i = 0; day_names[i]; i++)
        if (len == 3 && strncmp(*p, day_names[i], 3) == 0) {
            *p += len;
            return i;
        }
    if (len >= sizeof(name))
        len = sizeof(name) - 1;
    memcpy(name, *p, len);
    name[len] = '\0';
    if (len > 3 && len < sizeof(name) - 1) /* Monday */
        for (int i = 0; day_names[i]; i++)
            if (strncasecmp(name, day_names[i], 3) == 0)
                return err_set(err, ERR_INVALID, "'%s' is not a day; did you mean '%s'?", name,
                               day_names[i]);
    nearest = str_nearest(name, day_names);
    if (nearest)
        return err_set(err, ERR_INVALID, "'%s' is not a day; did you mean '%s'?", name, nearest);
    return err_set(err, ERR_INVALID,
                   "expected days, such as Mon-Fri, Sat,Sun or daily, or a date, such as "
                   "2026-12-24, at '%.20s'",
                   *p);
}

static int take_days(struct window *window, const char **p, struct err *err)
{
    if (str_starts(*p, "daily ")) {
        window->days = 0x7F;
        *p += strlen("daily");
        return 0;
    }
    for (;;) {
        int first = take_day(p, err), last = first;

        if (first < 0)
            return -1;
        if (**p == '-') {
            (*p)++;
            last = take_day(p, err);
            if (last < 0)
                return -1;
        }
        for (int day = first;; day = (day + 1) % 7) {
            window->days |= 1u << day;
            if (day == last)
                break;
        }
        if (**p != ',')
            return 0;
        (*p)++;
    }
}

static int parse_weekly(struct window *window, const char *p, struct err *err)
{
    if (take_days(window, &p, err) < 0)
        return -1;
    take_blanks(&p);
    window->from_min = take_time(&p);
    if (window->from_min >= 0 && *p == '-') {
        p++;
        window->to_min = take_time(&p);
    } else {
        window->to_min = -1;
    }
    if (window->from_min < 0 || window->to_min < 0 || window->from_min == DAY_MIN)
        return err_set(err, ERR_INVALID, "expected from when to when, such as 09:00-16:00");
    if (window->from_min == window->to_min)
        return err_set(err, ERR_INVALID,
                       "opens and closes at one time; a whole day is "
                       "00:00-24:00");
    if (*p && !take_blanks(&p))
        return err_set(err, ERR_INVALID, "expected a blank and a time zone at '%.20s'", p);
    return take_zone(window, p, err);
}

/* A date, and a time where there is one: wall clock seconds. */
static bool take_point(const char **p, int64_t *out_s, bool *timed)
{
    int64_t day = take_date(p);
    const char *q = *p;
    int minute;

    if (day < 0)
        return false;
    *out_s = day * DAY_S;
    *timed = false;
    if (!take_blanks(&q) || *q < '0' || *q > '9')
        return true;
    minute = take_time(&q);
    if (minute < 0)
        return false;
    *timed = true;
    *out_s += minute * 60;
    *p = q;
    return true;
}

static int parse_once(struct window *window, const char *p, struct err *err)
{
    static const char shape[] = "expected two dates or times, such as 2026-12-23 18:00 - "
                                "2027-01-02 08:00 Europe/Berlin or 2026-12-24 - 2026-12-26 UTC";
    bool from_timed, to_timed;

    window->once = true;
    if (!take_point(&p, &window->from_s, &from_timed) || !take_blanks(&p) || *p++ != '-' ||
        !take_blanks(&p) || !take_point(&p, &window->to_s, &to_timed))
        return err_set(err, ERR_INVALID, "%s, of the years %d to %d", shape, YEAR_MIN, YEAR_MAX);
    if (from_timed != to_timed)
        return err_set(err, ERR_INVALID,
                       "has a time for one of its two dates: write it for both "
                       "or none");
    if (!to_timed)
        window->to_s += DAY_S;
    if (window->from_s >= window->to_s)
        return err_set(err, ERR_INVALID, "ends before it begins");
    if (*p && !take_blanks(&p))
        return err_set(err, ERR_INVALID, "expected a blank and a time zone at '%.20s'", p);
    return take_zone(window, p, err);
}

int window_parse(struct window **out, const char *text, struct err *err)
{
    struct window *window;
    char *trimmed;
    int ret;

    *out = NULL;
    text += strspn(text, " ");
    if (strlen(text) > TEXT_MAX)
        return err_set(err, ERR_INVALID, "longer than %d characters", TEXT_MAX);
    trimmed = mem_strdup(text);
    for (size_t len = strlen(trimmed); len > 0 && trimmed[len - 1] == ' '; len--)
        trimmed[len - 1] = '\0';
    window = mem_alloc(sizeof(*window));
    if (*trimmed >= '0' && *trimmed <= '9')
        ret = parse_once(window, trimmed, err);
    else
        ret = parse_weekly(window, trimmed, err);
    free(trimmed);
    if (ret < 0)
        window_free(window);
    else
        *out = window;
    return ret;
}

void window_free(struct window *window)
{
    free(window);
}

/* Open or not */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool has_day(const struct window *window, int64_t day)
{
    int64_t weekday = (day + 3) % 7; /* 1970-01-01 was a Thursday */

    return window->days >> (weekday < 0 ? weekday + 7 : weekday) & 1;
}

static bool is_open_at_wall(const struct window *window, int64_t wall_s)
{
    int64_t day = floor_div(wall_s, DAY_S);
    int64_t second = wall_s - day * DAY_S;

    if (window->once)
        return wall_s >= window->from_s && wall_s < window->to_s;
    if (window->from_min < window->to_min)
        return has_day(window, day) && second >= window->from_min * 60 &&
               second < window->to_min * 60;
    return (has_day(window, day) && second >= window->from_min * 60) ||
           (has_day(window, day - 1) && second < window->to_min * 60);
}

/* What a time_t's year takes, so that arithmetic on any now_ms is sound. */
static int64_t seconds_of(int64_t now_ms)
{
    const int64_t last_s = days_of(9000, 1, 1) * DAY_S;
    int64_t now_s = floor_div(now_ms, 1000);

    return now_s < 0 ? 0 : now_s > last_s ? last_s : now_s;
}

bool window_is_open(const struct window *window, int64_t now_ms)
{
    int64_t now_s = seconds_of(now_ms);

    return is_open_at_wall(window, now_s + offset_at(window, now_s));
}

/* A stretch of time with one UTC offset: begin_s <= t < end_s. */
struct stretch {
    int64_t begin_s, end_s;
    int offset;
};

/* The first second of (a_s, b_s] with b_s' offset, which is not that of a_s. */
static int64_t find_shift(const struct window *window, int64_t a_s, int64_t b_s, int offset)
{
    while (b_s - a_s > 1) {
        int64_t middle_s = a_s + (b_s - a_s) / 2;

        if (offset_at(window, middle_s) == offset)
            a_s = middle_s;
        else
            b_s = middle_s;
    }
    return b_s;
}

/* The stretch that begins at `at_s`, a day long at most. */
static struct stretch stretch_from(const struct window *window, int64_t at_s)
{
    struct stretch s = {at_s, at_s + DAY_S, offset_at(window, at_s)};

    if (offset_at(window, s.end_s) != s.offset)
        s.end_s = find_shift(window, at_s, s.end_s, s.offset);
    return s;
}

/* In the order in which a day's wall clock meets them. */
static void boundaries_of(const struct window *window, int64_t day, int64_t at_s[2])
{
    int64_t from_s = day * DAY_S + window->from_min * 60;
    int64_t to_s = day * DAY_S + window->to_min * 60;

    if (window->once) {
        from_s = window->from_s;
        to_s = window->to_s;
    }
    at_s[0] = from_s < to_s ? from_s : to_s;
    at_s[1] = from_s < to_s ? to_s : from_s;
}

/* The first second of the stretch at which the window is not as `open` says; -1: none. */
static int64_t change_in(const struct window *window, const struct stretch *s, bool open)
{
    int64_t begin_wall_s = s->begin_s + s->offset;
    int64_t end_wall_s = s->end_s + s->offset;

    if (is_open_at_wall(window, begin_wall_s) != open)
        return s->begin_s;
    for (int64_t day = floor_div(begin_wall_s, DAY_S); day * DAY_S < end_wall_s; day++) {
        int64_t at_s[2];

        boundaries_of(window, day, at_s);
        for (int i = 0; i < 2; i++)
            if (at_s[i] > begin_wall_s && at_s[i] < end_wall_s &&
                is_open_at_wall(window, at_s[i]) != open)
                return at_s[i] - s->offset;
    }
    return -1;
}

static int64_t change_between(const struct window *window, int64_t from_s, int64_t to_s, bool open)
{
    while (from_s < to_s) {
        struct stretch s = stretch_from(window, from_s);
        int64_t change_s = change_in(window, &s, open);

        if (change_s >= 0)
            return change_s;
        from_s = s.end_s;
    }
    return -1;
}

static bool is_always_open(const struct window *window)
{
    return !window->once && window->days == 0x7F && window->from_min == 0 &&
           window->to_min == DAY_MIN;
}

int64_t window_next_change(const struct window *window, int64_t now_ms)
{
    int64_t now_s = seconds_of(now_ms);
    bool open;
    int64_t change_s = -1;

    if (is_always_open(window))
        return INT64_MAX;
    open = window_is_open(window, now_ms);
    if (window->once) {
        int64_t near_from_s = window->from_s - SLACK_S, near_to_s = window->to_s - SLACK_S;

        if (now_s < window->from_s + SLACK_S)
            change_s = change_between(window, now_s > near_from_s ? now_s : near_from_s,
                                      window->from_s + SLACK_S, open);
        if (change_s < 0 && now_s < window->to_s + SLACK_S)
            change_s = change_between(window, now_s > near_to_s ? now_s : near_to_s,
                                      window->to_s + SLACK_S, open);
    } else {
        change_s = change_between(window, now_s, now_s + WEEKS_DAYS * DAY_S, open);
    }
    return change_s < 0 ? INT64_MAX : change_s * 1000;
}
