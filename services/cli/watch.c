/* Following: `release watch` and `logs`. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "services/cli/cli.h"

#define POLL_MS       250
#define LOG_STREAM_MS (24 * 3600 * 1000LL)

/* What was said of each thing already: a line appears when a thing's state changes. */
struct watch {
    struct cli *cli;
    struct map *said; /* thing -> its state as text, owned */
};

static bool is_new(struct watch *watch, const char *thing, const char *state)
{
    const char *before = map_get(watch->said, thing);

    if (before && strcmp(before, state) == 0)
        return false;
    map_set(watch->said, thing, mem_strdup(state));
    return true;
}

static void say(const struct watch *watch, int64_t at_ms, const char *style, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void say(const struct watch *watch, int64_t at_ms, const char *style, const char *fmt, ...)
{
    time_t seconds = (time_t)((at_ms ? at_ms : clock_now_ms()) / 1000);
    char text[1024];
    struct tm local;
    va_list args;

    localtime_r(&seconds, &local);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
    printf("%s%02d:%02d:%02d%s  %s%s%s\n", style_on(watch->cli->color, "quiet"), local.tm_hour,
           local.tm_min, local.tm_sec, style_off(watch->cli->color),
           style_on(watch->cli->color, style), text, style ? style_off(watch->cli->color) : "");
    fflush(stdout);
}

static void watch_action(struct watch *watch, const json_t *stage, const json_t *action)
{
    const json_t *run;
    size_t i;

    json_array_foreach(jget(action, "runs"), i, run)
    {
        const char *status = jstr(run, "status"), *where = jstr(run, "environment");
        int64_t at = jnum(run, "endedMs") ? jnum(run, "endedMs") : jnum(run, "startedMs");
        int64_t took = jnum(run, "endedMs") - jnum(run, "startedMs");
        char state[64];

        snprintf(state, sizeof state, "%s %lld", status, (long long)jnum(run, "attempt"));
        if (!is_new(watch, jstr(run, "runId"), state))
            continue;
        if (strcmp(status, "failed") == 0)
            say(watch, at, "bad", "%-10s %s failed: %s", jstr(stage, "name"), jstr(action, "name"),
                jstr(run, "reason"));
        else if (jnum(run, "endedMs") && jnum(run, "startedMs"))
            say(watch, at, table_status_style(status), "%-10s %s %s%s%s in %.1f s",
                jstr(stage, "name"), jstr(action, "name"), status, *where ? " in " : "", where,
                (double)(took > 0 ? took : 0) / 1000.0);
        else
            say(watch, at, table_status_style(status), "%-10s %s %s%s%s", jstr(stage, "name"),
                jstr(action, "name"), status, *where ? " in " : "", where);
    }
}

/* The gate's name where the stage has other open ones, else nothing: as `gantry approve` needs it.
 */
static const char *gate_word(const json_t *approvals, const json_t *approval)
{
    const json_t *other;
    size_t i;

    json_array_foreach(approvals, i, other)
    {
        if (other != approval && !*jstr(other, "outcome") &&
            strcmp(jstr(other, "stage"), jstr(approval, "stage")) == 0)
            return jstr(approval, "gate");
    }
    return "";
}

static void watch_approval(struct watch *watch, const json_t *approvals, const json_t *approval)
{
    const char *stage = jstr(approval, "stage"), *outcome = jstr(approval, "outcome");
    const char *gate = gate_word(approvals, approval);
    size_t votes = json_array_size(jget(approval, "votes"));
    char state[64];

    snprintf(state, sizeof state, "%s %zu", outcome, votes);
    if (!is_new(watch, jstr(approval, "approvalId"), state))
        return;
    if (*outcome)
        say(watch, 0, table_status_style(outcome), "%-10s %s", stage, outcome);
    else
        say(watch, 0, "wait",
            "%-10s waits for approval, %zu of %lld: gantry approve %s/%lld %s%s%s", stage,
            count_votes(approval, "approve"), (long long)jnum(approval, "count"),
            jstr(approval, "pipeline"), (long long)jnum(approval, "release"), stage,
            *gate ? " " : "", gate);
}

/* What holds it, approvals apart: they have lines of their own. */
static void watch_stage(struct watch *watch, const json_t *stage)
{
    char thing[80], *names = json_dumps(jget(stage, "heldBy"), JSON_COMPACT);
    char *held = held_text(jget(stage, "held"), "approval");

    snprintf(thing, sizeof thing, "held %s", jstr(stage, "name"));
    if (strcmp(jstr(stage, "status"), "waiting") == 0 && *held &&
        is_new(watch, thing, names ? names : ""))
        say(watch, 0, "wait", "%-10s waits: %s", jstr(stage, "name"), held);
    snprintf(thing, sizeof thing, "entered %s %lld", jstr(stage, "name"),
             (long long)jnum(stage, "number"));
    if (jbool(stage, "automatic") && is_new(watch, thing, "entered"))
        say(watch, jnum(stage, "enteredMs"), "wait", "%-10s retried by itself: %s",
            jstr(stage, "name"), jstr(stage, "entryReason"));
    free(held);
    free(names);
}

static void watch_gates(struct watch *watch, const json_t *release)
{
    const json_t *item;
    struct buf words;
    char thing[160];
    size_t i;

    json_array_foreach(jget(release, "passes"), i, item)
    {
        snprintf(thing, sizeof thing, "pass %s %s %lld", jstr(item, "stage"), jstr(item, "gate"),
                 (long long)jnum(item, "timeMs"));
        if (is_new(watch, thing, jstr(item, "how")))
            say(watch, jnum(item, "timeMs"), "wait", "%-10s %s %s by %s%s%s", jstr(item, "stage"),
                jstr(item, "gate"), jstr(item, "how"), jstr(item, "by"),
                *jstr(item, "reason") ? ": " : "", jstr(item, "reason"));
    }
    json_array_foreach(jget(release, "checks"), i, item)
    {
        char answer[40];

        snprintf(thing, sizeof thing, "check %s %s", jstr(item, "stage"), jstr(item, "gate"));
        snprintf(answer, sizeof answer, "%lld", (long long)jnum(item, "answeredMs"));
        if (!jnum(item, "answeredMs") || !is_new(watch, thing, answer))
            continue;
        buf_init(&words, 4096);
        answer_words(item, &words);
        say(watch, jnum(item, "answeredMs"), strcmp(jstr(item, "answer"), "yes") ? "wait" : "good",
            "%-10s %s", jstr(item, "stage"), buf_cstr(&words));
        buf_release(&words);
    }
    if (jnum(release, "rolledBackBy") && is_new(watch, "rolled back", ""))
        say(watch, 0, "wait", "%-10s rolled back by itself, by release %lld", "",
            (long long)jnum(release, "rolledBackBy"));
}

static void watch_silence(struct watch *watch, const json_t *stage, const json_t *action)
{
    const json_t *run;
    char thing[80], at[32], silent[40];
    size_t i;

    json_array_foreach(jget(action, "runs"), i, run)
    {
        const json_t *silence = jget(run, "silent");

        snprintf(thing, sizeof thing, "silent %s", jstr(run, "runId"));
        snprintf(at, sizeof at, "%lld", (long long)jnum(silence, "atMs"));
        if (silence && is_new(watch, thing, at))
            say(watch, jnum(silence, "atMs"), "wait",
                "%-10s %s: its executor was not heard of for %s; it goes on", jstr(stage, "name"),
                jstr(action, "name"), span(jnum(silence, "forMs"), silent));
    }
}

static void watch_release(struct watch *watch, const json_t *release)
{
    const json_t *item, *action;
    size_t i, j;

    if (is_new(watch, "release", "started"))
        say(watch, jnum(release, "startedMs"), "strong", "%s/%lld  %.8s  %s",
            jstr(release, "pipeline"), (long long)jnum(release, "number"), jstr(release, "commit"),
            jstr(release, "message"));
    json_array_foreach(jget(release, "artifacts"), i,
                       item) if (is_new(watch, jstr(item, "digest"), "set"))
        say(watch, 0, "strong", "%-10s image %s@%s", "", jstr(item, "repository"),
            jstr(item, "digest"));
    json_array_foreach(jget(release, "stages"), i, item)
    {
        json_array_foreach(jget(item, "actions"), j, action)
        {
            watch_action(watch, item, action);
            watch_silence(watch, item, action);
        }
        watch_stage(watch, item);
    }
    json_array_foreach(jget(release, "approvals"), i, item)
        watch_approval(watch, jget(release, "approvals"), item);
    watch_gates(watch, release);
}

static bool is_over(const char *status)
{
    return *status && strcmp(status, "waiting") != 0 && strcmp(status, "in-progress") != 0;
}

/* The newest release if it runs, else the next that starts. 0 or an exit code. */
static int find_running(struct cli *cli, const char *pipeline, int64_t until_ms, uint64_t *number)
{
    int64_t last = -1;

    for (;;) {
        struct api_reply reply = {0};
        const json_t *newest;
        int rc = api_get(cli, &reply, "/api/v1/pipelines/%s/releases?limit=1", pipeline);
        int64_t found;
        bool runs;

        newest = json_array_get(jget(reply.json, "releases"), 0);
        found = jnum(newest, "number");
        runs = newest && !is_over(jstr(newest, "status"));
        api_reply_release(&reply);
        if (rc != 0)
            return rc;
        *number = (uint64_t)found;
        if (runs || (last >= 0 && found > last))
            return 0;
        if (last < 0 && !cli->json) {
            printf("no release of %s is running; waiting for the next\n", pipeline);
            fflush(stdout);
        }
        last = found;
        if (clock_mono_ms() > until_ms)
            return cli_fail(EXIT_TOO_LONG, "no release of %s started in time", pipeline);
        loop_run_for(cli->loop, POLL_MS, NULL);
    }
}

static int follow_release(struct cli *cli, const char *pipeline, uint64_t number,
                          const char *until_stage, int64_t until_ms)
{
    struct watch watch = {cli, map_new(free)};
    bool over = false;
    int rc = 0;

    while (!over) {
        struct api_reply reply = {0};
        const json_t *approval;
        const char *status;
        size_t i;

        rc = api_get(cli, &reply, "/api/v1/pipelines/%s/releases/%llu", pipeline,
                     (unsigned long long)number);
        status = jstr(reply.json, "status");
        over = rc != 0 || is_over(status);
        if (rc == 0 && !cli->json)
            watch_release(&watch, reply.json);
        json_array_foreach(jget(reply.json, "approvals"), i,
                           approval) if (until_stage && !*jstr(approval, "outcome") &&
                                         strcmp(jstr(approval, "stage"), until_stage) == 0) over =
            true;
        if (over && rc == 0 && is_over(status)) {
            if (cli->json)
                print_json(reply.json);
            else
                say(&watch, jnum(reply.json, "endedMs"), table_status_style(status),
                    "%s/%llu %s%s%s", pipeline, (unsigned long long)number, status,
                    *jstr(reply.json, "reason") ? ": " : "", jstr(reply.json, "reason"));
            rc = strcmp(status, "succeeded") == 0 ? EXIT_DONE : EXIT_BAD_END;
        }
        api_reply_release(&reply);
        if (!over && clock_mono_ms() > until_ms) {
            rc = cli_fail(
                EXIT_TOO_LONG, "%s/%llu goes on; `gantry release watch %s/%llu` follows it further",
                pipeline, (unsigned long long)number, pipeline, (unsigned long long)number);
            over = true;
        }
        if (!over)
            loop_run_for(cli->loop, POLL_MS, NULL);
    }
    map_free(watch.said);
    return rc;
}

int cmd_release_watch(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("release watch");
    const char *timeout = NULL, *until_stage = NULL;
    const struct cli_flag flags[] = {
        {"timeout", 0, FLAG_STR, &timeout, "DURATION",
         "exit 7 after so long, e.g. 30m; no limit otherwise"},
        {"until-approval", 0, FLAG_STR, &until_stage, "STAGE",
         "end with 0 when it waits for a vote on this stage"},
        {0},
    };
    struct strv words = {0};
    int64_t limit_ms = 0, until_ms = INT64_MAX;
    char pipeline[64] = "";
    uint64_t number = 0;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    if (timeout && str_to_duration(timeout, &limit_ms) < 0) {
        rc = cli_usage_error(self, "'%s' is no duration; write e.g. 30m", timeout);
        goto out;
    }
    if (timeout)
        until_ms = clock_mono_ms() + limit_ms;
    if (strchr(words.items[0], '/'))
        rc = cli_release_arg(words.items[0], pipeline, &number) < 0 ? EXIT_USAGE : 0;
    else if (!str_is_name(words.items[0]))
        rc = cli_usage_error(self, "'%s' is no pipeline's name", words.items[0]);
    else
        snprintf(pipeline, sizeof pipeline, "%s", words.items[0]);
    if (rc == 0 && !number)
        rc = find_running(cli, pipeline, until_ms, &number);
    if (rc == 0)
        rc = follow_release(cli, pipeline, number, until_stage, until_ms);
out:
    strv_release(&words);
    return rc;
}

/* ---- logs ---- */

static int print_data(const char *data, size_t len, void *arg)
{
    (void)arg;
    fwrite(data, 1, len, stdout);
    fflush(stdout);
    return 0;
}

/* The run of an action: the newest, or that of a number. */
static const char *find_run(const json_t *release, const char *stage, const char *action,
                            int64_t number)
{
    const json_t *entry, *item, *run;
    const char *found = NULL;
    size_t i, j, k;

    json_array_foreach(jget(release, "stages"), i, entry)
    {
        if (stage && strcmp(jstr(entry, "name"), stage) != 0)
            continue;
        json_array_foreach(jget(entry, "actions"), j, item)
        {
            if (strcmp(jstr(item, "name"), action) != 0)
                continue;
            json_array_foreach(jget(item, "runs"), k,
                               run) if (!number || jnum(run, "number") == number) found =
                jstr(run, "runId");
        }
    }
    return found;
}

int cmd_logs(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("logs");
    int64_t run_number = 0;
    bool follow = false;
    const struct cli_flag flags[] = {
        {"follow", 'f', FLAG_BOOL, &follow, NULL, "go on until the action ends"},
        {"run", 0, FLAG_NUM, &run_number, "N", "of the Nth run; the newest otherwise"},
        {0},
    };
    struct api_call call = {
        .accept = "text/plain", .on_data = print_data, .timeout_ms = LOG_STREAM_MS};
    struct api_reply release = {0}, reply = {0};
    struct strv words = {0};
    const char *action, *stage, *run;
    char path[256];
    int rc = cli_args(cli, self, argc, argv, flags, &words, 2, 3);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    rc = api_get_release(cli, &release, words.items[0]);
    if (rc != 0)
        goto out;
    action = words.items[words.count - 1];
    stage = words.count == 3 ? words.items[1] : NULL;
    run = find_run(release.json, stage, action, run_number);
    if (!run) {
        rc = cli_fail(
            EXIT_NOT_FOUND,
            "%s has no run of the action '%s' yet; `gantry release show %s` lists its actions",
            words.items[0], action, words.items[0]);
        goto out;
    }
    snprintf(path, sizeof path, "/api/v1/runs/%s/log%s", run, follow ? "?follow=true" : "");
    call.path = path;
    rc = api_send(cli, &call, &reply);
out:
    api_reply_release(&reply);
    api_reply_release(&release);
    strv_release(&words);
    return rc;
}
