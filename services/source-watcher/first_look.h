/* Notes first looks on `source`. */
#ifndef GANTRY_SOURCE_WATCHER_FIRST_LOOK_H
#define GANTRY_SOURCE_WATCHER_FIRST_LOOK_H

#include "catalog.h"
#include "looks.h"
#include "watcher.h"

/* Says what is there: "<commit> <ref>" each; `present` is taken over and left empty. Record by
 * record, so that the last one says for sure that all are there. `done` (err NULL: all are
 * acknowledged) is called once, later, unless this fails. */
int first_look_note(struct watcher *watcher, const struct watched *watched,
                    const struct look_at *at, struct strv *present,
                    void (*done)(const struct err *err, void *arg), void *arg, struct err *err);
/* Says again those that `source` would forget soon, of partitions that are ours. */
void first_look_refresh(struct watcher *watcher, const struct watched *watched);

#endif
