/* A service with nothing but its frame, for the tests. It prints the port it got. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "svc/svc.h"

struct sample_conf {
    int64_t slots;
    char *word;
    bool refuse_to_stop;
    bool fail;
};

struct sample {
    struct sample_conf conf;
    bool released;
};

static const struct conf_item items[] = {
    {"slots", CONF_INT, offsetof(struct sample_conf, slots), "3", "How many at once.", 0},
    {"word", CONF_STR, offsetof(struct sample_conf, word), NULL, "A word.", 0},
    {"refuse-to-stop", CONF_BOOL, offsetof(struct sample_conf, refuse_to_stop), "false",
     "Never say that it has stopped.", 0},
    {"fail", CONF_BOOL, offsetof(struct sample_conf, fail), "false", "Fail in start().", 0},
    {0},
};

static void on_set(struct http_request *req, void *arg)
{
    svc_ready(arg, "state", true, NULL);
    svc_note(arg, "remark", "told");
    http_reply(req, 204, NULL, NULL, 0);
}

static void on_fatal(struct http_request *req, void *arg)
{
    struct err err;

    http_reply(req, 202, NULL, NULL, 0);
    err_set(&err, ERR_FATAL, "it is not safe to go on");
    svc_fail(arg, &err);
}

static int start(struct svc *svc, struct err *err)
{
    struct sample *sample = svc->app;

    if (sample->conf.fail)
        return err_set(err, ERR_UNAVAILABLE, "told to fail");
    svc_ready(svc, "state", false, "waiting for a test");
    http_route(svc->http, "POST", "/set", 0, on_set, svc);
    http_route(svc->http, "POST", "/fatal", 0, on_fatal, svc);
    printf("port=%d slots=%lld word=%s\n", http_server_port(svc->http),
           (long long)sample->conf.slots, sample->conf.word ? sample->conf.word : "(none)");
    fflush(stdout);
    return 0;
}

static void stop(struct svc *svc)
{
    struct sample *sample = svc->app;

    printf("stop\n");
    fflush(stdout);
    if (!sample->conf.refuse_to_stop)
        svc_stopped(svc);
}

static void release(struct svc *svc)
{
    (void)svc;
    printf("release\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct sample sample = {0};
    const struct svc_def def = {.name = "builder",
                                .summary = "stands in for a service in the tests",
                                .port = 8083,
                                .items = items,
                                .conf = &sample.conf,
                                .app = &sample,
                                .cors_origin_conf = "console-url",
                                .start = start,
                                .stop = stop,
                                .release = release};

    return svc_run(argc, argv, &def);
}
