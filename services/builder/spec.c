#include "base/buf.h"
#include "base/mem.h"
#include "build.h"

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

/* buildah bud, and push: what the digest is of is written where the builder reads it. */
static int from_dockerfile(struct build *build, struct err *err)
{
    const char *dockerfile = build->request->build->dockerfile;
    if (str_empty(dockerfile))
        dockerfile = "Dockerfile";
    if (check_path(dockerfile, "dockerfile", err) < 0)
        return -1;
    if (!build->image_uri)
        return err_set(err, ERR_INVALID, "'dockerfile:' needs 'image:', the repository to push to");
    char *quoted = quote(dockerfile);
    build->spec = mem_alloc(sizeof(*build->spec));
    build->spec->shell = mem_strdup("sh");
    struct buildspec_phase *phase = &build->spec->phases[BUILDSPEC_BUILD];
    phase->present = true;
    strv_addf(&phase->commands, "buildah bud --file %s --tag %s .", quoted, build->image_uri);
    strv_addf(&phase->commands, "buildah push --digestfile " SANDBOX_BUILD "/.gantry-digest %s",
              build->image_uri);
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
    int rc = sandbox_read_file(build->box, path, BUILDSPEC_SIZE_MAX, &yaml, err);
    free(path);
    if (rc < 0)
        return err_wrap(err, "buildspec '%s' of commit %.12s", name, build->revision->commit);
    rc = buildspec_parse(&build->spec, buf_cstr(&yaml), yaml.len, &problems, err);
    buf_release(&yaml);
    for (size_t i = 0; i < problems.count; i++) {
        struct buf text;
        buf_init(&text, 2048);
        buildspec_problem_text(&problems.items[i], name, &text);
        executor_mark(build->run, "%s", buf_cstr(&text));
        buf_release(&text);
    }
    buildspec_problems_release(&problems);
    return rc < 0 ? err_wrap(err, "%s", name) : 0;
}

int spec_load(struct build *build, struct err *err)
{
    return str_empty(build->request->build->buildspec) ? from_dockerfile(build, err)
                                                       : from_buildspec(build, err);
}
