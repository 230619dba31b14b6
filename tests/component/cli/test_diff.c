/* What an apply would change, by what it means. */
#include "services/cli/diff.h"

#include "base/buf.h"
#include "tests/unit/unit.h"

#define BUILD "{name: build, steps: [{build: {name: image, buildspec: b.yml, image: r/shop}}]}"
#define DEV   "{name: dev, steps: [{deploy: {name: app, environment: dev}}]}"
#define PROD                                                                                       \
    "{name: prod, gates: [{soak: 2h}, {approval: {by: [group:qa], count: 1}}], steps: [{deploy: "  \
    "{name: app, environment: prod}}]}"
#define PIPELINE(mode, stages) "spec: {mode: " mode ", stages: [" stages "]}\n"

static void expect(const char *before, const char *after, const char *changes)
{
    struct diff diff;
    struct buf text;

    diff_make(&diff, before, strlen(before), after, strlen(after));
    buf_init(&text, 65536);
    for (size_t i = 0; i < diff.count; i++)
        buf_addf(&text, "%c %s: %s%s%s\n", diff.items[i].op, diff.items[i].path,
                 diff.items[i].before ? diff.items[i].before : "",
                 diff.items[i].before && diff.items[i].after ? " -> " : "",
                 diff.items[i].after ? diff.items[i].after : "");
    assert_string_equal(buf_cstr(&text), changes);
    buf_release(&text);
    diff_release(&diff);
}

static void comments_layout_quotes_and_the_order_of_keys_change_nothing(void **state)
{
    (void)state;
    expect(PIPELINE("queued", BUILD),
           "# ours\nspec:\n  stages:\n    - steps:\n        - build: {image: r/shop, buildspec: "
           "'b.yml', name: image}\n      name: \"build\"\n  mode: queued\n",
           "");
}

static void a_stage_that_comes_between_others_is_the_one_that_is_added(void **state)
{
    (void)state;
    expect(PIPELINE("queued", BUILD ", " PROD), PIPELINE("queued", BUILD ", " DEV ", " PROD),
           "+ spec.stages.dev: {name: dev, steps: [{deploy: {name: app, environment: dev}}]}\n");
    expect(PIPELINE("queued", BUILD ", " DEV), PIPELINE("queued", BUILD),
           "- spec.stages.dev: {name: dev, steps: [{deploy: {name: app, environment: dev}}]}\n");
}

static void gates_are_told_apart_by_their_kind_and_actions_by_their_name(void **state)
{
    (void)state;
    expect(PIPELINE("queued", PROD),
           PIPELINE("superseded",
                    "{name: prod, on-failure: rollback, gates: [{window: Mon-Fri 09:00-16:00 UTC}, "
                    "{approval: {by: [group:qa, group:ops], count: 2}}, {manual: true}], steps: "
                    "[{deploy: {name: app, environment: prod, timeout: 20m}}, {build: {name: "
                    "smoke, buildspec: s.yml}}]}"),
           "~ spec.mode: queued -> superseded\n"
           "+ spec.stages.prod.on-failure: rollback\n"
           "- spec.stages.prod.gates.soak: {soak: 2h}\n"
           "+ spec.stages.prod.gates.window: {window: Mon-Fri 09:00-16:00 UTC}\n"
           "~ spec.stages.prod.gates.approval.by: [group:qa] -> [group:qa, group:ops]\n"
           "~ spec.stages.prod.gates.approval.count: 1 -> 2\n"
           "+ spec.stages.prod.gates.manual: {manual: true}\n"
           "+ spec.stages.prod.steps.deploy(app).timeout: 20m\n"
           "+ spec.stages.prod.steps.build(smoke): {build: {name: smoke, buildspec: s.yml}}\n");
}

static void a_second_gate_of_a_kind_has_a_number(void **state)
{
    (void)state;
    expect("gates: [{approval: {count: 1}}, {approval: {count: 1}}]\n",
           "gates: [{approval: {count: 1}}, {approval: {count: 3}}]\n",
           "~ gates.approval-2.count: 1 -> 3\n");
}

static void another_order_of_stages_is_a_change(void **state)
{
    (void)state;
    expect(PIPELINE("queued", BUILD ", " DEV ", " PROD),
           PIPELINE("queued", BUILD ", " PROD ", " DEV),
           "~ spec.stages (order): build, dev, prod -> build, prod, dev\n");
}

static void members_that_run_together_are_compared_one_by_one(void **state)
{
    (void)state;
    expect(
        "steps: [{parallel: [{build: {name: a, buildspec: a.yml}}]}]\n",
        "steps: [{parallel: [{build: {name: a, buildspec: b.yml}}, {custom/load: {name: l}}]}]\n",
        "~ steps.parallel.build(a).buildspec: a.yml -> b.yml\n"
        "+ steps.parallel.custom/load(l): {custom/load: {name: l}}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comments_layout_quotes_and_the_order_of_keys_change_nothing),
        cmocka_unit_test(a_stage_that_comes_between_others_is_the_one_that_is_added),
        cmocka_unit_test(gates_are_told_apart_by_their_kind_and_actions_by_their_name),
        cmocka_unit_test(a_second_gate_of_a_kind_has_a_number),
        cmocka_unit_test(another_order_of_stages_is_a_change),
        cmocka_unit_test(members_that_run_together_are_compared_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
