#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "definition/definition.h"
#include "services/cli/import_pipeline.h"

#define VARIABLES_MAX 100
#define LABELS_MAX    50

/* ---- where and when ---- */

/* The nth part of an ARN; "" where there is none. */
static void arn_part(char out[48], const char *arn, int n)
{
    for (; *arn && n > 0; n--)
        arn += strcspn(arn, ":") + (arn[strcspn(arn, ":")] == ':');
    snprintf(out, 48, "%.*s", (int)(strcspn(arn, ":") < 40 ? strcspn(arn, ":") : 40), arn);
}

static void set_or_placeholder(struct import_pipeline *p, char out[48], const char *pseudo)
{
    json_t *ref, *value;

    if (*out)
        return;
    ref = json_pack("{ss}", "Ref", pseudo);
    value = import_resolve(p->imp, ref);
    import_slug(out, 48, json_is_string(value) ? json_string_value(value) : pseudo);
    json_decref(value);
    json_decref(ref);
}

static void find_account(struct import_pipeline *p)
{
    const char *arn = import_get_text(import_get(p->imp->root, "metadata"), "pipelineArn");
    const char *role = import_get_text(p->in, "roleArn");

    arn_part(p->own_region, arn, 3);
    arn_part(p->own_account, arn, 4);
    if (!*p->own_account && str_starts(role, "arn:"))
        arn_part(p->own_account, role, 4);
    set_or_placeholder(p, p->own_region, "AWS::Region");
    set_or_placeholder(p, p->own_account, "AWS::AccountId");
    p->region = p->own_region;
    p->account = p->own_account;
}

static void write_mode(struct import_pipeline *p)
{
    const char *mode = import_get_text(p->in, "executionMode");

    if (str_eq(mode, "QUEUED")) {
        json_object_set_new(p->spec, "mode", json_string("queued"));
    } else if (str_eq(mode, "PARALLEL")) {
        json_object_set_new(p->spec, "mode", json_string("parallel"));
        p->parallel = true;
    } else if (*mode && !str_eq(mode, "SUPERSEDED")) {
        NOTE(p, IMPORT_NEEDS, p->where, "executionMode '%.60s' is not known: superseded is taken",
             mode);
    }
    NOTE(p, IMPORT_KEPT, p->where, "mode: %s",
         p->parallel              ? "parallel"
         : str_eq(mode, "QUEUED") ? "queued"
                                  : "superseded");
}

/* What the values of the pipeline's variables may take together: the names need some of it. */
static size_t room_for_values(const struct import_pipeline *p)
{
    size_t names = 0, i;
    json_t *in;

    json_array_foreach(import_get(p->in, "variables"), i, in)
    {
        if (i < VARIABLES_MAX)
            names += strlen(import_get_text(in, "name")) + 1;
    }
    return names < DEFINITION_VARIABLES_MAX ? DEFINITION_VARIABLES_MAX - names : 0;
}

/* CodePipeline takes 50 of 1,000 characters each. */
static void shorten(struct import_pipeline *p, const char *key, char *value, size_t *room)
{
    if (strlen(value) > *room) {
        *value = '\0';
        NOTE(p, IMPORT_NEEDS, p->where,
             "the default of the variable %s is left out, since all variables may take %d KiB "
             "together: it is \"\" unless a release is started with --variable %s=...",
             key, DEFINITION_VARIABLES_MAX / 1024, key);
    }
    *room -= strlen(value);
}

static void write_variables(struct import_pipeline *p)
{
    json_t *variables = json_object(), *in;
    size_t room = room_for_values(p);
    char key[160];
    size_t i;

    json_array_foreach(import_get(p->in, "variables"), i, in)
    {
        const char *name = import_get_text(in, "name");
        const char *value = import_get_text(in, "defaultValue");
        char *text;

        if (!*name || json_object_size(variables) == VARIABLES_MAX)
            continue;
        if (!import_key(key, sizeof(key), name, true))
            NOTE(p, IMPORT_CHANGED, p->where, "the variable '%.100s' is called %s", name, key);
        if (!import_get(in, "defaultValue"))
            NOTE(p, IMPORT_NEEDS, p->where,
                 "the variable %s has no default: it is \"\" unless a release is started with "
                 "--variable %s=...",
                 key, key);
        text = mem_strndup(value, 4000);
        import_clean(text);
        shorten(p, key, text, &room);
        json_object_set_new(variables, key, json_string(text));
        json_object_set_new(p->variables, name, json_string(key));
        NOTE(p, IMPORT_KEPT, p->where, "variable %s", key);
        free(text);
    }
    if (json_object_size(variables))
        json_object_set(p->spec, "variables", variables);
    json_decref(variables);
}

static json_t *labels_of(struct import_pipeline *p)
{
    const json_t *tags = import_get(p->in, "tags");
    json_t *labels = json_object(), *tag;
    size_t i;

    if (!tags)
        tags = import_get(p->imp->root, "tags");
    json_array_foreach(tags, i, tag)
    {
        const char *key = import_get_text(tag, "key"), *value = import_get_text(tag, "value");

        if (*key && strlen(key) <= 63 && *value && strlen(value) <= 63 &&
            !key[strspn(key,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./")] &&
            json_object_size(labels) < LABELS_MAX) {
            char *text = mem_strdup(value);

            import_clean(text);
            json_object_set_new(labels, key, json_string(strpbrk(text, "\n\t") ? "x" : text));
            free(text);
        } else {
            NOTE(p, IMPORT_CHANGED, p->where, "the tag '%.100s' cannot be a label: left out", key);
        }
    }
    return labels;
}

/* ---- stages ---- */

static json_t *entry_of(struct import_pipeline *p, struct import_action *a)
{
    switch (a->as) {
    case AS_BUILD:
        return import_build(p, a);
    case AS_DEPLOY:
        return import_deploy(p, a);
    case AS_APPROVAL:
        return import_approval(p, a);
    case AS_CUSTOM:
        return import_custom(p, a);
    case AS_SOURCE:
        break;
    }
    return NULL;
}

/* Equal runOrder is one step. */
static json_t *steps_of(struct import_pipeline *p, size_t stage_index)
{
    json_t *steps = json_array(), *together = NULL;
    const struct import_action *last = NULL;

    for (size_t i = 0; i < p->action_count; i++) {
        struct import_action *a = &p->actions[i];
        json_t *entry;

        if (a->stage_index != stage_index || a->as == AS_SOURCE)
            continue;
        entry = entry_of(p, a);
        if (*import_get_text(a->in, "roleArn"))
            NOTE(p, IMPORT_NEEDS, a->where,
                 "ran with the role %.200s: give what does it here the rights that it needs there",
                 import_get_text(a->in, "roleArn"));
        if (last && last->run_order == a->run_order && !together) {
            json_t *step = json_object(),
                   *first = json_array_get(steps, json_array_size(steps) - 1);

            together = json_array();
            json_array_append(together, first);
            json_object_set_new(step, "parallel", together);
            json_array_set_new(steps, json_array_size(steps) - 1, step);
        } else if (!last || last->run_order != a->run_order) {
            together = NULL;
        }
        json_array_append_new(together ? together : steps, entry);
        last = a;
    }
    return steps;
}

static bool is_named(const json_t *stages, const char *name)
{
    json_t *stage;
    size_t i;

    json_array_foreach(stages, i, stage)
    {
        if (str_eq(import_get_text(stage, "name"), name))
            return true;
    }
    return false;
}

static void write_stages(struct import_pipeline *p)
{
    json_t *stages = json_array(), *in;
    char base[64], name[64];
    size_t i;

    json_array_foreach(import_get(p->in, "stages"), i, in)
    {
        json_t *stage, *steps;

        p->imp->context = import_get_text(in, "name");
        steps = steps_of(p, i);
        if (!json_array_size(steps)) {
            json_decref(steps);
            continue;
        }
        import_name(base, import_get_text(in, "name"));
        snprintf(name, sizeof(name), "%s", base);
        for (unsigned n = 2; is_named(stages, name); n++)
            snprintf(name, sizeof(name), "%.56s-%u", base, n);
        stage = json_pack("{ss}", "name", name);
        import_conditions(p, in, i, stage, steps);
        json_object_set_new(stage, "steps", steps);
        json_array_append_new(stages, stage);
    }
    json_object_set_new(p->spec, "stages", stages);
}

/* ---- what is not in it ---- */

static void note_rest(struct import_pipeline *p)
{
    json_t *disabled;
    char stage[64];
    size_t i;

    json_array_foreach(import_get(p->in, "disableInboundStageTransitions"), i, disabled)
    {
        import_name(stage, import_get_text(disabled, "stageName"));
        NOTE(p, IMPORT_NEEDS, p->where,
             "the way into '%.60s' is disabled (%.200s): disable it again when the pipeline is "
             "applied (gantry transition disable %s %s --reason ...)",
             import_get_text(disabled, "stageName"), import_get_text(disabled, "reason"), p->name,
             stage);
    }
    if (!p->imp->is_template)
        NOTE(p, IMPORT_NEEDS, p->where,
             "transitions that somebody disabled are not in the input: aws codepipeline "
             "get-pipeline-state --name %.100s shows them",
             p->called);
    if (import_get(p->in, "artifactStore") || import_get(p->in, "artifactStores"))
        NOTE(p, IMPORT_CHANGED, p->where,
             "the artifact store is left out: what is handed on is the image, by its digest");
    if (*import_get_text(p->in, "roleArn"))
        NOTE(p, IMPORT_CHANGED, p->where,
             "the service role is left out: builders and deployers have credentials of their own");
}

static void write_document(struct import_pipeline *p)
{
    json_t *document = json_pack("{ss, ss, s{ss}}", "apiVersion", "gantry/v1", "kind", "Pipeline",
                                 "metadata", "name", p->name);
    json_t *labels = labels_of(p);

    import_comment(document,
                   "Imported from the AWS CodePipeline '%.200s'. What it needs before it "
                   "runs: the report of gantry import codepipeline",
                   p->called);
    if (json_object_size(labels))
        json_object_set(json_object_get(document, "metadata"), "labels", labels);
    json_decref(labels);
    json_object_set(document, "spec", p->spec);
    json_array_append_new(p->imp->pipelines, document);
}

static void name_pipeline(struct import_pipeline *p, const char *logical)
{
    struct import *imp = p->imp;
    char base[64];

    p->called = import_get_text(p->in, "name");
    if (!*p->called)
        p->called = logical;
    import_name(base, p->called);
    snprintf(p->name, sizeof(p->name), "%s", base);
    for (unsigned n = 2; strv_has(&imp->names, p->name); n++)
        snprintf(p->name, sizeof(p->name), "%.56s-%u", base, n);
    strv_add(&imp->names, p->name);
    if (imp->pipeline_count > 1)
        snprintf(p->prefix, sizeof(p->prefix), "%s: ", p->name);
    snprintf(p->where, sizeof(p->where), "%spipeline", p->prefix);
    if (!str_eq(p->name, p->called))
        NOTE(p, IMPORT_CHANGED, p->where, "'%.200s' is called %s", p->called, p->name);
}

static size_t count_actions(const json_t *stage)
{
    size_t count = 0, i;
    json_t *step;

    json_array_foreach(json_object_get(stage, "steps"), i, step)
    {
        const json_t *together = json_object_get(step, "parallel");

        count += together ? json_array_size(together) : 1;
    }
    return count;
}

/* What is too much is no mistake of the translation. */
static int check_limits(const struct import_pipeline *p, struct err *err)
{
    const json_t *stages = json_object_get(p->spec, "stages");
    size_t sources = json_array_size(json_object_get(p->spec, "sources")), all = 0, most = 0, i;
    json_t *stage;

    json_array_foreach(stages, i, stage)
    {
        all += count_actions(stage);
        most = count_actions(stage) > most ? count_actions(stage) : most;
    }
    if (i == 0)
        return err_set(err, ERR_INVALID, "%s: '%.100s' does nothing: its stages hold sources alone",
                       p->imp->file, p->called);
    if (sources > DEFINITION_SOURCES_MAX || i > DEFINITION_STAGES_MAX ||
        most > DEFINITION_STAGE_ACTIONS_MAX || all > DEFINITION_ACTIONS_MAX)
        return err_set(err, ERR_LIMIT,
                       "%s: '%.100s' has %zu sources, %zu stages, %zu actions, up to %zu in a "
                       "stage; Gantry takes %d, %d, %d and %d: divide it",
                       p->imp->file, p->called, sources, i, all, most, DEFINITION_SOURCES_MAX,
                       DEFINITION_STAGES_MAX, DEFINITION_ACTIONS_MAX, DEFINITION_STAGE_ACTIONS_MAX);
    return 0;
}

int import_pipeline(struct import *imp, const json_t *in, const char *logical, struct err *err)
{
    struct import_pipeline p = {.imp = imp, .in = in};
    int ret = -1;

    p.spec = json_object();
    p.variables = json_object();
    name_pipeline(&p, logical);
    if (import_gather(&p, err) < 0)
        goto out;
    find_account(&p);
    write_mode(&p);
    write_variables(&p);
    import_find_images(&p);
    import_sources(&p);
    write_stages(&p);
    note_rest(&p);
    if (check_limits(&p, err) < 0)
        goto out;
    write_document(&p);
    ret = 0;
out:
    import_actions_release(&p);
    json_decref(p.spec);
    json_decref(p.variables);
    return ret;
}
