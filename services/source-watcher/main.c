#include "watcher.h"

static struct watcher_conf conf;

int main(int argc, char **argv)
{
    static struct watcher watcher = {.conf = &conf};
    static const struct svc_def def = {
        .name = "source-watcher",
        .summary = "Turns pushes and polled branch heads into revisions.",
        .port = 8081,
        .items = watcher_conf_items,
        .conf = &conf,
        .app = &watcher,
        .start = watcher_start,
        .stop = watcher_stop,
        .release = watcher_release,
    };

    return svc_run(argc, argv, &def);
}
