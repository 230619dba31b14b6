/* DESIGN. That the end of a partition is reached, librdkafka tells when a fetch comes back empty:
 * at the end of all partitions Kafka holds it back for fetch.wait.max.ms. So the ends of partitions
 * that were added are asked for beside it, and whichever tells first has told. A partition that is
 * wanted from now on is assigned when that answer says where that is. */
#include <stdlib.h>

#include "base/mem.h"
#include "bus/consumer.h"
#include "log/log.h"

#define ENDS_TIMEOUT_MS 3000 /* a shutdown waits for it, too */
#define ASK_AGAIN_MS    50

/* Outlives a follower that is freed before the answer. */
struct asking {
    struct bus_follower *follower; /* NULL: freed */
};

struct bus_follower {
    struct bus *bus;
    struct consumer consumer;
    struct bus_follower_handler handler;
    bool introduced[TOPIC_COUNT];
    bool paused;
    struct bus_end *later; /* wanted from now on, not assigned yet */
    size_t later_count;
    struct asking *asking; /* NULL: nothing is being asked */
    struct loop_timer *ask_timer;
    bool delivering, freed; /* a handler may free it */
};

static void on_end(void *arg, struct toppar *tp, int64_t end_offset)
{
    struct bus_follower *follower = arg;
    tp->ended = true;
    tp->asked_end = 0;
    if (follower->handler.on_end)
        follower->handler.on_end(follower, tp->topic, tp->partition, end_offset,
                                 follower->handler.arg);
}

static void on_record(void *arg, struct toppar *tp, const struct bus_record *record)
{
    struct bus_follower *follower = arg;
    bool end = tp->asked_end && record->offset + 1 >= tp->asked_end;
    follower->delivering = true;
    follower->handler.on_record(follower, record, follower->handler.arg);
    follower->delivering = false;
    if (follower->freed)
        free(follower);
    else if (end && (tp = consumer_find(&follower->consumer, record->topic, record->partition)) &&
             tp->asked_end && tp->next >= tp->asked_end)
        on_end(follower, tp, tp->next);
}

/* Without a group nothing can become fatal in librdkafka 2.0.2 but a failed assertion of its own
 * about the group; say so and stay. */
static void on_fatal(void *arg, const struct err *err)
{
    (void)arg;
    log_error("a follower of topics is lost", LOG_E(err));
}

static void ask_ends(void *arg);

/* ---- life ---- */

int bus_follower_new(struct bus_follower **out, struct bus *bus,
                     const struct bus_follower_handler *handler, struct err *err)
{
    static const struct consumer_owner callbacks = {
        .on_record = on_record, .on_end = on_end, .on_fatal = on_fatal};
    /* A group's id is needed to assign partitions by hand; the group is never joined. */
    char wait[WAIT_TEXT_SIZE];
    const struct setting fixed[] = {
        {"group.id", bus->group}, bus_fetch_wait(handler->fetch_wait_ms, wait), {NULL, NULL}};
    struct bus_follower *follower = mem_alloc(sizeof(*follower));
    struct consumer_owner owner = callbacks;
    rd_kafka_conf_t *conf;
    *out = NULL;
    follower->bus = bus;
    follower->handler = *handler;
    owner.arg = follower;
    follower->ask_timer = loop_timer_new(bus->loop, ask_ends, follower);
    consumer_init(&follower->consumer, bus, &owner);
    if (bus_settings(bus, CLIENT_CONSUMER, fixed, &conf, err) != 0 ||
        consumer_start(&follower->consumer, conf, err) != 0) {
        bus_follower_free(follower);
        return -1;
    }
    *out = follower;
    return 0;
}

void bus_follower_free(struct bus_follower *follower)
{
    if (!follower)
        return;
    if (follower->asking)
        follower->asking->follower = NULL;
    loop_timer_free(follower->ask_timer);
    consumer_release(&follower->consumer);
    free(follower->later);
    follower->freed = true;
    if (!follower->delivering)
        free(follower);
}

/* ---- adding and removing ---- */

static void ask_later(struct bus_follower *follower);

static bool forget_later(struct bus_follower *follower, enum topic topic, int32_t partition)
{
    for (size_t i = 0; i < follower->later_count; i++) {
        if (follower->later[i].topic != topic || follower->later[i].partition != partition)
            continue;
        follower->later[i] = follower->later[--follower->later_count];
        return true;
    }
    return false;
}

/* Handles of topics that are new to the client: making one asks for the topic's leaders at once; a
 * partition alone waits for that until a timer of a second has run out. */
static size_t introduce(struct bus_follower *follower, const rd_kafka_topic_partition_list_t *list,
                        rd_kafka_topic_t *handles[TOPIC_COUNT])
{
    size_t count = 0;
    for (int i = 0; i < list->cnt; i++) {
        enum topic topic = bus_topic_by_full_name(follower->bus, list->elems[i].topic);
        if (follower->introduced[topic])
            continue;
        follower->introduced[topic] = true;
        handles[count++] =
            rd_kafka_topic_new(follower->consumer.client->rk, list->elems[i].topic, NULL);
    }
    return count;
}

/* Assigns partitions that are new to the follower. */
static int assign(struct bus_follower *follower, const rd_kafka_topic_partition_list_t *list,
                  struct err *err)
{
    rd_kafka_topic_t *handles[TOPIC_COUNT];
    size_t count = introduce(follower, list, handles);
    rd_kafka_error_t *error = rd_kafka_incremental_assign(follower->consumer.client->rk, list);
    while (count > 0)
        rd_kafka_topic_destroy(handles[--count]);
    if (!error)
        return 0;
    err_set(err, ERR_INTERNAL, "cannot follow a topic's partitions: %s",
            rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return -1;
}

/* Adds a partition: one that is there already seeks, a new one goes on the list. From the beginning
 * is from offset 0: the earliest would be a question of its own to Kafka, and by the time it is
 * answered a fetch of other partitions is held for fetch.wait.max.ms. What is gone is skipped. */
static void add(struct bus_follower *follower, rd_kafka_topic_partition_list_t *list,
                enum topic topic, int32_t partition, int64_t offset)
{
    struct toppar *tp = consumer_find(&follower->consumer, topic, partition);
    if (tp) {
        tp->ended = false;
        tp->asked_end = 0;
        consumer_seek(&follower->consumer, tp, offset);
        return;
    }
    forget_later(follower, topic, partition);
    if (offset == BUS_BEGINNING)
        offset = 0;
    if (offset == BUS_END) {
        follower->later =
            mem_realloc(follower->later, follower->later_count + 1, sizeof(*follower->later));
        follower->later[follower->later_count++] =
            (struct bus_end){.topic = topic, .partition = partition};
        return;
    }
    consumer_add(&follower->consumer, topic, partition, offset);
    rd_kafka_topic_partition_list_add(list, follower->bus->names[topic], partition)->offset =
        offset;
}

/* librdkafka keeps a partition's pause beyond an assignment, so it is told again. */
static void settle_pauses(struct bus_follower *follower)
{
    for (struct toppar *tp = NULL; (tp = consumer_next(&follower->consumer, tp));) {
        if (follower->paused)
            consumer_pause(&follower->consumer, tp, PAUSED_BY_OWNER);
        else
            consumer_resume(&follower->consumer, tp, PAUSED_BY_OWNER);
    }
}

static int check_offset(int64_t offset, struct err *err)
{
    if (offset >= 0 || offset == BUS_BEGINNING || offset == BUS_END)
        return 0;
    return err_set(err, ERR_INVALID, "offset %lld is none", (long long)offset);
}

static int assign_list(struct bus_follower *follower, rd_kafka_topic_partition_list_t *list,
                       struct err *err)
{
    int rc = 0;
    if (list->cnt > 0)
        rc = assign(follower, list, err);
    if (rc == 0)
        ask_later(follower);
    for (int i = 0; rc != 0 && i < list->cnt; i++) {
        enum topic topic = bus_topic_by_full_name(follower->bus, list->elems[i].topic);
        consumer_forget(&follower->consumer,
                        consumer_find(&follower->consumer, topic, list->elems[i].partition));
    }
    if (rc == 0)
        settle_pauses(follower);
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

static void take_end(struct bus_follower *follower, const struct bus_end *asked)
{
    struct toppar *tp = consumer_find(&follower->consumer, asked->topic, asked->partition);
    if (!tp || tp->ended)
        return;
    if (asked->begin == asked->end || tp->next >= asked->end)
        on_end(follower, tp, asked->end);
    else
        tp->asked_end = asked->end;
}

static void assign_later(struct bus_follower *follower, const struct bus_end *ends, size_t count)
{
    struct err err = {0};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        if (forget_later(follower, ends[i].topic, ends[i].partition))
            add(follower, list, ends[i].topic, ends[i].partition, ends[i].end);
    }
    if (assign_list(follower, list, &err) != 0)
        log_error("cannot follow what comes", LOG_E(&err));
}

static void on_ends(const struct bus_end *ends, size_t count, const struct err *err, void *arg)
{
    struct asking *asking = arg;
    if (asking->follower)
        asking->follower->asking = NULL;
    if (asking->follower && !err)
        assign_later(asking->follower, ends, count);
    for (size_t i = 0; !err && i < count && asking->follower; i++)
        take_end(asking->follower, &ends[i]);
    if (asking->follower && asking->follower->later_count > 0)
        ask_later(asking->follower);
}

static size_t what_to_ask(const struct bus_follower *follower, struct bus_end **out)
{
    size_t count = follower->later_count;
    struct bus_end *ask = mem_realloc(NULL, count + 1, sizeof(*ask));
    for (size_t i = 0; i < count; i++)
        ask[i] = follower->later[i];
    for (struct toppar *tp = NULL; (tp = consumer_next(&follower->consumer, tp));) {
        if (tp->ended || tp->asked_end)
            continue;
        ask = mem_realloc(ask, count + 1, sizeof(*ask));
        ask[count++] = (struct bus_end){.topic = tp->topic, .partition = tp->partition};
    }
    *out = ask;
    return count;
}

static void ask_ends(void *arg)
{
    struct bus_follower *follower = arg;
    struct bus_end *ask;
    if (follower->asking || !bus_connected(follower->bus, NULL)) {
        loop_timer_arm(follower->ask_timer, ASK_AGAIN_MS);
        return;
    }
    size_t count = what_to_ask(follower, &ask);
    if (count > 0) {
        follower->asking = mem_alloc(sizeof(*follower->asking));
        follower->asking->follower = follower;
        bus_ends_owned(follower->bus, ask, count, ENDS_TIMEOUT_MS, on_ends, follower->asking);
    }
    free(ask);
}

/* Soon: partitions are added many at a time. */
static void ask_later(struct bus_follower *follower)
{
    loop_timer_arm(follower->ask_timer, 0);
}

int bus_follower_add(struct bus_follower *follower, enum topic topic, int32_t partition,
                     int64_t offset, struct err *err)
{
    if (check_offset(offset, err) != 0)
        return -1;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    add(follower, list, topic, partition, offset);
    return assign_list(follower, list, err);
}

int bus_follower_add_all(struct bus_follower *follower, enum topic topic, int32_t partition_count,
                         int64_t (*start)(enum topic topic, int32_t partition, void *arg),
                         void *arg, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partition_count);
    for (int32_t p = 0; p < partition_count; p++) {
        int64_t offset = start ? start(topic, p, arg) : BUS_BEGINNING;
        add(follower, list, topic, p, offset < BUS_BEGINNING ? BUS_BEGINNING : offset);
    }
    return assign_list(follower, list, err);
}

void bus_follower_remove(struct bus_follower *follower, enum topic topic, int32_t partition)
{
    struct toppar *tp = consumer_find(&follower->consumer, topic, partition);
    forget_later(follower, topic, partition);
    if (!tp)
        return;
    consumer_resume(&follower->consumer, tp, ~0u);
    consumer_forget(&follower->consumer, tp);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, follower->bus->names[topic], partition);
    rd_kafka_error_t *error = rd_kafka_incremental_unassign(follower->consumer.client->rk, list);
    if (error) {
        log_error("cannot stop following a partition", LOG_S("topic", topic_info(topic)->name),
                  LOG_I("partition", partition), LOG_S("error", rd_kafka_error_string(error)));
        rd_kafka_error_destroy(error);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

void bus_follower_pause(struct bus_follower *follower, bool paused)
{
    follower->paused = paused;
    settle_pauses(follower);
}

void bus_follower_pause_partition(struct bus_follower *follower, enum topic topic,
                                  int32_t partition, bool paused)
{
    struct toppar *tp = consumer_find(&follower->consumer, topic, partition);
    if (tp && paused)
        consumer_pause(&follower->consumer, tp, PAUSED_ALONE);
    else if (tp)
        consumer_resume(&follower->consumer, tp, PAUSED_ALONE);
}

bool bus_follower_caught_up(const struct bus_follower *follower)
{
    for (struct toppar *tp = NULL; (tp = consumer_next(&follower->consumer, tp));) {
        if (!tp->ended)
            return false;
    }
    return follower->later_count == 0;
}
