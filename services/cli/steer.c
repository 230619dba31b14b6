/* What people do to the ways between stages: transitions, promotion, gates, pins. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "services/cli/cli.h"

/* Sends a POST; 0 and the reply to be told of (not with -o json, and not while it is undecided, of
 * which this has told itself). */
static int post(struct cli *cli, json_t *body, char *path, struct api_reply *reply, bool *tell)
{
    struct api_call call = {.method = "POST", .json = body, .path = path};
    int rc = api_send(cli, &call, reply);

    free(path);
    *tell = rc == 0 && !cli->json && reply->status != 202;
    if (rc == 0 && cli->json)
        print_json(reply->json);
    else if (rc == 0 && reply->status == 202)
        puts("stored; the promoter has not decided yet");
    return rc;
}

static int bad_name(const struct cli_command *self, const char *word, const char *what)
{
    return cli_usage_error(self, "'%s' is no %s's name: those are a-z, 0-9 and -", word, what);
}

/* ---- transitions ---- */

static int set_transition(struct cli *cli, bool enable, int argc, char **argv)
{
    const struct cli_command *self =
        cli_command(enable ? "transition enable" : "transition disable");
    const char *reason = "";
    const struct cli_flag flags[] = {
        {"reason", 0, FLAG_STR, &reason, "TEXT",
         enable ? "kept in the audit" : "shown to everybody who waits there; required"},
        {0},
    };
    struct api_reply reply = {0};
    struct strv words = {0};
    bool tell;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 2, 2);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    } else if (!str_is_name(words.items[0])) {
        rc = bad_name(self, words.items[0], "pipeline");
    } else if (!str_is_name(words.items[1])) {
        rc = bad_name(self, words.items[1], "stage");
    } else if (!enable && !*reason) {
        rc = cli_usage_error(self, "--reason TEXT is missing: who waits there wants to know why");
    } else {
        rc = post(
            cli, json_pack("{s:b, s:s}", "enabled", enable, "reason", reason),
            mem_printf("/api/v1/pipelines/%s/stages/%s/transition", words.items[0], words.items[1]),
            &reply, &tell);
        if (tell && enable)
            printf("%s: releases enter %s again\n", words.items[0], words.items[1]);
        else if (tell)
            printf("%s: no release enters %s until `gantry transition enable %s %s`\n",
                   words.items[0], words.items[1], words.items[0], words.items[1]);
    }
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}

int cmd_transition_enable(struct cli *cli, int argc, char **argv)
{
    return set_transition(cli, true, argc, argv);
}

int cmd_transition_disable(struct cli *cli, int argc, char **argv)
{
    return set_transition(cli, false, argc, argv);
}

/* ---- promote, override ---- */

/* The stage that the release waits for; NULL: none. */
static const json_t *waits_for(const json_t *release)
{
    const json_t *stage;
    size_t i;

    json_array_foreach(jget(release, "stages"), i, stage)
    {
        if (strcmp(jstr(stage, "status"), "waiting") == 0)
            return stage;
    }
    return NULL;
}

/* "shop/42 goes on into prod", or what still holds it. */
static void say_after(const json_t *release, const char *did)
{
    const json_t *stage = waits_for(release);
    char *held = stage ? held_text(jget(stage, "held"), NULL) : NULL;

    printf("%s/%lld %s", jstr(release, "pipeline"), (long long)jnum(release, "number"), did);
    if (held && *held)
        printf("; %s still waits: %s", jstr(stage, "name"), held);
    putchar('\n');
    free(held);
}

/* The name of the stage that a release waits for. 0 and *out (the caller frees), or an exit code.
 */
static int find_stage(struct cli *cli, const char *pipeline, uint64_t number, char **out)
{
    struct api_reply reply = {0};
    int rc = api_get(cli, &reply, "/api/v1/pipelines/%s/releases/%llu", pipeline,
                     (unsigned long long)number);
    const json_t *stage = waits_for(reply.json);

    if (rc == 0 && stage)
        *out = mem_strdup(jstr(stage, "name"));
    else if (rc == 0)
        rc = cli_fail(EXIT_CONFLICT, "%s/%llu waits for no stage; it is %s", pipeline,
                      (unsigned long long)number, jstr(reply.json, "status"));
    api_reply_release(&reply);
    return rc;
}

int cmd_release_promote(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("release promote");
    struct api_reply reply = {0};
    struct strv words = {0};
    char pipeline[64], *stage = NULL;
    uint64_t number;
    bool tell;
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 1, 2);

    if (rc != 0)
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    else if (cli_release_arg(words.items[0], pipeline, &number) < 0)
        rc = EXIT_USAGE;
    else if (words.count == 2 && !str_is_name(words.items[1]))
        rc = bad_name(self, words.items[1], "stage");
    else if (words.count == 2)
        stage = mem_strdup(words.items[1]);
    else
        rc = find_stage(cli, pipeline, number, &stage);
    if (stage) {
        rc = post(cli, json_object(),
                  mem_printf("/api/v1/pipelines/%s/releases/%llu/stages/%s/promote", pipeline,
                             (unsigned long long)number, stage),
                  &reply, &tell);
        if (tell)
            say_after(reply.json, "promoted");
    }
    free(stage);
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}

int cmd_gate_override(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("gate override");
    const char *reason = "";
    const struct cli_flag flags[] = {
        {"reason", 0, FLAG_STR, &reason, "TEXT", "kept in the audit and sent to people; required"},
        {0},
    };
    struct api_reply reply = {0};
    struct strv words = {0};
    char pipeline[64];
    uint64_t number;
    bool tell;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 3, 3);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    } else if (cli_release_arg(words.items[0], pipeline, &number) < 0) {
        rc = EXIT_USAGE;
    } else if (!str_is_name(words.items[1])) {
        rc = bad_name(self, words.items[1], "stage");
    } else if (!str_is_name(words.items[2])) {
        rc = cli_usage_error(self,
                             "'%s' is no gate; `gantry release show %s` lists what holds it, e.g. "
                             "approval, soak, window, check, disabled or freeze",
                             words.items[2], words.items[0]);
    } else if (!*reason) {
        rc =
            cli_usage_error(self, "--reason TEXT is missing: an override is kept with it for ever");
    } else {
        rc = post(cli, json_pack("{s:s}", "reason", reason),
                  mem_printf("/api/v1/pipelines/%s/releases/%llu/stages/%s/gates/%s/override",
                             pipeline, (unsigned long long)number, words.items[1], words.items[2]),
                  &reply, &tell);
        if (tell) {
            char *did = mem_printf("passes %s without %s", words.items[1], words.items[2]);
            say_after(reply.json, did);
            free(did);
        }
    }
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}

/* ---- pins ---- */

static int set_pin(struct cli *cli, bool pin, int argc, char **argv)
{
    const struct cli_command *self = cli_command(pin ? "pin" : "unpin");
    const char *digest = NULL, *reason = "";
    const struct cli_flag pin_flags[] = {
        {"digest", 0, FLAG_STR, &digest, "DIGEST", "sha256:...; what runs there now otherwise"},
        {"reason", 0, FLAG_STR, &reason, "TEXT", "shown to everybody who waits there; required"},
        {0},
    };
    const struct cli_flag unpin_flags[] = {
        {"reason", 0, FLAG_STR, &reason, "TEXT", "kept in the audit"},
        {0},
    };
    struct api_reply reply = {0};
    struct strv words = {0};
    bool tell;
    int rc = cli_args(cli, self, argc, argv, pin ? pin_flags : unpin_flags, &words, 2, 2);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    } else if (!str_is_name(words.items[0])) {
        rc = bad_name(self, words.items[0], "pipeline");
    } else if (!str_is_name(words.items[1])) {
        rc = bad_name(self, words.items[1], "environment");
    } else if (pin && !*reason) {
        rc = cli_usage_error(self, "--reason TEXT is missing: who waits there wants to know why");
    } else {
        rc = post(cli, json_pack("{s:s*, s:s}", "digest", digest, "reason", reason),
                  mem_printf("/api/v1/pipelines/%s/environments/%s/%s", words.items[0],
                             words.items[1], pin ? "pin" : "unpin"),
                  &reply, &tell);
        if (tell && pin)
            printf("%s: %s is pinned to %s until `gantry unpin %s %s`\n", words.items[0],
                   words.items[1], jstr(reply.json, "digest"), words.items[0], words.items[1]);
        else if (tell)
            printf("%s: %s is not pinned any more\n", words.items[0], words.items[1]);
    }
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}

int cmd_pin(struct cli *cli, int argc, char **argv)
{
    return set_pin(cli, true, argc, argv);
}

int cmd_unpin(struct cli *cli, int argc, char **argv)
{
    return set_pin(cli, false, argc, argv);
}
