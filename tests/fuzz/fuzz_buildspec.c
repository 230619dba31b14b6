/* A buildspec from anybody: parsed, planned and played with every third command failing; its batch
 * expanded; its patterns asked about paths, among them the patterns themselves. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buildspec/batch.h"
#include "buildspec/files.h"
#include "buildspec/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void play(const struct buildspec *spec)
{
    struct plan plan;
    struct plan_step step;
    unsigned n = 0;
    plan_init(&plan, spec);
    for (plan_next(&plan, &step); step.kind != PLAN_DONE; plan_next(&plan, &step)) {
        if (step.kind == PLAN_COMMAND)
            plan_ended(&plan, ++n % 3 == 0);
    }
    plan_release(&plan);
}

/* What batch.h promises of the builds. */
static void expand(const struct buildspec *spec)
{
    struct batch batch;
    batch_expand(spec, &batch);
    must(batch.count <= BUILDSPEC_BATCH_MAX);
    must((batch.count == 0) == (spec->batch.kind == BUILDSPEC_NO_BATCH));
    for (size_t i = 0; i < batch.count; i++) {
        const struct batch_build *build = &batch.builds[i];
        size_t len = strlen(build->identifier);
        must(len > 0 && len < 128);
        for (size_t j = 0; j < i; j++)
            must(strcmp(build->identifier, batch.builds[j].identifier) != 0);
        for (size_t j = 0; j < build->depend_count; j++)
            must(build->depend_on[j] < batch.count && build->depend_on[j] != i);
    }
    batch_release(&batch);
}

/* A file that is meant stands in folders that may hold it, below one of the roots. */
static void ask(const struct files *files, const struct strv *roots, const char *path)
{
    const char *name = NULL;
    bool rooted = false;
    if (!files_match(files, path, &name))
        return;
    must(name >= path && name <= path + strlen(path));
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *folder = strndup(path, (size_t)(slash - path));
        must(files_may_hold(files, folder));
        free(folder);
    }
    for (size_t i = 0; i < roots->count && !rooted; i++) {
        size_t len = strlen(roots->items[i]);
        rooted = len == 0 ? *path != '/' : strncmp(path, roots->items[i], len) == 0;
    }
    must(rooted);
}

/* Paths as files.h wants them: single slashes, no "." and "..", none at the end. */
static bool is_tidy(const char *path)
{
    const char *p = path + (*path == '/');
    if (!*p)
        return false;
    for (;;) {
        size_t len = strcspn(p, "/");
        if (len == 0 || (len == 1 && *p == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        if (!p[len])
            return true;
        p += len + 1;
    }
}

static void match(const struct buildspec_artifacts *artifacts)
{
    static const char *const paths[] = {"a", "a/b", ".a/b.c", "a/b/c/d.xml", "/root/.m2/a"};
    struct strv roots = {0};
    struct files *files =
        files_new(&(struct files_rule){.root = "/src",
                                       .base_directory = artifacts->base_directory,
                                       .files = &artifacts->files,
                                       .exclude = &artifacts->exclude_paths,
                                       .discard_paths = artifacts->discard_paths});
    files_roots(files, &roots);
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        ask(files, &roots, paths[i]);
    for (size_t i = 0; i < artifacts->files.count; i++) {
        if (is_tidy(artifacts->files.items[i]))
            ask(files, &roots, artifacts->files.items[i]);
    }
    strv_release(&roots);
    files_free(files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buildspec *spec = NULL;
    struct buildspec_problems problems = {0};
    struct err err = {0};
    struct buf text;
    int rc = buildspec_parse(&spec, data, size, &problems, &err);
    buf_init(&text, 1024 * 1024);
    for (size_t i = 0; i < problems.count; i++)
        buildspec_problem_text(&problems.items[i], "f", &text);
    must(!text.len || str_is_utf8(text.data, text.len));
    buf_release(&text);
    buildspec_problems_release(&problems);
    if (rc < 0)
        return 0;
    play(spec);
    expand(spec);
    match(&spec->artifacts);
    for (size_t i = 0; i < spec->secondary_count; i++)
        match(&spec->secondary[i]);
    buildspec_free(spec);
    return 0;
}
