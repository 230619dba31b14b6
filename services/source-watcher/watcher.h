/* The source-watcher: what its parts share. Loop thread only. */
#ifndef GANTRY_SOURCE_WATCHER_WATCHER_H
#define GANTRY_SOURCE_WATCHER_WATCHER_H

#include "conf/conf.h"
#include "svc/svc.h"

struct catalog;
struct heads;
struct hooks;
struct remotes;
struct reporter;

struct watcher_conf {
    struct strv webhook_secret;      /* names of secrets that may sign for any repository */
    struct conf_map webhook_secrets; /* glob over <host>/<path> -> names of secrets */
    int64_t git_processes;           /* remotes asked at once */
    int64_t git_timeout_ms;
    bool trust_file_owner;
};
extern const struct conf_item watcher_conf_items[];

struct watcher {
    const struct watcher_conf *conf;
    struct svc *svc;
    char *state_dir;
    struct bus_producer *producer;
    struct bus_follower *follower;
    struct bus_group *group;
    struct catalog *catalog;
    struct heads *heads;
    struct reporter *reporter;
    struct remotes *remotes;
    struct hooks *hooks;
    struct loop_timer *refresh;
    bool *owned; /* a partition: its pipelines are polled here */
    bool caught_up;
    bool stopping;
};

int watcher_start(struct svc *svc, struct err *err);
void watcher_stop(struct svc *svc);
void watcher_release(struct svc *svc);

#endif
