/* What people are told of what somebody did, or Gantry did by itself, between the stages. */
#include <stdlib.h>

#include "base/buf.h"
#include "gantry/v1/event.pb-c.h"
#include "services/notifier/notifier.h"
#include "tests/unit/unit.h"

#define FACT(name) GANTRY__V1__RELEASE_EVENT__FACT_##name

static Gantry__V1__Actor kim = {.base = {.descriptor = &gantry__v1__actor__descriptor},
                                .subject = "token:kim",
                                .name = "Kim",
                                .email = ""};

/* `lines`: label and value pairs that the text of the mail has, ended by NULL. */
static void expect(Gantry__V1__ReleaseEvent *event, const char *kind, const char *headline,
                   const char *word, const char *const *lines)
{
    char type[EVENT_TYPE_MAX], line[256];
    struct buf text, html;

    event->pipeline = "shop";
    event->time_ms = 1795000000000LL;
    wording_kind(event, type);
    assert_string_equal(type, kind);
    buf_init(&text, 65536);
    buf_init(&html, 65536);
    page_text(&text, event, "https://gantry.example.test");
    page_html(&html, event, "https://gantry.example.test");
    assert_memory_equal(buf_cstr(&text), headline, strlen(headline));
    snprintf(line, sizeof line, ">%s<", word);
    assert_non_null(strstr(buf_cstr(&html), line));
    for (; *lines; lines += 2) {
        snprintf(line, sizeof line, "%-12s  %s\r\n", lines[0], lines[1]);
        if (!strstr(buf_cstr(&text), line))
            fail_msg("no '%s' in\n%s", line, buf_cstr(&text));
    }
    buf_release(&text);
    buf_release(&html);
}
#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void an_override_names_the_gate_who_and_why(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__GateOverridden fact = GANTRY__V1__GATE_OVERRIDDEN__INIT;
    (void)state;

    event.fact_case = FACT(GATE_OVERRIDDEN);
    event.gate_overridden = &fact;
    fact.release = 42;
    fact.stage = "prod";
    fact.gate = "approval";
    fact.reason = "PROD is down";
    fact.by = &kim;
    expect(&event, "gate.overridden", "shop/42 passes prod without approval: Kim overrode it",
           "Gate overridden", LINES("Gate", "approval", "By", "Kim", "Reason", "PROD is down"));
    assert_int_equal(wording_release(&event), 42);
    assert_string_equal(wording_stage(&event), "prod");
}

static void a_rollback_by_itself_says_which_release_failed(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ReleaseStarted fact = GANTRY__V1__RELEASE_STARTED__INIT;
    (void)state;

    event.fact_case = FACT(RELEASE_STARTED);
    event.release_started = &fact;
    fact.release = 13;
    fact.type = GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK;
    fact.rollback_stage = "prod";
    fact.rollback_to = 11;
    fact.failed_release = 12;
    expect(&event, "release.started",
           "shop/13: prod rolled back by itself because release 12 failed", "Rolled back",
           LINES("Failed", "release 12", "Back to", "release 11"));
    assert_int_equal(wording_tone(&event), WORDING_BAD);
    fact.failed_release = 0;
    expect(&event, "release.started", "shop/13 started (rollback)", "Under way",
           LINES("Back to", "release 11"));
}

static void a_retry_by_itself_says_what_failed(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__StageEntered fact = GANTRY__V1__STAGE_ENTERED__INIT;
    (void)state;

    event.fact_case = FACT(STAGE_ENTERED);
    event.stage_entered = &fact;
    fact.release = 42;
    fact.stage = "dev";
    fact.number = 2;
    fact.automatic = true;
    fact.reason = "app failed: not healthy";
    expect(&event, "stage.entered", "shop/42 tries dev again by itself", "Retried",
           LINES("Reason", "app failed: not healthy"));
}

static void transitions_say_who_shut_them_and_why(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__TransitionSet fact = GANTRY__V1__TRANSITION_SET__INIT;
    (void)state;

    event.fact_case = FACT(TRANSITION_SET);
    event.transition_set = &fact;
    fact.stage = "prod";
    fact.reason = "the fair";
    event.actor = &kim;
    expect(&event, "transition.set", "shop: the way into prod is disabled", "Disabled",
           LINES("By", "Kim", "Reason", "the fair"));
    fact.enabled = true;
    expect(&event, "transition.set", "shop: releases enter prod again", "Enabled",
           LINES("By", "Kim"));
}

static void pins_say_the_digest(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__EnvironmentPinned fact = GANTRY__V1__ENVIRONMENT_PINNED__INIT;
    (void)state;

    event.fact_case = FACT(ENVIRONMENT_PINNED);
    event.environment_pinned = &fact;
    fact.environment = "prod";
    fact.pinned = true;
    fact.digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    fact.reason = "measuring";
    fact.by = &kim;
    expect(&event, "environment.pinned", "shop: prod is pinned", "Pinned",
           LINES("Environment", "prod", "Image", "sha256:0123456789ab", "Reason", "measuring"));
    fact.pinned = false;
    expect(&event, "environment.pinned", "shop: prod is not pinned any more", "Unpinned",
           LINES("By", "Kim"));
}

static void checks_promotions_and_silence_are_told_in_words(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__CheckAnswered answered = GANTRY__V1__CHECK_ANSWERED__INIT;
    Gantry__V1__ReleasePromoted promoted = GANTRY__V1__RELEASE_PROMOTED__INIT;
    Gantry__V1__ActionSilent silent = GANTRY__V1__ACTION_SILENT__INIT;
    Gantry__V1__BatchPlanned planned = GANTRY__V1__BATCH_PLANNED__INIT;
    Gantry__V1__Finished finished = GANTRY__V1__FINISHED__INIT;
    Gantry__V1__BatchPlan plan = GANTRY__V1__BATCH_PLAN__INIT;
    Gantry__V1__BatchBuild unit = GANTRY__V1__BATCH_BUILD__INIT, load = unit;
    Gantry__V1__BatchBuild *builds[] = {&unit, &load};
    char *gates[] = {"manual"};
    (void)state;

    event.fact_case = FACT(CHECK_ANSWERED);
    event.check_answered = &answered;
    answered.release = 42;
    answered.stage = "prod";
    answered.gate = "check";
    answered.reason = "2 % of requests fail";
    expect(&event, "check.answered", "shop/42: check of prod says no", "Check says no",
           LINES("Reason", "2 % of requests fail"));
    event.fact_case = FACT(RELEASE_PROMOTED);
    event.release_promoted = &promoted;
    event.actor = &kim;
    promoted.release = 42;
    promoted.stage = "prod";
    promoted.gates = gates;
    promoted.n_gates = 1;
    expect(&event, "release.promoted", "shop/42 was promoted by hand for prod", "Promoted",
           LINES("Gates", "manual", "By", "Kim"));
    event.fact_case = FACT(ACTION_SILENT);
    event.action_silent = &silent;
    silent.release = 42;
    silent.stage = "dev";
    silent.action = "app";
    silent.silent_ms = 60000;
    expect(&event, "action.fell-silent", "shop/42: nothing was heard of app in dev for 1 min",
           "Silent", LINES("Action", "app", "Silent for", "1 min"));
    event.fact_case = FACT(BATCH_PLANNED);
    event.batch_planned = &planned;
    planned.release = 42;
    planned.stage = "build";
    planned.action = "tests";
    planned.finished = &finished;
    finished.batch = &plan;
    unit.identifier = "unit";
    load.identifier = "load";
    plan.builds = builds;
    plan.n_builds = 2;
    expect(&event, "batch.planned", "shop/42: tests in build runs a batch of 2", "Planned",
           LINES("Builds", "unit, load"));
}

static void what_holds_a_release_is_said_in_words(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__StageWaiting fact = GANTRY__V1__STAGE_WAITING__INIT;
    char *held[] = {"occupied:41", "freeze:prod", "soak"};
    (void)state;

    event.fact_case = FACT(STAGE_WAITING);
    event.stage_waiting = &fact;
    fact.release = 42;
    fact.stage = "prod";
    fact.held_by = held;
    fact.n_held_by = 3;
    expect(&event, "stage.held", "shop/42 waits to enter prod", "Waits",
           LINES("Held by", "release 41 is in there, prod is frozen, soak"));
}

static void an_approval_that_was_overridden_says_so(void **state)
{
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    Gantry__V1__ApprovalClosed fact = GANTRY__V1__APPROVAL_CLOSED__INIT;
    Gantry__V1__ApprovalRequest approval = GANTRY__V1__APPROVAL_REQUEST__INIT;
    (void)state;

    event.fact_case = FACT(APPROVAL_CLOSED);
    event.approval_closed = &fact;
    fact.approval = &approval;
    approval.verb = GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED;
    approval.outcome = GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_OVERRIDDEN;
    approval.release = 42;
    approval.stage = "prod";
    approval.count = 3;
    approval.rejects = 2;
    approval.reason = "overridden: PROD is down";
    expect(
        &event, "approval.closed", "shop/42: approval for prod overridden", "Overridden",
        LINES("Reason", "overridden: PROD is down", "Approvals", "0 of 3", "Rejections", "0 of 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_override_names_the_gate_who_and_why),
        cmocka_unit_test(a_rollback_by_itself_says_which_release_failed),
        cmocka_unit_test(a_retry_by_itself_says_what_failed),
        cmocka_unit_test(transitions_say_who_shut_them_and_why),
        cmocka_unit_test(pins_say_the_digest),
        cmocka_unit_test(checks_promotions_and_silence_are_told_in_words),
        cmocka_unit_test(what_holds_a_release_is_said_in_words),
        cmocka_unit_test(an_approval_that_was_overridden_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
