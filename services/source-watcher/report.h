/* Says on `source` that a head moved. */
#ifndef GANTRY_SOURCE_WATCHER_REPORT_H
#define GANTRY_SOURCE_WATCHER_REPORT_H

#include "base/str.h"
#include "heads.h"
#include "watcher.h"

struct change {
    const char *pipeline, *source, *git, *ref;
    const char *after;
    bool forced;
    const char *message; /* its first line */
    const char *pusher;
    const struct strv *people;
    bool people_complete;
    const struct strv *paths; /* NULL: not known */
    bool paths_complete;
    bool skip; /* it starts nothing */
    bool by_webhook;
};

struct reporter;
struct reporter *reporter_new(struct watcher *watcher);
void reporter_free(struct reporter *reporter); /* after the producer */

/* From the head's tip to `change->after`. `done` (err NULL: the record is acknowledged) is called
 * once, later, unless this fails. All is copied. */
int report_change(struct reporter *reporter, struct head *head, const struct change *change,
                  void (*done)(const struct err *err, void *arg), void *arg, struct err *err);

/* True when a commit's message asks not to be built. */
bool message_says_skip(const char *message);

#endif
