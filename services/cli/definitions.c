#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "definition/definition.h"
#include "services/cli/cli.h"
#include "services/cli/diff.h"
#include "services/cli/documents.h"

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
    rc = documents_read(&docs, file, NULL);
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
    json_t *files = json_array(), *mistakes = json_array();
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 1, 1000), worst = EXIT_DONE;

    for (size_t i = 0; rc == 0 && i < words.count; i++) {
        struct documents docs;

        if (documents_read(&docs, words.items[i], cli->json ? mistakes : NULL) != 0)
            worst = EXIT_USAGE;
        else if (!cli->json)
            printf("%s: %zu definition%s, no mistakes\n", docs.file, docs.count,
                   docs.count == 1 ? "" : "s");
        json_array_append_new(files, json_pack("{s:s, s:I}", "file", docs.file, "definitions",
                                               (json_int_t)docs.count));
        documents_release(&docs);
    }
    strv_release(&words);
    if (rc == 0 && cli->json) {
        json_t *all = json_pack("{s:O, s:O}", "files", files, "mistakes", mistakes);
        print_json(all);
        json_decref(all);
    }
    json_decref(files);
    json_decref(mistakes);
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

/* Paths lose `spec.`: all that can change stands below it. */
static void print_change(const struct cli *cli, const struct diff_change *change)
{
    const char *style = change->op == '+' ? "good" : change->op == '-' ? "bad" : "wait";
    const char *path = change->path;

    printf("  %s%c %s%s", style_on(cli->color, style), change->op,
           str_starts(path, "spec.") ? path + strlen("spec.") : path, style_off(cli->color));
    if (change->op == '~')
        printf(": %s -> %s\n", change->before, change->after);
    else
        printf(": %s\n", change->op == '+' ? change->after : change->before);
}

static void print_changes(const struct cli *cli, const struct document *doc,
                          const struct api_reply *now)
{
    struct diff diff;
    char name[128];

    say_name(doc, name);
    if (!now->body) {
        printf("%s%s would be created%s\n", style_on(cli->color, "good"), name,
               style_off(cli->color));
        return;
    }
    diff_make(&diff, now->body, now->len, doc->text, doc->len);
    if (diff.count)
        printf("%s%s would change%s\n", style_on(cli->color, "strong"), name,
               style_off(cli->color));
    else
        printf("%s: only comments or layout would change\n", name);
    for (size_t i = 0; i < diff.count; i++)
        print_change(cli, &diff.items[i]);
    diff_release(&diff);
}

static json_t *changes_json(const struct document *doc, const struct api_reply *now)
{
    json_t *changes = json_array();
    struct diff diff = {0};

    if (now->body)
        diff_make(&diff, now->body, now->len, doc->text, doc->len);
    for (size_t i = 0; i < diff.count; i++)
        json_array_append_new(changes,
                              json_pack("{s:s%, s:s, s:s*, s:s*}", "op", &diff.items[i].op,
                                        (size_t)1, "path", diff.items[i].path, "before",
                                        diff.items[i].before, "after", diff.items[i].after));
    diff_release(&diff);
    return json_pack("{s:s, s:s, s:b, s:o}", "kind", def_kind_name(doc->def->kind), "name",
                     doc->def->name, "exists", now->body != NULL, "changes", changes);
}

/* 0 or an exit code. */
static int diff_one(const struct cli *cli, const struct document *doc, const struct api_reply *now,
                    bool summary, json_t *all)
{
    if (cli->json) {
        json_array_append_new(all, changes_json(doc, now));
        return EXIT_DONE;
    }
    print_changes(cli, doc, now);
    if (!summary && run_diff(cli, now, doc) > 1)
        return cli_fail(EXIT_BAD_END, "diff could not be run; --summary does without it");
    return EXIT_DONE;
}

int cmd_diff(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("diff");
    const char *file = NULL;
    bool summary = false;
    const struct cli_flag flags[] = {
        {"filename", 'f', FLAG_STR, &file, "FILE", "the definitions; - is standard input"},
        {"summary", 0, FLAG_BOOL, &summary, NULL, "what would change, without the texts"},
        {0},
    };
    struct documents docs = {0};
    struct strv words = {0};
    json_t *all = json_array();
    bool differs = false;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 0, 0);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    rc = file ? documents_read(&docs, file, NULL) : cli_usage_error(self, "-f FILE is missing");
    for (size_t i = 0; rc == 0 && i < docs.count; i++) {
        struct api_reply now = {0};

        rc = current(cli, &docs.items[i], &now);
        if (rc == 0 && !same_bytes(&docs.items[i], &now)) {
            differs = true;
            rc = diff_one(cli, &docs.items[i], &now, summary, all);
        }
        api_reply_release(&now);
    }
    if (rc == 0 && cli->json)
        print_json(all);
    if (rc == 0 && differs)
        rc = EXIT_BAD_END;
out:
    json_decref(all);
    documents_release(&docs);
    strv_release(&words);
    return rc;
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
        rc = documents_read(&docs, file, NULL);
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
