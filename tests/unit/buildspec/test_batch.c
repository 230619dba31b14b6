/* batch: as it is read, and the builds that it makes. */
#include "buildspec/batch.h"

#include "tests/unit/buildspec/check.h"

/* The builds as text: identifier [buildspec] <image> NAME=value ... !ignored ?privileged (on). */
static void expands(const char *yaml, const char *expected)
{
    struct buildspec *spec = parse(yaml);
    struct batch batch;
    struct buf text;

    buf_init(&text, 1024 * 1024);
    batch_expand(spec, &batch);
    buildspec_free(spec); /* the builds do not refer to it */
    if (batch.fast_fail)
        buf_adds(&text, "fast-fail\n");
    for (size_t i = 0; i < batch.count; i++) {
        const struct batch_build *build = &batch.builds[i];

        buf_adds(&text, build->identifier);
        if (build->buildspec)
            buf_addf(&text, " [%s]", build->buildspec);
        if (build->image)
            buf_addf(&text, " <%s>", build->image);
        if (build->compute_type)
            buf_addf(&text, " {%s}", build->compute_type);
        if (build->type)
            buf_addf(&text, " type=%s", build->type);
        if (build->fleet)
            buf_addf(&text, " fleet=%s", build->fleet);
        for (size_t j = 0; j < build->env_count; j++)
            buf_addf(&text, " %s=%s", build->env[j].key, build->env[j].value);
        if (build->ignore_failure)
            buf_adds(&text, " !");
        if (build->privileged != BUILDSPEC_UNSET)
            buf_adds(&text, build->privileged == BUILDSPEC_YES ? " privileged" : " plain");
        for (size_t j = 0; j < build->depend_count; j++)
            buf_addf(&text, "%s%zu%s", j ? "," : " (", build->depend_on[j],
                     j + 1 == build->depend_count ? ")" : "");
        buf_addc(&text, '\n');
    }
    if (strcmp(buf_cstr(&text), expected) != 0)
        fail_msg("of\n%s\nit makes\n%s\nand not\n%s", yaml, buf_cstr(&text), expected);
    buf_release(&text);
    batch_release(&batch);
}

static void a_buildspec_without_batch_makes_no_builds(void **state)
{
    (void)state;
    expands(HEAD BUILD, "");
    expands(HEAD "batch:\n" BUILD, "");
}

static void a_list_is_in_its_order_with_what_each_overrides(void **state)
{
    (void)state;
    expands(HEAD "batch:\n"
                 "  fast-fail: true\n"
                 "  build-list:\n"
                 "    - identifier: linux_small\n"
                 "      env: {compute-type: BUILD_GENERAL1_SMALL, privileged-mode: false}\n"
                 "      ignore-failure: true\n"
                 "    - identifier: arm\n"
                 "      buildspec: arm.yml\n"
                 "      debug-session: true\n"
                 "      env:\n"
                 "        type: ARM_CONTAINER\n"
                 "        image: aws/codebuild/amazonlinux2-aarch64-standard:3.0\n"
                 "        privileged-mode: true\n"
                 "        variables: {A: 1, B: x}\n"
                 "    - identifier: own\n"
                 "      env: {fleet: mine}\n" BUILD,
            "fast-fail\n"
            "linux_small {BUILD_GENERAL1_SMALL} ! plain\n"
            "arm [arm.yml] <aws/codebuild/amazonlinux2-aarch64-standard:3.0> type=ARM_CONTAINER "
            "A=1 B=x privileged\n"
            "own fleet=mine\n");
}

static void a_build_of_a_list_without_identifier_is_called_by_its_place(void **state)
{
    (void)state;
    expands(HEAD
            "batch: {build-list: [{buildspec: a.yml}, {identifier: build_1}, {env: }]}\n" BUILD,
            "build_1_2 [a.yml]\nbuild_1\nbuild_3\n");
}

static void a_graph_knows_what_each_build_waits_for(void **state)
{
    (void)state;
    expands(HEAD "batch:\n"
                 "  build-graph:\n"
                 "    - {identifier: pack, depend-on: [test, lint, test]}\n"
                 "    - {identifier: lint}\n"
                 "    - {identifier: test, depend-on: lint}\n" BUILD,
            "pack (2,1)\nlint\ntest (1)\n");
}

static void a_matrix_makes_each_combination_the_last_varying_fastest(void **state)
{
    (void)state;
    expands(HEAD "batch:\n"
                 "  build-matrix:\n"
                 "    static:\n"
                 "      ignore-failure: true\n"
                 "      env: {type: LINUX_CONTAINER, privileged-mode: true}\n"
                 "    dynamic:\n"
                 "      env:\n"
                 "        image: [aws/codebuild/standard:7.0, 'registry.example/own:1']\n"
                 "        variables: {MY_VAR: [VALUE1, VALUE2, VALUE3]}\n" BUILD,
            "standard_7_0_MY_VAR_VALUE1 <aws/codebuild/standard:7.0> type=LINUX_CONTAINER "
            "MY_VAR=VALUE1 ! privileged\n"
            "standard_7_0_MY_VAR_VALUE2 <aws/codebuild/standard:7.0> type=LINUX_CONTAINER "
            "MY_VAR=VALUE2 ! privileged\n"
            "standard_7_0_MY_VAR_VALUE3 <aws/codebuild/standard:7.0> type=LINUX_CONTAINER "
            "MY_VAR=VALUE3 ! privileged\n"
            "own_1_MY_VAR_VALUE1 <registry.example/own:1> type=LINUX_CONTAINER MY_VAR=VALUE1 ! "
            "privileged\n"
            "own_1_MY_VAR_VALUE2 <registry.example/own:1> type=LINUX_CONTAINER MY_VAR=VALUE2 ! "
            "privileged\n"
            "own_1_MY_VAR_VALUE3 <registry.example/own:1> type=LINUX_CONTAINER MY_VAR=VALUE3 ! "
            "privileged\n");
    expands(HEAD "batch:\n"
                 "  build-matrix:\n"
                 "    dynamic:\n"
                 "      buildspec: [m1.yml, ci/m2.yml]\n"
                 "      env:\n"
                 "        compute-type: SMALL\n"
                 "        variables: {A: [x], B: ['', y]}\n",
            "m1_yml_B_ [m1.yml] {SMALL} A=x B=\n"
            "m1_yml_B_y [m1.yml] {SMALL} A=x B=y\n"
            "ci_m2_yml_B_ [ci/m2.yml] {SMALL} A=x B=\n"
            "ci_m2_yml_B_y [ci/m2.yml] {SMALL} A=x B=y\n");
}

static void identifiers_of_a_matrix_are_unique_and_short(void **state)
{
    (void)state;
    expands(HEAD
            "batch: {build-matrix: {dynamic: {env: {variables: {V: [a/b, a b, a_b]}}}}}\n" BUILD,
            "V_a_b V=a/b\nV_a_b_2 V=a b\nV_a_b_3 V=a_b\n");
    expands(HEAD "batch: {build-matrix: {dynamic: {env: {variables: {V: x}}}}}\n" BUILD,
            "build V=x\n");
    expands(HEAD "batch: {build-matrix: {dynamic: {env: {image: [x:é, \"y:\\u20ac\"]}}}}\n" BUILD,
            "x_ <x:é>\ny_ <y:€>\n");
    expands(HEAD
            "batch: {build-matrix: {dynamic: {env: {variables: {V: [a, "
            "a123456789012345678901234567890123456789012345678901234567890123456789]}}}}}\n" BUILD,
            "V_a V=a\n"
            "V_a123456789012345678901234567890123456789012345678901234567 "
            "V=a123456789012345678901234567890123456789012345678901234567890123456789\n");
}

static void a_dynamic_variable_wins_over_a_static_one(void **state)
{
    (void)state;
    expands(HEAD "batch: {build-matrix: {static: {env: {variables: {A: s, B: t}, image: i}}, "
                 "dynamic: {env: {image: j, variables: {A: [1, 2]}}}}}\n" BUILD,
            "A_1 <j> A=1 B=t\nA_2 <j> A=2 B=t\n");
}

static void a_fanout_tells_each_build_its_place(void **state)
{
    (void)state;
    expands(HEAD "batch: {build-fanout: {parallelism: 2, ignore-failure: yes}}\n" BUILD,
            "fanout_0 GANTRY_FANOUT_INDEX=0 GANTRY_FANOUT_TOTAL=2 !\n"
            "fanout_1 GANTRY_FANOUT_INDEX=1 GANTRY_FANOUT_TOTAL=2 !\n");
}

static void what_is_wrong_in_a_batch_is_told(void **state)
{
    static const struct row rows[] = {
        {HEAD BUILD "batch: [a]\n", "3:8: error: batch: must be a mapping, not a list"},
        {HEAD BUILD "batch: {fast-fail: yes}\n",
         "3:8: error: batch: has none of build-list, build-matrix, build-graph, build-fanout"},
        {HEAD BUILD "batch: {build-list: [{identifier: a}], build-fanout: {parallelism: 2}}\n",
         "3:8: error: batch: has build-list and build-fanout; a batch has one of them"},
        {HEAD BUILD "batch: {fast-fail: never, build-list: [{identifier: a}]}\n",
         "3:20: error: batch.fast-fail: must be yes or no, not 'never'"},
        {HEAD BUILD "batch: {build-graphs: [], build-list: [{identifier: a}]}\n",
         "3:9: warning: batch.build-graphs: unknown key, left out; did you mean 'build-graph'?"},
        {HEAD BUILD "batch: {build-list: {identifier: a}}\n",
         "3:21: error: batch.build-list: must be a list of builds, each with an identifier"},
        {HEAD BUILD "batch: {build-list: []}\n",
         "3:21: error: batch.build-list: must be a list of builds, each with an identifier"},
        {HEAD BUILD "batch: {build-list: [a]}\n",
         "3:22: error: batch.build-list[0]: must be a mapping with an identifier"},
        {HEAD BUILD "batch: {build-list: [{identifier: a b}]}\n",
         "3:35: error: batch.build-list[0].identifier: 'a b' is no identifier: letters, digits, _ "
         "and -, at most 127 of them"},
        {HEAD BUILD "batch: {build-list: [{identifier: a}, {identifier: b}, {identifier: a}]}\n",
         "3:56: error: batch.build-list[2]: 'a' is the identifier of the build in line 3, too"},
        {HEAD BUILD "batch: {build-list: [{identifier: a, depend-on: b}]}\n",
         "3:38: warning: batch.build-list[0].depend-on: unknown key, left out"},
        {HEAD BUILD "batch: {build-list: [{identifier: a, ignore-failure: [x]}]}\n",
         "3:54: error: batch.build-list[0].ignore-failure: must be yes or no, not a list"},
        {HEAD BUILD "batch: {build-list: [{identifier: a, env: {variables: {1: x}}}]}\n",
         "3:56: error: batch.build-list[0].env.variables.1: is no name of a variable (letters, "
         "digits and _, no digit first)"},
        {HEAD BUILD "batch: {build-list: [{identifier: a, env: {compute-type: x, fleet: y}}]}\n",
         "3:43: error: batch.build-list[0].env: has a compute-type and a fleet; it can have one "
         "of them"},
        {HEAD BUILD "batch: {build-list: [{identifier: a, env: {image: [x]}}]}\n",
         "3:51: error: batch.build-list[0].env.image: must be text, not a list"},
        {HEAD BUILD "batch: {build-graph: [{depend-on: []}]}\n",
         "3:23: error: batch.build-graph[0]: identifier is missing"},
        {HEAD BUILD
         "batch: {build-graph: [{identifier: lint}, {identifier: b, depend-on: [lnt]}]}\n",
         "3:70: error: batch.build-graph[1].depend-on: there is no build 'lnt'; did you mean "
         "'lint'?"},
        {HEAD BUILD "batch: {build-graph: [{identifier: a, depend-on: a}]}\n",
         "3:22: error: batch.build-graph: builds wait for each other: a -> a"},
        {HEAD BUILD "batch:\n"
                    "  build-graph:\n"
                    "    - {identifier: a, depend-on: b}\n"
                    "    - {identifier: b, depend-on: [d, c]}\n"
                    "    - {identifier: c, depend-on: b}\n"
                    "    - {identifier: d}\n",
         "5:5: error: batch.build-graph: builds wait for each other: b -> c -> b"},
        {HEAD BUILD "batch: {build-matrix: }\n",
         "3:23: error: batch.build-matrix: dynamic is missing: what the builds differ in"},
        {HEAD BUILD "batch: {build-matrix: {static: {env: {type: x}}}}\n",
         "3:23: error: batch.build-matrix: dynamic is missing: what the builds differ in"},
        {HEAD BUILD "batch: {build-matrix: {dynamic: {env: {variables: {A: []}}}}}\n",
         "3:55: error: batch.build-matrix.dynamic.env.variables.A: needs one value at least"},
        {HEAD BUILD "batch: {build-matrix: {dynamic: {env: {image: [a, '']}}}}\n",
         "3:47: error: batch.build-matrix.dynamic.env.image: an entry needs a value"},
        {HEAD BUILD "batch: {build-matrix: {dynamic: {env: {variables: {A: [a, b, c, d, e, f], B: "
                    "[a, b, c, d, e], C: [a, b, c, d]}}}}}\n",
         "3:23: error: batch.build-matrix: makes 120 builds; a batch has at most 100"},
        {HEAD BUILD "batch: {build-fanout: {ignore-failure: no}}\n",
         "3:23: error: batch.build-fanout: parallelism is missing: how many builds it makes"},
        {HEAD BUILD "batch: {build-fanout: {parallelism: 0}}\n",
         "3:37: error: batch.build-fanout.parallelism: must be a number from 1 to 100, not '0'"},
        {HEAD BUILD "batch: {build-fanout: {parallelism: 101}}\n",
         "3:37: error: batch.build-fanout.parallelism: must be a number from 1 to 100, not '101'"},
        {HEAD BUILD "batch: {build-fanout: {parallelism: many}}\n",
         "3:37: error: batch.build-fanout.parallelism: must be a number from 1 to 100, not "
         "'many'"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void phases_can_be_missing_where_every_build_has_another_buildspec(void **state)
{
    static const struct row rows[] = {
        {HEAD "batch: {build-list: [{identifier: a, buildspec: a.yml}]}\n", ""},
        {HEAD "batch: {build-list: [{identifier: a, buildspec: a.yml}, {identifier: b}]}\n",
         "1:1: error: phases is missing; the batch's build b has no other buildspec"},
        {HEAD "batch: {build-matrix: {dynamic: {buildspec: [a.yml, b.yml]}}}\n", ""},
        {HEAD "batch: {build-matrix: {dynamic: {env: {image: [a, b]}}}}\n",
         "1:1: error: phases is missing; the batch's build of build-matrix has no other "
         "buildspec"},
        {HEAD "batch: {build-fanout: {parallelism: 2}}\n",
         "1:1: error: phases is missing; the batch's build of build-fanout has no other "
         "buildspec"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void a_batch_has_a_hundred_builds_at_most(void **state)
{
    struct buildspec *spec;
    struct err err = {0};
    struct batch batch;
    struct buf yaml;

    (void)state;
    buf_init(&yaml, 64 * 1024);
    buf_adds(&yaml, HEAD BUILD "batch:\n  build-graph:\n    - {identifier: b0}\n");
    for (int i = 1; i < 100; i++)
        buf_addf(&yaml, "    - {identifier: b%d, depend-on: [b%d]}\n", i, i - 1);
    spec = parse(yaml.data);
    batch_expand(spec, &batch);
    assert_int_equal(batch.count, 100);
    assert_int_equal(batch.builds[99].depend_on[0], 98);
    batch_release(&batch);
    buildspec_free(spec);
    buf_adds(&yaml, "    - {identifier: b100}\n");
    assert_int_equal(buildspec_parse(&spec, yaml.data, yaml.len, NULL, &err), -1);
    assert_string_equal(err.msg, "line 5: batch.build-graph: has 101 builds; a batch has at most "
                                 "100");
    buf_release(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buildspec_without_batch_makes_no_builds),
        cmocka_unit_test(a_list_is_in_its_order_with_what_each_overrides),
        cmocka_unit_test(a_build_of_a_list_without_identifier_is_called_by_its_place),
        cmocka_unit_test(a_graph_knows_what_each_build_waits_for),
        cmocka_unit_test(a_matrix_makes_each_combination_the_last_varying_fastest),
        cmocka_unit_test(identifiers_of_a_matrix_are_unique_and_short),
        cmocka_unit_test(a_dynamic_variable_wins_over_a_static_one),
        cmocka_unit_test(a_fanout_tells_each_build_its_place),
        cmocka_unit_test(what_is_wrong_in_a_batch_is_told),
        cmocka_unit_test(phases_can_be_missing_where_every_build_has_another_buildspec),
        cmocka_unit_test(a_batch_has_a_hundred_builds_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
