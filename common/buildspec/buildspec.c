#include "buildspec/buildspec.h"

#include <regex.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "yaml/tree.h"

#define PROBLEMS_MAX  100
#define VARIABLES_MAX 1000
#define TEXT_MAX      (64 * 1024)
#define RETRY_DEFAULT 3
#define REGEX_MAX     200

struct reader {
    struct buildspec *spec;
    struct buildspec_problems *problems;
    struct buildspec_problems own; /* where the caller gave none */
    size_t commands;
};

enum want { KEEP, LATER_WARNING, LATER_ERROR };

struct key {
    const char *name;
    enum want want;
    void (*read)(struct reader *r, const struct yaml_node *node, const char *path, void *target);
    const char *note; /* of what is not supported yet */
};

static void problem(struct reader *r, bool error, const struct yaml_node *node, const char *path,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void problem(struct reader *r, bool error, const struct yaml_node *node, const char *path,
                    const char *fmt, ...)
{
    struct buildspec_problems *all = r->problems;
    if (all->count >= PROBLEMS_MAX) {
        /* An error must never be lost behind warnings. */
        if (error)
            all->items[PROBLEMS_MAX - 1].error = true;
        return;
    }
    all->items = mem_realloc(all->items, all->count + 1, sizeof(*all->items));
    struct buildspec_problem *p = &all->items[all->count++];
    *p = (struct buildspec_problem){
        .error = error, .line = node ? node->line : 0, .column = node ? node->column : 0};
    snprintf(p->path, sizeof(p->path), "%s", path);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->reason, sizeof(p->reason), fmt, ap);
    va_end(ap);
}

#define ERROR(...)   problem(r, true, node, path, __VA_ARGS__)
#define WARNING(...) problem(r, false, node, path, __VA_ARGS__)

static const char *type_name(const struct yaml_node *node)
{
    return node->type == YAML_MAP ? "a mapping" : node->type == YAML_LIST ? "a list" : "text";
}

/* NULL, having told why, where it is no text. */
static const char *text_of(struct reader *r, const struct yaml_node *node, const char *path)
{
    if (node->type != YAML_TEXT) {
        ERROR("must be text, not %s%s", type_name(node),
              node->type == YAML_MAP ? " (text with ': ' in it must be in quotes)" : "");
        return NULL;
    }
    if (node->len > TEXT_MAX) {
        ERROR("is longer than %d KiB", TEXT_MAX / 1024);
        return NULL;
    }
    return yaml_is_null(node) ? "" : node->text;
}

/* Goes through a mapping's entries by a table; tells of what is not in it. */
static void read_map(struct reader *r, const struct yaml_node *node, const char *path,
                     const struct key *keys, void *target)
{
    if (yaml_is_null(node))
        return;
    if (node->type != YAML_MAP) {
        ERROR("must be a mapping, not %s", type_name(node));
        return;
    }
    for (const struct yaml_node *entry = node->first; entry; entry = entry->next) {
        char sub[128];
        const struct key *key = keys;
        snprintf(sub, sizeof(sub), "%s%s%.60s", path, path[0] ? "." : "", entry->key->text);
        if (entry->repeated) {
            problem(r, true, entry->key, sub, "is there twice");
            continue;
        }
        while (key->name && !str_eq(key->name, entry->key->text))
            key++;
        if (!key->name)
            problem(r, false, entry->key, sub, "unknown key, left out");
        else if (key->want != KEEP)
            problem(r, key->want == LATER_ERROR, entry->key, sub, "is not supported yet%s%s",
                    key->note ? ": " : "", key->note ? key->note : "");
        else if (key->read)
            key->read(r, entry, sub, target);
    }
}

/* A list of texts, or one text. */
static void read_texts(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    struct strv *list = target;
    const char *text;
    if (yaml_is_null(node))
        return;
    if (node->type == YAML_TEXT) {
        if ((text = text_of(r, node, path)))
            strv_add(list, text);
        return;
    }
    if (node->type != YAML_LIST) {
        ERROR("must be a list, not a mapping");
        return;
    }
    size_t i = 0;
    for (const struct yaml_node *item = node->first; item; item = item->next, i++) {
        char sub[160];
        snprintf(sub, sizeof(sub), "%s[%zu]", path, i);
        if ((text = text_of(r, item, sub)))
            strv_add(list, text);
    }
}

/* ---- env ---- */

bool buildspec_is_variable(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > 256 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_'))
            return false;
    }
    return true;
}

static void read_shell(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    (void)target;
    const char *text = text_of(r, node, path);
    if (!text)
        return;
    if (!str_eq(text, "sh") && !str_eq(text, "bash")) {
        ERROR("must be sh or bash");
        return;
    }
    free(r->spec->shell);
    r->spec->shell = mem_strdup(text);
}

static void read_variables(struct reader *r, const struct yaml_node *node, const char *path,
                           void *target)
{
    struct buildspec *spec = r->spec;
    (void)target;
    if (yaml_is_null(node))
        return;
    if (node->type != YAML_MAP) {
        ERROR("must be a mapping of names to values, not %s", type_name(node));
        return;
    }
    for (const struct yaml_node *entry = node->first; entry; entry = entry->next) {
        char sub[160];
        snprintf(sub, sizeof(sub), "%s.%.60s", path, entry->key->text);
        if (!buildspec_is_variable(entry->key->text)) {
            problem(r, true, entry->key, sub, "is no name of a variable");
            continue;
        }
        const char *value = text_of(r, entry, sub);
        if (!value)
            continue;
        if (entry->repeated || spec->variable_count >= VARIABLES_MAX) {
            problem(r, true, entry->key, sub, "%s",
                    entry->repeated ? "is there twice" : "there are more than 1,000 variables");
            continue;
        }
        spec->variables =
            mem_realloc(spec->variables, spec->variable_count + 1, sizeof(*spec->variables));
        spec->variables[spec->variable_count++] = (struct buildspec_pair){
            .key = mem_strdup(entry->key->text), .value = mem_strdup(value)};
    }
}

static void read_exported(struct reader *r, const struct yaml_node *node, const char *path,
                          void *target)
{
    (void)target;
    struct strv names = {0};
    read_texts(r, node, path, &names);
    for (size_t i = 0; i < names.count; i++) {
        if (!buildspec_is_variable(names.items[i]))
            ERROR("'%.60s' is no name of a variable", names.items[i]);
        else if (r->spec->exported.count >= VARIABLES_MAX)
            ERROR("there are more than 1,000 variables");
        else if (!strv_has(&r->spec->exported, names.items[i]))
            strv_add(&r->spec->exported, names.items[i]);
    }
    strv_release(&names);
}

static void read_credential_helper(struct reader *r, const struct yaml_node *node, const char *path,
                                   void *target)
{
    (void)target;
    const char *text = text_of(r, node, path);
    if (text && !str_eq(text, "no"))
        ERROR("is not supported yet; git in the commands gets no credentials");
}

static void read_env(struct reader *r, const struct yaml_node *node, const char *path, void *target)
{
    static const struct key keys[] = {
        {"shell", KEEP, read_shell, NULL},
        {"variables", KEEP, read_variables, NULL},
        {"exported-variables", KEEP, read_exported, NULL},
        {"git-credential-helper", KEEP, read_credential_helper, NULL},
        {"parameter-store", LATER_ERROR, NULL, "the commands would not find these variables"},
        {"secrets-manager", LATER_ERROR, NULL, "the commands would not find these variables"},
        {0}};
    read_map(r, node, path, keys, target);
}

/* ---- phases ---- */

static void read_run_as(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    (void)target;
    const char *text = text_of(r, node, path);
    if (text && !str_eq(text, "root"))
        ERROR("'%.60s' is not supported yet: commands run as the build's user, root of its sandbox",
              text);
}

/* Repetition counts and back-references can make a short expression take for ever. */
static bool is_regex(const char *text)
{
    regex_t regex;
    if (!*text || strlen(text) > REGEX_MAX || strchr(text, '{'))
        return false;
    for (const char *p = text; (p = strchr(p, '\\')) && p[1]; p += 2) {
        if (p[1] >= '1' && p[1] <= '9')
            return false;
    }
    if (regcomp(&regex, text, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    regfree(&regex);
    return true;
}

/* RETRY, RETRY-3, RETRY-regex, RETRY-3-regex. */
static void read_retry(struct reader *r, const struct yaml_node *node, const char *path,
                       const char *rest, struct buildspec_phase *phase)
{
    phase->on_failure = BUILDSPEC_RETRY;
    phase->retries = RETRY_DEFAULT;
    if (!*rest)
        return;
    rest++;
    size_t digits = strspn(rest, "0123456789");
    if (digits && (rest[digits] == '\0' || rest[digits] == '-')) {
        unsigned long n = digits > 4 ? BUILDSPEC_RETRIES_MAX + 1 : strtoul(rest, NULL, 10);
        if (n > BUILDSPEC_RETRIES_MAX) {
            ERROR("retries at most %d times", BUILDSPEC_RETRIES_MAX);
            return;
        }
        phase->retries = (unsigned)n;
        if (!rest[digits])
            return;
        rest += digits + 1;
    }
    if (!is_regex(rest)) {
        ERROR("'%.60s' is no regular expression that is taken here (at most %d characters, no "
              "{n,m}, no back-references)",
              rest, REGEX_MAX);
        return;
    }
    phase->retry_regex = mem_strdup(rest);
}

static void read_on_failure(struct reader *r, const struct yaml_node *node, const char *path,
                            void *target)
{
    struct buildspec_phase *phase = target;
    const char *text = text_of(r, node, path);
    if (!text)
        return;
    if (str_eq(text, "ABORT"))
        phase->on_failure = BUILDSPEC_ABORT;
    else if (str_eq(text, "CONTINUE"))
        phase->on_failure = BUILDSPEC_CONTINUE;
    else if (str_eq(text, "RETRY") || str_starts(text, "RETRY-"))
        read_retry(r, node, path, text + strlen("RETRY"), phase);
    else
        ERROR("must be ABORT, CONTINUE, RETRY, RETRY-<count>, RETRY-<regex> or "
              "RETRY-<count>-<regex>");
}

static void count_commands(struct reader *r, const struct yaml_node *node, const char *path,
                           size_t count)
{
    bool already = r->commands > BUILDSPEC_COMMANDS_MAX;
    r->commands += count;
    if (r->commands > BUILDSPEC_COMMANDS_MAX && !already)
        ERROR("there are more than %d commands", BUILDSPEC_COMMANDS_MAX);
}

static void read_commands(struct reader *r, const struct yaml_node *node, const char *path,
                          void *target)
{
    struct buildspec_phase *phase = target;
    read_texts(r, node, path, &phase->commands);
    count_commands(r, node, path, phase->commands.count);
}

static void read_finally(struct reader *r, const struct yaml_node *node, const char *path,
                         void *target)
{
    struct buildspec_phase *phase = target;
    read_texts(r, node, path, &phase->finally);
    count_commands(r, node, path, phase->finally.count);
}

static void read_runtimes(struct reader *r, const struct yaml_node *node, const char *path,
                          void *target)
{
    (void)target;
    if (!yaml_is_null(node))
        WARNING("is not supported yet: the commands use what is installed where they run");
}

static void read_phase(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    static const struct key keys[] = {{"run-as", KEEP, read_run_as, NULL},
                                      {"on-failure", KEEP, read_on_failure, NULL},
                                      {"runtime-versions", KEEP, read_runtimes, NULL},
                                      {"commands", KEEP, read_commands, NULL},
                                      {"finally", KEEP, read_finally, NULL},
                                      {0}};
    struct buildspec_phase *phase = NULL;
    const char *name = strrchr(path, '.');
    (void)target;
    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        if (str_eq(name ? name + 1 : path, buildspec_phase_key((enum buildspec_phase_name)p)))
            phase = &r->spec->phases[p];
    }
    if (!phase || yaml_is_null(node))
        return;
    phase->present = true;
    phase->line = node->line;
    if (yaml_get(node, "runtime-versions") && phase != &r->spec->phases[BUILDSPEC_INSTALL])
        WARNING("runtime-versions belongs to install");
    read_map(r, node, path, keys, phase);
}

static void read_phases(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    static const struct key keys[] = {{"install", KEEP, read_phase, NULL},
                                      {"pre_build", KEEP, read_phase, NULL},
                                      {"build", KEEP, read_phase, NULL},
                                      {"post_build", KEEP, read_phase, NULL},
                                      {0}};
    read_map(r, node, path, keys, target);
}

/* ---- the rest ---- */

static void read_base(struct reader *r, const struct yaml_node *node, const char *path,
                      void *target)
{
    (void)target;
    const char *text = text_of(r, node, path);
    if (!text)
        return;
    free(r->spec->artifact_base);
    r->spec->artifact_base = mem_strdup(text);
}

static void read_artifacts(struct reader *r, const struct yaml_node *node, const char *path,
                           void *target)
{
    static const char note[] = "of the artifacts only imageDetail.json is read";
    static const struct key keys[] = {{"files", KEEP, read_texts, NULL},
                                      {"base-directory", KEEP, read_base, NULL},
                                      {"discard-paths", KEEP, NULL, NULL},
                                      {"name", LATER_WARNING, NULL, note},
                                      {"exclude-paths", LATER_WARNING, NULL, note},
                                      {"enable-symlinks", LATER_WARNING, NULL, note},
                                      {"s3-prefix", LATER_WARNING, NULL, note},
                                      {"secondary-artifacts", LATER_WARNING, NULL, note},
                                      {0}};
    (void)target;
    read_map(r, node, path, keys, &r->spec->artifact_files);
}

static void read_version(struct reader *r, const struct yaml_node *node, const char *path,
                         void *target)
{
    (void)target;
    const char *text = text_of(r, node, path);
    if (!text)
        return;
    if (str_eq(text, "0.1"))
        ERROR("0.1 is not supported yet; 0.2 runs all commands in one shell");
    else if (!str_eq(text, "0.2"))
        ERROR("must be 0.2");
}

static void read_root(struct reader *r, const struct yaml_node *node)
{
    static const struct key keys[] = {
        {"version", KEEP, read_version, NULL},
        {"run-as", KEEP, read_run_as, NULL},
        {"env", KEEP, read_env, NULL},
        {"phases", KEEP, read_phases, NULL},
        {"artifacts", KEEP, read_artifacts, NULL},
        {"proxy", LATER_WARNING, NULL, NULL},
        {"reports", LATER_WARNING, NULL, "no test report is read"},
        {"cache", LATER_WARNING, NULL, "nothing is kept between builds"},
        {"batch", LATER_ERROR, NULL, "its builds would not run"},
        {0}};
    const char *path = "";
    if (!node || node->type != YAML_MAP) {
        ERROR("a buildspec is a mapping with version and phases");
        return;
    }
    read_map(r, node, path, keys, NULL);
    if (!yaml_get(node, "version"))
        ERROR("version is missing; it must be 0.2");
    if (!yaml_get(node, "phases"))
        ERROR("phases is missing");
}

/* ---- */

const char *buildspec_phase_key(enum buildspec_phase_name phase)
{
    static const char *const keys[] = {"install", "pre_build", "build", "post_build"};
    return phase < BUILDSPEC_PHASES ? keys[phase] : "";
}

void buildspec_problem_text(const struct buildspec_problem *p, const char *file, struct buf *out)
{
    buf_adds(out, file);
    if (p->line)
        buf_addf(out, ":%d:%d", p->line, p->column);
    buf_addf(out, ": %s: %s%s%s", p->error ? "error" : "warning", p->path, p->path[0] ? ": " : "",
             p->reason);
}

void buildspec_problems_release(struct buildspec_problems *problems)
{
    free(problems->items);
    *problems = (struct buildspec_problems){0};
}

void buildspec_free(struct buildspec *spec)
{
    if (!spec)
        return;
    free(spec->shell);
    for (size_t i = 0; i < spec->variable_count; i++) {
        free(spec->variables[i].key);
        free(spec->variables[i].value);
    }
    free(spec->variables);
    strv_release(&spec->exported);
    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        free(spec->phases[p].retry_regex);
        strv_release(&spec->phases[p].commands);
        strv_release(&spec->phases[p].finally);
    }
    strv_release(&spec->artifact_files);
    free(spec->artifact_base);
    free(spec);
}

static int verdict(const struct buildspec_problems *problems, struct err *err)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct buildspec_problem *p = &problems->items[i];
        if (p->error)
            return err_set(err, ERR_INVALID, "line %d: %s%s%s", p->line, p->path,
                           p->path[0] ? ": " : "", p->reason);
    }
    return 0;
}

int buildspec_parse(struct buildspec **out, const void *yaml, size_t len,
                    struct buildspec_problems *problems, struct err *err)
{
    struct reader r = {.problems = problems};
    struct yaml_tree *tree = NULL;
    struct yaml_place place = {0};
    struct err why = {0};
    if (!r.problems)
        r.problems = &r.own;
    r.spec = mem_alloc(sizeof(*r.spec));
    r.spec->shell = mem_strdup("sh");
    if (len > BUILDSPEC_SIZE_MAX) {
        problem(&r, true, NULL, "", "is larger than %d KiB", BUILDSPEC_SIZE_MAX / 1024);
    } else if (yaml_tree_parse(&tree, yaml, len, &place, &why) < 0) {
        const struct yaml_node at = {.line = place.line, .column = place.column};
        problem(&r, true, &at, "", "%.350s", why.msg);
    } else {
        read_root(&r, tree->root);
    }
    yaml_tree_free(tree);
    int rc = verdict(r.problems, err);
    buildspec_problems_release(&r.own);
    if (rc < 0) {
        buildspec_free(r.spec);
        return -1;
    }
    *out = r.spec;
    return 0;
}
