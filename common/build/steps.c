#include <stdio.h>

#include "base/mem.h"
#include "build/internal.h"

static void advance(struct build *build);

static enum phase phase_of(enum buildspec_phase_name name)
{
    return (enum phase)(PHASE_INSTALL + (int)name);
}

static bool on_output(const char *data, size_t len, void *arg)
{
    return build_log(arg, data, len);
}

static void tell_status(struct build *build, const char *command, int code)
{
    char *text = build_masked(build, command);
    build_mark(build, "Command did not exit successfully: %.200s exit status %d", text, code);
    free(text);
}

/* Nothing ran, so no rule of a failed command applies: the build is at its end. */
static void refuse_user(struct build *build, const char *why)
{
    const struct buildspec *spec = build->spec;
    const struct buildspec_phase *phase = &spec->phases[build->plan.phase];
    char *reason = mem_printf(
        "%s:%d: run-as: the commands of %s can't run as '%s': %s", build->request->build->buildspec,
        phase->run_as ? phase->run_as_line : spec->lines.run_as,
        phase_name(phase_of(build->plan.phase)), buildspec_run_as(spec, build->plan.phase), why);
    build_mark(build, "%s", reason);
    build_fail(build, phase_of(build->plan.phase), reason, NULL, 0);
    free(reason);
}

static void on_command(struct build *build, const struct build_exit *result)
{
    const char *text = build->plan.texts.items[build->plan.next];
    if (result->err.code != ERR_NONE) {
        build_give_back(build, &result->err);
        return;
    }
    const char *why = result->limit ? result->limit : result->failed;
    if (why) {
        build_mark(build, "%s", why);
        build_fail(build, phase_of(build->plan.phase), why, text, result->code);
        return;
    }
    if (result->refused) {
        refuse_user(build, result->refused);
        return;
    }
    plan_ended(&build->plan, result->code);
    if (result->code != 0)
        tell_status(build, text, result->code);
    advance(build);
}

static void on_done(const struct build_exit *result, void *arg)
{
    struct build *build = arg;
    void (*answered)(struct build *, const struct build_exit *) = build->answered;
    if (build->stopping || !answered)
        return;
    build->answered = NULL;
    answered(build, result);
}

/* True: the build goes on when it is asked to. */
static bool take_step(struct build *build, const struct plan_step *step)
{
    const char *name = phase_name(phase_of(step->phase));
    switch (step->kind) {
    case PLAN_PHASE_BEGIN:
        build_mark(build, "Entering phase %s", name);
        phase_begin(build, phase_of(step->phase));
        if (step->phase == BUILDSPEC_INSTALL && build->runtimes_wanted) {
            runtimes_tell(build, advance);
            return true;
        }
        break;
    case PLAN_PHASE_RETRY:
        build_mark(build, "Phase %s is tried again: %s", name, step->message);
        break;
    case PLAN_PHASE_END:
        build_mark(build, "Phase complete: %s %s", name, step->failed ? "FAILED" : "SUCCEEDED");
        phase_end(build, step->failed ? "FAILED" : "SUCCEEDED", step->message);
        break;
    default:
        break;
    }
    return false;
}

/* Up to the next command, or the end. */
static void advance(struct build *build)
{
    struct plan_step step;
    if (build->phase == PHASE_DOWNLOAD_SOURCE)
        phase_end(build, "SUCCEEDED", "");
    for (;;) {
        plan_next(&build->plan, &step);
        if (step.kind == PLAN_COMMAND) {
            build_mark(build, "Running command %s", build->plan.texts.items[step.index]);
            build->answered = on_command;
            build->place->ops->run(build->place, step.index, step.succeeding);
            return;
        }
        if (step.kind == PLAN_DONE)
            break;
        if (take_step(build, &step))
            return;
    }
    after_begin(build);
}

static int open_place(struct build *build, struct err *err)
{
    struct strv env = {0};
    struct strv names = {0};
    build->place->ops->base_env(build->place, &env);
    variables_add(build, &env);
    for (size_t i = 0; i < build->spec->exported.count; i++) {
        const char *name = build->spec->exported.items[i];
        if (!login_is_variable(name))
            strv_add(&names, name);
    }
    if (build->image_uri && !strv_has(&names, IMAGE_DIGEST_VARIABLE))
        strv_add(&names, IMAGE_DIGEST_VARIABLE);
    const struct build_image image = {.dockerfile = spec_dockerfile(build),
                                      .name = build->image_uri,
                                      .digest_file = "build/" IMAGE_DIGEST_FILE};
    const struct build_script script = {.program = str_eq(build->spec->shell, "bash") ? "/bin/bash"
                                                                                      : "/bin/sh",
                                        .env = &env,
                                        .texts = &build->texts,
                                        .users = &build->users,
                                        .export = &names,
                                        .separate = build->plan.separate_shells,
                                        .image = build->place->ops->images ? &image : NULL,
                                        .output = on_output,
                                        .done = on_done,
                                        .arg = build};
    int rc = build->place->ops->open(build->place, &script, err);
    build->opened = rc == 0;
    build_secrets_forget(build, &env);
    strv_release(&names);
    return rc;
}

/* ---- before the commands: the cache, and the place where they run ---- */

static void open_and_advance(struct build *build)
{
    struct err err = {0};
    if (open_place(build, &err) < 0)
        build_give_back(build, &err);
    else
        advance(build);
}

static void on_values(struct build *build, const struct err *err)
{
    if (err) {
        build_mark(build, "%s", err->msg);
        build_fail(build, PHASE_DOWNLOAD_SOURCE, err->msg, NULL, 0);
    } else {
        cache_restore(build, advance);
    }
}

/* A cache's key with a $ in it is known once a shell is there. */
static void begin_commands(struct build *build)
{
    struct err err = {0};
    if (!values_wanted(build, VALUES_BEFORE))
        cache_restore(build, open_and_advance);
    else if (open_place(build, &err) < 0)
        build_give_back(build, &err);
    else
        values_ask(build, VALUES_BEFORE, on_values);
}

static void on_secrets(struct build *build)
{
    plan_init(&build->plan, build->spec);
    build->planned = true;
    for (size_t i = 0; i < build->plan.texts.count; i++) {
        strv_add(&build->texts, build->plan.texts.items[i]);
        strv_add(&build->users, build->plan.users.items[i]);
    }
    values_prepare(build);
    runtimes_prepare(build);
    layers_take(build);
    begin_commands(build);
}

void steps_begin(struct build *build)
{
    struct err err = {0};
    if (spec_load(build, &err) < 0)
        build_fail(build, PHASE_DOWNLOAD_SOURCE, err.msg, NULL, 0);
    else if (build->request->build->batch)
        batch_answer(build);
    else
        build_secrets_get(build, on_secrets);
}
