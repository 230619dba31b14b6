#include "../unit.h"

#include <jansson.h>

#include "base/mem.h"
#include "past.h"

#define DEFINITION(mode, stages)                                                                   \
    "apiVersion: gantry/v1\n"                                                                      \
    "kind: Pipeline\n"                                                                             \
    "metadata: {name: shop}\n"                                                                     \
    "spec:\n"                                                                                      \
    "  mode: " mode "\n"                                                                           \
    "  sources: [{name: app, git: https://git.example/shop.git, branches: [main]}]\n"              \
    "  stages:\n"                                                                                  \
    "    - {name: build, steps: [{build: {name: image, image: registry.example/shop}}]}\n" stages
#define DEV         "    - {name: dev, steps: [{deploy: {name: app, environment: dev}}]}\n"
#define PROD(gates) "    - {name: prod, gates: [" gates "], steps: [" DEPLOY_PROD "]}\n"
#define DEPLOY_PROD "{deploy: {name: app, environment: prod}}"
#define BY_RELEASE  "{approval: {by: ['group:release', 'user:zoe@x'], expires: 1h}}"

/* Release 1 goes through, voted in by kim; ann, who brought the commit, is not needed. */
#define ONE_RELEASE                                                                                \
    "define gate\n"                                                                                \
    "push aaaa people=ann@x\n"                                                                     \
    "pass 2m\n"                                                                                    \
    "ok 1 build/image\n"                                                                           \
    "pass 1m\n"                                                                                    \
    "ok 1 dev/app\n"                                                                               \
    "pass 10m\n"                                                                                   \
    "approve 1 prod/approval ann\n"                                                                \
    "pass 1m\n"                                                                                    \
    "ok 1 prod/app\n"                                                                              \
    "pass 5h\n"                                                                                    \
    "push bbbb people=ann@x\n"                                                                     \
    "fail 2 build/image red\n"

struct tested {
    struct scenario *s;
    struct policy_history history;
    struct outcomes then;
    struct policy_result result;
    json_t *rows;
};

static void before(struct replay *replay, const struct replay_pipeline *pipeline,
                   const Gantry__V1__Decision *decision, void *arg)
{
    struct tested *t = arg;

    (void)replay;
    outcomes_add(&t->then, decision, t->history.decisions);
    policy_history_add(&t->history, pipeline->state, decision);
}

/* What a scenario's past would have come to. `since` counts back from its end; 0: all of it. */
static void test_on(struct tested *t, const char *script, const char *yaml, int64_t since_ms)
{
    struct replay replay;
    struct err err = {0};

    *t = (struct tested){.s = past_play(script)};
    policy_history_init(&t->history, "shop", since_ms ? t->s->now_ms - since_ms : INT64_MIN);
    outcomes_init(&t->then);
    replay_init(&replay);
    replay.only = "shop";
    replay.before = before;
    replay.arg = t;
    assert_int_equal(past_fold(t->s, &replay), 0);
    replay_release(&replay);
    if (policy_run(&t->result, &t->history, yaml, strlen(yaml), NULL, 0, &err) != 0)
        fail_msg("%s", err.msg);
    t->rows = policy_diff(&t->history, &t->then, &t->result);
}

static void end(struct tested *t)
{
    json_decref(t->rows);
    policy_result_release(&t->result);
    outcomes_release(&t->then);
    policy_history_release(&t->history);
    scenario_free(t->s);
}

static void expect_rows(const struct tested *t, size_t count)
{
    if (json_array_size(t->rows) == count)
        return;
    json_dumpf(t->rows, stderr, JSON_INDENT(1));
    fail_msg("%zu differences, not %zu", json_array_size(t->rows), count);
}

/* A row of this release and stage whose text under `key` holds `text`. */
static void expect(const struct tested *t, int release, const char *stage, const char *key,
                   const char *text)
{
    const json_t *row;
    size_t i;

    json_array_foreach(t->rows, i, row)
    {
        if (jnum(row, "release") == release && strcmp(jstr(row, "stage"), stage) == 0 &&
            strstr(jstr(row, key), text))
            return;
    }
    json_dumpf(t->rows, stderr, JSON_INDENT(1));
    fail_msg("no row of release %d, stage '%s' whose '%s' holds '%s'", release, stage, key, text);
}

static void the_same_definition_makes_no_difference(void **state)
{
    static const char *const scripts[][2] = {
        {"gate", ONE_RELEASE},
        {"simple", "define simple\n"
                   "push aaaa\n"
                   "started 1 build/image\n"
                   "ok 1 build/image VERSION=1\n"
                   "fail 1 dev/app no room\n"
                   "pass 5m\n"
                   "retry 1 dev\n"
                   "ok 1 dev/app\n"
                   "ok 1 prod/app\n"
                   "push bbbb\n"
                   "ok 2 build/image\n"
                   "push cccc\n"
                   "ok 3 build/image\n"
                   "push dddd\n"
                   "ok 4 build/image\n"
                   "ok 2 dev/app\n"
                   "ok 2 prod/app\n"
                   "rollback prod 1\n"
                   "ok 5 prod/app\n"
                   "stop 4 abandon\n"
                   "start commit=aaaa\n"
                   "pass 2h\n"},
        {"two-votes", "define two-votes\n"
                      "push aaaa\n"
                      "ok 1 build/image\n"
                      "approve 1 prod/approval kim\n"
                      "approve 1 prod/approval kim\n"
                      "approve 1 prod/approval zoe digest=sha256:00\n"
                      "approve 1 prod/approval zoe\n"
                      "ok 1 prod/app\n"},
        {"gate-queue", "define gate-queue\n"
                       "push aaaa\n"
                       "ok 1 build/image\n"
                       "ok 1 dev/app\n"
                       "push bbbb\n"
                       "ok 2 build/image\n"
                       "reject 1 prod/approval kim not now\n"
                       "ok 2 dev/app\n"
                       "pass 2h\n"},
        {"lost", "define lost\n"
                 "push aaaa\n"
                 "ok 1 build/image\n"
                 "lost 1 dev/app\n"
                 "ok 1 dev/app\n"
                 "pass 2h\n"},
        {"batch", "define batch\n"
                  "push aaaa\n"
                  "started 1 build/image\n"
                  "pass 1m\n"
                  "plan 1 build/image a b>a c\n"
                  "ok 1 build/image/a VERSION=1\n"
                  "lost 1 build/image/c\n"
                  "pass 1m\n"
                  "ok 1 build/image/c no-image=1\n"
                  "fail 1 build/image/b red\n"
                  "retry 1 build\n"
                  "plan 1 build/image a b>a c\n"
                  "ok 1 build/image/b no-image=1\n"
                  "ok 1 build/say\n"
                  "ok 1 dev/app\n"
                  "push bbbb\n"
                  "plan 2 build/image fast=1 a b\n"
                  "fail 2 build/image/b red\n"
                  "pass 2h\n"},
    };
    struct tested t;

    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        test_on(&t, scripts[i][1], script_definition(scripts[i][0]), 0);
        expect_rows(&t, 0);
        assert_int_equal(t.then.items.count, t.result.would.items.count);
        end(&t);
    }
}

/* Nobody knows what builds it would have had, but the image that they make is deployed. */
static void a_batch_that_was_none_then_is_taken_to_succeed(void **state)
{
    struct tested t;

    (void)state;
    test_on(&t,
            "define simple\n"
            "push aaaa\n"
            "ok 1 build/image VERSION=1\n"
            "ok 1 dev/app\n"
            "ok 1 prod/app\n"
            "pass 2h\n",
            script_definition("batch-parallel"), 0);
    assert_true(t.result.would.items.count > 0);
    for (size_t i = 0; i < json_array_size(t.rows); i++)
        assert_null(strstr(jstr(json_array_get(t.rows, i), "would"), "fail"));
    end(&t);
}

static void a_soak_makes_the_release_enter_later(void **state)
{
    struct tested t;

    (void)state;
    test_on(&t, ONE_RELEASE, DEFINITION("superseded", DEV PROD("{soak: 2h}, " BY_RELEASE)), 0);
    expect_rows(&t, 1);
    expect(&t, 1, "prod", "would", "h later");
    expect(&t, 1, "prod", "because", "soak");
    end(&t);
}

static void a_vote_of_an_author_would_not_have_counted(void **state)
{
    struct tested t;

    (void)state;
    test_on(
        &t, ONE_RELEASE,
        DEFINITION("superseded", DEV PROD("{approval: {by: ['group:release'], not: [author]}}")),
        0);
    expect(&t, 1, "prod", "what", "approval by ann");
    expect(&t, 1, "prod", "would", "does not count");
    expect(&t, 1, "prod", "because", "authors of the release");
    expect(&t, 1, "prod", "would", "waiting still");
    end(&t);
}

static void without_the_gate_it_enters_sooner_and_the_vote_is_not_asked_for(void **state)
{
    struct tested t;

    (void)state;
    test_on(&t, ONE_RELEASE, DEFINITION("superseded", DEV PROD("")), 0);
    expect(&t, 1, "prod", "would", "10 min sooner");
    expect_rows(&t, 2);
    expect(&t, 1, "prod", "would", "is not asked for");
    end(&t);
}

#define THREE_QUICK                                                                                \
    "push aaaa\n"                                                                                  \
    "ok 1 build/image\n"                                                                           \
    "push bbbb\n"                                                                                  \
    "ok 2 build/image\n"                                                                           \
    "push cccc\n"                                                                                  \
    "ok 3 build/image\n"                                                                           \
    "pass 5m\n"                                                                                    \
    "ok 1 dev/app\n"                                                                               \
    "ok 1 prod/app\n"                                                                              \
    "ok 3 dev/app\n"                                                                               \
    "ok 3 prod/app\n"                                                                              \
    "pass 30m\n"

static void in_mode_queued_none_is_superseded(void **state)
{
    struct tested t;

    (void)state;
    test_on(&t, "define simple\n" THREE_QUICK,
            DEFINITION("queued", DEV "    - {name: prod, steps: [" DEPLOY_PROD "]}\n"), 0);
    expect(&t, 2, "dev", "then", "superseded by release 3");
    expect(&t, 2, "dev", "would", "entered");
    assert_true(t.result.assumed.count > 0);
    end(&t);
}

static void a_branch_that_is_not_wanted_starts_nothing(void **state)
{
    struct tested t;

    (void)state;
    test_on(&t,
            "define simple\n"
            "push aaaa branch=release/1\n"
            "ok 1 build/image\n"
            "ok 1 dev/app\n"
            "ok 1 prod/app\n"
            "push bbbb\n",
            DEFINITION("superseded", DEV "    - {name: prod, steps: [" DEPLOY_PROD "]}\n"), 0);
    expect_rows(&t, 1);
    expect(&t, 1, "", "would", "does not start");
    end(&t);
}

static void only_releases_since_then_are_compared(void **state)
{
    struct tested t;

    (void)state;
    test_on(&t, ONE_RELEASE, DEFINITION("superseded", DEV PROD("{soak: 2h}, " BY_RELEASE)),
            3600 * 1000);
    expect_rows(&t, 0);
    assert_int_equal(t.result.would.items.count, 1);
    end(&t);
}

static void an_action_that_never_ran_succeeds_and_that_is_said(void **state)
{
    struct tested t;

    (void)state;
    test_on(&t, ONE_RELEASE,
            DEFINITION("superseded", DEV
                       "    - {name: qa, steps: [{custom/load: {name: load}}]}\n" PROD(BY_RELEASE)),
            0);
    expect(&t, 1, "qa", "would", "entered");
    assert_non_null(strstr(t.result.assumed.items[0], "qa/load"));
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_definition_makes_no_difference),
        cmocka_unit_test(a_batch_that_was_none_then_is_taken_to_succeed),
        cmocka_unit_test(a_soak_makes_the_release_enter_later),
        cmocka_unit_test(a_vote_of_an_author_would_not_have_counted),
        cmocka_unit_test(without_the_gate_it_enters_sooner_and_the_vote_is_not_asked_for),
        cmocka_unit_test(in_mode_queued_none_is_superseded),
        cmocka_unit_test(a_branch_that_is_not_wanted_starts_nothing),
        cmocka_unit_test(only_releases_since_then_are_compared),
        cmocka_unit_test(an_action_that_never_ran_succeeds_and_that_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
