/* POST /hooks/github, /hooks/gitlab, /hooks/gitea: webhooks of pushes and
 * pull requests.
 *
 * A push whose `before` is the head known for a pipeline's source, and whose payload names
 * everybody, is reported at once; for any other the remote is asked. 202 only when Kafka has it. */
#ifndef GANTRY_SOURCE_WATCHER_HOOKS_H
#define GANTRY_SOURCE_WATCHER_HOOKS_H

#include "watcher.h"

struct hooks *hooks_new(struct watcher *watcher);
void hooks_free(struct hooks *hooks);

#endif
