#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "git/git.h"
#include "git/run.h"

#define REFS_MAX   20000
#define OUTPUT_MAX (8 * 1024 * 1024)

struct ls_remote {
    char *url;
    unsigned kinds;
    void (*done)(const struct git_ref *refs, size_t count, const struct err *err, void *arg);
    void *arg;
};

struct refs {
    struct git_ref *items;
    size_t count, cap;
    unsigned kinds;
};

/* ls-remote's patterns match the end of a name too, as that of a branch `x/refs/tags/y`. */
static bool is_wanted(unsigned kinds, const char *name)
{
    if (str_starts(name, "refs/heads/"))
        return kinds & GIT_BRANCHES;
    if (str_starts(name, "refs/tags/"))
        return kinds & GIT_TAGS;
    return kinds & GIT_PULL_REQUESTS &&
           (str_starts(name, "refs/pull/") || str_starts(name, "refs/merge-requests/"));
}

/* `<commit>\t<name>`. A tag's `<name>^{}` follows it and gives the commit that it names. */
static int add_line(struct refs *refs, const char *line, size_t len, struct err *err)
{
    const char *tab = memchr(line, '\t', len);
    struct git_ref ref = {0};

    if (!tab)
        return 0;
    size_t name_len = len - (size_t)(tab + 1 - line);
    const size_t commit_len = (size_t)(tab - line);
    const bool peeled = name_len > 3 && memcmp(line + len - 3, "^{}", 3) == 0;
    if (peeled)
        name_len -= 3;
    /* A name that is longer than any definition could match is not worth refusing the others. */
    if (name_len >= sizeof(ref.name) || commit_len >= sizeof(ref.commit))
        return 0;
    memcpy(ref.name, tab + 1, name_len);
    memcpy(ref.commit, line, commit_len);
    if (!git_commit_is_name(ref.commit) || !is_wanted(refs->kinds, ref.name))
        return 0;
    if (peeled && refs->count > 0 && str_eq(refs->items[refs->count - 1].name, ref.name)) {
        refs->items[refs->count - 1] = ref;
        return 0;
    }
    if (refs->count == REFS_MAX)
        return err_set(err, ERR_LIMIT, "it has more than %d branches, tags and pull requests",
                       REFS_MAX);
    if (refs->count == refs->cap) {
        refs->cap = refs->cap ? refs->cap * 2 : 16;
        refs->items = mem_realloc(refs->items, refs->cap, sizeof(*refs->items));
    }
    refs->items[refs->count++] = ref;
    return 0;
}

static int parse(struct refs *refs, const char *text, size_t len, struct err *err)
{
    const char *end = text + len;

    while (text < end) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        const size_t line_len = nl ? (size_t)(nl - text) : (size_t)(end - text);
        if (add_line(refs, text, line_len, err) != 0)
            return -1;
        text += line_len + (nl ? 1 : 0);
    }
    return 0;
}

static void on_done(const struct git_run_result *result, void *arg)
{
    struct ls_remote *call = arg;
    struct err err = result->err;
    struct refs refs = {.kinds = call->kinds};

    if (result->ok && parse(&refs, result->out, result->out_len, &err) != 0)
        err_wrap(&err, "'%s'", call->url);
    if (err.code == ERR_NONE)
        call->done(refs.items, refs.count, NULL, call->arg);
    else
        call->done(NULL, 0, &err, call->arg);
    free(refs.items);
    free(call->url);
    free(call);
}

static void build_args(struct strv *args, const char *url, unsigned kinds)
{
    strv_add(args, "ls-remote");
    strv_add(args, "--quiet");
    if (!(kinds & GIT_PULL_REQUESTS)) { /* the server leaves the others out */
        if (kinds & GIT_BRANCHES)
            strv_add(args, "--heads");
        if (kinds & GIT_TAGS)
            strv_add(args, "--tags");
    }
    strv_add(args, "--end-of-options");
    strv_add(args, url);
    if (!(kinds & GIT_PULL_REQUESTS))
        return;
    if (kinds & GIT_BRANCHES)
        strv_add(args, "refs/heads/*");
    if (kinds & GIT_TAGS)
        strv_add(args, "refs/tags/*");
    strv_add(args, "refs/pull/*/head");
    strv_add(args, "refs/merge-requests/*/head");
}

int git_ls_remote(struct loop *loop, const struct git_remote *remote, unsigned kinds,
                  void (*done)(const struct git_ref *refs, size_t count, const struct err *err,
                               void *arg),
                  void *arg, struct err *err)
{
    struct ls_remote *call = mem_alloc(sizeof(*call));
    struct strv args = {0};

    build_args(&args, remote->url, kinds);
    const struct git_run_opts opts = {
        .args = (const char *const *)args.items,
        .remote = remote,
        .out_limit = OUTPUT_MAX,
        .done = on_done,
        .arg = call,
    };
    call->url = mem_strdup(remote->url);
    call->kinds = kinds;
    call->done = done;
    call->arg = arg;
    const int rc = git_run(NULL, loop, &opts, err);
    strv_release(&args);
    if (rc == 0)
        return 0;
    free(call->url);
    free(call);
    return -1;
}
