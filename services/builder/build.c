#include "build.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log/log.h"

#define GRACE_MS     10000
#define ATTEMPTS_MAX 3
#define COMMAND_MAX  2000

/* ---- phases ---- */

const char *phase_name(enum phase phase)
{
    static const char *const names[PHASE_COUNT] = {
        "SUBMITTED", "QUEUED",     "PROVISIONING",     "DOWNLOAD_SOURCE", "INSTALL",  "PRE_BUILD",
        "BUILD",     "POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING",      "COMPLETED"};
    return names[phase];
}

void phase_begin(struct build *build, enum phase phase)
{
    struct phase_record *record = &build->phases[phase];
    build->phase = phase;
    *record = (struct phase_record){.begun = true, .status = "", .start_ms = clock_now_ms()};
    executor_progress(build->run, phase_name(phase), "", 0);
}

void phase_end(struct build *build, const char *status, const char *context)
{
    struct phase_record *record = &build->phases[build->phase];
    if (!record->begun || record->status[0])
        return;
    record->status = status;
    record->end_ms = clock_now_ms();
    record->context = str_empty(context) ? NULL : mem_strdup(context);
}

/* ---- the end ---- */

/* Once nothing is under way that calls back. */
static void build_free(struct build *build)
{
    if (build->checkout)
        return;
    shell_free(build->shell);
    sandbox_free(build->box, NULL, NULL);
    if (build->planned)
        plan_release(&build->plan);
    buildspec_free(build->spec);
    for (size_t i = 0; i < PHASE_COUNT; i++)
        free(build->phases[i].context);
    strv_release(&build->exported);
    strv_release(&build->image.platforms);
    free(build->stop_reason);
    free(build->tag);
    free(build->image_uri);
    free(build);
}

static void detach(struct build *build)
{
    oci_call_cancel(build->image_call);
    oci_call_cancel(build->tag_call);
    build->image_call = build->tag_call = NULL;
    build->run = NULL;
    build_free(build);
}

/* What the result carries beside the outcome; freed after it was told. */
struct result {
    Gantry__V1__Finished finished;
    Gantry__V1__Artifact artifact;
    Gantry__V1__PhaseContext phases[PHASE_COUNT];
    Gantry__V1__PhaseContext *phase_list[PHASE_COUNT];
    Gantry__V1__KeyValue *pairs;
    Gantry__V1__KeyValue **pair_list;
    char command[COMMAND_MAX + 1];
};

static void add_phases(const struct build *build, struct result *r)
{
    for (size_t i = 0; i < PHASE_COUNT; i++) {
        const struct phase_record *record = &build->phases[i];
        if (!record->begun)
            continue;
        Gantry__V1__PhaseContext *p = &r->phases[r->finished.n_phases];
        gantry__v1__phase_context__init(p);
        p->name = (char *)phase_name((enum phase)i);
        p->status = (char *)record->status;
        p->start_ms = record->start_ms;
        p->end_ms = record->end_ms;
        p->context = record->context ? record->context : "";
        r->phase_list[r->finished.n_phases++] = p;
    }
    r->finished.phases = r->phase_list;
}

static void add_exported(const struct build *build, struct result *r)
{
    size_t count = build->exported.count;
    if (!count)
        return;
    r->pairs = mem_alloc(count * sizeof(*r->pairs));
    r->pair_list = mem_alloc(count * sizeof(Gantry__V1__KeyValue *));
    for (size_t i = 0; i < count; i++) {
        const char *item = build->exported.items[i];
        size_t name = strcspn(item, "=");
        gantry__v1__key_value__init(&r->pairs[i]);
        r->pairs[i].key = mem_strndup(item, name);
        r->pairs[i].value = (char *)item + name + 1;
        r->pair_list[i] = &r->pairs[i];
    }
    r->finished.exported = r->pair_list;
    r->finished.n_exported = count;
}

static void add_artifact(struct build *build, struct result *r)
{
    if (!build->image_known)
        return;
    gantry__v1__artifact__init(&r->artifact);
    r->artifact.name = build->request->action;
    r->artifact.repository = build->request->build->image;
    r->artifact.digest = build->digest;
    r->artifact.media_type = build->image.media_type;
    r->artifact.size_bytes = build->image.size_bytes;
    r->artifact.tag = build->check_tag;
    r->artifact.platforms = build->image.platforms.items;
    r->artifact.n_platforms = build->image.platforms.count;
    r->finished.image_case = GANTRY__V1__FINISHED__IMAGE_ARTIFACT;
    r->finished.artifact = &r->artifact;
}

static void finish(struct build *build, Gantry__V1__Outcome outcome, const char *reason,
                   struct result *r)
{
    r->finished.outcome = outcome;
    r->finished.reason = (char *)reason;
    add_phases(build, r);
    log_info("build ended", LOG_S("run", executor_run_id(build->run)),
             LOG_S("pipeline", build->request->pipeline), LOG_I("release", build->request->release),
             LOG_I("attempt", executor_run_attempt(build->run)), LOG_S("reason", reason));
    executor_finished(build->run, &r->finished);
    for (size_t i = 0; i < r->finished.n_exported; i++)
        free(r->pairs[i].key);
    free(r->pairs);
    free(r->pair_list);
    detach(build);
}

void build_fail(struct build *build, enum phase phase, const char *reason, const char *command,
                int code)
{
    struct result r = {.finished = GANTRY__V1__FINISHED__INIT};
    phase_end(build, "FAILED", reason);
    r.finished.phase = (char *)phase_name(phase);
    if (command) {
        /* Cut between characters. */
        size_t len = strnlen(command, COMMAND_MAX);
        while (command[len] && len && ((unsigned char)command[len] & 0xC0) == 0x80)
            len--;
        snprintf(r.command, sizeof(r.command), "%.*s", (int)len, command);
        r.finished.command = r.command;
        r.finished.exit_code = code;
    }
    finish(build, GANTRY__V1__OUTCOME__OUTCOME_FAILED, reason, &r);
}

void build_succeed(struct build *build)
{
    struct result r = {.finished = GANTRY__V1__FINISHED__INIT};
    phase_end(build, "SUCCEEDED", "");
    if (build->image_known)
        executor_mark(build->run, "Image %s@%s", build->request->build->image, build->digest);
    add_exported(build, &r);
    add_artifact(build, &r);
    finish(build, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED, "The build succeeded", &r);
}

void build_give_back(struct build *build, const struct err *err)
{
    char reason[ERR_MSG_MAX + 64];
    if (executor_run_attempt(build->run) >= ATTEMPTS_MAX) {
        snprintf(reason, sizeof(reason), "The builder could not run it: %s", err->msg);
        build_fail(build, build->phase, reason, NULL, 0);
        return;
    }
    log_warn("a build could not be run, trying again", LOG_S("run", executor_run_id(build->run)),
             LOG_E(err));
    executor_mark(build->run, "The builder could not run it and tries again: %s", err->msg);
    executor_dropped(build->run);
    detach(build);
}

static void end_stopped(struct build *build)
{
    struct result r = {.finished = GANTRY__V1__FINISHED__INIT};
    if (build->shell)
        shell_drain(build->shell);
    phase_end(build, "STOPPED", build->stop_reason);
    if (build->why == EXECUTOR_CANCEL) {
        r.finished.phase = (char *)phase_name(build->phase);
        finish(build, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, build->stop_reason, &r);
        return;
    }
    executor_dropped(build->run);
    detach(build);
}

static void on_gone(void *arg)
{
    end_stopped(arg);
}

void build_stop(struct executor_run *run, enum executor_stop why, const char *reason, void *arg)
{
    struct build *build = executor_run_data(run);
    (void)arg;
    if (!build || build->stopping)
        return;
    build->stopping = true;
    build->why = why;
    build->stop_reason = mem_strdup(str_empty(reason) ? "It was stopped" : reason);
    executor_mark(run, "Stopped: %s", build->stop_reason);
    if (build->shell)
        sandbox_stop(build->box, GRACE_MS, on_gone, build);
    else
        end_stopped(build);
}

void build_log_ready(struct executor_run *run, void *arg)
{
    struct build *build = executor_run_data(run);
    (void)arg;
    if (build && build->shell)
        shell_resume(build->shell);
}

/* ---- the beginning ---- */

static void on_source(const struct err *err, void *arg)
{
    struct build *build = arg;
    build->checkout = NULL;
    if (!build->run) {
        build_free(build);
    } else if (err && err->code != ERR_NONE) {
        executor_mark(build->run, "%s", err->msg);
        build_fail(build, PHASE_DOWNLOAD_SOURCE, err->msg, NULL, 0);
    } else {
        steps_begin(build);
    }
}

static const Gantry__V1__Revision *find_revision(const Gantry__V1__ActionRequest *request)
{
    for (size_t i = 0; i < request->n_revisions; i++) {
        if (str_eq(request->revisions[i]->source, request->build->source))
            return request->revisions[i];
    }
    return NULL;
}

static struct sandbox *take_sandbox(struct build *build, struct err *err)
{
    const struct builder_conf *conf = build->builder->conf;
    const Gantry__V1__BuildSpec *spec = build->request->build;
    const struct sandbox_limits limits = {.memory_bytes = spec->memory_bytes ? spec->memory_bytes
                                                                             : conf->memory_bytes,
                                          .cpu = spec->cpu,
                                          .processes = (uint32_t)conf->processes,
                                          .disk_bytes = conf->disk_bytes,
                                          .free_disk_bytes = conf->free_disk_bytes};
    return sandbox_take(build->builder->pool, &limits, err);
}

static void begin_source(struct build *build)
{
    struct err err = {0};
    phase_begin(build, PHASE_DOWNLOAD_SOURCE);
    build->revision = find_revision(build->request);
    if (!build->revision) {
        build_fail(build, PHASE_DOWNLOAD_SOURCE,
                   "The request has no revision of the action's source", NULL, 0);
        return;
    }
    if (build->request->build->privileged) {
        build_fail(build, PHASE_DOWNLOAD_SOURCE,
                   "'privileged: true' is not supported by the sandbox driver", NULL, 0);
        return;
    }
    if (image_begin(build, &err) < 0) {
        build_fail(build, PHASE_DOWNLOAD_SOURCE, err.msg, NULL, 0);
        return;
    }
    char *dir = mem_printf("%s/build/src", sandbox_dir(build->box));
    executor_mark(build->run, "Source %s at %s", build->revision->git, build->revision->commit);
    build->checkout = checkout_start(build->builder, build->revision, dir, on_source, build, &err);
    free(dir);
    if (!build->checkout)
        build_fail(build, PHASE_DOWNLOAD_SOURCE, err.msg, NULL, 0);
}

void build_start(struct executor_run *run, void *arg)
{
    struct builder *builder = arg;
    struct build *build = mem_alloc(sizeof(*build));
    struct err err = {0};
    build->builder = builder;
    build->run = run;
    build->request = executor_run_request(run);
    executor_run_set_data(run, build);
    log_info("build starts", LOG_S("run", executor_run_id(run)),
             LOG_S("pipeline", build->request->pipeline), LOG_I("release", build->request->release),
             LOG_I("attempt", executor_run_attempt(run)));
    phase_begin(build, PHASE_PROVISIONING);
    if (build->request->spec_case != GANTRY__V1__ACTION_REQUEST__SPEC_BUILD) {
        build_fail(build, PHASE_PROVISIONING, "The request is not for a build", NULL, 0);
        return;
    }
    build->box = take_sandbox(build, &err);
    if (!build->box) {
        build_give_back(build, &err);
        return;
    }
    phase_end(build, "SUCCEEDED", "");
    begin_source(build);
}
