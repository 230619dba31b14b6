#include "build/build.h"

#include <stdarg.h>
#include <stdio.h>

#include "attest/attest.h"
#include "base/clock.h"
#include "base/mem.h"
#include "build/internal.h"

#define GRACE_MS     10000
#define ATTEMPTS_MAX 3
#define MARK_MAX     1024

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
    build->host.ops->progress(build->host.data, phase_name(phase));
}

void phase_end(struct build *build, const char *status, const char *context)
{
    struct phase_record *record = &build->phases[build->phase];
    build_flush(build);
    if (!record->begun || record->status[0])
        return;
    record->status = status;
    record->end_ms = clock_now_ms();
    record->context = str_empty(context) ? NULL : build_masked(build, context);
}

/* One that this process did not see, or that takes no time. */
static void phase_note(struct build *build, enum phase phase, int64_t start_ms, int64_t end_ms)
{
    build->phases[phase] = (struct phase_record){
        .begun = true, .status = "SUCCEEDED", .start_ms = start_ms, .end_ms = end_ms};
}

static void note_queue(struct build *build)
{
    const int64_t started_ms = build->host.started_ms;
    int64_t asked_ms = build->host.asked_ms;
    if (!asked_ms || asked_ms > started_ms) /* another machine's clock */
        asked_ms = started_ms;
    phase_note(build, PHASE_SUBMITTED, asked_ms, asked_ms);
    phase_note(build, PHASE_QUEUED, asked_ms, started_ms);
}

void phase_completed(struct build *build)
{
    const int64_t now_ms = clock_now_ms();
    phase_note(build, PHASE_COMPLETED, now_ms, now_ms);
}

void build_mark(struct build *build, const char *fmt, ...)
{
    char line[MARK_MAX];
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    /* Before it is cut: what is left of a secret would not be found. */
    char *masked = build_masked(build, n < 0 ? fmt : text);
    snprintf(line, sizeof(line), "%s", masked);
    free(masked);
    if (n >= 0)
        mem_wipe(text, (size_t)n);
    free(text);
    build_flush(build);
    build->host.ops->mark(build->host.data, line);
    log_file_mark(build->log_file, line);
}

bool build_put(struct build *build, const char *data, size_t len)
{
    log_file_add(build->log_file, data, len);
    return build->host.ops->log(build->host.data, data, len);
}

/* ---- the end ---- */

/* Once nothing is under way that calls back. */
static void build_free(struct build *build)
{
    if (build->fetching || build->working)
        return;
    log_file_free(build);
    keep_free(build);
    cache_free(build);
    reports_free(build);
    values_free(build->values);
    if (build->place)
        build->place->ops->free(build->place);
    build_secrets_free(build);
    git_login_release(&build->login);
    if (build->planned)
        plan_release(&build->plan);
    strv_release(&build->texts);
    strv_release(&build->users);
    free(build->failure.reason);
    free(build->failure.command);
    free(build->reason);
    free(build->command);
    buildspec_free(build->spec);
    batch_plan_free(build->batch);
    for (size_t i = 0; i < PHASE_COUNT; i++)
        free(build->phases[i].context);
    strv_release(&build->exported);
    strv_release(&build->image.platforms);
    attest_key_free(build->key);
    free(build->stop_reason);
    free(build->tag);
    free(build->image_uri);
    free(build);
}

void build_detach(struct build *build)
{
    image_cancel(build);
    build->ended = build->halt = true;
    build_secrets_cancel(build);
    keep_cancel(build);
    cache_cancel(build);
    log_file_cancel(build);
    if (build->checkout && checkout_cancel(build->checkout))
        build->fetching = false;
    build->checkout = NULL;
    build_free(build);
}

/* ---- work ---- */

struct job {
    struct build *build;
    void (*work)(struct build *build);
    void (*done)(struct build *build);
};

static void job_work(void *arg)
{
    struct job *job = arg;
    job->work(job->build);
}

static void job_done(void *arg)
{
    struct job job = *(struct job *)arg;
    free(arg);
    job.build->working--;
    if (job.build->ended)
        build_free(job.build);
    else
        job.done(job.build);
}

void build_work(struct build *build, void (*work)(struct build *build),
                void (*done)(struct build *build))
{
    struct job *job = mem_alloc(sizeof(*job));
    *job = (struct job){.build = build, .work = work, .done = done};
    build->working++;
    loop_work(build->env->loop, job_work, job_done, job);
}

/* ---- given back, stopped ---- */

static void drop(struct build *build, const struct err *why)
{
    struct err masked;
    build_flush(build);
    if (why) {
        char *text = build_masked(build, why->msg);
        masked = *why;
        snprintf(masked.msg, sizeof(masked.msg), "%s", text);
        free(text);
    }
    build->host.ops->dropped(build->host.data, why ? &masked : NULL);
    build_detach(build);
}

void build_give_back(struct build *build, const struct err *err)
{
    char reason[ERR_MSG_MAX + 64];
    if (err->code == ERR_INVALID) {
        build_mark(build, "%s", err->msg);
        build_fail(build, build->phase, err->msg, NULL, 0);
        return;
    }
    if (build->host.attempt >= ATTEMPTS_MAX) {
        snprintf(reason, sizeof(reason), "The builder could not run it: %s", err->msg);
        build_fail(build, build->phase, reason, NULL, 0);
        return;
    }
    build_mark(build, "The builder could not run it and tries again: %s", err->msg);
    drop(build, err);
}

static void on_gone(void *arg)
{
    struct build *build = arg;
    if (build->opened)
        build->place->ops->drain(build->place);
    if (build->why == BUILD_CANCEL)
        build_stopped(build);
    else
        drop(build, NULL);
}

void build_stop(struct build *build, enum build_stop why, const char *reason)
{
    if (build->stopping || build->ended)
        return;
    if (build->decided) {
        result_tell(build); /* only the whole log was waited for */
        return;
    }
    build->stopping = build->halt = true;
    build->why = why;
    build->stop_reason = build_masked(build, str_empty(reason) ? "It was stopped" : reason);
    build_mark(build, "Stopped: %s", build->stop_reason);
    if (build->opened)
        build->place->ops->stop(build->place, GRACE_MS, on_gone, build);
    else
        on_gone(build);
}

void build_resume(struct build *build)
{
    if (build->opened)
        build->place->ops->resume(build->place);
}

/* ---- the beginning ---- */

static void on_source(const struct err *err, void *arg)
{
    struct build *build = arg;
    build->fetching = false;
    build->checkout = NULL;
    if (build->ended) {
        build_free(build);
    } else if (build->decided) {
        return; /* only the whole log is waited for */
    } else if (err && err->code != ERR_NONE) {
        build_mark(build, "%s", err->msg);
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

static int take_place(struct build *build, struct err *err)
{
    const Gantry__V1__BuildSpec *spec = build->request->build;
    struct build_driver *driver = build->env->driver;
    struct build_wish wish = {.limits = build->env->limits,
                              .request = build->request,
                              .run_id = build->host.run_id,
                              .attempt = build->host.attempt};
    if (spec->memory_bytes)
        wish.limits.memory_bytes = spec->memory_bytes;
    wish.limits.cpu = spec->cpu;
    if (batch_wish(build, &wish, err) < 0)
        return -1;
    if ((!str_empty(spec->service_account) || spec->n_node_selector) &&
        !str_eq(driver->ops->name, "kubernetes"))
        return err_set(err, ERR_INVALID,
                       "'kubernetes:' is for builders whose driver is kubernetes; this one's is %s",
                       driver->ops->name);
    return driver->ops->take(driver, &wish, &build->place, err);
}

static int fetch_source(struct build *build, struct err *err)
{
    const struct build_host *host = &build->host;
    char *dir = mem_printf("%s/build/src", build->place->dir);
    int rc;
    if (host->ops->source) {
        rc = host->ops->source(host->data, dir, on_source, build, err);
    } else {
        build_mark(build, "Source %s at %s", build->revision->git, build->revision->commit);
        build->checkout =
            checkout_start(build->env->sources, build->revision, dir, on_source, build, err);
        rc = build->checkout ? 0 : -1;
    }
    build->fetching = rc == 0;
    free(dir);
    return rc;
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
    if (!build->request->build->batch && image_begin(build, &err) < 0) {
        build_fail(build, PHASE_DOWNLOAD_SOURCE, err.msg, NULL, 0);
        return;
    }
    if (fetch_source(build, &err) < 0)
        build_fail(build, PHASE_DOWNLOAD_SOURCE, err.msg, NULL, 0);
}

struct build *build_new(const struct build_env *env, const struct build_host *host)
{
    struct build *build = mem_alloc(sizeof(*build));
    build->env = env;
    build->host = *host;
    build->request = host->request;
    return build;
}

void build_begin(struct build *build)
{
    struct err err = {0};
    build->begun_ms = clock_mono_ms();
    note_queue(build);
    phase_begin(build, PHASE_PROVISIONING);
    if (build->request->spec_case != GANTRY__V1__ACTION_REQUEST__SPEC_BUILD) {
        build_fail(build, PHASE_PROVISIONING, "The request is not for a build", NULL, 0);
        return;
    }
    if (take_place(build, &err) < 0) {
        if (err.code == ERR_INVALID)
            build_fail(build, PHASE_PROVISIONING, err.msg, NULL, 0);
        else
            build_give_back(build, &err);
        return;
    }
    log_file_open(build);
    batch_tell_left_out(build);
    phase_end(build, "SUCCEEDED", "");
    begin_source(build);
}
