#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "build/docker_place.h"
#include "sandbox/sandbox.h"
#include "sandbox/script.h"

#define RUN     SANDBOX_RUN "/"
#define ENV_MAX (4 * 1024 * 1024)
#define MARK    '\036' /* hardly ever written by anybody, and nothing to a shell */

/* Process 1 of the container, which no signal from inside ends. Descriptor 7 is the builder, 8 what
 * is to be run, kept open here for all shells; 9 is what the builder reads. It starts a shell when
 * a command is there for it, in the foreground, so that signals are to it what they are to a
 * program that a person starts; of the user whom the last line "as <user>" named. relay() watches
 * the builder: when it says so or is gone, everything else is asked to end, and killed ten seconds
 * later (the engine kills it all where the builder wants that earlier). */
static const char init[] =
    "for GANTRY_P in mkfifo sleep; do\n"
    "command -v \"$GANTRY_P\" >/dev/null || { echo \"the image has no $GANTRY_P\"; exit 127; }\n"
    "done\n"
    "exec 7<&0 </dev/null 2>&1 9>&1\n"
    "mkfifo -m 600 " RUN "next && exec 8<>" RUN "next || exit 126\n"
    "tell() { GANTRY_NEXT=$1; . " RUN "told; }\n"
    "relay() {\n"
    "while IFS= read -r line <&7 && [ \"$line\" != over ]; do printf '%%s\\n' \"$line\" >&8; done\n"
    ": >" RUN "over\n"
    "kill -TERM -1 2>/dev/null\n"
    "n=0\n"
    "while [ $n -lt 120 ] && kill -0 -1 2>/dev/null; do\n"
    "sleep 0.1 2>/dev/null || sleep 1\n"
    "n=$((n + 1))\n"
    "[ $n -lt 100 ] || kill -KILL -1 2>/dev/null\n"
    "done\n"
    "echo over >&8\n"
    "}\n"
    "env=\n"
    "while IFS= read -r line <&7 && [ \"$line\" != '%s' ]; do env=\"$env$line\n\"; done\n"
    "relay & relay=$!\n"
    "tell ready\n"
    "user=" SCRIPT_ROOT " how=\n"
    "while IFS= read -r line <&8 && [ \"$line\" != over ]; do\n"
    "case $line in\n"
    "'') continue ;;\n"
    "'as '*) [ \"$line\" = \"as $user\" ] || how=new; user=${line#as }; continue ;;\n"
    "esac\n"
    "printf '%%s\\n' \"$line\" >&8\n"
    "kill -0 $relay 2>/dev/null || { relay & relay=$!; }\n"
    "( eval \"$env\"; PATH=$PATH:" RUN "bin; export PATH; cd " DOCKER_SRC " || exit\n"
    "[ $user != " SCRIPT_ROOT " ] || exec %s " RUN SCRIPT_DRIVER " $how 7<&-\n"
    "exec /bin/sh " RUN "as $user %s $how 7<&- )\n"
    "code=$?\n"
    "how=\n"
    "[ ! -e " RUN "over ] || { wait $relay; exit 143; }\n"
    "tell \"$code end\"\n"
    "done\n"
    "exit 143\n";

/* `as USER SHELL new`: becomes a user and runs the driver, or tells why it cannot. A home that is
 * not there is made. Of the programs that can change who one is, an image has one or another:
 * util-linux's, coreutils', busybox's. */
static const char as[] =
    "while IFS=: read -r GANTRY_USER GANTRY_X GANTRY_UID GANTRY_GID GANTRY_X HOME GANTRY_X; do\n"
    "[ \"$GANTRY_USER\" != \"$1\" ] || break\n"
    "done 2>/dev/null </etc/passwd\n"
    "[ \"$GANTRY_USER\" = \"$1\" ] || { GANTRY_NEXT=no-user; . " RUN "told >&9; exit 1; }\n"
    "[ -d \"$HOME\" ] || { mkdir -p \"$HOME\" && chown \"$GANTRY_UID:$GANTRY_GID\" \"$HOME\"; }"
    " 2>/dev/null\n"
    /* Any user may open /dev/stdout. */
    "chmod 622 /proc/self/fd/9 2>/dev/null\n"
    "export HOME USER=\"$1\"\n"
    "GANTRY_IDS=\"--reuid $GANTRY_UID --regid $GANTRY_GID --init-groups\"\n"
    "if setpriv $GANTRY_IDS true 2>/dev/null; then\n"
    "exec setpriv $GANTRY_IDS \"$2\" " RUN SCRIPT_DRIVER " $3\n"
    "fi\n"
    "GANTRY_IDS=\"--userspec=$GANTRY_UID:$GANTRY_GID --skip-chdir\"\n"
    "if chroot $GANTRY_IDS / true 2>/dev/null; then\n"
    "exec chroot $GANTRY_IDS / \"$2\" " RUN SCRIPT_DRIVER " $3\n"
    "fi\n"
    "if su -s /bin/sh \"$1\" -c true 2>/dev/null; then\n"
    "exec su -s /bin/sh \"$1\" -c \"exec $2 " RUN SCRIPT_DRIVER " $3\"\n"
    "fi\n"
    "GANTRY_NEXT=no-means; . " RUN "told >&9; exit 1\n";

/* A line with what is in GANTRY_NEXT, and what the kernel counted of the container by then. */
static const char told[] =
    "for GANTRY_FILE in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do\n"
    "if [ -r \"$GANTRY_FILE\" ]; then\n"
    "while IFS=' ' command read -r GANTRY_KEY GANTRY_VALUE; do\n"
    "if [ \"$GANTRY_KEY\" = oom_kill ]; then GANTRY_NEXT=\"$GANTRY_NEXT oom=$GANTRY_VALUE\"; fi\n"
    "done <\"$GANTRY_FILE\"\n"
    "fi\n"
    "done\n"
    "for GANTRY_FILE in /sys/fs/cgroup/memory.peak"
    " /sys/fs/cgroup/memory/memory.max_usage_in_bytes; do\n"
    "if [ -r \"$GANTRY_FILE\" ] && IFS= command read -r GANTRY_VALUE <\"$GANTRY_FILE\"; then"
    " GANTRY_NEXT=\"$GANTRY_NEXT peak=$GANTRY_VALUE\"; fi\n"
    "done\n"
    "command echo '%s'\"$GANTRY_NEXT\"\n";

/* Not shown by `set -x`. */
static const char tell[] = "GANTRY_NEXT=$?\n. " RUN "told >&9 2>/dev/null\n";

static int put(struct docker_place *place, const char *name, const char *text, mode_t mode,
               struct err *err)
{
    char *path = mem_printf("%s/run/%s", place->dir, name);
    size_t len = strlen(text);
    char *whole = mem_printf("%s%s", text, len && text[len - 1] != '\n' ? "\n" : "");
    int rc = file_create(path, whole, strlen(whole), mode, err);
    free(whole);
    free(path);
    return rc;
}

static int put_own(struct docker_place *place, const struct build_script *script, struct err *err)
{
    char *first = mem_printf(init, place->mark + 1, script->program, script->program);
    char *tells = mem_printf(told, place->mark);
    char *driver = script_driver(SANDBOX_RUN, script->separate, tell);
    int rc = put(place, "init", first, 0644, err) < 0 || put(place, "told", tells, 0644, err) < 0 ||
                     put(place, SCRIPT_DRIVER, driver, 0644, err) < 0 ||
                     put(place, "as", as, 0644, err) < 0
                 ? -1
                 : 0;
    free(first);
    free(tells);
    free(driver);
    return rc;
}

static int put_commands(struct docker_place *place, const struct build_script *script,
                        struct err *err)
{
    char name[64];
    int rc = 0;
    for (size_t i = 0; i < script->texts->count && rc == 0; i++) {
        snprintf(name, sizeof(name), SCRIPT_COMMANDS "/%zu", i);
        rc = put(place, name, script->texts->items[i], 0644, err);
    }
    char *export = script_export(SANDBOX_RUN, script->export);
    if (rc == 0)
        rc = put(place, SCRIPT_COMMANDS "/" SCRIPT_EXPORT, export, 0644, err);
    for (const struct build_tool *tool = build_tools; tool->name && rc == 0; tool++) {
        snprintf(name, sizeof(name), "bin/%s", tool->name);
        rc = put(place, name, tool->text, 0755, err);
    }
    free(export);
    return rc;
}

static int open_to_all(const struct docker_place *place, struct err *err)
{
    char *left = mem_printf("%s/run/" SCRIPT_LEFT, place->dir);
    int rc = chmod(left, 0777) == 0 ? 0 : err_errno(err, errno, "cannot open '%s'", left);
    free(left);
    return rc;
}

int docker_script_write(struct docker_place *place, const struct build_script *script,
                        struct err *err)
{
    char id[ID_SIZE];
    id_random(id);
    snprintf(place->mark, sizeof(place->mark), "%cgantry %s ", MARK, id);
    return put_own(place, script, err) < 0 || put_commands(place, script, err) < 0 ||
                   (script_has_others(script->users) && open_to_all(place, err) < 0)
               ? -1
               : 0;
}

static bool is_identifier(const char *name, size_t len)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return len && strspn(name, word) >= len && !(name[0] >= '0' && name[0] <= '9');
}

void docker_script_env(struct docker_place *place, const struct strv *env)
{
    struct buf *out = &place->env;
    /* At once, so that no copy of a value is left where it grew. */
    buf_init(out, ENV_MAX);
    buf_extend(out, ENV_MAX);
    buf_reset(out);
    for (size_t i = 0; i < env->count; i++) {
        const char *item = env->items[i], *value = strchr(item, '=');
        if (!value || !is_identifier(item, (size_t)(value - item)))
            continue;
        buf_addf(out, "export %.*s='", (int)(value - item), item);
        for (value++; *value; value++) {
            if (*value == '\'')
                buf_adds(out, "'\\''");
            else
                buf_addc(out, *value);
        }
        buf_adds(out, "'\n");
    }
    buf_addf(out, "%s\n", place->mark + 1);
}
