#include "services/promoter/promoter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"

#define DESCRIBE_TIMEOUT_MS 10000
#define RECHECK_BAD_MS      3000
#define RECHECK_GOOD_MS     600000
#define STOP_LOOK_MS        20

static const struct conf_item items[] = {
    {"group", CONF_STR, offsetof(struct promoter_conf, group), NULL,
     "consumer group; empty: <topic-prefix>.promoter. Promoters of two groups both own every "
     "partition: safe, and of use only to tests",
     0},
    {"checkpoint-every", CONF_DURATION, offsetof(struct promoter_conf, checkpoint_every_ms), "60s",
     "how long after a change a partition's state is written to promoter.state", 0},
    {0},
};

/* ---- readiness ---- */

static void explain(const struct promoter *app, struct buf *out)
{
    for (int32_t i = 0; i < app->partitions; i++) {
        const struct partition *p = app->slots[i].partition;

        if (!app->slots[i].assigned)
            continue;
        if (p && p->phase == PARTITION_REFUSED)
            buf_addf(out, "%spartition %d: %s", out->len ? "; " : "", (int)i, p->reason);
        else if (!p || !partition_restored(p))
            buf_addf(out, "%spartition %d: %s", out->len ? "; " : "", (int)i,
                     p ? partition_phase_name(p->phase) : "waits for the topics");
        else if (p->publish_error[0])
            buf_addf(out, "%spartition %d does not publish: %s", out->len ? "; " : "", (int)i,
                     p->publish_error);
    }
}

static void note_clock(struct promoter *app)
{
    for (int32_t i = 0; i < app->partitions; i++) {
        const struct partition *p = app->slots[i].partition;
        char text[128];

        if (!p || p->clock.compared_mono_ms == INT64_MIN || p->clock.clock_ok)
            continue;
        snprintf(text, sizeof(text),
                 "the own clock is off by %lld ms from Kafka's: time-outs and expiries wait",
                 (long long)p->clock.off_ms);
        svc_note(app->svc, "clock", text);
        return;
    }
    svc_note(app->svc, "clock", NULL);
}

void promoter_readiness(struct promoter *app)
{
    struct buf reasons;

    buf_init(&reasons, 4096);
    explain(app, &reasons);
    svc_ready(app->svc, "partitions", reasons.len == 0, buf_cstr(&reasons));
    note_clock(app);
    buf_release(&reasons);
}

/* ---- partitions come and go ---- */

static void open_slot(struct promoter *app, int32_t number)
{
    const struct partition_conf conf = {
        .number = number,
        .count = app->partitions,
        .checkpoint_every_ms = app->conf.checkpoint_every_ms,
        .io = &app->io,
        .metrics = &app->metrics,
    };

    if (app->slots[number].assigned && !app->slots[number].partition && app->topics_good &&
        !app->stopping)
        app->slots[number].partition = partition_new(&conf);
}

static void close_slot(struct promoter *app, int32_t number)
{
    struct partition *partition = app->slots[number].partition;

    app->slots[number].partition = NULL;
    partition_close(partition);
}

static void on_timer(void *arg)
{
    struct promoter_slot *slot = arg;

    if (slot->partition)
        partition_tick(slot->partition);
}

static void on_assign(struct bus_group *group, int32_t number, void *arg)
{
    struct promoter *app = arg;

    (void)group;
    if (number >= app->partitions)
        return;
    log_info("partition assigned", LOG_I("partition", number));
    app->slots[number].assigned = true;
    open_slot(app, number);
    promoter_readiness(app);
}

/* The group only says whose a partition is: it stays paused, and readers of one topic each read. */
static void on_group_record(struct bus_group *group, const struct bus_record *record, void *arg)
{
    (void)group;
    (void)record;
    (void)arg;
}

static void on_revoke(struct bus_group *group, int32_t number, bool lost, void *arg)
{
    struct promoter *app = arg;

    (void)group;
    if (number >= app->partitions)
        return;
    log_info("partition revoked", LOG_I("partition", number), LOG_B("lost", lost));
    app->slots[number].assigned = false;
    close_slot(app, number);
    promoter_readiness(app);
}

/* ---- environments ---- */

static void on_definition(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct promoter *app = arg;

    (void)follower;
    if (!environments_apply(app->environments, record))
        return;
    for (int32_t i = 0; app->environments_known && i < app->partitions; i++)
        if (app->slots[i].partition)
            partition_look(app->slots[i].partition);
}

static void on_definition_end(struct bus_follower *follower, enum topic topic, int32_t number,
                              int64_t end, void *arg)
{
    struct promoter *app = arg;

    (void)topic;
    (void)number;
    (void)end;
    if (app->environments_known || !bus_follower_caught_up(follower))
        return;
    app->environments_known = true;
    log_info("environments read", LOG_I("count", environments_count(app->environments)));
    svc_ready(app->svc, "environments", true, "");
    for (int32_t i = 0; i < app->partitions; i++)
        if (app->slots[i].partition)
            partition_poke(app->slots[i].partition);
}

/* ---- topics ---- */

/* Offset 0 rather than the beginning, which is a question of its own to Kafka; what is gone is
 * skipped. */
static int64_t from_first(enum topic topic, int32_t partition, void *arg)
{
    (void)topic;
    (void)partition;
    (void)arg;
    return 0;
}

static int begin(struct promoter *app, int32_t partitions, struct err *err)
{
    const struct bus_group_handler group_handler = {
        .on_record = on_group_record, .on_assign = on_assign, .on_revoke = on_revoke, .arg = app};
    const struct bus_follower_handler definition_handler = {
        .on_record = on_definition, .on_end = on_definition_end, .arg = app};
    const struct bus_group_conf group_conf = {
        .topics = partition_inputs,
        .topic_count = PARTITION_INPUTS,
        .group = str_empty(app->conf.group) ? NULL : app->conf.group,
        .manual_start = true,
    };

    app->partitions = partitions;
    app->slots = mem_alloc((size_t)partitions * sizeof(*app->slots));
    for (int32_t i = 0; i < partitions; i++) {
        app->slots[i].app = app;
        app->slots[i].timer = loop_timer_new(app->svc->loop, on_timer, &app->slots[i]);
    }
    if (bus_follower_new(&app->definition_reader, app->svc->bus, &definition_handler, err) < 0 ||
        bus_follower_add_all(app->definition_reader, TOPIC_DEFINITION, partitions, from_first, NULL,
                             err) < 0)
        return -1;
    return bus_group_new(&app->group, app->svc->bus, &group_conf, &group_handler, err);
}

/* All topics whose partition p is worked on together must have as many; *partitions is it. */
static void check_counts(const struct bus_topic_state *states, size_t count, int32_t *partitions,
                         struct strv *problems)
{
    *partitions = 0;
    for (size_t i = 0; i < count; i++)
        if (states[i].topic == TOPIC_LEDGER && states[i].exists)
            *partitions = states[i].partitions;
    for (size_t i = 0; i < count; i++) {
        bool together = states[i].topic == TOPIC_PROMOTER_STATE;

        for (size_t j = 0; j < PARTITION_INPUTS; j++)
            together = together || states[i].topic == partition_inputs[j];
        if (together && states[i].exists && *partitions && states[i].partitions != *partitions)
            strv_addf(problems, "topic %s has %d partitions but ledger has %d: they must be equal",
                      topic_info(states[i].topic)->name, (int)states[i].partitions,
                      (int)*partitions);
    }
}

static char *joined(const struct strv *problems)
{
    struct buf text;

    buf_init(&text, 8192);
    for (size_t i = 0; i < problems->count; i++)
        buf_addf(&text, "%s%s", i ? "; " : "", problems->items[i]);
    return buf_detach(&text);
}

static void topics_bad(struct promoter *app, const struct strv *problems)
{
    char *text = joined(problems);

    if (app->topics_good || !str_eq(app->topics_problem, text))
        log_error("the topics are not as they must be: nothing is decided", LOG_S("error", text));
    free(app->topics_problem);
    app->topics_problem = text;
    app->topics_good = false;
    svc_ready(app->svc, "topics", false, text);
    for (int32_t i = 0; i < app->partitions; i++) {
        close_slot(app, i);
    }
    promoter_readiness(app);
}

static void topics_are_good(struct promoter *app, int32_t partitions)
{
    struct err err;

    svc_ready(app->svc, "topics", true, "");
    app->topics_good = true;
    if (!app->partitions && begin(app, partitions, &err) < 0) {
        svc_fail(app->svc, &err);
        return;
    }
    for (int32_t i = 0; i < app->partitions; i++)
        open_slot(app, i);
    promoter_readiness(app);
}

static void on_topics(const struct bus_topic_state *states, size_t count, const struct err *err,
                      void *arg)
{
    struct promoter *app = arg;
    struct strv problems = {0};
    int32_t partitions;

    app->checking = false;
    if (app->stopping)
        return;
    if (err) {
        if (!app->topics_good)
            svc_ready(app->svc, "topics", false, err->msg);
        loop_timer_arm(app->check_timer, PARTITION_RETRY_MS);
        return;
    }
    bus_topics_check(states, count, app->svc->conf.durability, &problems);
    check_counts(states, count, &partitions, &problems);
    if (app->partitions && partitions != app->partitions)
        strv_addf(&problems,
                  "the partition count was %d and is now %d: put it right, or begin a new ledger "
                  "under another topic-prefix",
                  (int)app->partitions, (int)partitions);
    if (problems.count > 0 || partitions == 0)
        topics_bad(app, &problems);
    else
        topics_are_good(app, partitions);
    loop_timer_arm(app->check_timer, app->topics_good ? RECHECK_GOOD_MS : RECHECK_BAD_MS);
    strv_release(&problems);
}

static void check_topics(void *arg)
{
    struct promoter *app = arg;

    if (app->checking || app->stopping)
        return;
    app->checking = true;
    bus_topics_describe(app->svc->bus, DESCRIBE_TIMEOUT_MS, on_topics, app);
}

/* ---- life ---- */

static struct metric *decisions(struct metrics *m, const char *labels)
{
    return metrics_counter(m, "gantry_promoter_decisions_total", labels,
                           "Decisions appended, by what caused them; foreign: of another promoter");
}

static void make_metrics(struct promoter *app)
{
    struct metrics *m = app->svc->metrics;

    app->metrics = (struct partition_metrics){
        .decisions_input = decisions(m, "cause=\"input\""),
        .decisions_clock = decisions(m, "cause=\"clock\""),
        .decisions_empty = decisions(m, "cause=\"none\""),
        .decisions_foreign = decisions(m, "cause=\"foreign\""),
        .voids = metrics_counter(m, "gantry_promoter_void_records_total", NULL,
                                 "Records of the ledger that did not count"),
        .drops = metrics_counter(m, "gantry_promoter_drops_total", NULL,
                                 "Speculations given up with Decisions in flight"),
        .deadletters = metrics_counter(m, "gantry_promoter_deadletters_total", NULL,
                                       "Inputs put into deadletter"),
        .relayed = metrics_counter(m, "gantry_promoter_moved_total", NULL,
                                   "Misplaced inputs produced again to their partition"),
        .definitions_ignored = metrics_counter(m, "gantry_promoter_definitions_ignored_total", NULL,
                                               "Definitions that do not parse"),
        .commands_refused = metrics_counter(m, "gantry_promoter_commands_refused_total", NULL,
                                            "Commands refused by a Decision"),
        .published = metrics_counter(m, "gantry_promoter_published_total", NULL,
                                     "Events and requests acknowledged"),
        .in_flight = metrics_gauge(m, "gantry_promoter_in_flight", NULL,
                                   "Decisions appended and not read back"),
        .unpublished = metrics_gauge(m, "gantry_promoter_unpublished", NULL,
                                     "Decisions that counted and are not published whole"),
        .publish_seconds =
            metrics_histogram(m, "gantry_promoter_publish_seconds", NULL,
                              "From an input's append to the acknowledgement of all it caused"),
        .restore_seconds =
            metrics_histogram(m, "gantry_promoter_restore_seconds", NULL, "Restoring a partition"),
        .checkpoints =
            metrics_counter(m, "gantry_promoter_checkpoints_total", NULL, "Checkpoints written"),
        .snapshots =
            metrics_counter(m, "gantry_promoter_snapshots_total", NULL, "Snapshots written"),
    };
}

static int start(struct svc *svc, struct err *err)
{
    struct promoter *app = svc->app;

    app->svc = svc;
    app->environments = environments_new();
    make_metrics(app);
    kafka_io_init(app);
    svc_ready(svc, "topics", false, "not checked yet");
    svc_ready(svc, "environments", false, "not read yet");
    svc_ready(svc, "partitions", true, "");
    if (str_eq(svc->conf.durability, "single"))
        svc_note(svc, "durability", "single: the ledger is on one broker alone");
    if (kafka_io_producers(app, err) < 0)
        return -1;
    app->check_timer = loop_timer_new(svc->loop, check_topics, app);
    check_topics(app);
    return 0;
}

static void group_closed(void *arg)
{
    struct promoter *app = arg;

    app->group = NULL;
    svc_stopped(app->svc);
}

static void flushed(bool all, void *arg)
{
    struct promoter *app = arg;

    app->unflushed = app->unflushed || !all;
    if (--app->flushing > 0)
        return;
    if (app->unflushed)
        log_warn("stopping with records that Kafka has not acknowledged: they are sent again");
    for (int32_t i = 0; i < app->partitions; i++)
        close_slot(app, i);
    if (app->group)
        bus_group_close(app->group, group_closed, app);
    else
        svc_stopped(app->svc);
}

static void flush(struct promoter *app, struct bus_producer *producer)
{
    if (producer)
        bus_producer_flush(producer, app->svc->conf.shutdown_grace_ms / 4, flushed, app);
    else
        flushed(false, app);
}

static void look_at_rest(void *arg)
{
    struct promoter *app = arg;
    bool rest = true;

    for (int32_t i = 0; i < app->partitions; i++) {
        struct partition *p = app->slots[i].partition;

        if (!p)
            continue;
        partition_stop(p);
        rest = rest && partition_at_rest(p);
    }
    if (!rest && clock_mono_ms() < app->stop_by_mono_ms) {
        loop_timer_arm(app->stop_timer, STOP_LOOK_MS);
        return;
    }
    app->flushing = 2;
    flush(app, app->requests);
    flush(app, app->events);
}

static void stop(struct svc *svc)
{
    struct promoter *app = svc->app;

    app->stopping = true;
    loop_timer_cancel(app->check_timer);
    app->stop_by_mono_ms = clock_mono_ms() + svc->conf.shutdown_grace_ms / 2;
    app->stop_timer = loop_timer_new(svc->loop, look_at_rest, app);
    look_at_rest(app);
}

static void release(struct svc *svc)
{
    struct promoter *app = svc->app;

    loop_timer_free(app->check_timer);
    loop_timer_free(app->stop_timer);
    bus_producer_free(app->ledger);
    bus_producer_free(app->requests);
    bus_producer_free(app->events);
    bus_follower_free(app->definition_reader);
    for (int i = 0; i < READER_COUNT; i++)
        bus_follower_free(app->readers[i]);
    for (int32_t i = 0; i < app->partitions; i++)
        loop_timer_free(app->slots[i].timer);
    free(app->slots);
    free(app->topics_problem);
    environments_free(app->environments);
}

int promoter_main(int argc, char **argv)
{
    struct promoter app = {0};
    const struct svc_def def = {
        .name = "promoter",
        .summary = "decides what happens next in each pipeline, and keeps the ledger",
        .port = 8082,
        .items = items,
        .conf = &app.conf,
        .app = &app,
        .start = start,
        .stop = stop,
        .release = release,
    };

    return svc_run(argc, argv, &def);
}
