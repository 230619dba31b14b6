/* env freeze, env unfreeze: the Environment's definition with another list of freezes, put where
 * nobody changed it since. */
#include "services/cli/freeze.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "calendar/window.h"
#include "definition/definition.h"
#include "services/cli/cli.h"

#define FREEZES_MAX 50

/* An Environment as it is, and what its freezes are to be. */
struct change {
    const char *environment;
    struct api_reply now;
    struct definition *def;
    struct freeze freezes[FREEZES_MAX + 1];
    size_t count;
};

static void change_release(struct change *change)
{
    definition_free(change->def);
    api_reply_release(&change->now);
}

/* 0 or an exit code, having said why. */
static int change_begin(struct cli *cli, struct change *change, const char *environment)
{
    struct api_call call = {.accept = "application/yaml"};
    struct err err;
    char path[160];
    int rc;

    change->environment = environment;
    snprintf(path, sizeof path, "/api/v1/definitions/Environment/%.64s", environment);
    call.path = path;
    rc = api_send_expecting(cli, &call, 404, &change->now);
    if (rc == 0 && change->now.status == 404)
        return cli_fail(EXIT_NOT_FOUND, "there is no environment '%s'; `gantry env` lists them",
                        environment);
    if (rc == 0 &&
        definition_parse(&change->def, change->now.body, change->now.len, NULL, &err) != 0)
        return cli_fail(EXIT_BAD_END, "the definition in force does not parse: %s", err.msg);
    return rc;
}

static int change_put(struct cli *cli, const struct change *change)
{
    struct api_call call = {.method = "PUT", .content_type = "application/yaml"};
    struct api_reply reply = {0};
    struct buf text;
    struct err err;
    char path[160];
    int rc;

    buf_init(&text, DEFINITION_SIZE_MAX);
    if (freeze_write(&text, change->now.body, change->now.len, change->freezes, change->count,
                     &err) != 0) {
        buf_release(&text);
        return cli_fail(EXIT_CONFLICT, "Environment/%s: %s", change->environment, err.msg);
    }
    snprintf(path, sizeof path, "/api/v1/definitions/Environment/%.64s", change->environment);
    call.path = path;
    call.body = buf_cstr(&text);
    call.body_len = text.len;
    call.if_match = change->now.etag;
    rc = api_send(cli, &call, &reply);
    if (rc == 0 && cli->json)
        print_json(reply.json);
    api_reply_release(&reply);
    buf_release(&text);
    return rc;
}

static void keep(struct change *change, const char *without)
{
    const struct def_environment *environment = change->def->environment;

    for (size_t i = 0; i < environment->freeze_count && i < FREEZES_MAX; i++)
        if (!without || !str_eq(environment->freezes[i].window_text, without))
            change->freezes[change->count++] = (struct freeze){environment->freezes[i].window_text,
                                                               environment->freezes[i].reason};
}

/* From now on for so long, as a window of whole minutes. */
static char *window_for(int64_t duration_ms)
{
    time_t from = (time_t)(clock_now_ms() / 1000), to = from + (time_t)(duration_ms / 1000) + 59;
    char text[2][32];
    struct tm utc;

    gmtime_r(&from, &utc);
    strftime(text[0], sizeof text[0], "%Y-%m-%d %H:%M", &utc);
    gmtime_r(&to, &utc);
    strftime(text[1], sizeof text[1], "%Y-%m-%d %H:%M", &utc);
    return mem_printf("%s - %s UTC", text[0], text[1]);
}

/* The window as text; NULL having said what is wrong. */
static char *read_window(const struct cli_command *self, const char *window, const char *duration)
{
    struct window *parsed = NULL;
    int64_t duration_ms;
    struct err err;

    if (duration && str_to_duration(duration, &duration_ms) == 0 && duration_ms >= 60000)
        return window_for(duration_ms);
    if (duration) {
        cli_usage_error(self, "'%s' is no duration of a minute or more; write e.g. 2h", duration);
        return NULL;
    }
    if (window_parse(&parsed, window, &err) != 0) {
        cli_usage_error(self, "--window: %s", err.msg);
        return NULL;
    }
    window_free(parsed);
    return mem_strdup(window);
}

static int freeze(struct cli *cli, const char *environment, const char *window, const char *reason)
{
    struct change change = {0};
    int rc = change_begin(cli, &change, environment);

    if (rc == 0) {
        keep(&change, window);
        change.freezes[change.count++] = (struct freeze){window, reason};
        if (change.count > FREEZES_MAX)
            rc = cli_fail(EXIT_CONFLICT,
                          "%s has %d freezes, which is the most; take some out with `gantry env "
                          "unfreeze`",
                          environment, FREEZES_MAX);
    }
    if (rc == 0)
        rc = change_put(cli, &change);
    if (rc == 0 && !cli->json)
        printf("%s: nothing enters a stage that deploys there while %s; rollbacks do\n",
               environment, window);
    change_release(&change);
    return rc;
}

int cmd_env_freeze(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("env freeze");
    const char *window = NULL, *duration = NULL, *reason = NULL;
    const struct cli_flag flags[] = {
        {"window", 0, FLAG_STR, &window, "TEXT",
         "when, e.g. '2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin'"},
        {"for", 0, FLAG_STR, &duration, "DURATION", "from now on, e.g. 2h; instead of --window"},
        {"reason", 0, FLAG_STR, &reason, "TEXT", "shown to everybody who waits there; required"},
        {0},
    };
    struct strv words = {0};
    char *text = NULL;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0)
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    else if (!str_is_name(words.items[0]))
        rc = cli_usage_error(self, "'%s' is no environment's name", words.items[0]);
    else if (!window == !duration)
        rc = cli_usage_error(self, "give either --window TEXT or --for DURATION");
    else if (!reason || !*reason)
        rc = cli_usage_error(self, "--reason TEXT is missing: who waits there wants to know why");
    else if (!(text = read_window(self, window, duration)))
        rc = EXIT_USAGE;
    else
        rc = freeze(cli, words.items[0], text, reason);
    free(text);
    strv_release(&words);
    return rc;
}

static int unfreeze(struct cli *cli, const char *environment, const char *window)
{
    struct change change = {0};
    int rc = change_begin(cli, &change, environment);
    size_t before = rc == 0 ? change.def->environment->freeze_count : 0;

    if (rc == 0 && window)
        keep(&change, window);
    if (rc == 0 && change.count == before)
        rc = cli_fail(EXIT_NOT_FOUND, "%s has no freeze%s; `gantry env %s` lists them", environment,
                      window ? " of that window" : "", environment);
    if (rc == 0)
        rc = change_put(cli, &change);
    if (rc == 0 && !cli->json)
        printf("%s: %zu freeze%s taken out, %zu left\n", environment, before - change.count,
               before - change.count == 1 ? "" : "s", change.count);
    change_release(&change);
    return rc;
}

int cmd_env_unfreeze(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("env unfreeze");
    const char *window = NULL;
    const struct cli_flag flags[] = {
        {"window", 0, FLAG_STR, &window, "TEXT", "only the freeze of this window; all otherwise"},
        {0},
    };
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0)
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    else if (!str_is_name(words.items[0]))
        rc = cli_usage_error(self, "'%s' is no environment's name", words.items[0]);
    else
        rc = unfreeze(cli, words.items[0], window);
    strv_release(&words);
    return rc;
}
