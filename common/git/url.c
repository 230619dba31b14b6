#include "git/url.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "git/git.h"

#define URL_MAX 2048

static const struct scheme {
    const char *prefix;
    enum git_scheme scheme;
    const char *port;
} schemes[] = {
    {"https://", GIT_HTTPS, "443"}, {"http://", GIT_HTTP, "80"}, {"ssh://", GIT_SSH, "22"},
    {"git+ssh://", GIT_SSH, "22"},  {"git://", GIT_GIT, "9418"}, {"file://", GIT_FILE, ""},
};

static int bad(struct err *err, const char *why)
{
    return err_set(err, ERR_INVALID, "the remote's URL %s", why);
}

static bool host_ok(const char *host)
{
    const char *allowed = host[0] == '[' ? "abcdefABCDEF0123456789:.[]%" : NULL;

    if (!host[0] || host[0] == '-')
        return false;
    for (const char *p = host; *p; p++) {
        if (allowed ? !strchr(allowed, *p)
                    : !isalnum((unsigned char)*p) && *p != '.' && *p != '-' && *p != '_')
            return false;
    }
    return true;
}

static int copy(char *out, size_t size, const char *s, size_t len, struct err *err)
{
    if (len >= size)
        return bad(err, "has a part that is too long");
    memcpy(out, s, len);
    out[len] = '\0';
    return 0;
}

/* [user@]host[:port] of `len` bytes. */
static int parse_authority(struct git_url *out, const char *s, size_t len, struct err *err)
{
    const char *at = memrchr(s, '@', len);

    if (at) {
        const size_t user_len = (size_t)(at - s);
        if (memchr(s, ':', user_len))
            return bad(err, "has a password in it; put it into a secret and name that as "
                            "`credentials`");
        if (copy(out->user, sizeof(out->user), s, user_len, err) != 0)
            return -1;
        if (out->user[0] == '-')
            return bad(err, "has a user that begins with a dash");
        len -= user_len + 1;
        s = at + 1;
    }
    const char *bracket = len > 0 && s[0] == '[' ? memchr(s, ']', len) : NULL;
    const char *from = bracket ? bracket : s;
    const char *colon = memchr(from, ':', len - (size_t)(from - s));
    const size_t host_len = colon ? (size_t)(colon - s) : len;
    if (copy(out->host, sizeof(out->host), s, host_len, err) != 0)
        return -1;
    if (colon && copy(out->port, sizeof(out->port), colon + 1, len - host_len - 1, err) != 0)
        return -1;
    if (!host_ok(out->host) || strspn(out->port, "0123456789") != strlen(out->port))
        return bad(err, "has no valid host and port");
    for (char *p = out->host; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return 0;
}

static int parse_scheme(struct git_url *out, const struct scheme *scheme, const char *rest,
                        struct err *err)
{
    const size_t len = strcspn(rest, "/");

    out->scheme = scheme->scheme;
    if (scheme->scheme != GIT_FILE && parse_authority(out, rest, len, err) != 0)
        return -1;
    if (scheme->scheme == GIT_FILE && len > 0 && strncmp(rest, "localhost/", 10) != 0)
        return bad(err, "is no file:///absolute/path");
    if (rest[len] != '/')
        return bad(err, "names no repository");
    return copy(out->path, sizeof(out->path), rest + len, strlen(rest + len), err);
}

static int parse_checked(struct git_url *out, const char *url, struct err *err)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncasecmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return parse_scheme(out, &schemes[i], url + strlen(schemes[i].prefix), err);
    }
    if (url[0] == '/') {
        out->scheme = GIT_FILE;
        return copy(out->path, sizeof(out->path), url, strlen(url), err);
    }
    const size_t colon = strcspn(url, ":/");
    if (url[colon] != ':' || url[colon + 1] == ':' || strstr(url, "://"))
        return bad(err, "is none of https, ssh, git, http and file");
    out->scheme = GIT_SSH;
    if (parse_authority(out, url, colon, err) != 0)
        return -1;
    return copy(out->path, sizeof(out->path), url + colon + 1, strlen(url + colon + 1), err);
}

int git_url_parse(struct git_url *out, const char *url, struct err *err)
{
    memset(out, 0, sizeof(*out));
    if (str_empty(url))
        return bad(err, "is missing");
    if (strlen(url) >= URL_MAX)
        return bad(err, "is longer than 2,047 characters");
    if (url[0] == '-')
        return bad(err, "begins with a dash");
    for (const char *p = url; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return bad(err, "has a blank or a control character in it");
    }
    if (parse_checked(out, url, err) != 0)
        return -1;
    return out->path[strspn(out->path, "/")] ? 0 : bad(err, "names no repository");
}

int git_url_check(const char *url, struct err *err)
{
    struct git_url parsed;

    return git_url_parse(&parsed, url, err);
}

char *git_url_identity(const char *url)
{
    struct git_url parsed;
    const char *path = parsed.path;

    if (git_url_parse(&parsed, url, NULL) != 0)
        return NULL;
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    if (len > 4 && strncmp(path + len - 4, ".git", 4) == 0)
        len -= 4;
    while (len > 0 && path[0] == '/') {
        path++;
        len--;
    }
    bool port = parsed.port[0] != '\0';
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (schemes[i].scheme == parsed.scheme && str_eq(schemes[i].port, parsed.port))
            port = false;
    }
    return mem_printf("%s%s%s/%.*s", parsed.host, port ? ":" : "", port ? parsed.port : "",
                      (int)len, path);
}

static const char *port_of(const struct git_url *url)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && !url->port[0]; i++) {
        if (schemes[i].scheme == url->scheme)
            return schemes[i].port;
    }
    return url->port;
}

bool git_url_same_server(const char *a, const char *b)
{
    struct git_url first, second;

    return git_url_parse(&first, a, NULL) == 0 && git_url_parse(&second, b, NULL) == 0 &&
           first.scheme == second.scheme && str_eq(first.host, second.host) &&
           str_eq(port_of(&first), port_of(&second));
}

/* Drops the last part of a URL as git does: behind the last slash, else behind the last colon. */
static bool drop_last(char *url, char *joint)
{
    char *slash = strrchr(url, '/');
    char *colon = strrchr(url, ':');

    if (!slash && !colon)
        return false;
    *joint = slash ? '/' : ':';
    *(slash ? slash : colon) = '\0';
    return true;
}

char *git_url_resolve(const char *parent, const char *url, struct err *err)
{
    struct git_url base, found;
    char joint = '/';

    if (!str_starts(url, "./") && !str_starts(url, "../"))
        return git_url_parse(&found, url, err) == 0 ? mem_strdup(url) : NULL;
    if (git_url_parse(&base, parent, err) != 0)
        return NULL;
    char *at = mem_strdup(parent);
    size_t len = strlen(at);
    if (len > 0 && at[len - 1] == '/')
        at[len - 1] = '\0';
    bool inside = true;
    for (;;) {
        if (str_starts(url, "../")) {
            url += 3;
            inside = inside && drop_last(at, &joint);
        } else if (str_starts(url, "./")) {
            url += 2;
        } else {
            break;
        }
    }
    char *whole = mem_printf("%s%c%s", at, joint, url);
    free(at);
    len = strlen(whole);
    if (len > 0 && whole[len - 1] == '/')
        whole[len - 1] = '\0';
    if (inside && git_url_parse(&found, whole, NULL) == 0 && found.scheme == base.scheme &&
        str_eq(found.host, base.host) && str_eq(found.port, base.port))
        return whole;
    free(whole);
    bad(err, "leads out of the server that it is relative to");
    return NULL;
}

char *git_url_like(const char *top, const char *url)
{
    struct git_url first, second;

    if (git_url_parse(&first, top, NULL) != 0 || git_url_parse(&second, url, NULL) != 0 ||
        first.scheme != GIT_HTTPS || second.scheme != GIT_SSH || !str_eq(first.host, second.host))
        return mem_strdup(url);
    return mem_printf("https://%s%s%s%s%s", first.host, first.port[0] ? ":" : "", first.port,
                      second.path[0] == '/' ? "" : "/", second.path);
}

bool git_commit_is_name(const char *s)
{
    const size_t len = s ? strlen(s) : 0;

    return (len == 40 || len == 64) && strspn(s, "0123456789abcdef") == len;
}
