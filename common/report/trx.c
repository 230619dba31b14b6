#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/xml.h"

#define RESULTS_MAX 16 /* results in results: ordered and data-driven tests */

struct result {
    bool has_inner;
    enum outcome outcome;
    int64_t duration_ms;
    char *id, *name, *message, *stack;
    uint64_t failed_before;
};

struct trx {
    struct result results[RESULTS_MAX];
    size_t depth;
    struct map *classes; /* a test's id -> its class */
    char *definition;    /* the id of the one that is open */
    char *summary;       /* the run's outcome */
    char *run_message;   /* the first error of the run itself */
    bool run_error;
};

static void result_release(struct result *result)
{
    free(result->id);
    free(result->name);
    free(result->message);
    free(result->stack);
    *result = (struct result){0};
}

static uint64_t failed(struct xml *xml)
{
    const struct report_counts *counts = &xml_in(xml)->report->counts;

    return counts->failed + counts->errored;
}

/* The enum TestOutcome of vstst.xsd. Its zero is Error, which some writers leave out. */
static enum outcome outcome_of(const char *word)
{
    static const struct {
        const char *word;
        enum outcome outcome;
    } words[] = {
        {"Passed", OUTCOME_PASSED},
        {"Warning", OUTCOME_PASSED},
        {"PassedButRunAborted", OUTCOME_PASSED},
        {"Failed", OUTCOME_FAILED},
        {"Error", OUTCOME_ERRORED},
        {"Timeout", OUTCOME_ERRORED},
        {"Aborted", OUTCOME_ERRORED},
        {"Disconnected", OUTCOME_ERRORED},
        {"NotExecuted", OUTCOME_SKIPPED},
        {"NotRunnable", OUTCOME_SKIPPED},
    };

    if (!word)
        return OUTCOME_ERRORED;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcasecmp(words[i].word, word) == 0)
            return words[i].outcome;
    }
    return OUTCOME_UNKNOWN; /* Inconclusive, InProgress, Pending, Completed */
}

static bool is_result(const char *name)
{
    return xml_is(name, "UnitTestResult") || xml_is(name, "TestResult") ||
           xml_is(name, "GenericTestResult") || xml_is(name, "WebTestResult") ||
           xml_is(name, "ManualTestResult") || xml_is(name, "LoadTestResult") ||
           xml_is(name, "TestResultAggregation");
}

static void open_result(struct xml *xml, struct trx *t, const char *const *attributes)
{
    if (t->depth == RESULTS_MAX) {
        xml_fail(xml, ERR_LIMIT, "results stand more than %d deep", RESULTS_MAX);
        return;
    }
    if (t->depth)
        t->results[t->depth - 1].has_inner = true;
    struct result *result = &t->results[t->depth++];
    result->outcome = outcome_of(xml_attribute(attributes, "outcome"));
    result->duration_ms = text_timespan(xml_attribute(attributes, "duration"));
    result->id = mem_strdup(xml_attribute(attributes, "testId"));
    result->name = mem_strdup(xml_attribute(attributes, "testName"));
    result->failed_before = failed(xml);
}

/* Results with results in them are the sum of those: they count themselves only where they failed
 * and no inner one did. The class of a test is known later: its id stands for it until then. */
static void close_result(struct xml *xml, struct trx *t)
{
    struct result *result = &t->results[t->depth - 1];
    bool bad = result->outcome == OUTCOME_FAILED || result->outcome == OUTCOME_ERRORED;
    char *message = text_message(result->message, result->stack);
    const struct test_case c = {.outcome = result->outcome,
                                .duration_ms = result->has_inner ? 0 : result->duration_ms,
                                .suite = result->id,
                                .name = result->name,
                                .message = message};

    if ((!result->has_inner || (bad && failed(xml) == result->failed_before)) &&
        report_add_case(xml_in(xml), &c) != 0)
        xml_fail_err(xml);
    free(message);
    result_release(result);
    t->depth--;
}

static void on_open(struct xml *xml, const char *name, const char *const *attributes)
{
    struct trx *t = xml_state(xml);
    const char *parent = xml_parent(xml);

    if (is_result(name)) {
        open_result(xml, t, attributes);
    } else if (xml_is(parent, "TestDefinitions")) {
        free(t->definition);
        t->definition = mem_strdup(xml_attribute(attributes, "id"));
    } else if (xml_is(name, "TestMethod") && t->definition) {
        const char *class = xml_attribute(attributes, "className");
        /* MSTest: "Shop.Tests.CartTests, Shop.Tests, Version=1.0.0.0, ..." */
        if (class && map_count(t->classes) < xml_in(xml)->limits.cases) {
            free(map_take(t->classes, t->definition));
            map_set(t->classes, t->definition, mem_strndup(class, strcspn(class, ",")));
        }
    } else if (xml_is(name, "ResultSummary")) {
        free(t->summary);
        t->summary = mem_strdup(xml_attribute(attributes, "outcome"));
    } else if (xml_is(name, "RunInfo")) {
        const char *outcome = xml_attribute(attributes, "outcome");
        t->run_error = outcome && strcasecmp(outcome, "Error") == 0;
    } else if ((xml_is(parent, "ErrorInfo") && t->depth) ||
               (xml_is(name, "Text") && xml_is(parent, "RunInfo"))) {
        xml_collect(xml);
    }
}

static void take(char **to, const char *text)
{
    if (!*to)
        *to = mem_strdup(text);
}

static void on_close(struct xml *xml, const char *name)
{
    struct trx *t = xml_state(xml);
    const char *parent = xml_parent(xml);

    if (is_result(name))
        close_result(xml, t);
    else if (xml_is(parent, "ErrorInfo") && t->depth && xml_is(name, "Message"))
        take(&t->results[t->depth - 1].message, xml_text(xml));
    else if (xml_is(parent, "ErrorInfo") && t->depth && xml_is(name, "StackTrace"))
        take(&t->results[t->depth - 1].stack, xml_text(xml));
    else if (xml_is(name, "Text") && xml_is(parent, "RunInfo") && t->run_error)
        take(&t->run_message, xml_text(xml));
}

static void name_class(const struct report *report, const struct trx *t, char **suite)
{
    const char *class = map_get(t->classes, *suite);

    free(*suite);
    *suite = text_keep(report, class, REPORT_NAME_MAX);
}

/* A run that was aborted, or failed with no test that did, did not say all there was to say. */
static int finish(struct reading *in, const struct trx *t)
{
    struct report *report = in->report;

    for (size_t i = 0; i < report->failure_count; i++)
        name_class(report, t, &report->failures[i].suite);
    for (size_t i = 0; i < report->slowest_count; i++)
        name_class(report, t, &report->slowest[i].suite);
    bool good = str_empty(t->summary) || str_eq(t->summary, "Completed") ||
                str_eq(t->summary, "Passed") || str_eq(t->summary, "Warning");
    if (good || report_has_failed(report))
        return 0;
    const struct test_case run = {.outcome = OUTCOME_ERRORED,
                                  .name = "(test run)",
                                  .message = t->run_message ? t->run_message : t->summary};
    return report_add_case(in, &run) == 0 ? 0 : err_wrap(in->err, "%s", in->name);
}

int trx_read(struct reading *in)
{
    static const char *const roots[] = {"TestRun", NULL};
    static const struct xml_reader reader = {roots, on_open, on_close};
    struct trx t = {.classes = map_new(free)};
    int rc = xml_read(in, &reader, &t);

    if (rc == 0)
        rc = finish(in, &t);
    while (t.depth)
        result_release(&t.results[--t.depth]);
    free(t.definition);
    free(t.summary);
    free(t.run_message);
    map_free(t.classes);
    return rc;
}
