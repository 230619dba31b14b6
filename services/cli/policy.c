/* `gantry policy test`. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "services/cli/policy.h"
#include "services/cli/replay.h"

#define FILE_BYTES_MAX (16 * 1024 * 1024)

/* The definitions of the file: one pipeline's, and environments. */
struct test {
    struct cli *cli;
    const char *file, *pipeline;
    int64_t since_ms;
    size_t problems;
    char *yaml; /* of the pipeline */
    size_t yaml_len;
    char *name;
    struct definition **environments;
    size_t environment_count;
    struct policy_history history;
    struct outcomes then;
};

/* ---- the file ---- */

static void say_problems(struct test *test, struct def_problems *problems, const struct err *err,
                         int first_line)
{
    struct buf lines;

    for (size_t i = 0; i < problems->count; i++)
        problems->items[i].line += first_line - 1;
    buf_init(&lines, 256 * 1024);
    def_problems_print(problems, test->file, &lines);
    fputs(buf_cstr(&lines), stderr);
    if (!problems->count)
        cli_fail(0, "%s:%d: %s", test->file, first_line, err->msg);
    buf_release(&lines);
    test->problems += problems->count ? problems->count : 1;
}

static int take_document(const char *text, size_t len, int first_line, void *arg, struct err *err)
{
    struct test *test = arg;
    struct def_problems problems = {0};
    struct definition *def = NULL;
    struct err why;

    if (definition_parse(&def, text, len, &problems, &why) < 0) {
        say_problems(test, &problems, &why, first_line);
        def_problems_release(&problems);
        return 0;
    }
    def_problems_release(&problems);
    if (def->kind == DEF_ENVIRONMENT) {
        test->environments = mem_realloc(test->environments, test->environment_count + 1,
                                         sizeof *test->environments);
        test->environments[test->environment_count++] = def;
        return 0;
    }
    if (def->kind == DEF_PIPELINE && (!test->pipeline || str_eq(test->pipeline, def->name))) {
        if (test->yaml) {
            definition_free(def);
            return err_set(err, ERR_INVALID,
                           "%s holds several pipelines: say which one with --pipeline", test->file);
        }
        test->yaml = mem_strndup(text, len);
        test->yaml_len = len;
        test->name = mem_strdup(def->name);
    }
    definition_free(def);
    return 0;
}

static int read_file(struct test *test)
{
    struct buf text;
    struct err err;
    int rc = file_read(&text, test->file, FILE_BYTES_MAX, &err);

    if (rc == 0)
        rc = definition_split(buf_cstr(&text), text.len, take_document, test, &err);
    buf_release(&text);
    if (rc < 0)
        return cli_fail(EXIT_USAGE, "%s", err.msg);
    if (test->problems)
        return cli_fail(EXIT_USAGE, "%zu mistake%s; nothing was tested", test->problems,
                        test->problems == 1 ? "" : "s");
    if (!test->yaml && test->pipeline)
        return cli_fail(EXIT_USAGE, "%s holds no definition of pipeline %s", test->file,
                        test->pipeline);
    return test->yaml ? 0 : cli_fail(EXIT_USAGE, "%s holds no pipeline's definition", test->file);
}

/* ---- the ledger ---- */

static void before_decision(struct replay *replay, const struct replay_pipeline *pipeline,
                            const Gantry__V1__Decision *decision, void *arg)
{
    struct test *test = arg;

    (void)replay;
    outcomes_add(&test->then, decision, test->history.decisions);
    policy_history_add(&test->history, pipeline->state, decision);
}

static int read_past(struct test *test, const char *config)
{
    struct replay_source source;
    struct replay replay;
    int64_t begin, end;
    int32_t partition;
    int rc = replay_open(&source, test->cli, config);

    replay_init(&replay);
    replay.only = test->name;
    replay.before = before_decision;
    replay.arg = test;
    partition = rc == 0 ? topic_partition(test->name, strlen(test->name), source.count) : 0;
    if (rc == 0)
        rc = replay_ends(&source, partition, &begin, &end);
    if (rc == 0)
        rc = replay_read(&source, partition, begin, end, replay_fold, &replay);
    if (rc == EXIT_BAD_END)
        rc = cli_fail(EXIT_UNREACHABLE, "the ledger cannot be replayed: %s", replay.err.msg);
    if (rc == 0 && test->history.decisions == 0)
        rc = cli_fail(EXIT_NOT_FOUND, "the ledger knows no pipeline %s", test->name);
    replay_release(&replay);
    replay_close(&source);
    return rc;
}

/* ---- saying it ---- */

static size_t releases_since(const struct test *test)
{
    size_t count = 0;

    for (size_t i = 0; i < test->then.items.count; i++)
        count += ((const struct outcome *)test->then.items.items[i])->started_index >=
                 test->history.first;
    return test->history.before ? count : 0;
}

static json_t *to_json(const struct test *test, const struct policy_result *result, json_t *rows)
{
    json_t *assumed = json_array();

    for (size_t i = 0; i < result->assumed.count; i++)
        json_array_append_new(assumed, json_string(result->assumed.items[i]));
    return json_pack("{s:s, s:I, s:I, s:I, s:O, s:o, s:I, s:I}", "pipeline", test->name, "releases",
                     (json_int_t)releases_since(test), "fromMs", (json_int_t)test->history.begin_ms,
                     "toMs", (json_int_t)test->history.end_ms, "differences", rows, "assumed",
                     assumed, "definitionsPassedOver", (json_int_t)test->history.defined,
                     "refusedCommandsPassedOver", (json_int_t)test->history.refused);
}

static void print_rows(const struct cli *cli, const json_t *rows)
{
    static const char *const columns[] = {"RELEASE", "STAGE",   "WHAT", "THEN",
                                          "WOULD",   "BECAUSE", NULL};
    struct table *table = table_new(columns);
    const json_t *entry;
    char commit[16];
    size_t i;

    json_array_foreach(rows, i, entry)
    {
        if (jnum(entry, "release"))
            table_cell(table, "strong", "%lld", (long long)jnum(entry, "release"));
        else
            table_cell(table, "strong", "(%s)", short_commit(jstr(entry, "commit"), commit));
        table_cell(table, NULL, "%s", jstr(entry, "stage"));
        table_cell(table, NULL, "%s", jstr(entry, "what"));
        table_cell(table, "quiet", "%s", jstr(entry, "then"));
        table_cell(table, "wait", "%s", jstr(entry, "would"));
        table_cell(table, NULL, "%.100s", jstr(entry, "because"));
    }
    table_print(table, cli->color);
}

static void print_result(const struct test *test, const struct policy_result *result,
                         const json_t *rows)
{
    char from[CLOCK_RFC3339_SIZE], to[CLOCK_RFC3339_SIZE];

    if (json_array_size(rows))
        print_rows(test->cli, rows);
    clock_rfc3339(test->history.begin_ms, from);
    clock_rfc3339(test->history.end_ms, to);
    printf("%s%zu releases of %s from %s to %s: %zu difference%s\n",
           json_array_size(rows) ? "\n" : "", releases_since(test), test->name, from, to,
           json_array_size(rows), json_array_size(rows) == 1 ? "" : "s");
    for (size_t i = 0; i < result->assumed.count; i++)
        printf("%s%s\n", i ? "  " : "Taken for granted:\n  ", result->assumed.items[i]);
}

static int compare(struct test *test)
{
    struct policy_result result;
    struct err err;
    json_t *rows, *out;
    int rc = EXIT_DONE;

    if (policy_run(&result, &test->history, test->yaml, test->yaml_len, test->environments,
                   test->environment_count, &err) < 0) {
        policy_result_release(&result);
        return cli_fail(EXIT_CONFLICT, "the past cannot be played again: %s", err.msg);
    }
    rows = policy_diff(&test->history, &test->then, &result);
    if (json_array_size(rows))
        rc = EXIT_BAD_END;
    out = to_json(test, &result, rows);
    if (test->cli->json)
        print_json(out);
    else
        print_result(test, &result, rows);
    json_decref(out);
    json_decref(rows);
    policy_result_release(&result);
    return rc;
}

/* ---- the command ---- */

static void test_release(struct test *test)
{
    for (size_t i = 0; i < test->environment_count; i++)
        definition_free(test->environments[i]);
    free(test->environments);
    free(test->yaml);
    free(test->name);
}

static int run(struct test *test, const char *config)
{
    int rc;

    policy_history_init(&test->history, test->name, test->since_ms);
    outcomes_init(&test->then);
    rc = read_past(test, config);
    if (rc == 0)
        rc = compare(test);
    outcomes_release(&test->then);
    policy_history_release(&test->history);
    return rc;
}

int cmd_policy_test(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("policy test");
    const char *config = getenv("GANTRY_CONFIG"), *since = NULL;
    struct test test = {.cli = cli, .since_ms = INT64_MIN};
    const struct cli_flag flags[] = {
        {"pipeline", 'p', FLAG_STR, &test.pipeline, "PIPELINE", "where FILE holds several"},
        {"since", 's', FLAG_STR, &since, "TIME",
         "releases started after it: RFC 3339, or how long ago (30d)"},
        {"config", 'c', FLAG_STR, &config, "FILE",
         "the services' settings: read Kafka, not the console (GANTRY_CONFIG)"},
        {0},
    };
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    if (since && replay_time(since, &test.since_ms) < 0) {
        rc = cli_usage_error(self, "'%s' is no time (2026-01-31T09:00:00Z, or how long ago: 30d)",
                             since);
        goto out;
    }
    test.file = words.items[0];
    rc = read_file(&test);
    if (rc == 0)
        rc = run(&test, str_empty(config) ? NULL : config);
out:
    test_release(&test);
    strv_release(&words);
    return rc;
}
