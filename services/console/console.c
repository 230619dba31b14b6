#include "services/console/console.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "events/topic.h"
#include "gantry/v1/access.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "log/log.h"
#include "secret/secret.h"

#define PRODUCE_MS 30000 /* a record whose caller was told 503 after 5 s may still be stored */

const struct conf_item console_conf_items[] = {
    {"anonymous-read", CONF_BOOL, offsetof(struct console_conf, anonymous_read), "false",
     "who sends no token may read all but change nothing", 0},
    {"bootstrap-token", CONF_STR, offsetof(struct console_conf, bootstrap_token), NULL,
     "name of a secret whose value is a token with every role: a first admin's", 0},
    {"log-retention", CONF_DURATION, offsetof(struct console_conf, log_retention_ms), "7d",
     "how long the output of action runs is kept", 0},
    {"log-max", CONF_SIZE, offsetof(struct console_conf, log_max_bytes), "16Mi",
     "how much of one run's output is kept: its beginning and its end", 0},
    {"log-total", CONF_SIZE, offsetof(struct console_conf, log_total_bytes), "2Gi",
     "how much output is kept of all runs; the oldest goes first", 0},
    {"events-kept", CONF_INT, offsetof(struct console_conf, events_kept), "100000",
     "how many events a stream that was interrupted can be given again", 0},
    {"streams-max", CONF_INT, offsetof(struct console_conf, streams_max), "400",
     "how many clients may follow events, and as many logs", 0},
    {"artifacts", CONF_STR, offsetof(struct console_conf, artifacts), NULL,
     "the builders' artifact store, for who downloads from it: as builder.artifacts", 0},
    {"aws-region", CONF_STR, offsetof(struct console_conf, aws_region), NULL,
     "of S3; AWS_REGION or the profile's where not given", 0},
    {"aws-endpoint-url", CONF_STR, offsetof(struct console_conf, aws_endpoint_url), NULL,
     "where what speaks like S3 answers; AWS_ENDPOINT_URL or AWS itself where not given", 0},
    {"aws-profile", CONF_STR, offsetof(struct console_conf, aws_profile), NULL,
     "of the shared credentials file; AWS_PROFILE or default where not given", 0},
    {0},
};

static void on_applied(const struct ingest_record *record, void *arg)
{
    struct console *console = arg;
    const Gantry__V1__ReleaseEvent *event = record->message;

    if (record->topic == TOPIC_LOG) {
        log_streams_applied(console->log_streams, record);
    } else if (record->topic == TOPIC_DEFINITION) {
        waits_outcome(console->waits, record->ce_id);
    } else {
        event_streams_applied(console->event_streams, record);
        if (!event)
            return;
        if (!str_empty(event->cause_id))
            waits_outcome(console->waits, event->cause_id);
        if (event->fact_case == GANTRY__V1__RELEASE_EVENT__FACT_ACTION_ENDED)
            log_streams_run_ended(console->log_streams, event->action_ended->run_id);
    }
}

static void on_access(const void *message, void *arg)
{
    struct console *console = arg;

    auth_apply(console->auth, message);
}

static void on_rebuilding(void *arg)
{
    struct console *console = arg;

    event_streams_reset(console->event_streams);
}

static int add_bootstrap(struct console *console, struct err *err)
{
    struct buf value;

    if (str_empty(console->conf.bootstrap_token))
        return 0;
    if (secret_read(&value, console->svc->conf.secrets_dir, console->conf.bootstrap_token, err) !=
        0)
        return err_wrap(err, "console.bootstrap-token");
    auth_add_bootstrap(console->auth, buf_cstr(&value), "bootstrap");
    secret_release(&value);
    return 0;
}

static int start_ingest(struct console *console, struct err *err)
{
    char *path = mem_printf("%s/console/read-model.db", console->svc->conf.state_dir);
    const struct ingest_conf conf = {
        .svc = console->svc,
        .path = path,
        .partitions = (int32_t)console->svc->conf.partitions,
        .limits = {.log_attempt_bytes = console->conf.log_max_bytes,
                   .log_total_bytes = console->conf.log_total_bytes,
                   .log_ms = console->conf.log_retention_ms,
                   .events_max = console->conf.events_kept,
                   .release_ms = topic_info(TOPIC_EVENT)->retention_ms}};
    const struct ingest_handler handler = {
        .applied = on_applied, .access = on_access, .rebuilding = on_rebuilding, .arg = console};
    int rc = ingest_new(&console->ingest, &conf, &handler, err);

    free(path);
    return rc;
}

static int start(struct svc *svc, struct err *err)
{
    struct console *console = svc->app;
    const struct bus_producer_conf producer = {.message_timeout_ms = PRODUCE_MS,
                                               .queue_max = 10000};

    console->svc = svc;
    console->auth = auth_new();
    console->waits = waits_new(console);
    console->event_streams = event_streams_new(console);
    console->log_streams = log_streams_new(console);
    console->ledger = ledger_reader_new(console);
    if (add_bootstrap(console, err) != 0 ||
        bus_producer_new(&console->producer, svc->bus, &producer, err) != 0 ||
        file_reader_new(console, err) != 0 || start_ingest(console, err) != 0)
        return -1;
    if (console->conf.anonymous_read)
        svc_note(svc, "access", "anyone may read: console.anonymous-read is true");
    routes_add(console);
    return 0;
}

static void on_ingest_stopped(void *arg)
{
    struct console *console = arg;

    svc_stopped(console->svc);
}

static void on_flushed(bool all, void *arg)
{
    struct console *console = arg;

    if (!all)
        log_warn("stopping with records that Kafka has not acknowledged");
    ingest_stop(console->ingest, on_ingest_stopped, console);
}

static void stop(struct svc *svc)
{
    struct console *console = svc->app;

    bus_producer_flush(console->producer, svc->conf.shutdown_grace_ms / 2, on_flushed, console);
}

static void release(struct svc *svc)
{
    struct console *console = svc->app;

    bus_producer_free(console->producer);
    ledger_reader_free(console->ledger);
    file_reader_free(console->files);
    ingest_free(console->ingest);
    log_streams_free(console->log_streams);
    event_streams_free(console->event_streams);
    waits_free(console->waits);
    auth_free(console->auth);
    free(console->routes);
}

int console_main(int argc, char **argv)
{
    struct console console = {0};
    const struct svc_def def = {
        .name = "console",
        .summary = "the read side: REST, server-sent events and the web page; passes people's"
                   " commands on",
        .port = 8080,
        .items = console_conf_items,
        .conf = &console.conf,
        .app = &console,
        .workers = 2,
        .start = start,
        .stop = stop,
        .release = release,
    };

    return svc_run(argc, argv, &def);
}
