#include "buildspec/plan.h"

#include "tests/unit/unit.h"

/* Plays a plan: a command whose text begins with a digit ends with that status, the first times
 * only when a second digit says how many. What happened, as text. */
static void play(const char *phases, const char *expected)
{
    struct buildspec *spec = NULL;
    struct err err = {0};
    struct buf yaml, trace;
    struct plan plan;
    struct plan_step step;
    int times[64] = {0};
    buf_init(&yaml, 65536);
    buf_init(&trace, 65536);
    buf_addf(&yaml, "version: 0.2\nphases: {%s}\n", phases);
    if (buildspec_parse(&spec, yaml.data, yaml.len, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    plan_init(&plan, spec);
    for (plan_next(&plan, &step); step.kind != PLAN_DONE; plan_next(&plan, &step)) {
        const char *text = plan.texts.items[step.index];
        if (step.kind == PLAN_PHASE_BEGIN) {
            buf_addf(&trace, "%s%s(", step.succeeding ? "" : "!", buildspec_phase_key(step.phase));
        } else if (step.kind == PLAN_PHASE_RETRY) {
            buf_adds(&trace, "retry ");
        } else if (step.kind == PLAN_PHASE_END) {
            buf_addf(&trace, step.failed ? "FAILED) " : ") ");
        } else {
            int code = text[0] >= '1' && text[0] <= '9' ? text[0] - '0' : 0;
            if (code && text[1] >= '1' && text[1] <= '9' && ++times[step.index] > text[1] - '0')
                code = 0;
            buf_addf(&trace, "%s ", text);
            plan_ended(&plan, code);
        }
    }
    buf_addf(&trace, "%s", plan.failed ? "failed" : "succeeded");
    assert_string_equal(buf_cstr(&trace), expected);
    plan_release(&plan);
    buildspec_free(spec);
    buf_release(&yaml);
    buf_release(&trace);
}

static void phases_run_in_order_each_with_its_finally(void **state)
{
    (void)state;
    play("post_build: {commands: d}, build: {commands: [b, c], finally: e}, install: {commands: a}",
         "install(a ) build(b c e ) post_build(d ) succeeded");
}

static void the_first_failing_command_ends_the_commands_and_finally_still_runs(void **state)
{
    (void)state;
    play("post_build: {commands: d}, build: {commands: [b, 2x, c], finally: [e, f]}",
         "build(b 2x e f FAILED) !post_build(d ) failed");
}

static void a_failing_finally_fails_the_phase(void **state)
{
    (void)state;
    play("build: {commands: b, finally: [1x, e]}, post_build: {commands: d}",
         "build(b 1x FAILED) !post_build(d ) failed");
}

static void install_or_pre_build_failing_skips_to_the_end(void **state)
{
    (void)state;
    play("install: {commands: 1x}, build: {commands: b}, post_build: {commands: d}",
         "install(1x FAILED) failed");
    play("pre_build: {commands: 1x, finally: f}, build: {commands: b}, post_build: {commands: d}",
         "pre_build(1x f FAILED) failed");
}

static void on_failure_overrides_where_a_failure_leads(void **state)
{
    (void)state;
    play("build: {on-failure: ABORT, commands: 1x}, post_build: {commands: d}",
         "build(1x FAILED) failed");
    play("install: {on-failure: CONTINUE, commands: 1x}, build: {commands: b}",
         "install(1x FAILED) !build(b ) failed");
}

static void a_phase_is_retried_as_often_as_it_says(void **state)
{
    (void)state;
    play("build: {on-failure: RETRY-2, commands: [12x, b]}",
         "build(12x retry 12x retry 12x b ) succeeded");
    play("build: {on-failure: RETRY-1, commands: [1x, b], finally: f}, post_build: {commands: d}",
         "build(1x f retry 1x f FAILED) !post_build(d ) failed");
    play("build: {on-failure: RETRY-0, commands: 1x}", "build(1x FAILED) failed");
}

static void a_phase_is_retried_only_when_the_message_matches(void **state)
{
    (void)state;
    play("build: {on-failure: 'RETRY-5-exit status 3', commands: 31x}",
         "build(31x retry 31x ) succeeded");
    play("build: {on-failure: 'RETRY-5-exit status 3', commands: 21x}", "build(21x FAILED) failed");
}

static void the_first_failure_is_the_one_that_is_told(void **state)
{
    (void)state;
    struct buildspec *spec = NULL;
    struct plan plan;
    struct plan_step step;
    const char *yaml = "version: 0.2\nphases: {build: {commands: [a, b], finally: c}, post_build: "
                       "{commands: d}}\n";
    assert_int_equal(buildspec_parse(&spec, yaml, strlen(yaml), NULL, NULL), 0);
    plan_init(&plan, spec);
    for (plan_next(&plan, &step); step.kind != PLAN_DONE; plan_next(&plan, &step)) {
        if (step.kind == PLAN_COMMAND)
            plan_ended(&plan, step.index == 0 ? 0 : (int)step.index + 10);
        if (step.kind == PLAN_PHASE_END && step.phase == BUILDSPEC_BUILD)
            assert_string_equal(step.message,
                                "Error while executing command: b. Reason: exit status 11");
    }
    assert_int_equal(plan.failed_phase, BUILDSPEC_BUILD);
    assert_int_equal(plan.failed_index, 1);
    assert_int_equal(plan.failed_code, 11);
    plan_release(&plan);
    buildspec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_run_in_order_each_with_its_finally),
        cmocka_unit_test(the_first_failing_command_ends_the_commands_and_finally_still_runs),
        cmocka_unit_test(a_failing_finally_fails_the_phase),
        cmocka_unit_test(install_or_pre_build_failing_skips_to_the_end),
        cmocka_unit_test(on_failure_overrides_where_a_failure_leads),
        cmocka_unit_test(a_phase_is_retried_as_often_as_it_says),
        cmocka_unit_test(a_phase_is_retried_only_when_the_message_matches),
        cmocka_unit_test(the_first_failure_is_the_one_that_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
