/* DESIGN: init is process 1 of a sandbox, root of the launcher's user namespace. What it is told to
 * run goes into a user and a mount namespace below that, with the same ids: the mounts that hide
 * the host are locked there, so root of the commands can make mounts of its own (the image tools
 * need that) but can't take away those that bubblewrap made, and can't trace or signal init. */
#include "sandbox/program.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX  64
#define ENV_MAX   4096
#define SAMPLE_MS 100

struct init {
    struct wire_packet packet;
    int user_ns, mount_ns;
    pid_t main; /* what EXEC started; 0: nothing */
    bool busy;  /* a process is left */
    bool signalled;
    bool watching;
    int64_t next_look_ms;
    struct sampler sampler;
    sigset_t signals; /* as they were */
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Copies a map of this namespace as the same ids for `pid`. */
static int copy_map(pid_t pid, const char *which)
{
    char path[64], own[512], text[512];
    unsigned long long inside, outside, count;
    size_t len = 0;
    snprintf(path, sizeof(path), "/proc/self/%s", which);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, own, sizeof(own) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return -1;
    own[n] = '\0';
    for (char *line = own, *end; *line; line = end) {
        end = strchr(line, '\n');
        end = end ? end + 1 : line + strlen(line);
        if (sscanf(line, "%llu %llu %llu", &inside, &outside, &count) == 3 && len < 400)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%llu %llu %llu\n", inside,
                                    inside, count);
    }
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, which);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : write(fd, text, len);
    if (fd >= 0)
        close(fd);
    return n == (ssize_t)len ? 0 : -1;
}

static int open_ns(pid_t pid, const char *which)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, which);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The namespaces of the commands. NULL, or what failed, with errno. */
static const char *make_namespaces(struct init *in)
{
    int up[2], down[2];
    char byte;
    if (pipe2(up, O_CLOEXEC) != 0 || pipe2(down, O_CLOEXEC) != 0)
        return "pipe";
    pid_t pid = fork();
    if (pid < 0)
        return "fork";
    if (pid == 0) {
        close(down[1]);
        bool made = unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
        byte = made ? 1 : (char)errno;
        if (!made)
            byte = (char)-byte;
        (void)!write(up[1], &byte, 1);
        (void)!read(down[0], &byte, 1);
        _exit(0);
    }
    const char *failed = NULL;
    close(up[1]);
    if (read(up[0], &byte, 1) != 1 || byte != 1) {
        errno = byte < 0 ? -byte : EIO;
        failed = "unshare(CLONE_NEWUSER | CLONE_NEWNS)";
    } else if (copy_map(pid, "uid_map") != 0 || copy_map(pid, "gid_map") != 0) {
        failed = "mapping the ids of the commands";
    } else {
        in->user_ns = open_ns(pid, "user");
        in->mount_ns = open_ns(pid, "mnt");
        if (in->user_ns < 0 || in->mount_ns < 0)
            failed = "opening the namespaces of the commands";
    }
    int error = errno;
    close(up[0]);
    close(down[0]);
    close(down[1]);
    waitpid(pid, NULL, 0);
    errno = error;
    return failed;
}

static void tell(struct init *in, enum wire_type type, int64_t value, const char *text)
{
    wire_packet_begin(&in->packet, type, 0);
    in->packet.header.value = value;
    if (text)
        (void)wire_add(&in->packet, text);
    (void)wire_send(WIRE_FD, &in->packet, 0);
}

static void limit(int resource, rlim_t value)
{
    struct rlimit old;
    if (getrlimit(resource, &old) == 0 && value > old.rlim_max)
        value = old.rlim_max;
    struct rlimit rl = {value, value};
    setrlimit(resource, &rl);
}

/* One ABI's add_key(2), request_key(2) and keyctl(2), whose numbers follow each other, are refused
 * as on a kernel without keys; bit 30 is x32's. Seven instructions, seccomp(2). */
#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define REFUSE_KEYS(abi, first)                                                                    \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, abi, 0, 6), LOAD(nr),                                      \
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xBFFFFFFF),                                           \
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 1),                                          \
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (first) + 3, 0, 1), RETURN(SECCOMP_RET_ALLOW),         \
        RETURN(SECCOMP_RET_ERRNO | ENOSYS)

/* No namespace parts keys: commands would inherit the keyring of the session that the builder was
 * started in, find there what another build left, and use up one quota with it. */
static int refuse_keys(void)
{
    static struct sock_filter code[] = {
        LOAD(arch),
        REFUSE_KEYS(AUDIT_ARCH_X86_64, 248),
        REFUSE_KEYS(AUDIT_ARCH_I386, 286),
        REFUSE_KEYS(AUDIT_ARCH_AARCH64, 217),
        REFUSE_KEYS(AUDIT_ARCH_ARM, 309),
        RETURN(SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

_Noreturn static void become_command(struct init *in)
{
    static const char *argv[ARGS_MAX], *env[ENV_MAX];
    size_t at = 0, argc = 0, envc = 0;
    sigprocmask(SIG_SETMASK, &in->signals, NULL);
    setsid();
    const char *cwd = wire_next(&in->packet, &at);
    for (uint64_t i = 0; i < in->packet.header.a && argc < ARGS_MAX - 1; i++)
        argv[argc++] = wire_next(&in->packet, &at);
    for (const char *s; envc < ENV_MAX - 1 && (s = wire_next(&in->packet, &at));)
        env[envc++] = s;
    int nothing = open("/dev/null", O_RDWR);
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    /* Without it the kernel may end init first, when it wants memory back. */
    if (score < 0 || write(score, "1000", 4) != 4)
        dprintf(in->packet.fds[0], "oom_score_adj: %s\n", strerror(errno));
    if (setns(in->user_ns, CLONE_NEWUSER) != 0 || setns(in->mount_ns, CLONE_NEWNS) != 0 ||
        dup2(nothing, 0) < 0 || dup2(in->packet.fds[0], 1) < 0 || dup2(in->packet.fds[0], 2) < 0 ||
        refuse_keys() != 0)
        _exit(126);
    /* Received descriptors are above 9: dup_high() saw to that. */
    dup2(in->packet.fds[1], 8);
    dup2(in->packet.fds[2], 9);
    close(WIRE_FD);
    if (nothing > 2)
        close(nothing);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, 65536);
    if (in->packet.header.value)
        limit(RLIMIT_NPROC, (rlim_t)in->packet.header.value);
    umask(022);
    if (!cwd || chdir(cwd) != 0)
        dprintf(2, "cannot enter %s: %s\n", cwd ? cwd : "", strerror(errno));
    else if (argc) {
        execve(argv[0], (char *const *)argv, (char *const *)env);
        dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
    }
    _exit(127);
}

static void dup_high(struct wire_packet *packet)
{
    for (size_t i = 0; i < packet->fd_count; i++) {
        int fd = fcntl(packet->fds[i], F_DUPFD_CLOEXEC, 16);
        if (fd < 0)
            continue;
        close(packet->fds[i]);
        packet->fds[i] = fd;
    }
}

static void start(struct init *in)
{
    dup_high(&in->packet);
    pid_t pid = in->packet.fd_count == 3 && !in->main ? fork() : -1;
    if (pid == 0)
        become_command(in);
    wire_close_fds(&in->packet);
    if (pid < 0)
        tell(in, WIRE_EXITED, 126 << 8, NULL);
    else {
        in->main = pid;
        in->busy = true;
    }
}

static void reap(struct init *in)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == in->main) {
            in->main = 0;
            tell(in, WIRE_EXITED, status, NULL);
        }
    }
    if (pid == 0 || errno != ECHILD)
        return;
    in->busy = false;
    if (in->signalled) {
        in->signalled = false;
        tell(in, WIRE_GONE, 0, NULL);
    }
}

static void watch(struct init *in)
{
    size_t at = 0;
    struct sampler *s = &in->sampler;
    *s = (struct sampler){.peak_bytes = s->peak_bytes,
                          .memory_bytes = in->packet.header.a,
                          .disk_bytes = in->packet.header.b,
                          .free_bytes = in->packet.header.c,
                          .processes = in->packet.header.d};
    for (const char *f; s->folder_count < 4 && (f = wire_next(&in->packet, &at));)
        snprintf(s->folders[s->folder_count++], sizeof(s->folders[0]), "%s", f);
    in->watching = true;
}

static void look(struct init *in)
{
    char reason[256];
    int limit = sampler_look(&in->sampler, now_ms(), reason, sizeof(reason));
    in->next_look_ms = now_ms() + SAMPLE_MS;
    if (!limit)
        return;
    in->watching = false;
    tell(in, WIRE_LIMIT, 0, reason);
    in->signalled = true;
    kill(-1, SIGKILL);
}

static void tell_usage(struct init *in)
{
    wire_packet_begin(&in->packet, WIRE_USAGE, 0);
    in->packet.header.a = sampler_cpu_ms();
    in->packet.header.b = in->sampler.peak_bytes;
    (void)wire_send(WIRE_FD, &in->packet, 0);
}

/* How long nothing need be looked at; -1: for ever. */
static int time_to_look(const struct init *in)
{
    if (!in->watching || !in->busy)
        return -1;
    int64_t left = in->next_look_ms - now_ms();
    return left < 0 ? 0 : left > SAMPLE_MS ? SAMPLE_MS : (int)left;
}

/* False when the builder is gone. */
static bool serve(struct init *in)
{
    if (wire_receive(WIRE_FD, &in->packet, 0) != 1)
        return false;
    switch (in->packet.header.type) {
    case WIRE_EXEC:
        start(in);
        break;
    case WIRE_WATCH:
        watch(in);
        break;
    case WIRE_USAGE:
        tell_usage(in);
        break;
    case WIRE_SIGNAL:
        in->signalled = true;
        kill(-1, (int)in->packet.header.value);
        reap(in);
        break;
    default:
        wire_close_fds(&in->packet);
    }
    return true;
}

int init_main(void)
{
    static struct init in;
    sigset_t chld;
    fcntl(WIRE_FD, F_SETFD, FD_CLOEXEC);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &in.signals);
    int children = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    const char *failed = make_namespaces(&in);
    if (failed || children < 0) {
        program_failed(&in.packet, errno, failed ? failed : "signalfd");
        return 1;
    }
    tell(&in, WIRE_READY, 0, NULL);

    struct pollfd fds[2] = {{.fd = WIRE_FD, .events = POLLIN}, {.fd = children, .events = POLLIN}};
    for (;;) {
        int n = poll(fds, 2, time_to_look(&in));
        if (n < 0 && errno != EINTR)
            return 1;
        /* Also while processes end all the time. */
        if (time_to_look(&in) == 0)
            look(&in);
        if (n > 0 && fds[1].revents) {
            struct signalfd_siginfo info;
            while (read(children, &info, sizeof(info)) == sizeof(info))
                continue;
            reap(&in);
        }
        if (n > 0 && fds[0].revents && !serve(&in))
            return 0;
    }
}
