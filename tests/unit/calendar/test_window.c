/* Windows by the wall clock of their place (common/calendar/window.h). Instants are given as UTC;
 * those around a change of the clocks are from the IANA database's rules. */
#include <pthread.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"
#include "calendar/window.h"
#include "tests/unit/unit.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define MINUTE_MS   ((int64_t)60000)

/* "2026-03-29 01:00" of UTC. */
static int64_t utc(const char *text)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%d %H:%M", &tm);

    assert_non_null(end);
    assert_string_equal(end, "");
    return (int64_t)timegm(&tm) * 1000;
}

static struct window *window_of(const char *text)
{
    struct window *window;
    struct err err = {0};

    if (window_parse(&window, text, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return window;
}

struct openness {
    const char *window;
    const char *at; /* UTC */
    bool open;
    const char *next; /* when it changes; NULL: never again */
};

static void assert_all(const struct openness *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct window *window = window_of(rows[i].window);
        int64_t at_ms = utc(rows[i].at);
        int64_t next_ms = window_next_change(window, at_ms);

        if (window_is_open(window, at_ms) != rows[i].open)
            fail_msg("%s at %s: %s", rows[i].window, rows[i].at, rows[i].open ? "shut" : "open");
        if (next_ms != (rows[i].next ? utc(rows[i].next) : INT64_MAX))
            fail_msg("%s at %s: changes at %lld, not %s", rows[i].window, rows[i].at,
                     (long long)next_ms, rows[i].next ? rows[i].next : "never");
        window_free(window);
    }
}

static void a_window_is_open_from_its_first_minute_to_before_its_last(void **state)
{
    static const struct openness rows[] = {
        /* 2026-06-15 is a Monday; Berlin is two hours ahead */
        {"Mon-Fri 09:00-16:00 Europe/Berlin", "2026-06-15 06:59", false, "2026-06-15 07:00"},
        {"Mon-Fri 09:00-16:00 Europe/Berlin", "2026-06-15 07:00", true, "2026-06-15 14:00"},
        {"Mon-Fri 09:00-16:00 Europe/Berlin", "2026-06-15 13:59", true, "2026-06-15 14:00"},
        {"Mon-Fri 09:00-16:00 Europe/Berlin", "2026-06-15 14:00", false, "2026-06-16 07:00"},
        {"Mon-Fri 09:00-16:00 Europe/Berlin", "2026-06-19 14:00", false, "2026-06-22 07:00"},
        {"Mon-Fri 09:00-16:00 Europe/Berlin", "2026-06-20 10:00", false, "2026-06-22 07:00"},
        {"Mon-Fri 09:00-16:00 America/New_York", "2026-06-15 13:00", true, "2026-06-15 20:00"},
        {"Mon-Fri 09:00-16:00 UTC", "2026-06-15 09:00", true, "2026-06-15 16:00"},
    };

    (void)state;
    assert_all(rows, COUNT(rows));
}

static void days_are_lists_and_ranges(void **state)
{
    static const struct openness rows[] = {
        {"Sat,Sun 10:00-12:00 UTC", "2026-06-19 10:00", false, "2026-06-20 10:00"},
        {"Sat,Sun 10:00-12:00 UTC", "2026-06-21 11:00", true, "2026-06-21 12:00"},
        {"Sat,Sun 10:00-12:00 UTC", "2026-06-21 12:00", false, "2026-06-27 10:00"},
        {"Mon,Wed,Sat-Sun 10:00-12:00 UTC", "2026-06-16 10:00", false, "2026-06-17 10:00"},
        {"Mon,Wed,Sat-Sun 10:00-12:00 UTC", "2026-06-18 10:00", false, "2026-06-20 10:00"},
        {"Fri-Mon 10:00-12:00 UTC", "2026-06-15 10:00", true, "2026-06-15 12:00"},
        {"Fri-Mon 10:00-12:00 UTC", "2026-06-15 12:00", false, "2026-06-19 10:00"},
        {"daily 10:00-12:00 UTC", "2026-06-20 12:00", false, "2026-06-21 10:00"},
        {"Mon 10:00-12:00 UTC", "2026-06-15 12:00", false, "2026-06-22 10:00"},
        {"  Mon  10:00-12:00  UTC  ", "2026-06-15 11:00", true, "2026-06-15 12:00"},
    };

    (void)state;
    assert_all(rows, COUNT(rows));
}

static void whole_days_end_at_midnight(void **state)
{
    static const struct openness rows[] = {
        {"Sat,Sun 00:00-24:00 Europe/Berlin", "2026-06-19 21:59", false, "2026-06-19 22:00"},
        {"Sat,Sun 00:00-24:00 Europe/Berlin", "2026-06-20 21:59", true, "2026-06-21 22:00"},
        {"Sat,Sun 00:00-24:00 Europe/Berlin", "2026-06-21 22:00", false, "2026-06-26 22:00"},
        {"daily 00:00-24:00 Europe/Berlin", "2026-06-21 22:00", true, NULL},
        {"Mon-Sun 00:00-24:00 UTC", "2026-06-21 22:00", true, NULL},
        {"daily 12:00-24:00 UTC", "2026-06-21 23:59", true, "2026-06-22 00:00"},
    };

    (void)state;
    assert_all(rows, COUNT(rows));
}

static void past_midnight_the_days_are_those_on_which_it_opens(void **state)
{
    static const struct openness rows[] = {
        /* Friday is 2026-06-19 */
        {"Fri 22:00-04:00 Europe/Berlin", "2026-06-19 19:59", false, "2026-06-19 20:00"},
        {"Fri 22:00-04:00 Europe/Berlin", "2026-06-19 20:00", true, "2026-06-20 02:00"},
        {"Fri 22:00-04:00 Europe/Berlin", "2026-06-20 01:59", true, "2026-06-20 02:00"},
        {"Fri 22:00-04:00 Europe/Berlin", "2026-06-20 20:00", false, "2026-06-26 20:00"},
        {"Fri 22:00-04:00 Europe/Berlin", "2026-06-19 01:00", false, "2026-06-19 20:00"},
        {"daily 22:00-04:00 UTC", "2026-06-19 03:00", true, "2026-06-19 04:00"},
        {"Sun 22:00-04:00 UTC", "2026-06-22 03:00", true, "2026-06-22 04:00"},
        {"Sun 22:00-00:00 UTC", "2026-06-21 23:00", true, "2026-06-22 00:00"},
    };

    (void)state;
    assert_all(rows, COUNT(rows));
}

/* Berlin: 2026-03-29 01:00 UTC from 02:00 to 03:00. New York: 2026-03-08 07:00 UTC. */
static void an_hour_that_the_clock_leaves_out_never_opens(void **state)
{
    static const struct openness rows[] = {
        {"Sun 02:00-02:30 Europe/Berlin", "2026-03-29 00:59", false, "2026-04-05 00:00"},
        {"Sun 02:00-02:30 Europe/Berlin", "2026-03-22 01:30", false, "2026-04-05 00:00"},
        {"Sun 02:30-05:00 Europe/Berlin", "2026-03-29 00:59", false, "2026-03-29 01:00"},
        {"Sun 02:30-05:00 Europe/Berlin", "2026-03-29 01:00", true, "2026-03-29 03:00"},
        {"Sun 01:00-02:30 Europe/Berlin", "2026-03-29 00:30", true, "2026-03-29 01:00"},
        {"daily 09:00-16:00 Europe/Berlin", "2026-03-28 15:00", false, "2026-03-29 07:00"},
        {"Sun 02:00-02:30 America/New_York", "2026-03-01 07:30", false, "2026-03-15 06:00"},
        {"Sun 00:00-24:00 America/New_York", "2026-03-08 06:00", true, "2026-03-09 04:00"},
        {"2026-03-29 02:15 - 2026-03-29 02:45 Europe/Berlin", "2026-03-29 00:00", false, NULL},
        {"2026-03-29 02:15 - 2026-03-29 04:00 Europe/Berlin", "2026-03-29 00:00", false,
         "2026-03-29 01:00"},
    };

    (void)state;
    assert_all(rows, COUNT(rows));
}

/* Berlin: 2026-10-25 01:00 UTC from 03:00 to 02:00. New York: 2026-11-01 06:00 UTC. */
static void an_hour_that_the_clock_repeats_is_open_twice(void **state)
{
    static const struct openness rows[] = {
        {"Sun 02:00-02:30 Europe/Berlin", "2026-10-24 12:00", false, "2026-10-25 00:00"},
        {"Sun 02:00-02:30 Europe/Berlin", "2026-10-25 00:00", true, "2026-10-25 00:30"},
        {"Sun 02:00-02:30 Europe/Berlin", "2026-10-25 00:30", false, "2026-10-25 01:00"},
        {"Sun 02:00-02:30 Europe/Berlin", "2026-10-25 01:00", true, "2026-10-25 01:30"},
        {"Sun 02:00-02:30 Europe/Berlin", "2026-10-25 01:30", false, "2026-11-01 01:00"},
        {"Sun 02:00-03:00 Europe/Berlin", "2026-10-25 00:00", true, "2026-10-25 02:00"},
        {"Sun 02:30-04:00 Europe/Berlin", "2026-10-25 00:30", true, "2026-10-25 01:00"},
        {"Sun 02:30-04:00 Europe/Berlin", "2026-10-25 01:00", false, "2026-10-25 01:30"},
        {"Sun 01:00-01:30 America/New_York", "2026-11-01 05:30", false, "2026-11-01 06:00"},
        {"2026-10-25 00:00 - 2026-10-25 02:30 Europe/Berlin", "2026-10-25 00:30", false,
         "2026-10-25 01:00"},
        {"2026-10-25 00:00 - 2026-10-25 02:30 Europe/Berlin", "2026-10-25 01:30", false, NULL},
    };

    (void)state;
    assert_all(rows, COUNT(rows));
}

static void a_range_opens_once(void **state)
{
    static const struct openness rows[] = {
        {"2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin", "2025-01-01 00:00", false,
         "2026-12-23 17:00"},
        {"2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin", "2026-12-23 16:59", false,
         "2026-12-23 17:00"},
        {"2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin", "2026-12-23 17:00", true,
         "2027-01-02 07:00"},
        {"2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin", "2027-01-02 07:00", false, NULL},
        {"2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin", "2036-01-01 00:00", false, NULL},
        {"2026-12-24 - 2026-12-26 UTC", "2026-12-23 23:59", false, "2026-12-24 00:00"},
        {"2026-12-24 - 2026-12-26 UTC", "2026-12-26 23:59", true, "2026-12-27 00:00"},
        {"2026-12-24 - 2026-12-24 America/New_York", "2026-12-24 05:00", true, "2026-12-25 05:00"},
        {"2024-02-29 - 2024-02-29 UTC", "2024-02-29 12:00", true, "2024-03-01 00:00"},
        {"2026-03-28 - 2026-03-29 Europe/Berlin", "2026-03-28 12:00", true, "2026-03-29 22:00"},
        {"2026-01-01 - 2199-12-31 UTC", "2026-12-26 23:59", true, "2200-01-01 00:00"},
    };

    (void)state;
    assert_all(rows, COUNT(rows));
}

static void clocks_that_shift_by_odd_steps_are_right(void **state)
{
    static const struct openness rows[] = {
        {"daily 09:00-10:00 Asia/Kathmandu", "2026-06-15 03:14", false, "2026-06-15 03:15"},
        {"daily 09:00-10:00 Asia/Kathmandu", "2026-06-15 03:15", true, "2026-06-15 04:15"},
        /* +10:30, and +11 from 2026-10-03 15:30 UTC, when 02:00 becomes 02:30 */
        {"Sun 01:45-02:15 Australia/Lord_Howe", "2026-10-03 15:15", true, "2026-10-03 15:30"},
        {"Sun 02:00-02:30 Australia/Lord_Howe", "2026-10-03 15:15", false, "2026-10-10 15:00"},
        {"Sun 02:15-03:00 Australia/Lord_Howe", "2026-10-03 15:15", false, "2026-10-03 15:30"},
        /* and back at 2026-04-04 15:00 UTC, when 02:00 becomes 01:30 */
        {"Sun 01:30-02:00 Australia/Lord_Howe", "2026-04-04 14:30", true, "2026-04-04 15:30"},
        {"Sun 01:30-01:45 Australia/Lord_Howe", "2026-04-04 14:45", false, "2026-04-04 15:00"},
        {"daily 12:00-13:00 Pacific/Kiritimati", "2026-06-14 22:00", true, "2026-06-14 23:00"},
        {"daily 12:00-13:00 Pacific/Pago_Pago", "2026-06-14 23:00", true, "2026-06-15 00:00"},
        {"daily 12:00-13:00 Etc/UTC", "2026-06-14 12:00", true, "2026-06-14 13:00"},
    };

    (void)state;
    assert_all(rows, COUNT(rows));
}

/* Another implementation of the same database says what the clocks show. */
static bool shows_open(int64_t at_ms, const char *days, int from_min, int to_min)
{
    time_t at_s = (time_t)(at_ms / 1000);
    struct tm tm;
    int minute;

    localtime_r(&at_s, &tm);
    minute = tm.tm_hour * 60 + tm.tm_min;
    if (from_min < to_min)
        return days[tm.tm_wday] == 'x' && minute >= from_min && minute < to_min;
    return (days[tm.tm_wday] == 'x' && minute >= from_min) ||
           (days[(tm.tm_wday + 6) % 7] == 'x' && minute < to_min);
}

static void assert_same_as_the_clock(const char *zone, const char *text, const char *days,
                                     int from_min, int to_min)
{
    char *whole = mem_printf("%s %s", text, zone);
    struct window *window = window_of(whole);
    int64_t at_ms = utc("2026-01-01 00:00"), end_ms = utc("2027-01-01 00:00");
    int64_t next_ms = window_next_change(window, at_ms);

    setenv("TZ", zone, 1);
    tzset();
    for (bool open = window_is_open(window, at_ms); at_ms < end_ms; at_ms += MINUTE_MS) {
        open ^= at_ms == next_ms;
        if (shows_open(at_ms, days, from_min, to_min) != open)
            fail_msg("%s is %s at %lld", whole, open ? "open" : "shut", (long long)at_ms);
        if (at_ms == next_ms)
            next_ms = window_next_change(window, at_ms);
    }
    window_free(window);
    free(whole);
}

static void every_minute_of_a_year_is_as_the_clocks_show(void **state)
{
    static const char *const zones[] = {
        "Europe/Berlin",        "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
        "Africa/Casablanca",    "Asia/Jerusalem",   "America/St_Johns",    "Pacific/Chatham",
        "America/Scoresbysund", "Africa/Cairo",     "Antarctica/Troll",    "America/Havana",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(zones); i++) {
        assert_same_as_the_clock(zones[i], "daily 01:00-02:30", "xxxxxxx", 60, 150);
        assert_same_as_the_clock(zones[i], "Sat-Sun 23:30-02:15", "x_____x", 1410, 135);
        assert_same_as_the_clock(zones[i], "Mon,Fri 00:00-24:00", "_x___x_", 0, 1440);
    }
    unsetenv("TZ");
    tzset();
}

struct refusal {
    const char *text;
    const char *reason;
};

static void what_is_no_window_is_refused_with_what_would_be_right(void **state)
{
    static const struct refusal rows[] = {
        {"", "expected days"},
        {"Mon-Fri 09:00-16:00 Europe/Berln", "did you mean 'Europe/Berlin'?"},
        {"Mon-Fri 09:00-16:00 europe/berlin", "did you mean 'Europe/Berlin'?"},
        {"Mon-Fri 09:00-16:00 Mars/Olympus", "is not a time zone, such as Europe/Berlin"},
        {"Mon-Fri 09:00-16:00", "needs a time zone at its end"},
        {"Mon-Fri 09:00-16:00Europe/Berlin", "expected a blank and a time zone"},
        {"Mon-Fri 09:00-16:00 ../../../etc/passwd", "is not a time zone"},
        {"Mon-Fri 09:00-16:00 /etc/localtime", "is not a time zone"},
        {"Mon-Fri 09:00-16:00 right/Europe/Berlin", "is not a time zone"},
        {"Mon-Fri 09:00-16:00 Europe/Berlin x", "is not a time zone"},
        {"Mon-Fri 09:00-16:00 CET-1CEST", "is not a time zone"},
        {"Mon-Fri 9:00-16:00 UTC", "such as 09:00-16:00"},
        {"Mon-Fri 09:00-25:00 UTC", "such as 09:00-16:00"},
        {"Mon-Fri 09:00-24:01 UTC", "such as 09:00-16:00"},
        {"Mon-Fri 24:00-09:00 UTC", "such as 09:00-16:00"},
        {"Mon-Fri 09:60-16:00 UTC", "such as 09:00-16:00"},
        {"Mon-Fri 09:00 - 16:00 UTC", "such as 09:00-16:00"},
        {"Mon-Fri", "such as 09:00-16:00"},
        {"Mon-Fri 09:00-09:00 UTC", "a whole day is 00:00-24:00"},
        {"Monday 09:00-16:00 UTC", "did you mean 'Mon'?"},
        {"mon 09:00-16:00 UTC", "did you mean 'Mon'?"},
        {"Mon- 09:00-16:00 UTC", "expected days"},
        {"Mon, Tue 09:00-16:00 UTC", "expected days"},
        {"weekdays 09:00-16:00 UTC", "expected days"},
        {"09:00-16:00 UTC", "expected two dates or times"},
        {"2026-12-24 UTC", "expected two dates or times"},
        {"2026-12-24 18:00-20:00 UTC", "expected two dates or times"},
        {"2026-02-29 - 2026-03-01 UTC", "expected two dates or times"},
        {"2026-13-01 - 2026-13-02 UTC", "expected two dates or times"},
        {"1999-12-31 - 2000-01-01 UTC", "of the years 2000 to 2199"},
        {"2026-12-24 18:00 - 2026-12-26 UTC", "for both or none"},
        {"2026-12-26 - 2026-12-24 UTC", "ends before it begins"},
        {"2026-12-24 18:00 - 2026-12-24 18:00 UTC", "ends before it begins"},
        {"2026-12-24 - 2026-12-26", "needs a time zone"},
        {"\x01\xff", "expected days"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct window *window = (void *)1;
        struct err err = {0};

        if (window_parse(&window, rows[i].text, &err) == 0)
            fail_msg("taken: %s", rows[i].text);
        assert_null(window);
        assert_int_equal(err.code, ERR_INVALID);
        if (!strstr(err.msg, rows[i].reason))
            fail_msg("%s\nsays: %s\nnot:  %s", rows[i].text, err.msg, rows[i].reason);
    }
}

static void a_long_text_is_refused(void **state)
{
    char text[5000];
    struct window *window;
    struct err err = {0};

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(window_parse(&window, text, &err), -1);
    assert_non_null(strstr(err.msg, "longer than 200"));
    memcpy(text, "Mon 09:00-10:00 ", 16);
    text[150] = '\0';
    assert_int_equal(window_parse(&window, text, &err), -1);
    assert_non_null(strstr(err.msg, "is not a time zone"));
}

static void times_out_of_all_bounds_do_no_harm(void **state)
{
    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
    static const char *const texts[] = {"Sun 02:00-02:30 Europe/Berlin",
                                        "2000-01-01 - 2199-12-31 Asia/Kathmandu"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct window *window = window_of(texts[i]);

        for (size_t j = 0; j < COUNT(times); j++) {
            window_is_open(window, times[j]);
            assert_true(window_next_change(window, times[j]) > 0);
        }
        window_free(window);
    }
    window_free(NULL);
}

static void *parse_and_ask(void *arg)
{
    static const char *const zones[] = {"Europe/Oslo", "Asia/Tokyo", "America/Lima", "Asia/Dili"};
    int64_t now_ms = utc("2026-06-15 09:00");

    (void)arg;
    for (int i = 0; i < 200; i++) {
        char *text = mem_printf("daily 09:00-16:00 %s", zones[i % 4]);
        struct window *window;
        struct err err;

        if (window_parse(&window, text, &err) == 0) {
            window_next_change(window, now_ms + i * 60 * MINUTE_MS);
            window_free(window);
        }
        free(text);
    }
    return NULL;
}

static void threads_may_use_windows_at_once(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, parse_and_ask, NULL), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_may_use_windows_at_once),
        cmocka_unit_test(a_window_is_open_from_its_first_minute_to_before_its_last),
        cmocka_unit_test(days_are_lists_and_ranges),
        cmocka_unit_test(whole_days_end_at_midnight),
        cmocka_unit_test(past_midnight_the_days_are_those_on_which_it_opens),
        cmocka_unit_test(an_hour_that_the_clock_leaves_out_never_opens),
        cmocka_unit_test(an_hour_that_the_clock_repeats_is_open_twice),
        cmocka_unit_test(a_range_opens_once),
        cmocka_unit_test(clocks_that_shift_by_odd_steps_are_right),
        cmocka_unit_test(every_minute_of_a_year_is_as_the_clocks_show),
        cmocka_unit_test(what_is_no_window_is_refused_with_what_would_be_right),
        cmocka_unit_test(a_long_text_is_refused),
        cmocka_unit_test(times_out_of_all_bounds_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
