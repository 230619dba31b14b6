#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "buildspec/batch.h"
#include "services/cli/import_pipeline.h"

#define ENV_MAX       200
#define ENV_VALUE_MAX 8000
#define WEEK_MINUTES  (7 * 24 * 60)

/* ---- environment variables ---- */

/* The action's: a JSON text in CodeBuild's configuration, a list of a Commands action. */
static json_t *action_env(struct import_pipeline *p, const struct import_action *a)
{
    const json_t *list = import_get(a->in, "environmentVariables");
    const char *text = import_get_text(a->config, "EnvironmentVariables");
    json_t *env;

    if (json_is_array(list))
        return json_incref((json_t *)list);
    if (!*text)
        return NULL;
    env = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_array(env)) {
        NOTE(p, IMPORT_NEEDS, a->where,
             "EnvironmentVariables is no JSON list, so none is taken over: %.300s", text);
        json_decref(env);
        return NULL;
    }
    return env;
}

static const json_t *project_part(const struct import_action *a, const char *part)
{
    return json_object_get(a->project, part);
}

static bool is_secret(const json_t *variable)
{
    const char *type = import_get_text(variable, "type");

    return str_eq(type, "PARAMETER_STORE") || str_eq(type, "SECRETS_MANAGER");
}

/* Secrets have no place in a definition, which everybody may read who sees the pipeline. */
static void add_variable(struct import_pipeline *p, const struct import_action *a, json_t *env,
                         const json_t *variable)
{
    const char *name = import_get_text(variable, "name"), *type = import_get_text(variable, "type");
    const char *value = import_get_text(variable, "value");
    char key[160];
    char *text;

    if (!*name)
        return;
    if (is_secret(variable)) {
        NOTE(p, IMPORT_NEEDS, a->where,
             "%.100s was read from %s, '%.200s': a definition holds no secret, so the buildspec "
             "has to read it",
             name, str_eq(type, "PARAMETER_STORE") ? "Parameter Store" : "Secrets Manager", value);
        return;
    }
    if (!import_key(key, sizeof(key), name, true))
        NOTE(p, IMPORT_CHANGED, a->where, "the variable '%.100s' is called %s", name, key);
    text = import_text(p, a, a->stage_index, value);
    if (strlen(text) > ENV_VALUE_MAX || json_object_size(env) == ENV_MAX)
        NOTE(p, IMPORT_NEEDS, a->where, "the variable %s is left out: %s", key,
             strlen(text) > ENV_VALUE_MAX ? "too long" : "more than 200");
    else
        json_object_set_new(env, key, json_string(text));
    free(text);
}

static void add_env(struct import_pipeline *p, const struct import_action *a, json_t *body,
                    const json_t *more)
{
    json_t *env = json_object(), *own = action_env(p, a), *variable;
    size_t i;

    json_object_update(env, (json_t *)more);

    json_array_foreach(json_object_get(project_part(a, "Environment"), "EnvironmentVariables"), i,
                       variable)
    {
        add_variable(p, a, env, variable);
    }
    json_array_foreach(own, i, variable)
    {
        add_variable(p, a, env, variable);
    }
    if (json_object_size(env))
        json_object_set(body, "env", env);
    json_decref(env);
    json_decref(own);
}

/* ---- which builds make images ---- */

static char *ecr(struct import_pipeline *p, const struct import_action *a, const char *repository)
{
    const char *region = import_get_text(a->in, "region");
    char *whole = mem_printf("%.100s.dkr.ecr.%.100s.amazonaws.com/%.300s", p->account,
                             *region ? region : p->region, repository);
    char *image = import_image(whole);

    free(whole);
    return image;
}

/* A repository that a list of variables names, whole or by its name alone; NULL. */
static char *image_in(struct import_pipeline *p, const struct import_action *a, const json_t *env)
{
    static const char *const names[] = {"IMAGE_REPO_NAME", "ECR_REPO_NAME", "ECR_REPOSITORY_NAME",
                                        "ECR_REPOSITORY"};
    json_t *variable;
    size_t i;

    json_array_foreach(env, i, variable)
    {
        const char *value = import_get_text(variable, "value");

        if (strchr(value, '/') && !is_secret(variable) &&
            (strstr(value, ".dkr.ecr.") || strstr(value, "public.ecr.aws/")))
            return import_image(value);
    }
    json_array_foreach(env, i, variable)
    {
        const char *value = import_get_text(variable, "value");

        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
            if (str_eq(import_get_text(variable, "name"), names[n]) && *value &&
                !is_secret(variable))
                return ecr(p, a, value);
    }
    return NULL;
}

static char *image_of_codebuild(struct import_pipeline *p, const struct import_action *a)
{
    const json_t *environment = project_part(a, "Environment");
    json_t *own;
    char *image;

    if (!str_eq(a->category, "Build") ||
        (a->project && !str_eq(import_get_text(environment, "PrivilegedMode"), "true")))
        return NULL;
    own = action_env(p, a);
    image = image_in(p, a, own);
    if (!image)
        image = image_in(p, a, json_object_get(environment, "EnvironmentVariables"));
    json_decref(own);
    return image;
}

static bool is_made_before(const struct import_pipeline *p, const struct import_action *a,
                           const char *image)
{
    for (size_t i = 0; i < p->action_count; i++)
        if (&p->actions[i] != a && str_eq(p->actions[i].image, image))
            return true;
    return false;
}

static void find_named_images(struct import_pipeline *p)
{
    for (size_t i = 0; i < p->action_count; i++) {
        struct import_action *a = &p->actions[i];
        char *image = NULL;

        if (str_eq(a->provider, "ECRBuildAndPublish"))
            image = ecr(p, a, import_get_text(a->config, "ECRRepositoryName"));
        else if (a->as == AS_BUILD && str_eq(a->provider, "ECR"))
            image = ecr(p, a, import_get_text(a->config, "RepositoryName"));
        else if (str_eq(a->provider, "CodeBuild"))
            image = image_of_codebuild(p, a);
        /* What has a repository's name and comes after its build uses the image. */
        if (image && str_eq(a->provider, "CodeBuild") && is_made_before(p, a, image)) {
            free(image);
            image = NULL;
        }
        a->image = image;
    }
}

static bool can_make_image(const struct import_action *a)
{
    return a && a->as == AS_BUILD && str_eq(a->provider, "CodeBuild");
}

/* The build that a deploy's artifact comes from, or else the only one before it. */
static struct import_action *build_before(struct import_pipeline *p, const struct import_action *a)
{
    const char *first = import_get_text(a->config, "Image1ArtifactName");
    const struct import_action *from = import_producer(p, first);
    struct import_action *only = NULL;
    size_t count = 0;

    for (size_t n = 0; n < 5 && !can_make_image(from); n++)
        from = import_producer(p, import_artifact(a, "inputArtifacts", n));
    for (size_t i = 0; i < p->action_count; i++) {
        struct import_action *b = &p->actions[i];

        if (!import_is_before(b, a) || !can_make_image(b))
            continue;
        if (b == from)
            return b;
        if (str_eq(b->category, "Build")) {
            only = b;
            count++;
        }
    }
    return count == 1 ? only : NULL;
}

static struct import_action *image_before(struct import_pipeline *p, const struct import_action *a)
{
    const char *first = import_get_text(a->config, "Image1ArtifactName");
    struct import_action *last = NULL;

    for (size_t i = 0; i < p->action_count; i++) {
        struct import_action *b = &p->actions[i];

        if (!b->image || !import_is_before(b, a))
            continue;
        for (size_t n = 0; n < 5; n++)
            if (import_producer(p, import_artifact(a, "inputArtifacts", n)) == b &&
                (!*first || import_producer(p, first) == b))
                return b;
        last = b;
    }
    return last;
}

void import_find_images(struct import_pipeline *p)
{
    char *guess;

    find_named_images(p);
    for (size_t i = 0; i < p->action_count; i++) {
        struct import_action *a = &p->actions[i], *build;

        if (a->as != AS_DEPLOY)
            continue;
        build = image_before(p, a);
        if (!build && (build = build_before(p, a))) {
            guess = mem_printf(
                "%s.example/%s",
                import_placeholder(p->imp, "the registry that the image goes to", "registry", NULL),
                p->name);
            build->image = import_image(guess);
            build->image_is_guess = true;
            free(guess);
        }
        a->artifact = build;
        if (!build)
            a->as = AS_CUSTOM;
    }
}

/* ---- CodeBuild ---- */

static void add_size(struct import_pipeline *p, const struct import_action *a, json_t *body)
{
    static const struct {
        const char *type, *cpu, *memory;
    } sizes[] = {
        {"BUILD_GENERAL1_SMALL", "2", "4Gi"},      {"BUILD_GENERAL1_MEDIUM", "4", "8Gi"},
        {"BUILD_GENERAL1_LARGE", "8", "16Gi"},     {"BUILD_GENERAL1_XLARGE", "36", "72Gi"},
        {"BUILD_GENERAL1_2XLARGE", "72", "144Gi"},
    };
    const char *type = import_get_text(project_part(a, "Environment"), "ComputeType");

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (str_eq(type, sizes[i].type)) {
            json_object_set_new(
                body, "size",
                json_pack("{ss, ss}", "cpu", sizes[i].cpu, "memory", sizes[i].memory));
            return;
        }
    if (*type)
        NOTE(p, IMPORT_CHANGED, a->where, "the compute type %.100s has no `size:` here", type);
}

static bool is_path(const char *text)
{
    return *text && strlen(text) < 500 && *text != '/' && *text != '-' && !strpbrk(text, "\n\t") &&
           !strstr(text, "..") && !str_ends(text, "/") && !str_starts(text, "arn:");
}

/* A file that somebody has to write, shown as comments. */
static void show_file(json_t *entry, const char *path, const char *text)
{
    size_t lines = 0;

    import_comment(entry, "Write %s into the source:", path);
    while (*text && lines++ < 60) {
        int len = (int)strcspn(text, "\n");

        import_comment(entry, "  %.*s", len < 300 ? len : 300, text);
        text += len + (text[len] == '\n');
    }
    if (*text)
        import_comment(entry, "  ...");
}

static void add_buildspec(struct import_pipeline *p, const struct import_action *a, json_t *entry,
                          json_t *body)
{
    const char *spec = import_get_text(project_part(a, "Source"), "BuildSpec");
    char path[160];

    snprintf(path, sizeof(path), "buildspec.yml");
    if (strchr(spec, '\n') || str_starts(spec, "version:") || str_starts(spec, "{")) {
        snprintf(path, sizeof(path), "gantry/%s.yml", a->as_name);
        show_file(entry, path, spec);
        NOTE(p, IMPORT_NEEDS, a->where,
             "the project holds its buildspec itself: write it into the source as %s (it stands "
             "in the definition as a comment)",
             path);
    } else if (is_path(spec)) {
        json_object_set_new(body, "buildspec", json_string(spec));
        return;
    } else if (*spec) {
        NOTE(p, IMPORT_NEEDS, a->where, "the buildspec is '%.200s': bring it into the source as %s",
             spec, path);
    } else if (!a->project) {
        import_comment(entry, "buildspec.yml is a guess: the project %.100s was not in the input.",
                       import_get_text(a->config, "ProjectName"));
        NOTE(p, IMPORT_NEEDS, a->where,
             "the project %.100s is not in the input: buildspec.yml is a guess, and its size, "
             "timeout and variables are not known (aws codebuild batch-get-projects)",
             import_get_text(a->config, "ProjectName"));
    }
    json_object_set_new(body, "buildspec", json_string(path));
}

/* What the commands ran in. Only builders of some drivers give a build that (docs/builder.md). */
static void add_place(struct import_pipeline *p, const struct import_action *a, json_t *body)
{
    const json_t *environment = project_part(a, "Environment");
    const char *image = import_get_text(environment, "Image");
    const char *login =
        import_get_text(json_object_get(environment, "RegistryCredential"), "Credential");
    bool is_curated = batch_image_is_curated(image);

    if (*image && !is_curated && str_is_image(image)) {
        json_object_set_new(body, "build-image", json_string(image));
        NOTE(p, IMPORT_NEEDS, a->where,
             "runs in the image %.200s, which takes a builder whose driver is docker or "
             "kubernetes; for another, delete `build-image:` and install what the buildspec uses "
             "on its machine",
             image);
    } else if (*image) {
        NOTE(p, IMPORT_NEEDS, a->where,
             "ran in the image %.200s, which %s and is left out: install what the buildspec uses "
             "on the builder's machine, or name an image that has it with `build-image:`",
             image, is_curated ? "can be pulled inside AWS alone" : "is no image's name");
    }
    if (*login)
        NOTE(p, IMPORT_NEEDS, a->where,
             "its image was pulled with the login '%.200s': give that registry's login to the "
             "builder (builder.registry-login)",
             login);
    /* As a rule it was for `docker build`, and a sandbox would refuse it. */
    if (str_eq(import_get_text(environment, "PrivilegedMode"), "true"))
        NOTE(p, IMPORT_CHANGED, a->where,
             "was privileged and is not: in the sandbox docker build and docker push work "
             "without; where the builder's driver is docker, add `privileged: true`");
}

static void note_project(struct import_pipeline *p, const struct import_action *a)
{
    if (json_object_get(a->project, "VpcConfig"))
        NOTE(p, IMPORT_NEEDS, a->where,
             "ran in a VPC: give the builder a place in that network if the build needs it");
    if (*import_artifact(a, "inputArtifacts", 1))
        NOTE(p, IMPORT_CHANGED, a->where,
             "has more inputs than one: a build here has its source alone, and files of other "
             "actions are not handed on");
}

static void note_image(struct import_pipeline *p, const struct import_action *a, json_t *entry)
{
    if (!a->image || !str_eq(a->provider, "CodeBuild"))
        return;
    if (a->image_is_guess) {
        import_comment(entry, "Which repository does this build push to? Say so in `image:`.");
        NOTE(p, IMPORT_NEEDS, a->where,
             "what it makes is deployed, but the repository is not in the input: set `image:`");
    }
    NOTE(p, IMPORT_NEEDS, a->where,
         "the buildspec has to push to $GANTRY_IMAGE, or set GANTRY_IMAGE_DIGEST, so that the "
         "digest is known (docs/builder.md)");
}

static void add_batch(struct import_pipeline *p, const struct import_action *a, json_t *body)
{
    if (!str_eq(import_get_text(a->config, "BatchEnabled"), "true"))
        return;
    json_object_set_new(body, "batch", json_true());
    if (str_eq(import_get_text(a->config, "CombineArtifacts"), "true"))
        NOTE(p, IMPORT_CHANGED, a->where,
             "the artifacts of the batch are not combined: each build keeps its own "
             "(`gantry artifacts`)");
}

static void add_codebuild(struct import_pipeline *p, const struct import_action *a, json_t *entry,
                          json_t *body)
{
    const struct import_action *from = import_producer(p, import_artifact(a, "inputArtifacts", 0));
    const char *own = import_get_text(a->in, "timeoutInMinutes");
    char minutes[32];

    add_buildspec(p, a, entry, body);
    add_batch(p, a, body);
    if (a->image)
        json_object_set_new(body, "image", json_string(a->image));
    add_place(p, a, body);
    add_size(p, a, body);
    if (import_minutes(*own ? own : import_get_text(a->project, "TimeoutInMinutes"), 1,
                       WEEK_MINUTES, minutes))
        json_object_set_new(body, "timeout", json_string(minutes));
    add_env(p, a, body, NULL);
    note_image(p, a, entry);
    note_project(p, a);
    if (from && from->as != AS_SOURCE && !str_eq(from->category, "Source"))
        NOTE(p, IMPORT_NEEDS, a->where,
             "its input was what %.150s made: here it gets the source '%s' and has to make that "
             "itself",
             from->where, import_source_of(p, a));
    NOTE(p, IMPORT_KEPT, a->where, "build '%s'%s%s", a->as_name, a->image ? " that makes " : "",
         a->image ? a->image : "");
}

/* ---- the others ---- */

/* The field may name the file or its folder. */
static void add_ecr_build(struct import_pipeline *p, const struct import_action *a, json_t *body)
{
    const char *path = import_get_text(a->config, "DockerFilePath");
    const char *tags = import_get_text(a->config, "ImageTags");
    const char *last = strrchr(path, '/');

    while (str_starts(path, "./"))
        path += 2;
    last = last ? last + 1 : path;
    if (!is_path(path) || str_eq(path, ".")) {
        json_object_set_new(body, "dockerfile", json_string("Dockerfile"));
    } else if (strcasestr(last, "dockerfile")) {
        json_object_set_new(body, "dockerfile", json_string(path));
    } else {
        char *file = mem_printf("%s/Dockerfile", path);

        json_object_set_new(body, "dockerfile", json_string(file));
        free(file);
    }
    json_object_set_new(body, "image", json_string(a->image));
    if (str_eq(import_get_text(a->config, "RegistryType"), "public"))
        NOTE(p, IMPORT_NEEDS, a->where,
             "pushed to a public registry: write public.ecr.aws/<alias>/... as `image:`");
    NOTE(p, IMPORT_KEPT, a->where, "build '%s' that makes %s", a->as_name, a->image);
    NOTE(p, IMPORT_CHANGED, a->where,
         "the tag is <pipeline>-<release>, not '%.100s': everything after goes by the digest",
         *tags ? tags : "latest");
}

/* An image that was made elsewhere: a build that looks its digest up. */
static void add_ecr_source(struct import_pipeline *p, const struct import_action *a, json_t *entry,
                           json_t *body)
{
    const char *tag = import_get_text(a->config, "ImageTag");
    char path[160], *text;

    snprintf(path, sizeof(path), "gantry/%s.yml", a->as_name);
    text = mem_printf("version: 0.2\nphases:\n  build:\n    commands:\n      - export "
                      "GANTRY_IMAGE_DIGEST=$(aws ecr describe-images --repository-name %.200s "
                      "--image-ids imageTag=%.100s --query 'imageDetails[0].imageDigest' "
                      "--output text)",
                      import_get_text(a->config, "RepositoryName"), *tag ? tag : "latest");
    show_file(entry, path, text);
    free(text);
    json_object_set_new(body, "buildspec", json_string(path));
    json_object_set_new(body, "image", json_string(a->image));
    NOTE(p, IMPORT_NEEDS, a->where,
         "an image that was pushed to ECR started the pipeline: here a build looks its digest up "
         "(write %s into the source), and whoever pushes the image starts the release "
         "(`gantry release start %s`)",
         path, p->name);
}

/* #{A.B} is known to the definition alone, so it reaches the commands as a variable, A_B. */
static void add_command(struct import_pipeline *p, const struct import_action *a, json_t *env,
                        struct buf *out, const char *command)
{
    const char *open, *close;
    bool plain = !strpbrk(command, "\n") && !strstr(command, ": ") && !strstr(command, " #") &&
                 !str_ends(command, ":") && !strchr("\"'[]{}>|*&!%@`-?#,=:", *command);
    struct buf text;

    buf_init(&text, IMPORT_TEXT_MAX);
    while ((open = strstr(command, "#{")) && (close = strchr(open, '}'))) {
        char *whole = mem_strndup(open, (size_t)(close + 1 - open)), key[160];
        char *value = import_text(p, a, a->stage_index, whole);

        whole[strlen(whole) - 1] = '\0';
        import_key(key, sizeof(key), whole + 2, true);
        if (json_object_size(env) < ENV_MAX)
            json_object_set_new(env, key, json_string(value));
        buf_add(&text, command, (size_t)(open - command));
        buf_addf(&text, "${%s}", key);
        free(value);
        free(whole);
        command = close + 1;
    }
    buf_adds(&text, command);
    buf_adds(out, plain ? "      - " : "      - |-\n        ");
    for (const char *c = buf_cstr(&text); *c; c++)
        buf_adds(out, *c == '\n' ? "\n        " : (char[]){*c, 0});
    buf_addc(out, '\n');
    buf_release(&text);
}

static void add_commands(struct import_pipeline *p, const struct import_action *a, json_t *entry,
                         json_t *body)
{
    json_t *env = json_object(), *command;
    struct buf text;
    char path[160];
    size_t i;

    snprintf(path, sizeof(path), "gantry/%s.yml", a->as_name);
    buf_init(&text, IMPORT_TEXT_MAX);
    buf_adds(&text, "version: 0.2\nphases:\n  build:\n    commands:\n");
    json_array_foreach(import_get(a->in, "commands"), i, command)
    {
        if (json_is_string(command))
            add_command(p, a, env, &text, json_string_value(command));
    }
    show_file(entry, path, buf_cstr(&text));
    buf_release(&text);
    json_object_set_new(body, "buildspec", json_string(path));
    add_env(p, a, body, env);
    json_decref(env);
    NOTE(p, IMPORT_NEEDS, a->where,
         "commands stand in a file of the source here: write %s (it is in the definition as a "
         "comment)",
         path);
    NOTE(p, IMPORT_KEPT, a->where, "build '%s'", a->as_name);
}

json_t *import_build(struct import_pipeline *p, struct import_action *a)
{
    json_t *entry = json_object(), *body = json_object();

    json_object_set_new(body, "name", json_string(a->as_name));
    json_object_set_new(body, "source", json_string(import_source_of(p, a)));
    if (str_eq(a->provider, "CodeBuild"))
        add_codebuild(p, a, entry, body);
    else if (str_eq(a->provider, "ECRBuildAndPublish"))
        add_ecr_build(p, a, body);
    else if (str_eq(a->provider, "ECR"))
        add_ecr_source(p, a, entry, body);
    else
        add_commands(p, a, entry, body);
    json_object_set_new(entry, "build", body);
    return entry;
}
