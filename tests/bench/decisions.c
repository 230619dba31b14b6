/* bench_decisions: how many Decisions a second a promoter takes through Kafka.
 *
 *   bench_decisions flood --kafka K --prefix P --partitions N --pipelines C --records R
 *       puts R new revisions into `source`, in turn to C pipelines of bench_release
 *   bench_decisions count --kafka K --prefix P --partitions N --records R
 *       waits until the ledger holds R Decisions on revisions, and tells how long they took by
 * their append times
 *
 * Each such Decision holds a revision, a release, and what becomes of the one before. Prints one
 * JSON object. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "bus/bus.h"
#include "events/event.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/source.pb-c.h"

#define WAIT_MS 300000

struct bench {
    int64_t partitions, pipelines, records;
    struct loop *loop;
    struct bus *bus;
    struct bus_producer *producer;
    int64_t counted, bytes, changes, first_ms, last_ms;
    bool over;
};

static void fail(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_decisions: %s: %s\n", what, err->msg);
    exit(1);
}

static void flushed(bool all, void *arg)
{
    struct bench *bench = arg;

    bench->over = true;
    if (!all)
        fprintf(stderr, "bench_decisions: not all records were acknowledged\n");
}

static void push(struct bench *bench, int64_t number)
{
    Gantry__V1__SourceChanged change = GANTRY__V1__SOURCE_CHANGED__INIT;
    struct event_meta meta = {0};
    char pipeline[32], text[64], after[SHA256_HEX_SIZE];
    struct err err;

    snprintf(pipeline, sizeof pipeline, "bench-%lld", (long long)(number % bench->pipelines));
    snprintf(text, sizeof text, "%lld", (long long)number);
    sha256_hex(text, strlen(text), after);
    after[40] = 0;
    change.pipeline = pipeline;
    change.source = "app";
    change.git = "file:///nowhere.git";
    change.ref = "refs/heads/main";
    change.after = after;
    change.message = "bench";
    change.people_complete = 1;
    change.reported_by = "webhook";
    id_random(meta.id);
    snprintf(meta.subject, sizeof meta.subject, "%s", pipeline);
    while (bus_produce(bench->producer, TOPIC_SOURCE, &meta, &change, NULL, NULL, &err) < 0) {
        if (err.code != ERR_LIMIT)
            fail("source", &err);
        loop_run_for(bench->loop, 10, NULL);
    }
}

static void flood(struct bench *bench)
{
    const struct bus_producer_conf conf = {.quiet = true};
    struct err err;

    if (bus_producer_new(&bench->producer, bench->bus, &conf, &err) < 0)
        fail("producer", &err);
    for (int64_t i = 0; i < bench->records; i++)
        push(bench, i);
    bus_producer_flush(bench->producer, 120000, flushed, bench);
    while (!bench->over)
        loop_run_for(bench->loop, 1000, &bench->over);
    printf("{\"records\": %lld}\n", (long long)bench->records);
}

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct bench *bench = arg;
    const Gantry__V1__Decision *decision;
    void *message;

    (void)follower;
    if (bench->over ||
        event_parse(&message, TOPIC_LEDGER, record->value, record->value_len, NULL) < 0)
        return;
    decision = message;
    if (decision->cause && str_eq(decision->cause->topic, topic_info(TOPIC_SOURCE)->name)) {
        bench->counted++;
        bench->bytes += (int64_t)record->value_len;
        bench->changes += (int64_t)decision->n_changes;
        if (!bench->first_ms || record->timestamp_ms < bench->first_ms)
            bench->first_ms = record->timestamp_ms;
        if (record->timestamp_ms > bench->last_ms)
            bench->last_ms = record->timestamp_ms;
        bench->over = bench->counted >= bench->records;
    }
    event_free(message);
}

static int64_t from_beginning(enum topic topic, int32_t partition, void *arg)
{
    (void)topic;
    (void)partition;
    (void)arg;
    return BUS_BEGINNING;
}

static void count(struct bench *bench)
{
    const struct bus_follower_handler handler = {.on_record = on_record, .arg = bench};
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    struct bus_follower *follower;
    struct err err;
    double seconds;

    if (bus_follower_new(&follower, bench->bus, &handler, &err) < 0 ||
        bus_follower_add_all(follower, TOPIC_LEDGER, (int32_t)bench->partitions, from_beginning,
                             NULL, &err) < 0)
        fail("follower", &err);
    while (!bench->over && clock_mono_ms() < until_ms)
        loop_run_for(bench->loop, 1000, &bench->over);
    if (!bench->over) {
        fprintf(stderr, "bench_decisions: %lld Decisions of %lld\n", (long long)bench->counted,
                (long long)bench->records);
        exit(1);
    }
    seconds = (double)(bench->last_ms - bench->first_ms) / 1000;
    printf("{\"decisions\": %lld, \"seconds\": %.3f, \"per_second\": %.0f, \"bytes\": %.0f, "
           "\"changes\": %.1f}\n",
           (long long)bench->counted, seconds, (double)bench->counted / seconds,
           (double)bench->bytes / (double)bench->counted,
           (double)bench->changes / (double)bench->counted);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"kafka", 1, 0, 'k'},      {"prefix", 1, 0, 'x'},
                                            {"partitions", 1, 0, 'p'}, {"pipelines", 1, 0, 'n'},
                                            {"records", 1, 0, 'r'},    {0}};
    struct bench bench = {.partitions = 12, .pipelines = 1000, .records = 100000};
    struct conf_pair pair = {.key = "bootstrap.servers"};
    struct conf_map kafka = {&pair, 1};
    struct bus_conf conf = {
        .kafka = &kafka, .service = "bench", .instance = "bench", .prefix = "gantry"};
    bool good = argc > 1 && (str_eq(argv[1], "flood") || str_eq(argv[1], "count"));
    struct err err;
    int option;

    while (good && (option = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1) {
        if (option == 'k')
            strv_add(&pair.values, optarg);
        else if (option == 'x')
            conf.prefix = optarg;
        else
            good = option != '?' && str_to_i64(optarg, option == 'p'   ? &bench.partitions
                                                       : option == 'n' ? &bench.pipelines
                                                                       : &bench.records) == 0;
    }
    if (!good || !pair.values.count) {
        fprintf(stderr,
                "usage: bench_decisions flood|count --kafka K --prefix P ...; see its source\n");
        return 2;
    }
    bench.loop = loop_new(2);
    if (bus_new(&bench.bus, bench.loop, &conf, &err) < 0)
        fail("kafka", &err);
    if (str_eq(argv[1], "flood"))
        flood(&bench);
    else
        count(&bench);
    fflush(stdout);
    _exit(0); /* nothing is worth taking apart */
}
