/* What is too much: cut, refused or put into the next Decision, but never a Decision or a state
 * that no record can hold. */
#include "../unit.h"

#include "base/mem.h"
#include "events/event.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"
#include "script.h"

#define RECORD_MAX EVENT_VALUE_MAX

static struct scenario *begin(void)
{
    struct scenario *s = scenario_new("shop");
    scenario_environment(s, "dev", "command");
    scenario_environment(s, "prod", "command");
    return s;
}

static void define(struct scenario *s, const char *yaml)
{
    Gantry__V1__Definition m = GANTRY__V1__DEFINITION__INIT;
    uint8_t hash[SHA256_SIZE];
    sha256(yaml, strlen(yaml), hash);
    m.kind = "Pipeline";
    m.name = "shop";
    m.yaml.data = (uint8_t *)yaml;
    m.yaml.len = strlen(yaml);
    m.sha256.data = hash;
    m.sha256.len = sizeof(hash);
    scenario_input(s, TOPIC_DEFINITION, &m, NULL, NULL);
}

static void finish(struct scenario *s, const char *run, Gantry__V1__Finished *finished)
{
    const struct asked *asked = map_get(s->runs, run);
    Gantry__V1__ActionResult m = GANTRY__V1__ACTION_RESULT__INIT;
    assert_non_null(asked);
    m.pipeline = "shop";
    m.run_id = (char *)asked->id;
    m.attempt = m.number = 1;
    m.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    m.finished = finished;
    scenario_input(s, asked->topic, &m, NULL, NULL);
}

/* The text of the last input's change that begins so; valid until the next call. */
static const char *change(const struct scenario *s, const char *beginning)
{
    static char found[512];
    for (size_t i = 0; s->last && i < s->last->n_changes; i++) {
        char *text = scenario_change_text(s->last->changes[i]);
        bool is = strncmp(text, beginning, strlen(beginning)) == 0;
        snprintf(found, sizeof(found), "%s", text);
        free(text);
        if (is)
            return found;
    }
    fail_msg("no change begins with '%s'", beginning);
    return NULL;
}

static char *filled(char c, size_t len)
{
    char *text = mem_alloc(len + 1);
    memset(text, c, len);
    return text;
}

static void a_comment_of_more_than_2000_characters_is_refused(void **unused)
{
    char *words[] = {filled('x', 2001), filled('x', 2000)};
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define gate\npush 0001\nok 1 build/image\nok 1 dev/app\n");
    for (size_t i = 0; i < 2; i++) {
        char *line = mem_printf("reject 1 prod/approval bob %s\n", words[i]);
        script_play(s, line);
        change(s, i == 0 ? "refused vote of bob: the comment has more than 2,000" : "vote 1");
        free(line);
        free(words[i]);
    }
    scenario_free(s);
}

static void exported_variables_of_more_than_16_kib_fail_their_action(void **unused)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__KeyValue value = GANTRY__V1__KEY_VALUE__INIT, *values[] = {&value};
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define steps\npush 0001\nok 1 build/image\n");
    value.key = "BIG";
    value.value = filled('x', 17 * 1024);
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    finished.exported = values;
    finished.n_exported = 1;
    finish(s, "1 build/lint", &finished);
    change(s, "done 1 build/lint failed: the variables that the release's actions export take");
    free(value.value);
    scenario_free(s);
}

/* Builds b0, b1 ... of which each has a variable of that many bytes. */
static void answer_plan(struct scenario *s, const char *run, size_t count, size_t bytes)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__BatchPlan plan = GANTRY__V1__BATCH_PLAN__INIT;
    Gantry__V1__BatchBuild builds[101], *items[101];
    Gantry__V1__KeyValue value = GANTRY__V1__KEY_VALUE__INIT, *values[] = {&value};
    value.key = "V";
    value.value = filled('v', bytes);
    for (size_t i = 0; i < count; i++) {
        items[i] = &builds[i];
        gantry__v1__batch_build__init(items[i]);
        items[i]->identifier = mem_printf("b%zu", i);
        items[i]->env = values;
        items[i]->n_env = 1;
    }
    plan.builds = items;
    plan.n_builds = count;
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    finished.batch = &plan;
    finish(s, run, &finished);
    for (size_t i = 0; i < count; i++)
        free(items[i]->identifier);
    free(value.value);
}

static void a_batch_of_more_than_100_builds_or_64_kib_fails_its_action(void **unused)
{
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define batch-parallel\npush 0001\npush 0002\n");
    answer_plan(s, "1 build/image", 2, 33 * 1024);
    change(s, "done 1 build/image failed: the batch takes more than 64 KiB");
    assert_true(s->ledger[s->ledger_count - 1].value.len < 4 * 1024);
    answer_plan(s, "2 build/image", 101, 1);
    change(s, "done 2 build/image failed: the batch has more than 100 builds");
    scenario_free(s);
}

/* Each request carries the release's variables. */
static void a_batch_whose_requests_are_too_much_for_a_decision_goes_on_in_the_next(void **unused)
{
    (void)unused;
    struct scenario *s = begin();
    char *value = filled('v', 8000);
    char *yaml = mem_printf("apiVersion: gantry/v1\n"
                            "kind: Pipeline\n"
                            "metadata: {name: shop}\n"
                            "spec:\n"
                            "  variables: {BIG: %s}\n"
                            "  sources: [{name: app, git: https://git.example/a.git, branches: "
                            "[main]}]\n"
                            "  stages: [{name: build, steps: [{build: {name: image, batch: "
                            "true}}]}]\n",
                            value);
    define(s, yaml);
    script_play(s, "push 0001\n");
    answer_plan(s, "1 build/image", 100, 1);
    change(s, "request 1 build/image/b0#1");
    assert_null(map_get(s->runs, "1 build/image/b99"));
    free(value);
    free(yaml);
    while (engine_state_deadline(s->state) <= s->now_ms)
        assert_true(scenario_clock(s));
    assert_non_null(map_get(s->runs, "1 build/image/b99"));
    scenario_free(s);
}

/* One Decision has to be able to end them all. */
static void batches_of_a_stage_have_at_most_300_builds_and_end_in_one_decision(void **unused)
{
    (void)unused;
    struct scenario *s = begin();
    define(s, "apiVersion: gantry/v1\n"
              "kind: Pipeline\n"
              "metadata: {name: shop}\n"
              "spec:\n"
              "  sources: [{name: app, git: https://git.example/a.git, branches: [main]}]\n"
              "  stages:\n"
              "    - name: build\n"
              "      steps:\n"
              "        - parallel:\n"
              "            - build: {name: a, batch: true}\n"
              "            - build: {name: b, batch: true}\n"
              "            - build: {name: c, batch: true}\n"
              "            - build: {name: d, batch: true}\n");
    script_play(s, "push 0001\n");
    answer_plan(s, "1 build/a", 100, 1);
    answer_plan(s, "1 build/b", 100, 1);
    answer_plan(s, "1 build/c", 100, 1);
    answer_plan(s, "1 build/d", 1, 1);
    change(s, "done 1 build/d failed: the batches of its stage would have 301 builds, more than");
    script_play(s, "stop 1 abandon\n");
    change(s, "ended 1 stopped");
    /* With the longest reason that somebody may give, twice each, it still fits. */
    assert_true(s->ledger[s->ledger_count - 1].value.len + 300 * 2 * 500 < RECORD_MAX);
    scenario_free(s);
}

static void batches_that_are_together_too_much_for_a_snapshot_fail_their_actions(void **unused)
{
    struct err err;
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define batch-parallel\n");
    for (int i = 1; i <= 8; i++) {
        char *push = mem_printf("push %04x\n", i), *run = mem_printf("%d build/image", i);
        script_play(s, push);
        answer_plan(s, run, 2, 31 * 1024);
        if (i > 6)
            change(s, "done");
        free(push);
        free(run);
    }
    assert_non_null(strstr(change(s, "done 8"), "more than can be kept"));
    struct buf bytes;
    buf_init(&bytes, EVENT_VALUE_MAX);
    assert_int_equal(engine_encode(s->state, &bytes, &err), 0);
    buf_release(&bytes);
    scenario_free(s);
}

static void what_all_builds_of_a_batch_export_is_bounded_as_an_actions(void **unused)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__KeyValue value = GANTRY__V1__KEY_VALUE__INIT, *values[] = {&value};
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define batch-beside\npush 0001\nplan 1 build/tests a b\n");
    value.key = "BIG";
    value.value = filled('x', 9 * 1024);
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED;
    finished.exported = values;
    finished.n_exported = 1;
    finish(s, "1 build/tests/a", &finished);
    change(s, "done 1 build/tests/a succeeded");
    finish(s, "1 build/tests/b", &finished);
    change(s, "done 1 build/tests/b failed: the variables that the release's actions export take");
    free(value.value);
    scenario_free(s);
}

static void a_long_report_is_cut_and_its_outcome_counts(void **unused)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    char *lines[20], *word = filled('y', 40 * 1024);
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define simple\npush 0001\n");
    for (size_t i = 0; i < 20; i++)
        lines[i] = word;
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_FAILED;
    finished.reason = word;
    finished.log_tail = lines;
    finished.n_log_tail = 20;
    finish(s, "1 build/image", &finished);
    change(s, "ended 1 failed");
    assert_true(s->ledger[s->ledger_count - 1].value.len < 20 * 1024);
    free(word);
    scenario_free(s);
}

static void test_reports_do_not_take_the_place_of_what_else_a_report_says(void **unused)
{
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__TestReport report = GANTRY__V1__TEST_REPORT__INIT, *reports[] = {&report};
    Gantry__V1__TestFailure failure = GANTRY__V1__TEST_FAILURE__INIT, *failures[31];
    char *line = filled('z', 4 * 1024);
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define simple\npush 0001\n");
    failure.message = filled('m', 2 * 1024);
    for (size_t i = 0; i < 31; i++)
        failures[i] = &failure;
    report.failures = failures;
    report.n_failures = 31;
    report.group = "unit";
    report.format = "JUNITXML";
    report.kind = GANTRY__V1__REPORT_KIND__REPORT_KIND_TEST;
    finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_FAILED;
    finished.reason = "2 tests failed";
    finished.log_tail = &line;
    finished.n_log_tail = 1;
    finished.reports = reports;
    finished.n_reports = 1;
    finish(s, "1 build/image", &finished);
    change(s, "ended 1 failed");
    assert_true(s->ledger[s->ledger_count - 1].value.len > 66 * 1024);
    free(line);
    free(failure.message);
    scenario_free(s);
}

static void a_long_commit_message_is_cut_between_characters(void **unused)
{
    Gantry__V1__SourceChanged m = GANTRY__V1__SOURCE_CHANGED__INIT;
    char commit[41], message[1201];
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define simple\n");
    for (size_t i = 0; i < 1200; i += 3)
        memcpy(message + i, "\xe2\x82\xac", 3);
    message[1200] = '\0';
    m.pipeline = "shop";
    m.source = "app";
    m.ref = "refs/heads/main";
    m.after = (char *)script_commit(commit, "0001");
    m.message = message;
    scenario_input(s, TOPIC_SOURCE, &m, NULL, NULL);
    assert_int_equal(strlen(s->last->changes[0]->revision_seen->change->message), 498);
    change(s, "request 1 build/image#1");
    scenario_free(s);
}

static void people_of_whom_too_many_came_are_an_incomplete_list(void **unused)
{
    Gantry__V1__SourceChanged m = GANTRY__V1__SOURCE_CHANGED__INIT;
    char commit[41], *people[900];
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define author\n");
    for (size_t i = 0; i < 900; i++)
        people[i] = mem_printf("%0100zu@example.com", i);
    m.pipeline = "shop";
    m.source = "app";
    m.ref = "refs/heads/main";
    m.after = (char *)script_commit(commit, "0001");
    m.people = people;
    m.n_people = 900;
    m.people_complete = true;
    scenario_input(s, TOPIC_SOURCE, &m, NULL, NULL);
    script_play(s, "ok 1 build/image\n"
                   "approve 1 prod/approval eve\n"
                   "  refused vote of eve: **not everybody who brought its revisions is known\n");
    for (size_t i = 0; i < 900; i++)
        free(people[i]);
    scenario_free(s);
}

static char *pipeline(const char *steps)
{
    return mem_printf("apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: shop}\nspec:\n"
                      "  sources: [{name: app, git: https://git.example/shop.git, "
                      "branches: ['*']}]\n"
                      "  stages:\n    - name: build\n      steps:\n        - parallel:\n%s",
                      steps);
}

/* `count` custom actions that each get `size` bytes. */
static char *wide(int count, size_t size)
{
    struct buf steps;
    char *word = filled('x', size);
    buf_init(&steps, 1 << 20);
    for (int i = 0; i < count; i++)
        buf_addf(&steps, "            - custom/x: {name: a%d, input: {text: %s}}\n", i, word);
    char *yaml = pipeline(buf_cstr(&steps));
    buf_release(&steps);
    free(word);
    return yaml;
}

static void requests_that_one_decision_cannot_hold_go_into_the_next(void **unused)
{
    /* Each input is expanded from a variable, so that a small definition makes large requests. */
    struct buf yaml;
    char *value = filled('v', 5 * 1024);
    size_t decisions = 0, requests = 0;
    (void)unused;
    struct scenario *s = begin();
    buf_init(&yaml, 1 << 20);
    buf_addf(&yaml,
             "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: shop}\nspec:\n"
             "  variables: {BIG: %s}\n"
             "  sources: [{name: app, git: https://git.example/shop.git, branches: ['*']}]\n"
             "  stages:\n    - name: build\n      steps:\n        - parallel:\n",
             value);
    for (int i = 0; i < 50; i++)
        buf_addf(
            &yaml,
            "            - custom/x: {name: a%d, input: {a: '{{variables.BIG}}{{variables.BIG}}', "
            "b: '{{variables.BIG}}'}}\n",
            i);
    define(s, buf_cstr(&yaml));
    script_play(s, "push 0001\n");
    requests = s->last->n_changes - 3; /* seen, started, entered */
    assert_true(requests > 0 && requests < 50);
    assert_int_equal(engine_state_deadline(s->state), 0);
    while (scenario_clock(s)) {
        requests += s->last->n_changes;
        assert_true(s->ledger[s->ledger_count - 1].value.len < RECORD_MAX);
        decisions++;
    }
    assert_int_equal(requests, 50);
    assert_true(decisions > 1);
    scenario_check_replay(s);
    buf_release(&yaml);
    free(value);
    scenario_free(s);
}

static void an_action_that_is_given_more_than_a_record_holds_fails(void **unused)
{
    struct buf yaml;
    char *value = filled('v', 5 * 1024);
    (void)unused;
    struct scenario *s = begin();
    buf_init(&yaml, 1 << 20);
    buf_addf(&yaml,
             "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: shop}\nspec:\n"
             "  variables: {BIG: %s}\n"
             "  sources: [{name: app, git: https://git.example/shop.git, branches: ['*']}]\n"
             "  stages:\n    - name: build\n      steps:\n"
             "        - custom/x:\n            name: a\n            input:\n",
             value);
    for (int i = 0; i < 90; i++)
        buf_addf(&yaml, "              k%d: '{{variables.BIG}}'\n", i);
    define(s, buf_cstr(&yaml));
    script_play(s, "push 0001\n");
    change(s, "done 1 build/a failed: what the action is given takes 4");
    buf_release(&yaml);
    free(value);
    scenario_free(s);
}

static void a_start_with_variables_of_more_than_16_kib_is_refused(void **unused)
{
    char *value = filled('v', 17 * 1024);
    (void)unused;
    struct scenario *s = begin();
    script_play(s, "define vars\npush 0001\n");
    char *line = mem_printf("start LEVEL=%s\n", value);
    script_play(s, line);
    change(s, "refused start: the variables take");
    free(line);
    free(value);
    scenario_free(s);
}

static void definitions_in_use_of_more_than_half_a_mebibyte_are_refused(void **unused)
{
    (void)unused;
    struct scenario *s = begin();
    s->thorough = false;
    for (int i = 0; i < 3; i++) {
        char *yaml = wide(40, (size_t)5000 + (size_t)i), push[32];
        define(s, yaml);
        if (i < 2)
            change(s, "definition");
        else
            change(s, "refused definition: releases under way still use other definitions");
        snprintf(push, sizeof(push), "push %04d branch=b%d\n", i, i);
        script_play(s, push);
        free(yaml);
    }
    scenario_free(s);
}

static void a_queue_that_is_too_long_fails_what_comes_and_goes_on(void **unused)
{
    char line[64];
    (void)unused;
    struct scenario *s = begin();
    s->thorough = false;
    script_play(s, "define queue\n");
    for (int i = 1; i <= 200; i++) {
        snprintf(line, sizeof(line), "push %04x\n", i);
        script_play(s, line);
    }
    script_play(s, "push ffff\n"
                   "  seen app@ffff\n"
                   "  started 201 app@ffff\n"
                   "  ended 201 failed: 200 releases are under way or wait, more than can be kept\n"
                   "ok 1 build/image\n"
                   "  ...\n"
                   "  entered 2 build\n"
                   "  request 2 build/image#1\n"
                   "  waiting 3 build occupied:2\n"
                   "ok 1 dev/app\n"
                   "ok 1 prod/app\n"
                   "push fffe\n"
                   "  seen app@fffe\n"
                   "  started 202 app@fffe\n"
                   "  waiting 202 build**\n");
    struct buf bytes;
    struct err err;
    buf_init(&bytes, RECORD_MAX);
    assert_int_equal(engine_encode(s->state, &bytes, &err), 0);
    print_message("200 releases waiting: %zu bytes of state\n", bytes.len);
    buf_release(&bytes);
    scenario_check_replay(s);
    scenario_free(s);
}

static void ids_are_forgotten_after_their_topics_retention(void **unused)
{
    struct buf before, after;
    struct err err;
    char line[64];
    (void)unused;
    struct scenario *s = begin();
    s->thorough = false;
    script_play(s, "define simple\n");
    for (int i = 0; i < 500; i++) {
        snprintf(line, sizeof(line), "stop %d wait\n", i + 1);
        script_play(s, line);
    }
    buf_init(&before, RECORD_MAX);
    assert_int_equal(engine_encode(s->state, &before, &err), 0);
    s->now_ms += INT64_C(32) * 24 * 3600 * 1000;
    script_play(s, "stop 1 wait\n");
    buf_init(&after, RECORD_MAX);
    assert_int_equal(engine_encode(s->state, &after, &err), 0);
    assert_true(before.len > after.len + 500 * 8);
    scenario_check_replay(s);
    buf_release(&before);
    buf_release(&after);
    scenario_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_comment_of_more_than_2000_characters_is_refused),
        cmocka_unit_test(exported_variables_of_more_than_16_kib_fail_their_action),
        cmocka_unit_test(a_batch_of_more_than_100_builds_or_64_kib_fails_its_action),
        cmocka_unit_test(a_batch_whose_requests_are_too_much_for_a_decision_goes_on_in_the_next),
        cmocka_unit_test(batches_of_a_stage_have_at_most_300_builds_and_end_in_one_decision),
        cmocka_unit_test(batches_that_are_together_too_much_for_a_snapshot_fail_their_actions),
        cmocka_unit_test(what_all_builds_of_a_batch_export_is_bounded_as_an_actions),
        cmocka_unit_test(a_long_report_is_cut_and_its_outcome_counts),
        cmocka_unit_test(test_reports_do_not_take_the_place_of_what_else_a_report_says),
        cmocka_unit_test(a_long_commit_message_is_cut_between_characters),
        cmocka_unit_test(people_of_whom_too_many_came_are_an_incomplete_list),
        cmocka_unit_test(requests_that_one_decision_cannot_hold_go_into_the_next),
        cmocka_unit_test(an_action_that_is_given_more_than_a_record_holds_fails),
        cmocka_unit_test(a_start_with_variables_of_more_than_16_kib_is_refused),
        cmocka_unit_test(definitions_in_use_of_more_than_half_a_mebibyte_are_refused),
        cmocka_unit_test(a_queue_that_is_too_long_fails_what_comes_and_goes_on),
        cmocka_unit_test(ids_are_forgotten_after_their_topics_retention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
