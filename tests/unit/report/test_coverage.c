#include "tests/unit/report/fixture.h"

struct file_row {
    const char *path;
    struct report_coverage coverage; /* lines covered, missed, branches covered, missed */
};

struct tool {
    const char *file;
    enum report_format format;
    struct report_coverage all;
    struct file_row worst[3];
};

static void same(const char *what, const struct report_coverage *is,
                 const struct report_coverage *wanted)
{
    if (memcmp(is, wanted, sizeof(*is)) != 0)
        fail_msg("%s: lines %d covered, %d missed, branches %d covered, %d missed", what,
                 (int)is->lines_covered, (int)is->lines_missed, (int)is->branches_covered,
                 (int)is->branches_missed);
}

static void what_each_tool_writes_is_counted(void **state)
{
    static const struct tool rows[] = {
        {"clover.xml",
         REPORT_CLOVERXML,
         {5, 2, 3, 1},
         {{"shop/cart/Item.java", {1, 1, 0, 0}},
          {"src/main/java/shop/cart/Cart.java", {4, 1, 3, 1}}}},
        {"cobertura.xml",
         REPORT_COBERTURAXML,
         {5, 2, 3, 1},
         {{"cart.py", {4, 1, 3, 1}}, {"item.py", {1, 1, 0, 0}}}},
        {"jacoco.xml",
         REPORT_JACOCOXML,
         {3, 2, 3, 3},
         {{"core/shop/cart/Cart.java", {3, 1, 3, 1}},
          {"web/shop/web/Page.java", {0, 1, 0, 0}},
          {"web/shop/web/Generated", {0, 0, 0, 2}}}},
        {"resultset.json",
         REPORT_SIMPLECOV,
         {5, 2, 2, 0},
         {{"app/cart.rb", {4, 1, 2, 0}}, {"app/item.rb", {1, 1, 0, 0}}}},
        {"resultset-old.json", REPORT_SIMPLECOV, {1, 1, 0, 0}, {{"app/cart.rb", {1, 1, 0, 0}}}},
        {"coverage.json", REPORT_SIMPLECOV, {3, 1, 1, 1}, {{"app/cart.rb", {3, 1, 1, 1}}}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct report_file worst[REPORT_WORST_MAX];
        struct report report;

        report_init(&report, rows[i].format, ROOT);
        add_fixture(&report, rows[i].file);
        same(rows[i].file, &report.coverage, &rows[i].all);
        size_t count = report_worst(&report, worst, REPORT_WORST_MAX), wanted = 0;
        while (wanted < 3 && rows[i].worst[wanted].path)
            wanted++;
        assert_int_equal(count, wanted);
        for (size_t j = 0; j < count; j++) {
            assert_string_equal(worst[j].path, rows[i].worst[j].path);
            same(worst[j].path, &worst[j].coverage, &rows[i].worst[j].coverage);
        }
        assert_int_equal(report.counts.total, 0);
        assert_true(report_passed(&report));
        report_release(&report);
    }
}

static void a_line_that_two_files_tell_of_counts_once(void **state)
{
    struct report_file worst[2];
    struct report report;

    (void)state;
    report_init(&report, REPORT_COBERTURAXML, ROOT);
    add_fixture(&report, "cobertura.xml");
    add_fixture(&report, "cobertura-more.xml");
    same("both", &report.coverage, &(struct report_coverage){6, 1, 4, 0});
    assert_int_equal(report_worst(&report, worst, 1), 1);
    assert_string_equal(worst[0].path, "item.py");
    add_fixture(&report, "cobertura.xml"); /* tells nothing new */
    same("again", &report.coverage, &(struct report_coverage){6, 1, 4, 0});
    assert_int_equal(report.files, 3);
    report_release(&report);
}

static void lines_out_of_order_and_twice_are_one_each(void **state)
{
    struct report report;

    (void)state;
    report_init(&report, REPORT_COBERTURAXML, NULL);
    add_text(&report, "<coverage line-rate=\"1\"><packages><package name=\"p\"><classes>"
                      "<class name=\"A\" filename=\"a.cs\"><lines>"
                      "<line number=\"9\" hits=\"0\"/><line number=\"2\" hits=\"1\"/>"
                      "<line number=\"9\" hits=\"4\"/></lines></class>"
                      "<class name=\"A/B\" filename=\"a.cs\"><lines>"
                      "<line number=\"1\" hits=\"0\"/><line number=\"2\" hits=\"0\"/>"
                      "</lines></class></classes></package></packages></coverage>");
    same("a.cs", &report.coverage, &(struct report_coverage){2, 1, 0, 0});
    report_release(&report);
}

static void counts_stand_in_where_no_lines_are_told(void **state)
{
    static const struct {
        enum report_format format;
        const char *xml;
        struct report_coverage wanted;
    } rows[] = {
        {REPORT_COBERTURAXML,
         "<coverage line-rate=\"0.5\" lines-covered=\"5\" lines-valid=\"10\" branches-covered=\"1\""
         " branches-valid=\"4\"><packages/></coverage>",
         {5, 5, 1, 3}},
        {REPORT_CLOVERXML,
         "<coverage generated=\"1\"><project><file name=\"a.php\"><metrics statements=\"10\""
         " coveredstatements=\"4\" conditionals=\"0\" coveredconditionals=\"0\"/></file></project>"
         "</coverage>",
         {4, 6, 0, 0}},
        {REPORT_JACOCOXML,
         "<report name=\"r\"><package name=\"p\"><sourcefile name=\"A.kt\"><counter type=\"LINE\""
         " missed=\"3\" covered=\"7\"/><counter type=\"BRANCH\" missed=\"1\" covered=\"1\"/>"
         "</sourcefile></package></report>",
         {7, 3, 1, 1}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct report report;

        report_init(&report, rows[i].format, NULL);
        add_text(&report, rows[i].xml);
        add_text(&report, rows[i].xml); /* the same again changes nothing */
        same(report_format_name(rows[i].format), &report.coverage, &rows[i].wanted);
        report_release(&report);
    }
}

static void istanbul_counts_its_condition_lines(void **state)
{
    struct report report;

    (void)state;
    report_init(&report, REPORT_CLOVERXML, "/repo");
    add_text(&report,
             "<coverage generated=\"1\" clover=\"3.2.0\"><project timestamp=\"1\" name=\"All\">"
             "<file name=\"cart.js\" path=\"/repo/src/cart.js\"><metrics statements=\"3\""
             " coveredstatements=\"2\" conditionals=\"2\" coveredconditionals=\"1\" methods=\"1\""
             " coveredmethods=\"1\"/><line num=\"1\" count=\"2\" type=\"stmt\"/>"
             "<line num=\"2\" count=\"2\" type=\"cond\" truecount=\"1\" falsecount=\"1\"/>"
             "<line num=\"3\" count=\"0\" type=\"cond\" truecount=\"0\" falsecount=\"2\"/></file>"
             "</project></coverage>");
    same("cart.js", &report.coverage, &(struct report_coverage){2, 1, 1, 1});
    report_release(&report);
}

static void worst_files_come_by_lines_missed_then_by_path(void **state)
{
    struct report_file worst[REPORT_WORST_MAX];
    struct report report;
    struct buf json;

    (void)state;
    buf_init(&json, 1024 * 1024);
    buf_adds(&json, "{\"RSpec\":{\"coverage\":{");
    for (int i = 0; i < 150; i++)
        buf_addf(&json, "%s\"f%03d.rb\":[%s1]", i ? "," : "", i, i % 2 ? "0," : "");
    buf_adds(&json, "}}}");
    report_init(&report, REPORT_SIMPLECOV, NULL);
    add_text(&report, json.data);
    assert_int_equal(report_worst(&report, worst, REPORT_WORST_MAX), REPORT_WORST_MAX);
    assert_string_equal(worst[0].path, "f001.rb");
    assert_string_equal(worst[74].path, "f149.rb");
    assert_string_equal(worst[75].path, "f000.rb");
    same("all", &report.coverage, &(struct report_coverage){150, 75, 0, 0});
    report_release(&report);
    buf_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_each_tool_writes_is_counted),
        cmocka_unit_test(a_line_that_two_files_tell_of_counts_once),
        cmocka_unit_test(lines_out_of_order_and_twice_are_one_each),
        cmocka_unit_test(counts_stand_in_where_no_lines_are_told),
        cmocka_unit_test(istanbul_counts_its_condition_lines),
        cmocka_unit_test(worst_files_come_by_lines_missed_then_by_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
