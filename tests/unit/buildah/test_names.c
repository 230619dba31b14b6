#include "buildah/docker.h"

#include "tests/unit/unit.h"

static void a_name_is_shown_as_docker_does(void **state)
{
    (void)state;
    assert_string_equal(docker_name("localhost/shop:1"), "shop:1");
    assert_string_equal(docker_name("docker.io/library/debian:12"), "debian:12");
    assert_string_equal(docker_name("docker.io/acme/shop"), "acme/shop");
    assert_string_equal(docker_name("127.0.0.1:5000/shop"), "127.0.0.1:5000/shop");
}

static void a_ports_colon_begins_no_tag(void **state)
{
    static const char *const cases[][3] = {
        {"127.0.0.1:5000/a/shop", "127.0.0.1:5000/a/shop", "latest"},
        {"127.0.0.1:5000/a/shop:1.2", "127.0.0.1:5000/a/shop", "1.2"},
        {"r/a@sha256:00", "r/a", "latest"},
        {"r:1/a:t@sha256:00", "r:1/a", "t@sha256:00"},
        {"shop", "shop", "latest"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *repository = docker_repository(cases[i][0]);
        assert_string_equal(repository, cases[i][1]);
        assert_string_equal(docker_tag(cases[i][0]), cases[i][2]);
        free(repository);
    }
}

static void a_registry_is_a_host(void **state)
{
    static const char *const cases[][2] = {
        {"", "docker.io"},
        {"https://index.docker.io/v1/", "docker.io"},
        {"registry.example:5000", "registry.example:5000"},
        {"https://1.dkr.ecr.eu-west-1.amazonaws.com/shop", "1.dkr.ecr.eu-west-1.amazonaws.com"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *host = docker_registry(cases[i][0]);
        assert_string_equal(host, cases[i][1]);
        free(host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_shown_as_docker_does),
        cmocka_unit_test(a_ports_colon_begins_no_tag),
        cmocka_unit_test(a_registry_is_a_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
