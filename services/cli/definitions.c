#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "definition/definition.h"
#include "services/cli/cli.h"

#define FILE_MAX      (16 * 1024 * 1024)
#define DOCUMENTS_MAX 1000

struct document {
    char *text;
    size_t len;
    struct definition *def;
};

/* The documents of one file, all of them checked. */
struct documents {
    const char *file; /* for messages */
    struct document *items;
    size_t count;
    size_t problems;
};

static void documents_release(struct documents *docs)
{
    for (size_t i = 0; i < docs->count; i++) {
        free(docs->items[i].text);
        definition_free(docs->items[i].def);
    }
    free(docs->items);
    memset(docs, 0, sizeof *docs);
}

static int add_document(const char *text, size_t len, int first_line, void *arg, struct err *err)
{
    struct documents *docs = arg;
    struct def_problems problems = {0};
    struct definition *def = NULL;
    struct buf lines;

    if (docs->count == DOCUMENTS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d documents in one file", DOCUMENTS_MAX);
    if (definition_parse(&def, text, len, &problems, err) < 0) {
        for (size_t i = 0; i < problems.count; i++)
            problems.items[i].line += first_line - 1;
        buf_init(&lines, 256 * 1024);
        def_problems_print(&problems, docs->file, &lines);
        fputs(buf_cstr(&lines), stderr);
        if (!problems.count)
            cli_fail(0, "%s:%d: %s", docs->file, first_line, err->msg);
        buf_release(&lines);
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

/* Reads and checks a file whole. 0, or an exit code having said all that is wrong. */
static int documents_read(struct documents *docs, const char *file)
{
    struct buf text;
    struct err err;
    int rc;

    memset(docs, 0, sizeof *docs);
    docs->file = strcmp(file, "-") == 0 ? "(standard input)" : file;
    rc = strcmp(file, "-") == 0 ? read_stdin(&text, &err) : file_read(&text, file, FILE_MAX, &err);
    if (rc == 0)
        rc = definition_split(buf_cstr(&text), text.len, add_document, docs, &err);
    buf_release(&text);
    if (rc < 0)
        return cli_fail(EXIT_USAGE, "%s", err.msg);
    if (docs->problems)
        return cli_fail(EXIT_USAGE, "%zu mistake%s; nothing was changed", docs->problems,
                        docs->problems == 1 ? "" : "s");
    if (!docs->count)
        return cli_fail(EXIT_USAGE, "%s holds no definition", docs->file);
    return 0;
}

static int rank(const struct document *doc)
{
    return doc->def->kind == DEF_PIPELINE; /* what pipelines name comes before them */
}

static int by_rank(const void *a, const void *b)
{
    return rank(a) - rank(b);
}

static void path_of(char out[256], enum def_kind kind, const char *name)
{
    snprintf(out, 256, "/api/v1/definitions/%s/%.100s", def_kind_name(kind), name);
}

/* The definition in force. 0 with an empty body where there is none. */
static int current(struct cli *cli, const struct document *doc, struct api_reply *reply)
{
    struct api_call call = {.accept = "application/yaml"};
    char path[256];
    int rc;

    path_of(path, doc->def->kind, doc->def->name);
    call.path = path;
    rc = api_send_expecting(cli, &call, 404, reply);
    if (rc == 0 && reply->status == 404)
        api_reply_release(reply);
    return rc;
}

static const char *say_name(const struct document *doc, char out[128])
{
    snprintf(out, 128, "%s/%s", def_kind_name(doc->def->kind), doc->def->name);
    return out;
}

static bool same_bytes(const struct document *doc, const struct api_reply *now)
{
    return now->body && now->len == doc->len && memcmp(now->body, doc->text, doc->len) == 0;
}

static int apply_one(struct cli *cli, const struct document *doc, bool force)
{
    struct api_call call = {.method = "PUT", .content_type = "application/yaml"};
    struct api_reply now = {0}, reply = {0};
    char path[256], name[128];
    int rc = current(cli, doc, &now);

    if (rc != 0)
        return rc;
    say_name(doc, name);
    if (same_bytes(doc, &now)) {
        printf("%s unchanged\n", name);
        api_reply_release(&now);
        return 0;
    }
    path_of(path, doc->def->kind, doc->def->name);
    call.path = path;
    call.body = doc->text;
    call.body_len = doc->len;
    if (!force) {
        call.if_match = now.body ? now.etag : "*";
        call.if_none_match = !now.body;
    }
    rc = api_send(cli, &call, &reply);
    if (rc == 0 && reply.status == 202)
        printf("%s stored; the promoter has not taken it yet\n", name);
    else if (rc == 0)
        printf("%s %s\n", name, now.body ? "changed" : "created");
    api_reply_release(&reply);
    api_reply_release(&now);
    return rc;
}

int cmd_apply(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("apply");
    const char *file = NULL;
    bool force = false;
    const struct cli_flag flags[] = {
        {"filename", 'f', FLAG_STR, &file, "FILE", "the definitions; - is standard input"},
        {"force", 0, FLAG_BOOL, &force, NULL,
         "even if somebody else changed it since this was read"},
        {0},
    };
    struct documents docs = {0};
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 0, 0);

    strv_release(&words);
    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    if (!file)
        return cli_usage_error(self, "-f FILE is missing");
    rc = documents_read(&docs, file);
    if (rc == 0)
        qsort(docs.items, docs.count, sizeof *docs.items, by_rank);
    for (size_t i = 0; rc == 0 && i < docs.count; i++)
        rc = apply_one(cli, &docs.items[i], force);
    documents_release(&docs);
    return rc;
}

int cmd_check(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("check");
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 1, 1000), worst = EXIT_DONE;

    for (size_t i = 0; rc == 0 && i < words.count; i++) {
        struct documents docs;

        if (documents_read(&docs, words.items[i]) != 0)
            worst = EXIT_USAGE;
        else
            printf("%s: %zu definition%s, no mistakes\n", docs.file, docs.count,
                   docs.count == 1 ? "" : "s");
        documents_release(&docs);
    }
    strv_release(&words);
    return rc > 0 ? EXIT_DONE : rc < 0 ? EXIT_USAGE : worst;
}

/* An unlinked file that holds the text; diff reads it as /dev/fd/N. -1: errno. */
static int hold(const char *text, size_t len)
{
    char path[] = "/tmp/gantry-diff-XXXXXX";
    int fd = mkstemp(path);

    if (fd < 0)
        return -1;
    unlink(path);
    if (write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* 0 the same, 1 different, 2 diff could not be run. */
static int run_diff(const struct cli *cli, const struct api_reply *now, const struct document *doc)
{
    char from[32], to[32], label[2][160], name[128];
    int old = hold(now->body ? now->body : "", now->body ? now->len : 0),
        new = hold(doc->text, doc->len), status = 0;
    pid_t pid;

    say_name(doc, name);
    snprintf(label[0], sizeof label[0], "%s (in force)", name);
    snprintf(label[1], sizeof label[1], "%s (to be applied)", name);
    snprintf(from, sizeof from, "/dev/fd/%d", old);
    snprintf(to, sizeof to, "/dev/fd/%d", new);
    fflush(stdout);
    pid = old < 0 || new < 0 ? -1 : fork();
    if (pid == 0) {
        execlp("diff", "diff", cli->color ? "--color=always" : "--color=never", "-u", "--label",
               label[0], "--label", label[1], from, to, (char *)NULL);
        _exit(2);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        status = 2 << 8;
    close(old);
    close(new);
    return WEXITSTATUS(status);
}

int cmd_diff(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("diff");
    const char *file = NULL;
    const struct cli_flag flags[] = {
        {"filename", 'f', FLAG_STR, &file, "FILE", "the definitions; - is standard input"},
        {0},
    };
    struct documents docs = {0};
    struct strv words = {0};
    bool differs = false;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 0, 0);

    strv_release(&words);
    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    if (!file)
        return cli_usage_error(self, "-f FILE is missing");
    rc = documents_read(&docs, file);
    for (size_t i = 0; rc == 0 && i < docs.count; i++) {
        struct api_reply now = {0};
        int difference;

        rc = current(cli, &docs.items[i], &now);
        if (rc == 0 && !same_bytes(&docs.items[i], &now)) {
            differs = true;
            difference = run_diff(cli, &now, &docs.items[i]);
            if (difference > 1)
                rc = cli_fail(EXIT_BAD_END, "diff could not be run");
        }
        api_reply_release(&now);
    }
    documents_release(&docs);
    return rc != 0 ? rc : differs ? EXIT_BAD_END : EXIT_DONE;
}

/* "pipeline" or "Pipeline" -> the kind's name; NULL having complained. */
static const char *kind_of(const struct cli_command *self, const char *word)
{
    for (enum def_kind kind = DEF_PIPELINE; kind <= DEF_BINDING; kind++)
        if (strcasecmp(word, def_kind_name(kind)) == 0)
            return def_kind_name(kind);
    cli_usage_error(self, "there is no kind '%s'; there are pipeline, environment and notification",
                    word);
    return NULL;
}

static int list_definitions(struct cli *cli, const char *kind)
{
    static const char *const columns[] = {"KIND", "NAME", "CHANGED", "BY", "SHA-256", NULL};
    struct api_reply reply = {0};
    struct table *table;
    const json_t *def;
    char when[40];
    size_t i;
    int rc =
        api_get(cli, &reply, "/api/v1/definitions%s%s", kind ? "?kind=" : "", kind ? kind : "");

    if (rc != 0 || cli->json) {
        if (rc == 0)
            print_json(reply.json);
        goto out;
    }
    table = table_new(columns);
    json_array_foreach(jget(reply.json, "definitions"), i, def)
    {
        table_cell(table, NULL, "%s", jstr(def, "kind"));
        table_cell(table, "strong", "%s", jstr(def, "name"));
        table_cell(table, "quiet", "%s", ago(jnum(def, "timeMs"), when));
        table_cell(table, NULL, "%s", jstr(def, "author"));
        table_cell(table, "quiet", "%.12s", jstr(def, "sha256"));
    }
    table_print(table, cli->color);
out:
    api_reply_release(&reply);
    return rc;
}

int cmd_get(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("get");
    struct api_call call = {.accept = "application/yaml"};
    struct api_reply reply = {0};
    struct strv words = {0};
    const char *kind = NULL;
    char path[256], *name;
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 0, 2);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    if (words.count && !(kind = kind_of(self, words.items[0]))) {
        rc = EXIT_USAGE;
        goto out;
    }
    if (words.count < 2) {
        rc = list_definitions(cli, kind);
        goto out;
    }
    name = api_segment(words.items[1]);
    snprintf(path, sizeof path, "/api/v1/definitions/%s/%.100s", kind, name);
    free(name);
    call.path = path;
    if (cli->json)
        call.accept = NULL;
    rc = api_send(cli, &call, &reply);
    if (rc == 0)
        fwrite(reply.body, 1, reply.len, stdout);
out:
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}

static int delete_one(struct cli *cli, const char *kind, const char *name)
{
    struct api_call call = {.method = "DELETE"};
    struct api_reply reply = {0};
    char path[256], *segment = api_segment(name);
    int rc;

    snprintf(path, sizeof path, "/api/v1/definitions/%s/%.100s", kind, segment);
    free(segment);
    call.path = path;
    rc = api_send(cli, &call, &reply);
    if (rc == 0)
        printf("%s/%s deleted\n", kind, name);
    api_reply_release(&reply);
    return rc;
}

int cmd_delete(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("delete");
    const char *file = NULL, *kind;
    const struct cli_flag flags[] = {
        {"filename", 'f', FLAG_STR, &file, "FILE",
         "what it defines is deleted; - is standard input"},
        {0},
    };
    struct documents docs = {0};
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 0, 2);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    } else if (file && !words.count) {
        rc = documents_read(&docs, file);
        for (size_t i = docs.count; rc == 0 && i > 0; i--)
            rc = delete_one(cli, def_kind_name(docs.items[i - 1].def->kind),
                            docs.items[i - 1].def->name);
    } else if (words.count != 2 || file) {
        rc = cli_usage_error(self, "give KIND and NAME, or -f FILE");
    } else {
        kind = kind_of(self, words.items[0]);
        rc = kind ? delete_one(cli, kind, words.items[1]) : EXIT_USAGE;
    }
    documents_release(&docs);
    strv_release(&words);
    return rc;
}
