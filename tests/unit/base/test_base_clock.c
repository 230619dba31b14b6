#include "base/clock.h"
#include "tests/unit/unit.h"

static void instants_are_written_in_utc_with_milliseconds(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1769850000123, "2026-01-31T09:00:00.123Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[CLOCK_RFC3339_SIZE];
        int64_t ms = -7;

        clock_rfc3339(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(clock_parse_rfc3339(text, &ms), 0);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void offsets_and_fractions_are_understood(void **state)
{
    int64_t ms;

    (void)state;
    assert_int_equal(clock_parse_rfc3339("2026-01-31T10:00:00+01:00", &ms), 0);
    assert_int_equal(ms, 1769850000000);
    assert_int_equal(clock_parse_rfc3339("2026-01-31T03:30:00.5-05:30", &ms), 0);
    assert_int_equal(ms, 1769850000500);
    assert_int_equal(clock_parse_rfc3339("2026-01-31T09:00:00.123999Z", &ms), 0);
    assert_int_equal(ms, 1769850000123);
}

static void what_is_not_an_instant_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "2026",
        "2026-01-31",
        "2026-01-31T09:00:00",
        "2026-01-31T09:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-02-00T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:60:00Z",
        "2026-01-31T23:59:61Z",
        "2026-01-31T09:00:00.Z",
        "2026-01-31T09:00:00+0100",
        "2026-01-31T09:00:00Zx",
        "2026-01-31T09:00:00+25:00",
        " 2026-01-31T09:00:00Z",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms;

        assert_int_equal(clock_parse_rfc3339(rows[i], &ms), -1);
    }
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    int64_t before_us = clock_mono_us();
    int64_t before_ms = clock_mono_ms();

    (void)state;
    assert_true(clock_mono_us() >= before_us);
    assert_true(clock_mono_ms() >= before_ms);
    assert_true(clock_now_ms() > 1577836800000);
}

static void durations_for_people_have_one_unit(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "0 ms"},       {999, "999 ms"},     {3000, "3 s"},        {59999, "59 s"},
        {120000, "2 min"}, {3599999, "59 min"}, {4 * 3600000, "4 h"}, {6 * 86400000, "6 d"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[32];

        clock_human(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants_are_written_in_utc_with_milliseconds),
        cmocka_unit_test(offsets_and_fractions_are_understood),
        cmocka_unit_test(what_is_not_an_instant_is_refused),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
        cmocka_unit_test(durations_for_people_have_one_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
