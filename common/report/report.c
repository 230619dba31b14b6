#include "report/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "report/cover.h"
#include "report/read.h"

#define BYTES_DEFAULT     ((size_t)64 * 1024 * 1024)
#define DEPTH_DEFAULT     64
#define ATTRIBUTE_DEFAULT ((size_t)1024 * 1024)
#define CASES_DEFAULT     500000
#define LINES_DEFAULT     4000000
#define VALUES_DEFAULT    4000000
#define PROBLEM_MAX       1000

static const struct format {
    const char *word;
    enum report_kind kind;
    int (*read)(struct reading *in);
} formats[] = {
    [REPORT_JUNITXML] = {"JUNITXML", REPORT_TEST, junit_read},
    [REPORT_CUCUMBERJSON] = {"CUCUMBERJSON", REPORT_TEST, cucumber_read},
    [REPORT_NUNITXML] = {"NUNITXML", REPORT_TEST, nunit_read},
    [REPORT_NUNIT3XML] = {"NUNIT3XML", REPORT_TEST, nunit_read},
    [REPORT_TESTNGXML] = {"TESTNGXML", REPORT_TEST, testng_read},
    [REPORT_VISUALSTUDIOTRX] = {"VISUALSTUDIOTRX", REPORT_TEST, trx_read},
    [REPORT_CLOVERXML] = {"CLOVERXML", REPORT_COVERAGE, clover_read},
    [REPORT_COBERTURAXML] = {"COBERTURAXML", REPORT_COVERAGE, cobertura_read},
    [REPORT_JACOCOXML] = {"JACOCOXML", REPORT_COVERAGE, jacoco_read},
    [REPORT_SIMPLECOV] = {"SIMPLECOV", REPORT_COVERAGE, simplecov_read},
};
#define FORMAT_COUNT (sizeof(formats) / sizeof(*formats))

bool report_format_of(const char *word, enum report_format *out)
{
    *out = REPORT_JUNITXML;
    if (str_empty(word))
        return true;
    for (size_t i = 1; i < FORMAT_COUNT; i++) {
        if (strcmp(formats[i].word, word) != 0)
            continue;
        *out = (enum report_format)i;
        return true;
    }
    return false;
}

const char *report_format_name(enum report_format format)
{
    return formats[format].word;
}

enum report_kind report_format_kind(enum report_format format)
{
    return formats[format].kind;
}

void report_init(struct report *report, enum report_format format, const char *root)
{
    *report = (struct report){.format = format,
                              .kind = formats[format].kind,
                              .root = mem_strdup(root),
                              .cover = cover_new()};
}

static void failure_free(struct report_failure *failure)
{
    free(failure->suite);
    free(failure->name);
    free(failure->message);
    free(failure->file);
}

static void time_free(struct report_time *time)
{
    free(time->suite);
    free(time->name);
}

void report_release(struct report *report)
{
    for (size_t i = 0; i < report->failure_count; i++)
        failure_free(&report->failures[i]);
    for (size_t i = 0; i < report->slowest_count; i++)
        time_free(&report->slowest[i]);
    free(report->failures);
    free(report->problem);
    free(report->root);
    cover_free(report->cover);
    *report = (struct report){0};
}

/* ---- cases ---- */

bool report_has_failed(const struct report *report)
{
    return report->counts.failed + report->counts.errored > 0;
}

/* Takes the strings over. */
static void keep_failure(struct report *report, const struct report_failure *failure)
{
    if (!report->failures)
        report->failures = mem_alloc(REPORT_FAILURES_MAX * sizeof(*report->failures));
    report->failures[report->failure_count++] = *failure;
}

static bool is_slow(const struct report *report, int64_t duration_ms)
{
    return duration_ms > 0 && (report->slowest_count < REPORT_SLOWEST_MAX ||
                               duration_ms > report->slowest[REPORT_SLOWEST_MAX - 1].duration_ms);
}

/* Takes the strings over. */
static void keep_time(struct report *report, const struct report_time *time)
{
    size_t at = report->slowest_count;

    if (at == REPORT_SLOWEST_MAX)
        time_free(&report->slowest[--at]);
    else
        report->slowest_count++;
    for (; at > 0 && report->slowest[at - 1].duration_ms < time->duration_ms; at--)
        report->slowest[at] = report->slowest[at - 1];
    report->slowest[at] = *time;
}

static uint64_t *counter_of(struct report_counts *counts, enum outcome outcome)
{
    switch (outcome) {
    case OUTCOME_PASSED:
        return &counts->passed;
    case OUTCOME_FAILED:
        return &counts->failed;
    case OUTCOME_ERRORED:
        return &counts->errored;
    case OUTCOME_SKIPPED:
        return &counts->skipped;
    default:
        return &counts->unknown;
    }
}

int report_add_case(struct reading *in, const struct test_case *c)
{
    struct report *report = in->report;
    bool failed = c->outcome == OUTCOME_FAILED || c->outcome == OUTCOME_ERRORED;

    if (in->cases_before + report->counts.total >= in->limits.cases)
        return err_set(in->err, ERR_LIMIT, "more than %zu tests", in->limits.cases);
    report->counts.total++;
    ++*counter_of(&report->counts, c->outcome);
    report->counts.flaky += c->flaky && c->outcome == OUTCOME_PASSED;
    report->duration_ms += c->duration_ms;
    if (failed && report->failure_count < REPORT_FAILURES_MAX)
        keep_failure(report, &(struct report_failure){
                                 .suite = text_keep(report, c->suite, REPORT_NAME_MAX),
                                 .name = text_keep(report, c->name, REPORT_NAME_MAX),
                                 .message = text_keep(report, c->message, REPORT_MESSAGE_MAX),
                                 .file = text_clean(c->file, REPORT_NAME_MAX),
                                 .errored = c->outcome == OUTCOME_ERRORED,
                             });
    if (is_slow(report, c->duration_ms))
        keep_time(report,
                  &(struct report_time){.suite = text_keep(report, c->suite, REPORT_NAME_MAX),
                                        .name = text_keep(report, c->name, REPORT_NAME_MAX),
                                        .duration_ms = c->duration_ms});
    return 0;
}

/* ---- files ---- */

static void add_counts(struct report_counts *to, const struct report_counts *from)
{
    to->total += from->total;
    to->passed += from->passed;
    to->failed += from->failed;
    to->errored += from->errored;
    to->skipped += from->skipped;
    to->unknown += from->unknown;
    to->flaky += from->flaky;
}

void report_merge(struct report *into, struct report *from)
{
    into->files += from->files;
    into->problems += from->problems;
    into->duration_ms += from->duration_ms;
    add_counts(&into->counts, &from->counts);
    for (size_t i = 0; i < from->failure_count; i++) {
        if (into->failure_count < REPORT_FAILURES_MAX)
            keep_failure(into, &from->failures[i]);
        else
            failure_free(&from->failures[i]);
    }
    for (size_t i = 0; i < from->slowest_count; i++) {
        if (is_slow(into, from->slowest[i].duration_ms))
            keep_time(into, &from->slowest[i]);
        else
            time_free(&from->slowest[i]);
    }
    from->failure_count = 0;
    from->slowest_count = 0;
    cover_merge(into->cover, from->cover, &into->coverage);
    if (!into->problem) {
        into->problem = from->problem;
        from->problem = NULL;
    }
    enum report_format format = from->format;
    const struct report_mask *mask = from->mask;
    char *root = mem_strdup(from->root);
    report_release(from);
    report_init(from, format, root);
    from->mask = mask;
    free(root);
}

static void fill_limits(struct report_limits *limits, const struct report_limits *given)
{
    static const struct report_limits defaults = {BYTES_DEFAULT, DEPTH_DEFAULT, ATTRIBUTE_DEFAULT,
                                                  CASES_DEFAULT, LINES_DEFAULT, VALUES_DEFAULT};

    *limits = given ? *given : defaults;
    limits->bytes = limits->bytes ? limits->bytes : defaults.bytes;
    limits->depth = limits->depth ? limits->depth : defaults.depth;
    limits->attribute = limits->attribute ? limits->attribute : defaults.attribute;
    limits->cases = limits->cases ? limits->cases : defaults.cases;
    limits->lines = limits->lines ? limits->lines : defaults.lines;
    limits->values = limits->values ? limits->values : defaults.values;
}

struct cover_bounds read_bounds(const struct reading *in)
{
    size_t files = in->limits.cases;

    return (struct cover_bounds){.files = files > in->cases_before ? files - in->cases_before : 0,
                                 .marks = in->limits.lines};
}

int report_parse(struct report *report, const char *name, const void *bytes, size_t len,
                 const struct report_limits *limits, struct err *err)
{
    struct report part;
    struct reading in = {.report = &part,
                         .name = name,
                         .bytes = bytes,
                         .len = len,
                         .cases_before = (size_t)report->counts.total + report->cover->count,
                         .err = err};
    struct err ignored;

    in.err = err ? err : &ignored;
    fill_limits(&in.limits, limits);
    if (len > in.limits.bytes)
        return err_set(err, ERR_LIMIT, "%s: has %zu bytes, more than %zu", name, len,
                       in.limits.bytes);
    if (len == 0)
        return err_set(err, ERR_INVALID, "%s: is empty", name);
    /* What the group's other files hold is bounded together with this one. */
    in.limits.lines -=
        report->cover->marks < in.limits.lines ? report->cover->marks : in.limits.lines;
    report_init(&part, report->format, report->root);
    part.mask = report->mask;
    part.files = 1;
    int rc = formats[report->format].read(&in);
    if (rc == 0) {
        cover_settle(part.cover, &part.coverage);
        report_merge(report, &part);
    }
    report_release(&part);
    return rc;
}

void report_problem(struct report *report, const struct err *err)
{
    report->problems++;
    if (!report->problem)
        report->problem = text_keep(report, err->msg, PROBLEM_MAX);
}

bool report_passed(const struct report *report)
{
    return report->problems == 0 && !report_has_failed(report);
}

/* ---- the worst files ---- */

static int by_missed(const void *a, const void *b)
{
    const struct report_file *x = a, *y = b;

    if (x->coverage.lines_missed != y->coverage.lines_missed)
        return x->coverage.lines_missed < y->coverage.lines_missed ? 1 : -1;
    return strcmp(x->path, y->path);
}

size_t report_worst(const struct report *report, struct report_file *out, size_t max)
{
    const struct cover *cover = report->cover;
    struct report_file *all;
    size_t n = 0;

    if (!cover->count || !max)
        return 0;
    all = mem_alloc(cover->count * sizeof(*all));
    for (size_t i = 0; i < cover->count; i++)
        all[n++] = (struct report_file){cover->files[i]->path, cover->files[i]->sum};
    qsort(all, n, sizeof(*all), by_missed);
    n = n < max ? n : max;
    memcpy(out, all, n * sizeof(*all));
    free(all);
    return n;
}
