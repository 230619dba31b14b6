#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/xml.h"

struct testng {
    char *class;
    struct map *repeated; /* "class.signature" of what failed and was tried again */

    size_t method_depth; /* 0: none is open */
    struct test_case at;
    bool config, retried;
    char *name, *key, *message, *exception, *stack;
};

static bool is_true(const char *text)
{
    return text && strcasecmp(text, "true") == 0;
}

static enum outcome outcome_of(const char *status)
{
    if (str_eq(status, "PASS") || str_eq(status, "SUCCESS_PERCENTAGE_FAILURE"))
        return OUTCOME_PASSED;
    if (str_eq(status, "FAIL"))
        return OUTCOME_FAILED;
    return str_eq(status, "SKIP") ? OUTCOME_SKIPPED : OUTCOME_UNKNOWN;
}

static void forget_method(struct testng *t)
{
    free(t->name);
    free(t->key);
    free(t->message);
    free(t->exception);
    free(t->stack);
    t->name = t->key = t->message = t->exception = t->stack = NULL;
    t->method_depth = 0;
}

static void open_method(struct xml *xml, struct testng *t, const char *const *attributes)
{
    const char *name = xml_attribute(attributes, "name");
    const char *signature = xml_attribute(attributes, "signature");
    uint64_t duration_ms;

    if (!xml_number_or_0(xml, attributes, "duration-ms", &duration_ms))
        return;
    t->method_depth = xml_depth(xml);
    t->at = (struct test_case){.outcome = outcome_of(xml_attribute(attributes, "status")),
                               .duration_ms = seconds_to_ms((double)duration_ms / 1000)};
    t->config = is_true(xml_attribute(attributes, "is-config"));
    t->retried = is_true(xml_attribute(attributes, "retried"));
    t->name = mem_strdup(name ? name : "");
    t->key = mem_printf("%s.%s", t->class ? t->class : "", signature ? signature : t->name);
}

/* A configuration method (@BeforeClass) is no test; one that fails is told as an error, since the
 * tests that it held up count as skipped only. A run that was retried is not counted: the last is.
 */
static void close_method(struct xml *xml, struct testng *t)
{
    char *message = text_message(t->message ? t->message : t->exception, t->stack);

    t->at.suite = t->class;
    t->at.name = t->name;
    t->at.message = message;
    if (t->config && t->at.outcome == OUTCOME_FAILED)
        t->at.outcome = OUTCOME_ERRORED;
    if (t->retried) {
        if (map_count(t->repeated) < xml_in(xml)->limits.cases)
            map_set(t->repeated, t->key, t);
    } else if (!t->config || t->at.outcome == OUTCOME_ERRORED) {
        t->at.flaky = map_take(t->repeated, t->key) != NULL;
        if (report_add_case(xml_in(xml), &t->at) != 0)
            xml_fail_err(xml);
    }
    free(message);
    forget_method(t);
}

static void on_open(struct xml *xml, const char *name, const char *const *attributes)
{
    struct testng *t = xml_state(xml);

    if (xml_is(name, "class") && !t->method_depth) {
        free(t->class);
        t->class = mem_strdup(xml_attribute(attributes, "name"));
    } else if (xml_is(name, "test-method") && !t->method_depth) {
        open_method(xml, t, attributes);
    } else if (xml_is(name, "exception") && t->method_depth && !t->exception) {
        t->exception = mem_strdup(xml_attribute(attributes, "class"));
    } else if (t->method_depth && xml_is(xml_parent(xml), "exception") &&
               (xml_is(name, "message") || xml_is(name, "full-stacktrace") ||
                xml_is(name, "short-stacktrace"))) {
        xml_collect(xml);
    }
}

static void on_close(struct xml *xml, const char *name)
{
    struct testng *t = xml_state(xml);

    if (!t->method_depth)
        return;
    if (t->method_depth == xml_depth(xml)) {
        close_method(xml, t);
    } else if (xml_is(xml_parent(xml), "exception")) {
        char **to = xml_is(name, "message")            ? &t->message
                    : xml_is(name, "full-stacktrace")  ? &t->stack
                    : xml_is(name, "short-stacktrace") ? &t->stack
                                                       : NULL;
        if (to && !*to)
            *to = mem_strdup(xml_text(xml));
    }
}

int testng_read(struct reading *in)
{
    /* A suite's file alone is what TestNG writes with fileFragmentationLevel 2. */
    static const char *const roots[] = {"testng-results", "suite", NULL};
    static const struct xml_reader reader = {roots, on_open, on_close};
    struct testng t = {.repeated = map_new(NULL)};
    int rc = xml_read(in, &reader, &t);

    forget_method(&t);
    free(t.class);
    map_free(t.repeated);
    return rc;
}
