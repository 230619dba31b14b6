#include "builder.h"

static struct builder_conf conf;

int main(int argc, char **argv)
{
    static struct builder builder = {.conf = &conf};
    static const struct svc_def def = {
        .name = "builder",
        .summary = "Runs builds in sandboxes or containers and reports the images' digests.",
        .port = 8083,
        .items = builder_conf_items,
        .conf = &conf,
        .app = &builder,
        .start = builder_start,
        .stop = builder_stop,
        .release = builder_release,
    };

    return svc_run(argc, argv, &def);
}
