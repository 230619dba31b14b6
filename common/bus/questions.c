/* Where partitions begin and end, asked on a worker: 2.0.2's ListOffsets blocks.
 * rd_kafka_offsets_for_times() asks for many partitions in one request a broker, and passes on the
 * protocol's own special timestamps, -1 for the end and -2 for the beginning (KIP-79). */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bus/internal.h"

#define AGAIN_US     (100 * 1000)
#define AT_END       (-1)
#define AT_BEGINNING (-2)

typedef void ends_fn(const struct bus_end *ends, size_t count, const struct err *err, void *arg);

struct question {
    struct bus *bus;
    rd_kafka_t *rk;
    struct bus_end *ends;
    size_t count;
    bool times;
    int64_t until_ms; /* monotonic */
    ends_fn *done;
    void *arg;
    bool own_arg; /* to be freed */
    struct err err;
};

static int64_t left_ms(const struct question *q)
{
    int64_t left = q->until_ms - clock_mono_ms();
    return left > 0 ? left : 0;
}

static int64_t time_asked(const struct question *q, size_t i, int64_t special)
{
    return special == 0 ? q->ends[i].end : special;
}

/* Asks for all partitions at once; `special` 0: at each one's own time. */
static rd_kafka_resp_err_t ask(const struct question *q, int64_t special,
                               rd_kafka_topic_partition_list_t **out)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)q->count);
    rd_kafka_resp_err_t code;
    for (size_t i = 0; i < q->count; i++)
        rd_kafka_topic_partition_list_add(list, q->bus->names[q->ends[i].topic],
                                          q->ends[i].partition)
            ->offset = time_asked(q, i, special);
    code = rd_kafka_offsets_for_times(q->rk, list, (int)left_ms(q));
    for (int i = 0; i < list->cnt && !code; i++)
        code = list->elems[i].err;
    if (code) {
        rd_kafka_topic_partition_list_destroy(list);
        list = NULL;
    }
    *out = list;
    return code;
}

static int64_t answer(const struct question *q, rd_kafka_topic_partition_list_t *list, size_t i)
{
    const rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_find(
        list, q->bus->names[q->ends[i].topic], q->ends[i].partition);
    return p ? p->offset : -1;
}

/* Beginnings before ends, so that an end is never below its beginning. */
static rd_kafka_resp_err_t ask_all(struct question *q)
{
    rd_kafka_topic_partition_list_t *begins = NULL, *ends = NULL, *times = NULL;
    rd_kafka_resp_err_t code = ask(q, AT_BEGINNING, &begins);
    if (!code && q->times)
        code = ask(q, 0, &times);
    if (!code)
        code = ask(q, AT_END, &ends);
    for (size_t i = 0; !code && i < q->count; i++) {
        int64_t found = times ? answer(q, times, i) : -1;
        q->ends[i].begin = answer(q, begins, i);
        q->ends[i].end = found >= 0 ? found : answer(q, ends, i);
    }
    if (begins)
        rd_kafka_topic_partition_list_destroy(begins);
    if (ends)
        rd_kafka_topic_partition_list_destroy(ends);
    if (times)
        rd_kafka_topic_partition_list_destroy(times);
    return code;
}

static bool again(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__WAIT_CACHE:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return true;
    default:
        return false;
    }
}

/* An answer from the moment a topic was made may lack partitions; the client would keep it for
 * minutes. */
static void learn_anew(const struct question *q)
{
    const struct rd_kafka_metadata *metadata;
    for (size_t i = 0; i < q->count; i++) {
        if (i > 0 && q->ends[i].topic == q->ends[i - 1].topic)
            continue;
        rd_kafka_topic_t *topic = rd_kafka_topic_new(q->rk, q->bus->names[q->ends[i].topic], NULL);
        if (topic && !rd_kafka_metadata(q->rk, 0, topic, &metadata, (int)left_ms(q)))
            rd_kafka_metadata_destroy(metadata);
        if (topic)
            rd_kafka_topic_destroy(topic);
    }
}

static void work(void *arg)
{
    struct question *q = arg;
    rd_kafka_resp_err_t code;
    while ((code = ask_all(q)) && again(code) && left_ms(q) > AGAIN_US / 1000) {
        if (code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
            learn_anew(q);
        struct timespec pause = {.tv_nsec = AGAIN_US * 1000};
        nanosleep(&pause, NULL);
    }
    if (code)
        bus_err(&q->err, code, "cannot ask where partitions begin and end");
}

static void done(void *arg)
{
    struct question *q = arg;
    bool failed = q->err.code != ERR_NONE;
    if (!q->bus->closed)
        q->done(failed ? NULL : q->ends, failed ? 0 : q->count, failed ? &q->err : NULL, q->arg);
    if (q->own_arg)
        free(q->arg);
    bus_unref(q->bus);
    free(q->ends);
    free(q);
}

static void start(struct bus *bus, const struct bus_end *asked, size_t count, int64_t timeout_ms,
                  const struct question *how)
{
    struct question *q = mem_alloc(sizeof(*q));
    *q = *how;
    q->bus = bus;
    q->count = count;
    q->ends = mem_alloc((count + 1) * sizeof(*asked));
    for (size_t i = 0; i < count; i++)
        q->ends[i] = asked[i];
    q->until_ms = clock_mono_ms() + timeout_ms;
    bus_ref(bus);
    struct client *client = bus_asker(bus, &q->err);
    if (client) {
        q->rk = client->rk;
        client_job(client, work, done, q);
    } else {
        loop_post(bus->loop, done, q);
    }
}

void bus_ends(struct bus *bus, const struct bus_end *asked, size_t count, int64_t timeout_ms,
              ends_fn *fn, void *arg)
{
    start(bus, asked, count, timeout_ms, &(struct question){.done = fn, .arg = arg});
}

void bus_ends_owned(struct bus *bus, const struct bus_end *asked, size_t count, int64_t timeout_ms,
                    ends_fn *fn, void *arg)
{
    start(bus, asked, count, timeout_ms,
          &(struct question){.done = fn, .arg = arg, .own_arg = true});
}

void bus_offsets_at(struct bus *bus, const struct bus_end *asked, size_t count, int64_t timeout_ms,
                    ends_fn *fn, void *arg)
{
    start(bus, asked, count, timeout_ms, &(struct question){.times = true, .done = fn, .arg = arg});
}
