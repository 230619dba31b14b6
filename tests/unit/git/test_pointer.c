/* Which files are Git LFS pointers. */
#include "git/checkout.h"
#include "tests/unit/unit.h"

#define VERSION "version https://git-lfs.github.com/spec/v1\n"
#define OID     "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"

static void a_pointer_names_an_object_and_its_size(void **state)
{
    static const char text[] = VERSION "oid sha256:" OID "\nsize 12345\n";
    struct git_pointer pointer;

    (void)state;
    assert_true(git_pointer_parse(&pointer, text, sizeof(text) - 1));
    assert_string_equal(pointer.oid, OID);
    assert_int_equal(pointer.size, 12345);
}

static void anything_else_is_a_file(void **state)
{
    static const char *const others[] = {
        "",
        VERSION,
        VERSION "oid sha256:" OID "\n",
        VERSION "oid sha256:" OID "\nsize 1",
        VERSION "oid sha256:" OID "\nsize -1\n",
        VERSION "oid sha256:" OID "\nsize 99999999999999999999999\n",
        VERSION "oid sha256:" OID "\nsize 1\nmore\n",
        VERSION "oid sha256:" OID "0\nsize 1\n",
        VERSION "oid sha256:4d7a\nsize 1\n",
        VERSION "oid sha256:../../../../../../etc/passwd\nsize 1\n",
        VERSION "oid md5:" OID "\nsize 1\n",
        VERSION "ext-0-foo sha256:" OID "\noid sha256:" OID "\nsize 1\n",
        "version https://git-lfs.github.com/spec/v2\noid sha256:" OID "\nsize 1\n",
        "# " VERSION "oid sha256:" OID "\nsize 1\n",
    };
    struct git_pointer pointer;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (git_pointer_parse(&pointer, others[i], strlen(others[i])))
            fail_msg("a pointer: %s", others[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pointer_names_an_object_and_its_size),
        cmocka_unit_test(anything_else_is_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
