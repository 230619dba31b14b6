/* What a build said of its tests and its coverage, in the line that people read. */
#include <jansson.h>

#include "base/buf.h"
#include "services/cli/cli.h"
#include "tests/unit/unit.h"

static void expect(const char *json, const char *words, const char *style)
{
    json_t *report = json_loads(json, 0, NULL);
    struct buf out;

    assert_non_null(report);
    buf_init(&out, 4096);
    const char *got = report_words(report, &out);
    assert_string_equal(buf_cstr(&out), words);
    assert_string_equal(got ? got : "", style);
    buf_release(&out);
    json_decref(report);
}

static void tests_are_counted_in_a_line(void **state)
{
    (void)state;
    expect(
        "{\"group\": \"unit\", \"durationMs\": 4100, \"counts\": {\"total\": 212, \"passed\": 212,"
        " \"failed\": 0, \"errored\": 0, \"skipped\": 0, \"unknown\": 0, \"flaky\": 0}}",
        "unit: 212 of 212 passed, 4 s", "");
    expect(
        "{\"group\": \"unit\", \"durationMs\": 65000, \"counts\": {\"total\": 212, \"passed\": 203,"
        " \"failed\": 1, \"errored\": 2, \"skipped\": 5, \"unknown\": 1, \"flaky\": 3}}",
        "unit: 203 of 212 passed, 1 failed, 2 errored, 5 skipped, 1 unknown, 3 flaky, 1 min",
        "bad");
    expect("{\"group\": \"unit\", \"counts\": {\"total\": 0}}", "unit: no tests", "");
}

static void coverage_is_a_share_of_lines_and_branches(void **state)
{
    (void)state;
    expect("{\"group\": \"cov\", \"coverage\": {\"linesCovered\": 1999, \"linesMissed\": 1,"
           " \"branchesCovered\": 1, \"branchesMissed\": 2}}",
           "cov: 99.9 % of 2000 lines, 33.3 % of 3 branches", "");
    expect("{\"group\": \"cov\", \"coverage\": {\"linesCovered\": 7, \"linesMissed\": 0}}",
           "cov: 100.0 % of 7 lines", "");
    expect("{\"group\": \"cov\", \"coverage\": {}}", "cov: no lines", "");
}

static void a_group_with_a_file_that_could_not_be_read_is_incomplete(void **state)
{
    (void)state;
    expect(
        "{\"group\": \"a\\u001b[31m\", \"counts\": {\"total\": 1, \"passed\": 1}, \"problems\": 3,"
        " \"durationMs\": 10, \"problem\": \"b.xml:3: is not XML\"}",
        "a [31m: 1 of 1 passed, 10 ms; incomplete: b.xml:3: is not XML (and 2 more)", "bad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tests_are_counted_in_a_line),
        cmocka_unit_test(coverage_is_a_share_of_lines_and_branches),
        cmocka_unit_test(a_group_with_a_file_that_could_not_be_read_is_incomplete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
