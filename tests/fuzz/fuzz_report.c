/* A report file as any build may write it. The first byte picks the format. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/result.pb-c.h"
#include "report/tell.h"

#define FORMATS REPORT_SIMPLECOV

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void text_is_good(const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len > max || !str_is_utf8(text, len))
        abort();
}

static void check(const struct report *report)
{
    const struct report_counts *c = &report->counts;
    struct report_file worst[REPORT_WORST_MAX];

    if (c->total != c->passed + c->failed + c->errored + c->skipped + c->unknown ||
        c->flaky > c->passed || report->failure_count > c->failed + c->errored)
        abort();
    for (size_t i = 0; i < report->failure_count; i++) {
        text_is_good(report->failures[i].suite, REPORT_NAME_MAX);
        text_is_good(report->failures[i].name, REPORT_NAME_MAX);
        text_is_good(report->failures[i].message, REPORT_MESSAGE_MAX);
        text_is_good(report->failures[i].file, REPORT_NAME_MAX);
    }
    for (size_t i = 1; i < report->slowest_count; i++) {
        if (report->slowest[i - 1].duration_ms < report->slowest[i].duration_ms)
            abort();
    }
    uint64_t missed = 0;
    size_t count = report_worst(report, worst, REPORT_WORST_MAX);
    for (size_t i = 0; i < count; i++)
        missed += worst[i].coverage.lines_missed;
    if (missed > report->coverage.lines_missed ||
        (count < REPORT_WORST_MAX && missed != report->coverage.lines_missed))
        abort();
}

/* What is told must be what every reader of the results accepts. */
static void tell(const struct report *report)
{
    const struct report_group groups[] = {{"one", report}, {"two", report}};
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;

    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    report_tell(&finished, groups, 2);
    result.pipeline = "shop";
    result.run_id = "00112233445566778899aabbccddeeff";
    result.attempt = result.number = 1;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    result.finished = &finished;
    if (event_check(TOPIC_RESULT_BUILD, &result, NULL) != 0)
        abort();
    report_untell(&finished);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report report;
    struct err err = {0};

    if (size == 0)
        return 0;
    report_init(&report, (enum report_format)(1 + data[0] % FORMATS), "/src");
    int rc = report_parse(&report, "fuzz", data + 1, size - 1, NULL, &err);
    if (rc == 0) {
        struct report_coverage once = report.coverage;
        check(&report);
        tell(&report);
        if (report_parse(&report, "fuzz", data + 1, size - 1, NULL, &err) != 0 ||
            memcmp(&once, &report.coverage, sizeof(once)) != 0)
            abort();
        check(&report);
    } else if (report.counts.total || report.files || !*err.msg) {
        abort();
    }
    report_release(&report);
    return 0;
}
