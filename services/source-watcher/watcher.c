#include "watcher.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "catalog.h"
#include "heads.h"
#include "hooks.h"
#include "log/log.h"
#include "refresh.h"
#include "remotes.h"
#include "report.h"

#define FLUSH_MS 5000

/* ---- what is followed ---- */

static void on_added(struct watched *watched, void *arg)
{
    struct watcher *watcher = arg;

    remotes_attach(watcher->remotes, watched);
}

static void on_removed(struct watched *watched, void *arg)
{
    struct watcher *watcher = arg;

    remotes_detach(watcher->remotes, watched);
}

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct watcher *watcher = arg;
    struct err err;
    int rc;

    (void)follower;
    if (record->topic == TOPIC_DEFINITION)
        rc = catalog_take(watcher->catalog, record, &err);
    else
        rc = heads_take(watcher->heads, record, &err);
    /* The promoter reads the same records and moves what nobody can read to `deadletter`. */
    if (rc != 0)
        log_warn("a record is passed over", LOG_S("topic", topic_info(record->topic)->name),
                 LOG_I("partition", record->partition), LOG_I("offset", record->offset),
                 LOG_E(&err));
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg)
{
    struct watcher *watcher = arg;

    (void)topic;
    (void)partition;
    (void)end_offset;
    if (watcher->caught_up || watcher->stopping || !bus_follower_caught_up(follower))
        return;
    watcher->caught_up = true;
    svc_ready(watcher->svc, "state", true, NULL);
    log_info("known heads and pipelines are read",
             LOG_I("pipelines", catalog_pipelines(watcher->catalog)));
    remotes_plan(watcher->remotes);
}

/* Offset 0 rather than the beginning, which is a question of its own to Kafka; what is gone is
 * skipped. */
static int64_t from_first(enum topic topic, int32_t partition, void *arg)
{
    (void)topic;
    (void)partition;
    (void)arg;
    return 0;
}

/* ---- whose pipelines are polled here ---- */

static void on_group_record(struct bus_group *group, const struct bus_record *record, void *arg)
{
    (void)arg;
    bus_group_done(group, record->topic, record->partition, record->offset);
}

static void on_assign(struct bus_group *group, int32_t partition, void *arg)
{
    struct watcher *watcher = arg;

    (void)group;
    watcher->owned[partition] = true;
    catalog_touch(watcher->catalog, partition);
    remotes_plan(watcher->remotes);
}

static void on_revoke(struct bus_group *group, int32_t partition, bool lost, void *arg)
{
    struct watcher *watcher = arg;

    (void)group;
    (void)lost;
    watcher->owned[partition] = false;
    remotes_plan(watcher->remotes);
}

static void on_refresh(void *arg)
{
    struct watcher *watcher = arg;

    if (watcher->caught_up)
        refresh_heads(watcher);
    loop_timer_arm(watcher->refresh, REFRESH_EVERY_MS);
}

/* ---- life ---- */

static int start_bus(struct watcher *watcher, struct err *err)
{
    static const enum topic owning[] = {TOPIC_DEFINITION};
    static const enum topic followed[] = {TOPIC_DEFINITION, TOPIC_SOURCE};
    const struct svc *svc = watcher->svc;
    const int32_t partitions = (int32_t)svc->conf.partitions;
    const struct bus_producer_conf producing = {0};
    const struct bus_follower_handler following = {
        .on_record = on_record, .on_end = on_end, .arg = watcher};
    const struct bus_group_handler group = {.on_record = on_group_record,
                                            .on_assign = on_assign,
                                            .on_revoke = on_revoke,
                                            .arg = watcher};
    const struct bus_group_conf grouping = {.topics = owning, .topic_count = 1};

    if (bus_producer_new(&watcher->producer, svc->bus, &producing, err) != 0 ||
        bus_follower_new(&watcher->follower, svc->bus, &following, err) != 0)
        return -1;
    for (size_t i = 0; i < sizeof(followed) / sizeof(followed[0]); i++) {
        if (bus_follower_add_all(watcher->follower, followed[i], partitions, from_first, NULL,
                                 err) != 0)
            return -1;
    }
    return bus_group_new(&watcher->group, svc->bus, &grouping, &group, err);
}

int watcher_start(struct svc *svc, struct err *err)
{
    struct watcher *watcher = svc->app;
    const struct catalog_handler handler = {
        .added = on_added, .removed = on_removed, .arg = watcher};

    watcher->svc = svc;
    watcher->state_dir = mem_printf("%s/source-watcher", svc->conf.state_dir);
    watcher->owned = mem_alloc((size_t)svc->conf.partitions * sizeof(*watcher->owned));
    watcher->catalog = catalog_new((int32_t)svc->conf.partitions, &handler);
    watcher->heads = heads_new();
    watcher->reporter = reporter_new(watcher);
    watcher->remotes = remotes_new(watcher);
    watcher->hooks = hooks_new(watcher);
    watcher->refresh = loop_timer_new(svc->loop, on_refresh, watcher);
    loop_timer_arm(watcher->refresh, REFRESH_EVERY_MS);
    svc_ready(svc, "state", false, "known heads and pipelines are being read");
    return start_bus(watcher, err);
}

static void on_group_closed(void *arg)
{
    struct watcher *watcher = arg;

    watcher->group = NULL;
    svc_stopped(watcher->svc);
}

static void on_flushed(bool all, void *arg)
{
    struct watcher *watcher = arg;

    if (!all)
        log_warn("revisions wait for Kafka at the end; they are found again at the next start");
    if (watcher->group)
        bus_group_close(watcher->group, on_group_closed, watcher);
    else
        svc_stopped(watcher->svc);
}

static void on_rounds_ended(void *arg)
{
    struct watcher *watcher = arg;

    bus_producer_flush(watcher->producer, FLUSH_MS, on_flushed, watcher);
}

void watcher_stop(struct svc *svc)
{
    struct watcher *watcher = svc->app;

    watcher->stopping = true;
    loop_timer_cancel(watcher->refresh);
    remotes_stop(watcher->remotes, on_rounds_ended, watcher);
}

void watcher_release(struct svc *svc)
{
    struct watcher *watcher = svc->app;

    loop_timer_free(watcher->refresh);
    bus_follower_free(watcher->follower);
    bus_producer_free(watcher->producer);
    remotes_free(watcher->remotes);
    hooks_free(watcher->hooks);
    catalog_free(watcher->catalog);
    reporter_free(watcher->reporter);
    heads_free(watcher->heads);
    free(watcher->owned);
    free(watcher->state_dir);
}
