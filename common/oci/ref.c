#include <stdio.h>
#include <string.h>

#include "oci/oci.h"

#define DEFAULT_HOST "docker.io"

bool oci_is_digest(const char *s)
{
    return s && strncmp(s, "sha256:", 7) == 0 && strlen(s) == OCI_DIGEST_SIZE - 1 &&
           strspn(s + 7, "0123456789abcdef") == 64;
}

static int bad(struct err *err, const char *text, const char *why)
{
    return err_set(err, ERR_INVALID, "'%.200s' is no image reference: %s", text, why);
}

static bool is_host(const char *s, size_t len)
{
    return memchr(s, '.', len) || memchr(s, ':', len) ||
           (len == strlen("localhost") && strncmp(s, "localhost", len) == 0);
}

static bool all_of(const char *s, const char *set)
{
    return *s && s[strspn(s, set)] == '\0';
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Components between slashes: lower case, beginning and ending with a letter or digit (Distribution
 * Specification, "Pulling manifests"). */
static bool is_repository(const char *s)
{
    if (!all_of(s, "abcdefghijklmnopqrstuvwxyz0123456789._/-"))
        return false;
    for (const char *p = s;; p++) {
        size_t len = strcspn(p, "/");
        if (len == 0 || !is_alnum(p[0]) || !is_alnum(p[len - 1]))
            return false;
        p += len;
        if (*p == '\0')
            return true;
    }
}

static bool is_tag(const char *s)
{
    return strlen(s) <= 128 && s[0] != '.' && s[0] != '-' &&
           all_of(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
}

int oci_ref_parse(struct oci_ref *out, const char *text, struct err *err)
{
    char rest[768];
    *out = (struct oci_ref){0};
    if (strlen(text) >= sizeof(rest))
        return bad(err, text, "it is too long");
    snprintf(rest, sizeof(rest), "%s", text);
    char *at = strchr(rest, '@');
    if (at) {
        *at++ = '\0';
        if (!oci_is_digest(at))
            return bad(err, text, "after @ comes sha256: and 64 hex digits");
        snprintf(out->digest, sizeof(out->digest), "%.*s", OCI_DIGEST_SIZE - 1, at);
    }
    char *name = rest;
    char *slash = strchr(rest, '/');
    if (slash && is_host(rest, (size_t)(slash - rest))) {
        if ((size_t)(slash - rest) >= sizeof(out->host))
            return bad(err, text, "its host is too long");
        snprintf(out->host, sizeof(out->host), "%.*s", (int)(slash - rest), rest);
        if (out->host[strcspn(out->host, " /@?#%\\\"'")])
            return bad(err, text, "its host is none");
        name = slash + 1;
    }
    char *colon = strrchr(name, ':');
    if (colon) {
        *colon++ = '\0';
        if (!is_tag(colon))
            return bad(err, text, "its tag is none");
        snprintf(out->tag, sizeof(out->tag), "%.128s", colon);
    }
    bool library = !out->host[0] && !strchr(name, '/');
    if (!out->host[0])
        snprintf(out->host, sizeof(out->host), "%s", DEFAULT_HOST);
    if (!is_repository(name) || strlen(name) > 240)
        return bad(err, text, "its repository is lower-case letters, digits, . _ - and /");
    snprintf(out->repository, sizeof(out->repository), "%s%.240s", library ? "library/" : "", name);
    return 0;
}
