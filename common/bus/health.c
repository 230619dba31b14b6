/* Whether Kafka is there. librdkafka tells when connections end, not when they begin, so a broker
 * is asked for its metadata at the start and after any error, until it answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bus/internal.h"
#include "log/log.h"

#define PROBE_TIMEOUT_MS 5000
#define DOUBT_TIMEOUT_MS 500 /* while it is connected as far as is known */

static void set_reason(struct bus *bus, const char *reason)
{
    snprintf(bus->reason, sizeof(bus->reason), "%.255s", reason);
}

static void set_connected(struct bus *bus, bool connected)
{
    if (bus->connected == connected && bus->told)
        return;
    bus->connected = connected;
    bus->told = true;
    bus->connected_since_ms = connected ? clock_now_ms() : 0;
    if (bus->up)
        metric_set(bus->up, connected ? 1 : 0);
    if (connected) {
        bus->reason[0] = '\0';
        log_info("connected to Kafka");
    } else {
        log_warn("no connection to Kafka; trying again", LOG_S("error", bus->reason));
    }
}

void health_error(struct bus *bus, rd_kafka_resp_err_t code, const char *reason)
{
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !*bus->reason)
        set_reason(bus, reason);
    health_probe(bus);
}

struct probe {
    struct bus *bus;
    rd_kafka_t *rk;
    int timeout_ms;
    rd_kafka_resp_err_t code;
};

static void probe_work(void *arg)
{
    struct probe *probe = arg;
    const struct rd_kafka_metadata *metadata = NULL;
    probe->code = rd_kafka_metadata(probe->rk, 0, NULL, &metadata, probe->timeout_ms);
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
}

static void probe_done(void *arg)
{
    struct probe *probe = arg;
    struct bus *bus = probe->bus;
    bus->probing = false;
    if (!bus->closed) {
        bool failed = probe->code != RD_KAFKA_RESP_ERR_NO_ERROR;
        if (failed && !*bus->reason)
            set_reason(bus, rd_kafka_err2str(probe->code));
        set_connected(bus, !failed);
    }
    bus_unref(bus);
    free(probe);
}

void health_probe(struct bus *bus)
{
    if (bus->probing || bus->closed)
        return;
    struct err err = {0};
    struct client *client = bus_asker(bus, &err);
    if (!client) {
        set_reason(bus, err.msg);
        set_connected(bus, false);
        return;
    }
    bus->probing = true;
    bus_ref(bus);
    struct probe *probe = mem_alloc(sizeof(*probe));
    *probe = (struct probe){.bus = bus, .rk = client->rk};
    probe->timeout_ms = bus->connected ? DOUBT_TIMEOUT_MS : PROBE_TIMEOUT_MS;
    client_job(client, probe_work, probe_done, probe);
}
