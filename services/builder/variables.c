#include <stdio.h>

#include "base/id.h"
#include "base/mem.h"
#include "build.h"

/* In `env` or after it: a later one of the same name replaces. */
static void set(struct strv *env, const char *name, const char *value)
{
    size_t len = strlen(name);
    char *text = mem_printf("%s=%s", name, value);
    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=') {
            free(env->items[i]);
            env->items[i] = text;
            return;
        }
    }
    strv_add(env, text);
    free(text);
}

static void set_number(struct strv *env, const char *name, uint64_t value)
{
    char text[21];
    set(env, name, id_num(text, value));
}

static void set_all(struct strv *env, Gantry__V1__KeyValue *const *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* Those of earlier actions (actions.<action>.<NAME>) are for templates. */
        if (buildspec_is_variable(pairs[i]->key))
            set(env, pairs[i]->key, pairs[i]->value);
    }
}

static void set_source(struct strv *env, const Gantry__V1__Revision *revision)
{
    char name[128];
    snprintf(name, sizeof(name), "CODEBUILD_SRC_DIR_%.80s", revision->source);
    for (char *p = name; *p; p++) {
        if (*p == '-')
            *p = '_';
    }
    set(env, name, SANDBOX_SRC);
    set(env, "CODEBUILD_SRC_DIR", SANDBOX_SRC);
    set(env, "CODEBUILD_RESOLVED_SOURCE_VERSION", revision->commit);
    set(env, "CODEBUILD_SOURCE_VERSION", revision->commit);
    set(env, "CODEBUILD_SOURCE_REPO_URL", revision->git);
    if (!str_empty(revision->ref)) {
        const char *branch = "refs/heads/", *tag = "refs/tags/";
        char *trigger = NULL;
        set(env, "CODEBUILD_WEBHOOK_HEAD_REF", revision->ref);
        if (str_starts(revision->ref, branch))
            trigger = mem_printf("branch/%s", revision->ref + strlen(branch));
        else if (str_starts(revision->ref, tag))
            trigger = mem_printf("tag/%s", revision->ref + strlen(tag));
        if (trigger)
            set(env, "CODEBUILD_WEBHOOK_TRIGGER", trigger);
        free(trigger);
    }
    set(env, "GANTRY_REVISION", revision->commit);
}

static void set_codebuild(const struct build *build, struct strv *env)
{
    const Gantry__V1__ActionRequest *req = build->request;
    const char *run_id = executor_run_id(build->run);
    char *id = mem_printf("%s:%s", req->pipeline, run_id);
    char *arn = mem_printf("arn:gantry:codebuild:::build/%s", id);
    char *initiator = mem_printf("gantry/%s", req->pipeline);
    set(env, "CODEBUILD_BUILD_ID", id);
    set(env, "CODEBUILD_BUILD_ARN", arn);
    set_number(env, "CODEBUILD_BUILD_NUMBER", req->release);
    set(env, "CODEBUILD_BUILD_IMAGE", "gantry/sandbox");
    set(env, "CODEBUILD_BUILD_SUCCEEDING", "1");
    set(env, "CODEBUILD_INITIATOR", initiator);
    set(env, "CODEBUILD_LOG_PATH", run_id);
    set_number(env, "CODEBUILD_START_TIME", (uint64_t)executor_run_started_ms(build->run));
    free(id);
    free(arn);
    free(initiator);
}

static void set_gantry(const struct build *build, struct strv *env)
{
    const Gantry__V1__ActionRequest *req = build->request;
    set(env, "GANTRY_PIPELINE", req->pipeline);
    set_number(env, "GANTRY_RELEASE", req->release);
    set(env, "GANTRY_STAGE", req->stage);
    set(env, "GANTRY_ACTION", req->action);
    set(env, "GANTRY_RUN_ID", executor_run_id(build->run));
    if (build->image_uri)
        set(env, "GANTRY_IMAGE", build->image_uri);
}

void variables_add(const struct build *build, struct strv *env)
{
    const Gantry__V1__ActionRequest *req = build->request;
    static const char *const base[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=" SANDBOX_HOME,
        "USER=root",
        "LANG=C.UTF-8",
        /* Image tools are root of a user namespace already, and find no engine. */
        "_CONTAINERS_USERNS_CONFIGURED=1",
        "BUILDAH_ISOLATION=chroot",
        "STORAGE_DRIVER=vfs",
        "CONTAINERS_STORAGE_CONF=" SANDBOX_SHARED "/storage.conf",
        "CONTAINERS_REGISTRIES_CONF=" SANDBOX_SHARED "/registries.conf",
    };
    for (size_t i = 0; i < sizeof(base) / sizeof(*base); i++)
        strv_add(env, base[i]);
    for (size_t i = 0; i < build->spec->variable_count; i++)
        set(env, build->spec->variables[i].key, build->spec->variables[i].value);
    set_all(env, req->build->env, req->build->n_env);
    set_all(env, req->variables, req->n_variables);
    set_codebuild(build, env);
    set_source(env, build->revision);
    set_gantry(build, env);
}
