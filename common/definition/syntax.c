#include "definition/syntax.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool only(const char *text, const char *allowed)
{
    return !text[strspn(text, allowed)];
}

const char *syntax_name(const char *text)
{
    return str_is_name(text) ? NULL
                             : "a name has 1 to 63 lower-case letters, digits and dashes, and does "
                               "not begin with a dash";
}

const char *syntax_label(const char *text)
{
    if (*text && strlen(text) <= 63 && only(text, LOWER UPPER DIGITS "-_./"))
        return NULL;
    return "a label has 1 to 63 letters, digits and -_./";
}

const char *syntax_variable(const char *text)
{
    if (*text && strlen(text) <= 128 && only(text, LOWER UPPER DIGITS "_") &&
        !strchr(DIGITS, *text))
        return NULL;
    return "a variable has 1 to 128 letters, digits and underscores, and does not begin with a "
           "digit";
}

const char *syntax_input(const char *text)
{
    if (*text && strlen(text) <= 128 && only(text, LOWER UPPER DIGITS "-_."))
        return NULL;
    return "an input has 1 to 128 letters, digits and -_.";
}

const char *syntax_glob(const char *text)
{
    return *text && !strchr(text, ' ') ? NULL : "expected a glob, such as shop or shop-*";
}

const char *syntax_branch(const char *text)
{
    if (str_starts(text, "refs/"))
        return "expected the branch's short name: main, not refs/heads/main";
    return *text && !strpbrk(text, " ~^:") ? NULL
                                           : "expected a branch or a glob, such as main or "
                                             "release/*";
}

const char *syntax_tag(const char *text)
{
    if (str_starts(text, "refs/"))
        return "expected the tag's name: v1.0, not refs/tags/v1.0";
    return *text && !strpbrk(text, " ~^:") ? NULL : "expected a tag or a glob, such as v1.0 or v*";
}

const char *syntax_path_glob(const char *text)
{
    if (*text == '/' || str_starts(text, "./") || str_starts(text, "../") || strstr(text, "/../"))
        return "expected a path or a glob from the repository's root, such as src/**";
    if (str_ends(text, "/"))
        return "expected a path or a glob; all in a folder is docs/**";
    return NULL;
}

/* user:password@ before the host. */
static bool has_password(const char *authority)
{
    size_t len = strcspn(authority, "/");
    const char *at = memchr(authority, '@', len);

    return at && memchr(authority, ':', (size_t)(at - authority));
}

/* What common/git takes; it checks again, more closely. */
const char *syntax_git(const char *text)
{
    static const char *const schemes[] = {"https://",   "http://", "ssh://",
                                          "git+ssh://", "git://",  "file:///"};
    const char *colon = strchr(text, ':');

    if (strchr(text, ' ') || *text == '-')
        return "not the address of a git repository";
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i]);

        if (!str_starts(text, schemes[i]))
            continue;
        if (has_password(text + len))
            return "a password does not belong here: put it into a secret and name that as "
                   "credentials";
        return text[len] ? NULL : "not the address of a git repository";
    }
    /* user@host:path, as ssh has it */
    if (colon && colon[1] && colon[1] != ':' && !str_starts(colon, "://") &&
        memchr(text, '@', (size_t)(colon - text)) && *text != '@')
        return NULL;
    return "expected https://..., ssh://..., file:///... or user@host:path";
}

const char *syntax_secret(const char *text)
{
    static const char *const wrong = "expected a secret's name: parts of letters, digits, '.', "
                                     "'_' and '-', joined by '/'";

    if (!*text || strlen(text) > 200 || !only(text, LOWER UPPER DIGITS "-_./") || *text == '/' ||
        *text == '.' || str_ends(text, "/") || strstr(text, "//") || strstr(text, "/."))
        return wrong;
    return NULL;
}

const char *syntax_path(const char *text)
{
    if (!*text || *text == '/' || *text == '-' || str_eq(text, "..") || str_starts(text, "../") ||
        strstr(text, "/../") || str_ends(text, "/..") || str_ends(text, "/"))
        return "expected a file's path within the source, such as build/buildspec.yml";
    return NULL;
}

/* Runs of [a-z0-9] joined by one dot, one or two underscores, or dashes. */
static bool is_repository_part(const char *part, size_t len)
{
    const char *end = part + len;

    while (part < end) {
        size_t run = strspn(part, LOWER DIGITS);

        if (run == 0)
            return false;
        part += run;
        if (part == end)
            return true;
        if (*part == '-')
            part += strspn(part, "-");
        else if (str_starts(part, "__"))
            part += 2;
        else if (*part == '_' || *part == '.')
            part++;
        else
            return false;
    }
    return false;
}

static bool is_registry(const char *host, size_t len)
{
    const char *colon = memchr(host, ':', len);
    size_t name_len = colon ? (size_t)(colon - host) : len;

    if (name_len == 0 || strspn(host, LOWER UPPER DIGITS ".-") < name_len)
        return false;
    if (colon &&
        (colon + 1 == host + len || strspn(colon + 1, DIGITS) < (size_t)(host + len - colon - 1)))
        return false;
    return colon || memchr(host, '.', len) || (len == 9 && strncmp(host, "localhost", 9) == 0);
}

/* The grammar of github.com/distribution/reference, with a registry and without tag and digest. */
const char *syntax_image(const char *text)
{
    size_t len = strcspn(text, "/");
    const char *last = strrchr(text, '/');

    if (strstr(text, "{{"))
        return "a repository is written out, without {{names}}: where an image goes must be plain "
               "from the definition alone";
    if (!last || !is_registry(text, len))
        return "expected a registry and a repository, such as registry.example/acme/shop";
    if (strpbrk(last, ":@"))
        return "expected a repository without a tag or digest: the build sets the digest";
    for (const char *part = text + len; *part; part += len) {
        part++;
        len = strcspn(part, "/");
        if (!is_repository_part(part, len))
            return "a repository has parts of lower-case letters, digits and single '.', '_' and "
                   "'-' within, joined by '/'";
    }
    return NULL;
}

const char *syntax_build_image(const char *text)
{
    if (strstr(text, "{{"))
        return "an image is written out, without {{names}}";
    if (!str_is_image(text))
        return "expected an image, such as debian:12 or registry.example/ci/maven@sha256:...";
    return NULL;
}

/* Kubernetes, "Labels and selectors": a name with a prefix or without. */
const char *syntax_node_label(const char *text)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const char *slash = strchr(text, '/');
    const char *name = slash ? slash + 1 : text;
    const size_t prefix = slash ? (size_t)(slash - text) : 0;

    if ((slash && (prefix == 0 || prefix > 253 ||
                   strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") != prefix)) ||
        !*name || strlen(name) > 63 || strspn(name, chars) != strlen(name))
        return "expected a label of a node, such as kubernetes.io/arch";
    return NULL;
}

const char *syntax_voter(const char *text)
{
    if ((str_starts(text, "group:") && text[6]) || (str_starts(text, "user:") && text[5]))
        return NULL;
    return "expected group:<name> or user:<e-mail or subject>";
}

const char *syntax_excluded(const char *text)
{
    if (str_eq(text, "author") || str_eq(text, "starter"))
        return NULL;
    if (str_starts(text, "approver-of:") && str_is_name(text + strlen("approver-of:")))
        return NULL;
    return "expected author or starter, or approver-of: and a stage's name";
}

const char *syntax_event(const char *text)
{
    if (*text && only(text, LOWER "-.*?") && (strchr(text, '.') || strchr(text, '*')))
        return NULL;
    return "expected an event or a glob, such as release.ended or approval.*";
}

const char *syntax_url(const char *text)
{
    size_t len = str_starts(text, "https://") ? 8 : str_starts(text, "http://") ? 7 : 0;

    if (len == 0 || !text[len] || text[len] == '/' || strchr(text, ' '))
        return "expected https://... or http://...";
    if (has_password(text + len))
        return "a password does not belong here: everybody who may read this would see it";
    return NULL;
}

const char *syntax_address(const char *text)
{
    const char *at = strchr(text, '@');

    if (at && at != text && at[1] && !strchr(at + 1, '@') && !strpbrk(text, " <>,;:\"\\()[]"))
        return NULL;
    return "expected a mail address, such as qa@example.org";
}
