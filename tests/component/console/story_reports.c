#include "base/buf.h"
#include "gantry/v1/result.pb-c.h"
#include "report/tell.h"
#include "tests/component/console/story.h"

#include <stdio.h>
#include <stdlib.h>

#define TESTS 212
#define FILES 12
#define LINES 40

static void parse(struct report *report, enum report_format format, const struct buf *text)
{
    struct err err;

    report_init(report, format, "/home/build/src");
    if (report_parse(report, "story", text->data, text->len, NULL, &err) == 0)
        return;
    fprintf(stderr, "story: %s\n", err.msg);
    abort();
}

static void put_tests(struct report *report, uint64_t release, bool failed)
{
    struct buf xml;

    buf_init(&xml, 1024 * 1024);
    buf_adds(&xml, "<testsuite name=\"cart\">");
    for (unsigned i = 0; i < TESTS; i++) {
        buf_addf(&xml,
                 "<testcase classname=\"shop.Cart\" name=\"case_%u\" file=\"test_cart.c\""
                 " line=\"%u\" time=\"%.3f\">",
                 i, 10 + i, (double)((i * 37 + release) % 101) / 250);
        if (failed && i == 87)
            buf_adds(&xml, "<failure message=\"assertion failed: total == 4200\">"
                           "test_cart.c:88: assertion failed: total == 4200\n"
                           "  total is 4199\n  rounding(cart) at cart.c:141</failure>");
        else if (failed && i == 120)
            buf_adds(&xml, "<error message=\"connection refused\" type=\"IOError\"/>");
        else if (i % 50 == 7)
            buf_adds(&xml, "<skipped message=\"needs a printer\"/>");
        buf_adds(&xml, "</testcase>");
    }
    buf_adds(&xml, "</testsuite>");
    parse(report, REPORT_JUNITXML, &xml);
    buf_release(&xml);
}

static void put_coverage(struct report *report, uint64_t release)
{
    unsigned uncovered = 13 - (unsigned)(release % 10);
    struct buf xml;

    buf_init(&xml, 1024 * 1024);
    buf_adds(&xml, "<coverage line-rate=\"0.8\"><packages><package name=\"src\"><classes>");
    for (unsigned i = 0; i < FILES; i++) {
        buf_addf(&xml, "<class name=\"c%u\" filename=\"src/module_%u.c\"><lines>", i, i);
        for (unsigned line = 1; line <= LINES; line++)
            buf_addf(&xml, "<line number=\"%u\" hits=\"%u\"%s/>", line, line > uncovered - i % 3,
                     line % 8 ? "" : " branch=\"true\" condition-coverage=\"50% (1/2)\"");
        buf_adds(&xml, "</lines></class>");
    }
    buf_adds(&xml, "</classes></package></packages></coverage>");
    parse(report, REPORT_COBERTURAXML, &xml);
    buf_release(&xml);
}

void story_reports_put(Gantry__V1__Finished *finished, uint64_t release, bool failed)
{
    struct err err = {.msg =
                          "build/lint.xml:1: ends in the middle, inside <testsuites>: it was not "
                          "written to its end"};
    struct report tests, coverage, broken;

    put_tests(&tests, release, failed);
    put_coverage(&coverage, release);
    report_init(&broken, REPORT_JUNITXML, NULL);
    report_problem(&broken, &err);
    const struct report_group groups[] = {
        {"unit", &tests}, {"coverage", &coverage}, {"lint", &broken}};
    report_tell(finished, groups, failed ? 3 : 2);
    report_release(&tests);
    report_release(&coverage);
    report_release(&broken);
}

void story_reports_drop(Gantry__V1__Finished *finished)
{
    report_untell(finished);
}
