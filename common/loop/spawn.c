#include "loop/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define EXEC_FAILED  127
/* Descriptors looked at one by one where close_range(2) is not allowed. */
#define FD_SCAN_MAX 4096

static const char *env_get(const char *const *env, const char *name)
{
    const size_t len = strlen(name);

    for (; env && *env; env++) {
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    }
    return NULL;
}

/* 0, or why it is no program that may run. */
static int check_program(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return EACCES;
    return access(path, X_OK) == 0 ? 0 : errno;
}

int spawn_lookup(char **out, const char *name, const char *const *env, struct err *err)
{
    const char *path = env_get(env, "PATH");
    bool denied = false;

    *out = NULL;
    if (str_empty(name))
        return err_set(err, ERR_INVALID, "no program is named");
    if (strchr(name, '/')) {
        *out = mem_strdup(name);
        return 0;
    }
    for (const char *dir = path ? path : PATH_DEFAULT; *dir;) {
        const size_t len = strcspn(dir, ":");
        if (len > 0) {
            char *full = mem_printf("%.*s/%s", (int)len, dir, name);
            const int why = check_program(full);
            if (why == 0) {
                *out = full;
                return 0;
            }
            denied = denied || why == EACCES;
            free(full);
        }
        dir += len;
        dir += *dir == ':';
    }
    if (denied)
        return err_set(err, ERR_DENIED, "program '%s' is in PATH but may not be run", name);
    return err_set(err, ERR_NOT_FOUND, "program '%s' is not in PATH (%s)", name,
                   path ? path : PATH_DEFAULT);
}

static void signals_reset(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    sigemptyset(&action.sa_mask);
    for (int signo = 1; signo < NSIG; signo++)
        sigaction(signo, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void descriptors_close_on_exec(void)
{
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    for (int fd = 3; fd < FD_SCAN_MAX; fd++) {
        const int flags = fcntl(fd, F_GETFD);
        if (flags >= 0)
            fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    }
}

static void complain(const struct spawn *spawn, const char *what)
{
    ssize_t n = write(2, "cannot run ", 11);
    n = write(2, spawn->path, strlen(spawn->path));
    n = write(2, ": ", 2);
    n = write(2, what, strlen(what));
    n = write(2, "\n", 1);
    (void)n;
}

/* In the child. *failed is the parent's where memory is shared, and thrown away elsewhere. */
static void __attribute__((noreturn, noinline))
child_main(const struct spawn *spawn, volatile int *failed)
{
    const char *what = "setup failed";

    setpgid(0, 0);
    for (int fd = 0; fd < 3; fd++) {
        if (dup2(spawn->fds[fd], fd) < 0)
            goto fail;
    }
    what = "its working folder cannot be entered";
    if (chdir(spawn->cwd) != 0)
        goto fail;
    descriptors_close_on_exec();
    signals_reset();
    what = "preparing failed";
    if (spawn->pre_exec) {
        errno = 0;
        if (spawn->pre_exec(spawn->pre_exec_arg) != 0)
            goto fail;
    }
    execve(spawn->path, (char *const *)spawn->argv, (char *const *)spawn->env);
    what = "exec failed";
fail:
    *failed = errno ? errno : ECANCELED;
    if (!spawn->shares_memory)
        complain(spawn, what);
    _exit(EXEC_FAILED);
}

#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wclobbered"
#endif
static pid_t start(const struct spawn *spawn, volatile int *failed)
{
    const pid_t pid = spawn->shares_memory ? vfork() : fork();

    if (pid == 0)
        child_main(spawn, failed);
    return pid;
}
#pragma GCC diagnostic pop

static int exec_error(const struct spawn *spawn, int why, struct err *err)
{
    struct stat st;

    if (stat(spawn->cwd, &st) != 0)
        return err_errno(err, errno, "cannot run '%s': its working folder '%s'", spawn->path,
                         spawn->cwd);
    err_errno(err, why, "cannot run '%s'", spawn->path);
    if (err && (why == ENOENT || why == ENOTDIR))
        err->code = ERR_NOT_FOUND;
    if (err && (why == EACCES || why == EPERM || why == ENOEXEC))
        err->code = ERR_DENIED;
    return -1;
}

int spawn_run(pid_t *out, const struct spawn *spawn, struct err *err)
{
    volatile int failed = 0;
    sigset_t all, before;

    /* A handler that ran in a child that shares our memory would act as if it were us. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = start(spawn, &failed);
    const int why = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (pid < 0)
        return err_errno(err, why, "cannot start a process for '%s'", spawn->path);
    if (failed) {
        waitpid(pid, NULL, 0);
        return exec_error(spawn, failed, err);
    }
    setpgid(pid, pid);
    *out = pid;
    return 0;
}
