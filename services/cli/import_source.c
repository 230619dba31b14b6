#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "services/cli/import_pipeline.h"

#define GLOBS_MAX    50
#define GLOB_LEN_MAX 200
#define FILTERS_MAX  50

/* ---- where it is ---- */

/* What may stand in a URL's path; the caller frees. */
static char *clean_path(const char *text)
{
    char *path = mem_strndup(text + strspn(text, "/"), 300);
    size_t len = strlen(path);

    for (char *c = path; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~/-", *c))
            *c = '-';
    if (len > 4 && strcmp(path + len - 4, ".git") == 0)
        path[len - 4] = '\0';
    return path;
}

static char *path_or_placeholder(struct import_pipeline *p, const struct import_action *a,
                                 const char *text)
{
    char *origin;
    const char *name;

    if (*text)
        return clean_path(text);
    origin = mem_printf("the repository of %s", a ? a->where : p->where);
    name = import_placeholder(p->imp, origin, "repository", NULL);
    free(origin);
    return mem_strdup(name);
}

/* The forge of a connection: its type where the template has it, else what most have. */
static const char *forge_of(struct import_pipeline *p, const struct import_action *a)
{
    const char *arn = import_get_text(a->config, "ConnectionArn"), *type = "";
    json_t *connection = import_resource(p->imp, "AWS::CodeStarConnections::Connection", arn);
    const char *host = "github.com";

    if (!connection)
        connection = import_resource(p->imp, "AWS::CodeConnections::Connection", arn);
    type = import_get_text(connection, "ProviderType");
    if (str_eq(type, "GitLab"))
        host = "gitlab.com";
    else if (str_eq(type, "Bitbucket"))
        host = "bitbucket.org";
    else if (*type && !str_eq(type, "GitHub"))
        host =
            import_placeholder(p->imp, "the host that the connection leads to", "git-host", NULL);
    if (!*type)
        NOTE(p, IMPORT_NEEDS, a->where,
             "a connection does not say which forge it leads to: github.com is a guess, look at "
             "`git:`");
    json_decref(connection);
    return host;
}

static char *git_of(struct import_pipeline *p, const struct import_action *a)
{
    const char *provider = a ? a->provider : "";
    char *path, *url, *whole, region[64];

    if (str_eq(provider, "GitHub")) {
        whole = mem_printf("%s/%s", import_get_text(a->config, "Owner"),
                           import_get_text(a->config, "Repo"));
        path = path_or_placeholder(p, a, *import_get_text(a->config, "Repo") ? whole : "");
        url = mem_printf("https://github.com/%s.git", path);
        free(whole);
    } else if (str_eq(provider, "CodeStarSourceConnection")) {
        path = path_or_placeholder(p, a, import_get_text(a->config, "FullRepositoryId"));
        url = mem_printf("https://%s/%s.git", forge_of(p, a), path);
    } else if (str_eq(provider, "CodeCommit")) {
        path = path_or_placeholder(p, a, import_get_text(a->config, "RepositoryName"));
        import_slug(region, sizeof(region),
                    *import_get_text(a->in, "region") ? import_get_text(a->in, "region")
                                                      : p->region);
        url = mem_printf("https://git-codecommit.%s.amazonaws.com/v1/repos/%s", region, path);
    } else {
        path = path_or_placeholder(p, a, "");
        url = mem_printf("https://git.example/%s.git", path);
    }
    free(path);
    return url;
}

const char *import_branch(const struct import_action *a)
{
    const char *branch = import_get_text(a->config, "BranchName");

    if (!*branch)
        branch = import_get_text(a->config, "Branch");
    return str_starts(branch, "refs/heads/") ? branch + strlen("refs/heads/") : branch;
}

/* ---- what starts a release ---- */

static bool has(const json_t *list, const char *text)
{
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        if (str_eq(json_string_value(item), text))
            return true;
    }
    return false;
}

static void add_ref(json_t *list, const char *text)
{
    char *ref = mem_strndup(text, GLOB_LEN_MAX);

    import_clean(ref);
    for (char *c = ref; *c; c++)
        if (strchr(" ~^:\n\t", *c))
            *c = '-';
    if (str_starts(ref, "refs/"))
        memmove(ref, ref + strlen("refs/"), strlen(ref) - strlen("refs/") + 1);
    if (*ref && !has(list, ref) && json_array_size(list) < GLOBS_MAX)
        json_array_append_new(list, json_string(ref));
    free(ref);
}

static void add_path(json_t *list, const char *text)
{
    char *copy = mem_strndup(text, GLOB_LEN_MAX), *glob = copy, *whole;

    import_clean(copy);
    while (*glob == '/' || str_starts(glob, "./"))
        glob += *glob == '/' ? 1 : 2;
    whole = mem_printf("%s%s", glob, str_ends(glob, "/") ? "**" : "");
    if (*whole && !strpbrk(whole, "\n\t") && !str_starts(whole, "../") && !strstr(whole, "/../") &&
        !has(list, whole) && json_array_size(list) < GLOBS_MAX)
        json_array_append_new(list, json_string(whole));
    free(whole);
    free(copy);
}

static void add_all(json_t *to, const json_t *globs, void (*add)(json_t *, const char *))
{
    json_t *item;
    size_t i;

    json_array_foreach(globs, i, item)
    {
        if (json_is_string(item))
            add(to, json_string_value(item));
    }
}

struct filters {
    json_t *branches, *tags, *include, *exclude;
    bool pull_requests;
    bool any;          /* a trigger is there for this source */
    size_t with_paths; /* of pushes and pull requests */
    size_t count;
};

/* Includes go into `to`; what is left out of them cannot be said here. */
static void take_names(struct import_pipeline *p, const struct import_action *a,
                       const json_t *filter, const char *what, json_t *to)
{
    const json_t *names = import_get(filter, what), *excludes = import_get(names, "excludes");

    add_all(to, import_get(names, "includes"), add_ref);
    if (names && !json_array_size(import_get(names, "includes")))
        add_ref(to, "**");
    if (json_array_size(excludes))
        NOTE(p, IMPORT_NEEDS, a->where,
             "the trigger leaves out some %s (%.200s ...), which `%s:` cannot say: name what is "
             "wanted instead",
             what, json_string_value(json_array_get(excludes, 0)), what);
}

static void take_paths(struct filters *f, const json_t *filter)
{
    const json_t *paths = import_get(filter, "filePaths");

    f->count++;
    if (!paths)
        return;
    f->with_paths++;
    add_all(f->include, import_get(paths, "includes"), add_path);
    add_all(f->exclude, import_get(paths, "excludes"), add_path);
}

static void take_push(struct import_pipeline *p, const struct import_action *a, struct filters *f,
                      const json_t *push)
{
    if (import_get(push, "branches") || !import_get(push, "tags"))
        take_names(p, a, push, "branches", f->branches);
    if (import_get(push, "tags"))
        take_names(p, a, push, "tags", f->tags);
    take_paths(f, push);
}

static void take_pull_request(struct import_pipeline *p, const struct import_action *a,
                              struct filters *f, const json_t *request)
{
    const json_t *events = import_get(request, "events");

    f->pull_requests = true;
    if (import_get(request, "branches"))
        NOTE(p, IMPORT_CHANGED, a->where,
             "`pull-requests: true` takes those into every branch, not into some alone");
    if (has(events, "CLOSED"))
        NOTE(p, IMPORT_CHANGED, a->where, "a pull request that is closed starts nothing");
    take_paths(f, request);
}

static void take_trigger(struct import_pipeline *p, const struct import_action *a,
                         struct filters *f, const json_t *git)
{
    json_t *filter;
    size_t i;

    if (!str_eq(import_get_text(git, "sourceActionName"), a->name))
        return;
    f->any = true;
    json_array_foreach(import_get(git, "push"), i, filter)
    {
        if (i < FILTERS_MAX)
            take_push(p, a, f, filter);
    }
    json_array_foreach(import_get(git, "pullRequest"), i, filter)
    {
        if (i < FILTERS_MAX)
            take_pull_request(p, a, f, filter);
    }
}

static void set_list(json_t *to, const char *key, json_t *list)
{
    if (json_array_size(list))
        json_object_set(to, key, list);
}

/* Every filter's paths count for every ref here, so they are joined; where one filter has none,
 * none may hold. */
static void write_paths(struct import_pipeline *p, const struct import_action *a,
                        const struct filters *f, json_t *out)
{
    json_t *paths;

    if (!f->with_paths)
        return;
    if (f->with_paths < f->count) {
        NOTE(p, IMPORT_CHANGED, a->where,
             "one trigger has filePaths and another none: `paths:` would hold for both, so it is "
             "left out");
        return;
    }
    if (f->count > 1)
        NOTE(p, IMPORT_CHANGED, a->where, "the filePaths of %zu triggers are one `paths:` here",
             f->count);
    paths = json_object();
    set_list(paths, "include", f->include);
    set_list(paths, "exclude", f->exclude);
    if (json_object_size(paths))
        json_object_set(out, "paths", paths);
    json_decref(paths);
}

static void write_filters(struct import_pipeline *p, const struct import_action *a, json_t *out)
{
    struct filters f = {json_array(), json_array(), json_array(), json_array(), false, false, 0, 0};
    json_t *trigger;
    size_t i;

    json_array_foreach(import_get(p->in, "triggers"), i, trigger)
    {
        if (a && i < FILTERS_MAX)
            take_trigger(p, a, &f, import_get(trigger, "gitConfiguration"));
    }
    if (!json_array_size(f.branches) && !json_array_size(f.tags) && !f.pull_requests)
        add_ref(f.branches, a && *import_branch(a) ? import_branch(a) : "main");
    set_list(out, "branches", f.branches);
    set_list(out, "tags", f.tags);
    if (f.pull_requests)
        json_object_set_new(out, "pull-requests", json_true());
    if (a)
        write_paths(p, a, &f, out);
    json_decref(f.branches);
    json_decref(f.tags);
    json_decref(f.include);
    json_decref(f.exclude);
}

/* ---- the sources ---- */

static bool is_full_clone(const struct import_action *a)
{
    return str_eq(import_get_text(a->config, "OutputArtifactFormat"), "CODEBUILD_CLONE_REF");
}

static void note_kind(struct import_pipeline *p, const struct import_action *a)
{
    if (str_eq(a->provider, "S3")) {
        NOTE(p, IMPORT_NEEDS, a->where,
             "the source was the object s3://%.200s/%.200s: Gantry's sources are git; name the "
             "repository that the object is made from",
             import_get_text(a->config, "S3Bucket"), import_get_text(a->config, "S3ObjectKey"));
    } else if (!str_eq(a->provider, "GitHub") && !str_eq(a->provider, "CodeCommit") &&
               !str_eq(a->provider, "CodeStarSourceConnection")) {
        NOTE(p, IMPORT_NEEDS, a->where,
             "a source of '%.100s' has no counterpart: name a git repository", a->provider);
    } else {
        NOTE(p, IMPORT_NEEDS, a->where,
             "put a token that may read the repository into the secret '%s/git-token', or delete "
             "`credentials:` if everybody may read it",
             p->name);
    }
    if (is_full_clone(a))
        NOTE(p, IMPORT_KEPT, a->where, "a full clone: `clone: true`");
}

static void write_source(struct import_pipeline *p, const struct import_action *a, json_t *sources)
{
    json_t *out = json_object();
    char *git = git_of(p, a);
    bool is_git = strncmp(git, "https://git.example/", 20) != 0;

    if (strstr(git, "://git.example/"))
        import_comment(out, "Which repository?");
    json_object_set_new(out, "name", json_string(a ? a->as_name : "source"));
    json_object_set_new(out, "git", json_string(git));
    write_filters(p, a, out);
    if (is_git) {
        char *secret = mem_printf("%s/git-token", p->name);

        json_object_set_new(out, "credentials", json_string(secret));
        free(secret);
    }
    if (a && is_full_clone(a))
        json_object_set_new(out, "clone", json_true());
    if (a && str_eq(import_get_text(a->config, "DetectChanges"), "false")) {
        json_object_set_new(out, "poll", json_string("0"));
        NOTE(p, IMPORT_CHANGED, a->where,
             "DetectChanges is false: `poll: 0`, and a push starts nothing unless a webhook is "
             "set up; `gantry release start` does");
    }
    if (a) {
        note_kind(p, a);
        NOTE(p, IMPORT_KEPT, a->where, "source '%s': %s", a->as_name, git);
    } else {
        NOTE(p, IMPORT_NEEDS, p->where,
             "there is no source of git in it, which Gantry needs: name the repository");
    }
    json_array_append_new(sources, out);
    free(git);
}

void import_sources(struct import_pipeline *p)
{
    json_t *sources = json_array();

    for (size_t i = 0; i < p->action_count; i++)
        if (p->actions[i].as == AS_SOURCE)
            write_source(p, &p->actions[i], sources);
    if (!json_array_size(sources))
        write_source(p, NULL, sources);
    json_object_set_new(p->spec, "sources", sources);
}

const char *import_source_of(const struct import_pipeline *p, const struct import_action *a)
{
    const struct import_action *from = a;

    for (size_t steps = 0; from && from->as != AS_SOURCE && steps < p->action_count; steps++) {
        const char *primary = import_get_text(from->config, "PrimarySource");

        from = import_producer(p, *primary ? primary : import_artifact(from, "inputArtifacts", 0));
    }
    if (from && from->as == AS_SOURCE)
        return from->as_name;
    for (size_t i = 0; i < p->action_count; i++)
        if (p->actions[i].as == AS_SOURCE)
            return p->actions[i].as_name;
    return "source";
}
