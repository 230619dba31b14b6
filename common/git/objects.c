#include "git/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "git/run.h"

#define BUFFER_SIZE (64 * 1024)
#define HEADER_MAX  256

struct git_objects {
    pid_t pid;
    int fd; /* a socket: both ways, and no SIGPIPE when git is gone */
    int64_t deadline_ms;
    unsigned unanswered;
    uint64_t content_left; /* of the answer being read, its closing newline included */
    bool broken;
    ino_t inode; /* of the repository's folder */
    dev_t device;
    char ask[GIT_OBJECTS_AHEAD * 80];
    size_t ask_len;
    char *data;
    size_t at, len;
};

static int spawn_git(pid_t *pid, int fd, char *const *argv, char *const *env)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    rc = posix_spawn_file_actions_adddup2(&actions, fd, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, fd, 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (rc == 0)
        rc = posix_spawnp(pid, "git", &actions, &attr, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return rc;
}

int git_objects_open(struct git_objects **out, const char *git_dir, struct err *err)
{
    struct git_objects *objects = NULL;
    struct strv args = {0}, env = {0};
    int fds[2] = {-1, -1};
    struct stat st;
    pid_t pid;
    int rc = -1;

    *out = NULL;
    if (stat(git_dir, &st) != 0)
        return err_errno(err, errno, "cannot read the repository '%s'", git_dir);
    git_environment(&env);
    git_options(&args);
    /* What is larger is streamed: a third less work for the kernel than whole in memory. */
    strv_add(&args, "-c");
    strv_add(&args, "core.bigFileThreshold=128k");
    strv_addf(&args, "--git-dir=%s", git_dir);
    strv_add(&args, "cat-file");
    strv_add(&args, "--batch");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        err_errno(err, errno, "cannot make a socket for git");
        goto out;
    }
    const int why = spawn_git(&pid, fds[1], args.items, env.items);
    if (why != 0) {
        err_errno(err, why, "cannot run git");
        goto out;
    }
    objects = mem_alloc(sizeof(*objects));
    objects->pid = pid;
    objects->fd = fds[0];
    objects->inode = st.st_ino;
    objects->device = st.st_dev;
    objects->data = mem_alloc(BUFFER_SIZE);
    fds[0] = -1;
    *out = objects;
    rc = 0;
out:
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    strv_release(&args);
    strv_release(&env);
    return rc;
}

void git_objects_close(struct git_objects *objects)
{
    if (!objects)
        return;
    close(objects->fd);
    kill(-objects->pid, SIGKILL);
    while (waitpid(objects->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    free(objects->data);
    free(objects);
}

void git_objects_set_deadline(struct git_objects *objects, int64_t mono_ms)
{
    objects->deadline_ms = mono_ms;
}

bool git_objects_usable(const struct git_objects *objects, const char *git_dir)
{
    struct stat st;

    return !objects->broken && objects->unanswered == 0 && objects->content_left <= 1 &&
           stat(git_dir, &st) == 0 && st.st_ino == objects->inode && st.st_dev == objects->device;
}

static int fail(struct git_objects *objects, struct err *err)
{
    objects->broken = true;
    return err_set(err, ERR_UNAVAILABLE,
                   "git stopped answering: the mirror is broken and is made again when next used");
}

static int wait_for(struct git_objects *objects, short events, struct err *err)
{
    for (;;) {
        const int64_t left = objects->deadline_ms - clock_mono_ms();
        struct pollfd p = {.fd = objects->fd, .events = events};
        if (left <= 0) {
            objects->broken = true;
            return err_set(err, ERR_TIMEOUT, "reading the mirror took too long");
        }
        const int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return fail(objects, err);
    }
}

static int send_asked(struct git_objects *objects, struct err *err)
{
    size_t at = 0;

    while (at < objects->ask_len) {
        const ssize_t n = send(objects->fd, objects->ask + at, objects->ask_len - at,
                               MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            at += (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail(objects, err);
        if (wait_for(objects, POLLOUT, err) != 0)
            return -1;
    }
    objects->ask_len = 0;
    return 0;
}

/* Reads more behind what is there. */
static int fill(struct git_objects *objects, struct err *err)
{
    if (objects->broken)
        return fail(objects, err);
    if (objects->ask_len > 0 && send_asked(objects, err) != 0)
        return -1;
    memmove(objects->data, objects->data + objects->at, objects->len - objects->at);
    objects->len -= objects->at;
    objects->at = 0;
    for (;;) {
        const ssize_t n = recv(objects->fd, objects->data + objects->len,
                               BUFFER_SIZE - objects->len, MSG_DONTWAIT);
        if (n > 0) {
            objects->len += (size_t)n;
            return 0;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return fail(objects, err);
        if (wait_for(objects, POLLIN, err) != 0)
            return -1;
    }
}

int git_objects_ask(struct git_objects *objects, const char *name, struct err *err)
{
    const size_t len = strlen(name);

    if (objects->unanswered == GIT_OBJECTS_AHEAD ||
        objects->ask_len + len + 1 > sizeof(objects->ask) || strchr(name, '\n'))
        return err_set(err, ERR_INTERNAL, "too much asked of git at once");
    memcpy(objects->ask + objects->ask_len, name, len);
    objects->ask[objects->ask_len + len] = '\n';
    objects->ask_len += len + 1;
    objects->unanswered++;
    return 0;
}

int git_objects_send(struct git_objects *objects, struct err *err)
{
    return objects->ask_len > 0 ? send_asked(objects, err) : 0;
}

static enum git_object_type type_of(const char *word)
{
    static const char *const names[] = {[GIT_OBJECT_COMMIT] = "commit",
                                        [GIT_OBJECT_TREE] = "tree",
                                        [GIT_OBJECT_BLOB] = "blob",
                                        [GIT_OBJECT_TAG] = "tag"};

    for (int i = GIT_OBJECT_COMMIT; i <= GIT_OBJECT_TAG; i++) {
        if (str_eq(word, names[i]))
            return (enum git_object_type)i;
    }
    return 0;
}

/* `<id> <type> <size>`, or `<name> missing`. */
static int parse_header(struct git_objects *objects, char *line, struct git_object *out,
                        struct err *err)
{
    char *size = strrchr(line, ' ');

    if (!size)
        return fail(objects, err);
    *size++ = '\0';
    out->size = 0;
    out->type = GIT_OBJECT_MISSING;
    if (str_eq(size, "missing"))
        return 0;
    const char *word = strrchr(line, ' ');
    out->type = word ? type_of(word + 1) : 0;
    if (!out->type || str_to_u64(size, &out->size) != 0)
        return fail(objects, err);
    objects->content_left = out->size + 1;
    return 0;
}

int git_objects_next(struct git_objects *objects, struct git_object *out, struct err *err)
{
    char line[HEADER_MAX];
    const char *nl;

    if (objects->unanswered == 0 || objects->content_left > 1)
        return err_set(err, ERR_INTERNAL, "git was not asked");
    while (objects->content_left == 1) {
        if (objects->at == objects->len && fill(objects, err) != 0)
            return -1;
        objects->at++;
        objects->content_left = 0;
    }
    while (!(nl = memchr(objects->data + objects->at, '\n', objects->len - objects->at))) {
        if (objects->len - objects->at >= HEADER_MAX)
            return fail(objects, err);
        if (fill(objects, err) != 0)
            return -1;
    }
    const size_t len = (size_t)(nl - (objects->data + objects->at));
    if (len >= HEADER_MAX)
        return fail(objects, err);
    memcpy(line, objects->data + objects->at, len);
    line[len] = '\0';
    objects->at += len + 1;
    objects->unanswered--;
    return parse_header(objects, line, out, err);
}

int git_objects_chunk(struct git_objects *objects, const char **data, size_t *len, size_t max,
                      struct err *err)
{
    const uint64_t left = objects->content_left > 0 ? objects->content_left - 1 : 0;

    if (left == 0 || max == 0)
        return err_set(err, ERR_INTERNAL, "nothing of this object is left to read");
    if (objects->at == objects->len && fill(objects, err) != 0)
        return -1;
    size_t n = objects->len - objects->at;
    if (n > left)
        n = (size_t)left;
    if (n > max)
        n = max;
    *data = objects->data + objects->at;
    *len = n;
    objects->at += n;
    objects->content_left -= n;
    return 0;
}

int git_objects_read(struct git_objects *objects, void *out, size_t len, struct err *err)
{
    const char *data = NULL;
    size_t n = 0;

    for (char *to = out; len > 0; to += n, len -= n) {
        if (git_objects_chunk(objects, &data, &n, len, err) != 0)
            return -1;
        memcpy(to, data, n);
    }
    return 0;
}
