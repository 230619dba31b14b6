/* The parts of a remote's URL. */
#ifndef GANTRY_GIT_URL_H
#define GANTRY_GIT_URL_H

#include <stdbool.h>

#include "base/err.h"

enum git_scheme { GIT_FILE = 1, GIT_HTTP, GIT_HTTPS, GIT_SSH, GIT_GIT };

struct git_url {
    enum git_scheme scheme;
    char user[128]; /* "" if absent */
    char host[256]; /* lower case, with the brackets of an IPv6 address; "" for files */
    char port[8];   /* "" if absent */
    char path[2048];
};
int git_url_parse(struct git_url *out, const char *url, struct err *err);

/* What a submodule's `url` means in a repository that was fetched from `parent` (gitsubmodules(7):
 * `./` and `../` are relative to that). The caller frees. NULL and *err: git would not fetch that,
 * or it leaves the host that it is relative to. */
char *git_url_resolve(const char *parent, const char *url, struct err *err);
/* Whether a secret for the one may be shown to the other: the same protocol, host and port. */
bool git_url_same_server(const char *a, const char *b);
/* `url` as https where `top` is https and `url` is ssh to the same host: forges serve both, and the
 * secret is for one of them. Otherwise a copy. The caller frees. */
char *git_url_like(const char *top, const char *url);

#endif
