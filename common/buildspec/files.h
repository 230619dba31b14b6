/* Which files a buildspec means by `files`, `exclude-paths`, `base-directory` and a cache's `paths`
 * ("Build specification reference for CodeBuild", artifacts). Pure: the owner walks the folders and
 * asks of each path. Any thread.
 *
 *   - `*` is any run of characters in a name, a leading dot too; `**` as a whole part any number of
 *     folders, none among them; `?` one character, `[a-z]` one of a set.
 *   - A pattern without these that names a folder means all below it.
 *   - base-directory may have them, too; what matches it stands not in the names of the files.
 *   - exclude-paths are relative to base-directory. One that ends in a slash and two stars, a slash
 *     and a star excludes also a file of the name before that, as CodeBuild's page has it.
 *   - An absolute pattern means a file outside the source, whatever base-directory and
 * exclude-paths are; one below `root` is made relative.
 *
 * Paths are those of files, not of folders: relative to the source's root, or absolute; with single
 * slashes, without "." and "..". */
#ifndef GANTRY_BUILDSPEC_FILES_H
#define GANTRY_BUILDSPEC_FILES_H

#include <stdbool.h>

#include "base/str.h"

struct files;

/* As in a buildspec, once the shell has evaluated what it may; copied. */
struct files_rule {
    const char *root;           /* the source's, absolute as the patterns see it; NULL: none */
    const char *base_directory; /* NULL, "" or ".": the root */
    const struct strv *files;   /* patterns */
    const struct strv *exclude; /* exclude-paths; may be NULL */
    bool discard_paths;         /* names are those of the files alone */
};
/* files_free() it. What files_wrong() tells of matches nothing. */
struct files *files_new(const struct files_rule *rule);
void files_free(struct files *files);

/* Whether a file is meant; its name among the artifacts then (NULL: not asked), which points into
 * `path`: below base-directory, or the last part of it with discard_paths. */
bool files_match(const struct files *files, const char *path, const char **name);

/* Whether anything below a folder can be meant: false spares the walk. "" is the root. */
bool files_may_hold(const struct files *files, const char *folder);

/* The folders to walk, none below another, which together hold all that is meant: relative ones (""
 * is the root) and absolute ones. Each may be missing, or be a file itself. Added to *out. */
void files_roots(const struct files *files, struct strv *out);

/* The time that a match takes grows with both. */
#define FILES_PATTERNS_MAX 200  /* in one list */
#define FILES_PATTERN_MAX  1024 /* characters */
/* Why a pattern or base-directory can match nothing, whatever the files; NULL: it can. */
const char *files_wrong(const char *pattern);

#endif
