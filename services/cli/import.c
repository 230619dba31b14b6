#include "services/cli/import.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "definition/definition.h"
#include "services/cli/import_pipeline.h"

#define PIPELINES_MAX 100
#define YAML_MAX      (16 * 1024 * 1024)

/* ---- what is in the file ---- */

/* Told apart for those who took the wrong command's output. */
static int refuse(const struct import *imp, struct err *err)
{
    static const struct {
        const char *key, *what;
    } others[] = {
        {"stageStates", "what get-pipeline-state prints: get-pipeline prints the pipeline itself"},
        {"pipelines", "what list-pipelines prints: get-pipeline prints one of them"},
        {"pipelineExecutionSummaries", "what list-pipeline-executions prints"},
        {"projects", "what batch-get-projects prints"},
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (json_object_get(imp->root, others[i].key))
            return err_set(err, ERR_INVALID, "%s:1: no pipeline, but %s", imp->file,
                           others[i].what);
    if (json_is_object(json_object_get(imp->root, "Resources")))
        return err_set(err, ERR_INVALID,
                       "%s:1: a template without a resource of type AWS::CodePipeline::Pipeline",
                       imp->file);
    return err_set(err, ERR_INVALID,
                   "%s:1: neither what `aws codepipeline get-pipeline` prints (a mapping with "
                   "'pipeline', or its 'stages') nor a CloudFormation template (with 'Resources')",
                   imp->file);
}

static bool is_pipeline(const json_t *resource)
{
    return str_eq(json_string_value(json_object_get(resource, "Type")),
                  "AWS::CodePipeline::Pipeline");
}

static int translate_resource(struct import *imp, const char *logical, const json_t *resource,
                              struct err *err)
{
    json_t *properties;
    int ret;

    imp->context = logical;
    properties = import_resolve(imp, json_object_get(resource, "Properties"));
    if (imp->too_large)
        ret = err_set(err, ERR_LIMIT, "%s: '%.100s' refers to itself, or grows beyond all bounds",
                      imp->file, logical);
    else
        ret = import_pipeline(imp, properties, logical, err);
    if (ret == 0 && json_object_get(resource, "Condition"))
        import_note(imp, IMPORT_NEEDS, logical, "was made under the condition %.100s alone",
                    import_get_text(resource, "Condition"));
    json_decref(properties);
    return ret;
}

static int translate_template(struct import *imp, const json_t *resources, struct err *err)
{
    const json_t *resource;
    const char *logical;

    imp->is_template = true;
    json_object_foreach((json_t *)resources, logical, resource)
    {
        imp->pipeline_count += is_pipeline(resource);
        if (str_eq(json_string_value(json_object_get(resource, "Type")),
                   "AWS::CodePipeline::Webhook"))
            import_note(imp, IMPORT_NEEDS, logical,
                        "a webhook of the forge: point it to the source watcher "
                        "(docs/reference/webhooks.md)");
    }
    if (!imp->pipeline_count)
        return refuse(imp, err);
    if (imp->pipeline_count > PIPELINES_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d pipelines", imp->file, PIPELINES_MAX);
    json_object_foreach((json_t *)resources, logical, resource)
    {
        if (is_pipeline(resource) && translate_resource(imp, logical, resource, err) < 0)
            return -1;
    }
    return 0;
}

static int translate(struct import *imp, struct err *err)
{
    const json_t *resources = json_object_get(imp->root, "Resources");
    const json_t *pipeline = json_object_get(imp->root, "pipeline");

    if (json_is_object(resources))
        return translate_template(imp, resources, err);
    if (!json_is_object(pipeline))
        pipeline = import_get(imp->root, "stages") ? imp->root : NULL;
    if (!pipeline)
        return refuse(imp, err);
    imp->pipeline_count = 1;
    return import_pipeline(imp, pipeline, "pipeline", err);
}

/* ---- what comes out ---- */

static int check_document(const char *text, size_t len, int first_line, void *arg, struct err *err)
{
    struct import *imp = arg;
    struct def_problems problems = {0};
    struct definition *def = NULL;
    struct err own;
    int ret;

    if (len > DEFINITION_SIZE_MAX)
        return err_set(err, ERR_LIMIT, "%s: a definition of it would be larger than %d KiB",
                       imp->file, DEFINITION_SIZE_MAX / 1024);
    ret = definition_parse(&def, text, len, &problems, &own);
    if (ret < 0 && problems.count)
        err_set(err, ERR_INTERNAL,
                "%s: its translation would not apply, which is a mistake of this program: line %d, "
                "%s: %s",
                imp->file, problems.items[0].line + first_line - 1, problems.items[0].path,
                problems.items[0].reason);
    else if (ret < 0)
        err_set(err, ERR_INTERNAL, "%s: its translation would not apply: %s", imp->file, own.msg);
    def_problems_release(&problems);
    definition_free(def);
    return ret;
}

static int by_kind(const void *a, const void *b)
{
    const struct import_line *x = *(const struct import_line *const *)a;
    const struct import_line *y = *(const struct import_line *const *)b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* By kind, and within one as they were found. */
static void sort_lines(struct import *imp, struct import_result *out)
{
    struct import_line **order = mem_alloc((imp->report_count + 1) * sizeof(*order));

    for (size_t i = 0; i < imp->report_count; i++)
        order[i] = &imp->report[i];
    qsort(order, imp->report_count, sizeof(*order), by_kind);
    out->lines = mem_alloc((imp->report_count + 1) * sizeof(*out->lines));
    for (size_t i = 0; i < imp->report_count; i++)
        out->lines[i] = *order[i];
    out->line_count = imp->report_count;
    free(order);
    free(imp->report);
    imp->report = NULL;
    imp->report_count = 0;
}

static int finish(struct import *imp, struct import_result *out, struct err *err)
{
    struct buf yaml;
    int ret = -1;

    buf_init(&yaml, YAML_MAX);
    json_array_extend(imp->environments, imp->pipelines);
    if (import_write(imp->environments, &yaml) < 0) {
        err_set(err, ERR_LIMIT, "%s: its translation is larger than 16 MiB", imp->file);
        goto out;
    }
    if (definition_split(buf_cstr(&yaml), yaml.len, check_document, imp, err) < 0)
        goto out;
    import_note_placeholders(imp, buf_cstr(&yaml));
    sort_lines(imp, out);
    out->yaml = buf_detach(&yaml);
    ret = 0;
out:
    buf_release(&yaml);
    return ret;
}

static void release(struct import *imp)
{
    for (size_t i = 0; i < imp->placeholder_count; i++) {
        free(imp->placeholders[i].text);
        free(imp->placeholders[i].origin);
        free(imp->placeholders[i].hint);
    }
    free(imp->placeholders);
    for (size_t i = 0; i < imp->report_count; i++) {
        free(imp->report[i].where);
        free(imp->report[i].text);
    }
    free(imp->report);
    strv_release(&imp->names);
    map_free(imp->lines);
    json_decref(imp->root);
    json_decref(imp->environments);
    json_decref(imp->targets);
    json_decref(imp->pipelines);
}

int import_codepipeline(struct import_result *out, const char *file, const void *data, size_t len,
                        const struct strv *parameters, struct err *err)
{
    struct import imp = {.file = file, .parameters = parameters, .context = ""};
    int ret;

    memset(out, 0, sizeof(*out));
    imp.lines = map_new(NULL);
    imp.environments = json_array();
    imp.pipelines = json_array();
    imp.targets = json_object();
    ret = import_read(&imp.root, imp.lines, file, data, len, err);
    if (ret == 0)
        ret = translate(&imp, err);
    if (ret == 0)
        ret = finish(&imp, out, err);
    release(&imp);
    return ret;
}

void import_result_release(struct import_result *result)
{
    for (size_t i = 0; i < result->line_count; i++) {
        free(result->lines[i].where);
        free(result->lines[i].text);
    }
    free(result->lines);
    free(result->yaml);
    memset(result, 0, sizeof(*result));
}
