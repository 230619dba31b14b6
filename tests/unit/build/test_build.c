/* The life of a build between a host and a driver that are both made up: what is told, in which
 * order, and what is left when it is stopped or its place fails. */
#include "tests/unit/build/made_up.h"

static const char spec_text[] = "version: 0.2\n"
                                "env: {variables: {A: spec}, exported-variables: [V]}\n"
                                "phases:\n"
                                "  install: {commands: [one, two]}\n"
                                "  build: {commands: [three]}\n"
                                "  post_build: {commands: [four], finally: [five]}\n";

static struct {
    const char *failing; /* the command that ends with 3 */
    const char *limited; /* the command that a limit ends */
    const char *lost;    /* the command at which the place fails */
    bool hopeless;       /* ... as it would elsewhere */
    const char *hangs;   /* the command that does not end */
    const char *unknown; /* the user that is not there */
} fx;

static bool command(const char *text, size_t index)
{
    if (str_eq(text, fx.failing))
        mu.next.code = 3;
    if (str_eq(text, fx.limited)) {
        mu.next.code = 137;
        mu.next.limit = "It used too much";
    }
    if (str_eq(mu.users.items[index], fx.unknown))
        mu.next.refused = "nobody is called that";
    if (str_eq(text, fx.lost))
        err_set(&mu.next.err, fx.hopeless ? ERR_INVALID : ERR_UNAVAILABLE, "the place burnt down");
    put(text, strlen(text));
    put("\n", 1);
    return !str_eq(text, fx.hangs);
}

static int setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    made_up_init(command);
    mu.text = spec_text;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    made_up_release();
    return 0;
}

/* "BUILD:SUCCEEDED ..." */
static const char *phases(void)
{
    static char text[512];
    text[0] = '\0';
    for (size_t i = 0; i < mu.finished->n_phases; i++) {
        const Gantry__V1__PhaseContext *phase = mu.finished->phases[i];
        size_t len = strlen(text);
        assert_true(phase->end_ms >= phase->start_ms);
        snprintf(text + len, sizeof(text) - len, "%s%s:%s", len ? " " : "", phase->name,
                 phase->status);
    }
    return text;
}

/* Until the driver or the host saw the word. */
static void until(const char *word)
{
    for (int i = 0; i < 60000 && !strstr(buf_cstr(&mu.seen), word); i++)
        loop_run_for(mu.loop, 1, NULL);
    assert_non_null(strstr(buf_cstr(&mu.seen), word));
}

static void a_build_goes_through_its_phases_and_exports(void **state)
{
    (void)state;
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&mu.seen), "take source open one two three four five export free");
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_string_equal(mu.finished->exported[0]->key, "V");
    assert_string_equal(mu.finished->exported[0]->value, "a=b");
    assert_string_equal(phases(), "SUBMITTED:SUCCEEDED QUEUED:SUCCEEDED PROVISIONING:SUCCEEDED "
                                  "DOWNLOAD_SOURCE:SUCCEEDED INSTALL:SUCCEEDED BUILD:SUCCEEDED "
                                  "POST_BUILD:SUCCEEDED COMPLETED:SUCCEEDED");
    assert_int_equal(mu.finished->phases[1]->start_ms, 100);
    assert_int_equal(mu.finished->phases[1]->end_ms, 250);
    assert_true(strv_has(&mu.env, "A=spec"));
    assert_false(strv_has(&mu.env, "A=base"));
    assert_true(strv_has(&mu.env, "CODEBUILD_SRC_DIR=/b/src"));
    assert_true(strv_has(&mu.env, "CODEBUILD_BUILD_IMAGE=made/up"));
    assert_non_null(strstr(buf_cstr(&mu.log), "Entering phase INSTALL\nRunning command one\none\n"
                                              "Running command two\ntwo\nPhase complete: INSTALL "
                                              "SUCCEEDED\nEntering phase BUILD\n"));
}

static void commands_have_the_builders_region_unless_they_are_given_another(void **state)
{
    (void)state;
    begin(1);
    finish();
    for (size_t i = 0; i < mu.env.count; i++)
        assert_false(str_starts(mu.env.items[i], "AWS_"));
    mu.build_env.aws_region = "eu-central-1";
    mu.text = "version: 0.2\nenv: {variables: {AWS_REGION: us-east-1}}\n"
              "phases: {build: {commands: one}}\n";
    begin(1);
    finish();
    assert_true(strv_has(&mu.env, "AWS_REGION=us-east-1"));
    assert_true(strv_has(&mu.env, "AWS_DEFAULT_REGION=eu-central-1"));
}

static void commands_know_what_moved_that_they_are_built_for(void **state)
{
    static const struct {
        const char *ref, *trigger, *event, *version;
    } rows[] = {
        {"refs/heads/feature/x", "branch/feature/x", "PUSH", "c0ffee"},
        {"refs/tags/v1", "tag/v1", "PUSH", "c0ffee"},
        {"refs/pull/17/head", "pr/17", "PULL_REQUEST_UPDATED", "pr/17"},
        {"refs/merge-requests/17/head", "pr/17", "PULL_REQUEST_UPDATED", "pr/17"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const char *names[] = {"WEBHOOK_HEAD_REF", "WEBHOOK_TRIGGER", "WEBHOOK_EVENT",
                               "SOURCE_VERSION", "RESOLVED_SOURCE_VERSION"};
        const char *values[] = {rows[i].ref, rows[i].trigger, rows[i].event, rows[i].version,
                                "c0ffee"};
        mu.revision.ref = (char *)rows[i].ref;
        begin(1);
        finish();
        for (size_t v = 0; v < 5; v++) {
            char *item = mem_printf("CODEBUILD_%s=%s", names[v], values[v]);
            if (!strv_has(&mu.env, item))
                fail_msg("%s is not there", item);
            free(item);
        }
    }
}

static void a_failing_command_leads_where_the_plan_says_and_is_told(void **state)
{
    (void)state;
    fx.failing = "three";
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&mu.seen), "take source open one two three four(0) five(0) free");
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(mu.reason, "A command of BUILD ended with exit status 3");
    assert_string_equal(mu.finished->phase, "BUILD");
    assert_string_equal(mu.finished->command, "three");
    assert_int_equal(mu.finished->exit_code, 3);
}

static void a_limit_ends_the_build_at_once_with_its_reason(void **state)
{
    (void)state;
    fx.limited = "two";
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&mu.seen), "take source open one two free");
    assert_string_equal(mu.reason, "It used too much");
    assert_string_equal(mu.finished->phase, "INSTALL");
}

static void a_place_that_fails_gives_the_build_back_twice_and_then_fails_it(void **state)
{
    (void)state;
    fx.lost = "one";
    begin(2);
    finish();
    assert_true(mu.dropped);
    assert_string_equal(mu.reason, "the place burnt down");
    begin(3);
    finish();
    assert_false(mu.dropped);
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(mu.reason, "The builder could not run it: the place burnt down");
}

static void a_place_that_would_fail_anywhere_fails_the_build_at_once(void **state)
{
    (void)state;
    fx.lost = "one";
    fx.hopeless = true;
    begin(1);
    finish();
    assert_false(mu.dropped);
    assert_string_equal(mu.finished->phase, "INSTALL");
    assert_string_equal(mu.reason, "the place burnt down");
}

static void what_a_driver_never_gives_fails_and_what_it_has_not_now_is_tried_again(void **state)
{
    (void)state;
    err_set(&mu.take_err, ERR_INVALID, "there is no such thing");
    begin(1);
    assert_true(mu.ended && !mu.dropped);
    assert_string_equal(mu.finished->phase, "PROVISIONING");
    assert_string_equal(mu.reason, "there is no such thing");
    err_set(&mu.take_err, ERR_LIMIT, "none is free");
    begin(1);
    assert_true(mu.ended && mu.dropped);
}

static void a_source_that_cannot_be_had_fails_the_build(void **state)
{
    (void)state;
    mu.source_error = "the remote is away";
    begin(1);
    finish();
    assert_string_equal(buf_cstr(&mu.seen), "take source free");
    assert_string_equal(mu.finished->phase, "DOWNLOAD_SOURCE");
    assert_string_equal(mu.reason, "the remote is away");
}

static void a_stop_while_the_source_comes_ends_at_once_and_frees_when_it_came(void **state)
{
    (void)state;
    mu.source_hangs = true;
    begin(1);
    build_stop(mu.build, BUILD_CANCEL, "Ann stopped it");
    assert_true(mu.ended);
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_string_equal(mu.finished->phase, "DOWNLOAD_SOURCE");
    assert_string_equal(buf_cstr(&mu.seen), "take source");
    give_source(NULL);
    assert_string_equal(buf_cstr(&mu.seen), "take source free");
}

static void a_stop_in_any_phase_waits_for_the_processes_and_tells_the_phase(void **state)
{
    static const struct {
        const char *command, *phase;
    } at[] = {
        {"one", "INSTALL"}, {"three", "BUILD"}, {"four", "POST_BUILD"}, {"five", "POST_BUILD"}};
    for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
        teardown(state);
        setup(state);
        fx.hangs = at[i].command;
        begin(1);
        until(at[i].command);
        build_stop(mu.build, BUILD_CANCEL, NULL);
        build_stop(mu.build, BUILD_CANCEL, "a second time");
        assert_false(mu.ended);
        finish();
        assert_non_null(strstr(buf_cstr(&mu.seen), "stop drain free"));
        assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
        assert_string_equal(mu.finished->phase, at[i].phase);
        assert_string_equal(mu.reason, "It was stopped");
    }
}

static void a_build_that_is_handed_back_has_no_result(void **state)
{
    (void)state;
    fx.hangs = "three";
    begin(1);
    until("three");
    build_stop(mu.build, BUILD_HANDBACK, "this builder stops");
    finish();
    assert_true(mu.dropped);
    assert_string_equal(mu.reason, "");
}

static void what_no_build_can_have_fails_it_with_file_and_line(void **state)
{
#define BUILD_TRUE "phases: {build: {commands: [one]}}\n"
    static const struct {
        const char *text, *says;
    } asked[] = {
        {"version: 0.2\nrun-as: ann\n" BUILD_TRUE,
         "buildspec.yml:2: run-as: the commands can't run as 'ann'"},
        {"version: 0.2\nrun-as: root\nphases:\n  build:\n    run-as: bob\n    commands: one\n",
         "buildspec.yml:5: run-as: the commands can't run as 'bob'"},
        {"version: 0.2\nbatch: {build-list: [{identifier: a, buildspec: b.yml}]}\n",
         "buildspec.yml:2: batch: it has no phases"},
    };
    for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
        teardown(state);
        setup(state);
        mu.text = asked[i].text;
        begin(1);
        finish();
        assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
        assert_string_equal(mu.finished->phase, "DOWNLOAD_SOURCE");
        assert_int_equal(strncmp(mu.reason, asked[i].says, strlen(asked[i].says)), 0);
        assert_string_equal(buf_cstr(&mu.seen), "take source free");
    }
}

static void a_user_that_nobody_becomes_and_what_is_switched_off_change_nothing(void **state)
{
    static char action[] = "app/a";
    (void)state;
    mu.request.action = action; /* one build of a batch */
    mu.text = "version: 0.2\nrun-as: ann\nenv: {git-credential-helper: no}\n"
              "batch: {build-list: [{identifier: a}]}\n"
              "phases: {build: {run-as: root, commands: [one]}}\n";
    begin(1);
    finish();
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_false(mu.script.separate);
}

/* "fast NAME [BUILDSPEC] VARIABLE=VALUE ! >NAME ..." */
static const char *plan_text(void)
{
    static char out[256];
    const Gantry__V1__BatchPlan *plan = mu.finished->batch;
    struct buf text;
    buf_init(&text, sizeof(out) - 1);
    buf_adds(&text, plan && plan->fast_fail ? "fast" : "");
    for (size_t i = 0; plan && i < plan->n_builds; i++) {
        const Gantry__V1__BatchBuild *build = plan->builds[i];
        buf_addf(&text, " %s [%s]", build->identifier, build->buildspec);
        for (size_t j = 0; j < build->n_env; j++)
            buf_addf(&text, " %s=%s", build->env[j]->key, build->env[j]->value);
        if (build->ignore_failure)
            buf_adds(&text, " !");
        for (size_t j = 0; j < build->n_depend_on; j++)
            buf_addf(&text, " >%s", build->depend_on[j]);
        if (build->memory_bytes)
            buf_addf(&text, " %.0f cores %u GiB", build->cpu,
                     (unsigned)(build->memory_bytes >> 30));
        if (build->image[0])
            buf_addf(&text, " in %s", build->image);
        if (build->privilege_case == GANTRY__V1__BATCH_BUILD__PRIVILEGE_PRIVILEGED)
            buf_adds(&text, build->privileged ? " privileged" : " plain");
    }
    snprintf(out, sizeof(out), "%s", buf_cstr(&text));
    buf_release(&text);
    return out;
}

static void a_batch_is_answered_with_its_plan_and_nothing_runs(void **state)
{
    (void)state;
    mu.spec.batch = true;
    mu.text = "version: 0.2\n"
              "run-as: ann\n"
              "batch:\n"
              "  fast-fail: yes\n"
              "  build-graph:\n"
              "    - identifier: unit\n"
              "      env: {privileged-mode: no}\n"
              "    - identifier: load\n"
              "      buildspec: ci/load.yml\n"
              "      env: {variables: {RATE: 50}, compute-type: BUILD_GENERAL1_LARGE, image: x,\n"
              "            privileged-mode: yes}\n"
              "      ignore-failure: true\n"
              "      depend-on: [unit]\n" BUILD_TRUE;
    begin(1);
    finish();
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_string_equal(buf_cstr(&mu.seen), "take source free");
    assert_string_equal(plan_text(),
                        "fast unit [] plain load [ci/load.yml] RATE=50 ! >unit 8 cores 16 GiB in x "
                        "privileged");
    assert_non_null(strstr(buf_cstr(&mu.log), "Build load, after unit, ci/load.yml, image x, "
                                              "privileged, its failure is ignored"));
}

static void a_batch_that_is_not_there_or_too_large_fails_the_action(void **state)
{
    struct buf big;
    buf_init(&big, 256 * 1024);
    buf_adds(&big, "version: 0.2\n" BUILD_TRUE "batch:\n  build-matrix:\n    static:\n      env:\n"
                   "        variables: {BIG: '");
    for (int i = 0; i < 2000; i++)
        buf_adds(&big, "x");
    buf_adds(&big, "'}\n    dynamic: {env: {variables: {N: [");
    for (int i = 0; i < 50; i++)
        buf_addf(&big, "%s%d", i ? "," : "", i);
    buf_adds(&big, "]}}}\n");
    const struct {
        const char *text, *says;
    } asked[] = {
        {"version: 0.2\n" BUILD_TRUE,
         "buildspec.yml has no batch, and the action asks for one (`batch: true`)"},
        {buf_cstr(&big), "buildspec.yml: batch: its builds and their variables take 99 KiB, more "
                         "than 64"},
    };
    for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
        teardown(state);
        setup(state);
        mu.spec.batch = true;
        mu.text = asked[i].text;
        begin(1);
        finish();
        assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
        assert_string_equal(mu.reason, asked[i].says);
        assert_string_equal(plan_text(), "");
    }
    buf_release(&big);
}

static void a_build_of_a_batch_knows_which_it_is(void **state)
{
    static char action[] = "app/load_1";
    (void)state;
    mu.request.action = action;
    begin(1);
    finish();
    assert_true(strv_has(&mu.env, "CODEBUILD_BATCH_BUILD_IDENTIFIER=load_1"));
    assert_true(strv_has(&mu.env, "GANTRY_ACTION=app/load_1"));
}

static void a_build_of_a_batch_runs_in_what_it_says_as_far_as_the_driver_has_it(void **state)
{
    enum { UNSET, NO, YES };
    const struct {
        const char *image, *why_no_image, *why_unprivileged;
        int privileged;
        const char *runs_in;
        bool is_privileged;
        const char *told;
    } asked[] = {
        {"", NULL, NULL, UNSET, "of-action:1", true, ""},
        {"r.example/b:2", NULL, NULL, UNSET, "r.example/b:2", true, ""},
        {"r.example/b:2", "there are none", NULL, UNSET, "of-action:1", true,
         "The batch's image r.example/b:2 is not used: there are none"},
        {"aws/codebuild/standard:7.0", NULL, NULL, UNSET, "of-action:1", true,
         "The batch's image aws/codebuild/standard:7.0 is not used: it can be pulled inside AWS "
         "alone"},
        {"", NULL, NULL, YES, "of-action:1", true, ""},
        {"", NULL, NULL, NO, "of-action:1", false, ""},
        {"", NULL, "nobody is", NO, "of-action:1", false, ""},
        {"", NULL, "nobody is", YES, "of-action:1", true,
         "The batch's privileged-mode is not given: nobody is"},
    };
    for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
        teardown(state);
        setup(state);
        mu.spec.build_image = (char *)"of-action:1";
        mu.spec.privileged = true;
        mu.spec.batch_image = (char *)asked[i].image;
        if (asked[i].privileged != UNSET) {
            mu.spec.batch_privilege_case = GANTRY__V1__BUILD_SPEC__BATCH_PRIVILEGE_BATCH_PRIVILEGED;
            mu.spec.batch_privileged = asked[i].privileged == YES;
        }
        mu.ops.why_no_image = asked[i].why_no_image;
        mu.ops.why_unprivileged = asked[i].why_unprivileged;
        begin(1);
        finish();
        assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
        assert_string_equal(mu.image, asked[i].runs_in);
        assert_int_equal(mu.privileged, asked[i].is_privileged);
        assert_int_equal(strstr(buf_cstr(&mu.log), "The batch's") != NULL, asked[i].told[0] != 0);
        assert_non_null(strstr(buf_cstr(&mu.log), asked[i].told));
    }
}

static void what_is_no_image_is_asked_of_no_driver(void **state)
{
    (void)state;
    mu.spec.batch_image = (char *)"../containers/create?x=";
    begin(1);
    assert_true(mu.ended);
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_non_null(strstr(mu.reason, "'../containers/create?x=' is no image to run commands in"));
    assert_string_equal(buf_cstr(&mu.seen), "");
}

static void version_0_1_asks_for_a_shell_of_its_own_for_each_command(void **state)
{
    (void)state;
    mu.text = "version: 0.1\n" BUILD_TRUE;
    begin(1);
    finish();
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_true(mu.script.separate);
}

static void a_phases_user_runs_its_commands_and_one_that_is_not_there_fails_it(void **state)
{
    (void)state;
    fx.unknown = "bob";
    mu.ops.users = true;
    mu.text = "version: 0.2\n"
              "run-as: ann\n"
              "phases:\n"
              "  install: {commands: [one]}\n"
              "  pre_build: {run-as: root, commands: [two]}\n"
              "  build:\n"
              "    on-failure: CONTINUE\n"
              "    run-as: bob\n"
              "    commands: [three]\n"
              "  post_build: {commands: [four]}\n";
    begin(1);
    finish();
    assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(mu.users.items[0], "ann");
    assert_string_equal(mu.users.items[1], "root");
    assert_string_equal(mu.users.items[3], "ann");
    assert_string_equal(mu.finished->phase, "BUILD");
    assert_string_equal(mu.reason, "buildspec.yml:8: run-as: the commands of BUILD can't run as "
                                   "'bob': nobody is called that");
    assert_string_equal(buf_cstr(&mu.seen), "take source open one two three free");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_build_goes_through_its_phases_and_exports),
        TEST(commands_have_the_builders_region_unless_they_are_given_another),
        TEST(commands_know_what_moved_that_they_are_built_for),
        TEST(a_failing_command_leads_where_the_plan_says_and_is_told),
        TEST(a_limit_ends_the_build_at_once_with_its_reason),
        TEST(a_place_that_fails_gives_the_build_back_twice_and_then_fails_it),
        TEST(a_place_that_would_fail_anywhere_fails_the_build_at_once),
        TEST(what_a_driver_never_gives_fails_and_what_it_has_not_now_is_tried_again),
        TEST(a_source_that_cannot_be_had_fails_the_build),
        TEST(a_stop_while_the_source_comes_ends_at_once_and_frees_when_it_came),
        TEST(a_stop_in_any_phase_waits_for_the_processes_and_tells_the_phase),
        TEST(a_build_that_is_handed_back_has_no_result),
        TEST(what_no_build_can_have_fails_it_with_file_and_line),
        TEST(a_user_that_nobody_becomes_and_what_is_switched_off_change_nothing),
        TEST(a_phases_user_runs_its_commands_and_one_that_is_not_there_fails_it),
        TEST(a_batch_is_answered_with_its_plan_and_nothing_runs),
        TEST(a_batch_that_is_not_there_or_too_large_fails_the_action),
        TEST(a_build_of_a_batch_knows_which_it_is),
        TEST(a_build_of_a_batch_runs_in_what_it_says_as_far_as_the_driver_has_it),
        TEST(what_is_no_image_is_asked_of_no_driver),
        TEST(version_0_1_asks_for_a_shell_of_its_own_for_each_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
