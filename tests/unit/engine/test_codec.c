/* States as bytes: small, canonical, and read with suspicion. */
#include "../unit.h"

#include <inttypes.h>

#include "base/mem.h"
#include "script.h"

static struct scenario *played(const char *text)
{
    struct scenario *s = scenario_new("shop");
    scenario_environment(s, "dev", "command");
    scenario_environment(s, "prod", "command");
    script_play(s, text);
    return s;
}

static void encode(const struct engine_state *state, struct buf *out)
{
    struct err err;
    buf_init(out, EVENT_VALUE_MAX);
    assert_int_equal(engine_encode(state, out, &err), 0);
}

/* A history with something of everything that a state can hold. */
static const char busy[] = "define gate\n"
                           "push 0001 people=ann@x,bob@x\n"
                           "ok 1 build/image VERSION=1 NAME=shop\n"
                           "ok 1 dev/app\n"
                           "approve 1 prod/approval bob\n"
                           "ok 1 prod/app\n"
                           "define two-votes\n"
                           "push 0002 branch=release/1\n"
                           "ok 2 build/image\n"
                           "approve 2 prod/approval bob\n"
                           "define inside\n"
                           "push 0003 people=unknown\n"
                           "ok 3 build/image\n"
                           "push 0004\n"
                           "started 4 build/image\n"
                           "push 0005\n"
                           "start LEVEL=x\n"
                           "stop 4 wait\n"
                           "push 0006 source=lib\n";

/* Batches under way, ended and to be retried. */
static const char batches[] = "define batch-parallel\n"
                              "push 0001\n"
                              "plan 1 build/image a! b c>a\n"
                              "ok 1 build/image/b VERSION=1\n"
                              "fail 1 build/image/a exit 1\n"
                              "started 1 build/image/c\n"
                              "push 0002\n"
                              "plan 2 build/image fast=1 a b\n"
                              "ok 2 build/image/a\n"
                              "fail 2 build/image/b exit 1\n"
                              "push 0003\n"
                              "plan 3 build/image a b\n"
                              "lost 3 build/image/a\n"
                              "push 0004\n";

static void a_decoded_state_decides_as_the_one_it_came_from(void **unused)
{
    struct engine_state *copy = NULL;
    struct buf bytes;
    struct err err;
    (void)unused;
    struct scenario *s = played(busy);
    encode(s->state, &bytes);
    assert_int_equal(engine_decode(&copy, bytes.data, bytes.len, &err), 0);
    assert_string_equal(engine_state_pipeline(copy), "shop");
    assert_int_equal(engine_state_sequence(copy), engine_state_sequence(s->state));
    engine_state_free(s->state);
    s->state = copy;
    script_play(s, "ok 4 build/image\n"
                   "  ...\n"
                   "  ended 4 stopped**\n"
                   "  entered 5 build\n"
                   "  request 5 build/image#1\n"
                   "approve 2 prod/approval eve\n"
                   "  refused vote of eve: this approval is not open**\n"
                   "pin prod\n"
                   "  command pin\n"
                   "  pinned prod\n");
    buf_release(&bytes);
    scenario_free(s);
}

static void a_decoded_batch_goes_on_where_it_was(void **unused)
{
    struct engine_state *copy = NULL;
    struct buf bytes;
    struct err err;
    (void)unused;
    struct scenario *s = played(batches);
    encode(s->state, &bytes);
    assert_int_equal(engine_decode(&copy, bytes.data, bytes.len, &err), 0);
    engine_state_free(s->state);
    s->state = copy;
    script_play(s, "ok 1 build/image/c no-image=1\n"
                   "  done 1 build/image/c succeeded\n"
                   "  done 1 build/image succeeded**\n"
                   "  artifact 1 image\n"
                   "  ...\n"
                   "retry 2 build\n"
                   "plan 2 build/image fast=1 a b\n"
                   "  planned 2 build/image a b, kept: a\n"
                   "  request 2 build/image/b#2\n"
                   "lost 3 build/image/a\n"
                   "  done 3 build/image/a failed: lost**\n");
    buf_release(&bytes);
    scenario_free(s);
}

/* Any bytes whatever are refused or give a state; never a crash (run with sanitizers). */
static void damage(const char *script)
{
    struct buf bytes;
    struct err err;
    size_t refused = 0, count = 0;
    struct scenario *s = played(script);
    encode(s->state, &bytes);
    for (size_t at = 0; at < bytes.len; at++) {
        for (int bit = 0; bit < 8; bit += 3) {
            struct engine_state *state = NULL;
            bytes.data[at] = (char)(bytes.data[at] ^ 1 << bit);
            bool ok = engine_decode(&state, bytes.data, bytes.len, &err) == 0;
            if (ok) { /* what was read can be written and freed */
                struct buf again;
                encode(state, &again);
                buf_release(&again);
            }
            assert_true(ok == (state != NULL));
            engine_state_free(state);
            bytes.data[at] = (char)(bytes.data[at] ^ 1 << bit);
            refused += !ok;
            count++;
        }
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct engine_state *state = NULL;
        char *cut = mem_dup(bytes.data, len);
        assert_int_equal(engine_decode(&state, cut, len, &err), -1);
        assert_null(state);
        free(cut);
    }
    print_message("%zu of %zu single changes refused\n", refused, count);
    buf_release(&bytes);
    scenario_free(s);
}

static void damaged_bytes_are_refused_or_read_safely(void **unused)
{
    (void)unused;
    damage(busy);
    damage(batches);
}

static void bytes_of_another_version_are_refused(void **unused)
{
    struct engine_state *state = NULL;
    struct err err;
    (void)unused;
    assert_int_equal(engine_decode(&state, "G\x01", 2, &err), -1);
    assert_non_null(strstr(err.msg, "version 1"));
    assert_int_equal(engine_decode(&state, "", 0, &err), -1);
}

static size_t size_of(const char *definition, const char *text)
{
    struct buf bytes;
    struct scenario *s = played(text);
    encode(s->state, &bytes);
    size_t size = bytes.len - strlen(script_definition(definition));
    buf_release(&bytes);
    scenario_free(s);
    return size;
}

static void an_idle_pipeline_takes_less_than_a_kilobyte_beside_its_definition(void **unused)
{
    struct buf script;
    (void)unused;
    buf_init(&script, 64 * 1024);
    buf_adds(&script, "define simple\n");
    for (int i = 1; i <= 20; i++) {
        buf_addf(&script, "push %04x people=ann@example.com,bob@example.com pusher=ann\n", i);
        buf_addf(&script, "ok %d build/image\nok %d dev/app\nok %d prod/app\n", i, i, i);
        if (i == 1 || i == 20)
            print_message("%d releases: %zu bytes\n", i, size_of("simple", buf_cstr(&script)));
        if (i == 1)
            assert_true(size_of("simple", buf_cstr(&script)) < 1024);
    }
    buf_release(&script);
}

static void an_active_release_takes_less_than_eight_kilobytes(void **unused)
{
    (void)unused;
    const char *before = "define two-votes\npush 0001 people=ann@x,bob@x\n"
                         "ok 1 build/image\napprove 1 prod/approval bob\n"
                         "approve 1 prod/approval eve\nok 1 prod/app\n";
    const char *active = "define two-votes\npush 0001 people=ann@x,bob@x\n"
                         "ok 1 build/image\napprove 1 prod/approval bob\n"
                         "approve 1 prod/approval eve\nok 1 prod/app\n"
                         "push 0002 people=ann@x\nok 2 build/image VERSION=1.2.3\n"
                         "approve 2 prod/approval bob\n";
    size_t bytes = size_of("two-votes", active) - size_of("two-votes", before);
    print_message("%zu bytes\n", bytes);
    assert_true(bytes < 8 * 1024);
}

static void a_genesis_gives_numbers_that_never_go_back(void **unused)
{
    (void)unused;
    struct scenario *s = scenario_new("shop");
    engine_state_set_numbers(s->state, 40, 90);
    assert_int_equal(engine_state_sequence(s->state), 89);
    assert_false(engine_state_hashed(s->state));
    engine_state_set_numbers(s->state, 4, 9);
    assert_int_equal(engine_state_sequence(s->state), 89);
    scenario_free(s);
}

static void a_command_may_name_a_definition_that_was_replaced_lately(void **unused)
{
    uint8_t hash[SHA256_SIZE];
    const char *yaml = script_definition("simple");
    (void)unused;
    sha256(yaml, strlen(yaml), hash);
    struct scenario *s = played("define gate\n");
    assert_true(engine_state_has_definition(s->state));
    assert_false(engine_state_took_definition(s->state, hash));
    script_play(s, "define simple\n");
    assert_true(engine_state_took_definition(s->state, hash));
    script_play(s, "define gate\npass 1d\n");
    assert_true(engine_state_took_definition(s->state, hash));
    s->now_ms += INT64_C(31) * 24 * 3600 * 1000;
    script_play(s, "define queue\n");
    assert_false(engine_state_took_definition(s->state, hash));
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decoded_state_decides_as_the_one_it_came_from),
        cmocka_unit_test(a_decoded_batch_goes_on_where_it_was),
        cmocka_unit_test(damaged_bytes_are_refused_or_read_safely),
        cmocka_unit_test(bytes_of_another_version_are_refused),
        cmocka_unit_test(an_idle_pipeline_takes_less_than_a_kilobyte_beside_its_definition),
        cmocka_unit_test(an_active_release_takes_less_than_eight_kilobytes),
        cmocka_unit_test(a_genesis_gives_numbers_that_never_go_back),
        cmocka_unit_test(a_command_may_name_a_definition_that_was_replaced_lately),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
