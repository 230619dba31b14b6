/* DESIGN: the pattern is read as tokens, and all ways to match are followed at once, character by
 * character: `live[i]` says that the string so far can be matched by the first i tokens. Time is
 * O(pattern x string) whatever the pattern, so a definition's author cannot stall a service. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* TOKEN_FOLDERS: nothing, or anything that ends with a slash. */
enum token_type { TOKEN_CHAR, TOKEN_ANY, TOKEN_SET, TOKEN_STAR, TOKEN_STARSTAR, TOKEN_FOLDERS };

#define FEW 64 /* tokens: no memory is asked for them */

struct token {
    enum token_type type;
    uint32_t c;
    const char *set; /* TOKEN_SET: after the bracket */
    const char *set_end;
};

/* The next character; a byte that is not UTF-8 stands for itself. */
static uint32_t take_char(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    size_t len = p[0] < 0xC0 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7Fu >> len);

    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            *s += 1;
            return p[0];
        }
        c = c << 6 | (p[i] & 0x3Fu);
    }
    *s += len;
    return c;
}

/* The closing bracket of a set that begins at `s`, or NULL: then the bracket is a plain one. */
static const char *set_end(const char *s)
{
    if (*s == '!' || *s == '^')
        s++;
    if (*s == ']')
        s++;
    for (; *s && *s != ']'; s++)
        if (*s == '\\' && s[1])
            s++;
    return *s ? s : NULL;
}

static bool set_has(const struct token *token, uint32_t c)
{
    const char *p = token->set;
    bool negated = *p == '!' || *p == '^';
    bool found = false;

    if (c == '/')
        return false;
    if (negated)
        p++;
    while (p < token->set_end) {
        uint32_t low, high;

        if (*p == '\\')
            p++;
        low = high = take_char(&p);
        if (*p == '-' && p + 1 < token->set_end) {
            p++;
            if (*p == '\\')
                p++;
            high = take_char(&p);
        }
        found = found || (c >= low && c <= high);
    }
    return found != negated;
}

static size_t tokenize(const char *pattern, struct token *tokens, bool folders)
{
    const char *p = pattern;
    size_t count = 0;

    while (*p) {
        struct token *token = &tokens[count++];
        const char *end = *p == '[' ? set_end(p + 1) : NULL;

        if (folders && (p == pattern || p[-1] == '/') && strncmp(p, "**/", 3) == 0) {
            token->type = TOKEN_FOLDERS;
            p += 3;
        } else if (*p == '*') {
            token->type = p[1] == '*' ? TOKEN_STARSTAR : TOKEN_STAR;
            p += p[1] == '*' ? 2 : 1;
        } else if (*p == '?') {
            token->type = TOKEN_ANY;
            p++;
        } else if (end) {
            *token = (struct token){.type = TOKEN_SET, .set = p + 1, .set_end = end};
            p = end + 1;
        } else {
            if (*p == '\\' && p[1])
                p++;
            *token = (struct token){.type = TOKEN_CHAR, .c = take_char(&p)};
        }
    }
    return count;
}

static bool is_star(const struct token *token)
{
    return token->type == TOKEN_STAR || token->type == TOKEN_STARSTAR ||
           token->type == TOKEN_FOLDERS;
}

static bool takes(const struct token *token, uint32_t c)
{
    switch (token->type) {
    case TOKEN_CHAR:
        return c == token->c;
    case TOKEN_ANY:
    case TOKEN_STAR:
        return c != '/';
    case TOKEN_SET:
        return set_has(token, c);
    case TOKEN_STARSTAR:
    case TOKEN_FOLDERS:
        return true;
    }
    return false;
}

/* A star may match nothing: what is live before it is live after it. One for folders is left where
 * a part of the path begins, and it is only entered there, so nothing tells the two apart. */
static void pass_stars(const struct token *tokens, size_t count, bool *live, bool at_part)
{
    for (size_t i = 0; i < count; i++)
        if (live[i] && is_star(&tokens[i]) && (at_part || tokens[i].type != TOKEN_FOLDERS))
            live[i + 1] = true;
}

/* One character further; from the end, so that each entry is read before it is written. False:
 * nothing can match any more. */
static bool advance(const struct token *tokens, size_t count, bool *live, uint32_t c)
{
    bool any = false;

    for (size_t i = count + 1; i-- > 0;) {
        bool stays = i < count && live[i] && is_star(&tokens[i]) && takes(&tokens[i], c);
        bool comes = i > 0 && live[i - 1] && !is_star(&tokens[i - 1]) && takes(&tokens[i - 1], c);

        live[i] = stays || comes;
        any = any || live[i];
    }
    return any;
}

static bool matches(const char *pattern, const char *s, bool folders)
{
    struct token few_tokens[FEW];
    bool few_live[FEW + 1];
    size_t room = strlen(pattern);
    struct token *tokens = room <= FEW ? few_tokens : mem_alloc(room * sizeof(*tokens));
    bool *live = room <= FEW ? few_live : mem_alloc(room + 1);
    size_t count = tokenize(pattern, tokens, folders);
    bool matched;

    memset(live, 0, room + 1);
    live[0] = true;
    pass_stars(tokens, count, live, true);
    matched = true;
    while (*s && matched) {
        uint32_t c = take_char(&s);

        matched = advance(tokens, count, live, c);
        pass_stars(tokens, count, live, c == '/');
    }
    matched = matched && live[count];
    if (tokens != few_tokens) {
        free(tokens);
        free(live);
    }
    return matched;
}

bool str_glob(const char *pattern, const char *s)
{
    return matches(pattern, s, false);
}

bool str_glob_path(const char *pattern, const char *path)
{
    return matches(pattern, path, true);
}
