#include "tests/unit/report/fixture.h"

static void expect_refused(enum report_format format, const char *text, size_t len,
                           const struct report_limits *limits, enum err_code code,
                           const char *words)
{
    struct report report;
    struct err err = {0};

    report_init(&report, format, NULL);
    if (report_parse(&report, "t.xml", text, len, limits, &err) == 0)
        fail_msg("taken: %.200s", text);
    if (!strstr(err.msg, words) || err.code != code)
        fail_msg("'%s' (%s) does not say '%s'", err.msg, err_code_name(err.code), words);
    assert_int_equal(report.counts.total, 0);
    assert_int_equal(report.files, 0);
    assert_int_equal(report.failure_count, 0);
    report_release(&report);
}

static void a_document_that_is_wrong_is_refused_with_its_line(void **state)
{
    static const struct {
        enum report_format format;
        const char *text, *words;
    } rows[] = {
        {REPORT_JUNITXML, "", "t.xml: is empty"},
        {REPORT_JUNITXML, " \n", "t.xml:2: ends before its first element"},
        {REPORT_JUNITXML, "<testsuite>\n<testcase name=\"a\"/>\n",
         "t.xml:3: ends in the middle, inside <testsuite>: it was not written to its end"},
        {REPORT_JUNITXML, "<testsuite>\n<testcase name=\"a\"><failure mess",
         "t.xml:2: ends in the middle, inside <testcase>"},
        {REPORT_JUNITXML, "<testsuite>\n<testcase name=\"a\"><failure><![CDATA[abc",
         "ends in the middle, inside <failure>"},
        {REPORT_JUNITXML, "<testsuite>\n</testsuites>", "t.xml:2: is not XML: mismatched tag"},
        {REPORT_JUNITXML, "<testsuite/>\nlog line",
         "t.xml:2: is not XML: junk after document element"},
        {REPORT_JUNITXML, "<testsuite>\n\n<testcase name=\"\x1b[31m\"/></testsuite>",
         "t.xml:3: is not XML: not well-formed (invalid token)"},
        {REPORT_JUNITXML, "tests passed", "t.xml:1: is not XML"},
        {REPORT_JUNITXML, "<html><body/></html>",
         "t.xml:1: begins with <html>, where JUNITXML expects <testsuites> or <testsuite>"},
        {REPORT_NUNITXML, "<test-run/>",
         "begins with <test-run>, where NUNITXML expects <test-results>; file-format for it is "
         "NUNIT3XML"},
        {REPORT_NUNIT3XML, "<test-results/>", "file-format for it is NUNITXML"},
        {REPORT_JUNITXML, "<testng-results/>", "file-format for it is TESTNGXML"},
        {REPORT_COBERTURAXML, "<report/>", "file-format for it is JACOCOXML"},
        {REPORT_COBERTURAXML, "<coverage generated=\"1\" clover=\"4.4\"/>",
         "t.xml:1: is Clover's; file-format for it is CLOVERXML"},
        {REPORT_JUNITXML, "<?xml version=\"1.0\" encoding=\"EBCDIC\"?>\n<testsuite/>",
         "t.xml:1: the encoding EBCDIC is not supported"},
        {REPORT_JACOCOXML,
         "<report><package name=\"p\"><sourcefile name=\"a\">\n<line mi=\"0\" ci=\"1\"/>",
         "t.xml:2: <line> has no nr"},
        {REPORT_JACOCOXML,
         "<report><package name=\"p\"><sourcefile name=\"a\">\n<line nr=\"1\" ci=\"-1\"/>",
         "t.xml:2: <line> has ci=\"-1\", which is no count"},
        {REPORT_JACOCOXML, "<report><package name=\"p\">\n<sourcefile/>",
         "t.xml:2: <sourcefile> or <class> has no name"},
        {REPORT_COBERTURAXML, "<coverage><class filename=\"a\">\n<line number=\"1\"/>",
         "t.xml:2: <line> has hits=\"\""},
        {REPORT_COBERTURAXML,
         "<coverage><class filename=\"a\">\n<line number=\"1\" hits=\"1\""
         " condition-coverage=\"half\"/>",
         "t.xml:2: condition-coverage=\"half\" is not like \"50% (1/2)\""},
        {REPORT_COBERTURAXML, "<coverage lines-valid=\"1\" lines-covered=\"2\"/>",
         "more lines-covered than lines-valid"},
        {REPORT_COBERTURAXML, "<coverage>\n<class name=\"A\"/>",
         "t.xml:2: <class> has no filename"},
        {REPORT_CLOVERXML, "<coverage><project>\n<file/>", "<file> has neither path nor name"},
        {REPORT_CLOVERXML,
         "<coverage><project><file name=\"a\">\n<metrics statements=\"1\""
         " coveredstatements=\"2\"/>",
         "t.xml:2: <metrics> has more coveredstatements than statements"},
        {REPORT_CUCUMBERJSON, "[{\"name\":\n\"a\"", "t.xml:2: ends in the middle"},
        {REPORT_CUCUMBERJSON, "[\n{]", "t.xml:2: is not JSON"},
        {REPORT_CUCUMBERJSON, "{}", "is no list of features"},
        {REPORT_CUCUMBERJSON, "[1]", "t.xml: [0]: is not a feature"},
        {REPORT_CUCUMBERJSON, "[{\"elements\":{}}]", "t.xml: [0]: elements is not a list"},
        {REPORT_CUCUMBERJSON, "[{\"elements\":[{},{\"steps\":[{\"result\":{}}]}]}]",
         "t.xml: [0].elements[1]: a result has no status"},
        {REPORT_CUCUMBERJSON, "[{\"elements\":[{\"steps\":1}]}]", "steps is not a list"},
        {REPORT_CUCUMBERJSON, "[{\"elements\":[1]}]", "[0].elements[0]: is not an object"},
        {REPORT_SIMPLECOV, "[]", "t.xml: is not an object"},
        {REPORT_SIMPLECOV, "{\"RSpec\":{}}", "RSpec: has no coverage"},
        {REPORT_SIMPLECOV, "{\"timestamp\":1,\"files\":[],\"metrics\":{}}",
         "is what the gem simplecov-json writes"},
        {REPORT_SIMPLECOV, "{\"RSpec\":{\"coverage\":{\"a.rb\":{}}}}",
         "coverage of a.rb: has no list of lines"},
        {REPORT_SIMPLECOV, "{\"RSpec\":{\"coverage\":{\"a.rb\":{\"lines\":[1,-2]}}}}",
         "coverage of a.rb: lines has something else"},
        {REPORT_SIMPLECOV, "{\"RSpec\":{\"coverage\":{\"a.rb\":{\"lines\":[],\"branches\":1}}}}",
         "branches is neither"},
        {REPORT_SIMPLECOV,
         "{\"RSpec\":{\"coverage\":{\"a.rb\":{\"lines\":[],\"branches\":{\"if\":{\"then\":\"x\","
         "\"else\":[]}}}}}}",
         "branches has something else"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_refused(rows[i].format, rows[i].text, strlen(rows[i].text), NULL, ERR_INVALID,
                       rows[i].words);
}

static void xml_that_would_grow_or_reach_out_is_refused(void **state)
{
    static const char *const rows[] = {
        /* billion laughs */
        "<!DOCTYPE testsuite [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">"
        "<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><testsuite name=\"&c;\"/>",
        /* a local file, a parameter entity, an attribute's default */
        "<!DOCTYPE testsuite [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"
        "<testsuite>&x;</testsuite>",
        "<!DOCTYPE testsuite [<!ENTITY % p SYSTEM \"http://127.0.0.1:1/e\"> %p;]><testsuite/>",
        "<!DOCTYPE testsuite [<!ATTLIST testsuite name CDATA \"x\">]><testsuite/>",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_refused(REPORT_JUNITXML, rows[i], strlen(rows[i]), NULL, ERR_INVALID,
                       "t.xml:1: its document type declares something, which is refused");
    static const char outside[] = "<!DOCTYPE testsuite SYSTEM \"http://127.0.0.1:1/x.dtd\">\n"
                                  "<testsuite><testcase name=\"a\">&inside;</testcase></testsuite>";
    expect_refused(REPORT_JUNITXML, outside, strlen(outside), NULL, ERR_INVALID,
                   "t.xml:2: the entity &inside; is not known");
}

#define TWENTY "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"

static void bounds_are_kept(void **state)
{
    static const struct report_limits few = {
        .bytes = 300, .depth = 5, .attribute = 20, .cases = 2, .lines = 3, .values = 60};
    static const struct {
        enum report_format format;
        const char *text, *words;
    } rows[] = {
        {REPORT_JUNITXML,
         "<testsuite><testcase name=\"a\"/>\n<testcase name=\"b\"/>\n<testcase name=\"c\"/>"
         "</testsuite>",
         "t.xml:3: more than 2 tests"},
        {REPORT_JUNITXML, "<testsuite>\n<testcase name=\"abcdefghijklmnopqrstu\"/></testsuite>",
         "t.xml:2: <testcase> has 21 bytes in name, more than 20"},
        {REPORT_JUNITXML, "<testsuite><testsuite><testsuite>\n<testsuite><testsuite><testsuite>",
         "t.xml:2: elements stand more than 5 deep"},
        {REPORT_CUCUMBERJSON, "[[[\n[[[", "t.xml:2: lists and objects stand more than 5 deep"},
        {REPORT_CUCUMBERJSON, "[\n{},{},{},{},{},{}]", "t.xml:2: more than 60 values, or 6 lists"},
        {REPORT_SIMPLECOV, "[\n" TWENTY TWENTY TWENTY "1]", "t.xml:2: more than 60 values"},
        {REPORT_SIMPLECOV, "{\"R\":{\"coverage\":{\"a\":[1,1,1,1]}}}",
         "t.xml: more than 3 lines and branches"},
        {REPORT_COBERTURAXML,
         "<coverage><class filename=\"a\"/><class filename=\"b\"/><class filename=\"c\"/>"
         "</coverage>",
         "t.xml:1: more than 2 source files"},
        {REPORT_JACOCOXML,
         "<report><package><sourcefile name=\"a\">\n<line nr=\"1\" ci=\"1\" cb=\"1\"/>"
         "<line nr=\"2\" ci=\"1\" cb=\"1\"/></sourcefile></package></report>",
         "t.xml:2: more than 3 lines and branches"},
    };
    char large[301];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_refused(rows[i].format, rows[i].text, strlen(rows[i].text), &few, ERR_LIMIT,
                       rows[i].words);
    memset(large, ' ', sizeof(large));
    expect_refused(REPORT_JUNITXML, large, sizeof(large), &few, ERR_LIMIT,
                   "t.xml: has 301 bytes, more than 300");
}

/* `format` with each of the numbers below `count`, in one element. */
__attribute__((format(printf, 2, 0))) static void numbered(struct buf *out, const char *format,
                                                           int count)
{
    buf_init(out, 16 * 1024 * 1024);
    buf_adds(out, "<testsuite>\n");
    for (int i = 0; i < count; i++)
        buf_addf(out, format, i);
    buf_adds(out, "</testsuite>");
}

static void names_and_tags_without_end_are_refused(void **state)
{
    struct buf xml;
    (void)state;

    numbered(&xml, "<b%d/>", 2500);
    expect_refused(REPORT_JUNITXML, xml.data, xml.len, NULL, ERR_LIMIT,
                   "t.xml:2: has more than 2000 different names");
    buf_release(&xml);
    numbered(&xml, "<b a%d=''/>", 2500);
    expect_refused(REPORT_JUNITXML, xml.data, xml.len, NULL, ERR_LIMIT,
                   "t.xml:2: has more than 2000 different names");
    buf_release(&xml);
    numbered(&xml, "<!-- %4000000d -->", 1);
    expect_refused(REPORT_JUNITXML, xml.data, xml.len, NULL, ERR_LIMIT,
                   "t.xml:2: has a tag or comment of more than 2 MiB");
    buf_release(&xml);
}

static void long_documents_and_texts_are_read(void **state)
{
    struct report report;
    struct buf xml;
    (void)state;

    numbered(&xml, "<testcase name='%d' classname='a.b.c.d.e.f.g.h.i.j.k.l.m'/>", 100000);
    report_init(&report, REPORT_JUNITXML, NULL);
    add_text(&report, xml.data);
    assert_int_equal(report.counts.passed, 100000);
    report_release(&report);
    buf_release(&xml);
    numbered(&xml, "<testcase name='a'><failure>x%5000000d</failure></testcase>", 1);
    report_init(&report, REPORT_JUNITXML, NULL);
    add_text(&report, xml.data);
    assert_string_equal(report.failures[0].message, "x");
    report_release(&report);
    buf_release(&xml);
}

static void bounds_hold_for_the_group(void **state)
{
    static const struct report_limits few = {.cases = 3, .lines = 3};
    static const char tests[] = "<testsuite><testcase name=\"a\"/><testcase name=\"b\"/>"
                                "</testsuite>";
    static const char one[] = "{\"R\":{\"coverage\":{\"a\":[1,1]}}}";
    static const char two[] = "{\"R\":{\"coverage\":{\"b\":[1,1]}}}";
    struct report report;
    struct err err = {0};

    (void)state;
    report_init(&report, REPORT_JUNITXML, NULL);
    assert_int_equal(report_parse(&report, "a", tests, strlen(tests), &few, &err), 0);
    assert_int_equal(report_parse(&report, "b", tests, strlen(tests), &few, &err), -1);
    assert_string_equal(err.msg, "b:1: more than 3 tests");
    assert_int_equal(report.counts.total, 2);
    report_release(&report);
    report_init(&report, REPORT_SIMPLECOV, NULL);
    assert_int_equal(report_parse(&report, "a", one, strlen(one), &few, &err), 0);
    assert_int_equal(report_parse(&report, "b", two, strlen(two), &few, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(report.coverage.lines_covered, 2);
    report_release(&report);
}

static void a_refused_file_leaves_the_others(void **state)
{
    static const char half[] = "<testsuite><testcase name=\"a\"><failure/></testcase>";
    struct report report;
    struct err err = {0};

    (void)state;
    report_init(&report, REPORT_JUNITXML, NULL);
    add_fixture(&report, "pytest.xml");
    assert_int_equal(report_parse(&report, "half.xml", half, strlen(half), NULL, &err), -1);
    assert_int_equal(report.counts.total, 5);
    assert_int_equal(report.failure_count, 2);
    report_problem(&report, &err);
    report_problem(&report, &err);
    assert_int_equal(report.problems, 2);
    assert_string_equal(
        report.problem,
        "half.xml:1: ends in the middle, inside <testsuite>: it was not written to its end");
    report_release(&report);
}

/* Every beginning of a real document is refused: none of them counts for the whole. */
static void no_beginning_of_a_document_is_taken(void **state)
{
    static const struct {
        const char *file;
        enum report_format format;
    } rows[] = {
        {"surefire.xml", REPORT_JUNITXML},      {"nunit3.xml", REPORT_NUNIT3XML},
        {"testng.xml", REPORT_TESTNGXML},       {"vstest.trx", REPORT_VISUALSTUDIOTRX},
        {"clover.xml", REPORT_CLOVERXML},       {"cobertura.xml", REPORT_COBERTURAXML},
        {"jacoco.xml", REPORT_JACOCOXML},       {"resultset.json", REPORT_SIMPLECOV},
        {"cucumber.json", REPORT_CUCUMBERJSON},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char path[256];
        struct buf bytes;

        snprintf(path, sizeof(path), "tests/unit/report/fixtures/%s", rows[i].file);
        assert_int_equal(file_read(&bytes, path, 1024 * 1024, NULL), 0);
        while (bytes.len && bytes.data[bytes.len - 1] == '\n')
            bytes.len--;
        for (size_t len = 0; len < bytes.len; len += 7) {
            struct report report;
            struct err err = {0};

            report_init(&report, rows[i].format, NULL);
            if (report_parse(&report, rows[i].file, bytes.data, len, NULL, &err) == 0)
                fail_msg("%s: taken after %zu bytes", rows[i].file, len);
            assert_string_not_equal(err.msg, "");
            report_release(&report);
        }
        buf_release(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_that_is_wrong_is_refused_with_its_line),
        cmocka_unit_test(xml_that_would_grow_or_reach_out_is_refused),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(names_and_tags_without_end_are_refused),
        cmocka_unit_test(long_documents_and_texts_are_read),
        cmocka_unit_test(bounds_hold_for_the_group),
        cmocka_unit_test(a_refused_file_leaves_the_others),
        cmocka_unit_test(no_beginning_of_a_document_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
