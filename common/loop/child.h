/* A child process with a deadline: its own process group, bounded output, killed as a whole tree as
 * far as the group reaches. Descriptors but 0, 1, 2 are closed in it, signals reset; it gets only
 * the environment given. */
#ifndef GANTRY_LOOP_CHILD_H
#define GANTRY_LOOP_CHILD_H

#include "base/err.h"
#include "loop/loop.h"

struct loop_child;

struct loop_child_exit {
    int code;       /* exit status, or -1 */
    int signo;      /* signal that ended it, or 0 */
    bool timed_out; /* by its deadline */
    bool stopped;   /* by loop_child_stop() */
    int64_t elapsed_ms;
};

struct loop_child_opts {
    const char *const *argv; /* argv[0] is looked up in PATH of `env` unless it has a slash */
    const char *const *env;  /* "K=V", NULL-ended; NULL: an empty environment with PATH */
    const char *cwd;         /* NULL: / */
    const void *input;       /* written to standard input, then closed; NULL: /dev/null. Copied */
    size_t input_len;
    int64_t timeout_ms; /* 0: none. Then SIGTERM to the group, grace_ms later SIGKILL */
    int64_t grace_ms;   /* 0 means 10,000 */
    bool merge_stderr;  /* standard error goes where standard output goes */
    /* What it prints, as read (<= 64 KiB a call). NULL: thrown away. */
    void (*on_output)(struct loop_child *child, const char *data, size_t len, void *arg);
    void (*on_error_output)(struct loop_child *child, const char *data, size_t len, void *arg);
    /* Once, when it ended and both outputs are read to their end, or 1 s after its end if somebody
     * holds them open. The child object is freed after it returns. */
    void (*on_exit)(struct loop_child *child, const struct loop_child_exit *result, void *arg);
    /* Instead of on_exit, when the loop is freed while it runs: it was killed. Frees `arg`, calls
     * nothing of the loop. NULL: nothing to free. */
    void (*on_abandoned)(void *arg);
    void *arg;
    /* Runs in the child between fork and exec; async-signal-safe calls only; non-zero ends it with
     * 127. Descriptors above 2 close at exec unless it clears their FD_CLOEXEC. NULL: none. */
    int (*pre_exec)(void *arg);
    void *pre_exec_arg;
    /* pre_exec makes system calls only: it writes nothing to memory and does not wait for its
     * parent. The child then shares the parent's memory until exec, as it does without pre_exec,
     * which is faster than a copy and reports a failed exec here. */
    bool pre_exec_shares;
};

/* ERR_NOT_FOUND or ERR_DENIED: argv[0] is not there or not a program that may run. With a pre_exec
 * that does not share, an exec that fails shows as exit code 127 and a line on standard error. */
int loop_child_start(struct loop_child **out, struct loop *loop, const struct loop_child_opts *opts,
                     struct err *err);
/* SIGTERM to its group, SIGKILL after the grace; on_exit follows. */
void loop_child_stop(struct loop_child *child);
pid_t loop_child_pid(const struct loop_child *child);
/* Stops or starts reading its output: what it writes then fills the pipe and blocks it. */
void loop_child_pause(struct loop_child *child, bool paused);

#endif
