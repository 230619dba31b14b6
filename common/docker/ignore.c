#include "docker/ignore.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* DESIGN: a pattern is a list of pieces, matched by keeping the set of those that what was read of
 * the path can be before, so that no pattern takes more time than its length a character. */
enum piece_kind {
    PIECE_BYTE,
    PIECE_ONE, /* ? */
    PIECE_SET,
    PIECE_RUN,    /* *: any number of times, but no slash */
    PIECE_ANY,    /* ** at the end */
    PIECE_FOLDERS /* ** before something: nothing, or what ends in a slash */
};

struct piece {
    enum piece_kind kind;
    unsigned char byte;
    uint32_t set[8]; /* a bit a byte */
};

struct pattern {
    bool exception;
    struct piece *pieces;
    size_t count;
};

struct docker_ignore {
    struct pattern *patterns;
    size_t count;
    bool exceptions;
};

/* ---- reading ---- */

static void set_range(struct piece *piece, unsigned from, unsigned to)
{
    for (unsigned c = from; c <= to; c++)
        piece->set[c / 32] |= 1u << c % 32;
}

/* [a-z] and what follows: the rest of the pattern; NULL: it is none. */
static const char *read_set(struct piece *piece, const char *p)
{
    bool negated = *++p == '^';
    p += negated;
    piece->kind = PIECE_SET;
    for (bool first = true; first || *p != ']'; first = false) {
        if (*p == '\\')
            p++;
        unsigned from = (unsigned char)*p, to = from;
        if (!from)
            return NULL;
        p++;
        if (*p == '-' && p[1] != ']') {
            p += p[1] == '\\' ? 2 : 1;
            to = (unsigned char)*p;
            if (to < from)
                return NULL;
            p++;
        }
        set_range(piece, from, to);
    }
    for (size_t i = 0; negated && i < 8; i++)
        piece->set[i] = ~piece->set[i];
    return p + 1;
}

/* The next piece, and the rest of the pattern; NULL: the pattern is none. */
static const char *read_piece(struct piece *piece, const char *p)
{
    *piece = (struct piece){.kind = PIECE_BYTE, .byte = (unsigned char)*p};
    if (*p == '[')
        return read_set(piece, p);
    if (*p == '?')
        piece->kind = PIECE_ONE;
    if (*p == '\\' && p[1])
        piece->byte = (unsigned char)*++p;
    else if (*p == '*' && p[1] != '*')
        piece->kind = PIECE_RUN;
    else if (*p == '*') {
        p += 1 + (p[2] == '/');
        piece->kind = p[1] ? PIECE_FOLDERS : PIECE_ANY;
    }
    return p + 1;
}

static bool compile(struct pattern *pattern, const char *text)
{
    pattern->pieces = mem_alloc((strlen(text) + 1) * sizeof(*pattern->pieces));
    while (text && *text)
        text = read_piece(&pattern->pieces[pattern->count++], text);
    return text != NULL;
}

/* Without empty parts, "." and ".." and what that takes back, as Go's filepath.Clean; "": nothing
 * of the context. The caller frees. */
static char *clean(const char *text)
{
    char *out = mem_strdup(text);
    size_t len = 0;
    for (const char *p = text; *p;) {
        size_t part = strcspn(p, "/");
        bool up = part == 2 && p[0] == '.' && p[1] == '.';
        bool stays = part == 0 || (part == 1 && p[0] == '.');
        if (up && !len && *text != '/')
            break;
        while (up && len && out[len - 1] != '/')
            len--;
        if (up && len)
            len--;
        if (!up && !stays) {
            if (len)
                out[len++] = '/';
            memmove(out + len, p, part);
            len += part;
        }
        p += part + (p[part] == '/');
    }
    out[len] = '\0';
    return out;
}

static char *trimmed(const char *text, size_t len)
{
    while (len && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    return mem_strndup(text, len);
}

static int add_line(struct docker_ignore *ignore, const char *line, size_t len, size_t number,
                    struct err *err)
{
    struct pattern *pattern = &ignore->patterns[ignore->count];
    char *text = len && *line == '#' ? mem_strdup("") : trimmed(line, len);
    bool exception = *text == '!';
    char *rest = trimmed(text + exception, strlen(text + exception));
    char *path = clean(rest);
    int rc = 0;
    if (strlen(path) > DOCKER_IGNORE_PATTERN_MAX) {
        rc = err_set(err, ERR_LIMIT, "line %zu is longer than %d bytes", number,
                     DOCKER_IGNORE_PATTERN_MAX);
    } else if (*path && ignore->count == DOCKER_IGNORE_PATTERNS_MAX) {
        rc = err_set(err, ERR_LIMIT, "it has more than %d patterns", DOCKER_IGNORE_PATTERNS_MAX);
    } else if (*path) {
        ignore->count++;
        ignore->exceptions |= exception;
        pattern->exception = exception;
        if (!compile(pattern, path))
            rc = err_set(err, ERR_INVALID, "line %zu: '%.100s' is no pattern", number, path);
    }
    free(text);
    free(rest);
    free(path);
    return rc;
}

int docker_ignore_new(struct docker_ignore **out, const char *text, size_t len, struct err *err)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* of UTF-8, as editors of Windows begin a file */
    struct docker_ignore *ignore = mem_alloc(sizeof(*ignore));
    int rc = 0;
    ignore->patterns = mem_alloc((DOCKER_IGNORE_PATTERNS_MAX + 1) * sizeof(*ignore->patterns));
    if (len >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        len -= 3;
    }
    for (size_t number = 1; rc == 0 && len > 0; number++) {
        const char *end = memchr(text, '\n', len);
        size_t line = end ? (size_t)(end - text) : len;
        rc = add_line(ignore, text, line, number, err);
        text += line + (end ? 1 : 0);
        len -= line + (end ? 1 : 0);
    }
    if (rc == 0)
        *out = ignore;
    else
        docker_ignore_free(ignore);
    return rc;
}

void docker_ignore_free(struct docker_ignore *ignore)
{
    if (!ignore)
        return;
    for (size_t i = 0; i < ignore->count; i++)
        free(ignore->patterns[i].pieces);
    free(ignore->patterns);
    free(ignore);
}

/* ---- matching ---- */

/* Adds a place in the pattern, and those that nothing is needed to come to. */
static void enter(const struct pattern *pattern, bool *at, size_t i)
{
    for (; !at[i]; i++) {
        at[i] = true;
        if (i == pattern->count ||
            (pattern->pieces[i].kind != PIECE_RUN && pattern->pieces[i].kind != PIECE_ANY &&
             pattern->pieces[i].kind != PIECE_FOLDERS))
            return;
    }
}

/* What one more byte leads to from piece i. Within PIECE_FOLDERS, only a slash leads on. */
static void step(const struct pattern *pattern, size_t i, unsigned char byte, bool *next)
{
    const struct piece *piece = &pattern->pieces[i];
    switch (piece->kind) {
    case PIECE_BYTE:
        if (piece->byte == byte)
            enter(pattern, next, i + 1);
        break;
    case PIECE_ONE:
        if (byte != '/')
            enter(pattern, next, i + 1);
        break;
    case PIECE_SET:
        if (piece->set[byte / 32] & 1u << byte % 32)
            enter(pattern, next, i + 1);
        break;
    case PIECE_RUN:
        if (byte != '/')
            enter(pattern, next, i);
        break;
    case PIECE_ANY:
        enter(pattern, next, i);
        break;
    case PIECE_FOLDERS:
        next[i] = true;
        if (byte == '/')
            enter(pattern, next, i + 1);
        break;
    }
}

/* Whether it matches the path, or a folder that the path is in. */
static bool matches(const struct pattern *pattern, const char *path)
{
    bool places[2][DOCKER_IGNORE_PATTERN_MAX + 2] = {{false}};
    bool *at = places[0], *next = places[1];
    enter(pattern, at, 0);
    for (const char *p = path;; p++) {
        if ((!*p || *p == '/') && at[pattern->count])
            return true;
        if (!*p)
            return false;
        memset(next, 0, pattern->count + 1);
        for (size_t i = 0; i < pattern->count; i++) {
            if (at[i])
                step(pattern, i, (unsigned char)*p, next);
        }
        bool *before = at;
        at = next;
        next = before;
    }
}

bool docker_ignored(const struct docker_ignore *ignore, const char *path)
{
    bool ignored = false;
    for (size_t i = 0; i < ignore->count; i++) {
        const struct pattern *pattern = &ignore->patterns[i];
        if (pattern->exception == ignored && matches(pattern, path))
            ignored = !pattern->exception;
    }
    return ignored;
}

bool docker_ignore_has_exceptions(const struct docker_ignore *ignore)
{
    return ignore->exceptions;
}
