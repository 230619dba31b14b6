#include "sandbox/script.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sandbox/sandbox.h"

#define RUN  SANDBOX_RUN "/"
#define LEFT RUN SCRIPT_LEFT
#define SAVE "export -p >|" LEFT "/state; pwd >|" LEFT "/dir"

/* `.` keeps `cd` and variables; a shell that ends leaves its state behind: a command ended it, or
 * the next one is another user's. */
static const char begin[] =
    "GANTRY_HOME=$HOME GANTRY_USER=$USER\n"
    "[ -f " LEFT "/state ] && . " LEFT "/state\n"
    "[ \"$1\" = new ] && HOME=$GANTRY_HOME USER=$GANTRY_USER\n"
    "[ -f " LEFT "/dir ] && IFS= read -r GANTRY_DIR <" LEFT "/dir && cd \"$GANTRY_DIR\"\n"
    "rm -f " LEFT "/state " LEFT "/dir\n"
    "unset GANTRY_DIR GANTRY_HOME GANTRY_USER\n"
    "set --\n"
    "trap '" SAVE "' EXIT\n";
static const char next[] = "while IFS=' ' read -r GANTRY_NEXT CODEBUILD_BUILD_SUCCEEDING <&8; do\n";
static const char same_shell[] = ". " RUN SCRIPT_COMMANDS "/\"$GANTRY_NEXT\" 8<&- 9>&-\n";
static const char own_shell[] = "( . " RUN SCRIPT_COMMANDS "/\"$GANTRY_NEXT\" 8<&- 9>&- )\n";
static const char end[] = "done\n" SAVE "\ntrap - EXIT\n";

char *script_driver(bool separate, const char *tell)
{
    /* A subshell leaves nothing behind. */
    return separate ? mem_printf("%s%s%sdone\n", next, own_shell, tell)
                    : mem_printf("%s%s%s%s%s", begin, next, same_shell, tell, end);
}

char *script_export(const struct strv *names)
{
    struct buf script;
    buf_init(&script, 1024 * 1024);
    buf_adds(&script, "{ :;\n");
    for (size_t i = 0; names && i < names->count; i++)
        buf_addf(&script, "[ \"${%s+x}\" ] && printf '%%s=%%s\\0' %s \"$%s\"\n", names->items[i],
                 names->items[i], names->items[i]);
    buf_adds(&script, ":; } >|" RUN SCRIPT_EXPORTED "\n");
    return buf_detach(&script);
}
