#include "sandbox/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "sandbox/script.h"

#define READ_SIZE    (256 * 1024)
#define PIPE_SIZE    (1024 * 1024) /* of 64 MiB that Linux lets a user's pipes have together */
#define DRAIN_MAX    (1024 * 1024) /* of what others in the sandbox may go on writing */
#define EXPORTED_MAX (64 * 1024)
#define COMMANDS     "run/" SCRIPT_COMMANDS
#define LEFT         "run/" SCRIPT_LEFT

/* `as USER SHELL new`: becomes a user and runs the driver, or writes to 9 why it cannot. A home
 * that is not there is made where there is room. */
static const char as[] =
    "IFS=: read -r GANTRY_USER GANTRY_X GANTRY_UID GANTRY_GID GANTRY_X HOME GANTRY_X <<EOF\n"
    "$(getent passwd \"$1\")\n"
    "EOF\n"
    "[ \"$GANTRY_USER\" = \"$1\" ] || { echo no-user >&9; exit 1; }\n"
    "setpriv --reuid \"$GANTRY_UID\" --regid \"$GANTRY_GID\" --init-groups true 2>/dev/null ||"
    " { echo no-ids >&9; exit 1; }\n"
    "if [ ! -d \"$HOME\" ]; then\n"
    "mkdir -p " SANDBOX_BUILD "/.homes/\"$1\"\n"
    "chown \"$GANTRY_UID:$GANTRY_GID\" " SANDBOX_BUILD "/.homes/\"$1\"\n"
    "ln -s " SANDBOX_BUILD "/.homes/\"$1\" \"$HOME\" 2>/dev/null ||"
    " HOME=" SANDBOX_BUILD "/.homes/$1\n"
    "fi\n"
    "export HOME USER=\"$1\"\n"
    "exec setpriv --reuid \"$GANTRY_UID\" --regid \"$GANTRY_GID\" --init-groups \"$2\" " SANDBOX_RUN
    "/" SCRIPT_DRIVER " $3\n";

/* What `as` writes. */
static const struct {
    const char *word, *reason;
} refusals[] = {
    {"no-user", "there is no such user in the build's /etc/passwd"},
    {"no-ids", "its ids are not among those that the sandbox has"},
};

struct shell {
    struct loop *loop;
    struct sandbox *sandbox;
    struct shell_conf conf;
    char *program, *dir;
    struct strv env;
    struct strv users; /* of the texts */
    const char *user;  /* who the shell is */
    bool alive;        /* the shell process */
    bool busy;         /* a command runs */
    char next[64];     /* the line that a new shell is sent once the old one has ended; "" */
    const char *next_user;
    int output;     /* -1: none */
    int output_end; /* the commands', kept: what an ended shell left may go on writing */
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
    size_t len = strlen(text);
    char *whole = mem_printf("%s%s", text, len && text[len - 1] != '\n' ? "\n" : "");
    int rc = file_create(path, whole, strlen(whole), 0644, err);
    free(whole);
    free(path);
    return rc;
}

static int make_folder(const struct shell *shell, const char *name, mode_t mode, struct err *err)
{
    char *dir = mem_printf("%s/%s", sandbox_dir(shell->sandbox), name);
    int rc = (mkdir(dir, 0755) != 0 && errno != EEXIST) || chmod(dir, mode) != 0
                 ? err_errno(err, errno, "cannot make the folder '%s'", dir)
                 : 0;
    free(dir);
    return rc;
}

static int write_files(struct shell *shell, const struct shell_conf *conf, struct err *err)
{
    char name[64];
    const bool others = script_has_others(conf->users);
    int rc = make_folder(shell, COMMANDS, 0755, err);
    if (rc == 0)
        rc = make_folder(shell, LEFT, others ? 0777 : 0755, err);
    char *driver = script_driver(SANDBOX_RUN, conf->separate, SCRIPT_TELL);
    if (rc == 0)
        rc = write_file(shell, "run/" SCRIPT_DRIVER, driver, err);
    free(driver);
    if (rc == 0 && others)
        rc = write_file(shell, "run/as", as, err);
    for (size_t i = 0; i < conf->texts->count && rc == 0; i++) {
        snprintf(name, sizeof(name), COMMANDS "/%zu", i);
        rc = write_file(shell, name, conf->texts->items[i], err);
    }
    if (rc == 0 && conf->export && conf->export->count) {
        char *script = script_export(SANDBOX_RUN, conf->export);
        rc = write_file(shell, COMMANDS "/" SCRIPT_EXPORT, script, err);
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

static void refused(struct shell *shell, const char *word)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        if (str_eq(word, refusals[i].word))
            done(shell, &(struct shell_exit){.code = -1, .refused = refusals[i].reason});
    }
}

static void on_status(int what, void *arg)
{
    struct shell *shell = arg;
    char text[64], word[16];
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
    snprintf(word, sizeof(word), "%s", shell->line.data);
    buf_reset(&shell->line);
    if (!shell->busy)
        return;
    /* Asked after each: what a command got over is not the reason why a later one failed. */
    const char *over = sandbox_over_memory(shell->sandbox);
    if (good)
        done(shell, &(struct shell_exit){.code = (int)code, .limit = code ? over : NULL});
    else
        refused(shell, word);
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* All but the output, which is of every shell. */
static void close_channels(struct shell *shell)
{
    loop_fd_free(shell->status_watch);
    shell->status_watch = NULL;
    close_end(&shell->control);
    close_end(&shell->status);
}

static void start(struct shell *shell, const char *line);

/* The status of a command can be in the pipe when the shell has ended after it. */
static void on_shell_exit(struct sandbox *sandbox, const struct sandbox_exit *result, void *arg)
{
    struct shell *shell = arg;
    (void)sandbox;
    shell->alive = false;
    if (!shell->busy)
        return;
    if (shell->next[0] && result->err.code == ERR_NONE && !result->limit) {
        start(shell, shell->next);
        return;
    }
    struct shell_exit out = {.code = result->signo ? 128 + result->signo : result->code,
                             .limit = result->limit,
                             .err = result->err};
    done(shell, &out);
}

static int open_output(struct shell *shell, struct err *err)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    /* A command should not wait for each turn of the loop; where Linux allows no more, it does. */
    (void)fcntl(out[0], F_SETPIPE_SZ, PIPE_SIZE);
    (void)fchmod(out[1], 0622); /* any user of the build may open /dev/stdout */
    shell->output = out[0];
    shell->output_end = out[1];
    if (!shell->paused)
        shell->output_watch = loop_fd_new(shell->loop, shell->output, LOOP_READ, on_output, shell);
    return 0;
}

static int open_channels(struct shell *shell, int theirs[2], struct err *err)
{
    int control[2], status[2];
    if (shell->output < 0 && open_output(shell, err) < 0)
        return -1;
    if (pipe2(control, O_CLOEXEC) != 0)
        return err_errno(err, errno, "pipe");
    if (pipe2(status, O_CLOEXEC) != 0) {
        close(control[0]);
        close(control[1]);
        return err_errno(err, errno, "pipe");
    }
    fcntl(status[0], F_SETFL, O_NONBLOCK);
    shell->control = control[1];
    shell->status = status[0];
    theirs[0] = control[0];
    theirs[1] = status[1];
    return 0;
}

static int start_process(struct shell *shell, struct err *err)
{
    int theirs[2] = {-1, -1};
    const bool changed = !str_eq(shell->user, shell->next_user);
    const char *how = changed ? "new" : NULL;
    close_channels(shell);
    buf_reset(&shell->line);
    if (open_channels(shell, theirs, err) < 0)
        return -1;
    shell->user = shell->next_user;
    const char *const plain[] = {shell->program, SANDBOX_RUN "/" SCRIPT_DRIVER, how, NULL};
    const char *const other[] = {"/bin/sh", SANDBOX_RUN "/as", shell->user, shell->program, how,
                                 NULL};
    const struct sandbox_exec exec = {.argv = str_eq(shell->user, SCRIPT_ROOT) ? plain : other,
                                      .env = (const char *const *)shell->env.items,
                                      .cwd = shell->dir,
                                      .output = shell->output_end,
                                      .control = theirs[0],
                                      .status = theirs[1],
                                      .on_exit = on_shell_exit,
                                      .arg = shell};
    int rc = sandbox_run(shell->sandbox, &exec, err);
    close(theirs[0]);
    close(theirs[1]);
    if (rc == 0) {
        shell->alive = true;
        shell->status_watch = loop_fd_new(shell->loop, shell->status, LOOP_READ, on_status, shell);
    }
    return rc;
}

/* The line goes to the shell that is there, else to a new one. */
static void start(struct shell *shell, const char *line)
{
    struct shell_exit failed = {.code = -1};
    if (!shell->alive && start_process(shell, &failed.err) < 0) {
        shell->next[0] = '\0';
        done(shell, &failed);
        return;
    }
    /* A pipe takes so little at once; if the shell just died, on_shell_exit() tells. */
    (void)!write(shell->control, line, strlen(line));
    shell->next[0] = '\0';
}

/* `user`: "" for who the shell is. */
static void send(struct shell *shell, const char *name, const char *user, bool succeeding)
{
    shell->busy = true;
    shell->next_user = *user ? user : shell->user;
    snprintf(shell->next, sizeof(shell->next), "%s %d\n", name, succeeding ? 1 : 0);
    if (shell->alive && !str_eq(shell->user, shell->next_user))
        close_end(&shell->control); /* it leaves what lasts, and ends */
    else
        start(shell, shell->next);
}

void shell_run(struct shell *shell, size_t index, bool succeeding)
{
    char name[24];
    snprintf(name, sizeof(name), "%zu", index);
    send(shell, name, index < shell->users.count ? shell->users.items[index] : "", succeeding);
}

void shell_export(struct shell *shell)
{
    send(shell, SCRIPT_EXPORT, "", true);
}

int shell_exported(struct shell *shell, struct strv *out, struct err *err)
{
    struct buf text;
    if (sandbox_read_file(shell->sandbox, "run/" SCRIPT_EXPORTED, EXPORTED_MAX, &text, err) < 0)
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
    shell->output = shell->output_end = shell->control = shell->status = -1;
    shell->user = SCRIPT_ROOT;
    for (size_t i = 0; conf->users && i < conf->users->count; i++)
        strv_add(&shell->users, conf->users->items[i]);
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
    loop_fd_free(shell->output_watch);
    close_end(&shell->output);
    close_end(&shell->output_end);
    buf_release(&shell->line);
    strv_release(&shell->env);
    strv_release(&shell->users);
    free(shell->read_buffer);
    free(shell->program);
    free(shell->dir);
    free(shell);
}
