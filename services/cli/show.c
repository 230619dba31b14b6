/* What is: pipelines, releases, approvals, environments. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "services/cli/cli.h"

#define SHOWN_DEFAULT 20

static const char *icon(const char *status)
{
    static const char *const icons[][2] = {
        {"succeeded", "✔"}, {"failed", "✘"},     {"in-progress", "●"}, {"waiting", "◌"},
        {"stopped", "■"},   {"superseded", "»"}, {"skipped", "–"},     {"abandoned", "–"}};

    for (size_t i = 0; i < sizeof icons / sizeof icons[0]; i++)
        if (strcmp(icons[i][0], status) == 0)
            return icons[i][1];
    return "·";
}

/* ---- pipelines ---- */

static const char *stage_cell(const json_t *stage, struct buf *out)
{
    const json_t *current = jget(stage, "current"), *waiting = jget(stage, "waiting");
    const char *style = NULL;

    if (current) {
        style = table_status_style(jstr(current, "status"));
        buf_addf(out, "%s %s %lld", jstr(stage, "name"), icon(jstr(current, "status")),
                 (long long)jnum(current, "release"));
    } else {
        buf_addf(out, "%s", jstr(stage, "name"));
    }
    if (json_array_size(waiting)) {
        const json_t *newest = json_array_get(waiting, json_array_size(waiting) - 1);
        char held[32];

        held_first(jget(newest, "held"), held);
        buf_addf(out, " (%lld waits%s%s)", (long long)jnum(newest, "release"), *held ? ": " : "",
                 held);
        style = style ? style : "wait";
    }
    if (jget(stage, "disabled"))
        buf_adds(out, " [disabled]");
    if (jget(stage, "removed"))
        buf_adds(out, " [removed from the definition]");
    return style;
}

static void print_pipeline(const struct cli *cli, const json_t *pipeline, int width)
{
    const json_t *stage;
    struct buf cell;
    size_t i;

    printf("%s%-*s%s", style_on(cli->color, "strong"), width, jstr(pipeline, "name"),
           style_off(cli->color));
    json_array_foreach(jget(pipeline, "stages"), i, stage)
    {
        const char *style;

        buf_init(&cell, 512);
        style = stage_cell(stage, &cell);
        printf("%s%s%s%s", i ? "  →  " : "  ", style_on(cli->color, style), buf_cstr(&cell),
               style ? style_off(cli->color) : "");
        buf_release(&cell);
    }
    json_array_foreach(jget(pipeline, "pins"), i, stage)
        printf("%s%s", i ? ", " : "  pinned: ", jstr(stage, "environment"));
    putchar('\n');
}

int cmd_pipelines(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("pipelines");
    struct api_reply reply = {0};
    struct strv words = {0};
    char after[80] = "";
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 0, 0), width = 8;

    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    do {
        const json_t *pipeline;
        size_t i;

        rc = api_get(cli, &reply, "/api/v1/pipelines?limit=500%s%s", *after ? "&cursor=" : "",
                     after);
        if (rc != 0)
            break;
        if (cli->json)
            print_json(reply.json);
        json_array_foreach(jget(reply.json, "pipelines"), i, pipeline)
        {
            int len = (int)strlen(jstr(pipeline, "name"));

            width = len > width ? len : width;
        }
        json_array_foreach(jget(reply.json, "pipelines"), i, pipeline) if (!cli->json)
            print_pipeline(cli, pipeline, width);
        if (!cli->json && i == 0 && !*after)
            printf("no pipelines yet; `gantry apply -f FILE` makes one\n");
        snprintf(after, sizeof after, "%s", jstr(reply.json, "next"));
        api_reply_release(&reply);
    } while (*after);
    api_reply_release(&reply);
    return rc;
}

/* ---- releases ---- */

int cmd_releases(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"RELEASE", "STATUS",  "WHERE",     "COMMIT",
                                          "MESSAGE", "STARTED", "WAITS FOR", NULL};
    const struct cli_command *self = cli_command("releases");
    const char *status = NULL;
    int64_t limit = SHOWN_DEFAULT;
    const struct cli_flag flags[] = {
        {"limit", 'n', FLAG_NUM, &limit, "N", "how many (20)"},
        {"status", 's', FLAG_STR, &status, "STATUS", "only these, comma-separated"},
        {0},
    };
    struct api_reply reply = {0};
    struct strv words = {0};
    struct table *table;
    const json_t *release;
    char when[40], commit[16];
    size_t i;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    rc = api_get(cli, &reply, "/api/v1/pipelines/%s/releases?limit=%lld%s%s", words.items[0],
                 (long long)limit, status ? "&status=" : "", status ? status : "");
    if (rc != 0 || cli->json) {
        if (rc == 0)
            print_json(reply.json);
        goto out;
    }
    table = table_new(columns);
    json_array_foreach(jget(reply.json, "releases"), i, release)
    {
        const json_t *stages = jget(release, "stages");
        const json_t *last = json_array_get(stages, json_array_size(stages) - 1);
        char *held = held_text(jget(last, "held"), NULL);

        table_cell(table, "strong", "%s/%lld%s", jstr(release, "pipeline"),
                   (long long)jnum(release, "number"),
                   strcmp(jstr(release, "type"), "rollback") == 0 ? " (rollback)" : "");
        table_cell(table, table_status_style(jstr(release, "status")), "%s",
                   jstr(release, "status"));
        table_cell(table, NULL, "%s", jstr(last, "name"));
        table_cell(table, NULL, "%s", short_commit(jstr(release, "commit"), commit));
        table_cell(table, NULL, "%.50s", jstr(release, "message"));
        table_cell(table, "quiet", "%s", ago(jnum(release, "startedMs"), when));
        table_cell(table, NULL, "%s", held);
        free(held);
    }
    table_print(table, cli->color);
out:
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}

/* ---- one release ---- */

static void print_duration(const json_t *run)
{
    int64_t from = jnum(run, "startedMs") ? jnum(run, "startedMs") : jnum(run, "requestedMs");
    int64_t to = jnum(run, "endedMs") ? jnum(run, "endedMs") : clock_now_ms();
    char text[32];

    if (!from)
        return;
    clock_human(to > from ? to - from : 0, text);
    printf("  %s", text);
}

static void print_finished(const struct cli *cli, const json_t *finished)
{
    const json_t *line;
    size_t i;

    if (*jstr(finished, "phase"))
        printf("        phase %s", jstr(finished, "phase"));
    if (*jstr(finished, "command"))
        printf(", command `%s`", jstr(finished, "command"));
    if (jnum(finished, "exitCode"))
        printf(", exit code %lld", (long long)jnum(finished, "exitCode"));
    if (*jstr(finished, "phase"))
        putchar('\n');
    json_array_foreach(jget(finished, "logTail"), i, line)
        printf("        %s| %s%s\n", style_on(cli->color, "quiet"), json_string_value(line),
               style_off(cli->color));
}

/* A line a group. */
static void print_reports(const struct cli *cli, const json_t *reports)
{
    const json_t *report;
    struct buf words;
    size_t i;

    json_array_foreach(reports, i, report)
    {
        const char *style;

        buf_init(&words, 8192);
        style = report_words(report, &words);
        printf("        %s%s%s\n", style_on(cli->color, style), buf_cstr(&words),
               style ? style_off(cli->color) : "");
        buf_release(&words);
    }
}

/* What is kept of it, a line each, and what it took. */
static void print_kept(const struct cli *cli, const json_t *finished)
{
    const json_t *file;
    struct buf words;
    size_t i;

    json_array_foreach(jget(finished, "files"), i, file)
    {
        buf_init(&words, 8192);
        kept_words(file, &words);
        printf("        %s\n", buf_cstr(&words));
        buf_release(&words);
    }
    buf_init(&words, 8192);
    usage_words(jget(finished, "usage"), &words);
    if (words.len)
        printf("        %s%s%s\n", style_on(cli->color, "quiet"), buf_cstr(&words),
               style_off(cli->color));
    buf_release(&words);
}

/* A build of a batch stands below its action, by its identifier. */
static void print_action(const struct cli *cli, const json_t *action)
{
    const json_t *runs = jget(action, "runs"),
                 *run = json_array_get(runs, json_array_size(runs) - 1);
    const char *status = jstr(run, "status"), *build = strchr(jstr(action, "name"), '/');

    printf("    %s%s%s %s%s  %s", build ? "  " : "",
           style_on(cli->color, table_status_style(status)), icon(status),
           build ? build + 1 : jstr(action, "name"), style_off(cli->color),
           build ? "build of the batch" : jstr(action, "kind"));
    if (*jstr(run, "environment"))
        printf(" to %s", jstr(run, "environment"));
    if (jnum(run, "attempt") > 1)
        printf("  attempt %lld", (long long)jnum(run, "attempt"));
    print_duration(run);
    if (jget(run, "silent") && strcmp(status, "in-progress") == 0) {
        char silent[40];

        printf("  %snot heard of for %s%s", style_on(cli->color, "wait"),
               span(jnum(jget(run, "silent"), "forMs"), silent), style_off(cli->color));
    }
    putchar('\n');
    print_reports(cli, jget(run, "reports"));
    print_kept(cli, jget(run, "finished"));
    if (strcmp(status, "failed") == 0) {
        printf("        %s%s%s\n", style_on(cli->color, "bad"), jstr(run, "reason"),
               style_off(cli->color));
        print_finished(cli, jget(run, "finished"));
    }
}

/* Builds of its batch that were not asked for. */
static void print_planned(const struct cli *cli, const json_t *stage, const json_t *action)
{
    const json_t *runs = jget(action, "runs"), *build, *other;
    const json_t *run = json_array_get(runs, json_array_size(runs) - 1);
    const char *status = jnum(run, "endedMs") ? "skipped" : "waiting";
    size_t i, j;

    json_array_foreach(jget(jget(run, "batch"), "builds"), i, build)
    {
        char *name = mem_printf("%s/%s", jstr(action, "name"), jstr(build, "identifier"));
        bool asked = false;

        json_array_foreach(jget(stage, "actions"), j, other) asked =
            asked || strcmp(jstr(other, "name"), name) == 0;
        if (!asked)
            printf("      %s%s %s%s  %s\n", style_on(cli->color, table_status_style(status)),
                   icon(status), jstr(build, "identifier"), style_off(cli->color), status);
        free(name);
    }
}

static void print_approval(const struct cli *cli, const json_t *approval)
{
    const json_t *vote;
    size_t i;

    printf("    %s  %s %zu of %lld", jstr(approval, "gate"),
           *jstr(approval, "outcome") ? jstr(approval, "outcome") : "open,",
           count_votes(approval, "approve"), (long long)jnum(approval, "count"));
    if (*jstr(approval, "message"))
        printf("  %s\"%s\"%s", style_on(cli->color, "quiet"), jstr(approval, "message"),
               style_off(cli->color));
    putchar('\n');
    json_array_foreach(jget(approval, "votes"), i, vote)
    {
        const json_t *voter = jget(vote, "voter");

        printf("        %s by %s%s%s\n", jstr(vote, "verdict"),
               *jstr(voter, "name") ? jstr(voter, "name") : jstr(voter, "subject"),
               *jstr(vote, "comment") ? ": " : "", jstr(vote, "comment"));
    }
}

static void print_words(const struct cli *cli, const char *label, const json_t *what,
                        void (*add)(const json_t *what, struct buf *out))
{
    struct buf words;

    buf_init(&words, 8192);
    add(what, &words);
    printf("    %s%s%s %s\n", style_on(cli->color, "wait"), label, style_off(cli->color),
           buf_cstr(&words));
    buf_release(&words);
}

static bool is_at(const json_t *item, const json_t *stage)
{
    return strcmp(jstr(item, "stage"), jstr(stage, "name")) == 0;
}

/* What holds it, what checks said and what people let it pass. */
static void print_gates(const struct cli *cli, const json_t *release, const json_t *stage)
{
    bool waits = strcmp(jstr(stage, "status"), "waiting") == 0;
    const json_t *item;
    char when[40];
    size_t i;

    json_array_foreach(jget(stage, "held"), i, item) print_words(cli, "waits:", item, held_words);
    json_array_foreach(jget(release, "checks"), i, item)
    {
        if (is_at(item, stage) && !waits)
            print_words(cli, "check:", item, answer_words);
    }
    json_array_foreach(jget(release, "passes"), i, item)
    {
        if (is_at(item, stage))
            printf("    %s%s%s %s by %s%s%s, %s\n", style_on(cli->color, "wait"), jstr(item, "how"),
                   style_off(cli->color), jstr(item, "gate"), jstr(item, "by"),
                   *jstr(item, "reason") ? ": " : "", jstr(item, "reason"),
                   ago(jnum(item, "timeMs"), when));
    }
}

static void print_stage(const struct cli *cli, const json_t *release, const json_t *stage)
{
    const char *status = jstr(stage, "status");
    const json_t *item;
    size_t i;

    printf("  %s%s %s%s  %s%s%s\n", style_on(cli->color, table_status_style(status)), icon(status),
           jstr(stage, "name"), style_off(cli->color), status, *jstr(stage, "reason") ? ": " : "",
           jstr(stage, "reason"));
    if (jbool(stage, "automatic"))
        printf("    retried by itself%s%s\n", *jstr(stage, "entryReason") ? ": " : "",
               jstr(stage, "entryReason"));
    if (jnum(stage, "number") <= 1)
        print_gates(cli, release, stage);
    json_array_foreach(jget(release, "approvals"), i,
                       item) if (strcmp(jstr(item, "stage"), jstr(stage, "name")) == 0 &&
                                 jnum(stage, "number") <= 1) print_approval(cli, item);
    json_array_foreach(jget(stage, "actions"), i, item)
    {
        print_action(cli, item);
        print_planned(cli, stage, item);
    }
    json_array_foreach(jget(stage, "skipped"), i, item)
        printf("    %s%s %s  skipped%s\n", style_on(cli->color, table_status_style("skipped")),
               icon("skipped"), json_string_value(item), style_off(cli->color));
}

static void print_release(const struct cli *cli, const json_t *release)
{
    const char *status = jstr(release, "status");
    const json_t *item;
    char when[40], commit[16];
    size_t i;

    printf("%s%s/%lld%s  %s%s%s%s%s  started %s\n", style_on(cli->color, "strong"),
           jstr(release, "pipeline"), (long long)jnum(release, "number"), style_off(cli->color),
           style_on(cli->color, table_status_style(status)), status, style_off(cli->color),
           *jstr(release, "reason") ? ": " : "", jstr(release, "reason"),
           ago(jnum(release, "startedMs"), when));
    if (jnum(release, "failedRelease"))
        printf("  %srolled back by itself%s because release %lld failed\n",
               style_on(cli->color, "wait"), style_off(cli->color),
               (long long)jnum(release, "failedRelease"));
    if (jnum(release, "rolledBackBy"))
        printf("  rolled back by itself, by release %lld\n",
               (long long)jnum(release, "rolledBackBy"));
    if ((item = jget(release, "stop")))
        printf("  stopped by %s (%s)%s%s\n", jstr(item, "by"), jstr(item, "mode"),
               *jstr(item, "reason") ? ": " : "", jstr(item, "reason"));
    json_array_foreach(jget(release, "revisions"), i, item) printf(
        "  commit %s  %s\n", short_commit(jstr(item, "commit"), commit), jstr(item, "message"));
    json_array_foreach(jget(release, "artifacts"), i, item)
        printf("  image  %s@%s%s\n", jstr(item, "repository"), jstr(item, "digest"),
               *jstr(item, "signature") ? "  signed" : "");
    json_array_foreach(jget(release, "stages"), i, item) print_stage(cli, release, item);
}

int cmd_release_show(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("release show");
    struct api_reply reply = {0};
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 1, 1);

    if (rc != 0)
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    else if ((rc = api_get_release(cli, &reply, words.items[0])) == 0) {
        if (cli->json)
            print_json(reply.json);
        else
            print_release(cli, reply.json);
    }
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}

/* ---- approvals ---- */

int cmd_approvals(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"RELEASE", "STAGE", "GATE",    "VOTES", "ASKED",
                                          "DIGEST",  "SINCE", "MESSAGE", NULL};
    const struct cli_command *self = cli_command("approvals");
    struct api_call call = {.service = API_APPROVER, .path = "/api/v1/approvals"};
    struct api_reply reply = {0};
    struct strv words = {0};
    struct table *table;
    const json_t *approval, *by;
    char when[40], digest[32];
    size_t i, j;
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 0, 0);

    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    rc = api_send(cli, &call, &reply);
    if (rc != 0 || cli->json) {
        if (rc == 0)
            print_json(reply.json);
        goto out;
    }
    table = table_new(columns);
    json_array_foreach(jget(reply.json, "approvals"), i, approval)
    {
        struct buf asked;

        buf_init(&asked, 4096);
        json_array_foreach(jget(approval, "by"), j, by)
            buf_addf(&asked, "%s%s", j ? ", " : "", json_string_value(by));
        table_cell(table, "strong", "%s/%lld", jstr(approval, "pipeline"),
                   (long long)jnum(approval, "release"));
        table_cell(table, NULL, "%s", jstr(approval, "stage"));
        table_cell(table, NULL, "%s", jstr(approval, "gate"));
        table_cell(table, "wait", "%zu of %lld", count_votes(approval, "approve"),
                   (long long)jnum(approval, "count"));
        table_cell(table, NULL, "%s", buf_cstr(&asked));
        table_cell(table, NULL, "%s", short_digest(jstr(approval, "digest"), digest));
        table_cell(table, "quiet", "%s", ago(jnum(approval, "openedMs"), when));
        table_cell(table, NULL, "%s", jstr(approval, "message"));
        buf_release(&asked);
    }
    if (i == 0)
        puts("nothing waits for a vote");
    table_print(table, cli->color);
out:
    api_reply_release(&reply);
    return rc;
}

/* ---- environments ---- */

static bool is_asked(const struct strv *words, const json_t *item)
{
    return !words->count || strcmp(words->items[0], jstr(item, "environment")) == 0;
}

static void print_freezes(const struct cli *cli, const json_t *freezes, const struct strv *words)
{
    const json_t *freeze;
    char when[80];
    size_t i;

    json_array_foreach(freezes, i, freeze)
    {
        bool frozen = jbool(freeze, "frozen");

        if (!is_asked(words, freeze) || (!frozen && !jnum(freeze, "untilMs")))
            continue; /* over */
        printf("%s%s %s%s", style_on(cli->color, frozen ? "wait" : "quiet"),
               jstr(freeze, "environment"), frozen ? "is frozen" : "will be frozen",
               style_off(cli->color));
        if (jnum(freeze, "untilMs"))
            printf(" %s %s", frozen ? "until" : "from", moment(jnum(freeze, "untilMs"), when));
        printf(": %s  %s[%s]%s\n", jstr(freeze, "reason"), style_on(cli->color, "quiet"),
               jstr(freeze, "window"), style_off(cli->color));
    }
}

static void print_pins(const struct cli *cli, const json_t *pins, const struct strv *words)
{
    const json_t *pin;
    char when[40], digest[32];
    size_t i;

    json_array_foreach(pins, i, pin)
    {
        if (is_asked(words, pin))
            printf("%s%s is pinned%s for %s to %s by %s %s: %s\n", style_on(cli->color, "wait"),
                   jstr(pin, "environment"), style_off(cli->color), jstr(pin, "pipeline"),
                   short_digest(jstr(pin, "digest"), digest), jstr(pin, "by"),
                   ago(jnum(pin, "sinceMs"), when), jstr(pin, "reason"));
    }
}

int cmd_env(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"ENVIRONMENT", "PIPELINE", "RELEASE", "DIGEST",
                                          "COMMIT",      "SINCE",    "BEHIND",  NULL};
    const struct cli_command *self = cli_command("env");
    struct api_reply reply = {0};
    struct strv words = {0};
    struct table *table;
    const json_t *entry;
    char when[40], digest[32], commit[16];
    size_t i;
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 0, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    rc = api_get(cli, &reply, "/api/v1/environments");
    if (rc != 0 || cli->json) {
        if (rc == 0)
            print_json(reply.json);
        goto out;
    }
    table = table_new(columns);
    json_array_foreach(jget(reply.json, "running"), i, entry)
    {
        if (!is_asked(&words, entry))
            continue;
        table_cell(table, "strong", "%s", jstr(entry, "environment"));
        table_cell(table, NULL, "%s", jstr(entry, "pipeline"));
        table_cell(table, NULL, "%lld", (long long)jnum(entry, "release"));
        table_cell(table, NULL, "%s", short_digest(jstr(entry, "digest"), digest));
        table_cell(table, NULL, "%s", short_commit(jstr(entry, "commit"), commit));
        table_cell(table, "quiet", "%s", ago(jnum(entry, "sinceMs"), when));
        table_cell(table, jnum(entry, "behind") ? "wait" : "good", "%lld",
                   (long long)jnum(entry, "behind"));
    }
    table_print(table, cli->color);
    print_freezes(cli, jget(reply.json, "freezes"), &words);
    print_pins(cli, jget(reply.json, "pins"), &words);
out:
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}
