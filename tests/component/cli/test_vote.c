/* Which of several open approvals `gantry approve` means. */
#include <jansson.h>

#include "services/cli/cli.h"
#include "tests/unit/unit.h"

static json_t *approval(int release, const char *stage, const char *gate, bool mine)
{
    return json_pack("{s:s, s:i, s:s, s:s, s:[s], s:i, s:b, s:s?}", "pipeline", "shop", "release",
                     release, "stage", stage, "gate", gate, "by", "group:qa", "count", 1, "mayVote",
                     mine, "whyNot", mine ? NULL : "you have voted already");
}

/* The gate that is chosen of shop/42 on prod, or the exit code as text. */
static const char *choose(json_t *list, const char *gate)
{
    struct vote_wanted wanted = {
        .verdict = "approve", .pipeline = "shop", .release = 42, .stage = "prod", .gate = gate};
    static char out[64];
    const json_t *chosen;
    int rc = 0;

    assert_non_null(list);
    chosen = vote_choose(list, &wanted, &rc);
    if (chosen)
        snprintf(out, sizeof out, "%s", jstr(chosen, "gate"));
    else
        snprintf(out, sizeof out, "%d", rc);
    json_decref(list);
    return out;
}

static void the_only_one_open_is_taken_whoever_may_vote_on_it(void **state)
{
    (void)state;
    assert_string_equal(choose(json_pack("[o, o, o]", approval(42, "prod", "approval", false),
                                         approval(41, "prod", "approval", true),
                                         approval(42, "staging", "approval", true)),
                               NULL),
                        "approval");
}

static void of_several_the_one_that_the_person_may_still_vote_on_is_taken(void **state)
{
    (void)state;
    assert_string_equal(choose(json_pack("[o, o]", approval(42, "prod", "approval", false),
                                         approval(42, "prod", "approval-2", true)),
                               NULL),
                        "approval-2");
    assert_string_equal(choose(json_pack("[o, o]", approval(42, "prod", "approval", true),
                                         approval(42, "prod", "approval-2", false)),
                               NULL),
                        "approval");
}

static void two_that_the_person_may_vote_on_or_none_are_for_the_person_to_name(void **state)
{
    (void)state;
    assert_string_equal(choose(json_pack("[o, o]", approval(42, "prod", "approval", true),
                                         approval(42, "prod", "approval-2", true)),
                               NULL),
                        "2");
    assert_string_equal(choose(json_pack("[o, o]", approval(42, "prod", "approval", false),
                                         approval(42, "prod", "approval-2", false)),
                               NULL),
                        "2");
}

static void a_gate_that_is_named_is_taken_and_no_other(void **state)
{
    (void)state;
    assert_string_equal(choose(json_pack("[o, o]", approval(42, "prod", "approval", true),
                                         approval(42, "prod", "approval-2", false)),
                               "approval-2"),
                        "approval-2");
    assert_string_equal(choose(json_pack("[o]", approval(42, "prod", "approval", true)), "soak"),
                        "3");
    assert_string_equal(choose(json_pack("[o]", approval(41, "prod", "approval", true)), NULL),
                        "3");
    assert_string_equal(choose(json_array(), NULL), "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_only_one_open_is_taken_whoever_may_vote_on_it),
        cmocka_unit_test(of_several_the_one_that_the_person_may_still_vote_on_is_taken),
        cmocka_unit_test(two_that_the_person_may_vote_on_or_none_are_for_the_person_to_name),
        cmocka_unit_test(a_gate_that_is_named_is_taken_and_no_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
