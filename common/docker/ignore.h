/* What a .dockerignore leaves out of an image's context ("Dockerfile reference", .dockerignore
 * files; moby's patternmatcher, which the engine's own clients and buildah use, for what that does
 * not say). Pure.
 *
 *   - A line is a pattern, relative to the context; `#` first makes it a comment, `!` an exception.
 *     Blanks around it, a leading slash, "." and ".." are taken out.
 *   - `*` is any run of characters but a slash, `?` one, `[a-z]` or `[^a-z]` one of a set or not,
 *     `**` also of slashes, and with the slash after it none at all; a backslash takes the next
 *     character as it is.
 *   - What a pattern matches it matches with all below. The last one that matches decides. */
#ifndef GANTRY_DOCKER_IGNORE_H
#define GANTRY_DOCKER_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* The time that a path takes grows with both. */
#define DOCKER_IGNORE_PATTERNS_MAX 1000
#define DOCKER_IGNORE_PATTERN_MAX  1024 /* bytes */
#define DOCKER_IGNORE_SIZE_MAX     (256 * 1024)

struct docker_ignore;

/* ERR_INVALID with the line's number, ERR_LIMIT. docker_ignore_free() it. */
int docker_ignore_new(struct docker_ignore **out, const char *text, size_t len, struct err *err);
void docker_ignore_free(struct docker_ignore *ignore); /* NULL is accepted */
/* `path`: relative to the context, with single slashes, without "." and "..". */
bool docker_ignored(const struct docker_ignore *ignore, const char *path);
/* Whether something below an ignored folder can be an exception: else it need not be looked into.
 */
bool docker_ignore_has_exceptions(const struct docker_ignore *ignore);

#endif
