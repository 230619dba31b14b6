#include "../unit.h"

#include <jansson.h>

#include "base/mem.h"
#include "engine/saved.h"
#include "events/event.h"
#include "gantry/v1/state.pb-c.h"
#include "past.h"

#define TWO_RELEASES                                                                               \
    "define gate\n"                                                                                \
    "push aaaa\n"                                                                                  \
    "ok 1 build/image\n"                                                                           \
    "ok 1 dev/app\n"                                                                               \
    "approve 1 prod/approval ann\n"                                                                \
    "ok 1 prod/app\n"                                                                              \
    "pass 1h\n"                                                                                    \
    "push bbbb\n"                                                                                  \
    "ok 2 build/image\n"                                                                           \
    "ok 2 dev/app\n"

struct played {
    struct scenario *s;
    struct replay replay;
    json_t *out;
};

static json_t *list(const struct played *p, const char *key)
{
    return json_object_get(p->out, key);
}

static void to_json(struct played *p, const struct kept *kept)
{
    struct err err;

    p->out = json_pack("{s:[], s:[], s:[], s:[], s:[]}", "pipelines", "environments", "releases",
                       "approvals", "differences");
    assert_int_equal(replay_to_json(&p->replay, kept, p->out, &err), 0);
    replay_sort(p->out);
}

static struct played play(const char *script)
{
    struct played p = {.s = past_play(script)};

    replay_init(&p.replay);
    return p;
}

static void end(struct played *p)
{
    json_decref(p->out);
    replay_release(&p->replay);
    scenario_free(p->s);
}

static const json_t *running_in(const struct played *p, const char *environment)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(list(p, "environments"), i, entry)
    {
        if (strcmp(jstr(entry, "environment"), environment) == 0)
            return entry;
    }
    return NULL;
}

static void replayed_gives_the_same_bytes(void **state)
{
    struct played p = play(TWO_RELEASES);
    struct buf ours, theirs;
    const struct replay_pipeline *pipeline;

    (void)state;
    assert_int_equal(past_fold(p.s, &p.replay), 0);
    pipeline = map_get(p.replay.pipelines, "shop");
    assert_non_null(pipeline);
    buf_init(&ours, EVENT_VALUE_MAX);
    buf_init(&theirs, EVENT_VALUE_MAX);
    assert_int_equal(engine_encode(pipeline->state, &ours, NULL), 0);
    assert_int_equal(engine_encode(p.s->state, &theirs, NULL), 0);
    assert_int_equal(ours.len, theirs.len);
    assert_memory_equal(ours.data, theirs.data, ours.len);
    buf_release(&ours);
    buf_release(&theirs);
    end(&p);
}

static void environments_run_what_was_deployed_last(void **state)
{
    struct played p = play(TWO_RELEASES);
    char digest[72], commit[41];

    (void)state;
    past_fold(p.s, &p.replay);
    to_json(&p, NULL);
    assert_int_equal(json_array_size(list(&p, "environments")), 2);
    assert_int_equal(jnum(running_in(&p, "dev"), "release"), 2);
    assert_string_equal(jstr(running_in(&p, "dev"), "commit"), script_commit(commit, "bbbb"));
    assert_int_equal(jnum(running_in(&p, "prod"), "release"), 1);
    assert_string_equal(jstr(running_in(&p, "prod"), "digest"), script_digest(digest, 1, "image"));
    end(&p);
}

static void what_waits_and_what_is_asked_shows(void **state)
{
    struct played p = play(TWO_RELEASES);
    const json_t *release, *approval;

    (void)state;
    past_fold(p.s, &p.replay);
    to_json(&p, NULL);
    assert_int_equal(json_array_size(list(&p, "releases")), 1);
    release = json_array_get(list(&p, "releases"), 0);
    assert_int_equal(jnum(release, "release"), 2);
    assert_string_equal(jstr(release, "stage"), "prod");
    assert_string_equal(jstr(release, "status"), "waiting");
    assert_string_equal(json_string_value(json_array_get(jget(release, "heldBy"), 0)), "approval");
    assert_int_equal(json_array_size(list(&p, "approvals")), 1);
    approval = json_array_get(list(&p, "approvals"), 0);
    assert_int_equal(jnum(approval, "release"), 2);
    assert_string_equal(jstr(approval, "gate"), "approval");
    end(&p);
}

static void until_a_time_the_later_has_not_happened(void **state)
{
    struct played p = play(TWO_RELEASES);

    (void)state;
    p.replay.until_ms = p.s->now_ms - 1800 * 1000;
    assert_int_equal(past_fold(p.s, &p.replay), 1);
    to_json(&p, NULL);
    assert_int_equal(jnum(running_in(&p, "dev"), "release"), 1);
    assert_int_equal(json_array_size(list(&p, "releases")), 0);
    assert_true(p.replay.chain.time_ms <= p.replay.until_ms);
    end(&p);
}

static void until_a_sequence_is_that_decision_and_none_after(void **state)
{
    struct played p = play(TWO_RELEASES);
    const struct replay_pipeline *pipeline;

    (void)state;
    p.replay.only = "shop";
    p.replay.until_sequence = 3;
    assert_int_equal(past_fold(p.s, &p.replay), 1);
    pipeline = map_get(p.replay.pipelines, "shop");
    assert_int_equal(engine_state_sequence(pipeline->state), 3);
    end(&p);
}

static void a_failed_release_ends_and_comes_back_with_a_retry(void **state)
{
    struct played p = play("define simple\n"
                           "push aaaa\n"
                           "fail 1 build/image broken\n");
    struct played again = play("define simple\n"
                               "push aaaa\n"
                               "fail 1 build/image broken\n"
                               "retry 1 build\n");

    (void)state;
    past_fold(p.s, &p.replay);
    to_json(&p, NULL);
    assert_int_equal(json_array_size(list(&p, "releases")), 0);
    past_fold(again.s, &again.replay);
    to_json(&again, NULL);
    assert_int_equal(json_array_size(list(&again, "releases")), 1);
    assert_string_equal(jstr(json_array_get(list(&again, "releases"), 0), "status"), "in-progress");
    end(&p);
    end(&again);
}

static void another_pipelines_decisions_are_left_out(void **state)
{
    struct played p = play(TWO_RELEASES);

    (void)state;
    p.replay.only = "other";
    assert_int_equal(past_fold(p.s, &p.replay), 0);
    assert_int_equal(map_count(p.replay.pipelines), 0);
    assert_int_equal(p.replay.chain.counted, p.s->ledger_count);
    end(&p);
}

/* ---- against what the promoter keeps ---- */

static void put(struct saved *saved, const char *key, const Gantry__V1__PromoterState *record)
{
    struct buf value;

    buf_init(&value, EVENT_VALUE_MAX);
    assert_int_equal(event_pack(&value, record, NULL), 0);
    saved_put(saved, key, strlen(key), value.data, value.len);
    buf_release(&value);
}

/* promoter.state as it is after all of the scenario; `spoil` is added to one byte of the state. */
static struct saved *saved_of(const struct scenario *s, int spoil)
{
    Gantry__V1__PromoterState record = GANTRY__V1__PROMOTER_STATE__INIT;
    Gantry__V1__Snapshot snapshot = GANTRY__V1__SNAPSHOT__INIT;
    Gantry__V1__Checkpoint checkpoint = GANTRY__V1__CHECKPOINT__INIT;
    Gantry__V1__Genesis genesis = GANTRY__V1__GENESIS__INIT;
    Gantry__V1__SnapshotName name = GANTRY__V1__SNAPSHOT_NAME__INIT, *names[] = {&name};
    struct saved *saved = saved_new();
    struct buf bytes;

    buf_init(&bytes, EVENT_VALUE_MAX);
    assert_int_equal(engine_encode(s->state, &bytes, NULL), 0);
    bytes.data[bytes.len / 2] = (char)(bytes.data[bytes.len / 2] + spoil);
    snapshot.pipeline = name.pipeline = "shop";
    snapshot.sequence = name.sequence = engine_state_sequence(s->state);
    snapshot.decision_hash.data = name.decision_hash.data = (uint8_t *)engine_state_hash(s->state);
    snapshot.decision_hash.len = name.decision_hash.len = SHA256_SIZE;
    snapshot.state = (ProtobufCBinaryData){bytes.len, (uint8_t *)bytes.data};
    record.what_case = GANTRY__V1__PROMOTER_STATE__WHAT_SNAPSHOT;
    record.snapshot = &snapshot;
    put(saved, "shop/0", &record);
    name.key = "shop/0";
    genesis.epoch = s->epoch;
    genesis.chain_id = "0123456789abcdef0123456789abcdef";
    genesis.partition_count = 1;
    checkpoint.genesis = &genesis;
    checkpoint.head_offset = (int64_t)s->ledger_count - 1;
    checkpoint.head_hash =
        (ProtobufCBinaryData){SHA256_SIZE, (uint8_t *)s->ledger[s->ledger_count - 1].hash};
    checkpoint.time_ms = checkpoint.made_ms = s->now_ms;
    checkpoint.snapshots = names;
    checkpoint.n_snapshots = 1;
    record.what_case = GANTRY__V1__PROMOTER_STATE__WHAT_CHECKPOINT;
    record.checkpoint = &checkpoint;
    put(saved, "@checkpoint/0", &record);
    saved_read(saved);
    assert_int_equal(saved_count(saved), 1);
    buf_release(&bytes);
    return saved;
}

static void compare(struct played *p, struct saved *saved)
{
    struct kept *kept = kept_new(saved);

    for (size_t i = 0; i < p->s->ledger_count; i++) {
        assert_int_equal(replay_fold((int64_t)i, p->s->ledger[i].value.data,
                                     p->s->ledger[i].value.len, &p->replay),
                         0);
        kept_look(kept, &p->replay);
    }
    to_json(p, kept);
    kept_finish(kept, &p->replay, list(p, "differences"));
    kept_free(kept);
}

static void what_the_promoter_keeps_is_the_same(void **state)
{
    struct played p = play(TWO_RELEASES);

    (void)state;
    compare(&p, saved_of(p.s, 0));
    assert_int_equal(json_array_size(list(&p, "differences")), 0);
    assert_int_equal(jnum(json_array_get(list(&p, "pipelines"), 0), "comparedAt"),
                     engine_state_sequence(p.s->state));
    end(&p);
}

static void a_byte_that_differs_is_named_with_pipeline_and_sequence(void **state)
{
    struct played p = play(TWO_RELEASES);
    const json_t *difference;

    (void)state;
    compare(&p, saved_of(p.s, 1));
    assert_int_equal(json_array_size(list(&p, "differences")), 1);
    difference = json_array_get(list(&p, "differences"), 0);
    assert_string_equal(jstr(difference, "pipeline"), "shop");
    assert_int_equal(jnum(difference, "sequence"), engine_state_sequence(p.s->state));
    assert_non_null(strstr(jstr(difference, "difference"), "differ from byte"));
    end(&p);
}

static void a_checkpoint_of_another_ledger_is_named(void **state)
{
    struct played p = play(TWO_RELEASES);
    struct played other = play("define simple\n"
                               "push cccc\n");

    (void)state;
    compare(&p, saved_of(other.s, 0));
    assert_true(json_array_size(list(&p, "differences")) > 0);
    assert_non_null(strstr(jstr(json_array_get(list(&p, "differences"), 0), "difference"),
                           "does not count in the ledger"));
    end(&p);
    end(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replayed_gives_the_same_bytes),
        cmocka_unit_test(environments_run_what_was_deployed_last),
        cmocka_unit_test(what_waits_and_what_is_asked_shows),
        cmocka_unit_test(until_a_time_the_later_has_not_happened),
        cmocka_unit_test(until_a_sequence_is_that_decision_and_none_after),
        cmocka_unit_test(a_failed_release_ends_and_comes_back_with_a_retry),
        cmocka_unit_test(another_pipelines_decisions_are_left_out),
        cmocka_unit_test(what_the_promoter_keeps_is_the_same),
        cmocka_unit_test(a_byte_that_differs_is_named_with_pipeline_and_sequence),
        cmocka_unit_test(a_checkpoint_of_another_ledger_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
