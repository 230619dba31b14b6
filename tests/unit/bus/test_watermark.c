#include "../unit.h"

#include "bus/watermark.h"

static void deliver(struct watermark *wm, int64_t from, int64_t to)
{
    for (int64_t o = from; o <= to; o++)
        assert_true(watermark_deliver(wm, o, 10));
}

static void the_watermark_is_the_first_unsettled_offset(void **state)
{
    (void)state;
    struct watermark wm;
    watermark_init(&wm, 5, NULL);
    assert_int_equal(watermark_offset(&wm), 5);
    deliver(&wm, 5, 9);
    assert_true(watermark_settle(&wm, 7));
    assert_int_equal(watermark_offset(&wm), 5);
    assert_true(watermark_settle(&wm, 5));
    assert_int_equal(watermark_offset(&wm), 6);
    assert_true(watermark_settle(&wm, 6));
    assert_int_equal(watermark_offset(&wm), 8);
    assert_false(watermark_settle(&wm, 6));
    assert_false(watermark_settle(&wm, 99));
    assert_int_equal(watermark_pending(&wm), 2);
    assert_int_equal(wm.pending_bytes, 20);
    watermark_settle(&wm, 8);
    watermark_settle(&wm, 9);
    assert_int_equal(watermark_offset(&wm), 10);
    watermark_reached(&wm, 15); /* what compaction or a transaction left empty */
    assert_int_equal(watermark_offset(&wm), 15);
    watermark_release(&wm);
}

static void finished_records_above_the_watermark_are_not_delivered_again(void **state)
{
    (void)state;
    struct watermark wm, next;
    char text[WATERMARK_TEXT_MAX + 1];
    watermark_init(&wm, 1000, NULL);
    deliver(&wm, 1000, 1099);
    for (int64_t o = 1000; o < 1100; o++) {
        if (o % 10 != 3)
            watermark_settle(&wm, o);
    }
    assert_int_equal(watermark_offset(&wm), 1003);
    assert_true(watermark_text(&wm, text));
    watermark_init(&next, watermark_offset(&wm), text);
    for (int64_t o = 1003; o < 1120; o++)
        assert_int_equal(watermark_deliver(&next, o, 1), o % 10 == 3 || o >= 1100);
    watermark_release(&next);

    /* and neither after a second restart half way through */
    watermark_init(&next, 1003, text);
    assert_true(watermark_deliver(&next, 1003, 1));
    assert_false(watermark_deliver(&next, 1004, 1));
    char again[WATERMARK_TEXT_MAX + 1];
    assert_true(watermark_text(&next, again));
    assert_string_equal(again, text);
    watermark_release(&next);
    watermark_release(&wm);
}

static void nothing_finished_is_an_empty_text(void **state)
{
    (void)state;
    struct watermark wm;
    char text[WATERMARK_TEXT_MAX + 1];
    watermark_init(&wm, 0, "");
    assert_true(watermark_text(&wm, text));
    assert_string_equal(text, "");
    deliver(&wm, 0, 10);
    assert_true(watermark_text(&wm, text));
    assert_string_equal(text, "");
    watermark_release(&wm);
}

static void a_text_of_others_counts_as_empty(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "hello", "1:", "1:!", "1:A", "1:AA", "1:gggggggggggggggB", "1:ABx", "1:_______________B",
        "2:AB"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct watermark wm;
        watermark_init(&wm, 0, texts[i]);
        for (int64_t o = 0; o < 100; o++)
            assert_true(watermark_deliver(&wm, o, 1));
        watermark_release(&wm);
    }
}

static void a_lower_offset_means_a_new_log(void **state)
{
    (void)state;
    struct watermark wm;
    watermark_init(&wm, 50, "1:BC");
    deliver(&wm, 50, 50);
    deliver(&wm, 0, 3);
    assert_int_equal(watermark_offset(&wm), 0);
    assert_int_equal(watermark_pending(&wm), 4);
    watermark_release(&wm);
}

static void the_text_says_when_it_is_full_before_it_is(void **state)
{
    (void)state;
    struct watermark wm;
    char text[WATERMARK_TEXT_MAX + 1];
    int64_t o = 0;
    watermark_init(&wm, 0, NULL);
    while (!watermark_text_full(&wm)) { /* every second one stays: the worst there is */
        assert_true(watermark_deliver(&wm, o, 1));
        if (o % 2)
            watermark_settle(&wm, o);
        o++;
        assert_true(watermark_text(&wm, text));
    }
    assert_true(o > 2000);
    for (int64_t more = 0; more < 4000; more++, o++) { /* beyond: cut, never wrong */
        watermark_deliver(&wm, o, 1);
        if (o % 2)
            watermark_settle(&wm, o);
    }
    assert_false(watermark_text(&wm, text));
    assert_true(strlen(text) <= WATERMARK_TEXT_MAX);
    struct watermark next;
    watermark_init(&next, watermark_offset(&wm), text);
    for (int64_t i = watermark_offset(&wm); i < o; i++) {
        bool again = watermark_deliver(&next, i, 1);
        assert_true(again || i % 2 == 1);
    }
    watermark_release(&next);
    watermark_release(&wm);
}

/* Against a model that keeps a flag for each offset. */
static void any_order_of_settling_agrees_with_a_plain_model(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    unsigned seed = 7;
    for (int round = 0; round < 20; round++) {
        static unsigned char flags[COUNT]; /* 0: to come, 1: pending, 2: done */
        struct watermark wm;
        int64_t next = 0;
        memset(flags, 0, sizeof(flags));
        watermark_init(&wm, 0, NULL);
        while (next < COUNT) {
            int r = rand_r(&seed);
            if (r % 3 == 0) {
                next += r % 50 == 0; /* a gap, as compaction leaves it */
                if (next >= COUNT)
                    break;
                flags[next] = 1;
                assert_true(watermark_deliver(&wm, next++, 1));
            } else {
                int64_t back = r / 3 % 60;
                int64_t o = next - 1 - back;
                bool pending = o >= 0 && flags[o] == 1;
                assert_int_equal(watermark_settle(&wm, o), pending);
                if (pending)
                    flags[o] = 2;
            }
            int64_t expect = 0;
            while (expect < next && flags[expect] != 1)
                expect++;
            assert_int_equal(watermark_offset(&wm), expect);
        }
        size_t runs = 0;
        for (int64_t o = 0; o < next; o++)
            runs += flags[o] == 1 && (o == 0 || flags[o - 1] != 1);
        assert_int_equal(wm.runs, runs);
        watermark_release(&wm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_watermark_is_the_first_unsettled_offset),
        cmocka_unit_test(finished_records_above_the_watermark_are_not_delivered_again),
        cmocka_unit_test(nothing_finished_is_an_empty_text),
        cmocka_unit_test(a_text_of_others_counts_as_empty),
        cmocka_unit_test(a_lower_offset_means_a_new_log),
        cmocka_unit_test(the_text_says_when_it_is_full_before_it_is),
        cmocka_unit_test(any_order_of_settling_agrees_with_a_plain_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
