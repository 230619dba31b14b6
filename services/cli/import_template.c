#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "services/cli/import.h"
#include "services/cli/import_pipeline.h"

/* What Ref gives for a resource of that type is this property. */
static const struct physical {
    const char *type;
    const char *property;
} physicals[] = {
    {"AWS::CodeBuild::Project", "Name"},
    {"AWS::CodeCommit::Repository", "RepositoryName"},
    {"AWS::CodeDeploy::Application", "ApplicationName"},
    {"AWS::CodeDeploy::DeploymentGroup", "DeploymentGroupName"},
    {"AWS::ECR::Repository", "RepositoryName"},
    {"AWS::ECS::Cluster", "ClusterName"},
    {"AWS::ECS::Service", "ServiceName"},
    {"AWS::EKS::Cluster", "Name"},
    {"AWS::Lambda::Function", "FunctionName"},
    {"AWS::S3::Bucket", "BucketName"},
};

static const json_t *section(const struct import *imp, const char *name)
{
    return json_object_get(imp->root, name);
}

static json_t *text_new(struct import *imp, const char *text)
{
    imp->text_bytes += strlen(text);
    if (imp->text_bytes > IMPORT_TEXTS_MAX)
        imp->too_large = true;
    return json_string(imp->too_large ? "" : text);
}

/* ---- Ref and GetAtt ---- */

static const char *given(const struct import *imp, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; imp->parameters && i < imp->parameters->count; i++) {
        const char *item = imp->parameters->items[i];

        if (strncmp(item, name, len) == 0 && item[len] == '=')
            return item + len + 1;
    }
    return NULL;
}

/* The name that the resource has by its properties; NULL: one that CloudFormation makes up. */
static json_t *physical_name(struct import *imp, const json_t *resource)
{
    const char *type = json_string_value(json_object_get(resource, "Type"));
    json_t *name;

    for (size_t i = 0; i < sizeof(physicals) / sizeof(physicals[0]); i++) {
        if (!str_eq(type, physicals[i].type))
            continue;
        name = import_resolve(
            imp, json_object_get(json_object_get(resource, "Properties"), physicals[i].property));
        if (json_is_string(name) && *json_string_value(name))
            return name;
        json_decref(name);
    }
    return NULL;
}

static json_t *placeholder_new(struct import *imp, const char *origin, const char *base,
                               const char *hint)
{
    return text_new(imp, import_placeholder(imp, origin, base, hint));
}

/* NULL: AWS::NoValue. */
static json_t *ref(struct import *imp, const char *name)
{
    const json_t *parameter = json_object_get(section(imp, "Parameters"), name);
    const json_t *resource = json_object_get(section(imp, "Resources"), name);
    const char *otherwise = json_string_value(json_object_get(parameter, "Default"));
    char *origin = mem_printf("!Ref %.200s", name), *hint = NULL;
    json_t *value;

    if (str_eq(name, "AWS::NoValue")) {
        free(origin);
        return NULL;
    }
    if (given(imp, name)) {
        free(origin);
        return text_new(imp, given(imp, name));
    }
    value = resource ? physical_name(imp, resource) : NULL;
    if (!value) {
        if (otherwise)
            hint = mem_printf("whose default is '%.200s',", otherwise);
        value = placeholder_new(imp, origin, name, hint);
    }
    free(hint);
    free(origin);
    return value;
}

static json_t *get_att(struct import *imp, const char *name, const char *attribute)
{
    const json_t *resource = json_object_get(section(imp, "Resources"), name);
    const char *type = json_string_value(json_object_get(resource, "Type"));
    char *origin = mem_printf("!GetAtt %.200s.%.200s", name, attribute);
    char *base = mem_printf("%.200s.%.200s", name, attribute), *uri;
    json_t *value = NULL;

    if (str_eq(type, "AWS::ECR::Repository") && str_eq(attribute, "RepositoryUri")) {
        json_t *account = ref(imp, "AWS::AccountId"), *region = ref(imp, "AWS::Region");
        json_t *repository = ref(imp, name);

        uri = mem_printf("%.100s.dkr.ecr.%.100s.amazonaws.com/%.300s", json_string_value(account),
                         json_string_value(region), json_string_value(repository));
        value = text_new(imp, uri);
        free(uri);
        json_decref(account);
        json_decref(region);
        json_decref(repository);
    } else if (str_eq(attribute, "Name") || str_eq(attribute, "RepositoryName")) {
        value = physical_name(imp, resource);
    }
    if (!value)
        value = placeholder_new(imp, origin, base, NULL);
    free(base);
    free(origin);
    return value;
}

static json_t *fn_ref(struct import *imp, const json_t *arg)
{
    return ref(imp, json_is_string(arg) ? json_string_value(arg) : "");
}

static json_t *fn_get_att(struct import *imp, const json_t *arg)
{
    json_t *attribute = import_resolve(imp, json_array_get(arg, 1));
    const char *name = json_string_value(json_array_get(arg, 0)), *dot;
    char *whole;
    json_t *value;

    if (json_is_string(arg)) {
        dot = strchrnul(json_string_value(arg), '.');
        whole = mem_strndup(json_string_value(arg), (size_t)(dot - json_string_value(arg)));
        value = get_att(imp, whole, *dot ? dot + 1 : "");
        free(whole);
    } else {
        value = get_att(imp, name ? name : "",
                        json_is_string(attribute) ? json_string_value(attribute) : "");
    }
    json_decref(attribute);
    return value;
}

/* ---- texts ---- */

static void add_value(struct buf *out, json_t *value)
{
    if (json_is_string(value))
        buf_adds(out, json_string_value(value));
    json_decref(value);
}

/* ${A}, ${A.B}, ${!Literal}; `own` has the function's own values. */
static void add_variable(struct import *imp, struct buf *out, const char *name, const json_t *own)
{
    const char *dot = strchr(name, '.');
    char *logical;

    if (*name == '!') {
        buf_addf(out, "${%s}", name + 1);
    } else if (json_object_get(own, name)) {
        add_value(out, import_resolve(imp, json_object_get(own, name)));
    } else if (dot) {
        logical = mem_strndup(name, (size_t)(dot - name));
        add_value(out, get_att(imp, logical, dot + 1));
        free(logical);
    } else {
        add_value(out, ref(imp, name));
    }
}

static json_t *finish(struct import *imp, struct buf *text)
{
    json_t *value;

    if (text->overflow)
        imp->too_large = true;
    value = text_new(imp, buf_cstr(text));
    buf_release(text);
    return value;
}

static json_t *fn_sub(struct import *imp, const json_t *arg)
{
    const json_t *first = json_is_array(arg) ? json_array_get(arg, 0) : arg;
    const char *at = json_is_string(first) ? json_string_value(first) : "", *open, *close;
    struct buf text;

    buf_init(&text, IMPORT_TEXT_MAX);
    while (!text.overflow && (open = strstr(at, "${")) && (close = strchr(open, '}'))) {
        char *name = mem_strndup(open + 2, (size_t)(close - open - 2));

        buf_add(&text, at, (size_t)(open - at));
        add_variable(imp, &text, name, json_array_get(arg, 1));
        free(name);
        at = close + 1;
    }
    buf_adds(&text, at);
    return finish(imp, &text);
}

static json_t *fn_join(struct import *imp, const json_t *arg)
{
    const char *separator = json_string_value(json_array_get(arg, 0));
    json_t *parts = import_resolve(imp, json_array_get(arg, 1)), *part;
    struct buf text;
    size_t i;

    buf_init(&text, IMPORT_TEXT_MAX);
    json_array_foreach(parts, i, part)
    {
        if (i && separator)
            buf_adds(&text, separator);
        add_value(&text, json_incref(part));
    }
    if (json_is_string(parts))
        buf_adds(&text, json_string_value(parts));
    json_decref(parts);
    return finish(imp, &text);
}

static json_t *fn_split(struct import *imp, const json_t *arg)
{
    const char *separator = json_string_value(json_array_get(arg, 0)), *at, *end;
    json_t *text = import_resolve(imp, json_array_get(arg, 1)), *parts;

    if (!separator || !*separator || !json_is_string(text) ||
        strstr(json_string_value(text), "placeholder-")) {
        json_decref(text);
        return placeholder_new(imp, "!Split of what only the stack knows", "split", NULL);
    }
    parts = json_array();
    for (at = json_string_value(text); (end = strstr(at, separator)); at = end + strlen(separator))
        json_array_append_new(parts, json_stringn(at, (size_t)(end - at)));
    json_array_append_new(parts, json_string(at));
    json_decref(text);
    return parts;
}

/* ---- choices ---- */

static json_t *fn_select(struct import *imp, const json_t *arg)
{
    json_t *index = import_resolve(imp, json_array_get(arg, 0));
    json_t *list = import_resolve(imp, json_array_get(arg, 1)), *value = NULL;
    uint64_t i;

    if (json_is_array(list) && json_is_string(index) &&
        str_to_u64(json_string_value(index), &i) == 0)
        value = json_incref(json_array_get(list, i));
    if (!value)
        value = placeholder_new(imp, "!Select of what only the stack knows", "select", NULL);
    json_decref(index);
    json_decref(list);
    return value;
}

static json_t *fn_find_in_map(struct import *imp, const json_t *arg)
{
    const json_t *found = section(imp, "Mappings");
    char *origin, *base;
    const char *words[3];
    json_t *keys = import_resolve(imp, arg), *value;

    for (size_t i = 0; i < 3; i++) {
        words[i] = json_string_value(json_array_get(keys, i));
        words[i] = words[i] ? words[i] : "";
        found = json_object_get(found, words[i]);
    }
    if (json_is_string(found) || json_is_array(found)) {
        value = json_deep_copy(found);
    } else {
        origin = mem_printf("!FindInMap [%.100s, %.100s, %.100s]", words[0], words[1], words[2]);
        base = mem_printf("%.40s-%.40s", words[0], words[2]);
        value = placeholder_new(imp, origin, base, NULL);
        free(origin);
        free(base);
    }
    json_decref(keys);
    return value;
}

/* Which of two texts holds is for people to say; of two structures, one is taken. */
static json_t *fn_if(struct import *imp, const json_t *arg)
{
    const char *condition = json_string_value(json_array_get(arg, 0));
    json_t *yes = import_resolve(imp, json_array_get(arg, 1));
    json_t *no = import_resolve(imp, json_array_get(arg, 2)), *value;
    char *origin, *hint;

    condition = condition ? condition : "";
    if (json_is_string(yes) && json_is_string(no)) {
        origin = mem_printf("!If %.100s", condition);
        hint = mem_printf("'%.200s' if it holds, else '%.200s',", json_string_value(yes),
                          json_string_value(no));
        value = placeholder_new(imp, origin, condition, hint);
        free(origin);
        free(hint);
        json_decref(yes);
        json_decref(no);
        return value;
    }
    import_note(imp, IMPORT_NEEDS, imp->context,
                "!If %.100s: taken as if it %s; look whether that is so where you are", condition,
                yes ? "held" : "did not hold");
    value = yes ? yes : no;
    json_decref(yes ? no : NULL);
    return value;
}

static json_t *fn_import_value(struct import *imp, const json_t *arg)
{
    json_t *name = import_resolve(imp, arg), *value;
    const char *text = json_is_string(name) ? json_string_value(name) : "";
    char *origin = mem_printf("!ImportValue %.200s", text);

    value = placeholder_new(imp, origin, text, NULL);
    free(origin);
    json_decref(name);
    return value;
}

static const struct function {
    const char *name;
    json_t *(*run)(struct import *imp, const json_t *arg);
} functions[] = {
    {"Ref", fn_ref},
    {"Fn::GetAtt", fn_get_att},
    {"Fn::Sub", fn_sub},
    {"Fn::Join", fn_join},
    {"Fn::Split", fn_split},
    {"Fn::Select", fn_select},
    {"Fn::FindInMap", fn_find_in_map},
    {"Fn::If", fn_if},
    {"Fn::ImportValue", fn_import_value},
};

static json_t *run_function(struct import *imp, const char *name, const json_t *arg)
{
    char *origin;
    json_t *value;

    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        if (str_eq(functions[i].name, name))
            return functions[i].run(imp, arg);
    origin = mem_printf("a value of %.100s", name);
    value = placeholder_new(imp, origin, name, NULL);
    free(origin);
    return value;
}

/* {{resolve:secretsmanager:...}} is looked up when a stack is made, and would be a name of
 * Gantry's own here. */
static json_t *resolve_text(struct import *imp, const json_t *value)
{
    const char *at = json_string_value(value), *open, *close;
    struct buf text;

    if (!strstr(at, "{{resolve:"))
        return json_incref((json_t *)value);
    buf_init(&text, IMPORT_TEXT_MAX);
    while ((open = strstr(at, "{{resolve:")) && (close = strstr(open, "}}"))) {
        char *origin = mem_strndup(open, (size_t)(close + 2 - open));
        char *base = mem_strndup(open + 2, (size_t)(close - open - 2));

        buf_add(&text, at, (size_t)(open - at));
        buf_adds(&text, import_placeholder(imp, origin, base, NULL));
        free(origin);
        free(base);
        at = close + 2;
    }
    buf_adds(&text, at);
    return finish(imp, &text);
}

static void copy_line(struct import *imp, const json_t *from, const json_t *to)
{
    char key[32];
    void *line;

    snprintf(key, sizeof(key), "%p", (const void *)from);
    line = map_get(imp->lines, key);
    snprintf(key, sizeof(key), "%p", (const void *)to);
    if (line)
        map_set(imp->lines, key, line);
}

static json_t *resolve_members(struct import *imp, const json_t *value)
{
    json_t *copy = json_is_array(value) ? json_array() : json_object(), *item, *member;
    const char *key;
    size_t i;

    json_array_foreach(value, i, item)
    {
        member = import_resolve(imp, item);
        if (member)
            json_array_append_new(copy, member);
    }
    json_object_foreach((json_t *)value, key, item)
    {
        member = import_resolve(imp, item);
        if (member)
            json_object_set_new(copy, key, member);
    }
    copy_line(imp, value, copy);
    return copy;
}

json_t *import_resolve(struct import *imp, const json_t *value)
{
    const char *key = NULL;
    json_t *result;

    if (!value || json_is_null(value) || imp->too_large)
        return NULL;
    /* Names of resources may refer to each other. */
    if (imp->depth == IMPORT_DEPTH_MAX || ++imp->steps > IMPORT_STEPS_MAX) {
        imp->too_large = true;
        return NULL;
    }
    imp->depth++;
    if (json_is_object(value) && json_object_size(value) == 1)
        key = json_object_iter_key(json_object_iter((json_t *)value));
    if (json_is_string(value))
        result = resolve_text(imp, value);
    else if (key && (str_eq(key, "Ref") || str_starts(key, "Fn::")))
        result = run_function(imp, key, json_object_get(value, key));
    else
        result = resolve_members(imp, value);
    imp->depth--;
    return result;
}

static bool is_meant(struct import *imp, const char *logical, const json_t *resource,
                     const char *name)
{
    const char *origin = import_origin(imp, name), *property = NULL;
    json_t *physical = physical_name(imp, resource);
    bool meant;

    if (origin && (property = strchr(origin, ' ')))
        property++;
    meant = str_eq(logical, name) ||
            (property && strncmp(property, logical, strlen(logical)) == 0 &&
             strchr(".", property[strlen(logical)])) ||
            (physical && str_eq(json_string_value(physical), name));
    json_decref(physical);
    return meant;
}

json_t *import_resource(struct import *imp, const char *type, const char *name)
{
    const json_t *resource;
    const char *logical;

    if (!imp->is_template || !name)
        return NULL;
    json_object_foreach((json_t *)section(imp, "Resources"), logical, resource)
    {
        if (str_eq(json_string_value(json_object_get(resource, "Type")), type) &&
            is_meant(imp, logical, resource, name))
            return import_resolve(imp, json_object_get(resource, "Properties"));
    }
    return NULL;
}
