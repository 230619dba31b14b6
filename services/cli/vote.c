/* approve, reject: shows what the vote would let in, asks, votes. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/cli/cli.h"

struct vote_args {
    const char *comment;
    const char *digest; /* NULL: the one shown */
    bool yes;
};

static void print_review(const struct cli *cli, const json_t *approval)
{
    const json_t *item;
    char digest[32], previous[32], commit[16];
    size_t i;

    printf("%s%s/%lld into %s%s\n", style_on(cli->color, "strong"), jstr(approval, "pipeline"),
           (long long)jnum(approval, "release"), jstr(approval, "stage"), style_off(cli->color));
    printf("  gate     %s\n", jstr(approval, "gate"));
    printf("  image    %s", short_digest(jstr(approval, "digest"), digest));
    if (*jstr(approval, "previousDigest"))
        printf("  (there now: %s)", short_digest(jstr(approval, "previousDigest"), previous));
    putchar('\n');
    json_array_foreach(jget(approval, "revisions"), i, item) printf(
        "  commit   %s  %s\n", short_commit(jstr(item, "commit"), commit), jstr(item, "message"));
    json_array_foreach(jget(approval, "authors"), i, item)
        printf("%s%s", i ? ", " : "  authors  ", json_string_value(item));
    if (i)
        putchar('\n');
    if (*jstr(approval, "message"))
        printf("  message  %s\n", jstr(approval, "message"));
    json_array_foreach(jget(approval, "not"), i, item)
        printf("%s%s", i ? ", " : "  not by   ", json_string_value(item));
    if (i)
        putchar('\n');
    printf("  votes    %zu of %lld", count_votes(approval, "approve"),
           (long long)jnum(approval, "count"));
    json_array_foreach(jget(approval, "votes"), i, item)
        printf("%s%s%s", i ? ", " : ": ", jstr(jget(item, "voter"), "name"),
               strcmp(jstr(item, "verdict"), "reject") == 0 ? " against" : "");
    putchar('\n');
    if (jnum(approval, "rejects") > 1)
        printf("  rejects  %zu of %lld that reject it\n", count_votes(approval, "reject"),
               (long long)jnum(approval, "rejects"));
}

static bool ask(const char *verdict)
{
    char answer[16];

    if (!isatty(STDIN_FILENO)) {
        cli_fail(0, "nobody is there to ask; give --yes to %s what is shown above", verdict);
        return false;
    }
    printf("%s this? [y/N] ", verdict);
    fflush(stdout);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int64_t needed_rejects(const json_t *approval)
{
    return jnum(approval, "rejects") ? jnum(approval, "rejects") : 1;
}

static int cast(struct cli *cli, const json_t *approval, const char *verdict,
                const struct vote_args *args)
{
    struct api_call call = {.service = API_APPROVER, .method = "POST"};
    struct api_reply reply = {0};
    const json_t *after;
    char path[256];
    int rc;

    snprintf(path, sizeof path, "/api/v1/approvals/%s/votes", jstr(approval, "approvalId"));
    call.path = path;
    call.json =
        json_pack("{s:s, s:s, s:s}", "verdict", verdict, "digest",
                  args->digest ? args->digest : jstr(approval, "digest"), "comment", args->comment);
    rc = api_send(cli, &call, &reply);
    after = jget(reply.json, "approval");
    if (rc == 0 && cli->json)
        print_json(reply.json);
    else if (rc == 0 && reply.status == 202)
        puts("the vote is stored and not counted yet");
    else if (rc == 0 && strcmp(verdict, "reject") == 0 &&
             (int64_t)count_votes(after, "reject") >= needed_rejects(after))
        puts("rejected");
    else if (rc == 0 && strcmp(verdict, "reject") == 0)
        printf("counted: %zu of %lld that reject it\n", count_votes(after, "reject"),
               (long long)needed_rejects(after));
    else if (rc == 0)
        printf("counted: %zu of %lld\n", count_votes(after, "approve"),
               (long long)jnum(after, "count"));
    api_reply_release(&reply);
    return rc;
}

static int vote(struct cli *cli, const char *verdict, int argc, char **argv)
{
    const struct cli_command *self = cli_command(verdict);
    struct api_call list = {.service = API_APPROVER, .path = "/api/v1/approvals"};
    struct vote_args args = {.comment = ""};
    const struct cli_flag flags[] = {
        {"comment", 'm', FLAG_STR, &args.comment, "TEXT", "kept with the vote"},
        {"yes", 'y', FLAG_BOOL, &args.yes, NULL, "do not ask"},
        {"digest", 0, FLAG_STR, &args.digest, "DIGEST",
         "vote only if this is the image; the one shown otherwise"},
        {0},
    };
    struct api_reply reply = {0};
    struct strv words = {0};
    struct vote_wanted wanted = {.verdict = verdict};
    const json_t *approval;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 2, 3);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    if (cli_release_arg(words.items[0], wanted.pipeline, &wanted.release) < 0) {
        rc = EXIT_USAGE;
        goto out;
    }
    wanted.stage = words.items[1];
    wanted.gate = words.count > 2 ? words.items[2] : NULL;
    rc = api_send(cli, &list, &reply);
    if (rc != 0)
        goto out;
    approval = vote_choose(jget(reply.json, "approvals"), &wanted, &rc);
    if (!approval)
        goto out;
    if (!cli->json)
        print_review(cli, approval);
    if (args.yes || ask(verdict))
        rc = cast(cli, approval, verdict, &args);
    else
        rc = EXIT_BAD_END;
out:
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}

int cmd_approve(struct cli *cli, int argc, char **argv)
{
    return vote(cli, "approve", argc, argv);
}

int cmd_reject(struct cli *cli, int argc, char **argv)
{
    return vote(cli, "reject", argc, argv);
}
