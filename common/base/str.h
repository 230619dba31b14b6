/* Strings and lists of strings. */
#ifndef GANTRY_BASE_STR_H
#define GANTRY_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool str_eq(const char *a, const char *b); /* NULL equals NULL only */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_empty(const char *s); /* NULL or "" */
/* Copies `s`, cut to what fits with its NUL; `size` > 0. As snprintf("%s") would, without its cost.
 */
void str_copy(char *out, size_t size, const char *s);

/* Glob over a whole string: `*` any run without `/`, `**` any run, `?` one character but `/`,
 * `[a-z]`, `\x`. Linear-time in practice: no exponential backtracking. */
bool str_glob(const char *pattern, const char *s);
/* The same over a path: a part of the pattern that is just `**` stands for any number of folders,
 * none among them, so that `**`/`*` is all files and a/`**`/b is a/b, too. */
bool str_glob_path(const char *pattern, const char *path);

/* A name of the product: [a-z0-9][a-z0-9-]{0,62} (docs/reference: names). */
#define STR_NAME_MAX 63
bool str_is_name(const char *s);

/* What a container's engine takes for an image, tag or digest allowed; which registry a short name
 * means is the engine's to say. */
#define STR_IMAGE_MAX 400
bool str_is_image(const char *s);

/* True for valid UTF-8 without NUL. */
bool str_is_utf8(const char *s, size_t len);

/* Makes text of others, valid UTF-8, fit to be shown: what could steer a terminal or turn the order
 * of what is shown around (controls but line ends and tabs, directional overrides) becomes '?'. */
void str_disarm(char *text);

/* The candidate (ended by NULL) that `s` is most likely a misspelling of, or NULL where none is
 * near.
 */
const char *str_nearest(const char *s, const char *const *candidates);

/* Whole-string decimal; 0 or -1. */
int str_to_i64(const char *s, int64_t *out);
int str_to_u64(const char *s, uint64_t *out);
int str_to_double(const char *s, double *out);

/* "500ms", "60s", "15m", "2h", "3d", "1w" or sums like "1h30m" -> ms; a bare number is refused but
 * "0". */
int str_to_duration(const char *s, int64_t *ms);
/* "512", "64Ki", "4Gi", "10M" ... -> bytes. */
int str_to_size(const char *s, uint64_t *bytes);

/* A list that owns its strings. Zero-initialise. items[count] is NULL once anything was added. */
struct strv {
    char **items;
    size_t count;
};
void strv_add(struct strv *v, const char *s);
void strv_addf(struct strv *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_split(struct strv *v, const char *s, char sep); /* skips empty parts, trims blanks */
bool strv_has(const struct strv *v, const char *s);
void strv_sort(struct strv *v);
void strv_release(struct strv *v);

#endif
