/* What is hidden in texts of tests is hidden before they are cut: no part of it is left. */
#include "base/buf.h"
#include "base/mem.h"
#include "mask/mask.h"
#include "tests/unit/report/fixture.h"

#define SECRET "hunter2-0123456789-0123456789-0123456789-0123456789-end" /* longer than 40 */

static void hide(const char *text, size_t len, bool cut, struct buf *out, const void *arg)
{
    struct mask_stream *stream = mask_stream_new((struct mask *)arg);
    mask_stream_add(stream, text, len, out);
    if (!cut)
        mask_stream_flush(stream, out);
    mask_stream_free(stream);
}

static struct mask *mask;
static struct report_mask hidden;

static void begin(struct report *report, enum report_format format)
{
    mask = mask_new();
    assert_int_equal(mask_add(mask, SECRET, strlen(SECRET), NULL), 0);
    hidden = (struct report_mask){.hide = hide, .arg = mask};
    report_init(report, format, ROOT);
    report->mask = &hidden;
}

static void end(struct report *report)
{
    report_release(report);
    mask_free(mask);
}

/* One failing test of that name and message, each after so many other bytes. */
static char *junit(size_t before_name, size_t before_text)
{
    char *name = mem_alloc(before_name + 1), *text = mem_alloc(before_text + 1);
    memset(name, 'n', before_name);
    memset(text, 't', before_text);
    char *xml = mem_printf("<testsuite name=\"s\"><testcase name=\"%s" SECRET "\" time=\"1\">"
                           "<failure>%s" SECRET "</failure></testcase></testsuite>",
                           name, text);
    free(name);
    free(text);
    return xml;
}

static void assert_clean(const char *text)
{
    if (strstr(text, "hunter2"))
        fail_msg("told: %s", text);
}

static void a_name_and_a_message_that_are_cut_in_it_show_nothing_of_it(void **state)
{
    (void)state;
    for (size_t left = 0; left <= strlen(SECRET) + 4; left++) {
        struct report report;
        begin(&report, REPORT_JUNITXML);
        char *xml = junit(REPORT_NAME_MAX - left, REPORT_MESSAGE_MAX - left);
        assert_int_equal(report_parse(&report, "t.xml", xml, strlen(xml), NULL, NULL), 0);
        assert_int_equal(report.failure_count, 1);
        assert_clean(report.failures[0].name);
        assert_clean(report.failures[0].message);
        assert_clean(report.slowest[0].name);
        if (left >= 3)
            assert_true(strstr(report.failures[0].message, "***") != NULL);
        free(xml);
        end(&report);
    }
}

/* Hidden ones are shorter, so what is far behind comes to be told. */
static void the_end_of_what_is_looked_at_shows_nothing_of_it_either(void **state)
{
    struct report report;
    struct buf xml;
    (void)state;
    for (size_t shift = 0; shift < strlen(SECRET); shift += 7) {
        begin(&report, REPORT_JUNITXML);
        buf_init(&xml, 1024 * 1024);
        buf_addf(&xml, "<testsuite><testcase name=\"a\"><failure message=\"m\">%.*s", (int)shift,
                 "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss");
        for (int i = 0; i < 2000; i++)
            buf_adds(&xml, SECRET);
        buf_adds(&xml, "</failure></testcase></testsuite>");
        assert_int_equal(report_parse(&report, "t.xml", xml.data, xml.len, NULL, NULL), 0);
        assert_clean(report.failures[0].message);
        buf_release(&xml);
        end(&report);
    }
}

static void the_reason_of_a_refusal_shows_nothing_of_it(void **state)
{
    static const struct {
        enum report_format format;
        const char *text;
    } rows[] = {
        {REPORT_JACOCOXML, "<report><package><sourcefile name=\"a\"><line nr=\"" SECRET
                           "\"/></sourcefile></package></report>"},
        {REPORT_JUNITXML, "<" SECRET "/>"},
        {REPORT_COBERTURAXML, "<coverage><packages><package><classes><class filename=\"a\"><lines>"
                              "<line number=\"1\" hits=\"" SECRET
                              "\"/></lines></class></classes></package></packages></coverage>"},
        {REPORT_CUCUMBERJSON, "[\"" SECRET "\" \"x\"]"},
        {REPORT_SIMPLECOV, "{\"a" SECRET "\": 1}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct report report;
        struct err err = {0};
        begin(&report, rows[i].format);
        assert_int_equal(report_parse(&report, "t", rows[i].text, strlen(rows[i].text), NULL, &err),
                         -1);
        assert_clean(err.msg);
        report_problem(&report, &err);
        assert_clean(report.problem);
        end(&report);
    }
}

static void a_step_of_cucumber_is_hidden_before_it_is_cut(void **state)
{
    (void)state;
    for (size_t left = 0; left < strlen(SECRET); left += 5) {
        struct report report;
        char name[256];
        begin(&report, REPORT_CUCUMBERJSON);
        memset(name, 'n', sizeof(name));
        char *json = mem_printf(
            "[{\"uri\": \"u\", \"name\": \"f\", \"elements\": [{\"type\": \"scenario\", \"name\": "
            "\"s\", \"steps\": [{\"keyword\": \"Given \", \"name\": \"%.*s" SECRET
            "\", \"result\": "
            "{\"status\": \"failed\", \"error_message\": \"it said " SECRET "\"}}]}]}]",
            (int)(200 - left), name);
        assert_int_equal(report_parse(&report, "t", json, strlen(json), NULL, NULL), 0);
        assert_int_equal(report.failure_count, 1);
        assert_clean(report.failures[0].message);
        assert_true(strstr(report.failures[0].message, "it said ***") != NULL);
        free(json);
        end(&report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_and_a_message_that_are_cut_in_it_show_nothing_of_it),
        cmocka_unit_test(the_end_of_what_is_looked_at_shows_nothing_of_it_either),
        cmocka_unit_test(the_reason_of_a_refusal_shows_nothing_of_it),
        cmocka_unit_test(a_step_of_cucumber_is_hidden_before_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
