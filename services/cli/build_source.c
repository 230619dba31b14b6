#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "git/git.h"
#include "loop/child.h"
#include "services/cli/build.h"

#define GIT_TIMEOUT_MS 30000
#define OUTPUT_MAX     (16 * 1024 * 1024)
#define WORDS_MAX      16

struct question {
    bool done;
    bool good;
    struct buf *out;
};

static void on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    struct question *q = arg;
    (void)child;
    (void)buf_add(q->out, data, len);
}

static void on_exited(struct loop_child *child, const struct loop_child_exit *result, void *arg)
{
    struct question *q = arg;
    (void)child;
    q->good = result->code == 0 && !q->out->overflow;
    q->done = true;
}

/* What git prints; false: it does not know, or is not there. The caller's own settings count (git
 * refuses a repository of somebody else, and so it should), but no program runs for being named
 * in the repository's. */
static bool ask(struct loop *loop, const char *root, const char *const *words, struct buf *out)
{
    const char *argv[WORDS_MAX + 1] = {"git", "--no-optional-locks", "-c", "core.fsmonitor=false"};
    const char *home = getenv("HOME");
    char *home_env = mem_printf("HOME=%s", home ? home : "/nonexistent");
    const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", home_env,
                               "GIT_TERMINAL_PROMPT=0", "LC_ALL=C", NULL};
    struct question q = {.out = out};
    struct loop_child *child;
    for (size_t i = 0; words[i] && i + 4 < WORDS_MAX; i++)
        argv[i + 4] = words[i];
    const struct loop_child_opts opts = {.argv = argv,
                                         .env = env,
                                         .cwd = root,
                                         .timeout_ms = GIT_TIMEOUT_MS,
                                         .on_output = on_output,
                                         .on_exit = on_exited,
                                         .arg = &q};
    buf_init(out, OUTPUT_MAX);
    if (loop_child_start(&child, loop, &opts, NULL) < 0)
        q.done = true;
    while (!q.done)
        loop_run_for(loop, GIT_TIMEOUT_MS, &q.done);
    free(home_env);
    return q.good;
}
#define ASK(out, ...) ask(loop, facts->root, (const char *const[]){__VA_ARGS__, NULL}, out)

static void take_line(const struct buf *out, char *to, size_t size)
{
    const char *text = buf_cstr(out);
    size_t len = strcspn(text, "\n");
    if (len < size)
        snprintf(to, size, "%.*s", (int)len, text);
}

/* An entry ends with NUL; that of a rename is followed by the old name. */
static size_t count_changes(const struct buf *status)
{
    const char *text = buf_cstr(status);
    size_t count = 0;
    for (size_t at = 0; at < status->len; at += strlen(text + at) + 1) {
        count++;
        if (text[at] == 'R' || text[at] == 'C')
            at += strlen(text + at) + 1;
    }
    return count;
}

int build_facts_find(struct build_facts *facts, struct loop *loop, const char *folder,
                     struct err *err)
{
    struct buf out;
    char url[2048] = "";
    *facts = (struct build_facts){.root = realpath(folder, NULL)};
    if (!facts->root)
        return err_set(err, ERR_NOT_FOUND, "there is no folder '%s'", folder);
    facts->known = ASK(&out, "rev-parse", "--verify", "--quiet", "HEAD^{commit}");
    if (facts->known)
        take_line(&out, facts->commit, sizeof(facts->commit));
    buf_release(&out);
    facts->known = facts->known && git_commit_is_name(facts->commit);
    if (facts->known) {
        if (ASK(&out, "symbolic-ref", "--quiet", "HEAD"))
            take_line(&out, facts->ref, sizeof(facts->ref));
        buf_release(&out);
        if (ASK(&out, "status", "--porcelain", "-z", "--untracked-files=all", "--", "."))
            facts->changes = count_changes(&out);
        buf_release(&out);
        if (ASK(&out, "remote", "get-url", "origin"))
            take_line(&out, url, sizeof(url));
        buf_release(&out);
    }
    /* One with a password in it goes nowhere. */
    facts->url = url[0] && git_url_check(url, NULL) == 0 ? mem_strdup(url)
                                                         : mem_printf("file://%s", facts->root);
    return 0;
}

static void add_size(struct buf *out, uint64_t bytes)
{
    if (bytes < 1024)
        buf_addf(out, "%llu bytes", (unsigned long long)bytes);
    else if (bytes < 1024 * 1024)
        buf_addf(out, "%llu KiB", (unsigned long long)(bytes >> 10));
    else
        buf_addf(out, "%llu MiB", (unsigned long long)(bytes >> 20));
}

char *build_facts_text(const struct build_facts *facts, const struct build_folder *copied)
{
    static const char heads[] = "refs/heads/";
    struct buf out;
    buf_init(&out, 64 * 1024);
    buf_addf(&out, "%s as it is, ", facts->root);
    if (!facts->known) {
        buf_adds(&out, "no commit of a git repository");
    } else {
        buf_addf(&out, "commit %.12s", facts->commit);
        if (str_starts(facts->ref, heads))
            buf_addf(&out, " on %s", facts->ref + strlen(heads));
        if (facts->changes)
            buf_addf(&out, " and %zu changed file%s", facts->changes,
                     facts->changes == 1 ? "" : "s");
    }
    buf_addf(&out, " (%llu file%s, ", (unsigned long long)copied->files,
             copied->files == 1 ? "" : "s");
    add_size(&out, copied->bytes);
    buf_adds(&out, ")");
    return buf_detach(&out);
}

void build_facts_release(struct build_facts *facts)
{
    free(facts->root);
    free(facts->url);
}
