/* The programs by which one shell runs a build's commands one after the other, wherever that shell
 * is: in a sandbox, in a container. It finds the commands below a folder `run`, an absolute path as
 * the shell sees it (SANDBOX_RUN in a sandbox), reads which is next from descriptor 8 ("<name>
 * <succeeding>", a line each: the file c/<name>; an empty line or the end: none any more), and
 * tells of its end; 8 and 9 are closed in the commands. */
#ifndef GANTRY_SANDBOX_SCRIPT_H
#define GANTRY_SANDBOX_SCRIPT_H

#include <stdbool.h>

#include "base/str.h"

#define SCRIPT_ROOT     "root"
#define SCRIPT_DRIVER   "driver" /* files below `run` */
#define SCRIPT_COMMANDS "c"
#define SCRIPT_EXPORT   "export" /* a command's name */
#define SCRIPT_LEFT     "left" /* a folder: what a shell leaves to the next; its users write there */
#define SCRIPT_EXPORTED SCRIPT_LEFT "/exported"

/* Tells a status ("0" and a newline) on descriptor 9: what is between a command and the next. */
#define SCRIPT_TELL "{ command echo \"$?\" >&9; } 2>/dev/null\n"

/* Whether there is another user than root among those of commands (driver.h); NULL: none. Then
 * SCRIPT_LEFT is for all to write. */
bool script_has_others(const struct strv *users);
/* The program that the shell runs; its one argument is "new" for a shell of another user than the
 * one before it, to whom HOME and USER are not passed on. With `tell` where a command has ended,
 * its status in $?. With `separate` each command has a shell of its own. The caller frees. */
char *script_driver(const char *run, bool separate, const char *tell);
/* The command that writes NAME=value, each ended by a NUL, of those that are set to
 * SCRIPT_EXPORTED; names are valid identifiers. The caller frees. */
char *script_export(const char *run, const struct strv *names);
#endif
