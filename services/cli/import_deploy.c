#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "services/cli/import_pipeline.h"

#define INPUTS_MAX      90
#define INPUT_VALUE_MAX 8000
#define MESSAGE_MAX     1900 /* bytes; a definition takes 2,000 characters */
#define WEEK_MINUTES    (7 * 24 * 60)
#define EXPIRY_MINUTES  (60 * 24 * 60)

/* ---- deploy ---- */

bool import_deploys_image(const struct import_action *a)
{
    return str_eq(a->category, "Deploy") &&
           (str_eq(a->provider, "EKS") || str_eq(a->provider, "ECS") ||
            str_eq(a->provider, "CodeDeployToECS"));
}

/* What tells one place from another: the same configuration is the same environment. */
static char *target_of(const struct import_action *a)
{
    static const char *const keys[] = {"ClusterName",         "ServiceName", "ApplicationName",
                                       "DeploymentGroupName", "Namespace",   "HelmReleaseName"};
    struct buf text;

    buf_init(&text, IMPORT_TEXT_MAX);
    buf_adds(&text, a->provider);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (*import_get_text(a->config, keys[i]))
            buf_addf(&text, ", %s %.200s", keys[i], import_get_text(a->config, keys[i]));
    if (*import_get_text(a->in, "region"))
        buf_addf(&text, ", region %.60s", import_get_text(a->in, "region"));
    if (*import_get_text(a->in, "roleArn"))
        buf_addf(&text, ", with the role %.200s", import_get_text(a->in, "roleArn"));
    return buf_detach(&text);
}

static bool is_used(const struct import *imp, const char *environment)
{
    const char *target;
    json_t *name;

    json_object_foreach(imp->targets, target, name)
    {
        if (str_eq(json_string_value(name), environment))
            return true;
    }
    return false;
}

static void write_environment(struct import_pipeline *p, const struct import_action *a,
                              const char *name, const char *target)
{
    json_t *document =
        json_pack("{ss, ss, s{ss}, s{ss, s{ss}}}", "apiVersion", "gantry/v1", "kind", "Environment",
                  "metadata", "name", name, "spec", "driver", "command", "command", "run", "x");
    json_t *command = json_object_get(json_object_get(document, "spec"), "command");
    char run[72];

    snprintf(run, sizeof(run), "deploy-%.56s", name);
    json_object_set_new(command, "run", json_string(run));
    import_comment(document, "Was: %.600s", target);
    import_comment(document,
                   "%s is a name: its program stands in the settings of the deployer that serves "
                   "it (docs/reference/command.md)",
                   run);
    json_array_append_new(p->imp->environments, document);
    NOTE(p, IMPORT_NEEDS, a->where,
         "write the program '%s' into the settings of the deployer: it puts $GANTRY_IMAGE where "
         "this was: %.600s",
         run, target);
}

/* The environment's name, made where it is new. */
static const char *environment_of(struct import_pipeline *p, const struct import_action *a)
{
    char *target = target_of(a), *whole = mem_printf("%s-%s", p->name, a->stage);
    const char *known = json_string_value(json_object_get(p->imp->targets, target));
    char base[64], name[64];

    if (!known) {
        import_name(base, whole);
        if (is_used(p->imp, base)) {
            free(whole);
            whole = mem_printf("%s-%s-%s", p->name, a->stage, a->name);
            import_name(base, whole);
        }
        snprintf(name, sizeof(name), "%.55s", base);
        for (unsigned n = 2; is_used(p->imp, name); n++)
            snprintf(name, sizeof(name), "%.50s-%u", base, n);
        write_environment(p, a, name, target);
        json_object_set_new(p->imp->targets, target, json_string(name));
        known = json_string_value(json_object_get(p->imp->targets, target));
    }
    free(whole);
    free(target);
    return known;
}

static void note_deploy(struct import_pipeline *p, const struct import_action *a)
{
    char field[40];

    if (str_eq(a->provider, "CodeDeployToECS")) {
        NOTE(p, IMPORT_NEEDS, a->where,
             "CodeDeploy shifted traffic from blue to green: the deploy program has to start that "
             "and wait (aws deploy create-deployment; its exit code is the outcome), with "
             "task definition and AppSpec of its own");
        for (int n = 2; n <= 4; n++) {
            snprintf(field, sizeof(field), "Image%dArtifactName", n);
            if (*import_get_text(a->config, field))
                NOTE(p, IMPORT_NEEDS, a->where,
                     "deploys a second image too (%s): a deploy here has one; write another action",
                     field);
        }
    }
    if (str_eq(a->provider, "EKS") && *import_get_text(a->config, "HelmChartLocation"))
        NOTE(p, IMPORT_NEEDS, a->where,
             "deploys the chart %.200s: the deploy program runs helm, with the image by digest",
             import_get_text(a->config, "HelmChartLocation"));
    if (str_eq(a->provider, "EKS") && *import_get_text(a->config, "ManifestFiles"))
        NOTE(p, IMPORT_NEEDS, a->where,
             "applies %.200s: the deploy program runs kubectl, with the image by digest",
             import_get_text(a->config, "ManifestFiles"));
}

json_t *import_deploy(struct import_pipeline *p, struct import_action *a)
{
    json_t *entry = json_object(), *body = json_object();
    const char *minutes = import_get_text(a->config, "DeploymentTimeout");
    const char *environment = environment_of(p, a);
    char timeout[32];

    json_object_set_new(body, "name", json_string(a->as_name));
    json_object_set_new(body, "environment", json_string(environment));
    json_object_set_new(body, "artifact", json_string(a->artifact->as_name));
    if (import_minutes(*minutes ? minutes : import_get_text(a->in, "timeoutInMinutes"), 1,
                       WEEK_MINUTES, timeout))
        json_object_set_new(body, "timeout", json_string(timeout));
    json_object_set_new(entry, "deploy", body);
    NOTE(p, IMPORT_KEPT, a->where, "deploy '%s' of what '%s' made into the environment '%s'",
         a->as_name, a->artifact->as_name, environment);
    if (a->artifact->image_is_guess && str_eq(a->provider, "EKS"))
        NOTE(p, IMPORT_NEEDS, a->where,
             "which image it deploys stood in its chart or manifests: look whether it is the one "
             "that '%s' makes",
             a->artifact->as_name);
    note_deploy(p, a);
    return entry;
}

/* ---- custom ---- */

static void add_input(struct import_pipeline *p, const struct import_action *a, json_t *input,
                      const char *key, const json_t *value)
{
    char *dumped = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT), *text;
    char name[160];

    import_key(name, sizeof(name), key, false);
    text = import_text(p, a, a->stage_index, dumped ? dumped : json_string_value(value));
    if (strlen(text) > INPUT_VALUE_MAX || json_object_size(input) == INPUTS_MAX)
        NOTE(p, IMPORT_NEEDS, a->where, "%s is left out of the input: %s", name,
             strlen(text) > INPUT_VALUE_MAX ? "too long" : "there is too much");
    else
        json_object_set_new(input, name, json_string(text));
    free(text);
    free(dumped);
}

static void note_custom(struct import_pipeline *p, const struct import_action *a, const char *type)
{
    NOTE(p, IMPORT_NEEDS, a->where,
         "'%.100s' becomes custom/%s, with its configuration as input: somebody has to answer it "
         "(docs/extend.md)",
         a->provider, type);
    if (import_deploys_image(a))
        NOTE(p, IMPORT_NEEDS, a->where,
             "it deploys, but no build before it makes an image: write one with `image:`, then "
             "make this a `deploy:`");
    if (*import_artifact(a, "inputArtifacts", 0))
        NOTE(p, IMPORT_CHANGED, a->where,
             "gets no files of other actions: the request has the commits, and the images by "
             "digest");
}

json_t *import_custom(struct import_pipeline *p, struct import_action *a)
{
    json_t *entry = json_object(), *body = json_object(), *input = json_object(), *value;
    char type[64], timeout[32], *name;
    const char *key;

    import_type(type, a->provider, a->category);
    json_object_foreach((json_t *)a->config, key, value)
    {
        if (!strcasestr(key, "OAuthToken") && !json_is_null(value))
            add_input(p, a, input, key, value);
    }
    if (import_get(a->in, "region"))
        add_input(p, a, input, "region", import_get(a->in, "region"));
    if (import_get(a->in, "roleArn"))
        add_input(p, a, input, "role-arn", import_get(a->in, "roleArn"));
    json_object_set_new(body, "name", json_string(a->as_name));
    if (json_object_size(input))
        json_object_set(body, "input", input);
    if (import_minutes(import_get_text(a->in, "timeoutInMinutes"), 1, WEEK_MINUTES, timeout))
        json_object_set_new(body, "timeout", json_string(timeout));
    json_decref(input);
    name = mem_printf("custom/%s", type);
    json_object_set_new(entry, name, body);
    import_comment(entry, "Nobody answers %s yet: docs/extend.md shows how.", name);
    free(name);
    note_custom(p, a, type);
    return entry;
}

/* ---- approval ---- */

/* Cut at a character and outside of {{...}}. */
static void cut(char *text, size_t max)
{
    char *open;

    if (strlen(text) <= max)
        return;
    text[max] = '\0';
    while (max > 0 && ((unsigned char)text[max - 1] & 0xc0) == 0x80)
        text[--max] = '\0';
    if (max > 0 && (unsigned char)text[max - 1] >= 0xc0)
        text[--max] = '\0';
    for (open = text; (open = strstr(open, "{{")); open += 2)
        if (!strstr(open, "}}")) {
            *open = '\0';
            break;
        }
}

json_t *import_approval(struct import_pipeline *p, struct import_action *a)
{
    json_t *entry = json_object(), *body = json_object();
    const char *link = import_get_text(a->config, "ExternalEntityLink");
    const char *topic = import_get_text(a->config, "NotificationArn");
    char *both = mem_printf("%s%s%s", import_get_text(a->config, "CustomData"),
                            *link && *import_get_text(a->config, "CustomData") ? "\n" : "", link);
    char *message = import_text(p, a, a->stage_index, both), expires[32];

    cut(message, MESSAGE_MAX);
    json_object_set_new(body, "name", json_string(a->as_name));
    if (import_minutes(import_get_text(a->in, "timeoutInMinutes"), 5, EXPIRY_MINUTES, expires))
        json_object_set_new(body, "expires", json_string(expires));
    if (*message)
        json_object_set_new(body, "message", json_string(message));
    json_object_set_new(entry, "approval", body);
    import_comment(entry, "Anybody with the role approver may vote: by: [group:...] says who.");
    NOTE(p, IMPORT_KEPT, a->where, "approval '%s' inside the stage", a->as_name);
    NOTE(p, IMPORT_NEEDS, a->where,
         "who may approve stood in IAM: say so with `by:`; and consider a gate before the stage "
         "instead, which lets a newer release take the place of one that waits");
    if (*topic)
        NOTE(p, IMPORT_NEEDS, a->where,
             "told the topic %.200s: write a `kind: Notification` for approval.opened", topic);
    free(message);
    free(both);
    return entry;
}
