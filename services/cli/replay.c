/* `gantry replay`: state out of the ledger alone. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "engine/saved.h"
#include "services/cli/replay.h"

#define CONSOLE_TRIES 5 /* it folds events, a moment behind the ledger */
#define CONSOLE_MS    1000

struct task {
    struct cli *cli;
    struct replay_source source;
    const char *pipeline; /* NULL: all */
    int64_t until_ms;     /* INT64_MAX: no limit */
    uint64_t until_sequence;
    bool limited;
    json_t *out;
};

/* ---- one partition ---- */

struct walk {
    struct replay replay;
    struct kept *kept;
};

static int on_record(int64_t offset, const void *value, size_t len, void *arg)
{
    struct walk *walk = arg;
    int rc = replay_fold(offset, value, len, &walk->replay);

    if (rc >= 0 && walk->kept)
        kept_look(walk->kept, &walk->replay);
    return rc;
}

static void differs(struct task *task, const struct replay *replay, int32_t partition,
                    const char *what)
{
    json_array_append_new(json_object_get(task->out, "differences"),
                          json_pack("{s:i, s:s, s:I, s:I, s:s}", "partition", (int)partition,
                                    "pipeline", "", "sequence", (json_int_t)0, "offset",
                                    (json_int_t)replay->at, "difference", what));
}

static void add_partition(struct task *task, const struct walk *walk, int32_t partition)
{
    const struct chain *chain = &walk->replay.chain;
    char head[SHA256_HEX_SIZE] = "";

    if (chain->counted)
        hex_encode(chain->head, SHA256_SIZE, head);
    json_array_append_new(
        json_object_get(task->out, "partitions"),
        json_pack("{s:i, s:I, s:I, s:I, s:s, s:I, s:I, s:I}", "partition", (int)partition,
                  "decisions", (json_int_t)chain->counted, "void", (json_int_t)chain->voided,
                  "headOffset", (json_int_t)chain->head_offset, "head", head, "timeMs",
                  (json_int_t)chain->time_ms, "epoch", (json_int_t)chain->epoch, "comparedUpTo",
                  (json_int_t)(walk->kept ? kept_head(walk->kept) : -1)));
}

static int read_kept(struct task *task, struct walk *walk, int32_t partition)
{
    struct saved *saved;
    int rc;

    if (task->limited || !task->source.kafka)
        return 0;
    saved = saved_new();
    rc = replay_read_saved(&task->source, partition, saved);
    walk->kept = kept_new(saved);
    return rc;
}

/* What was read, as far as it went. */
static int conclude(struct task *task, struct walk *walk, int32_t partition, int64_t begin,
                    int64_t end, bool broken)
{
    struct replay *replay = &walk->replay;
    struct err err;

    if (broken)
        differs(task, replay, partition, replay->err.msg);
    else if (!replay->chain.begun && end > 0)
        differs(task, replay, partition,
                begin > 0 ? "its beginning is missing, so that the ledger alone does not give its "
                            "state any more"
                          : "no genesis counts, so none of its records is known to");
    else if (walk->kept)
        kept_finish(walk->kept, replay, json_object_get(task->out, "differences"));
    add_partition(task, walk, partition);
    if (!broken && replay_to_json(replay, walk->kept, task->out, &err) < 0)
        return cli_fail(EXIT_BAD_END, "%s", err.msg);
    return EXIT_DONE;
}

static int replay_partition(struct task *task, int32_t partition)
{
    struct walk walk = {0};
    int64_t begin = 0, end = 0;
    int rc;

    replay_init(&walk.replay);
    walk.replay.until_ms = task->until_ms;
    walk.replay.only = task->pipeline;
    walk.replay.until_sequence = task->until_sequence;
    rc = read_kept(task, &walk, partition);
    if (rc == 0)
        rc = replay_ends(&task->source, partition, &begin, &end);
    if (rc == 0)
        rc = replay_read(&task->source, partition, begin, end, on_record, &walk);
    if (rc == 0 || rc == EXIT_BAD_END)
        rc = conclude(task, &walk, partition, begin, end, rc != 0);
    replay_release(&walk.replay);
    kept_free(walk.kept);
    return rc;
}

static int replay_all(struct task *task)
{
    static const char *const lists[] = {"partitions", "pipelines", "environments",
                                        "releases",   "approvals", "differences"};
    int rc = EXIT_DONE;

    json_decref(task->out);
    task->out = json_object();
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        json_object_set_new(task->out, lists[i], json_array());
    if (task->pipeline)
        return replay_partition(
            task, topic_partition(task->pipeline, strlen(task->pipeline), task->source.count));
    for (int32_t i = 0; rc == EXIT_DONE && i < task->source.count; i++)
        rc = replay_partition(task, i);
    return rc;
}

/* ---- against the console ---- */

static const json_t *find_running(const json_t *list, const json_t *like)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        if (strcmp(jstr(entry, "environment"), jstr(like, "environment")) == 0 &&
            strcmp(jstr(entry, "pipeline"), jstr(like, "pipeline")) == 0 &&
            strcmp(jstr(entry, "action"), jstr(like, "action")) == 0)
            return entry;
    }
    return NULL;
}

static void compare_running(struct task *task, const json_t *ours, const json_t *theirs)
{
    const json_t *one = ours ? ours : theirs;
    char *what;

    if (ours && theirs && jnum(ours, "release") == jnum(theirs, "release") &&
        strcmp(jstr(ours, "digest"), jstr(theirs, "digest")) == 0)
        return;
    what =
        mem_printf("environment %s runs release %lld (%.19s) by the ledger, and %lld (%.19s) by "
                   "the console",
                   jstr(one, "environment"), (long long)jnum(ours, "release"), jstr(ours, "digest"),
                   (long long)jnum(theirs, "release"), jstr(theirs, "digest"));
    json_array_append_new(json_object_get(task->out, "differences"),
                          json_pack("{s:s, s:I, s:s}", "pipeline", jstr(one, "pipeline"),
                                    "sequence", (json_int_t)0, "difference", what));
    free(what);
}

static int compare_console(struct task *task)
{
    const json_t *ours = json_object_get(task->out, "environments"), *theirs, *entry;
    struct api_reply reply = {0};
    int rc = api_get(task->cli, &reply, "/api/v1/environments");
    size_t i;

    theirs = rc == 0 ? jget(reply.json, "running") : NULL;
    json_array_foreach(ours, i, entry)
    {
        if (rc == 0)
            compare_running(task, entry, find_running(theirs, entry));
    }
    json_array_foreach(theirs, i, entry)
    {
        if ((!task->pipeline || strcmp(task->pipeline, jstr(entry, "pipeline")) == 0) &&
            !find_running(ours, entry))
            compare_running(task, NULL, entry);
    }
    api_reply_release(&reply);
    return rc;
}

static int replay_compared(struct task *task)
{
    int rc;

    for (int i = 0; i < CONSOLE_TRIES; i++) {
        if (i)
            loop_run_for(task->cli->loop, CONSOLE_MS, NULL);
        rc = replay_all(task);
        if (rc == 0 && !task->limited && !task->source.kafka)
            rc = compare_console(task);
        if (rc != 0 || task->limited || task->source.kafka ||
            json_array_size(json_object_get(task->out, "differences")) == 0)
            break;
    }
    return rc;
}

/* ---- saying it ---- */

static void print_environments(const struct cli *cli, const json_t *list)
{
    static const char *const columns[] = {"ENVIRONMENT", "PIPELINE", "RELEASE", "DIGEST",
                                          "COMMIT",      "SINCE",    NULL};
    struct table *table = table_new(columns);
    char digest[32], commit[16], since[CLOCK_RFC3339_SIZE];
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        clock_rfc3339(jnum(entry, "sinceMs"), since);
        table_cell(table, "strong", "%s", jstr(entry, "environment"));
        table_cell(table, NULL, "%s", jstr(entry, "pipeline"));
        table_cell(table, NULL, "%lld", (long long)jnum(entry, "release"));
        table_cell(table, NULL, "%s", short_digest(jstr(entry, "digest"), digest));
        table_cell(table, NULL, "%s", short_commit(jstr(entry, "commit"), commit));
        table_cell(table, "quiet", "%s", since);
    }
    table_print(table, cli->color);
    if (json_array_size(list) == 0)
        printf("no environment ran anything\n");
}

static void print_releases(const struct cli *cli, const json_t *list)
{
    static const char *const columns[] = {"UNDER WAY", "STATUS", "STAGE", "HELD BY",
                                          "COMMIT",    "SINCE",  NULL};
    struct table *table = table_new(columns);
    char commit[16], since[CLOCK_RFC3339_SIZE];
    const json_t *entry, *held;
    size_t i, j;

    json_array_foreach(list, i, entry)
    {
        struct buf why;

        buf_init(&why, 4096);
        json_array_foreach(jget(entry, "heldBy"), j, held)
            buf_addf(&why, "%s%s", j ? ", " : "", json_string_value(held));
        clock_rfc3339(jnum(entry, "sinceMs"), since);
        table_cell(table, "strong", "%s/%lld", jstr(entry, "pipeline"),
                   (long long)jnum(entry, "release"));
        table_cell(table, table_status_style(jstr(entry, "status")), "%s", jstr(entry, "status"));
        table_cell(table, NULL, "%s", jstr(entry, "stage"));
        table_cell(table, NULL, "%s", buf_cstr(&why));
        table_cell(table, NULL, "%s", short_commit(jstr(entry, "commit"), commit));
        table_cell(table, "quiet", "%s", since);
        buf_release(&why);
    }
    putchar('\n');
    table_print(table, cli->color);
}

static void print_approvals(const struct cli *cli, const json_t *list)
{
    static const char *const columns[] = {"APPROVAL", "STAGE", "GATE", "DIGEST", "OPENED", NULL};
    struct table *table = table_new(columns);
    char digest[32], opened[CLOCK_RFC3339_SIZE];
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        clock_rfc3339(jnum(entry, "openedMs"), opened);
        table_cell(table, "strong", "%s/%lld", jstr(entry, "pipeline"),
                   (long long)jnum(entry, "release"));
        table_cell(table, NULL, "%s", jstr(entry, "stage"));
        table_cell(table, NULL, "%s (%lld of %lld)", jstr(entry, "gate"),
                   (long long)jnum(entry, "votes"), (long long)jnum(entry, "count"));
        table_cell(table, NULL, "%s", short_digest(jstr(entry, "digest"), digest));
        table_cell(table, "quiet", "%s", opened);
    }
    putchar('\n');
    table_print(table, cli->color);
}

static void print_differences(const struct cli *cli, const json_t *list)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        const char *pipeline = jstr(entry, "pipeline");

        if (*pipeline && jnum(entry, "sequence"))
            printf("%sDIFFERS%s  pipeline %s, sequence %lld: %s\n", style_on(cli->color, "bad"),
                   style_off(cli->color), pipeline, (long long)jnum(entry, "sequence"),
                   jstr(entry, "difference"));
        else if (*pipeline)
            printf("%sDIFFERS%s  pipeline %s: %s\n", style_on(cli->color, "bad"),
                   style_off(cli->color), pipeline, jstr(entry, "difference"));
        else
            printf("%sDIFFERS%s  partition %lld%s: %s\n", style_on(cli->color, "bad"),
                   style_off(cli->color), (long long)jnum(entry, "partition"),
                   jget(entry, "offset") ? "'s ledger" : "", jstr(entry, "difference"));
    }
}

static void print_comparison(const struct task *task)
{
    size_t compared = 0, behind = 0, count, i;
    const json_t *list = json_object_get(task->out, "pipelines"), *entry;

    print_differences(task->cli, json_object_get(task->out, "differences"));
    if (task->limited)
        return;
    if (!task->source.kafka) {
        printf("compared with the console: what runs where. With --config FILE this reads Kafka, "
               "and compares the promoter's\nown state byte for byte.\n");
        return;
    }
    count = json_array_size(list);
    json_array_foreach(list, i, entry)
    {
        compared += jnum(entry, "comparedAt") > 0;
        behind +=
            jnum(entry, "comparedAt") > 0 && jnum(entry, "comparedAt") < jnum(entry, "sequence");
    }
    printf("compared with the promoter's state: %zu of %zu pipelines", compared, count);
    if (behind || compared < count)
        printf("; of %zu the promoter has not kept the newest Decisions yet, which are in the "
               "ledger alone",
               behind + (count - compared));
    putchar('\n');
}

static void print_all(const struct task *task)
{
    const json_t *partitions = json_object_get(task->out, "partitions"), *entry;
    int64_t decisions = 0, time_ms = 0;
    char time[CLOCK_RFC3339_SIZE];
    size_t i;

    json_array_foreach(partitions, i, entry)
    {
        decisions += jnum(entry, "decisions");
        time_ms = jnum(entry, "timeMs") > time_ms ? jnum(entry, "timeMs") : time_ms;
    }
    clock_rfc3339(time_ms, time);
    printf("%lld records that count, of %zu partition%s; the last is of %s\n\n",
           (long long)decisions, json_array_size(partitions),
           json_array_size(partitions) == 1 ? "" : "s", time_ms ? time : "no time");
    print_environments(task->cli, json_object_get(task->out, "environments"));
    if (json_array_size(json_object_get(task->out, "releases")))
        print_releases(task->cli, json_object_get(task->out, "releases"));
    if (json_array_size(json_object_get(task->out, "approvals")))
        print_approvals(task->cli, json_object_get(task->out, "approvals"));
    putchar('\n');
    print_comparison(task);
}

/* ---- the command ---- */

int replay_time(const char *word, int64_t *out_ms)
{
    int64_t duration_ms;

    if (clock_parse_rfc3339(word, out_ms) == 0)
        return 0;
    if (str_to_duration(word, &duration_ms) < 0)
        return -1;
    *out_ms = clock_now_ms() - duration_ms;
    return 0;
}

static int take_until(struct task *task, const struct cli_command *self, const char *until)
{
    if (!until)
        return 0;
    task->limited = true;
    if (str_to_u64(until, &task->until_sequence) == 0) {
        if (!task->pipeline)
            return cli_usage_error(self, "a sequence is a pipeline's: give --pipeline, too");
        return task->until_sequence ? 0 : cli_usage_error(self, "sequences begin with 1");
    }
    if (replay_time(until, &task->until_ms) == 0)
        return 0;
    return cli_usage_error(self,
                           "'%s' is no time (2026-01-31T09:00:00Z, or how long ago: 2h) and no "
                           "sequence",
                           until);
}

static int finish(struct task *task)
{
    if (task->pipeline && json_array_size(json_object_get(task->out, "pipelines")) == 0 &&
        json_array_size(json_object_get(task->out, "differences")) == 0)
        return cli_fail(EXIT_NOT_FOUND, "the ledger knows no pipeline %s%s", task->pipeline,
                        task->limited ? " up to there" : "");
    replay_sort(task->out);
    if (task->cli->json)
        print_json(task->out);
    else
        print_all(task);
    return json_array_size(json_object_get(task->out, "differences")) ? EXIT_BAD_END : EXIT_DONE;
}

int cmd_replay(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("replay");
    const char *config = getenv("GANTRY_CONFIG"), *until = NULL;
    struct task task = {.cli = cli, .until_ms = INT64_MAX};
    const struct cli_flag flags[] = {
        {"until", 'u', FLAG_STR, &until, "TIME|SEQUENCE",
         "as it was then: RFC 3339, how long ago (2h), or a pipeline's sequence"},
        {"pipeline", 'p', FLAG_STR, &task.pipeline, "PIPELINE", "this one alone"},
        {"config", 'c', FLAG_STR, &config, "FILE",
         "the services' settings: read Kafka, not the console (GANTRY_CONFIG)"},
        {0},
    };
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 0, 0);

    strv_release(&words);
    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    if (task.pipeline && !str_is_name(task.pipeline))
        return cli_usage_error(self, "'%s' is no pipeline's name", task.pipeline);
    rc = take_until(&task, self, until);
    if (rc != 0)
        return rc;
    rc = replay_open(&task.source, cli, str_empty(config) ? NULL : config);
    if (rc == 0)
        rc = replay_compared(&task);
    if (rc == 0)
        rc = finish(&task);
    replay_close(&task.source);
    json_decref(task.out);
    return rc;
}
