#include "tests/unit/unit.h"

#include "base/mem.h"
#include "tests/unit/mask/naive.h"

#define ROOM (1024 * 1024)

#define V(text)                                                                                    \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct mask *make(const struct naive_value *values, size_t count)
{
    struct mask *mask = mask_new();
    struct err err;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(mask_add(mask, values[i].data, values[i].len, &err), 0);
    return mask;
}

static void assert_same(const struct buf *got, const char *wanted, size_t len)
{
    assert_int_equal(got->len, len);
    if (len)
        assert_memory_equal(got->data, wanted, len);
}

/* Whole, in two writes split at every byte, and a byte at a time. */
static void check(const struct naive_value *values, size_t count, const char *text, size_t len,
                  const char *wanted, size_t wanted_len)
{
    struct mask *mask = make(values, count);
    struct buf out;
    buf_init(&out, ROOM);
    naive_mask(values, count, text, len, &out);
    assert_same(&out, wanted, wanted_len);
    buf_reset(&out);
    mask_text(mask, text, len, &out);
    assert_same(&out, wanted, wanted_len);
    struct mask_stream *stream = mask_stream_new(mask);
    for (size_t split = 0; split <= len; split++) {
        buf_reset(&out);
        mask_stream_add(stream, text, split, &out);
        mask_stream_add(stream, text + split, len - split, &out);
        mask_stream_flush(stream, &out);
        assert_same(&out, wanted, wanted_len);
    }
    buf_reset(&out);
    for (size_t i = 0; i < len; i++)
        mask_stream_add(stream, text + i, 1, &out);
    mask_stream_flush(stream, &out);
    assert_same(&out, wanted, wanted_len);
    mask_stream_free(stream);
    mask_free(mask);
    buf_release(&out);
}
#define CHECK(values, text, wanted)                                                                \
    check(values, COUNT(values), text, sizeof(text) - 1, wanted, sizeof(wanted) - 1)

static void a_value_is_hidden_wherever_the_text_is_split(void **state)
{
    const struct naive_value one[] = {V("hunter2")};
    (void)state;
    CHECK(one, "", "");
    CHECK(one, "nothing of it", "nothing of it");
    CHECK(one, "hunter2", "***");
    CHECK(one, "it is hunter2, and hunter2.\n", "it is ***, and ***.\n");
    CHECK(one, "hunthunter2hunter", "hunt***hunter");
    CHECK(one, "hunter2hunter2", "***");
}

static void values_that_overlap_are_hidden_to_their_last_byte(void **state)
{
    const struct naive_value two[] = {V("abcd"), V("cdef")};
    const struct naive_value self[] = {V("abab")};
    const struct naive_value inside[] = {V("xxneedlexxend"), V("needle"), V("e")};
    (void)state;
    CHECK(two, "-abcdef-cdefabcd-abcd.ef", "-***-***-***.ef");
    CHECK(self, "ababab abababab aba", "*** *** aba");
    CHECK(inside, "xxneedlexxen. xxneedlexxend needl", "xx***xx***n. *** n***dl");
}

static void a_value_that_begins_another_is_hidden_with_and_without_the_rest(void **state)
{
    const struct naive_value both[] = {V("key"), V("key-and-more"), V("k"), V("key")};
    (void)state;
    CHECK(both, "key key-and-more key-and- k", "*** *** ***-and- ***");
    const struct naive_value deep[] = {V("aaaa"), V("aaaaaaaaab"), V("aab")};
    CHECK(deep, "aaa aaaa aab aaaaaaab aaaaaaaaaac", "aaa *** *** *** ***c");
}

static void bytes_are_bytes(void **state)
{
    const struct naive_value binary[] = {V("\0\xff\n"), V("line one\nline two"), V("\xc3\xa9")};
    (void)state;
    CHECK(binary, "a\0\xff\nb\0\0\xff\nc\0\xff", "a***b\0***c\0\xff");
    CHECK(binary, "line one\nline two\nline one\r\n", "***\nline one\r\n");
    CHECK(binary, "caf\xc3\xa9 caf\xc3", "caf*** caf\xc3");
    CHECK(binary, "\x1b[31mline one\nline two\x1b[0m", "\x1b[31m***\x1b[0m");
}

static void only_what_may_begin_a_value_is_held(void **state)
{
    const struct naive_value values[] = {V("secret"), V("sesame"), V("key"), V("keyhole")};
    const struct {
        const char *text;
        size_t held;
        const char *out;
    } cases[] = {{"all of it\n", 0, "all of it\n"},
                 {"s", 1, ""},
                 {"this is s", 1, "this is "},
                 {"secre", 5, ""},
                 {"secrese", 2, "secre"},
                 {"secret", 0, "***"},
                 {"a key", 0, "a ***"},
                 {"keyho", 2, "***"}};
    struct mask *mask = make(values, COUNT(values));
    struct mask_stream *stream = mask_stream_new(mask);
    struct buf out;
    (void)state;
    buf_init(&out, ROOM);
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_reset(&out);
        mask_stream_add(stream, cases[i].text, strlen(cases[i].text), &out);
        assert_string_equal(buf_cstr(&out), cases[i].out);
        assert_int_equal(mask_stream_held(stream), cases[i].held);
        mask_stream_flush(stream, &out);
        assert_int_equal(mask_stream_held(stream), 0);
    }
    mask_stream_free(stream);
    mask_free(mask);
    buf_release(&out);
}

static void a_pause_shows_three_bytes_at_most_and_hides_the_rest_of_a_value(void **state)
{
    const struct naive_value values[] = {V("secret")};
    const struct {
        const char *first, *then, *out;
    } cases[] = {{"> s", "tay", "> stay"},      {"> sec", "ret!", "> sec***!"},
                 {"> secr", "et!", "> ***!"},   {"> secr", "ee", "> secree"},
                 {"> se", "secret", "> se***"}, {"> secret", "x", "> ***x"}};
    struct mask *mask = make(values, COUNT(values));
    struct mask_stream *stream = mask_stream_new(mask);
    struct buf out;
    (void)state;
    buf_init(&out, ROOM);
    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_reset(&out);
        mask_stream_add(stream, cases[i].first, strlen(cases[i].first), &out);
        const size_t held = mask_stream_held(stream);
        mask_stream_show(stream, &out);
        assert_int_equal(mask_stream_held(stream), held <= MASK_SHORT ? 0 : held);
        mask_stream_add(stream, cases[i].then, strlen(cases[i].then), &out);
        mask_stream_flush(stream, &out);
        assert_string_equal(buf_cstr(&out), cases[i].out);
    }
    mask_stream_free(stream);
    mask_free(mask);
    buf_release(&out);
}

static void a_flush_begins_another_text(void **state)
{
    const struct naive_value values[] = {V("secret")};
    struct mask *mask = make(values, COUNT(values));
    struct mask_stream *stream = mask_stream_new(mask);
    struct buf out;
    (void)state;
    buf_init(&out, ROOM);
    mask_stream_add(stream, "sec", 3, &out);
    mask_stream_flush(stream, &out);
    mask_stream_add(stream, "ret secret", 10, &out);
    mask_stream_flush(stream, &out);
    mask_stream_add(stream, "secret", 6, &out);
    assert_string_equal(buf_cstr(&out), "secret ******");
    mask_stream_free(stream);
    mask_free(mask);
    buf_release(&out);
}

static void without_values_nothing_is_hidden(void **state)
{
    struct err err;
    struct mask *mask = mask_new();
    struct buf out;
    (void)state;
    buf_init(&out, ROOM);
    assert_int_equal(mask_add(mask, "", 0, &err), 0);
    mask_text(mask, "all of it", 9, &out);
    assert_string_equal(buf_cstr(&out), "all of it");
    mask_free(mask);
    mask_free(mask_new());
    mask_free(NULL);
    mask_stream_free(NULL);
    buf_release(&out);
}

static void too_many_values_are_refused(void **state)
{
    struct mask *mask = mask_new();
    struct err err;
    char *half = mem_alloc(MASK_BYTES_MAX / 2);
    (void)state;
    assert_int_equal(mask_add(mask, half, MASK_BYTES_MAX / 2, &err), 0);
    assert_int_equal(mask_add(mask, half, MASK_BYTES_MAX / 2, &err), 0);
    assert_int_equal(mask_add(mask, "x", 1, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    mask_free(mask);
    free(half);
}

/* Two hundred of 64 KiB: what is nearly one of them, and what begins all of them, would be the
 * worst for a mask that tries one after the other or begins again at each byte. */
static void many_long_values_take_the_time_of_reading_them(void **state)
{
    enum { VALUES = 200, SIZE = 64 * 1024 };
    struct mask *mask = mask_new();
    struct err err;
    char *value = mem_alloc(SIZE);
    struct buf out;
    (void)state;
    buf_init(&out, 16 * SIZE);
    memset(value, 'a', SIZE);
    for (size_t i = 0; i < VALUES; i++) {
        snprintf(value + SIZE - 4, 4, "%03zu", i);
        value[SIZE - 1] = '!';
        assert_int_equal(mask_add(mask, value, SIZE, &err), 0);
    }
    struct mask_stream *stream = mask_stream_new(mask);
    for (size_t i = 0; i < 4; i++)
        mask_stream_add(stream, value, SIZE - 1, &out); /* up to the last byte of one */
    assert_int_equal(out.len, 3 * (SIZE - 1));
    assert_int_equal(mask_stream_held(stream), SIZE - 1);
    buf_reset(&out);
    mask_stream_add(stream, "!", 1, &out);
    assert_string_equal(buf_cstr(&out), "***");
    buf_reset(&out);
    for (size_t i = 0; i < SIZE; i++)
        mask_stream_add(stream, value + i, 1, &out);
    assert_int_equal(out.len, 0); /* it goes on where one was hidden */
    mask_stream_flush(stream, &out);
    mask_stream_free(stream);
    mask_free(mask);
    free(value);
    buf_release(&out);
}

/* Small alphabets meet often. */
static void random_texts_come_out_as_simple_code_has_them(void **state)
{
    unsigned seed = 20240611;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct naive_value values[6];
        char bytes[6][12], text[200];
        const size_t count = 1 + (size_t)(rand_r(&seed) % 6);
        const int letters = 1 + rand_r(&seed) % 3;
        struct buf wanted, got;
        buf_init(&wanted, ROOM);
        buf_init(&got, ROOM);
        for (size_t v = 0; v < count; v++) {
            values[v] = (struct naive_value){bytes[v], 1 + (size_t)(rand_r(&seed) % 12)};
            for (size_t i = 0; i < values[v].len; i++)
                bytes[v][i] = (char)('a' + rand_r(&seed) % letters);
        }
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)('a' + rand_r(&seed) % (letters + 1));
        naive_mask(values, count, text, sizeof(text), &wanted);
        struct mask *mask = make(values, count);
        struct mask_stream *stream = mask_stream_new(mask);
        for (size_t at = 0, n; at < sizeof(text); at += n) {
            n = (size_t)(rand_r(&seed) % 20);
            if (n > sizeof(text) - at)
                n = sizeof(text) - at;
            mask_stream_add(stream, text + at, n, &got);
        }
        mask_stream_flush(stream, &got);
        assert_same(&got, wanted.data, wanted.len);
        mask_stream_free(stream);
        mask_free(mask);
        buf_release(&wanted);
        buf_release(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_hidden_wherever_the_text_is_split),
        cmocka_unit_test(values_that_overlap_are_hidden_to_their_last_byte),
        cmocka_unit_test(a_value_that_begins_another_is_hidden_with_and_without_the_rest),
        cmocka_unit_test(bytes_are_bytes),
        cmocka_unit_test(only_what_may_begin_a_value_is_held),
        cmocka_unit_test(a_pause_shows_three_bytes_at_most_and_hides_the_rest_of_a_value),
        cmocka_unit_test(a_flush_begins_another_text),
        cmocka_unit_test(without_values_nothing_is_hidden),
        cmocka_unit_test(too_many_values_are_refused),
        cmocka_unit_test(many_long_values_take_the_time_of_reading_them),
        cmocka_unit_test(random_texts_come_out_as_simple_code_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
