/* {{names}} that cannot have a value where they stand are told before anything runs. */
#include "tests/unit/definition/definitions.h"

/* Two sources, a variable, an image and what a build exports; then the text in question. */
#define BEFORE                                                                                     \
    HEAD("Pipeline")                                                                               \
    "  variables: {LEVEL: info}\n"                                                                 \
    "  sources:\n"                                                                                 \
    "    - {name: app, git: https://g/x, branches: [main]}\n"                                      \
    "    - {name: chart, git: https://g/y, branches: [main]}\n"                                    \
    "  stages:\n"                                                                                  \
    "    - name: build\n"                                                                          \
    "      steps:\n"                                                                               \
    "        - build: {name: image, source: app, image: r.example/x}\n"                            \
    "        - custom/scan: {name: scan}\n" /* 5-13 */
#define INPUT(text) BEFORE "        - custom/say: {name: say, input: {text: \"" text "\"}}\n"
#define AT          "spec.stages[0].steps[2].custom/say.input.text"

static void every_name_that_can_have_a_value_is_taken(void **state)
{
    static const char *const rows[] = {
        INPUT("{{release.number}} {{pipeline}} {{pipeline.name}} {{revision}}"),
        INPUT("{{revisions.app}}{{revisions.chart}}"),
        INPUT("{{variables.LEVEL}} {{ variables.LEVEL\\t}}"),
        INPUT("{{actions.image.VERSION}} {{actions.scan.a.b}}"),
        INPUT("{{artifacts.image.digest}} {{artifacts.image.image}}"),
        INPUT("no name: { and }}, {x}, {{"),
        BEFORE "        - build: {name: b, source: app, env: {V: '{{actions.scan.X}}'}}\n",
        BEFORE "        - approval: {name: look, message: '{{actions.scan.X}}'}\n",
        BEFORE "    - name: dev\n      gates:\n"
               "        - approval: {message: '{{artifacts.image.digest}} {{actions.scan.X}}'}\n"
               "        - check: {custom: c, input: {of: '{{actions.image.X}}'}}\n"
               "      steps: [custom/x: {name: x, input: {a: '{{actions.scan.X}}'}}]\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        definition_free(parsed(rows[i]));
}

static void names_without_a_value_are_refused(void **state)
{
    static const struct refusal rows[] = {
        {INPUT("{{release.nummer}}"), 14, AT, "did you mean {{release.number}}?"},
        {INPUT("{{nothing.of.it}}"), 14, AT,
         "{{nothing.of.it}}: expected release.number, pipeline"},
        {INPUT("{{}}"), 14, AT, "{{}}: expected release.number"},
        {INPUT("{{variables.LEVLE}}"), 14, AT,
         "{{variables.LEVLE}}: spec.variables has no such key; did you mean {{variables.LEVEL}}?"},
        {INPUT("{{ variable.LEVEL }}"), 14, AT, "did you mean {{variables.LEVEL}}?"},
        {INPUT("{{revisions.ap}}"), 14, AT,
         "the pipeline has no such source; did you mean {{revisions.app}}?"},
        {INPUT("{{actions.scna.RESULT}}"), 14, AT,
         "no such action runs before this; did you mean {{actions.scan.RESULT}}?"},
        {INPUT("{{actions.scan}}"), 14, AT, "expected actions.ACTION.NAME"},
        {INPUT("{{actions.scan.}}"), 14, AT, "expected actions.ACTION.NAME"},
        {INPUT("{{actions.say.X}}"), 14, AT, "no such action runs before this"},
        {INPUT("{{artifacts.imag.digest}}"), 14, AT,
         "no such build with 'image' runs before this; did you mean {{artifacts.image.digest}}?"},
        {INPUT("{{artifacts.image.tag}}"), 14, AT, "expected artifacts.BUILD.digest or"},
        {INPUT("{{artifacts.scan.digest}}"), 14, AT, "no such build with 'image'"},
        {INPUT("fine {{pipeline}}, {{x}} not"), 14, AT, "{{x}}: expected"},
        {INPUT("{{a}} }} {{pipeline}}"), 14, AT, "{{a}}: expected"},
        {BEFORE "        - custom/say: {name: say, input: {a: x, b: '{{c}}'}}\n", 14,
         "spec.stages[0].steps[2].custom/say.input.b", "{{c}}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

static void every_text_that_is_filled_in_is_checked(void **state)
{
    static const struct refusal rows[] = {
        {BEFORE "        - build: {name: b, source: app, env: {V: '{{x}}'}}\n", 14,
         "spec.stages[0].steps[2].build.env.V", "{{x}}"},
        {BEFORE "        - build: {name: b, source: app, image: '{{x}}'}\n", 14,
         "spec.stages[0].steps[2].build.image", "a repository is written out, without {{names}}"},
        {BEFORE "        - approval: {name: look, message: '{{x}}'}\n", 14,
         "spec.stages[0].steps[2].approval.message", "{{x}}"},
        {BEFORE "      gates: [approval: {message: '{{x}}'}]\n", 14,
         "spec.stages[0].gates[0].approval.message", "{{x}}"},
        {BEFORE "      gates: [check: {custom: c, input: {a: '{{x}}'}}]\n", 14,
         "spec.stages[0].gates[0].check.input.a", "{{x}}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

static void what_runs_later_or_at_the_same_time_has_no_value_yet(void **state)
{
    static const struct refusal rows[] = {
        {BEFORE "        - parallel:\n"
                "            - custom/a: {name: a}\n"
                "            - custom/b: {name: b, input: {x: '{{actions.a.X}}'}}\n",
         16, "spec.stages[0].steps[2].parallel[1].custom/b.input.x", "runs before this"},
        {BEFORE "      gates: [check: {custom: c, input: {a: '{{actions.scan.X}}'}}]\n", 14,
         "spec.stages[0].gates[0].check.input.a", "runs before this"},
        {BEFORE "        - custom/b: {name: b, input: {x: '{{actions.later.X}}'}}\n"
                "        - custom/a: {name: later}\n",
         14, "spec.stages[0].steps[2].custom/b.input.x", "runs before this"},
        {BEFORE "        - approval: {name: look}\n"
                "        - custom/b: {name: b, input: {x: '{{actions.look.X}}'}}\n",
         15, "spec.stages[0].steps[3].custom/b.input.x", "runs before this"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

/* One mistake is told once. */
static void a_name_that_hangs_on_another_mistake_is_not_told(void **state)
{
    static const struct refusal rows[] = {
        {HEAD("Pipeline") "  variables: {1A: x}\n" SOURCES STAGES
                          "    - name: build\n      steps:\n"
                          "        - custom/x: {name: x, input: {a: '{{variables.1A}}'}}\n",
         5, "spec.variables.1A", "a variable has"},
        {HEAD("Pipeline") SOURCES STAGES
         "    - name: build\n      steps:\n"
         "        - custom/x: {name: X}\n"
         "        - custom/y: {name: y, input: {a: '{{actions.X.V}}'}}\n",
         10, "spec.stages[0].steps[0].custom/x.name", "a name has"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_that_can_have_a_value_is_taken),
        cmocka_unit_test(names_without_a_value_are_refused),
        cmocka_unit_test(every_text_that_is_filled_in_is_checked),
        cmocka_unit_test(what_runs_later_or_at_the_same_time_has_no_value_yet),
        cmocka_unit_test(a_name_that_hangs_on_another_mistake_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
