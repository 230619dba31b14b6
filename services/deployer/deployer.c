#include "services/deployer/deployer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "gantry/v1/request.pb-c.h"
#include "log/log.h"

#define SLOTS_MAX 1000

static const struct conf_item items[] = {
    {"name", CONF_STR, offsetof(struct deployer_conf, name), "default",
     "which environments it serves: those whose `deployer` is this", 0},
    {"commands", CONF_YAML, offsetof(struct deployer_conf, commands), NULL,
     "what the driver `command` may run: {NAME: {argv: [...], env: {K: V}, timeout: 15m}}", 0},
    {"state-dir", CONF_STR, offsetof(struct deployer_conf, state_dir), NULL,
     "fences; <common.state-dir>/deployer where not given", 0},
    {"slots", CONF_INT, offsetof(struct deployer_conf, slots), "32", "deploys at once", 0},
    {0},
};

static bool mine(const Gantry__V1__ActionRequest *request, void *arg)
{
    const struct deployer *app = arg;

    /* A cancel names no environment; for a run that is not here it changes nothing. */
    return !request->deploy || str_eq(request->deploy->deployer, app->conf.name);
}

static void start_run(struct executor_run *run, void *arg)
{
    struct deployer *app = arg;
    const Gantry__V1__ActionRequest *request = executor_run_request(run);
    char reason[160];

    if (request->deploy && str_eq(request->deploy->driver, "command")) {
        command_start(app, run);
        return;
    }
    snprintf(reason, sizeof reason, "this deployer has no driver '%.63s'; it has command",
             request->deploy ? request->deploy->driver : "");
    executor_failed(run, "DEPLOY", reason);
}

static void stop_run(struct executor_run *run, enum executor_stop why, const char *reason,
                     void *arg)
{
    (void)reason;
    (void)arg;
    command_stop(run, why);
}

static void log_ready(struct executor_run *run, void *arg)
{
    (void)arg;
    command_log_ready(run);
}

static void on_full(bool full, const char *reason, void *arg)
{
    struct deployer *app = arg;

    svc_note(app->svc, "queue", full ? reason : NULL);
}

static int make_fences(struct deployer *app, struct err *err)
{
    app->fences = str_empty(app->conf.state_dir)
                      ? mem_printf("%s/deployer/fences", app->svc->conf.state_dir)
                      : mem_printf("%s/fences", app->conf.state_dir);
    return file_mkdirs(app->fences, 0700, err);
}

static int start(struct svc *svc, struct err *err)
{
    struct deployer *app = svc->app;
    char group[TOPIC_FULL_NAME_MAX];
    const struct executor_handler handler = {.mine = mine,
                                             .start = start_run,
                                             .stop = stop_run,
                                             .log_ready = log_ready,
                                             .full = on_full,
                                             .arg = app};
    struct executor_conf conf = {.requests = TOPIC_REQUEST_DEPLOY,
                                 .results = TOPIC_RESULT_DEPLOY,
                                 .group = group,
                                 .instance = svc->conf.instance_id,
                                 .partitions = (int32_t)svc->conf.partitions,
                                 .metrics = svc->metrics};

    app->svc = svc;
    if (!str_is_name(app->conf.name))
        return err_set(err, ERR_INVALID, "deployer.name: '%s' is no name ([a-z0-9][a-z0-9-]{0,62})",
                       app->conf.name);
    if (app->conf.slots < 1 || app->conf.slots > SLOTS_MAX)
        return err_set(err, ERR_INVALID, "deployer.slots must be 1 to %d", SLOTS_MAX);
    conf.slots = (unsigned)app->conf.slots;
    /* A group of its own for each name: every deployer sees every request and takes what names it.
     */
    snprintf(group, sizeof group, "%.120s.deployer.%s", svc->conf.topic_prefix, app->conf.name);
    if (commands_parse(&app->commands, app->conf.commands, err) < 0 || make_fences(app, err) < 0)
        return -1;
    if (commands_count(app->commands) == 0)
        svc_note(svc, "commands",
                 "none are set (deployer.commands): deploys by driver command will fail");
    return executor_new(&app->executor, svc->loop, svc->bus, &conf, &handler, err);
}

static void on_stopped(void *arg)
{
    struct deployer *app = arg;

    svc_stopped(app->svc);
}

static void stop(struct svc *svc)
{
    struct deployer *app = svc->app;

    executor_stop(app->executor, on_stopped, app);
}

static void release(struct svc *svc)
{
    struct deployer *app = svc->app;

    executor_free(app->executor);
    commands_free(app->commands);
    free(app->fences);
}

int deployer_main(int argc, char **argv)
{
    struct deployer app = {0};
    const struct svc_def def = {
        .name = "deployer",
        .summary = "puts a digest into an environment and says whether it runs there",
        .port = 8084,
        .items = items,
        .conf = &app.conf,
        .app = &app,
        .start = start,
        .stop = stop,
        .release = release,
    };

    return svc_run(argc, argv, &def);
}
