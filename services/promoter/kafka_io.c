/* What a partition asks of the world, answered by Kafka. Three producers, since Kafka serves the
 * requests of a connection one after the other: neither an append nor a request to an executor
 * waits behind events. What is lost is replaced at once; the two that publish together, so that no
 * acknowledgement of before is counted after. */
#include "base/clock.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "services/promoter/promoter.h"

#define ENDS_TIMEOUT_MS       10000
#define RESTORE_FETCH_WAIT_MS 200

static int64_t now_ms(void *arg)
{
    (void)arg;
    return clock_now_ms();
}

static int64_t mono_ms(void *arg)
{
    (void)arg;
    return clock_mono_ms();
}

/* ---- producers ---- */

static void replace_ledger(void *arg)
{
    struct promoter *app = arg;
    struct err err;

    if (kafka_io_producers(app, &err) < 0) {
        svc_fail(app->svc, &err);
        return;
    }
    for (int32_t i = 0; i < app->partitions; i++)
        if (app->slots[i].partition)
            partition_on_ledger_producer_lost(app->slots[i].partition);
}

static void replace_publishers(void *arg)
{
    struct promoter *app = arg;
    struct err err;

    if (kafka_io_producers(app, &err) < 0) {
        svc_fail(app->svc, &err);
        return;
    }
    for (int32_t i = 0; i < app->partitions; i++)
        if (app->slots[i].partition)
            partition_on_publishers_lost(app->slots[i].partition);
}

static void on_fatal(struct bus_producer *producer, const struct err *err, void *arg)
{
    struct promoter *app = arg;

    log_warn("a producer was lost and is replaced",
             LOG_S("producer", producer == app->ledger     ? "ledger"
                               : producer == app->requests ? "requests"
                                                           : "events"),
             LOG_E(err));
    if (producer == app->ledger) {
        bus_producer_free(app->ledger);
        app->ledger = NULL;
        loop_post(app->svc->loop, replace_ledger, app);
    } else {
        bus_producer_free(app->requests);
        bus_producer_free(app->events);
        app->requests = app->events = NULL;
        loop_post(app->svc->loop, replace_publishers, app);
    }
}

int kafka_io_producers(struct promoter *app, struct err *err)
{
    const struct bus_producer_conf conf = {.on_fatal = on_fatal, .arg = app, .quiet = true};

    if (!app->ledger && bus_producer_new(&app->ledger, app->svc->bus, &conf, err) < 0)
        return -1;
    if (!app->requests && bus_producer_new(&app->requests, app->svc->bus, &conf, err) < 0)
        return -1;
    if (!app->events && bus_producer_new(&app->events, app->svc->bus, &conf, err) < 0)
        return -1;
    return 0;
}

static struct bus_producer *producer_of(const struct promoter *app, enum topic topic)
{
    switch ((int)topic) {
    case TOPIC_LEDGER:
        return app->ledger;
    case TOPIC_REQUEST_BUILD:
    case TOPIC_REQUEST_DEPLOY:
    case TOPIC_REQUEST_CUSTOM:
        return app->requests;
    default:
        return app->events;
    }
}

static int no_producer(struct err *err)
{
    return err_set(err, ERR_FATAL, "the producer was lost and is being replaced");
}

static int produce(enum topic topic, int32_t partition, const void *key, size_t key_len,
                   const void *value, size_t value_len, const struct event_header *headers,
                   size_t header_count, bus_ack_fn *ack, void *ack_arg, void *arg, struct err *err)
{
    struct promoter *app = arg;
    struct bus_producer *producer = producer_of(app, topic);

    if (!producer)
        return no_producer(err);
    return bus_produce_raw(producer, topic, partition, key, key_len, value, value_len, headers,
                           header_count, ack, ack_arg, err);
}

static int deadletter(const struct bus_record *record, const char *reason, bus_ack_fn *ack,
                      void *ack_arg, void *arg, struct err *err)
{
    struct promoter *app = arg;

    if (!app->events)
        return no_producer(err);
    return bus_deadletter(app->events, record, reason, ack, ack_arg, err);
}

/* ---- reading ----
 *
 * librdkafka asks Kafka for all of a client's partitions at once, and Kafka looks at each of them
 * whenever a record comes to one: with all inputs in one client a record took twice as long. So
 * what a release waits for again and again has a reader of its own, and the rest, a record or two a
 * release, shares one: each costs memory and time at rest. */

static struct bus_follower **reader_of(struct promoter *app, enum topic topic)
{
    switch ((int)topic) {
    case TOPIC_LEDGER:
        return &app->readers[READER_LEDGER];
    case TOPIC_PROMOTER_STATE:
        return &app->readers[READER_STATE];
    case TOPIC_RESULT_BUILD:
        return &app->readers[READER_BUILD];
    case TOPIC_RESULT_DEPLOY:
        return &app->readers[READER_DEPLOY];
    case TOPIC_RESULT_CUSTOM:
        return &app->readers[READER_CUSTOM];
    default:
        return &app->readers[READER_REST];
    }
}

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct promoter *app = arg;
    struct partition *p = app->slots[record->partition].partition;

    (void)follower;
    if (!p)
        return;
    if (record->topic == TOPIC_LEDGER)
        partition_on_ledger(p, record);
    else if (record->topic == TOPIC_PROMOTER_STATE)
        partition_on_state(p, record);
    else
        partition_on_input(p, record);
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t number, int64_t end,
                   void *arg)
{
    struct promoter *app = arg;
    struct partition *p = app->slots[number].partition;

    (void)follower;
    if (!p)
        return;
    if (topic == TOPIC_LEDGER)
        partition_on_ledger_end(p, end);
    else if (topic == TOPIC_PROMOTER_STATE)
        partition_on_state_end(p, end);
    else
        partition_on_input_end(p, topic, end);
}

/* A reader is made when it is first needed: librdkafka asks for a topic's leaders when it connects,
 * but of one that is added to a connected client only within the second. */
static int follow(enum topic topic, int32_t partition, int64_t offset, void *arg, struct err *err)
{
    struct promoter *app = arg;
    const struct bus_follower_handler handler = {
        .on_record = on_record,
        .on_end = on_end,
        .arg = app,
        /* Partitions are added one after the other while those added before stand at their end. */
        .fetch_wait_ms =
            topic == TOPIC_LEDGER || topic == TOPIC_PROMOTER_STATE ? RESTORE_FETCH_WAIT_MS : 0,
    };

    struct bus_follower **reader = reader_of(app, topic);

    if (!*reader && bus_follower_new(reader, app->svc->bus, &handler, err) < 0)
        return -1;
    if (topic == TOPIC_PROMOTER_STATE && !app->slots[partition].reads_state) {
        app->slots[partition].reads_state = true;
        app->restoring++;
    }
    return bus_follower_add(*reader, topic, partition, offset, err);
}

static void unfollow(enum topic topic, int32_t partition, void *arg)
{
    struct promoter *app = arg;
    struct bus_follower **reader = reader_of(app, topic);

    if (!*reader)
        return;
    bus_follower_remove(*reader, topic, partition);
    if (topic != TOPIC_PROMOTER_STATE || !app->slots[partition].reads_state)
        return;
    /* That of promoter.state lives only while partitions are restored. */
    app->slots[partition].reads_state = false;
    if (--app->restoring == 0) {
        bus_follower_free(*reader);
        *reader = NULL;
    }
}

static void pause_input(enum topic topic, int32_t partition, bool paused, void *arg)
{
    struct bus_follower *reader = *reader_of(arg, topic);

    if (reader)
        bus_follower_pause_partition(reader, topic, partition, paused);
}

static void commit(enum topic topic, int32_t partition, int64_t next_offset, void *arg)
{
    struct promoter *app = arg;

    bus_group_commit_at(app->group, topic, partition, next_offset);
}

static void ask_ends(const struct bus_end *ask, size_t count, partition_ends_fn *done,
                     void *done_arg, void *arg)
{
    struct promoter *app = arg;

    bus_ends(app->svc->bus, ask, count, ENDS_TIMEOUT_MS, done, done_arg);
}

/* ---- time and the rest ---- */

static void wake(struct partition *partition, int64_t at_mono_ms, void *arg)
{
    struct promoter *app = arg;
    struct loop_timer *timer = app->slots[partition->number].timer;
    int64_t delay_ms = at_mono_ms == INT64_MAX ? -1 : at_mono_ms - clock_mono_ms();

    if (at_mono_ms == INT64_MAX)
        loop_timer_cancel(timer);
    else
        loop_timer_arm(timer, delay_ms > 0 ? delay_ms : 0);
}

static const struct engine_environment *environment(const char *name, void *arg)
{
    const struct promoter *app = arg;

    return environments_get(app->environments, name);
}

static bool environments_known(void *arg)
{
    const struct promoter *app = arg;

    return app->environments_known;
}

static void changed(struct partition *partition, void *arg)
{
    (void)partition;
    promoter_readiness(arg);
}

void kafka_io_init(struct promoter *app)
{
    app->io = (struct partition_io){
        .now_ms = now_ms,
        .mono_ms = mono_ms,
        .produce = produce,
        .deadletter = deadletter,
        .follow = follow,
        .unfollow = unfollow,
        .pause = pause_input,
        .commit = commit,
        .ask_ends = ask_ends,
        .wake = wake,
        .environment = environment,
        .environments_known = environments_known,
        .changed = changed,
        .arg = app,
    };
}
