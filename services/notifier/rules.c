#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "log/log.h"
#include "services/notifier/notifier.h"

struct rules {
    struct map *by_name; /* -> struct definition, owned */
};

static void free_definition(void *value)
{
    definition_free(value);
}

struct rules *rules_new(void)
{
    struct rules *rules = mem_alloc(sizeof *rules);

    rules->by_name = map_new(free_definition);
    return rules;
}

void rules_free(struct rules *rules)
{
    if (!rules)
        return;
    map_free(rules->by_name);
    free(rules);
}

void rules_apply(struct rules *rules, const void *message)
{
    const Gantry__V1__Definition *record = message;
    struct definition *def;
    struct err err;

    if (!str_eq(record->kind, "Notification"))
        return;
    if (record->deleted) {
        map_del(rules->by_name, record->name);
        return;
    }
    if (definition_parse(&def, record->yaml.data, record->yaml.len, NULL, &err) < 0) {
        log_warn("notification rule left as it was: the new one does not parse",
                 LOG_S("rule", record->name), LOG_E(&err));
        return;
    }
    if (def->kind != DEF_NOTIFICATION || !str_eq(def->name, record->name)) {
        definition_free(def);
        return;
    }
    map_set(rules->by_name, record->name, def);
}

void rules_delete(struct rules *rules, const char *name)
{
    map_del(rules->by_name, name);
}

static bool any_glob(const struct strv *globs, const char *value)
{
    for (size_t i = 0; i < globs->count; i++)
        if (str_glob(globs->items[i], value))
            return true;
    return false;
}

static bool matches(const struct def_notification *rule, const Gantry__V1__ReleaseEvent *event)
{
    const char *stage = wording_stage(event), *outcome = wording_outcome(event);
    char kind[EVENT_TYPE_MAX];

    wording_kind(event, kind);
    return any_glob(&rule->events, kind) &&
           (rule->pipelines.count == 0 || any_glob(&rule->pipelines, event->pipeline)) &&
           (rule->stages.count == 0 || !*stage || any_glob(&rule->stages, stage)) &&
           (rule->outcomes.count == 0 || !*outcome || strv_has(&rule->outcomes, outcome));
}

void rules_match(const struct rules *rules, const Gantry__V1__ReleaseEvent *event,
                 void (*fn)(const struct def_notification *rule, void *arg), void *arg)
{
    struct strv names = {0};

    for (struct map_iter it = {0}; map_next(rules->by_name, &it);)
        if (matches(((const struct definition *)it.value)->notification, event))
            strv_add(&names, it.key);
    strv_sort(&names);
    for (size_t i = 0; i < names.count; i++)
        fn(rules_get(rules, names.items[i]), arg);
    strv_release(&names);
}

const struct def_notification *rules_get(const struct rules *rules, const char *name)
{
    const struct definition *def = map_get(rules->by_name, name);

    return def ? def->notification : NULL;
}
