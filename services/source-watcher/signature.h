/* Whether a webhook comes from somebody who knows a secret. Pure. */
#ifndef GANTRY_SOURCE_WATCHER_SIGNATURE_H
#define GANTRY_SOURCE_WATCHER_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "push.h"

/* The header fields that signatures are in; NULL where absent. */
struct signature_headers {
    const char *github;     /* X-Hub-Signature-256: sha256=<hex> */
    const char *gitea;      /* X-Gitea-Signature: <hex> */
    const char *gitlab;     /* X-Gitlab-Token: the secret itself */
    const char *webhook_id; /* Standard Webhooks, which GitLab's signing token follows */
    const char *webhook_time;
    const char *webhook_signature;
};

/* 0, or ERR_DENIED: unsigned or wrongly signed. `now_s` is Unix time. In constant time as far as
 * the secret goes. */
int signature_check(enum forge forge, const struct signature_headers *headers, const void *body,
                    size_t len, const void *secret, size_t secret_len, int64_t now_s,
                    struct err *err);

#endif
