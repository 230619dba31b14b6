#include <stddef.h>

#include "watcher.h"

#define ITEM(key, type, member, def, help)                                                         \
    {                                                                                              \
        key, type, offsetof(struct watcher_conf, member), def, help, 0                             \
    }

const struct conf_item watcher_conf_items[] = {
    ITEM("webhook-secret", CONF_LIST, webhook_secret, NULL,
         "names of the secrets that webhooks of any repository may be signed with"),
    ITEM("webhook-secrets", CONF_MAP, webhook_secrets, NULL,
         "for some repositories only: a glob over host/path, and the names of their secrets"),
    ITEM("git-processes", CONF_INT, git_processes, "8", "how many remotes are asked at once"),
    ITEM("git-timeout", CONF_DURATION, git_timeout_ms, "2m",
         "how long one git command may take; the first fetch of a large repository is one"),
    ITEM("trust-file-owner", CONF_BOOL, trust_file_owner, "false",
         "read file: repositories that belong to another user than the service runs as"),
    {0},
};
