/* DESIGN. The assignors are eager: a rebalance revokes everything and assigns anew. On an
 * assignment the committed offsets and their metadata are asked for on a worker (librdkafka's own
 * way gives no metadata) and the partitions begin there. Commits are asynchronous, one at a time. A
 * fatal error (another process took our group.instance.id) loses everything; a new consumer is made
 * later. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bus/consumer.h"
#include "log/log.h"

#define COMMIT_EVERY_MS      1000
#define COMMITTED_TIMEOUT_MS 3000
#define COMMITTED_AGAIN_MS   500
#define PENDING_MAX          10000
#define PENDING_BYTES_MAX    (16u * 1024 * 1024)
#define RESTART_AFTER_MS     5000
#define CLOSE_TIMEOUT_MS     10000
#define RECORD_OVERHEAD      256 /* bytes that a record costs beside its value */

enum group_state {
    GROUP_RUNNING,
    GROUP_COMMITTING, /* closing: the last commit is on its way */
    GROUP_LEAVING,    /* closing: librdkafka leaves the group */
    GROUP_CLOSED
};

struct bus_group {
    struct bus *bus;
    struct bus_group_conf conf;
    struct bus_group_handler handler;
    enum topic *topics;
    char *name;
    struct consumer consumer;
    enum group_state state;
    rd_kafka_topic_partition_list_t *assigning; /* waits for its committed offsets; or NULL */
    bool asking;
    bool commit_underway;
    size_t full; /* partitions that wait because too much is pending */
    struct loop_timer *commit_timer, *retry_timer, *close_timer;
    void (*closed)(void *arg);
    void *closed_arg;
};

static int start(struct bus_group *group, struct err *err);
static void close_step(struct bus_group *group);

/* ---- pending ---- */

static bool is_full(const struct bus_group *group, const struct toppar *tp, size_t percent)
{
    return watermark_pending(&tp->wm) * 100 >= group->conf.pending_max * percent ||
           tp->wm.pending_bytes * 100 >= group->conf.pending_bytes_max * percent ||
           (group->conf.commit_ranges && watermark_text_full(&tp->wm));
}

static void hold_if_full(struct bus_group *group, struct toppar *tp)
{
    if ((tp->paused & PAUSED_FULL) || !is_full(group, tp, 100))
        return;
    group->full++;
    log_warn("a partition waits: too much of it is unsettled",
             LOG_S("topic", topic_info(tp->topic)->name), LOG_I("partition", tp->partition),
             LOG_I("pending", watermark_pending(&tp->wm)));
    consumer_pause(&group->consumer, tp, PAUSED_FULL);
}

static void go_on_if_roomy(struct bus_group *group, struct toppar *tp)
{
    if (!(tp->paused & PAUSED_FULL) || is_full(group, tp, 75))
        return;
    group->full--;
    consumer_resume(&group->consumer, tp, PAUSED_FULL);
}

/* ---- commits ---- */

static void commit_soon(struct bus_group *group, struct toppar *tp)
{
    tp->dirty = true;
    if (!loop_timer_armed(group->commit_timer))
        loop_timer_arm(group->commit_timer, group->conf.commit_every_ms);
}

static void add_commit(struct bus_group *group, struct toppar *tp,
                       rd_kafka_topic_partition_list_t *list)
{
    char text[WATERMARK_TEXT_MAX + 1];
    rd_kafka_topic_partition_t *p;
    int64_t offset = group->conf.manual_start ? tp->commit_at : watermark_offset(&tp->wm);
    tp->dirty = false;
    if (offset < 0)
        return;
    p = rd_kafka_topic_partition_list_add(list, group->bus->names[tp->topic], tp->partition);
    p->offset = offset;
    tp->committed = offset;
    if (!group->conf.commit_ranges || group->conf.manual_start)
        return;
    watermark_text(&tp->wm, text);
    p->metadata_size = strlen(text);
    /* freed by librdkafka with its own free() */
    p->metadata = p->metadata_size ? mem_dup(text, p->metadata_size) : NULL;
}

/* Sends what is dirty. True: a commit is under way. */
static bool commit(struct bus_group *group)
{
    if (group->commit_underway || !group->consumer.client)
        return group->commit_underway;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (struct toppar *tp = NULL; (tp = consumer_next(&group->consumer, tp));) {
        if (tp->dirty)
            add_commit(group, tp, list);
    }
    if (list->cnt > 0)
        group->commit_underway = rd_kafka_commit(group->consumer.client->rk, list, 1) == 0;
    rd_kafka_topic_partition_list_destroy(list);
    return group->commit_underway;
}

static void on_commit_timer(void *arg)
{
    commit(arg);
}

static void on_committed(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
    struct client *client = opaque;
    struct consumer *consumer = client->owner.arg;
    (void)rk;
    if (client->retired || !consumer)
        return;
    struct bus_group *group = consumer->owner.arg;
    bool again = false;
    group->commit_underway = false;
    if (code && code != RD_KAFKA_RESP_ERR__NO_OFFSET)
        client_trouble(client, code, "cannot commit offsets; trying again", NULL);
    for (int i = 0; offsets && i < offsets->cnt; i++) {
        enum topic topic = bus_topic_by_full_name(group->bus, offsets->elems[i].topic);
        struct toppar *tp = consumer_find(&group->consumer, topic, offsets->elems[i].partition);
        if (tp && (code || offsets->elems[i].err))
            tp->dirty = true;
        again |= tp && tp->dirty;
    }
    if (again && group->state == GROUP_RUNNING && !loop_timer_armed(group->commit_timer))
        loop_timer_arm(group->commit_timer, group->conf.commit_every_ms);
    if (group->state == GROUP_COMMITTING && (code || !commit(group)))
        close_step(group);
}

/* ---- records ---- */

static void on_record(void *arg, struct toppar *tp, const struct bus_record *record)
{
    struct bus_group *group = arg;
    struct client *client = group->consumer.client;
    size_t size = record->key_len + record->value_len + RECORD_OVERHEAD;
    if (group->conf.manual_start) {
        group->handler.on_record(group, record, group->handler.arg);
        return;
    }
    if (!watermark_deliver(&tp->wm, record->offset, size)) {
        commit_soon(group, tp);
        return;
    }
    group->handler.on_record(group, record, group->handler.arg);
    tp = client->retired ? NULL : consumer_find(&group->consumer, record->topic, record->partition);
    if (tp)
        hold_if_full(group, tp);
}

static void on_end(void *arg, struct toppar *tp, int64_t end_offset)
{
    struct bus_group *group = arg;
    if (!group->conf.manual_start) {
        watermark_reached(&tp->wm, end_offset);
        if (watermark_offset(&tp->wm) > tp->committed && tp->committed >= 0)
            commit_soon(group, tp);
    }
    if (group->handler.on_end)
        group->handler.on_end(group, tp->topic, tp->partition, end_offset, group->handler.arg);
}

void bus_group_done(struct bus_group *group, enum topic topic, int32_t partition, int64_t offset)
{
    struct toppar *tp = consumer_find(&group->consumer, topic, partition);
    if (!tp || group->conf.manual_start || !watermark_settle(&tp->wm, offset))
        return;
    commit_soon(group, tp);
    go_on_if_roomy(group, tp);
}

void bus_group_commit_at(struct bus_group *group, enum topic topic, int32_t partition,
                         int64_t next_offset)
{
    struct toppar *tp = consumer_find(&group->consumer, topic, partition);
    if (!tp || next_offset == tp->commit_at)
        return;
    tp->commit_at = next_offset;
    commit_soon(group, tp);
}

/* ---- what the owner asks ---- */

void bus_group_pause(struct bus_group *group, enum topic topic, int32_t partition, bool paused)
{
    struct toppar *tp = consumer_find(&group->consumer, topic, partition);
    if (tp && paused)
        consumer_pause(&group->consumer, tp, PAUSED_BY_OWNER);
    else if (tp)
        consumer_resume(&group->consumer, tp, PAUSED_BY_OWNER);
}

int bus_group_seek(struct bus_group *group, enum topic topic, int32_t partition, int64_t offset,
                   struct err *err)
{
    struct toppar *tp = consumer_find(&group->consumer, topic, partition);
    if (!tp)
        return err_set(err, ERR_CONFLICT, "partition %d of topic '%s' is not ours", (int)partition,
                       topic_info(topic)->name);
    if (offset < 0 && offset != BUS_BEGINNING && offset != BUS_END)
        return err_set(err, ERR_INVALID, "offset %lld is none", (long long)offset);
    watermark_release(&tp->wm);
    watermark_init(&tp->wm, offset < 0 ? 0 : offset, NULL);
    if (tp->paused & PAUSED_FULL)
        go_on_if_roomy(group, tp);
    consumer_seek(&group->consumer, tp, offset);
    return 0;
}

/* The partitions that are ours, whatever the topic, ascending. */
static int32_t next_partition(const struct bus_group *group, int32_t after)
{
    int32_t next = -1;
    for (struct toppar *tp = NULL; (tp = consumer_next(&group->consumer, tp));) {
        if (tp->partition > after && (next < 0 || tp->partition < next))
            next = tp->partition;
    }
    return next;
}

bool bus_group_owns(const struct bus_group *group, int32_t partition)
{
    for (size_t i = 0; i < group->conf.topic_count; i++) {
        if (consumer_find(&group->consumer, group->topics[i], partition))
            return true;
    }
    return false;
}

size_t bus_group_partitions(const struct bus_group *group, int32_t *out, size_t max)
{
    size_t n = 0;
    for (int32_t p = -1; (p = next_partition(group, p)) >= 0; n++) {
        if (n < max)
            out[n] = p;
    }
    return n;
}

bool bus_group_any_paused_full(const struct bus_group *group)
{
    return group->full > 0;
}

/* ---- assignment ---- */

static void begin_partition(struct bus_group *group, rd_kafka_topic_partition_t *p)
{
    enum topic topic = bus_topic_by_full_name(group->bus, p->topic);
    if (topic == TOPIC_COUNT)
        return;
    bool known = p->offset >= 0;
    if (group->conf.manual_start)
        p->offset = 0; /* nothing to look up; the owner seeks */
    else if (!known)
        p->offset = RD_KAFKA_OFFSET_BEGINNING;
    struct toppar *tp = consumer_add(&group->consumer, topic, p->partition, p->offset);
    if (group->conf.manual_start) {
        watermark_init(&tp->wm, 0, NULL);
        return;
    }
    char *text = mem_strndup(p->metadata_size ? p->metadata : "", p->metadata_size);
    watermark_init(&tp->wm, known ? p->offset : 0, group->conf.commit_ranges ? text : NULL);
    tp->committed = known ? p->offset : -1;
    free(text);
}

/* Takes the assignment: its offsets are the committed ones. */
static void take_assignment(struct bus_group *group)
{
    rd_kafka_topic_partition_list_t *list = group->assigning;
    group->assigning = NULL;
    for (int i = 0; i < list->cnt; i++)
        begin_partition(group, &list->elems[i]);
    rd_kafka_resp_err_t code = rd_kafka_assign(group->consumer.client->rk, list);
    if (code)
        client_trouble(group->consumer.client, code, "cannot take the partitions assigned", NULL);
    rd_kafka_topic_partition_list_destroy(list);
    if (group->conf.manual_start) {
        for (struct toppar *tp = NULL; (tp = consumer_next(&group->consumer, tp));)
            consumer_pause(&group->consumer, tp, PAUSED_BY_OWNER);
    }
    log_info("partitions assigned", LOG_S("group", group->name),
             LOG_I("partitions", bus_group_partitions(group, NULL, 0)));
    struct client *client = group->consumer.client;
    for (int32_t p = -1; (p = next_partition(group, p)) >= 0;) {
        if (group->handler.on_assign)
            group->handler.on_assign(group, p, group->handler.arg);
        if (client->retired)
            return;
    }
}

struct committed {
    struct bus_group *group;
    struct client *client;
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t code;
};

static void committed_work(void *arg)
{
    struct committed *ask = arg;
    ask->code = rd_kafka_committed(ask->client->rk, ask->list, COMMITTED_TIMEOUT_MS);
    for (int i = 0; i < ask->list->cnt && !ask->code; i++)
        ask->code = ask->list->elems[i].err;
}

static void committed_done(void *arg)
{
    struct committed *ask = arg;
    struct bus_group *group = ask->group;
    if (ask->client->retired)
        goto out;
    group->asking = false;
    if (!group->assigning) {
        /* closed meanwhile */
    } else if (ask->code) {
        client_trouble(ask->client, ask->code, "cannot read the committed offsets; trying again",
                       NULL);
        loop_timer_arm(group->retry_timer, COMMITTED_AGAIN_MS);
    } else {
        rd_kafka_topic_partition_list_destroy(group->assigning);
        group->assigning = ask->list;
        ask->list = NULL;
        take_assignment(group);
    }
out:
    if (ask->list)
        rd_kafka_topic_partition_list_destroy(ask->list);
    free(ask);
}

static void ask_committed(struct bus_group *group)
{
    if (group->asking || !group->assigning)
        return;
    struct committed *ask = mem_alloc(sizeof(*ask));
    ask->group = group;
    ask->client = group->consumer.client;
    ask->list = rd_kafka_topic_partition_list_copy(group->assigning);
    group->asking = true;
    client_job(ask->client, committed_work, committed_done, ask);
}

/* The owner is told of each partition while all of them still stand, then they are forgotten. */
static void give_up(struct bus_group *group, bool lost)
{
    struct client *client = group->consumer.client;
    struct toppar *tp;
    size_t count = bus_group_partitions(group, NULL, 0);
    if (count > 0 && group->state == GROUP_RUNNING)
        log_info("partitions revoked", LOG_S("group", group->name), LOG_I("partitions", count),
                 LOG_B("lost", lost));
    group->commit_underway = false;
    if (!lost)
        commit(group);
    for (int32_t p = -1; (p = next_partition(group, p)) >= 0;) {
        if (group->handler.on_revoke && group->state == GROUP_RUNNING)
            group->handler.on_revoke(group, p, lost, group->handler.arg);
        if (client->retired)
            return;
    }
    while ((tp = consumer_next(&group->consumer, NULL))) {
        consumer_resume(&group->consumer, tp, ~0u); /* a pause would outlive the assignment */
        consumer_forget(&group->consumer, tp);
    }
    group->full = 0;
    group->commit_underway = false;
}

static void drop_assigning(struct bus_group *group)
{
    if (group->assigning)
        rd_kafka_topic_partition_list_destroy(group->assigning);
    group->assigning = NULL;
    loop_timer_cancel(group->retry_timer);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct client *client = opaque;
    struct consumer *consumer = client->owner.arg;
    if (client->retired)
        return;
    struct bus_group *group = consumer->owner.arg;
    drop_assigning(group);
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && group->state == GROUP_RUNNING) {
        group->assigning = rd_kafka_topic_partition_list_copy(list);
        if (group->conf.manual_start || list->cnt == 0)
            take_assignment(group);
        else
            ask_committed(group);
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        give_up(group, rd_kafka_assignment_lost(rk) != 0);
    else if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        client_trouble(client, code, "cannot take part in the group; trying again", NULL);
    rd_kafka_assign(rk, NULL);
}

/* ---- life ---- */

static void on_retry(void *arg)
{
    struct bus_group *group = arg;
    struct err err = {0};
    if (group->consumer.client) {
        ask_committed(group);
        return;
    }
    if (start(group, &err) == 0)
        return;
    log_error("cannot make a consumer; trying again", LOG_E(&err));
    loop_timer_arm(group->retry_timer, RESTART_AFTER_MS);
}

static void on_fatal(void *arg, const struct err *err)
{
    struct bus_group *group = arg;
    struct client *client = group->consumer.client;
    log_error("the group's consumer is lost; a new one is made. Does another process use the same "
              "instance id?",
              LOG_S("group", group->name), LOG_S("instance", group->bus->instance), LOG_E(err));
    drop_assigning(group);
    group->asking = false;
    give_up(group, true);
    if (client->retired)
        return;
    consumer_stop(&group->consumer);
    if (group->state == GROUP_RUNNING)
        loop_timer_arm(group->retry_timer, RESTART_AFTER_MS);
    else
        close_step(group);
}

static void on_served(void *arg)
{
    struct bus_group *group = arg;
    if (group->state == GROUP_LEAVING && rd_kafka_consumer_closed(group->consumer.client->rk))
        close_step(group);
}

static int subscribe(struct bus_group *group, struct err *err)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)group->conf.topic_count);
    for (size_t i = 0; i < group->conf.topic_count; i++)
        rd_kafka_topic_partition_list_add(list, group->bus->names[group->topics[i]],
                                          RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(group->consumer.client->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code ? bus_err(err, code, "cannot subscribe to topics") : 0;
}

static int start(struct bus_group *group, struct err *err)
{
    rd_kafka_conf_t *conf;
    char *member = mem_printf("%s-%s", group->bus->service, group->bus->instance);
    char wait[WAIT_TEXT_SIZE];
    const struct setting fixed[] = {{"group.id", group->name},
                                    {"group.instance.id", member},
                                    bus_fetch_wait(group->conf.fetch_wait_ms, wait),
                                    {NULL, NULL}};
    int rc = bus_settings(group->bus, CLIENT_CONSUMER, fixed, &conf, err);
    free(member);
    if (rc != 0)
        return -1;
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, on_committed);
    if (consumer_start(&group->consumer, conf, err) != 0)
        return -1;
    if (subscribe(group, err) == 0)
        return 0;
    consumer_stop(&group->consumer);
    return -1;
}

static void group_free(struct bus_group *group)
{
    drop_assigning(group);
    consumer_release(&group->consumer);
    loop_timer_free(group->commit_timer);
    loop_timer_free(group->retry_timer);
    loop_timer_free(group->close_timer);
    free(group->topics);
    free(group->name);
    free(group);
}

static void on_close_timer(void *arg)
{
    struct bus_group *group = arg;
    if (group->state != GROUP_CLOSED)
        log_warn("the group was not left in time", LOG_S("group", group->name));
    group->state = GROUP_CLOSED;
    void (*closed)(void *) = group->closed;
    void *closed_arg = group->closed_arg;
    group_free(group);
    if (closed)
        closed(closed_arg);
}

int bus_group_new(struct bus_group **out, struct bus *bus, const struct bus_group_conf *conf,
                  const struct bus_group_handler *handler, struct err *err)
{
    static const struct consumer_owner callbacks = {
        .on_record = on_record, .on_end = on_end, .on_fatal = on_fatal, .on_served = on_served};
    struct consumer_owner owner = callbacks;
    struct bus_group *group = mem_alloc(sizeof(*group));
    *out = NULL;
    group->bus = bus;
    group->conf = *conf;
    group->handler = *handler;
    group->name = mem_strdup(conf->group ? conf->group : bus->group);
    group->topics = mem_dup(conf->topics, conf->topic_count * sizeof(*conf->topics));
    if (group->conf.commit_every_ms == 0)
        group->conf.commit_every_ms = COMMIT_EVERY_MS;
    if (group->conf.pending_max == 0)
        group->conf.pending_max = PENDING_MAX;
    if (group->conf.pending_bytes_max == 0)
        group->conf.pending_bytes_max = PENDING_BYTES_MAX;
    owner.arg = group;
    consumer_init(&group->consumer, bus, &owner);
    group->commit_timer = loop_timer_new(bus->loop, on_commit_timer, group);
    group->retry_timer = loop_timer_new(bus->loop, on_retry, group);
    group->close_timer = loop_timer_new(bus->loop, on_close_timer, group);
    if (start(group, err) != 0) {
        group_free(group);
        return -1;
    }
    *out = group;
    return 0;
}

/* ---- closing ---- */

static void leave(struct bus_group *group)
{
    struct consumer *consumer = &group->consumer;
    rd_kafka_t *rk = consumer->client->rk;
    static const uint64_t one = 1;
    group->state = GROUP_LEAVING;
    if (group->assigning) { /* librdkafka waits for an answer to it */
        drop_assigning(group);
        rd_kafka_assign(rk, NULL);
    }
    consumer->closing = rd_kafka_queue_new(rk);
    rd_kafka_queue_io_event_enable(consumer->closing, consumer->client->fd, &one, sizeof(one));
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(rk, consumer->closing);
    if (error) {
        rd_kafka_error_destroy(error);
        group->state = GROUP_CLOSED;
        loop_timer_arm(group->close_timer, 0);
        return;
    }
    client_kick(consumer->client);
}

static void close_step(struct bus_group *group)
{
    if (group->state == GROUP_COMMITTING && group->consumer.client) {
        leave(group);
        return;
    }
    group->state = GROUP_CLOSED;
    loop_timer_arm(group->close_timer, 0);
}

void bus_group_close(struct bus_group *group, void (*done)(void *arg), void *arg)
{
    if (!group) {
        if (done)
            done(arg);
        return;
    }
    group->closed = done;
    group->closed_arg = arg;
    group->state = GROUP_COMMITTING;
    group->consumer.deaf = true;
    loop_timer_cancel(group->commit_timer);
    loop_timer_cancel(group->retry_timer);
    loop_timer_arm(group->close_timer, CLOSE_TIMEOUT_MS);
    if (!commit(group))
        close_step(group);
}
