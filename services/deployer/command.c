/* One run of a program: its argv stands in this service's own settings alone. It gets GANTRY_* in
 * its environment, the whole request as JSON on standard input, and nothing of this service's
 * environment; its output is the run's log and its exit code the outcome. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "log/log.h"
#include "loop/child.h"
#include "services/deployer/deployer.h"

#define PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct command_run {
    struct deployer *app;
    struct executor_run *run;
    const struct command *command;
    struct loop_child *child; /* NULL before it is started */
    struct event_order order;
    char *environment, *pipeline, *run_id; /* for the worker */
    struct err fence_err;
    bool fenced;
    enum executor_stop stop; /* 0: none asked for */
};

/* The executor's run may be gone already. */
static void run_free(struct command_run *cr)
{
    free(cr->environment);
    free(cr->pipeline);
    free(cr->run_id);
    free(cr);
}

static void finish(struct command_run *cr, Gantry__V1__Outcome outcome, int exit_code,
                   const char *reason)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    struct executor_run *run = cr->run;

    finished.outcome = outcome;
    finished.reason = (char *)reason;
    finished.exit_code = exit_code;
    if (outcome == GANTRY__V1__OUTCOME__OUTCOME_FAILED && cr->command) {
        finished.phase = "DEPLOY";
        finished.command = cr->command->name;
    }
    executor_finished(run, &finished);
}

/* `reason` may stand in *cr. */
static void end_as(struct command_run *cr, Gantry__V1__Outcome outcome, int exit_code,
                   const char *reason)
{
    executor_run_set_data(cr->run, NULL);
    finish(cr, outcome, exit_code, reason);
    run_free(cr);
}

static void end_dropped(struct command_run *cr)
{
    executor_run_set_data(cr->run, NULL);
    executor_dropped(cr->run);
    run_free(cr);
}

static void on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    struct command_run *cr = arg;

    if (!executor_log(cr->run, data, len))
        loop_child_pause(child, true);
}

static void on_exit_(struct loop_child *child, const struct loop_child_exit *result, void *arg)
{
    struct command_run *cr = arg;
    char reason[256], took[32];

    (void)child;
    cr->child = NULL;
    clock_human(result->elapsed_ms, took);
    if (cr->stop == EXECUTOR_REVOKED) {
        end_dropped(cr);
    } else if (cr->stop == EXECUTOR_CANCEL) {
        end_as(cr, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, result->code, "it was cancelled");
    } else if (result->timed_out) {
        snprintf(reason, sizeof reason,
                 "command '%s' ran longer than its timeout and was ended after %s",
                 cr->command->name, took);
        end_as(cr, GANTRY__V1__OUTCOME__OUTCOME_FAILED, result->code, reason);
    } else if (result->signo) {
        snprintf(reason, sizeof reason, "command '%s' was ended by signal %d (%s)",
                 cr->command->name, result->signo, strsignal(result->signo));
        end_as(cr, GANTRY__V1__OUTCOME__OUTCOME_FAILED, -1, reason);
    } else if (result->code != 0) {
        snprintf(reason, sizeof reason, "command '%s' ended with exit code %d", cr->command->name,
                 result->code);
        end_as(cr, GANTRY__V1__OUTCOME__OUTCOME_FAILED, result->code, reason);
    } else {
        snprintf(reason, sizeof reason, "command '%s' succeeded in %s", cr->command->name, took);
        end_as(cr, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED, 0, reason);
    }
}

/* Under a prefix of its own: whoever may start a release must not set PATH, LD_PRELOAD or BASH_ENV
 * beside this environment's credentials. */
static void add_variable(const Gantry__V1__KeyValue *variable, struct strv *out)
{
    const char *key = variable->key;

    if (key[strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0')
        strv_addf(out, "GANTRY_VAR_%s=%s", key, variable->value);
}

static void add_environment(const struct command_run *cr, const Gantry__V1__ActionRequest *request,
                            struct strv *out)
{
    const Gantry__V1__DeploySpec *deploy = request->deploy;
    const Gantry__V1__Artifact *artifact = deploy->artifact;

    strv_add(out, PATH);
    for (size_t i = 0; i < request->n_variables; i++)
        add_variable(request->variables[i], out);
    for (size_t i = 0; i < cr->command->env.count; i++)
        strv_add(out, cr->command->env.items[i]);
    strv_addf(out, "GANTRY_PIPELINE=%s", request->pipeline);
    strv_addf(out, "GANTRY_RELEASE=%llu", (unsigned long long)request->release);
    strv_addf(out, "GANTRY_STAGE=%s", request->stage);
    strv_addf(out, "GANTRY_ACTION=%s", request->action);
    strv_addf(out, "GANTRY_RUN_ID=%s", request->run_id);
    strv_addf(out, "GANTRY_ATTEMPT=%u", executor_run_attempt(cr->run));
    strv_addf(out, "GANTRY_ENVIRONMENT=%s", deploy->environment);
    strv_addf(out, "GANTRY_EPOCH=%llu", (unsigned long long)cr->order.epoch);
    strv_addf(out, "GANTRY_SEQUENCE=%llu", (unsigned long long)cr->order.sequence);
    if (artifact) {
        strv_addf(out, "GANTRY_DIGEST=%s", artifact->digest);
        strv_addf(out, "GANTRY_IMAGE=%s@%s", artifact->repository, artifact->digest);
    }
    if (request->n_revisions)
        strv_addf(out, "GANTRY_REVISION=%s", request->revisions[0]->commit);
}

/* The shorter of the command's and what is left of the action's. */
static int64_t timeout_of(const struct command *command, const Gantry__V1__ActionRequest *request)
{
    int64_t timeout_ms = request->timeout_ms;

    if (command->timeout_ms && (!timeout_ms || command->timeout_ms < timeout_ms))
        timeout_ms = command->timeout_ms;
    return timeout_ms;
}

/* A deployer that is killed takes its commands along: a run that is then started again elsewhere
 * must not meet its former self. */
static int die_with_us(void *arg)
{
    const pid_t *us = arg;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return -1;
    return getppid() == *us ? 0 : -1;
}

static void spawn(struct command_run *cr)
{
    pid_t us = getpid();
    const Gantry__V1__ActionRequest *request = executor_run_request(cr->run);
    struct strv env = {0};
    json_t *json = event_to_json(request);
    char *input = json_dumps(json, JSON_COMPACT);
    struct loop_child_opts opts = {.argv = (const char *const *)cr->command->argv.items,
                                   .input = input,
                                   .input_len = strlen(input),
                                   .timeout_ms = timeout_of(cr->command, request),
                                   .merge_stderr = true,
                                   .on_output = on_output,
                                   .on_exit = on_exit_,
                                   .arg = cr,
                                   .pre_exec = die_with_us,
                                   .pre_exec_arg = &us,
                                   .pre_exec_shares = true};
    char reason[ERR_MSG_MAX + 128];
    struct err err;

    add_environment(cr, request, &env);
    opts.env = (const char *const *)env.items;
    if (loop_child_start(&cr->child, cr->app->svc->loop, &opts, &err) < 0) {
        snprintf(reason, sizeof reason,
                 "command '%s' cannot be started: %s; its argv stands in the deployer's settings",
                 cr->command->name, err.msg);
        end_as(cr, GANTRY__V1__OUTCOME__OUTCOME_FAILED, -1, reason);
    }
    strv_release(&env);
    free(input);
    json_decref(json);
}

static void raise_fence(void *arg)
{
    struct command_run *cr = arg;

    cr->fenced = fence_raise(cr->app->fences, cr->environment, cr->pipeline, &cr->order, cr->run_id,
                             &cr->fence_err) == 0;
}

static void on_fenced(void *arg)
{
    struct command_run *cr = arg;

    if (cr->stop == EXECUTOR_REVOKED || cr->stop == EXECUTOR_HANDBACK)
        end_dropped(cr);
    else if (cr->stop == EXECUTOR_CANCEL)
        end_as(cr, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, -1, "it was cancelled before it began");
    else if (!cr->fenced)
        end_as(cr, GANTRY__V1__OUTCOME__OUTCOME_FAILED, -1, cr->fence_err.msg);
    else
        spawn(cr);
}

void command_start(struct deployer *app, struct executor_run *run)
{
    const Gantry__V1__ActionRequest *request = executor_run_request(run);
    const struct command *command = commands_get(app->commands, request->deploy->command);
    struct command_run *cr;
    char reason[256];

    if (!command) {
        snprintf(reason, sizeof reason,
                 "this deployer has no command '%s'; name its argv under deployer.commands",
                 request->deploy->command);
        executor_failed(run, "DEPLOY", reason);
        return;
    }
    cr = mem_alloc(sizeof *cr);
    cr->app = app;
    cr->run = run;
    cr->command = command;
    if (request->order)
        cr->order = (struct event_order){request->order->epoch, request->order->sequence,
                                         request->order->index};
    cr->environment = mem_strdup(request->deploy->environment);
    cr->pipeline = mem_strdup(request->pipeline);
    cr->run_id = mem_strdup(request->run_id);
    executor_run_set_data(run, cr);
    loop_work(app->svc->loop, raise_fence, on_fenced, cr);
}

void command_stop(struct executor_run *run, enum executor_stop why)
{
    struct command_run *cr = executor_run_data(run);

    if (!cr || (cr->stop && cr->stop != EXECUTOR_HANDBACK))
        return;
    cr->stop = why;
    /* A deploy that runs while the service stops is better finished than cut: the grace bounds it.
     */
    if (cr->child && why != EXECUTOR_HANDBACK)
        loop_child_stop(cr->child);
}

void command_log_ready(struct executor_run *run)
{
    struct command_run *cr = executor_run_data(run);

    if (cr && cr->child)
        loop_child_pause(cr->child, false);
}
