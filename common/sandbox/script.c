#include "sandbox/script.h"

#include <string.h>

#include "base/buf.h"

#define DRIVER_MAX 4096
#define EXPORT_MAX (1024 * 1024)

/* In the texts below, '@' is the folder. They run in the commands' shell, where a function can be
 * called echo or read: `command` is the shell's own. */
#define LEFT "@/" SCRIPT_LEFT
#define SAVE "export -p >|" LEFT "/state; command pwd >|" LEFT "/dir"

/* `.` keeps `cd` and variables; a shell that ends leaves its state behind: a command ended it, or
 * the next one is another user's. */
static const char begin[] = "GANTRY_HOME=$HOME GANTRY_USER=$USER\n"
                            "[ -f " LEFT "/state ] && . " LEFT "/state\n"
                            "[ \"$1\" = new ] && HOME=$GANTRY_HOME USER=$GANTRY_USER\n"
                            "[ -f " LEFT "/dir ] && IFS= command read -r GANTRY_DIR <" LEFT
                            "/dir && command cd \"$GANTRY_DIR\"\n"
                            "command rm -f " LEFT "/state " LEFT "/dir\n"
                            "unset GANTRY_DIR GANTRY_HOME GANTRY_USER\n"
                            "set --\n"
                            "trap '" SAVE "' EXIT\n";
/* `set -x` shows nothing of it. */
static const char next[] =
    "while { IFS=' ' command read -r GANTRY_NEXT CODEBUILD_BUILD_SUCCEEDING <&8 &&"
    " command [ \"$GANTRY_NEXT\" ]; } 2>/dev/null; do\n";
/* A `break` or `continue` that is in no loop of the commands is in this one. */
static const char same_shell[] = "for GANTRY_NEXT in \"$GANTRY_NEXT\"; do\n"
                                 ". @/" SCRIPT_COMMANDS "/\"$GANTRY_NEXT\" 8<&- 9>&-\n"
                                 "done\n";
static const char own_shell[] = "( . @/" SCRIPT_COMMANDS "/\"$GANTRY_NEXT\" 8<&- 9>&- )\n";
static const char end[] = "done\n" SAVE "\ntrap - EXIT\n";

bool script_has_others(const struct strv *users)
{
    for (size_t i = 0; users && i < users->count; i++) {
        if (!str_empty(users->items[i]) && !str_eq(users->items[i], SCRIPT_ROOT))
            return true;
    }
    return false;
}

static void add(struct buf *out, const char *text, const char *run)
{
    for (const char *at; (at = strchr(text, '@')); text = at + 1) {
        (void)buf_add(out, text, (size_t)(at - text));
        buf_adds(out, run);
    }
    buf_adds(out, text);
}

char *script_driver(const char *run, bool separate, const char *tell)
{
    struct buf script;
    buf_init(&script, DRIVER_MAX);
    if (!separate)
        add(&script, begin, run);
    add(&script, next, run);
    add(&script, separate ? own_shell : same_shell, run);
    buf_adds(&script, tell);
    /* A subshell leaves nothing behind. */
    add(&script, separate ? "done\n" : end, run);
    return buf_detach(&script);
}

char *script_export(const char *run, const struct strv *names)
{
    struct buf script;
    buf_init(&script, EXPORT_MAX);
    buf_adds(&script, "{ :;\n");
    for (size_t i = 0; names && i < names->count; i++)
        buf_addf(&script, "[ \"${%s+x}\" ] && command printf '%%s=%%s\\0' %s \"$%s\"\n",
                 names->items[i], names->items[i], names->items[i]);
    add(&script, ":; } >|@/" SCRIPT_EXPORTED "\n", run);
    return buf_detach(&script);
}
