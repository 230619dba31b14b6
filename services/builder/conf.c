#include <stddef.h>

#include "builder.h"

#define ITEM(key, type, member, def, help)                                                         \
    {                                                                                              \
        key, type, offsetof(struct builder_conf, member), def, help, 0                             \
    }

const struct conf_item builder_conf_items[] = {
    ITEM("user", CONF_STR, user, "gantry-builder",
         "whom a builder started as root becomes; needs ranges in /etc/subuid and /etc/subgid"),
    ITEM("state-dir", CONF_STR, state_dir, NULL,
         "mirrors and sandboxes; <common.state-dir>/builder where not given"),
    ITEM("slots", CONF_INT, slots, "0", "builds at once; 0: as many as there are cores"),
    ITEM("network", CONF_STR, network, "host", "of the commands: host or none"),
    ITEM("insecure-registries", CONF_LIST, insecure_registries, "127.0.0.1,localhost",
         "registries that are spoken to by plain http, with or without port"),
    ITEM("registry-ca", CONF_STR, registry_ca, NULL,
         "PEM file of the authorities of registries; the system's where not given"),
    ITEM("cgroup", CONF_STR, cgroup, NULL,
         "delegated control groups: v2:/path or v1:memory=/path,pids=/path,cpu=/path"),
    ITEM("hide", CONF_LIST, hide, NULL,
         "further files and folders of this machine that no build may see"),
    ITEM("processes", CONF_INT, processes, "4096", "processes of one build at once; 0: no limit"),
    ITEM("memory", CONF_SIZE, memory_bytes, "0",
         "memory of a build whose action asks for none; 0: no limit"),
    ITEM("disk", CONF_SIZE, disk_bytes, "20Gi", "disk of one build; 0: no limit"),
    ITEM("free-disk", CONF_SIZE, free_disk_bytes, "1Gi",
         "with less disk left no build is started, and builds that run are ended"),
    ITEM("git-timeout", CONF_DURATION, git_timeout_ms, "10m",
         "how long a fetch or a checkout may take"),
    ITEM("trust-file-owner", CONF_BOOL, trust_file_owner, "false",
         "read file: repositories that belong to another user than the builder's"),
    {0},
};
