#include "loop/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop_internal.h"
#include "loop/spawn.h"

/* DESIGN: a pidfd on the loop tells that the child ended. It is reaped only when on_exit is due:
 * until then its zombie keeps the process group's number ours, so that a late kill of the group
 * cannot hit a stranger. */

#define READ_SIZE        (64 * 1024)
#define GRACE_DEFAULT_MS 10000
#define LINGER_MS        1000

struct output {
    struct loop_child *child;
    struct loop_fd *watch; /* NULL: at its end, or never ours */
    int fd;
    void (*fn)(struct loop_child *child, const char *data, size_t len, void *arg);
};

struct loop_child {
    LIST_ENTRY(loop_child) link;
    struct loop *loop;
    pid_t pid;
    int pidfd;
    struct loop_fd *exit_watch;
    struct output out, err;
    int input_fd; /* -1: closed */
    struct loop_fd *input_watch;
    char *input;
    size_t input_len, input_at;
    struct loop_timer *deadline; /* then the grace's end, then the wait for open outputs */
    int64_t grace_ms;
    int64_t began_ms;
    bool paused;
    bool ended;
    bool killed_group; /* somebody asked for its end: what is left of the group goes too */
    struct loop_child_exit result;
    void (*on_exit)(struct loop_child *child, const struct loop_child_exit *result, void *arg);
    void (*on_abandoned)(void *arg);
    void *arg;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void output_close(struct output *output)
{
    loop_fd_free(output->watch);
    output->watch = NULL;
    close_fd(&output->fd);
}

static void input_close(struct loop_child *child)
{
    loop_fd_free(child->input_watch);
    child->input_watch = NULL;
    close_fd(&child->input_fd);
    if (child->input)
        mem_wipe(child->input, child->input_len);
    free(child->input);
    child->input = NULL;
}

static void child_free(struct loop_child *child)
{
    LIST_REMOVE(child, link);
    output_close(&child->out);
    output_close(&child->err);
    input_close(child);
    loop_fd_free(child->exit_watch);
    close_fd(&child->pidfd);
    loop_timer_free(child->deadline);
    free(child);
}

static void kill_group(const struct loop_child *child, int signo)
{
    if (kill(-child->pid, signo) != 0 && errno == ESRCH && !child->ended)
        kill(child->pid, signo);
}

static void finish(struct loop_child *child)
{
    if (child->killed_group)
        kill_group(child, SIGKILL);
    waitpid(child->pid, NULL, 0);
    if (child->on_exit)
        child->on_exit(child, &child->result, child->arg);
    child_free(child);
}

static void finish_if_done(struct loop_child *child)
{
    if (child->ended && !child->out.watch && !child->err.watch)
        finish(child);
}

static void on_output(int what, void *arg)
{
    struct output *output = arg;
    char data[READ_SIZE];

    (void)what;
    const ssize_t n = read(output->fd, data, sizeof(data));
    if (n > 0) {
        output->fn(output->child, data, (size_t)n, output->child->arg);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    output_close(output);
    finish_if_done(output->child);
}

static void input_write(struct loop_child *child)
{
    while (child->input_at < child->input_len) {
        const ssize_t n = write(child->input_fd, child->input + child->input_at,
                                child->input_len - child->input_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break;
        child->input_at += (size_t)n;
    }
    input_close(child);
}

static void on_input(int what, void *arg)
{
    (void)what;
    input_write(arg);
}

static void on_ended(int what, void *arg)
{
    struct loop_child *child = arg;
    siginfo_t info = {0};

    (void)what;
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == 0)
        return;
    child->ended = true;
    child->result.elapsed_ms = clock_mono_ms() - child->began_ms;
    child->result.code = info.si_code == CLD_EXITED ? info.si_status : -1;
    child->result.signo = info.si_code == CLD_EXITED ? 0 : info.si_status;
    loop_fd_free(child->exit_watch);
    child->exit_watch = NULL;
    input_close(child);
    if (!child->out.watch && !child->err.watch) {
        finish(child);
        return;
    }
    loop_timer_arm(child->deadline, LINGER_MS);
}

static void on_deadline(void *arg)
{
    struct loop_child *child = arg;

    if (child->ended) {
        if (child->paused)
            loop_timer_arm(child->deadline, LINGER_MS);
        else
            finish(child);
        return;
    }
    if (child->killed_group) {
        kill_group(child, SIGKILL);
        return;
    }
    child->result.timed_out = true;
    child->killed_group = true;
    kill_group(child, SIGTERM);
    loop_timer_arm(child->deadline, child->grace_ms);
}

void loop_child_stop(struct loop_child *child)
{
    if (child->killed_group)
        return;
    child->killed_group = true;
    if (child->ended)
        return;
    child->result.stopped = true;
    kill_group(child, SIGTERM);
    loop_timer_arm(child->deadline, child->grace_ms);
}

pid_t loop_child_pid(const struct loop_child *child)
{
    return child->pid;
}

void loop_child_pause(struct loop_child *child, bool paused)
{
    child->paused = paused;
    if (child->out.watch)
        loop_fd_watch(child->out.watch, paused ? 0 : LOOP_READ);
    if (child->err.watch)
        loop_fd_watch(child->err.watch, paused ? 0 : LOOP_READ);
}

void loop_children_abandon(struct loop_children *children)
{
    while (!LIST_EMPTY(children)) {
        struct loop_child *child = LIST_FIRST(children);
        kill_group(child, SIGKILL);
        waitpid(child->pid, NULL, 0);
        if (child->on_abandoned)
            child->on_abandoned(child->arg);
        child_free(child);
    }
}

/* ---- starting ---- */

/* Above 2, so that making it one of the child's 0, 1, 2 never overwrites another. */
static int lift(int fd)
{
    if (fd < 0 || fd > 2)
        return fd;
    const int lifted = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return lifted;
}

static int open_pipe(int *ours, int *theirs, int our_end)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    fds[0] = lift(fds[0]);
    fds[1] = lift(fds[1]);
    *ours = fds[our_end];
    *theirs = fds[!our_end];
    if (*ours < 0 || *theirs < 0)
        return -1;
    return fcntl(*ours, F_SETFL, O_NONBLOCK);
}

static int open_null(int *theirs)
{
    *theirs = lift(open("/dev/null", O_RDWR | O_CLOEXEC));
    return *theirs < 0 ? -1 : 0;
}

static int open_descriptors(struct loop_child *child, const struct loop_child_opts *opts,
                            int theirs[3], struct err *err)
{
    int rc;

    rc = opts->input ? open_pipe(&child->input_fd, &theirs[0], 1) : open_null(&theirs[0]);
    if (rc == 0)
        rc = opts->on_output ? open_pipe(&child->out.fd, &theirs[1], 0) : open_null(&theirs[1]);
    if (rc == 0 && opts->merge_stderr)
        rc = (theirs[2] = fcntl(theirs[1], F_DUPFD_CLOEXEC, 3)) < 0 ? -1 : 0;
    else if (rc == 0)
        rc = opts->on_error_output ? open_pipe(&child->err.fd, &theirs[2], 0)
                                   : open_null(&theirs[2]);
    if (rc != 0)
        return err_errno(err, errno, "cannot make the pipes of '%s'", opts->argv[0]);
    return 0;
}

static int start_process(struct loop_child *child, const struct loop_child_opts *opts,
                         const int theirs[3], struct err *err)
{
    static const char *const no_env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    const char *const *env = opts->env ? opts->env : no_env;
    char *path = NULL;
    int rc = -1;

    if (spawn_lookup(&path, opts->argv[0], env, err) != 0)
        return -1;
    const struct spawn spawn = {
        .path = path,
        .argv = opts->argv,
        .env = env,
        .cwd = opts->cwd ? opts->cwd : "/",
        .fds = {theirs[0], theirs[1], theirs[2]},
        .pre_exec = opts->pre_exec,
        .pre_exec_arg = opts->pre_exec_arg,
        .shares_memory = !opts->pre_exec || opts->pre_exec_shares,
    };
    if (spawn_run(&child->pid, &spawn, err) != 0)
        goto out;
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    if (child->pidfd < 0) {
        err_errno(err, errno, "cannot watch '%s' (pidfd_open needs Linux 5.3)", opts->argv[0]);
        kill(-child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
        goto out;
    }
    rc = 0;
out:
    free(path);
    return rc;
}

static void watch(struct loop_child *child, const struct loop_child_opts *opts)
{
    struct loop *loop = child->loop;

    child->exit_watch = loop_fd_new(loop, child->pidfd, LOOP_READ, on_ended, child);
    if (child->out.fd >= 0)
        child->out.watch = loop_fd_new(loop, child->out.fd, LOOP_READ, on_output, &child->out);
    if (child->err.fd >= 0)
        child->err.watch = loop_fd_new(loop, child->err.fd, LOOP_READ, on_output, &child->err);
    if (child->input_fd >= 0) {
        child->input = mem_dup(opts->input, opts->input_len);
        child->input_len = opts->input_len;
        child->input_watch = loop_fd_new(loop, child->input_fd, LOOP_WRITE, on_input, child);
        input_write(child);
    }
    if (opts->timeout_ms > 0)
        loop_timer_arm(child->deadline, opts->timeout_ms);
}

int loop_child_start(struct loop_child **out, struct loop *loop, const struct loop_child_opts *opts,
                     struct err *err)
{
    struct loop_child *child = mem_alloc(sizeof(*child));
    int theirs[3] = {-1, -1, -1};
    int rc = -1;

    *out = NULL;
    child->loop = loop;
    child->pidfd = child->input_fd = -1;
    child->out = (struct output){.child = child, .fd = -1, .fn = opts->on_output};
    child->err = (struct output){.child = child, .fd = -1, .fn = opts->on_error_output};
    child->grace_ms = opts->grace_ms > 0 ? opts->grace_ms : GRACE_DEFAULT_MS;
    child->on_exit = opts->on_exit;
    child->on_abandoned = opts->on_abandoned;
    child->arg = opts->arg;
    child->deadline = loop_timer_new(loop, on_deadline, child);
    child->began_ms = clock_mono_ms();
    LIST_INSERT_HEAD(loop_children(loop), child, link);

    if (open_descriptors(child, opts, theirs, err) != 0)
        goto out;
    if (start_process(child, opts, theirs, err) != 0)
        goto out;
    watch(child, opts);
    *out = child;
    rc = 0;
out:
    for (int i = 0; i < 3; i++)
        close_fd(&theirs[i]);
    if (rc != 0)
        child_free(child);
    return rc;
}
