/* The parts of a remote's URL. */
#ifndef GANTRY_GIT_URL_H
#define GANTRY_GIT_URL_H

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

#endif
