#include "base/mem.h"
#include "builder.h"
#include "log/log.h"

/* What a run has, until its build ended. */
struct hosted {
    struct builder *builder;
    struct executor_run *run;
    struct build *build;
};

static bool on_log(void *hosted, const char *data, size_t len)
{
    return executor_log(((struct hosted *)hosted)->run, data, len);
}

static void on_mark(void *hosted, const char *line)
{
    executor_mark(((struct hosted *)hosted)->run, "%s", line);
}

static void on_progress(void *hosted, const char *phase)
{
    executor_progress(((struct hosted *)hosted)->run, phase, "", 0);
}

/* Its run. */
static struct executor_run *release(struct hosted *hosted)
{
    struct executor_run *run = hosted->run;
    executor_run_set_data(run, NULL);
    free(hosted);
    return run;
}

static void on_finished(void *arg, const Gantry__V1__Finished *finished)
{
    struct builder *builder = ((struct hosted *)arg)->builder;
    struct executor_run *run = release(arg);
    const Gantry__V1__ActionRequest *request = executor_run_request(run);
    usage_count(&builder->usage, finished);
    log_info("build ended", LOG_S("run", executor_run_id(run)),
             LOG_S("pipeline", request->pipeline), LOG_I("release", request->release),
             LOG_I("attempt", executor_run_attempt(run)), LOG_S("reason", finished->reason));
    executor_finished(run, finished);
}

static void on_dropped(void *arg, const struct err *why)
{
    struct executor_run *run = release(arg);
    if (why)
        log_warn("a build could not be run, trying again", LOG_S("run", executor_run_id(run)),
                 LOG_E(why));
    executor_dropped(run);
}

static const struct build_host_ops ops = {.log = on_log,
                                          .mark = on_mark,
                                          .progress = on_progress,
                                          .finished = on_finished,
                                          .dropped = on_dropped};

void host_start(struct executor_run *run, void *arg)
{
    struct builder *builder = arg;
    struct hosted *hosted = mem_alloc(sizeof(*hosted));
    const Gantry__V1__ActionRequest *request = executor_run_request(run);
    const struct build_host host = {.ops = &ops,
                                    .data = hosted,
                                    .request = request,
                                    .run_id = executor_run_id(run),
                                    .attempt = executor_run_attempt(run),
                                    .asked_ms = executor_run_asked_ms(run),
                                    .started_ms = executor_run_started_ms(run)};
    log_info("build starts", LOG_S("run", host.run_id), LOG_S("pipeline", request->pipeline),
             LOG_I("release", request->release), LOG_I("attempt", host.attempt));
    *hosted =
        (struct hosted){.builder = builder, .run = run, .build = build_new(&builder->env, &host)};
    executor_run_set_data(run, hosted);
    build_begin(hosted->build);
}

void host_stop(struct executor_run *run, enum executor_stop why, const char *reason, void *arg)
{
    struct hosted *hosted = executor_run_data(run);
    (void)arg;
    if (hosted)
        build_stop(hosted->build, why == EXECUTOR_CANCEL ? BUILD_CANCEL : BUILD_HANDBACK, reason);
}

void host_log_ready(struct executor_run *run, void *arg)
{
    struct hosted *hosted = executor_run_data(run);
    (void)arg;
    if (hosted)
        build_resume(hosted->build);
}
