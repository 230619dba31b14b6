#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/file.h"
#include "base/mem.h"
#include "build/internal.h"
#include "build/kubernetes.h"
#include "sandbox/script.h"

#define RUN POD_DIR "/run"

struct kubernetes_folder {
    struct loop *loop;
    char *parent, *name, *dir, *packed;
    bool working;
    bool freed; /* goes once nothing is under way */
    kubernetes_folder_done *done;
    void *arg;
    int fd; /* of what is unpacked; -1: none */
    struct strv paths;
    uint64_t limit_bytes;
    struct err err;
    volatile bool stop;
};

/* ---- the runner ---- */

/* What stands between the builder and the shell that runs the commands (sandbox/script.h), in
 * what any /bin/sh takes. It is the container's first process: whom SIGTERM reaches, and nobody
 * else. Values: exit code, curl's words of the authority, the mark, exit code, the shell. */
static const char runner[] =
    "trap 'kill -TERM -1 2>/dev/null; wait; exit 143' TERM\n"
    "trap : PIPE\n"
    "umask 022\n"
    "cd " RUN " || exit %d\n"
    "mkfifo next ended || exit\n"
    "web() {\n"
    "    curl -fsS --noproxy '*' --connect-timeout 10 --retry 30 --retry-delay 1"
    " --retry-connrefused --retry-max-time 120 %s-H @" POD_TOKEN "/authorization \"$@\" &\n"
    "    wait \"$!\"\n"
    "}\n"
    "begin() {\n"
    "    (unset GANTRY_URL; . " RUN "/env; cd " POD_DIR "/build/src; exec %s " RUN "/" SCRIPT_DRIVER
    ") 8<next 9>ended &\n"
    "    shell=$!\n"
    "    exec 6>next 5<ended\n"
    "}\n"
    "end() {\n"
    "    exec 6>&- 5<&-\n"
    "    wait \"$shell\"\n"
    "    code=$?\n"
    "    shell=\n"
    "}\n"
    "run() {\n"
    "    [ \"$shell\" ] || begin\n"
    "    echo \"$1 $2\" >&6 2>/dev/null || { end; begin; echo \"$1 $2\" >&6; }\n"
    "    IFS= read -r code <&5 || end\n"
    "    printf '\\036%s %%s %%s\\n' \"$n\" \"$code\"\n"
    "}\n"
    "bring() {\n"
    "    set --\n"
    "    while IFS= read -r path; do\n"
    "        if [ -e \"" POD_DIR "/$path\" ] || [ -L \"" POD_DIR "/$path\" ]; then\n"
    "            set -- \"$@\" \"" POD_NAME "/$path\"\n"
    "        fi\n"
    "    done <paths\n"
    "    [ $# -gt 0 ] || set -- -T /dev/null\n"
    "    tar -C / -cf up.tar \"$@\"\n"
    "    part=0\n"
    "    while :; do\n"
    "        dd if=up.tar of=part bs=1048576 skip=$((part * 8)) count=8 2>/dev/null || exit\n"
    "        [ -s part ] || break\n"
    "        web -o /dev/null -H Expect: -X PUT --data-binary @part"
    " \"$GANTRY_URL/files/$n?part=$part\" || break\n"
    "        part=$((part + 1))\n"
    "    done\n"
    "    rm -f up.tar part\n"
    "    web -o /dev/null -X POST -d '' \"$GANTRY_URL/files/$n?parts=$part\" || exit %d\n"
    "}\n"
    "take() {\n"
    "    web -o down.tar \"$GANTRY_URL/files/$n\" && tar -C " POD_DIR " -xf down.tar || exit %d\n"
    "    rm down.tar\n"
    "}\n"
    "web -o env \"$GANTRY_URL/env\" || exit %d\n"
    "n=0 shell=\n"
    "while :; do\n"
    "    web --max-time 60 -o task \"$GANTRY_URL/next?after=$n\" || exit %d\n"
    "    { IFS=' ' read -r what number name succeeding; cat >paths; } <task\n"
    "    [ \"$what\" != wait ] || continue\n"
    "    n=$number\n"
    "    case $what in\n"
    "    run) run \"$name\" \"$succeeding\" ;;\n"
    "    bring) bring ;;\n"
    "    take) take ;;\n"
    "    *) exit %d ;;\n"
    "    esac\n"
    "done\n";

static int put(const struct kubernetes_folder *folder, const char *name, const char *text,
               mode_t mode, struct err *err)
{
    char *path = mem_printf("%s/run/%s", folder->dir, name);
    const size_t len = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    size_t at = 0;
    while (fd >= 0 && at < len) {
        const ssize_t n = write(fd, text + at, len - at);
        if (n < 0)
            break;
        at += (size_t)n;
    }
    int rc = 0;
    if (fd < 0 || at < len || (len && text[len - 1] != '\n' && write(fd, "\n", 1) < 0))
        rc = err_errno(err, errno, "cannot write '%s'", path);
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

/* Frees the text. */
static int put_text(const struct kubernetes_folder *folder, const char *name, char *text,
                    struct err *err)
{
    int rc = put(folder, name, text, 0644, err);
    free(text);
    return rc;
}

static int put_runner(const struct kubernetes_folder *folder, const struct build_script *script,
                      const char *mark, bool has_ca, struct err *err)
{
    struct buf text;
    buf_init(&text, 64 * 1024);
    buf_addf(&text, runner, POD_NO_ANSWER, has_ca ? "--cacert " POD_TOKEN "/ca.crt " : "",
             script->program, mark, POD_NO_ANSWER, POD_NO_ANSWER, POD_NO_ANSWER, POD_NO_ANSWER,
             POD_NO_ANSWER);
    int rc = put(folder, "runner", buf_cstr(&text), 0644, err);
    buf_release(&text);
    return rc;
}

int kubernetes_folder_write(const struct kubernetes_folder *folder,
                            const struct build_script *script, const char *mark, bool has_ca,
                            struct err *err)
{
    char name[64];
    int rc = put_runner(folder, script, mark, has_ca, err);
    if (rc == 0)
        rc =
            put_text(folder, SCRIPT_DRIVER, script_driver(RUN, script->separate, SCRIPT_TELL), err);
    for (size_t i = 0; i < script->texts->count && rc == 0; i++) {
        snprintf(name, sizeof(name), SCRIPT_COMMANDS "/%zu", i);
        rc = put(folder, name, script->texts->items[i], 0644, err);
    }
    if (rc == 0)
        rc = put_text(folder, SCRIPT_COMMANDS "/" SCRIPT_EXPORT, script_export(RUN, script->export),
                      err);
    for (const struct build_tool *tool = build_tools; tool->name && rc == 0; tool++) {
        snprintf(name, sizeof(name), "bin/%s", tool->name);
        rc = put(folder, name, tool->text, 0755, err);
    }
    return rc;
}

static bool is_identifier(const char *name, size_t len)
{
    static const char first[] = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char digits[] = "0123456789";
    for (size_t i = 0; i < len; i++) {
        if (!strchr(first, name[i]) && (i == 0 || !strchr(digits, name[i])))
            return false;
    }
    return len > 0;
}

char *kubernetes_env_text(const struct strv *env)
{
    struct buf text;
    buf_init(&text, 16 * 1024 * 1024);
    buf_extend(&text, 64 * 1024); /* seldom more: a buffer that grows leaves copies behind */
    buf_reset(&text);
    for (size_t i = 0; i < env->count; i++) {
        const char *item = env->items[i], *value = strchr(item, '=');
        if (!value || !is_identifier(item, (size_t)(value - item)))
            continue;
        buf_addf(&text, "export %.*s='", (int)(value - item), item);
        for (const char *c = value + 1; *c; c++) {
            if (*c == '\'')
                buf_adds(&text, "'\\''");
            else
                buf_addc(&text, *c);
        }
        buf_adds(&text, "'\n");
    }
    buf_adds(&text, "export PATH=\"$PATH:" RUN "/bin\"\n");
    return buf_detach(&text);
}

/* ---- life ---- */

int kubernetes_folder_new(struct kubernetes_folder **out, struct loop *loop, const char *parent,
                          const char *name, struct err *err)
{
    static const char *const parts[] = {"build/src", "home", "run/" SCRIPT_COMMANDS,
                                        "run/" SCRIPT_LEFT, "run/bin"};
    struct kubernetes_folder *folder = mem_alloc(sizeof(*folder));
    int rc = 0;
    folder->loop = loop;
    folder->parent = mem_strdup(parent);
    folder->name = mem_strdup(name);
    folder->dir = mem_printf("%s/%s", parent, name);
    folder->packed = mem_printf("%s/%s.tar", parent, name);
    folder->fd = -1;
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts) && rc == 0; i++) {
        char *path = mem_printf("%s/%s", folder->dir, parts[i]);
        rc = file_mkdirs(path, 0755, err);
        free(path);
    }
    *out = folder;
    if (rc < 0) {
        kubernetes_folder_free(folder);
        *out = NULL;
    }
    return rc;
}

const char *kubernetes_folder_dir(const struct kubernetes_folder *folder)
{
    return folder->dir;
}

static void remove_work(void *arg)
{
    struct kubernetes_folder *folder = arg;
    (void)unlink(folder->packed);
    (void)file_remove_tree(folder->dir, NULL);
}

static void remove_done(void *arg)
{
    struct kubernetes_folder *folder = arg;
    strv_release(&folder->paths);
    free(folder->parent);
    free(folder->name);
    free(folder->dir);
    free(folder->packed);
    free(folder);
}

void kubernetes_folder_free(struct kubernetes_folder *folder)
{
    if (!folder)
        return;
    folder->freed = folder->stop = true;
    folder->done = NULL;
    if (!folder->working)
        loop_work(folder->loop, remove_work, remove_done, folder);
}

/* What was under way has ended. */
static void finish(struct kubernetes_folder *folder, const struct err *err)
{
    kubernetes_folder_done *done = folder->done;
    folder->done = NULL;
    if (folder->freed)
        loop_work(folder->loop, remove_work, remove_done, folder);
    else if (done)
        done(err, folder->arg);
}

static void on_worked(void *arg)
{
    struct kubernetes_folder *folder = arg;
    const struct err err = folder->err;
    folder->working = false;
    finish(folder, &err);
}

/* One thing at a time. */
static void work(struct kubernetes_folder *folder, const struct strv *paths, void (*job)(void *arg),
                 kubernetes_folder_done *done, void *arg)
{
    strv_release(&folder->paths);
    build_outermost(paths, &folder->paths);
    folder->err = (struct err){0};
    folder->done = done;
    folder->arg = arg;
    folder->working = true;
    loop_work(folder->loop, job, on_worked, folder);
}

/* ---- packing ---- */

static void pack(void *arg)
{
    struct kubernetes_folder *folder = arg;
    uint64_t size;
    const size_t count = folder->paths.count;
    struct archive_part *parts = mem_alloc((count + 1) * sizeof(*parts));
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct archive_part){folder->paths.items[i], folder->paths.items[i]};
    const struct archive_tar tar = {
        .dir = folder->dir, .parts = parts, .part_count = count, .stop = &folder->stop};
    (void)unlink(folder->packed);
    int fd = open(folder->packed, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        err_errno(&folder->err, errno, "cannot make '%s'", folder->packed);
    else
        (void)archive_tar(&tar, fd, &size, &folder->err);
    if (fd >= 0)
        close(fd);
    free(parts);
}

void kubernetes_folder_pack(struct kubernetes_folder *folder, const struct strv *paths,
                            kubernetes_folder_done *done, void *arg)
{
    static char *all[] = {"build", "home", "run"};
    const struct strv everything = {.items = all, .count = 3};
    work(folder, paths ? paths : &everything, pack, done, arg);
}

int kubernetes_folder_packed(const struct kubernetes_folder *folder, uint64_t *size,
                             struct err *err)
{
    struct stat st;
    int fd = open(folder->packed, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_errno(err, errno, "cannot open '%s'", folder->packed);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

/* ---- unpacking ---- */

/* What is here is as the builder put it, before the commands, or as it came before; what comes
 * replaces it. All the names begin with the folder's inside (POD_DIR), which becomes this one. */
static void unpack(void *arg)
{
    struct kubernetes_folder *folder = arg;
    struct archive_unpacked unpacked;
    int rc = 0;
    for (size_t i = 0; i < folder->paths.count && rc == 0; i++)
        rc = file_remove_beneath(folder->dir, folder->paths.items[i], &folder->err);
    const struct archive_untar untar = {.dir = folder->parent,
                                        .below = folder->name,
                                        .limits.bytes = folder->limit_bytes,
                                        .stop = &folder->stop};
    if (rc == 0)
        (void)archive_untar(&untar, folder->fd, &unpacked, &folder->err);
    close(folder->fd);
    folder->fd = -1;
}

void kubernetes_folder_unpack(struct kubernetes_folder *folder, int fd, const struct strv *paths,
                              uint64_t limit_bytes, kubernetes_folder_done *done, void *arg)
{
    folder->fd = fd;
    folder->limit_bytes = limit_bytes;
    work(folder, paths, unpack, done, arg);
}
