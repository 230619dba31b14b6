#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "report/xml.h"

#define SUITES_MAX 64 /* as deep as elements may stand */

struct suite {
    char *name, *file;
};

struct junit {
    struct suite suites[SUITES_MAX];
    size_t depth;

    size_t case_depth; /* where its element stands; 0: none is open */
    struct test_case at;
    char *name, *class, *file;
    char *message; /* of the first failure or error */
    bool repeated; /* and failed at first */

    char *result_message; /* of the element that is open */
};

static const char *suite_name(const struct junit *j)
{
    for (size_t i = j->depth; i > 0; i--) {
        if (!str_empty(j->suites[i - 1].name))
            return j->suites[i - 1].name;
    }
    return "";
}

static const char *suite_file(const struct junit *j)
{
    for (size_t i = j->depth; i > 0; i--) {
        if (!str_empty(j->suites[i - 1].file))
            return j->suites[i - 1].file;
    }
    return "";
}

static void open_suite(struct xml *xml, struct junit *j, const char *const *attributes)
{
    if (j->depth == SUITES_MAX) {
        xml_fail(xml, ERR_LIMIT, "suites stand more than %d deep", SUITES_MAX);
        return;
    }
    struct suite *suite = &j->suites[j->depth++];
    const char *file = xml_attribute(attributes, "file");
    suite->name = mem_strdup(xml_attribute(attributes, "name"));
    suite->file = mem_strdup(file ? file : xml_attribute(attributes, "filepath"));
}

static void close_suite(struct junit *j)
{
    struct suite *suite = &j->suites[--j->depth];

    free(suite->name);
    free(suite->file);
    *suite = (struct suite){0};
}

/* GoogleTest says notrun of a disabled test, ctest disabled or notrun. */
static bool was_not_run(const char *status)
{
    return status && (strcasecmp(status, "notrun") == 0 || strcasecmp(status, "disabled") == 0);
}

static void open_case(struct xml *xml, struct junit *j, const char *const *attributes)
{
    bool not_run = was_not_run(xml_attribute(attributes, "status"));

    j->case_depth = xml_depth(xml);
    j->at = (struct test_case){.outcome = not_run ? OUTCOME_SKIPPED : OUTCOME_PASSED,
                               .duration_ms = text_seconds(xml_attribute(attributes, "time"))};
    j->name = mem_strdup(xml_attribute(attributes, "name"));
    j->class = mem_strdup(xml_attribute(attributes, "classname"));
    j->file = text_place(xml_attribute(attributes, "file"), xml_attribute(attributes, "line"));
}

static void forget_case(struct junit *j)
{
    free(j->name);
    free(j->class);
    free(j->file);
    free(j->message);
    j->name = j->class = j->file = j->message = NULL;
    j->case_depth = 0;
    j->repeated = false;
}

static void close_case(struct xml *xml, struct junit *j)
{
    j->at.name = j->name;
    j->at.suite = str_empty(j->class) ? suite_name(j) : j->class;
    j->at.file = str_empty(j->file) ? suite_file(j) : j->file;
    j->at.message = j->message;
    j->at.flaky = j->repeated;
    if (report_add_case(xml_in(xml), &j->at) != 0)
        xml_fail_err(xml);
    forget_case(j);
}

static bool is_result(const char *name)
{
    return xml_is(name, "failure") || xml_is(name, "error");
}

static void open_result(struct xml *xml, struct junit *j, const char *const *attributes)
{
    free(j->result_message);
    j->result_message = mem_strdup(xml_attribute(attributes, "message"));
    if (str_empty(j->result_message)) {
        free(j->result_message);
        j->result_message = mem_strdup(xml_attribute(attributes, "type"));
    }
    xml_collect(xml);
}

/* An error counts more than a failure: a teardown's may follow one. */
static void close_result(struct xml *xml, struct junit *j, const char *name)
{
    enum outcome outcome = xml_is(name, "error") ? OUTCOME_ERRORED : OUTCOME_FAILED;

    if (j->at.outcome != OUTCOME_ERRORED)
        j->at.outcome = outcome;
    if (!j->message)
        j->message = text_message(j->result_message, xml_text(xml));
}

/* Of a suite that did not come to its tests. */
static void close_suite_error(struct xml *xml, struct junit *j)
{
    char *message = text_message(j->result_message, xml_text(xml));
    const struct test_case failed = {.outcome = OUTCOME_ERRORED,
                                     .suite = suite_name(j),
                                     .name = "(suite)",
                                     .message = message,
                                     .file = suite_file(j)};

    if (report_add_case(xml_in(xml), &failed) != 0)
        xml_fail_err(xml);
    free(message);
}

static void on_open(struct xml *xml, const char *name, const char *const *attributes)
{
    struct junit *j = xml_state(xml);
    const char *parent = xml_parent(xml);

    if (xml_is(name, "testsuite"))
        open_suite(xml, j, attributes);
    else if (xml_is(name, "testcase") && !j->case_depth)
        open_case(xml, j, attributes);
    else if (is_result(name) && (xml_is(parent, "testcase") || xml_is(parent, "testsuite")))
        open_result(xml, j, attributes);
    else if (!xml_is(parent, "testcase"))
        return;
    else if (xml_is(name, "skipped") && j->at.outcome == OUTCOME_PASSED)
        j->at.outcome = OUTCOME_SKIPPED;
    else if (xml_is(name, "flakyFailure") || xml_is(name, "flakyError"))
        j->repeated = true; /* Surefire: it passed in the end */
}

static void on_close(struct xml *xml, const char *name)
{
    struct junit *j = xml_state(xml);
    const char *parent = xml_parent(xml);

    if (xml_is(name, "testsuite"))
        close_suite(j);
    else if (j->case_depth == xml_depth(xml))
        close_case(xml, j);
    else if (is_result(name) && xml_is(parent, "testcase"))
        close_result(xml, j, name);
    else if (xml_is(name, "error") && xml_is(parent, "testsuite"))
        close_suite_error(xml, j);
}

int junit_read(struct reading *in)
{
    static const char *const roots[] = {"testsuites", "testsuite", NULL};
    static const struct xml_reader reader = {roots, on_open, on_close};
    struct junit j = {0};
    int rc = xml_read(in, &reader, &j);

    while (j.depth)
        close_suite(&j);
    forget_case(&j);
    free(j.result_message);
    return rc;
}
