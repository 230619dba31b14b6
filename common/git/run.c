#include "git/run.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "git/auth.h"
#include "git/url.h"

#define MESSAGE_LIMIT 16384
#define GRACE_MS      2000
#define NO_HOME       "HOME=/nonexistent"

struct git_run {
    struct loop_child *child;
    struct git_auth auth;
    char *what; /* the command, for messages */
    char *url;
    struct buf out;
    struct buf message;
    bool truncated;
    int64_t timeout_ms;
    uint64_t file_limit;
    void (*done)(const struct git_run_result *result, void *arg);
    void *arg;
};

void git_remote_copy(struct git_remote *out, const struct git_remote *remote)
{
    *out = *remote;
    out->url = mem_strdup(remote->url);
    out->ssh_dir = mem_strdup(remote->ssh_dir);
    out->ca_file = mem_strdup(remote->ca_file);
    out->secret = remote->secret
                      ? mem_dup(remote->secret, remote->secret_len ? remote->secret_len : 1)
                      : NULL;
}

void git_remote_release(struct git_remote *remote)
{
    if (remote->secret)
        mem_wipe((char *)remote->secret, remote->secret_len);
    free((char *)remote->secret);
    free((char *)remote->url);
    free((char *)remote->ssh_dir);
    free((char *)remote->ca_file);
    *remote = (struct git_remote){0};
}

void git_environment(struct strv *env)
{
    /* What an operator sets for a service to reach the outside. */
    static const char *const passed[] = {
        "PATH",      "TMPDIR",          "http_proxy",    "https_proxy",  "HTTPS_PROXY",
        "all_proxy", "no_proxy",        "NO_PROXY",      "ALL_PROXY",    "SSL_CERT_DIR",
        "TZDIR",     "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSH_AUTH_SOCK"};

    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        const char *value = getenv(passed[i]);
        if (value)
            strv_addf(env, "%s=%s", passed[i], value);
    }
    strv_add(env, "LC_ALL=C");
    strv_add(env, NO_HOME);
    strv_add(env, "GIT_CONFIG_NOSYSTEM=1");
    strv_add(env, "GIT_CONFIG_GLOBAL=/dev/null");
    strv_add(env, "GIT_ATTR_NOSYSTEM=1");
    strv_add(env, "GIT_TERMINAL_PROMPT=0");
    strv_add(env, "GIT_ASKPASS=");
    strv_add(env, "SSH_ASKPASS=");
    strv_add(env, "GIT_ALLOW_PROTOCOL=file:git:http:https:ssh");
    strv_add(env, "GIT_NO_REPLACE_OBJECTS=1");
    strv_add(env, "GIT_NO_LAZY_FETCH=1");
    strv_add(env, "GIT_OPTIONAL_LOCKS=0");
}

void git_options(struct strv *args)
{
    static const char *const options[] = {
        "git",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.attributesFile=/dev/null",
        "-c",
        "gc.auto=0",
        "-c",
        "maintenance.auto=false",
        "-c",
        "submodule.recurse=false",
        "-c",
        "fetch.recurseSubmodules=false",
        "-c",
        "fetch.writeCommitGraph=false",
        "-c",
        "credential.helper=",
        "-c",
        "log.showSignature=false",
        "-c",
        "log.mailmap=false",
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        strv_add(args, options[i]);
}

/* The last line that is not empty of the first `len` bytes. */
static const char *last_line(const char *text, size_t len)
{
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    while (len > 0 && text[len - 1] != '\n')
        len--;
    return text + len;
}

/* The most telling line of what git said: of Git LFS what became of the first object, else the
 * first `fatal:` or `error:`, else the last one. Where ssh failed, git says only that, and ssh said
 * why before it. */
static void pick_line(const char *text, char *out, size_t size)
{
    static const char *const marks[] = {
        "error transferring ", "batch response: ", "fatal: ", "error: ", "ERROR: ", "remote: "};
    static const char ssh_failed[] = "fatal: Could not read from remote repository";
    const char *line = NULL;

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && !line; i++) {
        const char *at = strstr(text, marks[i]);
        if (at && at > text && str_starts(at, ssh_failed))
            line = last_line(text, (size_t)(at - text));
        else if (at && (at == text || at[-1] == '\n'))
            line = at + strlen(marks[i]);
    }
    if (!line)
        line = last_line(text, strlen(text));
    size_t n = 0;
    while (line[n] && line[n] != '\n' && line[n] != '\r' && n + 1 < size) {
        out[n] = iscntrl((unsigned char)line[n]) || line[n] < 0 ? '?' : line[n];
        n++;
    }
    while (n > 0 && (out[n - 1] == '.' || out[n - 1] == ' '))
        n--;
    out[n] = '\0';
}

static bool says(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcasestr(text, *words))
            return true;
    }
    return false;
}

static enum err_code classify(const char *text)
{
    static const char *const denied[] = {"authentication failed",
                                         "could not read username",
                                         "could not read password",
                                         "permission denied",
                                         "dubious ownership",
                                         "host key verification failed",
                                         "error: 401",
                                         "error: 403",
                                         "access denied",
                                         NULL};
    static const char *const missing[] = {
        "repository not found", "does not appear to be a git", "error: 404", "' not found",
        "does not exist",       "no such file or directory",   NULL};

    if (says(text, denied))
        return ERR_DENIED;
    if (says(text, missing))
        return ERR_NOT_FOUND;
    return ERR_UNAVAILABLE;
}

static void describe(const struct git_run *run, const struct loop_child_exit *exit, struct err *err)
{
    char line[300];

    pick_line(buf_cstr(&run->message), line, sizeof(line));
    if (run->truncated)
        err_set(err, ERR_LIMIT, "git %s of '%s' answered more than %zu bytes", run->what, run->url,
                run->out.limit);
    else if (exit->timed_out)
        err_set(err, ERR_TIMEOUT, "git %s of '%s' did not end within %lld s", run->what, run->url,
                (long long)((run->timeout_ms + 999) / 1000));
    else if (exit->signo)
        err_set(err, ERR_UNAVAILABLE, "git %s of '%s' was killed by signal %d", run->what, run->url,
                exit->signo);
    else
        err_set(err, classify(buf_cstr(&run->message)), "git %s of '%s' failed: %s", run->what,
                run->url, line[0] ? line : "it gave no reason");
    if (strstr(buf_cstr(&run->message), "'lfs' is not a git command"))
        err_set(err, ERR_NOT_FOUND, "Git LFS is not there: install the package git-lfs beside git");
    if (strstr(buf_cstr(&run->message), "dubious ownership"))
        err_wrap(err, "the repository belongs to another user than this service runs as");
}

static void run_free(struct git_run *run)
{
    git_auth_release(&run->auth);
    buf_release(&run->out);
    buf_release(&run->message);
    free(run->what);
    free(run->url);
    free(run);
}

static void on_exit_(struct loop_child *child, const struct loop_child_exit *exit, void *arg)
{
    struct git_run *run = arg;
    struct git_run_result result = {.ok = exit->code == 0 && !run->truncated,
                                    .truncated = run->truncated};

    (void)child;
    if (run->done) {
        result.out = buf_cstr(&run->out);
        result.out_len = run->out.len;
        result.message = buf_cstr(&run->message);
        if (!result.ok)
            describe(run, exit, &result.err);
        run->done(&result, run->arg);
    }
    run_free(run);
}

/* With it goes an ssh key's file. */
static void on_abandoned(void *arg)
{
    run_free(arg);
}

static void on_out(struct loop_child *child, const char *data, size_t len, void *arg)
{
    struct git_run *run = arg;

    if (run->truncated || buf_add(&run->out, data, len) == 0)
        return;
    run->truncated = true;
    loop_child_stop(child);
}

static void on_message(struct loop_child *child, const char *data, size_t len, void *arg)
{
    struct git_run *run = arg;

    (void)child;
    buf_add(&run->message, data, len);
}

/* SIGTERM with its parent, at which git ends what it started, too: nobody keeps its deadline any
 * more. */
static int before_exec(void *arg)
{
    const struct git_run *run = arg;
    const struct rlimit limit = {run->file_limit, run->file_limit};

    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        return -1;
    if (run->file_limit > 0 && setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return -1;
    return run->auth.fd >= 0 && dup2(run->auth.fd, GIT_AUTH_FD) < 0 ? -1 : 0;
}

/* A repository that belongs to another user is read all the same. */
static void trust_owner(struct strv *args, const struct git_run_opts *opts)
{
    struct git_url url;

    if (opts->remote && opts->remote->trust_owner &&
        git_url_parse(&url, opts->remote->url, NULL) == 0 && url.scheme == GIT_FILE)
        strv_add(args, "--upload-pack=git -c safe.directory=* upload-pack");
}

static void build_args(struct strv *args, const struct git_run_opts *opts)
{
    for (const char *const *config = opts->config; config && *config; config++) {
        strv_add(args, "-c");
        strv_add(args, *config);
    }
    if (opts->git_dir)
        strv_addf(args, "--git-dir=%s", opts->git_dir);
    strv_add(args, opts->args[0]);
    if (str_eq(opts->args[0], "fetch") || str_eq(opts->args[0], "ls-remote"))
        trust_owner(args, opts);
    for (const char *const *arg = opts->args + 1; *arg; arg++)
        strv_add(args, *arg);
}

/* The repository, or what is to become one. */
static const char *about(const struct git_run_opts *opts)
{
    const char *last = opts->git_dir;

    for (size_t i = 0; !opts->git_dir && opts->args[i]; i++)
        last = opts->args[i];
    return last;
}

static struct git_run *run_new(const struct git_run_opts *opts)
{
    struct git_run *run = mem_alloc(sizeof(*run));
    const int64_t remote_ms = opts->remote ? opts->remote->timeout_ms : 0;

    git_auth_init(&run->auth);
    run->what = mem_strdup(opts->args[0]);
    run->url = mem_strdup(opts->remote ? opts->remote->url : about(opts));
    run->timeout_ms = opts->timeout_ms > 0 ? opts->timeout_ms
                      : remote_ms > 0      ? remote_ms
                                           : GIT_TIMEOUT_MS;
    run->file_limit = opts->file_limit;
    run->done = opts->done;
    run->arg = opts->arg;
    buf_init(&run->out, opts->out_limit);
    buf_init(&run->message, MESSAGE_LIMIT);
    return run;
}

int git_run(struct git_run **out, struct loop *loop, const struct git_run_opts *opts,
            struct err *err)
{
    struct git_run *run = run_new(opts);
    struct strv args = {0}, env = {0};
    int rc = -1;

    if (out)
        *out = NULL;
    git_environment(&env);
    for (size_t i = 0; i < env.count && opts->home; i++) {
        if (str_eq(env.items[i], NO_HOME)) {
            free(env.items[i]);
            env.items[i] = mem_printf("HOME=%s", opts->home);
        }
    }
    git_options(&args);
    if (opts->remote && git_auth_prepare(&run->auth, opts->remote, &args, &env, err) != 0)
        goto out;
    build_args(&args, opts);
    const struct loop_child_opts child = {
        .argv = (const char *const *)args.items,
        .env = (const char *const *)env.items,
        .timeout_ms = run->timeout_ms,
        .grace_ms = GRACE_MS,
        .on_output = opts->out_limit > 0 ? on_out : NULL,
        .on_error_output = on_message,
        .on_exit = on_exit_,
        .on_abandoned = on_abandoned,
        .arg = run,
        .pre_exec = before_exec,
        .pre_exec_arg = run,
        .pre_exec_shares = true,
    };
    if (loop_child_start(&run->child, loop, &child, err) != 0) {
        err_wrap(err, "git %s", opts->args[0]);
        goto out;
    }
    if (out)
        *out = run;
    rc = 0;
out:
    strv_release(&args);
    strv_release(&env);
    if (rc != 0)
        run_free(run);
    return rc;
}

void git_run_stop(struct git_run *run)
{
    loop_child_stop(run->child);
}

void git_run_drop(struct git_run *run)
{
    if (!run)
        return;
    run->done = NULL;
    loop_child_stop(run->child);
}
