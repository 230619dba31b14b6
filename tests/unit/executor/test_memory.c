#include "executor/internal.h"
#include "tests/unit/unit.h"

static void the_oldest_ids_are_forgotten_and_a_cancel_keeps_its_reason(void **state)
{
    struct memory memory;
    char id[RUN_ID_MAX];
    (void)state;
    memory_init(&memory);
    memory_add(&memory, "cancelled", "Ann said so");
    memory_add(&memory, "ended", "");
    assert_string_equal(memory_get(&memory, "cancelled"), "Ann said so");
    assert_string_equal(memory_get(&memory, "ended"), "");
    assert_null(memory_get(&memory, "other"));
    memory_add(&memory, "cancelled", "");
    assert_string_equal(memory_get(&memory, "cancelled"), "");
    for (int i = 0; i < REMEMBER_MAX - 1; i++) {
        snprintf(id, sizeof(id), "run-%d", i);
        memory_add(&memory, id, "");
    }
    assert_null(memory_get(&memory, "cancelled"));
    assert_non_null(memory_get(&memory, "ended"));
    assert_int_equal(map_count(memory.ids), REMEMBER_MAX);
    memory_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_ids_are_forgotten_and_a_cancel_keeps_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
