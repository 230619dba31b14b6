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
    {"diff", "-f FILE|-", "Show what apply would change; exit 1 if it would change anything.",
     "First by what it means, stages, gates, actions and sources by their names, then as text.\n"
     "  gantry diff -f pipeline.yaml --summary",
     cmd_diff},
    {"get", "[KIND [NAME]]", "List definitions, or print one as it was given.",
     "  gantry get pipeline shop > shop.yaml", cmd_get},
    {"delete", "KIND NAME | -f FILE", "Delete definitions; running releases finish.", NULL,
     cmd_delete},
    {"check", "FILE...", "Check definitions offline: every mistake with file, line and path.",
     "With -o json, {files, mistakes}: each mistake with file, line, column, path, reason and, if "
     "a "
     "known word is near,\n"
     "nearest. Exit 2 if there is any.",
     cmd_check},
    {"buildspec check", "FILE...",
     "Check buildspecs offline: every mistake with file, line, column and path.",
     "FILE is a buildspec.yml of AWS CodeBuild, version 0.1 or 0.2; - is standard input. Nothing "
     "is "
     "run and nobody is asked.\n"
     "An error is what the builder refuses: a wrong type, a value that is not allowed, builds of a "
     "batch that wait for\n"
     "each other. A warning is what it leaves out or decides: an unknown key (with the nearest "
     "known one), a variable that\n"
     "stands in two places. Exit 0 without errors, 2 with any.\n"
     "\n"
     "  gantry buildspec check buildspec.yml ci/*.yml\n"
     "  git show main:buildspec.yml | gantry buildspec check -\n"
     "\n"
     "-o json lists the files, each with its problems and, where it has a batch, the builds that "
     "it "
     "makes, by name:\n"
     "  gantry buildspec check -o json buildspec.yml | jq -r '.[].batch[]?.identifier'\n"
     "\n"
     "docs/reference/buildspec.md has every key and what differs from CodeBuild.",
     cmd_buildspec_check},
    {"pipelines", "", "Where is which release.", NULL, cmd_pipelines},
    {"releases", "PIPELINE", "The releases of a pipeline, newest first.", NULL, cmd_releases},
    {"release start", "PIPELINE", "Start a release by hand.",
     "Sources that no option names are at their newest known commit.\n"
     "  gantry release start shop --revision 3f2c... --variable LOG_LEVEL=debug\n"
     "  gantry release start shop --revision app=3f2c... --revision conf=9d01...",
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
    {"release promote", "PIPELINE/NUMBER [STAGE]",
     "Let a release go on that a `manual` gate holds; other gates still count.",
     "  gantry release promote shop/42 prod", cmd_release_promote},
    {"release watch", "PIPELINE[/NUMBER]",
     "Follow a release until it ends; exit 0 only if it succeeded.",
     "Without a number: the newest, or the next that starts.", cmd_release_watch},
    {"transition disable", "PIPELINE STAGE --reason TEXT",
     "Let no release enter a stage until it is enabled again.",
     "Releases wait before the stage, the reason beside them; in mode superseded the newest takes "
     "the place of older ones.\n"
     "What is inside the stage goes on, and a rollback still enters.\n"
     "  gantry transition disable shop prod --reason 'the fair, until Monday'",
     cmd_transition_disable},
    {"transition enable", "PIPELINE STAGE", "Let releases enter a stage again.",
     "  gantry transition enable shop prod", cmd_transition_enable},
    {"gate override", "PIPELINE/NUMBER STAGE GATE --reason TEXT",
     "Let one release pass without a gate.",
     "For emergencies: who, when and why are kept for ever, and notification rules of "
     "gate.overridden tell of it.\n"
     "GATE is a name that `gantry release show` gives (approval, soak, window, check, approval-2 "
     "...), or disabled, or\n"
     "freeze. Only this release passes, and only this once; an open approval closes as "
     "overridden. A pin cannot be\n"
     "overridden: unpin.\n"
     "  gantry gate override shop/42 prod approval --reason 'PROD is down, Kim agreed by phone'",
     cmd_gate_override},
    {"pin", "PIPELINE ENVIRONMENT --reason TEXT",
     "Keep an environment on a digest: only releases of that digest are deployed there.",
     "Of this pipeline alone. Everything else waits, rollbacks too, whether a person or Gantry "
     "itself began it.\n"
     "  gantry pin shop prod --reason 'measuring until Friday'",
     cmd_pin},
    {"unpin", "PIPELINE ENVIRONMENT", "Let releases be deployed to an environment again.",
     "  gantry unpin shop prod", cmd_unpin},
    {"approvals", "", "What waits for a vote.", NULL, cmd_approvals},
    {"approve", "PIPELINE/NUMBER STAGE [GATE]", "Vote for letting a release into a stage.",
     "Shows what the vote would let in and asks, unless --yes. The vote counts for the digest "
     "shown alone.\n"
     "GATE is a name that `gantry approvals` gives; needed only where several that you may vote on "
     "are open.\n"
     "  gantry approve shop/42 prod approval-2",
     cmd_approve},
    {"reject", "PIPELINE/NUMBER STAGE [GATE]", "Vote against letting a release into a stage.",
     "Shows what it is about and asks, unless --yes. GATE as for `gantry approve`.", cmd_reject},
    {"logs", "PIPELINE/NUMBER [STAGE] ACTION", "The output of an action; -f follows it.", NULL,
     cmd_logs},
    {"artifacts", "PIPELINE/NUMBER [NAME]",
     "What a release's builds left in the artifact store; with a name, that file.",
     "  gantry artifacts shop/12\n"
     "  gantry artifacts shop/12 docs -O docs.zip\n"
     "The console must read the store: console.artifacts.\n",
     cmd_artifacts},
    {"env freeze", "ENVIRONMENT --window TEXT --reason TEXT",
     "Let nothing enter a stage that deploys there while a window is open.",
     "Adds the window to `freeze` of the Environment, whose text is else kept as it was written; "
     "needs the role admin.\n"
     "Of all pipelines; a rollback still enters.\n"
     "  gantry env freeze prod --window '2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin' "
     "--reason holidays\n"
     "  gantry env freeze prod --window 'Fri 12:00-23:59 Europe/Berlin' --reason 'no Friday "
     "deploys'\n"
     "  gantry env freeze prod --for 2h --reason 'database upgrade'",
     cmd_env_freeze},
    {"env unfreeze", "ENVIRONMENT", "Take out its freezes, or the one of a window.",
     "  gantry env unfreeze prod", cmd_env_unfreeze},
    {"env", "[ENVIRONMENT]", "What runs where, what is pinned and frozen.", NULL, cmd_env},
    {"token create", "NAME", "Make a local token; it is shown once.",
     "  gantry token create kim --email kim@example.test --role developer --group web",
     cmd_token_create},
    {"token list", "", "The local tokens.", NULL, cmd_token_list},
    {"token delete", "NAME", "Delete a local token; it is refused from then on.", NULL,
     cmd_token_delete},
    {"secret set", "NAME [--file FILE|-]", "Keep a parameter or secret for builds; a new version.",
     "The value is read from FILE, from standard input where that is no terminal, or asked for "
     "without showing it. It is\n"
     "never an argument: others on the machine could read that. One newline at its end is not part "
     "of it.\n"
     "\n"
     "A buildspec reads it as env.parameter-store or env.secrets-manager, once its pipeline was "
     "granted it; of a JSON\n"
     "object also one key (NAME:KEY), and the version before (NAME::AWSPREVIOUS). Values are "
     "masked in logs. Nobody can\n"
     "read one back here.\n"
     "  gantry secret set shop/db --file db.json\n"
     "  openssl rand -hex 24 | gantry secret set shop/session-key\n"
     "  gantry secret grant shop 'shop/*'",
     cmd_secret_set},
    {"secret list", "", "Names, versions and grants; never a value.", NULL, cmd_secret_list},
    {"secret rm", "NAME", "Remove a parameter or secret, all versions of it.",
     "Builds that ask for it fail from then on. There is no undo.", cmd_secret_rm},
    {"secret grant", "PIPELINE PATH", "Let a pipeline's builds read names; --revoke takes it back.",
     "Both are globs: * stands for anything but a slash, ** for anything. Without a grant a build "
     "reads nothing.\n"
     "  gantry secret grant shop 'shop/**'\n"
     "  gantry secret grant 'web-*' shared/npm-token\n"
     "  gantry secret grant shop 'shop/**' --revoke",
     cmd_secret_grant},
    {"secret rotate", "", "Seal everything anew under the master key that the builder has now.",
     "Makes a new key for the store and seals the key of every value under it; values stay as they "
     "are. To change the\n"
     "master key: name the new one as builder.master-key and the old one as "
     "builder.old-master-key, restart the\n"
     "builder, rotate, and remove the old one. From a file to AWS KMS (kms:alias/NAME) and back "
     "likewise.",
     cmd_secret_rotate},
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
    {"replay", "[--until TIME|SEQUENCE] [--pipeline PIPELINE]",
     "Rebuild all state from the ledger alone: what ran where, now or then.",
     "Folds every Decision that counts, from the first, and shows what each environment ran, which "
     "releases were under\n"
     "way and which approvals were open. With --until, as of then. Without, it also compares: with "
     "--config FILE (or\n"
     "GANTRY_CONFIG) it reads Kafka and holds each state, byte for byte, against what the promoter "
     "keeps in\n"
     "promoter.state; else it reads through the console and compares what the console says runs "
     "where. Exit 1 and the\n"
     "first difference if they differ.\n"
     "\n"
     "  gantry replay --until 2026-01-31T09:00:00Z\n"
     "  gantry replay --until 2h --pipeline shop -o json\n"
     "  gantry replay --config gantry.yaml",
     cmd_replay},
    {"policy test", "FILE",
     "Try a changed definition on past releases: which decisions would have differed.",
     "Gives what came in then (revisions, commands, results, votes, at their times) to the engine "
     "under the definition in\n"
     "FILE and compares what becomes of each release. Environments in FILE are used, too. Exit 1 "
     "if anything differs,\n"
     "2 if FILE has mistakes. Nothing is changed.\n"
     "\n"
     "It cannot know everything. An executor or a voter answers as long after being asked as it "
     "took then; an action that\n"
     "did not run then succeeds after as long as it took the last time, or at once if it never "
     "ran; a check that was not\n"
     "asked says yes; an approval that nobody was asked for gets no votes. Commands that were "
     "refused then are not tried\n"
     "again, and definitions applied since are passed over.\n"
     "\n"
     "  gantry policy test pipeline.yaml --since 30d",
     cmd_policy_test},
    {"build", "--local [DIR] [--buildspec FILE] [--batch] [--env NAME[=VALUE]]...",
     "Run a buildspec on this machine, as a builder would, without Kafka.",
     "Copies DIR (the current folder) as it is, changed, untracked and ignored files included, all "
     "but .git, into a\n"
     "sandbox like a builder's and runs buildspec.yml there: nothing that the commands do reaches "
     "the folder, your home\n"
     "or your processes. No repository is needed. The log goes to standard output: what the "
     "commands write, as they\n"
     "write it, with the builder's lines between; at the end the exported variables. Ctrl-C stops "
     "every process of it.\n"
     "Exit 0: succeeded, 1: failed, 2: no valid buildspec.\n"
     "--batch runs all builds of the buildspec's batch instead of its phases, one after the other, "
     "each in a copy of its\n"
     "own; the last lines say how each ended.\n"
     "\n"
     "It needs bubblewrap, uidmap and, for images, buildah, and a range of ids in /etc/subuid and "
     "/etc/subgid: your\n"
     "own, or, as root, that of the user whom it becomes (deploy/builder-user makes one).\n"
     "\n"
     "  gantry build --local\n"
     "  gantry build --local services/shop --buildspec ci/buildspec.yml --env STAGE=test --env "
     "NPM_TOKEN\n"
     "  gantry build --local --batch\n"
     "  gantry build --local --image 127.0.0.1:5000/shop     # pushes, prints the digest",
     cmd_build},
    {"import codepipeline", "FILE|-", "Translate an AWS CodePipeline into definitions.",
     "FILE is what `aws codepipeline get-pipeline` prints, or a CloudFormation template (JSON or "
     "YAML) with pipelines in\n"
     "it. The definitions go to standard output: environments, then pipelines, with comments where "
     "something needs\n"
     "attention. They apply as they are. The report goes to standard error, a line a thing:\n"
     "  kept         means the same here\n"
     "  changed      means something else here, or is left out\n"
     "  needs you    has to be done before, or soon after, it is applied\n"
     "  placeholder  a value that only the stack knew (!Ref, !ImportValue ...): where it stands\n"
     "Every placeholder begins with placeholder-, so that `grep placeholder-` finds what is left. "
     "-p fills in what a\n"
     "template calls its parameters. What has no counterpart becomes an action custom/NAME with "
     "its configuration as\n"
     "input (docs/extend.md). docs/from-codepipeline.md goes through one.\n"
     "\n"
     "  aws codepipeline get-pipeline --name shop | gantry import codepipeline - > shop.yaml\n"
     "  gantry import codepipeline template.yaml -p Branch=main -p AWS::Region=eu-central-1 > "
     "shop.yaml\n"
     "  gantry check shop.yaml",
     cmd_import_codepipeline},
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
    fprintf(to, "  %-19s %s\n", "up", "Run all services on this machine under one supervisor.");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(to, "  %-19s %s\n", commands[i].name, commands[i].summary);
    fprintf(to, "  %-19s %s\n", "version", "Print the version.");
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
    const char *builder = getenv("GANTRY_BUILDER_URL");
    const char *token = getenv("GANTRY_TOKEN"), *file = getenv("GANTRY_TOKEN_FILE");
    struct buf text;
    struct err err;

    cli->url = mem_strdup(url && *url ? url : "http://127.0.0.1:8080");
    cli->approver_url = approver && *approver ? mem_strdup(approver) : NULL;
    cli->builder_url = mem_strdup(builder && *builder ? builder : "http://127.0.0.1:8083");
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
    free(cli.builder_url);
    return rc;
}
