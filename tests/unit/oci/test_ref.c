#include "oci/oci.h"

#include "tests/unit/unit.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_reference_is_taken_apart(void **state)
{
    static const struct {
        const char *text, *host, *repository, *tag, *digest;
    } cases[] = {
        {"registry.example/acme/shop", "registry.example", "acme/shop", "", ""},
        {"127.0.0.1:5000/shop:1.2", "127.0.0.1:5000", "shop", "1.2", ""},
        {"localhost/shop", "localhost", "shop", "", ""},
        {"localhost:5000/a/b__c.d-e:v_1@" DIGEST, "localhost:5000", "a/b__c.d-e", "v_1", DIGEST},
        {"registry.example/shop@" DIGEST, "registry.example", "shop", "", DIGEST},
        {"acme/shop:1", "docker.io", "acme/shop", "1", ""},
        {"debian", "docker.io", "library/debian", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct oci_ref ref;
        assert_int_equal(oci_ref_parse(&ref, cases[i].text, NULL), 0);
        assert_string_equal(ref.host, cases[i].host);
        assert_string_equal(ref.repository, cases[i].repository);
        assert_string_equal(ref.tag, cases[i].tag);
        assert_string_equal(ref.digest, cases[i].digest);
    }
}

static void what_is_none_is_refused(void **state)
{
    static const char *const cases[] = {"",
                                        "registry.example/",
                                        "registry.example/Shop",
                                        "registry.example/a//b",
                                        "registry.example/a/../b",
                                        "registry.example/-a",
                                        "registry.example/a b",
                                        "registry.example/a?x=y",
                                        "registry.example/a:",
                                        "registry.example/a:.1",
                                        "registry.example/a@sha256:12",
                                        "registry.example/a@" DIGEST "0",
                                        "registry.example/a@sha512:12",
                                        "user@registry.example/a",
                                        "exa mple.org/a"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct oci_ref ref;
        struct err err = {0};
        if (oci_ref_parse(&ref, cases[i], &err) == 0)
            fail_msg("'%s' was taken", cases[i]);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reference_is_taken_apart),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
