#include "sandbox/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define READ_SIZE    (64 * 1024)
#define PIPE_SIZE    (256 * 1024)  /* of 64 MiB that Linux lets a user's pipes have together */
#define DRAIN_MAX    (1024 * 1024) /* of what others in the sandbox may go on writing */
#define EXPORTED_MAX (64 * 1024)
#define COMMANDS     "run/c"

/* Reads which command to run from descriptor 8 and writes its status to 9; both are closed in the
 * commands. `.` keeps `cd` and variables; a command that ends the shell leaves its state behind. */
static const char driver[] =
    "[ -f " SANDBOX_RUN "/state ] && . " SANDBOX_RUN "/state && rm -f " SANDBOX_RUN "/state\n"
    "[ -f " SANDBOX_RUN "/dir ] && IFS= read -r GANTRY_DIR <" SANDBOX_RUN "/dir &&"
    " cd \"$GANTRY_DIR\" && rm -f " SANDBOX_RUN "/dir\n"
    "unset GANTRY_DIR\n"
    "trap 'export -p >" SANDBOX_RUN "/state; pwd >" SANDBOX_RUN "/dir' EXIT\n"
    "while IFS=' ' read -r GANTRY_NEXT CODEBUILD_BUILD_SUCCEEDING <&8; do\n"
    ". " SANDBOX_RUN "/c/\"$GANTRY_NEXT\" 8<&- 9>&-\n"
    "echo \"$?\" >&9\n"
    "done\n"
    "trap - EXIT\n";

/* The same with a subshell for each command, which leaves nothing behind. */
static const char separate_driver[] =
    "while IFS=' ' read -r GANTRY_NEXT CODEBUILD_BUILD_SUCCEEDING <&8; do\n"
    "( . " SANDBOX_RUN "/c/\"$GANTRY_NEXT\" 8<&- 9>&- )\n"
    "echo \"$?\" >&9\n"
    "done\n";

struct shell {
    struct loop *loop;
    struct sandbox *sandbox;
    struct shell_conf conf;
    char *program, *dir;
    struct strv env;
    bool alive; /* the shell process */
    bool busy;  /* a command runs */
    int output; /* -1: none */
    int control;
    int status;
    struct loop_fd *output_watch, *status_watch;
    struct buf line;
    bool paused;
    char *read_buffer;
};

/* ---- files ---- */

static int write_file(struct shell *shell, const char *name, const char *text, struct err *err)
{
    char *path = mem_printf("%s/%s", sandbox_dir(shell->sandbox), name);
    int rc = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    size_t len = strlen(text), at = 0;
    while (fd >= 0 && at < len) {
        ssize_t n = write(fd, text + at, len - at);
        if (n < 0)
            break;
        at += (size_t)n;
    }
    if (fd < 0 || at < len || (len && text[len - 1] != '\n' && write(fd, "\n", 1) < 0))
        rc = err_errno(err, errno, "cannot write '%s'", path);
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

static char *export_script(const struct strv *names)
{
    struct buf script;
    buf_init(&script, 1024 * 1024);
    buf_adds(&script, "{ :;\n");
    for (size_t i = 0; names && i < names->count; i++)
        buf_addf(&script, "[ \"${%s+x}\" ] && printf '%%s=%%s\\0' %s \"$%s\"\n", names->items[i],
                 names->items[i], names->items[i]);
    buf_adds(&script, ":; } >" SANDBOX_RUN "/exported\n");
    return buf_detach(&script);
}

static int write_files(struct shell *shell, const struct shell_conf *conf, struct err *err)
{
    char name[64];
    char *dir = mem_printf("%s/" COMMANDS, sandbox_dir(shell->sandbox));
    int rc = mkdir(dir, 0755) != 0 && errno != EEXIST
                 ? err_errno(err, errno, "cannot make the folder '%s'", dir)
                 : 0;
    free(dir);
    if (rc == 0)
        rc = write_file(shell, "run/driver", conf->separate ? separate_driver : driver, err);
    for (size_t i = 0; i < conf->texts->count && rc == 0; i++) {
        snprintf(name, sizeof(name), COMMANDS "/%zu", i);
        rc = write_file(shell, name, conf->texts->items[i], err);
    }
    if (rc == 0 && conf->export && conf->export->count) {
        char *script = export_script(conf->export);
        rc = write_file(shell, COMMANDS "/export", script, err);
        free(script);
    }
    return rc;
}

/* ---- output ---- */

static bool read_output(struct shell *shell)
{
    ssize_t n = read(shell->output, shell->read_buffer, READ_SIZE);
    if (n <= 0)
        return false;
    if (!shell->conf.on_output(shell, shell->read_buffer, (size_t)n, shell->conf.arg) &&
        !shell->paused) {
        shell->paused = true;
        loop_fd_free(shell->output_watch);
        shell->output_watch = NULL;
    }
    return true;
}

static void on_output(int what, void *arg)
{
    struct shell *shell = arg;
    (void)what;
    if (!read_output(shell) && errno != EAGAIN && errno != EINTR) {
        loop_fd_free(shell->output_watch);
        shell->output_watch = NULL;
    }
}

void shell_drain(struct shell *shell)
{
    char *const buffer = shell->read_buffer;
    size_t sum = 0;
    while (shell->output >= 0 && sum < DRAIN_MAX) {
        ssize_t n = read(shell->output, buffer, READ_SIZE);
        if (n <= 0)
            break;
        sum += (size_t)n;
        (void)shell->conf.on_output(shell, buffer, (size_t)n, shell->conf.arg);
    }
}

void shell_resume(struct shell *shell)
{
    if (!shell->paused)
        return;
    shell->paused = false;
    if (shell->output >= 0)
        shell->output_watch = loop_fd_new(shell->loop, shell->output, LOOP_READ, on_output, shell);
}

/* ---- status ---- */

static void done(struct shell *shell, const struct shell_exit *result)
{
    shell->busy = false;
    shell_drain(shell);
    shell->conf.on_done(shell, result, shell->conf.arg);
}

static void on_status(int what, void *arg)
{
    struct shell *shell = arg;
    char text[64];
    int64_t code;
    (void)what;
    ssize_t n = read(shell->status, text, sizeof(text));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        loop_fd_free(shell->status_watch);
        shell->status_watch = NULL;
        return;
    }
    buf_add(&shell->line, text, (size_t)n);
    char *end = memchr(shell->line.data, '\n', shell->line.len);
    if (!end)
        return;
    *end = '\0';
    bool good = str_to_i64(shell->line.data, &code) == 0 && code >= 0 && code <= 255;
    buf_reset(&shell->line);
    if (good && shell->busy)
        done(shell, &(struct shell_exit){.code = (int)code});
}

static void close_channels(struct shell *shell)
{
    loop_fd_free(shell->output_watch);
    loop_fd_free(shell->status_watch);
    shell->output_watch = shell->status_watch = NULL;
    int *const fds[] = {&shell->output, &shell->control, &shell->status};
    for (size_t i = 0; i < 3; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* The status of a command can be in the pipe when the shell has ended after it. */
static void on_shell_exit(struct sandbox *sandbox, const struct sandbox_exit *result, void *arg)
{
    struct shell *shell = arg;
    (void)sandbox;
    shell->alive = false;
    if (!shell->busy)
        return;
    struct shell_exit out = {.code = result->signo ? 128 + result->signo : result->code,
                             .limit = result->limit,
                             .err = result->err};
    done(shell, &out);
}

static int open_channels(struct shell *shell, int theirs[3], struct err *err)
{
    int out[2], control[2], status[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    if (pipe2(control, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return err_errno(err, errno, "pipe");
    }
    if (pipe2(status, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        close(control[0]);
        close(control[1]);
        return err_errno(err, errno, "pipe");
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(status[0], F_SETFL, O_NONBLOCK);
    /* A command should not wait for each turn of the loop; where Linux allows no more, it does. */
    (void)fcntl(out[0], F_SETPIPE_SZ, PIPE_SIZE);
    shell->output = out[0];
    shell->control = control[1];
    shell->status = status[0];
    theirs[0] = out[1];
    theirs[1] = control[0];
    theirs[2] = status[1];
    return 0;
}

static int start_process(struct shell *shell, struct err *err)
{
    int theirs[3] = {-1, -1, -1};
    close_channels(shell);
    buf_reset(&shell->line);
    if (open_channels(shell, theirs, err) < 0)
        return -1;
    const char *const argv[] = {shell->program, SANDBOX_RUN "/driver", NULL};
    const struct sandbox_exec exec = {.argv = argv,
                                      .env = (const char *const *)shell->env.items,
                                      .cwd = shell->dir,
                                      .output = theirs[0],
                                      .control = theirs[1],
                                      .status = theirs[2],
                                      .on_exit = on_shell_exit,
                                      .arg = shell};
    int rc = sandbox_run(shell->sandbox, &exec, err);
    for (size_t i = 0; i < 3; i++)
        close(theirs[i]);
    if (rc == 0) {
        shell->alive = true;
        if (!shell->paused)
            shell->output_watch =
                loop_fd_new(shell->loop, shell->output, LOOP_READ, on_output, shell);
        shell->status_watch = loop_fd_new(shell->loop, shell->status, LOOP_READ, on_status, shell);
    }
    return rc;
}

static void send(struct shell *shell, const char *name, bool succeeding)
{
    char line[64];
    struct shell_exit failed = {.code = -1};
    shell->busy = true;
    if (!shell->alive && start_process(shell, &failed.err) < 0) {
        done(shell, &failed);
        return;
    }
    int n = snprintf(line, sizeof(line), "%s %d\n", name, succeeding ? 1 : 0);
    /* A pipe takes so little at once; if the shell just died, on_shell_exit() tells. */
    (void)!write(shell->control, line, (size_t)n);
}

void shell_run(struct shell *shell, size_t index, bool succeeding)
{
    char name[24];
    snprintf(name, sizeof(name), "%zu", index);
    send(shell, name, succeeding);
}

void shell_export(struct shell *shell)
{
    send(shell, "export", true);
}

int shell_exported(struct shell *shell, struct strv *out, struct err *err)
{
    struct buf text;
    if (sandbox_read_file(shell->sandbox, "run/exported", EXPORTED_MAX, &text, err) < 0)
        return -1;
    for (size_t at = 0; at < text.len; at += strlen(text.data + at) + 1)
        strv_add(out, text.data + at);
    buf_release(&text);
    return 0;
}

int shell_new(struct shell **out, struct loop *loop, struct sandbox *sandbox,
              const struct shell_conf *conf, struct err *err)
{
    struct shell *shell = mem_alloc(sizeof(*shell));
    shell->loop = loop;
    shell->sandbox = sandbox;
    shell->conf = *conf;
    shell->program = mem_strdup(conf->program);
    shell->dir = mem_strdup(conf->dir);
    shell->output = shell->control = shell->status = -1;
    shell->read_buffer = mem_alloc(READ_SIZE);
    buf_init(&shell->line, 256);
    for (size_t i = 0; i < conf->env->count; i++)
        strv_add(&shell->env, conf->env->items[i]);
    if (write_files(shell, conf, err) < 0) {
        shell_free(shell);
        return -1;
    }
    *out = shell;
    return 0;
}

void shell_free(struct shell *shell)
{
    if (!shell)
        return;
    close_channels(shell);
    buf_release(&shell->line);
    strv_release(&shell->env);
    free(shell->read_buffer);
    free(shell->program);
    free(shell->dir);
    free(shell);
}
