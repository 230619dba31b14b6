/* Gates, approvals, what a stage does on failure, freezes: what they become, and what of them
 * could not work and is refused. */
#include "tests/unit/definition/definitions.h"

#define MINUTE 60000
#define HOUR   (60 * MINUTE)
#define DAY    (24 * (int64_t)HOUR)

#define GATED(gates)                                                                               \
    AFTER_BUILD "    - name: dev\n      gates:\n" gates                                            \
                "      steps: [custom/x: {name: x}]\n" /* gates from line 13 */
#define GATE(gate) GATED("        - " gate "\n")
#define AT         "spec.stages[1].gates[0]"
#define FREEZE(freezes)                                                                            \
    HEAD("Environment") "  {driver: command, command: {run: x}, freeze: " freezes "}\n"
#define FAILURE(what)                                                                              \
    AFTER_BUILD "    - name: dev\n      steps: [custom/x: {name: x}]\n      on-failure: " what "\n"

static void every_gate_is_read(void **state)
{
    struct definition *def =
        parsed(GATED("        - soak: 2h\n"
                     "        - window: \"Mon-Fri 09:00-16:00 Europe/Berlin\"\n"
                     "        - window: daily 06:00-22:00 UTC\n"
                     "        - manual: true\n"
                     "        - check: {custom: error-rate, input: {below: 1%, of: "
                     "\"{{release.number}}\"}, every: 10m}\n"
                     "        - approval: {by: group:qa}\n"
                     "        - check: {custom: x, every: 5s}\n"
                     "        - check: {custom: x, timeout: 30s}\n"
                     "        - approval: {rejects: 2}\n"));
    const struct def_stage *dev = &def->pipeline->stages[1];
    const struct def_gate *g = dev->gates;
    static const char *const names[] = {"soak",     "window",  "window-2", "manual",    "check",
                                        "approval", "check-2", "check-3",  "approval-2"};

    (void)state;
    assert_int_equal(dev->gate_count, COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_string_equal(g[i].name, names[i]);
        assert_int_equal(g[i].line, 13 + i);
    }
    assert_int_equal(g[0].kind, DEF_GATE_SOAK);
    assert_int_equal(g[0].soak_ms, 2 * HOUR);
    assert_int_equal(g[1].kind, DEF_GATE_WINDOW);
    assert_string_equal(g[1].window_text, "Mon-Fri 09:00-16:00 Europe/Berlin");
    assert_true(window_is_open(g[2].window, 12 * HOUR));
    assert_false(window_is_open(g[2].window, 23 * HOUR));
    assert_int_equal(g[3].kind, DEF_GATE_MANUAL);
    assert_int_equal(g[4].kind, DEF_GATE_CHECK);
    assert_string_equal(g[4].check.type, "error-rate");
    assert_int_equal(g[4].check.input_count, 2);
    assert_string_equal(g[4].check.input[1].value, "{{release.number}}");
    assert_int_equal(g[4].check.every_ms, 10 * MINUTE);
    assert_int_equal(g[4].check.timeout_ms, 10 * MINUTE);
    assert_int_equal(g[6].check.every_ms, 5000);
    assert_int_equal(g[6].check.timeout_ms, MINUTE);
    assert_int_equal(g[7].check.every_ms, 5 * MINUTE);
    assert_int_equal(g[7].check.timeout_ms, 30000);
    assert_int_equal(g[5].approval.rejects, 1);
    assert_int_equal(g[8].approval.rejects, 2);
    definition_free(def);
}

static void rules_of_gates(void **state)
{
    static const struct refusal rows[] = {
        {GATE("approval"), 13, AT, "expected one gate"},
        {GATE("sock: 2h"), 13, AT ".sock", "'sock' is not a gate; did you mean 'soak'?"},
        {GATE("freeze: x"), 13, AT ".freeze",
         "not a gate, which is one of: approval, soak, window, manual, check"},
        {GATE("soak: 2"), 13, AT ".soak",
         "expected a duration, such as 90s, 15m, 2h or 3d, not '2'"},
        {GATE("soak: 61d"), 13, AT ".soak", "expected 1s to 60d, not '61d'"},
        {GATE("soak:"), 13, AT ".soak", "needs a value"},
        {GATED("        - soak: 1h\n        - soak: 2h\n"), 14, "spec.stages[1].gates[1].soak",
         "another gate of this stage is 'soak'"},
        {HEAD("Pipeline") SOURCES STAGES "    - name: first\n      gates: [soak: 1h]\n"
                                         "      steps: [custom/x: {name: x}]\n",
         9, "spec.stages[0].gates[0].soak", "there is no stage before the first"},
        {GATE("window: Mon-Fri 09:00-16:00 Europe/Berln"), 13, AT ".window",
         "'Europe/Berln' is not a time zone; did you mean 'Europe/Berlin'?"},
        {GATE("window: [x]"), 13, AT ".window", "expected text, not a list"},
        {GATE("manual: false"), 13, AT ".manual", "expected true: without this entry"},
        {GATE("manual: hand"), 13, AT ".manual", "expected true or false, not 'hand'"},
        {GATE("check: {}"), 13, AT ".check", "a check needs 'custom' (a name)"},
        {GATE("check: x"), 13, AT ".check",
         "expected a mapping with the keys of a check, not text"},
        {GATE("check: {custom: custom/x}"), 13, AT ".check.custom", "a name has"},
        {GATE("check: {custom: x, every: 2d}"), 13, AT ".check.every", "expected 1s to 1d"},
        {GATE("check: {custom: x, timeout: 0}"), 13, AT ".check.timeout", "expected 1s to 1d"},
        {GATE("check: {custom: x, evry: 2m}"), 13, AT ".check.evry", "did you mean 'every'?"},
        {AFTER_BUILD "    - name: dev\n      gates: [check: {custom: x}]\n      steps:\n"
                     "        - custom/x: {name: check}\n",
         14, "spec.stages[1].steps[0].custom/x.name", "a gate of this stage has the name 'check'"},
        {AFTER_BUILD "    - name: dev\n      gates: [approval: {}]\n      steps:\n"
                     "        - approval: {name: approval}\n",
         14, "spec.stages[1].steps[0].approval.name", "a gate of this stage has the name"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

#define QA                                                                                         \
    AFTER_BUILD "    - name: qa\n      gates: [approval: {}]\n"                                    \
                "      steps: [custom/x: {name: x}]\n"                                             \
                "    - name: look\n      steps: [approval: {name: look}]\n" /* 11-15 */
#define PROD(gate)                                                                                 \
    QA "    - name: prod\n      gates: [" gate "]\n      steps: [custom/x: {name: x}]\n"

static void approvers_of_earlier_stages_can_be_excluded(void **state)
{
    struct definition *def =
        parsed(PROD("approval: {not: ['approver-of:qa', 'approver-of:look', author]}"));

    (void)state;
    assert_string_equal(def->pipeline->stages[3].gates[0].approval.not_.items[1],
                        "approver-of:look");
    definition_free(def);
    definition_free(parsed(PROD("approval: {not: 'approver-of:qa'}")));
}

static void rules_of_an_approval(void **state)
{
    static const struct refusal rows[] = {
        {GATE("approval: {not: ['approver-of:dev']}"), 13, AT ".approval.not[0]",
         "no stage before this one has an approval"},
        {PROD("approval: {not: ['approver-of:build']}"), 17,
         "spec.stages[3].gates[0].approval.not[0]",
         "no stage 'build' with an approval is before this one"},
        {PROD("approval: {not: ['approver-of:prod']}"), 17,
         "spec.stages[3].gates[0].approval.not[0]", "is before this one"},
        {PROD("approval: {not: 'approver-of:loook'}"), 17, "spec.stages[3].gates[0].approval.not",
         "did you mean 'approver-of:look'?"},
        {PROD("approval: {not: ['approver-of:']}"), 17, "spec.stages[3].gates[0].approval.not[0]",
         "expected author or starter, or approver-of: and a stage's name"},
        {GATE("approval: {rejects: 0}"), 13, AT ".approval.rejects",
         "expected a number from 1 to 100, not '0'"},
        {GATE("approval: {by: ['user:a', 'user:b'], rejects: 3}"), 13, AT ".approval.rejects",
         "3 votes are asked of 2 people"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

static void on_failure_is_read(void **state)
{
    static const struct {
        const char *yaml;
        enum def_on_failure on_failure;
        uint32_t retries;
    } rows[] = {{FAILURE("fail"), DEF_FAIL, 0},
                {FAILURE("retry 1"), DEF_RETRY, 1},
                {FAILURE("retry 10"), DEF_RETRY, 10},
                {FAILURE("rollback"), DEF_ROLLBACK, 0}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct definition *def = parsed(rows[i].yaml);
        const struct def_stage *dev = &def->pipeline->stages[1];

        assert_int_equal(dev->on_failure, rows[i].on_failure);
        assert_int_equal(dev->retries, rows[i].retries);
        definition_free(def);
    }
}

static void rules_of_on_failure(void **state)
{
    static const struct refusal rows[] = {
        {FAILURE("retry"), 13, "spec.stages[1].on-failure", "from 1 to 10, such as 'retry 2'"},
        {FAILURE("retry 0"), 13, "spec.stages[1].on-failure", "from 1 to 10"},
        {FAILURE("retry 11"), 13, "spec.stages[1].on-failure", "from 1 to 10"},
        {FAILURE("retry x"), 13, "spec.stages[1].on-failure", "from 1 to 10"},
        {FAILURE("rollbak"), 13, "spec.stages[1].on-failure", "did you mean 'rollback'?"},
        {FAILURE("ignore"), 13, "spec.stages[1].on-failure", "one of: fail, retry N, rollback"},
        {FAILURE("{retry: 2}"), 13, "spec.stages[1].on-failure", "one of: fail, retry N, rollback"},
        {HEAD("Pipeline") "  mode: parallel\n" SOURCES STAGES BUILD "      on-failure: rollback\n",
         12, "spec.stages[0].on-failure", "a pipeline of mode 'parallel' has no rollback"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

static void mode_parallel_is_read_wherever_it_stands(void **state)
{
    struct definition *def = parsed(AFTER_BUILD "      on-failure: retry 2\n  mode: parallel\n");
    static const struct refusal late = {AFTER_BUILD
                                        "      on-failure: rollback\n  mode: parallel\n",
                                        11, "spec.stages[0].on-failure", "has no rollback"};

    (void)state;
    assert_int_equal(def->pipeline->mode, DEF_PARALLEL);
    definition_free(def);
    assert_refused(&late);
}

static void freezes_are_read(void **state)
{
    struct definition *def = parsed(
        FREEZE("[{window: 2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin, reason: holidays},"
               " {window: Fri 14:00-24:00 UTC, reason: weekend}]"));
    const struct def_environment *e = def->environment;

    (void)state;
    assert_int_equal(e->freeze_count, 2);
    assert_string_equal(e->freezes[0].reason, "holidays");
    assert_string_equal(e->freezes[1].window_text, "Fri 14:00-24:00 UTC");
    assert_true(window_is_open(e->freezes[1].window, DAY + 15 * HOUR)); /* 1970-01-02 */
    definition_free(def);
    def = parsed(FREEZE("[]"));
    assert_int_equal(def->environment->freeze_count, 0);
    definition_free(def);
}

static void rules_of_freezes(void **state)
{
    static const struct refusal rows[] = {
        {FREEZE("x"), 5, "spec.freeze", "expected a list of freezes, not text"},
        {FREEZE("[x]"), 5, "spec.freeze[0]", "expected a mapping with the keys of a freeze"},
        {FREEZE("[{window: daily 09:00-10:00 UTC}]"), 5, "spec.freeze[0]",
         "a freeze needs 'reason' (a reason)"},
        {FREEZE("[{reason: x}]"), 5, "spec.freeze[0]", "a freeze needs 'window'"},
        {FREEZE("[{window: daily 09:00-10:00, reason: x}]"), 5, "spec.freeze[0].window",
         "needs a time zone at its end"},
        {FREEZE("[{window: daily 09:00-10:00 UTC, reson: x, reason: y}]"), 5,
         "spec.freeze[0].reson", "did you mean 'reason'?"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

static void silence_is_bounded(void **state)
{
    static const struct refusal rows[] = {
        {AFTER_BUILD "        - deploy: {name: app, environment: dev, lost-after: 59s}\n", 11,
         "spec.stages[0].steps[1].deploy.lost-after", "expected 1m to 7d, not '59s'"},
        {AFTER_BUILD "        - custom/x: {name: app, lost-after: 8d}\n", 11,
         "spec.stages[0].steps[1].custom/x.lost-after", "expected 1m to 7d"},
        {AFTER_BUILD "        - approval: {name: app, lost-after: 5m}\n", 11,
         "spec.stages[0].steps[1].approval.lost-after", "not a key of an approval"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gate_is_read),
        cmocka_unit_test(rules_of_gates),
        cmocka_unit_test(approvers_of_earlier_stages_can_be_excluded),
        cmocka_unit_test(rules_of_an_approval),
        cmocka_unit_test(on_failure_is_read),
        cmocka_unit_test(rules_of_on_failure),
        cmocka_unit_test(mode_parallel_is_read_wherever_it_stands),
        cmocka_unit_test(freezes_are_read),
        cmocka_unit_test(rules_of_freezes),
        cmocka_unit_test(silence_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
