/* Cucumber's `json` formatter: a list of features, their elements (scenarios, and backgrounds,
 * whose steps are of the scenario that follows), steps and hooks. Durations are nanoseconds;
 * behave, which writes the same otherwise, has seconds with a decimal point.
 *
 * A scenario is a test: failed where a step failed, was undefined or ambiguous, errored where a
 * hook failed, skipped where its first step that did not pass was skipped or pending. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "report/json.h"

#define NS_PER_S  1e9
#define PATH_SIZE 128
#define WHAT_MAX  200 /* bytes of a step's name before what it said */

struct scenario {
    enum outcome outcome; /* UNKNOWN: no step so far said anything */
    int64_t duration_ms;
    char *message;
};

struct cucumber {
    struct reading *in;
    char path[PATH_SIZE]; /* of what is read, for errors */
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static int64_t duration_of(const json_t *result)
{
    const json_t *duration = json_object_get(result, "duration");

    if (json_is_real(duration))
        return seconds_to_ms(json_real_value(duration));
    return seconds_to_ms((double)json_integer_value(duration) / NS_PER_S);
}

/* A text, or a list of lines. */
static void put_error(struct buf *out, const json_t *error)
{
    const json_t *line;
    size_t i;

    if (json_is_string(error))
        buf_adds(out, json_string_value(error));
    json_array_foreach(error, i, line)
    {
        if (json_is_string(line) && buf_addf(out, "%s\n", json_string_value(line)) != 0)
            break;
    }
}

/* "Then the total is 3" and what it said. */
static char *message_of(const char *what, const json_t *result, const char *otherwise)
{
    struct buf error;
    char *said, *message;

    buf_init(&error, 16 * 1024 * 1024);
    put_error(&error, json_object_get(result, "error_message"));
    said = text_clean(buf_cstr(&error), 2 * TEXT_KEEP_MAX);
    message = mem_printf("%s: %s", what, *said ? said : otherwise);
    free(said);
    buf_release(&error);
    return message;
}

static void fail(struct scenario *s, enum outcome outcome, char *message)
{
    bool worse = s->outcome != OUTCOME_ERRORED && s->outcome != OUTCOME_FAILED;

    if (worse || outcome == OUTCOME_ERRORED)
        s->outcome = outcome;
    if (!s->message)
        s->message = message;
    else
        free(message);
}

/* `hook`: a failure of it is no failure of a step. */
static int take_result(struct cucumber *c, struct scenario *s, const json_t *result,
                       const char *what, bool hook)
{
    const char *status = json_string_value(json_object_get(result, "status"));

    if (!result)
        return 0; /* never run */
    if (!status)
        return json_refuse(c->in, c->path, "a result has no status");
    s->duration_ms += duration_of(result);
    if (strcasecmp(status, "failed") == 0) {
        fail(s, hook ? OUTCOME_ERRORED : OUTCOME_FAILED, message_of(what, result, "failed"));
    } else if (strcasecmp(status, "undefined") == 0 || strcasecmp(status, "ambiguous") == 0) {
        fail(s, OUTCOME_FAILED, message_of(what, result, status));
    } else if (strcasecmp(status, "skipped") == 0 || strcasecmp(status, "pending") == 0) {
        if (s->outcome == OUTCOME_PASSED || s->outcome == OUTCOME_UNKNOWN)
            s->outcome = OUTCOME_SKIPPED;
    } else if (strcasecmp(status, "passed") == 0) {
        if (s->outcome == OUTCOME_UNKNOWN && !hook)
            s->outcome = OUTCOME_PASSED;
    }
    return 0;
}

static int take_hooks(struct cucumber *c, struct scenario *s, const json_t *of, const char *key)
{
    const json_t *hook;
    size_t i;

    json_array_foreach(json_object_get(of, key), i, hook)
    {
        const char *place = text_of(json_object_get(hook, "match"), "location");
        char *shown = text_keep(c->in->report, place, WHAT_MAX);
        char *what = mem_printf("hook %s%s%s", key, *shown ? " " : "", shown);
        free(shown);
        int rc = take_result(c, s, json_object_get(hook, "result"), what, true);
        free(what);
        if (rc != 0)
            return -1;
    }
    return 0;
}

static int take_steps(struct cucumber *c, struct scenario *s, const json_t *element)
{
    const json_t *steps = json_object_get(element, "steps"), *step;
    size_t i;

    if (steps && !json_is_array(steps))
        return json_refuse(c->in, c->path, "steps is not a list");
    json_array_foreach(steps, i, step)
    {
        const char *keyword = text_of(step, "keyword");
        bool blank = str_ends(keyword, " ") || !*keyword; /* behave writes none */
        char *shown = text_keep(c->in->report, text_of(step, "name"), WHAT_MAX);
        char *what = mem_printf("%s%s%s", keyword, blank ? "" : " ", shown);
        free(shown);
        /* JavaScript's formatter has hooks among the steps. */
        bool hidden = json_is_true(json_object_get(step, "hidden"));
        int rc = take_hooks(c, s, step, "before");
        if (rc == 0)
            rc = take_result(c, s, json_object_get(step, "result"), what, hidden);
        if (rc == 0)
            rc = take_hooks(c, s, step, "after");
        free(what);
        if (rc != 0)
            return -1;
    }
    return 0;
}

static int take_element(struct cucumber *c, struct scenario *s, const json_t *element)
{
    if (!json_is_object(element))
        return json_refuse(c->in, c->path, "is not an object");
    if (take_hooks(c, s, element, "before") != 0 || take_steps(c, s, element) != 0)
        return -1;
    return take_hooks(c, s, element, "after");
}

static int add_scenario(struct cucumber *c, const struct scenario *s, const json_t *feature,
                        const json_t *element)
{
    const char *place = text_of(element, "location"); /* behave's, with its line */
    const char *uri = text_of(feature, "uri");
    const json_t *line = json_object_get(element, "line");
    char number[24];

    snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(line));
    char *file = *uri ? text_place(uri, json_is_integer(line) ? number : NULL) : mem_strdup(place);
    const struct test_case at = {.outcome = s->outcome,
                                 .duration_ms = s->duration_ms,
                                 .suite = text_of(feature, "name"),
                                 .name = text_of(element, "name"),
                                 .message = s->message,
                                 .file = file};
    int rc = report_add_case(c->in, &at);
    free(file);
    return rc == 0 ? 0 : err_wrap(c->in->err, "%s: %s", c->in->name, c->path);
}

static bool is_background(const json_t *element)
{
    return strcasecmp(text_of(element, "type"), "background") == 0;
}

static int take_feature(struct cucumber *c, const json_t *feature, size_t at)
{
    const json_t *elements = json_object_get(feature, "elements"), *element;
    struct scenario s = {.outcome = OUTCOME_UNKNOWN};
    size_t i;
    int rc = 0;

    snprintf(c->path, sizeof(c->path), "[%zu]", at);
    if (!json_is_object(feature))
        return json_refuse(c->in, c->path, "is not a feature (an object)");
    if (elements && !json_is_array(elements))
        return json_refuse(c->in, c->path, "elements is not a list");
    json_array_foreach(elements, i, element)
    {
        snprintf(c->path, sizeof(c->path), "[%zu].elements[%zu]", at, i);
        rc = take_element(c, &s, element);
        if (rc == 0 && is_background(element))
            continue; /* it goes on with the scenario */
        if (rc == 0)
            rc = add_scenario(c, &s, feature, element);
        free(s.message);
        s = (struct scenario){.outcome = OUTCOME_UNKNOWN};
        if (rc != 0)
            break;
    }
    free(s.message);
    return rc;
}

int cucumber_read(struct reading *in)
{
    struct cucumber c = {.in = in};
    json_t *root = json_read(in);
    const json_t *feature;
    size_t i;
    int rc = 0;

    if (!root)
        return -1;
    if (!json_is_array(root))
        rc = err_set(in->err, ERR_INVALID,
                     "%s: is no list of features, which Cucumber's `json` formatter writes (its "
                     "`message` formatter writes something else)",
                     in->name);
    json_array_foreach(root, i, feature)
    {
        rc = take_feature(&c, feature, i);
        if (rc != 0)
            break;
    }
    json_decref(root);
    return rc;
}
