/* After each input:
 *   - the Decision is packed, read back as a ledger record would be, and every record it publishes
 *     passes the checks of its topic; publishing again gives the same bytes
 *   - it counts in the chain, and a copy of it is void
 *   - state -> bytes -> state -> bytes is the same, and a decoded state folds to the same
 *   - the same input again changes nothing
 *   - the properties (watch.c) */
#include "scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "definition/definition.h"
#include "events/event.h"

#define STATE_BYTES_MAX (1000 * 1000)

void scenario_broken(struct scenario *s, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "%s\nBROKEN: ", buf_cstr(&s->history));
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    for (size_t i = 0; s->last && i < s->last->n_changes; i++) {
        char *text = scenario_change_text(s->last->changes[i]);
        fprintf(stderr, "  %s\n", text);
        free(text);
    }
    abort();
}

static void append(struct scenario *s, const Gantry__V1__Decision *decision)
{
    if (s->ledger_count == s->ledger_room) {
        s->ledger_room = s->ledger_room ? s->ledger_room * 2 : 64;
        s->ledger = mem_realloc(s->ledger, s->ledger_room, sizeof(*s->ledger));
    }
    struct decided *entry = &s->ledger[s->ledger_count];
    struct err err = {0};
    buf_init(&entry->value, EVENT_VALUE_MAX);
    if (event_pack(&entry->value, decision, &err) != 0)
        scenario_broken(s, "pack: %s", err.msg);
    sha256(entry->value.data, entry->value.len, entry->hash);
    s->ledger_count++;
}

static Gantry__V1__Decision *read_back(struct scenario *s, size_t at)
{
    struct err err = {0};
    void *decision = NULL;
    if (event_unpack(&decision, TOPIC_LEDGER, s->ledger[at].value.data, s->ledger[at].value.len,
                     &err) != 0)
        scenario_broken(s, "the Decision is no good record: %s", err.msg);
    return decision;
}

static void check_chain(struct scenario *s, const Gantry__V1__Decision *decision, size_t at)
{
    struct err err = {0};
    enum chain_verdict verdict;
    const struct decided *entry = &s->ledger[at];
    if (chain_fold(&s->chain, entry->value.data, entry->value.len, decision, s->ledger_end++,
                   &verdict, &err) != 0 ||
        verdict != CHAIN_COUNTS)
        scenario_broken(s, "the Decision does not count: %s", err.msg);
    if (chain_fold(&s->chain, entry->value.data, entry->value.len, decision, s->ledger_end++,
                   &verdict, &err) != 0 ||
        verdict != CHAIN_VOID || memcmp(s->chain.head, entry->hash, SHA256_SIZE) != 0)
        scenario_broken(s, "a copy of the Decision is not void");
}

static void begin(struct scenario *s)
{
    Gantry__V1__Genesis genesis = GANTRY__V1__GENESIS__INIT;
    Gantry__V1__Change change = GANTRY__V1__CHANGE__INIT;
    Gantry__V1__Change *changes[] = {&change};
    Gantry__V1__Cause cause = GANTRY__V1__CAUSE__INIT;
    Gantry__V1__Decision decision = GANTRY__V1__DECISION__INIT;
    genesis.epoch = decision.epoch = s->epoch;
    genesis.chain_id = "0123456789abcdef0123456789abcdef";
    genesis.partition_count = 1;
    change.what_case = GANTRY__V1__CHANGE__WHAT_GENESIS;
    change.genesis = &genesis;
    cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_START;
    decision.cause = &cause;
    decision.time_ms = s->now_ms;
    decision.n_changes = 1;
    decision.changes = changes;
    append(s, &decision);
    check_chain(s, &decision, 0);
}

static void environment_free(void *value)
{
    struct engine_environment *env = value;
    free((char *)env->name);
    free((char *)env->driver);
    for (size_t i = 0; i < env->freeze_count; i++)
        window_free(env->freezes[i].window);
    free((void *)env->freezes);
    free(env);
}

static void asked_free(void *value)
{
    struct asked *asked = value;
    free(asked->digest);
    free(asked->image);
    free(asked->action);
    free(asked);
}

static void remember_request(struct scenario *s, const Gantry__V1__ActionRequest *m)
{
    static const enum topic topics[] = {TOPIC_COUNT, TOPIC_RESULT_BUILD, TOPIC_RESULT_DEPLOY,
                                        TOPIC_RESULT_APPROVAL, TOPIC_RESULT_CUSTOM};
    struct asked *asked = mem_alloc(sizeof(*asked));
    char *key = mem_printf("%llu %s/%s", (unsigned long long)m->release, m->stage, m->action);
    snprintf(asked->id, sizeof(asked->id), "%s", m->run_id);
    asked->topic = topics[m->kind];
    asked->action = mem_strdup(m->action);
    asked->release = m->release;
    if (m->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_BUILD && *m->build->image)
        asked->image = mem_strdup(m->build->image);
    map_set(s->runs, key, asked);
    free(key);
}

static void remember_approval(struct scenario *s, const Gantry__V1__ApprovalRequest *m)
{
    struct asked *asked = mem_alloc(sizeof(*asked));
    char *key = mem_printf("%llu %s/%s", (unsigned long long)m->release, m->stage, m->gate);
    snprintf(asked->id, sizeof(asked->id), "%s", m->approval_id);
    asked->topic = TOPIC_RESULT_APPROVAL;
    asked->digest = mem_strdup(m->digest);
    asked->release = m->release;
    map_set(s->approvals, key, asked);
    free(key);
}

static void remember(struct scenario *s, const Gantry__V1__Decision *decision)
{
    for (size_t i = 0; i < decision->n_changes; i++) {
        const Gantry__V1__Change *change = decision->changes[i];
        if (change->what_case == GANTRY__V1__CHANGE__WHAT_ACTION_REQUESTED)
            remember_request(s, change->action_requested->request);
        else if (change->what_case == GANTRY__V1__CHANGE__WHAT_CHECK_ASKED)
            remember_request(s, change->check_asked->request);
        else if (change->what_case == GANTRY__V1__CHANGE__WHAT_APPROVAL_OPENED)
            remember_approval(s, change->approval_opened->approval);
    }
}

struct scenario *scenario_new(const char *pipeline)
{
    struct scenario *s = mem_alloc(sizeof(*s));
    s->pipeline = pipeline;
    s->state = engine_state_new(pipeline);
    s->epoch = SCENARIO_EPOCH;
    s->now_ms = (int64_t)SCENARIO_EPOCH + 1000;
    s->thorough = true;
    s->watch = watch_new();
    s->environments = map_new(environment_free);
    s->runs = map_new(asked_free);
    s->approvals = map_new(asked_free);
    buf_init(&s->history, 64 * 1024 * 1024);
    chain_init(&s->chain);
    begin(s);
    return s;
}

void scenario_free(struct scenario *s)
{
    event_free(s->last);
    engine_state_free(s->state);
    watch_free(s->watch);
    map_free(s->environments);
    map_free(s->runs);
    map_free(s->approvals);
    for (size_t i = 0; i < s->ledger_count; i++)
        buf_release(&s->ledger[i].value);
    free(s->ledger);
    buf_release(&s->history);
    free(s);
}

static void encode(struct scenario *s, const struct engine_state *state, struct buf *out)
{
    struct err err = {0};
    buf_init(out, STATE_BYTES_MAX);
    if (engine_encode(state, out, &err) != 0)
        scenario_broken(s, "encode: %s", err.msg);
}

static void check_same(struct scenario *s, const struct engine_state *a,
                       const struct engine_state *b, const char *what)
{
    struct buf x, y;
    encode(s, a, &x);
    encode(s, b, &y);
    if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0)
        scenario_broken(s, "%s: %zu and %zu bytes of state differ", what, x.len, y.len);
    if (engine_state_deadline(a) != engine_state_deadline(b))
        scenario_broken(s, "%s: deadlines differ", what);
    buf_release(&x);
    buf_release(&y);
}

static struct engine_state *decoded(struct scenario *s, const struct engine_state *state)
{
    struct engine_state *copy = NULL;
    struct err err = {0};
    struct buf bytes;
    encode(s, state, &bytes);
    if (engine_decode(&copy, bytes.data, bytes.len, &err) != 0)
        scenario_broken(s, "decode: %s", err.msg);
    buf_release(&bytes);
    check_same(s, state, copy, "a state decoded");
    return copy;
}

static void fold(struct scenario *s, struct engine_state *state,
                 const Gantry__V1__Decision *decision, const uint8_t *hash)
{
    struct err err = {0};
    if (engine_fold(state, decision, hash, &err) != 0)
        scenario_broken(s, "fold: %s", err.msg);
}

static void check_published(struct scenario *s, const Gantry__V1__Decision *decision)
{
    struct engine_records first = {0}, again = {0};
    struct err err = {0};
    if (engine_publish_requests(decision, &first, &err) != 0 ||
        engine_publish_events(decision, &first, &err) != 0 ||
        engine_publish_requests(decision, &again, &err) != 0 ||
        engine_publish_events(decision, &again, &err) != 0)
        scenario_broken(s, "publish: %s", err.msg);
    for (size_t i = 0; i < first.count; i++) {
        const struct engine_record *a = &first.items[i], *b = &again.items[i];
        void *message = NULL;
        if (a->topic != b->topic || strcmp(a->key, b->key) != 0 ||
            strcmp(a->meta.id, b->meta.id) != 0 || a->value.len != b->value.len ||
            memcmp(a->value.data, b->value.data, a->value.len) != 0)
            scenario_broken(s, "record %zu is published differently a second time", i);
        if (event_unpack(&message, a->topic, a->value.data, a->value.len, &err) != 0)
            scenario_broken(s, "record %zu (%s) is no good record: %s", i, a->meta.type, err.msg);
        event_free(message);
    }
    engine_records_free(&first);
    engine_records_free(&again);
}

static const struct engine_environment *environment(const char *name, void *arg)
{
    struct scenario *s = arg;
    return map_get(s->environments, name);
}

void scenario_environment(struct scenario *s, const char *name, const char *driver)
{
    static const uint8_t hash[SHA256_SIZE] = {1};
    if (!driver) {
        map_del(s->environments, name);
        return;
    }
    struct engine_environment *env = mem_alloc(sizeof(*env));
    *env = (struct engine_environment){.name = mem_strdup(name),
                                       .deployer = "default",
                                       .driver = mem_strdup(driver),
                                       .command = "deploy",
                                       .yaml = "kind: Environment\n",
                                       .yaml_len = 18,
                                       .sha256 = hash};
    map_set(s->environments, name, env);
}

static void check_copy_changes_nothing(struct scenario *s, const struct engine_input *input)
{
    Gantry__V1__Decision decision = GANTRY__V1__DECISION__INIT;
    struct err err = {0};
    if (input->kind == ENGINE_CLOCK || input->kind == ENGINE_SILENCE)
        return;
    int made = engine_step(s->state, input, s->epoch, s->now_ms, &decision, NULL, &err);
    if (made != 0)
        scenario_broken(s, "the same input again makes a Decision (%d) %s", made, err.msg);
    engine_changes_free(&decision);
}

/* Completes what the engine planned, as the promoter does, and lets it count. */
static void decide(struct scenario *s, Gantry__V1__Decision *decision)
{
    decision->previous.data = s->chain.head;
    decision->previous.len = SHA256_SIZE;
    decision->pipeline = (char *)s->pipeline;
    decision->sequence = engine_state_sequence(s->state) + 1;
    if (engine_state_hashed(s->state)) {
        decision->pipeline_previous.data = (uint8_t *)engine_state_hash(s->state);
        decision->pipeline_previous.len = SHA256_SIZE;
    }
    decision->time_ms = s->now_ms;
    decision->epoch = s->epoch;
    append(s, decision);
}

static bool step(struct scenario *s, struct engine_input *input, Gantry__V1__Cause *cause)
{
    Gantry__V1__Decision planned = GANTRY__V1__DECISION__INIT;
    struct err err = {0};
    struct engine_state *before = s->thorough ? decoded(s, s->state) : NULL, *after = NULL;
    input->environment = environment;
    input->environment_arg = s;
    planned.cause = cause;
    event_free(s->last);
    s->last = NULL;
    int made = engine_step(s->state, input, s->epoch, s->now_ms, &planned, &after, &err);
    if (made < 0)
        scenario_broken(s, "step: %s", err.msg);
    if (before)
        check_same(s, s->state, before, "a step wrote to the state, which");
    if (made > 0) {
        decide(s, &planned);
        engine_changes_free(&planned);
        s->last = read_back(s, s->ledger_count - 1);
        check_chain(s, s->last, s->ledger_count - 1);
        const uint8_t *hash = s->ledger[s->ledger_count - 1].hash;
        fold(s, s->state, s->last, hash);
        if (engine_settle(after, s->last, hash, &err) != 0)
            scenario_broken(s, "settle: %s", err.msg);
        if (before) {
            check_same(s, s->state, after, "the state that the step left behind");
            fold(s, before, s->last, hash);
            check_same(s, s->state, before, "a decoded state after the same Decision");
        }
        check_published(s, s->last);
        watch_decision(s, s->last);
        remember(s, s->last);
        if (s->decided)
            s->decided(s->last, s->decided_arg);
    }
    engine_state_free(before);
    engine_state_free(after);
    check_copy_changes_nothing(s, input);
    return made > 0;
}

bool scenario_input(struct scenario *s, enum topic topic, const void *message, const char *ce_id,
                    const char *refusal)
{
    char id[64];
    snprintf(id, sizeof(id), "input-%llu", (unsigned long long)++s->inputs);
    struct engine_input input = {.kind = ENGINE_RECORD,
                                 .topic = topic,
                                 .message = message,
                                 .ce_id = ce_id ? ce_id : id,
                                 .command_refusal = refusal};
    Gantry__V1__Cause cause = GANTRY__V1__CAUSE__INIT;
    cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_INPUT;
    cause.topic = (char *)topic_info(topic)->name;
    cause.offset = (int64_t)s->inputs;
    cause.ce_id = (char *)input.ce_id;
    struct err err = {0};
    struct buf packed;
    void *checked = NULL;
    buf_init(&packed, EVENT_VALUE_MAX);
    if (event_pack(&packed, message, &err) != 0 ||
        event_unpack(&checked, topic, packed.data, packed.len, &err) != 0)
        scenario_broken(s, "the test gives no good record: %s", err.msg);
    buf_release(&packed);
    input.message = checked;
    bool made = step(s, &input, &cause);
    event_free(checked);
    return made;
}

/* What nobody wrote down: the promoter's own clock causes it. */
static bool step_without_record(struct scenario *s, struct engine_input *input)
{
    Gantry__V1__Cause cause = GANTRY__V1__CAUSE__INIT;
    cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_CLOCK;
    return step(s, input, &cause);
}

bool scenario_clock(struct scenario *s)
{
    struct engine_input input = {.kind = ENGINE_CLOCK};
    return step_without_record(s, &input);
}

bool scenario_silence(struct scenario *s, const char *run_id, int64_t silent_ms)
{
    struct engine_input input = {.kind = ENGINE_SILENCE, .run_id = run_id, .silent_ms = silent_ms};
    return step_without_record(s, &input);
}

void scenario_freeze(struct scenario *s, const char *name, const char *window)
{
    struct engine_environment *env = map_get(s->environments, name);
    struct engine_input input = {.kind = ENGINE_LOOK};
    struct err err = {0};
    if (env && env->freeze_count) {
        window_free(env->freezes[0].window);
        free((void *)env->freezes);
        env->freezes = NULL;
        env->freeze_count = 0;
    }
    if (env && window) {
        struct def_freeze *freeze = mem_alloc(sizeof(*freeze));
        if (window_parse(&freeze->window, window, &err) != 0)
            scenario_broken(s, "the test's window: %s", err.msg);
        env->freezes = freeze;
        env->freeze_count = 1;
    }
    step_without_record(s, &input);
}

void scenario_check_replay(struct scenario *s)
{
    struct engine_state *state = engine_state_new(s->pipeline);
    for (size_t i = 1; i < s->ledger_count; i++) {
        Gantry__V1__Decision *decision = read_back(s, i);
        if (decision->sequence != i)
            scenario_broken(s, "the sequence has a gap at %zu", i);
        fold(s, state, decision, s->ledger[i].hash);
        event_free(decision);
    }
    check_same(s, s->state, state, "the ledger replayed from nothing");
    engine_state_free(state);
}
