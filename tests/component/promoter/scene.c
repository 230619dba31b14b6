#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "definition/definition.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"

const char scene_yaml[] = "apiVersion: gantry/v1\n"
                          "kind: Pipeline\n"
                          "metadata: {name: NAME}\n"
                          "spec:\n"
                          "  sources:\n"
                          "    - {name: app, git: https://git.example/app.git, branches: [main]}\n"
                          "  stages:\n"
                          "    - name: one\n"
                          "      steps:\n"
                          "        - custom/noop: {name: a, timeout: 2m}\n"
                          "        - parallel:\n"
                          "            - custom/noop: {name: b}\n"
                          "            - custom/noop: {name: c}\n"
                          "    - name: two\n"
                          "      steps:\n"
                          "        - custom/noop: {name: d}\n";

void scene_init(struct scene *scene, struct sim *sim)
{
    *scene = (struct scene){.sim = sim, .runs = map_new(NULL)};
}

void scene_release(struct scene *scene)
{
    map_free(scene->runs);
}

const char *scene_pipeline(int32_t partition)
{
    static char names[SIM_PARTITIONS][16];

    for (int i = 0; !names[partition][0]; i++) {
        char name[16];

        snprintf(name, sizeof(name), "p%d", i);
        if (topic_partition(name, strlen(name), SIM_PARTITIONS) == partition)
            snprintf(names[partition], sizeof(names[partition]), "%s", name);
    }
    return names[partition];
}

/* The template for a pipeline: NAME becomes its name. Caller frees. */
static char *yaml_for(const char *template, const char *pipeline)
{
    const char *at = strstr(template, "NAME");

    return mem_printf("%.*s%s%s", (int)(at - template), template, pipeline, at + 4);
}

void scene_define(struct scene *scene, const char *pipeline, const char *yaml)
{
    Gantry__V1__Definition message = GANTRY__V1__DEFINITION__INIT;
    char *text = yaml_for(yaml, pipeline);
    char id[ID_SIZE];

    sha256(text, strlen(text), scene->definition);
    id_random(id);
    message.kind = (char *)def_kind_name(DEF_PIPELINE);
    message.name = (char *)pipeline;
    message.yaml.data = (uint8_t *)text;
    message.yaml.len = strlen(text);
    message.sha256.data = scene->definition;
    message.sha256.len = SHA256_SIZE;
    message.author = "token:test";
    sim_put(scene->sim, TOPIC_DEFINITION, -1, pipeline, id, &message);
    free(text);
}

const char *scene_push(struct scene *scene, const char *pipeline)
{
    static char id[ID_SIZE];
    Gantry__V1__SourceChanged message = GANTRY__V1__SOURCE_CHANGED__INIT;
    char commit[41], number[21];

    snprintf(commit, sizeof(commit), "%040llx", (unsigned long long)++scene->sources);
    id_make(id, "source", pipeline, id_num(number, scene->sources), NULL);
    message.pipeline = (char *)pipeline;
    message.source = "app";
    message.git = "https://git.example/app.git";
    message.ref = "refs/heads/main";
    message.before = "";
    message.after = commit;
    message.reported_by = "poll";
    sim_put(scene->sim, TOPIC_SOURCE, -1, pipeline, id, &message);
    return id;
}

const char *scene_start_release(struct scene *scene, const char *pipeline, const char *yaml)
{
    static char id[ID_SIZE];
    Gantry__V1__Command message = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__StartRelease start = GANTRY__V1__START_RELEASE__INIT;
    Gantry__V1__Actor caller = GANTRY__V1__ACTOR__INIT;
    char *text = yaml_for(yaml, pipeline);
    uint8_t hash[SHA256_SIZE];
    char number[21];

    sha256(text, strlen(text), hash);
    id_make(id, "command", pipeline, id_num(number, ++scene->commands), NULL);
    caller.subject = "token:test";
    message.pipeline = (char *)pipeline;
    message.caller = &caller;
    message.definition_sha256.data = hash;
    message.definition_sha256.len = SHA256_SIZE;
    message.what_case = GANTRY__V1__COMMAND__WHAT_START;
    message.start = &start;
    sim_put(scene->sim, TOPIC_COMMAND, -1, pipeline, id, &message);
    free(text);
    return id;
}

void scene_push_garbage(struct scene *scene, const char *pipeline)
{
    char text[32];

    snprintf(text, sizeof(text), "\xff garbage %llu", (unsigned long long)++scene->bad);
    sim_put_raw(scene->sim, TOPIC_SOURCE, -1, pipeline, text + 1, text, strlen(text));
}

/* ---- the executor ---- */

static void answer(struct scene *scene, const Gantry__V1__ActionRequest *request)
{
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    char id[ID_SIZE];

    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    result.pipeline = request->pipeline;
    result.run_id = request->run_id;
    result.attempt = 1;
    result.number = 1;
    result.executor = "test";
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    result.finished = &finished;
    event_id_result(id, request->run_id, 1, 1);
    sim_put(scene->sim, TOPIC_RESULT_CUSTOM, -1, request->pipeline, id, &result);
}

bool scene_execute(struct scene *scene)
{
    if (scene->mute)
        return false;
    for (int32_t i = 0; i < SIM_PARTITIONS; i++) {
        const struct sim_log *log = &scene->sim->logs[TOPIC_REQUEST_CUSTOM][i];

        while (scene->executed[i] < (int64_t)log->count) {
            const struct sim_record *record = log->items[scene->executed[i]++];
            Gantry__V1__ActionRequest *request;
            struct err err;

            if (event_unpack((void **)&request, TOPIC_REQUEST_CUSTOM, record->value,
                             record->value_len, &err) < 0)
                fail_msg("a request cannot be read: %s", err.msg);
            bool seen = map_get(scene->runs, request->run_id) != NULL;

            if (request->verb == GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN &&
                (!seen || sim_random(scene->sim, 4) == 0)) {
                map_set(scene->runs, request->run_id, scene);
                answer(scene, request);
                event_free(request);
                return true;
            }
            event_free(request);
        }
    }
    return false;
}

void scene_settle(struct scene *scene)
{
    do {
        sim_settle(scene->sim, 1000);
    } while (scene_execute(scene));
    sim_settle(scene->sim, 200000);
    while (scene_execute(scene))
        sim_settle(scene->sim, 200000);
}

/* ---- what must hold ---- */

struct walk {
    struct chain chain;
    uint64_t voids;
    struct map *caused;    /* ce_id -> count */
    struct map *published; /* ce_id of all that counted Decisions publish */
    struct map *states;    /* pipeline -> struct engine_state */
    size_t changes[64];
    int64_t changed_ms[64];
};

static void free_state(void *state)
{
    engine_state_free(state);
}

static struct engine_state *state_of(struct walk *walk, const char *pipeline)
{
    if (!map_get(walk->states, pipeline))
        map_set(walk->states, pipeline, engine_state_new(pipeline));
    return map_get(walk->states, pipeline);
}

static void walk_decision(struct walk *walk, const Gantry__V1__Decision *decision,
                          const uint8_t hash[SHA256_SIZE])
{
    const Gantry__V1__Genesis *genesis;
    struct engine_records records = {0};
    struct err err;

    for (size_t i = 0; i < decision->n_changes; i++) {
        size_t what = (size_t)decision->changes[i]->what_case;

        if (what < 64) {
            walk->changes[what]++;
            walk->changed_ms[what] = decision->time_ms;
        }
    }
    if (decision->cause && *decision->cause->ce_id) {
        uintptr_t count = (uintptr_t)map_get(walk->caused, decision->cause->ce_id);

        map_set(walk->caused, decision->cause->ce_id, (void *)(count + 1));
    }
    if (engine_publish_requests(decision, &records, &err) < 0 ||
        engine_publish_events(decision, &records, &err) < 0)
        fail_msg("cannot publish: %s", err.msg);
    for (size_t i = 0; i < records.count; i++)
        map_set(walk->published, records.items[i].meta.id, walk);
    engine_records_free(&records);
    genesis = chain_genesis_of(decision);
    for (size_t i = 0; genesis && i < genesis->n_numbers; i++)
        engine_state_set_numbers(state_of(walk, genesis->numbers[i]->pipeline),
                                 genesis->numbers[i]->next_release,
                                 genesis->numbers[i]->next_sequence);
    if (!*decision->pipeline)
        return;
    if (engine_fold(state_of(walk, decision->pipeline), decision, hash, &err) < 0)
        fail_msg("cannot fold: %s", err.msg);
}

static void walk_begin(struct walk *walk, struct scene *scene, int32_t partition)
{
    const struct sim_log *log = &scene->sim->logs[TOPIC_LEDGER][partition];

    *walk = (struct walk){
        .caused = map_new(NULL), .published = map_new(NULL), .states = map_new(free_state)};
    chain_init(&walk->chain);
    for (size_t i = 0; i < log->count; i++) {
        Gantry__V1__Decision *decision = NULL;
        enum chain_verdict verdict;
        uint8_t hash[SHA256_SIZE];
        struct err err;

        if (log->items[i]->gone)
            continue;
        if (event_parse((void **)&decision, TOPIC_LEDGER, log->items[i]->value,
                        log->items[i]->value_len, &err) < 0) {
            walk->voids++;
            continue;
        }
        if (chain_fold(&walk->chain, log->items[i]->value, log->items[i]->value_len, decision,
                       (int64_t)i, &verdict, &err) < 0)
            fail_msg("the chain breaks at offset %zu: %s", i, err.msg);
        sha256(log->items[i]->value, log->items[i]->value_len, hash);
        if (verdict == CHAIN_COUNTS)
            walk_decision(walk, decision, hash);
        else
            walk->voids++;
        event_free(decision);
    }
}

static void walk_end(struct walk *walk)
{
    map_free(walk->caused);
    map_free(walk->published);
    map_free(walk->states);
}

uint64_t scene_check_chain(struct scene *scene, int32_t partition)
{
    struct walk walk;
    uint64_t voids;

    walk_begin(&walk, scene, partition);
    voids = walk.voids;
    walk_end(&walk);
    return voids;
}

size_t scene_caused(struct scene *scene, int32_t partition, const char *ce_id)
{
    struct walk walk;
    size_t count;

    walk_begin(&walk, scene, partition);
    count = (uintptr_t)map_get(walk.caused, ce_id);
    walk_end(&walk);
    return count;
}

size_t scene_changes(struct scene *scene, int32_t partition, int what_case)
{
    struct walk walk;
    size_t count;

    walk_begin(&walk, scene, partition);
    count = walk.changes[what_case];
    walk_end(&walk);
    return count;
}

int64_t scene_change_ms(struct scene *scene, int32_t partition, int what_case)
{
    struct walk walk;
    int64_t ms;

    walk_begin(&walk, scene, partition);
    ms = walk.changes[what_case] ? walk.changed_ms[what_case] : -1;
    walk_end(&walk);
    return ms;
}

static const char *id_of(const struct sim_record *record)
{
    static char id[64];

    for (size_t i = 0; i < record->header_count; i++) {
        if (!str_eq(record->headers[i].name, "ce_id"))
            continue;
        snprintf(id, sizeof(id), "%.*s", (int)record->headers[i].len,
                 (const char *)record->headers[i].value);
        return id;
    }
    return "";
}

/* Each record of an input topic caused one Decision: none skipped, none twice. */
static void check_inputs(struct scene *scene, const struct walk *walk, enum topic topic,
                         int32_t partition, bool copies)
{
    const struct sim_log *log = &scene->sim->logs[topic][partition];

    for (size_t i = 0; i < log->count; i++) {
        const char *id = id_of(log->items[i]);
        size_t count = (uintptr_t)map_get(walk->caused, id);

        if (count == 1 || (count == 0 && (copies || strstr(id, "garbage"))))
            continue;
        fail_msg("record %zu of %s caused %zu Decisions", i, topic_info(topic)->name, count);
    }
}

/* Everything that could not be decoded is in deadletter. */
static void check_garbage(struct scene *scene)
{
    for (uint64_t n = 1; n <= scene->bad; n++) {
        char text[32];
        bool found = false;

        snprintf(text, sizeof(text), "\xff garbage %llu", (unsigned long long)n);
        for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
            const struct sim_log *log = &scene->sim->logs[TOPIC_DEADLETTER][p];

            for (size_t i = 0; i < log->count; i++)
                found = found || (log->items[i]->value_len == strlen(text) &&
                                  memcmp(log->items[i]->value, text, strlen(text)) == 0);
        }
        if (!found)
            fail_msg("garbage %llu is in no deadletter", (unsigned long long)n);
    }
}

static const enum topic outputs[] = {TOPIC_EVENT, TOPIC_REQUEST_CUSTOM};

static void check_published(struct scene *scene, struct walk *walks)
{
    struct map *seen = map_new(NULL);

    for (size_t t = 0; t < 2; t++) {
        for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
            const struct sim_log *log = &scene->sim->logs[outputs[t]][p];

            for (size_t i = 0; i < log->count; i++) {
                const char *id = id_of(log->items[i]);
                bool known = false;

                for (int w = 0; w < SIM_PARTITIONS; w++)
                    known = known || map_get(walks[w].published, id);
                if (!known)
                    fail_msg("record %zu of %s was invented", i, topic_info(outputs[t])->name);
                map_set(seen, id, seen);
            }
        }
    }
    for (int w = 0; w < SIM_PARTITIONS; w++)
        for (struct map_iter it = {0}; map_next(walks[w].published, &it);)
            if (!map_get(seen, it.key))
                fail_msg("%s was never published", it.key);
    map_free(seen);
}

/* A reader that drops what is not beyond the last it saw of a pipeline misses nothing. */
static void check_reader(struct scene *scene, int32_t partition)
{
    const struct sim_log *log = &scene->sim->logs[TOPIC_EVENT][partition];
    struct map *distinct = map_new(NULL);
    uint64_t epoch = 0, sequence = 0;
    uint32_t index = 0;
    size_t taken = 0;

    for (size_t i = 0; i < log->count; i++) {
        Gantry__V1__ReleaseEvent *event;
        struct err err;

        if (event_unpack((void **)&event, TOPIC_EVENT, log->items[i]->value,
                         log->items[i]->value_len, &err) < 0)
            fail_msg("an event cannot be read: %s", err.msg);
        map_set(distinct, id_of(log->items[i]), distinct);
        if (event->order->epoch > epoch ||
            (event->order->epoch == epoch &&
             (event->order->sequence > sequence ||
              (event->order->sequence == sequence && event->order->index > index)))) {
            epoch = event->order->epoch;
            sequence = event->order->sequence;
            index = event->order->index;
            taken++;
        }
        event_free(event);
    }
    if (taken != map_count(distinct))
        fail_msg("a reader of partition %d takes %zu of %zu events", partition, taken,
                 map_count(distinct));
    map_free(distinct);
}

static void check_states(struct scene *scene, const struct walk *walk, int32_t partition)
{
    for (int i = 0; i < SIM_PROMOTERS; i++) {
        struct partition *p;

        if (!sim_running(scene->sim, i))
            continue;
        p = sim_partition(scene->sim, i, partition);
        if (p->phase != PARTITION_RUNNING)
            fail_msg("promoter %d's partition %d is %s: %s", i, partition,
                     partition_phase_name(p->phase), p->reason);
        assert_int_equal(p->in_flight, 0);
        assert_int_equal(p->unpublished, 0);
        assert_memory_equal(p->head, p->chain.head, SHA256_SIZE);
        assert_memory_equal(p->head, walk->chain.head, SHA256_SIZE);
        for (struct map_iter it = {0}; map_next(walk->states, &it);) {
            struct pipeline *pipeline = pipelines_find(&p->pipelines, it.key);
            struct buf a, b;
            struct err err = {0};

            assert_non_null(pipeline);
            assert_int_equal(pipeline_open(&p->pipelines, pipeline, &err), 0);
            buf_init(&a, 16 * 1024 * 1024);
            buf_init(&b, 16 * 1024 * 1024);
            assert_int_equal(engine_encode(it.value, &a, &err), 0);
            assert_int_equal(engine_encode(pipeline->base, &b, &err), 0);
            assert_int_equal(a.len, b.len);
            assert_memory_equal(a.data, b.data, a.len);
            buf_release(&a);
            buf_release(&b);
        }
    }
}

void scene_check_states(struct scene *scene)
{
    for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
        struct walk walk;

        walk_begin(&walk, scene, p);
        check_states(scene, &walk, p);
        walk_end(&walk);
    }
}

void scene_check(struct scene *scene)
{
    struct walk walks[SIM_PARTITIONS];

    for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
        walk_begin(&walks[p], scene, p);
        check_inputs(scene, &walks[p], TOPIC_SOURCE, p, false);
        check_inputs(scene, &walks[p], TOPIC_COMMAND, p, false);
        check_inputs(scene, &walks[p], TOPIC_RESULT_CUSTOM, p, true);
        check_reader(scene, p);
        check_states(scene, &walks[p], p);
    }
    check_published(scene, walks);
    check_garbage(scene);
    for (int32_t p = 0; p < SIM_PARTITIONS; p++)
        walk_end(&walks[p]);
}
