#include "../unit.h"

#include "bus/lanes.h"

static void hold(struct lanes *lanes, const char *key, int32_t partition, const char *value)
{
    const struct held record = {.lane = lanes_find(lanes, partition, key, strlen(key)),
                                .partition = partition,
                                .key = (void *)key,
                                .key_len = strlen(key),
                                .value = (void *)value,
                                .value_len = strlen(value)};
    lanes_hold(lanes, &record);
}

/* The next one's value, which is taken out. */
static void next_is(struct lanes *lanes, const char *key, const char *value)
{
    struct held *held = lanes_first(lanes, lanes_find(lanes, -1, key, strlen(key)));
    assert_non_null(held);
    assert_int_equal(held->value_len, strlen(value));
    assert_memory_equal(held->value, value, held->value_len);
    lanes_drop(lanes, held);
}

static void a_lane_is_open_until_five_are_on_their_way(void **state)
{
    struct lanes lanes = {0};
    (void)state;
    lanes_grow(&lanes, 0);
    for (int i = 0; i < LANE_OPEN; i++) {
        assert_true(lanes_open(&lanes, 0));
        lanes_hand(&lanes, 0);
    }
    assert_false(lanes_open(&lanes, 0));
    lanes_acknowledged(&lanes, 0);
    assert_true(lanes_open(&lanes, 0));
    lanes_release(&lanes);
}

static void what_comes_after_a_held_record_is_held_too(void **state)
{
    struct lanes lanes = {0};
    (void)state;
    lanes_grow(&lanes, 1);
    hold(&lanes, "a", -1, "first");
    assert_false(lanes_open(&lanes, 0));
    next_is(&lanes, "a", "first");
    assert_true(lanes_open(&lanes, 0));
    lanes_release(&lanes);
}

static void a_record_goes_where_kafka_puts_its_key_or_where_it_is_told(void **state)
{
    struct lanes lanes = {0};
    (void)state;
    lanes_grow(&lanes, 12);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "shop-%d", i);
        assert_int_equal(lanes_find(&lanes, -1, key, strlen(key)),
                         topic_partition(key, strlen(key), 12));
        assert_int_equal(lanes_find(&lanes, i % 12, key, strlen(key)), i % 12);
    }
    lanes_release(&lanes);
}

static void more_partitions_keep_the_order_of_each_key(void **state)
{
    struct lanes lanes = {0};
    (void)state;
    assert_true(lanes_grow(&lanes, 0));
    assert_false(lanes_grow(&lanes, 1));
    for (int i = 0; i < 60; i++) {
        char key[16], value[16];
        snprintf(key, sizeof(key), "shop-%d", i % 7);
        snprintf(value, sizeof(value), "%d", i);
        hold(&lanes, key, -1, value);
    }
    assert_true(lanes_grow(&lanes, 5));
    assert_int_equal(lanes.held, 60);
    for (int i = 0; i < 60; i++) { /* keys that share a lane stay in order, too */
        char key[16], value[16];
        snprintf(key, sizeof(key), "shop-%d", i % 7);
        snprintf(value, sizeof(value), "%d", i);
        next_is(&lanes, key, value);
    }
    assert_int_equal(lanes.held, 0);
    lanes_release(&lanes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lane_is_open_until_five_are_on_their_way),
        cmocka_unit_test(what_comes_after_a_held_record_is_held_too),
        cmocka_unit_test(a_record_goes_where_kafka_puts_its_key_or_where_it_is_told),
        cmocka_unit_test(more_partitions_keep_the_order_of_each_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
