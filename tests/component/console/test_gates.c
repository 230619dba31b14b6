/* What holds a release and what people did about it: folded and read on a file, without Kafka. */
#include <jansson.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "services/console/fold.h"
#include "services/console/read.h"
#include "services/console/schema.h"
#include "tests/unit/unit.h"

#define HOUR_MS INT64_C(3600000)
#define DIGEST  "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char pipeline_yaml[] =
    "apiVersion: gantry/v1\nkind: Pipeline\nmetadata: {name: shop}\nspec:\n"
    "  mode: queued\n"
    "  sources:\n    - {name: app, git: \"https://git.example/app.git\", branches: [main]}\n"
    "  stages:\n    - name: build\n      steps:\n"
    "        - build: {name: image, source: app, buildspec: buildspec.yml,"
    " image: registry.example/app}\n"
    "    - name: prod\n      on-failure: rollback\n      gates:\n"
    "        - soak: 2h\n"
    "        - window: \"2100-01-01 - 2100-01-02 Europe/Berlin\"\n"
    "        - approval: {by: [group:qa], count: 3, rejects: 2}\n"
    "        - manual: true\n"
    "        - check: {custom: error-rate, every: 5m}\n"
    "      steps:\n        - deploy: {name: app, environment: prod}\n";

struct fixture {
    char folder[64];
    struct sqlite_db *db;
    int64_t now_ms;
    uint64_t sequence;
};

static void define(struct fixture *f, const char *kind, const char *name, const char *yaml)
{
    Gantry__V1__Definition definition = GANTRY__V1__DEFINITION__INIT;
    const struct fold_place place = {.ce_id = "d", .time_ms = f->now_ms};
    uint8_t hash[SHA256_SIZE];

    sha256(yaml, strlen(yaml), hash);
    definition.kind = (char *)kind;
    definition.name = (char *)name;
    definition.yaml = (ProtobufCBinaryData){strlen(yaml), (uint8_t *)yaml};
    definition.sha256 = (ProtobufCBinaryData){SHA256_SIZE, hash};
    sqlite_db_begin(f->db);
    fold_definition(f->db, &definition, &place);
    assert_int_equal(sqlite_db_commit(f->db, NULL), 0);
}

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/gantry-gates-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    char *path = mem_printf("%s/model.db", f->folder);
    const struct sqlite_db_conf conf = {
        .path = path, .schema = schema_sql, .version = SCHEMA_VERSION};
    assert_int_equal(sqlite_db_open(&f->db, &conf, NULL, NULL), 0);
    free(path);
    f->now_ms = clock_now_ms();
    define(f, "Pipeline", "shop", pipeline_yaml);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    sqlite_db_close(f->db);
    file_remove_tree(f->folder, NULL);
    free(f);
    return 0;
}

/* ---- telling ---- */

static Gantry__V1__Actor kim = {.base = {.descriptor = &gantry__v1__actor__descriptor},
                                .subject = "token:kim",
                                .name = "Kim",
                                .email = ""};

static void tell(struct fixture *f, Gantry__V1__ReleaseEvent *event)
{
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    char id[32];

    snprintf(id, sizeof(id), "event-%llu", (unsigned long long)++f->sequence);
    const struct fold_place place = {
        .offset = (int64_t)f->sequence, .ce_id = id, .value = "v", .value_len = 1};
    order.epoch = 1;
    order.sequence = f->sequence;
    event->order = &order;
    event->pipeline = "shop";
    event->time_ms = f->now_ms;
    sqlite_db_begin(f->db);
    assert_true(fold_event(f->db, event, &place));
    assert_int_equal(sqlite_db_commit(f->db, NULL), 0);
}

#define EVENT(fact, member, value)                                                                 \
    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;                              \
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_##fact;                                      \
    event.member = (value)

static void tell_start(struct fixture *f, uint64_t number, uint64_t failed)
{
    Gantry__V1__ReleaseStarted fact = GANTRY__V1__RELEASE_STARTED__INIT;
    EVENT(RELEASE_STARTED, release_started, &fact);
    fact.release = number;
    fact.type = failed ? GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_ROLLBACK
                       : GANTRY__V1__RELEASE_TYPE__RELEASE_TYPE_NORMAL;
    fact.failed_release = failed;
    tell(f, &event);
}

static void tell_held(struct fixture *f, char **held, size_t count, int64_t look_again_ms)
{
    Gantry__V1__StageWaiting fact = GANTRY__V1__STAGE_WAITING__INIT;
    EVENT(STAGE_WAITING, stage_waiting, &fact);
    fact.release = 1;
    fact.stage = "prod";
    fact.held_by = held;
    fact.n_held_by = count;
    fact.look_again_ms = look_again_ms;
    tell(f, &event);
}

static void tell_transition(struct fixture *f, bool enabled, const char *reason)
{
    Gantry__V1__TransitionSet fact = GANTRY__V1__TRANSITION_SET__INIT;
    EVENT(TRANSITION_SET, transition_set, &fact);
    fact.stage = "prod";
    fact.enabled = enabled;
    fact.reason = (char *)reason;
    fact.by = &kim;
    tell(f, &event);
}

static void tell_pin(struct fixture *f, bool pinned)
{
    Gantry__V1__EnvironmentPinned fact = GANTRY__V1__ENVIRONMENT_PINNED__INIT;
    EVENT(ENVIRONMENT_PINNED, environment_pinned, &fact);
    fact.environment = "prod";
    fact.pinned = pinned;
    fact.digest = DIGEST;
    fact.reason = "the fair";
    fact.by = &kim;
    tell(f, &event);
}

static void tell_asked(struct fixture *f, const char *run_id)
{
    Gantry__V1__CheckAsked fact = GANTRY__V1__CHECK_ASKED__INIT;
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    Gantry__V1__CustomSpec custom = GANTRY__V1__CUSTOM_SPEC__INIT;
    EVENT(CHECK_ASKED, check_asked, &fact);
    custom.type = "error-rate";
    request.run_id = (char *)run_id;
    request.pipeline = "shop";
    request.release = 1;
    request.stage = "prod";
    request.action = "check";
    request.number = 1;
    request.check = true;
    request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_CUSTOM;
    request.custom = &custom;
    fact.request = &request;
    tell(f, &event);
}

static void tell_answered(struct fixture *f, const char *run_id, bool yes, bool withdrawn)
{
    Gantry__V1__CheckAnswered fact = GANTRY__V1__CHECK_ANSWERED__INIT;
    EVENT(CHECK_ANSWERED, check_answered, &fact);
    fact.release = 1;
    fact.stage = "prod";
    fact.gate = "check";
    fact.run_id = (char *)run_id;
    fact.yes = yes;
    fact.withdrawn = withdrawn;
    fact.reason = yes ? "" : "2 % of requests fail";
    fact.ask_again_ms = withdrawn ? 0 : f->now_ms + 300000;
    tell(f, &event);
}

/* ---- asking ---- */

static json_t *release(struct fixture *f, uint64_t number)
{
    sqlite_db_begin(f->db);
    json_t *json = read_release(f->db, "shop", number);
    sqlite_db_rollback(f->db);
    assert_non_null(json);
    return json;
}

static json_t *stages(struct fixture *f, json_t **pipeline)
{
    sqlite_db_begin(f->db);
    *pipeline = read_pipeline(f->db, "shop");
    sqlite_db_rollback(f->db);
    return json_object_get(*pipeline, "stages");
}

static const char *text(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value ? value : "";
}

static json_int_t num(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

/* The n-th hold of release 1; *whole is the caller's. */
static json_t *held(struct fixture *f, size_t n, json_t **whole)
{
    *whole = release(f, 1);
    const json_t *stage = json_array_get(json_object_get(*whole, "stages"), 0);
    return json_array_get(json_object_get(stage, "held"), n);
}

/* ---- the tests ---- */

static void a_soak_says_when_it_is_over_and_a_window_when_it_opens(void **state)
{
    struct fixture *f = *state;
    char *names[] = {"soak", "window"};
    json_t *whole;

    tell_start(f, 1, 0);
    tell_held(f, names, 2, f->now_ms + 2 * HOUR_MS);
    const json_t *soak = held(f, 0, &whole);
    assert_string_equal(text(soak, "kind"), "soak");
    assert_int_equal(num(soak, "soakMs"), 2 * HOUR_MS);
    assert_int_equal(num(soak, "untilMs"), f->now_ms + 2 * HOUR_MS);
    json_decref(whole);
    const json_t *window = held(f, 1, &whole);
    assert_string_equal(text(window, "kind"), "window");
    assert_string_equal(text(window, "window"), "2100-01-01 - 2100-01-02 Europe/Berlin");
    assert_int_equal(num(window, "untilMs"), INT64_C(4102441200000));
    json_decref(whole);
}

static void what_is_said_again_replaces_what_was_said_but_not_since_when(void **state)
{
    struct fixture *f = *state;
    char *first[] = {"occupied:7", "soak"}, *second[] = {"soak"};
    int64_t since_ms = f->now_ms;
    json_t *whole;

    tell_start(f, 1, 0);
    tell_held(f, first, 2, since_ms + 2 * HOUR_MS);
    assert_int_equal(num(held(f, 0, &whole), "release"), 7);
    json_decref(whole);
    f->now_ms += HOUR_MS;
    tell_held(f, second, 1, since_ms + 2 * HOUR_MS);
    const json_t *soak = held(f, 0, &whole);
    assert_string_equal(text(soak, "name"), "soak");
    assert_int_equal(num(soak, "untilMs"), since_ms + 2 * HOUR_MS);
    json_decref(whole);
    assert_null(held(f, 1, &whole));
    json_decref(whole);
}

static void a_soak_that_the_clock_does_not_end_says_no_time(void **state)
{
    struct fixture *f = *state;
    char *names[] = {"soak"};
    json_t *whole;

    tell_start(f, 1, 0);
    tell_held(f, names, 1, 0);
    assert_null(json_object_get(held(f, 0, &whole), "untilMs"));
    json_decref(whole);
}

static void a_gate_that_the_definition_no_longer_has_is_told_by_its_name(void **state)
{
    struct fixture *f = *state;
    char *names[] = {"window-2"};
    json_t *whole;

    tell_start(f, 1, 0);
    tell_held(f, names, 1, 5000);
    const json_t *window = held(f, 0, &whole);
    assert_string_equal(text(window, "kind"), "window");
    assert_int_equal(num(window, "untilMs"), 5000);
    json_decref(whole);
}

static void a_disabled_transition_says_who_and_why_until_it_is_enabled(void **state)
{
    struct fixture *f = *state;
    char *names[] = {"disabled"};
    json_t *whole;

    tell_transition(f, false, "the fair");
    tell_start(f, 1, 0);
    tell_held(f, names, 1, 0);
    const json_t *disabled = held(f, 0, &whole);
    assert_string_equal(text(disabled, "kind"), "disabled");
    assert_string_equal(text(disabled, "by"), "Kim");
    assert_string_equal(text(disabled, "reason"), "the fair");
    json_decref(whole);
    const json_t *stage = json_array_get(stages(f, &whole), 1);
    assert_string_equal(text(json_object_get(stage, "disabled"), "reason"), "the fair");
    json_decref(whole);
    tell_transition(f, true, "");
    stage = json_array_get(stages(f, &whole), 1);
    assert_null(json_object_get(stage, "disabled"));
    json_decref(whole);
}

static void a_pin_holds_with_its_digest_until_it_is_taken_out(void **state)
{
    struct fixture *f = *state;
    char *names[] = {"pinned:prod"};
    json_t *whole;

    tell_pin(f, true);
    tell_start(f, 1, 0);
    tell_held(f, names, 1, 0);
    const json_t *pin = held(f, 0, &whole);
    assert_string_equal(text(pin, "kind"), "pinned");
    assert_string_equal(text(pin, "environment"), "prod");
    assert_string_equal(text(pin, "digest"), DIGEST);
    assert_string_equal(text(pin, "reason"), "the fair");
    json_decref(whole);
    stages(f, &whole);
    assert_int_equal(json_array_size(json_object_get(whole, "pins")), 1);
    json_decref(whole);
    tell_pin(f, false);
    stages(f, &whole);
    assert_int_equal(json_array_size(json_object_get(whole, "pins")), 0);
    json_decref(whole);
}

static void a_freeze_says_why_and_until_when(void **state)
{
    struct fixture *f = *state;
    char *names[] = {"freeze:prod"};
    json_t *whole;

    define(f, "Environment", "prod",
           "apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: prod}\n"
           "spec: {driver: command, command: {run: deploy}, freeze: ["
           "{window: \"2001-01-01 - 2001-01-02 UTC\", reason: past},"
           "{window: \"2001-01-01 - 2100-12-31 UTC\", reason: the audit}]}\n");
    tell_start(f, 1, 0);
    tell_held(f, names, 1, 0);
    const json_t *freeze = held(f, 0, &whole);
    assert_string_equal(text(freeze, "kind"), "freeze");
    assert_string_equal(text(freeze, "environment"), "prod");
    assert_string_equal(text(freeze, "reason"), "the audit");
    assert_int_equal(num(freeze, "untilMs"), INT64_C(4133980800000));
    json_decref(whole);
    sqlite_db_begin(f->db);
    json_t *all = read_environments(f->db);
    sqlite_db_rollback(f->db);
    const json_t *freezes = json_object_get(all, "freezes");
    assert_int_equal(json_array_size(freezes), 2);
    assert_false(json_is_true(json_object_get(json_array_get(freezes, 0), "frozen")));
    assert_true(json_is_true(json_object_get(json_array_get(freezes, 1), "frozen")));
    json_decref(all);
}

static void of_a_check_the_last_answer_stays_while_it_is_asked_again(void **state)
{
    struct fixture *f = *state;
    char *names[] = {"check"};
    json_t *whole;

    tell_start(f, 1, 0);
    tell_held(f, names, 1, 0);
    tell_asked(f, "run-1");
    const json_t *check = held(f, 0, &whole);
    assert_true(json_is_true(json_object_get(check, "asking")));
    assert_string_equal(text(check, "answer"), "");
    json_decref(whole);
    tell_answered(f, "run-1", false, false);
    tell_asked(f, "run-2");
    check = held(f, 0, &whole);
    assert_true(json_is_true(json_object_get(check, "asking")));
    assert_string_equal(text(check, "answer"), "no");
    assert_string_equal(text(check, "reason"), "2 % of requests fail");
    assert_string_equal(text(check, "runId"), "run-2");
    json_decref(whole);
    tell_answered(f, "run-2", false, true);
    whole = release(f, 1);
    check = json_array_get(json_object_get(whole, "checks"), 0);
    assert_false(json_is_true(json_object_get(check, "asking")));
    assert_string_equal(text(check, "answer"), "no");
    assert_string_equal(text(check, "type"), "error-rate");
    json_decref(whole);
}

static void a_check_that_could_not_be_asked_is_answered_all_the_same(void **state)
{
    struct fixture *f = *state;
    json_t *whole;

    tell_start(f, 1, 0);
    tell_answered(f, "run-1", false, false);
    whole = release(f, 1);
    const json_t *check = json_array_get(json_object_get(whole, "checks"), 0);
    assert_string_equal(text(check, "answer"), "no");
    assert_string_equal(text(check, "runId"), "run-1");
    json_decref(whole);
}

/* What holds release 1 before prod, as it is stored. Valid until the next. */
static const char *held_by(struct fixture *f)
{
    static char out[256];
    struct sqlite_rows *rows =
        sqlite_select(f->db, "SELECT held_by_json FROM stage_runs WHERE stage = 'prod'"
                             " AND release = 1 AND number = 0");

    assert_true(sqlite_next(rows));
    snprintf(out, sizeof(out), "%s", sqlite_text(rows, 0));
    sqlite_rows_end(rows);
    return out;
}

static void overrides_and_promotions_stay_with_the_release(void **state)
{
    struct fixture *f = *state;
    Gantry__V1__GateOverridden overridden = GANTRY__V1__GATE_OVERRIDDEN__INIT;
    Gantry__V1__ReleasePromoted promoted = GANTRY__V1__RELEASE_PROMOTED__INIT;
    char *gates[] = {"manual"}, *held[] = {"approval", "approval-2", "freeze:prod", "manual"};
    EVENT(GATE_OVERRIDDEN, gate_overridden, &overridden);

    tell_start(f, 1, 0);
    tell_held(f, held, 4, 0);
    overridden.release = 1;
    overridden.stage = "prod";
    overridden.gate = "approval";
    overridden.reason = "PROD is down";
    overridden.by = &kim;
    event.cause_id = "c0ffee";
    tell(f, &event);
    assert_string_equal(held_by(f), "[\"approval-2\",\"freeze:prod\",\"manual\"]");
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_PROMOTED;
    event.release_promoted = &promoted;
    event.actor = &kim;
    event.cause_id = "";
    promoted.release = 1;
    promoted.stage = "prod";
    promoted.gates = gates;
    promoted.n_gates = 1;
    f->now_ms++;
    tell(f, &event);
    assert_string_equal(held_by(f), "[\"approval-2\",\"freeze:prod\"]");
    json_t *whole = release(f, 1);
    const json_t *passes = json_object_get(whole, "passes");
    assert_int_equal(json_array_size(passes), 2);
    assert_string_equal(text(json_array_get(passes, 0), "how"), "overridden");
    assert_string_equal(text(json_array_get(passes, 0), "gate"), "approval");
    assert_string_equal(text(json_array_get(passes, 0), "reason"), "PROD is down");
    assert_string_equal(text(json_array_get(passes, 0), "by"), "Kim");
    assert_string_equal(text(json_array_get(passes, 1), "how"), "promoted");
    assert_string_equal(text(json_array_get(passes, 1), "by"), "Kim");
    json_decref(whole);
    assert_int_equal(sqlite_select_int(f->db, 0,
                                       "SELECT release FROM outcomes WHERE ce_id = 'c0ffee'"
                                       " AND fact = 'gate-overridden'"),
                     1);
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_GATE_OVERRIDDEN;
    event.gate_overridden = &overridden;
    overridden.gate = "freeze";
    tell(f, &event);
    assert_string_equal(held_by(f), "[\"approval-2\"]");
}

static void close_approval(struct fixture *f, Gantry__V1__ApprovalOutcome outcome)
{
    Gantry__V1__ApprovalClosed fact = GANTRY__V1__APPROVAL_CLOSED__INIT;
    Gantry__V1__ApprovalRequest approval = GANTRY__V1__APPROVAL_REQUEST__INIT;
    EVENT(APPROVAL_CLOSED, approval_closed, &fact);
    approval.verb = GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED;
    approval.approval_id = "a";
    approval.pipeline = "shop";
    approval.release = 1;
    approval.stage = "prod";
    approval.gate = "approval";
    approval.outcome = outcome;
    fact.approval = &approval;
    tell(f, &event);
}

static void an_approval_that_was_given_holds_no_more_though_nothing_is_said_again(void **state)
{
    struct fixture *f = *state;
    char *names[] = {"approval", "soak"};
    json_t *whole;

    tell_start(f, 1, 0);
    tell_held(f, names, 2, 0);
    close_approval(f, GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_EXPIRED);
    assert_string_equal(text(held(f, 0, &whole), "name"), "approval");
    json_decref(whole);
    close_approval(f, GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_APPROVED);
    assert_string_equal(text(held(f, 0, &whole), "name"), "soak");
    json_decref(whole);
    tell_held(f, names, 2, 0);
    close_approval(f, GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_OVERRIDDEN);
    assert_string_equal(text(held(f, 0, &whole), "name"), "soak");
    json_decref(whole);
}

static void a_rollback_by_itself_names_what_failed_and_the_other_way_round(void **state)
{
    struct fixture *f = *state;
    tell_start(f, 12, 0);
    tell_start(f, 13, 12);
    json_t *failed = release(f, 12), *rollback = release(f, 13);
    assert_int_equal(num(failed, "rolledBackBy"), 13);
    assert_int_equal(num(rollback, "failedRelease"), 12);
    assert_null(json_object_get(rollback, "rolledBackBy"));
    json_decref(failed);
    json_decref(rollback);
}

static void an_entry_by_itself_says_so_and_why_and_ends_the_one_before(void **state)
{
    struct fixture *f = *state;
    Gantry__V1__StageEntered fact = GANTRY__V1__STAGE_ENTERED__INIT;
    EVENT(STAGE_ENTERED, stage_entered, &fact);

    tell_start(f, 1, 0);
    fact.release = 1;
    fact.stage = "prod";
    fact.number = 1;
    tell(f, &event);
    fact.number = 2;
    fact.automatic = true;
    fact.reason = "app failed: not healthy";
    tell(f, &event);
    json_t *whole = release(f, 1);
    const json_t *before = json_array_get(json_object_get(whole, "stages"), 0);
    assert_string_equal(text(before, "status"), "failed");
    assert_string_equal(text(before, "reason"), "app failed: not healthy");
    assert_int_equal(num(before, "endedMs"), f->now_ms);
    const json_t *stage = json_array_get(json_object_get(whole, "stages"), 1);
    assert_string_equal(text(stage, "status"), "in-progress");
    assert_true(json_is_true(json_object_get(stage, "automatic")));
    assert_string_equal(text(stage, "entryReason"), "app failed: not healthy");
    assert_null(json_object_get(stage, "held"));
    json_decref(whole);
}

static void a_pipeline_shows_every_kind_of_gate_and_what_a_failure_does(void **state)
{
    struct fixture *f = *state;
    json_t *whole;
    const json_t *prod = json_array_get(stages(f, &whole), 1);
    const json_t *gates = json_object_get(prod, "gates");

    assert_string_equal(text(whole, "mode"), "queued");
    assert_string_equal(text(prod, "onFailure"), "rollback");
    assert_int_equal(json_array_size(gates), 5);
    assert_int_equal(num(json_array_get(gates, 0), "soakMs"), 2 * HOUR_MS);
    assert_string_equal(text(json_array_get(gates, 1), "window"),
                        "2100-01-01 - 2100-01-02 Europe/Berlin");
    assert_int_equal(num(json_array_get(gates, 2), "rejects"), 2);
    assert_string_equal(text(json_array_get(gates, 3), "kind"), "manual");
    assert_string_equal(text(json_array_get(gates, 4), "type"), "error-rate");
    assert_int_equal(num(json_array_get(gates, 4), "everyMs"), 300000);
    json_decref(whole);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_soak_says_when_it_is_over_and_a_window_when_it_opens),
        TEST(what_is_said_again_replaces_what_was_said_but_not_since_when),
        TEST(a_soak_that_the_clock_does_not_end_says_no_time),
        TEST(a_gate_that_the_definition_no_longer_has_is_told_by_its_name),
        TEST(a_disabled_transition_says_who_and_why_until_it_is_enabled),
        TEST(a_pin_holds_with_its_digest_until_it_is_taken_out),
        TEST(a_freeze_says_why_and_until_when),
        TEST(of_a_check_the_last_answer_stays_while_it_is_asked_again),
        TEST(a_check_that_could_not_be_asked_is_answered_all_the_same),
        TEST(overrides_and_promotions_stay_with_the_release),
        TEST(an_approval_that_was_given_holds_no_more_though_nothing_is_said_again),
        TEST(a_rollback_by_itself_names_what_failed_and_the_other_way_round),
        TEST(an_entry_by_itself_says_so_and_why_and_ends_the_one_before),
        TEST(a_pipeline_shows_every_kind_of_gate_and_what_a_failure_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
