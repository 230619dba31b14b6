/* What people do to releases: start, stop, retry, roll back. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/cli/cli.h"

/* {"A": "b"} out of A=b words; NULL having complained. */
static json_t *pairs(const struct cli_command *self, const struct strv *words)
{
    json_t *out = json_object();

    for (size_t i = 0; i < words->count; i++) {
        const char *equals = strchr(words->items[i], '=');

        if (!equals || equals == words->items[i]) {
            cli_usage_error(self, "a variable is written NAME=VALUE, not '%s'", words->items[i]);
            json_decref(out);
            return NULL;
        }
        json_object_setn_new(out, words->items[i], (size_t)(equals - words->items[i]),
                             json_string(equals + 1));
    }
    return out;
}

/* Sends a POST about a pipeline and prints what it led to. */
static int post(struct cli *cli, json_t *body, const char *done, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int post(struct cli *cli, json_t *body, const char *done, const char *fmt, ...)
{
    struct api_call call = {.method = "POST", .json = body};
    struct api_reply reply = {0};
    char path[512];
    va_list args;
    int rc;

    va_start(args, fmt);
    vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    call.path = path;
    rc = api_send(cli, &call, &reply);
    if (rc == 0 && cli->json)
        print_json(reply.json);
    else if (rc == 0 && reply.status == 202)
        puts("stored; the promoter has not decided yet");
    else if (rc == 0 && jnum(reply.json, "number"))
        printf("%s/%lld %s\n", jstr(reply.json, "pipeline"), (long long)jnum(reply.json, "number"),
               done);
    else if (rc == 0)
        printf("%s\n", done);
    api_reply_release(&reply);
    return rc;
}

/* [{"source": "app", "revision": "3f2c"}] out of app=3f2c words; NULL having complained. */
static json_t *revisions(const struct cli_command *self, const struct strv *words)
{
    json_t *out = json_array();

    for (size_t i = 0; i < words->count; i++) {
        const char *word = words->items[i], *equals = strchr(word, '=');

        if (!equals || equals == word || !equals[1]) {
            cli_usage_error(self,
                            "of several sources each --revision is written SOURCE=COMMIT, not '%s'",
                            word);
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, json_pack("{s:s%, s:s}", "source", word, (size_t)(equals - word),
                                             "revision", equals + 1));
    }
    return out;
}

/* What the release is to be started at; NULL having complained. */
static json_t *start_body(const struct cli_command *self, const struct strv *commits,
                          const char *ref, const char *source)
{
    const char *commit = commits->count ? commits->items[0] : NULL;
    json_t *list;

    if (commits->count < 2 && (!commit || !strchr(commit, '=')))
        return json_pack("{s:s*, s:s*, s:s*}", "revision", commit, "ref", ref, "source", source);
    if (!(list = revisions(self, commits)))
        return NULL;
    if (ref || source) {
        cli_usage_error(self, "--revision SOURCE=COMMIT and --%s exclude each other",
                        ref ? "ref" : "source");
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:o}", "revisions", list);
}

int cmd_release_start(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("release start");
    const char *ref = NULL, *source = NULL;
    struct strv words = {0}, commits = {0}, variables = {0};
    const struct cli_flag flags[] = {
        {"revision", 'r', FLAG_LIST, &commits, "COMMIT",
         "a commit, or the first digits of one that is known; the newest known otherwise; as "
         "SOURCE=COMMIT may be repeated"},
        {"ref", 0, FLAG_STR, &ref, "REF", "a branch whose newest known commit is meant"},
        {"source", 0, FLAG_STR, &source, "NAME",
         "the source that these are of, where there are several"},
        {"variable", 'v', FLAG_LIST, &variables, "NAME=VALUE",
         "overrides the definition's; may be repeated"},
        {0},
    };
    json_t *body = NULL, *values = NULL;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    } else if (!(body = start_body(self, &commits, ref, source)) ||
               !(values = pairs(self, &variables))) {
        json_decref(body);
        rc = EXIT_USAGE;
    } else {
        json_object_set_new(body, "variables", values);
        rc = post(cli, body, "started", "/api/v1/pipelines/%s/releases", words.items[0]);
    }
    strv_release(&words);
    strv_release(&commits);
    strv_release(&variables);
    return rc;
}

int cmd_release_stop(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("release stop");
    const char *reason = "";
    bool wait = false, abandon = false;
    const struct cli_flag flags[] = {
        {"wait", 0, FLAG_BOOL, &wait, NULL, "running actions finish first (the default)"},
        {"abandon", 0, FLAG_BOOL, &abandon, NULL,
         "running actions are told to stop and not waited for"},
        {"reason", 0, FLAG_STR, &reason, "TEXT", "kept in the audit"},
        {0},
    };
    struct strv words = {0};
    char pipeline[64];
    uint64_t number;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0)
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    else if (wait && abandon)
        rc = cli_usage_error(self, "--wait and --abandon exclude each other");
    else if (cli_release_arg(words.items[0], pipeline, &number) < 0)
        rc = EXIT_USAGE;
    else
        rc = post(cli,
                  json_pack("{s:s, s:s}", "mode", abandon ? "abandon" : "wait", "reason", reason),
                  "is stopping", "/api/v1/pipelines/%s/releases/%llu/stop", pipeline,
                  (unsigned long long)number);
    strv_release(&words);
    return rc;
}

int cmd_release_retry(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("release retry");
    bool all = false;
    const struct cli_flag flags[] = {
        {"all", 0, FLAG_BOOL, &all, NULL, "every action of the stage, not only those that failed"},
        {0},
    };
    struct strv words = {0};
    char pipeline[64];
    uint64_t number;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 2, 2);

    if (rc != 0)
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    else if (cli_release_arg(words.items[0], pipeline, &number) < 0)
        rc = EXIT_USAGE;
    else
        rc = post(cli, json_pack("{s:b}", "allActions", all), "goes on",
                  "/api/v1/pipelines/%s/releases/%llu/stages/%s/retry", pipeline,
                  (unsigned long long)number, words.items[1]);
    strv_release(&words);
    return rc;
}

int cmd_release_rollback(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("release rollback");
    const char *reason = "";
    int64_t to = 0;
    const struct cli_flag flags[] = {
        {"to", 0, FLAG_NUM, &to, "NUMBER",
         "the release to bring back; it must have succeeded in the stage"},
        {"reason", 0, FLAG_STR, &reason, "TEXT", "kept in the audit"},
        {0},
    };
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 2, 2);

    if (rc != 0)
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    else if (to <= 0)
        rc = cli_usage_error(self, "--to NUMBER is missing");
    else
        rc = post(cli, json_pack("{s:I, s:s}", "toRelease", (json_int_t)to, "reason", reason),
                  "started as a rollback", "/api/v1/pipelines/%s/stages/%s/rollback",
                  words.items[0], words.items[1]);
    strv_release(&words);
    return rc;
}
