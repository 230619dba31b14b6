/* librdkafka's settings for each type of client. CONFIGURATION.md of librdkafka 2.0.2 has them all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/internal.h"

static const struct setting every_client[] = {
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "1000"},
    {"socket.connection.setup.timeout.ms", "10000"},
    /* how soon a topic is seen that was made after its reader started */
    {"topic.metadata.refresh.interval.ms", "10000"},
    {NULL, NULL},
};

static const struct setting producers[] = {
    {"linger.ms", "0"},
    {"queue.buffering.max.kbytes", "131072"},
    /* EVENT_VALUE_MAX, key and headers; below the broker's own 1048588 */
    {"message.max.bytes", "1045000"},
    {NULL, NULL},
};

static const struct setting consumers[] = {
    {"auto.offset.reset", "earliest"},
    {"session.timeout.ms", "10000"},
    /* room for several of the largest fetches: one that fills it makes its partitions wait */
    {"queued.max.messages.kbytes", "16384"},
    {"fetch.message.max.bytes", "524288"},
    {"fetch.max.bytes", "4194304"},
    /* also how long a partition waits whose local queue was full */
    {"fetch.error.backoff.ms", "20"},
    {NULL, NULL},
};

static const struct setting fixed_producers[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {NULL, NULL},
};

static const struct setting fixed_consumers[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"enable.partition.eof", "true"},
    /* 2.0.2 can lose an assignment when it commits during a cooperative rebalance */
    {"partition.assignment.strategy", "range,roundrobin"},
    {NULL, NULL},
};

static int set(rd_kafka_conf_t *conf, const char *key, const char *value, struct err *err)
{
    char text[512];
    if (rd_kafka_conf_set(conf, key, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return 0;
    return err_set(err, ERR_INVALID, "kafka setting '%s': %s", key, text);
}

static int set_all(rd_kafka_conf_t *conf, const struct setting *list, struct err *err)
{
    for (; list && list->key; list++) {
        if (set(conf, list->key, list->value, err) != 0)
            return -1;
    }
    return 0;
}

static int set_user(rd_kafka_conf_t *conf, const struct bus *bus, struct err *err)
{
    for (size_t i = 0; i < bus->kafka_count; i++) {
        const struct conf_pair *pair = &bus->kafka[i];
        struct buf value;
        buf_init(&value, 64 * 1024);
        for (size_t k = 0; k < pair->values.count; k++)
            buf_addf(&value, "%s%s", k ? "," : "", pair->values.items[k]);
        int rc = set(conf, pair->key, buf_cstr(&value), err);
        if (value.data)
            mem_wipe(value.data, value.len);
        buf_release(&value);
        if (rc != 0)
            return -1;
    }
    return 0;
}

struct setting bus_fetch_wait(int64_t wait_ms, char *text)
{
    snprintf(text, WAIT_TEXT_SIZE, "%lld", (long long)wait_ms);
    return (struct setting){wait_ms > 0 ? "fetch.wait.max.ms" : NULL, text};
}

int bus_settings(const struct bus *bus, enum client_type type, const struct setting *fixed,
                 rd_kafka_conf_t **out, struct err *err)
{
    bool consumer = type == CLIENT_CONSUMER;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (set(conf, "client.id", bus->service, err) != 0 || set_all(conf, every_client, err) != 0 ||
        set_all(conf, consumer ? consumers : producers, err) != 0 ||
        set_user(conf, bus, err) != 0 ||
        set_all(conf, consumer ? fixed_consumers : fixed_producers, err) != 0 ||
        set_all(conf, fixed, err) != 0) {
        rd_kafka_conf_destroy(conf);
        *out = NULL;
        return -1;
    }
    *out = conf;
    return 0;
}
