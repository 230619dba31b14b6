// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/command.pb-c.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/definition.pb-c.h"
#include "gantry/v1/event.pb-c.h"
#include "gantry/v1/log.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/source.pb-c.h"

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static struct event_header header(const char *name, const char *value)
{
    return (struct event_header){.name = name, .value = value, .len = strlen(value)};
}

static void headers_come_back_as_they_went(void **state)
{
    (void)state;
    struct event_meta meta = {.id = "0a",
                              .source = "/gantry/promoter",
                              .type = "gantry.x.done.v1",
                              .subject = "shop/42",
                              .traceparent = TRACE,
                              .time_ms = 1700000000123};
    struct event_header headers[EVENT_HEADERS_MAX];
    char time_text[CLOCK_RFC3339_SIZE];
    size_t n = event_headers(&meta, time_text, headers);
    assert_int_equal(n, 8);
    struct event_meta back;
    struct err err = {0};
    assert_int_equal(event_read_headers(&back, headers, n, &err), 0);
    assert_memory_equal(&back.id, &meta.id, sizeof(meta.id));
    assert_string_equal(back.source, meta.source);
    assert_string_equal(back.type, meta.type);
    assert_string_equal(back.subject, meta.subject);
    assert_string_equal(back.traceparent, TRACE);
    assert_int_equal(back.time_ms, meta.time_ms);
}

static void expect_refused(const struct event_header *headers, size_t count, const char *word)
{
    struct event_meta meta;
    struct err err = {0};
    assert_int_equal(event_read_headers(&meta, headers, count, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.msg, word))
        fail_msg("'%s' does not name '%s'", err.msg, word);
}

static void headers_that_are_no_cloudevent_are_refused_by_name(void **state)
{
    (void)state;
    char long_id[80];
    memset(long_id, 'a', sizeof(long_id) - 1);
    long_id[sizeof(long_id) - 1] = '\0';
    struct event_header h[] = {header("ce_specversion", "1.0"), header("ce_id", "a"),
                               header("ce_source", "/x"), header("ce_type", "t"),
                               header("ce_time", "2026-01-31T09:00:00Z")};
    expect_refused(h, 0, "ce_specversion");
    expect_refused(h, 1, "ce_id");
    expect_refused(h, 2, "ce_source");
    expect_refused(h, 3, "ce_type");
    h[4] = header("ce_time", "yesterday");
    expect_refused(h, 5, "yesterday");
    h[4] = header("content-type", "application/json");
    expect_refused(h, 5, "application/json");
    h[4] = header("ce_subject", "a\nb");
    expect_refused(h, 5, "ce_subject");
    h[4] = header("ce_subject", "\xff\xfe");
    expect_refused(h, 5, "UTF-8");
    h[1] = header("ce_id", long_id);
    expect_refused(h, 4, "ce_id");
    h[1] = header("ce_id", "a");
    h[0] = header("ce_specversion", "2.0");
    expect_refused(h, 4, "2.0");
}

static void a_bad_or_missing_traceparent_is_no_failure(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "00-4bf9",
                                      "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                      "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                      "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                                      "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct event_header h[] = {header("ce_specversion", "1.0"), header("ce_id", "a"),
                                   header("ce_source", "/x"), header("ce_type", "t"),
                                   header("traceparent", bad[i])};
        struct event_meta meta;
        assert_int_equal(event_read_headers(&meta, h, 5, NULL), 0);
        assert_string_equal(meta.traceparent, "");
    }
}

static void a_child_span_keeps_the_trace(void **state)
{
    (void)state;
    char a[EVENT_TRACEPARENT_SIZE], b[EVENT_TRACEPARENT_SIZE];
    event_trace(a, TRACE);
    event_trace(b, TRACE);
    assert_memory_equal(a, TRACE, 36);
    assert_memory_equal(b, TRACE, 36);
    assert_string_not_equal(a, b);
    event_trace(a, "");
    event_trace(b, NULL);
    assert_int_equal(strlen(a), EVENT_TRACEPARENT_SIZE - 1);
    assert_true(memcmp(a, b, 35) != 0);
}

static Gantry__V1__SourceChanged source_changed(void)
{
    Gantry__V1__SourceChanged m = GANTRY__V1__SOURCE_CHANGED__INIT;
    m.pipeline = (char *)"shop";
    m.source = (char *)"main";
    m.git = (char *)"https://git.example/shop.git";
    m.ref = (char *)"refs/heads/main";
    m.after = (char *)"0123456789abcdef0123456789abcdef01234567";
    return m;
}

static void a_message_comes_back_as_it_was_packed(void **state)
{
    (void)state;
    char *people[] = {(char *)"a@example.org", (char *)"b@example.org"};
    Gantry__V1__SourceChanged m = source_changed();
    m.people = people;
    m.n_people = 2;
    struct buf buf;
    buf_init(&buf, EVENT_VALUE_MAX);
    struct err err = {0};
    assert_int_equal(event_pack(&buf, &m, &err), 0);
    void *out;
    assert_int_equal(event_unpack(&out, TOPIC_SOURCE, buf.data, buf.len, &err), 0);
    const Gantry__V1__SourceChanged *back = out;
    assert_string_equal(back->ref, m.ref);
    assert_int_equal(back->n_people, 2);
    assert_string_equal(back->people[1], "b@example.org");

    void *copy = event_clone(out);
    event_free(out);
    assert_string_equal(((Gantry__V1__SourceChanged *)copy)->people[0], "a@example.org");
    event_free(copy);
    event_free(NULL);
    buf_release(&buf);
}

static void more_than_a_record_may_have_is_refused_on_both_ways(void **state)
{
    (void)state;
    uint8_t *big = mem_alloc(EVENT_VALUE_MAX + 1);
    Gantry__V1__LogChunk m = GANTRY__V1__LOG_CHUNK__INIT;
    m.data.data = big;
    m.data.len = EVENT_VALUE_MAX;
    struct buf buf;
    struct err err = {0};
    buf_init(&buf, 2 * EVENT_VALUE_MAX);
    assert_int_equal(event_pack(&buf, &m, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(buf.len, 0);
    void *out;
    assert_int_equal(event_unpack(&out, TOPIC_LOG, big, EVENT_VALUE_MAX + 1, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(out);
    buf_release(&buf);
    free(big);
}

static void a_value_that_unpacks_to_too_much_memory_is_refused(void **state)
{
    (void)state;
    /* Decision.changes = ActionRequested{request{}}: eight bytes that become some 500 in memory. */
    static const uint8_t change[] = {0x3a, 0x05, 0x9a, 0x01, 0x02, 0x0a, 0x00};
    size_t count = (size_t)EVENT_VALUE_MAX / sizeof(change);
    uint8_t *value = mem_alloc(count * sizeof(change));
    for (size_t i = 0; i < count; i++)
        memcpy(value + i * sizeof(change), change, sizeof(change));
    void *out;
    struct err err = {0};
    assert_int_equal(event_parse(&out, TOPIC_LEDGER, value, 100 * sizeof(change), &err), 0);
    assert_int_equal(((Gantry__V1__Decision *)out)->n_changes, 100);
    event_free(out);
    assert_int_equal(event_parse(&out, TOPIC_LEDGER, value, count * sizeof(change), &err), -1);
    assert_null(out);
    free(value);
}

/* Found by the fuzzer: protobuf-c reads such a field and cannot read what it writes of it. */
static void a_field_without_a_number_is_refused(void **state)
{
    (void)state;
    /* cause = { field 0 by an overlong tag, of no bytes } */
    static const uint8_t value[] = {0x2a, 0x03, 0x82, 0x00, 0x00};
    void *out;
    struct err err = {0};
    assert_int_equal(event_parse(&out, TOPIC_LEDGER, value, sizeof(value), &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(out);
}

static void garbage_is_refused_with_a_reason(void **state)
{
    (void)state;
    void *out;
    struct err err = {0};
    assert_int_equal(event_unpack(&out, TOPIC_SOURCE, "\xff\xff\xff", 3, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.msg, "SourceChanged"));
    assert_int_equal(event_unpack(&out, TOPIC_SOURCE, NULL, 0, &err), -1);
    assert_int_equal(event_unpack(&out, TOPIC_DEADLETTER, "", 0, &err), -1);
}

static void types_and_keys_follow_topic_and_content(void **state)
{
    (void)state;
    char key[128];
    Gantry__V1__SourceChanged source = source_changed();
    assert_string_equal(event_type_of(TOPIC_SOURCE, &source), "gantry.source.changed.v1");
    assert_int_equal(event_key_of(TOPIC_SOURCE, &source, key, sizeof(key)), 0);
    assert_string_equal(key, "shop");
    assert_int_equal(event_key_of(TOPIC_SOURCE, &source, key, 4), -1);

    Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
    event.fact_case = GANTRY__V1__RELEASE_EVENT__FACT_RELEASE_STARTED;
    assert_string_equal(event_type_of(TOPIC_EVENT, &event), "gantry.release.started.v1");

    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    request.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL;
    request.run_id = (char *)"00112233445566778899aabbccddeeff";
    assert_string_equal(event_type_of(TOPIC_REQUEST_BUILD, &request), "gantry.build.cancelled.v1");
    assert_int_equal(event_key_of(TOPIC_REQUEST_BUILD, &request, key, sizeof(key)), 0);
    assert_string_equal(key, request.run_id);

    Gantry__V1__Definition def = GANTRY__V1__DEFINITION__INIT;
    def.kind = (char *)"Pipeline";
    def.name = (char *)"shop";
    event_key_of(TOPIC_DEFINITION, &def, key, sizeof(key));
    assert_string_equal(key, "shop");
    def.kind = (char *)"Environment";
    event_key_of(TOPIC_DEFINITION, &def, key, sizeof(key));
    assert_string_equal(key, "Environment/shop");

    Gantry__V1__Decision decision = GANTRY__V1__DECISION__INIT;
    event_key_of(TOPIC_LEDGER, &decision, key, sizeof(key));
    assert_string_equal(key, "@partition");
}

static void every_fact_and_verb_has_a_type_of_its_own(void **state)
{
    (void)state;
    struct strv seen = {0};
    const ProtobufCMessageDescriptor *desc = &gantry__v1__release_event__descriptor;
    for (unsigned i = 0; i < desc->n_fields; i++) {
        if (!(desc->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
            continue;
        Gantry__V1__ReleaseEvent event = GANTRY__V1__RELEASE_EVENT__INIT;
        event.fact_case = (Gantry__V1__ReleaseEvent__FactCase)desc->fields[i].id;
        const char *type = event_type_of(TOPIC_EVENT, &event);
        assert_true(str_starts(type, "gantry.") && str_ends(type, ".v1"));
        assert_string_not_equal(type, "gantry.record.written.v1");
        assert_false(strv_has(&seen, type));
        strv_add(&seen, type);
    }
    strv_release(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_come_back_as_they_went),
        cmocka_unit_test(headers_that_are_no_cloudevent_are_refused_by_name),
        cmocka_unit_test(a_bad_or_missing_traceparent_is_no_failure),
        cmocka_unit_test(a_child_span_keeps_the_trace),
        cmocka_unit_test(a_message_comes_back_as_it_was_packed),
        cmocka_unit_test(more_than_a_record_may_have_is_refused_on_both_ways),
        cmocka_unit_test(a_value_that_unpacks_to_too_much_memory_is_refused),
        cmocka_unit_test(a_field_without_a_number_is_refused),
        cmocka_unit_test(garbage_is_refused_with_a_reason),
        cmocka_unit_test(types_and_keys_follow_topic_and_content),
        cmocka_unit_test(every_fact_and_verb_has_a_type_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
