/* The registry client against a registry that answers as each test wants. */
#include "base/sha256.h"
#include "http/server.h"
#include "oci/oci.h"
#include "tests/unit/unit.h"

#define INDEX    "application/vnd.oci.image.index.v1+json"
#define MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define ZEROS    "sha256:0000000000000000000000000000000000000000000000000000000000000000"

struct registry {
    struct loop *loop;
    struct http_server *server;
    struct oci_client *client;
    char host[64];
    int status; /* of manifests */
    int unwell; /* so many answers are 500 first */
    int answers;
    const char *type;   /* their media type */
    const char *body;   /* the manifest */
    const char *digest; /* told in the header; NULL: the body's own */
    int config_status;
    const char *config;
    char asked[256]; /* the last reference */
    /* what came of it */
    bool done;
    struct err err;
    struct oci_image image;
    char platforms[256];
};

static struct registry reg;

static void on_manifest(struct http_request *req, void *arg)
{
    char hex[SHA256_HEX_SIZE], digest[OCI_DIGEST_SIZE];
    (void)arg;
    snprintf(reg.asked, sizeof(reg.asked), "%s", http_req_param(req, "ref"));
    assert_string_equal(http_req_param(req, "name"), "shop");
    assert_non_null(strstr(http_req_header(req, "Accept"), INDEX));
    int status = reg.answers++ < reg.unwell ? 500 : reg.status;
    if (status != 200) {
        http_reply(req, status, "text/plain", "no", 2);
        return;
    }
    sha256_hex(reg.body, strlen(reg.body), hex);
    snprintf(digest, sizeof(digest), "sha256:%s", hex);
    http_reply_header(req, "Docker-Content-Digest", reg.digest ? reg.digest : digest);
    http_reply(req, 200, reg.type, reg.body, strlen(reg.body));
}

static void on_blob(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply(req, reg.config_status, "application/json", reg.config, strlen(reg.config));
}

static int setup(void **state)
{
    struct err err = {0};
    struct strv insecure = {0};
    const struct http_server_conf server = {.listen = "127.0.0.1:0"};
    (void)state;
    memset(&reg, 0, sizeof(reg));
    reg.status = reg.config_status = 200;
    reg.type = MANIFEST;
    reg.config = "{}";
    reg.loop = loop_new(1);
    if (http_server_new(&reg.server, reg.loop, &server, &err) < 0)
        fail_msg("%s", err.msg);
    http_route(reg.server, "GET", "/v2/{name}/manifests/{ref}", 0, on_manifest, NULL);
    http_route(reg.server, "GET", "/v2/{name}/blobs/{ref}", 0, on_blob, NULL);
    snprintf(reg.host, sizeof(reg.host), "127.0.0.1:%d", http_server_port(reg.server));
    strv_add(&insecure, "127.0.0.1");
    const struct oci_conf conf = {.insecure = &insecure};
    reg.client = oci_client_new(reg.loop, &conf);
    strv_release(&insecure);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    oci_client_free(reg.client);
    http_server_free(reg.server);
    loop_free(reg.loop);
    return 0;
}

static void on_resolved(const struct oci_image *image, const struct err *err, void *arg)
{
    (void)arg;
    reg.done = true;
    reg.err = *err;
    if (!image)
        return;
    reg.image = *image;
    for (size_t i = 0; i < image->platforms.count; i++) {
        size_t len = strlen(reg.platforms);
        snprintf(reg.platforms + len, sizeof(reg.platforms) - len, "%s ",
                 image->platforms.items[i]);
    }
}

typedef struct oci_call *resolve_fn(struct oci_client *client, const struct oci_ref *ref,
                                    oci_resolved_fn *done, void *arg, struct err *err);

static void resolve_by(resolve_fn *fn, const char *rest)
{
    struct oci_ref ref;
    char text[256];
    reg.done = false;
    snprintf(text, sizeof(text), "%s/shop%s", reg.host, rest);
    assert_int_equal(oci_ref_parse(&ref, text, NULL), 0);
    assert_non_null(fn(reg.client, &ref, on_resolved, NULL, NULL));
    loop_run_for(reg.loop, 10000, &reg.done);
    assert_true(reg.done);
}

static void resolve(const char *rest)
{
    resolve_by(oci_resolve, rest);
}

static void resolve_digest(const char *rest)
{
    resolve_by(oci_resolve_digest, rest);
}

static void a_tag_is_resolved_with_media_type_size_and_platform(void **state)
{
    (void)state;
    reg.body = "{\"config\": {\"digest\": \"" ZEROS "\"}}";
    reg.config = "{\"os\": \"linux\", \"architecture\": \"arm64\", \"variant\": \"v8\"}";
    resolve(":1.2");
    assert_int_equal(reg.err.code, ERR_NONE);
    assert_true(oci_is_digest(reg.image.digest));
    assert_string_equal(reg.image.media_type, MANIFEST);
    assert_int_equal(reg.image.size_bytes, strlen(reg.body));
    assert_string_equal(reg.platforms, "linux/arm64/v8 ");
}

static void an_index_is_kept_whole_and_names_its_platforms(void **state)
{
    (void)state;
    reg.type = INDEX;
    reg.body = "{\"manifests\": [{\"platform\": {\"os\": \"linux\", \"architecture\": \"arm64\"}},"
               "{\"platform\": {\"os\": \"linux\", \"architecture\": \"amd64\"}},"
               "{\"platform\": {\"os\": \"unknown\", \"architecture\": \"unknown\"}}]}";
    resolve("");
    assert_int_equal(reg.err.code, ERR_NONE);
    assert_string_equal(reg.image.media_type, INDEX);
    assert_string_equal(reg.platforms, "linux/amd64 linux/arm64 ");
}

static void platforms_that_cannot_be_read_are_left_out(void **state)
{
    (void)state;
    reg.body = "{\"config\": {\"digest\": \"" ZEROS "\"}}";
    reg.config_status = 307;
    resolve(":1");
    assert_int_equal(reg.err.code, ERR_NONE);
    assert_string_equal(reg.platforms, "");
}

static void what_is_not_there_not_allowed_or_not_well_is_told_apart(void **state)
{
    static const struct {
        int status;
        enum err_code code;
    } cases[] = {{404, ERR_NOT_FOUND},   {401, ERR_DENIED},      {403, ERR_DENIED},
                 {500, ERR_UNAVAILABLE}, {429, ERR_UNAVAILABLE}, {302, ERR_INVALID}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        reg.status = cases[i].status;
        resolve(":1");
        assert_int_equal(reg.err.code, cases[i].code);
        assert_non_null(strstr(reg.err.msg, "shop:1"));
    }
}

static void a_registry_that_is_unwell_for_a_moment_is_asked_again(void **state)
{
    (void)state;
    reg.body = "{}";
    reg.unwell = 2;
    resolve(":1");
    assert_int_equal(reg.err.code, ERR_NONE);
    assert_int_equal(reg.answers, 3);
    reg.answers = 0;
    resolve_digest(":1");
    assert_int_equal(reg.err.code, ERR_NONE);
    assert_int_equal(reg.answers, 3);
    reg.answers = 0;
    reg.unwell = 100;
    resolve(":1");
    assert_int_equal(reg.err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(reg.err.msg, "asked 6 times"));
    assert_int_equal(reg.answers, 6);
}

static void a_registry_that_lies_about_a_digest_is_refused(void **state)
{
    (void)state;
    reg.body = "{}";
    resolve("@" ZEROS);
    assert_int_equal(reg.err.code, ERR_INVALID);
    assert_non_null(strstr(reg.err.msg, "another digest"));
    resolve_digest("@" ZEROS);
    assert_int_equal(reg.err.code, ERR_INVALID);
    assert_non_null(strstr(reg.err.msg, "another digest"));
    reg.digest = ZEROS;
    resolve("@" ZEROS);
    assert_int_equal(reg.err.code, ERR_INVALID);
    assert_non_null(strstr(reg.err.msg, "not what its digest says"));
    reg.digest = NULL;
    reg.body = "[1";
    resolve(":1");
    assert_non_null(strstr(reg.err.msg, "not JSON"));
}

static void a_digest_alone_is_found_with_and_without_the_header(void **state)
{
    char hex[SHA256_HEX_SIZE];
    (void)state;
    reg.body = "{}";
    sha256_hex(reg.body, strlen(reg.body), hex);
    for (int i = 0; i < 2; i++) {
        resolve_digest(":1");
        assert_int_equal(reg.err.code, ERR_NONE);
        assert_string_equal(reg.image.digest + strlen("sha256:"), hex);
        assert_string_equal(reg.image.media_type, MANIFEST);
        reg.digest = "md5:1"; /* none that is known */
    }
    resolve(":1");
    assert_string_equal(reg.image.digest + strlen("sha256:"), hex);
    reg.status = 404;
    resolve_digest(":1");
    assert_int_equal(reg.err.code, ERR_NOT_FOUND);
}

static void a_cancelled_call_never_answers(void **state)
{
    struct oci_ref ref;
    char text[128];
    (void)state;
    reg.body = "{}";
    snprintf(text, sizeof(text), "%s/shop", reg.host);
    assert_int_equal(oci_ref_parse(&ref, text, NULL), 0);
    struct oci_call *call = oci_resolve(reg.client, &ref, on_resolved, NULL, NULL);
    oci_call_cancel(call);
    loop_run_for(reg.loop, 200, NULL);
    assert_false(reg.done);
    reg.unwell = 100;
    reg.answers = 0;
    call = oci_resolve(reg.client, &ref, on_resolved, NULL, NULL);
    loop_run_for(reg.loop, 100, NULL); /* into the pause before it is asked again */
    assert_int_equal(reg.answers, 1);
    oci_call_cancel(call);
    loop_run_for(reg.loop, 400, NULL);
    assert_int_equal(reg.answers, 1);
    assert_false(reg.done);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tag_is_resolved_with_media_type_size_and_platform),
        TEST(an_index_is_kept_whole_and_names_its_platforms),
        TEST(platforms_that_cannot_be_read_are_left_out),
        TEST(what_is_not_there_not_allowed_or_not_well_is_told_apart),
        TEST(a_registry_that_is_unwell_for_a_moment_is_asked_again),
        TEST(a_registry_that_lies_about_a_digest_is_refused),
        TEST(a_digest_alone_is_found_with_and_without_the_header),
        TEST(a_cancelled_call_never_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
