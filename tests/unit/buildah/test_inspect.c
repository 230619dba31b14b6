#include "buildah/docker.h"

#include "tests/unit/unit.h"

#define ID "16e5c4ec252067810b6a9f1623b0fdea37cd20237e082dee8fdb2bf6e8cc3822"

static const char image[] =
    "{\"FromImageID\": \"" ID "\", \"FromImageDigest\": \"sha256:local\","
    " \"Docker\": {\"created\": \"2026-01-01T00:00:00Z\", \"architecture\": \"amd64\","
    "  \"os\": \"linux\", \"config\": {\"Env\": [\"A=b\"], \"Labels\": {\"who\": \"me\"}},"
    "  \"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"sha256:1\", \"sha256:2\"]}}}";

static const char images[] =
    "[{\"id\": \"sha256:ff\", \"names\": [\"localhost/other:1\"]},"
    " {\"id\": \"sha256:" ID "\", \"names\": [\"localhost/shop:1\", \"r.example/shop:1\"]}]";

static void says(const char *pushed, const char *format, const char *expected)
{
    struct buf image_text, images_text, out;
    struct err err = {0};
    void *json = NULL;
    buf_init(&image_text, 4096);
    buf_init(&images_text, 4096);
    buf_init(&out, 4096);
    buf_adds(&image_text, image);
    buf_adds(&images_text, images);
    if (inspect_make(&json, &image_text, &images_text, pushed, &err) < 0)
        fail_msg("%s", err.msg);
    if (template_print(format, json, &out, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(buf_cstr(&out), expected);
    inspect_free(json);
    buf_release(&out);
    buf_release(&images_text);
    buf_release(&image_text);
}

static void an_image_is_described_as_docker_does(void **state)
{
    (void)state;
    says("", "{{.Id}}", "sha256:" ID);
    says("", "{{.RepoTags}}", "[shop:1 r.example/shop:1]");
    says("", "{{index .Config.Labels \"who\"}} {{.Os}}/{{.Architecture}}", "me linux/amd64");
    says("", "{{len .RootFS.Layers}}", "2");
    says("", "{{.Created}}", "2026-01-01T00:00:00Z");
}

static void its_digest_is_the_one_that_was_pushed(void **state)
{
    (void)state;
    says(ID " r.example/shop@sha256:aa\nff r.example/other@sha256:bb\n" ID
            " r.example/shop@sha256:aa\n",
         "{{.RepoDigests}}", "[r.example/shop@sha256:aa]");
}

static void an_image_that_was_pulled_has_the_digest_it_came_with(void **state)
{
    (void)state;
    says("", "{{index .RepoDigests 0}}", "r.example/shop@sha256:local");
}

static void what_buildah_does_not_print_is_an_error(void **state)
{
    struct buf bad, list;
    struct err err = {0};
    void *json = NULL;
    (void)state;
    buf_init(&bad, 64);
    buf_init(&list, 64);
    buf_adds(&bad, "{}");
    buf_adds(&list, "[]");
    assert_int_equal(inspect_make(&json, &bad, &list, "", &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    buf_release(&bad);
    buf_release(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_described_as_docker_does),
        cmocka_unit_test(its_digest_is_the_one_that_was_pushed),
        cmocka_unit_test(an_image_that_was_pulled_has_the_digest_it_came_with),
        cmocka_unit_test(what_buildah_does_not_print_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
