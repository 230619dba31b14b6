#include "tests/unit/report/fixture.h"

struct tool {
    const char *file;
    enum report_format format;
    struct report_counts counts; /* total, passed, failed, errored, skipped, unknown, flaky */
    int64_t duration_ms;
};

static void what_each_tool_writes_is_counted(void **state)
{
    static const struct tool rows[] = {
        {"surefire.xml", REPORT_JUNITXML, {7, 3, 2, 1, 1, 0, 1}, 1203412},
        {"pytest.xml", REPORT_JUNITXML, {5, 1, 1, 1, 2, 0, 0}, 7},
        {"googletest.xml", REPORT_JUNITXML, {3, 1, 1, 0, 1, 0, 0}, 12},
        {"nested.xml", REPORT_JUNITXML, {3, 2, 0, 1, 0, 0, 0}, 15},
        {"nunit2.xml", REPORT_NUNITXML, {8, 2, 1, 3, 1, 1, 0}, 42},
        {"nunit24.xml", REPORT_NUNITXML, {3, 1, 1, 0, 1, 0, 0}, 36},
        {"nunit3.xml", REPORT_NUNIT3XML, {8, 3, 1, 2, 1, 1, 0}, 1057},
        {"testng.xml", REPORT_TESTNGXML, {5, 2, 1, 1, 1, 0, 1}, 52},
        {"vstest.trx", REPORT_VISUALSTUDIOTRX, {7, 2, 1, 2, 1, 1, 0}, 1719},
        {"aborted.trx", REPORT_VISUALSTUDIOTRX, {2, 1, 0, 1, 0, 0, 0}, 16},
        {"cucumber.json", REPORT_CUCUMBERJSON, {7, 1, 3, 1, 1, 1, 0}, 20},
        {"behave.json", REPORT_CUCUMBERJSON, {1, 0, 1, 0, 0, 0, 0}, 750},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct tool *row = &rows[i];
        struct report report;

        report_init(&report, row->format, ROOT);
        add_fixture(&report, row->file);
        const struct report_counts *c = &report.counts;
        if (memcmp(c, &row->counts, sizeof(*c)) != 0 || report.duration_ms != row->duration_ms)
            fail_msg("%s: total %d, passed %d, failed %d, errored %d, skipped %d, unknown %d, "
                     "flaky %d, %d ms",
                     row->file, (int)c->total, (int)c->passed, (int)c->failed, (int)c->errored,
                     (int)c->skipped, (int)c->unknown, (int)c->flaky, (int)report.duration_ms);
        assert_int_equal(report.files, 1);
        assert_int_equal(report.failure_count, c->failed + c->errored);
        assert_int_equal(c->total, c->passed + c->failed + c->errored + c->skipped + c->unknown);
        assert_false(report_passed(&report));
        report_release(&report);
    }
}

static void what_failed_has_its_place_and_reason(void **state)
{
    static const struct {
        const char *file;
        enum report_format format;
        size_t at;
        bool errored;
        const char *suite, *name, *message, *place;
    } rows[] = {
        {"surefire.xml", REPORT_JUNITXML, 0, false, "shop.CartTest", "appliesTheDiscount",
         "org.opentest4j.AssertionFailedError: expected: <90> but was: <100>\n"
         "\tat org.junit.jupiter.api.AssertionUtils.fail(AssertionUtils.java:55)\n"
         "\tat shop.CartTest.appliesTheDiscount(CartTest.java:41)",
         ""},
        {"surefire.xml", REPORT_JUNITXML, 1, false, "shop.CartTest", "readsTheStock",
         "java.lang.AssertionError: stock was 3\n\tat "
         "shop.CartTest.readsTheStock(CartTest.java:77)",
         ""},
        {"surefire.xml", REPORT_JUNITXML, 2, true, "shop.CartTest", "opensTheDatabase",
         "java.lang.NullPointerException\n\tat shop.Db.open(Db.java:12)", ""},
        {"pytest.xml", REPORT_JUNITXML, 1, true, "tests.test_db", "test_query",
         "failed on setup with \"ConnectionRefusedError: [Errno 111] Connection refused\"\n"
         "tests/test_db.py:2: ConnectionRefusedError",
         "tests/test_db.py:4"},
        {"googletest.xml", REPORT_JUNITXML, 0, false, "Cart", "Total",
         "cart_test.cc:22\nExpected equality of these values:\n  total()\n    Which is: 3\n  4",
         "cart_test.cc:20"},
        {"nested.xml", REPORT_JUNITXML, 0, true, "Shop\\DbTest", "(suite)",
         "Error: class Db not found in DbTest.php", ""},
        {"nunit2.xml", REPORT_NUNITXML, 0, false, "Shop.CartTests", "Price(1.5,\"a.b\")",
         "Expected: 90\n  But was:  100\nat Shop.CartTests.Price (System.Double a) [0x00000] in "
         "CartTests.cs:31",
         ""},
        {"nunit2.xml", REPORT_NUNITXML, 2, true, "Shop.CartTests", "Private",
         "Method is not public", ""},
        {"nunit2.xml", REPORT_NUNITXML, 3, true, "DbTests", "(suite)",
         "TearDown : System.Exception : still connected\nat Shop.DbTests.Close ()", ""},
        {"nunit3.xml", REPORT_NUNIT3XML, 0, false, "Shop.Tests.CartTests", "Price(90)",
         "Expected: 90\n  But was:  100\nat Shop.Tests.CartTests.Price(Int32 p) in "
         "/src/CartTests.cs:line 31",
         ""},
        {"nunit3.xml", REPORT_NUNIT3XML, 2, true, "Shop.Tests.DbTests", "(suite)",
         "TearDown : System.Exception : still connected\nat Shop.Tests.DbTests.Close()", ""},
        {"testng.xml", REPORT_TESTNGXML, 0, false, "shop.CartTest", "price",
         "java.lang.AssertionError: expected [90] but found [100]\n"
         "\tat org.testng.Assert.fail(Assert.java:111)\n"
         "\tat shop.CartTest.price(CartTest.java:31)",
         ""},
        {"testng.xml", REPORT_TESTNGXML, 1, true, "shop.DbTest", "connect",
         "java.net.ConnectException: Connection refused\n\tat "
         "shop.DbTest.connect(DbTest.java:9)",
         ""},
        {"vstest.trx", REPORT_VISUALSTUDIOTRX, 0, false, "Shop.Tests.CartTests", "Price",
         "Assert.Equal() Failure\nExpected: 90\nActual:   100\nat Shop.Tests.CartTests.Price() in "
         "/src/CartTests.cs:line 31",
         ""},
        {"vstest.trx", REPORT_VISUALSTUDIOTRX, 1, true, "Shop.Tests.RowTests", "Rows (2)",
         "Test 'Rows' exceeded execution timeout period.", ""},
        {"vstest.trx", REPORT_VISUALSTUDIOTRX, 2, true, "", "Broken", "", ""},
        {"aborted.trx", REPORT_VISUALSTUDIOTRX, 0, true, "", "(test run)",
         "The active test run was aborted. Reason: Test host process crashed", ""},
        {"cucumber.json", REPORT_CUCUMBERJSON, 0, false, "Cart", "Its background fails",
         "Given an empty cart: no database (RuntimeError)\n./steps/cart.rb:2:in `/^an empty "
         "cart$/'",
         "features/cart.feature:10"},
        {"cucumber.json", REPORT_CUCUMBERJSON, 1, false, "Cart", "Price",
         "Then the price is 90: expected: 90\n     got: 100 "
         "(RSpec::Expectations::ExpectationNotMetError)",
         "features/cart.feature:15"},
        {"cucumber.json", REPORT_CUCUMBERJSON, 2, true, "Order", "Its hook fails",
         "hook before hooks.rb:9: port in use", "features/order.feature:3"},
        {"cucumber.json", REPORT_CUCUMBERJSON, 3, false, "Order", "Nobody wrote its step",
         "Given a drone: undefined", "features/order.feature:12"},
        {"behave.json", REPORT_CUCUMBERJSON, 0, false, "Cart", "Price",
         "Then the price is 90: Assertion Failed: 100\nCaptured stdout:\nx",
         "features/cart.feature:3"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct report report;

        report_init(&report, rows[i].format, ROOT);
        add_fixture(&report, rows[i].file);
        assert_in_range(rows[i].at, 0, report.failure_count - 1);
        const struct report_failure *failure = &report.failures[rows[i].at];
        assert_string_equal(failure->suite, rows[i].suite);
        assert_string_equal(failure->name, rows[i].name);
        assert_string_equal(failure->message, rows[i].message);
        assert_string_equal(failure->file, rows[i].place);
        assert_int_equal(failure->errored, rows[i].errored);
        report_release(&report);
    }
}

static void the_slowest_come_first(void **state)
{
    struct report report;

    (void)state;
    report_init(&report, REPORT_JUNITXML, NULL);
    add_fixture(&report, "surefire.xml");
    assert_int_equal(report.slowest_count, 6); /* one took no time */
    assert_string_equal(report.slowest[0].name, "callsThePaymentService");
    assert_int_equal(report.slowest[0].duration_ms, 1203010);
    assert_string_equal(report.slowest[1].name, "readsTheStock");
    assert_string_equal(report.slowest[2].name, "countsInThousands");
    report_release(&report);
}

static void a_time_may_have_commas(void **state)
{
    static const struct {
        const char *time;
        int64_t ms;
    } rows[] = {
        {"0.016", 16},
        {"12", 12000},
        {"1,234", 1234000},
        {"1,234.5", 1234500},
        {"0,016", 16},
        {"0,0161", 16},
        {"12,5", 12500},
        {"1,234,567.25", 1234567250},
        {"1.5E-2", 15},
        {"-3", 0},
        {"", 0},
        {"NaN", 0},
        {"soon", 0},
        {"1e300", 1000000000000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct report report;
        char xml[128];

        snprintf(xml, sizeof(xml), "<testsuite><testcase name=\"a\" time=\"%s\"/></testsuite>",
                 rows[i].time);
        report_init(&report, REPORT_JUNITXML, NULL);
        add_text(&report, xml);
        if (report.duration_ms != rows[i].ms)
            fail_msg("\"%s\" is %lld ms", rows[i].time, (long long)report.duration_ms);
        report_release(&report);
    }
}

static void a_test_with_an_error_and_a_failure_counts_once(void **state)
{
    struct report report;

    (void)state;
    report_init(&report, REPORT_JUNITXML, NULL);
    add_text(&report, "<testsuite><testcase name=\"a\"><error message=\"first\"/>"
                      "<failure message=\"second\"/></testcase><testcase name=\"b\">"
                      "<failure message=\"first\"/><error message=\"second\"/><skipped/>"
                      "</testcase></testsuite>");
    assert_int_equal(report.counts.total, 2);
    assert_int_equal(report.counts.errored, 2);
    assert_string_equal(report.failures[0].message, "first");
    assert_string_equal(report.failures[1].message, "first");
    report_release(&report);
}

static void a_class_that_is_no_part_of_the_name_leaves_it_whole(void **state)
{
    struct report report;

    (void)state;
    report_init(&report, REPORT_NUNITXML, NULL);
    add_text(&report, "<test-results><test-case name=\"a\" classname=\"Shop.CartTests\""
                      " result=\"Failure\"/><test-case name=\"abcdefghijklmn.b\""
                      " classname=\"Shop.CartTests\" result=\"Failure\"/></test-results>");
    assert_string_equal(report.failures[0].suite, "Shop.CartTests");
    assert_string_equal(report.failures[0].name, "a");
    assert_string_equal(report.failures[1].name, "abcdefghijklmn.b");
    report_release(&report);
}

static void several_files_add_up(void **state)
{
    struct report report;

    (void)state;
    report_init(&report, REPORT_JUNITXML, NULL);
    add_fixture(&report, "surefire.xml");
    add_fixture(&report, "pytest.xml");
    assert_int_equal(report.files, 2);
    assert_int_equal(report.counts.total, 12);
    assert_int_equal(report.counts.failed, 3);
    assert_int_equal(report.failure_count, 5);
    assert_string_equal(report.failures[3].name, "test_price");
    assert_int_equal(report.duration_ms, 1203419);
    assert_string_equal(report.slowest[0].name, "callsThePaymentService");
    assert_int_equal(report.slowest_count, 9);
    report_release(&report);
}

static void a_merged_report_is_empty_after(void **state)
{
    struct report into, from;
    struct err err = {.msg = "b.xml:3: is not XML"};

    (void)state;
    report_init(&into, REPORT_JUNITXML, NULL);
    report_init(&from, REPORT_JUNITXML, NULL);
    add_fixture(&into, "googletest.xml");
    add_fixture(&from, "pytest.xml");
    report_problem(&from, &err);
    report_merge(&into, &from);
    assert_int_equal(into.counts.total, 8);
    assert_int_equal(into.failure_count, 3);
    assert_string_equal(into.problem, "b.xml:3: is not XML");
    assert_int_equal(into.problems, 1);
    assert_int_equal(from.counts.total, 0);
    assert_int_equal(from.failure_count, 0);
    add_fixture(&from, "pytest.xml");
    assert_int_equal(from.counts.total, 5);
    report_release(&into);
    report_release(&from);
}

static void what_passed_has_passed(void **state)
{
    struct report report;
    struct err err = {.msg = "b.xml: is empty"};

    (void)state;
    report_init(&report, REPORT_JUNITXML, NULL);
    add_text(&report, "<testsuites><testsuite name=\"a\"><testcase name=\"b\"/>"
                      "<testcase name=\"c\"><skipped/></testcase></testsuite></testsuites>");
    assert_true(report_passed(&report));
    report_problem(&report, &err);
    assert_false(report_passed(&report));
    report_release(&report);
}

static void failures_beyond_two_hundred_are_counted_only(void **state)
{
    struct report report;
    struct buf xml;

    (void)state;
    buf_init(&xml, 1024 * 1024);
    buf_adds(&xml, "<testsuite name=\"s\">");
    for (int i = 0; i < 250; i++)
        buf_addf(&xml, "<testcase name=\"t%d\"><failure message=\"m\"/></testcase>", i);
    buf_adds(&xml, "</testsuite>");
    report_init(&report, REPORT_JUNITXML, NULL);
    add_text(&report, xml.data);
    add_text(&report, xml.data);
    assert_int_equal(report.counts.failed, 500);
    assert_int_equal(report.failure_count, REPORT_FAILURES_MAX);
    assert_string_equal(report.failures[199].name, "t199");
    report_release(&report);
    buf_release(&xml);
}

static void a_long_message_is_cut_between_characters(void **state)
{
    struct report report;
    struct buf xml;

    (void)state;
    buf_init(&xml, 1024 * 1024);
    buf_adds(&xml, "<testsuite><testcase name=\"t\"><failure>x");
    for (int i = 0; i < 5000; i++)
        buf_adds(&xml, "\xe2\x82\xac"); /* a euro sign: 2,048 is no sum of 1 and threes */
    buf_adds(&xml, "</failure></testcase></testsuite>");
    report_init(&report, REPORT_JUNITXML, NULL);
    add_text(&report, xml.data);
    assert_int_equal(strlen(report.failures[0].message), 1 + 682 * 3);
    assert_string_equal(report.failures[0].message + 1 + 681 * 3, "\xe2\x82\xac");
    report_release(&report);
    buf_release(&xml);
}

static void escapes_and_control_characters_are_left_out(void **state)
{
    struct report report;

    (void)state;
    report_init(&report, REPORT_CUCUMBERJSON, NULL);
    add_text(&report, "[{\"name\":\"a\\u0007b\",\"elements\":[{\"name\":\"s\",\"steps\":[{"
                      "\"keyword\":\"Given \",\"name\":\"x\",\"result\":{\"status\":\"failed\","
                      "\"error_message\":\"\\u001b[1;31mred\\u001b[0m\\r\\n\\tplain\\u007f\"}}]}]}"
                      "]");
    assert_string_equal(report.failures[0].suite, "ab");
    assert_string_equal(report.failures[0].message, "Given x: red\n\tplain");
    report_release(&report);
}

static void windows_text_is_read(void **state)
{
    struct report report;

    (void)state;
    report_init(&report, REPORT_JUNITXML, NULL);
    add_text(&report, "<?xml version=\"1.0\" encoding=\"windows-1252\"?><testsuite>"
                      "<testcase name=\"\x93gr\xf6\xdf"
                      "er\x94\"><failure message=\"5 \x80\"/></testcase></testsuite>");
    assert_string_equal(report.failures[0].name, "“größer”");
    assert_string_equal(report.failures[0].message, "5 €");
    report_release(&report);
}

static void formats_have_names(void **state)
{
    enum report_format format;

    (void)state;
    for (int i = REPORT_JUNITXML; i <= REPORT_SIMPLECOV; i++) {
        assert_true(report_format_of(report_format_name((enum report_format)i), &format));
        assert_int_equal(format, i);
        assert_int_equal(report_format_kind(format),
                         i < REPORT_CLOVERXML ? REPORT_TEST : REPORT_COVERAGE);
    }
    assert_true(report_format_of("", &format));
    assert_int_equal(format, REPORT_JUNITXML);
    assert_true(report_format_of(NULL, &format));
    assert_int_equal(format, REPORT_JUNITXML);
    assert_false(report_format_of("JUNIT", &format));
    assert_false(report_format_of("junitxml", &format));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_each_tool_writes_is_counted),
        cmocka_unit_test(what_failed_has_its_place_and_reason),
        cmocka_unit_test(the_slowest_come_first),
        cmocka_unit_test(a_time_may_have_commas),
        cmocka_unit_test(a_test_with_an_error_and_a_failure_counts_once),
        cmocka_unit_test(a_class_that_is_no_part_of_the_name_leaves_it_whole),
        cmocka_unit_test(several_files_add_up),
        cmocka_unit_test(a_merged_report_is_empty_after),
        cmocka_unit_test(what_passed_has_passed),
        cmocka_unit_test(failures_beyond_two_hundred_are_counted_only),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(escapes_and_control_characters_are_left_out),
        cmocka_unit_test(windows_text_is_read),
        cmocka_unit_test(formats_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
