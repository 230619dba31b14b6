#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "buildah/run.h"

#define VERSION "20.10.24"

struct command {
    const char *name;
    int (*run)(const char *const *argv);
};

static int fail(const char *command, const struct err *err)
{
    say("%s: %s", command, err->msg);
    return DOCKER_FAILED;
}

/* ---- build ---- */

static int write_metadata(const char *path, const char *name, const char *digest)
{
    struct err err = {0};
    char *text = mem_printf("{\"image.name\": \"%s\", \"containerimage.digest\": \"%s\"}\n", name,
                            digest ? digest : "");
    int rc = file_write(path, text, strlen(text), 0644, &err);
    free(text);
    return rc < 0 ? fail("build", &err) : 0;
}

static int push_tags(const struct build_plan *plan)
{
    int rc = 0;
    for (size_t i = 0; i < plan->tags.count && rc == 0; i++) {
        char *digest = NULL;
        const char *name = plan->tags.items[i];
        if (plan->several && i > 0) {
            struct strv tag = {0};
            strv_add(&tag, "buildah");
            strv_add(&tag, "tag");
            strv_add(&tag, plan->tags.items[0]);
            strv_add(&tag, name);
            rc = run(&tag);
            strv_release(&tag);
        }
        if (rc == 0)
            rc = plan->several ? push_list(name, NULL, &digest)
                               : push_one(name, NULL, false, &digest);
        if (rc == 0 && digest)
            printf("%s: digest: %s\n", docker_tag(name), digest);
        if (rc == 0 && plan->metadata && i == 0)
            rc = write_metadata(plan->metadata, name, digest);
        free(digest);
    }
    return rc;
}

static int build_command(const char *const *argv)
{
    struct build_plan plan = {0};
    struct err err = {0};
    char *empty = NULL;
    int rc = DOCKER_FAILED;
    if (build_plan_make(&plan, argv, &err) < 0 ||
        (plan.empty_context && !(empty = temporary(true, &err)))) {
        fail("build", &err);
        goto out;
    }
    struct strv all = {0};
    for (size_t i = 0; i < plan.argv.count; i++) {
        strv_add(&all, plan.argv.items[i]);
        if (i == 1)
            add_registry_options(&all, true);
    }
    if (empty)
        strv_add(&all, empty);
    say_all(&plan.notes);
    rc = run(&all);
    strv_release(&all);
    if (rc == 0 && plan.push)
        rc = push_tags(&plan);
out:
    temporary_remove(empty);
    build_plan_release(&plan);
    return rc;
}

/* ---- what buildah does under the same name ---- */

static int pass(const char *name, const char *verb, const struct option *table, bool registry,
                const char *const *words)
{
    struct words w = {0};
    struct err err = {0};
    struct strv argv = {0};
    if (words_parse(&w, table, words, false, &err) < 0) {
        words_release(&w);
        return fail(name, &err);
    }
    strv_add(&argv, "buildah");
    strv_add(&argv, verb);
    if (registry)
        add_registry_options(&argv, true);
    for (size_t i = 0; i < w.options.count; i++)
        strv_add(&argv, w.options.items[i]);
    for (size_t i = 0; i < w.rest.count; i++)
        strv_add(&argv, w.rest.items[i]);
    return become(&argv);
}

static int pull_command(const char *const *argv)
{
    static const struct option table[] = {{"all-tags", 'a', false, KEEP, NULL},
                                          {"authfile", 0, true, KEEP, NULL},
                                          {"creds", 0, true, KEEP, NULL},
                                          {"disable-content-trust", 0, false, DROP, NULL},
                                          {"platform", 0, true, KEEP, NULL},
                                          {"policy", 0, true, DROP, NULL},
                                          {"quiet", 'q', false, KEEP, NULL},
                                          {"tls-verify", 0, false, KEEP, NULL},
                                          {0}};
    struct strv words = {0};
    strv_add(&words, "--policy=always");
    for (; *argv; argv++)
        strv_add(&words, *argv);
    return pass("pull", "pull", table, true, (const char *const *)words.items);
}

static int tag_command(const char *const *argv)
{
    static const struct option table[] = {{0}};
    return pass("tag", "tag", table, false, argv);
}

static int rmi_command(const char *const *argv)
{
    static const struct option table[] = {{"all", 'a', false, KEEP, NULL},
                                          {"force", 'f', false, KEEP, NULL},
                                          {"no-prune", 0, false, DROP, NULL},
                                          {0}};
    return pass("rmi", "rmi", table, false, argv);
}

/* ---- login ---- */

static char *auth_file(void)
{
    const char *dir = getenv("DOCKER_CONFIG");
    const char *home = getenv("HOME");
    char *parent = str_empty(dir) ? mem_printf("%s/.docker", str_empty(home) ? "/root" : home)
                                  : mem_strdup(dir);
    (void)file_mkdirs(parent, 0700, NULL);
    char *path = mem_printf("%s/config.json", parent);
    free(parent);
    return path;
}

static int log_in_or_out(const char *verb, const char *const *words)
{
    static const struct option table[] = {
        {"all", 'a', false, KEEP, NULL},          {"password", 'p', true, KEEP, NULL},
        {"password-stdin", 0, false, KEEP, NULL}, {"tls-verify", 0, false, KEEP, NULL},
        {"username", 'u', true, KEEP, NULL},      {0}};
    struct words w = {0};
    struct err err = {0};
    struct strv argv = {0};
    if (words_parse(&w, table, words, false, &err) < 0) {
        words_release(&w);
        return fail(verb, &err);
    }
    strv_add(&argv, "buildah");
    strv_add(&argv, verb);
    if (str_eq(verb, "login"))
        add_registry_options(&argv, false);
    if (str_empty(getenv("REGISTRY_AUTH_FILE"))) {
        char *path = auth_file();
        strv_addf(&argv, "--authfile=%s", path);
        free(path);
    }
    for (size_t i = 0; i < w.options.count; i++)
        strv_add(&argv, w.options.items[i]);
    char *registry = docker_registry(w.rest.count ? w.rest.items[0] : NULL);
    if (!strv_has(&w.options, "--all"))
        strv_add(&argv, registry);
    return become(&argv);
}

static int login_command(const char *const *argv)
{
    return log_in_or_out("login", argv);
}

static int logout_command(const char *const *argv)
{
    return log_in_or_out("logout", argv);
}

/* ---- what it is ---- */

static int answer(const char *json, const char *text, const char *const *words)
{
    static const struct option table[] = {{"format", 'f', true, TAKE, NULL}, {0}};
    struct words w = {0};
    struct err err = {0};
    struct buf out;
    if (words_parse(&w, table, words, false, &err) < 0) {
        words_release(&w);
        return fail("docker", &err);
    }
    const char *format = words_get(&w, "format");
    buf_init(&out, 64 * 1024);
    int rc = 0;
    if (!format)
        buf_adds(&out, text);
    else
        rc = template_print_text(format, json, &out, &err);
    if (rc == 0)
        puts(buf_cstr(&out));
    else
        fail("docker", &err);
    buf_release(&out);
    words_release(&w);
    return rc == 0 ? 0 : 64;
}

static int version_command(const char *const *argv)
{
    return answer("{\"Client\":{\"Version\":\"" VERSION "\",\"ApiVersion\":\"1.41\"},"
                  "\"Server\":{\"Version\":\"" VERSION "\",\"ApiVersion\":\"1.41\"}}",
                  "Client: gantry-docker, image commands by buildah\n Version: " VERSION
                  "\nServer: none; there is no engine in this sandbox",
                  argv);
}

static int info_command(const char *const *argv)
{
    return answer("{\"ServerVersion\":\"" VERSION "\",\"Driver\":\"vfs\",\"OSType\":\"linux\"}",
                  "gantry-docker: image commands by buildah, no engine\n Storage Driver: vfs",
                  argv);
}

/* ---- what needs an engine ---- */

static int needs_engine(const char *name)
{
    say("%s needs an engine, and this build runs in a sandbox without one: build, push, pull, tag, "
        "login, inspect, images, save and load work here. For containers give the action "
        "`privileged: true` on a builder whose driver is docker (docs/builder.md).",
        name);
    return DOCKER_FAILED;
}

static int nothing(const char *const *argv)
{
    (void)argv;
    return 0;
}

static int image_prune(const char *const *argv)
{
    struct strv all = {0};
    (void)argv;
    strv_add(&all, "buildah");
    strv_add(&all, "rmi");
    strv_add(&all, "--prune");
    return become(&all);
}

static int find(const struct command *table, const char *group, const char *const *argv)
{
    for (; argv[0] && table->name; table++) {
        if (str_eq(table->name, argv[0]))
            return table->run(argv + 1);
    }
    char *name = mem_printf("%s%s%s", group, *group && argv[0] ? " " : "", argv[0] ? argv[0] : "");
    int rc = needs_engine(name);
    free(name);
    return rc;
}

static int image_group(const char *const *argv)
{
    static const struct command table[] = {{"build", build_command},
                                           {"inspect", inspect_command},
                                           {"list", images_command},
                                           {"load", load_command},
                                           {"ls", images_command},
                                           {"prune", image_prune},
                                           {"pull", pull_command},
                                           {"push", push_command},
                                           {"remove", rmi_command},
                                           {"rm", rmi_command},
                                           {"save", save_command},
                                           {"tag", tag_command},
                                           {0}};
    return find(table, "image", argv);
}

/* There is one builder, and it is always there. */
static int buildx_group(const char *const *argv)
{
    static const struct command table[] = {
        {"b", build_command}, {"build", build_command},     {"create", nothing},
        {"inspect", nothing}, {"install", nothing},         {"imagetools", imagetools_command},
        {"ls", nothing},      {"prune", nothing},           {"rm", nothing},
        {"use", nothing},     {"version", version_command}, {0}};
    return find(table, "buildx", argv);
}

static int builder_group(const char *const *argv)
{
    static const struct command table[] = {{"build", build_command}, {"prune", nothing}, {0}};
    return find(table, "builder", argv);
}

static int system_group(const char *const *argv)
{
    static const struct command table[] = {
        {"df", nothing}, {"info", info_command}, {"prune", nothing}, {0}};
    return find(table, "system", argv);
}

static const struct command commands[] = {{"build", build_command},
                                          {"builder", builder_group},
                                          {"buildx", buildx_group},
                                          {"image", image_group},
                                          {"images", images_command},
                                          {"info", info_command},
                                          {"inspect", inspect_command},
                                          {"load", load_command},
                                          {"login", login_command},
                                          {"logout", logout_command},
                                          {"manifest", manifest_command},
                                          {"pull", pull_command},
                                          {"push", push_command},
                                          {"rmi", rmi_command},
                                          {"save", save_command},
                                          {"system", system_group},
                                          {"tag", tag_command},
                                          {"version", version_command},
                                          {0}};

static int usage(void)
{
    puts(
        "docker: image commands without an engine, by buildah:\n"
        "  build, buildx build, push, pull, tag, login, logout, inspect, images, rmi, save, load,\n"
        "  manifest, version, info");
    return 0;
}

int docker_main(int argc, const char *const *argv)
{
    static const struct option table[] = {
        {"config", 0, true, TAKE, NULL},     {"context", 'c', true, DROP, NULL},
        {"debug", 'D', false, DROP, NULL},   {"help", 'h', false, TAKE, NULL},
        {"host", 'H', true, DROP, NULL},     {"log-level", 'l', true, DROP, NULL},
        {"version", 'v', false, TAKE, NULL}, {0}};
    struct words w = {0};
    struct err err = {0};
    int rc;
    (void)argc;
    if (words_parse(&w, table, argv + 1, true, &err) < 0) {
        words_release(&w);
        return fail("docker", &err);
    }
    if (words_get(&w, "config"))
        setenv("DOCKER_CONFIG", words_get(&w, "config"), 1);
    if (words_get(&w, "version")) {
        puts("Docker version " VERSION ", build gantry");
        rc = 0;
    } else if (words_get(&w, "help") || w.rest.count == 0) {
        rc = usage();
    } else {
        rc = find(commands, "", (const char *const *)w.rest.items);
    }
    words_release(&w);
    return rc;
}
