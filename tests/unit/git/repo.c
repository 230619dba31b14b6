#include "repo.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define ANSWER_MS 60000
#define LINES     4

static FILE *shell(struct fixture *f, const char *fmt, va_list ap)
{
    char *script;

    if (vasprintf(&script, fmt, ap) < 0)
        abort();
    char *command =
        mem_printf("set -e; mkdir -p %s/remote; cd %s/remote; exec 2>>%s/stderr; unset GIT_DIR; "
                   "export HOME=%s GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=Ann "
                   "GIT_AUTHOR_EMAIL=ann@example.com GIT_COMMITTER_NAME=Ann "
                   "GIT_COMMITTER_EMAIL=ann@example.com; %s",
                   f->dir, f->dir, f->dir, f->dir, script);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    free(command);
    free(script);
    return out;
}

void sh(struct fixture *f, const char *fmt, ...)
{
    char skipped[256];
    va_list ap;

    va_start(ap, fmt);
    FILE *out = shell(f, fmt, ap);
    va_end(ap);
    while (fgets(skipped, sizeof(skipped), out))
        ;
    const int status = pclose(out);
    if (status != 0)
        fail_msg("'%s' ended with status %d: %s", fmt, status, sh_line(f, "tail -1 ../stderr"));
}

const char *sh_line(struct fixture *f, const char *fmt, ...)
{
    static char lines[LINES][256];
    static unsigned next;
    char *line = lines[next++ % LINES];
    va_list ap;

    va_start(ap, fmt);
    FILE *out = shell(f, fmt, ap);
    va_end(ap);
    line[0] = '\0';
    if (fgets(line, sizeof(lines[0]), out))
        line[strcspn(line, "\n")] = '\0';
    assert_int_equal(pclose(out), 0);
    return line;
}

int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/gantry-test-git-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->mirrors, sizeof(f->mirrors), "%s/state/mirrors", f->dir);
    snprintf(f->url, sizeof(f->url), "file://%s/remote", f->dir);
    f->loop = loop_new(2);
    f->remote = (struct git_remote){.url = f->url, .timeout_ms = 30000};
    f->mirror = git_mirror_new(f->loop, f->mirrors, f->url);
    f->kinds = GIT_BRANCHES | GIT_TAGS;
    sh(f, "git init -q -b main; echo one >file; git add file; git commit -q -m 'First: one'");
    *state = f;
    return 0;
}

int teardown(void **state)
{
    struct fixture *f = *state;

    git_mirror_free(f->mirror);
    loop_free(f->loop);
    assert_int_equal(file_remove_tree(f->dir, NULL), 0);
    strv_release(&f->range.people);
    strv_release(&f->paths.paths);
    free(f->refs);
    free(f);
    return 0;
}

static void answered(struct fixture *f, const struct err *err)
{
    f->answered = true;
    f->failed = err != NULL;
    if (err)
        f->err = *err;
}

void wait_answer(struct fixture *f)
{
    loop_run_for(f->loop, ANSWER_MS, &f->answered);
    assert_true(f->answered);
    f->answered = false;
}

static void on_refs(const struct git_ref *refs, size_t count, const struct err *err, void *arg)
{
    struct fixture *f = arg;

    free(f->refs);
    f->refs = count ? mem_dup(refs, count * sizeof(*refs)) : NULL;
    f->ref_count = count;
    answered(f, err);
}

void ls_remote(struct fixture *f)
{
    assert_int_equal(git_ls_remote(f->loop, &f->remote, f->kinds, on_refs, f, &f->err), 0);
    wait_answer(f);
}

void on_update(const struct err *err, void *arg)
{
    answered(arg, err);
}

void update(struct fixture *f, const char *commit)
{
    assert_int_equal(git_mirror_update(f->mirror, &f->remote, commit, on_update, f, &f->err), 0);
    wait_answer(f);
}

void checkout(struct fixture *f, const char *commit, const char *dir)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", f->dir, dir);
    assert_int_equal(file_mkdirs(path, 0755, NULL), 0);
    assert_int_equal(git_mirror_checkout(f->mirror, commit, path, 30000, on_update, f, &f->err), 0);
    wait_answer(f);
}

static void on_range(const struct git_range *got, const struct err *err, void *arg)
{
    struct fixture *f = arg;

    strv_release(&f->range.people);
    memset(&f->range, 0, sizeof(f->range));
    if (got) {
        f->range = *got;
        f->range.people = (struct strv){0};
        f->range.message = NULL;
        snprintf(f->message, sizeof(f->message), "%.255s", got->message);
        for (size_t i = 0; i < got->people.count; i++)
            strv_add(&f->range.people, got->people.items[i]);
    }
    answered(f, err);
}

void range(struct fixture *f, const char *before, const char *after)
{
    assert_int_equal(git_mirror_range(f->mirror, before, after, on_range, f, &f->err), 0);
    wait_answer(f);
}

static void on_paths(const struct git_paths *got, void *arg)
{
    struct fixture *f = arg;

    strv_release(&f->paths.paths);
    f->paths.complete = got->complete;
    for (size_t i = 0; i < got->paths.count; i++)
        strv_add(&f->paths.paths, got->paths.items[i]);
    answered(f, NULL);
}

void paths(struct fixture *f, const char *before, const char *after)
{
    assert_int_equal(git_mirror_paths(f->mirror, before, after, on_paths, f, &f->err), 0);
    wait_answer(f);
}

/* The whole line: Python may write a number and its line's end one after the other, and a server
 * that finds its pipe closed between them is gone. */
static int read_port(int fd)
{
    FILE *in = fdopen(fd, "r");
    char line[16];

    assert_non_null(in);
    assert_non_null(fgets(line, sizeof(line), in));
    assert_non_null(strchr(line, '\n'));
    fclose(in);
    return atoi(line);
}

void server_start(struct server *server, struct fixture *f, const char *login, const char *how)
{
    int in[2], out[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    server->pid = fork();
    if (server->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execlp("python3", "python3", "tests/unit/git/http_git.py", f->dir, login, how,
               (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server->stdin_fd = in[1];
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d/remote", read_port(out[0]));
    f->remote.url = server->url;
}

void server_stop(struct server *server)
{
    close(server->stdin_fd);
    waitpid(server->pid, NULL, 0);
}
