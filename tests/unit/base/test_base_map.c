#include "base/map.h"

#include "base/mem.h"
#include "tests/unit/unit.h"

#define MANY 5000

static void what_was_set_is_got_and_nothing_else(void **state)
{
    struct map *map = map_new(NULL);
    int one = 1, two = 2;

    (void)state;
    assert_null(map_get(map, "a"));
    map_set(map, "a", &one);
    map_set(map, "", &two);
    assert_ptr_equal(map_get(map, "a"), &one);
    assert_ptr_equal(map_get(map, ""), &two);
    assert_null(map_get(map, "b"));
    map_set(map, "a", &two);
    assert_ptr_equal(map_get(map, "a"), &two);
    assert_int_equal(map_count(map), 2);
    map_free(map);
    map_free(NULL);
}

static void a_map_owns_copies_of_its_keys(void **state)
{
    struct map *map = map_new(NULL);
    char key[] = "key";

    (void)state;
    map_set(map, key, map);
    key[0] = 'x';
    assert_ptr_equal(map_get(map, "key"), map);
    map_free(map);
}

/* The sanitizer counts: nothing leaks and nothing is freed twice. */
static void values_are_freed_when_replaced_deleted_or_left(void **state)
{
    struct map *map = map_new(free);
    void *same = mem_strdup("same");
    char *taken;

    (void)state;
    map_set(map, "replaced", mem_strdup("1"));
    map_set(map, "replaced", mem_strdup("2"));
    map_set(map, "deleted", mem_strdup("3"));
    map_set(map, "taken", mem_strdup("4"));
    map_set(map, "same", same);
    map_set(map, "same", same);
    assert_true(map_del(map, "deleted"));
    assert_false(map_del(map, "deleted"));
    taken = map_take(map, "taken");
    assert_string_equal(taken, "4");
    free(taken);
    assert_null(map_take(map, "taken"));
    assert_int_equal(map_count(map), 2);
    map_free(map);
}

static void thousands_of_keys_are_all_found_and_visited_once(void **state)
{
    struct map *map = map_new(free);
    char seen[MANY] = {0};
    char key[32];
    size_t visits = 0;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "pipeline-%d", i);
        map_set(map, key, mem_dup(&i, sizeof(i)));
    }
    assert_int_equal(map_count(map), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "pipeline-%d", i);
        assert_int_equal(*(int *)map_get(map, key), i);
    }
    for (struct map_iter it = {0}; map_next(map, &it); visits++)
        assert_int_equal(seen[*(int *)it.value]++, 0);
    assert_int_equal(visits, MANY);
    map_free(map);
}

static void the_visited_key_may_be_deleted(void **state)
{
    struct map *map = map_new(free);
    char key[32];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "%d", i);
        map_set(map, key, mem_strdup(key));
    }
    for (struct map_iter it = {0}; map_next(map, &it);)
        if (strlen(it.key) == 1)
            map_del(map, it.key);
    assert_int_equal(map_count(map), 90);
    assert_null(map_get(map, "5"));
    assert_non_null(map_get(map, "55"));
    for (struct map_iter it = {0}; map_next(map, &it);)
        map_del(map, it.key);
    assert_int_equal(map_count(map), 0);
    map_free(map);
}

static void a_cleared_map_is_empty_and_usable(void **state)
{
    struct map *map = map_new(free);
    struct map_iter it = {0};

    (void)state;
    map_set(map, "a", mem_strdup("1"));
    map_clear(map);
    assert_int_equal(map_count(map), 0);
    assert_null(map_get(map, "a"));
    assert_false(map_next(map, &it));
    map_set(map, "a", mem_strdup("2"));
    assert_string_equal(map_get(map, "a"), "2");
    map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_set_is_got_and_nothing_else),
        cmocka_unit_test(a_map_owns_copies_of_its_keys),
        cmocka_unit_test(values_are_freed_when_replaced_deleted_or_left),
        cmocka_unit_test(thousands_of_keys_are_all_found_and_visited_once),
        cmocka_unit_test(the_visited_key_may_be_deleted),
        cmocka_unit_test(a_cleared_map_is_empty_and_usable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
