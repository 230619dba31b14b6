#include "base/id.h"

#include "base/sha256.h"
#include "tests/unit/unit.h"

/* docs/events.md: the first 32 hex digits of SHA-256 over each part as `<decimal length>:<bytes>`.
 */
static void an_id_is_the_hash_of_its_parts_with_their_lengths(void **state)
{
    const char *input = "3:run13:17000000000004:shop2:423:dev3:app1:1";
    char hex[SHA256_HEX_SIZE];
    char id[ID_SIZE];

    (void)state;
    id_make(id, "run", "1700000000000", "shop", "42", "dev", "app", "1", NULL);
    sha256_hex(input, strlen(input), hex);
    assert_int_equal(strlen(id), 32);
    assert_memory_equal(id, hex, 32);
}

static void parts_cannot_run_into_each_other(void **state)
{
    char a[ID_SIZE], b[ID_SIZE], c[ID_SIZE];

    (void)state;
    id_make(a, "source", "ab", "c", NULL);
    id_make(b, "source", "a", "bc", NULL);
    id_make(c, "source", "ab", "c", "", NULL);
    assert_string_not_equal(a, b);
    assert_string_not_equal(a, c);
}

static void random_ids_differ_and_are_hex(void **state)
{
    char a[ID_SIZE], b[ID_SIZE];

    (void)state;
    id_random(a);
    id_random(b);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_string_not_equal(a, b);
}

static void numbers_are_plain_decimals(void **state)
{
    char text[21];

    (void)state;
    assert_string_equal(id_num(text, 0), "0");
    assert_string_equal(id_num(text, UINT64_MAX), "18446744073709551615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_the_hash_of_its_parts_with_their_lengths),
        cmocka_unit_test(parts_cannot_run_into_each_other),
        cmocka_unit_test(random_ids_differ_and_are_hex),
        cmocka_unit_test(numbers_are_plain_decimals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
