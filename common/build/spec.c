#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "build/internal.h"

static int check_path(const char *path, const char *what, struct err *err)
{
    struct strv parts = {0};
    strv_split(&parts, path, '/');
    bool bad = path[0] == '/' || strv_has(&parts, "..") || strlen(path) > 500;
    strv_release(&parts);
    return bad ? err_set(err, ERR_INVALID, "%s '%.100s' must be a path below the source's root",
                         what, path)
               : 0;
}

static char *quote(const char *s)
{
    struct buf out;
    buf_init(&out, 4096);
    buf_addc(&out, '\'');
    for (; *s; s++) {
        if (*s == '\'')
            buf_adds(&out, "'\\''");
        else
            buf_addc(&out, *s);
    }
    buf_addc(&out, '\'');
    return buf_detach(&out);
}

/* buildah's words for a cache of layers in the registry; the caller frees. */
static char *cache_words(const struct build *build)
{
    const char *cache = build->env->layer_cache;
    const char *image = build->request->build->image;
    if (str_empty(cache))
        return mem_strdup("");
    char *at = str_eq(cache, "image") ? mem_strdup(image) : mem_printf("%s/%s", image, cache);
    char *words = mem_printf(" --layers --cache-from %s --cache-to %s", at, at);
    free(at);
    return words;
}

/* buildah bud, and push: what the digest is of is written where the builder reads it. */
static void add_buildah(const struct build *build, const char *dockerfile, struct strv *commands)
{
    char *cache = cache_words(build);
    strv_addf(commands, "buildah bud%s --file %s --tag %s .", cache, dockerfile, build->image_uri);
    strv_addf(commands, "buildah push --digestfile %s/" IMAGE_DIGEST_FILE " %s",
              build->place->paths.build, build->image_uri);
    free(cache);
}

/* In words that people know: the driver does both itself. */
static void add_docker(const struct build *build, const char *dockerfile, struct strv *commands)
{
    strv_addf(commands, "docker build --file %s --tag %s .", dockerfile, build->image_uri);
    strv_addf(commands, "docker push %s", build->image_uri);
}

const char *spec_dockerfile(const struct build *build)
{
    const char *dockerfile = build->request->build->dockerfile;
    return str_empty(dockerfile) ? "Dockerfile" : dockerfile;
}

static int from_dockerfile(struct build *build, struct err *err)
{
    const char *dockerfile = spec_dockerfile(build);
    if (check_path(dockerfile, "dockerfile", err) < 0)
        return -1;
    if (!build->image_uri)
        return err_set(err, ERR_INVALID, "'dockerfile:' needs 'image:', the repository to push to");
    char *quoted = quote(dockerfile);
    build->spec = mem_alloc(sizeof(*build->spec));
    build->spec->shell = mem_strdup("sh");
    struct buildspec_phase *phase = &build->spec->phases[BUILDSPEC_BUILD];
    phase->present = true;
    (build->place->ops->images ? add_docker : add_buildah)(build, quoted, &phase->commands);
    free(quoted);
    return 0;
}

static int from_buildspec(struct build *build, struct err *err)
{
    const char *name = build->request->build->buildspec;
    struct buildspec_problems problems = {0};
    struct buf yaml;
    if (check_path(name, "buildspec", err) < 0)
        return -1;
    char *path = mem_printf("build/src/%s", name);
    int rc = build->place->ops->read_file(build->place, path, BUILDSPEC_SIZE_MAX, &yaml, err);
    free(path);
    if (rc < 0)
        return err_wrap(err, "buildspec '%s' of commit %.12s", name, build->revision->commit);
    rc = buildspec_parse(&build->spec, buf_cstr(&yaml), yaml.len, &problems, err);
    buf_release(&yaml);
    for (size_t i = 0; i < problems.count; i++) {
        struct buf text;
        buf_init(&text, 2048);
        buildspec_problem_text(&problems.items[i], name, &text);
        build_mark(build, "%s", buf_cstr(&text));
        buf_release(&text);
    }
    buildspec_problems_release(&problems);
    return rc < 0 ? err_wrap(err, "%s", name) : 0;
}

/* ---- what no build can have ---- */

static int refuse(const struct build *build, int line, const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s:%d: %s", build->request->build->buildspec, line, what);
}

/* Whether the user is there is known when its phase begins: commands may add it. */
static int check_users(const struct build *build, struct err *err)
{
    const struct buildspec *spec = build->spec;
    const struct build_driver_ops *ops = build->place->ops;
    for (int p = 0; p < BUILDSPEC_PHASES && !ops->users; p++) {
        const struct buildspec_phase *phase = &spec->phases[p];
        const char *user = buildspec_run_as(spec, (enum buildspec_phase_name)p);
        char what[200];
        if (!phase->present || str_eq(user, "root"))
            continue;
        snprintf(what, sizeof(what),
                 "run-as: the commands can't run as '%.40s': the driver %s runs all as one "
                 "user",
                 user, ops->name);
        return refuse(build, phase->run_as ? phase->run_as_line : spec->lines.run_as, what, err);
    }
    return 0;
}

static bool has_phases(const struct buildspec *spec)
{
    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        if (spec->phases[p].present)
            return true;
    }
    return false;
}

/* What is asked for and not done would give another result than the one that is expected. */
static int check_possible(struct build *build, struct err *err)
{
    const struct buildspec *spec = build->spec;
    const struct buildspec_lines *lines = &spec->lines;
    struct err why = {0};
    if (build->request->build->batch)
        return 0; /* nothing of it is run */
    if (login_get(build, &why) < 0)
        return refuse(build, lines->git_credentials, why.msg, err);
    if (!has_phases(spec))
        return refuse(build, lines->batch,
                      "batch: it has no phases, and the action does not ask for the batch (`batch: "
                      "true`)",
                      err);
    return check_users(build, err);
}

int spec_load(struct build *build, struct err *err)
{
    if (str_empty(build->request->build->buildspec))
        return from_dockerfile(build, err);
    return from_buildspec(build, err) < 0 ? -1 : check_possible(build, err);
}
