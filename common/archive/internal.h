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

/* ---- entry.c: entries that are read, zip or tar ---- */

struct archive; /* libarchive's */

#define ENTRY_CHUNK (128 * 1024)

struct entry_reader {
    struct archive *archive;
    char *chunk; /* ENTRY_CHUNK bytes */
    struct archive_unpacked *out;
    uint64_t bytes_max;        /* of all files together */
    const char *too_large;     /* "... than N MiB" says so */
    const volatile bool *stop; /* NULL: never */
};

/* -1 with ERR_INVALID: what the archive itself is guilty of. `name` NULL: it has none. */
int entry_refuse(const char *name, const char *why, struct err *err);
/* -1 with ERR_INVALID and libarchive's words. */
int entry_unreadable(struct archive *archive, struct err *err);
/* The folder below `fd` that `path` is in, and *last, what it is called there: goes down one folder
 * at a time, making what is missing and following nothing. Closes `fd`. -1 and errno. */
int entry_parent(int fd, const char *path, const char **last);
/* Writes the bytes of the entry that was read last to `fd`, and counts them. ERR_LIMIT,
 * ERR_CONFLICT (it was stopped), ERR_INVALID. */
int entry_write(struct entry_reader *reader, int fd, const char *name, struct err *err);

/* libarchive takes names from and to the thread's locale, in which only C.UTF-8 loses none. */
struct text_locale {
    locale_t own, before;
};
void text_locale_set(struct text_locale *locale);
void text_locale_restore(struct text_locale *locale);

#endif
