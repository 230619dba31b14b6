#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "services/cli/cli.h"
#include "services/cli/import.h"

static int read_input(struct buf *out, const char *file, struct err *err)
{
    char chunk[65536];
    size_t len;

    if (!str_eq(file, "-"))
        return file_read(out, file, IMPORT_SIZE_MAX, err);
    buf_init(out, IMPORT_SIZE_MAX);
    while ((len = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
        if (buf_add(out, chunk, len) < 0)
            return err_set(err, ERR_LIMIT, "standard input is larger than %d MiB",
                           IMPORT_SIZE_MAX / (1024 * 1024));
    return 0;
}

static void add_report(const struct import_result *result, struct buf *out)
{
    size_t counts[IMPORT_PLACEHOLDER + 1] = {0};

    for (size_t i = 0; i < result->line_count; i++) {
        const struct import_line *line = &result->lines[i];

        buf_addf(out, "%-11s  %s: %s\n", import_kind_name(line->kind), line->where, line->text);
        counts[line->kind]++;
    }
    buf_addf(out, "%zu kept, %zu changed, %zu need you, %zu placeholder%s\n", counts[IMPORT_KEPT],
             counts[IMPORT_CHANGED], counts[IMPORT_NEEDS], counts[IMPORT_PLACEHOLDER],
             counts[IMPORT_PLACEHOLDER] == 1 ? "" : "s");
}

static int print_as_json(const struct import_result *result)
{
    json_t *report = json_array(), *all;
    int rc;

    for (size_t i = 0; i < result->line_count; i++) {
        const struct import_line *line = &result->lines[i];

        json_array_append_new(report,
                              json_pack("{ss, ss, ss}", "kind", import_kind_name(line->kind),
                                        "where", line->where, "text", line->text));
    }
    all = json_pack("{ss, so}", "definitions", result->yaml, "report", report);
    rc = print_json(all);
    json_decref(all);
    return rc;
}

/* Not file_write(), which puts a new file in the place of what is there: that may be a device. */
static int write_report(const char *file, const struct buf *report)
{
    FILE *to = fopen(file, "we");
    bool written = to && fwrite(report->data, 1, report->len, to) == report->len;

    if ((to && fclose(to) != 0) || !written)
        return cli_fail(EXIT_USAGE, "cannot write the report to '%s': %s", file, strerror(errno));
    return EXIT_DONE;
}

static int print(const struct cli *cli, const struct import_result *result, const char *report_file)
{
    struct buf report;
    int rc = EXIT_DONE;

    if (cli->json)
        return print_as_json(result);
    buf_init(&report, 64 * 1024 * 1024);
    add_report(result, &report);
    if (report_file)
        rc = write_report(report_file, &report);
    else
        fputs(buf_cstr(&report), stderr);
    if (rc == EXIT_DONE)
        fputs(result->yaml, stdout);
    buf_release(&report);
    return rc;
}

static bool are_pairs(const struct strv *parameters)
{
    for (size_t i = 0; i < parameters->count; i++)
        if (!strchr(parameters->items[i], '=') ||
            !str_is_utf8(parameters->items[i], strlen(parameters->items[i])))
            return false;
    return true;
}

int cmd_import_codepipeline(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("import codepipeline");
    const char *report_file = NULL, *file;
    struct strv words = {0}, parameters = {0};
    const struct cli_flag flags[] = {
        {"parameter", 'p', FLAG_LIST, &parameters, "NAME=VALUE",
         "what a template refers to, instead of a placeholder"},
        {"report", 0, FLAG_STR, &report_file, "FILE", "the report goes there"},
        {0},
    };
    struct import_result result = {0};
    struct buf text = {0};
    struct err err;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    if (!are_pairs(&parameters)) {
        rc = cli_usage_error(self, "--parameter wants NAME=VALUE");
        goto out;
    }
    file = words.items[0];
    if (read_input(&text, file, &err) < 0) {
        rc = cli_fail(EXIT_USAGE, "%s", err.msg);
        goto out;
    }
    if (import_codepipeline(&result, str_eq(file, "-") ? "(standard input)" : file, buf_cstr(&text),
                            text.len, &parameters, &err) < 0)
        rc = cli_fail(EXIT_USAGE, "%s", err.msg);
    else
        rc = print(cli, &result, report_file);
out:
    import_result_release(&result);
    buf_release(&text);
    strv_release(&words);
    strv_release(&parameters);
    return rc;
}
