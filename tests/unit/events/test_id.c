// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "events/event.h"

/* Computed apart from this code, in Python 3:
 *
 *   import hashlib
 *   def i(*parts):
 *       b = b''.join(b'%d:%s' % (len(p.encode()), p.encode()) for p in parts)
 *       return hashlib.sha256(b).hexdigest()[:32]
 *   i('run', '1700000000000', 'shop', '42', 'dev', 'app', '1')
 *   i('approval', '1700000000000', 'shop', '42', 'prod', 'approval-2', '3')
 *   i('pub', '1700000000000', 'shop', '1234', '5')
 *   i('source', 'shop', 'main', 'refs/heads/grün', '', '0123456789abcdef0123456789abcdef01234567',
 * '') i('source', 'shop', 'main', 'refs/heads/main', '0123456789abcdef0123456789abcdef01234567',
 *     '89abcdef0123456789abcdef0123456789abcdef', '11111111111111111111111111111111')
 *   i('command', 'token:ci', 'key-1'); i('vote', 'token:ci', 'key-1')
 *   i('result', '00112233445566778899aabbccddeeff', '2', '18')
 *   i('notify', 'mail-ops', '00112233445566778899aabbccddeeff')
 *   i('trace', '00112233445566778899aabbccddeeff'), i('span', '0011...eeff')[:16]
 */
static void ids_are_those_of_the_events_page_to_the_byte(void **state)
{
    (void)state;
    const uint64_t epoch = 1700000000000;
    const char *a = "0123456789abcdef0123456789abcdef01234567";
    const char *b = "89abcdef0123456789abcdef0123456789abcdef";
    const char *run = "00112233445566778899aabbccddeeff";
    char id[ID_SIZE];
    event_id_run(id, epoch, "shop", 42, "dev", "app", 1);
    assert_string_equal(id, "955fc74746bf35e7b9f0d11eceb47773");
    event_id_approval(id, epoch, "shop", 42, "prod", "approval-2", 3);
    assert_string_equal(id, "bfad8a312ffd79088702195fdf576897");
    event_id_pub(id, epoch, "shop", 1234, 5);
    assert_string_equal(id, "8bfe580956156974088ee4da45c047bc");
    event_id_source(id, "shop", "main", "refs/heads/grün", "", a, "");
    assert_string_equal(id, "fde360813e467b159bc9a7a2ebd7cdb2");
    event_id_source(id, "shop", "main", "refs/heads/main", a, b,
                    "11111111111111111111111111111111");
    assert_string_equal(id, "d4a300468bfab6d2464f973f01f08779");
    event_id_command(id, "token:ci", "key-1");
    assert_string_equal(id, "5a4782603f638036ff6911d0b60279e2");
    event_id_vote(id, "token:ci", "key-1");
    assert_string_equal(id, "03872b539c0f93d481db9aef2c0a3e05");
    event_id_result(id, run, 2, 18);
    assert_string_equal(id, "b7e76995f9e95efca6dae9991c7cf2c7");
    event_id_notification(id, "mail-ops", run);
    assert_string_equal(id, "8507c3e9e9bb68732462084ff7fb546b");
}

static void a_record_published_twice_has_the_same_span(void **state)
{
    (void)state;
    const char *id = "00112233445566778899aabbccddeeff";
    char out[EVENT_TRACEPARENT_SIZE];
    event_trace_of(out, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", id);
    assert_string_equal(out, "00-4bf92f3577b34da6a3ce929d0e0e4736-8899aabbccddeeff-01");
    event_trace_of(out, "nonsense", id);
    assert_string_equal(out, "00-1b2d863d1ee3c0801e1401ba1fb2c1d5-8899aabbccddeeff-01");
}

/* An executor's own ids are any text, and no span may be zero. */
static void a_span_is_sixteen_digits_whatever_the_id(void **state)
{
    (void)state;
    static const char *const ids[] = {"", "7", "00112233445566770000000000000000",
                                      "a run of mine that has 32 letters"};
    char out[EVENT_TRACEPARENT_SIZE], again[EVENT_TRACEPARENT_SIZE];
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        event_trace_of(out, "", ids[i]);
        assert_int_equal(strlen(out), EVENT_TRACEPARENT_SIZE - 1);
        assert_int_equal(strspn(out + 36, "0123456789abcdef"), 16);
        assert_true(strncmp(out + 36, "0000000000000000", 16) != 0);
        event_trace_of(again, out, ids[i]); /* what it made is a parent that is taken */
        assert_memory_equal(again, out, 35);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_the_events_page_to_the_byte),
        cmocka_unit_test(a_record_published_twice_has_the_same_span),
        cmocka_unit_test(a_span_is_sixteen_digits_whatever_the_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
