/* `gantry build`. */
#include "services/cli/build.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "buildspec/buildspec.h"
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
    if (rc == 0 && options->dockerfile && options->batch_build)
        rc = cli_usage_error(command(), "--batch-build is of a buildspec, not of a dockerfile");
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
    char *real = realpath(path, NULL);
    char *root = realpath(source, NULL);
    int rc = 0;
    if (real && root && (!str_starts(real, root) || real[strlen(root)] != '/'))
        rc = err_set(err, ERR_INVALID, "'%s' lies outside the source", name);
    else
        rc = file_read(out, real ? real : path, BUILDSPEC_SIZE_MAX, err);
    free(path);
    free(real);
    free(root);
    return rc;
}

static const struct batch_build *find_build(const struct build_options *options)
{
    for (size_t i = 0; options->batch_build && i < options->batch.count; i++) {
        if (str_eq(options->batch.builds[i].identifier, options->batch_build))
            return &options->batch.builds[i];
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

/* What is run of it: one build of its batch, or its phases. */
static int choose_build(struct build_options *options, const struct buildspec *spec)
{
    struct buf names;
    int rc = 0;
    batch_release(&options->batch);
    batch_expand(spec, &options->batch);
    buf_init(&names, 64 * 1024);
    for (size_t i = 0; i < options->batch.count; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", options->batch.builds[i].identifier);
    if (options->batch_build && !options->batch.count)
        rc = cli_fail(EXIT_USAGE, "'%s' has no batch: leave --batch-build out", options->buildspec);
    else if (options->batch_build && !find_build(options))
        rc = cli_fail(EXIT_USAGE, "the batch of '%s' has no build '%s'; it has: %s",
                      options->buildspec, options->batch_build, buf_cstr(&names));
    else if (!options->batch_build && !has_phases(spec))
        rc = cli_fail(EXIT_USAGE,
                      "'%s' has a batch and no phases: name one of its builds with --batch-build: "
                      "%s",
                      options->buildspec, buf_cstr(&names));
    buf_release(&names);
    return rc;
}

/* Mistakes are told before anything runs; warnings are in the build's log. */
static int check_buildspec(const struct build_options *options, const char *source,
                           struct buildspec **out)
{
    struct buildspec_problems problems = {0};
    struct buf yaml, text;
    struct err err = {0};
    *out = NULL;
    if (read_buildspec(source, options->buildspec, &yaml, &err) < 0)
        return err.code == ERR_NOT_FOUND
                   ? cli_fail(EXIT_USAGE,
                              "there is no '%s' in '%s'; --buildspec is a path below it",
                              options->buildspec, options->folder)
                   : cli_fail(EXIT_USAGE, "%s", err.msg);
    int rc = buildspec_parse(out, buf_cstr(&yaml), yaml.len, &problems, &err);
    buf_init(&text, 256 * 1024);
    for (size_t i = 0; rc < 0 && i < problems.count; i++) {
        buildspec_problem_text(&problems.items[i], options->buildspec, &text);
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

/* The buildspec, and the one that a build of its batch names. */
static int choose_buildspec(struct build_options *options, const char *source)
{
    struct buildspec *spec = NULL;
    int rc = options->buildspec ? check_buildspec(options, source, &spec) : 0;
    if (rc == 0 && spec)
        rc = choose_build(options, spec);
    buildspec_free(spec);
    const struct batch_build *build = rc == 0 ? find_build(options) : NULL;
    if (!build || !build->buildspec)
        return rc;
    options->buildspec = build->buildspec;
    rc = check_buildspec(options, source, &spec);
    buildspec_free(spec);
    return rc;
}

/* ---- the request, as the promoter would send it ---- */

struct request {
    Gantry__V1__ActionRequest message;
    Gantry__V1__BuildSpec spec;
    Gantry__V1__Revision revision;
    Gantry__V1__Revision *revisions[1];
    Gantry__V1__KeyValue *pairs;
    Gantry__V1__KeyValue **variables;
    Gantry__V1__KeyValue *env; /* of a build of a batch */
    Gantry__V1__KeyValue **env_list;
    char *action;
    char run_id[ID_SIZE];
};

static void set_build(struct request *r, const struct batch_build *build)
{
    r->action = mem_printf("build/%s", build->identifier);
    r->message.action = r->action;
    r->env = mem_alloc((build->env_count + 1) * sizeof(*r->env));
    r->env_list = mem_alloc((build->env_count + 1) * sizeof(Gantry__V1__KeyValue *));
    for (size_t i = 0; i < build->env_count; i++) {
        gantry__v1__key_value__init(&r->env[i]);
        r->env[i].key = build->env[i].key;
        r->env[i].value = build->env[i].value;
        r->env_list[i] = &r->env[i];
    }
    r->spec.env = r->env_list;
    r->spec.n_env = build->env_count;
}

static void request_init(struct request *r, const struct build_options *options,
                         const struct build_facts *facts)
{
    static char empty[] = "", source[] = "source", local[] = "local", action[] = "build";
    size_t count = options->env.count;
    *r = (struct request){.message = GANTRY__V1__ACTION_REQUEST__INIT,
                          .spec = GANTRY__V1__BUILD_SPEC__INIT,
                          .revision = GANTRY__V1__REVISION__INIT};
    id_random(r->run_id);
    r->revision.source = source;
    r->revision.git = facts->url;
    r->revision.ref = (char *)facts->ref;
    r->revision.commit = (char *)facts->commit;
    r->revisions[0] = &r->revision;
    r->spec.source = source;
    r->spec.buildspec = options->buildspec ? (char *)options->buildspec : empty;
    r->spec.dockerfile = options->dockerfile ? (char *)options->dockerfile : empty;
    r->spec.image = options->image ? (char *)options->image : empty;
    r->spec.cpu = options->cpu;
    r->spec.memory_bytes = options->memory_bytes;
    r->pairs = mem_alloc((count + 1) * sizeof(*r->pairs));
    r->variables = mem_alloc((count + 1) * sizeof(Gantry__V1__KeyValue *));
    for (size_t i = 0; i < count; i++) {
        const char *item = options->env.items[i];
        size_t name = strcspn(item, "=");
        gantry__v1__key_value__init(&r->pairs[i]);
        r->pairs[i].key = mem_strndup(item, name);
        r->pairs[i].value = (char *)item + name + 1;
        r->variables[i] = &r->pairs[i];
    }
    r->message.run_id = r->run_id;
    r->message.pipeline = r->message.stage = local;
    r->message.action = action;
    /* Counts up by itself: the tag of an image, local-<seconds>, is nobody else's. */
    r->message.release = (uint64_t)(clock_now_ms() / 1000);
    r->message.number = 1;
    r->message.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
    r->message.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    r->message.revisions = r->revisions;
    r->message.n_revisions = 1;
    r->message.variables = r->variables;
    r->message.n_variables = count;
    r->message.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
    r->message.build = &r->spec;
    if (find_build(options))
        set_build(r, find_build(options));
}

static void request_release(struct request *r)
{
    for (size_t i = 0; i < r->message.n_variables; i++)
        free(r->pairs[i].key);
    free(r->pairs);
    free(r->variables);
    free(r->env);
    free(r->env_list);
    free(r->action);
}

/* ---- the command ---- */

static int run(struct build_machine *m, const struct build_options *options,
               const struct build_facts *facts, const struct build_folder *copied, int *signo)
{
    struct request request;
    char *about = build_facts_text(facts, copied);
    request_init(&request, options, facts);
    enum build_end end = build_run(m, &request.message, copied, about, signo);
    request_release(&request);
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
    batch_release(&options.batch);
    free(options.folder);
    if (signo) { /* so that a shell's loop ends, too */
        signal(signo, SIG_DFL);
        raise(signo);
    }
    return rc;
}
