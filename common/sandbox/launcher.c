/* DESIGN: the launcher lives as long as the builder, in a user namespace in which the builder's own
 * user is root and the subordinate ids follow. Every sandbox is a bubblewrap that it starts, so the
 * two setuid programs (newuidmap, newgidmap) run once, not once a build. Commands do not run in
 * this namespace: init.c makes another below it for each sandbox. */
#include "sandbox/program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 4096
#define ARGS_MAX     512

struct child {
    pid_t pid; /* 0: free */
    uint32_t id;
    enum wire_type task; /* MAKE, REMOVE, MEASURE */
};

struct launcher {
    struct wire_packet packet;
    struct child children[CHILDREN_MAX];
    char bwrap[256];
    sigset_t signals; /* as they were */
};

/* Runs newuidmap or newgidmap on `target`; its words go to standard error. */
static int run_map(const char *const *args, pid_t target)
{
    char pid_text[16];
    const char *argv[16] = {args[0], pid_text};
    size_t n = 2;
    snprintf(pid_text, sizeof(pid_text), "%d", (int)target);
    for (size_t i = 1; args[i] && n < 15; i++)
        argv[n++] = args[i];
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], (char *const *)argv);
        fprintf(stderr, "%s: %s", argv[0], strerror(errno));
        _exit(127);
    }
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
                   WEXITSTATUS(status) == 0
               ? 0
               : -1;
}

/* In a process outside the new namespace: waits for a byte, then maps the parent. */
_Noreturn static void map_parent(int go, int words, const char *const *uid_args,
                                 const char *const *gid_args)
{
    char byte;
    dup2(words, 2);
    if (read(go, &byte, 1) != 1)
        _exit(0);
    _exit(run_map(uid_args, getppid()) == 0 && run_map(gid_args, getppid()) == 0 ? 0 : 1);
}

static int map_self(struct launcher *l, const char *const *uid_args, const char *const *gid_args)
{
    int go[2], words[2];
    char said[400] = "";
    if (pipe2(go, O_CLOEXEC) != 0 || pipe2(words, O_CLOEXEC) != 0) {
        program_failed(&l->packet, errno, "pipe");
        return -1;
    }
    pid_t helper = fork();
    if (helper == 0) {
        close(go[1]);
        map_parent(go[0], words[1], uid_args, gid_args);
    }
    close(go[0]);
    close(words[1]);
    if (helper < 0 || unshare(CLONE_NEWUSER) != 0) {
        program_failed(&l->packet, errno, "unshare(CLONE_NEWUSER)");
        return -1;
    }
    int status = 0;
    (void)!write(go[1], "", 1);
    ssize_t n = read(words[0], said, sizeof(said) - 1);
    waitpid(helper, &status, 0);
    close(go[1]);
    close(words[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        said[n > 0 ? n : 0] = '\0';
        said[strcspn(said, "\n")] = '\0';
        program_failed(&l->packet, 0, said[0] ? said : "newuidmap or newgidmap failed");
        return -1;
    }
    if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0 || setgroups(0, NULL) != 0) {
        program_failed(&l->packet, errno, "becoming root of the user namespace");
        return -1;
    }
    return 0;
}

static int configure(struct launcher *l)
{
    const char *uid_args[8] = {0}, *gid_args[8] = {0};
    static char copy[sizeof(l->packet.text)];
    if (wire_receive(WIRE_FD, &l->packet, 0) != 1 || l->packet.header.type != WIRE_CONFIG)
        return -1;
    /* The packet is reused for answers while these are still needed. */
    memcpy(copy, l->packet.text, sizeof(copy));
    const char *strings[16] = {0};
    size_t at = 0, count = 0;
    for (const char *s; count < 15 && (s = wire_next(&l->packet, &at));)
        strings[count++] = copy + (s - l->packet.text);
    if (count != 15) {
        program_failed(&l->packet, EBADMSG, "configuration");
        return -1;
    }
    snprintf(l->bwrap, sizeof(l->bwrap), "%s", strings[0]);
    for (size_t i = 0; i < 7; i++) {
        uid_args[i] = strings[1 + i];
        gid_args[i] = strings[8 + i];
    }
    return map_self(l, uid_args, gid_args);
}

static struct child *child_free_slot(struct launcher *l)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (!l->children[i].pid)
            return &l->children[i];
    }
    return NULL;
}

static void put_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

_Noreturn static void become_bwrap(struct launcher *l)
{
    const char *argv[ARGS_MAX] = {0};
    size_t at = 0, argc = 0;
    char *const env[] = {NULL};
    setpgid(0, 0);
    sigprocmask(SIG_SETMASK, &l->signals, NULL);
    dup2(l->packet.fds[1], 2);
    dup2(l->packet.fds[1], 1);
    dup2(l->packet.fds[0], WIRE_FD);
    for (uint64_t i = 0; i < l->packet.header.a; i++)
        put_text(wire_next(&l->packet, &at), "0");
    /* Before anything else on this machine, and after its commands. */
    put_text("/proc/self/oom_score_adj", "900");
    for (const char *s; argc < ARGS_MAX - 1 && (s = wire_next(&l->packet, &at));)
        argv[argc++] = s;
    execve(l->bwrap, (char *const *)argv, env);
    fprintf(stderr, "%s: %s\n", l->bwrap, strerror(errno));
    _exit(127);
}

static void tell(struct launcher *l, enum wire_type type, uint32_t id, int64_t value)
{
    wire_packet_begin(&l->packet, type, id);
    l->packet.header.value = value;
    (void)wire_send(WIRE_FD, &l->packet, 0);
}

/* A packet is sent as a whole, so a child may, too. */
_Noreturn static void measure(struct launcher *l, uint32_t id, const char *path)
{
    uint64_t bytes = program_tree_bytes(path);
    wire_packet_begin(&l->packet, WIRE_MEASURED, id);
    l->packet.header.a = bytes;
    _exit(wire_send(WIRE_FD, &l->packet, 0) == 0 ? 0 : 1);
}

static void tell_ended(struct launcher *l, enum wire_type task, uint32_t id, int64_t value)
{
    if (task == WIRE_MAKE)
        tell(l, WIRE_EXITED, id, value);
    else if (task == WIRE_REMOVE)
        tell(l, WIRE_REMOVED, id, value);
    else if (value)
        tell(l, WIRE_MEASURED, id, value);
}

static void spawn(struct launcher *l, enum wire_type task)
{
    uint32_t id = l->packet.header.id;
    struct child *child = child_free_slot(l);
    size_t at = 0;
    const char *path = wire_next(&l->packet, &at);
    if (task == WIRE_MAKE ? l->packet.fd_count != 2 : !path || path[0] != '/') {
        wire_close_fds(&l->packet);
        tell_ended(l, task, id, EBADMSG);
        return;
    }
    pid_t pid = child ? fork() : -1;
    if (pid == 0) {
        if (task == WIRE_REMOVE)
            _exit(program_remove_tree(path) & 0xFF);
        if (task == WIRE_MEASURE)
            measure(l, id, path);
        become_bwrap(l);
    }
    wire_close_fds(&l->packet);
    if (pid < 0) {
        tell_ended(l, task, id, EAGAIN);
        return;
    }
    if (task == WIRE_MAKE)
        setpgid(pid, pid); /* as it does itself, whoever is first */
    *child = (struct child){.pid = pid, .id = id, .task = task};
}

/* The whole group: a bubblewrap that ends while its child still waits for it leaves that behind,
 * for ever, since the child has not asked yet to die with its parent. */
static void kill_group(const struct child *child)
{
    if (child->pid && child->task == WIRE_MAKE)
        kill(-child->pid, SIGKILL);
}

static void reap(struct launcher *l)
{
    siginfo_t ended = {0};
    while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid > 0) {
        const pid_t pid = ended.si_pid;
        int status = 0;
        for (size_t i = 0; i < CHILDREN_MAX; i++) {
            struct child *child = &l->children[i];
            if (child->pid != pid)
                continue;
            kill_group(child); /* while its number is not another's */
            waitpid(pid, &status, 0);
            child->pid = 0;
            tell_ended(l, child->task, child->id,
                       child->task == WIRE_MAKE ? status
                       : WIFEXITED(status)      ? WEXITSTATUS(status)
                                                : EIO);
            break;
        }
        waitpid(pid, &status, WNOHANG); /* one that is none of ours */
        ended.si_pid = 0;
    }
}

static void kill_child(const struct launcher *l, uint32_t id)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        if (l->children[i].id == id)
            kill_group(&l->children[i]);
    }
}

/* False when the builder is gone. */
static bool serve(struct launcher *l)
{
    if (wire_receive(WIRE_FD, &l->packet, 0) != 1)
        return false;
    switch (l->packet.header.type) {
    case WIRE_MAKE:
    case WIRE_REMOVE:
    case WIRE_MEASURE:
        spawn(l, l->packet.header.type);
        break;
    case WIRE_KILL:
        kill_child(l, l->packet.header.id);
        break;
    default:
        wire_close_fds(&l->packet);
    }
    return true;
}

int launcher_main(void)
{
    static struct launcher l;
    sigset_t chld;
    fcntl(WIRE_FD, F_SETFD, FD_CLOEXEC);
    if (configure(&l) != 0)
        return 1;
    /* After the last change of ids, which would undo it. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigaddset(&chld, SIGTERM);
    sigprocmask(SIG_BLOCK, &chld, &l.signals);
    int children = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    tell(&l, WIRE_READY, 0, 0);

    struct pollfd fds[2] = {{.fd = WIRE_FD, .events = POLLIN}, {.fd = children, .events = POLLIN}};
    for (bool ends = false; !ends;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents) {
            struct signalfd_siginfo info;
            while (read(children, &info, sizeof(info)) == sizeof(info))
                ends = ends || info.ssi_signo == SIGTERM;
            reap(&l);
        }
        if (!ends && fds[0].revents)
            ends = !serve(&l);
    }
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        kill_group(&l.children[i]);
    return 0;
}
