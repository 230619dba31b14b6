#include "base/sha256.h"

#include <unistd.h>

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

static void a_part_of_a_file_is_hashed_like_its_bytes(void **state)
{
    char path[] = "/tmp/gantry-sha256-XXXXXX";
    const int fd = mkstemp(path);
    uint8_t digest[SHA256_SIZE], known[SHA256_SIZE];
    struct err err;

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, "xabcx", 5), 5);
    sha256("abc", 3, known);
    assert_int_equal(sha256_fd(fd, 1, 3, digest, &err), 0);
    assert_memory_equal(digest, known, sizeof(known));
    sha256("", 0, known);
    assert_int_equal(sha256_fd(fd, 9, 0, digest, &err), 0);
    assert_memory_equal(digest, known, sizeof(known));
    assert_int_equal(sha256_fd(fd, 1, 5, digest, &err), -1);
    assert_int_equal(err.code, ERR_CONFLICT);
    close(fd);
}

static void bytes_that_come_in_parts_give_the_hash_of_all(void **state)
{
    (void)state;
    char whole[SHA256_HEX_SIZE], parts[SHA256_HEX_SIZE];
    struct sha256_sum *sum = sha256_sum_new();
    sha256_sum_add(sum, "hel", 3);
    sha256_sum_add(sum, "", 0);
    sha256_sum_add(sum, "lo", 2);
    sha256_sum_end(sum, parts);
    sha256_hex("hello", 5, whole);
    assert_string_equal(parts, whole);
    sha256_sum_end(sha256_sum_new(), parts);
    sha256_hex("", 0, whole);
    assert_string_equal(parts, whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_of_a_file_is_hashed_like_its_bytes),
        cmocka_unit_test(digests_are_those_of_the_standard),
        cmocka_unit_test(hmacs_are_those_of_the_rfc),
        cmocka_unit_test(bytes_that_come_in_parts_give_the_hash_of_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
