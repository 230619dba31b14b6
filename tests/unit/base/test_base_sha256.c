#include "base/sha256.h"

#include "base/hex.h"
#include "tests/unit/unit.h"

/* FIPS 180-4 examples. */
static void digests_are_those_of_the_standard(void **state)
{
    char hex[SHA256_HEX_SIZE];

    (void)state;
    sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex(NULL, 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test case 2. */
static void hmacs_are_those_of_the_rfc(void **state)
{
    const char *data = "what do ya want for nothing?";
    uint8_t mac[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];

    (void)state;
    hmac_sha256("Jefe", 4, data, strlen(data), mac);
    hex_encode(mac, sizeof(mac), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hmac_sha256(NULL, 0, "", 0, mac);
    hex_encode(mac, sizeof(mac), hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_the_standard),
        cmocka_unit_test(hmacs_are_those_of_the_rfc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
