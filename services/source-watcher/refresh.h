/* Heads that nobody pushed to for long are said again before `source` forgets them: a head that is
 * not known would be reported as a first revision, without the people of what it brings. */
#ifndef GANTRY_SOURCE_WATCHER_REFRESH_H
#define GANTRY_SOURCE_WATCHER_REFRESH_H

#include "watcher.h"

/* A head reported at `reported_ms` (Unix ms) is due to be said again. */
bool refresh_due(int64_t reported_ms, int64_t now_ms);
/* Says those that are due, of partitions that are ours and branches that are still followed. */
void refresh_heads(struct watcher *watcher);
#define REFRESH_EVERY_MS (60 * 60 * 1000)

#endif
