/* What a message must be before anybody acts on it. Three layers:
 *
 *   by type      every message: strings UTF-8 and bounded, enums set and known, a oneof chosen,
 *                numbers that fit an int64, lists bounded
 *   by field     the tables below: names, ids, digests, sizes; what may be left out
 *   by message   what hangs together, e.g. a build request carries a BuildSpec
 */
#include <math.h>
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/sha256.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/access.pb-c.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/log.pb-c.h"
#include "gantry/v1/notification.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "gantry/v1/source.pb-c.h"
#include "gantry/v1/state.pb-c.h"

#define TEXT_MAX    (64 * 1024)
#define LIST_MAX    1000
#define CHANGES_MAX 10000
#define YAML_MAX    (256 * 1024)
#define BUILD_MAX   127 /* bytes of an identifier */
#define CHUNK_MAX   (32 * 1024)
#define REF_MAX     1024
#define COMMENT_MAX (4 * 2000) /* bytes of 2,000 characters */

enum form {
    NAME,     /* a name of the product */
    NAME_OPT, /* or empty */
    ACTION,   /* a name; of a build of a batch <name>/<identifier> */
    HEX_ID,   /* 32 hex digits */
    HEX_ID_OPT,
    COMMIT, /* hex digits, at most 64: it becomes an argument of git */
    COMMIT_OPT,
    REF_OPT,    /* no control characters or blanks, no leading '-' */
    DIGEST,     /* sha256: and 64 hex digits */
    TEXT,       /* 1 to max bytes */
    TEXT_OPT,   /* at most max bytes; the default */
    HASH,       /* bytes: SHA256_SIZE */
    HASH_OPT,   /* or none */
    BYTES,      /* 1 to max bytes */
    BYTES_OPT,  /* at most max bytes */
    LIST,       /* at most max elements */
    PRESENT,    /* a message or a number that must be there */
    UNSET_OK,   /* an enum that may be unspecified */
    CHOICE_OPT, /* a oneof that may be left open; named by any of its fields */
};

struct field_rule {
    const char *field; /* NULL ends the list */
    enum form form;
    size_t max;
};

struct message_rule {
    const ProtobufCMessageDescriptor *desc;
    const struct field_rule *fields;
    int (*check)(const void *message, struct err *err); /* NULL: nothing more */
};

#define RULES(...) ((const struct field_rule[]){__VA_ARGS__, {NULL, TEXT_OPT, 0}})

static int check_definition(const void *message, struct err *err)
{
    const Gantry__V1__Definition *def = message;
    if (!str_eq(def->kind, "Pipeline") && !str_eq(def->kind, "Environment") &&
        !str_eq(def->kind, "Notification"))
        return err_set(err, ERR_INVALID, "kind '%.64s' is not known", def->kind);
    if (def->deleted) {
        if (def->yaml.len)
            return err_set(err, ERR_INVALID, "a deleted definition has no yaml");
        return 0;
    }
    uint8_t hash[SHA256_SIZE];
    sha256(def->yaml.data, def->yaml.len, hash);
    if (!def->yaml.len)
        return err_set(err, ERR_INVALID, "yaml is empty");
    if (def->sha256.len != SHA256_SIZE || memcmp(hash, def->sha256.data, SHA256_SIZE) != 0)
        return err_set(err, ERR_INVALID, "sha256 is not that of yaml");
    return 0;
}

static int check_access(const void *message, struct err *err)
{
    const Gantry__V1__Access *access = message;
    bool token = str_eq(access->kind, "Token");
    if (!token && !str_eq(access->kind, "Role") && !str_eq(access->kind, "Binding"))
        return err_set(err, ERR_INVALID, "kind '%.64s' is not known", access->kind);
    if (access->deleted)
        return 0;
    if (token && access->local_case != GANTRY__V1__ACCESS__LOCAL_TOKEN)
        return err_set(err, ERR_INVALID, "token is missing");
    if (!token && !access->yaml.len)
        return err_set(err, ERR_INVALID, "yaml is empty");
    return 0;
}

static int check_source_changed(const void *message, struct err *err)
{
    const Gantry__V1__SourceChanged *change = message;
    if (str_empty(change->after) != (change->look > 0))
        return err_set(err, ERR_INVALID, "a revision has `after`, a look has none");
    return 0;
}

static int check_decision(const void *message, struct err *err)
{
    const Gantry__V1__Decision *decision = message;
    if (str_empty(decision->pipeline) != (decision->sequence == 0))
        return err_set(err, ERR_INVALID, "pipeline and sequence go together");
    return 0;
}

static int check_action_request(const void *message, struct err *err)
{
    const Gantry__V1__ActionRequest *request = message;
    if (request->verb == GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL)
        return 0;
    bool fits = false;
    switch ((int)request->kind) {
    case GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD:
        fits = request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
        break;
    case GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY:
        fits = request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_DEPLOY;
        break;
    case GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM:
        fits = request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC_CUSTOM;
        break;
    case GANTRY__V1__ACTION_KIND__ACTION_KIND_APPROVAL: /* in a Decision; asked by ApprovalRequest
                                                         */
        fits = request->spec_case == GANTRY__V1__ACTION_REQUEST__SPEC__NOT_SET;
        break;
    default:
        break;
    }
    if (!fits)
        return err_set(err, ERR_INVALID, "spec does not fit kind %d", (int)request->kind);
    return 0;
}

static int check_approval_request(const void *message, struct err *err)
{
    const Gantry__V1__ApprovalRequest *request = message;
    bool closed = request->verb == GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED;
    bool outcome = request->outcome != GANTRY__V1__APPROVAL_OUTCOME__APPROVAL_OUTCOME_UNSPECIFIED;
    if (closed != outcome)
        return err_set(err, ERR_INVALID, "outcome is set when closed, and only then");
    return 0;
}

static int check_action_result(const void *message, struct err *err)
{
    const Gantry__V1__ActionResult *result = message;
    if (result->body_case == GANTRY__V1__ACTION_RESULT__BODY_VOTE)
        return 0;
    if (str_empty(result->run_id))
        return err_set(err, ERR_INVALID, "run_id is empty");
    if (result->attempt == 0 || result->number == 0)
        return err_set(err, ERR_INVALID, "attempt and number count from 1");
    return 0;
}

static int check_finished(const void *message, struct err *err)
{
    const Gantry__V1__Finished *finished = message;
    size_t size = 0;
    for (size_t i = 0; i < finished->n_reports; i++)
        size += protobuf_c_message_get_packed_size(&finished->reports[i]->base);
    if (size > EVENT_REPORTS_MAX)
        return err_set(err, ERR_INVALID, "reports have %zu bytes, more than %d", size,
                       EVENT_REPORTS_MAX);
    return 0;
}

static int check_test_report(const void *message, struct err *err)
{
    const Gantry__V1__TestReport *report = message;
    bool coverage = report->kind == GANTRY__V1__REPORT_KIND__REPORT_KIND_COVERAGE;
    if (coverage ? report->counts != NULL : report->coverage != NULL)
        return err_set(err, ERR_INVALID, "a report is of tests or of coverage, never of both");
    return 0;
}

static int check_test_counts(const void *message, struct err *err)
{
    const Gantry__V1__TestCounts *c = message;
    if (c->total != c->passed + c->failed + c->errored + c->skipped + c->unknown ||
        c->skipped > c->total || c->flaky > c->passed)
        return err_set(err, ERR_INVALID, "the counts do not add up");
    return 0;
}

/* Top-level messages first, then the pieces in the order of their files. */
static const struct message_rule rules[] = {
    {&gantry__v1__definition__descriptor,
     RULES({"name", NAME, 0}, {"yaml", BYTES_OPT, YAML_MAX}, {"sha256", HASH_OPT, 0},
           {"replaces_sha256", HASH_OPT, 0}),
     check_definition},
    {&gantry__v1__access__descriptor,
     RULES({"name", NAME, 0}, {"yaml", BYTES_OPT, YAML_MAX}, {"token", CHOICE_OPT, 0}),
     check_access},
    {&gantry__v1__local_token__descriptor, RULES({"sha256", HASH, 0}), NULL},
    {&gantry__v1__source_changed__descriptor,
     RULES({"pipeline", NAME, 0}, {"source", NAME, 0}, {"ref", REF_OPT, REF_MAX},
           {"before", COMMIT_OPT, 0}, {"after", COMMIT_OPT, 0}),
     check_source_changed},
    {&gantry__v1__command__descriptor,
     RULES({"pipeline", NAME, 0}, {"caller", PRESENT, 0}, {"definition_sha256", HASH_OPT, 0}),
     NULL},
    {&gantry__v1__stop_release__descriptor, RULES({"release", PRESENT, 0}), NULL},
    {&gantry__v1__retry_stage__descriptor, RULES({"release", PRESENT, 0}, {"stage", NAME, 0}),
     NULL},
    {&gantry__v1__rollback_stage__descriptor, RULES({"stage", NAME, 0}, {"to_release", PRESENT, 0}),
     NULL},
    {&gantry__v1__set_transition__descriptor, RULES({"stage", NAME, 0}), NULL},
    {&gantry__v1__promote_release__descriptor, RULES({"release", PRESENT, 0}, {"stage", NAME, 0}),
     NULL},
    {&gantry__v1__override_gate__descriptor,
     RULES({"release", PRESENT, 0}, {"stage", NAME, 0}, {"gate", NAME, 0}), NULL},
    {&gantry__v1__pin_environment__descriptor, RULES({"environment", NAME, 0}), NULL},
    {&gantry__v1__decision__descriptor,
     RULES({"previous", HASH_OPT, 0}, {"pipeline", NAME_OPT, 0}, {"pipeline_previous", HASH_OPT, 0},
           {"cause", PRESENT, 0}, {"time_ms", PRESENT, 0}, {"changes", LIST, CHANGES_MAX},
           {"epoch", PRESENT, 0}),
     check_decision},
    {&gantry__v1__genesis__descriptor,
     RULES({"epoch", PRESENT, 0}, {"chain_id", HEX_ID, 0}, {"partition_count", PRESENT, 0},
           {"numbers", LIST, CHANGES_MAX}),
     NULL},
    {&gantry__v1__pipeline_numbers__descriptor, RULES({"pipeline", NAME, 0}), NULL},
    {&gantry__v1__position__descriptor, RULES({"topic", TEXT, 64}, {"settled_ce_id", TEXT_OPT, 63}),
     NULL},
    {&gantry__v1__cause__descriptor, RULES({"topic", TEXT_OPT, 64}, {"ce_id", TEXT_OPT, 63}), NULL},
    {&gantry__v1__release_event__descriptor,
     RULES({"order", PRESENT, 0}, {"pipeline", NAME, 0}, {"time_ms", PRESENT, 0},
           {"cause_id", TEXT_OPT, 63}),
     NULL},
    {&gantry__v1__action_request__descriptor,
     RULES({"run_id", HEX_ID, 0}, {"pipeline", NAME, 0}, {"release", PRESENT, 0},
           {"stage", NAME, 0}, {"action", ACTION, 0}, {"build", CHOICE_OPT, 0}),
     check_action_request},
    {&gantry__v1__build_spec__descriptor,
     RULES({"source", NAME, 0}, {"batch_privileged", CHOICE_OPT, 0}), NULL},
    {&gantry__v1__deploy_spec__descriptor,
     RULES({"environment", NAME, 0}, {"deployer", NAME, 0},
           {"environment_yaml", BYTES_OPT, YAML_MAX}, {"environment_sha256", HASH_OPT, 0},
           {"target_yaml", BYTES_OPT, YAML_MAX}),
     NULL},
    {&gantry__v1__custom_spec__descriptor, RULES({"type", TEXT, 128}), NULL},
    {&gantry__v1__approval_request__descriptor,
     RULES({"approval_id", HEX_ID, 0}, {"pipeline", NAME, 0}, {"release", PRESENT, 0},
           {"stage", NAME, 0}, {"gate", NAME, 0}, {"outcome", UNSET_OK, 0}),
     check_approval_request},
    {&gantry__v1__vote__descriptor,
     RULES({"approval_id", HEX_ID, 0}, {"comment", TEXT_OPT, COMMENT_MAX}, {"voter", PRESENT, 0}),
     NULL},
    {&gantry__v1__action_result__descriptor,
     RULES({"pipeline", NAME, 0}, {"run_id", HEX_ID_OPT, 0}), check_action_result},
    {&gantry__v1__finished__descriptor,
     RULES({"artifact", CHOICE_OPT, 0}, {"log_tail", LIST, 20}, {"reports", LIST, 20},
           {"files", LIST, 60}),
     check_finished},
    {&gantry__v1__stored_file__descriptor,
     RULES({"name", TEXT, 256}, {"key", TEXT, 1024}, {"sha256", HASH, 0}), NULL},
    {&gantry__v1__test_report__descriptor,
     RULES({"group", TEXT, EVENT_REPORT_NAME_MAX}, {"format", TEXT, 32}, {"failures", LIST, 50},
           {"slowest", LIST, 10}, {"worst", LIST, 100}, {"problem", TEXT_OPT, 1024}),
     check_test_report},
    {&gantry__v1__test_counts__descriptor, NULL, check_test_counts},
    {&gantry__v1__test_failure__descriptor,
     RULES({"suite", TEXT_OPT, 512}, {"name", TEXT_OPT, 512}, {"message", TEXT_OPT, 2048},
           {"file", TEXT_OPT, 512}),
     NULL},
    {&gantry__v1__test_time__descriptor, RULES({"suite", TEXT_OPT, 512}, {"name", TEXT_OPT, 512}),
     NULL},
    {&gantry__v1__file_coverage__descriptor, RULES({"path", TEXT, 512}, {"coverage", PRESENT, 0}),
     NULL},
    {&gantry__v1__promoter_state__descriptor, RULES({"snapshot", PRESENT, 0}), NULL},
    {&gantry__v1__snapshot__descriptor,
     RULES({"pipeline", NAME, 0}, {"decision_hash", HASH, 0}, {"state", BYTES, EVENT_VALUE_MAX}),
     NULL},
    {&gantry__v1__checkpoint__descriptor,
     RULES({"genesis", PRESENT, 0}, {"head_hash", HASH, 0}, {"snapshots", LIST, CHANGES_MAX}),
     NULL},
    {&gantry__v1__snapshot_name__descriptor,
     RULES({"key", TEXT, 128}, {"pipeline", NAME, 0}, {"decision_hash", HASH, 0}), NULL},
    {&gantry__v1__log_chunk__descriptor,
     RULES({"run_id", HEX_ID, 0}, {"pipeline", NAME, 0}, {"stage", NAME, 0}, {"action", ACTION, 0},
           {"data", BYTES_OPT, CHUNK_MAX}),
     NULL},
    {&gantry__v1__notification_sent__descriptor,
     RULES({"notification_id", HEX_ID, 0}, {"rule", NAME, 0}, {"event_id", TEXT, 63},
           {"pipeline", NAME_OPT, 0}),
     NULL},
    {&gantry__v1__key_value__descriptor, RULES({"key", TEXT, 256}), NULL},
    {&gantry__v1__revision__descriptor,
     RULES({"source", NAME, 0}, {"ref", REF_OPT, REF_MAX}, {"commit", COMMIT_OPT, 0}), NULL},
    {&gantry__v1__artifact__descriptor,
     RULES({"name", NAME, 0}, {"repository", TEXT, 512}, {"digest", DIGEST, 0}), NULL},
    {&gantry__v1__definition_taken__descriptor,
     RULES({"number", PRESENT, 0}, {"sha256", HASH, 0}, {"yaml", BYTES_OPT, YAML_MAX}), NULL},
    {&gantry__v1__definition_refused__descriptor, RULES({"sha256", HASH_OPT, 0}), NULL},
    {&gantry__v1__revision_seen__descriptor, RULES({"change", PRESENT, 0}, {"ce_id", TEXT_OPT, 63}),
     NULL},
    {&gantry__v1__release_started__descriptor,
     RULES({"release", PRESENT, 0}, {"rollback_stage", NAME_OPT, 0}), NULL},
    {&gantry__v1__release_ended__descriptor, RULES({"release", PRESENT, 0}), NULL},
    {&gantry__v1__release_stopping__descriptor, RULES({"release", PRESENT, 0}), NULL},
    {&gantry__v1__stage_waiting__descriptor, RULES({"release", PRESENT, 0}, {"stage", NAME, 0}),
     NULL},
    {&gantry__v1__stage_entered__descriptor, RULES({"release", PRESENT, 0}, {"stage", NAME, 0}),
     NULL},
    {&gantry__v1__stage_ended__descriptor, RULES({"release", PRESENT, 0}, {"stage", NAME, 0}),
     NULL},
    {&gantry__v1__action_requested__descriptor, RULES({"request", PRESENT, 0}), NULL},
    {&gantry__v1__action_started__descriptor,
     RULES({"release", PRESENT, 0}, {"stage", NAME, 0}, {"action", ACTION, 0},
           {"run_id", HEX_ID, 0}),
     NULL},
    {&gantry__v1__action_progressed__descriptor, RULES({"run_id", HEX_ID, 0}), NULL},
    {&gantry__v1__action_ended__descriptor,
     RULES({"release", PRESENT, 0}, {"stage", NAME, 0}, {"action", ACTION, 0},
           {"run_id", HEX_ID, 0}, {"request", CHOICE_OPT, 0}),
     NULL},
    {&gantry__v1__artifact_set__descriptor,
     RULES({"release", PRESENT, 0}, {"artifact", PRESENT, 0}), NULL},
    {&gantry__v1__transition_set__descriptor, RULES({"stage", NAME, 0}), NULL},
    {&gantry__v1__release_promoted__descriptor, RULES({"release", PRESENT, 0}, {"stage", NAME, 0}),
     NULL},
    {&gantry__v1__gate_overridden__descriptor,
     RULES({"release", PRESENT, 0}, {"stage", NAME, 0}, {"gate", NAME, 0}), NULL},
    {&gantry__v1__check_asked__descriptor, RULES({"request", PRESENT, 0}), NULL},
    {&gantry__v1__check_answered__descriptor,
     RULES({"release", PRESENT, 0}, {"stage", NAME, 0}, {"gate", NAME, 0}, {"run_id", HEX_ID, 0},
           {"request", CHOICE_OPT, 0}),
     NULL},
    {&gantry__v1__environment_pinned__descriptor, RULES({"environment", NAME, 0}), NULL},
    {&gantry__v1__action_silent__descriptor,
     RULES({"release", PRESENT, 0}, {"stage", NAME, 0}, {"action", ACTION, 0},
           {"run_id", HEX_ID, 0}),
     NULL},
    {&gantry__v1__batch_build__descriptor, RULES({"privileged", CHOICE_OPT, 0}), NULL},
    {&gantry__v1__batch_planned__descriptor,
     RULES({"release", PRESENT, 0}, {"stage", NAME, 0}, {"action", NAME, 0}, {"run_id", HEX_ID, 0},
           {"finished", PRESENT, 0}),
     NULL},
    {&gantry__v1__approval_opened__descriptor, RULES({"approval", PRESENT, 0}), NULL},
    {&gantry__v1__approval_closed__descriptor, RULES({"approval", PRESENT, 0}), NULL},
    {&gantry__v1__vote_counted__descriptor,
     RULES({"vote", PRESENT, 0}, {"ce_id", TEXT_OPT, 63}, {"approval", PRESENT, 0}), NULL},
    {&gantry__v1__vote_refused__descriptor, RULES({"vote", PRESENT, 0}, {"ce_id", TEXT_OPT, 63}),
     NULL},
};

static const struct message_rule *rule_of(const ProtobufCMessageDescriptor *desc)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        if (rules[i].desc == desc)
            return &rules[i];
    }
    return NULL;
}

static const struct field_rule *field_rule_of(const struct message_rule *rule, const char *field)
{
    for (const struct field_rule *f = rule ? rule->fields : NULL; f && f->field; f++) {
        if (strcmp(f->field, field) == 0)
            return f;
    }
    return NULL;
}

static bool is_hex(const char *s, size_t min, size_t max)
{
    size_t len = strspn(s, "0123456789abcdef");
    return s[len] == '\0' && len >= min && len <= max;
}

static bool is_ref(const char *s)
{
    for (const char *p = s; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    }
    return *s != '-';
}

static bool is_action(const char *s)
{
    char name[64];
    size_t len = strcspn(s, "/");
    if (!s[len])
        return str_is_name(s);
    snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : 0), s);
    const char *build = s + len + 1;
    size_t n = strspn(build, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return str_is_name(name) && n > 0 && n <= BUILD_MAX && !build[n];
}

static int check_string(const char *s, const struct field_rule *rule, struct err *err)
{
    size_t len = strlen(s);
    size_t max = rule && rule->max ? rule->max : TEXT_MAX;
    if (len > max)
        return err_set(err, ERR_INVALID, "has %zu bytes, more than %zu", len, max);
    if (!str_is_utf8(s, len))
        return err_set(err, ERR_INVALID, "is not UTF-8");
    const char *wrong = NULL;
    switch (rule ? rule->form : TEXT_OPT) {
    case NAME_OPT:
        if (!len)
            return 0;
        /* fall through */
    case NAME:
        wrong = str_is_name(s) ? NULL : "is no name ([a-z0-9][a-z0-9-]{0,62})";
        break;
    case ACTION:
        wrong = is_action(s)
                    ? NULL
                    : "is no action ([a-z0-9][a-z0-9-]{0,62}, or that, a '/' and a build's "
                      "identifier)";
        break;
    case HEX_ID_OPT:
        if (!len)
            return 0;
        /* fall through */
    case HEX_ID:
        wrong = is_hex(s, ID_SIZE - 1, ID_SIZE - 1) ? NULL : "is no id (32 hex digits)";
        break;
    case COMMIT:
        wrong = is_hex(s, 1, 64) ? NULL : "is no commit (hex digits)";
        break;
    case COMMIT_OPT:
        wrong = is_hex(s, 0, 64) ? NULL : "is no commit (hex digits)";
        break;
    case REF_OPT:
        wrong = is_ref(s) ? NULL : "is no ref";
        break;
    case DIGEST:
        wrong = str_starts(s, "sha256:") && is_hex(s + 7, 64, 64) ? NULL : "is no sha256 digest";
        break;
    case TEXT:
        wrong = len ? NULL : "is empty";
        break;
    default:
        break;
    }
    return wrong ? err_set(err, ERR_INVALID, "'%.80s' %s", s, wrong) : 0;
}

static int check_bytes(const ProtobufCBinaryData *b, const struct field_rule *rule, struct err *err)
{
    enum form form = rule ? rule->form : BYTES_OPT;
    size_t max = rule && rule->max ? rule->max : EVENT_VALUE_MAX;
    if (!b->len && (form == HASH || form == BYTES))
        return err_set(err, ERR_INVALID, "is empty");
    if (b->len && (form == HASH || form == HASH_OPT) && b->len != SHA256_SIZE)
        return err_set(err, ERR_INVALID, "has %zu bytes, not %d", b->len, SHA256_SIZE);
    if (b->len > max)
        return err_set(err, ERR_INVALID, "has %zu bytes, more than %zu", b->len, max);
    return 0;
}

static int check_enum(const ProtobufCEnumDescriptor *desc, int value, const struct field_rule *rule,
                      struct err *err)
{
    if (value == 0)
        return rule && rule->form == UNSET_OK ? 0 : err_set(err, ERR_INVALID, "is not set");
    if (!protobuf_c_enum_descriptor_get_value(desc, value))
        return err_set(err, ERR_INVALID, "has the value %d, which this version does not know",
                       value);
    return 0;
}

static int check_number(const ProtobufCFieldDescriptor *field, const void *at,
                        const struct field_rule *rule, struct err *err)
{
    bool zero = false;
    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        if (*(const uint64_t *)at > INT64_MAX)
            return err_set(err, ERR_INVALID, "is more than 2^63 - 1");
        /* fall through */
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        zero = *(const uint64_t *)at == 0;
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        if (!isfinite(*(const double *)at) || *(const double *)at < 0)
            return err_set(err, ERR_INVALID, "is no number from 0 up");
        break;
    case PROTOBUF_C_TYPE_BOOL:
        break;
    default:
        zero = *(const uint32_t *)at == 0;
        break;
    }
    if (zero && rule && rule->form == PRESENT)
        return err_set(err, ERR_INVALID, "is not set");
    return 0;
}

static int check_message(const ProtobufCMessage *message, struct err *err);

static int check_value(const ProtobufCFieldDescriptor *field, const void *at,
                       const struct field_rule *rule, struct err *err)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return check_string(*(char *const *)at ? *(char *const *)at : "", rule, err);
    case PROTOBUF_C_TYPE_BYTES:
        return check_bytes(at, rule, err);
    case PROTOBUF_C_TYPE_ENUM:
        return check_enum(field->descriptor, *(const int *)at, rule, err);
    case PROTOBUF_C_TYPE_MESSAGE:
        if (*(ProtobufCMessage *const *)at)
            return check_message(*(ProtobufCMessage *const *)at, err);
        return rule && rule->form == PRESENT ? err_set(err, ERR_INVALID, "is missing") : 0;
    default:
        return check_number(field, at, rule, err);
    }
}

/* Lists in these messages are of strings and messages only: elements are pointers. */
static int check_list(const ProtobufCFieldDescriptor *field, const uint8_t *base,
                      const struct field_rule *rule, struct err *err)
{
    size_t count = *(const size_t *)(base + field->quantifier_offset);
    void *const *items = *(void *const *const *)(base + field->offset);
    size_t max = rule && rule->form == LIST ? rule->max : LIST_MAX;
    if (count > max)
        return err_set(err, ERR_INVALID, "has %zu elements, more than %zu", count, max);
    for (size_t i = 0; i < count; i++) {
        if (check_value(field, &items[i], NULL, err) != 0)
            return err_wrap(err, "element %zu", i);
    }
    return 0;
}

/* A oneof that nobody chose is shown by its first member's turn: the case is 0 for all of them. */
static int check_field(const ProtobufCFieldDescriptor *field, const uint8_t *base,
                       const struct message_rule *message_rule, struct err *err)
{
    const struct field_rule *rule = field_rule_of(message_rule, field->name);
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return check_list(field, base, rule, err);
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        if (*(const uint32_t *)(base + field->quantifier_offset) != field->id)
            return 0;
        return check_value(field, base + field->offset, rule, err);
    }
    return check_value(field, base + field->offset, rule, err);
}

static int check_choices(const ProtobufCMessage *message, const struct message_rule *rule,
                         struct err *err)
{
    const uint8_t *base = (const uint8_t *)message;
    const ProtobufCMessageDescriptor *desc = message->descriptor;
    unsigned seen_at = 0;
    for (unsigned i = 0; i < desc->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &desc->fields[i];
        if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) || field->quantifier_offset == seen_at)
            continue;
        seen_at = field->quantifier_offset;
        const struct field_rule *f = field_rule_of(rule, field->name);
        if (*(const uint32_t *)(base + seen_at) == 0 && !(f && f->form == CHOICE_OPT))
            return err_set(err, ERR_INVALID,
                           "%s: none of '%s' and its like is set, or one that this version does "
                           "not know",
                           desc->short_name, field->name);
    }
    return 0;
}

static int check_message(const ProtobufCMessage *message, struct err *err)
{
    const ProtobufCMessageDescriptor *desc = message->descriptor;
    const struct message_rule *rule = rule_of(desc);
    for (unsigned i = 0; i < desc->n_fields; i++) {
        if (check_field(&desc->fields[i], (const uint8_t *)message, rule, err) != 0)
            return err_wrap(err, "%s.%s", desc->short_name, desc->fields[i].name);
    }
    if (check_choices(message, rule, err) != 0)
        return -1;
    if (rule && rule->check && rule->check(message, err) != 0)
        return err_wrap(err, "%s", desc->short_name);
    return 0;
}

/* What only the topic tells: the kind it carries, and the Order that published records have. */
static int check_request_topic(enum topic topic, const Gantry__V1__ActionRequest *request,
                               struct err *err)
{
    static const int kinds[TOPIC_COUNT] = {
        [TOPIC_REQUEST_BUILD] = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD,
        [TOPIC_REQUEST_DEPLOY] = GANTRY__V1__ACTION_KIND__ACTION_KIND_DEPLOY,
        [TOPIC_REQUEST_CUSTOM] = GANTRY__V1__ACTION_KIND__ACTION_KIND_CUSTOM,
    };
    if ((int)request->kind != kinds[topic])
        return err_set(err, ERR_INVALID, "ActionRequest.kind does not belong on this topic");
    if (!request->order)
        return err_set(err, ERR_INVALID, "ActionRequest.order is missing");
    return 0;
}

int event_check(enum topic topic, const void *message, struct err *err)
{
    if (check_message(message, err) != 0)
        return -1;
    switch (topic) {
    case TOPIC_REQUEST_BUILD:
    case TOPIC_REQUEST_DEPLOY:
    case TOPIC_REQUEST_CUSTOM:
        return check_request_topic(topic, message, err);
    case TOPIC_REQUEST_APPROVAL:
        if (!((const Gantry__V1__ApprovalRequest *)message)->order)
            return err_set(err, ERR_INVALID, "ApprovalRequest.order is missing");
        return 0;
    case TOPIC_RESULT_BUILD:
    case TOPIC_RESULT_DEPLOY:
    case TOPIC_RESULT_CUSTOM:
    case TOPIC_RESULT_APPROVAL: {
        const Gantry__V1__ActionResult *result = message;
        bool vote = result->body_case == GANTRY__V1__ACTION_RESULT__BODY_VOTE;
        if (vote != (topic == TOPIC_RESULT_APPROVAL))
            return err_set(err, ERR_INVALID, "ActionResult.body does not belong on this topic");
        return 0;
    }
    default:
        return 0;
    }
}
