#include "base/mem.h"
#include "build.h"

#define GRACE_MS 10000

static void advance(struct build *build);

static enum phase phase_of(enum buildspec_phase_name name)
{
    return (enum phase)(PHASE_INSTALL + (int)name);
}

static bool on_output(struct shell *shell, const char *data, size_t len, void *arg)
{
    struct build *build = arg;
    (void)shell;
    return executor_log(build->run, data, len);
}

static void take_exported(struct build *build)
{
    struct strv all = {0};
    struct err err = {0};
    if (shell_exported(build->shell, &all, &err) < 0)
        executor_mark(build->run, "The exported variables cannot be read: %s", err.msg);
    for (size_t i = 0; i < all.count; i++) {
        const char *item = all.items[i];
        if (str_is_utf8(item, strlen(item)) && strlen(item) <= 8192)
            strv_add(&build->exported, item);
        else
            executor_mark(build->run, "The variable %.*s is not exported: %s",
                          (int)strcspn(item, "="), item, "it must be UTF-8 text of at most 8 KiB");
    }
    strv_release(&all);
}

/* All commands have run. */
static void after_commands(struct build *build)
{
    if (build->plan.failed) {
        const struct plan *plan = &build->plan;
        char reason[256];
        snprintf(reason, sizeof(reason), "A command of %s ended with exit status %d",
                 phase_name(phase_of(plan->failed_phase)), plan->failed_code);
        build_fail(build, phase_of(plan->failed_phase), reason,
                   plan->texts.items[plan->failed_index], plan->failed_code);
    } else if (build->image_uri) {
        image_find(build);
    } else {
        build_succeed(build);
    }
}

static void on_exported(struct build *build, const struct shell_exit *result)
{
    build->exporting = false;
    if (result->err.code != ERR_NONE) {
        build_give_back(build, &result->err);
        return;
    }
    take_exported(build);
    after_commands(build);
}

static void on_done(struct shell *shell, const struct shell_exit *result, void *arg)
{
    struct build *build = arg;
    (void)shell;
    if (build->stopping)
        return;
    if (build->exporting) {
        on_exported(build, result);
        return;
    }
    if (result->err.code != ERR_NONE) {
        build_give_back(build, &result->err);
        return;
    }
    const char *text = build->plan.texts.items[build->plan.next];
    if (result->limit) {
        executor_mark(build->run, "%s", result->limit);
        build_fail(build, phase_of(build->plan.phase), result->limit, text, result->code);
        return;
    }
    plan_ended(&build->plan, result->code);
    if (result->code != 0)
        executor_mark(build->run, "Command did not exit successfully: %.200s exit status %d", text,
                      result->code);
    advance(build);
}

static void take_step(struct build *build, const struct plan_step *step)
{
    const char *name = phase_name(phase_of(step->phase));
    switch (step->kind) {
    case PLAN_PHASE_BEGIN:
        executor_mark(build->run, "Entering phase %s", name);
        phase_begin(build, phase_of(step->phase));
        break;
    case PLAN_PHASE_RETRY:
        executor_mark(build->run, "Phase %s is tried again: %s", name, step->message);
        break;
    case PLAN_PHASE_END:
        executor_mark(build->run, "Phase complete: %s %s", name,
                      step->failed ? "FAILED" : "SUCCEEDED");
        phase_end(build, step->failed ? "FAILED" : "SUCCEEDED", step->message);
        break;
    default:
        break;
    }
}

/* Up to the next command, or the end. */
static void advance(struct build *build)
{
    struct plan_step step;
    for (;;) {
        plan_next(&build->plan, &step);
        if (step.kind == PLAN_COMMAND) {
            executor_mark(build->run, "Running command %.400s",
                          build->plan.texts.items[step.index]);
            shell_run(build->shell, step.index, step.succeeding);
            return;
        }
        if (step.kind == PLAN_DONE)
            break;
        take_step(build, &step);
    }
    if (!build->plan.failed && (build->spec->exported.count || build->image_uri)) {
        build->exporting = true;
        shell_export(build->shell);
        return;
    }
    after_commands(build);
}

static int open_shell(struct build *build, struct err *err)
{
    struct strv env = {0};
    struct strv names = {0};
    variables_add(build, &env);
    for (size_t i = 0; i < build->spec->exported.count; i++)
        strv_add(&names, build->spec->exported.items[i]);
    if (build->image_uri && !strv_has(&names, IMAGE_DIGEST_VARIABLE))
        strv_add(&names, IMAGE_DIGEST_VARIABLE);
    const struct shell_conf conf = {.program = str_eq(build->spec->shell, "bash") ? "/bin/bash"
                                                                                  : "/bin/sh",
                                    .env = &env,
                                    .dir = SANDBOX_SRC,
                                    .texts = &build->plan.texts,
                                    .export = &names,
                                    .on_output = on_output,
                                    .on_done = on_done,
                                    .arg = build};
    int rc = shell_new(&build->shell, build->builder->svc->loop, build->box, &conf, err);
    strv_release(&env);
    strv_release(&names);
    return rc;
}

void steps_begin(struct build *build)
{
    struct err err = {0};
    if (spec_load(build, &err) < 0) {
        build_fail(build, PHASE_DOWNLOAD_SOURCE, err.msg, NULL, 0);
        return;
    }
    phase_end(build, "SUCCEEDED", "");
    plan_init(&build->plan, build->spec);
    build->planned = true;
    if (open_shell(build, &err) < 0) {
        build_give_back(build, &err);
        return;
    }
    advance(build);
}
