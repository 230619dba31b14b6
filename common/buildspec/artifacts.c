/* What a build leaves: reports, artifacts, cache. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "buildspec/files.h"
#include "buildspec/read.h"

#define GROUP_MAX 128
#define ARN_MAX   400

#define REPORT(field)   offsetof(struct buildspec_report, field)
#define ARTIFACT(field) offsetof(struct buildspec_artifacts, field)
/* Of primary and secondary artifacts alike. */
#define ARTIFACT_KEYS                                                                              \
    {"files", read_patterns, ARTIFACT(files)}, {"name", spec_read_text, ARTIFACT(name)},           \
        {"discard-paths", spec_read_flag, ARTIFACT(discard_paths)},                                \
        {"base-directory", read_base, ARTIFACT(base_directory)},                                   \
        {"exclude-paths", read_patterns, ARTIFACT(exclude_paths)},                                 \
        {"enable-symlinks", spec_read_flag, ARTIFACT(enable_symlinks)},                            \
        {"s3-prefix", spec_read_text, ARTIFACT(s3_prefix)},                                        \
    {                                                                                              \
        "type", read_type, 0                                                                       \
    }

/* ---- patterns ---- */

/* A list of patterns; tells of those that can never match. */
static void read_patterns(struct reader *r, const struct yaml_node *node, const char *path,
                          void *target)
{
    struct strv *list = target;
    size_t before = list->count;
    spec_read_texts(r, node, path, list);
    if (list->count > FILES_PATTERNS_MAX) {
        ERROR("has %zu entries; at most %d are taken", list->count, FILES_PATTERNS_MAX);
        return;
    }
    const struct yaml_node *item = node->type == YAML_LIST ? node->first : NULL;
    for (size_t i = before; i < list->count; i++) {
        const char *wrong = files_wrong(list->items[i]);
        char sub[PATH_SIZE];
        spec_path_index(sub, path, i - before);
        if (wrong)
            spec_problem(r, false, item ? item : node, item ? sub : path, "matches nothing: %s",
                         wrong);
        item = item ? item->next : NULL;
    }
}

static void read_base(struct reader *r, const struct yaml_node *node, const char *path,
                      void *target)
{
    char **base = target;
    spec_read_text(r, node, path, base);
    const char *wrong = *base ? files_wrong(*base) : NULL;
    if (wrong)
        WARNING("matches nothing: %s", wrong);
}

/* ---- reports ---- */

static const char *const formats[] = {"JUNITXML",  "CUCUMBERJSON",    "NUNITXML",  "NUNIT3XML",
                                      "TESTNGXML", "VISUALSTUDIOTRX", "CLOVERXML", "COBERTURAXML",
                                      "JACOCOXML", "SIMPLECOV",       NULL};

const char *buildspec_report_format_name(enum buildspec_report_format format)
{
    return format < BUILDSPEC_REPORT_FORMATS ? formats[format] : "";
}

bool buildspec_report_is_coverage(enum buildspec_report_format format)
{
    return format >= BUILDSPEC_CLOVERXML && format < BUILDSPEC_REPORT_FORMATS;
}

static void read_format(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    enum buildspec_report_format *format = target;
    const char *text = spec_text_of(r, node, path);
    char upper[32] = "", hint[128];
    if (!text || !*text)
        return;
    for (size_t i = 0; i + 1 < sizeof(upper) && text[i]; i++)
        upper[i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
    for (int i = 0; i < BUILDSPEC_REPORT_FORMATS; i++) {
        if (strcasecmp(text, formats[i]) == 0) {
            *format = (enum buildspec_report_format)i;
            return;
        }
    }
    ERROR("'%.60s' is no report format: JUNITXML, CUCUMBERJSON, NUNITXML, NUNIT3XML, TESTNGXML, "
          "VISUALSTUDIOTRX, CLOVERXML, COBERTURAXML, JACOCOXML or SIMPLECOV%s",
          text, spec_did_you_mean(hint, upper, formats));
}

bool buildspec_is_report_group(const char *text)
{
    size_t len = strlen(text);
    const char *name = strstr(text, ":report-group/");
    if (str_starts(text, "arn:"))
        return name && len <= ARN_MAX && !strchr(text, ' ') &&
               !str_starts(name + strlen(":report-group/"), "arn:") &&
               buildspec_is_report_group(name + strlen(":report-group/"));
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (i && (c == '-' || c == '_'))))
            return false;
    }
    return len > 0 && len <= GROUP_MAX;
}

static void report_release(struct buildspec_report *report)
{
    free(report->group);
    free(report->base_directory);
    strv_release(&report->files);
}

static void read_report(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    static const struct key keys[] = {{"files", read_patterns, REPORT(files)},
                                      {"file-format", read_format, REPORT(format)},
                                      {"base-directory", read_base, REPORT(base_directory)},
                                      {"discard-paths", spec_read_flag, REPORT(discard_paths)},
                                      {0}};
    struct buildspec *spec = r->spec;
    struct buildspec_report report = {.line = node->key->line};
    const char *group = node->key->text;
    (void)target;
    if (!strchr(group, '$') && !buildspec_is_report_group(group))
        spec_problem(r, true, node->key, path,
                     "is no report group: a name of letters, digits, - and _, or an ARN");
    if ((spec_read_map(r, node, path, keys, &report) || yaml_is_null(node)) && !report.files.count)
        spec_problem(r, true, node->key, path, "files is missing: where the report's files are");
    report.group = mem_strdup(group);
    spec->reports = mem_realloc(spec->reports, spec->report_count + 1, sizeof(*spec->reports));
    spec->reports[spec->report_count++] = report;
}

void spec_read_reports(struct reader *r, const struct yaml_node *node, const char *path,
                       void *target)
{
    spec_read_entries(r, node, path, BUILDSPEC_REPORTS_MAX, read_report, target);
}

/* ---- artifacts ---- */

/* Of version 0.1, where the only one was zip. */
static void read_type(struct reader *r, const struct yaml_node *node, const char *path,
                      void *target)
{
    (void)target;
    if (!r->first_version)
        spec_problem(r, false, node->key, path, "left out: version 0.2 has no type of artifacts");
}

static void read_secondary(struct reader *r, const struct yaml_node *node, const char *path,
                           void *target)
{
    static const struct key keys[] = {ARTIFACT_KEYS, {0}};
    struct buildspec *spec = r->spec;
    struct buildspec_artifacts artifacts = {.line = node->key->line};
    (void)target;
    if (!spec_is_identifier(node->key->text, ""))
        spec_problem(r, true, node->key, path,
                     "is no identifier: letters, digits and _, at most 127 of them");
    if ((spec_read_map(r, node, path, keys, &artifacts) || yaml_is_null(node)) &&
        !artifacts.files.count)
        spec_problem(r, true, node->key, path, "files is missing: which files these artifacts are");
    artifacts.identifier = mem_strdup(node->key->text);
    spec->secondary =
        mem_realloc(spec->secondary, spec->secondary_count + 1, sizeof(*spec->secondary));
    spec->secondary[spec->secondary_count++] = artifacts;
}

static void read_all_secondary(struct reader *r, const struct yaml_node *node, const char *path,
                               void *target)
{
    spec_read_entries(r, node, path, BUILDSPEC_ARTIFACTS_MAX, read_secondary, target);
}

void spec_read_artifacts(struct reader *r, const struct yaml_node *node, const char *path,
                         void *target)
{
    static const struct key keys[] = {
        ARTIFACT_KEYS, {"secondary-artifacts", read_all_secondary, 0}, {0}};
    struct buildspec *spec = r->spec;
    (void)target;
    spec->artifacts.line = node->key->line;
    if (!spec_read_map(r, node, path, keys, &spec->artifacts) || spec->artifacts.files.count)
        return;
    if (spec->secondary_count)
        spec_problem(r, false, node->key, path, "has no files: there are secondary artifacts only");
    else
        spec_problem(r, true, node->key, path, "files is missing: which files the artifacts are");
}

static void artifacts_free(struct buildspec_artifacts *artifacts)
{
    strv_release(&artifacts->files);
    strv_release(&artifacts->exclude_paths);
    free(artifacts->base_directory);
    free(artifacts->identifier);
    free(artifacts->name);
    free(artifacts->s3_prefix);
}

/* ---- cache ---- */

static void read_fallback(struct reader *r, const struct yaml_node *node, const char *path,
                          void *target)
{
    struct buildspec_cache *cache = target;
    spec_read_texts(r, node, path, &cache->fallback_keys);
    for (size_t i = 0; i < cache->fallback_keys.count; i++) {
        if (!*cache->fallback_keys.items[i])
            ERROR("an empty key would match every cache");
    }
    if (cache->fallback_keys.count > BUILDSPEC_FALLBACK_KEYS_MAX)
        ERROR("has %zu keys; at most %d are tried", cache->fallback_keys.count,
              BUILDSPEC_FALLBACK_KEYS_MAX);
}

static void read_action(struct reader *r, const struct yaml_node *node, const char *path,
                        void *target)
{
    struct buildspec_cache *cache = target;
    const char *text = spec_text_of(r, node, path);
    if (!text || !*text)
        return;
    if (!str_eq(text, "restore") && !str_eq(text, "save"))
        ERROR("must be restore or save (or left out, for both), not '%.60s'", text);
    cache->restore = str_eq(text, "restore");
    cache->save = str_eq(text, "save");
}

void spec_read_cache(struct reader *r, const struct yaml_node *node, const char *path, void *target)
{
    static const struct key keys[] = {
        {"key", spec_read_text, offsetof(struct buildspec_cache, key)},
        {"fallback-keys", read_fallback, 0},
        {"action", read_action, 0},
        {"paths", read_patterns, offsetof(struct buildspec_cache, paths)},
        {0}};
    struct buildspec_cache *cache = &r->spec->cache;
    (void)target;
    cache->restore = cache->save = true;
    if (!spec_read_map(r, node, path, keys, cache))
        return;
    if (cache->fallback_keys.count && !cache->key) {
        spec_problem(r, false, node->key, path, "fallback-keys without a key are not tried");
        strv_release(&cache->fallback_keys);
    }
    if (!cache->paths.count)
        spec_problem(r, false, node->key, path, "has no paths: nothing is kept");
}

void spec_artifacts_release(struct buildspec *spec)
{
    for (size_t i = 0; i < spec->report_count; i++)
        report_release(&spec->reports[i]);
    free(spec->reports);
    artifacts_free(&spec->artifacts);
    for (size_t i = 0; i < spec->secondary_count; i++)
        artifacts_free(&spec->secondary[i]);
    free(spec->secondary);
    free(spec->cache.key);
    strv_release(&spec->cache.fallback_keys);
    strv_release(&spec->cache.paths);
}
