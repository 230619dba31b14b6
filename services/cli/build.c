/* `gantry build`. */
#include "services/cli/build.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "buildspec/buildspec.h"
#include "engine/batch.h"
#include "events/event.h"
#include "log/log.h"
#include "services/cli/cli.h"

#define USER "gantry-builder"

static const struct cli_command *command(void)
{
    return cli_command("build");
}

/* ---- options ---- */

/* "NAME=value", or "NAME": the value that it has here, which keeps secrets out of argv. */
static int take_variable(struct build_options *options, const char *text)
{
    char *name = mem_strndup(text, strcspn(text, "="));
    const char *value = strchr(text, '=') ? strchr(text, '=') + 1 : getenv(text);
    int rc = 0;
    if (!buildspec_is_variable(name))
        rc = cli_usage_error(command(), "'%s' is no name of a variable", name);
    else if (!value)
        rc = cli_usage_error(command(),
                             "--env %s takes the value that it has here, but it has none", name);
    else
        strv_addf(&options->env, "%s=%s", name, value);
    free(name);
    return rc;
}

static int take_limits(struct build_options *options, const char *memory, const char *cpu)
{
    if (memory && str_to_size(memory, &options->memory_bytes) < 0)
        return cli_usage_error(command(), "--memory wants a size such as 512Mi or 4Gi, not '%s'",
                               memory);
    if (cpu && (str_to_double(cpu, &options->cpu) < 0 || options->cpu <= 0))
        return cli_usage_error(command(), "--cpu wants a number of cores such as 0.5, not '%s'",
                               cpu);
    if (!str_eq(options->network, "host") && !str_eq(options->network, "none"))
        return cli_usage_error(command(), "--network is host or none, not '%s'", options->network);
    return 0;
}

/* 0; 1: help was given; else the exit code. */
static int take_options(struct cli *cli, int argc, char **argv, struct build_options *options)
{
    struct strv words = {0}, env = {0};
    const char *memory = NULL, *cpu = NULL;
    bool local = false;
    const struct cli_flag flags[] = {
        {"local", 0, FLAG_BOOL, &local, NULL, "on this machine (there is no other way yet)"},
        {"buildspec", 0, FLAG_STR, &options->buildspec, "FILE",
         "below DIR, as in a pipeline; buildspec.yml if not given"},
        {"dockerfile", 0, FLAG_STR, &options->dockerfile, "FILE",
         "build and push this instead of a buildspec; needs --image"},
        {"batch", 0, FLAG_BOOL, &options->batch, NULL,
         "all builds of the buildspec's batch, one after the other"},
        {"batch-build", 0, FLAG_STR, &options->batch_build, "ID",
         "this build of the buildspec's batch"},
        {"env", 'e', FLAG_LIST, &env, "NAME[=VALUE]",
         "wins over the buildspec; without a value, as it is here"},
        {"image", 0, FLAG_STR, &options->image, "REPOSITORY",
         "what the build pushes to (GANTRY_IMAGE)"},
        {"insecure-registry", 0, FLAG_LIST, &options->insecure, "HOST",
         "spoken to by plain http, as 127.0.0.1 and localhost are"},
        {"network", 0, FLAG_STR, &options->network, "host|none", "of the commands (host)"},
        {"memory", 0, FLAG_STR, &memory, "SIZE", "limit of the build, e.g. 4Gi"},
        {"cpu", 0, FLAG_STR, &cpu, "CORES", "limit of the build, where a control group allows"},
        {"user", 0, FLAG_STR, &options->user, "NAME",
         "whom it becomes when root starts it (" USER ")"},
        {0},
    };
    int rc = cli_args(cli, command(), argc, argv, flags, &words, 0, 1);
    strv_add(&options->insecure, "127.0.0.1");
    strv_add(&options->insecure, "localhost");
    if (rc < 0)
        rc = EXIT_USAGE;
    else if (rc == 0 && !local)
        rc = cli_usage_error(command(), "builds elsewhere are a pipeline's; here, say --local");
    if (rc == 0)
        options->folder = mem_strdup(words.count ? words.items[0] : ".");
    for (size_t i = 0; rc == 0 && i < env.count; i++)
        rc = take_variable(options, env.items[i]);
    if (rc == 0)
        rc = take_limits(options, memory, cpu);
    if (rc == 0 && options->dockerfile && options->buildspec)
        rc = cli_usage_error(command(), "--buildspec and --dockerfile exclude each other");
    if (rc == 0 && options->dockerfile && (options->batch || options->batch_build))
        rc = cli_usage_error(command(), "a batch is of a buildspec, not of a dockerfile");
    if (rc == 0 && options->batch && options->batch_build)
        rc = cli_usage_error(command(), "--batch is all builds, --batch-build is one of them");
    strv_release(&words);
    strv_release(&env);
    return rc;
}

/* ---- the buildspec ---- */

static bool has(const char *source, const char *name)
{
    char *path = mem_printf("%s/%s", source, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

/* What is built, where nobody said it. */
static int choose(struct build_options *options, const char *source)
{
    static const char *const names[] = {"buildspec.yml", "buildspec.yaml"};
    for (size_t i = 0; i < 2 && !options->buildspec && !options->dockerfile; i++) {
        if (has(source, names[i]))
            options->buildspec = names[i];
    }
    if (!options->buildspec && !options->dockerfile && has(source, "Dockerfile"))
        options->dockerfile = "Dockerfile";
    if (!options->buildspec && !options->dockerfile)
        return cli_fail(EXIT_USAGE,
                        "there is neither buildspec.yml nor Dockerfile in '%s'; name the file with "
                        "--buildspec, as a path below that folder",
                        options->folder);
    if (options->dockerfile && !options->image)
        return cli_fail(EXIT_USAGE,
                        "building '%s' needs --image, the repository to push to (or bring a "
                        "buildspec)",
                        options->dockerfile);
    return 0;
}

/* Never one that a link leads out of the source to. */
static int read_buildspec(const char *source, const char *name, struct buf *out, struct err *err)
{
    char *path = mem_printf("%s/%s", source, name);
    char *root = realpath(source, NULL);
    char *real = realpath(path, NULL);
    int rc = 0;
    if (!real)
        rc = err_errno(err, errno, "cannot read '%s'", name);
    else if (root && (!str_starts(real, root) || real[strlen(root)] != '/'))
        rc = err_set(err, ERR_INVALID, "'%s' lies outside the source", name);
    else
        rc = file_read_beneath(out, source, name, BUILDSPEC_SIZE_MAX, err);
    free(path);
    free(real);
    free(root);
    return rc;
}

static const Gantry__V1__BatchBuild *find_build(const struct build_options *options)
{
    const Gantry__V1__BatchPlan *plan = options->plan;
    for (size_t i = 0; options->batch_build && plan && i < plan->n_builds; i++) {
        if (str_eq(plan->builds[i]->identifier, options->batch_build))
            return plan->builds[i];
    }
    return NULL;
}

static bool has_phases(const struct buildspec *spec)
{
    for (int p = 0; p < BUILDSPEC_PHASES; p++) {
        if (spec->phases[p].present)
            return true;
    }
    return false;
}

/* What is run of it: builds of its batch, or its phases. */
static int choose_build(struct build_options *options, const struct buildspec *spec)
{
    struct buf names;
    int rc = 0;
    options->plan = build_batch_plan(spec);
    const char *wrong = options->plan ? batch_wrong(options->plan) : NULL;
    buf_init(&names, 64 * 1024);
    for (size_t i = 0; options->plan && i < options->plan->n_builds; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", options->plan->builds[i]->identifier);
    if ((options->batch || options->batch_build) && !options->plan)
        rc = cli_fail(EXIT_USAGE, "'%s' has no batch: leave --batch%s out", options->buildspec,
                      options->batch ? "" : "-build");
    else if (options->batch_build && !find_build(options))
        rc = cli_fail(EXIT_USAGE, "the batch of '%s' has no build '%s'; it has: %s",
                      options->buildspec, options->batch_build, buf_cstr(&names));
    else if (options->batch && wrong)
        rc = cli_fail(EXIT_USAGE, "the batch of '%s' %s", options->buildspec, wrong);
    else if (!options->batch && !options->batch_build && !has_phases(spec))
        rc = cli_fail(EXIT_USAGE,
                      "'%s' has a batch and no phases: run its builds with --batch, or one of them "
                      "with --batch-build: %s",
                      options->buildspec, buf_cstr(&names));
    buf_release(&names);
    return rc;
}

/* Mistakes are told before anything runs; warnings are in the build's log. */
static int check_buildspec(const struct build_options *options, const char *source,
                           const char *name, struct buildspec **out)
{
    struct buildspec_problems problems = {0};
    struct buf yaml, text;
    struct err err = {0};
    *out = NULL;
    if (read_buildspec(source, name, &yaml, &err) < 0)
        return err.code == ERR_NOT_FOUND
                   ? cli_fail(EXIT_USAGE,
                              "there is no '%s' in '%s'; --buildspec is a path below it", name,
                              options->folder)
                   : cli_fail(EXIT_USAGE, "%s", err.msg);
    int rc = buildspec_parse(out, buf_cstr(&yaml), yaml.len, &problems, &err);
    buf_init(&text, 256 * 1024);
    for (size_t i = 0; rc < 0 && i < problems.count; i++) {
        buildspec_problem_text(&problems.items[i], name, &text);
        buf_addc(&text, '\n');
    }
    fputs(buf_cstr(&text), stderr);
    if (rc < 0)
        rc = problems.count ? EXIT_USAGE : cli_fail(EXIT_USAGE, "%s", err.msg);
    buf_release(&text);
    buf_release(&yaml);
    buildspec_problems_release(&problems);
    return rc;
}

/* The one that a build of the batch names. */
static int check_named(const struct build_options *options, const char *source, const char *name)
{
    struct buildspec *spec = NULL;
    int rc = str_empty(name) ? 0 : check_buildspec(options, source, name, &spec);
    buildspec_free(spec);
    return rc;
}

/* The buildspec, and those that the builds of its batch name, each once. */
static int choose_buildspec(struct build_options *options, const char *source)
{
    struct buildspec *spec = NULL;
    struct strv seen = {0};
    int rc = options->buildspec ? check_buildspec(options, source, options->buildspec, &spec) : 0;
    if (rc == 0 && spec)
        rc = choose_build(options, spec);
    buildspec_free(spec);
    if (rc == 0 && find_build(options))
        rc = check_named(options, source, find_build(options)->buildspec);
    for (size_t i = 0; rc == 0 && options->batch && i < options->plan->n_builds; i++) {
        const char *name = options->plan->builds[i]->buildspec;
        if (strv_has(&seen, name))
            continue;
        strv_add(&seen, name);
        rc = check_named(options, source, name);
    }
    strv_release(&seen);
    return rc;
}

/* ---- the command ---- */

static int run(struct build_machine *m, const struct build_options *options,
               const struct build_facts *facts, const struct build_folder *copied, int *signo)
{
    /* Counts up by itself: the tag of an image, local-<milliseconds>, is nobody else's, also when
     * builds follow each other within a second. */
    const uint64_t release = (uint64_t)clock_now_ms();
    char *about = build_facts_text(facts, copied);
    struct build_session *session = build_session_open(m, copied, about);
    enum build_end end;
    if (options->cpu > 0 || options->memory_bytes)
        build_session_say(session, "This machine's %s", sandbox_pool_means(m->pool));
    if (options->batch) {
        end = build_batch_run(session, options, facts, release);
    } else {
        struct build_request request;
        build_request_init(&request, options, facts, find_build(options), release);
        end = build_session_run(session, &request.message, false);
        build_request_release(&request);
    }
    *signo = build_session_close(session);
    free(about);
    return end == BUILD_SUCCEEDED ? EXIT_DONE : EXIT_BAD_END;
}

/* The machine is open. */
static int build_folder(struct build_machine *m, struct build_options *options,
                        const struct build_facts *facts, int *signo)
{
    struct build_folder copied = {0};
    struct strv skip = {0};
    struct err err = {0};
    int rc = 0;
    strv_add(&skip, m->dir);
    if (build_folder_copy(facts->root, m->source, &skip, m->uid, m->gid, &copied, &err) < 0)
        rc = cli_fail(EXIT_BAD_END, "cannot copy '%s', which is to be built: %s", facts->root,
                      err.msg);
    if (rc == 0 && build_machine_start(m, options, facts->root, &err) < 0)
        rc = cli_fail(EXIT_BAD_END, "%s", err.msg);
    if (rc == 0)
        rc = choose(options, m->source);
    if (rc == 0)
        rc = choose_buildspec(options, m->source);
    if (rc == 0)
        rc = run(m, options, facts, &copied, signo);
    build_folder_release(&copied);
    strv_release(&skip);
    return rc;
}

int cmd_build(struct cli *cli, int argc, char **argv)
{
    struct build_options options = {.network = "host", .user = USER};
    struct build_machine machine = {.lock = -1, .program = -1};
    struct build_facts facts = {0};
    struct err err = {0};
    struct loop *loop = NULL;
    int signo = 0;
    int rc = take_options(cli, argc, argv, &options);
    if (rc == 0) {
        log_init("gantry", LOG_ERROR, LOG_TEXT); /* what there is to say is in the build's log */
        loop = loop_new(2);
        if (build_facts_find(&facts, loop, options.folder, &err) < 0)
            rc = cli_fail(EXIT_USAGE, "%s", err.msg);
        else if (build_machine_open(&machine, loop, &options, &err) < 0)
            rc = cli_fail(EXIT_BAD_END, "%s", err.msg);
        else
            rc = build_folder(&machine, &options, &facts, &signo);
        build_machine_close(&machine);
    } else if (rc == 1) {
        rc = EXIT_DONE; /* help */
    }
    build_facts_release(&facts);
    loop_free(loop);
    strv_release(&options.env);
    strv_release(&options.insecure);
    event_free(options.plan);
    free(options.folder);
    if (signo) { /* so that a shell's loop ends, too */
        signal(signo, SIG_DFL);
        raise(signo);
    }
    return rc;
}
