#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "log/log.h"
#include "sandbox/internal.h"
#include "sandbox/user.h"

#define RETRY_MS        5000
#define END_TRIES       50  /* times 10 ms, for the processes of all sandboxes to be gone */
#define LAUNCHER_TRIES  400 /* times 5 ms, for the launcher to end by itself */
#define LAUNCHER_TRY_US 5000
#define PROGRAM         "gantry-sandbox"
#define PROGRAM_MAX     (64 * 1024 * 1024)
#define PROGRAM_COPY    ".program"

/* ---- finding things ---- */

static char *find_program(const char *name, const char *package, struct err *err)
{
    static const char *const dirs[] = {"/usr/local/bin", "/usr/bin", "/bin"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
        char *path = mem_printf("%s/%s", dirs[i], name);
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    err_set(err, ERR_NOT_FOUND, "'%s' is not installed; run: apt-get install %s", name, package);
    return NULL;
}

static char *beside_this(const char *name)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return mem_strdup(name);
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    *slash = '\0';
    return mem_printf("%s/%s", self, name);
}

static int open_beside(const char *path, const char *name, const char *why, struct err *err)
{
    char *found = path ? mem_strdup(path) : beside_this(name);
    int fd = open(found, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        err_errno(err, errno, "cannot open '%s', which every sandbox %s", found, why);
    free(found);
    return fd;
}

int sandbox_open_program(const char *path, struct err *err)
{
    return open_beside(path, PROGRAM, "begins with", err);
}

int sandbox_open_docker(const char *path, struct err *err)
{
    return open_beside(path, "gantry-docker", "shows as docker", err);
}

int sandbox_copy_program(int fd, const char *path, struct err *err)
{
    struct buf bytes;
    char chunk[64 * 1024];
    off_t at = 0;
    int rc = 0;
    buf_init(&bytes, PROGRAM_MAX);
    for (ssize_t n; rc == 0 && (n = pread(fd, chunk, sizeof(chunk), at)) != 0; at += n) {
        if (n < 0 || buf_add(&bytes, chunk, (size_t)n) < 0)
            rc = err_errno(err, errno, "cannot read the program for '%s'", path);
    }
    if (rc == 0)
        rc = file_write(path, bytes.data, bytes.len, 0755, err);
    buf_release(&bytes);
    return rc;
}

static void describe_means(struct sandbox_pool *pool)
{
    const struct cgroup_root *cg = &pool->cgroup;
    const char *v = cg->v2 ? "cgroup v2" : "cgroup v1";
    snprintf(pool->means, sizeof(pool->means),
             "limits: memory by %s, processes by %s, cpu by %s, disk sampled",
             cg->memory ? v : "sampling every 100 ms", cg->pids ? v : "rlimit and sampling",
             cg->cpu ? v : "nothing (no cgroup delegated)");
}

/* ---- the launcher ---- */

void pool_state(struct sandbox_pool *pool, bool works, const char *reason)
{
    bool news = works != pool->works || !works;
    pool->works = works;
    if (news && pool->on_state)
        pool->on_state(works, reason, pool->arg);
    if (!works)
        loop_timer_arm(pool->retry, RETRY_MS);
}

int pool_send(struct sandbox_pool *pool)
{
    if (pool->control < 0)
        return -1;
    return wire_send(pool->control, pool->packet, 0);
}

struct pool_token *pool_token_hold(struct sandbox_pool *pool)
{
    pool->token->references++;
    return pool->token;
}

struct sandbox_pool *pool_token_take(struct pool_token *token)
{
    struct sandbox_pool *pool = token->pool;
    if (--token->references == 0)
        free(token);
    return pool;
}

struct sandbox *pool_find(struct sandbox_pool *pool, uint32_t id)
{
    struct sandbox *box;
    LIST_FOREACH(box, &pool->all, link)
    {
        if (box->id == id)
            return box;
    }
    return NULL;
}

/* With its connection closed it ends its sandboxes and itself. Where it does not, it is killed, and
 * what it was about to start may stay behind. */
static void end_launcher(struct sandbox_pool *pool)
{
    if (pool->control >= 0)
        close(pool->control);
    pool->control = -1;
    for (int i = 0; i < LAUNCHER_TRIES && pool->launcher > 0; i++) {
        if (waitpid(pool->launcher, NULL, WNOHANG) != 0)
            pool->launcher = 0;
        else
            usleep(LAUNCHER_TRY_US);
    }
    if (pool->launcher > 0) {
        kill(pool->launcher, SIGKILL);
        waitpid(pool->launcher, NULL, 0);
    }
    pool->launcher = 0;
}

static void launcher_gone(struct sandbox_pool *pool, const char *said)
{
    struct err err = {0};
    loop_fd_free(pool->control_watch);
    pool->control_watch = NULL;
    pool->launched = false;
    end_launcher(pool);
    view_explain(&err, said);
    pool_state(pool, false, err.msg);
    tree_fail_all(pool, EPIPE);
    /* Its sandboxes died with it. */
    struct sandbox *box, *next;
    for (box = LIST_FIRST(&pool->all); box; box = next) {
        next = LIST_NEXT(box, link);
        if (box->state == BOX_CLOSING)
            box_exited(box);
        else
            box_fail(box, &err);
    }
}

/* Everything in the pool's folder that is no sandbox of this process. */
static void sweep(struct sandbox_pool *pool)
{
    DIR *dir = opendir(pool->dir);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        struct sandbox *box;
        bool ours = false;
        LIST_FOREACH(box, &pool->all, link)
        ours = ours || str_eq(box->name, e->d_name);
        if (e->d_name[0] == '.' || ours)
            continue;
        log_info("removing what an earlier process left", LOG_S("sandbox", e->d_name));
        char *path = mem_printf("%s/%s", pool->dir, e->d_name);
        wire_packet_begin(pool->packet, WIRE_REMOVE, 0);
        (void)wire_add(pool->packet, path);
        (void)pool_send(pool);
        free(path);
    }
    closedir(dir);
}

static void on_launched(struct sandbox_pool *pool)
{
    struct sandbox *box, *next;
    pool->launched = true;
    sweep(pool);
    for (box = LIST_FIRST(&pool->all); box; box = next) {
        next = LIST_NEXT(box, link);
        if (box->state == BOX_MAKING)
            box_make(box);
    }
    pool_refill_soon(pool, 0);
}

static void on_removed(struct sandbox_pool *pool, struct sandbox *box, int error)
{
    if (box)
        box_removed(box, error);
    else if (error)
        log_warn("what an earlier process left is not all gone", LOG_S("folder", pool->dir),
                 LOG_S("error", strerror(error)));
}

static void on_control(int what, void *arg)
{
    struct sandbox_pool *pool = arg;
    (void)what;
    for (;;) {
        int rc = wire_receive(pool->control, pool->packet, MSG_DONTWAIT);
        if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (rc != 1) {
            launcher_gone(pool, "gantry-sandbox ended");
            return;
        }
        wire_close_fds(pool->packet);
        const struct wire_header header = pool->packet->header;
        struct sandbox *box = header.id ? pool_find(pool, header.id) : NULL;
        if (header.type == WIRE_FAILED) {
            char said[512];
            snprintf(said, sizeof(said), "%.500s", pool->packet->text);
            launcher_gone(pool, said);
            return;
        }
        const struct sandbox_tree tree = {.error = (int)header.value, .bytes = header.a};
        if (header.type == WIRE_READY)
            on_launched(pool);
        else if (header.type == WIRE_MEASURED || header.type == WIRE_REMOVED) {
            if (!tree_answer(pool, header.id, &tree) && header.type == WIRE_REMOVED)
                on_removed(pool, box, (int)header.value);
        } else if (header.type == WIRE_EXITED && box)
            box_exited(box);
    }
}

static int spawn_program(struct sandbox_pool *pool, int sock, struct err *err)
{
    char *const argv[] = {PROGRAM, "launch", NULL};
    char *const env[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, 0, 1);
    posix_spawn_file_actions_adddup2(&actions, sock, WIRE_FD);
    int rc = posix_spawn(&pool->launcher, pool->program, &actions, &attr, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (rc != 0) {
        pool->launcher = 0;
        return err_errno(err, rc, "cannot start '%s'", pool->program);
    }
    return 0;
}

static int send_config(struct sandbox_pool *pool, struct err *err)
{
    struct user_range uids, gids;
    char ids[6][16];
    if (user_range_find("/etc/subuid", &uids, err) < 0 ||
        user_range_find("/etc/subgid", &gids, err) < 0)
        return -1;
    snprintf(ids[0], sizeof(ids[0]), "%u", (unsigned)geteuid());
    snprintf(ids[1], sizeof(ids[1]), "%u", uids.first);
    snprintf(ids[2], sizeof(ids[2]), "%u", uids.count);
    snprintf(ids[3], sizeof(ids[3]), "%u", (unsigned)getegid());
    snprintf(ids[4], sizeof(ids[4]), "%u", gids.first);
    snprintf(ids[5], sizeof(ids[5]), "%u", gids.count);
    const char *const words[] = {pool->bwrap, pool->newuidmap, "0", ids[0], "1", "1", ids[1],
                                 ids[2],      pool->newgidmap, "0", ids[3], "1", "1", ids[4],
                                 ids[5]};
    wire_packet_begin(pool->packet, WIRE_CONFIG, 0);
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        (void)wire_add(pool->packet, words[i]);
    if (pool_send(pool) < 0)
        return err_errno(err, errno, "cannot speak to gantry-sandbox");
    return 0;
}

static int launch(struct sandbox_pool *pool, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_errno(err, errno, "socketpair");
    pool->control = pair[0];
    int rc = spawn_program(pool, pair[1], err);
    close(pair[1]);
    if (rc == 0)
        rc = send_config(pool, err);
    if (rc < 0) {
        close(pool->control);
        pool->control = -1;
        return -1;
    }
    pool->control_watch = loop_fd_new(pool->loop, pool->control, LOOP_READ, on_control, pool);
    return 0;
}

static void on_retry(void *arg)
{
    struct sandbox_pool *pool = arg;
    struct err err = {0};
    if (pool->control < 0 && launch(pool, &err) < 0)
        pool_state(pool, false, err.msg);
    else if (pool->launched)
        pool_refill_soon(pool, 0);
}

/* ---- keeping some ready ---- */

static void on_refill(void *arg)
{
    struct sandbox_pool *pool = arg;
    struct sandbox *box;
    unsigned waiting = 0;
    LIST_FOREACH(box, &pool->all, link)
    waiting += !box->taken && (box->state == BOX_MAKING || box->state == BOX_READY);
    for (; pool->launched && waiting < pool->warm; waiting++) {
        struct err err = {0};
        if (!box_new(pool, &err)) {
            pool_state(pool, false, err.msg);
            return;
        }
    }
}

void pool_refill_soon(struct sandbox_pool *pool, int64_t ms)
{
    if (!loop_timer_armed(pool->refill))
        loop_timer_arm(pool->refill, ms);
}

struct sandbox *sandbox_take(struct sandbox_pool *pool, const struct sandbox_limits *limits,
                             struct err *err)
{
    struct sandbox *box, *best = NULL;
    LIST_FOREACH(box, &pool->all, link)
    {
        if (!box->taken && (box->state == BOX_READY || (box->state == BOX_MAKING && !best)))
            best = box;
    }
    if (!best)
        best = box_new(pool, err);
    if (!best)
        return NULL;
    best->taken = true;
    best->limits = *limits;
    return best;
}

const char *sandbox_pool_means(const struct sandbox_pool *pool)
{
    return pool->means;
}

/* ---- life ---- */

static void tell_closed(void *arg)
{
    struct sandbox_pool *pool = arg;
    void (*closed)(void *) = pool->closed;
    pool->closed = NULL;
    if (closed)
        closed(pool->closed_arg);
}

void pool_box_gone(struct sandbox_pool *pool)
{
    if (pool->closed && LIST_EMPTY(&pool->all))
        loop_timer_arm(pool->closing, 0);
}

void sandbox_pool_close(struct sandbox_pool *pool, void (*done)(void *arg), void *arg)
{
    struct sandbox *box, *next;
    pool->warm = 0;
    pool->closed = done;
    pool->closed_arg = arg;
    for (box = LIST_FIRST(&pool->all); box; box = next) {
        next = LIST_NEXT(box, link);
        if (!box->taken)
            sandbox_free(box, NULL, NULL);
    }
    pool_box_gone(pool);
}

int sandbox_pool_new(struct sandbox_pool **out, struct loop *loop, const struct sandbox_conf *conf,
                     struct err *err)
{
    struct sandbox_pool *pool = mem_alloc(sizeof(*pool));
    pool->loop = loop;
    pool->token = mem_alloc(sizeof(*pool->token));
    *pool->token = (struct pool_token){.pool = pool, .references = 1};
    pool->dir = mem_strdup(conf->dir);
    pool->network = conf->network;
    pool->shared = mem_strdup(conf->shared);
    pool->warm = conf->warm;
    pool->on_state = conf->on_state;
    pool->arg = conf->arg;
    pool->program = mem_printf("%s/" PROGRAM_COPY, conf->dir);
    pool->control = -1;
    pool->packet = mem_alloc(sizeof(*pool->packet));
    pool->retry = loop_timer_new(loop, on_retry, pool);
    pool->refill = loop_timer_new(loop, on_refill, pool);
    pool->closing = loop_timer_new(loop, tell_closed, pool);
    LIST_INIT(&pool->all);
    tree_init(pool);
    pool->bwrap = find_program("bwrap", "bubblewrap", err);
    pool->newuidmap = pool->bwrap ? find_program("newuidmap", "uidmap", err) : NULL;
    pool->newgidmap = pool->newuidmap ? find_program("newgidmap", "uidmap", err) : NULL;
    if (!pool->newgidmap || file_mkdirs(conf->dir, 0700, err) < 0 ||
        sandbox_copy_program(conf->program, pool->program, err) < 0 ||
        cgroup_root_init(&pool->cgroup, conf->cgroup, err) < 0 || launch(pool, err) < 0) {
        sandbox_pool_free(pool);
        return -1;
    }
    file_spread(conf->dir);
    view_init(pool, conf->hide);
    describe_means(pool);
    *out = pool;
    return 0;
}

void sandbox_pool_free(struct sandbox_pool *pool)
{
    if (!pool)
        return;
    pool->token->pool = NULL;
    (void)pool_token_take(pool->token);
    loop_fd_free(pool->control_watch);
    end_launcher(pool);
    struct sandbox *box, *next;
    pool->closed = NULL;
    unsigned tries = END_TRIES;
    for (box = LIST_FIRST(&pool->all); box; box = next) {
        next = LIST_NEXT(box, link);
        box_destroy(box, &tries);
    }
    tree_free_all(pool);
    loop_timer_free(pool->retry);
    loop_timer_free(pool->refill);
    loop_timer_free(pool->closing);
    cgroup_root_release(&pool->cgroup);
    strv_release(&pool->hide_folders);
    strv_release(&pool->hide_files);
    free(pool->resolv_conf);
    free(pool->bwrap);
    free(pool->newuidmap);
    free(pool->newgidmap);
    free(pool->program);
    free(pool->shared);
    free(pool->dir);
    free(pool->packet);
    free(pool);
}
