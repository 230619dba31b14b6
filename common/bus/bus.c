#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "bus/internal.h"

#define TICK_MS 1000

static void on_tick(void *arg)
{
    struct bus *bus = arg;
    struct client *client;
    loop_timer_arm(bus->tick, TICK_MS);
    if (bus->asker && (LIST_FIRST(&bus->clients) != bus->asker || LIST_NEXT(bus->asker, link))) {
        client_retire(bus->asker);
        bus->asker = NULL;
    }
    if (!bus->connected)
        health_probe(bus);
    LIST_FOREACH(client, &bus->clients, link)
    client_kick(client);
}

static bool serve_asker(void *arg)
{
    struct bus *bus = arg;
    if (bus->asker)
        rd_kafka_poll(bus->asker->rk, 0);
    return false;
}

struct client *bus_asker(struct bus *bus, struct err *err)
{
    struct client_owner owner = {.serve = serve_asker, .arg = bus};
    struct client *client, *any = NULL;
    rd_kafka_conf_t *conf;
    LIST_FOREACH(client, &bus->clients, link)
    {
        if (rd_kafka_type(client->rk) == RD_KAFKA_PRODUCER)
            return client;
        any = client;
    }
    if (any)
        return any;
    if (bus_settings(bus, CLIENT_ASKER, NULL, &conf, err) != 0 ||
        client_new(&bus->asker, bus, CLIENT_ASKER, conf, &owner, err) != 0)
        return NULL;
    return bus->asker;
}

static void make_metrics(struct bus *bus)
{
    char labels[64];
    if (!bus->metrics)
        return;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        snprintf(labels, sizeof(labels), "topic=\"%s\"", topic_info((enum topic)i)->name);
        bus->produced[i] = metrics_counter(bus->metrics, "gantry_bus_produced_total", labels,
                                           "Records acknowledged by the brokers");
        bus->consumed[i] =
            metrics_counter(bus->metrics, "gantry_bus_consumed_total", labels, "Records delivered");
    }
    bus->deadletters = metrics_counter(bus->metrics, "gantry_bus_deadletters_total", NULL,
                                       "Records put aside because they could not be used");
    bus->ack_seconds = metrics_histogram(bus->metrics, "gantry_bus_ack_seconds", NULL,
                                         "From producing a record to its acknowledgement");
    bus->up = metrics_gauge(bus->metrics, "gantry_bus_connected", NULL, "1 while a broker answers");
}

static int make_names(struct bus *bus, struct err *err)
{
    char name[TOPIC_FULL_NAME_MAX];
    for (int i = 0; i < TOPIC_COUNT; i++) {
        if (topic_full_name((enum topic)i, bus->prefix, name, sizeof(name)) != 0)
            return err_set(err, ERR_INVALID, "topic prefix '%s' is too long", bus->prefix);
        bus->names[i] = mem_strdup(name);
    }
    return 0;
}

static void copy_kafka(struct bus *bus, const struct conf_map *map)
{
    bus->kafka_count = map ? map->count : 0;
    bus->kafka = mem_alloc((bus->kafka_count + 1) * sizeof(*bus->kafka));
    for (size_t i = 0; i < bus->kafka_count; i++) {
        bus->kafka[i].key = mem_strdup(map->pairs[i].key);
        for (size_t k = 0; k < map->pairs[i].values.count; k++)
            strv_add(&bus->kafka[i].values, map->pairs[i].values.items[k]);
    }
}

int bus_new(struct bus **out, struct loop *loop, const struct bus_conf *conf, struct err *err)
{
    rd_kafka_conf_t *settings;
    struct bus *bus = mem_alloc(sizeof(*bus));
    *out = NULL;
    bus->loop = loop;
    bus->refs = 1;
    LIST_INIT(&bus->clients);
    bus->prefix = mem_strdup(conf->prefix);
    bus->service = mem_strdup(conf->service);
    bus->instance = mem_strdup(conf->instance);
    bus->group = mem_printf("%s.%s", conf->prefix, conf->service);
    bus->metrics = conf->metrics;
    copy_kafka(bus, conf->kafka);
    make_metrics(bus);
    if (make_names(bus, err) != 0 || bus_settings(bus, CLIENT_ASKER, NULL, &settings, err) != 0) {
        bus_free(bus);
        return -1;
    }
    rd_kafka_conf_destroy(settings);
    bus->tick = loop_timer_new(loop, on_tick, bus);
    loop_timer_arm(bus->tick, TICK_MS);
    *out = bus;
    return 0;
}

void bus_ref(struct bus *bus)
{
    bus->refs++;
}

void bus_unref(struct bus *bus)
{
    if (--bus->refs > 0)
        return;
    for (size_t i = 0; i < bus->kafka_count; i++) {
        free(bus->kafka[i].key);
        for (size_t k = 0; k < bus->kafka[i].values.count; k++)
            mem_wipe(bus->kafka[i].values.items[k], strlen(bus->kafka[i].values.items[k]));
        strv_release(&bus->kafka[i].values);
    }
    for (int i = 0; i < TOPIC_COUNT; i++)
        free(bus->names[i]);
    free(bus->kafka);
    free(bus->prefix);
    free(bus->service);
    free(bus->instance);
    free(bus->group);
    free(bus);
}

void bus_free(struct bus *bus)
{
    if (!bus)
        return;
    bus->closed = true;
    loop_timer_free(bus->tick);
    bus->tick = NULL;
    client_retire(bus->asker);
    bus->asker = NULL;
    bus_unref(bus);
}

bool bus_connected(const struct bus *bus, char reason[256])
{
    if (reason)
        snprintf(reason, 256, "%s", bus->reason);
    return bus->connected;
}

int64_t bus_connected_since_ms(const struct bus *bus)
{
    return bus->connected_since_ms;
}

enum topic bus_topic_by_full_name(const struct bus *bus, const char *name)
{
    for (int i = 0; i < TOPIC_COUNT; i++) {
        if (strcmp(bus->names[i], name) == 0)
            return (enum topic)i;
    }
    return TOPIC_COUNT;
}

int bus_err(struct err *err, rd_kafka_resp_err_t code, const char *what)
{
    enum err_code kind;
    switch (code) {
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
        kind = ERR_TIMEOUT;
        break;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        kind = ERR_NOT_FOUND;
        break;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        kind = ERR_LIMIT;
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        kind = ERR_DENIED;
        break;
    case RD_KAFKA_RESP_ERR__FATAL:
        kind = ERR_FATAL;
        break;
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
        kind = ERR_INVALID;
        break;
    default:
        kind = ERR_UNAVAILABLE;
        break;
    }
    return err_set(err, kind, "%s: %s (%s)", what, rd_kafka_err2str(code), rd_kafka_err2name(code));
}
