/* NUnit 2's <test-results> and NUnit 3's <test-run>: suites in suites, and cases in them. What they
 * do not share is how a result is written. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "report/xml.h"

#define SUITES_MAX 64

/* A suite or a case that is open. */
struct part {
    bool is_case;
    enum outcome outcome;
    int64_t duration_ms;
    char *name, *suite;
    char *message, *stack, *reason;
    uint64_t failed_before; /* of the report, when it opened */
};

struct nunit {
    bool three; /* version 3 */
    struct part parts[SUITES_MAX];
    size_t depth;
};

static void part_release(struct part *part)
{
    free(part->name);
    free(part->suite);
    free(part->message);
    free(part->stack);
    free(part->reason);
    *part = (struct part){0};
}

static uint64_t failed(struct xml *xml)
{
    const struct report_counts *counts = &xml_in(xml)->report->counts;

    return counts->failed + counts->errored;
}

static enum outcome outcome_of(const char *word, const char *const words[][2])
{
    static const char letters[] = "PFES";

    for (size_t i = 0; words[i][0]; i++) {
        const char *at = strcasecmp(words[i][0], word) ? NULL : strchr(letters, *words[i][1]);
        if (at)
            return (enum outcome)(at - letters);
    }
    return OUTCOME_UNKNOWN;
}

/* NUnit before 2.5 wrote `executed` and `success` only. */
static enum outcome outcome_2(const char *const *attributes)
{
    static const char *const words[][2] = {{"Success", "P"},     {"Failure", "F"}, {"Error", "E"},
                                           {"NotRunnable", "E"}, {"Ignored", "S"}, {"Skipped", "S"},
                                           {"Cancelled", "E"},   {NULL, NULL}};
    const char *result = xml_attribute(attributes, "result");
    const char *executed = xml_attribute(attributes, "executed");
    const char *success = xml_attribute(attributes, "success");

    if (result)
        return outcome_of(result, words);
    if (executed && strcasecmp(executed, "false") == 0)
        return OUTCOME_SKIPPED;
    if (!success)
        return OUTCOME_UNKNOWN;
    return strcasecmp(success, "true") == 0 ? OUTCOME_PASSED : OUTCOME_FAILED;
}

/* A warning does not fail a run of NUnit. */
static enum outcome outcome_3(const char *const *attributes)
{
    static const char *const words[][2] = {
        {"Passed", "P"}, {"Warning", "P"}, {"Failed", "F"}, {"Skipped", "S"}, {NULL, NULL}};
    const char *result = xml_attribute(attributes, "result");
    const char *label = xml_attribute(attributes, "label");
    enum outcome outcome = result ? outcome_of(result, words) : OUTCOME_UNKNOWN;

    return outcome == OUTCOME_FAILED && !str_empty(label) ? OUTCOME_ERRORED : outcome;
}

/* "Shop.Tests.CartTests.Adds(1)" -> "Shop.Tests.CartTests"; the caller's. */
static char *fixture_of(const char *full_name)
{
    size_t arguments = strcspn(full_name, "(");
    size_t dot = arguments;

    while (dot > 0 && full_name[dot] != '.')
        dot--;
    return mem_strndup(full_name, dot);
}

static void name_part(struct nunit *n, struct part *part, const char *const *attributes)
{
    const char *name = xml_attribute(attributes, "name");
    const char *class = xml_attribute(attributes, "classname");
    const char *full = n->three ? xml_attribute(attributes, "fullname") : name;

    name = name ? name : "";
    part->name = mem_strdup(name);
    if (!part->is_case) {
        part->suite = mem_strdup(full ? full : name);
        return;
    }
    part->suite = class ? mem_strdup(class) : fixture_of(full ? full : name);
    size_t prefix = strlen(part->suite);
    if (!n->three && prefix && str_starts(name, part->suite) && name[prefix] == '.') {
        free(part->name);
        part->name = mem_strdup(name + prefix + 1);
    }
}

static void open_part(struct xml *xml, struct nunit *n, bool is_case, const char *const *attributes)
{
    if (n->depth == SUITES_MAX) {
        xml_fail(xml, ERR_LIMIT, "suites stand more than %d deep", SUITES_MAX);
        return;
    }
    struct part *part = &n->parts[n->depth++];
    part->is_case = is_case;
    part->outcome = n->three ? outcome_3(attributes) : outcome_2(attributes);
    part->duration_ms = text_seconds(xml_attribute(attributes, n->three ? "duration" : "time"));
    part->failed_before = failed(xml);
    name_part(n, part, attributes);
}

/* A suite that failed by itself, in its own set-up or teardown, and none of whose cases did: no
 * other place tells of it. */
static bool suite_counts(struct xml *xml, const struct part *suite)
{
    return (suite->outcome == OUTCOME_FAILED || suite->outcome == OUTCOME_ERRORED) &&
           suite->message && failed(xml) == suite->failed_before;
}

static void close_part(struct xml *xml, struct nunit *n)
{
    struct part *part = &n->parts[n->depth - 1];
    char *message = text_message(part->message ? part->message : part->reason, part->stack);
    struct test_case c = {.outcome = part->outcome,
                          .duration_ms = part->duration_ms,
                          .suite = part->suite,
                          .name = part->name,
                          .message = message};

    if (!part->is_case) {
        c.outcome = OUTCOME_ERRORED;
        c.duration_ms = 0;
        c.name = "(suite)";
    }
    if ((part->is_case || suite_counts(xml, part)) && report_add_case(xml_in(xml), &c) != 0)
        xml_fail_err(xml);
    free(message);
    part_release(part);
    n->depth--;
}

static bool is_part(const char *name)
{
    return xml_is(name, "test-case") || xml_is(name, "test-suite");
}

static bool is_text(const char *name, const char *parent)
{
    return (xml_is(name, "message") && (xml_is(parent, "failure") || xml_is(parent, "reason"))) ||
           (xml_is(name, "stack-trace") && xml_is(parent, "failure"));
}

static void on_open(struct xml *xml, const char *name, const char *const *attributes)
{
    if (is_part(name))
        open_part(xml, xml_state(xml), xml_is(name, "test-case"), attributes);
    else if (is_text(name, xml_parent(xml)))
        xml_collect(xml);
}

static void take_text(struct xml *xml, struct part *part, const char *name)
{
    char **to = xml_is(name, "stack-trace")          ? &part->stack
                : xml_is(xml_parent(xml), "failure") ? &part->message
                                                     : &part->reason;

    if (!*to)
        *to = mem_strdup(xml_text(xml));
}

static void on_close(struct xml *xml, const char *name)
{
    struct nunit *n = xml_state(xml);

    if (is_part(name))
        close_part(xml, n);
    else if (n->depth && is_text(name, xml_parent(xml)))
        take_text(xml, &n->parts[n->depth - 1], name);
}

int nunit_read(struct reading *in)
{
    static const char *const roots_2[] = {"test-results", NULL};
    static const char *const roots_3[] = {"test-run", NULL};
    struct nunit n = {.three = in->report->format == REPORT_NUNIT3XML};
    const struct xml_reader reader = {n.three ? roots_3 : roots_2, on_open, on_close};
    int rc = xml_read(in, &reader, &n);

    while (n.depth)
        part_release(&n.parts[--n.depth]);
    return rc;
}
