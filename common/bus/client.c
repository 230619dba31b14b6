#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "bus/internal.h"
#include "log/log.h"

#define MAIN_SLACK_NS   50000000ul
#define BROKER_SLACK_NS 4000000ul

static void client_unref(struct client *client)
{
    if (--client->refs == 0)
        free(client);
}

/* ---- the end ---- */

static void destroy_work(void *arg)
{
    struct client *client = arg;
    if (rd_kafka_type(client->rk) == RD_KAFKA_PRODUCER)
        rd_kafka_purge(client->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                       RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_destroy_flags(client->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (client->fd >= 0)
        close(client->fd);
}

static void destroy_done(void *arg)
{
    client_unref(arg);
}

static void destroy_when_idle(struct client *client)
{
    if (!client->retired || client->jobs > 0 || client->destroying)
        return;
    client->destroying = true;
    loop_work(client->loop, destroy_work, destroy_done, client);
}

/* ---- serving ---- */

/* A callback may retire the client that librdkafka is serving: that it is served counts as a job.
 */
static void serve(struct client *client)
{
    if (client->retired || client->posted)
        return;
    client->refs++;
    client->jobs++;
    if (client->owner.serve(client->owner.arg))
        client_kick(client);
    client->jobs--;
    destroy_when_idle(client);
    client_unref(client);
}

/* Producers that do not wake the loop are served when something else has. */
static void serve_quiet(struct bus *bus)
{
    struct client *client = LIST_FIRST(&bus->clients);

    while (client) {
        struct client *next = LIST_NEXT(client, link);

        if (client->quiet)
            serve(client);
        client = next;
    }
}

static void on_post(void *arg)
{
    struct client *client = arg;
    client->posted = false;
    serve(client);
    client_unref(client);
}

void client_kick(struct client *client)
{
    if (client->posted || client->retired)
        return;
    client->posted = true;
    client->refs++;
    loop_post(client->loop, on_post, client);
}

static void on_readable(int what, void *arg)
{
    struct client *client = arg;
    struct bus *bus = client->bus;
    uint64_t count;
    (void)what;
    if (read(client->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        log_error("cannot read the queue's eventfd", LOG_S("error", strerror(errno)));
    serve(client);
    serve_quiet(bus);
}

/* ---- librdkafka's callbacks ---- */

/* Any thread. What matters comes again through the error callback, once for each change. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)level;
    log_debug("librdkafka", LOG_S("client", rd_kafka_name(rk)), LOG_S("facility", facility),
              LOG_S("text", text));
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct client *client = opaque;
    struct err err = {0};
    char text[512];
    if (client->retired)
        return;
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        rd_kafka_resp_err_t cause = rd_kafka_fatal_error(rk, text, sizeof(text));
        err_set(&err, ERR_FATAL, "%s: %s", rd_kafka_err2name(cause), text);
        if (client->owner.on_fatal)
            client->owner.on_fatal(client->owner.arg, &err);
        return;
    }
    health_error(client->bus, (rd_kafka_resp_err_t)code, reason);
}

/* ---- life ---- */

static int wake_up_by_eventfd(struct client *client, struct err *err)
{
    static const uint64_t one = 1;
    client->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (client->fd < 0)
        return err_errno(err, errno, "cannot make an eventfd");
    rd_kafka_queue_io_event_enable(client->queue, client->fd, &one, sizeof(one));
    client->watch = loop_fd_new(client->loop, client->fd, LOOP_READ, on_readable, client);
    return 0;
}

/* librdkafka's main thread waits whole milliseconds for its timer of a second and spins through the
 * rest. With slack the wait ends late instead; what wakes the thread before is not delayed. Called
 * by each thread of a client as it starts. */
static rd_kafka_resp_err_t on_thread_start(rd_kafka_t *rk, rd_kafka_thread_type_t type,
                                           const char *name, void *arg)
{
    (void)rk;
    (void)name;
    (void)arg;
    prctl(PR_SET_TIMERSLACK, type == RD_KAFKA_THREAD_MAIN ? MAIN_SLACK_NS : BROKER_SLACK_NS);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg,
                                  char *errstr, size_t errstr_size)
{
    (void)conf;
    (void)arg;
    (void)errstr;
    (void)errstr_size;
    return rd_kafka_interceptor_add_on_thread_start(rk, "slack", on_thread_start, NULL);
}

int client_new(struct client **out, struct bus *bus, enum client_type type, rd_kafka_conf_t *conf,
               const struct client_owner *owner, struct err *err)
{
    char text[512];
    struct client *client = mem_alloc(sizeof(*client));
    *client = (struct client){.bus = bus,
                              .loop = bus->loop,
                              .owner = *owner,
                              .refs = 1,
                              .fd = -1,
                              .retired = true,
                              .quiet = owner->quiet};
    *out = NULL;
    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_interceptor_add_on_new(conf, "slack", on_new, NULL);
    client->rk = rd_kafka_new(type == CLIENT_CONSUMER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf,
                              text, sizeof(text));
    if (!client->rk) {
        rd_kafka_conf_destroy(conf);
        free(client);
        return err_set(err, ERR_INVALID, "cannot make a Kafka client: %s", text);
    }
    if (type == CLIENT_CONSUMER) {
        rd_kafka_poll_set_consumer(client->rk);
        client->queue = rd_kafka_queue_get_consumer(client->rk);
    } else {
        client->queue = rd_kafka_queue_get_main(client->rk);
    }
    LIST_INSERT_HEAD(&bus->clients, client, link);
    client->retired = false;
    if (!owner->quiet && wake_up_by_eventfd(client, err) != 0) {
        client_retire(client);
        return -1;
    }
    *out = client;
    if (!bus->connected)
        health_probe(bus);
    return 0;
}

void client_retire(struct client *client)
{
    if (!client || client->retired)
        return;
    client->retired = true;
    LIST_REMOVE(client, link);
    loop_fd_free(client->watch);
    client->watch = NULL;
    rd_kafka_queue_io_event_enable(client->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(client->queue);
    client->queue = NULL;
    destroy_when_idle(client);
}

struct job {
    struct client *client;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void job_work(void *arg)
{
    struct job *job = arg;
    job->work(job->arg);
}

static void job_done(void *arg)
{
    struct job *job = arg;
    struct client *client = job->client;
    client->jobs--;
    job->done(job->arg);
    destroy_when_idle(client);
    client_unref(client);
    free(job);
}

void client_job(struct client *client, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct job *job = mem_alloc(sizeof(*job));
    *job = (struct job){.client = client, .work = work, .done = done, .arg = arg};
    client->jobs++;
    client->refs++;
    loop_work(client->loop, job_work, job_done, job);
}

void client_trouble(struct client *client, rd_kafka_resp_err_t code, const char *what,
                    const char *reason)
{
    if (client->last_error == code)
        return;
    client->last_error = code;
    log_warn(what, LOG_S("client", rd_kafka_name(client->rk)),
             LOG_S("code", rd_kafka_err2name(code)),
             LOG_S("error", reason ? reason : rd_kafka_err2str(code)));
}

void client_well(struct client *client)
{
    client->last_error = RD_KAFKA_RESP_ERR_NO_ERROR;
}
