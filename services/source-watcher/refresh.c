#include "refresh.h"

#include "base/clock.h"
#include "catalog.h"
#include "events/topic.h"
#include "first_look.h"
#include "heads.h"
#include "log/log.h"
#include "report.h"

#define AT_ONCE_MAX 1000

bool refresh_due(int64_t reported_ms, int64_t now_ms)
{
    const int64_t kept_ms = topic_info(TOPIC_SOURCE)->retention_ms;

    return reported_ms > 0 && kept_ms > 0 && now_ms - reported_ms > kept_ms / 2;
}

static void say_again(struct watcher *watcher, struct head *head, const struct head_name *name,
                      const struct watched *watched)
{
    static const struct strv nobody = {0};
    /* From the head to itself: it brings nothing, so nobody is its author. */
    const struct change change = {
        .pipeline = name->pipeline,
        .source = name->source,
        .git = watched->source->git,
        .ref = name->ref,
        .after = head->tip.commit,
        .people = &nobody,
        .people_complete = true,
        .skip = true,
    };
    struct err err;

    if (report_change(watcher->reporter, head, &change, NULL, NULL, &err) != 0)
        log_warn("a head could not be said again", LOG_S("pipeline", name->pipeline), LOG_E(&err));
}

static void refresh_looks(struct watched *watched, void *arg)
{
    struct watcher *watcher = arg;

    if (watcher->owned[watched->partition])
        first_look_refresh(watcher, watched);
}

void refresh_heads(struct watcher *watcher)
{
    const int64_t now_ms = clock_now_ms();
    struct map_iter it = {0};
    struct head_name name;
    struct head *head;
    unsigned said = 0;

    catalog_each(watcher->catalog, refresh_looks, watcher);
    while (said < AT_ONCE_MAX && (head = heads_next(watcher->heads, &it, &name))) {
        const struct watched *watched = catalog_find(watcher->catalog, name.pipeline, name.source);
        if (!watched || !watcher->owned[watched->partition] || head->in_flight > 0 ||
            !def_source_matches(watched->source, name.ref) ||
            !refresh_due(head->reported_ms, now_ms))
            continue;
        say_again(watcher, head, &name, watched);
        said++;
    }
}
