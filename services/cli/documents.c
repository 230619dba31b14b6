#include "services/cli/documents.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "definition/definition.h"
#include "services/cli/cli.h"

#define FILE_MAX      (16 * 1024 * 1024)
#define DOCUMENTS_MAX 1000

void documents_release(struct documents *docs)
{
    for (size_t i = 0; i < docs->count; i++) {
        free(docs->items[i].text);
        definition_free(docs->items[i].def);
    }
    free(docs->items);
    memset(docs, 0, sizeof *docs);
}

/* A mistake that has no place within a document. */
static void whole(const struct documents *docs, int line, const char *reason)
{
    if (!docs->mistakes) {
        if (line)
            cli_fail(0, "%s:%d: %s", docs->file, line, reason);
        else
            cli_fail(0, "%s", reason);
        return;
    }
    json_t *mistake = json_pack("{s:s, s:s}", "file", docs->file, "reason", reason);
    if (line)
        json_object_set_new(mistake, "line", json_integer(line));
    json_array_append_new(docs->mistakes, mistake);
}

static void tell(const struct documents *docs, const struct def_problems *problems)
{
    struct buf lines;

    for (size_t i = 0; docs->mistakes && i < problems->count; i++) {
        const struct def_problem *p = &problems->items[i];
        json_array_append_new(
            docs->mistakes, json_pack("{s:s, s:i, s:i, s:s, s:s, s:s*}", "file", docs->file, "line",
                                      p->line, "column", p->column, "path", p->path, "reason",
                                      p->reason, "nearest", *p->nearest ? p->nearest : NULL));
    }
    if (docs->mistakes)
        return;
    buf_init(&lines, 256 * 1024);
    def_problems_print(problems, docs->file, &lines);
    fputs(buf_cstr(&lines), stderr);
    buf_release(&lines);
}

static int add_document(const char *text, size_t len, int first_line, void *arg, struct err *err)
{
    struct documents *docs = arg;
    struct def_problems problems = {0};
    struct definition *def = NULL;

    if (docs->count == DOCUMENTS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d documents in one file", DOCUMENTS_MAX);
    if (definition_parse(&def, text, len, &problems, err) < 0) {
        for (size_t i = 0; i < problems.count; i++)
            problems.items[i].line += first_line - 1;
        if (problems.count)
            tell(docs, &problems);
        else
            whole(docs, first_line, err->msg);
        docs->problems += problems.count ? problems.count : 1;
        def_problems_release(&problems);
        return 0;
    }
    def_problems_release(&problems);
    docs->items = mem_realloc(docs->items, docs->count + 1, sizeof *docs->items);
    docs->items[docs->count++] = (struct document){mem_strndup(text, len), len, def};
    return 0;
}

static int read_stdin(struct buf *out, struct err *err)
{
    char chunk[65536];
    size_t len;

    buf_init(out, FILE_MAX);
    while ((len = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        if (buf_add(out, chunk, len) < 0)
            return err_set(err, ERR_LIMIT, "standard input is larger than 16 MiB");
    return 0;
}

int documents_read(struct documents *docs, const char *file, json_t *mistakes)
{
    struct buf text;
    struct err err;
    int rc;

    memset(docs, 0, sizeof *docs);
    docs->file = strcmp(file, "-") == 0 ? "(standard input)" : file;
    docs->mistakes = mistakes;
    rc = strcmp(file, "-") == 0 ? read_stdin(&text, &err) : file_read(&text, file, FILE_MAX, &err);
    if (rc == 0)
        rc = definition_split(buf_cstr(&text), text.len, add_document, docs, &err);
    buf_release(&text);
    if (rc < 0) {
        whole(docs, 0, err.msg);
        return EXIT_USAGE;
    }
    if (docs->problems && !mistakes)
        cli_fail(0, "%zu mistake%s; nothing was changed", docs->problems,
                 docs->problems == 1 ? "" : "s");
    if (docs->problems)
        return EXIT_USAGE;
    if (docs->count)
        return 0;
    snprintf(err.msg, sizeof err.msg, "%s holds no definition", docs->file);
    whole(docs, 0, err.msg);
    return EXIT_USAGE;
}
