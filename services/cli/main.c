#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "services/cli/cli.h"
#include "services/cli/up.h"

static const struct cli_command commands[] = {
    {"apply", "-f FILE|-", "Put definitions into force: pipelines, environments, notifications.",
     "Every document of the file is checked whole first; with a mistake in any, none is taken.\n"
     "  gantry apply -f pipeline.yaml",
     cmd_apply},
    {"diff", "-f FILE|-", "Show what apply would change; exit 1 if it would change anything.", NULL,
     cmd_diff},
    {"get", "[KIND [NAME]]", "List definitions, or print one as it was given.",
     "  gantry get pipeline shop > shop.yaml", cmd_get},
    {"delete", "KIND NAME | -f FILE", "Delete definitions; running releases finish.", NULL,
     cmd_delete},
    {"check", "FILE...", "Check definitions offline: every mistake with file, line and path.", NULL,
     cmd_check},
    {"pipelines", "", "Where is which release.", NULL, cmd_pipelines},
    {"releases", "PIPELINE", "The releases of a pipeline, newest first.", NULL, cmd_releases},
    {"release start", "PIPELINE", "Start a release by hand.",
     "  gantry release start shop --revision 3f2c... --variable LOG_LEVEL=debug",
     cmd_release_start},
    {"release show", "PIPELINE/NUMBER", "One release: stages, actions, approvals, image.", NULL,
     cmd_release_show},
    {"release stop", "PIPELINE/NUMBER", "Stop a release; running actions finish, or are abandoned.",
     NULL, cmd_release_stop},
    {"release retry", "PIPELINE/NUMBER STAGE",
     "Run a failed stage again: its failed actions, or all.", NULL, cmd_release_retry},
    {"release rollback", "PIPELINE STAGE --to NUMBER",
     "Bring back what a former release ran in a stage: a new release, the same image.", NULL,
     cmd_release_rollback},
    {"release watch", "PIPELINE[/NUMBER]",
     "Follow a release until it ends; exit 0 only if it succeeded.",
     "Without a number: the newest, or the next that starts.", cmd_release_watch},
    {"approvals", "", "What waits for a vote.", NULL, cmd_approvals},
    {"approve", "PIPELINE/NUMBER STAGE", "Vote for letting a release into a stage.",
     "Shows what the vote would let in and asks, unless --yes. The vote counts for the digest "
     "shown alone.",
     cmd_approve},
    {"reject", "PIPELINE/NUMBER STAGE", "Vote against letting a release into a stage.", NULL,
     cmd_reject},
    {"logs", "PIPELINE/NUMBER [STAGE] ACTION", "The output of an action; -f follows it.", NULL,
     cmd_logs},
    {"env", "[ENVIRONMENT]", "What runs where.", NULL, cmd_env},
    {"token create", "NAME", "Make a local token; it is shown once.",
     "  gantry token create kim --email kim@example.test --role developer --group web",
     cmd_token_create},
    {"token list", "", "The local tokens.", NULL, cmd_token_list},
    {"token delete", "NAME", "Delete a local token; it is refused from then on.", NULL,
     cmd_token_delete},
    {"topics create", "--config FILE", "Make the Kafka topics that are missing.", NULL,
     cmd_topics_create},
    {"topics check", "--config FILE",
     "Compare the Kafka topics with what Gantry needs; exit 1 if not so.", NULL, cmd_topics_check},
    {"topics new-epoch", "PARTITION --reason TEXT",
     "Begin a new epoch of a ledger partition that lost records; the promoter refuses until then.",
     "The promoter stops where the ledger's beginning is missing, where it ends before what was "
     "confirmed, and where it\n"
     "was emptied: only a person can know that those records will not come back. Try that first: a "
     "restored disk or a\n"
     "mirror loses nothing, a new epoch gives them up. And cure the cause (`gantry topics check`), "
     "or it happens again.\n"
     "\n"
     "This reads the partition and promoter.state, shows what is missing and what a new epoch "
     "would "
     "go on from, asks,\n"
     "appends a genesis that names you and the reason, and reads back whether it counts. Promoters "
     "may run meanwhile;\n"
     "they go on by themselves within 30 s. Every id made from then on names the new epoch.\n"
     "\n"
     "Where no genesis and no checkpoint is left, nothing tells which numbers were given: write "
     "each pipeline's next\n"
     "release, and its next sequence where you know it, into a file for --numbers:\n"
     "  shop: {release: 43, sequence: 901}\n"
     "\n"
     "  gantry topics new-epoch 3 --config gantry.yaml --reason 'retention was on until Tuesday'",
     cmd_topics_new_epoch},
    {"audit verify", "[PARTITION]",
     "Walk the ledger's chain and name the first break; exit 1 if there is one.", NULL,
     cmd_audit_verify},
};

static const char intro[] = "usage: gantry COMMAND ...\n"
                            "\n"
                            "Gantry brings a commit to PROD: builds the image once, deploys it to "
                            "DEV, and promotes that same digest as\n"
                            "people approve it.\n"
                            "\n";

static const char outro[] = "\n"
                            "`gantry COMMAND --help` tells more. GANTRY_URL is the console's "
                            "address (http://127.0.0.1:8080), GANTRY_TOKEN\n"
                            "your token. Exit codes: 0 done, 1 it ended badly, 2 bad usage or "
                            "input, 3 not found, 4 not allowed, 5 refused,\n"
                            "6 cannot reach, 7 waited too long.\n";

static void print_help(FILE *to)
{
    fputs(intro, to);
    fprintf(to, "  %-17s %s\n", "up", "Run all services on this machine under one supervisor.");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(to, "  %-17s %s\n", commands[i].name, commands[i].summary);
    fprintf(to, "  %-17s %s\n", "version", "Print the version.");
    fputs(outro, to);
}

const struct cli_command *cli_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    abort();
}

/* The command whose one or two words argv begins with; *used gets how many. */
static const struct cli_command *find(int argc, char **argv, int *used)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const char *name = commands[i].name, *blank = strchr(name, ' ');
        size_t first = blank ? (size_t)(blank - name) : strlen(name);

        if (strlen(argv[0]) != first || strncmp(argv[0], name, first) != 0)
            continue;
        if (!blank || (argc > 1 && strcmp(argv[1], blank + 1) == 0)) {
            *used = blank ? 2 : 1;
            return &commands[i];
        }
    }
    return NULL;
}

static int unknown(int argc, char **argv)
{
    bool group = false;

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const char *blank = strchr(commands[i].name, ' ');

        if (!blank || strlen(argv[0]) != (size_t)(blank - commands[i].name) ||
            strncmp(argv[0], commands[i].name, strlen(argv[0])) != 0)
            continue;
        if (!group)
            cli_fail(0,
                     argc > 1 ? "there is no command '%s %s'; there are:"
                              : "'%s' needs a second word:",
                     argv[0], argc > 1 ? argv[1] : "");
        group = true;
        fprintf(stderr, "  gantry %s %s\n", commands[i].name, commands[i].usage);
    }
    if (!group)
        cli_fail(0, "there is no command '%s'; `gantry --help` lists them", argv[0]);
    return EXIT_USAGE;
}

/* The environment's settings; options override them. */
static int from_environment(struct cli *cli)
{
    const char *url = getenv("GANTRY_URL"), *approver = getenv("GANTRY_APPROVER_URL");
    const char *token = getenv("GANTRY_TOKEN"), *file = getenv("GANTRY_TOKEN_FILE");
    struct buf text;
    struct err err;

    cli->url = mem_strdup(url && *url ? url : "http://127.0.0.1:8080");
    cli->approver_url = approver && *approver ? mem_strdup(approver) : NULL;
    cli->color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    if (token && *token) {
        cli->token = mem_strdup(token);
    } else if (file && *file) {
        if (file_read(&text, file, 4096, &err) < 0)
            return cli_fail(EXIT_USAGE, "GANTRY_TOKEN_FILE: %s", err.msg);
        cli->token = mem_strndup(buf_cstr(&text), strcspn(buf_cstr(&text), " \t\r\n"));
        buf_release(&text);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct cli_command *command;
    struct cli cli = {0};
    int used = 0, rc;

    setlocale(LC_CTYPE, "");
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_DONE;
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        puts("gantry " GANTRY_VERSION);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "up") == 0)
        return cmd_up(argc - 1, argv + 1);
    command = find(argc - 1, argv + 1, &used);
    if (!command)
        return unknown(argc - 1, argv + 1);
    rc = from_environment(&cli);
    if (rc == 0)
        rc = command->run(&cli, argc - 1 - used, argv + 1 + used);
    api_close(&cli);
    if (cli.token)
        mem_wipe(cli.token, strlen(cli.token));
    free(cli.token);
    free(cli.url);
    free(cli.approver_url);
    return rc;
}
