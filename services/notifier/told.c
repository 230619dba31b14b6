#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "gantry/v1/notification.pb-c.h"
#include "services/notifier/notifier.h"

#define KEEP_MS     (NOTIFIER_TRY_MS + 3600 * 1000)
#define PRUNE_EVERY 4096

/* What `notification` says of each id in the last day: as long as a message can still be tried. */
struct entry {
    int64_t time_ms, next_ms;
    uint32_t attempts;
    bool done;
};

struct told {
    struct map *by_id; /* -> struct entry */
    unsigned applied;
};

struct told *told_new(void)
{
    struct told *told = mem_alloc(sizeof *told);

    told->by_id = map_new(free);
    return told;
}

void told_free(struct told *told)
{
    if (!told)
        return;
    map_free(told->by_id);
    free(told);
}

static void prune(struct told *told, int64_t now_ms)
{
    for (struct map_iter it = {0}; map_next(told->by_id, &it);)
        if (((const struct entry *)it.value)->time_ms + KEEP_MS < now_ms)
            map_del(told->by_id, it.key);
}

void told_apply(struct told *told, const Gantry__V1__NotificationSent *sent, int64_t now_ms)
{
    struct entry *entry = map_get(told->by_id, sent->notification_id);

    if (++told->applied % PRUNE_EVERY == 0)
        prune(told, now_ms);
    if (!entry) {
        entry = mem_alloc(sizeof *entry);
        map_set(told->by_id, sent->notification_id, entry);
    }
    entry->time_ms = sent->time_ms;
    if (sent->attempt >= entry->attempts) {
        entry->attempts = sent->attempt;
        entry->next_ms = sent->next_attempt_ms;
    }
    if (sent->delivery != GANTRY__V1__DELIVERY__DELIVERY_RETRYING)
        entry->done = true;
}

bool told_done(const struct told *told, const char *notification_id, uint32_t *attempts,
               int64_t *next_ms)
{
    const struct entry *entry = map_get(told->by_id, notification_id);

    *attempts = entry ? entry->attempts : 0;
    *next_ms = entry ? entry->next_ms : 0;
    return entry && entry->done;
}
