#include "base/hex.h"
#include "tests/unit/unit.h"

static void hex_goes_there_and_back(void **state)
{
    uint8_t bytes[4];
    char text[9];

    (void)state;
    hex_encode("\x00\x7f\x80\xff", 4, text);
    assert_string_equal(text, "007f80ff");
    assert_int_equal(hex_decode("007F80fF", bytes, 4), 0);
    assert_memory_equal(bytes, "\x00\x7f\x80\xff", 4);
}

static void hex_of_another_length_or_alphabet_is_refused(void **state)
{
    static const char *const rows[] = {"", "0", "00ff0", "00ff001", "00fg", "00ff0000f", "0x00"};
    uint8_t bytes[3];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(hex_decode(rows[i], bytes, 3), -1);
}

/* RFC 4648, section 10. */
static void base64_is_that_of_the_rfc(void **state)
{
    static const struct {
        const char *plain, *padded, *url;
    } rows[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/", "-_-_"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].plain);
        char *padded = base64_encode(rows[i].plain, len);
        char *url = base64url_encode(rows[i].plain, len);
        const char *spellings[] = {padded, url};

        assert_string_equal(padded, rows[i].padded);
        assert_string_equal(url, rows[i].url);
        for (size_t j = 0; j < 2; j++) {
            uint8_t *out = NULL;
            size_t out_len = 99;

            assert_int_equal(base64_decode(spellings[j], strlen(spellings[j]), &out, &out_len), 0);
            assert_int_equal(out_len, len);
            assert_memory_equal(out, rows[i].plain, len);
            free(out);
        }
        free(padded);
        free(url);
    }
}

static void what_is_not_base64_is_refused(void **state)
{
    static const char *const rows[] = {"Z",     "Zg=",   "Zg===",  "Zm8==", "=",   "====",
                                       "Zm9v=", "Zm 9v", "Zm9v\n", "Zh==",  "Zm9", "Z=g="};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *out = NULL;
        size_t len;

        if (base64_decode(rows[i], strlen(rows[i]), &out, &len) == 0)
            fail_msg("'%s' was taken", rows[i]);
    }
}

static void constant_time_comparison_compares(void **state)
{
    (void)state;
    assert_true(ct_equal("abc", 3, "abc", 3));
    assert_true(ct_equal("", 0, "", 0));
    assert_false(ct_equal("abc", 3, "abd", 3));
    assert_false(ct_equal("abc", 3, "xbc", 3));
    assert_false(ct_equal("abc", 3, "abc", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(hex_of_another_length_or_alphabet_is_refused),
        cmocka_unit_test(base64_is_that_of_the_rfc),
        cmocka_unit_test(what_is_not_base64_is_refused),
        cmocka_unit_test(constant_time_comparison_compares),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
