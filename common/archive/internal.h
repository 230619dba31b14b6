/* Shared by the files of this library alone. */
#ifndef GANTRY_ARCHIVE_INTERNAL_H
#define GANTRY_ARCHIVE_INTERNAL_H

#include <locale.h>

#include "archive/archive.h"

/* UTF-8 in parts joined by single slashes, no part "." or "..", no control character, no backslash;
 * ARCHIVE_NAME_MAX. NULL, or what is wrong. */
const char *name_wrong(const char *name);
/* Whether a link with this name, leading to `target`, stays below where all names begin. */
bool link_stays(const char *name, const char *target);

/* The mount that a path is in, and the rest of the path below it ("" is the mount itself); NULL:
 * none. */
const struct archive_mount *mount_of(const struct archive_tree *tree, const char *path,
                                     const char **rest);
/* The mount's folder, opened without following any link; -1 and errno. */
int mount_open(const struct archive_tree *tree, const struct archive_mount *mount);

/* libarchive takes names from and to the thread's locale, in which only C.UTF-8 loses none. */
struct text_locale {
    locale_t own, before;
};
void text_locale_set(struct text_locale *locale);
void text_locale_restore(struct text_locale *locale);

#endif
