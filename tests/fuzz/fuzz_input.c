/* Any bytes as a run of input records on a pipeline under way: each is refused as a record, or
 * stepped; what is decided must pack, fold, publish, and leave a state that reads back the same.
 *
 * Input: records of [kind][length, 2 bytes][value]. Kinds below TOPIC_COUNT are topics; then the
 * clock, environments that changed, silence. An answer's run id is put right where its number is
 * odd, or the fuzzer would never guess one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"

#define STATE_MAX   (64 * 1024 * 1024)
#define RUNS_MAX    16
#define BEGIN_MS    INT64_C(1700000000000)
#define RECORDS_MAX 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char yaml[] =
    "apiVersion: gantry/v1\n"
    "kind: Pipeline\n"
    "metadata: {name: shop}\n"
    "spec:\n"
    "  sources: [{name: app, git: https://git.example/a.git, branches: ['**']}]\n"
    "  stages:\n"
    "    - name: build\n"
    "      on-failure: retry 2\n"
    "      steps: [{build: {name: image, image: registry.example/a}}, {parallel: "
    "[{build: {name: tests, batch: true}}, {custom/t: {name: t}}]}]\n"
    "    - name: dev\n"
    "      gates: [{check: {custom: c}}, {manual: true}, {approval: {count: 1}}]\n"
    "      steps: [{deploy: {name: app, environment: dev}}]\n"
    "    - name: prod\n"
    "      gates: [{soak: 1h}, {window: daily 00:00-23:00 UTC}]\n"
    "      on-failure: rollback\n"
    "      steps: [{approval: {name: look}}, {deploy: {name: app, environment: dev}}]\n";

struct fuzz {
    struct engine_state *state;
    int64_t now_ms;
    char runs[RUNS_MAX][ID_SIZE]; /* asked last */
    size_t run_count;
    uint64_t inputs;
};

static const struct engine_environment *environment(const char *name, void *arg)
{
    static const struct engine_environment dev = {
        .name = "dev", .deployer = "default", .driver = "command", .command = "x"};
    (void)arg;
    return strcmp(name, "dev") == 0 ? &dev : NULL;
}

static void learn(struct fuzz *f, const Gantry__V1__Decision *decision)
{
    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];
        const Gantry__V1__ActionRequest *request =
            change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED
                ? change->action_requested->request
            : change->what_case == GANTRY__V1__CHANGE__WHAT_CHECK_ASKED
                ? change->check_asked->request
                : NULL;
        if (request)
            snprintf(f->runs[f->run_count++ % RUNS_MAX], ID_SIZE, "%s", request->run_id);
    }
}

static void publish(const Gantry__V1__Decision *decision)
{
    struct engine_records records = {0};
    struct err err = {0};
    if (engine_publish_requests(decision, &records, &err) != 0 ||
        engine_publish_events(decision, &records, &err) != 0)
        abort();
    engine_records_free(&records);
}

/* Stored, read back and folded, as the promoter does. */
static void count_it(struct fuzz *f, Gantry__V1__Decision *planned)
{
    Gantry__V1__Decision *decision;
    uint8_t hash[SHA256_SIZE];
    struct err err = {0};
    struct buf value;
    planned->pipeline = "shop";
    planned->sequence = engine_state_sequence(f->state) + 1;
    if (engine_state_hashed(f->state)) {
        planned->pipeline_previous.data = (uint8_t *)engine_state_hash(f->state);
        planned->pipeline_previous.len = SHA256_SIZE;
    }
    planned->time_ms = f->now_ms;
    planned->epoch = 1;
    buf_init(&value, EVENT_VALUE_MAX);
    if (event_pack(&value, planned, &err) != 0 ||
        event_unpack((void **)&decision, TOPIC_LEDGER, value.data, value.len, &err) != 0)
        abort();
    sha256(value.data, value.len, hash);
    buf_release(&value);
    if (engine_fold(f->state, decision, hash, &err) != 0)
        abort();
    publish(decision);
    learn(f, decision);
    event_free(decision);
}

static void step(struct fuzz *f, struct engine_input *input)
{
    Gantry__V1__Decision planned = GANTRY__V1__DECISION__INIT;
    Gantry__V1__Cause cause = GANTRY__V1__CAUSE__INIT;
    struct err err = {0};
    char id[32];
    snprintf(id, sizeof(id), "input-%llu", (unsigned long long)++f->inputs);
    input->environment = environment;
    cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_CLOCK;
    if (input->kind == ENGINE_RECORD) {
        input->ce_id = id;
        cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_INPUT;
        cause.topic = (char *)topic_info(input->topic)->name;
        cause.ce_id = id;
    }
    planned.cause = &cause;
    int made = engine_step(f->state, input, 1, f->now_ms, &planned, NULL, &err);
    if (made < 0 && !*err.msg)
        abort();
    if (made > 0)
        count_it(f, &planned);
    engine_changes_free(&planned);
}

static void give(struct fuzz *f, enum topic topic, void *message)
{
    step(f, &(struct engine_input){.kind = ENGINE_RECORD, .topic = topic, .message = message});
}

static void give_bytes(struct fuzz *f, enum topic topic, const uint8_t *value, size_t len)
{
    bool answer =
        topic == TOPIC_RESULT_BUILD || topic == TOPIC_RESULT_DEPLOY || topic == TOPIC_RESULT_CUSTOM;
    void *message;
    if (event_unpack(&message, topic, value, len, NULL) != 0)
        return;
    Gantry__V1__ActionResult *result = message;
    if (answer && (result->number & 1) && f->run_count && strlen(result->run_id) == ID_SIZE - 1)
        memcpy(result->run_id, f->runs[result->attempt % f->run_count % RUNS_MAX], ID_SIZE);
    give(f, topic, message);
    event_free(message);
}

static void begin(struct fuzz *f)
{
    Gantry__V1__Definition definition = GANTRY__V1__DEFINITION__INIT;
    Gantry__V1__SourceChanged push = GANTRY__V1__SOURCE_CHANGED__INIT;
    uint8_t hash[SHA256_SIZE];
    *f = (struct fuzz){.state = engine_state_new("shop"), .now_ms = BEGIN_MS};
    sha256(yaml, strlen(yaml), hash);
    definition.kind = "Pipeline";
    definition.name = "shop";
    definition.yaml.data = (uint8_t *)yaml;
    definition.yaml.len = strlen(yaml);
    definition.sha256.data = hash;
    definition.sha256.len = sizeof(hash);
    give(f, TOPIC_DEFINITION, &definition);
    push.pipeline = "shop";
    push.source = "app";
    push.ref = "refs/heads/main";
    push.after = "0123456789abcdef0123456789abcdef01234567";
    give(f, TOPIC_SOURCE, &push);
    if (!f->run_count)
        abort();
}

static void check_encoding(const struct engine_state *state)
{
    struct engine_state *copy;
    struct err err = {0};
    struct buf a, b;
    buf_init(&a, STATE_MAX);
    buf_init(&b, STATE_MAX);
    if (engine_encode(state, &a, &err) != 0 || engine_decode(&copy, a.data, a.len, &err) != 0 ||
        engine_encode(copy, &b, &err) != 0 || a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
        abort();
    engine_state_free(copy);
    buf_release(&a);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f;
    begin(&f);
    for (int i = 0; i < RECORDS_MAX && size >= 3; i++) {
        unsigned kind = data[0] % (TOPIC_COUNT + 3);
        size_t len = (size_t)data[1] << 8 | data[2];
        len = len < size - 3 ? len : size - 3;
        f.now_ms += 1000;
        if (kind < TOPIC_COUNT) {
            give_bytes(&f, (enum topic)kind, data + 3, len);
        } else if (kind == TOPIC_COUNT) {
            f.now_ms += (int64_t)len * 60000;
            step(&f, &(struct engine_input){.kind = ENGINE_CLOCK});
            len = 0;
        } else if (kind == TOPIC_COUNT + 1) {
            step(&f, &(struct engine_input){.kind = ENGINE_LOOK});
            len = 0;
        } else {
            step(&f, &(struct engine_input){.kind = ENGINE_SILENCE,
                                            .run_id = f.runs[len % f.run_count % RUNS_MAX],
                                            .silent_ms = (int64_t)len * 1000});
            len = 0;
        }
        data += 3 + len;
        size -= 3 + len;
    }
    check_encoding(f.state);
    engine_state_free(f.state);
    return 0;
}
