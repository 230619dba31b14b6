#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "services/cli/import_pipeline.h"

#define ACTIONS_MAX 600
#define OUTPUTS_MAX 20

const json_t *import_get(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    char capital[64];

    if (value || *key < 'a' || *key > 'z')
        return value;
    snprintf(capital, sizeof(capital), "%c%s", *key - 'a' + 'A', key + 1);
    return json_object_get(object, capital);
}

const char *import_get_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(import_get(object, key));

    return text ? text : "";
}

/* " in line 12", where the line is known. */
static const char *line_of(const struct import *imp, const json_t *value, char out[40])
{
    char key[32];
    void *line;

    snprintf(key, sizeof(key), "%p", (const void *)value);
    line = map_get(imp->lines, key);
    snprintf(out, 40, line ? ":%d" : "%.0d", (int)(intptr_t)line);
    return out;
}

static enum import_as classify(const struct import_action *a)
{
    if (str_eq(a->category, "Source"))
        return str_eq(a->provider, "ECR") ? AS_BUILD : AS_SOURCE;
    if (str_eq(a->category, "Approval"))
        return AS_APPROVAL;
    if (str_eq(a->provider, "CodeBuild") || str_eq(a->provider, "ECRBuildAndPublish") ||
        str_eq(a->provider, "Commands"))
        return AS_BUILD;
    return import_deploys_image(a) ? AS_DEPLOY : AS_CUSTOM;
}

static void fill(struct import_pipeline *p, struct import_action *a, const json_t *in,
                 const char *stage, size_t stage_index)
{
    const json_t *type = import_get(in, "actionTypeId");
    int64_t order = 1;

    *a = (struct import_action){.in = in, .stage = stage, .stage_index = stage_index};
    a->config = import_get(in, "configuration");
    a->name = import_get_text(in, "name");
    a->category = import_get_text(type, "category");
    a->owner = import_get_text(type, "owner");
    a->provider = import_get_text(type, "provider");
    a->namespace = import_get_text(in, "namespace");
    a->as = classify(a);
    snprintf(a->where, sizeof(a->where), "%s%.80s/%.80s", p->prefix, stage, a->name);
    if (*import_get_text(in, "runOrder") &&
        (str_to_i64(import_get_text(in, "runOrder"), &order) < 0 || order < 1 || order > 999)) {
        NOTE(p, IMPORT_NEEDS, a->where, "runOrder '%.100s' is no number: taken for 1",
             import_get_text(in, "runOrder"));
        order = 1;
    }
    a->run_order = order;
    if (str_eq(a->provider, "CodeBuild"))
        a->project = import_resource(p->imp, "AWS::CodeBuild::Project",
                                     import_get_text(a->config, "ProjectName"));
}

static int gather_stage(struct import_pipeline *p, const json_t *stage, size_t index,
                        struct err *err)
{
    const json_t *actions = import_get(stage, "actions");
    const char *name = import_get_text(stage, "name");
    json_t *action;
    char line[40];
    size_t i;

    if (!json_is_object(stage) || !json_is_array(actions) || !json_array_size(actions))
        return err_set(err, ERR_INVALID, "%s%s: stage %zu of '%.100s' has no list of actions",
                       p->imp->file, line_of(p->imp, stage, line), index + 1, p->called);
    json_array_foreach(actions, i, action)
    {
        if (!json_is_object(action) || !json_is_object(import_get(action, "actionTypeId")))
            return err_set(err, ERR_INVALID,
                           "%s%s: action %zu of stage '%.60s' of '%.100s' has no actionTypeId",
                           p->imp->file, line_of(p->imp, action, line), i + 1, name, p->called);
        if (p->action_count == ACTIONS_MAX)
            return err_set(err, ERR_LIMIT, "%s: more than %d actions in '%.100s'", p->imp->file,
                           ACTIONS_MAX, p->called);
        fill(p, &p->actions[p->action_count++], action, name, index);
    }
    return 0;
}

/* Names that others refer to have the whole pipeline to themselves, the others their stage. */
static bool is_free(const struct import_pipeline *p, const struct import_action *a,
                    const char *name)
{
    bool wide = *a->namespace || a->as == AS_BUILD || a->as == AS_SOURCE;

    for (size_t i = 0; i < p->action_count; i++) {
        const struct import_action *other = &p->actions[i];

        if (other == a || !str_eq(other->as_name, name))
            continue;
        if (wide || *other->namespace || other->as == AS_BUILD ||
            other->stage_index == a->stage_index)
            return false;
    }
    return true;
}

/* What gates are called: an approval shares their names' space. */
static bool is_gates_name(const char *name)
{
    const char *rest = str_starts(name, "check")    ? name + 5
                       : str_starts(name, "window") ? name + 6
                                                    : "x";

    return !*rest || (*rest == '-' && !rest[1 + strspn(rest + 1, "0123456789")]);
}

static void name_action(struct import_pipeline *p, struct import_action *a)
{
    char base[64], name[64];

    import_name(base, a->name);
    if (a->as == AS_APPROVAL && is_gates_name(base))
        snprintf(base + strlen(base), 12, "-approval");
    snprintf(name, sizeof(name), "%s", base);
    for (unsigned n = 2; !is_free(p, a, name); n++)
        snprintf(name, sizeof(name), "%.56s-%u", base, n);
    snprintf(a->as_name, sizeof(a->as_name), "%s", name);
}

static int by_order(const struct import_action *a, const struct import_action *b)
{
    if (a->stage_index != b->stage_index)
        return a->stage_index < b->stage_index ? -1 : 1;
    return a->run_order < b->run_order ? -1 : a->run_order > b->run_order;
}

/* By insertion, since those of one runOrder keep their order. */
static void sort(struct import_pipeline *p)
{
    for (size_t i = 1; i < p->action_count; i++) {
        struct import_action a = p->actions[i];
        size_t at = i;

        while (at > 0 && by_order(&p->actions[at - 1], &a) > 0) {
            p->actions[at] = p->actions[at - 1];
            at--;
        }
        p->actions[at] = a;
    }
}

int import_gather(struct import_pipeline *p, struct err *err)
{
    const json_t *stages = import_get(p->in, "stages");
    json_t *stage;
    char line[40];
    size_t i;

    if (!json_is_array(stages) || !json_array_size(stages))
        return err_set(err, ERR_INVALID, "%s%s: '%.100s' has no list of stages", p->imp->file,
                       line_of(p->imp, p->in, line), p->called);
    p->actions = mem_alloc(ACTIONS_MAX * sizeof(*p->actions));
    json_array_foreach(stages, i, stage)
    {
        if (gather_stage(p, stage, i, err) < 0)
            return -1;
    }
    sort(p);
    for (i = 0; i < p->action_count; i++)
        if (*p->actions[i].namespace)
            name_action(p, &p->actions[i]);
    for (i = 0; i < p->action_count; i++)
        if (!*p->actions[i].as_name)
            name_action(p, &p->actions[i]);
    return 0;
}

void import_actions_release(struct import_pipeline *p)
{
    for (size_t i = 0; i < p->action_count; i++) {
        free(p->actions[i].image);
        json_decref(p->actions[i].project);
    }
    free(p->actions);
}

const char *import_artifact(const struct import_action *a, const char *key, size_t n)
{
    return import_get_text(json_array_get(import_get(a->in, key), n), "name");
}

const struct import_action *import_producer(const struct import_pipeline *p, const char *artifact)
{
    for (size_t i = 0; i < p->action_count; i++)
        for (size_t n = 0; n < OUTPUTS_MAX; n++)
            if (str_eq(import_artifact(&p->actions[i], "outputArtifacts", n), artifact))
                return *artifact ? &p->actions[i] : NULL;
    return NULL;
}

bool import_is_before(const struct import_action *a, const struct import_action *b)
{
    return a->stage_index < b->stage_index ||
           (a->stage_index == b->stage_index && a->run_order < b->run_order);
}
