// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <string.h>

#include "events/topic.h"

/* Kafka's UtilsTest.testMurmur2 gives these hashes; a partition is (hash & 0x7fffffff) % count.
 * With a count of 2^31 - 1 nothing but the sign bit is lost. */
static void keys_are_placed_as_javas_default_partitioner_does(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    static const int32_t counts[] = {INT32_MAX, 12, 7, 1};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
            int32_t expect = (known[i].hash & 0x7fffffff) % counts[c];
            assert_int_equal(topic_partition(known[i].key, strlen(known[i].key), counts[c]),
                             expect);
        }
    }
}

static void every_topic_is_found_by_its_name_and_says_what_it_is(void **state)
{
    (void)state;
    for (int i = 0; i < TOPIC_COUNT; i++) {
        const struct topic_info *info = topic_info((enum topic)i);
        assert_int_equal(info->topic, i);
        assert_ptr_equal(topic_find(info->name), info);
        assert_int_equal(info->descriptor == NULL, i == TOPIC_DEADLETTER);
        assert_true(info->compacted || info->retention_ms == -1 || info->retention_ms > 0);
    }
    assert_null(topic_find("nothing"));
    assert_null(topic_info(TOPIC_COUNT));
}

static void the_ledger_is_kept_for_ever_and_stamped_by_the_broker(void **state)
{
    (void)state;
    const struct topic_info *ledger = topic_info(TOPIC_LEDGER);
    assert_false(ledger->compacted);
    assert_int_equal(ledger->retention_ms, -1);
    assert_true(ledger->append_time);
    assert_int_equal(topic_info(TOPIC_SOURCE)->retention_ms, 30LL * 24 * 3600 * 1000);
    assert_true(topic_info(TOPIC_RESULT_CUSTOM)->append_time);
    assert_false(topic_info(TOPIC_EVENT)->append_time);
}

static void a_full_name_has_prefix_and_version_or_does_not_fit(void **state)
{
    (void)state;
    char name[TOPIC_FULL_NAME_MAX];
    assert_int_equal(topic_full_name(TOPIC_REQUEST_BUILD, "gantry", name, sizeof(name)), 0);
    assert_string_equal(name, "gantry.request.build.v1");
    assert_int_equal(topic_full_name(TOPIC_REQUEST_BUILD, "gantry", name, 23), -1);
    assert_int_equal(topic_full_name(TOPIC_REQUEST_BUILD, "gantry", name, 24), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_placed_as_javas_default_partitioner_does),
        cmocka_unit_test(every_topic_is_found_by_its_name_and_says_what_it_is),
        cmocka_unit_test(the_ledger_is_kept_for_ever_and_stamped_by_the_broker),
        cmocka_unit_test(a_full_name_has_prefix_and_version_or_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
