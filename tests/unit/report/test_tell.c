#include "report/tell.h"

#include "events/event.h"
#include "gantry/v1/result.pb-c.h"
#include "tests/unit/report/fixture.h"

/* What is told, as a reader of the results takes it. */
static Gantry__V1__ActionResult *told(const struct report_group *groups, size_t count)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    struct err err = {0};
    struct buf packed;
    void *out = NULL;

    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    report_tell(&finished, groups, count);
    result.pipeline = "shop";
    result.run_id = "00112233445566778899aabbccddeeff";
    result.attempt = result.number = 1;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    result.finished = &finished;
    buf_init(&packed, EVENT_VALUE_MAX);
    if (event_pack(&packed, &result, &err) != 0 ||
        event_unpack(&out, TOPIC_RESULT_BUILD, packed.data, packed.len, &err) != 0)
        fail_msg("%s", err.msg);
    buf_release(&packed);
    report_untell(&finished);
    assert_null(finished.reports);
    return out;
}

static void a_group_is_told_whole_where_it_fits(void **state)
{
    struct report tests, cover;
    struct err err = {.msg = "b.xml:1: ends in the middle"};

    (void)state;
    report_init(&tests, REPORT_JUNITXML, NULL);
    report_init(&cover, REPORT_SIMPLECOV, ROOT);
    add_fixture(&tests, "surefire.xml");
    add_fixture(&tests, "pytest.xml");
    report_problem(&tests, &err);
    add_fixture(&cover, "resultset.json");
    const struct report_group groups[] = {{"unit", &tests}, {"coverage", &cover}};
    Gantry__V1__ActionResult *result = told(groups, 2);
    assert_int_equal(result->finished->n_reports, 2);
    const Gantry__V1__TestReport *unit = result->finished->reports[0];
    assert_string_equal(unit->group, "unit");
    assert_string_equal(unit->format, "JUNITXML");
    assert_int_equal(unit->kind, GANTRY__V1__REPORT_KIND__REPORT_KIND_TEST);
    assert_int_equal(unit->files, 2);
    assert_int_equal(unit->counts->total, 12);
    assert_int_equal(unit->counts->flaky, 1);
    assert_int_equal(unit->duration_ms, 1203419);
    assert_int_equal(unit->n_failures, 5);
    assert_string_equal(unit->failures[3]->name, "test_price");
    assert_string_equal(unit->failures[3]->file, "tests/test_cart.py:18");
    assert_true(unit->failures[4]->errored);
    assert_int_equal(unit->n_slowest, 9);
    assert_string_equal(unit->problem, "b.xml:1: ends in the middle");
    assert_int_equal(unit->problems, 1);
    assert_null(unit->coverage);
    const Gantry__V1__TestReport *lines = result->finished->reports[1];
    assert_int_equal(lines->kind, GANTRY__V1__REPORT_KIND__REPORT_KIND_COVERAGE);
    assert_null(lines->counts);
    assert_int_equal(lines->coverage->lines_covered, 5);
    assert_int_equal(lines->coverage->branches_covered, 2);
    assert_int_equal(lines->n_worst, 2);
    assert_string_equal(lines->worst[0]->path, "app/cart.rb");
    event_free(result);
    report_release(&tests);
    report_release(&cover);
}

/* A group of `count` failures with long messages. */
static void fail_much(struct report *report, int count, const char *of)
{
    struct buf xml;

    buf_init(&xml, 4 * 1024 * 1024);
    buf_addf(&xml, "<testsuite name=\"%s\">", of);
    for (int i = 0; i < count; i++) {
        buf_addf(&xml, "<testcase name=\"%s%d\" time=\"%d\"><failure>", of, i, i);
        for (int j = 0; j < 1000; j++)
            buf_adds(&xml, "\xc3\xa9\n");
        buf_adds(&xml, "</failure></testcase>");
    }
    buf_adds(&xml, "</testsuite>");
    report_init(report, REPORT_JUNITXML, NULL);
    add_text(report, xml.data);
    buf_release(&xml);
}

static void what_does_not_fit_is_left_out_of_each_group_in_turn(void **state)
{
    struct report reports[25];
    struct report_group groups[25];
    size_t size = 0;

    (void)state;
    for (int i = 0; i < 25; i++) {
        fail_much(&reports[i], i == 0 ? 1 : 60, "t");
        groups[i] = (struct report_group){"group", &reports[i]};
    }
    Gantry__V1__ActionResult *result = told(groups, 25);
    assert_int_equal(result->finished->n_reports, REPORT_GROUPS_MAX);
    for (size_t i = 0; i < REPORT_GROUPS_MAX; i++) {
        const Gantry__V1__TestReport *report = result->finished->reports[i];
        assert_int_equal(report->counts->failed, i == 0 ? 1 : 60);
        assert_in_range(report->n_failures, i == 0 ? 1 : 5, 50);
        assert_string_equal(report->failures[0]->name, "t0");
        size += protobuf_c_message_get_packed_size(&report->base);
    }
    assert_in_range(size, EVENT_REPORTS_MAX - 4096, EVENT_REPORTS_MAX);
    event_free(result);
    for (int i = 0; i < 25; i++)
        report_release(&reports[i]);
}

static void at_most_fifty_failures_are_told_of_a_group(void **state)
{
    struct report report;
    struct buf xml;

    (void)state;
    buf_init(&xml, 64 * 1024);
    buf_adds(&xml, "<testsuite name=\"s\">");
    for (int i = 0; i < 80; i++)
        buf_addf(&xml, "<testcase name=\"t%d\"><failure>short</failure></testcase>", i);
    buf_adds(&xml, "</testsuite>");
    report_init(&report, REPORT_JUNITXML, NULL);
    add_text(&report, xml.data);
    const struct report_group group = {"unit", &report};
    Gantry__V1__ActionResult *result = told(&group, 1);
    assert_int_equal(result->finished->reports[0]->n_failures, 50);
    assert_string_equal(result->finished->reports[0]->failures[49]->name, "t49");
    assert_int_equal(result->finished->reports[0]->counts->failed, 80);
    event_free(result);
    report_release(&report);
    buf_release(&xml);
}

static void no_group_tells_nothing(void **state)
{
    (void)state;
    Gantry__V1__ActionResult *result = told(NULL, 0);
    assert_int_equal(result->finished->n_reports, 0);
    event_free(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_is_told_whole_where_it_fits),
        cmocka_unit_test(what_does_not_fit_is_left_out_of_each_group_in_turn),
        cmocka_unit_test(at_most_fifty_failures_are_told_of_a_group),
        cmocka_unit_test(no_group_tells_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
