/* env, and who runs the commands. */
#include <stdlib.h>

#include "base/mem.h"
#include "buildspec/read.h"

#define VARIABLE_MAX   256
#define PARAMETER_MAX  2048 /* as SSM takes them, ARNs too */
#define USER_MAX       32
#define ARN_FIELDS     7 /* arn:aws:secretsmanager:region:account:secret:name */
#define REFERENCE_MAX  2048
#define RESERVED       "CODEBUILD_"
#define NEVER_EXPORTED "AWS_"

/* ---- variables ---- */

bool buildspec_is_variable(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > VARIABLE_MAX || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_'))
            return false;
    }
    return true;
}

bool spec_check_variable(struct reader *r, const struct yaml_node *entry, const char *path)
{
    const char *name = entry->key->text;
    if (!buildspec_is_variable(name)) {
        spec_problem(r, true, entry->key, path,
                     "is no name of a variable (letters, digits and _, no digit first)");
        return false;
    }
    if (str_starts(name, RESERVED))
        spec_problem(r, false, entry->key, path,
                     "names that begin with " RESERVED
                     " are reserved: the builder's own value wins");
    return true;
}

struct pairs {
    struct buildspec_pair **items;
    size_t *count;
};

static void read_variable(struct reader *r, const struct yaml_node *node, const char *path,
                          void *target)
{
    struct pairs *pairs = target;
    const char *value;
    if (spec_check_variable(r, node, path) && (value = spec_text_of(r, node, path)))
        spec_pair_add(pairs->items, pairs->count, node->key->text, value);
}

void spec_read_variables(struct reader *r, const struct yaml_node *node, const char *path,
                         struct buildspec_pair **items, size_t *count)
{
    struct pairs pairs = {items, count};
    spec_read_entries(r, node, path, BUILDSPEC_VARIABLES_MAX, read_variable, &pairs);
}

static void read_plain(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    (void)target;
    spec_read_variables(r, node, path, &r->spec->variables, &r->spec->variable_count);
}

/* ---- parameters and secrets ---- */

static void read_parameter(struct reader *r, const struct yaml_node *node, const char *path,
                           void *target)
{
    struct buildspec *spec = r->spec;
    const char *name;
    (void)target;
    if (!spec_check_variable(r, node, path) || !(name = spec_some_text_of(r, node, path)))
        return;
    if (node->len > PARAMETER_MAX)
        ERROR("is longer than a parameter's name can be (%d characters)", PARAMETER_MAX);
    else
        spec_pair_add(&spec->parameters, &spec->parameter_count, node->key->text, name);
}

static void read_parameters(struct reader *r, const struct yaml_node *node, const char *path,
                            void *target)
{
    spec_read_entries(r, node, path, BUILDSPEC_VARIABLES_MAX, read_parameter, target);
}

static char *some_or_null(const char *text, size_t len)
{
    return len ? mem_strndup(text, len) : NULL;
}

/* The length of the secret's name or ARN at the beginning; 0: there is none. */
static size_t id_length(const char *text)
{
    static const char service[] = "secretsmanager";
    size_t len = 0;
    if (!str_starts(text, "arn:"))
        return strcspn(text, ":");
    for (int field = 0; field < ARN_FIELDS; field++) {
        if (field && text[len++] != ':')
            return 0;
        size_t part = strcspn(text + len, ":");
        if (field == 2 && (part != strlen(service) || !str_starts(text + len, service)))
            return 0;
        if (field == ARN_FIELDS - 1 && part == 0)
            return 0;
        len += part;
    }
    return len;
}

/* secret-id:json-key:version-stage:version-id, all but the first optional, an ARN for the first. */
static void read_secret(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    struct buildspec *spec = r->spec;
    struct buildspec_secret secret = {0};
    char **const parts[] = {&secret.json_key, &secret.version_stage, &secret.version_id};
    const char *text;
    (void)target;
    if (!spec_check_variable(r, node, path) || !(text = spec_some_text_of(r, node, path)))
        return;
    size_t len = id_length(text);
    if (!len || node->len > REFERENCE_MAX) {
        ERROR("must be secret-id:json-key:version-stage:version-id, where the last three can be "
              "left out and secret-id is a name or arn:aws:secretsmanager:region:account:secret:"
              "name");
        return;
    }
    secret.name = mem_strdup(node->key->text);
    secret.id = mem_strndup(text, len);
    text += len;
    for (size_t i = 0; i < 3 && *text == ':'; i++) {
        len = strcspn(text + 1, ":");
        *parts[i] = some_or_null(text + 1, len);
        text += 1 + len;
    }
    if (*text)
        ERROR("has more parts than secret-id:json-key:version-stage:version-id");
    if (secret.version_stage && secret.version_id) {
        WARNING("has a version-stage and a version-id: the version-id counts");
        free(secret.version_stage);
        secret.version_stage = NULL;
    }
    spec->secrets = mem_realloc(spec->secrets, spec->secret_count + 1, sizeof(*spec->secrets));
    spec->secrets[spec->secret_count++] = secret;
}

static void read_secrets(struct reader *r, const struct yaml_node *node, const char *path,
                         void *target)
{
    spec_read_entries(r, node, path, BUILDSPEC_VARIABLES_MAX, read_secret, target);
}

static bool is_parameter(const struct buildspec *spec, const char *name)
{
    for (size_t i = 0; i < spec->parameter_count; i++) {
        if (str_eq(spec->parameters[i].key, name))
            return true;
    }
    return false;
}

static bool is_secret(const struct buildspec *spec, const char *name)
{
    for (size_t i = 0; i < spec->secret_count; i++) {
        if (str_eq(spec->secrets[i].name, name))
            return true;
    }
    return false;
}

/* Of the names in one section, those that another one overrides. */
static void tell_overridden(struct reader *r, const struct yaml_node *section, const char *path)
{
    bool parameters = str_ends(path, "parameter-store");
    if (!section || section->type != YAML_MAP)
        return;
    for (const struct yaml_node *entry = section->first; entry; entry = entry->next) {
        const char *name = entry->key->text;
        const char *by = is_secret(r->spec, name)                     ? "secrets-manager"
                         : !parameters && is_parameter(r->spec, name) ? "parameter-store"
                                                                      : NULL;
        char sub[PATH_SIZE];
        spec_path_key(sub, path, name);
        if (by)
            spec_problem(r, false, entry->key, sub, "is in env.%s, too, and that counts", by);
    }
}

/* ---- exported variables ---- */

/* Why it stays inside the build; NULL: it does not. */
static const char *kept_in(const struct buildspec *spec, const char *name)
{
    if (str_starts(name, NEVER_EXPORTED))
        return "names that begin with " NEVER_EXPORTED " are never exported";
    if (is_secret(spec, name))
        return "it is a secret";
    return is_parameter(spec, name) ? "it is from the parameter store" : NULL;
}

static void export_one(struct reader *r, const struct yaml_node *node, const char *path,
                       const char *name)
{
    struct strv *exported = &r->spec->exported;
    const char *why = kept_in(r->spec, name);
    if (!buildspec_is_variable(name))
        ERROR("'%.60s' is no name of a variable (letters, digits and _, no digit first)", name);
    else if (why)
        WARNING("'%.60s' is not exported: %s", name, why);
    else if (exported->count >= BUILDSPEC_VARIABLES_MAX)
        ERROR("there are more than %d variables", BUILDSPEC_VARIABLES_MAX);
    else if (!strv_has(exported, name))
        strv_add(exported, name);
}

static void read_exported(struct reader *r, const struct yaml_node *node, const char *path)
{
    struct strv names = {0};
    spec_read_texts(r, node, path, &names);
    const struct yaml_node *item = node->type == YAML_LIST ? node->first : NULL;
    for (size_t i = 0; i < names.count; i++) {
        export_one(r, item ? item : node, path, names.items[i]);
        item = item ? item->next : NULL;
    }
    strv_release(&names);
}

/* ---- env ---- */

static void read_shell(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    const char *text = spec_text_of(r, node, path);
    const char *name = text && str_starts(text, "/bin/") ? text + strlen("/bin/") : text;
    (void)target;
    if (!text || !*text)
        return;
    if (str_eq(text, "powershell.exe") || str_eq(text, "cmd.exe")) {
        ERROR("must be bash or /bin/sh: builds run on Linux");
        return;
    }
    if (!str_eq(name, "sh") && !str_eq(name, "bash")) {
        ERROR("must be bash or /bin/sh, not '%.60s'", text);
        return;
    }
    free(r->spec->shell);
    r->spec->shell = mem_strdup(name);
}

void spec_read_env(struct reader *r, const struct yaml_node *node, const char *path, void *target)
{
    static const struct key keys[] = {
        {"shell", read_shell, 0},
        {"variables", read_plain, 0},
        {"parameter-store", read_parameters, 0},
        {"secrets-manager", read_secrets, 0},
        {"exported-variables", NULL, 0}, /* after those that cannot be exported are known */
        {"git-credential-helper", spec_read_flag, offsetof(struct buildspec, git_credentials)},
        {0}};
    char sub[PATH_SIZE];
    (void)target;
    if (!spec_read_map(r, node, path, keys, r->spec))
        return;
    spec_path_key(sub, path, "variables");
    tell_overridden(r, yaml_get(node, "variables"), sub);
    spec_path_key(sub, path, "parameter-store");
    tell_overridden(r, yaml_get(node, "parameter-store"), sub);
    const struct yaml_node *exported = yaml_get(node, "exported-variables");
    spec_path_key(sub, path, "exported-variables");
    if (exported)
        read_exported(r, exported, sub);
}

void spec_read_environment_variables(struct reader *r, const struct yaml_node *node,
                                     const char *path, void *target)
{
    static const struct key keys[] = {{"plaintext", read_plain, 0}, {0}};
    if (!r->first_version) {
        spec_problem(r, false, node->key, path,
                     "left out: version 0.2 calls it env, and its plaintext "
                     "variables");
        return;
    }
    spec_read_map(r, node, path, keys, target);
}

/* ---- run-as ---- */

static bool is_user(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || (i && (c == '-' || c == '.'))))
            return false;
    }
    return len > 0 && len <= USER_MAX;
}

void spec_read_run_as(struct reader *r, const struct yaml_node *node, const char *path,
                      void *target)
{
    char **out = target;
    const char *text = spec_text_of(r, node, path);
    if (!text || !*text)
        return;
    if (!is_user(text)) {
        ERROR("'%.60s' is no name of a Linux user", text);
        return;
    }
    free(*out);
    *out = mem_strdup(text);
}

const char *buildspec_run_as(const struct buildspec *spec, enum buildspec_phase_name phase)
{
    const char *own = phase < BUILDSPEC_PHASES ? spec->phases[phase].run_as : NULL;
    return own ? own : spec->run_as ? spec->run_as : "root";
}

void spec_env_release(struct buildspec *spec)
{
    free(spec->shell);
    free(spec->run_as);
    spec_pairs_free(spec->variables, spec->variable_count);
    spec_pairs_free(spec->parameters, spec->parameter_count);
    for (size_t i = 0; i < spec->secret_count; i++) {
        struct buildspec_secret *secret = &spec->secrets[i];
        free(secret->name);
        free(secret->id);
        free(secret->json_key);
        free(secret->version_stage);
        free(secret->version_id);
    }
    free(spec->secrets);
    strv_release(&spec->exported);
}
