// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "events/event.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"

#define RUN_ID "00112233445566778899aabbccddeeff"

static void expect_good(enum topic topic, const void *message)
{
    struct err err = {0};
    if (event_check(topic, message, &err) != 0)
        fail_msg("refused: %s", err.msg);
}

static void expect_bad(enum topic topic, const void *message, const char *words)
{
    struct err err = {0};
    assert_int_equal(event_check(topic, message, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.msg, words))
        fail_msg("'%s' does not say '%s'", err.msg, words);
}

struct request {
    Gantry__V1__ActionRequest m;
    Gantry__V1__Order order;
    Gantry__V1__BuildSpec build;
};

static void request_init(struct request *r)
{
    gantry__v1__action_request__init(&r->m);
    gantry__v1__order__init(&r->order);
    gantry__v1__build_spec__init(&r->build);
    r->order.epoch = 1;
    r->order.sequence = 1;
    r->m.order = &r->order;
    r->m.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    r->m.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
    r->m.run_id = (char *)RUN_ID;
    r->m.pipeline = (char *)"shop";
    r->m.release = 1;
    r->m.stage = (char *)"build";
    r->m.action = (char *)"app";
    r->m.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
    r->m.build = &r->build;
    r->build.source = (char *)"main";
}

static void names_ids_and_numbers_are_checked_by_field(void **state)
{
    (void)state;
    struct request r;
    request_init(&r);
    expect_good(TOPIC_REQUEST_BUILD, &r.m);
    r.m.pipeline = (char *)"Shop!";
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "ActionRequest.pipeline: 'Shop!' is no name");
    request_init(&r);
    r.m.run_id = (char *)"../../etc/passwd";
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "run_id");
    request_init(&r);
    r.m.release = 0;
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "ActionRequest.release: is not set");
    request_init(&r);
    r.m.release = UINT64_MAX;
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "release");
    request_init(&r);
    r.build.cpu = -1;
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "ActionRequest.build: BuildSpec.cpu");
    r.build.cpu = (double)NAN;
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "cpu");
    request_init(&r);
    r.build.image = (char *)"\xc3\x28";
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "BuildSpec.image: is not UTF-8");
    request_init(&r);
    r.m.order = NULL;
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "order is missing");
}

static void enums_must_be_set_and_known(void **state)
{
    (void)state;
    struct request r;
    request_init(&r);
    r.m.verb = 0;
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "ActionRequest.verb: is not set");
    r.m.verb = (Gantry__V1__RequestVerb)99;
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "99");
}

static void a_request_carries_the_spec_of_its_kind_and_topic(void **state)
{
    (void)state;
    struct request r;
    request_init(&r);
    expect_bad(TOPIC_REQUEST_DEPLOY, &r.m, "does not belong on this topic");
    r.m.kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY;
    expect_bad(TOPIC_REQUEST_DEPLOY, &r.m, "spec does not fit");
    request_init(&r);
    r.m.spec_case = 0;
    expect_bad(TOPIC_REQUEST_BUILD, &r.m, "spec does not fit");
    r.m.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL;
    expect_good(TOPIC_REQUEST_BUILD, &r.m);
}

static void a_commit_or_ref_that_git_could_take_for_an_option_is_refused(void **state)
{
    (void)state;
    Gantry__V1__SourceChanged m = GANTRY__V1__SOURCE_CHANGED__INIT;
    m.pipeline = (char *)"shop";
    m.source = (char *)"main";
    m.ref = (char *)"refs/heads/feature/ünïcode";
    m.after = (char *)"0123456789abcdef0123456789abcdef01234567";
    expect_good(TOPIC_SOURCE, &m);
    m.after = (char *)"--upload-pack=touch";
    expect_bad(TOPIC_SOURCE, &m, "is no commit");
    m.after = (char *)"";
    expect_bad(TOPIC_SOURCE, &m, "a revision has `after`");
    m.look = 1;
    expect_good(TOPIC_SOURCE, &m);
    m.after = (char *)"0123456789abcdef0123456789abcdef01234567";
    expect_bad(TOPIC_SOURCE, &m, "a look has none");
    m.look = 0;
    m.after = (char *)"0123456789abcdef0123456789abcdef01234567";
    m.ref = (char *)"--output=x";
    expect_bad(TOPIC_SOURCE, &m, "is no ref");
    m.ref = (char *)"refs/heads/a b";
    expect_bad(TOPIC_SOURCE, &m, "is no ref");
    m.ref = (char *)"refs/heads/main";
    m.n_people = 1001;
    m.people = mem_alloc(1001 * sizeof(char *));
    expect_bad(TOPIC_SOURCE, &m, "SourceChanged.people: has 1001 elements");
    free(m.people);
}

static void a_oneof_must_be_chosen(void **state)
{
    (void)state;
    Gantry__V1__Actor caller = GANTRY__V1__ACTOR__INIT;
    Gantry__V1__Command command = GANTRY__V1__COMMAND__INIT;
    Gantry__V1__StopRelease stop = GANTRY__V1__STOP_RELEASE__INIT;
    command.pipeline = (char *)"shop";
    expect_bad(TOPIC_COMMAND, &command, "Command.caller: is missing");
    command.caller = &caller;
    expect_bad(TOPIC_COMMAND, &command, "none of");
    command.what_case = GANTRY__V1__COMMAND__WHAT_STOP;
    command.stop = &stop;
    stop.release = 3;
    expect_bad(TOPIC_COMMAND, &command, "StopRelease.mode");
    stop.mode = GANTRY__V1__STOP_MODE__STOP_MODE_WAIT;
    expect_good(TOPIC_COMMAND, &command);
}

static void a_vote_and_a_run_s_result_stay_on_their_topics(void **state)
{
    (void)state;
    Gantry__V1__Actor voter = GANTRY__V1__ACTOR__INIT;
    Gantry__V1__Vote vote = GANTRY__V1__VOTE__INIT;
    Gantry__V1__ActionResult result = GANTRY__V1__ACTION_RESULT__INIT;
    vote.approval_id = (char *)RUN_ID;
    vote.verdict = GANTRY__V1__VERDICT__VERDICT_APPROVE;
    vote.voter = &voter;
    result.pipeline = (char *)"shop";
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_VOTE;
    result.vote = &vote;
    expect_good(TOPIC_RESULT_APPROVAL, &result);
    expect_bad(TOPIC_RESULT_BUILD, &result, "does not belong");

    Gantry__V1__Started started = GANTRY__V1__STARTED__INIT;
    result.body_case = GANTRY__V1__ACTION_RESULT__BODY_STARTED;
    result.started = &started;
    expect_bad(TOPIC_RESULT_BUILD, &result, "run_id is empty");
    result.run_id = (char *)RUN_ID;
    expect_bad(TOPIC_RESULT_BUILD, &result, "count from 1");
    result.attempt = result.number = 1;
    expect_good(TOPIC_RESULT_BUILD, &result);
    expect_bad(TOPIC_RESULT_APPROVAL, &result, "does not belong");
}

static void an_approval_has_an_outcome_when_it_is_closed(void **state)
{
    (void)state;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    Gantry__V1__ApprovalRequest m = GANTRY__V1__APPROVAL_REQUEST__INIT;
    m.order = &order;
    m.verb = GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN;
    m.approval_id = (char *)RUN_ID;
    m.pipeline = (char *)"shop";
    m.release = 1;
    m.stage = (char *)"prod";
    m.gate = (char *)"approval";
    expect_good(TOPIC_REQUEST_APPROVAL, &m);
    m.verb = GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED;
    expect_bad(TOPIC_REQUEST_APPROVAL, &m, "outcome");
    m.outcome = GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_REJECTED;
    expect_good(TOPIC_REQUEST_APPROVAL, &m);
    m.order = NULL;
    expect_bad(TOPIC_REQUEST_APPROVAL, &m, "order");
}

/* A build that ended, with one report of tests. */
struct ended {
    Gantry__V1__ActionResult m;
    Gantry__V1__Finished finished;
    Gantry__V1__TestReport report, *reports[21];
    Gantry__V1__TestCounts counts;
    Gantry__V1__Coverage coverage;
    Gantry__V1__TestFailure failure, *failures[51];
};

static void ended_init(struct ended *e)
{
    gantry__v1__action_result__init(&e->m);
    gantry__v1__finished__init(&e->finished);
    gantry__v1__test_report__init(&e->report);
    gantry__v1__test_counts__init(&e->counts);
    gantry__v1__coverage__init(&e->coverage);
    gantry__v1__test_failure__init(&e->failure);
    e->m.pipeline = (char *)"shop";
    e->m.run_id = (char *)RUN_ID;
    e->m.attempt = e->m.number = 1;
    e->m.body_case = GANTRY__V1__ACTION_RESULT__BODY_FINISHED;
    e->m.finished = &e->finished;
    e->finished.outcome = GANTRY__V1__OUTCOME__OUTCOME_FAILED;
    for (size_t i = 0; i < 21; i++)
        e->reports[i] = &e->report;
    e->finished.reports = e->reports;
    e->finished.n_reports = 1;
    for (size_t i = 0; i < 51; i++)
        e->failures[i] = &e->failure;
    e->report.group = (char *)"unit";
    e->report.format = (char *)"JUNITXML";
    e->report.kind = GANTRY__V1__REPORT_KIND__REPORT_KIND_TEST;
    e->report.counts = &e->counts;
    e->report.failures = e->failures;
    e->report.n_failures = 1;
}

static void reports_are_bounded(void **state)
{
    struct ended e;
    (void)state;
    ended_init(&e);
    expect_good(TOPIC_RESULT_BUILD, &e.m);
    e.finished.n_reports = 21;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "reports: has 21 elements, more than 20");
    e.finished.n_reports = 20;
    expect_good(TOPIC_RESULT_BUILD, &e.m);
    e.report.n_failures = 51;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "failures: has 51 elements, more than 50");
    e.report.n_failures = 50;
    expect_good(TOPIC_RESULT_BUILD, &e.m);
    e.failure.message = mem_alloc(2050);
    memset(e.failure.message, 'x', 2049);
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "message: has 2049 bytes, more than 2048");
    e.failure.message[2048] = '\0';
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "bytes, more than 65536");
    e.finished.n_reports = 1;
    e.report.n_failures = 31;
    expect_good(TOPIC_RESULT_BUILD, &e.m);
    free(e.failure.message);
}

static void a_file_that_is_kept_has_a_name_a_key_and_a_hash(void **state)
{
    static uint8_t hash[32];
    static char name[] = "web.zip", key[] = "artifacts/shop/1/web.zip", none[] = "";
    Gantry__V1__StoredFile file = GANTRY__V1__STORED_FILE__INIT, *files[61];
    struct ended e;
    (void)state;
    ended_init(&e);
    file.name = name;
    file.key = key;
    file.kind = GANTRY__V1__STORED_FILE_KIND__STORED_FILE_KIND_ARTIFACT;
    file.sha256 = (ProtobufCBinaryData){.data = hash, .len = 32};
    for (size_t i = 0; i < 61; i++)
        files[i] = &file;
    e.finished.files = files;
    e.finished.n_files = 60;
    expect_good(TOPIC_RESULT_BUILD, &e.m);
    e.finished.n_files = 61;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "files: has 61 elements, more than 60");
    e.finished.n_files = 1;
    file.sha256.len = 31;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "sha256: ");
    file.sha256.len = 32;
    file.key = none;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "key: ");
    file.key = key;
    file.kind = 0;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "kind: is not set");
}

static void a_report_is_of_tests_or_of_coverage(void **state)
{
    struct ended e;
    (void)state;
    ended_init(&e);
    e.report.coverage = &e.coverage;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "a report is of tests or of coverage");
    e.report.kind = GANTRY__V1__REPORT_KIND__REPORT_KIND_COVERAGE;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "a report is of tests or of coverage");
    e.report.counts = NULL;
    expect_good(TOPIC_RESULT_BUILD, &e.m);
    e.report.kind = 0;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "kind: is not set");
}

static void counts_of_tests_add_up(void **state)
{
    struct ended e;
    (void)state;
    ended_init(&e);
    e.counts.total = 3;
    e.counts.passed = 2;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "the counts do not add up");
    e.counts.skipped = 1;
    expect_good(TOPIC_RESULT_BUILD, &e.m);
    e.counts.flaky = 3;
    expect_bad(TOPIC_RESULT_BUILD, &e.m, "the counts do not add up");
}

static void a_definition_is_what_its_hash_says(void **state)
{
    (void)state;
    char yaml[] = "kind: Pipeline\n";
    uint8_t hash[SHA256_SIZE];
    sha256(yaml, strlen(yaml), hash);
    Gantry__V1__Definition m = GANTRY__V1__DEFINITION__INIT;
    m.kind = (char *)"Pipeline";
    m.name = (char *)"shop";
    m.yaml.data = (uint8_t *)yaml;
    m.yaml.len = strlen(yaml);
    m.sha256.data = hash;
    m.sha256.len = sizeof(hash);
    expect_good(TOPIC_DEFINITION, &m);
    hash[0] ^= 1;
    expect_bad(TOPIC_DEFINITION, &m, "sha256 is not that of yaml");
    m.sha256.len = 31;
    expect_bad(TOPIC_DEFINITION, &m, "sha256: has 31 bytes");
    m.sha256.len = 0;
    m.deleted = true;
    expect_bad(TOPIC_DEFINITION, &m, "no yaml");
    m.yaml.len = 0;
    expect_good(TOPIC_DEFINITION, &m);
    m.kind = (char *)"Role";
    expect_bad(TOPIC_DEFINITION, &m, "'Role'");
}

/* A change of a kind that a later version added: kept by event_parse(), refused by event_check().
 */
static void an_unknown_change_parses_and_is_refused_by_the_check(void **state)
{
    (void)state;
    Gantry__V1__Cause cause = GANTRY__V1__CAUSE__INIT;
    Gantry__V1__Change change = GANTRY__V1__CHANGE__INIT;
    Gantry__V1__Change *changes[] = {&change};
    Gantry__V1__Genesis genesis = GANTRY__V1__GENESIS__INIT;
    Gantry__V1__Decision m = GANTRY__V1__DECISION__INIT;
    cause.kind = GANTRY__V1__CAUSE_KIND__CAUSE_KIND_START;
    genesis.epoch = 1;
    genesis.chain_id = (char *)RUN_ID;
    genesis.partition_count = 12;
    m.cause = &cause;
    m.epoch = 1;
    m.time_ms = 1;
    m.changes = changes;
    m.n_changes = 1;
    change.what_case = GANTRY__V1__CHANGE__WHAT_GENESIS;
    change.genesis = &genesis;
    expect_good(TOPIC_LEDGER, &m);
    change.what_case = 0;
    expect_bad(TOPIC_LEDGER, &m, "Decision.changes: element 0: Change: none of");
    struct buf buf;
    buf_init(&buf, 1000);
    assert_int_equal(event_pack(&buf, &m, NULL), 0);
    void *out;
    assert_int_equal(event_parse(&out, TOPIC_LEDGER, buf.data, buf.len, NULL), 0);
    event_free(out);
    assert_int_equal(event_unpack(&out, TOPIC_LEDGER, buf.data, buf.len, NULL), -1);
    buf_release(&buf);
    m.n_changes = 0;
    m.pipeline = (char *)"shop";
    expect_bad(TOPIC_LEDGER, &m, "go together");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_ids_and_numbers_are_checked_by_field),
        cmocka_unit_test(enums_must_be_set_and_known),
        cmocka_unit_test(a_request_carries_the_spec_of_its_kind_and_topic),
        cmocka_unit_test(a_commit_or_ref_that_git_could_take_for_an_option_is_refused),
        cmocka_unit_test(a_oneof_must_be_chosen),
        cmocka_unit_test(a_vote_and_a_run_s_result_stay_on_their_topics),
        cmocka_unit_test(an_approval_has_an_outcome_when_it_is_closed),
        cmocka_unit_test(reports_are_bounded),
        cmocka_unit_test(a_file_that_is_kept_has_a_name_a_key_and_a_hash),
        cmocka_unit_test(a_report_is_of_tests_or_of_coverage),
        cmocka_unit_test(counts_of_tests_add_up),
        cmocka_unit_test(a_definition_is_what_its_hash_says),
        cmocka_unit_test(an_unknown_change_parses_and_is_refused_by_the_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
