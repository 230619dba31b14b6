/* `gantry buildspec check`: what the builder would say of a buildspec, before it is pushed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "buildspec/batch.h"
#include "services/cli/cli.h"

#define STDIN_NAME "(standard input)"

static const char *shown_name(const char *file)
{
    return strcmp(file, "-") == 0 ? STDIN_NAME : file;
}

/* One byte more than is taken, so that what is too large is told so. */
static int read_file(struct buf *out, const char *file, struct err *err)
{
    char chunk[16384];
    size_t len;

    if (strcmp(file, "-") != 0)
        return file_read(out, file, BUILDSPEC_SIZE_MAX, err);
    buf_init(out, BUILDSPEC_SIZE_MAX);
    while ((len = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        if (buf_add(out, chunk, len) < 0)
            return err_set(err, ERR_LIMIT, STDIN_NAME " is larger than %d KiB",
                           BUILDSPEC_SIZE_MAX / 1024);
    return 0;
}

static size_t count_errors(const struct buildspec_problems *problems)
{
    size_t errors = 0;

    for (size_t i = 0; i < problems->count; i++)
        errors += problems->items[i].error;
    return errors;
}

/* ---- for people ---- */

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void print_problems(const struct buildspec_problems *problems, const char *file)
{
    for (size_t i = 0; i < problems->count; i++) {
        struct buf line;

        buf_init(&line, 8192);
        buildspec_problem_text(&problems->items[i], file, &line);
        fprintf(stderr, "%s\n", buf_cstr(&line));
        buf_release(&line);
    }
}

/* What it would do, in a line. */
static void print_summary(const struct buildspec *spec, size_t warnings, const char *file)
{
    size_t phases = 0, commands = 0;
    struct batch batch;

    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        phases += spec->phases[p].present;
        commands += spec->phases[p].commands.count + spec->phases[p].finally.count;
    }
    batch_expand(spec, &batch);
    printf("%s: version %s, %zu phase%s, %zu command%s", file,
           spec->separate_shells ? "0.1" : "0.2", phases, plural(phases), commands,
           plural(commands));
    if (batch.count)
        printf(", a batch of %zu build%s", batch.count, plural(batch.count));
    printf(": no errors");
    if (warnings)
        printf(", %zu warning%s", warnings, plural(warnings));
    printf("\n");
    batch_release(&batch);
}

/* ---- for machines ---- */

static json_t *problems_json(const struct buildspec_problems *problems)
{
    json_t *list = json_array();

    for (size_t i = 0; i < problems->count; i++) {
        const struct buildspec_problem *p = &problems->items[i];

        json_array_append_new(
            list, json_pack("{ss si si ss ss}", "severity", p->error ? "error" : "warning", "line",
                            p->line, "column", p->column, "path", p->path, "reason", p->reason));
    }
    return list;
}

static json_t *build_json(const struct batch *batch, const struct batch_build *build)
{
    json_t *env = json_object(), *depend_on = json_array();

    for (size_t i = 0; i < build->env_count; i++)
        json_object_set_new(env, build->env[i].key, json_string(build->env[i].value));
    for (size_t i = 0; i < build->depend_count; i++)
        json_array_append_new(depend_on,
                              json_string(batch->builds[build->depend_on[i]].identifier));
    return json_pack("{ss ss* ss* ss* sb so so}", "identifier", build->identifier, "buildspec",
                     build->buildspec, "image", build->image, "computeType", build->compute_type,
                     "ignoreFailure", build->ignore_failure, "env", env, "dependOn", depend_on);
}

/* The builds of its batch; NULL: it has none. */
static json_t *batch_json(const struct buildspec *spec)
{
    json_t *list = NULL;
    struct batch batch;

    batch_expand(spec, &batch);
    if (batch.count)
        list = json_array();
    for (size_t i = 0; i < batch.count; i++)
        json_array_append_new(list, build_json(&batch, &batch.builds[i]));
    batch_release(&batch);
    return list;
}

static json_t *file_json(const char *file, const struct buildspec *spec,
                         const struct buildspec_problems *problems)
{
    json_t *out = json_pack("{ss sb so}", "file", file, "valid", spec != NULL, "problems",
                            problems_json(problems));
    json_t *batch = spec ? batch_json(spec) : NULL;

    if (batch)
        json_object_set_new(out, "batch", batch);
    return out;
}

/* ---- */

/* Adds to `list` what is to be printed as JSON (NULL: for people, printed at once). */
static int check_file(const char *file, json_t *list)
{
    const char *name = shown_name(file);
    struct buildspec_problems problems = {0};
    struct buildspec *spec = NULL;
    struct buf yaml;
    struct err err;
    size_t errors;
    int rc;

    if (read_file(&yaml, file, &err) < 0) {
        buf_release(&yaml);
        return cli_fail(EXIT_USAGE, "%s", err.msg);
    }
    rc = buildspec_parse(&spec, buf_cstr(&yaml), yaml.len, &problems, &err);
    errors = count_errors(&problems);
    if (list)
        json_array_append_new(list, file_json(name, spec, &problems));
    else
        print_problems(&problems, name);
    if (rc == 0 && !list)
        print_summary(spec, problems.count, name);
    else if (!list)
        cli_fail(0, "%s: %zu error%s; it would not run", name, errors, plural(errors));
    buildspec_free(spec);
    buildspec_problems_release(&problems);
    buf_release(&yaml);
    return rc < 0 ? EXIT_USAGE : EXIT_DONE;
}

int cmd_buildspec_check(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("buildspec check");
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 1, 1000), worst = EXIT_DONE;
    json_t *list = cli->json ? json_array() : NULL;

    for (size_t i = 0; rc == 0 && i < words.count; i++)
        if (check_file(words.items[i], list) != EXIT_DONE)
            worst = EXIT_USAGE;
    if (rc == 0 && list)
        print_json(list);
    json_decref(list);
    strv_release(&words);
    return rc > 0 ? EXIT_DONE : rc < 0 ? EXIT_USAGE : worst;
}
