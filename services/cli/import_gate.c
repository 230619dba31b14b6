#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "calendar/window.h"
#include "services/cli/import_pipeline.h"

#define GATES_MAX      20
#define CONDITIONS_MAX 20
#define RULES_MAX      20
#define INPUTS_MAX     90

/* ---- windows ---- */

static const char *const days[] = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"};

/* "MON" or "2" -> 1; -1. */
static int day_of(const char *text, size_t len)
{
    if (len == 1 && *text >= '1' && *text <= '7')
        return *text - '1';
    for (int i = 0; i < 7; i++)
        if (len == 3 && strncasecmp(text, days[i], 3) == 0)
            return i;
    return -1;
}

/* MON-FRI, MON,WED, 2-6, * and ? as windows have them. */
static bool read_days(const char *text, struct buf *out)
{
    if (str_eq(text, "*") || str_eq(text, "?"))
        return buf_adds(out, "daily") == 0;
    while (*text) {
        size_t len = strcspn(text, ",-");
        int day = day_of(text, len);

        if (day < 0)
            return false;
        buf_addf(out, "%c%c%c", days[day][0], days[day][1] | 0x20, days[day][2] | 0x20);
        text += len;
        if (*text)
            buf_addc(out, *text++);
    }
    return true;
}

/* 9-17: from 09:00 to before 18:00. */
static bool read_hours(const char *text, int *from, int *to)
{
    int used = 0;

    if (str_eq(text, "*")) {
        *from = 0;
        *to = 24;
        return true;
    }
    if (sscanf(text, "%2d-%2d%n", from, to, &used) == 2 && !text[used]) {
        *to += 1;
        return *from >= 0 && *to <= 24 && *from < *to;
    }
    if (sscanf(text, "%2d%n", from, &used) == 1 && !text[used]) {
        *to = *from + 1;
        return *from >= 0 && *to <= 24;
    }
    return false;
}

/* Seconds, minutes, hours, day of month, month, day of week, maybe a year: what says whole hours of
 * some days of the week is a window. NULL: something else. The caller frees. */
static char *window_of(const char *cron, const char *zone)
{
    struct strv fields = {0};
    struct window *window = NULL;
    struct buf text;
    char *result = NULL;
    int from, to;

    buf_init(&text, 300);
    strv_split(&fields, cron, ' ');
    if ((fields.count == 6 || (fields.count == 7 && str_eq(fields.items[6], "*"))) &&
        str_eq(fields.items[1], "*") && read_hours(fields.items[2], &from, &to) &&
        strchr("*?", *fields.items[3]) && !fields.items[3][1] && str_eq(fields.items[4], "*") &&
        read_days(fields.items[5], &text)) {
        buf_addf(&text, " %02d:00-%02d:00 %.100s", from, to, *zone ? zone : "UTC");
        if (!text.overflow && window_parse(&window, buf_cstr(&text), NULL) == 0)
            result = mem_strdup(buf_cstr(&text));
    }
    window_free(window);
    strv_release(&fields);
    buf_release(&text);
    return result;
}

/* ---- rules ---- */

struct rule {
    const json_t *in, *config;
    const char *name, *provider;
    char type[64];
    json_t *input; /* owned by whoever made it */
};

static struct rule rule_of(struct import_pipeline *p, const json_t *in, size_t stage_index)
{
    struct rule rule = {.in = in, .config = import_get(in, "configuration")};
    json_t *value;
    const char *key;
    char name[160];

    rule.name = import_get_text(in, "name");
    rule.provider = import_get_text(import_get(in, "ruleTypeId"), "provider");
    import_type(rule.type, rule.provider, "Rule");
    rule.input = json_object();
    json_object_foreach((json_t *)rule.config, key, value)
    {
        char *text = json_is_string(value)
                         ? import_text(p, NULL, stage_index, json_string_value(value))
                         : NULL;

        import_key(name, sizeof(name), key, false);
        if (text && strlen(text) < 8000 && json_object_size(rule.input) < INPUTS_MAX)
            json_object_set_new(rule.input, name, json_string(text));
        free(text);
    }
    return rule;
}

static void add_gate(json_t *stage, const char *kind, json_t *value)
{
    json_t *gates = json_object_get(stage, "gates"), *gate;

    if (!gates) {
        gates = json_array();
        json_object_set_new(stage, "gates", gates);
    }
    gate = json_object();
    json_object_set_new(gate, kind, value);
    if (json_array_size(gates) < GATES_MAX)
        json_array_append(gates, gate);
    json_decref(gate);
}

static void enter(struct import_pipeline *p, json_t *stage, const char *where, const char *result,
                  const struct rule *rule)
{
    char *window = str_eq(rule->provider, "DeploymentWindow")
                       ? window_of(import_get_text(rule->config, "Cron"),
                                   import_get_text(rule->config, "TimeZone"))
                       : NULL;
    json_t *check;

    if (window) {
        add_gate(stage, "window", json_string(window));
        NOTE(p, IMPORT_KEPT, where, "the rule '%.100s' is the gate window: %s", rule->name, window);
    } else {
        check = json_pack("{ss}", "custom", rule->type);
        if (json_object_size(rule->input))
            json_object_set(check, "input", rule->input);
        json_object_set_new(check, "every", json_string("5m"));
        add_gate(stage, "check", check);
        NOTE(p, IMPORT_NEEDS, where,
             "the rule '%.100s' is the gate check, which asks custom/%s every 5 minutes: somebody "
             "has to answer it (docs/extend.md)",
             rule->name, rule->type);
    }
    if (str_eq(result, "SKIP"))
        NOTE(p, IMPORT_NEEDS, where,
             "the stage was skipped where the rule did not hold: here the release waits before it");
    else
        NOTE(p, IMPORT_CHANGED, where,
             "where the rule does not hold the release waits before the stage, and does not fail");
    free(window);
}

static bool is_an_action(const struct import_pipeline *p, const char *name)
{
    for (size_t i = 0; i < p->action_count; i++)
        if (str_eq(p->actions[i].as_name, name))
            return true;
    return false;
}

static bool is_a_step(const json_t *steps, const char *name)
{
    json_t *step, *body;
    const char *kind;
    size_t i;

    json_array_foreach(steps, i, step)
    {
        json_object_foreach(step, kind, body)
        {
            if (str_eq(import_get_text(body, "name"), name))
                return true;
        }
    }
    return false;
}

/* A last step that fails the stage where the rule does not hold. */
static void leave(struct import_pipeline *p, json_t *stage, json_t *steps, const char *where,
                  const char *result, const struct rule *rule)
{
    json_t *step = json_object(), *body;
    char *kind = mem_printf("custom/%s", rule->type), base[64], name[72];

    import_slug(base, 40, rule->name);
    snprintf(name, sizeof(name), "after-%s", base);
    for (size_t n = json_array_size(steps) + 1; is_an_action(p, name) || is_a_step(steps, name);
         n++)
        snprintf(name, sizeof(name), "after-%s-%zu", base, n);
    body = json_pack("{ss}", "name", name);
    if (json_object_size(rule->input))
        json_object_set(body, "input", rule->input);
    json_object_set_new(step, kind, body);
    json_array_append_new(steps, step);
    if (str_eq(result, "ROLLBACK") && !p->parallel) {
        json_object_set_new(stage, "on-failure", json_string("rollback"));
        NOTE(p, IMPORT_CHANGED, where,
             "on-failure: rollback, which the rule '%.100s' asks for, holds for every failure of "
             "the stage",
             rule->name);
    }
    NOTE(p, IMPORT_NEEDS, where,
         "the rule '%.100s' after the stage is its last step, %s: somebody has to answer it "
         "(docs/extend.md)",
         rule->name, kind);
    free(kind);
}

static void each_rule(struct import_pipeline *p, const json_t *conditions, size_t index,
                      json_t *stage, json_t *steps, const char *where)
{
    json_t *condition, *in;
    size_t i, j;

    json_array_foreach(import_get(conditions, "conditions"), i, condition)
    {
        json_array_foreach(import_get(condition, "rules"), j, in)
        {
            struct rule rule;

            if (i >= CONDITIONS_MAX || j >= RULES_MAX)
                continue;
            rule = rule_of(p, in, steps ? index + 1 : index);
            if (steps)
                leave(p, stage, steps, where, import_get_text(condition, "result"), &rule);
            else
                enter(p, stage, where, import_get_text(condition, "result"), &rule);
            json_decref(rule.input);
        }
    }
}

static void on_failure(struct import_pipeline *p, const json_t *in, json_t *stage,
                       const char *where)
{
    const char *result = import_get_text(in, "result");

    if (str_eq(result, "ROLLBACK") && p->parallel) {
        NOTE(p, IMPORT_CHANGED, where,
             "onFailure ROLLBACK is left out: in mode parallel there is no release before this one "
             "to go back to");
    } else if (str_eq(result, "ROLLBACK")) {
        json_object_set_new(stage, "on-failure", json_string("rollback"));
        NOTE(p, IMPORT_KEPT, where, "on-failure: rollback");
    } else if (str_eq(result, "RETRY")) {
        json_object_set_new(stage, "on-failure", json_string("retry 1"));
        NOTE(p, IMPORT_KEPT, where, "on-failure: retry 1");
    } else if (*result && !str_eq(result, "FAIL")) {
        NOTE(p, IMPORT_NEEDS, where, "onFailure %.60s has no counterpart: the stage fails", result);
    }
    if (json_array_size(import_get(in, "conditions")))
        NOTE(p, IMPORT_NEEDS, where,
             "the conditions of onFailure have no counterpart: what it does, it does always");
}

void import_conditions(struct import_pipeline *p, const json_t *stage, size_t index,
                       json_t *out_stage, json_t *steps)
{
    char where[256];

    snprintf(where, sizeof(where), "%s%.100s", p->prefix, import_get_text(stage, "name"));
    each_rule(p, import_get(stage, "beforeEntry"), index, out_stage, NULL, where);
    on_failure(p, import_get(stage, "onFailure"), out_stage, where);
    each_rule(p, import_get(stage, "onSuccess"), index, out_stage, steps, where);
}
