#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "log/log.h"
#include "sandbox/internal.h"

#define CLOSE_KILL_MS  2000 /* bubblewrap must have ended by then */
#define CGROUP_WAIT_MS 20
#define CGROUP_TRIES   100
#define USAGE_WAIT_MS  5000
#define REFILL_MS      5
#define ACCOUNTS_MAX   (1024 * 1024)

/* ---- making one ---- */

static int make_folders(struct sandbox *box, struct err *err)
{
    static const struct {
        const char *name;
        mode_t mode;
    } folders[] = {{"", 0700},      {"/build", 0755},   {"/build/src", 0755}, {"/home", 0700},
                   {"/tmp", 01777}, {"/vartmp", 01777}, {"/run", 0755},       {"/etc", 0755}};
    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        char *path = mem_printf("%s%s", box->dir, folders[i].name);
        int rc = mkdir(path, 0700);
        if (rc == 0 && folders[i].mode != 0700)
            rc = chmod(path, folders[i].mode);
        if (rc != 0)
            err_errno(err, errno, "cannot make the folder '%s'", path);
        free(path);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* Commands may add users to them: the host's /etc is read-only. */
static int copy_accounts(struct sandbox *box, struct err *err)
{
    struct buf text;
    int rc = 0;
    for (size_t i = 0; view_accounts[i] && rc == 0; i++) {
        if (!view_has_account(view_accounts[i]))
            continue;
        char *path = mem_printf("%s%s", box->dir, view_accounts[i]);
        rc = file_read(&text, view_accounts[i], ACCOUNTS_MAX, err);
        if (rc == 0)
            rc = file_write(path, text.data, text.len, 0644, err);
        buf_release(&text);
        free(path);
    }
    return rc;
}

static void box_free(struct sandbox *box)
{
    LIST_REMOVE(box, link);
    pool_box_gone(box->pool);
    loop_fd_free(box->watch);
    if (box->sock >= 0)
        close(box->sock);
    if (box->words >= 0)
        close(box->words);
    if (box->pending)
        wire_close_fds(box->pending);
    free(box->pending);
    loop_timer_free(box->failing);
    loop_timer_free(box->asking);
    loop_timer_free(box->grace);
    loop_timer_free(box->closing);
    free(box->limit_reason);
    free(box->dir);
    free(box);
}

struct sandbox *box_new(struct sandbox_pool *pool, struct err *err)
{
    struct sandbox *box = mem_alloc(sizeof(*box));
    char random[ID_SIZE];
    id_random(random);
    box->pool = pool;
    box->id = ++pool->next_id;
    box->sock = box->words = -1;
    box->state = BOX_MAKING;
    snprintf(box->name, sizeof(box->name), "%.16s", random);
    box->dir = mem_printf("%s/%s", pool->dir, box->name);
    LIST_INSERT_HEAD(&pool->all, box, link);
    if (make_folders(box, err) < 0 || copy_accounts(box, err) < 0) {
        box_free(box);
        return NULL;
    }
    if (pool->launched)
        box_make(box);
    return box;
}

static void send_pending(struct sandbox *box);

const char *sandbox_over_memory(struct sandbox *box)
{
    const uint64_t kills = cgroup_oom_kills(&box->pool->cgroup, box->name);
    const bool over = kills > box->oom_kills && box->limits.memory_bytes;
    box->oom_kills = kills;
    if (!over)
        return NULL;
    snprintf(box->over_memory, sizeof(box->over_memory),
             "It used more memory than the limit of %llu MiB",
             (unsigned long long)(box->limits.memory_bytes >> 20));
    return box->over_memory;
}

static void on_exited(struct sandbox *box, int status)
{
    struct sandbox_exit result = {.code = -1, .limit = box->limit_reason};
    if (!box->running)
        return;
    box->running = false;
    if (WIFEXITED(status))
        result.code = WEXITSTATUS(status);
    else
        result.signo = WTERMSIG(status);
    if (status != 0 && !result.limit)
        result.limit = sandbox_over_memory(box);
    box->on_exit(box, &result, box->exit_arg);
}

static void on_gone(struct sandbox *box)
{
    void (*gone)(void *) = box->gone;
    box->gone = NULL;
    if (box->grace) /* else a limit ended them all */
        loop_timer_cancel(box->grace);
    if (gone)
        gone(box->gone_arg);
}

static void tell_usage(struct sandbox *box, const struct sandbox_usage *usage)
{
    void (*done)(const struct sandbox_usage *, void *) = box->on_usage;
    box->on_usage = NULL;
    loop_timer_free(box->asking);
    box->asking = NULL;
    if (done)
        done(usage, box->usage_arg);
}

/* What bubblewrap wrote before it ended. */
static void words_of(struct sandbox *box, char *out, size_t size)
{
    ssize_t n = box->words < 0 ? -1 : read(box->words, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (!out[0])
        snprintf(out, size, "it ended without a word");
}

static void on_lost(struct sandbox *box)
{
    struct err err = {0};
    char said[400];
    const char *over;
    if (box->state == BOX_MAKING) {
        words_of(box, said, sizeof(said));
        view_explain(&err, said);
    } else if ((over = sandbox_over_memory(box))) {
        /* Nothing else in it was large: it filled a tmpfs. */
        free(box->limit_reason);
        box->limit_reason = mem_strdup(over);
    } else {
        err_set(&err, ERR_UNAVAILABLE, "the sandbox ended: something on this machine killed it");
    }
    box_fail(box, &err);
}

static void on_packet(int what, void *arg)
{
    struct sandbox *box = arg;
    struct wire_packet *packet = box->pool->packet;
    (void)what;
    int rc = wire_receive(box->sock, packet, MSG_DONTWAIT);
    if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (rc != 1) {
        on_lost(box);
        return;
    }
    wire_close_fds(packet);
    switch (packet->header.type) {
    case WIRE_READY:
        box->state = BOX_READY;
        pool_state(box->pool, true, NULL);
        send_pending(box);
        break;
    case WIRE_FAILED: {
        struct err err = {0};
        view_explain(&err, packet->text);
        box_fail(box, &err);
        break;
    }
    case WIRE_EXITED:
        on_exited(box, (int)packet->header.value);
        break;
    case WIRE_LIMIT:
        free(box->limit_reason);
        box->limit_reason = mem_strdup(packet->text);
        break;
    case WIRE_GONE:
        on_gone(box);
        break;
    case WIRE_USAGE: {
        const struct sandbox_usage usage = {.known = true,
                                            .cpu_ms = (int64_t)packet->header.a,
                                            .memory_peak_bytes = packet->header.b};
        tell_usage(box, &usage);
        break;
    }
    default:
        break;
    }
}

static int add_join_files(struct sandbox *box, struct err *err)
{
    struct strv join = {0};
    struct wire_packet *packet = box->pool->packet;
    int rc = cgroup_make(&box->pool->cgroup, box->name, &join, err);
    packet->header.a = join.count;
    for (size_t i = 0; i < join.count; i++)
        (void)wire_add(packet, join.items[i]);
    strv_release(&join);
    return rc;
}

void box_make(struct sandbox *box)
{
    struct sandbox_pool *pool = box->pool;
    struct err err = {0};
    int pair[2] = {-1, -1}, words[2] = {-1, -1};
    wire_packet_begin(pool->packet, WIRE_MAKE, box->id);
    if (add_join_files(box, &err) < 0 || view_arguments(pool, box->dir, pool->packet) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 ||
        pipe2(words, O_CLOEXEC | O_NONBLOCK) != 0) {
        if (err.code == ERR_NONE)
            err_errno(&err, errno, "cannot make a sandbox");
        box_fail(box, &err);
    } else {
        wire_add_fd(pool->packet, pair[1]);
        wire_add_fd(pool->packet, words[1]);
        box->sock = pair[0];
        box->words = words[0];
        box->watch = loop_fd_new(pool->loop, box->sock, LOOP_READ, on_packet, box);
        pair[0] = words[0] = -1;
        (void)pool_send(pool);
    }
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
        if (words[i] >= 0)
            close(words[i]);
    }
}

/* ---- failing ---- */

static void tell_failure(void *arg)
{
    struct sandbox *box = arg;
    struct sandbox_exit result = {.code = -1, .limit = box->limit_reason, .err = box->err};
    if (box->err.code == ERR_NONE)
        result.signo = SIGKILL;
    if (box->gone)
        on_gone(box);
    if (!box->running)
        return;
    box->running = false;
    box->on_exit(box, &result, box->exit_arg);
}

void box_fail(struct sandbox *box, const struct err *err)
{
    if (box->state == BOX_FAILED || box->state == BOX_CLOSING)
        return;
    box->err = *err;
    loop_fd_free(box->watch);
    box->watch = NULL;
    if (box->state == BOX_MAKING)
        pool_state(box->pool, false, err->msg);
    box->state = BOX_FAILED;
    if (!box->taken) {
        sandbox_free(box, NULL, NULL);
        return;
    }
    box->failing = loop_timer_new(box->pool->loop, tell_failure, box);
    loop_timer_arm(box->failing, 0);
}

/* ---- running something ---- */

static void send_limits(struct sandbox *box)
{
    struct sandbox_pool *pool = box->pool;
    const struct sandbox_limits *l = &box->limits;
    struct err err = {0};
    if (cgroup_limit(&pool->cgroup, box->name, l, &err) < 0)
        log_warn("a limit is not set", LOG_S("sandbox", box->name), LOG_E(&err));
    wire_packet_begin(pool->packet, WIRE_WATCH, 0);
    pool->packet->header.a = pool->cgroup.memory ? 0 : l->memory_bytes;
    pool->packet->header.b = l->disk_bytes;
    pool->packet->header.c = l->free_disk_bytes;
    pool->packet->header.d = l->processes;
    (void)wire_add(pool->packet, SANDBOX_BUILD);
    (void)wire_add(pool->packet, SANDBOX_HOME);
    (void)wire_add(pool->packet, "/tmp");
    (void)wire_add(pool->packet, "/var/tmp");
    (void)wire_send(box->sock, pool->packet, MSG_DONTWAIT);
}

static void send_pending(struct sandbox *box)
{
    struct wire_packet *packet = box->pending;
    if (!packet || box->state != BOX_READY)
        return;
    box->pending = NULL;
    send_limits(box);
    if (wire_send(box->sock, packet, MSG_DONTWAIT) < 0) {
        struct err err = {0};
        err_errno(&err, errno, "cannot speak to the sandbox");
        box_fail(box, &err);
    }
    wire_close_fds(packet);
    free(packet);
}

static int fill(struct wire_packet *packet, const struct sandbox_exec *exec, struct err *err)
{
    int rc = wire_add(packet, exec->cwd);
    for (const char *const *s = exec->argv; *s && rc == 0; s++) {
        rc = wire_add(packet, *s);
        packet->header.a++;
    }
    for (const char *const *s = exec->env; s && *s && rc == 0; s++)
        rc = wire_add(packet, *s);
    if (rc < 0)
        return err_set(err, ERR_LIMIT, "the environment is longer than %d KiB", WIRE_MAX / 1024);
    const int fds[3] = {exec->output, exec->control, exec->status};
    for (size_t i = 0; i < 3; i++) {
        int fd =
            fds[i] >= 0 ? fcntl(fds[i], F_DUPFD_CLOEXEC, 0) : open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return err_errno(err, errno, "cannot pass a descriptor to the sandbox");
        wire_add_fd(packet, fd);
    }
    return 0;
}

int sandbox_run(struct sandbox *box, const struct sandbox_exec *exec, struct err *err)
{
    if (box->running)
        return err_set(err, ERR_INTERNAL, "the sandbox runs something already");
    struct wire_packet *packet = mem_alloc(sizeof(*packet));
    wire_packet_begin(packet, WIRE_EXEC, 0);
    packet->header.value =
        box->limits.processes ? (int64_t)box->limits.processes + SANDBOX_PROCESSES_MORE : 0;
    if (fill(packet, exec, err) < 0) {
        wire_close_fds(packet);
        free(packet);
        return -1;
    }
    box->running = true;
    box->on_exit = exec->on_exit;
    box->exit_arg = exec->arg;
    box->pending = packet;
    if (box->state == BOX_FAILED)
        loop_timer_arm(box->failing, 0);
    else
        send_pending(box);
    return 0;
}

/* ---- the end ---- */

static void on_grace_over(void *arg)
{
    struct sandbox *box = arg;
    wire_packet_begin(box->pool->packet, WIRE_SIGNAL, 0);
    box->pool->packet->header.value = SIGKILL;
    if (box->sock >= 0)
        (void)wire_send(box->sock, box->pool->packet, MSG_DONTWAIT);
}

void sandbox_stop(struct sandbox *box, int64_t grace_ms, void (*gone)(void *arg), void *arg)
{
    box->gone = gone;
    box->gone_arg = arg;
    if (!box->grace)
        box->grace = loop_timer_new(box->pool->loop, on_grace_over, box);
    if (box->state == BOX_MAKING) {
        /* What was to run in it will not. */
        struct err err = {0};
        err_set(&err, ERR_UNAVAILABLE, "it was stopped before it began");
        box->state = BOX_READY;
        box_fail(box, &err);
        return;
    }
    if (box->state == BOX_FAILED) {
        loop_timer_arm(box->failing, 0);
        return;
    }
    wire_packet_begin(box->pool->packet, WIRE_SIGNAL, 0);
    box->pool->packet->header.value = SIGTERM;
    (void)wire_send(box->sock, box->pool->packet, MSG_DONTWAIT);
    loop_timer_arm(box->grace, grace_ms);
}

static void finish(struct sandbox *box)
{
    void (*done)(void *) = box->done;
    void *arg = box->done_arg;
    if (cgroup_remove(&box->pool->cgroup, box->name) < 0) {
        if (++box->tries < CGROUP_TRIES) {
            loop_timer_arm(box->closing, CGROUP_WAIT_MS);
            return;
        }
        log_warn("a control group is left", LOG_S("sandbox", box->name));
    }
    box_free(box);
    if (done)
        done(arg);
}

void box_removed(struct sandbox *box, int error)
{
    if (error)
        log_warn("a sandbox's folder is left", LOG_S("folder", box->dir),
                 LOG_S("error", strerror(error)));
    finish(box);
}

/* A removal on a worker; the pool may be gone when it returns. */
struct removal {
    struct pool_token *token;
    uint32_t id;
    char *dir;
    int rc;
};

static void remove_work(void *arg)
{
    struct removal *removal = arg;
    removal->rc = file_remove_tree(removal->dir, NULL);
}

static void remove_done(void *arg)
{
    struct removal *removal = arg;
    struct sandbox_pool *pool = pool_token_take(removal->token);
    struct sandbox *box = pool ? pool_find(pool, removal->id) : NULL;
    if (box && removal->rc == 0) {
        finish(box);
    } else if (box) {
        /* Subordinate ids own some of it: the launcher is root over those. */
        wire_packet_begin(box->pool->packet, WIRE_REMOVE, box->id);
        (void)wire_add(box->pool->packet, box->dir);
        if (pool_send(box->pool) < 0)
            box_removed(box, EPIPE);
    }
    free(removal->dir);
    free(removal);
}

void box_exited(struct sandbox *box)
{
    box->exited = true;
    if (box->state != BOX_CLOSING || box->removing)
        return;
    struct removal *removal = mem_alloc(sizeof(*removal));
    *removal = (struct removal){
        .token = pool_token_hold(box->pool), .id = box->id, .dir = mem_strdup(box->dir)};
    box->removing = true;
    loop_work(box->pool->loop, remove_work, remove_done, removal);
}

/* First: bubblewrap did not end by itself. Later: the control group was not empty yet. */
static void on_closing(void *arg)
{
    struct sandbox *box = arg;
    if (box->removing) {
        finish(box);
        return;
    }
    wire_packet_begin(box->pool->packet, WIRE_KILL, box->id);
    (void)pool_send(box->pool);
}

static void on_no_usage(void *arg)
{
    const struct sandbox_usage none = {0};
    tell_usage(arg, &none);
}

void sandbox_usage(struct sandbox *box, void (*done)(const struct sandbox_usage *usage, void *arg),
                   void *arg)
{
    bool asked = false;
    box->on_usage = done;
    box->usage_arg = arg;
    if (!box->asking)
        box->asking = loop_timer_new(box->pool->loop, on_no_usage, box);
    if (box->state == BOX_READY && box->sock >= 0) {
        wire_packet_begin(box->pool->packet, WIRE_USAGE, 0);
        asked = wire_send(box->sock, box->pool->packet, MSG_DONTWAIT) == 0;
    }
    loop_timer_arm(box->asking, asked ? USAGE_WAIT_MS : 0);
}

void sandbox_free(struct sandbox *box, void (*done)(void *arg), void *arg)
{
    if (!box)
        return;
    bool launched = box->watch || box->sock >= 0;
    box->state = BOX_CLOSING;
    box->taken = true;
    box->done = done;
    box->done_arg = arg;
    box->running = false;
    box->gone = NULL;
    loop_fd_free(box->watch);
    box->watch = NULL;
    if (box->sock >= 0)
        close(box->sock);
    box->sock = -1;
    loop_timer_free(box->failing);
    box->failing = NULL;
    loop_timer_free(box->asking);
    box->asking = NULL;
    box->on_usage = NULL;
    loop_timer_free(box->grace);
    box->grace = NULL;
    box->closing = loop_timer_new(box->pool->loop, on_closing, box);
    if (box->exited || !launched || box->pool->control < 0)
        box_exited(box);
    else
        loop_timer_arm(box->closing, CLOSE_KILL_MS);
    pool_refill_soon(box->pool, REFILL_MS);
}

void box_destroy(struct sandbox *box, unsigned *tries)
{
    loop_fd_free(box->watch);
    box->watch = NULL;
    if (box->sock >= 0)
        close(box->sock);
    box->sock = -1;
    while (cgroup_remove(&box->pool->cgroup, box->name) < 0 && *tries) {
        --*tries;
        usleep(10000);
    }
    /* What can't be removed now is at the next start. */
    if (!box->removing)
        (void)file_remove_tree(box->dir, NULL);
    box_free(box);
}

/* ---- */

const char *sandbox_dir(const struct sandbox *box)
{
    return box->dir;
}

int sandbox_read_file(const struct sandbox *box, const char *path, size_t limit, struct buf *out,
                      struct err *err)
{
    return file_read_beneath(out, box->dir, path, limit, err);
}
