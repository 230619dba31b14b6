#include "base/buf.h"
#include "tests/unit/unit.h"

static void an_empty_buffer_reads_as_empty_text(void **state)
{
    struct buf buf;
    char *text;

    (void)state;
    buf_init(&buf, 10);
    assert_string_equal(buf_cstr(&buf), "");
    text = buf_detach(&buf);
    assert_string_equal(text, "");
    free(text);
}

static void what_was_added_stands_in_order_and_is_terminated(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    assert_int_equal(buf_adds(&buf, "a"), 0);
    assert_int_equal(buf_addc(&buf, 'b'), 0);
    assert_int_equal(buf_add(&buf, "c\0d", 3), 0);
    assert_int_equal(buf_addf(&buf, "%d-%s", 42, "e"), 0);
    assert_int_equal(buf.len, 9);
    assert_memory_equal(buf.data, "abc\0d42-e", 10);
    buf_release(&buf);
}

static void a_formatted_text_longer_than_the_room_is_whole(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    buf_adds(&buf, "x");
    assert_int_equal(buf_addf(&buf, "%0300d", 7), 0);
    assert_int_equal(buf.len, 301);
    assert_int_equal(buf.data[300], '7');
    assert_int_equal(buf.data[301], 0);
    buf_release(&buf);
}

static void adding_up_to_the_limit_works_and_beyond_it_adds_nothing(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 5);
    assert_int_equal(buf_adds(&buf, "1234"), 0);
    assert_int_equal(buf_adds(&buf, "56"), -1);
    assert_true(buf.overflow);
    assert_string_equal(buf.data, "1234");
    assert_int_equal(buf_addc(&buf, '5'), -1);
    buf_reset(&buf);
    assert_false(buf.overflow);
    assert_int_equal(buf_adds(&buf, "12345"), 0);
    assert_int_equal(buf_addf(&buf, "%s", "6"), -1);
    assert_string_equal(buf.data, "12345");
    buf_release(&buf);
}

static void consuming_removes_from_the_front(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    buf_adds(&buf, "hello");
    buf_consume(&buf, 2);
    assert_string_equal(buf.data, "llo");
    assert_int_equal(buf.len, 3);
    buf_consume(&buf, 99);
    assert_int_equal(buf.len, 0);
    assert_string_equal(buf.data, "");
    buf_release(&buf);
}

static void detaching_leaves_an_empty_buffer_that_can_be_filled_again(void **state)
{
    struct buf buf;
    char *first;

    (void)state;
    buf_init(&buf, 100);
    buf_adds(&buf, "first");
    first = buf_detach(&buf);
    assert_int_equal(buf.len, 0);
    buf_adds(&buf, "second");
    assert_string_equal(first, "first");
    assert_string_equal(buf.data, "second");
    free(first);
    buf_release(&buf);
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_reads_as_empty_text),
        cmocka_unit_test(what_was_added_stands_in_order_and_is_terminated),
        cmocka_unit_test(a_formatted_text_longer_than_the_room_is_whole),
        cmocka_unit_test(adding_up_to_the_limit_works_and_beyond_it_adds_nothing),
        cmocka_unit_test(consuming_removes_from_the_front),
        cmocka_unit_test(detaching_leaves_an_empty_buffer_that_can_be_filled_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
