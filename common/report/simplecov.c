/* .resultset.json: {command: {"coverage": {path: {"lines": [1, null, "ignored", ...], "branches": {
 * condition: {branch: hits}}}}, "timestamp"}}; before 0.18 the list of lines stands for the object.
 * Several commands (RSpec, Cucumber) add up, as SimpleCov itself does it.
 * coverage.json (simplecov_json_formatter): {"meta", "coverage": {path: {"lines", "branches": [
 * {"type", "start_line", "end_line", "coverage"}]}}}. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "base/str.h"
#include "report/json.h"

struct simplecov {
    struct reading *in;
    struct cover_bounds bounds;
    const char *path; /* of the source file that is read, for errors */
};

static int refuse(struct simplecov *s, const char *what)
{
    return err_set(s->in->err, ERR_INVALID, "%s: coverage of %.200s: %s", s->in->name, s->path,
                   what);
}

static int outgrown(struct simplecov *s)
{
    return err_wrap(s->in->err, "%s", s->in->name);
}

static int take_lines(struct simplecov *s, struct cover_file *file, const json_t *lines)
{
    const json_t *hits;
    size_t i;

    json_array_foreach(lines, i, hits)
    {
        if (json_is_null(hits) || json_is_string(hits))
            continue; /* no code, or not wanted (:nocov:) */
        if (!json_is_integer(hits) || json_integer_value(hits) < 0)
            return refuse(s, "lines has something else than counts, null and \"ignored\"");
        if (cover_line(s->in->report->cover, file, i + 1, json_integer_value(hits) > 0, &s->bounds,
                       s->in->err) != 0)
            return outgrown(s);
    }
    return 0;
}

/* The same branch in another command's result has the same texts. */
static uint64_t branch_key(const char *condition, const char *branch)
{
    uint8_t hash[SHA256_SIZE];
    uint64_t key;
    char text[512];

    snprintf(text, sizeof(text), "%.240s\n%.240s", condition, branch);
    sha256(text, strlen(text), hash);
    memcpy(&key, hash, sizeof(key));
    return key;
}

static int take_branch(struct simplecov *s, struct cover_file *file, uint64_t key,
                       const json_t *hits)
{
    if (json_is_string(hits))
        return 0;
    if (!json_is_integer(hits) || json_integer_value(hits) < 0)
        return refuse(s, "branches has something else than counts and \"ignored\"");
    if (cover_branches(s->in->report->cover, file, key, json_integer_value(hits) > 0, 1, &s->bounds,
                       s->in->err) != 0)
        return outgrown(s);
    return 0;
}

static int take_branches(struct simplecov *s, struct cover_file *file, json_t *branches)
{
    const char *condition, *branch;
    json_t *of, *hits;
    size_t i;

    json_object_foreach(branches, condition, of)
    {
        if (!json_is_object(of))
            return refuse(s, "branches has a condition without its branches");
        json_object_foreach(of, branch, hits)
        {
            if (take_branch(s, file, branch_key(condition, branch), hits) != 0)
                return -1;
        }
    }
    json_array_foreach(branches, i, of)
    {
        char place[128];
        snprintf(place, sizeof(place), "%.32s %lld %lld %zu",
                 json_is_string(json_object_get(of, "type"))
                     ? json_string_value(json_object_get(of, "type"))
                     : "",
                 (long long)json_integer_value(json_object_get(of, "start_line")),
                 (long long)json_integer_value(json_object_get(of, "end_line")), i);
        if (take_branch(s, file, branch_key("", place), json_object_get(of, "coverage")) != 0)
            return -1;
    }
    return 0;
}

static int take_file(struct simplecov *s, const char *path, json_t *entry)
{
    json_t *lines = json_is_object(entry) ? json_object_get(entry, "lines") : entry;
    json_t *branches = json_is_object(entry) ? json_object_get(entry, "branches") : NULL;
    struct report *report = s->in->report;

    s->path = path;
    if (!json_is_array(lines))
        return refuse(s, "has no list of lines");
    if (branches && !json_is_object(branches) && !json_is_array(branches))
        return refuse(s, "branches is neither an object nor a list");
    struct cover_file *file = cover_file(report->cover, report->root, path, &s->bounds, s->in->err);
    if (!file)
        return outgrown(s);
    return take_lines(s, file, lines) == 0 ? take_branches(s, file, branches) : -1;
}

static int take_coverage(struct simplecov *s, json_t *coverage)
{
    const char *path;
    json_t *entry;

    json_object_foreach(coverage, path, entry)
    {
        if (take_file(s, path, entry) != 0)
            return -1;
    }
    return 0;
}

static int take_root(struct simplecov *s, json_t *root)
{
    json_t *coverage = json_object_get(root, "coverage"), *result;
    const char *command;

    if (json_object_get(root, "files") && json_object_get(root, "metrics"))
        return err_set(s->in->err, ERR_INVALID,
                       "%s: is what the gem simplecov-json writes: name SimpleCov's own "
                       "coverage/.resultset.json instead",
                       s->in->name);
    if (json_object_get(root, "meta") && json_is_object(coverage))
        return take_coverage(s, coverage);
    json_object_foreach(root, command, result)
    {
        coverage = json_object_get(result, "coverage");
        if (!json_is_object(coverage))
            return err_set(s->in->err, ERR_INVALID,
                           "%s: %s: has no coverage, so this is neither SimpleCov's "
                           ".resultset.json nor its coverage.json",
                           s->in->name, text_shown(s->in->report, command).text);
        if (take_coverage(s, coverage) != 0)
            return -1;
    }
    return 0;
}

int simplecov_read(struct reading *in)
{
    struct simplecov s = {.in = in, .bounds = read_bounds(in)};
    json_t *root = json_read(in);
    int rc;

    if (!root)
        return -1;
    rc = json_is_object(root) ? take_root(&s, root)
                              : err_set(in->err, ERR_INVALID, "%s: is not an object", in->name);
    json_decref(root);
    return rc;
}
