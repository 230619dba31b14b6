#include "secret/envelope.h"

#include "base/hex.h"
#include "base/mem.h"
#include "tests/unit/unit.h"

static const uint8_t key[ENVELOPE_KEY_SIZE] = "0123456789abcdef0123456789abcde";

static void what_is_sealed_opens_with_the_same_key_and_bound_text(void **state)
{
    static const size_t lens[] = {0, 1, 16, 65536};

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint8_t *plain = mem_alloc(lens[i] + 1), *sealed = mem_alloc(lens[i] + ENVELOPE_OVERHEAD),
                *opened = mem_alloc(lens[i] + 1);
        memset(plain, 'x', lens[i]);
        envelope_seal(key, "shop/db", plain, lens[i], sealed);
        assert_int_equal(envelope_open(key, "shop/db", sealed, lens[i] + ENVELOPE_OVERHEAD, opened),
                         0);
        assert_memory_equal(plain, opened, lens[i]);
        free(plain);
        free(sealed);
        free(opened);
    }
}

/* The GCM specification (McGrew, Viega), test case 16: key, nonce, bound text, ciphertext and tag.
 */
static void the_format_is_aes_256_gcm(void **state)
{
    static const char key_hex[] =
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    static const char sealed_hex[] =
        "cafebabefacedbaddecaf888"
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b";
    static const char plain_hex[] =
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
    static const char bound[] = "\xfe\xed\xfa\xce\xde\xad\xbe\xef\xfe\xed\xfa\xce\xde\xad\xbe\xef"
                                "\xab\xad\xda\xd2";
    uint8_t known_key[32], sealed[88], opened[60], plain[60];

    (void)state;
    assert_int_equal(hex_decode(key_hex, known_key, 32), 0);
    assert_int_equal(hex_decode(sealed_hex, sealed, 88), 0);
    assert_int_equal(hex_decode(plain_hex, plain, 60), 0);
    assert_int_equal(envelope_open(known_key, bound, sealed, 88, opened), 0);
    assert_memory_equal(opened, plain, 60);
}

static void another_key_other_text_and_any_changed_byte_do_not_open(void **state)
{
    uint8_t other[ENVELOPE_KEY_SIZE], sealed[5 + ENVELOPE_OVERHEAD], opened[5];

    (void)state;
    memcpy(other, key, sizeof(other));
    other[31] ^= 1;
    envelope_seal(key, "a", "hello", 5, sealed);
    assert_int_equal(envelope_open(other, "a", sealed, sizeof(sealed), opened), -1);
    assert_int_equal(envelope_open(key, "b", sealed, sizeof(sealed), opened), -1);
    assert_int_equal(envelope_open(key, "", sealed, sizeof(sealed), opened), -1);
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 0x40;
        assert_int_equal(envelope_open(key, "a", sealed, sizeof(sealed), opened), -1);
        assert_memory_equal(opened, "\0\0\0\0\0", 5);
        sealed[i] ^= 0x40;
    }
    for (size_t len = 0; len < sizeof(sealed); len++)
        assert_int_equal(envelope_open(key, "a", sealed, len, opened), -1);
    assert_int_equal(envelope_open(key, "a", sealed, sizeof(sealed), opened), 0);
}

static void the_same_text_is_never_sealed_the_same(void **state)
{
    uint8_t one[5 + ENVELOPE_OVERHEAD], two[5 + ENVELOPE_OVERHEAD];

    (void)state;
    envelope_seal(key, "a", "hello", 5, one);
    envelope_seal(key, "a", "hello", 5, two);
    assert_memory_not_equal(one, two, sizeof(one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_with_the_same_key_and_bound_text),
        cmocka_unit_test(the_format_is_aes_256_gcm),
        cmocka_unit_test(another_key_other_text_and_any_changed_byte_do_not_open),
        cmocka_unit_test(the_same_text_is_never_sealed_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
