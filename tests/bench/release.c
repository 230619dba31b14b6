/* Releases through a running Gantry, timed from the first record to the last: a SourceChanged goes
 * to `source` as the source-watcher would send it, and the release's end comes back on `event`.
 * Answers custom actions at once.
 *
 *   bench_release define  --kafka K --prefix P --partitions N --pipelines C --kind noop|process
 * [--git URL] bench_release run     --kafka K --prefix P --partitions N --pipelines C --seconds S
 * (--closed OUTSTANDING | --rate PER_S)
 *                         [--commits A,B] [--source] [--respond] [--first F]
 *   bench_release first   --kafka K --prefix P --partitions N --git URL [--first F] -- COMMAND...
 *
 * `first` leaves a SourceChanged in Kafka, starts COMMAND (a promoter) and prints how long the
 * release took to start; the command is killed after.
 *
 * Prints one JSON object. Pipelines are named bench-0, bench-1 ...; one release at a time in each.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "bus/bus.h"
#include "definition/definition.h"
#include "events/event.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"
#include "loop/loop.h"

#define SETTLE_MS 3000

struct pipeline {
    char name[64];
    char commit[65]; /* its head; "" before the first */
    char previous_id[64];
    int64_t sent_us; /* 0: idle */
    uint64_t turn;
};

struct bench {
    struct loop *loop;
    struct bus *bus;
    struct bus_producer *producer;
    struct bus_group *responder;
    struct bus_follower *events;
    struct loop_timer *timer;
    struct pipeline *pipelines;
    int64_t count, first, seconds, closed, partitions;
    double rate;
    const char *kind, *git, *image;
    char commits[2][65];
    bool respond;
    size_t next; /* pipeline to start next */
    int64_t begin_us, end_us;
    double owed; /* starts that the rate asks for and that are not made */
    double *ms;  /* latencies */
    size_t done, cap, sent, failed, skipped;
    bool over;
};

static void fail(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_release: %s: %s\n", what, err->msg);
    exit(1);
}

/* ---- definitions ---- */

static void define_text(const struct bench *bench, const char *name, struct buf *out)
{
    bool noop = strcmp(bench->kind, "noop") == 0;
    static const char *const stages[] = {"build", "dev", "staging", "prod"};

    buf_init(out, 16384);
    buf_addf(out,
             "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: %s}\nspec:\n  sources:\n"
             "    - {name: app, git: '%s', branches: ['**'], poll: 0}\n  stages:\n",
             name, bench->git);
    for (size_t i = 0; i < 4; i++) {
        buf_addf(out, "    - name: %s\n      steps:\n", stages[i]);
        if (noop)
            buf_adds(out, "        - custom/noop: {name: act}\n");
        else if (i == 0)
            buf_addf(out,
                     "        - build: {name: image, source: app, buildspec: buildspec.yml, "
                     "image: '%s'}\n",
                     bench->image);
        else
            buf_addf(out, "        - deploy: {name: app, environment: %s}\n", stages[i]);
    }
}

static void produce_definition(struct bench *bench, const char *kind, const char *name,
                               const struct buf *text)
{
    Gantry__V1__Definition def = GANTRY__V1__DEFINITION__INIT;
    struct event_meta meta = {0};
    uint8_t hash[32];
    struct err err;

    sha256(text->data, text->len, hash);
    def.kind = (char *)kind;
    def.name = (char *)name;
    def.yaml = (ProtobufCBinaryData){text->len, (uint8_t *)text->data};
    def.sha256 = (ProtobufCBinaryData){sizeof hash, hash};
    def.author = "bench";
    id_random(meta.id);
    snprintf(meta.subject, sizeof meta.subject, "%s", name);
    while (bus_produce(bench->producer, TOPIC_DEFINITION, &meta, &def, NULL, NULL, &err) < 0) {
        if (err.code != ERR_LIMIT)
            fail(name, &err);
        loop_run_for(bench->loop, 10, NULL);
    }
}

static void flushed(bool all, void *arg)
{
    struct bench *bench = arg;

    bench->over = true;
    if (!all)
        fprintf(stderr, "bench_release: not all records were acknowledged\n");
}

static void define(struct bench *bench)
{
    static const char *const environments[] = {"dev", "staging", "prod"};
    struct buf text;

    for (size_t i = 0; i < 3; i++) {
        buf_init(&text, 1024);
        buf_addf(&text,
                 "apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: %s}\n"
                 "spec: {deployer: default, driver: command, command: {run: deploy}}\n",
                 environments[i]);
        produce_definition(bench, "Environment", environments[i], &text);
        buf_release(&text);
    }
    for (int64_t i = 0; i < bench->count; i++) {
        define_text(bench, bench->pipelines[i].name, &text);
        produce_definition(bench, "Pipeline", bench->pipelines[i].name, &text);
        buf_release(&text);
    }
    bus_producer_flush(bench->producer, 120000, flushed, bench);
    while (!bench->over)
        loop_run_for(bench->loop, 1000, &bench->over);
    printf("{\"defined\": %lld}\n", (long long)bench->count);
}

/* ---- answering ---- */

static void on_request(struct bus_group *group, const struct bus_record *record, void *arg)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    struct bench *bench = arg;
    struct event_meta meta = {0};
    struct err err;
    void *message;
    const Gantry__V1__ActionRequest *request;

    if (event_unpack(&message, record->topic, record->value, record->value_len, &err) == 0) {
        request = message;
        result.pipeline = request->pipeline;
        result.run_id = request->run_id;
        result.attempt = 1;
        result.number = 1;
        result.executor = "bench";
        result.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
        result.finished = &finished;
        finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
        finished.reason = "done";
        event_id_result(meta.id, request->run_id, 1, 1);
        snprintf(meta.subject, sizeof meta.subject, "%s/%llu", request->pipeline,
                 (unsigned long long)request->release);
        if (request->verb == GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN &&
            bus_produce(bench->producer, TOPIC_RESULT_CUSTOM, &meta, &result, NULL, NULL, &err) < 0)
            fail("answer", &err);
        event_free(message);
    }
    bus_group_done(group, record->topic, record->partition, record->offset);
}

/* ---- releasing ---- */

static void start_release(struct bench *bench, struct pipeline *pipeline)
{
    Gantry__V1__SourceChanged change = GANTRY__V1__SOURCE_CHANGED__INIT;
    struct event_meta meta = {0};
    char made[65], number[21];
    const char *after = bench->commits[pipeline->turn % 2];
    struct err err;

    if (!*bench->commits[0]) { /* nobody looks at the commit: any name serves */
        id_num(number, (uint64_t)clock_mono_us() + pipeline->turn);
        sha256_hex(number, strlen(number), made);
        made[40] = 0;
        after = made;
    }
    pipeline->turn++;
    change.pipeline = pipeline->name;
    change.source = "app";
    change.git = (char *)bench->git;
    change.ref = "refs/heads/main";
    change.before = pipeline->commit;
    change.after = (char *)after;
    change.message = "bench";
    change.people_complete = 1;
    change.reported_by = "webhook";
    event_id_source(meta.id, pipeline->name, "app", change.ref, change.before, after,
                    pipeline->previous_id);
    snprintf(meta.subject, sizeof meta.subject, "%s", pipeline->name);
    pipeline->sent_us = clock_mono_us();
    bench->sent++;
    if (bus_produce(bench->producer, TOPIC_SOURCE, &meta, &change, NULL, NULL, &err) < 0)
        fail("source", &err);
    snprintf(pipeline->previous_id, sizeof pipeline->previous_id, "%s", meta.id);
    snprintf(pipeline->commit, sizeof pipeline->commit, "%s", after);
}

/* The next idle pipeline; false: all are busy. */
static bool start_next(struct bench *bench)
{
    for (int64_t i = 0; i < bench->count; i++) {
        struct pipeline *pipeline = &bench->pipelines[bench->next++ % (size_t)bench->count];

        if (pipeline->sent_us == 0) {
            start_release(bench, pipeline);
            return true;
        }
    }
    return false;
}

static void on_event(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct bench *bench = arg;
    const Gantry__V1__ReleaseEvent *event;
    struct pipeline *pipeline;
    int64_t index, now = clock_mono_us();
    struct err err;
    void *message;

    (void)follower;
    if (event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0)
        return;
    event = message;
    if (event->fact_case == GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_ENDED &&
        str_starts(event->pipeline, "bench-") && str_to_i64(event->pipeline + 6, &index) == 0 &&
        index >= bench->first && index < bench->first + bench->count) {
        pipeline = &bench->pipelines[index - bench->first];
        if (pipeline->sent_us) {
            if (event->release_ended->status != GANTRY__V1__STATUS__STATUS_SUCCEEDED) {
                bench->failed++;
                if (bench->failed == 1)
                    fprintf(stderr, "bench_release: %s failed: %s\n", event->pipeline,
                            event->release_ended->reason);
            }
            if (bench->done == bench->cap) {
                bench->cap = bench->cap ? bench->cap * 2 : 4096;
                bench->ms = mem_realloc(bench->ms, bench->cap, sizeof *bench->ms);
            }
            bench->ms[bench->done++] = (double)(now - pipeline->sent_us) / 1000.0;
            pipeline->sent_us = 0;
            if (bench->closed && now < bench->end_us)
                start_next(bench);
        }
    }
    event_free(message);
}

static void on_tick(void *arg)
{
    struct bench *bench = arg;
    int64_t now = clock_mono_us();
    double due = (double)(now - bench->begin_us) / 1e6 * bench->rate;

    if (now >= bench->end_us + SETTLE_MS * 1000) {
        bench->over = true;
        return;
    }
    while (now < bench->end_us && (double)(bench->sent + bench->skipped) < due)
        if (!start_next(bench))
            bench->skipped++;
    loop_timer_arm(bench->timer, 1);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(const struct bench *bench, double q)
{
    size_t at = (size_t)((double)bench->done * q);

    return bench->done ? bench->ms[at < bench->done ? at : bench->done - 1] : 0;
}

static void report(struct bench *bench)
{
    double elapsed = (double)(bench->end_us - bench->begin_us) / 1e6;

    qsort(bench->ms, bench->done, sizeof *bench->ms, by_size);
    printf("{\"releases\": %zu, \"failed\": %zu, \"skipped\": %zu, \"per_minute\": %.0f, \"p50\": "
           "%.3f, \"p95\": %.3f, "
           "\"p99\": %.3f}\n",
           bench->done, bench->failed, bench->skipped, (double)bench->done / elapsed * 60,
           quantile(bench, 0.5), quantile(bench, 0.95), quantile(bench, 0.99));
}

/* ---- a promoter's start ---- */

static void on_first_event(struct bus_follower *follower, const struct bus_record *record,
                           void *arg)
{
    struct bench *bench = arg;
    const Gantry__V1__ReleaseEvent *event;
    struct err err;
    void *message;

    (void)follower;
    if (event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0)
        return;
    event = message;
    if (event->fact_case == GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STARTED &&
        str_eq(event->pipeline, bench->pipelines[0].name)) {
        bench->end_us = clock_mono_us();
        bench->over = true;
    }
    event_free(message);
}

static int64_t from_end(enum topic topic, int32_t partition, void *arg)
{
    (void)topic;
    (void)partition;
    (void)arg;
    return BUS_END;
}

static void run(struct bench *bench)
{
    static const enum topic requests[] = {TOPIC_REQUEST_CUSTOM};
    const struct bus_follower_handler follower = {.on_record = on_event, .arg = bench};
    const struct bus_group_handler handler = {.on_record = on_request, .arg = bench};
    const struct bus_group_conf group = {.topics = requests, .topic_count = 1};
    struct err err;

    if (bench->respond && bus_group_new(&bench->responder, bench->bus, &group, &handler, &err) < 0)
        fail("group", &err);
    if (bus_follower_new(&bench->events, bench->bus, &follower, &err) < 0 ||
        bus_follower_add_all(bench->events, TOPIC_EVENT, (int32_t)bench->partitions, from_end, NULL,
                             &err) < 0)
        fail("follower", &err);
    while (!bus_follower_caught_up(bench->events) ||
           (bench->respond && !bus_group_owns(bench->responder, 0)))
        loop_run_for(bench->loop, 50, NULL);
    loop_run_for(bench->loop, 1000, NULL);
    bench->begin_us = clock_mono_us();
    bench->end_us = bench->begin_us + bench->seconds * 1000000;
    for (int64_t i = 0; i < bench->closed; i++)
        start_next(bench);
    bench->timer = loop_timer_new(bench->loop, on_tick, bench);
    loop_timer_arm(bench->timer, 1);
    while (!bench->over)
        loop_run_for(bench->loop, 1000, &bench->over);
    report(bench);
}

static void first(struct bench *bench, char **command)
{
    const struct bus_follower_handler follower = {.on_record = on_first_event, .arg = bench};
    struct err err;
    pid_t pid;

    if (bus_follower_new(&bench->events, bench->bus, &follower, &err) < 0 ||
        bus_follower_add_all(bench->events, TOPIC_EVENT, (int32_t)bench->partitions, from_end, NULL,
                             &err) < 0)
        fail("follower", &err);
    while (!bus_follower_caught_up(bench->events))
        loop_run_for(bench->loop, 50, NULL);
    start_release(bench, &bench->pipelines[0]);
    while (bus_producer_waiting(bench->producer))
        loop_run_for(bench->loop, 10, NULL);
    bench->begin_us = clock_mono_us();
    pid = fork();
    if (pid == 0) {
        execv(command[0], command);
        _exit(127);
    }
    while (!bench->over && clock_mono_us() - bench->begin_us < 120000000)
        loop_run_for(bench->loop, 1000, &bench->over);
    kill(pid, SIGKILL);
    printf("{\"ms\": %.1f}\n", (double)(bench->end_us - bench->begin_us) / 1000.0);
}

static int usage(void)
{
    fprintf(stderr, "usage: bench_release define|run|first --kafka K --prefix P --partitions N "
                    "--pipelines C ...; see its source\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"kafka", 1, 0, 'k'},      {"prefix", 1, 0, 'x'},
        {"partitions", 1, 0, 'p'}, {"pipelines", 1, 0, 'n'},
        {"kind", 1, 0, 't'},       {"git", 1, 0, 'g'},
        {"image", 1, 0, 'i'},      {"seconds", 1, 0, 's'},
        {"closed", 1, 0, 'c'},     {"rate", 1, 0, 'r'},
        {"commits", 1, 0, 'm'},    {"respond", 0, 0, 'a'},
        {"first", 1, 0, 'f'},      {0},
    };
    struct bench bench = {.count = 1,
                          .partitions = 12,
                          .seconds = 10,
                          .kind = "noop",
                          .git = "file:///nowhere.git",
                          .image = "127.0.0.1:9/bench"};
    struct conf_pair pair = {.key = "bootstrap.servers"};
    struct conf_map kafka = {&pair, 1};
    struct bus_conf conf = {
        .kafka = &kafka, .service = "bench", .instance = "bench", .prefix = "gantry"};
    struct bus_producer_conf producer = {.quiet = true};
    struct err err;
    int option;

    if (argc < 2 ||
        (!str_eq(argv[1], "define") && !str_eq(argv[1], "run") && !str_eq(argv[1], "first")))
        return usage();
    while ((option = getopt_long(argc - 1, argv + 1, "+", options, NULL)) != -1) {
        switch (option) {
        case 'k':
            strv_add(&pair.values, optarg);
            break;
        case 'x':
            conf.prefix = optarg;
            break;
        case 'p':
            str_to_i64(optarg, &bench.partitions);
            break;
        case 'n':
            str_to_i64(optarg, &bench.count);
            break;
        case 't':
            bench.kind = optarg;
            break;
        case 'i':
            bench.image = optarg;
            break;
        case 'g':
            bench.git = optarg;
            break;
        case 's':
            str_to_i64(optarg, &bench.seconds);
            break;
        case 'c':
            str_to_i64(optarg, &bench.closed);
            break;
        case 'r':
            str_to_double(optarg, &bench.rate);
            break;
        case 'f':
            str_to_i64(optarg, &bench.first);
            break;
        case 'm':
            if (sscanf(optarg, "%64[0-9a-f],%64[0-9a-f]", bench.commits[0], bench.commits[1]) != 2)
                return usage();
            break;
        case 'a':
            bench.respond = true;
            break;
        default:
            return usage();
        }
    }
    if (!pair.values.count)
        return usage();
    bench.pipelines = mem_alloc(sizeof *bench.pipelines * (size_t)bench.count);
    for (int64_t i = 0; i < bench.count; i++)
        snprintf(bench.pipelines[i].name, sizeof bench.pipelines[i].name, "bench-%lld",
                 (long long)(bench.first + i));
    bench.loop = loop_new(2);
    if (bus_new(&bench.bus, bench.loop, &conf, &err) < 0 ||
        bus_producer_new(&bench.producer, bench.bus, &producer, &err) < 0)
        fail("kafka", &err);
    if (strcmp(argv[1], "define") == 0)
        define(&bench);
    else if (strcmp(argv[1], "run") == 0)
        run(&bench);
    else
        first(&bench, argv + 1 + optind);
    fflush(stdout);
    _exit(0); /* nothing is worth taking apart */
}
